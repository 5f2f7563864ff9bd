"""The first page's sentences and tables, for every kind of build."""

from __future__ import annotations

import pandas as pd
import pytest

from tff_core.claims import verdicts
from tff_core.claims.texts import overview


def contrast(low: float, high: float) -> pd.DataFrame:
    kinds = ("top-k - matched-k", "top-k - random-k")
    rows = [
        {"contrast": kind, "seed": "all", "generator": g, "low": low, "high": high}
        for kind in kinds
        for g in ("progan", "gaugan")
    ]
    return pd.DataFrame(rows)


def test_the_finding_names_both_controls_and_a_caution_only_where_there_is_one() -> None:
    text = overview.finding(contrast(-0.3, -0.1))
    strict, usual = text.split("\n\n")
    assert "the same layers" in strict and "any layer, as in the paper" in usual
    assert f"**{verdicts.HOLDS}**" in strict and "(ProGAN, GauGAN)" in strict
    assert overview.finding(contrast(-0.3, -0.1), "one layer is gone").endswith(
        "**Caution:** one layer is gone."
    )


def test_a_build_with_other_pictures_says_so() -> None:
    assert overview.other_pictures("miniature", external=False) == ""
    own = overview.other_pictures("forensynths", external=False)
    assert "`forensynths`" in own and "elsewhere" not in own
    assert "a detector that was trained elsewhere" in overview.other_pictures("forensynths", external=True)


def judged(**words: str) -> pd.DataFrame:
    rows = [{"claim": "C1", "detector": name, "verdict": word, "why": ""} for name, word in words.items()]
    return pd.DataFrame(rows)


def test_claims_have_a_column_for_each_detector_and_link_only_what_was_measured() -> None:
    table = judged(a=verdicts.HOLDS, b=verdicts.IN_PART)
    table.loc[1, "why"] = "For the claim: 1 of 2 generators. Caution: unfair."
    lines = overview.claims(table, {"a": "First", "b": "Second"}).splitlines()
    assert lines[0] == "|  | claim | First | Second |"
    assert lines[2].startswith("| C1 | {doc}`") and "<01_universal_detectors>`" in lines[2]
    assert lines[2].endswith(f"| {verdicts.HOLDS} | {verdicts.IN_PART}, with a caution |")
    assert lines[3].startswith("| C2 | ") and "{doc}" not in lines[3]
    assert lines[3].count(verdicts.UNTESTED) == 2
    assert len([line for line in lines if line.startswith("| C")]) == len(verdicts.CLAIMS)


def test_before_the_verdicts_are_made_the_page_says_how_to_make_them() -> None:
    assert "`make` makes it" in overview.claims(None, {"a": "First"})


@pytest.mark.parametrize(("seeds", "words"), [(1, "over pictures"), (3, "the seeds' intervals")])
def test_numbers_say_what_is_in_brackets(seeds: int, words: str) -> None:
    rows = [
        {
            "condition": c,
            "generator": g,
            "ap": ap,
            "low": ap - 0.1,
            "high": ap + 0.1,
            "n_real": 8,
            "n_fake": n,
        }
        for g, n in (("progan", 8), ("gaugan", 6))
        for c, ap in (("baseline", 0.9), ("top-k", 0.5), ("matched-k", 0.8))
    ]
    text = overview.numbers(pd.DataFrame(rows), "ResNet-50", 114, seeds)
    assert words in text and "8 reals and 6 to 8 fakes" in text
    assert ("one detector" in text) == (seeds == 1)
    assert "| GauGAN | 90.0 % [80.0, 100.0] | 50.0 % [40.0, 60.0] | 80.0 % [70.0, 90.0] |" in text
