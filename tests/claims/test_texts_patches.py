"""What the chapter on patches says: one seed, several, maps without a patch, every verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import patches as texts

GROUPS = ("top-k", "matched-k", "any place", texts.MATCHED, texts.ANYWHERE)


def pooled(**differences: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "generator": g, "group": group, "value": value, "low": value - 0.1, "high": value + 0.1,
            "n_maps": 9 if group == texts.MATCHED else 12,
        }
        for g, difference in differences.items()
        for group in GROUPS
        for value in [difference if " - " in group else 1.2]
    )  # fmt: skip


def test_cards_lead_to_the_atlas() -> None:
    assert texts.cards(114, ["<a>one</a>", "<a>two</a>"]).endswith("Those above: <a>one</a>, <a>two</a>.")


def passing(inside: float, low: float, high: float, maps: int = 8) -> pd.DataFrame:
    rows = [
        ("share", 0.05, 0.04, 0.06, 8, 56), ("inside", inside, 0.7, 0.9, maps, 50),
        ("area", 0.4, 0.3, 0.5, maps, 50),
        ("inside - area", inside - 0.4, low, high, maps, 50),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "maps", "pictures"])


def test_what_runs_through_maps_is_held_to_the_area_of_their_patches() -> None:
    text = texts.through(passing(0.8, 0.3, 0.5), 114, 8)
    assert "first 8 maps of the top 114" in text and "(56 pictures), 5.00 [4.00, 6.00] % of the logit" in text
    assert "80.0 [70.0, 90.0] % falls into its LRP-max patch, which covers 40.0 [30.0, 50.0] %" in text
    assert "+40.0 [+30.0, +50.0] points, chance does not explain" in text and "over 8 maps" in text
    assert "even spread would give, too" in texts.through(passing(0.45, -0.1, 0.2), 114, 8)
    assert "less than an even spread" in texts.through(passing(0.1, -0.4, -0.2), 114, 8)
    alone = texts.through(passing(0.8, np.nan, np.nan, maps=1), 114, 8)
    assert "+40.0 points, of a single map" in alone
    assert "None of them has both" in texts.through(passing(np.nan, np.nan, np.nan, maps=0), 114, 8)


def test_the_table_signs_differences_and_says_what_is_behind_them() -> None:
    text = texts.chroma(pooled(progan=0.3), [0], 4, 3, 1368, 7)
    assert "| ProGAN | 1.20 [1.10, 1.30] |" in text and "| +0.30 [+0.20, +0.40] |" in text
    assert (
        "One detector, 95 % intervals. Top-k: up to 12 maps (of 4), 3 patches each; up to 9 of them" in text
    )
    assert "7 of 1,368 positions had no patch" in text
    several = texts.chroma(pooled(progan=0.3), [0, 2], 6, 1, 20, 0)
    assert "Means over detector seeds 0, 2" in several and "12 maps (2 times 6), 1 patch each" in several


def test_a_group_without_patches_has_no_number() -> None:
    rows = pooled(progan=0.3)
    rows.loc[rows["group"] == texts.MATCHED, ["value", "low", "high"]] = np.nan
    assert "| none |" in texts.chroma(rows, [0], 4, 3, 12, 12)
    text = texts.verdict(rows)
    assert f"is **{verdicts.UNTESTED}**: no map has a patch" in text
    assert f"the claim **{verdicts.HOLDS}**" in text  # the other control is there


def test_the_verdict_counts_both_sides() -> None:
    text = texts.verdict(pooled(progan=0.3, gaugan=-0.3, biggan=0.0))
    assert f"is **{verdicts.MIXED}**" in text and text.startswith(":::{admonition} Verdict")
    assert "above zero on 1 (ProGAN) and below zero on 1 (GauGAN) of 3 generators" in text
    assert f"the claim **{verdicts.HOLDS}**" in texts.verdict(pooled(progan=0.3, gaugan=0.2))
    assert f"is **{verdicts.CONTRADICTED}**" in texts.verdict(pooled(progan=-0.3, gaugan=0.0))
