"""Panels of heatmaps: which cell shows what, and that one figure has one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tff_core.book import panels
from tff_core.features.heatmaps import Heatmaps, Subject
from tff_core.pictures import data

METHODS = {"guided_gradcam": "Guided Grad-CAM", "lrp": "LRP"}


@pytest.fixture
def heat(tmp_path: Path) -> Heatmaps:
    subjects = {}
    for generator, (height, width) in {"gaugan": (20, 30), "mine": (24, 16)}.items():
        for label, name in enumerate(data.LABELS):
            folder = tmp_path / generator / name
            folder.mkdir(parents=True)
            Image.fromarray(np.full((height, width, 3), 100 + label, dtype=np.uint8)).save(folder / "0.png")
        images = data.scan(tmp_path / generator)
        mask = np.zeros((height, width), dtype=bool)
        mask[:, : width // 2] = True
        masks = (mask, mask) if generator == "gaugan" else (None, None)
        subjects[generator] = Subject(images, masks, (None, None), (), (1, 0))
    found = Heatmaps(subjects)
    for generator, own in subjects.items():
        shape = (20, 30) if generator == "gaugan" else (24, 16)
        for method in METHODS:
            for key in (("detector", 0), ("untrained", 2)):
                light = np.zeros(shape)
                light[:, shape[1] // 2 :] = 1.0
                found._maps[generator, method, *key] = dict.fromkeys(own.needed, light)
    return found


def test_a_row_for_each_picture_and_method_and_one_size_for_all(heat: Heatmaps) -> None:
    cells, hover, rows = panels.heatmaps(heat, {"detector": 0, "untrained": 2}, METHODS, data.IMAGENET)
    assert list(cells) == ["GauGAN", "mine"]
    assert all(drawn.shape == (4, 4, 20, 16, 3) for drawn in cells.values())  # of both the middle
    assert rows["GauGAN"] == ["fake<br>Grad-CAM", "fake<br>LRP", "real<br>Grad-CAM", "real<br>LRP"]
    assert hover["mine"][1] == ["fake", "objects in the fake", "fake: detector, LRP", "fake: untrained, LRP"]


def test_picture_and_objects_stand_in_the_first_row_only(heat: Heatmaps) -> None:
    cells, _, _ = panels.heatmaps(heat, {"detector": 0}, METHODS, data.IMAGENET)
    picture, objects, light = cells["GauGAN"][0]
    assert (picture == 101).all()
    assert (objects[:, :8] == 101).all() and (objects[:, 8:] == 40).all()
    assert light[:, 8:].sum() > light[:, :8].sum()
    assert not cells["GauGAN"][1, :2].any()
    assert not cells["mine"][0, 1].any()  # no segmentation is known


def test_large_pictures_are_cut_to_their_middle(heat: Heatmaps) -> None:
    cells, _, _ = panels.heatmaps(heat, {"detector": 0}, METHODS, data.IMAGENET, largest=10)
    assert cells["GauGAN"].shape[2:4] == (10, 10)
