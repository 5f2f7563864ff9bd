"""Where each feature map is most active, and what it sees there (LRP-max).

Source: paper, section 4 and supplementary (LRP-max response patches).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tff_core import lrp
from tff_core.features.names import FeatureMap
from tff_core.lrp.canonize import Step
from tff_core.lrp.rules import Reach
from tff_core.lrp.walk import one_hot, walk_back
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import Arrays, Checkpoint

Batches = Iterable[Tensor | Sequence[Any]]
# crops in one forward pass: enough to use the machine fully, few enough to fit in memory
_TOGETHER = 16
# rows of relevance propagated together through a whole picture: more would not fit in the cache
_ABREAST = 2
# above this share of the picture, sharing its forward pass is better than giving each neuron its own crop
_WIDE = 0.4


@dataclass(frozen=True)
class Maxima:
    """The most active positions of feature maps over a set of pictures.

    Row i of ``value``, ``image``, ``row`` and ``col``, each (M, top), belongs to ``maps[i]``; the most
    active picture comes first. ``value`` is the largest output of the convolution in that picture, after
    batch normalisation and before the activation, ``row`` and ``col`` where in the map it is, ``image``
    the number of the picture in the order of ``batches``.
    """

    maps: tuple[FeatureMap, ...]
    value: np.ndarray
    image: np.ndarray
    row: np.ndarray
    col: np.ndarray
    batches: Batches

    def first(self, top: int) -> Maxima:
        """The same with the ``top`` first pictures of each map, or all where there are fewer."""
        value, image, row, col = (v[:, :top] for v in (self.value, self.image, self.row, self.col))
        return replace(self, value=value, image=image, row=row, col=col)


Peaks = Callable[[lrp.Net, Tensor, Mapping[str, Tensor], slice], dict[str, Tensor]]
"""From a network, pictures, the channels asked for in each layer, and a part of the pictures: for each layer
(4, M, N) float64, the value of its maps, number of the picture in the part, row and column."""


@dataclass(frozen=True)
class Patch:
    """What one feature map sees at one of its maxima.

    ``relevance`` (3, h, w) and ``picture`` (3, h, w), still normalised, cover the ``box`` (top, left,
    bottom, right) of picture number ``image``, whose size is ``size`` (height, width); outside of it
    relevance is zero. ``rank`` counts from 0.
    """

    map: FeatureMap
    rank: int
    value: float
    image: int
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    relevance: Tensor
    picture: Tensor

    def window(self, quantile: float = 0.75) -> tuple[int, int, int, int] | None:
        """Box (top, left, bottom, right) in the picture of the pixels above a quantile of relevance.

        Relevance is summed over the colours, negative sums count as zero, and the quantile is over all
        pixels of the picture. None where the map has no relevance.
        """
        heat = self.relevance.sum(0).clamp(min=0).double().cpu().numpy()
        outside = np.zeros(self.size[0] * self.size[1] - heat.size)
        rows, cols = np.nonzero(heat > np.quantile(np.concatenate([outside, heat.ravel()]), quantile))
        if not len(rows):
            return None
        rows, cols = rows + self.box[0], cols + self.box[1]
        return int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1


def known(net: lrp.Net, maps: Iterable[FeatureMap]) -> None:
    """Raises ValueError naming the first of ``maps`` that the network does not have."""
    for m in maps:
        if net.layers.get(m.layer) != m.channels:
            raise ValueError(
                f"the network has no feature map {str(m)!r}: expected a map of one of its {len(net.layers)} "
                "layers, see net.layers"
            )


@torch.no_grad()
def activation_max(
    net: lrp.Net,
    batches: Batches,
    maps: Iterable[FeatureMap],
    top: int = 20,
    *,
    checkpoint: Checkpoint | None = None,
) -> Maxima:
    """The ``top`` pictures in which each map is most active, and where: one forward pass for all maps.

    Args:
        net: from `lrp.canonize`.
        batches: yields pictures (N, 3, H, W), or tuples that start with them; split in halves if the
            device runs out of memory.
        maps: feature maps of ``net``.
        top: how many pictures to keep for each map; fewer where there are fewer pictures.
        checkpoint: keeps the maxima during the run, and afterwards until the caller deletes them; batches
            that it already covers are skipped. Its key must identify network, batches, maps and ``top``.

    Raises ValueError where the network has no such map, or there is no picture, and memory.OutOfMemory where
    a single picture does not fit.
    """
    return search(net, batches, maps, top, _peaks, checkpoint=checkpoint)


@torch.no_grad()
def search(
    net: lrp.Net,
    batches: Batches,
    maps: Iterable[FeatureMap],
    top: int,
    peaks: Peaks,
    *,
    checkpoint: Checkpoint | None = None,
) -> Maxima:
    """The ``top`` pictures with the largest value of each map, and where; ``peaks`` computes the values.

    Everything else is as for `activation_max`, which is one such search.
    """
    maps = tuple(maps)
    known(net, maps)
    layers: dict[str, list[int]] = {}
    for i, m in enumerate(maps):
        layers.setdefault(m.layer, []).append(i)
    if not maps or top < 1:
        raise ValueError(
            f"expected at least one feature map and one picture each, found {len(maps)} and {top}"
        )
    channels = {k: torch.tensor([maps[i].channel for i in rows]) for k, rows in layers.items()}
    # value, image, row, column of the best so far
    best = {k: torch.empty((4, len(v), 0), dtype=torch.float64) for k, v in layers.items()}
    done = seen = complete = number = 0
    if checkpoint is not None and (saved := checkpoint.read()):
        best = {k: torch.from_numpy(saved[f"best.{k}"]) for k in layers}
        done, seen, complete = saved["place"].tolist()

    def state(complete: bool) -> Arrays:
        place = np.array([number + 1, seen, complete])
        return {"place": place, **{f"best.{k}": v.numpy() for k, v in best.items()}}

    parts = memory.Parts()
    for number, x in enumerate(data.pictures(batches if not complete else ())):
        if number >= done:
            net.check(x)
            for part, found in parts(partial(peaks, net, x, channels), len(x), memory.describe(x)):
                for layer, new in found.items():
                    new[1] += seen + part.start
                    both = torch.cat([best[layer], new], 2)
                    order = both[0].sort(dim=1, descending=True, stable=True).indices[:, :top]
                    best[layer] = both.gather(2, order.expand(4, -1, -1))
            seen += len(x)
            if checkpoint is not None and checkpoint.due:
                checkpoint.write(state(False))
    if checkpoint is not None and not complete:
        checkpoint.write(state(True))
    if not seen:
        raise ValueError("no pictures: expected at least one batch")
    table = np.empty((4, len(maps), min(top, seen)))
    for layer, rows in layers.items():
        table[:, rows] = best[layer].numpy()
    image, row, col = table[1:].astype(np.int64)
    return Maxima(maps, table[0], image, row, col, batches)


def largest(values: Tensor) -> Tensor:
    """The largest value of each map in each picture, as `Peaks` returns it: (4, M, N) from (N, M, h, w)."""
    value, position = (v.cpu() for v in values.flatten(2).max(2))
    image = torch.arange(len(values))[:, None].expand_as(value)
    # float64 first: the network's own precision may not represent every picture or column number
    columns = values.shape[3]
    peaks = [v.double() for v in (value, image, position // columns, position % columns)]
    return torch.stack(peaks).transpose(1, 2)


def _peaks(net: lrp.Net, x: Tensor, channels: Mapping[str, Tensor], part: slice) -> dict[str, Tensor]:
    """The largest output of the maps of each layer, see `Peaks`."""
    found: dict[str, Tensor] = {}

    def watch(step: Step, y: Tensor) -> None:
        if step.layer and step.name in channels:
            found[step.name] = largest(y.index_select(1, channels[step.name].to(y.device)))

    net.forward(x[part], stop=max(net.index[k] for k in channels), watch=watch)
    return found


@torch.no_grad()
def lrp_max(net: lrp.Net, best: Maxima, batches: Batches | None = None) -> list[Patch]:
    """What each map sees at each of its maxima: relevance 1 at the neuron, down to the pixels.

    A neuron depends on its receptive field only, so only that crop of the picture goes through the network
    (exactly: the crop keeps the stride's grid and the picture's own borders). Neurons that see most of a
    picture share its forward pass and the denominators of the rules.

    Args:
        net: the network of `activation_max`.
        best: its result.
        batches: the same pictures in the same order again; by default those that ``best`` was made from.

    Returns one `Patch` for each map and rank, in that order. Raises ValueError where the network differs,
    or the pictures cannot be read a second time or differ in number.
    """
    known(net, best.maps)
    batches = best.batches if batches is None else batches
    if isinstance(batches, Iterator):
        raise ValueError(
            "the pictures came from an iterator, which can be read once: expected something that can be read "
            "again, such as a list or a DataLoader; give it as batches="
        )
    done: dict[Entry, Patch] = {}
    parts = memory.Parts()
    seen = 0
    for x in data.pictures(batches):
        net.check(x)
        done.update(_of_batch(net, best, x, seen, parts))
        seen += len(x)
    wanted = [(m, rank) for m in range(len(best.maps)) for rank in range(best.value.shape[1])]
    if len(done) != len(wanted):
        raise ValueError(
            f"the pictures are not those of the maxima: expected at least {best.image.max() + 1}, found "
            f"{seen}"
        )
    return [done[key] for key in wanted]


Entry = tuple[int, int]  # map and rank
Box = tuple[int, int, int, int]  # top, left, bottom, right


def _of_batch(net: lrp.Net, best: Maxima, x: Tensor, first: int, parts: memory.Parts) -> dict[Entry, Patch]:
    size = (int(x.shape[2]), int(x.shape[3]))
    inside = (best.image >= first) & (best.image < first + len(x))
    by_layer: dict[str, list[Entry]] = {}
    for m, rank in np.argwhere(inside).tolist():
        by_layer.setdefault(best.maps[m].layer, []).append((m, rank))

    crops = {layer: _Crop.of(net, layer, size) for layer in by_layer}
    wide: dict[int, list[Entry]] = {}
    for layer, entries in by_layer.items():
        for entry in entries if crops[layer].share > _WIDE else ():
            wide.setdefault(int(best.image[entry]), []).append(entry)

    done: dict[Entry, Patch] = {}
    for image, entries in wide.items():
        i = image - first
        if len(entries) > 1:
            for entry, r in _of_picture(net, best, x[i : i + 1], entries):
                done[entry] = _patch(best, entry, (0, 0, *size), size, r, x[i])
    for layer, entries in by_layer.items():
        rest, (height, width) = [entry for entry in entries if entry not in done], crops[layer].sides
        for i in range(0, len(rest), _TOGETHER):
            together = rest[i : i + _TOGETHER]
            walk = partial(_of_crops, net, best, x, first, crops[layer], together)
            for _, found in parts(walk, len(together), f"{layer}: a crop of {width}x{height} pixels"):
                done.update(found)
    return done


def _of_crops(
    net: lrp.Net, best: Maxima, x: Tensor, first: int, crop: _Crop, entries: list[Entry], part: slice
) -> dict[Entry, Patch]:
    """Neurons of one layer that see little of their pictures: one walk for all, over the crops alone."""
    entries = entries[part]
    boxes = [crop.box(int(best.row[e]), int(best.col[e])) for e in entries]
    pictures = torch.stack(
        [
            x[int(best.image[e]) - first][:, b[0] : b[2], b[1] : b[3]]
            for e, b in zip(entries, boxes, strict=True)
        ]
    )
    corners = [(b[0] // crop.rows.stride, b[1] // crop.cols.stride) for b in boxes]
    found = lrp.relevance(net, pictures, _neuron(best, entries, corners), pixels=True, on_layer=_nothing)
    assert found.pixels is not None
    return {
        entry: _patch(best, entry, box, crop.size, r, picture)
        for entry, box, r, picture in zip(entries, boxes, found.pixels, pictures, strict=True)
    }


def _neuron(best: Maxima, entries: list[Entry], corners: list[tuple[int, int]]) -> lrp.Neuron:
    """The neurons of some entries, all of one layer, in maps that begin at ``corners`` of the whole map."""
    return lrp.Neuron(
        best.maps[entries[0][0]].layer,
        [best.maps[m].channel for m, _ in entries],
        [int(best.row[e]) - corner[0] for e, corner in zip(entries, corners, strict=True)],
        [int(best.col[e]) - corner[1] for e, corner in zip(entries, corners, strict=True)],
    )


def _nothing(layer: str, r: Tensor) -> None:
    pass


def _patch(best: Maxima, entry: Entry, box: Box, size: tuple[int, int], r: Tensor, picture: Tensor) -> Patch:
    m, rank = entry
    value, image = float(best.value[entry]), int(best.image[entry])
    return Patch(best.maps[m], rank, value, image, box, size, r.clone(), picture.clone())


def _of_picture(net: lrp.Net, best: Maxima, x: Tensor, group: list[Entry]) -> Iterator[tuple[Entry, Tensor]]:
    """Neurons that see most of one picture share its forward pass and the denominators of the rules."""
    by_step: dict[int, list[Entry]] = {}
    for entry in group:
        by_step.setdefault(net.index[best.maps[entry[0]].layer], []).append(entry)
    outputs: dict[str, Tensor] = {}
    names = {net.steps[i].name for i in by_step}

    def watch(step: Step, y: Tensor) -> None:
        if step.layer and step.name in names:
            outputs[step.name] = y.clone()  # the activation that follows may overwrite it

    tape: list[Any] = []
    net.forward(x, tape, max(by_step), watch)
    tape = [
        step.rule.prepare(saved) if step.carries else None
        for step, saved in zip(net.steps[: len(tape)], tape, strict=True)
    ]
    for step, entries in by_step.items():
        layer = net.steps[step].name
        for i in range(0, len(entries), _ABREAST):
            part = entries[i : i + _ABREAST]
            neuron = _neuron(best, part, [(0, 0)] * len(part))
            pixels = walk_back(net, one_hot(neuron, outputs[layer]), tape[: step + 1], True, _nothing)
            assert pixels is not None
            yield from zip(part, pixels, strict=True)


@dataclass(frozen=True)
class _Crop:
    """Where to crop a picture so that a layer's neurons have the same values as in the whole picture.

    All crops of a layer have one size, so that they fit in one batch. They begin on the grid of the
    layer's stride, and their size differs from the picture's by a multiple of it, so that padding that
    depends on the size is the same.
    """

    rows: Reach
    cols: Reach
    size: tuple[int, int]  # of the picture

    @classmethod
    def of(cls, net: lrp.Net, layer: str, size: tuple[int, int]) -> _Crop:
        """The crop for a layer; the whole picture where the neurons see all or nearly all of it."""
        everything = Reach(max(size), max(size), max(size))
        rows, cols = _receptive_field(net, layer) or (everything, everything)
        return cls(rows, cols, size)

    @property
    def share(self) -> float:
        """The share of the picture that a crop covers."""
        return math.prod(self.sides) / math.prod(self.size)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the crops."""
        rows, cols = (_side(f, n) for f, n in zip((self.rows, self.cols), self.size, strict=True))
        return rows, cols

    def box(self, row: int, col: int) -> Box:
        """The crop for the neuron at this position."""
        (height, width) = self.sides
        top = min(max(row * self.rows.stride - _lead(self.rows), 0), self.size[0] - height)
        left = min(max(col * self.cols.stride - _lead(self.cols), 0), self.size[1] - width)
        return top, left, top + height, left + width


def _lead(field: Reach) -> int:
    """Pixels from the beginning of a crop to the neuron's own grid point: whole strides."""
    return -(-field.before // field.stride) * field.stride


def _side(field: Reach, size: int) -> int:
    need = _lead(field) + field.after + 1
    return min(size, need + (size - need) % field.stride)


def _receptive_field(net: lrp.Net, layer: str) -> tuple[Reach, Reach] | None:
    """Pixels that a layer's neurons depend on, along rows and columns; None for all of them."""
    last = net.index[layer]
    fields: dict[int, tuple[Reach, Reach]] = {last + 1: (Reach(), Reach())}
    for i in range(last, -1, -1):
        if i + 1 not in fields:
            continue
        here, step = fields.pop(i + 1), net.steps[i].rule.reach()
        if step is None:
            return None
        rows, cols = (_through(h, s) for h, s in zip(here, step, strict=True))
        for j in net.steps[i].inputs:
            other = fields.get(j, (rows, cols))
            if (other[0].stride, other[1].stride) != (rows.stride, cols.stride):
                return None
            fields[j] = (_union(rows, other[0]), _union(cols, other[1]))
    return fields[0]


def _through(here: Reach, step: Reach) -> Reach:
    """Extend the reach by one more operation towards the picture."""
    s = step.stride
    return Reach(here.before * s + step.before, here.after * s + step.after, here.stride * s)


def _union(a: Reach, b: Reach) -> Reach:
    return Reach(max(a.before, b.before), max(a.after, b.after), a.stride)
