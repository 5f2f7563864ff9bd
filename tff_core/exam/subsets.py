"""Does relevance add up to what happens when parts of a picture go? Sensitivity-n and infidelity.

An explanation that hands the decision out to pixels promises something: take a set of pixels away, and the
score falls by the sum of their relevance. Both measures keep to random sets and compare the promise with the
fall. The same sets serve all methods, so they cost little.

Sources: Ancona, Ceolini, Oeztireli and Gross 2018 (sensitivity-n); Yeh, Hsieh, Suggala, Inouye and Ravikumar
2019 (infidelity, here with squares that are replaced).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tff_core.exam import flipping

Floats = NDArray[np.float64]


def of_size(size: tuple[int, int], share: float, count: int, cell: int = 8, seed: int = 0) -> Tensor:
    """``count`` random sets of cells, (count, H, W), true in the set: each has ``share`` of all cells.

    A cell has ``cell`` x ``cell`` pixels, fewer at the right and lower border. At least one cell is in a set,
    and at least one is not. Raises ValueError where the picture is a single cell, or the share is not between
    0 and 1.
    """
    height, width = size
    up, across = -(-height // cell), -(-width // cell)
    if up * across < 2 or not 0 < share < 1:
        raise ValueError(
            f"sets of {share:g} of the {up * across} cells of {cell} pixels in {height} x {width}: expected "
            "a share between 0 and 1, of two or more cells"
        )
    chosen = min(max(1, round(share * up * across)), up * across - 1)
    rng = np.random.default_rng([seed, chosen])
    sets = np.zeros((count, up * across), dtype=bool)
    for one in sets:
        one[rng.permutation(up * across)[:chosen]] = True
    grown = torch.from_numpy(sets.reshape(count, up, across))
    grown = grown.repeat_interleave(cell, 1).repeat_interleave(cell, 2)
    return grown[:, :height, :width].contiguous()


def squares(
    size: tuple[int, int], count: int, least: float = 0.1, most: float = 0.5, seed: int = 0
) -> Tensor:
    """``count`` random squares, (count, H, W), true inside.

    Their sides are ``least`` to ``most`` of the shorter side of the picture.
    """
    height, width = size
    rng = np.random.default_rng([seed, 1])
    found = torch.zeros(count, height, width, dtype=torch.bool)
    low, high = (max(1, round(part * min(size))) for part in (least, most))
    for one in found:
        side = int(rng.integers(low, high + 1))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        one[top : top + side, left : left + side] = True
    return found


def falls(score: flipping.Score, x: Tensor, sets: Tensor, fill: Tensor, batch_size: int = 64) -> Floats:
    """How much the score falls when each set goes, (N, M): pictures (N, C, H, W), sets (M, H, W).

    ``fill`` (N, C, H, W) takes the place of what is gone. Sets may be each picture's own, (N, M, H, W).
    """
    sets = sets.to(x.device)
    each = sets.expand(len(x), *sets.shape) if sets.ndim == 3 else sets
    rows = []
    for one, blank, own in zip(x, fill, each, strict=True):
        parts = [torch.where(part[:, None], blank, one) for part in own.split(batch_size)]
        rows.append(np.concatenate([flipping.scores(score, part, batch_size) for part in parts]))
    return flipping.scores(score, x, batch_size)[:, None] - np.stack(rows)


def sums(relevance: Tensor, sets: Tensor) -> Floats:
    """The relevance of each set, (N, M): of relevance (N, H, W) and sets (M, H, W), or (N, M, H, W)."""
    flat, inside = relevance.double().flatten(1), sets.to(relevance.device).double().flatten(-2)
    found = flat @ inside.T if inside.ndim == 2 else torch.einsum("np,nmp->nm", flat, inside)
    values: Floats = found.cpu().numpy()
    return values


def sensitivity_n(fell: ArrayLike, promised: ArrayLike) -> Floats:
    """Pearson's correlation of what fell with what was promised, over the M sets of each picture, (N,).

    1 for an explanation of a linear score by its contributions, 0 on average for a random one. Where all sets
    were promised the same, or nothing fell differently, nothing is explained: 0.

    Both are (N, M), M > 1, of sets of one size: ValueError else.
    """
    a, b = _pairs(fell, promised)
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt((a**2).sum(1)) * np.sqrt((b**2).sum(1))
    # what is left of equal numbers is rounding
    known = (_spread(a, fell) > 0) & (_spread(b, promised) > 0) & (scale > 0)
    return np.divide((a * b).sum(1), scale, out=np.zeros(len(a)), where=known)


def _spread(centred: Floats, values: ArrayLike) -> Floats:
    largest = np.abs(np.asarray(values, dtype=np.float64)).max(1)
    apart: Floats = np.abs(centred).max(1)
    return np.where(apart > 1e-9 * largest, apart, 0.0)


def infidelity(fell: ArrayLike, promised: ArrayLike, scaled: bool = True) -> Floats:
    """Mean squared difference of what was promised and what fell, (N,): 0 is best.

    The scale of an explanation is often arbitrary. ``scaled`` multiplies each picture's by the factor, not
    negative, that suits it best, and divides by the mean square of what fell: then 1 is what an explanation
    scores that promises nothing. Where nothing fell, an explanation that promises nothing has 0; scaled, all
    have 0, as the best factor is none.

    Both are (N, M), M > 1: ValueError else.
    """
    a, b = _pairs(fell, promised)
    if not scaled:
        plain: Floats = ((a - b) ** 2).mean(1)
        return plain
    square = (b**2).sum(1)
    factor = np.divide((a * b).sum(1), square, out=np.zeros(len(a)), where=square > 0).clip(min=0)
    total = (a**2).sum(1)
    left = ((a - factor[:, None] * b) ** 2).sum(1)
    return np.divide(left, total, out=np.zeros(len(a)), where=total > 0)


def _pairs(fell: ArrayLike, promised: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(fell, dtype=np.float64), np.asarray(promised, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] < 2:
        raise ValueError(
            f"falls of shape {a.shape}, promises of shape {b.shape}: expected (N, M) of both, for two "
            "or more sets"
        )
    return a, b
