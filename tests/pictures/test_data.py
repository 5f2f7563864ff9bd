"""Folders of pictures: found, checked, read the same way every time, and refused with one clear sentence."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from tff_core.pictures import data


def picture(path: Path, size: tuple[int, int] = (8, 8), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def layout(root: Path, classes: tuple[str, ...] = (), n: int = 3) -> Path:
    seed = 0
    for folder in [root / name for name in classes] or [root]:
        for name in data.LABELS:
            for i in range(n):
                picture(folder / name / f"{i:03d}.png", seed=seed)
                seed += 1
    return root


def test_without_class_folders(tmp_path: Path) -> None:
    images = data.scan(layout(tmp_path))
    assert images.classes == ()
    assert images.labels == (0, 0, 0, 1, 1, 1)
    assert [p.name for p in images.paths] == ["000.png", "001.png", "002.png"] * 2
    assert images.counts == (3, 3)


def test_with_class_folders_and_stray_files(tmp_path: Path) -> None:
    layout(tmp_path, ("cat", "a 'b' <i>ü"), n=2)
    stray = ["notes.txt", "cat/1_fake/.DS_Store", "cat/1_fake/._000.png", "cat/Thumbs.db", "zebra/readme"]
    for name in stray:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / data.MANIFEST).write_text("{}")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    images = data.scan(tmp_path)
    assert images.classes == ("a 'b' <i>ü", "cat")
    assert len(images) == 8
    found = {p.relative_to(tmp_path).as_posix() for p in images.stray}
    assert found == {
        "notes.txt",
        "cat/1_fake/.DS_Store",
        "cat/1_fake/._000.png",
        "cat/Thumbs.db",
        "zebra",
        "cat/loop",
    }


def test_wrong_folders_are_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is no folder: expected"):
        data.scan(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no pictures in the ForenSynths layout.*found nothing"):
        data.scan(tmp_path / "empty")
    picture(tmp_path / "one" / "0_real" / "a.png")
    with pytest.raises(ValueError, match=r"only one label: found no picture in .*1_fake"):
        data.scan(tmp_path / "one")
    layout(tmp_path / "both")
    layout(tmp_path / "both", ("cat",))
    with pytest.raises(ValueError, match=r"both 0_real or 1_fake and class folders \(cat"):
        data.scan(tmp_path / "both")


def test_first_and_sample_are_even_over_classes_and_deterministic(tmp_path: Path) -> None:
    images = data.scan(layout(tmp_path, ("a", "b", "c"), n=4))
    first = images.where(label=1, first=7)
    assert [first.groups.count(g) for g in "abc"] == [3, 2, 2]
    assert set(first.labels) == {1}
    assert [p.name for p in first.paths if p.parts[-3] == "b"] == ["000.png", "001.png"]
    assert images.where(first=5).counts == (5, 5)
    assert len(images.where(group="c")) == 8
    drawn = images.sample(6, seed=1)
    assert drawn == images.sample(6, seed=1) != images.sample(6, seed=2)
    assert len(set(drawn.paths)) == 12
    assert [drawn.where(label=0).groups.count(g) for g in "abc"] == [2, 2, 2]
    assert images.sample(100, seed=0) == images.take(range(24))
    with pytest.raises(ValueError, match="0 pictures were asked for"):
        images.sample(0, seed=0)


def test_load_and_batches_agree(tmp_path: Path) -> None:
    images = data.scan(layout(tmp_path, n=5))
    x = data.load(images)
    assert x.shape == (10, 3, 8, 8)
    assert np.array_equal(x[0].permute(1, 2, 0).numpy(), np.asarray(Image.open(images.paths[0])))
    batches = data.batches(images, 4)
    for _ in range(2):  # the second pass comes from memory
        seen = torch.cat([index for _, _, index in batches])
        assert seen.tolist() == list(range(10))
        assert torch.equal(torch.cat([b for b, _, _ in batches]), data.normalize(x))
        assert torch.cat([y for _, y, _ in batches]).tolist() == list(images.labels)


def test_pictures_of_mixed_sizes_share_batches_by_size(tmp_path: Path) -> None:
    for i, size in enumerate([(8, 8), (12, 8), (8, 8), (8, 12)]):
        picture(tmp_path / "0_real" / f"{i}.png", size, seed=i)
    picture(tmp_path / "1_fake" / "0.png", (12, 8))
    images = data.scan(tmp_path)
    with pytest.raises(ValueError, match=r"1\.png has 12x8 pixels and .*0\.png has 8x8: expected one size"):
        data.load(images)
    seen = []
    for x, _, index in data.batches(images, 50):
        for row, i in zip(x, index.tolist(), strict=True):
            assert torch.equal(row, data.normalize(data.read(images.paths[i])))
            seen.append(i)
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert len(data.batches(images, 50)) == 3
    assert data.batches(images, 50).order == seen


def test_a_batch_of_large_pictures_has_fewer_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, size in enumerate([(8, 8)] * 5 + [(16, 8)] * 3 + [(30, 30)] * 2):
        picture(tmp_path / "0_real" / f"{i}.png", size, seed=i)
    picture(tmp_path / "1_fake" / "0.png", (8, 8))
    images = data.scan(tmp_path)
    assert [len(x) for x, _, _ in data.batches(images, 4)] == [4, 2, 3, 2]
    monkeypatch.setattr(data, "_BATCH_PIXELS", 2 * 16 * 8)
    assert [tuple(x.shape) for x, _, _ in data.batches(images, 3)] == [
        (3, 3, 8, 8), (3, 3, 8, 8), (2, 3, 8, 16), (1, 3, 8, 16), (1, 3, 30, 30), (1, 3, 30, 30),
    ]  # fmt: skip
    assert [len(x) for _, x in data.stream(images.paths, 3)].count(3) == 2


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", r"0 bytes"), (b"hello", "UnidentifiedImageError"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "bytes")],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(data.PictureError, match=rf"x\.png cannot be read as a picture.*{found}.*replace or"):
        data.read(path)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        path = picture(tmp_path / f"x{suffix}", (64, 64))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(data.PictureError, match="cannot be read as a picture"):
            data.read(path)


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(data.PictureError, match=r"89478485.*allowed"):
        data.read(path)


def test_other_kinds_of_pictures_become_rgb(tmp_path: Path) -> None:
    gray16 = np.array([[0, 257 * 7], [65535, 128]], dtype=np.uint16)
    Image.fromarray(gray16).save(tmp_path / "g16.png")
    assert data.read(tmp_path / "g16.png")[0].tolist() == [[0, 7], [255, 0]]
    for mode in ("L", "P", "RGBA", "CMYK", "1", "LA"):
        path = tmp_path / f"{mode}.tif"
        Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(path)
        assert data.read(path).unique().tolist() == [255], mode
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert data.read(tmp_path / "a.webp")[:, 0, 0].tolist() == [255, 0, 0]
    assert data.read(picture(tmp_path / "tiny.png", (1, 1))).shape == (3, 1, 1)
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(data.PictureError, match="floating-point"):
        data.read(tmp_path / "f.tif")


def test_normalize_and_grayscale() -> None:
    x = torch.arange(256, dtype=torch.uint8).repeat(3, 1).reshape(1, 3, 16, 16)
    by_hand = (x.float() / 255 - torch.tensor(data.IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(
        data.IMAGENET_STD
    ).view(3, 1, 1)
    assert torch.allclose(data.normalize(x), by_hand, atol=1e-6)
    assert torch.allclose(data.normalize(x.float() / 255), by_hand, atol=1e-6)
    with pytest.raises(ValueError, match=r"torch\.int32: expected uint8"):
        data.normalize(x.int())
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    gray = data.grayscale(torch.from_numpy(pixels).permute(2, 0, 1))
    assert np.array_equal(gray.numpy(), np.repeat(luma[None], 3, axis=0))


def test_content_hash_sees_bytes_labels_and_names_but_not_the_place(tmp_path: Path) -> None:
    one = data.scan(layout(tmp_path / "a"))
    assert data.content_hash(one) == data.content_hash(data.scan(layout(tmp_path / "b")))
    picture(one.paths[0], seed=99)
    changed = data.content_hash(one)
    assert changed != data.content_hash(data.scan(tmp_path / "b"))
    one.paths[-1].rename(one.paths[-1].with_name("renamed.png"))
    assert data.content_hash(data.scan(tmp_path / "a")) != changed


def test_preprocessing_is_what_torchvision_makes_of_it(tmp_path: Path) -> None:
    shape = data.Preprocessing.of({"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 1], "resize": 12, "crop": 8})
    rng = np.random.default_rng(0)
    for label in data.LABELS:
        (tmp_path / label).mkdir()
        for i, size in enumerate([(20, 30), (16, 16)]):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    images = data.scan(tmp_path)
    seen = {}
    for x, _, index in data.batches(images, 2, preprocessing=shape):
        assert x.shape[1:] == (3, 8, 8)
        seen |= dict(zip(index.tolist(), x, strict=True))
    whole = data.load(images, shape)
    assert whole.shape == (4, 3, 8, 8)
    for i, path in enumerate(images.paths):
        pixels = v2.functional.center_crop(v2.functional.resize(data.read(path), [12]), [8])
        torch.testing.assert_close(whole[i], pixels, rtol=0, atol=0)
        expected = v2.functional.normalize(pixels.float() / 255, [0.5, 0.4, 0.3], [0.5, 0.25, 1])
        torch.testing.assert_close(seen[i], expected)
        assert shape.bounds[0] <= float(seen[i].min()) and float(seen[i].max()) <= shape.bounds[1]
    assert shape.bounds == (-0.4 / 0.25, 0.6 / 0.25)
    assert data.Preprocessing.of({}) == data.IMAGENET


def test_a_network_that_sees_luma_alone_or_chroma_alone_is_blind_to_the_other() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((4, 3, 8, 8))).float()
    plain = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    luma, chroma = (data.Preprocessing.of(plain | {"planes": name}) for name in ("luma", "chroma"))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    seen = data.normalize(x, luma)
    torch.testing.assert_close(seen, (weights * x).sum(1, keepdim=True).expand_as(x))
    left = data.normalize(x, chroma)
    torch.testing.assert_close((weights * left).sum(1), torch.full((4, 8, 8), 0.5))
    # more light changes the luma alone; other colours of the same luma change the chroma alone
    torch.testing.assert_close(data.normalize(x + 0.2, chroma), left)
    tinted = x + torch.tensor([0.0, 0.114, -0.587]).view(3, 1, 1)
    torch.testing.assert_close(data.normalize(tinted, luma), seen)
    torch.testing.assert_close(seen + left - 0.5, x)
    for shape in (luma, chroma, replace(data.IMAGENET, planes="chroma")):
        ends = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).T[None, :, :, None]
        found = data.normalize(ends, shape)
        low, high = shape.bounds
        assert low <= float(found.min()) + 1e-6 and float(found.max()) <= high + 1e-6
        if shape is chroma:
            assert (low, high) == pytest.approx((-0.386, 1.386))
            assert (float(found.min()), float(found.max())) == pytest.approx((low, high))


def test_luma_and_chroma_are_those_of_jpeg() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    shape = data.Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), planes="ycbcr")
    seen = data.normalize(torch.from_numpy(pixels).permute(2, 0, 1), shape)
    expected = np.array(Image.fromarray(pixels).convert("YCbCr")).transpose(2, 0, 1) / 255
    assert np.abs(seen.numpy() - expected).max() < 1.2 / 255  # rounded there, and around 128 of 255
    ends = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).T[None, :, :, None]
    found = data.normalize(ends, shape)
    assert (float(found.min()), float(found.max())) == pytest.approx(shape.bounds, abs=1e-6)


@pytest.mark.parametrize("planes", data.PLANES)
def test_a_highpass_leaves_the_differences_from_the_mean_around(planes: str) -> None:
    shape = data.Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), planes=planes, highpass=3)
    x = torch.from_numpy(np.random.default_rng(0).random((2, 3, 9, 7))).float()
    seen, plain = data.normalize(x, shape), data.normalize(x, replace(shape, highpass=None))
    middle = plain[..., 4, 3] - plain[..., 3:6, 2:5].mean((-2, -1))
    torch.testing.assert_close(seen[..., 4, 3], middle + 0.5)
    corner = plain[..., 0, 0] - plain[..., :2, :2].mean((-2, -1))  # of the pixels that are there
    torch.testing.assert_close(seen[..., 0, 0], corner + 0.5)
    torch.testing.assert_close(
        data.normalize(torch.full((1, 3, 5, 5), 0.3), shape), torch.full((1, 3, 5, 5), 0.5)
    )
    # the bounds hold for every colour among every other, and are reached
    colours = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    ends = torch.zeros(64, 3, 3, 3)
    for i, (inner, outer) in enumerate(itertools.product(colours, repeat=2)):
        ends[i] = outer[:, None, None]
        ends[i, :, 1, 1] = inner
    found = data.normalize(ends, shape)
    assert (float(found.min()), float(found.max())) == pytest.approx(shape.bounds, abs=1e-6)


@pytest.mark.parametrize("highpass", [None, 3])
def test_the_contrast_of_a_picture_says_nothing_where_it_is_brought_to_one_value(
    highpass: int | None,
) -> None:
    shape = data.Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), highpass=highpass, contrast=0.125)
    x = torch.from_numpy(np.random.default_rng(0).random((2, 3, 16, 16))).float()
    seen = data.normalize(x, shape)
    torch.testing.assert_close(data.normalize(0.3 * x + 0.2, shape), seen, atol=1e-5, rtol=0)
    spread = (seen - 0.5).square().mean((-2, -1)).sqrt()
    torch.testing.assert_close(spread, torch.full((2, 3), 0.125), atol=1e-3, rtol=0)
    # a channel that is flat but for rounding is not blown up, and nothing leaves the bounds
    flat = torch.full((1, 3, 16, 16), 0.5)
    torch.testing.assert_close(data.normalize(flat, shape), flat)
    flat[..., 8, 8] += 1 / 255
    assert float((data.normalize(flat, shape) - 0.5).square().mean().sqrt()) < 0.02
    spot = torch.zeros(1, 3, 16, 16)
    spot[..., 8, 8] = 1
    assert shape.bounds == (0, 1)
    found = data.normalize(spot, shape)
    assert float(found.min()) >= 0 and float(found.max()) == 1


def test_pictures_of_several_sizes_are_cut_to_their_common_middle_to_be_looked_at(tmp_path: Path) -> None:
    picture = torch.arange(6 * 8, dtype=torch.uint8).reshape(6, 8)
    for label, cut in zip(data.LABELS, (picture, picture[1:5]), strict=True):
        (tmp_path / label).mkdir()
        Image.fromarray(cut.numpy()).save(tmp_path / label / "0.png")
    images = data.scan(tmp_path)
    with pytest.raises(ValueError, match="expected one size"):
        data.load(images)
    both = data.load(images, middle=True)
    assert both.shape == (2, 3, 4, 8)
    torch.testing.assert_close(both[0], both[1], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scale": 2}, "unknown 'scale'; expected mean, std, resize, crop, planes, highpass or contrast"),
        ({"planes": "hue"}, "planes is 'hue'; expected one of rgb, luma, chroma, ycbcr"),
        ({"mean": [0.5, 0.5]}, "mean is .*; expected three numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean is .*; expected three numbers"),
        ({"std": [1, 1, 0]}, "std is .*; expected numbers above 0"),
        ({"crop": 0}, "crop is 0; expected a number of pixels"),
        ({"highpass": 4}, "highpass is 4; expected an odd number of pixels"),
        ({"highpass": 1}, "highpass is 1; expected an odd number of pixels"),
        ({"contrast": 0}, "contrast is 0; expected a number above 0, at most 0.5"),
        ({"contrast": True}, "contrast is True; expected a number above 0"),
        ({"resize": "256"}, "resize is '256'; expected a number of pixels"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        data.Preprocessing.of(settings)


def test_the_luma_of_every_colour_is_pillows() -> None:
    levels = torch.cartesian_prod(*[torch.arange(0, 256, 5)] * 3).to(torch.uint8)
    some = torch.randint(0, 256, (60_000, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = torch.cat([levels, some]).T[:, None, :]
    theirs = Image.fromarray(x.permute(1, 2, 0).contiguous().numpy()).convert("L")
    assert data.luma(x)[0].to(torch.uint8).numpy().tolist() == np.asarray(theirs).tolist()
