"""All measures together: a perfect explanation, random numbers, and pooling by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from exam_toys import linear, pictures
from PIL import Image
from torch import Tensor

from tff_core import intervals
from tff_core.exam import faithfulness, flipping, methods
from tff_core.pictures import data

SIZES = faithfulness.Sizes(patch=4, steps=4, sets=8, squares=8, noisy=1, copies=1)
N = 6


@pytest.fixture(scope="module")
def measured() -> faithfulness.Measured:
    """Of a linear detector, whose contributions are known: these, their opposite, constant maps, controls."""
    f, x = linear(16, channels=3), pictures(N, 16, seed=3)
    f.bias = 0.1

    def exact(x: Tensor) -> Tensor:
        return methods.sides(f(x)).view(-1, 1, 1) * f.contributions(x, flipping.mean_colour(x))

    controls = methods.build(f, methods.CONTROLS)
    everyone = {
        "exact": exact,
        "opposite": lambda x: -exact(x),
        "constant": lambda x: torch.ones_like(x[:, 0]),
    }
    return faithfulness.measure(f, everyone | controls, x, SIZES)


def table(measured: faithfulness.Measured, metric: str) -> pd.DataFrame:
    own = measured.values[measured.values["measure"] == metric]
    return own.pivot(index="picture", columns="method", values="value")


def test_there_is_a_value_for_every_picture_method_and_measure(measured: faithfulness.Measured) -> None:
    values = measured.values
    assert set(values["measure"]) == set(faithfulness.METRICS) and values["value"].notna().all()
    counts = values.groupby("measure").size()
    assert (counts.drop("max_sensitivity") == 5 * N).all() and counts["max_sensitivity"] == 5
    assert set(measured.maps) == set(values["method"]) and measured.maps["exact"].shape == (N, 16, 16)
    assert set(measured.curves["curve"]) == set(faithfulness.CURVES)


@pytest.mark.parametrize("metric", faithfulness.FAITHFUL)
def test_no_map_is_better_than_the_contributions_and_none_worse_than_their_opposite(
    measured: faithfulness.Measured, metric: str
) -> None:
    rows = table(measured, metric) * (1 if faithfulness.METRICS[metric].higher else -1)
    slack = 0.02 if metric == "road" else 1e-9  # what is imputed is not what was taken to be gone
    assert (rows["exact"] >= rows.max(axis=1) - slack).all()
    assert (rows["opposite"] <= rows.min(axis=1) + slack).all()


def test_perfect_explanations_score_what_theory_says(measured: faithfulness.Measured) -> None:
    np.testing.assert_allclose(table(measured, "sensitivity_n")["exact"], 1)
    np.testing.assert_allclose(table(measured, "infidelity")["exact"], 0, atol=1e-12)
    np.testing.assert_allclose(table(measured, "sensitivity_n")["constant"], 0)


def test_both_ends_of_curves_are_the_same_for_all(measured: faithfulness.Measured) -> None:
    curves = measured.curves[measured.curves["curve"] != "road"]
    ends = curves[curves["share"].isin([0, 1])].groupby(["curve", "share"])["value"]
    assert (ends.max() - ends.min() < 1e-12).all() and len(ends) == 8
    assert set(curves.loc[curves["curve"] == "flip_most", "share"]) == {0, 0.25, 0.5, 0.75, 1}


def test_values_do_not_depend_on_the_batch() -> None:
    f, x = linear(16, channels=3), pictures(3, 16)
    everyone = methods.build(f, ["input_x_gradient", "random"])
    sizes = faithfulness.Sizes(patch=4, steps=2, sets=4, squares=4, noisy=3, copies=1)
    whole = faithfulness.measure(f, everyone, x, sizes).values
    alone = faithfulness.measure(f, everyone, x[2:], sizes, batch_size=2).values
    whole = whole[whole["picture"] == 2].drop(columns="picture").reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, alone.drop(columns="picture"))


def test_a_map_that_is_not_finite_is_named() -> None:
    f, x = linear(16, channels=3), pictures(2, 16)
    with pytest.raises(ValueError, match="broken: relevance of picture 0 is not finite"):
        faithfulness.measure(f, {"broken": lambda x: x[:, 0] * torch.nan}, x, SIZES)
    with pytest.raises(ValueError, match="0 pictures and 1 methods"):
        faithfulness.measure(f, {"some": lambda x: x[:, 0]}, x[:0], SIZES)
    with pytest.raises(ValueError, match="two or more sets and squares"):
        faithfulness.Sizes(sets=1)


def test_trainings_have_pictures_of_their_own(tmp_path: Path) -> None:
    sets = {}
    for place, (name, side) in enumerate({"progan": 8, "gaugan": 6}.items()):
        for label in ("0_real", "1_fake"):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (side, 8), (100 * place + 10 * i, 0, 0)).save(folder / f"{i}.png")
        sets[name] = data.scan(tmp_path / name).where(label=1)
    first, pixels = faithfulness.own_pictures(sets, 3, 0)
    assert first == ["progan", "gaugan", "progan"]
    assert pixels.shape == (3, 3, 8, 6) and pixels[:, 0, 0, 0].tolist() == [0, 100, 10]
    second, pixels = faithfulness.own_pictures(sets, 3, 1)
    assert second == ["gaugan", "progan", "gaugan"] and pixels[:, 0, 0, 0].tolist() == [110, 20, 120]
    # where there are too few they begin again
    assert faithfulness.own_pictures(sets, 3, 2)[1][:, 0, 0, 0].tolist() == [0, 100, 10]
    with pytest.raises(ValueError, match="0 pictures of 2 generators"):
        faithfulness.own_pictures(sets, 0, 0)
    with pytest.raises(ValueError, match="3 pictures of 0 generators"):
        faithfulness.own_pictures({"none": sets["progan"].take([])}, 3, 0)


def rows(values: dict[str, list[list[float]]], metric: str = "flip_least") -> pd.DataFrame:
    """By method: a list for each training, of its pictures' values."""
    return pd.DataFrame(
        [
            {"seed": s, "picture": i, "method": name, "measure": metric, "value": v}
            for name, seeds in values.items()
            for s, own in enumerate(seeds)
            for i, v in enumerate(own)
        ]
    )


def test_trainings_are_pooled_as_everywhere() -> None:
    given = {"some": [[1.0, 2.0, 3.0], [3.0, 5.0]], "random": [[0.0, 1.0, 1.0], [1.0, 1.0]]}
    found = faithfulness.summary(rows(given)).set_index("method")
    assert found.loc["some", "value"] == pytest.approx((2 + 4) / 2)
    assert found.loc["some", "over_random"] == pytest.approx((4 / 3 + 3) / 2)
    assert found.loc["some", ["n", "missing", "seeds"]].tolist() == [5, 0, 2]
    assert np.isnan(found.loc["random", "over_random"]) and np.isnan(found.loc["some", "over_edges"])
    # two trainings differ by 2: with one degree of freedom the interval is wide
    half = intervals.half_width([2.0, 4.0], np.zeros((2, 2)))
    assert found.loc["some", "high"] - 3 == pytest.approx(half, rel=0.05)
    # lower is better: the difference to the control turns round
    lower = faithfulness.summary(rows(given, "flip_most")).set_index("method")
    assert lower.loc["some", "over_random"] == pytest.approx(-(4 / 3 + 3) / 2)


@pytest.mark.parametrize(("metric", "least"), [("deletion", 0.0), ("road", 0.0), ("sensitivity_n", -1.0)])
def test_intervals_of_shares_and_correlations_stay_where_these_can_be(metric: str, least: float) -> None:
    given = {"some": [[0.1, 0.3], [0.9, 0.8]], "random": [[0.9, 0.7], [0.1, 0.3]]}
    found = faithfulness.summary(rows(given, metric))
    assert (found["low"] >= least).all() and (found["high"] <= 1).all()
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()


def test_one_picture_of_one_training_has_a_value_and_no_interval() -> None:
    found = faithfulness.summary(rows({"some": [[2.0]], "random": [[1.0]], "edges": [[4.0]]}))
    some = found.set_index("method").loc["some"]
    assert some[["value", "over_random", "over_edges"]].tolist() == [2, 1, -2]
    assert some[["low", "high", "over_random_low", "over_edges_high"]].isna().all()
    ranked = faithfulness.ranking(rows({"some": [[2.0]], "random": [[1.0]], "edges": [[4.0]]}))
    assert ranked["mean_rank"].tolist() == [2, 3, 1] and ranked[["critical", "friedman_p"]].isna().all(
        axis=None
    )


def test_what_is_missing_is_counted_and_comes_last() -> None:
    given = rows({"empty": [[np.nan, 0.9], [np.nan, np.nan]], "random": [[0.1, 0.2], [0.1, 0.2]]})
    found = faithfulness.summary(given).set_index("method").loc["empty"]
    assert found[["value", "n", "missing", "seeds"]].tolist() == [0.9, 1, 0.75, 1]
    ranked = faithfulness.ranking(given).set_index("method")["mean_rank"]
    assert ranked.tolist() == [(2 + 1 + 2 + 2) / 4, (1 + 2 + 1 + 1) / 4]
    nothing = faithfulness.summary(rows({"empty": [[np.nan]], "random": [[1.0]]})).set_index("method")
    assert np.isnan(nothing.loc["empty", "value"]) and nothing.loc["empty", "seeds"] == 0


def test_ranks_of_all_measures_are_those_of_their_mean() -> None:
    one = rows({"a": [[3.0, 3.0]], "b": [[2.0, 2.0]], "c": [[1.0, 1.0]]})
    other = rows({"a": [[0.1, 0.9]], "b": [[0.2, 0.2]], "c": [[0.3, 0.3]]}, "deletion")  # lower is better
    stable = rows({"a": [[9.0, 9.0]], "b": [[1.0, 1.0]], "c": [[0.0, 0.0]]}, "max_sensitivity")
    found = faithfulness.ranking(pd.concat([one, other, stable]))
    total = found[found["measure"] == faithfulness.ALL].set_index("method")["mean_rank"]
    # of the first picture a is best by both; of the second it is 1 and 3, b 2 and 1, c 3 and 2
    assert total.tolist() == [(1 + 2) / 2, (2 + 1) / 2, 3]
    assert set(found["measure"]) == {"flip_least", "deletion", "max_sensitivity", "all"}


def test_the_summary_of_a_run_finds_the_exact_map_better_than_random(measured: faithfulness.Measured) -> None:
    found = faithfulness.summary(measured.values.assign(seed=0), n=200).set_index(["measure", "method"])
    for metric in ("flip_most", "flip_least", "sensitivity_n", "infidelity"):
        assert found.loc[(metric, "exact"), "over_random_low"] > 0
        assert found.loc[(metric, "opposite"), "over_random_high"] < 0
    ranked = faithfulness.ranking(measured.values.assign(seed=0)).set_index(["measure", "method"])[
        "mean_rank"
    ]
    assert ranked[faithfulness.ALL].idxmin() == "exact" and ranked[faithfulness.ALL].idxmax() == "opposite"
