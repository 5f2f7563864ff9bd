"""Means over training seeds with intervals, of numbers of each picture and of all pictures together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tff_core import intervals, metrics

Floats = NDArray[np.float64]
Numbers = dict[str, float | int | str]
NUMBERS = ["value", "low", "high", "seeds", "covers", "n"]
"""The columns that the functions of this module fill."""


def over_pictures(
    values: ArrayLike, bounds: intervals.Bounds | None = None, resamples: int = 1000, seed: int = 0
) -> Numbers:
    """The mean of a number of each picture, (S, N), a row for each seed; NaN where a picture has none.

    Pictures are drawn anew, the same ones for all seeds; n is the number of pictures with a value in any
    seed. Without a value everything is missing, and n is 0. ValueError where there is no seed or picture.
    """
    every = np.asarray(values, dtype=np.float64)
    if every.ndim != 2 or not every.size:
        raise ValueError(f"values of shape {every.shape}: expected (seeds, pictures), at least one of each")
    there = np.isfinite(every)
    weights = np.vstack([np.ones(every.shape[1]), metrics.resamples(every.shape[1], resamples, seed)])
    sums, counts = weights @ np.where(there, every, 0.0).T, weights @ there.T.astype(np.float64)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return over_seeds(means[0], means[1:], int(there.any(0).sum()), bounds)


def over_seeds(
    points: ArrayLike, drawn: ArrayLike, n: int, bounds: intervals.Bounds | None = None
) -> Numbers:
    """The mean of a number of each seed, (S,), with its resamples over n pictures, (B, S)."""
    own, again = np.asarray(points, dtype=np.float64), np.asarray(drawn, dtype=np.float64)
    known = np.isfinite(own)
    if not known.any():
        return intervals.Pooled(np.nan, np.nan, np.nan, 0).columns("value") | {"n": 0}
    found = intervals.over_seeds(own[known], again[:, known], bounds)
    if found.seeds == 1 and bounds is not None:
        found = found._replace(low=max(found.low, bounds[0]), high=min(found.high, bounds[1]))
    return found.columns("value") | {"n": n}
