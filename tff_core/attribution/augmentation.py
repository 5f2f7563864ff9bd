"""The published augmentations: blur, crop, JPEG and noise, each of a picture with probability one half.

They are there twice: as the paper states them, and, with ``legacy``, as its code really does them, which is
what the published weights called ``_aug`` and ``_jpeg`` were trained with:

======  ==============================================  =====================================================
        stated                                          done
======  ==============================================  =====================================================
blur    Gaussian, kernel of 3, 5, 7 or 9 pixels         the same kernels, each with a deviation of 4 pixels
crop    5 to 20 % of each axis, resized back (bicubic)  the same for squares; others exchange width and height
jpeg    quality 10 to 74                                quality 95, with red and blue exchanged
noise   variance 5 to 20                                that number as the deviation
======  ==============================================  =====================================================

Every random number follows from the generator, whose draws do not depend on their outcome.

Source: Khoo, Lim and Phan, 2022; for their code, measurements with OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from tff_core.attribution import inputs
from tff_core.pictures import degradations

OPERATIONS = ("blur", "crop", "jpeg", "noise")
"""In the order in which they are applied."""
PROBABILITY = 0.5
KERNELS = (3, 5, 7, 9)
_LEGACY_SIGMA, _LEGACY_QUALITY = 4.0, 95


def deviation(kernel: int) -> float:
    """The usual deviation of a Gaussian kernel of so many pixels a side."""
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def blur(picture: Tensor, kernel: int, legacy: bool = False) -> Tensor:
    """Gaussian blur of a picture uint8 (3, H, W); the deviation is the usual one of a kernel."""
    sigma = _LEGACY_SIGMA if legacy else deviation(kernel)
    largest = min(picture.shape[-2:])
    if kernel // 2 >= largest:  # reflection can be no wider
        kernel = 2 * ((largest - 1) // 2) + 1
    return tv.gaussian_blur(picture, [kernel, kernel], [sigma, sigma]) if kernel > 1 else picture


def crop(
    picture: Tensor, shares: tuple[float, float], places: tuple[float, float], legacy: bool = False
) -> Tensor:
    """Without ``shares`` of height and width, the rest resized to (H, W); with ``legacy`` to (W, H).

    ``places``, from 0 to 1, say how much of what is left out is above and on the left.
    """
    height, width = picture.shape[-2:]
    kept = tv.crop(picture, *degradations.box(height, width, shares, places))
    size = [width, height] if legacy else [height, width]
    return tv.resize(kept, size, tv.InterpolationMode.BICUBIC, antialias=False)


def jpeg(picture: Tensor, quality: int, legacy: bool = False) -> Tensor:
    """A round trip through JPEG; with ``legacy`` at quality 95, and with red and blue exchanged in it."""
    if legacy:
        return tv.jpeg(picture.flip(0), _LEGACY_QUALITY).flip(0)
    return degradations.jpeg(picture, quality)


def noise(picture: Tensor, amount: float, unit: Tensor, legacy: bool = False) -> Tensor:
    """Gaussian noise of variance ``amount``, in units of 1/255 squared; with ``legacy`` of that deviation.

    ``unit`` (3, H, W) is noise of variance 1.
    """
    deviation = amount if legacy else math.sqrt(amount)
    return degradations.noised(picture, deviation * unit)


def augment(
    x: Tensor, generator: torch.Generator, operations: Sequence[str] = OPERATIONS, legacy: bool = False
) -> tuple[Tensor, list[str]]:
    """Pictures uint8 (N, 3, H, W), each operation with probability one half; and what was done to each.

    What was done is told as in the published file names, such as ``blur7_crop5-12_jpeg40_noise8``, "" for
    nothing. ValueError for an unknown operation, for what are no such pictures, and for ``legacy`` crops of
    pictures that are not square, which would not fit into one batch any more.
    """
    unknown = sorted(set(operations) - set(OPERATIONS))
    if unknown:
        raise ValueError(f"unknown augmentation {unknown[0]!r}: expected some of {', '.join(OPERATIONS)}")
    inputs.check(x)
    if legacy and "crop" in operations and x.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"pictures of {x.shape[-1]}x{x.shape[-2]} pixels: expected squares; the published crop exchanges "
            "height and width of others"
        )
    n = len(x)
    chosen = torch.rand(n, len(OPERATIONS), generator=generator) < PROBABILITY
    kernels = torch.randint(len(KERNELS), (n,), generator=generator)
    shares = 0.05 + 0.15 * torch.rand(n, 2, generator=generator)
    places = torch.rand(n, 2, generator=generator)
    qualities = torch.randint(10, 75, (n,), generator=generator)
    amounts = 5 + 15 * torch.rand(n, generator=generator)
    out, done = [], []
    for i, picture in enumerate(x):
        words = []
        unit = torch.randn(picture.shape, generator=generator)
        for name, wanted in zip(OPERATIONS, chosen[i].tolist(), strict=True):
            if not wanted or name not in operations:
                continue
            if name == "blur":
                kernel = KERNELS[int(kernels[i])]
                picture = blur(picture, kernel, legacy)
                words.append(f"blur{kernel}")
            elif name == "crop":
                down, across = shares[i].tolist()
                top, left = places[i].tolist()
                picture = crop(picture, (down, across), (top, left), legacy)
                words.append(f"crop{100 * down:.0f}-{100 * across:.0f}")
            elif name == "jpeg":
                picture = jpeg(picture, int(qualities[i]), legacy)
                words.append(f"jpeg{_LEGACY_QUALITY if legacy else int(qualities[i])}")
            else:
                picture = noise(picture, float(amounts[i]), unit, legacy)
                words.append(f"noise{float(amounts[i]):.0f}")
        out.append(picture)
        done.append("_".join(words))
    return torch.stack(out), done
