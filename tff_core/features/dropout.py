"""Feature-map dropout: set chosen maps to zero at the output of their convolution and see what is lost.

The zero is set before batch normalisation, so what the network sees of a dropped map is the constant
beta - gamma mean / sqrt(var + eps), not zero. Source: paper, section 5 (sensitivity assessments).

Many sets of maps are dropped at once with `sweep`, which computes what they share only once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tff_core.features.names import FeatureMap
from tff_core.lrp import Net
from tff_core.lrp.rules import Identity, Passing

Plan = dict[int, tuple[Tensor, Tensor]]
"""The replacements: for each step of the network, channels (m,) of its output and their constants (m,)."""


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

    One hook per layer; outputs are cloned, so no tensor of the model is overwritten, and the model is
    restored when the context ends. Raises ValueError where the model has no such map.
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

    In the folded convolution, a dropped map's row of weights is set to zero and its bias to the constant
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


def plan(
    net: Net, maps: Iterable[FeatureMap], by: Literal["dropped"] | Mapping[str, Tensor] = "dropped"
) -> Plan:
    """Which channels of which steps of ``net`` are replaced by which constants, for `sweep`.

    ``by``: "dropped" is the paper's dropout, as in `fold_dropout`. Or the constants themselves, (C,) for each
    layer: they take the map's place after its activation, where the next operation reads it (see `site`).
    Raises ValueError where the network has no such map.
    """
    found: Plan = {}
    for layer, chosen in _by_layer(maps).items():
        conv = net.conv(layer)
        channels = _channels(layer, chosen, len(conv.weight)).to(conv.weight.device)
        if isinstance(by, str):
            constants = torch.zeros_like(conv.weight[:, 0, 0, 0]) if conv.dropped is None else conv.dropped
            found[net.index[layer]] = channels, constants[channels]
        else:
            found[site(net, layer)] = channels, by[layer].to(conv.weight)[channels]
    return found


def site(net: Net, layer: str) -> int:
    """The step whose output is the maps of ``layer`` as the next operation reads them.

    That is the activation that follows the convolution, or the convolution itself where none does (as before
    the sum of a residual block).
    """
    i = net.index[layer]
    readers = [j for j, step in enumerate(net.steps) if i + 1 in step.inputs]
    after = net.steps[readers[0]].rule if len(readers) == 1 else None
    return readers[0] if isinstance(after, Passing) and not isinstance(after, Identity) else i


@torch.no_grad()
def sweep(net: Net, x: Tensor, plans: Sequence[Plan], rows: int = 64) -> Iterator[tuple[int, Tensor]]:
    """Logits under many sets of replaced maps; the steps before a set's first layer are computed once.

    One pass through the network; where sets begin they branch off, several side by side in one batch of at
    most ``rows`` pictures. Equal to ``fold_dropout(net, maps)(x)`` for every set, up to rounding at
    another batch size. Memory does not grow with the number of sets.

    Args:
        net: from `lrp.canonize`.
        x: pictures (N, 3, H, W).
        plans: from `plan`; an empty one leaves the network unchanged.
        rows: pictures in a batch of branches; one set is never split.

    Yields:
        The number of the plan and its logits (N, K), in the order in which the plans begin.
    """
    net.check(x)
    begins: dict[int, list[int]] = {}
    for number, replaced in enumerate(plans):
        begins.setdefault(min(replaced, default=len(net.steps)), []).append(number)
    values = {0: x.contiguous(memory_format=torch.channels_last)}
    at_once = max(1, rows // max(1, len(x)))
    for i in range(min(max(begins, default=-1) + 1, len(net.steps))):
        y = _advance(net, values, i)
        waiting = begins.get(i, [])
        for first in range(0, len(waiting), at_once):
            chosen = waiting[first : first + at_once]
            # copies: an activation may overwrite what it reads
            forked = {j: torch.cat([value] * len(chosen)) for j, value in values.items()}
            found = _branch(net, forked, i, [plans[c] for c in chosen])
            yield from zip(chosen, found.split(len(x)), strict=True)
    for number in begins.get(len(net.steps), []):
        yield number, y


def _advance(net: Net, values: dict[int, Tensor], i: int) -> Tensor:
    """Compute step ``i`` and free the values that no later step reads."""
    step = net.steps[i]
    y, _ = step.rule.forward(*(values[j] for j in step.inputs))
    for j in set(step.inputs):
        if net.last_use[j] == i:
            del values[j]
    values[i + 1] = y
    return y


def _branch(net: Net, values: dict[int, Tensor], i: int, plans: Sequence[Plan]) -> Tensor:
    """From the output of step ``i`` to the logits, with the batch in equal parts, one per plan."""
    y = values[i + 1]
    size = len(y) // len(plans)
    while True:
        for part, replaced in zip(y.split(size), plans, strict=True):
            if i in replaced:
                channels, constants = replaced[i]
                part[:, channels] = constants[:, None, None]
        i += 1
        if i == len(net.steps):
            return y
        y = _advance(net, values, i)
