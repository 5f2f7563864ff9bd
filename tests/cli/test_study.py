"""The studies as commands, for a network from elsewhere: its own preprocessing, pictures of any size."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.special import expit
from test_cli import tiny
from torch import nn

from tff_core import detectors, lrp
from tff_core.cli import main
from tff_core.features import color_ablation, color_conditional, ffrs, patches
from tff_core.features.ffrs import Omega
from tff_core.pictures import data

PREPROCESSING = "{resize: 20, crop: 16, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}"
SHAPE = data.Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=20, crop=16)


@pytest.fixture
def images(tmp_path: Path) -> data.ImageSet:
    """Eight pictures of each label, of three sizes."""
    rng = np.random.default_rng(0)
    for label in data.LABELS:
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(8):
            width, height = ((24, 24), (32, 20), (21, 28))[i % 3]
            noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "set" / label / f"{i}.png")
    return data.scan(tmp_path / "set")


@pytest.fixture
def model(tmp_path: Path, images: data.ImageSet, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A network that is sure of most pictures, its weights published as a file."""
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 3, tiny))
    made = tiny().eval()
    logits = detectors.logits(made, data.batches(images, preprocessing=SHAPE))
    with torch.no_grad():
        made[-1].weight *= 1e4  # type: ignore[operator]
        made[-1].bias.copy_((made[-1].bias - float(np.median(logits))) * 1e4)  # type: ignore[operator,arg-type]
    torch.save({"model": made.state_dict()}, tmp_path / "theirs.pth")
    return made.requires_grad_(False)


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, *more: str) -> str:
    """What a command prints about the network and the pictures."""
    arguments = [
        command, "--weights", str(tmp_path / "theirs.pth"), "--arch", "tiny", "--preprocessing",
        PREPROCESSING, "--data", str(tmp_path / "set"), "--device", "cpu", "--batch-size", "3", "--quiet",
        *more,
    ]  # fmt: skip
    assert main(arguments) == 0
    return capsys.readouterr().out


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_every_study_shows_the_network_what_it_wants(
    tmp_path: Path, images: data.ImageSet, model: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(
        run(tmp_path, capsys, "rank", "--out", str(tmp_path), "--confidence", "0.6", "--k", "2", "--json")
    )
    net = lrp.canonize(model)
    for code, label in enumerate(("real", "fake")):
        batches = data.batches(images.where(label=code), 3, preprocessing=SHAPE)
        omega = ffrs.ff_rs(net, batches, label, 0.6)  # type: ignore[arg-type]
        path = tmp_path / f"theirs-{label}.csv"
        own = Omega.from_csv(path, net)
        assert own.ranking == omega.ranking and found[label]["count"] == omega.count > 0
        assert found[label]["seen"] == 8 and found[label]["table"] == str(path)
        assert [row["map"] for row in found["rows"] if row["label"] == label] == list(map(str, omega.top(2)))
    assert not list(tmp_path.glob("*.part.npz"))

    ranking = ["--omega", str(tmp_path / "theirs-fake.csv")]
    out = tmp_path / "p.html"
    told = json.loads(
        run(tmp_path, capsys, "patches", *ranking, "--k", "3", "--ranks", "2", "--out", str(out), "--json")
    )
    fakes = images.where(label=1)
    bounded = lrp.canonize(model, bounds=SHAPE.bounds)
    maps = Omega.from_csv(tmp_path / "theirs-fake.csv").top(3)
    expected = patches.find(bounded, fakes, maps, 2, batch_size=3, preprocessing=SHAPE)
    for row, own in zip(told["patches"], expected.itertuples(), strict=True):
        assert row["map"] == own.map and row["rank"] == own.rank
        assert row["picture"] == own.path.relative_to(images.root).as_posix()
        assert row["activation"] == pytest.approx(own.activation)
        assert tuple(row["box"]) == own.box and max(own.box) <= 16
    assert out.read_text().count("<section>") == 3 and not list(tmp_path.glob("*.part.npz"))

    both = [
        data.batches(images, 3, preprocessing=SHAPE, transform=transform)
        for transform in (None, data.grayscale)
    ]
    table = read(run(tmp_path, capsys, "color"))
    p = [expit(detectors.logits(model, batches).astype(float)) for batches in both]
    pd.testing.assert_frame_equal(
        table, read(color_ablation.ablation(*p, images.labels, 0.5).to_csv(index=False))
    )

    table = read(run(tmp_path, capsys, "median", *ranking, "--k", "2"))
    both = [
        data.batches(fakes, 3, preprocessing=SHAPE, transform=transform)
        for transform in (None, data.grayscale)
    ]
    omega = Omega.from_csv(tmp_path / "theirs-fake.csv", net)
    maps = [*omega.top(2), *omega.matched(2, 0)]
    seen = [color_conditional.maximum_activations(net, batches, maps) for batches in both]
    expected = color_conditional.conditional(*seen, maps)
    expected.insert(0, "group", ["top-k"] * 2 + ["matched-k"] * (len(maps) - 2))
    pd.testing.assert_frame_equal(table, read(expected.to_csv(index=False)))
