"""The reverse walk: from a logit, or from one neuron, back to every feature map and to the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tff_core.lrp.canonize import Net

OnLayer = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Neuron:
    """One position of one feature map, where relevance 1 starts (paper, supplementary: LRP-max).

    ``channel``, ``row`` and ``col`` are numbers, or sequences with one number for each picture of the
    batch; or, for a single picture, of any length: one row of relevance each, for the cost of one forward
    pass. Where the neuron is not active (its folded output is not positive) nothing starts.
    """

    layer: str
    channel: int | Sequence[int]
    row: int | Sequence[int]
    col: int | Sequence[int]


@dataclass(frozen=True)
class Relevance:
    """The result of a walk.

    ``logit`` is (N, 1), or (N, K) for a network with several logits and no target; None where the walk
    started at a neuron. ``maps`` holds the relevance (N, C, h, w) at the output of every convolution (after
    its batch normalisation, before the activation), in the order of the network; empty when streaming.
    ``pixels`` is (N, 3, H, W), or None if not requested.
    """

    logit: Tensor | None
    maps: dict[str, Tensor]
    pixels: Tensor | None


@torch.no_grad()
def relevance(
    net: Net,
    x: Tensor,
    start: str | Tensor | Neuron = "logit",
    pixels: bool = False,
    on_layer: OnLayer | None = None,
) -> Relevance:
    """Propagate relevance through the network.

    Args:
        net: from `canonize`.
        x: pictures (N, 3, H, W), normalised, in the precision and on the device of ``net``.
        start: "logit" explains f(x) where the network says fake (f > 0) and -f(x) where it says real, so
            that relevance starts at +abs(f) and is positive for evidence in favour of the decision
            (``canonize(reference=True)``: at the sign of f, as the paper's code does). Or the start itself:
            a tensor (N, 1) (or (N, K), K the number of logits), or a `Neuron`.
        pixels: also go through the first convolution, to the picture.
        on_layer: called as on_layer(layer, relevance (N, C, h, w)) from the last layer to the first;
            nothing is kept then, and memory does not grow with depth. The tensor may be kept; it must not
            be written to.

    Returns:
        `Relevance`.

    Raises:
        ValueError: wrong shape, precision or device of ``x``; several logits and no target; a start of the
            wrong shape; a neuron that does not exist.

    Source: paper, section 4 and supplementary (LRP-z+ with beta = 0); Bach et al. 2015.
    """
    net.check(x)
    maps: dict[str, Tensor] = {}
    report = on_layer or maps.__setitem__
    tape: list[Any] = []
    logit: Tensor | None = None
    if isinstance(start, Neuron):
        net.conv(start.layer)
        y = net.forward(x, tape, net.index[start.layer])
        r = one_hot(start, y)
    else:
        y = net.forward(x, tape)
        logit = _logit(net, y)
        r = start_at(net, start, y)
    del y
    found = walk_back(net, r, tape, pixels, report)
    return Relevance(logit, {k: maps[k] for k in net.layers if k in maps}, found)


def one_hot(neuron: Neuron, y: Tensor) -> Tensor:
    """Relevance 1 at the neuron, if it is active in the layer's output ``y``; a row for each neuron."""
    channels, height, width = y.shape[1:]
    lengths = {len(v) for v in (neuron.channel, neuron.row, neuron.col) if not isinstance(v, int)}
    n = max(lengths, default=1) if len(y) == 1 else len(y)
    index = []
    for name, given, size in (
        ("channel", neuron.channel, channels),
        ("row", neuron.row, height),
        ("col", neuron.col, width),
    ):
        value = torch.as_tensor(given).expand(n) if isinstance(given, int) else torch.as_tensor(given)
        if value.shape != (n,) or bool(((value < 0) | (value >= size)).any()):
            raise ValueError(
                f"neuron of layer {neuron.layer!r}: {name} {given!r} does not fit: expected one number, "
                f"or {n} of them, each from 0 to {size - 1}"
            )
        index.append(value.to(y.device))
    rows = torch.arange(n, device=y.device)
    r = torch.zeros((n, channels, height, width), dtype=y.dtype, device=y.device)
    r = r.contiguous(memory_format=torch.channels_last)
    r[(rows, *index)] = (y[(rows if len(y) == n else 0, *index)] > 0).to(y.dtype)
    return r


def start_at(net: Net, start: str | Tensor, y: Tensor) -> Tensor:
    """Relevance at the network's output ``y`` (N, K); ``start`` and errors as for `relevance`."""
    logit = _logit(net, y)
    if isinstance(start, Tensor):
        if start.shape not in (logit.shape, y.shape):
            raise ValueError(
                f"start has shape {tuple(start.shape)}: expected {tuple(logit.shape)}, one row a picture"
            )
        start = start.to(y)
    elif start == "logit":
        if logit.ndim != 2 or logit.shape[1] != 1:
            raise ValueError(
                f"the network has outputs of shape {tuple(logit.shape)}: say which logit to explain, "
                "canonize(model, target=...), or give the start relevance as a tensor"
            )
        start = logit.sign() if net.reference else logit.abs()
    else:
        raise ValueError(f"start is {start!r}: expected 'logit', a tensor of start relevances, or a Neuron")
    if start.shape == y.shape:
        return start.clone()
    r = torch.zeros_like(y)
    assert net.target is not None
    r[:, net.target] = start[:, 0]
    return r


def _logit(net: Net, y: Tensor) -> Tensor:
    return y if net.target is None else y[:, net.target : net.target + 1]


def walk_back(net: Net, r: Tensor, tape: list[Any], pixels: bool, report: OnLayer) -> Tensor | None:
    """From relevance ``r`` at the output of the last step on ``tape`` down to the first convolution.

    Each activation on the tape is freed as the walk passes it. Returns the relevance of the pixels if
    asked for.
    """
    arriving: dict[int, Tensor] = {len(tape): r}
    del r
    while tape:
        saved = tape.pop()
        i = len(tape)
        step = net.steps[i]
        if i + 1 not in arriving:
            continue
        r = arriving.pop(i + 1)
        if step.layer:
            report(step.name, r)
        wanted = [j for j in step.inputs if j > 0 or pixels]
        if not wanted:
            continue
        shares = step.rule.relevance(r, saved)
        del r, saved
        for j, share in zip(step.inputs, shares, strict=True):
            if share is None or (j == 0 and not pixels):
                continue
            # a value read by several operations sums the relevance from all of them
            arriving[j] = arriving[j].add_(share) if j in arriving else share
        del shares
    return arriving.get(0)
