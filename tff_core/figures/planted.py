"""Traces that were planted: from which dose on they are found, who finds their place, what carries them."""

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
    records,
    row_axis,
    row_of,
    series,
    span_text,
)

_MEASURES = {"mass": "share of relevance inside", "rank": "share of the strongest pixels inside"}


def planted_doses(table: pd.DataFrame, titles: Mapping[str, str], level: float) -> go.Figure:
    """AP against the amplitude of the planted trace, a line for each detector.

    ``table`` has one row per ``case``, ``seed`` and ``amplitude`` (levels of 255) with ``ap, low, high`` in
    [0, 1] and ``n``; ``titles`` names the cases; ``level`` is the AP from which on a trace counts as found.
    """
    figure = go.Figure()
    for place, (case, title) in enumerate(titles.items()):
        colour, symbol, _ = series(place)
        for number, (seed, rows) in enumerate(table[table["case"] == case].groupby("seed", sort=True)):
            figure.add_scatter(
                x=rows["amplitude"],
                y=100 * rows["ap"],
                mode="lines+markers",
                name=title,
                legendgroup=case,
                showlegend=not number,
                marker={"color": colour, "symbol": symbol, "size": 8},
                line={"color": colour, "dash": ("solid", "dash", "dot")[number % 3]},
                error_y=error_bars(rows, "ap"),
                customdata=100 * rows[["low", "high"]].to_numpy(),
                hovertemplate=f"{title}, seed {seed}, amplitude %{{x}}: AP %{{y:.1f}} % "
                "[%{customdata[0]:.1f}, %{customdata[1]:.1f}]<extra></extra>",
            )
    figure.add_hline(y=100 * level, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="amplitude of the trace, levels of 255", rangemode="tozero")
    figure.update_yaxes(title="average precision (AP), %", range=[45, 102])
    most = table[table["amplitude"] > 0].groupby("case", sort=False)["amplitude"].min()
    told = "; ".join(
        f"{titles[r.case]}, seed {r.seed}: {100 * r.ap:.1f} at {r.amplitude:g}"
        for r in records(table)
        if r.case in titles and r.amplitude == most[r.case]
    )
    text = (
        "Average precision of detectors on photographs with a planted trace against its amplitude; "
        f"{span_text(table['n'])} scenes, each with and without it. One line for each training seed. Bars: "
        f"95 % intervals over scenes; dotted line: {100 * level:.0f} %."
    )
    return finish(figure, 430, text, f"AP in percent at the smallest amplitude. {told}.")


def planted_places(table: pd.DataFrame, methods: Mapping[str, str], cases: Mapping[str, str]) -> go.Figure:
    """How much of each method's heatmap lies in the place of the trace; a menu chooses the case.

    ``table`` has one row per ``case``, ``method`` and ``measure`` ("mass", "rank") with ``value, low, high``
    in [0, 1], ``chance`` (the place's share of the area) and ``n``; ``methods`` and ``cases`` give names, in
    their order.
    """
    table = table[table["method"].isin(methods) & table["case"].isin(cases)]
    names = [name for name in methods if name in set(table["method"])]
    shown = [case for case in cases if case in set(table["case"])]
    figure, owner = go.Figure(), []
    for case in shown:
        for place, (measure, words) in enumerate(_MEASURES.items()):
            rows = table[(table["case"] == case) & (table["measure"] == measure)]
            figure.add_scatter(
                x=100 * rows["value"],
                y=[row_of(names, name) + 0.15 - 0.3 * place for name in rows["method"]],
                mode="markers",
                name=words,
                text=[methods[name] for name in rows["method"]],
                marker={"color": SEED_COLOURS[place], "symbol": ("circle", "square")[place], "size": 9},
                error_x=error_bars(rows, "value"),
                customdata=100 * rows[["low", "high"]].to_numpy(),
                hovertemplate="%{text}, " + words + ": %{x:.1f} % [%{customdata[0]:.1f}, "
                "%{customdata[1]:.1f}]<extra></extra>",
            )
            owner.append(case)
    if len(shown) > 1:
        add_menu(figure, {cases[one]: [o == one for o in owner] for one in shown}, dropdown=True)
    figure.add_vline(x=100 * float(table["chance"].mean()), line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="percent", range=[0, 101])
    row_axis(figure, [methods[name] for name in names])
    first = table[table["case"] == shown[0]]
    told = "; ".join(
        f"{methods[r.method]}, {_MEASURES[r.measure]}: {100 * r.value:.1f}" for r in records(first)
    )
    text = (
        "How much of each explanation lies where the trace is. "
        f"{span_text(first['n'])} pictures of all detectors that are called fake. Bars: 95 % intervals over "
        "scenes and detectors; dotted line: the place's share of the area, as of a map that knows nothing."
    )
    height = 210 + 44 * len(names)
    return finish(figure, height, text, f"{cases[shown[0]]}, in percent. {told}.", menu=len(shown) > 1)


def planted_carriers(table: pd.DataFrame, titles: Mapping[str, str]) -> go.Figure:
    """What is lost of a trace's effect without each feature map, against the map's omega.

    ``table`` has one row per ``case``, ``seed`` and ``map`` with ``omega``, ``lost`` (a share), ``low, high``
    and ``n``; ``titles`` names the cases.
    """
    figure = go.Figure()
    for place, (case, title) in enumerate(titles.items()):
        rows = table[table["case"] == case]
        colour, symbol, _ = series(place)
        figure.add_scatter(
            x=100 * rows["omega"],
            y=100 * rows["lost"],
            mode="markers",
            name=title,
            text=[f"{r.map}, seed {r.seed}" for r in records(rows)],
            marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.7},
            customdata=100 * rows[["low", "high"]].to_numpy(),
            hovertemplate=title + ", %{text}: omega %{x:.2f} %, lost %{y:.1f} % [%{customdata[0]:.1f}, "
            "%{customdata[1]:.1f}]<extra></extra>",
        )
    figure.add_hline(y=0, line={"color": LINE, "width": 1})
    figure.update_xaxes(title="omega, % of the layer's relevance")
    figure.update_yaxes(title="effect of the trace lost without the map, %")
    told = "; ".join(
        f"{titles[str(case)]}: {100 * float(own['lost'].max()):.1f} lost without the strongest carrier"
        for case, own in table.groupby("case", sort=False)
        if case in titles
    )
    text = (
        "Each point is a feature map: what its omega is, and how much of the trace's effect on the logit is "
        f"lost when it alone is dropped. {span_text(table['n'])} scenes for each."
    )
    return finish(figure, 430, text, f"In percent. {told}.")
