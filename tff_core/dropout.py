"""Feature-map dropout: set chosen maps to zero at the output of their convolution and see what is lost.

The zero is set before batch normalisation, so what the network sees of a dropped map is the constant
beta - gamma mean / sqrt(var + eps), not zero. Source: paper, section 5 (sensitivity assessments).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from tff_core.lrp import Net
from tff_core.names import FeatureMap


def _by_layer(maps: Iterable[FeatureMap]) -> dict[str, list[FeatureMap]]:
    layers: dict[str, list[FeatureMap]] = {}
    for m in maps:
        layers.setdefault(m.layer, []).append(m)
    return layers


def _channels(layer: str, chosen: list[FeatureMap], found: int) -> Tensor:
    for m in chosen:
        if m.channels != found:
            raise ValueError(
                f"feature map {str(m)!r} is of another network: layer {layer!r} has {found} channels here, "
                f"{m.channels} by its name"
            )
    return torch.tensor(sorted({m.channel for m in chosen}))


@contextlib.contextmanager
def feature_map_dropout(model: nn.Module, maps: Iterable[FeatureMap]) -> Iterator[nn.Module]:
    """Within the context, ``maps`` of ``model`` are zero at the output of their convolution.

    One hook a layer; the output is cloned, so nothing that the model keeps is written to, and the model is
    as before when the context ends. Raises ValueError where the model has no such map.
    """
    modules = dict(model.named_modules())
    handles = []
    try:
        for layer, chosen in _by_layer(maps).items():
            conv = modules.get(layer)
            if not isinstance(conv, nn.Conv2d):
                what = "no such module" if conv is None else f"a {type(conv).__name__}"
                raise ValueError(
                    f"feature map {str(chosen[0])!r}: expected a convolution {layer!r} in "
                    f"{type(model).__name__}, found {what}; is it a map of another network?"
                )
            index = _channels(layer, chosen, conv.out_channels)

            def hook(module: nn.Module, inputs: object, output: Tensor, index: Tensor = index) -> Tensor:
                return output.index_fill(1, index.to(output.device), 0.0)

            handles.append(conv.register_forward_hook(hook))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def fold_dropout(net: Net, maps: Iterable[FeatureMap]) -> Net:
    """A copy of ``net`` in which ``maps`` are dropped; it runs as fast, and shares all other layers.

    In the folded convolution a dropped map is its row of weights set to zero and its bias to the constant
    beta - gamma mean / sqrt(var + eps) that `feature_map_dropout` leaves after batch normalisation.
    Raises ValueError where the network has no such map.
    """
    changed = {}
    for layer, chosen in _by_layer(maps).items():
        conv = net.conv(layer)
        index = _channels(layer, chosen, len(conv.weight)).to(conv.weight.device)
        bias = None
        if conv.bias is not None:
            assert conv.dropped is not None
            bias = conv.bias.index_copy(0, index, conv.dropped[index])
        changed[layer] = conv.with_weights(conv.weight.index_fill(0, index, 0.0), bias)
    return net.with_convs(changed)
