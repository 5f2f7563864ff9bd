"""What the chapter on sensitivity says: one seed or several, a layer gone, with the paper's table or not."""

from __future__ import annotations

import pandas as pd
import pytest

from tff_core.claims import verdicts
from tff_core.claims.texts import sensitivity as texts
from tff_core.figures import CONDITIONS

GENERATORS = ("progan", "gaugan")


def test_dropout_says_how_far_logits_move() -> None:
    text = texts.dropout([3.0, -2.0], [1.0, -1.0], [1.0, -1.000001], {}, 7, 0)
    assert text.startswith("On 2 validation pictures") and "at most 1e-06" in text and "up to 2." in text
    assert "whole layer" not in text


@pytest.mark.parametrize(("dropped", "words"), [([1.0, 1.0], "blind"), ([1.0, 1.5], "Shortcuts lead round")])
def test_a_layer_that_is_gone_is_named(dropped: list[float], words: str) -> None:
    text = texts.dropout([3.0, -2.0], dropped, dropped, {"stem": 32, "conv": 8}, 40, 1)
    assert "*all* maps of `stem` (32), `conv` (8)" in text and "top 40 of seed 1" in text
    assert words in text


def test_shifts_of_a_network_without_batch_norms_are_not_invented() -> None:
    assert "is 0.58 standard" in texts.shifts({"top-k": 0.58, "matched-k": 0.471}, 7, 0)
    assert "stays zero" in texts.shifts({}, 7, 0)


def summary(seeds: int = 1, **top: tuple[float, float]) -> pd.DataFrame:
    ap = dict(zip(CONDITIONS, (0.9, 0.88, 0.89, 0.9, 0.8, 0.5), strict=True))
    rows = []
    for g in GENERATORS:
        for c in CONDITIONS:
            real, fake = top.get(g, (0.7, 0.7)) if c == "top-k" else (0.8, 0.9)
            rows.append(
                {
                    "generator": g, "condition": c, "ap": ap[c], "low": ap[c] - 0.1, "high": ap[c] + 0.05,
                    "acc_real": real, "acc_fake": fake, "draws": 5 if c == "random-k" else 1, "seeds": seeds,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_losses_are_means_over_generators() -> None:
    text = texts.losses(summary(), 114, 1)
    assert text.startswith("Averaged over 2 generators, one detector, AP changes by -40.0 points without")
    assert "-1.0 points without a random 114 (mean of 5 draws; 0.0 points for their ensemble)" in text
    assert "-10.0 points without 114 random maps of the same layers (1 draw)" in text
    assert "3 detector seeds" in texts.losses(summary(3), 114, 3)


def contrast(low: float, high: float) -> pd.DataFrame:
    kinds = ("top-k - matched-k", "top-k - random-k")
    return pd.DataFrame(
        {"contrast": kind, "seed": "all", "generator": g, "low": low, "high": high}
        for kind in kinds
        for g in GENERATORS
    )


def test_the_verdict_is_a_quotation_with_or_without_a_caution() -> None:
    text = texts.verdict(contrast(-0.2, -0.1), {}, 114, 0)
    assert all(line.startswith(">") for line in text.splitlines())
    assert text.count(f"**{verdicts.HOLDS}**") == 2 and "has 114 maps too" in text
    careful = texts.verdict(contrast(-0.2, -0.1), {"stem": 9, "conv": 2}, 114, 0)
    assert "**Caution.** In `stem` (9), `conv` (2)" in careful and "11 of 114 in all" in careful


def test_drift_names_where_everything_looks_real_or_fake() -> None:
    text = texts.drift(summary(progan=(0.95, 0.1), gaugan=(0.1, 0.95)), None, 1)
    assert "everything looks real on ProGAN; everything looks fake on GauGAN" in text
    assert "mean over seeds" not in text and "paper's table" not in text
    paper = pd.DataFrame({"condition": ["top-k"], "acc_real": [0.99], "acc_fake": [0.25]})
    told = texts.drift(summary(), paper, 3)
    assert "real on no generator; everything looks fake on no generator" in told
    assert "(mean over seeds)" in told and "99.0 % of the reals and 75.0 % of the fakes real" in told


def test_the_table_has_the_papers_columns_only_where_there_is_one() -> None:
    plain = texts.everything(summary(), None).splitlines()
    assert len(plain) == 2 + len(GENERATORS) * len(CONDITIONS) and "paper" not in plain[0]
    assert plain[2] == "| ProGAN | whole detector | 90.0 % [80.0, 95.0] | 80 / 90 |"
    rows = {
        "condition": ["baseline"],
        "generator": ["gaugan"],
        "ap": [0.9],
        "acc_real": [1],
        "acc_fake": [0.5],
    }
    both = texts.everything(summary(), pd.DataFrame(rows)).splitlines()
    assert both[0].endswith("| paper: AP | paper: R / F |")
    assert both[2].endswith("| 80 / 90 |  |  |") and both[2 + len(CONDITIONS)].endswith("| 90.0 | 100 / 50 |")
