"""Pictures on one sheet, and inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tff_core.pictures import sheets


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(1, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("write", [sheets.png, sheets.webp])
@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 4)])
def test_a_picture_in_a_page_keeps_every_pixel(write: Callable[..., str], shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    head, code = write(pixels).split(",")
    assert head == f"data:image/{write.__name__};base64"
    stored = Image.open(io.BytesIO(base64.b64decode(code)))
    assert stored.format == write.__name__.upper()
    np.testing.assert_array_equal(np.asarray(stored), pixels)


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_cells_lie_side_by_side_with_a_clear_gap(gap: int) -> None:
    cells = noise(2, 3, 4, 5, 3)
    cells[1, 1] = 0
    sheet = sheets.tiled(cells, gap)
    assert sheet.shape == (2 * 4 + gap, 3 * 5 + 2 * gap, 4)
    left = np.ones(sheet.shape[:2], dtype=bool)
    for r, c in np.ndindex(2, 3):
        at = np.s_[r * (4 + gap) : r * (4 + gap) + 4, c * (5 + gap) : c * (5 + gap) + 5]
        np.testing.assert_array_equal(sheet[at][..., :3], cells[r, c])
        assert (sheet[at][..., 3] == (0 if (r, c) == (1, 1) else 255)).all()
        left[at] = False
    assert not sheet[left].any()


def test_a_black_picture_is_shown_where_it_is_said_to_be_there() -> None:
    cells = np.zeros((1, 2, 4, 4, 3), dtype=np.uint8)
    sheet = sheets.tiled(cells, 2, [[True, False]])
    assert (sheet[:, :4, 3] == 255).all() and not sheet[:, 4:].any()
