"""Files and folders as they come: each fault is a clear error or a counted skip, and none runs code."""

import contextlib
import csv
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
import pandas as pd
import pytest
import torch
import yaml
from conftest import command as building
from conftest import copy_project, environment
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
        with pytest.raises(SystemExit) as end:
            steps.run(linking.main)
        said = capsys.readouterr().err
        assert end.value.code == bool(said)
        return said

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


ODD = """it's "a" [b-c] {d} {{e}} $HOME `f` %20 #g ü & ;*?"""


@pytest.fixture(scope="module")
def odd_project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The project in a folder whose name means something to shells and Snakemake, and a build beside."""
    base = tmp_path_factory.mktemp("odd") / ODD
    root, source = base / "project", base / "my {pictures}"
    root.mkdir(parents=True)
    copy_project(root)
    for label in data.LABELS:
        (source / label).mkdir(parents=True)
        (source / label / "0.png").write_bytes(
            encoded("PNG", Image.new("RGB", (64, 64), label[2:] == "real"))
        )
    weights = base / "{w}.pth"
    torch.save(detectors.build("efb0").state_dict(), weights)
    local = {
        "added": ["mine"],
        "sources": {"mine": {"test": str(source)}},
        "external": {"theirs": {"weights": str(weights), "arch": "efb0", "k": 5}},
        "names": {"mine": "My {x} [y]", "theirs": "$(theirs)"},
    }
    (root / "workflow" / "config.local.yaml").write_text(yaml.safe_dump(local))
    return root, {**environment(), "TFF_BUILD": str(base / "build {b} [c]")}


@pytest.mark.slow
def test_the_whole_grid_is_planned_in_a_folder_of_any_name(odd_project: tuple[Path, dict[str, str]]) -> None:
    root, variables = odd_project
    done = subprocess.run(
        building(root, "--dry-run"), cwd=root, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = (Path(variables["TFF_BUILD"]) / "logs" / "snakemake.log").read_text()
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, re.MULTILINE))
    assert {"sample", "link", "adopt", "train", "rank", "page", "chapter", "verdicts", "book"} <= set(planned)


@pytest.mark.slow
def test_steps_run_in_a_folder_of_any_name(odd_project: tuple[Path, dict[str, str]]) -> None:
    root, variables = odd_project
    # a notebook that needs pictures alone, and the site around it, which shows as much with few pages
    chapters = [{"file": f"notebooks/{name}"} for name in ("02_ff_rs", "data_card")]
    contents = {"format": "jb-book", "root": "notebooks/10_verdicts", "chapters": chapters}
    (root / "_toc.yml").write_text(yaml.safe_dump(contents))
    done = subprocess.run(
        building(root, "--until", "preview", "link"), cwd=root, env=variables, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(variables["TFF_BUILD"])
    assert (folder / "html" / "index.html").is_file()
    manifest = results.read_json(folder / "data" / "miniature" / "test" / "mine" / data.MANIFEST)
    assert manifest["source"] == str(root.parent / "my {pictures}")


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


@pytest.mark.slow
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
        assert main(["check", "."]) == 130
    assert capsys.readouterr().err.strip() == "stopped"


# ------------------------------------------------------------------------- what nobody foresaw, and terminals


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run ``tff`` as a process of its own."""
    extra = options.pop("env", {})
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parents[1]), "OMP_NUM_THREADS": "1", **extra}
    return subprocess.run(
        [sys.executable, "-m", "tff_core.cli", *arguments],
        env=environment, capture_output=True, check=False, **options,
    )  # fmt: skip


class OddError(Exception):
    """A type that nobody expects."""


def endless(*_: object, **__: object) -> None:
    endless()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyError("x"), 1, "KeyError: 'x'"),
        (OddError(), 1, "OddError"),
        (TypeError("a\nb"), 1, r"TypeError: a\\nb"),
        (AssertionError(), 1, "AssertionError"),
        (StopIteration(), 1, "StopIteration"),
        (MemoryError(), 1, "the machine's memory is used up"),
        (ValueError("no sentence of ours"), 2, "ValueError: no sentence of ours"),
        (RuntimeError("of a library"), 1, "RuntimeError: of a library"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "x"), 2, "UnicodeEncodeError"),
        (EOFError(), 1, "EOFError"),
        ("recursion", 1, "something is nested too deeply"),
    ],
)
@pytest.mark.parametrize("where", ["command", "step"])
def test_an_error_of_any_type_is_one_sentence_with_its_trace_in_a_file(
    error: Exception | str, code: int, said: str, where: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*_: object, **__: object) -> None:
        raise error  # type: ignore[misc]

    (tmp_path / "build" / "logs").mkdir(parents=True)
    (tmp_path / "my pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFF_BUILD", str(tmp_path / "build"))
    monkeypatch.delenv("TFF_DEBUG", raising=False)
    broken = endless if error == "recursion" else fail
    if where == "command":
        monkeypatch.setattr(audit, "audit", broken)
        assert main(["check", "my pictures"]) == code
        doing = "while running tff check 'my pictures'"
    else:
        monkeypatch.setattr(sys, "argv", ["/x/link.py", "--source", "my pictures"])
        with pytest.raises(SystemExit) as end:
            steps.run(broken)
        assert end.value.code == 1
        doing = "while running link.py --source 'my pictures'"
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "Traceback" not in captured.err
    assert re.match(f"error: {said}.*{doing}", captured.err), captured.err
    trace = re.search(r"the trace is in (\S+)", captured.err)
    assert trace and Path(trace[1]).is_relative_to(tmp_path)
    assert "Traceback (most recent call last)" in Path(trace[1]).read_text()
    if where == "command":
        with pytest.raises(type(error) if isinstance(error, Exception) else RecursionError):
            main(["check", "my pictures", "--traceback"])


def test_an_error_that_nobody_foresaw_names_the_file_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"x" * 100)
    picture = tmp_path / "a.png"
    picture.write_bytes(encoded("PNG"))

    def fail(*_: object, **__: object) -> None:
        raise SystemError("deep inside")

    monkeypatch.setattr(results, "read_json", fail)
    monkeypatch.setattr(detectors.registry, "read_json", fail)
    monkeypatch.setenv("TFF_BUILD", str(tmp_path))
    store = results.Store()
    for suffix in (".safetensors", ".json"):
        path = store.detector("resnet50-miniature", 0).with_suffix(suffix)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"{}")
    assert main(["detect", str(picture)]) == 1
    assert f"at work on {store.detector('resnet50-miniature', 0)}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    shell = f"{sys.executable} -m tff_core.cli"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parents[1])}
    for arguments in ("--help", f"check {tmp_path}/nothing --json 2>&1"):
        done = subprocess.run(
            ["bash", "-c", f"{shell} {arguments} | true"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stderr == "" and done.returncode == 0, done.stderr


NAMES = (
    "plain.png", "漢字 🦊 é.png", "line\nbreak.png", "return\rhere.png", "both\r\n.png", "tab\t.png",
    'quote".png', "comma,.png", "\x1b[31mred.png", "\x07bell.png", "\u202ereversed.png", "\udcff.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures under names that terminals and tables have trouble with."""
    root = tmp_path_factory.mktemp("odd")
    for label, value in zip(data.LABELS, (10, 200), strict=True):
        (root / label).mkdir()
        for n, name in enumerate(NAMES):
            try:
                Image.new("RGB", (8, 8), (value, n * 9, 0)).save(root / label / name, "PNG")
            except (OSError, UnicodeEncodeError):
                pytest.skip("this file system does not take such names")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's file, and the module that makes the network beside it."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "smallest.py").write_text(
        "from torch import nn\ndef make():\n"
        "    layers = nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)\n"
        "    return nn.Sequential(*layers)\n"
    )
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    torch.save(made.state_dict(), folder / "w.pth")
    return folder / "w.pth"


@pytest.mark.parametrize("kind", ["out", "screen"])
def test_every_csv_has_one_row_a_picture_whatever_its_name(
    odd: Path, weights: Path, kind: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(weights.parent)
    out = tmp_path / "rows.csv"
    network = ["--weights", str(weights), "--arch", "smallest:make"]
    assert main(["detect", str(odd), *network, *(["--out", str(out)] if kind == "out" else [])]) == 0
    text = out.read_bytes().decode() if kind == "out" else capsys.readouterr().out
    for found in (
        list(csv.DictReader(io.StringIO(text, newline=""))),
        list(pd.read_csv(io.StringIO(text)).path),
    ):
        assert len(found) == 2 * len(NAMES)
    assert "漢字 🦊 é.png" in text and r"\xff.png" in text
    assert main(["check", str(odd), "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 2 * len(NAMES)
    report = tmp_path / "r.html"
    assert main(["explain", str(odd), *network, "--n", "30", "--out", str(report), "--maps", "1"]) == 0
    assert report.read_text(encoding="utf-8").count("<section>") == 2 * len(NAMES)
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\r" not in told


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_an_answer_is_not_lost_to_the_encoding_of_the_terminal(
    odd: Path, weights: Path, variables: dict[str, str]
) -> None:
    environment = {**variables, "PYTHONPATH": f"{SCRIPTS.parents[1]}{os.pathsep}{weights.parent}"}
    done = command(
        "detect", str(odd), "--weights", str(weights), "--arch", "smallest:make", "--no-stability",
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = list(csv.DictReader(io.StringIO(done.stdout.decode("latin-1"), newline="")))
    assert len(found) == 2 * len(NAMES) and all(row["decision"] in ("fake", "real") for row in found)


@pytest.mark.slow
def test_detect_loads_no_library_that_it_does_not_use(odd: Path, weights: Path) -> None:
    picture = str(odd / "0_real" / "plain.png")
    arguments = ["detect", picture, "--weights", str(weights), "--arch", "smallest:make", "--quiet"]
    others = (
        "IPython", "captum", "jupytext", "matplotlib", "nbformat", "papermill",
        "plotly", "scipy.stats", "skimage", "sklearn", "snakemake", "tff_core.features",
        "tff_core.figures", "tff_core.miniature", "tff_core.book", "tff_core.detectors.training",
    )  # fmt: skip
    probe = (
        f"import sys\nfrom tff_core.cli import main\nassert main({arguments}) == 0\n"
        f"print([name for name in {others} if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{SCRIPTS.parents[1]}{os.pathsep}{weights.parent}"}
    done = subprocess.run(
        [sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "none"],
        ["add", "mine", "none"],
        ["detect", ".", "none"],
        ["explain", "none"],
        ["localize", "none", "--weights", "."],
        ["attribute", "none", "--weights", "."],
        ["patches-train", "none", "--out", "w.safetensors"],
    ],
)
def test_a_mistyped_path_is_answered_at_once(arguments: list[str], tmp_path: Path) -> None:
    probe = f"import sys\nfrom tff_core.cli import main\nprint(main({arguments}), 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SCRIPTS.parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["2", "False"]
    assert re.fullmatch(
        r"error: none (does not exist|is no folder): expected .*; check the path\n", done.stderr
    )


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    odd: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(audit, "audit", work)
    monkeypatch.setattr(judge, "find", work)
    monkeypatch.setattr(data, "scan", work)
    monkeypatch.setattr(detectors, "load_weights", work)
    network = ["--weights", str(weights), "--arch", "smallest:make"]
    (tmp_path / "file").touch()
    for given, out, reason in (
        (["detect", "x"], tmp_path, "is a folder: expected a file"),
        (["check", "x"], tmp_path / "file" / "x.csv", "is no folder"),
        (["explain", "x"], tmp_path / ("n" * 300), "File name too long"),
        (["detect", str(weights)], weights, "is one of the files to be read"),
        (["rank", *network, "--data", "x"], tmp_path / "file", "is a file: expected a folder"),
        (["patches", *network, "--data", "x"], tmp_path, "is a folder: expected a file"),
        (["run", "03"], tmp_path, "is a folder: expected a file"),
    ):
        assert main([*given, "--out", str(out)]) in (1, 2)
        assert reason in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
