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
    assert found.splits["split"].sum() == len(sizes) - 1
    asked = found.splits
    assert asked["pictures"][0] == len(x)
    np.testing.assert_allclose(asked["level"], 0.05 * (asked["pictures"] - 1) / (len(x) - 1))


def test_one_normal_distribution_is_parted_as_rarely_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    shapes = rng.uniform(0.2, 5, size=(60, 1, 6))
    found = [discovery.cluster(rng.normal(size=(50, 6)) * shape, draws=50, seed=0) for shape in shapes]
    assert np.mean([one.count > 1 for one in found]) <= 0.05
    assert all(0 < one.splits["p"][0] <= 1 for one in found)


def test_the_index_is_the_share_within_the_two_parts() -> None:
    x = np.array([[0.0], [2.0], [10.0], [13.0]])
    row, second = discovery._parted(x, 5, np.random.default_rng(0))
    assert second.tolist() in ([False, False, True, True], [True, True, False, False])
    total = np.square(x - x.mean()).sum()
    assert row["index"] == pytest.approx((2 * 1 + 2 * 1.5**2) / total) and row["smaller"] == 2


def test_groups_depend_neither_on_units_nor_on_the_order_of_pictures() -> None:
    x, _ = clouds(40, 30, 20)
    units = 10.0 ** np.arange(-5, 25)
    found = discovery.cluster(x)
    scaled = discovery.cluster(x * units + units)
    assert found.group.tolist() == scaled.group.tolist()
    order = np.random.default_rng(0).permutation(len(x))
    assert adjusted_rand_score(discovery.cluster(x[order]).group, found.group[order]) == 1


def test_what_differs_within_known_sources_parts_no_pictures() -> None:
    """The first feature tells what pictures show (three motifs), the second which source made them."""
    rng = np.random.default_rng(0)

    def pictures(n: int, trace: float) -> np.ndarray:
        motif = rng.integers(0, 3, n) * 10.0
        return np.stack([motif + rng.normal(size=n), trace + rng.normal(size=n) / 10], 1)

    known = np.concatenate([pictures(100, 0.0), pictures(100, 1.0)])
    of = np.repeat([0, 1], 100)
    new = np.concatenate([pictures(60, 3.0), pictures(50, 5.0)])
    truth = np.repeat([0, 1], [60, 50])
    found = discovery.cluster(new, known, of)
    assert found.count == 2 and adjusted_rand_score(truth, found.group) == 1
    assert discovery.cluster(new[:60], known, of).count == 1
    # measured by all their differences, motifs are groups, too
    assert adjusted_rand_score(truth, discovery.cluster(new, known).group) < 0.5


def test_pictures_that_are_all_the_same_are_one_group_and_few_are_not_asked_about() -> None:
    same = discovery.cluster(np.ones((12, 4)))
    assert same.count == 1 and same.splits["p"].tolist() == [1.0]
    x, _ = clouds(4, 5, apart=60)
    few = discovery.cluster(x)
    assert few.count == 1 and few.splits.empty
    assert discovery.cluster(x, smallest=6).count == 2


@pytest.mark.parametrize(
    ("x", "more", "told"),
    [
        (np.zeros((2, 3)), {}, "of 3 to 5000 pictures"),
        (np.zeros(5), {}, r"expected \(n, F\)"),
        (np.full((5, 3), np.nan), {}, "not finite"),
        (np.zeros((5, 3)), {"reference": np.zeros((5, 2))}, r"expected \(m, 3\)"),
        (
            np.zeros((5, 3)),
            {"reference": np.zeros((5, 3)), "of": [1]},
            "sources of 1 pictures for a reference",
        ),
        (np.zeros((5, 3)), {"of": [1] * 5}, "expected one for each"),
        (np.zeros((5, 3)), {"level": 0}, "expected a level between 0 and 1"),
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
