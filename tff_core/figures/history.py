"""The training of the miniature's generators: what tells their fakes from reals, as it goes on."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    INK,
    LINE,
    add_menu,
    finish,
    generator_name,
    in_order,
    records,
    span_text,
)

LUMA, CHROMA = "#0072B2", "#E69F00"
_STATISTICS: dict[str, tuple[str, str, str]] = {
    "luma detail": ("luma: detail", LUMA, "circle"),
    "high to low Y": ("luma: highest over lowest frequencies", LUMA, "square"),
    "pair across Y": ("luma: pairs of columns", LUMA, "diamond"),
    "chroma detail": ("chroma: detail", CHROMA, "circle-open"),
    "high to low Cb": ("Cb: highest over lowest frequencies", CHROMA, "square-open"),
    "high to low Cr": ("Cr: highest over lowest frequencies", CHROMA, "square-cross"),
    "pair across Cb": ("Cb: pairs of columns", CHROMA, "diamond-open"),
    "pair across Cr": ("Cr: pairs of columns", CHROMA, "diamond-cross"),
    "chroma to luma": ("chroma over luma detail", INK, "x"),
}
"""Name, colour and symbol of each statistic that is drawn, in legend order."""


def training_statistics(table: pd.DataFrame) -> go.Figure:
    """AUC of single statistics, fakes above reals, against the steps of a generator's training.

    ``table`` has a row for each (generator, step, statistic): ``auc``, the mean over training seeds, their
    extremes ``low`` and ``high``, their number ``seeds``, ``n_real`` and ``n_fake``. A menu chooses the
    generator. Statistics without a name here are left out; ValueError where none has one.
    """
    table = table[table["statistic"].isin(_STATISTICS)]
    if table.empty:
        raise ValueError(f"no statistic to draw: expected rows of some of {list(_STATISTICS)}")
    generators = in_order(table["generator"])
    figure = go.Figure()
    owner = []
    for generator in generators:
        of_one = table[table["generator"] == generator]
        for statistic, (name, colour, symbol) in _STATISTICS.items():
            rows = of_one[of_one["statistic"] == statistic].sort_values("step")
            if rows.empty:
                continue
            figure.add_scatter(
                x=rows["step"],
                y=rows["auc"],
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 1.5},
                marker={"symbol": symbol, "size": 8},
                customdata=rows[["low", "high", "seeds"]].to_numpy(),
                hovertemplate=f"{name}, step " + "%{x}: AUC %{y:.2f}"
                "<br>%{customdata[0]:.2f} to %{customdata[1]:.2f} (seeds: %{customdata[2]})<extra></extra>",
            )
            owner.append(generator)
    if len(generators) > 1:
        shown = {generator_name(g): [o == g for o in owner] for g in generators}
        add_menu(figure, shown, dropdown=True)
    figure.add_hline(y=0.5, line={"color": LINE, "width": 1, "dash": "dot"})
    figure.update_xaxes(title="training step", rangemode="tozero")
    figure.update_yaxes(title="AUC, fakes above reals", range=[-0.03, 1.03])
    text = (
        "How well one number per picture tells the fakes of a generator in training from reals: not at all "
        f"at 0.5, always at 0 or 1. {span_text(table['n_real'])} scenes that it was not trained on and "
        f"{span_text(table['n_fake'])} fakes; means over {span_text(table['seeds'])} training seeds."
    )
    last = table.loc[table.groupby(["generator", "statistic"])["step"].idxmax()]
    described = "; ".join(
        f"{generator_name(r.generator)}, {_STATISTICS[r.statistic][0]} {r.auc:.2f}" for r in records(last)
    )
    return finish(
        figure, 460, text, f"AUC at the end of the training: {described}.", menu=len(generators) > 1
    )
