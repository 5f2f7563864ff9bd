"""Ranks against published numbers and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tff_core.exam import ranks

# Demsar 2006, table 5: critical values of the Nemenyi test at the level of 0.05, for 2 to 10 methods
Q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]


@pytest.mark.parametrize(("methods", "q"), enumerate(Q, 2))
def test_critical_differences_are_the_published_ones(methods: int, q: float) -> None:
    scale = np.sqrt(methods * (methods + 1) / (6 * 30))
    assert ranks.critical_difference(methods, 30) == pytest.approx(q * scale, abs=1e-3 * scale)


def test_the_published_example() -> None:
    """Demsar 2006, section 3.2.4: four methods on 14 data sets."""
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_friedman_by_its_formula() -> None:
    table = np.array([rng.permutation(5) + 1 for rng in map(np.random.default_rng, range(7))], dtype=float)
    mean = table.mean(0)
    expected = 12 * 7 / (5 * 6) * ((mean**2).sum() - 5 * 36 / 4)
    found = ranks.friedman(table)
    assert found.statistic == pytest.approx(expected)
    assert (found.blocks, found.methods) == (7, 5) and 0 < found.p < 1


def test_ranks_by_hand() -> None:
    values = [[3.0, 1.0, 1.0, np.nan], [0.0, 5.0, np.nan, 2.0]]
    assert ranks.ranks(values).tolist() == [[1, 2.5, 2.5, 4], [3, 1, 4, 2]]
    assert ranks.ranks(values, higher_is_better=False).tolist() == [[3, 1.5, 1.5, 4], [1, 3, 4, 2]]


def test_a_method_that_is_always_best_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 4)) + np.array([3.0, 0, 0, 0])
    ranked = ranks.ranks(values)
    gaps = ranked.mean(0)[1:] - ranked.mean(0)[0]
    assert (gaps > ranks.critical_difference(4, 40)).all() and ranks.friedman(ranked).p < 1e-6


def test_where_all_are_alike_nothing_differs() -> None:
    assert ranks.friedman(ranks.ranks(np.zeros((5, 4))))[:2] == (0.0, 1.0)
    # and chance seldom says so: the share of small p-values is about the level
    rng = np.random.default_rng(1)
    p = [ranks.friedman(ranks.ranks(rng.standard_normal((20, 4)))).p for _ in range(200)]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.11


def test_too_little_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more methods"):
        ranks.ranks(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="three or more methods"):
        ranks.friedman(np.ones((3, 2)))
    with pytest.raises(ValueError, match="two or more blocks"):
        ranks.friedman(np.ones((1, 4)))
    with pytest.raises(ValueError, match="two or more methods and a block"):
        ranks.critical_difference(4, 0)
