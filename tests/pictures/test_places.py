"""Folders as they come: links, droppings, several names for one thing, and places to call them from."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from tff_core.cli import main
from tff_core.detectors import judge
from tff_core.pictures import audit, data, places

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow" / "scripts"))
import grid

rng = np.random.default_rng(3)


def picture(path: Path, size: tuple[int, int] = (12, 10), channels: int = 3, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def fill(root: Path, n: int = 3) -> Path:
    for label in data.LABELS:
        for i in range(n):
            picture(root / label / f"{i}.png")
    return root


def dropping_inside(folder: Path, name: str) -> None:
    """A dropping with this name, as a folder that has what a data set has, or as a file."""
    if Path(name).suffix and not name.startswith((".Trash", "FOUND", "LOST", ".Spotlight", ".ipynb")):
        (folder / name).write_bytes(b"\0\5\x16\7")
    else:
        for label in data.LABELS:
            (folder / name / label).mkdir(parents=True)
            (folder / name / label / "._0.png").write_bytes(b"\0\5\x16\7")
            picture(folder / name / label / "old.png")
        picture(folder / name / "thumbnail.png")


DROPPINGS = (
    "__MACOSX", "._0.png", ".DS_Store", ".Spotlight-V100", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN",
    "System Volume Information", "FOUND.000", ".Trash-1000", "lost+found", "LOST.DIR", "@eaDir", "#recycle",
    ".ipynb_checkpoints", ".git", "~$0.png", "0.png~", "#0.png#", ".0.png.swp", "0.png.part",
    "0.png.crdownload", "0.png.tmp", "Icon\r",
)  # fmt: skip


@pytest.mark.parametrize("name", DROPPINGS)
@pytest.mark.parametrize("where", [".", "cat", "cat/0_real"])
def test_what_systems_and_editors_leave_behind_is_left_out_and_counted(
    tmp_path: Path, name: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    for group in ("cat", "dog"):
        fill(root / group)
    dropping_inside(root / where, name)
    images = data.scan(root)
    assert images.counts == (6, 6) and images.classes == ("cat", "dog")
    assert [path.name for path in images.stray] == [name]
    found, left_out = judge.find([root])
    assert len(found) == 12 and [path.name for path in left_out] == [name]
    assert audit.sets(tmp_path) == [root] and audit.sets(root) == [root]
    assert main(["check", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folders"][0]["stray"] == 1 and told["folders"][0]["broken"] == 0
    before = grid.listing(str(root))
    dropping = root / where / name
    shutil.rmtree(dropping) if dropping.is_dir() else dropping.unlink()
    assert grid.listing(str(root)) == before  # no picture has changed


def test_droppings_between_data_sets_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("test/biggan", "test/gaugan/cat"):
        fill(tmp_path / name)
    for name in ("__MACOSX", "@eaDir"):
        dropping_inside(tmp_path / "test", name)
        dropping_inside(tmp_path / "test" / "biggan", name)
    (tmp_path / "test" / "readme.txt").write_text("x")
    assert main(["check", str(tmp_path / "test"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["folder"] for row in told["folders"]] == ["biggan", "gaugan"]
    others = [one for one in told["findings"] if one["what"] == "other files"]
    assert [(one["folder"], one["detail"].split()[0]) for one in others] == [(".", "3"), ("biggan", "2")]


def test_a_name_that_only_looks_like_a_dropping_is_a_picture(tmp_path: Path) -> None:
    names = ["x.part.png", "git.png", "tmp.png", "a~b.png", "$x.png", "Thumbs.png", "x (copy).png", "-rf.png"]
    for name in names:
        picture(tmp_path / name)
    assert sorted(path.name for path in judge.find([tmp_path])[0]) == sorted(names)


# --------------------------------------------------------------------------------------------------- links


def linked_label(root: Path, elsewhere: Path) -> Path:
    fill(elsewhere)
    (root / "set").mkdir()
    (root / "set" / "1_fake").symlink_to(elsewhere / "1_fake")
    (root / "set" / "0_real").symlink_to(os.path.relpath(elsewhere / "0_real", root / "set"))
    return root / "set"


def linked_class(root: Path, elsewhere: Path) -> Path:
    fill(elsewhere / "tabby")
    fill(root / "set" / "dog")
    (root / "set" / "cat").symlink_to(elsewhere / "tabby")
    return root / "set"


def linked_twice(root: Path, elsewhere: Path) -> Path:
    folder = linked_class(root, elsewhere / "deep")
    (elsewhere / "again").symlink_to(folder)
    (root / "third").symlink_to(elsewhere / "again")
    return root / "third"


def linked_files(root: Path, elsewhere: Path) -> Path:
    fill(elsewhere)
    for label in data.LABELS:
        (root / "set" / label).mkdir(parents=True)
        for i, path in enumerate(sorted((elsewhere / label).iterdir())):
            (elsewhere / f"{label}{i}").symlink_to(path)
            (root / "set" / label / f"{i}.png").symlink_to(elsewhere / f"{label}{i}")
    return root / "set"


LINKED = {f.__name__: f for f in (linked_label, linked_class, linked_twice, linked_files)}


@pytest.mark.parametrize("name", list(LINKED))
def test_pictures_behind_links_are_found_and_their_changes_are_seen(tmp_path: Path, name: str) -> None:
    (tmp_path / "here").mkdir()
    root = LINKED[name](tmp_path / "here", tmp_path / "elsewhere")
    images = data.scan(root)
    assert images.counts in ((3, 3), (6, 6))
    assert sorted(map(str, judge.find([root])[0])) == sorted(map(str, images.paths))
    assert audit.audit(root).usable
    seen, content = {grid.listing(str(root))}, {data.content_hash(images)}
    real = sorted(path for path in (tmp_path / "elsewhere").rglob("*.png") if path.name == "1.png")[0]
    picture(real)  # another picture in its place
    os.utime(real, ns=(1, 1))
    seen.add(grid.listing(str(root)))
    content.add(data.content_hash(data.scan(root)))
    if name != "linked_files":
        picture(real.with_name("new.png"))
        seen.add(grid.listing(str(root)))
        content.add(data.content_hash(data.scan(root)))
    assert len(seen) == len(content) == (2 if name == "linked_files" else 3)


def test_a_link_that_is_pointed_elsewhere_is_a_change(tmp_path: Path) -> None:
    fill(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copy2)
    fill(tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "0_real")
    (tmp_path / "set" / "0_real").symlink_to(tmp_path / "one" / "0_real")
    before = grid.listing(str(tmp_path / "set"))
    (tmp_path / "set" / "0_real").unlink()
    (tmp_path / "set" / "0_real").symlink_to(tmp_path / "two" / "0_real")
    assert grid.listing(str(tmp_path / "set")) != before


def test_links_in_circles_end_and_are_counted(tmp_path: Path) -> None:
    root = fill(tmp_path / "out" / "set")
    (root / "up").symlink_to(tmp_path)  # above the folder that was named
    (root / "0_real" / "self").symlink_to(root / "0_real" / "self")
    (root / "0_real" / "set").symlink_to(root)
    (root / "ping").symlink_to(root / "pong")
    (root / "pong").symlink_to(root / "ping")
    (root / "1_fake" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found, left_out = judge.find([root])
    assert len(found) == 7  # the one that leads nowhere is a row with an error
    assert sorted(path.name for path in left_out) == ["ping", "pong", "self", "set", "up"]
    assert len(data.scan(root).stray) == 5
    assert grid.listing(str(root)) == grid.listing(str(root))
    assert len(list(places.walk(root))) == 12


def same_spellings(folder: Path) -> list[str]:
    (folder / "x").mkdir()
    (folder / "by link").symlink_to(folder)
    (folder / "b.png").symlink_to("a.png")
    return [
        "a.png",
        str(folder / "a.png"),
        "./x/../a.png",
        f"{folder}/x/..//a.png",
        "by link/a.png",
        "b.png",
        ".",
    ]


def test_a_picture_that_is_named_in_several_spellings_is_judged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    spellings = same_spellings(tmp_path)
    assert judge.find(spellings) == ([Path("a.png")], [Path("b.png"), Path("by link")])
    assert [len(judge.find([one])[0]) for one in spellings] == [1] * len(spellings)
    picture(tmp_path / "c.png")  # the same folder, one picture more
    assert judge.find([*spellings, str(tmp_path)])[0] == [Path("a.png"), Path("c.png")]


# --------------------------------------------------------------------------- one answer wherever it is asked


@pytest.mark.parametrize("name", ["test", "val", "train"])
def test_parts_are_told_from_classes_whatever_the_folder_is_called_from(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for generator in ("biggan", "gaugan"):
        fill(tmp_path / name / generator)
    (tmp_path / "eval").symlink_to(tmp_path / name)
    inside = tmp_path / name / "biggan"
    answers = []
    for here, called in (
        (tmp_path, name), (tmp_path, f"./{name}/"), (tmp_path, f"{tmp_path}/{name}"), (tmp_path, "eval"),
        (tmp_path / name, "."), (tmp_path / name, "./"), (inside, ".."), (inside, "../../eval"),
    ):  # fmt: skip
        monkeypatch.chdir(here)
        assert main(["check", called, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        answers.append((answer["folders"], answer["properties"], len(answer["findings"])))
    assert all(answer == answers[0] for answer in answers)
    assert [row["folder"] for row in answers[0][0]] == ["biggan", "gaugan"]


# ---------------------------------------------------------------------------------- what files hold besides


def save_behind(path: Path) -> None:
    picture(path)
    content = path.read_bytes()
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "steps: 20")
    picture(path, pnginfo=info)
    text = path.read_bytes()
    at = text.index(b"tEXt") - 4
    end = at + 12 + int.from_bytes(text[at : at + 4], "big")
    path.write_bytes(content[:-12] + text[at:end] + content[-12:])


HIDDEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "png, a text behind the pixels": ("png", save_behind),
    "png, bytes behind the end": ("png", lambda path: path.write_bytes(picture(path).read_bytes() + b"x")),
    "jpeg, bytes behind the end": ("jpg", lambda path: path.write_bytes(picture(path).read_bytes() + b"x")),
    "webp, EXIF": ("webp", lambda path: picture(path, lossless=True, exif=b"Exif\0\0MM")),
    "tiff, a text": ("tif", lambda path: picture(path, tiffinfo={305: "a generator"})),
}


@pytest.mark.parametrize("name", list(HIDDEN))
def test_metadata_that_give_the_label_away_are_warned_of_wherever_they_lie(tmp_path: Path, name: str) -> None:
    suffix, save = HIDDEN[name]
    options = {"lossless": True} if suffix == "webp" else {}
    for i in range(20):
        picture(tmp_path / "0_real" / f"{i}.{suffix}", **options)
        (tmp_path / "1_fake").mkdir(exist_ok=True)
        save(tmp_path / "1_fake" / f"{i}.{suffix}")
    found = audit.audit(tmp_path)
    row = found.properties.set_index("property").loc["fields in the header"]
    assert row.auc == 1.0
    assert any(one.detail.startswith("fields in the header alone") for one in found.of("warning"))


def drawing(path: Path, alpha: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    black = np.zeros((*alpha.shape, 3), np.uint8)
    Image.fromarray(np.dstack([black, alpha])).save(
        path, **({"exact": True, "lossless": True} if path.suffix == ".webp" else {})
    )


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_drawings_that_differ_in_their_transparency_are_different_pictures(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = rng.integers(0, 250, (2, 10, 12), dtype=np.uint8)
    drawing(tmp_path / "0_real" / f"0.{suffix}", one)
    drawing(tmp_path / "1_fake" / f"0.{suffix}", two)
    assert main(["check", str(tmp_path), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert not [one for one in findings if one["what"] == "duplicates"]
    told = {one["level"]: one["detail"] for one in findings if one["what"] == "transparency"}
    assert told["note"].startswith("2 pictures are transparent in parts")
    assert told["warning"].startswith(
        "1 pictures among the reals differ from fakes in their transparency alone"
    )
    # one more that is the same throughout is a duplicate, and opaque ones are in any container
    drawing(tmp_path / "1_fake" / f"1.{suffix}", one)
    assert main(["check", str(tmp_path)]) == 2
    assert "1 pictures lie among the reals and among the fakes" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- judging

RULE = judge.Rule(0.0, 0.0, 0.0, "")


def narrow(x: torch.Tensor) -> torch.Tensor:
    """A network that needs 7 pixels a side."""
    return torch.nn.functional.conv2d(x, torch.ones(1, 3, 7, 7)).mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("stability", [False, True])
def test_a_picture_that_the_network_cannot_take_is_one_row_and_the_others_are_judged(
    tmp_path: Path, stability: bool
) -> None:
    sizes = {"good": (12, 10), "tiny": (3, 10), "one": (1, 1), "better": (30, 12)}
    paths = [picture(tmp_path / f"{name}.png", size) for name, size in sizes.items()]
    rows = judge.judge(narrow, paths, RULE, stability=stability).to_dict("records")
    assert [row["decision"] == "unreadable" for row in rows] == [False, True, True, False]
    assert "tiny.png has 3x10 pixels, which the network cannot take" in rows[1]["error"]
    assert "\n" not in rows[1]["error"]


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (2, 60_000)])
def test_a_strip_that_a_resize_would_blow_up_is_one_row_in_little_memory(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = data.Preprocessing.of({"resize": 256, "crop": 224})
    asked = []
    monkeypatch.setattr(data.v2.functional, "resize", lambda x, *_, **__: asked.append(x.shape) or x)
    paths = [picture(tmp_path / "strip.png", size), picture(tmp_path / "good.png", (300, 280))]
    rows = judge.judge(lambda x: x.mean((1, 2, 3))[:, None], paths, RULE, preprocessing=shape).to_dict(
        "records"
    )
    assert [row["decision"] == "unreadable" for row in rows] == [True, False]
    assert (
        f"strip.png: {size[0]}x{size[1]} pixels, resized to a shorter side of 256, would become"
        in rows[0]["error"]
    )
    assert [tuple(one[-2:]) for one in asked] == [(280, 300)]  # nothing was made larger for the strip
    with pytest.raises(data.PictureError, match=r"strip\.png: .*cut the picture first"):
        shape_of = data.ImageSet(tmp_path, (paths[0],), (0,), ("",))
        data.load(shape_of, shape)


def test_a_picture_too_long_for_jpeg_is_judged_without_its_stability(tmp_path: Path) -> None:
    paths = [picture(tmp_path / "long.png", (66_000, 2)), picture(tmp_path / "good.png")]
    rows = judge.judge(lambda x: x.mean((1, 2, 3))[:, None], paths, RULE, stability=True)
    assert set(rows["decision"]) <= {"fake", "real"}
    assert rows["stable"].isna().tolist() == [True, False]


def test_the_number_of_transparent_pictures_is_told(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{i}.png", channels=3 + i % 2) for i in range(5)]
    assert judge.judge(lambda x: x.mean((1, 2, 3))[:, None], paths, RULE).attrs["transparent"] == 2
