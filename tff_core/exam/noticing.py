"""Has an explanation noticed that its detector forgot? Verdicts, by rules that know no result.

Apart from the experiment (`tff_core.exam.dependence`), which is not made again for another word.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tff_core.claims import verdicts
from tff_core.exam import convergence, pooling, similarity
from tff_core.exam.dependence import OMEGA, TOP_DOWN
from tff_core.exam.randomization import ZPLUS

BORDER = 0.5
"""An explanation has noticed where less than one half is left. A convention, stated before any result."""
PASSED, FAILED, IN_PART, OPEN, NONE = "passed", "failed", "in part", "open", "not testable here"
ALL, LATER, SENT, SIDES, COMPLEX = (
    "everything forgotten", "the later half forgotten", "random answers", "the other answer", "complexity",
)  # fmt: skip
"""The questions of `judge`."""


def later(depths: int) -> int:
    """How many of the groups, from the logit down, are the later half."""
    return max(1, depths // 2)


def judge(pooled: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each explanation answers to each question: ``explanation, question``, the numbers, ``verdict``.

    ``pooled`` as from `pool`, of one detector. The questions, with the whole interval on one side:

    - "everything forgotten": the rank correlation with the wholly random network's heatmap is below one half.
      Not asked of omega, whose maps are others then.
    - "the later half forgotten": the same with only the groups of the later half random; of omega, the rank
      correlation in the layers that keep their weights.
    - "random answers": the absolute cosine of two relevances with random starts at the last layer is below
      one half in the pixels (omega: in the middle layer of the network).
    - "the other answer": relevance of one sign is below one half of what there is, likewise.
    - "complexity": the wholly random network's heatmap is more complex.

    "passed" if so, "failed" if the whole interval lies on the other side, "open" if it contains the border or
    covers one training alone, "not testable here" without a number.
    """
    table = pooled["similarity"]
    table = table[(table["order"] == TOP_DOWN) & (table["measure"] == similarity.ORDER)]
    deepest = int(table["depth"].max())
    found = []
    for question, depth in ((ALL, deepest), (LATER, later(deepest))):
        rows = table[table["depth"] == depth]
        rows = rows[rows["explanation"] != OMEGA] if question == ALL else rows
        found.append(_ruled(rows, question))
    starts = pooled["starts"]
    middle = sorted(set(starts["place"]))[(starts["place"].nunique()) // 2]
    for question, kind in ((SENT, convergence.RANDOM), (SIDES, convergence.OTHER)):
        rows = starts[starts["starts"] == kind]
        found.append(_ruled(rows[rows["place"] == 0], question))
        inside = rows[(rows["place"] == middle) & (rows["explanation"] == ZPLUS)]
        found.append(_ruled(inside.assign(explanation=OMEGA), question))
    found.append(_ruled(pooled["complexity"], COMPLEX))
    return pd.concat(found, ignore_index=True)


def _ruled(rows: pd.DataFrame, question: str) -> pd.DataFrame:
    border, wants = (0.0, "above") if question == COMPLEX else (BORDER, "below")
    said = verdicts.side(rows["low"], rows["high"], border, wants, rows["seeds"])
    words = {
        verdicts.FOR: PASSED,
        verdicts.AGAINST: FAILED,
        verdicts.OPEN: OPEN,
        verdicts.MISSING: NONE,
    }
    kept = rows[["explanation", *pooling.NUMBERS]].assign(question=question, verdict=said.map(words))
    return kept[["explanation", "question", *pooling.NUMBERS, "verdict"]]


def overall(judged: pd.DataFrame) -> pd.DataFrame:
    """Of each explanation: passed (all its questions), failed (none of those decided), in part, or open.

    Rows ``explanation, verdict, passed, failed, open``: the word, and the numbers of questions. A question
    that is not testable does not count.
    """
    rows = []
    for name, own in judged[judged["verdict"] != NONE].groupby("explanation", sort=False):
        counts = {word: int((own["verdict"] == word).sum()) for word in (PASSED, FAILED, OPEN)}
        if counts[PASSED] == len(own):
            word = PASSED
        elif not counts[PASSED]:
            word = FAILED if counts[FAILED] else OPEN
        else:
            word = IN_PART
        rows.append({"explanation": name, "verdict": word} | counts)
    return pd.DataFrame(rows, columns=["explanation", "verdict", PASSED, FAILED, OPEN])
