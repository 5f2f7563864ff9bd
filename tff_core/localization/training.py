"""Training a patch classifier with the published recipe: every cell learns its picture's label.

Batches hold as many reals as fakes: step i of an epoch takes pairs of a real and a fake. Adam, the learning
rate constant or lowered where validation no longer improves; the end comes when the best epoch is five times
``patience`` epochs ago, or its cells are all right. The weights kept are those of the best epoch.

Every random number follows from the seed, the epoch and the step, so an interrupted run continues from its
last checkpoint to exactly the weights of an uninterrupted one (same device, as many threads). Pairs are
shuffled every epoch.

Source: Chai et al., ECCV 2020, section 3, and its published code.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv
from tqdm import tqdm

from tff_core import detectors
from tff_core.detectors.training import KERNELS, is_there
from tff_core.localization import inputs, maps, networks, weights
from tff_core.localization.augmentation import augment
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.pictures import data
from tff_core.pictures.kept import Kept
from tff_core.store import memory, resuming
from tff_core.store.results import fingerprint, forget, provenance, write_json

CROPS = ("centre", "random", "resized")
_RECIPE = 1  # increased when a change to this module changes the resulting weights


@dataclass(frozen=True)
class Config:
    """What may be chosen about a training; with the pictures it determines the weights.

    ``load`` and ``fine`` as in `Preparation`; ``crop`` is where training's crops of ``fine`` pixels come
    from: the "centre", a "random" place, or "resized": a random part, brought to that size. ``batch_size``
    counts reals and fakes together. ``policy``: "constant" or "plateau" (a tenth where ``patience`` epochs
    brought no better validation). ``patience`` None: the published one of the network. ``pairing``:
    "serial", the i-th real with the i-th fake, or "random". ``blur``, ``jpeg``, ``colour``, ``clahe`` and
    ``flip`` are probabilities per picture, see `augment`; `augmentation.PRESETS` has published combinations.
    ``planes``, ``highpass`` and ``contrast``: what of the pixels the network sees, as in `Preparation`; the
    published one sees all.
    """

    init: str = "xavier002"
    load: int | None = None
    fine: int | None = None
    crop: str = "centre"
    batch_size: int = 32
    learning_rate: float = 1e-3
    policy: str = "constant"
    patience: int | None = None
    max_epochs: int = 1000
    pairing: str = "serial"
    blur: float = 0.0
    jpeg: float = 0.0
    colour: float = 0.0
    clahe: float = 0.0
    flip: float = 0.5
    checkpoint_steps: int = 200
    planes: str = "rgb"
    highpass: int | None = None
    contrast: float | None = None

    def __post_init__(self) -> None:
        _ = self.preparation
        for name, allowed in (
            ("crop", CROPS), ("policy", ("constant", "plateau")), ("pairing", ("serial", "random")),
            ("init", networks.INITIALISATIONS),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(allowed)}")
        if self.crop != "centre" and self.fine is None:
            raise ValueError(f"crop {self.crop!r} needs fine: expected the side of the crops in pixels")
        if self.load is not None and self.fine is not None and self.fine > self.load:
            raise ValueError(f"fine is {self.fine}, load {self.load}: expected crops that fit")
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError(f"batch_size is {self.batch_size}: expected an even number, half of it fakes")
        for name in ("blur", "jpeg", "colour", "clahe", "flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected a probability, 0 to 1")
        if self.max_epochs < 1 or (self.patience is not None and self.patience < 1):
            raise ValueError("max_epochs and patience: expected numbers of epochs, at least 1")

    def identity(self) -> dict[str, Any]:
        """What of the settings determines the result; what came later and is not used is left out."""
        own = asdict(replace(self, checkpoint_steps=1))  # how often a run is saved does not change its result
        return own if self.clahe else {name: value for name, value in own.items() if name != "clahe"}

    @property
    def preparation(self) -> Preparation:
        """How the trained network's pictures are prepared."""
        return Preparation(self.load, self.fine, self.planes, self.highpass, self.contrast)


def unresized(settings: Config | None) -> Config:
    """Settings (None: the defaults) for pictures as they are; ValueError where they would be resized."""
    if settings is not None and settings.load is not None:
        raise ValueError(
            f"load is {settings.load}: expected none; here pictures are trained on and tested as they are"
        )
    return settings or Config()


def patience(name: str) -> int:
    """The published patience in epochs: 50 after block 1, 20 after block 2, else 10."""
    return {"xception_block1": 50, "xception_block2": 20}.get(networks.known(name), 10)


def train(
    name: str,
    images: data.ImageSet,
    held_out: data.ImageSet,
    path: str | Path,
    settings: Config | None = None,
    *,
    seed: int = 0,
    fake_class: int = networks.FAKE_CLASS,
    device: str | torch.device | None = None,
    progress: bool = True,
    log: str | Path | None = None,
) -> Path:
    """Train a patch classifier on ``images``, choosing the epoch on ``held_out``; the path of its weights.

    ``path`` (.safetensors) carries the network's name, its label order and its preparation; ``.json`` beside
    it the settings, the history and provenance, and is written last. What is there already is left alone; an
    interrupted run continues from ``.part.pt``. ``log`` is a folder for TensorBoard, which must be installed.

    Raises ValueError where a class is missing or pictures have several sizes and are not cropped,
    FloatingPointError where the loss diverges, memory.OutOfMemory where a batch does not fit, OSError where
    the disk is full, ImportError where ``log`` is asked for without TensorBoard.
    """
    for key, value in KERNELS.items():
        os.environ.setdefault(key, value)
    settings = settings or Config()
    settings = replace(settings, patience=settings.patience or patience(name))
    path = Path(path)
    device = torch.device(device) if device is not None else detectors.default_device()
    networks.known(name)
    for what, given in (("training", images), ("validation", held_out)):
        if not len(given) or min(given.counts) == 0:
            raise ValueError(
                f"{given.root}: {given.counts[0]} reals and {given.counts[1]} fakes for {what}; "
                "expected some of each class"
            )
    identity = {
        "recipe": _RECIPE, "network": name, "fake_class": networks.check_class(fake_class), "seed": seed,
        "settings": settings.identity(),
        "train": data.content_hash(images), "val": data.content_hash(held_out),
        "torch": torch.__version__.split("+")[0],
    }  # fmt: skip
    key = fingerprint(identity)
    if is_there(path, key):
        return path
    writer = _writer(log)
    run = _Run(name, images, held_out, path.with_suffix(".part.pt"), settings, seed, fake_class, device, key)
    try:
        with resuming.whole_float32():
            run.to_the_end(progress, writer)
    finally:
        if writer is not None:
            writer.close()
    run.net.load_state_dict(run.best)
    content = weights.save(run.net.eval(), path, preparation=asdict(settings.preparation))
    info = {
        "network": name, "fake_class": fake_class, "seed": seed, "key": key, "identity": identity,
        "sha256": hashlib.sha256(content).hexdigest(), "history": run.history, "epochs": run.epoch,
        "best": {"epoch": run.best_epoch, "cells_right": run.best_metric},
        "cpu_seconds": round(run.seconds, 1), "provenance": provenance(seed=seed, device=str(device)),
    }  # fmt: skip
    write_json(path.with_suffix(".json"), info)
    forget(run.checkpoint)
    return path


def _writer(log: str | Path | None) -> Any:
    if log is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "a log for TensorBoard needs the package tensorboard: install it, or train without --log"
        ) from error
    return SummaryWriter(str(log))


class _Run:
    """One training, which can be stopped and continued at any checkpoint."""

    def __init__(
        self, name: str, images: data.ImageSet, held_out: data.ImageSet, checkpoint: Path, settings: Config,
        seed: int, fake_class: int, device: torch.device, key: str,
    ) -> None:  # fmt: skip
        self.images, self.held_out, self.settings, self.seed = images, held_out, settings, seed
        self.device, self.key, self.checkpoint = device, key, checkpoint
        self.sides = [[i for i, own in enumerate(images.labels) if own == label] for label in (0, 1)]
        self.pairs = max(map(len, self.sides))
        self.half = min(settings.batch_size // 2, self.pairs)
        self.steps = self.pairs // self.half
        assert settings.patience is not None
        self.patience = settings.patience
        self.kept = Kept(images.paths, None if settings.crop == "resized" else settings.preparation.resized)
        self.net: PatchClassifier = networks.build(name, settings.init, seed, fake_class).to(
            device=device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.net.parameters(), settings.learning_rate)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, "max", factor=0.1, patience=self.patience, threshold=1e-4, eps=1e-6
        )
        self.epoch = self.step = self.best_epoch = 0
        self.best_metric = -1.0
        self.best: dict[str, Tensor] = {}
        self.seconds = 0.0
        self.history: dict[str, list[Any]] = {"loss": [], "validation": []}
        resuming.resume(checkpoint, key, device, self._restore)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.net.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        for name in ("epoch", "step", "best_epoch", "best_metric", "best", "seconds", "history"):
            setattr(self, name, saved[name])

    def _save(self) -> None:
        state = {
            "model": self.net.state_dict(), "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(), "epoch": self.epoch, "step": self.step,
            "best_epoch": self.best_epoch, "best_metric": self.best_metric, "best": self.best,
            "seconds": self.seconds, "history": self.history,
        }  # fmt: skip
        resuming.save(self.checkpoint, self.key, state)

    @property
    def over(self) -> bool:
        """Whether the last epoch was the last."""
        if self.step:
            return False
        waited = self.epoch > self.best_epoch + 5 * self.patience
        return self.epoch >= self.settings.max_epochs or self.best_metric >= 1 or waited

    def to_the_end(self, progress: bool, writer: Any) -> None:
        total = self.settings.max_epochs * self.steps
        done = self.epoch * self.steps + self.step
        with tqdm(total=total, initial=done, desc=self.net.name, unit="step", disable=not progress) as bar:
            while not self.over:
                started = time.process_time()
                loss = self._checked_step()
                self.history["loss"].append(loss)
                if writer is not None:
                    writer.add_scalar("loss", loss, len(self.history["loss"]))
                if self.step == self.steps:
                    self._end_of_epoch(writer)
                self.seconds += time.process_time() - started
                best = f"{self.best_metric:.3f}" if self.best_epoch else "-"
                bar.set_postfix(loss=f"{loss:.3f}", best=best, refresh=False)
                bar.update()
                if len(self.history["loss"]) % self.settings.checkpoint_steps == 0 and not self.over:
                    self._save()

    def _end_of_epoch(self, writer: Any) -> None:
        self.epoch, self.step = self.epoch + 1, 0
        found = validate(self.net, self.held_out, self.settings.preparation, self.device)
        self.history["validation"].append({"epoch": self.epoch, **found})
        if self.settings.policy == "plateau":
            self.schedule.step(found["cells_right"])
        if found["cells_right"] > self.best_metric:
            self.best_metric, self.best_epoch = found["cells_right"], self.epoch
            self.best = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        if writer is not None:
            for name, value in found.items():
                writer.add_scalar(f"validation/{name}", value, self.epoch)

    def _checked_step(self) -> float:
        """One step; never with a smaller batch than the recipe's, which would train another network."""
        try:
            return self._one_step()
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
            raise memory.OutOfMemory(
                f"{self.net.name}: the memory of {self.device} ran out at epoch {self.epoch}, step "
                f"{self.step}, with a batch of {2 * self.half} pictures; choose a smaller batch_size, "
                "which trains another network, or end what else computes there"
            ) from error

    def _one_step(self) -> float:
        order = torch.randperm(self.pairs, generator=resuming.generator(self.seed, self.epoch, 0))
        chosen = order[self.step * self.half : (self.step + 1) * self.half].tolist()
        generator = resuming.generator(self.seed, self.epoch, self.step + 1)
        # drawn in any case: the number of random draws does not depend on the settings
        drawn = torch.randint(len(self.sides[1]), (self.half,), generator=generator).tolist()
        reals = [self.sides[0][i % len(self.sides[0])] for i in chosen]
        fakes = [self.sides[1][i % len(self.sides[1])] for i in chosen]
        if self.settings.pairing == "random":
            fakes = [self.sides[1][i] for i in drawn]
        pixels = self._together([*reals, *fakes], generator)
        pixels = augment(pixels, generator, self.settings)
        x = inputs.normalised(pixels, self.device, self.settings.preparation)
        real, fake = self.net.real_class, self.net.fake_class
        y = torch.tensor([real] * self.half + [fake] * self.half, device=self.device)
        self.net.train()
        out = self.net(x)
        # the label of a picture at each of its cells
        target = y if self.net.whole else y[:, None, None].expand(-1, *out.shape[2:])
        loss = nn.functional.cross_entropy(out.float(), target)
        if not loss.isfinite():
            raise FloatingPointError(
                f"{self.net.name}: the loss is {loss.item()} at epoch {self.epoch}, step {self.step}; "
                f"lower the learning rate (now {self.settings.learning_rate}) and run again"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _together(self, chosen: list[int], generator: torch.Generator) -> Tensor:
        """Crops of these pictures, uint8 (N, 3, h, w)."""
        crops = [_cropped(self.kept[i], generator, self.settings) for i in chosen]
        for i, one in zip(chosen, crops, strict=True):
            if one.shape != crops[0].shape:
                raise ValueError(
                    f"{self.images.paths[i]} gives {one.shape[-1]}x{one.shape[-2]} pixels and "
                    f"{self.images.paths[chosen[0]]} {crops[0].shape[-1]}x{crops[0].shape[-2]}: expected "
                    "pictures of one size; choose crops (fine), or a resize (load)"
                )
        return torch.stack(crops)


def _cropped(pixels: Tensor, generator: torch.Generator, settings: Config) -> Tensor:
    """What training sees of a picture (3, H, W); always four random numbers."""
    luck = torch.rand(4, generator=generator).tolist()
    side = settings.fine
    if side is None:
        return pixels
    height, width = pixels.shape[-2:]
    if settings.crop == "resized":
        # as torchvision's: 8 to 100 % of the area, sides in a ratio of 3/4 to 4/3
        area, ratio = (0.08 + 0.92 * luck[0]) * height * width, (3 / 4) * (16 / 9) ** luck[1]
        down = min(height, max(1, round((area / ratio) ** 0.5)))
        across = min(width, max(1, round((area * ratio) ** 0.5)))
        top, left = int(luck[2] * (height - down + 1)), int(luck[3] * (width - across + 1))
        return tv.resize(tv.crop(pixels, top, left, down, across), [side, side], antialias=True)
    if min(height, width) < side:
        raise data.PictureError(
            f"a picture of {width}x{height} pixels is smaller than the crops of {side}: expected "
            "larger pictures, or a resize (load)"
        )
    if settings.crop == "centre":
        return tv.center_crop(pixels, [side, side])
    return tv.crop(pixels, int(luck[2] * (height - side + 1)), int(luck[3] * (width - side + 1)), side, side)


def validate(
    net: PatchClassifier, images: data.ImageSet, preparation: Preparation, device: str | torch.device
) -> dict[str, float]:
    """``cells_right``: the share of right cells; ``voted`` and ``averaged``: of pictures judged right."""
    right = cells = voted = averaged = 0.0
    parts = memory.Parts()
    for members, pixels in inputs.stream(images.paths, preparation, whole=net.whole, batch_size=32):
        found = maps.margin(net, inputs.normalised(pixels, device, preparation), parts).double().cpu()
        fake = torch.tensor([images.labels[i] == 1 for i in members])
        called = found >= 0
        right += float((called == fake[:, None, None]).sum())
        cells += called.numel()
        voted += float(((called.double().mean((1, 2)) >= 0.5) == fake).sum())
        averaged += float(((found.sigmoid().mean((1, 2)) >= 0.5) == fake).sum())
    return {"cells_right": right / cells, "voted": voted / len(images), "averaged": averaged / len(images)}
