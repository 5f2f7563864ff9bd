"""Plotly figures from tidy tables: layout, colour, captions and alternative text; nothing is computed here.

Every function takes tables (or plain arrays) that other rooms made and returns a ``plotly`` figure that a
reader can hover, switch and slide without a kernel. The caption and the text alternative travel with the
figure, in ``layout.meta``; `show` displays a figure with its caption below it. Data hold probabilities and
average precisions in [0, 1]; the axes show percent.

Colours are those of Okabe and Ito (2008), told apart also by symbol, so that a figure survives colour
blindness and a grey print. Backgrounds are transparent and the ink is a middle grey: the same figure is read
on a light and on a dark page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image

INK = "#777777"
GRID = "rgba(128,128,128,0.25)"
LINE = "rgba(128,128,128,0.7)"
REAL, FAKE = "#0072B2", "#D55E00"
SEED_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
"""One colour per detector seed, in order."""

CONDITIONS: dict[str, tuple[str, str, str]] = {
    "baseline": ("whole detector", "#777777", "circle"),
    "low-k": ("low-k dropped", "#E69F00", "triangle-up"),
    "random-k": ("random-k dropped", "#009E73", "diamond"),
    "random-k-ensemble": ("random-k, ensemble of 5", "#CC79A7", "diamond-open"),
    "matched-k": ("layer-matched random dropped", "#0072B2", "square"),
    "top-k": ("top-k dropped", "#D55E00", "x"),
}
"""What each condition is called in a figure, its colour and its symbol, in the order of a legend."""

GENERATORS = {
    "progan": "ProGAN",
    "stylegan2": "StyleGAN2",
    "stylegan": "StyleGAN",
    "biggan": "BigGAN",
    "cyclegan": "CycleGAN",
    "stargan": "StarGAN",
    "gaugan": "GauGAN",
}
"""How the paper writes each family's name, in the paper's order."""


def generator_name(generator: str) -> str:
    """The family's name as the paper writes it; an unknown generator keeps its own name."""
    return GENERATORS.get(generator, generator)


def show(figure: go.Figure) -> None:
    """Display ``figure`` and, below it, the caption it carries. For notebooks."""
    from IPython.display import Markdown, display

    display(figure)
    display(Markdown(f"*{caption(figure)}*"))


def caption(figure: go.Figure) -> str:
    """The caption that a function of this module gave to ``figure``."""
    return figure.layout.meta["caption"]


def alt(figure: go.Figure) -> str:
    """The text alternative that a function of this module gave to ``figure``."""
    return figure.layout.meta["alt"]


# ----------------------------------------------------------------------------------------- the finding


def finding(summary: pd.DataFrame, paper: pd.DataFrame | None = None, k: int | None = None) -> go.Figure:
    """AP of every generator under every condition, with a switch between measured and published numbers.

    Parameters
    ----------
    summary: one row per generator and condition with ``ap``, ``low``, ``high`` in [0, 1], ``seeds``,
        ``draws``, ``n_real`` and ``n_fake``; optionally ``points``, the AP of every seed and draw, drawn
        faintly.
    paper: the published table, with ``generator``, ``condition`` and ``ap`` in [0, 1]; none leaves the
        switch out.
    k: how many maps are dropped; named in the caption.
    """
    summary = _known(summary)
    generators = _order(summary["generator"])
    figure = go.Figure()
    conditions = [name for name in CONDITIONS if name in set(summary["condition"])]
    for condition in conditions:
        rows = summary[summary["condition"] == condition].set_index("generator")
        rows = rows.loc[[g for g in generators if g in rows.index]]
        y = [_row(generators, g) + _offset(condition, conditions) for g in rows.index]
        if "points" in rows:
            _cloud(figure, rows["points"], y, CONDITIONS[condition][1])
        _dots(figure, condition, rows, y, bars=True)
    measured = len(figure.data)
    if paper is not None:
        table = _known(paper)
        present = [name for name in conditions if name in set(table["condition"])]
        for condition in present:
            rows = table[table["condition"] == condition].set_index("generator")
            rows = rows.loc[[g for g in generators if g in rows.index]]
            y = [_row(generators, g) + _offset(condition, conditions) for g in rows.index]
            _dots(figure, condition, rows, y, bars=False, visible=False)
        total = len(figure.data)
        _switch(
            figure,
            {
                "Measured here": [i < measured for i in range(total)],
                "The paper": [i >= measured for i in range(total)],
            },
        )
    chance = float((summary["n_fake"] / (summary["n_fake"] + summary["n_real"])).mean())
    figure.add_vline(x=100 * chance, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="average precision (AP), %", range=[min(38.0, 100 * chance - 8), 101.5])
    _generator_axis(figure, generators)
    what = f"{k} feature maps" if k else "k feature maps"
    text = (
        f"Average precision on each generator, with the whole detector and with {what} held constant. "
        f"{_counts(summary)} Whiskers: lowest to highest bound of the seeds' 95 % intervals; "
        "faint dots: single seeds and draws; dotted line: chance."
    )
    if paper is not None:
        text += " The paper reports one detector, no intervals and no layer-matched control."
    return _finish(
        figure, 220 + 60 * max(3, len(generators)), text, _alt_ap(summary, generators), menu=paper is not None
    )


def accuracies(summary: pd.DataFrame, paper: pd.DataFrame | None = None) -> go.Figure:
    """Real accuracy against fake accuracy at the calibrated threshold, one point per generator and condition.

    ``summary`` and ``paper`` hold ``generator``, ``condition``, ``acc_real`` and ``acc_fake`` in [0, 1]. A
    point in the lower right corner calls everything real, one in the upper left corner everything fake.
    """
    figure = go.Figure()
    sources = [("Measured here", _known(summary))]
    if paper is not None:
        sources.append(("The paper", _known(paper)))
    spans: dict[str, int] = {}
    for label, table in sources:
        for condition in [name for name in CONDITIONS if name in set(table["condition"])]:
            rows = table[table["condition"] == condition]
            name, colour, symbol = CONDITIONS[condition]
            figure.add_scatter(
                x=100 * rows["acc_real"],
                y=100 * rows["acc_fake"],
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 10, "opacity": 0.85},
                text=[generator_name(g) for g in rows["generator"]],
                visible=label == "Measured here",
                hovertemplate="%{text}, "
                + name
                + "<br>real right %{x:.1f} %<br>fake right %{y:.1f} %<extra></extra>",
            )
        spans[label] = len(figure.data)
    if paper is not None:
        first, total = spans["Measured here"], spans["The paper"]
        _switch(
            figure,
            {
                "Measured here": [i < first for i in range(total)],
                "The paper": [i >= first for i in range(total)],
            },
        )
    for x, y, text, xanchor in (
        (0, 107, "all called fake", "left"),
        (100, -8, "all called real", "right"),
        (100, 107, "all right", "right"),
    ):
        figure.add_annotation(
            x=x, y=y, text=text, showarrow=False, xanchor=xanchor, font={"size": 11, "color": INK}
        )
    figure.update_xaxes(title="reals called real, %", range=[-4, 104])
    figure.update_yaxes(title="fakes called fake, %", range=[-13, 112], tickvals=[0, 20, 40, 60, 80, 100])
    text = (
        "Real and fake accuracy together, at the whole detector's threshold; one point per generator and "
        f"condition, mean over seeds and draws. {_counts(summary)}"
    )
    described = "; ".join(
        f"{CONDITIONS[str(c)][0]}: real {100 * t['acc_real'].mean():.0f} %, "
        f"fake {100 * t['acc_fake'].mean():.0f} % on average"
        for c, t in _known(summary).groupby("condition", sort=False)
    )
    return _finish(
        figure, 520, text, f"Scatter of real against fake accuracy. {described}.", menu=paper is not None
    )


def forest(contrast: pd.DataFrame) -> go.Figure:
    """Differences of AP with their intervals, one row per generator; a menu chooses the comparison.

    ``contrast`` has the columns of the contrast table: ``generator``, ``seed`` ("all" = pooled),
    ``contrast``, ``delta_ap``, ``low``, ``high`` in [-1, 1], ``n_draws``, ``n_real``, ``n_fake``. Left of
    zero: dropping the top-k hurts more than the comparison does.
    """
    if contrast.empty:
        raise ValueError("the contrast table has no row: expected one per generator, seed and contrast")
    table = contrast.assign(seed=contrast["seed"].astype(str))
    generators = _order(table["generator"])
    kinds = [
        c
        for c in ("top-k - matched-k", "top-k - random-k", "top-k - baseline")
        if c in set(table["contrast"])
    ]
    figure = go.Figure()
    owner: list[str] = []
    for kind in kinds:
        rows = table[table["contrast"] == kind]
        for i, (seed, some) in enumerate(rows[rows["seed"] != "all"].groupby("seed")):
            figure.add_scatter(
                x=100 * some["delta_ap"],
                y=[_row(generators, g) - 0.1 - 0.1 * i for g in some["generator"]],
                mode="markers",
                name=f"seed {seed}",
                marker={"size": 7, "color": SEED_COLOURS[i % 5], "symbol": "circle-open"},
                error_x=_bars(some, "delta_ap", thickness=0.8),
                visible=kind == kinds[0],
                hovertemplate=f"seed {seed}: " + "%{x:+.1f} points<extra></extra>",
            )
            owner.append(kind)
        pooled = rows[rows["seed"] == "all"]
        figure.add_scatter(
            x=100 * pooled["delta_ap"],
            y=[_row(generators, g) + 0.15 for g in pooled["generator"]],
            mode="markers",
            name="all seeds",
            marker={"size": 11, "color": FAKE, "symbol": "diamond"},
            error_x=_bars(pooled, "delta_ap", thickness=2.2),
            visible=kind == kinds[0],
            customdata=np.stack(
                [
                    100 * pooled["low"],
                    100 * pooled["high"],
                    pooled["n_real"],
                    pooled["n_fake"],
                    pooled["n_draws"],
                ],
                axis=1,
            ),
            hovertemplate="%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<br>"
            "%{customdata[2]} reals, %{customdata[3]} fakes, %{customdata[4]} draws<extra></extra>",
        )
        owner.append(kind)
    labels = {
        "top-k - matched-k": "minus layer-matched",
        "top-k - random-k": "minus random-k",
        "top-k - baseline": "minus whole detector",
    }
    if len(kinds) > 1:
        _switch(
            figure, {f"top-k {labels[kind]}": [o == kind for o in owner] for kind in kinds}, dropdown=True
        )
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    figure.update_xaxes(title="difference of AP, points")
    _generator_axis(figure, generators)
    pooled = table[(table["seed"] == "all") & (table["contrast"] == kinds[0])]
    text = (
        "What dropping the top-k does beyond the comparison: difference of AP with its 95 % bootstrap "
        f"interval over pictures and draws. {_counts(table)} Left of zero: the top-k matter more. "
        "The menu changes the comparison."
    )
    described = "; ".join(
        f"{generator_name(r.generator)} {100 * r.delta_ap:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}]"
        for r in _records(pooled)
    )
    return _finish(
        figure,
        170 + 50 * max(2, len(generators)),
        text,
        f"Forest plot, {kinds[0]}, points of AP: {described}.",
        menu=len(kinds) > 1,
    )


# ---------------------------------------------------------------------------------------- the detector


def training_curves(history: pd.DataFrame, measures: Mapping[str, str]) -> go.Figure:
    """How training went: one line per detector seed; a menu chooses the measure.

    ``history`` has ``seed``, ``step`` and one column per measure; ``measures`` maps a column to its axis
    title.
    """
    present = {column: title for column, title in measures.items() if column in history}
    if not present:
        raise ValueError(
            f"the training history has columns {list(history)}: expected one of {list(measures)}"
        )
    figure = go.Figure()
    owner = []
    first = next(iter(present))
    for column, title in present.items():
        for i, (seed, rows) in enumerate(history.dropna(subset=[column]).groupby("seed")):
            figure.add_scatter(
                x=rows["step"],
                y=rows[column],
                mode="lines+markers" if len(rows) < 30 else "lines",
                name=f"seed {seed}",
                line={"color": SEED_COLOURS[i % 5], "width": 2},
                marker={"symbol": i % 5, "size": 7},
                visible=column == first,
                hovertemplate=f"seed {seed}, step %{{x}}: %{{y:.4g}}<extra>{title}</extra>",
            )
            owner.append(column)
    _switch(
        figure,
        {title: [o == column for o in owner] for column, title in present.items()},
        dropdown=True,
        relayout={title: {"yaxis.title.text": title} for title in present.values()},
    )
    figure.update_xaxes(title="training step")
    figure.update_yaxes(title=present[first])
    last = history.sort_values("step").groupby("seed").last()
    described = "; ".join(
        f"{title} of seed {seed} ends at {row[column]:.4g}"
        for column, title in present.items()
        for seed, row in last.iterrows()
    )
    text = f"Training of the detector, one line per seed ({history['seed'].nunique()} in all)."
    return _finish(figure, 400, text, f"Training curves. {described}.", menu=True)


def transfer(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> go.Figure:
    """AP of the whole detector on every family: seeds, their mean with its interval, and the paper's number.

    ``table`` has the columns of the transfer table (``generator``, ``seed`` with "all", ``ap``, ``ap_low``,
    ``ap_high``, ``n_real``, ``n_fake``); ``paper`` has ``generator``, ``condition`` and ``ap``.
    """
    table = table.assign(seed=table["seed"].astype(str))
    generators = _order(table["generator"])
    figure = go.Figure()
    for i, (seed, rows) in enumerate(table[table["seed"] != "all"].groupby("seed")):
        figure.add_scatter(
            x=100 * rows["ap"],
            y=[_row(generators, g) - 0.06 - 0.1 * i for g in rows["generator"]],
            mode="markers",
            name=f"seed {seed}",
            marker={"color": SEED_COLOURS[i % 5], "symbol": "circle-open", "size": 8, "line": {"width": 2}},
            error_x=_bars(rows, "ap", "ap_low", "ap_high", thickness=0.8),
            hovertemplate=f"seed {seed}: " + "%{x:.1f} %<extra></extra>",
        )
    pooled = table[table["seed"] == "all"]
    figure.add_scatter(
        x=100 * pooled["ap"],
        y=[_row(generators, g) + 0.1 for g in pooled["generator"]],
        mode="markers",
        name="mean of the seeds",
        marker={"color": FAKE, "symbol": "diamond", "size": 11},
        error_x=_bars(pooled, "ap", "ap_low", "ap_high", thickness=2.2),
        customdata=np.stack(
            [100 * pooled["ap_low"], 100 * pooled["ap_high"], pooled["n_real"], pooled["n_fake"]], axis=1
        ),
        hovertemplate="%{x:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]<br>"
        "%{customdata[2]} reals, %{customdata[3]} fakes<extra></extra>",
    )
    if paper is not None:
        rows = paper[(paper["condition"] == "baseline") & paper["generator"].isin(generators)]
        figure.add_scatter(
            x=100 * rows["ap"],
            y=[_row(generators, g) + 0.28 for g in rows["generator"]],
            mode="markers",
            name="the paper",
            marker={"color": INK, "symbol": "star", "size": 11},
            hovertemplate="the paper: %{x:.1f} %<extra></extra>",
        )
    figure.update_xaxes(title="average precision (AP), %")
    _generator_axis(figure, generators)
    text = (
        "Average precision of the whole detector on each family; it was trained on ProGAN alone. "
        f"{_counts(table)} Bars: 95 % intervals over pictures (seeds) and over pictures and seeds (mean)."
    )
    described = "; ".join(
        f"{generator_name(r.generator)} {100 * r.ap:.1f} [{100 * r.ap_low:.1f}, {100 * r.ap_high:.1f}]"
        for r in _records(pooled)
    )
    return _finish(figure, 480, text, f"AP in percent per generator: {described}.")


def thresholds(table: pd.DataFrame) -> go.Figure:
    """Real and fake accuracy of the whole detector under each way of setting its threshold.

    ``table`` has ``generator``, ``source`` (how the threshold was set, any wording), ``acc_real`` and
    ``acc_fake``.
    """
    generators = _order(table["generator"])
    figure = go.Figure()
    symbols = ("circle", "square", "diamond", "x")
    sources = list(dict.fromkeys(table["source"]))
    for i, source in enumerate(sources):
        rows = table[table["source"] == source]
        y = [_row(generators, g) + 0.25 - 0.5 * i / max(1, len(sources) - 1) for g in rows["generator"]]
        lines_x = [
            v
            for a, b in zip(rows["acc_real"], rows["acc_fake"], strict=True)
            for v in (100 * a, 100 * b, None)
        ]
        lines_y = [v for at in y for v in (at, at, None)]
        figure.add_scatter(
            x=lines_x,
            y=lines_y,
            mode="lines",
            line={"color": LINE, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
        for column, word, colour in (("acc_real", "reals right", REAL), ("acc_fake", "fakes right", FAKE)):
            figure.add_scatter(
                x=100 * rows[column],
                y=y,
                mode="markers",
                name=f"{word}, {source}",
                marker={"color": colour, "symbol": symbols[i % 4], "size": 9},
                hovertemplate=f"{word}, {source}: " + "%{x:.1f} %<extra></extra>",
            )
    figure.update_xaxes(title="accuracy, %", range=[-3, 103])
    _generator_axis(figure, generators)
    described = "; ".join(
        f"{generator_name(r.generator)}, {r.source}: real {100 * r.acc_real:.0f}, fake {100 * r.acc_fake:.0f}"
        for r in _records(table)
    )
    text = "The same scores cut at different thresholds: reals and fakes called right, mean over seeds."
    return _finish(figure, 560, text, f"Accuracies in percent. {described}.")


def histograms(
    scores: pd.DataFrame,
    by: str,
    cuts: Mapping[str, float] | None = None,
    names: Mapping[str, str] | None = None,
    bins: int = 40,
) -> go.Figure:
    """Logits of reals and fakes; a menu walks through the values of the column ``by``.

    Parameters
    ----------
    scores: tidy scores with ``label`` (1 = fake), ``logit`` and the column ``by`` (generator, ...).
    cuts: thresholds on the logit axis, by name; drawn as vertical lines.
    names: how to write the values of ``by``, in the order of the menu; a value left out is not drawn.
    """
    names = dict(names) if names is not None else {value: str(value) for value in dict.fromkeys(scores[by])}
    groups = {value: scores[scores[by] == value] for value in names}
    groups = {value: rows for value, rows in groups.items() if len(rows)}
    if not groups:
        raise ValueError(f"no scores to draw: column {by!r} holds none of {list(names)}")
    low, high = np.quantile(np.concatenate([rows["logit"] for rows in groups.values()]), [0.002, 0.998])
    low, high = min(low, -1.0), max(high, 1.0)
    edges = np.linspace(low, high, bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure()
    owner = []
    top = 0.0
    for value, rows in groups.items():
        for label, word, colour in ((0, "real", REAL), (1, "fake", FAKE)):
            logits = rows.loc[rows["label"] == label, "logit"].clip(low, high)
            share = np.histogram(logits, edges)[0] / max(1, len(logits))
            top = max(top, float(share.max()))
            figure.add_bar(
                x=centres,
                y=np.round(100 * share, 3),
                name=f"{word} pictures",
                marker={"color": colour, "line": {"width": 0}},
                opacity=0.6,
                visible=value == next(iter(groups)),
                width=(high - low) / bins,
                hovertemplate=f"{word}, logit about " + "%{x:.1f}: %{y:.1f} %<extra></extra>",
            )
            owner.append(value)
    for i, (name, cut) in enumerate((cuts or {}).items()):
        figure.add_scatter(
            x=[float(np.clip(cut, low, high))] * 2,
            y=[0, 105 * top],
            mode="lines",
            name=name,
            line={
                "color": (INK, "#009E73", "#CC79A7")[i % 3],
                "width": 2,
                "dash": ("dot", "dash", "dashdot")[i % 3],
            },
            hovertemplate=f"{name}: logit {cut:.2f}<extra></extra>",
        )
        owner.append("")
    if len(groups) > 1:
        _switch(figure, {names[v]: [o in (v, "") for o in owner] for v in groups}, dropdown=True)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title="logit (right: fake)")
    figure.update_yaxes(title="share of the pictures, %", range=[0, 107 * top], rangemode="tozero")
    counts = {label: [int((rows["label"] == label).sum()) for rows in groups.values()] for label in (0, 1)}
    described = "; ".join(
        f"{names[v]}: median logit of reals {r.loc[r['label'] == 0, 'logit'].median():.1f}, "
        f"of fakes {r.loc[r['label'] == 1, 'logit'].median():.1f}"
        for v, r in groups.items()
    )
    text = (
        "Distribution of the logit on real and fake pictures "
        f"({_span(counts[0])} and {_span(counts[1])} scores per panel, the outermost in the end bins)."
    )
    return _finish(figure, 420, text, f"Histograms. {described}.", menu=len(groups) > 1)


# ------------------------------------------------------------------------------------------- relevance


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
    return _finish(figure, 400, text, f"Share of the logit at each cut: {described}.")


def relevance_maps(picture: np.ndarray, maps: Mapping[str, np.ndarray]) -> go.Figure:
    """A picture beside its relevance; a slider walks through the layers.

    ``picture`` is uint8 (H, W, 3); ``maps`` holds one (h, w) array of signed relevance per layer. Each layer
    has its own colour scale, symmetric about zero.
    """
    if not maps:
        raise ValueError("no relevance maps to draw: expected one (h, w) array per layer")
    figure = go.Figure()
    figure.add_trace(go.Image(source=_png(picture), xaxis="x", yaxis="y", hoverinfo="skip"))
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
        "A fake picture and the relevance of its logit, summed over the channels of a layer. Red speaks for "
        "fake, blue against it; each layer has its own scale. The slider walks through the layers."
    )
    return _finish(figure, 430, text, f"Relevance of {len(maps)} layers over one picture, with a slider.")


def omega_ranks(omegas: Mapping[str, Sequence[float]], k: int, paper_at_k: float | None = None) -> go.Figure:
    """Omega against rank, both on logarithmic axes, one line per detector seed.

    ``omegas`` maps a name (``seed 0``) to omega in descending order; zeros are left out, as a logarithm must.
    ``paper_at_k`` is the published omega at rank k.
    """
    figure = go.Figure()
    for i, (name, values) in enumerate(omegas.items()):
        kept = np.asarray(values, dtype=float)
        kept = kept[kept > 0]
        # a line on a logarithmic axis needs few points: hundreds, not tens of thousands, keep the page small
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
    return _finish(figure, 420, text, f"Rank plot of omega. {described}.")


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
    return _finish(
        figure, 150 + 46 * len(sources), text, f"Number of maps by part of the network. {described}."
    )


def layer_sums(table: pd.DataFrame) -> go.Figure:
    """Sum of omega over each layer beside the size of an average map's omega; a switch between the two.

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
    _switch(
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
    described = "; ".join(f"{r.layer} ({r.channels} channels) {r.mean:.3g}" for r in _records(best))
    text = (
        "Omega layer by layer. The sum of a layer is the positive share of its relevance and lies between "
        "0 and 1 whatever its width, so a map of a narrow layer gets a larger piece: switch to the mean."
    )
    return _finish(figure, 430, text, f"Omega by layer. Largest mean per map: {described}.", menu=True)


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
    return _finish(figure, 180 + 44 * len(names), text, f"Overlap of top {k}: {'; '.join(pairs)}.")


def shifts(table: pd.DataFrame) -> go.Figure:
    """How far a dropped map is moved from its usual mean, in its own standard deviations; two sets of maps.

    ``table`` has ``map``, ``group`` (part of the network, in forward order), ``set`` (a condition) and
    ``shift`` (>= 0).
    """
    groups = list(dict.fromkeys(table["group"]))
    sets = list(dict.fromkeys(_known(table.rename(columns={"set": "condition"}))["condition"]))
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
    _row_axis(figure, groups)
    described = "; ".join(
        f"{CONDITIONS[one][0]}: median {table.loc[table['set'] == one, 'shift'].median():.2f}" for one in sets
    )
    text = (
        "How far each dropped map is moved from its usual mean, in standard deviations of that map over the "
        "training pictures: the top-k, and one draw of the layer-matched control."
    )
    return _finish(figure, 190 + 46 * len(groups), text, f"Shifts of {len(table)} maps. {described}.")


# -------------------------------------------------------------------------------------------- pictures


def pictures(
    rows: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]] | None = None,
    text: str = "",
    columns: int | None = None,
) -> go.Figure:
    """Rows of small pictures, each row named; hovering a picture shows its label.

    ``rows`` maps a name to uint8 (N, H, W, 3), the same H and W everywhere; ``labels`` gives one text per
    picture. After ``columns`` pictures (where given) a row goes on in the next line.
    """
    if not rows:
        raise ValueError("no pictures to show: expected at least one row of uint8 (N, H, W, 3)")
    sizes = {array.shape[1:3] for array in rows.values()}
    if len(sizes) > 1:
        raise ValueError(
            f"pictures of different sizes {sorted(sizes)} cannot share a figure: expected one size"
        )
    height, width = sizes.pop()
    gap = max(2, width // 16)
    columns = columns or max(len(array) for array in rows.values())
    first, lines = {}, 0
    for name, array in rows.items():
        first[name], lines = lines, lines - (-len(array) // columns)
    sheet = np.zeros((lines * (height + gap) - gap, columns * (width + gap) - gap, 4), dtype=np.uint8)
    xs, ys, hover = [], [], []
    for name, array in rows.items():
        for c, picture in enumerate(array):
            top, left = (first[name] + c // columns) * (height + gap), c % columns * (width + gap)
            sheet[top : top + height, left : left + width, :3] = picture
            sheet[top : top + height, left : left + width, 3] = 255
            xs.append(left + width / 2 - 0.5)
            ys.append(top + height / 2 - 0.5)
            hover.append(labels[name][c] if labels and name in labels else name)
    figure = go.Figure(go.Image(source=_png(sheet), hoverinfo="skip"))
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="markers",
        marker={"size": 26, "opacity": 0},
        text=hover,
        showlegend=False,
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(
        visible=False, range=[-0.5, sheet.shape[1] - 0.5], constrain="domain", constraintoward="left"
    )
    figure.update_yaxes(
        range=[sheet.shape[0] - 0.5, -0.5],
        scaleanchor="x",
        constrain="domain",
        showgrid=False,
        ticks="",
        tickvals=[line * (height + gap) + height / 2 - 0.5 for line in first.values()],
        ticktext=list(rows),
    )
    described = "; ".join(f"{name}: {len(array)}" for name, array in rows.items())
    return _finish(
        figure, 44 + 84 * lines, text or f"Pictures ({described}).", f"Rows of pictures. {described}."
    )


# ----------------------------------------------------------------------------------------------- parts


def _finish(figure: go.Figure, height: int, text: str, description: str, menu: bool = False) -> go.Figure:
    figure.update_layout(
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        margin={"l": 8, "r": 12, "t": 56 if menu else 14, "b": 8, "pad": 2},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
        },
        hoverlabel={"align": "left"},
        meta={"caption": text, "alt": description},
        template="none",
    )
    figure.update_xaxes(
        automargin=True, gridcolor=GRID, zeroline=False, linecolor=LINE, title_standoff=8, fixedrange=True
    )
    figure.update_yaxes(
        automargin=True, gridcolor=GRID, zeroline=False, linecolor=LINE, title_standoff=8, fixedrange=True
    )
    return figure


def _switch(
    figure: go.Figure,
    visible: Mapping[str, list[bool]],
    dropdown: bool = False,
    relayout: Mapping[str, dict[str, Any]] | None = None,
) -> None:
    # a page without a kernel switches by showing and hiding traces; the first entry is the one drawn at first
    buttons = [
        {"label": label, "method": "update", "args": [{"visible": shown}, (relayout or {}).get(label, {})]}
        for label, shown in visible.items()
    ]
    figure.update_layout(
        updatemenus=[
            {
                "type": "dropdown" if dropdown else "buttons",
                "direction": "down" if dropdown else "right",
                "buttons": buttons,
                "active": 0,
                "showactive": True,
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
                "pad": {"b": 10, "l": 0, "t": 0},
                "bgcolor": "#e9edf1",
                "bordercolor": LINE,
                "font": {"color": "#222222", "size": 12},
            }
        ]
    )
    first = next(iter(visible.values()))
    for trace, shown in zip(figure.data, first, strict=True):
        trace.visible = shown


def _slider(figure: go.Figure, steps: list[dict[str, Any]], prefix: str, active: int = 0) -> None:
    """A slider below the whole width of the figure; ``prefix`` names what it chooses."""
    figure.update_layout(
        sliders=[
            {
                "steps": steps,
                "active": active,
                "x": 0,
                "len": 1,
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 10, "l": 10, "r": 10},
                "currentvalue": {"prefix": prefix, "font": {"color": INK, "size": 14}, "xanchor": "left"},
                "font": {"color": INK, "size": 10},
                "bgcolor": "#c8ced4",
                "bordercolor": LINE,
            }
        ]
    )


def _known(table: pd.DataFrame) -> pd.DataFrame:
    unknown = set(table["condition"]) - set(CONDITIONS)
    if unknown:
        raise ValueError(f"conditions {sorted(unknown)} have no colour: expected some of {list(CONDITIONS)}")
    return table


def _order(values: Any) -> list[str]:
    present = list(dict.fromkeys(values))
    return [g for g in GENERATORS if g in present] + [g for g in present if g not in GENERATORS]


def _row(generators: list[str], generator: str) -> float:
    return float(len(generators) - 1 - generators.index(generator))


def _offset(condition: str, conditions: list[str]) -> float:
    # conditions of one generator stand below each other within its row
    i, n = conditions.index(condition), len(conditions)
    return 0.36 - 0.72 * i / max(1, n - 1)


def _generator_axis(figure: go.Figure, generators: list[str]) -> None:
    _row_axis(figure, [generator_name(g) for g in generators])


def _row_axis(figure: go.Figure, names: list[str]) -> None:
    n = len(names)
    figure.update_yaxes(
        tickvals=list(range(n)), ticktext=names[::-1], range=[-0.55, n - 0.45], showgrid=False
    )
    for i in range(0, n, 2):
        figure.add_hrect(
            y0=i - 0.5, y1=i + 0.5, fillcolor="rgba(128,128,128,0.08)", line_width=0, layer="below"
        )


def _bars(
    rows: pd.DataFrame, value: str, low: str = "low", high: str = "high", thickness: float = 1.5
) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": 100 * (rows[high] - rows[value]).clip(lower=0),
        "arrayminus": 100 * (rows[value] - rows[low]).clip(lower=0),
        "thickness": thickness,
        "width": 0,
    }


def _dots(
    figure: go.Figure, condition: str, rows: pd.DataFrame, y: list[float], bars: bool, visible: bool = True
) -> None:
    name, colour, symbol = CONDITIONS[condition]
    hover = "%{text}, " + name + ": AP %{x:.1f} %"
    if bars:
        hover += (
            " [%{customdata[0]:.1f}, %{customdata[1]:.1f}]<br>%{customdata[2]} seeds, %{customdata[3]} draws"
        )
    figure.add_scatter(
        x=100 * rows["ap"],
        y=y,
        mode="markers",
        name=name,
        visible=visible,
        text=[generator_name(g) for g in rows.index],
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x=_bars(rows, "ap") if bars else None,
        customdata=np.stack([100 * rows["low"], 100 * rows["high"], rows["seeds"], rows["draws"]], axis=1)
        if bars
        else None,
        hovertemplate=hover + "<extra></extra>",
    )


def _cloud(figure: go.Figure, points: pd.Series, y: list[float], colour: str) -> None:
    x = [100 * p for row in points for p in row]
    at = [level for level, row in zip(y, points, strict=True) for _ in row]
    figure.add_scatter(
        x=np.round(x, 2),
        y=at,
        mode="markers",
        marker={"color": colour, "size": 4, "opacity": 0.28},
        hoverinfo="skip",
        showlegend=False,
    )


def _counts(table: pd.DataFrame) -> str:
    if "n_real" not in table:
        return ""
    return f"Per generator {_span(table['n_real'])} reals and {_span(table['n_fake'])} fakes."


def _span(values: Any) -> str:
    low, high = int(min(values)), int(max(values))
    return str(low) if low == high else f"{low} to {high}"


def _alt_ap(summary: pd.DataFrame, generators: list[str]) -> str:
    parts = []
    for generator in generators:
        rows = summary[summary["generator"] == generator]
        values = ", ".join(f"{CONDITIONS[r.condition][0]} {100 * r.ap:.1f}" for r in _records(rows))
        parts.append(f"{generator_name(generator)}: {values}")
    return "Average precision in percent. " + "; ".join(parts) + "."


def _records(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def _png(array: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


# ----------------------------------------------------------------------------------------------- colour

COLOR, GRAY = "#009E73", "#999999"
_PICTURES = {
    ("fake", "p >= 0.2"): "fakes, p ≥ 0.2 (the paper's)",
    ("fake", "all"): "all fakes",
    ("real", "p >= 0.2"): "reals, p ≥ 0.2",
    ("real", "all"): "all reals",
}
_EXCHANGES: dict[str, tuple[str, str]] = {
    "real": (REAL, "circle"),
    "real luma, other real's chroma": (REAL, "circle-open"),
    "real luma, fake chroma": ("#CC79A7", "square"),
    "fake luma, real chroma": ("#E69F00", "diamond"),
    "fake luma, other fake's chroma": (FAKE, "x-open"),
    "fake": (FAKE, "x"),
}
"""Pictures whose luma and chroma come from different ones: colour and symbol, from real to fake."""


def gray_boxes(table: pd.DataFrame) -> go.Figure:
    """Box plots of the fake probability in colour and in gray; buttons choose fakes or reals and the filter.

    ``table`` has one row per ``generator``, ``label``, ``filter`` and ``input`` with ``n, q1, median, q3,
    fence_low, fence_high`` in [0, 1].
    """
    generators = _order(table["generator"])
    figure = go.Figure()
    owner = []
    for key in _PICTURES:
        rows = table[(table["label"] == key[0]) & (table["filter"] == key[1]) & (table["n"] > 0)]
        for kind, colour, offset in (("color", COLOR, 0.19), ("gray", GRAY, -0.19)):
            own = rows[rows["input"] == kind]
            figure.add_box(
                y=[_row(generators, g) + offset for g in own["generator"]],
                q1=100 * own["q1"],
                median=100 * own["median"],
                q3=100 * own["q3"],
                lowerfence=100 * own["fence_low"],
                upperfence=100 * own["fence_high"],
                orientation="h",
                width=0.3,
                name="in colour" if kind == "color" else "in gray",
                marker={"color": colour},
                fillcolor="rgba(0,158,115,0.35)" if kind == "color" else "rgba(153,153,153,0.35)",
                line={"width": 2},
                visible=key == next(iter(_PICTURES)),
            )
            owner.append(key)
    _switch(figure, {words: [o == key for o in owner] for key, words in _PICTURES.items()}, dropdown=True)
    _generator_axis(figure, generators)
    # boxes drawn from their quartiles carry no values by which plotly could tell an axis of numbers
    figure.update_yaxes(type="linear")
    figure.update_xaxes(title="probability of being fake, %", range=[-2, 102], type="linear")
    text = (
        "Fake probability of the same pictures in colour and in gray: median, quartiles, and whiskers to the "
        "farthest value within 1.5 interquartile ranges; all detector seeds pooled. The menu "
        "chooses the pictures."
    )
    shown = table[(table["label"] == "fake") & (table["filter"] == "p >= 0.2") & (table["n"] > 0)]
    medians = shown.pivot(index="generator", columns="input", values="median").reindex(generators).dropna()
    described = "; ".join(
        f"{generator_name(r.Index)} {100 * r.color:.0f} to {100 * r.gray:.0f}" for r in _records(medians)
    )
    return _finish(
        figure,
        140 + 62 * len(generators),
        text,
        f"Median fake probability of fakes, colour to gray, %: {described}.",
        True,
    )


def gray_drops(table: pd.DataFrame) -> go.Figure:
    """Drop of the median fake probability from colour to gray, for fakes and reals, with intervals.

    ``table`` has one row per ``generator``, ``seed`` ("all" or a number), ``label`` and ``filter`` with
    ``drop, low, high`` in [-1, 1]; the seeds' own drops are small dots.
    """
    generators = _order(table["generator"])
    figure = go.Figure()
    owner = []
    for which in ("p >= 0.2", "all"):
        for label, colour, symbol, offset in (("fake", FAKE, "x", 0.15), ("real", REAL, "circle", -0.15)):
            rows = table[(table["filter"] == which) & (table["label"] == label)].dropna(subset=["drop"])
            pooled, single = (rows[(rows["seed"].astype(str) == "all") == flag] for flag in (True, False))
            figure.add_scatter(
                x=100 * pooled["drop"],
                y=[_row(generators, g) + offset for g in pooled["generator"]],
                mode="markers",
                name=f"{label}s",
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x=_bars(pooled, "drop"),
                customdata=np.stack([100 * pooled["low"], 100 * pooled["high"]], axis=1),
                text=[generator_name(g) for g in pooled["generator"]],
                hovertemplate="%{text}, " + label + "s: %{x:+.1f} points "
                "[%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<extra></extra>",
                visible=which == "p >= 0.2",
            )
            figure.add_scatter(
                x=100 * single["drop"],
                y=[_row(generators, g) + offset for g in single["generator"]],
                mode="markers",
                marker={"color": colour, "size": 5, "opacity": 0.4},
                text=[f"seed {seed}" for seed in single["seed"]],
                hovertemplate="%{text}: %{x:+.1f} points<extra></extra>",
                showlegend=False,
                visible=which == "p >= 0.2",
            )
            owner += [which, which]
    _switch(
        figure,
        {
            "own label with p ≥ 0.2 (the paper's)": [o == "p >= 0.2" for o in owner],
            "all pictures": [o == "all" for o in owner],
        },
    )
    figure.add_vline(x=0, line={"color": LINE, "dash": "dot"})
    _generator_axis(figure, generators)
    figure.update_xaxes(title="median in colour minus median in gray, points")
    shown = table[(table["seed"].astype(str) == "all") & (table["filter"] == "p >= 0.2")].drop_duplicates(
        ["generator", "label"]
    )
    described = "; ".join(
        f"{generator_name(r.generator)} {r.label}s {100 * r.drop:+.0f} [{100 * r.low:+.0f}, "
        f"{100 * r.high:+.0f}]"
        for r in _records(shown.dropna(subset=["drop"]))
    )
    text = (
        "Drop of the median fake probability when the pictures turn gray, with 95 % intervals "
        "over pictures and "
        "detector seeds; small dots are the seeds. Right of zero: gray pictures look less fake."
    )
    return _finish(
        figure, 150 + 52 * len(generators), text, f"Drop of the median in points: {described}.", menu=True
    )


def exchanges(table: pd.DataFrame) -> go.Figure:
    """Share called fake when luma and chroma come from different pictures.

    ``table`` has one row per ``generator`` and ``pictures`` with ``called, low, high`` in [0, 1].
    """
    generators = _order(table["generator"])
    names = [name for name in _EXCHANGES if name in set(table["pictures"])]
    figure = go.Figure()
    for name in names:
        colour, symbol = _EXCHANGES[name]
        rows = table[table["pictures"] == name].set_index("generator")
        rows = rows.loc[[g for g in generators if g in rows.index]]
        figure.add_scatter(
            x=100 * rows["called"],
            y=[_row(generators, g) + _offset(name, names) for g in rows.index],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_x=_bars(rows, "called"),
            customdata=np.stack([100 * rows["low"], 100 * rows["high"]], axis=1),
            text=[generator_name(g) for g in rows.index],
            hovertemplate="%{text}, " + name + ": %{x:.0f} % called fake "
            "[%{customdata[0]:.0f}, %{customdata[1]:.0f}]<extra></extra>",
        )
    _generator_axis(figure, generators)
    figure.update_xaxes(title="called fake, %", range=[-2, 102])
    mean = table.groupby("pictures")["called"].mean()
    described = "; ".join(f"{name} {100 * mean[name]:.0f}" for name in names)
    text = (
        "Share of the pictures called fake at the calibrated threshold, with 95 % intervals over "
        "pictures and "
        "detector seeds. Open symbols are controls: luma and chroma of two reals, or of two fakes."
    )
    return _finish(
        figure, 130 + 84 * len(generators), text, f"Called fake, %, mean over generators: {described}."
    )


def sweeps(table: pd.DataFrame) -> go.Figure:
    """Median fake probability while saturation or hue changes; buttons choose which.

    ``table`` has ``change`` ("saturation" or "hue"), ``amount``, ``label``, ``q1, median, q3`` in [0, 1].
    """
    figure = go.Figure()
    owner = []
    titles = {"saturation": "chroma times (0: gray, 1: the picture itself)", "hue": "hue turned by, degrees"}
    for change in titles:
        for label, colour, band, symbol in (
            ("fake", FAKE, "rgba(213,94,0,0.15)", "x"),
            ("real", REAL, "rgba(0,114,178,0.15)", "circle"),
        ):
            rows = table[(table["change"] == change) & (table["label"] == label)].sort_values("amount")
            figure.add_scatter(
                x=[*rows["amount"], *rows["amount"][::-1]],
                y=[*(100 * rows["q3"]), *(100 * rows["q1"])[::-1]],
                fill="toself",
                fillcolor=band,
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                visible=change == "saturation",
            )
            figure.add_scatter(
                x=rows["amount"],
                y=100 * rows["median"],
                mode="lines+markers",
                name=f"{label}s",
                line={"color": colour},
                marker={"symbol": symbol, "size": 8},
                hovertemplate=f"{label}s at %{{x}}: median %{{y:.0f}} %<extra></extra>",
                visible=change == "saturation",
            )
            owner += [change, change]
    _switch(
        figure,
        {change: [o == change for o in owner] for change in titles},
        relayout={change: {"xaxis.title.text": title} for change, title in titles.items()},
    )
    figure.update_xaxes(title=titles["saturation"])
    figure.update_yaxes(title="probability of being fake, %", range=[-3, 103])
    ends = table[(table["change"] == "saturation") & table["amount"].isin([0.0, 1.0])]
    described = "; ".join(
        f"{r.label}s at saturation {r.amount:g}: {100 * r.median:.0f}" for r in _records(ends)
    )
    text = (
        "Fake probability while saturation or hue changes and luma stays: median (line) and quartiles (band)."
    )
    return _finish(figure, 400, text, f"Median fake probability, %. {described}.", menu=True)


def slides(
    frames: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]],
    prefix: str,
    text: str,
    start: str | None = None,
) -> go.Figure:
    """One row of pictures at a time; a slider walks through the rows.

    ``frames`` maps a name to uint8 (N, H, W, 3), equal shapes; ``labels`` gives a short text below each
    picture; ``prefix`` stands before the name that the slider shows, and ``start`` is the first one shown.
    """
    if not frames or len({f.shape for f in frames.values()}) > 1:
        raise ValueError(f"frames of shapes {[f.shape for f in frames.values()]}: expected one shape")
    n, height, width = next(iter(frames.values())).shape[:3]
    gap = max(2, width // 12)
    names = list(frames)
    first = names.index(start) if start is not None else 0
    figure = go.Figure()
    for i, (name, pictures) in enumerate(frames.items()):
        sheet = np.zeros((height, n * (width + gap) - gap, 4), dtype=np.uint8)
        for j, picture in enumerate(pictures):
            left = j * (width + gap)
            sheet[:, left : left + width, :3] = picture
            sheet[:, left : left + width, 3] = 255
        figure.add_trace(go.Image(source=_png(sheet), hoverinfo="skip", visible=i == first))
        figure.add_scatter(
            x=[j * (width + gap) + width / 2 - 0.5 for j in range(n)],
            y=[height + 0.06 * height] * n,
            mode="text",
            text=list(labels[name]),
            textposition="bottom center",
            textfont={"color": INK, "size": 12},
            hoverinfo="skip",
            showlegend=False,
            visible=i == first,
        )
    steps = [
        {
            "label": name,
            "method": "restyle",
            "args": [{"visible": [j // 2 == i for j in range(2 * len(names))]}],
        }
        for i, name in enumerate(names)
    ]
    _slider(figure, steps, prefix, first)
    figure.update_xaxes(visible=False, range=[-0.5, n * (width + gap) - gap - 0.5], constrain="domain")
    figure.update_yaxes(visible=False, range=[1.25 * height, -0.5], scaleanchor="x", constrain="domain")
    described = "; ".join(f"{prefix}{name}: {', '.join(labels[name])}" for name in names)
    return _finish(figure, 260, text, f"{n} pictures with a slider. {described}.")


# ---------------------------------------------------------------------------- colour-conditional maps

_TESTS = {
    "share_mood": "Mood's test",
    "share_mood_bh": "Mood's, false discovery rate",
    "share_wilcoxon": "Wilcoxon's, paired",
    "share_wilcoxon_bh": "Wilcoxon's, false discovery rate",
}


def conditional_shares(table: pd.DataFrame, paper: Mapping[str, float] | None = None) -> go.Figure:
    """Share of colour-conditional maps among the top-k and among control sets; a menu chooses the test.

    ``table`` has one row per ``generator``, ``seed``, ``group`` ("top-k", "matched-k", "random-k") and
    ``draw`` with the shares of `tff_core.color.shares` in [0, 1]; ``paper`` maps a generator to the published
    share of the top-k, in [0, 1], drawn beside Mood's test.
    """
    generators = _order(table["generator"])
    groups = [g for g in CONDITIONS if g in set(table["group"])]
    figure = go.Figure()
    owner = []
    for test in _TESTS:
        first = test == "share_mood"
        for group in groups:
            words, colour, symbol = CONDITIONS[group]
            rows = table[table["group"] == group].groupby("generator")[test].agg(["mean", "min", "max", list])
            rows = rows.loc[[g for g in generators if g in rows.index]]
            y = [_row(generators, g) + _offset(group, groups) for g in rows.index]
            _cloud(figure, rows["list"], y, colour)
            figure.data[-1].visible = first
            figure.add_scatter(
                x=100 * rows["mean"],
                y=y,
                mode="markers",
                name=words.replace(" dropped", ""),
                marker={"color": colour, "symbol": symbol, "size": 10},
                text=[generator_name(g) for g in rows.index],
                customdata=np.stack([100 * rows["min"], 100 * rows["max"], rows["list"].map(len)], axis=1),
                hovertemplate="%{text}, " + words.replace(" dropped", "") + ": mean %{x:.0f} %, "
                "from %{customdata[0]:.0f} to %{customdata[1]:.0f} in %{customdata[2]} sets<extra></extra>",
                visible=first,
            )
            owner += [test, test]
        if paper and first:
            known = [g for g in generators if g in paper]
            figure.add_scatter(
                x=[100 * paper[g] for g in known],
                y=[_row(generators, g) + _offset("top-k", groups) for g in known],
                mode="markers",
                name="top-k in the paper",
                marker={"color": FAKE, "symbol": "star-open", "size": 12},
                text=[generator_name(g) for g in known],
                hovertemplate="%{text}, the paper: %{x:.1f} %<extra></extra>",
            )
            owner.append(test)
    _switch(figure, {words: [o == test for o in owner] for test, words in _TESTS.items()}, dropdown=True)
    _generator_axis(figure, generators)
    figure.update_xaxes(title="share of colour-conditional maps, %", range=[-2, 102])
    mean = table.groupby(["generator", "group"])["share_mood"].mean()
    described = "; ".join(
        f"{generator_name(g)}: " + ", ".join(f"{group} {100 * mean[g, group]:.0f}" for group in groups)
        for g in generators
    )
    text = (
        "Share of feature maps whose maximum activation responds otherwise in gray, at 5 %. "
        "Large marks are means "
        "over detector seeds and draws, small dots the single sets. The menu chooses the test."
    )
    return _finish(
        figure, 140 + 60 * len(generators), text, f"Share of colour-conditional maps, %. {described}.", True
    )


def share_growth(table: pd.DataFrame) -> go.Figure:
    """Share of colour-conditional maps against the number of pictures: mean, and the range of subsets.

    ``table`` has ``group``, ``draw``, ``n``, ``repeat``, ``share`` as from `tff_core.color.share_by_n`.
    """
    figure = go.Figure()
    for group in (g for g in CONDITIONS if g in set(table["group"])):
        words, colour, symbol = CONDITIONS[group]
        own = table[table["group"] == group]
        rows = own.groupby(["n", "repeat"])["share"].mean().groupby("n").agg(["mean", "min", "max"])
        figure.add_scatter(
            x=rows.index,
            y=100 * rows["mean"],
            mode="lines+markers",
            name=words.replace(" dropped", ""),
            line={"color": colour},
            marker={"symbol": symbol, "size": 9},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": 100 * (rows["max"] - rows["mean"]),
                "arrayminus": 100 * (rows["mean"] - rows["min"]),
                "width": 0,
            },
            hovertemplate="%{x} pictures: %{y:.0f} %<extra>" + words.replace(" dropped", "") + "</extra>",
        )
    figure.update_xaxes(title="pictures", type="log", tickvals=sorted(table["n"].unique()))
    figure.update_yaxes(title="share of colour-conditional maps, %", range=[-2, 102])
    ends = (
        table[table["n"].isin([table["n"].min(), table["n"].max()])].groupby(["group", "n"])["share"].mean()
    )
    described = "; ".join(
        f"{r.group} at n = {r.n}: {100 * r.share:.0f}" for r in _records(ends.reset_index())
    )
    text = (
        "The same share among fewer pictures. Whiskers: lowest and highest of the random subsets "
        "of that size."
    )
    return _finish(
        figure, 400, text, f"Share of colour-conditional maps, %, by number of pictures. {described}."
    )


def activation_pairs(values: Mapping[str, tuple[np.ndarray, np.ndarray, str]], bins: int = 24) -> go.Figure:
    """Histograms of a map's maximum activation in colour and in gray; a menu chooses the map.

    ``values`` maps a map's name to its activations in colour and in gray, (N,) each, and a note for the menu.
    """
    figure = go.Figure()
    for i, (key, (color, gray, _)) in enumerate(values.items()):
        edges = np.linspace(min(color.min(), gray.min()), max(color.max(), gray.max()) + 1e-9, bins + 1)
        for kind, found, colour in (("in colour", color, COLOR), ("in gray", gray, GRAY)):
            figure.add_bar(
                x=np.round((edges[1:] + edges[:-1]) / 2, 4),
                y=100 * np.histogram(found, edges)[0] / len(found),
                width=edges[1] - edges[0],
                name=kind,
                marker={"color": colour, "line": {"width": 0}},
                opacity=0.6,
                visible=i == 0,
                hovertemplate=f"{key} {kind}: %{{y:.0f}} %<extra></extra>",
            )
    n = len(figure.data)
    _switch(
        figure,
        {
            f"{key}: {note}": [j // 2 == i for j in range(n)]
            for i, (key, (_, _, note)) in enumerate(values.items())
        },
        dropdown=True,
    )
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title="maximum activation of the map")
    figure.update_yaxes(title="share of the pictures, %", rangemode="tozero")
    described = "; ".join(f"{key} {note}" for key, (_, _, note) in values.items())
    text = (
        "Maximum activation of one feature map over the same fakes in colour and in gray; the "
        "menu chooses the map."
    )
    return _finish(figure, 380, text, f"Histograms of {len(values)} maps. {described}.", menu=True)


def layer_shares(table: pd.DataFrame) -> go.Figure:
    """Share of colour-conditional maps in every layer of the network, and where the top-k lie.

    ``table`` has one row per layer in forward order: ``layer``, ``channels``, ``share`` in [0, 1], ``top``.
    """
    figure = go.Figure()
    has = table["top"] > 0
    for rows, name, colour, symbol in (
        (table[~has], "layer without top-k maps", GRAY, "circle-open"),
        (table[has], "layer with top-k maps", FAKE, "circle"),
    ):
        figure.add_scatter(
            x=rows.index,
            y=100 * rows["share"],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 7 + 2 * np.sqrt(rows["top"])},
            customdata=np.stack([rows["layer"], rows["channels"], rows["top"]], axis=1),
            hovertemplate="%{customdata[0]}: %{y:.0f} % of %{customdata[1]} maps, "
            "%{customdata[2]} of the top-k<extra></extra>",
        )
    figure.update_xaxes(title="convolution, in forward order")
    figure.update_yaxes(title="colour-conditional among all its maps, %", range=[-2, 102])
    weighed = float(np.average(table["share"], weights=table["channels"]))
    text = (
        "Share of colour-conditional maps among all maps of each layer (Mood's test); size: its "
        "number of top-k maps."
    )
    alternative = (
        f"Share by layer for {len(table)} layers; over all maps of the network {100 * weighed:.0f} %."
    )
    return _finish(figure, 400, text, alternative)


# ------------------------------------------------------------------------------------------ patches


def collage(
    frames: Mapping[str, np.ndarray],
    hover: Mapping[str, Sequence[Sequence[str]]],
    rows: Mapping[str, Sequence[str]],
    columns: Sequence[str],
    text: str,
    prefix: str = "",
) -> go.Figure:
    """A table of small pictures; a menu (or with ``prefix`` a slider) chooses which table.

    Parameters
    ----------
    frames: uint8 (R, C, h, w, 3) by name, of one shape; a cell of zeros throughout is left empty.
    hover: for every frame R rows of C texts.
    rows: for every frame the names of its rows.
    columns: names of the columns.
    text: the caption.
    prefix: what stands before the name that the slider shows; empty for a menu.
    """
    if not frames or len({f.shape for f in frames.values()}) > 1:
        raise ValueError(f"frames of shapes {[f.shape for f in frames.values()]}: expected one shape")
    count, across, height, width = next(iter(frames.values())).shape[:4]
    gap = max(2, width // 10)
    centres_x = [c * (width + gap) + width / 2 - 0.5 for c in range(across)]
    centres_y = [r * (height + gap) + height / 2 - 0.5 for r in range(count)]
    figure = go.Figure()
    for i, (name, cells) in enumerate(frames.items()):
        sheet = np.zeros((count * (height + gap) - gap, across * (width + gap) - gap, 4), dtype=np.uint8)
        for r in range(count):
            for c in range(across):
                top, left = r * (height + gap), c * (width + gap)
                sheet[top : top + height, left : left + width, :3] = cells[r, c]
                sheet[top : top + height, left : left + width, 3] = 255 * bool(cells[r, c].any())
        figure.add_trace(go.Image(source=_png(sheet), hoverinfo="skip", visible=i == 0))
        figure.add_scatter(
            x=centres_x * count,
            y=[y for y in centres_y for _ in range(across)],
            mode="markers",
            marker={"size": 30, "opacity": 0},
            text=[words for row in hover[name] for words in row],
            showlegend=False,
            hovertemplate="%{text}<extra></extra>",
            visible=i == 0,
        )
    names = list(frames)
    shown = {name: [j // 2 == i for j in range(2 * len(names))] for i, name in enumerate(names)}
    labels = {name: {"yaxis.ticktext": list(rows[name])} for name in names}
    if prefix:
        steps = [
            {"label": name, "method": "update", "args": [{"visible": shown[name]}, labels[name]]}
            for name in names
        ]
        _slider(figure, steps, prefix)
    else:
        _switch(figure, shown, dropdown=True, relayout=labels)
    figure.update_xaxes(
        side="top",
        tickvals=centres_x,
        ticktext=list(columns),
        range=[-0.5, across * (width + gap) - gap - 0.5],
        showgrid=False,
        ticks="",
        constrain="domain",
    )
    figure.update_yaxes(
        tickvals=centres_y,
        ticktext=list(rows[names[0]]),
        range=[count * (height + gap) - gap - 0.5, -0.5],
        scaleanchor="x",
        constrain="domain",
        showgrid=False,
        ticks="",
    )
    described = (
        f"{len(names)} tables ({', '.join(names)}) of {count} rows ({', '.join(rows[names[0]])}) and columns"
    )
    finished = _finish(
        figure, 120 + 76 * count, text, f"Patches: {described} {', '.join(columns)}.", menu=not prefix
    )
    # the names of the columns stand where other figures have a margin
    finished.update_layout(margin_t=(76 if not prefix else 34))
    finished.update_xaxes(linecolor="rgba(0,0,0,0)")
    finished.update_yaxes(linecolor="rgba(0,0,0,0)")
    return finished
