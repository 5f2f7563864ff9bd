"""Rankings beside omega: their controls, curves and stability, against hand cases and plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lrp_nets import pictures, toy
from PIL import Image
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from tff_core import figures, lrp, metrics
from tff_core.features import dropout, ffrs, rankings
from tff_core.features.names import FeatureMap
from tff_core.pictures import data

MODEL = toy(1, silu=True, gate=True)
NET = lrp.canonize(MODEL)
RECTIFIED = lrp.canonize(toy(2))
X = pictures(6, 32)
MAPS = rankings.feature_maps(NET)


def test_shares_of_relevance_average_to_omega() -> None:
    net = RECTIFIED
    x = X[net(X)[:, 0] > 0]
    assert len(x) > 1
    share = rankings.shares(net, x, "relevance", batch_size=4)
    assert share.shape == (len(x), sum(net.layers.values()))
    omega = ffrs.ff_rs(net, [x], confidence=0.5)
    mean = rankings.ranking(net, share.mean(0), len(x))
    for layer, values in omega.values.items():
        assert np.allclose(mean.values[layer], values, atol=1e-6)
    # of one size as one tensor, of several in batches
    parts = rankings.shares(net, [x[:1], (x[1:], None)], "relevance")
    np.testing.assert_allclose(parts, share, atol=1e-6)


def test_shares_of_activation_and_gradient_are_what_autograd_and_hooks_say() -> None:
    outputs: dict[str, Tensor] = {}
    # what each folded convolution gives: its batch norm's output, or its own where none follows
    last = {"conv1": "bn1", "blocks.0.conv": "blocks.0.bn", "blocks.1.conv": "blocks.1.bn",
            "blocks.1.shortcut": "blocks.1.shortcut"}  # fmt: skip
    assert set(last) == set(NET.layers)

    def keep(name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            output.retain_grad()
            outputs[name] = output
            return output * 1.0  # an activation may overwrite what it gets

        return hook

    handles = [MODEL.get_submodule(module).register_forward_hook(keep(k)) for k, module in last.items()]
    MODEL(X.clone().requires_grad_()).sum().backward()
    for handle in handles:
        handle.remove()
    MODEL.zero_grad()
    for of in ("activation", "gradient"):
        found = rankings.shares(NET, X, of, batch_size=4)  # type: ignore[arg-type]
        column = 0
        for layer, channels in NET.layers.items():
            a, g = outputs[layer].detach(), outputs[layer].grad
            assert g is not None
            q = a if of == "activation" else a * g
            expected = q.clamp(min=0).sum((2, 3)) / q.abs().sum((1, 2, 3))[:, None]
            assert np.allclose(found[:, column : column + channels], expected, atol=1e-6)
            column += channels


def test_a_layer_without_any_relevance_has_no_shares() -> None:
    conv = NET.conv("conv1")
    assert conv.bias is not None
    dead = NET.with_convs({"conv1": conv.with_weights(conv.weight * 0, conv.bias * 0)})
    assert not rankings.shares(dead, X, "activation")[:, : NET.layers["conv1"]].any()


def test_ablation_is_the_fall_of_the_mean_logit() -> None:
    chosen = MAPS[::3]
    found = rankings.ablation(NET, X, chosen, rows=12)
    for m in chosen:
        expected = float((NET(X) - dropout.fold_dropout(NET, [m])(X)).mean())
        assert found[m] == pytest.approx(expected, abs=1e-10)
    small = pictures(3, 24)
    mixed = rankings.ablation(NET, [(X, None), small], chosen[:2])
    for m in chosen[:2]:
        gone = dropout.fold_dropout(NET, [m])
        falls = torch.cat([NET(X) - gone(X), NET(small) - gone(small)])
        assert mixed[m] == pytest.approx(float(falls.mean()), abs=1e-10)


def made_up(seed: int = 0) -> ffrs.Omega:
    rng = np.random.default_rng(seed)
    return ffrs.Omega({"a": rng.random(20), "b": rng.random(60)}, count=1)


def test_candidates_and_what_stands_behind_them() -> None:
    one, other = made_up(0), made_up(1)
    found = rankings.candidates([one, other], 5)
    assert set(found) == set(one.top(5)) | set(other.top(5))
    assert found == sorted(found, key=lambda m: (m.layer, m.channel))
    scores = {m: float(i) for i, m in enumerate(found)}
    order = rankings.reordered(one, scores)
    assert order[: len(found)] == found[::-1]
    assert order[len(found) :] == [m for m in one.ranking if m not in scores]
    assert sorted(rankings.shuffled(one, 3)) == sorted(one.ranking) and rankings.shuffled(one, 3) != list(
        one.ranking
    )


@pytest.mark.parametrize("within", [True, False])
def test_a_magnitude_matched_control_is_as_loud_as_the_top(within: bool) -> None:
    omega, k = made_up(), 12
    rng = np.random.default_rng(5)
    magnitude = {
        layer: torch.from_numpy(np.exp(rng.normal(size=len(v)))) for layer, v in omega.values.items()
    }
    top = omega.top(k)
    draws = [rankings.magnitude_matched(omega, magnitude, k, seed, within) for seed in range(8)]
    assert draws[0] == rankings.magnitude_matched(omega, magnitude, k, 0, within)
    assert len({frozenset(maps) for maps in draws}) > 1

    def level(maps: list[FeatureMap]) -> np.ndarray:
        return np.log([float(magnitude[m.layer][m.channel]) for m in maps])

    for maps in draws:
        assert len(set(maps)) == k and not set(maps) & set(top)
        if within:
            assert sorted(m.layer for m in maps) == sorted(m.layer for m in top)
    random = [omega.random(k, seed) for seed in range(8)]
    near, far = (
        np.mean([abs(np.sort(level(maps)) - np.sort(level(top))).mean() for maps in sets])
        for sets in (draws, random)
    )
    assert near < (0.7 if within else 0.5) * far
    exact = rankings.magnitude_matched(omega, magnitude, 1, 0, within, nearest=1)
    others = [m for m in omega.ranking[1:] if not within or m.layer == top[0].layer]
    assert exact == [min(others, key=lambda m: abs(level([m])[0] - level(top[:1])[0]))]


def test_a_control_of_a_layer_that_runs_out_takes_what_is_left() -> None:
    omega = ffrs.Omega({"a": np.array([1.0, 0.9, 0.8, 0.1]), "b": np.linspace(0, 0.5, 20)}, count=1)
    magnitude = {"a": torch.ones(4), "b": torch.ones(20)}
    assert rankings.magnitude_matched(omega, magnitude, 3, 0) == [FeatureMap("a", 3, 4)]
    assert len(rankings.magnitude_matched(omega, magnitude, 3, 0, within_layer=False)) == 3
    with pytest.raises(ValueError, match="nearest is 0"):
        rankings.magnitude_matched(omega, magnitude, 3, 0, nearest=0)


def test_levels_are_what_the_next_operation_reads() -> None:
    found = rankings.levels(NET, [X[:4], (X[4:], None)])
    seen: dict[str, Tensor] = {}
    # conv1 and the first block have an activation of their own; the second block's shortcut is summed first
    sites = {"conv1": "relu", "blocks.1.shortcut": "blocks.1.shortcut"}
    handles = [
        MODEL.get_submodule(module).register_forward_hook(
            lambda m, i, output, layer=layer: seen.__setitem__(layer, output.detach().clone())
        )
        for layer, module in sites.items()
    ]
    with torch.no_grad():
        MODEL(X)
    for handle in handles:
        handle.remove()
    for layer, y in seen.items():
        assert torch.allclose(found.mean[layer], y.mean((0, 2, 3)), atol=1e-12)
        assert torch.allclose(found.magnitude[layer], y.abs().mean((0, 2, 3)), atol=1e-12)
    assert set(found.mean) == set(NET.layers)
    with pytest.raises(ValueError, match="no pictures"):
        rankings.levels(NET, [])


def test_the_first_whole_layer() -> None:
    a = [FeatureMap("a", c, 3) for c in range(3)]
    b = [FeatureMap("b", c, 9) for c in range(9)]
    assert rankings.first_whole_layer([a[0], b[4], a[2], b[5], a[1], b[0]]) == (5, "a")
    assert rankings.first_whole_layer(a[:2] + b[:8]) is None


# ------------------------------------------------------------------------------------------------- curves


def frame(
    shift: dict[tuple[str, int], float], generators: int = 2, n: int = 40, draws: int = 1
) -> pd.DataFrame:
    """Logits in which each (name, k) separates the labels by its own ``shift``."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], n)
    parts = []
    for g in range(generators):
        base = rng.normal(size=2 * n)
        for (name, k), by in shift.items():
            for draw in range(draws if name == "chance" else 1):
                parts.append(
                    pd.DataFrame(
                        {"generator": f"g{g}", "name": name, "k": k, "draw": draw, "dropped": k,
                         "image": np.arange(2 * n), "label": label,
                         "logit": base + by * label + 0.05 * rng.normal(size=2 * n)}
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


SHIFT = {
    (rankings.WHOLE, 0): 3.0,
    ("omega", 1): 2.5, ("omega", 10): 1.0, ("omega", 100): 0.0,
    ("chance", 1): 3.0, ("chance", 10): 3.0, ("chance", 100): 2.5,
}  # fmt: skip


def test_curves_agree_with_scikit_learn_and_average_over_generators_and_draws() -> None:
    made = frame(SHIFT, draws=2)
    curves = rankings.Curves(made, resamples=200)
    table = curves.table(["omega", "chance"]).set_index(["generator", "ranking", "k"])
    for (name, k), _ in SHIFT.items():
        means = []
        for g in ("g0", "g1"):
            rows = made[(made["generator"] == g) & (made["name"] == name) & (made["k"] == k)]
            expected = np.mean(
                [average_precision_score(r["label"], r["logit"]) for _, r in rows.groupby("draw")]
            )
            row = table.loc[(g, name, k)]
            assert row["ap"] == pytest.approx(expected, abs=1e-12)
            assert row["low"] <= row["ap"] <= row["high"]
            assert (row["n_real"], row["n_fake"], row["draws"]) == (40, 40, rows["draw"].nunique())
            means.append(expected)
        pooled = table.loc[("mean", name, k)]
        assert pooled["ap"] == pytest.approx(np.mean(means), abs=1e-12)
        assert (pooled["n_real"], pooled["n_fake"]) == (80, 80)
    figure = figures.dose_curves(curves.table(["omega", "chance"]).assign(detector="d"))
    assert "omega k = 1:" in figures.alt(figure)


def test_the_area_is_the_mean_over_log_k_and_its_difference_is_paired() -> None:
    curves = rankings.Curves(frame(SHIFT, draws=2), resamples=200)
    for name in ("omega", "chance"):
        p = [curves.ap(name, k)[0] for k in (1, 10, 100)]
        assert curves.area(name)[0] == pytest.approx(((p[0] + p[1]) / 2 + (p[1] + p[2]) / 2) / 2)
    table = curves.areas(["omega", "chance"], "omega").set_index(["generator", "ranking"])
    row = table.loc[("mean", "chance - omega")]
    assert row["area"] == pytest.approx(
        table.loc[("mean", "chance"), "area"] - table.loc[("mean", "omega"), "area"]
    )
    assert 0 < row["low"] < row["area"] < row["high"]
    widths = [
        table.loc[("mean", name)]["high"] - table.loc[("mean", name)]["low"] for name in ("omega", "chance")
    ]
    assert row["high"] - row["low"] < np.hypot(*widths)
    single = rankings.Curves(frame({(rankings.WHOLE, 0): 3.0, ("omega", 5): 1.0}), resamples=50)
    assert single.area("omega")[0] == single.ap("omega", 5)[0]
    figure = figures.ranking_areas(table.loc["mean"].reset_index())
    assert "chance" in figures.alt(figure)


def test_differences_of_two_cases() -> None:
    curves = rankings.Curves(frame(SHIFT), resamples=200)
    pairs = {"fall": ("omega", rankings.WHOLE), "beyond chance": ("omega", "chance")}
    table = curves.differences(pairs, 100).set_index(["generator", "contrast"])
    for g in ("g0", "g1", "mean"):
        expected = curves.ap("omega", 100, g)[0] - curves.ap(rankings.WHOLE, 0, g)[0]
        assert table.loc[(g, "fall"), "delta_ap"] == pytest.approx(expected)
        assert table.loc[(g, "beyond chance"), "high"] < 0
    same = rankings.Curves(frame({(rankings.WHOLE, 0): 1.0, ("a", 1): 1.0, ("b", 1): 1.0}), resamples=200)
    row = same.differences({"": ("a", "b")}, 1).iloc[-1]
    assert row["low"] <= 0 <= row["high"] and row["high"] - row["low"] < 0.05
    figure = figures.contrasts(curves.differences(pairs, 100), {"fall": "fall"}, "Text.")
    assert figures.caption(figure).startswith("Text. 95 %") and len(figure.data) == 1


def test_measure_is_the_dropped_network_on_every_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in data.LABELS:
        (tmp_path / "gan" / name).mkdir(parents=True)
        for i in range(3):
            noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "gan" / name / f"{i}.png")
    images = data.scan(tmp_path / "gan")
    net = NET.to(dtype=torch.float32)
    maps = MAPS[::4]
    found = rankings.measure(net, images, [rankings.case(net, "some", len(maps), maps, 1)], batch_size=4)
    x = data.normalize(data.load(images))
    for name, expected in (
        (rankings.WHOLE, net(x)[:, 0]),
        ("some", dropout.fold_dropout(net, maps)(x)[:, 0]),
    ):
        rows = found[found["name"] == name]
        assert np.allclose(rows["logit"], expected, atol=1e-5)
        assert rows["label"].tolist() == list(images.labels)
    assert set(found["generator"]) == {"gan"} and set(found["draw"]) == {0, 1}
    square = data.Preprocessing(crop=28)
    cut = rankings.measure(net, images, [], preprocessing=square)
    assert np.allclose(cut["logit"], net(x[..., 2:30, 2:30])[:, 0], atol=1e-5)


def test_measure_takes_pictures_of_several_sizes_with_and_without_class_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for folder in ("plain", "classes/cat", "classes/dog"):
        for name in data.LABELS:
            (tmp_path / folder / name).mkdir(parents=True)
            for i, (height, width) in enumerate([(32, 40), (24, 24), (32, 40), (37, 29)]):
                noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / folder / name / f"{i}.png")
    net = NET.to(dtype=torch.float32)
    for folder in ("plain", "classes"):
        images = data.scan(tmp_path / folder)
        found = rankings.measure(net, images, [rankings.case(net, "some", 3, MAPS[:3])])
        gone = dropout.fold_dropout(net, MAPS[:3])
        for name, own in ((rankings.WHOLE, net), ("some", gone)):
            rows = found[found["name"] == name].sort_values("image")
            expected = [float(own(data.normalize(data.read(path)[None]))[0, 0]) for path in images.paths]
            np.testing.assert_allclose(rows["logit"], expected, atol=1e-5)
            assert rows["label"].tolist() == list(images.labels)


# ---------------------------------------------------------------------------------------------- stability


def test_overlaps_by_hand() -> None:
    a = [FeatureMap("a", c, 10) for c in (0, 1, 2, 3)] + [FeatureMap("b", 0, 50)]
    b = [FeatureMap("a", c, 10) for c in (2, 3, 4)] + [FeatureMap("b", c, 50) for c in (7, 8)]
    assert rankings.overlap(a, b) == 2 / 5
    assert rankings.layer_overlap(a, b) == 4 / 5
    chance = rankings.chance_overlap(a, b)
    assert chance.value == pytest.approx((4 * 3 / 10 + 1 * 2 / 50) / 5)
    assert chance.low <= chance.value <= chance.high
    rng = np.random.default_rng(1)
    drawn = [
        len(set(rng.choice(10, 4, replace=False)) & set(rng.choice(10, 3, replace=False)))
        + len(set(rng.choice(50, 1)) & set(rng.choice(50, 2, replace=False)))
        for _ in range(3000)
    ]
    assert chance.value == pytest.approx(np.mean(drawn) / 5, abs=0.02)
    assert (chance.low, chance.high) == tuple(np.quantile(drawn, [0.025, 0.975]) / 5)


def test_stability_is_one_without_noise_and_falls_with_it() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(rng.random(300), (20, 1))
    still = rankings.stability(values, [5, 50])
    assert (still["value"] == 1).all() and (still["low"] == 1).all()
    assert still.set_index("kind")["n"].to_dict() == {"halves": 10, "bootstrap": 20}
    noisy = rankings.stability(values + rng.normal(size=values.shape), [50]).set_index("kind")
    assert 50 / 300 < noisy.loc["halves", "value"] < noisy.loc["bootstrap", "value"] < 1
    again = rankings.stability(values + 0.1, [5], seed=3)
    pd.testing.assert_frame_equal(again, rankings.stability(values + 0.1, [5], seed=3))
    with pytest.raises(ValueError, match="3 pictures: expected at least 4"):
        rankings.stability(values[:3], [5])
    shown = pd.concat([still, still.assign(kind="seeds")])
    assert "two halves of the fakes k = 5: 100" in figures.alt(figures.ranking_stability(shown))


# -------------------------------------------------------------------------------------------------- drift


def scores(moved: float, lost: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 50)
    parts = []
    for g in ("g", "h"):
        for seed in (0, 1, 2):
            whole = rng.normal(size=100) + 8 * label
            after = rng.normal(size=100) + (0 if lost else 8) * label + moved
            for condition, logit in (("baseline", whole), ("top-k", after)):
                parts.append(
                    pd.DataFrame(
                        {"generator": g, "seed": seed, "condition": condition,
                         "image": [f"{i:03d}" for i in range(100)], "label": label, "logit": logit}
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_drift_tells_a_moved_threshold_from_lost_information() -> None:
    moved = rankings.drift(
        scores(-20.0, lost=False), dict.fromkeys(range(3), 4.0), dict.fromkeys(range(3), -16.0), 200
    )
    row = moved[moved["generator"] == "mean"].set_index("what")
    assert row.loc["whole", "value"] > 0.99 and row.loc["dropped", "value"] == 0.5
    assert (row.loc["dropped", "acc_real"], row.loc["dropped", "acc_fake"]) == (1.0, 0.0)
    assert row.loc["recalibrated", "value"] > 0.99
    assert row.loc["gain", "low"] > 0.45 and row.loc["lost", "low"] <= 0 <= row.loc["lost", "high"]
    gone = rankings.drift(
        scores(-20.0, lost=True), dict.fromkeys(range(3), 4.0), dict.fromkeys(range(3), -20.0), 200
    )
    row = gone[gone["generator"] == "mean"].set_index("what")
    assert (
        row.loc["lost", "value"] > 0.45
        and row.loc["lost", "low"] > 0.3
        and abs(row.loc["gain", "value"]) < 0.1
    )
    for what in ("whole", "dropped", "recalibrated"):
        both = row.loc[what]
        assert both["value"] == pytest.approx((both["acc_real"] + both["acc_fake"]) / 2)
        assert (both["seeds"], both["n_real"], both["n_fake"]) == (3, 100, 100)
    assert "top-k dropped, old threshold" in figures.alt(figures.threshold_drift(moved))


@pytest.mark.filterwarnings("error")
def test_a_network_that_gives_one_logit_has_no_threshold() -> None:
    labels = np.repeat([0, 1], 20)
    broken = rankings.recalibrated(labels, np.full(40, 3.0))
    assert broken.value == broken.low == broken.high == np.inf
    logits = np.random.default_rng(0).normal(size=40) + 5 * labels
    found = rankings.recalibrated(labels, logits)
    assert found.value == metrics.gmean_threshold(labels, logits)
    assert found.low <= found.value <= found.high < np.inf
