"""The engine as a whole: properties that hold for any network, the networks it takes, what it refuses."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.config
import torchvision
from efficientnet_pytorch import EfficientNet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lrp_nets import Toy, pictures, randomise, toy
from torch import Tensor, nn

from tff_core import lrp
from tff_core.features import ffrs, maxima

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def networks(draw: st.DrawFn, silu: bool | None = None) -> nn.Module:
    """Random small networks: one to three blocks with or without gates and shortcuts."""
    smooth = draw(st.booleans()) if silu is None else silu
    blocks = [
        {
            "out": draw(st.integers(2, 6)),
            "kernel": draw(st.sampled_from([1, 3])),
            "stride": draw(st.sampled_from([1, 2])),
            "silu": smooth,
            "gate": draw(st.booleans()),
            "add": draw(st.booleans()),
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    return randomise(Toy(blocks, draw(st.booleans())), draw(st.integers(0, 1000)), 24)


def same(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert list(a) == list(b)
    for layer in a:
        scale = float(b[layer].abs().sum()) + 1e-300
        assert float((a[layer] - b[layer]).abs().sum()) <= tolerance * scale, layer


@FEW
@given(networks(), st.integers(0, 99))
def test_neither_the_batch_nor_its_order_matters(model: nn.Module, seed: int) -> None:
    net, x = lrp.canonize(model), pictures(3, 24, seed)
    together = lrp.relevance(net, x, pixels=True)
    assert together.pixels is not None
    order = torch.tensor([2, 0, 1])
    same(lrp.relevance(net, x[order]).maps, {k: v[order] for k, v in together.maps.items()})
    alone = lrp.relevance(net, x[1:2], pixels=True)
    same(alone.maps, {k: v[1:2] for k, v in together.maps.items()})
    assert alone.pixels is not None and torch.allclose(alone.pixels, together.pixels[1:2], atol=1e-10)


@FEW
@given(networks(), st.floats(-3, 3), st.integers(0, 99))
def test_relevance_is_linear_in_its_start(model: nn.Module, factor: float, seed: int) -> None:
    net, x = lrp.canonize(model), pictures(2, 24, seed)
    one = torch.ones(2, 1).double()
    other = torch.tensor([[0.5], [-2.0]]).double()
    a, b = (lrp.relevance(net, x, start=s).maps for s in (one, other))
    both = lrp.relevance(net, x, start=factor * one + other).maps
    for layer, r in both.items():
        assert torch.allclose(r, factor * a[layer] + b[layer], rtol=1e-8, atol=1e-9), layer


@FEW
@given(st.integers(0, 1000), st.integers(0, 99), st.booleans())
def test_every_layer_of_a_chain_carries_the_whole_logit(seed: int, picture: int, maxpool: bool) -> None:
    """Without biases and branches nothing leaks: relevance sums to f in every layer and in the pixels."""
    generator = torch.Generator().manual_seed(seed)
    convs: list[nn.Module] = []
    channels = 3
    for out in (5, 4, 6):
        conv = nn.Conv2d(channels, out, 3, padding=1, bias=False).double()
        conv.weight.data = torch.randn(conv.weight.shape, generator=generator, dtype=torch.float64)
        convs += [conv, nn.ReLU()]
        channels = out
    head = nn.Linear(channels, 1, bias=False).double()
    head.weight.data = torch.rand(1, channels, generator=generator, dtype=torch.float64) + 0.1
    pool = nn.MaxPool2d(2) if maxpool else nn.Identity()
    model = nn.Sequential(*convs, pool, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    net = lrp.canonize(model, pixel_rule="zplus")
    out = lrp.relevance(net, pictures(2, 12, picture), pixels=True)
    assert out.logit is not None and out.pixels is not None
    for r in (*out.maps.values(), out.pixels):
        assert torch.allclose(r.sum((1, 2, 3)), out.logit[:, 0], rtol=1e-4)
        assert bool((r >= 0).all())  # a positive start stays positive where nothing is subtracted


@FEW
@given(networks(silu=False), st.integers(0, 99))
def test_streaming_gives_what_collecting_gives(model: nn.Module, seed: int) -> None:
    net, x = lrp.canonize(model), pictures(2, 24, seed)
    streamed: list[tuple[str, Tensor]] = []
    out = lrp.relevance(net, x, on_layer=lambda layer, r: streamed.append((layer, r)))
    assert out.maps == {} and [k for k, _ in streamed] == list(net.layers)[::-1]
    same(dict(streamed[::-1]), lrp.relevance(net, x).maps, 0)


@FEW
@given(networks(), st.integers(0, 99))
def test_the_memory_layout_of_the_pictures_does_not_matter(model: nn.Module, seed: int) -> None:
    net, x = lrp.canonize(model), pictures(4, 24, seed)
    last = x.contiguous(memory_format=torch.channels_last)
    same(lrp.relevance(net, x).maps, lrp.relevance(net, last).maps, 1e-13)
    assert torch.equal(net(x), net(last))


@pytest.mark.slow
@FEW
@given(networks(), st.integers(0, 99))
def test_real_is_explained_as_fake_is_by_the_opposite_network(model: nn.Module, seed: int) -> None:
    """Turn the signs of the last layer: f becomes -f, the decision the opposite, the reasons stay."""
    x = pictures(3, 24, seed)
    ours = lrp.relevance(lrp.canonize(model), x)
    opposite = copy.deepcopy(model)
    opposite.fc.weight.data.neg_(), opposite.fc.bias.data.neg_()  # type: ignore[operator,union-attr]
    theirs = lrp.relevance(lrp.canonize(opposite), x)
    assert ours.logit is not None and theirs.logit is not None
    assert torch.equal(ours.logit, -theirs.logit)
    same(ours.maps, theirs.maps, 1e-12)


def test_the_pictures_and_the_model_are_left_alone() -> None:
    model, x = toy(2), pictures(2, 32)
    before, state = x.clone(), copy.deepcopy(model.state_dict())
    lrp.relevance(lrp.canonize(model), x, pixels=True)
    assert torch.equal(x, before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_the_start_is_the_logit_with_the_sign_of_the_decision() -> None:
    """For a real picture -f is explained: what speaks for real is positive, and the total is +abs(f)."""
    model, x = toy(3), pictures(6, 32)
    with torch.no_grad():
        model.fc.bias.zero_()  # type: ignore[operator,union-attr]
        model.fc.bias -= model(x).median()  # type: ignore[operator,union-attr]
    net = lrp.canonize(model)
    out = lrp.relevance(net, x)
    f = out.logit
    assert f is not None and bool((f > 0).any()) and bool((f < 0).any())
    same(out.maps, lrp.relevance(net, x, start=f.abs()).maps, 0)
    # the paper's code starts at the sign: for real pictures that is the relevance for fake, divided by abs(f)
    recreated = lrp.canonize(model, reference=True)
    f = recreated(x)
    same(lrp.relevance(recreated, x).maps, lrp.relevance(recreated, x, start=f.sign()).maps, 0)


def test_a_real_picture_is_explained_by_what_speaks_for_real() -> None:
    """One map for real, one for fake, the first stronger: its relevance is positive, in the paper's not."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1, bias=False)
            self.conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[:, :, None, None]
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(2, 1, bias=False)
            self.fc.weight.data = torch.tensor([[-3.0, 1.0]])  # map 0 speaks for real, map 1 for fake

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.flatten(self.pool(torch.relu(self.conv(x))), 1))

    model, x = Model().double().eval(), torch.ones(1, 3, 4, 4).double()
    ours = lrp.relevance(lrp.canonize(model), x).maps["conv"].sum((2, 3))[0]
    theirs = lrp.relevance(lrp.canonize(model, reference=True), x).maps["conv"].sum((2, 3))[0]
    assert ours.tolist() == pytest.approx([3, -1], abs=1e-4)
    assert theirs.tolist() == pytest.approx([-1.5, 0.5], abs=1e-4)


def test_one_neuron_is_the_start() -> None:
    net, x = lrp.canonize(toy(4)), pictures(3, 32)
    outputs: dict[str, Tensor] = {}
    net.forward(x, watch=lambda step, y: outputs.update({step.name: y.clone()}))
    layer = "blocks.0.conv"
    flat = outputs[layer].flatten(1).argmax(1)
    _, height, width = outputs[layer].shape[1:]
    where = [(int(i) // (height * width), int(i) // width % height, int(i) % width) for i in flat]
    channel, row, col = (list(v) for v in zip(*where, strict=True))
    out = lrp.relevance(net, x, lrp.Neuron(layer, channel, row, col), pixels=True)
    assert out.logit is None and list(out.maps) == ["conv1", layer]
    assert out.maps[layer].sum((1, 2, 3)).tolist() == [1, 1, 1]
    # several neurons of one picture, in one forward pass
    several = lrp.relevance(
        net, x[:1], lrp.Neuron(layer, [channel[0], 0], [row[0], 1], [col[0], 1]), pixels=True
    )
    assert several.pixels is not None and out.pixels is not None
    assert len(several.pixels) == 2 and torch.allclose(several.pixels[0], out.pixels[0], atol=1e-12)
    # a neuron that is not active starts nothing
    off = (outputs[layer][0] <= 0).nonzero()[0].tolist()
    assert not lrp.relevance(net, x[:1], lrp.Neuron(layer, *off)).maps["conv1"].any()


def test_the_public_names(tmp_path: Path) -> None:
    """The interface as a reader of the book uses it, end to end."""
    net, x = lrp.canonize(toy(4)), pictures(4, 32)
    out = lrp.relevance(net, x, start="logit", pixels=False)
    assert out.logit is not None and out.logit.shape == (4, 1) and out.pixels is None
    assert {k: r.shape[:2] for k, r in out.maps.items()} == {k: (4, c) for k, c in net.layers.items()}
    seen: list[str] = []
    assert lrp.relevance(net, x, on_layer=lambda layer, r: seen.append(layer)).maps == {}
    assert seen == list(net.layers)[::-1] == ["blocks.1.shortcut", "blocks.1.conv", "blocks.0.conv", "conv1"]

    label = "fake" if float(out.logit[0]) > 0 else "real"
    omega = ffrs.ff_rs(net, [x], label=label, confidence=0.5)  # type: ignore[arg-type]
    assert omega.count and omega.values.keys() == net.layers.keys()
    sets = (omega.top(3), omega.low(3), omega.random(3, 0), omega.matched(3, 0))
    assert all(len(set(maps)) == 3 for maps in sets)
    omega.to_csv(tmp_path / "omega.csv")
    assert ffrs.from_csv(tmp_path / "omega.csv").ranking == omega.ranking

    best = maxima.activation_max(net, [x], omega.top(3), top=2)
    assert best.value.shape == best.image.shape == best.row.shape == best.col.shape == (3, 2)
    patch = maxima.lrp_max(net, best)[0]
    assert patch.relevance.shape == patch.picture.shape and len(patch.box) == 4


def test_single_precision_is_close_to_double() -> None:
    net, x = lrp.canonize(toy(5)), pictures(4, 32)
    double = lrp.relevance(net, x).maps
    single = lrp.relevance(net.to(dtype=torch.float32), x.float()).maps
    same({k: v.double() for k, v in single.items()}, double, 1e-3)


def test_bfloat16_is_an_option_and_float16_is_refused() -> None:
    net, x = lrp.canonize(toy(5)), pictures(4, 32)
    double = lrp.relevance(net, x).maps
    half = lrp.relevance(net.half(), x.bfloat16()).maps
    assert all(r.dtype == torch.bfloat16 for r in half.values())
    same({k: v.double() for k, v in half.items()}, double, 0.2)
    with pytest.raises(ValueError, match=r"float16 cannot hold .* denominator, 1e-12.*net\.half\(\)"):
        net.to(dtype=torch.float16)
    with pytest.raises(ValueError, match="float16 cannot hold"):
        lrp.canonize(toy(5).half())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler is here")
def test_compiled_is_an_option_and_the_same() -> None:
    net, x = lrp.canonize(toy(5)), pictures(4, 32)
    compiled = net.compiled()
    # as torch does it, but for a program for each set of instructions that the processor names, and for
    # processes that load torch to start compilers
    with torch._inductor.config.patch({"cpp.vec_isa_ok": True, "compile_threads": 1}):
        found, expected = (lrp.relevance(n, x, pixels=True) for n in (compiled, net))
    same(found.maps, expected.maps, 1e-12)
    assert found.pixels is not None and expected.pixels is not None
    same({"pixels": found.pixels}, {"pixels": expected.pixels}, 1e-12)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        RuntimeError, match=r"needs a C\+\+ compiler, and 'no-such-compiler' is not there.*CXX"
    ):
        lrp.canonize(toy()).compiled()


def count(net: lrp.Net) -> int:
    return sum(net.layers.values())


def tv(name: str) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, num_classes=1)


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("resnet18", 4800),
        ("efficientnet_b0", 21_008),
        pytest.param("resnet34", 8512, marks=pytest.mark.slow),
        pytest.param("resnet50", 26_560, marks=pytest.mark.slow),
        pytest.param("resnet152", 75_712, marks=pytest.mark.slow),
        pytest.param("efficientnet_b7", None, marks=pytest.mark.slow),  # the deepest of one make
        pytest.param("densenet121", None, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", None, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", None, marks=pytest.mark.slow),
        pytest.param("squeezenet1_1", None, marks=pytest.mark.slow),
    ],
)
def test_networks_of_torchvision(name: str, maps: int | None) -> None:
    """canonize itself asserts that the copy computes what the model computes."""
    torch.manual_seed(0)
    net = lrp.canonize(tv(name).eval())
    assert maps is None or count(net) == maps
    check_walk(net, 64)


@pytest.mark.parametrize(
    ("number", "size"),
    [
        (0, None),
        (0, 64),
        pytest.param(3, 64, marks=pytest.mark.slow),
        pytest.param(7, None, marks=pytest.mark.slow),
    ],
)
def test_networks_of_efficientnet_pytorch(number: int, size: int | None) -> None:
    """Padding that depends on the picture (size None) and fixed padding; odd sizes pad unevenly.

    B0 to B7 are made of the same blocks: more of them, and wider ones.
    """
    torch.manual_seed(0)
    model = EfficientNet.from_name(f"efficientnet-b{number}", num_classes=1, image_size=size).eval()
    net = lrp.canonize(model)
    assert number or count(net) == 21_008
    x = pictures(1, 64 if size else 57).float()
    with torch.no_grad():
        assert torch.allclose(net(x), model(x), atol=1e-5)
    check_walk(net, 64 if size else 57)


def check_walk(net: lrp.Net, size: int) -> None:
    x = pictures(1, size).to(net.dtype)
    start = torch.ones(1, 1)
    out = lrp.relevance(net, x, start=start, pixels=True)
    assert {k: v.shape[1] for k, v in out.maps.items()} == net.layers
    assert out.pixels is not None and out.pixels.shape == x.shape
    assert all(bool(torch.isfinite(r).all()) for r in (*out.maps.values(), out.pixels))


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(self.conv(x), 1)


class Branching(Unknown):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y if y.sum() > 0 else -y


class Twice(Unknown):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.again(self.conv(x)))


class Product(Unknown):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y * torch.relu(y)


class Reflect(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (Unknown(), lrp.NoRule, r"no LRP rule for node 'cumsum'.*lrp\.RULES"),
        (Branching(), ValueError, "cannot be traced by torch.fx.*branches"),
        (Twice(), lrp.NoRule, "'again_1'.*used twice"),
        (Product(), lrp.NoRule, "node 'mul'.*sigmoid gate"),
        (Reflect(), lrp.NoRule, "padding_mode is 'reflect', expected 'zeros'"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 1)), ValueError, "no convolution"),
    ],
)
def test_networks_that_are_refused(model: nn.Module, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        lrp.canonize(model.eval())


def test_a_model_in_training_mode_is_refused() -> None:
    model = toy()
    model.blocks[0].bn.train()  # type: ignore[index,union-attr]
    with pytest.raises(ValueError, match=r"training mode.*expected evaluation mode; call model\.eval\(\)"):
        lrp.canonize(model)


def test_a_copy_that_computes_something_else_is_refused() -> None:
    wrong = lrp.RULES | {nn.ReLU: lrp.passing(torch.tanh)}
    with pytest.raises(ValueError, match="does not compute what Toy computes"):
        lrp.canonize(toy(), rules=wrong)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (torch.zeros(3, 32, 32).double(), r"shape \(N, 3, height, width\), found \(3, 32, 32\)"),
        (torch.zeros(1, 1, 32, 32).double(), r"found \(1, 1, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32), "network is in torch.float64, the pictures are in torch.float32"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "the pictures are in torch.uint8"),
        ([1, 2], "found list"),
    ],
)
def test_wrong_pictures_are_refused(x: Any, text: str) -> None:
    net = lrp.canonize(toy())
    with pytest.raises(ValueError, match=text):
        lrp.relevance(net, x)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("probability", "expected 'logit', a tensor of start relevances, or a Neuron"),
        (torch.ones(3, 1), r"start has shape \(3, 1\): expected \(2, 1\)"),
        (lrp.Neuron("conv9", 0, 0, 0), "no layer 'conv9': expected one of its 4 convolutions"),
        (lrp.Neuron("conv1", 4, 0, 0), "channel 4 does not fit: expected one number.*from 0 to 3"),
        (lrp.Neuron("conv1", 0, [0, 1, 2], 0), r"row \[0, 1, 2\] does not fit"),
    ],
)
def test_wrong_starts_are_refused(start: Any, text: str) -> None:
    net = lrp.canonize(toy())
    with pytest.raises(ValueError, match=text):
        lrp.relevance(net, pictures(2, 32), start=start)


def test_several_logits_need_a_target() -> None:
    model = toy(6)
    single = lrp.relevance(lrp.canonize(model), pictures(2, 32)).maps
    head = nn.Linear(5, 3).double().eval()
    head.weight.data[1], head.bias.data[1] = model.fc.weight.data[0], model.fc.bias.data[0]  # type: ignore
    model.fc = head
    with pytest.raises(
        ValueError, match=r"\(2, 3\): say which logit to explain, canonize\(model, target=...\)"
    ):
        lrp.relevance(lrp.canonize(model), pictures(2, 32))
    with pytest.raises(ValueError, match="target is 3: expected a logit from 0 to 2"):
        lrp.canonize(model, target=3)
    out = lrp.relevance(lrp.canonize(model, target=1), pictures(2, 32))
    assert out.logit is not None and out.logit.shape == (2, 1)
    same(out.maps, single)
