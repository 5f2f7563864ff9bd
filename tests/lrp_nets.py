"""Small random networks for the tests of relevance propagation, all float64 and in evaluation mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def randomise(model: nn.Module, seed: int = 0, size: int = 64) -> nn.Module:
    """Random batch-norm scales and shifts, and statistics that fit: every map is alive, none is trivial."""
    g = torch.Generator().manual_seed(seed)
    model = model.double()
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            fan_in = m.weight[0].numel()
            m.weight.data = (
                torch.randn(m.weight.shape, generator=g, dtype=torch.float64) * (2 / fan_in) ** 0.5
            )
            if m.bias is not None:
                m.bias.data = torch.randn(m.bias.shape, generator=g, dtype=torch.float64) * 0.1
        elif isinstance(m, nn.BatchNorm2d):
            m.weight.data.uniform_(0.5, 1.5, generator=g)
            m.bias.data.normal_(0, 0.3, generator=g)
            m.reset_running_stats()
            m.momentum = None
    with torch.no_grad():
        model.train()(pictures(16, size, seed + 1))
    return model.eval()


def pictures(n: int, size: int = 64, seed: int = 0, channels: int = 3) -> Tensor:
    """Smooth normalised noise (n, channels, size, size), float64, within about -2 and 2.6."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, channels, max(size // 4, 1), max(size // 4, 1), generator=g, dtype=torch.float64)
    fine = torch.randn(n, channels, size, size, generator=g, dtype=torch.float64)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (smooth + 0.1 * fine).clamp(-2, 2.6)


class Squeeze(nn.Module):
    """A squeeze-excite gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, 2, 1)
        self.expand = nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(self.pool(x)))))
        return gate * x


class Block(nn.Module):
    """Convolution, batch norm, activation, perhaps a gate, perhaps a shortcut."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int, silu: bool, gate: bool, add: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.act = nn.SiLU() if silu else nn.ReLU(inplace=True)
        self.gate = Squeeze(out) if gate else nn.Identity()
        self.shortcut = nn.Conv2d(channels, out, 1, stride) if add else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.gate(self.act(self.bn(self.conv(x))))
        if self.shortcut is not None:
            y = self.act(y + self.shortcut(x))
        return y


class Toy(nn.Module):
    """A stem, some blocks, a pool and a logit."""

    def __init__(self, blocks: list[dict[str, Any]], maxpool: bool = True, channels: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.SiLU() if blocks and blocks[0]["silu"] else nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if maxpool else nn.Identity()
        layers = []
        for settings in blocks:
            layers.append(Block(channels, **settings))
            channels = settings["out"]
        self.blocks = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.blocks(x)), 1))


def toy(seed: int = 0, silu: bool = False, gate: bool = False) -> nn.Module:
    """Two blocks, the second with a shortcut."""
    blocks = [
        {"out": 6, "kernel": 3, "stride": 1, "silu": silu, "gate": gate, "add": False},
        {"out": 5, "kernel": 3, "stride": 2, "silu": silu, "gate": False, "add": True},
    ]
    return randomise(Toy(blocks), seed, 32)
