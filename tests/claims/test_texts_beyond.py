"""What the chapter beyond the paper says, from tables made by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tff_core.claims import verdicts
from tff_core.claims.texts import beyond as texts
from tff_core.metrics import Interval

N = {"n_real": 10, "n_fake": 10}
BOTH = {"n_real": 20, "n_fake": 20}


def with_mean(rows: dict[str, dict[str, Any]], index: str) -> pd.DataFrame:
    """The same numbers on two generators and as their mean, indexed by ``index``."""
    found = [
        {"generator": g, index: name, **own, **(BOTH if g == "mean" else N)}
        for g in ("progan", "gaugan", "mean")
        for name, own in rows.items()
    ]
    return pd.DataFrame(found)


def ends(value: float, reach: float = 0.1, name: str = "delta_ap") -> dict[str, float]:
    return {name: value, "low": value - reach, "high": value + reach}


def test_rivals_tell_how_they_were_made() -> None:
    counts = {"fakes": 8, "pool": 100, "confident": 5, "validation": 200, "few": 6}
    first = {"omega": ["a", "b", "c"], "activation": ["b", "c", "d"]}
    text = texts.rivals(counts, first, {"a": 0.1, "b": -0.1, "c": 0.2}, maps=26560, k=2)
    assert text.startswith("The 8 of 100 fakes that the detector is surest of; to 5 it gives")
    assert "each of 26,560 maps alone" in text and "ranks only the 3 maps**" in text
    assert "Dropping 2 of the 3 lowers the logit" in text
    assert text.endswith("In common with the top 2 by omega: activation 50.0 %.")


@pytest.mark.parametrize("cut", [None, (7, "layer1.0.conv1")])
def test_controls_that_are_too_small_do_not_count_and_a_whole_layer_is_a_caution(
    cut: tuple[int, str] | None,
) -> None:
    table = with_mean({"top-k - near": ends(-0.3), "top-k - far": ends(0.0)}, "contrast")
    text = texts.controls(table, {"near": 10.0, "far": 7.0}, {"near": 0.5, "far": 1.0}, 10, 4, cut, 1e-6, 3)
    assert "| near | 10 | 0.50 | -30.0 points [-40.0, -20.0] | 2 of 2 |" in text
    assert f"The claim {verdicts.claim_is(verdicts.HOLDS)} for this training seed" in text
    assert "below zero against 1 of 1 controls (near). Not testable against 1 (far)" in text
    assert "per generator 10 reals and 10 fakes, together 40 pictures; detector seed 3" in text
    assert ("trivially: the network is cut through" in text) == (cut is not None)
    assert ("**every** map of `layer1.0.conv1`" in text) == (cut is not None)
    fair = texts.controls(table, {"near": 10.0, "far": 9.0}, {"near": 0.5, "far": 1.0}, 10, 4, cut, 0.5, 3)
    assert "1 of 2 controls (near)." in fair and "Not testable" not in fair and "trivially" not in fair


def dose(ap: dict[int, float], dropped: dict[int, float], low: float) -> tuple[pd.DataFrame, ...]:
    rows = [
        {"generator": g, "ranking": ranking, "k": k, "ap": value, "dropped": dropped.get(k, 0.0)}
        | (BOTH if g == "mean" else N)
        for g in ("progan", "gaugan", "mean")
        for ranking, own in (("whole detector", {0: 0.9}), ("omega", ap), ("layer-matched", ap))
        for k, value in own.items()
    ]
    steps = pd.DataFrame({"k": list(ap), "delta_ap": low + 0.05, "low": low, "high": low + 0.1})
    return pd.DataFrame(rows), steps, steps


def test_doses_tell_where_the_curve_falls() -> None:
    text = texts.doses(*dose({1: 0.85, 10: 0.5}, {1: 1, 10: 5}, -0.3), k=5)
    assert "an AP of 90.0 % here (mean over 2 generators, 40 pictures)" in text
    assert "lower from k = 1 on, and from k = 10 on half of the way down to chance is lost." in text
    assert "Layer-matched sets have 5 maps for k = 10: narrow layers run out." in text
    assert "at 1 of 1 doses at which that control has nine tenths of k maps (k = 1)" in text
    assert "k = 10: -25.0 points [-30.0, -20.0]" in text


def test_doses_that_do_nothing() -> None:
    text = texts.doses(*dose({1: 0.9, 10: 0.88}, {1: 1, 10: 10}, -0.05), k=50)
    assert "measurably lower at no k, and half of the way down to chance is not lost by k = 10." in text
    assert "Layer-matched" not in text and "at 0 of 2 doses" in text
    none = texts.doses(*dose({10: 0.88}, {10: 5}, -0.05), k=50)
    assert f"The claim is **{verdicts.UNTESTED}**: the interval" in none


@pytest.mark.parametrize(("reals", "side"), [(0.3, "above"), (-0.3, "below"), (0.0, "across")])
def test_areas_part_the_rivals(reals: float, side: str) -> None:
    rows = {name: ends(0.6, name="area") for name in ("omega", "omega of reals", *texts.RIVALS)}
    rows["omega of reals - omega"] = ends(reals, name="area")
    for name, value in zip(texts.RIVALS, (0.3, -0.3, 0.0), strict=True):
        rows[f"{name} - omega"] = ends(value, name="area")
    names = [name for name in rows if not name.endswith("- omega")]
    text = texts.areas(with_mean(rows, "ranking"), names, {"activation": (4, "conv1"), "omega": None}, 2)
    assert "| omega | 60.0 % [50.0, 70.0] |  |  |" in text
    assert "| +30.0 points [+20.0, +40.0] | from k = 4 on (`conv1`) |" in text
    assert "than that of 1 of 3 rivals (activation); larger than that of 1 (gradient x activation)" in text
    assert "not told apart from 1 (single-map ablation)" in text
    assert f"difference to omega of reals lies {side} zero" in text
    assert "Mean over 2 generators, 40 pictures, detector seed 2" in text


def stability(least: float, seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    kinds = {"halves": (least, 8), "bootstrap": (0.9, 16), "fake, real": (0.2, seeds)}
    if seeds > 1:
        kinds |= {"seeds": (0.3, 3), "seeds, by chance": (0.1, 3), "seeds, layers": (0.7, 3)}
    table = [
        {"kind": kind, "k": 10, "value": low + 0.02, "low": low, "high": low + 0.05, "n": n}
        for kind, (low, n) in kinds.items()
    ]
    names = range(seeds)
    pairs = [
        {"kind": kind, "a": f"s{a}", "b": f"s{b}", "k": 10, "value": value, "high": value}
        for a in names
        for b in names
        if a < b
        for kind, value in (("seeds", 0.3 if a == 0 else 0.05), ("seeds, by chance", 0.1))
    ]
    columns = ["kind", "a", "b", "k", "value", "high"]
    return pd.DataFrame(table), pd.DataFrame(pairs, columns=columns)


@pytest.mark.parametrize(
    ("least", "word"),
    [(0.85, verdicts.HOLDS), (0.6, verdicts.IN_PART), (0.3, verdicts.CONTRADICTED)],
)
def test_stability_over_pictures_has_its_borders(least: float, word: str) -> None:
    text = texts.stability(*stability(least, 1), k=10, seeds=1)
    assert f"and not of the sample {verdicts.claim_is(word)}." in text
    assert "two halves of 8 fakes share" in text and "16 fakes drawn anew keep 92.0 % [90.0, 95.0]" in text
    assert "There is one seed only, so nothing is compared." in text and "over 1 seeds" not in text


def test_stability_over_trainings_counts_pairs_above_chance() -> None:
    text = texts.stability(*stability(0.85, 3), k=10, seeds=3)
    assert "share 22.0 % of the top 10 (from 20.0 % to 25.0 % over 3 seeds)" in text
    assert "above the chance interval for 2 of 3 pairs" in text
    assert "Two seeds share 32.0 % of the top 10 channel by channel, chance within the layers 12.0 %" in text
    assert "Layer by layer they agree on 72.0 %." in text


def test_replacements_are_counted_by_way() -> None:
    table = with_mean({"zero": ends(-0.3), "mean": ends(0.0)}, "contrast")
    text = texts.replacements(table, table, ["zero", "mean"], "layer-matched", 4, 0, ", but trivially")
    assert "| a dropped map becomes | top-k minus layer-matched | top-k minus whole detector |" in text
    assert (
        "for this training seed, but trivially: the interval lies below zero for 1 of 2 ways (zero)" in text
    )


@pytest.mark.parametrize(
    ("gain", "lost", "word"),
    [
        (0.3, 0.3, verdicts.IN_PART),
        (0.3, 0.0, verdicts.HOLDS),
        (0.0, 0.3, verdicts.UNDECIDED),
        (-0.3, 0.3, verdicts.CONTRADICTED),
    ],
)
def test_the_lost_accuracy(gain: float, lost: float, word: str) -> None:
    right = {"acc_real": 0.8, "acc_fake": 0.6}
    rows = {what: ends(0.7, name="value") | right for what in ("whole", "dropped", "recalibrated")}
    rows |= {"gain": ends(gain, name="value"), "lost": ends(lost, name="value")}
    after = {0: Interval(-0.5, -1.0, float("inf")), 2: Interval(0.1, 0.0, 0.2)}
    text = texts.drift(with_mean(rows, "what"), {0: 1.0, 2: 2.0}, after, 32, 10)
    assert f"The claim {verdicts.claim_is(word)}: a new threshold" in text
    assert "seed 0: +1.00 before, -0.50 [-1.00, +inf] after; seed 2: +2.00 before" in text
    assert "| without the top 10, calibrated anew | 80.0 % | 60.0 % | 70.0 % [60.0, 80.0] |" in text
    gone = "2 of 2 (ProGAN; GauGAN)" if lost > 0 else "0 of 2."
    assert f"lies above zero on {gone}" in text
    assert "Mean over 2 generators and detector seeds 0, 2, n = 20 reals" in text
    assert "detector seeds" not in texts.drift(with_mean(rows, "what"), {0: 1.0}, {0: after[0]}, 32, 10)
