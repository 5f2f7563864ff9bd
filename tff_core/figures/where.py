"""Where a picture is fake: how well maps find it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    LINE,
    SEED_COLOURS,
    add_menu,
    error_bars,
    finish,
    generator_name,
    in_order,
    records,
    row_axis,
    row_of,
    span_text,
)

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")
_MEASURES = {
    "pixel_ap": "AP of all pixels, %",
    "picture_ap": "AP of each picture's pixels, mean, %",
    "iou": "intersection over union, %",
    "false_area": "authentic pictures marked, % of their pixels",
}


def found_pixels(table: pd.DataFrame, titles: Mapping[str, str]) -> go.Figure:
    """How well each method finds what is fake, one colour for each generator; a menu chooses the measure.

    ``table`` has one row per ``generator``, ``method`` and ``measure`` ("pixel_ap", "picture_ap", "iou" or
    "false_area") with ``value, low, high`` in [0, 1], ``chance`` (or missing) and ``n``; ``titles`` names the
    methods, in their order.
    """
    table = table[table["method"].isin(titles)]
    methods = [name for name in titles if name in set(table["method"])]
    generators = in_order(table["generator"])
    measures = [name for name in _MEASURES if name in set(table["measure"])]
    figure, owner = go.Figure(), []
    for measure in measures:
        for place, generator in enumerate(generators):
            rows = table[(table["measure"] == measure) & (table["generator"] == generator)]
            apart = 0.5 * (0.5 - place / max(1, len(generators) - 1)) if len(generators) > 1 else 0.0
            figure.add_scatter(
                x=100 * rows["value"],
                y=[row_of(methods, name) + apart for name in rows["method"]],
                mode="markers",
                name=generator_name(generator),
                text=[titles[name] for name in rows["method"]],
                marker={
                    "color": SEED_COLOURS[place % len(SEED_COLOURS)],
                    "symbol": _SYMBOLS[place % len(_SYMBOLS)],
                    "size": 9,
                },
                error_x=error_bars(rows, "value", "low", "high"),
                customdata=100 * rows[["low", "high"]].to_numpy(),
                hovertemplate="%{text}, " + generator_name(generator) + ": %{x:.1f} % [%{customdata[0]:.1f}, "
                "%{customdata[1]:.1f}]<extra></extra>",
            )
            owner.append(measure)
    names = {_MEASURES[one]: [o == one for o in owner] for one in measures}
    if len(measures) > 1:
        add_menu(figure, names, dropdown=True)
    chance = 100 * float(table["chance"].dropna().mean()) if table["chance"].notna().any() else None
    if chance is not None:
        figure.add_vline(x=chance, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="percent", range=[-2, 102])
    row_axis(figure, [titles[name] for name in methods])
    text = (
        "How well maps find the part of a picture that is fake. "
        f"{span_text(table['n'])} pictures of each kind and generator. Bars: 95 % intervals over pictures; "
        "dotted line: the average precision of a map that knows nothing. The threshold behind the last two "
        "measures was chosen on other pictures."
    )
    first = table[table["measure"] == measures[0]]
    told = "; ".join(
        f"{titles[r.method]} on {generator_name(r.generator)} {100 * r.value:.1f}" for r in records(first)
    )
    described = f"{_MEASURES[measures[0]].removesuffix(', %')}, in percent. {told}."
    return finish(figure, 210 + 48 * len(methods), text, described, menu=len(measures) > 1)
