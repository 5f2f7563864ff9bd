"""What a cell of a patch classifier's map sees, in closed form.

Along one axis a layer with kernel k (k_d = (k - 1) dilation + 1 pixels wide), stride s and padding p turns
field, start and jump into

    field + (k_d - 1) jump,    start - p jump,    s jump,

from 1, 0 and 1. Only the main path counts: shortcuts see less. Cell i sees the pixels from start + i jump,
``size`` of them, as far as they are in the picture, and as far as the network reads it: an unpadded stride of
2, as Xception begins with, leaves out the last row and column of even sizes.

Source: Araujo, Norris and Sim, Computing receptive fields of convolutional neural networks, Distill 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn
from torchvision.models import resnet

from tff_core.localization import networks

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels; bottom and right are the first that are outside."""


class Field(NamedTuple):
    """The receptive field of the cells of a map, along either axis, in pixels.

    ``size`` is its length, ``jump`` the distance from a cell's field to the next one's, ``start`` where the
    field of the first cell begins; below zero it begins in the padding.
    """

    size: int
    jump: int
    start: int


class _Layer(NamedTuple):
    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def width(self) -> int:
        return (self.kernel - 1) * self.dilation + 1


@lru_cache(maxsize=256)
def _path(name: str) -> tuple[_Layer, ...]:
    """The layers on the main path, from the picture to the map; of a whole network, to its pooling."""
    return tuple(
        layer
        for layer in _layers(networks.on_meta(name))
        if layer.kernel > 1 or layer.stride > 1 or layer.padding
    )


def _layers(module: nn.Module) -> Iterator[_Layer]:
    if isinstance(module, nn.Conv2d | nn.MaxPool2d):
        values = [
            value[0] if isinstance(value, tuple) else int(value)
            for value in (module.kernel_size, module.stride, module.padding, module.dilation)
        ]
        yield _Layer(*(int(value) for value in values))
    elif isinstance(module, networks.Block):
        yield from _layers(module.rep)
    elif isinstance(module, resnet.BasicBlock | resnet.Bottleneck):
        for name, child in module.named_children():
            if name != "downsample":
                yield from _layers(child)
    else:
        for child in module.children():
            yield from _layers(child)


def is_whole(name: str) -> bool:
    """Whether a network has one answer for the whole picture. ValueError for an unknown name."""
    return networks.known(name) in networks.WHOLE


@lru_cache(maxsize=256)
def field(name: str) -> Field:
    """The receptive field of a patch classifier's cells.

    >>> field("xception_block2")
    Field(size=43, jump=8, start=-18)

    ValueError for an unknown name, and for a network without a cut, which sees the whole picture.
    """
    if is_whole(name):
        raise ValueError(
            f"{name} is a whole network, which sees all of a picture: expected one with a cut, such as "
            f"{name}_{'block2' if name == 'xception' else 'layer1'}"
        )
    size, jump, start = 1, 1, 0
    for layer in _path(name):
        size, start, jump = size + (layer.width - 1) * jump, start - layer.padding * jump, jump * layer.stride
    return Field(size, jump, start)


def map_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the map of a picture of ``size`` (height, width); (1, 1) of a whole network.

    ValueError for an unknown name, and where the picture is too small for a cell.
    """
    sides = tuple(_sides(name, int(side))[-1] for side in size)
    if is_whole(name):
        return 1, 1
    return sides[0], sides[1]


@lru_cache(maxsize=4096)
def _sides(name: str, side: int) -> tuple[int, ...]:
    """The length of one axis before every layer, and of the map."""
    sides = [side]
    for layer in _path(name):
        sides.append((sides[-1] + 2 * layer.padding - layer.width) // layer.stride + 1)
        if sides[-1] < 1:
            raise ValueError(
                f"{side} pixels a side are too few for {name}: expected at least {networks.smallest(name)}"
            )
    return tuple(sides)


@lru_cache(maxsize=4096)
def spans(name: str, side: int) -> NDArray[np.int64]:
    """First pixel of each cell's field and first pixel behind it, (cells, 2), on an axis of ``side`` pixels.

    Clipped to what the network reads of the picture.
    """
    if is_whole(name):
        out = np.array([[0, _read(name, side)]])
    elif any(layer.dilation > 1 for layer in _path(name)):
        out = _hulls(name, side)
    else:
        found = field(name)
        first = found.start + found.jump * np.arange(_sides(name, side)[-1])
        out = np.stack([np.maximum(first, 0), np.minimum(first + found.size, _read(name, side))], 1)
    out.setflags(write=False)  # shared by all callers
    return out


def _read(name: str, side: int) -> int:
    """How many of the pixels of an axis the network reads: all, or all but the last."""
    sides = _sides(name, side)
    end = sides[-1]
    for layer, before in zip(reversed(_path(name)), reversed(sides[:-1]), strict=True):
        end = min(before, (end - 1) * layer.stride - layer.padding + layer.width)
    return end


def _hulls(name: str, side: int) -> NDArray[np.int64]:
    """As `spans`, where a dilated kernel has gaps: beside the border it may end before its width does."""
    sides = _sides(name, side)
    seen = np.eye(sides[-1], dtype=bool)  # which positions of a layer each cell depends on
    for layer, before in zip(reversed(_path(name)), reversed(sides[:-1]), strict=True):
        below = np.zeros((len(seen), before), dtype=bool)
        for tap in range(layer.kernel):
            place = layer.stride * np.arange(seen.shape[1]) - layer.padding + layer.dilation * tap
            inside = (place >= 0) & (place < before)
            below[:, place[inside]] |= seen[:, inside]
        seen = below
    return np.stack([seen.argmax(1), side - seen[:, ::-1].argmax(1)], 1)


def summary(networks: Mapping[str, nn.Module], size: tuple[int, int]) -> pd.DataFrame:
    """A row for each network on pictures of ``size`` (H, W): ``network, field`` and ``jump`` (pixels),
    ``cells`` (rows x columns), ``parameters``."""
    rows = []
    for name, net in networks.items():
        one, (high, wide) = field(name), map_size(name, size)
        count = sum(parameter.numel() for parameter in net.parameters())
        rows.append(
            {"network": name, "field": one.size, "jump": one.jump, "cells": f"{high} x {wide}",
             "parameters": count}
        )  # fmt: skip
    return pd.DataFrame(rows)


def box(name: str, cell: tuple[int, int], size: tuple[int, int]) -> Box:
    """What a cell sees: (top, left, bottom, right) in pixels, clipped to the picture.

    ``cell`` (row, column) of the map of a picture of ``size`` (height, width). Bottom and right are the first
    row and column outside. Where the network does not read the last row or column, neither does the box hold
    it. A patch that is larger than the picture gives the whole picture.

    Raises ValueError for an unknown name, a picture too small for a cell, and a cell that is not in the map.
    """
    cells = map_size(name, size)
    for place, count, what in zip(cell, cells, ("row", "column"), strict=True):
        if not 0 <= place < count:
            raise ValueError(
                f"cell {tuple(cell)} of {name}: {what} {place} is not in the map of a picture of "
                f"{size[1]}x{size[0]} pixels; expected 0 to {count - 1}"
            )
    (top, bottom), (left, right) = (spans(name, int(s))[p] for s, p in zip(size, cell, strict=True))
    return int(top), int(left), int(bottom), int(right)


def boxes(name: str, size: tuple[int, int]) -> NDArray[np.int64]:
    """The boxes of all cells, (h, w, 4)."""
    map_size(name, size)
    rows, columns = (spans(name, int(side)) for side in size)
    out = np.empty((len(rows), len(columns), 4), dtype=np.int64)
    out[..., 0::2], out[..., 1::2] = rows[:, None], columns[None]
    return out


def centres(name: str, side: int) -> NDArray[np.float64]:
    """The middle of each cell's field, before it is clipped, along an axis of ``side`` pixels; (cells,)."""
    if is_whole(name):
        return np.array([(side - 1) / 2])
    found = field(name)
    return (
        found.start + (found.size - 1) / 2 + found.jump * np.arange(_sides(name, side)[-1], dtype=np.float64)
    )


def patch(
    name: str, picture: NDArray[np.generic], cell: tuple[int, int], pad: float = 0
) -> NDArray[np.generic]:
    """What a cell sees at its true place in a field of full size: (..., size, size) of a picture (..., H, W).

    What is outside of the picture, and what the network does not read of it, is ``pad``. That holds, too,
    where the picture is smaller than the field. Raises as `field` and `box`.
    """
    found = field(name)
    top, left, bottom, right = box(name, cell, (picture.shape[-2], picture.shape[-1]))
    y, x = (found.start + found.jump * place for place in cell)
    out = np.full((*picture.shape[:-2], found.size, found.size), pad, dtype=picture.dtype)
    out[..., top - y : bottom - y, left - x : right - x] = picture[..., top:bottom, left:right]
    return out
