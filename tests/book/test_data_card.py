"""What the data card counts, in folders made for the purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tff_core.book import data_card
from tff_core.pictures import data
from tff_core.store.results import Store, write_json


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, name in enumerate(data.LABELS):
        (tmp_path / "folder" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (40 + 8 * label, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "folder" / name / f"{i}.png")
    (tmp_path / "folder" / "notes.txt").write_text("not a picture")
    return tmp_path / "folder"


def test_folders_are_counted_and_missing_ones_left_out(root: Path) -> None:
    rows, separation = data_card.folders([("mine", root), ("absent", root / "nowhere")])
    (row,) = rows
    assert (row["folder"], row["reals"], row["fakes"], row["unreadable"]) == ("mine", 6, 6, 0)
    assert row["sides"] == ["40x40", "40x48"] and row["formats"] == ["PNG"]
    assert set(separation["folder"]) == {"mine"}
    assert separation.set_index("property")["auc"].max() > 0.9  # fakes are higher than reals


def test_reals_and_fakes_stand_beside_each_other_in_one_size(root: Path) -> None:
    shown = data_card.beside(data.scan(root), largest=32)
    assert {word: array.shape for word, array in shown.items()} == dict.fromkeys(
        ("real", "fake"), (6, 32, 32, 3)
    )


def test_sampled_folders_are_read_from_their_manifests(tmp_path: Path) -> None:
    store = Store(tmp_path)
    content = {"counts": {"real": 8, "fake": 6}, "config": {"weights": ["a", "b"]}}
    for part, generator in (("train", "progan"), ("test", "gaugan")):
        write_json(store.data("miniature", part, generator) / data.MANIFEST, content)
    rows = data_card.sampled(store, "miniature", ["gaugan", "biggan"])
    assert [(row["part"], row["generator"]) for row in rows] == [("train", "ProGAN"), ("test", "GauGAN")]
    assert rows[0] | {"part": "", "generator": ""} == {
        "part": "", "generator": "", "reals": 8, "fakes": 6, "models": 2,
    }  # fmt: skip
