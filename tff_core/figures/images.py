"""Pictures with words, and collages of patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    CONDITIONS,
    INK,
    LINE,
    add_menu,
    add_slider,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    row_of,
)
from tff_core.pictures import sheets


def pictures(
    rows: Mapping[str, np.ndarray],
    labels: Mapping[str, Sequence[str]] | None = None,
    text: str = "",
    columns: int | None = None,
) -> go.Figure:
    """Rows of small pictures, each row named; hovering a picture shows its label.

    ``rows`` maps a name to uint8 (N, H, W, 3), the same H and W everywhere; ``labels`` gives one text per
    picture. After ``columns`` pictures (if given) a row continues on the next line.
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
    cells = np.zeros((lines, columns, height, width, 3), dtype=np.uint8)
    there = np.zeros((lines, columns), dtype=bool)
    xs, ys, hover = [], [], []
    for name, array in rows.items():
        for i, picture in enumerate(array):
            line, column = first[name] + i // columns, i % columns
            cells[line, column], there[line, column] = picture, True
            xs.append(column * (width + gap) + width / 2 - 0.5)
            ys.append(line * (height + gap) + height / 2 - 0.5)
            hover.append(labels[name][i] if labels and name in labels else name)
    sheet = sheets.tiled(cells, gap, there)
    figure = go.Figure(go.Image(source=sheets.png(sheet), hoverinfo="skip"))
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
    return finish(
        figure, 44 + 84 * lines, text or f"Pictures ({described}).", f"Rows of pictures. {described}."
    )


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
    frames: uint8 (R, C, h, w, 3) by name, all of one shape; an all-zero cell is left empty.
    hover: for every frame, R rows of C texts.
    rows: for every frame, the names of its rows.
    columns: names of the columns.
    text: the caption.
    prefix: text before the name that the slider shows; empty for a menu.
    """
    if not frames or len({f.shape for f in frames.values()}) > 1:
        raise ValueError(f"frames of shapes {[f.shape for f in frames.values()]}: expected one shape")
    count, across, height, width = next(iter(frames.values())).shape[:4]
    gap = max(2, width // 10)
    centres_x = [c * (width + gap) + width / 2 - 0.5 for c in range(across)]
    centres_y = [r * (height + gap) + height / 2 - 0.5 for r in range(count)]
    figure = go.Figure()
    for i, (name, cells) in enumerate(frames.items()):
        sheet = sheets.png(sheets.tiled(cells, gap))
        figure.add_trace(go.Image(source=sheet, hoverinfo="skip", visible=i == 0))
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
        add_slider(figure, steps, prefix)
    else:
        add_menu(figure, shown, dropdown=True, relayout=labels)
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
        f"{len(names)} table{'s' * (len(names) > 1)} of small pictures ({', '.join(names)}), each of {count} "
        f"rows ({', '.join(rows[names[0]])}) and the columns {', '.join(columns)}."
    )
    finished = finish(figure, 120 + 76 * count, text, described, menu=not prefix)
    # column names go where other figures have a margin, with the menu above them
    finished.update_layout(margin_t=(80 if not prefix else 34))
    for menu in finished.layout.updatemenus:
        menu.pad.b = 34
    finished.update_xaxes(linecolor="rgba(0,0,0,0)")
    finished.update_yaxes(linecolor="rgba(0,0,0,0)")
    return finished


_CHROMA = {
    "top-k": ("top-k", CONDITIONS["top-k"][1], "circle", 0.2),
    "matched-k": ("layer-matched maps", CONDITIONS["matched-k"][1], "square", 0.0),
    "any place": ("top-k's boxes at any place", INK, "diamond-open", -0.2),
    "top-k - matched-k": ("minus layer-matched maps", CONDITIONS["matched-k"][1], "square", 0.12),
    "top-k - any place": ("minus any place", INK, "diamond-open", -0.12),
}


def patch_chroma(table: pd.DataFrame, seeds: int = 1) -> go.Figure:
    """How colourful patches are compared with their controls, by generator; a switch shows the differences.

    ``table`` has rows ``generator, group, value, low, high, n_maps``, one for each generator and group, where
    a group is one of `tff_core.features.patches.chroma_table`; a missing number is left out. ``seeds``: how
    many detector seeds are behind each number.
    """
    unknown = set(table["group"]) - set(_CHROMA)
    if unknown or table.empty:
        raise ValueError(f"groups {sorted(unknown) or 'none'}: expected rows of {list(_CHROMA)}")
    generators = in_order(table["generator"])
    figure, difference = go.Figure(), []
    for group, (name, colour, symbol, offset) in _CHROMA.items():
        rows = table[(table["group"] == group) & table["value"].notna()]
        difference.append(" - " in group)
        figure.add_scatter(
            x=rows["value"],
            y=[row_of(generators, g) + offset for g in rows["generator"]],
            mode="markers",
            name=name,
            text=[generator_name(g) for g in rows["generator"]],
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_x=error_bars(rows, "value", scale=1),
            customdata=rows[["low", "high", "n_maps"]],
            hovertemplate="%{text}, " + name + ": %{x:.2f} [%{customdata[0]:.2f}, %{customdata[1]:.2f}]"
            "<br>%{customdata[2]} maps<extra></extra>",
        )
    generator_axis(figure, generators)
    figure.add_vline(x=1, line={"color": LINE, "dash": "dot"})
    titles = {
        "chroma": ([not d for d in difference], "chroma of the patch / of its picture", 1),
        "top-k minus controls": (difference, "difference of the ratios", 0),
    }
    relayout = {
        name: {"xaxis.title.text": words, "shapes[0].x0": x, "shapes[0].x1": x}
        for name, (_, words, x) in titles.items()
    }
    shapes = list(figure.layout.shapes)
    figure.layout.shapes = [shapes[-1], *shapes[:-1]]  # the line that moves
    add_menu(figure, {name: shown for name, (shown, _, _) in titles.items()}, relayout=relayout)
    figure.update_xaxes(title="chroma of the patch / of its picture")
    tops = table[table["group"] == "top-k"].set_index("generator")["value"]
    described = "; ".join(f"{generator_name(g)} {tops[g]:.2f}" for g in generators if tops.notna().get(g))
    text = (
        "How colourful the patches are: the chroma inside a patch divided by that of its picture (dotted: "
        "equal), "
        + (
            "mean over maps and detector seeds, with 95 % intervals over both."
            if seeds > 1
            else "mean over maps, with 95 % intervals over maps."
        )
        + " The switch shows the differences (dotted: none)."
    )
    return finish(
        figure, 150 + 62 * len(generators), text, f"Chroma ratio of patches of the top-k. {described}.", True
    )
