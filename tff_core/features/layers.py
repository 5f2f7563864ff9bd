"""Where feature maps lie in a network: by part, by layer, and how far two rankings agree about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tff_core.features.ffrs import Omega
from tff_core.features.names import FeatureMap

_EVERYTHING_PASSES = {
    "resnet50": ["conv1", *(f"layer{i}.0.conv3 + layer{i}.0.downsample.0" for i in (1, 2, 3, 4))],
    "efb0": ["_conv_stem", "_conv_head"],
}
"""Convolutions, or sums of them, that every path through the network passes."""


def passages(arch: str, sums: Mapping[str, float]) -> dict[str, float]:
    """The relevance at each place that all of it must pass, such as ``conv1`` or a sum of two branches.

    ``sums`` maps each convolution to the sum of its relevance. Empty for a network whose such places are not
    known.
    """
    places = _EVERYTHING_PASSES.get(arch, [])
    return {place: sum(sums[layer] for layer in place.split(" + ")) for place in places}


def part(layer: str, arch: str) -> str:
    """The part of the network that a layer belongs to: its stage, or its role within a block (efb0)."""
    return layer.split(".")[-1 if arch == "efb0" else 0]


def mix(maps: Iterable[FeatureMap], layers: Iterable[str], arch: str) -> dict[str, int]:
    """How many of the maps lie in each part of a network that has these layers, in its order."""
    counts = {part(layer, arch): 0 for layer in layers}
    for m in maps:
        counts[part(m.layer, arch)] += 1
    return counts


def per_layer(fake: Omega, real: Omega, k: int) -> pd.DataFrame:
    """One row per layer: layer, channels, fake and real (sum of omega), top (how many maps are in the top k).

    ``fake`` and ``real`` are omegas of one network; top counts in the ranking of fakes.
    """
    counts = _counts(fake.top(k), fake)
    return pd.DataFrame(
        {
            "layer": list(fake.values),
            "channels": [len(values) for values in fake.values.values()],
            "fake": [values.sum() for values in fake.values.values()],
            "real": [real.values[layer].sum() for layer in fake.values],
            "top": counts,
        }
    )


def narrowness(table: pd.DataFrame) -> float:
    """Correlation over layers of minus log(channels) with the share of a layer's maps that are in the top k.

    ``table`` as `per_layer` makes it. In [-1, 1]; positive where narrow layers win.
    """
    return float(np.corrcoef(-np.log(table["channels"]), table["top"] / table["channels"])[0, 1])


class Agreement(NamedTuple):
    """What the top k of two rankings have in common."""

    shared: int  # maps in both
    expected: float  # maps in both if each drew its maps at random within each layer
    correlation: float  # over layers, of the number of maps in the top k


def agreement(one: Omega, other: Omega, k: int) -> Agreement:
    """How far two rankings of networks of one shape agree: on maps by name, and on layers."""
    tops = one.top(k), other.top(k)
    a, b = (np.array(_counts(top, one)) for top in tops)
    channels = np.array([len(values) for values in one.values.values()])
    shared = len(set(tops[0]) & set(tops[1]))
    return Agreement(shared, float((a * b / channels).sum()), float(np.corrcoef(a, b)[0, 1]))


def _counts(maps: Sequence[FeatureMap], omega: Omega) -> list[int]:
    found = dict.fromkeys(omega.values, 0)
    for m in maps:
        found[m.layer] += 1
    return list(found.values())
