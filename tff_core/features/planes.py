"""What carries over, colour or light: detectors that see all of a picture, its luma or its chroma alone.

Each is trained on the same pictures by the same recipe, so that what it is shown is all that differs. They
are asked about the test pictures of every generator, about the same with the grid of the pixels cut off at a
random place, and about pictures whose reals another camera has taken. And they are asked to tell the two
cameras' reals apart, without any fake: who knows reals by the traces of a simulated camera can do so.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    ``sees`` is a name, in the order of `SEES`, or "a - b" for a difference, as in
    `tff_core.intervals.compare_ap`, whose errors are raised.
    """
    known = [*(name for name in SEES if name in logits), *(name for name in logits if name not in SEES)]
    table = intervals.compare_ap(labels, {name: logits[name] for name in known}, n, level, seed)
    return table.rename(columns={"name": "sees"})
