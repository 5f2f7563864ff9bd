"""Panels: each picture with what speaks for its being fake and for each source, side by side.

One row shows all evidence, signed: red speaks for, blue against, on one scale for all panels of a picture.
The other shows what the published code draws: of networks that see pixels the map as it is, clipped to
[0, 1], so that evidence against is not to be seen and all above 1 looks alike; of networks that see spectra
gradient times activation (see `evidence.published`), in the plane of frequencies. The published code divides
the latter by the largest of a batch; here it is that of the panel, so that no picture changes another's.

Source: Khoo, Lim and Phan, 2022, and its published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.colors
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor, nn

from tff_core.attribution import answers, inputs
from tff_core.attribution.answers import FAKE, REAL
from tff_core.attribution.evidence import evidence, published, scaled
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.networks import Attributor
from tff_core.store import failures, memory
from tff_core.store.checkpoint import Checkpoint
from tff_core.store.results import atomic_write, write_json, write_text

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
WEIGHT = 0.65
"""Of the colours over the picture, where evidence is signed."""
BLEND = 0.5
"""Of the colours over the picture, as published."""
ROWS = ("evidence", "as published")
_SMALLEST, _GAP, _BAND, _TEXT = 128, 4, 16, 12  # pixels: side of a panel, gap, band of a label, letters
_LONGEST = 80  # letters of a file name
_SCALE = "scale"  # the text in a PNG that says what the strongest colours stand for
_SPREAD = 3.0  # deviations of a coefficient that are black and white


# ------------------------------------------------------------------------------------------------- colours


@lru_cache(maxsize=1)
def _diverging() -> Floats:
    """256 colours from blue over white to red."""
    stops = np.array([plotly.colors.unlabel_rgb(colour) for colour in plotly.colors.diverging.RdBu[::-1]])
    place = np.linspace(0, len(stops) - 1, 257)
    return np.stack([np.interp(place, np.arange(len(stops)), stops[:, i]) for i in range(3)], 1)


def signed(picture: ArrayLike, values: ArrayLike, limit: float) -> Pixels:
    """Evidence (H, W) from -``limit`` (blue) over 0 (white) to ``limit`` (red) on gray: uint8 (H, W, 3).

    ``picture`` uint8 (H, W, 3), of which a gray copy shows through. What is beyond the limits looks like
    them. ValueError where sizes differ or the limit is not above 0.
    """
    whole, shown = _both(picture, values)
    if not limit > 0:
        raise ValueError(f"limit {limit}: expected the value of the strongest colours, above 0")
    place = np.rint(128 + 128 * np.clip(shown / limit, -1, 1)).astype(int)
    gray = whole.mean(2, keepdims=True)
    return np.rint(WEIGHT * _diverging()[place] + (1 - WEIGHT) * gray).astype(np.uint8)


def jet(values: ArrayLike) -> Floats:
    """Numbers in [0, 1], (...), as colours from dark blue over green to dark red, (..., 3) from 0 to 255."""
    x = np.asarray(values, dtype=np.float64)[..., None]
    return 255 * np.clip(1.5 - np.abs(4 * x - np.array([3.0, 2.0, 1.0])), 0, 1)


def as_published(picture: ArrayLike, values: ArrayLike) -> Pixels:
    """A map (H, W) as the published code draws it over its picture: uint8 (H, W, 3).

    Times 255, clipped to 0 and 255, as whole numbers; JET; half of it and half of the picture, uint8
    (H, W, 3). ValueError where sizes differ.
    """
    whole, shown = _both(picture, values)
    level = np.floor(np.clip(255 * shown, 0, 255)) / 255
    return np.rint(BLEND * np.rint(jet(level)) + (1 - BLEND) * whole).astype(np.uint8)


def _both(picture: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    whole, shown = np.asarray(picture, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if whole.shape != (*shown.shape, 3) or shown.ndim != 2:
        raise ValueError(
            f"a map of shape {shown.shape} for a picture of shape {whole.shape}: expected (H, W), (H, W, 3)"
        )
    return whole, shown


def in_place(maps: Tensor, size: int) -> Tensor:
    """Maps (N, h, w) at the size of their picture, (N, size, size), by linear interpolation."""
    return nn.functional.interpolate(maps[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def gray(spectra: Tensor, low: float = -2.0, high: float = 8.0) -> Pixels:
    """Log spectra (N, 1, H, W) of `inputs.spectrum` from ``low``, black, to ``high``: uint8 (N, H, W, 3)."""
    level = ((spectra - low) / (high - low)).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.asarray(level.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))


@torch.inference_mode()
def drawn(
    net: Attributor,
    pictures: Tensor,
    statistics: Statistics | None = None,
    source: int | None = None,
    device: str | torch.device = "cpu",
) -> Pixels:
    """What speaks for a source (None: for being fake) in pictures uint8 (N, 3, S, S): uint8 (N, S, S, 3).

    Signed evidence (see `signed`), all pictures on one scale; over the picture, or over its spectrum for a
    network that sees spectra.
    """
    seen = inputs.seen(pictures, statistics).to(device)
    maps = in_place(evidence(net, seen, source), net.size).double().cpu().numpy()
    limit = float(np.abs(maps).max()) or 1.0
    under = _spectra(pictures, statistics)
    below = [one for one, _ in under] if under else list(pictures.permute(0, 2, 3, 1).numpy())
    return np.stack([signed(one, values, limit) for one, values in zip(below, maps, strict=True)])


# -------------------------------------------------------------------------------------------------- panels


def panel(
    picture: Pixels,
    own: Floats,
    original: Floats,
    labels: Sequence[Sequence[str]] | None,
    backgrounds: tuple[Pixels, Pixels] | None = None,
) -> tuple[Pixels, float]:
    """One picture with its evidence; uint8 (H', W', 3), and the limit of its colours.

    Args:
        picture: uint8 (S, S, 3), which is shown first.
        own, original: maps (T, S, S) of detection and of each source, signed and as published.
        labels: two rows of 1 + T texts that are written above the panels; None: no text.
        backgrounds: what the maps are drawn over, and below the picture, where it is not the picture itself:
            of the first and of the second row.
    """
    limit = float(np.abs(own).max()) or 1.0
    below = backgrounds or (picture, picture)
    first = [picture, *(signed(below[0], values, limit) for values in own)]
    second = [*below[:1], *(as_published(below[1], values) for values in original)]
    if backgrounds is None:
        second[0] = np.full_like(picture, 255)  # once is enough
    zoom = max(1, -(-_SMALLEST // picture.shape[0]))
    side, band = zoom * picture.shape[0], _BAND if labels is not None else 0
    columns = len(first)
    out = np.full((2 * (band + side) + _GAP, columns * (side + _GAP) - _GAP, 3), 255, dtype=np.uint8)
    for row, tiles in enumerate((first, second)):
        top = band + row * (band + side + _GAP)
        for column, tile in enumerate(tiles):
            left = column * (side + _GAP)
            out[top : top + side, left : left + side] = tile.repeat(zoom, 0).repeat(zoom, 1)
    if labels is None:
        return out, limit
    image = Image.fromarray(out)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_TEXT)
    for row, texts in enumerate(labels):
        for column, text in enumerate(texts):
            place = column * (side + _GAP), row * (band + side + _GAP)
            draw.text(place, _short(text, font, side), fill="black", font=font)
    return np.array(image), limit


def _short(text: str, font: Any, width: int) -> str:
    """The text, or as much of it as fits; what follows the last colon is kept."""
    if font.getlength(text) <= width:
        return text
    head, colon, tail = text.rpartition(": ")
    if not colon:
        head, tail = text, ""
    while head and font.getlength(f"{head}...{colon}{tail}") > width:
        head = head[:-1]
    return f"{head}...{colon}{tail}"


def write(
    net: Attributor,
    paths: Sequence[Path],
    folder: str | Path,
    statistics: Statistics | None = None,
    *,
    labels: bool = True,
    tags: bool = False,
    threshold: float = 0.5,
    fit: str = "none",
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Write the panels of each picture to ``folder``; the rows of `answers.attribute`, with two more columns.

    ``panel`` is the name of the picture's PNG there, missing for one that cannot be judged, and ``scale``
    what the strongest colours stand for: of a network that sees pixels the logit of a picture whose every
    place speaks like this one, of one that sees spectra the place's part of the logit. ``panels.csv`` has
    these rows, ``panels.json`` says what was asked, and both are written last.

    ``labels``: whether words and probabilities stand above the panels. ``tags``: whether names of files and
    labels begin with the picture's folder. Other settings and errors as `answers.attribute`.
    """
    folder = Path(folder)
    tagged = [_name(path, tags) for path in paths]
    # two pictures may have one name
    files = [f"{i:05d}_{name.replace('/', '_')[:_LONGEST]}.png" for i, name in enumerate(tagged)]
    parts = memory.Parts()
    tasks = (None, *range(net.sources))

    def maps(x: Tensor) -> Tensor:
        """(N, 2, 1 + sources, S, S): signed, and as published."""
        seen = inputs.seen(x, statistics).to(device)
        own = [evidence(net, seen, source) for source in tasks]
        theirs = [published(net, seen, source) for source in tasks]
        if net.kind == "dct":
            theirs = [scaled(one) for one in theirs]
        whole = torch.stack([in_place(one, net.size) for one in (*own, *theirs)], 1)
        return whole.unflatten(1, (2, len(tasks))).cpu()

    def each(places: Sequence[int], shown: Tensor, p: Tensor) -> None:
        found = parts.cat(maps, shown).double().numpy()
        under = _spectra(shown, statistics)
        for n, place in enumerate(places):
            words = _words(net, tagged[place], p[n].tolist(), threshold) if labels else None
            picture = shown[n].permute(1, 2, 0).numpy()
            drawn, scale = panel(picture, found[n, 0], found[n, 1], words, under[n] if under else None)
            told = PngImagePlugin.PngInfo()
            told.add_text(_SCALE, repr(scale))
            with atomic_write(folder / files[place]) as part:
                Image.fromarray(drawn).save(part, "PNG", pnginfo=told)

    how: dict[str, Any] = {
        "threshold": threshold, "fit": fit, "device": device, "batch_size": batch_size, "progress": progress
    }  # fmt: skip
    frame = answers.attribute(net, paths, statistics, checkpoint=checkpoint, each=each, **how)
    judged = [int(i) for i in np.flatnonzero(frame["fake"].notna())]
    lost = [i for i in judged if not (folder / files[i]).is_file()]
    if lost:  # judged by an earlier run, and taken away since

        def again(places: Sequence[int], shown: Tensor, p: Tensor) -> None:
            each([lost[i] for i in places], shown, p)

        answers.attribute(net, [paths[i] for i in lost], statistics, each=again, **how)
    names: list[str | None] = [None] * len(frame)
    scales = np.full(len(frame), np.nan)
    for i in judged:
        names[i], scales[i] = files[i], _scale(folder / files[i])
    frame.insert(1, "panel", names)
    frame.insert(2, "scale", scales)
    write_text(folder / "panels.csv", frame.to_csv(index=False))
    facts = {
        "kind": net.kind, "size": net.size, "sources": list(net.names), "threshold": threshold, "fit": fit,
        "labels": labels, "tags": tags, "pictures": len(frame), "panels": len(judged), "rows": list(ROWS),
        "columns": ["picture", "detection", *net.names],
        "colours": "red speaks for, blue against; scale is what the strongest stand for",
    }  # fmt: skip
    write_json(folder / "panels.json", facts)
    return frame


def _spectra(shown: Tensor, statistics: Statistics | None) -> list[tuple[Pixels, Pixels]]:
    """What maps of spectra are drawn over: as the network sees it, and as published; none for pixels."""
    if statistics is None:
        return []
    logs = inputs.spectrum(shown)
    own = (statistics.normalise(logs).clamp(-_SPREAD, _SPREAD) / _SPREAD + 1) * 127.5
    theirs = (255 * logs).clamp(0, 255).floor()
    gray = (
        part.round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
        for part in (own, theirs)
    )
    return list(zip(*gray, strict=True))


def _scale(path: Path) -> float:
    with Image.open(path, formats=["PNG"]) as image:
        return float(image.info[_SCALE])


def _name(path: Path, tag: bool) -> str:
    name = f"{path.parent.name}/{path.stem}" if tag and path.parent.name else path.stem
    return failures.printable(name)


def _words(net: Attributor, name: str, p: Sequence[float], threshold: float) -> list[list[str]]:
    said = f"{FAKE.upper()}: {p[0]:.2%}" if p[0] >= threshold else f"{REAL.upper()}: {1 - p[0]:.2%}"
    first = [name, said, *(f"{source}: {q:.2%}" for source, q in zip(net.names, p[1:], strict=True))]
    return [first, ["", *[ROWS[1]] * (len(first) - 1)]]
