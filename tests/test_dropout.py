"""Feature-map dropout: before batch norm, folded or hooked, and gone without a trace."""

from __future__ import annotations

import copy

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from hypothesis import given, settings
from hypothesis import strategies as st
from lrp_nets import pictures, randomise, toy
from torch import Tensor, nn

from tff_core import dropout, lrp
from tff_core.names import FeatureMap

MODEL = toy(1, silu=True, gate=True)
NET = lrp.canonize(MODEL)
ALL = [FeatureMap(layer, c, n) for layer, n in NET.layers.items() for c in range(n)]
X = pictures(4, 32)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.sampled_from(ALL), min_size=1))
def test_folded_equals_hooked(maps: set[FeatureMap]) -> None:
    with torch.no_grad(), dropout.feature_map_dropout(MODEL, maps):
        hooked = MODEL(X)
    assert torch.allclose(dropout.fold_dropout(NET, maps)(X), hooked, atol=1e-11)


def test_folded_equals_hooked_in_efficientnet() -> None:
    model = randomise(EfficientNet.from_name("efficientnet-b0", num_classes=1, dropout_rate=0.0), 0, 32)
    net, x = lrp.canonize(model), pictures(2, 32)
    maps = [FeatureMap(layer, c, n) for layer, n in net.layers.items() for c in (0, n // 2)]
    with torch.no_grad(), dropout.feature_map_dropout(model, maps):
        hooked = model(x)
    assert torch.allclose(dropout.fold_dropout(net, maps)(x), hooked, rtol=1e-9)
    assert not torch.allclose(net(x), hooked, rtol=1e-3)


def test_a_dropped_map_is_the_constant_of_its_batch_norm() -> None:
    m = FeatureMap("conv1", 2, 4)
    bn = MODEL.bn1
    assert isinstance(bn, nn.BatchNorm2d) and bn.running_mean is not None and bn.running_var is not None
    constant = bn.bias[2] - bn.weight[2] * bn.running_mean[2] / torch.sqrt(bn.running_var[2] + bn.eps)
    seen: list[Tensor] = []
    handle = bn.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    with torch.no_grad(), dropout.feature_map_dropout(MODEL, [m]):
        MODEL(X)
    handle.remove()
    assert torch.allclose(seen[0][:, 2], constant.detach().expand_as(seen[0][:, 2]), atol=1e-12)
    outputs: dict[str, Tensor] = {}
    dropout.fold_dropout(NET, [m]).forward(X, watch=lambda step, y: outputs.setdefault(step.name, y.clone()))
    assert torch.allclose(outputs["conv1"], seen[0], atol=1e-11)


def test_a_convolution_without_batch_norm_drops_to_zero() -> None:
    m = FeatureMap("blocks.1.shortcut", 0, 5)
    outputs: dict[str, Tensor] = {}
    dropout.fold_dropout(NET, [m]).forward(X, watch=lambda step, y: outputs.setdefault(step.name, y.clone()))
    assert not outputs[m.layer][:, 0].any() and outputs[m.layer][:, 1].all()


def test_nothing_is_left_behind() -> None:
    state = copy.deepcopy(MODEL.state_dict())
    with torch.no_grad():
        before = MODEL(X)
        kept: list[Tensor] = []
        handle = MODEL.get_submodule("conv1").register_forward_hook(lambda m, i, output: kept.append(output))
        with dropout.feature_map_dropout(MODEL, ALL[:2]):
            inside = MODEL(X)
        handle.remove()
        with pytest.raises(RuntimeError, match="inside"), dropout.feature_map_dropout(MODEL, ALL[:2]):
            raise RuntimeError("inside")
        assert torch.equal(MODEL(X), before) and not torch.equal(inside, before)
    assert bool(kept[0][:, 0].any()), "the convolution's own output was written to"
    assert not any(m._forward_hooks for m in MODEL.modules())
    assert all(torch.equal(v, state[k]) for k, v in MODEL.state_dict().items())
    untouched = NET(X)
    dropout.fold_dropout(NET, ALL[:3])
    assert torch.equal(NET(X), untouched)


def test_one_hook_a_layer() -> None:
    with dropout.feature_map_dropout(MODEL, [FeatureMap("conv1", c, 4) for c in range(4)]):
        assert len(MODEL.get_submodule("conv1")._forward_hooks) == 1


@pytest.mark.parametrize(
    ("m", "hooked", "folded"),
    [
        (
            FeatureMap("conv9", 0, 4),
            "expected a convolution 'conv9' in Toy, found no such module",
            "no layer 'conv9'",
        ),
        (FeatureMap("bn1", 0, 4), "found a BatchNorm2d", "no layer 'bn1'"),
        (FeatureMap("conv1", 0, 64), "'conv1' has 4 channels here, 64", "'conv1' has 4 channels here, 64"),
    ],
)
def test_maps_of_another_network_are_refused(m: FeatureMap, hooked: str, folded: str) -> None:
    with pytest.raises(ValueError, match=hooked), dropout.feature_map_dropout(MODEL, [m]):
        pass
    with pytest.raises(ValueError, match=folded):
        dropout.fold_dropout(NET, [m])
