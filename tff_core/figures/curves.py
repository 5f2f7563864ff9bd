"""Precision and recall of whatever gives a picture, or a cell, a probability of being fake."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from tff_core.figures.base import LINE, SEED_COLOURS, finish, records

Arrays = tuple[ArrayLike, ArrayLike, ArrayLike]
_NAMES = {
    "before_softmax": "mean before the softmax",
    "after_softmax": "mean after the softmax",
    "vote": "vote of the cells",
    "patch": "single cells",
    "picture": "whole network",
}
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SYMBOLS = ("circle", "square", "diamond", "cross", "x")
_POINTS = 400  # of a curve that has more, those that are nearest to as many equal steps of recall


def precision_recall(
    curves: Mapping[str, Arrays], table: pd.DataFrame, threshold: float = 0.5, by: str = "ensemble"
) -> go.Figure:
    """Curves of precision over recall, each with a mark where it is cut at ``threshold``.

    Parameters
    ----------
    curves: precision (K + 1,), recall (K + 1,) and thresholds (K,) by name, as scikit-learn's
        `precision_recall_curve` gives them: thresholds rise, recall falls.
    table: a row for each name, in the column ``by``, with ``ap`` in [0, 1], its ends ``low`` and ``high``
        (missing where there is no interval), ``n_real`` and ``n_fake``.

    Curves are steps: at the recall of a threshold its precision holds down to the recall of the next, and the
    area below is the AP. ValueError where there is no curve, or one has no row or other shapes.
    """
    if not curves:
        raise ValueError("no curve to draw: expected one at least")
    rows = {row[by]: row for row in table.to_dict("records")}
    figure = go.Figure()
    told = []
    for i, (name, arrays) in enumerate(curves.items()):
        precision, recall, thresholds = (np.asarray(one, dtype=np.float64) for one in arrays)
        if name not in rows:
            raise ValueError(f"no row of the table is of {name!r}: there are {', '.join(map(str, rows))}")
        if precision.shape != recall.shape or len(precision) != len(thresholds) + 1:
            raise ValueError(
                f"{name}: {precision.shape} precisions, {recall.shape} recalls and {thresholds.shape} "
                "thresholds: expected (K + 1,), (K + 1,) and (K,)"
            )
        row, shown, colour = rows[name], _NAMES.get(name, name), SEED_COLOURS[i % len(SEED_COLOURS)]
        ap = f"{100 * row['ap']:.1f}"
        if not np.isnan(row["low"]):
            ap += f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        kept = _thinned(recall)
        figure.add_scatter(
            x=np.round(100 * recall[kept], 3),
            y=np.round(100 * precision[kept], 3),
            mode="lines",
            name=f"{shown}: AP {ap} %",
            legendgroup=name,
            line={"color": colour, "width": 2, "dash": _DASHES[i % len(_DASHES)], "shape": "hv"},
            customdata=[*thresholds[kept[:-1]], 1.0],  # above all thresholds nothing is called fake
            hovertemplate=f"{shown}, P(fake) from "
            + "%{customdata:.3g}: recall %{x:.1f} %, precision %{y:.1f} %<extra></extra>",
        )
        at = int(np.searchsorted(thresholds, threshold))
        if at < len(thresholds):  # else nothing is called fake
            figure.add_scatter(
                x=[100 * recall[at]],
                y=[100 * precision[at]],
                mode="markers",
                legendgroup=name,
                showlegend=False,
                marker={"color": colour, "symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 10},
                hovertemplate=f"{shown}, cut at {threshold:g}: recall "
                + "%{x:.1f} %, precision %{y:.1f} %<extra></extra>",
            )
        told.append(f"{shown} {ap}")
    drawn = [rows[name] for name in curves]
    shares = [row["n_fake"] / (row["n_real"] + row["n_fake"]) for row in drawn]
    for share in dict.fromkeys(np.round(shares, 6)):
        figure.add_hline(y=100 * share, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="recall: share of the fakes that are called fake, %", range=[-2, 102])
    figure.update_yaxes(title="precision: share of what is called fake that is, %", range=[0, 103])
    counts = "; ".join(
        dict.fromkeys(f"{row.n_real} reals and {row.n_fake} fakes" for row in records(pd.DataFrame(drawn)))
    )
    text = (
        f"Precision over recall, {counts}. Marks: called fake where P(fake) is at least {threshold:g}; "
        "dotted line: the share of fakes, the precision of a random order; the area below a curve is its AP."
    )
    return finish(figure, 440, text, f"AP in percent: {'; '.join(told)}.")


def _thinned(recall: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the points that are drawn, both ends among them; recall falls."""
    if len(recall) <= _POINTS:
        return np.arange(len(recall))
    wanted = np.linspace(recall[0], recall[-1], _POINTS)
    return np.unique([0, len(recall) - 1, *np.searchsorted(-recall, -wanted)])
