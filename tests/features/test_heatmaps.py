"""Heatmaps of several networks on pictures whose objects are known, or are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from tff_core import lrp
from tff_core.features import heatmaps, pixels
from tff_core.features.heatmaps import CONTRAST, Heatmaps, Network, Subject
from tff_core.pictures import data
from tff_core.store.results import Store

SIDE, EACH = 12, 8
LEFT = np.zeros((SIDE, SIDE), dtype=bool)
LEFT[:, : SIDE // 4] = True  # the objects: a quarter of every picture


class Named(nn.Module):
    """A network that looks at the left, at everything, or at the right of every picture."""

    def __init__(self, side: str) -> None:
        super().__init__()
        self.side = side


def looks_at(side: str) -> Network:
    return Network(Named(side), None, data.IMAGENET)  # type: ignore[arg-type]


def explain(model: nn.Module, net: lrp.Net, x: Tensor) -> Mapping[str, NDArray[np.float64]]:
    assert isinstance(model, Named)
    maps = np.zeros((len(x), SIDE, SIDE))
    maps[:, LEFT] = {"left": 1.0, "everywhere": 1.0, "right": 0.0}[model.side]
    maps[:, ~LEFT] = {"left": 0.0, "everywhere": 1.0, "right": 1.0}[model.side]
    return {"guided_gradcam": maps, "lrp": maps * (1 + np.arange(SIDE))}


def folder(root: Path) -> data.ImageSet:
    rng = np.random.default_rng(0)
    for name in data.LABELS:
        (root / name).mkdir(parents=True)
        for i in range(EACH):
            pixels_ = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels_).save(root / name / f"{i}.png")
    return data.scan(root)


@pytest.fixture
def images(tmp_path: Path) -> data.ImageSet:
    return folder(tmp_path / "pictures")


def known(images: data.ImageSet) -> Subject:
    places = tuple(range(len(images)))
    kinds = tuple("facade" if i % 2 else "pebbles" for i in places)
    return Subject(images, (LEFT,) * len(images), kinds, places, (0, 1, 8, 9))


NETWORKS = {
    ("detector", 0): looks_at("right"),
    ("detector", 1): looks_at("everywhere"),
    ("classifier", 0): looks_at("left"),
    ("untrained", 0): looks_at("everywhere"),
}


def test_pictures_without_a_scene_are_shown_and_not_measured(images: data.ImageSet) -> None:
    found = heatmaps.subject(images, data.IMAGENET)
    assert found.measured == () and set(found.masks) == {None} and set(found.kinds) == {None}
    assert [images.labels[i] for i in found.shown] == [1, 1, 0, 0]
    assert found.needed == sorted(found.shown)


def test_share_on_objects_is_what_each_network_was_made_to_look_at(images: data.ImageSet) -> None:
    heat = Heatmaps.collect({"gaugan": known(images)}, NETWORKS, explain)
    assert heat.methods == ["guided_gradcam", "lrp"] and heat.networks == list(NETWORKS)
    table = heatmaps.focus(heat)
    assert {"seeds", "covers"} <= set(table) and table["seeds"].notna().all()  # a verdict asks for them
    rows = table[(table["method"] == "guided_gradcam") & (table["label"] == "all")]
    value = rows.set_index(["model", "seed"])["value"]
    assert value["detector", "0"] == pytest.approx(0)
    assert value["detector", "1"] == pytest.approx(1) and value["untrained", "all"] == pytest.approx(1)
    assert value["classifier", "all"] == pytest.approx(4)  # all of it on a quarter of the picture
    assert value[CONTRAST, "all"] == pytest.approx(0.5 - 4)
    assert set(table["label"]) == {"all", "real", "fake"}
    assert not len(table[(table["model"] == CONTRAST) & (table["label"] != "all")])
    assert set(table.loc[table["method"] == "edges", "model"]) == {"edges"}


def test_a_generator_without_segmentations_keeps_rows_without_a_number(images: data.ImageSet) -> None:
    subjects = {"mine": heatmaps.subject(images, data.IMAGENET), "gaugan": known(images)}
    table = heatmaps.focus(Heatmaps.collect(subjects, NETWORKS, explain))
    mine = table[table["generator"] == "mine"]
    assert mine["method"].tolist() == ["guided_gradcam", "lrp"] and mine["n"].tolist() == [0, 0]
    assert mine["value"].isna().all() and set(mine["model"]) == {CONTRAST}


def test_scenes_are_told_apart_over_all_generators(images: data.ImageSet) -> None:
    subjects = {"gaugan": known(images), "cyclegan": known(images)}
    table = heatmaps.by_scene(Heatmaps.collect(subjects, NETWORKS, explain))
    assert set(table["kind"]) == {"facade", "pebbles"} and set(table["n"]) == {2 * EACH}
    own = table[(table["kind"] == "facade") & (table["method"] == "guided_gradcam")].set_index("model")
    assert own.loc["classifier", "value"] == pytest.approx(4) and own.loc["classifier", "area"] == 0.25
    nothing = {"mine": heatmaps.subject(images, data.IMAGENET)}
    found = Heatmaps.collect(nothing, NETWORKS, explain)
    assert heatmaps.by_scene(found).empty and heatmaps.focus(found)["low"].isna().all()


def test_likeness_is_one_for_the_same_network_and_missing_for_a_constant_heatmap(
    images: data.ImageSet,
) -> None:
    heat = Heatmaps.collect({"gaugan": known(images)}, NETWORKS, explain)
    others = {"itself": [("detector", 0)], "untrained": [("untrained", 0)], "edges": [("edges", 0)]}
    single, pooled = heatmaps.likeness(heat, 0, others)
    value = pooled.set_index(["method", "other"])["value"]
    assert value["guided_gradcam", "itself"] == pytest.approx(1)
    assert np.isnan(value["guided_gradcam", "untrained"])  # it is the same everywhere
    assert abs(value["lrp", "edges"]) < 0.5
    n = pooled.set_index(["method", "other"])["n"]
    assert n["guided_gradcam", "untrained"] == 0 and n["lrp", "itself"] == 2 * EACH
    assert set(single["generator"]) == {"gaugan"} and len(single) == len(pooled)


def test_edges_are_those_of_the_picture(images: data.ImageSet) -> None:
    heat = Heatmaps.collect({"gaugan": known(images)}, NETWORKS, explain)
    own = pixels.edges(data.load(images.take([3])))[0]
    np.testing.assert_array_equal(heat.of("gaugan", "lrp", "edges", 0)[3], own)


def test_imagenet_that_is_not_there_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = heatmaps.classifier("", "resnet50", Store(tmp_path), "cpu")
    assert found.model is None and "no ImageNet weights" in found.absent
