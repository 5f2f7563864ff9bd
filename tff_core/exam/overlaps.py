"""How alike two explanations are: heatmaps of a picture, and the top-k of omega over the same pictures.

Both are told beside what chance gives. Two heatmaps are alike even where they explain different pictures,
since networks look at some places of all pictures; two top-k share maps even if each draws its own at random
in the layers that it prefers. 1 is an explanation that has not changed, chance one that has nothing left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tff_core import lrp, metrics
from tff_core.features import pixels

Floats = NDArray[np.float64]


def cosine(one: ArrayLike, other: ArrayLike) -> Floats:
    """The cosine of the angle between two heatmaps of each picture, (N,), from (N, H, W) of both.

    In [0, 1] for maps without negative values; missing where one is zero throughout, or not finite.
    ValueError where shapes differ.
    """
    a, b = (np.asarray(maps, dtype=np.float64) for maps in (one, other))
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"heatmaps of shape {a.shape} and {b.shape}: expected (N, H, W) of both")
    a, b = (maps.reshape(len(maps), -1) for maps in (a, b))
    sound = (np.isfinite(a).all(1) & np.isfinite(b).all(1)).reshape(-1, 1)
    a, b = (np.where(sound, maps, 0.0) for maps in (a, b))
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(1), scale, out=np.full(len(a), np.nan), where=scale > 0)


def rank(one: ArrayLike, other: ArrayLike) -> Floats:
    """Spearman's correlation of two heatmaps of each picture, (N,), as `pixels.likeness`.

    Missing where one is constant, or not finite. ValueError where shapes differ.
    """
    a, b = (np.asarray(maps, dtype=np.float64) for maps in (one, other))
    found = pixels.likeness(np.nan_to_num(a), np.nan_to_num(b))
    sound = np.isfinite(a).all((1, 2)) & np.isfinite(b).all((1, 2))
    return np.where(sound, found, np.nan)


@dataclass(frozen=True)
class Overlap:
    """The share of the top ``k`` that two omegas have in common, and what chance gives.

    ``value`` and ``chance`` are of all pictures; ``drawn`` and ``drawn_chance`` (B,) of each bootstrap
    resample of the pictures. Missing where there is no picture.
    """

    value: float
    chance: float
    drawn: Floats
    drawn_chance: Floats


def layers_of(net: lrp.Net) -> NDArray[np.int64]:
    """Where each layer begins among the maps of a network, as in `rankings.feature_maps`."""
    return np.cumsum([0, *net.layers.values()])[:-1]


def omega(
    before: ArrayLike,
    after: ArrayLike,
    k: int,
    begins: ArrayLike,
    resamples: int = 200,
    seed: int = 0,
) -> Overlap:
    """How many of the top ``k`` of omega are those of another omega of the same pictures.

    Args:
        before, after: shares of every map in each picture, (N, M), as from `rankings.shares`; omega is their
            mean over pictures. Rows that are not finite in one of them are left out.
        k: how many maps count as top.
        begins: where each layer begins among the maps, see `layers_of`.
        resamples: of the pictures, the same for both.

    Chance is the expected share where each omega drew its maps at random within every layer, as many as it
    has in it. ValueError where shapes differ or k does not fit.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (before, after))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"shares of shape {a.shape} and {b.shape}: expected (pictures, maps) of both")
    if not 0 < k <= a.shape[1]:
        raise ValueError(f"k is {k}: expected 1 to {a.shape[1]}, the number of feature maps")
    sound = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    a, b = a[sound], b[sound]
    if not len(a):
        nothing = np.full(resamples, np.nan)
        return Overlap(float("nan"), float("nan"), nothing, nothing)
    weights = np.vstack([np.ones(len(a)), metrics.resamples(len(a), resamples, seed)])
    starts = np.asarray(begins)
    channels = np.diff([*starts, a.shape[1]])
    values, chances = [], []
    for some in np.array_split(weights, max(1, len(weights) // 32)):  # few at a time: there are many maps
        one, other = (metrics.largest(some @ shares, k) for shares in (a, b))
        values.append((one & other).sum(1) / k)
        counts = [np.add.reduceat(top, starts, axis=1, dtype=np.int64) for top in (one, other)]
        chances.append((counts[0] * counts[1] / channels).sum(1) / k)
    value, chance = np.concatenate(values), np.concatenate(chances)
    return Overlap(float(value[0]), float(chance[0]), value[1:], chance[1:])
