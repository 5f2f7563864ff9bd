"""The methods: what a linear detector's explanations must be, and what all of them must keep to."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from exam_toys import detector, linear, pictures
from scipy import ndimage
from torch import Tensor, nn

from tff_core import lrp
from tff_core.exam import flipping, methods
from tff_core.features import pixels
from tff_core.pictures import data

FEW = methods.Settings(masks=8, cells=4, steps=3, samples=2, window=8, batch_size=16)
NAMES = list(methods.METHODS)


class Opposite(nn.Module):
    """The detector that says real wherever another one says fake."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.fc = nn.Linear(1, 1, bias=False).double().requires_grad_(False)
        self.fc.weight.data.fill_(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.model(x))


@pytest.fixture(scope="module")
def found() -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    """All methods, asked about three pictures."""
    model, x = detector(), pictures(4, 32)
    assert len(set(methods.sides(model(x)).tolist())) == 2  # both decisions
    return model, x, {name: explain(x) for name, explain in methods.build(model, settings=FEW).items()}


def test_there_are_ten_methods_and_two_controls() -> None:
    assert len(NAMES) == 12 and set(methods.CONTROLS) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_has_a_number_for_each_pixel_and_says_something(
    found: tuple[nn.Module, Tensor, dict[str, Tensor]], name: str
) -> None:
    _, x, maps = found
    assert maps[name].shape == (4, 32, 32) and maps[name].dtype == x.dtype
    assert not maps[name].requires_grad and bool(torch.isfinite(maps[name]).all())
    if name != "gradcam":  # whose map may be empty
        assert bool((maps[name].var((1, 2)) > 0).all())
    if not methods.METHODS[name].signed:
        assert float(maps[name].min()) >= 0


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_has_the_same_map_in_every_batch_and_every_time(
    found: tuple[nn.Module, Tensor, dict[str, Tensor]], name: str
) -> None:
    model, x, maps = found
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(1)
    alone = methods.build(model, [name], FEW)[name](x[1:2])
    torch.testing.assert_close(alone[0], maps[name][1], rtol=1e-9, atol=1e-12)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in methods.CONTROLS])
def test_what_speaks_for_fake_speaks_against_real(
    found: tuple[nn.Module, Tensor, dict[str, Tensor]], name: str
) -> None:
    """The opposite detector decides the opposite for the same reasons, so its explanation is the same."""
    model, x, maps = found
    explain = methods.build(Opposite(model).eval(), [name], FEW)[name]
    torch.testing.assert_close(explain(x), maps[name], rtol=1e-4, atol=1e-6 * float(maps[name].abs().max()))


def test_the_seed_decides_what_is_drawn(found: tuple[nn.Module, Tensor, dict[str, Tensor]]) -> None:
    model, x, maps = found
    other = methods.Settings(**{**vars(FEW), "seed": 1})
    drawn = ["smoothgrad", "rise", "random"]
    for name, explain in methods.build(model, settings=other).items():
        assert torch.allclose(explain(x), maps[name]) == (name not in drawn), name


@pytest.mark.parametrize("blank", [methods.MEAN, methods.GRAY])
def test_linear_detectors_are_explained_by_their_contributions(blank: str) -> None:
    f, x = linear(16, channels=3), pictures(4, 16)
    f.bias = 0.3
    side, fill = methods.sides(f(x)).view(-1, 1, 1), flipping.mean_colour(x)
    if blank == methods.GRAY:
        mean, std = (
            x.new_tensor(value).view(1, 3, 1, 1) for value in (data.IMAGENET_MEAN, data.IMAGENET_STD)
        )
        fill = ((0.5 - mean) / std).expand_as(x)
    names = ["gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "occlusion"]
    found = {name: one(x) for name, one in methods.build(f, names, replace(FEW, blank=blank)).items()}
    slope = f.weight.abs().sum(0).expand(4, -1, -1)
    torch.testing.assert_close(found["gradient"], slope)
    torch.testing.assert_close(found["smoothgrad"], slope)
    torch.testing.assert_close(found["input_x_gradient"], side * f.contributions(x))
    torch.testing.assert_close(found["integrated_gradients"], side * f.contributions(x, fill))
    # occlusion gives every pixel what its window and its channels contribute together
    fell = nn.functional.avg_pool2d(f.contributions(x, fill)[:, None], 8)[:, 0] * 64
    grown = fell.repeat_interleave(8, 1).repeat_interleave(8, 2)
    torch.testing.assert_close(found["occlusion"], 3 * side * grown)


def test_rise_finds_the_contributions_of_a_linear_detector() -> None:
    f, x = linear(16, channels=3), pictures(2, 16)
    f.weight.copy_(torch.from_numpy(ndimage.gaussian_filter(f.weight.numpy(), (0, 4, 4))))
    many = methods.Settings(masks=3000, cells=4)
    found = methods.build(f, ["rise"], many)["rise"](x)
    side = methods.sides(f(x)).view(-1, 1, 1)
    exact = side * f.contributions(x, flipping.mean_colour(x))
    coarse = ndimage.gaussian_filter(exact.numpy(), (0, 2, 2))
    for one, other in zip(found.numpy(), coarse, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8


def test_relevance_and_the_rest_come_from_where_the_book_has_them(
    found: tuple[nn.Module, Tensor, dict[str, Tensor]],
) -> None:
    model, x, maps = found
    for name, rules in (("lrp_zplus", lrp.RULES), ("lrp_epsilon_gamma", lrp.EPSILON_GAMMA)):
        out = lrp.relevance(lrp.canonize(model, rules=rules), x, pixels=True)
        assert out.pixels is not None
        torch.testing.assert_close(maps[name], out.pixels.sum(1))
    cam, guided = pixels.guided_gradcam(pixels.decisions(model), x)
    torch.testing.assert_close(maps["gradcam"], cam[:, 0])
    torch.testing.assert_close(maps["guided_gradcam"], guided.sum(1))


def test_the_controls_know_no_detector(found: tuple[nn.Module, Tensor, dict[str, Tensor]]) -> None:
    _, x, maps = found
    other = methods.build(detector(seed=5), methods.CONTROLS, FEW)
    for name, explain in other.items():
        torch.testing.assert_close(explain(x), maps[name])
    draw = other["random"]
    assert float(draw(torch.rand(1, 3, 128, 128)).mean()) == pytest.approx(0.5, abs=0.02)
    # hardly another picture, wholly other numbers
    assert abs(np.corrcoef(draw(x + 1e-6).flatten(), maps["random"].flatten())[0, 1]) < 0.1
    step = torch.zeros(1, 3, 16, 16).double()
    step[..., 8:] = 2.0
    assert other["edges"](step)[0].argmax(1).tolist() == [7] * 16
    seen = replace(FEW, preprocessing=replace(data.IMAGENET, planes="ycbcr"))
    for plane, strongest in ((0, 1.0), (1, 0.0)):  # luma comes first there, and chroma has no edges
        step = torch.zeros(1, 3, 16, 16)
        step[:, plane, :, 8:] = 2.0
        drawn = methods.build(detector(), ["edges"], seen)["edges"](step)
        assert float(drawn.max()) == strongest


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(ValueError, match="no method is called 'shap': expected some of lrp_zplus"):
        methods.build(detector(), ["shap"])
    with pytest.raises(ValueError, match="training mode"):
        methods.build(detector().train(), ["gradient"])
    with pytest.raises(ValueError, match="2 or more masks"):
        methods.build(detector(), ["rise"], methods.Settings(masks=1))
    with pytest.raises(ValueError, match="blank is 'black': expected 'mean' or 'gray'"):
        methods.Settings(blank="black")
    with pytest.raises(ValueError, match="expected one for each picture"):
        methods.sides(torch.zeros(2, 3))
