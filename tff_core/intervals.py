"""Intervals for numbers measured on few training seeds and on pictures: wide enough for both.

A number of a detector varies for two reasons: other pictures would give another number, and so would a
detector trained from another seed. Over the pictures the bootstrap says how much. Over three seeds it
cannot: resampled, three numbers spread only about sqrt(2/3) as widely as they should, and normal quantiles
are too small for them. So the two sources are separated. With m the mean over S seeds,

    var(m) = C + B,

where C is the effect of the pictures on all seeds alike (the mean covariance of two seeds over resampled
pictures, at least 0), and B what differs from seed to seed: the training, and the pictures' effect on a
single seed. The variance of the seeds' numbers divided by S estimates B, on S - 1 degrees of freedom. It
cannot be less than the part of it due to pictures, E, which the bootstrap estimates well. The half width of
the interval is, with the quantiles t (of S - 1 degrees of freedom) and z (normal),

    h^2 = z^2 C + max(z^2 E, t^2 B).

Sources: W. G. Howe, Approximate confidence limits on the mean of X + Y where X and Y are two tabled
independent random variables, JASA 69 (1974) 789-794 (adding squared half widths); F. E. Satterthwaite, An
approximate distribution of estimates of variance components, Biometrics Bulletin 2 (1946) 110-114,
undercovers here, because its degrees of freedom are themselves estimated from three seeds. The coverage of
these intervals is simulated in benchmarks/coverage.py.

One seed alone says nothing about another: then the interval covers pictures only, and says so.

Shares of pictures have Wilson's interval, and the difference of two shares of the same pictures that of D. G.
Bonett and R. M. Price, Adjusted Wald confidence interval for a difference of binomial proportions based on
paired data, Journal of Educational and Behavioral Statistics 37 (2012) 479-488.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from tff_core import metrics

PICTURES_ONLY = "pictures only"
"""What the interval of a single training seed covers."""
SHARE, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)
"""Bounds of a share (or an AP), and of a difference of two."""
Bounds = tuple[float, float]
Floats = NDArray[np.float64]


class Pooled(NamedTuple):
    """A mean over training seeds with the ends of its interval, and the number of seeds."""

    value: float
    low: float
    high: float
    seeds: int

    @property
    def covers(self) -> str:
        """What the interval covers, in words."""
        return covers(self.seeds)

    def columns(self, value: str, low: str = "low", high: str = "high") -> dict[str, float | int | str]:
        """The columns of a result table, under its names for the three numbers."""
        return {value: self.value, low: self.low, high: self.high, "seeds": self.seeds, "covers": self.covers}


def covers(seeds: int) -> str:
    """What an interval over this many seeds covers: "seeds and pictures" or "pictures only"; "" for none."""
    return "seeds and pictures" if seeds > 1 else PICTURES_ONLY if seeds else ""


def half_width(points: ArrayLike, covariance: ArrayLike, level: float = metrics.LEVEL) -> float:
    """Half the width of the interval of the mean of ``points`` (S,), one for each of S > 1 training seeds.

    ``covariance`` (S, S): of the numbers, over pictures alone (and whatever else is resampled within a seed).
    Source: see the module.
    """
    x, c = np.asarray(points, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    seeds = len(x)
    if seeds < 2 or c.shape != (seeds, seeds):
        raise ValueError(
            f"{x.shape} numbers and a covariance of {c.shape}: expected one number for each of two or more "
            "training seeds, and a row and a column for each"
        )
    own = float(np.trace(c)) / seeds**2
    common = max(0.0, (float(c.sum()) - float(np.trace(c))) / (seeds * (seeds - 1)))
    within = max(float(c.sum()) / seeds**2 - common, 0.0) if common else own
    between = float(x.var(ddof=1)) / seeds
    z, t = stats.norm.ppf((1 + level) / 2), stats.t.ppf((1 + level) / 2, seeds - 1)
    return float(np.sqrt(z**2 * common + max(z**2 * within, t**2 * between)))


def bounded(value: float, reach: float, bounds: Bounds | None = None) -> tuple[float, float]:
    """The ends ``reach`` below and above a value, kept within ``bounds``.

    For a share, or an AP, the interval is symmetric on the logit scale, with the width that the delta method
    gives (Boyd, Eng and Page, Area under the precision-recall curve: point estimates and confidence
    intervals, ECML PKDD 2013); a value of 0 or 1 has no logit, and the ends are clipped. For a difference
    the ends are clipped.
    """
    if bounds is None:
        return value - reach, value + reach
    low, high = bounds
    if bounds == SHARE and low < value < high:
        middle, far = special.logit(value), reach / (value * (1 - value))
        return float(special.expit(middle - far)), float(special.expit(middle + far))
    return max(low, value - reach), min(high, value + reach)


def over_seeds(
    points: ArrayLike,
    resampled: ArrayLike,
    bounds: Bounds | None = None,
    level: float = metrics.LEVEL,
    value: float | None = None,
) -> Pooled:
    """The mean over training seeds with its interval.

    Parameters
    ----------
    points: the number of every seed, (S,).
    resampled: the same in every bootstrap resample of the pictures, (B, S), the pictures of a row being the
        same for all seeds (or drawn apart, where seeds have their own). A resample without a number is NaN.
    bounds: the range of the number, such as `SHARE` or `DIFFERENCE`.
    value: the number itself, where it is not the mean of the points.

    For a single seed it is the percentile interval of its resamples, which covers pictures only. Raises
    ValueError where the shapes do not fit.
    """
    x, drawn = np.asarray(points, dtype=np.float64), np.asarray(resampled, dtype=np.float64)
    if x.ndim != 1 or not len(x) or drawn.ndim != 2 or drawn.shape[1] != len(x):
        raise ValueError(f"{x.shape} numbers, {drawn.shape} resampled ones: expected (S,) and (B, S)")
    middle = float(x.mean()) if value is None else value
    if len(x) == 1:
        known = drawn[np.isfinite(drawn)]
        if not len(known):
            return Pooled(middle, np.nan, np.nan, 1)
        return Pooled(*metrics.around(middle, known, level), 1)
    return Pooled(middle, *bounded(middle, half_width(x, covariance(drawn), level), bounds), len(x))


def covariance(resampled: Floats) -> Floats:
    """The covariance of the columns of resampled numbers (B, S), each pair where both are there."""
    there = np.isfinite(resampled)
    count = there.sum(0)
    mean = np.where(there, resampled, 0).sum(0) / np.maximum(count, 1)
    apart = np.where(there, resampled - mean, 0)
    pairs = there.T.astype(np.float64) @ there
    return apart.T @ apart / np.maximum(pairs - 1, 1)


def ap_interval_over_seeds(
    labels: ArrayLike,
    scores: ArrayLike,
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> Pooled:
    """Mean average precision over training seeds, with its interval.

    scores (S, N): one row per training seed, on the same pictures; every resample draws the same pictures for
    all seeds.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    weights = metrics.picture_weights(labels, n, seed)
    drawn = np.stack([metrics.resampled_ap(labels, row, weights) for row in rows], axis=1)
    return over_seeds([metrics.average_precision(labels, row) for row in rows], drawn, SHARE, level)


def compare_ap(
    labels: ArrayLike,
    scores: Mapping[str, ArrayLike],
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """AP of everything that scores the same pictures, and how far each pair is apart.

    ``labels`` (N,), 1 fake and 0 real; ``scores`` by name: (S, N), a row for each training seed, the same
    number of them for all; or (S, N, C) for C scores of each picture, each with its picture's label and drawn
    with its picture. Rows ``name, ap, ap_low, ap_high, seeds, covers, n_real, n_fake``, in the order of
    ``scores``, and then "later - earlier" for each pair. The resamples hold the same pictures for all, and
    differences pair the seeds in their order.

    Raises ValueError where there are different numbers of seeds.
    """
    y = np.asarray(labels)
    rows = {name: np.atleast_2d(np.asarray(some, dtype=np.float64)) for name, some in scores.items()}
    if len({len(one) for one in rows.values()}) != 1:
        raise ValueError(
            f"{', '.join(f'{len(one)} seeds of {name}' for name, one in rows.items())}: expected the same "
            "number of each"
        )
    weights = metrics.picture_weights(y, n, seed)
    points, drawn = {}, {}
    for name, some in rows.items():
        each = some.shape[2] if some.ndim == 3 else 1
        label, drawings = (np.repeat(one, each, axis=0) for one in (y, weights))
        own = [row.ravel() for row in some]
        points[name] = np.array([metrics.average_precision(label, row) for row in own])
        drawn[name] = np.stack([metrics.resampled_ap(label, row, drawings) for row in own], 1)
    found = {name: over_seeds(points[name], drawn[name], SHARE, level) for name in rows}
    names = list(rows)
    for place, later in enumerate(names):
        for earlier in names[:place]:
            found[f"{later} - {earlier}"] = over_seeds(
                points[later] - points[earlier], drawn[later] - drawn[earlier], DIFFERENCE, level
            )
    counts = {"n_real": int((y == 0).sum()), "n_fake": int((y == 1).sum())}
    return pd.DataFrame(
        {"name": name} | one.columns("ap", "ap_low", "ap_high") | counts for name, one in found.items()
    )


# -------------------------------------------------------------------------------------------------- shares


def share(right: ArrayLike) -> dict[str, float]:
    """The share of true values of (n,) with its Wilson interval at 95 % and ``n``; NaN of nothing."""
    counted = np.asarray(right, dtype=bool)
    return share_of(int(counted.sum()), len(counted))


def share_of(k: int, n: int) -> dict[str, float]:
    """As `share`, of ``k`` among ``n``."""
    if not n:
        return {"share": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    ends = stats.binomtest(k, n).proportion_ci(method="wilson")
    return {"share": k / n, "low": float(ends.low), "high": float(ends.high), "n": n}


def paired(gained: int, lost: int, n: int, level: float = metrics.LEVEL) -> tuple[float, float]:
    """The interval of the difference of two shares among the same ``n`` pictures (Bonett and Price).

    ``gained`` pictures count in the second share alone, ``lost`` in the first. It has a width where none
    changed, too.

    >>> low, high = paired(0, 0, 98)
    >>> round(low, 3), round(high, 3)
    (-0.028, 0.028)
    """
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    reach = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return max(-1.0, up - down - reach), min(1.0, up - down + reach)
