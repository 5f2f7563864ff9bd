"""The registry of detectors, their networks, and the safe loading of their weights.

A detector is a network with one logit (positive: fake) on pictures normalised with ImageNet's mean and
deviation, without resize or crop. A classifier is the same network with one logit per class of scene: it says
what a picture shows, and is what a detector's explanations are compared with. Weights are read without
running code: safetensors, or a checkpoint as Wang et al. publish it (a dict with key ``model``) under
``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_pytorch import EfficientNet
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet50

from tff_core import memory
from tff_core.results import Store, read_json


class WeightsError(ValueError):
    """A weights file that is broken, unsafe, or not of the network that it is meant for."""


@dataclass(frozen=True)
class Architecture:
    """How to build a network untrained, and the paper's number of top feature maps.

    ``make()`` has one logit, ``make(n)`` has n.
    """

    title: str
    k: int
    make: Callable[..., nn.Module]


def _resnet50(logits: int = 1) -> nn.Module:
    # residual branches that start at zero halve the steps that a training from scratch needs; the network and
    # its weights' names stay torchvision's
    return resnet50(num_classes=logits, zero_init_residual=True)


def _efficientnet_b0(logits: int = 1) -> nn.Module:
    # image_size=None: 'same' padding follows each picture's size; no dropout, so that a run is reproducible
    # from its step alone and evaluation and training see one function
    return EfficientNet.from_name(
        "efficientnet-b0", num_classes=logits, image_size=None, dropout_rate=0.0, drop_connect_rate=0.0
    )


ARCHITECTURES = {
    "resnet50": Architecture("ResNet-50", 114, _resnet50),
    "efb0": Architecture("EfficientNet-B0", 27, _efficientnet_b0),
}


@dataclass(frozen=True)
class Spec:
    """A detector or classifier by name: its network and the data set it is trained on.

    ``options`` are what its training changes from the default (see `tff_core.training.Config`). ``classes``
    are what a classifier tells apart, in the order of its logits; a detector has none.
    """

    name: str
    arch: str
    dataset: str = "miniature"
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """The paper's number of top feature maps for this network."""
        return ARCHITECTURES[self.arch].k

    @property
    def title(self) -> str:
        return ARCHITECTURES[self.arch].title


_ROBUST = {"grayscale": 0.5}  # the paper's colour-robust detectors see half of their pictures in gray
_SCENES = ("facade", "landscape", "stilllife", "pebbles")
_REGISTRY = {
    spec.name: spec
    for spec in (
        Spec("resnet50-miniature", "resnet50"),
        Spec("efb0-miniature", "efb0"),
        Spec("resnet50-miniature-cr", "resnet50", options=_ROBUST),
        Spec("efb0-miniature-cr", "efb0", options=_ROBUST),
        Spec("resnet50-scenes", "resnet50", options={"n": 1400, "epochs": 3}, classes=_SCENES),
        Spec("efb0-scenes", "efb0", options={"n": 1400, "epochs": 5}, classes=_SCENES),
    )
}


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
    return [name for name, spec in _REGISTRY.items() if not spec.classes]


def classifiers() -> list[str]:
    """Names of all registered classifiers of scenes."""
    return [name for name, spec in _REGISTRY.items() if spec.classes]


def register(spec: Spec) -> Spec:
    """Add a detector or classifier. ValueError where its network is unknown or its name is another's."""
    if spec.arch not in ARCHITECTURES:
        raise ValueError(
            f"{spec.name}: unknown network {spec.arch!r}; expected one of {', '.join(ARCHITECTURES)}"
        )
    if _REGISTRY.get(spec.name, spec) != spec:
        raise ValueError(f"a different detector is already called {spec.name!r}; choose another name")
    _REGISTRY[spec.name] = spec
    return spec


def get(name: str) -> Spec:
    """The registered detector or classifier of that name; ValueError lists the names there are."""
    if name not in _REGISTRY:
        raise ValueError(f"no detector is called {name!r}; expected one of {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


def build(arch: str, classes: Sequence[str] = ()) -> nn.Module:
    """An untrained network in evaluation mode, with one logit, or one per class where there are classes.

    ValueError where ``arch`` is unknown.
    """
    if arch not in ARCHITECTURES:
        raise ValueError(f"unknown network {arch!r}; expected one of {', '.join(ARCHITECTURES)}")
    make = ARCHITECTURES[arch].make
    return (make(len(classes)) if classes else make()).eval()


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by name, on the CPU. No code in the file is run.

    Reads ``.safetensors``, and torch files that hold the tensors directly or under the key ``model``.
    Raises FileNotFoundError, and WeightsError where the file is broken, holds code, or no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected the weights of a detector; check the path")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than weights, or is broken, and was not opened further "
            f"({str(error).splitlines()[0]}); get the file from its author again, or save only the state dict"
        ) from error
    except Exception as error:  # damaged files make torch's reader stumble in ways that it does not list
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as weights ({first}); "
            "get the file again, or delete it and train again"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not (isinstance(content, dict) and content) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    ):
        raise WeightsError(
            f"{path} holds no weights: expected tensors by name, or a dict with them under the key 'model'; "
            f"found {type(content).__name__}"
        )
    return content


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Fill ``model`` with the weights of a file after checking names, shapes and values; returns ``model``.

    The prefix ``module.`` that multi-GPU training leaves is removed, and batch counters may be missing.
    Raises as `read_weights`, and WeightsError that names what is missing, unexpected, of another shape or not
    finite.
    """
    found = {key.removeprefix("module."): value for key, value in read_weights(path).items()}
    expected = model.state_dict()
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = sorted(set(expected) - set(found) - counters)
    unexpected = sorted(set(found) - set(expected))
    if missing or unexpected:
        raise WeightsError(
            f"{path} holds the weights of another network: {_some('missing', missing)}, "
            f"{_some('unexpected', unexpected)}; choose the file that belongs to {type(model).__name__}"
        )
    for key, value in found.items():
        if value.shape != expected[key].shape:
            raise WeightsError(
                f"{path}: {key} has shape {tuple(value.shape)}, expected {tuple(expected[key].shape)}; "
                "choose the weights of a network with as many logits"
            )
        if value.is_floating_point() and not value.isfinite().all():
            bad = int((~value.isfinite()).sum())
            raise WeightsError(
                f"{path}: {bad} of {value.numel()} numbers in {key} are not finite; the file is damaged or "
                "its training diverged; get or train it again"
            )
    model.load_state_dict({**{key: expected[key] for key in counters}, **found})
    return model


def _some(what: str, keys: list[str], n: int = 3) -> str:
    shown = ", ".join(keys[:n]) + (", ..." if len(keys) > n else "")
    return f"{len(keys)} {what}" + (f" ({shown})" if keys else "")


def load(name: str, seed: int, store: Store, device: str | torch.device = "cpu") -> Detector:
    """A trained detector or classifier, ready to judge pictures.

    Raises FileNotFoundError with the command that trains it where it is not there yet, WeightsError where its
    files are broken.
    """
    spec = get(name)
    path = store.detector(name, seed)
    description = path.with_suffix(".json")
    command = f"python -m tff_core.training --detector {name} --seed {seed}"
    if not (path.is_file() and description.is_file()):
        raise FileNotFoundError(
            f"detector {name} with seed {seed} is not at {path} yet; train it with: {command}"
        )
    info = read_json(description)
    threshold = float("nan")
    if not spec.classes:
        if not isinstance(info, dict) or not isinstance(info.get("threshold"), int | float):
            raise WeightsError(f"{description} has no threshold: delete it and run: {command}")
        threshold = float(info["threshold"])
    model = load_weights(build(spec.arch, spec.classes), path)
    model.requires_grad_(False)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Detector(model, threshold, spec, info)


def imagenet(arch: str) -> nn.Module:
    """The network with ImageNet's 1,000 classes, from weights on this machine; nothing is downloaded.

    In evaluation mode, on the CPU. Weights are looked for where torch keeps what it downloaded, under the
    names that torchvision and efficientnet_pytorch give them. Raises FileNotFoundError where there are none,
    and as `read_weights` and `load_weights`.
    """
    model = build(arch, [str(number) for number in range(1000)])
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    pattern = {"resnet50": "resnet50-*.pth", "efb0": "efficientnet-b0-*.pth"}.get(arch, f"{arch}-*.pth")
    files = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"no ImageNet weights {pattern} in {folder}: put them there, or use a classifier of scenes "
            f"({', '.join(classifiers())})"
        )
    return load_weights(model, files[-1]).requires_grad_(False)


def default_device() -> torch.device:
    """The accelerator that is there, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.inference_mode()
def logits(
    model: Callable[[torch.Tensor], torch.Tensor],
    batches: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
) -> NDArray[np.float32]:
    """The logit of every picture, shape (N,), in the order of the image set behind ``batches``.

    ``batches`` as in `tff_core.data.batches`: (x, y, index) with the index of each picture.
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
