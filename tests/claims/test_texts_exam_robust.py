"""Sentences on robustness: every number comes from the table, and rules decide every word."""

from __future__ import annotations

import math

import pandas as pd

from tff_core.claims.texts import exam_robust as texts

NAMES = {0.25: "1/4 and finer", 0.125: "1/8 to 1/4"}


def test_the_strongest_level_of_each_degradation_is_told() -> None:
    rows = [
        {"operation": o, "level": level, "measure": m, "value": v, "low": v - 0.1, "high": v + 0.05,
         "seeds": 3, "n_real": 28, "n_fake": 28}
        for o, level, v in (("untouched", math.nan, 0.9), ("jpeg", 90.0, 0.8), ("jpeg", 30.0, 0.6),
                            ("chroma", 4.0, 0.7))
        for m in ("AP", "real right", "fake right")
    ]  # fmt: skip
    said = texts.answers(pd.DataFrame(rows))
    assert "| jpeg | 30 | 60.0 % [50.0, 65.0] |" in said and "| jpeg | 90 |" not in said
    assert "| chroma | 4:2:0 |" in said and "3 detector seeds, 28 reals and 28 fakes" in said


def _broken(heatmap: list[str], omega: list[str], seeds: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "operation": ["jpeg", "blur", "noise", "crop", "webp", "chroma"], "verdict": math.nan,
            "heatmap": 30.0, "omega": math.nan, "seeds": seeds, "heatmap first": heatmap,
            "omega first": omega,
        }
    )  # fmt: skip


def test_which_breaks_first_follows_the_rule_of_all_claims() -> None:
    said = texts.first(_broken(["for"] * 6, ["against", "for", *["open"] * 4]), 40)
    assert "**That heatmaps break before the verdict** **holds**: of 6 degradations 6 for (jpeg, blur" in said
    assert (
        "breaks before the verdict** is **mixed**: of 6 degradations 1 for (blur), 1 against (jpeg), 4"
        in said
    )
    assert "| jpeg | - | 30 | - | for | against |" in said and "n = 40 explained fakes" in said
    assert "Caution" not in said
    said = texts.first(_broken(["open"] * 6, ["open"] * 6, 1), 4)
    assert said.count("is **open**") == 2 and "one training seed says nothing about another" in said
    assert "calls none of these fakes fake" in texts.first(_broken(["open"] * 6, ["open"] * 6), 0)


def test_bands_name_those_whose_whole_interval_is_below_zero() -> None:
    row = {"seeds": 3, "n_fake": 28, "measure": "AP"}
    table = pd.DataFrame(
        [
            {**row, "channel": "Y", "level": 0.25, "value": -0.2, "low": -0.3, "high": -0.1},
            {**row, "channel": "Cb", "level": 0.25, "value": -0.2, "low": -0.3, "high": 0.1},
            {**row, "channel": "Y", "level": 0.25, "value": math.nan, "low": math.nan, "high": math.nan,
             "measure": "omega"},
        ]
    )  # fmt: skip
    matched = pd.DataFrame({"channel": ["Y", "Cb"], "level": 0.25, "matched": [0.5, 1.0]})
    said = texts.bands(table, NAMES, matched)
    assert "**AP** is lost without a band than without as much elsewhere in 0 of 1 band with a" in said
    assert "in 1 (Y, 1/4 and finer: 50 % of its energy)" in said and "-20.0 points [-30.0, -10.0]" in said
    assert "Nothing can be said of the top-k of omega" in said
    said = texts.bands(table, NAMES, matched.assign(matched=1.0))
    assert (
        "Caution" not in said and "in 1 of 2 bands with a control as strong (Y, 1/4 and finer: -20.0" in said
    )


def test_what_maps_respond_to_is_told_by_group() -> None:
    table = pd.DataFrame(
        {
            "group": ["top-k", "top-k", "layer-matched"], "channel": ["Y", "Cb", "Cr"],
            "level": [0.25, 0.125, 0.25], "value": [0.6, 0.4, 0.5], "low": [0.5, 0.3, 0.4],
            "high": [0.7, 0.5, 0.6], "n_maps": 20,
        }
    )  # fmt: skip
    said = texts.tuned(table, NAMES, [2, 1])
    assert (
        "The top-k respond most to Y, 1/4 and finer (60.0 % [50.0, 70.0]), and to chroma with 40.0 %" in said
    )
    assert "The layer-matched respond most to Cr" in said and said.endswith("3 maps respond to none.")
    assert texts.tuned(table.assign(value=math.nan), NAMES, [0]) == "No map responds to any band."


def test_spectra_count_the_rings_that_differ() -> None:
    table = pd.DataFrame(
        {
            "family": "stylegan2", "channel": ["Y", "Y", "Y", "Cb"], "frequency": [0.0, 0.2, 0.5, 0.5],
            "value": [9.0, 0.1, -0.8, 0.2], "low": -1.0, "high": 1.0, "q": [0.0, 0.2, 0.01, 0.5],
            "n": 60, "n_base": 60,
        }
    )  # fmt: skip
    said = texts.spectra(table)
    assert "| StyleGAN2 | 1 of 2 | 0 of 1 | Y, 0.50: -0.80 [-1.00, +1.00] |" in said  # not the mean's


def test_a_temperature_lowers_an_error_only_where_intervals_part() -> None:
    row = {
        "p": 0.01,
        "plain": 0.2,
        "chance": 0.02,
        "temperature": 2.0,
        "cross_entropy": 0.4,
        "n": 120,
        "seeds": 3,
    }
    table = pd.DataFrame(
        [
            {**row, "generator": "seen", "scaled": "as trained", "value": 0.2, "low": 0.15, "high": 0.25},
            {**row, "generator": "seen", "scaled": "temperature", "value": 0.05, "low": 0.0, "high": 0.1},
            {**row, "generator": "unseen", "scaled": "as trained", "value": 0.2, "low": 0.1, "high": 0.3},
            {**row, "generator": "unseen", "scaled": "temperature", "value": 0.1, "low": 0.05, "high": 0.2},
            {**row, "generator": "unseen", "scaled": "other", "value": math.nan, "low": 0.0, "high": 1.0},
        ]
    )  # fmt: skip
    said = texts.calibrated(table)
    assert "On the family trained on the temperature lowers the calibration error." in said
    assert "On other families the temperature does not clearly change the calibration error." in said
    assert "| other families | other | none | none |" in said and "20.0 % [15.0, 25.0]" in said


def test_a_promise_is_broken_where_the_whole_interval_lies_below_it() -> None:
    rows = [
        {"generator": g, "alpha": 0.05, "label": label, "outcome": o, "value": v, "low": v - 0.03,
         "high": v + 0.02, "promised": 0.95 if o == "covered" else 0.05, "plausible_low": 0.9,
         "plausible_high": 0.99, "n": 60, "seeds": 3}
        for g, kept in (("seen", 0.94), ("unseen", 0.7))
        for label in ("real", "fake") for o, v in (("covered", kept), ("wrong", 0.04), ("no call", 0.3))
    ]  # fmt: skip
    said = texts.promised(pd.DataFrame(rows))
    assert "On the family trained on the promise is broken in 0 of 2 cases" in said
    assert "On other families the promise is broken in 2 of 2 cases" in said
    assert (
        "| other families | 5.0 % | fakes | 4.0 % [1.0, 6.0] | 30.0 % | 70.0 % [67.0, 72.0] | 90 to 99 % |"
        in said
    )
    assert "too few pictures" in texts.promised(pd.DataFrame())
