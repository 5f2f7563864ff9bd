"""Spliced pictures: fake exactly where the mask says, the same whoever made them and however often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tff_core.miniature import camera, generators, splices
from tff_core.miniature.inversions import invert
from tff_core.miniature.sample import digest, fakes, model_of, scene_of, weights
from tff_core.pictures.data import MANIFEST


def read(folder: Path, kind: str) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / kind).glob("*.png"))])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("splices") / "gaugan"
    splices.splice("test", "gaugan", out, 5, 3, progress=False)
    return out


@pytest.mark.slow
def test_a_picture_is_fake_where_its_mask_says_and_real_elsewhere(made: Path) -> None:
    images, masks = read(made, "image"), read(made, "mask")
    assert len(images) == len(masks) == 8 and set(np.unique(masks)) == {0, 255}
    assert not masks[5:].any()
    areas = (masks[:5] == 255).mean((1, 2))
    assert areas.min() >= splices.AREA[0] and areas.max() <= splices.AREA[1]
    models = [generators.load(path)[0] for path in weights("test", "gaugan")]  # in turn
    own = [
        fakes(model, "test", "gaugan", list(range(5)), 0, 64, camera.EDITION_2, "gaugan-splices")
        for model in models
    ]
    whole = [own[model_of(i, len(models))][i] for i in range(5)]
    for i in range(5):
        scene = camera.take("test-source", *scene_of(i), 0, 64, "gaugan-splices", camera.EDITION_2)
        fake = masks[i] == 255
        assert np.array_equal(images[i][fake], whole[i][fake])
        assert np.array_equal(images[i][~fake], scene.pixels[~fake])
        assert not np.array_equal(whole[i][fake], scene.pixels[fake])
    authentic = camera.take("test", *scene_of(6), 0, 64, "gaugan-splices", camera.EDITION_2)
    assert np.array_equal(images[6], authentic.pixels)


@pytest.mark.slow
def test_a_folder_that_was_interrupted_is_completed_to_the_same_bytes(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "gaugan"
    whole = splices.splice("test", "gaugan", made, 5, 3, progress=False)
    assert splices.splice("test", "gaugan", out, 5, 3, progress=False) == whole
    (out / MANIFEST).unlink()
    (out / "mask" / "00001.png").unlink()
    (out / "image" / "00006.png").write_bytes(b"half")
    kept = (out / "image" / "00002.png").stat().st_mtime_ns
    assert splices.splice("test", "gaugan", out, 5, 3, progress=False) == whole
    assert (out / "image" / "00002.png").stat().st_mtime_ns == kept
    assert all(digest(out / name) == told for name, told in whole["files"].items())


def test_fewer_pictures_remove_the_last(tmp_path: Path) -> None:
    splices.splice("test", "gaugan", tmp_path, 1, 2, progress=False)
    (tmp_path / "image" / "notes.txt").write_text("mine")
    whole = splices.splice("test", "gaugan", tmp_path, 1, 1, progress=False)
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert there == set(whole["files"]) and len(there) == 4
    assert (tmp_path / "image" / "notes.txt").is_file()


def test_a_family_that_blends_scenes_gives_a_region_of_another_one(tmp_path: Path) -> None:
    splices.splice("val", "progan", tmp_path / "p", 1, 0, progress=False)
    image, mask = read(tmp_path / "p", "image")[0], read(tmp_path / "p", "mask")[0] == 255
    scene = camera.take("val", *scene_of(0), 0, 64, "progan-splices", camera.EDITION_2).pixels
    assert np.array_equal(image[~mask], scene[~mask]) and not np.array_equal(image[mask], scene[mask])


def test_an_autoencoder_makes_a_region_of_the_photograph_anew(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tmp_path / "autoencoder.s1.safetensors"
    generators.save(generators.build("autoencoder"), model, {"family": "autoencoder"})
    splices.splice("test", "autoencoder", tmp_path / "a", 3, 1, progress=False, models=[model])
    images, masks = read(tmp_path / "a", "image"), read(tmp_path / "a", "mask") == 255
    assert masks[:3].any((1, 2)).all() and not masks[3].any()
    scenes = [
        camera.take("test-source", *scene_of(i), 0, 64, "autoencoder-splices", camera.EDITION_2)
        for i in range(3)
    ]
    for i, scene in enumerate(scenes):
        Image.fromarray(scene.pixels).save(tmp_path / f"{i}.png")
    again = invert([tmp_path / f"{i}.png" for i in range(3)], tmp_path / "whole", model, progress=False)
    for scene, path, image, mask in zip(scenes, again, images[:3], masks[:3], strict=True):
        whole = np.asarray(Image.open(path))
        assert np.array_equal(image[mask], whole[mask]) and np.array_equal(image[~mask], scene.pixels[~mask])
        assert (whole[mask] != scene.pixels[mask]).any(1).mean() > 0.9


def test_regions_are_of_all_sizes_and_everywhere() -> None:
    rng = np.random.default_rng(0)
    regions = np.stack([splices.region(rng, 48) for _ in range(300)])
    areas = regions.mean((1, 2))
    assert areas.min() < 0.06 and areas.max() > 0.35
    covered = regions.mean(0)
    assert covered.min() > 0.03 and covered.max() < 0.35


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("test", "gaugan", 0), "0 spliced and 0 authentic pictures"),
        (("test", "gaugan", 2, -1), "expected 1 and 0 at least"),
        (("night", "gaugan", 2), "unknown part 'night'"),
        (("test", "nogan", 2), "nogan"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, str, int], complaint: str, tmp_path: Path
) -> None:
    part, generator, *counts = arguments
    with pytest.raises(ValueError, match=complaint):
        splices.splice(part, generator, tmp_path / "out", *counts)
    assert not (tmp_path / "out").exists()


def test_pictures_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "image" / "00000.png")
    with pytest.raises(ValueError, match="was not made by the miniature"):
        splices.splice("test", "gaugan", tmp_path, 1, progress=False)
