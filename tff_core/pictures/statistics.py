"""Statistics of pictures: one number per picture each, to compare sets of pictures without a network.

All of them are computed from luma (Y) and the two colour differences (Cb, Cr) on a scale where white is 1.
Frequencies are in cycles per pixel, so that pictures of different sizes can be compared. A constant plane has
neither a spectrum nor differences: its slope, ratios and correlation are 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tff_core.pictures.data import LUMA

Array = NDArray[np.floating[Any]]

PLANES = ("Y", "Cb", "Cr")
LOWEST, HIGHEST = (0.04, 0.12), (0.38, 0.5)  # frequency bands that `bands` compares
_TINY = 1e-5  # added to mean differences: far below one step of 8 bits


def measure(pixels: NDArray[np.uint8]) -> dict[str, Array]:
    """Every statistic of this module, by name: one value per picture of (N, H, W, 3).

    ValueError for anything but 8-bit colour pictures of at least 16 x 16 pixels.
    """
    each = zip(PLANES, np.moveaxis(planes(pixels), 3, 0), strict=True)
    found = details(pixels)
    for name, plane in each:
        slope, high_to_low = spectrum(plane)
        found |= {f"slope {name}": slope, f"high to low {name}": high_to_low}
        found |= {f"pair across {name}": pair(plane), f"pair down {name}": pair(plane.swapaxes(1, 2))}
    found["correlation Y Cr"] = correlation(pixels)
    return found


def planes(pixels: NDArray[np.uint8]) -> Array:
    """Y, Cb and Cr (N, H, W, 3) of pictures (N, H, W, 3), Cb and Cr around 0. ValueError as in `measure`."""
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[1:3]) < 16:
        raise ValueError(
            "statistics are those of pictures (N, H, W, 3) of type uint8, at least 16 x 16 pixels: "
            f"found {pixels.shape} of type {pixels.dtype}"
        )
    image = pixels / 255  # in double precision the chroma of gray is nothing beside that of a step of 8 bits
    luma = image @ np.array(LUMA)
    return np.stack([luma, 0.564 * (image[..., 2] - luma), 0.713 * (image[..., 0] - luma)], 3)


def details(pixels: NDArray[np.uint8]) -> dict[str, Array]:
    """How much fine structure and colour pictures (N, H, W, 3) have.

    ``luma detail`` and ``chroma detail``: root mean square difference of a pixel from the mean of its four
    neighbours, in luma and in the two chroma channels; ``chroma to luma`` their ratio; ``saturation`` the
    mean distance between the largest and the smallest colour channel.
    """
    fine = planes(pixels)
    inner = fine[:, 1:-1, 1:-1]
    around = fine[:, :-2, 1:-1] + fine[:, 2:, 1:-1] + fine[:, 1:-1, :-2] + fine[:, 1:-1, 2:]
    power = np.square(inner - around / 4).mean((1, 2))
    luma, chroma = np.sqrt(power[:, 0]), np.sqrt(power[:, 1:].sum(1))
    return {
        "luma detail": luma,
        "chroma detail": chroma,
        "chroma to luma": chroma / (luma + 1e-4),
        "saturation": np.ptp(pixels, axis=3).mean((1, 2)) / 255,
    }


def spectrum(plane: Array) -> tuple[Array, Array]:
    """Slope of the power spectrum of planes (N, H, W), and its highest over its lowest band; each (N,).

    The slope is that of log power over log frequency, fitted to the means of rings of one cycle per picture,
    from the lowest band's lower bound to half a cycle per pixel: -2 for the 1/f amplitude that natural scenes
    have (Field, 1987). The ratio of the bands is a natural logarithm. A Hann window keeps the borders out.
    """
    height, width = plane.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width))
    centred = plane - (plane * window).sum((1, 2), keepdims=True) / window.sum()
    power = np.square(np.abs(fft.fft2(centred * window))) / np.square(window).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    shortest = min(height, width)
    rings = np.rint(radius * shortest).astype(int)
    chosen = np.arange(max(2, int(LOWEST[0] * shortest)), shortest // 2 + 1)
    floor = 1e-9  # power of a plane without content, far below that of rounding to 8 bits (1e-6)
    means = np.stack([power[:, rings == ring].mean(1) for ring in chosen], 1)
    x = np.log(chosen / shortest)
    x -= x.mean()
    slope = np.log(means + floor) @ x / (x @ x)
    low, high = (power[:, (radius >= a) & (radius <= b)].mean(1) for a, b in (LOWEST, HIGHEST))
    return slope, np.log((high + floor) / (low + floor))


def pair(plane: Array) -> Array:
    """Log ratio of the differences between neighbours at even and at odd columns of planes (N, H, W); (N,).

    Negative where the columns 2k and 2k + 1 are alike, as after doubling a plane that starts in the corner.
    Swap the axes for the rows.
    """
    size = np.abs(np.diff(plane, axis=2)).mean(1)
    pairs = size.shape[1] // 2 * 2
    return np.log((size[:, 0:pairs:2].mean(1) + _TINY) / (size[:, 1:pairs:2].mean(1) + _TINY))


def correlation(pixels: NDArray[np.uint8]) -> Array:
    """Correlation of the horizontal differences in Y with those in Cr of pictures (N, H, W, 3); (N,)."""
    across = np.diff(planes(pixels)[..., [0, 2]], axis=2)
    across -= across.mean((1, 2), keepdims=True)
    spread = np.sqrt(np.square(across).mean((1, 2)))
    return (across[..., 0] * across[..., 1]).mean((1, 2)) / (spread.prod(1) + _TINY**2)
