"""Training a universal detector on the pictures of one generator (Wang et al., CVPR 2020).

The recipe is theirs where it fits small pictures: real against ProGAN, blur and JPEG each with probability
0.1 in their ranges, horizontal flips, no resize. The differences: pictures are whole, because a crop would
hide where the grid of an upsampling begins; the trunk comes from a classifier of the scenes, where
theirs comes from ImageNet's; and AdamW has a one-cycle schedule, because a few hundred steps have to suffice.
Scene classifiers are trained the same way, from scratch, on the reals alone, with cross-entropy over their
classes.

Every random number follows from the seed and the step, so an interrupted run continues from its last
checkpoint to exactly the weights of an uninterrupted run (on the same device, with as many threads).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from scipy.stats import binomtest
from torch import nn
from torchvision.transforms.v2 import functional as tv
from tqdm import tqdm

from tff_core import detectors, metrics
from tff_core.pictures import data
from tff_core.store import failures, memory, resuming
from tff_core.store.results import (
    Store,
    atomic_write,
    fingerprint,
    forget,
    provenance,
    read_json,
    write_json,
)

# Training amplifies rounding: kernels for wider vectors round differently, so another processor would train
# another detector. The libraries read these when they first compute in a process; the user's settings stay.
KERNELS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}
_RECIPE = 4  # increased when a change to this module changes the resulting weights


@dataclass(frozen=True)
class Config:
    """Everything that the user may choose about a training; with the pictures it determines the weights.

    ``n`` and ``n_val`` are pictures per label (0: all there are); ``epochs`` need not be whole; ``crop`` is
    the side of the crops that training sees, as a share of the picture's (1: whole pictures; validation
    always sees whole ones); ``blur``, ``jpeg``, ``flip`` and ``grayscale`` are probabilities per picture
    (gray pictures are for colour-robust detectors, never used in validation); ``bn_momentum`` is the weight
    of the newest batch in the running statistics; ``precision`` is "float32", whatever the processor, so
    that a book is the same everywhere, or "bfloat16", which trains another detector, faster on processors
    that compute in it.
    """

    n: int = 1600
    n_val: int = 300
    epochs: float = 2.4
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    crop: float = 1.0
    blur: float = 0.1
    jpeg: float = 0.1
    flip: float = 0.5
    grayscale: float = 0.0
    bn_momentum: float = 0.1
    precision: str = "float32"
    checkpoint_steps: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ValueError(
                f"crop is {self.crop}: expected a share of the picture's side, above 0, at most 1"
            )


# EfficientNet learns more slowly
_BY_NETWORK: dict[str, dict[str, Any]] = {"efb0": {"epochs": 8}}


def config(spec: detectors.Spec, **changes: Any) -> Config:
    """The settings of a detector: the defaults, overridden by its network, its options and ``changes``."""
    return Config(**{**_BY_NETWORK.get(spec.arch, {}), **spec.options, **changes})


def augment(pixels: torch.Tensor, generator: torch.Generator, settings: Config) -> torch.Tensor:
    """Blur, JPEG, flip and gray, each at random per picture, then a crop; uint8 (N, 3, H, W) in and out.

    In the order and ranges of Wang et al.: Gaussian blur with sigma in [0, 3] pixels, JPEG quality from 30 to
    100 (libjpeg, 4:2:0). The number of random draws does not depend on the outcome.
    """
    chance = torch.rand(4, len(pixels), generator=generator)
    sigma = 3 * torch.rand(len(pixels), generator=generator)
    quality = torch.randint(30, 101, (len(pixels),), generator=generator)
    blurred, pressed, flipped, gray = (
        row < p
        for row, p in zip(
            chance, (settings.blur, settings.jpeg, settings.flip, settings.grayscale), strict=True
        )
    )
    out = pixels.clone()
    largest = min(pixels.shape[-2:]) - 1  # reflection padding can be no wider
    for i in blurred.nonzero().flatten().tolist():
        width = max(float(sigma[i]), 1e-3)
        radius = min(max(1, round(4 * width)), largest)
        out[i] = tv.gaussian_blur(out[i], [2 * radius + 1] * 2, [width] * 2)
    for i in pressed.nonzero().flatten().tolist():
        out[i] = tv.jpeg(out[i], int(quality[i]))
    out[flipped] = out[flipped].flip(-1)
    if gray.any():
        out[gray] = data.grayscale(out[gray])
    return data.cut_at_random(out, generator, settings.crop) if settings.crop < 1 else out


def train(
    spec: detectors.Spec,
    seed: int,
    store: Store,
    progress: bool = True,
    settings: Config | None = None,
    device: str | torch.device | None = None,
    start: Path | None = None,
) -> Path:
    """Train the detector or classifier with this seed, unless it exists already; the path of its weights.

    ``start`` are weights of the same network with another head, a classifier's: training starts from them,
    with a new head. Without them it starts from scratch.

    Beside the weights, ``.json`` records the settings, hashes, loss and validation history, for a detector
    the threshold calibrated on validation pictures with its bootstrap interval (between its ends a call is
    unsafe), for a classifier its accuracy on them with a Wilson interval, and provenance. It is written last.
    An interrupted run continues from its last checkpoint.

    Raises FileNotFoundError or ValueError where training or validation pictures are missing,
    detectors.WeightsError where ``start`` is of another network, PictureError where a picture is broken,
    FloatingPointError where the loss diverges, OSError where the disk is full, memory.OutOfMemory where a
    batch does not fit.
    """
    for name, value in KERNELS.items():
        os.environ.setdefault(name, value)
    settings = settings or config(spec)
    device = torch.device(device) if device is not None else detectors.default_device()
    images = pictures(spec, store, "train", settings.n)
    held_out = pictures(spec, store, "val", settings.n_val)
    identity = {
        "recipe": _RECIPE,
        "network": spec.arch,
        "seed": seed,
        # how often a run is saved does not change its result
        "settings": asdict(replace(settings, checkpoint_steps=0)),
        "train": data.content_hash(images),
        "val": data.content_hash(held_out),
        "torch": torch.__version__.split("+")[0],
    }
    if spec.classes:
        identity["classes"] = list(spec.classes)
    if spec.preprocessing != data.IMAGENET:
        identity["preprocessing"] = asdict(spec.preprocessing)
    if start is not None:
        identity["start"] = hashlib.sha256(start.read_bytes()).hexdigest()
    key = fingerprint(identity)
    path = store.detector(spec.name, seed)
    if is_there(path, key):
        return path
    run = _Run(spec, seed, settings, device, images, held_out, key, path.with_suffix(".part.pt"), start)
    with resuming.whole_float32():
        run.to_the_end(progress)
        judged = judge(run.model, held_out, spec.classes, device, spec.preprocessing)
    weights = {name: tensor.contiguous().cpu() for name, tensor in run.model.state_dict().items()}
    content = safetensors.torch.save(weights)
    with atomic_write(path) as part:
        part.write_bytes(content)
    info = {
        **judged,
        "detector": spec.name,
        "seed": seed,
        "network": spec.arch,
        "key": key,
        "identity": identity,
        "sha256": hashlib.sha256(content).hexdigest(),
        "history": run.history,
        "n_train": list(images.counts),
        "cpu_seconds": round(run.seconds, 1),
        "provenance": provenance(
            seed=seed, data=identity["train"], device=str(device), precision=str(run.precision)
        ),
    }
    write_json(path.with_suffix(".json"), info)
    forget(run.checkpoint)
    return path


def fit(
    spec: detectors.Spec,
    images: data.ImageSet,
    seed: int,
    settings: Config,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """A network trained on these pictures with the labels that they carry here; nothing is kept on disk.

    From scratch, in the ways of `train`, for experiments: with other labels than the pictures' own, say.
    Raises ValueError where the pictures do not fill a batch, FloatingPointError where the loss diverges.
    """
    for name, value in KERNELS.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as folder, resuming.whole_float32():
        path = Path(folder) / "run.pt"
        settings = replace(settings, checkpoint_steps=sys.maxsize)
        watched = images.where(first=1)
        run = _Run(spec, seed, settings, torch.device(device), images, watched, "", path)
        run.to_the_end(progress=False)
    return detectors.ready(run.model, device)


def pictures(spec: detectors.Spec, store: Store, part: str, n: int) -> data.ImageSet:
    """The pictures of one part that a detector is trained or calibrated on, ``n`` of each label (0: all).

    For a classifier, the reals of its classes. FileNotFoundError or ValueError if they are missing.
    """
    root = store.data(spec.dataset, part, "progan")
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is not there: expected the {part} pictures of {spec.name}; "
            + (
                f"make them with: python -m tff_core.miniature sample --part {part} --generator progan"
                if spec.dataset == "miniature"
                else f"name their folder in the workflow's settings, sources: {{progan: {{{part}: FOLDER}}}}"
            )
        )
    images = data.scan(root)
    if min(images.counts) < n:
        raise ValueError(
            f"{root} has {images.counts[0]} real and {images.counts[1]} fake pictures: expected at least {n} "
            "of each; sampling them may have been interrupted, so run it again, or ask for fewer"
        )
    images = images.where(first=n) if n else images
    if not spec.classes:
        return images
    if images.classes != tuple(sorted(spec.classes)):
        raise ValueError(
            f"{root} has the classes {images.classes}: expected a folder for each of {spec.classes}, which "
            f"{spec.name} tells apart"
        )
    return images.where(label=0)


def begin_from(model: nn.Module, start: Path) -> None:
    """Give ``model`` the weights at ``start``, all but those of its last layer, which stay as they are.

    WeightsError where they are of another network.
    """
    given, own = detectors.read_weights(start), model.state_dict()
    trunk = {name: value for name, value in given.items() if name in own and value.shape == own[name].shape}
    new = {name.rpartition(".")[0] for name in own.keys() - trunk.keys()}
    if len(new) > 1 or given.keys() != own.keys():
        raise detectors.WeightsError(
            f"{start} has weights of another network ({len(trunk)} of {len(own)} tensors fit): expected "
            "those of the network to be trained, in which only the last layer may differ"
        )
    model.load_state_dict(own | trunk)


def _labels(images: data.ImageSet, classes: tuple[str, ...]) -> torch.Tensor:
    """The training targets, (N,): 0 real or 1 fake as float32, or the index of the class as int64."""
    if classes:
        return torch.tensor([classes.index(group) for group in images.groups])
    return torch.tensor(images.labels, dtype=torch.float32)


def is_there(path: Path, key: str) -> bool:
    """Whether weights with their description are whole and were made from what ``key`` stands for."""
    description = path.with_suffix(".json")
    if not (path.is_file() and description.is_file()):
        return False
    try:
        info = read_json(description)
        whole = info["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        print(f"{path} or its description is damaged: training it again", file=sys.stderr)
        return False
    return bool(info.get("key") == key)


class _Run:
    """One training run, which can be stopped and resumed at any checkpoint."""

    def __init__(
        self,
        spec: detectors.Spec,
        seed: int,
        settings: Config,
        device: torch.device,
        images: data.ImageSet,
        held_out: data.ImageSet,
        key: str,
        checkpoint: Path,
        start: Path | None = None,
    ) -> None:
        self.title = f"{spec.name} seed {seed}"
        self.seed, self.settings, self.device = seed, settings, device
        self.key, self.checkpoint = key, checkpoint
        self.preprocessing = spec.preprocessing
        self.pixels = data.load(images, self.preprocessing)
        self.classes = spec.classes
        self.labels = _labels(images, spec.classes)
        self.watched = data.batches(
            held_out.where(first=100), device=device, preprocessing=self.preprocessing
        )
        self.steps_per_epoch = len(images) // settings.batch_size
        if not self.steps_per_epoch:
            raise ValueError(
                f"{len(images)} pictures are less than one batch of {settings.batch_size}: expected more "
                "pictures or a smaller batch"
            )
        self.steps = max(1, round(settings.epochs * self.steps_per_epoch))
        if settings.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision {settings.precision!r}: expected float32 or bfloat16")
        self.precision = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = detectors.build(spec.arch, spec.classes)
        if start is not None:
            begin_from(model, start)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # EfficientNet's own 0.01 would leave the running statistics far behind a short training
                module.momentum = settings.bn_momentum
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.learning_rate, total_steps=self.steps + 1
        )
        self.step = 0
        self.seconds = 0.0
        self.history: dict[str, list[Any]] = {"loss": [], "learning_rate": [], "validation": []}
        resuming.resume(checkpoint, key, device, self._restore)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.step, self.seconds, self.history = saved["step"], saved["seconds"], saved["history"]

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }
        resuming.save(self.checkpoint, self.key, state)

    def to_the_end(self, progress: bool) -> None:
        with tqdm(
            total=self.steps, initial=self.step, desc=self.title, unit="step", disable=not progress
        ) as bar:
            while self.step < self.steps:
                started = time.process_time()
                loss = self._checked_step()
                self.history["loss"].append(loss)
                if self.step % self.steps_per_epoch == 0 or self.step == self.steps:
                    self.model.eval()
                    self.history["validation"].append({"step": self.step, **self._watch()})
                self.seconds += time.process_time() - started
                bar.set_postfix(loss=f"{np.mean(self.history['loss'][-20:]):.3f}", refresh=False)
                bar.update()
                if self.step % self.settings.checkpoint_steps == 0 and self.step < self.steps:
                    self._save()
        self.model.eval()

    def _watch(self) -> dict[str, float]:
        if self.classes:
            return {"accuracy": float(np.mean(_right(self.model, self.watched, self.classes)))}
        scores = detectors.logits(self.model, self.watched)
        return {"ap": metrics.average_precision(self.watched.images.labels, scores)}

    def _checked_step(self) -> float:
        """One step; never with a smaller batch than the recipe's, which would train another detector."""
        try:
            return self._one_step()
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
            batch, (height, width) = self.settings.batch_size, self.pixels.shape[-2:]
            raise memory.OutOfMemory(
                f"{self.title}: the memory of {self.device} ran out at step {self.step}, with a batch of "
                f"{batch} pictures of {width}x{height} pixels; lower batch_size (of `training` in "
                f"workflow/config.local.yaml, or --batch-size {max(1, batch // 2)}), which trains another "
                "detector, or end what else computes there"
            ) from error

    def _one_step(self) -> float:
        epoch, place = divmod(self.step, self.steps_per_epoch)
        order = torch.randperm(len(self.labels), generator=resuming.generator(self.seed, epoch, 0))
        chosen = order[place * self.settings.batch_size : (place + 1) * self.settings.batch_size]
        pixels = augment(self.pixels[chosen], resuming.generator(self.seed, epoch, place + 1), self.settings)
        x = data.normalize(pixels.to(self.device), self.preprocessing)
        x = x.contiguous(memory_format=torch.channels_last)
        y = self.labels[chosen].to(self.device)
        self.model.train()
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16, cache_enabled=True
        ):
            out = self.model(x)
        if self.classes:
            loss = nn.functional.cross_entropy(out.float(), y)
        else:
            loss = nn.functional.binary_cross_entropy_with_logits(out[:, 0].float(), y)
        if not loss.isfinite():
            raise FloatingPointError(
                f"{self.title}: the loss is {loss.item()} at step {self.step}; lower the learning rate "
                f"(now {self.settings.learning_rate}) and run again"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.history["learning_rate"].append(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.step += 1
        return loss.item()


@torch.inference_mode()
def _right(model: nn.Module, batches: data.Batches, classes: tuple[str, ...]) -> list[bool]:
    """Whether a classifier names the class of each picture."""
    expected, parts = _labels(batches.images, classes), memory.Parts()
    return [
        bool(right)
        for x, _, index in batches
        for right in (parts.cat(lambda x: model(x).argmax(1).cpu(), x) == expected[index]).tolist()
    ]


def judge(
    model: nn.Module,
    images: data.ImageSet,
    classes: tuple[str, ...],
    device: torch.device,
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> dict[str, Any]:
    """The record beside the weights: the threshold and how well the detector does, or the classifier."""
    if classes:
        batches = data.batches(images, device=device, preprocessing=preprocessing)
        right = _right(model, batches, classes)
        interval = binomtest(sum(right), len(right)).proportion_ci(method="wilson")
        return {
            "classes": list(classes),
            "validation": {
                "accuracy": float(np.mean(right)),
                "accuracy_low": float(interval.low),
                "accuracy_high": float(interval.high),
                "n": len(right),
            },
        }
    batches = data.batches(images, device=device, preprocessing=preprocessing)
    scores = detectors.logits(model, batches)
    threshold = metrics.threshold_interval(images.labels, scores)
    ap = metrics.ap_interval(images.labels, scores)
    real, fake = metrics.accuracies(images.labels, scores, threshold.value)
    order = metrics.order(images.labels, scores)
    warning = {"warning": order.warning()} if order.warning() else {}
    return {
        "threshold": threshold.value,
        "abstain": [threshold.low, threshold.high],
        "validation": {
            **warning,
            "auc": order.auc,
            "ap": ap.value,
            "ap_low": ap.low,
            "ap_high": ap.high,
            "acc_real": real,
            "acc_fake": fake,
            "n_real": images.counts[0],
            "n_fake": images.counts[1],
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Train one detector or classifier from the command line; returns 0 done, 1 failed, 2 wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m tff_core.detectors.training",
        description="Train a detector or classifier, or continue where an interrupted training was.",
    )
    known = [*detectors.names(), *detectors.classifiers()]
    parser.add_argument("--detector", required=True, choices=known)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build", type=Path, help="build folder (default: $TFF_BUILD, else build/)")
    parser.add_argument("--n", type=int, help="training pictures per label")
    parser.add_argument("--n-val", type=int, help="validation pictures per label")
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--start", type=Path, help="a classifier's weights, whose trunk training starts from")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--threads", type=int, help="CPU threads (default: 1, for a classifier 2)")
    parser.add_argument("--device", help="cpu, cuda or mps (default: what is there)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    # detectors are trained side by side, a classifier alone, since they start from it
    torch.set_num_threads(options.threads or (2 if options.detector in detectors.classifiers() else 1))
    chosen = {
        "n": options.n,
        "n_val": options.n_val,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
    }

    def run() -> None:
        spec = detectors.get(options.detector)
        path = train(
            spec,
            options.seed,
            Store(options.build),
            progress=not options.quiet,
            settings=config(spec, **{name: value for name, value in chosen.items() if value is not None}),
            device=options.device,
            start=options.start,
        )
        warning = read_json(path.with_suffix(".json"))["validation"].get("warning")
        if warning:
            print(f"warning: {spec.name} {warning}", file=sys.stderr)
        print(path)

    return failures.guarded(run, f"training {options.detector}, seed {options.seed}")


if __name__ == "__main__":
    sys.exit(main())
