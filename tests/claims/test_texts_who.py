"""What the chapters on networks that name sources say, from tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tff_core import intervals
from tff_core.claims import verdicts
from tff_core.claims.texts import who as texts

MODULES, ALONE = "modules_dct", "notl_dct"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Modules as good as the rival on two sources, worse on one; on the last both know nothing."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 60])
    parts = []
    for source, mine, theirs in (("a", 6, 6), ("b", 7, 5), ("c", 0.5, 6), ("d", 0, 0)):
        noise = rng.normal(size=(3, 360)) / 5 + rng.normal(size=360)
        scores = {MODULES: noise + mine * y, ALONE: noise + theirs * y}
        parts.append(intervals.compare_ap(y, scores, n=300).assign(generator=source))
    return pd.concat(parts, ignore_index=True)


def test_networks_have_names_that_a_reader_knows() -> None:
    assert texts.spoken("modules_dct") == "primary and secondaries (spectra)"
    assert texts.spoken("gandct-conv_pixel") == "GANDCT (pixels)"
    assert texts.spoken("nearest-mean_dct") == "nearest mean (spectra)"
    assert texts.having(["modules_dct", "notl_dct", "modules_pixel"], "modules") == [
        "modules_dct", "modules_pixel"
    ]  # fmt: skip


def test_as_good_is_within_the_margin_of_what_knows_something(table: pd.DataFrame) -> None:
    rows = texts.close(table, MODULES, ALONE).set_index("generator")
    assert rows["says"].to_dict() == {
        "a": verdicts.FOR, "b": verdicts.FOR, "c": verdicts.AGAINST, "d": verdicts.OPEN
    }  # fmt: skip
    assert rows.loc["c", "value"] < -0.2
    assert set(texts.close(table.assign(seeds=1), MODULES, ALONE)["says"]) == {verdicts.OPEN}
    back = texts.close(table, ALONE, MODULES).set_index("generator")
    assert back["value"].tolist() == pytest.approx((-rows["value"]).tolist())


def test_the_verdict_follows_the_rule(table: pd.DataFrame) -> None:
    said = texts.suffices(table, [MODULES, ALONE])
    assert "The claim is **mixed**" in said
    assert "2 of 4 sources (a, b); against it: 1 (c); open: 1 (d)" in said
    assert "n = 60 pictures of each source and 300 others, 3 trainings" in said
    said = texts.suffices(table[table["generator"].isin(["a", "b"])], [MODULES, ALONE])
    assert "The claim **holds**" in said
    assert "Not asked in this build" in texts.suffices(table, [MODULES, "notl_pixel"])


def test_numbers_stand_beside_those_of_a_random_order(table: pd.DataFrame) -> None:
    lines = texts.values(table, [MODULES, ALONE]).splitlines()
    assert lines[0].startswith("| source | primary and secondaries (spectra) | one network, no transfer")
    assert len(lines) == 6 and lines[2].startswith("| a | 100.0 %") and "17" in lines[2].split("|")[-2]


def test_facts_of_networks_come_from_what_was_recorded_with_them() -> None:
    infos = [{"best": {"primary": 3, "a": 6}, "cpu_seconds": 60.0}, {"best": {"a": 2}, "cpu_seconds": 120.0}]
    said = texts.facts(
        {
            "modules_dct": {"parts": {"in all": 12345, "primary": 99}, "infos": infos},
            "logistic_dct": {"parts": {"in all": 7}, "infos": [{"best": {}}]},
        }
    )
    assert "| in all 12,345; primary 99 | 2 to 6 | 1.5 |" in said
    assert "| in all 7 | fitted as a whole | none recorded |" in said


def test_what_is_said_of_an_added_source_counts_its_own_and_the_others_answers() -> None:
    rows = [
        ("mine", "mine", 3), ("mine", "real", 4), ("mine", "none of these", 2), ("mine", "a", 1),
        ("a", "a", 8), ("a", "mine", 2), ("real", "real", 19), ("real", "mine", 1),
    ]  # fmt: skip
    confusion = pd.DataFrame(rows, columns=["truth", "answer", "n"]).assign(way="gated", seed=0)
    confusion = pd.concat([confusion, confusion.assign(way="raw", n=99)])
    score = {"name": "mine", "measure": "ap", "value": 0.5, "low": 0.4, "high": 0.6, "seeds": 1}
    scores = pd.DataFrame([score | {"covers": "pictures", "n": 10, "n_others": 30}])
    n = {"train": {"real": 7, "fake": 5}, "val": {"real": 1, "fake": 1}, "test": {"real": 20, "fake": 10}}
    said = texts.added({"generator": "mine", "lacks": "", "pictures": n}, scores, confusion)
    assert "its 10 test pictures above 30 others with AP 50.0 % [40.0, 60.0] (1 training" in said
    assert "Of its 10 answers about them in all trainings, 3 give its name, 4 are *real*" in said
    assert "2 *none of these*, and 1 another's name. Of 30 answers" in said and "reals, 3 give its" in said
    assert "7 reals and 5 fakes to learn from, 1 reals and 1 fakes to choose" in said
    empty = confusion.iloc[:0]
    said = texts.added({"generator": "mine", "lacks": "mine has 3 reals"}, scores.iloc[:0], empty)
    assert said == "**Not asked of mine:** mine has 3 reals."


def test_where_a_task_looks_most_leaves_brightness_out() -> None:
    rings = pd.DataFrame(
        {"family": ["detection"] * 3, "frequency": [0, 0.25, 0.5], "value": [9.0, 2.0, 1.0],
         "low": [8.0, 1.5, 0.5], "high": [10.0, 2.5, 1.5], "n": 30, "left_out": 10}
    )  # fmt: skip
    said = texts.looked(rings, {"a": "it has learnt nothing"})
    assert "| detection | 30 | 10 | 0.25 | 2.00 [1.50, 2.50] |" in said
    assert said.endswith("**Not to be asked of a:** it has learnt nothing.")
    assert texts.looked(pd.DataFrame(), {"a": "b"}) == "**Not to be asked of a:** b."


def test_rivals_are_all_other_ways_of_naming(table: pd.DataFrame) -> None:
    renamed = table.replace(
        {"name": {ALONE: "logistic_dct", f"{ALONE} - {MODULES}": f"logistic_dct - {MODULES}"}}
    )
    said = texts.competitive(renamed, [MODULES, "logistic_dct"])
    assert "against logistic regression (spectra)" in said and "The claim is **mixed**" in said
    assert "Not asked in this build" in texts.competitive(table, [MODULES, ALONE])


def test_scores_of_sources_are_a_table_with_intervals_and_what_never_was_is_said() -> None:
    rows = [
        {"name": name, "measure": measure, "value": value, "low": value - 0.1, "high": value + 0.1,
         "seeds": 3, "covers": "seeds and pictures", "n": 60, "n_others": 300}
        for name in ("detection", "stargan")
        for measure, value in zip(
            ("ap", "auc", "precision", "recall", "f1", "calibration"),
            (0.5, 0.6, float("nan") if name == "stargan" else 0.5, 0.2, 0.3, 0.4), strict=True,
        )
    ]  # fmt: skip
    said = texts.scores(pd.DataFrame(rows))
    assert "| StarGAN | 50.0 % [40.0, 60.0] | 60.0 % [50.0, 70.0] | none |" in said
    assert "3 trainings" in said and "n = 60 pictures of each source among 360" in said


def test_contradictions_are_told_of_each_training() -> None:
    share = {"share": 0.1, "low": 0.05, "high": 0.2, "n": 50}
    none = {"share": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    said = texts.agreed([{"contradictions": share, "unclaimed": none, "known": share}] * 2)
    assert "a secondary claims: in each training 10.0 % [5.0, 20.0] of 50, 10.0 % [5.0, 20.0] of 50" in said
    assert "no secondary claims: it calls none fake." in said and "nan" not in said


def test_the_first_page_has_the_verdict_or_says_that_it_has_none(table: pd.DataFrame) -> None:
    said = texts.front(table, [MODULES, ALONE])
    assert "name the source is **mixed** here, on 2 of 4 sources (a, b)" in said
    for networks, known in (([], table), ([MODULES, ALONE], None), ([MODULES, "notl_pixel"], table)):
        assert "Not asked in this build" in texts.front(known, networks)


def test_what_is_said_of_models_follows_the_whole_interval() -> None:
    def row(name: str, model: str, measure: str, value: float, reach: float) -> dict[str, object]:
        return {
            "name": name, "model": model, "measure": measure, "value": value, "low": value - reach,
            "high": value + reach, "seeds": 3, "covers": "seeds and pictures", "n": 30, "n_others": 420,
        }  # fmt: skip

    rows = [
        row("stylegan2", model, measure, value, 0.05)
        for measure in ("ap", "recall")
        for model, value in (("learnt", 0.8), ("another", 0.4), ("another - learnt", -0.4))
    ]
    told = texts.models(pd.DataFrame(rows))
    assert "| StyleGAN2 | the model that was learnt from | 30 | 80.0 % [75.0, 85.0] |" in told
    assert "-40.0 points [-45.0, -35.0]" in told and "below zero: StyleGAN2." in told
    rows = [
        row("stylegan2", model, measure, 0.0 if "-" in model else 0.5, 0.1)
        for measure in ("ap", "recall")
        for model in ("learnt", "another", "another - learnt")
    ]
    assert "For none of the sources" in texts.models(pd.DataFrame(rows))
    rows = [row("progan", "another", measure, 0.5, 0.1) for measure in ("ap", "recall")]
    told = texts.models(pd.DataFrame(rows))
    assert "ProGAN | another training" in told and "For none" not in told
    assert "Not asked" in texts.models(pd.DataFrame())
