"""Explanations in pixels: guided backpropagation by hand, Grad-CAM by hand, and the share on the object."""

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from tff_core import detectors, lrp, maxima, pixels
from tff_core.names import FeatureMap

pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks")


class Tiny(nn.Module):
    """conv -> activation -> conv -> activation -> mean -> logit, small enough to differentiate by hand."""

    def __init__(self, activation, inplace=False):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.act = activation(inplace=inplace) if inplace else activation()
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        x = self.act(self.second(self.act(self.first(x))))
        return self.head(x.mean((2, 3)))


def by_hand(model, x, target, slope):
    """Guided backpropagation of Tiny: at each activation only positive gradients at positive inputs pass."""
    z1 = model.first(x)
    a1 = model.act(z1.clone())
    z2 = model.second(a1)
    g = model.head.weight[target].view(1, 5, 1, 1).expand_as(z2) / (z2.shape[2] * z2.shape[3])
    g = g.clamp(min=0) * slope(z2) * (z2 > 0)
    g = nn.functional.conv_transpose2d(g, model.second.weight, padding=1)
    g = g.clamp(min=0) * slope(z1) * (z1 > 0)
    return nn.functional.conv_transpose2d(g, model.first.weight, padding=1)


def swish_slope(z):
    s = torch.sigmoid(z)
    return s + z * s * (1 - s)


@pytest.mark.parametrize(
    ("activation", "inplace", "slope"),
    [(nn.ReLU, False, torch.ones_like), (nn.ReLU, True, torch.ones_like), (nn.SiLU, False, swish_slope)],
)
@torch.no_grad()
def test_guided_backpropagation_and_gradcam_by_hand(activation, inplace, slope):
    model = Tiny(activation, inplace).eval()
    x = torch.randn(2, 3, 6, 6)
    cam, product = pixels.guided_gradcam(model, x, layer="second", target=1)

    features = model.second(model.act(model.first(x)))
    weight = torch.autograd.functional.jacobian(
        lambda z: model.head(model.act(z.clone()).mean((2, 3)))[:, 1].sum(), features
    ).mean((2, 3), keepdim=True)
    expected = (weight * features).sum(1, keepdim=True).clamp(min=0)
    largest = expected.amax((2, 3), keepdim=True)
    expected = torch.where(largest > 0, expected / largest, expected)
    assert torch.allclose(cam, expected, atol=1e-5)
    assert torch.allclose(product, expected * by_hand(model, x, 1, slope), atol=1e-6)


def test_guided_swish_has_the_value_of_swish_and_the_masks_of_guided_backpropagation():
    x = torch.tensor([-3.0, -0.5, 0.5, 3.0, 0.5, 3.0], requires_grad=True)
    y = pixels.GuidedSwish()(x)
    assert torch.allclose(y, nn.functional.silu(x))
    y.backward(torch.tensor([1.0, 1.0, 1.0, 2.0, -1.0, -2.0]))
    slope = swish_slope(x.detach())
    assert torch.allclose(
        x.grad, torch.stack([0 * slope[0], 0 * slope[0], slope[2], 2 * slope[3], 0 * slope[0], 0 * slope[0]])
    )


def test_the_model_is_left_alone_and_the_copy_computes_the_same():
    model = detectors.build("efb0")
    before = {name: type(m) for name, m in model.named_modules()}
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        logit = model(x)
        twin = pixels.guided(model)
        assert torch.allclose(twin(x), logit, atol=1e-6)
    pixels.guided_gradcam(model, x)
    assert {name: type(m) for name, m in model.named_modules()} == before
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
    swishes = [m for m in twin.modules() if isinstance(m, pixels.GuidedSwish)]
    assert len(swishes) == sum(isinstance(m, pixels._SWISHES) for m in model.modules()) > 0


def test_captum_alone_does_not_guide_through_swish():
    model = Tiny(nn.SiLU).eval()
    x = torch.randn(1, 3, 6, 6, requires_grad=True)
    plain = torch.autograd.grad(model(x)[:, 1].sum(), x)[0]
    assert torch.allclose(GuidedBackprop(model).attribute(x, 1), plain, atol=1e-6)
    assert not torch.allclose(GuidedBackprop(pixels.guided(model)).attribute(x, 1), plain, atol=1e-3)


def test_a_model_that_cannot_be_guided_is_refused():
    with pytest.raises(ValueError, match="no ReLU or SiLU module"):
        pixels.guided(nn.Sequential(nn.Conv2d(3, 1, 1), nn.Tanh()))
    model = Tiny(nn.ReLU).eval()
    with pytest.raises(ValueError, match="no module None"):
        pixels.guided_gradcam(model, torch.randn(1, 3, 6, 6))
    with pytest.raises(ValueError, match="training mode"):
        pixels.guided_gradcam(model.train(), torch.randn(1, 3, 6, 6), layer="second")


def plain(logits):
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, logits)).double().eval()


def test_relevance_of_the_pixels_explains_each_pictures_own_decision():
    x = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    model = plain(1)
    with torch.no_grad():
        model[-1].bias -= model(x).median()  # some are called fake, some real
    net = lrp.canonize(model)
    assert 0 < int((net(x) > 0).sum()) < 5
    found = pixels.relevance(net, x, batch_size=2)
    assert found.shape == x.shape
    assert torch.allclose(found, lrp.relevance(net, x, pixels=True).pixels)
    third = lrp.canonize(plain(4), target=2)
    start = third(x)[:, [2]].abs()
    assert torch.allclose(
        pixels.relevance(third, x), lrp.relevance(third, x, start=start, pixels=True).pixels
    )


def test_heat_of_a_hand_case():
    a = torch.tensor([[[[1.0, -3.0]], [[1.0, 1.0]]], [[[-1.0, -1.0]], [[0.0, 0.0]]]])  # (2, 2, 1, 2)
    assert pixels.heat(a).tolist() == [[[1.0, 0.0]], [[0.0, 0.0]]]  # the empty map stays zero, not NaN
    assert pixels.heat(torch.tensor([[[[2.0, 1.0]]]])).tolist() == [[[1.0, 0.5]]]
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        pixels.heat(a[0])


def test_overlay_goes_from_gray_to_light():
    picture = np.full((1, 1, 3, 3), 200, dtype=np.uint8)
    shown = pixels.overlay(picture, [[[0.0, 0.5, 1.0]]], weight=0.5)
    assert shown[0, 0, 0].tolist() == [100, 100, 100]  # no heat: half of the gray
    assert shown[0, 0, 2].tolist() == pytest.approx([100 + 127.5 * c for c in (1.0, 0.95, 0.7)], abs=1)
    brightness = shown[0, 0].sum(axis=-1)
    assert (np.diff(brightness.astype(int)) > 0).all()
    with pytest.raises(ValueError, match="heatmaps of shape"):
        pixels.overlay(picture, [[0.0, 0.5, 1.0]])


def test_enlarging_repeats_or_leaves_out_pixels():
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    found = pixels.enlarge(picture, (1, 2, 3, 4), 4)
    assert found.tolist() == picture[1:3, 2:4].repeat(2, axis=0).repeat(2, axis=1).tolist()
    assert pixels.enlarge(picture, (0, 0, 4, 4), 2).tolist() == picture[1::2, 1:4:2].tolist()
    assert pixels.enlarge(picture, (3, 4, 4, 5), 3).tolist() == np.tile(picture[3, 4], (3, 3, 1)).tolist()
    for box in ((0, 0, 0, 2), (0, 0, 5, 2), (-1, 0, 2, 2)):
        with pytest.raises(ValueError, match="not inside a picture"):
            pixels.enlarge(picture, box, 4)


def test_a_patch_is_put_back_where_it_came_from():
    relevance = torch.arange(12.0).reshape(3, 2, 2)
    patch = maxima.Patch(FeatureMap("conv", 0, 1), 0, 1.0, 0, (1, 2, 3, 4), (5, 6), relevance, relevance)
    whole = pixels.in_place(patch)
    assert whole.shape == (3, 5, 6)
    assert torch.equal(whole[:, 1:3, 2:4], relevance) and whole.sum() == relevance.sum()


def test_share_on_the_object_of_a_hand_case():
    heat = np.array([[[1.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mask = np.array([[[True, False], [False, True]], [[True, False], [False, False]]])
    share, area = pixels.share_on(heat, mask)
    assert share[0] == 3 / 4 and np.isnan(share[1])
    assert area.tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="1 of 2 masks are empty or full"):
        pixels.share_on(heat, mask & np.array([True, False])[:, None, None])
    with pytest.raises(ValueError, match="negative"):
        pixels.share_on(-heat, mask)


def test_an_explanation_that_ignores_the_object_has_equal_shares_on_average():
    rng = np.random.default_rng(0)
    masks = rng.uniform(size=(400, 8, 8)) < rng.uniform(0.2, 0.8, size=(400, 1, 1))
    share, area = pixels.share_on(rng.exponential(size=(400, 8, 8)), masks)
    assert np.mean(share) == pytest.approx(np.mean(area), abs=0.01)
