"""Published weights in Keras' files: what they compute, whichever format they have, and what is refused."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tff_core import attribution
from tff_core.attribution import keras_files
from tff_core.detectors import WeightsError

GOLDEN = Path(__file__).with_name("golden")
CONVOLUTIONS = {
    "d": ((3, 8, 4), (8, 16, 3), (16, 16, 4), (16, 32, 3), (32, 32, 4)),
    "a": ((16, 32, 3), (32, 32, 4)),
}
Tensors = dict[str, dict[str, np.ndarray]]


def tensors(kind: str, size: int, prefixes: Sequence[str], seed: int = 0, primary: int = 0) -> Tensors:
    """Layers of a file with numbers that are not trivial, in Keras' layout and under its names."""
    found: Tensors = {}
    for prefix in ("d", *prefixes):
        # files that share a primary do so whatever their secondaries are
        rng = np.random.default_rng([primary] if prefix == "d" else [seed, *prefix.encode()])
        plan = list(CONVOLUTIONS[prefix[0]])
        first = 1
        if prefix == "d":
            channels = 3 if kind == "pixel" else 1
            found["dConv_01"] = _dense(rng, (3, 3, channels, 3))
            first = 2
        for number, (before, filters, kernel) in enumerate(plan, first):
            found[f"{prefix}Conv_{number:02d}"] = _dense(rng, (kernel, kernel, before, filters))
            found[f"{prefix}BNorm_{number:02d}"] = {
                "gamma": rng.uniform(0.5, 1.5, filters),
                "beta": rng.normal(0, 0.2, filters),
                "moving_mean": rng.normal(0, 0.2, filters),
                "moving_variance": rng.uniform(0.002, 1.2, filters),  # small enough to tell epsilons apart
            }
        values = 32 if kind == "pixel" else 32 * (size // 8) ** 2
        found[f"{prefix}Decision"] = _dense(rng, (values, 1))
    return {n: {k: v.astype(np.float32) for k, v in t.items()} for n, t in found.items()}


def _dense(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {
        "kernel": rng.normal(0, 1.2 / np.sqrt(np.prod(shape[:-1])), shape),
        "bias": rng.normal(0, 0.1, shape[-1]),
    }


def description(size: int, channels: int, named: Sequence[str] = ()) -> str:
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, size, size, channels]}}
    ]
    kinds = {"Conv": "Conv2D", "BNorm": "BatchNormalization", "Decision": "Dense"}
    for name in named:
        kind = next(k for word, k in kinds.items() if word in name)
        layers.append({"class_name": kind, "config": {"name": name}})
    return json.dumps({"class_name": "Functional", "config": {"layers": layers}})


def write(path: Path, layers: Tensors, config: str = "") -> Path:
    """A file as Keras 2 writes it, with an optimiser beside the weights."""
    with h5py.File(path, "w") as file:
        if config:
            file.attrs["model_config"] = config
        for name, content in layers.items():
            for tensor, value in content.items():
                file[f"model_weights/{name}/{name}/{tensor}:0"] = value
        file["optimizer_weights/Adam/iter:0"] = 7020
    return path


def archive(path: Path, layers: Tensors, config: str) -> Path:
    """A file as Keras 3 writes it, where layers of one class are counted."""
    content = io.BytesIO()
    counts: dict[str, int] = {}
    with h5py.File(content, "w") as file:
        for name, held in layers.items():
            kind = "conv2d" if "Conv" in name else "batch_normalization" if "BNorm" in name else "dense"
            number = counts[kind] = counts.get(kind, -1) + 1
            place = f"{kind}_{number}" if number else kind
            for i, value in enumerate(held.values()):
                file[f"layers/{place}/vars/{i}"] = value
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("config.json", config)
        out.writestr("model.weights.h5", content.getvalue())
    return path


# ---- an implementation of its own: channels last, in float64, by the tables of the paper's code


def _conv(x: np.ndarray, layer: dict[str, np.ndarray], stride: int) -> np.ndarray:
    kernel = layer["kernel"].astype(np.float64)
    side = kernel.shape[0]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ijco->nhwo", windows, kernel, optimize=True) + layer["bias"]


def _norm(x: np.ndarray, layer: dict[str, np.ndarray]) -> np.ndarray:
    scale = layer["gamma"] / np.sqrt(layer["moving_variance"].astype(np.float64) + 1e-3)
    return (x - layer["moving_mean"]) * scale + layer["beta"]


def logits(layers: Tensors, x: np.ndarray, kind: str, prefixes: Sequence[str]) -> np.ndarray:
    """(N, 1 + secondaries) for inputs (N, H, W, C)."""

    def blocks(maps: np.ndarray, prefix: str, numbers: Sequence[int]) -> np.ndarray:
        for number in numbers:
            conv = layers[f"{prefix}Conv_{number:02d}"]
            maps = _norm(
                _conv(maps, conv, 2 if conv["kernel"].shape[0] == 4 else 1),
                layers[f"{prefix}BNorm_{number:02d}"],
            )
            maps = np.maximum(maps, 0)
        return maps

    def head(maps: np.ndarray, prefix: str) -> np.ndarray:
        flat = maps.mean((1, 2)) if kind == "pixel" else maps.reshape(len(maps), -1)
        layer = layers[f"{prefix}Decision"]
        return flat @ layer["kernel"].astype(np.float64) + layer["bias"]

    branch = blocks(np.maximum(_conv(x, layers["dConv_01"], 1), 0), "d", (2, 3, 4))
    found = [head(blocks(branch, "d", (5, 6)), "d")]
    found += [head(blocks(branch, prefix, (1, 2)), prefix) for prefix in prefixes]
    return np.concatenate(found, 1)


def batch(kind: str, size: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (2, size, size, 3 if kind == "pixel" else 1))


def answers(net: attribution.Attributor, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        out = net(torch.from_numpy(x).float().permute(0, 3, 1, 2))
    rest = [] if out.attribution is None else [out.attribution]
    return torch.cat([out.detection[:, None], *rest], 1).numpy()


@pytest.mark.parametrize("kind", ["pixel", "dct"])
@pytest.mark.parametrize("prefixes", [(), ("a",), ("a1", "a2")])
@pytest.mark.parametrize("form", ["h5", "keras"])
def test_a_file_computes_what_its_tensors_say(
    tmp_path: Path, kind: str, prefixes: Sequence[str], form: str
) -> None:
    size = 64
    layers = tensors(kind, size, prefixes)
    config = description(size, 3 if kind == "pixel" else 1, list(layers))
    path = tmp_path / f"one.{form}"
    (write if form == "h5" else archive)(path, layers, config)
    net = attribution.load_keras(path)
    assert (net.kind, net.size, net.sources, net.training) == (kind, size, len(prefixes), False)
    x = batch(kind, size)
    np.testing.assert_allclose(answers(net, x), logits(layers, x, kind, prefixes), atol=2e-5, rtol=1e-5)


def test_a_file_that_keras_has_written_is_read() -> None:
    """Keras 3.15 wrote it, with one secondary and an optimiser."""
    net = attribution.load_keras(GOLDEN / "pixel_64_1_0.keras")
    assert (net.kind, net.size, net.sources) == ("pixel", 64, 1)
    stored = np.load(GOLDEN / "pixel_64_1_0.npz")
    with torch.no_grad():
        out = net(torch.from_numpy(stored["x"].astype(np.float32)).permute(0, 3, 1, 2))
    assert out.attribution is not None
    found = torch.sigmoid(torch.cat([out.detection[:, None], out.attribution], 1)).numpy()
    np.testing.assert_allclose(found, stored["p"], atol=1e-5)


def test_files_that_share_a_primary_become_one_network(tmp_path: Path) -> None:
    x, files, expected = batch("pixel", 128), [], []
    for seed, name in enumerate(("progan", "cramergan_aug")):
        layers = tensors("pixel", 128, ["a"], seed=seed)
        files.append(write(tmp_path / f"attribution_ganfp_{name}.h5", layers, description(128, 3)))
        expected.append(logits(layers, x, "pixel", ["a"]))
    net = attribution.load_keras(*files)
    assert net.names == ("progan", "cramergan") and net.sources == 2
    found = answers(net, x)
    np.testing.assert_allclose(found[:, :2], expected[0], atol=2e-5)
    np.testing.assert_allclose(found[:, 2], expected[1][:, 1], atol=2e-5)
    assert torch.equal(attribution.load_keras(files)(torch.zeros(1, 3, 128, 128)).detection,
                       net(torch.zeros(1, 3, 128, 128)).detection)  # fmt: skip
    assert attribution.load_keras(files, names=["A", "B"]).names == ("A", "B")


def test_different_primaries_are_refused_by_name(tmp_path: Path) -> None:
    one = write(tmp_path / "one.h5", tensors("pixel", 64, ["a"]), description(64, 3))
    layers = tensors("pixel", 64, ["a"], seed=1)
    layers["dBNorm_04"]["moving_mean"][3] += 1e-6  # one number of the running statistics
    two = write(tmp_path / "two.h5", layers, description(64, 3))
    with pytest.raises(WeightsError, match=rf"{one} and {two} have different primaries.*running_mean"):
        attribution.load_keras(one, two)
    dct = write(tmp_path / "dct.h5", tensors("dct", 64, ["a"]), description(64, 1))
    with pytest.raises(WeightsError, match=r"pixel input .* dct input"):
        attribution.load_keras(one, dct)
    with pytest.raises(WeightsError, match="two sources would be called 'one'"):
        attribution.load_keras(one, one)


def test_the_code_of_a_description_is_not_run(tmp_path: Path) -> None:
    layers = tensors("pixel", 64, ["a"])
    config = json.loads(description(64, 3, list(layers)))
    mark = tmp_path / "was run"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    config["config"]["layers"].insert(
        1, {"class_name": "Lambda", "config": {"name": "l", "function": [code, None, None]}}
    )
    for path in (
        write(tmp_path / "l.h5", layers, json.dumps(config)),
        archive(tmp_path / "l.keras", layers, json.dumps(config)),
    ):
        x = batch("pixel", 64)
        found = answers(attribution.load_keras(path), x)
        np.testing.assert_allclose(found, logits(layers, x, "pixel", ["a"]), atol=2e-5)
    assert not mark.exists()


def _without(name: str) -> Callable[[Path, Tensors], None]:
    def broken(path: Path, layers: Tensors) -> None:
        layers.pop(name)
        write(path, layers)

    return broken


def _with(name: str, tensor: str, value: Any) -> Callable[[Path, Tensors], None]:
    def broken(path: Path, layers: Tensors) -> None:
        layers[name][tensor] = value(layers[name][tensor])
        write(path, layers)

    return broken


def _bomb(path: Path, layers: Tensors) -> None:
    kept = layers.pop("dDecision")
    write(path, layers)
    with h5py.File(path, "a") as file:
        group = file.create_group("model_weights/dDecision/dDecision")
        group.create_dataset("kernel:0", (1 << 40, 1), np.float32, chunks=(1 << 16, 1), compression="gzip")
        group["bias:0"] = kept["bias"]


def _elsewhere(path: Path, layers: Tensors) -> None:
    other = write(path.with_name("other.h5"), layers)
    write(path, {name: value for name, value in layers.items() if name != "dConv_02"})
    with h5py.File(path, "a") as file:
        file["model_weights/dConv_02"] = h5py.ExternalLink(str(other), "/model_weights/dConv_02")


def _zip_bomb(path: Path, layers: Tensors) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("config.json", description(64, 3))
        with out.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(33):
                member.write(bytes(1 << 22))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (_without("dConv_03"), "has no layer dConv_03: expected all layers of a primary module"),
        (_without("aBNorm_02"), "has no layer aBNorm_02: expected all layers of a secondary module"),
        (_with("dConv_02", "kernel", lambda v: v[:3]), r"dConv_02/kernel has shape \(3, 4, 3, 8\), expected"),
        (_with("dConv_02", "bias", lambda v: v * np.nan), "8 of 8 numbers in dConv_02/bias are not finite"),
        (_with("dBNorm_02", "moving_variance", lambda v: -v), "moving_variance has negative numbers"),
        (_with("aDecision", "bias", lambda v: v.astype(int)), "aDecision/bias is of type int64"),
        (_bomb, r"dDecision/kernel has shape \(1099511627776, 1\), expected \(32, 1\)"),
        (_elsewhere, "dConv_02 is a link to elsewhere, which is not followed"),
        (_zip_bomb, r"model.weights.h5 would take \d+ bytes"),
        (lambda path, layers: write(path, {"conv2d": layers["dConv_02"]}), "is not of this kind"),
        (lambda path, layers: path.write_bytes(b""), "cannot be read as a Keras file"),
        (lambda path, layers: path.write_bytes(os.urandom(4000)), "cannot be read as a Keras file"),
        (lambda path, layers: path.mkdir(), "is a folder"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_one_sentence(
    tmp_path: Path, broken: Callable[[Path, Tensors], object], told: str
) -> None:
    path = tmp_path / "attribution.h5"
    broken(path, tensors("pixel", 64, ["a"]))
    with pytest.raises(WeightsError, match=told) as error:
        attribution.load_keras(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.h5 does not exist"):
        attribution.load_keras(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="no file was given"):
        attribution.load_keras()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    layers = tensors("pixel", 64, ["a"])
    config = description(64, 3, list(layers))
    return {
        "h5": write(folder / "w.h5", layers, config).read_bytes(),
        "keras": archive(folder / "w.keras", layers, config).read_bytes(),
    }


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    form=st.sampled_from(["h5", "keras"]),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=0, max_size=8),
    head=st.booleans(),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, form: str,
    places: list[tuple[float, int]], head: bool, cut: float | None,
) -> None:  # fmt: skip
    content = bytearray(whole[form])
    span = min(len(content), 4096) if head else len(content)  # where most of the structure is
    for place, value in places:
        content[int(place * (span - 1))] = value
    if cut is not None:
        content = content[: int(cut * len(content))]
    path = tmp_path_factory.getbasetemp() / f"damaged.{form}"
    path.write_bytes(content)
    try:
        read = keras_files.read(path)
    except WeightsError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert all(torch.isfinite(value).all() for value in read.primary.values())
