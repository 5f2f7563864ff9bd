"""Explanations of a whole detector, used as maps of where a picture is fake.

They explain one decision and were never asked where; what they find is measured beside maps that were
(`tff_core.localization.comparison`, which takes these functions as they are).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from tff_core import lrp
from tff_core.features import pixels
from tff_core.pictures import data

Floats = NDArray[np.float64]
SMOOTH = 2.0
"""Pixels: deviation of the Gaussian that smooths attributions of single pixels, which are spiky."""


def methods(
    model: nn.Module,
    net: lrp.Net,
    preprocessing: data.Preprocessing,
    device: torch.device | str = "cpu",
    smooth: float = SMOOTH,
) -> dict[str, Callable[[Tensor], Floats]]:
    """Functions from uint8 pictures (N, 3, H, W) to maps (N, H, W), larger where the decision rests more.

    ``lrp`` (relevance by ``net``, the canonised ``model``), ``gradcam``, ``guided_gradcam`` and ``gradient``
    (absolute). All but Grad-CAM, which is coarse, are smoothed. The model has one logit and is on ``device``.
    """

    def seen(pictures: Tensor) -> Tensor:
        return data.normalize(pictures.to(device), preprocessing)

    def smoothed(attribution: Tensor) -> Floats:
        found = ndimage.gaussian_filter(pixels.strength(attribution), (0, smooth, smooth))
        return np.asarray(found, dtype=np.float64)

    return {
        "lrp": lambda pictures: smoothed(pixels.relevance(net, seen(pictures))),
        "guided_gradcam": lambda pictures: smoothed(
            pixels.guided_gradcam(model, seen(pictures), target=0)[1]
        ),
        "gradcam": lambda pictures: (
            pixels.gradcam(model, seen(pictures), target=0)[:, 0].double().cpu().numpy()
        ),
        "gradient": lambda pictures: smoothed(pixels.gradient(model, seen(pictures))),
    }
