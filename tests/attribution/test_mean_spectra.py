"""Spectra of families: SciPy's means and tests, planted waves, and where networks see their evidence."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, stats
from scipy.fft import dctn, idctn
from who import network

from tff_core import attribution, lrp
from tff_core.attribution import inputs, spectra


def drawn(n: int, height: int = 16, width: int = 12, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), generator=g, dtype=torch.uint8)


def planes_of(x: torch.Tensor) -> np.ndarray:
    """Log spectra by Pillow and SciPy alone."""
    lumas = [np.asarray(Image.fromarray(p.permute(1, 2, 0).numpy()).convert("L"), float) for p in x]
    return np.stack([np.log(np.abs(dctn(luma, norm="ortho")) + 1e-12) for luma in lumas])


@given(cuts=st.lists(st.integers(1, 19), max_size=4, unique=True))
def test_means_and_profiles_are_scipys_in_any_batches(cuts: list[int]) -> None:
    x = drawn(20)
    found = spectra.measure(x[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), 20]))
    planes = planes_of(x)
    np.testing.assert_allclose(found.mean, planes.mean(0), atol=1e-8)
    np.testing.assert_allclose(found.std, planes.std(0), atol=1e-8)
    ring = spectra.rings(16, 12).ring
    profile = np.stack([ndimage.mean(plane, ring, np.unique(ring)) for plane in planes])
    np.testing.assert_allclose(found.profile, profile.mean(0), atol=1e-8)
    np.testing.assert_allclose(found.profile_std, profile.std(0), atol=1e-8)
    assert found.count == 20 and found.left_out == 0


def test_statistics_of_training_are_the_same_numbers() -> None:
    x = drawn(9)
    one, other = spectra.measure([x[:4], x[4:]]), inputs.measure([x[:4], x[4:]])
    assert np.array_equal(one.mean, other.mean) and np.array_equal(one.std, other.std)


def test_rings_are_those_of_equal_frequency() -> None:
    square = spectra.rings(64, 64)
    assert square.ring[0, 0] == 0 and square.number[0] == 1 and square.number.sum() == 64 * 64
    for k in (1, 7, 63):
        for place in ((k, 0), (0, k)):
            assert square.frequency[square.ring[place]] == pytest.approx(k / 128)
    assert square.frequency[-1] == pytest.approx(np.hypot(63, 63) / 128, abs=1 / 256)
    wide = spectra.rings(32, 128)  # the same frequency lies at other places of the two sides
    assert wide.ring[8, 0] == wide.ring[0, 32] and wide.frequency[wide.ring[8, 0]] == pytest.approx(8 / 64)


@pytest.mark.parametrize("period", [2.5, 4, 8])
def test_a_wave_stands_at_its_frequency(period: float) -> None:
    """In cycles per pixel, in whatever direction."""
    along = 100 * np.cos(2 * np.pi * np.arange(64) / period)
    for wave in (np.tile(along, (64, 1)), np.tile(along, (64, 1)).T):
        pixels = torch.from_numpy((128 + wave).round().clip(0, 255).astype(np.uint8)).expand(2, 3, -1, -1)
        energy = spectra.azimuthal(np.exp(inputs.spectrum(pixels)[0, 0].numpy()) ** 2)
        rings = spectra.rings(64, 64)
        total = energy * rings.number
        assert rings.frequency[1 + total[1:].argmax()] == pytest.approx(1 / period, abs=1 / 100)


def test_differences_are_welchs_at_every_coefficient_and_ring() -> None:
    one, other = drawn(14, seed=1), (drawn(23, seed=2) // 2 + 40).to(torch.uint8)
    a, b = spectra.measure([one]), spectra.measure([other])
    for found, x, y in (
        (spectra.difference(a, b), planes_of(one), planes_of(other)),
        (
            spectra.profile_difference(a, b),
            spectra.azimuthal(planes_of(one)),
            spectra.azimuthal(planes_of(other)),
        ),
    ):
        expected = stats.ttest_ind(x, y, equal_var=False)
        ends = expected.confidence_interval(0.95)
        np.testing.assert_allclose(found.value, x.mean(0) - y.mean(0), atol=1e-8)
        np.testing.assert_allclose(found.t, expected.statistic, rtol=1e-5)
        np.testing.assert_allclose(found.p, expected.pvalue, rtol=1e-4)
        np.testing.assert_allclose(found.low, ends.low, atol=1e-6)
        np.testing.assert_allclose(found.high, ends.high, atol=1e-6)
        q = stats.false_discovery_control(expected.pvalue.ravel())
        np.testing.assert_allclose(found.q.ravel(), q, rtol=1e-4)
        assert found.share(0.05) == pytest.approx((q <= 0.05).mean())
        assert (found.n, found.n_base) == (14, 23)


def planted(n: int, seed: int, place: tuple[int, int] | None = None) -> torch.Tensor:
    """Noise, with a coefficient of the cosine transform raised."""
    rng = np.random.default_rng(seed)
    luma = 128 + 20 * rng.normal(size=(n, 32, 32))
    if place is not None:
        coefficients = np.zeros((32, 32))
        coefficients[place] = 150.0
        luma += idctn(coefficients, norm="ortho")
    return torch.from_numpy(luma.round().clip(0, 255).astype(np.uint8))[:, None].expand(-1, 3, -1, -1)


def test_a_planted_coefficient_is_found_and_no_other() -> None:
    real, fake, again = (
        spectra.measure([planted(40, seed, place)]) for seed, place in ((0, None), (1, (9, 20)), (2, None))
    )
    found = spectra.difference(fake, real)
    assert np.unravel_index(found.t.argmax(), found.t.shape) == (9, 20)
    assert found.q[9, 20] < 1e-6 and found.low[9, 20] > 0 and found.share() <= 5 / 1024
    # of a thousand coefficients that do not differ many have p < 0.05, and none is called different
    same = spectra.difference(again, real)
    assert 20 < (same.p < 0.05).sum() < 90 and same.share() == 0
    covered = ((same.low <= 0) & (same.high >= 0)).mean()
    assert 0.93 < covered < 0.97


def test_a_profile_shows_a_planted_coefficient_of_a_small_ring() -> None:
    families = {
        name: spectra.measure([planted(40, seed, place)])
        for seed, (name, place) in enumerate({"real": None, "planted": (2, 1), "other": None}.items())
    }
    table = spectra.profile_differences(families)
    assert list(dict.fromkeys(table["family"])) == ["planted", "other"]
    rings = spectra.rings(32, 32)
    ring = rings.ring[2, 1]
    first = table[(table["family"] == "planted") & (table["q"] < 1e-3)]
    assert len(first) == 1 and first["frequency"].item() == rings.frequency[ring] == pytest.approx(2 / 64)
    assert first["coefficients"].item() == rings.number[ring] and first["low"].item() > 0
    assert (first["n"].item(), first["n_base"].item()) == (40, 40)
    assert table.loc[table["family"] == "other", "q"].min() > 0.05


def test_what_is_the_same_in_all_pictures_does_not_differ() -> None:
    x = drawn(5)
    same = x[:1].expand(4, -1, -1, -1)
    a, b = spectra.measure([same]), spectra.measure([same])
    found = spectra.difference(a, b)
    assert not found.value.any() and (found.p == 1).all() and (found.low == 0).all() and (found.t == 0).all()
    apart = spectra.difference(a, spectra.measure([x[1:2].expand(4, -1, -1, -1)]))
    assert (apart.p == 0).all() and np.isinf(apart.t).all() and np.array_equal(apart.low, apart.high)


def test_a_profile_comes_with_students_interval() -> None:
    x = drawn(12)
    table = spectra.profiles({"real": spectra.measure([x])})
    profile = spectra.azimuthal(planes_of(x))
    for i in (0, 5, -1):
        ends = stats.ttest_1samp(profile[:, i], 0).confidence_interval(0.95)
        row = table.iloc[i]
        assert (row["value"], row["low"], row["high"]) == pytest.approx((profile[:, i].mean(), *ends))
    assert set(table["n"]) == {12} and table["frequency"].is_monotonic_increasing


# ------------------------------------------------------------------------------------------------ relevance


def seen(n: int = 6) -> tuple[attribution.Attributor, torch.Tensor, inputs.Statistics]:
    x = drawn(n, 64, 64)
    return network("dct", 64, ["a", "b"]), x, inputs.measure([drawn(40, 64, 64, seed=9)])


@pytest.mark.parametrize("source", [None, 1])
def test_relevance_is_the_mean_of_each_pictures_shares(source: int | None) -> None:
    net, x, statistics = seen()
    folded = attribution.folded(net, source)
    z = statistics.normalise(inputs.spectrum(x))
    logit = folded(z)[:, 0]
    # four of six count, whatever the weights and however sums are rounded
    between = float(logit.double().sort().values[1:3].mean())
    confidence = float(torch.tensor(between).sigmoid())
    found = spectra.relevance(net, [x[:4], x[4:]], statistics, source, confidence, batch_size=3)
    chosen = torch.sort(logit, descending=True).indices[:4]
    planes = []
    for i in chosen:
        r = lrp.relevance(folded, z[i : i + 1], start=folded(z[i : i + 1]), pixels=True).pixels
        assert r is not None
        planes.append((r[0, 0] / r.abs().sum() * 64 * 64).double().numpy())
    np.testing.assert_allclose(found.mean, np.mean(planes, 0), atol=1e-3)
    np.testing.assert_allclose(found.std, np.std(planes, 0), atol=1e-3)
    assert np.abs(planes).mean() == pytest.approx(1, rel=1e-5)  # shares of one picture, 1 on average
    assert (found.count, found.left_out) == (4, 2)
    moved = spectra.relevance(net, [x], statistics, source, 0.5, between)
    np.testing.assert_allclose(moved.mean, found.mean, atol=1e-3)
    assert (moved.count, moved.left_out) == (4, 2)
    table = spectra.profiles({"a": found})
    assert (table["value"] * table["coefficients"]).sum() == pytest.approx(found.mean.sum())


def test_a_network_that_reads_one_place_has_its_relevance_there() -> None:
    """The last layer reads every place of its own: only what that place sees can count."""
    net, x, statistics = seen()
    weight = net.task(0).head[-1].weight
    with torch.no_grad():
        kept = weight.view(32, 8, 8)[:, 2, 5].clone().abs()
        weight.zero_()
        weight.view(32, 8, 8)[:, 2, 5] = kept
    found = spectra.relevance(net, [x], statistics, 0, confidence=0)
    rows, cols = (np.flatnonzero(np.abs(found.mean).sum(axis)) for axis in (1, 0))
    # kernels of 3, 3, 3 at strides 1, 2, 4 and of 4, 4, 4 with strides of their own, from the input on
    assert rows.tolist() == list(range(8 * 2 - 14, 8 * 2 + 22))
    assert cols.tolist() == list(range(8 * 5 - 14, 8 * 5 + 22))
    assert np.abs(found.mean).sum() == pytest.approx(64 * 64, rel=1e-3) and found.mean.min() >= 0


# --------------------------------------------------------------------------------- files and what is refused


def test_spectra_are_kept_as_they_are(tmp_path: Path) -> None:
    one = spectra.measure([drawn(5)])
    one.save(tmp_path / "one.npz")
    again = spectra.Spectrum.load(tmp_path / "one.npz")
    assert all(
        np.array_equal(getattr(one, k), getattr(again, k)) for k in ("mean", "std", "profile", "profile_std")
    )
    assert (again.count, again.left_out) == (5, 0)
    pd.testing.assert_frame_equal(spectra.profiles({"a": one}), spectra.profiles({"a": again}))
    whole = (tmp_path / "one.npz").read_bytes()
    for n in range(0, len(whole), 299):
        (tmp_path / "cut.npz").write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"cut\.npz holds no spectrum .*compute it again"):
            spectra.Spectrum.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", mean=np.ones(3))
    with pytest.raises(ValueError, match="holds no spectrum"):
        spectra.Spectrum.load(tmp_path / "other.npz")
    code = np.array([{"code": "runs"}], dtype=object)
    names = ("mean", "std", "profile", "profile_std", "count", "left_out")
    np.savez(tmp_path / "code.npz", **dict.fromkeys(names, code))
    with pytest.raises(ValueError, match=r"holds no spectrum .*pickle"):
        spectra.Spectrum.load(tmp_path / "code.npz")
    with pytest.raises(FileNotFoundError, match="expected a spectrum"):
        spectra.Spectrum.load(tmp_path / "none.npz")


def test_what_does_not_fit_is_said() -> None:
    net, x, statistics = seen()
    one, small = spectra.measure([drawn(3)]), spectra.measure([drawn(3, 8, 8)])
    with pytest.raises(ValueError, match="the spectrum of 1 pictures: expected at least 2"):
        spectra.measure([drawn(1)])
    with pytest.raises(ValueError, match="a picture of 8x8 pixels after those of 12x16"):
        spectra.measure([drawn(2), drawn(2, 8, 8)])
    with pytest.raises(ValueError, match="12x16 of one, 8x8 of the other: expected one size"):
        spectra.difference(one, small)
    with pytest.raises(ValueError, match="expected one size"):
        spectra.profiles({"a": one, "b": small})
    with pytest.raises(ValueError, match="no family 'real' to compare with: expected one of a"):
        spectra.profile_differences({"a": one})
    with pytest.raises(ValueError, match="a alone: expected another family"):
        spectra.profile_differences({"a": one}, "a")
    with pytest.raises(ValueError, match="sees pixels: expected one that sees spectra"):
        spectra.relevance(network("pixel"), [x], statistics)
    with pytest.raises(ValueError, match="confidence is 1"):
        spectra.relevance(net, [x], statistics, confidence=1)
    with pytest.raises(ValueError, match="0 of 6 pictures have probability"):
        spectra.relevance(net, [x], statistics, confidence=1 - 1e-12)
    with pytest.raises(ValueError, match="source 2"):
        spectra.relevance(net, [x], statistics, 2)
    with pytest.raises(ValueError, match="expected one size; resize or crop"):
        spectra.relevance(net, [drawn(2, 32, 32)], statistics)
