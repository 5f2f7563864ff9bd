"""Tasks that share feature maps: which maps these are, and what each task looks at among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core import lrp
from tff_core.features import rankings
from tff_core.features.ffrs import Omega
from tff_core.lrp.canonize import Step
from tff_core.pictures import data

Floats = NDArray[np.float64]


def shared_layers(nets: Mapping[str, lrp.Net]) -> list[str]:
    """The convolutions that all networks have in common: those before the first operation that differs.

    Operations are the same if they have one name, read the same values and hold the same weights. Raises
    ValueError where there are fewer than two networks, or the first operation differs already.
    """
    first, *others = nets.values()
    if not others:
        raise ValueError("one network alone shares no maps: expected the networks of two or more tasks")
    found = []
    for place, step in enumerate(first.steps):
        if not all(place < len(net.steps) and _same(step, net.steps[place]) for net in others):
            break
        if step.layer:
            found.append(step.name)
    if not found:
        raise ValueError(
            f"the networks {', '.join(nets)} have no layer in common: expected tasks that branch off from "
            "one network, with the same weights before the branch"
        )
    return found


def _same(one: Step, other: Step) -> bool:
    if (one.name, one.inputs, type(one.rule)) != (other.name, other.inputs, type(other.rule)):
        return False
    mine, theirs = ({k: v for k, v in vars(s.rule).items() if isinstance(v, Tensor)} for s in (one, other))
    return mine.keys() == theirs.keys() and all(
        torch.equal(v.cpu(), theirs[k].cpu()) for k, v in mine.items()
    )


@dataclass(frozen=True)
class Head:
    """What one task looks at among the shared maps.

    ``omega`` is that of the shared layers alone; ``shares`` (N, M) are the pictures behind it, each map's
    share of its layer's relevance, columns in the order of the layers. None where only omega is known: then
    nothing can be said about other pictures, and intervals over them are missing.
    """

    omega: Omega
    shares: Floats | None = None

    @classmethod
    def of(cls, omega: Omega, layers: Sequence[str]) -> Head:
        """From an omega of the whole network; ValueError where that lacks a layer."""
        for layer in layers:
            if layer not in omega.values:
                raise ValueError(
                    f"this omega has no layer {layer!r}: expected that of a network which shares "
                    f"{len(layers)} layers with the others; is it of another network?"
                )
        kept = set(layers)
        order = None if omega.order is None else tuple(m for m in omega.order if m.layer in kept)
        values = {layer: omega.values[layer] for layer in layers}
        poisoned = {layer: n for layer, n in omega.poisoned.items() if layer in kept}
        return cls(Omega(values, omega.count, omega.seen, omega.unsure, poisoned, order))


def look(
    net: lrp.Net,
    batches: data.Pictures,
    layers: Sequence[str],
    confidence: float = 0.9,
    threshold: float = 0.0,
    *,
    batch_size: int = 25,
) -> Head:
    """Omega of a task, and the pictures behind it, over the layers that it shares with others.

    Args:
        net: the task's network, with one logit.
        batches: the pictures that the task should say yes to, as the network takes them: fakes for detection,
            those of the source for a source. A tensor (N, C, H, W), or batches of them.
        layers: from `shared_layers`.
        confidence: a picture counts if its probability is at least this, in [0.5, 1).
        threshold: the logit at which that is one half. A calibrated one, where a source is rare among the
            pictures of training: its module may give no picture a probability of one half by itself.
        batch_size: pictures at a time, at most.

    Omega is that of `ffrs.ff_rs` (of the network with another bias, by the threshold), except that a picture
    whose relevance is zero throughout a layer counts there, with nothing. Raises ValueError where the
    confidence is out of range, no picture counts, or nothing in the shared maps speaks for the task.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(
            f"confidence is {confidence}: expected a probability from 0.5 up to, not including, 1"
        )
    least = threshold + math.log(confidence / (1 - confidence))
    columns = _columns(net.layers, layers)
    seen, found = 0, []
    for x in data.pictures(batches):
        sure = torch.cat([net(part)[:, net.target or 0] >= least for part in x.split(batch_size)])
        seen += len(x)
        if sure.any():
            found.append(rankings.shares(net, x[sure], batch_size=batch_size)[:, columns])
    if not found:
        raise ValueError(
            f"none of {seen} pictures has probability {confidence} or more: omega is a mean over such "
            "pictures; give others, train the network further, lower the confidence, or calibrate a threshold"
        )
    shares = np.concatenate(found).astype(np.float64)
    if not shares.any():
        raise ValueError(
            f"no map of {', '.join(layers)} speaks for the task in any of {len(shares)} pictures: expected a "
            "task that has learnt something; train it further"
        )
    ends = np.cumsum([net.layers[layer] for layer in layers])[:-1]
    values = dict(zip(layers, np.split(shares.mean(0), ends), strict=True))
    return Head(Omega(values, len(shares), seen, seen - len(shares)), shares)


def _columns(all_layers: Mapping[str, int], layers: Sequence[str]) -> list[int]:
    starts = dict(zip(all_layers, np.cumsum([0, *all_layers.values()])[:-1].tolist(), strict=True))
    return [starts[layer] + c for layer in layers for c in range(all_layers[layer])]


def layer_sizes(heads: Mapping[str, Head]) -> dict[str, int]:
    """The channels of every layer; ValueError unless all tasks have the same ones."""
    found = {name: {k: len(v) for k, v in head.omega.values.items()} for name, head in heads.items()}
    if len(found) < 2:
        raise ValueError(f"{len(found)} tasks: expected two or more to compare")
    (first, sizes), *others = found.items()
    for name, own in others:
        if list(own.items()) != list(sizes.items()):
            raise ValueError(
                f"{first} has layers {', '.join(sizes)}, {name} has {', '.join(own)}: expected the "
                "shared ones alone, see `shared_layers`"
            )
    return sizes


def depth(heads: Mapping[str, Head]) -> int:
    """The largest k for which no ranking is arbitrary: the fewest maps of a task that have any relevance."""
    return min(sum(int((v > 0).sum()) for v in head.omega.values.values()) for head in heads.values())


def check_k(heads: Mapping[str, Head], k: int) -> None:
    """ValueError unless ``k`` is from 1 to `depth`: maps without any relevance have no order."""
    if k < 1:
        raise ValueError(f"k is {k}: expected 1 to {depth(heads)}, the maps with relevance for every task")
    for name, head in heads.items():
        known = depth({name: head})
        if k > known:
            raise ValueError(
                f"k is {k}, and {name} has {known} maps with any relevance: the order of the others is "
                f"arbitrary; expected at most {depth(heads)}, see `depth`"
            )
