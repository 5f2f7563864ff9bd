"""Do the feature maps that detect a fake also tell who made it? Tasks that share layers, compared.

A network that detects and attributes computes some feature maps once, for all its tasks, and each task goes
on from there by itself. Omega of every task ranks the shared maps. Two rankings are compared by the maps that
both have among their first k (`overlap`) and by their order within each layer (`correlation`), both against
chance and against a task that has learnt nothing (`specific`); and by what dropping one task's first k maps
does to another task (`scores`, `breakage`).

The tasks are networks with one logit each, as `tff_core.lrp.canonize` makes them. An addition to both papers,
of which one defines omega (section 4) and the other such networks (Khoo, Lim and Phan, 2022).
"""

from tff_core.features.bridge.comparison import ALL, chance, correlation, overlap
from tff_core.features.bridge.crossing import breakage, scores
from tff_core.features.bridge.heads import Head, depth, look, shared_layers
from tff_core.features.bridge.untrained import ORDER, shuffled, specific, untrained

__all__ = [
    "ALL",
    "ORDER",
    "Head",
    "breakage",
    "chance",
    "correlation",
    "depth",
    "look",
    "overlap",
    "scores",
    "shared_layers",
    "shuffled",
    "specific",
    "untrained",
]
