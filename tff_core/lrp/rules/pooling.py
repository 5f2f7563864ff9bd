"""Maxima and means over positions."""

from __future__ import annotations

import math
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
        return (self.back(s, saved.expand(len(s), *saved.shape[1:])) * saved,)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        return self._reach


class AdaptiveMaxPool(Rule):
    """The maximum of each of a given number of windows: winner takes all."""

    fresh = True

    def __init__(self, size: Any) -> None:
        self.size = size

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        y, index = F.adaptive_max_pool2d(inputs[0], self.size, return_indices=True)
        return y, (inputs[0].shape, index)

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        shape, index = saved
        out = r.new_zeros(len(r), shape[1], shape[2] * shape[3])
        # windows may overlap, so one position can win several times
        out.scatter_add_(2, index.flatten(2).expand(len(r), -1, -1), r.flatten(2))
        return (out.view(len(r), *shape[1:]),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]


class Largest(Rule):
    """The maximum along some axes: the winner takes all, ties share."""

    fresh = True

    def __init__(self, axes: tuple[int, ...], keep: bool) -> None:
        self.axes, self.keep = axes, keep

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[0].amax(self.axes, keepdim=self.keep), inputs[0]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        won = (saved == saved.amax(self.axes, keepdim=True)).to(r)
        won = won / won.sum(self.axes, keepdim=True)
        return (won * _spread(r, saved.expand(len(r), *saved.shape[1:]), self.axes, self.keep),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]


def _spread(s: Tensor, x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    """The result of a reduction of ``x`` along some axes, expanded to the shape of ``x``."""
    for axis in () if keep else sorted(axes):
        s = s.unsqueeze(axis)
    return s.expand_as(x)


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


def adaptive_max(call: Call) -> Rule:
    m = call.module
    if isinstance(m, nn.AdaptiveMaxPool2d):
        return AdaptiveMaxPool(m.output_size)
    if call.get(2, "return_indices", False):
        raise call.refuse("expected the maxima alone, without their places")
    return AdaptiveMaxPool(call.get(1, "output_size", 1))


def _axes(call: Call) -> tuple[int, ...]:
    """The axes that are reduced, counted from the front; the batch must not be among them."""
    found = call.get(1, "dim", call.get(1, "axis", None))
    shape = call.shape(call.inputs[0])
    if shape is None:  # a call without an example is one of a tensor (N, C, H, W)
        shape = (0, 0, 0, 0)
    dims = (found,) if isinstance(found, int) else found
    if not isinstance(dims, tuple | list) or not dims or not all(isinstance(d, int) for d in dims):
        raise call.refuse("expected the axes that it is taken over, such as height and width, (2, 3)")
    axes = tuple(sorted(d % len(shape) for d in dims))
    if 0 in axes:
        raise call.refuse("it mixes the pictures of a batch; expected axes other than the first, (2, 3)")
    return axes


def mean(call: Call) -> Rule:
    axes, keep = _axes(call), bool(call.get(2, "keepdim", False))

    def back(s: Tensor, x: Tensor) -> Tensor:
        return _spread(s, x, axes, keep) / math.prod(x.shape[axis] for axis in axes)

    return AveragePool(lambda x: x.mean(axes, keepdim=keep), back)


def total(call: Call) -> Rule:
    axes, keep = _axes(call), bool(call.get(2, "keepdim", False))
    return AveragePool(
        lambda x: x.sum(axes, keepdim=keep), lambda s, x: _spread(s, x, axes, keep).contiguous()
    )


def largest(call: Call) -> Rule:
    if call.part not in (None, 0):
        raise call.refuse("expected the maxima, not their places")
    return Largest(_axes(call), bool(call.get(2, "keepdim", False)))
