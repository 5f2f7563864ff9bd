"""What training changes at random: only what was asked for, in the published ranges, with the same draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import where
from skimage.color import rgb2lab
from torch import nn

from tff_core import localization
from tff_core.localization import training
from tff_core.localization.augmentation import PRESETS, augment, clahe
from tff_core.localization.training import Config
from tff_core.store.results import read_json

NONE = Config(flip=0)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.from_numpy(where.noise(6, 24, 32)).permute(0, 3, 1, 2)


def test_augmentations_are_those_that_were_asked_for(pixels: torch.Tensor) -> None:
    assert torch.equal(augment(pixels, torch.Generator(), NONE), pixels)
    assert torch.equal(augment(pixels, torch.Generator(), replace(NONE, flip=1)), pixels.flip(-1))
    outs = [
        augment(pixels, torch.Generator(), replace(NONE, **{name: 1.0}))
        for name in ("blur", "jpeg", "colour", "clahe")
    ]
    for i, out in enumerate(outs):
        assert all(not torch.equal(a, b) for a, b in zip(out, pixels, strict=True))
        assert out.dtype == torch.uint8 and out.shape == pixels.shape
        assert all(not torch.equal(out, other) for other in outs[:i])
    around = nn.functional.pad(pixels[:, :, 3:6, 7:10].float().mean((2, 3)), ())
    assert torch.equal(outs[0][:, :, 4, 8], around.round().to(torch.uint8))


def test_each_picture_has_its_own_chance_and_older_trainings_the_same_draws(pixels: torch.Tensor) -> None:
    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    chance = torch.rand(4, len(pixels), generator=generator())
    for place, name in enumerate(("blur", "jpeg", "colour", "flip")):
        out = augment(pixels, generator(), replace(NONE, **{name: 0.5}))
        changed = [not torch.equal(a, b) for a, b in zip(out, pixels, strict=True)]
        assert changed == (chance[place] < 0.5).tolist() and 0 < sum(changed) < 6
        # what is asked for besides leaves alone what it does not touch
        both = augment(pixels, generator(), replace(NONE, **{name: 0.5, "clahe": 1e-9}))
        assert torch.equal(out, both)
    some = augment(pixels, generator(), replace(NONE, clahe=0.5))
    assert 0 < sum(not torch.equal(a, b) for a, b in zip(some, pixels, strict=True)) < 6
    assert torch.equal(augment(pixels, generator(), Config(**PRESETS["all"])),
                       augment(pixels, generator(), Config(**PRESETS["all"])))  # fmt: skip


def test_clahe_brings_up_faint_texture_where_it_is_and_keeps_colours() -> None:
    rng = np.random.default_rng(0)
    gray = np.full((192, 192), 100.0)
    gray[:, :96] += rng.normal(0, 4, (192, 96))
    gray[:, 96:] += rng.normal(0, 40, (192, 96))
    picture = np.clip(gray[..., None] + [30, 0, -20], 0, 255).astype(np.uint8)
    before = rgb2lab(picture)
    shares = []
    for limit in (1.0, 2.0, 4.0):
        out = clahe(picture, limit)
        after = rgb2lab(out)
        faint, strong = (after[:, at, 0].std() / before[:, at, 0].std() for at in (slice(96), slice(96, 192)))
        assert faint > strong
        shares.append(faint)
        # as much lightness as before, up to colours that the screen has not
        assert abs(after[..., 0].min() - before[..., 0].min()) < 1.5
        assert abs(after[..., 0].max() - before[..., 0].max()) < 1.5
        inside = ((out > 0) & (out < 255)).all(-1) & ((picture > 0) & (picture < 255)).all(-1)
        assert np.abs(after[..., 1:] - before[..., 1:])[inside].mean() < 1.5
    assert 1 < shares[0] < 1.2 < shares[1] < shares[2]  # an even share is no room for any change


def test_clahe_leaves_flat_pictures_and_takes_small_ones() -> None:
    flat = np.full((20, 20, 3), (9, 200, 77), dtype=np.uint8)
    assert np.array_equal(clahe(flat, 4.0), flat)
    for shape in ((1, 1, 3), (3, 50, 3), (9, 9, 3)):
        out = clahe(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8), 2.0)
        assert out.shape == shape and out.dtype == np.uint8


def test_presets_are_settings_and_an_unused_chance_does_not_name_a_training_anew(tmp_path: Path) -> None:
    for chosen in PRESETS.values():
        Config(**chosen)
    assert PRESETS["all"].keys() == {"blur", "jpeg", "colour", "clahe"}
    assert "clahe" not in Config().identity() and Config(clahe=0.5).identity()["clahe"] == 0.5
    assert Config(checkpoint_steps=3).identity() == Config().identity() != Config(blur=0.1).identity()
    sets = where.folder(tmp_path / "t", 8, (32, 32), 1), where.folder(tmp_path / "v", 4, (32, 32), 2)
    settings = Config(init="kaiming", batch_size=8, max_epochs=2, **PRESETS["all"])
    path = training.train(
        "widenet_kw3_d1", *sets, tmp_path / "x.safetensors", settings, device="cpu", progress=False
    )
    assert read_json(path.with_suffix(".json"))["identity"]["settings"]["clahe"] == 0.5
    assert localization.load(path).name == "widenet_kw3_d1"
