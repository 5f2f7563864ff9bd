"""How well a map finds what is fake in a picture, where that is known to the pixel.

Maps are scores of any kind, (N, H, W), larger where a picture looks faker, whoever made them: a patch
classifier, relevance, a gradient, or the strength of edges. Spliced pictures have a mask with something in
it, authentic ones an empty mask. What a map says of authentic pictures is reported apart: there everything
it marks is wrong.

The threshold is chosen on other pictures than those that are judged (`calibrate`).

Source: an addition; Chai et al. show maps and do not measure them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from tff_core import metrics
from tff_core.miniature.splices import FOLDERS
from tff_core.pictures import data, places

Floats = NDArray[np.float64]
_BINS = 500


@dataclass(frozen=True)
class Masked:
    """Pictures and their masks: ``images`` (n,) and ``masks`` (n,) are paths, in the order of their names."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.images)

    def first(self, n: int) -> Masked:
        """The first ``n`` of them."""
        return Masked(self.images[:n], self.masks[:n])

    def read(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """Pixels (H, W, 3) and what of them is fake (H, W), picture by picture.

        PictureError where a file is broken, or a mask has another size than its picture.
        """
        for image, mask in zip(self.images, self.masks, strict=True):
            pixels = data.read(image).permute(1, 2, 0).numpy()
            try:
                with Image.open(mask) as opened:
                    fake = np.asarray(opened.convert("L")) >= 128
            except (OSError, SyntaxError, Image.DecompressionBombError) as error:
                raise data.PictureError(f"{mask} cannot be read ({error}): expected a mask") from error
            if fake.shape != pixels.shape[:2]:
                raise data.PictureError(
                    f"{mask} has {fake.shape[1]}x{fake.shape[0]} pixels and its picture "
                    f"{pixels.shape[1]}x{pixels.shape[0]}: expected as many"
                )
            yield pixels, fake


def find(folder: str | Path) -> Masked:
    """Pictures with masks: ``<folder>/image`` and ``<folder>/mask``, files of equal names without suffix.

    FileNotFoundError where a folder is missing, ValueError where there is no picture, or one has no mask.
    """
    image, mask = (Path(folder) / name for name in FOLDERS)
    for one in (image, mask):
        if not one.is_dir():
            raise FileNotFoundError(f"{one} is no folder: expected {folder}/image and {folder}/mask")
    found = {path.stem: path for path in sorted(image.iterdir()) if places.is_picture(path)}
    marked = {path.stem: path for path in sorted(mask.iterdir()) if places.is_picture(path)}
    if not found:
        raise ValueError(f"{image} has no pictures: expected some, with masks in {mask}")
    alone = sorted(set(found) ^ set(marked))
    if alone:
        where = "mask" if alone[0] in found else "picture"
        raise ValueError(f"{alone[0]} has no {where}: expected {image} and {mask} to have the same names")
    return Masked(tuple(found.values()), tuple(marked[stem] for stem in found))


@dataclass(frozen=True)
class Found:
    """What a map finds. Each number is value, low and high, with the 95 % interval of resampled pictures.

    ``pixel_ap``: AP of all pixels of the spliced pictures together, whose chance is ``prevalence``, the share
    of them that is fake; ``picture_ap``: the mean of each picture's own AP, which forgives a map whose level
    differs between pictures; ``iou``: mean intersection over union at the threshold; ``false_area``: the
    share of the pixels of authentic pictures above the threshold, NaN where there are none.
    """

    pixel_ap: tuple[float, float, float]
    picture_ap: tuple[float, float, float]
    iou: tuple[float, float, float]
    false_area: tuple[float, float, float]
    prevalence: float
    threshold: float
    spliced: int
    authentic: int


def iou(scores: Floats, masks: NDArray[np.bool_], threshold: float) -> Floats:
    """Intersection over union of what is at or above the threshold and what is fake, (N,); 0 / 0 is 1."""
    marked = scores >= threshold
    both = (marked & masks).sum((1, 2))
    either = (marked | masks).sum((1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def calibrate(scores: ArrayLike, masks: ArrayLike, steps: int = 200) -> float:
    """The threshold with the best mean `iou` over spliced pictures, among ``steps`` quantiles of all scores.

    ValueError as `judge`.
    """
    values, fake = _checked(scores, masks)
    spliced = fake.any((1, 2))
    candidates = np.unique(np.quantile(values[spliced], np.linspace(0, 1, steps)))
    means = [float(iou(values[spliced], fake[spliced], one).mean()) for one in candidates]
    return float(candidates[int(np.argmax(means))])


def judge(scores: ArrayLike, masks: ArrayLike, threshold: float, seed: int = 0) -> Found:
    """Judge maps (N, H, W) by masks (N, H, W), True where fake.

    ValueError where shapes differ, a score is not finite, or no picture is spliced.
    """
    values, fake = _checked(scores, masks)
    spliced = fake.any((1, 2))
    s, f = values[spliced], fake[spliced]
    own = np.array([pixel_ap(v, m) for v, m in zip(s, f, strict=True)])
    outside = (values[~spliced] >= threshold).mean((1, 2))
    return Found(
        metrics.around(pixel_ap(s, f), resampled_pixel_ap(s, f, seed)), mean(own, seed),
        mean(iou(s, f, threshold), seed), mean(outside, seed), float(f.mean()), threshold,
        int(spliced.sum()), int((~spliced).sum()),
    )  # fmt: skip


def pixel_ap(scores: Floats, fake: NDArray[np.bool_]) -> float:
    """Average precision of pixels, arrays of one shape; 1 where all are fake."""
    return 1.0 if fake.all() else metrics.average_precision(fake.ravel(), scores.ravel())


def resampled_pixel_ap(scores: Floats, fake: NDArray[np.bool_], seed: int = 0) -> Floats:
    """The AP of all pixels, (N, ...) of N pictures, in every bootstrap resample of the pictures, (B,).

    Scores are compared in `_BINS` steps of equal numbers, and the result is moved by what that changes. Equal
    numbers of pictures and equal seeds give equal resamples, which pairs maps of the same pictures.
    """
    scores, fake = scores.reshape(len(scores), 1, -1), fake.reshape(len(fake), 1, -1)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, _BINS + 1)[1:-1]))
    place = len(edges) - np.searchsorted(edges, scores, side="right")  # the highest scores come first
    pictures = np.arange(len(scores))[:, None, None]
    counts = np.zeros((2, len(scores), len(edges) + 1))
    np.add.at(counts[0], (np.broadcast_to(pictures, place.shape), place), 1)
    np.add.at(counts[1], (np.broadcast_to(pictures, place.shape)[fake], place[fake]), 1)

    def ap(drawn: NDArray[np.integer]) -> Floats:
        called, hits = (np.cumsum(drawn @ one, axis=1) for one in counts)
        found = drawn @ counts[1]
        return (found * hits / np.maximum(called, 1)).sum(1) / hits[:, -1]  # type: ignore[no-any-return]

    binned = ap(np.ones((1, len(scores)), dtype=np.int64))[0]
    moved = ap(metrics.resamples(len(scores), seed=seed)) + pixel_ap(scores, fake) - binned
    return np.clip(moved, 0.0, 1.0)


def mean(values: Floats, seed: int = 0) -> metrics.Interval:
    """The mean of one number for each picture (N,), with its bootstrap interval; NaN of none."""
    if not len(values):
        return metrics.Interval(np.nan, np.nan, np.nan)
    return metrics.around(float(values.mean()), metrics.resampled_means(values, seed=seed))


def _checked(scores: ArrayLike, masks: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, fake = np.asarray(scores, dtype=np.float64), np.asarray(masks, dtype=bool)
    if values.ndim != 3 or values.shape != fake.shape:
        raise ValueError(
            f"maps of shape {values.shape} and masks of shape {fake.shape}: expected both (N, H, W)"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} scores of maps are not finite")
    if not fake.any():
        raise ValueError(f"none of {len(fake)} masks has anything in it: expected spliced pictures")
    return values, fake
