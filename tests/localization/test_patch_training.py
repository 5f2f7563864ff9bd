"""Training patch classifiers: the recipe, the same bits after an interruption, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import where
from PIL import Image
from torch import nn

from tff_core import localization
from tff_core.localization import evaluation, training, weights
from tff_core.localization.training import Config
from tff_core.pictures import data
from tff_core.store import results

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = Config(
    init="kaiming", batch_size=8, max_epochs=3, fine=32, crop="random", blur=0.3, jpeg=0.3, colour=0.3,
    checkpoint_steps=2, policy="plateau", patience=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[data.ImageSet, data.ImageSet]:
    root = tmp_path_factory.mktemp("sets")
    return where.folder(root / "train", 12, (40, 40), 1), where.folder(root / "val", 4, (40, 40), 2)


def run(
    sets: tuple[data.ImageSet, data.ImageSet], path: Path, settings: Config = SETTINGS, **more: object
) -> Path:
    options = {"device": "cpu", "progress": False, **more}
    return training.train("xception_block1", *sets, path, settings, **options)  # type: ignore[arg-type]


def same(a: Path, b: Path) -> bool:
    one, two = (localization.load(path).state_dict() for path in (a, b))
    return all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.slow
@pytest.mark.parametrize("fake_class", [0, 1])
def test_it_learns_where_the_trace_is_and_carries_its_label_order(
    sets: tuple[data.ImageSet, data.ImageSet], tmp_path: Path, fake_class: int
) -> None:
    settings = Config(init="kaiming", batch_size=8, max_epochs=12)
    path = run(sets, tmp_path / "x.safetensors", settings, fake_class=fake_class)
    net = localization.load(path)
    assert net.fake_class == fake_class and not (tmp_path / "x.part.pt").exists()
    found = evaluation.evaluate(net, sets[1])
    assert found.table["ap"].min() > 0.9 and found.warning == ""
    info = results.read_json(path.with_suffix(".json"))
    history = info["history"]["validation"]
    best = max(history, key=lambda one: one["cells_right"])
    assert info["best"] == {"epoch": best["epoch"], "cells_right": best["cells_right"]}
    # the kept weights are those of the best epoch
    again = training.validate(net, sets[1], settings.preparation, "cpu")
    assert again["cells_right"] == pytest.approx(best["cells_right"])
    patch = found.table.set_index("ensemble").loc["patch", "accuracy"]
    assert patch == pytest.approx(best["cells_right"])
    assert weights.preparation(path) == settings.preparation


@pytest.mark.slow
def test_an_interrupted_training_ends_in_the_same_bits(
    sets: tuple[data.ImageSet, data.ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(sets, tmp_path / "whole.safetensors")
    step = training._Run._one_step
    for stop in (1, 4, 7):  # in the first epoch, behind a checkpoint, in the last
        calls = iter(range(100))

        def dies(self: training._Run, calls=calls, stop=stop) -> float:  # type: ignore[no-untyped-def]
            if next(calls) == stop:
                raise KeyboardInterrupt
            return step(self)

        monkeypatch.setattr(training._Run, "_one_step", dies)
        path = tmp_path / f"{stop}.safetensors"
        torch.manual_seed(stop)
        with pytest.raises(KeyboardInterrupt):
            run(sets, path)
        assert not path.exists() and (tmp_path / f"{stop}.part.pt").exists() == (stop > 1)
        monkeypatch.setattr(training._Run, "_one_step", step)
        assert same(whole, run(sets, path))
    stamp = whole.stat().st_mtime_ns
    assert run(sets, whole).stat().st_mtime_ns == stamp  # finished work is not redone
    assert not same(whole, run(sets, tmp_path / "other.safetensors", seed=1))
    whole.write_bytes(whole.read_bytes()[:-5])
    assert same(run(sets, whole), tmp_path / "7.safetensors")  # damaged: trained again
    (tmp_path / "broken.part.pt").write_bytes(b"PK\x03\x04 not whole")
    with pytest.raises(ValueError, match=r"broken\.part\.pt is damaged.*and was deleted"):
        run(sets, tmp_path / "broken.safetensors")


def test_batches_are_balanced_pairs_and_every_cell_has_its_label(
    sets: tuple[data.ImageSet, data.ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sets[0].take([*range(12), 12, 13, 14])  # twelve reals, three fakes
    targets, pairs = [], []
    loss, together = nn.functional.cross_entropy, training._Run._together

    def watch(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        targets.append(target)
        return loss(out, target)

    def seen(self: training._Run, chosen: list[int], generator: torch.Generator) -> torch.Tensor:
        pairs.append(chosen)
        return together(self, chosen, generator)

    monkeypatch.setattr(nn.functional, "cross_entropy", watch)
    monkeypatch.setattr(training._Run, "_together", seen)
    run((few, sets[1]), tmp_path / "x.safetensors", Config(batch_size=8, max_epochs=1))
    assert len(targets) == 3  # an epoch is as long as the larger class
    cells = localization.map_size("xception_block1", (40, 40))
    for target, chosen in zip(targets, pairs, strict=True):
        assert target.shape == (8, *cells) and (target[:4] == 1).all() and (target[4:] == 0).all()
        assert [12 + real % 3 for real in chosen[:4]] == chosen[4:]
    assert sorted(i for chosen in pairs for i in chosen[:4]) == list(range(12))


@pytest.mark.slow
def test_the_end_comes_after_five_times_the_patience(
    sets: tuple[data.ImageSet, data.ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.5, 0.6, 0.6, *[0.4] * 50])

    def pretend(*_: object) -> dict[str, float]:
        return {"cells_right": next(values), "voted": 0.5, "averaged": 0.5}

    monkeypatch.setattr(training, "validate", pretend)
    settings = Config(batch_size=24, max_epochs=99, patience=2, policy="plateau")
    info = results.read_json(run(sets, tmp_path / "x.safetensors", settings).with_suffix(".json"))
    assert info["best"]["epoch"] == 2 and info["epochs"] == 2 + 5 * 2 + 1
    assert [training.patience(f"xception_block{i}") for i in (1, 2, 3)] == [50, 20, 10]
    assert training.patience("resnet18_layer1") == 10
    monkeypatch.setattr(training, "validate", lambda *_: {"cells_right": 1.0, "voted": 1.0, "averaged": 1.0})
    info = results.read_json(run(sets, tmp_path / "y.safetensors", settings).with_suffix(".json"))
    assert info["epochs"] == 1


@pytest.mark.parametrize("crop", training.CROPS)
@pytest.mark.parametrize("size", [(40, 40), (33, 51)])
def test_crops_have_their_size_and_random_ones_move(crop: str, size: tuple[int, int]) -> None:
    pixels = torch.from_numpy(where.noise(1, *size)[0]).permute(2, 0, 1)
    settings = Config(fine=32, crop=crop)
    one, two = (training._cropped(pixels, torch.Generator().manual_seed(seed), settings) for seed in (1, 2))
    assert one.shape == two.shape == (3, 32, 32) and one.dtype == torch.uint8
    assert torch.equal(one, two) == (crop == "centre")
    if crop == "random":
        windows = pixels.unfold(1, 32, 1).unfold(2, 32, 1)
        assert (windows == one[:, None, None]).all(-1).all(-1).all(0).any()


def test_what_cannot_be_trained_is_one_sentence(
    sets: tuple[data.ImageSet, data.ImageSet], tmp_path: Path
) -> None:
    reals = sets[0].where(label=0)
    with pytest.raises(ValueError, match=r"12 reals and 0 fakes for training; expected some of each"):
        run((reals, sets[1]), tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"for validation; expected some of each class"):
        run((sets[0], sets[1].where(label=1)), tmp_path / "x.safetensors")
    odd = where.folder(tmp_path / "odd", 4, (40, 40))
    Image.fromarray(where.noise(1, 44, 60)[0]).save(odd.paths[5])
    with pytest.raises(ValueError, match=r"expected pictures of one size; choose crops"):
        run((odd, sets[1]), tmp_path / "x.safetensors", Config(batch_size=8))
    with pytest.raises(ValueError, match=r"40x40 pixels is smaller than the crops of 48"):
        run(sets, tmp_path / "x.safetensors", Config(batch_size=8, fine=48))
    with pytest.raises(FloatingPointError, match=r"lower the learning rate"):
        run(sets, tmp_path / "x.safetensors", replace(SETTINGS, learning_rate=1e30))
    for changes in ({"crop": "none"}, {"crop": "random"}, {"batch_size": 7}, {"load": 20, "fine": 30},
                    {"policy": "x"}, {"patience": 0}, {"init": "xavier"}, {"clahe": 1.5},
                    {"blur": -0.1}):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            Config(**changes)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_log_needs_tensorboard_and_gets_every_number(
    sets: tuple[data.ImageSet, data.ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, float, int]] = []

    class Writer:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def close(self) -> None:
            told.append(("closed", 0, 0))

    real = training._writer
    if not _installed():
        with pytest.raises(ImportError, match=r"needs the package tensorboard: install it"):
            run(sets, tmp_path / "x.safetensors", log=tmp_path / "log")
    monkeypatch.setattr(training, "_writer", lambda log: Writer() if log else real(log))
    path = run(sets, tmp_path / "x.safetensors", log=tmp_path / "log")
    history = results.read_json(path.with_suffix(".json"))["history"]
    assert [value for name, value, _ in told if name == "loss"] == history["loss"]
    cells = [value for name, value, _ in told if name == "validation/cells_right"]
    assert cells == [one["cells_right"] for one in history["validation"]] and told[-1][0] == "closed"
    assert np.isfinite(history["loss"]).all()


def _installed() -> bool:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        return False
    return True
