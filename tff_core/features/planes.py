"""What carries over, colour or light: detectors that see all of a picture, its luma or its chroma alone.

Each is trained on the same pictures by the same recipe, so that what it is shown is all that differs. They
are asked about the test pictures of every generator, about the same with the grid of the pixels cut off at a
random place, and about pictures whose reals another camera has taken. And they are asked to tell the two
cameras' reals apart, without any fake: who knows reals by the traces of a simulated camera can do so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from tff_core import intervals, metrics
from tff_core.pictures import data

SAME, OFFSET, CAMERA = "as trained", "cut at random", "another camera"
CONDITIONS = (SAME, OFFSET, CAMERA)
"""Test pictures as in training; without a grid that begins in their corner; with reals of another camera."""
SEES = ("rgb", "luma", "chroma")
"""The order of what detectors see: a difference is the later less the earlier."""
KEPT = 0.875  # of the side of a picture that is cut at a random place


def cut(pixels: torch.Tensor, seed: int = 0, share: float = KEPT) -> torch.Tensor:
    """Pictures (N, 3, H, W), each cut to a ``share`` of its sides at a random place of its own.

    What begins with the picture, such as the grid of an upsampling, then begins anywhere.
    """
    return data.cut_at_random(pixels, torch.Generator().manual_seed(seed), share)


def compare(
    labels: ArrayLike,
    logits: Mapping[str, ArrayLike],
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """AP of every detector on the same pictures, and how far each pair of them is apart.

    ``labels`` (N,), 1 fake and 0 real; ``logits`` by what a detector sees: (S, N), a row for each training
    seed, the same number of them for all. Rows ``sees, ap, ap_low, ap_high, seeds, covers, n_real, n_fake``;
    ``sees`` is a name, in the order of `SEES`, or "a - b" for a difference. The intervals are those of
    `tff_core.intervals`; the resamples hold the same pictures for all, and differences pair the seeds in
    their order.

    Raises ValueError where the detectors have different numbers of seeds.
    """
    y = np.asarray(labels)
    known = [*(name for name in SEES if name in logits), *(name for name in logits if name not in SEES)]
    rows = {name: np.atleast_2d(np.asarray(logits[name], dtype=np.float64)) for name in known}
    if len({len(one) for one in rows.values()}) != 1:
        raise ValueError(
            f"{', '.join(f'{len(one)} seeds of {name}' for name, one in rows.items())}: expected the same "
            "number of each"
        )
    weights = metrics.picture_weights(y, n, seed)
    points = {k: np.array([metrics.average_precision(y, row) for row in one]) for k, one in rows.items()}
    drawn = {
        k: np.stack([metrics.resampled_ap(y, row, weights) for row in one], 1) for k, one in rows.items()
    }
    found = {k: intervals.over_seeds(points[k], drawn[k], intervals.SHARE, level) for k in rows}
    names = list(rows)
    for a in range(len(names)):
        for b in names[:a]:
            found[f"{names[a]} - {b}"] = intervals.over_seeds(
                points[names[a]] - points[b], drawn[names[a]] - drawn[b], intervals.DIFFERENCE, level
            )
    counts = {"n_real": int((y == 0).sum()), "n_fake": int((y == 1).sum())}
    return pd.DataFrame(
        {"sees": name} | one.columns("ap", "ap_low", "ap_high") | counts for name, one in found.items()
    )
