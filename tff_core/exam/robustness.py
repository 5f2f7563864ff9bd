"""What is left of a detector's answers, and of their explanations, when pictures are changed.

The same pictures are asked about in every condition, so that changes are paired. Of each picture there is the
logit; of some fakes that the unchanged detector calls fake there is the explanation, too: the heatmap of
their relevance, and every feature map's share of it, of which omega is the mean. All explanations are of what
speaks for fake, also where a changed picture is no longer called so: relevance starts at 1 whatever the
logit, which makes no difference to shares and to the shape of a heatmap.

Which gives way first, the verdict or its explanation? Both are brought to one scale, on which 1 is unchanged
and 0 is chance; either is *broken* where its whole interval lies below one half (`broken`).

Source: the questions of ForenSynths (Wang et al., CNN-generated images are surprisingly easy to spot, CVPR
2020), asked of the explanation as well, which is an addition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core import intervals, lrp, metrics
from tff_core.exam import overlaps
from tff_core.features import pixels
from tff_core.pictures import data, degradations
from tff_core.store import memory

Floats = NDArray[np.float64]
UNTOUCHED = "untouched"
MEAN = "mean"
"""In the column generator: the mean over generators."""
EXPLAINED = "explained fakes"
"""In the column generator: the fakes that are explained, of all generators together."""
BROKEN = 0.5
"""Broken is what has lost more than this share of the way from unchanged to chance, with its interval."""
_COUNTED = ("AP", "real right", "fake right", "verdict")
_AT_ONCE = 25  # pictures explained at a time


@dataclass(frozen=True)
class Condition:
    """One way to change pictures: ``apply`` takes uint8 (N, 3, H, W) and their numbers, (N,).

    It returns uint8 pictures, or floats in [0, 1], of one size. ``place`` says which part of a picture
    (height, width, number) is left, as top, left, height and width; None: all of it, at its place.
    """

    operation: str
    level: float
    apply: Callable[[Tensor, Sequence[int]], Tensor]
    place: Callable[[int, int, int], Sequence[int]] | None = None


def damage(levels: Mapping[str, Sequence[float]] | None = None, seed: int = 0) -> list[Condition]:
    """The conditions of `degradations`: all operations but zoom, or these levels of these operations.

    ValueError as `degradations.known`.
    """
    if levels is None:
        levels = {name: one.levels for name, one in degradations.OPERATIONS.items() if name != "zoom"}
    found = []
    for operation, values in levels.items():
        degradations.known(operation, values)
        for level in map(float, values):

            def apply(
                x: Tensor, numbers: Sequence[int], name: str = operation, level: float = level
            ) -> Tensor:
                return degradations.degrade(x, name, level, numbers, seed)

            def place(height: int, width: int, number: int, level: float = level) -> list[int]:
                return degradations.cut(height, width, level, degradations.random_seed(seed, number))

            found.append(Condition(operation, level, apply, place if operation == "crop" else None))
    return found


# ---------------------------------------------------------------------------------------- the measurement


@dataclass(frozen=True)
class Watched:
    """What was found for one detector.

    ``pictures`` has a row for each picture and condition: ``generator, picture`` (its place in that
    generator's set), ``label, explained`` (whether it is), ``operation, level, logit`` and, where it is
    explained, ``cosine`` and ``rank``, the likeness of its heatmap to that of the unchanged picture. In the
    rows of the unchanged pictures, operation "untouched", these are the likeness to the heatmap of another
    picture: what chance gives.

    ``omega`` has rows ``operation, level, draw, overlap, chance`` of the top-k, see `overlaps.omega`: draw -1
    is of all explained pictures, the others are bootstrap resamples. ``explained`` is their number.
    """

    pictures: pd.DataFrame
    omega: pd.DataFrame
    explained: int

    @classmethod
    def read(cls, pictures: str | Path, omega: str | Path) -> Watched:
        """From the two tables as CSV files. FileNotFoundError where one is missing."""
        table = pd.read_csv(pictures)
        first = table[table["operation"] == UNTOUCHED]
        return cls(table, pd.read_csv(omega), int(first["explained"].sum()))


@dataclass
class _Explained:
    """Explanations of some pictures: logits (n,), heatmaps (H, W) each, shares (n, M)."""

    logits: Floats
    heat: list[Floats]
    shares: NDArray[np.float32]


def explain(net: lrp.Net, x: Tensor) -> _Explained:
    """Explanations of pictures (N, 3, H, W), normalised, for what speaks for fake."""
    rows: dict[str, Tensor] = {}

    def collect(layer: str, r: Tensor) -> None:
        total = r.abs().sum((1, 2, 3))[:, None]
        rows[layer] = (r.clamp(min=0).sum((2, 3)) / total).nan_to_num(0.0, 0.0).float().cpu()

    found = lrp.relevance(net, x, start=x.new_ones(len(x), 1), pixels=True, on_layer=collect)
    assert found.logit is not None and found.pixels is not None
    return _Explained(
        found.logit[:, 0].double().cpu().numpy(),
        list(pixels.strength(found.pixels)),
        torch.cat([rows[layer] for layer in net.layers], 1).numpy(),
    )


@torch.no_grad()
def watch(
    net: lrp.Net,
    images: Mapping[str, data.ImageSet],
    conditions: Sequence[Condition],
    *,
    threshold: float = 0.0,
    k: int,
    explained: int = 2,
    preprocessing: data.Preprocessing = data.IMAGENET,
    batch_size: int = 64,
    resamples: int = 200,
    seed: int = 0,
) -> Watched:
    """Ask a detector about the same pictures in every condition.

    Args:
        net: from `lrp.canonize`, on any device.
        images: labelled pictures by generator.
        conditions: such as those of `damage`.
        threshold: the logit from which a picture is called fake.
        k: how many feature maps count as top.
        explained: so many fakes of each generator are explained, the first that the detector calls fake.
        resamples: of the explained pictures, for the intervals of omega's overlap.

    Where the network wants a resize or a crop of its own, a heatmap of a cropped picture is not compared.
    ValueError where there is no picture, and as `overlaps.omega`; data.PictureError for one that is broken.
    """
    owners = [(generator, place) for generator, some in images.items() for place in range(len(some))]
    paths = [path for some in images.values() for path in some.paths]
    labels = [label for some in images.values() for label in some.labels]
    if not paths:
        raise ValueError("no pictures: expected some reals and fakes of one generator at least")
    index = pd.DataFrame(owners, columns=["generator", "picture"]).assign(label=labels)
    batches = [(members, x) for members, x in data.stream(paths, batch_size)]
    ready = partial(_ready, net, preprocessing)
    parts = memory.Parts()

    def logits(condition: Condition | None, chosen: NDArray[np.bool_]) -> Floats:
        out = np.full(len(paths), np.nan)
        for members, x in batches:
            some = [n for n, member in enumerate(members) if chosen[member]]
            if some:
                numbers = [members[n] for n in some]
                shown = ready(x[some] if condition is None else condition.apply(x[some], numbers))
                out[numbers] = parts.cat(lambda part: net(part)[:, net.target or 0].cpu(), shown).numpy()
        return out

    def explanations(condition: Condition | None, chosen: NDArray[np.bool_]) -> dict[int, _Explained]:
        out = {}
        for members, x in batches:
            some = [n for n, member in enumerate(members) if chosen[member]]
            for at in range(0, len(some), _AT_ONCE):
                few = some[at : at + _AT_ONCE]
                numbers = [members[n] for n in few]
                shown = ready(x[few] if condition is None else condition.apply(x[few], numbers))
                of = partial(_explained_part, net, shown)
                for part, found in parts(of, len(few), memory.describe(shown)):
                    for n, number in enumerate(numbers[part]):
                        own = slice(n, n + 1)
                        out[number] = _Explained(found.logits[own], found.heat[own], found.shares[own])
        return out

    everyone = np.ones(len(paths), dtype=bool)
    first = logits(None, everyone)
    chosen = _first_called(index, first >= threshold, explained)
    kept = explanations(None, chosen)
    order = sorted(kept)
    index["explained"] = chosen
    tables = [index.assign(operation=UNTOUCHED, level=np.nan, logit=first, **_to_others(kept, len(paths)))]
    overlap = []
    begins, before = overlaps.layers_of(net), _stacked(kept, order, net)
    for condition in conditions:
        found = logits(condition, ~chosen)
        again = explanations(condition, chosen)
        like = {name: np.full(len(paths), np.nan) for name in ("cosine", "rank")}
        for number in order:
            found[number] = again[number].logits[0]
            old = _left(condition, kept[number].heat[0], number, batches, preprocessing)
            if old is not None:
                new = again[number].heat[0]
                for name, compare in (("cosine", overlaps.cosine), ("rank", overlaps.rank)):
                    like[name][number] = compare(old[None], new[None])[0]
        about: dict[str, Any] = {"operation": condition.operation, "level": condition.level}
        tables.append(index.assign(**about, logit=found, **like))
        both = overlaps.omega(before, _stacked(again, order, net), k, begins, resamples, seed)
        overlap.append(
            pd.DataFrame(
                {
                    **about, "draw": range(-1, resamples),
                    "overlap": [both.value, *both.drawn], "chance": [both.chance, *both.drawn_chance],
                }
            )
        )  # fmt: skip
    columns = ["operation", "level", "draw", "overlap", "chance"]
    omega = pd.concat(overlap, ignore_index=True) if overlap else pd.DataFrame(columns=columns)
    return Watched(pd.concat(tables, ignore_index=True), omega, len(order))


def _explained_part(net: lrp.Net, x: Tensor, part: slice) -> _Explained:
    return explain(net, x[part])


def _ready(net: lrp.Net, preprocessing: data.Preprocessing, x: Tensor) -> Tensor:
    shown = data.normalize(preprocessing.cut(x.to(net.device)), preprocessing)
    return shown.to(net.dtype).contiguous(memory_format=torch.channels_last)


def _first_called(index: pd.DataFrame, called: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """The first ``n`` fakes of each generator that are called fake."""
    fakes = index[called & (index["label"] == 1)]
    found = np.zeros(len(index), dtype=bool)
    found[fakes.groupby("generator", sort=False).head(n).index] = True
    return found


def _to_others(kept: Mapping[int, _Explained], n: int) -> dict[str, Floats]:
    """How alike the heatmaps of an explained picture and of the next one of its size are."""
    found = {name: np.full(n, np.nan) for name in ("cosine", "rank")}
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number in sorted(kept):
        by_size.setdefault(kept[number].heat[0].shape, []).append(number)
    for members in by_size.values():
        for one, other in zip(members, members[1:] + members[:1], strict=True):
            if one != other:
                maps = [kept[number].heat[0][None] for number in (one, other)]
                found["cosine"][one] = overlaps.cosine(*maps)[0]
                found["rank"][one] = overlaps.rank(*maps)[0]
    return found


def _left(
    condition: Condition,
    heat: Floats,
    number: int,
    batches: Sequence[tuple[list[int], Tensor]],
    preprocessing: data.Preprocessing,
) -> Floats | None:
    """What of the unchanged picture's heatmap is to be compared; None where that is not known."""
    if condition.place is None:
        return heat
    if preprocessing.crop or preprocessing.resize:
        return None
    height, width = next(x.shape[-2:] for members, x in batches if number in members)
    top, left, height, width = condition.place(height, width, number)
    return heat[top : top + height, left : left + width]


def _stacked(found: Mapping[int, _Explained], order: Sequence[int], net: lrp.Net) -> Floats:
    if not order:
        return np.empty((0, sum(net.layers.values())))
    return np.concatenate([found[number].shares for number in order]).astype(np.float64)


# ------------------------------------------------------------------------------------------- the curves


class _Sampled(NamedTuple):
    """A number of every seed (S,), and of every resample (B, S), and how many pictures gave it."""

    points: Floats
    drawn: Floats
    n_real: int
    n_fake: int


def curves(
    found: Sequence[Watched], thresholds: Sequence[float], resamples: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Every measure in every condition, over training seeds: one `Watched` and one threshold for each.

    Rows ``operation, level, generator, measure, value, low, high, seeds, covers, n_real, n_fake, chance``:

    * ``AP``, ``real right`` and ``fake right`` of each generator, and their means over generators (`MEAN`);
      right is called by the threshold; chance of AP is that of a random order.
    * of the explained fakes (`EXPLAINED`), all of which the unchanged detector calls fake: ``verdict``, the
      share that it still calls fake (chance: one half); ``heatmap`` and ``heatmap cosine``, the mean rank
      correlation, and cosine, of their heatmaps with the unchanged ones (chance: that of two pictures); and
      ``omega``, the share of the top-k that is still there (chance: by layer). Without an explained fake
      they are missing.

    Intervals are over pictures, and over seeds where there are several (`tff_core.intervals`). Where all
    pictures of all seeds agree, they are Wilson's, of as many pictures (of AP: of the rarer label).
    ValueError where seeds saw other pictures or conditions.
    """
    if not found or len(found) != len(thresholds):
        raise ValueError(
            f"{len(found)} measurements and {len(thresholds)} thresholds: expected one of each for every "
            "training seed"
        )
    keys = ["operation", "level", "generator", "picture", "label"]
    if any(not one.pictures[keys].equals(found[0].pictures[keys]) for one in found[1:]):
        raise ValueError("training seeds were asked about other pictures or in other conditions")
    rows: list[dict[str, Any]] = []
    distinct = found[0].pictures[["operation", "level"]].drop_duplicates()
    settings: list[tuple[str, float]] = list(distinct.itertuples(index=False, name=None))
    generators = list(dict.fromkeys(found[0].pictures["generator"]))
    weights = {}
    for number, generator in enumerate(generators):
        own = _of(found[0].pictures, UNTOUCHED, math.nan, generator)
        both = own["label"].nunique() == 2
        weights[generator] = metrics.picture_weights(own["label"], resamples, seed + number) if both else None
    for operation, level in settings:
        about = {"operation": operation, "level": level}
        by_measure: dict[str, list[_Sampled]] = {}
        for generator in generators:
            drawn = weights[generator]
            if drawn is None:
                continue
            several_rows = [_of(one.pictures, operation, level, generator) for one in found]
            y = several_rows[0]["label"].to_numpy()
            n = int((y == 0).sum()), int((y == 1).sum())
            logits = [some["logit"].to_numpy() for some in several_rows]
            for name in ("AP", "real right", "fake right"):
                pairs = [_measured(name, y, s, t, drawn) for s, t in zip(logits, thresholds, strict=True)]
                points, sampled = np.array([p for p, _ in pairs]), np.stack([d for _, d in pairs], 1)
                one = _Sampled(points, sampled, *n)
                by_measure.setdefault(name, []).append(one)
                rows.append(_row(about, generator, name, one, _chance(name, one)))
        for name, several in by_measure.items():
            mean = _Sampled(
                np.mean([one.points for one in several], axis=0),
                np.mean([one.drawn for one in several], axis=0),
                sum(one.n_real for one in several),
                sum(one.n_fake for one in several),
            )
            rows.append(
                _row(about, MEAN, name, mean, float(np.mean([_chance(name, one) for one in several])))
            )
        if operation != UNTOUCHED:
            rows += _explained_rows(found, thresholds, operation, level, resamples, seed)
    return pd.DataFrame(rows)


def _of(table: pd.DataFrame, operation: str, level: float, generator: str | None = None) -> pd.DataFrame:
    same = table["level"].isna() if math.isnan(level) else table["level"] == level
    same = same & (table["operation"] == operation)
    return table[same if generator is None else same & (table["generator"] == generator)]


def _measured(
    name: str, y: NDArray[Any], s: Floats, threshold: float, drawn: NDArray[np.floating]
) -> tuple[float, Floats]:
    if name == "AP":
        return metrics.average_precision(y, s), np.asarray(metrics.resampled_ap(y, s, drawn), dtype=float)
    label = 0 if name == "real right" else 1
    right = ((s >= threshold) == label)[y == label].astype(np.float64)
    return float(right.mean()), right @ drawn[y == label] / len(right)


def _chance(name: str, one: _Sampled) -> float:
    return metrics.chance(one.n_real, one.n_fake) if name == "AP" else math.nan


def _row(about: Mapping[str, Any], generator: str, name: str, one: _Sampled, chance: float) -> dict[str, Any]:
    bounds = (-1.0, 1.0) if name in ("heatmap", "heatmap cosine") else intervals.SHARE
    there = np.isfinite(one.points)
    pooled = intervals.Pooled(math.nan, math.nan, math.nan, 0)
    if there.any():
        pooled = intervals.over_seeds(one.points[there], one.drawn[:, there], bounds)
    if name in _COUNTED and pooled.value in (0, 1):  # no resample differs from the sample
        n = {"real right": one.n_real, "AP": min(one.n_real, one.n_fake)}.get(name, one.n_fake)
        ends = intervals.share_of(int(pooled.value) * n, n)
        pooled = pooled._replace(low=min(pooled.low, ends["low"]), high=max(pooled.high, ends["high"]))
    return {
        **about, "generator": generator, "measure": name, **pooled.columns("value"), "n_real": one.n_real,
        "n_fake": one.n_fake, "chance": chance,
    }  # fmt: skip


def _explained_rows(
    found: Sequence[Watched], thresholds: Sequence[float], operation: str, level: float, resamples: int,
    seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    about = {"operation": operation, "level": level}
    points: dict[str, list[float]] = {}
    drawn: dict[str, list[Floats]] = {}
    chances: dict[str, list[float]] = {}
    for one, threshold in zip(found, thresholds, strict=True):
        before = _of(one.pictures, UNTOUCHED, math.nan)
        own = _of(one.pictures, operation, level)
        explained = own["explained"].to_numpy(dtype=bool)
        values = {
            "verdict": (own["logit"].to_numpy()[explained] >= threshold).astype(np.float64),
            "heatmap": own["rank"].to_numpy()[explained],
            "heatmap cosine": own["cosine"].to_numpy()[explained],
        }
        chance = {
            "verdict": 0.5, "heatmap": _mean(before["rank"]), "heatmap cosine": _mean(before["cosine"]),
        }  # fmt: skip
        for name, numbers in values.items():
            sound = numbers[np.isfinite(numbers)]
            nothing = np.full(resamples, np.nan)
            points.setdefault(name, []).append(float(sound.mean()) if len(sound) else math.nan)
            drawn.setdefault(name, []).append(
                metrics.resampled_means(sound, resamples, seed) if len(sound) else nothing
            )
            chances.setdefault(name, []).append(chance[name])
        omega = _of(one.omega, operation, level)
        whole, sampled = omega[omega["draw"] < 0], omega[omega["draw"] >= 0]
        points.setdefault("omega", []).append(_mean(whole["overlap"]))
        drawn.setdefault("omega", []).append(_as_many(sampled["overlap"].to_numpy(), resamples))
        chances.setdefault("omega", []).append(_mean(whole["chance"]))
    n = round(float(np.mean([one.explained for one in found])))
    return [
        _row(
            about, EXPLAINED, name, _Sampled(np.array(points[name]), np.stack(drawn[name], 1), 0, n),
            _mean(pd.Series(chances[name])),
        )
        for name in points
    ]  # fmt: skip


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if values.notna().any() else math.nan


def _as_many(values: Floats, n: int) -> Floats:
    """Bootstrap values, repeated or cut to another number of them; missing where there are none."""
    return np.resize(values, n) if len(values) else np.full(n, np.nan)


# ----------------------------------------------------------------------------------------- what breaks first


def broken(table: pd.DataFrame) -> pd.DataFrame:
    """At which level of each operation the verdict, the heatmap and omega's top-k break.

    ``table``: rows of `curves`. Each measure is brought to (value - chance) / (1 - chance): 1 where nothing
    has changed, 0 at chance. It is *broken* from the first level on, from weak to strong, at which the whole
    interval lies below `BROKEN`. Rows ``operation, verdict, heatmap, omega`` (the level, missing where it
    does not break), ``seeds``, and ``heatmap first`` and ``omega first``: "for" where the explanation breaks
    at a weaker level than the verdict, or the verdict does not, "against" where the verdict is first, "open"
    where both break at the same level, neither does, or there is a single training seed.
    """
    own = table[table["generator"] == EXPLAINED]
    rows = []
    for operation, some in own.groupby("operation", sort=False):
        order = list(dict.fromkeys(some["level"]))
        at: dict[str, int] = {}  # the place of the level; beyond the last where it does not break
        known = {}
        for name in ("verdict", "heatmap", "omega"):
            rungs = some[some["measure"] == name].set_index("level").reindex(order)
            border = rungs["chance"] + BROKEN * (1 - rungs["chance"])
            below = (rungs["high"] < border).to_numpy()
            at[name] = int(below.argmax()) if below.any() else len(order)
            known[name] = bool((rungs["high"].notna() & border.notna()).any())
        seeds = int(some["seeds"].max())
        row: dict[str, Any] = {"operation": operation, "seeds": seeds}
        row |= {name: math.nan if i == len(order) else order[i] for name, i in at.items()}
        for name in ("heatmap", "omega"):
            told = known[name] and known["verdict"] and seeds > 1 and at[name] != at["verdict"]
            row[f"{name} first"] = "open" if not told else "for" if at[name] < at["verdict"] else "against"
        rows.append(row)
    columns = ["operation", "verdict", "heatmap", "omega", "seeds", "heatmap first", "omega first"]
    return pd.DataFrame(rows, columns=columns)
