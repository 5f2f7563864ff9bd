"""Detectors that see all colours, luma alone or chroma alone, side by side."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.compared import compared

_TITLES = {"rgb": "all colours", "luma": "luma alone", "chroma": "chroma alone"}
_STYLES = {"rgb": ("#777777", "diamond"), "luma": ("#0072B2", "square"), "chroma": ("#E69F00", "circle")}
"""Colour and symbol of what a detector sees."""


def planes(table: pd.DataFrame) -> go.Figure:
    """AP of each detector on each generator; a menu chooses the condition.

    ``table`` has one row per ``generator``, ``condition`` and ``sees`` ("rgb", "luma", "chroma"; other rows
    are left out) with ``ap, ap_low, ap_high`` in [0, 1], ``seeds``, ``n_real`` and ``n_fake``.
    """
    text = "Average precision of detectors trained alike that see different parts of the same pictures."
    return compared(table.rename(columns={"sees": "name"}), _TITLES, text, _STYLES)
