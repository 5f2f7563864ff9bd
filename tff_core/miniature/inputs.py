"""What a generator may see: scenes as a batch of tensors, and everything random in its fakes.

Pictures are float tensors (N, 3, S, S) in [-1, 1]; S is a multiple of 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core.miniature import scenes
from tff_core.miniature.camera import Picture

COARSE, FINE, STYLE = 8, 3, 32  # channels of the latents at S/4 and S/2, and length of the style


@dataclass(frozen=True)
class Batch:
    """What a generator may see: pictures in [-1, 1], class (N,), light (N,) and segments (N, S, S)."""

    images: Tensor
    labels: Tensor
    lights: Tensor
    segments: Tensor

    @classmethod
    def of(cls, pictures: list[Picture]) -> Batch:
        """Stack finished pictures of one size."""
        pixels = np.stack([picture.pixels for picture in pictures])
        return cls(
            to_images(pixels),
            torch.tensor([scenes.CLASSES.index(picture.label) for picture in pictures]),
            torch.tensor([scenes.LIGHTS.index(picture.light) for picture in pictures]),
            torch.from_numpy(np.stack([picture.segments for picture in pictures])).long(),
        )

    @classmethod
    def join(cls, parts: list[Batch]) -> Batch:
        """One batch after the other."""
        fields = ("images", "labels", "lights", "segments")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))

    def __getitem__(self, index: Tensor | slice | list[int]) -> Batch:
        return Batch(self.images[index], self.labels[index], self.lights[index], self.segments[index])

    def __len__(self) -> int:
        return len(self.images)


class Noise(NamedTuple):
    """Everything random in a fake: jitter of the latents, where two scenes are blended, the target light,
    and noise of the size of a picture."""

    coarse: Tensor  # (N, COARSE, S/4, S/4)
    fine: Tensor  # (N, FINE, S/2, S/2)
    style: Tensor  # (N, STYLE)
    blend: Tensor  # (N, 1, S/4, S/4), share of the first scene
    turn: Tensor  # (N,) how many lights to move on, 1 or more
    picture: Tensor  # (N, 3, S, S), what a diffusion model starts from

    @classmethod
    def draw(cls, count: int, size: int, generator: torch.Generator) -> Noise:
        """Draw noise for ``count`` pictures of ``size`` pixels."""
        angle, shift, soft = (torch.rand(count, 1, 1, generator=generator) for _ in range(3))
        axis = torch.linspace(-1, 1, size // 4)
        across = torch.cos(2 * torch.pi * angle) * axis[None, None, :]
        along = torch.sin(2 * torch.pi * angle) * axis[None, :, None]
        blend = torch.sigmoid((across + along + 0.2 + 1.0 * shift) / (0.1 + 0.3 * soft))
        return cls(
            torch.randn(count, COARSE, size // 4, size // 4, generator=generator),
            torch.randn(count, FINE, size // 2, size // 2, generator=generator),
            torch.randn(count, STYLE, generator=generator),
            blend[:, None],
            torch.randint(1, len(scenes.LIGHTS), (count,), generator=generator),
            torch.randn(count, 3, size, size, generator=generator),
        )

    @classmethod
    def stack(cls, parts: list[Noise]) -> Noise:
        """Join noise that was drawn picture by picture."""
        return cls(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def to_images(pixels: NDArray[np.uint8]) -> Tensor:
    """8-bit pixels (N, S, S, 3) as pictures (N, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Pictures (N, 3, S, S) in [-1, 1] as 8-bit pixels (N, S, S, 3)."""
    values = images.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return values.permute(0, 2, 3, 1).numpy()
