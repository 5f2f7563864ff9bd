"""Networks with numbers that are not trivial, and pictures with traces: what tests of attribution share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tff_core import attribution


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight, bias and running statistic a value of its own; the outputs are then of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.normal_(0.0, 1.4 / layer.weight[0].numel() ** 0.5, generator=generator)
                layer.bias.normal_(0.0, 0.1, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.normal_(0.0, 0.2, generator=generator)
                layer.running_mean.normal_(0.0, 0.2, generator=generator)
                layer.running_var.uniform_(0.3, 1.2, generator=generator)
    return module


def network(
    kind: str = "pixel", size: int = 64, sources: object = 2, seed: int = 0
) -> attribution.Attributor:
    net = attribution.build(kind, size, sources)
    randomised(net, seed)
    return net


def inputs(kind: str = "pixel", size: int = 64, n: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "pixel":
        return 2 * torch.rand(n, 3, size, size, generator=generator) - 1
    return torch.randn(n, 1, size, size, generator=generator)


def draw(folder: Path, part: str, kind: str, n: int, seed: int) -> None:
    """Smooth noise; on it a trace of its source: a grid of pairs of columns, or of rows, in one colour."""
    rng = np.random.default_rng([seed, *kind.encode(), len(part)])
    (folder / kind / part).mkdir(parents=True)
    for i in range(n):
        smooth = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64))
        pixels = np.asarray(smooth, dtype=int) // 2 + 60
        wave = 25 * (-1) ** np.arange(64)
        if kind == "columns":
            pixels[..., 0] += wave[None, :]
        elif kind == "rows":
            pixels[..., 2] += wave[:, None]
        elif kind == "both":
            pixels[..., 1] += wave[:, None] * wave[None, :] // 25
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / kind / part / f"{i:02d}.png")
