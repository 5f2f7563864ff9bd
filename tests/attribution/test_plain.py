"""Linear baselines: nearest in Euclid's sense, scikit-learn's loss, and in the same tables as networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from who import network

from tff_core import attribution
from tff_core.attribution import answers, evaluation, inputs, plain, robustness, sources, weights
from tff_core.attribution.baselines import Baseline
from tff_core.attribution.sources import Pictures
from tff_core.detectors import WeightsError
from tff_core.pictures import data


def draw(folder: Path, kind: str, n: int, seed: int) -> None:
    """Noise; on it faint columns, or rows, of period 2, of another strength in every row, or column."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, len(kind)])
    wave = 8 * (-1) ** np.arange(64)
    for i in range(n):
        pixels = 128 + 25 * rng.normal(size=(64, 64, 1)) + rng.normal(size=(64, 64, 3))
        trace = wave * rng.normal(size=(64, 1))
        pixels += {"columns": trace, "rows": trace.T}.get(kind, 0 * trace)[..., None]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:02d}.png")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pictures]:
    root = tmp_path_factory.mktemp("plain")
    for seed, (part, n) in enumerate((("train", 40), ("val", 20), ("test", 20))):
        for kind in ("reals", "columns", "rows"):
            draw(root / kind / part, kind, n, seed)
    fakes = {kind: root / kind for kind in ("columns", "rows")}
    return {part: sources.collect([root / "reals"], fakes, part) for part in ("train", "val", "test")}


def spectra(images: Pictures, statistics: inputs.Statistics) -> np.ndarray:
    x = torch.stack([data.read(path) for path in images.paths])
    return inputs.seen(x, statistics).flatten(1).numpy()


def test_the_nearest_mean_is_nearest(parts: dict[str, Pictures]) -> None:
    net, statistics, chosen = plain.fit(parts["train"], parts["val"], "nearest-mean")
    x, y = spectra(parts["train"], statistics), np.array(parts["train"].sources) + 1
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)  # standardised by the training pictures
    np.testing.assert_allclose(x.std(0), 1, atol=1e-3)
    means = np.stack([x[y == c].mean(0) for c in range(3)])
    tested = spectra(parts["test"], statistics)
    distance = cdist(tested, means, "sqeuclidean")
    with torch.no_grad():
        logits = net(torch.from_numpy(tested).unflatten(1, (1, 64, 64))).numpy()
    np.testing.assert_array_equal(logits.argmax(1), distance.argmin(1))
    np.testing.assert_allclose(
        np.diff(logits, axis=1), -np.diff(distance, axis=1) * chosen["value"] / 2, rtol=1e-3, atol=1e-3
    )
    # no other sharpness is better on validation pictures
    held, truth = spectra(parts["val"], statistics), np.array(parts["val"].sources) + 1
    own = -cdist(held, means, "sqeuclidean") / 2
    losses = [
        log_loss(truth, torch.softmax(torch.from_numpy(own * v * chosen["value"]), 1)) for v in (0.8, 1, 1.25)
    ]
    assert losses[1] == min(losses) and chosen["validation"] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("names", [("columns", "rows"), ("rows",)], ids=len)
def test_the_logistic_regression_is_scikit_learns_with_validations_penalty(
    parts: dict[str, Pictures], names: tuple[str, ...]
) -> None:
    train, val = (only(parts[part], names) for part in ("train", "val"))
    found = plain.fit(train, val, strengths=(1e-5, 1e-2, 1e-4))
    x, y = spectra(train, found.statistics), np.array(train.sources) + 1
    held, truth = spectra(val, found.statistics), np.array(val.sources) + 1
    losses = {}
    for strength in (1e-5, 1e-4, 1e-2):
        p = LogisticRegression(C=strength, max_iter=1000).fit(x, y).predict_proba(held)
        losses[strength] = log_loss(truth, p)
        assert found.chosen["tried"][f"{strength:g}"] == pytest.approx(losses[strength], rel=5e-3)
    best = min(losses, key=lambda strength: losses[strength])
    assert found.chosen["value"] == best and found.chosen["converged"]
    assert found.chosen["at_edge"] == (best != 1e-4)
    p = LogisticRegression(C=best, max_iter=1000).fit(x, y).predict_proba(held)
    frame = answers.attribute(found.net, list(val.paths), found.statistics)
    np.testing.assert_allclose(frame["fake"], 1 - p[:, 0], atol=5e-3)
    for i, name in enumerate(names):
        np.testing.assert_allclose(frame[f"p {name}"], p[:, 1 + i], atol=5e-3)


def only(images: Pictures, names: tuple[str, ...]) -> Pictures:
    """Reals and these sources."""
    of = {images.names.index(name): i for i, name in enumerate(names)} | {sources.REAL: sources.REAL}
    kept = [(path, of[s]) for path, s in zip(images.paths, images.sources, strict=True) if s in of]
    return Pictures(tuple(path for path, _ in kept), tuple(s for _, s in kept), names)


@pytest.mark.parametrize("how", ["logistic", "nearest-mean"])
def test_they_are_in_the_same_tables_as_networks(
    how: str, parts: dict[str, Pictures], tmp_path: Path
) -> None:
    net, statistics, _ = plain.fit(parts["train"], parts["val"], how)
    weights.save(net, tmp_path / "plain.safetensors", statistics)
    loaded = weights.load([tmp_path / "plain.safetensors"])
    assert isinstance(loaded.net, Baseline) and loaded.net.name == how and not loaded.net.training
    found = evaluation.evaluate(loaded.net, parts["test"], loaded.statistics)
    assert found.facts["known"]["share"] > 0.8 and found.facts["contradictions"]["share"] == 0
    assert found.sources["name"].tolist() == ["detection", "columns", "rows"]
    gated, raw = (found.confusion[found.confusion["way"] == way] for way in evaluation.WAYS)
    unnamed = gated["answer"].isin(["real", "none of these"])
    assert gated.loc[~unnamed, "n"].sum() == raw.loc[raw["answer"] != "real", "n"].sum()
    hurt = robustness.measure(loaded.net, parts["test"], loaded.statistics, {"blur": (9,)}).table
    assert hurt.set_index(["operation", "measure"])["change"]["blur", "accuracy"] < -0.2
    p = found.pictures
    np.testing.assert_allclose(p["p columns"] + p["p rows"], p["fake"], atol=1e-9)


def test_a_softmax_is_exact_where_it_saturates() -> None:
    net = attribution.baseline("logistic", "dct", 64, names=("a", "b"))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.body[-1].bias.copy_(torch.tensor([60.0, 0.0, 1.0]))  # type: ignore[index]
        p = net.probabilities(torch.zeros(1, 1, 64, 64))[0]
    assert p[0].item() == pytest.approx((1 + np.e) * np.exp(-60.0))
    assert p[1:].tolist() == pytest.approx([np.exp(-60.0), np.exp(-59.0)])


def test_what_cannot_be_fitted_is_refused(parts: dict[str, Pictures], tmp_path: Path) -> None:
    train, val = parts["train"], parts["val"]
    for more, told in (
        ({"how": "forest"}, "no plain network 'forest': expected one of logistic, nearest-mean"),
        ({"strengths": ()}, "expected one or more, each above 0"),
        ({"size": 63}, "size is 63"),
    ):
        with pytest.raises(ValueError, match=told):
            plain.fit(train, val, **more)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="columns, rows for training and rows for validation"):
        plain.fit(train, only(val, ("rows",)))
    with pytest.raises(data.PictureError, match="64x64 pixels: expected 72x72"):
        plain.fit(train, val, size=72)
    with pytest.raises(ValueError, match="expected kind 'dct', found 'pixel'"):
        attribution.baseline("logistic")
    path = tmp_path / "net.safetensors"
    weights.save(network("dct"), path, inputs.Statistics(np.zeros((64, 64)), np.ones((64, 64))))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"sources", b"network", 1))
    with pytest.raises(WeightsError, match="holds no attribution network"):
        weights.load([path])
