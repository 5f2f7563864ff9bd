"""Planted pictures: the trace is where it is said to be, and nothing else differs; doses; taking it out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exam_known_detector import photographs, pictures

from tff_core.exam import planting
from tff_core.exam.planting import case, put, take_out
from tff_core.features import color_exchange
from tff_core.miniature.planted import Trace, measure
from tff_core.miniature.splices import AREA


@pytest.mark.parametrize("name", ["Y2", "Cb2", "Cr4"])
def test_pictures_differ_in_the_place_and_in_the_channel_alone(name: str) -> None:
    found = put(photographs(8), case(name), seed=5)
    moved = (color_exchange.ycbcr(found.marked) - color_exchange.ycbcr(found.bare)).numpy()
    outside = ~found.where
    assert not moved.transpose(0, 2, 3, 1)[outside].any()
    assert ((found.where.mean((1, 2)) >= AREA[0]) & (found.where.mean((1, 2)) <= AREA[1])).all()
    own = planting.CHANNELS.index(name[:-1])
    inside = np.abs(moved.transpose(0, 2, 3, 1)[found.where])
    assert inside[:, own].mean() > 4 * np.delete(inside, own, axis=1).mean()


def test_a_dose_scales_what_is_there_and_none_leaves_the_picture_bare() -> None:
    found = put(photographs(8), (Trace("Cb", 2, 20.0),), seed=1)
    assert torch.equal(found.at(0).marked, found.bare)
    assert torch.equal(found.at(1).marked, found.marked)

    def amount(pixels: torch.Tensor) -> float:
        rows = pixels.permute(0, 2, 3, 1).numpy()
        return float(
            np.mean([measure(r, found.traces[0], w) for r, w in zip(rows, found.where, strict=True)])
        )

    bare = amount(found.bare)
    for dose in (0.25, 0.5, 1.0):
        assert amount(found.at(dose).marked) - bare == pytest.approx(20 * dose, rel=0.1)


def test_what_is_taken_out_is_gone_whatever_its_phase_and_the_rest_is_as_it_was() -> None:
    strong = Trace("Cr", 4, 16.0, phase=1.3)
    found = put(photographs(8), (strong,), seed=2)
    bare = take_out(found.marked, [Trace("Cr", 4, 1.0)], found.where)
    for pixels, where in zip(bare.permute(0, 2, 3, 1).numpy(), found.where, strict=True):
        assert abs(measure(pixels, strong, where)) < 0.7  # 8 bits leave half a level
    assert not (bare != found.marked).numpy().transpose(0, 2, 3, 1)[~found.where].any()
    whole = take_out(found.marked, [strong])
    assert all(abs(measure(p, strong)) < 0.7 for p in whole.permute(0, 2, 3, 1).numpy())


def test_of_two_traces_each_can_be_taken_out_alone() -> None:
    both = put(photographs(6), case("Y2Cb2"), seed=3)
    assert planting.in_chroma(both.traces) == (both.traces[1],)
    left = both.taken_out(both.traces[1:])
    luma, chroma = both.traces
    for pixels, where in zip(left.permute(0, 2, 3, 1).numpy(), both.where, strict=True):
        assert abs(measure(pixels, chroma, where)) < 1 and measure(pixels, luma, where) > 8
    assert torch.equal(both.only([luma]).marked, put(photographs(6), [luma], seed=3).marked)


def test_places_follow_from_the_seed_and_not_from_the_trace() -> None:
    one, other = pictures("Cb2", 1), pictures("Y2", 1)
    assert np.array_equal(one.where, other.where) and torch.equal(one.bare, other.bare)
    assert not np.array_equal(one.where, pictures("Cb2", 2).where)
    some = one.take([3, 1])
    assert len(some) == 2 and torch.equal(some.marked[1], one.marked[1])
    assert np.array_equal(some.where[0], one.where[3])


def test_a_resample_draws_a_scene_with_both_of_its_pictures() -> None:
    weights = planting.resampled(7, 50, seed=1)
    assert weights.shape == (14, 50) and np.array_equal(weights[:7], weights[7:])
    assert (weights[:7].sum(0) == 7).all()


@pytest.mark.parametrize("name", ["", "Q2", "Cb", "Cb2Cb4", "Cb2 ", "2Cb"])
def test_a_case_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected channels with periods, each channel once"):
        case(name)


def test_a_case_has_the_amplitude_of_its_channel() -> None:
    assert case("Y2.5Cr8", {"Y": 3, "Cr": 5}) == (Trace("Y", 2.5, 3.0), Trace("Cr", 8.0, 5.0))
    with pytest.raises(ValueError, match="expected an amplitude for Cb in levels of 255, found none"):
        case("Cb2", {"Y": 1})


@pytest.mark.parametrize(
    ("pixels", "traces", "message"),
    [
        (torch.zeros(0, 3, 32, 32, dtype=torch.uint8), case("Y2"), "N at least 1"),
        (torch.zeros(2, 3, 32, 32), case("Y2"), "torch.float32: expected uint8"),
        (torch.zeros(2, 3, 32, 48, dtype=torch.uint8), case("Y2"), "48 x 32 pixels: expected square ones"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), (), "no trace to be planted"),
    ],
)
def test_pictures_that_nothing_can_be_planted_in_are_refused(pixels, traces, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        put(pixels, traces)
