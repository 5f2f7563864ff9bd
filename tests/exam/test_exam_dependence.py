"""The whole experiment on a small network: controls score what they must, and verdicts follow their rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from exam_nets import coloured, plain, trained

from tff_core.exam import dependence, noticing, pooling
from tff_core.exam.dependence import AGAIN, ALONE, EDGES, NOISE, OMEGA, SMOOTH, TO_EDGES, TOP_DOWN, Settings
from tff_core.exam.randomization import GRADIENT, METHODS, ZPLUS

FEW = Settings(n=4, resamples=10, starts=1, smooth_n=2, smooth_draws=2)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    model = trained()
    return dependence.run(
        model, coloured(4), coloured(4, 1), 6, make=plain, again=trained(), settings=FEW, seed=3
    )


def values(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table), where
    return table["value"]


@pytest.mark.slow
def test_controls_score_what_they_must(tables: dict[str, pd.DataFrame]) -> None:
    heat = tables["heatmaps"]
    for order in (TOP_DOWN, ALONE, AGAIN):
        for measure in ("order", "cosine", "top"):
            np.testing.assert_allclose(values(heat, order=order, explanation=EDGES, measure=measure), 1)
        assert values(heat, order=order, explanation=NOISE, measure="order").abs().max() < 0.15
    # the same detector again: nothing has changed but the noise
    for name in METHODS:
        np.testing.assert_allclose(values(heat, order=AGAIN, explanation=name), 1)
    np.testing.assert_allclose(values(tables["omega"], order=AGAIN), 1)


@pytest.mark.slow
def test_every_step_is_there_for_every_explanation(tables: dict[str, pd.DataFrame]) -> None:
    heat, omega = tables["heatmaps"], tables["omega"]
    groups = ["fc", "blocks.1", "blocks.0", "conv1"]
    for order in (TOP_DOWN, ALONE):
        rows = heat[heat["order"] == order].drop_duplicates("depth")
        assert sorted(zip(rows["depth"], rows["group"], strict=True)) == list(enumerate(groups, 1))
        assert set(omega[omega["order"] == order]["depth"]) == {1, 2, 3, 4}
    assert set(heat[heat["order"] == TOP_DOWN]["explanation"]) == {
        *METHODS, EDGES, NOISE, ZPLUS + SMOOTH, GRADIENT + SMOOTH,
    }  # fmt: skip
    # the first step from the logit down is the last layer alone
    for table in (heat, omega):
        both = [table[(table["order"] == order) & (table["depth"] == 1)] for order in (TOP_DOWN, ALONE)]
        if "explanation" in table:
            assert set(both[1]["explanation"]) == {ZPLUS, EDGES, NOISE}
            both = [one[one["explanation"].isin([ZPLUS, EDGES, NOISE])] for one in both]
        pd.testing.assert_frame_equal(*(one.drop(columns="order").reset_index(drop=True) for one in both))
    # where no layer has kept its weights, no map has a counterpart
    last = omega[(omega["order"] == TOP_DOWN) & (omega["depth"] == 4)]
    assert last[last["measure"] != "layers"]["value"].isna().all()
    assert {*heat[heat["order"] == TO_EDGES]["depth"]} == {0, 4}
    assert len(tables["complexity"]) == 4 * len(METHODS)


@pytest.mark.slow
def test_the_detector_is_left_alone_and_the_seed_says_it_all(tables: dict[str, pd.DataFrame]) -> None:
    model = trained()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    same = dependence.run(
        model, coloured(4), coloured(4, 1), 6, make=plain, again=trained(), settings=FEW, seed=3
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, same[name])


@pytest.mark.slow
def test_one_picture_and_a_dead_detector_have_defined_results() -> None:
    dead = trained()
    with torch.no_grad():
        dead.fc.weight.zero_()  # type: ignore[union-attr,operator]
        dead.fc.bias.zero_()  # type: ignore[union-attr,operator]
    few = Settings(n=1, resamples=2, starts=1, smooth_n=0)
    found = dependence.run(dead, coloured(1), coloured(1, 1), 6, make=plain, settings=few)
    heat = found["heatmaps"]
    assert values(heat, order=TOP_DOWN, explanation=ZPLUS).isna().all() and AGAIN not in set(heat["order"])
    judged = noticing.judge(dependence.pool([found], 20))
    # without an explanation there is nothing to judge; with one training nothing is decided
    assert set(judged["verdict"]) == {noticing.OPEN, noticing.NONE}
    assert (judged[judged["explanation"] == ZPLUS]["question"].isin([noticing.ALL])).any()


def test_settings_that_make_no_sense_are_said() -> None:
    with pytest.raises(ValueError, match="n is 0: expected 1 or more"):
        Settings(n=0)
    with pytest.raises(ValueError, match="by is 'floor': expected 'layer', 'block' or 'stage'"):
        Settings(by="floor")  # type: ignore[arg-type]


@pytest.mark.slow
def test_seeds_are_pooled_with_their_intervals(tables: dict[str, pd.DataFrame]) -> None:
    shifted = {name: table.copy() for name, table in tables.items()}
    shifted["heatmaps"]["value"] -= 0.2
    pooled = dependence.pool([tables, shifted], 200)
    row = pooled["similarity"].query("order == 'top down' and explanation == 'edges' and measure == 'order'")
    np.testing.assert_allclose(row["value"], 0.9)
    assert (row["low"] < 0).all() and (row["high"] == 1).all() and (row["seeds"] == 2).all()
    assert (row["n"] == 4).all() and set(pooled["similarity"]["explanation"]) >= {OMEGA, *METHODS}
    assert set(pooled["starts"].columns) >= {"layer", "place", *pooling.NUMBERS}
    with pytest.raises(ValueError, match="no training seed"):
        dependence.pool([])


def pooled_by_hand(seeds: int = 3) -> dict[str, pd.DataFrame]:
    def row(value: float, width: float, **more: object) -> dict[str, object]:
        numbers = {"value": value, "low": value - width, "high": value + width, "seeds": seeds}
        return more | numbers | {"covers": "", "n": 8}

    alike = [
        row(value, 0.1, order=TOP_DOWN, depth=depth, group="", explanation=name, measure="order")
        for name, some in {
            ZPLUS: (0.95, 0.9, 0.8, 0.7), GRADIENT: (0.3, 0.2, 0.1, 0.0), EDGES: (1, 1, 1, 1),
            OMEGA: (0.9, 0.55, 0.3, np.nan),
        }.items()
        for depth, value in enumerate(some, 1)
    ]  # fmt: skip
    starts = [
        row(value, 0.05, explanation=name, starts=kind, layer="", place=place)
        for name, kind, some in (
            (ZPLUS, "random starts", (0.99, 0.9, 0.2)), (GRADIENT, "random starts", (0.1, 0.1, 0.1)),
            (ZPLUS, "the other answer", (0.3, 0.52, 0.1)),
        )
        for place, value in enumerate(some)
    ]  # fmt: skip
    complexity = [row(0.2, 0.1, explanation=ZPLUS), row(-0.2, 0.1, explanation=GRADIENT)]
    return {
        "similarity": pd.DataFrame(alike),
        "starts": pd.DataFrame(starts),
        "complexity": pd.DataFrame(complexity),
    }


def test_verdicts_follow_their_rules() -> None:
    judged = noticing.judge(pooled_by_hand()).set_index(["explanation", "question"])["verdict"].to_dict()
    passed, failed, undecided = noticing.PASSED, noticing.FAILED, noticing.OPEN
    assert judged == {
        (ZPLUS, noticing.ALL): failed, (GRADIENT, noticing.ALL): passed, (EDGES, noticing.ALL): failed,
        (ZPLUS, noticing.LATER): failed, (GRADIENT, noticing.LATER): passed,
        (EDGES, noticing.LATER): failed, (OMEGA, noticing.LATER): undecided,
        (ZPLUS, noticing.SENT): failed, (GRADIENT, noticing.SENT): passed,
        (OMEGA, noticing.SENT): failed,
        (ZPLUS, noticing.SIDES): passed, (OMEGA, noticing.SIDES): undecided,
        (ZPLUS, noticing.COMPLEX): passed, (GRADIENT, noticing.COMPLEX): failed,
    }  # fmt: skip
    words = noticing.overall(noticing.judge(pooled_by_hand())).set_index("explanation")
    assert words["verdict"].to_dict() == {
        ZPLUS: "in part",
        GRADIENT: "in part",
        EDGES: "failed",
        OMEGA: "failed",
    }
    assert words.loc[ZPLUS, [passed, failed, undecided]].tolist() == [2, 3, 0]


def test_one_training_decides_nothing() -> None:
    judged = noticing.judge(pooled_by_hand(1))
    assert set(judged["verdict"]) == {noticing.OPEN}
    assert set(noticing.overall(judged)["verdict"]) == {noticing.OPEN}


def test_the_later_half_is_half_of_the_groups() -> None:
    assert [noticing.later(n) for n in (1, 2, 3, 6, 7)] == [1, 1, 1, 3, 3]
