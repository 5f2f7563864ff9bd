"""The pictures in which a feature map carries the most relevance (RelMax), beside those that excite it.

What excites a map need not be what the detector uses it for. Both rankings of the same pictures are compared
by what they have in common, against chance.

Source: Achtibat et al. (2023), as `tff_core.features.concepts` (relevance maximisation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from scipy.stats import hypergeom
from torch import Tensor

from tff_core import lrp, metrics
from tff_core.features import maxima
from tff_core.features.maxima import Maxima
from tff_core.features.names import FeatureMap


def relevance_max(net: lrp.Net, batches: maxima.Batches, maps: Iterable[FeatureMap], top: int) -> Maxima:
    """The ``top`` pictures in which each map carries the most relevance at one position, and where (RelMax).

    As `maxima.activation_max`, but ``value`` is the relevance at that position for the answer "fake", as a
    share of the absolute relevance of its whole layer in that picture; 0 where the layer has none. Achtibat
    et al. also sum over positions; the largest one is what LRP-max takes of activations, so that the two
    rankings differ in what they rank by and in nothing else.
    """
    return maxima.search(net, batches, maps, top, _peaks)


def _peaks(net: lrp.Net, x: Tensor, channels: Mapping[str, Tensor], part: slice) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def collect(layer: str, r: Tensor) -> None:
        if layer in channels:
            total = r.abs().sum((1, 2, 3))[:, None, None, None]
            own = r.index_select(1, channels[layer].to(r.device))
            found[layer] = maxima.largest(torch.where(total > 0, own / total, torch.zeros_like(own)))

    pictures = x[part]
    start = pictures.new_ones(len(pictures), 1)
    lrp.relevance(net, pictures, start=start, on_layer=collect)
    return found


def agreement(by_activation: Maxima, by_relevance: Maxima, count: int) -> pd.DataFrame:
    """How many pictures two rankings of the same pictures have in common, map by map, against chance.

    ``count`` pictures were ranked. A map whose values in its first pictures are not all positive (it is not
    active, or carries nothing, in enough of them) has no such ranking: its numbers are missing.

    Returns
    -------
    Rows ``map, shared, expected, p, same_place, top, n``: pictures among the first ``top`` of both, how many
    two random choices of ``top`` out of ``n`` share on average, the chance that they share as many or more,
    and in how many of the shared pictures both rankings point to the same position of the map.

    Raises ValueError where the two are of other maps or another number of pictures, or ``count`` is less.
    """
    if by_activation.maps != by_relevance.maps or by_activation.image.shape != by_relevance.image.shape:
        raise ValueError(
            f"rankings of {by_activation.image.shape} and {by_relevance.image.shape} maps and pictures: "
            "expected the same maps, and as many pictures of each"
        )
    top = by_activation.image.shape[1]
    if count < top or max(by_activation.image.max(), by_relevance.image.max()) >= count:
        raise ValueError(f"the rankings are of {count} pictures: expected the number that were searched")
    rows = []
    for i, m in enumerate(by_activation.maps):
        own = {"map": str(m), "shared": np.nan, "expected": np.nan, "p": np.nan, "same_place": np.nan}
        if by_activation.value[i].min() > 0 and by_relevance.value[i].min() > 0:
            first, second = (
                {image: (row, col) for image, row, col in zip(b.image[i], b.row[i], b.col[i], strict=True)}
                for b in (by_activation, by_relevance)
            )
            both = first.keys() & second.keys()
            own |= {"shared": len(both), "expected": top * top / count}
            own |= {"p": float(hypergeom.sf(len(both) - 1, count, top, top))}
            own |= {"same_place": sum(first[image] == second[image] for image in both)}
        rows.append({**own, "top": top, "n": count})
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame, n: int = metrics.RESAMPLES, seed: int = 0) -> dict[str, float]:
    """What both rankings have in common over all maps, from rows of `agreement` of several sets of pictures.

    A map's number is the mean over the sets for which it has both rankings. Returns ``value, low, high``,
    the mean share of shared pictures over ``maps`` maps with its 95 % interval over maps (missing for a
    single one); ``chance``, the share that random choices have in common; ``cases`` (map and set),
    ``beyond``, in how many of them chance gives as many shared pictures with a probability of at most 5 %;
    and ``same_place``, the share of the shared pictures in which both point to the same position.
    """
    usable = rows.dropna(subset=["shared"])
    per_map = (usable["shared"] / usable["top"]).groupby(usable["map"]).mean().to_numpy()
    found = {"value": np.nan, "low": np.nan, "high": np.nan, "maps": len(per_map), "cases": len(usable)}
    if len(per_map):
        found["value"] = float(per_map.mean())
    if len(per_map) > 1:
        found["low"], found["high"] = metrics.percentiles(metrics.resampled_means(per_map, n, seed))
    shared = usable["shared"].sum()
    return found | {
        "chance": float((usable["expected"] / usable["top"]).mean()),
        "beyond": int((usable["p"] <= 0.05).sum()),
        "same_place": float(usable["same_place"].sum() / shared) if shared else np.nan,
    }
