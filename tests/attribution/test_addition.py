"""One more source: its pictures divided without a leak, and as many steps as the others had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tff_core.attribution import addition
from tff_core.attribution.runs import Config
from tff_core.pictures import data

MOST = {"train": 400, "val": 100, "test": 60}


def pictures(folder: Path, n: int, side: int = 70, seed: int = 0) -> Path:
    """Reals and fakes of noise, n of each, under names that say nothing of their order."""
    rng = np.random.default_rng(seed)
    for label in data.LABELS:
        (folder / label).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (side, side + 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i:03d}.png")
    return folder


def places(root: Path) -> dict[str, Path]:
    return {part: root / part for part in ("train", "val", "test")}


def contents(folders: dict[str, Path]) -> dict[str, dict[str, set[bytes]]]:
    """The pixels of every part, by label."""
    return {
        part: {
            label: {np.asarray(Image.open(path)).tobytes() for path in (folder / label).iterdir()}
            for label in data.LABELS
        }
        for part, folder in folders.items()
    }


def test_parts_share_no_picture_and_hold_all_of_them(tmp_path: Path) -> None:
    images = data.scan(pictures(tmp_path / "mine", 43))
    counts = addition.divide(images, places(tmp_path), 64, MOST)
    assert counts == {
        "train": {"real": 21, "fake": 21}, "val": {"real": 4, "fake": 4}, "test": {"real": 18, "fake": 18},
    }  # fmt: skip
    found = contents(places(tmp_path))
    for label in data.LABELS:
        every = [pixels for part in found.values() for pixels in part[label]]
        middles = {
            np.asarray(Image.open(path))[3:67, 4:68].tobytes() for path in images.root.glob(f"{label}/*")
        }
        assert len(every) == 43 and set(every) == middles  # each once, the middle of its picture
    for part, folder in places(tmp_path).items():
        assert json.loads((folder / data.MANIFEST).read_text())["pictures"] == counts[part]
        assert data.scan(folder).counts == (counts[part]["real"], counts[part]["fake"])


def test_names_order_and_repetition_move_no_picture(tmp_path: Path) -> None:
    first = pictures(tmp_path / "a", 40)
    second = tmp_path / "b"
    for label in data.LABELS:
        (second / label).mkdir(parents=True)
        for i, path in enumerate(sorted((first / label).iterdir(), reverse=True)):
            shutil.copy(path, second / label / f"other {i:02d}.png")
            if i % 2:  # the same pixels in another file, under a name far from it
                Image.open(path).save(second / label / f"{i:02d} again.bmp")
    found = []
    for folder in (first, second):
        out = places(tmp_path / f"parts of {folder.name}")
        addition.divide(data.scan(folder), out, 64, MOST)
        found.append(contents(out))
    assert found[0] == found[1]


def test_no_part_is_larger_than_it_may_be(tmp_path: Path) -> None:
    images = data.scan(pictures(tmp_path / "mine", 50))
    counts = addition.divide(images, places(tmp_path), 64, {"train": 20, "val": 2, "test": 5}, least=8)
    assert [counts[part]["fake"] for part in ("train", "val", "test")] == [20, 2, 5]
    # run again with fewer: what was there is gone
    smaller = data.scan(pictures(tmp_path / "less", 9, seed=1))
    addition.divide(smaller, places(tmp_path), 64, MOST, least=8)
    assert [len(data.scan(folder)) for folder in places(tmp_path).values()] == [8, 2, 8]


@pytest.mark.parametrize(("n", "side", "found"), [(39, 70, 39), (45, 62, 0)], ids=["few", "small"])
def test_too_few_are_said_and_nothing_is_written(tmp_path: Path, n: int, side: int, found: int) -> None:
    images = data.scan(pictures(tmp_path / "mine", n, side))
    with pytest.raises(addition.TooFew) as error:
        addition.divide(images, places(tmp_path), 64, MOST)
    assert str(error.value) == (
        f"mine has {found} reals and {found} fakes that differ and have 64x64 pixels or more: expected 40 of "
        "each at least, since half of them are for training"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(ValueError, match="least is 3: expected at least 4"):
        addition.divide(images, places(tmp_path), 64, MOST, least=3)


def test_it_takes_as_many_steps_as_the_others_took() -> None:
    usual = Config(max_epochs=6, patience=5, batch_size=32)
    few = addition.recipe(usual, 400, 30)
    assert (few.max_epochs, few.patience, few.batch_size) == (80, 67, 32)
    assert 30 * few.max_epochs == 400 * usual.max_epochs
    assert addition.recipe(usual, 400, 400) == addition.recipe(usual, 400, 900) == usual
