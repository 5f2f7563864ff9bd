"""Two repairs of the randomisation test, for what is said against it.

Binder, Weber, Lapuschkin, Montavon, Mueller and Samek (Shortcomings of top-down randomization-based sanity
checks for evaluations of deep neural network explanations, CVPR 2023) object that forgetting from the
logit down leaves the lower activations as they are, so that any explanation that reads them stays similar;
and that a rank correlation of single pixels rewards explanations that are noisy to begin with. Hedstroem,
Weber, Lapuschkin and Hoehne (Sanity checks revisited: an exploration to repair the model parameter
randomisation test, 2023) answer with two tests. The *efficient* one compares no two heatmaps: it asks
whether the heatmap of a wholly random network is more complex than that of the trained one. The *smooth* one
averages heatmaps over noisy copies of the picture before it compares them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor

Floats = NDArray[np.float64]
BINS = 100


def complexity(heatmaps: ArrayLike, bins: int = BINS) -> Floats:
    """The entropy of each heatmap's histogram, in nats, (N,); missing where a value is not finite.

    ``heatmaps`` (N, H, W); the bins are of one width, from a heatmap's least value to its largest. A constant
    heatmap has entropy 0; with all bins equally full it is log(bins).

    Source: Hedstroem et al. 2023.
    """
    maps = np.asarray(heatmaps, dtype=np.float64)
    if maps.ndim < 2 or bins < 2:
        raise ValueError(f"heatmaps of shape {maps.shape}, {bins} bins: expected (N, H, W) and two or more")
    found = np.full(len(maps), np.nan)
    for i, one in enumerate(maps):
        if np.isfinite(one).all():
            # tiny values are first brought to 1: bins of no width would have no counts
            scale = np.abs(one).max()
            found[i] = stats.entropy(np.histogram(one / scale if scale > 0 else one, bins=bins)[0])
    return found


def rise(trained: ArrayLike, random: ArrayLike, bins: int = BINS) -> Floats:
    """By how much of itself a heatmap's complexity rises when the network forgets everything, (N,).

    Both (N, H, W). Positive where the random network's heatmap is more complex, as one that explains nothing
    should be; missing where the trained network's has none, such as a constant heatmap.

    Source: Hedstroem et al. 2023 (efficient randomisation test).
    """
    before, after = complexity(trained, bins), complexity(random, bins)
    return np.divide(after - before, before, out=np.full(len(before), np.nan), where=before > 0)


def smoothed(
    explain: Callable[[Tensor], ArrayLike], x: Tensor, draws: int = 4, noise: float = 0.1, seed: int = 0
) -> Floats:
    """The mean heatmap of each picture and its noisy copies, (N, H, W).

    Args:
        explain: heatmaps (N, H, W) of pictures (N, C, H, W).
        x: pictures (N, C, H, W), normalised.
        draws: pictures that are averaged: the last one is the picture itself, the others are noisy.
        noise: the deviation of the normal noise, as a share of the picture's range of values.
        seed: of the noise: the same for every network that is to be compared.

    ValueError where a number makes no sense.

    Source: Hedstroem et al. 2023 (smooth randomisation test); Smilkov et al., SmoothGrad, 2017.
    """
    if draws < 1 or noise < 0:
        raise ValueError(f"{draws} draws with noise {noise}: expected one or more, and noise of at least 0")
    dims = tuple(range(1, x.ndim))
    width = noise * (x.amax(dims, keepdim=True) - x.amin(dims, keepdim=True))
    g = torch.Generator().manual_seed(seed)
    total = np.asarray(explain(x), dtype=np.float64)
    for _ in range(draws - 1):
        noisy = x + width * torch.randn(x.shape, generator=g).to(x)
        total = total + np.asarray(explain(noisy), dtype=np.float64)
    found: Floats = total / draws
    return found
