"""The audit finds what gives labels away, and says nothing where there is nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tff_core.cli import main
from tff_core.pictures import audit, data

rng = np.random.default_rng(0)


def pixels(size: int = 16) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


def fill(
    root: Path, n: int = 12, real: str = "png", fake: str = "png", options: dict[str, dict] | None = None
) -> Path:
    """Noise as reals and fakes; ``options`` for Pillow by label."""
    for label, suffix in zip(data.LABELS, (real, fake), strict=True):
        (root / label).mkdir(parents=True)
        for i in range(n):
            pixels().save(root / label / f"{i}.{suffix}", **(options or {}).get(label[2:], {}))
    return root


def warned(found: audit.Audit) -> set[str]:
    return {one.detail.split(" alone")[0] for one in found.of("warning") if "alone" in one.detail}


def test_equal_files_raise_no_warning(tmp_path: Path) -> None:
    found = audit.audit(fill(tmp_path / "set", n=25))
    assert found.usable and not found.of("warning") and not found.of("note")
    assert found.folders.to_dict("records") == [
        {
            "folder": ".", "layout": "no class folders", "classes": "", "real": 25, "fake": 25,
            "stray": 0, "broken": 0,
        }
    ]  # fmt: skip
    assert "0 errors, 0 warnings, 0 notes; usable" in audit.text(found)


def test_formats_that_differ_give_the_label_away(tmp_path: Path) -> None:
    found = audit.audit(fill(tmp_path / "set", real="jpg"))
    told = warned(found)
    assert {"file format", "JPEG quantisation tables", "ending of the name", "file size per pixel"} <= told
    row = found.properties.set_index("property").loc["file format"]
    assert row.auc == 1 and row.real == "JPEG 100%" and row.fake == "PNG 100%"
    assert found.usable  # a warning, not an error


def test_quality_tables_and_sampling_of_jpeg(tmp_path: Path) -> None:
    options = {"real": {"quality": 95, "subsampling": 0}, "fake": {"quality": 75}}
    root = fill(tmp_path / "set", real="jpg", fake="jpg", options=options)
    found = audit.audit(root)
    assert {"JPEG quality", "JPEG quantisation tables", "JPEG chroma subsampling"} <= warned(found)
    row = found.properties.set_index("property").loc["JPEG quality"]
    assert (row.auc, row.real, row.fake) == (1, "95 (95 to 95)", "75 (75 to 75)")
    sampling = found.properties.set_index("property").loc["JPEG chroma subsampling"]
    assert (sampling.real, sampling.fake) == ("4:4:4 100%", "4:2:0 100%")


def test_every_table_of_libjpeg_is_recognised(tmp_path: Path) -> None:
    for quality in (1, 30, 75, 90, 95, 100):
        pixels().save(tmp_path / "x.jpg", quality=quality)
        assert audit.facts(tmp_path / "x.jpg")["jpeg_quality"] == quality
    pixels().save(tmp_path / "x.jpg", qtables=[[17] * 64, [3] * 64])
    row = audit.facts(tmp_path / "x.jpg")
    assert row["jpeg_quality"] is None and row["jpeg_tables"].startswith("own (")


def test_exif_sizes_and_header_fields(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    exif = Image.Exif()
    exif[271] = "maker"
    for path in (root / "0_real").iterdir():
        pixels(20).save(path, exif=exif)
    assert {"EXIF", "size in pixels", "width", "height", "fields in the header"} <= warned(audit.audit(root))


def test_a_category_that_occurs_once_says_nothing(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for label in data.LABELS:
        (root / label).mkdir(parents=True)
    sizes = rng.permutation(np.arange(10, 74))
    for i, size in enumerate(sizes):  # every size once
        pixels(int(size)).save(root / data.LABELS[i % 2] / f"{i}.png")
    row = audit.audit(root).properties.set_index("property").loc["size in pixels"]
    assert row.auc <= row.chance


def test_duplicates_between_labels_folders_and_within(tmp_path: Path) -> None:
    one, two = fill(tmp_path / "train" / "gan"), fill(tmp_path / "test" / "gan")
    shutil.copy(one / "0_real" / "0.png", one / "1_fake" / "copy.png")
    Image.open(one / "0_real" / "1.png").save(two / "0_real" / "again.webp", lossless=True)
    shutil.copy(two / "1_fake" / "3.png", two / "1_fake" / "3b.png")
    found = audit.audit(tmp_path)
    assert [place.relative_to(tmp_path).as_posix() for place in audit.sets(tmp_path)] == [
        "test/gan",
        "train/gan",
    ]
    told = {(one.level, one.detail.split(":")[0]) for one in found.findings if one.what == "duplicates"}
    assert told == {
        ("error", "1 pictures lie among the reals and among the fakes"),
        ("warning", "1 pictures lie in more than one folder"),
        ("note", "1 pictures repeat another of their label and folder"),
    }
    assert not found.usable


def test_layouts_are_detected(tmp_path: Path) -> None:
    for name in ("biggan", "progan/cat", "progan/dog"):
        fill(tmp_path / name, n=2)
    (tmp_path / "readme.txt").write_text("x")
    (tmp_path / "progan" / "loop").symlink_to(tmp_path)
    found = audit.audit(tmp_path)
    assert found.folders[["folder", "layout", "real"]].to_numpy().tolist() == [
        ["biggan", "no class folders", 2],
        ["progan", "2 class folders", 4],
    ]
    assert audit.sets(tmp_path / "progan") == [tmp_path / "progan"]
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        audit.audit(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures in the ForenSynths layout"):
        audit.audit(tmp_path / "empty")


def test_one_label_is_an_error_and_the_others_are_still_read(tmp_path: Path) -> None:
    fill(tmp_path / "good")
    fill(tmp_path / "other" / "x")
    (tmp_path / "bad" / "0_real").mkdir(parents=True)
    pixels().save(tmp_path / "bad" / "0_real" / "0.png")
    found = audit.audit(tmp_path)
    assert [one.folder for one in found.of("error")] == ["bad"]
    assert "only one label" in found.of("error")[0].detail
    assert len(found.folders) == 2
    with pytest.raises(ValueError, match="only one label"):
        audit.audit(tmp_path / "bad")


def test_broken_strange_and_misnamed_files(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    (root / "1_fake" / "half.png").write_bytes((root / "1_fake" / "0.png").read_bytes()[:200])
    (root / "1_fake" / "empty.jpg").touch()
    (root / "1_fake" / "notes.txt").write_text("x")
    pixels().save(root / "0_real" / "really.png", format="JPEG")
    frames = [pixels() for _ in range(3)]
    frames[0].save(root / "0_real" / "moves.webp", save_all=True, append_images=frames[1:], lossless=True)
    found = audit.audit(root)
    details = {one.what: one.detail for one in found.findings}
    assert "2 of 28 pictures cannot be read" in details["unreadable"]
    assert "1 are left out: 1_fake/notes.txt" in details["other files"]
    assert "really.png, which is JPEG" in details["endings"]
    assert "of 1 animations" in details["animations"]
    assert "few pictures" in details
    assert int(found.folders["broken"].iloc[0]) == 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = fill(tmp_path / "good"), fill(tmp_path / "bad", real="jpg")
    shutil.copy(bad / "1_fake" / "0.png", bad / "0_real" / "0.png")
    assert main(["check", str(good), "--json", "--out", str(tmp_path / "files.csv")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["usable"] and answer["folders"][0]["real"] == 12
    assert len((tmp_path / "files.csv").read_text().splitlines()) == 25
    assert main(["check", str(bad)]) == 2
    out = capsys.readouterr().out
    assert "error: duplicates" in out and "warning: gives the label away: file format alone" in out
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err
