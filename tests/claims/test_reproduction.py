"""Measured beside published: exactly the numbers that both have, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tff_core import published
from tff_core.claims import reproduction
from tff_core.pictures import data
from tff_core.store.results import Store

CLAIMED = {"wang": "resnet50", "wang-cr": "cr-resnet50", "ours": ""}
GENERATORS = list(data.GENERATORS)


def as_published(shift: float = 0.0) -> dict[str, pd.DataFrame]:
    """Result tables of a detector that measures the paper's numbers plus ``shift``, and of another one."""
    paper = published.sensitivity("resnet50").replace({"condition": {"random-k": "random-k-ensemble"}})
    rows = []
    for source, off in (("test", shift), ("validation", 0.2)):
        own = paper.assign(detector="wang", seed=0, draw=0, threshold_source=source)
        own[["ap", "acc_real", "acc_fake"]] += off
        rows.append(own)
    single = rows[0][rows[0]["condition"] == "random-k-ensemble"].assign(condition="random-k", ap=0.0)
    robust = published.color_robust().query("architecture == 'resnet50'")
    robust = robust.replace(
        {
            "detector": {"baseline": "universal", "color-robust": "color-robust"},
            "input": {"rgb": "color", "grayscale": "gray"},
        }
    ).rename(columns={"detector": "model"})
    robust = robust.assign(detector="wang", twin="wang-cr", seed="all", ap=robust["ap"] + shift)
    shares = published.color_conditional().rename(columns={"detector": "which"})
    shares = shares.assign(detector="wang", group="top-k", k=114, share=shares["share"] + shift)
    return {
        "sensitivity": pd.concat([*rows, single]).assign(k=114),
        "color_robust": pd.concat([robust, robust.assign(seed="0", ap=0.5)]),
        "color_conditional": shares[shares["which"] == "resnet50"].rename(columns={"share": "share_mood"}),
        "color_robust_share": shares[shares["which"] == "cr-resnet50"]
        .rename(columns={"share": "whole"})
        .assign(model="color-robust", twin="wang-cr", share=0.5),
    }


def stored(folder: Path, tables: dict[str, pd.DataFrame]) -> Store:
    store = Store(folder)
    for name, table in tables.items():
        store.table(name).parent.mkdir(parents=True, exist_ok=True)
        other = table.assign(detector="ours")  # claims nothing, so that it is compared with nothing
        pd.concat([table, other]).to_csv(store.table(name), index=False)
    return store


def test_the_papers_own_numbers_agree_with_themselves(tmp_path: Path) -> None:
    table = reproduction.compare(stored(tmp_path, as_published()), CLAIMED, GENERATORS)
    assert tuple(table.columns) == reproduction.COLUMNS
    assert reproduction.twins(Store(tmp_path), ["wang"]) == ["wang-cr"]
    assert reproduction.twins(Store(tmp_path / "empty"), ["wang"]) == []
    assert table["difference"].abs().max() == pytest.approx(0.0, abs=1e-12)
    assert table["within"].all()
    assert not table["doubtful"].any()
    found = table.groupby(["quantity", "detector"]).size().to_dict()
    assert found == {
        (reproduction.AP, "wang"): 4 * 7,
        (reproduction.REAL, "wang"): 4 * 6,  # the paper cuts ProGAN's probabilities at one half
        (reproduction.FAKE, "wang"): 4 * 6,
        (reproduction.ROBUST, "wang"): 2 * 7,
        (reproduction.ROBUST, "wang-cr"): 2 * 7,
        (reproduction.SHARE, "wang"): 7,
        (reproduction.SHARE, "wang-cr"): 7,
    }
    rows = table[table["quantity"].isin([reproduction.REAL, reproduction.FAKE])]
    assert "progan" not in set(rows["generator"])
    # the paper's random-k is the ensemble, not the mean of single networks
    assert set(table["condition"]) == {
        "baseline", "top-k", "random-k-ensemble", "low-k", "in colour", "in gray",
    }  # fmt: skip
    text = reproduction.sentence(table)
    assert text == (
        f"Of {len(table)} numbers that the paper has of these detectors and that were measured here, "
        f"{len(table)} lie within 0.5 points of the published one."
    )


@pytest.mark.parametrize(
    ("shift", "within"), [(0.005, True), (-0.005, True), (0.0051, False), (-0.02, False)]
)
def test_half_a_point_is_the_border(tmp_path: Path, shift: float, within: bool) -> None:
    table = reproduction.compare(stored(tmp_path, as_published(shift)), CLAIMED, GENERATORS)
    assert table["difference"].tolist() == pytest.approx([shift] * len(table))
    assert set(table["within"]) == {within}
    counted = reproduction.counts(table)
    assert counted["within"].sum() == (len(table) if within else 0)
    assert counted["of"].sum() == len(table)
    assert counted["typical"].tolist() == pytest.approx([abs(shift)] * len(counted))
    assert counted["largest"].tolist() == pytest.approx([shift] * len(counted))
    assert len(reproduction.largest(table, 3)) == (0 if within else 3)


def test_the_largest_difference_is_told_with_its_place(tmp_path: Path) -> None:
    tables = as_published()
    rows = tables["sensitivity"]
    rows.loc[(rows["condition"] == "low-k") & (rows["generator"] == "biggan"), "ap"] -= 0.125
    rows.loc[(rows["condition"] == "low-k") & (rows["generator"] == "gaugan"), "ap"] += 0.025
    table = reproduction.compare(stored(tmp_path, tables), CLAIMED, GENERATORS)
    first = reproduction.largest(table)
    assert first["generator"].tolist() == ["biggan", "gaugan"]
    assert first["difference"].tolist() == pytest.approx([-0.125, 0.025])
    text = reproduction.sentence(table)
    assert f"{len(table) - 2} lie within" in text
    assert "The other 2 differ by 7.5 points as a median" in text
    assert "-12.5 points (AP under dropout, low-k dropped, BigGAN, wang)" in text


def test_another_k_or_threshold_is_none_of_the_papers_numbers(tmp_path: Path) -> None:
    tables = as_published()
    tables["sensitivity"]["k"] = 50
    tables["color_conditional"]["k"] = 50
    table = reproduction.compare(stored(tmp_path, tables), CLAIMED, GENERATORS)
    under = table[table["quantity"] == reproduction.AP].set_index("condition")
    assert under.loc["baseline", "measured"].notna().all()  # nothing is dropped there
    assert under.loc["top-k", "measured"].isna().all() and not under.loc["top-k", "within"].any()
    counted = reproduction.counts(table).set_index(["detector", "quantity"])
    assert counted.loc[("wang", reproduction.SHARE), ["of", "missing"]].tolist() == [0, 7]
    assert counted.loc[("wang-cr", reproduction.SHARE), "of"] == 7
    assert "were not measured" in reproduction.sentence(table)

    tables = as_published()
    rows = tables["sensitivity"]
    tables["sensitivity"] = rows[rows["threshold_source"] == "validation"]
    table = reproduction.compare(stored(tmp_path / "other", tables), CLAIMED, GENERATORS)
    assert table.loc[table["quantity"].isin([reproduction.REAL, reproduction.FAKE]), "measured"].isna().all()


def test_numbers_that_the_paper_contradicts_are_marked_and_judge_nothing(tmp_path: Path) -> None:
    robust = published.color_robust().query("architecture == 'efb0' and detector == 'baseline'")
    robust = robust.replace({"input": {"rgb": "color", "grayscale": "gray"}})
    rows = robust.assign(detector="small", model="universal", twin="", seed="all", ap=robust["ap"] - 0.1)
    table = reproduction.compare(stored(tmp_path, {"color_robust": rows}), {"small": "efb0"}, GENERATORS)
    own = table[table["quantity"] == reproduction.ROBUST]
    assert own.loc[own["doubtful"], "generator"].tolist() == ["stylegan2", "stylegan2"]
    counted = reproduction.counts(own).iloc[0]
    assert (counted["of"], counted["doubtful"], counted["within"]) == (12, 2, 0)
    assert "stylegan2" not in set(reproduction.largest(own, 99)["generator"])


def test_without_tables_without_claims_and_on_other_generators_nothing_is_made_up(tmp_path: Path) -> None:
    empty = reproduction.compare(Store(tmp_path), CLAIMED, GENERATORS)
    assert empty["measured"].isna().all() and not empty["within"].any()
    assert reproduction.sentence(empty).startswith("No number")
    assert reproduction.counts(empty)["of"].sum() == 0
    none = reproduction.compare(stored(tmp_path, as_published()), {"ours": ""}, GENERATORS)
    assert none.empty and tuple(none.columns) == reproduction.COLUMNS
    assert reproduction.compare(Store(tmp_path), CLAIMED, ["my-own"]).empty
    alone = reproduction.compare(Store(tmp_path), {"wang-cr": "cr-resnet50"}, ["progan"])
    assert alone["measured"].isna().all() and set(alone["detector"]) == {"wang-cr"}


def test_a_claim_that_the_paper_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="mine claims to be the paper's 'vgg': expected one of cr-efb0, cr-re"
    ):
        reproduction.compare(Store(tmp_path), {"mine": "vgg"}, GENERATORS)
