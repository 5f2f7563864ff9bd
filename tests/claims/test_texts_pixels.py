"""What the chapter on explanations in pixels says, with a classifier and without, for every verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tff_core.claims import verdicts
from tff_core.claims.texts import pixels as texts

METHODS = ("guided_gradcam", "lrp")


def test_the_control_is_named_with_what_it_reached() -> None:
    reached = {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "n": 60}
    text = texts.control("resnet50-scenes", reached, 4, "")
    assert "`resnet50-scenes`" in text and "90.0 % [80.0, 95.0] of 60" in text and "would name 25.0 %" in text
    assert "ImageNet's weights" in texts.control("imagenet", None, 0, "")
    absent = texts.control("", None, 0, "no weights in the folder")
    assert "There is no classifier here" in absent and absent.endswith("no weights in the folder.")


def table(classifier: bool = True, **differences: tuple[float, float]) -> pd.DataFrame:
    """By generator the difference of detector and classifier for both methods: its interval is 0.2 wide."""
    rows = []
    for generator, middle in differences.items():
        for method, value in zip(METHODS, middle, strict=True):
            models = {"detector": 1.0, "untrained": 1.1}
            if classifier:
                models |= {"classifier": 1.5, texts.CONTRAST: value}
            for model, number in models.items():
                for seed in ("0", "all"):
                    rows.append(
                        {
                            "generator": generator, "label": "all", "method": method, "model": model,
                            "seed": seed, "value": number, "low": number - 0.1, "high": number + 0.1, "n": 16,
                            "empty": 1,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def without_number(generator: str) -> pd.DataFrame:
    row = {
        "generator": generator,
        "label": "all",
        "model": texts.CONTRAST,
        "seed": "all",
        "n": 0,
        "low": np.nan,
    }
    return pd.DataFrame([row | {"method": method} for method in METHODS])


def test_means_leave_the_difference_out_and_name_who_has_no_number() -> None:
    found = pd.concat([table(progan=(-0.5, -0.5), gaugan=(-0.5, -0.5)), without_number("mine")])
    fakes = found[found["generator"] == "gaugan"].assign(label="fake")
    text = texts.means(pd.concat([found, fakes]), seeds=1, absent=False)
    assert text.startswith("**No number** for mine")
    assert "Guided Grad-CAM: classifier 1.50, detector 1.00, untrained 1.10" in text
    assert texts.CONTRAST not in text
    assert "16 pictures per generator, one detector." in text and "for: GauGAN;" in text
    assert "4 of the detector, 4 of the classifier." in text
    assert "4 of the detectors." in texts.means(table(False, progan=(0, 0), gaugan=(0, 0)), 3, absent=True)


def test_a_detector_without_a_heatmap_has_no_pictures() -> None:
    found = table(False, progan=(0, 0))
    found.loc[found["model"] == "detector", ["value", "low", "high"]] = np.nan
    text = texts.means(found, seeds=1, absent=True)
    assert "no pictures per generator, one detector." in text and "2 of the detector." in text


def test_means_of_nothing_are_not_written() -> None:
    text = texts.means(without_number("mine"), seeds=1, absent=True)
    assert text == "**No number** for mine: the segmentation of these pictures is not known."


def test_a_generator_speaks_only_where_both_methods_do() -> None:
    text = texts.verdict(table(progan=(-0.5, -0.5), gaugan=(-0.5, 0.5), biggan=(-0.5, 0.0)), absent=False)
    assert "Of 3 generators 1 (ProGAN) speak for it, 1 (GauGAN) against it, 1 (BigGAN) leave it open" in text
    assert (
        "above zero for Guided Grad-CAM on 0, LRP on 1; below zero for Guided Grad-CAM on 3, LRP on 1" in text
    )
    assert "Guided Grad-CAM on 3, LRP on 3. Where they do not" in text
    whole = texts.verdict(table(progan=(-0.5, -0.5), gaugan=(-0.4, -0.3)), absent=False)
    assert f"**{verdicts.HOLDS}**" in whole and whole.startswith(":::{admonition} Verdict:")


@pytest.mark.parametrize(("absent", "words"), [(True, "no classifier"), (False, "too few pictures")])
def test_without_an_interval_the_claim_is_not_testable(absent: bool, words: str) -> None:
    text = texts.verdict(pd.concat([table(False, progan=(0, 0)), without_number("mine")]), absent)
    assert f"**{verdicts.UNTESTED}**" in text and words in text


def test_scenes_have_a_row_for_each_method() -> None:
    rows = pd.DataFrame(
        {
            "kind": "facade", "method": method, "model": model, "value": 1.25, "low": low, "high": 1.5,
            "area": 0.25, "n": 7,
        }
        for method in METHODS
        for model, low in (("detector", 1.0), ("edges", np.nan))
    )  # fmt: skip
    lines = texts.scenes(rows, ["detector", "edges"]).splitlines()
    assert lines[0] == "| scenes | area of objects | method | detector | edges | n |"
    assert lines[2] == "| facade | 25.0 % | Guided Grad-CAM | 1.25 [1.00, 1.50] | too few | 7 |"
    assert len(lines) == 4
    assert texts.scenes(pd.DataFrame(), ["detector"]) == "No picture has a segmentation."


def alike(own: float, blank: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"method": m, "other": other, "value": v, "low": v - 0.1, "high": v + 0.1, "n": n}
        for m in METHODS
        for other, v, n in (("another training seed", own, 20), ("untrained network", blank, 24))
    )


def test_the_sanity_check_wants_the_whole_interval_above() -> None:
    text = texts.likeness(alike(0.8, 0.2), seed=1)
    assert "| another training seed | 0.80 [0.70, 0.90] | 0.80 [0.70, 0.90] |" in text
    assert "Detector seed 1;" in text and "20 to 24 comparisons each" in text
    assert "**Sanity check: Guided Grad-CAM passes; LRP passes.**" in text
    assert "does not pass" in texts.likeness(alike(0.4, 0.35), seed=1)


def test_one_seed_has_no_sanity_check_and_an_empty_cell_stays_empty() -> None:
    one = alike(0.8, 0.2).query("other == 'untrained network'").reset_index(drop=True)
    one.loc[0, ["value", "low", "high", "n"]] = [np.nan, np.nan, np.nan, 0]
    text = texts.likeness(one, seed=0)
    assert "Sanity check" not in text and "| untrained network |  | 0.20 [0.10, 0.30] |" in text
