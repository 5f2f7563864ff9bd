"""The patches that speak most clearly for their class: each cell sees one.

Source: Chai et al., ECCV 2020, section 4.2.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from tqdm import tqdm

from tff_core.localization import inputs, maps, receptive
from tff_core.localization.files import write_png
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.localization.receptive import Box
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import write_arrays
from tff_core.store.results import write_text

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """The most predictive patches of one class, the best first.

    ``pixels`` (n, 3, field, field) in [-1, 1], each at its true place in a field, 0 where there is no
    picture; ``cells`` (n, 2) row and column in the map; ``picture`` (n,) index into the pictures searched;
    ``logit`` (n,) and ``value`` (n,), the probability of the class; ``boxes`` (n, 4), see `receptive.box`;
    ``sizes`` (n, 2) height and width of the picture as it was seen.
    """

    network: str
    label: int
    paths: tuple[Path, ...]
    pixels: NDArray[np.float32]
    cells: NDArray[np.int64]
    picture: NDArray[np.int64]
    logit: Floats
    boxes: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def value(self) -> Floats:
        return expit(self.logit)  # type: ignore[no-any-return]

    def shown(self) -> NDArray[np.uint8]:
        """The patches as pictures, (n, field, field, 3); gray where there is no picture."""
        return np.rint((self.pixels.transpose(0, 2, 3, 1) + 1) * 127.5).clip(0, 255).astype(np.uint8)

    def grid(self, gap: int = 0) -> NDArray[np.uint8]:
        """All patches as one picture (H, W, 3), the best first, as many columns as rows."""
        side = self.pixels.shape[-1]
        columns = max(1, math.ceil(math.sqrt(len(self))))
        rows = max(1, math.ceil(len(self) / columns))
        out = np.full((rows, columns, side + gap, side + gap, 3), 255, dtype=np.uint8)
        for i, patch in enumerate(self.shown()):
            out[i // columns, i % columns, :side, :side] = patch
        whole = out.transpose(0, 2, 1, 3, 4).reshape(rows * (side + gap), columns * (side + gap), 3)
        return whole[: whole.shape[0] - gap, : whole.shape[1] - gap]

    def take(self, chosen: Sequence[int]) -> Patches:
        """Some of them, in that order."""
        index = np.asarray(chosen, dtype=int)
        fields = ("pixels", "cells", "picture", "logit", "boxes", "sizes")
        return Patches(
            self.network, self.label, tuple(self.paths[i] for i in index),
            **{name: getattr(self, name)[index] for name in fields},
        )  # fmt: skip

    def write(self, folder: str | Path, stem: str | None = None) -> None:
        """``<fakes|reals>_easiest.npz`` and ``_files.txt``, ascending, and ``_grid.png``, the best first.

        The npz has the published names: ``patch, pos, value, rf, outsize, finesize, which_model_netD``; and
        ``logit``, ``box``.
        """
        folder = Path(folder)
        stem = stem or f"{('reals', 'fakes')[self.label]}_easiest"
        self.save(folder / f"{stem}.npz")
        write_text(folder / f"{stem}_files.txt", "".join(f"{path}\n" for path in reversed(self.paths)))
        if len(self):
            write_png(folder / f"{stem}_grid.png", self.grid())

    def save(self, path: str | Path) -> None:
        """The npz alone; see `write`."""
        up = slice(None, None, -1)
        cells = [receptive.map_size(self.network, (int(h), int(w))) for h, w in self.sizes]
        write_arrays(
            Path(path),
            {
                "patch": self.pixels[up], "pos": self.cells[up], "value": self.value[up],
                "logit": self.logit[up], "box": self.boxes[up],
                "outsize": np.array(cells, dtype=np.int64).reshape(-1, 2)[up], "finesize": self.sizes[up],
                "rf": np.array(receptive.field(self.network).size),
                "which_model_netD": np.array(self.network),
            },
        )  # fmt: skip


def best_cells(values: NDArray[np.floating[Any]], n: int, picture: int, seed: int = 0) -> NDArray[np.int64]:
    """The ``n`` cells (k, 2) of a map (h, w) with the largest values, the largest first.

    Equal values are in an order drawn from ``seed`` and the number of the picture: the same in every run, and
    no corner of the map before the others.
    """
    flat = np.asarray(values).ravel()
    luck = np.random.default_rng([seed, picture]).random(flat.size)
    order = np.lexsort((luck, -flat))[:n]
    return np.stack(np.unravel_index(order, values.shape), 1).astype(np.int64)


def find(
    net: PatchClassifier,
    images: data.ImageSet,
    label: int,
    n: int = 100,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    unique: bool = True,
    seed: int = 0,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    progress: bool = False,
) -> Patches:
    """The ``n`` most predictive patches of the pictures of one class, fakes (1) or reals (0).

    ``unique``: at most one of each picture. Of equal values, which is taken depends on ``seed`` alone, not on
    batches. Values are compared as logits, since probabilities round to one. Memory depends on ``n`` alone.

    Raises ValueError where there is no picture of the class, the network is whole or ``n`` is below 1, and as
    `tff_core.pictures.data.read`.
    """
    field = receptive.field(net.name)
    if n < 1:
        raise ValueError(f"{n} patches were asked for: expected at least 1")
    index = [i for i, own in enumerate(images.labels) if own == label]
    if not index:
        raise ValueError(
            f"{images.root} has no {('reals', 'fakes')[label]}: expected some, to find patches in"
        )
    # the worst kept patch first; of equal ones, that with the larger luck, then the later picture
    heap: list[tuple[float, float, int, int, Any]] = []
    parts = memory.Parts()
    stream = inputs.stream([images.paths[i] for i in index], preparation, batch_size=batch_size)
    with tqdm(total=len(index), desc="patches", unit="picture", disable=not progress) as bar:
        for members, pixels in stream:
            x = inputs.normalised(pixels, device, preparation)
            margins = maps.margin(net, x, parts).double().cpu().numpy() * (1 if label else -1)
            size = (pixels.shape[-2], pixels.shape[-1])
            shown = inputs.normalised(pixels, "cpu", Preparation()).numpy()
            for member, picture, values in zip(members, shown, margins, strict=True):
                place = index[member]
                for rank, cell in enumerate(best_cells(values, 1 if unique else n, place, seed)):
                    at = (int(cell[0]), int(cell[1]))
                    luck = np.random.default_rng([seed, place, 1]).random()
                    key = (float(values[at]), -luck, -place, -rank)
                    if len(heap) == n and key <= heap[0][:4]:
                        break  # and the picture's further cells are no better
                    patch = receptive.patch(net.name, picture, at)
                    item = (*key, (at, place, patch, receptive.box(net.name, at, size), size))
                    (heapq.heappushpop if len(heap) == n else heapq.heappush)(heap, item)
            bar.update(len(members))
    found = sorted(heap, key=lambda one: one[:4], reverse=True)
    told: list[tuple[tuple[int, int], int, Any, Box, tuple[int, int]]] = [one[4] for one in found]
    return Patches(
        net.name,
        label,
        tuple(images.paths[place] for _, place, _, _, _ in told),
        np.stack([patch for _, _, patch, _, _ in told])
        .astype(np.float32)
        .reshape(-1, 3, field.size, field.size),
        np.array([cell for cell, *_ in told], dtype=np.int64).reshape(-1, 2),
        np.array([place for _, place, *_ in told], dtype=np.int64),
        np.array([one[0] for one in found], dtype=np.float64),
        np.array([box for _, _, _, box, _ in told], dtype=np.int64).reshape(-1, 4),
        np.array([size for *_, size in told], dtype=np.int64).reshape(-1, 2),
    )
