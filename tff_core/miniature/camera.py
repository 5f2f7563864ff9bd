"""Simulated digital cameras: from linear light to an 8-bit colour picture.

Optics, a colour filter mosaic, shot and read noise, demosaicing, chroma denoising, a tone curve, JPEG at the
sensor's resolution, and a reduction to the final size, as a photograph from the web would have gone through.
Three choices matter for what a detector can learn. Chroma is scaled by a factor from 0 upwards, so that gray
pictures are in distribution for the detector. No grain is added after the reduction, because no small
generator copies grain and it would become the cue for "real". And from the second edition on, a picture is
cut out of the photograph at a random place and reduced by a random factor, so that neither the grid of the
JPEG nor that of the sensor has a fixed place in it. The design log says how the parameters were chosen.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d

from tff_core.miniature import scenes
from tff_core.store.results import fingerprint

Array = NDArray[np.floating[Any]]
Range = tuple[float, float]  # a number is drawn uniformly from it for every picture

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BAYER = ("RG", "GB")
_X_TRANS = ("GBGGRG", "RGRBGB", "GBGGRG", "GRGGBG", "BGBRGR", "GRGGBG")


@dataclass(frozen=True)
class Camera:
    """The parameters of a camera and of what is done to its photographs; lengths are in sensor pixels."""

    name: str
    reduction: Range  # sensor pixels per pixel of the picture, along each axis
    margin: int  # sensor pixels beside the picture, at least: the room for its random place
    optics: Range  # standard deviation of the blur
    mosaic: tuple[str, ...]  # rows of the colour filters, repeated over the sensor
    shot_noise: Range  # variance of the noise per unit of light
    chroma_blur: Range  # standard deviation of the denoising of colour differences
    saturation: Range
    contrast: float  # strength of an S-shaped curve over the tones, 0 to 1
    quality: tuple[int, int] | None  # of the JPEG, from the first to below the second; None: no JPEG
    subsampling: tuple[int, ...]  # of its chroma: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0
    filters: tuple[str, ...]  # of Pillow's, for the reduction; none: the mean of whole blocks
    softened: float  # share of the pictures that are blurred after the reduction
    sharpened: float  # and share of those that are sharpened
    finish: Range  # strength of either: standard deviation of the blur, twice the amount of sharpening
    finish_chroma: bool  # whether either is done to all of the picture, or to its luma only

    def __post_init__(self) -> None:
        low, high = self.reduction
        placed = bool(self.filters) if self.margin else low == high == int(low)
        if not placed:
            raise ValueError(
                f"camera {self.name!r} cannot place its pictures: expected a margin and filters, or no "
                f"margin and one whole number as reduction; found a margin of {self.margin}, filters "
                f"{self.filters} and a reduction of {self.reduction}"
            )

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Camera:
        """The camera of a record made by `dataclasses.asdict`, also after a way through JSON."""
        plain: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in record.items()}
        return cls(**plain)


EDITION_1 = Camera(
    "1", reduction=(2, 2), margin=0, optics=(0.35, 0.7), mosaic=_BAYER,
    shot_noise=(0.00002, 0.0003), chroma_blur=(0.3, 0.7), saturation=(0, 1.2), contrast=0, quality=(88, 98),
    subsampling=(2,), filters=(), softened=0.45, sharpened=0.15, finish=(0.3, 1.4),
    finish_chroma=False,
)  # fmt: skip
EDITION_2 = Camera(
    "2", reduction=(1.5, 2.5), margin=16, optics=(0.3, 0.6), mosaic=_BAYER,
    shot_noise=(0.00001, 0.0001), chroma_blur=(0.3, 0.6), saturation=(0, 2), contrast=0.8, quality=(85, 98),
    subsampling=(2, 0), filters=("BOX", "LANCZOS"), softened=0, sharpened=0.8, finish=(0.4, 1.8),
    finish_chroma=True,
)  # fmt: skip
OTHER = Camera(
    "other", reduction=(1.6, 2.6), margin=16, optics=(0.3, 0.6), mosaic=_X_TRANS,
    shot_noise=(0.00005, 0.0002), chroma_blur=(0.4, 0.8), saturation=(0, 2), contrast=1, quality=None,
    subsampling=(), filters=("BICUBIC", "HAMMING"), softened=0, sharpened=1, finish=(0.8, 2.2),
    finish_chroma=True,
)  # fmt: skip
CAMERAS = {camera.name: camera for camera in (EDITION_1, EDITION_2, OTHER)}


@dataclass(frozen=True)
class Picture:
    """A finished picture: pixels (size, size, 3) uint8, segments (size, size) uint8, class and light."""

    pixels: NDArray[np.uint8]
    segments: NDArray[np.uint8]
    label: str
    light: str


@dataclass(frozen=True)
class Frame:
    """Where a picture of ``size`` pixels lies on a square sensor; lengths are in sensor pixels."""

    size: int
    side: int
    left: float
    top: float
    step: float  # sensor pixels per pixel of the picture

    @classmethod
    def draw(cls, camera: Camera, size: int, rng: np.random.Generator) -> Frame:
        """A frame at a random place. A camera with one reduction and no margin has only one place."""
        low, high = camera.reduction
        step = rng.uniform(low, high) if low < high else low
        side = int(np.ceil((step * size + camera.margin) / 8)) * 8 if camera.margin else int(step * size)
        left, top = rng.uniform(0, side - step * size, 2) if camera.margin else (0.0, 0.0)
        return cls(size, side, left, top, step)

    def nearest(self, start: float) -> NDArray[np.intp]:
        """The sensor's row, or column, nearest to the middle of each of the picture's, from ``start`` on."""
        return np.ceil(start + (np.arange(self.size) + 0.5) * self.step).astype(np.intp) - 1


def take(part: str, label: str, index: int, seed: int = 0, size: int = 64, generator: str = "",
         camera: Camera = EDITION_2) -> Picture:  # fmt: skip
    """Render scene ``index`` of ``label`` in ``part`` and photograph it.

    ``generator`` names the folder the picture is for, so that each folder has its own scenes. Equal arguments
    give equal pixels. Raises ValueError for an unknown part or class, or a size below 16.
    """
    if size < 16:
        raise ValueError(f"pictures of {size} pixels are too small for the scenes: expected at least 16")
    rng = scenes.stream(part, label, index, seed, generator)
    frame = Frame.draw(camera, size, rng)
    scene = scenes.render(rng, label, frame.side)
    segments = scene.segments[np.ix_(frame.nearest(frame.top), frame.nearest(frame.left))]
    return Picture(photograph(scene.linear, rng, frame, camera), segments, scene.label, scene.light)


def photograph(linear: Array, rng: np.random.Generator, frame: Frame, camera: Camera) -> NDArray[np.uint8]:
    """Linear light on the sensor, (side, side, 3), to the frame's pixels (size, size, 3) uint8."""
    image = _blur(linear, rng.uniform(*camera.optics))
    raw = _mosaic(image, camera.mosaic)
    noise = rng.standard_normal(raw.shape, dtype=np.float32)
    raw += noise * np.sqrt(rng.uniform(*camera.shot_noise) * np.clip(raw, 0, 2) + 1e-6)
    image = _tone(_demosaic(raw, camera.mosaic), camera.contrast)
    # denoise chroma, as every camera does, then change saturation
    luma = image @ _LUMA
    chroma = _blur(image - luma[..., None], rng.uniform(*camera.chroma_blur))
    image = np.clip(luma[..., None] + chroma * np.float32(rng.uniform(*camera.saturation)), 0, 1)
    pixels = _reduce(_compressed(_bytes(image), rng, camera), rng, frame, camera)
    return _bytes(np.clip(_finished(pixels, rng, camera), 0, 1))


def _bytes(image: Array) -> NDArray[np.uint8]:
    return (image * 255 + 0.5).astype(np.uint8)


def _compressed(pixels: NDArray[np.uint8], rng: np.random.Generator, camera: Camera) -> NDArray[np.uint8]:
    """What is left of a photograph in a JPEG file, where the camera writes one."""
    if camera.quality is None:
        return pixels
    quality, chosen = int(rng.integers(*camera.quality)), camera.subsampling
    chroma = chosen[int(rng.integers(len(chosen)))] if len(chosen) > 1 else chosen[0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=chroma)
    return np.asarray(Image.open(buffer))


def _reduce(pixels: NDArray[np.uint8], rng: np.random.Generator, frame: Frame, camera: Camera) -> Array:
    """The frame out of a photograph, reduced to its size; in [0, 1]."""
    size = frame.size
    if not camera.filters:
        block = int(frame.step)
        mean: Array = (pixels.astype(np.float32) / 255).reshape(size, block, size, block, 3).mean((1, 3))
        return mean
    name = camera.filters[int(rng.integers(len(camera.filters)))]
    right, bottom = (min(start + size * frame.step, frame.side) for start in (frame.left, frame.top))
    box = (frame.left, frame.top, right, bottom)
    reduced = Image.fromarray(pixels).resize((size, size), Image.Resampling[name], box)
    return np.asarray(reduced, np.float32) / 255


def _finished(image: Array, rng: np.random.Generator, camera: Camera) -> Array:
    """Focus and finishing differ between photographs: blur on some, sharpening on others."""
    which, strength = rng.random(), rng.uniform(*camera.finish)
    plane = image if camera.finish_chroma else (image @ _LUMA)[..., None]
    if which < camera.softened:
        return image + (_blur(plane, strength) - plane)
    if which < camera.softened + camera.sharpened:
        return image + 0.5 * strength * (plane - _blur(plane, 0.8))
    return image


def _blur(image: Array, sigma: float) -> Array:
    radius = max(1, int(np.ceil(2.5 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    once: Array = correlate1d(image, kernel, axis=0, mode="nearest")
    return correlate1d(once, kernel, axis=1, mode="nearest")  # type: ignore[no-any-return]


def _mosaic(image: Array, filters: tuple[str, ...]) -> Array:
    """What a sensor behind a mosaic of colour filters records: one colour per pixel."""
    raw: Array = np.take_along_axis(image, _tiled(filters, image.shape[0])[..., None], 2)[..., 0]
    return raw


@lru_cache(maxsize=64)
def _tiled(filters: tuple[str, ...], side: int) -> NDArray[np.intp]:
    """Which channel each pixel of a square sensor records, (side, side)."""
    tile = np.array([["RGB".index(letter) for letter in row] for row in filters])
    return np.tile(tile, -(-side // np.array(tile.shape)))[:side, :side]


def _demosaic(raw: Array, filters: tuple[str, ...]) -> Array:
    """Green first, then the colour differences to green (which change more slowly), all interpolated."""
    if filters != _BAYER:
        return _spread(raw, filters)
    padded = np.pad(raw, 1, mode="reflect")
    cross = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    green = raw.copy()
    green[0::2, 0::2], green[1::2, 1::2] = cross[0::2, 0::2], cross[1::2, 1::2]
    out = np.empty((*raw.shape, 3), np.float32)
    out[..., 1] = green
    for channel, offset in ((0, 0), (2, 1)):
        known = (raw - green)[offset::2, offset::2]
        out[..., channel] = green + _double(known, offset)
    return np.clip(out, 0, None)


def _spread(raw: Array, filters: tuple[str, ...]) -> Array:
    """Demosaicing for any mosaic: weighted means of the known neighbours (normalised convolution)."""
    there = (_tiled(filters, raw.shape[0])[..., None] == np.arange(3)).astype(np.float32)
    green = np.where(there[..., 1] > 0, raw, _blur(raw * there[..., 1], 0.7) / _blur(there[..., 1], 0.7))
    known = (raw - green)[..., None] * there
    out = green[..., None] + _blur(known, 1.2) / _blur(there, 1.2)
    out[..., 1] = green
    return np.clip(out, 0, None)


def _double(known: Array, offset: int) -> Array:
    """Bilinear doubling of samples that lie at ``offset``, ``offset + 2``, ... along both axes."""
    for axis in (0, 1):
        known = np.moveaxis(known, axis, 0)
        shifted = (
            np.concatenate([known[1:], known[-1:]])
            if offset == 0
            else np.concatenate([known[:1], known[:-1]])
        )
        between = (known + shifted) / 2
        pair = (known, between) if offset == 0 else (between, known)
        known = np.stack(pair, 1).reshape(2 * known.shape[0], *known.shape[1:])
        known = np.moveaxis(known, 0, axis)
    return known


def _tone(linear: Array, contrast: float) -> Array:
    """A soft shoulder against clipped highlights, the display's gamma, and more contrast in the middle."""
    shoulder = linear / (1 + 0.25 * linear**2)
    image: Array = np.power(np.clip(shoulder * 1.2, 0, 1), np.float32(1 / 2.2))
    return image + np.float32(contrast) * image * (1 - image) * (2 * image - 1) if contrast else image


def drawing() -> str:
    """Hash of the code that draws and photographs scenes."""
    return code("scenes.py", "camera.py")


@lru_cache(maxsize=8)
def code(*names: str) -> str:
    """Hash of what files of this package do: comments, docstrings and layout do not count."""
    trees = [ast.parse((Path(__file__).parent / name).read_text(encoding="utf-8")) for name in names]
    for node in (node for tree in trees for node in ast.walk(tree)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                body.pop(0)
    return fingerprint([ast.dump(tree) for tree in trees])
