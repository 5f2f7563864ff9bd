"""Panels of heatmaps: which cell shows what, and that one figure has one size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tff_core.book import panels
from tff_core.features import concepts
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


@pytest.fixture
def drawn(tmp_path: Path) -> panels.Patches:
    path = tmp_path / "picture.png"
    half = np.zeros((16, 16, 3), dtype=np.uint8)
    half[:, 8:] = 200
    Image.fromarray(half).save(path)
    rows = []
    for m in ("a.#0(T=2)", "a.#1(T=2)", "elsewhere"):
        for generator, ranks in (("gaugan", 3), ("mine", 2)):
            for rank in range(ranks):
                box = None if m.startswith("a.#1") else (4, 8, 8, 16)
                relevance = torch.zeros(3, 4, 8)
                relevance[:, 0] = 1.0  # the first row of the box
                patch = SimpleNamespace(box=box, relevance=relevance, size=(16, 16))
                own = {"map": m, "generator": generator, "rank": rank, "activation": 3 - rank}
                rows.append(own | {"box": box, "path": path, "patch": patch})
    maps = ["a.#0(T=2)", "a.#1(T=2)"]
    return panels.patches(pd.DataFrame(rows), maps, ["gaugan", "mine"], data.IMAGENET, cell=8)


def test_a_frame_for_each_rank_that_all_generators_have(drawn: panels.Patches) -> None:
    frames, hover, rows = drawn.by_rank()
    assert list(frames) == list(hover) == ["1", "2"]  # one of the two has two pictures
    assert frames["1"].shape == (2, 2, 8, 8, 3) and rows["2"] == ["a.#0(T=2)", "a.#1(T=2)"]
    assert (frames["1"][0] == 200).all()  # the box lies in the bright half
    assert hover["2"][0][1] == "a.#0(T=2)<br>mine, rank 2: activation 2.00<br>rows 4-7, columns 8-15"


def test_a_map_that_is_not_active_is_black_and_says_so(drawn: panels.Patches) -> None:
    frames, hover, _ = drawn.by_rank()
    assert not frames["1"][1].any() and hover["1"][1][0].endswith("not active")


def test_a_frame_for_each_map_has_relevance_below_every_patch(drawn: panels.Patches) -> None:
    frames, _, rows = drawn.by_map()
    assert rows["a.#0(T=2)"] == ["patch 1", "relevance 1", "patch 2", "relevance 2"]
    patch, relevance = frames["a.#0(T=2)"][:2, 0]
    assert (patch == 200).all()
    assert relevance[:2].mean() > relevance[2:].mean()  # light where the relevance is


def test_what_runs_through_a_map_is_drawn_over_its_picture(drawn: panels.Patches) -> None:
    left, right = torch.zeros(3, 16, 16), torch.zeros(3, 16, 16)
    left[:, :, :8], right[:, :, 8:] = 1, 1
    found = [
        concepts.Beside(m, g, drawn.found[m, g, 0], 0.25, left, right, share, area)
        for m, share, area in (("a.#0(T=2)", 0.5, 0.125), ("a.#1(T=2)", None, None))
        for g in ("mine", "gaugan")
    ]
    frames, hover, rows = panels.through(found, ["gaugan", "mine"], data.IMAGENET, cell=16)
    assert list(frames) == ["a.#0(T=2)", "a.#1(T=2)"] and frames["a.#0(T=2)"].shape == (4, 2, 16, 16, 3)
    picture, whole, through, patch = frames["a.#0(T=2)"][:, 0].astype(float)
    assert picture[:, 8:].mean() == 200 and (patch == 200).all()
    assert (
        whole[:, 8:, 0].mean() > whole[:, :8, 0].mean() and through[:, :8, 0].min() > through[:, 8:, 0].max()
    )
    assert hover["a.#0(T=2)"][2][1] == (
        "a.#0(T=2)<br>mine: 25.0 % of the relevance arrives at the map<br>50 % of what passes it lies in the "
        "patch, 12 % of the picture"
    )
    assert not frames["a.#1(T=2)"][3].any() and hover["a.#1(T=2)"][0][0].endswith("no patch")
    assert len(rows["a.#1(T=2)"]) == 4
