"""Preparation as a cue: treatments are Pillow's, reals of one population cannot be told, treated ones can."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import where
from PIL import Image
from sklearn.metrics import roc_auc_score

from tff_core.localization import evaluation, parity, treatments
from tff_core.localization.training import Config
from tff_core.localization.treatments import BASE, KERNELS, Treatment, split, write
from tff_core.pictures import data, statistics
from tff_core.store.results import read_json

pytestmark = pytest.mark.usefixtures("one_thread")
NONE, BLURRED = Treatment("none"), Treatment("blurred", kernel="bilinear", detour=0.4)
PRESSED = Treatment("pressed", quality=60, codec="jpeg")


@pytest.fixture(scope="module")
def reals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("reals")
    for i, pixels in enumerate(where.noise(120, 48, 54, seed=5)):
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return parity.pictures(folder)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_treatment_is_what_pillow_does(kernel: str) -> None:
    pixels = where.noise(1, 48, 48)[0]
    x, image = torch.from_numpy(pixels).permute(2, 0, 1), Image.fromarray(pixels)
    small = image.resize((32, 32), KERNELS[kernel])
    out = Treatment("x", kernel).apply(x, 32)
    assert np.array_equal(out.permute(1, 2, 0), small)
    there = small.resize((24, 24), KERNELS[kernel]).resize((32, 32), KERNELS[kernel])
    assert np.array_equal(Treatment("x", kernel, detour=0.75).apply(x, 32).permute(1, 2, 0), there)


def test_a_codec_leaves_the_same_pixels_in_either_file(tmp_path: Path) -> None:
    x = torch.from_numpy(where.noise(1, 48, 60)[0]).permute(2, 0, 1)
    for codec in treatments.CODECS:
        way = Treatment("x", quality=70, codec=codec)
        way.save(way.apply(x, 32), tmp_path / codec)
    pressed, plain = tmp_path / "jpeg.jpg", tmp_path / "png.png"
    assert Image.open(pressed).format == "JPEG" and Image.open(plain).format == "PNG"
    stream = io.BytesIO()
    kept = BASE.apply(x, 32)
    Image.fromarray(kept.permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=70)
    assert pressed.read_bytes() == stream.getvalue()
    # one codec, but for the rounding of the two libraries' colour conversions
    apart = data.read(pressed).int() - data.read(plain).int()
    assert apart.abs().max() <= 2 < (data.read(plain).int() - kept.int()).abs().max()


def test_parts_share_no_picture_and_folders_are_whole_or_absent(
    reals: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = split(reals, (5, 3, 4), 1)
    assert [len(part) for part in drawn] == [5, 3, 4] and len({p for part in drawn for p in part}) == 12
    assert drawn == split(reals, (5, 3, 4), 1) != split(reals, (5, 3, 4), 2)
    parts = {"val": (drawn[0], drawn[1]), "test": (drawn[1], drawn[2])}
    folder = tmp_path / "set"
    ways = (BASE, BLURRED)

    def dies(self: Treatment, pixels: torch.Tensor, path: Path) -> None:
        if path.name == "00002":
            raise KeyboardInterrupt
        save(self, pixels, path)

    save = Treatment.save
    monkeypatch.setattr(Treatment, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        write(folder, parts, ways, 32)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Treatment, "save", save)
    (tmp_path / ".set.part").mkdir()  # of a run that was killed
    write(folder, parts, ways, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    for part, sides in parts.items():
        images = data.scan(folder / part)
        assert images.counts == tuple(map(len, sides))
        for path, source, label in zip(images.paths, [*sides[0], *sides[1]], images.labels, strict=True):
            assert torch.equal(data.read(path), ways[label].apply(data.read(source), 32))
    stamp = (folder / "val" / "0_real" / "00000.png").stat().st_mtime_ns
    write(folder, parts, ways, 32)
    assert (folder / "val" / "0_real" / "00000.png").stat().st_mtime_ns == stamp
    write(folder, parts, (BASE, PRESSED), 24)
    assert {path.suffix for path in (folder / "test" / "1_fake").iterdir()} == {".jpg"}
    assert data.read(folder / "val" / "0_real" / "00000.png").shape == (3, 24, 24)
    assert read_json(folder / "manifest.json")["ways"][1]["quality"] == 60


@pytest.mark.slow
def test_single_statistics_and_their_chance(reals: list[Path], tmp_path: Path) -> None:
    drawn = split(reals, (20, 20), 3)
    write(tmp_path / "a", {"test": (drawn[0], drawn[1])}, (BASE, BLURRED), 32)
    images = data.scan(tmp_path / "a" / "test")
    found = parity.separations(images, batch_size=7)
    pixels = torch.stack([data.read(path) for path in images.paths]).permute(0, 2, 3, 1).numpy()
    own = statistics.measure(pixels)
    assert set(found["statistic"]) == set(own) and found["auc"].is_monotonic_decreasing
    for row in found.itertuples():
        auc = roc_auc_score(images.labels, own[row.statistic])
        assert row.auc == pytest.approx(max(auc, 1 - auc)) and (row.n_real, row.n_fake) == (20, 20)
    assert found.set_index("statistic").loc["luma detail", "auc"] > 0.95 > found["chance"][0] > 0.6
    # of one population the best of all is above its chance once in twenty times at most
    write(tmp_path / "b", {"test": (reals[:60], reals[60:])}, (BASE, NONE), 32)
    whole = data.scan(tmp_path / "b" / "test")
    rng, above = np.random.default_rng(0), 0
    for _ in range(20):
        chosen = rng.permutation(len(whole))[:40]
        labels = tuple([0] * 20 + [1] * 20)
        best = parity.separations(data.ImageSet(whole.root, whole.take(chosen).paths, labels, ("",) * 40))
        above += best["auc"][0] > best["chance"][0]
    assert above <= 4  # more has a probability below 0.003


@pytest.mark.slow
def test_what_is_known_before_any_training(reals: list[Path], tmp_path: Path) -> None:
    net = where.knowing()
    ways = (NONE, BLURRED, PRESSED, Treatment("hidden", quality=20))
    table = parity.same_reals(
        reals, tmp_path, net, 32, ways, n=(0, 0, 30), seed=4, device="cpu", progress=False
    ).set_index("treatment")
    assert table.loc["none", "refused"] == "" and table.loc["none", "property_auc"] < 0.7
    assert (table["refused"][1:] == "files, pixels").all()
    # the format gives it away, and where the format is the same, how well a PNG could be compressed
    assert (
        table.loc["pressed", "property_auc"] == 1 and table.loc["hidden", "property"] == "file size per pixel"
    )
    assert not table.loc["none", "told"] and table.loc["hidden", "told"] and (table["n"] == 60).all()
    for way in ways:
        row = table.loc[way.name]
        told = evaluation.evaluate(net, data.scan(tmp_path / way.name / "test"), patches=False, seed=4).main()
        assert (row["ap"], row["low"], row["high"]) == (told["ap"], told["low"], told["high"])
        assert row["auc"] == told["auc"] and row["chance"] == pytest.approx(0.53, abs=0.005)
    assert not list(tmp_path.rglob("train")) and not list(tmp_path.glob("*.safetensors"))
    reals_of = [
        [path.read_bytes() for path in sorted((tmp_path / way.name / "test/0_real").iterdir())]
        for way in ways
    ]
    assert all(one == reals_of[0] for one in reals_of)


@pytest.mark.slow
def test_a_classifier_tells_treated_reals_and_no_others(reals: list[Path], tmp_path: Path) -> None:
    settings = Config(init="kaiming", max_epochs=10, batch_size=16)
    how = {"n": (32, 8, 20), "settings": settings, "device": "cpu", "progress": False}
    run = lambda: parity.same_reals(  # noqa: E731
        reals,
        tmp_path,
        "widenet_kw3_d1",
        32,
        (NONE, BLURRED),
        **how,  # type: ignore[arg-type]
    )
    table = run()
    by = table.set_index("treatment")
    assert by.loc["blurred", "low"] > 0.9 and by.loc["blurred", "told"]
    assert not by.loc["none", "told"] and by.loc["none", "refused"] == ""
    weights = sorted(tmp_path.glob("*.safetensors"))
    assert [path.name for path in weights] == [
        f"{n}.widenet_kw3_d1.s0.safetensors" for n in ("blurred", "none")
    ]
    stamps = [path.stat().st_mtime_ns for path in weights]
    pd.testing.assert_frame_equal(run(), table)
    assert [path.stat().st_mtime_ns for path in weights] == stamps


@pytest.mark.slow
def test_misaligned_reals_make_fakes_detectable_that_are_not(reals: list[Path], tmp_path: Path) -> None:
    """Two generators that make perfect pictures: reals of the same population."""
    fakes = {"one": reals[60:], "two": reals[60:84]}
    table = parity.alignment(
        reals[:60], fakes, tmp_path, "widenet_kw3_d1", 32, BLURRED, n=(32, 8, 20),
        settings=Config(init="kaiming", max_epochs=10, batch_size=16), device="cpu", progress=False,
    )  # fmt: skip
    assert len(table) == 8 and table["seen"].tolist() == [True, False] * 4
    by = table.set_index(["trained", "tested", "generator"])
    for name in fakes:
        assert not by.loc[("aligned", "aligned", name), "told"]
        seeming = by.loc[("misaligned", "misaligned", name)]
        assert seeming["low"] > 0.9 and seeming["difference_low"] > 0.1
        assert not by.loc[("misaligned", "aligned", name), "told"]
        base = by.loc[("aligned", "aligned", name)]
        assert tuple(base[["difference", "difference_low", "difference_high"]]) == (0, 0, 0)
        files = [sorted((tmp_path / way / name / "test/1_fake").iterdir()) for way in parity.WAYS]
        assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    assert not (tmp_path / "aligned" / "two" / "train").exists()


def test_what_makes_no_sense_is_one_sentence(reals: list[Path], tmp_path: Path) -> None:
    for wrong, told in (
        ({"kernel": "nearest"}, "kernel 'nearest'; expected one of box"), ({"codec": "webp"}, "codec 'webp'"),
        ({"detour": 0.0}, "a detour of 0.0"), ({"quality": 0}, "JPEG quality 0; expected 1 to 100"),
        ({"codec": "jpeg"}, "is stored as JPEG: expected a quality"),
        ({"name": "a/b"}, "a treatment is called 'a/b'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            Treatment(**{"name": "x", **wrong})  # type: ignore[arg-type]
    how = {"device": "cpu", "progress": False}
    with pytest.raises(ValueError, match=r"120 pictures, of which 50 \+ 10 \+ 9 \+ 50 \+ 10 \+ 9 were asked"):
        parity.same_reals(reals, tmp_path / "o", "xception_block1", 32, n=(50, 10, 9), **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="each with its own name"):
        parity.same_reals(reals, tmp_path / "o", "xception_block1", 32, (NONE, NONE), **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no patch classifier is called 'x'"):
        parity.same_reals(reals, tmp_path / "o", "x", 32, **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected the pictures of one generator at least"):
        parity.alignment(reals, {}, tmp_path / "o", "xception_block1", 32, BLURRED, **how)  # type: ignore[arg-type]
    how["settings"] = Config(load=64)
    with pytest.raises(ValueError, match="load is 64: expected none"):
        parity.same_reals(reals, tmp_path / "o", "xception_block1", 32, **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="load is 64: expected none"):
        parity.alignment(reals, {"a": reals}, tmp_path / "o", "xception_block1", 32, BLURRED, **how)  # type: ignore[arg-type]
    parts = {"test": (reals[:2], reals[2:4])}
    with pytest.raises(ValueError, match="is not resized to 48, so that no kernel changes it"):
        write(tmp_path / "o", parts, (BASE, BLURRED), 48)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="mine holds other things"):
        write(tmp_path / "mine", parts, (BASE, NONE), 32)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    with pytest.raises(data.PictureError, match=r"broken\.png cannot be read"):
        write(tmp_path / "o", {"test": ([broken], reals[:1])}, (BASE, NONE), 32)
    with pytest.raises(ValueError, match="2 reals and 0 fakes: expected both"):
        parity.separations(data.ImageSet(tmp_path, tuple(reals[:2]), (0, 0), ("", "")))
    with pytest.raises(FileNotFoundError, match="is no folder: expected pictures"):
        parity.pictures(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no pictures: expected files ending in"):
        parity.pictures(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.png", "empty", "mine"]
