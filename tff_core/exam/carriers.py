"""Which feature maps carry the trace, and does omega rank these first?

The effect of a trace on a detector is the logit of a marked picture less that of the same scene without it. A
map carries the trace as far as this effect is lost when the map is dropped, one map at a time, by the same
dropout as everywhere in the book. That is measured, map by map, without any relevance; omega has to find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tff_core import metrics
from tff_core.exam.known import Known
from tff_core.exam.planting import Planted
from tff_core.features import dropout, ffrs
from tff_core.features.names import FeatureMap

Floats = NDArray[np.float64]
FIRST = 5
"""The strongest carriers of a layer whose ranks by omega are asked for."""


def omega(known: Known, pictures: Planted, batch_size: int = 50) -> ffrs.Omega:
    """FF-RS omega of every feature map over the marked pictures that the detector calls fake.

    ValueError where it calls none so.
    """
    called = known.logits(pictures.marked) >= max(known.threshold, 0.0)
    if not called.any():
        raise ValueError(
            f"none of {len(pictures)} pictures with a trace is called fake: train the detector longer"
        )
    batches = (known.seen(part) for part in pictures.marked[called].split(batch_size))
    return ffrs.ff_rs(known.net, batches, "fake", 0.5)


def effects(known: Known, pictures: Planted, sets: Sequence[Sequence[FeatureMap]]) -> tuple[Floats, Floats]:
    """The effect of the trace on each picture: of the whole detector, (N,), and without each set, (S, N)."""
    plans = [dropout.plan(known.net, maps) for maps in ([], *sets)]
    found = np.empty((len(plans), 2, len(pictures)))
    for side, some in enumerate((pictures.bare, pictures.marked)):
        for number, logits in dropout.sweep(known.net, known.seen(some), plans):
            found[number, side] = logits[:, 0].double().cpu().numpy()
    apart = found[:, 1] - found[:, 0]
    return apart[0], apart[1:]


def carried(known: Known, pictures: Planted, ranking: ffrs.Omega, layers: Sequence[str]) -> pd.DataFrame:
    """How much of the trace's effect is lost without each map of some layers, beside its omega.

    ``layers``: names of convolutions, or what such names begin with ("layer1" is its whole stage). Rows
    ``map, layer, omega, omega_rank, lost, low, high, n``: ``omega_rank`` is the map's rank among all maps of
    the network, 0 the first and 1 the last; ``lost`` is the share of the mean effect that is missing without
    the map, with the ends of its 95 % bootstrap over scenes.

    ValueError where the network has no such layer, or the trace has no effect on it.
    """
    chosen = [
        name for name in known.net.layers if any(name == one or name.startswith(f"{one}.") for one in layers)
    ]
    if not chosen:
        raise ValueError(
            f"no convolution is called {', '.join(layers)}: expected some of {', '.join(known.net.layers)}"
        )
    maps = [
        FeatureMap(name, c, known.net.layers[name]) for name in chosen for c in range(known.net.layers[name])
    ]
    whole, without = effects(known, pictures, [[m] for m in maps])
    left, low, high = _remaining(whole, without)
    place = {m: i for i, m in enumerate(ranking.ranking)}
    return pd.DataFrame(
        {
            "map": list(map(str, maps)), "layer": [m.layer for m in maps],
            "omega": [ranking[m] for m in maps],
            "omega_rank": [place[m] / max(1, len(place) - 1) for m in maps],
            "lost": 1 - left, "low": 1 - high, "high": 1 - low, "n": len(whole),
        }
    )  # fmt: skip


def _remaining(whole: Floats, without: Floats, n: int = 1000) -> tuple[Floats, Floats, Floats]:
    """The share of the mean effect left without each set, (S,), and its 95 % bootstrap over scenes."""
    total = float(whole.mean())
    if not total > 0:
        raise ValueError(
            f"the trace changes the mean logit by {total:.3g}: expected a detector whose logit it raises"
        )
    weights = metrics.resamples(len(whole), n)
    every = weights @ whole
    drawn = (weights @ without.T)[every > 0] / every[every > 0, None]
    low, high = np.quantile(drawn, [(1 - metrics.LEVEL) / 2, (1 + metrics.LEVEL) / 2], axis=0)
    return without.mean(1) / total, low, high


def agreement(table: pd.DataFrame, first: int = FIRST) -> pd.DataFrame:
    """Does omega rank the carriers of a layer first? A row for each layer.

    ``table`` as from `carried`, of one detector. Columns ``layer, n_maps, rho, asked, found, by_chance,
    median_rank``: ``rho`` is Spearman's correlation of omega with what is lost, over the layer's maps; of the
    ``asked`` strongest carriers so many are ``found`` among as many strongest by omega, and would be
    ``by_chance``; ``median_rank`` is their rank by omega among all maps of the network, 0 the first and 1 the
    last. Of a layer whose omega or whose effects are all equal, rho is missing.
    """
    rows = []
    for layer, own in table.groupby("layer", sort=False):
        k = min(first, len(own))
        strong = own.sort_values("lost", ascending=False, kind="stable").head(k)
        top = own.sort_values("omega", ascending=False, kind="stable").head(k)
        rho = np.nan
        if np.ptp(own["omega"]) > 0 and np.ptp(own["lost"]) > 0:
            rho = float(stats.spearmanr(own["omega"], own["lost"]).statistic)
        row: dict[str, Any] = {"layer": layer, "n_maps": len(own), "rho": rho, "asked": k}
        row |= {"found": len(set(strong["map"]) & set(top["map"])), "by_chance": k * k / len(own)}
        rows.append(row | {"median_rank": float(strong["omega_rank"].median())})
    return pd.DataFrame(rows)


def top_dropped(
    known: Known, pictures: Planted, ranking: ffrs.Omega, draws: int = 4, seed: int = 0
) -> pd.DataFrame:
    """What is left of the trace's effect without the top-k of omega, and without as many of the same layers.

    Rows ``group, draw, k, left, low, high, n``: ``left`` is the share of the mean effect that remains, 1 all
    of it, with the ends of its 95 % bootstrap over scenes. Errors as in `carried`.
    """
    k = known.recipe.k
    sets = [("top-k", 0, ranking.top(k)), ("low-k", 0, ranking.low(k))]
    sets += [("matched-k", i, ranking.matched(k, seed + i)) for i in range(draws)]
    whole, without = effects(known, pictures, [maps for _, _, maps in sets])
    rows = zip(sets, *_remaining(whole, without), strict=True)
    return pd.DataFrame(
        {
            "group": group, "draw": draw, "k": len(maps), "left": left, "low": low, "high": high,
            "n": len(whole),
        }
        for (group, draw, maps), left, low, high in rows
    )  # fmt: skip
