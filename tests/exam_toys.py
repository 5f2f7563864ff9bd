"""Small detectors for the tests of the exam, all float64 and in evaluation mode."""

from __future__ import annotations

import torch
from lrp_nets import pictures, toy
from torch import Tensor, nn

__all__ = ["Linear", "detector", "linear", "pictures"]


class Linear(nn.Module):
    """A detector whose logit is a weighted sum of the pixels: what each contributes is known exactly."""

    def __init__(self, weight: Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = bias
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).sum((1, 2, 3))[:, None] + self.bias

    def contributions(self, x: Tensor, fill: Tensor | float = 0.0) -> Tensor:
        """By how much the logit would fall if a pixel became ``fill``, (N, H, W)."""
        return ((x - fill) * self.weight).sum(1)


def linear(size: int = 8, channels: int = 1, seed: int = 0) -> Linear:
    """A linear detector with random weights (channels, size, size)."""
    g = torch.Generator().manual_seed(seed)
    return Linear(torch.randn(channels, size, size, generator=g, dtype=torch.float64))


def detector(seed: int = 0) -> nn.Module:
    """A small network with a shortcut, for pictures of 32 pixels; it calls half of `pictures` fake."""
    model = toy(seed).requires_grad_(False)
    model.fc.bias -= model(pictures(4, 32)).quantile(0.5)  # type: ignore[operator,union-attr]
    return model
