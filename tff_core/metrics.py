"""Average precision, the calibrated threshold, accuracies, and bootstrap intervals.

Scores are logits: higher means more fake. Probabilities in float32 tie at 1.0 and would blur the ranking.
A picture is called fake where ``score >= threshold``, the meaning that a ROC curve gives to its thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

RESAMPLES = 2000
LEVEL = 0.95
Seed = int | Sequence[int] | np.random.Generator


class Interval(NamedTuple):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall steps, in [0, 1]; fakes (label 1) are the positives.

    labels (N,) of 0 and 1, scores (N,). Equal to scikit-learn's, ties included.
    Raises ValueError where only one label is present or a score is not finite.
    """
    y, s = _checked(labels, scores)
    return float(resampled_ap(y, s, np.ones((len(y), 1)))[0])


def chance(n_real: int, n_fake: int) -> float:
    """Expected AP of a random order of this many reals and fakes: a little above the share of fakes.

    With N pictures, F of them fake, q = (F - 1) / (N - 1) and the harmonic number H: q + (1 - q) H_N / N.
    """
    total = n_real + n_fake
    if n_fake < 1 or total < 2:
        raise ValueError(f"{n_real} reals and {n_fake} fakes: expected at least one fake and two pictures")
    q = (n_fake - 1) / (total - 1)
    return float(q + (1 - q) * (digamma(total + 1) + np.euler_gamma) / total)


def gmean_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The score that maximises sqrt(true positive rate x true negative rate); at or above it is fake.

    The highest such score where several are equally good; always one of ``scores``. The paper calibrates on
    the test pictures themselves; here the caller chooses the pictures.
    Raises ValueError where only one label is present or a score is not finite, and where no threshold calls
    at least one real and one fake right: all scores equal, or every real above every fake.
    """
    best = best_threshold(labels, scores)
    if best is not None:
        return best
    s = np.asarray(scores, dtype=np.float64)
    if s.min() == s.max():
        raise ValueError(
            f"all {len(s)} scores are {s[0]:g}: no threshold tells reals from fakes; expected a detector "
            "whose answer depends on the picture: check its weights and its preprocessing"
        )
    raise ValueError(
        f"no threshold tells these {len(s)} pictures apart: no fake scores above any real: the detector "
        f"ranks reals above fakes; {REVERSED}"
    )


def best_threshold(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """As `gmean_threshold`; None where no threshold calls at least one real and one fake right."""
    y, s = _checked(labels, scores)
    found = float(_best_thresholds(y, s, np.ones((1, len(y)), dtype=np.int64))[0])
    return None if np.isnan(found) else found


def _best_thresholds(
    y: NDArray[np.int64], s: NDArray[np.float64], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`best_threshold` with each picture there ``weights`` (B, N) times; NaN where there is none, (B,)."""
    order = np.argsort(-s, kind="stable")
    thresholds, last = s[order], np.flatnonzero(np.r_[np.diff(s[order]) != 0, True])
    # how many reals and fakes are called fake at each threshold: pictures of one score all, or none
    called = weights[:, order]
    fakes = np.cumsum(called * y[order], axis=1)[:, last]
    reals = np.cumsum(called, axis=1)[:, last] - fakes
    quality = fakes / fakes[:, -1:] * (1 - reals / reals[:, -1:])
    best = quality.argmax(1)
    return np.where(quality.max(1) > 0, thresholds[last[best]], np.nan)


class Order(NamedTuple):
    """How scores rank fakes against reals: ``auc`` in [0, 1], and whether chance explains it.

    ``low`` and ``high`` are one-sided Mann-Whitney p-values: of an AUC at most, and at least, this high.
    """

    auc: float
    low: float
    high: float
    n_real: int
    n_fake: int

    @property
    def reversed(self) -> bool:
        """Reals are ranked above fakes, by more than chance explains (two-sided level of 5 %)."""
        return self.auc < 0.5 and self.low < (1 - LEVEL) / 2

    @property
    def at_chance(self) -> bool:
        """Chance explains the order."""
        return not self.reversed and self.high >= (1 - LEVEL) / 2

    def warning(self) -> str:
        """What is wrong with the order, to follow the detector's name; empty where nothing is."""
        seen = f"(AUC {self.auc:.2f} over {self.n_real} reals and {self.n_fake} fakes)"
        if self.reversed:
            return f"ranks reals above fakes {seen}; {REVERSED}"
        return f"tells reals from fakes no better than chance {seen}" if self.at_chance else ""


REVERSED = "is its label order the other way round? A logit must be higher for fakes"


def order(labels: ArrayLike, scores: ArrayLike) -> Order:
    """The area under the ROC curve with its Mann-Whitney tests: is a detector's sign the right way round?

    Raises ValueError where only one label is present or a score is not finite.
    """
    from scipy.stats import mannwhitneyu  # as above

    y, s = _checked(labels, scores)
    fake, real = s[y == 1], s[y == 0]
    low, high = (mannwhitneyu(fake, real, alternative=side) for side in ("less", "greater"))
    # the normal approximation has zero deviation if all scores are equal
    p = [1.0 if np.isnan(test.pvalue) else float(test.pvalue) for test in (low, high)]
    auc = float(low.statistic / (len(fake) * len(real)))
    return Order(auc, p[0], p[1], len(real), len(fake))


def accuracies(labels: ArrayLike, scores: ArrayLike, threshold: float) -> tuple[float, float]:
    """Share of the reals called real and of the fakes called fake, each in [0, 1].

    Raises ValueError where only one label is present or a score is not finite.
    """
    y, s = _checked(labels, scores)
    fake = s >= threshold
    return float(np.mean(~fake[y == 0])), float(np.mean(fake[y == 1]))


def resamples(count: int, n: int = RESAMPLES, seed: Seed = 0) -> NDArray[np.int64]:
    """How often each of ``count`` items is drawn in each of ``n`` bootstrap resamples, shape (n, count).

    ``seed`` may be a generator, which is advanced.
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n)


def resampled_means(values: ArrayLike, n: int = RESAMPLES, seed: Seed = 0) -> NDArray[np.float64]:
    """The mean over the first axis of ``values``, (N, ...), in every bootstrap resample of it, (n, ...)."""
    sample = np.asarray(values, dtype=np.float64)
    return resamples(len(sample), n, seed) @ sample / len(sample)


def largest(values: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Which are the ``k`` largest values of each row (B, M); of equal ones the first. NaN comes last.

    What sorting the rows gives, in a fifth of its time.
    """
    rows = np.asarray(values)
    rows = np.where(np.isnan(rows), -np.inf, rows)
    k = min(k, rows.shape[1])
    if k < 1:
        return np.zeros(rows.shape, dtype=bool)
    least = -np.partition(-rows, k - 1, axis=1)[:, k - 1, None]
    chosen, last = rows > least, rows == least
    room = k - chosen.sum(1, keepdims=True)
    if (last.sum(1, keepdims=True) > room).any():
        last &= np.cumsum(last, axis=1) <= room
    return chosen | last


def picture_weights(labels: ArrayLike, n: int = RESAMPLES, seed: int = 0) -> NDArray[np.float32]:
    """How often each picture is drawn in each of ``n`` bootstrap resamples, shape (N, n).

    Reals and fakes are resampled separately, so every resample has as many of each as the sample. Using the
    same weights for two conditions pairs them over the pictures.
    """
    y = _labels(labels)
    rng = np.random.default_rng(seed)
    weights = np.empty((len(y), n), dtype=np.float32)
    for label in (0, 1):
        members = np.flatnonzero(y == label)
        weights[members] = resamples(len(members), n, rng).T
    return weights


def resampled_ap(labels: ArrayLike, scores: ArrayLike, weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """Average precision of every resample, shape (B,); ``weights`` (N, B) as in `picture_weights`."""
    y, s = _checked(labels, scores)
    if weights.ndim != 2 or len(weights) != len(y):
        raise ValueError(f"weights of shape {weights.shape}: expected ({len(y)}, resamples)")
    order = np.argsort(-s, kind="stable")
    y, s, drawn = y[order], s[order], weights[order]
    fakes = np.flatnonzero(y)
    # pictures of equal score share one threshold: precision is taken after the last of them
    end = np.searchsorted(-s, -s[fakes], side="right") - 1
    called = np.cumsum(drawn, axis=0)[end]
    found = np.cumsum(drawn[fakes], axis=0)
    hits = found[np.searchsorted(fakes, end, side="right") - 1]
    # nothing called: none of these fakes was drawn, so their weight is zero
    return (drawn[fakes] * hits / np.maximum(called, 1)).sum(axis=0) / found[-1]


def percentiles(values: NDArray[np.floating], level: float = LEVEL) -> tuple[float, float]:
    """The two ends of the central ``level`` of bootstrap values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def around(value: float, values: NDArray[np.floating], level: float = LEVEL) -> Interval:
    """A value with the percentile interval of its resamples, which holds the value itself.

    Of AP it may not: near the worst order every resample has a larger one, since pictures drawn twice share a
    rank.
    """
    low, high = percentiles(values, level)
    return Interval(value, float(np.fmin(low, value)), float(np.fmax(high, value)))


def ap_interval(
    labels: ArrayLike, scores: ArrayLike, n: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Average precision with its percentile bootstrap interval over the pictures, stratified by label."""
    values = resampled_ap(labels, scores, picture_weights(labels, n, seed))
    return around(average_precision(labels, scores), values, level)


def resampled_thresholds(
    labels: ArrayLike, scores: ArrayLike, n: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """`best_threshold` in ``n`` bootstrap resamples of the pictures, by label; NaN for None, (n,)."""
    y, s = _checked(labels, scores)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(y == label) for label in (0, 1)]
    found = np.empty(n)
    for some in np.array_split(np.arange(n), max(1, n * len(y) // 1_000_000)):  # a part fits in memory
        drawn = [np.concatenate([rng.choice(m, len(m)) for m in members]) for _ in some]
        weights = np.stack([np.bincount(one, minlength=len(y)) for one in drawn])
        found[some] = _best_thresholds(y, s, weights)
    return found


def threshold_interval(
    labels: ArrayLike, scores: ArrayLike, n: int = 500, level: float = LEVEL, seed: int = 0
) -> Interval:
    """The calibrated threshold and its bootstrap interval over the pictures: inside it a call is unsafe.

    All three are finite. A resample in which no threshold works allows every one: it counts as the
    lowest score for the lower end and as the highest for the upper. Raises ValueError as `gmean_threshold`.
    """
    y, s = _checked(labels, scores)
    value = gmean_threshold(y, s)
    found = resampled_thresholds(y, s, n, seed)
    none = np.isnan(found)
    lows, highs = np.where(none, s.min(), found), np.where(none, s.max(), found)
    return Interval(value, percentiles(lows, level)[0], percentiles(highs, level)[1])


def draw_weights(draws: int, n: int = RESAMPLES, seed: int = 0, stream: int = 0) -> NDArray[np.float64]:
    """The share of each of ``draws`` draws of a control in each of ``n`` resamples, (n, draws).

    Not for training seeds, of which there are too few to resample: see `tff_core.intervals`.

    Different ``stream`` numbers give independent resamples under one seed.
    """
    return resamples(draws, n, [seed, 1, stream]) / draws


def _labels(labels: ArrayLike) -> NDArray[np.int64]:
    y = np.asarray(labels)
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels of shape {y.shape}: expected a list of 0 (real) and 1 (fake)")
    if len(np.unique(y)) < 2:
        raise ValueError(f"{len(y)} pictures of one label only: expected reals (0) and fakes (1)")
    return y.astype(np.int64)


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y, s = _labels(labels), np.asarray(scores, dtype=np.float64)
    if s.shape != y.shape:
        raise ValueError(f"{s.shape} scores for {y.shape} labels: expected one score per picture")
    if not np.isfinite(s).all():
        bad = int((~np.isfinite(s)).sum())
        raise ValueError(f"{bad} of {len(s)} scores are not finite: check the detector's weights")
    return y, s
