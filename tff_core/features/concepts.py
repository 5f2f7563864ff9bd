"""Concept relevance: what reaches the pixels through a feature map alone (CRP).

An LRP-max patch says what excites a map. The part of a heatmap that runs through the map says what the
detector makes of it, in the same picture.

Source: Achtibat et al. (2023), From attribution maps to human-understandable explanations through Concept
Relevance Propagation, Nature Machine Intelligence 5, 1006-1019 (conditional heatmaps).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor

from tff_core import lrp, metrics
from tff_core.features import maxima, pixels
from tff_core.features.names import FeatureMap
from tff_core.lrp.walk import start_at, walk_back
from tff_core.pictures import data

_ABREAST = 2  # rows of relevance propagated together: more would not fit in the cache


@dataclass(frozen=True)
class Conditional:
    """The relevance of some pictures that runs through each of some feature maps.

    ``pixels`` (N, M, 3, H, W) is what reaches the pixels through map ``maps[m]`` alone, ``passing`` (N, M)
    the sum of the relevance that arrives at the map, and ``whole`` (N, 3, H, W) the relevance of the pixels
    over all ways through the network. What starts is ``start`` (N,), the sum of the relevance at the output.
    """

    maps: tuple[FeatureMap, ...]
    pixels: Tensor
    passing: Tensor
    whole: Tensor
    start: Tensor


@torch.no_grad()
def conditional(
    net: lrp.Net, x: Tensor, maps: Iterable[FeatureMap], start: str | Tensor = "logit"
) -> Conditional:
    """Relevance conditional on feature maps: at a map's layer all other maps are set to zero.

    The walk from the logit stops at the layer's output (after its batch normalisation, before the
    activation), is masked to the one map, and goes on to the pixels. The rules are linear in relevance, so
    the heatmaps of all maps of a layer sum to what passes the layer: to the whole heatmap where no shortcut
    leads round it.

    Args:
        net: from `lrp.canonize`.
        x: pictures (N, 3, H, W), normalised, in the precision and on the device of ``net``.
        maps: feature maps of ``net``, at least one.
        start: as for `lrp.relevance`, "logit" or a tensor (N, 1). Ones explain the answer "fake" for every
            picture, and make ``passing`` a share of the logit.

    Raises ValueError for pictures, a start or maps that do not fit the network, and for no picture or map.
    One forward pass for each picture serves all of its maps.
    """
    maps = tuple(maps)
    maxima.known(net, maps)
    net.check(x)
    if not maps or not len(x):
        raise ValueError(f"expected at least one picture and one feature map, found {len(x)} and {len(maps)}")
    if isinstance(start, Tensor) and len(start) != len(x):
        raise ValueError(f"{len(start)} starts for {len(x)} pictures: expected one row of `start` for each")
    layers: dict[str, list[int]] = {}
    for i, m in enumerate(maps):
        layers.setdefault(m.layer, []).append(i)
    out = x.new_empty(len(x), len(maps), *x.shape[1:])
    whole, passing, begun = torch.empty_like(x), x.new_empty(len(x), len(maps)), x.new_empty(len(x))
    for n, picture in enumerate(x.split(1)):
        tape: list[Any] = []
        y = net.forward(picture, tape)
        r = start_at(net, start[n : n + 1] if isinstance(start, Tensor) else start, y)
        begun[n] = r.sum()
        tape = [
            step.rule.prepare(saved) if step.carries else None
            for step, saved in zip(net.steps, tape, strict=True)
        ]
        arrived: dict[str, Tensor] = {}

        def keep(layer: str, r: Tensor, arrived: dict[str, Tensor] = arrived) -> None:
            if layer in layers:
                arrived[layer] = r.clone()

        found = walk_back(net, r, list(tape), True, keep)
        assert found is not None
        whole[n] = found[0]
        for layer, own in layers.items():
            for i in range(0, len(own), _ABREAST):
                part = own[i : i + _ABREAST]
                passing[n, part] = arrived[layer][0, [maps[c].channel for c in part]].sum((1, 2))
                out[n, part] = _through(net, tape, layer, arrived[layer], [maps[c].channel for c in part])
    return Conditional(maps, out, passing, whole, begun)


def _through(net: lrp.Net, tape: list[Any], layer: str, r: Tensor, channels: list[int]) -> Tensor:
    """From relevance (1, C, h, w) at a layer's output to the pixels, (M, 3, H, W): a row for each channel."""
    rows = r.new_zeros(len(channels), *r.shape[1:]).contiguous(memory_format=torch.channels_last)
    index = torch.arange(len(channels), device=r.device), torch.tensor(channels, device=r.device)
    rows[index] = r[0, channels]
    found = walk_back(net, rows, tape[: net.index[layer] + 1], True, lambda layer, r: None)
    assert found is not None
    return found


# ---------------------------------------------------------------------------------- beside LRP-max patches


@dataclass(frozen=True)
class Beside:
    """A feature map in a picture: its LRP-max patch, and the relevance of the answer that runs through it.

    ``share`` is the part of the answer's relevance that arrives at the map; ``through`` and ``whole`` are
    relevance of the pixels (3, H, W), through the map alone and over all ways. ``inside`` is the share of the
    positive relevance through the map that falls into the patch, None where there is neither; ``area`` the
    patch's share of the picture.
    """

    map: str
    generator: str
    row: Any
    share: float
    through: Tensor
    whole: Tensor
    inside: float | None
    area: float | None


def beside(
    net: lrp.Net,
    found: pd.DataFrame,
    maps: Sequence[FeatureMap],
    *,
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Iterator[Beside]:
    """For the strongest picture of each map and generator: what runs through the map there.

    The answer "fake" is explained, whatever the detector says of the picture.

    Parameters
    ----------
    net: from `lrp.canonize`.
    found: rows of `patches.find` with a column ``generator``, of one detector seed.
    maps: those to look at; other rows are left out, and all but the strongest picture.
    device, preprocessing: of ``net``.

    Yields one `Beside` a row, in the order of the table.
    """
    named = {str(m): m for m in maps}
    rows = found[(found["rank"] == 0) & found["map"].isin(list(named))]
    for row in cast("list[Any]", list(rows.itertuples())):
        picture = preprocessing.cut(data.read(row.path))
        x = data.normalize(picture[None], preprocessing).to(device=device, dtype=net.dtype)
        one = torch.ones(1, 1, dtype=net.dtype, device=net.device)
        part = conditional(net, x, [named[str(row.map)]], start=one)
        heat = pixels.strength(part.pixels[0])[0]
        inside = area = None
        if row.box is not None:
            top, left, bottom, right = row.box
            area = (bottom - top) * (right - left) / heat.size
            inside = float(heat[top:bottom, left:right].sum() / heat.sum()) if heat.sum() > 0 else None
        share = float(part.passing[0, 0] / part.start[0])
        yield Beside(
            str(row.map), str(row.generator), row, share, part.pixels[0, 0], part.whole[0], inside, area
        )


def table(rows: Iterable[Beside]) -> pd.DataFrame:
    """Columns ``map, generator, share, inside, area``, missing where a map has no patch or no relevance."""
    keys = ("map", "generator", "share", "inside", "area")
    found = pd.DataFrame([[getattr(row, key) for key in keys] for row in rows], columns=keys)
    return found.astype(dict.fromkeys(keys[2:], float))


def means(rows: pd.DataFrame, n: int = metrics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Means over feature maps with 95 % intervals over maps, of the rows of `table`.

    Rows ``measure, value, low, high, maps, pictures`` for "share", "inside", "area" and "inside - area". A
    map's number is its mean over the pictures in which it has a patch and relevance (``pictures`` counts
    these over all maps); for "share", over all. Where no map has one, the numbers are missing; of a single
    map the interval is.
    """
    found = []
    usable = rows.dropna(subset=["inside", "area"])
    apart = usable.assign(difference=usable["inside"] - usable["area"])
    for measure, own, column in (
        ("share", rows.dropna(subset=["share"]), "share"),
        ("inside", usable, "inside"),
        ("area", usable, "area"),
        ("inside - area", apart, "difference"),
    ):
        values = own.groupby("map")[column].mean().to_numpy()
        ends = (float("nan"), float("nan"))
        if len(values) > 1:
            ends = metrics.percentiles(metrics.resampled_means(values, n, seed))
        value = float(values.mean()) if len(values) else float("nan")
        found.append(
            {"measure": measure, "value": value, "low": ends[0], "high": ends[1], "maps": len(values)}
            | {"pictures": len(own)}
        )
    return pd.DataFrame(found)
