"""What a cell sees, in closed form, against gradients; and the maps made of cells."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tff_core import localization
from tff_core.localization import maps, networks, receptive
from tff_core.localization.receptive import Field

FIELDS = {
    "xception_block1": Field(19, 4, -6), "xception_block2": Field(43, 8, -18),
    "xception_block3": Field(91, 16, -42),
    "xception_block4": Field(187, 16, -90), "xception_block5": Field(283, 16, -138),
    "resnet18_layer1": Field(43, 4, -21), "resnet18_layer2": Field(99, 8, -49),
    "resnet18_layer3": Field(211, 16, -105), "resnet18_layer4": Field(435, 32, -217),
    "longxception": Field(43, 8, -18), "widenet_kw7_d1": Field(11, 4, -5), "widenet_kw3_d4": Field(13, 4, -3),
}  # fmt: skip
CUT = [name for name in networks.NAMES if not receptive.is_whole(name)]
SIZES = [(48, 48), (33, 70), (7, 30), (51, 8)]


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_the_published_ones(name: str) -> None:
    assert localization.field(name) == FIELDS[name]


def test_a_whole_network_has_no_field_and_one_cell() -> None:
    with pytest.raises(ValueError, match=r"resnet50 is a whole network.*such as resnet50_layer1"):
        localization.field("resnet50")
    assert localization.map_size("xception", (64, 48)) == (1, 1)
    assert localization.box("xception", (0, 0), (64, 47)) == (0, 0, 63, 47)
    assert localization.box("resnet18", (0, 0), (64, 47)) == (0, 0, 64, 47)


def linear(name: str) -> nn.Module:
    """The network with positive weights and mean pooling: a gradient is above zero wherever a cell looks.

    With equal weights all maps of a layer are equal, so one of them is enough.
    """
    net = networks.on_meta(name)
    for module in list(net.modules()):
        for child, inner in list(module.named_children()):
            if isinstance(inner, nn.Conv2d):
                places = inner.kernel_size, inner.stride, inner.padding, inner.dilation
                channels = 3 if inner.in_channels == 3 else 1
                one = nn.Conv2d(channels, 1, *places, bias=False)  # type: ignore[arg-type]
                one.weight.data.fill_(1.0 / one.weight.numel())
                setattr(module, child, one)
            elif isinstance(inner, nn.BatchNorm2d):
                setattr(module, child, nn.BatchNorm2d(1))
            elif isinstance(inner, nn.MaxPool2d):
                setattr(module, child, nn.AvgPool2d(inner.kernel_size, inner.stride, inner.padding))
    return net.double().eval()


def seen(net: nn.Module, cell: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    x = torch.ones(1, 3, *size, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0, cell[0], cell[1]], x)
    rows, columns = (torch.nonzero(gradient[0].amax((0, other))).flatten() for other in (2, 1))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def check(name: str, sizes: list[tuple[int, int]]) -> None:
    net = linear(name)
    for size in sizes:
        if min(size) < networks.smallest(name):
            continue
        height, width = localization.map_size(name, size)
        assert net(torch.ones(1, 3, *size, dtype=torch.float64)).shape[2:] == (height, width)
        every = receptive.boxes(name, size)
        assert every.shape == (height, width, 4)
        for cell in {(0, 0), (height - 1, width - 1), (height // 2, width // 3), (height - 1, 0)}:
            box = localization.box(name, cell, size)
            assert box == seen(net, cell, size) == tuple(every[cell]), (name, cell, size)


@pytest.mark.parametrize("name", [*CUT, "widenet_kw7_d1", "widenet_kw3_d4"])
def test_boxes_are_what_gradients_reach(name: str) -> None:
    check(name, SIZES)


@pytest.mark.parametrize("size", [(128, 128), (127, 45)])
def test_every_cell_of_one_map(size: tuple[int, int]) -> None:
    name, net = "xception_block1", linear("xception_block1")
    height, width = localization.map_size(name, size)
    for i in range(0, height, 3):
        assert localization.box(name, (i, i % width), size) == seen(net, (i, i % width), size)


def test_an_even_side_keeps_its_last_row_to_itself() -> None:
    assert localization.box("xception_block1", (30, 30), (128, 128)) == (114, 114, 127, 127)
    assert localization.box("xception_block1", (0, 0), (128, 128)) == (0, 0, 13, 13)
    assert localization.box("resnet18_layer1", (31, 31), (128, 128)) == (103, 103, 128, 128)
    assert localization.box("xception_block5", (3, 2), (64, 40)) == (0, 0, 63, 39)  # larger than the picture


@pytest.mark.parametrize("cell", [(16, 0), (0, 16), (-1, 0)])
def test_a_cell_outside_of_the_map_is_one_sentence(cell: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match="is not in the map of a picture of 128x128 pixels; expected 0 to 15"
    ):
        localization.box("xception_block2", cell, (128, 128))


@pytest.mark.parametrize("size", [(128, 128), (33, 50), (20, 90)])
def test_a_patch_lies_at_its_true_place_also_where_the_picture_is_smaller(size: tuple[int, int]) -> None:
    name = "xception_block2"
    field = localization.field(name)
    rows, columns = np.mgrid[: size[0], : size[1]]
    picture = np.stack([rows, columns])
    height, width = localization.map_size(name, size)
    for cell in ((0, 0), (height - 1, width - 1), (height // 2, width // 2)):
        found = receptive.patch(name, picture, cell, pad=-1)
        assert found.shape == (2, 43, 43)
        top, left, bottom, right = localization.box(name, cell, size)
        inside = found[0] >= 0
        assert inside.sum() == (bottom - top) * (right - left)
        ys, xs = np.nonzero(inside)
        # a pixel's place in the patch and in the picture differ by where the field begins
        assert (found[0][inside] - ys == field.start + field.jump * cell[0]).all()
        assert (found[1][inside] - xs == field.start + field.jump * cell[1]).all()


# --------------------------------------------------------------------------------------------------- maps


@pytest.mark.parametrize("fake_class", [0, 1])
def test_a_heatmap_is_the_softmax_of_the_fakes_class(fake_class: int) -> None:
    net = localization.build("resnet18_layer1", init="kaiming", fake_class=fake_class)
    x = torch.randn(3, 3, 50, 37)
    with torch.inference_mode():
        expected = net(x).softmax(1)[:, fake_class]
    found = localization.heatmap(net, x)
    assert found.shape == (3, *localization.map_size("resnet18_layer1", (50, 37)))
    torch.testing.assert_close(found, expected)
    mirrored = copy.deepcopy(net)
    mirrored.fake_class = 1 - fake_class
    torch.testing.assert_close(localization.heatmap(mirrored, x), 1 - found)


def test_a_heatmap_does_not_depend_on_mode_or_batch_and_leaves_the_network_as_it_was() -> None:
    net = localization.build("xception_block1", init="kaiming").train()
    net.bn1.eval()
    x = torch.randn(4, 3, 40, 40)
    before = net.bn2.running_mean.clone()
    found = localization.heatmap(net, x)
    assert net.training and not net.bn1.training and torch.equal(net.bn2.running_mean, before)
    torch.testing.assert_close(found[1:2], localization.heatmap(net, x[1:2]))
    torch.testing.assert_close(found, localization.heatmap(net.eval(), x))


def test_a_map_of_pixels_is_linear_between_the_middles_of_the_fields() -> None:
    name, size = "xception_block2", (64, 47)
    height, width = localization.map_size(name, size)
    ramp = receptive.centres(name, 64)[:, None] + 0 * receptive.centres(name, 47)[None]
    pixels = maps.to_pixels(name, ramp[None], size)[0]
    assert pixels.shape == size
    first, last = int(ramp[0, 0]), int(ramp[-1, 0])
    assert np.allclose(pixels[first : last + 1, 5], np.arange(first, last + 1))
    assert np.allclose(pixels[:first], first) and np.allclose(pixels[last:], last)
    constant = maps.to_pixels(name, np.full((2, height, width), 0.25), size)
    assert np.allclose(constant, 0.25)
    whole = maps.to_pixels("xception", np.array([[[0.7]]]), size)
    assert whole.shape == (1, *size) and np.allclose(whole, 0.7)
    with pytest.raises(ValueError, match=r"expected \(N, 8, 6\), those of xception_block2"):
        maps.to_pixels(name, np.zeros((1, 8, 8)), size)
