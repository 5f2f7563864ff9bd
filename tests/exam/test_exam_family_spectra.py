"""Spectra of families: a planted trace stands where it was planted, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exam_pictures import SIZE, draw
from PIL import Image

from tff_core.exam import family_spectra
from tff_core.pictures import data


def test_a_trace_stands_in_its_channel_at_its_frequency(tmp_path: Path) -> None:
    images = {"one": draw(tmp_path / "one", 12, 0), "two": draw(tmp_path / "two", 8, 1)}
    found = family_spectra.measure(images)
    assert set(found.planes) == {(f, c) for f in images for c in ("Y", "Cb", "Cr")}
    for family in images:
        plane = found.planes[family, "Y"]
        # columns of period 2: the finest frequency across, and none down
        assert np.unravel_index(plane.argmax(), plane.shape) == (0, SIZE // 2)
        rows = found.differences[found.differences["family"] == family].set_index(["channel", "frequency"])
        luma = rows.loc["Y"]
        # the window smears it over the neighbouring ring
        assert luma["q"].idxmin() in (0.5, 0.5 - 1 / SIZE) and luma["q"].min() < 0.01
        assert luma.loc[luma["q"].idxmin(), "low"] > 0.1
        assert (rows.loc["Cb", "q"] > 0.05).all()  # rounding aside nothing happens to chroma
    assert (found.differences["low"] <= found.differences["value"]).all()
    one = found.profiles.query("family == 'one' and label == 'real' and channel == 'Y'")
    assert set(one["n"]) == {12} and one["frequency"].max() == pytest.approx(0.7, abs=0.02)
    both = found.profiles.query("family == 'one' and channel == 'Y'").set_index(["label", "frequency"])[
        "value"
    ]
    apart = found.differences.query("family == 'one' and channel == 'Y'").set_index("frequency")["value"]
    assert (both["fake"] - both["real"]).to_numpy() == pytest.approx(apart.to_numpy())


def test_pictures_of_several_sizes_are_cropped_to_the_middle_that_all_have(tmp_path: Path) -> None:
    images = draw(tmp_path / "one", 4, 0)
    alike = family_spectra.measure({"one": images})
    with Image.open(images.paths[0]) as one:
        larger = np.pad(np.asarray(one.convert("RGB")), ((2, 2), (3, 3), (0, 0)))
    Image.fromarray(larger).save(images.paths[0])
    found = family_spectra.measure({"one": data.scan(tmp_path / "one")})
    pd.testing.assert_frame_equal(found.differences, alike.differences)


def test_a_family_of_one_picture_has_no_mean(tmp_path: Path) -> None:
    images = {"one": draw(tmp_path / "one", 2, 0).where(first=1)}
    with pytest.raises(ValueError, match="one has 1 pictures that are real: expected two"):
        family_spectra.measure(images)
