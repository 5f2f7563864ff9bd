"""The published augmentations, as stated and as the published code does them."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import correlate1d

from tff_core.attribution import augmentation


def picture(height: int = 40, width: int = 40, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
    return (255 * smooth).round().to(torch.uint8)


@pytest.mark.parametrize("kernel", augmentation.KERNELS)
@pytest.mark.parametrize("legacy", [False, True])
def test_blur_is_a_gaussian_of_the_stated_kernel(kernel: int, legacy: bool) -> None:
    x = picture()
    sigma = 4.0 if legacy else 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    taps = np.exp(-0.5 * (np.arange(kernel) - kernel // 2) ** 2 / sigma**2)
    taps /= taps.sum()
    expected = x.numpy().astype(float)
    for axis in (1, 2):
        expected = correlate1d(expected, taps, axis=axis, mode="mirror")
    np.testing.assert_allclose(augmentation.blur(x, kernel, legacy).numpy(), expected, atol=1.01)
    assert augmentation.blur(x[:, :2, :2], kernel, legacy).shape == (3, 2, 2)


def test_a_crop_is_resized_back_and_the_published_one_is_turned() -> None:
    x = picture(40, 60)
    kept = augmentation.crop(x, (0.2, 0.1), (0.0, 1.0))
    assert kept.shape == x.shape
    corner = x[:, :32, 6:]
    expected = Image.fromarray(corner.permute(1, 2, 0).numpy()).resize((60, 40), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(
        kept.permute(1, 2, 0).numpy().astype(int), np.asarray(expected).astype(int), atol=6
    )
    assert augmentation.crop(x, (0.2, 0.1), (0.5, 0.5), legacy=True).shape == (3, 60, 40)


def test_jpeg_has_the_stated_quality_and_the_published_one_none() -> None:
    x = picture()

    def round_trip(pixels: np.ndarray, quality: int) -> np.ndarray:
        with io.BytesIO() as buffer:
            Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
            return np.asarray(Image.open(buffer)).astype(int)

    rgb = x.permute(1, 2, 0).numpy()
    for quality in (10, 74):
        found = augmentation.jpeg(x, quality).permute(1, 2, 0).numpy().astype(int)
        assert np.abs(found - round_trip(rgb, quality)).mean() < 1
        legacy = augmentation.jpeg(x, quality, legacy=True).permute(1, 2, 0).numpy().astype(int)
        expected = round_trip(np.ascontiguousarray(rgb[..., ::-1]), 95)[..., ::-1]
        assert np.abs(legacy - expected).mean() < 1
        assert np.abs(legacy - rgb).mean() < np.abs(found - rgb).mean()


def test_noise_has_the_stated_variance_and_the_published_one_that_deviation() -> None:
    x = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    unit = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert augmentation.noise(x, 16.0, unit).float().var() == pytest.approx(16 + 1 / 12, rel=0.03)
    assert augmentation.noise(x, 16.0, unit, legacy=True).float().std() == pytest.approx(16, rel=0.03)


def test_each_operation_is_applied_to_half_of_the_pictures_and_told() -> None:
    x = picture(16, 16)[None].expand(600, 3, 16, 16)
    found, done = augmentation.augment(x, torch.Generator().manual_seed(0))
    for name in augmentation.OPERATIONS:
        assert np.mean([name in words for words in done]) == pytest.approx(0.5, abs=0.08)
    assert np.mean([words == "" for words in done]) == pytest.approx(1 / 16, abs=0.04)
    numbers = {name: [] for name in ("blur", "jpeg", "noise")}  # type: ignore[var-annotated]
    for words in done:
        order = [re.match(r"[a-z]+", word)[0] for word in words.split("_") if word]  # type: ignore[index]
        assert order == [name for name in augmentation.OPERATIONS if name in order]
        for name, values in numbers.items():
            values += map(int, re.findall(rf"{name}(\d+)", words))
    assert set(numbers["blur"]) == {3, 5, 7, 9}
    assert min(numbers["jpeg"]) >= 10 and max(numbers["jpeg"]) <= 74
    assert min(numbers["noise"]) >= 5 and max(numbers["noise"]) <= 20
    for one, words in zip(found, done, strict=True):
        assert torch.equal(one, x[0]) == (words == "") or words
    again, _ = augmentation.augment(x, torch.Generator().manual_seed(0))
    assert torch.equal(found, again)
    # what one operation draws does not change with the others
    jpegs, _ = augmentation.augment(x, torch.Generator().manual_seed(0), ["jpeg"])
    alone = [i for i, words in enumerate(done) if re.fullmatch(r"jpeg\d+", words)]
    assert alone and torch.equal(jpegs[alone], found[alone])


def test_what_makes_no_sense_is_refused() -> None:
    x, g = picture()[None], torch.Generator()
    with pytest.raises(ValueError, match="unknown augmentation 'zoom'"):
        augmentation.augment(x, g, ["zoom"])
    with pytest.raises(ValueError, match="expected uint8 pictures"):
        augmentation.augment(x.float(), g)
    with pytest.raises(ValueError, match="expected squares"):
        augmentation.augment(x[..., :20], g, legacy=True)
