"""What the page of verdicts, the pages of generators, the atlas and the data card say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import atlas, generator
from tff_core.claims.texts import verdicts as texts

CLAIMS = verdicts.CLAIMS
TITLES = {"one": "ResNet-50", "two": "VGG-11"}
ARCHS = {"one": "resnet50", "two": "vgg11"}


def evidence(
    says: str = verdicts.FOR, reason: str = "", detectors: tuple[str, ...] = ("one",)
) -> pd.DataFrame:
    rows = [
        {
            "claim": claim.key,
            "detector": name,
            "part": "a part",
            "unit": "",
            "generator": g,
            "n": 9.0,
            "seeds": 3,
        }
        | {"value": 0.2, "low": 0.1, "high": 0.3, "border": 0.0, "says": says, "reason": reason}
        for claim in CLAIMS
        for name in detectors
        for g in ("gaugan", "stargan")
    ]
    return pd.DataFrame(rows)


def test_detectors_of_one_network_keep_their_own_names() -> None:
    assert texts.titles({"a": "X", "b": "Y"}) == {"a": "X", "b": "Y"}
    assert texts.titles({"a": "X", "b": "X"}) == {"a": "a", "b": "b"}
    assert texts.rules().count("\n") == 1 + len(CLAIMS)


def test_verdicts_link_to_the_chapter_of_their_detector() -> None:
    judged = verdicts.judge(evidence(detectors=("one", "two"), reason="it is dark"))
    text = texts.table(judged, TITLES, ARCHS, "one")
    assert "| | claim | ResNet-50 | VGG-11 | the paper |".replace("| |", "|  |") in text
    first = text.splitlines()[2]
    assert f"{{doc}}`{verdicts.HOLDS} </notebooks/{CLAIMS[0].chapter}>`<br>2 of 2; caution" in first
    assert (
        f"</detectors/two/{CLAIMS[0].chapter}>" in first and "VGG-11: the paper has no such network" in first
    )
    some = texts.table(judged, TITLES, ARCHS, "one", {"one": [], "two": [CLAIMS[1].chapter]}).splitlines()
    assert "</notebooks/" in some[2] and f"| {verdicts.HOLDS}<br>2 of 2" in some[2]  # of "two" without a link
    assert f"</detectors/two/{CLAIMS[1].chapter}>" in some[3]
    assert "by eye, no number" in texts.table(judged, {"one": "ResNet-50"}, ARCHS, "one")


def test_what_could_not_be_tested_says_so_without_numbers() -> None:
    judged = verdicts.judge(evidence(verdicts.MISSING, "no table"))
    own = {"one": "ResNet-50"}
    assert f"| {verdicts.UNTESTED} |" in texts.table(judged, own, ARCHS, "one")
    told = texts.reasons(judged, own)
    assert told.count("Not measured: no table.") == len(CLAIMS) and " n = " not in told
    assert "| not measured |" in texts.luck(judged, evidence(verdicts.MISSING), own)
    assert texts.hover(evidence(verdicts.MISSING, "no table"), own)["C1 transfer", "ResNet-50", "gaugan"] == (
        "a part no table"
    )


def test_reasons_luck_and_hover_have_their_numbers() -> None:
    judged, own = verdicts.judge(evidence()), {"one": "ResNet-50"}
    assert f"- ResNet-50: **{verdicts.HOLDS}**. For the claim: 2 of 2" in texts.reasons(judged, own)
    assert f"n = 9 {CLAIMS[0].counted}." in texts.reasons(judged, own)
    told = texts.luck(judged, evidence(), own)
    assert "| C1 transfer | 2 of 2: below 0.001 |" in told
    assert (
        f"In all there are {2 * len(CLAIMS)} intervals" in told and f"by luck; {2 * len(CLAIMS)} do." in told
    )
    both = pd.concat([evidence(), evidence().assign(part="other")])
    assert texts.hover(both, own)["C2 top-k", "ResNet-50", "stargan"] == (
        "a part +20.0 points [+10.0, +30.0]<br>other +20.0 points [+10.0, +30.0]"
    )
    assert len(texts.asked(evidence(verdicts.ASIDE))) == 0


def compared(measured: float) -> pd.DataFrame:
    row = {"quantity": "AP under dropout", "detector": "one", "generator": "progan", "condition": "baseline"}
    row |= {"measured": measured, "published": 0.9, "difference": measured - 0.9}
    rows = [row | {"within": abs(measured - 0.9) < 0.005, "doubtful": doubtful} for doubtful in (False, True)]
    rows.append(row | {"measured": np.nan, "difference": np.nan, "within": False, "doubtful": False})
    return pd.DataFrame(rows)


def test_measured_beside_published() -> None:
    assert texts.beside_paper(compared(0.9), False) == texts.TEXTS["none"]
    text = texts.beside_paper(compared(0.8), True)
    assert (
        "| one | AP under dropout | 0 of 1 (1 doubtful left out) | 10.0 points | -10.0 points | 1 |" in text
    )
    assert "**The largest differences.**" in text
    assert "| one | AP under dropout | ProGAN | whole detector | 80.0 % | 90.0 %* | -10.0 points |" in text
    assert "| whole detector |  | 90.0 % |  |" in text  # not measured
    assert "largest differences" not in texts.beside_paper(compared(0.901), True)


def test_a_generator_in_short() -> None:
    transfer = pd.Series({"ap": 0.8, "ap_low": 0.7, "ap_high": 0.9, "n_real": 5, "n_fake": 6})
    contrast = pd.Series({"delta_ap": -0.2, "low": -0.3, "high": -0.1})
    text = generator.short(transfer, contrast, "VGG", "GauGAN-like", "trained elsewhere", 1, 10, 10)
    assert (
        "VGG, trained elsewhere, reaches AP 80.0 % [70.0, 90.0] on GauGAN-like pictures (5 reals, 6" in text
    )
    assert "1 detector seed)" in text and "top 10 feature maps instead of as many random" in text
    few = generator.short(transfer, contrast, "VGG", "GauGAN", "trained elsewhere", 3, 10, 7)
    assert "3 detector seeds)" in few and "instead of only 7 random" in few


def test_the_conditions_of_a_generator_with_and_without_the_paper() -> None:
    names = ("baseline", "low-k", "random-k", "random-k-ensemble", "matched-k", "top-k")
    row = {"ap": 0.8, "low": 0.7, "high": 0.9, "acc_real": 0.6, "acc_fake": 0.5}
    summary = pd.DataFrame([{"condition": name, **row} for name in names])
    text = generator.conditions(summary, pd.DataFrame({"condition": ["baseline"], "ap": [1.0]}))
    assert "| whole detector | 80.0 % [70.0, 90.0] | 60.0 % | 50.0 % | 100.0 % |" in text
    assert "| top-k dropped | 80.0 % [70.0, 90.0] | 60.0 % | 50.0 % |  |" in text
    assert "paper" not in generator.conditions(summary, None)
    assert "paper" not in generator.conditions(summary, pd.DataFrame({"condition": [], "ap": []}))


def test_what_a_generator_says_about_the_claims() -> None:
    own = evidence(verdicts.AGAINST, "it is dark")
    own = own[own["generator"] == "gaugan"].copy()
    own.loc[own["claim"] == "C1", ["says", "reason"]] = verdicts.MISSING, "no row"
    own.loc[own["claim"] == "C4", ["says", "reason"]] = verdicts.MISSING, "no table"
    text = generator.claims(own)
    assert "| not measured: the detector was trained on this generator |  |" in text
    assert "| not measured: no table |  |" in text
    assert "| a part +20.0 points [+10.0, +30.0] | against it |" in text
    assert text.count(f"**{verdicts.CAUTION}** it is dark.") == 1


def test_the_legend_of_the_atlas_counts_what_is_behind_a_card() -> None:
    text = atlas.legend("VGG", 0, 10, 2, 100, 70, 40, (6, 12))
    assert "the 2 strongest of 100 fakes" in text and "each of 70 fakes" in text
    assert "over the 40 validation fakes" in text and "12 fakes and 6 reals of the test part" in text


def test_the_index_says_where_cards_are() -> None:
    assert "all 26,560 feature maps" in (text := atlas.index("ResNet-50", 0, 26560, True))
    assert "The cards are below." in text and "make all" not in text
    assert "`make all` makes one" in atlas.index("ResNet-50", 0, 26560, False)


def test_agreement_of_two_rankings_is_held_to_chance() -> None:
    numbers = {
        "value": 0.4,
        "low": 0.3,
        "high": 0.5,
        "chance": 0.17,
        "maps": 114,
        "cases": 798,
        "beyond": 500,
    }
    text = atlas.agreement(numbers | {"same_place": 0.25}, [10, 10, 8])
    assert "first 8 to 10 pictures" in text and "40 % [30, 50] are the same, against 17 % by chance" in text
    assert "more than chance explains (mean over 114 maps" in text and "500 of 798 cases" in text
    assert "give 40 or fewer. In 25 % of the shared pictures" in text
    odd = numbers | {"same_place": math.nan}
    assert "no more than chance explains (" in atlas.agreement(odd | {"low": 0.1}, [10])
    assert "fewer than chance gives" in atlas.agreement(odd | {"low": 0.05, "high": 0.1}, [10])
    alone = atlas.agreement(odd | {"low": math.nan, "high": math.nan, "maps": 1}, [10])
    assert "40 % are the same" in alone and "a single map has no interval" in alone
    assert atlas.agreement(odd | {"cases": 0}, []).startswith("No map is active")
