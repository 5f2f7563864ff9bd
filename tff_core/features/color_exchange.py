"""Pictures whose luma and chroma are exchanged, stretched or turned, and what a detector says of them.

Does the evidence lie in the luma or in the chroma? A gray picture asks this with something the detector has
rarely seen; these pictures stay in colour.

Source: an addition to the paper's section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core.pictures import data
from tff_core.store import memory

Floats = NDArray[np.float64]

# luma and chroma of JPEG (ITU-R BT.601, full range): rows Y, Cb, Cr in R, G, B
_KR, _KG, _KB = 0.299, 0.587, 0.114
_TO_YCBCR = torch.tensor(
    [
        [_KR, _KG, _KB],
        [-0.5 * _KR / (1 - _KB), -0.5 * _KG / (1 - _KB), 0.5],
        [0.5, -0.5 * _KG / (1 - _KR), -0.5 * _KB / (1 - _KR)],
    ],
    dtype=torch.float64,
)
# its inverse; written out so that a pixel without chroma is gray to the last bit
_TO_RGB = torch.tensor(
    [
        [1.0, 0.0, 2 * (1 - _KR)],
        [1.0, -2 * (1 - _KB) * _KB / _KG, -2 * (1 - _KR) * _KR / _KG],
        [1.0, 2 * (1 - _KB), 0.0],
    ],
    dtype=torch.float64,
)


class Altered(NamedTuple):
    """Altered pictures, uint8 (N, 3, H, W), and for each the share of pixels that had to be clipped, (N,).

    A clipped pixel has a colour that no screen shows; there luma and chroma are not quite those asked for.
    """

    pixels: Tensor
    clipped: Tensor


def ycbcr(pixels: Tensor) -> Tensor:
    """Luma and chroma (Y, Cb, Cr) of pictures (N, 3, H, W), in their own scale, float64; gray has no chroma.

    Full-range BT.601, as in JPEG, without an offset: Y in [0, 255] and Cb, Cr in [-127.5, 127.5] for uint8.
    """
    _check(pixels)
    return torch.einsum("ij,njhw->nihw", _TO_YCBCR.to(pixels.device), pixels.double())


def rgb(values: Tensor) -> Altered:
    """Pictures from luma and chroma (N, 3, H, W) in the scale of uint8: the inverse of `ycbcr`, then rounded.

    Values below 0 or above 255 (by more than half a level) are clipped, and counted.
    """
    raw = torch.einsum("ij,njhw->nihw", _TO_RGB.to(values.device), values)
    rounded = raw.round()
    outside = ((rounded < 0) | (rounded > 255)).any(1)
    return Altered(rounded.clamp(0, 255).to(torch.uint8), outside.double().mean((1, 2)))


def exchange(luma: Tensor, chroma: Tensor) -> Altered:
    """Pictures with the luma of one set and the chroma of another, pair by pair.

    Both uint8 (N, 3, H, W) of one shape. A set exchanged with itself comes back unchanged.
    """
    if luma.shape != chroma.shape:
        raise ValueError(
            f"luma of shape {tuple(luma.shape)}, chroma of shape {tuple(chroma.shape)}: expected two sets "
            "of equally many pictures of one size; take as many of both"
        )
    return rgb(torch.cat([ycbcr(luma)[:, :1], ycbcr(chroma)[:, 1:]], dim=1))


def saturate(pixels: Tensor, factor: float) -> Altered:
    """Chroma times ``factor`` (at least 0) at unchanged luma: 0 gives gray, 1 the picture itself."""
    if factor < 0:
        raise ValueError(f"saturation factor {factor}: expected 0 (gray) or more; 1 leaves the picture alone")
    values = ycbcr(pixels)
    values[:, 1:] *= factor
    return rgb(values)


def turn(pixels: Tensor, degrees: float) -> Altered:
    """The hue of every pixel turned by ``degrees`` in the plane of Cb and Cr, at unchanged luma."""
    values = ycbcr(pixels)
    angle = np.deg2rad(degrees)
    blue, red = values[:, 1].clone(), values[:, 2].clone()
    values[:, 1] = np.cos(angle) * blue - np.sin(angle) * red
    values[:, 2] = np.sin(angle) * blue + np.cos(angle) * red
    return rgb(values)


def partners(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """For each picture another of the same group (class of scene), every one used once, shape (N,).

    A shuffled cycle through each group. Raises ValueError where a group has a single picture.
    """
    out = np.empty(len(groups), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for group in sorted(set(groups)):
        members = np.flatnonzero(np.asarray(groups) == group)
        if len(members) < 2:
            raise ValueError(f"class {group!r} has {len(members)} picture: expected two or more to pair them")
        members = rng.permutation(members)
        out[members] = np.roll(members, 1)
    return out


@torch.inference_mode()
def probabilities(
    model: Callable[[Tensor], Tensor],
    pixels: Tensor,
    batch_size: int = 50,
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Floats:
    """Probability of being fake, (N,) float64, of uint8 pictures (N, 3, H, W); the network has one logit.

    The pictures are normalised as ``preprocessing`` says, and neither resized nor cropped.
    """
    _check(pixels)

    def run(part: Tensor) -> Tensor:
        x = data.normalize(part.to(device), preprocessing).contiguous(memory_format=torch.channels_last)
        return model(x)[:, 0].cpu().double()

    parts = memory.Parts()
    return torch.cat([parts.cat(run, part) for part in pixels.split(batch_size)]).sigmoid().numpy()


def _check(pixels: Tensor) -> None:
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise ValueError(f"pictures of shape {tuple(pixels.shape)}: expected (N, 3, H, W) with N at least 1")
