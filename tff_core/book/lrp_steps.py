"""The steps of *LRP from nothing*: a student's own function for a rule where there is one, else the engine's.

Everything here is on one picture or many, in the precision of its input; the notebook uses float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from tff_core import lrp
from tff_core.lrp import rules

LOW, HIGH = 0.0, 1.0  # the bounds of a pixel that is not normalised


def _back(rule: rules.Rule, r: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    found = rule.relevance(r, rule.forward(*inputs)[1])
    return tuple(share for share in found if share is not None)


def _conv(conv: nn.Conv2d) -> rules.Conv:
    padding: Any = conv.padding
    rule = rules.Conv(
        conv.weight.data, None, (conv.stride[0], conv.stride[1]), padding,
        (conv.dilation[0], conv.dilation[1]), conv.groups,
    )  # fmt: skip
    rule.nonnegative(True)
    return rule


def _zplus_conv(x: Tensor, conv: nn.Conv2d, r: Tensor) -> Tensor:
    return _back(_conv(conv), r, x)[0]


def _zplus_linear(x: Tensor, weight: Tensor, r: Tensor) -> Tensor:
    rule = rules.Conv(weight[..., None, None], None, (1, 1), (0, 0), (1, 1), 1)
    rule.nonnegative(True)
    return _back(rule, r[..., None, None], x[..., None, None])[0].flatten(1)


def _zb_conv(x: Tensor, conv: nn.Conv2d, r: Tensor, low: float, high: float) -> Tensor:
    rule = _conv(conv)
    rule.bounds = (low, high)
    return _back(rule, r, x)[0]


def _split(a: Tensor, b: Tensor, r: Tensor) -> tuple[Tensor, ...]:
    return _back(rules.Add(), r, a, b)


def _winner(x: Tensor, pool: nn.MaxPool2d, r: Tensor) -> Tensor:
    rule = rules.MaxPool(pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
    return _back(rule, r, x)[0]


def _average(x: Tensor, pool: nn.Module, r: Tensor) -> Tensor:
    places = x.shape[2] * x.shape[3]
    rule = rules.AveragePool(
        lambda a: a.mean((2, 3)), lambda s, a: (s / places)[..., None, None].expand_as(a)
    )
    return _back(rule, r, x)[0]


def _epsilon_linear(x: Tensor, linear: nn.Linear, r: Tensor) -> Tensor:
    return _back(rules.Linear(linear.weight.data, None if linear.bias is None else linear.bias.data), r, x)[0]


def _fold(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    scale, shift = rules.batchnorm_affine(bn)
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter(conv.weight.data * scale.view(-1, 1, 1, 1), requires_grad=False)
    bias = shift if conv.bias is None else shift + conv.bias.data * scale
    folded.bias = nn.Parameter(bias, requires_grad=False)
    return folded


def _through_block(block: nn.Module, x: Tensor, r: Tensor) -> Tensor:
    # behind a layer that changes nothing, at whose output the engine reports the relevance of x
    same = nn.Conv2d(x.shape[1], x.shape[1], 1, bias=False, dtype=x.dtype)
    nn.init.dirac_(same.weight)
    net = lrp.canonize(nn.Sequential(same, nn.ReLU(), block).eval().requires_grad_(False), example=x)
    return lrp.relevance(net, x, start=r).maps["0"]


@dataclass(frozen=True)
class Steps:
    """The rules by the names of the notebook's steps; each calls the function in ``own`` of the given name.

    Where ``own`` (a notebook passes ``globals()``) has no such function, or it raises NotImplementedError as
    an unsolved exercise does, the engine's rule takes its place. Without ``own`` all are the engine's.
    ``x`` is a layer's input, ``r`` the relevance of its output; each returns the relevance of the input.
    """

    own: Mapping[str, Any] = field(default_factory=dict)

    def _call(self, name: str, engine: Callable[..., Any], *given: Any) -> Any:
        function = self.own.get(name)
        if function is not None:
            try:
                return function(*given)
            except NotImplementedError:
                pass
        return engine(*given)

    def linear(self, x: Tensor, weight: Tensor, r: Tensor) -> Tensor:
        """z+ for ``x`` (N, in) that cannot be negative, weights (out, in), r (N, out): ``zplus_linear``."""
        found: Tensor = self._call("zplus_linear", _zplus_linear, x, weight, r)
        return found

    def conv(self, x: Tensor, conv: nn.Conv2d, r: Tensor) -> Tensor:
        """z+ of a convolution for ``x`` (N, C, H, W) that cannot be negative: ``zplus_conv``."""
        found: Tensor = self._call("zplus_conv", _zplus_conv, x, conv, r)
        return found

    def pixels(self, x: Tensor, conv: nn.Conv2d, r: Tensor, low: float, high: float) -> Tensor:
        """z^B of the convolution that sees the picture, whose values lie in [low, high]: ``zb_conv``."""
        found: Tensor = self._call("zb_conv", _zb_conv, x, conv, r, low, high)
        return found

    def sum(self, a: Tensor, b: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of two summands, in proportion to them: ``split``."""
        found: tuple[Tensor, Tensor] = self._call("split", _split, a, b, r)
        return found

    def max(self, x: Tensor, pool: nn.MaxPool2d, r: Tensor) -> Tensor:
        """Max pooling: the winner takes all: ``winner``."""
        found: Tensor = self._call("winner", _winner, x, pool, r)
        return found

    def mean(self, x: Tensor, pool: nn.Module, r: Tensor) -> Tensor:
        """Mean over all places; ``r`` is (N, C) and ``pool`` is not looked at: ``average``."""
        found: Tensor = self._call("average", _average, x, pool, r)
        return found

    def last(self, x: Tensor, linear: nn.Linear, r: Tensor) -> Tensor:
        """The epsilon rule of the last layer, with its bias: ``epsilon_linear``."""
        found: Tensor = self._call("epsilon_linear", _epsilon_linear, x, linear, r)
        return found

    def fold(self, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
        """One convolution that computes both: ``fold``."""
        found: nn.Conv2d = self._call("fold", _fold, conv, bn)
        return found

    def block(self, block: nn.Module, x: Tensor, r: Tensor) -> Tensor:
        """A basic block of a ResNet, for ``x`` that cannot be negative: ``through_block``."""
        found: Tensor = self._call("through_block", _through_block, block, x, r)
        return found


def dense(operation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The matrix (inputs, outputs) of a linear operation on pictures of the size of ``x`` (1, ...)."""
    units = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
    return operation(units).reshape(x.numel(), -1)


def dense_zplus(operation: Callable[[Tensor], Tensor], x: Tensor, r: Tensor) -> Tensor:
    """z+ of a linear operation, unit by unit from its matrix: relevance of ``x`` (1, ...), its shape."""
    contributions = x.flatten()[:, None] * dense(operation, x).clamp(min=0)
    total = contributions.sum(0)
    share = torch.where(total > 0, r.flatten() / total.clamp(min=1e-12), torch.zeros_like(total))
    return (contributions @ share).reshape(x.shape)


def small_net(seed: int = 0) -> nn.Sequential:
    """Two convolutions with random weights and biases, float64: (N, 3, H, W) to one logit."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1),
    )  # fmt: skip
    last = net[-1]
    assert isinstance(last, nn.Linear)
    # evidence for and against, and a bias that is not the whole of the logit
    with torch.no_grad():
        last.weight[0] = torch.tensor([3.0, -2.0] * 4)
        last.bias.fill_(0.05)
    return net.double().eval().requires_grad_(False)


def stripe_net() -> nn.Sequential:
    """A detector of vertical stripes two pixels wide, whose weights are written by hand; float64.

    Its first maps are the two signs of a second difference across the columns, and a blur that its second
    convolution does not read. Its logit is positive where such stripes are strong somewhere.
    """
    net = small_net()
    first, second, last = net[0], net[3], net[7]
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d) and isinstance(last, nn.Linear)
    for layer in (first, second, last):
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
    difference = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64) / 12
    first.weight[0], first.weight[1] = difference.expand(3, 3, 3), -difference.expand(3, 3, 3)
    first.weight[2] = 1 / 27
    second.weight[0, :2] = 1 / 9  # both signs, over a neighbourhood
    assert second.bias is not None and last.bias is not None
    second.bias[0] = -0.3  # less than this is no stripe
    last.weight[0, 0] = 30.0
    last.bias[0] = -0.5
    return net


def resnet18(seed: int = 0) -> nn.Module:
    """torchvision's ResNet-18 with one logit, random weights and random running statistics; float64."""
    torch.manual_seed(seed)
    net = torchvision.models.resnet18(num_classes=1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            with torch.no_grad():
                module.weight[::5] *= -1  # a scale below zero turns a map around
    found: nn.Module = net.double().eval().requires_grad_(False)
    return found
