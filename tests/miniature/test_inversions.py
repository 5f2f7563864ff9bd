"""Inversions: each picture through the autoencoder, in its place, the same however often it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import where
from PIL import Image

from tff_core.miniature import generators
from tff_core.miniature.inputs import to_images, to_pixels
from tff_core.miniature.inversions import invert
from tff_core.pictures.reading import PictureError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return where.untrained_autoencoder(tmp_path_factory.mktemp("weights"))


def pictures(folder: Path, n: int = 23, size: tuple[int, int] = (16, 24)) -> list[Path]:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(folder / f"{i:02d}.png")
    return sorted(folder.iterdir())


def test_each_picture_is_made_again_in_its_place(model: Path, tmp_path: Path) -> None:
    sources = pictures(tmp_path / "reals")
    found = invert(sources, tmp_path / "out", model, progress=False)
    assert [path.name for path in found] == [f"{i:05d}.png" for i in range(23)]
    network, _ = generators.load(model)
    for source, path in zip(sources[::5], found[::5], strict=True):
        image = to_images(np.array(Image.open(source))[None])
        alone = to_pixels(network.decode(network.encode(image).mean))[0]  # type: ignore[operator]
        apart = np.abs(alone.astype(int) - np.asarray(Image.open(path)).astype(int))
        assert apart.max() <= 1  # the rounding of sums over a batch
        assert not np.array_equal(alone, np.asarray(Image.open(source)))


def test_a_folder_is_completed_and_what_is_no_longer_asked_for_removed(model: Path, tmp_path: Path) -> None:
    sources = pictures(tmp_path / "reals")
    out = tmp_path / "out"
    found = invert(sources, out, model, progress=False)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}
    found[3].write_bytes(b"half")
    found[21].unlink()
    invert(sources, out, model, progress=False)
    assert {path: path.read_bytes() for path in found} == {path: one for path, (one, _) in before.items()}
    assert all(
        path.stat().st_mtime_ns == before[path][1] for path in found if path not in (found[3], found[21])
    )
    assert len(invert(sources[:4], out, model, progress=False)) == len(list(out.iterdir())) == 4
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(sources[0])  # another picture in its place
    changed = invert(sources[:4], out, model, progress=False)
    assert changed[0].read_bytes() != before[found[0]][0]
    assert changed[1].stat().st_mtime_ns == before[found[1]][1]


def test_what_makes_no_sense_is_one_sentence(model: Path, tmp_path: Path) -> None:
    sources = pictures(tmp_path / "reals", 2)
    progan = tmp_path / "progan.s1.safetensors"
    generators.save(generators.build("progan"), progan, {"family": "progan"})
    with pytest.raises(ValueError, match=r"has weights of progan: expected those of autoencoder"):
        invert(sources, tmp_path / "out", progan, progress=False)
    with pytest.raises(FileNotFoundError, match="no generator weights at"):
        invert(sources, tmp_path / "out", tmp_path / "none.safetensors", progress=False)
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist: expected a picture"):
        invert([tmp_path / "none.png"], tmp_path / "out", model, progress=False)
    odd = pictures(tmp_path / "odd", 1, (16, 18))
    with pytest.raises(ValueError, match="has 18x16 pixels: expected pictures of one size"):
        invert(odd, tmp_path / "out", model, progress=False)
    with pytest.raises(ValueError, match="expected pictures of one size"):
        invert(
            [*sources, *pictures(tmp_path / "other", 1, (16, 16))], tmp_path / "out", model, progress=False
        )
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    with pytest.raises(PictureError, match=r"broken\.png cannot be read"):
        invert([broken], tmp_path / "out", model, progress=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="was not made by the miniature"):
        (tmp_path / "mine").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / "mine" / "00000.png")
        invert(sources, tmp_path / "mine", model, progress=False)
