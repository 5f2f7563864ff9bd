"""What the chapters on patch classifiers say, from tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tff_core import intervals
from tff_core.claims.texts import where as texts


@pytest.fixture
def table() -> pd.DataFrame:
    """A patch classifier that is better than the whole network on four unseen generators of five."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    parts = []
    for place, generator in enumerate(("progan", "stylegan", "stylegan2", "biggan", "stargan", "gaugan")):
        sees, knows = (0.2, 5.0) if place == 5 else (1.2, 0.0)
        cells = rng.normal(size=(3, 120, 16)) + sees * y[:, None]
        whole = rng.normal(size=(3, 120)) + knows * y
        scores = {"net": whole, "xception_block2": cells.mean(2), "xception_block2" + texts.ONE: cells}
        parts.append(intervals.compare_ap(y, scores, n=300).assign(generator=generator))
    return pd.concat(parts, ignore_index=True)


def test_networks_have_names_that_a_reader_knows() -> None:
    assert texts.spoken("xception_block2", 43) == "Xception, block 2 (43 px)"
    assert texts.spoken("resnet18_layer1") == "ResNet-18, layer 1"
    assert [texts.spoken(name) for name in ("xception", "longxception", "widenet_kw7_d1")] == [
        "Xception", "Xception, deeper", "wide net"
    ]  # fmt: skip


def test_a_difference_can_be_read_both_ways(table: pd.DataFrame) -> None:
    there = texts.apart(table, "xception_block2", "net", unseen=True)
    back = texts.apart(table, "net", "xception_block2", unseen=True)
    assert there["generator"].tolist() == ["stylegan", "stylegan2", "biggan", "stargan", "gaugan"]
    assert back["value"].tolist() == pytest.approx((-there["value"]).tolist())
    assert back["low"].tolist() == pytest.approx((-there["high"]).tolist())
    assert texts.apart(table, "net", "other", unseen=False).empty


def test_the_verdicts_follow_the_rule(table: pd.DataFrame) -> None:
    said = texts.transfer(table, ["xception_block2"], {"net": "ResNet-50, whole"})
    assert "above zero on 4 of 5 generators (StyleGAN, StyleGAN2, BigGAN, StarGAN)" in said
    assert "the claim is **mixed**" in said and "below zero on 1 (GauGAN)" in said
    assert "n = 60 reals and 60 fakes per generator, 3 detector seeds" in said
    said = texts.averaging(table, ["xception_block2"])
    assert "above zero on 6 of 6 generators" in said and "the claim **holds**" in said


def test_what_cannot_be_told_is_said(table: pd.DataFrame) -> None:
    seen = table[table["generator"] == texts.TRAINED_ON]
    assert "No generator here is unseen" in texts.transfer(seen, ["xception_block2"], {"net": "whole"})
    assert "no generator here is unseen" in texts.front(seen, ["xception_block2"], "net")
    assert "Not asked in this build" in texts.front(None, ["xception_block2"], "net")
    assert "is **mixed** here" in texts.front(table, ["xception_block2"], "net")
    single = table.assign(seeds=1)
    assert "covers pictures only, on 5" in texts.transfer(single, ["xception_block2"], {"net": "whole"})


def three_trainings(**columns: object) -> pd.DataFrame:
    """Rows of three seeds, equal but for what ``columns`` say."""
    return pd.DataFrame([{"seed": seed, **columns} for seed in range(3)])


def test_a_generator_speaks_only_if_every_one_of_several_trainings_does() -> None:
    both = {"trained": "misaligned", "tested": "misaligned", "n": 120, "ap": 0.9}
    fair = {"trained": "aligned", "tested": "aligned", "n": 120, "ap": 0.6, "difference_low": 0.0}
    sure = three_trainings(generator="progan", difference_low=0.1, **both)
    once = three_trainings(generator="gaugan", difference_low=0.1, **both)
    once.loc[1, "difference_low"] = -0.1
    rest = [three_trainings(generator=name, **fair) for name in ("progan", "gaugan")]
    said = texts.parity(pd.concat([sure, once, *rest]))
    assert "1 of 2 generators speak for it (ProGAN), in every training" in said
    assert "AP 60.0 % prepared alike, 90.0 %" in said and "in 2 of 3 trainings" in said
    assert "0 of 2 generators" in texts.parity(pd.concat([sure, once, *rest]).query("seed == 0"))


def test_what_would_have_refused_a_set_is_said_once() -> None:
    rows = three_trainings(
        treatment="JPEG", ap=0.97, n=80, told=True, statistic="slope Y", statistic_auc=0.8,
        refused="files, pixels",
    )  # fmt: skip
    rows.loc[1, "refused"] = "pixels"
    none = three_trainings(
        treatment="none", ap=0.5, n=80, told=False, statistic="slope Y", statistic_auc=0.55, refused=np.nan
    )  # fmt: skip
    said = texts.prepared(pd.concat([rows, none]))
    assert "| JPEG | 97.0 % | 3 of 3 | slope Y (0.80) | files and pixels |" in said
    assert "| none | 50.0 % | 0 of 3 | slope Y (0.55) | nothing |" in said


def test_kinds_of_fakes_are_compared_on_what_none_has_seen() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    noise = rng.normal(size=(3, 3, 120))
    sees = {  # samples, inversions, both
        "progan": (3.0, 0.2, 3.0), "stylegan": (0.2, 2.0, 2.0), "stylegan2": (0.2, 2.0, 2.0),
        "biggan": (2.0, 0.0, 2.0), "autoencoder": (0.0, 4.0, 4.0),
    }  # fmt: skip
    kinds = ("samples", "inversions", "both")
    parts = []
    for generator, strengths in sees.items():
        scores = {k: one + s * y for k, one, s in zip(kinds, noise, strengths, strict=True)}
        parts.append(intervals.compare_ap(y, scores, n=300).assign(generator=generator))
    table = pd.concat(parts)
    said = texts.variants(table, "xception_block1")
    lines = said.splitlines()
    assert lines[0] == "| AP on | trained on samples | trained on inversions | trained on both |"
    first = [line.split(" | ")[0] for line in lines[2:7]]
    assert first == ["| ProGAN, held-out samples", "| inversions of held-out reals", "| StyleGAN",
                     "| StyleGAN2", "| BigGAN"]  # fmt: skip
    ap = table[(table["generator"] == "stylegan") & (table["name"] == "both")]["ap"].item()
    assert lines[4].split(" | ")[3].startswith(f"{100 * ap:.1f} % [")
    # the two that were learnt from do not count
    assert "after samples lies above zero on 2 of 3 generators (StyleGAN, StyleGAN2)" in said
    assert "below zero on 1 (BigGAN)" in said and "the claim is **mixed**" in said
    assert "n = 60 reals and 60 fakes per generator, 3 detector seeds" in said
    gap = table[(table["generator"] == "progan") & (table["name"] == "both - samples")]["ap"].item()
    assert f"minus that after samples alone is {100 * gap:+.1f} points [" in said
    seen = table[table["generator"].isin(["progan", "autoencoder"])]
    assert texts.variants(seen, "xception_block1").count("No generator here is unseen") == 2


def test_traces_outlive_where_the_new_classifier_is_above_chance_every_time() -> None:
    numbers = {"generator": "progan", "n": 120, "chance": 0.51}
    rows = [
        three_trainings(classifier="frozen", fakes="before", ap=0.99, low=0.98, high=1.0, **numbers),
        three_trainings(classifier="frozen", fakes="adapted", ap=0.6, low=0.5, high=0.7, **numbers),
        three_trainings(classifier="retrained", fakes="adapted", ap=0.95, low=0.9, high=0.99, **numbers),
    ]
    said = texts.outlived(pd.concat(rows))
    assert "the claim **holds**" in said.lower() and "1 of 1 generator (ProGAN)" in said
    assert (
        "| retrained classifier | after steps against the classifier | 95.0 % | 90.0 % to 99.0 % | 3 |"
        in said
    )
    rows[2].loc[2, "low"] = 0.5
    assert "the claim is **open**" in texts.outlived(pd.concat(rows)).lower()


def test_patches_are_spread_otherwise_where_every_training_says_so() -> None:
    rows = [
        {"generator": g, "seed": s, "category": c, "patches": 10, "expected": 4.0, "p_holm": p}
        for g, odds in (("cyclegan", (0.01, 0.02, 0.03)), ("stargan", (0.01, 0.5, 0.01)))
        for s, p in enumerate(odds)
        for c, p in (("sky", p), ("wall", 0.9))
    ]
    said = texts.spread(pd.DataFrame(rows))
    assert "1 of 2 generators speak for it (CycleGAN)" in said
    assert "in 2 of 3 trainings a category departs" in said and "most surely *sky*, 10 of 20 patches" in said


def test_the_law_says_where_there_is_no_order() -> None:
    rows = pd.DataFrame(
        {"measure": ["pictures", "pixels"], "period": [2.0, 8.0], "rho": [0.8, np.nan], "low": [0.2, np.nan],
         "high": [1.0, np.nan], "p": [0.08, np.nan]}
    )  # fmt: skip
    said = texts.law(rows, {"xception_block1": 19})
    assert "| telling pictures apart | 2 px | +0.80 [+0.20, +1.00] | 0.08 |" in said
    assert "| finding the trace | 8 px | none | none |" in said and "Xception, block 1 19 px" in said


def test_masks_say_on_how_many_generators_a_map_is_better() -> None:
    rows = []
    for generator, apart in (("progan", -0.3), ("stylegan2", 0.05)):
        for method, value, difference in (("net", 0.8, 0.0), ("edges", 0.8 + apart, apart)):
            for measure in ("pixel_ap", "false_area"):
                rows.append(
                    {"generator": generator, "method": method, "measure": measure, "value": value,
                     "low": value - 0.1, "high": value + 0.1, "difference": difference,
                     "difference_low": difference - 0.1, "difference_high": difference + 0.1,
                     "chance": 0.2, "n": 40}
                )  # fmt: skip
    said = texts.found(pd.DataFrame(rows), {"net": "the map", "edges": "edges"}, "net")
    assert "**Against edges:** better on 1 of 2 generators (ProGAN)" in said
    assert "ProGAN 80.0 % [70.0, 90.0] (chance 20.0 %)" in said and "worse" not in said
