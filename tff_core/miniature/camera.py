"""A simulated digital camera: from linear light to an 8-bit colour picture.

Optics, a Bayer mosaic, shot and read noise, demosaicing, chroma denoising, a tone curve, 4:2:0 JPEG at full
resolution, and a reduction to the final size, as a photograph from the web would have gone through. Two of
the choices matter for what a detector can learn. Chroma is scaled by a factor drawn from U(0, 1.2), so that
gray pictures are in distribution for the detector; and no grain is added after the reduction, because no
small generator copies grain and it would become the cue for "real".
"""

from __future__ import annotations

import ast
import io
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

OVERSAMPLING = 2  # sensor pixels per final pixel, along each axis
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Picture:
    """A finished picture: pixels (size, size, 3) uint8, segments (size, size) uint8, class and light."""

    pixels: NDArray[np.uint8]
    segments: NDArray[np.uint8]
    label: str
    light: str


def take(part: str, label: str, index: int, seed: int = 0, size: int = 64, generator: str = "") -> Picture:
    """Render scene ``index`` of ``label`` in ``part`` and photograph it.

    ``generator`` names the folder the picture is for, so that each folder has its own scenes. Equal arguments
    give equal pixels. Raises ValueError for an unknown part or class, or a size below 16.
    """
    if size < 16:
        raise ValueError(f"pictures of {size} pixels are too small for the scenes: expected at least 16")
    rng = scenes.stream(part, label, index, seed, generator)
    scene = scenes.render(rng, label, size * OVERSAMPLING)
    segments = scene.segments[::OVERSAMPLING, ::OVERSAMPLING]
    return Picture(photograph(scene.linear, rng), np.ascontiguousarray(segments), scene.label, scene.light)


def photograph(linear: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear light (S, S, 3), S even, to pixels (S/2, S/2, 3) uint8."""
    image = _blur(linear, rng.uniform(0.35, 0.7))
    raw = _mosaic(image)
    noise = rng.standard_normal(raw.shape, dtype=np.float32)
    raw += noise * np.sqrt(rng.uniform(0.00002, 0.0003) * np.clip(raw, 0, 2) + 1e-6)
    image = _tone(_demosaic(raw))
    # denoise chroma, as every camera does, then change saturation
    luma = image @ _LUMA
    chroma = _blur(image - luma[..., None], rng.uniform(0.3, 0.7)) * np.float32(rng.uniform(0, 1.2))
    image = np.clip(luma[..., None] + chroma, 0, 1)
    image = _jpeg(image, int(rng.integers(88, 98)))
    half = image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2, 3).mean((1, 3))
    # focus and finishing differ between photographs: blur on some, sharpening on others (luma only)
    finish, strength = rng.random(), rng.uniform(0.3, 1.4)
    if finish < 0.45:
        luma = half @ _LUMA
        half = half + (_blur(luma, strength) - luma)[..., None]
    elif finish < 0.60:
        luma = half @ _LUMA
        half = half + (0.5 * strength * (luma - _blur(luma, 0.8)))[..., None]
    return (np.clip(half, 0, 1) * 255 + 0.5).astype(np.uint8)


def _blur(image: Array, sigma: float) -> Array:
    radius = max(1, int(np.ceil(2.5 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    once: Array = correlate1d(image, kernel, axis=0, mode="nearest")
    return correlate1d(once, kernel, axis=1, mode="nearest")  # type: ignore[no-any-return]


def _mosaic(image: Array) -> Array:
    """What an RGGB sensor records: one colour per pixel."""
    raw = image[..., 1].copy()
    raw[0::2, 0::2] = image[0::2, 0::2, 0]
    raw[1::2, 1::2] = image[1::2, 1::2, 2]
    return raw


def _demosaic(raw: Array) -> Array:
    """Linear interpolation of green, and of the colour differences to green (which change more slowly)."""
    size_y, size_x = raw.shape
    padded = np.pad(raw, 1, mode="reflect")
    cross = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    green = raw.copy()
    green[0::2, 0::2], green[1::2, 1::2] = cross[0::2, 0::2], cross[1::2, 1::2]
    out = np.empty((size_y, size_x, 3), np.float32)
    out[..., 1] = green
    for channel, offset in ((0, 0), (2, 1)):
        known = (raw - green)[offset::2, offset::2]
        out[..., channel] = green + _double(known, offset)
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


def _tone(linear: Array) -> Array:
    """A soft shoulder against clipped highlights, then the display's gamma."""
    shoulder = linear / (1 + 0.25 * linear**2)
    return np.power(np.clip(shoulder * 1.2, 0, 1), np.float32(1 / 2.2))


def _jpeg(image: Array, quality: int) -> Array:
    buffer = io.BytesIO()
    Image.fromarray((image * 255 + 0.5).astype(np.uint8)).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer), np.float32) / 255


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
