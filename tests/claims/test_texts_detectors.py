"""What the chapter on universal detectors says, for trained and for added detectors, one seed and several."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from tff_core.claims.texts import detectors as texts
from tff_core.detectors import Spec
from tff_core.pictures.data import Preprocessing

SPEC = Spec("resnet50-miniature", "resnet50")
JUDGED = {"ap": 0.97, "ap_low": 0.95, "ap_high": 0.99, "n_real": 60, "n_fake": 61}


def trained(steps: int) -> dict[str, Any]:
    return {
        "validation": JUDGED,
        "n_train": [640, 641],
        "identity": {"settings": {"epochs": 3, "batch_size": 32}},
        "history": {"loss": [0.5] * steps},
    }


def test_training_says_what_was_seen_and_names_the_seed_of_each_ap() -> None:
    text = texts.training(SPEC, {0: trained(7), 2: trained(7)})
    assert "640 reals and 641 fakes of ProGAN, 3 epochs, 7 steps of 32 pictures" in text
    assert "AP on 60 + 61 held-out pictures of the same generator" in text
    assert text.count("97.0 % [95.0, 99.0]") == 2 and "(seed 0); " in text and "(seed 2)" in text
    assert "from random weights" in text and "Ours start from random weights" in text
    begun = trained(7)
    begun["identity"]["start"] = "0123"
    text = texts.training(SPEC, {0: begun})
    assert "from the trunk of a classifier of the same scenes" in text and "random weights" not in text


def test_of_a_detector_from_elsewhere_only_what_is_known_is_said() -> None:
    info = {"validation": JUDGED, "external": {"weights": "theirs.pth"}}
    spec = Spec("theirs", "torchvision.models:resnet18", external=True)
    text = texts.training(spec, {0: info})
    assert "trained elsewhere" in text and "`theirs.pth`" in text and "do not claim" in text
    assert "The threshold is calibrated on 60 + 61 held-out pictures of ProGAN" in text
    assert "seed" not in text and "ImageNet" not in text
    published = texts.training(replace(spec, published="resnet50"), {0: info})
    assert "those of the paper's `resnet50`" in published


@pytest.mark.parametrize(
    ("resize", "crop", "words"),
    [
        (None, None, "Pictures are neither resized nor cropped."),
        (256, None, "Pictures are resized to 256 pixels on the shorter side; nothing is cropped."),
        (None, 224, "Pictures are not resized; the central 224 pixels are taken."),
        (256, 224, "resized to 256 pixels on the shorter side; the central 224 pixels are taken."),
    ],
)
def test_how_pictures_are_cut(resize: int | None, crop: int | None, words: str) -> None:
    spec = Spec("theirs", "resnet50", external=True, preprocessing=Preprocessing(resize=resize, crop=crop))
    assert words in texts.training(spec, {0: {"validation": JUDGED, "external": {"weights": "w"}}})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ""),
        (
            {"highpass": 3},
            " **What it sees.** The mean of the 3 x 3 pixels around is taken from every pixel.",
        ),
        (
            {"planes": "chroma", "contrast": 0.1},
            "It is given the colours without their luma; every channel is",
        ),
    ],
)
def test_what_a_network_sees_is_told_where_it_is_not_the_picture(
    settings: dict[str, Any], words: str
) -> None:
    text = texts.training(replace(SPEC, preprocessing=Preprocessing.of(settings)), {0: trained(7)})
    assert words in text and ("What it sees" in text) == bool(settings)


def table(**ap: tuple[float, float]) -> pd.DataFrame:
    rows = [
        {"generator": g, "seed": seed, "ap": a, "ap_low": low, "ap_high": 1.0, "n_real": 60, "n_fake": 60}
        for g, (a, low) in ap.items()
        for seed in ("0", "all")
    ]
    return pd.DataFrame(rows)


def test_transfer_counts_families_above_chance_and_leaves_out_the_one_trained_on() -> None:
    text = texts.transfer(table(progan=(0.99, 0.98), gaugan=(0.9, 0.8), biggan=(0.6, 0.45)))
    assert "Of 2 families that the detector never saw, 1 is recognised better than chance" in text
    assert "(GauGAN)" in text
    assert "The highest AP is 90.0 % [80.0, 100.0] on GauGAN." in text
    assert "The lowest AP is 60.0 % [45.0, 100.0] on BigGAN." in text


def test_one_unseen_family_has_one_best_and_no_worst() -> None:
    text = texts.transfer(table(progan=(0.99, 0.98), gaugan=(0.5, 0.4)))
    assert "Of 1 family" in text and "0 are recognised" in text and "(none)" in text
    assert "highest" in text and "lowest" not in text


def test_without_unseen_families_there_is_nothing_to_transfer_to() -> None:
    assert "nothing to transfer to" in texts.transfer(table(progan=(0.99, 0.98)))


def accuracies() -> pd.DataFrame:
    rows = [
        {"source": source, "generator": g, "acc_real": real, "acc_fake": fake}
        for g in ("progan", "gaugan")
        for source, real, fake in (("at 0.5", 1.0, 0.2), ("validation", 0.9, 0.7), ("on test", 0.9, 0.8))
    ]
    return pd.DataFrame(rows)


def test_thresholds_tell_what_tuning_on_test_is_worth() -> None:
    text = texts.thresholds(accuracies(), {0: 1.2}, pd.Series([-3.0, 2.0]), None)
    assert "60.0 % at 0.5, 80.0 % with the validation threshold, 85.0 % when tuned" in text
    assert "a difference of +5.0 points" in text and "The paper" not in text
    assert "The validation threshold is 1.2 (a logit)." in text and "from -3.0 to 2.0" in text
    paper = pd.DataFrame({"condition": ["baseline", "top-k"], "acc_real": [0.9, 0], "acc_fake": [0.7, 0]})
    several = texts.thresholds(accuracies(), {0: 1.2, 1: 3.44}, pd.Series([0.0]), paper)
    assert "The validation thresholds are 1.2, 3.4 (logits, one per seed)." in several
    assert "The paper, tuned on test: 80.0 %." in several


@pytest.mark.parametrize(
    ("lows", "word"),
    [
        ((0.8, 0.9, 0.76), "meets"),
        ((0.66, 0.9, 0.76), "meets"),
        ((0.64, 0.9, 0.76), "misses"),
        ((0.66, 0.74, 0.9), "misses"),
    ],
)
def test_the_criterion_spares_one_unseen_family_and_not_much(lows: tuple[float, ...], word: str) -> None:
    aps = dict(zip(("gaugan", "biggan", "stargan"), ((0.95, low) for low in lows), strict=True))
    text = texts.universal(table(progan=(0.5, 0.4), **aps))
    assert f"**{word}** it" in text and "ProGAN" not in text
    assert f"GauGAN {100 * lows[0]:.1f} %" in text
    assert texts.universal(table(progan=(0.5, 0.4), **aps), "forensynths") == ""
    assert texts.universal(table(progan=(0.9, 0.8), gaugan=(0.9, 0.8))) == ""
