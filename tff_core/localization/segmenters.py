"""What is where in a picture: segmenters name the categories that predictive patches are sorted into.

A segmenter is called with uint8 pictures (N, H, W, 3), all of one size, and their paths, and gives the
category of every pixel, (N, H, W) int64: an index into its ``names``, or `NOTHING`.

The published code has one, a face parser (`BiSeNet`), whose weights are elsewhere. `Masks` reads what others
have segmented, `Face` is a template for aligned faces, `Grid` and `Superpixels` know no semantics, and
`Scenes` is exact: a program has drawn the miniature's pictures.

Source: Chai et al., ECCV 2020, section 4.2; BiSeNet: Yu et al., ECCV 2018.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tff_core import detectors
from tff_core.localization import bisenet
from tff_core.miniature import scenes
from tff_core.miniature.sample import layouts
from tff_core.pictures import data, reading

NOTHING = -1
"""The category of a pixel that has none."""
Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

FACE = (
    "background", "skin", "brows", "eyes", "ears", "nose", "mouth", "neck", "clothes", "hair", "hat",
)  # fmt: skip
# of the 19 classes of face parsers trained on CelebAMask-HQ
_PARSED = (0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 6, 6, 7, 7, 8, 9, 10)


class Segmenter(Protocol):
    """Gives each pixel a category; see the module."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels: ...


class Scenes:
    """The miniature's own segmentation, known to the pixel: what the program drew there.

    Fakes that blend two scenes, or come from noise, have none: they are `NOTHING` all over. ``images`` are
    all below one folder made by `tff_core.miniature.sample`. ValueError where they are not, or where
    another version drew them.
    """

    names = tuple(scenes.SEGMENTS)

    def __init__(self, images: data.ImageSet) -> None:
        found = layouts(images)
        if not any(one is not None for one in found):
            raise ValueError(
                f"{images.root} has no picture whose scene is known: expected a folder that "
                "`python -m tff_core.miniature sample` made, with reals in it"
            )
        self._scenes = {path: one for path, one in zip(images.paths, found, strict=True) if one is not None}

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        out = np.full(pictures.shape[:3], NOTHING, dtype=np.int64)
        for i, path in enumerate(paths):
            if path in self._scenes:
                out[i] = self._scenes[path].segments
        return out


class Masks:
    """Segmentations from a folder: for ``<name>.<suffix>`` the picture ``<name>.png`` of 8-bit numbers.

    ``names`` are those of the categories 0, 1, ...; 255 is `NOTHING`. FileNotFoundError where the folder is
    missing; when called, PictureError where a mask is missing, broken, of another size than the picture, or
    has a number without a name.
    """

    def __init__(self, folder: str | Path, names: Sequence[str]) -> None:
        self.folder, self.names = Path(folder), tuple(names)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder} is no folder: expected masks; check the path")

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        return np.stack([self._one(path, pictures.shape[1:3]) for path in paths])

    def _one(self, path: Path, size: tuple[int, ...]) -> Labels:
        mask = self.folder / f"{path.stem}.png"
        if not mask.is_file():
            raise data.PictureError(f"{mask} is missing: expected the mask of {path}")
        try:
            with Image.open(mask) as image:
                if image.mode not in ("L", "P", "1"):
                    raise data.PictureError(
                        f"{mask} has the mode {image.mode}: expected one 8-bit number a pixel"
                    )
                if image.width * image.height > reading.MAX_PIXELS:
                    raise data.PictureError(f"{mask} has more than {reading.MAX_PIXELS} pixels")
                found = np.asarray(image).astype(np.int64)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise data.PictureError(f"{mask} cannot be read ({error}): expected a mask as PNG") from error
        if found.shape != size:
            raise data.PictureError(
                f"{mask} has {found.shape[1]}x{found.shape[0]} pixels and its picture {size[1]}x{size[0]}: "
                "expected as many; make masks of the pictures as they are"
            )
        found[found == 255] = NOTHING
        if found.max() >= len(self.names):
            raise data.PictureError(
                f"{mask} has the number {found.max()}: expected 0 to {len(self.names) - 1}, for "
                f"{', '.join(self.names)}, or 255 for nothing"
            )
        return found


class Grid:
    """Where in the picture, and nothing else: a grid of equal cells, row by row."""

    def __init__(self, rows: int = 3, columns: int = 3) -> None:
        if min(rows, columns) < 1:
            raise ValueError(f"a grid of {rows} by {columns}: expected at least one of each")
        self.rows, self.columns = rows, columns
        self.names = tuple(f"row {r + 1}, column {c + 1}" for r in range(rows) for c in range(columns))

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        n, height, width = pictures.shape[:3]
        rows = np.arange(height) * self.rows // height
        columns = np.arange(width) * self.columns // width
        return np.broadcast_to(rows[:, None] * self.columns + columns, (n, height, width)).astype(np.int64)


class Superpixels:
    """SLIC superpixels, by what they look like: dark, medium or bright, and smooth or textured.

    Bright and dark are thirds of the 8-bit range; textured is a luma that varies by more than ``texture``
    (standard deviation, of 255) within the superpixel.
    """

    names = tuple(
        f"{light}, {kind}" for light in ("dark", "medium", "bright") for kind in ("smooth", "textured")
    )

    def __init__(self, pieces: int = 30, texture: float = 8.0) -> None:
        if pieces < 1:
            raise ValueError(f"{pieces} superpixels: expected at least 1")
        self.pieces, self.texture = pieces, texture

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        return np.stack([self._one(picture) for picture in pictures])

    def _one(self, picture: Pixels) -> Labels:
        from skimage.segmentation import slic  # takes a moment to load, and few steps segment

        pieces = slic(picture, n_segments=self.pieces, compactness=10, start_label=0)
        luma = picture @ np.array(data.LUMA)
        count = np.bincount(pieces.ravel())
        mean = np.bincount(pieces.ravel(), luma.ravel()) / count
        square = np.bincount(pieces.ravel(), np.square(luma).ravel()) / count
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        light = np.minimum((mean / 256 * 3).astype(np.int64), 2)
        kinds: Labels = (2 * light + (deviation > self.texture))[pieces]
        return kinds


class Face:
    """A crude template for aligned faces (CelebA-HQ, FFHQ): ellipses at fixed places, whatever is shown.

    It says "where the eyes usually are", not "eyes".
    """

    names = FACE
    # centre (across, down) and half axes, as shares of the side; later ones cover earlier ones
    _SHAPES: Mapping[str, Sequence[tuple[float, float, float, float]]] = {
        "clothes": [(0.50, 1.02, 0.46, 0.12)],
        "hair": [(0.50, 0.40, 0.38, 0.38)],
        "neck": [(0.50, 0.90, 0.15, 0.14)],
        "ears": [(0.20, 0.52, 0.04, 0.08), (0.80, 0.52, 0.04, 0.08)],
        "skin": [(0.50, 0.55, 0.27, 0.35)],
        "brows": [(0.37, 0.40, 0.09, 0.025), (0.63, 0.40, 0.09, 0.025)],
        "eyes": [(0.37, 0.47, 0.07, 0.035), (0.63, 0.47, 0.07, 0.035)],
        "nose": [(0.50, 0.58, 0.06, 0.10)],
        "mouth": [(0.50, 0.73, 0.12, 0.05)],
    }

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        n, height, width = pictures.shape[:3]
        down, across = np.meshgrid(
            (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
        )
        out = np.zeros((height, width), dtype=np.int64)
        for name, ellipses in self._SHAPES.items():
            for x, y, a, b in ellipses:
                out[((across - x) / a) ** 2 + ((down - y) / b) ** 2 <= 1] = FACE.index(name)
        return np.repeat(out[None], n, axis=0)


class Parser:
    """The face parser of the published code: `bisenet.BiSeNet`, its 19 classes in groups.

    ``weights`` is its file (``79999_iter.pth``), read without running code; ``sha256``, where given, is what
    its content must hash to. FileNotFoundError where it is missing, WeightsError where it is another file.
    """

    names = FACE

    def __init__(
        self, weights: str | Path, sha256: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        path = Path(weights)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist: expected the weights of the face parser; check the path"
            )
        if sha256 is not None:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != sha256.lower():
                raise detectors.WeightsError(
                    f"{path} has the SHA-256 {found}: expected {sha256}; get the file again"
                )
        self._device = torch.device(device)
        self._net = bisenet.load(path).to(self._device)

    @torch.inference_mode()
    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        out = [self._one(picture) for picture in pictures]
        return np.stack(out)

    def _one(self, picture: Pixels) -> Labels:
        large = Image.fromarray(picture).resize((512, 512), Image.Resampling.BILINEAR)
        x = data.normalize(torch.from_numpy(np.asarray(large).copy()).permute(2, 0, 1)[None])
        classes: Any = self._net(x.to(self._device)).argmax(1)[0].to(torch.uint8).cpu().numpy()
        size = (picture.shape[1], picture.shape[0])
        near = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
        return np.array(_PARSED, dtype=np.int64)[near]
