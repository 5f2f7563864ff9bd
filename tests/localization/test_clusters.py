"""What predictive patches show: categories by brute force, p-values of chance where patches are random."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import where
from PIL import Image
from scipy import stats

from tff_core import detectors, localization
from tff_core.cli import main
from tff_core.localization import bisenet, clusters, inputs, segmenters
from tff_core.localization.inputs import Preparation
from tff_core.localization.predictive import Patches
from tff_core.localization.segmenters import NOTHING, Labels, Pixels
from tff_core.miniature import camera, scenes
from tff_core.miniature.sample import sample
from tff_core.pictures import data

SIZE = 32


class Painted:
    """A segmenter that knows its pictures: red is a thing, blue is the ground, black is nothing."""

    names = ("thing", "ground", "never")

    def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
        red, blue = pictures[..., 0] > 128, pictures[..., 2] > 128
        return np.where(red, 0, np.where(blue, 1, NOTHING)).astype(np.int64)


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> data.ImageSet:
    """Forty fakes and two reals, each with a red square somewhere on blue."""
    root = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(0)
    for label, n in (("1_fake", 40), ("0_real", 2)):
        (root / label).mkdir()
        for i in range(n):
            picture = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
            picture[..., 2] = 255
            y, x = rng.integers(0, SIZE - 10, 2)
            picture[y : y + 10, x : x + 10] = (255, 0, 0)
            Image.fromarray(picture).save(root / label / f"{i:02d}.png")
    return data.scan(root)


def at_cells(
    images: data.ImageSet, cells: Sequence[tuple[int, int]], network: str = "widenet_kw3_d1"
) -> Patches:
    """Patches of the fakes at given cells, as if a network had found them."""
    fakes = [i for i, label in enumerate(images.labels) if label]
    n = len(fakes)
    side = localization.field(network).size
    return Patches(
        network, 1, tuple(images.paths[i] for i in fakes), np.zeros((n, 3, side, side), np.float32),
        np.array(cells), np.array(fakes), np.arange(n, 0, -1.0),
        np.array([localization.box(network, cell, (SIZE, SIZE)) for cell in cells]), np.full((n, 2), SIZE),
    )  # fmt: skip


def test_a_patch_belongs_to_what_it_holds_the_largest_share_of() -> None:
    rng = np.random.default_rng(1)
    segments = rng.integers(-1, 4, (20, 17))
    boxes = localization.boxes("xception_block1", (20, 17))
    found = clusters.categories(segments, boxes, 5)
    for cell in np.ndindex(found.shape):
        top, left, bottom, right = boxes[cell]
        part = segments[top:bottom, left:right]
        shares = [(part == k).sum() / max(1, (segments == k).sum()) for k in range(5)]
        assert found[cell] == (int(np.argmax(shares)) if max(shares) else NOTHING)
    # a small region wins over a large one that fills more of the patch
    eye = np.zeros((20, 17), dtype=np.int64)
    eye[3:5, 3:5] = 1
    assert clusters.categories(eye, np.array([0, 0, 12, 12]), 2) == 1
    assert clusters.categories(np.full((4, 4), NOTHING), np.array([0, 0, 4, 4]), 2) == NOTHING


@pytest.mark.slow
def test_patches_on_things_are_told_from_chance_and_random_ones_are_not(painted: data.ImageSet) -> None:
    network = "widenet_kw3_d1"
    shape = localization.map_size(network, (SIZE, SIZE))
    segmenter, rng = Painted(), np.random.default_rng(2)
    on_things, anywhere = [], []
    fakes = [path for path, label in zip(painted.paths, painted.labels, strict=True) if label]
    for path in fakes:
        segments = segmenter(data.read(path).permute(1, 2, 0).numpy()[None], [path])[0]
        cells = clusters.categories(segments, localization.boxes(network, (SIZE, SIZE)), 3)
        on_things.append(tuple(np.argwhere(cells == 0)[0]))
        anywhere.append([tuple(cell) for cell in rng.integers(0, shape, (60, 2))])
    found = clusters.sort(at_cells(painted, on_things), segmenter)
    table = found.table.set_index("category")
    assert table.loc["thing", "patches"] == 40 == found.counted
    assert table.loc["thing", "p_holm"] < 0.01 and table.loc["thing", "high"] < 40
    assert table["expected"].sum() == pytest.approx(40) and table.loc["never", "p"] == 1
    # where patches are at random cells, the p-values of a category are those of chance
    p = [
        clusters.sort(
            at_cells(painted, [row[i] for row in anywhere]), segmenter, draws=199, seed=i
        ).table["p"][0]
        for i in range(60)
    ]  # fmt: skip
    assert np.mean(np.array(p) <= 0.1) < 0.25 and np.median(p) > 0.2
    again = clusters.sort(at_cells(painted, on_things), segmenter)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_random_counts_are_those_of_random_cells(painted: data.ImageSet) -> None:
    """The interval of chance against the exact distribution, where all pictures have equal odds."""

    class Halves:
        names = ("left", "right")

        def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
            out = np.zeros(pictures.shape[:3], dtype=np.int64)
            out[:, :, SIZE // 4 :] = 1
            return out

    network = "widenet_kw3_d1"
    cells = clusters.categories(
        Halves()(np.zeros((1, SIZE, SIZE, 3), np.uint8), [])[0], localization.boxes(network, (SIZE, SIZE)), 2
    )
    share = float((cells == 0).mean())
    found = clusters.sort(at_cells(painted, [(0, 0)] * 40), Halves()).table
    assert found["expected"][0] == pytest.approx(40 * share)
    low, high = stats.binom.ppf([0.025, 0.975], 40, share)
    assert abs(found["low"][0] - low) <= 1 and abs(found["high"][0] - high) <= 1
    exact = min(1.0, 2 * stats.binom.sf(found["patches"][0] - 1, 40, share))
    assert found["p"][0] == pytest.approx(max(exact, 2 / (1 + clusters.DRAWS)), rel=0.3, abs=1e-3)


def test_what_cannot_be_sorted_is_said(painted: data.ImageSet) -> None:
    patches = at_cells(painted, [(0, 0)] * 40)
    twice = patches.take([0, 0, 1])
    with pytest.raises(ValueError, match=r"3 patches come from 2 pictures: expected one of each"):
        clusters.sort(twice, Painted())
    with pytest.raises(ValueError, match="expected the preparation that the patches were found with"):
        clusters.sort(patches, Painted(), Preparation(load=24))
    with pytest.raises(ValueError, match="0 draws"):
        clusters.sort(patches, Painted(), draws=0)

    class Blind:
        names = ("thing",)

        def __call__(self, pictures: Pixels, paths: Sequence[Path]) -> Labels:
            return np.full(pictures.shape[:3], NOTHING, dtype=np.int64)

    with pytest.raises(clusters.NoCategory, match="none of 40 patches has a category"):
        clusters.sort(patches, Blind())


def test_labels_are_resized_and_cut_as_pictures_are() -> None:
    labels = np.zeros((40, 60), dtype=np.int64)
    labels[:, 30:] = 7
    labels[:4] = NOTHING
    picture = torch.from_numpy(np.stack([labels * 30 + 40] * 3)).to(torch.uint8)
    preparation = Preparation(load=20)
    seen = preparation.tested(picture, whole=False)[0].numpy()
    found = inputs.prepared_labels(labels, preparation)
    assert found.shape == seen.shape == (20, 20) and set(np.unique(found)) == {NOTHING, 0, 7}
    inner = (slice(4, None), [*range(8), *range(12, 20)])  # away from edges, which Lanczos blurs
    np.testing.assert_allclose(seen[inner], found[inner] * 30 + 40, atol=3)
    assert inputs.prepared_labels(labels, Preparation()).tolist() == labels.tolist()


# ------------------------------------------------------------------------------------------------ segmenters


def test_the_miniatures_segmentation_is_the_scenes(tmp_path: Path) -> None:
    sample("test", "gaugan", tmp_path / "gaugan", 4, progress=False)
    images = data.scan(tmp_path / "gaugan")
    segmenter = segmenters.Scenes(images)
    assert segmenter.names == tuple(scenes.SEGMENTS)
    real = images.paths[images.labels.index(0)]
    found = segmenter(np.zeros((1, 64, 64, 3), np.uint8), [real])[0]
    shot = camera.take("test", scenes.CLASSES[0], 0, generator="gaugan", camera=camera.EDITION_2)
    assert np.array_equal(shot.pixels, data.read(real).permute(1, 2, 0).numpy())
    assert np.array_equal(found, shot.segments)
    unknown = segmenter(np.zeros((1, 64, 64, 3), np.uint8), [Path("elsewhere.png")])
    assert (unknown == NOTHING).all()
    where.folder(tmp_path / "other", 2, (32, 32))
    with pytest.raises(ValueError, match="has no picture whose scene is known"):
        segmenters.Scenes(data.scan(tmp_path / "other"))


def test_masks_are_read_and_held_to_their_pictures(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255], [1, 1, 0]], dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "a.png")
    segmenter = segmenters.Masks(tmp_path, ["skin", "hair"])
    pictures = np.zeros((1, 2, 3, 3), dtype=np.uint8)
    assert segmenter(pictures, [Path("x/a.jpg")]).tolist() == [[[0, 1, NOTHING], [1, 1, 0]]]
    Image.fromarray(mask.T.copy()).save(tmp_path / "turned.png")
    Image.fromarray(np.full((2, 3), 9, dtype=np.uint8)).save(tmp_path / "many.png")
    Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:30])
    for name, complaint in (
        ("missing", "is missing: expected the mask of"),
        ("turned", "has 2x3 pixels and its picture 3x2"),
        ("many", "has the number 9: expected 0 to 1"),
        ("rgb", "has the mode RGB: expected one 8-bit number"),
        ("broken", "cannot be read"),
    ):
        with pytest.raises(data.PictureError, match=complaint):
            segmenter(pictures, [Path(f"{name}.png")])
    with pytest.raises(FileNotFoundError, match="expected masks"):
        segmenters.Masks(tmp_path / "nowhere", ["a"])


def test_a_grid_superpixels_and_the_template_cover_any_picture() -> None:
    rng = np.random.default_rng(3)
    picture = np.full((30, 41, 3), 40, dtype=np.uint8)
    picture[:, 20:] = rng.integers(100, 255, (30, 21, 3))
    grid = segmenters.Grid(2, 3)(picture[None], [Path("a")])[0]
    assert set(np.unique(grid)) == set(range(6)) and grid[0, 0] == 0 and grid[-1, -1] == 5
    found = segmenters.Superpixels(12)(picture[None], [Path("a")])[0]
    names = np.array(segmenters.Superpixels.names)
    assert set(names[np.unique(found[:, :8])]) == {"dark, smooth"}
    assert {name.split(", ")[1] for name in names[np.unique(found[:, 33:])]} == {"textured"}
    face = segmenters.Face()(np.zeros((2, 128, 128, 3), np.uint8), [Path("a"), Path("b")])
    assert face.shape == (2, 128, 128) and np.array_equal(face[0], face[0][:, ::-1])
    told = {segmenters.FACE[i] for i in np.unique(face)}
    assert told == set(segmenters.FACE) - {"hat"}
    assert segmenters.FACE[face[0, 60, 47]] == "eyes" and segmenters.FACE[face[0, 93, 64]] == "mouth"
    for make in (lambda: segmenters.Grid(0, 1), lambda: segmenters.Superpixels(0)):
        with pytest.raises(ValueError, match="expected at least"):
            make()


@pytest.mark.slow
def test_the_face_parser_takes_its_weights_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = bisenet.BiSeNet().eval()
    assert sum(p.numel() for p in net.parameters()) == 13_300_416
    path = tmp_path / "79999_iter.pth"
    torch.save(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    parser = segmenters.Parser(path, digest)
    picture = np.random.default_rng(0).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    found = parser(picture[None], [Path("a")])
    assert found.shape == (1, 50, 60) and set(np.unique(found)) <= set(range(len(segmenters.FACE)))
    # the groups of the 19 classes, from the network's own scores
    large = np.asarray(Image.fromarray(picture).resize((512, 512), Image.Resampling.BILINEAR))
    with torch.no_grad():
        x = data.normalize(torch.from_numpy(large.copy()).permute(2, 0, 1)[None])
        classes = net(x).argmax(1)[0].numpy()
    small = Image.fromarray(classes.astype(np.uint8)).resize((60, 50), Image.Resampling.NEAREST)
    near = np.asarray(small)
    groups = {17: "hair", 1: "skin", 10: "nose", 14: "neck", 15: "neck", 6: "eyes"}
    for number, name in groups.items():
        assert all(segmenters.FACE[i] == name for i in found[0][near == number])
    with pytest.raises(detectors.WeightsError, match="has the SHA-256"):
        segmenters.Parser(path, "0" * 64)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(detectors.WeightsError):
        segmenters.Parser(path)
    with pytest.raises(FileNotFoundError, match="weights of the face parser"):
        segmenters.Parser(tmp_path / "none.pth")


# --------------------------------------------------------------------------------------------------- command


@pytest.mark.slow
def test_the_command_sorts_both_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where.folder(tmp_path / "set", 6, (40, 40))
    net = where.knowing(1)
    weights = tmp_path / "w.safetensors"
    localization.save(net, weights)
    out = tmp_path / "out"
    base = [
        "clusters",
        str(tmp_path / "set"),
        "--weights",
        str(weights),
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    assert main([*base, "--n", "5", "--quiet"]) == 0
    told = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(told) == 18 and told.groupby("label")["patches"].sum().tolist() == [5, 5]
    for kind in ("fakes", "reals"):
        counts = (out / kind / "counts.txt").read_text().splitlines()
        assert sum(int(re.search(r"(\d+) patches", line)[1]) for line in counts) == 5  # type: ignore[index]
        rows = pd.read_csv(out / kind / "patches.csv")
        assert len(rows) == 5 and rows["category"].notna().all()
        with np.load(out / kind / "cluster_0.npz") as stored:
            assert stored["value"].tolist() == sorted(stored["value"])
        assert len(list((out / kind).glob("cluster_*.png"))) == len(counts)
    for more, complaint in (
        (["--segmenter", "masks"], "needs --masks DIR and --names NAME"),
        (["--segmenter", "parser"], "needs --parser FILE"),
        (["--names", "a"], "--masks belongs to --segmenter masks"),
        (["--segmenter", "scenes"], "has no picture whose scene is known"),
    ):
        assert main([*base, *more]) == 2
        assert complaint in capsys.readouterr().err


def test_clusters_of_an_earlier_run_do_not_stay(painted: data.ImageSet, tmp_path: Path) -> None:
    for name in ("cluster_0.png", "cluster_7.png", "cluster_7.npz", "cluster_notes.txt"):
        (tmp_path / name).write_bytes(b"earlier")
    found = clusters.sort(at_cells(painted, [(0, 0)] * 40), Painted())
    found.write(tmp_path)
    groups = len(set(found.category.tolist()))
    expected = {f"cluster_{i}.{kind}" for i in range(groups) for kind in ("png", "npz")}
    assert {path.name for path in tmp_path.glob("cluster_*")} == expected | {"cluster_notes.txt"}
    assert (tmp_path / "cluster_0.png").read_bytes() != b"earlier"
