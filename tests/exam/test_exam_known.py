"""A detector of a planted trace: it uses the trace, a dose curve rises to it, a seed trains one detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from exam_known_detector import RECIPE, detector, photographs, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from tff_core import metrics
from tff_core.exam import dose, known, planted_truth
from tff_core.exam.known import Known, Recipe, judged, learnt, looks_at_color, train, use
from tff_core.store.results import Store


def test_it_uses_the_trace_and_nothing_else() -> None:
    one, test = detector("Cb2"), pictures("Cb2")
    table = use(one, test, n=200).set_index("state")
    assert table.loc["planted", "ap"] > 0.9 and table.loc["taken out", "ap"] < 0.7
    assert table.loc["planted", "called"] > table.loc["taken out", "called"] + 0.3
    fall = table.loc["taken out"]
    assert fall["fall_low"] <= fall["fall"] <= fall["fall_high"] and fall["fall_low"] > 0.2
    assert table.loc["planted", "fall"] == 0 and set(table["n"]) == {40}
    labels, scores = judged(one, test)
    assert table.loc["planted", "ap"] == metrics.average_precision(labels, scores)
    assert learnt(table.reset_index()) and looks_at_color(table.reset_index().assign(case="Cb2"))
    # pictures of which nothing can be learnt: those of another trace have nothing that it uses
    other = use(one, pictures("Y2"), n=200)
    assert not learnt(other)


def test_a_detector_of_luma_does_not_look_at_color() -> None:
    table = use(detector("Y2"), pictures("Y2"), n=200).assign(case="Y2")
    assert learnt(table) and not looks_at_color(table)


def test_of_traces_in_both_it_is_measured_which_one_is_used() -> None:
    both = pictures("Y2Cb2")
    states = {"planted", "taken out", "without chroma", "without luma"}
    for case, wanted in (("Cb2", True), ("Y2", False)):  # each knows only one of the two
        table = use(detector(case), both, n=200).assign(case="Y2Cb2")
        assert set(table["state"]) == states and looks_at_color(table) == wanted


def test_the_same_seed_trains_the_same_detector(one_thread: None) -> None:
    few, short = pictures("Cb2").take(range(8)), replace(RECIPE, steps=2, scenes=4)
    a, b, c = (train(few, few, short, seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["0.weight"], c["0.weight"])


def test_a_detector_that_says_nothing_is_one_all_the_same() -> None:
    """A threshold is there even where nothing can be told apart, and the detector has not learnt."""
    same = pictures("Cb2").at(0).take(range(8))
    one = train(same, same, replace(RECIPE, steps=1, scenes=4))
    assert np.isfinite(one.threshold)
    assert not learnt(use(one, same, n=50))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps 0"),
        ({"scenes": 0}, "scenes 0"),
        ({"k": 0}, "k 0"),
        ({"grayscale": 1.0}, "grayscale is 1.0"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(settings, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)


def test_too_few_scenes_and_a_training_that_diverges_are_said() -> None:
    few = pictures("Cb2").take([0])
    with pytest.raises(ValueError, match="1 scenes to learn from: expected 8 at least"):
        train(few, few, RECIPE)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(pictures(), pictures(), replace(RECIPE, learning_rate=1e30, steps=6))


# ------------------------------------------------------------------------------------------------- the dose


def test_the_curve_begins_at_chance_and_rises_to_what_was_trained_on() -> None:
    one, test = detector("Cb2"), pictures("Cb2")
    doses = (0.0, 0.25, 1.0)
    bare, marked = dose.scores(one, test, doses)
    table = dose.curve(bare, marked, [30 * d for d in doses], one.threshold, n=200)
    assert table["ap"].iloc[0] == 0.5 and table["low"].iloc[0] == table["high"].iloc[0] == 0.5
    assert table["ap"].is_monotonic_increasing and table["called"].is_monotonic_increasing
    assert ((table["low"] <= table["ap"]) & (table["ap"] <= table["high"])).all()
    labels, scores = judged(one, test)
    assert table["ap"].iloc[-1] == metrics.average_precision(labels, scores)


def test_where_a_curve_passes_a_level() -> None:
    amplitudes = [0, 2, 4, 8]
    curves = [
        [0.5, 0.8, 1.0, 1.0],  # half-way between 2 and 4
        [0.5, 0.95, 0.85, 0.95],  # falls below once more: counted from the last crossing
        [0.9, 0.9, 0.95, 1.0],  # never below
        [0.5, 0.6, 0.7, 0.8],  # never above
        [0.5, 0.6, 0.9, 0.95],  # exactly at an amplitude
    ]
    np.testing.assert_allclose(dose.crossing(amplitudes, curves, 0.9), [3, 6, 0, np.inf, 4])
    with pytest.raises(ValueError, match="expected ascending ones"):
        dose.crossing([2, 1], [[0.5, 0.6]])


def _scores(shift: float, scenes: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bare = rng.standard_normal(scenes)
    return bare, np.stack([bare + shift * d + 0.1 * rng.standard_normal(scenes) for d in range(5)])


def test_the_limit_lies_between_its_ends_and_is_lower_for_a_better_detector() -> None:
    amplitudes = [0, 1, 2, 3, 4]
    found = [dose.limit({0: _scores(shift)}, amplitudes, n=300) for shift in (1.0, 2.0)]
    for one in found:
        assert one["low"] <= one["limit"] <= one["high"] and one["covers"] == "pictures only"
    assert found[1]["limit"] < found[0]["limit"]
    both = dose.limit({0: _scores(1.0), 1: _scores(2.0)}, amplitudes, n=300)
    assert both["limit"] == pytest.approx((found[0]["limit"] + found[1]["limit"]) / 2)
    assert both["seeds"] == 2 and both["low"] < both["limit"] < both["high"]


def test_a_limit_beyond_the_largest_dose_is_infinite_with_a_finite_lower_end_or_none() -> None:
    blind = dose.limit({0: _scores(0.0)}, [0, 1, 2, 3, 4], n=100)
    assert blind["limit"] == blind["low"] == blind["high"] == np.inf
    one_seed = dose.limit({0: _scores(0.0), 1: _scores(2.0)}, [0, 1, 2, 3, 4], n=100)
    assert one_seed["limit"] == one_seed["high"] == np.inf and np.isfinite(one_seed["low"])
    single = dose.limit({0: (np.zeros(1), np.array([[0.0], [1.0]]))}, [0, 1], n=50)
    assert single["n"] == 1 and single["limit"] == pytest.approx(0.8)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([-9.0, 0.0, 0.3, 9.0]))
def test_every_interval_of_a_dose_holds_its_value_whatever_the_order(seed: int, shift: float) -> None:
    """Of detectors that rank marked pictures last, anywhere, a little higher, and first."""
    amplitudes = [0, 1, 2, 3, 4]
    bare, marked = _scores(shift, 8, seed)
    table = dose.curve(bare, marked, amplitudes, 0.0, n=200)
    for name, low, high in (("ap", "low", "high"), ("called", "called_low", "called_high")):
        assert ((table[low] <= table[name]) & (table[name] <= table[high])).all()
    for level in (0.2, 0.5, 0.7, 0.9):
        found = dose.limit({0: (bare, marked)}, amplitudes, level, n=200)
        assert found["low"] <= found["limit"] <= found["high"]


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_every_interval_of_the_use_holds_its_value_whatever_the_order(shift: float) -> None:
    test = pictures("Cb2").take(range(8))
    rng = np.random.default_rng(0)
    marked = {one.numpy().tobytes() for one in test.marked}

    def logits(some: torch.Tensor) -> np.ndarray:
        return np.array([rng.normal() + shift * (one.numpy().tobytes() in marked) for one in some])

    table = use(SimpleNamespace(threshold=0.0, logits=logits), test, n=200)  # type: ignore[arg-type]
    for name, low, high in (("ap", "low", "high"), ("fall", "fall_low", "fall_high")):
        assert ((table[low] <= table[name]) & (table[name] <= table[high])).all()
    assert table["ap"].iloc[0] == 1 or shift < 9


def test_scores_that_do_not_fit_are_refused() -> None:
    bare, marked = _scores(1.0)
    with pytest.raises(ValueError, match=r"for 3 amplitudes: expected \(N,\) and \(D, N\)"):
        dose.curve(bare, marked, [0, 1, 2], 0.0)
    with pytest.raises(ValueError, match="no detector"):
        dose.limit({}, [0, 1])
    with pytest.raises(ValueError, match="expected the same pictures of every seed"):
        dose.limit({0: _scores(1.0), 1: _scores(1.0, scenes=9)}, [0, 1, 2, 3, 4])


def test_known_answers_are_those_of_its_network() -> None:
    one, test = detector("Cb2"), pictures("Cb2")
    assert isinstance(one, Known) and isinstance(known.resnet10(), torch.nn.Module)
    with torch.no_grad():
        expected = one.net(one.seen(test.marked[:5]))[:, 0].numpy()
    np.testing.assert_allclose(one.logits(test.marked[:5], batch_size=2), expected, rtol=1e-3, atol=1e-4)
    assert isinstance(use(one, test.take([0, 1]), n=20), pd.DataFrame)


# ------------------------------------------------------------------------------------------- the whole exam


@pytest.fixture(scope="module")
def examined() -> planted_truth.Examined:
    settings = planted_truth.Settings(
        (24, 16, 16), {"Cb": 30, "Y": 40}, explained=6, dropped=4, layers=("0",), steps=RECIPE.steps,
        network=RECIPE.network, k=4, integrated=2,
    )  # fmt: skip
    settings = replace(settings, n=(40, 40, 40))
    pixels = dict.fromkeys(("train", "val", "test"), photographs())
    return planted_truth.examine(pixels, "Cb2", 3, settings)


@pytest.mark.slow
def test_one_detector_goes_through_the_whole_exam(examined: planted_truth.Examined) -> None:
    assert set(examined.tables) == set(planted_truth.TABLES)
    for name, table in examined.tables.items():
        assert set(table["case"]) == {"Cb2"} and set(table["seed"]) == {3}, name
    assert examined.tables["known_use"]["learnt"].all() and examined.tables["known_use"]["color"].all()
    assert examined.tables["known_place"]["picture"].nunique() == 6
    assert examined.tables["known_color"]["color"].all() and len(examined.tables["known_maps"]) == 8
    assert (
        examined.shown["marked"].shape == (3, 3, 32, 32) == (*examined.shown["heat_lrp"].shape[:1], 3, 32, 32)
    )


@pytest.mark.slow
def test_the_limits_are_those_of_the_scores(examined: planted_truth.Examined) -> None:
    scores = examined.tables["known_scores"]
    found = planted_truth.limits(scores).iloc[0]
    curve = examined.tables["known_dose"]
    expected = dose.crossing(curve["amplitude"], [curve["ap"]])[0]
    assert found["case"] == "Cb2" and found["limit"] == pytest.approx(expected)


def test_a_detector_that_has_not_learnt_is_asked_no_more() -> None:
    settings = planted_truth.Settings(
        (8, 8, 8), {"Cb": 1}, steps=1, network=RECIPE.network, k=4, scenes=4
    )  # fmt: skip
    found = planted_truth.examine(dict.fromkeys(("train", "val", "test"), photographs(8)), "Cb2", 0, settings)
    assert not found.tables["known_use"]["learnt"].any()
    assert found.tables["known_color"].empty and "case" in found.tables["known_color"]
    assert set(found.shown) == {"bare", "marked", "where"}
    with pytest.raises(ValueError, match="8 train pictures to plant traces in: expected 240"):
        planted_truth.examine({"train": photographs(8)}, "Cb2")
    with pytest.raises(ValueError, match="expected three numbers of scenes"):
        planted_truth.Settings((8, 8, 0))


@pytest.mark.slow
def test_tables_of_several_detectors_are_read_together(
    examined: planted_truth.Examined, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    for seed, empty in ((0, False), (1, True)):
        for name, table in examined.tables.items():
            path = store.part(name, "Cb2", f"s{seed}")
            path.parent.mkdir(parents=True, exist_ok=True)
            (table.head(0)[["case", "seed"]] if empty and name == "known_color" else table).to_csv(
                path, index=False
            )
    found = planted_truth.read(store, ["Cb2"], [0, 1])
    assert set(found) == set(planted_truth.TABLES)
    assert len(found["known_use"]) == 2 * len(examined.tables["known_use"])
    assert found["known_color"]["color"].dtype == bool and len(found["known_color"]) == 5
    with pytest.raises(FileNotFoundError):
        planted_truth.read(store, ["Cr2"], [0])
