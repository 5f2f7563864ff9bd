"""Small networks for the tests of the exam, on pictures of 32 pixels, some with answers known by hand."""

from __future__ import annotations

import torch
from lrp_nets import Toy, pictures, randomise
from torch import Tensor, nn

BOUNDS = (-2.0, 2.6)
"""Of the pixels of `shown`."""


def plain(num_classes: int = 1) -> nn.Module:
    """Untrained: a stem, two blocks in a list, a logit."""
    del num_classes
    blocks = [
        {"out": 8, "kernel": 3, "stride": 1, "silu": False, "gate": False, "add": False},
        {"out": 8, "kernel": 3, "stride": 2, "silu": False, "gate": False, "add": True},
    ]
    return Toy(blocks, channels=8).eval()  # oneDNN breaks on other numbers of channels when it trains


def trained(seed: int = 0) -> nn.Module:
    """The same with weights and statistics that stand for learnt ones."""
    return randomise(plain(), seed, 32).float()


def shown(n: int = 4, seed: int = 0) -> Tensor:
    """Normalised pictures (n, 3, 32, 32)."""
    return pictures(n, 32, seed).float()


def coloured(n: int = 4, seed: int = 0) -> Tensor:
    """Pictures (n, 3, 32, 32), uint8."""
    return ((shown(n, seed) + 2) * 55).clamp(0, 255).to(torch.uint8)


class Fixed(nn.Conv2d):
    """A convolution whose start does not depend on the random state: the same in every library."""

    def reset_parameters(self) -> None:
        g = torch.Generator().manual_seed(self.out_channels)
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape, generator=g) * 0.3)
            if self.bias is not None:
                self.bias.zero_()


class FixedLinear(nn.Linear):
    """A fully connected layer like `Fixed`."""

    def reset_parameters(self) -> None:
        g = torch.Generator().manual_seed(self.in_features)
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape, generator=g) * 0.3)
            self.bias.zero_()


def repeatable(outputs: int = 2) -> nn.Module:
    """A small network of such layers, with weights that are not those of its start."""
    net = nn.Sequential(
        Fixed(3, 6, 3, 2, 1), nn.ReLU(), Fixed(6, 8, 3, 2, 1), nn.ReLU(), Fixed(8, 7, 3, 1, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), FixedLinear(7, outputs),
    )  # fmt: skip
    g = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=g) * 0.4)
    return net.eval()
