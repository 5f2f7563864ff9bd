"""How much of an explanation is left: heatmaps picture by picture, and omega over pictures.

Every measure is 1 for two equal explanations; 0 is what chance gives for ranks and overlaps, and what
explanations without anything in common give for the cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tff_core import metrics
from tff_core.features import pixels
from tff_core.features.bridge import comparison

Floats = NDArray[np.float64]
ORDER, COSINE, TOP, LAYERS = "order", "cosine", "top", "layers"
TENTH = 0.1
"""The share of a picture's pixels that counts as the strongest."""


# --------------------------------------------------------------------------------------------- heatmaps


def heatmaps(one: ArrayLike, other: ArrayLike) -> dict[str, Floats]:
    """How alike two heatmaps of each picture are, (N,) by measure; missing where that cannot be said.

    ``one`` and ``other`` (N, H, W). `ORDER` is Spearman's rank correlation of the pixels (Adebayo et al.
    2018), `COSINE` the cosine of the values, `TOP` the share of the strongest tenth of the pixels that is in
    both, beyond chance: (shared - expected) / (all - expected). A constant heatmap has no order and no
    strongest pixels; one that is zero throughout, or not finite somewhere, has no cosine either.

    Raises ValueError where the shapes differ.
    """
    a, b = (np.asarray(maps, dtype=np.float64) for maps in (one, other))
    order = pixels.likeness(a, b)
    a, b = (maps.reshape(len(maps), -1) for maps in (a, b))
    return {ORDER: order, COSINE: cosine(a, b), TOP: _strongest(a, b)}


def cosine(a: Floats, b: Floats) -> Floats:
    """Cosine of each two rows of (N, M), (N,); missing where one is zero throughout or not finite."""
    # by their largest value first: squares of tiny relevance would vanish
    a, b = (_scaled(values) for values in (a, b))
    length = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    found = np.divide((a * b).sum(1), length, out=np.full(len(a), np.nan), where=length > 0)
    return found.clip(-1, 1)


def _scaled(values: Floats) -> Floats:
    largest = np.abs(values).max(axis=1, keepdims=True)
    usable = np.isfinite(largest) & (largest > 0)
    return np.divide(values, largest, out=np.zeros_like(values), where=usable)


def _strongest(a: Floats, b: Floats) -> Floats:
    count = max(1, round(TENTH * a.shape[1]))
    expected = count**2 / a.shape[1]
    usable = np.isfinite(a).all(1) & np.isfinite(b).all(1) & (np.ptp(a, axis=1) > 0) & (np.ptp(b, axis=1) > 0)
    first, second = (metrics.largest(np.nan_to_num(maps), count) for maps in (a, b))
    found = ((first & second).sum(1) - expected) / max(count - expected, 1e-12)
    return np.where(usable, found, np.nan)


# ----------------------------------------------------------------------------------------------- omega


def omegas(
    one: ArrayLike,
    other: ArrayLike,
    sizes: Mapping[str, int],
    k: int,
    kept: Collection[str] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> dict[str, tuple[float, Floats]]:
    """How alike the omegas of two networks of one shape are, by measure: the number, and its resamples (B,).

    Args:
        one, other: each map's share of its layer in the same pictures, (N, M), columns in the order of
            ``sizes``; omega is their mean.
        sizes: channels of each layer.
        k: how many maps count as top, in the whole network.
        kept: the layers that are compared, None for all: a map of a layer whose weights were drawn anew has
            a name in common with a trained map, and nothing else. As large a share of them counts as top.
        draws: resamples of the pictures, B.

    Returns:
        `ORDER`: Spearman's rank correlation within layers, mean weighted by channels; `COSINE` likewise;
        `TOP`: the top maps in common beyond what their layers give by chance, (shared - expected) /
        (k - expected); `LAYERS`: the correlation, over all layers, of the number of maps among the top k.
        Missing where a layer has no order throughout, no layer is left, or everything is expected.

        Resamples draw the pictures of both networks alike. As rankings by pictures drawn anew are noisier
        than those of the pictures, they agree less: the resamples are shifted so that their mean is the
        number, and say how sure it is.

    Raises ValueError where the shapes do not fit, or k is out of range.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (one, other))
    maps = sum(sizes.values())
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != maps or not len(a):
        raise ValueError(
            f"shares of shapes {a.shape} and {b.shape}: expected (pictures, {maps}) of both, and a picture"
        )
    if not 0 < k < maps:
        raise ValueError(f"k is {k}: expected 1 to {maps - 1}, fewer than there are feature maps")
    chosen = [layer for layer in sizes if kept is None or layer in kept]
    inside = np.concatenate([np.full(n, layer in chosen) for layer, n in sizes.items()])
    some = {layer: sizes[layer] for layer in chosen}
    top = max(1, round(k * sum(some.values()) / maps))
    weights = np.vstack([np.full(len(a), 1 / len(a)), metrics.resamples(len(a), draws, seed) / len(a)])
    x, y = weights @ a, weights @ b
    measures: dict[str, Callable[[], Floats]] = {
        ORDER: partial(_within, x[:, inside], y[:, inside], some, comparison.standardised),
        COSINE: partial(_within, x[:, inside], y[:, inside], some, _directions),
        TOP: partial(_top, x[:, inside], y[:, inside], some, top),
        LAYERS: partial(_where, x, y, sizes, k),
    }
    found = {}
    for name, of in measures.items():
        values = of() if chosen or name == LAYERS else np.full(len(x), np.nan)
        drawn = values[1:]
        shift = values[0] - np.nanmean(drawn) if np.isfinite(drawn).any() else 0.0
        found[name] = float(values[0]), drawn + shift
    return found


def _within(x: Floats, y: Floats, sizes: Mapping[str, int], directions: Callable[[Floats], Floats]) -> Floats:
    """Mean over layers, weighted by channels, of the products of the rows' directions within a layer."""
    ends = np.cumsum(list(sizes.values()))[:-1]
    parts = zip(np.split(x, ends, axis=1), np.split(y, ends, axis=1), strict=True)
    each = np.stack([(directions(a) * directions(b)).sum(1) for a, b in parts])
    return comparison.layer_mean(each, sizes)


def _directions(values: Floats) -> Floats:
    length = np.sqrt((values**2).sum(1, keepdims=True))
    return np.divide(values, length, out=np.full_like(values, np.nan), where=length > 0)


def _counts(member: NDArray[np.bool_], sizes: Mapping[str, int]) -> Floats:
    starts = np.cumsum([0, *sizes.values()])[:-1]
    return np.add.reduceat(member.astype(np.float64), starts, axis=1)


def _top(x: Floats, y: Floats, sizes: Mapping[str, int], k: int) -> Floats:
    one, other = metrics.largest(x, k), metrics.largest(y, k)
    expected = (_counts(one, sizes) * _counts(other, sizes) / np.array(list(sizes.values()))).sum(1)
    shared = (one & other).sum(1)
    return np.divide(shared - expected, k - expected, out=np.full(len(x), np.nan), where=expected < k - 1e-9)


def _where(x: Floats, y: Floats, sizes: Mapping[str, int], k: int) -> Floats:
    a, b = (_counts(metrics.largest(values, k), sizes) for values in (x, y))
    a, b = (values - values.mean(1, keepdims=True) for values in (a, b))
    length = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), length, out=np.full(len(a), np.nan), where=length > 0)
