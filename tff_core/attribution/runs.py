"""One training of an attribution network, step by step, which continues from any checkpoint to the same bits.

A run has phases, and in each phase heads: parts of the network that learn side by side, each with an
optimiser, a validation loss and an end of its own.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tff_core.attribution import augmentation, inputs
from tff_core.attribution.baselines import Baseline, Network
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.networks import Attributor
from tff_core.attribution.sources import REAL, Pictures, sized
from tff_core.pictures.kept import Kept
from tff_core.store import resuming

_EPS = 1e-7  # Keras' default, which differs from torch's
_STATE = (
    "phase", "epoch", "step", "losses", "best_epochs", "best", "sums", "history", "chosen", "seconds",
)  # fmt: skip


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
        for name in ("detection_rate", "attribution_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a learning rate above 0")
        unknown = sorted(set(self.augment) - set(augmentation.OPERATIONS))
        if unknown:
            raise ValueError(
                f"unknown augmentation {unknown[0]!r}: expected some of {', '.join(augmentation.OPERATIONS)}"
            )


class Run:
    """A training of a network on ``images``, which chooses epochs on ``held_out``; see `Modules`, `Classes`.

    ``statistics`` are those of the training pictures for a network of kind "dct". ``checkpoint`` is where the
    run is saved, under ``key``; a run that is there is continued. ``kept`` are the pictures of ``images``.
    """

    phases: tuple[str, ...]
    first = 0
    """The phase that it begins with."""

    def __init__(
        self,
        net: Network,
        images: Pictures,
        held_out: Pictures,
        statistics: Statistics | None,
        settings: Config,
        seed: int,
        device: torch.device,
        key: str,
        checkpoint: Path,
        kept: Kept,
    ) -> None:
        self.images, self.held_out, self.settings, self.seed = images, held_out, settings, seed
        self.device, self.key, self.checkpoint = device, key, checkpoint
        self.net, self.statistics = net.to(device), statistics
        self.who = torch.tensor(images.sources)
        self.kept, self.watched = kept, Kept(held_out.paths)
        self.batch = min(settings.batch_size, len(images))
        self.steps = -(-len(images) // self.batch)
        self.history: dict[str, list[dict[str, Any]]] = {phase: [] for phase in self.phases}
        self.chosen: dict[str, int] = {}
        self.seconds = 0.0
        self.begin(self.first)
        resuming.resume(checkpoint, key, device, self._restore)

    # what a kind of training is made of

    def heads(self, phase: int) -> dict[int, str]:
        """What learns in a phase: numbers and names."""
        raise NotImplementedError

    def rate(self, phase: int) -> float:
        """The learning rate of a phase."""
        raise NotImplementedError

    def module(self, head: int) -> nn.Module:
        """The part of the network that a head is."""
        raise NotImplementedError

    def before(self, x: Tensor) -> Tensor:
        """What all heads of the phase are given, and none changes."""
        return x

    def loss(self, head: int, logits: Tensor, who: Tensor) -> Tensor:
        """The loss of a head for pictures of sources ``who``."""
        raise NotImplementedError

    # how any of them goes

    def begin(self, phase: int) -> None:
        """Start a phase: its heads, an optimiser for each, and what the best of each was."""
        self.phase, self.epoch, self.step = phase, 0, 0
        self.names = self.heads(phase)
        self.optimizers = {
            i: torch.optim.Adam(self.module(i).parameters(), self.rate(phase), eps=_EPS) for i in self.names
        }
        self.losses = dict.fromkeys(self.names, float("inf"))
        self.best_epochs = dict.fromkeys(self.names, 0)
        self.best: dict[int, dict[str, Tensor]] = {}
        self.sums = dict.fromkeys(self.names, 0.0)

    @property
    def active(self) -> list[int]:
        """The heads that are still learning."""
        if self.epoch >= self.settings.max_epochs:
            return []
        return [i for i, best in self.best_epochs.items() if self.epoch - best < self.settings.patience]

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.begin(saved["phase"])
        self.net.load_state_dict(saved["model"])
        for head, state in saved["optimizers"].items():
            self.optimizers[head].load_state_dict(state)
        for name in _STATE[1:]:
            setattr(self, name, saved[name])

    def _save(self) -> None:
        state = {name: getattr(self, name) for name in _STATE}
        state["model"] = self.net.state_dict()
        state["optimizers"] = {head: one.state_dict() for head, one in self.optimizers.items()}
        resuming.save(self.checkpoint, self.key, state)

    def to_the_end(self, progress: bool) -> None:
        """Train all phases; the network then has the best weights of every head."""
        taken = 0
        while True:
            with tqdm(desc=self.phases[self.phase], unit="step", disable=not progress) as bar:
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
                self.module(head).load_state_dict(state)
                self.chosen[self.names[head]] = self.best_epochs[head]
            if self.phase == len(self.phases) - 1:
                return
            self.begin(self.phase + 1)

    def _one_step(self) -> None:
        generator = resuming.generator(self.seed, (self.phase << 20) + self.epoch, 0)
        order = torch.randperm(len(self.images), generator=generator)
        chosen = order[self.step * self.batch : (self.step + 1) * self.batch]
        pixels = torch.stack([sized(self.kept, int(i), self.net.size) for i in chosen])
        if self.settings.augment:
            generator = resuming.generator(self.seed, (self.phase << 20) + self.epoch, self.step + 1)
            pixels, _ = augmentation.augment(pixels, generator, self.settings.augment, self.settings.legacy)
        x, who = self.before(self._seen(pixels)), self.who[chosen].to(self.device)
        for head in self.active:
            loss = self.loss(head, self.module(head).train()(x), who)
            if not loss.isfinite():
                raise FloatingPointError(
                    f"{self.phases[self.phase]}: the loss is {loss.item()} at epoch {self.epoch}, step "
                    f"{self.step}; lower the learning rate and run again"
                )
            self.optimizers[head].zero_grad(set_to_none=True)
            loss.backward()
            self.optimizers[head].step()
            self.sums[head] += loss.item()
        self.step += 1

    @torch.no_grad()
    def _end_of_epoch(self) -> None:
        learning = self.active
        self.epoch, self.step = self.epoch + 1, 0
        self.net.eval()
        totals = dict.fromkeys(learning, 0.0)
        who = torch.tensor(self.held_out.sources)
        for at in range(0, len(self.held_out), self.batch):
            part = range(at, min(at + self.batch, len(self.held_out)))
            x = self._seen(torch.stack([sized(self.watched, i, self.net.size) for i in part]))
            x, own = self.before(x), who[part.start : part.stop].to(self.device)
            for head in learning:
                totals[head] += float(self.loss(head, self.module(head)(x), own)) * len(part)
        entry: dict[str, Any] = {"epoch": self.epoch}
        for head in learning:
            found = totals[head] / len(self.held_out)
            entry[self.names[head]] = {"loss": self.sums[head] / self.steps, "validation": found}
            self.sums[head] = 0.0
            if found < self.losses[head]:
                self.losses[head], self.best_epochs[head] = found, self.epoch
                self.best[head] = copy.deepcopy(self.module(head).state_dict())
        self.history[self.phases[self.phase]].append(entry)

    def _seen(self, pixels: Tensor) -> Tensor:
        return inputs.seen(pixels, self.statistics).to(self.device)


class Modules(Run):
    """First the primary module, reals against all fakes; then, with that frozen, a module for each source.

    The module of a source learns its fakes against everything else. Those in ``old`` are there already.
    """

    net: Attributor
    phases = ("detection", "attribution")

    def __init__(self, net: Attributor, *arguments: Any, old: frozenset[int] = frozenset()) -> None:
        self.old, self.first = old, 1 if old else 0
        super().__init__(net, *arguments)

    def heads(self, phase: int) -> dict[int, str]:
        if phase == 0:
            return {0: "primary"}
        return {i: name for i, name in enumerate(self.images.names) if i not in self.old}

    def rate(self, phase: int) -> float:
        return (self.settings.detection_rate, self.settings.attribution_rate)[phase]

    def begin(self, phase: int) -> None:
        if phase == 1:
            self.net.freeze()
        super().begin(phase)

    def module(self, head: int) -> nn.Module:
        return self.net.primary if self.phase == 0 else self.net.secondaries[head]

    @torch.no_grad()
    def _maps(self, x: Tensor) -> Tensor:
        maps: Tensor = self.net.primary.eval().before(x)
        return maps

    def before(self, x: Tensor) -> Tensor:
        return x if self.phase == 0 else self._maps(x)

    def loss(self, head: int, logits: Tensor, who: Tensor) -> Tensor:
        return binary(logits, (who != REAL) if self.phase == 0 else (who == head))


class Classes(Run):
    """A baseline as a whole: cross-entropy of the softmax over reals and sources, or binary, of fakes."""

    net: Baseline

    def __init__(self, net: Baseline, *arguments: Any) -> None:
        self.phases = ("multiclass" if net.sources else "detection",)
        super().__init__(net, *arguments)

    def heads(self, phase: int) -> dict[int, str]:
        return {0: "network"}

    def rate(self, phase: int) -> float:
        return self.settings.attribution_rate if self.net.sources else self.settings.detection_rate

    def module(self, head: int) -> nn.Module:
        return self.net

    def loss(self, head: int, logits: Tensor, who: Tensor) -> Tensor:
        if not self.net.sources:
            return binary(logits, who != REAL)
        return nn.functional.cross_entropy(logits.float(), who - REAL)  # reals are class 0


def binary(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of logits (N, 1) and truth values (N,), in nats, the mean."""
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), target.to(torch.float32))
