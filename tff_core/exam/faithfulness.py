"""Are explanations faithful: several methods, several measures, the same pictures.

Each measure has a direction, and random numbers as its zero: what a method is worth is how much better than
these it is on the same pictures. `METRICS` says which measures there are; `measure` takes them for one
trained detector, `summary` and `ranking` pool trainings, each of which has pictures of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor
from torchvision.transforms import v2

from tff_core import intervals, metrics
from tff_core.exam import flipping, imputation, ranks, stability, subsets
from tff_core.exam.methods import Explain, sides
from tff_core.pictures import data

Floats = NDArray[np.float64]
ALL = "all"
"""In a table of ranks: the mean over all measures of faithfulness."""
CURVES = ("flip_most", "flip_least", "deletion", "insertion", "road")


@dataclass(frozen=True)
class Metric:
    """A measure: whether ``higher`` is better, what it is ``of`` (faithfulness, stability), its source.

    ``bounds``: the smallest and the largest value that it can have, within which its intervals stay; None
    where it has not both.
    """

    higher: bool
    of: str
    source: str
    bounds: intervals.Bounds | None = None


METRICS: Mapping[str, Metric] = {
    "flip_most": Metric(False, "faithfulness", "Samek et al. 2017"),
    "flip_least": Metric(True, "faithfulness", "Samek et al. 2017"),
    "deletion": Metric(False, "faithfulness", "Petsiuk et al. 2018", intervals.SHARE),
    "insertion": Metric(True, "faithfulness", "Petsiuk et al. 2018", intervals.SHARE),
    "road": Metric(False, "faithfulness", "Rong et al. 2022", intervals.SHARE),
    "sensitivity_n": Metric(True, "faithfulness", "Ancona et al. 2018", intervals.DIFFERENCE),
    "infidelity": Metric(False, "faithfulness", "Yeh et al. 2019"),
    "max_sensitivity": Metric(False, "stability", "Yeh et al. 2019"),
}
"""All measures by name.

``flip_most`` and ``flip_least``: the mean logit of the decision while regions go, the most or the least
relevant ones first, replaced by the picture's mean colour. ``deletion`` and ``insertion``: the mean
probability of the decision while single pixels go in the order of their relevance, replaced by the mean
colour, or come back to the blurred picture. ``road``: the share of pictures with imputed pixels, the most
relevant ones, of which the decision is the same. ``sensitivity_n``, ``infidelity`` (scaled) and
``max_sensitivity``: see `tff_core.exam.subsets` and `tff_core.exam.stability`.
"""
FAITHFUL = tuple(name for name, one in METRICS.items() if one.of == "faithfulness")


@dataclass(frozen=True)
class Sizes:
    """How finely is measured.

    ``patch``: pixels a side of the regions that go at once, and of the cells of sets; ``steps`` of each
    curve; ``imputed``: shares of the picture that are imputed; ``sizes``: shares of the cells that sets have,
    ``sets`` of each size, and ``squares`` of all sizes; ``noisy``: so many pictures are asked about
    ``copies`` with noise of ``radius`` (in normalised pixels); 0 for none.
    """

    patch: int = 8
    steps: int = 5
    imputed: tuple[float, ...] = (0.1, 0.3, 0.5)
    sizes: tuple[float, ...] = (0.1, 0.3, 0.5)
    sets: int = 20
    squares: int = 20
    noisy: int = 2
    copies: int = 2
    radius: float = 0.05

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.imputed or not self.sizes or min(self.sets, self.squares) < 2:
            raise ValueError(
                f"{self.steps} steps, {len(self.imputed)} imputed shares, {len(self.sizes)} sizes of "
                f"{self.sets} sets, {self.squares} squares: expected one or more of the first three, and two "
                "or more sets and squares"
            )


@dataclass(frozen=True)
class Measured:
    """What is known of one detector.

    ``values``: rows ``picture, method, measure, value``; ``curves``: rows ``method, curve, share, value``,
    means over pictures; ``maps``: by method, the relevance (N, H, W).
    """

    values: pd.DataFrame
    curves: pd.DataFrame
    maps: dict[str, Tensor]


def measure(
    score: flipping.Score,
    methods: Mapping[str, Explain],
    x: Tensor,
    sizes: Sizes = Sizes(),
    *,
    seed: int = 0,
    batch_size: int = 64,
) -> Measured:
    """All measures of all methods on pictures (N, 3, H, W), normalised; ``score`` gives a detector's logits.

    A value is a picture's own and does not depend on the others. Raises ValueError where there is no picture,
    or a method's relevance has the wrong shape or is not finite (it is named).
    """
    if not len(x) or not methods:
        raise ValueError(f"{len(x)} pictures and {len(methods)} methods: expected one or more of each")
    side = sides(torch.from_numpy(flipping.scores(score, x, batch_size))).numpy()
    common = _Common.of(score, x, side, sizes, seed, batch_size)
    rows, curves, maps = [], [], {}
    for name, explain in methods.items():
        try:
            relevance = flipping.checked(explain(x), x)
            found, drawn = _one(score, x, relevance, common, sizes, seed, batch_size)
            noisy = slice(0, sizes.noisy)
            if sizes.noisy and sizes.copies:
                found["max_sensitivity"] = stability.max_sensitivity(
                    explain, x[noisy], relevance[noisy], sizes.radius, sizes.copies, seed
                )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        maps[name] = relevance
        for metric, values in found.items():
            rows += [(i, name, metric, float(value)) for i, value in enumerate(values)]
        for curve, (shares, heights) in drawn.items():
            curves += [(name, curve, q, float(v)) for q, v in zip(shares, heights.mean(0), strict=True)]
    return Measured(
        pd.DataFrame(rows, columns=["picture", "method", "measure", "value"]),
        pd.DataFrame(curves, columns=["method", "curve", "share", "value"]),
        maps,
    )


@dataclass(frozen=True)
class _Common:
    """What all methods share: the two ends of the curves, and how the score falls when sets go."""

    side: Floats
    plain: Tensor
    blur: Tensor
    ends: dict[str, tuple[Floats, Floats]]
    sets: list[tuple[Tensor, Floats]]
    squares: tuple[Tensor, Floats]

    @classmethod
    def of(
        cls, score: flipping.Score, x: Tensor, side: Floats, sizes: Sizes, seed: int, batch_size: int
    ) -> _Common:
        plain, blur = flipping.mean_colour(x), flipping.blurred(x)
        whole, empty, smooth = (side * flipping.scores(score, one, batch_size) for one in (x, plain, blur))
        size = (x.shape[2], x.shape[3])
        chosen = [subsets.of_size(size, share, sizes.sets, sizes.patch, seed) for share in sizes.sizes]
        squares = subsets.squares(size, sizes.squares, seed=seed)

        def fell(sets: Tensor) -> Floats:
            falls: Floats = side[:, None] * subsets.falls(score, x, sets, plain, batch_size)
            return falls

        ends = {"flip_most": (whole, empty), "flip_least": (whole, empty)}
        ends |= {"deletion": (whole, empty), "insertion": (smooth, whole)}
        sets = [(one, fell(one)) for one in chosen]
        return cls(side, plain, blur, ends, sets, (squares, fell(squares)))


def _one(
    score: flipping.Score,
    x: Tensor,
    relevance: Tensor,
    common: _Common,
    sizes: Sizes,
    seed: int,
    batch_size: int,
) -> tuple[dict[str, Floats], dict[str, tuple[list[float], Floats]]]:
    """The values (N,) of one method's relevance, and the curves (N, S) behind some of them, by shares."""
    shares = [i / sizes.steps for i in range(sizes.steps + 1)]
    inner = shares[1:-1]
    found, drawn = {}, {}
    for name in ("flip_most", "flip_least", "deletion", "insertion"):
        regions = name.startswith("flip")
        when = flipping.order(
            relevance, sizes.patch if regions else 1, least_first=name == "flip_least", seed=seed
        )
        insert = name == "insertion"
        fill = common.blur if insert else common.plain
        first, last = common.ends[name]
        heights = [first[:, None], last[:, None]]
        if inner:
            between = flipping.curve(score, x, when, inner, fill, insert=insert, batch_size=batch_size)
            heights.insert(1, common.side[:, None] * between)
        curve = np.concatenate(heights, 1)
        drawn[name] = shares, curve if regions else expit(curve)
        found[name] = flipping.area(drawn[name][1], shares)
    when = flipping.order(relevance, seed=seed)
    left = imputation.curve(score, x, when, sizes.imputed, seed=seed, batch_size=batch_size)
    same = (np.where(left < 0, -1.0, 1.0) == common.side[:, None]).astype(float)
    drawn["road"] = list(sizes.imputed), same
    found["road"] = same.mean(1)
    kept = [subsets.sensitivity_n(fell, subsets.sums(relevance, sets)) for sets, fell in common.sets]
    found["sensitivity_n"] = np.mean(kept, 0)
    squares, fell = common.squares
    found["infidelity"] = subsets.infidelity(fell, subsets.sums(relevance, squares))
    return found, drawn


def own_pictures(
    sets: Mapping[str, data.ImageSet],
    n: int,
    training: int,
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> tuple[list[str], Tensor]:
    """``n`` pictures for one of several trainings, each from the next generator: their names, and the pixels.

    ``sets`` has each generator's pictures; training 0 gets the first ones, training 1 the next, and so on, so
    that trainings have pictures of their own. Where a generator has too few, they begin again. Pixels are
    uint8 (n, 3, H, W), cut as a detector needs them and to the largest middle that all have.

    Raises ValueError where there is no picture, and PictureError as `tff_core.pictures.data.load`.
    """
    there = {name: images for name, images in sets.items() if len(images)}
    if not there or n < 1:
        raise ValueError(f"{n} pictures of {len(there)} generators: expected one or more of each")
    names, loaded = list(there), []
    chosen = [(names[i % len(names)], i // len(names)) for i in range(training * n, (training + 1) * n)]
    for name, place in chosen:
        loaded.append(data.load(there[name].take([place % len(there[name])]), preprocessing))
    size = [min(one.shape[axis] for one in loaded) for axis in (2, 3)]
    cut = [v2.functional.center_crop(one, size) for one in loaded]
    return [name for name, _ in chosen], torch.cat(cut)


def summary(values: pd.DataFrame, seed: int = 0, n: int = metrics.RESAMPLES) -> pd.DataFrame:
    """Means over pictures and trainings, and how much better than the two controls they are, with intervals.

    ``values``: rows of `Measured.values` with a column ``seed``, the training's; trainings have pictures of
    their own. One row for each ``method`` and ``measure``: ``value, low, high`` (95 %); ``over_random,
    over_random_low, over_random_high``, by how much it is *better* than random numbers on the same pictures
    (positive is better, whatever the direction of the measure), and ``over_edges, ...`` likewise; ``n``
    pictures with a value, and the share of them that is ``missing``; ``seeds, covers``. Intervals are those
    of `tff_core.intervals`, pictures resampled within each training; a single picture of a single training
    has none. Differences to a control that is not there are missing.
    """
    rows = []
    for metric in [name for name in METRICS if name in set(values["measure"])]:
        own = values[values["measure"] == metric]
        table = own.pivot(index=["seed", "picture"], columns="method", values="value")
        sign = 1 if METRICS[metric].higher else -1
        for method in dict.fromkeys(own["method"]):
            pooled = _pooled(table[method], seed, n, METRICS[metric].bounds)
            row = {"method": method, "measure": metric, **pooled.columns("value")}
            for control in ("random", "edges"):
                there = control in table and control != method
                gain = sign * (table[method] - table[control]) if there else table[method] * np.nan
                better = _pooled(gain, seed, n)
                name = f"over_{control}"
                row |= {name: better.value, f"{name}_low": better.low, f"{name}_high": better.high}
            known = int(table[method].notna().sum())
            rows.append(row | {"n": known, "missing": 1 - known / len(table)})
    return pd.DataFrame(rows)


def _pooled(values: pd.Series, seed: int, n: int, bounds: intervals.Bounds | None = None) -> intervals.Pooled:
    """The mean over trainings of the means over their pictures, by ``seed`` and ``picture``."""
    groups = [own.dropna().to_numpy(float) for _, own in values.groupby(level="seed")]
    groups = [own for own in groups if len(own)]
    if not groups:
        return intervals.Pooled(np.nan, np.nan, np.nan, 0)
    if len(groups) == 1 and len(groups[0]) == 1:
        return intervals.Pooled(float(groups[0][0]), np.nan, np.nan, 1)
    drawn = [metrics.resampled_means(own, n, [seed, place]) for place, own in enumerate(groups)]
    return intervals.over_seeds([own.mean() for own in groups], np.stack(drawn, 1), bounds)


def ranking(values: pd.DataFrame, level: float = metrics.LEVEL) -> pd.DataFrame:
    """Mean ranks of methods, with the critical difference of each measure; ``values`` as in `summary`.

    One row for each ``measure`` (and `ALL`: of each picture the mean rank over all measures of faithfulness)
    and ``method``: ``mean_rank`` (over pictures; 1 is best), ``n`` pictures, ``critical`` (mean ranks that
    are this much apart differ), and ``friedman, friedman_p`` of the test that all are alike. The pictures are
    the blocks, those of all trainings together; what is missing counts as last. Without three methods and two
    pictures the test and the difference are missing.
    """
    tables = {}
    for metric in [name for name in METRICS if name in set(values["measure"])]:
        own = values[values["measure"] == metric]
        wide = own.pivot(index=["seed", "picture"], columns="method", values="value")
        wide = wide[list(dict.fromkeys(own["method"]))]
        ranked = ranks.ranks(wide.to_numpy(float), METRICS[metric].higher)
        tables[metric] = pd.DataFrame(ranked, index=wide.index, columns=wide.columns)
    faithful = [tables[name] for name in FAITHFUL if name in tables]
    if len(faithful) > 1:
        mean = sum(faithful[1:], faithful[0]) / len(faithful)
        tables[ALL] = pd.DataFrame(ranks.ranks(mean, False), index=mean.index, columns=mean.columns)
    rows = []
    for metric, table in tables.items():
        blocks, k = table.shape
        enough = blocks > 1 and k > 2
        test = ranks.friedman(table) if enough else ranks.Friedman(np.nan, np.nan, blocks, k)
        critical = ranks.critical_difference(k, blocks, level) if enough else np.nan
        for method, rank in table.mean().items():
            rows.append((metric, method, float(rank), blocks, critical, test.statistic, test.p))
    columns = ["measure", "method", "mean_rank", "n", "critical", "friedman", "friedman_p"]
    return pd.DataFrame(rows, columns=columns)
