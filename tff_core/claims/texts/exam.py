"""The exam's verdict table: which explanation has passed which question, from the tables of its chapters."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base, exam_faithful
from tff_core.claims.verdicts import points
from tff_core.store.results import Store

QUESTIONS = {
    "depends": ("depends on the detector", "17_does_it_depend"),
    "finds": ("finds a planted trace", "18_planted_truth"),
    "faithful": ("is faithful", "19_faithful"),
    "robust": ("outlives the verdict", "20_robust"),
}
"""The questions in words, and the chapters that put them."""
_CONTROLS = {"edges": "*edges* (no detector)", "random": "*random numbers*"}
METHODS = {
    "omega": "omega, of feature maps",
    "lrp": exam_faithful.METHODS["lrp_zplus"],
    **{name: title for name, title in exam_faithful.METHODS.items() if name not in {"lrp_zplus", *_CONTROLS}},
    **_CONTROLS,
}
"""Explanations in the order of the table."""
_ALIASES = {
    "z+": "lrp", "lrp_zplus": "lrp", "guided Grad-CAM": "guided_gradcam", "Grad-CAM": "gradcam",
    "noise": "random", "input_gradient": "input_x_gradient", "integrated": "integrated_gradients",
}  # fmt: skip
_LATER = "the later half forgotten"
_COUNTED = {"depends": "dependence_verdicts", "finds": "known_place", "faithful": "faithfulness"}
"""The tables that say how many pictures and detectors are behind the answers."""
_PASSED = {
    verdicts.HOLDS: "passed", verdicts.IN_PART: "in part", verdicts.MIXED: "in part",
    verdicts.CONTRADICTED: "failed", verdicts.UNDECIDED: "open",
}  # fmt: skip
Cells = dict[tuple[str, str], str]
"""What stands in the table, by explanation and question."""


def load(store: Store, detector: str) -> dict[str, pd.DataFrame]:
    """What the exam's chapters have written about one detector: tables by name, absent ones left out."""
    found = {}
    for table in ("dependence_verdicts", "known_place", "known_confusion", "faithfulness", "broken"):
        path = store.table(table)
        rows = pd.read_csv(path) if path.is_file() else pd.DataFrame()
        rows = rows[rows["detector"] == detector] if "detector" in rows else rows
        if len(rows):
            found[table] = rows
    return found


def cells(found: Mapping[str, pd.DataFrame]) -> Cells:
    """The words of the chapters, each with the number that says most about it.

    ``found``: from `load`. Of dependence the similarity that is left when the later half of the network has
    forgotten; of planted traces the rank above chance; of faithfulness by how many measures a method is
    better than random numbers, and the gain of the first; of robustness how many degradations break it
    before the verdict, and after.
    """
    told: Cells = {}
    if "dependence_verdicts" in found:
        rows = found["dependence_verdicts"]
        for name, own in rows.groupby("explanation", sort=False):
            left = next(iter(base.tuples(own[own["question"] == _LATER])), None)
            number = "" if left is None else f" {base.interval(left.value, left.low, left.high)}"
            _put(told, str(name), "depends", str(own["together"].iloc[0]), number)
    if "known_place" in found:
        rows = found["known_place"]
        last = rows[rows["case"] == rows["case"].iloc[-1]]
        for r in base.tuples(last[(last["measure"] == "rank") & (last["against"] == "chance")]):
            _put(told, r.method, "finds", r.verdict, f" {points(r.value, r.low, r.high)}")
    if "faithfulness" in found:
        rows = found["faithfulness"]
        gains = rows[rows["measure"] == "flip_most"].set_index("method")
        measures = rows.loc[rows["measure"] != exam_faithful.STABLE, "measure"].nunique()
        for r in base.tuples(exam_faithful.judged(rows)):
            number = f" {len(r.better)} of {measures}"
            if r.method in gains.index:
                own = gains.loc[r.method]
                over = [float(own[f"over_random{end}"]) for end in ("", "_low", "_high")]
                number += f", {base.interval(over[0], over[1], over[2], sign=True)}"
            _put(told, r.method, "faithful", r.verdict, number)
    if "broken" in found:
        for name, method in (("heatmap", "lrp"), ("omega", "omega")):
            sides = found["broken"][f"{name}_first"]
            before, after, left = (
                int((sides == side).sum()) for side in (verdicts.FOR, verdicts.AGAINST, verdicts.OPEN)
            )
            word = _PASSED[verdicts.word(after, against=before, open_=left)]
            _put(told, method, "robust", word, f" {before} before, {after} after, of {len(sides)}")
    return told


def _put(told: Cells, method: str, question: str, word: str, number: str) -> None:
    told[_ALIASES.get(method, method), question] = f"**{word}**{number}"


def front(found: Mapping[str, pd.DataFrame]) -> str:
    """What the first page says of the exam: the table, its rules in a sentence each, and n."""
    told = cells(found)
    if not told:
        return (
            "**Not asked in this build:** whether the explanations of this book can be trusted, which "
            "{doc}`its fourth part </notebooks/17_does_it_depend>` asks."
        )
    asked = [q for q in QUESTIONS if any(question == q for _, question in told)]
    heads = ["", *(f"{{doc}}`{said} </notebooks/{page}>`" for said, page in (QUESTIONS[q] for q in asked))]
    lines = [
        [title, *(told.get((method, q), "") for q in asked)]
        for method, title in METHODS.items()
        if any((method, q) in told for q in asked)
    ]
    return "\n\n".join(filter(None, [base.table(heads, lines), _rules(found, asked), _color(found)]))


def _rules(found: Mapping[str, pd.DataFrame], asked: list[str]) -> str:
    told = {
        "depends": "*Depends*: what is left of it, as a rank correlation, when the later half of the network "
        "has forgotten what it learnt; it passes if it changes whenever the detector does.",
        "finds": "*Finds*: how much of the place of a planted trace it ranks first, above chance; it passes "
        "if it beats edges, too.",
        "faithful": "*Faithful*: by how many measures it is better than random numbers, and by how much the "
        "logit falls faster when its most relevant regions go first.",
        "robust": "*Outlives*: how many degradations break it before the detector's verdict, and after.",
    }
    counts = []
    for question, table in _COUNTED.items():
        if question in asked:
            rows = found[table]
            counts.append(
                f"{base.span(rows['n'])} pictures and {base.counted(int(rows['seeds'].max()), 'detector')} "
                f"({QUESTIONS[question][0]})"
            )
    said = " ".join(told[question] for question in asked)
    n = f" n = {'; '.join(counts)}." if counts else ""
    return f"{said} The rules stand in the chapters, before the results. Brackets: 95 % intervals.{n}"


def _color(found: Mapping[str, pd.DataFrame]) -> str:
    """How often the paper's own tests of colour are right where the truth is known."""
    if "known_confusion" not in found:
        return ""
    told = [
        f"{r.test} {r.verdict} ({verdicts.percent(r.right, r.low, r.high)})"
        for r in base.tuples(found["known_confusion"])
        if not math.isnan(r.right)
    ]
    if not told:
        return ""
    return (
        "The tests of colour behind claims C5 to C8, put to detectors of which it is known whether they look "
        f"at colour, are right (one half: always the same answer): {'; '.join(told)}."
    )
