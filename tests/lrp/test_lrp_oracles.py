"""Relevance against three other implementations: the paper's code (golden files), zennit and captum."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from lrp_nets import pictures, randomise
from lrp_others import captum_graph, captum_relevance, zennit_composite, zennit_relevance
from torch import Tensor, nn
from zennit.composites import EpsilonGammaBox
from zennit.torchvision import ResNetCanonizer

from tff_core import lrp
from tff_core.features import ffrs
from tff_core.lrp.canonize import IMAGENET_BOUNDS

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
GOLDEN = REFERENCE / "lrp_golden"
needs_reference = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason=f"the golden relevances of the paper's code are not at {GOLDEN}"
)
NAMES = ["resnet50", "efficientnet_b0"]


@pytest.fixture(scope="module", params=NAMES)
def golden(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any, nn.Module, Tensor]]:
    sys.path.insert(0, str(GOLDEN))
    import seeded_models

    table = np.load(GOLDEN / f"{request.param}.npz")
    seed, size = int(table["seed"]), int(table["size"])
    model = getattr(seeded_models, request.param)(seed)
    yield request.param, table, model, seeded_models.inputs(len(table["logit"]), size, seed + 2)
    sys.path.remove(str(GOLDEN))


def per_picture(maps: dict[str, Tensor]) -> np.ndarray:
    """Omega of each picture by its definition, (N, maps)."""
    shares = [r.clamp(min=0).sum((2, 3)) / r.abs().sum((1, 2, 3))[:, None] for r in maps.values()]
    return torch.cat(shares, 1).numpy()


@pytest.mark.slow
@needs_reference
def test_the_papers_code_is_recreated(golden: tuple[str, Any, nn.Module, Tensor]) -> None:
    name, table, model, x = golden
    net = lrp.canonize(model, reference=True)
    assert list(net.layers) == table["layers"].tolist()
    assert list(net.layers.values()) == table["channels"].tolist()
    for sign, key in ((1.0, "omega_per_image"), (-1.0, "omega_minus_per_image")):
        start = torch.full((len(x), 1), sign, dtype=torch.float64)
        out = lrp.relevance(net, x, start=start, pixels=sign > 0)
        np.testing.assert_allclose(per_picture(out.maps), table[key], rtol=0, atol=1e-11)
        assert out.logit is not None
        np.testing.assert_allclose(out.logit[:, 0].numpy(), table["logit_reference"], rtol=0, atol=1e-11)
        if out.pixels is None:
            continue
        sums = np.stack([r.sum((1, 2, 3)).numpy() for r in out.maps.values()], 1)
        np.testing.assert_allclose(sums, table["relevance_sum"], rtol=0, atol=1e-9)
        # the paper's bounds of ResNet-50's pixels are float32
        error = (
            np.abs(out.pixels.numpy() - table["pixel_relevance"]).sum()
            / np.abs(table["pixel_relevance"]).sum()
        )
        assert error < (1e-6 if name == "resnet50" else 1e-11)


@pytest.mark.slow
@needs_reference
def test_omega_of_the_papers_code_is_recreated(golden: tuple[str, Any, nn.Module, Tensor]) -> None:
    """The mean over pictures, as the public function has it: one network calls all fake, one all real."""
    name, table, model, x = golden
    net = lrp.canonize(model, reference=True)
    label, key = ("fake", "omega_per_image") if name == "resnet50" else ("real", "omega_minus_per_image")
    omega = ffrs.ff_rs(net, [x[:2], x[2:]], label=label, confidence=0.5)  # type: ignore[arg-type]
    found = np.concatenate(list(omega.values.values()))
    np.testing.assert_allclose(found, table[key].mean(0), rtol=0, atol=1e-12)
    assert omega.count == len(x) and not omega.poisoned


@pytest.mark.slow
@needs_reference
def test_exact_folding_keeps_the_models_logit(golden: tuple[str, Any, nn.Module, Tensor]) -> None:
    name, table, model, x = golden
    net = lrp.canonize(model)
    np.testing.assert_allclose(net(x)[:, 0].numpy(), table["logit"], rtol=0, atol=1e-11)
    start = torch.ones(len(x), 1).double()
    exact = per_picture(lrp.relevance(net, x, start=start).maps)
    distance = np.abs(exact - table["omega_per_image"]).sum() / np.abs(table["omega_per_image"]).sum()
    # the residual factor of the paper's code is 1 / sqrt(1 + eps), eps 1e-5 and 1e-3: small, not nothing
    assert (1e-6 < distance < 1e-2) if name == "resnet50" else (1e-4 < distance < 5e-2)


@pytest.mark.slow
@needs_reference
@pytest.mark.parametrize(("folder", "name"), [("resnet50", "resnet50"), ("efb0", "efficientnet_b0")])
def test_names_equal_the_published_tables(folder: str, name: str) -> None:
    from efficientnet_pytorch import EfficientNet

    model = (
        torchvision.models.resnet50(num_classes=1)
        if name == "resnet50"
        else EfficientNet.from_name("efficientnet-b0", num_classes=1)
    )
    net = lrp.canonize(model.eval())
    assert sum(net.layers.values()) == {"resnet50": 26_560, "efficientnet_b0": 21_008}[name]
    for label in ("fake", "real"):
        published = ffrs.Omega.from_csv(
            REFERENCE / "fmap_relevances" / folder / f"progan_val-{label}.csv", net
        )
        assert len(published) == sum(net.layers.values())


def resnet(builder: Callable[..., nn.Module], size: int) -> tuple[nn.Module, Tensor]:
    return randomise(builder(num_classes=1), seed=3, size=size), pictures(2, size, seed=9)


def compare(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for layer, e in expected.items():
        error = float((found[layer] - e).abs().sum() / e.abs().sum())
        assert error < tolerance, f"{layer}: {error}"


@pytest.mark.parametrize(
    ("builder", "size"),
    [
        (torchvision.models.resnet18, 32),
        pytest.param(torchvision.models.resnet50, 64, marks=pytest.mark.slow),
    ],
)
def test_zennit_agrees_with_bias_and_stabilisers_matched(
    builder: Callable[..., nn.Module], size: int
) -> None:
    model, x = resnet(builder, size)
    # zennit leaves the same factor behind in each folded batch norm as the paper's code
    net = lrp.canonize(model, reference=True)
    theirs, start = zennit_relevance(model, zennit_composite(), net.layers, x)
    out = lrp.relevance(net, x, start=start, pixels=True)
    assert out.pixels is not None
    compare({**out.maps, "pixels": out.pixels}, theirs, 1e-9)


@pytest.mark.slow
def test_zennits_epsilon_gamma_composite_agrees() -> None:
    """As zennit has it, in float64: gamma for convolutions, epsilon for the head, z^B for pixels."""
    model, x = resnet(torchvision.models.resnet18, 32)
    net = lrp.canonize(model, reference=True, rules=lrp.EPSILON_GAMMA)
    low, high = (torch.full((1, 3, 1, 1), bound, dtype=torch.float64) for bound in IMAGENET_BOUNDS)
    composite = EpsilonGammaBox(low, high, canonizers=[ResNetCanonizer()])
    theirs, start = zennit_relevance(model, composite, net.layers, x)
    out = lrp.relevance(net, x, start=start, pixels=True)
    assert out.pixels is not None
    compare({**out.maps, "pixels": out.pixels}, theirs, 1e-9)


@pytest.mark.parametrize(
    ("builder", "size"),
    [
        (torchvision.models.resnet18, 32),
        pytest.param(torchvision.models.resnet50, 64, marks=pytest.mark.slow),
    ],
)
def test_captum_agrees_on_the_unrolled_graph(builder: Callable[..., nn.Module], size: int) -> None:
    model, x = resnet(builder, size)
    model.fc.bias.data += 20  # type: ignore[operator,union-attr]  # captum starts at f: keep it away from zero
    net = lrp.canonize(model)
    graph = captum_graph(model)
    assert torch.allclose(graph(x), net(x), atol=1e-10)
    maps = lrp.relevance(net, x).maps
    for _ in range(2):  # and not for the first call only
        compare(maps, captum_relevance(graph, list(net.layers), x), 5e-4)
