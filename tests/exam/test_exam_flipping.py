"""Curves of pictures that lose pixels: what a linear detector must do, and what has no order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from exam_toys import linear, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from tff_core.exam import flipping

SHARES = [i / 8 for i in range(9)]


def test_the_order_of_pixels_by_hand() -> None:
    relevance = torch.tensor([[[1.0, 4.0], [3.0, 2.0]]])
    assert flipping.order(relevance).tolist() == [[[0.75, 0], [0.25, 0.5]]]
    assert flipping.order(relevance, least_first=True).tolist() == [[[0, 0.75], [0.5, 0.25]]]


def test_regions_go_at_once_in_the_order_of_their_mean() -> None:
    relevance = torch.zeros(1, 3, 3)
    relevance[0, 0, 0], relevance[0, 2, 2] = 4.0, 2.0  # a mean of 1 over four pixels, of 2 over one
    found = flipping.order(relevance, 2)
    assert found[0, 2, 2] == 0
    assert found[0, :2, :2].tolist() == [[0.25, 0.25], [0.25, 0.25]]


def test_where_relevance_is_equal_chance_decides_by_the_seed() -> None:
    flat = torch.zeros(2, 8, 8)
    one = flipping.order(flat, seed=1)
    assert sorted((64 * one[0]).flatten().tolist()) == list(range(64))
    assert torch.equal(one, flipping.order(flat, seed=1)) and not torch.equal(
        one, flipping.order(flat, seed=2)
    )
    assert torch.equal(one[0], one[1])
    # neither rows nor columns go first
    assert 0.3 < float(one[0, :4].mean()) < 0.7 and 0.3 < float(one[0, :, :4].mean()) < 0.7


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_every_pixel_goes_once(seed: int, height: int, width: int, patch: int) -> None:
    g = torch.Generator().manual_seed(seed)
    relevance = torch.randint(3, (2, height, width), generator=g).double()
    when = flipping.order(relevance, patch, seed=seed)
    regions = -(-height // patch) * -(-width // patch)
    assert when.shape == relevance.shape
    for one in when:
        assert sorted(set((regions * one).round().flatten().tolist())) == list(range(regions))
    assert bool(flipping.replaced(when, 1.0).all()) and not bool(flipping.replaced(when, 0.0).any())


def test_no_order_is_better_than_that_of_the_contributions() -> None:
    """Of a linear detector: all orders of five pixels are tried."""
    f, x = linear(3), pictures(1, 3, channels=1)
    f.weight[:, 1, 2] = f.weight[:, 2] = 0  # five pixels are left that matter
    exact = f.contributions(x)
    shares = [i / 9 for i in range(10)]
    fill = torch.zeros_like(x)

    def height(relevance: torch.Tensor, **how: bool) -> float:
        when = flipping.order(relevance, **how)
        return float(flipping.area(flipping.curve(f, x, when, shares, fill), shares)[0])

    everyone = []
    for order in itertools.permutations(range(5)):
        relevance = torch.full((9,), -1.0)
        relevance[list(order)] = torch.arange(5.0, 0, -1)
        everyone.append(height(relevance.view(1, 3, 3)))
    # those without weight may also go between
    assert height(exact) <= min(everyone) + 1e-12
    assert height(exact, least_first=True) >= max(everyone) - 1e-12


def test_a_random_order_falls_in_a_straight_line_on_average() -> None:
    f, x = linear(8), pictures(4, 8, channels=1)
    fill = torch.zeros_like(x)
    curves = [
        flipping.curve(f, x, flipping.order(torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(s))),
                       SHARES, fill)
        for s in range(300)
    ]  # fmt: skip
    ends = f(x)[:, 0].numpy()
    line = ends[:, None] * (1 - np.array(SHARES))
    error = np.std(curves, 0) / np.sqrt(300)
    assert (np.abs(np.mean(curves, 0) - line) < 4 * error + 1e-9).all()


def test_insertion_of_what_matters_most_is_what_is_left_when_the_rest_goes() -> None:
    f, x, fill = linear(8), pictures(3, 8, channels=1), torch.zeros(3, 1, 8, 8).double()
    relevance = f.contributions(x)
    put = flipping.curve(f, x, flipping.order(relevance), SHARES, fill, insert=True)
    left = flipping.curve(f, x, flipping.order(relevance, least_first=True), SHARES, fill)
    np.testing.assert_allclose(put, left[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(put[:, [0, -1]], torch.cat([f(fill), f(x)], 1).numpy(), atol=1e-12)


def test_a_picture_has_the_same_curve_in_every_batch() -> None:
    f, x = linear(8), pictures(4, 8, channels=1)
    relevance, fill = f.contributions(x), flipping.mean_colour(x)
    whole = flipping.curve(f, x, flipping.order(relevance, 2), SHARES, fill)
    alone = flipping.curve(f, x[2:3], flipping.order(relevance[2:3], 2), SHARES, fill[2:3], batch_size=3)
    np.testing.assert_allclose(whole[2:3], alone, atol=1e-12)


def test_the_area_by_hand() -> None:
    assert flipping.area([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [0, 0.5, 1]).tolist() == [0.25, 1]
    assert flipping.area([[2.0, 0.0]], [0.2, 0.4]).tolist() == [1.0]


def test_what_takes_the_place_of_pixels() -> None:
    x = pictures(2, 16)
    plain, smooth = flipping.mean_colour(x), flipping.blurred(x)
    torch.testing.assert_close(plain.mean((2, 3)), x.mean((2, 3)))
    assert float(plain.var((2, 3)).max()) < 1e-20
    assert bool((smooth.var((2, 3)) < x.var((2, 3))).all())
    flat = torch.full((1, 3, 16, 16), 0.7)
    torch.testing.assert_close(flipping.blurred(flat), flat)
    assert flipping.blurred(torch.zeros(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_what_cannot_be_judged_is_named() -> None:
    x = pictures(3, 8)
    broken = torch.zeros(3, 8, 8)
    broken[1, 2, 3] = torch.nan
    with pytest.raises(ValueError, match="picture 1 is not finite"):
        flipping.checked(broken, x)
    with pytest.raises(ValueError, match=r"expected \(3, 8, 8\)"):
        flipping.checked(torch.zeros(3, 3, 8, 8), x)
    with pytest.raises(ValueError, match="1 or more"):
        flipping.order(torch.zeros(1, 8, 8), 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        flipping.curve(linear(8), x[:, :1], torch.zeros(3, 8, 8), [0, 1.5], x[:, :1])
    with pytest.raises(ValueError, match="that increase"):
        flipping.area([[1.0, 2.0]], [0, 0])
    with pytest.raises(ValueError, match="expected one for each"):
        flipping.scores(lambda x: x.flatten(1), x)
