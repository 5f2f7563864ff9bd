"""Who made it, from probabilities: by hand, and no division by zero."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tff_core.attribution import decisions
from tff_core.attribution.decisions import NONE


def test_the_largest_claim_counts_and_the_primary_has_the_last_word() -> None:
    detection = [0.9, 0.9, 0.1, 0.1, 0.5]
    attribution = [[0.2, 0.7, 0.6], [0.1, 0.4, 0.49], [0.9, 0.1, 0.1], [0.1, 0.1, 0.2], [0.5, 0.5, 0.1]]
    found = decisions.decide(detection, attribution)
    assert found.fake.tolist() == [True, True, False, False, True]
    assert found.raw.tolist() == [1, NONE, 0, NONE, 0]
    assert found.gated.tolist() == [1, NONE, NONE, NONE, 0]
    assert found.contradictions == 0.5 and found.unclaimed == pytest.approx(1 / 3)


def test_nothing_is_divided_by_zero() -> None:
    fakes = decisions.decide([1.0], [[0.0]])
    reals = decisions.decide([0.0], [[1.0]])
    assert math.isnan(fakes.contradictions) and fakes.unclaimed == 1
    assert math.isnan(reals.unclaimed) and reals.contradictions == 1
    none = decisions.decide(np.empty(0), np.empty((0, 2)))
    assert math.isnan(none.contradictions) and len(none.gated) == 0


@pytest.mark.parametrize(
    ("detection", "attribution", "complaint"),
    [
        ([0.5], [[0.1], [0.2]], r"expected \(N,\) and \(N, sources\)"),
        ([0.5], [0.1], r"expected \(N,\) and \(N, sources\)"),
        ([1.5], [[0.1]], "expected probabilities"),
        ([0.5], [[float("nan")]], "expected probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(detection, attribution, complaint: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=complaint):
        decisions.decide(detection, attribution)
