"""Two tasks' rankings of the maps that they share: what the first k have in common, and their order.

Omega is a share of its layer, so narrow layers rank first in *any* task. What two rankings have in common is
therefore compared with what their numbers of maps in each layer give by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom, rankdata

from tff_core import metrics
from tff_core.features.bridge.heads import Floats, Head, check_k, layer_sizes
from tff_core.features.names import FeatureMap

ALL = "all layers"
"""In the column layer: the mean over layers, weighted by their channels."""
PERMUTATIONS = 9999


def redrawn_omegas(heads: Mapping[str, Head], resamples: int, seed: int) -> dict[str, Floats]:
    """Omega of the tasks in every resample of their pictures, (B, M); tasks without pictures are left out."""
    return {
        name: metrics.resampled_means(head.shares, resamples, [seed, number])
        for number, (name, head) in enumerate(heads.items())
        if head.shares is not None
    }


def pairs(heads: Mapping[str, Head]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each two tasks, with the numbers of their pictures as columns of a table."""
    for a, b in combinations(heads, 2):
        yield a, b, {"n_a": heads[a].omega.count, "n_b": heads[b].omega.count}


def ends_of(value: float, redrawn: Floats | None, largest: float = 1.0) -> dict[str, float]:
    """The value with the ends of its interval over pictures, NaN where none were redrawn.

    Neither it nor they can be farther from 0 than ``largest``.

    A ranking by pictures drawn anew is noisier, so two of them agree less than those of all pictures: the
    resamples are moved to the value, as they are for the AP of dropped maps, and say how wide, not where.
    """
    low = high = np.nan
    if redrawn is not None and np.isfinite(value) and np.isfinite(redrawn).any():
        known = redrawn[np.isfinite(redrawn)]
        low, high = metrics.percentiles((known - known.mean() + value).clip(-largest, largest))
        low, high = min(low, value), max(high, value)  # where all resamples are equal they differ by rounding
    return {"value": value, "low": low, "high": high}


# ---------------------------------------------------------------------------------------------- the overlap


def chance(a: Sequence[FeatureMap], b: Sequence[FeatureMap]) -> Floats:
    """The probability that s maps are in both, (S,) for s from 0, if each layer's are drawn at random.

    Each list keeps its number of maps in every layer; which ones they are is left to chance. Exact: the
    number shared in a layer is hypergeometric, and layers are independent.
    """
    sizes = {m.layer: m.channels for m in (*a, *b)}
    found = np.ones(1)
    for layer, channels in sizes.items():
        x, y = (sum(m.layer == layer for m in maps) for maps in (a, b))
        found = np.convolve(found, hypergeom.pmf(np.arange(min(x, y) + 1), channels, x, y))
    return found


def overlap(
    heads: Mapping[str, Head], ks: Sequence[int], resamples: int = metrics.RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """How many of the first k maps two tasks have in common, beyond what their layers give by chance.

    Returns:
        A row for each two tasks and each k: a, b, k, maps (all that are shared), shared (in both tops),
        expected (by chance), chance_low and chance_high (the central 95 % of `chance`), p_more and p_fewer
        (the probability of at least, and of at most, so many by chance), ``value``, low, high, n_a, n_b.

        ``value`` is (shared - expected) / k, 0 where the layers explain all of it. Its interval is over the
        pictures of both tasks, n_a and n_b, which are drawn anew for each; NaN for a task known by omega
        alone. The p-values are exact and say nothing about other pictures.

    Raises ValueError where tasks differ in their layers, or a k is not from 1 to `depth`.
    """
    sizes = layer_sizes(heads)
    redrawn = redrawn_omegas(heads, resamples, seed)
    rows: list[dict[str, Any]] = []
    for k in ks:
        check_k(heads, k)
    for a, b, n in pairs(heads):
        for k in ks:
            tops = heads[a].omega.top(k), heads[b].omega.top(k)
            odds = chance(*tops)
            at_most = odds.cumsum()
            shared = len(set(tops[0]) & set(tops[1]))
            expected = float(np.arange(len(odds)) @ odds)
            again = None
            if a in redrawn and b in redrawn:
                again = _beyond(members(redrawn[a], k), members(redrawn[b], k), sizes, k)
            # the quantiles of a whole number: the first whose probability of at most so many reaches them
            low, high = np.searchsorted(at_most, [(1 - metrics.LEVEL) / 2, (1 + metrics.LEVEL) / 2])
            rows.append(
                {"a": a, "b": b, "k": k, "maps": sum(sizes.values()), "shared": shared, "expected": expected}
                | {"chance_low": int(low), "chance_high": min(int(high), len(odds) - 1)}
                | {
                    "p_more": float(min(odds[shared:].sum(), 1.0)),
                    "p_fewer": float(min(at_most[shared], 1.0)),
                }
                | ends_of((shared - expected) / k, again)
                | n
            )
    return pd.DataFrame(rows)


def members(omegas: Floats, k: int) -> NDArray[np.bool_]:
    """Which maps are among the first k in every resample, (B, M)."""
    first = np.argsort(-omegas, axis=1, kind="stable")[:, :k]
    found = np.zeros(omegas.shape, dtype=bool)
    np.put_along_axis(found, first, True, axis=1)
    return found


def _beyond(one: NDArray[np.bool_], other: NDArray[np.bool_], sizes: Mapping[str, int], k: int) -> Floats:
    """(shared - expected) / k of two sets of maps in every resample, (B,)."""
    starts = np.cumsum([0, *sizes.values()])[:-1]
    first, second = (np.add.reduceat(member.astype(int), starts, axis=1) for member in (one, other))
    expected = (first * second / np.array(list(sizes.values()))).sum(1)
    return ((one & other).sum(1) - expected) / k


# ------------------------------------------------------------------------------------------ the correlation


def correlation(
    heads: Mapping[str, Head],
    resamples: int = metrics.RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether two tasks rank the maps of a layer alike: Spearman's correlation of their omega.

    Returns:
        A row for each two tasks and each layer, and one for `ALL`, the mean over layers weighted by their
        channels: a, b, layer, channels, ``value`` in [-1, 1], low, high (over pictures, as in `overlap`), p,
        n_a, n_b. p is two-sided, by ``permutations`` of the maps within each layer: with few channels it
        cannot be small. A layer in which a task has one omega for all maps has no order, and a value of NaN.

    Raises ValueError where tasks differ in their layers.
    """
    sizes = layer_sizes(heads)
    redrawn = redrawn_omegas(heads, resamples, seed)
    ends = np.cumsum(list(sizes.values()))[:-1]
    rng = np.random.default_rng([seed, 2])
    rows: list[dict[str, Any]] = []
    for a, b, n in pairs(heads):
        exact, drawn, again = [], [], []
        for layer in sizes:
            one, other = (standardised(heads[name].omega.values[layer][None])[0] for name in (a, b))
            exact.append(float(one @ other))
            drawn.append(rng.permuted(np.tile(other, (permutations, 1)), axis=1) @ one)
        if a in redrawn and b in redrawn:
            split = zip(*(np.split(redrawn[name], ends, axis=1) for name in (a, b)), strict=True)
            again = [(standardised(x) * standardised(y)).sum(1) for x, y in split]
        exact.append(float(layer_mean(np.array(exact)[:, None], sizes)[0]))
        drawn.append(layer_mean(np.stack(drawn), sizes))
        if again:
            again.append(layer_mean(np.stack(again), sizes))
        for i, (layer, channels) in enumerate({**sizes, ALL: sum(sizes.values())}.items()):
            # rounding must not part a permutation from the order that it repeats
            as_far = int((np.abs(drawn[i]) >= abs(exact[i]) - 1e-12).sum())
            p = (1 + as_far) / (1 + permutations) if np.isfinite(exact[i]) else np.nan
            found = ends_of(exact[i], again[i] if again else None)
            rows.append({"a": a, "b": b, "layer": layer, "channels": channels} | found | {"p": p} | n)
    return pd.DataFrame(rows)


def standardised(values: Floats) -> Floats:
    """Ranks of every row (B, C) with mean 0 and length 1; NaN where all are equal."""
    ranks = rankdata(values, axis=1)
    apart = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt((apart**2).sum(1, keepdims=True))
    return np.divide(apart, length, out=np.full_like(apart, np.nan), where=length > 0)


def layer_mean(values: Floats, sizes: Mapping[str, int]) -> Floats:
    """The mean of (layers, B) over the layers that have a value, weighted by channels; NaN of none."""
    weights = np.isfinite(values) * np.array(list(sizes.values()))[:, None]
    total = weights.sum(0)
    sums = (np.nan_to_num(values) * weights).sum(0)
    return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)
