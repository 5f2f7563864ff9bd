"""The command line: immediate help, exit codes, rows that say what the network says, a book that grows."""

import csv
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tff_core import detectors, localization, lrp
from tff_core.cli import common, main, parser, workflow
from tff_core.detectors import judge
from tff_core.features.ffrs import Omega
from tff_core.pictures import data
from tff_core.store import results

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "doctor", "detect", "explain", "check", "add", "run", "train", "rank", "sensitivity", "patches", "color",
    "median",
)  # fmt: skip


def tiny(logits: int = 1) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, logits),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> results.Store:
    """A build folder with the pictures and the description of a detector that takes no time."""
    made = results.Store(tmp_path / "build")
    monkeypatch.setenv("TFF_BUILD", str(made.root))
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 3, tiny))
    monkeypatch.setitem(detectors.REGISTRY, "tiny-test", detectors.Spec("tiny-test", "tiny"))
    monkeypatch.setattr(common, "DEFAULT", "tiny-test")
    path = made.detector("tiny-test", 0)
    path.parent.mkdir(parents=True)
    save_file(tiny().state_dict(), path)
    for part, generator in (("test", "progan"), ("val", "progan")):
        pictures(made.data("miniature", part, generator))
    images = data.scan(made.data("miniature", "test", "progan"))
    logits = detectors.logits(tiny().eval(), data.batches(images))
    middle = float(np.median(logits))
    results.write_json(
        path.with_suffix(".json"), {"threshold": middle, "abstain": [middle - 1e-3, middle + 1e-3]}
    )
    return made


def pictures(root: Path, n: int = 6, size: int = 16, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for label in data.LABELS:
        (root / label).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(
                root / label / f"{i}.png"
            )
    return root


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_help_is_immediate_and_loads_nothing_heavy() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "tff_core.cli", "--help"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert set(COMMANDS) <= set(done.stdout.split())
    assert min(spent) <= 0.5  # processor seconds: the clock also measures what else runs here
    probe = (
        "import sys, tff_core.cli as cli; cli.parser(); "
        "print([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and f"tff {name}" in text.split("examples:")[1] and "--json" in text


def test_wrong_options_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["nonsense"], ["detect"], ["detect", "x", "--batch-size", "0"], ["check", "--no"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
    assert parser().parse_args(["detect", "x"]).detector == common.DEFAULT


def test_the_top_maps_of_a_network_without_a_number_are_the_papers_share(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, labelled = tmp_path / "w.pth", pictures(tmp_path / "set")
    state = tiny().state_dict()
    logits = detectors.logits(tiny().eval(), data.batches(data.scan(labelled)))
    state["7.weight"] *= 1e4  # sure of both labels
    state["7.bias"] = (state["7.bias"] - float(np.median(logits))) * 1e4
    torch.save(state, weights)
    network = ["--weights", str(weights), "--arch", f"{__name__}:tiny", "--data", str(labelled)]
    assert main(["rank", *network, "--out", str(tmp_path), "--confidence", "0.5", "--json"]) == 0
    captured = capsys.readouterr()
    assert [row["label"] for row in json.loads(captured.out)["rows"]] == ["real", "fake"]
    assert "top 1 of 10 feature maps, 0.5% as in the paper; --k changes that" in captured.err
    ranking = ["--omega", str(tmp_path / "w-fake.csv")]
    assert main(["median", *network, *ranking]) == 0
    assert len(rows(capsys.readouterr().out)) == 2
    assert main(["patches", *network, *ranking, "--out", str(tmp_path / "p.html")]) == 0
    capsys.readouterr()
    # more maps than there are: said before a picture is looked at
    for command in ("median",):
        assert main([command, *network, *ranking, "--k", "99"]) == 2
        assert "99" in capsys.readouterr().err


def test_a_network_that_cannot_be_made_ends_with_2(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, picture = tmp_path / "w.pth", str(pictures(tmp_path / "set", n=1) / "0_real" / "0.png")
    state = tiny().state_dict()
    torch.save({"state_dict": {**state, "0.weight": torch.zeros(6, 6, 3, 3)}}, weights)
    for arch, reason in (
        ("torchvision.models:resnet", "resnet is a module"),
        ("torch.nn:Linear", "needs the arguments in_features, out_features"),
        (f"{__name__}:tiny", "has shape (6, 6, 3, 3), expected (6, 3, 3, 3) (the file's network takes 6"),
    ):
        assert main(["detect", picture, "--weights", str(weights), "--arch", arch]) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1 and "unexpected" not in error


def test_detect_says_what_the_network_says(store: results.Store, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store.data("miniature", "test", "progan")
    assert main(["detect", str(folder)]) == 0
    captured = capsys.readouterr()
    found = rows(captured.out)
    images = data.scan(folder)
    logits = detectors.logits(tiny().eval(), data.batches(images))
    assert [row["path"] for row in found] == [str(path) for path in images.paths]
    assert np.allclose([float(row["logit"]) for row in found], logits, atol=1e-5)
    assert np.allclose([float(row["probability"]) for row in found], 1 / (1 + np.exp(-logits)), atol=1e-6)
    threshold = json.loads(store.detector("tiny-test", 0).with_suffix(".json").read_text())["threshold"]
    rule = judge.Rule(threshold, threshold - 1e-3, threshold + 1e-3, "")
    assert [row["decision"] for row in found] == [rule.decide(x) for x in logits]
    assert {row["stable"] for row in found} <= {"True", "False"}
    assert "12 pictures:" in captured.err and "miniature pictures" in captured.err


def test_decisions_at_the_threshold_and_in_the_zone() -> None:
    rule = judge.Rule(1.0, 0.5, 2.0, "")
    assert [rule.decide(x) for x in (-9, 0.5, 0.6, 1.0, 1.9, 2.0, 9)] == [
        "real", "real", "unsure", "unsure", "unsure", "fake", "fake",
    ]  # fmt: skip
    sharp = judge.Rule(1.0, 1.0, 1.0, "")
    assert [sharp.decide(x) for x in (0.999, 1.0)] == ["real", "fake"]


def test_stability_decides_again_after_jpeg(tmp_path: Path) -> None:
    pictures(tmp_path / "set", n=8)
    paths, _ = judge.find([tmp_path / "set"])
    model = tiny().eval().requires_grad_(False)
    plain = judge.judge(model, paths, judge.Rule(0, 0, 0, ""))
    assert plain["stable"].isna().all() and "logit_jpeg95" not in plain
    rule = judge.Rule(float(plain["logit"].median()), -np.inf, -np.inf, "")
    found = judge.judge(model, paths, rule, stability=True, batch_size=3)
    for row in found.itertuples():
        pixels = data.read(row.path)[None]
        again = {}
        for quality in judge.QUALITIES:
            stream = io.BytesIO()
            Image.open(row.path).save(stream, "JPEG", quality=quality)
            pressed = torch.from_numpy(np.array(Image.open(stream))).permute(2, 0, 1)[None]
            assert torch.equal(judge.reencoded(pixels, quality), pressed)
            again[quality] = float(judge.logits_of(model, pressed, torch.device("cpu"))[0])
        assert row.logit_jpeg95 == pytest.approx(again[95], abs=1e-5)
        assert row.stable == all(rule.decide(value) == row.decision for value in again.values())
    assert found["stable"].sum() < len(found)  # noise near the threshold: some decision changes
    png = tmp_path / "again.png"
    Image.open(paths[0]).save(png)
    assert torch.equal(data.read(png), data.read(paths[0]))  # why PNG is not among the re-encodings


def test_json_and_out_and_broken_files(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "set", n=2)
    (folder / "1_fake" / "broken.png").write_bytes(b"no picture")
    (folder / "1_fake" / "notes.txt").write_text("x")
    assert main(["detect", str(folder), "--json", "--no-stability", "--quiet"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert captured.err == ""
    assert sum(found["counts"].values()) == len(found["rows"]) == 5
    assert found["counts"]["unreadable"] == 1 and found["left_out"] == [str(folder / "1_fake" / "notes.txt")]
    bad = next(row for row in found["rows"] if row["decision"] == "unreadable")
    assert "broken.png cannot be read" in bad["error"] and "logit" not in bad
    assert main(["detect", str(folder / "1_fake" / "broken.png"), "--out", str(tmp_path / "x.csv")]) == 2
    assert "unreadable: " in capsys.readouterr().err
    assert rows((tmp_path / "x.csv").read_text())[0]["decision"] == "unreadable"
    assert main(["detect", str(folder / "1_fake" / "notes.txt")]) == 2  # a named file is tried
    assert main(["detect", str(tmp_path / "nowhere.png")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["detect", str(tmp_path / "empty")]) == 2
    assert "no pictures in" in capsys.readouterr().err


def test_published_weights_are_judged_at_one_half_or_calibrated(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = torch.optim.Adam(tiny().parameters())
    torch.save(
        {"model": tiny().state_dict(), "optimizer": optimizer.state_dict(), "total_steps": 3},
        tmp_path / "blur_jpg_prob0.5.pth",
    )
    labelled = pictures(tmp_path / "labelled")
    weights = ["--weights", str(tmp_path / "blur_jpg_prob0.5.pth"), "--arch", "tiny", "--json"]
    assert main(["detect", str(labelled), *weights]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"]["logit"] == 0 and "not calibrated" in found["threshold"]["source"]
    assert {row["decision"] for row in found["rows"]} <= {"real", "fake"} and "note" not in found
    assert main(["detect", str(labelled), *weights, "--calibrate", str(labelled)]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"]["source"].startswith("calibrated on")
    assert main(["detect", str(labelled), *weights[:2]]) == 2
    assert "needs --arch" in capsys.readouterr().err


def test_a_detector_that_is_not_there_is_named_with_the_command_that_makes_it(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(pictures(tmp_path / "set"))
    assert main(["detect", place, "--seed", "7"]) == 2
    assert "--detector tiny-test --seed 7" in capsys.readouterr().err
    assert main(["detect", place, "--detector", "nonsense"]) == 2
    assert "expected one of" in capsys.readouterr().err
    assert main(["detect", place, "--device", "nonsense"]) == 2
    if not torch.cuda.is_available():
        assert main(["detect", place, "--device", "cuda"]) == 2
        assert "GPUs with a working driver" in capsys.readouterr().err


def test_pictures_of_many_sizes_stream_in_the_order_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [(8, 8), (9, 8), (8, 8), (20, 30), (9, 8), (8, 8)]
    paths = []
    for i, (width, height) in enumerate(sizes):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[-1])
    paths.insert(3, tmp_path / "gone.png")
    broken: dict[int, Exception] = {}
    seen: dict[int, torch.Tensor] = {}
    for places, pixels in data.stream(paths, 2, broken=broken):
        assert len(places) == len(pixels) <= 2
        seen |= dict(zip(places, pixels, strict=True))
    assert sorted(seen) == [0, 1, 2, 4, 5, 6] and list(broken) == [3]
    assert all(torch.equal(pixels, data.read(paths[i])) for i, pixels in seen.items())
    with pytest.raises(FileNotFoundError):
        list(data.stream(paths, 2))
    judged = judge.judge(tiny().eval(), paths, judge.Rule(0, 0, 0, ""))
    assert judged["path"].tolist() == [str(path) for path in paths]
    assert judged["width"].tolist()[4] == 20 and judged["height"].tolist()[4] == 30


def test_memory_of_the_gpu_that_runs_out_makes_batches_smaller() -> None:
    asked = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("too much")
        return x.mean((2, 3))[:, :1]

    pixels = torch.randint(0, 256, (7, 3, 4, 4), dtype=torch.uint8)
    out = judge.logits_of(forward, pixels, torch.device("cpu"))
    assert np.allclose(out, data.normalize(pixels).mean((2, 3))[:, 0].numpy(), atol=1e-6)
    assert asked[0] == 7 and max(asked[2:]) <= 3


def test_detect_says_what_it_dropped_and_judges_nothing_twice(
    store: results.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, own = np.random.default_rng(0), tmp_path / "own"
    own.mkdir()
    for name, channels in (("a", 3), ("b", 4), ("007", 4), ("NA", 3)):
        pixels = rng.integers(0, 250, (16, 16, channels), dtype=np.uint8)
        Image.fromarray(pixels).save(own / f"{name}.png")
    (own / "x").mkdir()
    (own / "__MACOSX").mkdir()
    (own / "__MACOSX" / "._a.png").write_bytes(b"x")
    (own / "link.png").symlink_to("a.png")
    monkeypatch.chdir(own)
    spellings = ["a.png", str(own / "a.png"), "./x/../a.png", "link.png"]
    assert main(["detect", *spellings]) == 0
    out, err = capsys.readouterr()
    assert [row["path"] for row in rows(out)] == ["a.png"] and "transparen" not in err
    assert main(["detect", *spellings, "."]) == 0
    out, err = capsys.readouterr()
    assert [row["path"] for row in rows(out)] == ["a.png", "007.png", "NA.png", "b.png"]
    assert {row["decision"] for row in rows(out)} <= {"fake", "real", "unsure"}
    assert "2 are transparent in parts: their transparency was dropped" in err
    assert "2 files or folders were left out" in err
    assert main(["detect", ".", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["transparent"] == 2 and told["left_out"] == ["__MACOSX", "link.png"]


def test_explain_writes_a_report(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "<b>x</b>", n=2), tmp_path / "r.html"
    (folder / "0_real" / "broken.png").write_bytes(b"x")
    assert main(["explain", str(folder), "--out", str(out), "--json", "--maps", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        len(found["pictures"]) == 4 and len(found["left_out"]) == 1 and len(found["pictures"][0]["maps"]) == 3
    )
    text = out.read_text(encoding="utf-8")
    assert "<b>x</b>" not in text and text.count("<section>") == 4 and "miniature pictures" in text
    assert main(["explain", str(folder / "0_real" / "broken.png"), "--out", str(out)]) == 2


def test_explain_shows_a_network_its_pictures_as_it_wants_them(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = pictures(tmp_path / "set", n=1) / "0_real" / "0.png"
    torch.save(tiny().state_dict(), tmp_path / "other.pth")
    own = data.Preprocessing(mean=(0.5, 0.4, 0.6), std=(0.5, 0.5, 0.5), crop=12)
    bounds, canonize = [], lrp.canonize

    def noted(model: nn.Module, **options: Any) -> lrp.Net:
        bounds.append(options.get("bounds"))
        return canonize(model, **options)

    monkeypatch.setattr(lrp, "canonize", noted)
    arguments = ["--weights", str(tmp_path / "other.pth"), "--arch", "tiny", "--json"]
    arguments += ["--preprocessing", "{mean: [0.5, 0.4, 0.6], std: [0.5, 0.5, 0.5], crop: 12}"]
    assert main(["explain", str(picture), "--out", str(tmp_path / "r.html"), *arguments]) == 0
    found = json.loads(capsys.readouterr().out)["pictures"][0]
    x = data.normalize(own.cut(data.read(picture))[None], own)
    with torch.no_grad():
        assert found["logit"] == pytest.approx(float(tiny().eval()(x)[0, 0]), abs=1e-5)
    assert bounds == [own.bounds] and "12x12 pixels" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_rank_then_the_studies(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(pictures(tmp_path / "my set", n=5))
    assert main(["median"]) == 2
    assert "make it with: tff rank --detector tiny-test --seed 0" in capsys.readouterr().err
    # a detector that is sure of both labels: its logit moves with the pictures' mean
    path = store.detector("tiny-test", 0)
    state = tiny().state_dict()
    images = data.scan(store.data("miniature", "val", "progan"))
    logits = detectors.logits(tiny().eval(), data.batches(images))
    state["7.weight"] *= 1e4
    state["7.bias"] = (state["7.bias"] - float(np.median(logits))) * 1e4
    save_file(state, path)
    assert main(["rank", "--confidence", "0.5", "--json", "--k", "4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert Path(found["fake"]["table"]) == store.omega("tiny-test", 0)
    omega = Omega.from_csv(
        store.omega("tiny-test", 0), lrp.canonize(detectors.load("tiny-test", 0, store).model)
    )
    assert [row["map"] for row in found["rows"] if row["label"] == "fake"] == [str(m) for m in omega.top(4)]
    assert main(["rank", "--data", folder]) == 2  # would replace the ranking
    assert main(["rank", "--data", folder, "--out", str(tmp_path / "r"), "--confidence", "0.5"]) == 0
    assert (tmp_path / "r" / "tiny-test-fake.csv").is_file()
    capsys.readouterr()

    assert main(["sensitivity", "--k", "2", "--n", "4", "--data", folder]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert {"baseline", "top-k", "matched-k"} <= set(table["condition"]) and set(table["n_real"]) == {4}
    assert main(["color", "--generator", "progan", "--out", str(tmp_path / "color.csv")]) == 0
    assert set(pd.read_csv(tmp_path / "color.csv")["input"]) == {"color", "gray"}
    capsys.readouterr()
    assert main(["median", "--k", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["rows"]) == 4 and {row["group"] for row in found["shares"]} == {"top-k", "matched-k"}
    out = tmp_path / "p.html"
    assert main(["patches", "--k", "3", "--ranks", "2", "--out", str(out), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["patches"]) == 6
    assert out.read_text().count("<section>") == 3
    assert main(["color", "--generator", "nonsense"]) == 2
    assert "make them with" in capsys.readouterr().err


def test_train(store: results.Store, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(store.data("miniature", "train", "progan"), n=8)
    arguments = ["train", "--seed", "3", "--n", "8", "--epochs", "1", "--batch-size", "4", "--json"]
    monkey = ["--detector", "tiny-test"]
    # validation has fewer pictures than the recipe asks for
    assert main([*arguments, *monkey]) == 2
    assert "expected at least" in capsys.readouterr().err


def test_doctor(store: results.Store, capsys: pytest.CaptureFixture[str]) -> None:
    results.write_json(
        store.data("miniature", "test", "progan") / data.MANIFEST, {"counts": {"real": 6, "fake": 6}}
    )
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["detectors"]["tiny-test"] == [0] and found["pictures"] == {
        "miniature/test/progan": "6 real, 6 fake"
    }
    assert {"what": "ranking of tiny-test, seed 0", "get": "tff rank --detector tiny-test --seed 0"} in found[
        "missing"
    ]
    assert (
        found["runs"]["detect, explain"] == "yes"
        and "ranking" in found["runs"]["sensitivity, patches, median"]
    )
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "what is missing, and how to get it" in text and "torch" in text


def test_doctor_knows_which_files_of_the_paper_are_there(
    store: results.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TFF_ASSETS", str(tmp_path / "assets"))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["paper"]) == 12 and not any(found["paper"].values())
    assert found["runs"]["make CONFIG=paper"] == "needs files of the paper"
    assert any(one["what"].startswith("12 of 12 files of the paper's grid") for one in found["missing"])
    for path in map(Path, found["paper"]):
        assert path.is_relative_to(tmp_path / "assets")
        path.mkdir(parents=True)
    assert main(["doctor"]) == 0
    assert "  make CONFIG=paper: yes" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------- add and run


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what `tff add` and `tff run` need of the project."""
    root = tmp_path / "project"
    (root / "workflow").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "workflow" / "config.yaml").write_bytes((ROOT / "workflow" / "config.yaml").read_bytes())
    monkeypatch.chdir(root)
    return root


def test_add_registers_a_generator_after_a_check(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, other = pictures(tmp_path / "pictures é"), pictures(tmp_path / "more", seed=1)
    assert main(["add", "mygan", str(folder), "--title", "My 'GAN' é"]) == 0
    assert main(["add", "other-2", str(other), "--json"]) == 0
    local = yaml.safe_load((checkout / "workflow" / "config.local.yaml").read_text(encoding="utf-8"))
    assert local == {
        "added": ["mygan", "other-2"],
        "sources": {"mygan": {"test": str(folder)}, "other-2": {"test": str(other)}},
        "names": {"mygan": "My 'GAN' é", "other-2": "other-2"},
    }
    capsys.readouterr()
    before = (checkout / "workflow" / "config.local.yaml").read_bytes()
    one = tmp_path / "one"
    (one / "0_real").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(one / "0_real" / "0.png")
    broken = pictures(tmp_path / "broken")
    (broken / "1_fake" / "x.png").write_bytes(b"x")
    for arguments, reason in (
        (["mygan", str(folder)], "already in the book"),
        (["MyGAN", str(folder)], "mygan is already in the book"),
        (["progan", str(folder)], "already in the book"),
        (["resnet50-miniature", str(folder)], "already in the book"),
        (["a/b", str(folder)], "is no name"),
        (["../up", str(folder)], "is no name"),
        (["-p", str(folder)], ""),
        (["a b", str(folder)], "is no name"),
        (["", str(folder)], "is no name"),
        (["all", str(folder)], "it stands for all generators together"),
        (["007", str(folder)], "would read it back as a number"),
        (["NA", str(folder)], "would read it back as a missing value"),
        (["new", str(tmp_path / "nowhere")], "is no folder"),
        (["new", str(one)], "only one label"),
        (["new", str(broken)], "cannot be read"),
        (["new"], "expected either DIR"),
        (["new", str(folder), "--arch", "efb0"], "belong to --weights"),
    ):
        try:
            code = main(["add", *arguments])
        except SystemExit as end:
            code = end.code
        assert code == 2
        assert reason in capsys.readouterr().err
    assert (checkout / "workflow" / "config.local.yaml").read_bytes() == before


def test_add_counts_all_classes_wherever_the_folder_is_called_from(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, group in enumerate(("cat", "dog", "007")):
        pictures(tmp_path / "mygan" / "test" / group, n=3, seed=seed)
    answers = []
    for i, (here, called) in enumerate(
        ((tmp_path, "mygan/test"), (tmp_path / "mygan" / "test", "."), (tmp_path, f"{tmp_path}/mygan/test/"))
    ):
        monkeypatch.setattr(common, "checkout", lambda _: checkout)
        monkeypatch.chdir(here)
        assert main(["add", f"mygan{i}x", called, "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [one["pictures"] for one in answers] == [{"real": 9, "fake": 9}] * 3
    local = yaml.safe_load((checkout / "workflow" / "config.local.yaml").read_text(encoding="utf-8"))
    assert {one["test"] for one in local["sources"].values()} == {str(tmp_path / "mygan" / "test")}


@pytest.mark.slow
def test_add_registers_a_detector_that_is_what_it_claims(
    checkout: Path, store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "blur_jpg_prob0.5.pth"
    torch.save({"model": tiny().state_dict(), "total_steps": 3}, path)
    assert main(["add", "wang05", "--weights", str(path), "--arch", "tiny"]) == 0
    local = yaml.safe_load((checkout / "workflow" / "config.local.yaml").read_text())
    assert local == {
        "external": {"wang05": {"weights": str(path), "arch": "tiny", "k": 3}},
        "names": {"wang05": "wang05"},
    }
    added = (checkout / "workflow" / "config.local.yaml").read_bytes()
    shape = "{resize: 24, crop: 16, mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}"
    for arguments, reason in (
        (["--arch", "resnet50"], "another network"),
        ([], "needs --arch"),
        (["--arch", "vgg"], "unknown network 'vgg'"),
        (["--arch", f"{__name__}:tiny"], "k is missing"),
        (["--arch", f"{__name__}:unruly", "--k", "2"], "ends in a tanh"),
        (["--arch", "tiny", "--preprocessing", "{crop: 0}"], "crop is 0"),
    ):
        assert main(["add", "wang06", "--weights", str(path), *arguments]) == 2
        assert reason in capsys.readouterr().err
        assert (checkout / "workflow" / "config.local.yaml").read_bytes() == added
    arguments = ["--arch", f"{__name__}:tiny", "--k", "2", "--preprocessing", shape]
    assert main(["add", "wang06", "--weights", str(path), *arguments]) == 0
    entry = yaml.safe_load((checkout / "workflow" / "config.local.yaml").read_text())["external"]["wang06"]
    assert entry == {"weights": str(path), "arch": f"{__name__}:tiny", "k": 2,
                     "preprocessing": yaml.safe_load(shape)}  # fmt: skip
    # the very entry that `make` takes in
    assert detectors.external("wang06", entry).preprocessing.crop == 16


@pytest.mark.slow
def test_add_registers_a_patch_classifier_as_a_detector(
    checkout: Path, store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = localization.build("xception_block1", init="kaiming", fake_class=1)
    path = tmp_path / "block1.safetensors"
    localization.save(net, path)
    # a classifier of another cut is refused, and leaves nothing
    assert main(["add", "block", "--weights", str(path), "--arch", "xception_block2"]) == 2
    assert "has weights of xception_block1" in capsys.readouterr().err
    # one that ranks reals above fakes, too
    val = store.data("miniature", "val", "progan")
    shutil.rmtree(val)
    upside_down(val, 1.0, tmp_path / "tiny.pth")
    images = data.scan(val)
    x = data.normalize(data.load(images), localization.INPUT)
    fakes = np.array(images.labels) == 1
    margins = localization.margin(net, x).mean((1, 2)).numpy()
    if margins[fakes].mean() > margins[~fakes].mean():
        net.fake_class = 0
    localization.save(net, path)
    assert main(["add", "block", "--weights", str(path), "--arch", "xception_block1"]) == 2
    assert "ranks reals above fakes" in capsys.readouterr().err
    assert [one.name for one in tmp_path.glob("*.safetensors")] == ["block1.safetensors"]
    net.fake_class = net.real_class
    localization.save(net, path)
    assert main(["add", "block", "--weights", str(path), "--arch", "xception_block1"]) == 0
    entry = yaml.safe_load((checkout / "workflow" / "config.local.yaml").read_text())["external"]["block"]
    spec = detectors.external("block", entry)
    assert entry["weights"] == str(tmp_path / "block1.detector.safetensors") and spec.k >= 1
    model = detectors.load_weights(detectors.build(spec.arch), entry["weights"]).eval()
    logits = detectors.logits(model, data.batches(images, preprocessing=spec.preprocessing))
    expected = localization.margin(net, x).mean((1, 2)).numpy()
    np.testing.assert_allclose(np.asarray(logits), expected, rtol=1e-4, atol=1e-4)


def upside_down(
    folder: Path, sign: float, path: Path, preprocessing: data.Preprocessing = data.IMAGENET
) -> Path:
    """Weights of the tiny network that say how dark (or bright) a picture is, and pictures to tell apart."""
    for label, low, high in (("0_real", 0, 120), ("1_fake", 90, 255)):
        (folder / label).mkdir(parents=True)
        for i in range(20):
            noise = np.random.default_rng(i).integers(low, high, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / label / f"{i}.png")
    made = tiny().eval()
    images = data.scan(folder)
    logits = detectors.logits(made, data.batches(images, preprocessing=preprocessing))
    means = [logits[np.array(images.labels) == label].mean() for label in (0, 1)]
    with torch.no_grad():
        for parameter in made[-1].parameters():
            parameter *= sign * np.sign(means[1] - means[0])
    torch.save({"model": made.state_dict()}, path)
    return path


def test_a_detector_whose_sign_is_turned_round_is_refused_in_words(
    checkout: Path, store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    val = store.data("miniature", "val", "progan")
    shutil.rmtree(val)
    turned = upside_down(val, -1.0, tmp_path / "turned.pth")
    right = upside_down(tmp_path / "other", 1.0, tmp_path / "right.pth")
    picture = str(val / "0_real" / "0.png")
    for command in (["add", "mine"], ["detect", picture, "--calibrate", str(val)]):
        assert main([*command, "--weights", str(turned), "--arch", "tiny"]) == 2
        error = capsys.readouterr().err
        assert "ranks reals above fakes (AUC 0." in error and "is its label order the other way" in error
    assert not (checkout / "workflow" / "config.local.yaml").exists()
    assert main(["add", "mine", "--weights", str(right), "--arch", "tiny"]) == 0
    assert "chance" not in capsys.readouterr().err
    constant = torch.load(right)
    constant["model"]["7.weight"] *= 0
    torch.save(constant, tmp_path / "constant.pth")
    for command in (["add", "other"], ["detect", picture, "--calibrate", str(val)]):
        assert main([*command, "--weights", str(tmp_path / "constant.pth"), "--arch", "tiny"]) == 2
        assert "all 40 scores are" in capsys.readouterr().err


def test_a_detector_at_chance_is_calibrated_and_it_is_said(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = pictures(tmp_path / "noise")
    assert main(["detect", str(labelled), "--calibrate", str(labelled), "--json"]) == 0
    source = json.loads(capsys.readouterr().out)["threshold"]["source"]
    assert "tells reals from fakes no better than chance (AUC 0." in source and "6 reals" in source


def unruly() -> torch.nn.Module:
    """A network of the same weights with an operation that has no rule."""
    return torch.nn.Sequential(*tiny(), torch.nn.Tanh())


def test_a_damaged_local_configuration_is_named(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, path = pictures(tmp_path / "set"), checkout / "workflow" / "config.local.yaml"
    for text, reason in (
        ("a: [", "not valid YAML"),
        ("- a", "expected settings"),
        ("added: x", "expected a list"),
    ):
        path.write_text(text)
        assert main(["add", "mygan", str(folder)]) == 2
        assert reason in capsys.readouterr().err and path.read_text() == text


def test_without_a_checkout_it_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "project", lambda: None)
    for arguments in (["run", "03"], ["add", "x", str(tmp_path)]):
        assert main(arguments) == 2
        assert "needs a checkout of the project" in capsys.readouterr().err


def test_run_finds_chapters_by_name_number_or_part() -> None:
    folder = ROOT / "notebooks"
    assert workflow.find("03", folder).stem == workflow.find("sensitivity", folder).stem == "03_sensitivity"
    assert workflow.find("notebooks/05_lrp_max.py", folder).stem == "05_lrp_max"
    with pytest.raises(FileNotFoundError, match="expected one of 00_overview"):
        workflow.find("nonsense", folder)
    with pytest.raises(ValueError, match="say which one"):
        workflow.find("color", folder)


ODD = (
    "no",
    "on",
    "1e5",
    "007",
    "null",
    "~",
    "2024-01-01",
    "a: b",
    "[x",
    "{",
    "- a",
    "#",
    "'",
    "*a",
    "é\n",
    "",
)


@pytest.mark.parametrize("written", ODD)
def test_a_text_is_kept_letter_by_letter_and_anything_else_is_of_its_type_or_refused(written: str) -> None:
    assert workflow.value(written, "resnet50-miniature") == written
    for default in (3, 0.5, True, None, ["a"], [0, 1], {"a": 1}, ("a",), []):
        try:
            found = workflow.value(written, default)
        except ValueError as error:
            assert "expected" in str(error) and "\n" not in str(error)
        else:
            kinds = (type(default),) if default is not None else (int, float, list, str, type(None))
            assert isinstance(found, (list,) if isinstance(default, tuple) else kinds)


@pytest.mark.slow
def test_a_value_has_the_type_of_its_default() -> None:
    for written, default, expected in (
        ("010", 1, 10),
        ("1e5", 0.1, 1e5),
        ("5", 0.5, 5.0),
        ("yes", False, True),
        ("No", True, False),
        ("1e5", None, 1e5),
        ("20", None, 20),
        ("None", None, None),
        ("[1, 2]", None, [1, 2]),
        ("'no'", None, "no"),
        ("[no, 007, 1e5, null]", ["progan"], ["no", "007", "1e5", "null"]),
        ("['a, b', c]", ["progan"], ["a, b", "c"]),
        ("[0, 010]", [1], [0, 10]),
        ("[a, 1]", [], ["a", "1"]),
        ("{a: 1}", {}, {"a": 1}),
    ):
        found = workflow.value(written, default)
        assert found == expected and type(found) is type(expected), written
    for written, default, expected in (
        ("1.5", 1, "a whole number"),
        ("nan", 0.5, "a number"),
        ("progan", ["progan"], "a list, such as"),
        ("[a]", [0], "a whole number"),
        ("[[a]]", ["progan"], "members such as 'progan'"),
        ("[" * 3000, ["progan"], "cannot be read as YAML"),
        ("maybe", True, "true or false"),
        ("no", None, "a number, a list, quoted text or null"),
    ):
        with pytest.raises(ValueError, match=expected):
            workflow.value(written, default)


@pytest.mark.slow
def test_run_executes_a_notebook(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell('n = 1\nnames = ["a"]', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('one')", metadata={"tags": ["only-if:n=1"]}),
        nbformat.v4.new_code_cell("print(n + 1, names)\nassert n < 9, 'too large'"),
    ]
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, checkout / "notebooks" / "01_x.ipynb")
    out = tmp_path / "out.ipynb"
    assert main(["run", "01", "-p", "n", "5", "-p", "names", "[b, c]", "--out", str(out)]) == 0
    printed = [c.outputs[0].text for c in nbformat.read(out, 4).cells if c.cell_type == "code" and c.outputs]
    assert printed == ["6 ['b', 'c']\n"]
    capsys.readouterr()
    assert main(["run", "01", "-p", "nonsense", "5"]) == 2
    assert "no parameter 'nonsense': expected one of n, names" in capsys.readouterr().err
    assert main(["run", "01", "-p", "n", "many"]) == 2
    assert "-p n 'many': expected a whole number; 01_x has 1" in capsys.readouterr().err
    before = out.read_bytes()
    assert main(["run", "01", "-p", "n", "10", "--out", str(out)]) == 1
    assert "AssertionError: too large" in capsys.readouterr().err and out.read_bytes() == before


def test_detect_says_what_turns_a_decision(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.data("miniature", "test", "progan")
    (folder / "1_fake" / "broken.png").write_bytes(b"no picture")
    assert main(["detect", str(folder), "--curve", "--no-stability"]) == 0
    captured = capsys.readouterr()
    found = rows(captured.out)
    names = list(found[0])
    assert names.index("turned_by") < names.index("turns_chroma") < names.index("width")
    assert "turned, of 13: jpeg " in captured.err and "the smallest" not in captured.err
    turned = [row for row in found if row["turned_by"]]
    assert turned, "noise near the threshold: something turns some of them"
    for row in turned:
        assert row[f"turns_{row['turned_by']}"] == row["turned_at"] and float(row["turned_psnr"]) > 0
        assert row["turned_to"] in ("fake", "real", "unsure") and row["turned_to"] != row["decision"]
    broken = next(row for row in found if row["decision"] == "unreadable")
    assert not any(broken[name] for name in names if name.startswith("turn"))
    assert main(["detect", turned[0]["path"], "--curve", "--json"]) == 0
    captured = capsys.readouterr()
    [row] = json.loads(captured.out)["rows"]
    assert row["turned_at"] == float(turned[0]["turned_at"]) and "turns_" not in str(row.get("error"))
    assert f"the smallest: {row['turned_by']} " in captured.err
    assert main(["detect", turned[0]["path"]]) == 0
    assert "turned_by" not in capsys.readouterr().out


def test_detect_abstains_for_an_error_that_is_allowed(
    store: results.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = pictures(tmp_path / "labelled", n=24, seed=3)
    folder = store.data("miniature", "test", "progan")
    scores = store.scores("tiny-test", "progan")
    scores.parent.mkdir(parents=True)
    images = data.scan(folder)
    logits = detectors.logits(tiny().eval(), data.batches(images))
    pd.DataFrame(
        {"condition": "baseline", "seed": 0, "label": images.labels, "logit": logits}
    ).to_csv(scores, index=False)  # fmt: skip
    assert main(["detect", str(folder), "--error", "0.1", "--calibrate", str(labelled), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    own = detectors.logits(tiny().eval(), data.batches(data.scan(labelled)))
    y = np.array(data.scan(labelled).labels)
    real, fake = np.sort(own[y == 0])[-2], np.sort(own[y == 1])[1]  # the second of 24, at 10 %
    low, high = min(real, fake), max(real, fake)
    assert (found["threshold"]["unsure_from"], found["threshold"]["unsure_to"]) == pytest.approx((low, high))
    assert low <= found["threshold"]["logit"] <= high
    for row in found["rows"]:
        expected = "fake" if row["logit"] >= high else "real" if row["logit"] <= low else "unsure"
        assert row["decision"] == expected
    told = found["error"]
    assert told["promised"] == 0.1 and (told["n_real"], told["n_fake"]) == (24, 24)
    assert list(told["measured"]) == [
        "validation, each picture by a zone from others", "test pictures of the family trained on",
    ]  # fmt: skip
    calls = np.where(logits >= high, 1, np.where(logits <= low, 0, -1))
    wrong = float((calls[np.array(images.labels) == 1] == 0).mean())
    measured = told["measured"]["test pictures of the family trained on"]
    assert measured["fake"]["wrong"] == pytest.approx(wrong) and measured["fake"]["n"] == 6
    assert "Promised: of reals, and of fakes, like the 24 and 24" in captured.err
    assert "Measured on validation" in captured.err and "at most 10 %" in captured.err
    # validation pictures of the build, of which there are 6
    assert main(["detect", str(folder), "--error", "0.25", "--no-stability"]) == 0
    assert "validation pictures of progan" in capsys.readouterr().err
    assert main(["detect", str(folder), "--error", "0.1"]) == 2
    assert "cannot be promised from 6 reals: expected 9" in capsys.readouterr().err
    shutil.rmtree(store.data("miniature", "val", "progan"))
    assert main(["detect", str(folder), "--error", "0.1"]) == 2
    assert "name a folder with --calibrate DIR" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["detect", str(folder), "--error", "0.7"])
    assert "expected a share between 0 and 0.5" in capsys.readouterr().err
