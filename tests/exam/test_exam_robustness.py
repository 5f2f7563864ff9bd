"""Curves of a detector of which all is known: what it sees, when it loses it, and what breaks first."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from exam_pictures import SIZE, detector, draw

from tff_core import lrp, metrics
from tff_core.exam import overlaps, robustness
from tff_core.exam.robustness import Condition, Watched
from tff_core.features import ffrs, pixels, rankings
from tff_core.pictures import data, degradations

LEVELS = {"jpeg": (100, 30), "blur": (0.3, 2), "noise": (0.001,), "crop": (0.25,), "enlarge": (1,)}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, data.ImageSet]:
    folder = tmp_path_factory.mktemp("exam")
    return {name: draw(folder / name, 4, seed) for seed, name in enumerate(("one", "two"))}


@pytest.fixture(scope="module")
def net() -> lrp.Net:
    return lrp.canonize(detector())


@pytest.fixture(scope="module")
def watched(net: lrp.Net, images: dict[str, data.ImageSet]) -> Watched:
    return robustness.watch(
        net, images, robustness.damage(LEVELS), k=2, explained=3, batch_size=5, resamples=30
    )


def rows(found: Watched, operation: str, level: float) -> pd.DataFrame:
    return found.pictures.query(f"operation == '{operation}' and level == {level}")


def test_logits_and_explanations_are_those_of_the_detector(
    net: lrp.Net, images: dict[str, data.ImageSet], watched: Watched
) -> None:
    untouched = watched.pictures[watched.pictures["operation"] == "untouched"]
    assert len(untouched) == 16 and watched.explained == untouched["explained"].sum() == 6
    for name, some in images.items():
        x = data.normalize(data.load(some))
        own = untouched[untouched["generator"] == name]
        assert own["logit"].to_numpy() == pytest.approx(detector()(x)[:, 0].numpy(), abs=1e-5)
        assert own.loc[own["explained"], "picture"].tolist() == [4, 5, 6]  # the first fakes
        shown = torch.stack([data.read(p) for p in some.paths])
        blurred = degradations.degrade(shown, "blur", 2, range(8))
        assert rows(watched, "blur", 2).query(f"generator == '{name}'")["logit"].to_numpy() == pytest.approx(
            detector()(data.normalize(blurred))[:, 0].numpy(), abs=1e-5
        )
        fakes = x[4:7]
        found = robustness.explain(net, fakes)
        assert found.shares == pytest.approx(rankings.shares(net, fakes), abs=1e-5)
        heat = pixels.strength(pixels.relevance(net, fakes))  # from the logit, which scales it
        assert overlaps.cosine(np.stack(found.heat), heat) == pytest.approx(1, abs=1e-6)
        omega = ffrs.ff_rs(net, [fakes], confidence=0.5)
        assert found.shares.mean(0) == pytest.approx(np.concatenate(list(omega.values.values())), abs=1e-5)
    # reals and fakes that are not called fake are not explained
    none = robustness.watch(net, images, [], k=2, threshold=1e9)
    assert none.explained == 0 and none.omega.empty and none.pictures["rank"].isna().all()


def test_nothing_is_lost_where_nothing_changes_and_all_where_the_trace_is_gone(watched: Watched) -> None:
    same = rows(watched, "enlarge", 1)
    assert same.loc[same["explained"], ["cosine", "rank"]].to_numpy() == pytest.approx(1)
    table = robustness.curves([watched], [0.0], 100).set_index(["operation", "level", "measure", "generator"])
    value = table["value"]
    mean, explained = robustness.MEAN, robustness.EXPLAINED
    for measure in ("AP", "real right", "fake right"):
        assert table.loc[("untouched", math.nan, measure, mean), "value"].item() == 1
    assert value[("blur", 2, "fake right", mean)] == 0 and value[("blur", 2, "real right", mean)] == 1
    assert (
        value[("blur", 2, "verdict", explained)] == 0 and value[("noise", 0.001, "verdict", explained)] == 1
    )
    assert value[("enlarge", 1, "heatmap", explained)] == pytest.approx(1)
    assert value[("enlarge", 1, "omega", explained)] == 1
    assert value[("blur", 0.3, "verdict", explained)] == 1
    # without a picture in which anything differs, the interval is that of so many pictures
    row = table.loc[("blur", 2, "fake right", mean)]
    assert (row["low"], row["high"]) == (0, pytest.approx(0.3245, abs=1e-3)) and row["n_fake"] == 8  # Wilson
    assert table.loc[("blur", 2, "AP", mean), "chance"] == pytest.approx(metrics.chance(4, 4))


def test_what_was_found_is_read_again(watched: Watched, tmp_path: Path) -> None:
    for name in ("pictures", "omega"):
        getattr(watched, name).to_csv(tmp_path / f"{name}.csv", index=False)
    again = Watched.read(tmp_path / "pictures.csv", tmp_path / "omega.csv")
    pd.testing.assert_frame_equal(
        robustness.curves([again], [0.0], 50), robustness.curves([watched], [0.0], 50)
    )


def test_a_crop_is_compared_with_the_part_that_is_left(
    net: lrp.Net, images: dict[str, data.ImageSet], watched: Watched
) -> None:
    # a detector of small fields sees the same in the middle of a part
    own = rows(watched, "crop", 0.25)
    assert own.loc[own["explained"], "cosine"].min() > 0.9
    wants = data.Preprocessing(crop=SIZE - 8)
    cut = robustness.watch(
        net, {"one": images["one"]}, robustness.damage({"crop": (0.1,)}), k=2, preprocessing=wants
    )
    assert rows(cut, "crop", 0.1)["cosine"].isna().all()  # where that is, only the network knows


def test_batches_and_order_of_sizes_change_nothing(
    net: lrp.Net, images: dict[str, data.ImageSet], tmp_path: Path
) -> None:
    mixed = {"small": draw(tmp_path / "small", 2, 5, 24), "one": images["one"].where(first=2)}
    damage = robustness.damage({"noise": (3,), "crop": (0.5,)}, seed=4)
    found = [
        robustness.watch(net, mixed, damage, k=2, explained=2, batch_size=b, resamples=5) for b in (1, 64)
    ]
    pd.testing.assert_frame_equal(found[0].pictures, found[1].pictures, atol=1e-5, rtol=1e-4)
    pd.testing.assert_frame_equal(found[0].omega, found[1].omega)


def test_intervals_over_pictures_are_the_bootstraps_and_over_seeds_wider(watched: Watched) -> None:
    rng = np.random.default_rng(0)
    seeds = []
    for _ in range(3):
        pictures = watched.pictures.copy()
        pictures["logit"] += rng.normal(0, 0.08, len(pictures)) + rng.normal(0, 0.01)
        seeds.append(Watched(pictures, watched.omega, watched.explained))
    keys = ["operation", "level", "generator", "measure"]
    one = robustness.curves(seeds[:1], [0.02], 300).set_index(keys)
    several = robustness.curves(seeds, [0.02] * 3, 300).set_index(keys)
    there = one["value"].notna()  # a heatmap may have been blurred away
    assert set(one.loc[there, "seeds"]) == {1} and set(one.loc[there, "covers"]) == {"pictures only"}
    assert set(several.loc[there, "seeds"]) == {3}
    assert set(several.loc[there, "covers"]) == {"seeds and pictures"}
    own = seeds[0].pictures.query("operation == 'jpeg' and level == 30 and generator == 'one'")
    y, s = own["label"].to_numpy(), own["logit"].to_numpy()
    row = one.loc[("jpeg", 30, "one", "AP")]
    assert row["value"] == metrics.average_precision(y, s)
    if row["value"] < 1:
        assert (row["low"], row["high"]) == pytest.approx(metrics.ap_interval(y, s, 300)[1:])
    mean = one.sort_index().xs("AP", level="measure").loc["jpeg", 30]["value"]
    assert mean[robustness.MEAN] == pytest.approx(mean[["one", "two"]].mean())
    with pytest.raises(ValueError, match="3 measurements and 1 thresholds"):
        robustness.curves(seeds, [0.0])
    fewer = Watched(seeds[0].pictures.iloc[:16], seeds[0].omega, 6)
    with pytest.raises(ValueError, match="other pictures or in other conditions"):
        robustness.curves([seeds[1], fewer], [0.0, 0.0])


def _curve(
    operation: str, measure: str, values: list[float], width: float, seeds: int = 3, chance: float = 0.2
) -> list[dict[str, object]]:
    about = {"operation": operation, "generator": robustness.EXPLAINED, "measure": measure, "seeds": seeds}
    about["chance"] = 0.5 if measure == "verdict" else chance
    return [
        about | {"level": i, "value": v, "low": v - width, "high": v + width} for i, v in enumerate(values)
    ]


def test_what_breaks_first_is_what_falls_below_half_the_way_to_chance_first() -> None:
    nan = math.nan
    table = pd.DataFrame(
        [
            # the verdict breaks below 0.75, an explanation with chance 0.2 below 0.6
            *_curve("a", "verdict", [1, 0.9, 0.6], 0.05), *_curve("a", "heatmap", [0.9, 0.5, 0.5], 0.05),
            *_curve("a", "omega", [0.9, 0.8, 0.7], 0.05),
            *_curve("b", "verdict", [0.6, 0.6, 0.6], 0.05), *_curve("b", "heatmap", [0.5, 0.5, 0.5], 0.05),
            *_curve("b", "omega", [0.58, 0.5, 0.4], 0.05),  # whole interval: only from the second on
            *_curve("c", "verdict", [1, 1, 1], 0), *_curve("c", "heatmap", [1, 1, 0.5], 0.2),
            *_curve("c", "omega", [nan, nan, nan], 0),
            *_curve("d", "verdict", [1, 1, 1], 0, 1), *_curve("d", "heatmap", [0.2, 0.2, 0.2], 0, 1),
            *_curve("d", "omega", [0.2, 0.2, 0.2], 0, 1),
        ]
    )  # fmt: skip
    found = robustness.broken(table).set_index("operation")
    assert found.loc["a", ["verdict", "heatmap"]].tolist() == [2, 1] and np.isnan(found.loc["a", "omega"])
    assert found.loc["b", ["verdict", "heatmap", "omega"]].tolist() == [0, 0, 1]
    assert found["heatmap first"].to_dict() == {"a": "for", "b": "open", "c": "open", "d": "open"}
    assert found["omega first"].to_dict() == {"a": "against", "b": "against", "c": "open", "d": "open"}
    assert robustness.broken(table[table["generator"] == "none"]).empty


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda net: robustness.watch(net, {}, [], k=1), "no pictures: expected some reals and fakes"),
        (lambda net: robustness.damage({"rain": (1,)}), "operation 'rain': expected one of"),
        (lambda net: robustness.damage({"jpeg": (0,)}), "jpeg of level 0: expected a quality"),
        (lambda net: robustness.curves([], []), "0 measurements and 0 thresholds"),
    ],
)
def test_what_cannot_be_measured_is_said(net: lrp.Net, call, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=told):
        call(net)


def test_one_picture_of_one_label_has_no_ap_and_no_chance(
    net: lrp.Net, images: dict[str, data.ImageSet]
) -> None:
    alone = {"one": images["one"].where(label=1, first=1)}
    gray = Condition("gray", 0, lambda x, numbers: torch.full_like(x, 128))
    found = robustness.watch(net, alone, [gray], k=2, resamples=5)
    table = robustness.curves([found], [0.0], 20).set_index("measure")
    assert "AP" not in table.index and found.explained == 1
    assert table.loc["verdict", "value"] == 0
    assert np.isnan(table.loc["heatmap", ["value", "low", "high", "chance"]].to_numpy(dtype=float)).all()
    assert robustness.broken(table.reset_index())["heatmap first"].tolist() == ["open"]


def test_all_operations_but_the_zoom_are_asked_by_default() -> None:
    asked = {condition.operation for condition in robustness.damage()}
    assert asked == set(degradations.OPERATIONS) - {"zoom"}
