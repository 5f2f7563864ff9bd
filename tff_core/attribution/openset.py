"""Is a picture's source one of those that the network knows? Open-set attribution of fakes.

A network that was trained on some sources meets others. Its answer is then worth something only with a score
of *known-ness*: pictures that score below a threshold are rejected, as of unknown source. Which sources count
as known is a question of level: an unseen training of a known generator is an unknown seed of a known family.

Of fakes alone: telling reals from fakes is detection. What a threshold does to reals is told beside it.

Sources: OSCR (open-set classification rate): Dhamija, Günther and Boult, Reducing network agnostophobia,
NeurIPS 2018; joint energy: Wang et al., Can multi-label classification networks know what they don't know?,
NeurIPS 2021; the threshold: see `tff_core.conformal`; variance of the areas: DeLong, DeLong and
Clarke-Pearson, Biometrics 44 (1988).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tff_core import intervals, metrics
from tff_core.attribution.answers import REAL, UNKNOWN, UNREADABLE
from tff_core.attribution.decisions import checked
from tff_core.attribution.sources import levels
from tff_core.conformal import calibrate
from tff_core.intervals import share, share_of
from tff_core.store.results import atomic_write, write_json

Floats = NDArray[np.float64]
SCORES = ("probability", "energy")
"""Scores of known-ness; see `knownness`."""
_FLOOR = 1e-15  # of one minus a probability: float64 knows none smaller


def knownness(detection: ArrayLike, attribution: ArrayLike, how: str = "probability") -> Floats:
    """How much a network claims to know a picture's source, (N,): higher means more.

    From the probabilities of being fake, (N,), and of each source, (N, sources). Both scores are of *gated*
    probabilities, a source's but at most that of being fake: what the primary module calls real is nobody's.

    * ``probability``: the largest of them, which is the highest threshold at which `decisions.decide` still
      names a source.
    * ``energy``: the joint energy, the sum over sources of -ln(1 - p), which adds up what all sources claim.

    Entropy is none of them: a module each makes certain that a picture is nobody's, too.
    ValueError as `decisions.decide`, and for another score.
    """
    p, q = checked(detection, attribution)
    if how not in SCORES:
        raise ValueError(f"score {how!r}: expected one of {', '.join(SCORES)}")
    gated = np.minimum(p[:, None], q)
    if how == "probability":
        return gated.max(1)  # type: ignore[no-any-return]
    return -np.log(np.maximum(1 - gated, _FLOOR)).sum(1)  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------ the curve


class Area(NamedTuple):
    """An area in [0, 1] with its 95 % interval, and how many pictures of known and unknown sources gave it.

    The variance is that of a two-sample U-statistic, the interval symmetric on the logit scale. Where the
    pictures show no variance (an area of 0 or 1) the bound of Birnbaum and Klose (Annals of Mathematical
    Statistics 28, 1957) is taken, that of as many independent pairs as there are pictures of the rarer kind.
    """

    value: float
    low: float
    high: float
    known: int
    unknown: int


class Curve(NamedTuple):
    """OSCR: at each ``threshold`` (K,), from infinity down, what is accepted.

    ``right`` (K,): the share of pictures of known sources that are accepted and named right;
    ``wrong`` (K,): the share of pictures of unknown sources that are accepted. ``area`` lies under the one
    over the other, with straight lines between points: the probability that a picture of a known source is
    named right and scores above one of an unknown source, equal scores counting half.
    """

    threshold: Floats
    right: Floats
    wrong: Floats
    area: Area


def oscr(known: ArrayLike, right: ArrayLike, unknown: ArrayLike) -> Curve:
    """The OSCR curve from scores of known-ness.

    Args:
        known: scores of pictures of known sources, (n,).
        right: whether the name with the largest probability is theirs, (n,).
        unknown: scores of pictures of unknown sources, (m,).

    Raises ValueError where one of the two kinds has no picture, or a score is not finite.

    >>> oscr([0.9, 0.4], [True, True], [0.5]).area.value
    0.5
    """
    k, u, good = _scores(known, "known"), _scores(unknown, "unknown"), np.asarray(right, dtype=bool)
    if good.shape != k.shape:
        raise ValueError(f"{good.shape} answers for {k.shape} scores: expected one for each picture")
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([k, u]))[::-1]])
    return Curve(
        thresholds,
        _reached(k[good], thresholds) / len(k),
        _reached(u, thresholds) / len(u),
        _area(k, good, u),
    )


def auroc(known: ArrayLike, unknown: ArrayLike) -> Area:
    """The probability that a picture of a known source scores above one of an unknown source, ties half.

    Arguments and errors as `oscr`, whatever the names are.
    """
    k, u = _scores(known, "known"), _scores(unknown, "unknown")
    return _area(k, np.ones(len(k), dtype=bool), u)


def _scores(values: ArrayLike, what: str) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"scores of shape {found.shape}: expected some of pictures of {what} sources")
    if not np.isfinite(found).all():
        raise ValueError(f"{int((~np.isfinite(found)).sum())} scores of {what} sources are not finite")
    return found


def _reached(scores: Floats, thresholds: Floats) -> Floats:
    """How many scores reach each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left").astype(np.float64)


def _below(values: Floats, others: Floats) -> Floats:
    """How many of ``others`` are below each value, equal ones counting half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def _area(known: Floats, right: NDArray[np.bool_], unknown: Floats) -> Area:
    n, m, good = len(known), len(unknown), known[right]
    of_known = right * _below(known, unknown) / m
    of_unknown = (len(good) - _below(unknown, good)) / n
    value, fewer = float(of_known.mean()), min(n, m)
    if fewer < 2:
        return Area(value, 0.0, 1.0, n, m)
    variance = float(of_known.var(ddof=1) / n + of_unknown.var(ddof=1) / m)
    if value in (0.0, 1.0):
        ends = share_of(int(value) * fewer, fewer)
        return Area(value, ends["low"], ends["high"], n, m)
    variance = variance or value * (1 - value) / fewer
    reach = float(stats.norm.ppf((1 + metrics.LEVEL) / 2)) * math.sqrt(variance)
    return Area(value, *intervals.bounded(value, reach, intervals.SHARE), n, m)


# ------------------------------------------------------------------------------------------------ the test


@dataclass(frozen=True)
class OpenSet:
    """What was found.

    ``pictures`` has a row for each picture that could be judged: ``path, truth, level`` (of the truth; "real"
    of reals), ``known`` (its source is), ``score, named`` (the level of the source with the largest
    probability), ``right, accepted, answer`` ("real" by the primary module, a name, "none of these").
    ``curve`` are the points of `Curve`. ``facts``: areas ``oscr`` and ``auroc``, the ``threshold``, and
    shares with Wilson intervals: ``closed`` (of known: right, nothing rejected), ``coverage`` (of known:
    accepted, promised to be at least 1 - alpha, with ``plausible``), ``named`` (of known: accepted and
    right), ``unknown_rejected``, ``unknown_found`` (rejected, and not called real), ``reals_accepted`` (which
    the primary module then has to stop).
    """

    pictures: pd.DataFrame
    curve: pd.DataFrame
    facts: dict[str, Any]

    @property
    def rejected(self) -> list[str]:
        """Paths of the pictures that are called fake and rejected: what `discovery` sorts."""
        return list(self.pictures.loc[self.pictures["answer"] == UNKNOWN, "path"])

    def write(self, folder: str | Path) -> None:
        """Write ``pictures.csv``, ``curve.csv`` and ``facts.json`` there."""
        folder = Path(folder)
        for name in ("pictures", "curve"):
            with atomic_write(folder / f"{name}.csv") as part:
                getattr(self, name).to_csv(part, index=False)
        write_json(folder / "facts.json", self.facts)


def measure(
    validation: pd.DataFrame,
    tested: pd.DataFrame,
    names: Sequence[str],
    level: Mapping[str, str] | None = None,
    *,
    how: str = "probability",
    alpha: float = 0.05,
) -> OpenSet:
    """Test open-set attribution: reject by a threshold from validation pictures of known sources.

    Args:
        validation, tested: rows of `evaluation.Evaluation.pictures` of other pictures each. Of the first only
            fakes of known sources are used; the second has fakes of unknown ones, too.
        names: sources that the network knows.
        level: from each source's name to what counts as one source, such as the family of a generator, or its
            way of upsampling; a source whose value some known source shares is known. Default: the name.
        how: score, see `knownness`. alpha: promised miss rate, see `calibrate`.

    Raises ValueError where a source has no level, and where pictures of known or unknown sources are missing.
    """
    calibration = _rows(validation, names, level, how)
    scores = calibration.loc[calibration["known"], "score"]
    threshold = calibrate(scores, alpha, "pictures of known sources")
    rows = _rows(tested, names, level, how)
    rows["accepted"] = threshold.accepts(rows["score"])
    answer = rows["named"].where(rows["accepted"], UNKNOWN)
    rows["answer"] = answer.where(rows.pop("decision") != REAL, REAL)
    real = rows["truth"] == REAL
    known, unknown = rows[rows["known"]], rows[~rows["known"] & ~real]
    curve = oscr(known["score"], known["right"], unknown["score"])
    low, high = threshold.plausible(len(known))
    facts = {
        "score": how, "names": list(names), "alpha": alpha, "calibration": threshold.n,
        "threshold": threshold.value if math.isfinite(threshold.value) else None,
        "oscr": curve.area._asdict(), "auroc": auroc(known["score"], unknown["score"])._asdict(),
        "closed": share(known["right"]),
        "coverage": share(known["accepted"]) | {"promised": 1 - alpha, "plausible": [low, high]},
        "named": share(known["accepted"] & known["right"]),
        "unknown_rejected": share(~unknown["accepted"]),
        "unknown_found": share(unknown["answer"] == UNKNOWN),
        "reals_accepted": share(rows.loc[real, "accepted"]),
    }  # fmt: skip
    points = {"threshold": curve.threshold, "right": curve.right, "wrong": curve.wrong}
    return OpenSet(rows.reset_index(drop=True), pd.DataFrame(points), facts)


def _rows(
    frame: pd.DataFrame, names: Sequence[str], level: Mapping[str, str] | None, how: str
) -> pd.DataFrame:
    """What is known of each picture that can be judged, before any threshold."""
    absent = sorted({"path", "truth", "decision", "fake", *(f"p {name}" for name in names)} - set(frame))
    if absent or not names:
        raise ValueError(
            f"no column {absent[0]!r}: expected the rows of an evaluation of a network that knows "
            f"{', '.join(names)}" if absent else "no source was named: expected those that the network knows"
        )  # fmt: skip
    judged = frame[frame["decision"] != UNREADABLE]
    of = levels([*names, *judged["truth"].unique()], level)
    q = judged[[f"p {name}" for name in names]].to_numpy(dtype=np.float64)
    truth = judged["truth"].map(of)
    named = np.array([of[name] for name in names], dtype=object)[q.argmax(1)]
    return pd.DataFrame(
        {
            "path": judged["path"], "truth": judged["truth"], "level": truth,
            "known": truth.isin([of[name] for name in names]),
            "score": knownness(judged["fake"], q, how), "named": named, "right": truth == named,
            "decision": judged["decision"],
        }
    )  # fmt: skip
