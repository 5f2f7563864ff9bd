"""Pictures that are left on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tff_core.store.results import atomic_write


def write_png(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels, (H, W, 3) or (H, W), as a PNG, whole or not at all. OSError where the disk is full."""
    with atomic_write(path) as part:
        Image.fromarray(pixels).save(part, "PNG")
