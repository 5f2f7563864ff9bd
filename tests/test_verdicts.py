"""The rules by which tables become sentences."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tff_core import verdicts
from tff_core.results import Store


def rows(**intervals: tuple[float, float]) -> pd.DataFrame:
    """A contrast table with one pooled interval per generator, and a seed that says the opposite."""
    return pd.DataFrame(
        [
            {
                "generator": g,
                "seed": seed,
                "contrast": verdicts.MATCHED,
                "low": sign * low,
                "high": sign * high,
            }
            for g, (low, high) in intervals.items()
            for seed, sign in (("0", -1), ("all", 1))
        ]
    )


@pytest.mark.parametrize(
    ("intervals", "word"),
    [
        ({"progan": (-0.3, -0.1), "gaugan": (-0.2, -0.01)}, "holds"),
        ({"progan": (-0.3, -0.1), "gaugan": (-0.2, 0.01)}, "holds in part"),
        ({"progan": (-0.3, -0.1), "gaugan": (0.1, 0.2)}, "holds in part"),
        ({"progan": (-0.3, 0.1), "gaugan": (0.1, 0.2)}, "does not hold"),
        ({"progan": (-0.3, 0.0)}, "does not hold"),
    ],
)
def test_the_word_follows_the_rule(intervals: dict[str, tuple[float, float]], word: str) -> None:
    found = verdicts.verdict(rows(**intervals))
    assert found.word == word
    sentence = found.sentence()
    assert f"**{word}**" in sentence
    assert len(found.below) + len(found.above) + len(found.open) == len(intervals)
    for name in ("ProGAN", "GauGAN"):
        assert (name in sentence) == (name.lower() in intervals)


def test_a_table_without_the_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="top-k - random-k"):
        verdicts.verdict(rows(progan=(-1.0, 1.0)), "top-k - random-k")


def made_up() -> pd.DataFrame:
    """Two seeds with 1 and 3 draws, so that a mean over rows differs from the mean over seeds."""
    common = {
        "generator": "progan",
        "condition": "matched-k",
        "acc_real": 1.0,
        "acc_fake": 0.5,
        "n_real": 9,
        "n_fake": 8,
    }
    table = [
        {**common, "seed": 0, "draw": 0, "ap": 0.9, "ap_low": 0.8, "ap_high": 1.0},
        {**common, "seed": 1, "draw": 0, "ap": 0.6, "ap_low": 0.5, "ap_high": 0.7},
        {**common, "seed": 1, "draw": 1, "ap": 0.7, "ap_low": 0.6, "ap_high": 0.8},
        {**common, "seed": 1, "draw": 2, "ap": 0.8, "ap_low": 0.7, "ap_high": 0.9},
    ]
    both = [{**row, "threshold_source": source} for row in table for source in ("validation", "test")]
    return pd.DataFrame(both)


def test_summary_weighs_seeds_alike_and_covers_every_seed() -> None:
    row = verdicts.summarize(made_up()).iloc[0]
    assert row["ap"] == pytest.approx((0.9 + 0.7) / 2)
    assert (row["low"], row["high"]) == pytest.approx((0.6, 1.0))
    assert (row["seeds"], row["draws"], row["n_real"], row["n_fake"]) == (2, 3, 9, 8)
    assert sorted(row["points"]) == [0.6, 0.7, 0.8, 0.9]


def test_summary_of_an_unknown_threshold_source_is_refused() -> None:
    with pytest.raises(ValueError, match="thin air"):
        verdicts.summarize(made_up(), "thin air")


def test_reading_a_table(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(FileNotFoundError, match="make"):
        verdicts.read(store, "transfer", "d", ["progan"])
    path = store.table("transfer")
    path.parent.mkdir(parents=True)
    pd.DataFrame(
        {"detector": ["d", "d", "other"], "generator": ["gaugan", "progan", "progan"], "ap": [0.1, 0.2, 0.3]}
    ).to_csv(path, index=False)
    assert verdicts.read(store, "transfer", "d", ["progan", "gaugan"])["ap"].tolist() == [0.2, 0.1]
    with pytest.raises(ValueError, match="biggan"):
        verdicts.read(store, "transfer", "d", ["progan", "biggan"])


def test_numbers_carry_their_interval() -> None:
    assert verdicts.percent(0.971, 0.95, 0.986) == "97.1 % [95.0, 98.6]"
    assert verdicts.points(-0.1) == "-10.0 points"
    assert verdicts.points(0.02, -0.01, 0.05) == "+2.0 points [-1.0, +5.0]"


def test_the_papers_random_k_is_called_an_ensemble_and_keeps_its_numbers() -> None:
    table = verdicts.paper("resnet50").set_index(["condition", "generator"])
    # Table 1 of the paper, ResNet-50, top-114 and random-114 on StyleGAN2
    assert table.loc[("top-k", "stylegan2"), "ap"] == pytest.approx(0.553)
    assert table.loc[("random-k-ensemble", "stylegan2"), "ap"] == pytest.approx(0.986)
    assert set(table.index.get_level_values(0)) == {"baseline", "top-k", "random-k-ensemble", "low-k"}
