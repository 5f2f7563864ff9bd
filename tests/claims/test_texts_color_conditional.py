"""What the chapter on colour-conditional maps says, from tables made by hand."""

from __future__ import annotations

import pandas as pd

from tff_core.claims.texts import color_conditional as texts
from tff_core.claims.texts import sides

GENERATORS = ["progan", "gaugan"]


def shares(top: float = 0.6, matched: int = 10, degenerate: int = 0, seeds: int = 1) -> pd.DataFrame:
    rows = []
    for generator in GENERATORS:
        for seed in range(seeds):
            for group, draws in (("top-k", 1), ("matched-k", 2), ("random-k", 1)):
                for draw in range(draws):
                    share = top if group == "top-k" else 0.2 + 0.2 * draw
                    row = {"generator": generator, "seed": seed, "group": group, "draw": draw, "n": 30}
                    row |= {"share_mood": share, "share_mood_bh": share / 2, "share_wilcoxon": 0.9}
                    row |= {"shift": 0.1, "degenerate": degenerate * (group == "top-k")}
                    rows.append(row | {"k": matched if group == "matched-k" else 10})
    return pd.DataFrame(rows)


def contrast(low: float, high: float, most: float = 0.55) -> pd.DataFrame:
    kinds = ("top-k - matched-k", "top-k - random-k")
    rows = [
        {"generator": g, "contrast": kind, "delta": (low + high) / 2, "low": low, "high": high, "n": 15}
        for g in GENERATORS
        for kind in kinds
    ]
    rows += [
        {"generator": g, "contrast": "top-k", "delta": 0.6, "low": most, "high": 0.7, "n": 30}
        for g in GENERATORS
    ]
    return pd.DataFrame(rows)


def test_the_table_averages_draws_and_has_the_papers_column_where_there_is_one() -> None:
    text = texts.table(shares(), GENERATORS, 10, [0], {"progan": 0.851})
    lines = text.split("\n\n")[1].splitlines()
    assert lines[2] == "| ProGAN | 60 | 30 | 20 | 30 | 15 | 90 | 90 | 85.1 |"
    assert lines[3].endswith("| 90 | 90 |  |")
    assert "Shares in percent (2 layer-matched sets and 1 random one); n = 30 fakes" in text
    assert "All 2 times 10 tests of top-k maps were possible." in text and "instead of" not in text
    bare = texts.table(shares(seeds=2), GENERATORS, 10, [0, 4], {})
    assert "paper" not in bare and "means over detector seeds 0, 4 (2 layer-matched" in bare


def test_impossible_tests_and_short_controls_are_told() -> None:
    text = texts.table(shares(degenerate=2, matched=7), GENERATORS, 10, [0], {})
    assert "Of 2 times 10 tests of top-k maps 4 were impossible" in text
    assert "A layer-matched set has 7 maps instead of 10" in text


def test_the_verdict_gives_the_differences_and_who_has_most() -> None:
    text = texts.verdict(contrast(0.1, 0.3), GENERATORS, [0])
    assert "| ProGAN | +20.0 points [+10.0, +30.0] | +20.0 points [+10.0, +30.0] |" in text
    assert (
        "as in the paper for ResNet-50**: with the whole interval on 2 of 2 generators (ProGAN, GauGAN)"
        in text
    )
    found = sides.Sides(tuple(GENERATORS), (), ())
    assert f"the claim {found.claim}; the interval lies above zero on 2 of 2 generators" in text
    assert "measured on 15 fakes at a time" in text and "detector seeds differ" not in text
    assert "fewer* of the top-k" not in text
    several = texts.verdict(contrast(-0.3, -0.1, most=0.45), GENERATORS, [0, 1])
    assert "to this is added how much the 2 detector seeds differ" in several
    alone = texts.verdict(contrast(0.1, 0.3).assign(seeds=1), GENERATORS, [0])
    assert "with the whole interval on 0 of 2 generators" in alone  # one seed speaks of pictures only
    assert "on 0 of 2 generators." in several and "*fewer* of the top-k" in several


def test_growth_compares_two_sizes_or_says_that_there_is_one() -> None:
    rows = [
        {"group": group, "n": n, "share": share + n / 100}
        for group, share in (("top-k", 0.1), ("matched-k", 0.2), ("random-k", 0.0))
        for n in (10, 20)
    ]
    text = texts.growth(pd.DataFrame(rows), "progan", 3)
    assert text.startswith(
        "ProGAN, detector seed 3. From 10 to 20 pictures the share goes from 20.0 % to 30.0 %"
    )
    assert "from 10.0 % to 20.0 % for random maps" in text
    one = texts.growth(pd.DataFrame(rows[::2]), "progan", 3)
    assert "with 10 pictures there is one size only" in one


def test_layers_weigh_by_all_maps_and_by_those_of_the_top() -> None:
    table = pd.DataFrame({"channels": [10, 30], "share": [0.5, 0.1], "top": [3, 1]})
    text = texts.layers(table, 0.75, "gaugan", 100, 0)
    assert text.startswith("Of all 40 maps of the network 20.0 % are colour-conditional (GauGAN, n = 100")
    assert "would be so in 40.0 % of the cases; of the top-k 75.0 % are." in text
    assert "The first 8 of the top 10, by omega; GauGAN, n = 50" in texts.examples(8, 10, "gaugan", 50, 0)
