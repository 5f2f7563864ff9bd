"""Where a network sees its evidence: class activation maps of the primary and of each secondary module.

The last layer is linear, so that the logit is made up of what every place contributes: of networks that see
pixels it is the mean of a map, the class activation map, and of networks that see spectra the sum of one,
but for the bias. Either is positive where the picture speaks for the class and negative where it speaks
against it.

The published code shows the same map for pixels. For spectra it shows the gradient of the *probability* times
the activation, without what is negative (`published`), which vanishes where a network is sure.

Source: Khoo, Lim and Phan, 2022; CAM: Zhou et al., CVPR 2016; the element-wise product: Draelos and Carin,
HiResCAM, 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tff_core.attribution.networks import Attributor


def evidence(net: Attributor, x: Tensor, source: int | None = None) -> Tensor:
    """Maps (N, S / 8, S / 8) of what speaks for being fake, or for the ``source`` with this index.

    ``x`` as the network takes it. The mean of a map (of spectra: the sum) is the logit less its bias. The
    network computes in evaluation mode. ValueError where it has no such source.
    """
    return _contributions(net, x, source)[0]


def published(net: Attributor, x: Tensor, source: int | None = None) -> Tensor:
    """The maps of the published code; see the module, and `evidence` for arguments and errors."""
    maps, logit = _contributions(net, x, source)
    if net.kind == "pixel":
        return maps
    p = torch.sigmoid(logit)[:, :, None]
    return (p * (1 - p) * maps).clamp(min=0)


@torch.inference_mode()
def _contributions(net: Attributor, x: Tensor, source: int | None) -> tuple[Tensor, Tensor]:
    """What each place gives to the logit, (N, h, w), and the logit, (N, 1)."""
    net.check(x)
    task, training = net.task(source), net.training
    net.eval()
    try:
        maps = task.after(task.before(x))
        *_, head = task.head
        assert isinstance(head, nn.Linear)
        weights = head.weight[0].view(-1, *([1, 1] if net.kind == "pixel" else maps.shape[2:]))
        return (weights * maps).sum(1), task.head(maps)
    finally:
        net.train(training)


def scaled(maps: Tensor, whole_batch: bool = False) -> Tensor:
    """Maps (N, h, w) divided by their largest absolute value, picture by picture; 0 stays 0.

    ``whole_batch``: by that of all, as the published code does for spectra.
    """
    size = maps.abs().amax() if whole_batch else maps.abs().amax((1, 2), keepdim=True)
    return maps / torch.where(size > 0, size, torch.ones_like(size))
