"""The receptive-field law: where theory says chance there is chance, and numbers by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import where
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from tff_core import localization
from tff_core.localization import comparison, evaluation, law, masks, training, waves
from tff_core.localization.training import Config
from tff_core.miniature.planted import Trace, measure
from tff_core.pictures import data

# one worker makes the pictures and networks for all
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("law")]
SMALL, WIDE = "widenet_kw3_d1", "xception_block1"  # fields of 7 and 19 pixels
# every word of three bits occurs once in both, of the words of four bits half do not
CYCLES = ("00010111", "00011101")
BLOCK = 4


def words(cycle: str, length: int) -> Counter[str]:
    return Counter((2 * cycle)[i : i + length] for i in range(len(cycle)))


def stripes(root: Path, n: int, seed: int) -> data.ImageSet:
    """Bars of 4 pixels in the order of a cycle, at a random shift, in noise; the other cycle in fakes."""
    rng = np.random.default_rng(seed)
    for cycle, label in zip(CYCLES, data.LABELS, strict=True):
        (root / label).mkdir(parents=True)
        bars = np.repeat([int(bit) for bit in 2 * cycle], BLOCK)
        for i in range(n):
            line = 128 + 50 * (2 * np.roll(bars, rng.integers(len(bars))) - 1)
            pixels = line[None, :, None] + rng.normal(0, 8, (20, len(line), 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / label / f"{i:03d}.png")
    return data.scan(root)


def test_the_two_cycles_differ_in_longer_words_alone() -> None:
    assert words(CYCLES[0], 3) == words(CYCLES[1], 3) and len(words(CYCLES[0], 3)) == 8
    assert words(CYCLES[0], 4) != words(CYCLES[1], 4)
    fields = [localization.field(name).size for name in (SMALL, WIDE)]
    # a field of w pixels meets at most so many bars of 4 pixels
    assert [-(-(size - 1) // BLOCK) + 1 for size in fields] == [3, 6]


@pytest.mark.slow
def test_what_only_a_wider_field_can_decide_a_smaller_one_does_not_find(tmp_path: Path) -> None:
    sets = [stripes(tmp_path / part, n, seed) for part, n, seed in
            (("train", 48, 1), ("val", 16, 2), ("test", 60, 3))]  # fmt: skip
    settings = Config(init="kaiming", max_epochs=12, flip=0)  # a mirror turns one cycle into the other
    found = {}
    for name in (SMALL, WIDE):
        path = training.train(
            name, sets[0], sets[1], tmp_path / f"{name}.safetensors", settings, device="cpu", progress=False
        )
        found[name] = evaluation.evaluate(localization.load(path), sets[2]).table.set_index("ensemble")
    wide, small = found[WIDE], found[SMALL]
    assert wide.loc["before_softmax", "low"] > 0.9 and wide.loc["patch", "ap"] > 0.65
    # cells of equal distribution: 2000 cells a class that are not independent
    assert small.loc["patch", "ap"] == pytest.approx(0.5, abs=0.06)
    assert small.loc["before_softmax", "low"] < 0.57 and small.loc["before_softmax", "ap"] < 0.7


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> waves.Planted:
    return waves.plant(
        tmp_path_factory.mktemp("planted"), Trace("Y", 4, 20.0), (2, 8), n=(16, 6, 8), size=32, progress=False
    )


@pytest.mark.slow
def test_pictures_of_all_periods_to_train_on_and_of_each_to_test(pictures: waves.Planted) -> None:
    assert pictures.train.counts == (32, 32) and pictures.val.counts == (12, 12)
    assert Counter(pictures.train.groups) == {"2": 32, "8": 32}
    read = [data.read(path).permute(1, 2, 0).numpy() for path in pictures.train.paths]
    assert len({one.tobytes() for one in read}) == 64  # no scene twice
    for pixels, label, group in zip(read, pictures.train.labels, pictures.train.groups, strict=True):
        if label:
            assert measure(pixels, Trace("Y", float(group), 1.0)) > 10
    two, eight = (pictures.test[period] for period in (2, 8))
    reals = [[path.read_bytes() for path in one.images.where(label=0).paths] for one in (two, eight)]
    assert [len(one) for one in reals] == [8, 8]
    for period, one in pictures.test.items():
        trace = Trace("Y", period, 1.0)
        found = [
            (measure(pixels, trace, mask), measure(pixels, trace, ~mask)) for pixels, mask in one.fakes.read()
        ]
        inside, outside = np.median(found, 0)
        assert inside > 12 and abs(outside) < 3  # photographs have some by chance
    same = zip(two.fakes.read(), eight.fakes.read(), strict=True)
    assert all(np.array_equal(a[1], b[1]) for a, b in same)  # the same regions


@pytest.mark.slow
def test_rows_are_those_of_the_evaluation_and_of_the_masks(pictures: waves.Planted) -> None:
    net = where.knowing()
    table = law.measure(net, pictures.test).set_index(["measure", "period"])
    assert (table["network"] == "xception_block1").all() and (table["field"] == 19).all()
    for period, one in pictures.test.items():
        told = evaluation.evaluate(net, one.images, patches=False).table.set_index("ensemble")
        row = table.loc["pictures", period]
        assert row["value"] == told.loc["before_softmax", "ap"] and row["n"] == 16
        assert row["chance"] == pytest.approx(0.5, abs=0.1)
        whole = [(comparison.classifier(net)(torch.from_numpy(p)[None].permute(0, 3, 1, 2))[0], m)
                 for p, m in one.fakes.read()]  # fmt: skip
        scores, fake = (np.stack(part) for part in zip(*whole, strict=True))
        row = table.loc["pixels", period]
        assert row["value"] == pytest.approx(masks.pixel_ap(scores, fake), abs=1e-6)
        assert row["n"] == 8 and row["chance"] == pytest.approx(fake.mean())
        assert row["low"] <= row["value"] <= row["high"]


@pytest.mark.slow
def test_the_smallest_field_finds_the_finest_trace(pictures: waves.Planted, tmp_path: Path) -> None:
    settings = Config(init="kaiming", max_epochs=25, batch_size=16)
    how = {"settings": settings, "device": "cpu", "progress": False}
    table = law.run([SMALL, WIDE], pictures, tmp_path, **how)  # type: ignore[arg-type]
    assert list(table.columns) == [
        "network", "seed", "field", "period", "measure", "value", "low", "high", "n", "chance",
    ]  # fmt: skip
    assert len(table) == 2 * 2 * 2
    of = table.set_index(["network", "measure", "period"])
    fine, coarse = of.loc[(SMALL, "pixels", 2)], of.loc[(SMALL, "pixels", 8)]
    assert fine["low"] > 2 * fine["chance"] and of.loc[(SMALL, "pictures", 2), "value"] > 0.8
    assert fine["value"] > 2 * coarse["value"]  # of a wave of 8 pixels a field of 7 sees a slope
    weights = sorted(tmp_path.glob("*.safetensors"))
    stamps = [path.stat().st_mtime_ns for path in weights]
    assert [path.name for path in weights] == [f"{SMALL}.s0.safetensors", f"{WIDE}.s0.safetensors"]
    again = law.run([SMALL, WIDE], pictures, tmp_path, **how)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(table, again)
    assert [path.stat().st_mtime_ns for path in weights] == stamps


def rows(values: list[float], fields: list[int], spread: float = 0.001, period: float = 2) -> pd.DataFrame:
    return pd.DataFrame(
        {"network": [f"n{i}" for i in range(len(values))], "field": fields, "period": period,
         "measure": "pixels", "value": values, "low": np.array(values) - spread,
         "high": np.array(values) + spread}
    )  # fmt: skip


def test_the_summary_is_spearmans_with_exact_permutations() -> None:
    fields = [7, 11, 19, 43, 43, 91]
    values = [0.5, 0.7, 0.6, 0.8, 0.81, 0.9]
    table = pd.concat([rows(values, fields), rows(values[::-1], fields, period=16)])
    found = law.summary(table).set_index("period")
    expected = stats.spearmanr(fields, values).statistic
    assert found.loc[2, "rho"] == pytest.approx(expected) and found.loc[2, "networks"] == 6
    assert found.loc[16, "rho"] == pytest.approx(stats.spearmanr(fields, values[::-1]).statistic)
    exact = stats.permutation_test(
        (values,), lambda x: stats.spearmanr(fields, x).statistic, permutation_type="pairings",
        n_resamples=1000,
    )  # fmt: skip
    assert found.loc[2, "p"] == pytest.approx(exact.pvalue) and found.loc[2, "p"] < 0.05
    ends = np.quantile(exact.null_distribution, [0.025, 0.975])
    assert (found.loc[2, "chance_low"], found.loc[2, "chance_high"]) == pytest.approx(tuple(ends))
    # the order is known, but for the two networks of one field
    assert found.loc[2, "low"] == pytest.approx(found.loc[2, "high"]) == pytest.approx(expected)
    wide = law.summary(rows(values, fields, 0.3)).iloc[0]
    assert wide["low"] < wide["rho"] - 0.2 and wide["high"] <= 1


def test_the_interval_of_the_summary_covers() -> None:
    """AP measured with a known error: the interval holds the correlation of the true ones."""
    rng = np.random.default_rng(0)
    fields = [5, 7, 11, 19, 43, 91]
    true = np.array([0.6, 0.62, 0.7, 0.68, 0.8, 0.85])
    rho = stats.spearmanr(fields, true).statistic
    inside = 0
    for _ in range(60):
        value = np.clip(true + rng.normal(0, 0.03, 6), 0.01, 0.99)
        row = law.summary(rows(list(value), fields, 1.96 * 0.03), draws=400).iloc[0]
        inside += row["low"] - 1e-9 <= rho <= row["high"] + 1e-9
    assert inside >= 51  # of 60; fewer at 95 % has a probability below 0.001


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.01, 0.99), min_size=3, max_size=5, unique=True), st.floats(0.001, 0.5))
def test_the_interval_of_the_summary_holds_its_value(values: list[float], spread: float) -> None:
    """Also where the networks are in order, which APs drawn anew seldom are."""
    for some in (values, sorted(values), sorted(values, reverse=True)):
        row = law.summary(rows(some, [7, 19, 43, 91, 99][: len(some)], spread), draws=100).iloc[0]
        assert row["low"] <= row["rho"] <= row["high"]


@pytest.mark.parametrize("strength", [-9.0, 0.0, 9.0])
def test_the_ap_of_pixels_lies_in_its_interval_whatever_the_order(
    monkeypatch: pytest.MonkeyPatch, strength: float
) -> None:
    fake = np.zeros((5, 8, 8), dtype=bool)
    fake[:, :3, :4] = True
    scores = np.random.default_rng(0).normal(size=fake.shape) + strength * fake
    seen = dict.fromkeys(("ap", "low", "high"), 0.5) | {"n": 10, "n_real": 5, "n_fake": 5}
    monkeypatch.setattr(evaluation, "evaluate", lambda *a, **k: SimpleNamespace(main=lambda: seen))
    monkeypatch.setattr(comparison, "classifier", lambda *a, **k: None)
    monkeypatch.setattr(comparison, "sampled", lambda *a, **k: (scores, fake))
    test = {2.0: SimpleNamespace(images=None, fakes=None)}
    found = law.measure(SimpleNamespace(name=SMALL), test, progress=False)  # type: ignore[arg-type]
    row = found[found["measure"] == "pixels"].iloc[0]
    assert row["low"] <= row["value"] <= row["high"] and row["value"] == masks.pixel_ap(scores, fake)


def test_several_seeds_are_averaged_and_ties_have_no_order() -> None:
    one, two = (rows(values, [7, 19, 43]) for values in ([0.5, 0.6, 0.7], [0.9, 0.6, 0.7]))
    found = law.summary(pd.concat([one.assign(seed=0), two.assign(seed=1)])).iloc[0]
    assert found["networks"] == 3 and found["rho"] == pytest.approx(
        stats.spearmanr([7, 19, 43], [0.7, 0.6, 0.7]).statistic
    )
    equal = law.summary(rows([0.7, 0.7, 0.7], [7, 19, 43])).iloc[0]
    assert equal[["rho", "low", "high", "p", "chance_low"]].isna().all() and equal["networks"] == 3
    assert law.summary(rows([0.5, 0.7], [43, 43])).iloc[0][["rho", "p"]].isna().all()


@pytest.mark.slow
def test_what_makes_no_sense_is_one_sentence(tmp_path: Path, pictures: waves.Planted) -> None:
    with pytest.raises(ValueError, match="1 networks: expected two at least"):
        law.summary(rows([0.5], [7]))
    for periods in ((), (2, 2)):
        with pytest.raises(ValueError, match="expected one at least, each once"):
            waves.plant(tmp_path, Trace("Y", 2, 5), periods)
    with pytest.raises(ValueError, match=r"a trace's period is 1\.0: expected 2 pixels at least"):
        waves.plant(tmp_path / "x", Trace("Y", 2, 5), (1, 2))
    with pytest.raises(ValueError, match="resnet18 is a whole network"):
        law.run([SMALL, "resnet18"], pictures, tmp_path, device="cpu", progress=False)
    with pytest.raises(ValueError, match="resnet18 is a whole network"):
        law.measure(localization.build("resnet18"), pictures.test)
    with pytest.raises(ValueError, match="load is 64: expected none; here pictures are"):
        law.run([SMALL], pictures, tmp_path, Config(load=64), device="cpu", progress=False)
    assert not list(tmp_path.iterdir())
