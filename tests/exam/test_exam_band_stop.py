"""Bands of frequencies: what is taken out, as much elsewhere, and what maps of a known kind respond to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exam_pictures import detector, draw
from torch import Tensor

from tff_core import lrp, spectra
from tff_core.exam import band_stop, robustness
from tff_core.exam.band_stop import CHANNELS
from tff_core.features.rankings import feature_maps
from tff_core.pictures import data

BANDS = band_stop.octaves(3)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, data.ImageSet]:
    return {"one": draw(tmp_path_factory.mktemp("bands") / "one", 4, 0)}


@pytest.fixture
def noise() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 24, 20), dtype=np.uint8))


def energy(values: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fft2(values)) ** 2


def test_octaves_halve_and_are_named() -> None:
    assert BANDS == [(0.25, 1.0), (0.125, 0.25), (0.0625, 0.125)]
    assert [band_stop.name(b) for b in BANDS] == ["1/4 and finer", "1/8 to 1/4", "1/16 to 1/8"]
    with pytest.raises(ValueError, match="0 octaves: expected at least one"):
        band_stop.octaves(0)


def test_planes_are_those_that_a_detector_sees_and_come_back(noise: Tensor) -> None:
    seen = data.normalize(noise, data.Preprocessing((0, 0, 0), (1, 1, 1), planes="ycbcr"))
    found = band_stop.planes(noise)
    found[:, 1:] += 0.5
    assert found == pytest.approx(seen.numpy(), abs=1e-5)
    assert band_stop.colours(band_stop.planes(noise)).numpy() == pytest.approx(noise.numpy() / 255, abs=1e-5)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_band_is_gone_and_nothing_else_is_touched(noise: Tensor, channel: str) -> None:
    at = CHANNELS.index(channel)
    before = band_stop.planes(noise)
    for band in BANDS:
        after = band_stop.planes(band_stop.stop(noise, channel, band))
        alone = band_stop.planes(band_stop.only(noise, channel, band))
        radius = spectra.radius(24, 20)
        inside = (radius >= band[0]) & (radius < band[1])
        others = [i for i in range(3) if i != at]
        assert after[:, others] == pytest.approx(before[:, others], abs=1e-5)
        assert energy(after[:, at])[:, inside] == pytest.approx(0, abs=1e-4)
        kept = ~inside
        f = np.fft.fft2(before[:, at])
        assert np.fft.fft2(after[:, at])[:, kept] == pytest.approx(f[:, kept], abs=1e-3)
        assert np.fft.fft2(alone[:, at])[:, inside] == pytest.approx(f[:, inside], abs=1e-3)
        assert alone[:, others] == pytest.approx(
            before[:, others].mean((2, 3), keepdims=True).repeat(24, 2).repeat(20, 3), abs=1e-5
        )


@pytest.mark.parametrize("highpass", [None, 3, 5])
def test_the_control_takes_as_much_of_what_the_detector_sees_elsewhere(
    noise: Tensor, highpass: int | None
) -> None:
    seen = data.Preprocessing((0, 0, 0), (1, 1, 1), planes="ycbcr", highpass=highpass)
    for channel, band in (("Y", BANDS[2]), ("Cb", BANDS[1])):
        after, matched = band_stop.control(noise, channel, band, [0, 1, 2], highpass)
        assert matched == pytest.approx(1)
        again, _ = band_stop.control(noise, channel, band, [0, 1, 2], highpass)
        assert torch.equal(after, again)
        other, _ = band_stop.control(noise, channel, band, [0, 1, 2], highpass, seed=1)
        assert not torch.equal(after, other)
        at = CHANNELS.index(channel)
        before, values = band_stop.planes(noise), band_stop.planes(after)
        f = np.fft.fft2(before[:, at])
        radius = spectra.radius(24, 20)
        inside = (radius >= band[0]) & (radius < band[1])
        assert np.fft.fft2(values[:, at])[:, inside] == pytest.approx(f[:, inside], abs=1e-3)
        # as the network's own preprocessing has it, away from the borders
        lost = [
            data.normalize(noise / 255, seen) - data.normalize(changed, seen)
            for changed in (band_stop.stop(noise, channel, band), after)
        ]
        inner = [float(one[:, at, 3:-3, 3:-3].square().sum()) for one in lost]
        assert inner[1] == pytest.approx(inner[0], rel=0.35)  # borders, and where waves happen to cancel
        weights = band_stop._weights(24, 20, highpass)
        gone = [
            (energy(before[:, at] - band_stop.planes(changed)[:, at]) * weights).sum((1, 2))
            for changed in (band_stop.stop(noise, channel, band), after)
        ]
        assert gone[1] == pytest.approx(gone[0], rel=1e-3)


def test_a_control_that_has_too_little_left_takes_all_and_says_so() -> None:
    wave = (128 + 60 * (-1.0) ** np.arange(16))[None, None, None] * np.ones((1, 3, 16, 16))
    x = torch.from_numpy(wave.round().astype(np.uint8))
    after, matched = band_stop.control(x, "Y", BANDS[0], [0])
    assert matched == pytest.approx(0, abs=1e-6)
    assert after.numpy() == pytest.approx(x.numpy() / 255, abs=1e-5)
    flat = torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)  # no band has anything
    after, matched = band_stop.control(flat, "Y", BANDS[0], [0])
    assert matched == 1 and after.numpy() == pytest.approx(90 / 255, abs=1e-5)


@pytest.mark.slow
def test_a_detector_of_columns_lives_on_the_finest_octave_of_luma(images: dict[str, data.ImageSet]) -> None:
    net = lrp.canonize(detector())
    asked = band_stop.conditions(BANDS)
    assert len(asked) == 18
    found = robustness.watch(net, images, asked, k=2, explained=2, resamples=4)
    table = robustness.curves([found], [0.0], 50)
    right = table[(table["measure"] == "fake right") & (table["generator"] == robustness.MEAN)]
    right = right.set_index(["operation", "level"])["value"]
    assert right["stop Y", 0.25] == 0
    stopped = right[right.index.get_level_values("operation").str.startswith("stop")]
    assert (stopped.drop(("stop Y", 0.25)) == 1).all()
    assert right["control Y", 0.25] == 1  # as much of the same plane, but not the trace
    lost = band_stop.contrast([found], 50).set_index(["measure", "channel", "level"])
    one = lost.loc[("AP", "Y", 0.25)]
    assert one["control"] == 1 and one["value"] == pytest.approx(one["stop"] - 1)
    assert one["low"] <= one["value"] <= one["high"] and one["value"] < 0 and one["n_fake"] == 4
    assert lost["value"][("AP", "Cr", 0.25)] == 0 and lost.loc["omega", "n_fake"].eq(2).all()
    three = band_stop.contrast([found] * 3, 50).set_index(["measure", "channel", "level"])
    assert three["value"].to_numpy() == pytest.approx(lost["value"].to_numpy(), nan_ok=True)
    share = band_stop.matched(images, BANDS).set_index(["channel", "level"])["matched"]
    assert share["Y", 0.125] > 0.9 and len(share) == 9 and (share <= 1 + 1e-9).all()


def test_maps_respond_to_what_they_are_made_for(images: dict[str, data.ImageSet]) -> None:
    net = lrp.canonize(detector())
    table = band_stop.tuning(net, data.load(images["one"]), BANDS, batch_size=3)
    assert len(table) == 4 * 9
    keys = [str(m) for m in feature_maps(net)]
    best = table.loc[table.groupby("key", sort=False)["response"].idxmax()].set_index("key")
    assert best.loc[keys[:2], "channel"].tolist() == ["Y", "Y"] and set(best.loc[keys[:2], "level"]) == {0.25}
    assert best.loc[keys[2:], "channel"].tolist() == ["Cb", "Cb"]
    assert table.groupby("key")["share"].sum().to_numpy() == pytest.approx(1)
    assert (table["response"] >= 0).all()
    sets = {"luma": feature_maps(net)[:2], "all": feature_maps(net), "none": []}
    groups = band_stop.groups(table, sets, 100).set_index(["group", "channel", "level"])
    one = groups.loc[("luma", "Y", 0.25)]
    own = table.query(f"key in {keys[:2]} and channel == 'Y' and level == 0.25")["share"]
    assert one["value"] == pytest.approx(own.mean()) and one["low"] <= one["value"] <= one["high"]
    assert (one["n_maps"], one["silent"]) == (2, 0)
    assert groups.loc["none"]["value"].isna().all()


def test_maps_without_a_response_are_counted(images: dict[str, data.ImageSet]) -> None:
    dead = detector()
    dead[0].bias[:] = -50.0  # type: ignore[index,operator]
    net = lrp.canonize(dead)
    table = band_stop.tuning(net, data.load(images["one"]), BANDS[:1])
    assert table["share"].isna().all() and (table["response"] == 0).all()
    found = band_stop.groups(table, {"all": feature_maps(net)})
    assert (found["silent"] == 4).all() and (found["n_maps"] == 0).all() and found["value"].isna().all()
    with pytest.raises(ValueError, match="no measurement"):
        band_stop.contrast([])
    with pytest.raises(ValueError, match="no pictures"):
        band_stop.tuning(net, torch.zeros(0, 3, 8, 8, dtype=torch.uint8), BANDS)
    with pytest.raises(ValueError, match="channel 'X': expected one of Y, Cb, Cr"):
        band_stop.stop(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "X", BANDS[0])
