"""The photographs that ship with installed packages, and small pictures cut out of them.

They are too few to train or test a detector on, and enough to say what statistics small photographs have.
Colour photographs of everyday scenes only: pictures from microscopes and telescopes, of the retina, drawings
and gray pictures are left out. Nothing is downloaded; a photograph whose package is absent is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# package and file below it
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),  # the right one is the same scene
    "rocket": ("skimage", "data/rocket.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
REDUCTION = (2, 4)  # pixels of the photograph per pixel of a crop, along each axis
FILTERS = (Image.Resampling.BOX, Image.Resampling.LANCZOS)


def paths() -> dict[str, Path]:
    """Files of the photographs that are installed, by name."""
    found = {}
    for name, (package, file) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / file).is_file():
                found[name] = Path(folder) / file
    return found


def crops(count: int, size: int = 64, seed: int = 0,
          files: Mapping[str, Path] | None = None) -> dict[str, NDArray[np.uint8]]:  # fmt: skip
    """``count`` pictures (count, size, size, 3) out of each photograph (default: `paths`), by name.

    Each is a square at a random place, reduced by a random factor of `REDUCTION` with one of `FILTERS`, as
    pictures are cropped and reduced for the web. Places and factors are real numbers, so that no grid of the
    photograph's JPEG or sensor has a fixed place in the crops. ValueError for a photograph too small for it.
    """
    cut = {}
    for name, path in (paths() if files is None else files).items():
        rng = np.random.default_rng([seed, *name.encode()])
        with Image.open(path) as opened:
            photograph = opened.convert("RGB")
        largest = min(REDUCTION[1], min(photograph.size) / size)
        if largest < REDUCTION[0]:
            raise ValueError(
                f"{path} is {photograph.width} x {photograph.height} pixels: expected at least "
                f"{int(np.ceil(REDUCTION[0] * size))} on each side for pictures of {size}"
            )
        cut[name] = np.stack([_crop(photograph, size, largest, rng) for _ in range(count)])
    return cut


def _crop(photograph: Image.Image, size: int, largest: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = size * rng.uniform(REDUCTION[0], largest)
    left, top = rng.uniform(0, np.subtract(photograph.size, side))
    method = FILTERS[int(rng.integers(len(FILTERS)))]
    return np.asarray(photograph.resize((size, size), method, (left, top, left + side, top + side)))
