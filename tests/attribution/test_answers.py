"""Who made these pictures: a row for each, whatever the files, and the same after an interruption."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from who import network

from tff_core import attribution
from tff_core.attribution import answers, inputs
from tff_core.attribution.decisions import NONE, decide
from tff_core.cli import main
from tff_core.pictures import data
from tff_core.store.checkpoint import Checkpoint

GOLDEN = Path(__file__).with_name("golden")
N = 12


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(N):
        smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((64, 64))
        noisy = np.asarray(smooth, dtype=int) + rng.integers(-60, 60, (64, 64, 3)) * (i % 3)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:02d}.png")
    return sorted(folder.iterdir())


def balanced(net: attribution.Attributor, paths: list[Path]) -> attribution.Attributor:
    """The network with logits on both sides of zero for these pictures, so that all answers occur."""
    x = torch.stack([data.read(path) for path in paths])
    with torch.no_grad():
        out = net(inputs.pixels(x))
        assert out.attribution is not None
        for head, logits in zip(
            [net.primary.head, *(s.head for s in net.secondaries)],
            [out.detection, *out.attribution.T],
            strict=True,
        ):
            head[-1].bias -= logits.median()  # type: ignore[index,operator,union-attr]
            head[-1].bias += 1e-4  # type: ignore[index,operator,union-attr]
    return net


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_rows_are_what_the_network_answers(kind: str, pictures: list[Path]) -> None:
    net = network(kind, sources=["sngan", "progan"])
    x = torch.stack([data.read(path) for path in pictures])
    statistics = inputs.measure([x]) if kind == "dct" else None
    seen = inputs.pixels(x) if statistics is None else statistics.normalise(inputs.spectrum(x))
    with torch.no_grad():
        out = net(seen)
    assert out.attribution is not None
    frame = answers.attribute(net, pictures, statistics, batch_size=5)
    assert list(frame.columns) == [
        "path", "decision", "fake", "p sngan", "p progan", "claimed", "contradiction", "width", "height",
        "error",
    ]  # fmt: skip
    np.testing.assert_allclose(frame["fake"], out.detection.sigmoid(), atol=1e-6)
    np.testing.assert_allclose(frame[["p sngan", "p progan"]], out.attribution.sigmoid(), atol=1e-6)
    assert frame["path"].tolist() == list(map(str, pictures))
    assert set(frame["width"]) == set(frame["height"]) == {64} and frame["error"].isna().all()


def test_every_answer_follows_from_the_probabilities(pictures: list[Path]) -> None:
    net = balanced(network(sources=["sngan", "progan"]), pictures)
    frame = answers.attribute(net, pictures)
    found = decide(frame["fake"], frame[["p sngan", "p progan"]])
    words = [
        answers.REAL if not fake else answers.UNKNOWN if gated == NONE else net.names[gated]
        for fake, gated in zip(found.fake, found.gated, strict=True)
    ]
    assert frame["decision"].tolist() == words
    assert {answers.REAL} < set(words)
    claimed = ["" if raw == NONE else net.names[raw] for raw in found.raw]
    assert frame["claimed"].tolist() == claimed
    contradicting = (frame["decision"] == answers.REAL) & (frame["claimed"] != "")
    assert frame["contradiction"].tolist() == contradicting.tolist()
    alone = answers.attribute(network(sources=0), pictures)
    assert set(alone["decision"]) <= {answers.REAL, answers.FAKE} and "claimed" not in alone


def test_what_cannot_be_judged_has_its_row(pictures: list[Path], tmp_path: Path) -> None:
    Image.new("RGB", (80, 70), (9, 9, 9)).save(tmp_path / "large.png")
    Image.new("L", (64, 64), 9).save(tmp_path / "gray.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    more = [tmp_path / "large.png", *pictures[:2], tmp_path / "broken.png", tmp_path / "gray.png"]
    net = network()
    frame = answers.attribute(net, more)
    bad = frame["decision"] == answers.UNREADABLE
    assert bad.tolist() == [True, False, False, True, False]
    assert "large.png: 80x70 pixels: the network takes 64x64" in frame["error"][0]
    assert frame["width"][0] == 80 and pd.isna(frame["width"][3]) and "broken.png" in frame["error"][3]
    for fit in ("crop", "resize"):
        fits = answers.attribute(net, more[:1], fit=fit)
        assert fits["decision"][0] != answers.UNREADABLE and np.isfinite(fits["fake"][0])
    Image.new("RGB", (60, 90)).save(tmp_path / "small.png")
    assert (
        "at least 64x64; resize" in answers.attribute(net, [tmp_path / "small.png"], fit="crop")["error"][0]
    )
    assert len(answers.attribute(net, [])) == 0


class Ended(Exception):
    """The process was killed here."""


def test_an_interrupted_run_continues(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    whole = answers.attribute(net, pictures, batch_size=3)
    seen: list[int] = []
    forward = net.forward

    def counted(x: torch.Tensor) -> attribution.Output:
        if len(seen) == 2:
            seen.append(0)
            raise Ended
        seen.append(len(x))
        return forward(x)

    monkeypatch.setattr(net, "forward", counted)
    path = tmp_path / "rows.part.npz"
    with pytest.raises(Ended):
        answers.attribute(net, pictures, batch_size=3, checkpoint=Checkpoint(path, "mine", every=0.0))
    assert seen == [3, 3, 0]
    frame = answers.attribute(net, pictures, batch_size=3, checkpoint=Checkpoint(path, "mine", every=0.0))
    assert sum(seen) == N  # none was computed again
    pd.testing.assert_frame_equal(frame, whole)
    answers.attribute(net, pictures, batch_size=3, checkpoint=Checkpoint(path, "another's", every=0.0))
    assert sum(seen) == 2 * N


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("dct", {}, "this network sees spectra: expected the statistics"),
        (
            "pixel",
            {"statistics": 64},
            "this network sees pixels, and statistics belong to one that sees spectra",
        ),
        ("dct", {"statistics": 72}, "statistics of 72x72 for a network of 64x64 pixels"),
        ("pixel", {"fit": "stretch"}, "fit is 'stretch': expected one of none, crop, resize"),
        ("pixel", {"threshold": 0.0}, "threshold 0.0: expected a probability above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    kind: str, given: dict[str, object], message: str, pictures: list[Path]
) -> None:
    if "statistics" in given:
        side = int(str(given["statistics"]))
        given = {"statistics": inputs.Statistics(np.zeros((side, side)), np.ones((side, side)))}
    with pytest.raises(ValueError, match=message):
        answers.attribute(network(kind), pictures, **given)  # type: ignore[arg-type]


# --- the command


PUBLISHED = GOLDEN / "pixel_64_1_0.keras"


def test_the_command_says_what_the_published_file_answers(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(pictures[0].parent)
    assert main(["attribute", folder, "--weights", str(PUBLISHED), "--names", "progan"]) == 0
    said = capsys.readouterr()
    rows = pd.read_csv(io.StringIO(said.out))
    expected = answers.attribute(attribution.load_keras(PUBLISHED, names=["progan"]), pictures)
    np.testing.assert_allclose(rows[["fake", "p progan"]], expected[["fake", "p progan"]], atol=1e-6)
    assert rows["decision"].tolist() == expected["decision"].tolist() and f"{N} pictures: " in said.err
    out = tmp_path / "rows.json"
    assert (
        main(["attribute", folder, "--weights", str(PUBLISHED), "--json", "--quiet", "--out", str(out)]) == 0
    )
    facts = json.loads(out.read_text())
    assert facts["kind"] == "pixel" and facts["size"] == 64 and len(facts["rows"]) == N
    assert sum(facts["counts"].values()) == N and capsys.readouterr().err == ""
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "rows.json"}  # no trace of a checkpoint


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{pictures}", "--weights", "{w}", "--names", "a", "b"], 2, "2 names for 1 sources"),
        (["{pictures}", "--weights", "{none}"], 2, "none.h5"),
        (["{pictures}", "--weights", "{w}", "--statistics", "{none}"], 2, "none.h5 does not exist"),
        (["{pictures}", "--weights", "{w}", "--out", "{w}"], 2, "is one of the files to be read"),
        (["{other}", "--weights", "{w}"], 2, "80x70 pixels: the network takes 64x64"),
    ],
)
def test_the_command_refuses_in_a_sentence(
    arguments: list[str],
    code: int,
    message: str,
    pictures: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("RGB", (80, 70)).save(tmp_path / "other.png")
    names = {"pictures": pictures[0].parent, "w": tmp_path / "w.keras", "none": tmp_path / "none.h5"}
    names["w"].write_bytes(PUBLISHED.read_bytes())
    names["other"] = tmp_path / "other.png"
    assert main(["attribute", *(one.format(**names) for one in arguments)]) == code
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert names["w"].read_bytes() == PUBLISHED.read_bytes()
