"""A small diffusion model: pictures from noise alone, class by class.

Training follows Ho et al. (2020): a network learns to tell the noise in a noisy picture. The noise level
follows the cosine schedule of Nichol and Dhariwal (2021), in continuous time t from 0 to 1: a picture x is
shown as ``cos(pi t / 2) x + sin(pi t / 2) noise``. What the network names is the velocity of Salimans and Ho
(2022), from which noise and picture follow by a rotation, and which is well defined where there is nothing
but noise. The sampler is DDIM (Song et al., 2021): it adds no noise on its way, so a fake is a function of
the first noise.

The U-Net works on blocks of 2 x 2 pixels (12 channels at S/2). It doubles its resolution twice by nearest
neighbour and convolution; the last doubling puts channels side by side.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tff_core.miniature import scenes
from tff_core.miniature.inputs import Batch, Noise

WIDTHS = (32, 64, 128)  # channels at S/2, S/4 and S/8
EMBEDDING = 128  # length of what the blocks are told of time and class
EVALUATIONS = 15  # of the network for one picture
_GROUPS = 8


def levels(time: Tensor) -> tuple[Tensor, Tensor]:
    """Shares (N, 1, 1, 1) of picture and noise at ``time`` (N,) in [0, 1]; their squares add up to 1."""
    angle = (math.pi / 2 * time)[:, None, None, None]
    return torch.cos(angle), torch.sin(angle)


class Block(nn.Module):
    """Residual block: two normalised convolutions, the second one scaled and shifted by time and class."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(_GROUPS, outputs, affine=False)
        self.affine = nn.Linear(EMBEDDING, 2 * outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        _silence(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.affine(embedding)[:, :, None, None].to(y.dtype).chunk(2, 1)
        y = self.conv2(F.silu(self.norm2(y) * (1 + scale) + shift))
        return y + self.skip(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention over all positions, added to the input."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.heads = heads
        _silence(self.out)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        parts = self.project(self.norm(x)).reshape(count, 3, self.heads, channels // self.heads, -1)
        query, key, value = parts.transpose(-1, -2).unbind(1)
        y = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2)
        return x + self.out(y.reshape(count, channels, height, width))  # type: ignore[no-any-return]


def _silence(conv: nn.Conv2d) -> None:
    """Start a branch at zero: the network begins as its shortest path."""
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


class Diffusion(nn.Module):
    """The denoising U-Net, and what is made with it."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        high, middle, low = WIDTHS
        self.register_buffer("frequencies", torch.logspace(0, 1.5, 32), persistent=False)
        self.time = nn.Sequential(nn.Linear(64, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING))
        self.label = nn.Embedding(len(scenes.CLASSES), EMBEDDING)
        self.first = nn.Conv2d(12, high, 3, padding=1)
        self.down_high, self.down_middle = Block(high, high), Block(middle, middle)
        self.to_middle = nn.Conv2d(high, middle, 3, 2, 1)
        self.to_low = nn.Conv2d(middle, low, 3, 2, 1)
        self.low1, self.attention, self.low2 = Block(low, low), Attention(low), Block(low, low)
        self.from_low = nn.Conv2d(low, middle, 3, padding=1)
        self.from_middle = nn.Conv2d(middle, high, 3, padding=1)
        self.up_middle, self.up_high = Block(2 * middle, middle), Block(2 * high, high)
        self.norm = nn.GroupNorm(_GROUPS, high)
        self.last = nn.Conv2d(high, 12, 3, padding=1)
        self.gain = nn.Linear(EMBEDDING, 12)
        nn.init.zeros_(self.gain.weight)

    def velocity(self, noisy: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Share of picture x noise - share of noise x picture, as the network sees it; (N, 3, S, S)."""
        angles = time[:, None] * self.frequencies
        told = F.silu(self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(labels))
        blocks = F.pixel_unshuffle(noisy, 2)
        high = self.down_high(self.first(blocks), told)
        middle = self.down_middle(self.to_middle(high), told)
        x = self.low2(self.attention(self.low1(self.to_low(middle), told)), told)
        x = self.up_middle(torch.cat([self.from_low(_double(x, middle)), middle], 1), told)
        x = self.up_high(torch.cat([self.from_middle(_double(x, high)), high], 1), told)
        # most of the velocity is a multiple of the input that only depends on time: the layers add the rest
        gain = self.gain(told).float()[:, :, None, None]
        return F.pixel_shuffle(gain * blocks + self.last(F.silu(self.norm(x))).float(), 2)

    def sample(self, noise: Tensor, labels: Tensor, evaluations: int = EVALUATIONS) -> Tensor:
        """DDIM from ``noise`` (N, 3, S, S) to pictures of classes ``labels`` (N,), in [-1, 1]."""
        x, times = noise, torch.linspace(1, 0, evaluations + 1)
        for now, after in itertools.pairwise(times):
            time = now.expand(len(x))
            share, rest = levels(time)
            # a picture has no values beyond black and white; the noise is what is left
            picture = (share * x - rest * self.velocity(x, time, labels).float()).clamp(-1, 1)
            residue = (x - share * picture) / rest
            share, rest = levels(after.expand(len(x)))
            x = share * picture + rest * residue
        return x

    def forward(self, batch: Batch, partner: Batch, noise: Noise) -> Tensor:
        """Pictures of the classes of ``batch`` from ``noise``; no scene is looked at."""
        return self.sample(noise.picture, batch.labels)


def _double(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def loss(model: Diffusion, batch: Batch, rng: torch.Generator) -> Tensor:
    """Mean square error of the velocity of ``batch`` at random times, as evenly spread as they can be."""
    count = len(batch)
    time = (torch.arange(count) + torch.rand(count, generator=rng)) / count
    noise = torch.randn(batch.images.shape, generator=rng)
    share, rest = levels(time)
    velocity = model.velocity(share * batch.images + rest * noise, time, batch.labels).float()
    return F.mse_loss(velocity, share * noise - rest * batch.images)
