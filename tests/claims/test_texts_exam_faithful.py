"""What is said about faithfulness: the rule, verdicts by hand, and tables that are almost empty."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from tff_core.claims.texts import exam_faithful as texts

MEASURES = [name for name in texts.MEASURES if name != texts.STABLE]


def summary(gains: dict[str, list[float]], seeds: int = 3, **more: Any) -> pd.DataFrame:
    """By method, its gain over random numbers by each measure, with intervals of +-1; over edges one less."""
    rows = [
        {
            "method": method, "measure": measure, "value": 0.5, "low": 0.4, "high": 0.6, "seeds": seeds,
            "n": 15, "missing": 0.0,
            "over_random": gain, "over_random_low": gain - 1, "over_random_high": gain + 1,
            "over_edges": gain - 1, "over_edges_low": gain - 2, "over_edges_high": gain, **more,
        }
        for method, own in gains.items()
        for measure, gain in zip(MEASURES, own, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([2.0] * 7, texts.PASSED),
        ([2.0] * 4 + [0.0] * 3, texts.IN_PART),
        ([2.0] * 4 + [-2.0] * 3, texts.IN_PART),
        ([2.0] * 3 + [0.0] * 2 + [-2.0] * 2, texts.OPEN),
        ([2.0] * 3 + [-2.0] * 4, texts.FAILED),
        ([0.0] * 6 + [-2.0], texts.FAILED),
        ([0.0] * 7, texts.OPEN),
        ([math.nan] * 7, texts.OPEN),
    ],
)
def test_the_word_follows_from_the_intervals(gains: list[float], word: str) -> None:
    found = texts.judged(summary({"gradient": gains, "random": [math.nan] * 7}))
    assert found["method"].tolist() == ["gradient"] and found["verdict"].tolist() == [word]
    (row,) = found.itertuples()
    assert len(row.better) == sum(g > 1 for g in gains) and len(row.worse) == sum(g < -1 for g in gains)
    assert len(row.better) + len(row.worse) + len(row.left) == 7


def test_to_be_better_than_edges_is_told_apart() -> None:
    found = texts.judged(summary({"gradient": [2.5] * 3 + [1.5] * 4}))
    assert len(found["better"][0]) == 7 and list(found["beats_edges"][0]) == MEASURES[:3]


def test_one_training_judges_nothing_and_says_so() -> None:
    rows = summary({"gradient": [2.0] * 7, "edges": [0.0] * 7}, seeds=1)
    assert texts.judged(rows)["verdict"].tolist() == [texts.OPEN] * 2
    assert "single training" in texts.verdict(rows)


def test_stability_does_not_count() -> None:
    stable = summary({"gradient": [-5.0] * 7}).assign(measure=texts.STABLE).head(1)
    rows = pd.concat([summary({"gradient": [2.0] * 7}), stable])
    assert texts.judged(rows)["verdict"].tolist() == [texts.PASSED]


def test_the_verdict_names_n_and_warns_of_what_edges_pass() -> None:
    told = texts.verdict(summary({"gradient": [2.0] * 7, "edges": [2.0] + [0.0] * 6}))
    assert "| gradient | **passed** | 7 | 0 | 0 |" in told and "n = 15 pictures, 3 detector seeds" in told
    assert "Edges" in told and "most relevant regions first" in told
    calm = texts.verdict(summary({"gradient": [2.0] * 7, "edges": [0.0] * 7}))
    assert "Edges" not in calm


def test_what_is_missing_is_named() -> None:
    told = texts.counts(summary({"gradcam": [0.0] * 7}, missing=0.2))
    assert "missing (Grad-CAM)" in told


def test_the_rule_states_its_numbers() -> None:
    told = texts.rule(7)
    assert "7 measures" in told and "at least 4 do" in told
    for word in (texts.PASSED, texts.IN_PART, texts.FAILED, texts.OPEN):
        assert f"**{word}**" in told


def ranking(p: float = 0.001, critical: float = 2.0) -> pd.DataFrame:
    ranks = {"lrp_zplus": 1.5, "gradient": 2.5, "random": 4.0}
    rows = [(texts.ALL, method, rank, 15, critical, 9.0, p) for method, rank in ranks.items()]
    columns = ["measure", "method", "mean_rank", "n", "critical", "friedman", "friedman_p"]
    return pd.DataFrame(rows, columns=columns)


def test_ranks_say_who_is_told_apart_from_the_best() -> None:
    told = texts.ranks(ranking())
    assert "LRP, z+ has the best mean rank, 1.5 of 3" in told and "tells the methods apart" in told
    assert "1 method is not told apart" in told and "random numbers is worse" in told
    close = texts.ranks(ranking(p=0.4, critical=9.0))
    assert (
        "does not tell the methods apart" in close and "2 methods are not" in close and "worse" not in close
    )
    assert "Too few" in texts.ranks(ranking(critical=math.nan))
    assert "Too few" in texts.ranks(ranking().head(0))


def test_tables_have_a_row_for_each_method() -> None:
    rows = summary({"gradient": [2.0] * 7, "edges": [0.0] * 7})
    told = texts.numbers(rows, ["flip_most", "insertion", "unknown"])
    assert told.count("\n") == 3 and "| edges | 0.50 [0.40, 0.60] | 0.50 [0.40, 0.60] |" in told
    asked = texts.asked({"lrp_zplus": (True, "Bach"), "gradient": (False, "Simonyan")})
    assert "| LRP, z+ | for and against | Bach |" in asked and "| gradient | how much | Simonyan |" in asked


def test_the_calmest_and_the_wildest_map_are_named() -> None:
    rows = summary({"gradient": [0.0] * 7, "gradcam": [0.0] * 7, "random": [0.0] * 7})
    stable = rows.drop_duplicates("method").assign(measure=texts.STABLE, value=[0.9, 0.1, 0.7], n=6)
    told = texts.stable(pd.concat([rows, stable]))
    assert "Grad-CAM changes least, by 10.0 %" in told and "gradient most, by 90.0 %" in told
    assert "6 pictures" in told and "random" not in told
    assert texts.stable(rows) == ""
