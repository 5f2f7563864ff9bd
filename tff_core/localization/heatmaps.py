"""Maps for people: the easiest and hardest pictures of each class, their averages, contours, one page of all.

A map is P(fake) at every cell, whichever logit stands for fakes. On the absolute scale a colour means the
same in every picture; on a picture's own scale its smallest value is dark and its largest bright, whatever
these are, which shows structure and hides confidence: the bar beside each map gives the numbers.

Source: Chai et al., ECCV 2020, section 4.
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
from PIL import Image, ImageDraw
from scipy import ndimage
from tqdm import tqdm

from tff_core.localization import inputs, lightbox, maps
from tff_core.localization.evaluation import ENSEMBLES, Evaluation
from tff_core.localization.files import write_png
from tff_core.localization.inputs import Degrade, Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import write_arrays
from tff_core.store.results import write_text

SCALES = ("absolute", "picture")
KINDS = ("fakes", "reals")
FLAT = 1e-3  # a map whose values differ by less has no structure to be shown
_RIGHT, _WRONG, _LINE = (0, 158, 115), (213, 94, 0), (255, 255, 0)
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@lru_cache(maxsize=8)
def _table(name: str) -> NDArray[np.float64]:
    stops = [plotly.colors.hex_to_rgb(colour) for colour in getattr(plotly.colors.sequential, name)]
    place = np.linspace(0, 1, 256)
    return np.stack(
        [np.interp(place, np.linspace(0, 1, len(stops)), [stop[i] for stop in stops]) for i in range(3)], 1
    )


def coloured(values: ArrayLike, colours: str = "Inferno") -> Pixels:
    """Numbers in [0, 1], (...), as colours, (..., 3), of one of plotly's sequential scales."""
    place = np.clip(np.asarray(values, dtype=np.float64), 0, 1) * 255
    return _table(colours)[np.rint(place).astype(int)].round().astype(np.uint8)  # type: ignore[no-any-return]


def scaled(values: ArrayLike, scale: str = "absolute") -> tuple[Floats, float, float]:
    """A map of probabilities (h, w) for display, in [0, 1], and which numbers are dark and bright.

    On its own scale ("picture") a map that is constant, to 0.001, stays as it is: rounding is no structure.
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale!r}: expected one of {', '.join(SCALES)}")
    whole = np.asarray(values, dtype=np.float64)
    low, high = float(whole.min()), float(whole.max())
    if scale == "absolute" or high - low <= FLAT:
        return whole, 0.0, 1.0
    return (whole - low) / (high - low), low, high


def overlay(picture: Pixels, values: ArrayLike, scale: str = "absolute", weight: float = 0.55) -> Pixels:
    """A map over a gray copy of its picture: uint8 (H, W, 3) from (H, W, 3) and P(fake) (H, W)."""
    shown, _, _ = scaled(values, scale)
    if shown.shape != picture.shape[:2]:
        raise ValueError(
            f"a map of {shown.shape[1]}x{shown.shape[0]} for a picture of {picture.shape[1]}x"
            f"{picture.shape[0]}: expected one value for each pixel, see to_pixels"
        )
    gray = picture.mean(2, keepdims=True)
    return np.rint(weight * coloured(shown) + (1 - weight) * gray).astype(np.uint8)


def with_bar(pixels: Pixels, low: float, high: float) -> Pixels:
    """A picture (H, W, 3) with a bar of the colours on its right, and what its ends mean: (H', W', 3)."""
    height, width = pixels.shape[:2]
    tall = max(height, 40)  # for two lines of text
    out = Image.new("RGB", (width + 48, tall), "white")
    out.paste(Image.fromarray(pixels), (0, (tall - height) // 2))
    ramp = coloured(np.linspace(1, 0, tall))[:, None].repeat(8, 1)
    out.paste(Image.fromarray(ramp), (width + 4, 0))
    draw = ImageDraw.Draw(out)
    draw.text((width + 15, 0), f"{high:.2f}", fill="black")
    draw.text((width + 15, tall - 12), f"{low:.2f}", fill="black")
    return np.asarray(out)


def framed(pixels: Pixels, right: bool, border: int = 2) -> Pixels:
    """A picture with a frame, green where it is judged right, else orange: (H + 4, W + 4, 3)."""
    out = np.full(
        (pixels.shape[0] + 2 * border, pixels.shape[1] + 2 * border, 3), _RIGHT if right else _WRONG
    )
    out[border:-border, border:-border] = pixels
    return out.astype(np.uint8)


def contour(
    picture: Pixels, name: str, cells: ArrayLike, fake: bool = True, sigma: float = 1.0
) -> tuple[Pixels, NDArray[np.bool_]]:
    """The picture (H, W, 3) with a line around what speaks most for its class, and that area, (H, W).

    The map ``cells`` (h, w) is smoothed (``sigma`` in cells) and brought to its own scale; of a fake the area
    is at and above one half, of a real below. A constant map is compared with one half as it is: it may have
    no line. The area is dimmed outside.
    """
    smooth = ndimage.gaussian_filter(np.asarray(cells, dtype=np.float64), sigma)
    height, width = picture.shape[:2]
    whole, _, _ = scaled(maps.to_pixels(name, smooth[None], (height, width))[0], "picture")
    area = whole >= 0.5 if fake else whole < 0.5
    out = np.where(area[..., None], picture, picture // 2)
    inner = ndimage.binary_erosion(area, border_value=1)
    out[area & ~inner] = _LINE
    return out.astype(np.uint8), area


def ranked(pictures: pd.DataFrame, label: int, n: int, ensemble: str) -> dict[str, list[int]]:
    """Rows of the ``hardest`` and the ``easiest`` pictures of a class, by their score of that class.

    At most ``n`` each, the hardest or easiest first; equal scores in the order of the rows. ``pictures`` as
    in `Evaluation`.
    """
    own = pictures[(pictures["label"] == label) & pictures[ensemble].notna()]
    score = own[ensemble].to_numpy(dtype=np.float64)
    score = score if label else 1 - score
    index = own.index.to_numpy()
    return {
        "hardest": [int(i) for i in index[np.argsort(score, kind="stable")[:n]]],
        "easiest": [int(i) for i in index[np.argsort(-score, kind="stable")[:n]]],
    }


def visualise(
    net: PatchClassifier,
    images: data.ImageSet,
    found: Evaluation,
    folder: str | Path,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    n: int = 100,
    ensemble: str = "after_softmax",
    scale: str = "absolute",
    degrade: Degrade | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    progress: bool = False,
) -> list[Path]:
    """Draw the ``n`` easiest and hardest pictures of each class; the pages that show them.

    ``found`` is what `evaluation.evaluate` measured on ``images`` with the same preparation. Below ``folder``
    there is ``{fakes,reals}/{hardest,easiest}/`` with, for each picture in their order,

    * ``001_orig.png``, ``001_map.png`` (with its colour bar, framed green where it is judged right),
      ``001_contour.png``, and ``001_heatmap.npz``: ``heatmap``, P(fake) at the cells;
    * ``preds.csv``: ``rank, index, p_fake, path``;
    * ``heatmap_avg.npz`` and ``.png``, the mean map, where all maps have one size;
    * ``index.html``, one page that shows all of it, see `lightbox`.

    ``easiest_average.npz`` and ``.png`` join both classes' easiest: the mean of the fakes' map and of one
    minus the reals'. Raises ValueError for an unknown ensemble or scale, and for a whole network, which has
    no map.
    """
    if net.whole:
        raise ValueError(f"{net.name} is a whole network and has no map: expected one with a cut")
    if ensemble not in ENSEMBLES:
        raise ValueError(f"ensemble {ensemble!r}: expected one of {', '.join(ENSEMBLES)}")
    if scale not in SCALES:
        raise ValueError(f"scale {scale!r}: expected one of {', '.join(SCALES)}")
    if len(found.pictures) != len(images):
        raise ValueError(
            f"{len(found.pictures)} scores for {len(images)} pictures: expected an evaluation of these"
        )
    folder = Path(folder)
    pages, means = [], {}
    for label, kind in ((1, "fakes"), (0, "reals")):
        for which, rows in ranked(found.pictures, label, n, ensemble).items():
            place = folder / kind / which
            entries, mean = _draw(
                net, images, found.pictures, rows, place, preparation, ensemble, scale, degrade, device,
                batch_size, progress,
            )  # fmt: skip
            if mean is not None:
                means[kind, which] = mean
                _average(place / "heatmap_avg", net.name, mean)
            page = lightbox.page(
                entries, f"{which.capitalize()} {kind}",
                f"{net.name}; {len(entries)} pictures, the {which} first, by {ensemble.replace('_', ' ')}; "
                f"maps show P(fake), scale: {scale}",
            )  # fmt: skip
            write_text(place / "index.html", page)
            pages.append(place / "index.html")
    fakes, reals = (means.get((kind, "easiest")) for kind in KINDS)
    if fakes is not None and reals is not None and fakes.shape == reals.shape:
        _average(folder / "easiest_average", net.name, (fakes + 1 - reals) / 2)
    return pages


def _draw(
    net: PatchClassifier, images: data.ImageSet, pictures: pd.DataFrame, rows: Sequence[int], place: Path,
    preparation: Preparation, ensemble: str, scale: str, degrade: Degrade | None, device: Any,
    batch_size: int, progress: bool,
) -> tuple[list[lightbox.Entry], Floats | None]:  # fmt: skip
    """Write the files of these pictures; what a page shows of them, and the mean map of one size."""
    entries: dict[int, lightbox.Entry] = {}
    total: Floats | None = None
    sizes: set[tuple[int, ...]] = set()
    parts = memory.Parts()
    paths = [images.paths[row] for row in rows]
    stream = inputs.stream(paths, preparation, batch_size=batch_size, degrade=degrade)
    with tqdm(total=len(rows), desc="/".join(place.parts[-2:]), unit="picture", disable=not progress) as bar:
        for members, pixels in stream:
            margins = maps.margin(net, inputs.normalised(pixels, device, preparation), parts)
            cells = margins.double().sigmoid().cpu().numpy()
            size = (pixels.shape[-2], pixels.shape[-1])
            for rank, one, values in zip(members, pixels, cells, strict=True):
                row = rows[rank]
                p, fake = float(pictures[ensemble][row]), images.labels[row] == 1
                picture = one.permute(1, 2, 0).numpy()
                fine = maps.to_pixels(net.name, values[None], size)[0]
                _, low, high = scaled(fine, scale)
                drawn = with_bar(framed(overlay(picture, fine, scale), (p >= 0.5) == fake), low, high)
                line, _ = contour(picture, net.name, values, fake)
                stem = f"{rank + 1:03d}"
                for what, image in (("orig", picture), ("map", drawn), ("contour", line)):
                    write_png(place / f"{stem}_{what}.png", image)
                write_arrays(place / f"{stem}_heatmap.npz", {"heatmap": values})
                name = images.paths[row].name
                entries[rank] = lightbox.Entry(
                    f"{stem} {name}",
                    f"P(fake) = {p:.3f}",
                    {"map": drawn, "contour": line, "picture": picture},
                )
                sizes.add(values.shape)
                if len(sizes) == 1:
                    total = values if total is None else total + values
            bar.update(len(members))
    table = [
        {"rank": rank + 1, "index": row, "p_fake": pictures[ensemble][row], "path": str(images.paths[row])}
        for rank, row in enumerate(rows)
    ]
    write_text(
        place / "preds.csv",
        pd.DataFrame(table, columns=["rank", "index", "p_fake", "path"]).to_csv(index=False),
    )
    mean = total / len(rows) if total is not None and len(sizes) == 1 else None
    return [entries[rank] for rank in sorted(entries)], mean


def _average(path: Path, name: str, mean: Floats) -> None:
    write_arrays(path.with_suffix(".npz"), {"heatmap": mean})
    shown, low, high = scaled(mean, "picture")
    zoom = max(1, 256 // max(mean.shape))
    write_png(path.with_suffix(".png"), with_bar(coloured(shown.repeat(zoom, 0).repeat(zoom, 1)), low, high))
