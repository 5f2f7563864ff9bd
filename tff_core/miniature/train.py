"""Training of one generator, from its name to a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tff_core.miniature import generators, learning
from tff_core.miniature.adversarial import Adversarial
from tff_core.miniature.denoising import Denoising
from tff_core.miniature.learning import Settings, Training
from tff_core.store.results import Store

# what a family is trained with where that differs from the defaults of `Settings`
_OWN: dict[str, dict[str, Any]] = {
    "diffusion": {"steps": 4000, "batch": 32, "rate": 1e-3},
    "autoencoder": {"steps": 3000},
}


def usual(family: str, **changes: Any) -> Settings:
    """The settings with which ``family`` is trained, with ``changes``. ValueError for an unknown family."""
    return Settings(**(_OWN.get(generators.known(family), {}) | changes))


def prepare(family: str, seed: int, settings: Settings, store: Store | None = None,
            progress: bool = True) -> Training:  # fmt: skip
    """A training of ``family`` before its first step. ValueError for an unknown family."""
    kind: type[Training] = Denoising if generators.known(family) == "diffusion" else Adversarial
    data = learning.pictures(settings.pictures, settings.size, store, progress, settings.camera)
    return kind(family, seed, settings, data)


def train(family: str, seed: int, out: str | Path, settings: Settings | None = None, *,
          snapshots: tuple[int, ...] = (), every: int | None = None, store: Store | None = None,
          progress: bool = True, checkpoint_every: int = 200) -> Path:  # fmt: skip
    """Train a generator and write its averaged weights to ``out``; a snapshot after N steps to ``out`` with
    ``-N`` before the suffix; and, beside them, the history of the training: every ``every`` steps, how well
    single statistics tell its fakes from reals. An interrupted training continues from ``<out>.checkpoint``.

    Raises ValueError for an unknown family or impossible settings, ArithmeticError where training diverges.
    """
    settings = settings or usual(family)
    if any(not 0 < at < settings.steps for at in snapshots):
        raise ValueError(f"snapshots lie between step 1 and {settings.steps - 1}: found {snapshots}")
    if every is not None and not 0 < every <= settings.steps:
        raise ValueError(
            f"entries of the history lie 1 to {settings.steps} steps apart, the number of all: found {every}"
        )
    training = prepare(family, seed, settings, store, progress)
    return learning.run(training, Path(out), snapshots, every=every, progress=progress,
                        checkpoint_every=checkpoint_every)  # fmt: skip
