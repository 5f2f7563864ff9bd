"""What training changes about its pictures at random, so that a classifier does not depend on it.

The published code has three choices besides the flip: blur and JPEG, as for the detectors of Wang et al.
(CVPR 2020); colour; and all of it.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "blur-jpeg": {"blur": 0.1, "jpeg": 0.1},
    "colour": {"colour": 0.5, "clahe": 0.5},
    "all": {"blur": 0.5, "jpeg": 0.5, "colour": 0.5, "clahe": 0.5},
}
"""Probabilities by the name of a published choice; of blur and JPEG 0.5 was recommended as well."""
_STEPS = 256  # of lightness, in which a histogram is counted


class Chances(Protocol):
    """How probable each change of a picture is, in [0, 1]."""

    @property
    def blur(self) -> float: ...
    @property
    def jpeg(self) -> float: ...
    @property
    def colour(self) -> float: ...
    @property
    def clahe(self) -> float: ...
    @property
    def flip(self) -> float: ...


def augment(pixels: Tensor, generator: torch.Generator, chances: Chances) -> Tensor:
    """Blur, colour, CLAHE, JPEG and flip, each at random per picture; uint8 (N, 3, H, W) in and out.

    ``blur``: the mean of 3x3 pixels; ``colour``: brightness and contrast times 0.8 to 1.2, gamma of 0.8 to
    1.2; ``clahe``: see `clahe`, with a limit of 1 to 4; ``jpeg``: quality 30 to 100; ``flip``: left and right
    exchanged. The number of random draws does not depend on the outcome.
    """
    n = len(pixels)
    chance = torch.rand(4, n, generator=generator)
    quality = torch.randint(30, 101, (n,), generator=generator).tolist()
    bright, contrast, power = (0.8 + 0.4 * torch.rand(3, n, generator=generator)).tolist()
    # drawn last: trainings from before it was there end in the same weights
    local, limit = torch.rand(2, n, generator=generator)
    wanted = (chances.blur, chances.jpeg, chances.colour, chances.flip)
    blurred, pressed, tinted, flipped = (row < p for row, p in zip(chance, wanted, strict=True))
    out = pixels.clone()
    for i in blurred.nonzero().flatten().tolist():
        around = nn.functional.pad(out[i][None].float(), (1, 1, 1, 1), mode="replicate")
        out[i] = nn.functional.avg_pool2d(around, 3, 1)[0].round().to(torch.uint8)
    for i in tinted.nonzero().flatten().tolist():
        one = tv.adjust_contrast(tv.adjust_brightness(out[i], bright[i]), contrast[i])
        out[i] = tv.adjust_gamma(one, power[i])
    for i in (local < chances.clahe).nonzero().flatten().tolist():
        equal = clahe(out[i].permute(1, 2, 0).numpy(), 1 + 3 * float(limit[i]))
        out[i] = torch.from_numpy(equal).permute(2, 0, 1)
    for i in pressed.nonzero().flatten().tolist():
        out[i] = tv.jpeg(out[i], quality[i])
    out[flipped] = out[flipped].flip(-1)
    return out


def clahe(pixels: NDArray[np.uint8], limit: float) -> NDArray[np.uint8]:
    """Contrast-limited adaptive histogram equalisation of a picture (H, W, 3): 8x8 tiles of its lightness.

    ``limit``: how many times an even share of a tile's pixels one of 256 steps may have, though always one
    pixel; more changes more, in tiles of more than 256 pixels. The lightness (of CIE L*a*b*) keeps its range
    in the picture, and the colour its a* and b*.
    """
    from skimage import color, exposure

    lab = color.rgb2lab(pixels)
    low, high = float(lab[..., 0].min()), float(lab[..., 0].max())
    if high - low < 1e-6:  # nothing to be equalised
        return pixels.copy()
    equal = exposure.equalize_adapthist((lab[..., 0] - low) / (high - low), clip_limit=limit / _STEPS)
    lab[..., 0] = low + (high - low) * equal
    with warnings.catch_warnings():
        # colours that the screen has not are cut off, as for any other change of colour
        warnings.filterwarnings("ignore", message=".*negative Z values.*")
        return np.rint(255 * color.lab2rgb(lab).clip(0, 1)).astype(np.uint8)
