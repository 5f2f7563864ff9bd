"""Feature-map dropout: before batch norm, folded or hooked, gone without a trace, and many sets at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from hypothesis import given, settings
from hypothesis import strategies as st
from lrp_nets import pictures, randomise, toy
from torch import Tensor, nn

from tff_core import detectors, lrp
from tff_core.features import dropout
from tff_core.features.names import FeatureMap

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


@pytest.mark.slow
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


def swept(net: lrp.Net, x: Tensor, plans: list[dropout.Plan], rows: int = 128) -> list[Tensor]:
    found = dict(dropout.sweep(net, x, plans, rows))
    assert sorted(found) == list(range(len(plans)))
    return [found[i] for i in range(len(plans))]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sets(st.sampled_from(ALL)), min_size=1, max_size=5), st.sampled_from([1, 8, 100]))
def test_a_sweep_equals_plain_forwards_of_each_set(sets: list[set[FeatureMap]], rows: int) -> None:
    for maps, y in zip(sets, swept(NET, X, [dropout.plan(NET, maps) for maps in sets], rows), strict=True):
        assert torch.allclose(y, dropout.fold_dropout(NET, maps)(X), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "efb0"])
def test_a_sweep_equals_plain_forwards_in_the_networks_of_the_book(name: str) -> None:
    net, x = lrp.canonize(randomise(detectors.build(name), 0, 32)), pictures(3, 32)
    some = [FeatureMap(layer, c, n) for layer, n in net.layers.items() for c in (0, n // 2)]
    sets = [[m] for m in some[::5]] + [some[i::3] for i in range(3)] + [[]]
    before = net(x)
    for maps, y in zip(sets, swept(net, x, [dropout.plan(net, maps) for maps in sets]), strict=True):
        assert torch.allclose(y, dropout.fold_dropout(net, maps)(x), rtol=1e-12, atol=1e-12)
    assert torch.equal(net(x), before)


def test_a_sweep_computes_what_comes_before_the_first_layer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[int, int] = {}
    for i, step in enumerate(NET.steps):

        def counted(*inputs: Tensor, i: int = i, original: Any = step.rule.forward) -> Any:
            counts[i] = counts.get(i, 0) + len(inputs[0])
            return original(*inputs)

        monkeypatch.setattr(step.rule, "forward", counted)
    late = FeatureMap("blocks.1.conv", 0, 5)
    swept(NET, X, [dropout.plan(NET, [late]), dropout.plan(NET, [FeatureMap("blocks.1.conv", 1, 5)])])
    assert counts[NET.index["conv1"]] == counts[NET.index["blocks.1.conv"]] == len(X)
    assert counts[len(NET.steps) - 1] == 2 * len(X)
    counts.clear()
    swept(NET, X, [{}])
    assert set(counts.values()) == {len(X)}


def test_the_constant_after_the_activation_is_what_the_next_operation_reads() -> None:
    maps = [FeatureMap("conv1", 2, 4), FeatureMap("blocks.1.shortcut", 1, 5)]
    constants = {layer: torch.arange(n, dtype=torch.float64) / 7 for layer, n in NET.layers.items()}
    replaced = dropout.plan(NET, maps, by=constants)
    names = {NET.steps[i].name for i in replaced}
    assert names == {"relu", "blocks.1.shortcut"}  # the shortcut is summed before its activation

    def silenced(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        channel = 2 if module is MODEL.relu else 1
        output[:, channel] = channel / 7
        return output

    handles = [MODEL.get_submodule(name).register_forward_hook(silenced) for name in names]
    with torch.no_grad():
        expected = MODEL(X)
    for handle in handles:
        handle.remove()
    (found,) = swept(NET, X, [replaced])
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_plan_of_a_map_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        dropout.plan(NET, [FeatureMap("conv9", 0, 4)])
    with pytest.raises(ValueError, match="'conv1' has 4 channels here, 64"):
        dropout.plan(NET, [FeatureMap("conv1", 0, 64)])
    with pytest.raises(ValueError, match="the network takes pictures of shape"):
        list(dropout.sweep(NET, X[0], [{}]))
