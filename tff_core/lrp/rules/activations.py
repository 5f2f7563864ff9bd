"""Elementwise operations: relevance passes unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tff_core.lrp.rules.base import POINT, Call, Reach, Rule


class Passing(Rule):
    """An elementwise activation, or the identity: relevance passes unchanged."""

    fresh = True

    def __init__(self, function: Callable[[Tensor], Tensor], nonnegative: bool | None = False) -> None:
        self.function = function
        self._nonnegative = nonnegative
        self.in_place: Callable[[Tensor], Tensor] | None = _IN_PLACE.get(function)
        self.overwrite = False  # set by canonize where nothing else needs the input

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        function = self.in_place if self.overwrite and self.in_place is not None else self.function
        return function(inputs[0]), None

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (r,)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0] if self._nonnegative is None else self._nonnegative

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT


def _same(x: Tensor) -> Tensor:
    return x


_IN_PLACE: dict[Any, Callable[[Tensor], Tensor]] = {
    F.relu: F.relu_,
    F.silu: lambda x: F.silu(x, inplace=True),
}


class Identity(Passing):
    """Dropout and its variants in evaluation mode: the tensor itself."""

    fresh = False

    def __init__(self) -> None:
        super().__init__(_same, nonnegative=None)


def passing(function: Callable[[Tensor], Tensor], nonnegative: bool = False) -> Callable[[Call], Rule]:
    """A table entry for an elementwise activation through which relevance passes unchanged."""
    return lambda call: Passing(function, nonnegative)


def module_passing(nonnegative: bool = False) -> Callable[[Call], Rule]:
    """The same for a module with settings of its own (slope, approximation): it is called as it is."""

    def build(call: Call) -> Rule:
        assert call.module is not None
        module = call.module
        if getattr(module, "inplace", False):  # others may still need what it would write over
            module = copy.copy(module)
            module.inplace = False  # type: ignore[assignment]
        return Passing(module, nonnegative)

    return build


def function_passing(function: Callable[..., Tensor], nonnegative: bool = False) -> Callable[[Call], Rule]:
    """The same for a function with settings of its own: it is called with those of this call."""

    def build(call: Call) -> Rule:
        args, kwargs = call.rest()
        if function in _LAST_IS_IN_PLACE:  # others may still need what it would write over
            kwargs["inplace"], args = False, args[: _LAST_IS_IN_PLACE[function]]
        return Passing(lambda x: function(x, *args, **kwargs), nonnegative)

    return build


# how many settings come before ``inplace``
_LAST_IS_IN_PLACE: dict[Any, int] = {F.leaky_relu: 1, F.elu: 1, F.celu: 1, F.hardtanh: 2, F.mish: 0}


def clamp(call: Call) -> Rule:
    args, kwargs = call.rest()
    low = call.get(1, "min", None)
    return Passing(lambda x: torch.clamp(x, *args, **kwargs), isinstance(low, int | float) and low >= 0)


def identity(call: Call) -> Rule:
    return Identity()


def dropout_module(call: Call) -> Rule:
    if call.module is not None and call.module.training:
        raise call.refuse("it drops at random in evaluation too; make it a module of the network")
    return Identity()


def dropout(call: Call) -> Rule:
    if call.get(2, "training", True):
        raise call.refuse("it drops at random in evaluation too; pass training=self.training")
    return Identity()
