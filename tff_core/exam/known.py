"""A small detector of which it is known what it looks at: the planted trace is all that it can tell by.

Each training step shows scenes twice, with the trace and without it, so nothing else predicts the label. That
a detector has learnt the trace is not assumed but measured: `use` takes it out of the pictures again, and
what is then left of the detector's ability is not due to it.

The network has the blocks of the book's ResNets and their preprocessing, and is small enough for a dozen to
be trained in minutes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from tff_core import detectors, lrp, metrics
from tff_core.detectors.training import KERNELS
from tff_core.exam.planting import Planted, in_chroma, resampled
from tff_core.miniature.planted import Trace
from tff_core.pictures import data
from tff_core.store import memory, resuming

Floats = NDArray[np.float64]
LEAST = 0.9
"""AP on pictures with the trace that a detector must reach for anything to be asked of it."""


def resnet10(num_classes: int = 1) -> nn.Module:
    """A residual network with one block in each of its four stages, untrained: half of ResNet-18."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_classes, zero_init_residual=True)


@dataclass(frozen=True)
class Recipe:
    """How a detector is trained: its network by name or import path, steps, scenes a step, learning rate.

    ``grayscale`` is the share of scenes that are shown in gray, as for the paper's colour-robust detectors.
    ``k`` counts as the top of its feature maps: the share of all that the paper has for ResNet-50.
    """

    network: str = "tff_core.exam.known:resnet10"
    steps: int = 60
    scenes: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    grayscale: float = 0.0
    k: int = 12

    def __post_init__(self) -> None:
        if min(self.steps, self.scenes, self.k) < 1:
            raise ValueError(
                f"steps {self.steps}, scenes {self.scenes}, k {self.k}: expected 1 at least of each"
            )
        if not 0 <= self.grayscale < 1:
            raise ValueError(f"grayscale is {self.grayscale}: expected a share of the scenes, below 1")


PREPROCESSING = data.Preprocessing(planes="ycbcr", highpass=3, contrast=0.125)
"""What the book's own detectors see, so that the tests are examined on what they are used on."""


@dataclass(frozen=True)
class Known:
    """A trained detector, in evaluation mode, with the logit at or above which it calls a picture fake."""

    model: nn.Module
    threshold: float
    recipe: Recipe
    device: torch.device

    @cached_property
    def net(self) -> lrp.Net:
        """The same function ready for relevance propagation."""
        return lrp.canonize(self.model, bounds=PREPROCESSING.bounds)

    def seen(self, pixels: Tensor) -> Tensor:
        """Pictures, uint8 (N, 3, H, W), as the network sees them."""
        x = data.normalize(pixels.to(self.device), PREPROCESSING)
        return x.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def logits(self, pixels: Tensor, batch_size: int = 50) -> Floats:
        """The logit of every picture, (N,), of uint8 (N, 3, H, W)."""
        parts = memory.Parts()
        found = [
            parts.cat(lambda x: self.model(x)[:, 0].cpu(), self.seen(p)) for p in pixels.split(batch_size)
        ]
        return torch.cat(found).double().numpy()


def train(
    pictures: Planted,
    held_out: Planted,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Known:
    """Train a detector on scenes with and without a trace; its threshold is chosen on ``held_out`` ones.

    Everything follows from ``seed``, on any processor that has the kernels of `detectors.training`. Raises
    ValueError where there are fewer scenes than a step shows, FloatingPointError where the loss diverges.
    """
    recipe = recipe or Recipe()
    if len(pictures) < recipe.scenes:
        raise ValueError(
            f"{len(pictures)} scenes to learn from: expected {recipe.scenes} at least, as many as a step "
            "shows"
        )
    for name, value in KERNELS.items():
        os.environ.setdefault(name, value)
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = detectors.architecture(recipe.network).make()
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps + 1
    )
    y = torch.cat([torch.zeros(recipe.scenes), torch.ones(recipe.scenes)]).to(device)
    known = Known(model, 0.0, recipe, device)
    model.train()
    with resuming.whole_float32():
        for step in range(recipe.steps):
            rng = resuming.generator(seed, step, 0)
            chosen = torch.randperm(len(pictures), generator=rng)[: recipe.scenes]
            gray = torch.rand(recipe.scenes, generator=rng) < recipe.grayscale
            both = [part[chosen].clone() for part in (pictures.bare, pictures.marked)]
            for part in both if gray.any() else ():
                part[gray] = data.grayscale(part[gray])
            out = model(known.seen(torch.cat(both)))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(out, y)
            if not loss.isfinite():
                raise FloatingPointError(
                    f"the loss is {loss.item()} at step {step}; lower the learning rate (now "
                    f"{recipe.learning_rate})"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    labels, scores = judged(known, held_out)
    best = metrics.best_threshold(labels, scores)
    return Known(model, float(np.median(scores)) if best is None else best, recipe, device)


def judged(known: Known, pictures: Planted, marked: Tensor | None = None) -> tuple[NDArray[np.int64], Floats]:
    """Labels (2N,) and logits of the bare pictures and of the marked ones, or of others in their place."""
    scores = [known.logits(some) for some in (pictures.bare, pictures.marked if marked is None else marked)]
    return np.repeat([0, 1], len(pictures)), np.concatenate(scores)


def use(known: Known, pictures: Planted, n: int = metrics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Does the detector use the trace? What it says of the pictures with it, and after it was taken out.

    Rows ``state, ap, low, high, called, n``, ``fall, fall_low, fall_high``: ``state`` is "planted" or "taken
    out", and, where there are traces in luma and in chroma, "without chroma" and "without luma". ``ap`` is
    that of these pictures among the bare ones, with its 95 % bootstrap over scenes, ``called`` the share of
    them called fake, ``n`` their number; ``fall`` is the AP of the planted ones minus this one, paired.
    """
    chroma = in_chroma(pictures.traces)
    states: dict[str, Sequence[Trace]] = {"planted": (), "taken out": pictures.traces}
    if chroma and len(chroma) < len(pictures.traces):
        luma = [trace for trace in pictures.traces if trace not in chroma]
        states |= {"without chroma": chroma, "without luma": luma}
    rows = []
    weights = resampled(len(pictures), n, seed)
    for state, out in states.items():
        labels, scores = judged(known, pictures, pictures.taken_out(out) if out else None)
        ap, drawn = metrics.average_precision(labels, scores), metrics.resampled_ap(labels, scores, weights)
        if state == "planted":
            first = ap, drawn
        _, low, high = metrics.around(ap, drawn)
        fall, fall_low, fall_high = metrics.around(first[0] - ap, first[1] - drawn)
        called = float((scores[len(pictures) :] >= known.threshold).mean())
        rows.append(
            {
                "state": state, "ap": ap, "low": low, "high": high, "called": called, "n": len(pictures),
                "fall": fall, "fall_low": fall_low, "fall_high": fall_high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def learnt(table: pd.DataFrame) -> bool:
    """Whether a detector counts: its AP is `LEAST` or more, and surely falls when the trace is taken out.

    ``table`` as from `use`, of one detector.
    """
    planted, out = (table[table["state"] == state] for state in ("planted", "taken out"))
    return bool((planted["ap"] >= LEAST).all() and (out["fall_low"] > 0).all())


def looks_at_color(table: pd.DataFrame) -> bool:
    """Whether what the detector uses is in chroma: its AP surely falls when traces in chroma are taken out.

    ``table`` as from `use`, of one detector, with its ``case``.
    """
    both = table[table["state"] == "without chroma"]
    if len(both):
        return bool((both["fall_low"] > 0).all())
    out = table[table["state"] == "taken out"]
    return bool((out["fall_low"] > 0).all() and not table["case"].str.contains("Y").any())
