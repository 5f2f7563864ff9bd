"""How faithful explanations are: curves, gains over random numbers, mean ranks."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    INK,
    LINE,
    add_menu,
    band,
    error_bars,
    finish,
    records,
    row_axis,
    row_of,
    series,
    several_seeds,
    span_text,
)

_CONTROL = "#777777"
_CONTROLS = ("random", "edges")


def faithful_curves(table: pd.DataFrame, titles: Mapping[str, str], curves: Mapping[str, str]) -> go.Figure:
    """What becomes of the decision while pixels go, one line for each method; a menu chooses the curve.

    ``table`` has one row per ``method``, ``curve`` and ``share`` with ``value`` and ``n`` pictures;
    ``titles`` names the methods in their order, ``curves`` the curves, with what is on their axis.
    """
    shown = [name for name in curves if name in set(table["curve"])]
    methods = [name for name in titles if name in set(table["method"])]
    figure, owner = go.Figure(), []
    for curve in shown:
        for place, method in enumerate(methods):
            rows = table[(table["curve"] == curve) & (table["method"] == method)].sort_values("share")
            colour, symbol, dash = series(place)
            control = method in _CONTROLS
            figure.add_scatter(
                x=100 * rows["share"],
                y=rows["value"],
                mode="lines+markers",
                name=titles[method],
                line={
                    "color": _CONTROL if control else colour,
                    "dash": "dot" if control else dash,
                    "width": 2,
                },
                marker={"symbol": symbol if place < 7 else f"{symbol.removesuffix('-open')}-open", "size": 6},
                hovertemplate=titles[method] + ", %{x:.0f} % gone: %{y:.3f}<extra></extra>",
            )
            owner.append(curve)
    if len(shown) > 1:
        add_menu(
            figure,
            {curves[one].partition(",")[0]: [o == one for o in owner] for one in shown},
            dropdown=True,
            relayout={
                curves[one].partition(",")[0]: {"yaxis.title.text": _unit(curves[one])} for one in shown
            },
        )
    figure.update_xaxes(title="share of the picture, %")
    figure.update_yaxes(title=_unit(curves[shown[0]]))
    text = (
        f"Means over {span_text(table['n'])} pictures. A faithful explanation falls fast where the most "
        "relevant "
        "pixels go first, and late where the least relevant do."
    )
    first = table[table["curve"] == shown[0]]
    middle = first.iloc[(first["share"] - 0.5).abs().argsort(kind="stable")]["share"].iloc[0]
    told = "; ".join(
        f"{titles[r.method]} {r.value:.2f}"
        for r in records(first[first["share"] == middle])
        if r.method in titles
    )
    described = f"{curves[shown[0]]}, at {100 * middle:.0f} percent of the picture. {told}."
    return finish(figure, 460, text, described, menu=len(shown) > 1)


def _unit(title: str) -> str:
    return title.partition(", ")[2] or title


def faithful_gains(table: pd.DataFrame, titles: Mapping[str, str], measures: Mapping[str, str]) -> go.Figure:
    """By how much each method is better than random numbers, one row for each; a menu chooses the measure.

    ``table`` has one row per ``method`` and ``measure`` with ``over_random, over_random_low,
    over_random_high`` (positive is better), ``n`` and ``seeds``; ``titles`` names the methods in their order,
    ``measures`` the measures.
    """
    shown = [name for name in measures if name in set(table["measure"])]
    methods = [name for name in titles if name in set(table["method"]) and name != "random"]
    figure, owner = go.Figure(), []
    for metric in shown:
        own = table[(table["measure"] == metric) & table["method"].isin(methods)]
        rows = own.dropna(subset=["over_random"])
        figure.add_scatter(
            x=rows["over_random"],
            y=[row_of(methods, name) for name in rows["method"]],
            mode="markers",
            name="better than random numbers",
            showlegend=False,
            text=[titles[name] for name in rows["method"]],
            marker={
                "color": [_CONTROL if name in _CONTROLS else "#0072B2" for name in rows["method"]],
                "symbol": ["square" if name in _CONTROLS else "circle" for name in rows["method"]],
                "size": 10,
            },
            error_x=error_bars(rows, "over_random", "over_random_low", "over_random_high", scale=1),
            customdata=rows[["over_random_low", "over_random_high"]].to_numpy(),
            hovertemplate="%{text}: %{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}]<extra></extra>",
        )
        owner.append(metric)
    if len(shown) > 1:
        add_menu(
            figure,
            {_named(measures[one]): [o == one for o in owner] for one in shown},
            dropdown=True,
            relayout={
                _named(measures[one]): {"xaxis.title.text": f"gain over random numbers: {measures[one]}"}
                for one in shown
            },
        )
    figure.add_vline(x=0, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title=f"gain over random numbers: {measures[shown[0]]}")
    row_axis(figure, [titles[name] for name in methods])
    text = (
        "To the right: better than random numbers on the same pictures, whatever the direction of the "
        "measure. "
        f"{span_text(table['n'])} pictures. Bars: 95 % intervals over pictures"
        + (" and trainings" if several_seeds(table) else "")
        + ". Gray squares: edges, which know no detector."
    )
    rows = table[(table["measure"] == shown[0]) & table["method"].isin(methods)]
    told = "; ".join(
        f"{titles[r.method]} {r.over_random:+.2f}" for r in records(rows.dropna(subset=["over_random"]))
    )
    described = f"Gains over random numbers: {measures[shown[0]]}. {told}."
    return finish(figure, 150 + 34 * len(methods), text, described, menu=len(shown) > 1)


def _named(measure: str) -> str:
    return measure.partition(" (")[0]


def mean_ranks(table: pd.DataFrame, titles: Mapping[str, str], measures: Mapping[str, str]) -> go.Figure:
    """Mean ranks of methods and what is within the critical difference of the best; a menu for the measure.

    ``table`` has one row per ``method`` and ``measure`` with ``mean_rank``, ``critical`` (or missing) and
    ``n``; ``titles`` and ``measures`` as in `faithful_gains`.
    """
    shown = [name for name in measures if name in set(table["measure"])]
    methods = [name for name in titles if name in set(table["method"])]
    figure, owner = go.Figure(), []
    for metric in shown:
        rows = table[(table["measure"] == metric) & table["method"].isin(methods)]
        best, reach = float(rows["mean_rank"].min()), float(rows["critical"].iloc[0])
        if reach == reach:  # not missing
            band(figure, [best, best + reach], [-0.5] * 2, [len(methods) - 0.5] * 2, "#009E73", metric)
            owner.append(metric)
        figure.add_scatter(
            x=rows["mean_rank"],
            y=[row_of(methods, name) for name in rows["method"]],
            mode="markers",
            showlegend=False,
            text=[titles[name] for name in rows["method"]],
            marker={
                "color": [_CONTROL if name in _CONTROLS else "#0072B2" for name in rows["method"]],
                "symbol": ["square" if name in _CONTROLS else "circle" for name in rows["method"]],
                "size": 10,
            },
            hovertemplate="%{text}: mean rank %{x:.2f}<extra></extra>",
        )
        owner.append(metric)
    if len(shown) > 1:
        add_menu(figure, {_named(measures[one]): [o == one for o in owner] for one in shown}, dropdown=True)
    figure.update_xaxes(title="mean rank (1 is best)", range=[0.7, len(methods) + 0.3], color=INK)
    row_axis(figure, [titles[name] for name in methods])
    text = (
        f"Mean ranks over {span_text(table['n'])} pictures. Methods outside of the green band are "
        "further "
        "from the best than the critical difference (Nemenyi, 95 %): these are told apart, those within it "
        "are not."
    )
    first = table[(table["measure"] == shown[0]) & table["method"].isin(methods)].sort_values("mean_rank")
    told = "; ".join(f"{titles[r.method]} {r.mean_rank:.1f}" for r in records(first))
    return finish(
        figure,
        150 + 34 * len(methods),
        text,
        f"Mean ranks, {measures[shown[0]]}. {told}.",
        menu=len(shown) > 1,
    )
