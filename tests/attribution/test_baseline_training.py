"""Training baselines: losses of a loop written out, resumable to the bit, plain ones by the same command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional
from who import draw, network

from tff_core import attribution
from tff_core.attribution import answers, evaluation, inputs, sources, training, weights
from tff_core.attribution.baselines import Baseline
from tff_core.attribution.sources import Pictures
from tff_core.attribution.training import Config
from tff_core.cli import main
from tff_core.pictures import data
from tff_core.store import resuming

KINDS = ("reals", "columns", "rows")
SETTINGS = Config(detection_rate=2e-3, attribution_rate=2e-3, batch_size=48, max_epochs=3, patience=3)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baselines")
    for kind in KINDS:
        for part, n in (("train", 16), ("val", 8), ("test", 8)):
            draw(folder, part, kind, n, 0)
    return folder


def collected(root: Path, part: str) -> Pictures:
    return sources.collect([root / "reals"], {name: root / name for name in KINDS[1:]}, part)


def trained(root: Path, path: Path, settings: Config = SETTINGS, **more: object) -> Path:
    return training.train(
        collected(root, "train"), collected(root, "val"), path, size=64, settings=settings, progress=False,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "mode"),
    [
        ("gandct-conv", "pixel", "multiclass"), ("gandct-conv", "dct", "detection"),
        ("ganfp-postpool", "pixel", "multiclass"), ("notl", "dct", "multiclass"),
    ],
)  # fmt: skip
def test_losses_are_those_of_a_loop_written_out(
    name: str, kind: str, mode: str, root: Path, tmp_path: Path
) -> None:
    path = trained(root, tmp_path / "net.safetensors", kind=kind, network=name, mode=mode, seed=5)
    info = json.loads(path.with_suffix(".json").read_text())
    images, held_out = collected(root, "train"), collected(root, "val")
    pixels, watched = (torch.stack([data.read(p) for p in part.paths]) for part in (images, held_out))
    statistics = inputs.measure([pixels]) if kind == "dct" else None
    x, seen = inputs.seen(pixels, statistics), inputs.seen(watched, statistics)
    y, truth = (torch.tensor(part.sources) + 1 for part in (images, held_out))
    names = KINDS[1:] if mode == "multiclass" else ()
    net = attribution.baseline(name, kind, 64, seed=5, names=names)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = net(x)
        if mode == "multiclass":
            return functional.nll_loss(torch.log_softmax(logits, 1), y)
        return -functional.logsigmoid(torch.where(y > 0, 1, -1) * logits[:, 0]).mean()

    optimizer = torch.optim.Adam(net.parameters(), 2e-3, eps=1e-7)
    for entry in info["history"][mode]:
        net.train()
        one = loss(x, y)
        optimizer.zero_grad()
        one.backward()
        optimizer.step()
        assert entry["network"]["loss"] == pytest.approx(one.item(), rel=1e-4)
        with torch.no_grad():
            net.eval()
            assert entry["network"]["validation"] == pytest.approx(loss(seen, truth).item(), rel=1e-3)
    assert info["history"][mode][0]["network"]["loss"] == pytest.approx(math.log(3 if names else 2), abs=0.1)
    loaded = weights.load([path])
    assert isinstance(loaded.net, Baseline) and (loaded.net.name, loaded.net.names) == (name, names)
    assert (loaded.statistics is None) == (kind == "pixel")


@pytest.mark.slow
def test_a_softmax_over_sources_learns_to_name_them(root: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, attribution_rate=5e-3, batch_size=12, max_epochs=40, patience=40)
    path = trained(root, tmp_path / "net.safetensors", settings, network="notl")
    found = evaluation.evaluate(weights.load([path]).net, collected(root, "test"))
    assert found.facts["known"]["share"] >= 7 / 8, found.pictures[["truth", "decision"]]
    assert found.facts["contradictions"]["share"] == 0


class Ended(Exception):
    """The process was killed here."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), [("gandct-conv", "multiclass"), ("ganfp-postpool", "detection")])
def test_an_interrupted_training_ends_in_the_same_bits(
    name: str, mode: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, batch_size=20, augment=("blur", "noise"), checkpoint_steps=2)
    whole = trained(root, tmp_path / "whole.safetensors", settings, network=name, mode=mode)
    save, path, saved = resuming.save, tmp_path / "stopped.safetensors", []

    def stopping(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        saved.append(arguments)
        raise Ended

    monkeypatch.setattr(resuming, "save", stopping)
    for _ in range(4):
        with pytest.raises(Ended):
            trained(root, path, settings, network=name, mode=mode)
    trained(root, path, settings, network=name, mode=mode)
    assert path.read_bytes() == whole.read_bytes() and len(saved) == 4
    a, b = (json.loads(one.with_suffix(".json").read_text()) for one in (whole, path))
    assert a["history"] == b["history"] and a["best"] == b["best"] and set(a["best"]) == {"network"}
    assert {one.name for one in tmp_path.iterdir()} == {
        "whole.safetensors", "whole.json", "stopped.safetensors", "stopped.json",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["logistic", "gandct-conv"])
def test_what_is_finished_is_left_alone_and_settings_make_another(
    name: str, root: Path, tmp_path: Path
) -> None:
    path = trained(root, tmp_path / "net.safetensors", network=name)
    stamp = path.stat().st_mtime_ns
    trained(root, path, network=name)
    assert path.stat().st_mtime_ns == stamp
    trained(root, path, network=name, seed=1)
    assert path.stat().st_mtime_ns > stamp
    info = json.loads(path.with_suffix(".json").read_text())
    assert (info["network"], info["mode"], info["sources"]) == (name, "multiclass", list(KINDS[1:]))
    assert ("chosen" in info) == (name == "logistic") and info["kind"] == (
        "dct" if name == "logistic" else "pixel"
    )


def test_another_network_or_mode_is_another_training(root: Path, tmp_path: Path) -> None:
    path, settings, seen = tmp_path / "net.safetensors", replace(SETTINGS, max_epochs=1), set()
    for name, mode in (("notl", "multiclass"), ("notl", "detection"), ("gandct-conv", "detection")):
        trained(root, path, settings, network=name, mode=mode)
        info = json.loads(path.with_suffix(".json").read_text())
        assert (info["network"], info["mode"]) == (name, mode)
        seen.add(info["key"])
    assert len(seen) == 3


def test_detection_alone_answers_real_or_fake(root: Path, tmp_path: Path) -> None:
    path = trained(root, tmp_path / "net.safetensors", network="notl", mode="detection")
    frame = answers.attribute(weights.load([path]).net, list(collected(root, "test").paths))
    assert set(frame["decision"]) <= {"real", "fake"} and "claimed" not in frame
    assert frame["fake"].between(0, 1).all()


def test_the_commands_take_baselines_and_architectures(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def given(part: str) -> list[str]:
        named = zip(("fine_one", "fine_two"), KINDS[1:], strict=True)
        return [
            "--reals", str(root / "reals" / part), "--architecture",
            *(text for name, kind in named for text in ("--source", f"{name}={root / kind / part}")),
        ]  # fmt: skip

    net, out = tmp_path / "net.safetensors", tmp_path / "out"
    short = ["--max-epochs", "1", "--batch-size", "24", "--attribution-rate", "0.002"]
    assert main(["attribute-train", *given(""), "--network", "nearest-mean", "--out", str(net)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(net) and "on validation pictures" in said.err
    assert main(["attribute-test", *given("test"), "--weights", str(net), "--out", str(out)]) == 0
    assert pd.read_csv(out / "sources.csv")["name"].tolist() == ["detection", "fine"]
    assert pd.read_csv(out / "pictures.csv")["truth"].value_counts().to_dict() == {"fine": 16, "real": 8}
    capsys.readouterr()
    again = ["attribute-train", *given(""), "--network", "gandct-conv", "--mode", "multiclass", "--json"]
    assert main([*again, *short, "--out", str(net)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["network"], told["mode"], told["sources"]) == ("gandct-conv", "multiclass", ["fine"])
    for more, message in (
        (["--network", "resnet"], "no network 'resnet': expected one of modules, gandct-conv"),
        (["--mode", "multiclass"], "modules in mode 'multiclass': expected one-vs-rest; for one softmax"),
        (["--network", "notl", "--mode", "one-vs-rest"], "expected multiclass or detection"),
        (["--network", "logistic", "--kind", "pixel"], "expected kind 'dct'"),
        (["--network", "logistic", "--augment", "blur"], "expected no augmentation"),
        (["--network", "notl", "--start", str(net)], "has no modules to keep"),
        (["--start", str(net)], "found gandct-conv, which has none"),
        (["--attribution-rate", "0"], "attribution_rate is 0.0: expected a learning rate above 0"),
    ):
        assert main(["attribute-train", *given(""), *more, "--out", str(tmp_path / "b.safetensors")]) == 2
        assert message in capsys.readouterr().err, more
    assert not (tmp_path / "b.safetensors").exists()


def test_probabilities_of_modules_are_what_they_were() -> None:
    net = network()
    x = 2 * torch.rand(3, 3, 64, 64) - 1
    with torch.no_grad():
        out, p = net(x), net.probabilities(x)
    np.testing.assert_allclose(p[:, 0], torch.sigmoid(out.detection.double()))
    np.testing.assert_allclose(p[:, 1:], torch.sigmoid(out.attribution.double()))
