"""Sensitivity: the logits of every condition, and tables that say what the logits say."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from torch import nn

from tff_core import detectors, lrp, metrics
from tff_core.features import dropout, ffrs, sensitivity
from tff_core.features.dropout import feature_map_dropout
from tff_core.pictures import data
from tff_core.store import results

K = 4


def tiny() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 1),
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.running_mean = 0.1 * torch.randn(module.num_features)
            module.running_var = 0.5 + torch.rand(module.num_features)
    return model


def pictures(root: Path, n: int, sizes: tuple[int, ...] = (16,)) -> data.ImageSet:
    rng = np.random.default_rng(0)
    for name in data.LABELS:
        (root / name).mkdir(parents=True)
        for i in range(n):
            side = sizes[i % len(sizes)]
            noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / name / f"{i:03d}.png")
    return data.scan(root)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> results.Store:
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", K, tiny))
    monkeypatch.setitem(detectors.REGISTRY, "tiny-test", detectors.Spec("tiny-test", "tiny"))
    made = results.Store(tmp_path / "build")
    path = made.detector("tiny-test", 0)
    path.parent.mkdir(parents=True)
    save_file(tiny().state_dict(), path)
    results.write_json(path.with_suffix(".json"), {"threshold": 0.1})
    return made


@pytest.fixture
def omega() -> ffrs.Omega:
    rng = np.random.default_rng(0)
    return ffrs.Omega({"0": rng.random(8), "3": rng.random(12)}, count=1)


def compute(images: data.ImageSet, omega: ffrs.Omega, store: results.Store) -> pd.DataFrame:
    return sensitivity.scores(
        "tiny-test", [0], images, {0: omega}, n_random=2, n_matched=3,
        store=store, device="cpu", batch_size=5, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [(16,), (16, 20)])
def test_every_condition_equals_hook_dropout_on_the_network_itself(
    sizes: tuple[int, ...], store: results.Store, omega: ffrs.Omega, tmp_path: Path
) -> None:
    images = pictures(tmp_path / "progan", 7, sizes)
    frame = compute(images, omega, store)
    cases = sensitivity.conditions(omega, K, 2, 3)
    assert [(c.condition, c.draw) for c in cases] == [
        ("baseline", 0), ("top-k", 0), ("low-k", 0), ("random-k", 0), ("random-k", 1),
        ("matched-k", 0), ("matched-k", 1), ("matched-k", 2),
    ]  # fmt: skip
    assert len(frame) == len(cases) * len(images)
    model = tiny().eval()
    for case in cases:
        rows = frame[(frame["condition"] == case.condition) & (frame["draw"] == case.draw)]
        with feature_map_dropout(model, case.maps):
            expected = detectors.logits(model, data.batches(images, 3))
        assert np.allclose(rows["logit"], expected, atol=1e-5)
        assert rows["label"].tolist() == list(images.labels)
        assert rows["image"].tolist() == [p.relative_to(images.root).as_posix() for p in images.paths]
        assert set(rows["k"]) == {0 if case.condition == "baseline" else K}
    assert set(frame["generator"]) == {"progan"}


def test_a_broken_off_run_continues_and_a_finished_one_is_not_computed_again(
    store: results.Store, omega: ffrs.Omega, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(tmp_path / "progan", 4)
    undisturbed = compute(images, omega, store)
    kept = store.root / "results" / "parts" / "logits" / "tiny-test.progan.s0.npz"
    kept.unlink()
    real, calls, breaking = dropout.sweep, [], True

    def counted(net: Any, x: Any, plans: Any, *more: Any) -> Any:
        calls.append(len(plans))
        for i, found in enumerate(real(net, x, plans, *more)):
            if breaking and len(calls) == 2 and i == 3:
                raise RuntimeError("stopped")
            yield found

    monkeypatch.setattr(dropout, "sweep", counted)
    with pytest.raises(RuntimeError, match="stopped"):
        compute(images, omega, store)
    breaking = False
    pd.testing.assert_frame_equal(compute(images, omega, store), undisturbed)
    assert calls == [8, 8, 0, 8]  # of two batches the first was kept
    calls.clear()
    compute(images, omega, store)
    assert calls == [0, 0]
    rng = np.random.default_rng(5)
    other = ffrs.Omega({key: rng.random(len(value)) for key, value in omega.values.items()}, count=1)
    compute(images, other, store)
    assert calls[2:] == [7, 7]  # all but the baseline


def test_logits_that_are_not_finite_are_refused_and_not_kept(
    store: results.Store, omega: ffrs.Omega, tmp_path: Path
) -> None:
    weights = tiny().state_dict()
    weights["8.weight"] = torch.full_like(weights["8.weight"], 3e38)  # finite; its sums are not
    save_file(weights, store.detector("tiny-test", 0))
    with pytest.raises(detectors.WeightsError, match=r"tiny-test s0 on progan: .* logits are not finite"):
        compute(pictures(tmp_path / "progan", 4), omega, store)
    assert not (store.root / "results" / "parts" / "logits" / "tiny-test.progan.s0.npz").exists()


def test_a_damaged_file_of_logits_is_computed_again(
    store: results.Store, omega: ffrs.Omega, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pictures(tmp_path / "progan", 4)
    first = compute(images, omega, store)
    kept = store.root / "results" / "parts" / "logits" / "tiny-test.progan.s0.npz"
    for content in (b"", b"PK\x03\x04 junk", kept.read_bytes()[:200]):
        kept.write_bytes(content)
        pd.testing.assert_frame_equal(compute(images, omega, store), first)
        assert "is damaged" in capsys.readouterr().err


def test_what_is_missing_is_named(store: results.Store, omega: ffrs.Omega, tmp_path: Path) -> None:
    images = pictures(tmp_path / "progan", 2)
    with pytest.raises(ValueError, match=r"no omega for tiny-test with seed 1.*found \[0\]"):
        sensitivity.scores("tiny-test", [1], images, {0: omega}, store=store, progress=False)
    with pytest.raises(ValueError, match="no training seeds of tiny-test"):
        sensitivity.scores("tiny-test", [], images, {}, store=store, progress=False)
    other = ffrs.Omega({"conv1": np.ones(8)}, count=1)
    with pytest.raises(ValueError, match="no layer 'conv1'"):
        compute(images, ffrs.Omega({**other.values, "x": np.zeros(8)}, count=1), store)


def simulated(
    shift: dict[str, float], seeds: int = 2, n: int = 60, draws: int = 4, noise: float = 0.1
) -> pd.DataFrame:
    """Scores in which each condition separates the labels by its own ``shift``."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], n)
    frames = []
    for seed in range(seeds):
        base = rng.normal(size=2 * n)
        for condition, by in shift.items():
            for draw in range(draws if condition in ("random-k", "matched-k") else 1):
                logit = base + by * label + noise * rng.normal(size=2 * n)
                frames.append(
                    pd.DataFrame(
                        {
                            "detector": "d",
                            "generator": "g",
                            "seed": seed,
                            "condition": condition,
                            "draw": draw,
                            "k": 0 if condition == "baseline" else 7,
                            "image": [f"{i:03d}.png" for i in range(2 * n)],
                            "label": label,
                            "logit": logit,
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


FULL = {"baseline": 3.0, "top-k": 0.5, "low-k": 3.0, "random-k": 2.9, "matched-k": 2.0}


def test_table_agrees_with_scikit_learn_and_both_thresholds() -> None:
    frame = simulated(FULL)
    thresholds = {0: 1.0, 1: -0.5}
    table = sensitivity.table(frame, thresholds, resamples=100)
    assert len(table) == 2 * 2 * (3 + 4 + 1 + 4)
    columns = (
        "detector,generator,condition,seed,draw,k,ap,ap_low,ap_high,acc_real,acc_fake,n_real,n_fake,"
        "threshold,threshold_source"
    )
    assert ",".join(table.columns) == columns
    for _, row in table[table["condition"] != "random-k-ensemble"].iterrows():
        picked = (frame["seed"] == row["seed"]) & (frame["condition"] == row["condition"])
        own = frame[picked & (frame["draw"] == row["draw"])]
        assert row["ap"] == pytest.approx(average_precision_score(own["label"], own["logit"]), abs=1e-12)
        assert row["ap_low"] <= row["ap"] <= row["ap_high"]
        base = frame[(frame["seed"] == row["seed"]) & (frame["condition"] == "baseline")]
        threshold = (
            thresholds[row["seed"]]
            if row["threshold_source"] == "validation"
            else metrics.gmean_threshold(base["label"], base["logit"])
        )
        assert row["threshold"] == threshold
        reals, fakes = own[own["label"] == 0]["logit"], own[own["label"] == 1]["logit"]
        assert row["acc_real"] == (reals < threshold).mean()
        assert row["acc_fake"] == (fakes >= threshold).mean()
    assert set(table["n_real"]) == set(table["n_fake"]) == {60}
    shuffled = sensitivity.table(frame.sample(frac=1, random_state=0), thresholds, resamples=100)
    pd.testing.assert_frame_equal(shuffled, table)
    with pytest.raises(ValueError, match=r"no threshold for seed 1.*found \[0\]"):
        sensitivity.table(frame, {0: 1.0}, resamples=10)


def test_ensemble_is_the_mean_probability() -> None:
    frame = simulated(FULL, seeds=1)
    made = sensitivity.ensemble(frame)
    drawn = frame[frame["condition"] == "random-k"].assign(p=lambda f: 1 / (1 + np.exp(-f["logit"])))
    expected = drawn.groupby("image")["p"].mean()
    found = made.set_index("image")["logit"]
    assert np.allclose(1 / (1 + np.exp(-found)), expected[found.index])
    assert set(made["condition"]) == {"random-k-ensemble"}
    extreme = frame.assign(logit=np.where(frame["label"] == 1, 1e4, -1e4))
    assert np.isfinite(sensitivity.ensemble(extreme)["logit"]).all()


def test_contrast_sees_what_is_there_and_nothing_where_nothing_is() -> None:
    contrast = sensitivity.contrast(simulated(FULL), resamples=300).set_index(["contrast", "seed"])
    assert set(contrast.index.get_level_values("seed")) == {"0", "1", "all"}
    for name in ("matched-k", "random-k", "baseline"):
        for seed in ("0", "1", "all"):
            row = contrast.loc[(f"top-k - {name}", seed)]
            assert row["low"] <= row["delta_ap"] <= row["high"] < 0
            assert row["n_draws"] == (1 if name == "baseline" else 4)
    frame = simulated(FULL)
    own = {
        c: [average_precision_score(f["label"], f["logit"]) for _, f in frame[frame["seed"] == 0]
            .query("condition == @c").groupby("draw")]
        for c in ("top-k", "matched-k")
    }  # fmt: skip
    expected = own["top-k"][0] - np.mean(own["matched-k"])
    assert contrast.loc[("top-k - matched-k", "0"), "delta_ap"] == pytest.approx(expected, abs=1e-12)
    # what the controls lose against the whole network
    for name, draws in (("random-k", 4), ("low-k", 1)):
        own |= {
            c: [average_precision_score(f["label"], f["logit"]) for _, f in frame[frame["seed"] == 0]
                .query("condition == @c").groupby("draw")]
            for c in (name, "baseline")
        }  # fmt: skip
        row = contrast.loc[(f"{name} - baseline", "0")]
        assert row["delta_ap"] == pytest.approx(np.mean(own[name]) - own["baseline"][0], abs=1e-12)
        assert row["low"] <= row["delta_ap"] <= row["high"]
        assert row["n_draws"] == draws
    equal = simulated(dict.fromkeys(FULL, 1.5))
    nothing = sensitivity.contrast(equal, resamples=300)
    assert ((nothing["low"] <= 0.01) & (nothing["high"] >= -0.01)).all()


def test_contrast_is_paired_and_counts_the_spread_over_draws() -> None:
    paired = sensitivity.contrast(simulated(FULL, seeds=1, noise=0.0), resamples=300)
    row = paired[paired["contrast"] == "top-k - matched-k"].iloc[0]
    frame = simulated(FULL, seeds=1, noise=0.0)
    spread = frame.copy()  # now the draws differ: two lose everything, two nothing
    odd = (spread["condition"] == "matched-k") & (spread["draw"] % 2 == 1)
    spread.loc[odd, "logit"] -= 2.0 * spread.loc[odd, "label"]
    wide = sensitivity.contrast(spread, resamples=300)
    wide_row = wide[wide["contrast"] == "top-k - matched-k"].iloc[0]
    assert wide_row["high"] - wide_row["low"] > 1.5 * (row["high"] - row["low"])
    # unpaired, the two sampling errors would add up
    table = sensitivity.table(frame, {0: 0.0}, resamples=300).set_index("condition")
    width = {
        c: (table.loc[[c], "ap_high"] - table.loc[[c], "ap_low"]).iloc[0] for c in ("top-k", "matched-k")
    }
    assert row["high"] - row["low"] < np.hypot(*width.values())


def test_transfer_pools_seeds() -> None:
    frame = simulated(FULL, seeds=3)
    transfer = sensitivity.transfer(frame, {0: 1.0, 1: 1.5, 2: 2.0}, resamples=200)
    assert transfer["seed"].tolist() == ["0", "1", "2", "all"]
    pooled = transfer.iloc[-1]
    assert pooled["ap"] == pytest.approx(transfer["ap"][:3].mean())
    assert pooled["acc_fake"] == pytest.approx(transfer["acc_fake"][:3].mean())
    assert pooled["ap_low"] < pooled["ap"] < pooled["ap_high"]
    assert transfer["threshold"][:3].tolist() == [1.0, 1.5, 2.0]


def test_incomplete_scores_are_refused() -> None:
    frame = simulated(FULL)
    with pytest.raises(ValueError, match="top-k draw 0 of seed 0 has 119 scores for 120 pictures"):
        sensitivity.contrast(frame.drop(frame.index[(frame["condition"] == "top-k")][0]))
    with pytest.raises(ValueError, match="no column 'logit'"):
        sensitivity.table(frame.drop(columns="logit"), {})
    with pytest.raises(ValueError, match="scores of 2 generators"):
        sensitivity.table(pd.concat([frame, frame.assign(generator="h")]), {})
    with pytest.raises(ValueError, match="seed 0 has no baseline"):
        sensitivity.table(frame[frame["condition"] != "baseline"], {})


def test_rank_writes_both_rankings_and_says_how_many_pictures_counted(
    store: results.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(store.data("miniature", "val", "progan"), 6)
    model = tiny()
    with torch.no_grad():
        model[-1].bias.fill_(0.0)
        model[-1].weight.mul_(20)
        images = data.scan(store.data("miniature", "val", "progan"))
        logits = detectors.logits(model.eval(), data.batches(images))
        model[-1].bias.fill_(-float(np.median(logits)))
    save_file(model.state_dict(), store.detector("tiny-test", 0))
    found = sensitivity.rank("tiny-test", 0, store, confidence=0.51, device="cpu", progress=False)
    probability = 1 / (1 + np.exp(np.median(logits) - logits))
    labels = np.array(images.labels)
    for code, label in enumerate(("real", "fake")):
        sure = (probability if code else 1 - probability)[labels == code] >= 0.51
        path = store.omega("tiny-test", 0, label)
        assert results.read_json(path.with_suffix(".json"))["count"] == found[label].count == sure.sum() > 0
        again = ffrs.Omega.from_csv(path, lrp.canonize(model))
        assert again.top(K) == found[label].top(K)
    assert f"only {found['fake'].count} of 6 fake pictures" in capsys.readouterr().err


def test_rank_can_count_confidence_from_the_calibrated_threshold(store: results.Store) -> None:
    images = pictures(store.data("miniature", "val", "progan"), 6)
    logits = detectors.logits(tiny().eval(), data.batches(images))
    middle = float(np.median(logits))
    results.write_json(store.detector("tiny-test", 0).with_suffix(".json"), {"threshold": middle})
    found = sensitivity.rank(
        "tiny-test", 0, store, confidence=0.5, calibrated=True, device="cpu", progress=False
    )
    labels = np.array(images.labels)
    assert found["fake"].count == (logits[labels == 1] >= middle).sum() > 0
    assert found["real"].count == (logits[labels == 0] <= middle).sum() > 0
