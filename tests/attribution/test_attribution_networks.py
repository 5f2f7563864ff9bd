"""The modules: totals, topology against a computation by hand, what is shared, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from who import inputs, network

from tff_core import attribution, lrp
from tff_core.attribution import networks

TOTALS = [
    # kind, size, sources, all numbers, without the running statistics
    ("pixel", 128, 0, 27_261, 27_053),
    ("pixel", 256, 0, 27_261, 27_053),
    ("dct", 128, 0, 35_367, 35_159),
    ("pixel", 128, 1, 48_606, 48_270),
    ("pixel", 256, 1, 48_606, 48_270),
    ("dct", 128, 1, 64_872, 64_536),
    ("pixel", 128, 3, 27_261 + 3 * 21_345, 27_053 + 3 * 21_217),
    ("dct", 256, 0, 35_367 + 3 * 8_192, 35_159 + 3 * 8_192),
]


@pytest.mark.parametrize(("kind", "size", "sources", "total", "trainable"), TOTALS)
def test_totals(kind: str, size: int, sources: int, total: int, trainable: int) -> None:
    net = attribution.build(kind=kind, size=size, sources=sources)
    assert attribution.parameters(net) == (trainable, total)
    assert (net.kind, net.size, net.sources) == (kind, size, sources)


@pytest.mark.parametrize(
    ("name", "kind", "outputs", "total"),
    [
        ("gandct-conv", "pixel", 1, 38_885),
        ("gandct-conv", "dct", 1, 38_831),
        ("gandct-conv", "pixel", 5, 169_961),
        ("ganfp-postpool", "pixel", 1, 308_513),
        ("notl", "pixel", 1, 27_261),
        ("notl", "dct", 1, 35_367),
        ("notl", "pixel", 5, 27_261 + 4 * 33),
    ],
)
def test_totals_of_the_baselines(name: str, kind: str, outputs: int, total: int) -> None:
    net = attribution.baseline(name, kind, 128, outputs)
    assert attribution.parameters(net).total == total
    with torch.no_grad():
        assert net(inputs(kind, 128, 2)).shape == (2, outputs)


def test_only_the_secondary_is_trained_in_attribution() -> None:
    net = attribution.build("pixel", 128, sources=1).freeze()
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 21_217


@pytest.mark.parametrize("kind", ["pixel", "dct"])
@pytest.mark.parametrize("sources", [0, 1, 3])
def test_the_answer_is_logits(kind: str, sources: int) -> None:
    net = network(kind, 64, sources)
    with torch.no_grad():
        out = net(inputs(kind, 64, 5))
        assert out.detection.shape == (5,)
        assert out.detection.dtype == torch.float32
        if sources:
            assert out.attribution is not None and out.attribution.shape == (5, sources)
        else:
            assert out.attribution is None
        # scaling the last layer scales a logit; it would not scale a probability
        before = out.detection
        for layer in (net.primary.head[-1],):
            layer.weight *= 100
            layer.bias *= 100
        torch.testing.assert_close(net(inputs(kind, 64, 5)).detection, 100 * before, rtol=1e-4, atol=1e-2)


def by_hand(net: attribution.Attributor, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The forward pass in float64, from sums over shifted pictures alone."""

    def conv(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
        w, b = (t.detach().double().numpy() for t in (layer.weight, layer.bias))
        kernel, stride = w.shape[-1], layer.stride[0]
        side = x.shape[-1]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)  # "same", as Keras pads
        x = np.pad(x, ((0, 0), (0, 0), *[(total // 2, total - total // 2)] * 2))
        out = np.zeros((len(x), len(w), side // stride, side // stride))
        for i in range(kernel):
            for j in range(kernel):
                part = x[:, :, i : i + side : stride, j : j + side : stride]
                out += np.einsum("nchw,oc->nohw", part, w[:, :, i, j])
        return out + b[:, None, None]

    def norm(x: np.ndarray, layer: nn.BatchNorm2d) -> np.ndarray:
        g, b, m, v = (
            t.detach().double().numpy()[:, None, None]
            for t in (layer.weight, layer.bias, layer.running_mean, layer.running_var)
        )
        return g * (x - m) / np.sqrt(v + 1e-3) + b

    def blocks(x: np.ndarray, sequence: nn.Sequential) -> np.ndarray:
        for block in sequence:
            for layer in block:
                if isinstance(layer, nn.Conv2d):
                    x = conv(x, layer)
                elif isinstance(layer, nn.BatchNorm2d):
                    x = norm(x, layer)
                else:
                    x = np.maximum(x, 0)
        return x

    def head(x: np.ndarray, sequence: nn.Sequential) -> np.ndarray:
        dense = sequence[-1]
        x = x.mean((2, 3)) if net.kind == "pixel" else x.reshape(len(x), -1)
        return x @ dense.weight.detach().double().numpy()[0] + dense.bias.item()

    maps = blocks(x, net.primary.before)
    found = [head(blocks(maps, part.after), part.head) for part in (net.primary, *net.secondaries)]
    return found[0], np.stack(found[1:], 1)


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_the_forward_pass_is_that_of_the_tables(kind: str) -> None:
    net, x = network(kind, 64, 2), inputs(kind, 64, 3)
    with torch.no_grad():
        out = net(x)
    detection, sources = by_hand(net, x.double().numpy())
    np.testing.assert_allclose(out.detection.numpy(), detection, atol=2e-5)
    np.testing.assert_allclose(out.attribution.numpy(), sources, atol=2e-5)


def test_weights_are_drawn_from_n_0_02_by_the_seed() -> None:
    net = attribution.build("pixel", 128, sources=1, seed=3)
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d)])
    assert abs(float(weights.detach().std()) - 0.02) < 5e-4 and abs(float(weights.detach().mean())) < 5e-4
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    again, other = (attribution.build("pixel", 128, 1, seed) for seed in (3, 4))
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(net.primary.before[0][0].weight, other.primary.before[0][0].weight)


def test_a_source_begins_alike_whatever_other_sources_there_are() -> None:
    one, two = attribution.build("pixel", 64, ["b"]), attribution.build("pixel", 64, ["a", "b"])
    for (name, value), other in zip(
        one.secondaries[0].state_dict().items(), two.secondaries[1].state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name
    assert not torch.equal(two.secondaries[0].after[0][0].weight, two.secondaries[1].after[0][0].weight)


def test_a_frozen_primary_stays_bit_identical() -> None:
    net = network("pixel", 64, 1).freeze().train()
    before = {name: value.clone() for name, value in net.primary.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 0.1)
    for seed in range(3):
        out = net(inputs(seed=seed))
        loss = nn.functional.binary_cross_entropy_with_logits(out.attribution[:, 0], torch.ones(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in net.primary.state_dict().items())
    assert not torch.equal(
        net.secondaries[0].head[-1].weight, network("pixel", 64, 1).secondaries[0].head[-1].weight
    )


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_a_task_is_a_path_through_the_network_that_relevance_can_take(kind: str) -> None:
    net, x = network(kind, 64, ["a", "b"]), inputs(kind, 64, 3)
    with torch.no_grad():
        out = net(x)
        for number, (name, task) in enumerate(net.tasks()):
            expected = out.detection if name == "detection" else out.attribution[:, number - 1]
            torch.testing.assert_close(task(x)[:, 0], expected)
            folded = attribution.folded(net, None if name == "detection" else number - 1)
            torch.testing.assert_close(folded(x)[:, 0], expected, rtol=1e-4, atol=1e-4)
    assert [name for name, _ in net.tasks()] == ["detection", "a", "b"]
    layers = [list(attribution.folded(net, source).layers) for source in (None, 1)]
    assert layers[0] == layers[1] and len(layers[0]) == 6


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_relevance_of_a_source_is_conserved(kind: str) -> None:
    """Every layer holds the whole logit, but for what its own bias says."""
    net, x = network(kind, 64, 1), inputs(kind, 64, 2)
    folded = attribution.folded(net, 0)
    found = lrp.relevance(folded, x, start=folded(x))
    sums = torch.stack([maps.sum((1, 2, 3)) for maps in found.maps.values()])
    expected = folded(x)[:, 0] - net.secondaries[0].head[-1].bias.detach()
    torch.testing.assert_close(sums, expected.expand_as(sums), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"kind": "gray"}, "kind is 'gray'.*'pixel' or 'dct'"),
        ({"size": 100}, "size is 100.*multiple of 8"),
        ({"size": 32}, "from 64 to 256"),
        ({"size": 512}, "from 64 to 256"),
        ({"size": "128"}, "size is '128'"),
        ({"sources": -1}, "sources is -1"),
        ({"sources": ["progan", "sngan", "progan"]}, "2 sources are called 'progan'"),
        ({"sources": ["progan", "real"]}, "'real' is no name of a source: tables use it for another answer"),
        ({"sources": [""]}, "no name of a source"),
    ],
)
def test_what_build_refuses(arguments: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        attribution.build(**arguments)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("pixel", (2, 3, 64, 65)),
        ("pixel", (2, 3, 128, 128)),
        ("pixel", (2, 1, 64, 64)),
        ("pixel", (2, 4, 64, 64)),
        ("pixel", (3, 64, 64)),
        ("dct", (2, 3, 64, 64)),
    ],
)
def test_pictures_of_another_shape_are_refused(kind: str, shape: tuple[int, ...]) -> None:
    net = attribution.build(kind, 64, 1)
    with pytest.raises(ValueError, match=rf"takes .* of shape \(N, {networks.KINDS[kind]}, 64, 64\), found"):
        net(torch.zeros(shape))
    with pytest.raises(ValueError, match="takes"):
        attribution.baseline("gandct-conv", kind, 64)(torch.zeros(shape))


def test_bytes_are_no_input() -> None:
    with pytest.raises(ValueError, match=r"found torch\.uint8"):
        attribution.build("pixel", 64)(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_what_baseline_refuses() -> None:
    for arguments, told in (
        (("resnet",), "no baseline 'resnet'"),
        (("ganfp-postpool", "pixel", 96), "halves its maps"),
        (("notl", "pixel", 64, 0), "outputs is 0"),
    ):
        with pytest.raises(ValueError, match=told):
            attribution.baseline(*arguments)


def test_there_is_no_task_of_a_source_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="source 2"):
        attribution.build("pixel", 64, 2).task(2)
