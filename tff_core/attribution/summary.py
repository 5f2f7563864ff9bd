"""All scores of each source over several trainings, with intervals over pictures and seeds.

`evaluation` has the scores of one training; here the same pictures are drawn anew for all of them, so that an
interval says what other pictures and another training would give (see `tff_core.intervals`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tff_core import intervals, metrics, reliability
from tff_core.attribution.answers import REAL, UNREADABLE
from tff_core.attribution.evaluation import Evaluation
from tff_core.attribution.openset import OpenSet

Floats = NDArray[np.floating[Any]]
MEASURES = ("ap", "auc", "precision", "recall", "f1", "calibration")
DETECTION = "detection"
Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def by_source(
    found: Sequence[Evaluation], names: Sequence[str], resamples: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Scores of detection and of each source in ``names``, of the same pictures in every training.

    Rows ``name, measure, value, low, high, seeds, covers, n, n_others``; measures are those of
    `evaluation.Evaluation.sources`, the mean over trainings, NaN where one of them has none (the precision of
    a name that is never given). ``n`` are the pictures of the source (of detection: the fakes), ``n_others``
    all others. Resamples keep both numbers. ValueError where there is nothing to tell apart.
    """
    frames = [one.pictures for one in found]
    if not frames:
        raise ValueError("no training was asked: expected the answers of one or more")
    judged = np.logical_and.reduce([(frame["decision"] != UNREADABLE).to_numpy() for frame in frames])
    rows = []
    for name in (DETECTION, *names):
        own = [_columns(frame[judged], "" if name == DETECTION else name) for frame in frames]
        y = own[0][0]
        weights = metrics.picture_weights(y, resamples, seed).astype(np.float64)
        whole = np.ones((len(y), 1))
        for measure in MEASURES:
            points, drawn = _values(measure, own, whole)[0], _values(measure, own, weights)
            pooled = _pooled(points, drawn, measure, own)
            counts = {"n": int(y.sum()), "n_others": int((1 - y).sum())}
            rows.append({"name": name, "measure": measure} | pooled.columns("value") | counts)
    return pd.DataFrame(rows)


def by_model(
    found: Sequence[Evaluation],
    made_by: Mapping[str, str],
    learnt: Mapping[str, Collection[str]],
    resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each source is named in fakes of the models that were learnt from, and of other ones.

    ``made_by``: from the path of a fake to the model that made it; others are left out. ``learnt``: by source
    the models whose pictures were learnt from.

    Rows ``name, model, measure, value, low, high, seeds, covers, n, n_others`` with model "learnt", "another"
    or, where there are both, "another - learnt"; measures "ap" (the model's fakes against all pictures that
    are not the source's) and "recall". Resamples hold the same other pictures for both. ValueError where no
    training is given.
    """
    frames = [one.pictures for one in found]
    if not frames:
        raise ValueError("no training was asked: expected the answers of one or more")
    judged = np.logical_and.reduce([(frame["decision"] != UNREADABLE).to_numpy() for frame in frames])
    truth = frames[0]["truth"].to_numpy(dtype=object)
    models = np.array([made_by.get(path, "") for path in frames[0]["path"]], dtype=object)
    rows = []
    for name, known in learnt.items():
        own = judged & (truth == name) & (models != "")
        same = np.isin(models, list(known))
        groups = {"learnt": own & same, "another": own & ~same}
        others = judged & (truth != name)
        rng = np.random.default_rng(seed)
        drawn_others = metrics.resamples(int(others.sum()), resamples, rng).T
        counts = {model: int(group.sum()) for model, group in groups.items() if group.any()}
        y, weights, columns = {}, {}, {}
        for model, n in counts.items():
            y[model] = np.repeat([0, 1], [others.sum(), n])
            drawn = [drawn_others, metrics.resamples(n, resamples, rng).T]
            weights[model] = np.concatenate(drawn).astype(np.float64)
            members = [pd.concat([frame[others], frame[groups[model]]]) for frame in frames]
            columns[model] = [_columns(frame, name) for frame in members]
        for measure in ("ap", "recall"):
            points = {m: _values(measure, columns[m], np.ones((len(y[m]), 1)))[0] for m in counts}
            sampled = {m: _values(measure, columns[m], weights[m]) for m in counts}
            pooled = {m: _pooled(points[m], sampled[m], measure, columns[m]) for m in counts}
            n_of = dict(counts)
            if len(counts) == 2:
                first, second = counts
                apart = points[second] - points[first], sampled[second] - sampled[first]
                pooled[APART] = intervals.over_seeds(*apart, intervals.DIFFERENCE)
                n_of[APART] = sum(counts.values())
            rows += [
                {"name": name, "model": model, "measure": measure}
                | one.columns("value")
                | {"n": n_of[model], "n_others": int(others.sum())}
                for model, one in pooled.items()
            ]
    return pd.DataFrame(rows)


APART = "another - learnt"


def _values(measure: str, own: Sequence[Columns], weights: Floats) -> Floats:
    """A score of every training in every resample, (B, S), from weights (N, B)."""
    return np.stack([_measure(measure, *one, weights) for one in own], 1)


def _pooled(points: ArrayLike, drawn: Floats, measure: str, own: Sequence[Columns]) -> intervals.Pooled:
    pooled = intervals.over_seeds(points, drawn, intervals.SHARE)
    atom = pooled.value in (0.0, 1.0) and pooled.low == pooled.high
    return _at_the_end(pooled, measure, own) if atom else pooled


def _at_the_end(pooled: intervals.Pooled, measure: str, own: Sequence[Columns]) -> intervals.Pooled:
    """With the interval of a share of as many pictures as the score rests on: no resample differs."""
    y = own[0][0]
    rests = min(int(called.sum()) for _, _, called in own) if measure == "precision" else int(y.sum())
    if measure in ("ap", "auc"):
        rests = min(rests, int((1 - y).sum()))
    ends = intervals.share_of(int(pooled.value) * rests, rests)
    return pooled._replace(low=ends["low"], high=ends["high"])


def _columns(judged: pd.DataFrame, name: str) -> Columns:
    """Labels, probabilities, and which pictures were called so; of the fakes for ""."""
    labels = judged["truth"] == name if name else judged["truth"] != REAL
    called = judged["decision"] == name if name else judged["decision"] != REAL
    scores = judged[f"p {name}" if name else "fake"].to_numpy(dtype=float)
    return labels.to_numpy(dtype=np.int64), scores, called.to_numpy(dtype=bool)


def _measure(
    measure: str, y: NDArray[np.int64], p: Floats, called: NDArray[np.bool_], weights: Floats
) -> Floats:
    """A score in every resample, (B,), from weights (N, B)."""
    if measure == "ap":
        return metrics.resampled_ap(y, p, weights)
    if measure == "auc":
        return resampled_auc(y, p, weights)
    if measure == "calibration":
        return reliability.resampled_error(y, p, weights)
    right = (weights * (called & (y == 1))[:, None]).sum(0)
    some, own = (weights * called[:, None]).sum(0), (weights * (y == 1)[:, None]).sum(0)
    below = {"precision": some, "recall": own, "f1": (some + own) / 2}[measure]
    return np.divide(right, below, out=np.full(len(right), np.nan), where=below > 0)


def resampled_auc(labels: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """Area under the ROC curve of every resample, (B,); ``weights`` (N, B) as in `metrics.picture_weights`.

    Equal scores count half. A resample without one of the labels has NaN.
    """
    y, w = np.asarray(labels), np.asarray(weights, dtype=np.float64)
    _, group = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    sums = np.zeros((2, int(group.max()) + 1, w.shape[1]))
    for label in (0, 1):
        np.add.at(sums[label], group[y == label], w[y == label])
    negative, positive = sums
    below = np.cumsum(negative, axis=0) - negative / 2
    pairs = positive.sum(0) * negative.sum(0)
    return np.divide((positive * below).sum(0), pairs, out=np.full(w.shape[1], np.nan), where=pairs > 0)


EVERY = "all unknown"


def unknown_sources(found: Sequence[OpenSet], resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """How well each unknown source is told from the known ones, over trainings tested on the same pictures.

    Rows ``generator`` (each unknown source, and `EVERY` where there are several), ``measure``, ``value, low,
    high, seeds, covers, n, n_known``. Measures: "auroc" and "oscr", the areas of `openset` against this
    source's pictures alone, and "accepted", the share of its pictures that the threshold accepts, which then
    get a known name unless the primary calls them real. ValueError where no training is given.
    """
    if not found:
        raise ValueError("no training was tested: expected one or more")
    frames = [one.pictures[one.pictures["truth"] != REAL] for one in found]
    first = frames[0]
    sources = list(dict.fromkeys(first.loc[~first["known"], "truth"]))
    rows = []
    for source in [*sources, *([EVERY] if len(sources) > 1 else [])]:
        kept = [f[f["known"] | (f["truth"] == source) | (source == EVERY)] for f in frames]
        y = kept[0]["known"].to_numpy(dtype=np.int64)
        weights = metrics.picture_weights(y, resamples, seed).astype(np.float64)
        for measure in ("auroc", "oscr", "accepted"):
            points = [float(_open(measure, frame, np.ones((len(y), 1)))[0]) for frame in kept]
            drawn = np.stack([_open(measure, frame, weights) for frame in kept], 1)
            pooled = intervals.over_seeds(points, drawn, intervals.SHARE)
            counts = {"n": int((1 - y).sum()), "n_known": int(y.sum())}
            if pooled.value in (0.0, 1.0) and pooled.low == pooled.high:
                rests = counts["n"] if measure == "accepted" else min(counts.values())
                ends = intervals.share_of(int(pooled.value) * rests, rests)
                pooled = pooled._replace(low=ends["low"], high=ends["high"])
            rows.append({"generator": source, "measure": measure} | pooled.columns("value") | counts)
    return pd.DataFrame(rows)


def _open(measure: str, frame: pd.DataFrame, weights: Floats) -> Floats:
    known = frame["known"].to_numpy(dtype=bool)
    if measure == "accepted":
        other = weights * ~known[:, None]
        return np.asarray((other * frame["accepted"].to_numpy(dtype=bool)[:, None]).sum(0) / other.sum(0))
    scores = frame["score"].to_numpy(dtype=float)
    if measure == "oscr":  # a picture that is named wrong never counts, as if it scored below all others
        scores = np.where(known & ~frame["right"].to_numpy(dtype=bool), -np.inf, scores)
    return resampled_auc(known.astype(int), scores, weights)
