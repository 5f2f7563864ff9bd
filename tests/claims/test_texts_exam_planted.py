"""The sentences of the chapter on planted traces follow from their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tff_core.claims.texts import exam_planted as texts


def test_cases_in_words() -> None:
    assert texts.spoken("Cb2") == "Cb, period 2"
    assert texts.spoken("Y2Cb4.5") == "Y, period 2, and Cb, period 4.5"
    assert texts.spoken("all") == "all"
    assert texts.cases(["Y2", "Cb2", "Y2"]) == {
        "all": "all detectors",
        "Y2": "Y, period 2",
        "Cb2": "Cb, period 2",
    }
    assert texts.cases(["Y2"]) == {"Y2": "Y, period 2"}


def _use(case: str, learnt: bool, states: tuple[str, ...] = ("planted", "taken out")) -> pd.DataFrame:
    numbers = {"ap": 0.97, "low": 0.95, "high": 0.99, "called": 0.9, "n": 60}
    falls = {"fall": 0.4, "fall_low": 0.3, "fall_high": 0.5}
    return pd.DataFrame(
        [{"case": case, "seed": 0, "state": s, "learnt": learnt, **numbers, **falls} for s in states]
    )


def test_which_detectors_count_and_what_those_with_two_traces_use() -> None:
    both = ("planted", "taken out", "without chroma", "without luma")
    told = texts.used(pd.concat([_use("Cb2", True), _use("Y2", False), _use("Y2Cb2", True, both)]), 0.9)
    assert "2 of 3 detectors count: AP of 90.0 % or more" in told and "60 test scenes" in told
    assert "| Cb, period 2 | 0 | 97.0 % [95.0, 99.0] |" in told and "| no |" in told
    assert "**Y, period 2, and Cb, period 2, seed 0**, has two traces." in told
    assert "-40.0 points [-50.0, -30.0]" in told


def test_limits_say_where_there_is_none() -> None:
    rows = [
        {"case": "Cb2", "limit": 2.24, "low": 1.5, "high": 3.4, "seeds": 2, "covers": "seeds and pictures"},
        {"case": "Y2", "limit": np.inf, "low": 20.0, "high": np.inf, "seeds": 1, "covers": "pictures only"},
        {
            "case": "Cr2",
            "limit": np.inf,
            "low": np.inf,
            "high": np.inf,
            "seeds": 1,
            "covers": "pictures only",
        },
        {"case": "Y4", "limit": 9.0, "low": 8.0, "high": np.inf, "seeds": 1, "covers": "pictures only"},
    ]
    told = texts.limits(pd.DataFrame(rows), 0.9)
    assert "2.2 [1.5, 3.4]" in told and "beyond the largest dose; at least 20.0" in told
    assert (
        "| Cr, period 2 | beyond the largest dose |" in told and "9.0 [8.0, beyond the largest dose]" in told
    )


def test_every_method_gets_its_verdict_and_controls_none() -> None:
    rows = []
    for method, value in (("lrp", 0.3), ("gradient", np.nan), ("edges", 0.0)):
        for measure in ("mass", "rank"):
            for against in ("", "chance", "edges"):
                ends = {"value": value, "low": value - 0.1, "high": value + 0.1, "seeds": 6, "n": 180}
                rows.append(
                    {
                        "case": "all",
                        "method": method,
                        "measure": measure,
                        "against": against,
                        "blank": 0,
                        **ends,
                    }
                )
    table = pd.DataFrame(rows)
    table.loc[table["method"] == "gradient", "blank"] = 4
    told = texts.places(table, {"lrp": "passed", "gradient": "failed"}, "all")
    assert "| LRP (z+), the book's heatmap | +30.0 points [+20.0, +40.0] |" in told and "**passed**" in told
    assert "| edges, no detector |" in told and "| control |" in told and "none" in told
    assert "180 pictures and 6 detectors." in told and "Left out: 4 heatmaps" in told


def test_omega_and_its_maps() -> None:
    agreement = pd.DataFrame(
        {
            "case": ["Cb2", "Y2"], "seed": [0, 0], "layer": "conv1", "n_maps": 64, "rho": [0.2, 0.6],
            "asked": 5, "found": [1, 3], "by_chance": 0.39, "median_rank": [0.1, 0.02],
        }
    )  # fmt: skip
    groups = ["top-k", "low-k", "matched-k", "matched-k"]
    dropped = pd.DataFrame({"group": groups, "k": 12, "left": [0.8, 1, 0.9, 1.0]})
    told = texts.maps(agreement, dropped)
    assert "**conv1**, 64 maps" in told and "0.40 on average (0.20 to 0.60)" in told
    assert "2.0 among as many of its strongest, by chance it would be 0.4" in told
    assert "Without the 12 maps that omega ranks first 80.0 %" in told and "same layers 95.0 %" in told
    assert "Means over 2 detectors" in told
    assert "what is lost none" in texts.maps(agreement.assign(rho=np.nan), dropped)


def test_answers_and_their_crosses() -> None:
    rows = [
        {"case": case, "seed": 0, "color": color, "test": test, "said": said}
        for case, color, answers in (("Cb2", True, (True, False)), ("Y2", False, (True, False)))
        for test, said in zip(("C6", "C7"), answers, strict=True)
    ]
    told = texts.answers(pd.DataFrame(rows))
    assert "| Cb, period 2 | 0 | yes |  | colour | no ✗ |  |" in told
    assert "| Y, period 2 | 0 | no |  | colour ✗ | no |  |" in told


def _confusion(**changes: object) -> pd.DataFrame:
    row = {
        "test": "C6",
        "hits": 4,
        "n_chroma": 4,
        "alarms": 0,
        "n_luma": 2,
        "right": 1.0,
        "low": 0.6,
        "high": 1.0,
    }
    return pd.DataFrame([row | {"verdict": "passed"} | changes])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "said colour when, and only when, the trace was in chroma"),
        ({"hits": 3}, "raised no false alarm but missed 1 of 4 traces in chroma"),
        (
            {"alarms": 1},
            "found every trace in chroma but said colour of 1 of 2 detectors that use luma alone, too",
        ),
        ({"hits": 1, "alarms": 2}, "missed 3 of 4 traces in chroma and said colour of 2 of 2 detectors"),
        ({"verdict": "", "right": np.nan}, "could not be examined"),
    ],
)
def test_what_a_test_of_colour_is_worth(changes: dict[str, object], words: str) -> None:
    assert words in texts.meaning(_confusion(**changes), False)


def test_the_limits_of_the_test_by_training_are_told() -> None:
    for mixed, words in (
        (False, "which none of these detectors was given"),
        (True, "luma has a trace as well."),
    ):
        assert words in texts.meaning(_confusion(test="C8"), mixed)
    assert "luma has a trace" not in texts.meaning(_confusion(), True)


def test_the_confusion_table() -> None:
    told = texts.confusion(pd.concat([_confusion(), _confusion(test="C7", verdict="", right=np.nan)]))
    assert (
        "| C6: in gray the fake probability falls | 4 of 4 | 0 of 2 | 100.0 % [60.0, 100.0] | **passed** |"
        in told
    )
    assert "not to be said | not examined" in told
