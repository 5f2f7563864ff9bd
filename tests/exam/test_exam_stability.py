"""Max-sensitivity: what cannot change, what changes by a known amount, and maps that are empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exam_toys import pictures

from tff_core.exam import stability


def test_an_explanation_that_does_not_look_does_not_change() -> None:
    x = pictures(2, 8)
    fixed = torch.ones(2, 8, 8).double()
    assert stability.max_sensitivity(lambda x: fixed, x, fixed, 0.1).tolist() == [0, 0]


def test_the_change_of_the_picture_itself_is_known() -> None:
    x = torch.ones(1, 1, 64, 64).double()
    found = stability.max_sensitivity(lambda x: x[:, 0], x, x[:, 0], 0.3, samples=1)
    # uniform in +-0.3: the root mean square is 0.3 / sqrt 3
    assert found[0] == pytest.approx(0.3 / np.sqrt(3), rel=0.02)


def test_it_is_the_largest_of_all_copies_and_of_one_picture_alone() -> None:
    x = pictures(3, 8)
    explain = lambda x: (x**2).sum(1)  # noqa: E731
    own = explain(x)
    few, many = (stability.max_sensitivity(explain, x, own, 0.2, n, seed=5) for n in (1, 6))
    assert (many >= few).all() and (many > 0).all()
    alone = stability.max_sensitivity(explain, x[1:2], own[1:2], 0.2, 6, seed=5)
    assert alone[0] == pytest.approx(many[1])
    assert (stability.max_sensitivity(explain, x, own, 0.2, 1, seed=6) != few).any()


def test_independent_maps_of_zeros_and_ones_differ_by_as_much_as_theory_says() -> None:
    """Uniform numbers a, b: E(a - b)^2 / E a^2 = (1 / 6) / (1 / 3)."""
    rng = torch.Generator().manual_seed(0)
    explain = lambda x: torch.rand(x.shape[0], *x.shape[2:], generator=rng)  # noqa: E731
    x = torch.zeros(1, 3, 128, 128)
    found = stability.max_sensitivity(explain, x, explain(x), 0.1, samples=1)
    assert found[0] == pytest.approx(np.sqrt(0.5), rel=0.02)


def test_of_an_empty_map_there_is_no_relative_change() -> None:
    x, empty = pictures(1, 8), torch.zeros(1, 8, 8)
    assert stability.max_sensitivity(lambda x: empty, x, empty, 0.1).tolist() == [0]
    assert np.isnan(stability.max_sensitivity(lambda x: empty + 1, x, empty, 0.1)).all()


def test_what_cannot_be_measured_is_refused() -> None:
    x, one = pictures(1, 8), torch.ones(1, 8, 8)
    with pytest.raises(ValueError, match="not finite"):
        stability.max_sensitivity(lambda x: one * torch.nan, x, one, 0.1)
    with pytest.raises(ValueError, match="some noise"):
        stability.max_sensitivity(lambda x: one, x, one, 0.0)
    with pytest.raises(ValueError, match="one or more"):
        stability.max_sensitivity(lambda x: one, x, one, 0.1, samples=0)
