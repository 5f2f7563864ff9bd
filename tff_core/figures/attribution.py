"""Which generator made a picture: answers against the truth, unknown sources, degraded pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from tff_core.figures.base import (
    FAKE,
    LINE,
    REAL,
    add_menu,
    finish,
    generator_name,
    series,
    span_text,
)
from tff_core.figures.degraded import damage_curves

_FIRST, _LAST = "real", "none of these"
"""Answers that are no names of sources, and where they stand."""
_PALE = ((0.0, "#EDF3F8"), (0.5, "#6FAFD6"), (1.0, REAL))
WAYS = {"gated": "the primary decides", "raw": "secondaries alone"}
MEASURES: dict[str, tuple[str, str, str]] = {
    "accuracy": ("right", REAL, "circle"),
    "false none": ("no name, though known", "#E69F00", "square"),
    "false name": ("a wrong name", FAKE, "x"),
}
"""Name, colour and symbol of what is counted of degraded pictures."""
OPERATIONS = {
    "blur": "kernel, pixels",
    "crop": "cut off, share of each axis",
    "jpeg": "JPEG quality",
    "noise": "variance, squared steps of 8 bits",
    "resize": "factor, there and back",
}
"""What the strength of an operation means, as the title of its axis."""


def confusion(
    table: pd.DataFrame, known: Sequence[str], titles: Mapping[str, str] | None = None
) -> go.Figure:
    """Who made the pictures, and who was named: numbers of pictures and their share of each row.

    ``table`` has ``truth``, ``answer``, ``n`` and ``share`` (in [0, 1], of that truth's pictures), as
    `attribution.evaluation` makes it: a pair that is missing never occurred. With ``way``, a menu chooses it,
    by its name in ``titles``. ``known`` are the sources that the network can name, whether or not it did;
    other sources stand below them.
    """
    table = table if "way" in table else table.assign(way="")
    titles = titles or WAYS
    ways = list(dict.fromkeys(table["way"]))
    answers = [_FIRST, *known]
    truths = [name for name in answers if name in set(table["truth"])]
    unknown = [name for name in dict.fromkeys(table["truth"]) if name not in answers]
    truths += unknown
    if unknown or (table["answer"] == _LAST).any():
        answers.append(_LAST)
    strange = sorted(set(table["answer"]) - set(answers))
    if strange:
        raise ValueError(f"answers {', '.join(strange)} are no known sources: expected {', '.join(known)}")
    figure = go.Figure()
    for way in ways:
        own = table[table["way"] == way].set_index(["truth", "answer"])
        cells = [[_cell(own, t, a, way) for a in answers] for t in truths]
        figure.add_heatmap(
            z=[[None if c is None else round(100 * c[1], 1) for c in row] for row in cells],
            x=[generator_name(a) for a in answers],
            y=[generator_name(t) for t in truths],
            zmin=0,
            zmax=100,
            colorscale=_PALE,
            showscale=False,
            xgap=2,
            ygap=2,
            text=[["" if c is None else f"{c[0]}<br>{100 * c[1]:.0f} %" for c in row] for row in cells],
            texttemplate="%{text}",
            textfont={"size": 12 if len(answers) < 7 else 10},
            customdata=[[0 if c is None else c[0] for c in row] for row in cells],
            hovertemplate="made by %{y}, answer %{x}: %{customdata} pictures, %{z:.1f} %<extra></extra>",
            hoverongaps=False,
        )
    if len(ways) > 1:
        visible = {titles.get(w, w): [other == w for other in ways] for w in ways}
        add_menu(figure, visible, dropdown=True)
    figure.update_yaxes(autorange="reversed", showgrid=False, title="made by")
    figure.update_xaxes(showgrid=False, tickangle=-45, title="answer")
    if unknown:  # a line above what the network cannot know
        figure.add_hline(y=len(truths) - len(unknown) - 0.5, line={"color": LINE, "width": 2})
    first = table[table["way"] == ways[0]].set_index(["truth", "answer"])
    described = "; ".join(
        f"{generator_name(t)} {100 * right[1]:.0f}"
        for t in truths
        if (right := _cell(first, t, _LAST if t in unknown else t, ways[0])) is not None
    )
    totals = table[table["way"] == ways[0]].groupby("truth")["n"].sum()
    text = (
        "Answers to pictures of each source: their number, and their share of the row. "
        f"{span_text(totals)} pictures a row. "
        + ("Below the line: sources that the network does not know. " if unknown else "")
        + ("The menu chooses whether the primary module has the last word." if len(ways) > 1 else "")
    )
    height = 170 + 46 * len(truths) + 40 * (len(ways) > 1)
    return finish(figure, height, text.strip(), f"Right answers in percent: {described}.", menu=len(ways) > 1)


def _cell(table: pd.DataFrame, truth: str, answer: str, way: str) -> tuple[int, float] | None:
    """Number and share; None where there is no such answer, as in the secondary modules' own words."""
    if (truth, answer) not in table.index:
        return None if (answer, way) == (_LAST, "raw") else (0, 0.0)
    row: Any = table.loc[(truth, answer)]
    return int(row["n"]), float(row["share"])


def oscr(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    areas: Mapping[str, tuple[float, float, float]] | None = None,
) -> go.Figure:
    """Pictures of known sources named right, against pictures of unknown sources that got a name.

    ``curves``: for each score or network the shares ``right`` and ``wrong`` (K,) in [0, 1] at each threshold,
    from the strictest on. ``areas``: the area under it with the ends of its interval.
    """
    figure = go.Figure()
    told = []
    for i, (name, (right, wrong)) in enumerate(curves.items()):
        y, x = (100 * np.asarray(values, dtype=float) for values in (right, wrong))
        kept = _thinned(len(x))
        colour, _, dash = series(i)
        area = None if areas is None else areas.get(name)
        note = "" if area is None else f"area {area[0]:.2f} [{area[1]:.2f}, {area[2]:.2f}]"
        figure.add_scatter(
            x=np.round(x[kept], 2),
            y=np.round(y[kept], 2),
            mode="lines",
            name=name if area is None else f"{name}: {note}",
            line={"color": colour, "width": 2, "dash": dash},
            hovertemplate=f"{name}: %{{y:.1f}} % right at %{{x:.1f}} % wrong<extra></extra>",
        )
        told.append(f"{name}: {note or f'{y[-1]:.0f} % right where nothing is rejected'}")
    figure.update_xaxes(title="unknown sources that get a name, %", range=[-2, 102])
    figure.update_yaxes(title="known sources named right, %", range=[-2, 102])
    text = (
        "Open-set classification rate: every point is a threshold below which pictures are rejected, from "
        "the strictest (left) to none (right). The area is 1 where all known sources are named right and all "
        "unknown ones rejected." + (" In brackets: 95 % intervals over pictures." if areas else "")
    )
    return finish(figure, 440 + 24 * len(curves), text, f"OSCR curves. {'; '.join(told)}.")


def _thinned(n: int, most: int = 300) -> np.ndarray:
    """Places of at most so many points, with both ends: a line needs no more."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def attribution_robustness(table: pd.DataFrame) -> go.Figure:
    """What answers are worth when pictures are degraded more and more; a menu chooses how.

    ``table`` has ``operation``, ``strength`` (from weak to strong), ``measure`` (of `MEASURES`), ``value,
    low, high`` in [0, 1] and ``n``; the operation called "untouched" begins every curve. A missing value is
    not drawn.
    """
    text = (
        "The same pictures, degraded from weak to strong: named right; of a known source and given no name; "
        f"given the name of a source that did not make them. Bands: 95 % intervals over "
        f"{span_text(table.loc[table['value'].notna(), 'n'])} pictures."
    )
    return damage_curves(table, MEASURES, OPERATIONS, "share of pictures, %", text, "Shares in percent.")
