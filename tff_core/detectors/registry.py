"""The registry of detectors, their networks, and the safe loading of their weights.

A detector is a network with one logit (positive: fake) on pictures normalised with ImageNet's mean and
deviation, without resize or crop, unless its `Spec` declares something else. A classifier is the same
network with one logit per class of scene: it says what a picture shows, and is what a detector's explanations
are compared with. Weights are read without running code: safetensors, or a checkpoint under
``torch.load(weights_only=True)``, however its author has wrapped it.

A detector that was trained elsewhere is *external*: `tff_core.detectors.adoption.adopt` takes its weights
into the store, and with them the description by which `get` knows it from then on.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pickle
import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import url_map
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights, resnet18, resnet50

from tff_core.detectors import answer
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.results import Store, read_json


class WeightsError(ValueError):
    """A weights file that is broken, unsafe, or does not fit its network."""


@dataclass(frozen=True)
class Architecture:
    """How to build a network untrained, and the paper's number of top feature maps.

    ``make()`` has one logit, ``make(n)`` has n. ``imagenet`` is where its library gets ImageNet weights.
    """

    title: str
    k: int
    make: Callable[..., nn.Module]
    imagenet: str = ""


# residual branches that start at zero halve the steps needed to train from scratch; the networks and
# their weight names stay torchvision's
def _resnet18(logits: int = 1) -> nn.Module:
    return resnet18(num_classes=logits, zero_init_residual=True)


def _resnet50(logits: int = 1) -> nn.Module:
    return resnet50(num_classes=logits, zero_init_residual=True)


def _efficientnet_b0(logits: int = 1) -> nn.Module:
    # image_size=None: 'same' padding follows each picture's size; no dropout, so that a run is reproducible
    # from its step alone and evaluation and training see one function
    return EfficientNet.from_name(
        "efficientnet-b0", num_classes=logits, image_size=None, dropout_rate=0.0, drop_connect_rate=0.0
    )


ARCHITECTURES = {
    "resnet50": Architecture("ResNet-50", 114, _resnet50, ResNet50_Weights.IMAGENET1K_V1.url),
    # not one of the paper's: a stand-in for ResNet-50 at a fifth of the time, with the same share of top maps
    "resnet18": Architecture("ResNet-18", 21, _resnet18, ResNet18_Weights.IMAGENET1K_V1.url),
    "efb0": Architecture("EfficientNet-B0", 27, _efficientnet_b0, url_map["efficientnet-b0"]),
}


def architecture(arch: str) -> Architecture:
    """The network by its name here, or by import path: ``package.module:function``.

    The function returns an untrained network with one logit; it is called with ``num_classes=1`` if it takes
    that argument, as those of torchvision.models do. A network by import path has no k of its own (0).
    ValueError if there is no such name, module or function.
    """
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch]
    module, colon, name = arch.partition(":")
    if not (module and colon and name):
        raise ValueError(
            f"unknown network {arch!r}; expected one of {', '.join(ARCHITECTURES)}, or an import path "
            "such as torchvision.models:resnet18"
        )
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"network {arch}: {error}; expected a function that returns the network, in a module that can be "
            "imported; put its folder on PYTHONPATH, or correct the path"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        raise ValueError(
            f"network {arch}: the module {module} cannot be imported ({_told(error)}); correct the module"
        ) from error
    if not callable(function) or isinstance(function, nn.Module):
        kind = "a network already" if isinstance(function, nn.Module) else f"a {type(function).__name__}"
        raise ValueError(
            f"network {arch}: {name} is {kind}; expected a function or class that makes an untrained network"
        )

    def make(logits: int = 1) -> nn.Module:
        given = _arguments(arch, function, logits)
        try:
            network = function(**given)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            told = ", ".join(f"{key}={value}" for key, value in given.items())
            raise ValueError(
                f"network {arch}: {name}({told}) fails ({_told(error)}); expected an untrained network"
            ) from error
        if not isinstance(network, nn.Module):
            raise ValueError(
                f"network {arch}: expected a torch.nn.Module, found {type(network).__name__}, which is what "
                f"{name} returns"
            )
        return network

    return Architecture(name, 0, make)


def _arguments(arch: str, function: Callable[..., Any], logits: int) -> dict[str, int]:
    """The arguments with which a network's function is called; ValueError where it needs others."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some functions written in C have no known signature
        return {}
    known = signature.parameters.values()
    takes = any(one.name == "num_classes" or one.kind is one.VAR_KEYWORD for one in known)
    given = {"num_classes": logits} if takes else {}
    needed = [
        one.name
        for one in known
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if set(needed) - set(given):
        raise ValueError(
            f"network {arch}: it needs the arguments {', '.join(needed)}; expected a function that makes the "
            "network without any, or with num_classes alone: write one that fills them in"
        )
    return given


def _told(error: BaseException) -> str:
    """The message of an exception from foreign code, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


@dataclass(frozen=True)
class Spec:
    """A detector or classifier by name: its network and the data set it is trained on.

    ``options`` are the training settings that differ from the default (see
    `tff_core.detectors.training.Config`). ``classes`` are a classifier's classes, in the order of its logits;
    a detector has none. ``top`` is its number of top feature maps (None: the paper's for its network),
    ``preprocessing`` how it wants its pictures prepared. An ``external`` detector was trained elsewhere;
    ``published`` says which of the paper's detectors it is (one of `PUBLISHED`), "" if none.
    """

    name: str
    arch: str
    dataset: str = "miniature"
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    top: int | None = None
    preprocessing: data.Preprocessing = data.IMAGENET
    published: str = ""
    external: bool = False

    @property
    def k(self) -> int:
        """Its number of top feature maps; the paper's for this network where it has none of its own.

        ValueError where neither is known.
        """
        found = self.top or architecture(self.arch).k
        if not found:
            raise ValueError(
                f"{self.name}: how many top feature maps of {self.arch}? Expected a number; give it with --k"
            )
        return found

    @property
    def title(self) -> str:
        """The network's name; for an external detector with its own name, since there may be several."""
        title = architecture(self.arch).title
        return f"{title} ({self.name})" if self.external else title


PUBLISHED = ("resnet50", "efb0", "cr-resnet50", "cr-efb0")  # the paper's detectors, colour-robust ones last
_ENTRY = ("weights", "arch", "k", "preprocessing", "published")


def external(name: str, entry: Mapping[str, Any], dataset: str = "miniature") -> Spec:
    """A detector that was trained elsewhere, from its settings in the workflow's configuration.

    ``entry`` has ``weights`` (a file) and ``arch`` (see `architecture`), and may have ``k``,
    ``preprocessing`` (see `tff_core.pictures.data.Preprocessing`) and ``published``. ``dataset`` is the one
    that it is calibrated and evaluated on. ValueError names what is missing, unknown or makes no sense.
    """

    def wrong(what: str) -> ValueError:
        return ValueError(f"external detector {name!r}: {what}")

    if not isinstance(entry, Mapping):
        raise wrong(f"found {entry!r}; expected settings, one of {', '.join(_ENTRY)} a line")
    unknown = sorted(set(map(str, entry)) - set(_ENTRY))
    if unknown:
        raise wrong(f"unknown setting {unknown[0]!r}; expected {', '.join(_ENTRY)}")
    for key in ("weights", "arch"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise wrong(
                f"{key} is {entry.get(key)!r}; expected {'a file' if key == 'weights' else 'a network'}"
            )
    k = entry.get("k")
    if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        raise wrong(f"k is {k!r}; expected a number of feature maps, at least 1")
    published = entry.get("published") or ""
    if published and published not in PUBLISHED:
        raise wrong(f"published is {published!r}; expected one of {', '.join(PUBLISHED)}")
    try:
        papers = architecture(entry["arch"]).k
        found = data.Preprocessing.of(entry.get("preprocessing") or {})
    except ValueError as error:
        raise wrong(str(error)) from error
    if not (k or papers):
        raise wrong(f"k is missing: how many top feature maps of {entry['arch']}?")
    return Spec(name, entry["arch"], dataset, top=k, preprocessing=found, published=published, external=True)


_ROBUST = {"grayscale": 0.5}  # the paper's colour-robust detectors see half of their pictures in gray
_SCENES = ("facade", "landscape", "stilllife", "pebbles")


def _traces(planes: str) -> data.Preprocessing:
    """The finest differences of some of a picture's planes, each at one contrast.

    Plain pictures would have to be looked at for thousands of steps before their traces are found, and what
    is found then carries over less; book/design_log.md has the trials.
    """
    return replace(data.IMAGENET, planes=planes, highpass=3, contrast=0.125)


def _miniature() -> Iterator[Spec]:
    seen = _traces("ycbcr")
    for arch in ("resnet50", "efb0", "resnet18"):
        yield Spec(f"{arch}-miniature", arch, preprocessing=seen)
        yield Spec(f"{arch}-miniature-cr", arch, options=_ROBUST, preprocessing=seen)
        scenes = {"n": 1400, "epochs": 5 if arch == "efb0" else 3}
        yield Spec(f"{arch}-scenes", arch, options=scenes, classes=_SCENES, preprocessing=seen)
    # compared with each other: what they see is all that differs
    for name in ("rgb", "luma", "chroma"):
        yield Spec(f"resnet18-{name}", "resnet18", preprocessing=_traces(name))


REGISTRY = {spec.name: spec for spec in _miniature()}


@dataclass(frozen=True)
class Detector:
    """A network ready to judge pictures: in evaluation mode, channels last, no gradients.

    ``threshold`` is the logit calibrated on validation pictures (fake at or above it), NaN for a classifier;
    ``info`` is what was recorded when it was trained.
    """

    model: nn.Module
    threshold: float
    spec: Spec
    info: dict[str, Any]


def names() -> list[str]:
    """Names of all registered detectors, the colour-robust ones included."""
    return [name for name, spec in REGISTRY.items() if not spec.classes]


def classifiers() -> list[str]:
    """Names of all registered classifiers of scenes."""
    return [name for name, spec in REGISTRY.items() if spec.classes]


def register(spec: Spec) -> Spec:
    """Add a detector or classifier. ValueError where its network is unknown or its name is taken."""
    try:
        architecture(spec.arch)
    except ValueError as error:
        raise ValueError(f"{spec.name}: {error}") from error
    if REGISTRY.get(spec.name, spec) != spec:
        raise ValueError(f"a different detector is already called {spec.name!r}; choose another name")
    REGISTRY[spec.name] = spec
    return spec


def get(name: str, store: Store | None = None) -> Spec:
    """The detector or classifier of that name: a registered one, or an external one of the store.

    ``store`` defaults to the project's. ValueError lists the known names.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    store = store or Store()
    path = store.detector(name, 0).with_suffix(".json")
    info = read_json(path) if path.is_file() else None
    if isinstance(info, dict) and "external" in info:
        return external(name, info["external"], str(info.get("dataset")))
    folder = path.parent
    adopted = sorted(path.name.removesuffix(".s0.json") for path in folder.glob("*.s0.json"))
    there = dict.fromkeys([*REGISTRY, *adopted])
    raise ValueError(f"no detector is called {name!r}; expected one of {', '.join(there)}")


def build(arch: str, classes: Sequence[str] = ()) -> nn.Module:
    """An untrained network in evaluation mode, with one logit, or one per class where there are classes.

    ValueError where ``arch`` is unknown, see `architecture`.
    """
    make = architecture(arch).make
    return (make(len(classes)) if classes else make()).eval()


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by name, on the CPU. No code in the file is run.

    Reads safetensors and torch files, whatever they are called, that hold the tensors directly or in a dict
    within (``model``, ``state_dict`` and the like). Of several such dicts, the one with the most tensors is
    read; among equals, the first that is no moving average.
    Raises FileNotFoundError, and WeightsError where the file is broken, holds code, or no tensors.
    """
    found = _candidates(Path(path))
    return max(found.items(), key=lambda one: (len(one[1]), not _is_average(one[0])))[1]


def _candidates(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Every mapping of names to tensors in a weights file, by its place: "", "model", "ema.state_dict"."""
    content = _content(path)
    found = dict(_mappings(content, "", set()))
    if not found:
        held = type(content).__name__
        if isinstance(content, Mapping):
            held += f" with the keys {', '.join(str(key) for key in list(content)[:8]) or '(none)'}"
        raise WeightsError(
            f"{path} holds no weights: expected tensors by name, or a dict with them under a key such as "
            f"'model' or 'state_dict'; found {held}"
        )
    return found


# checkpoints also hold numbers and settings; these types only hold values
_SCALAR = np.float64(0).__reduce__()[0]  # type: ignore[index]
_HARMLESS: list[Any] = [
    Namespace, np.dtype, *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
    (_SCALAR, "numpy._core.multiarray.scalar"), (_SCALAR, "numpy.core.multiarray.scalar"),
]  # fmt: skip


def _content(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected the weights of a detector; check the path")
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        # safetensors begins with the length of its header, which is JSON; a file's name says nothing
        if head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
            return load_file(path)
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than weights, or is broken, and was not opened further "
            f"({str(error).splitlines()[0]}); get the file from its author again, or save only the state dict"
        ) from error
    except Exception as error:  # damaged files make torch's reader fail in undocumented ways
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as weights ({first}); "
            "get the file again, or delete it and train again"
        ) from error


def _mappings(content: Any, place: str, seen: set[int]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    if not isinstance(content, Mapping) or id(content) in seen or place.count(".") > 3:
        return
    seen.add(id(content))
    tensors = {
        # torch.compile inserts a name of its own into others
        key.replace("_orig_mod.", ""): value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    if tensors:
        yield place, tensors
    for key, value in content.items():
        if isinstance(key, str):
            yield from _mappings(value, f"{place}.{key}" if place else key, seen)


def _is_average(place: str) -> bool:
    """Whether the name of the weights says that they are a moving average over the training."""
    return bool({"ema", "swa", "average", "averaged"} & set(re.split(r"[^a-z]+", place.lower())))


@dataclass(frozen=True)
class _Fit:
    """The weights of a file compared with those of a network: what agrees, and what does not."""

    place: str
    tensors: dict[str, torch.Tensor]  # with the network's names, where they have them
    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def agreement(self) -> tuple[int, int, int]:
        return -len(self.missing), -len(self.unexpected), -len(self.misshapen)


def _fit(place: str, tensors: dict[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> _Fit:
    """The best fit after removing one common prefix, or none, from all names."""
    required = [key for key in expected if not key.endswith("num_batches_tracked")]
    # without training counters stored among the weights
    kept = {key: value for key, value in tensors.items() if key in expected or "." in key or value.ndim}
    first = next(iter(kept), "")
    prefixes = ["", *(first[: dot.end()] for dot in re.finditer(r"\.", first))]

    def without(prefix: str) -> _Fit:
        named = {key.removeprefix(prefix): value for key, value in kept.items()}
        shared = [key for key in named if key in expected]
        return _Fit(
            place,
            named,
            sorted(set(required) - set(named)),
            sorted(set(named) - set(expected)),
            [key for key in shared if named[key].shape != expected[key].shape],
        )

    usable = (prefix for prefix in prefixes if all(key.startswith(prefix) for key in kept))
    return max(map(without, usable), key=lambda one: one.agreement)


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill ``model`` with the weights of a file after checking names, shapes and values; returns ``model``.

    A network on torch's meta device, which has no numbers yet, is on the CPU afterwards.
    The tensors may be in a dict within the file, and all names may share a prefix, such as ``module.`` from
    multi-GPU training; batch counters may be missing. Where several dicts in the file fit, one that is not
    called a moving average (``ema``) is preferred to those that are; two that differ are refused.
    Raises as `read_weights`, and WeightsError that names what is missing, unexpected, of another shape or not
    finite.
    """
    path = Path(path)
    expected = model.state_dict()
    fits = [_fit(place, tensors, expected) for place, tensors in _candidates(path).items()]
    chosen = _one(path, [one for one in fits if one.fits])
    if chosen is None:
        raise _other_network(path, max(fits, key=lambda one: one.agreement), model, expected)
    for key, value in chosen.tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            bad = int((~value.isfinite()).sum())
            raise WeightsError(
                f"{path}: {bad} of {value.numel()} numbers in {key} are not finite; the file is damaged or "
                "its training diverged; get or train it again"
            )
    counters = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    if any(value.is_meta for value in expected.values()):
        counters = {key: torch.zeros_like(value, device="cpu") for key, value in counters.items()}
        own = {key: value.to(expected[key].dtype) for key, value in chosen.tensors.items()}
        model.load_state_dict({**counters, **own}, assign=True)
    else:
        model.load_state_dict({**counters, **chosen.tensors})
    return model


def _one(path: Path, fits: list[_Fit]) -> _Fit | None:
    """The weights to load; WeightsError where the choice is not clear, None where there are none."""
    if not fits:
        return None
    first, *others = [one for one in fits if not _is_average(one.place)] or fits
    for other in others:
        same = first.tensors.keys() == other.tensors.keys() and all(
            torch.equal(value, other.tensors[key]) for key, value in first.tensors.items()
        )
        if not same:
            raise WeightsError(
                f"{path} holds weights that fit in two places, {first.place or 'the top'} and {other.place}, "
                "and they differ; save the ones that are meant in a file of their own"
            )
    return first


def _other_network(
    path: Path, found: _Fit, model: nn.Module, expected: Mapping[str, torch.Tensor]
) -> WeightsError:
    """The error that says why weights are not those of a network."""
    inside = f" (under {found.place!r})" if found.place else ""
    shapes = ""
    if found.misshapen:
        key = found.misshapen[0]
        shapes = (
            f"{key} has shape {tuple(found.tensors[key].shape)}, expected {tuple(expected[key].shape)}"
            f"{_cause(key, found.tensors[key].shape, expected)}"
        )
    if not (found.missing or found.unexpected):
        more = f", and {len(found.misshapen) - 1} more differ" if len(found.misshapen) > 1 else ""
        return WeightsError(
            f"{path}{inside}: {shapes}{more}; choose the file that belongs to {type(model).__name__} as it "
            "is, or the network that belongs to the file"
        )
    return WeightsError(
        f"{path}{inside} holds the weights of another network: {_some('missing', found.missing)}, "
        f"{_some('unexpected', found.unexpected)}{f'; {shapes}' if shapes else ''}; choose the file that "
        f"belongs to {type(model).__name__}"
    )


def _cause(key: str, found: torch.Size, expected: Mapping[str, torch.Tensor]) -> str:
    """The likely cause of a difference in shapes, where it is obvious."""
    weights = [name for name, value in expected.items() if value.ndim > 1]
    wanted = expected[key].shape
    if len(found) != len(wanted) or not weights:
        return ""
    if key == weights[0] and found[1] != wanted[1]:
        return f" (the file's network takes {found[1]} channels of input, this one {wanted[1]})"
    last = weights[-1].rpartition(".")[0]
    if key.rpartition(".")[0] == last and found[0] != wanted[0]:
        return f" (the file's network has {found[0]} logits, this one {wanted[0]})"
    return ""


def _some(what: str, keys: list[str], n: int = 3) -> str:
    shown = ", ".join(keys[:n]) + (", ..." if len(keys) > n else "")
    return f"{len(keys)} {what}" + (f" ({shown})" if keys else "")


def load(name: str, seed: int, store: Store, device: str | torch.device = "cpu") -> Detector:
    """A trained detector or classifier, ready to judge pictures.

    Raises FileNotFoundError, naming the command that trains it, if it is not there yet, WeightsError if its
    files are broken.
    """
    spec = get(name, store)
    path = store.detector(name, seed)
    description = path.with_suffix(".json")
    command = (
        "make" if spec.external else f"python -m tff_core.detectors.training --detector {name} --seed {seed}"
    )
    if not (path.is_file() and description.is_file()):
        how = "an external detector has the seed 0 alone and is taken in" if spec.external else "train it"
        raise FileNotFoundError(
            f"detector {name} with seed {seed} is not at {path} yet; {how} with: {command}"
        )
    info = read_json(description)
    threshold = float("nan")
    if not spec.classes:
        if not isinstance(info, dict) or not isinstance(info.get("threshold"), int | float):
            raise WeightsError(f"{description} has no threshold: delete it and run: {command}")
        threshold = float(info["threshold"])
    # random weights would be drawn to be replaced; a network of one's own may need numbers when it is made
    with torch.device("meta") if spec.arch in ARCHITECTURES else contextlib.nullcontext():
        model = build(spec.arch, spec.classes)
    model = load_weights(model, path)
    size = info.get("size") if isinstance(info, dict) else None
    answer.declare(model, spec.preprocessing, (size[0], size[1]) if size else None)
    return Detector(ready(model, device), threshold, spec, info)


def ready(model: nn.Module, device: str | torch.device) -> nn.Module:
    """The network on its device as a `Detector` has it: in evaluation mode, no gradients, channels last.

    Where its forward pass takes ``view``s that this layout does not allow, the layout is left as it was, and
    pictures are converted to it.
    """
    model = model.eval().requires_grad_(False).to(device=device)
    if answer.takes_channels_last(model):
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    model.register_forward_pre_hook(_in_order)
    return model


def _in_order(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(x.contiguous() for x in inputs)


def imagenet(arch: str, download: bool = False) -> nn.Module:
    """The network with ImageNet's 1,000 classes, in evaluation mode, on the CPU.

    The weights are those of its library (torchvision, efficientnet_pytorch), read from torch's download
    folder. With ``download``, missing weights are first fetched from the library's address and checked
    against the hash in their name; otherwise nothing is fetched. Raises FileNotFoundError where there are
    none, ConnectionError where they cannot be fetched, and as `read_weights` and `load_weights`.
    """
    model = build(arch, [str(number) for number in range(1000)])
    url = architecture(arch).imagenet
    folder, name = Path(torch.hub.get_dir()) / "checkpoints", url.rsplit("/", 1)[-1]
    if url and download and not (folder / name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        match = re.search(r"-([0-9a-f]{8,})\.", name)
        try:
            # the libraries' own loaders would unpickle what they fetch
            torch.hub.download_url_to_file(url, str(folder / name), match[1] if match else None)
        except (OSError, RuntimeError) as error:  # no connection, or a hash that does not match
            raise ConnectionError(
                f"ImageNet weights could not be fetched from {url} ({error}): put the file into {folder}"
            ) from error
    pattern = f"{name.rpartition('-')[0] or arch}-*.pth"
    files = sorted(folder.glob(pattern), key=lambda path: path.name == name) if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"no ImageNet weights {pattern} in {folder}: put them there, or use a classifier of scenes "
            f"({', '.join(classifiers())})"
        )
    return load_weights(model, files[-1]).requires_grad_(False)


def default_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.inference_mode()
def logits(
    model: Callable[[torch.Tensor], torch.Tensor],
    batches: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
) -> NDArray[np.float32]:
    """The logit of every picture, shape (N,), in the order of the image set behind ``batches``.

    ``batches`` as in `tff_core.pictures.data.batches`: (x, y, index) with the index of each picture.
    Batches become smaller where the memory of the device runs out, see `memory`. Raises WeightsError where a
    logit is not finite.
    """
    fitting = memory.Parts()
    parts = [(index, fitting.cat(lambda x: model(x)[:, 0].float().cpu(), x)) for x, _, index in batches]
    values = torch.cat([value for _, value in parts]).numpy()
    out = np.empty(len(values), dtype=np.float32)
    out[torch.cat([index for index, _ in parts]).numpy()] = values
    if not np.isfinite(out).all():
        raise WeightsError(
            f"{int((~np.isfinite(out)).sum())} of {len(out)} logits are not finite: the detector's weights "
            "are damaged or its training diverged; train it again"
        )
    return out
