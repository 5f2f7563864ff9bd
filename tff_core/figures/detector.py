"""The detector: its training, its transfer, its thresholds, its scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    FAKE,
    INK,
    LINE,
    REAL,
    SEED_COLOURS,
    add_menu,
    counts_text,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    records,
    row_of,
    several_seeds,
    span_text,
)


def training_curves(history: pd.DataFrame, measures: Mapping[str, str]) -> go.Figure:
    """Training curves: one line per detector seed; a menu chooses the measure.

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
    add_menu(
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
    count = history["seed"].nunique()
    text = "Training of the detector" + (f", one line for each of its {count} seeds." if count > 1 else ".")
    return finish(figure, 400, text, f"Training curves. {described}.", menu=True)


def transfer(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> go.Figure:
    """AP of the whole detector on every family: seeds, their mean with its interval, and the paper's number.

    ``table`` has the columns of the transfer table (``generator``, ``seed`` with "all", ``ap``, ``ap_low``,
    ``ap_high``, ``n_real``, ``n_fake``); ``paper`` has ``generator``, ``condition`` and ``ap``.
    """
    table = table.assign(seed=table["seed"].astype(str))
    generators = in_order(table["generator"])
    figure = go.Figure()
    for i, (seed, rows) in enumerate(table[table["seed"] != "all"].groupby("seed")):
        figure.add_scatter(
            x=100 * rows["ap"],
            y=[row_of(generators, g) - 0.06 - 0.1 * i for g in rows["generator"]],
            mode="markers",
            name=f"seed {seed}",
            marker={"color": SEED_COLOURS[i % 5], "symbol": "circle-open", "size": 8, "line": {"width": 2}},
            error_x=error_bars(rows, "ap", "ap_low", "ap_high", thickness=0.8),
            hovertemplate=f"seed {seed}: " + "%{x:.1f} %<extra></extra>",
        )
    pooled = table[table["seed"] == "all"]
    figure.add_scatter(
        x=100 * pooled["ap"],
        y=[row_of(generators, g) + 0.1 for g in pooled["generator"]],
        mode="markers",
        name="mean of the seeds" if several_seeds(table) else "the detector",
        marker={"color": FAKE, "symbol": "diamond", "size": 11},
        error_x=error_bars(pooled, "ap", "ap_low", "ap_high", thickness=2.2),
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
            y=[row_of(generators, g) + 0.28 for g in rows["generator"]],
            mode="markers",
            name="the paper",
            marker={"color": INK, "symbol": "star", "size": 11},
            hovertemplate="the paper: %{x:.1f} %<extra></extra>",
        )
    figure.update_xaxes(title="average precision (AP), %")
    generator_axis(figure, generators)
    text = (
        "Average precision of the whole detector on each family; it was trained on ProGAN alone. "
        f"{counts_text(table)} Bars: 95 % intervals over pictures"
        + (" (seeds) and over pictures and seeds (mean)." if several_seeds(table) else ".")
    )
    described = "; ".join(
        f"{generator_name(r.generator)} {100 * r.ap:.1f} [{100 * r.ap_low:.1f}, {100 * r.ap_high:.1f}]"
        for r in records(pooled)
    )
    return finish(figure, 480, text, f"AP in percent per generator: {described}.")


def thresholds(table: pd.DataFrame, seeds: int = 1) -> go.Figure:
    """Real and fake accuracy of the whole detector under each way of setting its threshold.

    ``table`` has ``generator``, ``source`` (how the threshold was set, any wording), ``acc_real`` and
    ``acc_fake``.
    """
    generators = in_order(table["generator"])
    figure = go.Figure()
    symbols = ("circle", "square", "diamond", "x")
    sources = list(dict.fromkeys(table["source"]))
    for i, source in enumerate(sources):
        rows = table[table["source"] == source]
        y = [row_of(generators, g) + 0.25 - 0.5 * i / max(1, len(sources) - 1) for g in rows["generator"]]
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
    generator_axis(figure, generators)
    described = "; ".join(
        f"{generator_name(r.generator)}, {r.source}: real {100 * r.acc_real:.0f}, fake {100 * r.acc_fake:.0f}"
        for r in records(table)
    )
    text = "The same scores cut at different thresholds: reals and fakes called right"
    text += ", mean over seeds." if seeds > 1 else "."
    return finish(figure, 560, text, f"Accuracies in percent. {described}.")


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
    names: display names of the values of ``by``, in menu order; a value left out is not drawn.
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
        add_menu(figure, {names[v]: [o in (v, "") for o in owner] for v in groups}, dropdown=True)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title="logit (right: fake)")
    figure.update_yaxes(title="share of the pictures, %", range=[0, 107 * top], rangemode="tozero")
    scored = {label: [rows[rows["label"] == label] for rows in groups.values()] for label in (0, 1)}
    # without names, every score counts as a different picture
    counts = {
        label: [rows["image"].nunique() if "image" in rows else len(rows) for rows in some]
        for label, some in scored.items()
    }
    times = [
        len(rows) / n for label in counts for rows, n in zip(scored[label], counts[label], strict=True) if n
    ]
    described = "; ".join(
        f"{names[v]}: median logit of reals {r.loc[r['label'] == 0, 'logit'].median():.1f}, "
        f"of fakes {r.loc[r['label'] == 1, 'logit'].median():.1f}"
        for v, r in groups.items()
    )
    text = (
        f"Distribution of the logit on {span_text(counts[0])} reals and {span_text(counts[1])} fakes, the "
        "outermost in the end bins."
    )
    if max(times) > 1:
        text += f" Every picture has {span_text(times)} scores, one for each detector seed and draw."
    return finish(figure, 420, text, f"Histograms. {described}.", menu=len(groups) > 1)
