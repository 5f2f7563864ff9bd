"""The two repaired tests: complexity by hand, and means over noisy copies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tff_core.exam import remedies


def test_entropy_is_what_theory_says() -> None:
    even = np.arange(100.0).reshape(1, 10, 10)
    assert remedies.complexity(even, 10)[0] == pytest.approx(np.log(10))
    half = np.repeat([0.0, 1.0], 50).reshape(1, 10, 10)
    assert remedies.complexity(half)[0] == pytest.approx(np.log(2))
    np.testing.assert_allclose(remedies.complexity(1e-200 * even, 10), np.log(10))


def test_what_has_no_histogram_is_missing() -> None:
    maps = np.stack([np.zeros((4, 4)), np.full((4, 4), 2.0), np.full((4, 4), np.nan), np.eye(4)])
    found = remedies.complexity(maps)
    assert found[:2].tolist() == [0, 0] and np.isnan(found[2]) and found[3] > 0
    risen = remedies.rise(maps, np.stack([np.eye(4)] * 4))
    assert np.isnan(risen[:3]).all() and risen[3] == 0
    with pytest.raises(ValueError, match="1 bins: expected"):
        remedies.complexity(maps, 1)


def test_noise_is_more_complex_than_a_spot() -> None:
    spot = np.zeros((3, 16, 16))
    spot[:, 4:8, 4:8] = 1
    noise = np.random.default_rng(0).random((3, 16, 16))
    assert (remedies.rise(spot, noise) > 0).all() and (remedies.rise(noise, spot) < 0).all()


def test_a_mean_over_copies_is_the_heatmap_itself_without_noise_or_copies() -> None:
    x = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    explain = lambda x: (x**2).sum(1).numpy()  # noqa: E731
    for draws, noise in ((1, 0.3), (4, 0.0)):
        np.testing.assert_allclose(remedies.smoothed(explain, x, draws, noise), explain(x), rtol=1e-6)


def test_noise_is_that_of_the_seed_and_as_wide_as_the_picture_allows() -> None:
    x = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    x[1] *= 10
    seen: list[torch.Tensor] = []

    def explain(x: torch.Tensor) -> np.ndarray:
        seen.append(x)
        return x[:, 0].numpy()

    one, same, other = (remedies.smoothed(explain, x, 3, 0.2, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other) and len(seen) == 9
    width = (seen[1] - x).std(dim=(1, 2, 3))
    torch.testing.assert_close(width, torch.tensor([0.2, 2.0]), rtol=0.1, atol=0)
    for draws, noise in ((0, 0.1), (2, -1)):
        with pytest.raises(ValueError, match="expected one or more"):
            remedies.smoothed(explain, x, draws, noise)
