"""Layer-wise relevance propagation: one forward, one reverse walk, no autograd.

>>> import torch, torchvision
>>> from tff_core import lrp
>>> net = lrp.canonize(torchvision.models.resnet18(num_classes=1).eval())
>>> out = lrp.relevance(net, torch.randn(2, 3, 64, 64))
>>> out.logit.shape, out.maps["conv1"].shape
(torch.Size([2, 1]), torch.Size([2, 64, 32, 32]))
"""

from tff_core.lrp.canonize import Net, canonize, trace
from tff_core.lrp.rules import EPSILON_GAMMA, NAMED, RULES, Call, NoRule, Rule, passing
from tff_core.lrp.walk import Neuron, Relevance, relevance

__all__ = [
    "EPSILON_GAMMA",
    "NAMED",
    "RULES",
    "Call",
    "Net",
    "Neuron",
    "NoRule",
    "Relevance",
    "Rule",
    "canonize",
    "passing",
    "relevance",
    "trace",
]
