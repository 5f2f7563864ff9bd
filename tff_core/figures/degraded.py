"""What is left when pictures are changed: curves over the strength of a change, and bands taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    FAKE,
    LINE,
    REAL,
    SEED_COLOURS,
    add_menu,
    band,
    error_bars,
    finish,
    records,
    row_axis,
    several_seeds,
    span_text,
)

Measures = Mapping[str, tuple[str, str, str]]
UNTOUCHED = "untouched"
ANSWERS: Measures = {
    "AP": ("AP", "#777777", "diamond"),
    "real right": ("reals called real", REAL, "circle"),
    "fake right": ("fakes called fake", FAKE, "x"),
}
"""Name, colour and symbol of what is measured of a detector's answers."""
EXPLANATIONS: Measures = {
    "verdict": ("the verdict", FAKE, "x"),
    "heatmap": ("its heatmap", "#009E73", "square"),
    "omega": ("the top-k of omega", "#CC79A7", "diamond"),
}
"""And of fakes that are called fake, and their explanations."""
AXES = {
    "jpeg": "JPEG quality",
    "webp": "WebP quality",
    "enlarge": "enlarged by a factor, and back",
    "shrink": "shrunk by a factor, and back",
    "blur": "Gaussian blur, deviation in pixels",
    "noise": "noise, deviation in steps of 8 bits",
    "crop": "share of each axis that is cut off",
    "chroma": "pixels that share their chroma",
}
"""What the level of an operation means, as the title of its axis."""


def damage_curves(
    table: pd.DataFrame, measures: Measures, axes: Mapping[str, str], title: str, text: str, alternative: str
) -> go.Figure:
    """What is left of several measures when pictures are changed more and more; a menu chooses how.

    ``table`` has ``operation``, ``strength`` (from weak to strong), ``measure`` (of ``measures``: name,
    colour, symbol), ``value, low, high`` as shares and ``n``; the operation called "untouched" begins every
    curve. A missing value is not drawn. ``title`` is that of the axis of values, ``text`` the caption,
    ``alternative`` begins the text alternative. ValueError for another measure, and without any operation.
    """
    table = table[table["value"].notna()]
    unknown = sorted(set(table["measure"]) - set(measures))
    if unknown:
        raise ValueError(f"measures {unknown} have no colour: expected some of {list(measures)}")
    operations = [o for o in dict.fromkeys(table["operation"]) if o != UNTOUCHED]
    if not operations:
        raise ValueError("no operation degrades the pictures: expected one in the column operation")
    start = table[table["operation"] == UNTOUCHED]
    figure, owner, settings = go.Figure(), [], {}
    for operation in operations:
        own = table[table["operation"] == operation]
        strengths = list(dict.fromkeys(own["strength"]))
        ticks = [*(["none"] if len(start) else []), *(f"{s:g}" for s in strengths)]
        settings[operation] = {
            "xaxis.tickvals": list(range(len(ticks))),
            "xaxis.ticktext": ticks,
            "xaxis.range": [-0.2, len(ticks) - 0.8],
            "xaxis.title.text": axes.get(operation, operation),
        }
        for measure, (name, colour, symbol) in measures.items():
            rows = pd.concat([start, own])
            rows = rows[rows["measure"] == measure]
            if rows.empty:
                continue
            places = {s: i for i, s in enumerate(strengths, len(ticks) - len(strengths))}
            x = [0 if r.operation == UNTOUCHED else places[r.strength] for r in records(rows)]
            shown = operation == operations[0]
            band(figure, x, 100 * rows["low"], 100 * rows["high"], colour, measure, shown)
            figure.add_scatter(
                x=x,
                y=100 * rows["value"],
                mode="lines+markers",
                name=name,
                legendgroup=measure,
                line={"color": colour, "width": 2},
                marker={"color": colour, "symbol": symbol, "size": 9},
                text=[ticks[i] for i in x],
                customdata=np.stack([100 * rows["low"], 100 * rows["high"], rows["n"]], axis=1),
                hovertemplate=f"{operation} %{{text}}, {name}: %{{y:.1f}} % "
                "[%{customdata[0]:.1f}, %{customdata[1]:.1f}], n = %{customdata[2]}<extra></extra>",
            )
            owner += [operation, operation]
    if len(operations) > 1:
        add_menu(
            figure, {o: [other == o for other in owner] for o in operations}, dropdown=True, relayout=settings
        )
    first = settings[operations[0]]
    figure.update_xaxes(
        tickvals=first["xaxis.tickvals"], ticktext=first["xaxis.ticktext"], range=first["xaxis.range"],
        title=first["xaxis.title.text"],
    )  # fmt: skip
    least = float((100 * table["low"]).min(skipna=True)) if table["low"].notna().any() else 0.0
    figure.update_yaxes(title=title, range=[min(-3.0, least - 3), 103])
    groups: Any = table.groupby(["operation", "measure"], sort=False)
    described = "; ".join(
        f"{o}, {measures[m][0]}: " + ", ".join(f"{100 * r.value:.0f}" for r in records(rows))
        for (o, m), rows in groups
    )
    caption = text + (" The menu chooses the operation." if len(operations) > 1 else "")
    return finish(figure, 460, caption, f"{alternative} {described}.", menu=len(operations) > 1)


def degraded_answers(table: pd.DataFrame) -> go.Figure:
    """AP and the shares called right, along every degradation, means over generators.

    ``table``: rows of `tff_core.exam.robustness.curves` of the generator "mean".
    """
    rows = table.rename(columns={"level": "strength"}).assign(n=table["n_real"] + table["n_fake"])
    text = (
        "The same pictures, degraded from weak to strong: AP, and the shares called right at the calibrated "
        f"threshold, means over generators. Bands: 95 % intervals over {span_text(rows['n'])} pictures"
        + (" and detector seeds." if several_seeds(table) else ".")
    )
    return damage_curves(rows, ANSWERS, AXES, "percent", text, "In percent.")


def degraded_explanations(table: pd.DataFrame) -> go.Figure:
    """The verdict, the heatmap and omega's top-k along every degradation, on one scale.

    ``table``: rows of `tff_core.exam.robustness.curves` of the explained fakes. 100 is unchanged and 0 is
    chance; the line at one half is where the rule of the chapter says broken.
    """
    rows = table[table["measure"].isin(EXPLANATIONS)].rename(columns={"level": "strength"})
    left = 1 - rows["chance"]
    scaled = {name: (rows[name] - rows["chance"]) / left for name in ("value", "low", "high")}
    rows = rows.assign(**scaled, n=rows["n_fake"])
    whole = pd.DataFrame({"measure": list(EXPLANATIONS), "operation": UNTOUCHED, "strength": np.nan})
    rows = pd.concat([whole.assign(value=1.0, low=1.0, high=1.0, n=rows["n"].max()), rows])
    text = (
        "Of fakes that the detector calls fake: whether it still does, whether their heatmaps rank pixels as "
        "before, and whether omega has the same top-k. 100 is unchanged, 0 is chance; below the line, with "
        f"its whole interval, is broken. Bands: 95 % intervals over {span_text(rows['n'])} fakes"
        + (" and detector seeds." if several_seeds(table) else ".")
    )
    title = "left, % of the way from chance"
    figure = damage_curves(rows, EXPLANATIONS, AXES, title, text, "Left of the way from chance, in percent.")
    figure.add_hline(y=50, line={"color": LINE, "dash": "dot", "width": 1})
    return figure


_BANDS = {"stop": ("taken out", FAKE, "x"), "control": ("as much elsewhere", "#0072B2", "square")}


def band_losses(table: pd.DataFrame, names: Mapping[float, str]) -> go.Figure:
    """What is left of AP, and of omega's top-k, without a band of one channel, and without as much elsewhere.

    ``table``: rows of `tff_core.exam.band_stop.contrast`; ``names`` of the bands by their lower end. The bar
    is the interval of the difference, drawn from the control.
    """
    measures = {"AP": "average precision (AP), %", "omega": "top-k of omega that is still there, %"}
    levels, channels = list(dict.fromkeys(table["level"])), list(dict.fromkeys(table["channel"]))
    places = [(channel, level) for channel in channels for level in levels]
    height = {place: len(places) - 1 - i for i, place in enumerate(places)}
    figure, owner, settings = go.Figure(), [], {}
    shown = [name for name in measures if (table["measure"] == name).any()]
    for measure in shown:
        rows = table[table["measure"] == measure]
        y = np.array([height[r.channel, r.level] for r in records(rows)], dtype=float)
        text = [f"{r.channel}, {names[r.level]}" for r in records(rows)]
        for kind, (name, colour, symbol) in _BANDS.items():
            bars = None
            if kind == "stop":
                ends = pd.DataFrame({end: rows["control"] + rows[end] for end in ("low", "high")})
                bars = error_bars(ends.assign(value=rows[kind]), "value")
            figure.add_scatter(
                x=100 * rows[kind], y=y + (0.12 if kind == "stop" else -0.12), mode="markers", name=name,
                marker={"color": colour, "symbol": symbol, "size": 10}, error_x=bars, text=text,
                customdata=100 * rows[["value", "low", "high"]].to_numpy(),
                hovertemplate="%{text}, " + name + ": %{x:.1f} %; difference %{customdata[0]:+.1f} "
                "[%{customdata[1]:+.1f}, %{customdata[2]:+.1f}] points<extra></extra>",
            )  # fmt: skip
            owner.append(measure)
        settings[measure] = {"xaxis.title.text": measures[measure]}
    if len(shown) > 1:
        visible = {measure: [other == measure for other in owner] for measure in shown}
        add_menu(figure, visible, relayout=settings)
    row_axis(figure, [f"{channel}, {names[level]}" for channel, level in places])
    figure.update_xaxes(title=measures[shown[0]] if shown else "")
    told = "; ".join(
        f"{r.measure} without {r.channel} {names[r.level]} {100 * r.stop:.0f}, control {100 * r.control:.0f}"
        for r in records(table[table["value"].notna()])
    )
    text_ = (
        "What is left without one octave of one channel (cycles per pixel), and without random other "
        "frequencies of it that hold as much of the energy that the detector sees. Bars: 95 % intervals of "
        f"the difference from that control, over {span_text(table['n_fake'])} fakes"
        + (" and detector seeds." if several_seeds(table) else ".")
    )
    return finish(figure, 170 + 40 * len(places), text_, f"In percent. {told}.", menu=len(shown) > 1)


def band_responses(table: pd.DataFrame, names: Mapping[float, str]) -> go.Figure:
    """How groups of maps share their response out among bands.

    ``table``: ``group, channel, level, value, low, high, n_maps``, shares in [0, 1]; ``names`` as above.
    """
    groups = list(dict.fromkeys(table["group"]))
    places = list(dict.fromkeys(zip(table["channel"], table["level"], strict=True)))
    figure = go.Figure()
    for i, group in enumerate(groups):
        rows, colour = table[table["group"] == group], (FAKE, *SEED_COLOURS)[i % 6]
        y = [len(places) - 1 - places.index((r.channel, r.level)) + 0.15 - 0.3 * i for r in records(rows)]
        figure.add_scatter(
            x=100 * rows["value"], y=y, mode="markers", name=group, error_x=error_bars(rows, "value"),
            marker={"color": colour, "symbol": ("x", "square", "diamond")[i % 3], "size": 10},
            text=[f"{r.channel}, {names[r.level]}" for r in records(rows)],
            customdata=np.stack([100 * rows["low"], 100 * rows["high"], rows["n_maps"]], axis=1),
            hovertemplate="%{text}, " + group + ": %{x:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}], "
            "%{customdata[2]} maps<extra></extra>",
        )  # fmt: skip
    row_axis(figure, [f"{channel}, {names[level]}" for channel, level in places])
    figure.update_xaxes(title="share of a map's response, %", rangemode="tozero")
    told = "; ".join(
        f"{r.group}, {r.channel} {names[r.level]}: {100 * r.value:.0f}"
        for r in records(table[table["value"].notna()])
    )
    text = (
        "What maps respond to when they are shown a single octave of a single channel: the mean share of "
        f"each in a map's response to all of them. Bars: 95 % intervals over {span_text(table['n_maps'])} "
        "maps."
    )
    return finish(figure, 170 + 36 * len(places), text, f"Shares in percent. {told}.")


def reliability(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> go.Figure:
    """Reliability diagrams: the share of fakes over the probability of being fake; a menu chooses the scale.

    ``table``: ``generator, scaled, probability, share, low, high, n``; empty bins are not drawn. ``titles``
    of the generators, or groups of them.
    """
    titles = titles or {"seen": "the family trained on", "unseen": "other families"}
    table = table[table["n"] > 0]
    scales, generators = list(dict.fromkeys(table["scaled"])), list(dict.fromkeys(table["generator"]))
    figure, owner = go.Figure(), []
    for scaled in scales:
        for i, generator in enumerate(generators):
            rows = table[(table["scaled"] == scaled) & (table["generator"] == generator)]
            colour = SEED_COLOURS[i % len(SEED_COLOURS)]
            figure.add_scatter(
                x=rows["probability"], y=100 * rows["share"], mode="lines+markers",
                name=titles.get(generator, generator), error_y=error_bars(rows, "share"),
                line={"color": colour, "width": 2}, marker={"symbol": ("circle", "square")[i % 2], "size": 9},
                customdata=np.stack([100 * rows["low"], 100 * rows["high"], rows["n"]], axis=1),
                hovertemplate="probability %{x:.2f}: %{y:.1f} % fakes [%{customdata[0]:.1f}, "
                "%{customdata[1]:.1f}], n = %{customdata[2]}<extra></extra>",
            )  # fmt: skip
            owner.append(scaled)
    figure.add_shape(
        type="line", x0=0, x1=1, y0=0, y1=100, line={"color": LINE, "dash": "dot", "width": 1}, layer="below"
    )
    if len(scales) > 1:
        add_menu(figure, {one: [other == one for other in owner] for one in scales})
    figure.update_xaxes(title="probability of being fake, mean of the bin", range=[-0.02, 1.02])
    figure.update_yaxes(title="share of fakes, %", range=[-3, 103])
    told = "; ".join(
        f"{scaled}, {titles.get(g, g)}: "
        + ", ".join(f"{r.probability:.2f} {100 * r.share:.0f}" for r in records(rows))
        for (scaled, g), rows in _groups(table, ["scaled", "generator"])
    )
    text = (
        "Of the pictures with about this probability of being fake, the share that is; on the dotted line "
        "probabilities mean what they say. Bars: 95 % intervals (Wilson) of the pictures of a bin, those of "
        "all detector seeds together."
        + (" The menu chooses how logits are scaled." if len(scales) > 1 else "")
    )
    return finish(figure, 460, text, f"Share of fakes in percent. {told}.", menu=len(scales) > 1)


def _groups(table: pd.DataFrame, by: Sequence[str]) -> Any:
    return table.groupby(list(by), sort=False)
