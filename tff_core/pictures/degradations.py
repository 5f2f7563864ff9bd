"""What pictures go through after they were made: codecs, resizing, blur, noise, cropping, coarser colour.

Every operation takes a picture uint8 (3, H, W), a level and a seed, and returns a picture. It has one unit
and an order from weak to strong; what is random in it, the noise or the place of a crop, follows from the
seed alone, whatever the level: so the levels of one picture differ in strength and in nothing else.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

Apply = Callable[[Tensor, float, int], Tensor]


@dataclass(frozen=True)
class Operation:
    """One way to degrade a picture.

    ``apply(picture, level, seed)`` does it; ``unit`` says what a level is, in words; ``levels`` are some of
    them, from weak to strong; ``valid`` tells whether there is such a level; ``none`` is the level that
    changes nothing, None where every level changes something. ``resized`` is true where the picture that
    comes back may have another size.
    """

    apply: Apply
    unit: str
    levels: tuple[float, ...]
    valid: Callable[[float], bool]
    none: float | None = None
    resized: bool = False

    def label(self, level: float) -> str:
        """A level as people write it: ``4:2:0``, or the number."""
        return _SUBSAMPLED.get(int(level), "") if self.apply is chroma else f"{level:g}"


_SUBSAMPLED = {1: "4:4:4", 2: "4:2:2", 4: "4:2:0"}
_STEPS = {1: (1, 1), 2: (1, 2), 4: (2, 2)}  # rows and columns that share their chroma


def generator(seed: int) -> torch.Generator:
    """Random numbers that follow from ``seed`` alone; neighbouring seeds have nothing in common."""
    state = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state % 2**63)


def jpeg(picture: Tensor, quality: float, seed: int = 0) -> Tensor:
    """A round trip through JPEG (libjpeg, chroma 4:2:0)."""
    return tv.jpeg(picture, int(quality))


def webp(picture: Tensor, quality: float, seed: int = 0) -> Tensor:
    """A round trip through lossy WebP (libwebp, chroma 4:2:0)."""
    stored = io.BytesIO()
    _image(picture).save(stored, "WEBP", quality=int(quality), method=4)
    with Image.open(stored) as image:
        return _tensor(image.convert("RGB"))


def resize(picture: Tensor, factor: float, seed: int = 0) -> Tensor:
    """Resized by a factor and back (bilinear, antialiased)."""
    height, width = picture.shape[-2:]
    size = [max(1, round(factor * side)) for side in (height, width)]
    if size == [1, 1]:  # which torch's kernel for whole numbers cannot make
        return picture.float().mean((-2, -1), keepdim=True).round().to(torch.uint8).expand(picture.shape)
    return tv.resize(tv.resize(picture, size, antialias=True), [height, width], antialias=True)


def blur(picture: Tensor, deviation: float, seed: int = 0) -> Tensor:
    """Gaussian blur of a deviation in pixels, over four of them to each side."""
    reach = min(math.ceil(4 * deviation), min(picture.shape[-2:]) - 1)  # reflection can be no wider
    if not reach:
        return picture
    return tv.gaussian_blur(picture, [2 * reach + 1] * 2, [deviation, deviation])


def noise(picture: Tensor, deviation: float, seed: int = 0) -> Tensor:
    """Gaussian noise of a deviation in steps of 8 bits, of each pixel and colour by itself."""
    return noised(picture, deviation * torch.randn(picture.shape, generator=generator(seed)))


def noised(picture: Tensor, values: Tensor) -> Tensor:
    """A picture with noise (3, H, W) in steps of 8 bits added to it, rounded and cut off at 0 and 255."""
    return (picture.float() + values).round().clamp(0, 255).to(torch.uint8)


def box(height: int, width: int, shares: tuple[float, float], places: tuple[float, float]) -> list[int]:
    """Top, left, height and width of what is left without ``shares`` of both axes.

    ``places``, from 0 to 1, say how much of what is left out is above and on the left.
    """
    lost = [math.floor(share * side) for share, side in zip(shares, (height, width), strict=True)]
    top, left = (min(math.floor(place * (gone + 1)), gone) for place, gone in zip(places, lost, strict=True))
    return [top, left, height - lost[0], width - lost[1]]


def cut(height: int, width: int, share: float, seed: int = 0) -> list[int]:
    """Top, left, height and width of what `crop` leaves of a picture."""
    down, across = torch.rand(2, generator=generator(seed)).tolist()
    return box(height, width, (share, share), (down, across))


def crop(picture: Tensor, share: float, seed: int = 0) -> Tensor:
    """A part of the picture at a random place, without a share of each axis; it is not resized."""
    height, width = picture.shape[-2:]
    return tv.crop(picture, *cut(height, width, share, seed))


def zoom(picture: Tensor, share: float, seed: int = 0) -> Tensor:
    """The same part, resized to the size of the picture (bicubic)."""
    size = list(picture.shape[-2:])
    return tv.resize(crop(picture, share, seed), size, tv.InterpolationMode.BICUBIC, antialias=False)


def chroma(picture: Tensor, shared: float, seed: int = 0) -> Tensor:
    """Luma and chroma of 8 bits as in JPEG, and one chroma for so many pixels; luma keeps its pixels.

    1 pixel is 4:4:4, 2 side by side are 4:2:2, 4 in a square are 4:2:0. Chroma is the mean over these
    pixels, and interpolated between them on the way back. Nothing else is coarser: that is what tells it from
    a codec.
    """
    luma, *colours = _image(picture).convert("YCbCr").split()
    down, across = _STEPS[int(shared)]
    small = (-(-luma.width // across), -(-luma.height // down))
    if small != luma.size:
        coarse = (plane.resize(small, Image.Resampling.BOX) for plane in colours)
        colours = [plane.resize(luma.size, Image.Resampling.BILINEAR) for plane in coarse]
    return _tensor(Image.merge("YCbCr", [luma, *colours]).convert("RGB"))


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()))


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _quality(level: float) -> bool:
    return 1 <= level <= 100 and level == int(level)


def _positive(level: float) -> bool:
    return 0 < level < math.inf


def _amount(level: float) -> bool:
    return 0 <= level < math.inf


def _share(level: float) -> bool:
    return 0 <= level < 1


OPERATIONS: Mapping[str, Operation] = {
    "jpeg": Operation(jpeg, "quality", (100, 90, 70, 50, 30), _quality),
    "webp": Operation(webp, "quality", (80, 40), _quality),
    "enlarge": Operation(resize, "factor, there and back", (1.5, 2), _positive, 1),
    "shrink": Operation(resize, "factor, there and back", (0.75, 0.5), _positive, 1),
    "blur": Operation(blur, "deviation in pixels", (0.4, 0.8, 1.6), _amount, 0),
    "noise": Operation(noise, "deviation in steps of 8 bits", (1, 3, 8), _amount, 0),
    "crop": Operation(crop, "share of each axis that is cut off", (0.2, 0.5), _share, 0, resized=True),
    "zoom": Operation(zoom, "share of each axis that is cut off", (0.2, 0.5), _share, 0),
    "chroma": Operation(
        chroma, "number of pixels that share their chroma", (1, 2, 4), lambda level: level in _STEPS
    ),
}
"""Every operation by name, with levels from weak to strong."""


def known(operation: str, levels: Sequence[float] = ()) -> Operation:
    """The operation of that name; ValueError where there is none, or it has no such level."""
    if operation not in OPERATIONS:
        raise ValueError(f"operation {operation!r}: expected one of {', '.join(OPERATIONS)}")
    found = OPERATIONS[operation]
    for level in levels:
        if not found.valid(level):
            raise ValueError(f"{operation} of level {level:g}: expected a {found.unit}")
    return found


def degrade(pictures: Tensor, operation: str, level: float, numbers: Sequence[int], seed: int = 0) -> Tensor:
    """Pictures uint8 (N, 3, H, W) after one operation of `OPERATIONS`; all come back in one size.

    What is random follows from ``seed`` and the number of each picture (N,), whatever the level. ValueError
    as `known`, and for what are no such pictures.
    """
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(
            f"{pictures.dtype} of shape {tuple(pictures.shape)}: expected uint8 pictures (N, 3, H, W)"
        )
    found = known(operation, [level])
    if level == found.none:
        return pictures
    return torch.stack(
        [
            found.apply(one, level, random_seed(seed, number))
            for one, number in zip(pictures, numbers, strict=True)
        ]
    )


def random_seed(seed: int, number: int) -> int:
    """The seed of one picture among many."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] % 2**63)
