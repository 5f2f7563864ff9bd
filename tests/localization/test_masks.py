"""Maps against exact masks: by hand, by scikit-learn, and intervals that cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score, jaccard_score

from tff_core.localization import masks
from tff_core.miniature.splices import splice
from tff_core.pictures import data


def drawn(n: int, strength: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps of noise, with more where a mask is set; a third of the masks are empty."""
    rng = np.random.default_rng(seed)
    fake = np.zeros((n, 16, 16), dtype=bool)
    for i in range(0, n):
        if i % 3:
            y, x = rng.integers(0, 10, 2)
            fake[i, y : y + 6, x : x + 6] = True
    return rng.normal(size=fake.shape) + strength * fake, fake


def test_numbers_are_those_of_scikit_learn() -> None:
    scores, fake = drawn(30, 1.0)
    found = masks.judge(scores, fake, 0.5)
    spliced = fake.any((1, 2))
    s, f = scores[spliced], fake[spliced]
    assert (found.spliced, found.authentic) == (20, 10)
    assert found.pixel_ap[0] == pytest.approx(average_precision_score(f.ravel(), s.ravel()))
    own = [average_precision_score(m.ravel(), v.ravel()) for v, m in zip(s, f, strict=True)]
    assert found.picture_ap[0] == pytest.approx(np.mean(own))
    each = [jaccard_score(m.ravel(), (v >= 0.5).ravel()) for v, m in zip(s, f, strict=True)]
    assert found.iou[0] == pytest.approx(np.mean(each))
    assert found.false_area[0] == pytest.approx((scores[~spliced] >= 0.5).mean())
    assert found.prevalence == pytest.approx(f.mean())
    for value, low, high in (found.pixel_ap, found.picture_ap, found.iou, found.false_area):
        assert low < value < high


def test_a_perfect_map_and_one_that_knows_nothing() -> None:
    _, fake = drawn(12, 0)
    found = masks.judge(fake.astype(float), fake, 0.5)
    assert found.pixel_ap[:2] == found.picture_ap[:2] == found.iou[:2] == (1.0, 1.0)
    assert found.false_area == (0.0, 0.0, 0.0)
    constant = masks.judge(np.zeros(fake.shape), fake, 0.0)
    assert constant.pixel_ap[0] == pytest.approx(constant.prevalence)
    assert constant.false_area[0] == 1.0 and np.isfinite(constant.iou).all()
    without = masks.judge(np.zeros((1, 4, 4)), np.ones((1, 4, 4)), 0.0)
    assert np.isnan(without.false_area).all() and without.picture_ap[0] == 1.0


def test_the_threshold_is_the_best_of_its_candidates() -> None:
    scores, fake = drawn(30, 2.0)
    threshold = masks.calibrate(scores, fake)
    spliced = fake.any((1, 2))
    at = masks.iou(scores[spliced], fake[spliced], threshold).mean()
    for other in np.linspace(-2, 4, 50):
        assert masks.iou(scores[spliced], fake[spliced], other).mean() <= at + 0.01


@pytest.mark.slow
def test_intervals_cover_the_value_of_many_pictures() -> None:
    true = masks.judge(*drawn(900, 1.0, seed=1), 0.5)
    inside = np.zeros(4)
    for seed in range(40):
        found = masks.judge(*drawn(30, 1.0, seed=100 + seed), 0.5)
        for i, name in enumerate(("pixel_ap", "picture_ap", "iou", "false_area")):
            _, low, high = getattr(found, name)
            inside[i] += low <= getattr(true, name)[0] <= high
    assert (inside >= 33).all(), inside  # of 40; fewer than 33 at 95 % has a probability below 0.001


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([-9.0, 0.0, 9.0]))
def test_every_interval_holds_its_value_whatever_the_order(seed: int, strength: float) -> None:
    """Of maps that are inverted, random and perfect."""
    found = masks.judge(*drawn(6, strength, seed), 0.5)
    for value, low, high in (found.pixel_ap, found.picture_ap, found.iou, found.false_area):
        assert 0 <= low <= value <= high <= 1


def test_what_makes_no_sense_is_refused() -> None:
    scores, fake = drawn(4, 1.0)
    with pytest.raises(ValueError, match=r"expected both \(N, H, W\)"):
        masks.judge(scores[0], fake, 0.0)
    with pytest.raises(ValueError, match="1 scores of maps are not finite"):
        masks.judge(np.where(np.arange(scores.size).reshape(scores.shape) == 3, np.nan, scores), fake, 0.0)
    with pytest.raises(ValueError, match="none of 4 masks has anything in it"):
        masks.calibrate(scores, np.zeros_like(fake))


def test_folders_of_the_sampler_are_read(tmp_path: Path) -> None:
    splice("test", "gaugan", tmp_path / "s", 2, 1, progress=False)
    found = masks.find(tmp_path / "s")
    read = list(found.read())
    assert len(found) == 3 and [fake.any() for _, fake in read] == [True, True, False]
    assert read[0][0].shape == (64, 64, 3)
    Image.new("L", (9, 9)).save(tmp_path / "s" / "mask" / "00001.png")
    with pytest.raises(data.PictureError, match="has 9x9 pixels and its picture 64x64"):
        list(found.read())
    (tmp_path / "s" / "mask" / "00000.png").write_bytes(b"no")
    with pytest.raises(data.PictureError, match="cannot be read"):
        list(found.read())
    (tmp_path / "s" / "mask" / "00002.png").unlink()
    with pytest.raises(ValueError, match="00002 has no mask"):
        masks.find(tmp_path / "s")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        masks.find(tmp_path)
