"""Training who made it: the primary first, then untouched; each source for itself; resumable to the bit."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from who import draw

from tff_core.attribution import answers, runs, training, weights
from tff_core.attribution.training import REAL, Config
from tff_core.cli import main
from tff_core.detectors import WeightsError
from tff_core.pictures import data
from tff_core.store import resuming

# many large steps on few pictures: the running statistics follow slowly, as in Keras; six of six seeds learn
SETTINGS = Config(detection_rate=2e-2, attribution_rate=2e-2, batch_size=12, max_epochs=45, patience=45)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("who")
    for kind in ("reals", "columns", "rows", "both"):
        for part, n in (("train", 16), ("val", 8), ("test", 8)):
            draw(folder, part, kind, n, 0)
    return folder


def collected(root: Path, *names: str) -> tuple[training.Pictures, training.Pictures]:
    fakes = {name: root / name for name in names}
    train, val = (training.collect([root / "reals"], fakes, part) for part in ("train", "val"))
    return train, val


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("net") / "two.safetensors"
    images, held_out = collected(root, "columns", "rows")
    training.train(images, held_out, path, size=64, settings=SETTINGS, progress=False)
    torch.set_num_threads(before)
    return path


@pytest.mark.slow
def test_it_learns_to_detect_and_to_name(trained: Path, root: Path) -> None:
    net, statistics = weights.load([trained])
    assert net.names == ("columns", "rows") and statistics is None and not net.training
    for kind, expected in (("reals", "real"), ("columns", "columns"), ("rows", "rows")):
        frame = answers.attribute(net, sorted((root / kind / "test").iterdir()))
        assert (frame["decision"] == expected).mean() >= 7 / 8, (kind, frame["decision"].tolist())


@pytest.mark.slow
def test_the_primary_is_what_detection_left(root: Path, tmp_path: Path) -> None:
    """To the last bit, running statistics included: attribution does not touch it."""
    images, held_out = collected(root, "columns", "rows")
    settings = replace(SETTINGS, max_epochs=3)
    whole = training.train(
        images, held_out, tmp_path / "b.safetensors", size=64, settings=settings, progress=False
    )
    kept = {}

    class Stopped(Exception):
        pass

    begin = runs.Modules.begin

    def noted(self: runs.Modules, phase: int) -> None:
        begin(self, phase)
        if phase == 1:
            kept.update({name: value.clone() for name, value in self.net.primary.state_dict().items()})
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.Modules, "begin", noted)
        with pytest.raises(Stopped):
            training.train(
                images, held_out, tmp_path / "a.safetensors", size=64, settings=settings, progress=False
            )
    after = weights.load([whole]).net.primary.state_dict()
    assert kept.keys() == after.keys() and all(torch.equal(kept[name], after[name]) for name in kept)


class Ended(Exception):
    """The process was killed here."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_an_interrupted_training_ends_in_the_same_bits(
    kind: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, held_out = collected(root, "columns", "rows")
    settings = replace(SETTINGS, max_epochs=3, augment=("blur", "jpeg"), checkpoint_steps=2)
    whole = training.train(
        images, held_out, tmp_path / "whole.safetensors", kind, 64, settings, progress=False
    )
    save, path = resuming.save, tmp_path / "stopped.safetensors"
    stops = [1, 3, 1, 2, 2]

    def stopping(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        stops[0] -= 1
        if stops[0] == 0:
            raise Ended

    monkeypatch.setattr(resuming, "save", stopping)
    while stops:
        with pytest.raises(Ended):
            training.train(images, held_out, path, kind, 64, settings, progress=False)
        stops.pop(0)
        if not stops:
            break
    monkeypatch.setattr(resuming, "save", save)
    training.train(images, held_out, path, kind, 64, settings, progress=False)
    assert path.read_bytes() == whole.read_bytes()
    a, b = (json.loads(one.with_suffix(".json").read_text()) for one in (whole, path))
    assert a["history"] == b["history"] and a["best"] == b["best"]
    assert {one.name for one in tmp_path.iterdir()} == {
        "whole.safetensors", "whole.json", "stopped.safetensors", "stopped.json",
    }  # fmt: skip
    stamp = path.stat().st_mtime_ns
    training.train(images, held_out, path, kind, 64, settings, progress=False)
    assert path.stat().st_mtime_ns == stamp
    assert (weights.load([path]).statistics is None) == (kind == "pixel")


@pytest.mark.slow
def test_a_new_source_gets_a_module_and_changes_no_other(trained: Path, root: Path, tmp_path: Path) -> None:
    images, held_out = collected(root, "rows", "both", "columns")  # in another order
    more = tmp_path / "more.safetensors"
    settings = replace(SETTINGS, max_epochs=2)
    training.train(images, held_out, more, settings=settings, start=trained, progress=False)
    before, after = weights.load([trained]).net, weights.load([more]).net
    assert after.names == ("rows", "both", "columns")
    pairs = [(before.primary, after.primary)]
    pairs += [
        (before.secondaries[i], after.secondaries[after.names.index(n)]) for i, n in enumerate(before.names)
    ]
    for one, other in pairs:
        a, b = one.state_dict(), other.state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert list(json.loads(more.with_suffix(".json").read_text())["best"]) == ["both"]
    with pytest.raises(ValueError, match=r"expected pictures of all of these and of a new source$"):
        training.train(*collected(root, "rows", "columns"), tmp_path / "x.safetensors", start=trained)
    with pytest.raises(ValueError, match="a new source; columns has none"):
        training.train(*collected(root, "rows", "both"), tmp_path / "x.safetensors", start=trained)


@pytest.mark.slow
def test_every_module_stops_for_itself_and_keeps_its_best(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, held_out = collected(root, "columns", "rows")
    path = tmp_path / "net.safetensors"
    settings = replace(SETTINGS, max_epochs=8, patience=1)
    training.train(images, held_out, path, size=64, settings=settings, progress=False)
    info = json.loads(path.with_suffix(".json").read_text())
    for phase, names in (("detection", ["primary"]), ("attribution", ["columns", "rows"])):
        for name in names:
            seen = [entry[name]["validation"] for entry in info["history"][phase] if name in entry]
            best = info["best"][name]
            assert seen[best - 1] == min(seen)
            assert len(seen) == best + 1 or len(seen) == 8  # one more without a better one, then it stopped


@pytest.mark.slow
def test_what_cannot_be_trained_on_is_named(root: Path, tmp_path: Path) -> None:
    reals, out = [root / "reals"], tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match=r"gone.*is no folder"):
        training.collect(reals, {"a": root / "gone"}, "train")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="has no pictures"):
        training.collect(reals, {"a": tmp_path / "empty"}, "train")
    with pytest.raises(ValueError, match="no source was named"):
        training.collect(reals, {}, "train")
    with pytest.raises(ValueError, match="no folder of reals"):
        training.collect([], {"rows": root / "rows"}, "train")
    images, held_out = collected(root, "rows")
    with pytest.raises(ValueError, match="sources rows for training and columns, rows for validation"):
        training.train(images, collected(root, "columns", "rows")[1], out)
    with pytest.raises(data.PictureError, match=r"\d\d.png: 64x64 pixels: expected 128x128"):
        training.train(images, held_out, out, size=128, progress=False)
    with pytest.raises(ValueError, match="patience is 0: expected at least 1"):
        replace(SETTINGS, patience=0)
    with pytest.raises(ValueError, match="unknown augmentation 'rain'"):
        replace(SETTINGS, augment=("rain",))
    assert set(training.collect(reals, {"rows": root / "rows"}, "val").sources) == {REAL, 0}


@pytest.mark.slow
def test_damaged_weights_are_refused(trained: Path, tmp_path: Path) -> None:
    content = trained.read_bytes()
    for name, damaged in (("cut", content[:-9]), ("text", b"nothing"), ("empty", b"")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"holds no attribution network.*train it again"):
            weights.load([path])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        weights.load([tmp_path / "gone.safetensors"])
    with pytest.raises(ValueError, match="is a whole network: expected it alone"):
        weights.load([trained, trained])


@pytest.mark.slow
def test_three_commands_lead_from_folders_to_names(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, rows = tmp_path / "net.safetensors", tmp_path / "rows.csv"
    given = ["--reals", str(root / "reals"), "--source", f"columns={root / 'columns'}"]
    short = ["--max-epochs", "2", "--batch-size", "16", "--quiet"]
    assert main(["attribute-train", *given, "--kind", "dct", "--out", str(net), *short]) == 0
    assert capsys.readouterr().out.strip() == str(net)
    code = main(["attribute", str(root / "columns" / "test"), "--weights", str(net), "--out", str(rows)])
    assert code == 0 and list(pd.read_csv(rows)["p columns"].between(0, 1)) == [True] * 8
    capsys.readouterr()
    more = ["--source", f"rows={root / 'rows'}", "--start", str(net), "--json"]
    assert main(["attribute-train", *given, *more, "--out", str(tmp_path / "more.safetensors"), *short]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["sources"] == ["columns", "rows"] and list(facts["best"]) == ["rows"]
    before, after = (weights.load([path]).net.state_dict() for path in (net, facts["weights"]))
    assert all(torch.equal(after[name], value) for name, value in before.items()) and len(after) > len(before)
    for wrong, told in (
        ([*given, *more, "--kind", "pixel"], "is of kind 'dct': expected no other, found 'pixel'"),
        ([*given, "--source", "x"], "x: expected NAME=DIR"),
        ([*given, *given[2:]], "expected a name of its own for each"),
        ([*given, "--size", "63"], "size is 63: expected the side"),
    ):
        with pytest.raises(SystemExit) if "NAME" in told else contextlib.nullcontext():
            assert main(["attribute-train", *wrong, "--out", str(tmp_path / "b.safetensors"), *short]) == 2
        assert told in capsys.readouterr().err
