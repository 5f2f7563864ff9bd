"""Names after damage: counted by hand for a network of which all is known, whatever the batches are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from who import network

from tff_core import intervals
from tff_core.attribution import answers, robustness
from tff_core.attribution.training import REAL, Pictures
from tff_core.store.checkpoint import Checkpoint

NAMES = ("columns", "rows")


def draw(folder: Path, kind: str, n: int, size: int = 64) -> list[Path]:
    """Gray pictures of different brightness; with columns, or rows, of period 2."""
    wave = 20 * (-1) ** np.arange(size)
    paths = []
    for i in range(n):
        gray = np.full((size, size), 100 + i)
        gray += {"columns": wave[None], "rows": wave[:, None]}.get(kind, np.zeros_like(gray))
        paths.append(folder / f"{kind}{i}.png")
        Image.fromarray(np.repeat(gray.astype(np.uint8)[..., None], 3, 2)).save(paths[-1])
    return paths


@pytest.fixture
def images(tmp_path: Path) -> Pictures:
    """4 reals, 5 columns, 3 rows, and 2 of a source that is not known but looks like columns."""
    paths = [*draw(tmp_path, "real", 4), *draw(tmp_path, "columns", 7), *draw(tmp_path, "rows", 3)]
    return Pictures(tuple(paths), (REAL,) * 4 + (0,) * 5 + (2,) * 2 + (1,) * 3, (*NAMES, "other"))


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that names columns and rows by the differences between neighbours."""

    def told(net: object, pixels: torch.Tensor, *_: object) -> torch.Tensor:
        x = pixels.double()
        across, down = ((x.diff(dim=d).abs().mean((1, 2, 3)) > 10).double() for d in (3, 2))
        return torch.stack([torch.maximum(across, down), across, down], 1)

    monkeypatch.setattr(answers, "probabilities", told)


def measured(images: Pictures, **more: object) -> robustness.Robustness:
    net = network(sources=list(NAMES))
    strengths = {"blur": (9,), "jpeg": (100,), "noise": (0, 4), "crop": (0.0,), "resize": (0.5,)}
    return robustness.measure(net, images, None, strengths, **more)  # type: ignore[arg-type]


@pytest.mark.usefixtures("seeing")
def test_every_row_is_that_of_hand(images: Pictures) -> None:
    found = measured(images)
    table = found.table.set_index(["operation", "strength", "measure"])
    value = table["value"]
    assert len(found.table) == 3 * 7 and found.facts["n"] == 14
    # only the 2 of the unknown source are wrong; traces of period 2 survive all but blur and resizing
    for setting in (("jpeg", 100.0), ("noise", 0.0), ("noise", 4.0), ("crop", 0.0)):
        assert value[(*setting, "accuracy")] == pytest.approx(12 / 14)
        assert value[(*setting, "false none")] == 0
        assert value[(*setting, "false name")] == pytest.approx(2 / 14)
        assert table.loc[(*setting, "accuracy"), "change"] == 0
    for setting in (("blur", 9.0), ("resize", 0.5)):  # everything is called real
        assert value[(*setting, "accuracy")] == pytest.approx(4 / 14)
        assert value[(*setting, "false none")] == 1 and table.loc[(*setting, "false none"), "n"] == 8
        assert value[(*setting, "false name")] == 0
        row = table.loc[(*setting, "accuracy")]
        assert row["change"] == pytest.approx(-8 / 14)
        assert (row["change_low"], row["change_high"]) == intervals.paired(0, 8, 14)
        assert row["low"] < row["value"] < row["high"]
    first = found.table.iloc[0]
    assert first["operation"] == "untouched" and math.isnan(first["strength"]) and math.isnan(first["change"])


@pytest.mark.usefixtures("seeing")
def test_batches_and_interruptions_change_nothing(images: Pictures, tmp_path: Path) -> None:
    whole = measured(images).table
    pd.testing.assert_frame_equal(measured(images, batch_size=3).table, whole)
    checkpoint = Checkpoint(tmp_path / "part.npz", "key", every=0.0)
    write, calls = checkpoint.write, []

    def stopping(arrays: dict[str, np.ndarray]) -> None:
        write(arrays)
        calls.append(int(arrays["done"].sum()))
        if len(calls) == 2:
            raise KeyboardInterrupt

    checkpoint.write = stopping  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        measured(images, batch_size=3, checkpoint=checkpoint)
    assert calls == [3, 6]
    again = Checkpoint(tmp_path / "part.npz", "key", every=0.0)
    pd.testing.assert_frame_equal(measured(images, batch_size=3, checkpoint=again).table, whole)


def test_a_real_network_is_asked_about_the_same_noise_at_every_strength(images: Pictures) -> None:
    found = robustness.measure(network(), images, None, {"noise": (0.0,), "crop": (0.0,)})
    assert (found.table["change"].dropna() == 0).all()  # strength 0 is no change
    x = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    weak, strong = (robustness.degraded(x, "noise", v, [5, 6]).double() - 128 for v in (100, 400))
    assert float(weak.var()) == pytest.approx(100, rel=0.05)
    torch.testing.assert_close(strong, 2 * weak, atol=1.5, rtol=0)
    alone = robustness.degraded(x[:1], "noise", 100, [6]).double() - 128
    assert torch.equal(alone[0], weak[1]) and not torch.equal(weak[0], weak[1])


def test_damage_is_what_its_name_says() -> None:
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8))
    for operation, none in (("blur", 1), ("crop", 0), ("noise", 0), ("resize", 1)):
        assert torch.equal(robustness.degraded(x, operation, none, [0]), x), operation
    for operation, strengths in robustness.STRENGTHS.items():
        errors = [
            float((robustness.degraded(x, operation, s, [0]).double() - x).abs().mean()) for s in strengths
        ]
        if operation == "crop":
            assert min(errors) > 0
        else:
            assert errors == sorted(errors) and errors[0] > 0, operation
    assert robustness.degraded(x[..., :48], "resize", 0.3, [0]).shape == (1, 3, 64, 48)


@pytest.mark.usefixtures("seeing")
def test_pictures_that_cannot_be_judged_count_in_nothing(images: Pictures, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    [wide] = draw(tmp_path, "wide", 1, size=72)
    more = Pictures((*images.paths, tmp_path / "text.png", wide), (*images.sources, 0, 0), images.names)
    found = measured(more)
    assert found.facts["unreadable"] == 2
    pd.testing.assert_frame_equal(found.table, measured(images).table)
    assert measured(more, fit="crop").facts["unreadable"] == 1
    with pytest.raises(ValueError, match=r"none of 1 pictures can be judged; the first: .*72x72 pixels"):
        measured(Pictures((wide,), (0,), NAMES))
    found.write(tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "robustness.csv")) == len(found.table)
    assert json.loads((tmp_path / "out" / "robustness.json").read_text())["names"] == list(NAMES)


@pytest.mark.parametrize(
    ("strengths", "told"),
    [
        ({"rain": (1,)}, "operation 'rain': expected one of blur, crop"),
        ({"blur": (4,)}, "blur of strength 4: expected a kernel in pixels"),
        ({"jpeg": (101,)}, "expected a quality"),
        ({"crop": (1.0,)}, "share of each axis"),
        ({"noise": (-1,)}, "expected a variance"),
        ({"resize": (0,)}, "expected a factor"),
    ],
)
def test_strengths_that_an_operation_does_not_have_are_refused(strengths: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        robustness.measure(network(), Pictures((), (), NAMES), None, strengths)
