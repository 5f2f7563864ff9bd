"""A patch classifier as a detector of whole pictures, with one logit: what is asked of those is asked of it.

The logit is the mean over the map of fake minus real. Because the head is linear at every cell, that is also
the head of the mean of the cells, with the difference of the two logits' weights: the usual end of a
classifier, for which the relevance of the paper's detectors is defined. Below the head nothing changes.

A function for each network, ``tff_core.localization.detector:xception_block2``, makes it untrained, which is
what `tff_core.detectors.architecture` asks of an import path.

Source: the relevance is that of `tff_core.lrp`; that patch classifiers are asked for it is an addition.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from tff_core import lrp
from tff_core.localization import networks
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.store.results import atomic_write


def as_detector(net: PatchClassifier) -> nn.Sequential:
    """The network with one logit for each picture, (N, 3, H, W) in [-1, 1] to (N, 1); it shares the trunk.

    Its modules are called as those of ``net``; the head alone, a linear layer, has weights of its own.
    """
    layers = OrderedDict(net.named_children())
    name, head = layers.popitem()
    if not net.whole:
        layers["avgpool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    assert isinstance(head, nn.Conv2d | nn.Linear) and head.bias is not None
    weight, bias = head.weight.detach().flatten(1), head.bias.detach()
    one = nn.Linear(weight.shape[1], 1).to(weight)
    with torch.no_grad():
        one.weight.copy_(weight[net.fake_class] - weight[net.real_class])
        one.bias.copy_(bias[net.fake_class] - bias[net.real_class])
    layers[name] = one
    return nn.Sequential(layers).train(net.training)


def canonize(net: PatchClassifier, preparation: Preparation | None = None) -> lrp.Net:
    """The copy of a patch classifier that relevance is propagated through; see `lrp.canonize`.

    Relevance starts from the mean over the map of fake minus real. For the pixels the bounds are those of
    pictures as ``preparation`` makes them (None: all of the pixels).
    """
    return lrp.canonize(as_detector(net).eval(), bounds=(preparation or Preparation()).preprocessing.bounds)


def write(detector: nn.Module, path: Path) -> Path:
    """Write the weights of a network from `as_detector`, completely or not at all; returns the path."""
    tensors = {name: value.contiguous() for name, value in detector.state_dict().items()}
    with atomic_write(path) as part:
        part.write_bytes(safetensors.torch.save(tensors))
    return path


def __getattr__(name: str) -> Callable[[], nn.Module]:
    try:
        networks.known(name)
    except ValueError as error:
        raise AttributeError(str(error)) from error

    def untrained() -> nn.Module:
        return as_detector(networks.build(name))

    untrained.__name__ = name
    return untrained
