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


def patch_categories(table: pd.DataFrame) -> go.Figure:
    """How many predictive patches show each category, and how many random ones would; a menu for generators.

    ``table`` has one row per ``generator`` and ``category`` with ``patches``, ``expected``, ``low`` and
    ``high`` (numbers of patches; between the last two are 95 of 100 random draws).
    """
    generators = in_order(table["generator"])
    names = list(dict.fromkeys(table["category"]))
    figure, owner = go.Figure(), []
    for generator in generators:
        rows = table[table["generator"] == generator]
        places = [row_of(names, name) for name in rows["category"]]
        figure.add_scatter(
            x=rows["expected"],
            y=places,
            mode="markers",
            name="random cells",
            text=rows["category"],
            marker={"color": "#777777", "symbol": "line-ns-open", "size": 12},
            error_x=error_bars(rows, "expected", "low", "high", scale=1),
            customdata=rows[["low", "high"]].to_numpy(),
            hovertemplate="%{text}, by chance: %{x:.1f}, %{customdata[0]} to %{customdata[1]} in 95 of 100 "
            "draws<extra></extra>",
        )
        figure.add_scatter(
            x=rows["patches"],
            y=places,
            mode="markers",
            name="most predictive patches",
            text=rows["category"],
            marker={"color": "#0072B2", "symbol": "circle", "size": 10},
            customdata=rows[["p_holm"]].to_numpy(),
            hovertemplate="%{text}: %{x} patches, corrected p = %{customdata[0]:.3f}<extra></extra>",
        )
        owner += [generator] * 2
    if len(generators) > 1:
        menu = {generator_name(g): [o == g for o in owner] for g in generators}
        add_menu(figure, menu, dropdown=True)
    most = float(table[["patches", "high"]].max().max())
    figure.update_xaxes(title="patches", range=[-0.03 * most, 1.03 * most])
    row_axis(figure, names)
    first = table[table["generator"] == generators[0]]
    told = "; ".join(f"{r.category}: {r.patches}, by chance {r.expected:.1f}" for r in records(first))
    text = (
        "What the most predictive patch of each fake shows, and what a patch at a random place of the same "
        f"pictures would show. {span_text(table.groupby('generator', sort=False)['patches'].sum())} patches "
        "per generator. Bars: 95 of 100 random draws."
    )
    described = f"{generator_name(generators[0])}. {told}."
    return finish(figure, 200 + 42 * max(3, len(names)), text, described, menu=len(generators) > 1)


_TASKS = {"pictures": "telling pictures apart: AP, %", "pixels": "finding the trace: AP of pixels, %"}


def field_law(table: pd.DataFrame, titles: Mapping[str, str]) -> go.Figure:
    """AP of each network against the period of a planted trace; a menu chooses what is asked.

    ``table`` has one row per ``network``, ``period`` (pixels) and ``measure`` ("pictures", "pixels"), with
    ``value, low, high, chance`` in [0, 1] and ``n``; ``titles`` names the networks.
    """
    table = table[table["network"].isin(titles)]
    measures = [name for name in _TASKS if name in set(table["measure"])]
    figure, owner = go.Figure(), []
    for measure in measures:
        for place, (network, title) in enumerate(titles.items()):
            rows = table[(table["measure"] == measure) & (table["network"] == network)]
            figure.add_scatter(
                x=rows["period"],
                y=100 * rows["value"],
                mode="lines+markers",
                name=title,
                marker={
                    "color": SEED_COLOURS[place % len(SEED_COLOURS)],
                    "symbol": _SYMBOLS[place % len(_SYMBOLS)],
                    "size": 9,
                },
                error_y=error_bars(rows, "value", "low", "high"),
                customdata=100 * rows[["low", "high"]].to_numpy(),
                hovertemplate="period %{x} px, " + title + ": %{y:.1f} % [%{customdata[0]:.1f}, "
                "%{customdata[1]:.1f}]<extra></extra>",
            )
            owner.append(measure)
        rows = table[table["measure"] == measure].drop_duplicates("period")
        figure.add_scatter(
            x=rows["period"],
            y=100 * rows["chance"],
            mode="lines",
            name="by chance",
            line={"color": LINE, "dash": "dot", "width": 1},
            hovertemplate="by chance: %{y:.1f} %<extra></extra>",
        )
        owner.append(measure)
    if len(measures) > 1:
        add_menu(figure, {_TASKS[one]: [o == one for o in owner] for one in measures}, dropdown=True)
    periods = sorted(set(table["period"]))
    figure.update_xaxes(
        title="period of the trace, pixels",
        type="log",
        tickvals=periods,
        ticktext=[f"{p:g}" for p in periods],
    )
    figure.update_yaxes(title="percent", range=[0, 104])
    first = table[table["measure"] == measures[0]]
    told = "; ".join(f"{titles[r.network]}, {r.period:g} px: {100 * r.value:.1f}" for r in records(first))
    text = (
        "Average precision of networks of several receptive fields on planted traces of several periods. "
        f"{span_text(table['n'])} pictures per period. Bars: 95 % intervals over pictures; dotted line: a "
        "random order."
    )
    described = f"{_TASKS[measures[0]].removesuffix(', %')}, in percent. {told}."
    return finish(figure, 430, text, described, menu=len(measures) > 1)
