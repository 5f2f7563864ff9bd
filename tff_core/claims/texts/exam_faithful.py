"""What the chapter on the faithfulness of explanations says about its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base

METHODS = {
    "lrp_zplus": "LRP, z+",
    "lrp_epsilon_gamma": "LRP, epsilon and gamma",
    "gradient": "gradient",
    "input_x_gradient": "input × gradient",
    "integrated_gradients": "integrated gradients",
    "smoothgrad": "SmoothGrad",
    "guided_gradcam": "Guided Grad-CAM",
    "gradcam": "Grad-CAM",
    "occlusion": "occlusion",
    "rise": "RISE",
    "random": "random numbers",
    "edges": "edges",
}
"""Methods in words, in the order in which they are shown."""
MEASURES = {
    "flip_most": "most relevant regions first (logit, lower is better)",
    "flip_least": "least relevant regions first (logit, higher is better)",
    "deletion": "deletion (probability, lower is better)",
    "insertion": "insertion (probability, higher is better)",
    "road": "ROAD (share of decisions that stand, lower is better)",
    "sensitivity_n": "sensitivity-n (correlation, higher is better)",
    "infidelity": "infidelity (share left unexplained, lower is better)",
    "max_sensitivity": "max-sensitivity (relative change, lower is better)",
}
"""Measures in words."""
CURVES = {
    "flip_most": "Most relevant regions first, logit of the decision",
    "flip_least": "Least relevant regions first, logit of the decision",
    "deletion": "Deletion, probability of the decision",
    "insertion": "Insertion, probability of the decision",
    "road": "Most relevant pixels imputed (ROAD), share of decisions that stand",
}
"""Curves in words, with what is on their axis."""
ALL = "all"
STABLE = "max_sensitivity"
CONTROLS = ("random", "edges")
PASSED, IN_PART, FAILED, OPEN = "passed", "in part", "failed", "open"


def asked(methods: Mapping[str, tuple[bool, str]]) -> str:
    """A table of methods: whether each is signed, and its source, by name."""
    rows = [
        (METHODS.get(name, name), "for and against" if signed else "how much", source)
        for name, (signed, source) in methods.items()
    ]
    return base.table(["method", "its map says", "source"], rows)


def rule(measures: int) -> str:
    """How a method passes, in words, before any number is shown."""
    return (
        f"**The rule.** A method is judged by each of {base.counted(measures, 'measure')} of faithfulness, "
        "on "
        "the same pictures as random numbers. A measure speaks for the method if the 95 % interval of its "
        "gain "
        "over random numbers, over pictures and trainings, lies above zero, and against it if below. The "
        f"method has **{PASSED}** if all measures speak for it, passed **{IN_PART}** if at least "
        f"{_half(measures)} do, **{FAILED}** if more speak against it than for it, and is **{OPEN}** "
        "otherwise. "
        "Measures of one map resemble each other, so their number is no number of independent tests. Edges "
        "are "
        "judged like the methods: what they pass is no proof of having looked at the detector. How stable a "
        "map is, is no question of its faithfulness (a constant map is perfectly stable), and does not count."
    )


def _half(measures: int) -> int:
    return -(-measures // 2)


def word(speak_for: int, against: int, measures: int) -> str:
    """The verdict from the numbers of measures that speak for a method and against it; see `rule`."""
    if speak_for == measures:
        return PASSED
    if speak_for >= _half(measures):
        return IN_PART
    return FAILED if against > speak_for else OPEN


def judged(summary: pd.DataFrame) -> pd.DataFrame:
    """A row for each method: ``method, verdict``, and ``better, worse, left``, tuples of measures.

    ``summary`` as from `tff_core.exam.faithfulness.summary`. ``better`` and ``worse`` than random numbers;
    what has no interval, or one from a single training, is left. ``beats_edges``: the measures by which it is
    better than edges.
    """
    rows = []
    faithful = summary[summary["measure"] != STABLE]
    for method, own in faithful.groupby("method", sort=False):
        if method == "random":
            continue
        said = verdicts.side(own["over_random_low"], own["over_random_high"], seeds=own["seeds"])
        parts = [tuple(own.loc[said == what, "measure"]) for what in (verdicts.FOR, verdicts.AGAINST)]
        left = tuple(m for m in own["measure"] if m not in parts[0] + parts[1])
        found = word(len(parts[0]), len(parts[1]), len(own))
        beats = verdicts.side(own["over_edges_low"], own["over_edges_high"], seeds=own["seeds"])
        edges = tuple(own.loc[beats == verdicts.FOR, "measure"])
        rows.append((method, found, *parts, left, edges))
    columns = ["method", "verdict", "better", "worse", "left", "beats_edges"]
    return pd.DataFrame(rows, columns=columns)


def verdict(summary: pd.DataFrame) -> str:
    """The verdict on each method, in a table, with n."""
    found = judged(summary)
    heads = ["method", "verdict", "better than random", "worse", "not told apart", "better than edges"]
    rows = [
        (
            METHODS.get(r.method, r.method), f"**{r.verdict}**", len(r.better), len(r.worse), len(r.left),
            "" if r.method == "edges" else len(r.beats_edges),
        )
        for r in base.tuples(found)
    ]  # fmt: skip
    faithful = summary[summary["measure"] != STABLE]
    measures = faithful["measure"].nunique()
    told = [base.table(heads, rows), f"Of {base.counted(measures, 'measure')}. {counts(faithful)}"]
    seeds = int(summary["seeds"].max())
    if seeds < 2:
        told.append(
            "Intervals of a single training say nothing about another one, so nothing is judged: train more "
            "seeds."
        )
    edges = found[found["method"] == "edges"]
    if len(edges) and len(edges["better"].iloc[0]):
        names = ", ".join(_short(name) for name in edges["better"].iloc[0])
        told.append(
            f"Edges, which know no detector, are better than random numbers by {names}: there, a gain over "
            "random "
            "numbers alone is no proof of faithfulness."
        )
    return base.admonition("Verdict: which explanations are faithful?", "\n\n".join(told))


def _short(metric: str) -> str:
    return MEASURES.get(metric, metric).partition(" (")[0]


def counts(summary: pd.DataFrame) -> str:
    """n, trainings and what is missing."""
    seeds = int(summary["seeds"].max())
    n = base.span(summary["n"])
    text = f"n = {n} pictures, {base.seeds(seeds)}" + (
        ", each with pictures of its own." if seeds > 1 else "."
    )
    lost = summary[summary["missing"] > 0]
    if len(lost):
        names = ", ".join(METHODS.get(m, m) for m in dict.fromkeys(lost["method"]))
        text += f" Some values are missing ({names}): no map to compare with."
    return text


def numbers(summary: pd.DataFrame, measures: Sequence[str]) -> str:
    """A table of the values themselves, a column for each measure."""
    names = [name for name in measures if name in set(summary["measure"])]
    by = summary.set_index(["method", "measure"])
    rows = []
    for method in dict.fromkeys(summary["method"]):
        cells = [
            base.interval(*by.loc[(method, name), ["value", "low", "high"]])
            if (method, name) in by.index
            else ""
            for name in names
        ]
        rows.append((METHODS.get(method, method), *cells))
    return base.table(["method", *(_short(name) for name in names)], rows)


def ranks(ranking: pd.DataFrame) -> str:
    """Which methods are told apart by their mean ranks over all measures, in a sentence or two."""
    own = ranking[ranking["measure"] == ALL].sort_values("mean_rank", kind="stable")
    if own.empty or math.isnan(own["critical"].iloc[0]):
        return "Too few pictures or methods for a comparison of ranks."
    best, reach, p = own["mean_rank"].iloc[0], own["critical"].iloc[0], own["friedman_p"].iloc[0]
    leader = METHODS.get(own["method"].iloc[0], own["method"].iloc[0])
    worse = own[own["mean_rank"] > best + reach]
    alike = len(own) - len(worse) - 1
    told = (
        f"Over all measures of faithfulness {leader} has the best mean rank, {best:.1f} of {len(own)}, on "
        f"{base.counted(int(own['n'].iloc[0]), 'picture')}. Friedman's test "
        + ("does not tell the methods apart" if p >= 0.05 else "tells the methods apart")
        + f" (p = {p:.2g}). The critical difference is {reach:.1f} ranks: {base.counted(alike, 'method')} "
        + ("is" if alike == 1 else "are")
        + " not told apart from the best"
    )
    names = ", ".join(METHODS.get(m, m) for m in worse["method"])
    return f"{told}, and {names} {'is' if len(worse) == 1 else 'are'} worse." if names else f"{told}."


def stable(summary: pd.DataFrame) -> str:
    """Which map changes least and most under noise that hardly shows; empty where it was not measured."""
    own = summary[(summary["measure"] == STABLE) & ~summary["method"].isin(CONTROLS)].dropna(subset=["value"])
    if own.empty:
        return ""
    own = own.sort_values("value", kind="stable")
    calm, wild = own.iloc[0], own.iloc[-1]
    return (
        f"Under noise that hardly shows the map of {METHODS.get(calm['method'], calm['method'])} changes "
        "least, by "
        f"{verdicts.percent(calm['value'])} of its length, that of "
        f"{METHODS.get(wild['method'], wild['method'])} most, "
        f"by {verdicts.percent(wild['value'])} ({base.counted(int(calm['n']), 'picture')})."
    )
