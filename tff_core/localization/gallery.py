"""Rows of small pictures for a page: the ends of a ranking, mean maps, several maps of the same pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from tff_core.localization import heatmaps, maps, masks
from tff_core.localization.comparison import Method
from tff_core.localization.networks import PatchClassifier
from tff_core.pictures import data

Rows = dict[str, NDArray[np.uint8]]
"""Pictures (N, H, W, 3) by the name of their row."""
Labels = dict[str, list[str]]
"""A text for each picture of a row."""


def ends(
    net: PatchClassifier,
    images: data.ImageSet,
    pictures: pd.DataFrame,
    cells: ArrayLike,
    n: int = 6,
    ensemble: str = "after_softmax",
) -> tuple[Rows, Labels]:
    """The ``n`` easiest and hardest pictures of each class, with the map of each below it.

    ``pictures``: rows as in `evaluation.Evaluation`; ``cells`` (N, h, w): P(fake) at the cells of ``images``,
    which have one size.
    """
    values = np.asarray(cells, dtype=np.float64)
    rows: Rows = {}
    labels: Labels = {}
    for label, kind in ((1, "fakes"), (0, "reals")):
        ranked = heatmaps.ranked(pictures, label, n, ensemble)
        for which in ("easiest", "hardest"):
            index = ranked[which]
            shown = [data.read(images.paths[i]).permute(1, 2, 0).numpy() for i in index]
            size = (shown[0].shape[0], shown[0].shape[1])
            fine = maps.to_pixels(net.name, values[index], size)
            told = [f"P(fake) = {p:.3f}" for p in pictures[ensemble][index]]
            drawn = [heatmaps.overlay(one, it) for one, it in zip(shown, fine, strict=True)]
            for name, some in ((f"{which} {kind}", shown), (f"{which} {kind}, maps", drawn)):
                rows[name], labels[name] = np.stack(some), told
    return rows, labels


def averages(labels: ArrayLike, cells: ArrayLike, zoom: int = 8) -> tuple[Rows, Labels]:
    """The mean map of the fakes and that of the reals, each on its own scale, ``zoom`` pixels a cell."""
    y, values = np.asarray(labels), np.asarray(cells, dtype=np.float64)
    rows: Rows = {}
    told: Labels = {}
    for label, kind in ((1, "fakes"), (0, "reals")):
        scaled, low, high = heatmaps.scaled(values[y == label].mean(0), "picture")
        name = f"mean map of {kind}"
        rows[name] = heatmaps.coloured(scaled.repeat(zoom, 0).repeat(zoom, 1))[None]
        told[name] = [f"from {low:.2f} to {high:.2f}"]
    return rows, told


def side_by_side(some: masks.Masked, methods: Mapping[str, Method]) -> Rows:
    """Pictures, what of them is fake, and the map of each method over them, every map on its own scale."""
    read = list(some.read())
    shown = np.stack([image for image, _ in read])
    fake = np.stack([mask for _, mask in read])
    rows: Rows = {
        "pictures": shown,
        "what is fake": np.repeat(255 * fake[..., None].astype(np.uint8), 3, axis=3),
    }
    x = torch.from_numpy(shown).permute(0, 3, 1, 2)
    for name, method in methods.items():
        found = method(x)
        values = np.asarray(found.detach().cpu() if isinstance(found, torch.Tensor) else found, np.float64)
        low, high = (end(values, axis=(1, 2), keepdims=True) for end in (np.min, np.max))
        scaled = np.divide(values - low, high - low, out=np.zeros_like(values), where=high > low)
        rows[name] = np.stack([heatmaps.overlay(one, it) for one, it in zip(shown, scaled, strict=True)])
    return rows
