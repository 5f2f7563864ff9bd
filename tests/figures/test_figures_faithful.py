"""Figures of faithfulness: what they show, in whose units, and what they do without an answer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tff_core import figures
from tff_core.claims.texts.exam_faithful import CURVES, MEASURES, METHODS

CURVE_ROWS = pd.DataFrame(
    [
        {"method": m, "curve": c, "share": q, "value": 1 - q * (i + 1) / 20, "n": 15}
        for i, m in enumerate(METHODS)
        for c in CURVES
        for q in (0.0, 0.5, 1.0)
    ]
)
GAINS = pd.DataFrame(
    [
        {"method": m, "measure": one, "over_random": np.nan if m == "random" else 0.1 * i,
         "over_random_low": 0.1 * i - 1, "over_random_high": 0.1 * i + 1, "n": 15, "seeds": 3}
        for i, m in enumerate(METHODS)
        for one in MEASURES
    ]
)  # fmt: skip
RANKS = pd.DataFrame(
    [
        {
            "method": m,
            "measure": one,
            "mean_rank": i + 1.0,
            "n": 15,
            "critical": np.nan if one == "road" else 4.0,
        }
        for i, m in enumerate(METHODS)
        for one in MEASURES
    ]
)


def all_figures() -> dict[str, go.Figure]:
    return {
        "curves": figures.faithful_curves(CURVE_ROWS, METHODS, CURVES),
        "gains": figures.faithful_gains(GAINS, METHODS, MEASURES),
        "ranks": figures.mean_ranks(RANKS, METHODS, MEASURES),
    }


FIGURES = all_figures()


@pytest.mark.parametrize("name", FIGURES)
def test_each_has_a_caption_a_text_alternative_and_n(name: str) -> None:
    figure = FIGURES[name]
    text, alt = figures.caption(figure), figures.alt(figure)
    assert text.endswith(".") and alt.endswith(".") and "nan" not in text + alt
    assert "15 pictures" in text and "LRP, z+" in alt
    assert json.loads(figure.to_json()) and figure.layout.width is None


@pytest.mark.parametrize(("name", "choices"), [("curves", CURVES), ("gains", MEASURES), ("ranks", MEASURES)])
def test_a_menu_shows_the_traces_of_one_choice(name: str, choices: dict[str, str]) -> None:
    (menu,) = FIGURES[name].layout.updatemenus
    assert len(menu.buttons) == len(choices)
    shown = np.array([button.args[0]["visible"] for button in menu.buttons])
    assert (shown.sum(0) == 1).all() and (shown.sum(1) >= 1).all()


def test_curves_are_told_apart_by_colour_dash_or_symbol() -> None:
    lines = [trace for trace in FIGURES["curves"].data if trace.visible]
    assert len(lines) == len(METHODS)
    assert len({(t.line.color, t.line.dash, t.marker.symbol) for t in lines}) == len(METHODS)


def test_random_numbers_have_no_gain_over_themselves() -> None:
    (trace,) = [trace for trace in FIGURES["gains"].data if trace.visible]
    assert METHODS["random"] not in trace.text and len(trace.x) == len(METHODS) - 1
    labels = FIGURES["gains"].layout.yaxis.ticktext
    assert METHODS["edges"] in labels and METHODS["random"] not in labels


def test_the_band_reaches_from_the_best_to_the_critical_difference() -> None:
    bands = [trace for trace in FIGURES["ranks"].data if trace.fill == "toself"]
    assert len(bands) == len(MEASURES) - 1  # one has no critical difference
    assert set(bands[0].x) == {1.0, 5.0}
