"""Traces of which all is known: planted into photographs, with place, channel, period, phase and amplitude.

A detector that is trained on such pictures *must* use the trace, since nothing else tells them apart: each
question about an explanation then has an answer. `plant` adds a trace to a picture and `remove` takes one
out, `measure` says how much of it is there, and `sample` fills a folder in the layout of the miniature, with
masks: ``<out>/{0_real,1_fake}/<number>.png`` and ``<out>/mask/<number>.png`` (255 where the fake of that
number carries the trace).

A trace is a wave along columns or rows, or the product of both, in one channel of JPEG's Y, Cb, Cr:

    amplitude * cos(2 pi (x + phase) / period),

in levels of 255. A period of 2 is the finest wave that pixels can carry, that of an upsampling by 2. Pixels
are rounded to 8 bits afterwards, without dithering, whose noise would tell the pictures apart as well: what
is there then differs from what was asked for by up to half a level.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from tff_core.miniature.camera import EDITION_2, Camera, code, drawing, take
from tff_core.miniature.sample import check, digest, scene_of, write_png
from tff_core.miniature.splices import region, to_make
from tff_core.pictures.data import LABELS, MANIFEST
from tff_core.store.results import fingerprint, read_json, write_json

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
CHANNELS = ("Y", "Cb", "Cr")
DIRECTIONS = ("columns", "rows", "both")
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # JPEG's luma (ITU T.871)
_TO = np.array(
    [
        [_RED, _GREEN, _BLUE],
        [-_RED / (2 - 2 * _BLUE), -_GREEN / (2 - 2 * _BLUE), 0.5],
        [0.5, -_GREEN / (2 - 2 * _RED), -_BLUE / (2 - 2 * _RED)],
    ]
)
_FROM = np.linalg.inv(_TO)


@dataclass(frozen=True)
class Trace:
    """A wave: its channel ("Y", "Cb" or "Cr"), period in pixels, amplitude in levels of 255, phase in pixels,
    and whether it runs along "columns", "rows" or "both".

    ValueError where one of them makes no sense.
    """

    channel: str
    period: float
    amplitude: float
    phase: float = 0.0
    direction: str = "columns"

    def __post_init__(self) -> None:
        for name, known in (("channel", CHANNELS), ("direction", DIRECTIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"a trace's {name} is {getattr(self, name)!r}: expected one of {', '.join(known)}"
                )
        if not (np.isfinite(self.period) and self.period >= 2):
            raise ValueError(f"a trace's period is {self.period!r}: expected 2 pixels at least")
        if not (np.isfinite(self.amplitude) and 0 <= self.amplitude <= 127 and np.isfinite(self.phase)):
            raise ValueError(
                f"a trace's amplitude is {self.amplitude!r}, its phase {self.phase!r}: expected 0 to 127 "
                "levels, and a number of pixels"
            )

    def wave(self, height: int, width: int, quarter: bool = False) -> Floats:
        """The trace with an amplitude of 1, (height, width); a ``quarter`` of its period later on request."""
        late = self.period / 4 if quarter else 0.0
        rows, columns = (
            np.cos(2 * np.pi * (np.arange(side) + self.phase - late) / self.period)
            for side in (height, width)
        )
        if self.direction == "columns":
            return np.broadcast_to(columns, (height, width)).copy()
        if self.direction == "rows":
            return np.broadcast_to(rows[:, None], (height, width)).copy()
        return np.outer(rows, columns)


class Changed(NamedTuple):
    """A picture after a change, (H, W, 3) uint8, and the share of its pixels that left the range of colours
    and were cut off, so that the change is not all there."""

    pixels: Pixels
    clipped: float


def plant(pixels: Pixels, trace: Trace, where: NDArray[np.bool_] | None = None) -> Changed:
    """``pixels`` (H, W, 3) uint8 with the trace added ``where`` (H, W) says; everywhere if None."""
    wave = trace.amplitude * trace.wave(*pixels.shape[:2])
    return _add(pixels, trace.channel, wave if where is None else np.where(where, wave, 0.0))


def measure(pixels: Pixels, trace: Trace, where: NDArray[np.bool_] | None = None) -> float:
    """How much of the trace is in a picture, in levels of 255: the least-squares amplitude of its wave.

    A photograph has some by chance, of either sign; planting adds the trace's amplitude to it. 0.0 where no
    pixel is asked about, or the wave has one value on all of them.
    """
    inside = np.ones(pixels.shape[:2], dtype=bool) if where is None else where
    wave, channel = trace.wave(*pixels.shape[:2])[inside], _channel(pixels, trace.channel)[inside]
    if not wave.size or np.ptp(wave) < 1e-9:
        return 0.0
    wave = wave - wave.mean()
    return float(wave @ channel / (wave @ wave))


def remove(pixels: Pixels, trace: Trace, where: NDArray[np.bool_] | None = None) -> Changed:
    """``pixels`` without the waves of the trace's channel, period and direction, of any phase and amplitude.

    Least squares on the wave and on the same a quarter of a period later, ``where`` (H, W) says; with both
    directions on the four products of the two.
    """
    height, width = pixels.shape[:2]
    inside = np.ones((height, width), dtype=bool) if where is None else where
    if not inside.any():
        return Changed(pixels.copy(), 0.0)
    along = [Trace(trace.channel, trace.period, 1.0, trace.phase, d) for d in ("rows", "columns")]
    rows, columns = ([one.wave(height, width, late) for late in (False, True)] for one in along)
    both = [r * c for r in rows for c in columns]
    waves = {"rows": rows, "columns": columns, "both": both}[trace.direction]
    basis = np.stack([np.ones((height, width)), *waves])[:, inside].T
    found, *_ = np.linalg.lstsq(basis, _channel(pixels, trace.channel)[inside], rcond=None)
    change = np.zeros((height, width))
    change[inside] = -(basis[:, 1:] @ found[1:])
    return _add(pixels, trace.channel, change)


def _channel(pixels: Pixels, name: str) -> Floats:
    return pixels.astype(np.float64) @ _TO[CHANNELS.index(name)]


def _add(pixels: Pixels, name: str, change: Floats) -> Changed:
    wanted = pixels + change[..., None] * _FROM[:, CHANNELS.index(name)]
    changed = np.rint(wanted).clip(0, 255).astype(np.uint8)
    beyond = ((wanted < -0.5) | (wanted > 255.5)).any(-1)
    return Changed(changed, float(beyond.mean()))


def sample(
    part: str,
    trace: Trace,
    out_dir: str | Path,
    n_per_label: int,
    seed: int = 0,
    size: int = 64,
    progress: bool = True,
    camera: Camera = EDITION_2,
    whole: bool = False,
) -> dict[str, Any]:
    """Make ``n_per_label`` scenes without the trace and others with it below ``out_dir``; the manifest.

    The trace is in a random region (`tff_core.miniature.splices.region`), or everywhere if ``whole``. Both
    labels are photographs of different scenes, and the regions and scenes do not depend on the trace. An
    interrupted folder is completed, a whole one left alone.

    Raises ValueError for an unknown part, a count below 1, a size that is no multiple of 4, or a folder with
    other pictures.
    """
    check(part, size)
    if n_per_label < 1:
        raise ValueError(f"a folder needs at least 1 picture per label: found n_per_label={n_per_label}")
    out = Path(out_dir)
    config = {
        "dataset": "planted", "part": part, "trace": asdict(trace), "whole": whole, "seed": seed,
        "size": size, "drawing": drawing(), "camera": asdict(camera),
        "code": code("planted.py", "splices.py"),
    }  # fmt: skip
    mark = fingerprint(config)
    folders = (*LABELS, "mask")
    wanted = {f"{folder}/{i:05d}.png": (folder, i) for i in range(n_per_label) for folder in folders}
    names, found = to_make(out, mark, wanted)
    if found is not None:
        return found
    missing = [wanted[name] for name in names]
    for folder, index in tqdm(missing, desc=f"planted/{part}", unit="picture", disable=not progress):
        where = np.ones((size, size), dtype=bool)
        if not whole:
            where = region(np.random.default_rng([seed, index, 2]), size)
        if folder == "mask":
            pixels: Any = where.astype(np.uint8) * 255
        else:
            stream = part if folder == LABELS[0] else f"{part}-source"
            pixels = take(stream, *scene_of(index), seed, size, "planted", camera).pixels
            if folder == LABELS[1]:
                pixels = plant(pixels, trace, where).pixels
        write_png(out / folder / f"{index:05d}.png", pixels, mark)
    manifest = {
        "config": config, "config_hash": mark, "counts": {"real": n_per_label, "fake": n_per_label},
        "files": {name: digest(out / name) for name in sorted(wanted)},
    }  # fmt: skip
    write_json(out / MANIFEST, manifest)
    written: dict[str, Any] = read_json(out / MANIFEST)  # as it will be found
    return written
