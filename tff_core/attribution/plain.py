"""The plainest attribution: a linear function of the log spectrum, fitted as a whole.

What a network is worth is what it knows beyond these: *logistic* regression on all coefficients, with an L2
penalty that validation pictures choose, and the *nearest mean* spectrum, whose answer is the class with the
smallest Euclidean distance. Both see the log cosine transform, standardised by the training pictures'
statistics, and are a `Baseline`: they are saved, asked and tested as networks are.

Sources: Frank et al., Leveraging frequency analysis for deep fake image recognition, ICML 2020 (regression on
log spectra); Durall et al., Watch your up-convolution, CVPR 2020 (spectra of reals and fakes by their means).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tff_core.attribution import inputs
from tff_core.attribution.baselines import PLAIN, Baseline, baseline
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.sources import BATCH, Pictures, batch, same_sources
from tff_core.pictures.kept import Kept

Floats = NDArray[np.floating[Any]]
STRENGTHS = tuple(float(c) for c in 10.0 ** np.arange(-6, 3))
"""Inverse penalties of the logistic regression that are tried, from strong to weak penalty."""
_STEPS, _TOLERANCE = 1000, 1e-6  # the usual tolerance ends where a weaker penalty would go on
_SHARPEST = 1e3  # of the nearest mean's probabilities, where validation pictures allow any


class Fitted(NamedTuple):
    """A plain network in evaluation mode, the statistics of its training pictures, and how it was chosen.

    ``chosen``: ``value`` (the inverse penalty, or the inverse temperature of the distances), ``validation``
    (mean cross-entropy in nats), ``tried`` (that of each value, for the logistic regression), ``converged``,
    ``at_edge`` (whether the value is the first or last that was tried).
    """

    net: Baseline
    statistics: Statistics
    chosen: dict[str, Any]


def fit(
    images: Pictures,
    held_out: Pictures,
    how: str = "logistic",
    size: int = 64,
    strengths: Sequence[float] = STRENGTHS,
) -> Fitted:
    """Fit a plain network to pictures of ``size`` x ``size``; classes are the reals and each source.

    ``held_out`` chooses the penalty of the "logistic" regression among ``strengths``, and for the
    "nearest-mean" how sharp probabilities are, which its answers do not depend on. There is no randomness.
    Memory: 4 bytes for each coefficient of each picture.

    Raises ValueError for another ``how``, where sources differ between the two sets, or no value was given;
    PictureError where a picture has another size.
    """
    if how not in PLAIN:
        raise ValueError(f"no plain network {how!r}: expected one of {', '.join(PLAIN)}")
    same_sources(images, held_out)
    if how == "logistic" and (not strengths or min(strengths) <= 0):
        raise ValueError(f"inverse penalties {list(strengths)}: expected one or more, each above 0")
    net = baseline(how, "dct", size, names=images.names)
    kept = Kept(images.paths)
    statistics = inputs.measure(batch(kept, at, size) for at in range(0, len(images), BATCH))
    x, y = _seen(kept, size, statistics), np.array(images.sources) + 1  # reals are class 0
    watched, truth = _seen(Kept(held_out.paths), size, statistics), np.array(held_out.sources) + 1
    if how == "logistic":
        weight, bias, chosen = _logistic(x, y, watched, truth, net.outputs, strengths)
    else:
        weight, bias, chosen = _nearest_mean(x, y, watched, truth, net.outputs)
    linear = net.body[-1]  # type: ignore[index]
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    return Fitted(net, statistics, chosen)


def _seen(kept: Kept, size: int, statistics: Statistics) -> Floats:
    """Normalised spectra of all pictures, float32 (n, size * size)."""
    out = np.empty((len(kept.paths), size**2), dtype=np.float32)
    for at in range(0, len(out), BATCH):
        out[at : at + BATCH] = inputs.seen(batch(kept, at, size), statistics).flatten(1).numpy()
    return out


def _cross_entropy(logits: Floats, truth: NDArray[np.int64]) -> float:
    return abs(float(log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean()))


def _logistic(
    x: Floats, y: NDArray[np.int64], watched: Floats, truth: NDArray[np.int64], classes: int,
    strengths: Sequence[float],
) -> tuple[Floats, Floats, dict[str, Any]]:  # fmt: skip
    from sklearn.linear_model import LogisticRegression  # takes a second to load

    best: tuple[float, float, Floats, Floats, bool] | None = None
    tried = {}
    model = LogisticRegression(max_iter=_STEPS, warm_start=True, tol=_TOLERANCE)
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(x, y)
        weight, bias = model.coef_, model.intercept_
        if classes == 2:  # of two classes only the difference of their logits is there
            weight, bias = (np.concatenate([np.zeros_like(part), part]) for part in (weight, bias))
        found = _cross_entropy(watched @ weight.T + bias, truth)
        tried[f"{strength:g}"] = found
        if best is None or found < best[0]:
            best = found, strength, weight.copy(), bias.copy(), bool(model.n_iter_.max() < _STEPS)
    assert best is not None
    loss, strength, weight, bias, converged = best
    edge = len(strengths) > 1 and strength in (min(strengths), max(strengths))
    chosen = {
        "value": strength, "validation": loss, "tried": tried, "converged": converged, "at_edge": edge
    }  # fmt: skip
    return weight, bias, chosen


def _nearest_mean(
    x: Floats, y: NDArray[np.int64], watched: Floats, truth: NDArray[np.int64], classes: int
) -> tuple[Floats, Floats, dict[str, Any]]:
    means = np.stack([x[y == c].mean(0, dtype=np.float64) for c in range(classes)])
    # -|x - m|^2 / 2 less what all classes share
    bias = -np.square(means).sum(1) / 2
    logits = watched @ means.T + bias
    # the cross-entropy is convex in the sharpness, so it has one minimum in its logarithm, too
    sharpest = float(np.log(_SHARPEST))
    found = minimize_scalar(
        lambda log: _cross_entropy(np.exp(log) * logits, truth), bounds=(-4 * sharpest, sharpest)
    )
    sharp = float(np.exp(found.x))
    chosen = {
        "value": sharp, "validation": float(found.fun), "converged": bool(found.success),
        "at_edge": sharp > 0.99 * _SHARPEST,
    }  # fmt: skip
    return sharp * means, sharp * bias, chosen
