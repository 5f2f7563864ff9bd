"""The base class of rules, the calls they are built from, and their shared helpers."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

# Stabilisers of the paper's code. The z+ denominator is a sum of non-negative terms, so a floor is enough.
FLOOR = 1e-12
EPSILON = 1e-6


class NoRule(NotImplementedError):
    """The network contains an operation that is not in the table of rules."""


# Why some operations have no rule, in words that a user of the network understands.
_STATISTICS = (
    "it normalises by the mean and deviation of the picture at hand, where the rules need a fixed scale"
)
_ATTENTION = "attention multiplies and weighs tensors by each other, where the rules need fixed weights"
WHY_NOT: dict[Any, str] = {
    **dict.fromkeys((nn.LayerNorm, F.layer_norm, nn.GroupNorm, F.group_norm), _STATISTICS),
    **dict.fromkeys((nn.InstanceNorm2d, F.instance_norm, nn.LocalResponseNorm), _STATISTICS),
    **dict.fromkeys((nn.MultiheadAttention, F.scaled_dot_product_attention), _ATTENTION),
    **dict.fromkeys((nn.Softmax, F.softmax, torch.softmax, "softmax"), _ATTENTION),
    **dict.fromkeys((torch.matmul, operator.matmul, torch.bmm, "matmul", "bmm"), _ATTENTION),
}


@dataclass(frozen=True)
class Call:
    """One call in the traced network, as the table's builders see it.

    ``node`` is the fx node and ``inputs`` the tensors among its arguments, in order; ``modules`` are all
    modules of the network by name. ``args`` and ``kwargs`` are the node's, in which sizes of pictures are
    numbers and constants of the network tensors. ``examples`` has each node's value for an example: a
    tensor on the device "meta" (its shape alone), or a number. For a call that returns several tensors,
    ``part`` selects one.
    """

    node: fx.Node
    inputs: tuple[fx.Node, ...]
    modules: Mapping[str, nn.Module]
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] | None = None
    examples: Mapping[fx.Node, Any] = field(default_factory=dict)
    part: int | None = None

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
        args = self.node.args if self.args is None else self.args
        kwargs = self.node.kwargs if self.kwargs is None else self.kwargs
        return args[position] if len(args) > position else kwargs.get(keyword, default)

    def rest(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All arguments but the first, which is the tensor; by position and by keyword."""
        args = self.node.args if self.args is None else self.args
        kwargs = self.node.kwargs if self.kwargs is None else self.kwargs
        return tuple(args[1:]), {key: value for key, value in kwargs.items() if key not in ("input", "self")}

    def shape(self, node: fx.Node | None = None) -> tuple[int, ...] | None:
        """Shape of a node's output (this call's by default) for the example; None where there is none."""
        if node is None and self.part is not None:
            found = self.examples.get(self.node)
            found = found[self.part] if found is not None else None
        else:
            found = self.examples.get(node or self.node)
        return tuple(found.shape) if isinstance(found, Tensor) else None

    def refuse(self, why: str) -> NoRule:
        """The error that names this node; ``why`` says what was expected and what to do."""
        target = type(self.module) if self.module is not None else self.node.target
        what = str(getattr(target, "__name__", target))
        # for a function, name the module that calls it, which its author knows
        stack = list((self.node.meta or {}).get("nn_module_stack", {}).values())
        around = stack[-1] if stack and self.module is None else None
        if isinstance(around, tuple) and around[0]:
            kind = getattr(around[1], "__name__", around[1])
            what += f" in {around[0]}, {kind}"
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
    that the output is a new tensor that the rule itself does not keep, so that an activation that
    follows may overwrite it. ``kernels`` are the loops over elements, see `Kernels`.
    """

    fresh = False
    kernels: Kernels

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """The output, and whatever ``relevance`` will need (kept only if relevance is wanted)."""
        raise NotImplementedError

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        """Relevance of each input, given ``r``, that of the output; None where an input gets nothing.

        ``r`` must not be overwritten: it may have been handed to the caller.
        """
        raise NotImplementedError

    def prepare(self, saved: Any) -> Any:
        """``saved`` plus everything that does not depend on relevance, for several walks over one forward."""
        return saved

    def receives(self, position: int) -> bool:
        """Whether relevance goes to the input at that position."""
        return True

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


def ratio(r: Tensor, z: Tensor) -> Tensor:
    """``r / z``, in place of ``z`` if it is large enough: one picture may serve several rows of relevance."""
    return torch.div(r, z, out=z) if r.shape == z.shape else r / z


def stabilise(z: Tensor) -> Tensor:
    """``z`` moved away from zero by 1e-6, keeping its sign (zero itself becomes +1e-6), in place."""
    # not where(z < 0, -EPSILON, EPSILON): that is a float32 number whatever z is
    return z.add_(torch.where(z < 0, -1.0, 1.0), alpha=EPSILON)


@dataclass(frozen=True)
class Kernels:
    """The elementwise parts of the rules; everything else in them is convolutions and matrix products.

    ``floored(r, z)`` is ``r / max(z, 1e-12)`` and may overwrite ``z``; ``branches(r, y, a, b)`` are the
    shares ``a r / (y + 1e-6)`` and ``b r / (y + 1e-6)`` of a rectified sum ``y``.
    """

    floored: Callable[[Tensor, Tensor], Tensor]
    branches: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _floored(r: Tensor, z: Tensor) -> Tensor:
    return ratio(r, z.clamp_(min=FLOOR))


def _branches(r: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    s = ratio(r, y + EPSILON)
    return a * s, s.mul_(b)


Rule.kernels = EAGER = Kernels(_floored, _branches)


@cache
def compiled_kernels() -> Kernels:
    """The same, each fused into one loop by torch.compile."""

    def floored(r: Tensor, z: Tensor) -> Tensor:
        return r / z.clamp(min=FLOOR)

    def branches(r: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        s = r / (y + EPSILON)
        return a * s, b * s

    return Kernels(torch.compile(floored, dynamic=True), torch.compile(branches, dynamic=True))


POINT = (Reach(), Reach())


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


Table = Mapping[Any, Callable[[Call], Rule]]
