"""What the chapter on colour ablation says, from tables made by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tff_core.claims.texts import color_ablation as texts
from tff_core.claims.texts import sides


def ablation(called_gray: float = 0.1, n: int = 20, drops: tuple[float, ...] = (0.3, -0.3)) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for generator, drop in zip(("gaugan", "progan"), drops, strict=True):
        for label in ("fake", "real"):
            for which in ("all", texts.PAPER):
                for kind, median in (("color", 0.9), ("gray", 0.9 - drop)):
                    row = {"generator": generator, "label": label, "filter": which, "input": kind, "n": n}
                    row |= {"median": median, "drop": drop, "low": drop - 0.1, "high": drop + 0.1}
                    own = called_gray if kind == "gray" and label == "real" else 0.05
                    rows += [row | {"called_fake": own, "seed": seed} for seed in ("0", "all")]
    return pd.DataFrame(rows)


def test_medians_have_a_row_for_each_case_in_the_order_of_the_generators() -> None:
    text = texts.medians(ablation(), ["progan", "gaugan"], seeds=1)
    lines = text.split("\n\n")[1].splitlines()
    assert len(lines) == 2 + 8 and lines[2].startswith("| ProGAN | fakes, all | 20 | 90 | 120 | -30.0 points")
    assert lines[6].startswith("| GauGAN | fakes, all | 20 | 90 | 60 | +30.0 points [+20.0, +40.0] | 5 | 5 |")
    assert "n counts pictures; called fake at the threshold calibrated" in text
    assert "detector seeds (3); called fake at each seed's own threshold, calibrated" in texts.medians(
        ablation(), ["progan", "gaugan"], seeds=3
    )


def test_a_filter_that_nothing_passes_leaves_its_cells_empty() -> None:
    text = texts.medians(ablation(n=0), ["progan", "gaugan"], seeds=1)
    assert "| ProGAN | reals, p >= 0.2 | 0 |  |  |  |  |  |" in text and "nan" not in text


def test_the_verdict_counts_intervals_and_names_reals_that_turn_fake() -> None:
    text = texts.verdict(ablation(called_gray=0.3), seeds=1)
    assert "lies above zero on 1 of 2 generators (GauGAN)" in text
    assert "lies below zero on 1 (ProGAN). 20 fakes per generator pass the filter" in text
    assert "from 5.0 % in colour to 30.0 % in gray" in text and "on 2 it grows" in text
    quiet = texts.verdict(ablation(called_gray=0.1, drops=(0.3, 0.2)), seeds=2)
    assert "on none does it grow" in quiet and "20 pairs of a fake and a seed" in quiet
    assert f"The claim {sides.Sides(('a', 'b'), (), ()).claim} here" in quiet


SETS = {
    "real": 0.05,
    "fake": 0.9,
    "real luma, other real's chroma": 0.1,
    "real luma, fake chroma": 0.7,
    "fake luma, real chroma": 0.2,
    "fake luma, other fake's chroma": 0.8,
}


def exchanged(fake: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [
        {"generator": g, "pictures": name, "called": share, "clipped": 0.02 * (name not in ("real", "fake"))}
        for g in ("progan", "gaugan")
        for name, share in (SETS | {"fake": fake}).items()
    ]
    sides = {"generator": ["progan", "gaugan"], "low": [0.2, -0.1], "high": [0.8, 0.4]}
    return pd.DataFrame(rows).assign(n=[12] * 6 + [10] * 6), pd.DataFrame(sides)


def test_the_exchange_tells_which_part_carries_more() -> None:
    text = texts.exchange(*exchanged(0.9), seeds=[0])
    assert "chroma of a fake, 70.0 % are called fake (control, chroma of another real: 10.0 %)" in text
    assert "**chroma carries more**, on 1 (ProGAN)" in text and "**luma carries more**, on 0;" in text
    assert "contains zero on 1 (GauGAN). 10 to 12 pairs per generator; of the mixtures' pixels 2.0 %" in text
    assert "Means over 2 generators" in text


def test_little_evidence_and_several_seeds_are_told() -> None:
    text = texts.exchange(*exchanged(0.2), seeds=[0, 2])
    assert "On 2 fewer than a quarter of the unmixed fakes are called fake (ProGAN, GauGAN)" in text
    assert "pairs per generator, detector seeds 0, 2; of" in text


def test_the_sweep_tells_where_the_medians_begin_and_how_far_they_move() -> None:
    amounts = {"saturation": {0: 0.5, 1: 0.9, 2: 1.0}, "hue": {0: 0.9, 180: 0.7}}
    rows = [
        {"change": change, "amount": amount, "label": label, "median": value * (label == "fake")}
        for change, own in amounts.items()
        for amount, value in own.items()
        for label in ("fake", "real")
    ]
    text = texts.sweep(pd.DataFrame(rows), "progan", counts=(7, 8), seed=3)
    assert text.startswith("ProGAN, 8 fakes and 7 reals, detector seed 3:")
    assert "fakes goes from 90.0 % to 50.0 %, that of the reals from 0.0 % to 0.0 %" in text
    assert "fakes' median between 70.0 % and 90.0 %" in text
    assert "over 50 points along the whole scale of saturation and over 20 along that of hue" in text


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)])
def test_sides_are_those_of_the_interval(low: float, high: float) -> None:
    rows = pd.DataFrame({"generator": ["progan"], "low": [low], "high": [high]})
    found, turned = sides.of(rows), sides.of(rows, "below")
    assert (found.speak_for, found.against, found.undecided) == (
        turned.against, turned.speak_for, turned.undecided,
    )  # fmt: skip
    assert found.total == 1 and bool(found.speak_for) == (low > 0)
    assert sides.places(found).startswith(f"lies above zero on {int(low > 0)} of 1 generators")


def test_where_nothing_was_asked_nothing_is_testable() -> None:
    nothing = sides.Sides((), (), ())
    assert nothing.word == "not testable here" and nothing.claim == "is **not testable here**"
