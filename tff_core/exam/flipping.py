"""Take pixels away in the order of an explanation, and watch the decision: flipping, deletion, insertion.

If an explanation is faithful, a decision falls fast when its most relevant pixels go first, and slowly when
they go last. What takes their place decides what such a curve means, so it is an argument throughout: the
picture's mean colour, the blurred picture, or what `tff_core.exam.imputation` makes of the neighbours.

Sources: Bach et al. 2015 and Samek et al. 2017 (flipping of pixels, and of regions, in both orders); Petsiuk,
Das and Saenko 2018 (deletion and insertion).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchvision.transforms import v2

Floats = NDArray[np.float64]
Score = Callable[[Tensor], Tensor]
"""From normalised pictures (M, C, H, W) to a number for each, (M,) or (M, 1): a detector is one."""


def mean_colour(x: Tensor) -> Tensor:
    """Pictures (N, C, H, W) of one colour each: the mean of each of ``x``."""
    return x.detach().mean((2, 3), keepdim=True).expand_as(x).contiguous()


def blurred(x: Tensor, share: float = 0.08) -> Tensor:
    """Pictures (N, C, H, W) without detail: blurred by a Gaussian of ``share`` of their shorter side."""
    sigma = max(share * min(x.shape[2:]), 0.1)
    # beyond three deviations there is nothing, and a border can be mirrored once
    reach = min(int(3 * sigma + 0.5), min(x.shape[2:]) - 1)
    return v2.functional.gaussian_blur(x.detach(), [2 * reach + 1, 2 * reach + 1], [sigma, sigma])


def checked(relevance: Tensor, x: Tensor) -> Tensor:
    """Relevance (N, H, W) of the pictures (N, C, H, W), where it is fit to be judged.

    Raises ValueError for another shape, and for numbers that are not finite, naming the first such picture.
    """
    if relevance.shape != (len(x), *x.shape[2:]):
        raise ValueError(
            f"relevance of shape {tuple(relevance.shape)} for pictures of shape {tuple(x.shape)}: expected "
            f"{(len(x), *x.shape[2:])}, a number for each pixel; sum over the channels first"
        )
    broken = ~torch.isfinite(relevance).flatten(1).all(1)
    if bool(broken.any()):
        raise ValueError(
            f"relevance of picture {int(broken.nonzero()[0])} is not finite everywhere ({int(broken.sum())} "
            f"of {len(x)} pictures have): expected numbers; see whether the detector's logit of it is one"
        )
    return relevance


def order(relevance: Tensor, patch: int = 1, *, least_first: bool = False, seed: int = 0) -> Tensor:
    """When each pixel goes: (N, H, W), the share of the picture that has gone before it, in [0, 1).

    Regions of ``patch`` x ``patch`` pixels go at once, in the order of their mean relevance (N, H, W). Where
    it is equal, chance decides, so a constant map gives a random order; ``seed`` and nothing else says which.

    Raises ValueError for a patch of no pixels.
    """
    if patch < 1:
        raise ValueError(f"regions of {patch} pixels a side: expected 1 or more")
    n, height, width = relevance.shape
    mean = F.avg_pool2d(relevance[:, None].double(), patch, ceil_mode=True, count_include_pad=False)[:, 0]
    flat = mean.flatten(1)
    chance = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(seed)).to(flat.device)
    sorted_first = torch.argsort((flat if least_first else -flat)[:, chance], dim=1, stable=True)
    regions = chance[sorted_first]  # the first to go, the second, ...
    places = torch.empty_like(regions).scatter_(
        1, regions, torch.arange(flat.shape[1], device=flat.device).expand(n, -1)
    )
    grown = (places / flat.shape[1]).view(mean.shape)
    grown = grown.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    return grown[:, :height, :width]


def curve(
    score: Score,
    x: Tensor,
    when: Tensor,
    shares: Sequence[float],
    fill: Tensor,
    *,
    insert: bool = False,
    batch_size: int = 64,
) -> Floats:
    """The score of pictures of which ever more is replaced, (N, S), for S ``shares`` of the picture.

    ``when`` (N, H, W) as from `order`; ``fill`` (N, C, H, W) takes the place of what is gone. With ``insert``
    the picture is put into ``fill`` instead: at the share 0 nothing of it is there.

    Raises ValueError for shares outside of [0, 1].
    """
    if not len(shares) or min(shares) < 0 or max(shares) > 1:
        raise ValueError(f"shares {list(shares)}: expected one or more between 0 and 1")
    before, after = (fill, x) if insert else (x, fill)
    mixed = [torch.where(replaced(when, share)[:, None], after, before) for share in shares]
    return scores(score, torch.stack(mixed, 1).flatten(0, 1), batch_size).reshape(len(x), len(shares))


def replaced(when: Tensor, share: float) -> Tensor:
    """Which pixels have gone, (N, H, W), once ``share`` of the picture has."""
    # a half of the smallest step, so that 0.3 of 10 regions are three
    return when < share - 0.5 / max(1, when.shape[-2] * when.shape[-1])


@torch.no_grad()
def scores(score: Score, x: Tensor, batch_size: int = 64) -> Floats:
    """The scores (M,) of pictures (M, C, H, W); ValueError where there is not one for each."""
    found = torch.cat([score(part).detach() for part in x.split(batch_size)])
    if found.numel() != len(x):
        raise ValueError(f"scores of shape {tuple(found.shape)} for {len(x)} pictures: expected one for each")
    values: Floats = found.double().cpu().numpy().reshape(len(x))
    return values


def area(curves: ArrayLike, shares: Sequence[float]) -> Floats:
    """The mean height of curves (N, S) over their ``shares``, by trapezoids, (N,).

    Raises ValueError for fewer than two shares, or such that do not increase.
    """
    at = np.asarray(shares, dtype=np.float64)
    if len(at) < 2 or not (np.diff(at) > 0).all():
        raise ValueError(f"shares {list(shares)}: expected two or more that increase")
    found: Floats = np.trapezoid(np.asarray(curves, dtype=np.float64), at, axis=-1) / (at[-1] - at[0])
    return found
