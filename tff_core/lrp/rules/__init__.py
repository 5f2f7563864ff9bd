"""The rules: how relevance passes each operation of a network, and the table from operation to rule.

A rule computes its operation forward, returns what it needs to keep, and later turns the relevance of
its output into the relevance of its inputs. ``RULES`` maps what a traced network calls (a module class,
a function, or the name of a tensor method) to a builder of the rule; extend it with
``canonize(model, rules=lrp.RULES | {MyLayer: lambda call: MyRule(call.module)})``.

The rules are those of the paper (supplementary, LRP-z+ with the bias left out; after Montavon et al. 2019,
"Layer-wise relevance propagation: an overview", and Bach et al. 2015). ``EPSILON_GAMMA`` is another table,
with the gamma rule for convolutions; ``NAMED`` has both by name.
"""

from __future__ import annotations

from tff_core.lrp.rules.activations import Identity, Passing, passing
from tff_core.lrp.rules.base import (
    EPSILON,
    FLOOR,
    WHY_NOT,
    Call,
    Kernels,
    NoRule,
    Reach,
    Rule,
    Table,
    compiled_kernels,
    stabilise,
)
from tff_core.lrp.rules.gamma import Gamma
from tff_core.lrp.rules.linear import Affine, Conv, Linear, batchnorm_affine
from tff_core.lrp.rules.pooling import AveragePool, MaxPool
from tff_core.lrp.rules.shapes import Concatenate, Part, Permute, Reshape
from tff_core.lrp.rules.sums import Add, Constant, Gate
from tff_core.lrp.rules.table import EPSILON_GAMMA, NAMED, RULES

__all__ = [
    "EPSILON",
    "EPSILON_GAMMA",
    "FLOOR",
    "NAMED",
    "RULES",
    "WHY_NOT",
    "Add",
    "Affine",
    "AveragePool",
    "Call",
    "Concatenate",
    "Constant",
    "Conv",
    "Gamma",
    "Gate",
    "Identity",
    "Kernels",
    "Linear",
    "MaxPool",
    "NoRule",
    "Part",
    "Passing",
    "Permute",
    "Reach",
    "Reshape",
    "Rule",
    "Table",
    "batchnorm_affine",
    "compiled_kernels",
    "passing",
    "stabilise",
]  # fmt: skip
