"""What is left of explanations when a detector forgets, and whether relevance knows what started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import LINE, add_menu, error_bars, finish, records, series, span_text

_MEASURES = {
    "order": "rank correlation",
    "cosine": "cosine",
    "top": "strongest in common, beyond chance",
    "layers": "layers of the top maps, correlation",
}


def forgetting(
    table: pd.DataFrame, titles: Mapping[str, str], groups: Sequence[str], again: bool = True
) -> go.Figure:
    """How much is left of each explanation at each step; menus are the measures, and the order of forgetting.

    ``table`` has one row per ``order`` ("top down", "alone", "trained again"), ``depth``, ``explanation`` and
    ``measure`` ("order", "cosine", "top", "layers") with ``value, low, high, n``; ``titles`` names the
    explanations; ``groups`` the groups of layers, from the logit down. Dotted in each colour: what two
    detectors have in common that were trained from different seeds.
    """
    table = table[table["explanation"].isin(titles)]
    kinds = [
        (order, measure)
        for order in ("top down", "alone")
        for measure in _MEASURES
        if ((table["order"] == order) & (table["measure"] == measure) & table["value"].notna()).any()
    ]
    figure, owner = go.Figure(), []
    for order, measure in kinds:
        for place, (name, title) in enumerate(titles.items()):
            rows = table[(table["measure"] == measure) & (table["explanation"] == name)]
            own = rows[(rows["order"] == order) & rows["value"].notna()].sort_values("depth")
            if own.empty:
                continue
            colour, symbol, dash = series(place)
            apart = 0.06 * (place - (len(titles) - 1) / 2)
            figure.add_scatter(
                x=own["depth"] + apart,
                y=own["value"],
                mode="lines+markers" if order == "top down" else "markers",
                name=title,
                legendgroup=name,
                line={"color": colour, "dash": dash, "width": 2},
                marker={"color": colour, "symbol": symbol, "size": 8},
                error_y=error_bars(own, "value", "low", "high", scale=1),
                customdata=own[["low", "high"]].to_numpy(),
                text=own["group"],
                hovertemplate="%{text}, " + title + ": %{y:.2f} "
                "[%{customdata[0]:.2f}, %{customdata[1]:.2f}]<extra></extra>",
            )
            owner.append((order, measure))
            other = rows[rows["order"] == "trained again"]
            if again and order == "top down" and other["value"].notna().any():
                figure.add_scatter(
                    x=[0.6, len(groups) + 0.4],
                    y=[float(other["value"].iloc[0])] * 2,
                    mode="lines",
                    line={"color": colour, "dash": "dot", "width": 1},
                    showlegend=False,
                    legendgroup=name,
                    hovertemplate=f"{title}, another training: %{{y:.2f}}<extra></extra>",
                )
                owner.append((order, measure))
    words = {
        (order, measure): _MEASURES[measure] + ("" if order == "top down" else ", one group alone")
        for order, measure in kinds
    }
    if len(kinds) > 1:
        add_menu(figure, {words[kind]: [o == kind for o in owner] for kind in kinds}, dropdown=True)
    figure.add_hline(y=0.5, line={"color": LINE, "dash": "dash", "width": 1})
    figure.update_xaxes(
        title="forgotten, from the logit down",
        tickvals=list(range(1, len(groups) + 1)),
        ticktext=[name.replace(" to ", " to<br>") for name in groups],
        range=[0.5, len(groups) + 0.5],
    )
    figure.update_yaxes(title="what is left", range=[-0.35, 1.08])
    first = table[(table["order"] == "top down") & (table["measure"] == "order")]
    told = "; ".join(
        f"{title} " + ", ".join(f"{r.value:.2f}" for r in records(first[first["explanation"] == name]))
        for name, title in titles.items()
    )
    text = (
        "What is left of each explanation when more and more of the detector is random, from the logit down. "
        f"{span_text(table.loc[table['n'] > 0, 'n'])} fakes. Bars: 95 % intervals; dotted: what two "
        "trainings have in common; dashed: one half. The menu has the other measures, and one group alone."
    )
    described = f"Rank correlation with the trained detector's explanation, step by step. {told}."
    return finish(figure, 470, text, described, menu=len(kinds) > 1)


def starts(table: pd.DataFrame, titles: Mapping[tuple[str, str], str]) -> go.Figure:
    """How alike relevances are in each layer, from the last one down to the picture.

    ``table`` has one row per ``explanation``, ``starts`` and ``place`` (0 for the picture) with ``layer``,
    ``value, low, high`` in [0, 1] and ``n``; ``titles`` names the pairs of the first two columns.
    """
    figure, told = go.Figure(), []
    for place, ((name, kind), title) in enumerate(titles.items()):
        rows = table[(table["explanation"] == name) & (table["starts"] == kind)].sort_values("place")
        if rows.empty:
            continue
        colour, symbol, dash = series(place)
        figure.add_scatter(
            x=rows["place"],
            y=rows["value"],
            mode="lines+markers",
            name=title,
            line={"color": colour, "dash": dash, "width": 2},
            marker={"color": colour, "symbol": symbol, "size": 6},
            error_y=error_bars(rows, "value", "low", "high", scale=1),
            customdata=rows[["low", "high"]].to_numpy(),
            text=rows["layer"],
            hovertemplate="%{text}, " + title + ": %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
            "<extra></extra>",
        )
        ends = rows["value"].to_numpy()
        told.append(f"{title}: {ends[-1]:.2f} in the last layer, {ends[0]:.2f} in the picture")
    figure.add_hline(y=0.5, line={"color": LINE, "dash": "dash", "width": 1})
    last = int(np.nanmax(table["place"]))
    figure.update_xaxes(title="layer, from the last one down to the picture", range=[last + 1, -1])
    figure.update_yaxes(title="0: apart, 1: alike", range=[-0.02, 1.05])
    text = (
        "How alike two relevances are that start at random above the last layer (absolute cosine), and how "
        f"far all relevance of a layer has one sign. {span_text(table['n'])} fakes. Bars: 95 % intervals; "
        "dashed: one half."
    )
    return finish(figure, 430, text, "; ".join(told) + ".")
