"""Is omega needed? Other rankings of feature maps, controls that its maps must beat, and how stable it is.

Omega is one way to rank feature maps: by their share of the relevance of their layer. The same share can be
taken of something cheaper than relevance, of the activation itself or of gradient times activation
(`shares`), and a map's part in the decision can be measured directly by dropping it alone (`ablation`). All
are compared by how dropping their first k maps changes the average precision, for many k (`measure`,
`Curves`).

These comparisons are additions to the paper, whose sections 4 and 5 define omega and the sensitivity test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tff_core import intervals, lrp, metrics
from tff_core.features import dropout
from tff_core.features.ffrs import Omega
from tff_core.features.names import FeatureMap
from tff_core.lrp.canonize import Step
from tff_core.pictures import data
from tff_core.store import memory

Floats = NDArray[np.float64]
Quantity = Literal["relevance", "activation", "gradient"]

MEAN = "mean"
"""In the column generator: the mean over generators."""


# ------------------------------------------------------------------------------------------- the rankings


def feature_maps(net: lrp.Net) -> list[FeatureMap]:
    """All feature maps of the network, in its order: the columns of `shares`."""
    return [FeatureMap(layer, c, n) for layer, n in net.layers.items() for c in range(n)]


def shares(
    net: lrp.Net, batches: data.Pictures, of: Quantity = "relevance", batch_size: int = 25
) -> NDArray[np.float32]:
    """Each map's share of its layer in each picture, (N, M), columns as in `feature_maps`.

    Omega before its mean over pictures: with a quantity Q on the maps of a layer, the sum of its positive
    part over one map, divided by the sum of abs(Q) over the layer. A layer in which Q is zero throughout has
    no shares: zeros.

    Args:
        net: with one logit, which speaks for fake.
        batches: pictures (N, 3, H, W), normalised, or batches of them; rows are in their order.
        of: what Q is. "relevance": that of the logit, as for omega of fakes; "activation": the output of the
            convolution after its batch normalisation, where relevance is read too; "gradient": that output
            times the gradient of the logit with respect to it.
        batch_size: pictures at a time, at most; the gradient keeps all their activations.

    Source: paper, section 4 (omega); the other two quantities are additions.
    """

    def of_some(part: Tensor) -> Tensor:
        net.check(part)
        rows: dict[str, Tensor] = {}

        def collect(layer: str, q: Tensor) -> None:
            total = q.abs().sum((1, 2, 3))[:, None]
            rows[layer] = (q.clamp(min=0).sum((2, 3)) / total).nan_to_num(0.0, 0.0).float().cpu()

        if of == "relevance":
            lrp.relevance(net, part, start=net(part), on_layer=collect)
        elif of == "activation":
            with torch.no_grad():
                net.forward(part, watch=lambda step, y: collect(step.name, y) if step.layer else None)
        else:
            for layer, (y, gradient) in _gradients(net, part).items():
                collect(layer, y * gradient)
        return torch.cat([rows[layer] for layer in net.layers], 1)

    parts = memory.Parts()
    found = [parts.cat(of_some, part) for x in data.pictures(batches) for part in x.split(batch_size)]
    return torch.cat(found).numpy()


def _gradients(net: lrp.Net, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """For each layer its output (N, C, h, w) and the gradient of each picture's logit with respect to it."""
    with torch.enable_grad():
        y, outputs = net.layers_of(x.clone().requires_grad_())
        gradients = torch.autograd.grad(y[:, net.target or 0].sum(), list(outputs.values()))
    return {layer: (y.detach(), g) for (layer, y), g in zip(outputs.items(), gradients, strict=True)}


def ranking(net: lrp.Net, values: NDArray[np.floating], count: int = 1) -> Omega:
    """A ranking by any number per map, (M,) as in `feature_maps`, with the methods of `Omega`."""
    ends = np.cumsum(list(net.layers.values()))
    if values.shape != (ends[-1],):
        raise ValueError(f"values of shape {values.shape}: expected one for each of {ends[-1]} feature maps")
    parts = np.split(values.astype(np.float64), ends[:-1])
    return Omega(dict(zip(net.layers, parts, strict=True)), count=count)


def ablation(
    net: lrp.Net, batches: data.Pictures, maps: Iterable[FeatureMap], rows: int = 64
) -> dict[FeatureMap, float]:
    """For each map, by how much the mean logit of pictures (N, 3, H, W) falls when it alone is dropped.

    Large: the network needs the map to call them fake. Maps of a layer share everything before it. The
    pictures may come in batches, such as those of one size each; ``rows`` as in `dropout.sweep`.
    """
    chosen = list(maps)
    plans = [dropout.plan(net, [m]) for m in chosen]
    whole: list[Tensor] = []
    without: list[list[Tensor]] = [[] for _ in chosen]
    for x in data.pictures(batches):
        whole.append(net(x)[:, net.target or 0].double())
        for number, y in dropout.sweep(net, x, plans, rows):
            without[number].append(y[:, net.target or 0].double())
    mean = float(torch.cat(whole).mean())
    return {m: mean - float(torch.cat(own).mean()) for m, own in zip(chosen, without, strict=True)}


def candidates(rankings: Iterable[Omega], n: int) -> list[FeatureMap]:
    """All maps among the first ``n`` of any of the rankings, in the order of the network."""
    rankings = list(rankings)
    chosen = {m for ranking in rankings for m in ranking.ranking[:n]}
    layers = {layer: i for i, layer in enumerate(rankings[0].values)}
    return sorted(chosen, key=lambda m: (layers[m.layer], m.channel))


def reordered(omega: Omega, scores: Mapping[FeatureMap, float]) -> list[FeatureMap]:
    """The scored maps, largest score first, followed by all others in the order of ``omega``."""
    first = sorted(scores, key=lambda m: -scores[m])
    return first + [m for m in omega.ranking if m not in scores]


# ------------------------------------------------------------------------------------------- the controls


@dataclass(frozen=True)
class Levels:
    """What each map gives to the next operation, averaged over pictures and positions.

    ``mean`` and ``magnitude`` (mean of the absolute value) are (C,) float64 for each layer, of the output
    after the activation, or of the convolution where no activation follows (`dropout.site`).
    """

    mean: Mapping[str, Tensor]
    magnitude: Mapping[str, Tensor]


@torch.no_grad()
def levels(net: lrp.Net, batches: Iterable[Tensor | Sequence[Any]]) -> Levels:
    """Mean and magnitude of every map over pictures, in one pass; ValueError where there is no picture.

    ``batches`` yields pictures (N, 3, H, W), or tuples that start with them.
    """
    layer_at = {dropout.site(net, layer): layer for layer in net.layers}
    place = {id(net.steps[i]): layer for i, layer in layer_at.items()}
    mean = {layer: torch.zeros(n, dtype=torch.float64) for layer, n in net.layers.items()}
    magnitude = {layer: torch.zeros(n, dtype=torch.float64) for layer, n in net.layers.items()}

    def sums(x: Tensor, part: slice) -> dict[str, tuple[Tensor, Tensor]]:
        found: dict[str, tuple[Tensor, Tensor]] = {}

        def watch(step: Step, y: Tensor) -> None:
            layer = place.get(id(step))
            if layer is not None:
                found[layer] = _total(y), _total(y.abs())

        net.forward(x[part], watch=watch)
        return found

    parts = memory.Parts()
    count = 0
    for x in data.pictures(batches):
        net.check(x)
        for _, found in parts(partial(sums, x), len(x), memory.describe(x)):
            for layer, (of_value, of_magnitude) in found.items():
                mean[layer] += of_value
                magnitude[layer] += of_magnitude
        count += len(x)
    if not count:
        raise ValueError("no pictures: expected at least one to average the feature maps over")
    return Levels({k: v / count for k, v in mean.items()}, {k: v / count for k, v in magnitude.items()})


def _total(y: Tensor) -> Tensor:
    """Sum over pictures of each map's mean, (C,) float64, on the CPU."""
    return y.mean((2, 3)).cpu().double().sum(0)


def magnitude_matched(
    omega: Omega,
    magnitude: Mapping[str, Tensor],
    k: int,
    seed: int,
    within_layer: bool = True,
    nearest: int = 5,
) -> list[FeatureMap]:
    """A control for the top ``k``: for each of them a map outside the top ``k`` of similar magnitude.

    Taken at random from the ``nearest`` ones on a logarithmic scale that are still free, in the same layer,
    or in the whole network. A layer with too few others gives all it has, as in `Omega.matched`.
    """
    if nearest < 1:
        raise ValueError(f"nearest is {nearest}: expected at least 1 map to choose from")
    rng = np.random.default_rng(seed)
    top = omega.top(k)
    taken = set(top)
    level = {layer: np.log(np.maximum(v.numpy(), 1e-12)) for layer, v in magnitude.items()}
    free: dict[str, list[FeatureMap]] = {}
    for layer, values in omega.values.items():
        others = (FeatureMap(layer, c, len(values)) for c in range(len(values)))
        free.setdefault(layer if within_layer else "", []).extend(m for m in others if m not in taken)
    heights = {pool: np.array([level[m.layer][m.channel] for m in maps]) for pool, maps in free.items()}
    chosen = []
    for i in rng.permutation(len(top)):
        pool = top[i].layer if within_layer else ""
        distance = np.abs(heights[pool] - level[top[i].layer][top[i].channel])
        near = np.argsort(distance, kind="stable")[:nearest]
        near = near[np.isfinite(distance[near])]
        if len(near):
            pick = int(rng.choice(near))
            chosen.append(free[pool][pick])
            heights[pool][pick] = np.inf  # no longer free
    return chosen


def shuffled(omega: Omega, seed: int) -> list[FeatureMap]:
    """All maps in random order: ranking by chance."""
    maps = list(omega.ranking)
    return [maps[i] for i in np.random.default_rng(seed).permutation(len(maps))]


def first_whole_layer(maps: Sequence[FeatureMap]) -> tuple[int, str] | None:
    """The number of leading maps that hold all maps of some layer, and that layer; None where none is whole.

    Without a whole layer a network passes nothing on that depends on the picture, unless a shortcut leads
    round it: then no ranking is needed to explain that it fails, and no layer-matched control exists.
    """
    left: dict[str, int] = {}
    for count, m in enumerate(maps, start=1):
        left[m.layer] = left.get(m.layer, m.channels) - 1
        if not left[m.layer]:
            return count, m.layer
    return None


# --------------------------------------------------------------------------------------------- the curves


@dataclass(frozen=True)
class Case:
    """One set of dropped maps: its name, dose ``k``, draw and plan.

    ``dropped`` is the number of maps in it: less than k where a control ran out of maps.
    """

    name: str
    k: int
    plan: dropout.Plan
    dropped: int
    draw: int = 0


def case(
    net: lrp.Net, name: str, k: int, maps: Sequence[FeatureMap], draw: int = 0, by: Any = "dropped"
) -> Case:
    """A `Case` of these maps; ``by`` as in `dropout.plan`."""
    return Case(name, k, dropout.plan(net, maps, by), len(maps), draw)


WHOLE = "whole detector"


def measure(
    net: lrp.Net,
    images: data.ImageSet,
    cases: Sequence[Case],
    *,
    batch_size: int = 60,
    rows: int = 64,
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> pd.DataFrame:
    """The logit of every picture in every case, and of the whole network (called `WHOLE`, k = 0).

    Returns columns generator (the folder's name), name, k, draw, dropped, image (number in ``images``),
    label, logit. ``rows`` as in `dropout.sweep`.
    """
    every = [Case(WHOLE, 0, {}, 0), *cases]
    logits = np.empty((len(every), len(images)))
    plans, parts = [c.plan for c in every], memory.Parts()

    def run(x: Tensor) -> Tensor:
        found = torch.empty((len(x), len(plans)), dtype=torch.float64)
        for number, y in dropout.sweep(net, x, plans, rows):
            found[:, number] = y[:, net.target or 0].cpu().double()
        return found

    for x, _, index in data.batches(images, batch_size, device=net.device, preprocessing=preprocessing):
        logits[:, index.numpy()] = parts.cat(run, x).numpy().T
    n = len(images)
    return pd.DataFrame(
        {
            "generator": images.root.name,
            "name": np.repeat([c.name for c in every], n),
            "k": np.repeat([c.k for c in every], n),
            "draw": np.repeat([c.draw for c in every], n),
            "dropped": np.repeat([c.dropped for c in every], n),
            "image": np.tile(np.arange(n), len(every)),
            "label": np.tile(images.labels, len(every)),
            "logit": logits.reshape(-1),
        }
    )


@dataclass(frozen=True)
class Curves:
    """AP of every case on every generator, as measured and in every resample, all resamples paired.

    In one resample all cases see the same pictures (drawn anew for each generator, reals and fakes apart);
    draws of a random set are drawn anew too, the same ones at every k. Resamples are centred on the measured
    AP: with few pictures they would lie above it. The generator "mean" is the mean over generators.
    """

    frame: pd.DataFrame
    resamples: int = metrics.RESAMPLES
    seed: int = 0
    _kept: dict[Any, tuple[float, Floats]] = field(default_factory=dict, repr=False)

    @cached_property
    def generators(self) -> list[str]:
        return list(dict.fromkeys(self.frame["generator"]))

    @cached_property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Reals and fakes of each generator; of "mean" those of all together."""
        found = {}
        for generator, rows in self._whole.items():
            found[generator] = int((rows["label"] == 0).sum()), int((rows["label"] == 1).sum())
        found[MEAN] = sum(r for r, _ in found.values()), sum(f for _, f in found.values())
        return found

    @cached_property
    def _whole(self) -> dict[str, pd.DataFrame]:
        rows = self.frame[self.frame["name"] == WHOLE]
        return {g: rows[rows["generator"] == g].sort_values("image") for g in self.generators}

    @cached_property
    def _weights(self) -> dict[str, NDArray[np.float32]]:
        return {
            g: metrics.picture_weights(rows["label"], self.resamples, 1000 * self.seed + i)
            for i, (g, rows) in enumerate(self._whole.items())
        }

    @cached_property
    def _groups(self) -> dict[Any, pd.DataFrame]:
        return dict(iter(self.frame.groupby(["name", "k", "generator"], sort=False)))

    def doses(self, name: str) -> list[int]:
        """The k at which a case was measured, in order."""
        return sorted(int(k) for k in self.frame.loc[self.frame["name"] == name, "k"].unique())

    def ap(self, name: str, k: int, generator: str = MEAN) -> tuple[float, Floats]:
        """The AP of a case, mean over its draws, and that of every resample (B,)."""
        key = (name, k, generator)
        if key not in self._kept:
            if generator == MEAN:
                each = [self.ap(name, k, g) for g in self.generators]
                value = float(np.mean([p for p, _ in each])), np.mean([v for _, v in each], axis=0)
            else:
                value = self._one(name, k, generator)
            self._kept[key] = value
        return self._kept[key]

    def _one(self, name: str, k: int, generator: str) -> tuple[float, Floats]:
        labels = self._whole[generator]["label"].to_numpy()
        points, values = [], []
        for _, rows in self._groups[name, k, generator].groupby("draw"):
            logits = rows.sort_values("image")["logit"].to_numpy()
            resampled = metrics.resampled_ap(labels, logits, self._weights[generator])
            points.append(metrics.average_precision(labels, logits))
            # a picture drawn twice makes two hits at once: resampling few pictures raises AP by itself
            values.append((resampled - resampled.mean() + points[-1]).clip(0, 1))
        # one stream for a name: its draws are the same sets of maps on all generators, grown with k
        stream = 2 + list(dict.fromkeys(self.frame["name"])).index(name)
        drawn = metrics.draw_weights(len(points), self.resamples, self.seed, stream)
        return float(np.mean(points)), (np.stack(values, 1) * drawn).sum(1)

    def area(self, name: str, generator: str = MEAN) -> tuple[float, Floats]:
        """Mean AP over log k, from the first to the last k measured; small if the ranking finds what matters.

        By the trapezoidal rule; for a single k, its AP.
        """
        doses = self.doses(name)
        each = [self.ap(name, k, generator) for k in doses]
        points, values = np.array([p for p, _ in each]), np.stack([v for _, v in each], 1)
        if len(doses) == 1:
            return float(points[0]), values[:, 0]
        at = np.log(doses)
        span = at[-1] - at[0]
        return float(np.trapezoid(points, at) / span), np.trapezoid(values, at, axis=1) / span

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """Columns generator, ranking, k, ap, low, high, dropped (maps, mean), draws, n_real, n_fake."""
        rows = []
        for name in (WHOLE, *names):
            own = self.frame[self.frame["name"] == name]
            for k in self.doses(name):
                some = own[own["k"] == k]
                extra = {"dropped": float(some["dropped"].mean()), "draws": int(some["draw"].nunique())}
                for generator in (*self.generators, MEAN):
                    ap, values = self.ap(name, k, generator)
                    rows.append(
                        {"generator": generator, "ranking": name, "k": k}
                        | _ends("ap", ap, values)
                        | extra
                        | self._n(generator)
                    )
        return pd.DataFrame(rows)

    def areas(self, names: Sequence[str], base: str) -> pd.DataFrame:
        """Columns generator, ranking, area, low, high, n_real, n_fake.

        Every ranking also has a row for its paired difference to ``base``, "name - base": positive where
        dropping the maps of ``base`` hurts more.
        """
        rows = []
        for generator in (*self.generators, MEAN):
            n = self._n(generator)
            own, values = self.area(base, generator)
            for name in names:
                area, other = self.area(name, generator)
                rows.append({"generator": generator, "ranking": name} | _ends("area", area, other) | n)
                if name != base:
                    minus = _ends("area", area - own, other - values)
                    rows.append({"generator": generator, "ranking": f"{name} - {base}"} | minus | n)
        return pd.DataFrame(rows)

    def differences(self, pairs: Mapping[str, tuple[str, str]], k: int) -> pd.DataFrame:
        """AP of one case minus another's at one k: generator, contrast, delta_ap, low, high, n_real, n_fake.

        ``pairs`` names each comparison: first minus second.
        """
        rows = []
        for generator in (*self.generators, MEAN):
            for contrast, (first, second) in pairs.items():
                a, b = (self.ap(name, 0 if name == WHOLE else k, generator) for name in (first, second))
                minus = _ends("delta_ap", a[0] - b[0], a[1] - b[1])
                rows.append({"generator": generator, "contrast": contrast} | minus | self._n(generator))
        return pd.DataFrame(rows)

    def _n(self, generator: str) -> dict[str, int]:
        real, fake = self.counts[generator]
        return {"n_real": real, "n_fake": fake}


def _ends(name: str, value: float, values: Floats) -> dict[str, float]:
    low, high = metrics.percentiles(values)
    return {name: value, "low": low, "high": high}


# ------------------------------------------------------------------------------------------- the stability


def overlap(a: Sequence[FeatureMap], b: Sequence[FeatureMap]) -> float:
    """Share of the maps of ``a`` that are also in ``b``, which has equally many."""
    return len(set(a) & set(b)) / len(a)


def chance_overlap(
    a: Sequence[FeatureMap], b: Sequence[FeatureMap], draws: int = 2000, seed: int = 0
) -> metrics.Interval:
    """The overlap of ``a`` and ``b`` expected from their numbers of maps in each layer alone.

    Which channels they are is drawn at random in every layer; the interval holds the central 95 % of draws.
    Channels of separately trained networks have no common numbering, so this is the overlap expected of them.
    """
    rng = np.random.default_rng(seed)
    sizes = {m.layer: m.channels for m in (*a, *b)}
    count = {layer: (sum(m.layer == layer for m in a), sum(m.layer == layer for m in b)) for layer in sizes}
    mean = sum(x * y / sizes[layer] for layer, (x, y) in count.items())
    drawn = sum(rng.hypergeometric(x, sizes[layer] - x, y, draws) for layer, (x, y) in count.items())
    return metrics.Interval(mean / len(a), *metrics.percentiles(np.asarray(drawn) / len(a)))


def layer_overlap(a: Sequence[FeatureMap], b: Sequence[FeatureMap]) -> float:
    """Share of the maps of ``a`` for which ``b`` has one in the same layer, each counted once."""
    layers = {m.layer for m in a}
    return sum(min(sum(m.layer == k for m in a), sum(m.layer == k for m in b)) for k in layers) / len(a)


def stability(
    values: NDArray[np.floating], ks: Sequence[int], draws: int = 100, seed: int = 0
) -> pd.DataFrame:
    """How far the first k maps depend on the pictures, from each picture's share of each map (N, M).

    "halves": the overlap of the rankings by two random halves of the pictures, over ``draws`` splits.
    "bootstrap": that of the ranking by pictures drawn with replacement with the ranking by all. ``value`` is
    the mean over draws, ``low`` and ``high`` hold the central 95 %, ``n`` counts the pictures of one ranking.

    Raises ValueError where there are fewer than four pictures.
    """
    n = len(values)
    if n < 4:
        raise ValueError(f"{n} pictures: expected at least 4, to rank the maps by each half of them")
    rng = np.random.default_rng(seed)
    halves = np.stack([rng.permutation(n) < n // 2 for _ in range(draws)]).astype(np.float32)
    again = metrics.resamples(n, draws, rng).astype(np.float32)
    own = values.astype(np.float32)

    def means(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(weights @ own / weights.sum(1, keepdims=True))

    whole = means(np.ones((1, n), dtype=np.float32))
    pairs = {
        "halves": (means(halves), means(1 - halves), n // 2),
        "bootstrap": (means(again), whole, n),
    }
    rows = []
    for kind, (first, second, pictures) in pairs.items():
        for k in ks:
            found = (metrics.largest(first, k) & metrics.largest(second, k)).sum(1) / k
            rows.append({"kind": kind, "k": k} | _ends("value", float(found.mean()), found) | {"n": pictures})
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------------------- drift of a threshold


def recalibrated(labels: ArrayLike, logits: ArrayLike, n: int = 200, seed: int = 0) -> metrics.Interval:
    """The threshold that calibration would give, with a bootstrap interval over pictures.

    As `metrics.threshold_interval`, for detectors that may be broken: infinite where no threshold is better
    than calling every picture real, as for a network that gives all of them the same logit.
    """
    whole = metrics.best_threshold(labels, logits)
    found = metrics.resampled_thresholds(labels, logits, n, seed)
    found = np.where(np.isnan(found), np.inf, found)
    ends = (1 - metrics.LEVEL) / 2, (1 + metrics.LEVEL) / 2
    low, high = np.quantile(found, ends, method="nearest")  # infinities cannot be interpolated
    return metrics.Interval(np.inf if whole is None else whole, float(low), float(high))


def drift(
    frame: pd.DataFrame,
    before: Mapping[int, float],
    after: Mapping[int, float],
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Why accuracy was lost: the information is gone, or the threshold no longer fits.

    Args:
        frame: scores as from `sensitivity.scores`, of one detector on any number of generators, with the
            conditions "baseline" and "top-k".
        before: per training seed the threshold of the whole detector.
        after: per training seed that of the detector without its top-k, calibrated in the same way.

    Returns:
        Columns generator (also "mean"), what, acc_real, acc_fake, value, low, high, seeds, covers, n_real,
        n_fake.
        ``value`` is the balanced accuracy, mean over seeds, of "whole", "dropped" (without the top-k, at the
        old threshold) and "recalibrated"; and of the differences "gain" (recalibrated minus dropped: what was
        drift) and "lost" (whole minus recalibrated: what a threshold cannot bring back). The intervals are
        those of `tff_core.intervals`, over pictures and seeds.
    """
    seeds = sorted(before)
    conditions = {
        "whole": ("baseline", before),
        "dropped": ("top-k", before),
        "recalibrated": ("top-k", after),
    }
    points: dict[str, dict[str, Floats]] = {}
    values: dict[str, dict[str, Floats]] = {}
    counts: dict[str, tuple[int, int]] = {}
    for number, (generator, own) in enumerate(frame.groupby("generator", sort=False)):
        pictures = own[["image", "label"]].drop_duplicates().sort_values(["label", "image"])
        labels = pictures["label"].to_numpy()
        weights = metrics.picture_weights(labels, resamples, 1000 * seed + number)
        counts[str(generator)] = int((labels == 0).sum()), int((labels == 1).sum())
        points[str(generator)], values[str(generator)] = {}, {}
        for what, (condition, thresholds) in conditions.items():
            rows = own[own["condition"] == condition].sort_values(["label", "image"])
            right = np.stack(
                [(rows.loc[rows["seed"] == s, "logit"] >= thresholds[s]) == (labels == 1) for s in seeds]
            ).astype(np.float64)
            each = [right[:, labels == label].mean(1) for label in (0, 1)]
            balanced = sum(
                right[:, labels == label] @ weights[labels == label] / (labels == label).sum()
                for label in (0, 1)
            )
            points[str(generator)][what] = np.array(each)
            values[str(generator)][what] = np.asarray(balanced).T / 2
    names = list(counts)
    points[MEAN] = {what: np.mean([points[g][what] for g in names], axis=0) for what in conditions}
    values[MEAN] = {what: np.mean([values[g][what] for g in names], axis=0) for what in conditions}
    counts[MEAN] = sum(r for r, _ in counts.values()), sum(f for _, f in counts.values())
    rows_out = []
    for generator in counts:
        p, v, (real, fake) = points[generator], values[generator], counts[generator]
        shown = {what: (p[what], v[what]) for what in conditions}
        shown["gain"] = p["recalibrated"] - p["dropped"], v["recalibrated"] - v["dropped"]
        shown["lost"] = p["whole"] - p["recalibrated"], v["whole"] - v["recalibrated"]
        for what, (point, resampled) in shown.items():
            bounds = intervals.SHARE if what in conditions else intervals.DIFFERENCE
            pooled = intervals.over_seeds(point.mean(0), resampled, bounds)
            accuracy = dict(zip(("acc_real", "acc_fake"), point.mean(1), strict=True))
            rows_out.append(
                {"generator": generator, "what": what, **accuracy, **pooled.columns("value")}
                | {"n_real": real, "n_fake": fake}
            )
    return pd.DataFrame(rows_out)
