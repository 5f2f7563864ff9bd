"""What the appendix says about the defects of the published code."""

from __future__ import annotations

import pytest

from tff_core.claims.texts import defects


def test_distances_and_sums_are_tables() -> None:
    assert "| ResNet-50 | 0.0012 | 110 of 114 |" in defects.distances([("ResNet-50", 0.00123, 110, 114)])
    text = defects.sums([("ResNet-50", "reals", 0.0412, 0.96)])
    assert "share of its relevance that is positive" in text and "| reals | 0.041 | 0.960 |" in text
    assert defects.logits({"a": 0.00123, "b": 2.0}) == "Largest change of a logit: a: 0.0012, b: 2."


def test_whose_gates_stand_in_is_said_unless_they_are_of_another_seed() -> None:
    assert defects.gates("seed") == "" and "ImageNet's weights." in defects.gates("imagenet")
    assert "no gates to lend" in defects.gates("") and "make all" in defects.gates("none")


def test_a_hybrid_that_calls_nothing_fake_has_no_omega() -> None:
    text = defects.exchanged(64, [1.0, 2.0, -1.0], [1.5, -2.0, -1.0], 0.5)
    assert "64 tensors exchanged. Of 3 fakes the detector calls 2 fake, the hybrid 1" in text
    assert "differ by 1.5 on average, and correlate by 0.50." in text and "no omega" not in text
    assert "no omega at all" in defects.exchanged(64, [1.0], [-2.0], 0.5)


@pytest.mark.parametrize(("shared", "word"), [(103, "kept"), (102, "changed")])
def test_the_ranking_changes_where_fewer_than_nine_in_ten_stay(shared: int, word: str) -> None:
    text = defects.side_by_side([("1, folding, fakes", "ResNet-50", 0.01, shared, 114)])
    assert text.endswith(f"| 1, folding, fakes | ResNet-50 | 0.01 | {shared} of 114 | {word} |")
