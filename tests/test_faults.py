"""Files and folders as they come: each fault is a clear error or a counted skip, and none runs code."""

import contextlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tff_core import detectors
from tff_core.cli import main
from tff_core.detectors import judge
from tff_core.pictures import audit, data
from tff_core.store import results

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
import build  # noqa: E402
import grid  # noqa: E402
import link as linking  # noqa: E402
import steps  # noqa: E402

RULE = judge.Rule(0.0, 0.0, 0.0, "")


def noise(size: tuple[int, int] = (12, 10), channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(noise())).save(stream, kind, **options)
    return stream.getvalue()


def forward(x: torch.Tensor) -> torch.Tensor:
    return x.mean((1, 2, 3))[:, None]


def judged(*paths: Path) -> list[dict]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return judge.judge(forward, list(paths), RULE).to_dict("records")


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "zero.png": (lambda: b"", r"the file is empty \(0 bytes\)"),
    "text.jpg": (lambda: b"hello, I am a letter", "UnidentifiedImageError"),
    "half.png": (lambda: encoded("PNG")[:150], "bytes"),
    "half.jpg": (lambda: encoded("JPEG")[:-200], "[Tt]runcated"),
    "half.webp": (lambda: encoded("WEBP")[:60], "bytes"),
    "crc.png": (lambda: encoded("PNG").replace(b"IHDR\0\0\0\x0c", b"IHDR\0\0\0\x0d"), "bytes"),
    "bomb.png": (lambda: encoded("PNG", Image.new("1", (20_000, 20_000))), "pixels allowed"),
    "script.png": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "UnidentifiedImageError"),
    "float.tiff": (lambda: encoded("TIFF", Image.fromarray(np.zeros((2, 2), np.float32))), "floating-point"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_picture_is_a_row_that_says_why(tmp_path: Path, name: str) -> None:
    make, why = BROKEN[name]
    bad, good = tmp_path / name, tmp_path / "good.png"
    bad.write_bytes(make())
    good.write_bytes(encoded("PNG"))
    first, second = judged(bad, good)
    assert first["decision"] == "unreadable" and second["decision"] in ("fake", "real")
    with pytest.raises(data.PictureError, match=why):
        data.read(bad)
    assert name in first["error"]


def red(size: tuple[int, int] = (5, 5)) -> Image.Image:
    return Image.new("RGB", size, "red")


MOVES = {"save_all": True, "append_images": [Image.new("RGB", (5, 5), "blue")]}
GRAY16 = Image.fromarray(np.arange(120, dtype=np.uint16).reshape(10, 12) * 500)
WHOLE: dict[str, Callable[[], bytes]] = {
    "really_jpeg.png": lambda: encoded("JPEG"),
    "cmyk.jpg": lambda: encoded("JPEG", Image.fromarray(noise(channels=4), "CMYK")),
    "gray16.png": lambda: encoded("PNG", GRAY16),
    "palette.png": lambda: encoded("PNG", Image.fromarray(noise()).quantize(8)),
    "transparent.png": lambda: encoded("PNG", Image.fromarray(noise(channels=4), "RGBA")),
    "one.png": lambda: encoded("PNG", red((1, 1))),
    "moves.gif": lambda: encoded("GIF", red(), **MOVES),
    "moves.png": lambda: encoded("PNG", red(), **MOVES),
    "with space.png": lambda: encoded("PNG"),
    "ünïcödé 漢字 🦊.png": lambda: encoded("PNG"),
    "quote'\"`$(touch x).png": lambda: encoded("PNG"),
    "<img src=x onerror=alert(1)>.png": lambda: encoded("PNG"),
    "line\nbreak,comma.png": lambda: encoded("PNG"),
    "-rf.png": lambda: encoded("PNG"),
}


@pytest.mark.parametrize("name", list(WHOLE))
def test_an_unusual_picture_is_judged_by_its_first_frame_in_rgb(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WHOLE[name]())
    row = judged(path)[0]
    assert row["decision"] in ("fake", "real") and row["path"] == str(path)
    pixels = data.read(path)
    assert pixels.dtype == torch.uint8 and pixels.shape[0] == 3
    if name.startswith(("moves", "one")):
        assert pixels[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("arch", list(detectors.ARCHITECTURES))
def test_the_networks_take_a_picture_of_one_pixel(arch: str) -> None:
    torch.manual_seed(0)
    out = judge.logits_of(
        detectors.build(arch), torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.device("cpu")
    )
    assert out.shape == (1,) and np.isfinite(out).all()


def test_a_name_that_is_no_text_reaches_csv_json_and_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "w.pth"
    torch.save(detectors.build("efb0").state_dict(), weights)
    folder = tmp_path / "pictures"
    folder.mkdir()
    raw = os.path.join(os.fsencode(folder), b"\xff\x1b[31m.png")  # noqa: PTH118  (bytes: pathlib has text only)
    try:
        with open(raw, "wb") as stream:  # noqa: PTH123
            stream.write(encoded("PNG"))
    except OSError:
        pytest.skip("this file system takes names of text only")
    common = ["--weights", str(weights), "--arch", "efb0", "--no-stability"]
    assert main(["detect", str(folder), *common, "--out", str(tmp_path / "x.csv")]) == 0
    assert rb"\xff" in (tmp_path / "x.csv").read_bytes()
    assert main(["detect", str(folder), *common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["decision"] in ("fake", "real")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded("PNG"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # root may read everything

    monkeypatch.setattr(Image, "open", refuse)
    row = judged(path)[0]
    assert row["decision"] == "unreadable" and "may not be read (Permission denied)" in row["error"]


def test_links_that_lead_in_circles(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in data.LABELS:
        (folder / label).mkdir(parents=True)
        (folder / label / "0.png").write_bytes(encoded("PNG", Image.new("RGB", (4, 4), label[2:] == "real")))
    (folder / "0_real" / "self.png").symlink_to(folder / "0_real" / "self.png")
    (folder / "1_fake" / "up").symlink_to(folder)
    (folder / "loop").symlink_to(folder)
    found, left_out = judge.find([folder])
    assert [path.name for path in found] == ["0.png", "self.png", "0.png"]
    assert sorted(path.name for path in left_out) == ["loop", "up"]
    assert [row["decision"] for row in judged(*found)].count("unreadable") == 1
    told = audit.audit(folder)
    assert "1 of 3 pictures cannot be read" in told.of("error")[0].detail
    assert len(data.scan(folder).stray) == 2


def test_nothing_is_judged_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    assert judge.find([path, tmp_path, path])[0] == [path]


def test_equal_names_are_different_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    for group in ("car", "cat"):
        for label in data.LABELS:
            (tmp_path / group / label).mkdir(parents=True)
            for name in ("1.png", "1.jpg", "1 (1).png"):
                picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                picture.save(tmp_path / group / label / name)
    images = data.scan(tmp_path)
    assert images.counts == (6, 6)
    assert len({path.relative_to(images.root).as_posix() for path in images.paths}) == 12  # as in the tables
    assert [row["path"] for row in judged(*images.paths)] == [str(path) for path in images.paths]
    # a copy under another name is another matter: it is counted, and said
    (tmp_path / "cat" / "1_fake" / "copy.png").write_bytes(
        (tmp_path / "cat" / "1_fake" / "1.png").read_bytes()
    )
    assert main(["check", str(tmp_path), "--json"]) == 0
    said = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["what"] == "duplicates"]
    assert len(said) == 1


@pytest.mark.parametrize(("missing", "kept"), [("1_fake", "0_real"), ("0_real", "1_fake")])
def test_a_folder_with_one_label(
    tmp_path: Path, missing: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / kept).mkdir()
    (tmp_path / kept / "0.png").write_bytes(encoded("PNG"))
    assert main(["check", str(tmp_path)]) == 2
    assert f"only one label: found no picture in {tmp_path / missing}" in capsys.readouterr().err
    (tmp_path / missing).mkdir()  # empty is no better
    assert main(["check", str(tmp_path)]) == 2


def test_an_answer_that_cannot_be_written_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, color in zip(data.LABELS, ("red", "blue"), strict=True):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "0.png").write_bytes(encoded("PNG", Image.new("RGB", (4, 4), color)))
    out = tmp_path / "x.csv"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert main(["check", str(tmp_path / "set"), "--out", str(out)]) == 1
    assert "no space left on the disk" in capsys.readouterr().err and not out.exists()
    (tmp_path / "file").touch()
    assert main(["check", str(tmp_path / "set"), "--out", str(tmp_path / "file" / "x.csv")]) in (1, 2)


# ------------------------------------------------------------------------------------ disks, folders, devices


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; only root may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here: only root may")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_in_earnest_keeps_the_old_file(small_disk: Path) -> None:
    results.write_text(small_disk / "x.csv", "old")
    with pytest.raises(OSError, match=r"no space left on the disk of .*free some and run again"):
        results.write_text(small_disk / "x.csv", "new" * 40_000)
    assert [path.name for path in small_disk.iterdir()] == ["x.csv"]
    assert (small_disk / "x.csv").read_text() == "old"


def build_with(variables: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "build.py"), "--config", "tiny", *more],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="a folder in which root may not write is needed")
def test_output_that_may_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = "/sys/kernel/tff"
    done = build_with({"TFF_BUILD": nowhere})
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(
        rf"make: {nowhere} cannot be written \(.*\); choose another folder with TFF_BUILD\n", done.stderr
    )
    with pytest.raises(OSError, match="cannot be written: expected a folder you may write to"):
        results.write_text(Path(nowhere) / "x.csv", "x")
    for label, color in zip(data.LABELS, ("red", "blue"), strict=True):
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.png").write_bytes(encoded("PNG", Image.new("RGB", (4, 4), color)))
    assert main(["check", str(tmp_path), "--out", f"{nowhere}/x.csv"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_disk_too_small_for_the_book_is_said_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TFF_BUILD", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["build.py", "--config", "tiny"])
    monkeypatch.setattr(build.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - 5, 5))
    assert build.main() == 1
    assert re.match(
        r"make: 0\.0 GB are free on the disk of .*, the book needs about 2", capsys.readouterr().err
    )
    assert not (tmp_path / "config.json").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a driver")
def test_a_gpu_that_is_asked_for_and_not_there() -> None:
    assert steps.device("auto").type in ("cpu", "mps")
    with pytest.raises(ValueError, match="device: cuda:1: no GPU with a working driver was found"):
        steps.device("cuda:1")


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Path, Path], str]:
    """Run the step that brings a folder into the book; what it said on failing, "" where it did not fail."""

    def run(source: Path, out: Path) -> str:
        monkeypatch.setattr(sys, "argv", ["link.py", "--source", str(source), "--out", str(out)])
        try:
            steps.run(linking.main)
        except SystemExit as end:
            assert end.code == 1
            return capsys.readouterr().err
        return ""

    return run


def test_pictures_of_ones_own_come_into_the_book_with_all_their_faults_told(
    tmp_path: Path, link: Callable[[Path, Path], str]
) -> None:
    source, out = tmp_path / 'it\'s "mine" <b>', tmp_path / "out"
    for label in data.LABELS:
        (source / label).mkdir(parents=True)
        for name in ("with space.png", "ünïcödé 漢字 🦊.png", "<img src=x onerror=alert(1)>.png", "-rf.png"):
            (source / label / name).write_bytes(encoded("PNG"))
    (source / "0_real" / "notes.txt").write_text("x")
    (source / "1_fake" / "up").symlink_to(source)
    before = grid.listing(str(source))
    assert link(source, out) == ""
    manifest = results.read_json(out / data.MANIFEST)
    assert manifest["pictures"] == {"real": 4, "fake": 4}
    assert manifest["left_out"] == ["0_real/notes.txt", "1_fake/up"]
    assert data.scan(out).counts == (4, 4)
    (source / "1_fake" / "one more.png").write_bytes(encoded("PNG"))
    assert grid.listing(str(source)) != before  # so that the book takes it in
    shutil.rmtree(source / "1_fake")
    assert re.match(r"error: .*1_fake", link(source, tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_name_that_is_no_text_does_not_come_into_the_book(
    tmp_path: Path, link: Callable[[Path, Path], str]
) -> None:
    for label in data.LABELS:
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.png").write_bytes(encoded("PNG"))
    try:
        (tmp_path / "1_fake" / os.fsdecode(b"\xff.png")).write_bytes(encoded("PNG"))
    except OSError:
        pytest.skip("this file system takes names of text only")
    assert grid.listing(str(tmp_path))
    assert r"\udcff.png: its name is not text in UTF-8" in link(tmp_path, tmp_path / "out")


# -------------------------------------------------------------------------------------------- checkpoints


class Trap:
    """A pickle that would make a folder when opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def _state(arch: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return detectors.build(arch).state_dict()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_that_are_not_what_they_claim_end_with_2_and_run_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(encoded("PNG"))
    nan = _state("efb0")
    nan["_fc.bias"][0] = torch.nan
    imagenet = nn.Sequential()  # an optimizer's state without a network
    contents: dict[str, tuple[object, str]] = {
        "other.pth": ({"model": _state("efb0")}, "weights of another network: .*missing .*unexpected"),
        "nan.pth": ({"model": nan}, "not finite"),
        "optimizer.pth": ({"optimizer": {"state": {}}, "total_steps": 7}, "holds no weights"),
        "module.pth": (imagenet, "was not opened further"),
        "trap.pth": ({"model": Trap(tmp_path / "sprung")}, "was not opened further"),
    }
    for name, (content, why) in contents.items():
        torch.save(content, tmp_path / name)
        arch = "efb0" if name in ("nan.pth",) else "resnet50"
        code = main(["detect", str(picture), "--weights", str(tmp_path / name), "--arch", arch])
        assert code == 2, name
        error = capsys.readouterr().err
        assert name in error
        assert re.search(why, error), error
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert main(["detect", str(picture), "--weights", str(tmp_path / "raw.pth"), "--arch", "efb0"]) == 2
    assert not (tmp_path / "sprung").exists()


def test_an_interrupt_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "audit", stop)
    with contextlib.suppress(SystemExit):
        assert main(["check", "x"]) == 130
    assert capsys.readouterr().err.strip() == "stopped"
