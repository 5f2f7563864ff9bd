"""Networks side by side: AP by source as scikit-learn has it, pairs of seeds, plain ones for every seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score
from who import network, randomised

from tff_core import attribution
from tff_core.attribution import comparison, inputs, sources, weights
from tff_core.attribution.answers import REAL, UNREADABLE
from tff_core.attribution.sources import Pictures
from tff_core.store.results import Store


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for i in range(12):
        paths.append(folder / f"{i:02d}.png")
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(paths[-1])
    return Pictures(tuple(paths), (sources.REAL,) * 4 + (0,) * 3 + (1,) * 3 + (2,) * 2, ("a", "b", "new"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two seeds of two networks that know a and b, and a plain one."""
    found = Store(tmp_path_factory.mktemp("build"))
    for seed in (0, 1):
        weights.save(
            network("pixel", sources=("a", "b"), seed=seed).eval(), found.attributor("modules_pixel", seed)
        )
        one = randomised(attribution.baseline("notl", "pixel", 64, names=("a", "b")), 5 + seed).eval()
        weights.save(one, found.attributor("notl_pixel", seed))  # type: ignore[arg-type]
    plain = randomised(attribution.baseline("logistic", "dct", 64, names=("a", "b"))).eval()
    statistics = inputs.Statistics(np.zeros((64, 64)), np.ones((64, 64)), 2)
    weights.save(plain, found.attributor("logistic_dct", 0), statistics)  # type: ignore[arg-type]
    return found


@pytest.fixture(scope="module")
def asked(store: Store, images: Pictures) -> comparison.Asked:
    files = comparison.files(store, ["modules_pixel", "notl_pixel", "logistic_dct"], [0, 1])
    assert [path.name for path in files["logistic_dct"]] == ["logistic_dct.s0.safetensors"]
    return comparison.ask(files, images)


def test_every_network_answers_once_a_seed_and_a_plain_one_stands_for_all(asked: comparison.Asked) -> None:
    assert {name: len(some) for name, some in asked.items()} == {
        "modules_pixel": 2, "notl_pixel": 2, "logistic_dct": 2
    }  # fmt: skip
    one, other = (found.pictures for found in asked["logistic_dct"])
    pd.testing.assert_frame_equal(one, other)
    one, other = (found.pictures for found in asked["modules_pixel"])
    assert not np.allclose(one["fake"], other["fake"])


def test_ap_of_a_source_is_that_of_its_fakes_among_all_pictures(asked: comparison.Asked) -> None:
    table = comparison.attribution(asked, resamples=20)
    assert set(table["generator"]) == {"a", "b"}  # new is known to none
    for name, some in asked.items():
        for source in ("a", "b"):
            row = table[(table["name"] == name) & (table["generator"] == source)].iloc[0]
            expected = np.mean(
                [
                    average_precision_score(one.pictures["truth"] == source, one.pictures[f"p {source}"])
                    for one in some
                ]
            )
            assert row["ap"] == pytest.approx(expected)
            assert (row["n_fake"], row["n_real"], row["seeds"]) == (3, 9, 2)
    pair = table[table["name"] == "notl_pixel - modules_pixel"].set_index("generator")["ap"]
    whole = table.set_index(["name", "generator"])["ap"]
    for source in ("a", "b"):
        assert pair[source] == pytest.approx(whole["notl_pixel", source] - whole["modules_pixel", source])


def test_detection_is_of_each_sources_fakes_among_the_reals_alone(asked: comparison.Asked) -> None:
    table = comparison.detection(asked, resamples=20)
    assert list(dict.fromkeys(table["generator"])) == ["a", "b", "new"]
    for source, count in (("a", 3), ("new", 2)):
        row = table[(table["name"] == "modules_pixel") & (table["generator"] == source)].iloc[0]
        assert (row["n_fake"], row["n_real"]) == (count, 4)
        expected = []
        for one in asked["modules_pixel"]:
            rows = one.pictures[one.pictures["truth"].isin([source, REAL])]
            expected.append(average_precision_score(rows["truth"] == source, rows["fake"]))
        assert row["ap"] == pytest.approx(np.mean(expected))


def test_a_picture_that_one_network_cannot_judge_counts_for_none(asked: comparison.Asked) -> None:
    broken = {name: list(some) for name, some in asked.items()}
    frame = broken["notl_pixel"][1].pictures.copy()
    frame.loc[4, ["decision", "fake", "p a", "p b"]] = [UNREADABLE, np.nan, np.nan, np.nan]
    broken["notl_pixel"][1] = replace(broken["notl_pixel"][1], pictures=frame)
    rows = comparison.attribution(broken, resamples=20)
    assert set(rows.loc[rows["generator"] == "a", "n_fake"]) == {2}


def test_different_numbers_of_seeds_and_no_common_source_are_refused(store: Store, images: Pictures) -> None:
    files = comparison.files(store, ["modules_pixel", "notl_pixel"], [0, 1])
    files["notl_pixel"].pop()
    with pytest.raises(
        ValueError, match=r"different numbers of seeds \(2 of modules_pixel, 1 of notl_pixel\)"
    ):
        comparison.ask(files, images)
    foreign = Pictures(images.paths, images.sources, ("x", "y", "z"))
    one = comparison.ask({"m": [store.attributor("modules_pixel", 0)]}, foreign)
    with pytest.raises(ValueError, match="no source is known to all of m"):
        comparison.attribution(one, resamples=20)
