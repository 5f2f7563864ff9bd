"""Detectors that see all colours, luma alone or chroma alone, side by side."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    LINE,
    add_menu,
    chance_of,
    counts_text,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    records,
    row_of,
    several_seeds,
)

_SEES: dict[str, tuple[str, str, str]] = {
    "rgb": ("all colours", "#777777", "diamond"),
    "luma": ("luma alone", "#0072B2", "square"),
    "chroma": ("chroma alone", "#E69F00", "circle"),
}
"""Name, colour and symbol of what a detector sees."""


def planes(table: pd.DataFrame) -> go.Figure:
    """AP of each detector on each generator; a menu chooses the condition.

    ``table`` has one row per ``generator``, ``condition`` and ``sees`` ("rgb", "luma", "chroma"; other rows
    are left out) with ``ap, ap_low, ap_high`` in [0, 1], ``seeds``, ``n_real`` and ``n_fake``.
    """
    table = table[table["sees"].isin(_SEES)]
    generators, conditions = in_order(table["generator"]), list(dict.fromkeys(table["condition"]))
    figure, owner = go.Figure(), []
    for condition in conditions:
        for place, (sees, (name, colour, symbol)) in enumerate(_SEES.items()):
            rows = table[(table["condition"] == condition) & (table["sees"] == sees)]
            figure.add_scatter(
                x=100 * rows["ap"],
                y=[row_of(generators, g) + 0.25 - 0.25 * place for g in rows["generator"]],
                mode="markers",
                name=name,
                text=[generator_name(g) for g in rows["generator"]],
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x=error_bars(rows, "ap", "ap_low", "ap_high"),
                customdata=100 * rows[["ap_low", "ap_high"]].to_numpy(),
                hovertemplate="%{text}, " + name + ": AP %{x:.1f} % [%{customdata[0]:.1f}, "
                "%{customdata[1]:.1f}]<extra></extra>",
            )
            owner.append(condition)
    if len(conditions) > 1:
        add_menu(figure, {one: [o == one for o in owner] for one in conditions}, dropdown=True)
    figure.add_vline(x=100 * chance_of(table), line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="average precision (AP), %", range=[38, 101.5])
    generator_axis(figure, generators)
    text = (
        "Average precision of detectors trained alike that see different parts of the same pictures. "
        f"{counts_text(table)} Bars: 95 % intervals over pictures"
        + (" and detector seeds" if several_seeds(table) else "")
        + "; dotted line: a random order, on average."
    )
    first = table[table["condition"] == conditions[0]]
    told = {(r.generator, r.sees): 100 * r.ap for r in records(first)}
    described = "; ".join(
        f"{generator_name(g)}: "
        + ", ".join(f"{_SEES[s][0]} {told[g, s]:.1f}" for s in _SEES if (g, s) in told)
        for g in generators
    )
    height = 190 + 54 * max(2, len(generators))
    return finish(figure, height, text, f"AP in percent. {described}.", menu=len(conditions) > 1)
