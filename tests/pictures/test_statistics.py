"""Statistics of pictures, held to pictures whose statistics are known."""

import numpy as np
import pytest

from tff_core.pictures import statistics


def picture(luma, blue=0.0, red=0.0):
    """uint8 (1, H, W, 3) with the given luma and colour differences, each (H, W) or a number."""
    luma, blue, red = np.broadcast_arrays(luma, blue, red)
    r, b = luma + red / 0.713, luma + blue / 0.564
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    return (np.stack([r, g, b], 2)[None] * 255 + 0.5).astype(np.uint8)


def power_law(size, exponent, rng, spread=0.08):
    """A plane (size, size) around 0 whose power falls as frequency to the power of -``exponent``."""
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    radius[0, 0] = 1
    plane = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * radius ** (-exponent / 2))
    plane -= plane.mean()
    return spread * plane / plane.std()


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("size", [64, 96])
def test_the_slope_of_a_power_law_is_its_exponent(exponent, size):
    rng = np.random.default_rng(0)
    planes = np.stack([power_law(size, exponent, rng) for _ in range(20)])
    slope, high_to_low = statistics.spectrum(planes.astype(np.float32))
    assert slope.mean() == pytest.approx(-exponent, abs=0.12)
    # 0.44 against 0.08 cycles per pixel, in round numbers
    assert high_to_low.mean() == pytest.approx(-exponent * np.log(0.44 / 0.08), rel=0.25)


def test_each_plane_has_its_own_slope_after_rounding_to_8_bits():
    rng = np.random.default_rng(1)
    pictures = np.concatenate(
        [
            picture(0.5 + power_law(64, 1, rng), power_law(64, 2, rng, 0.05), power_law(64, 2.5, rng, 0.05))
            for _ in range(10)
        ]
    )
    found = statistics.measure(pictures)
    slopes = [found[f"slope {plane}"].mean() for plane in statistics.PLANES]
    assert slopes == pytest.approx([-1, -2, -2.5], abs=0.25)


def test_doubled_chroma_has_alike_pairs_and_a_shift_by_a_column_flips_the_sign():
    rng = np.random.default_rng(2)
    luma, blue = 0.5 + 0.05 * rng.standard_normal((64, 64)), 0.04 * rng.standard_normal((64, 64))
    red = 0.04 * rng.standard_normal((64, 32)).repeat(2, axis=1)
    found = statistics.measure(picture(luma, blue, red))
    shifted = statistics.measure(picture(luma, blue, red)[:, :, 1:])
    assert found["pair across Cr"][0] < -1.5 and shifted["pair across Cr"][0] > 1.5
    for name in ("pair across Y", "pair across Cb", "pair down Y", "pair down Cb", "pair down Cr"):
        assert abs(found[name][0]) < 0.15, name
    turned = statistics.measure(picture(luma, blue, red).swapaxes(1, 2))
    assert turned["pair down Cr"][0] == pytest.approx(found["pair across Cr"][0], abs=1e-5)


def test_detail_of_a_checkerboard_is_what_it_is_by_hand():
    board = np.indices((32, 32)).sum(0) % 2 * 2 - 1.0
    found = statistics.details(picture(0.5 + 0.1 * board, 0.05 * board))
    # a pixel differs from each of its neighbours by twice the amplitude
    assert found["luma detail"][0] == pytest.approx(0.2, rel=0.03)
    assert found["chroma detail"][0] == pytest.approx(0.1, rel=0.03)
    assert found["chroma to luma"][0] == pytest.approx(0.5, rel=0.03)


def test_saturation_is_the_distance_between_the_channels():
    pictures = np.zeros((2, 16, 16, 3), np.uint8)
    pictures[1, :8] = [255, 51, 0]
    assert statistics.details(pictures)["saturation"] == pytest.approx([0, 0.5])


@pytest.mark.parametrize(("factor", "expected"), [(0.5, 1), (-0.5, -1), (0, 0)])
def test_luma_and_red_go_together_as_far_as_they_were_made_to(factor, expected):
    noise = 0.08 * np.random.default_rng(3).standard_normal((64, 64))
    found = statistics.measure(picture(0.5 + noise, 0, factor * noise))["correlation Y Cr"][0]
    assert found == pytest.approx(expected, abs=0.05)


def test_a_flat_and_a_gray_picture_have_finite_statistics():
    flat, gray = (
        np.full((1, 32, 32, 3), 90, np.uint8),
        np.random.default_rng(4).integers(0, 256, (1, 32, 32, 1)),
    )
    for pictures in (flat, gray.repeat(3, 3).astype(np.uint8)):
        found = statistics.measure(pictures)
        assert all(np.isfinite(value).all() for value in found.values())
        for name in ("chroma detail", "saturation", "slope Cb", "pair across Cr", "correlation Y Cr"):
            assert found[name][0] == pytest.approx(0, abs=1e-3), name


def test_a_picture_has_the_same_statistics_alone_and_in_company():
    pictures = np.random.default_rng(5).integers(0, 256, (5, 24, 40, 3), dtype=np.uint8)
    together = statistics.measure(pictures)
    for i in range(5):
        for name, value in statistics.measure(pictures[i : i + 1]).items():
            assert value.shape == (1,)
            assert value[0] == pytest.approx(together[name][i], rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((1, 16, 16, 3), np.float32),
        np.zeros((1, 8, 16, 3), np.uint8),
    ],
)
def test_what_is_no_set_of_pictures_is_named(wrong):
    with pytest.raises(ValueError, match=r"pictures \(N, H, W, 3\) of type uint8, at least 16 x 16.*found"):
        statistics.measure(wrong)
