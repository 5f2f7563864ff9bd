"""Noisy linear imputation: by hand, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exam_toys import linear, pictures

from tff_core.exam import flipping, imputation


def hole(n: int, size: int, *at: tuple[int, int]) -> torch.Tensor:
    gone = torch.zeros(n, size, size, dtype=torch.bool)
    for i, j in at:
        gone[:, i, j] = True
    return gone


def test_a_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    x = pictures(2, 5)
    found = imputation.noisy_linear(x, hole(2, 5, (2, 2)), noise=0)
    edges = x[:, :, [1, 3, 2, 2], [2, 2, 1, 3]].sum(-1) / 6
    corners = x[:, :, [1, 1, 3, 3], [1, 3, 1, 3]].sum(-1) / 12
    torch.testing.assert_close(found[:, :, 2, 2], edges + corners)
    rest = ~hole(2, 5, (2, 2))[:, None].expand_as(x)
    assert torch.equal(found[rest], x[rest])


def test_at_the_corner_the_weights_of_the_neighbours_that_are_there_add_up_to_one() -> None:
    x = pictures(1, 4)
    found = imputation.noisy_linear(x, hole(1, 4, (0, 0)), noise=0)
    expected = (2 * x[..., 0, 1] + 2 * x[..., 1, 0] + x[..., 1, 1]) / 5
    torch.testing.assert_close(found[..., 0, 0], expected)


def test_a_slope_is_continued() -> None:
    """Linear pictures solve the equations exactly wherever all neighbours are there."""
    x = torch.arange(9.0).double().expand(1, 2, 9, 9).clone()
    x[:, 1] = 0.5 - 3 * x[:, 1].transpose(1, 2)
    gone = torch.zeros(1, 9, 9, dtype=torch.bool)
    gone[0, 2:7, 3:6] = True
    torch.testing.assert_close(imputation.noisy_linear(x, gone, noise=0), x)


def test_noise_has_its_deviation_and_follows_from_the_seed() -> None:
    x = torch.zeros(1, 3, 32, 32).double()
    gone = torch.ones(1, 32, 32, dtype=torch.bool)
    gone[0, 0, 0] = False
    one = imputation.noisy_linear(x, gone, noise=0.1, seed=3)
    assert float(one[0, :, 1:].std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(one, imputation.noisy_linear(x, gone, noise=0.1, seed=3))
    assert not torch.equal(one, imputation.noisy_linear(x, gone, noise=0.1, seed=4))


def test_where_nothing_is_left_the_mean_colour_stands_for_the_picture() -> None:
    x = pictures(2, 6)
    gone = torch.ones(2, 6, 6, dtype=torch.bool)
    torch.testing.assert_close(imputation.noisy_linear(x, gone, noise=0), flipping.mean_colour(x))
    assert torch.equal(imputation.noisy_linear(x, ~gone), x)


def test_curves_are_those_of_the_imputed_pictures() -> None:
    f, x = linear(8), pictures(3, 8, channels=1)
    when = flipping.order(f.contributions(x))
    found = imputation.curve(f, x, when, [0.0, 0.25, 1.0], noise=0, batch_size=2)
    np.testing.assert_allclose(found[:, 0], f(x)[:, 0].numpy(), atol=1e-12)
    quarter = imputation.noisy_linear(x, flipping.replaced(when, 0.25), noise=0)
    np.testing.assert_allclose(found[:, 1], f(quarter)[:, 0].numpy(), atol=1e-12)
    np.testing.assert_allclose(found[:, 2], f(flipping.mean_colour(x))[:, 0].numpy(), atol=1e-12)


def test_holes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, 6, 6\)"):
        imputation.noisy_linear(pictures(2, 6), torch.zeros(2, 5, 6, dtype=torch.bool))
