"""The paper's numbers: whole tables, as fractions, with the doubtful ones marked."""

import pytest

from tff_core import published
from tff_core.pictures import data


def test_sensitivity_is_whole() -> None:
    table = published.sensitivity()
    assert len(table) == 2 * 4 * 7
    assert not table.duplicated(["detector", "condition", "generator"]).any()
    assert set(table["generator"]) == set(data.GENERATORS)
    assert table[["ap", "acc_real", "acc_fake"]].stack().between(0, 1).all()
    for arch, k in published.K.items():
        rows = published.sensitivity(arch)
        assert len(rows) == 28
        assert set(rows["k"]) == {k}
    progan = published.sensitivity("resnet50").set_index(["condition", "generator"]).loc[("top-k", "progan")]
    assert progan[["ap", "acc_real", "acc_fake"]].tolist() == pytest.approx([0.698, 0.994, 0.032])
    with pytest.raises(ValueError, match="no network 'vgg': expected one of resnet50, efb0"):
        published.sensitivity("vgg")


def test_the_same_baseline_agrees_between_tables_except_where_marked() -> None:
    one = published.sensitivity().query("condition == 'baseline'").set_index(["detector", "generator"])["ap"]
    robust = published.color_robust()
    other = robust[(robust["detector"] == "baseline") & (robust["input"] == "rgb")]
    other = other.set_index(["architecture", "generator"])
    differs = {key for key in one.index if abs(one[key] - other.loc[key, "ap"]) > 1e-9}
    assert differs == {("efb0", "stylegan2")}
    assert set(other.index[other["doubtful"]]) == differs
    doubtful = robust[robust["doubtful"]]["ap"].tolist()
    copied = robust.query("architecture == 'efb0' and generator == 'stylegan'")["ap"].tolist()
    assert doubtful == copied
    assert len(doubtful) == 4


def test_color_conditional_shares_fall_with_color_robust_training() -> None:
    table = published.color_conditional().pivot(index="generator", columns="detector", values="share")
    assert table.shape == (7, 2)
    assert table.stack().between(0, 1).all()
    assert (table["cr-resnet50"] < table["resnet50"]).all()
