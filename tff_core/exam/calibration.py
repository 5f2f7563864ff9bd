"""Are a detector's probabilities worth their name, and what does a promised error become on other families?

Everything is fitted on validation pictures of the family that the detector was trained on: a temperature
(and an offset), and the zone without a call of `tff_core.conformal`. It is then measured on test pictures of
that family, which is *seen*, and of others, which are not: about these no promise is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tff_core import conformal, intervals, metrics, reliability
from tff_core.store.results import Store

Floats = NDArray[np.float64]
TRAINED_ON = "progan"
"""The family that detectors are trained and validated on."""
PLAIN, TEMPERATURE, BOTH = "as trained", "temperature", "temperature and offset"
HOW = (PLAIN, TEMPERATURE, BOTH)
SEEN, UNSEEN = "seen", "unseen"
"""Groups of generators: the one that was trained on, and all others together."""
ALPHAS = (0.01, 0.05, 0.1, 0.2)
OUTCOMES = ("covered", "wrong", "no call")


@dataclass(frozen=True)
class Logits:
    """Logits of some pictures, by every training seed: ``labels`` (N,) of 0 and 1, ``logits`` (S, N)."""

    labels: NDArray[np.int64]
    logits: Floats

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.labels.shape != self.logits.shape[1:]:
            raise ValueError(
                f"labels of shape {self.labels.shape} and logits of shape {self.logits.shape}: expected (N,) "
                "and (S, N)"
            )

    @classmethod
    def of(cls, labels: ArrayLike, logits: ArrayLike) -> Logits:
        """From anything like arrays; logits (N,) of one seed, too. ValueError where shapes do not fit."""
        rows = np.atleast_2d(np.asarray(logits, dtype=np.float64))
        return cls(np.asarray(labels, dtype=np.int64), rows)


def grouped(tests: Mapping[str, Logits], trained_on: str = TRAINED_ON) -> dict[str, Logits]:
    """The same pictures by `SEEN` and `UNSEEN` family; a group without a generator is not there."""
    groups: dict[str, list[Logits]] = {}
    for generator, one in tests.items():
        groups.setdefault(SEEN if generator == trained_on else UNSEEN, []).append(one)
    return {
        name: Logits(
            np.concatenate([one.labels for one in groups[name]]),
            np.concatenate([one.logits for one in groups[name]], 1),
        )
        for name in (SEEN, UNSEEN)
        if name in groups
    }


def scales(validation: Logits) -> dict[str, list[reliability.Scale | None]]:
    """The scale of each of `HOW` for every training seed; None where these pictures give it none."""
    found: dict[str, list[reliability.Scale | None]] = {name: [] for name in HOW}
    for row in validation.logits:
        for name in HOW:
            try:
                scale = (
                    reliability.Scale(1.0) if name == PLAIN
                    else reliability.scale(validation.labels, row, offset=name == BOTH)
                )  # fmt: skip
            except ValueError:
                scale = None
            found[name].append(scale)
    return found


def errors(
    validation: Logits, tests: Mapping[str, Logits], resamples: int = 500, seed: int = 0
) -> pd.DataFrame:
    """The calibration error of each of `HOW` on every test set, over training seeds.

    ``tests`` by generator or group, of the same seeds as ``validation``. Rows ``generator, scaled`` (one of
    `HOW`), ``value, low, high, seeds, covers, chance, p, plain, temperature, cross_entropy, n``: ``value`` is
    the ECE without the bias that resampling shows and ``plain`` the one with it, ``chance`` what a calibrated
    detector would show, ``p`` the largest of the seeds' p-values for that; the others are means over
    seeds. A seed for which there is no scale does not count.

    ValueError where seeds do not fit.
    """
    fitted = scales(validation)
    rows = []
    for number, (generator, test) in enumerate(tests.items()):
        if len(test.logits) != len(validation.logits):
            raise ValueError(
                f"{len(test.logits)} seeds on {generator} and {len(validation.logits)} in validation: "
                "expected the same"
            )
        weights = _weights(test.labels, resamples, seed + number)
        for name in HOW:
            found, ce, temperatures = [], [], []
            for row, scale in zip(test.logits, fitted[name], strict=True):
                if scale is not None:
                    p = scale.probabilities(row)
                    found.append(reliability.error(test.labels, p, seed=seed, weights=weights))
                    ce.append(reliability.cross_entropy(test.labels, p))
                    temperatures.append(scale.temperature)
            rows.append({"generator": generator, "scaled": name} | _pooled_error(found) | {
                "temperature": _mean(temperatures), "cross_entropy": _mean(ce), "n": len(test.labels),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _pooled_error(found: Sequence[reliability.Error]) -> dict[str, Any]:
    if not found:
        numbers = dict.fromkeys(("value", "low", "high"), math.nan)
        return {**numbers, "seeds": 0, "covers": "", "chance": math.nan, "p": math.nan, "plain": math.nan}
    points = [one.unbiased for one in found]
    pooled = intervals.over_seeds(points, np.stack([one.drawn for one in found], 1), intervals.SHARE)
    # the part of the bias that the bootstrap does not know of
    low = max(0.0, pooled.low - _mean([one.slack for one in found]))
    return {
        **pooled._replace(low=low, high=min(1.0, pooled.high)).columns("value"),
        "chance": _mean([one.chance for one in found]), "p": max(one.p for one in found),
        "plain": _mean([one.value for one in found]),
    }  # fmt: skip


def diagrams(
    validation: Logits, tests: Mapping[str, Logits], how: Sequence[str] = HOW, bins: int = reliability.BINS
) -> pd.DataFrame:
    """Reliability diagrams with the pictures of all seeds together: rows of `reliability.diagram`.

    With ``generator`` and ``scaled``. ``n`` counts a picture once for each seed, and intervals are those of
    so many pictures, which depend on each other: they are narrower than they should be. It is a figure to
    look at, not a test.
    """
    fitted = scales(validation)
    tables = []
    for generator, test in tests.items():
        for name in how:
            pairs = [(row, scale) for row, scale in zip(test.logits, fitted[name], strict=True) if scale]
            if pairs:
                p = np.concatenate([scale.probabilities(row) for row, scale in pairs])
                found = reliability.diagram(np.tile(test.labels, len(pairs)), p, bins)
                tables.append(found.assign(generator=generator, scaled=name))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


# ------------------------------------------------------------------------------------------------- abstention


def promises(
    validation: Logits, tests: Mapping[str, Logits], alphas: Sequence[float] = ALPHAS, resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What a promised error becomes: conformal sets from validation, counted on every test set.

    Rows ``generator, alpha, label`` ("real", "fake"), ``outcome`` (one of `OUTCOMES`), ``value, low, high,
    seeds, covers, promised, plausible_low, plausible_high, n``. Of the pictures of a label are *covered*
    those whose own label is left, *wrong* those that are called the other, and there is *no call* where both
    labels or none are left. Promised are at least 1 - alpha covered, and at most alpha wrong. *Plausible* is
    between which shares a covered share lies in 95 of 100 cases where pictures are like those of
    validation, for one seed. An ``alpha`` for which validation has too few pictures is left out.

    ValueError where seeds do not fit.
    """
    rows = []
    for alpha in alphas:
        if min(np.bincount(validation.labels, minlength=2)) < conformal.needed(alpha):
            continue
        zones = [conformal.zone(validation.labels, row, alpha) for row in validation.logits]
        for number, (generator, test) in enumerate(tests.items()):
            weights = _weights(test.labels, resamples, seed + number)
            for label, name in enumerate(("real", "fake")):
                own = test.labels == label
                if not own.any():
                    continue
                drawn = weights[own]
                cut = zones[0].fake if label else zones[0].real
                low, high = cut.plausible(int(own.sum()))
                for outcome in OUTCOMES:
                    hits = np.stack(
                        [
                            _counted(outcome, zone, row[own], label)
                            for zone, row in zip(zones, test.logits, strict=True)
                        ]
                    ).astype(np.float64)
                    pooled = intervals.over_seeds(
                        hits.mean(1), (hits @ drawn / drawn.sum(0)).T, intervals.SHARE
                    )
                    if pooled.value in (0, 1):
                        ends = intervals.share_of(int(pooled.value) * int(own.sum()), int(own.sum()))
                        pooled = pooled._replace(
                            low=min(pooled.low, ends["low"]), high=max(pooled.high, ends["high"])
                        )
                    promised = {"covered": 1 - alpha, "wrong": alpha, "no call": math.nan}[outcome]
                    plausible = (low, high) if outcome == "covered" else (math.nan, math.nan)
                    rows.append(
                        {
                            "generator": generator, "alpha": alpha, "label": name, "outcome": outcome,
                            **pooled.columns("value"), "promised": promised,
                            "plausible_low": plausible[0], "plausible_high": plausible[1],
                            "n": int(own.sum()),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _counted(outcome: str, zone: conformal.Zone, logits: Floats, label: int) -> NDArray[np.bool_]:
    if outcome == "covered":
        return zone.left(logits)[:, label]
    calls = zone.calls(logits)
    return np.asarray(calls == (1 - label if outcome == "wrong" else -1))


def held_out(
    labels: ArrayLike, logits: ArrayLike, alpha: float, folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """The calls (N,) of every picture by a zone from the other folds: 1 fake, 0 real, -1 no call.

    So an error can be measured on the pictures of a calibration itself. ValueError as `conformal.zone` for
    what the other folds are too few for.
    """
    y, s = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    place = np.zeros(len(y), dtype=int)
    rng = np.random.default_rng(seed)
    for label in (0, 1):
        members = np.flatnonzero(y == label)
        place[rng.permutation(members)] = np.arange(len(members)) % folds
    out = np.full(len(y), -1, dtype=np.int64)
    for fold in range(folds):
        inside = place == fold
        if inside.any():
            out[inside] = conformal.zone(y[~inside], s[~inside], alpha).calls(s[inside])
    return out


def kept(labels: ArrayLike, calls: ArrayLike) -> dict[str, dict[str, float]]:
    """How often calls (N,) are wrong, and how often there is none, of reals and of fakes, with intervals.

    By ``real`` and ``fake``: ``wrong, low, high`` (Wilson), ``no_call`` (a share) and ``n``.
    """
    y, c = np.asarray(labels), np.asarray(calls)
    found = {}
    for label, name in enumerate(("real", "fake")):
        own = c[y == label]
        wrong = intervals.share(own == 1 - label)
        found[name] = {
            "wrong": wrong["share"], "low": wrong["low"], "high": wrong["high"],
            "no_call": float((own == -1).mean()) if len(own) else math.nan, "n": len(own),
        }  # fmt: skip
    return found


def tested(
    store: Store, detector: str, seeds: Sequence[int], generators: Sequence[str] | None = None
) -> dict[str, Logits]:
    """Logits of a build's test pictures by generator, as the detector was scored with these seeds.

    ``generators``: None takes all that were scored. Those without scores of every seed are left out.
    """
    names = generators
    if names is None:
        folder = store.scores(detector, "x").parent
        names = sorted(path.name.removesuffix(".csv.gz") for path in folder.glob("*.csv.gz"))
    found = {}
    for name in names:
        path = store.scores(detector, name)
        if not path.is_file():
            continue
        rows = pd.read_csv(path)
        rows = rows[(rows["condition"] == "baseline") & rows["seed"].isin(list(seeds))]
        by_seed = [rows[rows["seed"] == seed] for seed in seeds]
        if by_seed and all(len(own) for own in by_seed):
            found[name] = Logits.of(by_seed[0]["label"], [own["logit"].to_numpy() for own in by_seed])
    return found


def _weights(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.floating]:
    if len(np.unique(labels)) == 2:
        return metrics.picture_weights(labels, n, seed)
    return metrics.resamples(len(labels), n, seed).T.astype(np.float64)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
