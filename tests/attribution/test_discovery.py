"""New sources among rejected pictures: groups that are there are found, and none where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import adjusted_rand_score
from who import network

from tff_core.attribution import discovery, inputs
from tff_core.pictures import data


def clouds(*sizes: int, apart: float = 12.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normal clouds in 30 dimensions, ``apart`` deviations from the origin; and which cloud a point is of."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), 30))
    centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return centres[truth] + rng.normal(size=(len(truth), 30)), truth


@pytest.mark.parametrize("sizes", [(80,), (60, 50), (50, 40, 30, 20)], ids=len)
@pytest.mark.parametrize("seed", range(3))
def test_as_many_groups_are_found_as_there_are(sizes: tuple[int, ...], seed: int) -> None:
    x, truth = clouds(*sizes, seed=seed)
    found = discovery.cluster(x, seed=seed)
    assert found.count == len(sizes) and adjusted_rand_score(truth, found.group) > 0.95
    assert np.bincount(found.group).tolist() == sorted(np.bincount(found.group), reverse=True)
    assert found.gaps["groups"].tolist() == list(range(1, 22))


def test_groups_depend_neither_on_units_nor_on_the_order_of_pictures() -> None:
    x, _ = clouds(40, 30, 20)
    units = 10.0 ** np.arange(30)
    found = discovery.cluster(x)
    scaled = discovery.cluster(x * units + units)
    assert found.group.tolist() == scaled.group.tolist()
    order = np.random.default_rng(0).permutation(len(x))
    assert adjusted_rand_score(discovery.cluster(x[order]).group, found.group[order]) == 1


def test_known_sources_say_what_is_a_large_difference() -> None:
    """A direction in which known sources vary much is no reason to part pictures."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    x[:30, 0] += 300
    assert discovery.cluster(x, rng.normal(size=(100, 5))).count == 2
    assert discovery.cluster(x, rng.normal(size=(100, 5)) * [10_000, 1, 1, 1, 1]).count == 1


def test_pictures_that_are_all_the_same_are_one_group() -> None:
    assert discovery.cluster(np.ones((10, 4))).count == 1


@pytest.mark.parametrize(
    ("x", "more", "told"),
    [
        (np.zeros((2, 3)), {}, "of 3 to 10000 pictures"),
        (np.zeros(5), {}, r"expected \(n, F\)"),
        (np.full((5, 3), np.nan), {}, "not finite"),
        (np.zeros((5, 3)), {"reference": np.zeros((5, 2))}, r"expected \(m, 3\)"),
        (np.zeros((5, 3)), {"largest": 0}, "expected at least 1 and 2"),
    ],
)
def test_what_cannot_be_grouped_is_refused(x: np.ndarray, more: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        discovery.cluster(x, **more)


def test_agreement_is_scikit_learns_at_every_level_with_a_jackknifed_interval() -> None:
    rng = np.random.default_rng(0)
    truth = [f"{family}.{seed}" for family in "ab" for seed in (1, 2) for _ in range(12)]
    group = np.where(rng.random(48) < 0.8, np.repeat([0, 1], 24), rng.integers(0, 3, 48))
    family = {name: name[0] for name in truth}
    table = discovery.agreement(group, truth, {"seed": None, "family": family}).set_index("level")
    for level, labels in (("seed", truth), ("family", [family[name] for name in truth])):
        row, labels = table.loc[level], np.array(labels)
        assert row["ari"] == pytest.approx(adjusted_rand_score(labels, group))
        left = [adjusted_rand_score(np.delete(labels, i), np.delete(group, i)) for i in range(48)]
        reach = 1.959964 * np.sqrt(47 / 48 * np.square(np.array(left) - np.mean(left)).sum())
        assert row["high"] - row["ari"] == pytest.approx(reach) and row["n"] == 48
    assert table["sources"].tolist() == [4, 2] and table["groups"].tolist() == [3, 3]
    same = discovery.agreement([0, 0, 1], ["a", "a", "b"], {"seed": None}).iloc[0]
    assert same["ari"] == same["low"] == same["high"] == 1
    with pytest.raises(ValueError, match="b has no level"):
        discovery.agreement([0, 1], ["a", "b"], {"family": {"a": "x"}})
    with pytest.raises(ValueError, match="2 groups for 1 pictures"):
        discovery.agreement([0, 1], ["a"], {"seed": None})


def drawn(folder: Path, n: int, size: int = 64) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_features_are_what_the_heads_are_given(kind: str, tmp_path: Path) -> None:
    net, paths = network(kind), drawn(tmp_path, 5)
    x = torch.stack([data.read(path) for path in paths])
    statistics = inputs.measure([x]) if kind == "dct" else None
    found = discovery.features(net, paths, statistics, batch_size=2)
    seen = inputs.seen(x, statistics)
    with torch.no_grad():
        for i, source in enumerate((None, 0, 1)):
            task = net.task(source)
            maps = task.after(task.before(seen)).double()
            if kind == "pixel":
                expected = maps.mean((2, 3))
            else:
                expected = maps.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5)).flatten(1)
            width = expected.shape[1]
            np.testing.assert_allclose(found[:, i * width : (i + 1) * width], expected, rtol=1e-4, atol=1e-5)
    assert found.shape == (5, 3 * 32 * (1 if kind == "pixel" else 16))


def test_a_picture_that_has_no_features_is_named(tmp_path: Path) -> None:
    paths = drawn(tmp_path, 1, size=72)
    with pytest.raises(data.PictureError, match=r"0.png: 72x72 pixels: the network takes 64x64"):
        discovery.features(network(), paths)
    assert discovery.features(network(), paths, fit="crop").shape == (1, 96)
    with pytest.raises(ValueError, match="no pictures"):
        discovery.features(network(), [])
    with pytest.raises(ValueError, match="expected the statistics"):
        discovery.features(network("dct"), paths)
