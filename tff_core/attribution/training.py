"""Training what names sources: a network with modules, or a baseline that names them all at once.

*With modules*: first the primary, reals against the fakes of all sources (*detection*); then, with that
frozen, one module for each source, which learns its fakes against everything else, reals and the other
sources' fakes (*attribution*). Every source stops for itself. The primary is not touched by the second part,
down to its running statistics. *Baselines* learn reals and all sources as classes of one softmax
(*multiclass*), or reals against fakes (*detection*).

Binary cross-entropy for one logit, cross-entropy for a softmax; Adam, and early stopping on the validation
loss, with the best weights restored.

Every random number follows from the seed, the phase, the epoch and the step, so an interrupted run
continues from its last checkpoint to exactly the weights of an uninterrupted one (same device, as many
threads).

Source: Khoo, Lim and Phan, 2022 (arXiv 2203.09777), and its published code, which computes the binary loss of
class numbers where it trains baselines for several sources; here it is the cross-entropy.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from tff_core import detectors
from tff_core.attribution import inputs, networks, plain, weights
from tff_core.attribution.baselines import BASELINES, PLAIN, Network, baseline
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.runs import Classes, Config, Modules, Run
from tff_core.attribution.sources import BATCH, REAL, Pictures, batch, collect, same_sources
from tff_core.detectors.training import KERNELS, is_there
from tff_core.pictures.kept import Kept
from tff_core.store import resuming
from tff_core.store.results import fingerprint, forget, provenance, write_json

__all__ = ["MODES", "NETWORKS", "REAL", "Config", "Pictures", "collect", "train"]
_RECIPE = 1  # increased when a change to this module, or to `runs`, changes the resulting weights
MODULES = "modules"
NETWORKS = (MODULES, *BASELINES)
MODES = ("one-vs-rest", "multiclass", "detection")


def train(
    images: Pictures,
    held_out: Pictures,
    path: str | Path,
    kind: str | None = None,
    size: int = 128,
    settings: Config | None = None,
    *,
    network: str = MODULES,
    mode: str | None = None,
    seed: int = 0,
    start: str | Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Path:
    """Train a network on ``images``, choosing epochs on ``held_out``; the path of its weights.

    ``path`` (.safetensors) carries kind, size, names of the sources and, for spectra, the statistics of the
    training pictures; ``.json`` beside it the settings, the history and provenance, and is written last. What
    is there already is left alone; an interrupted run continues from ``.part.pt``.

    Args:
        kind: of the input, "pixel" (the default) or "dct" (the only one of plain networks).
        network: one of `NETWORKS`: "modules", or a baseline (see `baselines`); plain ones are fitted as a
            whole (see `plain`), without epochs.
        mode: "one-vs-rest" of a network with modules, "multiclass" (the default) or "detection" of a
            baseline. By sources as they are named; `sources.at_level` makes them coarser before.
        start: weights of a network with modules that knows some of the sources: it keeps its primary and
            their modules, and only the modules of new sources are trained. Pictures of the known ones are
            what a new module learns to tell its own from; kind and size are the network's.

    Raises ValueError where sources differ between the two sets, pictures have another size, nothing is
    new, or arguments do not fit together; FloatingPointError where the loss diverges, OSError where the disk
    is full.
    """
    for key, value in KERNELS.items():
        os.environ.setdefault(key, value)
    settings, path = settings or Config(), Path(path)
    device = torch.device(device) if device is not None else detectors.default_device()
    same_sources(images, held_out)
    mode = _mode(network, mode, start, settings)
    begun = weights.load([start]) if start is not None else None
    if begun is not None:
        known = weights.modules(begun, str(start))
        if kind not in (None, known.kind):
            raise ValueError(f"{start} is of kind {known.kind!r}: expected no other, found {kind!r}")
        kind, size = known.kind, known.size
        lost = sorted(set(known.names) - set(images.names))
        if lost or set(known.names) == set(images.names):
            raise ValueError(
                f"{start} knows {', '.join(known.names)}: expected pictures of all of these and of a new "
                + (f"source; {lost[0]} has none" if lost else "source")
            )
    kind = kind or ("dct" if network in PLAIN else "pixel")
    if network == MODULES:
        net: Network = networks.build(kind, size, images.names, seed)
    else:
        net = baseline(network, kind, size, seed=seed, names=images.names if mode == "multiclass" else ())
    identity: dict[str, Any] = {
        "recipe": _RECIPE, "kind": kind, "size": size, "seed": seed,
        # how often a run is saved does not change its result
        "settings": asdict(replace(settings, checkpoint_steps=1)),
        "train": images.hash, "val": held_out.hash, "torch": torch.__version__.split("+")[0],
        "start": hashlib.sha256(Path(start).read_bytes()).hexdigest() if start is not None else "",
    }  # fmt: skip
    if network != MODULES:
        identity |= {"network": network, "mode": mode}
    key = fingerprint(identity)
    if is_there(path, key):
        return path
    info = {
        "network": network, "mode": mode, "kind": kind, "size": size, "sources": list(net.names),
        "seed": seed, "key": key, "identity": identity,
        "provenance": provenance(seed=seed, device=str(device)),
    }  # fmt: skip
    checkpoint = path.with_suffix(".part.pt")
    if network in PLAIN:
        fitted = plain.fit(images, held_out, network, size)
        net = fitted.net
        statistics: Statistics | None = fitted.statistics
        info |= {"history": {}, "best": {}, "chosen": fitted.chosen}
    else:
        kept = Kept(images.paths)
        statistics = begun.statistics if begun is not None else _statistics(kept, kind, size)
        given = (images, held_out, statistics, settings, seed, device, key, checkpoint, kept)
        run = _run(net, begun, given)
        with resuming.whole_float32():
            run.to_the_end(progress)
        info |= {"history": run.history, "best": run.chosen, "cpu_seconds": round(run.seconds, 1)}
    content = weights.save(net.eval(), path, statistics)
    write_json(path.with_suffix(".json"), info | {"sha256": hashlib.sha256(content).hexdigest()})
    forget(checkpoint)
    return path


def _mode(network: str, mode: str | None, start: str | Path | None, settings: Config) -> str:
    """The mode of a training; ValueError where network, mode, start and settings do not fit."""
    if network not in NETWORKS:
        raise ValueError(f"no network {network!r}: expected one of {', '.join(NETWORKS)}")
    possible = {MODULES: ("one-vs-rest",)} | dict.fromkeys(PLAIN, ("multiclass",))
    modes = possible.get(network, ("multiclass", "detection"))
    if mode is not None and mode not in modes:
        hint = "; for one softmax of the same layers take notl" if network == MODULES else ""
        raise ValueError(f"{network} in mode {mode!r}: expected {' or '.join(modes)}{hint}")
    if start is not None and network != MODULES:
        raise ValueError(f"{network} has no modules to keep: expected no network to start from")
    if network in PLAIN and settings.augment:
        raise ValueError(f"{network} is fitted to pictures as they are: expected no augmentation")
    return mode or modes[0]


def _statistics(kept: Kept, kind: str, size: int) -> Statistics | None:
    """Of the training pictures, for a network that sees spectra."""
    if kind == "pixel":
        return None
    return inputs.measure(batch(kept, at, size) for at in range(0, len(kept.paths), BATCH))


def _run(net: Network, begun: weights.Loaded | None, arguments: tuple[Any, ...]) -> Run:
    if not isinstance(net, networks.Attributor):
        return Classes(net, *arguments)
    old = frozenset[int]()
    if begun is not None:
        known = weights.modules(begun, "start")
        net.primary.load_state_dict(known.primary.state_dict())
        for name, module in zip(known.names, known.secondaries, strict=True):
            net.secondaries[net.names.index(name)].load_state_dict(module.state_dict())
        old = frozenset(net.names.index(name) for name in known.names)
    return Modules(net, *arguments, old=old)
