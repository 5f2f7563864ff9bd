"""Colour: gray copies, exchanged chroma, colour-conditional feature maps."""

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
    add_menu,
    add_slider,
    cloud,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    offset_of,
    records,
    row_of,
    several_seeds,
)
from tff_core.pictures import sheets

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
"""Pictures with luma and chroma from different pictures: colour and symbol, from real to fake."""


def gray_boxes(table: pd.DataFrame) -> go.Figure:
    """Box plots of the fake probability in colour and in gray; buttons choose fakes or reals and the filter.

    ``table`` has one row per ``generator``, ``label``, ``filter`` and ``input`` with ``n, q1, median, q3,
    fence_low, fence_high`` in [0, 1].
    """
    generators = in_order(table["generator"])
    figure = go.Figure()
    owner = []
    for key in _PICTURES:
        rows = table[(table["label"] == key[0]) & (table["filter"] == key[1]) & (table["n"] > 0)]
        for kind, colour, offset in (("color", COLOR, 0.19), ("gray", GRAY, -0.19)):
            own = rows[rows["input"] == kind]
            figure.add_box(
                y=[row_of(generators, g) + offset for g in own["generator"]],
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
    add_menu(figure, {words: [o == key for o in owner] for key, words in _PICTURES.items()}, dropdown=True)
    generator_axis(figure, generators)
    # boxes drawn from quartiles have no values from which plotly could infer a numeric axis
    figure.update_yaxes(type="linear")
    figure.update_xaxes(title="probability of being fake, %", range=[-2, 102], type="linear")
    text = (
        "Fake probability of the same pictures in colour and in gray: median, quartiles, and whiskers to the "
        "farthest value within 1.5 interquartile ranges; detector seeds are pooled where there are several. "
        "The menu chooses the pictures."
    )
    shown = table[(table["label"] == "fake") & (table["filter"] == "p >= 0.2") & (table["n"] > 0)]
    medians = shown.pivot(index="generator", columns="input", values="median")
    medians = medians.reindex(index=generators, columns=["color", "gray"]).dropna()  # perhaps none has any
    described = "; ".join(
        f"{generator_name(r.Index)} {100 * r.color:.0f} to {100 * r.gray:.0f}" for r in records(medians)
    )
    return finish(
        figure,
        140 + 62 * len(generators),
        text,
        f"Median fake probability of fakes, colour to gray, %: {described or 'no fake has p >= 0.2'}.",
        True,
    )


def gray_drops(table: pd.DataFrame) -> go.Figure:
    """Drop of the median fake probability from colour to gray, for fakes and reals, with intervals.

    ``table`` has one row per ``generator``, ``seed`` ("all" or a number), ``label`` and ``filter`` with
    ``drop, low, high`` in [-1, 1]; the seeds' own drops are small dots.
    """
    generators = in_order(table["generator"])
    figure = go.Figure()
    owner = []
    for which in ("p >= 0.2", "all"):
        for label, colour, symbol, offset in (("fake", FAKE, "x", 0.15), ("real", REAL, "circle", -0.15)):
            rows = table[(table["filter"] == which) & (table["label"] == label)].dropna(subset=["drop"])
            pooled, single = (rows[(rows["seed"].astype(str) == "all") == flag] for flag in (True, False))
            figure.add_scatter(
                x=100 * pooled["drop"],
                y=[row_of(generators, g) + offset for g in pooled["generator"]],
                mode="markers",
                name=f"{label}s",
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x=error_bars(pooled, "drop"),
                customdata=np.stack([100 * pooled["low"], 100 * pooled["high"]], axis=1),
                text=[generator_name(g) for g in pooled["generator"]],
                hovertemplate="%{text}, " + label + "s: %{x:+.1f} points "
                "[%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<extra></extra>",
                visible=which == "p >= 0.2",
            )
            figure.add_scatter(
                x=100 * single["drop"],
                y=[row_of(generators, g) + offset for g in single["generator"]],
                mode="markers",
                marker={"color": colour, "size": 5, "opacity": 0.4},
                text=[f"seed {seed}" for seed in single["seed"]],
                hovertemplate="%{text}: %{x:+.1f} points<extra></extra>",
                showlegend=False,
                visible=which == "p >= 0.2",
            )
            owner += [which, which]
    add_menu(
        figure,
        {
            "p ≥ 0.2 (the paper's)": [o == "p >= 0.2" for o in owner],
            "all pictures": [o == "all" for o in owner],
        },
    )
    figure.add_vline(x=0, line={"color": LINE, "dash": "dot"})
    generator_axis(figure, generators)
    figure.update_xaxes(title="drop of the median, points")
    shown = table[(table["seed"].astype(str) == "all") & (table["filter"] == "p >= 0.2")].drop_duplicates(
        ["generator", "label"]
    )
    described = "; ".join(
        f"{generator_name(r.generator)} {r.label}s {100 * r.drop:+.0f} [{100 * r.low:+.0f}, "
        f"{100 * r.high:+.0f}]"
        for r in records(shown.dropna(subset=["drop"]))
    )
    text = (
        "Drop of the median fake probability when the pictures turn gray (colour minus gray), with 95 % "
        + (
            "intervals over pictures and detector seeds; small dots are the seeds. "
            if several_seeds(table)
            else "intervals over pictures. "
        )
        + "Right of zero: gray "
        "pictures look less fake."
    )
    return finish(
        figure, 150 + 52 * len(generators), text, f"Drop of the median in points: {described}.", menu=True
    )


def exchanges(table: pd.DataFrame) -> go.Figure:
    """Share called fake when luma and chroma come from different pictures.

    ``table`` has one row per ``generator`` and ``pictures`` with ``called, low, high`` in [0, 1].
    """
    generators = in_order(table["generator"])
    names = [name for name in _EXCHANGES if name in set(table["pictures"])]
    figure = go.Figure()
    for name in names:
        colour, symbol = _EXCHANGES[name]
        rows = table[table["pictures"] == name].set_index("generator")
        rows = rows.loc[[g for g in generators if g in rows.index]]
        figure.add_scatter(
            x=100 * rows["called"],
            y=[row_of(generators, g) + offset_of(name, names) for g in rows.index],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_x=error_bars(rows, "called"),
            customdata=np.stack([100 * rows["low"], 100 * rows["high"]], axis=1),
            text=[generator_name(g) for g in rows.index],
            hovertemplate="%{text}, " + name + ": %{x:.0f} % called fake "
            "[%{customdata[0]:.0f}, %{customdata[1]:.0f}]<extra></extra>",
        )
    generator_axis(figure, generators)
    figure.update_xaxes(title="called fake, %", range=[-2, 102])
    mean = table.groupby("pictures")["called"].mean()
    described = "; ".join(f"{name} {100 * mean[name]:.0f}" for name in names)
    text = (
        "Share of the pictures called fake at the calibrated threshold, with 95 % intervals over "
        f"pictures{' and detector seeds' * several_seeds(table)}"
        ". Open symbols are controls: luma and chroma of two reals, or of two fakes."
    )
    return finish(
        figure, 130 + 84 * len(generators), text, f"Called fake, %, mean over generators: {described}."
    )


def sweeps(table: pd.DataFrame) -> go.Figure:
    """Median fake probability while saturation or hue changes; buttons choose which.

    ``table`` has ``change`` ("saturation" or "hue"), ``amount``, ``label``, ``q1, median, q3`` in [0, 1].
    """
    figure = go.Figure()
    owner = []
    titles = {"saturation": "chroma times (0: gray)", "hue": "hue turned by, degrees"}
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
    add_menu(
        figure,
        {change: [o == change for o in owner] for change in titles},
        relayout={change: {"xaxis.title.text": title} for change, title in titles.items()},
    )
    figure.update_xaxes(title=titles["saturation"])
    figure.update_yaxes(title="probability of being fake, %", range=[-3, 103])
    ends = table[(table["change"] == "saturation") & table["amount"].isin([0.0, 1.0])]
    described = "; ".join(
        f"{r.label}s at saturation {r.amount:g}: {100 * r.median:.0f}" for r in records(ends)
    )
    text = (
        "Fake probability while saturation or hue changes and luma stays: median (line) and quartiles (band)."
    )
    return finish(figure, 400, text, f"Median fake probability, %. {described}.", menu=True)


def slides(
    frames: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]],
    prefix: str,
    text: str,
    start: str | None = None,
) -> go.Figure:
    """One row of pictures at a time; a slider walks through the rows.

    ``frames`` maps a name to uint8 (N, H, W, 3), equal shapes; ``labels`` gives a short text below each
    picture; ``prefix`` precedes the name that the slider shows, and ``start`` is the one shown first.
    """
    if not frames or len({f.shape for f in frames.values()}) > 1:
        raise ValueError(f"frames of shapes {[f.shape for f in frames.values()]}: expected one shape")
    n, height, width = next(iter(frames.values())).shape[:3]
    gap = max(2, width // 12)
    names = list(frames)
    first = names.index(start) if start is not None else 0
    figure = go.Figure()
    for i, (name, pictures) in enumerate(frames.items()):
        sheet = sheets.tiled(pictures[None], gap, np.ones((1, n)))
        figure.add_trace(go.Image(source=sheets.png(sheet), hoverinfo="skip", visible=i == first))
        figure.add_scatter(
            x=[j * (width + gap) + width / 2 - 0.5 for j in range(n)],
            y=[height + 0.06 * height] * n,
            mode="text",
            text=list(labels[name]),
            textposition="bottom center",
            textfont={"color": INK, "size": 12},
            cliponaxis=False,  # two lines below a narrow picture are taller than the axis
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
    add_slider(figure, steps, prefix, first)
    figure.update_xaxes(visible=False, range=[-0.5, n * (width + gap) - gap - 0.5], constrain="domain")
    figure.update_yaxes(visible=False, range=[1.25 * height, -0.5], scaleanchor="x", constrain="domain")
    described = "; ".join(f"{prefix}{name}: {', '.join(labels[name])}".replace("<br>", " ") for name in names)
    return finish(figure, 260, text, f"{n} pictures with a slider. {described}.")


_TESTS = {
    "share_mood": "Mood's test",
    "share_mood_bh": "Mood's, false discovery rate",
    "share_wilcoxon": "Wilcoxon's, paired",
    "share_wilcoxon_bh": "Wilcoxon's, false discovery rate",
}


def conditional_shares(table: pd.DataFrame, paper: Mapping[str, float] | None = None) -> go.Figure:
    """Share of colour-conditional maps among the top-k and among control sets; a menu chooses the test.

    ``table`` has one row per ``generator``, ``seed``, ``group`` ("top-k", "matched-k", "random-k") and
    ``draw`` with the shares of `tff_core.features.color_conditional.shares` in [0, 1]; ``paper`` maps a
    generator to the published share of the top-k, in [0, 1], drawn beside Mood's test.
    """
    generators = in_order(table["generator"])
    groups = [g for g in CONDITIONS if g in set(table["group"])]
    figure = go.Figure()
    owner = []
    for test in _TESTS:
        first = test == "share_mood"
        for group in groups:
            words, colour, symbol = CONDITIONS[group]
            rows = table[table["group"] == group].groupby("generator")[test].agg(["mean", "min", "max", list])
            rows = rows.loc[[g for g in generators if g in rows.index]]
            y = [row_of(generators, g) + offset_of(group, groups) for g in rows.index]
            cloud(figure, rows["list"], y, colour)
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
                y=[row_of(generators, g) + offset_of("top-k", groups) for g in known],
                mode="markers",
                name="top-k in the paper",
                marker={"color": FAKE, "symbol": "star-open", "size": 12},
                text=[generator_name(g) for g in known],
                hovertemplate="%{text}, the paper: %{x:.1f} %<extra></extra>",
            )
            owner.append(test)
    add_menu(figure, {words: [o == test for o in owner] for test, words in _TESTS.items()}, dropdown=True)
    generator_axis(figure, generators)
    figure.update_xaxes(title="colour-conditional maps, %", range=[-2, 102])
    mean = table.groupby(["generator", "group"])["share_mood"].mean()
    described = "; ".join(
        f"{generator_name(g)}: " + ", ".join(f"{group} {100 * mean[g, group]:.0f}" for group in groups)
        for g in generators
    )
    text = (
        "Share of feature maps whose maximum activation responds differently in gray, at 5 %. Large marks "
        f"are means over {'detector seeds and ' * several_seeds(table)}draws, small dots the single sets. "
        "The menu chooses the test."
    )
    return finish(
        figure, 140 + 60 * len(generators), text, f"Share of colour-conditional maps, %. {described}.", True
    )


def share_growth(table: pd.DataFrame) -> go.Figure:
    """Share of colour-conditional maps against the number of pictures: mean, and the range of subsets.

    ``table`` has ``group``, ``draw``, ``n``, ``repeat``, ``share``, as from
    `tff_core.features.color_conditional.share_by_n`.
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
            error_y=error_bars(rows, "mean", "min", "max", thickness=2),
            hovertemplate="%{x} pictures: %{y:.0f} %<extra>" + words.replace(" dropped", "") + "</extra>",
        )
    figure.update_xaxes(title="pictures", type="log", tickvals=sorted(table["n"].unique()))
    figure.update_yaxes(title="colour-conditional maps, %", range=[-2, 102])
    ends = (
        table[table["n"].isin([table["n"].min(), table["n"].max()])].groupby(["group", "n"])["share"].mean()
    )
    described = "; ".join(f"{r.group} at n = {r.n}: {100 * r.share:.0f}" for r in records(ends.reset_index()))
    text = (
        "The same share among fewer pictures. Whiskers: lowest and highest of the random subsets "
        "of that size."
    )
    return finish(
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
    add_menu(
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
    return finish(figure, 380, text, f"Histograms of {len(values)} maps. {described}.", menu=True)


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
    figure.update_yaxes(title="colour-conditional maps, %", range=[-2, 102])
    weighed = float(np.average(table["share"], weights=table["channels"]))
    text = (
        "Share of colour-conditional maps among all maps of each layer (Mood's test); size: its "
        "number of top-k maps."
    )
    alternative = (
        f"Share by layer for {len(table)} layers; over all maps of the network {100 * weighed:.0f} %."
    )
    return finish(figure, 400, text, alternative)
