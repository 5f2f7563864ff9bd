"""New sources among rejected pictures: groups of pictures alike to the network's own modules.

Pictures that `openset` rejects come from sources that the network does not know, maybe from several. The
modules see traces all the same, so pictures of one source have like features. They are grouped by Ward's
method, and how many groups there are is told by the gap statistic: no labels are needed, and one group is a
possible answer.

Sources: J. H. Ward, JASA 58 (1963); Tibshirani, Walther and Hastie, Estimating the number of clusters in a
data set via the gap statistic, JRSS B 63 (2001); agreement: Hubert and Arabie, Comparing partitions, Journal
of Classification 2 (1985).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.cluster import hierarchy
from torch import Tensor, nn
from tqdm import tqdm

from tff_core import intervals, metrics
from tff_core.attribution import answers, inputs
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.networks import Attributor
from tff_core.attribution.sources import levels
from tff_core.pictures import data
from tff_core.store import memory

Floats = NDArray[np.float64]
MOST = 10_000
"""Pictures that can be grouped at once: memory grows with their square, 400 MB for these."""
BANDS = 4  # of spectra, along each axis
_VARIANCE, _COMPONENTS = 0.95, 20  # which principal components are kept
_BOUNDS = (-0.5, 1.0)  # of the adjusted Rand index


@torch.inference_mode()
def features(
    net: Attributor,
    paths: Sequence[Path],
    statistics: Statistics | None = None,
    *,
    fit: str = "none",
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    progress: bool = False,
) -> Floats:
    """What the last layers of the primary and of every secondary module see in each picture, (n, F).

    The means of their 32 maps; of spectra, whose places differ, over 4 x 4 bands of frequencies each.
    The network must be in evaluation mode. Settings and errors as `answers.attribute`, but a picture that
    cannot be judged is an error, too (PictureError).
    """
    answers.check(net, statistics, fit=fit)
    pool = nn.AdaptiveAvgPool2d(1 if net.kind == "pixel" else BANDS)
    tasks = [net.task(source) for source in (None, *range(net.sources))]
    found: Floats | None = None
    parts = memory.Parts()

    def of(pixels: Tensor) -> Tensor:
        maps = tasks[0].before(inputs.seen(pixels, statistics).to(device))
        return torch.cat([pool(task.after(maps)).flatten(1) for task in tasks], 1).double().cpu()

    with tqdm(total=len(paths), desc="features", unit="picture", disable=not progress) as bar:
        for members, pixels in data.stream(paths, batch_size):
            try:
                shown = answers.fitted(pixels, net.size, fit)
            except data.PictureError as error:
                raise data.PictureError(f"{paths[members[0]]}: {error}") from error
            values = parts.cat(of, shown).numpy()
            if found is None:
                found = np.empty((len(paths), values.shape[1]))
            found[members] = values
            bar.update(len(members))
    if found is None:
        raise ValueError("no pictures: expected some to see")
    return found


@dataclass(frozen=True)
class Groups:
    """Groups of pictures: ``group`` (n,), from 0, the largest first; ``gaps`` says why there are so many.

    ``gaps`` has a row for each number of groups that was considered: ``groups, gap, deviation``. The number
    is the smallest whose gap reaches that of the next one less its deviation.
    """

    group: NDArray[np.int64]
    gaps: pd.DataFrame

    @property
    def count(self) -> int:
        return int(self.group.max()) + 1


def cluster(
    features: ArrayLike,
    reference: ArrayLike | None = None,
    *,
    largest: int = 20,
    draws: int = 20,
    seed: int = 0,
) -> Groups:
    """Group pictures by their features (n, F), without labels.

    Args:
        reference: features (m, F) of pictures of known sources, by whose means and deviations they are
            standardised; default their own.
        largest: the largest number of groups that is considered.
        draws: of as many points without groups, to which the gap statistic compares.

    Principal components of 95 % of the variance, at most 20, are grouped. The points without groups are
    uniform in the box that holds these. ValueError for fewer than 3 or more than `MOST` pictures, and for
    features that are not finite.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not 3 <= len(x) <= MOST:
        raise ValueError(
            f"features of shape {x.shape}: expected (n, F) of 3 to {MOST} pictures; of more take a sample"
        )
    base = x if reference is None else np.asarray(reference, dtype=np.float64)
    if base.ndim != 2 or base.shape[1:] != x.shape[1:] or not len(base):
        raise ValueError(f"reference of shape {base.shape}: expected (m, {x.shape[1]}), as many features")
    if not (np.isfinite(x).all() and np.isfinite(base).all()):
        raise ValueError("features are not finite: expected those of a network with sound weights")
    if largest < 1 or draws < 2:
        raise ValueError(f"{largest} groups and {draws} draws: expected at least 1 and 2")
    deviation = base.std(0)
    points = _principal((x - base.mean(0)) / np.where(deviation > 0, deviation, 1.0))
    most = min(largest + 1, len(x) - 1)  # the rule looks one further
    tree = hierarchy.linkage(points, "ward")
    rng = np.random.default_rng(seed)
    low, high = points.min(0), points.max(0)
    # log dispersion of groups that are none
    none = np.stack(
        [
            _dispersion(hierarchy.linkage(rng.uniform(low, high, points.shape), "ward"), most)
            for _ in range(draws)
        ]
    )
    gap = none.mean(0) - _dispersion(tree, most)
    spread = none.std(0) * math.sqrt(1 + 1 / draws)
    enough = np.flatnonzero(gap[:-1] >= gap[1:] - spread[1:])
    count = int(enough[0]) + 1 if len(enough) else min(largest, most)
    own = hierarchy.fcluster(tree, count, "maxclust") - 1
    # those of one size in the order of their first picture
    first = np.unique(own, return_index=True)[1]
    order = np.lexsort((first, -np.bincount(own)))
    rank = np.argsort(order)
    table = {"groups": np.arange(1, most + 1), "gap": gap, "deviation": spread}
    return Groups(rank[own].astype(np.int64), pd.DataFrame(table))


def _principal(x: Floats) -> Floats:
    """Coordinates along the principal components that are kept; at least one."""
    centred = x - x.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    power = np.cumsum(s**2)
    kept = 1
    if power[-1] > 0:
        kept = min(int(np.searchsorted(power, _VARIANCE * power[-1])) + 1, _COMPONENTS)
    return u[:, :kept] * s[:kept]


def _dispersion(tree: Floats, most: int) -> Floats:
    """The logarithm of the sum of squares within 1, 2, ... ``most`` groups of a Ward tree."""
    # a merge at height d adds d^2 / 2 to the sum of squares within
    within = np.concatenate([[0.0], np.cumsum(tree[:, 2] ** 2 / 2)])[::-1][:most]
    return np.log(np.maximum(within, np.finfo(np.float64).tiny))


def agreement(
    groups: Sequence[int] | NDArray[np.int64],
    truth: Sequence[str],
    by: Mapping[str, Mapping[str, str] | None],
) -> pd.DataFrame:
    """How well groups agree with sources, at several levels: the adjusted Rand index, 1 for equal partitions.

    Args:
        groups: of each picture, (n,). truth: its source's name.
        by: levels by name, each from a source's name to what counts as one source (None: the source itself),
            such as ``{"seed": None, "family": {...}, "upsampling": {...}}``.

    Returns a row for each level: ``level, ari, low, high, n, sources, groups``. 0 is what chance gives. The
    interval is over pictures, given the groups, by the jackknife; partitions that are the same have none.
    ValueError where a source has no level, and where numbers differ.
    """
    group = np.asarray(groups)
    if len(group) != len(truth) or len(group) < 2:
        raise ValueError(
            f"{len(group)} groups for {len(truth)} pictures: expected one for each of two or more"
        )
    rows = []
    for name, level in by.items():
        of = levels(truth, level)
        counts = pd.crosstab(np.array([of[source] for source in truth], dtype=object), group).to_numpy()
        value, reach = _jackknifed(counts)
        low, high = intervals.bounded(value, reach, _BOUNDS)
        rows.append(
            {
                "level": name, "ari": value, "low": low, "high": high, "n": len(group),
                "sources": counts.shape[0], "groups": counts.shape[1],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _jackknifed(counts: NDArray[np.int64]) -> tuple[float, float]:
    """The adjusted Rand index of a table (sources, groups), and half its interval."""
    n = int(counts.sum())
    places = np.argwhere(counts)
    without = np.empty(len(places))
    for i, (row, column) in enumerate(places):  # pictures of one cell leave the same table behind
        fewer = counts.copy()
        fewer[row, column] -= 1
        without[i] = _ari(fewer)
    weights = counts[tuple(places.T)]
    mean = np.average(without, weights=weights)
    variance = (n - 1) / n * float((weights * (without - mean) ** 2).sum())
    return _ari(counts), float(stats.norm.ppf((1 + metrics.LEVEL) / 2)) * math.sqrt(variance)


def _ari(counts: NDArray[np.int64]) -> float:
    def pairs(of: NDArray[np.int64]) -> float:
        return float((of * (of - 1) / 2).sum())

    both, rows, columns = pairs(counts), pairs(counts.sum(1)), pairs(counts.sum(0))
    chance = rows * columns / max(pairs(counts.sum()), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)
