"""Detectors that see parts of a picture, compared: what is cut, what is resampled, what is subtracted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tff_core import intervals
from tff_core.claims.texts import planes as texts
from tff_core.features import planes


def test_every_picture_is_cut_at_a_place_of_its_own() -> None:
    # a pixel says where it is
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    pixels = torch.stack([rows, columns, rows]).to(torch.uint8).expand(40, -1, -1, -1)
    found = planes.cut(pixels, seed=1)
    assert found.shape == (40, 3, 14, 14)
    corners = {(int(x[0, 0, 0]), int(x[1, 0, 0])) for x in found}
    assert {row % 2 for row, _ in corners} == {column % 2 for _, column in corners} == {0, 1}
    for x in found:
        torch.testing.assert_close(x[:2], pixels[0, :2, x[0, 0, 0] :, x[1, 0, 0] :][:, :14, :14])
    torch.testing.assert_close(planes.cut(pixels, seed=1), found)
    assert not torch.equal(planes.cut(pixels, seed=2), found)


def test_differences_are_paired_over_pictures_and_seeds() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    picture = rng.normal(size=120)  # what makes a picture hard is the same for all detectors
    seeds = rng.normal(size=(3, 1, 120)) * 0.1
    logits = {"rgb": seeds[0] * 0 + y + picture, "luma": 0.4 * y + picture, "chroma": 1.5 * y + picture}
    logits = {name: np.vstack([row + noise for noise in seeds[:, 0]]) for name, row in logits.items()}
    # in whatever order a configuration names them
    table = planes.compare(y, dict(reversed(logits.items())), n=300).set_index("sees")
    assert list(table.index) == ["rgb", "luma", "chroma", "luma - rgb", "chroma - rgb", "chroma - luma"]
    for name in logits:
        pooled = intervals.ap_interval_over_seeds(y, logits[name], 300)
        assert table.loc[name, ["ap", "ap_low", "ap_high"]].tolist() == pytest.approx(list(pooled[:3]))
    apart = table.loc["chroma - luma"]
    assert apart["ap"] == pytest.approx(table.loc["chroma", "ap"] - table.loc["luma", "ap"])
    assert 0 < apart["ap_low"] < apart["ap"] < apart["ap_high"]
    widths = table["ap_high"] - table["ap_low"]
    assert widths["chroma - luma"] < np.hypot(
        widths["chroma"], widths["luma"]
    )  # paired: not as if independent
    assert set(table["seeds"]) == {3} and set(table["n_real"]) == set(table["n_fake"]) == {60}


def test_no_difference_is_no_finding() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 40)
    same = rng.normal(size=(3, 80)) + y
    table = planes.compare(y, {"luma": same, "chroma": same}, n=100).set_index("sees")
    assert table.loc["chroma - luma", ["ap", "ap_low", "ap_high"]].abs().max() == 0


def test_detectors_of_different_numbers_of_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="3 seeds of luma, 2 seeds of chroma: expected the same number"):
        planes.compare([0, 1], {"luma": np.zeros((3, 2)), "chroma": np.zeros((2, 2))})


def test_pages_and_computations_call_the_conditions_alike() -> None:
    assert planes.CONDITIONS == (texts.SAME, texts.OFFSET, texts.CAMERA)
