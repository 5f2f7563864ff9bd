"""Does relevance depend on the answer that it explains? Relevances with different starts, layer by layer.

Sent back through a network, two relevances that start differently may come to point the same way. Where they
do, an explanation says nothing about what started it: neither which answer, nor what the last layers have
made of it. The measure is the cosine-similarity convergence of Sixt, Granz and Landgraf (When explanations
lie: why many modified BP attributions fail, ICML 2020): two random vectors start at the input of the last
layer, and in each layer below it the absolute cosine of what arrives is taken, picture by picture. It is 1
where a rule has converged (to a matrix of rank one), and near 0 between random directions of many dimensions.

A detector has a single logit, so that "another logit" needs a meaning. All rules are linear in the relevance
that they pass on: relevance for the answer "real", from -1 at the logit, is that for "fake" with the sign
changed in every place. What speaks for the one answer speaks against the other. So the question is whether an
explanation has both: `one_sided` measures, layer by layer, how little positive and negative relevance cancel,
abs(sum R) / sum abs(R). It is 1 where all relevance has one sign: then nothing in the layer speaks for the
other answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core import lrp
from tff_core.exam import similarity
from tff_core.exam.randomization import GRADIENT, ZPLUS
from tff_core.lrp.walk import walk_back
from tff_core.store import resuming

Floats = NDArray[np.float64]
RANDOM, OTHER = "random starts", "the other answer"
"""What is compared: relevances from two random starts; what speaks for an answer and what against it."""
PIXELS = "pixels"
"""In the column layer: the picture itself, below the first convolution."""
_Walk = dict[str, Tensor]


def convergence(
    net: lrp.Net, x: Tensor, draws: int = 2, seed: int = 0, gradient: bool = True
) -> pd.DataFrame:
    """The absolute cosine of two relevances with random starts, by layer and picture.

    Args:
        net: from `lrp.canonize`.
        x: pictures (N, C, H, W), normalised.
        draws: pairs of random starts of each picture, normal and independent, at the last layer's input.
        seed: of the starts.
        gradient: also send the same vectors back as a gradient, the control: its linear maps are of full rank
            and both signs.

    Returns:
        Rows ``explanation`` ("z+", "gradient"), ``starts`` ("random starts"), ``layer``, ``place`` (0 for the
        pixels, 1 for the first convolution and so on), ``picture`` and ``value`` in [0, 1], the mean over
        draws; missing where nothing arrives.

    Raises ValueError where the network has one layer alone, or a number makes no sense.
    """
    if draws < 1 or not len(x):
        raise ValueError(f"{draws} draws on {len(x)} pictures: expected at least one of each")
    net.check(x)
    end = _last(net)
    with torch.no_grad():
        shape = net.forward(x[:1], stop=end).shape[1:]
    found: dict[str, list[dict[str, Floats]]] = {}
    for draw in range(draws):
        g = resuming.generator(seed, draw)
        starts = [torch.randn(len(x), *shape, generator=g).to(x) for _ in range(2)]
        ways: dict[str, Callable[[Tensor], _Walk]] = {ZPLUS: lambda v: _walk(net, x, v, end)}
        if gradient:
            ways[GRADIENT] = lambda v: _gradient(net, x, v, end)
        for name, way in ways.items():
            found.setdefault(name, []).append(_cosines(way(starts[0]), way(starts[1])))
    rows = []
    for name, some in found.items():
        layers = {layer: np.mean([one[layer] for one in some], axis=0) for layer in some[0]}
        rows.append(_rows(net, layers).assign(explanation=name, starts=RANDOM))
    return pd.concat(rows, ignore_index=True)[["explanation", "starts", "layer", "place", "picture", "value"]]


def one_sided(net: lrp.Net, x: Tensor) -> pd.DataFrame:
    """How far the relevance of a layer has one sign, by layer and picture: abs(sum R) / sum abs(R).

    Relevance starts at the logit. Rows and columns as `convergence`, with ``starts`` "the other answer";
    missing where nothing arrives.
    """
    net.check(x)
    sides: dict[str, Floats] = {}

    def collect(layer: str, r: Tensor) -> None:
        signed, total = (v.flatten(1).sum(1, dtype=torch.float64).cpu().numpy() for v in (r, r.abs()))
        sides[layer] = np.divide(np.abs(signed), total, out=np.full(len(r), np.nan), where=total > 0)

    tape: list[Any] = []
    with torch.no_grad():
        start = net.forward(x, tape).clone()
        found = walk_back(net, start, tape, True, collect)
    assert found is not None
    collect(PIXELS, found)
    rows = _rows(net, sides).assign(explanation=ZPLUS, starts=OTHER)
    return rows[["explanation", "starts", "layer", "place", "picture", "value"]]


def _last(net: lrp.Net) -> int:
    """The step whose output the last layer with weights reads."""
    for step in reversed(net.steps):
        if isinstance(getattr(step.rule, "weight", None), Tensor) and step.carries and step.inputs[0]:
            return step.inputs[0] - 1
    raise ValueError(
        "the network has no layer with weights above the first: expected a last layer that makes the logit "
        "from maps, at whose input random relevance can start"
    )


@torch.no_grad()
def _walk(net: lrp.Net, x: Tensor, start: Tensor, end: int) -> _Walk:
    tape: list[Any] = []
    net.forward(x, tape, stop=end)
    maps: _Walk = {}
    found = walk_back(net, start.clone(), tape, True, maps.__setitem__)
    assert found is not None
    return {PIXELS: found, **maps}


def _gradient(net: lrp.Net, x: Tensor, start: Tensor, end: int) -> _Walk:
    with torch.enable_grad():
        picture = x.clone().requires_grad_()
        y, outputs = net.layers_of(picture, end)
        wanted = {PIXELS: picture, **outputs}
        gradients = torch.autograd.grad(y, list(wanted.values()), start)
    return dict(zip(wanted, gradients, strict=True))


def _cosines(one: _Walk, other: _Walk) -> dict[str, Floats]:
    def flat(r: Tensor) -> Floats:
        found: Floats = r.flatten(1).double().cpu().numpy()
        return found

    return {layer: np.abs(similarity.cosine(flat(one[layer]), flat(other[layer]))) for layer in one}


def _rows(net: lrp.Net, layers: dict[str, Floats]) -> pd.DataFrame:
    place = {PIXELS: 0} | {layer: i for i, layer in enumerate(net.layers, start=1)}
    return pd.concat(
        pd.DataFrame({"layer": layer, "place": place[layer], "picture": np.arange(len(v)), "value": v})
        for layer, v in sorted(layers.items(), key=lambda one: place[one[0]])
    )
