"""The most predictive patches: by brute force, in any batches, also where a patch exceeds its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import where
from PIL import Image

from tff_core import localization
from tff_core.localization import predictive, receptive
from tff_core.pictures import data


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> data.ImageSet:
    root = tmp_path_factory.mktemp("set")
    where.folder(root, 5, (40, 52))
    Image.fromarray(where.traced(where.noise(1, 24, 24, seed=8))[0]).save(root / "1_fake" / "z.png")
    return data.scan(root)


def brute(
    net: torch.nn.Module, images: data.ImageSet, label: int
) -> list[tuple[float, int, tuple[int, int]]]:
    """Every cell with its logit for the class, picture and place, the best first."""
    out = []
    for i, (path, own) in enumerate(zip(images.paths, images.labels, strict=True)):
        if own == label:
            x = data.normalize(data.read(path)[None], localization.INPUT)
            values = localization.margin(net, x)[0].double().numpy() * (1 if label else -1)
            out += [(float(values[cell]), i, cell) for cell in np.ndindex(values.shape)]
    return sorted(out, reverse=True)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("fake_class", [0, 1])
def test_they_are_the_largest_of_all_cells(images: data.ImageSet, label: int, fake_class: int) -> None:
    net = where.knowing(fake_class)
    every = brute(net, images, label)
    found = predictive.find(net, images, label, 17, unique=False, batch_size=2)
    np.testing.assert_allclose(found.logit, [one[0] for one in every[:17]], rtol=1e-4)
    assert [tuple(cell) for cell in found.cells] == [one[2] for one in every[:17]]
    assert found.picture.tolist() == [one[1] for one in every[:17]]
    single = predictive.find(net, images, label, 4, unique=True)
    best: dict[int, float] = {}
    for value, picture, _ in every:
        best.setdefault(picture, value)
    np.testing.assert_allclose(single.logit, sorted(best.values(), reverse=True)[:4], rtol=1e-4)
    assert len(set(single.picture.tolist())) == 4
    for i in range(17):
        size = tuple(found.sizes[i])
        assert tuple(found.boxes[i]) == localization.box(net.name, tuple(found.cells[i]), size)
        picture = data.normalize(data.read(found.paths[i]), localization.INPUT).numpy()
        np.testing.assert_allclose(found.pixels[i], receptive.patch(net.name, picture, tuple(found.cells[i])))


def test_ties_do_not_depend_on_batches_and_prefer_no_corner(images: data.ImageSet) -> None:
    net = where.knowing()
    net.convout.weight.zero_()
    for unique in (True, False):
        one, other = (predictive.find(net, images, 1, 4, unique=unique, batch_size=size) for size in (1, 5))
        assert one.picture.tolist() == other.picture.tolist()
        assert np.array_equal(one.cells, other.cells) and np.isfinite(one.value).all()
        changed = predictive.find(net, images, 1, 4, unique=unique, seed=1)
        assert not np.array_equal(one.cells, changed.cells)
    cells = np.concatenate([predictive.best_cells(np.zeros((10, 10)), 1, i) for i in range(400)])
    assert (np.abs(cells.mean(0) - 4.5) < 0.6).all()


@pytest.mark.parametrize("name", ["xception_block3", "resnet18_layer2"])
def test_a_patch_larger_than_its_picture_lies_at_its_true_place(name: str, tmp_path: Path) -> None:
    images = where.folder(tmp_path / "set", 2, (30, 45))
    net = localization.build(name, init="kaiming", seed=1)
    field = localization.field(name)
    found = predictive.find(net, images, 1, 50, unique=False)
    assert len(found) == 2 * np.prod(localization.map_size(name, (30, 45)))
    assert found.pixels.shape[2:] == (field.size, field.size)
    for pixels, cell, path in zip(found.pixels, found.cells, found.paths, strict=True):
        picture = data.normalize(data.read(path), localization.INPUT).numpy()
        top, left, bottom, right = localization.box(name, tuple(cell), (30, 45))
        y, x = top - (field.start + field.jump * cell[0]), left - (field.start + field.jump * cell[1])
        np.testing.assert_allclose(pixels[:, y : y + bottom - top, x : x + right - left],
                                   picture[:, top:bottom, left:right])  # fmt: skip
        assert not pixels[:, :y].any() and not pixels[:, :, :x].any()


def test_files_ascend_and_the_grid_is_square(images: data.ImageSet, tmp_path: Path) -> None:
    found = predictive.find(where.knowing(), images, 1, 7, unique=False)
    found.write(tmp_path)
    with np.load(tmp_path / "fakes_easiest.npz") as stored:
        assert set(stored.files) == {
            "patch", "pos", "value", "logit", "box", "outsize", "rf", "finesize", "which_model_netD",
        }  # fmt: skip
        assert (np.diff(stored["value"]) >= 0).all() and (np.diff(stored["logit"]) >= 0).all()
        assert stored["patch"].shape == (7, 3, 19, 19) and int(stored["rf"]) == 19
        assert str(stored["which_model_netD"]) == "xception_block1"
    files = (tmp_path / "fakes_easiest_files.txt").read_text().splitlines()
    assert files == [str(path) for path in reversed(found.paths)]
    with Image.open(tmp_path / "fakes_easiest_grid.png") as grid:
        assert grid.size == (3 * 19, 3 * 19)
    assert found.grid(gap=2).shape == (3 * 21 - 2, 3 * 21 - 2, 3)


@pytest.mark.slow
def test_wrong_questions_are_one_sentence(images: data.ImageSet) -> None:
    with pytest.raises(ValueError, match="has no fakes: expected some"):
        predictive.find(where.knowing(), images.where(label=0), 1)
    with pytest.raises(ValueError, match="0 patches were asked for"):
        predictive.find(where.knowing(), images, 1, 0)
    with pytest.raises(ValueError, match="xception is a whole network"):
        predictive.find(localization.build("xception"), images, 1)
