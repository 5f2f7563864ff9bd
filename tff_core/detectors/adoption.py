"""Taking a detector that was trained elsewhere into the store: checked, calibrated, described."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from tff_core import detectors, lrp
from tff_core.detectors import training
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write, fingerprint, provenance, write_json


def must_have_rules(name: str, model: nn.Module) -> None:
    """ValueError that names the first layer of a detector's network that relevance has no rule for."""
    try:
        lrp.canonize(model)
    except lrp.NoRule as error:
        raise ValueError(f"external detector {name!r}: {error}") from error


def adopt(
    name: str,
    entry: Mapping[str, Any],
    store: Store,
    *,
    dataset: str = "miniature",
    n_val: int = 0,
    device: str | torch.device | None = None,
) -> Path:
    """Take a detector that was trained elsewhere into the store, unless it is there; the path of its weights.

    ``entry`` as in `tff_core.detectors.external`. Its weights are checked against its network, the network
    against the rules of relevance, and its threshold is calibrated on the validation pictures of ``dataset``
    (``n_val`` per label, 0: all there are). Beside the weights, ``.json`` has the threshold with its
    interval, how well it does on these pictures, the entry, and where the weights came from. It is written
    last, and an external detector has the one seed 0.

    Raises ValueError where the entry makes no sense, the network has not one logit or a layer without a rule
    for relevance, WeightsError as in `tff_core.detectors.load_weights`, and what training raises about
    pictures.
    """
    spec = detectors.external(name, entry, dataset)
    device = torch.device(device) if device is not None else detectors.default_device()
    source = Path(entry["weights"]).expanduser()
    held_out = training.pictures(spec, store, "val", n_val)
    model = detectors.load_weights(detectors.build(spec.arch), source)
    identity = {
        "adopted": {key: value for key, value in entry.items() if key != "weights"},
        "dataset": dataset,
        "weights": hashlib.sha256(source.read_bytes()).hexdigest(),
        "val": data.content_hash(held_out),
        "torch": torch.__version__.split("+")[0],
    }
    key, path = fingerprint(identity), store.detector(name, 0)
    if training.is_there(path, key):
        return path
    must_have_rules(name, model)
    content = safetensors.torch.save({name: value.contiguous() for name, value in model.state_dict().items()})
    with torch.inference_mode():
        first = data.normalize(data.load(held_out.take([0]), spec.preprocessing), spec.preprocessing)
        shape = tuple(model(first).shape)
    if shape != (1, 1):
        raise ValueError(
            f"external detector {name!r}: its network answers one picture with the shape {shape}; expected "
            "(1, 1), one logit that is positive for fakes"
        )
    with atomic_write(path) as part:
        part.write_bytes(content)
    model = detectors.ready(model, device)
    info = {
        **training.judge(model, held_out, (), device, spec.preprocessing),
        "detector": name,
        "seed": 0,
        "network": spec.arch,
        "dataset": dataset,
        "external": {**entry, "weights": str(source)},
        "key": key,
        "identity": identity,
        "sha256": hashlib.sha256(content).hexdigest(),
        "n_train": None,
        "provenance": provenance(data=identity["val"], device=str(device)),
    }
    write_json(path.with_suffix(".json"), info)
    return path
