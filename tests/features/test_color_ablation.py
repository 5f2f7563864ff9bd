"""Colour ablation: medians, their drop and its interval, against matplotlib, scipy and hand cases."""

import numpy as np
import pytest
from scipy import stats

from tff_core.features import color_ablation


def test_drop_of_median_of_a_known_case():
    before, after = np.array([0.9, 0.8, 0.7]), np.array([0.1, 0.6, 0.2])
    found = color_ablation.drop_of_median(before, after)
    assert found.value == pytest.approx(0.8 - 0.2)
    assert found.low <= found.value <= found.high
    constant = color_ablation.drop_of_median(
        before, before - 0.3
    )  # the same for every picture: nothing is uncertain
    assert constant == (*[pytest.approx(0.3)] * 3, 1)


def test_the_interval_of_the_drop_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        base = rng.normal(size=60)
        before, after = base + 1.0, base + rng.normal(size=60)  # population medians 1 and 0
        found = color_ablation.drop_of_median(before, after, n=300, seed=i)
        covered += found.low <= 1.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.995


def test_the_drop_over_seeds_is_their_mean_and_pictures_may_count_for_one_seed_only():
    before = np.array([[0.9, 0.8, 0.7], [0.6, np.nan, 0.4], [np.nan] * 3])
    after = np.array([[0.1, 0.6, 0.2], [0.5, np.nan, 0.3], [np.nan] * 3])
    found = color_ablation.drop_of_median(before, after)
    assert found.value == pytest.approx((0.6 + 0.1) / 2)
    assert found.low <= found.value <= found.high
    with pytest.raises(ValueError, match="no picture counts"):
        color_ablation.drop_of_median(before[2], after[2])
    with pytest.raises(ValueError, match="both values of every picture"):
        color_ablation.drop_of_median(before[0], after[1])


def test_average_of_a_known_case_and_its_interval():
    called = np.r_[np.ones(30), np.zeros(70)] > 0
    found = color_ablation.average(called)
    assert found.value == pytest.approx(0.3)
    expected = stats.binom(100, 0.3).ppf([0.025, 0.975]) / 100  # resampling a share is binomial
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.011)
    again = color_ablation.average(np.stack([called, called]))  # two seeds that agree: the pictures alone
    assert (*again[:3], again.seeds) == (*[pytest.approx(x, abs=0.015) for x in found[:3]], 2)
    apart = color_ablation.average(np.stack([np.ones(50), np.zeros(50)]) > 0)  # seeds that disagree: anything
    assert (apart.value, apart.covers) == (0.5, "seeds and pictures") and 0 <= apart.low < 0.01
    assert 0.99 < apart.high <= 1
    with pytest.raises(ValueError, match="expected one for every picture"):
        color_ablation.average([])


def test_pooling_equal_seeds_changes_no_number_and_hardly_an_interval():
    rng = np.random.default_rng(2)
    p_color, p_gray, labels = rng.uniform(size=30), rng.uniform(size=30), rng.integers(0, 2, size=30)
    one = color_ablation.ablation(p_color, p_gray, labels, 0.4)
    two = color_ablation.ablation(np.stack([p_color] * 2), np.stack([p_gray] * 2), labels, [0.4, 0.4])
    same = ["label", "filter", "input", "median", "called_fake", "drop"]
    assert one[same].equals(two[same])
    assert (one["high"] - one["low"]).to_numpy() == pytest.approx(two["high"] - two["low"], rel=0.15)
    assert set(one["covers"]) == {"pictures only"} and set(two["covers"]) == {"seeds and pictures"}
    assert (two["n"] == 2 * one["n"]).all()
    with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
        color_ablation.ablation(p_color + 1, p_gray, labels)


def test_ablation_of_a_hand_case():
    p_color = [0.9, 0.1, 0.6, 0.3, 0.1, 0.95]
    p_gray = [0.4, 0.1, 0.2, 0.7, 0.2, 0.90]
    labels = [1, 1, 1, 0, 0, 0]
    table = color_ablation.ablation(p_color, p_gray, labels, threshold=0.5).set_index(
        ["label", "filter", "input"]
    )
    assert len(table) == 8
    row = table.loc[("fake", "all", "color")]
    assert (row.n, row["median"], row["drop"]) == (3, 0.6, pytest.approx(0.4))
    assert row.called_fake == pytest.approx(2 / 3)
    kept = table.loc[("fake", "p >= 0.2", "gray")]  # the second fake has 0.1: out
    assert (kept.n, kept["median"], kept["drop"]) == (2, pytest.approx(0.3), pytest.approx(0.45))
    reals = table.loc[("real", "p >= 0.2", "color")]  # the last real has probability 0.05 of being real: out
    assert (reals.n, reals["drop"]) == (2, pytest.approx(0.2 - 0.45))
    assert table.loc[("real", "all", "gray")].called_fake == pytest.approx(2 / 3)
    assert (table["low"] <= table["drop"]).all() and (table["drop"] <= table["high"]).all()


def test_box_is_that_of_matplotlib():
    from matplotlib import cbook

    values = np.random.default_rng(1).beta(0.5, 0.2, size=80)
    expected = cbook.boxplot_stats(values)[0]
    table = color_ablation.ablation(values, values, np.ones(80, dtype=int)).iloc[0]
    found = [table.q1, table["median"], table.q3, table.fence_low, table.fence_high]
    assert found == pytest.approx([expected[k] for k in ("q1", "med", "q3", "whislo", "whishi")])


def test_a_filter_that_nothing_passes_says_so():
    table = color_ablation.ablation([0.1, 0.1], [0.1, 0.1], [1, 0]).set_index(["label", "filter", "input"])
    row = table.loc[("fake", "p >= 0.2", "color")]
    assert row.n == 0 and np.isnan(row["drop"]) and np.isnan(row["median"])


def test_by_seed_has_each_seed_and_all_together():
    rng = np.random.default_rng(3)
    p_color, p_gray, labels = rng.uniform(size=(2, 30)), rng.uniform(size=(2, 30)), np.arange(30) % 2
    table = color_ablation.by_seed(p_color, p_gray, labels, {4: 0.3, 7: 0.6})
    assert list(dict.fromkeys(table["seed"])) == ["4", "7", "all"]
    own = table[table["seed"] == "7"].drop(columns="seed").reset_index(drop=True)
    assert own.equals(color_ablation.ablation(p_color[1], p_gray[1], labels, 0.6))
    pooled = table[table["seed"] == "all"].drop(columns="seed").reset_index(drop=True)
    assert pooled.equals(color_ablation.ablation(p_color, p_gray, labels, [0.3, 0.6]))
    with pytest.raises(ValueError, match="2 rows of probabilities for 1 detector seeds"):
        color_ablation.by_seed(p_color, p_gray, labels, {4: 0.3})
