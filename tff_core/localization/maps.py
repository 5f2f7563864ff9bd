"""The map of a picture: the probability of being fake at every cell, and at every pixel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor, nn

from tff_core import detectors
from tff_core.localization import receptive
from tff_core.localization.networks import PatchClassifier
from tff_core.pictures import data
from tff_core.store import memory

INPUT = data.Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""What patch classifiers want: [0, 1] becomes [-1, 1]."""
Floats = NDArray[np.floating]


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode, in which a picture's answer does not depend on the batch; then as before."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@torch.inference_mode()
def margin(net: PatchClassifier, x: Tensor, parts: memory.Parts | None = None) -> Tensor:
    """The fakes' logit minus the reals', (N, h, w): the logit of being fake; (N, 1, 1) of a whole network.

    ``x`` (N, 3, H, W) in [-1, 1]. Batches are halved where the memory runs out, ``parts`` remembers that.
    Raises ValueError as the network, and WeightsError where a logit is not finite.
    """
    with evaluating(net):
        y = (parts or memory.Parts()).cat(net, x)
    if not bool(y.isfinite().all()):
        raise detectors.WeightsError(
            f"{int((~y.isfinite()).sum())} of {y.numel()} logits of {net.name} are not finite: its weights "
            "are damaged or its training diverged; get or train it again"
        )
    y = y[:, net.fake_class] - y[:, net.real_class]
    return y[:, None, None] if net.whole else y


def probability(margins: ArrayLike) -> Floats:
    """P(fake) of margins, of any shape: of two classes, the softmax is the sigmoid of their difference."""
    found: Floats = expit(np.asarray(margins, dtype=np.float64))
    return found


def heatmap(net: PatchClassifier, x: Tensor) -> Tensor:
    """P(fake) at every cell, (N, h, w), of pictures (N, 3, H, W) in [-1, 1]; (N, 1, 1) of a whole network.

    The network computes in evaluation mode, whatever mode it is in. Raises as `margin`.
    """
    # of two classes, the softmax is the sigmoid of their difference
    return torch.sigmoid(margin(net, x))


def to_pixels(name: str, maps: ArrayLike, size: tuple[int, int]) -> Floats:
    """Maps (N, h, w) at the resolution of their pictures, (N, H, W): linear between the fields' middles.

    ``size`` (H, W). Beyond the outermost middles a map continues as it ends. ValueError where the maps are
    not those of pictures of this size.
    """
    values = np.asarray(maps, dtype=np.float64)
    cells = receptive.map_size(name, size)
    if values.ndim != 3 or values.shape[1:] != cells:
        raise ValueError(
            f"maps of shape {values.shape}: expected (N, {cells[0]}, {cells[1]}), those of {name} for "
            f"pictures of {size[1]}x{size[0]} pixels"
        )
    rows, columns = (_weights(name, side) for side in size)
    return np.einsum("ri,nij,cj->nrc", rows, values, columns, optimize=True)


def _weights(name: str, side: int) -> NDArray[np.float64]:
    """How much each cell counts at each pixel of an axis, (side, cells); rows sum to 1."""
    middles = receptive.centres(name, side)
    place = np.interp(np.arange(side), middles, np.arange(len(middles)))
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(middles) - 1)
    out = np.zeros((side, len(middles)))
    np.add.at(out, (np.arange(side), low), 1 - (place - low))
    np.add.at(out, (np.arange(side), high), place - low)
    return out
