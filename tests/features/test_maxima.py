"""Maxima of feature maps and their patches: one pass finds what a search finds, crops lose nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lrp_nets import Toy, pictures, randomise, toy
from torch import Tensor, nn

from tff_core import lrp
from tff_core.features import maxima
from tff_core.features.maxima import Patch
from tff_core.features.names import FeatureMap


def all_maps(net: lrp.Net) -> list[FeatureMap]:
    return [FeatureMap(layer, c, n) for layer, n in net.layers.items() for c in range(n)]


NET = lrp.canonize(toy(7))
X = pictures(7, 32)


def test_one_pass_finds_what_a_search_finds() -> None:
    maps = all_maps(NET)[::-1]
    outputs: dict[str, Tensor] = {}
    NET.forward(X, watch=lambda step, y: outputs.setdefault(step.name, y.clone()))
    best = maxima.activation_max(NET, X.split(3), maps, top=4)
    for i, m in enumerate(maps):
        y = outputs[m.layer][:, m.channel]
        values = y.flatten(1).max(1).values.sort(descending=True).values[:4]
        np.testing.assert_allclose(best.value[i], values.numpy(), rtol=1e-12)
        found = [y[n, r, c].item() for n, r, c in zip(best.image[i], best.row[i], best.col[i], strict=True)]
        np.testing.assert_allclose(found, values.numpy(), rtol=1e-12)
        assert len(set(best.image[i].tolist())) == 4


class Lake(nn.Module):
    """Uneven kernels, strides and paddings, a shortcut and an average pool: every kind of receptive field."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, (5, 3), stride=(2, 1), padding=(2, 1))
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2, padding=0)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.conv4 = nn.Conv2d(4, 4, 1)
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = self.pool(torch.relu(self.conv3(x) + x))
        return self.fc(torch.relu(self.conv4(x)).mean((2, 3)))


def check_crops(net: lrp.Net, x: Tensor, top: int = 2, every: int = 1) -> list[Patch]:
    """A map of the first, the last and ``every`` so many layers between them."""
    layers = list(net.layers.items())
    maps = [FeatureMap(layer, n - 1, n) for layer, n in [*layers[:-1:every], layers[-1]]]
    best = maxima.activation_max(net, x.split(2), maps, top)
    patches = maxima.lrp_max(net, best)
    for patch in patches:
        i = maps.index(patch.map)
        neuron = lrp.Neuron(
            patch.map.layer, patch.map.channel, int(best.row[i, patch.rank]), int(best.col[i, patch.rank])
        )
        whole = lrp.relevance(net, x[patch.image : patch.image + 1], neuron, pixels=True).pixels
        assert whole is not None
        top_, left, bottom, right = patch.box
        found = torch.zeros_like(whole[0])
        found[:, top_:bottom, left:right] = patch.relevance
        assert torch.allclose(found, whole[0], rtol=1e-9, atol=1e-13), patch.map
        assert torch.equal(patch.picture, x[patch.image, :, top_:bottom, left:right])
        assert patch.size == tuple(x.shape[2:])
    return patches


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 300), st.sampled_from([(40, 40), (37, 50), (61, 44)]))
def test_crops_lose_nothing(seed: int, size: tuple[int, int]) -> None:
    net = lrp.canonize(randomise(Lake(), seed, 40))
    x = pictures(4, 64, seed)[..., : size[0], : size[1]]
    patches = check_crops(net, x)
    cropped = [p for p in patches if p.relevance.shape[1:] != p.size]
    assert {"conv1", "conv2", "conv3"} <= {p.map.layer for p in cropped}


def test_crops_lose_nothing_with_maxpool_and_gates() -> None:
    """Behind a gate every neuron sees the whole picture: there nothing is cut."""
    blocks = [
        {"out": 4, "kernel": 3, "stride": 1, "silu": False, "gate": True, "add": False},
        {"out": 4, "kernel": 3, "stride": 2, "silu": False, "gate": False, "add": True},
    ]
    patches = check_crops(lrp.canonize(randomise(Toy(blocks), 1, 48)), pictures(4, 48))
    for p in patches:
        behind = p.map.layer.startswith("blocks.1")
        assert (p.relevance.shape[1:] == p.size) == behind


@pytest.mark.slow
def test_crops_lose_nothing_in_resnet50_and_efficientnet() -> None:
    import torchvision
    from efficientnet_pytorch import EfficientNet

    resnet = randomise(torchvision.models.resnet50(num_classes=1), 0, 64)
    # the three convolutions of a block come in turn
    check_crops(lrp.canonize(resnet), pictures(2, 104)[..., :100, :87], top=1, every=7)
    efficient = randomise(EfficientNet.from_name("efficientnet-b0", num_classes=1), 0, 64)
    check_crops(lrp.canonize(efficient), pictures(2, 96)[..., :90, :75], top=1, every=7)


@pytest.mark.parametrize("abreast", [1, 2, 100])
def test_wide_neurons_share_a_picture_and_lose_nothing(abreast: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All maps of all layers from one picture: those that see most of it share one forward pass."""
    monkeypatch.setattr(maxima, "_ABREAST", abreast)
    passes: list[int] = []
    forward = lrp.Net.forward

    def counted(self: lrp.Net, x: Tensor, *args: Any, **more: Any) -> Tensor:
        passes.append(x.shape[-1])
        return forward(self, x, *args, **more)

    monkeypatch.setattr(lrp.Net, "forward", counted)
    best = maxima.activation_max(NET, [X[:1]], all_maps(NET), top=1)
    passes.clear()
    patches = maxima.lrp_max(NET, best)
    assert passes.count(32) == 1 and [p.map for p in patches] == all_maps(NET)
    assert {len(p.relevance[0]) for p in patches if p.map.layer == "blocks.1.conv"} == {32}
    for patch, row, col in zip(patches, best.row[:, 0], best.col[:, 0], strict=True):
        neuron = lrp.Neuron(patch.map.layer, patch.map.channel, int(row), int(col))
        whole = lrp.relevance(NET, X[:1], neuron, pixels=True).pixels
        assert whole is not None
        top, left, bottom, right = patch.box
        assert torch.allclose(patch.relevance, whole[0, :, top:bottom, left:right], rtol=1e-9, atol=1e-13)


def test_relevance_one_reaches_the_pixels() -> None:
    """From an active neuron, down to the first convolution, relevance sums to 1 where no bias was needed."""
    best = maxima.activation_max(NET, [X], [FeatureMap("conv1", 0, 4)], top=3)
    for patch in maxima.lrp_max(NET, best):
        assert float(patch.relevance.sum()) == pytest.approx(1, abs=1e-4)


def test_the_window_is_that_of_the_whole_picture() -> None:
    relevance = torch.zeros(3, 4, 4).double()
    relevance[0, 1, 2], relevance[1, 3, 2], relevance[2, 0, 0] = 2.0, 1.0, -5.0
    patch = Patch(FeatureMap("a", 0, 1), 0, 1.0, 0, (10, 20, 14, 24), (32, 32), relevance, relevance)
    assert patch.window() == (11, 22, 14, 23)
    whole = torch.zeros(3, 32, 32).double()
    whole[:, 10:14, 20:24] = relevance
    assert Patch(patch.map, 0, 1.0, 0, (0, 0, 32, 32), (32, 32), whole, whole).window() == (11, 22, 14, 23)
    none = Patch(patch.map, 0, 1.0, 0, (10, 20, 14, 24), (32, 32), relevance * 0, relevance)
    assert none.window() is None


def test_bad_input_is_refused() -> None:
    m = FeatureMap("conv1", 0, 4)
    with pytest.raises(ValueError, match=r"no feature map 'conv1\.#0\(T=64\)'"):
        maxima.activation_max(NET, [X], [FeatureMap("conv1", 0, 64)])
    with pytest.raises(ValueError, match="no pictures"):
        maxima.activation_max(NET, [], [m])
    with pytest.raises(ValueError, match="at least one feature map"):
        maxima.activation_max(NET, [X], [])
    once = maxima.activation_max(NET, iter([X]), [m], top=2)
    with pytest.raises(ValueError, match=r"read once.*batches="):
        maxima.lrp_max(NET, once)
    assert len(maxima.lrp_max(NET, once, [X])) == 2
    assert best_is_elsewhere(once)
    other = lrp.canonize(randomise(Toy([], channels=6), 1, 32))
    with pytest.raises(ValueError, match=r"no feature map 'conv1\.#0\(T=4\)'"):
        maxima.lrp_max(other, maxima.activation_max(NET, [X], [m]))


def best_is_elsewhere(once: maxima.Maxima) -> bool:
    """Fewer pictures than the maxima were made from."""
    with pytest.raises(ValueError, match="not those of the maxima"):
        maxima.lrp_max(NET, once, [X[: once.image.min()]] if once.image.min() else [])
    return True
