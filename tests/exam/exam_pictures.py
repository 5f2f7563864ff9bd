"""Pictures with a trace of luma in columns of period 2, and a detector that looks for nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tff_core.pictures import data

SIZE = 32


def draw(folder: Path, n: int, seed: int, size: int = SIZE) -> data.ImageSet:
    """Smooth coloured reals; fakes are smooth, too, with columns of period 2 in their luma."""
    rng = np.random.default_rng(seed)
    wave = 14 * (-1.0) ** np.arange(size)[None, :, None]
    for label, name in enumerate(data.LABELS):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            y, x = np.mgrid[:size, :size] / size
            turns = rng.uniform(1, 3, (2, 3))
            smooth = np.sin(2 * np.pi * y[..., None] * turns[0] + rng.uniform(0, 6, 3))
            smooth = 128 + 45 * smooth * np.cos(2 * np.pi * x[..., None] * turns[1])
            pixels = smooth + label * wave * rng.uniform(0.7, 1.3) + rng.normal(0, 1.5, smooth.shape)
            Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(folder / name / f"{i:02}.png")
    return data.scan(folder)


def detector(bias: float = -0.09) -> nn.Module:
    """Four maps: columns of luma, lighter and darker, and rows of a chroma, which hardly count."""
    conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="zeros")
    luma = torch.tensor(data.LUMA) * torch.tensor(data.IMAGENET_STD)
    blue = (torch.tensor([0.0, 0.0, 1.0]) - torch.tensor(data.LUMA)) * torch.tensor(data.IMAGENET_STD)
    across = torch.zeros(3, 3)
    across[1] = torch.tensor([-1.0, 2.0, -1.0])
    with torch.no_grad():
        conv.bias.zero_()  # type: ignore[union-attr]
        for i, sign in enumerate((1, -1)):
            conv.weight[i] = sign * luma[:, None, None] * across
            conv.weight[2 + i] = sign * blue[:, None, None] * across.T
        head = nn.Linear(4, 1)
        head.weight[0] = torch.tensor([1.0, 1.0, 0.1, 0.1])
        head.bias.fill_(bias)
    model = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return model.eval().requires_grad_(False)
