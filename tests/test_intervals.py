"""Intervals over training seeds and pictures: against hand cases, and simulations with a known truth."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from tff_core import intervals, metrics

ROOT = Path(__file__).parents[1]
RUNS = 200


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """The benchmark; by its path, since there is a well-known package of its name."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(
        "coverage_of_intervals", ROOT / "benchmarks" / "coverage.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("name", ["ap", "objects", "chroma", "drop", "robust"])
def test_with_three_seeds_the_truth_is_inside_as_often_as_promised(
    simulation: ModuleType, name: str, spread: float
) -> None:
    ((hits, width),) = simulation.coverage(name, 3, spread, RUNS, 100, draws=1500)
    # an interval that holds 93 % has fewer hits than this in one of a thousand cases
    assert stats.binom(RUNS, 0.93).ppf(0.001) <= hits
    assert width > 0


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.1, 0.8])
def test_a_difference_to_a_control_of_several_draws_is_inside_as_often_too(
    simulation: ModuleType, spread: float
) -> None:
    runs = 100
    ((hits, _),) = simulation.coverage("difference", 3, spread, runs, 100, draws=800)
    assert stats.binom(runs, 0.93).ppf(0.001) <= hits


@pytest.mark.slow
@pytest.mark.parametrize("part", ["top-k", "top-k - matched-k"])
def test_shares_measured_on_halves_are_inside_as_often_too(simulation: ModuleType, part: str) -> None:
    runs = 50
    hits, _ = simulation.coverage_of_shares(3, 0.4, runs, part, splits=10, draws=400)
    assert stats.binom(runs, 0.93).ppf(0.001) <= hits


@pytest.mark.slow
def test_resampling_three_seeds_and_taking_percentiles_is_not_enough(simulation: ModuleType) -> None:
    """What these intervals replace: it must fail where they pass, or the simulation would show nothing."""
    least = stats.binom(RUNS, 0.93).ppf(0.001)
    for name in ("ap", "drop"):
        ways = (simulation.ours, simulation.nested_percentiles)
        (own, width), (old, old_width) = simulation.coverage(name, 3, 0.8, RUNS, 100, ways, draws=1500)
        assert old < least <= own and old_width < width


def test_one_seed_covers_pictures_and_no_other_seed(simulation: ModuleType) -> None:
    ((few, _),) = simulation.coverage("ap", 1, 0.8, RUNS, 100, draws=1500)
    assert few < 0.5 * RUNS
    found = intervals.over_seeds([0.7], np.linspace(0.6, 0.8, 41)[:, None], intervals.SHARE)
    assert found.covers == intervals.PICTURES_ONLY == "pictures only"
    assert (found.low, found.high) == pytest.approx(metrics.percentiles(np.linspace(0.6, 0.8, 41)))


def test_half_width_by_hand() -> None:
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, 2)
    same = np.full((3, 3), 0.04)  # the pictures move all seeds alike: nothing is gained by more of them
    assert intervals.half_width([1, 1, 1], same) == pytest.approx(z * 0.2)
    apart = np.diag([0.09] * 3)  # and each by itself: the mean of three
    assert intervals.half_width([1, 1, 1], apart) == pytest.approx(z * np.sqrt(0.03))
    none = np.zeros((3, 3))  # no uncertainty over pictures: Student's interval of three numbers
    assert intervals.half_width([1, 2, 3], none) == pytest.approx(t / np.sqrt(3))
    assert intervals.half_width([1, 2, 3], same + apart) == pytest.approx(np.sqrt((z * 0.2) ** 2 + t**2 / 3))
    low, high = stats.t(2, loc=2, scale=1 / np.sqrt(3)).interval(0.95)
    assert intervals.over_seeds([1, 2, 3], np.tile([1.0, 2.0, 3.0], (5, 1)))[:3] == pytest.approx(
        (2, low, high)
    )


def test_more_seeds_that_agree_make_it_narrower_and_disagreement_wider() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(400, 5))
    widths = {}
    for spread in (0.0, 1.0, 3.0):
        points = spread * np.array([-1, 0, 1, -1, 1])
        found = [intervals.over_seeds(points[:s], drawn[:, :s]) for s in (2, 3, 5)]
        widths[spread] = [f.high - f.low for f in found]
    assert widths[3.0][1] > widths[1.0][1] > widths[0.0][1]
    assert widths[1.0][0] > widths[1.0][1] > widths[1.0][2]


def test_ends_stay_within_what_the_number_can_be() -> None:
    rng = np.random.default_rng(1)
    drawn = 0.95 + 0.01 * rng.normal(size=(100, 3))
    share = intervals.over_seeds([0.99, 0.85, 0.98], drawn, intervals.SHARE)
    assert 0 < share.low < share.value < share.high < 1
    assert share.value - share.low > share.high - share.value  # more room on that side
    difference = intervals.over_seeds([0.9, 0.1, 0.9], drawn, intervals.DIFFERENCE)
    assert (difference.low >= -1, difference.high) == (True, 1.0)
    assert intervals.over_seeds([1.0, 1.0, 1.0], np.ones((9, 3)), intervals.SHARE)[:3] == (1.0, 1.0, 1.0)


def test_a_resample_without_a_number_is_left_out() -> None:
    rng = np.random.default_rng(2)
    drawn = rng.normal(size=(500, 3)) + rng.normal(size=(500, 1))
    holes = drawn.copy()
    holes[rng.random(holes.shape) < 0.1] = np.nan
    whole, partly = intervals.covariance(drawn), intervals.covariance(holes)
    np.testing.assert_allclose(whole, np.cov(drawn.T))
    np.testing.assert_allclose(partly, whole, atol=0.2)
    assert np.isfinite(intervals.over_seeds([0, 1, 2], holes)[:3]).all()


def test_interval_of_ap_over_seeds_that_agree_is_that_of_the_pictures() -> None:
    rng, labels = np.random.default_rng(3), np.repeat([0, 1], 100)
    scores = rng.normal(size=200) + labels
    same = intervals.ap_interval_over_seeds(labels, np.stack([scores] * 3))
    alone = metrics.ap_interval(labels, scores)
    assert (same.value, same.seeds) == (pytest.approx(alone.value), 3)
    assert same.high - same.low == pytest.approx(alone.high - alone.low, rel=0.1)
    other = intervals.ap_interval_over_seeds(labels, np.stack([scores, scores + 2 * labels, scores - labels]))
    assert other.high - other.low > 2 * (same.high - same.low)


def test_columns_of_a_table_name_what_the_interval_covers() -> None:
    pooled = intervals.Pooled(0.5, 0.4, 0.6, 3)
    assert pooled.columns("ap", "ap_low", "ap_high") == {
        "ap": 0.5, "ap_low": 0.4, "ap_high": 0.6, "seeds": 3, "covers": "seeds and pictures",
    }  # fmt: skip
    assert [intervals.covers(s) for s in (0, 1, 2)] == ["", "pictures only", "seeds and pictures"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(S,\) and \(B, S\)"):
        intervals.over_seeds([1.0, 2.0], np.zeros((5, 3)))
    with pytest.raises(ValueError, match="two or more training seeds"):
        intervals.half_width([1.0], np.zeros((1, 1)))


def test_scores_of_a_pictures_parts_are_drawn_with_it() -> None:
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 40)
    whole = rng.normal(size=(3, 80)) + y
    alike = np.repeat(whole[:, :, None], 4, axis=2)  # four equal parts say no more than one
    table = intervals.compare_ap(y, {"picture": whole, "parts": alike}, n=200).set_index("name")
    numbers = ["ap", "ap_low", "ap_high"]
    assert table.loc["parts", numbers].tolist() == pytest.approx(table.loc["picture", numbers].tolist())
    assert table.loc["parts - picture", numbers].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert table["n_fake"].tolist() == [40] * 3
    noisy = whole[:, :, None] + rng.normal(size=(3, 80, 9))
    found = intervals.compare_ap(y, {"one": noisy, "mean": noisy.mean(2)}, n=200).set_index("name")
    assert found.loc["mean - one", "ap_low"] > 0


def test_the_interval_of_a_paired_change_covers_it() -> None:
    rng = np.random.default_rng(0)
    for gained, lost in ((0.02, 0.1), (0.0, 0.05), (0.2, 0.3)):
        drawn = stats.multinomial(60, [gained, lost, 1 - gained - lost]).rvs(2000, random_state=rng)
        ends = np.array([intervals.paired(int(g), int(m), 60) for g, m, _ in drawn])
        covered = np.mean((ends[:, 0] <= gained - lost) & (gained - lost <= ends[:, 1]))
        assert covered > 0.93, (gained, lost, covered)
    # 0.04 - 0.02 with a deviation of the root of (0.06 - 0.0004) / 100
    assert intervals.paired(3, 1, 98) == pytest.approx(
        (0.02 - 1.96 * 0.024413, 0.02 + 1.96 * 0.024413), abs=1e-5
    )


def test_the_interval_of_a_single_training_holds_its_value_in_the_worst_order() -> None:
    """Every resample of the worst order has a larger AP."""
    labels, scores = np.repeat([0, 1], 60), -np.arange(120.0)
    value = metrics.average_precision(labels, scores)
    drawn = metrics.resampled_ap(labels, scores, metrics.picture_weights(labels, 500))
    assert metrics.percentiles(drawn)[0] > value, "what has to be mended"
    one = metrics.ap_interval(labels, scores)
    pooled = intervals.ap_interval_over_seeds(labels, scores)
    for low, middle, high in ((one.low, one.value, one.high), (pooled.low, pooled.value, pooled.high)):
        assert low <= middle == pytest.approx(value) and middle < high
