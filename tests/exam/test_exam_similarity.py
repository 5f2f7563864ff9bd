"""How alike explanations are: what equal, opposite, independent and broken ones score; toys by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tff_core.exam import pooling, similarity
from tff_core.exam.similarity import COSINE, LAYERS, ORDER, TOP

SIZES = {"a": 4, "b": 8}


def maps(n: int = 5, side: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, side, side))


class TestHeatmaps:
    def test_equal_ones_score_one_and_opposite_ones_minus_one(self) -> None:
        one = maps()
        for measure, values in similarity.heatmaps(one, one).items():
            np.testing.assert_allclose(values, 1, err_msg=measure)
        turned = similarity.heatmaps(one, 1 - one)
        np.testing.assert_allclose(turned[ORDER], -1)
        np.testing.assert_allclose(turned[TOP], (0 - 1) / (10 - 1))  # none of ten, where one is by chance

    def test_independent_ones_score_what_chance_gives(self) -> None:
        found = similarity.heatmaps(maps(400, seed=1), maps(400, seed=2))
        for measure in (ORDER, TOP):
            error = 4 * found[measure].std() / 20
            assert abs(found[measure].mean()) < error < 0.05, measure
        assert abs(found[COSINE].mean() - 0.75) < 0.01  # of uniform numbers: (1/2)^2 / (1/3)

    @settings(deadline=None, max_examples=25)
    @given(st.integers(0, 1000), st.floats(1e-200, 1e100), st.floats(0.2, 5))
    def test_the_order_is_all_that_ranks_see(self, seed: int, scale: float, power: float) -> None:
        one, other = maps(2, 6, seed), maps(2, 6, seed + 1)
        plain, bent = similarity.heatmaps(one, other), similarity.heatmaps(scale * one, other**power)
        np.testing.assert_allclose(bent[ORDER], plain[ORDER], atol=1e-12)
        np.testing.assert_allclose(bent[TOP], plain[TOP], atol=1e-12)
        scaled, back = similarity.heatmaps(scale * one, other), similarity.heatmaps(other, one)
        np.testing.assert_allclose(scaled[COSINE], plain[COSINE], rtol=1e-9)
        for measure, values in back.items():
            np.testing.assert_allclose(values, plain[measure], atol=1e-12)

    def test_a_toy(self) -> None:
        one, other = np.zeros((1, 2, 10)), np.zeros((1, 2, 10))
        one[0, 0, :4], other[0, 0, 2:5] = [4, 3, 2, 1], [9, 8, 7]
        found = similarity.heatmaps(one, other)
        assert found[TOP][0] == pytest.approx((0 - 0.2) / (2 - 0.2))  # the two strongest of 20 pixels
        lengths = np.sqrt(16 + 9 + 4 + 1) * np.sqrt(81 + 64 + 49)
        assert found[COSINE][0] == pytest.approx((2 * 9 + 1 * 8) / lengths)

    @pytest.mark.parametrize(
        "broken", [np.zeros((10, 10)), np.full((10, 10), 3.0), np.full((10, 10), np.nan)]
    )
    def test_what_has_no_order_has_no_value_and_the_others_keep_theirs(self, broken: np.ndarray) -> None:
        one, other = maps(3), maps(3, seed=1)
        whole = similarity.heatmaps(one, other)
        one[1] = broken
        found = similarity.heatmaps(one, other)
        for measure in (ORDER, TOP):
            assert np.isnan(found[measure][1])
        assert np.isnan(found[COSINE][1]) != (broken[0, 0] == 3)  # a constant map has a direction
        for measure, values in found.items():
            np.testing.assert_allclose(values[[0, 2]], whole[measure][[0, 2]])

    def test_shapes_must_fit(self) -> None:
        with pytest.raises(ValueError, match="expected \\(N, H, W\\) of both"):
            similarity.heatmaps(maps(2), maps(3))


def shares(n: int = 6, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((n, 12))
    return np.concatenate([part / part.sum(1, keepdims=True) for part in np.split(values, [4], axis=1)], 1)


class TestOmegas:
    def test_equal_ones_score_one_whatever_the_pictures(self) -> None:
        for measure, (value, drawn) in similarity.omegas(shares(), shares(), SIZES, 5, draws=20).items():
            assert value == pytest.approx(1), measure
            np.testing.assert_allclose(drawn, 1, err_msg=measure)

    def test_a_toy(self) -> None:
        one = np.array([[0.4, 0.3, 0.2, 0.1] + [0.125] * 8])
        other = np.array([[0.1, 0.2, 0.3, 0.4] + [0.09, 0.16] + [0.125] * 6])
        found = {name: value for name, (value, _) in similarity.omegas(one, other, SIZES, 3, draws=3).items()}
        assert found[ORDER] == pytest.approx(-1)  # layer b has no order in one of them
        # the first three are all of layer a; two of them are in both, and 3 x 3 / 4 are by chance
        assert found[TOP] == pytest.approx((2 - 2.25) / (3 - 2.25))
        directions = [(0.04 + 0.06 + 0.06 + 0.04) / 0.3]
        b = other[0, 4:]
        directions.append(0.125 * b.sum() / (0.125 * np.sqrt(8) * np.sqrt((b**2).sum())))
        assert found[COSINE] == pytest.approx((4 * directions[0] + 8 * directions[1]) / 12)
        assert found[LAYERS] == pytest.approx(1)

    def test_maps_at_random_within_layers_score_zero(self) -> None:
        rng = np.random.default_rng(0)
        sizes = {"a": 16, "b": 64}
        base = np.concatenate([rng.random(16) + 1, rng.random(64)])[None]  # a narrow layer that ranks first
        found = {ORDER: [], TOP: []}
        for _ in range(300):
            mixed = np.concatenate([rng.permutation(base[0, :16]), rng.permutation(base[0, 16:])])[None]
            both = similarity.omegas(base, mixed, sizes, 24, draws=1)
            for measure, values in found.items():
                values.append(both[measure][0])
            assert both[LAYERS][0] == pytest.approx(1)
        for measure, values in found.items():
            assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300), measure

    def test_only_the_layers_that_are_kept_count(self) -> None:
        one, other = shares(), shares()
        other[:, :4] = shares(seed=1)[:, :4]
        assert similarity.omegas(one, other, SIZES, 5, {"b"})[ORDER][0] == pytest.approx(1)
        assert similarity.omegas(one, other, SIZES, 5)[ORDER][0] < 1
        nothing = similarity.omegas(one, other, SIZES, 5, set())
        assert all(np.isnan(nothing[m][0]) and np.isnan(nothing[m][1]).all() for m in (ORDER, COSINE, TOP))
        assert np.isfinite(nothing[LAYERS][0])

    def test_resamples_lie_around_the_number_and_one_picture_has_no_spread(self) -> None:
        value, drawn = similarity.omegas(shares(), shares(seed=1), SIZES, 5, draws=50)[ORDER]
        assert drawn.mean() == pytest.approx(value) and drawn.std() > 0
        again = similarity.omegas(shares(), shares(seed=1), SIZES, 5, draws=50)[ORDER]
        np.testing.assert_array_equal(again[1], drawn)
        value, drawn = similarity.omegas(shares(1), shares(1, 1), SIZES, 5, draws=5)[ORDER]
        np.testing.assert_allclose(drawn, value)

    def test_layers_without_relevance_have_no_say(self) -> None:
        one, other = shares(), shares(seed=1)
        with_b = similarity.omegas(one, other, SIZES, 5, {"b"})[COSINE][0]
        one[:, :4] = 0
        assert similarity.omegas(one, other, SIZES, 5)[COSINE][0] == pytest.approx(with_b)
        empty = similarity.omegas(np.zeros((2, 12)), np.zeros((2, 12)), SIZES, 5)
        assert np.isnan(empty[ORDER][0]) and np.isnan(empty[COSINE][0])

    def test_what_does_not_fit_is_said(self) -> None:
        with pytest.raises(ValueError, match=r"expected \(pictures, 12\) of both"):
            similarity.omegas(shares(), shares()[:, 1:], SIZES, 5)
        with pytest.raises(ValueError, match="and a picture"):
            similarity.omegas(shares(0), shares(0), SIZES, 5)
        for k in (0, 12):
            with pytest.raises(ValueError, match=f"k is {k}: expected 1 to 11"):
                similarity.omegas(shares(), shares(), SIZES, k)


class TestPooling:
    def test_the_mean_has_an_interval_that_widens_with_what_varies(self) -> None:
        rng = np.random.default_rng(0)
        values = rng.random((3, 40))
        found = pooling.over_pictures(values)
        assert found["value"] == pytest.approx(values.mean()) and (found["seeds"], found["n"]) == (3, 40)
        assert found["covers"] == "seeds and pictures"
        apart = pooling.over_pictures(values + np.array([[0], [0.5], [1]]))
        assert apart["high"] - apart["low"] > 2 * (found["high"] - found["low"])  # type: ignore[operator]

    def test_missing_values_are_left_out_and_counted(self) -> None:
        values = np.array([[0.2, np.nan, 0.4], [0.3, np.nan, np.nan]])
        found = pooling.over_pictures(values)
        assert found["value"] == pytest.approx((0.3 + 0.3) / 2) and found["n"] == 2
        nothing = pooling.over_pictures(np.full((2, 3), np.nan))
        assert np.isnan(nothing["value"]) and np.isnan(nothing["low"]) and nothing["n"] == 0  # type: ignore[arg-type]

    def test_one_seed_covers_pictures_only_and_ends_keep_to_the_range(self) -> None:
        found = pooling.over_pictures([[0.9, 1.0, 1.0]], (-1, 1))
        assert found["covers"] == "pictures only" and found["high"] <= 1  # type: ignore[operator]
        drawn = pooling.over_seeds([0.98], [[0.9], [1.3]], 4, (-1, 1))
        assert drawn["high"] == 1
        with pytest.raises(ValueError, match="at least one of each"):
            pooling.over_pictures(np.zeros((0, 3)))
