"""What the most predictive patches show, and whether chance would show the same.

A patch belongs to the category of which it holds the largest share of all that the picture has of it; small
regions, such as eyes, so are not lost in large ones. What chance would do is known exactly: a patch at a
random cell of the same picture. The published code draws one such cell for each picture; here so many are
drawn that every category has a p-value.

Source: Chai et al., ECCV 2020, section 4.2; the p-values are an addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from tff_core.localization import inputs, receptive
from tff_core.localization.files import write_png
from tff_core.localization.inputs import Preparation
from tff_core.localization.predictive import Patches
from tff_core.localization.segmenters import NOTHING, Labels, Segmenter
from tff_core.pictures import data
from tff_core.store.results import write_text

DRAWS = 9999
_SHOWN = 225  # patches of a category in its picture


class NoCategory(ValueError):
    """No patch has a category."""


@dataclass(frozen=True)
class Clusters:
    """Patches by category.

    ``category`` (n,) is the index into ``names`` of each patch, `NOTHING` where its picture has no
    segmentation or the patch no category. ``table`` has a row for each category: ``category``, ``patches``
    (their number), ``share``, ``expected`` (the number at random cells of the same pictures), ``low`` and
    ``high`` (between which 95 of 100 random draws are), ``p`` (two-sided; of that many patches or as
    unusual a number by chance) and ``p_holm`` (corrected for the number of categories). ``counted`` is the
    number of patches in it.
    """

    patches: Patches
    names: tuple[str, ...]
    category: NDArray[np.int64]
    table: pd.DataFrame

    @property
    def counted(self) -> int:
        return int((self.category != NOTHING).sum())

    def write(self, folder: str | Path) -> None:
        """``histogram.csv``, ``patches.csv``, and for each category with patches, by size,
        ``cluster_<i>.png`` (its best 225) and ``.npz`` (all); ``counts.txt`` says which is which. Clusters
        that an earlier run had beyond these are removed."""
        folder = Path(folder)
        write_text(folder / "histogram.csv", self.table.to_csv(index=False))
        names = [self.names[i] if i != NOTHING else "" for i in self.category]
        rows = {
            "path": list(map(str, self.patches.paths)), "category": names, "value": self.patches.value,
            **{side: self.patches.boxes[:, i] for i, side in enumerate(("top", "left", "bottom", "right"))},
        }  # fmt: skip
        write_text(folder / "patches.csv", pd.DataFrame(rows).to_csv(index=False))
        counts = np.bincount(self.category[self.category != NOTHING], minlength=len(self.names))
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        for rank, i in enumerate(order):
            mine = self.patches.take(np.flatnonzero(self.category == i).tolist())
            mine.save(folder / f"cluster_{rank}.npz")
            write_png(folder / f"cluster_{rank}.png", mine.take(range(min(len(mine), _SHOWN))).grid())
        lines = [f"{rank}: {self.names[i]}, {counts[i]} patches\n" for rank, i in enumerate(order)]
        write_text(folder / "counts.txt", "".join(lines))
        for path in folder.glob("cluster_*"):
            number = path.stem.removeprefix("cluster_")
            if path.suffix in (".png", ".npz") and number.isdecimal() and int(number) >= len(order):
                path.unlink()


def categories(segments: Labels, boxes: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """The category of each box (..., 4), as `receptive.box`, in a segmentation (H, W); of ``count``
    categories.

    `NOTHING` where a box holds no category. Of equal shares the first category counts.
    """
    height, width = segments.shape
    # summed[k, y, x]: how many pixels of category k are above y and left of x
    summed = np.zeros((count, height + 1, width + 1), dtype=np.int64)
    known = segments[None] == np.arange(count)[:, None, None]
    summed[:, 1:, 1:] = known.cumsum(1).cumsum(2)
    top, left, bottom, right = np.moveaxis(np.asarray(boxes), -1, 0)
    inside = summed[:, bottom, right] - summed[:, top, right] - summed[:, bottom, left] + summed[:, top, left]
    whole = summed[:, -1, -1].reshape(-1, *[1] * (inside.ndim - 1))
    share = inside / np.maximum(whole, 1)
    return np.where(share.max(0) > 0, share.argmax(0), NOTHING)


def sort(
    patches: Patches,
    segmenter: Segmenter,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    seed: int = 0,
    draws: int = DRAWS,
    progress: bool = False,
) -> Clusters:
    """Sort the patches of `predictive.find`, one of each picture, into the categories of a segmenter.

    ``preparation`` is the one that they were found with; ``draws`` how often a random cell of every picture
    is drawn. Patches without a category are left out on both sides, and so are random cells without one.

    Raises ValueError where a picture has more than one patch, whose cells are no independent draws,
    NoCategory where no patch has one; PictureError as the segmenter and as `tff_core.pictures.data.read`.
    """
    pictures = len(set(patches.picture.tolist()))
    if pictures < len(patches):
        raise ValueError(
            f"{len(patches)} patches come from {pictures} pictures: expected one of each, or random "
            "cells say nothing about chance; find them with unique=True"
        )
    if draws < 1:
        raise ValueError(f"{draws} draws were asked for: expected at least 1")
    count = len(segmenter.names)
    found = np.full(len(patches), NOTHING, dtype=np.int64)
    drawn = np.zeros((draws, count), dtype=np.int64)
    expected = np.zeros(count)
    rng = np.random.default_rng(seed)
    for i, path in enumerate(tqdm(patches.paths, desc="segments", unit="picture", disable=not progress)):
        pixels = data.read(path).permute(1, 2, 0).numpy()
        segments = segmenter(pixels[None], [path])[0]
        seen = inputs.prepared_labels(segments, preparation)
        if seen.shape != tuple(patches.sizes[i]):
            raise ValueError(
                f"{path} was seen with {patches.sizes[i][1]}x{patches.sizes[i][0]} pixels and is now "
                f"{seen.shape[1]}x{seen.shape[0]}: expected the preparation that the patches were found with"
            )
        cells = categories(seen, receptive.boxes(patches.network, (seen.shape[0], seen.shape[1])), count)
        row, column = patches.cells[i]
        found[i] = cells[row, column]
        if found[i] == NOTHING:
            continue
        # a random cell that has a category, since the patch has one
        odds = np.bincount(cells[cells != NOTHING].ravel(), minlength=count)
        expected += odds / odds.sum()
        luck = np.searchsorted(np.cumsum(odds) / odds.sum(), rng.random(draws), side="right")
        drawn[np.arange(draws), luck] += 1
    n = int((found != NOTHING).sum())
    if not n:
        raise NoCategory(
            f"none of {len(patches)} patches has a category: expected pictures that the segmenter knows"
        )
    counts = np.bincount(found[found != NOTHING], minlength=count)
    above = (1 + (drawn >= counts).sum(0)) / (1 + draws)
    below = (1 + (drawn <= counts).sum(0)) / (1 + draws)
    p = np.minimum(1.0, 2 * np.minimum(above, below))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0, method="inverted_cdf")
    table = pd.DataFrame(
        {
            "category": segmenter.names, "patches": counts, "share": counts / n, "expected": expected,
            "low": low.astype(int), "high": high.astype(int), "p": p, "p_holm": _holm(p),
        }
    )  # fmt: skip
    return Clusters(patches, tuple(segmenter.names), found, table)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values corrected for their number by Holm's method."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out
