"""Detectors trained elsewhere: refused unless they are detectors, and calibrated on what they see."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import pictures, tiny
from torch import nn

from tff_core import detectors, metrics
from tff_core.detectors import adoption
from tff_core.pictures import data
from tff_core.store import results


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> results.Store:
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny))
    made = results.Store(tmp_path / "build")
    pictures(made.data("miniature", "val", "progan"), 12, seed=1)
    return made


def published(path: Path, model: nn.Module) -> Path:
    """A checkpoint as Wang et al. publish it, of several GPUs."""
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"model": state, "optimizer": {"state": {}, "param_groups": []}, "total_steps": 400}, path)
    return path


def brightness() -> nn.Module:
    """A network whose logit is the mean of the red channel, as it gets it."""
    model = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
    for value in model.parameters():
        value.data.zero_()
    model[0].weight.data[0, 0] = 1
    model[3].weight.data.fill_(1)
    return model


def two_logits() -> nn.Module:
    return tiny(2)


def unruly() -> nn.Module:
    return nn.Sequential(tiny(), nn.Tanh())


def test_a_detector_trained_elsewhere_is_taken_in(store: results.Store, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = published(tmp_path / "theirs.pth", tiny())
    shape = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    entry = {"weights": str(weights), "arch": "tiny", "k": 3, "preprocessing": shape}
    path = adoption.adopt("theirs", entry, store, device="cpu")
    assert path == store.detector("theirs", 0)
    known = detectors.get("theirs", store)
    assert known.external and known.k == 3 and known.preprocessing == data.Preprocessing.of(shape)
    taken = detectors.load("theirs", 0, store)
    images = data.scan(store.data("miniature", "val", "progan"))
    logits = detectors.logits(taken.model, data.batches(images, 5, preprocessing=known.preprocessing))
    # the calibration saw the pictures as the detector wants them
    assert taken.threshold == metrics.gmean_threshold(np.array(images.labels), logits)
    assert taken.info["validation"]["n_real"] == 12 and taken.info["n_train"] is None
    before = path.stat().st_mtime_ns
    assert adoption.adopt("theirs", entry, store, device="cpu") == path
    assert path.stat().st_mtime_ns == before, "it was there"
    adoption.adopt("theirs", entry | {"k": 2}, store, device="cpu")
    assert detectors.get("theirs", store).k == 2
    with pytest.raises(FileNotFoundError, match="has the seed 0 alone and is taken in with: make"):
        detectors.load("theirs", 1, store)
    with pytest.raises(ValueError, match=r"no detector is called 'ours'; expected one of .*theirs"):
        detectors.get("ours", store)


def test_its_preprocessing_reaches_the_network(store: results.Store, tmp_path: Path) -> None:
    weights = published(tmp_path / "red.pth", brightness())
    arch = f"{__name__}:brightness"
    entry = {
        "weights": str(weights),
        "arch": arch,
        "k": 1,
        "preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 1]},
    }
    adoption.adopt("red", entry, store, device="cpu")
    taken = detectors.load("red", 0, store)
    images = data.scan(store.data("miniature", "val", "progan"))
    found = detectors.logits(taken.model, data.batches(images, 4, preprocessing=taken.spec.preprocessing))
    np.testing.assert_allclose(found, data.load(images)[:, 0].float().mean((1, 2)) / 255, rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (two_logits, r"answers one picture with the shape \(1, 2\); expected \(1, 1\)"),
        (unruly, "ends in a tanh, .*expected the logit before it"),
    ],
)
def test_a_network_that_is_no_detector_is_refused_before_anything_is_written(
    network: Callable[[], nn.Module], complaint: str, store: results.Store, tmp_path: Path
) -> None:
    weights = published(tmp_path / "theirs.pth", network())
    entry = {"weights": str(weights), "arch": f"{__name__}:{network.__name__}", "k": 3}
    with pytest.raises(ValueError, match=f"external detector 'theirs': .*{complaint}"):
        adoption.adopt("theirs", entry, store, device="cpu")
    assert not store.detector("theirs", 0).parent.exists()


def test_the_weights_of_another_network_are_refused(store: results.Store, tmp_path: Path) -> None:
    weights = published(tmp_path / "theirs.pth", brightness())
    entry = {"weights": str(weights), "arch": f"{__name__}:two_logits", "k": 3}
    with pytest.raises(detectors.WeightsError, match="holds the weights of another network"):
        adoption.adopt("theirs", entry, store, device="cpu")
    with pytest.raises(FileNotFoundError, match=r"sources: \{progan: \{val: FOLDER\}\}"):
        adoption.adopt("theirs", entry, store, dataset="forensynths", device="cpu")
