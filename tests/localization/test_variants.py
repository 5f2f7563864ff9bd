"""Kinds of fakes to learn from: they differ in nothing else, and each teaches what it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import where
from PIL import Image

from tff_core import metrics
from tff_core.localization import variants
from tff_core.localization.training import Config
from tff_core.localization.variants import KINDS

pytestmark = pytest.mark.usefixtures("one_thread")


def some(name: str, n: int) -> list[Path]:
    return [Path(f"/pictures/{name}/{i}.png") for i in range(n)]


def test_the_kinds_have_the_same_reals_and_as_many_fakes() -> None:
    reals, samples, inversions = (some(name, 5) for name in ("reals", "samples", "inversions"))
    sets = variants.fake_sets(reals, samples, inversions)
    assert tuple(sets) == KINDS
    for kind, images in sets.items():
        assert images.counts == (5, 5) and images.root == Path("/pictures")
        assert list(images.where(label=0).paths) == reals
        fakes = images.where(label=1).paths
        # an inversion stands where its real stands, which puts the two into one batch
        assert all(fakes[i].name == reals[i].name for i in range(5))
        shares = {"samples": 0, "both": 2, "inversions": 5}
        assert sum(path.parent.name == "inversions" for path in fakes) == shares[kind]
    with pytest.raises(ValueError, match="5 reals, 5 samples and 4 inversions: expected as many of each"):
        variants.fake_sets(reals, samples, inversions[:4])


def test_differences_are_paired_by_picture_and_by_seed() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    rows = []
    for seed in range(3):
        for kind, sees in zip(KINDS, (0.3, 2.0, 2.0), strict=True):
            score = rng.normal(size=80) + sees * labels
            frame = pd.DataFrame({"picture": range(80), "label": labels, "score": score})
            rows.append(frame.assign(trained=kind, generator="progan", seed=seed))
    scores = pd.concat(rows)
    table = variants.compare(scores.sample(frac=1, random_state=1)).set_index("name")  # in any order
    assert set(table["generator"]) == {"progan"} and set(table["seeds"]) == {3}
    assert set(table["n_real"]) == set(table["n_fake"]) == {40}
    for kind in KINDS:
        own = scores[scores["trained"] == kind]
        each = [metrics.average_precision(one["label"], one["score"]) for _, one in own.groupby("seed")]
        assert table.loc[kind, "ap"] == pytest.approx(np.mean(each))
    apart = table.loc["inversions - samples"]
    assert apart["ap"] == pytest.approx(table.loc["inversions", "ap"] - table.loc["samples", "ap"])
    assert apart["ap_low"] > 0
    assert table.loc["both - inversions", "ap_low"] < 0 < table.loc["both - inversions", "ap_high"]
    lacking = scores[(scores["picture"] < 70) | (scores["trained"] != "both")]
    with pytest.raises(ValueError, match="progan: trainings were scored on different pictures"):
        variants.compare(lacking)


def written(folder: Path, pixels: np.ndarray) -> list[Path]:
    folder.mkdir(parents=True)
    for i, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{i:03d}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return where.untrained_autoencoder(tmp_path_factory.mktemp("weights"))


@pytest.mark.slow
def test_each_kind_finds_what_it_has_learnt_from(model: Path, tmp_path: Path) -> None:
    """Samples with a trace of period 2, and inversions without any structure."""
    root = tmp_path / "pictures"
    sets = {part: where.folder(root / part, n, (32, 32), seed) for seed, (part, n) in
            enumerate({"train": 40, "val": 12, "progan": 20, "other": 20}.items())}  # fmt: skip
    known = {part: sets[part] for part in ("train", "val")}
    tests = {name: sets[name] for name in ("progan", "other")}
    how = {"n": (32, 8, 20), "settings": Config(init="kaiming", max_epochs=6, batch_size=16),
           "device": "cpu", "progress": False}  # fmt: skip
    out = tmp_path / "out"

    def again() -> pd.DataFrame:
        return variants.run(known, tests, model, out, "widenet_kw3_d1", **how)  # type: ignore[arg-type]

    scores = again()
    assert len(scores) == 3 * 3 * 40 and scores["score"].between(0, 1).all()
    assert list(dict.fromkeys(scores["generator"])) == ["progan", "other", "autoencoder"]
    table = variants.compare(scores.assign(seed=0)).set_index(["name", "generator"])["ap"]
    for kind, finds in (("samples", ["progan", "other"]), ("inversions", ["autoencoder"])):
        assert (table[kind][finds] > 0.95).all()
        assert (table["both"][finds] > 0.9).all()
    # what has no fine structure does not teach what a fine trace is
    assert table["inversions", "progan"] < table["both", "progan"] - 0.1
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert len([path for path in stamps if path.suffix == ".safetensors"]) == 3
    pd.testing.assert_frame_equal(again(), scores)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    trained = {path.read_bytes() for path in (out / "inverted" / "train").iterdir()}
    assert len(trained) == 32 and len(list((out / "inverted" / "val").iterdir())) == 8


def test_what_makes_no_sense_is_one_sentence(model: Path, tmp_path: Path) -> None:
    images = where.folder(tmp_path / "set", 4, (32, 32))
    known, how = {"train": images, "val": images}, {"device": "cpu", "progress": False}
    wrong = (
        ((known, {}, model, tmp_path / "o", "xception_block1"), {}, "tests of no generator: expected one"),
        ((known, {"autoencoder": images}, model, tmp_path / "o", "xception_block1"), {}, "and none of auto"),
        ((known, {"a": images}, model, tmp_path / "o", "x"), {}, "no patch classifier is called 'x'"),
        ((known, {"a": images}, model, tmp_path / "o", "xception_block1"), {"n": (9, 1, 1)},
         "4 pictures, of which 9 were asked for"),
        ((known, {"a": images}, model, tmp_path / "o", "xception_block1"), {"settings": Config(load=64)},
         "load is 64: expected none"),
    )  # fmt: skip
    for arguments, more, told in wrong:
        with pytest.raises(ValueError, match=told):
            variants.run(*arguments, **{**how, **more})  # type: ignore[arg-type]
    assert not (tmp_path / "o").exists()
