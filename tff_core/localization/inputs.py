"""Pictures as patch classifiers see them: folders of reals and of fakes, resize, crop, and degradations.

The published code takes reals from one folder and fakes from another, resizes all (Lanczos, shorter side)
and crops the middle. Resizing changes the traces that a patch classifier looks for, so nothing is resized
unless it is asked for. Both classes must be treated alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from tff_core.localization import networks
from tff_core.localization.maps import INPUT
from tff_core.pictures import data, places

Degrade = Callable[[Tensor], Tensor]
"""Changes uint8 pictures (N, 3, H, W), as a test of robustness does."""
_SEEN = ("planes", "highpass", "contrast")  # what of the pixels a network sees


@dataclass(frozen=True)
class Preparation:
    """What is done to a picture before a network sees it, both in pixels.

    ``load``: the shorter side is resized to it (Lanczos), and the middle square taken; None: neither.
    ``fine``: the side of the crops that training sees, and of the middle that a whole network sees; None: all
    of it. A patch classifier is tested on all of a picture.
    ``planes``, ``highpass`` and ``contrast`` as in `tff_core.pictures.data.Preprocessing`: what of the
    pixels the network sees; unless they are asked for, all. A high-pass widens what a cell sees by one pixel
    less than its side, a contrast is that of the whole picture.
    """

    load: int | None = None
    fine: int | None = None
    planes: str = "rgb"
    highpass: int | None = None
    contrast: float | None = None

    def __post_init__(self) -> None:
        data.Preprocessing.of({name: getattr(self, name) for name in _SEEN})
        for name, value in (("load", self.load), ("fine", self.fine)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value!r}: expected a number of pixels, or none")

    @classmethod
    def original(cls, name: str) -> Preparation:
        """The published sizes, whole pictures: 299 for Xception, 224 for ResNets."""
        return cls(224, 224) if networks.known(name).startswith("resnet") else cls(299, 299)

    @classmethod
    def of(cls, settings: object) -> Preparation:
        """From what a weights file says; ValueError where that makes no sense."""
        if not isinstance(settings, Mapping) or set(settings) - {"load", "fine", *_SEEN}:
            raise ValueError(
                f"preparation {settings!r}: expected load, fine, {', '.join(_SEEN)}, as in a training"
            )
        return cls(**settings)

    @property
    def preprocessing(self) -> data.Preprocessing:
        """What becomes of the pixels: of those in [0, 1], some in [-1, 1]."""
        return replace(INPUT, **{name: getattr(self, name) for name in _SEEN})

    @property
    def settings(self) -> dict[str, Any]:
        """The preprocessing as a configuration writes it, without what is left as it is."""
        seen = {
            name: getattr(self, name) for name in _SEEN if getattr(self, name) != getattr(Preparation, name)
        }
        return {"mean": list(INPUT.mean), "std": list(INPUT.std), **seen}

    def resized(self, pixels: Tensor) -> Tensor:
        """Pictures uint8 (..., 3, H, W) resized to a shorter side of ``load``, the middle square of it."""
        return pixels if self.load is None else to_square(pixels, self.load)

    def tested(self, pixels: Tensor, whole: bool) -> Tensor:
        """Pictures (..., 3, H, W) as they are tested; of a ``whole`` network the middle ``fine`` pixels.

        Raises PictureError where there are not as many.
        """
        out = self.resized(pixels)
        if not whole or self.fine is None:
            return out
        if min(out.shape[-2:]) < self.fine:
            raise data.PictureError(
                f"{out.shape[-1]}x{out.shape[-2]} pixels are fewer than the {self.fine} a side that the "
                "network wants: expected larger pictures, or a resize"
            )
        return tv.center_crop(out, [self.fine, self.fine])


def to_square(pixels: Tensor, side: int, kernel: Image.Resampling = Image.Resampling.LANCZOS) -> Tensor:
    """Pictures uint8 (..., 3, H, W) resized to a shorter side of ``side``, the middle square of it.

    ``kernel`` is one of Pillow's; pictures of this size are left as they are.
    """
    height, width = pixels.shape[-2:]
    if height == width == side:
        return pixels
    box = _square(height, width, side)
    flat = pixels.reshape(-1, 3, height, width).permute(0, 2, 3, 1).contiguous().numpy()
    out = [np.asarray(Image.fromarray(one).resize((side, side), kernel, box)) for one in flat]
    stacked = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).contiguous()
    return stacked.reshape(*pixels.shape[:-2], side, side)


def _square(height: int, width: int, side: int) -> tuple[float, float, float, float]:
    """The part of a picture (left, top, right, bottom) that becomes the middle square of ``side`` pixels."""
    short = min(height, width)
    # the resized picture is never made: a thin strip would become many times larger than the square
    whole = [max(side, int(side * length / short)) for length in (height, width)]
    (top, left), (down, across) = (
        [(length - side) // 2 for length in whole],
        [length / resized for length, resized in zip((height, width), whole, strict=True)],
    )
    return left * across, top * down, min(width, (left + side) * across), min(height, (top + side) * down)


def prepared_labels(labels: NDArray[np.integer], preparation: Preparation) -> NDArray[np.int64]:
    """A map of labels (H, W) as a picture is resized and cut by ``preparation``; nearest neighbours."""
    if preparation.load is None:
        return labels.astype(np.int64)
    side = preparation.load
    box = _square(labels.shape[0], labels.shape[1], side)
    image = Image.fromarray(labels.astype(np.int32))
    return np.asarray(image.resize((side, side), Image.Resampling.NEAREST, box)).astype(np.int64)


def normalised(pixels: Tensor, device: torch.device | str, preparation: Preparation) -> Tensor:
    """Uint8 pictures (N, 3, H, W) as float32 in [-1, 1], on a device, and of them what a network sees."""
    x = data.normalize(pixels.to(device), preparation.preprocessing)
    return x.contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------------------------------------------- folders


def sources(pairs: Sequence[tuple[str | Path, str | Path]], part: str = "") -> data.ImageSet:
    """Reals and fakes of several sources: pairs of a folder of reals and one of fakes, with all below.

    ``part`` ("train", "val", "test") is a folder inside both, "" the folders themselves. The published sets
    are such lists: samples of a generator beside photographs; inversions, reconstructions of the photographs,
    beside these; or both together. Sources come in turn, pictures in the order of their names, so that pairs
    with equal names keep together. ``groups`` tell the sources apart, where there are several.

    Raises FileNotFoundError where a folder is missing, ValueError where one has no picture or both are the
    same.
    """
    if not pairs:
        raise ValueError("no sources: expected a folder of reals and a folder of fakes")
    paths: list[Path] = []
    labels: list[int] = []
    groups: list[str] = []
    stray: list[Path] = []
    for number, pair in enumerate(pairs):
        folders = [Path(folder) / part for folder in pair]
        if all(folder.is_dir() for folder in folders) and folders[0].samefile(folders[1]):
            raise ValueError(f"{folders[0]} holds both reals and fakes: expected a folder for each")
        for label, folder in enumerate(folders):
            if not folder.is_dir():
                kind = ("reals", "fakes")[label]
                raise FileNotFoundError(f"{folder} is no folder: expected {kind}; check the path")
            found = list(places.walk(folder))
            pictures = [path for path in found if places.is_picture(path)]
            if not pictures:
                raise ValueError(
                    f"{folder} has no pictures: expected files ending in {' '.join(sorted(places.SUFFIXES))}"
                )
            stray += [path for path in found if path not in set(pictures)]
            paths += pictures
            labels += [label] * len(pictures)
            groups += [f"source {number + 1}" if len(pairs) > 1 else ""] * len(pictures)
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    absolute = tuple(path.absolute() for path in paths)
    return data.ImageSet(root, absolute, tuple(labels), tuple(groups), tuple(stray))


def stream(
    paths: Sequence[str | Path],
    preparation: Preparation = Preparation(),
    *,
    whole: bool = False,
    batch_size: int = 64,
    broken: MutableMapping[int, Exception] | None = None,
    degrade: Degrade | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Positions in ``paths`` and these pictures as they are tested, uint8 (N, 3, h, w); memory stays flat.

    ``degrade`` changes them after the resize. What cannot be read or prepared is recorded in ``broken``, or
    raised without it, as in `tff_core.pictures.data.stream`.
    """
    for members, pixels in data.stream(paths, batch_size, broken=broken):
        try:
            out = preparation.tested(pixels, whole)
        except data.PictureError as error:
            if broken is None:
                raise data.PictureError(f"{paths[members[0]]}: {error}") from error
            broken.update({place: data.PictureError(f"{paths[place]}: {error}") for place in members})
            continue
        yield members, out if degrade is None else degrade(out)


# ----------------------------------------------------------------------------------------------- degradations


def jpeg(quality: int) -> Degrade:
    """A round trip through JPEG (libjpeg, 4:2:0)."""
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality {quality}: expected 1 to 100")
    return lambda pixels: tv.jpeg(pixels, quality)


def blur(sigma: float) -> Degrade:
    """Gaussian blur, ``sigma`` in pixels."""
    if not sigma > 0:
        raise ValueError(f"blur of {sigma} pixels: expected a number above 0")

    def apply(pixels: Tensor) -> Tensor:
        radius = min(max(1, round(4 * sigma)), min(pixels.shape[-2:]) - 1)  # reflection can be no wider
        return tv.gaussian_blur(pixels, [2 * radius + 1] * 2, [sigma] * 2) if radius else pixels

    return apply


def gamma(value: float) -> Degrade:
    """Another gamma: pixels in [0, 1] to this power."""
    if not value > 0:
        raise ValueError(f"gamma {value}: expected a number above 0")
    return lambda pixels: tv.adjust_gamma(pixels, value)


def flip(pixels: Tensor) -> Tensor:
    """Left and right exchanged."""
    return pixels.flip(-1)


def resize(factor: float, kernel: Image.Resampling = Image.Resampling.BICUBIC) -> Degrade:
    """To ``factor`` times the size and back, with a resampling kernel of Pillow's."""
    if not factor > 0:
        raise ValueError(f"resize by {factor}: expected a number above 0")

    def apply(pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        small = max(1, round(factor * width)), max(1, round(factor * height))
        flat = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        out = [
            np.asarray(Image.fromarray(one).resize(small, kernel).resize((width, height), kernel))
            for one in flat
        ]
        return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).contiguous()

    return apply


def in_turn(steps: Sequence[Degrade]) -> Degrade | None:
    """Several degradations one after the other; None for none."""
    if not steps:
        return None

    def apply(pixels: Tensor) -> Tensor:
        for step in steps:
            pixels = step(pixels)
        return pixels

    return apply
