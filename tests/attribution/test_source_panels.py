"""Panels: every colour and place by hand, whatever the batches are, and nothing dropped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFont
from who import network

from tff_core import attribution
from tff_core.attribution import answers, evidence, inputs, panels, weights
from tff_core.cli import main
from tff_core.pictures import data
from tff_core.store.checkpoint import Checkpoint

PAPER = 247  # the neutral colour, the same in red, green and blue
GRAY = np.full((2, 2, 3), 100, dtype=np.uint8)


def draw(folder: Path, n: int, size: int = 64) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


# ------------------------------------------------------------------------------------------------ colours


def test_signed_evidence_is_red_for_blue_against_and_neutral_at_zero() -> None:
    drawn = panels.signed(GRAY, [[0.0, 2.0], [-2.0, 1e9]], 2.0)
    for place, colour in (((0, 0), [PAPER] * 3), ((0, 1), [103, 0, 31]), ((1, 0), [5, 48, 97])):
        np.testing.assert_array_equal(drawn[place], np.rint(0.65 * np.array(colour) + 0.35 * 100))
    np.testing.assert_array_equal(drawn[1, 1], drawn[0, 1])  # beyond the limit
    half = panels.signed(np.zeros((1, 3, 3), dtype=np.uint8), [[-0.5, 0.0, 0.5]], 1.0)[0]
    assert half[2, 0] > half[2, 2] and half[0, 2] > half[0, 0]


def test_the_gray_of_the_picture_shows_through() -> None:
    picture = np.zeros((1, 2, 3), dtype=np.uint8)
    picture[0, 1] = [255, 0, 45]  # of mean 100
    drawn = panels.signed(picture, np.zeros((1, 2)), 1.0)
    assert drawn[0].tolist() == [[round(0.65 * PAPER)] * 3, [round(0.65 * PAPER + 35)] * 3]


@pytest.mark.parametrize(
    ("value", "colour"),
    [
        (0.0, (0, 0, 128)), (-3.0, (0, 0, 128)), (1.0, (128, 0, 0)), (7.0, (128, 0, 0)),
        (64 / 255, (0, 128, 255)), (128 / 255, (130, 255, 126)), (191 / 255, (255, 128, 0)),
    ],
)  # fmt: skip
def test_the_published_map_is_clipped_and_half_of_the_picture(value: float, colour: tuple[int, ...]) -> None:
    drawn = panels.as_published(GRAY, np.full((2, 2), value + 1e-9))
    np.testing.assert_allclose(drawn[0, 0], (np.array(colour) + 100) / 2, atol=1)
    black = panels.as_published(0 * GRAY, np.full((2, 2), value + 1e-9))
    np.testing.assert_allclose(2.0 * black[1, 1], colour, atol=1.01)


def test_maps_grow_linearly_and_keep_their_place() -> None:
    found = panels.in_place(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), 4)
    assert found.shape == (1, 4, 4) and found[0, 0].tolist() == [0.0, 0.25, 0.75, 1.0]
    assert (found[0] == found[0, 0]).all()


def test_maps_that_do_not_fit_are_refused() -> None:
    for function, more in ((panels.signed, (1.0,)), (panels.as_published, ())):
        with pytest.raises(ValueError, match=r"a map of shape \(3, 2\) for a picture of shape \(2, 2, 3\)"):
            function(GRAY, np.zeros((3, 2)), *more)
    with pytest.raises(ValueError, match="expected the value of the strongest colours, above 0"):
        panels.signed(GRAY, np.zeros((2, 2)), 0.0)


# ----------------------------------------------------------------------------------------------- one panel


def tile(drawn: np.ndarray, row: int, column: int, band: int, side: int = 128) -> np.ndarray:
    top = band + row * (band + side + 4)
    return drawn[top : top + side, column * (side + 4) : column * (side + 4) + side]


@pytest.mark.parametrize("labelled", [False, True])
def test_every_tile_is_in_its_place_on_one_scale(labelled: bool) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    own = rng.normal(size=(2, 64, 64)) * np.array([1, 5])[:, None, None]
    words = [["a name", "FAKE: 90.00%", "x" * 99], ["", "b", "c"]] if labelled else None
    drawn, limit = panels.panel(picture, own, own / 9, words)
    band = 16 * labelled
    assert drawn.shape == (2 * (128 + band) + 4, 3 * 132 - 4, 3)
    assert limit == np.abs(own).max()
    expected = {
        (0, 0): picture, (0, 1): panels.signed(picture, own[0], limit),
        (0, 2): panels.signed(picture, own[1], limit), (1, 0): np.full_like(picture, 255),
        (1, 1): panels.as_published(picture, own[0] / 9),
        (1, 2): panels.as_published(picture, own[1] / 9),
    }  # fmt: skip
    for place, pixels in expected.items():
        np.testing.assert_array_equal(tile(drawn, *place, band), pixels.repeat(2, 0).repeat(2, 1))
    if labelled:  # words are in the band, and end before the next panel
        assert drawn[:16].min() < 100 and (drawn[:16, 128:132] == 255).all()


def test_a_long_name_keeps_its_probability() -> None:
    font = ImageFont.load_default(12)
    assert panels._short("progan: 12.50%", font, 128) == "progan: 12.50%"
    for text, tail in ((f"{'long' * 20}: 12.50%", "...: 12.50%"), ("long" * 20, "...")):
        short = panels._short(text, font, 128)
        assert short.startswith("longlong") and short.endswith(tail) and 100 < font.getlength(short) <= 128


def test_no_evidence_is_neutral_and_spectra_have_their_own_ground() -> None:
    picture, ground = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 200, np.uint8)
    drawn, limit = panels.panel(
        picture, np.zeros((1, 64, 64)), np.zeros((1, 64, 64)), None, (ground, picture)
    )
    assert limit == 1.0
    assert (tile(drawn, 0, 1, 0) == round(0.65 * PAPER + 0.35 * 200)).all()
    assert (tile(drawn, 1, 0, 0) == 200).all()  # the spectrum itself
    assert (tile(drawn, 1, 1, 0) == [0, 0, 64]).all()


# -------------------------------------------------------------------------------------------- many pictures


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_panels_show_the_evidence_and_no_picture_is_dropped(kind: str, tmp_path: Path) -> None:
    net, paths = network(kind), draw(tmp_path / "in", 5)
    x = torch.stack([data.read(path) for path in paths])
    statistics = inputs.measure([x]) if kind == "dct" else None
    frame = panels.write(net, paths, tmp_path / "out", statistics, labels=False, batch_size=2)
    plain = answers.attribute(net, paths, statistics, batch_size=2)
    pd.testing.assert_frame_equal(frame.drop(columns=["panel", "scale"]), plain)
    assert frame["panel"].tolist() == [f"0000{i}_{i}.png" for i in range(5)]
    seen = inputs.seen(x, statistics)
    own = [panels.in_place(evidence.evidence(net, seen, s), 64) for s in (None, 0, 1)]
    limits = torch.stack(own).abs().amax((0, 2, 3))
    np.testing.assert_allclose(frame["scale"], limits, rtol=1e-4)
    for i in range(5):
        drawn = np.asarray(Image.open(tmp_path / "out" / frame["panel"][i]))
        assert drawn.shape == (260, 4 * 132 - 4, 3)
        np.testing.assert_array_equal(tile(drawn, 0, 0, 0)[::2, ::2], x[i].permute(1, 2, 0))
        ground = x[i].permute(1, 2, 0).numpy()
        if kind == "dct":
            gray = ((seen[i, 0].clamp(-3, 3) / 3 + 1) * 127.5).round().numpy().astype(np.uint8)
            ground = gray[..., None].repeat(3, 2)
            np.testing.assert_array_equal(tile(drawn, 1, 0, 0)[::2, ::2], ground)
        expected = panels.signed(ground, own[2][i].numpy(), float(limits[i]))
        np.testing.assert_allclose(tile(drawn, 0, 3, 0)[::2, ::2].astype(int), expected, atol=3)
        theirs = evidence.published(net, seen, 1)
        theirs = evidence.scaled(theirs) if kind == "dct" else theirs
        under = (
            ground if kind == "pixel" else (255 * inputs.spectrum(x[i : i + 1])[0, 0]).clamp(0, 255).floor()
        )
        under = under if kind == "pixel" else under.numpy()[..., None].repeat(3, 2)
        expected = panels.as_published(under, panels.in_place(theirs, 64)[i].numpy())
        assert np.mean(np.abs(tile(drawn, 1, 3, 0)[::2, ::2].astype(int) - expected) > 3) < 0.001
    facts = json.loads((tmp_path / "out" / "panels.json").read_text())
    assert facts["panels"] == 5 and facts["columns"] == ["picture", "detection", *net.names]
    assert pd.read_csv(tmp_path / "out" / "panels.csv")["panel"].tolist() == frame["panel"].tolist()
    one = panels.write(net, paths, tmp_path / "one", statistics, labels=False, batch_size=5)
    for name in one["panel"]:
        a, b = (np.asarray(Image.open(tmp_path / part / name)).astype(int) for part in ("out", "one"))
        assert np.mean(np.abs(a - b) > 3) < 0.001  # rounding of sums, not the pictures beside it


def test_an_interrupted_run_has_all_panels_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, paths, out = network(), draw(tmp_path / "in", 4), tmp_path / "out"
    whole = panels.write(net, paths, tmp_path / "whole", batch_size=1)
    drawing, calls = panels.panel, []

    def stopping(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return drawing(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(panels, "panel", stopping)
    for expected in (3, 3 + 2 + 1):  # the third anew, the fourth, and the first, which is gone
        checkpoint = Checkpoint(tmp_path / "part.npz", "key", every=0.0)
        if expected == 3:
            with pytest.raises(KeyboardInterrupt):
                panels.write(net, paths, out, batch_size=1, checkpoint=checkpoint)
            (out / whole["panel"][0]).unlink()
        else:
            frame = panels.write(net, paths, out, batch_size=1, checkpoint=checkpoint)
        assert len(calls) == expected
    pd.testing.assert_frame_equal(frame, whole)
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_the_command_draws_panels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "pictures", 2)
    (tmp_path / "pictures" / "broken.png").write_text("no picture")
    weights.save(network(sources=["progan"]), tmp_path / "net.safetensors")
    given = ["attribute", str(tmp_path / "pictures"), "--weights", str(tmp_path / "net.safetensors")]
    rows, folder = tmp_path / "rows.csv", tmp_path / "panels"
    assert main([*given, "--panels", str(folder), "--tags", "--out", str(rows), "--quiet"]) == 0
    frame = pd.read_csv(rows).set_index("panel")
    named = ["00000_pictures_0.png", "00001_pictures_1.png"]
    assert sorted(frame.index.dropna()) == named and frame["scale"].notna().sum() == 2
    assert sorted(path.name for path in folder.iterdir()) == [*named, "panels.csv", "panels.json"]
    wide = np.asarray(Image.open(folder / named[0])).shape
    assert main([*given, "--panels", str(folder), "--no-labels", "--quiet"]) == 0
    assert np.asarray(Image.open(folder / "00000_0.png")).shape[0] == wide[0] - 32
    capsys.readouterr()
    assert main([*given, "--tags"]) == 2
    assert "expected --panels DIR with them" in capsys.readouterr().err
    assert main([*given, "--panels", str(tmp_path / "pictures" / "panels")]) == 2
    assert "or panels would be taken for pictures next time" in capsys.readouterr().err
    assert main([*given, "--panels", str(rows)]) == 2
    assert "is a file: expected a folder" in capsys.readouterr().err
    weights.save(attribution.baseline("notl", size=64, names=["a"]), tmp_path / "net.safetensors")
    assert main([*given, "--panels", str(folder)]) == 2
    assert "found notl, which has none" in capsys.readouterr().err


def test_spectra_are_gray_on_one_scale() -> None:
    logs = torch.tensor([-9.0, -2.0, 3.0, 8.0]).view(1, 1, 2, 2)
    drawn = panels.gray(logs)
    assert drawn.dtype == np.uint8 and drawn.shape == (1, 2, 2, 3)
    assert drawn[0, ..., 0].tolist() == [[0, 0], [128, 255]]
    assert (drawn == drawn[..., :1]).all()


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_evidence_for_a_page_is_red_where_it_speaks_for_the_source_and_on_one_scale(kind: str) -> None:
    net = network(kind).eval()
    x = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    statistics = inputs.measure([x]) if kind == "dct" else None
    shown = panels.drawn(net, x, statistics, 1)
    assert shown.shape == (3, 64, 64, 3) and shown.dtype == np.uint8
    maps = panels.in_place(evidence.evidence(net, inputs.seen(x, statistics), 1), 64).numpy()
    n, row, column = np.unravel_index(np.abs(maps).argmax(), maps.shape)
    red, _, blue = shown[n, row, column].astype(int)
    assert (red > blue) == (maps[n, row, column] > 0)
    assert not np.array_equal(shown, panels.drawn(net, x, statistics))
