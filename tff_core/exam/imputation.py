"""Replace pixels by what their neighbours suggest, so that the hole itself says nothing.

A hole of one colour is no photograph, and its outline shows what was taken away. Noisy linear imputation
gives each missing pixel the weighted mean of its eight neighbours, missing ones included, which is a system
of linear equations, and adds a little noise.

Source: Rong, Leemann, Borisov, Kasneci and Kasneci, A consistent and efficient evaluation strategy for
attribution methods (ICML 2022): ROAD, remove and debias.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from tff_core.exam import flipping

NOISE = 0.01
"""Deviation of the noise, of normalised pixels, as in the source's code."""
# the four that share an edge count twice as much as the four that share a corner
_NEIGHBOURS = [
    (i, j, 1 / 6 if 0 in (i, j) else 1 / 12) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)
]


def noisy_linear(x: Tensor, gone: Tensor, noise: float = NOISE, seed: int = 0) -> Tensor:
    """Pictures (N, C, H, W) whose missing pixels, true in ``gone`` (N, H, W), are imputed.

    Where nothing is left, the picture's mean colour stands for it. The noise depends on ``seed`` and on how
    many pixels are gone, not on the other pictures.

    Raises ValueError where the shapes do not fit.
    """
    if gone.shape != (len(x), *x.shape[2:]):
        raise ValueError(
            f"holes of shape {tuple(gone.shape)} in pictures of shape {tuple(x.shape)}: expected "
            f"{(len(x), *x.shape[2:])}"
        )
    out = x.detach().double().cpu().numpy().copy()
    for picture, hole in zip(out, gone.cpu().numpy().astype(bool), strict=True):
        missing = int(hole.sum())
        if not missing:
            continue
        known = picture.mean((1, 2))[:, None] if hole.all() else _solved(picture, hole)
        rng = np.random.default_rng([seed, missing])
        picture[:, hole] = known + noise * rng.standard_normal((len(picture), missing))
    return torch.from_numpy(out).to(x)


def _solved(picture: NDArray[np.float64], hole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The values (C, M) of M missing pixels of a picture (C, H, W), of which something is left."""
    height, width = hole.shape
    rows, columns = np.nonzero(hole)
    number = np.full(hole.shape, -1)
    number[rows, columns] = own = np.arange(len(rows))
    total, right = np.zeros(len(rows)), np.zeros((len(rows), len(picture)))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for down, across, weight in _NEIGHBOURS:
        r, c = rows + down, columns + across
        inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        total += weight * inside
        at, r, c = own[inside], r[inside], c[inside]
        other = number[r, c]
        known = other < 0
        right[at[known]] += weight * picture[:, r[known], c[known]].T
        entries.append((at[~known], other[~known], np.full(int((~known).sum()), -weight)))
    entries.append((own, own, total))
    i, j, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = sparse.csc_array((values, (i, j)), shape=(len(rows), len(rows)))
    # symmetric: an order that suits it makes the solution several times faster
    solver = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    solution: NDArray[np.float64] = solver.solve(right).T
    return solution


def curve(
    score: flipping.Score,
    x: Tensor,
    when: Tensor,
    shares: Sequence[float],
    *,
    noise: float = NOISE,
    seed: int = 0,
    batch_size: int = 64,
) -> NDArray[np.float64]:
    """As `flipping.curve`, (N, S), with what is gone imputed: the scores behind ROAD."""
    mixed = [noisy_linear(x, flipping.replaced(when, share), noise, seed) for share in shares]
    found = flipping.scores(score, torch.stack(mixed, 1).flatten(0, 1), batch_size)
    return found.reshape(len(x), len(shares))
