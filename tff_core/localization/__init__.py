"""Where is a picture fake? Patch classifiers (Chai et al., ECCV 2020), which judge every patch by itself.

>>> import torch
>>> from tff_core import localization
>>> net = localization.build("xception_block2")
>>> net(torch.zeros(1, 3, 64, 64)).shape, net.fake_class
(torch.Size([1, 2, 8, 8]), 0)
>>> localization.field("xception_block2")
Field(size=43, jump=8, start=-18)
>>> localization.heatmap(net, torch.zeros(1, 3, 64, 64)).shape
torch.Size([1, 8, 8])
"""

from tff_core.localization.maps import INPUT, heatmap, margin, probability, to_pixels
from tff_core.localization.networks import INITIALISATIONS, NAMES, PatchClassifier, build
from tff_core.localization.receptive import Field, box, boxes, field, map_size, patch
from tff_core.localization.weights import load, save

__all__ = [
    "INITIALISATIONS",
    "INPUT",
    "NAMES",
    "Field",
    "PatchClassifier",
    "box",
    "boxes",
    "build",
    "field",
    "heatmap",
    "load",
    "map_size",
    "margin",
    "patch",
    "probability",
    "save",
    "to_pixels",
]
