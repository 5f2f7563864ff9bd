"""Who made it: generator attribution with a primary module that detects and a secondary for each source.

>>> import torch
>>> from tff_core import attribution
>>> net = attribution.build(kind="pixel", size=64, sources=2)
>>> out = net(torch.zeros(4, 3, 64, 64))
>>> out.detection.shape, out.attribution.shape
(torch.Size([4]), torch.Size([4, 2]))
"""

from tff_core.attribution.baselines import Baseline, Network, baseline
from tff_core.attribution.keras_files import load_keras
from tff_core.attribution.networks import (
    Attributor,
    Output,
    build,
    folded,
    parameters,
)

__all__ = [
    "Attributor",
    "Baseline",
    "Network",
    "Output",
    "baseline",
    "build",
    "folded",
    "load_keras",
    "parameters",
]
