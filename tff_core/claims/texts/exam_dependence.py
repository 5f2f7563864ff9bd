"""What the chapter on dependence says: does an explanation change when the detector forgets?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims.texts import base

TITLES = {
    "z+": "z+ relevance",
    "gradient": "gradient",
    "guided Grad-CAM": "Guided Grad-CAM",
    "Grad-CAM": "Grad-CAM",
    "omega": "omega",
    "edges": "edges",
    "noise": "random numbers",
    "z+, smooth": "z+ relevance, smooth",
    "gradient, smooth": "gradient, smooth",
}
"""Explanations in the order of the page."""
STARTS = {
    ("z+", "random starts"): "z+, random starts",
    ("gradient", "random starts"): "gradient, random starts",
    ("z+", "the other answer"): "z+, share of one sign",
}
_CONTROLS = ("edges", "noise")
_QUESTIONS = {
    "everything forgotten": "all random",
    "the later half forgotten": "later half random",
    "random answers": "random answers",
    "the other answer": "the other answer",
    "complexity": "complexity",
}
NOT_ASKED = (
    "Detectors of shuffled labels are trained by `make all` alone: this build has none, and the question "
    "stays open here."
)


def rows_of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows of a table in which the columns have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def number(row: Any) -> str:
    """``0.31 [0.25, 0.40]``."""
    return base.interval(float(row["value"]), float(row["low"]), float(row["high"]))


def counts(table: pd.DataFrame) -> str:
    """How many pictures and trainings are behind the numbers."""
    seeds = int(table["seeds"].max())
    return f"n = {base.span(table.loc[table['n'] > 0, 'n'])} fakes, {base.seeds(seeds)}."


def forgotten(table: pd.DataFrame, later: int, groups: Sequence[str]) -> str:
    """What is left of each explanation after the later half and at the end, beside another training."""
    table = table[table["measure"] == "order"]
    deepest = len(groups)
    heads = [
        "explanation", f"{', '.join(groups[:later])} random", "everything random", "trained again",
    ]  # fmt: skip
    lines = []
    for name, title in TITLES.items():
        own = table[table["explanation"] == name]
        cells = [
            rows_of(own, order="top down", depth=later),
            rows_of(own, order="top down", depth=deepest),
            rows_of(own, order="trained again"),
        ]
        if own.empty:
            continue
        lines.append([title, *(number(cell.iloc[0]) if len(cell) else "none" for cell in cells)])
    return base.table(heads, lines)


def beside_edges(table: pd.DataFrame, deepest: int) -> str:
    """How alike heatmaps and the picture's edges are, before and after everything was forgotten."""
    rows = table[(table["order"] == "to edges") & (table["measure"] == "order")]
    told = []
    for name, title in TITLES.items():
        own = rows[rows["explanation"] == name].set_index("depth")
        if {0, deepest} <= set(own.index):
            told.append(f"{title} {number(own.loc[0])}, of a random network {number(own.loc[deepest])}")
    return f"Rank correlation of heatmaps with the edges of the picture: {'; '.join(told)}."


def random_answers(table: pd.DataFrame) -> str:
    """What of two random starts is left in the picture, and how far relevance has one sign."""
    told = []
    for (name, kind), title in STARTS.items():
        own = rows_of(table, explanation=name, starts=kind).sort_values("place")
        if len(own):
            last, first = own.iloc[-1], own.iloc[0]
            told.append(f"{title}: {number(last)} in {last['layer']}, {number(first)} in the picture")
    return f"{'; '.join(told)}. {counts(table)}"


def complexity(table: pd.DataFrame) -> str:
    """By how much the entropy of each method's heatmaps rises."""
    told = [
        f"{TITLES.get(r.explanation, r.explanation)} {base.interval(r.value, r.low, r.high, sign=True)}"
        for r in base.tuples(table)
    ]
    return (
        f"Relative rise of a heatmap's entropy when the whole network is random: {'; '.join(told)}. "
        f"{counts(table)}"
    )


def verdicts(judged: pd.DataFrame, overall: pd.DataFrame) -> str:
    """A row for each explanation: the word for each question, and for all together."""
    heads = ["explanation", *_QUESTIONS.values(), "together"]
    words = dict(zip(overall["explanation"], overall["verdict"], strict=True))
    lines = []
    for name, title in TITLES.items():
        own = judged[judged["explanation"] == name].set_index("question")
        if own.empty:
            continue
        cells = [
            f"{own.loc[q, 'verdict']!s} ({number(own.loc[q])})" if q in own.index else "" for q in _QUESTIONS
        ]
        together = "control" if name in _CONTROLS else f"**{words.get(name, 'not testable here')}**"
        lines.append([title, *cells, together])
    return base.table(heads, lines)


def finding(judged: pd.DataFrame, overall: pd.DataFrame) -> str:
    """The answer to the chapter's question, in sentences made from the verdicts."""
    own = overall[~overall["explanation"].isin(_CONTROLS)]
    told = [
        f"{_names(own[own['verdict'] == word]['explanation'])}: {said}"
        for word, said in (
            ("passed", "passed every question"),
            ("in part", "passed some questions and not others"),
            ("failed", "passed none"),
            ("open", "no question decided"),
        )
        if (own["verdict"] == word).any()
    ]
    later = judged[judged["question"] == "the later half forgotten"].set_index("explanation")
    rest = ""
    if "z+" in later.index and "omega" in later.index:
        rest = (
            " With the later half of the detector random, z+ heatmaps keep a rank correlation of "
            f"{number(later.loc['z+'])} with the trained detector's, and omega keeps "
            f"{number(later.loc['omega'])} within the layers below."
        )
    return base.admonition("Does it depend on the detector?", f"{'. '.join(told)}.{rest}")


def _names(explanations: pd.Series) -> str:
    return ", ".join(TITLES.get(name, name) for name in explanations)


def labels(table: pd.DataFrame, facts: Sequence[Mapping[str, float]], detector: str) -> str:
    """What detectors of true, shuffled and no labels have in common; ``facts`` of each seed's networks."""
    pairs = list(dict.fromkeys(table["pair"]))
    rows = table[table["measure"] == "order"]
    lines = []
    for name, title in TITLES.items():
        own = rows[rows["explanation"] == name].set_index("pair")
        if len(own):
            lines.append([title, *(number(own.loc[pair]) if pair in own.index else "none" for pair in pairs)])
    told = base.table(["explanation", *pairs], lines)
    by_heart, true, chance = (
        sum(one[key] for one in facts) / len(facts)
        for key in ("own labels", "true labels", "shuffled labels")
    )
    return (
        f"{told}\n\nRank correlations (omega: within layers). {detector}, {base.counted(len(facts), 'seed')} "
        f"of each, trained on {int(facts[0]['n_train'])} pictures; {counts(table).partition(',')[0]}. The "
        f"detectors of shuffled labels give {100 * by_heart:.0f} % of their training pictures the label that "
        f"they were taught, and {100 * chance:.0f} % of {int(facts[0]['n'])} new ones the true one; those of "
        f"the true labels {100 * true:.0f} %."
    )


def known(table: pd.DataFrame, deepest: int) -> str:
    """Where omega's top maps lie, with everything random: how much of that is the network's shape."""
    rows = rows_of(table, explanation="omega", measure="layers", order="top down", depth=deepest)
    if rows.empty or rows["value"].isna().all():
        return ""
    return (
        "**Where** the top maps lie is another matter: over layers, the number of maps among the top k of "
        f"the wholly random network and that of the trained one correlate with {number(rows.iloc[0])}."
    )
