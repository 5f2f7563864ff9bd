"""Commands of the patch classifiers: train on a folder, test, localise pictures, as a new user would."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import where
from PIL import Image

from tff_core import localization
from tff_core.cli import main
from tff_core.pictures import data

pytestmark = pytest.mark.usefixtures("one_thread")


SEEN = {
    "all of the pixels": {},
    "fine differences of luma and chroma": {"planes": "ycbcr", "highpass": 3, "contrast": 0.125},
}


@pytest.mark.slow
@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_train_test_and_localize(
    seen: dict[str, str | float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for name, value in seen.items() for word in (f"--{name}", str(value))]
    see = data.Preprocessing.of({"mean": [0.5] * 3, "std": [0.5] * 3, **seen})
    for part, n, seed in (("train", 12, 1), ("val", 4, 2), ("test", 5, 3)):
        where.folder(tmp_path / "set" / part, n, (40, 40), seed)
    weights, out, maps = (tmp_path / name for name in ("w.safetensors", "results", "maps"))
    command = ["patches-train", str(tmp_path / "set"), "--network", "xception_block1", "--init", "kaiming",
               "--batch-size", "8", "--max-epochs", "10", "--augment", "blur-jpeg", "--blur", "0",
               "--fake-class", "1", "--device", "cpu",
               "--out", str(weights), "--json", *options]  # fmt: skip
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["weights"] == str(weights) and told["best"]["cells_right"] > 0.8
    chosen = json.loads(weights.with_suffix(".json").read_text())["identity"]["settings"]
    assert (chosen["jpeg"], chosen["blur"], chosen["colour"]) == (0.1, 0, 0)
    test = ["patches-test", str(tmp_path / "set" / "test"), "--weights", str(weights), "--device", "cpu",
            "--out", str(out), "--show", "2", "--patches", "3", "--quiet"]  # fmt: skip
    assert main(test) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index("ensemble")
    assert table["ap"].min() > 0.9
    for name in ("scores.csv", "metrics.json", "metrics_voted.npz", "vis/fakes/easiest/index.html",
                 "patches/fakes_easiest.npz", "patches/reals_easiest_grid.png"):  # fmt: skip
        assert (out / name).is_file(), name
    (tmp_path / "bad.png").write_bytes(b"no")
    pictures = [str(tmp_path / "set" / "test" / label / "000.png") for label in data.LABELS]
    rows = tmp_path / "rows.csv"
    command = ["localize", *pictures, str(tmp_path / "bad.png"), "--weights", str(weights), "--device", "cpu",
               "--maps", str(maps), "--out", str(rows)]  # fmt: skip
    assert main(command) == 0
    found = pd.read_csv(rows)
    assert (
        found["after_softmax"][0] < 0.5 < found["after_softmax"][1] and "cannot be read" in found["error"][2]
    )
    net = localization.load(weights)
    with np.load(out / "patches" / "fakes_easiest.npz") as stored:  # as they are, whatever it sees of them
        assert stored["patch"].min() < -0.5 and stored["patch"].max() > 0.5
    scores = pd.read_csv(out / "scores.csv").set_index("path")["after_softmax"]
    for i, path in enumerate(pictures):
        x = data.normalize(data.read(path)[None], see)
        assert scores.filter(like=f"{data.LABELS[i]}/000.png").item() == pytest.approx(
            localization.heatmap(net, x).mean().item(), abs=1e-5
        )
        with np.load(maps / found["npz"][i]) as stored:
            np.testing.assert_allclose(stored["heatmap"], localization.heatmap(net, x)[0], atol=1e-5)
            cell = np.unravel_index(stored["heatmap"].argmax(), stored["heatmap"].shape)
            box = tuple(int(found[name][i]) for name in ("top", "left", "bottom", "right"))
            assert box == tuple(stored["boxes"][cell]) or stored["heatmap"].max() == found["highest"][i]
        Image.open(maps / found["map"][i]).verify()
    assert main(["localize", str(tmp_path / "bad.png"), "--weights", str(weights), "--maps", str(maps)]) == 2


@pytest.mark.slow
def test_weights_of_the_published_code_and_its_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = where.folder(tmp_path / "set", 4)
    torch.save({"state_dict": where.knowing().state_dict(), "epoch": 3}, tmp_path / "bestval_net_D.pth")
    command = ["patches-test", "--reals", str(images.root / "0_real"), "--fakes", str(images.root / "1_fake"),
               "--weights", str(tmp_path / "bestval_net_D.pth"), "--device", "cpu"]  # fmt: skip
    for degradation in ([], ["--jpeg", "90"], ["--blur", "0.3"], ["--gamma", "0.9"], ["--flip"]):
        assert main([*command, *degradation, "--out", str(tmp_path / "out"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["network"] == "xception_block1" and len(told["rows"]) == 4
    # the other label order is said
    assert main([*command, "--fake-class", "1", "--out", str(tmp_path / "out")]) == 0
    assert "ranks reals above fakes" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_wrong_is_one_sentence_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = where.folder(tmp_path / "set", 2)
    picture, weights = str(images.paths[0]), tmp_path / "w.safetensors"
    localization.save(localization.build("xception_block2"), weights)
    whole = tmp_path / "whole.safetensors"
    localization.save(localization.build("resnet18"), whole)
    given = ["--weights", str(weights), "--device", "cpu"]
    test = ["patches-test", *given, "--out", str(tmp_path / "o")]
    train = ["patches-train", "--out", str(tmp_path / "t.safetensors"), "--device", "cpu"]
    for command, told in (
        (["localize", picture, *given, "--network", "xception_block3"], "has weights of xception_block2"),
        (["localize", picture, *given, "--fake-class", "1"], "says that logit 0 stands for fakes"),
        (["localize", picture, "--weights", str(whole)], "resnet18 is a whole network and has no map"),
        (["localize", str(tmp_path / "none.png"), *given], "does not exist"),
        (["localize", picture, "--weights", picture], "holds more than weights, or is broken"),
        (["localize", picture, *given, "--maps", picture], "is a file: expected a folder"),
        (test, "expected a folder with 0_real and 1_fake, or --reals DIR"),
        ([*test, "--reals", picture], "1 --reals and 0 --fakes: expected pairs"),
        ([*test, str(images.root), "--jpeg", "0"], "JPEG quality 0: expected 1 to 100"),
        ([*test, str(images.root / "0_real")], "has no pictures in the ForenSynths layout"),
        ([*train, str(images.root)], "train is no folder"),
        ([*train, str(images.root), "--crop", "x"], "crop is 'x': expected one of centre"),
        (
            [*train, str(images.root), "--augment", "x"],
            "--augment x: expected one of none, blur-jpeg, colour",
        ),
        (["patches-train", str(images.root), "--out", "x.pth"], "expected a name that ends in .safetensors"),
    ):
        assert main(command) == 2, command
        error = capsys.readouterr().err.strip()
        assert told in error and error.count("\n") == 0 and "Traceback" not in error, (command, error)
    assert not (tmp_path / "o").exists() and not (tmp_path / "t.safetensors").exists()
