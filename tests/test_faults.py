"""Files and folders as they come: each fault is a clear error or a counted skip, and none runs code."""

import contextlib
import io
import json
import os
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tff_core import audit, data, detectors, judge
from tff_core.cli import main

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
