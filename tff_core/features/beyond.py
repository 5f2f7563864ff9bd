"""What the top-k are compared with beyond the paper: rival rankings, controls, doses, other trainings.

The mathematics of each comparison is in `rankings`; this module defines the sets of feature maps that one
chapter compares, and summarises comparisons over several trainings. All are additions to the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from tff_core import lrp
from tff_core.features import rankings
from tff_core.features.ffrs import Label, Omega
from tff_core.features.names import FeatureMap
from tff_core.features.rankings import Case, Curves, Levels
from tff_core.pictures import data

Sets = Mapping[str, Sequence[Sequence[FeatureMap]]]
"""The draws of each control, by its name; a draw is a set of maps."""
LEAST = 0.9
"""A control with fewer maps than this share of k is no fair comparison."""
ALONE = "single-map ablation"


def surest(logits: ArrayLike, confidence: float = 0.9, least: int = 8) -> tuple[list[int], int]:
    """Indices of the pictures called fake with at least this probability, ascending, and their number.

    If there are fewer than ``least``, the next most confident pictures are added to the indices.
    """
    values = np.asarray(logits, dtype=np.float64)
    confident = int((values >= np.log(confidence / (1 - confidence))).sum())
    count = max(confident, min(least, len(values)))
    return sorted(np.argsort(-values, kind="stable")[:count].tolist()), confident


def controls(omega: Omega, level: Levels, k: int, draws: int) -> dict[str, list[list[FeatureMap]]]:
    """Controls: other maps of the layers of the top-k; equally loud maps of these layers, and of any."""
    loud = level.magnitude
    return {
        "layer-matched": [list(omega.matched(k, draw)) for draw in range(draws)],
        "magnitude, same layer": [
            rankings.magnitude_matched(omega, loud, k, draw, within_layer=True) for draw in range(draws)
        ],
        "magnitude, any layer": [
            rankings.magnitude_matched(omega, loud, k, draw, within_layer=False) for draw in range(draws)
        ],
    }


def sizes(sets: Sets) -> dict[str, float]:
    """Mean number of maps of each control: less than k where layers have too few others."""
    return {name: float(np.mean([len(maps) for maps in draws])) for name, draws in sets.items()}


def louder(level: Levels, top: Sequence[FeatureMap], sets: Sets) -> dict[str, float]:
    """Median magnitude of each control, mean over its draws, as a multiple of that of the top-k."""
    own = max(loudness(level, [top]), 1e-12)
    return {name: loudness(level, draws) / own for name, draws in sets.items()}


def loudness(level: Levels, sets: Sequence[Sequence[FeatureMap]]) -> float:
    """Median magnitude of the maps of a set, mean over sets."""
    return float(
        np.mean([np.median([float(level.magnitude[m.layer][m.channel]) for m in maps]) for maps in sets])
    )


def control_cases(net: lrp.Net, omega: Omega, sets: Sets, k: int) -> list[Case]:
    """The top-k and every draw of every control, dropped as in the paper."""
    cases = [rankings.case(net, "top-k", k, omega.top(k))]
    for name, draws in sets.items():
        cases += [rankings.case(net, f"{name}, k", k, maps, draw) for draw, maps in enumerate(draws)]
    return cases


def replacement_cases(
    net: lrp.Net, omega: Omega, draws: Sequence[Sequence[FeatureMap]], name: str, k: int, level: Levels
) -> list[Case]:
    """The same sets with the dropped maps replaced by zero after the activation, or by their mean."""
    zero = {layer: torch.zeros(channels) for layer, channels in net.layers.items()}
    cases = []
    for way, constants in (("zero", zero), ("mean", level.mean)):
        cases.append(rankings.case(net, f"top-k, {way}", k, omega.top(k), by=constants))
        for draw, maps in enumerate(draws):
            cases.append(rankings.case(net, f"{name}, {way}", k, maps, draw, by=constants))
    return cases


def dose_cases(
    net: lrp.Net, omega: Omega, first: Mapping[str, Sequence[FeatureMap]], steps: Sequence[int], draws: int
) -> list[Case]:
    """The first maps of every ranking at every dose, and as many maps drawn layer-matched and at random."""
    cases = []
    for step in steps:
        cases += [rankings.case(net, name, step, maps[:step]) for name, maps in first.items()]
        for draw in range(draws):
            cases.append(rankings.case(net, "layer-matched", step, omega.matched(step, draw), draw))
            cases.append(rankings.case(net, "chance", step, rankings.shuffled(omega, draw)[:step], draw))
    return cases


def curves(
    net: lrp.Net,
    sets: Iterable[data.ImageSet],
    cases: Sequence[Case],
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Curves:
    """All cases measured on the pictures of every generator; see `rankings.measure`."""
    found = [rankings.measure(net, images, cases, preprocessing=preprocessing) for images in sets]
    return Curves(pd.concat(found, ignore_index=True))


def by_dose(found: Curves, steps: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AP by omega's order minus that of layer-matched sets, and minus that of the whole detector, by dose.

    Columns as `rankings.Curves.differences`, and ``k``; means over generators.
    """
    tables = []
    for other in ("layer-matched", rankings.WHOLE):
        rows = [found.differences({other: ("omega", other)}, k).assign(k=k) for k in steps]
        table = pd.concat(rows, ignore_index=True)
        tables.append(table[table["generator"] == rankings.MEAN])
    return tables[0], tables[1]


def between_seeds(by_seed: Mapping[tuple[int, Label], Omega], ks: Sequence[int]) -> pd.DataFrame:
    """The overlap of the first k maps of two rankings: of fakes and reals, or of two trainings.

    ``by_seed`` has the omega of each training seed and label. Rows ``kind, a, b, k, value, low, high``; kinds
    are "fake, real" (one seed), "seeds" (channel by channel), "seeds, layers" (maps in the same layers) and
    "seeds, by chance" (`rankings.chance_overlap`, the only one whose low and high differ).
    """
    seeds = list(dict.fromkeys(seed for seed, _ in by_seed))
    rows: list[tuple[Any, ...]] = []
    for k in ks:
        top = {key: omega.top(k) for key, omega in by_seed.items()}
        for s in seeds:
            value = rankings.overlap(top[s, "fake"], top[s, "real"])
            rows.append(("fake, real", f"s{s}-fake", f"s{s}-real", k, value, value, value))
        for i, a in enumerate(seeds):
            for b in seeds[i + 1 :]:
                pair, who = (top[a, "fake"], top[b, "fake"]), (f"s{a}-fake", f"s{b}-fake", k)
                for kind, measure in (
                    ("seeds", rankings.overlap),
                    ("seeds, layers", rankings.layer_overlap),
                ):
                    value = measure(*pair)
                    rows.append((kind, *who, value, value, value))
                rows.append(("seeds, by chance", *who, *rankings.chance_overlap(*pair)))
    return pd.DataFrame(rows, columns=["kind", "a", "b", "k", "value", "low", "high"])


def over_pairs(compared: pd.DataFrame) -> pd.DataFrame:
    """`between_seeds` summarised: by kind and k, the mean over seeds or pairs, the lowest and the highest."""
    table = compared.groupby(["kind", "k"], as_index=False).agg(
        value=("value", "mean"), low=("low", "min"), high=("high", "max"), n=("value", "size")
    )
    return table.assign(a="seeds", b="seeds")


def about(k: int, maps: int) -> list[int]:
    """The k at which overlaps are compared: ``k`` itself, and round numbers that are not close to it.

    None is more than the ``maps`` that there are.
    """
    return sorted({k, *(s for s in (10, 30, 100, 300, 1000) if s <= maps and abs(np.log(s / k)) > 0.3)})


def gone(first: Mapping[str, Sequence[FeatureMap]], k: int) -> dict[str, tuple[int, str] | None]:
    """For each ranking, how many of its first k maps it takes to drop a whole layer, and which layer."""
    return {name: rankings.first_whole_layer(maps[:k]) for name, maps in first.items()}
