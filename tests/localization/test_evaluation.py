"""Testing a patch classifier: ensembles by hand, AP by scikit-learn's, sets with something wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import where
from PIL import Image
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from tff_core import localization, metrics
from tff_core.localization import evaluation, inputs
from tff_core.localization.inputs import Preparation
from tff_core.pictures import data
from tff_core.store import results


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> data.ImageSet:
    """Reals and fakes of two sizes."""
    root = tmp_path_factory.mktemp("set")
    where.folder(root, 6, (48, 48), seed=1)
    for label, name in enumerate(data.LABELS):
        pixels = where.noise(2, 33, 50, seed=70 + label)
        for i, one in enumerate(where.traced(pixels) if label else pixels):
            Image.fromarray(one).save(root / name / f"z{i}.png")
    return data.scan(root)


@pytest.mark.parametrize("fake_class", [0, 1])
def test_ensembles_and_measures_are_the_definitions(images: data.ImageSet, fake_class: int) -> None:
    # little contrast between reals and fakes, so that nothing is perfect
    net = where.knowing(fake_class)
    net.convout.bias += torch.randn(2, generator=torch.Generator().manual_seed(1)) * 0.3
    found = evaluation.evaluate(net, images, batch_size=3, degrade=inputs.blur(0.45))
    expected: dict[str, list[float]] = {name: [] for name in evaluation.ENSEMBLES}
    cells, labels = [], []
    for path, label in zip(images.paths, images.labels, strict=True):
        pixels = inputs.blur(0.45)(data.read(path)[None])
        with torch.inference_mode():
            logits = net(pixels / 127.5 - 1)[0].double().numpy()
        p = softmax(logits, axis=0)[fake_class]
        expected["before_softmax"].append(softmax(logits.mean((1, 2)))[fake_class])
        expected["after_softmax"].append(p.mean())
        expected["vote"].append((logits.argmax(0) == fake_class).mean())
        cells += p.ravel().tolist()
        labels += [label] * p.size
    assert found.main()["ensemble"] == "before_softmax"
    table = found.table.set_index("ensemble")
    assert list(table.index) == ["before_softmax", "after_softmax", "vote", "patch"]
    y = np.array(images.labels)
    for name, values in expected.items():
        np.testing.assert_allclose(found.pictures[name], values, atol=2e-6)
        p = found.pictures[name].to_numpy()
        row = table.loc[name]
        assert row["ap"] == pytest.approx(average_precision_score(y, p))
        assert row["ap_real"] == pytest.approx(average_precision_score(1 - y, 1 - p))
        assert row["auc"] == pytest.approx(roc_auc_score(y, p))
        assert row["accuracy"] == pytest.approx(((p >= 0.5) == y).mean())
        assert row["low"] <= row["ap"] <= row["high"] and row["n"] == len(images)
    assert table.loc["patch", "ap"] == pytest.approx(average_precision_score(labels, cells), abs=1e-4)
    assert table.loc["patch", "n"] == len(cells) and np.isnan(table.loc["patch", "low"])
    assert found.pictures["cells"].sum() == len(cells)


def test_a_network_that_knows_the_trace_finds_it_in_every_way(images: data.ImageSet) -> None:
    found = evaluation.evaluate(where.knowing(), images)
    assert (found.table["ap"] > 0.95).all() and found.warning == ""
    again = evaluation.evaluate(where.knowing(), images, batch_size=5)
    pd.testing.assert_frame_equal(found.table, again.table, rtol=1e-5)


def test_files_hold_what_was_measured(images: data.ImageSet, tmp_path: Path) -> None:
    found = evaluation.evaluate(where.knowing(), images)
    found.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metrics.csv", "metrics.json", "metrics_avg_after_softmax.npz", "metrics_avg_before_softmax.npz",
        "metrics_patch.npz", "metrics_voted.npz", "scores.csv",
    ]  # fmt: skip
    table = found.table.set_index("ensemble")
    with np.load(tmp_path / "metrics_voted.npz") as stored:
        assert set(stored.files) == {"ap", "precision", "recall", "thresholds", "acc", "n"}
        assert float(stored["ap"]) == table.loc["vote", "ap"] and int(stored["n"]) == len(images)
        p, r = stored["precision"], stored["recall"]
        assert float(-np.sum(np.diff(r) * p[:-1])) == pytest.approx(table.loc["vote", "ap"])
    told = results.read_json(tmp_path / "metrics.json")
    assert told["positives"] == "fakes" and told["fake_class"] == 0 and len(told["rows"]) == 4
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert len(scores) == len(images) and scores["after_softmax"].between(0, 1).all()


def test_a_whole_network_has_one_answer(images: data.ImageSet, tmp_path: Path) -> None:
    net = localization.build("resnet18", init="kaiming")
    found = evaluation.evaluate(net, images, Preparation(load=40, fine=32))
    assert found.table["ensemble"].tolist() == ["picture"] and found.main()["ensemble"] == "picture"
    assert (found.pictures["width"] == 32).all()
    with torch.inference_mode():
        x = Preparation(40, 32).tested(data.read(images.paths[3])[None], whole=True) / 127.5 - 1
        assert found.pictures["picture"][3] == pytest.approx(float(net(x).softmax(1)[0, 0]), abs=1e-5)
    found.write(tmp_path)
    assert (tmp_path / "metrics.npz").is_file()


def test_the_wrong_label_order_is_said(tmp_path: Path) -> None:
    images = where.folder(tmp_path / "set", 8)
    wrong = where.knowing()
    wrong.fake_class = 1
    found = evaluation.evaluate(wrong, images)
    assert "ranks reals above fakes" in found.warning and "label order" in found.warning
    assert found.table["auc"].max() < 0.1


@pytest.mark.slow
def test_one_class_is_one_sentence(images: data.ImageSet) -> None:
    for label in (0, 1):
        kind = ("reals", "fakes")[label]
        with pytest.raises(ValueError, match=rf"all of one class \({kind}\): expected reals and fakes"):
            evaluation.evaluate(where.knowing(), images.where(label=label))
    with pytest.raises(ValueError, match="no pictures"):
        evaluation.evaluate(where.knowing(), images.take([]))


def test_broken_and_small_pictures_have_a_row_and_count_in_nothing(tmp_path: Path) -> None:
    images = where.folder(tmp_path / "set", 4)
    images.paths[1].write_bytes(b"no picture")
    Image.fromarray(where.noise(1, 5, 60)[0]).save(images.paths[6])
    found = evaluation.evaluate(where.knowing(), images)
    errors = found.pictures["error"]
    assert "cannot be read as a picture" in errors[1] and "too small for xception_block1" in errors[6]
    assert errors.notna().sum() == 2 and found.facts["broken"] == 2
    assert found.table["n_real"].tolist()[0] == 3 and found.table["n_fake"].tolist()[0] == 3
    for path in images.paths[:4]:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"no reals are left to test on; the first: .*the file is empty"):
        evaluation.evaluate(where.knowing(), images)


def test_smaller_than_the_receptive_field_is_a_defined_result(tmp_path: Path) -> None:
    images = where.folder(tmp_path / "set", 3, (16, 21))
    net = localization.build("xception_block3", init="kaiming")
    found = evaluation.evaluate(net, images)
    assert np.isfinite(found.table[["ap", "auc", "accuracy"]].to_numpy()).all()
    assert (found.pictures["cells"] == np.prod(localization.map_size("xception_block3", (16, 21)))).all()


def test_constant_maps_give_numbers_and_no_nan(images: data.ImageSet) -> None:
    net = where.knowing()
    net.convout.weight.zero_()
    net.convout.bias.zero_()
    found = evaluation.evaluate(net, images)
    assert np.allclose(found.table["auc"], 0.5) and np.isfinite(found.table["ap"]).all()
    assert "no better than chance" in found.warning
    assert (found.pictures["after_softmax"] == 0.5).all() and (found.pictures["vote"] == 1).all()


def test_large_margins_do_not_tie(images: data.ImageSet) -> None:
    """Probabilities that single precision rounds to one are still told apart."""
    margins = np.array([[[40.0]], [[60.0]], [[200.0]]])
    assert np.allclose(evaluation.ensembles(margins)["before_softmax"], expit([40, 60, 200]))
    net = where.knowing()
    net.convout.weight *= 10
    net.convout.bias += torch.tensor([500.0, 0.0])
    found = evaluation.evaluate(net, images, patches=False)
    row = found.table.iloc[0]
    assert row["ap"] > metrics.chance(8, 8) and (found.pictures["before_softmax"] == 1).all()


# --------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize("size", [(40, 40), (50, 33), (33, 120), (20, 31), (3, 900)])
def test_resizing_is_lanczos_of_the_shorter_side_and_then_the_middle(size: tuple[int, int]) -> None:
    pixels = torch.from_numpy(where.noise(2, *size)).permute(0, 3, 1, 2)
    found = Preparation(load=24).resized(pixels)
    assert found.shape == (2, 3, 24, 24)
    height, width = size
    short = min(size)
    whole = (int(24 * width / short), int(24 * height / short))
    image = Image.fromarray(pixels[1].permute(1, 2, 0).numpy()).resize(whole, Image.Resampling.LANCZOS)
    left, top = (whole[0] - 24) // 2, (whole[1] - 24) // 2
    expected = np.asarray(image.crop((left, top, left + 24, top + 24)))
    difference = np.abs(found[1].permute(1, 2, 0).numpy().astype(int) - expected)
    assert difference.max() <= 2  # both passes of the resize round to whole numbers


def test_nothing_is_resized_unless_asked_for() -> None:
    pixels = torch.randint(0, 256, (2, 3, 9, 13), dtype=torch.uint8)
    assert Preparation().tested(pixels, whole=True) is pixels
    assert Preparation(fine=8).tested(pixels, whole=False) is pixels
    assert Preparation(fine=8).tested(pixels, whole=True).shape == (2, 3, 8, 8)
    with pytest.raises(data.PictureError, match="13x9 pixels are fewer than the 10 a side"):
        Preparation(fine=10).tested(pixels, whole=True)
    for wrong in (0, -3, 2.5, True, "64"):
        with pytest.raises(ValueError, match=r"load is .*: expected a number of pixels"):
            Preparation(load=wrong)  # type: ignore[arg-type]
    assert Preparation.original("xception_block2") == Preparation(299, 299)
    assert Preparation.original("resnet18_layer1") == Preparation(224, 224)
    levels = torch.tensor([[[[0]], [[255]], [[51]]]], dtype=torch.uint8)
    seen = inputs.normalised(levels, "cpu", Preparation())
    assert seen.flatten().tolist() == pytest.approx([-1, 1, -0.6])
    luma = inputs.normalised(levels, "cpu", Preparation(planes="luma"))
    assert luma.flatten().tolist() == pytest.approx([2 * (0.587 + 0.2 * 0.114) - 1] * 3)


def test_sources_are_joined_in_turn(tmp_path: Path) -> None:
    for folder, n in (("photos/test/deep", 3), ("samples/test", 2), ("inversions/test", 3), ("empty", 0)):
        (tmp_path / folder).mkdir(parents=True)
        for i, pixels in enumerate(where.noise(n)):
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "samples" / "test" / "notes.txt").write_text("x")
    pairs = [(tmp_path / "photos", tmp_path / name) for name in ("samples", "inversions")]
    one = inputs.sources(pairs[:1], "test")
    assert (
        one.counts == (3, 2)
        and [path.name for path in one.stray] == ["notes.txt"]
        and set(one.groups) == {""}
    )
    both = inputs.sources(pairs, "test")
    assert both.counts == (6, 5) and both.classes == ("source 1", "source 2")
    assert both.root == tmp_path and data.content_hash(both)
    with pytest.raises(FileNotFoundError, match="expected fakes; check the path"):
        inputs.sources([(tmp_path / "photos", tmp_path / "none")])
    with pytest.raises(ValueError, match="empty has no pictures"):
        inputs.sources([(tmp_path / "photos", tmp_path / "empty")])
    with pytest.raises(ValueError, match="holds both reals and fakes"):
        inputs.sources([(tmp_path / "photos", tmp_path / "photos")])
    with pytest.raises(ValueError, match="no sources"):
        inputs.sources([])


def test_degradations_work_and_say_what_they_want() -> None:
    pixels = torch.from_numpy(where.noise(2, 20, 31)).permute(0, 3, 1, 2)
    for step in (inputs.jpeg(60), inputs.blur(1.5), inputs.gamma(0.8), inputs.flip, inputs.resize(0.5)):
        out = step(pixels)
        assert out.shape == pixels.shape and out.dtype == torch.uint8 and not torch.equal(out, pixels)
    both = inputs.in_turn([inputs.flip, inputs.flip])
    assert both is not None and torch.equal(both(pixels), pixels) and inputs.in_turn([]) is None
    assert inputs.blur(3)(pixels[..., :2, :2]).shape == (2, 3, 2, 2)
    for make, wrong in (
        (inputs.jpeg, 0),
        (inputs.jpeg, 101),
        (inputs.blur, 0),
        (inputs.gamma, -1),
        (inputs.resize, 0),
    ):
        with pytest.raises(ValueError, match="expected"):
            make(wrong)  # type: ignore[operator]


@pytest.mark.slow
def test_whether_chance_explains_an_order_is_tested_exactly(images: data.ImageSet) -> None:
    for net, told in ((where.knowing(0), True), (where.knowing(1), True)):
        net.fake_class = 0  # the second ranks reals above fakes, which is no chance either
        found = evaluation.evaluate(net, images)
        row = found.numbers()
        assert row["told"] == told and {name: row[name] for name in ("ap", "n", "auc")} == {
            name: found.main()[name] for name in ("ap", "n", "auc")
        }
        assert row["chance"] == metrics.chance(8, 8)
    rng, called = np.random.default_rng(0), 0
    for _ in range(200):
        found.pictures["before_softmax"] = rng.random(16)
        called += found.numbers()["told"]
    assert 1 <= called <= 20  # of 200 at 5 %; more has a probability below 0.002


def test_a_difference_is_paired_by_picture(images: data.ImageSet, tmp_path: Path) -> None:
    net = where.knowing()
    one, two = (evaluation.evaluate(net, images, degrade=inputs.blur(sigma)) for sigma in (0.3, 0.9))
    found = evaluation.difference(one, two)
    assert found.value == pytest.approx(one.main()["ap"] - two.main()["ap"], abs=1e-9) and found.value > 0.1
    assert found.low < found.value < found.high
    back = evaluation.difference(two, one)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert tuple(evaluation.difference(one, one)) == (0, 0, 0)
    # what one of them could not read is left out of both
    two.pictures.loc[0, "before_softmax"] = np.nan
    rest = [evaluation.evaluate(net, images.take(range(1, len(images))), degrade=inputs.blur(s)).main()["ap"]
            for s in (0.3, 0.9)]  # fmt: skip
    assert evaluation.difference(one, two).value == pytest.approx(rest[0] - rest[1], abs=1e-9)
    other = where.folder(tmp_path / "s", 3)
    with pytest.raises(ValueError, match="16 and 6 pictures with other labels"):
        evaluation.difference(one, evaluation.evaluate(net, other))
