"""The table from what a traced network calls to the builder of its rule."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from efficientnet_pytorch.utils import (
    Conv2dDynamicSamePadding,
    Conv2dStaticSamePadding,
    MemoryEfficientSwish,
)
from torch import nn
from torchvision.ops import StochasticDepth

from tff_core.lrp.rules.activations import dropout, identity, module_passing, passing
from tff_core.lrp.rules.base import Call, Rule
from tff_core.lrp.rules.linear import batchnorm, conv2d, linear
from tff_core.lrp.rules.pooling import (
    adaptive,
    adaptive_module,
    avgpool_function,
    avgpool_module,
    maxpool_function,
    maxpool_module,
    mean,
)
from tff_core.lrp.rules.shapes import cat, flatten, reshape
from tff_core.lrp.rules.sums import add, multiply

_relu, _sigmoid = passing(F.relu, nonnegative=True), passing(torch.sigmoid, nonnegative=True)
_silu, _hardsigmoid = passing(F.silu), passing(F.hardsigmoid, nonnegative=True)

# Looked up by exact type: a subclass may compute something else, so it needs an entry of its own.
RULES: dict[Any, Callable[[Call], Rule]] = {
    nn.Conv2d: conv2d,
    Conv2dDynamicSamePadding: conv2d,
    Conv2dStaticSamePadding: conv2d,
    nn.Linear: linear,
    nn.BatchNorm2d: batchnorm,
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
    nn.LeakyReLU: module_passing(),
    nn.GELU: module_passing(),
    nn.ELU: module_passing(),
    nn.Sigmoid: _sigmoid,
    torch.sigmoid: _sigmoid,
    F.sigmoid: _sigmoid,
    "sigmoid": _sigmoid,
    nn.Hardsigmoid: _hardsigmoid,
    F.hardsigmoid: _hardsigmoid,
    nn.Identity: identity,
    nn.Dropout: identity,
    nn.Dropout2d: identity,
    F.dropout: dropout,
    StochasticDepth: identity,
    "contiguous": identity,
    nn.MaxPool2d: maxpool_module,
    F.max_pool2d: maxpool_function,
    torch.max_pool2d: maxpool_function,
    nn.AvgPool2d: avgpool_module,
    F.avg_pool2d: avgpool_function,
    nn.AdaptiveAvgPool2d: adaptive_module,
    F.adaptive_avg_pool2d: lambda call: adaptive(call.get(1, "output_size", 1)),
    "mean": mean,
    torch.mean: mean,
    operator.add: add,
    operator.iadd: add,
    torch.add: add,
    "add": add,
    "add_": add,
    operator.mul: multiply,
    operator.imul: multiply,
    torch.mul: multiply,
    "mul": multiply,
    "mul_": multiply,
    nn.Flatten: flatten,
    torch.flatten: flatten,
    "flatten": flatten,
    "view": reshape,
    "reshape": reshape,
    torch.reshape: reshape,
    torch.cat: cat,
}
