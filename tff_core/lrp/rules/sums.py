"""Sums and differences of branches, products with a gate, and with constants."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tff_core.lrp.rules.base import POINT, Call, Reach, Rule, ratio, stabilise


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
        s = ratio(r, stabilise(a + b))
        return a * s, s.mul_(b)

    def nonnegative(self, *inputs: bool) -> bool:
        return self.rectified or all(inputs)

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT


class Subtract(Rule):
    """Difference ``a - b``: the sum of ``a`` and ``-b``, with the same rule."""

    fresh = True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[0] - inputs[1], inputs

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        a, b = saved
        s = ratio(r, stabilise(a - b))
        return a * s, s.mul_(b).neg_()

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT


class Constant(Rule):
    """Addition, subtraction, multiplication or division by a number or a tensor of the network.

    A factor passes relevance unchanged; a summand is a bias and takes its share (epsilon rule, as in
    `Linear`). ``rescales`` marks what is done to the picture before its first convolution: a change of
    scale, in which pixels keep their relevance (the z^B rule does not depend on the scale of its input).
    """

    fresh = True

    def __init__(self, operation: Callable[[Any, Any], Tensor], value: Tensor | float, first: bool) -> None:
        self.operation, self.value, self.first = operation, value, first
        self.rescales = False  # set by canonize

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        (x,) = inputs
        value = self.value.to(x) if isinstance(self.value, Tensor) else self.value
        y = self.operation(value, x) if self.first else self.operation(x, value)
        return y, None if self._factor or self.rescales else (x, y)

    @property
    def _factor(self) -> bool:
        return self.operation in (torch.mul, torch.div)

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        if saved is None:
            return (r,)
        x, y = saved
        part = -x if self.operation is torch.sub and self.first else x
        return (part * (r / stabilise(y.clone())),)

    def nonnegative(self, *inputs: bool) -> bool:
        kept = self.operation in (torch.add, torch.mul, torch.div)
        return inputs[0] and kept and bool(torch.as_tensor(self.value >= 0).all())

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT


class Gate(Rule):
    """Product with a sigmoid gate, ``(gate, value)`` or ``(value, gate)``: all relevance to the value."""

    def __init__(self, gate: int) -> None:
        self.gate = gate

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[1 - self.gate] * inputs[self.gate], None

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (None, r) if self.gate == 0 else (r, None)

    def receives(self, position: int) -> bool:
        return position != self.gate

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[1 - self.gate]

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT  # the gate's own reach is that of the pooling it comes from


def _constant(call: Call, operation: Callable[[Any, Any], Tensor]) -> Rule | None:
    """The rule where one of the two operands is a constant of the network."""
    if len(call.inputs) != 1:
        return None
    operands = (call.get(0, "input", None), call.get(1, "other", None))
    first = operands[1] is call.inputs[0]
    value = operands[0] if first else operands[1]
    if not (first or operands[0] is call.inputs[0]) or (first and operation is torch.div):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
        return None
    if call.shape() != call.shape(call.inputs[0]):
        raise call.refuse("the constant has more places than the tensor; expected one number for each")
    return Constant(operation, value, first)


def _of_one_shape(call: Call) -> bool:
    return len(call.inputs) == 2 and call.shape(call.inputs[0]) == call.shape(call.inputs[1])


def add(call: Call) -> Rule:
    plain = call.get(2, "alpha", 1) == 1
    if plain and (found := _constant(call, torch.add)):
        return found
    if not (plain and _of_one_shape(call)):
        raise call.refuse(
            "expected the sum of two tensors of one shape; write it so, or add a rule for it to the table"
        )
    return Add()


def subtract(call: Call) -> Rule:
    plain = call.get(2, "alpha", 1) == 1
    if plain and (found := _constant(call, torch.sub)):
        return found
    if not (plain and _of_one_shape(call)):
        raise call.refuse(
            "expected the difference of two tensors of one shape, or of a tensor and a constant"
        )
    return Subtract()


def divide(call: Call) -> Rule:
    found = _constant(call, torch.div) if call.get(2, "rounding_mode", None) is None else None
    if found is None:
        raise call.refuse(
            "expected a tensor divided by a constant: relevance has no rule for other quotients"
        )
    return found


_SIGMOIDS: tuple[Any, ...] = (
    nn.Sigmoid, nn.Hardsigmoid, torch.sigmoid, torch.special.expit, F.sigmoid, F.hardsigmoid, "sigmoid",
    "sigmoid_",
)  # fmt: skip
_LIMITED: tuple[Any, ...] = (nn.ReLU6, F.relu6, nn.Hardtanh, F.hardtanh, "clamp", torch.clamp)
# operations that pass a gate on in another shape, or scaled
_CARRIERS: tuple[Any, ...] = (
    "view", "reshape", torch.reshape, "unsqueeze", torch.unsqueeze, "squeeze", torch.squeeze, "expand",
    "expand_as", "permute", torch.permute, "transpose", torch.transpose, "contiguous", nn.Identity,
    nn.Dropout,     operator.getitem,
)  # fmt: skip
_SCALED: tuple[Any, ...] = (operator.truediv, torch.div, "div", operator.mul, torch.mul, "mul")
_SHIFTED: tuple[Any, ...] = (operator.add, torch.add, "add", operator.iadd)


def multiply(call: Call) -> Rule:
    found = _constant(call, torch.mul)
    if found is not None:
        return found

    def key(node: fx.Node) -> Any:
        return type(call.modules[str(node.target)]) if node.op == "call_module" else node.target

    def source(node: fx.Node) -> fx.Node | None:
        """The single tensor that an operation acts on."""
        found = [n for n in node.all_input_nodes if call.shape(n) is not None]
        return found[0] if found and (len(found) == 1 or key(node) == "expand_as") else None

    def is_gate(node: fx.Node | None) -> bool:
        """A sigmoid, also in another shape, or as older networks write it: relu6(x + 3) / 6."""
        while node is not None and key(node) in (*_CARRIERS, *_SCALED):
            node = source(node)
        if node is None or key(node) in _SIGMOIDS:
            return node is not None
        before = source(node) if key(node) in _LIMITED else None
        return before is not None and key(before) in _SHIFTED and source(before) is not None

    gates = [is_gate(node) for node in call.inputs]
    if len(gates) != 2 or sum(gates) != 1 or call.shape() != call.shape(call.inputs[1 - gates.index(True)]):
        raise call.refuse(
            "expected the product of a tensor and a sigmoid gate, so that relevance can go to the tensor; "
            "add a rule for this product to the table"
        )
    return Gate(gates.index(True))
