"""Any pictures, each with its map and a row of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from tff_core.localization import heatmaps, inputs, maps, receptive
from tff_core.localization.evaluation import ENSEMBLES, ensembles, too_small
from tff_core.localization.files import write_png
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.localization.predictive import best_cells
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import write_arrays

COLUMNS = (
    "path", *ENSEMBLES, "highest", "top", "left", "bottom", "right", "cells", "width", "height", "map",
    "npz", "error",
)  # fmt: skip


def locate(
    net: PatchClassifier,
    paths: Sequence[Path],
    folder: str | Path,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    scale: str = "absolute",
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    progress: bool = False,
) -> pd.DataFrame:
    """Write the map of each picture to ``folder``, as ``.png`` over the picture and as ``.npz``; a row each.

    Columns: P(fake) by each ensemble, ``highest`` of the cells and the box that this cell sees (in pixels of
    the picture as prepared), ``cells, width, height``, the names of the two files in ``folder``, and
    ``error`` for a picture that cannot be read or is too small. The npz has ``heatmap`` (h, w), P(fake), and
    ``boxes`` (h, w, 4), what each cell sees. Memory does not grow with the number of pictures.

    ValueError for a whole network, which has no map, and an unknown scale.
    """
    if net.whole:
        raise ValueError(f"{net.name} is a whole network and has no map: expected one with a cut")
    if scale not in heatmaps.SCALES:
        raise ValueError(f"scale {scale!r}: expected one of {', '.join(heatmaps.SCALES)}")
    folder = Path(folder)
    rows: list[dict[str, Any]] = [{"path": str(path)} for path in paths]
    broken: dict[int, Exception] = {}
    parts = memory.Parts()
    stream = inputs.stream(paths, preparation, batch_size=batch_size, broken=broken)
    with tqdm(total=len(paths), desc="pictures", unit="picture", disable=not progress) as bar:
        for members, pixels in stream:
            try:
                margins = (
                    maps.margin(net, inputs.normalised(pixels, device, preparation), parts).double().cpu()
                )
            except (ValueError, memory.OutOfMemory) as error:
                if not too_small(net, pixels, error):
                    raise
                broken.update({i: data.PictureError(f"{paths[i]}: {error}") for i in members})
                continue
            found = ensembles(margins.numpy())
            size = (pixels.shape[-2], pixels.shape[-1])
            boxes = receptive.boxes(net.name, size)
            for n, place in enumerate(members):
                # two pictures may have one name
                stem = f"{place:05d}_{paths[place].stem[:80]}"
                cells = margins[n].sigmoid().numpy()
                write_arrays(folder / f"{stem}.npz", {"heatmap": cells, "boxes": boxes})
                fine = maps.to_pixels(net.name, cells[None], size)[0]
                _, low, high = heatmaps.scaled(fine, scale)
                drawn = heatmaps.overlay(pixels[n].permute(1, 2, 0).numpy(), fine, scale)
                write_png(folder / f"{stem}.png", heatmaps.with_bar(drawn, low, high))
                peak = tuple(best_cells(margins[n].numpy(), 1, 0)[0])
                corners = dict(zip(("top", "left", "bottom", "right"), boxes[peak].tolist(), strict=True))
                rows[place] |= {
                    **{name: float(values[n]) for name, values in found.items()},
                    **corners, "highest": float(cells.max()), "cells": cells.size,
                    "width": size[1], "height": size[0], "map": f"{stem}.png", "npz": f"{stem}.npz",
                }  # fmt: skip
            bar.update(len(members))
    for place, wrong in broken.items():
        rows[place]["error"] = str(wrong)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    whole = ("top", "left", "bottom", "right", "cells", "width", "height")
    return frame.astype(dict.fromkeys(whole, "Int64")) if np.size(frame) else frame
