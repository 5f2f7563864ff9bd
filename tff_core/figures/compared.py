"""Average precision of several scores of the same pictures, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    LINE,
    SEED_COLOURS,
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

_COLOURS = (*SEED_COLOURS, "#D55E00", "#777777")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "diamond-open")
_SIDE_BY_SIDE = 0.6  # of a row's height, from the first to the last


def compared(
    table: pd.DataFrame,
    titles: Mapping[str, str],
    text: str,
    styles: Mapping[str, tuple[str, str]] | None = None,
) -> go.Figure:
    """AP on each generator of everything that ``titles`` names; a menu chooses among several conditions.

    ``table`` has one row per ``generator``, ``name`` and, where there are several, ``condition``, with
    ``ap, ap_low, ap_high`` in [0, 1], ``seeds``, ``n_real`` and ``n_fake``; rows of other names are left out.
    ``text`` begins the caption, ``styles`` are colour and symbol by name.
    """
    table = table[table["name"].isin(titles)]
    if "condition" not in table:
        table = table.assign(condition="")
    generators, conditions = in_order(table["generator"]), list(dict.fromkeys(table["condition"]))
    styles = styles or dict(zip(titles, zip(_COLOURS, _SYMBOLS, strict=True), strict=False))
    step = _SIDE_BY_SIDE / max(1, len(titles) - 1)
    figure, owner = go.Figure(), []
    for condition in conditions:
        for place, (name, title) in enumerate(titles.items()):
            rows = table[(table["condition"] == condition) & (table["name"] == name)]
            colour, symbol = styles[name]
            figure.add_scatter(
                x=100 * rows["ap"],
                y=[row_of(generators, g) + _SIDE_BY_SIDE / 2 - step * place for g in rows["generator"]],
                mode="markers",
                name=title,
                text=[generator_name(g) for g in rows["generator"]],
                marker={"color": colour, "symbol": symbol, "size": 10 if len(titles) < 5 else 8},
                error_x=error_bars(rows, "ap", "ap_low", "ap_high"),
                customdata=100 * rows[["ap_low", "ap_high"]].to_numpy(),
                hovertemplate="%{text}, " + title + ": AP %{x:.1f} % [%{customdata[0]:.1f}, "
                "%{customdata[1]:.1f}]<extra></extra>",
            )
            owner.append(condition)
    if len(conditions) > 1:
        add_menu(figure, {one: [o == one for o in owner] for one in conditions}, dropdown=True)
    figure.add_vline(x=100 * chance_of(table), line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(
        title="average precision (AP), %", range=[min(38.0, 100 * float(table["ap"].min()) - 4), 101.5]
    )
    generator_axis(figure, generators)
    caption = (
        f"{text} {counts_text(table)} Bars: 95 % intervals over pictures"
        + (" and detector seeds" if several_seeds(table) else "")
        + "; dotted line: a random order, on average."
    )
    first = table[table["condition"] == conditions[0]]
    told = {(r.generator, r.name): 100 * r.ap for r in records(first)}
    described = "; ".join(
        f"{generator_name(g)}: "
        + ", ".join(f"{title} {told[g, name]:.1f}" for name, title in titles.items() if (g, name) in told)
        for g in generators
    )
    rows_high = 54 if len(titles) < 5 else 70
    height = 190 + rows_high * max(2, len(generators))
    return finish(figure, height, caption, f"AP in percent. {described}.", menu=len(conditions) > 1)
