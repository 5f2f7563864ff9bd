"""From probabilities to an answer: fake or not, and by whom.

Each secondary module answers for its own source, so several may claim a picture, or none. The source is the
one with the largest probability of those that reach the threshold. The primary module has the last word: what
it calls real has no source. Both answers are kept, with and without it, and how often they contradict.

Source: Khoo, Lim and Phan, 2022; the published code counts contradictions and does not resolve them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
NONE = -1
"""The source of a picture that no secondary module claims."""


@dataclass(frozen=True)
class Decisions:
    """What was decided of N pictures.

    ``fake`` (N,) by the primary module; ``raw`` (N,) the index of the source by the secondary ones alone, or
    `NONE`; ``gated`` (N,) the same where the primary says fake, `NONE` elsewhere.
    """

    fake: NDArray[np.bool_]
    raw: NDArray[np.int64]
    gated: NDArray[np.int64]

    @property
    def contradictions(self) -> float:
        """The share of the pictures called real that a secondary module claims all the same; NaN of none."""
        real = ~self.fake
        return float((self.raw[real] != NONE).mean()) if real.any() else float("nan")

    @property
    def unclaimed(self) -> float:
        """The share of the pictures called fake that no secondary module claims; NaN of none."""
        return float((self.raw[self.fake] == NONE).mean()) if self.fake.any() else float("nan")


def decide(detection: ArrayLike, attribution: ArrayLike, threshold: float = 0.5) -> Decisions:
    """Decide by the probabilities of being fake, (N,), and of each source, (N, sources).

    Of equal probabilities the first source counts. ValueError where shapes do not fit, or a number is no
    probability.
    """
    p, q = checked(detection, attribution)
    fake = p >= threshold
    claimed = q >= threshold
    raw = np.where(claimed.any(1), np.where(claimed, q, -1).argmax(1), NONE)
    return Decisions(fake, raw, np.where(fake, raw, NONE))


def checked(detection: ArrayLike, attribution: ArrayLike) -> tuple[Floats, Floats]:
    """Probabilities of being fake, (N,), and of each source, (N, sources); ValueError as in `decide`."""
    p, q = np.asarray(detection, dtype=np.float64), np.asarray(attribution, dtype=np.float64)
    if p.ndim != 1 or q.ndim != 2 or len(p) != len(q) or not q.shape[1]:
        raise ValueError(
            f"detection of shape {p.shape} and attribution of shape {q.shape}: expected (N,) and (N, sources)"
        )
    for values in (p, q):
        if values.size and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError("expected probabilities, finite numbers from 0 to 1")
    return p, q
