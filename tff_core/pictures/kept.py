"""Decoded pictures that are kept between passes, up to a limit; the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from tff_core.pictures import data


class Kept:
    """Pictures by their place in ``paths``, uint8 (3, H, W) after ``change``; raises what `data.read` does.

    At most ``limit`` bytes of them stay in memory.
    """

    def __init__(
        self, paths: Sequence[Path], change: Callable[[Tensor], Tensor] | None = None, limit: int = 1 << 30
    ) -> None:
        self.paths, self._change, self._limit = paths, change, limit
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, i: int) -> Tensor:
        if i in self._kept:
            self._kept.move_to_end(i)
            return self._kept[i]
        pixels = data.read(self.paths[i])
        if self._change is not None:
            pixels = self._change(pixels)
        self._kept[i] = pixels
        self._bytes += pixels.numel()
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].numel()
        return pixels
