"""Other rankings, other controls, other ways to drop a map, and how stable a ranking is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    FAKE,
    GRID,
    LINE,
    REAL,
    add_menu,
    error_bars,
    finish,
    generator_name,
    in_order,
    records,
    row_axis,
    row_of,
    several_seeds,
    span_text,
)

MEAN = "mean"  # in the column generator
RANKINGS: dict[str, tuple[str, str]] = {
    "omega": (FAKE, "x"),
    "omega of reals": ("#CC79A7", "circle"),
    "gradient x activation": ("#009E73", "diamond"),
    "activation": ("#E69F00", "triangle-up"),
    "single-map ablation": ("#56B4E9", "star"),
    "layer-matched": (REAL, "square"),
    "chance": ("#777777", "circle-open"),
}
"""Every ranking of the feature maps, with its colour and its symbol, in the order of a legend."""

_COLOURS = (REAL, "#E69F00", "#009E73", "#CC79A7", FAKE)
_SYMBOLS = ("square", "triangle-up", "diamond", "circle", "x")


def _name(generator: str) -> str:
    return "mean" if generator == MEAN else generator_name(generator)


def _counts(table: pd.DataFrame) -> str:
    own = table[table["generator"] != MEAN]
    return f"Per generator {span_text(own['n_real'])} reals and {span_text(own['n_fake'])} fakes."


def _percent(table: pd.DataFrame, row: Any, column: str) -> float:
    value: Any = table.loc[row, column]
    return 100 * float(value)


def _known(names: pd.Series) -> list[str]:
    unknown = sorted(set(names) - set(RANKINGS))
    if unknown:
        raise ValueError(f"rankings {unknown} have no colour: expected some of {list(RANKINGS)}")
    return [name for name in RANKINGS if name in set(names)]


def dose_curves(table: pd.DataFrame, whole: str = "whole detector") -> go.Figure:
    """AP against the number of dropped maps, one curve for each ranking; a menu chooses the generator.

    ``table`` has ``generator`` ("mean": over all), ``ranking``, ``k``, ``ap, low, high`` in [0, 1],
    ``n_real`` and ``n_fake``; the ranking called ``whole`` is the unchanged detector, drawn as a line.
    """
    curves = table[table["ranking"] != whole]
    names = _known(curves["ranking"])
    generators = [MEAN, *in_order(g for g in table["generator"] if g != MEAN)]
    largest = int(curves["k"].max())
    figure = go.Figure()
    owner = []
    for generator in generators:
        own = table[table["generator"] == generator]
        base = own[own["ranking"] == whole]
        figure.add_scatter(
            x=[0.8, 1.25 * largest],
            y=[100 * float(base["ap"].iloc[0])] * 2,
            mode="lines",
            name=whole,
            line={"color": LINE, "dash": "dot"},
            hovertemplate=f"{whole}: %{{y:.1f}} %<extra></extra>",
        )
        owner.append(generator)
        for i, name in enumerate(names):
            colour, symbol = RANKINGS[name]
            rows = own[own["ranking"] == name].sort_values("k")
            figure.add_scatter(
                x=rows["k"] * np.exp(0.04 * (i - (len(names) - 1) / 2)),  # side by side, not overlapping
                y=100 * rows["ap"],
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 1.5},
                marker={"color": colour, "symbol": symbol, "size": 8},
                error_y=error_bars(rows, "ap", thickness=1.0),
                customdata=np.stack([rows["k"], 100 * rows["low"], 100 * rows["high"]], axis=1),
                hovertemplate=name + ", %{customdata[0]} maps: AP %{y:.1f} % "
                "[%{customdata[1]:.1f}, %{customdata[2]:.1f}]<extra></extra>",
            )
            owner.append(generator)
    add_menu(
        figure,
        {("mean over generators" if g == MEAN else _name(g)): [o == g for o in owner] for g in generators},
        dropdown=True,
    )
    ticks = sorted(int(k) for k in curves["k"].unique())
    figure.update_xaxes(
        title="feature maps dropped, k (logarithmic)",
        type="log",
        tickvals=ticks,
        ticktext=[str(k) for k in ticks],
        range=[np.log10(0.8), np.log10(1.25 * largest)],
        showgrid=True,
    )
    figure.update_yaxes(title="average precision (AP), %")
    mean = curves[curves["generator"] == MEAN].set_index(["ranking", "k"])["ap"]
    described = "; ".join(
        f"{name} " + ", ".join(f"k = {k}: {100 * mean[name, k]:.0f}" for k in sorted(mean[name].index))
        for name in names
    )
    text = (
        "Average precision without the first k maps of each ranking, with 95 % intervals over pictures (and, "
        f"for the two random ones, draws). {_counts(table)} Dotted: the whole detector. The menu chooses the "
        "generator."
    )
    return finish(
        figure, 560, text, f"Average precision in percent, mean over generators. {described}.", True
    )


def ranking_areas(table: pd.DataFrame) -> go.Figure:
    """The mean AP over log k of every ranking, and its difference to omega's; buttons choose which.

    ``table`` has ``ranking`` (a name, or "name - omega" for a paired difference) and ``area, low, high``, one
    row each.
    """
    names = _known(table.loc[~table["ranking"].str.contains(" - "), "ranking"])
    figure = go.Figure()
    owner = []
    shown = table.set_index("ranking")
    for view, rows_of in (("area", names), ("minus omega", [n for n in names if n != "omega"])):
        for name in rows_of:
            row = shown.loc[[name if view == "area" else f"{name} - omega"]]
            colour, symbol = RANKINGS[name]
            ends = [100 * float(row[c].iloc[0]) for c in ("low", "high")]
            figure.add_scatter(
                x=100 * row["area"],
                y=[float(len(names) - 1 - names.index(name))],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 11},
                error_x=error_bars(row, "area"),
                hovertemplate=f"{name}: %{{x:{'.1f' if view == 'area' else '+.1f'}}} "
                f"[{ends[0]:.1f}, {ends[1]:.1f}]<extra></extra>",
                showlegend=False,
            )
            owner.append(view)
    titles = {"area": "mean AP over log k, %", "minus omega": "mean AP over log k, minus omega's, points"}
    differs = table["ranking"].str.contains(" - ")
    spans = {"area": _span(table[~differs]), "minus omega": _span(table[differs], 0.0)}
    add_menu(
        figure,
        {view: [o == view for o in owner] for view in titles},
        relayout={v: {"xaxis.title.text": title, "xaxis.range": spans[v]} for v, title in titles.items()},
    )
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    figure.update_xaxes(title=titles["area"], range=spans["area"])
    row_axis(figure, names)
    described = "; ".join(
        f"{name} {_percent(shown, name, 'area'):.1f} "
        f"[{_percent(shown, name, 'low'):.1f}, {_percent(shown, name, 'high'):.1f}]"
        for name in names
    )
    text = (
        "Area under each curve, normalised: the mean AP over log k, mean over generators, with its 95 % "
        "interval. Small: the ranking finds the maps that matter. Second view: paired differences; right of "
        "zero, omega's maps matter more."
    )
    return finish(figure, 130 + 44 * len(names), text, f"Mean AP over log k in percent: {described}.", True)


def _span(rows: pd.DataFrame, *more: float) -> list[float]:
    """A percent axis that contains all intervals: a line at zero must not stretch it."""
    low, high = 100 * min([*rows["low"], *more]), 100 * max([*rows["high"], *more])
    return [low - 0.06 * (high - low + 1), high + 0.06 * (high - low + 1)]


def contrasts(table: pd.DataFrame, names: Mapping[str, str], text: str) -> go.Figure:
    """Differences of AP with their intervals, a row for each generator and one for their mean.

    ``table`` has ``generator``, ``contrast``, ``delta_ap, low, high`` in [-1, 1], ``n_real`` and ``n_fake``;
    ``names`` gives each contrast's name in the legend, in order. Left of zero: the top-k matter more.
    ``text`` begins the caption.
    """
    generators = in_order(table["generator"])
    figure = go.Figure()
    for i, (contrast, name) in enumerate(names.items()):
        rows = table[table["contrast"] == contrast].set_index("generator")
        rows = rows.loc[[g for g in generators if g in rows.index]]
        offset = 0.27 - 0.54 * i / max(1, len(names) - 1)
        figure.add_scatter(
            x=100 * rows["delta_ap"],
            y=[row_of(generators, g) + offset for g in rows.index],
            mode="markers",
            name=name,
            marker={"color": _COLOURS[i % 5], "symbol": _SYMBOLS[i % 5], "size": 10},
            error_x=error_bars(rows, "delta_ap"),
            text=[_name(g) for g in rows.index],
            customdata=np.stack([100 * rows["low"], 100 * rows["high"]], axis=1),
            hovertemplate="%{text}, " + name + ": %{x:+.1f} points "
            "[%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    figure.update_xaxes(title="difference of AP, points", gridcolor=GRID)
    row_axis(figure, [_name(g) for g in generators])
    mean = table[table["generator"] == MEAN].set_index("contrast")
    described = "; ".join(
        f"{name} {_percent(mean, c, 'delta_ap'):+.1f} "
        f"[{_percent(mean, c, 'low'):+.1f}, {_percent(mean, c, 'high'):+.1f}]"
        for c, name in names.items()
        if c in mean.index
    )
    caption = f"{text} 95 % intervals over pictures and draws. {_counts(table)}"
    return finish(
        figure,
        170 + 56 * len(generators),
        caption,
        f"Differences of AP in points, mean over generators: {described}.",
    )


_KINDS: dict[str, tuple[str, str, str]] = {
    "halves": ("two halves of the fakes", FAKE, "x"),
    "bootstrap": ("fakes drawn anew", "#E69F00", "diamond"),
    "fake, real": ("by fakes and by reals", "#CC79A7", "circle"),
    "seeds": ("two training seeds", REAL, "square"),
    "seeds, by chance": ("two seeds, by chance", "#777777", "circle-open"),
    "seeds, layers": ("two seeds, layers only", "#009E73", "triangle-up"),
}


def ranking_stability(table: pd.DataFrame) -> go.Figure:
    """The overlap of the first k maps of two rankings, against k.

    ``table`` has ``kind``, ``k`` and ``value, low, high`` in [0, 1], one row for each kind and k.
    """
    figure = go.Figure()
    kinds = [kind for kind in _KINDS if kind in set(table["kind"])]
    for i, kind in enumerate(kinds):
        name, colour, symbol = _KINDS[kind]
        rows = table[table["kind"] == kind].sort_values("k")
        figure.add_scatter(
            x=rows["k"] * np.exp(0.03 * (i - (len(kinds) - 1) / 2)),
            y=100 * rows["value"],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 1.5, "dash": "dot" if kind == "seeds, by chance" else "solid"},
            marker={"color": colour, "symbol": symbol, "size": 8},
            error_y=error_bars(rows, "value", thickness=1.0),
            customdata=np.stack([rows["k"], 100 * rows["low"], 100 * rows["high"]], axis=1),
            hovertemplate=name + ", k = %{customdata[0]}: %{y:.0f} % "
            "[%{customdata[1]:.0f}, %{customdata[2]:.0f}]<extra></extra>",
        )
    ticks = sorted(int(k) for k in table["k"].unique())
    figure.update_xaxes(
        title="first k maps (logarithmic)",
        type="log",
        tickvals=ticks,
        ticktext=[str(k) for k in ticks],
        range=[np.log10(0.8 * ticks[0]), np.log10(1.25 * ticks[-1])],
    )
    figure.update_yaxes(title="in both rankings, %", range=[-3, 103])
    described = "; ".join(
        f"{_KINDS[kind][0]} "
        + ", ".join(f"k = {r.k}: {100 * r.value:.0f}" for r in records(table[table["kind"] == kind]))
        for kind in kinds
    )
    text = (
        "Share of the first k maps that two rankings by omega have in common. Bars: the central 95 % of the "
        "draws; for comparisons of seeds and of labels the lowest and the highest of them."
    )
    return finish(figure, 480, text, f"Overlap in percent. {described}.")


_STATES = {
    "whole": ("whole detector", "#777777", "circle"),
    "dropped": ("top-k dropped, old threshold", FAKE, "x"),
    "recalibrated": ("top-k dropped, threshold calibrated anew", REAL, "square"),
}


def threshold_drift(table: pd.DataFrame) -> go.Figure:
    """Accuracy of the whole detector and without its top-k, at the old and at a recalibrated threshold.

    ``table`` has ``generator``, ``what`` ("whole", "dropped", "recalibrated"), ``value`` (balanced accuracy)
    with ``low, high``, ``acc_real`` and ``acc_fake``, all in [0, 1]; buttons choose which.
    """
    generators = in_order(table["generator"])
    figure = go.Figure()
    owner = []
    views = {"value": "balanced", "acc_real": "reals", "acc_fake": "fakes"}
    for column in views:
        for i, (what, (name, colour, symbol)) in enumerate(_STATES.items()):
            rows = table[table["what"] == what].set_index("generator")
            rows = rows.loc[[g for g in generators if g in rows.index]]
            figure.add_scatter(
                x=100 * rows[column],
                y=[row_of(generators, g) + 0.25 - 0.25 * i for g in rows.index],
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x=error_bars(rows, "value") if column == "value" else None,
                text=[_name(g) for g in rows.index],
                hovertemplate="%{text}, " + name + ": %{x:.1f} % right<extra></extra>",
            )
            owner.append(column)
    add_menu(figure, {name: [o == column for o in owner] for column, name in views.items()})
    figure.update_xaxes(title="called right, %", range=[-3, 103])
    row_axis(figure, [_name(g) for g in generators])
    mean = table[table["generator"] == MEAN].set_index("what")
    described = "; ".join(
        f"{_STATES[what][0]}: reals {_percent(mean, what, 'acc_real'):.0f}, "
        f"fakes {_percent(mean, what, 'acc_fake'):.0f}, balanced {_percent(mean, what, 'value'):.0f}"
        for what in _STATES
    )
    text = (
        "Share called right: balanced (mean of reals and fakes, with 95 % intervals over "
        f"pictures{' and detector seeds' * several_seeds(table)}"
        f"), reals, or fakes. {_counts(table)} Both thresholds are calibrated on validation "
        "pictures."
    )
    return finish(
        figure, 190 + 52 * len(generators), text, f"Mean over generators, percent. {described}.", True
    )
