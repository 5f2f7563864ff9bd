"""Photographs of installed packages, and crops without a grid of their own."""

import numpy as np
import pytest
from PIL import Image

from tff_core.pictures import photographs, statistics


def test_photographs_are_found_where_their_packages_are(monkeypatch):
    found = photographs.paths()
    assert set(found) == set(photographs.PHOTOGRAPHS)  # all are in the lock
    monkeypatch.setitem(photographs.PHOTOGRAPHS, "absent", ("no_such_package", "a.png"))
    monkeypatch.setitem(photographs.PHOTOGRAPHS, "moved", ("skimage", "data/no_such_file.png"))
    assert photographs.paths() == found


def test_crops_are_the_same_again_and_differ_from_each_other():
    first, again = photographs.crops(3), photographs.crops(3)
    assert set(first) == set(photographs.PHOTOGRAPHS)
    for name, pictures in first.items():
        assert pictures.shape == (3, 64, 64, 3) and pictures.dtype == np.uint8
        assert np.array_equal(pictures, again[name])
        assert not np.array_equal(pictures[0], pictures[1])


def test_a_grid_of_the_photograph_has_no_fixed_place_in_its_crops(tmp_path):
    grid = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(grid).save(tmp_path / "grid.png")
    cut = photographs.crops(200, files={"grid": tmp_path / "grid.png"})["grid"]
    pairs = statistics.pair(statistics.planes(cut)[..., 0])
    assert pairs.std() > 0.05 and abs(pairs.mean()) < 4 * pairs.std() / np.sqrt(len(pairs))


def test_a_photograph_that_is_too_small_is_named(tmp_path):
    Image.new("RGB", (100, 400)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small.png is 100 x 400 pixels: expected at least 128"):
        photographs.crops(1, files={"small": tmp_path / "small.png"})
