"""Explanations in pixels: how much of the relevance lies on the objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    FAKE,
    INK,
    LINE,
    REAL,
    add_menu,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    offset_of,
    records,
    row_of,
    several_seeds,
    span_text,
)

METHODS = {"guided_gradcam": "Guided Grad-CAM", "lrp": "LRP"}
"""The display name of each method of explanation."""
_MODELS = {
    "detector": ("detector", FAKE, "x"),
    "classifier": ("classifier of scenes", REAL, "circle"),
    "untrained": ("untrained network", INK, "diamond-open"),
    "edges": ("edges, no network", "#009E73", "triangle-up"),
}
_DIFFERENCES = {"guided_gradcam": ("#CC79A7", "square"), "lrp": (REAL, "circle")}
_CONTRAST = "detector - classifier"


def object_shares(table: pd.DataFrame) -> go.Figure:
    """Share of relevance on the objects over their share of area, network by network; a switch of method.

    ``table`` has ``generator, method, model, seed, value, low, high, n``, as from
    `tff_core.features.pixels.focus`; ``method`` is "guided_gradcam", "lrp", or "edges" where no network is
    used. Large marks are the rows over all seeds, small dots the single seeds. Rows without an
    interval are left out.
    """
    table = table[table["low"].notna() & table["model"].isin(list(_MODELS))]
    generators = in_order(table["generator"])
    models = [m for m in _MODELS if m in set(table["model"])]
    figure, owner = go.Figure(), []
    for method in METHODS:
        rows = table[table["method"].isin([method, "edges"])]
        for model in models:
            own = rows[rows["model"] == model]
            words, colour, symbol = _MODELS[model]
            whole = own[own["seed"].astype(str) == "all"]
            single = own[own["seed"].astype(str) != "all"]
            figure.add_scatter(
                x=single["value"] if len(single) > len(whole) else [],
                y=_rows_of(single, generators, model, models) if len(single) > len(whole) else [],
                mode="markers",
                marker={"color": colour, "size": 5, "opacity": 0.45},
                hoverinfo="skip",
                showlegend=False,
            )
            _intervals(figure, whole, _rows_of(whole, generators, model, models), words, colour, symbol)
            owner += [method, method]
    figure.add_vline(x=1, line={"color": LINE, "dash": "dot", "width": 1})
    generator_axis(figure, generators)
    top = float(np.nanmax([1.2, *table["value"], *table["high"]]))
    figure.update_xaxes(title="relevance on objects / their area", range=[0, 1.05 * top])
    add_menu(figure, {words: [o == method for o in owner] for method, words in METHODS.items()})
    pooled = table[table["seed"].astype(str) == "all"]
    mean = pooled.groupby(["method", "model"])["value"].mean().reset_index()
    described = "; ".join(
        f"{METHODS.get(r.method, r.method)}, {_MODELS[r.model][0]}: {r.value:.2f}" for r in records(mean)
    )
    several = several_seeds(table[table["model"] == "detector"])
    text = (
        "Share of the positive relevance that lies on objects, divided by their share of the area: 1 "
        "(dotted) is an explanation that knows nothing of them. Bars: 95 % intervals over pictures"
        + (" and seeds; small dots: single seeds." if several else ".")
        + " The buttons choose the method."
    )
    alternative = f"Mean over generators of relevance on objects over their area. {described or 'No number'}."
    return finish(figure, 150 + 70 * max(1, len(generators)), text, alternative, menu=True)


def share_differences(table: pd.DataFrame) -> go.Figure:
    """Detector minus classifier, generator by generator and for both methods.

    ``table`` as for `object_shares`, with rows whose ``model`` is "detector - classifier".
    """
    rows = table[(table["model"] == _CONTRAST) & table["low"].notna()]
    detector = table[table["model"] == "detector"]
    generators = in_order(rows["generator"])
    methods = [m for m in METHODS if m in set(rows["method"])]
    figure = go.Figure()
    for method in methods:
        own = rows[rows["method"] == method]
        colour, symbol = _DIFFERENCES[method]
        _intervals(figure, own, _rows_of(own, generators, method, methods), METHODS[method], colour, symbol)
    figure.add_vline(x=0, line={"color": LINE, "dash": "dot", "width": 1})
    generator_axis(figure, generators)
    figure.update_xaxes(title="detector minus classifier")
    described = "; ".join(
        f"{generator_name(r.generator)}, {METHODS[r.method]}: {r.value:+.2f} "
        f"from {r.low:+.2f} to {r.high:+.2f}"
        for r in records(rows)
    )
    n = f"{span_text(rows['n'])} pictures per generator." if len(rows) else "No picture has a segmentation."
    text = (
        "The same quotient, detector minus classifier, on the same pictures, with 95 % intervals over "
        f"pictures{' and detector seeds' if several_seeds(detector) else ''}. Left of the dotted line the "
        f"detector looks at objects less. {n}"
    )
    return finish(
        figure, 130 + 52 * max(1, len(generators)), text, f"Detector minus classifier. {described or 'None'}."
    )


def _rows_of(rows: pd.DataFrame, generators: list[str], one: str, of: list[str]) -> list[float]:
    return [row_of(generators, g) + offset_of(one, of) for g in rows["generator"]]


def _intervals(
    figure: go.Figure, rows: pd.DataFrame, y: list[float], name: str, colour: str, symbol: str
) -> None:
    figure.add_scatter(
        x=rows["value"],
        y=y,
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x=error_bars(rows, "value", scale=1),
        text=[generator_name(g) for g in rows["generator"]],
        customdata=np.stack([rows["low"], rows["high"], rows["n"]], axis=1) if len(rows) else None,
        hovertemplate="%{text}, " + name + ": %{x:.2f} [%{customdata[0]:.2f}, %{customdata[1]:.2f}], "
        "%{customdata[2]} pictures<extra></extra>",
    )
