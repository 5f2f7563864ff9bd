"""Thresholds and sets of answers that keep a promised error, whatever the network is like.

Split conformal prediction: a quantile of the scores of pictures that the network has not been trained on. The
promise is for a picture that is exchangeable with these, and holds on average over such calibrations. About
other pictures nothing is promised: what becomes of them can only be measured.

With two answers and one score, the logit, the set of answers that are not refused is a zone (`zone`): above
it only fake is left, below it only real. Calibrated for each label by itself, the promise holds for reals and
for fakes alike, however many of each there are.

Sources: V. Vovk, A. Gammerman and G. Shafer, Algorithmic learning in a random world, 2005; for each label by
itself: V. Vovk, Conditional validity of inductive conformal predictors, Machine learning 92 (2013) 349-376.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tff_core import metrics

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """Where rejection begins: scores below ``value`` are rejected; minus infinity rejects nothing.

    ``alpha`` is the promised miss rate, ``n`` the number of pictures that it was calibrated on.
    """

    value: float
    alpha: float
    n: int

    def accepts(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Which scores (N,) are accepted."""
        return np.asarray(np.asarray(scores, dtype=np.float64) >= self.value)

    def plausible(self, n: int, level: float = metrics.LEVEL) -> tuple[float, float]:
        """Between which shares of ``n`` other pictures of the same kind are accepted, in ``level`` of cases.

        The number accepted is beta-binomial where pictures are exchangeable and scores differ. A share
        below says that these pictures are others than those of the calibration.
        """
        k = rank(self.alpha, self.n)
        if not k:
            return 1.0, 1.0
        accepted = stats.betabinom(n, self.n + 1 - k, k)
        low, high = (accepted.ppf(q) / n for q in ((1 - level) / 2, (1 + level) / 2))
        return float(low), float(high)


def calibrate(scores: ArrayLike, alpha: float = 0.05, of: str = "pictures") -> Threshold:
    """The highest threshold that rejects a picture with probability at most ``alpha``.

    ``scores`` (n,) are of validation pictures of the kind that is to be accepted, called ``of`` in errors.
    The promise is for a picture that is exchangeable with these: from the same sources in the same
    proportions, prepared alike, and neither trained on nor used to choose epochs. It is for the mixture, not
    for each source. With fewer than 1 / alpha - 1 pictures nothing is rejected.

    ValueError where there is no score, one is not finite, or ``alpha`` is not between 0 and 1.
    """
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"scores of shape {found.shape}: expected some of {of}")
    if not np.isfinite(found).all():
        raise ValueError(f"{int((~np.isfinite(found)).sum())} scores of {of} are not finite")
    k = rank(_checked(alpha), len(found))
    return Threshold(float(np.partition(found, k - 1)[k - 1]) if k else -math.inf, alpha, len(found))


def rank(alpha: float, n: int) -> int:
    """A further score is below the k-th smallest of n with probability k / (n + 1) at most."""
    return math.floor(alpha * (n + 1) + 1e-9)  # 0.05 * 20 is not always 1


def needed(alpha: float) -> int:
    """How many pictures a calibration needs before it can reject anything."""
    return math.ceil(1 / alpha - 1 - 1e-9)


def _checked(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: expected a miss rate between 0 and 1, such as 0.05")
    return alpha


@dataclass(frozen=True)
class Zone:
    """Which answers are left for a logit: real up to ``real.value``, fake from ``fake.value`` on.

    ``fake`` accepts logits, ``real`` their opposites. Where the two ranges overlap both answers are left, and
    where they leave a gap neither is: in both cases there is no call.
    """

    real: Threshold
    fake: Threshold

    @property
    def low(self) -> float:
        """At or below this logit the call is real."""
        return min(-self.real.value, self.fake.value)

    @property
    def high(self) -> float:
        """At or above this logit the call is fake; between the two there is none."""
        return max(-self.real.value, self.fake.value)

    @property
    def alpha(self) -> float:
        """The promised error: of reals, and of fakes, at most this share does not have its label left."""
        return self.fake.alpha

    def left(self, logits: ArrayLike) -> NDArray[np.bool_]:
        """Whether real and fake are left for each logit (N,): (N, 2)."""
        x = np.asarray(logits, dtype=np.float64)
        return np.stack([self.real.accepts(-x), self.fake.accepts(x)], 1)

    def calls(self, logits: ArrayLike) -> NDArray[np.int64]:
        """1 fake, 0 real, -1 no call, for each logit (N,)."""
        real, fake = self.left(logits).T
        return np.where(fake & ~real, 1, np.where(real & ~fake, 0, -1))


def zone(labels: ArrayLike, logits: ArrayLike, alpha: float = 0.05) -> Zone:
    """The zone without a call, from validation pictures: ``labels`` (N,) of 0 and 1, ``logits`` (N,).

    Of further reals at most a share ``alpha`` is called fake, and of further fakes at most as many real, if
    they are exchangeable with these (see `calibrate`). ValueError as there, and where one label has fewer
    pictures than `needed`: then nothing could ever be called.
    """
    y, s = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels of shape {y.shape} for logits of shape {s.shape}: expected 0 and 1, (N,)")
    least = needed(_checked(alpha))
    counts = {"reals": int((y == 0).sum()), "fakes": int((y == 1).sum())}
    for name, n in counts.items():
        if n < least:
            raise ValueError(
                f"an error of {alpha:g} cannot be promised from {n} {name}: expected {least} of each label "
                "at least; calibrate on more pictures, or allow a larger error"
            )
    return Zone(calibrate(-s[y == 0], alpha, "reals"), calibrate(s[y == 1], alpha, "fakes"))
