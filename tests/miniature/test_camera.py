"""The cameras: the first draws what it always drew, the others leave no grid in their pictures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from tff_core.miniature import camera, scenes
from tff_core.miniature.camera import CAMERAS, EDITION_1, EDITION_2, OTHER, Camera, Frame
from tff_core.pictures import statistics

# one worker makes the pictures and networks for all
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("camera")]


@pytest.fixture(scope="module")
def pictures():
    """100 pictures of each camera, by its name."""
    names = [(scenes.CLASSES[i % 4], i // 4) for i in range(100)]
    return {
        by.name: np.stack([camera.take("generators", *name, camera=by).pixels for name in names])
        for by in CAMERAS.values()
    }


# --- the first edition


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("generators", "facade", 0), "940ffdc17b342091"),
        (("test", "landscape", 3, 0, 64, "progan"), "547d48753407a792"),
        (("val", "stilllife", 2, 1, 64, ""), "09aa6f628fd54d55"),
        (("train", "pebbles", 7, 0, 96, "progan"), "101ba702b9b3ff74"),
    ],
)
def test_the_first_camera_takes_the_pictures_of_the_first_edition(arguments, expected):
    picture = camera.take(*arguments, camera=EDITION_1)
    content = picture.pixels.tobytes() + picture.segments.tobytes()
    assert hashlib.sha256(content).hexdigest().startswith(expected)


# --- sensor


@pytest.mark.parametrize("by", CAMERAS.values(), ids=CAMERAS)
def test_the_sensor_sees_one_colour_per_pixel_and_a_flat_field_survives_it(by):
    colour = np.array([0.6, 0.3, 0.1], np.float32)
    raw = camera._mosaic(np.broadcast_to(colour, (24, 24, 3)), by.mosaic)
    for row in range(24):
        for column in range(24):
            letter = by.mosaic[row % len(by.mosaic)][column % len(by.mosaic[0])]
            assert raw[row, column] == colour["RGB".index(letter)]
    assert np.allclose(camera._demosaic(raw, by.mosaic), colour, atol=1e-6)


@pytest.mark.parametrize("by", CAMERAS.values(), ids=CAMERAS)
def test_demosaicing_keeps_the_green_that_was_measured(by):
    image = np.random.default_rng(0).uniform(0.2, 0.8, (24, 24, 3)).astype(np.float32)
    rebuilt = camera._demosaic(camera._mosaic(image, by.mosaic), by.mosaic)
    green = camera._tiled(by.mosaic, 24) == 1
    assert np.allclose(rebuilt[green][:, 1], image[green][:, 1], atol=1e-6)


def test_the_first_camera_keeps_red_and_blue_too():
    image = np.random.default_rng(0).uniform(0.2, 0.8, (24, 24, 3)).astype(np.float32)
    rebuilt = camera._demosaic(camera._mosaic(image, EDITION_1.mosaic), EDITION_1.mosaic)
    assert np.allclose(rebuilt[0::2, 0::2, 0], image[0::2, 0::2, 0], atol=1e-6)
    assert np.allclose(rebuilt[1::2, 1::2, 2], image[1::2, 1::2, 2], atol=1e-6)


# --- frames and segments


@pytest.mark.parametrize("size", [16, 64, 96, 128])
@pytest.mark.parametrize("by", CAMERAS.values(), ids=CAMERAS)
def test_frames_lie_within_the_sensor_and_pictures_have_their_size(by, size):
    rng = np.random.default_rng(0)
    for _ in range(50):
        frame = Frame.draw(by, size, rng)
        assert by.reduction[0] <= frame.step <= by.reduction[1]
        for start in (frame.left, frame.top):
            assert start >= 0 and start + size * frame.step <= frame.side + 1e-9
            at = frame.nearest(start)
            assert at.min() >= 0 and at.max() < frame.side and len(at) == size
    picture = camera.take("val", "landscape", 1, size=size, camera=by)
    assert picture.pixels.shape == (size, size, 3) and picture.pixels.dtype == np.uint8
    assert picture.segments.shape == (size, size) and picture.segments.dtype == np.uint8


@pytest.mark.parametrize("by", [EDITION_2, OTHER], ids=["2", "other"])
def test_segments_lie_where_the_pixels_are(by):
    sharp = replace(by, optics=(0.2, 0.2), shot_noise=(0, 0), sharpened=0, quality=None, saturation=(1, 1))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        frame = Frame.draw(sharp, 64, rng)
        blocks = rng.integers(0, 2, (frame.side // 8 + 1,) * 2).astype(np.uint8)
        segments = blocks.repeat(8, 0).repeat(8, 1)[: frame.side, : frame.side]
        linear = (segments * np.float32(0.5))[..., None].repeat(3, 2)
        pixels = camera.photograph(linear, rng, frame, sharp)
        found = segments[np.ix_(frame.nearest(frame.top), frame.nearest(frame.left))]
        bright = pixels.mean(2) > (pixels.max() / 2)
        at_border = np.zeros((64, 64), bool)  # of a segment, where a pixel may be either
        for axis in (0, 1):
            differs = np.diff(found.astype(int), axis=axis) != 0
            at_border |= np.pad(differs, [(0, 1), (0, 0)] if axis == 0 else [(0, 0), (0, 1)])
            at_border |= np.pad(differs, [(1, 0), (0, 0)] if axis == 0 else [(0, 0), (1, 0)])
        inner = ~at_border
        assert inner.mean() > 0.2 and (bright == found)[inner].mean() > 0.98
        shifted = np.roll(found, 1, axis=1)
        assert (bright == found).mean() > (bright == shifted).mean()


# --- no fixed place for a grid, gray pictures, no grain


@pytest.mark.slow
def test_only_the_first_camera_leaves_a_grid_that_starts_in_the_corner(pictures):
    for by in CAMERAS.values():
        planes = statistics.planes(pictures[by.name])
        for channel in (1, 2):
            pairs = statistics.pair(planes[..., channel])
            assert (abs(pairs.mean()) < 0.03) == (by != EDITION_1), (by.name, pairs.mean())
        across = np.abs(np.diff(planes[..., 1], axis=2)).mean((0, 1))
        every_eighth = across[7::8].mean() / across.mean()
        assert (every_eighth > 1.3) if by == EDITION_1 else (0.9 < every_eighth < 1.1), (
            by.name,
            every_eighth,
        )


@pytest.mark.slow
@pytest.mark.parametrize("by", CAMERAS.values(), ids=CAMERAS)
def test_gray_and_colourful_pictures_are_ordinary(by, pictures):
    spread = np.ptp(pictures[by.name].astype(int), axis=3).mean((1, 2))
    assert 0.02 < (spread < 8).mean() < 0.4 and (spread > 40).mean() > 0.1


def test_a_flat_scene_has_hardly_any_grain():
    for by in CAMERAS.values():
        deviations = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            frame = Frame.draw(by, 64, rng)
            flat = np.full((frame.side, frame.side, 3), 0.25, np.float32)
            pixels = camera.photograph(flat, rng, frame, by).astype(float)
            assert abs(np.ptp(pixels.mean((0, 1)))) < 3  # gray stays gray
            deviations.append(pixels.mean(2).std())
        assert np.median(deviations) < 1.6, by.name  # levels of 255


# --- records


@pytest.mark.parametrize("by", CAMERAS.values(), ids=CAMERAS)
def test_a_camera_survives_its_record(by):
    assert Camera.of(json.loads(json.dumps(asdict(by)))) == by


def test_cameras_differ():
    shown = [camera.take("val", "facade", 2, camera=by).pixels.tobytes() for by in CAMERAS.values()]
    assert len(set(shown)) == 3


@pytest.mark.parametrize(
    "change", [{"filters": ()}, {"margin": 0}, {"margin": 0, "reduction": (2, 3), "filters": ()}]
)
def test_a_camera_that_cannot_place_its_pictures_is_named(change):
    with pytest.raises(
        ValueError, match="camera '2' cannot place its pictures: expected a margin and filters"
    ):
        replace(EDITION_2, **change)
