"""Maps for people: what is drawn, in which order, and a page that opens by itself."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import where
from PIL import Image

from tff_core import localization
from tff_core.localization import evaluation, heatmaps, lightbox
from tff_core.pictures import data


def test_the_easiest_and_hardest_of_each_class_are_its_extremes() -> None:
    pictures = pd.DataFrame(
        {"label": [1, 1, 0, 1, 0, 0, 1], "after_softmax": [0.9, 0.2, 0.1, 0.9, 0.8, 0.3, np.nan]}
    )
    assert heatmaps.ranked(pictures, 1, 2, "after_softmax") == {"hardest": [1, 0], "easiest": [0, 3]}
    assert heatmaps.ranked(pictures, 0, 9, "after_softmax") == {"hardest": [4, 5, 2], "easiest": [2, 5, 4]}


def test_scales_and_constant_maps() -> None:
    values = np.array([[0.2, 0.4], [0.5, 0.6]])
    assert np.array_equal(heatmaps.scaled(values)[0], values) and heatmaps.scaled(values)[1:] == (0.0, 1.0)
    own, low, high = heatmaps.scaled(values, "picture")
    assert (low, high) == (0.2, 0.6) and np.allclose(own, [[0, 0.5], [0.75, 1]])
    for constant in (0.0, 0.5, 1.0):
        shown, *ends = heatmaps.scaled(np.full((3, 4), constant) + 1e-5, "picture")
        assert np.isfinite(shown).all() and np.allclose(shown, constant, atol=1e-4) and ends == [0, 1]
        picture = where.noise(1, 48, 40)[0]
        cells = np.full(localization.map_size("xception_block1", (48, 40)), constant)
        line, area = heatmaps.contour(picture, "xception_block1", cells, fake=True)
        assert area.all() == (constant >= 0.5) and not (line == (255, 255, 0)).all(2).any()
    with pytest.raises(ValueError, match="scale 'own': expected one of absolute, picture"):
        heatmaps.scaled(values, "own")


def test_colours_run_from_dark_to_bright_and_overlays_keep_their_size() -> None:
    colours = heatmaps.coloured(np.linspace(-0.5, 1.5, 64)).astype(int).sum(1)
    assert (np.diff(colours) >= 0).all() and colours[-1] > 500 > colours[0]
    picture = where.noise(1, 20, 31)[0]
    for height in (20, 90):
        whole = where.noise(1, height, 31)[0]
        drawn = heatmaps.with_bar(whole, 0.1, 0.9)
        assert drawn.shape == (max(height, 40), 31 + 48, 3)
    assert (
        heatmaps.overlay(picture, np.zeros((20, 31))).mean()
        < heatmaps.overlay(picture, np.ones((20, 31))).mean()
    )
    with pytest.raises(ValueError, match="a map of 8x8 for a picture of 31x20"):
        heatmaps.overlay(picture, np.zeros((8, 8)))


def test_a_contour_runs_around_what_is_fake() -> None:
    name, size = "xception_block1", (64, 50)
    cells = np.zeros(localization.map_size(name, size))
    cells[3:8, 2:6] = 0.9
    picture = np.full((*size, 3), 100, np.uint8)
    line, area = heatmaps.contour(picture, name, cells, fake=True, sigma=0.5)
    box = localization.box(name, (5, 4), size)
    middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    assert area[middle] and not area[-1, -1] and 0.05 < area.mean() < 0.2
    yellow = (line == (255, 255, 0)).all(2)
    assert yellow.any() and (area[yellow]).all() and (line[~area] == 50).all()
    _, other = heatmaps.contour(picture, name, cells, fake=False, sigma=0.5)
    assert (other == ~area).all()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, data.ImageSet, evaluation.Evaluation]:
    root = tmp_path_factory.mktemp("vis")
    images = where.folder(root / "set", 5, (40, 52))
    net = where.knowing()
    found = evaluation.evaluate(net, images)
    pages = heatmaps.visualise(net, images, found, root / "out", n=3, batch_size=2)
    assert len(pages) == 4
    return root / "out", images, found


@pytest.mark.slow
def test_files_of_the_visualisation(drawn: tuple[Path, data.ImageSet, evaluation.Evaluation]) -> None:
    out, images, _ = drawn
    net = where.knowing()
    cells = localization.map_size(net.name, (40, 52))
    for label, kind in ((1, "fakes"), (0, "reals")):
        for which in ("easiest", "hardest"):
            place = out / kind / which
            preds = pd.read_csv(place / "preds.csv")
            assert preds["rank"].tolist() == [1, 2, 3]
            own = preds["p_fake"] if label else 1 - preds["p_fake"]
            assert own.is_monotonic_decreasing if which == "easiest" else own.is_monotonic_increasing
            mean = []
            for rank, row in preds.iterrows():
                stem = f"{rank + 1:03d}"
                assert images.labels[row["index"]] == label and row["path"] == str(images.paths[row["index"]])
                with Image.open(place / f"{stem}_orig.png") as image:
                    assert np.array_equal(np.asarray(image), data.read(row["path"]).permute(1, 2, 0))
                with np.load(place / f"{stem}_heatmap.npz") as stored:
                    x = data.normalize(data.read(row["path"])[None], localization.INPUT)
                    np.testing.assert_allclose(stored["heatmap"], localization.heatmap(net, x)[0], atol=1e-5)
                    mean.append(stored["heatmap"])
            with np.load(place / "heatmap_avg.npz") as stored:
                assert stored["heatmap"].shape == cells
                np.testing.assert_allclose(stored["heatmap"], np.mean(mean, 0))
    with np.load(out / "easiest_average.npz") as both:
        fakes, reals = (
            np.load(out / kind / "easiest" / "heatmap_avg.npz")["heatmap"] for kind in heatmaps.KINDS
        )
        np.testing.assert_allclose(both["heatmap"], (fakes + 1 - reals) / 2)
    assert not list(out.rglob(".*"))


def test_pictures_of_several_sizes_have_maps_and_no_average(tmp_path: Path) -> None:
    images = where.folder(tmp_path / "set", 3, (40, 52))
    Image.fromarray(where.noise(1, 30, 30)[0]).save(images.paths[0])
    net = where.knowing()
    heatmaps.visualise(net, images, evaluation.evaluate(net, images), tmp_path / "out", n=9, scale="picture")
    assert not (tmp_path / "out" / "reals" / "easiest" / "heatmap_avg.npz").exists()
    assert (tmp_path / "out" / "reals" / "easiest" / "003_map.png").is_file()
    assert (tmp_path / "out" / "fakes" / "easiest" / "heatmap_avg.npz").is_file()


@pytest.mark.slow
def test_what_cannot_be_drawn_is_said(drawn: tuple[Path, data.ImageSet, evaluation.Evaluation]) -> None:
    out, images, found = drawn
    with pytest.raises(ValueError, match="resnet18 is a whole network and has no map"):
        heatmaps.visualise(localization.build("resnet18"), images, found, out)
    with pytest.raises(ValueError, match="ensemble 'mean': expected one of before_softmax"):
        heatmaps.visualise(where.knowing(), images, found, out, ensemble="mean")
    with pytest.raises(ValueError, match="10 scores for 5 pictures"):
        heatmaps.visualise(where.knowing(), images.where(label=1), found, out)


def listed(page: str) -> list[dict]:
    found = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_holds_everything_and_asks_for_nothing(
    drawn: tuple[Path, data.ImageSet, evaluation.Evaluation],
) -> None:
    page = (drawn[0] / "fakes" / "easiest" / "index.html").read_text()
    entries = listed(page)
    assert len(entries) == 3 and all(set(one["views"]) == {"map", "contour", "picture"} for one in entries)
    assert not re.search(r"https?://|src=\"(?!data:)|href=", page)
    for view in entries[0]["views"].values():
        kind, content = view.split(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()
    assert "default-src 'none'" in page


def test_no_name_escapes_from_the_page() -> None:
    name = '</script><script>alert("x")</script>&amp;\u202e\x1b[31m.png'
    pixels = np.zeros((2, 2, 3), np.uint8)
    page = lightbox.page([lightbox.Entry(name, "<b>", {"<i>": pixels})], "<title>&", "<p>")
    assert (
        page.count("<script") == 2
        and page.count("</script>") == 2
        and "<b>" not in page
        and "<i>" not in page
    )
    (entry,) = listed(page)
    assert entry["name"].startswith("</script><script>") and "\x1b" not in entry["name"]
    assert listed(lightbox.page([], "none")) == []
