"""Convolutions by the gamma rule: evidence for an output counts more than evidence against it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from tff_core.lrp.rules.base import Call, Rule, stabilise
from tff_core.lrp.rules.linear import Conv, conv2d, transposed

GAMMA = 0.25
"""How much more, by default (Montavon et al. 2019)."""


class _Signs(NamedTuple):
    """What the convolution keeps, and where its output is positive and negative."""

    seen: Any
    positive: Tensor
    negative: Tensor


class Gamma(Conv):
    """Convolution by the generalised gamma rule; the bias takes its share.

    With ``v = w + gamma w+`` and ``u = w + gamma w-``, an output ``y > 0`` hands its relevance out in
    proportion to ``x+ v + x- u``, an output ``y < 0`` in proportion to ``x+ u + x- v``, over the sum of these
    and of the bias, which is changed as the weights beside ``x+`` are. For an input that cannot be negative
    and ``y > 0`` this is the gamma rule of Montavon et al. (2019); the other cases are those of Andeol et al.
    (2021). An output of zero hands nothing out. With ``bounds`` it is the z^B rule, as in `Conv`.
    """

    gamma = GAMMA

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        y, seen = super().forward(*inputs)
        # the next operation may overwrite y
        return y, seen if self.bounds is not None else _Signs(seen, y > 0, y < 0)

    def prepare(self, saved: Any) -> Any:
        return saved if self.bounds is None else super().prepare(saved)

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        if self.bounds is not None:
            return super().relevance(r, saved)
        seen, geometry = saved.seen, self._geometry(saved.seen)
        out: Tensor | None = None
        for there, sign, other in ((saved.positive, "+", "-"), (saved.negative, "-", "+")):
            own = torch.where(there, r, torch.zeros_like(r))
            # after a rectifier no relevance arrives where the output is negative
            if out is not None and not bool(own.any()):
                continue
            parts = [(seen.x.clamp(min=0) if self.signed else seen.x, self._raised(sign))]
            parts += [(seen.x.clamp(max=0), self._raised(other))] if self.signed else []
            s = own / stabilise(self._denominator(parts, geometry).add_(self._shift(sign)))
            for x, weight in parts:
                share = transposed(s, x, weight, geometry).mul_(x)
                out = share if out is None else out.add_(share)
        assert out is not None
        (top, left), (height, width) = seen.corner, seen.size
        return (out[..., top : top + height, left : left + width],)

    def _raised(self, sign: str) -> Tensor:
        """w + gamma w+, or w + gamma w-."""
        key = f"gamma{sign}"
        if key not in self._halves:
            self._halves[key] = self.weight + self.gamma * self._half(sign)
        return self._halves[key]

    def _shift(self, sign: str) -> Tensor | float:
        if self.bias is None:
            return 0.0
        half = self.bias.clamp(min=0) if sign == "+" else self.bias.clamp(max=0)
        return (self.bias + self.gamma * half).view(-1, 1, 1)


def gamma(call: Call) -> Rule:
    """Builds the rule of a convolution, which is computed as `conv2d` says."""
    c = conv2d(call)
    assert isinstance(c, Conv)
    return Gamma(c.weight, c.bias, c.stride, c.padding, c.dilation, c.groups)
