"""What the chapter on planted traces says: which explanations and which tests of colour are right."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import pandas as pd

from tff_core.claims.texts import base
from tff_core.claims.verdicts import percent, points

METHODS = {
    "lrp": "LRP (z+), the book's heatmap",
    "integrated": "integrated gradients",
    "input_gradient": "input times gradient",
    "gradient": "gradient",
    "guided_gradcam": "Guided Grad-CAM",
    "gradcam": "Grad-CAM",
    "edges": "edges, no detector",
    "random": "random, no detector",
}
"""The display name of each explanation, in their order on the page."""
TESTS = {
    "C5": "patches of the top maps are colourful",
    "C6": "in gray the fake probability falls",
    "C7": "most of the top maps respond to colour",
    "C8": "training in gray restores the AP in gray",
}
NONE = (
    "None of these detectors has learnt its trace well enough to be examined: everything below would be "
    "about detectors of which nothing is known. Train them longer, or plant stronger traces (`known` in the "
    "workflow's settings)."
)


def spoken(case: str) -> str:
    """A case in words: ``Cb, period 2``; ``Y, period 2, and Cb, period 4``; "all" stays."""
    waves = re.findall(r"(Y|Cb|Cr)([\d.]+)", case)
    return ", and ".join(f"{channel}, period {period}" for channel, period in waves) or case


def cases(names: Iterable[str]) -> dict[str, str]:
    """The names of cases in words, "all detectors" first where there are several."""
    known = list(dict.fromkeys(names))
    several = {"all": "all detectors"} if len(known) > 1 else {}
    return several | {case: spoken(case) for case in known}


def used(table: pd.DataFrame, least: float) -> str:
    """What each detector does with its trace, with it and after it was taken out, and which ones count.

    ``table``: rows ``case, seed, state, ap, low, high, called, n, fall, fall_low, fall_high, learnt``.
    """
    heads = [
        "trace",
        "seed",
        "AP with it",
        "AP after it was taken out",
        "called fake, with and without",
        "counts",
    ]
    lines = []
    for (case, seed), own in table.groupby(["case", "seed"], sort=False):
        rows = {r.state: r for r in base.tuples(own)}
        first, out = rows["planted"], rows["taken out"]
        lines.append(
            [
                spoken(str(case)), seed, percent(first.ap, first.low, first.high),
                percent(out.ap, out.low, out.high), f"{percent(first.called)}, {percent(out.called)}",
                "yes" if first.learnt else "no",
            ]
        )  # fmt: skip
    counted = int(table.groupby(["case", "seed"])["learnt"].all().sum())
    told = (
        f"{counted} of {base.counted(len(lines), 'detector')} count: AP of {percent(least)} or more with the "
        "trace, and surely less without it. The rest of the page is about these. "
        f"{base.span(table['n'])} test scenes, each with and without the trace; 95 % intervals over scenes."
    )
    return "\n\n".join([base.table(heads, lines), told, *_which(table)])


def _which(table: pd.DataFrame) -> list[str]:
    told = []
    for (case, seed), own in table[table["learnt"]].groupby(["case", "seed"], sort=False):
        rows = {r.state: r for r in base.tuples(own)}
        if "without chroma" in rows:
            chroma, luma = (rows[f"without {what}"] for what in ("chroma", "luma"))
            told.append(
                f"**{spoken(str(case))}, seed {seed}**, has two traces. Without the one in chroma AP changes "
                f"by {points(-chroma.fall, -chroma.fall_high, -chroma.fall_low)}, without the one in luma "
                f"by {points(-luma.fall, -luma.fall_high, -luma.fall_low)}."
            )
    return told


def limits(table: pd.DataFrame, level: float) -> str:
    """From which amplitude on each trace is found: rows ``case, limit, low, high, seeds, covers, n``."""
    heads = ["trace", "detection limit, levels of 255", "detectors", "the interval covers"]
    lines = [[spoken(r.case), _limit(r.limit, r.low, r.high), r.seeds, r.covers] for r in base.tuples(table)]
    told = f"The limit is the amplitude from which on AP is {percent(level)} or more."
    return f"{base.table(heads, lines)}\n\n{told}"


def _limit(value: float, low: float, high: float) -> str:
    if math.isinf(value):
        return (
            f"beyond the largest dose; at least {low:.1f}"
            if math.isfinite(low)
            else "beyond the largest dose"
        )
    end = "beyond the largest dose" if math.isinf(high) else f"{high:.1f}"
    return f"{value:.1f} [{low:.1f}, {end}]"


def places(summary: pd.DataFrame, words: Mapping[str, str], case: str) -> str:
    """The verdict on each method: what it has more than chance and than edges, by both measures.

    ``summary``: rows ``case, method, measure, against, value, low, high, n, blank``; ``words`` the verdict of
    each method; ``case`` the one whose rows count.
    """
    own = summary[summary["case"] == case]
    heads = [
        "explanation",
        "mass above chance",
        "rank above chance",
        "mass above edges",
        "rank above edges",
        "verdict",
    ]
    lines, empty = [], 0
    for method, title in METHODS.items():
        rows = {(r.measure, r.against): r for r in base.tuples(own[own["method"] == method])}
        if not rows:
            continue
        cells = []
        for against in ("chance", "edges"):
            for measure in ("mass", "rank"):
                r = rows.get((measure, against))
                cells.append(
                    "" if r is None else "none" if math.isnan(r.value) else points(r.value, r.low, r.high)
                )
        word = "control" if method in ("edges", "random") else f"**{words[method]}**"
        lines.append([title, *cells, word])
        empty += rows["mass", ""].blank
    told = f"{base.span(own['n'])} pictures and {base.counted(int(own['seeds'].max()), 'detector')}."
    if empty:
        told += f" Left out: {base.counted(empty, 'heatmap')} without any positive relevance."
    return f"{base.table(heads, lines)}\n\n{told}"


def maps(agreement: pd.DataFrame, dropped: pd.DataFrame) -> str:
    """Does omega rank the carriers first, and what is lost without its top-k?

    ``agreement``: rows ``case, seed, layer, n_maps, rho, asked, found, by_chance, median_rank``;
    ``dropped``: rows ``case, seed, group, draw, k, left``.
    """
    told = []
    for layer, own in agreement.groupby("layer", sort=False):
        known = own["rho"].dropna()
        rho = (
            f"{known.mean():.2f} on average ({known.min():.2f} to {known.max():.2f})"
            if len(known)
            else "none"
        )
        told.append(
            f"**{layer}**, {base.counted(int(own['n_maps'].iloc[0]), 'map')}: rank correlation of omega with "
            f"what is lost {rho}; of the {int(own['asked'].iloc[0])} strongest carriers omega "
            "has "
            f"{own['found'].mean():.1f} among as many of its strongest, by chance it would be "
            f"{own['by_chance'].mean():.1f}; their median rank by omega over the whole network is "
            f"{percent(own['median_rank'].median())} from the top."
        )
    left = dropped.groupby("group", sort=False)["left"].mean()
    k = base.span(dropped.loc[dropped["group"] == "top-k", "k"])
    lost = (
        f"Without the {k} maps that omega ranks first {percent(float(left['top-k']))} of the trace's effect "
        "is left; "
        f"without as many others of the same layers {percent(float(left['matched-k']))}, without the lowest "
        f"{percent(float(left['low-k']))}. Means over {base.counted(_detectors(agreement), 'detector')}."
    )
    return base.admonition("Omega and the maps that carry the trace", "\n\n".join([*told, lost]))


def _detectors(table: pd.DataFrame) -> int:
    return len(table[["case", "seed"]].drop_duplicates())


def answers(table: pd.DataFrame) -> str:
    """What each test says of each detector: rows ``case, seed, color, test, said``."""
    heads = ["trace", "seed", "in chroma", *TESTS]
    lines = []
    for (case, seed, color), own in table.groupby(["case", "seed", "color"], sort=False):
        said = dict(zip(own["test"], own["said"], strict=True))
        cells = [
            "" if t not in said else f"{'colour' if said[t] else 'no'}{'' if said[t] == color else ' ✗'}"
            for t in TESTS
        ]
        lines.append([spoken(str(case)), seed, "yes" if color else "no", *cells])
    return f"{base.table(heads, lines)}\n\nA cross marks an answer that is wrong."


def confusion(table: pd.DataFrame) -> str:
    """How often each test is right, a table.

    ``table``: rows ``test, hits, n_chroma, alarms, n_luma, right, low, high, verdict``.
    """
    heads = ["test", "says colour, trace in chroma", "says colour, trace in luma", "right", "verdict"]
    lines = [
        [
            f"{r.test}: {TESTS[r.test]}", f"{r.hits} of {r.n_chroma}", f"{r.alarms} of {r.n_luma}",
            "not to be said" if math.isnan(r.right) else percent(r.right, r.low, r.high),
            f"**{r.verdict}**" if r.verdict else "not examined",
        ]
        for r in base.tuples(table)
    ]  # fmt: skip
    return base.table(heads, lines)


def meaning(table: pd.DataFrame, mixed: bool) -> str:
    """What the confusion table means for the paper's claims C5 to C8.

    ``table`` as for `confusion`; ``mixed``: whether there were detectors with traces in both at once.
    """
    told = []
    for r in base.tuples(table):
        misses = r.n_chroma - r.hits
        if not r.verdict:
            text = "could not be examined, because detectors of one kind are missing"
        elif not misses and not r.alarms:
            text = "said colour when, and only when, the trace was in chroma: here its answer can be believed"
        elif not r.alarms:
            text = (
                f"raised no false alarm but missed {misses} of {r.n_chroma} traces in chroma: where it says "
                "colour it can be believed, where it does not nothing follows"
            )
        elif not misses:
            text = (
                f"found every trace in chroma but said colour of {r.alarms} of {r.n_luma} detectors that use "
                "luma alone, too: where it says no it can be believed, where it says colour nothing follows"
            )
        else:
            text = (
                f"missed {misses} of {r.n_chroma} traces in chroma and said colour of {r.alarms} of "
                f"{r.n_luma} detectors that use luma alone"
            )
        told.append(f"**{r.test}** ({TESTS[r.test]}) {text}.")
        if r.test == "C8":
            told[-1] += (
                " It asks what *another* training would find in gray pictures, so it can say colour only "
                "where luma has a trace as well"
                + ("." if mixed else ", which none of these detectors was given (`make all` has some).")
            )
    return base.admonition("What it means for C5 to C8", "\n\n".join(told))
