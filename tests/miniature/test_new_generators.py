"""The two generators outside the grid: sampled by name, from weights that a reader trains, and then added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from interruptions import interrupted
from PIL import Image

from tff_core.cli.__main__ import main as tff
from tff_core.miniature import __main__ as command
from tff_core.miniature import camera, generators, scenes
from tff_core.miniature.generators import FAMILIES, NEW
from tff_core.miniature.inputs import Batch
from tff_core.miniature.learning import Settings
from tff_core.miniature.sample import WITH_CLASSES, layouts, place, sample, weights
from tff_core.miniature.train import train, usual
from tff_core.pictures import data
from tff_core.store.results import Store

ROOT = Path(__file__).parents[2]
TINY = Settings(steps=1, batch=4, pictures=16, size=16)

# one worker makes the pictures and networks for all
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("new generators")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with weights of both, after one step."""
    out = tmp_path_factory.mktemp("weights")
    store = Store(tmp_path_factory.mktemp("store"))
    for family in NEW:
        for name in generators.SHIPPED[family]["test"]:
            train(family, 1, out / name, TINY, store=store, progress=False)
    return out


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.setattr(generators, "WEIGHTS", trained)


def _pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_nothing_of_the_grid_knows_them():
    config = yaml.safe_load((ROOT / "workflow" / "config.yaml").read_text())
    for family in NEW:
        assert family not in FAMILIES and family not in data.GENERATORS
        assert family not in config["generators"] and family not in config["added"]
        for part in ("train", "val"):
            with pytest.raises(ValueError, match=f"part '{part}' holds ProGAN only.*ask for part 'test'"):
                weights(part, family)


@pytest.mark.parametrize("family", NEW)
def test_missing_weights_are_named_with_the_command_that_trains_them(family, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generators, "WEIGHTS", tmp_path)
    out = ["--part", "test", "--generator", family, "--out", str(tmp_path / "out")]
    assert command.main(["--quiet", "sample", *out]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{family}.s109.safetensors" in said
    assert f"train them with `python -m tff_core.miniature train-generator {family} --seed 109`" in said
    assert "git checkout" not in said and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("family", NEW)
def test_a_folder_of_them_is_like_every_other(family, tmp_path, here):
    assert family not in WITH_CLASSES
    manifest = sample("test", family, tmp_path, 5, size=16, progress=False)
    assert manifest["counts"] == {"real": 5, "fake": 5} and manifest["config"]["generator"] == family
    found = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert set(found) == {tmp_path / kind / f"{i:05d}.png" for kind in data.LABELS for i in range(5)}
    place(tmp_path, family, 1, 2).unlink()
    sample("test", family, tmp_path, 5, size=16, progress=False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == found


@pytest.mark.slow
def test_a_fake_of_the_autoencoder_is_its_source_scene_rebuilt(tmp_path, here):
    sample("test", "autoencoder", tmp_path, 4, seed=2, size=16, progress=False)
    sources = [
        camera.take("test-source", c, 0, 2, 16, "autoencoder", camera.EDITION_2) for c in scenes.CLASSES
    ]
    model, _ = generators.load(weights("test", "autoencoder")[0])
    batch = Batch.of(sources)
    with torch.inference_mode():
        expected = model.decode(model.encode(batch.images).mean)
    images = data.scan(tmp_path).where(label=1)
    for i, (path, scene) in enumerate(zip(images.paths, layouts(images), strict=True)):
        shown = (expected[i].clamp(-1, 1) + 1) * 127.5
        assert np.abs(_pixels(path).transpose(2, 0, 1) - shown.numpy()).max() <= 0.51
        assert np.array_equal(scene.segments, sources[i].segments)


@pytest.mark.slow
def test_a_fake_of_the_diffusion_model_depends_on_its_number_alone(tmp_path, here):
    sample("test", "diffusion", tmp_path / "few", 2, size=16, progress=False)
    sample("test", "diffusion", tmp_path / "more", 6, size=16, progress=False)
    for i in range(2):
        few, more = (
            _pixels(place(tmp_path / name, "diffusion", 1, i)).astype(int) for name in ("few", "more")
        )
        assert np.abs(few - more).max() <= 2  # sums of another batch round differently
    images = data.scan(tmp_path / "more").where(label=1)
    assert layouts(images) == [None] * 6


@pytest.mark.slow
@pytest.mark.parametrize("family", NEW)
def test_an_interrupted_training_ends_where_an_unbroken_one_does(family, tmp_path):
    store, settings = Store(tmp_path), Settings(steps=3, batch=4, pictures=16, size=16)
    whole = train(family, 3, tmp_path / "whole.safetensors", settings, store=store, progress=False)
    out = tmp_path / "broken.safetensors"
    with interrupted(3):
        train(family, 3, out, settings, store=store, progress=False, checkpoint_every=1)
    train(family, 3, out, settings, store=store, progress=False)
    first, second = generators.load(whole)[0].state_dict(), generators.load(out)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert generators.load(out)[1]["family"] == family


def test_their_own_settings():
    assert usual("diffusion").batch == 32 and usual("diffusion", steps=7).steps == 7
    assert usual("progan") == Settings()
    with pytest.raises(ValueError, match=r"unknown generator 'vqgan': expected one of progan, .*autoencoder"):
        usual("vqgan")


@pytest.mark.slow
def test_a_folder_of_them_can_be_added_to_the_book(tmp_path, here, monkeypatch):
    """What the tutorial does: sample, then `tff add`."""
    project = tmp_path / "project"
    (project / "workflow").mkdir(parents=True)
    (project / "notebooks").mkdir()
    (project / "workflow" / "config.yaml").write_bytes((ROOT / "workflow" / "config.yaml").read_bytes())
    sample("test", "autoencoder", tmp_path / "pictures", 4, progress=False)
    monkeypatch.chdir(project)
    assert tff(["add", "autoencoder", str(tmp_path / "pictures")]) == 0
    local = yaml.safe_load((project / "workflow" / "config.local.yaml").read_text())
    assert local["added"] == ["autoencoder"]
