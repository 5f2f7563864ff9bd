"""Any pictures, each with the source that a network names, or none, and its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv
from tqdm import tqdm

from tff_core.attribution import inputs
from tff_core.attribution.baselines import Network
from tff_core.attribution.decisions import NONE, decide
from tff_core.attribution.inputs import Statistics
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import Checkpoint

REAL, FAKE, UNKNOWN, UNREADABLE = "real", "fake", "none of these", "unreadable"
"""Answers besides the names of sources: fake is that of a network without sources."""
FITS = ("none", "crop", "resize")
"""What is done to a picture of another size: it is refused, its middle is taken, or it is resized."""

Each = Callable[[Sequence[int], Tensor, Tensor], None]


def fitted(pixels: Tensor, size: int, fit: str = "none") -> Tensor:
    """Pictures uint8 (N, 3, H, W) at ``size`` x ``size``; see `FITS`. Resizing changes their traces.

    PictureError where they have another size and ``fit`` is "none", or are smaller than a crop.
    """
    height, width = pixels.shape[-2:]
    if (height, width) == (size, size):
        return pixels
    if fit == "resize":
        return tv.resize(pixels, [size, size], antialias=True)
    if fit == "crop" and min(height, width) >= size:
        return tv.center_crop(pixels, [size, size])
    wanted = f"{size}x{size}" if fit == "none" else f"at least {size}x{size}"
    raise data.PictureError(
        f"{width}x{height} pixels: the network takes {wanted}; "
        + ("crop or resize it, which may change what it answers" if fit == "none" else "resize it")
    )


def attribute(
    net: Network,
    paths: Sequence[Path],
    statistics: Statistics | None = None,
    *,
    threshold: float = 0.5,
    fit: str = "none",
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
    each: Each | None = None,
) -> pd.DataFrame:
    """Name the source of each picture; a row each, in the order of ``paths``.

    Columns: path, ``decision`` ("real", the name of a source, "none of these" for a fake that no module
    claims, "unreadable"; without sources "real" or "fake"), ``fake`` (the probability), ``p <source>`` of
    each source, ``claimed`` (the source by the secondary modules alone, "" for none), ``contradiction``
    (claimed, though called real), width, height, error.

    ``statistics`` are those of a network of kind "dct". With a ``checkpoint`` an interrupted run continues:
    its key must say which network and pictures these are. Memory does not grow with the pictures but for
    their rows. ``each`` is called with every batch that is judged now: the pictures' numbers, their pixels
    as the network takes them (before its normalisation), and their probabilities.

    ValueError for statistics that are missing, of another size or not asked for, an unknown ``fit``, and a
    threshold that is no probability.
    """
    check(net, statistics, threshold, fit)
    n, sources = len(paths), net.sources
    values = np.full((n, 1 + sources), np.nan)
    sizes = np.zeros((n, 2), dtype=np.int64)
    kept = checkpoint.read() if checkpoint else {}
    if kept:
        values, sizes = kept["values"], kept["sizes"]
    todo = [int(i) for i in np.flatnonzero(np.isnan(values[:, 0]))]
    broken: dict[int, Exception] = {}
    parts = memory.Parts()
    unread: dict[int, Exception] = {}
    with tqdm(total=n, initial=n - len(todo), desc="pictures", unit="picture", disable=not progress) as bar:
        for members, pixels in data.stream([paths[i] for i in todo], batch_size, broken=unread):
            places = [todo[i] for i in members]
            sizes[places] = pixels.shape[:1:-1]
            try:
                shown = fitted(pixels, net.size, fit)
            except data.PictureError as error:
                broken.update({i: data.PictureError(f"{paths[i]}: {error}") for i in places})
                continue
            found = probabilities(net, shown, statistics, device, parts)
            if each is not None:
                each(places, shown, found)
            values[places] = found
            bar.update(len(members))
            if checkpoint and checkpoint.due:
                checkpoint.write({"values": values, "sizes": sizes})
    broken |= {todo[i]: error for i, error in unread.items()}
    return _table(net, paths, values, sizes, broken, threshold)


def check(net: Network, statistics: Statistics | None, threshold: float = 0.5, fit: str = "none") -> None:
    """ValueError as `attribute`."""
    if fit not in FITS:
        raise ValueError(f"fit is {fit!r}: expected one of {', '.join(FITS)}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold}: expected a probability above 0, at most 1")
    if net.kind == "dct" and statistics is None:
        raise ValueError(
            "this network sees spectra: expected the statistics of its training pictures, an npz or the "
            "folder with mean.npy, variance.npy and std_dev.npy"
        )
    if net.kind == "pixel" and statistics is not None:
        raise ValueError(
            "this network sees pixels, and statistics belong to one that sees spectra: leave them"
        )
    if statistics is not None and statistics.mean.shape != (net.size, net.size):
        height, width = statistics.mean.shape
        raise ValueError(
            f"statistics of {width}x{height} for a network of {net.size}x{net.size} pixels: expected one size"
        )


@torch.inference_mode()
def probabilities(
    net: Network,
    pixels: Tensor,
    statistics: Statistics | None,
    device: str | torch.device,
    parts: memory.Parts,
) -> Tensor:
    """Of being fake and of each source, (N, 1 + sources) float64, of pictures uint8 (N, 3, S, S)."""

    def of(part: slice) -> Tensor:
        own = pixels[part]
        return net.probabilities(inputs.seen(own, statistics).to(device))

    return torch.cat([found for _, found in parts(of, len(pixels), memory.describe(pixels))])


def _table(
    net: Network,
    paths: Sequence[Path],
    values: np.ndarray[Any, Any],
    sizes: np.ndarray[Any, Any],
    broken: dict[int, Exception],
    threshold: float,
) -> pd.DataFrame:
    judged = np.flatnonzero(~np.isnan(values[:, 0]))
    decision = np.full(len(paths), UNREADABLE, dtype=object)
    claimed = np.full(len(paths), "", dtype=object)
    contradiction = np.zeros(len(paths), dtype=bool)
    if net.sources:
        found = decide(values[judged, 0], values[judged, 1:], threshold)
        names = np.array([*net.names, ""], dtype=object)  # NONE is the last
        claimed[judged] = names[found.raw]
        decision[judged] = np.where(
            found.fake, np.where(found.gated == NONE, UNKNOWN, names[found.gated]), REAL
        )
        contradiction[judged] = ~found.fake & (found.raw != NONE)
    else:
        decision[judged] = np.where(values[judged, 0] >= threshold, FAKE, REAL)
    columns: dict[str, Any] = {
        "path": [str(path) for path in paths],
        "decision": decision,
        "fake": values[:, 0],
    }
    columns |= {f"p {name}": values[:, 1 + i] for i, name in enumerate(net.names)}
    if net.sources:
        columns |= {"claimed": claimed, "contradiction": contradiction}
    known = sizes[:, 0] > 0
    columns |= {
        side: pd.array(np.where(known, sizes[:, i], 0), dtype="Int64")
        for i, side in enumerate(("width", "height"))
    }
    columns["error"] = [str(broken[i]) if i in broken else None for i in range(len(paths))]
    frame = pd.DataFrame(columns)
    frame.loc[~known, ["width", "height"]] = pd.NA
    return frame
