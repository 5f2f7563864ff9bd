"""Likeness of explanations: 1 for the same, chance for others, nothing for what is no explanation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom, spearmanr

from tff_core.exam import overlaps


def test_heatmaps_are_as_alike_as_other_libraries_say() -> None:
    rng = np.random.default_rng(0)
    a = rng.random((5, 6, 7)) ** 3
    b = a * rng.random((5, 6, 7))
    assert overlaps.cosine(a, 3 * a) == pytest.approx(1)
    assert overlaps.rank(a, a**2) == pytest.approx(1)
    flat = [(x.ravel(), y.ravel()) for x, y in zip(a, b, strict=True)]
    by_hand = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in flat]
    assert overlaps.cosine(a, b) == pytest.approx(by_hand)
    assert overlaps.rank(a, b) == pytest.approx([spearmanr(x, y).statistic for x, y in flat])
    apart = np.zeros((1, 4, 4))
    apart[0, 0, 0] = 1
    assert overlaps.cosine(apart, apart[:, ::-1]) == 0
    many = rng.random((300, 12, 12))
    assert abs(overlaps.rank(many[:150], many[150:]).mean()) < 0.02  # chance


def test_what_is_no_heatmap_has_no_likeness() -> None:
    sound = np.random.default_rng(0).random((4, 3, 3))
    bad = sound.copy()
    bad[0], bad[1], bad[2, 0, 0] = 0, 5, np.nan  # empty, constant, not a number
    assert np.isnan(overlaps.cosine(sound, bad)).tolist() == [True, False, True, False]
    assert np.isnan(overlaps.rank(sound, bad)).tolist() == [True, True, True, False]
    for compare in (overlaps.cosine, overlaps.rank):
        with pytest.raises(ValueError, match="expected \\(N, H, W\\) of both"):
            compare(sound, sound[:2])


def test_the_same_pictures_have_the_same_omega_and_random_ones_what_chance_gives() -> None:
    rng = np.random.default_rng(1)
    begins, m, k = [0, 40, 60], 200, 30
    a = rng.random((8, m))
    same = overlaps.omega(a, a, k, begins, 50)
    assert same.value == 1 and (same.drawn == 1).all()
    values, chances = [], []
    for _ in range(150):
        found = overlaps.omega(rng.random((6, m)), rng.random((6, m)), k, begins, 4)
        values.append(found.value)
        chances.append(found.chance)
    assert np.mean(values) == pytest.approx(hypergeom(m, k, k).mean() / k, abs=0.012)
    # given how many each takes of a layer, whatever the layers are
    assert np.mean(chances) == pytest.approx(np.mean(values), abs=0.012)
    whole = np.where(np.arange(m) < 40, 10.0, 0.0) + rng.random((6, m))  # both take all of a layer
    other = np.where(np.arange(m) < 40, 10.0, 0.0) + rng.random((6, m))
    assert overlaps.omega(whole, other, 40, begins, 4).chance == pytest.approx(1)


def test_resamples_of_omega_are_those_of_hand() -> None:
    a = np.array([[4.0, 3, 2, 1], [1, 2, 3, 4], [4, 3, 2, 1]])
    b = np.array([[4.0, 3, 2, 1], [4, 3, 2, 1], [1, 2, 3, 4]])
    found = overlaps.omega(a, b, 2, [0], 400)
    assert found.value == 1  # both say the first two, of all three pictures
    assert set(np.unique(found.drawn)) == {0.0, 1.0}
    # different where the second outweighs the first and third on one side alone
    drawn = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=20_000)
    one, other = drawn @ a, drawn @ b
    differs = (one[:, 0] >= one[:, 3]) != (other[:, 0] >= other[:, 3])
    assert found.drawn.mean() == pytest.approx(1 - differs.mean(), abs=0.07)


def test_rows_that_are_no_numbers_are_left_out_and_none_gives_nothing() -> None:
    a = np.random.default_rng(0).random((3, 10))
    b = a.copy()
    b[1, 0] = np.nan
    kept = overlaps.omega(a, b, 3, [0], 5)
    assert kept.value == 1
    nothing = overlaps.omega(a[:0], a[:0], 3, [0], 5)
    assert np.isnan(nothing.value) and np.isnan(nothing.drawn).all() and len(nothing.drawn) == 5
    with pytest.raises(ValueError, match="k is 11: expected 1 to 10"):
        overlaps.omega(a, a, 11, [0])
    with pytest.raises(ValueError, match=r"expected \(pictures, maps\) of both"):
        overlaps.omega(a, a[:, :5], 2, [0])
