"""Do the feature maps that detect a fake also tell who made it? Two tasks that share layers, compared.

A network that detects and attributes computes some feature maps once, for all its tasks, and each task goes
on from there by itself. Omega of every task ranks the shared maps. Two rankings are compared by the maps that
both have among their first k (`overlap`) and by their order within each layer (`correlation`); what dropping
one task's first k maps does to another task is in `bridge_dropout`.

Omega is a share of its layer, so narrow layers rank first in *any* task. What two rankings have in common is
therefore compared with what their numbers of maps in each layer give by chance.

The tasks are networks with one logit each, as `tff_core.lrp.canonize` makes them. An addition to both papers,
of which one defines omega (section 4) and the other such networks (Khoo, Lim and Phan, 2022).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import hypergeom, rankdata
from torch import Tensor

from tff_core import lrp, metrics
from tff_core.features import rankings
from tff_core.features.ffrs import Omega
from tff_core.features.names import FeatureMap
from tff_core.lrp.canonize import Step
from tff_core.pictures import data

Floats = NDArray[np.float64]
ALL = "all layers"
"""In the column layer: the mean over layers, weighted by their channels."""
PERMUTATIONS = 9999


# ------------------------------------------------------------------------------------------- the shared maps


def shared_layers(nets: Mapping[str, lrp.Net]) -> list[str]:
    """The convolutions that all networks have in common: those before the first operation that differs.

    Operations are the same if they have one name, read the same values and hold the same weights. Raises
    ValueError where there are fewer than two networks, or the first operation differs already.
    """
    first, *others = nets.values()
    if not others:
        raise ValueError("one network alone shares no maps: expected the networks of two or more tasks")
    found = []
    for place, step in enumerate(first.steps):
        if not all(place < len(net.steps) and _same(step, net.steps[place]) for net in others):
            break
        if step.layer:
            found.append(step.name)
    if not found:
        raise ValueError(
            f"the networks {', '.join(nets)} have no layer in common: expected tasks that branch off from "
            "one network, with the same weights before the branch"
        )
    return found


def _same(one: Step, other: Step) -> bool:
    if (one.name, one.inputs, type(one.rule)) != (other.name, other.inputs, type(other.rule)):
        return False
    mine, theirs = ({k: v for k, v in vars(s.rule).items() if isinstance(v, Tensor)} for s in (one, other))
    return mine.keys() == theirs.keys() and all(
        torch.equal(v.cpu(), theirs[k].cpu()) for k, v in mine.items()
    )


@dataclass(frozen=True)
class Head:
    """What one task looks at among the shared maps.

    ``omega`` is that of the shared layers alone; ``shares`` (N, M) are the pictures behind it, each map's
    share of its layer's relevance, columns in the order of the layers. None where only omega is known: then
    nothing can be said about other pictures, and intervals over them are missing.
    """

    omega: Omega
    shares: Floats | None = None

    @classmethod
    def of(cls, omega: Omega, layers: Sequence[str]) -> Head:
        """From an omega of the whole network; ValueError where that lacks a layer."""
        for layer in layers:
            if layer not in omega.values:
                raise ValueError(
                    f"this omega has no layer {layer!r}: expected that of a network which shares "
                    f"{len(layers)} layers with the others; is it of another network?"
                )
        kept = set(layers)
        order = None if omega.order is None else tuple(m for m in omega.order if m.layer in kept)
        values = {layer: omega.values[layer] for layer in layers}
        poisoned = {layer: n for layer, n in omega.poisoned.items() if layer in kept}
        return cls(Omega(values, omega.count, omega.seen, omega.unsure, poisoned, order))


def look(
    net: lrp.Net, batches: data.Pictures, layers: Sequence[str], confidence: float = 0.9, batch_size: int = 25
) -> Head:
    """Omega of a task, and the pictures behind it, over the layers that it shares with others.

    Args:
        net: the task's network, with one logit.
        batches: the pictures that the task should say yes to, as the network takes them: fakes for detection,
            those of the source for a source. A tensor (N, C, H, W), or batches of them.
        layers: from `shared_layers`.
        confidence: a picture counts if its probability is at least this, in [0.5, 1).
        batch_size: pictures at a time, at most.

    Omega is that of `ffrs.ff_rs`, except that a picture whose relevance is zero throughout a layer counts
    there, with nothing. Raises ValueError where the confidence is out of range, or no picture counts.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(
            f"confidence is {confidence}: expected a probability from 0.5 up to, not including, 1"
        )
    least = math.log(confidence / (1 - confidence))
    columns = _columns(net.layers, layers)
    seen, found = 0, []
    for x in data.pictures(batches):
        sure = torch.cat([net(part)[:, net.target or 0] >= least for part in x.split(batch_size)])
        seen += len(x)
        if sure.any():
            found.append(rankings.shares(net, x[sure], batch_size=batch_size)[:, columns])
    if not found:
        raise ValueError(
            f"none of {seen} pictures has probability {confidence} or more: omega is a mean over such "
            "pictures; give others, train the network further, or lower the confidence"
        )
    shares = np.concatenate(found).astype(np.float64)
    ends = np.cumsum([net.layers[layer] for layer in layers])[:-1]
    values = dict(zip(layers, np.split(shares.mean(0), ends), strict=True))
    return Head(Omega(values, len(shares), seen, seen - len(shares)), shares)


def _columns(all_layers: Mapping[str, int], layers: Sequence[str]) -> list[int]:
    starts = dict(zip(all_layers, np.cumsum([0, *all_layers.values()])[:-1].tolist(), strict=True))
    return [starts[layer] + c for layer in layers for c in range(all_layers[layer])]


def layer_sizes(heads: Mapping[str, Head]) -> dict[str, int]:
    """The channels of every layer; ValueError unless all tasks have the same ones."""
    found = {name: {k: len(v) for k, v in head.omega.values.items()} for name, head in heads.items()}
    if len(found) < 2:
        raise ValueError(f"{len(found)} tasks: expected two or more to compare")
    (first, sizes), *others = found.items()
    for name, own in others:
        if list(own.items()) != list(sizes.items()):
            raise ValueError(
                f"{first} has layers {', '.join(sizes)}, {name} has {', '.join(own)}: expected the "
                "shared ones alone, see `shared_layers`"
            )
    return sizes


def _redrawn(heads: Mapping[str, Head], resamples: int, seed: int) -> dict[str, Floats]:
    """Omega of the tasks in every resample of their pictures, (B, M); tasks without pictures are left out."""
    return {
        name: metrics.resampled_means(head.shares, resamples, [seed, number])
        for number, (name, head) in enumerate(heads.items())
        if head.shares is not None
    }


def _pairs(heads: Mapping[str, Head]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for a, b in combinations(heads, 2):
        yield a, b, {"n_a": heads[a].omega.count, "n_b": heads[b].omega.count}


def _ends(value: float, redrawn: Floats | None) -> dict[str, float]:
    """The value with the ends of its interval over pictures, NaN where none were redrawn.

    A ranking by pictures drawn anew is noisier, so two of them agree less than those of all pictures: the
    resamples are moved to the value, as they are for the AP of dropped maps, and say how wide, not where.
    """
    low = high = np.nan
    if redrawn is not None and np.isfinite(value) and np.isfinite(redrawn).any():
        known = redrawn[np.isfinite(redrawn)]
        low, high = metrics.percentiles((known - known.mean() + value).clip(-1, 1))
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

    Raises ValueError where tasks differ in their layers, or a k is not from 1 to the number of maps.
    """
    sizes = layer_sizes(heads)
    redrawn = _redrawn(heads, resamples, seed)
    rows: list[dict[str, Any]] = []
    for a, b, n in _pairs(heads):
        for k in ks:
            tops = heads[a].omega.top(k), heads[b].omega.top(k)
            odds = chance(*tops)
            at_most = odds.cumsum()
            shared = len(set(tops[0]) & set(tops[1]))
            expected = float(np.arange(len(odds)) @ odds)
            again = None
            if a in redrawn and b in redrawn:
                again = _beyond(_members(redrawn[a], k), _members(redrawn[b], k), sizes, k)
            # the quantiles of a whole number: the first whose probability of at most so many reaches them
            low, high = np.searchsorted(at_most, [(1 - metrics.LEVEL) / 2, (1 + metrics.LEVEL) / 2])
            rows.append(
                {"a": a, "b": b, "k": k, "maps": sum(sizes.values()), "shared": shared, "expected": expected}
                | {"chance_low": int(low), "chance_high": min(int(high), len(odds) - 1)}
                | {
                    "p_more": float(min(odds[shared:].sum(), 1.0)),
                    "p_fewer": float(min(at_most[shared], 1.0)),
                }
                | _ends((shared - expected) / k, again)
                | n
            )
    return pd.DataFrame(rows)


def _members(omegas: Floats, k: int) -> NDArray[np.bool_]:
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
    redrawn = _redrawn(heads, resamples, seed)
    ends = np.cumsum(list(sizes.values()))[:-1]
    rng = np.random.default_rng([seed, 2])
    rows: list[dict[str, Any]] = []
    for a, b, n in _pairs(heads):
        exact, drawn, again = [], [], []
        for layer in sizes:
            one, other = (_standard(heads[name].omega.values[layer][None])[0] for name in (a, b))
            exact.append(float(one @ other))
            drawn.append(rng.permuted(np.tile(other, (permutations, 1)), axis=1) @ one)
        if a in redrawn and b in redrawn:
            split = zip(*(np.split(redrawn[name], ends, axis=1) for name in (a, b)), strict=True)
            again = [(_standard(x) * _standard(y)).sum(1) for x, y in split]
        exact.append(float(_mean(np.array(exact)[:, None], sizes)[0]))
        drawn.append(_mean(np.stack(drawn), sizes))
        if again:
            again.append(_mean(np.stack(again), sizes))
        for i, (layer, channels) in enumerate({**sizes, ALL: sum(sizes.values())}.items()):
            # rounding must not part a permutation from the order that it repeats
            as_far = int((np.abs(drawn[i]) >= abs(exact[i]) - 1e-12).sum())
            p = (1 + as_far) / (1 + permutations) if np.isfinite(exact[i]) else np.nan
            found = _ends(exact[i], again[i] if again else None)
            rows.append({"a": a, "b": b, "layer": layer, "channels": channels} | found | {"p": p} | n)
    return pd.DataFrame(rows)


def _standard(values: Floats) -> Floats:
    """Ranks of every row (B, C) with mean 0 and length 1; NaN where all are equal."""
    ranks = rankdata(values, axis=1)
    apart = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt((apart**2).sum(1, keepdims=True))
    return np.divide(apart, length, out=np.full_like(apart, np.nan), where=length > 0)


def _mean(values: Floats, sizes: Mapping[str, int]) -> Floats:
    """The mean of (layers, B) over the layers that have a value, weighted by channels; NaN of none."""
    weights = np.isfinite(values) * np.array(list(sizes.values()))[:, None]
    total = weights.sum(0)
    sums = (np.nan_to_num(values) * weights).sum(0)
    return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)
