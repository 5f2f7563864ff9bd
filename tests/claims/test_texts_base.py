"""What the texts of all chapters share."""

from __future__ import annotations

import math

import pytest

from tff_core.claims.texts import base


def test_a_table_has_one_line_for_each_row() -> None:
    assert base.table(["a", "b"], [[1, "x"], [2, "y"]]) == "| a | b |\n|---|---|\n| 1 | x |\n| 2 | y |"
    with pytest.raises(ValueError, match="a row has 1 cells, expected 2: a, b"):
        base.table(["a", "b"], [["alone"]])


def test_an_admonition_has_its_class() -> None:
    text = base.admonition("Title", "Words.", "note")
    assert text.splitlines() == [":::{admonition} Title", ":class: note", "", "Words.", ":::"]


def test_folded_text_may_hold_a_box() -> None:
    text = base.folded("More", base.admonition("Title", "Words."))
    assert text.startswith("::::{admonition} More\n:class: dropdown\n\n:::{admonition}")
    assert text.endswith(":::\n::::")


def test_names_are_the_papers_and_others_keep_their_own() -> None:
    assert base.names(["progan", "mine"]) == "ProGAN, mine"
    assert base.names([]) == "none" and base.names([], "no generator") == "no generator"


def test_nouns_agree_with_their_number() -> None:
    assert base.counted(1, "map") == "1 map" and base.counted(0, "map") == "0 maps"
    assert base.counted(2, "family", "families") == "2 families"
    assert base.counted(1234, "map") == "1,234 maps"
    assert base.counted(2.4, "epoch") == "2.4 epochs" and base.counted(1.0, "epoch") == "1 epoch"
    assert base.seeds(1) == "one detector" and base.seeds(3) == "3 detector seeds"


def test_a_span_names_both_ends_only_where_they_differ() -> None:
    assert base.span([24, 24]) == "24" and base.span([24, 20, 22]) == "20 to 24"
    assert base.span([]) == "no"  # pictures, where none has what is counted


def test_an_interval_keeps_quiet_about_what_is_not_there() -> None:
    assert base.interval(0.314, 0.25, 0.4) == "0.31 [0.25, 0.40]"
    assert base.interval(0.3, -0.1, 0.4, sign=True) == "+0.30 [-0.10, +0.40]"
    assert base.interval(0.3, math.nan, math.nan) == "0.30"
    assert base.interval(math.nan, math.nan, math.nan) == "none"


def test_nothing_has_no_minus() -> None:
    assert base.interval(-0.001, -0.004, 0.004) == "0.00 [0.00, 0.00]"
    assert base.interval(-0.001, -0.2, 0.004, sign=True) == "+0.00 [-0.20, +0.00]"
