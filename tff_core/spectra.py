"""Planes of frequencies: power spectra, rings of equal frequency, and what is left of a band.

Frequencies are in cycles per pixel, so that pictures of different sizes can be compared: 0.5 is the finest
pattern along an axis, the corner, the finest along both, has about 0.71.

Source: Durall, Keuper and Keuper, Watch your up-convolution, CVPR 2020 (means over rings).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, sparse, stats

from tff_core import metrics

Floats = NDArray[np.float64]
_FLOOR = 1e-9  # power of a plane without content, far below that of rounding to 8 bits (1e-6)


class Rings(NamedTuple):
    """Rings of equal frequency in a plane of coefficients (H, W).

    ``frequency`` (R,) in cycles per pixel, 0 to about 0.7 in the corner; ``number`` (R,) of coefficients;
    ``ring`` (H, W), the ring of each.
    """

    frequency: Floats
    number: NDArray[np.int64]
    ring: NDArray[np.int64]


def _rings(radius: Floats, width: float) -> Rings:
    places, index, number = np.unique(
        np.rint(radius / width).astype(int), return_inverse=True, return_counts=True
    )
    return Rings(places * width, number, index.reshape(radius.shape))


@lru_cache(maxsize=8)
def cosine_rings(height: int, width: int) -> Rings:
    """The rings of the cosine transform of pictures of this size, as wide as one coefficient of the shorter
    side: coefficient k of a side of n pixels has k / 2n cycles per pixel.
    """
    down, across = np.arange(height)[:, None] / (2 * height), np.arange(width)[None] / (2 * width)
    return _rings(np.hypot(down, across), 1 / (2 * min(height, width)))


@lru_cache(maxsize=8)
def fourier_rings(height: int, width: int) -> Rings:
    """The rings of the Fourier transform, as wide as one coefficient of the shorter side: 1 / n."""
    return _rings(radius(height, width), 1 / min(height, width))


def radius(height: int, width: int) -> Floats:
    """The frequency of each coefficient (H, W) of the Fourier transform, in cycles per pixel."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])


@lru_cache(maxsize=8)
def _averaging(height: int, width: int, fourier: bool) -> Any:
    """The matrix (R, H W) that takes a plane to the means of its rings."""
    _, number, ring = (fourier_rings if fourier else cosine_rings)(height, width)
    flat = ring.ravel()
    return sparse.csr_array((1 / number[flat], (flat, np.arange(flat.size))), (len(number), flat.size))


def azimuthal(planes: ArrayLike, fourier: bool = False) -> Floats:
    """Means over the rings of planes (..., H, W), cosine coefficients or Fourier's: profiles (..., R)."""
    x = np.asarray(planes, dtype=np.float64)
    found = _averaging(*x.shape[-2:], fourier) @ x.reshape(-1, x.shape[-2] * x.shape[-1]).T
    return found.T.reshape(*x.shape[:-2], -1)


def power(planes: ArrayLike) -> Floats:
    """The natural logarithm of the power spectra of planes (..., H, W), float64, the mean in the corner.

    The mean is taken off first, and a Hann window keeps the borders out, which would draw a cross. Power is
    divided by that of the window, so that white noise of variance 1 has a mean power of 1 at every
    frequency. ValueError for planes of less than 8 pixels a side, or with values that are not finite.
    """
    x = np.asarray(planes, dtype=np.float64)
    if x.ndim < 2 or min(x.shape[-2:]) < 8:
        raise ValueError(f"planes of shape {x.shape}: expected (..., H, W) of at least 8 x 8")
    if not np.isfinite(x).all():
        raise ValueError(f"{int((~np.isfinite(x)).sum())} values of the planes are not finite")
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in x.shape[-2:]))
    centred = x - (x * window).sum((-2, -1), keepdims=True) / window.sum()
    found = np.square(np.abs(fft.fft2(centred * window))) / np.square(window).sum()
    return np.log(found + _FLOOR)


def mean_interval(values: ArrayLike, level: float = metrics.LEVEL) -> tuple[Floats, Floats, Floats]:
    """The mean over the first axis of (N, ...), and the ends of Student's interval; missing for N < 2."""
    x = np.asarray(values, dtype=np.float64)
    mean = x.mean(0)
    if len(x) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    reach = stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(0, ddof=1) / np.sqrt(len(x))
    return mean, mean - reach, mean + reach


# ------------------------------------------------------------------------------------------- differences


@dataclass(frozen=True)
class Difference:
    """A family's mean less another's, for each coefficient or ring.

    ``value`` with its interval ``low`` to ``high`` at 95 %, Welch's statistic ``t``, its two-sided p-value
    ``p``, and ``q``, the false discovery rate at which it would be called different (Benjamini and Hochberg,
    1995): of thousands of coefficients one in twenty has p < 0.05 by chance. ``n`` and ``n_base`` pictures.
    """

    value: Floats
    low: Floats
    high: Floats
    t: Floats
    p: Floats
    q: Floats
    n: int
    n_base: int

    def share(self, rate: float = 0.05) -> float:
        """The share of coefficients (or rings) that are called different at this false discovery rate."""
        return float((self.q <= rate).mean())


def welch(
    mean: Floats, std: Floats, n: int, base: Floats, base_std: Floats, n_base: int,
    level: float = metrics.LEVEL,
) -> Difference:  # fmt: skip
    """The difference of two means from means, deviations (population) and numbers of pictures.

    Source: B. L. Welch, The generalization of Student's problem, Biometrika 34 (1947).
    """
    value = mean - base
    # deviations of the population, so that n - 1 makes variances of means of them
    a, b = std**2 / (n - 1), base_std**2 / (n_base - 1)
    error = np.sqrt(a + b)
    constant = error == 0  # in all pictures of both: then any difference is one
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(constant, np.sign(value) * np.where(value == 0, 0, np.inf), value / error)
        freedom = np.where(constant, 1.0, (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (n_base - 1)))
    t = np.where(np.isnan(t), 0.0, t)
    p = 2 * stats.t.sf(np.abs(t), freedom)
    reach = stats.t.ppf((1 + level) / 2, freedom) * error
    q = stats.false_discovery_control(p.ravel()).reshape(p.shape)
    return Difference(value, value - reach, value + reach, t, p, q, n, n_base)


def differ(one: ArrayLike, base: ArrayLike, level: float = metrics.LEVEL) -> Difference:
    """The same from the planes or profiles of the pictures, (N, ...) and (M, ...).

    ValueError where one of them has fewer than two pictures.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (one, base))
    if min(len(a), len(b)) < 2:
        raise ValueError(f"{len(a)} and {len(b)} pictures: expected two of each at least, to be compared")
    return welch(a.mean(0), a.std(0), len(a), b.mean(0), b.std(0), len(b), level)
