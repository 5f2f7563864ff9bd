"""A detector of planted traces on small pictures, trained once for all tests that need one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import nn

from tff_core.exam import known, planting
from tff_core.exam.known import Known, Recipe
from tff_core.exam.planting import Planted
from tff_core.miniature.camera import EDITION_2, take
from tff_core.miniature.sample import scene_of

SIZE = 32
RECIPE = Recipe("exam_known_detector:small", steps=60, scenes=8, learning_rate=1e-2, k=4)


def small() -> nn.Module:
    """Three convolutions with 8, 12 and 12 maps, two of them with a stride."""
    layers: list[nn.Module] = []
    for inside, outside, stride in ((3, 8, 1), (8, 12, 2), (12, 12, 2)):
        layers += [
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
        ]  # fmt: skip
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 1))


@cache
def photographs(count: int = 40, part: str = "train") -> torch.Tensor:
    """Photographs of the miniature, uint8 (N, 3, 32, 32)."""
    rows = [take(part, *scene_of(i), 0, SIZE, "exam", EDITION_2).pixels for i in range(count)]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()


@cache
def pictures(case: str = "Cb2", seed: int = 0, count: int = 40) -> Planted:
    """Photographs with a strong trace of a case."""
    return planting.put(photographs(count), planting.case(case, {"Y": 40, "Cb": 30, "Cr": 30}), seed)


@cache
def detector(case: str = "Cb2", grayscale: float = 0.0) -> Known:
    """A detector of such traces; the pictures with regions of seed 1 and 2 are not those of `pictures`."""
    torch.set_num_threads(1)
    return known.train(pictures(case, 1), pictures(case, 2), replace(RECIPE, grayscale=grayscale))
