"""The rules: how relevance passes each operation of a network, and the table from operation to rule.

A rule computes its operation forward, says what it needs to remember, and later turns the relevance of
its output into the relevance of its inputs. ``RULES`` maps what a traced network calls (a module class,
a function, or the name of a tensor method) to a builder of the rule; extend it with
``canonize(model, rules=lrp.RULES | {MyLayer: lambda call: MyRule(call.module)})``.

The rules are those of the paper (supplementary, LRP-z+ with the bias left out; after Montavon et al. 2019,
"Layer-wise relevance propagation: an overview", and Bach et al. 2015).
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from efficientnet_pytorch.utils import (
    Conv2dDynamicSamePadding,
    Conv2dStaticSamePadding,
    MemoryEfficientSwish,
)
from torch import Tensor, fx, nn
from torchvision.ops import StochasticDepth

# Stabilisers of the paper's code. The z+ denominator is a sum of non-negative terms, so a floor is enough.
FLOOR = 1e-12
EPSILON = 1e-6


class NoRule(NotImplementedError):
    """The network holds an operation that the table of rules does not know."""


@dataclass(frozen=True)
class Call:
    """One call in the traced network, as the table's builders see it.

    ``node`` is the fx node and ``inputs`` the tensors among its arguments, in order; ``modules`` are all
    modules of the network by name.
    """

    node: fx.Node
    inputs: tuple[fx.Node, ...]
    modules: Mapping[str, nn.Module]

    @property
    def module(self) -> nn.Module | None:
        """The module that is called; None for functions and tensor methods."""
        return self.modules[str(self.node.target)] if self.node.op == "call_module" else None

    @property
    def name(self) -> str:
        """The module's name in the network, or the node's where a function is called."""
        return str(self.node.target) if self.node.op == "call_module" else self.node.name

    def get(self, position: int, keyword: str, default: Any) -> Any:
        """An argument given by position or by keyword."""
        args = self.node.args
        return args[position] if len(args) > position else self.node.kwargs.get(keyword, default)

    def refuse(self, why: str) -> NoRule:
        """The error that names this node; ``why`` says what was expected and what to do."""
        what = type(self.module).__name__ if self.module is not None else str(self.node.target)
        return NoRule(f"no LRP rule for node {self.node.name!r} ({self.name}, {what}): {why}")


@dataclass(frozen=True)
class Reach:
    """Output position i depends on input positions ``i * stride - before`` to ``i * stride + after``."""

    before: int = 0
    after: int = 0
    stride: int = 1

    @classmethod
    def of(cls, kernel: int, stride: int, padding: int | None, dilation: int = 1) -> Reach:
        """Reach of a window; with padding None (it depends on the size) a bound that always holds."""
        extent = dilation * (kernel - 1)
        return cls(extent, extent, stride) if padding is None else cls(padding, extent - padding, stride)


class Rule:
    """One operation and its rule.

    Subclasses compute the operation in ``forward`` and pass relevance in ``relevance``. ``fresh`` promises
    that the output is a new tensor that the rule itself does not remember, so that an activation that
    follows may overwrite it. ``kernels`` are the loops over elements, see `Kernels`.
    """

    fresh = False
    kernels: Kernels

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """The output, and whatever ``relevance`` will need (only kept where relevance is wanted)."""
        raise NotImplementedError

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        """Relevance of each input, given ``r``, that of the output; None where an input gets nothing.

        ``r`` must not be overwritten: it may have been handed to the caller.
        """
        raise NotImplementedError

    def prepare(self, saved: Any) -> Any:
        """``saved`` with all in it that does not depend on relevance, for several walks over one forward."""
        return saved

    def nonnegative(self, *inputs: bool) -> bool:
        """Whether the output cannot be negative, given which inputs cannot."""
        return False

    def reach(self) -> tuple[Reach, Reach] | None:
        """Which rows, and which columns, of the input one output position depends on; None: on all."""
        return None

    def to(self, **kwargs: Any) -> Rule:
        """A copy whose tensors went through ``Tensor.to(**kwargs)``."""
        new = copy.copy(self)
        for key, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(new, key, _to(value, kwargs))
        return new


def _to(value: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
    # only a weight (4-D) has a memory format; channels_last is a no-op for the rest
    kwargs = {k: v for k, v in kwargs.items() if k != "memory_format" or value.ndim == 4}
    return value.to(**kwargs)


def _ratio(r: Tensor, z: Tensor) -> Tensor:
    """``r / z``, written over ``z`` where that has room: one picture may serve several rows of relevance."""
    return torch.div(r, z, out=z) if r.shape == z.shape else r / z


def stabilise(z: Tensor) -> Tensor:
    """``z`` pushed away from zero by 1e-6 to its own side (zero itself to +1e-6), in place."""
    # not where(z < 0, -EPSILON, EPSILON): that is a float32 number whatever z is
    return z.add_(torch.where(z < 0, -1.0, 1.0), alpha=EPSILON)


@dataclass(frozen=True)
class Kernels:
    """What the rules compute element by element; all else in them is convolutions and matrix products.

    ``floored(r, z)`` is ``r / max(z, 1e-12)`` and may overwrite ``z``; ``branches(r, y, a, b)`` are the
    shares ``a r / (y + 1e-6)`` and ``b r / (y + 1e-6)`` of a rectified sum ``y``.
    """

    floored: Callable[[Tensor, Tensor], Tensor]
    branches: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _floored(r: Tensor, z: Tensor) -> Tensor:
    return _ratio(r, z.clamp_(min=FLOOR))


def _branches(r: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    s = _ratio(r, y + EPSILON)
    return a * s, s.mul_(b)


Rule.kernels = EAGER = Kernels(_floored, _branches)


@cache
def compiled_kernels() -> Kernels:
    """The same, each fused to one loop by torch.compile."""

    def floored(r: Tensor, z: Tensor) -> Tensor:
        return r / z.clamp(min=FLOOR)

    def branches(r: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        s = r / (y + EPSILON)
        return a * s, b * s

    return Kernels(torch.compile(floored, dynamic=True), torch.compile(branches, dynamic=True))


class Passing(Rule):
    """An elementwise activation, or nothing at all: relevance passes unchanged."""

    fresh = True

    def __init__(self, function: Callable[[Tensor], Tensor], nonnegative: bool | None = False) -> None:
        self.function = function
        self._nonnegative = nonnegative
        self.in_place: Callable[[Tensor], Tensor] | None = _IN_PLACE.get(function)
        self.overwrite = False  # set by canonize where nobody else needs the input

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        function = self.in_place if self.overwrite and self.in_place is not None else self.function
        return function(inputs[0]), None

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (r,)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0] if self._nonnegative is None else self._nonnegative

    def reach(self) -> tuple[Reach, Reach] | None:
        return _POINT


_POINT = (Reach(), Reach())


def _same(x: Tensor) -> Tensor:
    return x


_IN_PLACE: dict[Any, Callable[[Tensor], Tensor]] = {
    F.relu: F.relu_,
    F.silu: lambda x: F.silu(x, inplace=True),
}


class Identity(Passing):
    """Dropout and its kin in evaluation: the tensor itself."""

    fresh = False

    def __init__(self) -> None:
        super().__init__(_same, nonnegative=None)


class _Seen(NamedTuple):
    """What a convolution remembers: its input as padded, the padding left to do, and how to undo the rest.

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
        # what a map is where its convolution gives zero: batch normalisation makes a constant of it
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
        """w+ or w-, made when first needed: a network that only predicts, or has no use for w-, has none."""
        if sign not in self._halves:
            self._halves[sign] = self.weight.clamp(min=0) if sign == "+" else self.weight.clamp(max=0)
        return self._halves[sign]

    def _pad(self, x: Tensor) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
        """The input as the convolution wants it, the padding left to it, and what (top, left) was added."""
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
        """The rule's contributions, as parts of the input and the weights that each goes through."""
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
        out = _transposed(s, x, weight, geometry).mul_(x)
        for x, weight in parts[1:]:
            out.addcmul_(_transposed(s, x, weight, geometry), x)
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


def _is_product(weight: Tensor, geometry: Geometry) -> bool:
    """A 1x1 convolution is one matrix product over all positions of all pictures.

    So written it reads the weights once a batch, where a convolution reads them once a picture: a gain
    wherever maps are small and weights are not.
    """
    return weight.shape[2:] == (1, 1) and geometry[1] == (0, 0) and geometry[3] == 1


def _rows(x: Tensor) -> Tensor:
    """(N, C, h, w) as (N h w, C): a view in channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _is_tiny(positions: int, weight: Tensor, geometry: Geometry) -> bool:
    """Whether a convolution would spend its time on bringing many weights into order, for few positions."""
    _, _, dilation, groups = geometry
    few = 8 * positions <= weight.shape[1] and weight.numel() > 1 << 20
    return few and groups == 1 and dilation == (1, 1)


def _matrix(weight: Tensor) -> Tensor:
    """Weights (out, in, kh, kw) as (out, kh * kw * in): in the layout channels last without a copy."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _conv(x: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None = None) -> Tensor:
    stride, padding, _, _ = geometry
    if _is_product(weight, geometry):
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


def _transposed(s: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """The adjoint of the convolution: ``x`` only lends its height and width."""
    stride, padding, dilation, groups = geometry
    if len(s) != len(x):
        x = x.expand(len(s), -1, -1, -1)
    if _is_product(weight, geometry):
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

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        self.scale, self.shift = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[0] * self.scale + self.shift, inputs[0]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        z = stabilise(saved * self.scale + self.shift)
        return ((r / z).mul_(saved).mul_(self.scale),)

    def reach(self) -> tuple[Reach, Reach] | None:
        return _POINT


class Add(Rule):
    """Sum of branches: each gets relevance in proportion to its signed share, stabilised by 1e-6.

    With ``rectified`` the ReLU that follows is part of the operation. Relevance is zero wherever that
    ReLU is closed (whatever follows multiplies by its output), so its output can serve as the
    denominator and need not be computed again.
    """

    fresh = True

    def __init__(self, rectified: bool = False) -> None:
        self.rectified = rectified

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        y = torch.add(inputs[0], inputs[1])
        if self.rectified:
            return y.relu_(), (inputs, y)
        return y, (inputs, None)

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        (a, b), y = saved
        if y is not None:
            return self.kernels.branches(r, y, a, b)
        s = _ratio(r, stabilise(a + b))
        return a * s, s.mul_(b)

    def nonnegative(self, *inputs: bool) -> bool:
        return self.rectified or all(inputs)

    def reach(self) -> tuple[Reach, Reach] | None:
        return _POINT


class Gate(Rule):
    """Product with a sigmoid gate, ``(gate, value)`` or ``(value, gate)``: all relevance to the value."""

    def __init__(self, gate: int) -> None:
        self.gate = gate

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[1 - self.gate] * inputs[self.gate], None

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (None, r) if self.gate == 0 else (r, None)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[1 - self.gate]

    def reach(self) -> tuple[Reach, Reach] | None:
        return _POINT  # the gate's own dependence is that of the pooling it comes from


class MaxPool(Rule):
    """Winner takes all."""

    fresh = True

    def __init__(self, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> None:
        self.settings = tuple(_pair(v) for v in (kernel, stride or kernel, padding, dilation))
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


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


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


class Flatten(Rule):
    """All but the batch axis in one; relevance goes back to the old shape."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[0].flatten(1), inputs[0].shape

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (r.reshape(-1, *saved[1:]),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]


class Concatenate(Rule):
    """Tensors side by side along the channels: each takes its own part back."""

    fresh = True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return torch.cat(inputs, 1), [x.shape[1] for x in inputs]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return r.split(saved, 1)

    def nonnegative(self, *inputs: bool) -> bool:
        return all(inputs)

    def reach(self) -> tuple[Reach, Reach] | None:
        return _POINT


# --- builders: from a call in the traced network to its rule ------------------------------------------


def passing(function: Callable[[Tensor], Tensor], nonnegative: bool = False) -> Callable[[Call], Rule]:
    """A table entry for an elementwise activation through which relevance passes unchanged."""
    return lambda call: Passing(function, nonnegative)


def _module_passing(nonnegative: bool = False) -> Callable[[Call], Rule]:
    """The same for a module with settings of its own (slope, approximation): it is called as it is."""

    def build(call: Call) -> Rule:
        assert call.module is not None
        return Passing(call.module, nonnegative)

    return build


def _conv2d(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.Conv2d)
    if m.padding_mode != "zeros":
        raise call.refuse(f"padding_mode is {m.padding_mode!r}, expected 'zeros'")
    stride, dilation = _pair(tuple(m.stride)), _pair(tuple(m.dilation))
    padding: Any
    if isinstance(m, Conv2dDynamicSamePadding):
        padding = _SamePadding(_pair(tuple(m.kernel_size)), stride, dilation)
    elif isinstance(m, Conv2dStaticSamePadding):
        fixed = getattr(m.static_padding, "padding", (0, 0, 0, 0))
        padding = _FixedPadding(tuple(fixed))
    elif m.padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, m.kernel_size, strict=True)]
        padding = _FixedPadding(
            (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2)
        )
    else:
        padding = (0, 0) if m.padding == "valid" else _pair(m.padding)
    return Conv(m.weight.data, None if m.bias is None else m.bias.data, stride, padding, dilation, m.groups)


@dataclass(frozen=True)
class _FixedPadding:
    sides: tuple[int, ...]

    def __call__(self, height: int, width: int) -> tuple[int, int, int, int]:
        left, right, top, bottom = self.sides
        return left, right, top, bottom


@dataclass(frozen=True)
class _SamePadding:
    """Padding for an output of ceil(size / stride), whatever the size; the odd pixel right and below."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __call__(self, height: int, width: int) -> tuple[int, int, int, int]:
        total = [
            max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            for size, k, s, d in zip((height, width), self.kernel, self.stride, self.dilation, strict=True)
        ]
        return total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2


def _linear(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.Linear)
    return Linear(m.weight.data, None if m.bias is None else m.bias.data)


def batchnorm_affine(m: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
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


def _batchnorm(call: Call) -> Rule:
    assert isinstance(call.module, nn.BatchNorm2d)
    return Affine(*batchnorm_affine(call.module))


def _add(call: Call) -> Rule:
    if len(call.inputs) != 2 or call.get(2, "alpha", 1) != 1:
        raise call.refuse(
            "expected the sum of two tensors; write the sum so, or add a rule for it to the table"
        )
    return Add()


_SIGMOIDS: tuple[Any, ...] = (nn.Sigmoid, nn.Hardsigmoid, torch.sigmoid, F.sigmoid, F.hardsigmoid, "sigmoid")


def _multiply(call: Call) -> Rule:
    def is_gate(node: fx.Node) -> bool:
        if node.op == "call_module":
            return type(call.modules[str(node.target)]) in _SIGMOIDS
        return node.target in _SIGMOIDS

    gates = [is_gate(node) for node in call.inputs]
    if len(gates) != 2 or sum(gates) != 1:
        raise call.refuse(
            "expected the product of a tensor and a sigmoid gate, so that relevance can go to the tensor; "
            "add a rule for this product to the table"
        )
    return Gate(gates.index(True))


def _maxpool_module(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.MaxPool2d)
    return MaxPool(m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)


def _maxpool_function(call: Call) -> Rule:
    defaults = (
        ("kernel_size", None),
        ("stride", None),
        ("padding", 0),
        ("dilation", 1),
        ("ceil_mode", False),
    )
    return MaxPool(*(call.get(i + 1, name, default) for i, (name, default) in enumerate(defaults)))


def _average(kernel: Any, stride: Any, padding: Any, ceil: bool, include: bool, divisor: int | None) -> Rule:
    settings = (_pair(kernel), _pair(stride or kernel), _pair(padding), ceil, include, divisor)
    rows, cols = (Reach.of(*window) for window in zip(*settings[:3], strict=True))
    return AveragePool(
        lambda x: F.avg_pool2d(x, *settings),
        lambda s, x: torch.ops.aten.avg_pool2d_backward(s.contiguous(), x.contiguous(), *settings),
        (rows, cols),
    )


def _avgpool_module(call: Call) -> Rule:
    m = call.module
    assert isinstance(m, nn.AvgPool2d)
    return _average(m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override)


def _avgpool_function(call: Call) -> Rule:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    defaults = (None, None, 0, False, True, None)
    values = [call.get(i + 1, n, d) for i, (n, d) in enumerate(zip(names, defaults, strict=True))]
    return _average(*values)


def _adaptive(size: Any) -> Rule:
    return AveragePool(
        lambda x: F.adaptive_avg_pool2d(x, size),
        lambda s, x: torch.ops.aten._adaptive_avg_pool2d_backward(s, x),
    )


def _adaptive_module(call: Call) -> Rule:
    assert isinstance(call.module, nn.AdaptiveAvgPool2d)
    return _adaptive(call.module.output_size)


def _mean(call: Call) -> Rule:
    dims, keep = call.get(1, "dim", None), bool(call.get(2, "keepdim", False))
    if not isinstance(dims, (tuple, list)) or sorted(d % 4 for d in dims) != [2, 3]:
        raise call.refuse("expected a mean over height and width, mean((2, 3))")
    return AveragePool(
        lambda x: x.mean((2, 3), keepdim=keep),
        lambda s, x: s.reshape(*s.shape[:2], 1, 1).expand_as(x) / (x.shape[2] * x.shape[3]),
    )


def _flatten(call: Call) -> Rule:
    m = call.module
    if isinstance(m, nn.Flatten):
        start, end = m.start_dim, m.end_dim
    else:
        start, end = call.get(1, "start_dim", 0), call.get(2, "end_dim", -1)
    if (start, end) not in ((1, -1), (1, 3)):
        raise call.refuse(f"expected flatten from axis 1 to the end, found {start} to {end}")
    return Flatten()


def _reshape(call: Call) -> Rule:
    sizes: tuple[Any, ...] = call.node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    if len(sizes) != 2 or sizes[1] != -1 or not isinstance(sizes[0], fx.Node):
        raise call.refuse("expected x.view(x.size(0), -1); use torch.flatten(x, 1)")
    return Flatten()


def _cat(call: Call) -> Rule:
    if call.get(1, "dim", 0) not in (1, -3):
        raise call.refuse("expected a concatenation along the channels, torch.cat(..., 1)")
    return Concatenate()


def _identity(call: Call) -> Rule:
    return Identity()


def _dropout(call: Call) -> Rule:
    if call.get(2, "training", True):
        raise call.refuse("it drops at random in evaluation too; pass training=self.training")
    return Identity()


Table = Mapping[Any, Callable[[Call], Rule]]

_relu, _sigmoid = passing(F.relu, nonnegative=True), passing(torch.sigmoid, nonnegative=True)
_silu, _hardsigmoid = passing(F.silu), passing(F.hardsigmoid, nonnegative=True)

# Looked up by exact type: a subclass may compute something else, so it needs an entry of its own.
RULES: dict[Any, Callable[[Call], Rule]] = {
    nn.Conv2d: _conv2d,
    Conv2dDynamicSamePadding: _conv2d,
    Conv2dStaticSamePadding: _conv2d,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batchnorm,
    nn.ReLU: _relu,
    F.relu: _relu,
    torch.relu: _relu,
    "relu": _relu,
    "relu_": _relu,
    nn.ReLU6: passing(F.relu6, nonnegative=True),
    F.relu6: passing(F.relu6, nonnegative=True),
    nn.SiLU: _silu,
    F.silu: _silu,
    MemoryEfficientSwish: _silu,
    nn.Hardswish: passing(F.hardswish),
    F.hardswish: passing(F.hardswish),
    nn.LeakyReLU: _module_passing(),
    nn.GELU: _module_passing(),
    nn.ELU: _module_passing(),
    nn.Sigmoid: _sigmoid,
    torch.sigmoid: _sigmoid,
    F.sigmoid: _sigmoid,
    "sigmoid": _sigmoid,
    nn.Hardsigmoid: _hardsigmoid,
    F.hardsigmoid: _hardsigmoid,
    nn.Identity: _identity,
    nn.Dropout: _identity,
    nn.Dropout2d: _identity,
    F.dropout: _dropout,
    StochasticDepth: _identity,
    "contiguous": _identity,
    nn.MaxPool2d: _maxpool_module,
    F.max_pool2d: _maxpool_function,
    torch.max_pool2d: _maxpool_function,
    nn.AvgPool2d: _avgpool_module,
    F.avg_pool2d: _avgpool_function,
    nn.AdaptiveAvgPool2d: _adaptive_module,
    F.adaptive_avg_pool2d: lambda call: _adaptive(call.get(1, "output_size", 1)),
    "mean": _mean,
    torch.mean: _mean,
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    "add": _add,
    "add_": _add,
    operator.mul: _multiply,
    operator.imul: _multiply,
    torch.mul: _multiply,
    "mul": _multiply,
    "mul_": _multiply,
    nn.Flatten: _flatten,
    torch.flatten: _flatten,
    "flatten": _flatten,
    "view": _reshape,
    "reshape": _reshape,
    torch.reshape: _reshape,
    torch.cat: _cat,
}
