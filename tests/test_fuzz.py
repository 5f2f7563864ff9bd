"""Thousands of damaged inputs for each loader: every one is read or refused with a clear error, none crashes.

Inputs are mutations of valid files: bytes flipped, cut out, doubled or put in, seeded, so that a failure can
be repeated. What a loader may raise is what its documentation says; anything else fails the test.
"""

import io
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save as save_tensors
from torch import nn

from tff_core import detectors
from tff_core.cli import common
from tff_core.features.ffrs import Omega
from tff_core.pictures import data
from tff_core.store.results import read_json

N = 2_500
pytestmark = pytest.mark.slow


def mutations(valid: Sequence[bytes], seed: int, words: Sequence[bytes] = ()) -> Iterator[bytes]:
    """``N`` damaged copies; ``words`` are put in at random places, beside random bytes."""
    rng = np.random.default_rng(seed)
    for i in range(N):
        content = bytearray(valid[i % len(valid)])
        for _ in range(int(rng.integers(1, 5))):
            place = int(rng.integers(0, len(content) + 1))
            length = int(rng.integers(1, 9))
            kind = int(rng.integers(0, 5 if words else 4))
            if kind == 0 and content:
                content[min(place, len(content) - 1)] = int(rng.integers(0, 256))
            elif kind == 1:
                del content[place : place + length]
            elif kind == 2:
                content[place:place] = rng.bytes(length)
            elif kind == 3:
                content[place:place] = content[max(0, place - length) : place]
            else:
                content[place:place] = words[int(rng.integers(0, len(words)))]
        yield bytes(content[: int(rng.integers(0, len(content) + 1))] if i % 10 == 9 else content)


def _pictures() -> list[bytes]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    out = []
    for kind, image, options in (
        ("PNG", rgb, {}),
        ("JPEG", rgb, {}),
        ("WEBP", rgb, {"lossless": True}),
        ("BMP", rgb, {}),
        ("TIFF", rgb, {}),
        ("PPM", rgb, {}),
        ("GIF", rgb.quantize(8), {}),
        ("PNG", rgb.quantize(8), {}),
        ("PNG", Image.fromarray(np.arange(42, dtype=np.uint16).reshape(6, 7)), {}),
        ("JPEG", rgb.convert("CMYK"), {}),
    ):
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        out.append(stream.getvalue())
    return out


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a header may claim any size; at this limit a claim costs nothing
    monkeypatch.setattr(data, "MAX_PIXELS", 1 << 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1 << 16)
    path = tmp_path / "x.png"
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in mutations(_pictures(), seed=1):
            path.write_bytes(content)
            try:
                pixels = data.read(path)
            except data.PictureError as error:
                refused += 1
                assert "x.png cannot be read as a picture" in str(error)
            else:
                assert pixels.dtype == torch.uint8 and pixels.shape[0] == 3 and pixels.numel()
    assert N / 10 < refused < N


def test_checkpoints(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 1))
    state = model.state_dict()
    zipped, plain, published = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(state, zipped)
    torch.save(state, plain, _use_new_zipfile_serialization=False)
    torch.save({"model": state, "total_steps": 7}, published)
    torches = [zipped.getvalue(), plain.getvalue(), published.getvalue()]
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for valid, suffix, seed in ((torches, ".pth", 2), ([save_tensors(state)], ".safetensors", 3)):
            path = tmp_path / f"x{suffix}"
            for i, content in enumerate(mutations(valid, seed, words=(b"cos\nsystem\n", b"R.", b"\x80\x02"))):
                if i % 2:  # half of them each
                    continue
                path.write_bytes(content)
                try:
                    detectors.load_weights(model, path)
                except detectors.WeightsError as error:
                    refused += 1
                    assert path.name in str(error)
    assert refused > N / 2


def test_omega_tables(tmp_path: Path) -> None:
    omega = Omega({"a.conv1": np.linspace(0, 0.2, 5), "b": np.array([0.5, 0.0, 1e-9])}, count=3)
    omega.to_csv(tmp_path / "whole.csv")
    path = tmp_path / "x.csv"
    words = (b"nan", b"inf", b"-1", b"1e999", b",", b'"', b"\n", b"\0", b"#", b"(T=99999999999)", b"\xff")
    refused = 0
    for content in mutations([(tmp_path / "whole.csv").read_bytes()], 4, words):
        path.write_bytes(content)
        try:
            found = Omega.from_csv(path)
        except ValueError as error:
            refused += 1
            assert "x.csv" in str(error) or isinstance(error, UnicodeDecodeError)
        else:
            assert all(np.isfinite(values).all() for values in found.values.values())
    assert refused > N / 2


def test_configurations(tmp_path: Path) -> None:
    (tmp_path / "workflow").mkdir()
    local = {
        "added": ["mygan"],
        "sources": {"mygan": {"test": "/pictures"}},
        "names": {"mygan": "My GAN"},
        "external": {"wang": {"weights": "/w.pth", "arch": "resnet50", "k": 114}},
    }
    words = (
        b"!!python/object/apply:os.system ['true']",
        b"&a ",
        b"*a",
        b"{",
        b"[",
        b": ",
        b"\t",
        b"- ",
        b"\xff",
    )
    path = tmp_path / "workflow" / "config.local.yaml"
    description = tmp_path / "x.json"
    refused = 0
    contents = mutations([yaml.safe_dump(local).encode(), json.dumps(local).encode()], 5, words)
    for i, content in enumerate(contents):
        try:
            if i % 2:
                description.write_bytes(content)
                read_json(description)
            else:
                path.write_bytes(content)
                found = common.local_config(tmp_path)
                assert isinstance(found.get("added", []), list) and isinstance(found.get("sources", {}), dict)
        except ValueError as error:
            refused += 1
            assert path.name in str(error) or description.name in str(error)
    assert N / 10 < refused < N
