"""Training an attribution network: first the primary module, then, with that frozen, one module per source.

*Detection*: reals against the fakes of all sources. *Attribution*: the module of a source learns its fakes
against everything else, reals and the other sources' fakes. Both by binary cross-entropy, Adam, and early
stopping on the validation loss, with the best weights restored; every source stops for itself. The primary is
not touched by the second part, down to its running statistics.

Every random number follows from the seed, the phase, the epoch and the step, so an interrupted run
continues from its last checkpoint to exactly the weights of an uninterrupted one (same device, as many
threads).

Source: Khoo, Lim and Phan, 2022 (arXiv 2203.09777), and its published code.
"""

from __future__ import annotations

import copy
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tff_core import detectors
from tff_core.attribution import augmentation, inputs, networks, weights
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.networks import Attributor
from tff_core.attribution.sources import REAL, Pictures, collect, same_sources, sized
from tff_core.detectors.training import KERNELS, is_there
from tff_core.pictures.kept import Kept
from tff_core.store import resuming
from tff_core.store.results import fingerprint, forget, provenance, write_json

__all__ = ["PHASES", "REAL", "Config", "Pictures", "collect", "train"]
_RECIPE = 1  # increased when a change to this module changes the resulting weights
_EPS = 1e-7  # Keras' default, which differs from torch's
PHASES = ("detection", "attribution")


@dataclass(frozen=True)
class Config:
    """What may be chosen about a training; with the pictures it determines the weights.

    ``detection_rate`` and ``attribution_rate`` are learning rates; ``patience`` is the number of epochs
    without a better validation loss after which a module stops; ``augment`` are operations of
    `tff_core.attribution.augmentation`, each done with probability one half, as stated or, with ``legacy``,
    as the published code does them.
    """

    detection_rate: float = 1e-3
    attribution_rate: float = 1e-4
    batch_size: int = 256
    max_epochs: int = 100
    patience: int = 5
    augment: tuple[str, ...] = ()
    legacy: bool = False
    checkpoint_steps: int = 200

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "patience", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: expected at least 1")
        unknown = sorted(set(self.augment) - set(augmentation.OPERATIONS))
        if unknown:
            raise ValueError(
                f"unknown augmentation {unknown[0]!r}: expected some of {', '.join(augmentation.OPERATIONS)}"
            )


def train(
    images: Pictures,
    held_out: Pictures,
    path: str | Path,
    kind: str = "pixel",
    size: int = 128,
    settings: Config | None = None,
    *,
    seed: int = 0,
    start: str | Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Path:
    """Train a network on ``images``, choosing epochs on ``held_out``; the path of its weights.

    ``path`` (.safetensors) carries kind, size, names of the sources and, for spectra, the statistics of the
    training pictures; ``.json`` beside it the settings, the history and provenance, and is written last. What
    is there already is left alone; an interrupted run continues from ``.part.pt``.

    ``start`` are weights of a network that knows some of the sources: it keeps its primary and their modules,
    and only the modules of new sources are trained.

    Raises ValueError where sources differ between the two sets, pictures have another size, or nothing is
    new; FloatingPointError where the loss diverges, OSError where the disk is full.
    """
    for key, value in KERNELS.items():
        os.environ.setdefault(key, value)
    settings, path = settings or Config(), Path(path)
    device = torch.device(device) if device is not None else detectors.default_device()
    same_sources(images, held_out)
    begun = weights.load([start]) if start is not None else None
    if begun is not None:
        known = weights.modules(begun, f"--start {start}")
        kind, size = known.kind, known.size
        lost = sorted(set(known.names) - set(images.names))
        if lost or set(known.names) == set(images.names):
            raise ValueError(
                f"{start} knows {', '.join(known.names)}: expected pictures of all of these and of a new "
                + (f"source; {lost[0]} has none" if lost else "source")
            )
    identity = {
        "recipe": _RECIPE, "kind": kind, "size": size, "seed": seed,
        # how often a run is saved does not change its result
        "settings": asdict(replace(settings, checkpoint_steps=1)),
        "train": images.hash, "val": held_out.hash, "torch": torch.__version__.split("+")[0],
        "start": hashlib.sha256(Path(start).read_bytes()).hexdigest() if start is not None else "",
    }  # fmt: skip
    key = fingerprint(identity)
    if is_there(path, key):
        return path
    run = _Run(images, held_out, kind, size, settings, seed, device, key, path.with_suffix(".part.pt"), begun)
    with resuming.whole_float32():
        run.to_the_end(progress)
    content = weights.save(run.net.eval(), path, run.statistics)
    info = {
        "kind": kind, "size": size, "sources": list(images.names), "seed": seed, "key": key,
        "identity": identity, "sha256": hashlib.sha256(content).hexdigest(), "history": run.history,
        "best": run.chosen, "cpu_seconds": round(run.seconds, 1),
        "provenance": provenance(seed=seed, device=str(device)),
    }  # fmt: skip
    write_json(path.with_suffix(".json"), info)
    forget(run.checkpoint)
    return path


class _Run:
    """One training of both phases, which can be stopped and continued at any checkpoint."""

    def __init__(
        self, images: Pictures, held_out: Pictures, kind: str, size: int, settings: Config, seed: int,
        device: torch.device, key: str, checkpoint: Path, begun: weights.Loaded | None,
    ) -> None:  # fmt: skip
        self.images, self.held_out, self.settings, self.seed = images, held_out, settings, seed
        self.device, self.key, self.checkpoint = device, key, checkpoint
        self.who = torch.tensor(images.sources)
        self.kept, self.watched = Kept(images.paths), Kept(held_out.paths)
        self.net: Attributor = networks.build(kind, size, images.names, seed).to(device)
        self.old: set[int] = set()  # sources whose modules are there already
        self.statistics: Statistics | None = None
        if begun is not None:
            self.statistics = begun.statistics
            known = weights.modules(begun, "start")
            self.net.primary.load_state_dict(known.primary.state_dict())
            for name, module in zip(known.names, known.secondaries, strict=True):
                number = images.names.index(name)
                self.net.secondaries[number].load_state_dict(module.state_dict())
                self.old.add(number)
        elif kind == "dct":
            batches = range(0, len(images), 64)
            self.statistics = inputs.measure(
                torch.stack([sized(self.kept, i, size) for i in range(at, min(at + 64, len(images)))])
                for at in batches
            )
        self.batch = min(settings.batch_size, len(images))
        self.steps = -(-len(images) // self.batch)
        self.history: dict[str, list[dict[str, Any]]] = {phase: [] for phase in PHASES}
        self.chosen: dict[str, int] = {}
        self.seconds = 0.0
        self._begin(1 if begun is not None else 0)
        resuming.resume(checkpoint, key, device, self._restore)

    def _begin(self, phase: int) -> None:
        """Start a phase: its modules, an optimiser for each, and what the best of each was."""
        self.phase, self.epoch, self.step = phase, 0, 0
        heads = [0] if phase == 0 else [i for i in range(self.net.sources) if i not in self.old]
        rate = (self.settings.detection_rate, self.settings.attribution_rate)[phase]
        if phase == 1:
            self.net.freeze()
        self.optimizers = {i: torch.optim.Adam(self._module(i).parameters(), rate, eps=_EPS) for i in heads}
        self.losses = dict.fromkeys(heads, float("inf"))
        self.best_epochs = dict.fromkeys(heads, 0)
        self.best: dict[int, dict[str, Tensor]] = {}
        self.sums = dict.fromkeys(heads, 0.0)

    def _module(self, head: int) -> nn.Module:
        return self.net.primary if self.phase == 0 else self.net.secondaries[head]

    @property
    def active(self) -> list[int]:
        """The modules that are still learning."""
        if self.epoch >= self.settings.max_epochs:
            return []
        return [i for i, best in self.best_epochs.items() if self.epoch - best < self.settings.patience]

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self._begin(saved["phase"])
        self.net.load_state_dict(saved["model"])
        for head, state in saved["optimizers"].items():
            self.optimizers[head].load_state_dict(state)
        names = ("epoch", "step", "losses", "best_epochs", "best", "sums", "history", "chosen", "seconds")
        for name in names:
            setattr(self, name, saved[name])

    def _save(self) -> None:
        names = (
            "phase",
            "epoch",
            "step",
            "losses",
            "best_epochs",
            "best",
            "sums",
            "history",
            "chosen",
            "seconds",
        )
        state = {name: getattr(self, name) for name in names}
        state["model"] = self.net.state_dict()
        state["optimizers"] = {head: one.state_dict() for head, one in self.optimizers.items()}
        resuming.save(self.checkpoint, self.key, state)

    def to_the_end(self, progress: bool) -> None:
        taken = 0
        while True:
            title = PHASES[self.phase]
            with tqdm(desc=title, unit="step", disable=not progress) as bar:
                while self.step or self.active:
                    started = time.process_time()
                    self._one_step()
                    if self.step == self.steps:
                        self._end_of_epoch()
                    self.seconds += time.process_time() - started
                    taken += 1
                    bar.set_postfix(epoch=self.epoch, refresh=False)
                    bar.update()
                    if taken % self.settings.checkpoint_steps == 0:
                        self._save()
            for head, state in self.best.items():
                self._module(head).load_state_dict(state)
                name = "primary" if self.phase == 0 else self.images.names[head]
                self.chosen[name] = self.best_epochs[head]
            if self.phase == 1:
                return
            self._begin(1)

    def _one_step(self) -> None:
        generator = resuming.generator(self.seed, (self.phase << 20) + self.epoch, 0)
        order = torch.randperm(len(self.images), generator=generator)
        chosen = order[self.step * self.batch : (self.step + 1) * self.batch]
        pixels = torch.stack([sized(self.kept, int(i), self.net.size) for i in chosen])
        if self.settings.augment:
            generator = resuming.generator(self.seed, (self.phase << 20) + self.epoch, self.step + 1)
            pixels, _ = augmentation.augment(pixels, generator, self.settings.augment, self.settings.legacy)
        x, who = self._seen(pixels), self.who[chosen].to(self.device)
        maps = x
        if self.phase == 1:
            with torch.no_grad():
                maps = self.net.primary.eval().before(x)
        for head in self.active:
            module = self._module(head).train()
            loss = _loss(module(maps), self._target(head, who))
            if not loss.isfinite():
                raise FloatingPointError(
                    f"{PHASES[self.phase]}: the loss is {loss.item()} at epoch {self.epoch}, step "
                    f"{self.step}; lower the learning rate and run again"
                )
            self.optimizers[head].zero_grad(set_to_none=True)
            loss.backward()
            self.optimizers[head].step()
            self.sums[head] += loss.item()
        self.step += 1

    def _target(self, head: int, who: Tensor) -> Tensor:
        return ((who != REAL) if self.phase == 0 else (who == head)).to(torch.float32)

    @torch.no_grad()
    def _end_of_epoch(self) -> None:
        learning = self.active
        self.epoch, self.step = self.epoch + 1, 0
        self.net.eval()
        totals = dict.fromkeys(learning, 0.0)
        who = torch.tensor(self.held_out.sources)
        for at in range(0, len(self.held_out), self.batch):
            part = range(at, min(at + self.batch, len(self.held_out)))
            maps = self._seen(torch.stack([sized(self.watched, i, self.net.size) for i in part]))
            if self.phase == 1:
                maps = self.net.primary.before(maps)
            for head in learning:
                target = self._target(head, who[part.start : part.stop].to(self.device))
                totals[head] += float(_loss(self._module(head)(maps), target)) * len(part)
        entry: dict[str, Any] = {"epoch": self.epoch}
        for head in learning:
            name = "primary" if self.phase == 0 else self.images.names[head]
            found = totals[head] / len(self.held_out)
            entry[name] = {"loss": self.sums[head] / self.steps, "validation": found}
            self.sums[head] = 0.0
            if found < self.losses[head]:
                self.losses[head], self.best_epochs[head] = found, self.epoch
                self.best[head] = copy.deepcopy(self._module(head).state_dict())
        self.history[PHASES[self.phase]].append(entry)

    def _seen(self, pixels: Tensor) -> Tensor:
        return inputs.seen(pixels, self.statistics).to(self.device)


def _loss(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), target)
