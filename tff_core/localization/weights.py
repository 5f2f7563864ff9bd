"""Patch classifiers on disk: as the published code saves them, and as this one does.

The published code writes ``<tag>_net_D.pth``, a pickled dict with the key ``state_dict``. It is read without
running code. This code writes safetensors, whose header carries the network's name and which of its logits
stands for fakes; in a file without that, it is the first, as in the published code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from tff_core import detectors
from tff_core.localization import networks
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.store.results import atomic_write

_ABOUT = "patches"  # the entry of the header that says what the network is


def save(net: PatchClassifier, path: str | Path, **more: Any) -> bytes:
    """Write a patch classifier as safetensors, whole or not at all; returns the content.

    The header holds its name, ``fake_class`` and ``init``, and ``more`` as JSON. OSError as `atomic_write`.
    """
    about = {
        "network": net.name,
        "fake_class": str(net.fake_class),
        "init": net.init,
        **{name: json.dumps(value, sort_keys=True) for name, value in more.items()},
    }
    content = safetensors.torch.save(
        {name: value.detach().contiguous().cpu() for name, value in net.state_dict().items()},
        # one entry: several are written in an order that changes from time to time
        {_ABOUT: json.dumps(about, sort_keys=True)},
    )
    with atomic_write(path) as part:
        part.write_bytes(content)
    return content


def load(path: str | Path, name: str | None = None, fake_class: int | None = None) -> PatchClassifier:
    """A trained patch classifier in evaluation mode, on the CPU, from a weights file of any of the two kinds.

    ``name`` is told by the file, or found from names and shapes of its tensors, where it is not given.
    ``fake_class`` is what the file says; where it says nothing, the argument, else 0 as in the published
    code.

    Raises FileNotFoundError, and WeightsError where the file is broken, holds code or no weights, is of
    another network or cut than ``name``, or says another ``fake_class``; ValueError for an unknown name.
    """
    path = Path(path)
    told = header(path)
    if name is not None:
        networks.known(name)
    if fake_class is not None:
        networks.check_class(fake_class)
    if name is not None and told.get("network", name) != name:
        raise detectors.WeightsError(
            f"{path} has weights of {told['network']}: expected those of {name}; choose the file of {name}, "
            f"or the network {told['network']}"
        )
    own = told.get("fake_class")
    if own is not None and own not in ("0", "1"):
        raise detectors.WeightsError(f"{path} says that the class of fakes is {own!r}: expected 0 or 1")
    if own is not None and fake_class is not None and int(own) != fake_class:
        raise detectors.WeightsError(
            f"{path} says that logit {own} stands for fakes, and {fake_class} was asked for: leave the class "
            "of fakes out, or choose the other file"
        )
    chosen = name or told.get("network") or identify(path)
    try:
        networks.known(chosen)
    except ValueError as error:
        raise detectors.WeightsError(f"{path}: {error}") from error
    net = networks.build(chosen, fake_class=int(own) if own is not None else fake_class or 0)
    try:
        detectors.load_weights(net, path)
    except detectors.WeightsError as error:
        found = _fitting(path)
        if found and chosen not in found:
            raise detectors.WeightsError(
                f"{path} has weights of {found[0]}: expected those of {chosen}; choose the file of {chosen}, "
                f"or the network {found[0]}"
            ) from error
        raise
    net.init = str(path)
    return net.eval()


def header(path: Path) -> dict[str, str]:
    """What a file says of its network: ``network``, ``fake_class``, ``init``, ...; nothing in others."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: expected the weights of a patch classifier; check the path"
        )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            told = dict(file.metadata() or {})
        about = json.loads(told.get(_ABOUT, "null"))
        return {str(k): str(v) for k, v in about.items()} if isinstance(about, dict) else told
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}  # of torch's own kind, or broken: reading its weights says so


def preparation(path: Path) -> Preparation:
    """How the pictures of a file's network are prepared, which the published files do not say.

    WeightsError where what it says makes no sense.
    """
    told = header(path).get("preparation")
    try:
        return Preparation.of(json.loads(told)) if told else Preparation()
    except ValueError as error:
        raise detectors.WeightsError(f"{path}: {error}; train it again") from error


def identify(path: Path) -> str:
    """The network that a file's tensors belong to. WeightsError where there is none, or more than one."""
    found = _fitting(path)
    if len(found) == 1:
        return found[0]
    if not found:
        raise detectors.WeightsError(
            f"{path} has weights of no patch classifier: names and shapes of its tensors fit none of "
            f"{networks.NAMES[0]} to {networks.NAMES[-1]}; get the right file, or name the network"
        )
    raise detectors.WeightsError(f"{path} has weights that fit {' and '.join(found)}: name the network")


def _fitting(path: Path) -> list[str]:
    """Every network whose tensors have these names and shapes, after one common prefix is removed."""
    given = _shapes(detectors.read_weights(path))
    for prefix in ("", "module.", "model.", "net."):
        if prefix and not all(name.startswith(prefix) for name in given):
            continue
        named = {name.removeprefix(prefix): shape for name, shape in given.items()}
        names = _candidates(named)
        found = [name for name in names if _shapes(networks.on_meta(name).state_dict()) == named]
        if found:
            return found
    return []


def _candidates(named: Mapping[str, torch.Size]) -> list[str]:
    """The networks worth a comparison: those of the family, cut where the file ends."""
    stages = {name.partition(".")[0] for name in named}
    if "convout" not in stages:
        return list(networks.WHOLE)
    cuts = [stage for stage in stages if stage.startswith(("block", "layer"))]
    if not cuts:
        # a wide layer's kernel can be told from its shape, its dilation cannot
        wide = named.get("conv1.weight", torch.Size())
        return [f"widenet_kw{wide[-1]}_d1"] if wide and wide[-1] % 2 else []
    last = max(cuts, key=lambda cut: int(cut[5:]) if cut[5:].isdecimal() else 0)
    return [name for name in networks.NAMES if name.endswith(f"_{last}") or name == "longxception"]


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
