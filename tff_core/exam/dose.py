"""How strong must a trace be to be found? AP against the amplitude, and where it passes a level.

The pictures, the places and the detector stay the same; only the amplitude changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tff_core import intervals, metrics
from tff_core.exam.known import Known
from tff_core.exam.planting import Planted, resampled

DOSES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5)
"""Multiples of the amplitude that was trained on."""
LEVEL = 0.9
"""A trace counts as found from the amplitude on at which AP is at least this."""
Floats = NDArray[np.float64]


def scores(known: Known, pictures: Planted, doses: Sequence[float] = DOSES) -> tuple[Floats, Floats]:
    """Logits of the bare pictures, (N,), and of the same at every dose, (D, N)."""
    bare = known.logits(pictures.bare)
    return bare, np.stack([bare if not dose else known.logits(pictures.at(dose).marked) for dose in doses])


def curve(
    bare: ArrayLike,
    marked: ArrayLike,
    amplitudes: Sequence[float],
    threshold: float,
    n: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """AP at every amplitude: rows ``amplitude, ap, low, high, called, called_low, called_high, n``.

    ``bare`` (N,) and ``marked`` (D, N): logits as from `scores`. ``called`` is the share of marked pictures
    at or above the threshold. Intervals: 95 % bootstrap over scenes.
    """
    first, others = _checked(bare, marked, amplitudes)
    labels, weights = np.repeat([0, 1], len(first)), resampled(len(first), n, seed)
    drawn = metrics.resamples(len(first), n, seed) / len(first)
    rows = []
    for amplitude, values in zip(amplitudes, others, strict=True):
        both, called = np.concatenate([first, values]), values >= threshold
        ap = metrics.around(
            metrics.average_precision(labels, both), metrics.resampled_ap(labels, both, weights)
        )
        share = metrics.around(float(called.mean()), drawn @ called)
        rows.append(
            {
                "amplitude": amplitude, "ap": ap.value, "low": ap.low, "high": ap.high,
                "called": share.value, "called_low": share.low, "called_high": share.high, "n": len(first),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def crossing(amplitudes: ArrayLike, values: ArrayLike, level: float = LEVEL) -> Floats:
    """The amplitude from which on curves (B, D) stay at or above a level, (B,); infinite where there is none.

    Between two amplitudes a curve is a straight line. The first amplitude itself where all are above.
    """
    x, y = np.asarray(amplitudes, dtype=np.float64), np.atleast_2d(np.asarray(values, dtype=np.float64))
    if x.ndim != 1 or y.shape[1:] != x.shape or not len(x) or (np.diff(x) <= 0).any():
        raise ValueError(f"{x.shape} amplitudes, values {y.shape}: expected ascending ones, a value for each")
    below = y < level
    last = np.where(below.any(1), len(x) - 1 - below[:, ::-1].argmax(1), -1)  # the last one below the level
    out = np.full(len(y), x[0])
    out[last == len(x) - 1] = np.inf
    inner = np.flatnonzero((last >= 0) & (last < len(x) - 1))
    i = last[inner]
    share = (level - y[inner, i]) / (y[inner, i + 1] - y[inner, i])
    out[inner] = x[i] + share * (x[i + 1] - x[i])
    return out


def limit(
    by_seed: Mapping[int, tuple[ArrayLike, ArrayLike]],
    amplitudes: Sequence[float],
    level: float = LEVEL,
    n: int = metrics.RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """The detection limit: the amplitude from which on AP is at least ``level``, over training seeds.

    ``by_seed``: logits as from `scores`, of the same pictures. Keys ``limit, low, high, seeds, covers, n``;
    the mean over seeds with the interval of `tff_core.intervals`, from a bootstrap over scenes. A limit
    beyond the largest amplitude is infinite, and so is the upper end where that cannot be excluded.
    """
    if not by_seed:
        raise ValueError("no detector: expected the scores of one training seed at least")
    checked = [_checked(bare, marked, amplitudes) for bare, marked in by_seed.values()]
    size = {len(bare) for bare, _ in checked}
    if len(size) > 1:
        raise ValueError(f"scores of {sorted(size)} pictures: expected the same pictures of every seed")
    scenes = size.pop()
    labels, weights = np.repeat([0, 1], scenes), resampled(scenes, n, seed)
    points, drawn = [], []
    for bare, marked in checked:
        both = [np.concatenate([bare, values]) for values in marked]
        points.append(crossing(amplitudes, [[metrics.average_precision(labels, s) for s in both]], level)[0])
        curves = np.stack([metrics.resampled_ap(labels, s, weights) for s in both], axis=1)
        drawn.append(crossing(amplitudes, curves, level))
    found = {"seeds": len(points), "covers": intervals.covers(len(points)), "n": scenes}
    tail = (1 - metrics.LEVEL) / 2
    if len(points) == 1 or not np.isfinite(points).all():
        # of several seeds the lowest and the highest end, where a mean says nothing
        low = min(float(np.quantile(d, tail, method="lower")) for d in drawn)
        high = max(float(np.quantile(d, 1 - tail, method="higher")) for d in drawn)
        value = float(np.mean(points))
        return {"limit": value, "low": min(low, value), "high": max(high, value), **found}
    finite = np.where(np.isfinite(drawn), drawn, np.nan).T
    pooled = intervals.over_seeds(points, finite, (0.0, np.inf))
    lost = float(np.isinf(drawn).any(0).mean())
    high = np.inf if lost > tail else pooled.high
    return {"limit": pooled.value, "low": pooled.low, "high": high, **found}


def _checked(bare: ArrayLike, marked: ArrayLike, amplitudes: Sequence[float]) -> tuple[Floats, Floats]:
    first, others = np.asarray(bare, dtype=np.float64), np.asarray(marked, dtype=np.float64)
    if others.shape != (len(amplitudes), *first.shape) or first.ndim != 1 or not len(first):
        raise ValueError(
            f"logits {first.shape} of bare pictures, {others.shape} of marked ones for {len(amplitudes)} "
            "amplitudes: expected (N,) and (D, N)"
        )
    return first, others
