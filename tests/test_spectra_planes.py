"""Power spectra and rings: Parseval, planted waves, white noise, and what theory says of means."""

from __future__ import annotations

import numpy as np
import pytest

from tff_core import spectra


def test_a_wave_stands_at_its_frequency_and_noise_everywhere() -> None:
    row = np.arange(64)
    wave = np.cos(2 * np.pi * row * 12 / 64)[:, None] + np.zeros((64, 64))
    found = spectra.power(wave)
    assert np.unravel_index(found.argmax(), found.shape) in ((12, 0), (52, 0))
    profile = spectra.azimuthal(np.exp(found), fourier=True)
    rings = spectra.fourier_rings(64, 64)
    assert rings.frequency[profile.argmax()] == pytest.approx(12 / 64)
    noise = np.random.default_rng(0).normal(0, 1, (400, 32, 32))
    mean = np.exp(spectra.power(noise)).mean(0)
    mean[0, 0] = 1  # the mean is taken off
    near = spectra.radius(32, 32) <= 2 / 32  # which the window smears over its neighbours
    assert mean[~near] == pytest.approx(1, abs=0.25)
    assert float(mean[~near].mean()) == pytest.approx(1, abs=0.01)
    assert (spectra.power(np.full((8, 8), 7.0)) == np.log(1e-9)).all()


def test_rings_hold_every_coefficient_once_at_its_frequency() -> None:
    for height, width in ((64, 64), (16, 24)):
        rings = spectra.fourier_rings(height, width)
        assert rings.number.sum() == height * width and rings.ring.max() == len(rings.number) - 1
        width_of_one = 1 / min(height, width)
        apart = np.abs(rings.frequency[rings.ring] - spectra.radius(height, width))
        assert apart.max() <= width_of_one / 2 + 1e-12
        assert rings.frequency[0] == 0 and rings.number[0] == 1
        flat = spectra.azimuthal(np.full((3, height, width), 5.0), fourier=True)
        assert flat.shape == (3, len(rings.number)) and flat == pytest.approx(5)
    assert spectra.cosine_rings(64, 64).frequency[-1] == pytest.approx(0.5 * 2**0.5, abs=0.02)
    assert spectra.fourier_rings(64, 64).frequency[-1] == pytest.approx(0.5 * 2**0.5, abs=0.02)


def test_intervals_and_differences_are_those_of_students_and_welch() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(400):
        _, low, high = spectra.mean_interval(rng.normal(2, 3, (7, 5)))
        inside.append((low <= 2) & (high >= 2))
    assert 0.93 < np.mean(inside) < 0.97
    mean, low, high = spectra.mean_interval(np.ones((1, 3)))
    assert (mean == 1).all() and np.isnan([low, high]).all()
    found = spectra.differ(rng.normal(0, 1, (200, 60)), rng.normal(0, 2, (100, 60)))
    assert 0.0 <= found.share() < 0.2 and (found.n, found.n_base) == (200, 100)
    shifted = spectra.differ(rng.normal(1, 1, (200, 60)), rng.normal(0, 2, (100, 60)))
    assert shifted.share() > 0.9 and (shifted.low < 1).mean() > 0.8


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: spectra.power(np.zeros((4, 4))), r"of shape \(4, 4\): expected .* of at least 8 x 8"),
        (lambda: spectra.power(np.full((8, 8), np.nan)), "64 values of the planes are not finite"),
        (lambda: spectra.differ(np.zeros((1, 3)), np.zeros((5, 3))), "1 and 5 pictures: expected two"),
    ],
)
def test_what_has_no_spectrum_is_said(call, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=told):
        call()
