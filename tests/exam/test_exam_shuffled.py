"""Detectors of shuffled labels: pairs that differ in the labels alone, and what they have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exam_nets import BOUNDS, shown, trained
from PIL import Image

from tff_core import detectors, lrp
from tff_core.detectors import training
from tff_core.exam import shuffled
from tff_core.exam.randomization import METHODS, Look, look
from tff_core.exam.shuffled import SHUFFLED, TRUE, UNTRAINED
from tff_core.pictures import data

SPEC = detectors.Spec("small", "exam_nets:plain")
SHORT = training.Config(n=8, epochs=12, batch_size=8, learning_rate=0.02, blur=0, jpeg=0, flip=0)


@pytest.fixture
def images(tmp_path: Path) -> data.ImageSet:
    """Reals of smooth noise, fakes that are darker."""
    for label, name in enumerate(("0_real", "1_fake")):
        (tmp_path / name).mkdir()
        pixels = ((shown(8, label) + 2) * 50 / (1 + label)).to(torch.uint8)
        for i, picture in enumerate(pixels):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{i}.png")
    return data.scan(tmp_path)


def test_labels_are_shuffled_and_nothing_else(images: data.ImageSet) -> None:
    mixed, same, other = (shuffled.shuffle(images, seed) for seed in (0, 0, 1))
    assert mixed.paths == images.paths and mixed.counts == images.counts == (8, 8)
    assert mixed.labels == same.labels != images.labels and mixed.labels != other.labels
    with pytest.raises(ValueError, match="8 pictures of one label"):
        shuffled.shuffle(images.where(label=1), 0)


@pytest.mark.slow
def test_the_networks_of_a_seed_start_alike_and_learn_their_own_labels(images: data.ImageSet) -> None:
    networks = shuffled.train(SPEC, images, 0, SHORT)
    assert list(networks) == [TRUE, SHUFFLED, UNTRAINED]
    mixed = shuffled.shuffle(images, 0)
    own = shuffled.right(networks[TRUE], images, data.IMAGENET, "cpu")
    assert own > 0.8 > shuffled.right(networks[TRUE], mixed, data.IMAGENET, "cpu")
    again = shuffled.train(SPEC, images, 0, SHORT)
    x = shown(2)
    for name, model in networks.items():
        assert not model.training and torch.equal(model(x), again[name](x))
    assert not torch.allclose(networks[TRUE](x), networks[SHUFFLED](x))
    # before the first step has had an effect, only the labels differ
    still = training.Config(
        n=8, epochs=0.5, batch_size=8, learning_rate=1e-12, weight_decay=0, blur=0, jpeg=0
    )
    start = shuffled.train(SPEC, images, 1, still)
    torch.testing.assert_close(start[TRUE].fc.weight, start[SHUFFLED].fc.weight)  # type: ignore[union-attr]
    torch.testing.assert_close(start[TRUE].fc.weight, start[UNTRAINED].fc.weight)  # type: ignore[union-attr]


def looks(seed: int) -> dict[str, Look]:
    return {
        name: look(trained(seed + i), shown(), BOUNDS) for i, name in enumerate((TRUE, SHUFFLED, UNTRAINED))
    }


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    sizes = lrp.canonize(trained(), bounds=BOUNDS).layers
    found = looks(0)
    shuffled.write(tmp_path / "s0.npz", found, sizes, {"right": 0.75})
    back, layers, facts = shuffled.read(tmp_path / "s0.npz")
    assert layers == sizes and facts == {"right": 0.75}
    for name, one in found.items():
        np.testing.assert_array_equal(back[name].shares, one.shares)
        for method in METHODS:
            np.testing.assert_allclose(back[name].heatmaps[method], one.heatmaps[method], rtol=1e-6)
    (tmp_path / "s0.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="delete it, and it is made again"):
        shuffled.read(tmp_path / "s0.npz")
    with pytest.raises(FileNotFoundError):
        shuffled.read(tmp_path / "s1.npz")


@pytest.mark.slow
def test_pairs_are_compared_within_a_seed_and_trainings_over_seeds() -> None:
    sizes = lrp.canonize(trained(), bounds=BOUNDS).layers
    one = looks(0)
    alike = dict.fromkeys(one, one[TRUE])
    table = shuffled.compare([alike, alike], sizes, 6, resamples=10)
    assert set(table["pair"]) == {
        f"{TRUE}, {SHUFFLED}", f"{TRUE}, {UNTRAINED}", f"{SHUFFLED}, {UNTRAINED}", f"{TRUE}, trained again",
    }  # fmt: skip
    np.testing.assert_allclose(table["value"], 1)
    table = shuffled.compare([one, looks(5), looks(9)], sizes, 6, resamples=10)
    counts = table.groupby("pair")["seeds"].max()
    assert (counts == 3).all() and set(table["explanation"]) == {*METHODS, "omega"}
    assert (table["low"] <= table["value"]).all() and (table["n"] == 4).all()
    single = shuffled.compare([one], sizes, 6, resamples=10)
    assert not single["pair"].str.contains("again").any() and (single["covers"] == "pictures only").all()
    with pytest.raises(ValueError, match="no training seed"):
        shuffled.compare([], sizes, 6)
