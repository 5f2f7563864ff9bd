"""Maxima and means over places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tff_core.lrp.rules.base import Call, Reach, Rule, pair, stabilise


class MaxPool(Rule):
    """Winner takes all."""

    fresh = True

    def __init__(self, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> None:
        self.settings = tuple(pair(v) for v in (kernel, stride or kernel, padding, dilation))
        self.ceil = ceil

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        y, index = torch.ops.aten.max_pool2d_with_indices(inputs[0], *self.settings, self.ceil)
        return y, (inputs[0].shape, index)

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        shape, index = saved
        memory = torch.channels_last
        like = torch.empty((len(r), *shape[1:]), dtype=r.dtype, device=r.device, memory_format=memory)
        index = index.expand_as(r).contiguous(memory_format=memory)
        back = torch.ops.aten.max_pool2d_with_indices_backward
        return (back(r.contiguous(memory_format=memory), like, *self.settings, self.ceil, index),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        rows, cols = (Reach.of(*window) for window in zip(*self.settings, strict=True))
        return rows, cols


class AveragePool(Rule):
    """Mean over windows, or over the whole picture: relevance in proportion to each pixel's share.

    ``pool`` maps (N, C, H, W) linearly to its output, ``back(s, x)`` is its adjoint.
    """

    fresh = True

    def __init__(
        self,
        pool: Callable[[Tensor], Tensor],
        back: Callable[[Tensor, Tensor], Tensor],
        reach: tuple[Reach, Reach] | None = None,
    ) -> None:
        self.pool, self.back, self._reach = pool, back, reach

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return self.pool(inputs[0]), inputs[0]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        s = r / stabilise(self.pool(saved))
        return (self.back(s, saved.expand(len(s), -1, -1, -1)) * saved,)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        return self._reach


def maxpool_module(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.MaxPool2d)
    return MaxPool(m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)


def maxpool_function(call: Call) -> Rule:
    defaults = (
        ("kernel_size", None),
        ("stride", None),
        ("padding", 0),
        ("dilation", 1),
        ("ceil_mode", False),
    )
    return MaxPool(*(call.get(i + 1, name, default) for i, (name, default) in enumerate(defaults)))


def _average(kernel: Any, stride: Any, padding: Any, ceil: bool, include: bool, divisor: int | None) -> Rule:
    settings = (pair(kernel), pair(stride or kernel), pair(padding), ceil, include, divisor)
    rows, cols = (Reach.of(*window) for window in zip(*settings[:3], strict=True))
    return AveragePool(
        lambda x: F.avg_pool2d(x, *settings),
        lambda s, x: torch.ops.aten.avg_pool2d_backward(s.contiguous(), x.contiguous(), *settings),
        (rows, cols),
    )


def avgpool_module(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.AvgPool2d)
    return _average(m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override)


def avgpool_function(call: Call) -> Rule:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    defaults = (None, None, 0, False, True, None)
    values = [call.get(i + 1, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))]
    return _average(*values)


def adaptive(size: Any) -> Rule:
    return AveragePool(
        lambda x: F.adaptive_avg_pool2d(x, size),
        lambda s, x: torch.ops.aten._adaptive_avg_pool2d_backward(s, x),
    )


def adaptive_module(call: Call) -> Rule:
    assert isinstance(call.module, nn.AdaptiveAvgPool2d)
    return adaptive(call.module.output_size)


def mean(call: Call) -> Rule:
    dims, keep = call.get(1, "dim", None), bool(call.get(2, "keepdim", False))
    if not isinstance(dims, (tuple, list)) or sorted(d % 4 for d in dims) != [2, 3]:
        raise call.refuse("expected a mean over height and width, mean((2, 3))")
    return AveragePool(
        lambda x: x.mean((2, 3), keepdim=keep),
        lambda s, x: s.reshape(*s.shape[:2], 1, 1).expand_as(x) / (x.shape[2] * x.shape[3]),
    )
