"""The same numbers in another order, shape or company."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from tff_core.lrp.rules.base import POINT, Call, Reach, Rule


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
        return POINT


def flatten(call: Call) -> Rule:
    m = call.module
    if isinstance(m, nn.Flatten):
        start, end = m.start_dim, m.end_dim
    else:
        start, end = call.get(1, "start_dim", 0), call.get(2, "end_dim", -1)
    if (start, end) not in ((1, -1), (1, 3)):
        raise call.refuse(f"expected flatten from axis 1 to the end, found {start} to {end}")
    return Flatten()


def reshape(call: Call) -> Rule:
    sizes: tuple[Any, ...] = call.node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    if len(sizes) != 2 or sizes[1] != -1 or not isinstance(sizes[0], fx.Node):
        raise call.refuse("expected x.view(x.size(0), -1); use torch.flatten(x, 1)")
    return Flatten()


def cat(call: Call) -> Rule:
    if call.get(1, "dim", 0) not in (1, -3):
        raise call.refuse("expected a concatenation along the channels, torch.cat(..., 1)")
    return Concatenate()
