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

from tff_core.lrp.rules import pooling, shapes, sums
from tff_core.lrp.rules.activations import (
    clamp,
    dropout,
    dropout_module,
    function_passing,
    identity,
    module_passing,
    passing,
)
from tff_core.lrp.rules.base import Call, Rule, Table
from tff_core.lrp.rules.gamma import gamma
from tff_core.lrp.rules.linear import batchnorm, conv2d, linear, linear_function

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
    nn.Dropout: dropout_module,
    nn.Dropout2d: dropout_module,
    F.dropout: dropout,
    StochasticDepth: identity,
    "contiguous": identity,
    nn.MaxPool2d: pooling.maxpool_module,
    F.max_pool2d: pooling.maxpool_function,
    torch.max_pool2d: pooling.maxpool_function,
    nn.AvgPool2d: pooling.avgpool_module,
    F.avg_pool2d: pooling.avgpool_function,
    nn.AdaptiveAvgPool2d: pooling.adaptive_module,
    F.adaptive_avg_pool2d: lambda call: pooling.adaptive(call.get(1, "output_size", 1)),
    "mean": pooling.mean,
    torch.mean: pooling.mean,
    operator.add: sums.add,
    operator.iadd: sums.add,
    torch.add: sums.add,
    "add": sums.add,
    "add_": sums.add,
    operator.mul: sums.multiply,
    operator.imul: sums.multiply,
    torch.mul: sums.multiply,
    "mul": sums.multiply,
    "mul_": sums.multiply,
    nn.Flatten: shapes.reshape,
    torch.flatten: shapes.reshape,
    "flatten": shapes.reshape,
    "view": shapes.reshape,
    "reshape": shapes.reshape,
    torch.reshape: shapes.reshape,
    torch.cat: shapes.cat,
    torch.concat: shapes.cat,
    torch.concatenate: shapes.cat,
    **dict.fromkeys(
        (
            "flatten",
            "unflatten",
            "squeeze",
            "unsqueeze",
            torch.squeeze,
            torch.unsqueeze,
            torch.unflatten,
            nn.Unflatten,
        ),
        shapes.reshape,
    ),
    **dict.fromkeys(
        (
            "permute",
            "transpose",
            "swapaxes",
            "swapdims",
            torch.permute,
            torch.transpose,
            torch.swapaxes,
            torch.swapdims,
        ),
        shapes.permute,
    ),
    **dict.fromkeys(("chunk", "split", "unbind", torch.chunk, torch.split, torch.unbind), shapes.split),
    **dict.fromkeys(("narrow", torch.narrow), shapes.narrow),
    **dict.fromkeys(("expand", "expand_as"), shapes.expand),
    **dict.fromkeys((nn.ChannelShuffle, F.channel_shuffle, torch.channel_shuffle), shapes.shuffle),
    **dict.fromkeys((nn.ZeroPad2d, F.pad), shapes.pad),
    operator.getitem: shapes.item,
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), sums.subtract),
    **dict.fromkeys(
        (operator.truediv, operator.itruediv, torch.div, torch.true_divide, "div", "div_"), sums.divide
    ),
    **dict.fromkeys(("sum", torch.sum), pooling.total),
    **dict.fromkeys(("amax", "max", torch.amax, torch.max), pooling.largest),
    **dict.fromkeys((nn.AdaptiveMaxPool2d, F.adaptive_max_pool2d), pooling.adaptive_max),
    **dict.fromkeys((nn.Hardtanh, nn.Softplus, nn.Mish, nn.CELU, nn.SELU, nn.PReLU), module_passing()),
    **{f: function_passing(f) for f in (F.leaky_relu, F.elu, F.celu, F.gelu, F.mish, F.hardtanh, F.softplus)},
    **dict.fromkeys((F.relu_, torch.relu_), _relu),
    **dict.fromkeys((torch.special.expit, "sigmoid_", torch.sigmoid_), _sigmoid),
    **dict.fromkeys(("clamp", "clamp_", torch.clamp), clamp),
    **dict.fromkeys((F.dropout2d, F.dropout1d), dropout),
    **dict.fromkeys((nn.Dropout1d, nn.AlphaDropout), dropout_module),
    **dict.fromkeys(("clone", torch.clone), identity),
    nn.BatchNorm1d: batchnorm,
    F.linear: linear_function,
}

EPSILON_GAMMA: Table = RULES | dict.fromkeys(
    (nn.Conv2d, Conv2dDynamicSamePadding, Conv2dStaticSamePadding), gamma
)
"""The composite that is used most beside z+: gamma for convolutions, epsilon for what is fully connected.

The rest is as in `RULES`, z^B for pixels included. Source: Montavon et al. 2019, "Layer-wise relevance
propagation: an overview".
"""

NAMED: dict[str, Table] = {"zplus": RULES, "epsilon-gamma": EPSILON_GAMMA}
"""Tables by name, for ``canonize(model, rules=...)``."""
