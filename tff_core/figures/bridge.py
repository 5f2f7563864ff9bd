"""Tasks that share feature maps: what they have in common, and what they lose without each other's maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    FAKE,
    INK,
    LINE,
    add_menu,
    error_bars,
    finish,
    generator_name,
    records,
    row_axis,
    series,
    several_seeds,
    span_text,
)

ALL = "all layers"
_TWICE = "what two measurements of one and the same task would give"
_CONTRASTS = {
    "top-k - matched-k": "minus layer-matched",
    "top-k - baseline": "minus whole network",
    "low-k - baseline": "low-k minus whole",
}


def bridge_overlap(table: pd.DataFrame) -> go.Figure:
    """Maps among the first k of two tasks, beyond what their layers give by chance; a menu chooses k.

    ``table`` has a row for each two tasks ``a`` and ``b`` and each ``k``: ``shared``, ``expected``,
    ``chance_low`` and ``chance_high`` (maps), ``value, low, high`` (as shares of k), ``p_more``, ``n_a`` and
    ``n_b``, and ``ceiling``, what two measurements of one task would give. What is missing is not drawn.
    """
    scaled = table.assign(
        grey_low=100 * (table["chance_low"] - table["expected"]) / table["k"],
        grey_high=100 * (table["chance_high"] - table["expected"]) / table["k"],
    )
    ks = [int(k) for k in dict.fromkeys(table["k"])]
    pairs = _pairs(table)

    def chance(figure: go.Figure, rows: pd.DataFrame, y: list[float]) -> None:
        x: list[float | None] = []
        at: list[float | None] = []
        for place, row in zip(y, records(rows), strict=True):
            x += [row.grey_low, row.grey_high, None]
            at += [place, place, None]
        figure.add_scatter(
            x=x,
            y=at,
            mode="lines",
            name="95 % of chance",
            line={"color": "rgba(128,128,128,0.4)", "width": 14},
            hoverinfo="skip",
        )

    views = {f"first {k} maps": scaled[scaled["k"] == k] for k in ks}
    hover = (
        "%{text}: %{customdata[2]} in common, %{customdata[3]:.1f} expected, p = %{customdata[4]:.2g}<br>"
        "%{x:+.0f} % of k [%{customdata[0]:+.0f}, %{customdata[1]:+.0f}] over %{customdata[5]} and "
        "%{customdata[6]} pictures<extra></extra>"
    )
    figure = _dots(views, pairs, 100, ["shared", "expected", "p_more", "n_a", "n_b"], hover, chance)
    figure.update_xaxes(title="shared beyond chance, % of k")
    told = "; ".join(
        f"{_pair(r.a, r.b)} {r.shared} of {r.k}, {r.expected:.1f} by chance, p = {r.p_more:.2g}"
        for r in records(views[f"first {ks[0]} maps"])
    )
    text = (
        "Feature maps that two tasks have among their first k, less what is expected from their numbers of "
        "maps in each layer alone. Bars: 95 % intervals over pictures; grey: the central 95 % of chance; "
        f"upright: {_TWICE}. {_pictures(table)}"
    )
    return finish(figure, _height(len(pairs)), text, f"Maps in common: {told}.", menu=len(views) > 1)


def bridge_correlation(table: pd.DataFrame) -> go.Figure:
    """How alike two tasks rank the maps of a layer; a menu chooses the layer, first all of them.

    ``table`` has a row for each two tasks ``a`` and ``b`` and each ``layer``: ``channels``, ``value, low,
    high`` in [-1, 1], ``ceiling``, ``p``, ``n_a`` and ``n_b``. What is missing is not drawn.
    """
    layers = sorted(dict.fromkeys(table["layer"]), key=lambda layer: layer != ALL)
    pairs = _pairs(table)
    views = {layer: table[(table["layer"] == layer) & table["value"].notna()] for layer in layers}
    hover = (
        "%{text}: %{x:+.2f} [%{customdata[0]:+.2f}, %{customdata[1]:+.2f}], p = %{customdata[2]:.2g}, "
        "%{customdata[3]} maps<extra></extra>"
    )
    figure = _dots(views, pairs, 1, ["p", "channels"], hover)
    figure.update_xaxes(title="rank correlation of omega", range=[-1.05, 1.05])
    told = "; ".join(f"{_pair(r.a, r.b)} {r.value:+.2f}" for r in records(views[layers[0]]))
    text = (
        "Spearman's correlation of the omega of two tasks over the maps of a layer, and its mean over layers "
        f"weighted by their maps, with 95 % intervals over pictures. Upright: "
        f"{_TWICE}. {_pictures(table)}"
    )
    return finish(figure, _height(len(pairs)), text, f"{layers[0]}: {told}.", menu=len(views) > 1)


def bridge_specific(table: pd.DataFrame) -> go.Figure:
    """What two tasks have in common, less what one has with the other untrained; a menu chooses the measure.

    ``table`` has a row for each two tasks ``a`` and ``b`` and each ``measure`` ("first k", or "order"):
    ``together``, ``control``, ``value, low, high``, ``p``, ``draws``, ``n_a`` and ``n_b``. A missing value is
    not drawn.
    """
    pairs = _pairs(table)
    known = table[table["value"].notna()]
    views = {m: known[known["measure"] == m] for m in dict.fromkeys(table["measure"])}
    hover = (
        "%{text}: %{customdata[2]:.2f}, untrained %{customdata[3]:.2f}, p = %{customdata[4]:.2g}<br>"
        "%{x:+.2f} [%{customdata[0]:+.2f}, %{customdata[1]:+.2f}], %{customdata[5]} draws<extra></extra>"
    )
    figure = _dots(views, pairs, 1, ["together", "control", "p", "draws"], hover)
    figure.update_xaxes(title="in common beyond untrained")
    first = next(iter(views))
    told = "; ".join(
        f"{_pair(r.a, r.b)} {r.together:.2f}, untrained {r.control:.2f}" for r in records(views[first])
    )
    text = (
        "What two tasks have in common (the share of their first k maps, or the rank correlation within "
        "layers) less what one of them has, on average, with the other untrained: its own layers' weights in "
        f"random order. 95 % intervals of the mean, over pictures and draws. {_pictures(table)}"
    )
    return finish(figure, _height(len(pairs)), text, f"{first}: {told}.", menu=len(views) > 1)


def bridge_breakage(table: pd.DataFrame) -> go.Figure:
    """What each task loses without the first k maps of its own ranking and of the others'.

    ``table`` has a row for each task that is ``measured``, each whose maps are dropped (``ranked``) and each
    ``contrast``: ``delta_ap, low, high`` in [-1, 1], ``k``, ``control`` (maps), ``n_real``, ``n_fake``; rows
    of single seeds are left out where there are some of all. A menu chooses the contrast.
    """
    if "seed" in table and (table["seed"].astype(str) == "all").any():
        several = several_seeds(table)
        table = table[table["seed"].astype(str) == "all"]
    else:
        several = False
    measured, ranked = (list(dict.fromkeys(table[c])) for c in ("measured", "ranked"))
    contrasts = [c for c in _CONTRASTS if c in set(table["contrast"])]
    figure, owner = go.Figure(), []
    for contrast in contrasts:
        for i, task in enumerate(ranked):
            rows = table[(table["contrast"] == contrast) & (table["ranked"] == task)]
            shift = 0.32 - 0.64 * i / max(1, len(ranked) - 1) if len(ranked) > 1 else 0.0
            colour, symbol, _ = series(i)
            figure.add_scatter(
                x=100 * rows["delta_ap"],
                y=[len(measured) - 1 - measured.index(m) + shift for m in rows["measured"]],
                mode="markers",
                name=f"maps of {generator_name(task)}",
                marker={"color": colour, "symbol": symbol, "size": 9},
                error_x=error_bars(rows, "delta_ap"),
                text=[generator_name(m) for m in rows["measured"]],
                customdata=np.stack([100 * rows["low"], 100 * rows["high"], rows["k"]], axis=1),
                hovertemplate=f"%{{text}} without %{{customdata[2]}} maps of {generator_name(task)}: "
                "%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<extra></extra>",
            )
            owner.append(contrast)
    if len(contrasts) > 1:
        add_menu(figure, {_CONTRASTS[c]: [o == c for o in owner] for c in contrasts}, dropdown=True)
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    row_axis(figure, [generator_name(m) for m in measured])
    figure.update_xaxes(title="difference of AP, points")
    shown = table[table["contrast"] == contrasts[0]]
    told = "; ".join(
        f"{generator_name(r.measured)} without {generator_name(r.ranked)}'s {100 * r.delta_ap:+.1f} "
        f"[{100 * r.low:+.1f}, {100 * r.high:+.1f}]"
        for r in records(shown)
    )
    text = (
        f"A row for each task: its AP without the {span_text(table['k'])} maps that come first for itself or "
        f"for another task, less that without as many others of the same layers ({_mean(table['control'])} "
        "on average). Left of zero: it needs these maps more. 95 % intervals over pictures"
        f"{', draws and training seeds' if several else ' and draws'}; {span_text(table['n_fake'])} pictures "
        f"of the task and {span_text(table['n_real'])} others. The menu changes the comparison."
    )
    height = 190 + len(measured) * (30 + 18 * len(ranked)) + 20 * len(ranked)
    return finish(figure, height, text, f"{contrasts[0]}, points of AP: {told}.", menu=len(contrasts) > 1)


def _mean(values: pd.Series) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(table["a"], table["b"], strict=True)))


def _pair(a: str, b: str, between: str = " and ") -> str:
    return f"{generator_name(a)}{between}{generator_name(b)}"


def _pictures(table: pd.DataFrame) -> str:
    return f"{span_text([*table['n_a'], *table['n_b']])} pictures a task."


def _height(rows: int) -> int:
    return 190 + 40 * max(2, rows)


def _dots(
    views: dict[str, pd.DataFrame],
    pairs: list[tuple[str, str]],
    scale: float,
    columns: list[str],
    hover: str,
    behind: Callable[[go.Figure, pd.DataFrame, list[float]], None] | None = None,
) -> go.Figure:
    """A row for each two tasks with the value and its interval; a menu chooses the view."""
    figure, owner = go.Figure(), []
    for view, rows in views.items():
        y = [float(len(pairs) - 1 - pairs.index((r.a, r.b))) for r in records(rows)]
        if behind is not None:
            behind(figure, rows, y)
            owner.append(view)
        if "ceiling" in rows:
            figure.add_scatter(
                x=scale * rows["ceiling"],
                y=y,
                mode="markers",
                name="one task twice",
                marker={
                    "symbol": "line-ns-open",
                    "size": 16,
                    "color": INK,
                    "line": {"width": 1.5, "color": INK},
                },
                hovertemplate="one task measured twice: %{x:.2f}<extra></extra>",
            )
            owner.append(view)
        bars: Any = error_bars(rows, "value", scale=scale, thickness=2)
        for side in ("array", "arrayminus"):  # a task known by omega alone has no interval
            bars[side] = bars[side].fillna(0)
        figure.add_scatter(
            x=scale * rows["value"],
            y=y,
            mode="markers",
            name="two tasks",
            showlegend="ceiling" in rows,
            marker={"color": FAKE, "symbol": "diamond", "size": 10},
            error_x=bars,
            text=[_pair(r.a, r.b) for r in records(rows)],
            customdata=np.stack(
                [scale * rows["low"], scale * rows["high"], *(rows[c] for c in columns)], axis=1
            ),
            hovertemplate=hover,
        )
        owner.append(view)
    if len(views) > 1:
        add_menu(figure, {v: [o == v for o in owner] for v in views}, dropdown=True)
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    row_axis(figure, [_pair(a, b, ",<br>") for a, b in pairs])
    return figure
