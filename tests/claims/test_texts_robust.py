"""What the chapter on colour-robust detectors says, from tables made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tff_core.claims.texts import robust as texts
from tff_core.claims.texts import sides

GENERATORS = ["progan", "gaugan"]
AP = {
    ("universal", "color"): 0.9,
    ("universal", "gray"): 0.6,
    ("color-robust", "color"): 0.85,
    ("color-robust", "gray"): 0.8,
    ("difference", "color"): -0.05,
    ("difference", "gray"): 0.2,
}


def measured(seeds: tuple[int, ...] = (0,), reach: float = 0.01, whole: float = 0.9) -> pd.DataFrame:
    rows = [
        {"generator": g, "model": model, "input": kind, "seed": seed}
        | {"ap": value, "ap_low": value - reach, "ap_high": value + reach, "n_real": 30, "n_fake": 40}
        for g in GENERATORS
        for (model, kind), value in (AP | {("universal", "color"): whole}).items()
        for seed in [*map(str, seeds), "all"]
    ]
    return pd.DataFrame(rows)


def test_the_verdict_tells_the_gain_and_the_cost() -> None:
    text = texts.verdict(measured(), [0], [0])
    assert f"The claim {sides.Sides(tuple(GENERATORS), (), ()).claim} here" in text
    assert "lies above zero on 2 of 2 generators (ProGAN, GauGAN)" in text
    assert "Mean over generators: 60.0 % and 80.0 %; the difference is +20.0 points" in text
    assert "90.0 % and 85.0 %, a difference of -5.0 points; the interval lies below zero on 2" in text
    assert "Read with care" not in text and "n = 30 reals and 40 fakes" in text
    assert "little to restore" not in text


def test_several_seeds_and_one_twin_are_read_with_care() -> None:
    table = measured(seeds=(0, 1, 2))
    gray = (table["model"] == "universal") & (table["input"] == "gray") & (table["generator"] == "gaugan")
    table.loc[gray & (table["seed"] == "2"), "ap"] = 0.81  # above its twin's mean
    text = texts.verdict(table, [0, 1, 2], [0])
    assert "1 of the 3 training seeds has a twin, so the interval is over pictures but not over seeds" in text
    assert "differs by 10.5 points from seed to seed" in text
    assert "on 1 of the 2 generators that speak for the claim is the twin above every universal seed" in text
    assert "Mean over generators and all seeds of each" in text and "seed by seed the difference is" in text
    both = texts.verdict(measured(seeds=(0, 1)), [0, 1], [0, 1])
    assert "2 of the 2 training seeds have a twin. The" in both


def test_where_there_was_little_to_restore_it_is_said() -> None:
    text = texts.verdict(measured(whole=0.55, reach=0.1), [0], [0])
    assert "On 2 (ProGAN, GauGAN) the universal detector itself is not surely better than chance" in text


def test_the_papers_tables_stand_beside_at_this_network_and_alone_at_others() -> None:
    rows = [
        {"architecture": arch, "generator": g, "model": model, "input": kind, "ap": 0.5, "doubtful": doubtful}
        for arch, doubtful in (("resnet50", False), ("efb0", True))
        for g in ("progan", "stargan")
        for model, kind in texts.CASES
    ]
    titles = {"resnet50": "ResNet-50", "efb0": "EfficientNet-B0"}
    text = texts.beside_paper(measured(), pd.DataFrame(rows), GENERATORS, "resnet50", titles)
    first, second = text.split("**EfficientNet-B0**")
    assert "| generator | paper: universal, colour | here: universal, colour |" in first
    assert "| ProGAN | 50.0 | 90.0 % [89.0, 91.0] | 50.0 |" in first
    assert "| GauGAN |  | 90.0 % [89.0, 91.0] |" in first  # not in the paper
    assert "| StarGAN | 50.0 |  | 50.0 |" in first  # not in this build
    assert "-5.0 points [-6.0, -4.0]" in first and "Not a target" not in first
    assert "| ProGAN | 50.0* | 50.0* | 50.0* | 50.0* |" in second and "Not a target" in second
    own = texts.beside_paper(measured(), pd.DataFrame(rows), GENERATORS, "vgg11", {"vgg11": "VGG-11"})
    assert "| generator | here: universal, colour |" in own and "paper" not in own


def test_the_papers_numbers_are_called_as_they_are_here() -> None:
    table = texts.paper_ap()
    assert set(zip(table["model"], table["input"], strict=True)) == set(texts.CASES)
    assert set(texts.paper_shares("resnet50")) <= set(texts.MODELS) and texts.paper_shares("resnet50")
    assert texts.paper_shares("vgg11") == {}


def shares(change: float, beyond: float) -> pd.DataFrame:
    values = {("universal", "top-k"): 0.6, ("color-robust", "top-k"): 0.6 + change}
    values |= {("universal", "matched-k"): 0.5, ("color-robust", "matched-k"): 0.5}
    values |= {("difference", "top-k"): change, ("difference", "matched-k"): 0.0}
    values |= {("color-robust", "top-k - matched-k"): 0.1, ("difference", "top-k - matched-k"): beyond}
    rows = [
        {"generator": g, "model": model, "group": group, "share": value, "n": 25}
        | {"low": value - 0.05, "high": value + 0.05}
        for g in GENERATORS
        for (model, group), value in values.items()
    ]
    return pd.DataFrame(rows)


def test_shares_before_and_after() -> None:
    paper = {"universal": {"progan": 0.85}, "color-robust": {"progan": 0.55}}
    text = texts.shares(shares(-0.3, 0.2), paper, GENERATORS, 10, [0], 20, [10])
    assert "| ProGAN | 60.0 % [55.0, 65.0] |" in text and "| 85.0, 55.0 |" in text
    assert "it **falls**, on 2 of 2 generators (ProGAN, GauGAN), and above zero on 0" in text
    assert "changes by -30.0 points, that of layer-matched maps by 0.0 points" in text
    assert "fall further on 0 generators and less far on 2 generators" not in text
    assert "further on 0 generators and less far on 2 (ProGAN, GauGAN)" in text
    assert "than other maps of their layers on 2 generators" in text
    assert "detector seed 0; 20 layer-matched sets." in text
    short = texts.shares(shares(-0.3, -0.2), {}, GENERATORS, 10, [0, 1], 20, [10, 8])
    assert "detector seeds 0, 1; 20 layer-matched sets of 8 to 10 maps, because" in short
    assert "further on 2 generators (ProGAN, GauGAN)" in short


@pytest.mark.parametrize(
    ("after", "words"), [(0.5, "less colour"), (1.5, "more colour"), (1.0, "overlap: by")]
)
def test_chroma_of_patches(after: float, words: str) -> None:
    rows: list[dict[str, Any]] = [
        {
            "model": model,
            "group": "top-k",
            "value": v,
            "low": v - 0.1,
            "high": v + 0.1,
            "maps": 4,
            "patches": 9,
        }
        for model, v in (("universal", 1.0), ("color-robust", after))
    ]
    rows.append(rows[0] | {"group": "matched-k", "maps": 1})
    text = texts.chroma(pd.DataFrame(rows), pd.DataFrame({"ratio": [1.0, np.nan]}), 0)
    assert "universal, top-k: 1.00 [0.90, 1.10] (maps: 4, patches: 9)" in text
    assert "universal, layer-matched: 1.00 (maps: 1" in text
    assert words in text and "1 of 2 positions gave no ratio" in text


def test_no_patch_at_all() -> None:
    nothing = pd.DataFrame(columns=["model", "group", "value", "low", "high", "maps", "patches"])
    text = texts.chroma(nothing, pd.DataFrame({"ratio": [np.nan]}), 0)
    assert "No patch. 1 of 1 positions" in text and "top maps" not in text


def test_patches_are_told_with_their_numbers() -> None:
    row = SimpleNamespace(
        **{"map": "conv.#1(T=2)", "generator": "progan", "activation": 1.0, "ratio": 2.0, "box": (0,)}
    )
    assert texts.patch(row) == (
        "conv.#1(T=2)<br>ProGAN: activation 1.00<br>chroma of the patch / of its picture 2.00"
    )
    row.box = None
    assert texts.patch(row).endswith("not active")
    assert "first 8 of the top 27 (VGG, seed 0)" in texts.patches(8, 27, "VGG", 0, 60)


def test_dropout_of_both_and_maps_in_common() -> None:
    contrast = pd.DataFrame(
        {"generator": GENERATORS, "contrast": "top-k - matched-k", "seed": "all", "low": -0.3, "high": -0.1}
    )
    rows = [
        {"generator": g, "condition": c, "ap": 0.7, "low": 0.6, "high": 0.8}
        for g in GENERATORS
        for c in ("baseline", "top-k", "matched-k")
    ]
    both = {"universal": pd.DataFrame(rows), "color-robust": pd.DataFrame(rows)}
    text = texts.broken(contrast, both, GENERATORS, 10, [0, 1], [0])
    assert "on 2 of 2 generators the interval lies below zero (ProGAN, GauGAN)" in text
    assert "The universal detector at the seeds that have a twin (0)." in text
    assert "| generator | universal: whole | universal: without top-k |" in text
    assert text.count("70.0 % [60.0, 80.0]") == 12
    assert "have a twin" not in texts.broken(contrast, both, GENERATORS, 10, [0], [0])
    alike = texts.in_common({0: 4}, 10, 50, trained_here=True)
    assert "share 4 (seed 0); two random choices would share 2.0. They start from the same weights" in alike
    assert "They start" not in texts.in_common({0: 4}, 10, 50, trained_here=False)
