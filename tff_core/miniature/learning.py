"""What the trainings of all generators have in common: settings, scenes, steps, checkpoints, a history.

The budget is counted in steps, every step draws its randomness from (seed, step), and a training resumed from
a checkpoint gives the same numbers as an uninterrupted one. What is kept is an exponential moving average of
the generator's weights. While it is trained, its fakes are compared with reals, one statistic at a time.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from tqdm.auto import tqdm

from tff_core.miniature import camera, generators, scenes
from tff_core.miniature.inputs import Batch, Noise, to_images, to_pixels
from tff_core.pictures import statistics
from tff_core.store.results import Store, atomic_write, fingerprint, forget, read_json, write_json

WATCHED = 64  # fakes that the history measures, and the reals beside them
HISTORY = ".history.json"  # what a history is called, after the name of the weights without its suffix


@dataclass(frozen=True)
class Settings:
    """What determines a training, besides family and seed."""

    steps: int = 1000
    batch: int = 16
    pictures: int = 3200
    size: int = 64
    rate: float = 2e-3  # of the generator, falling to a tenth along a half cosine
    critic_rate: float = 1e-3
    reconstruction: float = 10.0  # weight of the L1 reconstruction or cycle loss
    identity: float = (
        0.5  # weight, relative to the cycle loss, of leaving alone what is already in the target light
    )
    classification: float = 1.0  # weight of StarGAN's loss on the light
    average: float = 0.999  # decay of the moving average of the weights
    camera: str = camera.EDITION_2.name  # takes the scenes that it learns from

    def __post_init__(self) -> None:
        if self.camera not in camera.CAMERAS:
            raise ValueError(f"unknown camera {self.camera!r}: expected one of {', '.join(camera.CAMERAS)}")
        if not 0 <= self.average < 1:
            raise ValueError(f"the decay of an average is at least 0 and below 1: found {self.average}")
        if self.steps < 1 or self.pictures < 4 * len(scenes.CLASSES) or self.pictures % len(scenes.CLASSES):
            raise ValueError(
                f"training needs at least 1 step and a multiple of {len(scenes.CLASSES)} pictures, at least "
                f"{4 * len(scenes.CLASSES)}: found {self.steps} steps and {self.pictures} pictures"
            )
        if self.batch < 4 or self.batch % 4 or self.size < 16 or self.size % 8:
            raise ValueError(
                f"training needs a batch of a multiple of 4 and a size of a multiple of 8, at least 16: "
                f"found batch {self.batch} and size {self.size}"
            )


def pictures(count: int, size: int, store: Store | None = None, progress: bool = True,
             shot: str = camera.EDITION_2.name) -> Batch:  # fmt: skip
    """The scenes every generator is trained on: ``count`` in all, classes in turn; kept below the store.

    ``shot`` is the name of the camera that takes them.
    """
    key = fingerprint({"count": count, "size": size, "drawing": camera.drawing(), "camera": shot})
    path = (store or Store()).root / "cache" / f"generator-scenes.{key}.npz"
    names = ("pixels", "segments", "labels", "lights")
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                pixels, segments, labels, lights = (file[name] for name in names)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            path.unlink()  # a cache: drawn again below
    if not path.is_file():
        drawn = [
            _scene(i, size, shot)
            for i in tqdm(range(count), desc="scenes for the generators", disable=not progress)
        ]
        pixels, segments = np.stack([p.pixels for p in drawn]), np.stack([p.segments for p in drawn])
        labels = np.array([scenes.CLASSES.index(p.label) for p in drawn])
        lights = np.array([scenes.LIGHTS.index(p.light) for p in drawn])
        with atomic_write(path) as part:
            np.savez(part, pixels=pixels, segments=segments, labels=labels, lights=lights)
    return Batch(
        to_images(pixels),
        torch.from_numpy(labels),
        torch.from_numpy(lights),
        torch.from_numpy(segments).long(),
    )


def _scene(number: int, size: int, shot: str) -> camera.Picture:
    """Picture ``number`` of the generators' own scenes; the classes come in turn."""
    count = len(scenes.CLASSES)
    label, index = scenes.CLASSES[number % count], number // count
    return camera.take("generators", label, index, size=size, camera=camera.CAMERAS[shot])


def precision() -> torch.dtype:
    """What trainings of generators compute in: bfloat16, or float32 on processors that would emulate it."""
    there = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if there else torch.float32


def mixed_precision() -> torch.autocast:
    """A context in which what is safe in it is computed in `precision`."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision() == torch.bfloat16)


class Average:
    """An exponential moving average of a network's weights and buffers."""

    def __init__(self, model: nn.Module, averaged: nn.Module, decay: float) -> None:
        pairs = list(zip(model.state_dict().values(), averaged.state_dict().values(), strict=True))
        self._floats = [(a, b) for a, b in pairs if a.is_floating_point()]
        self._others = [(a, b) for a, b in pairs if not a.is_floating_point()]
        self._decay = decay

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Move the average towards the weights as they are after ``done`` earlier steps."""
        decay = min(self._decay, (1 + done) / (10 + done))  # a short memory while there is little to remember
        current, averaged = zip(*self._floats, strict=True)
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for value, target in self._others:
            target.copy_(value)


class Training(ABC):
    """The state of one training; ``step()`` advances it.

    A subclass adds its own networks and optimizers before it is used, names them in ``parts``, and says in
    ``update`` what a step does.
    """

    parts: tuple[str, ...] = ("generator", "averaged", "optimizer")  # what a checkpoint keeps
    momentum = 0.5  # of the generator's optimizer; low, as is usual against a critic

    def __init__(self, family: str, seed: int, settings: Settings, data: Batch) -> None:
        torch.manual_seed(seed)
        self.family, self.seed, self.settings, self.data = family, seed, settings, data
        self.generator = generators.build(family).train()
        self.averaged = generators.build(family).requires_grad_(False).eval()
        self.averaged.load_state_dict(self.generator.state_dict())
        self._average = Average(self.generator, self.averaged, settings.average)
        self.optimizer = adam(self.generator, settings.rate, self.momentum)
        self.done = 0
        self.history: list[dict[str, Any]] = []
        self._losses: dict[str, float] = {}  # sums since the last entry of the history
        self._summed = 0

    @abstractmethod
    def update(self, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw a batch from ``rng`` and change the weights by it; the losses."""

    def step(self) -> dict[str, float]:
        """One step; its losses. ArithmeticError where one of them is not finite."""
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + self.done)
        share = 0.55 + 0.45 * math.cos(math.pi * self.done / self.settings.steps)
        for optimizer in (getattr(self, name) for name in self.parts if name.endswith("optimizer")):
            for group in optimizer.param_groups:
                group.setdefault("start", group["lr"])
                group["lr"] = group["start"] * share
        losses = {name: value.item() for name, value in self.update(rng).items()}
        self._average.update(self.done)
        self.done += 1
        if not all(math.isfinite(value) for value in losses.values()):
            raise ArithmeticError(
                f"training of {self.family} (seed {self.seed}) diverged at step {self.done}: "
                f"losses {losses}; lower the rate or choose another seed"
            )
        self._losses = {name: self._losses.get(name, 0.0) + value for name, value in losses.items()}
        self._summed += 1
        return losses

    def watch(self, watched: Watched) -> None:
        """Add an entry to the history: the step, mean losses since the last entry, AUC of each statistic."""
        entry = {name: value / max(1, self._summed) for name, value in self._losses.items()}
        self.history.append({"step": self.done, "losses": entry, "auc": watched.separations(self.averaged)})
        self._losses, self._summed = {}, 0

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "identity": self.identity(),
            "done": self.done,
            "history": self.history,
            "losses": (self._losses, self._summed),
            **{name: getattr(self, name).state_dict() for name in self.parts},
        }

    def identity(self) -> str:
        """Hash of what determines the result."""
        return fingerprint({"family": self.family, "seed": self.seed, "drawing": camera.drawing(),
                            **asdict(self.settings)})  # fmt: skip

    def restore(self, path: Path) -> bool:
        """Continue from a checkpoint; False if it belongs to another training or cannot be read."""
        try:
            state = torch.load(path, weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            return False
        if state.get("identity") != self.identity() or "history" not in state:
            return False
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])
        self.done, self.history = state["done"], state["history"]
        self._losses, self._summed = state["losses"]
        return True

    def draw(self, rng: torch.Generator, count: int, among: Tensor | None = None) -> Batch:
        """``count`` scenes of the data, or of those with the numbers ``among``."""
        if among is None:
            return self.data[torch.randint(len(self.data), (count,), generator=rng)]
        return self.data[among[torch.randint(len(among), (count,), generator=rng)]]


def adam(model: nn.Module, rate: float, momentum: float = 0.5) -> torch.optim.Adam:
    """The optimizer of every network here."""
    return torch.optim.Adam(model.parameters(), rate, betas=(momentum, 0.99), fused=True)


class Watched:
    """Scenes that no generator is trained on, and the noise with which every entry of a history turns them
    into fakes: entries of one history, and of different ones, can be compared."""

    def __init__(self, settings: Settings, count: int = WATCHED) -> None:
        step = len(scenes.CLASSES)
        first = settings.pictures  # the scenes after those of the training
        drawn = Batch.of([_scene(first + i, settings.size, settings.camera) for i in range(count + step)])
        self.sources, self.partners = drawn[:count], drawn[step:]
        self.noise = Noise.draw(count, settings.size, torch.Generator().manual_seed(0))
        self._real = statistics.measure(to_pixels(self.sources.images))

    def fakes(self, model: nn.Module, batch: int = 16) -> NDArray[np.uint8]:
        """What ``model`` makes of the scenes, (N, S, S, 3)."""
        with torch.inference_mode():
            parts = [
                model(self.sources[at], self.partners[at], Noise(*(tensor[at] for tensor in self.noise)))
                for at in (slice(i, i + batch) for i in range(0, len(self.sources), batch))
            ]
        return to_pixels(torch.cat(parts))

    def separations(self, model: nn.Module) -> dict[str, float]:
        """How often a fake has more of each statistic than a real (AUC); 0.5 is no difference."""
        fake = statistics.measure(self.fakes(model))
        labels = np.r_[np.zeros(len(self.sources)), np.ones(len(self.sources))]
        return {
            name: float(roc_auc_score(labels, np.r_[values, fake[name]]))
            for name, values in self._real.items()
        }


def run(training: Training, out: Path, snapshots: tuple[int, ...] = (), *, every: int | None = None,
        progress: bool = True, checkpoint_every: int = 200) -> Path:  # fmt: skip
    """Take ``training`` to its last step and write its averaged weights and its history.

    ``every`` is the number of steps between entries of the history (default: a twelfth of all); the last step
    has one, too. An interrupted training continues from ``<out>.checkpoint``. The history lies beside ``out``
    from the first entry on. See `train` for the arguments and the errors.
    """
    settings = training.settings
    every = every or max(1, settings.steps // 12)
    checkpoint = out.with_name(out.name + ".checkpoint")
    if checkpoint.is_file() and not training.restore(checkpoint):
        print(f"{checkpoint} is of another training or broken: starting at step 0")
    command = (
        f"python -m tff_core.miniature train-generator {training.family} --seed {training.seed} "
        f"--steps {settings.steps} --camera {settings.camera} --average {settings.average}"
    )
    if snapshots:
        command += " --snapshots " + " ".join(map(str, snapshots))

    def write(path: Path) -> None:
        info = {"family": training.family, "seed": training.seed, "steps": training.done, "command": command,
                "settings": asdict(settings), "torch": torch.__version__,
                "precision": str(precision()).removeprefix("torch.")}  # fmt: skip
        generators.save(training.averaged, path, info)

    watched = Watched(settings)
    with tqdm(total=settings.steps, initial=training.done, desc=f"{training.family} seed {training.seed}",
              disable=not progress) as bar:  # fmt: skip
        while training.done < settings.steps:
            losses = training.step()
            bar.update()
            if training.done % 20 == 0:
                bar.set_postfix({key: f"{value:.2f}" for key, value in losses.items()})
            if training.done % every == 0 or training.done == settings.steps:
                training.watch(watched)
                _write_history(training, out)
            if training.done in snapshots:
                write(out.with_name(f"{out.stem}-{training.done}{out.suffix}"))
            if training.done % checkpoint_every == 0 and training.done < settings.steps:
                with atomic_write(checkpoint) as part:
                    torch.save(training.state(), part)
    write(out)
    forget(checkpoint)
    return out


def _write_history(training: Training, out: Path) -> None:
    write_json(
        out.with_name(out.stem + HISTORY),
        {"family": training.family, "seed": training.seed, "steps": training.settings.steps,
         "n_real": WATCHED, "n_fake": WATCHED, "entries": training.history},
    )  # fmt: skip


def histories(paths: list[Path]) -> pd.DataFrame:
    """Histories as one table: a row for each (generator, seed, step, statistic) with ``auc``, ``n_real`` and
    ``n_fake``. ValueError names the file that is not a history."""
    rows = []
    for path in paths:
        content = read_json(path)
        try:
            head = {"generator": content["family"], "seed": content["seed"]}
            counts = {"n_real": content["n_real"], "n_fake": content["n_fake"]}
            rows += [
                {**head, "step": entry["step"], "statistic": name, "auc": auc, **counts}
                for entry in content["entries"]
                for name, auc in entry["auc"].items()
            ]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no history of a generator's training ({error!r} is missing or wrong): expected a "
                f"file *{HISTORY} as `python -m tff_core.miniature train-generator` writes it"
            ) from error
    return pd.DataFrame(rows, columns=["generator", "seed", "step", "statistic", "auc", "n_real", "n_fake"])


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `histories` with the seeds of a generator in one row: mean ``auc``, its extremes ``low`` and
    ``high``, and the number ``seeds``."""
    keys = ["generator", "step", "statistic", "n_real", "n_fake"]
    return (
        table.groupby(keys, sort=False)["auc"]
        .agg(auc="mean", low="min", high="max", seeds="size")
        .reset_index()
    )
