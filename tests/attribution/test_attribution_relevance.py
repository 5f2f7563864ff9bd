"""Relevance of detection and of attribution: against zennit and captum, exact folding, conservation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lrp_others import captum_graph, captum_relevance, zennit_composite, zennit_relevance
from torch import Tensor
from torch.fx.experimental.optimization import fuse
from who import inputs, network

from tff_core import attribution, lrp
from tff_core.features import ffrs

FIRST = "before.0.0"
LAYERS = [FIRST, "before.1.0", "before.2.0", "before.3.0", "after.0.0", "after.1.0"]
TASKS = [("pixel", None), ("pixel", 1), ("dct", None), ("dct", 1)]
"""Means of maps before the logit (pixels), and every value of them (spectra); detection and a source."""


def double(kind: str, seed: int = 0) -> tuple[attribution.Attributor, Tensor]:
    net = network(kind, 64, ["a", "b"], seed).double()
    return net, inputs(kind, 64, 3).double()


def apart(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[k] - e).abs().sum() / e.abs().sum()) for k, e in expected.items())


@pytest.mark.parametrize(("kind", "source"), TASKS)
def test_a_folded_task_is_the_networks_own_answer(kind: str, source: int | None) -> None:
    net, x = double(kind)
    with torch.no_grad():
        out = net(x)
    assert out.attribution is not None
    expected = out.detection if source is None else out.attribution[:, source]
    folded = attribution.folded(net, source)
    torch.testing.assert_close(folded(x)[:, 0], expected, rtol=0, atol=1e-10)
    single = attribution.folded(network(kind, 64, ["a", "b"]), source)
    torch.testing.assert_close(single(x.float())[:, 0].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "source"), TASKS)
def test_zennit_agrees_on_every_layer_and_on_the_input(kind: str, source: int | None) -> None:
    net, x = double(kind)
    folded = attribution.folded(net, source)
    assert list(folded.layers) == LAYERS
    # folded beforehand: zennit would leave a factor of each batch norm's eps behind, and 1e-3 is not little
    model: Any = fuse(net.task(source).eval())
    composite = zennit_composite(FIRST if kind == "pixel" else None, bounds=(-1.0, 1.0))
    theirs, start = zennit_relevance(model, composite, folded.layers, x)
    out = lrp.relevance(folded, x, start=start, pixels=True)
    assert out.pixels is not None
    assert apart({**out.maps, "pixels": out.pixels}, theirs) < 1e-9


@pytest.mark.parametrize(("kind", "source"), TASKS)
def test_captum_agrees_on_every_layer(kind: str, source: int | None) -> None:
    net, x = double(kind)
    task = net.task(source).eval()
    task.head[-1].bias.data += 20  # captum starts at f: keep it away from zero
    folded = attribution.folded(net, source)
    graph = captum_graph(task)
    assert torch.allclose(graph(x), folded(x), atol=1e-10)
    assert apart(lrp.relevance(folded, x).maps, captum_relevance(graph, LAYERS, x)) < 5e-4


@pytest.mark.parametrize(("kind", "source"), TASKS)
def test_relevance_is_conserved_down_to_the_input(kind: str, source: int | None) -> None:
    """No layer loses any: all of it is the logit, but for what the last layer's bias says."""
    net, x = double(kind)
    folded = attribution.folded(net, source)
    logit = folded(x)
    out = lrp.relevance(folded, x, start=logit, pixels=True)
    assert out.pixels is not None
    expected = logit[:, 0] - net.task(source).head[-1].bias.detach()
    for name, maps in {**out.maps, "input": out.pixels}.items():
        # z^B has a stabiliser of 1e-6, and so have the mean of maps and the last layer
        torch.testing.assert_close(maps.sum((1, 2, 3)), expected, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_omega_of_a_task_is_that_of_its_pictures(kind: str) -> None:
    """By its definition, on the pictures that the task is sure about."""
    net, x = double(kind)
    folded = attribution.folded(net, 0)
    sure = folded(x)[:, 0] >= 0
    if not sure.any():
        net.task(0).head[-1].bias.data += 10
        folded = attribution.folded(net, 0)
        sure = folded(x)[:, 0] >= 0
    omega = ffrs.ff_rs(folded, [x], confidence=0.5)
    assert omega.count == int(sure.sum()) > 0
    maps = lrp.relevance(folded, x[sure], start=folded(x[sure])).maps
    for layer, r in maps.items():
        share = r.clamp(min=0).sum((2, 3)) / r.abs().sum((1, 2, 3))[:, None]
        torch.testing.assert_close(torch.from_numpy(omega.values[layer]), share.mean(0), rtol=0, atol=1e-12)


def test_folding_leaves_the_network_as_it_is() -> None:
    net, x = double("pixel")
    net.train()
    folded = attribution.folded(net, 0)
    assert all(module.training for module in net.modules())
    before = folded(x)
    with torch.no_grad():
        net.secondaries[0].head[-1].bias.add_(1)  # type: ignore[union-attr,operator]
    assert torch.equal(folded(x), before)
    with pytest.raises(ValueError, match="source 2: expected one of the 2 sources"):
        attribution.folded(net, 2)
