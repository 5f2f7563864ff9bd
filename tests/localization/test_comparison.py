"""Methods on the same pictures with masks: against `masks`, by hand, paired, and flat in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import where
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from tff_core import localization
from tff_core.localization import comparison, masks
from tff_core.localization.comparison import compare, measure
from tff_core.localization.masks import Masked

Pair = tuple[Masked, Masked]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([-9.0, 0.0, 9.0]))
def test_every_interval_holds_its_value_whatever_the_order(seed: int, strength: float) -> None:
    """Of maps that are inverted, random and perfect, and of what they have more than random ones."""
    rng = np.random.default_rng(seed)
    fake = np.zeros((5, 8, 8), dtype=bool)
    fake[:, :3, :4] = True
    found = {}
    for name, shift in (("maps", strength), ("luck", 0.0)):
        scores = rng.normal(size=fake.shape) + shift * fake
        own = np.array([masks.pixel_ap(*both) for both in zip(scores, fake, strict=True)])
        found[name] = comparison.Measured(
            0.5, masks.pixel_ap(scores, fake), masks.resampled_pixel_ap(scores, fake), own,
            masks.iou(scores, fake, 0.5), rng.random(3), fake.mean((1, 2)), 0.0,
        )  # fmt: skip
    table = comparison.table(found, "luck")
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    ends = table["difference_low"], table["difference_high"]
    assert ((ends[0] <= table["difference"]) & (table["difference"] <= ends[1])).all()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    root = tmp_path_factory.mktemp("spliced")
    return where.spliced(root / "val", 6, 2, seed=1), where.spliced(root / "test", 9, 4, seed=2)


def oracle(*parts: Masked):  # type: ignore[no-untyped-def]
    """A method that has seen the masks."""
    known = {pixels.tobytes(): fake for part in parts for pixels, fake in part.read()}
    return lambda x: np.stack([known[one.permute(1, 2, 0).numpy().tobytes()] for one in x]).astype(float)


def luck(x: torch.Tensor) -> torch.Tensor:
    """Noise that depends on the picture alone."""
    return torch.stack(
        [torch.rand(one.shape[1:], generator=torch.Generator().manual_seed(int(one.sum()))) for one in x]
    )


def row(table: pd.DataFrame, method: str, measured: str) -> pd.Series:
    return table.set_index(["method", "measure"]).loc[method, measured]


def test_numbers_are_those_of_whole_arrays(sets: Pair) -> None:
    def method(x: torch.Tensor) -> np.ndarray:
        return comparison.high_pass(x) + 0.02 * luck(x).numpy()

    table = compare({"it": method}, *sets, "it", batch_size=4)
    whole = []
    for part in sets:
        pixels, fake = zip(*part.read(), strict=True)
        x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        whole.append((method(x), np.stack(fake)))
    threshold = masks.calibrate(*whole[0])
    found = masks.judge(*whole[1], threshold)
    for name in comparison.MEASURES:
        one = row(table, "it", name)
        expected = getattr(found, name)
        assert one["value"] == pytest.approx(expected[0], abs=1e-12), name
        # the AP of all pixels sees them in another order, in which equal steps may end elsewhere
        assert (one["low"], one["high"]) == pytest.approx(expected[1:], abs=1e-9), name
        assert one["n"] == (4 if name == "false_area" else 9) and one["threshold"] == threshold
        assert (one["difference"], one["difference_low"], one["difference_high"]) == (0, 0, 0)
    assert row(table, "it", "pixel_ap")["chance"] == pytest.approx(found.prevalence)
    assert np.isnan(row(table, "it", "iou")["chance"]) and (table["missing"] == 0).all()


def test_one_that_knows_one_that_guesses_and_their_difference(sets: Pair) -> None:
    methods = {"knows": oracle(*sets), "guesses": luck}
    table = compare(methods, *sets, "guesses")
    for name in ("pixel_ap", "picture_ap", "iou"):
        assert tuple(row(table, "knows", name)[["value", "low", "high"]]) == (1, 1, 1)
        one = row(table, "knows", name)
        chance = row(table, "guesses", name)
        assert one["difference"] == pytest.approx(1 - chance["value"])
        # the reference's own interval, the other way round
        assert one["difference_low"] == pytest.approx(1 - chance["high"])
        assert one["difference_high"] == pytest.approx(1 - chance["low"])
    assert row(table, "knows", "false_area")["value"] == 0
    # random maps: their AP is the share of fake pixels, and at the best threshold nearly all is marked
    guess = row(table, "guesses", "picture_ap")
    assert guess["value"] == pytest.approx(guess["chance"], abs=0.05)
    assert row(table, "guesses", "false_area")["value"] > 0.8
    turned = compare(methods, *sets, "knows")
    for name in comparison.MEASURES:
        a, b = row(table, "knows", name), row(turned, "guesses", name)
        assert a["difference"] == -b["difference"]
        assert (a["difference_low"], a["difference_high"]) == pytest.approx(
            (-b["difference_high"], -b["difference_low"])
        )


@pytest.mark.slow
def test_a_patch_classifier_beats_what_knows_no_network(sets: Pair) -> None:
    methods = {
        "classifier": comparison.classifier(where.knowing()), "other label order":
        comparison.classifier(where.knowing(1)), "edges": comparison.edges,
    }  # fmt: skip
    table = compare(methods, *sets, "edges")
    one = row(table, "classifier", "picture_ap")
    assert one["value"] > 0.8 and one["difference_low"] > 0
    assert row(table, "other label order", "picture_ap")["value"] == pytest.approx(one["value"], abs=0.02)
    with pytest.raises(ValueError, match="resnet18 is a whole network and has no map"):
        comparison.classifier(localization.build("resnet18"))


def test_maps_without_a_network_by_hand() -> None:
    step = torch.zeros(1, 3, 8, 10, dtype=torch.uint8)
    step[..., 5:] = 255
    edge = comparison.edges(step)[0]
    assert edge.shape == (8, 10) and (edge[1:-1, [4, 5]] > edge.max() - 1e-12).all()
    assert edge.max() > 0.5 and (edge[:, [0, 1, 2, 7, 8, 9]] < 1e-12).all()
    flat = torch.full((2, 3, 8, 10), 77, dtype=torch.uint8)
    assert comparison.edges(flat).max() < 1e-12 and comparison.high_pass(flat).max() < 1e-12
    dot = torch.zeros(1, 3, 15, 15, dtype=torch.uint8)
    dot[0, :, 7, 7] = 255  # the difference from four neighbours: -4 here, 1 at each of them
    energy = np.zeros((15, 15))
    energy[7, 7], energy[[6, 8, 7, 7], [7, 7, 6, 8]] = 16, 1
    expected = ndimage.gaussian_filter(energy, 1.5, mode="nearest")
    np.testing.assert_allclose(comparison.high_pass(dot, 1.5)[0], expected, atol=1e-12)
    wave = torch.from_numpy(where.traced(where.noise(1))).permute(0, 3, 1, 2)
    smooth = torch.from_numpy(where.noise(1)).permute(0, 3, 1, 2)
    assert comparison.high_pass(wave).mean() > 3 * comparison.high_pass(smooth).mean()


def test_constant_maps_and_scores_that_are_no_numbers(sets: Pair) -> None:
    truth = oracle(*sets)

    def holes(x: torch.Tensor) -> np.ndarray:
        out = truth(x)
        out[:, :12] = np.nan
        return out

    table = compare(
        {
            "truth": truth, "constant": lambda x: np.zeros((len(x), 48, 48)), "holes": holes,
            "nothing": lambda x: torch.full((len(x), 48, 48), torch.nan),
            "infinite": lambda x: np.where(truth(x) > 0, np.inf, -np.inf),
        },
        *sets, "truth",
    )  # fmt: skip
    for name in ("constant", "nothing"):
        for measured in ("pixel_ap", "picture_ap", "iou"):
            one = row(table, name, measured)
            # every pixel is marked: of a picture, the share that is fake is right
            assert one["value"] == pytest.approx(row(table, "truth", "pixel_ap")["chance"]), (name, measured)
            assert one["difference_high"] < 0
        assert row(table, name, "false_area")["value"] == 1
    assert row(table, "nothing", "iou")["missing"] == 1
    assert row(table, "holes", "iou")["missing"] == 0.25
    assert 0.3 < row(table, "holes", "picture_ap")["value"] < 1
    assert row(table, "holes", "false_area")["value"] == 0
    assert row(table, "infinite", "pixel_ap")["value"] == row(table, "infinite", "iou")["value"] == 1
    assert table[["value", "low", "high", "difference", "threshold"]].notna().all(None)


@pytest.mark.slow
def test_fewer_pixels_give_nearly_the_same_and_memory_stays_flat(sets: Pair, tmp_path: Path) -> None:
    def method(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(comparison.high_pass(x)) + 0.02 * luck(x)

    whole, some = (measure(method, *sets, pixels=limit) for limit in (comparison.PIXELS, 6000))
    assert some.pixel_ap == pytest.approx(whole.pixel_ap, abs=0.06) and some.pixel_ap != whole.pixel_ap
    # what belongs to one picture is of all of its pixels
    np.testing.assert_array_equal(some.picture_ap, whole.picture_ap)
    few, many = (where.spliced(tmp_path / f"{n}", n, n // 3, 96, seed=n) for n in (6, 24))
    measure(method, sets[0], few, pixels=20_000)  # so that nothing is loaded within
    peaks = []
    for pictures in (few, many):
        tracemalloc.start()
        measure(method, sets[0], pictures, pixels=20_000, batch_size=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 24 more pictures of 96x96 pixels are 1.8 MB of scores; their resamples take 16 kB each
    assert peaks[1] - peaks[0] < 0.9e6, peaks


def test_methods_may_be_measured_one_at_a_time(sets: Pair, tmp_path: Path) -> None:
    methods = {"high pass": comparison.high_pass, "luck": luck}
    for name, method in methods.items():
        measure(method, *sets, name=name).write(tmp_path / f"{name}.npz")
    kept = {name: comparison.Measured.read(tmp_path / f"{name}.npz") for name in methods}
    pd.testing.assert_frame_equal(comparison.table(kept, "luck"), compare(methods, *sets, "luck"))
    with pytest.raises(FileNotFoundError, match="expected what was measured of a method"):
        comparison.Measured.read(tmp_path / "none.npz")
    (tmp_path / "luck.npz").write_bytes(b"PK no")
    np.savez(tmp_path / "other.npz", threshold=np.array(1.0))
    for name in ("luck", "other"):
        with pytest.raises(ValueError, match=f"{name}.npz holds no numbers of a method"):
            comparison.Measured.read(tmp_path / f"{name}.npz")


def test_a_threshold_is_chosen_once_for_several_tests(sets: Pair) -> None:
    validation, test = sets
    asked: list[int] = []

    def method(pictures: torch.Tensor) -> np.ndarray:
        asked.append(len(pictures))
        return comparison.edges(pictures)

    first = comparison.compare({"edges": method}, validation, test, "edges")
    assert sum(asked) == len(validation) + len(test)
    asked.clear()
    known = first.set_index("method")["threshold"].to_dict()
    again = comparison.compare({"edges": method}, validation, test, "edges", thresholds=known)
    assert sum(asked) == len(test)
    pd.testing.assert_frame_equal(again, first)


def test_pictures_of_several_sizes_and_how_they_form_batches(sets: Pair, tmp_path: Path) -> None:
    mixed = where.spliced(tmp_path / "a", 5, 2, seed=5)
    for place in (1, 4):
        picture, mask = np.zeros((33, 50, 3), dtype=np.uint8), np.zeros((33, 50), dtype=np.uint8)
        mask[3:9, 8:40] = 255
        Image.fromarray(picture + mask[..., None]).save(mixed.images[place])
        Image.fromarray(mask).save(mixed.masks[place])
    sizes: list[tuple[int, ...]] = []

    def method(x: torch.Tensor) -> np.ndarray:
        sizes.append(tuple(x.shape))
        assert x.dtype == torch.uint8
        return comparison.edges(x)

    found = [measure(method, sets[0], mixed, batch_size=size) for size in (1, 2, 100)]
    assert sizes[-5:] == [(1, 3, 48, 48), (1, 3, 33, 50), (2, 3, 48, 48), (1, 3, 33, 50), (2, 3, 48, 48)]
    for one in found[1:]:
        assert one.threshold == found[0].threshold and one.pixel_ap == found[0].pixel_ap
        np.testing.assert_array_equal(one.iou, found[0].iou)
    assert len(found[0].iou) == 5 and len(found[0].false_area) == 2


def test_what_cannot_be_compared_is_one_sentence(sets: Pair, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no method is called 'b': expected one of a"):
        compare({"a": luck}, *sets, "b")
    with pytest.raises(ValueError, match="8 pictures are in validation and in test"):
        compare({"a": luck}, sets[0], sets[0], "a")
    with pytest.raises(
        ValueError, match=r"a, validation: scores of shape \(8, 3, 48, 48\) for 8 pictures of 48x48"
    ):
        compare({"a": lambda x: x}, *sets, "a")
    authentic = where.spliced(tmp_path / "a", 0, 2)
    with pytest.raises(ValueError, match="none of 2 masks has anything in it: expected spliced pictures to"):
        measure(luck, sets[0], authentic)
    with pytest.raises(ValueError, match="masks has anything in it"):
        measure(luck, authentic, sets[1])
    with pytest.raises(ValueError, match="batch size 0"):
        measure(luck, *sets, batch_size=0)
    other = measure(luck, sets[1], sets[0])
    with pytest.raises(ValueError, match="b and a were measured on different pictures"):
        comparison.table({"a": measure(luck, *sets), "b": other}, "a")
