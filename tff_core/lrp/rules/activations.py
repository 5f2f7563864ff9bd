"""Operations of single numbers: relevance passes unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from tff_core.lrp.rules.base import POINT, Call, Reach, Rule


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
        return POINT


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


def passing(function: Callable[[Tensor], Tensor], nonnegative: bool = False) -> Callable[[Call], Rule]:
    """A table entry for an elementwise activation through which relevance passes unchanged."""
    return lambda call: Passing(function, nonnegative)


def module_passing(nonnegative: bool = False) -> Callable[[Call], Rule]:
    """The same for a module with settings of its own (slope, approximation): it is called as it is."""

    def build(call: Call) -> Rule:
        assert call.module is not None
        return Passing(call.module, nonnegative)

    return build


def identity(call: Call) -> Rule:
    return Identity()


def dropout(call: Call) -> Rule:
    if call.get(2, "training", True):
        raise call.refuse("it drops at random in evaluation too; pass training=self.training")
    return Identity()
