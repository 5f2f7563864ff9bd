"""A patch classifier as a detector: the same answers, the relevance of an independent implementation."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from lrp_nets import pictures, randomise
from lrp_others import zennit_composite, zennit_relevance
from torch import Tensor, nn
from zennit.canonizers import AttributeCanonizer, CompositeCanonizer
from zennit.layer import Sum
from zennit.torchvision import ResNetCanonizer

from tff_core import detectors, localization, lrp
from tff_core.features import dropout, ffrs, maxima
from tff_core.localization import detector, networks

CUTS = [
    "xception_block1",
    "xception_block2",
    "xception_block4",
    "resnet18_layer1",
    "longxception",
    "widenet_kw7_d1",
]


def network(name: str, fake_class: int = 0) -> localization.PatchClassifier:
    net = localization.build(name, init="kaiming", fake_class=fake_class)
    randomise(net, seed=1, size=48)
    return net


@pytest.mark.slow
@pytest.mark.parametrize("fake_class", [0, 1])
@pytest.mark.parametrize("name", [*CUTS, "resnet18"])
def test_the_logit_is_the_mean_over_cells_of_fake_minus_real(name: str, fake_class: int) -> None:
    net, x = network(name, fake_class), pictures(2, 48, seed=2)
    with torch.no_grad():
        given, single = net(x), detector.as_detector(net)(x)
    margin = given[:, fake_class] - given[:, 1 - fake_class]
    torch.testing.assert_close(single, margin.reshape(2, -1).mean(1, keepdim=True))
    canonized = detector.canonize(net)
    torch.testing.assert_close(lrp.relevance(canonized, x).logit, single, rtol=1e-9, atol=1e-9)


class _Blocks(AttributeCanonizer):
    """The sums of Xception's blocks as modules, for zennit."""

    def __init__(self) -> None:
        super().__init__(self._map)

    @staticmethod
    def _map(name: str, module: nn.Module) -> dict[str, Any] | None:
        if not isinstance(module, networks.Block):
            return None

        def forward(self: Any, x: Tensor) -> Tensor:
            shortcut = x if self.skip is None else self.skipbn(self.skip(x))
            out: Tensor = self.canonizer_sum(torch.stack([self.rep(x), shortcut], dim=-1))
            return out

        return {"forward": types.MethodType(forward, module), "canonizer_sum": Sum()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTS)
def test_relevance_is_zennits(name: str) -> None:
    """Depthwise and pointwise convolutions without anything between, sums that are not activated."""
    net, x = network(name), pictures(2, 48, seed=3)
    single = detector.as_detector(net)
    canonized = lrp.canonize(single, reference=True)
    composite = zennit_composite(canonizer=CompositeCanonizer([ResNetCanonizer(), _Blocks()]))
    theirs, start = zennit_relevance(single, composite, canonized.layers, x)
    found = lrp.relevance(canonized, x, start=start, pixels=True)
    assert found.pixels is not None and len(canonized.layers) >= 3
    mine = {**found.maps, "pixels": found.pixels}
    assert mine.keys() == theirs.keys()
    for layer, expected in theirs.items():
        error = float((mine[layer] - expected).abs().sum() / expected.abs().sum())
        assert error < 1e-9, f"{layer}: {error}"


def test_ranking_dropping_and_patches_of_maps_work_as_for_any_detector() -> None:
    net, x = network("xception_block1").float(), pictures(6, 48, seed=4).float()
    with torch.no_grad():
        net.convout.bias[net.fake_class] += 100  # type: ignore[index,operator]  # every picture is called fake
    single, canonized = detector.as_detector(net), detector.canonize(net)
    omega = ffrs.ff_rs(canonized, [x], label="fake")
    assert omega.count == len(x)
    assert len(omega) == sum(canonized.layers.values())
    top = omega.top(5)
    with torch.no_grad():
        whole = single(x)
        with dropout.feature_map_dropout(single, top) as dropped:
            without = dropped(x)
        folded = dropout.fold_dropout(canonized, top)(x)
    assert not torch.allclose(without, whole)
    torch.testing.assert_close(folded, without, rtol=1e-4, atol=1e-5)
    patches = maxima.lrp_max(canonized, maxima.activation_max(canonized, [x], top, 3))
    assert [patch.map for patch in patches] == [chosen for chosen in top for _ in range(3)]


def test_a_network_by_import_path_is_one_for_the_registry(tmp_path: Path) -> None:
    net = network("xception_block2").float()
    path = detector.write(detector.as_detector(net), tmp_path / "detector.safetensors")
    built = detectors.build("tff_core.localization.detector:xception_block2")
    model = detectors.load_weights(built, path).eval()
    x = pictures(2, 48, seed=5).float()
    with torch.no_grad():
        torch.testing.assert_close(model(x), detector.as_detector(net)(x))
    with pytest.raises(ValueError, match="no patch classifier is called 'xception_block13'"):
        detectors.build("tff_core.localization.detector:xception_block13")
