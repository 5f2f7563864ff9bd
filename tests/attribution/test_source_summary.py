"""Scores over trainings: those of scikit-learn, intervals over pictures and seeds, names never given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn import metrics as oracle

from tff_core import metrics
from tff_core.attribution import openset, summary
from tff_core.attribution.answers import REAL, UNKNOWN, UNREADABLE
from tff_core.attribution.evaluation import Evaluation, calibration_error

TRUTH = np.array(["a"] * 20 + ["b"] * 15 + [REAL] * 40, dtype=object)


def training(seed: int, b_is_named: bool = True) -> Evaluation:
    """Answers of a network that knows a and b, with ties in its probabilities."""
    rng = np.random.default_rng(seed)
    p = {name: np.round(rng.beta(1 + 3 * (name == TRUTH), 2), 1) for name in ("a", "b")}
    fake = np.round(rng.beta(1 + 2 * (TRUTH != REAL), 2), 2)
    named = np.where(p["a"] >= p["b"], "a", "b" if b_is_named else UNKNOWN)
    decision = np.where(fake >= 0.5, named, REAL).astype(object)
    frame = pd.DataFrame({"truth": TRUTH, "decision": decision, "fake": fake, "p a": p["a"], "p b": p["b"]})
    return Evaluation(frame, pd.DataFrame(), pd.DataFrame(), {})


def test_values_are_means_of_what_scikit_learn_has() -> None:
    found = [training(0), training(1)]
    table = summary.by_source(found, ["a", "b"], 30).set_index(["name", "measure"])
    for name in (summary.DETECTION, "a", "b"):
        expected: dict[str, list[float]] = {measure: [] for measure in summary.MEASURES}
        for one in found:
            rows = one.pictures
            y = (rows["truth"] != REAL) if name == summary.DETECTION else (rows["truth"] == name)
            called = (rows["decision"] != REAL) if name == summary.DETECTION else (rows["decision"] == name)
            p = rows["fake" if name == summary.DETECTION else f"p {name}"]
            expected["ap"].append(oracle.average_precision_score(y, p))
            expected["auc"].append(oracle.roc_auc_score(y, p))
            expected["precision"].append(oracle.precision_score(y, called))
            expected["recall"].append(oracle.recall_score(y, called))
            expected["f1"].append(oracle.f1_score(y, called))
            expected["calibration"].append(calibration_error(y, p))
        for measure, values in expected.items():
            row = table.loc[(name, measure)]
            assert row["value"] == pytest.approx(np.mean(values)), (name, measure)
            assert row["low"] <= row["value"] <= row["high"]
            assert row["seeds"] == 2 and row["covers"] == "seeds and pictures"
    assert (table.loc[("a", "ap"), "n"], table.loc[("a", "ap"), "n_others"]) == (20, 55)
    assert table.loc[(summary.DETECTION, "ap"), "n"] == 35


def test_a_name_that_is_never_given_has_recall_and_no_precision() -> None:
    table = summary.by_source([training(0), training(1, b_is_named=False)], ["b"], 30)
    rows = table[table["name"] == "b"].set_index("measure")["value"]
    assert np.isnan(rows["precision"])
    assert 0 < rows["recall"] < 1 and 0 < rows["f1"] < 1  # of the first training


def test_a_score_without_a_fault_has_an_interval_all_the_same() -> None:
    one = training(0)
    frame = one.pictures.assign(**{"p a": (TRUTH == "a") * 0.9})
    frame["decision"] = np.where(TRUTH == "a", "a", REAL)
    frame.loc[:4, "decision"] = REAL
    perfect = Evaluation(frame, pd.DataFrame(), pd.DataFrame(), {})
    table = summary.by_source([perfect, perfect], ["a"], 30)
    rows = table[table["name"] == "a"].set_index("measure")
    for measure, n in (("precision", 15), ("ap", 20), ("auc", 20)):
        assert rows.loc[measure, "value"] == 1.0 == rows.loc[measure, "high"]
        assert rows.loc[measure, "low"] == pytest.approx(binomtest(n, n).proportion_ci(method="wilson").low)


def test_resampled_auc_is_that_of_the_pictures_drawn() -> None:
    rng = np.random.default_rng(0)
    y, s = np.repeat([0, 1], 20), np.round(rng.normal(size=40), 1)
    weights = metrics.picture_weights(y, 8)
    drawn = summary.resampled_auc(y, s, weights)
    for b in range(8):
        again = np.repeat(np.arange(40), weights[:, b].astype(int))
        assert drawn[b] == pytest.approx(oracle.roc_auc_score(y[again], s[again]))
    assert np.isnan(summary.resampled_auc(y, s, weights * (y == 0)[:, None])).all()


def test_pictures_that_cannot_be_judged_are_left_out_and_none_at_all_is_refused() -> None:
    one = training(0)
    frame = one.pictures.copy()
    frame.loc[0, "decision"] = UNREADABLE
    table = summary.by_source([one, Evaluation(frame, pd.DataFrame(), pd.DataFrame(), {})], ["a"], 30)
    assert set(table.loc[table["name"] == "a", "n"]) == {19}
    with pytest.raises(ValueError, match="no training was asked"):
        summary.by_source([], ["a"])


def opened(seed: int, better: float = 0.0) -> openset.OpenSet:
    """Fakes of a known source and of two unknown ones, one as sure as the known, one hardly."""
    rng = np.random.default_rng(seed)
    truth = np.array(["a"] * 40 + ["x"] * 30 + ["y"] * 20 + [REAL] * 5, dtype=object)
    high = np.select([truth == "a", truth == "x"], [0.5 + better, 0.5], 0.1)
    frame = pd.DataFrame(
        {
            "truth": truth, "known": truth == "a", "score": high + rng.normal(size=95) / 10,
            "right": (truth == "a") & (rng.random(95) < 0.9), "accepted": rng.random(95) < high,
        }
    )  # fmt: skip
    return openset.OpenSet(frame, pd.DataFrame(), {})


def test_unknown_sources_have_the_areas_of_the_open_set_and_those_of_a_hard_one_stay_at_a_half() -> None:
    found = [opened(seed) for seed in range(4)]
    table = summary.unknown_sources(found, 100).set_index(["generator", "measure"])
    assert list(dict.fromkeys(table.index.get_level_values(0))) == ["x", "y", summary.EVERY]
    for source in ("x", "y", summary.EVERY):
        areas: dict[str, list[float]] = {"auroc": [], "oscr": [], "accepted": []}
        for one in found:
            rows = one.pictures[one.pictures["truth"] != REAL]
            known = rows[rows["known"]]
            other = rows[~rows["known"] & ((rows["truth"] == source) | (source == summary.EVERY))]
            areas["auroc"].append(openset.auroc(known["score"], other["score"]).value)
            areas["oscr"].append(openset.oscr(known["score"], known["right"], other["score"]).area.value)
            areas["accepted"].append(other["accepted"].mean())
        for measure, values in areas.items():
            assert table.loc[(source, measure), "value"] == pytest.approx(np.mean(values)), (source, measure)
    assert table.loc[("x", "auroc"), "low"] < 0.5 < table.loc[("x", "auroc"), "high"]
    assert table.loc[("y", "auroc"), "low"] > 0.8
    assert (table.loc[("y", "oscr"), "n"], table.loc[("y", "oscr"), "n_known"]) == (20, 40)
    certain = summary.unknown_sources([opened(0, 9.0), opened(1, 9.0)], 20).set_index(
        ["generator", "measure"]
    )
    assert certain.loc[("x", "auroc"), "value"] == 1.0 > certain.loc[("x", "auroc"), "low"]
    with pytest.raises(ValueError, match="no training was tested"):
        summary.unknown_sources([])


def by_model(learnt: float, another: float, others: float = 0.2, seeds: int = 4) -> pd.DataFrame:
    """Answers about source a: its fakes of two models have these probabilities, plus noise."""
    truth = np.array(["a"] * 40 + [REAL] * 60, dtype=object)
    paths = [f"{i}.png" for i in range(100)]
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        p = np.concatenate([np.full(20, learnt), np.full(20, another), np.full(60, others)])
        p = np.clip(p + rng.normal(0, 0.1, 100), 0.01, 0.99)
        decision = np.where(p >= 0.5, "a", REAL).astype(object)
        columns = {"path": paths, "truth": truth, "decision": decision, "fake": p, "p a": p}
        found.append(Evaluation(pd.DataFrame(columns), pd.DataFrame(), pd.DataFrame(), {}))
    made_by = {path: "one" if i < 20 else "two" if i < 40 else "" for i, path in enumerate(paths)}
    return summary.by_model(found, made_by, {"a": ["one"]}, 100)


def test_a_source_known_by_one_model_alone_is_told_from_one_known_by_its_kind() -> None:
    known = by_model(0.8, 0.8).set_index(["model", "measure"])
    apart = known.loc[(summary.APART, "recall")]
    assert apart["low"] <= 0 <= apart["high"]
    memorised = by_model(0.8, 0.2).set_index(["model", "measure"])
    recall = {model: memorised.loc[(model, "recall"), "value"] for model in ("learnt", "another")}
    assert recall["learnt"] > 0.9 and recall["another"] < 0.1
    for measure in ("ap", "recall"):
        apart = memorised.loc[(summary.APART, measure)]
        both = [memorised.loc[(model, measure), "value"] for model in ("learnt", "another")]
        assert apart["value"] == pytest.approx(both[1] - both[0]) and apart["high"] < 0
    assert set(memorised["n_others"]) == {60} and memorised.loc[("learnt", "ap"), "n"] == 20
    # against all other pictures: a random order has 20 of 80
    assert memorised.loc[("another", "ap"), "value"] == pytest.approx(0.25, abs=0.12)


def test_models_that_nobody_knows_make_no_rows() -> None:
    found = [training(0)]
    found[0].pictures["path"] = [str(i) for i in range(len(TRUTH))]
    assert summary.by_model(found, {}, {"a": ["one"]}).empty
    with pytest.raises(ValueError, match="no training was asked"):
        summary.by_model([], {}, {})
