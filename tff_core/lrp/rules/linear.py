"""Convolutions, fully connected layers and batch normalisations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from efficientnet_pytorch.utils import Conv2dDynamicSamePadding, Conv2dStaticSamePadding
from torch import Tensor, nn

from tff_core.lrp.rules.base import FLOOR, POINT, Call, Reach, Rule, pair, stabilise


class _Seen(NamedTuple):
    """What a convolution keeps: its padded input, the padding left to do, and how to undo the padding done.

    ``z`` is the rule's denominator where it was computed ahead.
    """

    x: Tensor
    padding: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    z: Tensor | None = None


class Conv(Rule):
    """Convolution by the z+ rule, its bias left out (beta = 0; paper, supplementary; Bach et al. 2015).

    ``Z = conv(x+, w+) + conv(x-, w-)``, ``S = R / max(Z, 1e-12)``,
    ``R_in = x+ convT(S, w+) + x- convT(S, w-)``; for an input that cannot be negative one term of each
    remains. With ``bounds`` l and h it is the z^B rule for pixels instead (Montavon et al. 2017):
    ``Z = conv(x, w) - conv(l, w+) - conv(h, w-)``, and likewise back.
    """

    fresh = True

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int] | Callable[[int, int], tuple[int, int, int, int]],
        dilation: tuple[int, int],
        groups: int,
    ) -> None:
        self.weight, self.bias = weight, bias
        # a map's value where its convolution gives zero: the constant that batch normalisation makes of it
        self.dropped = None if bias is None else torch.zeros_like(bias)
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.padding = padding
        self.signed = True  # set by nonnegative()
        self.bounds: tuple[float, float] | None = None
        self._halves: dict[str, Tensor] = {}

    def nonnegative(self, *inputs: bool) -> bool:
        self.signed = not inputs[0]
        return False

    def reach(self) -> tuple[Reach, Reach] | None:
        paddings = (None, None) if callable(self.padding) else self.padding
        rows, cols = (
            Reach.of(k, s, p, d)
            for k, s, p, d in zip(self.weight.shape[2:], self.stride, paddings, self.dilation, strict=True)
        )
        return rows, cols

    def to(self, **kwargs: Any) -> Conv:
        new = super().to(**kwargs)
        assert isinstance(new, Conv)
        new._halves = {}
        return new

    def with_weights(self, weight: Tensor, bias: Tensor | None) -> Conv:
        """The same convolution with other weights."""
        new = copy.copy(self)
        new.weight, new.bias, new._halves = weight, bias, {}
        return new

    def _half(self, sign: str) -> Tensor:
        """w+ or w-, made on first use: a network that only predicts, or never needs w-, has none."""
        if sign not in self._halves:
            self._halves[sign] = self.weight.clamp(min=0) if sign == "+" else self.weight.clamp(max=0)
        return self._halves[sign]

    def _pad(self, x: Tensor) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
        """The input as the convolution expects it, the padding left to it, and what was added (top, left)."""
        if not callable(self.padding):
            return x, self.padding, (0, 0)
        left, right, top, bottom = self.padding(*x.shape[-2:])
        if left == right and top == bottom:
            return x, (top, left), (0, 0)
        return F.pad(x, (left, right, top, bottom)), (0, 0), (top, left)

    def _geometry(self, seen: _Seen) -> Geometry:
        return self.stride, seen.padding, self.dilation, self.groups

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        x, padding, corner = self._pad(inputs[0])
        y = _conv(x, self.weight, (self.stride, padding, self.dilation, self.groups), self.bias)
        height, width = inputs[0].shape[-2:]
        return y, _Seen(x, padding, corner, (height, width))

    def prepare(self, saved: Any) -> Any:
        z = self._denominator(self._parts(saved), self._geometry(saved))
        return saved._replace(z=stabilise(z) if self.bounds is not None else z.clamp_(min=FLOOR))

    def _parts(self, seen: _Seen) -> list[tuple[Tensor, Tensor]]:
        """The rule's contributions, as parts of the input with the weights that each is convolved with."""
        if self.bounds is not None:
            both = torch.cat([self._half("+"), self._half("-")], 1)
            return [(self._within(seen), both.contiguous(memory_format=torch.channels_last))]
        if not self.signed:
            return [(seen.x, self._half("+"))]
        return [(seen.x.clamp(min=0), self._half("+")), (seen.x.clamp(max=0), self._half("-"))]

    @staticmethod
    def _denominator(parts: list[tuple[Tensor, Tensor]], geometry: Geometry) -> Tensor:
        z = _conv(*parts[0], geometry)
        for part, weight in parts[1:]:
            z.add_(_conv(part, weight, geometry))
        return z

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        seen: _Seen = saved
        geometry, parts = self._geometry(seen), self._parts(seen)
        if seen.z is not None:
            s = r / seen.z
        elif self.bounds is not None:
            s = r / stabilise(self._denominator(parts, geometry))
        else:
            s = self.kernels.floored(r, self._denominator(parts, geometry))
        x, weight = parts[0]
        out = transposed(s, x, weight, geometry).mul_(x)
        for x, weight in parts[1:]:
            out.addcmul_(transposed(s, x, weight, geometry), x)
        if self.bounds is not None:
            out = _halved(out, self.groups)
        (top, left), (height, width) = seen.corner, seen.size
        return (out[..., top : top + height, left : left + width],)

    def _within(self, seen: _Seen) -> Tensor:
        """How far the pixels are from the lower bound, and from the upper, group by group.

        ``x w - l w+ - h w- = (x - l) w+ + (x - h) w-``: one convolution where the definition has three, and
        within the bounds a sum of terms that cannot be negative. Zero padding pads the bounds too.
        """
        assert self.bounds is not None
        x, (top, left), (height, width) = seen.x, seen.corner, seen.size
        distances = []
        for bound in self.bounds:
            distance = torch.zeros_like(x)
            inside = (..., slice(top, top + height), slice(left, left + width))
            distance[inside] = x[inside] - bound
            distances.append(distance.unflatten(1, (self.groups, -1)))
        return torch.cat(distances, 2).flatten(1, 2).contiguous(memory_format=torch.channels_last)


Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]


def _is_product(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether a 1x1 convolution is computed as one matrix product over all positions of all pictures.

    Written this way it reads the weights once per batch, where a convolution reads them once per picture: a
    gain for few pictures with small maps and large weights. From 16 pictures on, a convolution is faster
    on a CPU, by a quarter on some processors (see the page on performance).
    """
    few = len(x) < 16 or x.device.type != "cpu"
    return few and weight.shape[2:] == (1, 1) and geometry[1] == (0, 0) and geometry[3] == 1


def _rows(x: Tensor) -> Tensor:
    """(N, C, h, w) as (N h w, C): a view in channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _is_tiny(positions: int, weight: Tensor, geometry: Geometry) -> bool:
    """Whether a convolution would spend its time reordering many weights for few positions."""
    _, _, dilation, groups = geometry
    few = 8 * positions <= weight.shape[1] and weight.numel() > 1 << 20
    return few and groups == 1 and dilation == (1, 1)


def _matrix(weight: Tensor) -> Tensor:
    """Weights (out, in, kh, kw) as (out, kh * kw * in); in channels-last layout, without a copy."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _conv(x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None) -> Tensor:
    stride, padding, _, _ = geometry
    if _is_product(x, weight, geometry):
        x = x[..., :: stride[0], :: stride[1]]
        y = F.linear(_rows(x), weight[:, :, 0, 0], bias)
        return y.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)
    kernel = weight.shape[2:]
    rows, cols = (
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], padding, kernel, stride, strict=True)
    )
    if not _is_tiny(len(x) * rows * cols, weight, geometry):
        return F.conv2d(x, weight, bias, *geometry)
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0])).permute(0, 2, 3, 1)
    windows = padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])
    y = F.linear(windows.permute(0, 1, 2, 4, 5, 3).reshape(len(x) * rows * cols, -1), _matrix(weight), bias)
    return y.view(len(x), rows, cols, -1).permute(0, 3, 1, 2)


def transposed(s: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """The adjoint of the convolution: only the height and width of ``x`` are used."""
    stride, padding, dilation, groups = geometry
    if len(s) != len(x):
        x = x.expand(len(s), -1, -1, -1)
    if _is_product(s, weight, geometry):
        out = torch.mm(_rows(s), weight[:, :, 0, 0]).view(len(s), *s.shape[2:], -1).permute(0, 3, 1, 2)
        if stride == (1, 1):
            return out
        spread = torch.zeros_like(x, memory_format=torch.channels_last)
        spread[..., :: stride[0], :: stride[1]] = out
        return spread
    (rows, cols), (height, width) = s.shape[2:], x.shape[2:]
    if not _is_tiny(len(s) * rows * cols, weight, geometry):
        return torch.ops.aten.convolution_backward(
            s, x, weight, None, stride, padding, dilation, False, (0, 0), groups, (True, False, False)
        )[0]
    kernel = weight.shape[2:]
    parts = torch.mm(_rows(s), _matrix(weight)).view(len(s), rows, cols, *kernel, -1)
    whole = s.new_zeros(len(s), height + 2 * padding[0], width + 2 * padding[1], x.shape[1])
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            down = slice(i, i + rows * stride[0], stride[0])
            across = slice(j, j + cols * stride[1], stride[1])
            whole[:, down, across] += parts[:, :, :, i, j]
    inner = whole[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
    return inner.permute(0, 3, 1, 2)


def _halved(x: Tensor, groups: int) -> Tensor:
    """Sum of the two halves of each group's channels, which belong to w+ and to w-."""
    return x.unflatten(1, (groups, 2, -1)).sum(2).flatten(1, 2)


class Linear(Rule):
    """Fully connected layer by the epsilon rule; the bias takes its share (Bach et al. 2015)."""

    fresh = True

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return F.linear(inputs[0], self.weight, self.bias), inputs[0]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        z = stabilise(F.linear(saved, self.weight, self.bias))
        return (torch.matmul(r / z, self.weight).mul_(saved),)


class Affine(Rule):
    """Batch normalisation that follows no convolution: the epsilon rule of a diagonal linear layer."""

    fresh = True

    def __init__(self, scale: Tensor, shift: Tensor, places: int = 2) -> None:
        shape = (1, -1) + (1,) * places
        self.scale, self.shift = scale.view(shape), shift.view(shape)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[0] * self.scale + self.shift, inputs[0]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        z = stabilise(saved * self.scale + self.shift)
        return ((r / z).mul_(saved).mul_(self.scale),)

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT


def conv2d(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.Conv2d)
    if m.padding_mode != "zeros":
        raise call.refuse(f"padding_mode is {m.padding_mode!r}, expected 'zeros'")
    stride, dilation = pair(tuple(m.stride)), pair(tuple(m.dilation))
    padding: Any
    if isinstance(m, Conv2dDynamicSamePadding):
        padding = _SamePadding(pair(tuple(m.kernel_size)), stride, dilation)
    elif isinstance(m, Conv2dStaticSamePadding):
        fixed = getattr(m.static_padding, "padding", (0, 0, 0, 0))
        padding = _FixedPadding(tuple(fixed))
    elif m.padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, m.kernel_size, strict=True)]
        padding = _FixedPadding(
            (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2)
        )
    else:
        padding = (0, 0) if m.padding == "valid" else pair(m.padding)
    return Conv(m.weight.data, None if m.bias is None else m.bias.data, stride, padding, dilation, m.groups)


@dataclass(frozen=True)
class _FixedPadding:
    sides: tuple[int, ...]

    def __call__(self, height: int, width: int) -> tuple[int, int, int, int]:
        left, right, top, bottom = self.sides
        return left, right, top, bottom


@dataclass(frozen=True)
class _SamePadding:
    """Padding for an output of ceil(size / stride), whatever the size; an odd pixel goes right and below."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __call__(self, height: int, width: int) -> tuple[int, int, int, int]:
        total = [
            max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip((height, width), self.kernel, self.stride, self.dilation, strict=True)
        ]
        return total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2


def linear(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.Linear)
    return Linear(m.weight.data, None if m.bias is None else m.bias.data)


def batchnorm_affine(m: nn.BatchNorm2d | nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift, each (C,), that ``m`` applies in evaluation."""
    if m.running_mean is None or m.running_var is None:
        raise ValueError(
            "a batch normalisation keeps no running statistics (track_running_stats=False), so it depends "
            "on the batch: train it with running statistics"
        )
    scale = (m.running_var + m.eps).rsqrt()
    if m.weight is not None:
        scale = scale * m.weight.data
    shift = -m.running_mean * scale
    if m.bias is not None:
        shift = shift + m.bias.data
    return scale, shift


def batchnorm(call: Call) -> Rule:
    assert isinstance(call.module, nn.BatchNorm2d | nn.BatchNorm1d)
    if isinstance(call.module, nn.BatchNorm2d):
        return Affine(*batchnorm_affine(call.module))
    shape = call.shape()
    return Affine(*batchnorm_affine(call.module), places=0 if shape is None else len(shape) - 2)


def linear_function(call: Call) -> Rule:
    weight, bias = call.get(1, "weight", None), call.get(2, "bias", None)
    if len(call.inputs) != 1 or not isinstance(weight, Tensor):
        raise call.refuse("expected weights that are a constant of the network")
    return Linear(weight, bias)
