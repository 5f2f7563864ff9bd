"""Relevance in networks of many families: shapes that follow the picture, parts, gates, odd spellings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from foreign_nets import POOLS, Fixed, Manifold, Xception, inception
from lrp_nets import pictures, randomise
from lrp_others import zennit_composite, zennit_relevance
from torch import Tensor, nn
from torchvision.models import vgg

from tff_core import lrp
from tff_core.lrp.canonize import IMAGENET_BOUNDS


def total(model: nn.Module, x: Tensor) -> None:
    """The same logit and finite relevance, at another size and number of pictures too."""
    net = lrp.canonize(model)
    for part in (x, x[:1], F.interpolate(x, scale_factor=1.5)):
        with torch.no_grad():
            assert torch.allclose(net(part), model(part), rtol=1e-9, atol=1e-9)
        out = lrp.relevance(net, part, pixels=True)
        assert out.pixels is not None and out.pixels.shape == part.shape
        assert all(bool(torch.isfinite(r).all()) for r in (*out.maps.values(), out.pixels))
        assert float(out.pixels.abs().sum()) > 0


@pytest.mark.parametrize("pool", list(POOLS))
def test_global_pooling_in_any_spelling_is_one_rule(pool: str) -> None:
    torch.manual_seed(0)
    model = randomise(Xception(width=2, pool="adaptive"), size=48)
    other = Xception(width=2, pool=pool).double().eval()
    other.load_state_dict(model.state_dict())
    x = pictures(2, 48)
    total(other, x)
    expected, found = (lrp.relevance(lrp.canonize(m), x, pixels=True) for m in (model, other))
    assert expected.pixels is not None and found.pixels is not None
    for layer, r in (*expected.maps.items(), ("pixels", expected.pixels)):
        same = found.pixels if layer == "pixels" else found.maps[layer]
        # two means, or a sum and a quotient, are stabilised twice or otherwise
        assert float((same - r).abs().sum()) < 1e-3 * float(r.abs().sum()), layer


def test_many_spellings_in_one_network() -> None:
    torch.manual_seed(0)
    model = randomise(Manifold(), size=24)
    total(model, pictures(3, 24))


def test_relevance_is_conserved_between_parts_and_shuffles() -> None:
    """Without biases nothing leaks: each layer's channels have the whole logit between them."""

    class Shuffling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.left = nn.Conv2d(4, 4, 3, padding=1, bias=False)
            self.last = nn.Conv2d(8, 5, 1, bias=False)
            self.fc = nn.Linear(5, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            a, b = nn.ReLU()(self.first(x)).chunk(2, 1)
            x = torch.cat([nn.ReLU()(self.left(a)), b], 1)
            n, c, h, w = x.size()
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
            return self.fc(torch.mean(nn.ReLU()(self.last(x)).view(n, 5, -1), 2))

    torch.manual_seed(0)
    model = Shuffling().double().eval()
    model.fc.weight.data.abs_()
    net, x = lrp.canonize(model, pixel_rule="zplus"), pictures(2, 16)
    out = lrp.relevance(net, x, pixels=True)
    assert out.logit is not None and out.pixels is not None
    for r in (out.maps["last"], out.maps["first"], out.pixels):
        assert torch.allclose(r.sum((1, 2, 3)), out.logit[:, 0].abs(), rtol=1e-4)
    # what does not pass the left branch passes beside it
    assert bool((out.maps["left"].sum((1, 2, 3)) < out.logit[:, 0].abs()).all())


def test_a_rescaled_picture_has_the_relevance_of_the_same_picture() -> None:
    """Inception changes the picture's scale itself: pixels keep what the rescaled ones are given."""
    rescale = inception()._transform_input
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    plain = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 1)).double().eval()

    class Rescaling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain = plain

        def forward(self, x: Tensor) -> Tensor:
            return self.plain(rescale(x))

    x = pictures(2, 24)
    net = lrp.canonize(Rescaling().eval())
    bounds = net.conv("plain.0").bounds
    ends = [rescale(torch.full_like(x, end)) for end in IMAGENET_BOUNDS]
    assert bounds == pytest.approx((float(ends[0].min()), float(ends[1].max())))
    expected = lrp.relevance(lrp.canonize(plain, bounds=bounds), rescale(x), pixels=True)
    found = lrp.relevance(net, x, pixels=True)
    assert expected.pixels is not None and found.pixels is not None
    assert torch.allclose(found.pixels, expected.pixels, rtol=1e-9, atol=1e-12)


def test_what_is_written_in_place_is_read_by_all_that_come_after() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
            self.act, self.fc = nn.LeakyReLU(0.2, inplace=True), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            y = self.second(self.act(x))  # the skip below adds what the activation has left in x
            y += x
            F.relu(y, inplace=True)
            return self.fc(y.amax((2, 3)) + torch.max(y.flatten(2), dim=2)[0])

    torch.manual_seed(0)
    total(Writing().double().eval(), pictures(2, 12))


def test_a_network_of_one_size_is_checked_at_the_size_that_it_declares() -> None:
    model = Fixed().double().eval()
    with pytest.raises(ValueError, match=r"cannot run on noise of 64 x 64 pixels, nor of 224.*example=x"):
        lrp.canonize(model)
    expected = lrp.canonize(model, example=pictures(2, 40))
    model.input_size = (40, 40)  # type: ignore[assignment]
    net, x = lrp.canonize(model), pictures(2, 40)
    assert torch.equal(net(x), expected(x)) and torch.allclose(net(x), model(x))
    with pytest.raises(ValueError, match="mixes its pictures"):
        net(pictures(8, 20))


def test_zennit_agrees_in_networks_without_branches() -> None:
    """VGG (a fixed head of several linear layers) and separable convolutions, by the rules of zennit."""
    features = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    features += [nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.Conv2d(6, 8, 1, bias=False)]
    features += [nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten()]
    features += [nn.Linear(32, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1)]
    names = ["conv1", *(f"layer{i}" for i in range(1, len(features)))]
    model = randomise(nn.Sequential(OrderedDict(zip(names, features, strict=True))), size=16)
    agree(model, pictures(2, 16))


@pytest.mark.slow
@pytest.mark.parametrize("norm", [True, False])
def test_zennit_agrees_in_vgg(norm: bool) -> None:
    """torchvision's VGG-11 with narrower maps, and with its head."""
    widths = [4, "M", 6, "M", 8, 8, "M", 10, 10, "M", 10, 10, "M"]
    torch.manual_seed(0)
    model = torchvision.models.VGG(vgg.make_layers(widths, norm), num_classes=1)
    head = model.classifier
    head[0], head[3], head[6] = nn.Linear(10 * 49, 32), nn.Linear(32, 16), nn.Linear(16, 1)
    agree(randomise(model, size=32), pictures(1, 32), first="features.0")


def test_zennit_agrees_in_squeezenet() -> None:
    """A convolution is the head, and branches are put side by side."""
    torch.manual_seed(0)
    model = randomise(torchvision.models.squeezenet1_1(num_classes=1), size=48)
    agree(model, pictures(1, 48), first="features.0")


def agree(model: nn.Module, x: Tensor, first: str = "conv1") -> None:
    from zennit.torchvision import VGGCanonizer

    net = lrp.canonize(model, reference=True)
    theirs, start = zennit_relevance(model, zennit_composite(first, VGGCanonizer()), net.layers, x)
    out = lrp.relevance(net, x, start=start, pixels=True)
    assert out.pixels is not None
    mine = {**out.maps, "pixels": out.pixels}
    assert mine.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert float((mine[name] - expected).abs().sum()) < 1e-9 * float(expected.abs().sum())


class Odd(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (
            lambda y: y.view(-1, 4),
            "'view' \\(view, reshape\\).*mixes the pictures.*expected the first axis to stay",
        ),
        (lambda y: y.transpose(0, 1), "'transpose'.*moves the axis of the pictures"),
        (lambda y: y.mean(), "'mean'.*the axes that it is taken over"),
        (lambda y: y.mean((0, 2)), "'mean'.*mixes the pictures of a batch"),
        (lambda y: y[0], "'getitem'.*numbers and slices of channels"),
        (lambda y: torch.cat(y.chunk(2, 0), 1), "'chunk'.*pictures of a batch|'cat'"),
        (lambda y: y / y.abs().sum((1, 2, 3), keepdim=True), "'abs_1'|'truediv'.*divided by a constant"),
        (lambda y: nn.Conv2d(4, 1, 1).double()(y), "Conv2d: forward.. makes it anew"),
        (lambda y: nn.Dropout()(y), "'dropout'.*drops at random in evaluation too"),
        (lambda y: F.layer_norm(y, y.shape[1:]), "'layer_norm'.*normalises by the mean and deviation"),
        (lambda y: y.flatten(2).softmax(2), "'softmax'.*attention"),
        (lambda y: (y, y), "returns a tuple of 2: expected one tensor"),
        (lambda y: {"logit": y}, "returns a dict of 1: expected one tensor"),
    ],
)
def test_what_has_no_rule_is_named_with_its_cause(function: Callable[[Tensor], Tensor], text: str) -> None:
    with pytest.raises((lrp.NoRule, ValueError), match=text):
        lrp.canonize(Odd(function).eval())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("convnext_tiny", r"features\.0\.1, LayerNorm2d.*fixed scale"),
        ("vit_b_16", r"encoder_layer_0\.ln_1, LayerNorm.*fixed scale"),
        ("swin_t", r"features\.0\.2, LayerNorm.*expected a convolutional network"),
    ],
)
def test_networks_of_layer_norm_and_attention_are_refused_by_name(name: str, text: str) -> None:
    with torch.device("meta"):  # nothing is computed before they are
        model = torchvision.models.get_model(name, num_classes=1).eval()
    with pytest.raises(lrp.NoRule, match=text):
        lrp.canonize(model)
