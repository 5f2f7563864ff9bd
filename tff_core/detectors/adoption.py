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
from tff_core.detectors import answer, training
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write, fingerprint, provenance, write_json


def must_be_a_detector(
    name: str,
    model: nn.Module,
    preprocessing: data.Preprocessing = data.IMAGENET,
    x: torch.Tensor | None = None,
) -> None:
    """ValueError unless a network answers with one logit and relevance has a rule for each of its operations.

    Checked on ``x``, normalised pictures, and on noise of the size that ``preprocessing`` declares, else of
    that of ``x``; with neither, on noise of a size that the network can take. See
    `tff_core.detectors.answer.must_be_a_logit` and `tff_core.lrp.canonize`.
    """
    size = None if x is None else (int(x.shape[-2]), int(x.shape[-1]))
    answer.must_be_a_logit(name, answer.declare(model, preprocessing, size), x)
    try:
        lrp.canonize(model)
    except (lrp.NoRule, ValueError) as error:
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
    last. The only seed of an external detector is 0.

    Raises ValueError where the entry makes no sense, the network does not have one logit or has a layer
    without a rule for relevance, WeightsError as in `tff_core.detectors.load_weights`, and what training
    raises about pictures.
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
    first = data.normalize(data.load(held_out.take([0]), spec.preprocessing), spec.preprocessing)
    must_be_a_detector(name, model, spec.preprocessing, first)
    content = safetensors.torch.save({name: value.contiguous() for name, value in model.state_dict().items()})
    with atomic_write(path) as part:
        part.write_bytes(content)
    model = detectors.ready(model, device)
    info = {
        **training.judge(model, held_out, (), device, spec.preprocessing),
        "detector": name,
        "seed": 0,
        "network": spec.arch,
        "dataset": dataset,
        "size": list(first.shape[-2:]),
        "external": {**entry, "weights": str(source)},
        "key": key,
        "identity": identity,
        "sha256": hashlib.sha256(content).hexdigest(),
        "n_train": None,
        "provenance": provenance(data=identity["val"], device=str(device)),
    }
    write_json(path.with_suffix(".json"), info)
    return path
