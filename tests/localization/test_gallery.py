"""Rows of pictures for a page: the right pictures, in the right order, with their own maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import where

from tff_core import localization
from tff_core.localization import evaluation, gallery, heatmaps, masks, receptive
from tff_core.pictures import data


def test_ends_show_each_picture_above_its_map(tmp_path: Path) -> None:
    images, net = where.folder(tmp_path, 5, (40, 40)), where.knowing()
    found = evaluation.evaluate(net, images)
    cells = localization.probability(evaluation.cells(net, images))
    rows, labels = gallery.ends(net, images, found.pictures, cells, n=3)
    assert list(rows)[:4] == ["easiest fakes", "easiest fakes, maps", "hardest fakes", "hardest fakes, maps"]
    order = heatmaps.ranked(found.pictures, 1, 3, "after_softmax")["easiest"]
    for place, row in enumerate(order):
        picture = data.read(images.paths[row]).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(rows["easiest fakes"][place], picture)
        fine = localization.to_pixels(net.name, cells[[row]], (40, 40))[0]
        shown = heatmaps.overlay(picture, fine)
        np.testing.assert_array_equal(rows["easiest fakes, maps"][place], shown)
        assert labels["easiest fakes"][place] == f"P(fake) = {found.pictures['after_softmax'][row]:.3f}"


def test_cells_are_those_of_each_picture_whatever_the_batches(tmp_path: Path) -> None:
    images, net = where.folder(tmp_path, 5, (40, 40)), where.knowing()
    one, other = (evaluation.cells(net, images, batch_size=size) for size in (3, 10))
    np.testing.assert_allclose(one, other, atol=1e-5)
    x = data.normalize(data.read(images.paths[7])[None], localization.INPUT)
    np.testing.assert_allclose(one[7], localization.margin(net, x)[0], atol=1e-5)
    np.testing.assert_allclose(localization.probability(one[7]), localization.heatmap(net, x)[0], atol=1e-6)


def test_pictures_of_several_sizes_have_no_common_map(tmp_path: Path) -> None:
    images = where.folder(tmp_path, 2, (40, 40))
    where.Image.fromarray(where.noise(1, 56, 56)[0]).save(images.paths[0])
    with pytest.raises(ValueError, match="pictures of several sizes"):
        evaluation.cells(where.knowing(), images)


def test_averages_are_of_one_class_each() -> None:
    cells = np.array([[[0.1, 0.2]], [[0.3, 0.4]], [[0.9, 0.5]]])
    rows, told = gallery.averages([0, 0, 1], cells, zoom=3)
    assert rows["mean map of fakes"].shape == (1, 3, 6, 3)
    assert told == {"mean map of fakes": ["from 0.50 to 0.90"], "mean map of reals": ["from 0.20 to 0.30"]}


def test_maps_stand_below_what_is_fake_and_a_flat_one_is_dark(tmp_path: Path) -> None:
    for folder in ("image", "mask"):
        (tmp_path / folder).mkdir()
    fake = np.zeros((40, 40), dtype=np.uint8)
    fake[:10] = 255
    where.Image.fromarray(where.noise(1, 40, 40)[0]).save(tmp_path / "image" / "a.png")
    where.Image.fromarray(fake).save(tmp_path / "mask" / "a.png")
    rows = gallery.side_by_side(
        masks.find(tmp_path).first(1), {"flat": lambda x: np.ones((len(x), 40, 40)), "rows": lambda x: (
            np.broadcast_to(np.arange(40.0)[None, :, None], (len(x), 40, 40)))}
    )  # fmt: skip
    np.testing.assert_array_equal(rows["what is fake"][0, ..., 0], fake)
    dark = heatmaps.overlay(rows["pictures"][0], np.zeros((40, 40)))
    np.testing.assert_array_equal(rows["flat"][0], dark)
    assert rows["rows"][0, -1].mean() > rows["rows"][0, 0].mean()


def test_a_summary_names_what_a_cell_sees() -> None:
    net = localization.build("xception_block1")
    table = receptive.summary({"xception_block1": net}, (64, 64))
    assert table.loc[0].tolist() == ["xception_block1", 19, 4, "15 x 15", 55010]
