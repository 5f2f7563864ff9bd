"""Attribution networks on disk: safetensors whose header says what they are, with the statistics they need.

The published Keras files are read by `tff_core.attribution.keras_files`; this is what a training here writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from tff_core.attribution.baselines import Baseline, Network, baseline
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.keras_files import load_keras
from tff_core.attribution.networks import Attributor, build
from tff_core.detectors import WeightsError
from tff_core.store.results import atomic_write

_MEAN, _STD = "statistics.mean", "statistics.std"
_ABOUT = "attribution"  # the entry of the header that says what the network is


class Loaded(NamedTuple):
    """A network in evaluation mode, and the statistics of its training pictures if its file has them."""

    net: Network
    statistics: Statistics | None


def save(net: Network, path: str | Path, statistics: Statistics | None = None) -> bytes:
    """Write a network as safetensors, whole or not at all; returns the content. OSError as `atomic_write`."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in net.state_dict().items()}
    about: dict[str, Any] = {"kind": net.kind, "size": net.size, "sources": net.names}
    if isinstance(net, Baseline):
        about["network"] = net.name
    if statistics is not None:
        tensors |= {_MEAN: torch.from_numpy(statistics.mean), _STD: torch.from_numpy(statistics.std)}
        about["count"] = statistics.count
    # one entry: several are written in an order that changes from time to time
    content = safetensors.torch.save(tensors, {_ABOUT: json.dumps(about, sort_keys=True)})
    with atomic_write(path) as part:
        part.write_bytes(content)
    return content


def modules(loaded: Loaded, what: str) -> Attributor:
    """The network, if it is one with modules; ValueError that begins with ``what`` for a baseline."""
    if isinstance(loaded.net, Attributor):
        return loaded.net
    raise ValueError(
        f"{what}: expected a network with a primary and secondary modules, found {loaded.net.name}, which "
        "has none"
    )


def load(paths: Sequence[str | Path], names: Sequence[str] | None = None, size: int | None = None) -> Loaded:
    """A network from one file of `save`, or from published Keras files, which ``names`` and ``size`` are for.

    Nothing in a file is run. Raises FileNotFoundError, WeightsError where a file is broken or of another
    kind, ValueError where files of the two kinds are mixed.
    """
    own = [Path(path) for path in paths if Path(path).suffix == ".safetensors"]
    if not own:
        return Loaded(load_keras(*paths, names=names, size=size), None)
    if len(paths) > 1 or names or size:
        raise ValueError(
            f"{own[0]} is a whole network: expected it alone, without names or a size, which it has"
        )
    return _load(own[0])


def _load(path: Path) -> Loaded:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected the weights of a network; check the path")
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        about = json.loads(header[_ABOUT])
        if not isinstance(about, dict) or not isinstance(about["sources"], list):
            raise TypeError(f"it describes itself as {about!r}")
        kind, size, names = about["kind"], about["size"], about["sources"]
        net: Network = (
            baseline(about["network"], kind, size, names=names) if "network" in about
            else build(kind, size, names)
        )  # fmt: skip
        statistics = None
        if _MEAN in tensors:
            mean, std = (tensors.pop(name).double().numpy() for name in (_MEAN, _STD))
            statistics = Statistics(mean, std, int(about["count"]))
        net.load_state_dict(tensors)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{path} holds no attribution network ({told}): expected a file that `tff attribute-train` "
            "wrote; train it again"
        ) from error
    values = [value for value in net.state_dict().values() if value.is_floating_point()]
    if not all(bool(value.isfinite().all()) for value in values):
        raise WeightsError(f"{path} has weights that are not finite: train it again")
    return Loaded(net.eval(), statistics)
