"""The sets of maps that the chapter beyond the paper compares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tff_core.features import beyond, rankings
from tff_core.features.ffrs import Omega
from tff_core.features.rankings import Levels


def omega(seed: int) -> Omega:
    rng = np.random.default_rng(seed)
    return Omega({"a": rng.random(8), "b": rng.random(30)}, count=4)


def test_the_surest_fakes_are_those_above_the_confidence_and_at_least_some() -> None:
    logits = [3.0, -1.0, 2.0, 5.0, 0.0]  # p >= 0.9 is a logit of 2.197
    assert beyond.surest(logits, least=1) == ([0, 3], 2)
    assert beyond.surest(logits, least=4) == ([0, 2, 3, 4], 2)
    assert beyond.surest(logits, least=9) == ([0, 1, 2, 3, 4], 2)


def test_controls_leave_the_top_out_and_are_told_by_size_and_loudness() -> None:
    own = omega(0)
    level = Levels({}, {"a": torch.full((8,), 2.0), "b": torch.arange(1.0, 31.0)})
    found = beyond.controls(own, level, 6, draws=3)
    top = set(own.top(6))
    assert list(found) == ["layer-matched", "magnitude, same layer", "magnitude, any layer"]
    assert all(len(sets) == 3 and not top & set(maps) for sets in found.values() for maps in sets)
    layers = sorted(m.layer for m in own.top(6))
    assert all(sorted(m.layer for m in maps) == layers for maps in found["magnitude, same layer"])
    assert beyond.sizes(found)["layer-matched"] == 6
    relative = beyond.louder(level, own.top(6), found)
    assert relative["layer-matched"] == pytest.approx(
        beyond.loudness(level, found["layer-matched"]) / beyond.loudness(level, [own.top(6)])
    )


def test_seeds_are_compared_pair_by_pair_and_summed_up() -> None:
    by_seed = {(s, label): omega(s) for s in (0, 1, 2) for label in ("real", "fake")}
    compared = beyond.between_seeds(by_seed, [5, 10])
    same = compared[compared["kind"] == "fake, real"]
    assert len(same) == 6 and set(same["value"]) == {1.0}  # here omega of reals is that of fakes
    pairs = compared[(compared["kind"] == "seeds") & (compared["k"] == 10)]
    assert list(zip(pairs["a"], pairs["b"], strict=True)) == [
        ("s0-fake", "s1-fake"), ("s0-fake", "s2-fake"), ("s1-fake", "s2-fake"),
    ]  # fmt: skip
    assert pairs["value"].tolist() == [
        rankings.overlap(omega(a).top(10), omega(b).top(10)) for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    summary = beyond.over_pairs(compared).set_index(["kind", "k"])
    row = summary.loc[("seeds", 10)]
    assert (row["value"], row["low"], row["high"], row["n"]) == (
        pytest.approx(pairs["value"].mean()), pairs["value"].min(), pairs["value"].max(), 3,
    )  # fmt: skip


def test_round_numbers_near_k_are_left_out() -> None:
    assert beyond.about(114, 26560) == [10, 30, 114, 300, 1000]
    assert beyond.about(27, 1000) == [10, 27, 100, 300, 1000]
    assert beyond.about(12, 720) == [12, 30, 100, 300]  # a small network has no thousand maps


def test_a_layer_that_is_gone_is_named_for_the_first_maps_only() -> None:
    own = omega(1)
    order = [m for m in own.ranking if m.layer == "a"] + [m for m in own.ranking if m.layer == "b"]
    assert beyond.gone({"x": order}, 8) == {"x": (8, "a")}
    assert beyond.gone({"x": order}, 7) == {"x": None}
