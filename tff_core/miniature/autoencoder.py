"""A small latent autoencoder, the first stage of a latent diffusion model: its fakes are reconstructions.

After Rombach et al. (2022): an encoder halves the resolution twice and gives mean and variance of a latent of
a few channels at S/4; a decoder makes the picture again, doubling by nearest neighbour and convolution. The
losses are an L1 distance, a patch critic, and a slight pull of the latent towards a standard normal
distribution; a perceptual loss is left out, because it would need a network that was trained on photographs.

A latent diffusion model can show nothing that its decoder cannot, so all of its pictures have the traces of
the decoder. A fake here is a scene that went through encoder and decoder.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tff_core.miniature.inputs import Batch, Noise

LATENT = 4  # channels of the latent
WIDTHS = (24, 48, 64)  # channels at S, S/2 and S/4
DIVERGENCE = 1e-3  # weight of the mean Kullback-Leibler divergence of a latent's elements
_GROUPS = 8


class Gaussian(NamedTuple):
    """A latent as a distribution: mean and logarithm of the variance, each (N, LATENT, S/4, S/4)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, rng: torch.Generator) -> Tensor:
        """A latent drawn from it."""
        noise = torch.randn(self.mean.shape, generator=rng)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence from a standard normal, mean over all elements."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance).mean()


class Block(nn.Module):
    """Residual block of two normalised convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(_GROUPS, channels), nn.GroupNorm(_GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y)))  # type: ignore[no-any-return]


class Autoencoder(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        fine, half, quarter = WIDTHS
        self.encoder = nn.Sequential(
            nn.Conv2d(3, half, 4, 2, 1), Block(half),
            nn.Conv2d(half, quarter, 4, 2, 1), Block(quarter),
            nn.GroupNorm(_GROUPS, quarter), nn.SiLU(), nn.Conv2d(quarter, 2 * LATENT, 3, padding=1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT, quarter, 3, padding=1), Block(quarter),
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(quarter, half, 3, padding=1), Block(half),
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(half, fine, 3, padding=1), Block(fine),
            nn.GroupNorm(_GROUPS, fine), nn.SiLU(), nn.Conv2d(fine, 3, 3, padding=1),
        )  # fmt: skip

    def encode(self, images: Tensor) -> Gaussian:
        """The latents of pictures (N, 3, S, S)."""
        mean, log_variance = self.encoder(images).float().chunk(2, 1)
        return Gaussian(mean, log_variance.clamp(-30, 20))

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures (N, 3, S, S) of latents (N, LATENT, S/4, S/4), around [-1, 1]."""
        return self.decoder(latent)  # type: ignore[no-any-return]

    def forward(self, batch: Batch, partner: Batch, noise: Noise) -> Tensor:
        """Every picture of ``batch`` made again from the mean of its latent."""
        return self.decode(self.encode(batch.images).mean)
