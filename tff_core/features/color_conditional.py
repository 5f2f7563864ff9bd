"""Colour-conditional feature maps: which maps respond differently when the same pictures turn gray.

Source: paper, section 6.2 (Mood's median test of maximum activations). The paired test, the correction for
many tests, the controls and the intervals are additions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor

from tff_core import intervals, lrp, metrics
from tff_core.features import maxima
from tff_core.features.names import FeatureMap
from tff_core.lrp.canonize import Step
from tff_core.pictures import data
from tff_core.store import memory

ALPHA = 0.05
"""Level at which a feature map is called colour-conditional."""

Floats = NDArray[np.float64]


@torch.no_grad()
def maximum_activations(
    net: lrp.Net, batches: Iterable[Tensor | Sequence[Any]], maps: Iterable[FeatureMap]
) -> NDArray[np.float32]:
    """Largest activation of every map in every picture, (N, M): one forward pass for all maps.

    ``batches`` yields normalised pictures (N, 3, H, W), or tuples that start with them; rows are in their
    order. Values are outputs of the convolution after batch normalisation, before the activation: what the
    next operation reads. (The paper's code takes them before batch normalisation. Both tests agree on the two
    unless a map's scale gamma is negative: there the paper's maximum is the network's minimum.)

    Raises ValueError where the network has no such map, or there is no picture.
    """
    wanted = tuple(maps)
    maxima.known(net, wanted)
    columns: dict[str, list[tuple[int, int]]] = {}
    for column, m in enumerate(wanted):
        columns.setdefault(m.layer, []).append((column, m.channel))
    places = {layer: torch.tensor(pairs).unbind(1) for layer, pairs in columns.items()}

    def largest(x: Tensor) -> Tensor:
        rows = torch.empty(len(x), len(wanted))

        def watch(step: Step, y: Tensor) -> None:
            if step.layer and step.name in places:
                column, channel = places[step.name]
                rows[:, column] = y.amax((2, 3)).float().cpu()[:, channel]

        net.forward(x, watch=watch)
        return rows

    found: list[Tensor] = []
    parts = memory.Parts()
    for x in data.pictures(batches):
        net.check(x)
        found.append(parts.cat(largest, x))
    if not found or not wanted:
        raise ValueError(
            f"{len(found)} batches of pictures and {len(wanted)} maps: expected at least one of each"
        )
    return torch.cat(found).numpy()


class PValues(NamedTuple):
    """p-values (M,), and which maps allowed no test, (M,) bool: there p is 1."""

    p: Floats
    degenerate: NDArray[np.bool_]


def mood(a: ArrayLike, b: ArrayLike) -> PValues:
    """Mood's median test of two samples, for many feature maps at once.

    ``a`` (N, M) and ``b`` (K, M): a column per map. Equal to ``scipy.stats.median_test(a[:, i], b[:, i])``
    for every column (ties count as below the median, Yates' correction). That function takes one column at a
    time and raises where all values lie on one side of the median, as for an always-zero map: here p is 1.

    Source: paper, section 6.2; Mood 1950.
    """
    x, y = _columns(a, b)
    middle = np.median(np.concatenate([x, y]), axis=0)
    above = np.stack([(x > middle).sum(0), (y > middle).sum(0)])
    size = np.array([[len(x)], [len(y)]])
    observed = np.stack([above, size - above]).astype(np.float64)  # (above or below, sample, map)
    degenerate = (observed.sum(1) == 0).any(0)
    expected = observed.sum(1, keepdims=True) * size / size.sum()
    distance = np.abs(observed - expected)
    distance -= np.minimum(0.5, distance)
    terms = np.divide(distance**2, expected, out=np.zeros_like(distance), where=expected > 0)
    p = stats.chi2.sf(terms.sum((0, 1)), 1)
    return PValues(np.where(degenerate, 1.0, p), degenerate)


def wilcoxon(a: ArrayLike, b: ArrayLike) -> PValues:
    """Wilcoxon's signed-rank test of pairs, for many feature maps at once; see ``scipy.stats.wilcoxon``.

    ``a`` and ``b`` (N, M): row i of both is the same picture. Equal pairs are left out, as usual; if all are
    equal, p is 1.
    """
    x, y = _columns(a, b)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values against {len(y)}: expected pairs, two values of every picture")
    degenerate = (x == y).all(0)
    p = np.ones(x.shape[1])
    if not degenerate.all():
        p[~degenerate] = stats.wilcoxon(x[:, ~degenerate], y[:, ~degenerate], axis=0).pvalue
    return PValues(p, degenerate)


def _columns(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = np.asarray(a), np.asarray(b)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not (x.size and y.size):
        raise ValueError(
            f"samples of shape {x.shape} and {y.shape}: expected (pictures, maps) with equally many maps"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("some activations are not finite: check the detector's weights")
    return x, y


def conditional(color: ArrayLike, gray: ArrayLike, maps: Sequence[FeatureMap]) -> pd.DataFrame:
    """Both tests of every feature map: does its maximum respond differently when the pictures turn gray?

    Parameters
    ----------
    color, gray: maximum spatial activation of the same pictures in colour and in gray, (N, M).
    maps: the M feature maps.

    Returns
    -------
    One row per map: ``map`` (its name), ``layer``, ``n``, ``median_color``, ``median_gray``, ``shift`` (the
    median of the paired differences, in interquartile ranges of colour: an effect that does not grow with n;
    missing where that range is 0), ``p_mood``, ``p_wilcoxon``, ``degenerate``.

    Source: paper, section 6.2, which applies Mood's test to fakes at 0.05.
    """
    x, y = _columns(color, gray)
    if x.shape[1] != len(maps):
        raise ValueError(f"{x.shape[1]} columns of activations for {len(maps)} maps: expected one for each")
    median, paired = mood(x, y), wilcoxon(x, y)
    q1, q3 = np.quantile(x, [0.25, 0.75], axis=0)
    spread = q3 - q1
    moved = np.median(x - y, axis=0)
    return pd.DataFrame(
        {
            "map": [str(m) for m in maps],
            "layer": [m.layer for m in maps],
            "n": len(x),
            "median_color": np.median(x, axis=0),
            "median_gray": np.median(y, axis=0),
            "shift": np.divide(moved, spread, out=np.full(len(maps), np.nan), where=spread > 0),
            "p_mood": median.p,
            "p_wilcoxon": paired.p,
            "degenerate": median.degenerate | paired.degenerate,
        }
    )


def shares(
    tests: pd.DataFrame, groups: Mapping[str, Sequence[Iterable[FeatureMap]]], alpha: float = ALPHA
) -> pd.DataFrame:
    """Share of colour-conditional maps in sets of maps: the top-k beside their controls.

    ``tests`` comes from `conditional` and has every map of the sets; ``groups`` maps a name ("top-k",
    "matched-k", ...) to one set, or to several draws.

    Returns one row per group and draw: ``k`` maps, ``n`` pictures, ``share_mood`` and ``share_wilcoxon`` at
    ``alpha``, the same with the false discovery rate within the set held at ``alpha`` (``share_mood_bh``,
    ``share_wilcoxon_bh``; Benjamini and Hochberg 1995), the median absolute ``shift``, and how many were
    ``degenerate`` (they count as not conditional).
    """
    known = tests.set_index("map")
    rows = []
    for group, draws in groups.items():
        for draw, maps in enumerate(draws):
            keys = [str(m) for m in maps]
            missing = [key for key in keys if key not in known.index]
            if missing or not keys:
                raise ValueError(
                    f"{group}, draw {draw}: {len(missing)} of {len(keys)} maps were not tested "
                    f"({', '.join(missing[:3])}): test the maps of all groups together"
                )
            own = known.loc[keys]
            row: dict[str, Any] = {"group": group, "draw": draw, "k": len(keys), "n": int(own["n"].iloc[0])}
            for test in ("mood", "wilcoxon"):
                p = own[f"p_{test}"].to_numpy()
                row[f"share_{test}"] = float(np.mean(p <= alpha))
                row[f"share_{test}_bh"] = float(np.mean(stats.false_discovery_control(p) <= alpha))
            row["shift"] = float(own["shift"].abs().median())
            row["degenerate"] = int(own["degenerate"].sum())
            rows.append(row)
    return pd.DataFrame(rows)


def share_by_n(
    color: ArrayLike,
    gray: ArrayLike,
    members: Mapping[str, Sequence[NDArray[np.int64]]],
    sizes: Sequence[int],
    repeats: int = 10,
    alpha: float = ALPHA,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of colour-conditional maps (Mood's test) on fewer pictures: how it depends on sample size.

    Parameters
    ----------
    color, gray: maximum activations (N, M) of the same pictures.
    members: the draws of each group, as columns of the two.
    sizes: numbers of pictures, each at most N.
    repeats: random subsets of each size, without replacement (one where the size is N).

    Returns one row per ``group, draw, n, repeat`` with its ``share``.
    """
    x, y = _columns(color, gray)
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        if not 2 <= size <= len(x):
            raise ValueError(f"a subset of {size} pictures: expected 2 to {len(x)}, the number there is")
        for repeat in range(repeats if size < len(x) else 1):
            chosen = rng.choice(len(x), size, replace=False)
            conditional = mood(x[chosen], y[chosen]).p <= alpha
            rows += [
                {"group": g, "draw": d, "n": size, "repeat": repeat, "share": float(conditional[c].mean())}
                for g, draws in members.items()
                for d, c in enumerate(draws)
            ]
    return pd.DataFrame(rows)


class Sample(NamedTuple):
    """One detector's maximum activations in colour and in gray, (N, M), and groups of its maps.

    ``members`` gives the draws of each group, as columns of the two tables; ``maps`` names the columns.
    """

    color: NDArray[Any]
    gray: NDArray[Any]
    members: Mapping[str, Sequence[NDArray[np.int64]]]
    maps: tuple[FeatureMap, ...] = ()


def sample(
    net: lrp.Net,
    plain: Iterable[Tensor | Sequence[Any]],
    gray: Iterable[Tensor | Sequence[Any]],
    groups: Mapping[str, Sequence[Sequence[FeatureMap]]],
) -> Sample:
    """Maximum activations of every map that is in a group, over the same pictures in colour and in gray.

    ``plain`` and ``gray`` are batches as for `maximum_activations`, in one order; ``groups`` maps a name to
    its draws, each a set of maps.
    """
    maps = tuple(dict.fromkeys(m for draws in groups.values() for draw in draws for m in draw))
    column = {m: i for i, m in enumerate(maps)}
    return Sample(
        maximum_activations(net, plain, maps),
        maximum_activations(net, gray, maps),
        {g: [np.array([column[m] for m in draw]) for draw in draws] for g, draws in groups.items()},
        maps,
    )


def by_layer(layers: Mapping[str, int], found: Sample, top: Iterable[FeatureMap]) -> pd.DataFrame:
    """Share of colour-conditional maps (Mood's test) among all maps of each layer.

    ``layers`` maps a layer to its number of maps, as `lrp.Net.layers`; ``found`` has the activations of every
    map (`rankings.feature_maps`). Returns rows ``layer, channels, share, top``; ``top`` is the number of the
    top maps in the layer.
    """
    hit = dict(zip(found.maps, mood(found.color, found.gray).p <= ALPHA, strict=True))
    chosen = [m.layer for m in top]
    return pd.DataFrame(
        {
            "layer": layer,
            "channels": total,
            "share": float(np.mean([hit[FeatureMap(layer, c, total)] for c in range(total)])),
            "top": chosen.count(layer),
        }
        for layer, total in layers.items()
    )


def shares_of_halves(samples: Sequence[Sample], alpha: float, splits: int, seed: int) -> Floats:
    """Share of colour-conditional maps (Mood's test) on both halves of many random splits of the pictures.

    Shape (splits, 2, samples, groups), means over the draws of a group, groups in their own order. Equal
    ``seed`` and number of pictures give equal halves.
    """
    pictures = {len(s.color) for s in samples}
    if len(pictures) != 1 or min(pictures) < 4:
        raise ValueError(f"samples of {sorted(pictures)} pictures: expected the same, four or more, in each")
    (n,) = pictures
    rng = np.random.default_rng(seed)
    found = np.empty((splits, 2, len(samples), len(samples[0].members)))
    for i in range(splits):
        order = rng.permutation(n)
        for j, chosen in enumerate((order[: n // 2], order[n // 2 : 2 * (n // 2)])):
            for row, s in enumerate(samples):
                hit = mood(s.color[chosen], s.gray[chosen]).p <= alpha
                found[i, j, row] = [np.mean([hit[c].mean() for c in draws]) for draws in s.members.values()]
    return found


def interval_of_halves(
    values: Floats, level: float, bounds: intervals.Bounds, points: Floats | None = None
) -> intervals.Pooled:
    """The interval of values on halves, (splits, 2, seeds), as `contrast` describes it.

    ``points`` are the seeds' numbers where they were measured on all pictures.
    """
    per_seed = values.mean(axis=(0, 1)) if points is None else points
    apart = (values[:, 0] - values[:, 1]) / 2  # deviation of the mean of two independent halves
    covariance = apart.T @ apart / len(apart)
    middle = float(per_seed.mean())
    if len(per_seed) > 1:
        reach = intervals.half_width(per_seed, covariance, level)
    else:
        reach = float(stats.norm.ppf((1 + level) / 2) * np.sqrt(covariance[0, 0]))
    return intervals.Pooled(middle, *intervals.bounded(middle, reach, bounds), len(per_seed))


def contrast(
    samples: Sequence[Sample],
    group: str = "top-k",
    alpha: float = ALPHA,
    splits: int = 100,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of colour-conditional maps (Mood's test) in ``group`` minus that of every other group.

    It is measured on halves of the pictures, n // 2 at a time, and averaged over many splits: the shares of
    two complementary halves are independent, so a quarter of their mean squared difference is the variance of
    their mean over pictures. (A bootstrap would repeat pictures, and a test takes repeated values for
    evidence.) `tff_core.intervals` says how this and the differences between seeds make an interval.

    Parameters
    ----------
    samples: one per detector seed, of the same pictures.
    splits: random splits into halves.

    Returns one row per other group: ``contrast``, ``delta`` (mean over seeds: the group's own share minus the
    mean over the draws of the other), ``low, high``, ``n`` pictures of a half, ``seeds``, ``covers``. And one
    row for the group itself (``contrast`` is its name), whose ``delta`` is its share of all ``n`` pictures.
    """
    if not samples or any(group not in s.members for s in samples):
        raise ValueError(f"expected at least one sample, each with the group {group!r}")
    found = shares_of_halves(samples, alpha, splits, seed)
    names = list(samples[0].members)
    others = [i for i, name in enumerate(names) if name != group]
    own, n = names.index(group), len(samples[0].color)
    rows = []
    for i in others:
        pooled = interval_of_halves(found[..., own] - found[..., i], level, intervals.DIFFERENCE)
        rows.append({"contrast": f"{group} - {names[i]}", **pooled.columns("delta"), "n": n // 2})
    hits = [mood(s.color, s.gray).p <= alpha for s in samples]
    whole = [np.mean([hit[c].mean() for c in s.members[group]]) for s, hit in zip(samples, hits, strict=True)]
    pooled = interval_of_halves(found[..., own], level, intervals.SHARE, np.array(whole))
    rows.append({"contrast": group, **pooled.columns("delta"), "n": n})
    return pd.DataFrame(rows)
