"""The sentences on what carries over follow the table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pytest

from tff_core.claims.texts import planes as texts

UNSEEN = ("stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan")
CONDITIONS = (texts.SAME, texts.OFFSET, texts.CAMERA)


def table(better: Mapping[str, float], elsewhere: float | None = None) -> pd.DataFrame:
    """Chroma alone is better by so much on each generator; in the other conditions by ``elsewhere``."""
    rows = []
    for condition in CONDITIONS:
        for generator in ("progan", *UNSEEN):
            by = better.get(generator, 0.3) if condition == texts.SAME or elsewhere is None else elsewhere
            aps = {"rgb": 0.8, "luma": 0.6, "chroma": 0.6 + by, "chroma - luma": by}
            for sees, ap in aps.items():
                rows.append({"generator": generator, "condition": condition, "sees": sees, "ap": ap,
                             "ap_low": ap - 0.05, "ap_high": ap + 0.05, "seeds": 3, "n_real": 60,
                             "n_fake": 60})  # fmt: skip
    return pd.DataFrame(rows)


def cameras() -> pd.DataFrame:
    return pd.DataFrame(
        {"sees": sees, "ap": 0.5, "ap_low": 0.45, "ap_high": 0.55, "n_real": 60, "n_fake": 60}
        for sees in ("rgb", "luma", "chroma", "chroma - luma")
    )


@pytest.mark.parametrize(
    ("better", "word"),
    [
        ({}, "holds"),
        ({"stylegan2": 0.0}, "holds in part"),
        ({"stylegan2": -0.2}, "mixed"),
        (dict.fromkeys(UNSEEN, -0.2), "contradicted"),
        (dict.fromkeys(UNSEEN, 0.0), "open"),
        # what was trained on says nothing about what carries over
        ({"progan": -0.4}, "holds"),
    ],
)
def test_the_word_follows_the_rule_of_all_claims(better: Mapping[str, float], word: str) -> None:
    assert texts.word(table(better)) == word


def test_one_training_seed_decides_nothing() -> None:
    assert texts.word(table({}).assign(seeds=1)) == "open"


def test_the_sentence_names_every_side() -> None:
    said = texts.sentence(table({"stylegan2": 0.0, "gaugan": -0.2}))
    assert "above zero on 4 of 6 unseen generators (StyleGAN, BigGAN, CycleGAN, StarGAN)" in said
    assert "contains zero on 1 (StyleGAN2)" in said and "lies below zero on 1 (GauGAN)" in said
    assert "+16.7 points" in said and "ProGAN" not in said


def test_the_verdict_says_where_another_camera_changes_the_answer() -> None:
    same = texts.verdict(table({}), cameras())
    assert "not the trace of one simulated camera" in same and "another answer" not in same
    nothing = texts.verdict(table(dict.fromkeys(UNSEEN, 0.0), elsewhere=0.0), cameras())
    assert ", so " not in nothing and "another answer" not in nothing  # nothing follows from no answer
    other = texts.verdict(table({}, elsewhere=0.0), cameras())
    assert other.count("another answer than above") == 2 and "not the trace of one" not in other
    assert "chroma alone 50.0 % [45.0, 55.0]" in same and "(n = 60 of each)" in same
    assert "chroma - luma" not in same and "3 detector seeds" in same


def test_the_first_page_tells_it_or_says_that_it_was_not_asked() -> None:
    assert "**holds**" in texts.front(table({})) and "what_carries_over" in texts.front(table({}))
    assert "Not asked in this build" in texts.front(None)


def test_without_an_unseen_generator_there_is_nothing_to_ask() -> None:
    alone = table({}).query("generator == 'progan'")
    assert texts.word(alone) == "not testable here"
    assert "is **not testable here**" in texts.front(alone) and "trained on" in texts.verdict(
        alone, cameras()
    )


def test_numbers_have_a_row_for_each_generator() -> None:
    lines = texts.numbers(table({})).splitlines()
    assert len(lines) == 2 + 7 and "| StyleGAN2 | 80.0 % [75.0, 85.0] | 60.0 %" in lines[3]


def test_a_table_without_the_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="no row of chroma - luma, 'as trained': found"):
        texts.word(table({}).query("sees != 'chroma - luma'"))
