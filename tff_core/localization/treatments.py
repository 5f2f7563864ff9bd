"""What may happen to pictures on their way into a data set, and folders whose classes went different ways.

A resampling kernel, a detour through another size, a codec: none of them is a trace of a generator, and each
can be told from its absence.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from tff_core.localization import inputs
from tff_core.pictures import data
from tff_core.store.results import fingerprint, read_json, write_json

KERNELS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's, all with antialiasing, by name."""
CODECS = ("png", "jpeg")
Sides = tuple[Sequence[Path], Sequence[Path]]
"""What becomes the reals of a folder, and what its fakes."""
_DATASET = "treated"


@dataclass(frozen=True)
class Treatment:
    """One way into a data set: resized by ``kernel``, through a ``detour``, compressed, stored.

    ``kernel`` is one of `KERNELS`; ``detour`` another size, as a multiple of the final one, to which pictures
    are resized and back; ``quality`` that of a JPEG, and ``codec`` what the pictures are stored as. Of
    pictures that were compressed and are stored as PNG no property of the files says so.

    ValueError where one of them makes no sense.
    """

    name: str
    kernel: str = "lanczos"
    detour: float | None = None
    quality: int | None = None
    codec: str = "png"

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & set("/\\\0") or self.name.startswith("."):
            raise ValueError(f"a treatment is called {self.name!r}: expected a name that a folder may have")
        for what, value, known in (("kernel", self.kernel, KERNELS), ("codec", self.codec, CODECS)):
            if value not in known:
                raise ValueError(
                    f"treatment {self.name}: {what} {value!r}; expected one of {', '.join(known)}"
                )
        if self.detour is not None and not 0 < self.detour < 100:
            raise ValueError(
                f"treatment {self.name}: a detour of {self.detour}; expected a multiple of the size, above 0"
            )
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"treatment {self.name}: JPEG quality {self.quality}; expected 1 to 100")
        if self.codec == "jpeg" and self.quality is None:
            raise ValueError(f"treatment {self.name} is stored as JPEG: expected a quality")

    def apply(self, pixels: Tensor, size: int) -> Tensor:
        """What is stored of a picture uint8 (3, H, W): its middle square, (3, size, size)."""
        kernel = KERNELS[self.kernel]
        out = inputs.to_square(pixels, size, kernel)
        if self.detour is not None:
            out = inputs.resize(self.detour, kernel)(out[None])[0]
        return out if self.quality is None or self.codec == "jpeg" else inputs.jpeg(self.quality)(out)

    def save(self, pixels: Tensor, path: Path) -> None:
        """Store pixels (3, size, size) as ``path`` with the ending of the codec."""
        image = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
        if self.codec == "jpeg":
            image.save(path.with_suffix(".jpg"), "JPEG", quality=self.quality)
        else:
            image.save(path.with_suffix(".png"), "PNG")


BASE = Treatment("base")
"""What both classes should have gone through."""
TREATMENTS = (
    Treatment("none"),
    Treatment("box", kernel="box"),
    Treatment("bilinear", kernel="bilinear"),
    Treatment("bicubic", kernel="bicubic"),
    Treatment("detour", detour=0.75),
    Treatment("JPEG", quality=90, codec="jpeg"),
    Treatment("JPEG in PNG", quality=90),
)
"""The first is the control, in which both classes have gone the same way."""


def split(paths: Sequence[Path], counts: Sequence[int], seed: int) -> list[tuple[Path, ...]]:
    """Parts of these numbers of pictures, drawn without replacement. ValueError where there are too few."""
    if min(counts) < 0 or sum(counts) > len(paths):
        where = f"{paths[0].parent}: " if paths else ""
        raise ValueError(
            f"{where}{len(paths)} pictures, of which {' + '.join(map(str, counts))} were asked for: "
            f"expected {sum(counts)} at least; take more pictures, or ask for fewer"
        )
    order = np.random.default_rng(seed).permutation(len(paths)).tolist()
    ends = np.cumsum([0, *counts])
    return [
        tuple(paths[i] for i in order[a:b])
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def write(
    folder: str | Path,
    parts: Mapping[str, Sides],
    ways: tuple[Treatment, Treatment],
    size: int,
    progress: bool = False,
) -> Path:
    """Make ``<folder>/<part>/{0_real,1_fake}/<number>`` with pictures of ``size`` pixels a side.

    ``ways``: how the reals are treated, and how the fakes. The folder appears when it is whole; one that
    was made from the same pictures in the same way is left alone, one that was made in another is replaced.

    Raises ValueError where the folder holds anything else, and where the ways differ in their kernels and a
    picture needs no resize; PictureError where one is broken, OSError where the disk is full.
    """
    folder = Path(folder)
    sources = {name: [list(map(str, side)) for side in sides] for name, sides in parts.items()}
    contents = {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for sides in parts.values()
        for side in sides
        for path in side
    }
    mark = fingerprint(
        {
            "dataset": _DATASET, "ways": [asdict(way) for way in ways], "size": size,
            "parts": {name: [[contents[Path(p)] for p in side] for side in s] for name, s in sources.items()},
            "pillow": PIL.__version__,
        }
    )  # fmt: skip
    if folder.exists():
        found = _manifest(folder)
        if found.get("config_hash") == mark:
            return folder
        if found.get("dataset") != _DATASET:
            raise ValueError(
                f"{folder} holds other things: expected no such folder, or one that was made here; "
                "choose another"
            )
    made = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    total = sum(len(side) for sides in parts.values() for side in sides)
    with tqdm(total=total, desc=f"pictures, {folder.name}", unit="picture", disable=not progress) as bar:
        try:
            for part, sides in parts.items():
                for label, side, way in zip(data.LABELS, sides, ways, strict=True):
                    (made / part / label).mkdir(parents=True)
                    for number, path in enumerate(side):
                        pixels = data.read(path)
                        if min(pixels.shape[-2:]) == size and ways[0].kernel != ways[1].kernel:
                            raise ValueError(
                                f"{path} has {pixels.shape[-1]}x{pixels.shape[-2]} pixels and is not "
                                f"resized to {size}, so that no kernel changes it: choose another size"
                            )
                        way.save(way.apply(pixels, size), made / part / label / f"{number:05d}")
                        bar.update()
            about = {"dataset": _DATASET, "config_hash": mark, "size": size,
                     "ways": [asdict(way) for way in ways], "sources": sources}  # fmt: skip
            write_json(made / data.MANIFEST, about)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    if folder.exists():
        shutil.rmtree(folder)
    made.replace(folder)
    return folder


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / data.MANIFEST)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
