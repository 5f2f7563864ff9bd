"""What attribution networks see: SciPy's cosine transform, statistics in any batches, files of both kinds."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from tff_core.attribution import inputs


def drawn(n: int, height: int = 12, width: int = 10, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), generator=g, dtype=torch.uint8)


def test_spectra_are_those_of_scipy_on_pillows_luma() -> None:
    x = drawn(3)
    found = inputs.spectrum(x)
    for picture, spectrum in zip(x, found, strict=True):
        luma = np.asarray(Image.fromarray(picture.permute(1, 2, 0).numpy()).convert("L"), dtype=np.float64)
        expected = np.log(np.abs(dctn(luma, type=2, norm="ortho")) + 1e-12)
        np.testing.assert_allclose(spectrum[0].numpy(), expected, rtol=0, atol=1e-8)
    # of a flat picture all but the mean is nothing, which float32 could not tell from little
    flat = inputs.spectrum(torch.full((1, 3, 8, 8), 77, dtype=torch.uint8))[0, 0]
    assert float(flat[0, 0]) == pytest.approx(np.log(77 * 8)) and float(flat.flatten()[1:].max()) < -20


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 1, 12, 7), (3, 1, 64, 64)])
def test_both_ways_of_the_transform_are_its_definition(shape: tuple[int, ...]) -> None:
    plane = torch.rand(shape, generator=torch.Generator().manual_seed(1)).double() * 255

    def cosines(side: int) -> torch.Tensor:
        k, n = torch.arange(side).double()[:, None], torch.arange(side).double()
        waves = torch.cos(torch.pi * k * (2 * n + 1) / (2 * side)) * (2 / side) ** 0.5
        waves[0] /= 2**0.5
        return waves

    expected = cosines(shape[-2]) @ plane @ cosines(shape[-1]).T
    for transform in (inputs._fast, inputs._products):
        assert torch.allclose(transform(plane), expected, rtol=0, atol=1e-9)


def test_pixels_are_between_minus_one_and_one() -> None:
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(inputs.pixels(x).flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    for wrong in (x.float(), x[0]):
        with pytest.raises(ValueError, match="expected uint8 pictures"):
            inputs.pixels(wrong)
        with pytest.raises(ValueError, match="expected uint8 pictures"):
            inputs.spectrum(wrong)


@given(cuts=st.lists(st.integers(1, 19), max_size=5, unique=True))
def test_statistics_do_not_depend_on_batches(cuts: list[int]) -> None:
    x = drawn(20)
    ends = [0, *sorted(cuts), 20]
    found = inputs.measure(x[a:b] for a, b in itertools.pairwise(ends))
    values = inputs.spectrum(x)[:, 0].numpy()
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, values.std(0), rtol=1e-9)
    assert found.count == 20


def test_normalised_spectra_have_mean_zero_and_deviation_one() -> None:
    x = drawn(30)
    found = inputs.measure([x]).normalise(inputs.spectrum(x))
    assert found.dtype == torch.float32
    assert (
        float(found.mean(0).abs().max()) < 1e-5 and float((found.std(0, correction=0) - 1).abs().max()) < 1e-4
    )


def test_both_kinds_of_files_are_read_and_nothing_else(tmp_path: Path) -> None:
    own = inputs.measure([drawn(9)])
    own.save(tmp_path / "own.npz")
    again = inputs.Statistics.load(tmp_path / "own.npz")
    assert np.array_equal(again.mean, own.mean) and np.array_equal(again.std, own.std) and again.count == 9
    theirs = tmp_path / "dctnorm"
    theirs.mkdir()
    for name, values in (("mean", own.mean), ("variance", own.std**2), ("std_dev", own.std)):
        np.save(theirs / f"{name}.npy", values)
    read = inputs.Statistics.load(theirs)
    np.testing.assert_allclose(read.std, own.std) and read.count == 0  # type: ignore[func-returns-value]
    np.save(theirs / "variance.npy", own.std)
    with pytest.raises(ValueError, match="not the root of"):
        inputs.Statistics.load(theirs)
    np.save(theirs / "mean.npy", np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"holds no statistics of spectra: .*pickle"):
        inputs.Statistics.load(theirs)
    (theirs / "mean.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"mean\.npy is missing"):
        inputs.Statistics.load(theirs)
    whole = (tmp_path / "own.npz").read_bytes()
    for n in range(0, len(whole), 97):
        (tmp_path / "cut.npz").write_bytes(whole[:n])
        with pytest.raises(ValueError, match="holds no statistics of spectra"):
            inputs.Statistics.load(tmp_path / "cut.npz")
    with pytest.raises(FileNotFoundError, match="expected statistics"):
        inputs.Statistics.load(tmp_path / "none.npz")


def test_what_has_no_statistics_is_said() -> None:
    with pytest.raises(ValueError, match="statistics of 1 pictures: expected at least 2"):
        inputs.measure([drawn(1)])
    with pytest.raises(ValueError, match="a picture of 10x11 pixels after those of 10x12"):
        inputs.measure([drawn(2), drawn(2, 11)])
    with pytest.raises(ValueError, match="120 deviations are not above 0"):
        inputs.measure([drawn(1), drawn(1)])
    with pytest.raises(ValueError, match="expected one size; resize or crop"):
        inputs.measure([drawn(9)]).normalise(inputs.spectrum(drawn(1, 8, 8)))
