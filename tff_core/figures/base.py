"""Helpers shared by all figures: ink, names, captions, axes, menus and sliders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core import metrics

INK = "#777777"
GRID = "rgba(128,128,128,0.25)"
LINE = "rgba(128,128,128,0.7)"
REAL, FAKE = "#0072B2", "#D55E00"
SEED_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
"""One colour per detector seed, in order."""

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "x", "circle-open")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "solid", "dash")

CONDITIONS: dict[str, tuple[str, str, str]] = {
    "baseline": ("whole detector", "#777777", "circle"),
    "low-k": ("low-k dropped", "#E69F00", "triangle-up"),
    "random-k": ("random-k dropped", "#009E73", "diamond"),
    "random-k-ensemble": ("random-k, ensemble of 5", "#CC79A7", "diamond-open"),
    "matched-k": ("layer-matched random dropped", "#0072B2", "square"),
    "top-k": ("top-k dropped", "#D55E00", "x"),
}
"""Each condition's name in a figure, its colour and its symbol, in legend order."""

GENERATORS = {
    "progan": "ProGAN",
    "stylegan2": "StyleGAN2",
    "stylegan": "StyleGAN",
    "biggan": "BigGAN",
    "cyclegan": "CycleGAN",
    "stargan": "StarGAN",
    "gaugan": "GauGAN",
}
"""Each family's name as the paper writes it, in the paper's order."""


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


def linked(figure: go.Figure, links: Mapping[str, str]) -> go.Figure:
    """The same figure, in which each label among ``links`` leads to that address on the book's pages.

    Labels of axes and titles, written exactly so. plotly itself drops links of a page that was opened from a
    file; the pages' script makes them.
    """
    figure.update_layout(meta={**figure.layout.meta, "links": dict(links)})
    return figure


def finish(figure: go.Figure, height: int, text: str, description: str, menu: bool = False) -> go.Figure:
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


def add_menu(
    figure: go.Figure,
    visible: Mapping[str, list[bool]],
    dropdown: bool = False,
    relayout: Mapping[str, dict[str, Any]] | None = None,
) -> None:
    # a page without a kernel switches by showing and hiding traces; the first entry is shown initially
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


def add_slider(figure: go.Figure, steps: list[dict[str, Any]], prefix: str, active: int = 0) -> None:
    """A slider below the figure, over its full width; ``prefix`` names what it chooses."""
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


def known_conditions(table: pd.DataFrame) -> pd.DataFrame:
    unknown = set(table["condition"]) - set(CONDITIONS)
    if unknown:
        raise ValueError(f"conditions {sorted(unknown)} have no colour: expected some of {list(CONDITIONS)}")
    return table


def in_order(values: Any) -> list[str]:
    present = list(dict.fromkeys(values))
    return [g for g in GENERATORS if g in present] + [g for g in present if g not in GENERATORS]


def row_of(generators: list[str], generator: str) -> float:
    return float(len(generators) - 1 - generators.index(generator))


def offset_of(condition: str, conditions: list[str]) -> float:
    # conditions of one generator stand below each other within its row
    i, n = conditions.index(condition), len(conditions)
    return 0.36 - 0.72 * i / max(1, n - 1)


def generator_axis(figure: go.Figure, generators: list[str]) -> None:
    row_axis(figure, [generator_name(g) for g in generators])


def row_axis(figure: go.Figure, names: list[str]) -> None:
    n = len(names)
    figure.update_yaxes(
        tickvals=list(range(n)), ticktext=names[::-1], range=[-0.55, n - 0.45], showgrid=False
    )
    for i in range(0, n, 2):
        figure.add_hrect(
            y0=i - 0.5, y1=i + 0.5, fillcolor="rgba(128,128,128,0.08)", line_width=0, layer="below"
        )


def error_bars(
    rows: pd.DataFrame,
    value: str,
    low: str = "low",
    high: str = "high",
    thickness: float = 1.5,
    scale: float = 100,
) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": scale * (rows[high] - rows[value]).clip(lower=0),
        "arrayminus": scale * (rows[value] - rows[low]).clip(lower=0),
        "thickness": thickness,
        "width": 0,
    }


def dots(
    figure: go.Figure, condition: str, rows: pd.DataFrame, y: list[float], bars: bool, visible: bool = True
) -> None:
    name, colour, symbol = CONDITIONS[condition]
    hover = "%{text}, " + name + ": AP %{x:.1f} %"
    if bars:
        hover += " [%{customdata[0]:.1f}, %{customdata[1]:.1f}]"
        hover += "<br>seeds: %{customdata[2]}, draws: %{customdata[3]}"
    figure.add_scatter(
        x=100 * rows["ap"],
        y=y,
        mode="markers",
        name=name,
        visible=visible,
        text=[generator_name(g) for g in rows.index],
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x=error_bars(rows, "ap") if bars else None,
        customdata=np.stack([100 * rows["low"], 100 * rows["high"], rows["seeds"], rows["draws"]], axis=1)
        if bars
        else None,
        hovertemplate=hover + "<extra></extra>",
    )


def cloud(figure: go.Figure, points: pd.Series, y: list[float], colour: str) -> None:
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


def series(i: int) -> tuple[str, str, str]:
    """Colour, symbol and dash of the i-th of any number of series; all three differ for the first five."""
    colours = (*SEED_COLOURS, FAKE, INK)
    return colours[i % 7], _SYMBOLS[i % 7], _DASHES[i % 7]


def band(
    figure: go.Figure, x: Any, low: Any, high: Any, colour: str, group: str, visible: bool = True
) -> None:
    """The area between two curves, in a pale tone of ``colour``; belongs to the legend entry ``group``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    x, low, high = (np.asarray(values, dtype=float) for values in (x, low, high))
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.2)",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
        visible=visible,
    )


def counts_text(table: pd.DataFrame) -> str:
    if "n_real" not in table:
        return ""
    return f"Per generator {span_text(table['n_real'])} reals and {span_text(table['n_fake'])} fakes."


def chance_of(table: pd.DataFrame) -> float:
    """Expected AP of a random order, mean over the rows: where a figure marks chance."""
    counts = zip(table["n_real"], table["n_fake"], strict=True)
    return float(np.mean([metrics.chance(int(real), int(fake)) for real, fake in counts]))


def several_seeds(table: pd.DataFrame) -> bool:
    """Whether more than one training seed is behind a table.

    By its column ``seeds``, their number, or by its rows of single seeds beside those of all ("all").
    """
    if "seeds" in table:
        return bool((table["seeds"] > 1).any())
    if "seed" not in table:
        return False
    return table.loc[table["seed"].astype(str) != "all", "seed"].nunique() > 1


def span_text(values: Any) -> str:
    low, high = int(min(values)), int(max(values))
    return str(low) if low == high else f"{low} to {high}"


def alt_ap(summary: pd.DataFrame, generators: list[str]) -> str:
    parts = []
    for generator in generators:
        rows = summary[summary["generator"] == generator]
        values = ", ".join(f"{CONDITIONS[r.condition][0]} {100 * r.ap:.1f}" for r in records(rows))
        parts.append(f"{generator_name(generator)}: {values}")
    return "Average precision in percent. " + "; ".join(parts) + "."


def records(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())
