"""New sources among rejected pictures: groups of pictures alike to the network's own modules.

Pictures that `openset` rejects come from sources that the network does not know, maybe from several. The
modules see traces all the same, so pictures of one source have like features. But they also see what a
picture shows: so features are first measured by how much they vary *within* known sources, whose pictures
differ in what they show alone. Then they are grouped by Ward's method, from the top of its tree: a group is
parted where one normal distribution would hardly ever look as parted. No label of a rejected picture is
needed, and one group is a possible answer.

Sources: J. H. Ward, JASA 58 (1963); Kimes, Liu, Hayes and Marron, Statistical significance for hierarchical
clustering, Biometrics 73 (2017); within-class covariance normalisation: Hatch, Kajarekar and Stolcke,
Interspeech 2006; shrinkage: Ledoit and Wolf, Journal of Multivariate Analysis 88 (2004); agreement: Hubert
and Arabie, Comparing partitions, Journal of Classification 2 (1985).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.cluster import hierarchy
from sklearn.covariance import ledoit_wolf
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
MOST = 5_000
"""Pictures that can be grouped at once: memory and time grow with their square, 100 MB for these."""
BANDS = 4  # of spectra, along each axis
LEVEL = 0.05
"""The probability of parting one normal distribution at all."""
_DIRECTIONS, _COMPONENTS = 20, 10  # in which known sources vary most; in which the rejected then differ most
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
    """Groups of pictures: ``group`` (n,), from 0, the largest first; ``splits`` says why there are so many.

    ``splits`` has a row for each group that was asked about, from all pictures down: ``pictures, smaller``
    (of the two parts), ``index`` (the share of the sum of squares that remains within the parts),
    ``expected`` (of a normal distribution with the same covariance, the mean), ``p``, ``level`` and ``split``
    (whether p is at most that).
    """

    group: NDArray[np.int64]
    splits: pd.DataFrame

    @property
    def count(self) -> int:
        return int(self.group.max()) + 1


def cluster(
    features: ArrayLike,
    reference: ArrayLike | None = None,
    of: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    level: float = LEVEL,
    smallest: int = 10,
    draws: int = 100,
    seed: int = 0,
) -> Groups:
    """Group pictures by their features (n, F), without labels.

    Args:
        reference: features (m, F) of validation pictures of known sources and reals; default: their own.
        of: the source of each of these, (m,), any whole numbers. Differences are then measured by how much
            features vary within sources, along the 20 directions in which they vary most there (covariance
            after Ledoit and Wolf). Without: by the variance of each feature in the reference.
        level: family-wise, of the tests; `LEVEL` parts one normal distribution in 5 of 100 cases at most.
        smallest: groups with fewer pictures are parted no further.
        draws: normal samples at each test, to which a normal distribution is fitted for the p-value.

    At most 10 principal components of the pictures are grouped. Distributions with heavier tails than the
    normal one are parted more often than the level says. ValueError for fewer than 3 or more than `MOST`
    pictures, numbers that do not fit, and features that are not finite.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not 3 <= len(x) <= MOST:
        raise ValueError(
            f"features of shape {x.shape}: expected (n, F) of 3 to {MOST} pictures; of more take a sample"
        )
    if not 0 < level < 1 or smallest < 3 or draws < 2:
        raise ValueError(
            f"level {level}, smallest group of {smallest}, {draws} draws: expected a level between 0 and 1, "
            "3 pictures and 2 draws at least"
        )
    base = x if reference is None else np.asarray(reference, dtype=np.float64)
    if base.ndim != 2 or base.shape[1:] != x.shape[1:] or not len(base):
        raise ValueError(f"reference of shape {base.shape}: expected (m, {x.shape[1]}), as many features")
    if of is not None and (reference is None or len(of) != len(base)):
        raise ValueError(
            f"sources of {len(of)} pictures for a reference of {len(base)}: expected one for each"
        )
    if not (np.isfinite(x).all() and np.isfinite(base).all()):
        raise ValueError("features are not finite: expected those of a network with sound weights")
    points = _principal(_measured(x, base, None if of is None else np.asarray(of)))
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    parts, waiting = [], [np.arange(len(x))]
    while waiting:
        members = waiting.pop()
        halves = None
        if len(members) >= smallest:
            row, halves = _parted(points[members], draws, rng)
            allowed = level * (len(members) - 1) / (len(x) - 1)
            rows.append(row | {"level": allowed, "split": row["p"] <= allowed})
        if halves is not None and rows[-1]["split"]:
            waiting += [members[~halves], members[halves]]
        else:
            parts.append(members)
    parts.sort(key=lambda members: (-len(members), members[0]))
    group = np.empty(len(x), dtype=np.int64)
    for number, members in enumerate(parts):
        group[members] = number
    columns = ["pictures", "smaller", "index", "expected", "p", "level", "split"]
    return Groups(group, pd.DataFrame(rows, columns=columns))


def _measured(x: Floats, base: Floats, of: NDArray[np.int64] | None) -> Floats:
    """Features in units of how much they vary in the reference, within sources if these are given."""
    deviation = base.std(0)
    unit = np.where(deviation > 0, deviation, 1.0)
    z, known = ((part - base.mean(0)) / unit for part in (x, base))
    if of is None:
        return z
    within = np.concatenate([known[of == source] - known[of == source].mean(0) for source in np.unique(of)])
    variances, directions = np.linalg.eigh(ledoit_wolf(within, assume_centered=True)[0])
    kept = [i for i in np.argsort(-variances)[:_DIRECTIONS] if variances[i] > 0]
    return z @ directions[:, kept] / np.sqrt(variances[kept])


def _principal(x: Floats) -> Floats:
    """Coordinates along the principal components that are kept."""
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return u[:, :_COMPONENTS] * s[:_COMPONENTS]


def _parted(x: Floats, draws: int, rng: np.random.Generator) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """How parted points are, beside normal ones with their covariance; and which are in the second part."""
    tree = hierarchy.linkage(x, "ward")
    found = _index(tree)
    second = hierarchy.fcluster(tree, 2, "maxclust") == 2
    spread = np.linalg.svd(x - x.mean(0), compute_uv=False) / math.sqrt(len(x) - 1)
    none = np.array(
        [
            _index(hierarchy.linkage(rng.normal(size=(len(x), len(spread))) * spread, "ward"))
            for _ in range(draws)
        ]
    )
    deviation = float(none.std(ddof=1))
    p = float(stats.norm.cdf((found - none.mean()) / deviation)) if deviation > 0 else 1.0
    smaller = int(min(second.sum(), (~second).sum()))
    row = {"pictures": len(x), "smaller": smaller, "index": found, "expected": float(none.mean()), "p": p}
    return row, second


def _index(tree: Floats) -> float:
    """The share of the sum of squares that remains within the two last groups of a Ward tree."""
    gained = tree[:, 2] ** 2  # twice what a merge adds
    return float(1 - gained[-1] / gained.sum()) if gained[-1] > 0 else 1.0


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
