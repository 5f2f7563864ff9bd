"""A detector and its colour-robust twin: AP and shares, paired."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from tff_core.features import color_conditional, color_robust
from tff_core.pictures import data


def sample(rng, n, shift, k=40):
    """2 k maps, of which the first k fall by ``shift`` when the pictures turn gray."""
    a = rng.normal(size=(n, 2 * k))
    b = rng.normal(size=(n, 2 * k))
    b[:, :k] -= shift
    return color_conditional.Sample(a, b, {"top-k": [np.arange(k)], "matched-k": [np.arange(k, 2 * k)]})


def logits(rng, labels, seeds, strength):
    return {s: labels * strength + rng.normal(size=len(labels)) for s in seeds}


def test_robustness_is_average_precision_and_its_paired_differences():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    universal = {"color": logits(rng, y, (0, 1), 2.0), "gray": logits(rng, y, (0, 1), 0.3)}
    robust = {"color": logits(rng, y, (1,), 1.8), "gray": logits(rng, y, (1,), 1.8)}
    table = color_robust.robustness(y, universal, robust, n=400)
    found = table.set_index(["model", "input", "seed"])
    ap = {
        (m, i, str(s)): average_precision_score(y, values)
        for m, own in (("universal", universal), ("color-robust", robust))
        for i, by_seed in own.items()
        for s, values in by_seed.items()
    }
    for key, value in ap.items():
        assert found.loc[key, "ap"] == pytest.approx(value)
    assert found.loc[("universal", "gray", "all"), "ap"] == pytest.approx(
        (ap["universal", "gray", "0"] + ap["universal", "gray", "1"]) / 2
    )
    # only seed 1 has a twin: seed 0 has no part in the difference
    expected = ap["color-robust", "gray", "1"] - ap["universal", "gray", "1"]
    assert found.loc[("difference", "gray", "1"), "ap"] == pytest.approx(expected)
    seeds = table.query("model == 'difference' and input == 'gray'")["seed"]
    assert seeds.tolist() == ["1", "all"]
    same = ["ap", "ap_low", "ap_high"]
    assert found.loc[("difference", "gray", "all"), same].tolist() == pytest.approx(
        found.loc[("difference", "gray", "1"), same].tolist()
    )
    lost = ap["universal", "color", "0"] - ap["universal", "gray", "0"]
    assert found.loc[("universal", "color - gray", "0"), "ap"] == pytest.approx(lost)
    assert found.loc[("difference", "gray", "all"), "ap_low"] > 0
    assert (table["ap_low"] <= table["ap"]).all() and (table["ap"] <= table["ap_high"]).all()
    assert set(table["n_real"]) == set(table["n_fake"]) == {40}


def test_robustness_pairs_the_resamples_and_asks_for_a_common_seed():
    rng = np.random.default_rng(1)
    y = np.arange(60) % 2
    values = logits(rng, y, (0, 1), 1.0)
    both = {"color": values, "gray": values}
    found = color_robust.robustness(y, both, both, n=200).set_index(["model", "input", "seed"])
    for model, kind in (("difference", "gray"), ("universal", "color - gray")):
        row = found.loc[(model, kind, "all"), ["ap", "ap_low", "ap_high"]]
        assert row.tolist() == pytest.approx([0, 0, 0], abs=1e-12)  # unpaired it would have a width
    other = {kind: {2: values[0]} for kind in ("color", "gray")}
    with pytest.raises(ValueError, match=r"universal: \[0, 1\], colour-robust: \[2\]"):
        color_robust.robustness(y, both, other, n=10)


def test_before_and_after_are_shares_of_the_same_halves():
    rng = np.random.default_rng(2)
    before, after = sample(rng, 80, 1.2), sample(rng, 80, 0.0)
    table = color_robust.before_after([before], [after], splits=30, seed=4)
    found = table.set_index(["model", "group"])
    assert found.loc[("universal", "top-k"), "share"] > 0.8
    assert found.loc[("color-robust", "top-k"), "high"] < 0.4
    for group in ("top-k", "matched-k", "top-k - matched-k"):
        share = {m: found.loc[(m, group), "share"] for m in ("universal", "color-robust", "difference")}
        assert share["difference"] == pytest.approx(share["color-robust"] - share["universal"])
    assert found.loc[("difference", "top-k"), "high"] < 0
    assert found.loc[("difference", "matched-k"), "low"] < 0 < found.loc[("difference", "matched-k"), "high"]
    # the same halves and the same interval as the contrast of chapter 7
    contrast = color_conditional.contrast([before], splits=30, seed=4).iloc[0]
    row = found.loc[("universal", "top-k - matched-k")]
    assert [row.share, row.low, row.high] == pytest.approx([contrast.delta, contrast.low, contrast.high])
    assert set(table["n"]) == {40} and set(table["k"]) == {40} and set(table["seeds"]) == {1}
    assert table.query("model != 'difference' and group != 'top-k - matched-k'")["low"].min() >= 0
    alike = color_robust.before_after([before], [before], splits=3).set_index(["model", "group"])
    assert alike.loc["difference"][["share", "low", "high"]].eq(0).all(axis=None)


def test_before_and_after_refuse_what_cannot_be_compared():
    rng = np.random.default_rng(3)
    one = sample(rng, 20, 0.5)
    with pytest.raises(ValueError, match="1 samples before and 2 after"):
        color_robust.before_after([one], [one, one])
    with pytest.raises(ValueError, match="same groups"):
        color_robust.before_after([one], [one._replace(members={"top-k": [np.arange(3)]})])
    with pytest.raises(ValueError, match="same pictures"):
        color_robust.before_after([one], [sample(rng, 24, 0.5)])
    with pytest.raises(ValueError, match="four or more"):
        color_robust.before_after([sample(rng, 2, 0.5)], [sample(rng, 2, 0.5)])


def test_the_share_over_all_pictures_is_of_each_models_top_k():
    rng = np.random.default_rng(5)
    before, after = sample(rng, 40, 1.0), sample(rng, 40, 0.0)
    table = color_robust.before_after([before], [after], splits=3).set_index(["model", "group"])
    hit = color_conditional.mood(before.color, before.gray).p[:40] <= color_conditional.ALPHA
    assert table.loc[("universal", "top-k"), "whole"] == pytest.approx(hit.mean())
    assert table["whole"].notna().sum() == 2


def test_logits_in_colour_are_those_of_the_scores_in_the_order_of_the_pictures(tmp_path):
    for label in data.LABELS:
        (tmp_path / label).mkdir()
        for i in range(2):
            Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    images = data.scan(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in images.paths]
    scores = pd.DataFrame({"image": names[::-1] * 2, "seed": [0] * 4 + [3] * 4, "logit": np.arange(8.0)})
    scores = pd.concat([scores.assign(condition="baseline"), scores.assign(condition="top-k", logit=9.0)])
    found = color_robust.in_color(scores, images)
    assert {seed: list(values) for seed, values in found.items()} == {0: [3, 2, 1, 0], 3: [7, 6, 5, 4]}
    with pytest.raises(KeyError):
        color_robust.in_color(scores[scores["image"] != names[0]], images)


def test_chroma_is_averaged_over_patches_before_maps():
    rows = [
        ("universal", "a", 1.0),
        ("universal", "a", 3.0),
        ("universal", "b", 4.0),
        ("universal", "b", np.nan),
    ]
    found = pd.DataFrame(rows, columns=["model", "map", "ratio"]).assign(group="top-k")
    per_map, means = color_robust.chroma_means(found)
    assert per_map["ratio"].tolist() == [2.0, 4.0]
    assert (means.iloc[0]["value"], means.iloc[0]["maps"], means.iloc[0]["patches"]) == (3.0, 2, 3)
    assert color_robust.chroma_means(found.assign(ratio=np.nan))[1].empty
