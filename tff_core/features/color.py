"""Colour: what a detector loses without it, and which of its feature maps respond to it.

Four questions. Does the fake probability fall when a picture turns gray (`ablation`)? Does the evidence lie
in the luma or in the chroma, asked with pictures that stay in colour (`exchange`, `saturate`, `turn`)? Which
feature maps respond otherwise to gray pictures (`conditional`)? What does a detector gain, and lose, by being
trained on gray pictures too (`robustness`, `before_after`)?

Source: paper, section 6 (colour ablation, colour-conditional feature maps) and its section on colour-robust
detectors. The exchange, the paired test, the correction for many tests, the controls and the intervals are
additions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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

LEAST = 0.2
"""Pictures count in the paper's box plots if the whole picture's own label gets at least this probability."""
ALPHA = 0.05
"""Level at which a feature map is called colour-conditional."""

Floats = NDArray[np.float64]

# luma and chroma of JPEG (ITU-R BT.601, full range): rows Y, Cb, Cr in R, G, B
_KR, _KG, _KB = 0.299, 0.587, 0.114
_TO_YCBCR = torch.tensor(
    [
        [_KR, _KG, _KB],
        [-0.5 * _KR / (1 - _KB), -0.5 * _KG / (1 - _KB), 0.5],
        [0.5, -0.5 * _KG / (1 - _KR), -0.5 * _KB / (1 - _KR)],
    ],
    dtype=torch.float64,
)
# its inverse; written out so that a pixel without chroma is gray to the last bit
_TO_RGB = torch.tensor(
    [
        [1.0, 0.0, 2 * (1 - _KR)],
        [1.0, -2 * (1 - _KB) * _KB / _KG, -2 * (1 - _KR) * _KR / _KG],
        [1.0, 2 * (1 - _KB), 0.0],
    ],
    dtype=torch.float64,
)


# -------------------------------------------------------------------------------------- pictures altered


class Altered(NamedTuple):
    """Altered pictures, uint8 (N, 3, H, W), and for each the share of pixels that had to be clipped, (N,).

    A clipped pixel has a colour that no screen shows; there luma and chroma are not quite those asked for.
    """

    pixels: Tensor
    clipped: Tensor


def ycbcr(pixels: Tensor) -> Tensor:
    """Luma and chroma (Y, Cb, Cr) of pictures (N, 3, H, W), in their own scale, float64; gray has no chroma.

    Full-range BT.601, as in JPEG, without an offset: Y in [0, 255] and Cb, Cr in [-127.5, 127.5] for uint8.
    """
    _check(pixels)
    return torch.einsum("ij,njhw->nihw", _TO_YCBCR.to(pixels.device), pixels.double())


def rgb(values: Tensor) -> Altered:
    """Pictures from luma and chroma (N, 3, H, W) in the scale of uint8: the inverse of `ycbcr`, then rounded.

    Values below 0 or above 255 (by more than half a level) are clipped, and counted.
    """
    raw = torch.einsum("ij,njhw->nihw", _TO_RGB.to(values.device), values)
    rounded = raw.round()
    outside = ((rounded < 0) | (rounded > 255)).any(1)
    return Altered(rounded.clamp(0, 255).to(torch.uint8), outside.double().mean((1, 2)))


def exchange(luma: Tensor, chroma: Tensor) -> Altered:
    """Pictures with the luma of one set and the chroma of another, pair by pair.

    Both uint8 (N, 3, H, W) of one shape. A set exchanged with itself comes back unchanged.
    """
    if luma.shape != chroma.shape:
        raise ValueError(
            f"luma of shape {tuple(luma.shape)}, chroma of shape {tuple(chroma.shape)}: expected two sets "
            "of equally many pictures of one size; take as many of both"
        )
    return rgb(torch.cat([ycbcr(luma)[:, :1], ycbcr(chroma)[:, 1:]], dim=1))


def saturate(pixels: Tensor, factor: float) -> Altered:
    """Chroma times ``factor`` (at least 0) at unchanged luma: 0 gives gray, 1 the picture itself."""
    if factor < 0:
        raise ValueError(f"saturation factor {factor}: expected 0 (gray) or more; 1 leaves the picture alone")
    values = ycbcr(pixels)
    values[:, 1:] *= factor
    return rgb(values)


def turn(pixels: Tensor, degrees: float) -> Altered:
    """The hue of every pixel turned by ``degrees`` in the plane of Cb and Cr, at unchanged luma."""
    values = ycbcr(pixels)
    angle = np.deg2rad(degrees)
    blue, red = values[:, 1].clone(), values[:, 2].clone()
    values[:, 1] = np.cos(angle) * blue - np.sin(angle) * red
    values[:, 2] = np.sin(angle) * blue + np.cos(angle) * red
    return rgb(values)


def partners(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """For each picture another of the same group (class of scene), every one used once, shape (N,).

    A shuffled cycle through each group. Raises ValueError where a group has a single picture.
    """
    out = np.empty(len(groups), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for group in sorted(set(groups)):
        members = np.flatnonzero(np.asarray(groups) == group)
        if len(members) < 2:
            raise ValueError(f"class {group!r} has {len(members)} picture: expected two or more to pair them")
        members = rng.permutation(members)
        out[members] = np.roll(members, 1)
    return out


@torch.inference_mode()
def probabilities(
    model: Callable[[Tensor], Tensor],
    pixels: Tensor,
    batch_size: int = 50,
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Floats:
    """Probability of being fake, (N,) float64, of uint8 pictures (N, 3, H, W); the network has one logit.

    The pictures are normalised as ``preprocessing`` says, and neither resized nor cropped.
    """
    _check(pixels)

    def run(part: Tensor) -> Tensor:
        x = data.normalize(part.to(device), preprocessing).contiguous(memory_format=torch.channels_last)
        return model(x)[:, 0].cpu().double()

    parts = memory.Parts()
    return torch.cat([parts.cat(run, part) for part in pixels.split(batch_size)]).sigmoid().numpy()


def _check(pixels: Tensor) -> None:
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise ValueError(f"pictures of shape {tuple(pixels.shape)}: expected (N, 3, H, W) with N at least 1")


# ------------------------------------------------------------------------------------- probability, gray


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

    A bootstrap over pictures, the same for all seeds of a resample; over seeds see `tff_core.intervals`. Of
    calls (true or false) the mean is a share, and so are the ends. Raises ValueError where there is no value.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"values of shape {rows.shape}: expected one for every picture, (N,) or (S, N)")
    bounds = intervals.SHARE if np.asarray(values).dtype == bool else None
    return intervals.over_seeds(rows.mean(1), metrics.resampled_means(rows.T, n, seed), bounds, level)


def _median(values: Floats) -> Floats:
    """Median of every row, leaving out NaN: as ``np.nanmedian``, a hundred times faster on short rows."""
    ordered = np.sort(values, axis=1)  # NaN comes last
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


def _box(values: Floats, called: NDArray[np.bool_]) -> dict[str, float]:
    names = ("q1", "median", "q3", "fence_low", "fence_high", "called_fake")
    if not len(values):
        return dict.fromkeys(names, np.nan)
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    found = (q1, median, q3, inside.min(), inside.max(), called.mean())
    return dict(zip(names, map(float, found), strict=True))


# --------------------------------------------------------------------------------- colour-conditional maps


@torch.no_grad()
def maximum_activations(
    net: lrp.Net, batches: Iterable[Tensor | Sequence[Any]], maps: Iterable[FeatureMap]
) -> NDArray[np.float32]:
    """Largest activation of every map in every picture, (N, M): one forward pass for all maps.

    ``batches`` yields normalised pictures (N, 3, H, W), or tuples that start with them; rows are in their
    order. Values are outputs of the convolution after batch normalisation, before the activation: what the
    network goes on with. (The paper's code takes them before batch normalisation. Both tests agree on the two
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
    """p-values (M,), and where the samples allowed no test, (M,) bool: there p is 1."""

    p: Floats
    degenerate: NDArray[np.bool_]


def mood(a: ArrayLike, b: ArrayLike) -> PValues:
    """Mood's median test of two samples, for many feature maps at once.

    ``a`` (N, M) and ``b`` (K, M): a column per map. Equal to ``scipy.stats.median_test(a[:, i], b[:, i])``
    for every column (ties count as below the median, Yates' correction), which takes them one by one and
    raises where all values lie on one side of the median, as of a map that is always zero: here p is 1 then.

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

    ``a`` and ``b`` (N, M): row i of both is the same picture. Pairs that are equal are left out, as usual;
    where all are, p is 1.
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
    """Both tests of every feature map: does its maximum respond otherwise when the pictures turn gray?

    Parameters
    ----------
    color, gray: maximum spatial activation of the same pictures in colour and in gray, (N, M).
    maps: the M feature maps.

    Returns
    -------
    One row per map: ``map`` (its name), ``layer``, ``n``, ``median_color``, ``median_gray``, ``shift`` (the
    median of the paired differences, in interquartile ranges of colour: an effect that does not grow with n;
    missing where that range is 0), ``p_mood``, ``p_wilcoxon``, ``degenerate``.

    Source: paper, section 6.2, which has Mood's test of fakes at 0.05.
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
    """Share of colour-conditional maps (Mood's test) among fewer pictures: how much of it is sample size.

    Parameters
    ----------
    color, gray: maximum activations (N, M) of the same pictures.
    members: for each group its draws, as columns of the two.
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

    ``members`` gives for each group its draws, as columns of the two tables; ``maps`` names the columns.
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


def _shares_of_halves(samples: Sequence[Sample], alpha: float, splits: int, seed: int) -> Floats:
    """Share of colour-conditional maps (Mood's test) on both halves of the pictures, many times halved.

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


def _interval_of_halves(
    values: Floats, level: float, bounds: intervals.Bounds, points: Floats | None = None
) -> intervals.Pooled:
    """The interval of values on halves, (splits, 2, seeds), as `contrast` describes it.

    ``points`` are the seeds' numbers where they were measured on all pictures.
    """
    per_seed = values.mean(axis=(0, 1)) if points is None else points
    apart = (values[:, 0] - values[:, 1]) / 2  # of the mean of two independent halves, by their difference
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
    evidence.) How this and the differences between seeds make an interval says `tff_core.intervals`.

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
    found = _shares_of_halves(samples, alpha, splits, seed)
    names = list(samples[0].members)
    others = [i for i, name in enumerate(names) if name != group]
    own, n = names.index(group), len(samples[0].color)
    rows = []
    for i in others:
        pooled = _interval_of_halves(found[..., own] - found[..., i], level, intervals.DIFFERENCE)
        rows.append({"contrast": f"{group} - {names[i]}", **pooled.columns("delta"), "n": n // 2})
    hits = [mood(s.color, s.gray).p <= alpha for s in samples]
    whole = [np.mean([hit[c].mean() for c in s.members[group]]) for s, hit in zip(samples, hits, strict=True)]
    pooled = _interval_of_halves(found[..., own], level, intervals.SHARE, np.array(whole))
    rows.append({"contrast": group, **pooled.columns("delta"), "n": n})
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------------- colour-robust detectors


MODELS = ("universal", "color-robust")
"""A detector and its twin that was trained with random grayscaling."""


def robustness(
    labels: ArrayLike,
    universal: Mapping[str, Mapping[int, ArrayLike]],
    robust: Mapping[str, Mapping[int, ArrayLike]],
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """AP of a detector and of its colour-robust twin, in colour and in gray, and what lies between them.

    Parameters
    ----------
    labels: (N,), 1 fake and 0 real.
    universal, robust: logits (N,) of the same pictures by input ("color", "gray") and by training seed.
    n, level, seed: bootstrap resamples, level of the interval, seed of the resamples.

    Returns
    -------
    Rows ``model, input, seed, ap, ap_low, ap_high, seeds, covers, n_real, n_fake``. Model is "universal",
    "color-robust" or "difference" (robust minus universal, only of seeds that both have); input is "color",
    "gray", or "color - gray", the AP lost without colour. Rows with seed "all" are means over the seeds, with
    the interval of `tff_core.intervals` over pictures and seeds; the others over pictures. All resamples are
    paired: they hold the same pictures for both models and both inputs.

    Raises ValueError where the two have no training seed in common.

    Source: paper, colour-robust detectors, which has the APs of one detector each.
    """
    y = np.asarray(labels)
    weights = metrics.picture_weights(y, n, seed)
    cases: dict[tuple[str, str], dict[int, tuple[float, NDArray[Any]]]] = {}
    for model, own in zip(MODELS, (universal, robust), strict=True):
        for kind in ("color", "gray"):
            cases[model, kind] = {
                s: (metrics.average_precision(y, logits), metrics.resampled_ap(y, logits, weights))
                for s, logits in own[kind].items()
            }
        cases[model, "color - gray"] = _apart(cases[model, "color"], cases[model, "gray"])
    for kind in ("color", "gray", "color - gray"):
        cases["difference", kind] = _apart(cases[MODELS[1], kind], cases[MODELS[0], kind])
    rows = []
    for (model, kind), found in cases.items():
        if not found:
            raise ValueError(
                f"no training seed has both detectors (universal: {sorted(universal['color'])}, "
                f"colour-robust: {sorted(robust['color'])}): expected at least one in common"
            )
        bounds = intervals.SHARE if model in MODELS and kind in ("color", "gray") else intervals.DIFFERENCE
        for name, some in [*((str(s), [case]) for s, case in found.items()), ("all", [*found.values()])]:
            pooled = intervals.over_seeds(
                [value for value, _ in some], np.stack([values for _, values in some], 1), bounds, level
            )
            row = {"model": model, "input": kind, "seed": name, **pooled.columns("ap", "ap_low", "ap_high")}
            rows.append(row | {"n_real": int((y == 0).sum()), "n_fake": int((y == 1).sum())})
    return pd.DataFrame(rows)


def _apart(
    a: Mapping[int, tuple[float, NDArray[Any]]], b: Mapping[int, tuple[float, NDArray[Any]]]
) -> dict[int, tuple[float, NDArray[Any]]]:
    return {s: (a[s][0] - b[s][0], a[s][1] - b[s][1]) for s in a if s in b}


def before_after(
    universal: Sequence[Sample],
    robust: Sequence[Sample],
    alpha: float = ALPHA,
    splits: int = 100,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of colour-conditional maps (Mood's test) of a detector and of its colour-robust twin.

    Parameters
    ----------
    universal, robust: one `Sample` per training seed, in one order of seeds, all of the same pictures and
        with the same groups, "top-k" and "matched-k" among them.
    splits: random splits of the pictures into halves; as `contrast`, whose intervals these are.

    Returns
    -------
    Rows ``model, group, share, low, high, seeds, covers, n, k``: model is "universal", "color-robust" or
    "difference" (robust minus universal); group is one of the samples', or "top-k - matched-k". ``n`` is
    the number of pictures of a half, at which all shares are measured, ``k`` the size of the top-k.
    """
    if len(universal) != len(robust) or not universal:
        raise ValueError(
            f"{len(universal)} samples before and {len(robust)} after: expected one of each for every seed"
        )
    groups = list(universal[0].members)
    if any(list(s.members) != groups for s in (*universal, *robust)) or {"top-k", "matched-k"} - {*groups}:
        raise ValueError("expected the same groups in every sample, with 'top-k' and 'matched-k'")
    if len({len(s.color) for s in (*universal, *robust)}) > 1:
        raise ValueError("samples of different numbers of pictures: expected the same pictures in each")
    found = [_shares_of_halves(some, alpha, splits, seed) for some in (universal, robust)]
    found.append(found[1] - found[0])  # the same halves of the same pictures
    rows = []
    for model, values in zip((*MODELS, "difference"), found, strict=True):
        contrast = values[..., groups.index("top-k")] - values[..., groups.index("matched-k")]
        own = intervals.SHARE if model in MODELS else intervals.DIFFERENCE
        cases = [(group, values[..., i], own) for i, group in enumerate(groups)]
        # the difference of two differences may reach from -2 to 2
        cases.append(
            ("top-k - matched-k", contrast, intervals.DIFFERENCE if model in MODELS else (-2.0, 2.0))
        )
        rows += [
            {"model": model, "group": group, **_interval_of_halves(some, level, bounds).columns("share")}
            for group, some, bounds in cases
        ]
    return pd.DataFrame(rows).assign(n=len(universal[0].color) // 2, k=len(universal[0].members["top-k"][0]))
