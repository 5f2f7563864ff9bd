"""Colour-robust detectors compared with the universal ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    LINE,
    add_menu,
    chance_of,
    counts_text,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    records,
    row_axis,
    row_of,
    several_seeds,
)

UNIVERSAL, ROBUST = "#CC79A7", "#0072B2"
_MODELS = {"universal": (UNIVERSAL, "universal"), "color-robust": (ROBUST, "colour-robust")}
_CASES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("universal", "color"): ("universal, colour", UNIVERSAL, "circle"),
    ("universal", "gray"): ("universal, gray", UNIVERSAL, "circle-open"),
    ("color-robust", "color"): ("colour-robust, colour", ROBUST, "square"),
    ("color-robust", "gray"): ("colour-robust, gray", ROBUST, "square-open"),
}
"""Name, colour and symbol for each detector and input; gray pictures have open symbols."""
_DIFFERENCES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("difference", "gray"): ("gray pictures", "#777777", "square-open"),
    ("difference", "color"): ("pictures in colour", "#009E73", "square"),
    ("universal", "color - gray"): ("universal", UNIVERSAL, "circle"),
    ("color-robust", "color - gray"): ("colour-robust", ROBUST, "square"),
}
_SETS: dict[tuple[str, str], tuple[str, str, str]] = {
    ("universal", "top-k"): ("universal, top-k", UNIVERSAL, "circle"),
    ("universal", "matched-k"): ("universal, layer-matched", UNIVERSAL, "circle-open"),
    ("color-robust", "top-k"): ("colour-robust, top-k", ROBUST, "square"),
    ("color-robust", "matched-k"): ("colour-robust, layer-matched", ROBUST, "square-open"),
}


def _offset(place: int, of: int) -> float:
    return 0.3 - 0.6 * place / max(1, of - 1)


def _marks(
    figure: go.Figure,
    rows: pd.DataFrame,
    column: str,
    y: list[float],
    look: tuple[str, str, str],
    ends: tuple[str, str] | None,
    visible: bool,
    unit: str,
) -> None:
    name, colour, symbol = look
    signed = "+" if unit == "points" else ""
    hover = "%{text}, " + name + f": %{{x:{signed}.1f}} {unit}"
    if ends:
        hover += f" [%{{customdata[0]:{signed}.1f}}, %{{customdata[1]:{signed}.1f}}]"
    figure.add_scatter(
        x=100 * rows[column],
        y=y,
        mode="markers",
        name=name,
        visible=visible,
        text=[generator_name(g) for g in rows["generator"]],
        marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2, "color": colour}},
        error_x=error_bars(rows, column, *ends) if ends else None,
        customdata=100 * rows[list(ends)].to_numpy() if ends else None,
        hovertemplate=hover + "<extra></extra>",
    )


def _seeds(
    figure: go.Figure, rows: pd.DataFrame, y: list[float], colour: str, visible: bool, unit: str
) -> None:
    figure.add_scatter(
        x=100 * rows["ap"],
        y=y,
        mode="markers",
        marker={"color": colour, "size": 5, "opacity": 0.45},
        text=[f"{generator_name(r.generator)}, seed {r.seed}" for r in records(rows)],
        hovertemplate="%{text}: %{x:.1f} " + unit + "<extra></extra>",
        showlegend=False,
        visible=visible,
    )


def robust_ap(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> go.Figure:
    """AP of a detector and of its colour-robust twin, on pictures in colour and in gray.

    ``table`` has one row per ``generator``, ``model`` ("universal", "color-robust"), ``input`` ("color",
    "gray") and ``seed`` ("all" or a number) with ``ap, ap_low, ap_high`` in [0, 1], ``n_real`` and
    ``n_fake``; other models and inputs are left out. ``paper`` has ``generator, model, input, ap`` and
    ``doubtful``; a switch shows it.
    """
    table = table.assign(seed=table["seed"].astype(str))
    generators = in_order(table["generator"])
    figure = go.Figure()
    for place, (case, look) in enumerate(_CASES.items()):
        own = table[(table["model"] == case[0]) & (table["input"] == case[1])]
        pooled, single = own[own["seed"] == "all"], own[own["seed"] != "all"]
        at = _offset(place, len(_CASES))
        _marks(figure, pooled, "ap", [row_of(generators, g) + at for g in pooled["generator"]], look,
               ("ap_low", "ap_high"), True, "%")  # fmt: skip
        _seeds(figure, single, [row_of(generators, g) + at for g in single["generator"]], look[1], True, "%")
    measured = len(figure.data)
    if paper is not None:
        for place, (case, look) in enumerate(_CASES.items()):
            own = paper[(paper["model"] == case[0]) & (paper["input"] == case[1])]
            own = own[own["generator"].isin(generators)]
            at = _offset(place, len(_CASES))
            _marks(figure, own, "ap", [row_of(generators, g) + at for g in own["generator"]], look,
                   None, False, "%")  # fmt: skip
        total = len(figure.data)
        shown = {
            "Measured here": [i < measured for i in range(total)],
            "The paper": [i >= measured for i in range(total)],
        }
        add_menu(figure, shown)
    chance = chance_of(table)
    figure.add_vline(x=100 * chance, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="average precision (AP), %", range=[min(38.0, 100 * chance - 12), 101.5])
    generator_axis(figure, generators)
    text = (
        "Average precision of the universal detector and of its colour-robust twin on the same pictures in "
        f"colour (filled) and in gray (open). {counts_text(table)} Bars: 95 % intervals over pictures"
        + (" and detector seeds; small dots are the seeds" if several_seeds(table) else "")
        + "; dotted line: a random order, on average."
    )
    ap = {(r.generator, r.model, r.input): r.ap for r in records(table[table["seed"] == "all"])}
    described = "; ".join(
        f"{generator_name(g)}: "
        + ", ".join(f"{look[0]} {100 * ap[g, *case]:.1f}" for case, look in _CASES.items())
        for g in generators
    )
    return finish(figure, 200 + 66 * max(2, len(generators)), text, f"AP in percent. {described}.",
                  menu=paper is not None)  # fmt: skip


def robust_differences(table: pd.DataFrame) -> go.Figure:
    """How colour-robust training changes AP, and how much AP each detector loses on gray pictures.

    ``table`` as for `robust_ap`, with the rows of model "difference" and of input "color - gray".
    """
    table = table.assign(seed=table["seed"].astype(str))
    generators = in_order(table["generator"])
    figure = go.Figure()
    owner = []
    titles = {
        "colour-robust minus universal": [("difference", "gray"), ("difference", "color")],
        "colour minus gray": [("universal", "color - gray"), ("color-robust", "color - gray")],
    }
    for title, cases in titles.items():
        for place, case in enumerate(cases):
            look, first = _DIFFERENCES[case], title == next(iter(titles))
            own = table[(table["model"] == case[0]) & (table["input"] == case[1])]
            pooled, single = own[own["seed"] == "all"], own[own["seed"] != "all"]
            at = 0.15 - 0.3 * place
            _marks(figure, pooled, "ap", [row_of(generators, g) + at for g in pooled["generator"]], look,
                   ("ap_low", "ap_high"), first, "points")  # fmt: skip
            _seeds(figure, single, [row_of(generators, g) + at for g in single["generator"]], look[1], first,
                   "points")  # fmt: skip
            owner += [title, title]
    add_menu(figure, {title: [o == title for o in owner] for title in titles}, dropdown=True)
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    figure.update_xaxes(title="difference of AP, points")
    generator_axis(figure, generators)
    text = (
        "Paired differences of AP with 95 % intervals over pictures"
        + (" and detector seeds; small dots are the seeds" if several_seeds(table) else "")
        + f". {counts_text(table)} First the colour-robust detector minus the universal one (right of "
        "zero: it does better); the menu shows colour minus gray for each of the two (right of zero: gray "
        "costs AP)."
    )
    found = {(r.generator, r.model, r.input): r for r in records(table[table["seed"] == "all"])}
    described = "; ".join(
        f"{generator_name(g)}: "
        + ", ".join(
            f"on {look[0]} {100 * row.ap:+.1f} [{100 * row.ap_low:+.1f}, {100 * row.ap_high:+.1f}]"
            for look, row in ((look, found[g, *case]) for case, look in list(_DIFFERENCES.items())[:2])
        )
        for g in generators
    )
    return finish(
        figure, 170 + 52 * max(2, len(generators)), text,
        f"AP of the colour-robust minus the universal detector, points. {described}.", menu=True,
    )  # fmt: skip


def robust_shares(table: pd.DataFrame, paper: Mapping[str, Mapping[str, float]] | None = None) -> go.Figure:
    """Share of colour-conditional maps before and after colour-robust training, with controls.

    ``table`` has one row per ``generator``, ``model`` and ``group`` with ``share, low, high`` in [0, 1] and
    ``n``, as from `tff_core.features.color_robust.before_after`; ``paper`` maps a model to the published
    share of its top-k by generator, in [0, 1].
    """
    generators = in_order(table["generator"])
    figure = go.Figure()
    owner = []
    for place, (case, look) in enumerate(_SETS.items()):
        own = table[(table["model"] == case[0]) & (table["group"] == case[1])]
        at = _offset(place, len(_SETS))
        _marks(figure, own, "share", [row_of(generators, g) + at for g in own["generator"]], look,
               ("low", "high"), True, "%")  # fmt: skip
        owner.append("shares")
    for model, shares in (paper or {}).items():
        colour, name = _MODELS[model]
        known = [g for g in generators if g in shares]
        at = _offset(list(_SETS).index((model, "top-k")), len(_SETS))
        figure.add_scatter(
            x=[100 * shares[g] for g in known],
            y=[row_of(generators, g) + at for g in known],
            mode="markers",
            name=f"the paper: {name}, top-k",
            marker={"color": colour, "symbol": "star-open", "size": 12},
            text=[generator_name(g) for g in known],
            hovertemplate="%{text}, the paper, " + name + ": %{x:.1f} %<extra></extra>",
        )
        owner.append("shares")
    contrasts = {"top-k": ("top-k", "#D55E00", "x"), "matched-k": ("layer-matched", "#0072B2", "square")}
    for place, (group, look) in enumerate(contrasts.items()):
        own = table[(table["model"] == "difference") & (table["group"] == group)]
        _marks(figure, own, "share", [row_of(generators, g) + 0.15 - 0.3 * place for g in own["generator"]],
               look, ("low", "high"), False, "points")  # fmt: skip
        owner.append("differences")
    ends = table[table["model"] == "difference"][["low", "high"]] * 100
    wide = [min(-10.0, float(ends["low"].min()) - 5), max(10.0, float(ends["high"].max()) + 5)]
    axes = {
        "before and after": ("shares", "colour-conditional maps, %", [-4, 104]),
        "after minus before": ("differences", "change of the share, points", wide),
    }
    add_menu(
        figure,
        {words: [o == kind for o in owner] for words, (kind, _, _) in axes.items()},
        relayout={
            words: {"xaxis.title.text": title, "xaxis.range": span}
            for words, (_, title, span) in axes.items()
        },
    )
    figure.add_vline(x=0, line={"color": LINE, "width": 1})
    figure.update_xaxes(title="colour-conditional maps, %", range=[-4, 104])
    generator_axis(figure, generators)
    n = sorted(set(table["n"]))
    text = (
        "Share of feature maps whose maximum activation responds differently in gray (Mood's test at 5 %), "
        f"measured on {' to '.join(str(v) for v in dict.fromkeys((n[0], n[-1])))} fakes at a time, with 95 % "
        f"intervals over pictures{' and seeds' * several_seeds(table)}"
        ". Open symbols: other maps of the same layers. The paper's shares "
        "are of a larger n."
    )
    if not paper:
        text = text.removesuffix(" The paper's shares are of a larger n.")
    share = {(r.generator, r.model, r.group): r.share for r in records(table)}
    described = "; ".join(
        f"{generator_name(g)}: "
        + ", ".join(f"{look[0]} {100 * share[g, *case]:.0f}" for case, look in _SETS.items())
        for g in generators
    )
    return finish(figure, 190 + 62 * max(2, len(generators)), text,
                  f"Share of colour-conditional maps, %. {described}.", menu=True)  # fmt: skip


def chroma_ratios(table: pd.DataFrame, means: pd.DataFrame) -> go.Figure:
    """How colourful the patches of each map are: chroma of the patch divided by that of its picture.

    ``table`` has one row per ``model``, ``group`` ("top-k", "matched-k") and ``map`` with ``ratio``, at least
    0; ``means`` one per model and group with ``value, low, high``.
    """
    rows = [case for case in _SETS if ((means["model"] == case[0]) & (means["group"] == case[1])).any()]
    figure = go.Figure()
    for place, case in enumerate(rows):
        name, colour, symbol = _SETS[case]
        at = float(len(rows) - 1 - place)
        own = table[(table["model"] == case[0]) & (table["group"] == case[1])]
        mean: Any = means[(means["model"] == case[0]) & (means["group"] == case[1])].iloc[0]
        figure.add_scatter(
            x=own["ratio"],
            y=[at] * len(own),
            mode="markers",
            marker={"color": colour, "size": 7, "opacity": 0.4},
            text=own["map"],
            hovertemplate="%{text}: %{x:.2f}<extra></extra>",
            showlegend=False,
        )
        figure.add_scatter(
            x=[mean["value"]],
            y=[at + 0.22],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
            error_x=error_bars(pd.DataFrame([mean]), "value", thickness=2, scale=1),
            hovertemplate=f"{name}: mean %{{x:.2f}} [{mean['low']:.2f}, {mean['high']:.2f}]<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=1, line={"color": LINE, "dash": "dot"})
    row_axis(figure, [_SETS[case][0].replace(", ", ",<br>") for case in rows])
    figure.update_xaxes(title="chroma of the patch / of its picture")
    described = "; ".join(
        f"{_SETS[case][0]} {float(value):.2f}"
        for case in rows
        for value in means[(means["model"] == case[0]) & (means["group"] == case[1])]["value"]
    )
    text = (
        "Mean chroma inside a map's LRP-max patches over that of the pictures they come from: one dot per "
        "map, and above them the mean with its 95 % interval over maps. At 1 (dotted) a patch is as "
        "colourful as its picture."
    )
    return finish(figure, 120 + 70 * len(rows), text, f"Mean ratio of chroma. {described}.")
