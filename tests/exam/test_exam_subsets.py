"""What was promised and what fell: exact for linear detectors, by hand, and without any answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exam_toys import linear, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from tff_core.exam import flipping, subsets


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 8), st.floats(0.01, 0.99))
def test_sets_have_the_share_that_they_should(height: int, width: int, cell: int, share: float) -> None:
    up, across = -(-height // cell), -(-width // cell)
    if up * across < 2:
        with pytest.raises(ValueError, match="two or more cells"):
            subsets.of_size((height, width), share, 3, cell)
        return
    found = subsets.of_size((height, width), share, 3, cell, seed=1)
    assert found.shape == (3, height, width)
    wanted = min(max(1, round(share * up * across)), up * across - 1)
    assert (found[:, ::cell, ::cell].sum((1, 2)) == wanted).all()
    # a cell goes as a whole
    corners = found[:, ::cell, ::cell].repeat_interleave(cell, 1).repeat_interleave(cell, 2)
    assert torch.equal(found, corners[:, :height, :width])
    assert torch.equal(found, subsets.of_size((height, width), share, 3, cell, seed=1))


def test_squares_are_squares_of_the_sizes_asked_for() -> None:
    found = subsets.squares((20, 30), 200, least=0.1, most=0.5)
    sides = []
    for one in found:
        rows, columns = one.any(1).nonzero()[:, 0], one.any(0).nonzero()[:, 0]
        side = len(rows)
        assert len(columns) == side and int(one.sum()) == side**2
        sides.append(side)
    assert (min(sides), max(sides)) == (2, 10)
    assert bool(found.any(0).any(0).all() and found.any(0).any(1).all())  # in all rows and columns
    assert not torch.equal(found, subsets.squares((20, 30), 200, seed=1))


def test_a_linear_detectors_contributions_are_a_perfect_explanation() -> None:
    f, x = linear(8, channels=3), pictures(3, 8)
    fill = flipping.mean_colour(x)
    sets = subsets.of_size((8, 8), 0.3, 16, cell=2)
    fell = subsets.falls(f, x, sets, fill, batch_size=5)
    promised = subsets.sums(f.contributions(x, fill), sets)
    np.testing.assert_allclose(fell, promised, atol=1e-10)
    np.testing.assert_allclose(subsets.sensitivity_n(fell, promised), 1)
    np.testing.assert_allclose(subsets.infidelity(fell, promised, scaled=False), 0, atol=1e-18)
    # of any scale
    np.testing.assert_allclose(subsets.sensitivity_n(fell, 7e-5 * promised), 1)
    np.testing.assert_allclose(subsets.infidelity(fell, 7e-5 * promised), 0, atol=1e-12)
    # and its opposite is the worst
    np.testing.assert_allclose(subsets.sensitivity_n(fell, -promised), -1)
    np.testing.assert_allclose(subsets.infidelity(fell, -promised), 1)


def test_random_numbers_explain_nothing_on_average() -> None:
    f, x = linear(8), pictures(1, 8, channels=1)
    sets = subsets.of_size((8, 8), 0.3, 20, cell=1)
    fell = subsets.falls(f, x, sets, torch.zeros_like(x))
    draws = torch.rand(400, 8, 8, generator=torch.Generator().manual_seed(0))
    found = subsets.sensitivity_n(np.repeat(fell, 400, 0), subsets.sums(draws, sets))
    assert abs(found.mean()) < 4 * found.std() / 20


def test_sets_may_be_each_pictures_own() -> None:
    f, x = linear(6), pictures(2, 6, channels=1)
    sets = torch.stack([subsets.of_size((6, 6), 0.5, 4, cell=2, seed=s) for s in (0, 1)])
    relevance, fill = f.contributions(x), torch.zeros_like(x)
    for i in range(2):
        alone = subsets.falls(f, x[i : i + 1], sets[i], fill[i : i + 1])
        np.testing.assert_allclose(subsets.falls(f, x, sets, fill)[i], alone[0])
        np.testing.assert_allclose(subsets.sums(relevance, sets)[i], subsets.sums(relevance, sets[i])[i])


def test_by_hand() -> None:
    fell, promised = [[1.0, 2.0, 3.0]], [[2.0, 0.0, 4.0]]
    assert subsets.sensitivity_n(fell, promised)[0] == pytest.approx(2 / np.sqrt(2 * 8))
    assert subsets.infidelity(fell, promised, scaled=False)[0] == pytest.approx((1 + 4 + 1) / 3)
    # the best factor is 14 / 20; what is left of 14 is 14 - 14^2 / 20
    assert subsets.infidelity(fell, promised)[0] == pytest.approx((14 - 14**2 / 20) / 14)


def test_a_constant_map_promises_the_same_of_all_sets_and_explains_nothing() -> None:
    f, x = linear(8), pictures(2, 8, channels=1)
    sets = subsets.of_size((8, 8), 0.25, 8, cell=2)
    fell = subsets.falls(f, x, sets, torch.zeros_like(x))
    for level in (0.0, 0.1):
        promised = subsets.sums(torch.full((2, 8, 8), level), sets)
        assert subsets.sensitivity_n(fell, promised).tolist() == [0, 0]
    assert subsets.infidelity(fell, np.zeros_like(fell)).tolist() == [1, 1]


def test_where_nothing_falls_there_is_nothing_to_explain() -> None:
    none, some = np.zeros((1, 4)), np.ones((1, 4)) * [1, 2, 3, 4]
    assert subsets.sensitivity_n(none, some).tolist() == [0]
    assert subsets.infidelity(none, some).tolist() == [0]
    assert subsets.infidelity(none, some, scaled=False)[0] == pytest.approx(7.5)


def test_too_few_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="two or more sets"):
        subsets.sensitivity_n(np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="two or more sets"):
        subsets.infidelity(np.zeros((2, 3)), np.zeros((2, 4)))
