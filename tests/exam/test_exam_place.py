"""Mass and rank of relevance inside a place: by hand, in theory, by an oracle, and for bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from captum.attr import IntegratedGradients
from exam_known_detector import detector, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from tff_core.exam import methods, place
from tff_core.exam.known import PREPROCESSING
from tff_core.exam.place import mass_accuracy, measure, rank_accuracy, summary, verdict
from tff_core.features import pixels

WHERE = np.zeros((1, 4, 4), dtype=bool)
WHERE[0, :2, :2] = True  # 4 of 16 pixels


def _map(**values: float) -> np.ndarray:
    out = np.zeros((1, 4, 4))
    for name, value in values.items():
        out[0, int(name[1]), int(name[2])] = value
    return out


def test_both_measures_by_hand() -> None:
    # inside 3 and 1, outside 4; the four strongest are two inside, the one outside, and a tie of 13 zeros
    heat = _map(p00=3, p11=1, p33=4)
    assert mass_accuracy(heat, WHERE)[0] == 4 / 8
    assert rank_accuracy(heat, WHERE)[0] == pytest.approx((2 + 1 * 2 / 13) / 4)
    assert mass_accuracy(_map(p00=3, p33=-9), WHERE)[0] == 1  # negative relevance is no evidence for a fake
    strict = np.arange(16.0).reshape(1, 4, 4)[:, ::-1, ::-1].copy()  # strongest in the first row
    assert rank_accuracy(strict, WHERE)[0] == 2 / 4


def test_a_perfect_map_has_all_and_a_map_beside_it_nothing() -> None:
    perfect = WHERE.astype(float)
    assert mass_accuracy(perfect, WHERE)[0] == rank_accuracy(perfect, WHERE)[0] == 1
    assert mass_accuracy(1 - perfect, WHERE)[0] == rank_accuracy(1 - perfect, WHERE)[0] == 0


def test_a_random_map_has_the_area_on_average_and_a_constant_one_exactly() -> None:
    rng = np.random.default_rng(0)
    where = np.broadcast_to(WHERE, (4000, 4, 4))
    heat = rng.random(where.shape)
    for values in (mass_accuracy(heat, where), rank_accuracy(heat, where)):
        assert values.mean() == pytest.approx(0.25, abs=4 * values.std() / np.sqrt(4000))
    for constant in (np.ones_like(heat[:1]), np.full_like(heat[:1], 7.5)):
        assert mass_accuracy(constant, WHERE)[0] == rank_accuracy(constant, WHERE)[0] == 0.25
    assert rank_accuracy(np.zeros((1, 4, 4)), WHERE)[0] == 0.25  # every order of equal pixels is as likely
    assert np.isnan(mass_accuracy(np.zeros((1, 4, 4)), WHERE)[0])  # no relevance has no share anywhere
    assert np.isnan(mass_accuracy(-np.ones((1, 4, 4)), WHERE)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 50))
def test_they_are_what_the_definitions_say_whatever_the_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    heat, where = rng.standard_normal((1, 5, 6)), rng.random((1, 5, 6)) < 0.3
    where[0, 0, 0] = True
    k = int(where.sum())
    strongest = np.argsort(-heat.ravel())[:k]
    assert rank_accuracy(heat, where)[0] == pytest.approx(where.ravel()[strongest].mean())
    positive = np.maximum(heat, 0)
    assert mass_accuracy(heat, where)[0] == pytest.approx(positive[where].sum() / positive.sum())
    np.testing.assert_allclose(mass_accuracy(scale * heat, where), mass_accuracy(heat, where))
    np.testing.assert_allclose(rank_accuracy(scale * heat, where), rank_accuracy(heat, where))


@pytest.mark.parametrize("name", ["RelevanceMassAccuracy", "RelevanceRankAccuracy"])
def test_quantus_finds_the_same(name: str) -> None:
    quantus = pytest.importorskip("quantus")
    rng = np.random.default_rng(1)
    heat, where = rng.random((6, 8, 8)), rng.random((6, 8, 8)) < 0.3
    metric = getattr(quantus, name)(
        abs=False, normalise=False, disable_warnings=True, display_progressbar=False
    )
    theirs = metric.evaluate_batch(a_batch=heat[:, None], s_batch=where[:, None])
    ours = mass_accuracy(heat, where) if "Mass" in name else rank_accuracy(heat, where)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("heat", "where", "message"),
    [
        (np.full((1, 4, 4), np.nan), WHERE, "1 of 1 heatmaps have values that are no finite number"),
        (np.ones((1, 4, 4)), np.zeros_like(WHERE), r"1 of 1 places are empty \(the first is number 0\)"),
        (np.ones((1, 4, 5)), WHERE, r"expected \(N, H, W\) of both"),
        (np.ones((0, 4, 4)), WHERE[:0], "N at least 1"),
    ],
)
def test_maps_and_places_that_say_nothing_are_refused(heat, where, message: str) -> None:  # type: ignore[no-untyped-def]
    for function in (mass_accuracy, rank_accuracy):
        with pytest.raises(ValueError, match=message):
            function(heat, where)
    with pytest.raises(ValueError, match=r"^mine: "):
        measure({"mine": heat}, where)


# ---------------------------------------------------------------------------------------------- the methods


def test_every_method_has_a_map_for_every_picture_and_relevance_finds_the_place() -> None:
    one, some = detector("Cb2"), pictures("Cb2").take(range(12))
    maps = place.explain(one, some.marked, place.methods(one, steps=4), batch_size=5)
    assert set(maps) == {
        "lrp", "gradient", "input_gradient", "integrated", "gradcam", "guided_gradcam", *place.CONTROLS,
    }  # fmt: skip
    table = measure(maps, some.where)
    for values in maps.values():
        assert values.shape == some.where.shape and np.isfinite(values).all() and (values >= 0).all()
    means = table.groupby("method")[["mass", "area"]].mean()
    assert means.loc["lrp", "mass"] > means.loc["lrp", "area"] + 0.2
    again = place.explain(one, some.marked, {}, seed=0)
    assert set(again) == set(place.CONTROLS) and np.array_equal(again["random"], maps["random"])


def test_the_methods_are_those_of_the_registry_and_captum_finds_the_same_from_the_middle_gray() -> None:
    one, some = detector("Cb2"), pictures("Cb2")
    x = one.seen(some.marked[one.logits(some.marked) > 0][:4])
    found = {name: method(x) for name, method in place.methods(one, steps=4).items()}
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (PREPROCESSING.mean, PREPROCESSING.std))
    integrated = IntegratedGradients(one.model).attribute(
        x.clone().requires_grad_(True), ((0.5 - mean) / std).expand_as(x), 0, n_steps=4
    )
    # where the path comes close to a kink of a ReLU, rounding decides on which side a gradient is taken
    close = np.isclose(found["integrated"], pixels.strength(integrated.detach()), rtol=1e-4, atol=1e-7)
    assert close.mean() > 0.99
    names = {name: own for name, own in place.ASKED.items() if name != "integrated"}
    for name, method in methods.build(one.model, names.values()).items():
        (own,) = (short for short, long in names.items() if long == name)
        expected = pixels.relevance(one.net, x).sum(1) if own == "lrp" else method(x)
        assert np.array_equal(found[own], expected.clamp(min=0).numpy()) and found[own].any(), name


# ------------------------------------------------------------------------------------------------- over all


def _table(
    gain: float, scenes: int = 20, seeds: int = 2, cases: tuple[str, ...] = ("Y2", "Cb2")
) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    area = rng.uniform(0.1, 0.3, scenes)
    rows = []
    for case in cases:
        for seed in range(seeds):
            for method, more in (("good", gain), ("edges", 0.0)):
                noise = 0.02 * rng.standard_normal((2, scenes))
                own = {"case": case, "seed": seed, "method": method, "picture": range(scenes), "area": area}
                rows.append(
                    pd.DataFrame(own | {"mass": area + more + noise[0], "rank": area + more + noise[1]})
                )
    return pd.concat(rows, ignore_index=True)


def test_the_summary_is_what_the_rows_say_with_an_interval_over_pictures_and_detectors() -> None:
    table = _table(0.3)
    found = summary(table, n=300).set_index(["case", "method", "measure", "against"])
    assert set(found.index.get_level_values("case")) == {"Y2", "Cb2", "all"}
    good = table[table["method"] == "good"]
    whole = found.loc[("all", "good", "mass", "")]
    assert whole["value"] == pytest.approx(good.groupby(["case", "seed"])["mass"].mean().mean())
    assert whole["seeds"] == 4 and whole["n"] == 80 and whole["covers"] == "seeds and pictures"
    over = found.loc[("all", "good", "mass", "chance")]
    assert over["value"] == pytest.approx(0.3, abs=0.02) and over["low"] > 0.2
    assert abs(found.loc[("all", "edges", "mass", "chance"), "value"]) < 0.02
    assert ("all", "edges", "mass", "edges") not in found.index


def test_a_method_passes_if_it_surely_beats_chance_and_edges() -> None:
    for gain, word in ((0.3, place.PASSED), (0.0, place.FAILED)):
        rows = summary(_table(gain), n=200).query("case == 'all' and method == 'good'")
        assert verdict(rows) == word
    table = _table(0.3)
    table.loc[table["method"] == "edges", ["mass", "rank"]] += 0.6  # edges are better still
    assert verdict(summary(table, n=200).query("case == 'all' and method == 'good'")) == place.IN_PART


def test_pictures_without_relevance_are_counted_and_left_out_and_one_picture_is_enough() -> None:
    table = _table(0.3, seeds=1, cases=("Cb2",))
    table.loc[(table["method"] == "good") & (table["picture"] < 5), "mass"] = np.nan
    found = summary(table, n=100).set_index(["method", "measure", "against"])
    row = found.loc[("good", "mass", "")]
    assert row["n"] == 15 and row["blank"] == 5 and set(found["case"]) == {"Cb2"}
    assert row["covers"] == "pictures only"
    single = summary(table[table["picture"] == 7], n=50).set_index(["method", "measure", "against"])
    assert single.loc[("good", "rank", ""), "value"] == single.loc[("good", "rank", ""), "high"]
    blank = table.assign(mass=np.nan)
    assert np.isnan(summary(blank, n=20).query("measure == 'mass'")["value"]).all()
