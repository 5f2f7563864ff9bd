"""Colour ablation: how much of a detector's fake probability remains when its pictures turn gray.

Source: paper, section 6.1 (box plots of fakes in colour and in gray). Reals and intervals are additions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tff_core import intervals, metrics

LEAST = 0.2
"""Pictures count in the paper's box plots if the whole picture's own label gets at least this probability."""

Floats = NDArray[np.float64]


def drop_of_median(
    before: ArrayLike,
    after: ArrayLike,
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> intervals.Pooled:
    """Median before minus median after, with a bootstrap interval over the pictures.

    ``before`` and ``after`` (N,) belong to the same pictures, so every resample draws both values of a
    picture. With one row per detector seed, (S, N), it is the mean of the seeds' drops, with an interval over
    seeds too, see `tff_core.intervals`. A picture that does not count is NaN in both; it may count for one
    seed and not for another, and a seed for which none counts is left out.

    Raises ValueError where the two differ in shape, or no picture counts.
    """
    x = np.atleast_2d(np.asarray(before, dtype=np.float64))
    y = np.atleast_2d(np.asarray(after, dtype=np.float64))
    if x.shape != y.shape or x.ndim != 2 or (np.isnan(x) != np.isnan(y)).any():
        raise ValueError(
            f"values of shape {x.shape} before and {y.shape} after: expected both values of every picture"
        )
    rows = ~np.isnan(x).all(axis=1)
    if not rows.any():
        raise ValueError("no picture counts: expected at least one value before and after")
    x, y = x[rows], y[rows]
    drops = _median(x) - _median(y)
    drawn = np.random.default_rng(seed).integers(x.shape[1], size=(n, x.shape[1]))
    values = np.stack([_median(a[drawn]) - _median(b[drawn]) for a, b in zip(x, y, strict=True)], axis=1)
    # NaN: a resample may hold none of the few pictures that count
    return intervals.over_seeds(drops, values, intervals.DIFFERENCE, level)


def average(
    values: ArrayLike, n: int = metrics.RESAMPLES, level: float = metrics.LEVEL, seed: int = 0
) -> intervals.Pooled:
    """Mean of one value per picture, (N,) or (S, N) with one row per detector seed, with its interval.

    A bootstrap over pictures, the same for all seeds of a resample; over seeds see `tff_core.intervals`. The
    mean of calls (true or false) is a share, and so are the ends. Raises ValueError where there is no value.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"values of shape {rows.shape}: expected one for every picture, (N,) or (S, N)")
    bounds = intervals.SHARE if np.asarray(values).dtype == bool else None
    return intervals.over_seeds(rows.mean(1), metrics.resampled_means(rows.T, n, seed), bounds, level)


def _median(values: Floats) -> Floats:
    """Median of every row, ignoring NaN: like ``np.nanmedian``, but a hundred times faster on short rows."""
    ordered = np.sort(values, axis=1)  # NaN sorts last
    count = (~np.isnan(ordered)).sum(1)
    row = np.arange(len(ordered))
    last = np.maximum(count - 1, 0)
    return (ordered[row, last // 2] + ordered[row, (last + 1) // 2]) / 2


def ablation(
    color: ArrayLike,
    gray: ArrayLike,
    labels: ArrayLike,
    threshold: ArrayLike = 0.5,
    least: float = LEAST,
    n: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Fake probability in colour against gray, for fakes and for reals.

    Parameters
    ----------
    color, gray: probability of being fake of the same pictures in colour and in gray, in [0, 1]: (N,), or
        (S, N) with one row per detector seed, which are pooled.
    labels: (N,), 1 fake and 0 real.
    threshold: probability at or above which a picture is called fake; one, or one per seed.
    least: the paper's filter: the coloured picture's own label has at least this probability.
    n, seed: bootstrap resamples, and their seed.

    Returns
    -------
    One row per label ("fake", "real"), filter ("all", "p >= 0.2") and input ("color", "gray"): ``n``
    probabilities, their ``q1, median, q3``, the whiskers ``fence_low, fence_high`` (the farthest one within
    1.5 interquartile ranges), ``called_fake`` (share), and on both rows of a pair ``drop, low, high, seeds,
    covers``: median in colour minus median in gray as in `drop_of_median`. Where no picture passes the
    filter, ``n`` is 0 and the numbers are missing.

    Source: paper, section 6.1 (box plots of fakes with p >= 0.2).
    """
    p = {k: np.atleast_2d(np.asarray(v, dtype=np.float64)) for k, v in (("color", color), ("gray", gray))}
    y = np.asarray(labels)
    if p["color"].shape != p["gray"].shape or y.shape != p["color"].shape[1:]:
        raise ValueError(
            f"{p['color'].shape} probabilities in colour, {p['gray'].shape} in gray, {y.shape} labels: "
            "expected one of each for every picture"
        )
    if not all(((v >= 0) & (v <= 1)).all() for v in p.values()):
        raise ValueError("some probabilities are not in [0, 1]: expected sigmoids of finite logits")
    cut = np.broadcast_to(np.asarray(threshold, dtype=np.float64).reshape(-1, 1), p["color"].shape)
    rows: list[dict[str, Any]] = []
    for label, name in ((1, "fake"), (0, "real")):
        own = p["color"] if label else 1 - p["color"]
        for which, kept in (
            ("all", np.broadcast_to(y == label, own.shape)),
            (f"p >= {least:g}", (y == label) & (own >= least)),
        ):
            drop = intervals.Pooled(np.nan, np.nan, np.nan, 0)
            if kept.any():
                before, after = (np.where(kept, v, np.nan) for v in p.values())
                drop = drop_of_median(before, after, n, seed=seed)
            rows += [
                {"label": name, "filter": which, "input": kind, "n": int(kept.sum())}
                | _box(v[kept], v[kept] >= cut[kept])
                | drop.columns("drop")
                for kind, v in p.items()
            ]
    return pd.DataFrame(rows)


def by_seed(
    color: ArrayLike, gray: ArrayLike, labels: ArrayLike, thresholds: Mapping[int, float]
) -> pd.DataFrame:
    """`ablation` of every detector seed, and of all together, with a column ``seed`` ("0", ..., "all").

    ``color`` and ``gray`` are (S, N), a row per seed in the order of ``thresholds``, which maps a seed to the
    probability at or above which it calls a picture fake.
    """
    p, q = np.atleast_2d(color), np.atleast_2d(gray)
    if len(p) != len(thresholds):
        raise ValueError(
            f"{len(p)} rows of probabilities for {len(thresholds)} detector seeds: expected one each"
        )
    tables = [
        ablation(p[row], q[row], labels, cut).assign(seed=str(seed))
        for row, (seed, cut) in enumerate(thresholds.items())
    ]
    pooled = ablation(p, q, labels, list(thresholds.values())).assign(seed="all")
    return pd.concat([*tables, pooled], ignore_index=True)


def _box(values: Floats, called: NDArray[np.bool_]) -> dict[str, float]:
    names = ("q1", "median", "q3", "fence_low", "fence_high", "called_fake")
    if not len(values):
        return dict.fromkeys(names, np.nan)
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    found = (q1, median, q3, inside.min(), inside.max(), called.mean())
    return dict(zip(names, map(float, found), strict=True))
