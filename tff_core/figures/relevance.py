"""Relevance and the ranking of feature maps made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    CONDITIONS,
    FAKE,
    INK,
    LINE,
    REAL,
    SEED_COLOURS,
    add_menu,
    finish,
    known_conditions,
    records,
    row_axis,
)
from tff_core.pictures import sheets


def conservation(sums: pd.DataFrame, cuts: Mapping[str, float]) -> go.Figure:
    """How much relevance arrives at every convolution, as a share of the logit.

    ``sums`` has ``layer`` (in forward order) and ``share``, sum of the relevance divided by the logit;
    ``cuts`` are the places that all relevance must pass, by name, each placed at the last layer it names.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(len(sums))),
        y=sums["share"],
        mode="markers",
        name="one convolution",
        marker={"color": INK, "size": 7},
        text=sums["layer"],
        hovertemplate="%{text}: %{y:.4f}<extra></extra>",
    )
    position = {layer: i for i, layer in enumerate(sums["layer"])}
    at = [
        max((i for layer, i in position.items() if layer in name.split(" + ")), default=-1) for name in cuts
    ]
    figure.add_scatter(
        x=at,
        y=list(cuts.values()),
        mode="markers",
        name="a place that all relevance passes",
        marker={"color": FAKE, "size": 12, "symbol": "diamond"},
        text=list(cuts),
        hovertemplate="%{text}: %{y:.4f}<extra></extra>",
    )
    figure.add_hline(y=1, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="convolution, in forward order")
    figure.update_yaxes(title="relevance / logit", rangemode="tozero")
    described = "; ".join(f"{name} {value:.3f}" for name, value in cuts.items())
    text = (
        "Relevance arriving at each convolution of one picture, divided by its logit. Diamonds: cuts through "
        "the network that all relevance passes. Other convolutions lie on a branch and carry a part of it."
    )
    return finish(figure, 400, text, f"Share of the logit at each cut: {described}.")


def relevance_maps(
    picture: np.ndarray, maps: Mapping[str, np.ndarray], shown: str = "A fake picture"
) -> go.Figure:
    """A picture beside its relevance; a slider walks through the layers.

    ``picture`` is uint8 (H, W, 3); ``maps`` holds one (h, w) array of signed relevance per layer; ``shown``
    says what the picture is. Each layer has its own colour scale, symmetric about zero.
    """
    if not maps:
        raise ValueError("no relevance maps to draw: expected one (h, w) array per layer")
    figure = go.Figure()
    figure.add_trace(go.Image(source=sheets.png(picture), xaxis="x", yaxis="y", hoverinfo="skip"))
    height, width = picture.shape[:2]
    for i, (layer, values) in enumerate(maps.items()):
        scale = float(np.abs(values).max()) or 1.0
        h, w = values.shape
        figure.add_heatmap(
            z=np.round(values / scale, 3),
            x0=width / w / 2 - 0.5,
            dx=width / w,
            y0=height / h / 2 - 0.5,
            dy=height / h,
            xaxis="x2",
            yaxis="y2",
            zmin=-1,
            zmax=1,
            colorscale="RdBu",
            reversescale=True,
            visible=i == 0,
            name=layer,
            colorbar={
                "orientation": "h",
                "y": -0.02,
                "yanchor": "top",
                "thickness": 10,
                "len": 0.46,
                "x": 0.77,
                "tickvals": [-1, 0, 1],
                "ticktext": ["real", "0", "fake"],
            },
            hovertemplate=layer + ": %{z:.2f} of the largest<extra></extra>",
        )
    steps = [
        {
            "label": layer,
            "method": "restyle",
            "args": [{"visible": [True] + [j == i for j in range(len(maps))]}],
        }
        for i, layer in enumerate(maps)
    ]
    figure.update_layout(
        sliders=[
            {
                "steps": steps,
                "active": 0,
                "x": 0,
                "len": 1,
                "y": -0.14,
                "pad": {"t": 30},
                "ticklen": 3,
                "currentvalue": {"prefix": "layer: ", "font": {"color": INK, "size": 14}, "xanchor": "left"},
                "font": {"color": "rgba(0,0,0,0)", "size": 8},
                "bgcolor": "#c8ced4",
                "bordercolor": LINE,
            }
        ],
        xaxis={"domain": [0, 0.46], "visible": False, "range": [-0.5, width - 0.5], "constrain": "domain"},
        yaxis={"visible": False, "range": [height - 0.5, -0.5], "scaleanchor": "x", "constrain": "domain"},
        xaxis2={"domain": [0.54, 1], "visible": False, "range": [-0.5, width - 0.5], "constrain": "domain"},
        yaxis2={
            "visible": False,
            "range": [height - 0.5, -0.5],
            "scaleanchor": "x2",
            "anchor": "x2",
            "constrain": "domain",
        },
    )
    text = (
        f"{shown} and the relevance of its logit, summed over the channels of a layer. Red speaks for "
        "fake, blue against it; each layer has its own scale. The slider walks through the layers."
    )
    return finish(figure, 430, text, f"Relevance of {len(maps)} layers over one picture, with a slider.")


def omega_ranks(omegas: Mapping[str, Sequence[float]], k: int, paper_at_k: float | None = None) -> go.Figure:
    """Omega against rank, both on logarithmic axes, one line per detector seed.

    ``omegas`` maps a name (``seed 0``) to omega in descending order; zeros (no logarithm) are left out.
    ``paper_at_k`` is the published omega at rank k.
    """
    figure = go.Figure()
    for i, (name, values) in enumerate(omegas.items()):
        kept = np.asarray(values, dtype=float)
        kept = kept[kept > 0]
        # a line on a logarithmic axis needs hundreds of points, not tens of thousands: the page stays small
        ranks = np.unique(np.round(np.geomspace(1, len(kept), 300)).astype(int))
        figure.add_scatter(
            x=ranks,
            y=[float(f"{v:.4g}") for v in kept[ranks - 1]],
            mode="lines",
            name=name,
            line={
                "color": SEED_COLOURS[i % 5],
                "width": 2,
                "dash": ("solid", "dash", "dot", "dashdot")[i % 4],
            },
            hovertemplate=name + ": rank %{x}, omega %{y:.4g}<extra></extra>",
        )
    if paper_at_k is not None:
        figure.add_scatter(
            x=[k],
            y=[paper_at_k],
            mode="markers",
            name=f"the paper, rank {k}",
            marker={"color": INK, "symbol": "star", "size": 13},
            hovertemplate="the paper: rank %{x}, omega %{y:.4g}<extra></extra>",
        )
    figure.add_vline(x=k, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(type="log", title="rank of the feature map", dtick=1)
    figure.update_yaxes(type="log", title="omega", exponentformat="power", dtick=1)
    described = "; ".join(
        f"{name}: largest {max(values):.3g}, "
        f"at rank {k} {sorted(values, reverse=True)[min(k, len(values)) - 1]:.3g}"
        for name, values in omegas.items()
    )
    text = f"Omega of every feature map, sorted; the dotted line marks k = {k}. Zeros are not drawn."
    return finish(figure, 420, text, f"Rank plot of omega. {described}.")


def layer_mix(counts: pd.DataFrame) -> go.Figure:
    """Which parts of the network the top-k come from, as shares, one bar per source.

    ``counts`` has ``source`` (``seed 0``, ``the paper``, ``all maps``), ``group`` (part of the network, in
    forward order) and ``count``.
    """
    groups = list(dict.fromkeys(counts["group"]))
    sources = list(dict.fromkeys(counts["source"]))
    wide = counts.pivot_table(index="source", columns="group", values="count", aggfunc="sum", fill_value=0)
    wide = wide.reindex(index=sources, columns=groups)
    shares = wide.div(wide.sum(axis=1), axis=0)
    colours = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#999999")
    figure = go.Figure()
    for i, group in enumerate(groups):
        figure.add_bar(
            x=100 * shares[group],
            y=sources,
            orientation="h",
            name=group,
            marker={"color": colours[i % 7]},
            customdata=wide[group],
            hovertemplate=f"{group}: " + "%{customdata} maps, %{x:.1f} %<extra>%{y}</extra>",
        )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(title="share of the maps, %", range=[0, 100])
    figure.update_yaxes(autorange="reversed")
    described = "; ".join(
        f"{source}: " + ", ".join(f"{group} {int(wide.loc[source, group])}" for group in groups)
        for source in sources
    )
    text = "Where the top-k feature maps lie in the network, beside the network's own composition."
    return finish(
        figure, 150 + 46 * len(sources), text, f"Number of maps by part of the network. {described}."
    )


def layer_sums(table: pd.DataFrame) -> go.Figure:
    """Sum of omega over each layer, or the omega of its average map; a switch chooses between the two.

    ``table`` has ``layer`` in forward order, ``channels``, ``fake`` and ``real`` (sum of omega over the
    layer) and ``top`` (how many of the top-k the layer holds).
    """
    figure = go.Figure()
    for column, colour, symbol in (("fake", FAKE, "circle"), ("real", REAL, "circle-open")):
        if column not in table:
            continue
        for per_map in (False, True):
            y = table[column] / table["channels"] if per_map else table[column]
            figure.add_scatter(
                x=list(range(len(table))),
                y=[float(f"{v:.4g}") for v in y],
                mode="lines+markers",
                name=f"omega on {column}s",
                line={"color": colour, "width": 1},
                marker={"symbol": symbol, "size": 7},
                visible=not per_map,
                customdata=np.stack([table["layer"], table["channels"], table["top"]], axis=1),
                hovertemplate="%{customdata[0]}, %{customdata[1]} channels, "
                "%{customdata[2]} of the top-k: %{y:.4g}<extra></extra>",
            )
    n = len(figure.data)
    add_menu(
        figure,
        {"sum of the layer": [i % 2 == 0 for i in range(n)], "mean per map": [i % 2 == 1 for i in range(n)]},
        relayout={
            "sum of the layer": {"yaxis.title.text": "sum of omega over the layer"},
            "mean per map": {"yaxis.title.text": "mean omega of a map"},
        },
    )
    figure.update_xaxes(title="convolution, in forward order")
    figure.update_yaxes(title="sum of omega over the layer", rangemode="tozero")
    best = table.assign(mean=table["fake"] / table["channels"]).nlargest(3, "mean")
    described = "; ".join(f"{r.layer} ({r.channels} channels) {r.mean:.3g}" for r in records(best))
    text = (
        "Omega layer by layer. The sum of a layer is the positive share of its relevance and lies between "
        "0 and 1 whatever its width, so a map of a narrow layer gets a larger piece: switch to the mean."
    )
    return finish(figure, 430, text, f"Omega by layer. Largest mean per map: {described}.", menu=True)


def overlap(matrix: np.ndarray, names: Sequence[str], k: int) -> go.Figure:
    """How many of their top-k two rankings share: an annotated (n, n) table of counts."""
    figure = go.Figure(
        go.Heatmap(
            z=matrix,
            x=list(names),
            y=list(names),
            zmin=0,
            zmax=k,
            colorscale="Cividis",
            text=matrix.astype(int),
            texttemplate="%{text}",
            textfont={"size": 15},
            showscale=False,
            hovertemplate="%{x} and %{y}: %{z} of " + str(k) + "<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    pairs = [f"{names[i]} and {names[j]} {int(matrix[i, j])}" for i in range(len(names)) for j in range(i)]
    text = f"Feature maps that two rankings share among their top {k}."
    return finish(figure, 180 + 44 * len(names), text, f"Overlap of top {k}: {'; '.join(pairs)}.")


def shifts(table: pd.DataFrame) -> go.Figure:
    """The shift of each dropped map from its usual mean, in its own standard deviations; two sets of maps.

    ``table`` has ``map``, ``group`` (part of the network, in forward order), ``set`` (a condition) and
    ``shift`` (>= 0).
    """
    groups = list(dict.fromkeys(table["group"]))
    sets = list(dict.fromkeys(known_conditions(table.rename(columns={"set": "condition"}))["condition"]))
    figure = go.Figure()
    for i, one in enumerate(sets):
        rows = table[table["set"] == one]
        name, colour, symbol = CONDITIONS[one]
        figure.add_scatter(
            x=rows["shift"].round(3),
            y=[len(groups) - 1 - groups.index(g) + 0.16 - 0.32 * i for g in rows["group"]],
            mode="markers",
            name=name,
            text=rows["map"],
            marker={"color": colour, "symbol": symbol, "size": 8, "opacity": 0.6},
            hovertemplate="%{text}: %{x:.2f} standard deviations<extra></extra>",
        )
    figure.update_xaxes(title="shift, standard deviations of the map", rangemode="tozero")
    row_axis(figure, groups)
    described = "; ".join(
        f"{CONDITIONS[one][0]}: median {table.loc[table['set'] == one, 'shift'].median():.2f}" for one in sets
    )
    text = (
        "How far each dropped map is moved from its usual mean, in standard deviations of that map over the "
        "training pictures: the top-k, and one draw of the layer-matched control."
    )
    return finish(figure, 190 + 46 * len(groups), text, f"Shifts of {len(table)} maps. {described}.")
