"""Promised errors: kept on average where pictures are alike, told by simulation; zones counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tff_core import conformal


@pytest.mark.parametrize(
    ("n", "alpha", "rank"), [(99, 0.1, 10), (50, 0.1, 5), (19, 0.05, 1), (200, 0.05, 10)]
)
def test_the_promise_is_kept_on_average(n: int, alpha: float, rank: int) -> None:
    rng = np.random.default_rng(n)
    accepted, within = [], []
    low, high = conformal.Threshold(0.0, alpha, n).plausible(100)
    for _ in range(1000):
        threshold = conformal.calibrate(rng.random(n), alpha)
        share = float(threshold.accepts(rng.random(100)).mean())
        accepted.append(share)
        within.append(low <= share <= high)
    expected = 1 - rank / (n + 1)
    assert expected >= 1 - alpha
    assert np.mean(accepted) == pytest.approx(expected, abs=4 * np.std(accepted) / 1000**0.5)
    assert 0.93 < np.mean(within) <= 1


def test_ties_and_few_pictures_only_make_rejection_rarer() -> None:
    assert conformal.calibrate(np.arange(1, 20), 0.05).value == 1.0  # 0.05 * 20 is one, in any arithmetic
    assert conformal.calibrate(np.arange(1, 19), 0.05).value == -math.inf
    few = conformal.calibrate([0.1, 0.2], 0.05)
    assert few.accepts([-1e9]).all() and few.plausible(10) == (1.0, 1.0)
    assert conformal.calibrate(np.full(100, 0.3), 0.1).accepts([0.3, 0.29]).tolist() == [True, False]
    for alpha in (0.5, 0.1, 0.05, 0.01, 0.3):
        least = conformal.needed(alpha)
        assert conformal.rank(alpha, least) == 1 and conformal.rank(alpha, least - 1) == 0, alpha


@pytest.mark.parametrize("apart", [0.5, 5.0], ids=["overlapping", "far apart"])
def test_reals_and_fakes_are_each_promised_their_error(apart: float) -> None:
    rng = np.random.default_rng(3)
    wrong, missed = [], []
    for _ in range(400):
        y = np.repeat([0, 1], [60, 20])  # as many of each or not: the promise is for either
        zone = conformal.zone(y, rng.normal(apart * y, 1), 0.1)
        y = np.repeat([0, 1], 50)
        x = rng.normal(apart * y, 1)
        calls, left = zone.calls(x), zone.left(x)
        wrong.append([(calls[y == label] == 1 - label).mean() for label in (0, 1)])
        missed.append([(~left[y == label, label]).mean() for label in (0, 1)])
    expected = np.array([6 / 61, 2 / 21])  # the ranks over n + 1
    assert np.mean(missed, 0) == pytest.approx(expected, abs=0.012)
    assert (np.mean(wrong, 0) <= expected + 0.012).all()
    if apart > 3:  # neither is left between the two: no call, and hardly ever a wrong one
        assert np.mean(wrong) < 0.01


def test_a_zone_by_hand() -> None:
    y = [0] * 4 + [1] * 4
    zone = conformal.zone(y, [-4, -3, -2, 1, -1, 2, 3, 4], 0.25)  # the largest real, the smallest fake
    assert (zone.low, zone.high, zone.alpha) == (-1.0, 1.0, 0.25)
    assert zone.calls([-1.5, -1.0, 0.0, 1.0, 1.5]).tolist() == [0, -1, -1, -1, 1]
    apart = conformal.zone(y, [-4, -3, -2, -1, 1, 2, 3, 4], 0.25)
    assert (apart.low, apart.high) == (-1.0, 1.0)
    assert apart.left([-1.0, 0.0, 1.0]).tolist() == [[True, False], [False, False], [False, True]]
    assert apart.calls([-1.0, 0.0, 1.0]).tolist() == [0, -1, 1]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: conformal.calibrate([], 0.1, "cats"), "expected some of cats"),
        (lambda: conformal.calibrate([0.1, np.nan], 0.1), "1 scores of pictures are not finite"),
        (lambda: conformal.calibrate([0.1], 1.0), "expected a miss rate between 0 and 1"),
        (lambda: conformal.zone([0, 1], [0.1, 0.2], 0.05), "from 1 reals: expected 19 of each label"),
        (lambda: conformal.zone([0] * 30, [0.1] * 30, 0.05), "from 0 fakes"),
        (lambda: conformal.zone([0, 2], [0.1, 0.2]), r"expected 0 and 1, \(N,\)"),
        (lambda: conformal.zone([0] * 30 + [1] * 30, [np.inf] * 60), "30 scores of reals are not finite"),
    ],
)
def test_what_promises_nothing_is_said(call, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=told):
        call()
