"""Do probabilities mean what they say? Reliability diagrams, calibration errors, and rescaled logits.

The expected calibration error (ECE) is the mean distance, over bins of equal width, of the share of positives
from the mean probability. It is an absolute value, so chance makes it too large: a perfectly calibrated
network has an error above zero, more so with fewer pictures. `error` therefore says three things: the ECE as
it is usually told; what a network with the same probabilities would show if they were right (`chance`, with a
p-value); and an interval that has the bias taken off. Its upper end is that of the basic bootstrap, 2 ECE
minus the resampled ones. The bootstrap knows of a part of the bias only, so for the lower end all is taken
off that there could be, which is what chance gives: it covers rather too often than too rarely.

Sources: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI
2015 (ECE); Bröcker and Smith, Increasing the reliability of reliability diagrams, Weather and forecasting 22
(2007) (consistency resampling); Guo et al., On calibration of modern neural networks, ICML 2017
(temperature); Platt, Probabilistic outputs for support vector machines, 1999 (with an offset, and the targets
that keep both finite where reals and fakes are told apart without a mistake).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from tff_core import intervals, metrics

Floats = NDArray[np.float64]
BINS = 10
"""Of equal width in probability."""


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise ValueError(f"labels of shape {y.shape} and probabilities of shape {p.shape}: expected (N,)")
    if not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise ValueError("expected probabilities, finite numbers from 0 to 1")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("expected labels of 0 and 1")
    return y, p


def _bins(p: Floats, bins: int) -> NDArray[np.bool_]:
    """Which probabilities are in each bin, (bins, N)."""
    return np.asarray(np.arange(bins)[:, None] == np.minimum((p * bins).astype(int), bins - 1))


def resampled_error(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike, bins: int = BINS
) -> Floats:
    """The ECE of every resample, (B,); ``weights`` (N, B) say how often each picture is drawn."""
    y, p = _checked(labels, probabilities)
    drawn = np.asarray(weights, dtype=np.float64)
    apart = _bins(p, bins).astype(np.float64) @ ((y - p)[:, None] * drawn)
    return np.abs(apart).sum(0) / drawn.sum(0)  # type: ignore[no-any-return]


def calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of the share of positives from the mean probability, over bins weighted by their numbers.

    ValueError for what are no labels and probabilities, and where there is none.
    """
    y, p = _checked(labels, probabilities)
    return float(resampled_error(y, p, np.ones((len(y), 1)), bins)[0])


def diagram(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """The reliability diagram: rows ``bin, left, right, n, probability, share, low, high``.

    Of the pictures in each bin, ``probability`` is their mean and ``share`` how many are positive, with its
    Wilson interval; an empty bin has n = 0 and no number.
    """
    y, p = _checked(labels, probabilities)
    rows = []
    for number, inside in enumerate(_bins(p, bins)):
        found = intervals.share(y[inside] == 1)
        mean = float(p[inside].mean()) if inside.any() else float("nan")
        rows.append(
            {
                "bin": number, "left": number / bins, "right": (number + 1) / bins, "n": int(inside.sum()),
                "probability": mean, "share": found["share"], "low": found["low"], "high": found["high"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


class Error(NamedTuple):
    """The ECE of some pictures.

    ``value`` as it is usually told; ``unbiased`` with the bias that resampling shows taken off, and ``low``
    and ``high`` its interval; ``chance`` what a network whose probabilities are right would show on average,
    and ``p`` how often it would show as much. ``drawn`` (B,) are the resamples behind the interval, not cut
    off at 0, and ``slack`` by how much more its lower end is lowered.
    """

    value: float
    unbiased: float
    low: float
    high: float
    chance: float
    p: float
    n: int
    drawn: Floats
    slack: float


def error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
    weights: ArrayLike | None = None,
) -> Error:
    """The ECE with its interval over pictures, and what chance alone would give.

    ``weights`` (N, B) say how often each picture is drawn; by default reals and fakes are resampled apart, as
    in `metrics.picture_weights`, or all together where there is one label. ValueError as
    `calibration_error`.
    """
    y, p = _checked(labels, probabilities)
    if weights is None:
        both = len(np.unique(y)) == 2
        drawings = (
            metrics.picture_weights(y, resamples, seed)
            if both
            else metrics.resamples(len(y), resamples, seed).T
        )
    else:
        drawings = np.asarray(weights)
    value = calibration_error(y, p, bins)
    again = resampled_error(y, p, drawings, bins)
    rng = np.random.default_rng([seed, 1])
    right = rng.random((len(p), resamples)) < p[:, None]
    null = np.abs(_bins(p, bins).astype(np.float64) @ (right - p[:, None])).sum(0) / len(p)
    drawn = 2 * value - again
    slack = max(0.0, float(null.mean() - (again.mean() - value)))
    low, high = metrics.percentiles(drawn)
    as_much = int((null >= value - 1e-12).sum())
    return Error(
        value, float(np.clip(drawn.mean(), 0, 1)), max(0.0, low - slack), min(1.0, high),
        float(null.mean()), (1 + as_much) / (1 + resamples), len(y), drawn, slack,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- rescaled logits


class Scale(NamedTuple):
    """Logits brought to those of calibrated probabilities: (logit - offset) / temperature."""

    temperature: float
    offset: float = 0.0

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Probabilities (N,) of logits (N,)."""
        x = np.asarray(logits, dtype=np.float64)
        return special.expit((x - self.offset) / self.temperature)  # type: ignore[no-any-return]


def scale(labels: ArrayLike, logits: ArrayLike, offset: bool = False) -> Scale:
    """The temperature, and with ``offset`` the shift, with the largest likelihood on these pictures.

    Labels count as (n + 1) / (n + 2) and 1 / (n + 2) rather than 1 and 0 (Platt), so that the temperature
    stays above zero where the logits make no mistake. ValueError where there is one label only, a logit is
    not finite, or logits do not rise with the labels: then no temperature helps.
    """
    y, x = np.asarray(labels, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    metrics.average_precision(y, x)  # says what is wrong with them
    target = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2))
    size = float(np.abs(x).max()) or 1.0
    z = x / size

    def loss(at: Floats) -> tuple[float, Floats]:
        """Mean cross entropy of sigmoid(slope z + shift), and its gradient."""
        shift = at[1] if offset else 0.0
        value = at[0] * z + shift
        apart = special.expit(value) - target
        gradient = np.array([apart @ z, apart.sum()]) / len(z)
        return float((np.logaddexp(0, value) - target * value).mean()), gradient[: len(at)]

    start = np.array([1.0, 0.0])[: 1 + offset]
    found = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    slope, shift = float(found.x[0]) / size, float(found.x[1]) if offset else 0.0
    if slope <= 1e-9 / size or z.min() == z.max():
        raise ValueError(
            f"the logits of {len(y)} pictures do not rise with their labels: no temperature makes "
            "probabilities of them; expected a detector that ranks fakes above reals"
        )
    return Scale(1 / slope, -shift / slope)


def cross_entropy(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean negative log likelihood, in nats; probabilities of 0 and 1 count as 1e-12 from there."""
    y, p = _checked(labels, probabilities)
    p = p.clip(1e-12, 1 - 1e-12)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())
