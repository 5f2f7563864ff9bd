"""Procedural scenes: what the simulated camera photographs.

Four classes (facade, landscape, stilllife, pebbles) are drawn in linear light with a segmentation map and one
of three kinds of light. A scene is a pure function of (part, class, index, seed); the part is one of the
words of the random seed, so the scenes of the training, validation and test parts never share a random
stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.floating[Any]]

CLASSES = ("facade", "landscape", "stilllife", "pebbles")
LIGHTS = ("noon", "evening", "overcast")
SEGMENTS = (
    "sky", "far hill", "near hill", "ground", "foliage", "wall", "roof", "window", "door",
    "backdrop", "table", "object", "pebble", "gap",
)  # fmt: skip
# Every stream of scenes that the benchmark draws from. "generators" is what the generators are trained on;
# a part's "-source" scenes are the inputs of its image-to-image (and latent-mixing) fakes, never its reals.
PARTS = ("generators", "train", "val", "test", "train-source", "val-source", "test-source")

# colour of the light in linear RGB, and the strength of directed light against sky light
_ILLUMINANT = {
    "noon": (np.array([1.0, 0.98, 0.93], np.float32), 1.0, 1.0),
    "evening": (np.array([1.15, 0.72, 0.45], np.float32), 1.2, 0.75),
    "overcast": (np.array([0.82, 0.93, 1.05], np.float32), 0.35, 0.8),
}


@dataclass(frozen=True)
class Scene:
    """Linear light (S, S, 3) float32 in about [0, 1.5]; segments (S, S) uint8, indices into SEGMENTS."""

    linear: Array
    segments: NDArray[np.uint8]
    label: str
    light: str


def stream(part: str, label: str, index: int, seed: int, generator: str = "") -> np.random.Generator:
    """The random stream of one scene. ValueError names what is unknown."""
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r} of the miniature: expected one of {', '.join(PARTS)}")
    if label not in CLASSES:
        raise ValueError(f"unknown scene class {label!r}: expected one of {', '.join(CLASSES)}")
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed of a scene start at 0: found index {index}, seed {seed}")
    words = [seed, PARTS.index(part), CLASSES.index(label), index, *generator.encode()]
    return np.random.default_rng(np.random.SeedSequence(words))


def render(rng: np.random.Generator, label: str, size: int = 128) -> Scene:
    """Draw one scene of class ``label``, ``size`` x ``size`` pixels, in a light drawn from ``rng``."""
    light = LIGHTS[int(rng.integers(len(LIGHTS)))]
    linear, segments = _DRAW[label](rng, size, light)
    colour, _, exposure = _ILLUMINANT[light]
    gain = np.float32(exposure * rng.uniform(0.8, 1.2))
    linear *= colour * gain
    return Scene(np.clip(linear, 0, 1.6), segments, label, light)


# --- building blocks


@lru_cache(maxsize=32)
def _grid(size: int) -> tuple[Array, Array]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return axis[None, :].repeat(size, 0), axis[:, None].repeat(size, 1)


@lru_cache(maxsize=64)
def _spectrum(size: int, exponent: float) -> Array:
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1
    weight = radius**-exponent
    weight[0, 0] = 0
    return weight.astype(np.float32)


def _noise(rng: np.random.Generator, size: int, exponent: float) -> Array:
    """A field with power-law spectrum 1/f^exponent (amplitude), zero mean, unit variance."""
    white = rng.standard_normal((size, size), dtype=np.float32)
    field = fft.irfft2(fft.rfft2(white) * _spectrum(size, exponent), s=(size, size))
    return (field / (field.std() + 1e-6)).astype(np.float32)


def _line(rng: np.random.Generator, size: int, exponent: float) -> Array:
    """One row of power-law noise: the outline of a ridge."""
    frequency = np.fft.rfftfreq(2 * size)
    frequency[0] = 1
    spectrum = fft.rfft(rng.standard_normal(2 * size)) * frequency**-exponent
    spectrum[0] = 0
    line = fft.irfft(spectrum)[:size]
    return (line / (np.abs(line).max() + 1e-6)).astype(np.float32)


def _colour(rng: np.random.Generator, hue: tuple[float, float], sat: tuple[float, float],
            value: tuple[float, float]) -> Array:  # fmt: skip
    """A reflectance in linear RGB, drawn uniformly from ranges of hue (turns), saturation and value."""
    h, s, v = (rng.uniform(*hue) % 1.0) * 6, rng.uniform(*sat), rng.uniform(*value)
    k = (np.array([5.0, 3.0, 1.0]) + h) % 6
    return (v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)


def _paint(image: Array, segments: NDArray[np.uint8], mask: Array, colour: Array, name: str) -> None:
    """Paint ``colour`` over ``image`` through ``mask`` (soft, in [0, 1])."""
    image += mask[..., None] * (colour - image)
    segments[mask > 0.5] = SEGMENTS.index(name)


def _soft(distance: Array, width: float) -> Array:
    """Signed distance (positive inside, in picture widths) to a mask with an edge of ``width``."""
    return np.clip(distance / width + 0.5, 0, 1)


# --- the four classes


def _landscape(rng: np.random.Generator, size: int, light: str) -> tuple[Array, NDArray[np.uint8]]:
    x, y = _grid(size)
    _, direct, _ = _ILLUMINANT[light]
    horizon = rng.uniform(0.35, 0.6)
    zenith = _colour(rng, (0.55, 0.64), (0.35, 0.8), (0.35, 0.8))
    rim = _colour(rng, (0.02, 0.12) if light == "evening" else (0.5, 0.62), (0.1, 0.45), (0.7, 1.0))
    fade = np.clip(y / horizon, 0, 1)[..., None] ** rng.uniform(0.6, 1.5)
    image = zenith + fade * (rim - zenith)
    cloud = (
        np.clip(_noise(rng, size, rng.uniform(1.5, 2.0)) - rng.uniform(-0.3, 1.2), 0, 1.5)[..., None] / 1.5
    )
    image += cloud * (_colour(rng, (0, 1), (0, 0.06), (0.75, 1.0)) - image)
    segments = np.zeros((size, size), np.uint8)
    layers = int(rng.integers(2, 5))
    hue = rng.uniform(0.12, 0.4)
    for depth in range(layers):
        near = (depth + 1) / layers
        base = horizon + (1 - horizon) * 0.75 * depth / layers
        height = rng.uniform(0.05, 0.2) * (1.2 - 0.7 * near)
        ridge = base - height * _line(rng, size, rng.uniform(1.0, 1.7))
        mask = _soft(y - ridge[None, :], 1.5 / size)
        texture = _noise(rng, size, rng.uniform(0.6, 1.3))
        body = _colour(rng, (hue - 0.06, hue + 0.06), (0.25, 0.7), (0.15, 0.5))
        second = _colour(rng, (hue - 0.12, hue + 0.1), (0.2, 0.7), (0.1, 0.45))
        patch = np.clip(0.5 + 0.5 * _noise(rng, size, 1.8), 0, 1)[..., None]
        slope = np.gradient(ridge)[None, :] * size * 0.4 * direct
        shade = np.clip(1 + 0.22 * texture + slope * np.exp(-(y - ridge) * 8), 0.15, 2)[..., None]
        colour = (body + patch * (second - body)) * shade
        haze = (1 - near) * rng.uniform(0.3, 0.8)
        name = "ground" if depth == layers - 1 else ("far hill" if depth == 0 else "near hill")
        _paint(image, segments, mask, colour * (1 - haze) + rim * 0.8 * haze, name)
    count = int(rng.integers(0, 9))
    if count:
        leaf = _noise(rng, size, 0.5)
        lean = float(rng.choice([-1.0, 1.0]))
        conifer = rng.random() < 0.5
        for foot in np.sort(rng.uniform(horizon + 0.06, 0.98, count)):
            tall = (foot - horizon) * rng.uniform(0.4, 1.0) + 0.06
            middle, wide = rng.uniform(0, 1), tall * rng.uniform(0.2, 0.4)
            up = (foot - y) / tall
            if conifer:
                inside = np.where((up > 0.05) & (up < 1), wide * (1 - up) - np.abs(x - middle), -0.1)
            else:
                inside = wide * (1 - np.hypot((x - middle) / wide, (up - 0.6) / 0.42))
                trunk = _soft(0.012 + 0.03 * wide - np.abs(x - middle), 1.5 / size)
                trunk = trunk * ((up > 0) & (up < 0.5))
                _paint(image, segments, trunk, _colour(rng, (0.05, 0.1), (0.3, 0.6), (0.06, 0.2)), "foliage")
            green = _colour(rng, (hue - 0.05, hue + 0.12), (0.35, 0.8), (0.08, 0.35))
            shade = np.clip(1 + 0.35 * leaf + lean * direct * 0.7 * (x - middle) / wide, 0.2, 2.2)
            _paint(
                image, segments, _soft(inside + 0.012 * leaf, 1.5 / size), green * shade[..., None], "foliage"
            )
    return image, segments


def _facade(rng: np.random.Generator, size: int, light: str) -> tuple[Array, NDArray[np.uint8]]:
    x, y = _grid(size)
    _, direct, _ = _ILLUMINANT[light]
    # a slight view from the side: heights shrink across the picture, and the whole may be tilted
    lean, tilt = rng.uniform(-0.25, 0.25), rng.uniform(-0.06, 0.06)
    v = (y - 0.55) * (1 + lean * (x - 0.5)) + 0.55 + tilt * (x - 0.5)
    u = x + 0.5 * lean * (x - 0.5) ** 2 - tilt * (y - 0.5)
    sky = _colour(rng, (0.54, 0.64), (0.1, 0.6), (0.5, 0.95))
    image = np.clip(
        sky * (1 + 0.25 * (y[..., None] - 0.3) + 0.05 * _noise(rng, size, 1.7)[..., None]), 0, 1.2
    )
    segments = np.zeros((size, size), np.uint8)
    edge = 1.5 / size
    street = rng.uniform(0.86, 1.05)
    roof = rng.uniform(-0.1, 0.2)
    wall = _colour(rng, (0.0, 0.16), (0.05, 0.6), (0.25, 0.85))
    if rng.random() < 0.25:
        wall = _colour(rng, (0.3, 0.7), (0.05, 0.35), (0.3, 0.8))
    texture = 1 + rng.uniform(0.02, 0.1) * _noise(rng, size, rng.uniform(0.4, 1.2))
    texture = texture * (1 + rng.uniform(0, 0.12) * _noise(rng, size, 2.0))
    if rng.random() < 0.55:
        rows = rng.uniform(20, 36)
        row = v * rows
        course = np.floor(row)
        along = u * rows * rng.uniform(0.35, 0.55) + 0.5 * (course % 2)
        mortar = (row - course < 0.16) | (along - np.floor(along) < 0.09)
        brick = np.sin(course * 12.9898 + np.floor(along) * 78.233) * 43758.547
        texture = texture * (1 + 0.3 * ((brick - np.floor(brick)) - 0.5))
        texture = np.where(mortar, texture * rng.uniform(0.7, 1.35), texture)
    lit = 1 + direct * rng.uniform(-0.25, 0.25) * (u - 0.5) + 0.15 * (0.5 - v)
    body = wall * (np.clip(texture * lit, 0.1, 1.8))[..., None]
    _paint(image, segments, _soft(v - roof, edge) * _soft(street - v, edge), body, "wall")
    columns, floors = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    pitch_x, pitch_y = 1.15 / columns, (street - max(roof, 0) - 0.02) / floors
    origin_x = rng.uniform(-0.1, 0.05)
    fill_x, fill_y = rng.uniform(0.35, 0.68), rng.uniform(0.42, 0.7)
    cell_x, cell_y = (u - origin_x) / pitch_x, (v - max(roof, 0) - 0.02) / pitch_y
    column, floor = np.floor(cell_x), np.floor(cell_y)
    dx, dy = (cell_x - column - 0.5) * pitch_x, (cell_y - floor - 0.5) * pitch_y
    half_x, half_y = fill_x * pitch_x / 2, fill_y * pitch_y / 2
    inside = np.minimum(half_x - np.abs(dx), half_y - np.abs(dy))
    if rng.random() < 0.3:  # round arches
        arch = half_x - np.hypot(dx, np.minimum(dy + half_y - half_x, 0))
        inside = np.minimum(inside, arch)
    there = (v > max(roof, 0) + 0.02) & (cell_y < floors)
    frame = _colour(rng, (0, 1), (0, 0.35), (0.35, 1.0) if rng.random() < 0.7 else (0.05, 0.3))
    depth = rng.uniform(0.008, 0.02)
    # the reveal casts a shadow, which also sets the window into the wall
    shadow = np.clip(_soft(inside + depth * 1.3, 4 / size) - 0.1, 0, 1) * (dy + half_y < 0.5 * half_y)
    image *= 1 - (0.35 * direct * shadow * there)[..., None]
    _paint(image, segments, _soft(inside, edge) * there, frame * (0.9 + 0.1 * lit)[..., None], "window")
    mood = np.sin(column * 91.7 + floor * 47.3 + rng.uniform(0, 6)) * 0.5 + 0.5
    glass = _colour(rng, (0.5, 0.65), (0.1, 0.5), (0.08, 0.4))
    pane = glass * (0.5 + mood + rng.uniform(-0.8, 0.8) * (dy / half_y + dx / half_x))[..., None]
    if light == "evening" or rng.random() < 0.15:
        lamp = _colour(rng, (0.08, 0.15), (0.4, 0.8), (0.7, 1.0))
        pane = np.where((mood > rng.uniform(0.5, 1.0))[..., None], lamp, pane)
    panes = int(rng.integers(1, 3))
    bar = 0.5 - np.abs((dx / (2 * half_x) + 0.5) * panes % 1 - 0.5)
    cut = np.minimum(inside - depth, bar * 2 * half_x / panes - 0.004)
    if rng.random() < 0.5:
        cut = np.minimum(cut, np.abs(dy + half_y * 0.3) - 0.004)
    _paint(image, segments, _soft(cut, edge) * there, np.clip(pane, 0.01, 1.2), "window")
    if rng.random() < 0.7 and street < 1:
        middle, wide, tall = rng.uniform(0.15, 0.85), rng.uniform(0.05, 0.09), rng.uniform(0.16, 0.28)
        door = np.minimum(wide - np.abs(u - middle), np.minimum(v - (street - tall), street - v))
        paint = _colour(rng, (0, 1), (0.2, 0.8), (0.06, 0.45))
        panel = 1 - 0.25 * (np.abs(np.abs(u - middle) - wide / 2) < 0.008) - 0.1 * np.cos(v * 80)
        _paint(image, segments, _soft(door, edge), paint * panel[..., None], "door")
    if roof > 0.05:
        eaves = _colour(rng, (0, 0.1), (0.1, 0.7), (0.1, 0.5))
        tiles = 1 + 0.15 * np.sin(u * rng.uniform(90, 180)) + 0.08 * _noise(rng, size, 0.6)
        slab = np.minimum(v - (roof - rng.uniform(0.03, 0.14)), roof - v)
        _paint(image, segments, _soft(slab, edge), eaves * tiles[..., None], "roof")
    if street < 1:
        ground = _colour(rng, (0, 1), (0, 0.2), (0.15, 0.5))
        grain = (1 + 0.12 * _noise(rng, size, 0.7))[..., None]
        _paint(image, segments, _soft(v - street, edge), ground * grain, "ground")
    return image, segments


def _stilllife(rng: np.random.Generator, size: int, light: str) -> tuple[Array, NDArray[np.uint8]]:
    x, y = _grid(size)
    _, direct, _ = _ILLUMINANT[light]
    side, height = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.35, 0.8), rng.uniform(0.4, 0.8)
    sun = np.array([side, -height, 0.6], np.float32)
    sun /= np.linalg.norm(sun)
    edge = 1.5 / size
    rim = rng.uniform(0.45, 0.7)
    back = _colour(rng, (0, 1), (0.05, 0.6), (0.15, 0.8))
    fall = (
        1 + 0.5 * direct * float(np.sign(side)) * (x - 0.5) + 0.06 * _noise(rng, size, rng.uniform(0.8, 1.8))
    )
    if rng.random() < 0.3:  # wallpaper
        fall = fall * (1 + 0.18 * np.sign(np.sin(x * rng.uniform(20, 70) + rng.uniform(0, 6))))
    image = back * np.clip(fall, 0.1, 2)[..., None]
    segments = np.full((size, size), SEGMENTS.index("backdrop"), np.uint8)
    wood = _colour(rng, (0.03, 0.12), (0.2, 0.7), (0.2, 0.7))
    depth = np.clip(y - rim, 0.002, 1)
    if rng.random() < 0.6:  # grain of wood, closer lines farther away
        bend = (x - 0.5) / (0.3 + depth) * rng.uniform(3, 8) + 0.4 * _noise(rng, size, 1.8)
        pattern = 1 + 0.13 * np.sin(bend * 6) + 0.07 * _noise(rng, size, 0.7)
    else:  # checked cloth
        wood = _colour(rng, (0, 1), (0.05, 0.6), (0.3, 0.85))
        check = np.sign(np.sin((x - 0.5) / (0.35 + depth) * 22)) * np.sign(np.sin(7 / (0.25 + depth)))
        pattern = 1 + rng.uniform(0, 0.3) * check + 0.04 * _noise(rng, size, 0.6)
    table = wood * np.clip(pattern * (0.8 + 0.5 * depth), 0.1, 1.8)[..., None]
    _paint(image, segments, _soft(y - rim, edge), table, "table")
    count = int(rng.integers(2, 6))
    for foot in np.sort(rng.uniform(rim + 0.08, 0.93, count)):
        radius = rng.uniform(0.08, 0.19) * (0.7 + 0.5 * (foot - rim))
        middle = rng.uniform(0.1, 0.9)
        kind = int(rng.integers(3))
        body = _colour(rng, (0, 1), (0.3, 0.95), (0.2, 0.9))
        tall = radius if kind == 0 else radius * rng.uniform(1.3, 2.3)
        cy = foot - tall
        # cast shadow on the table: an ellipse pushed away from the light
        sx = (x - middle + side * 0.9 * radius) / (1.5 * radius)
        shadow = np.clip(1.15 - np.hypot(sx, (y - foot) / (0.42 * radius)), 0, 1)
        image *= 1 - (0.65 * direct / 1.2 * np.clip(shadow * 2, 0, 1) * (y > rim))[..., None]
        dx, dy = (x - middle) / radius, (y - cy) / tall
        if kind == 0:  # fruit
            inside = radius * (1 - np.hypot(dx, dy))
            nx, ny = dx, dy
        elif kind == 1:  # jug: a body whose radius changes with height
            profile = 0.62 + 0.38 * np.cos((dy - rng.uniform(0.1, 0.5)) * rng.uniform(1.8, 2.6))
            inside = np.minimum(radius * (profile - np.abs(dx)), tall * (1 - np.abs(dy)))
            nx, ny = dx / np.maximum(profile, 0.2), 0.15 * dy
        else:  # box
            inside = np.minimum(radius * (0.85 - np.abs(dx)), tall * (1 - np.abs(dy)))
            turn = rng.uniform(-0.4, 0.4)
            nx, ny = np.where(dx < turn, -0.75, 0.6).astype(np.float32), np.zeros_like(dy)
        nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0.02, 1))
        lambert = np.clip(nx * sun[0] + ny * sun[1] + nz * sun[2], 0, 1)
        gloss = np.clip(nx * sun[0] * 0.8 + ny * sun[1] * 0.8 + nz * (0.4 + 0.6 * sun[2]), 0, 1) ** 28
        skin = 1 + rng.uniform(0.02, 0.15) * _noise(rng, size, rng.uniform(0.5, 1.6))
        if rng.random() < 0.3:
            skin = skin * (1 + 0.3 * np.sign(np.sin(dy * rng.uniform(4, 14))))
        shade = (0.35 + 0.2 * (1 - direct) + (0.5 + 0.4 * direct) * lambert) * np.clip(skin, 0.2, 1.8)
        colour = body * shade[..., None] + (rng.uniform(0, 0.7) * direct * gloss)[..., None]
        _paint(image, segments, _soft(inside, edge), colour, "object")
    return image, segments


def _pebbles(rng: np.random.Generator, size: int, light: str) -> tuple[Array, NDArray[np.uint8]]:
    x, y = _grid(size)
    _, direct, _ = _ILLUMINANT[light]
    cells = int(rng.integers(4, 9))
    tilt = rng.uniform(0, 0.45)  # a beach seen at an angle: smaller stones at the top
    v = cells * (y * (1 - tilt) + tilt * (1 - (1 - y) ** 2)) * 1.05
    u = cells * ((x - 0.5) * (1 + tilt * (0.6 - y)) + 0.6)
    warp = rng.uniform(0.02, 0.1)
    u, v = u + warp * _noise(rng, size, 1.7), v + warp * _noise(rng, size, 1.7)
    span = cells + 6
    jitter = rng.uniform(0.12, 0.88, (span, span, 2)).astype(np.float32)
    iu, iv = np.floor(u).astype(int), np.floor(v).astype(int)
    across, down = (np.ascontiguousarray(jitter[..., axis]).ravel() for axis in (0, 1))
    first = np.full((size, size), 9.0)
    second = first.copy()
    stone = np.zeros((size, size), int)
    ox, oy = np.zeros_like(first), np.zeros_like(first)
    rows = [(v - (iv + b), (iv + b + 2) % span * span) for b in (-1, 0, 1)]
    for a in (-1, 0, 1):
        right, column = u - (iu + a), (iu + a + 2) % span
        for below, row in rows:
            number = row + column
            du, dv = right - across[number], below - down[number]
            square = du * du + dv * dv
            nearer = square < first
            np.minimum(second, np.maximum(first, square), out=second)
            np.minimum(first, square, out=first)
            for kept, new in ((stone, number), (ox, du), (oy, dv)):
                np.copyto(kept, new, where=nearer)
    gap = np.sqrt(second) - np.sqrt(first)
    mask = _soft(gap - rng.uniform(0.06, 0.2), 2.5 * cells / size)
    hue, spread = (
        rng.uniform(0, 1) if rng.random() < 0.3 else rng.uniform(0.03, 0.14),
        rng.uniform(0.02, 0.12),
    )
    palette = np.stack(
        [_colour(rng, (hue - spread, hue + spread), (0.02, 0.5), (0.15, 0.85)) for _ in range(8)]
    )
    which = rng.integers(0, 8, span * span)
    value = rng.uniform(0.65, 1.25, span * span).astype(np.float32)
    colour = palette[which[stone]] * value[stone][..., None]
    angle = rng.uniform(0, 2 * np.pi)
    slope = (ox * np.cos(angle) + oy * np.sin(angle)) / 0.6
    dome = np.clip(gap * 1.4, 0, 1)
    shade = 0.55 + 0.45 * np.sqrt(dome) + 0.45 * direct * slope * (1.2 - dome)
    speckle = 1 + rng.uniform(0.03, 0.16) * _noise(rng, size, rng.uniform(0.3, 1.1))
    vein = rng.uniform(0, 0.2) * np.sin(6 * _noise(rng, size, 1.6))
    surface = colour * np.clip(shade * speckle * (1 + vein), 0.08, 2)[..., None]
    sand = _colour(rng, (0.05, 0.13), (0.1, 0.5), (0.05, 0.35))
    image = sand * np.clip(1 + 0.2 * _noise(rng, size, 0.5), 0.2, 2)[..., None]
    segments = np.full((size, size), SEGMENTS.index("gap"), np.uint8)
    _paint(image, segments, mask, surface, "pebble")
    return image, segments


_DRAW: dict[str, Callable[[np.random.Generator, int, str], tuple[Array, NDArray[np.uint8]]]] = {
    "facade": _facade,
    "landscape": _landscape,
    "stilllife": _stilllife,
    "pebbles": _pebbles,
}
