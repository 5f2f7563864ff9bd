"""Metrics against scikit-learn, hand cases, and intervals against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from tff_core import metrics


def sample(
    n: int = 60, shift: float = 1.0, seed: int = 0, ties: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n)
    s = rng.normal(size=2 * n) + shift * y
    return y, np.round(s) if ties else s


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_equals_scikit_learn(seed: int, ties: bool) -> None:
    y, s = sample(seed=seed, ties=ties)
    assert metrics.average_precision(y, s) == pytest.approx(average_precision_score(y, s), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_those_of_scikit_learns_curve(seed: int, ties: bool) -> None:
    """Of all pictures, and of every resample that the interval is made of."""

    def best(labels: np.ndarray, scores: np.ndarray) -> float:
        fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
        return float(thresholds[np.argmax(tpr * (1 - fpr))])

    y, s = sample(seed=seed, ties=ties)
    found = metrics.threshold_interval(y, s, n=40, seed=seed)
    rng = np.random.default_rng(seed)
    drawn = [np.concatenate([rng.choice(np.flatnonzero(y == x), 60) for x in (0, 1)]) for _ in range(40)]
    low, high = np.percentile([best(y[i], s[i]) for i in drawn], [2.5, 97.5])
    assert found == (best(y, s), pytest.approx(low), pytest.approx(high))


def test_average_precision_by_hand() -> None:
    assert metrics.average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert metrics.average_precision([0, 1, 1], [5, 5, 5]) == pytest.approx(2 / 3)


def test_logits_rank_where_float32_probabilities_tie() -> None:
    y, logits = np.array([0, 1, 0, 1]), np.array([20.0, 30.0, -1.0, 25.0], dtype=np.float32)
    sigmoid = 1 / (1 + np.exp(-logits))
    assert metrics.average_precision(y, logits) == 1.0
    assert metrics.average_precision(y, sigmoid) < 1.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_resampled_ap_equals_scikit_learn_on_the_resampled_pictures(seed: int, ties: bool) -> None:
    y, s = sample(25, seed=seed, ties=ties)
    weights = metrics.picture_weights(y, 20, seed)
    assert (weights[y == 0].sum(0) == 25).all()
    assert (weights[y == 1].sum(0) == 25).all()
    for row, value in zip(weights.T, metrics.resampled_ap(y, s, weights), strict=True):
        drawn = np.repeat(np.arange(len(y)), row.astype(int))
        assert value == pytest.approx(average_precision_score(y[drawn], s[drawn]), abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_the_best_of_all_scores(seed: int, ties: bool) -> None:
    y, s = sample(seed=seed, ties=ties)

    def gmean(threshold: float) -> float:
        real, fake = metrics.accuracies(y, s, threshold)
        return real * fake

    best = max(gmean(t) for t in s)
    threshold = metrics.gmean_threshold(y, s)
    assert gmean(threshold) == pytest.approx(best)
    assert threshold == max(t for t in s if gmean(t) == pytest.approx(best))


@pytest.mark.parametrize(
    ("y", "s", "text"),
    [
        ([0, 1], [1.0, 0.0], "ranks reals above fakes; is its label order the other way round"),
        ([0, 1], [0.0, 0.0], "all 2 scores are 0"),
        ([0, 0, 1, 1], [3.0, 2.0, 2.0, 1.0], "no fake scores above any real"),
        ([1, 1, 0], [-7.5, -7.5, -7.5], "all 3 scores are -7.5"),
    ],
)
def test_where_no_threshold_is_any_good_it_is_said_and_never_infinite(
    y: list[int], s: list[float], text: str
) -> None:
    assert metrics.best_threshold(y, s) is None
    for function in (metrics.gmean_threshold, metrics.threshold_interval):
        with pytest.raises(ValueError, match=text):
            function(y, s)


@pytest.mark.parametrize("seed", range(20))
def test_a_threshold_and_its_interval_are_finite_whatever_the_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.array([0, 1, *rng.integers(0, 2, rng.integers(0, 5))])
    s = np.round(rng.normal(size=len(y)) - y)  # few, tied, and rather the wrong way round
    best = metrics.best_threshold(y, s)
    if best is not None:
        found = metrics.threshold_interval(y, s, n=100)
        assert found.value == best and s.min() <= found.low <= found.high <= s.max()


def test_an_order_the_wrong_way_round_is_told_from_one_at_chance() -> None:
    y, s = sample(60)
    right, wrong, none = metrics.order(y, s), metrics.order(y, -s), metrics.order(y, np.zeros(len(y)))
    assert right.auc == pytest.approx(roc_auc_score(y, s)) and right.warning() == ""
    assert wrong.auc == pytest.approx(1 - right.auc) and wrong.reversed
    assert "ranks reals above fakes (AUC 0." in wrong.warning() and "60 reals" in wrong.warning()
    assert none.auc == 0.5 and none.at_chance and "no better than chance" in none.warning()
    slightly = metrics.order([0, 1, 0, 1, 0, 1], [3, 2, 2.5, 2.6, 1, 0.5])
    assert slightly.auc < 0.5 and slightly.at_chance and not slightly.reversed
    # of 100 orders without meaning about five are called something
    rng = np.random.default_rng(0)
    called = [metrics.order(y, rng.normal(size=len(y))) for _ in range(200)]
    assert 3 <= sum(not one.at_chance for one in called) <= 20


def test_a_picture_at_the_threshold_is_called_fake() -> None:
    y, s = [0, 0, 1, 1], [-1.0, 0.0, 2.0, 3.0]
    threshold = metrics.gmean_threshold(y, s)
    assert threshold == 2.0
    assert metrics.accuracies(y, s, threshold) == (1.0, 1.0)
    assert metrics.accuracies(y, s, 0.0) == (0.5, 1.0)


@pytest.mark.slow
def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = metrics.average_precision(*sample(50_000, seed=99))
    hits = 0
    for seed in range(100):
        y, s = sample(100, seed=seed)
        value, low, high = metrics.ap_interval(y, s, n=400, seed=seed)
        assert low < value < high
        hits += low <= truth <= high
    assert 88 <= hits <= 99


def test_threshold_interval_narrows_with_more_pictures() -> None:
    few, many = (metrics.threshold_interval(*sample(n), n=100) for n in (30, 1000))
    assert few.low <= few.value <= few.high
    assert many.high - many.low < few.high - few.low


def test_every_resample_draws_as_many_as_there_are_and_means_are_over_them() -> None:
    counts = metrics.resamples(7, 50, 3)
    assert counts.shape == (50, 7) and (counts.sum(1) == 7).all() and len(np.unique(counts, axis=0)) > 40
    values = np.random.default_rng(0).normal(size=(7, 2))
    means = metrics.resampled_means(values, 50, 3)
    for row, drawn in zip(means, counts, strict=True):
        np.testing.assert_allclose(row, np.repeat(values, drawn, axis=0).mean(0))
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(metrics.resamples(7, 50, rng), counts)
    assert (metrics.resamples(7, 50, rng) != counts).any()  # the generator goes on


def test_same_seed_same_interval() -> None:
    y, s = sample()
    assert metrics.ap_interval(y, s, seed=3) == metrics.ap_interval(y, s, seed=3)
    assert metrics.ap_interval(y, s, seed=3) != metrics.ap_interval(y, s, seed=4)


@pytest.mark.parametrize(
    ("y", "s", "text"),
    [
        ([1, 1], [0.0, 1.0], "one label only"),
        ([0, 2], [0.0, 1.0], "expected a list of 0"),
        ([0, 1], [0.0, np.nan], "1 of 2 scores are not finite"),
        ([0, 1], [0.0], "one score per picture"),
    ],
)
def test_bad_input_is_refused(y: list[int], s: list[float], text: str) -> None:
    for function in (metrics.average_precision, metrics.gmean_threshold, metrics.ap_interval):
        with pytest.raises(ValueError, match=text):
            function(y, s)


@pytest.mark.parametrize("least", [-np.inf, np.nan])
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 40)),
        elements=st.sampled_from([-1, 0, 1, 2, 0.5]),
    ),
    st.integers(0, 45),
)
def test_the_largest_are_those_that_come_first_in_order(least: float, values: np.ndarray, k: int) -> None:
    rows = np.where(values < 0, np.float32(least), values)
    chosen = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    expected = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(expected, chosen, True, axis=1)
    assert (metrics.largest(rows, k) == expected).all()
