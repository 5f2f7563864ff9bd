"""Planted traces: where they are told to be, as strong as told, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tff_core.miniature import camera, planted, scenes
from tff_core.miniature.planted import Trace, measure, plant, remove
from tff_core.pictures import data
from tff_core.store.results import read_json

TRACES = [
    Trace("Y", 2, 4.0), Trace("Cb", 4, 6.0, phase=1), Trace("Cr", 8, 5.0, direction="rows"),
    Trace("Cr", 2, 6.0, direction="both"), Trace("Y", 16, 3.0, phase=2.5),
]  # fmt: skip


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    names = [(label, index) for label in scenes.CLASSES for index in range(3)]
    return [camera.take("generators", *name, camera=camera.EDITION_2).pixels for name in names]


def channels(pixels: np.ndarray) -> np.ndarray:
    """Y, Cb and Cr in floating point, by JPEG's own formulas."""
    r, g, b = np.moveaxis(pixels.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([y, (b - y) / 1.772, (r - y) / 1.402])


@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_what_is_planted_is_what_was_told(trace: Trace, photographs: list[np.ndarray]) -> None:
    gained = []
    for pixels in photographs:
        changed = plant(pixels, trace)
        gained.append(measure(changed.pixels, trace) - measure(pixels, trace))
        if changed.clipped == 0:
            others = [i for i, name in enumerate(planted.CHANNELS) if name != trace.channel]
            # the other channels keep their values, up to the rounding of three 8-bit numbers
            moved = channels(changed.pixels) - channels(pixels)
            assert np.abs(moved[others]).max() < 1
            assert abs(moved[planted.CHANNELS.index(trace.channel)]).max() < trace.amplitude + 1
    assert np.median(gained) == pytest.approx(trace.amplitude, rel=0.06)


def test_a_trace_is_only_where_it_was_planted(photographs: list[np.ndarray]) -> None:
    where = np.zeros((64, 64), dtype=bool)
    where[10:40, 20:50] = True
    trace = Trace("Cr", 4, 8.0)
    found = plant(photographs[0], trace, where).pixels
    assert np.array_equal(found[~where], photographs[0][~where])
    assert measure(found, trace, where) - measure(photographs[0], trace, where) > 6
    assert measure(found, trace, ~where) == measure(photographs[0], trace, ~where)
    assert np.array_equal(plant(photographs[0], trace, np.zeros_like(where)).pixels, photographs[0])


@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_a_trace_of_any_phase_and_amplitude_is_taken_out(trace: Trace, photographs: list[np.ndarray]) -> None:
    for pixels in photographs[:4]:
        shifted = replace(trace, phase=trace.phase + 0.7, amplitude=trace.amplitude + 2)
        bare = remove(plant(pixels, shifted).pixels, trace)
        if bare.clipped < 0.01:
            # 8 bits leave half a level
            assert abs(measure(bare.pixels, trace)) < 0.6
            late = replace(trace, phase=trace.phase + trace.period / 4)
            assert trace.period == 2 or abs(measure(bare.pixels, late)) < 0.6
    nowhere = np.zeros((64, 64), dtype=bool)
    assert np.array_equal(remove(photographs[0], trace, nowhere).pixels, photographs[0])


def test_a_wave_has_its_period_phase_and_direction() -> None:
    wave = Trace("Y", 4, 1.0, phase=1).wave(3, 8)
    np.testing.assert_allclose(wave, np.tile([0, -1, 0, 1], (3, 2)), atol=1e-12)
    np.testing.assert_array_equal(Trace("Y", 4, 1.0, 1, "rows").wave(8, 3), wave.T)
    both = Trace("Y", 2, 1.0, direction="both").wave(4, 4)
    np.testing.assert_allclose(both, (-1.0) ** np.add.outer(np.arange(4), np.arange(4)), atol=1e-12)


def test_what_would_leave_the_range_of_colours_is_counted() -> None:
    white = np.full((8, 8, 3), 254, dtype=np.uint8)
    assert plant(white, Trace("Y", 2, 10.0)).clipped == 0.5
    assert plant(white, Trace("Y", 2, 1.0)).clipped == 0
    assert measure(white, Trace("Y", 2, 1.0), np.zeros((8, 8), dtype=bool)) == 0
    one_column = np.zeros((8, 8), dtype=bool)
    one_column[:, 3] = True
    assert measure(white, Trace("Y", 2, 1.0), one_column) == 0  # a wave along columns has one value there


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channel": "R"}, "channel is 'R': expected one of Y, Cb, Cr"),
        ({"direction": "up"}, "direction is 'up': expected one of columns, rows, both"),
        ({"period": 1}, "period is 1: expected 2 pixels at least"),
        ({"period": float("nan")}, "period is nan"),
        ({"amplitude": -1}, "amplitude is -1, its phase 0.0: expected 0 to 127"),
        ({"phase": float("inf")}, "its phase inf"),
    ],
)
def test_a_trace_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Trace("Y", 2, 1.0), **settings)


def test_a_folder_of_them_can_be_learnt_from_and_its_masks_fit(tmp_path: Path) -> None:
    trace = Trace("Cb", 2, 12.0)
    manifest = planted.sample("test", trace, tmp_path, 4, progress=False)
    images = data.scan(tmp_path)
    assert images.counts == (4, 4) and set(manifest["files"]) >= {"mask/00003.png"}
    for i in range(4):
        real, fake, mask = (
            np.asarray(Image.open(tmp_path / folder / f"{i:05d}.png")) for folder in (*data.LABELS, "mask")
        )
        scene = camera.take("test-source", *planted.scene_of(i), 0, 64, "planted", camera.EDITION_2).pixels
        assert np.array_equal(fake[mask == 0], scene[mask == 0]) and set(np.unique(mask)) == {0, 255}
        assert not np.array_equal(real, scene)
        assert measure(fake, trace, mask > 0) > measure(scene, trace, mask > 0) + 5


def test_another_trace_leaves_scenes_and_places_and_an_interrupted_folder_is_completed(
    tmp_path: Path,
) -> None:
    whole = planted.sample("val", Trace("Y", 4, 9.0), tmp_path / "a", 3, progress=False)
    planted.sample("val", Trace("Cr", 2, 9.0), tmp_path / "b", 3, progress=False)
    for folder, same in (("0_real", True), ("mask", True), ("1_fake", False)):
        for i in range(3):
            a, b = (
                np.asarray(Image.open(tmp_path / where / folder / f"{i:05d}.png")) for where in ("a", "b")
            )
            assert np.array_equal(a, b) == same
    (tmp_path / "a" / data.MANIFEST).unlink()
    (tmp_path / "a" / "1_fake" / "00001.png").write_bytes(b"half")
    kept = (tmp_path / "a" / "mask" / "00001.png").stat().st_mtime_ns
    assert planted.sample("val", Trace("Y", 4, 9.0), tmp_path / "a", 3, progress=False) == whole
    assert (tmp_path / "a" / "mask" / "00001.png").stat().st_mtime_ns == kept
    assert planted.sample("val", Trace("Y", 4, 9.0), tmp_path / "a", 2, progress=False)["counts"] == {
        "real": 2, "fake": 2,
    }  # fmt: skip
    assert len(list((tmp_path / "a").rglob("*.png"))) == 6
    everywhere = planted.sample("val", Trace("Y", 4, 9.0), tmp_path / "c", 1, whole=True, progress=False)
    assert read_json(tmp_path / "c" / data.MANIFEST)["files"] == everywhere["files"]
    stamp = (tmp_path / "c" / data.MANIFEST).stat().st_mtime_ns
    planted.sample("val", Trace("Y", 4, 9.0), tmp_path / "c", 1, whole=True, progress=False)
    assert (tmp_path / "c" / data.MANIFEST).stat().st_mtime_ns == stamp
    assert np.asarray(Image.open(tmp_path / "c" / "mask" / "00000.png")).min() == 255
