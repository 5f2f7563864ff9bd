"""Sums of branches, and products with a gate."""

from __future__ import annotations

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
        return POINT  # the gate's own dependence is that of the pooling it comes from


def add(call: Call) -> Rule:
    if len(call.inputs) != 2 or call.get(2, "alpha", 1) != 1:
        raise call.refuse(
            "expected the sum of two tensors; write the sum so, or add a rule for it to the table"
        )
    return Add()


_SIGMOIDS: tuple[Any, ...] = (nn.Sigmoid, nn.Hardsigmoid, torch.sigmoid, F.sigmoid, F.hardsigmoid, "sigmoid")


def multiply(call: Call) -> Rule:
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
