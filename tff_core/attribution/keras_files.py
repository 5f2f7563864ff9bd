"""Published weights in Keras' files, ``.h5`` and ``.keras``, read as tensors; nothing in a file is run.

Keras itself would build the network that a file describes, code of Lambda layers included. Here the network
is ours: tensors are looked up by the names of their layers (``dConv_01`` to ``dDecision`` of the primary;
``aConv_01`` to ``aDecision`` of a secondary, or ``a1Conv_01`` and so on where there are several), checked for
shape, type and values, and turned from Keras' layout (channels last) to torch's. Of the description only the
size of the input is looked at, as data.

A file is not trusted: links, external and virtual storage, unknown filters and whatever has another shape
than the network needs are refused before anything is read, so a declared size costs nothing.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from tff_core.attribution.networks import KINDS, LARGEST, SMALLEST, Attributor, build, name_sources
from tff_core.detectors import WeightsError

SUFFIXES = (".h5", ".hdf5", ".keras")
_LAYER = re.compile(r"(d|a\d{0,3})(Conv|BNorm|Decision)(?:_(\d\d))?")
_TENSORS = {"Conv": ("kernel", "bias"), "BNorm": ("gamma", "beta", "moving_mean", "moving_variance"),
            "Decision": ("kernel", "bias")}  # fmt: skip
_OURS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
         "moving_mean": "running_mean", "moving_variance": "running_var"}  # fmt: skip
_CLASSES = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization", "Dense": "dense"}
_MEMBERS = 4096  # of a group; networks of this kind have fewer than 100
_CONFIG_BYTES = 1 << 23
_MEMBER_BYTES = 1 << 27  # of the tensors inside a .keras file, with the optimiser's
_CHUNK = 1 << 24  # numbers
_DEFAULT_SIZE = 128

Layers = dict[str, dict[str, h5py.Dataset]]


@dataclass(frozen=True)
class KerasFile:
    """What a file holds: the tensors of its primary and of its secondaries, under torch's names.

    ``size`` is None where the file does not say it. ``secondaries`` are in the order of their prefixes.
    """

    path: Path
    kind: str
    size: int | None
    primary: dict[str, Tensor]
    secondaries: tuple[dict[str, Tensor], ...]


def load_keras(
    *paths: str | Path | Sequence[str | Path],
    names: Sequence[str] | None = None,
    size: int | None = None,
) -> Attributor:
    """The network of a published file, or of several files that share a primary, in evaluation mode.

    Args:
        paths: ``.h5`` or ``.keras`` files, one by one or as a list. Each adds its sources to those of the
            files before it; a file of a primary alone adds none.
        names: of the sources, in that order; by default they are taken from the files' names
            (``attribution_ganfp_progan.h5``: progan).
        size: side of the pictures in pixels, for a pixel network whose file does not say it (default 128).

    Raises FileNotFoundError; WeightsError, a ValueError, where a file is broken, or not of this kind, where
    two files have different primaries, or where two sources would have one name.
    """
    listed: list[Path] = []
    for entry in paths:
        listed += [Path(entry)] if isinstance(entry, str | Path) else [Path(one) for one in entry]
    if not listed:
        raise ValueError("no file was given: expected the path of at least one .h5 or .keras file")
    files = [read(path) for path in listed]
    first = files[0]
    for other in files[1:]:
        _must_share(first, other)
    counted = sum(len(file.secondaries) for file in files)
    if names is not None and len(names) != counted:
        raise ValueError(f"{len(names)} names for {counted} sources: expected one for each")
    chosen = name_sources(tuple(names)) if names is not None else _names(files)
    net = build(first.kind, _size(files, size), chosen)
    _fill(net.primary, first.primary)
    every = [tensors for file in files for tensors in file.secondaries]
    for module, tensors in zip(net.secondaries, every, strict=True):
        _fill(module, tensors)
    return net.eval()


def read(path: str | Path) -> KerasFile:
    """The tensors of one file, checked. Raises as `load_keras`."""
    path = Path(path)
    if path.is_dir():
        raise WeightsError(f"{path} is a folder: expected a Keras file, .h5 or .keras")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a Keras file, .h5 or .keras")
    try:
        with _opened(path) as (layers, config):
            return _checked(path, layers, _input_side(config))
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # damaged files make the readers fail in undocumented ways
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as a Keras file ({first}); it is damaged, "
            "or of another kind: get it again from its author"
        ) from error


# -------------------------------------------------------------------------------------------- the two formats


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Layers, bytes]]:
    """The layers of a file, and its description as it is stored."""
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\x03\x04"
    if not zipped:
        with h5py.File(path, "r") as file:
            yield _legacy(path, file) if _has(file, "model_weights") else _plain(path, file), _attribute(file)
        return
    with zipfile.ZipFile(path) as archive:
        config = _member(path, archive, "config.json", _CONFIG_BYTES)
        content = _member(path, archive, "model.weights.h5", _MEMBER_BYTES)
    with h5py.File(io.BytesIO(content), "r") as file:
        yield _numbered(path, file, config), config


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise WeightsError(f"{path} is an archive without {name}: expected a file that Keras has saved")
    declared = archive.getinfo(name).file_size
    if declared <= limit:
        with archive.open(name) as stream:
            content = stream.read(limit + 1)
        if len(content) <= limit:
            return content
    raise WeightsError(
        f"{path}: {name} would take {declared} bytes, far more than a network of this kind needs "
        f"({limit} are read at most); it was not read"
    )


def _has(group: h5py.Group, name: str) -> bool:
    return name in group and isinstance(group.get(name, getlink=True), h5py.HardLink)


def _groups(path: Path, group: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
    for name, value in _children(path, group):
        if isinstance(value, h5py.Group):
            yield name, value


def _children(path: Path, group: h5py.Group) -> Iterator[tuple[str, Any]]:
    """The members of a group by name; links to elsewhere are refused, not followed."""
    if len(group) > _MEMBERS:
        raise WeightsError(f"{path}: {group.name} has {len(group)} members: expected at most {_MEMBERS}")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise WeightsError(
                f"{path}: {group.name}/{name} is a link to elsewhere, which is not followed: expected a file "
                "that holds its tensors itself"
            )
        yield name, group[name]


def _legacy(path: Path, file: h5py.File) -> Layers:
    """Keras 2, and Keras 3 when it writes ``.h5``: a group for each layer, by its name."""
    return _named(path, file["model_weights"])


def _plain(path: Path, file: h5py.File) -> Layers:
    """Weights alone: the layers at the top, or as in the archive of Keras 3."""
    found = _named(path, file)
    return found or _numbered(path, file, b"")


def _named(path: Path, root: h5py.Group) -> Layers:
    found: Layers = {}
    for name, group in _groups(path, root):
        match = _LAYER.fullmatch(name)
        if match:
            tensors: dict[str, h5py.Dataset] = {}
            _collect(path, group, _TENSORS[match[2]], tensors, 4)
            found[name] = tensors
    return found


def _collect(
    path: Path, group: h5py.Group, wanted: Sequence[str], into: dict[str, h5py.Dataset], depth: int
) -> None:
    """The tensors below a layer's group: ``<scopes>/kernel:0``, in Keras 3 without the number."""
    for name, value in _children(path, group):
        own = name.removesuffix(":0")
        if isinstance(value, h5py.Dataset) and own in wanted:
            if own in into:
                raise WeightsError(f"{path}: {value.name} is there a second time: expected each tensor once")
            into[own] = value
        elif isinstance(value, h5py.Group) and depth:
            _collect(path, value, wanted, into, depth - 1)


def _numbered(path: Path, file: h5py.File, config: bytes) -> Layers:
    """Keras 3: ``layers/conv2d_1/vars/0``. The layer's name is an attribute, or follows from its place."""
    if not _has(file, "layers"):
        return {}
    by_place = _places(config)
    found: Layers = {}
    for place, group in _groups(path, file["layers"]):
        if not _has(group, "vars"):
            continue
        variables = group["vars"]
        name = _attribute(variables, "name", 1024).decode("utf-8", "replace") or by_place.get(place, "")
        match = _LAYER.fullmatch(name)
        if not match:
            continue
        if name in found:
            raise WeightsError(f"{path}: two layers are called {name}: expected each layer once")
        numbers = dict(_children(path, variables))
        found[name] = {
            tensor: numbers[str(i)]
            for i, tensor in enumerate(_TENSORS[match[2]])
            if isinstance(numbers.get(str(i)), h5py.Dataset)
        }
    return found


def _places(config: bytes) -> dict[str, str]:
    """Names of layers by their place in the archive, where layers of one class are counted."""
    counts: dict[str, int] = {}
    found = {}
    for layer in _config_layers(config):
        kind = _CLASSES.get(str(layer.get("class_name")))
        if kind is not None:
            number = counts[kind] = counts.get(kind, -1) + 1
            found[f"{kind}_{number}" if number else kind] = str(_mapping(layer.get("config")).get("name", ""))
    return found


# -------------------------------------------------------------------------------------------- the description


def _attribute(group: h5py.Group, name: str = "model_config", limit: int = _CONFIG_BYTES) -> bytes:
    """A text among the attributes, as bytes; empty where there is none of a sensible size."""
    if name not in group.attrs:
        return b""
    stored = h5py.h5a.open(group.id, name.encode())
    if stored.shape != () or stored.get_storage_size() > limit:
        return b""
    value = group.attrs[name]
    content = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""
    return content if len(content) <= limit else b""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _config_layers(config: bytes) -> list[Mapping[str, Any]]:
    """The layers that a description lists; none where it cannot be read, which hides no tensor."""
    try:
        described = _mapping(json.loads(config or b"{}"))
    except (ValueError, RecursionError):
        return []
    layers = _mapping(described.get("config")).get("layers")
    return [_mapping(layer) for layer in layers] if isinstance(layers, list) else []


def _input_side(config: bytes) -> int | None:
    """The side of the input, where the description says one."""
    for layer in _config_layers(config):
        if layer.get("class_name") == "InputLayer":
            own = _mapping(layer.get("config"))
            shape = own.get("batch_input_shape") or own.get("batch_shape")
            if isinstance(shape, list) and len(shape) == 4 and shape[1] == shape[2]:
                return shape[1] if isinstance(shape[1], int) else None
    return None


# ------------------------------------------------------------------------------------------------ the tensors


def _checked(path: Path, layers: Layers, side: int | None) -> KerasFile:
    prefixes = sorted({_LAYER.fullmatch(name)[1] for name in layers}, key=lambda p: (len(p), p))  # type: ignore[index]
    if "d" not in prefixes:
        held = (
            f"those of a network without transfer ({prefixes[0]}Conv_01, ...)" if prefixes else "none of them"
        )
        raise WeightsError(
            f"{path} is not of this kind: expected the layers dConv_01 to dDecision of a primary module, "
            f"found {held}; attribution networks of Khoo et al. are read, as Keras has saved them"
        )
    first = layers.get("dConv_01", {}).get("kernel")
    channels = first.shape[2] if first is not None and len(first.shape or ()) == 4 else 0
    kind = next((name for name, count in KINDS.items() if count == channels), None)
    if kind is None:
        found = "no such tensor" if first is None else f"shape {first.shape}"
        raise WeightsError(
            f"{path}: dConv_01/kernel must have shape (3, 3, 3, 3) for pixels or (3, 3, 1, 3) for cosine "
            f"transforms, found {found}: it is the file of another network"
        )
    if kind == "dct":
        side = _side_of_head(path, layers)
    if side is not None and (not SMALLEST <= side <= LARGEST or side % 8):
        raise WeightsError(
            f"{path} is for pictures of {side}x{side} pixels: expected a multiple of 8 from {SMALLEST} to "
            f"{LARGEST}"
        )
    template = build(kind, side or _DEFAULT_SIZE, 1)
    primary = _tensors(path, layers, template.primary, "d")
    secondaries = tuple(
        _tensors(path, layers, template.secondaries[0], prefix) for prefix in prefixes if prefix != "d"
    )
    return KerasFile(path, kind, side, primary, secondaries)


def _side_of_head(path: Path, layers: Layers) -> int:
    """The side of the pictures, from the number of values that the primary's last layer takes."""
    kernel = layers.get("dDecision", {}).get("kernel")
    values = kernel.shape[0] if kernel is not None and len(kernel.shape or ()) == 2 else 0
    side = 8 * math.isqrt(values // 32)
    if not values or 32 * (side // 8) ** 2 != values:
        found = "no such tensor" if kernel is None else f"shape {kernel.shape}"
        raise WeightsError(
            f"{path}: dDecision/kernel must have 32 (S/8)^2 rows, 8192 for pictures of 128 pixels, "
            f"found {found}"
        )
    return side


def _tensors(path: Path, layers: Layers, module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """The tensors of one module under torch's names, read and checked."""
    found: dict[str, Tensor] = {}
    counts = {"Conv": 0, "BNorm": 0}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            counts["Conv"] += 1
            keras, kind = f"{prefix}Conv_{counts['Conv']:02d}", "Conv"
            shapes = [tuple(layer.weight.permute(2, 3, 1, 0).shape), (layer.out_channels,)]
        elif isinstance(layer, nn.BatchNorm2d):
            # each has the number of its convolution
            keras, kind = f"{prefix}BNorm_{counts['Conv']:02d}", "BNorm"
            shapes = [(layer.num_features,)] * 4
        elif isinstance(layer, nn.Linear):
            keras, kind = f"{prefix}Decision", "Decision"
            shapes = [(layer.in_features, 1), (1,)]
        else:
            continue
        if keras not in layers:
            raise WeightsError(
                f"{path} has no layer {keras}: expected all layers of a {_module(prefix)} module; it is "
                "damaged, or the file of another network"
            )
        for tensor, shape in zip(_TENSORS[kind], shapes, strict=True):
            if tensor not in layers[keras]:
                raise WeightsError(f"{path} has no {keras}/{tensor}: it is damaged, or of another network")
            value = _read(path, f"{keras}/{tensor}", layers[keras][tensor], shape)
            found[f"{name}.{_OURS[tensor]}"] = _turned(value, layer)
    _no_more(path, layers, prefix, counts["Conv"])
    return found


def _module(prefix: str) -> str:
    return "primary" if prefix == "d" else "secondary"


def _no_more(path: Path, layers: Layers, prefix: str, convolutions: int) -> None:
    """A network with further layers of the same kind would compute something else."""
    for name in layers:
        match = _LAYER.fullmatch(name)
        if match and match[1] == prefix and match[3] and not 1 <= int(match[3]) <= convolutions:
            raise WeightsError(
                f"{path} has a layer {name}: expected the {convolutions} convolutions of a {_module(prefix)} "
                "module; it is the file of another network"
            )


def _read(path: Path, name: str, stored: h5py.Dataset, shape: tuple[int, ...]) -> np.ndarray:
    """One tensor as float32; only what has the expected shape is read."""
    if stored.shape != shape:
        raise WeightsError(
            f"{path}: {name} has shape {stored.shape}, expected {shape}: it is the file of another network"
        )
    if stored.dtype.kind != "f" or stored.dtype.itemsize not in (2, 4, 8):
        raise WeightsError(f"{path}: {name} is of type {stored.dtype}: expected floating-point numbers")
    if stored.external or stored.is_virtual:
        raise WeightsError(f"{path}: {name} is stored in other files: expected a file that holds its tensors")
    if stored.chunks is not None and math.prod(stored.chunks) > _CHUNK:
        raise WeightsError(
            f"{path}: {name} is stored in pieces of {stored.chunks}: no tensor here is as large"
        )
    properties = stored.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if any(number not in _FILTERS for number in filters):
        raise WeightsError(
            f"{path}: {name} is compressed by filter {max(filters)}, which needs a plugin, and none is "
            "loaded: expected a file as Keras saves it"
        )
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told below
        value = np.asarray(stored[()], dtype=np.float64)
        finite = np.isfinite(value) & np.isfinite(value.astype(np.float32))
    if not finite.all():
        raise WeightsError(
            f"{path}: {int((~finite).sum())} of {value.size} numbers in {name} are not finite; "
            "the file is damaged or its training diverged"
        )
    if name.endswith("moving_variance") and (value < 0).any():
        raise WeightsError(f"{path}: {name} has negative numbers, which no variance is; the file is damaged")
    return value.astype(np.float32)


_FILTERS = frozenset(
    (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF)
)


def _turned(value: np.ndarray, layer: nn.Module) -> Tensor:
    """From Keras' layout to torch's."""
    if value.ndim == 4:  # rows, columns, in, out
        value = value.transpose(3, 2, 0, 1)
    elif isinstance(layer, nn.Linear) and value.ndim == 2:
        side = math.isqrt(len(value) // 32)
        if len(value) > 32:  # flattened by rows, columns, channels
            value = value.reshape(side, side, 32).transpose(2, 0, 1).reshape(-1, 1)
        value = value.T
    return torch.from_numpy(np.ascontiguousarray(value))


def _fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    counters = {k: v for k, v in module.state_dict().items() if k.endswith("num_batches_tracked")}
    module.load_state_dict({**counters, **tensors})


# ---------------------------------------------------------------------------------------------- several files


def _must_share(first: KerasFile, other: KerasFile) -> None:
    """WeightsError unless two files hold the same primary, bit by bit."""
    if first.kind != other.kind or (first.size and other.size and first.size != other.size):
        raise WeightsError(
            f"{first.path} is for {first.kind} input of size {first.size} and {other.path} for {other.kind} "
            f"input of size {other.size}: files of one kind and size can be put together"
        )
    for name, value in first.primary.items():
        if not torch.equal(value, other.primary[name]):
            raise WeightsError(
                f"{first.path} and {other.path} have different primaries (the first difference is {name}): "
                "only files whose primary is the same, bit by bit, become one network; take files of one "
                "training, or judge with each by itself"
            )


def _size(files: Sequence[KerasFile], asked: int | None) -> int:
    said = next((file.size for file in files if file.size), None)
    if asked is not None and said is not None and asked != said:
        raise ValueError(
            f"size is {asked}, but {files[0].path} is for pictures of {said} pixels: leave it out"
        )
    return asked or said or _DEFAULT_SIZE


def _names(files: Sequence[KerasFile]) -> tuple[str, ...]:
    """Names of the sources: short ones from the files' names, or the whole names where those clash."""
    for short in (True, False):
        names = [
            f"{stem}-{i + 1}" if len(file.secondaries) > 1 else stem
            for file in files
            for i in range(len(file.secondaries))
            for stem in [_stem(file.path, short)]
        ]
        if len(set(names)) == len(names):
            return tuple(names)
    clash = next(name for name in names if names.count(name) > 1)
    where = ", ".join(str(file.path) for file in files if _stem(file.path, False) in clash)
    raise WeightsError(
        f"two sources would be called {clash!r} ({where}): give each file once, or a name for each source"
    )


_CHANGES = ("dct", "aug", "crop", "jpeg", "es20", "lr4")


def _stem(path: Path, short: bool) -> str:
    """The source in a name like ``attribution_ganfp_progan_dct_aug.h5``; else the name without its suffix."""
    parts = path.stem.split("_")
    if short and parts[0] == "attribution" and len(parts) > 2:
        kept = [part for part in parts[2:] if part not in _CHANGES]
        if kept:
            return "_".join(kept)
    return path.stem
