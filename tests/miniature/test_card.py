"""The numbers of the data card."""

from __future__ import annotations

import numpy as np
import pytest

from tff_core.miniature import camera, card
from tff_core.pictures import photographs, statistics

pytestmark = pytest.mark.usefixtures("one_thread")


def test_likeness_averages_over_groups_and_not_over_pictures():
    rng = np.random.default_rng(0)
    dark, bright = (
        rng.integers(low, low + 20, (n, 16, 16, 3), dtype=np.uint8) for low, n in ((0, 2), (100, 6))
    )
    bright[..., 0] += 60
    table = card.likeness({"a": [dark, bright], "b": [bright]}).set_index(["set", "statistic"])
    means = [statistics.measure(pictures)["saturation"].mean() for pictures in (dark, bright)]
    row = table.loc[("a", "saturation")]
    assert row["mean"] == pytest.approx(np.mean(means)) and (row["groups"], row["n"]) == (2, 8)
    # resampled by group: both, or one of them twice
    assert row["low"] == pytest.approx(min(means)) and row["high"] == pytest.approx(max(means))
    one = table.loc[("b", "saturation")]
    assert one["low"] == one["high"] == pytest.approx(means[1])


@pytest.mark.slow
def test_cameras_are_compared_with_what_photographs_are_installed(monkeypatch):
    table = card.cameras(4, 32)
    assert list(dict.fromkeys(table["set"])) == ["photographs", *camera.CAMERAS]
    counts = table.groupby("set")["n"].first()
    assert counts["photographs"] == 4 * len(photographs.PHOTOGRAPHS) and counts["2"] == 16
    monkeypatch.setattr(photographs, "PHOTOGRAPHS", {"absent": ("no_such_package", "a.png")})
    assert set(card.cameras(1, 32)["set"]) == set(camera.CAMERAS)


@pytest.mark.slow
def test_the_second_edition_meets_the_photographs_where_the_first_does_not():
    table = card.cameras(12).set_index(["set", "statistic"])
    for name in ("luma detail", "slope Y", "high to low Y", "saturation", "pair across Cr", "pair down Cb"):
        photographed, first, second = (table.loc[(one, name)] for one in ("photographs", "1", "2"))
        assert second["low"] <= photographed["high"] and second["high"] >= photographed["low"], name
        assert first["low"] > photographed["high"] or first["high"] < photographed["low"], name
