"""Every rule against its definition, re-derived from the dense matrix of the operation; and by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from efficientnet_pytorch.utils import Conv2dDynamicSamePadding, Conv2dStaticSamePadding
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from tff_core import lrp
from tff_core.lrp.canonize import IMAGENET_BOUNDS
from tff_core.lrp.rules import EPSILON, linear, stabilise


def rule_of(module: nn.Module, table: str = "zplus") -> lrp.Rule:
    """The table's rule for a module, as canonize would build it."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    node = graph.call_module("m", (x,))
    return lrp.NAMED[table][type(module)](lrp.Call(node, (x,), {"m": module}))


def dense(operation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Matrix (inputs, outputs) of a linear operation on one picture."""
    units = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
    return operation(units).reshape(x.numel(), -1)


def sgn(z: Tensor) -> Tensor:
    return torch.where(z < 0, -1.0, 1.0)


def shares(contributions: Tensor, r: Tensor, z: Tensor) -> Tensor:
    """Relevance of the inputs: each output's relevance in proportion to contributions (inputs, outputs)."""
    return (contributions * (r.flatten() / z)).sum(1)


CONVS = [
    nn.Conv2d(3, 4, 3, padding=1),
    nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(4, 6, 1),
    nn.Conv2d(4, 6, 1, stride=2),
    nn.Conv2d(4, 6, (1, 3), padding=(0, 1)),
    nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
    nn.Conv2d(4, 4, 5, padding=2, groups=4),
    nn.Conv2d(3, 2, 4, padding="same"),
    nn.Conv2d(3, 2, 3, padding="valid"),
    Conv2dDynamicSamePadding(3, 4, 3, stride=2, bias=False),
    Conv2dDynamicSamePadding(4, 4, 5, stride=2, groups=4, bias=False),
    Conv2dStaticSamePadding(3, 4, 3, stride=2, image_size=7, bias=False),
]


@pytest.mark.parametrize("conv", CONVS, ids=str)
@pytest.mark.parametrize("signed", [True, False])
def test_convolution_is_the_z_plus_rule_of_its_matrix(conv: nn.Conv2d, signed: bool) -> None:
    torch.manual_seed(0)
    conv = conv.double().requires_grad_(False)
    x = torch.randn(1, conv.in_channels, 7, 7).double()
    x = x if signed else x.clamp(min=0)
    rule = rule_of(conv)
    rule.nonnegative(not signed)
    y, saved = rule.forward(x)
    assert torch.allclose(y, conv(x), atol=1e-12)
    r = torch.randn_like(y)
    matrix = dense(lambda p: conv(p) - conv(torch.zeros_like(p)), x)
    contributions = (x.flatten()[:, None] * matrix).clamp(min=0)
    z = contributions.sum(0)
    expected = shares(contributions, r, torch.where(z == 0, 1e-12, z))
    (found,) = rule.relevance(r, saved)
    assert found is not None and torch.allclose(found.flatten(), expected, rtol=1e-9, atol=1e-12)
    # what has a positive contribution is passed on in full
    assert float(found.sum()) == pytest.approx(float(r.flatten()[z > 0].sum()), abs=1e-9)


@pytest.mark.parametrize("conv", CONVS, ids=str)
def test_first_convolution_is_the_z_b_rule_of_its_matrix(conv: nn.Conv2d) -> None:
    torch.manual_seed(1)
    conv = conv.double().requires_grad_(False)
    low, high = IMAGENET_BOUNDS
    x = torch.empty(1, conv.in_channels, 7, 7).double().uniform_(low, high)
    rule = rule_of(conv)
    rule.bounds = IMAGENET_BOUNDS  # type: ignore[attr-defined]
    y, saved = rule.forward(x)
    r = torch.randn_like(y)
    matrix = dense(lambda p: conv(p) - conv(torch.zeros_like(p)), x)
    contributions = x.flatten()[:, None] * matrix - low * matrix.clamp(min=0) - high * matrix.clamp(max=0)
    z = contributions.sum(0)
    (found,) = rule.relevance(r, saved)
    assert found is not None
    expected = shares(contributions, r, z + EPSILON * sgn(z))
    assert torch.allclose(found.flatten(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("conv", CONVS, ids=str)
@pytest.mark.parametrize("signed", [True, False])
def test_convolution_is_the_gamma_rule_of_its_matrix(conv: nn.Conv2d, signed: bool) -> None:
    torch.manual_seed(2)
    conv = conv.double().requires_grad_(False)
    x = torch.randn(1, conv.in_channels, 7, 7).double()
    x = x if signed else x.clamp(min=0)
    rule = rule_of(conv, "epsilon-gamma")
    rule.nonnegative(not signed)
    y, saved = rule.forward(x)
    r = torch.randn_like(y)
    z, none = y.flatten().clone(), conv(torch.zeros_like(x)).flatten()
    matrix = dense(lambda p: conv(p) - conv(torch.zeros_like(p)), x)
    # evidence on the side of the output counts 1.25 times, the bias included
    contributions = x.flatten()[:, None] * matrix
    raised = contributions * (1 + 0.25 * (contributions * z > 0))
    total = raised.sum(0) + none * (1 + 0.25 * (none * z > 0))
    expected = shares(raised, r, total + EPSILON * sgn(total))
    y.zero_()  # as the activation that follows may do
    (found,) = rule.relevance(r, saved)
    assert found is not None and torch.allclose(found.flatten(), expected, rtol=1e-9, atol=1e-11)
    # several rows of relevance over one forward pass
    many = torch.cat([r, 2 * r])
    (rows,) = rule.relevance(many, saved)
    assert rows is not None and torch.allclose(rows, torch.cat([found, 2 * found]), rtol=1e-9, atol=1e-11)


def test_the_gamma_rule_by_hand() -> None:
    """x = (2, 1), w = (3, -4), b = 1: y = 3 > 0, so what is positive counts 1.25 times."""
    conv = nn.Conv2d(2, 1, 1)
    conv.weight.data, conv.bias.data = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1), torch.ones(1)  # type: ignore[union-attr]
    rule = rule_of(conv.double(), "epsilon-gamma")
    y, saved = rule.forward(torch.tensor([2.0, 1.0]).double().view(1, 2, 1, 1))
    assert float(y) == 3
    (found,) = rule.relevance(y.clone(), saved)
    assert found is not None
    total = 7.5 - 4 + 1.25
    assert found.flatten().tolist() == pytest.approx([3 * 7.5 / total, 3 * -4 / total], abs=1e-5)


def affine() -> nn.Module:
    bn = nn.BatchNorm2d(3).eval()
    bn.running_mean, bn.running_var = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0])
    bn.weight.data, bn.bias.data = torch.tensor([1.5, -0.5, 1.0]), torch.tensor([0.2, 0.1, -0.3])
    return bn


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 4),
        nn.Linear(5, 1, bias=False),
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, stride=2, padding=1),
        nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False, ceil_mode=True),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d((2, 3)),
        affine(),
    ],
    ids=str,
)
def test_linear_operations_are_the_epsilon_rule_of_their_matrix(module: nn.Module) -> None:
    torch.manual_seed(2)
    module = module.double().requires_grad_(False)
    x = torch.randn(1, 5).double() if isinstance(module, nn.Linear) else torch.randn(1, 3, 6, 6).double()
    rule = rule_of(module)
    y, saved = rule.forward(x)
    assert torch.allclose(y, module(x), atol=1e-12)
    r = torch.randn_like(y)
    matrix = dense(lambda p: module(p) - module(torch.zeros_like(p)), x)
    contributions = x.flatten()[:, None] * matrix
    z = y.flatten()
    (found,) = rule.relevance(r, saved)
    assert found is not None
    expected = shares(contributions, r, z + EPSILON * sgn(z))
    assert torch.allclose(found.flatten(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "module", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1, ceil_mode=True)], ids=str
)
def test_max_pooling_gives_all_to_the_winner(module: nn.Module) -> None:
    x = torch.randn(1, 2, 7, 7, generator=torch.Generator().manual_seed(3)).double()
    rule = rule_of(module)
    y, saved = rule.forward(x)
    assert torch.equal(y, module(x))
    r = torch.randn_like(y)
    (found,) = rule.relevance(r, saved)
    assert found is not None
    expected = torch.zeros_like(x)
    for c, row, col in torch.cartesian_prod(*(torch.arange(n) for n in y.shape[1:])).tolist():
        winner = (x[0, c] == y[0, c, row, col]).nonzero()[0]
        expected[0, c, winner[0], winner[1]] += r[0, c, row, col]
    assert torch.allclose(found, expected)


def trace(function: Callable[..., Tensor], rules: lrp.rules.Table = lrp.RULES) -> lrp.Net:
    """A network of one 1x1 convolution and then ``function``."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1, bias=False)
            self.conv.weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0]])[:, :, None, None]

        def forward(self, x: Tensor) -> Tensor:
            return function(self.conv(x))

    return lrp.canonize(Model().double().eval(), rules=rules, pixel_rule="zplus")


X = torch.tensor([1.0, 2.0]).double().view(1, 2, 1, 1)  # the convolution makes (3, -1) of it


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # relevance 1 at each output; what arrives at the convolution's output (3, -1)
        (lambda y: F.relu(y), (1, 1)),
        (lambda y: F.silu(y), (1, 1)),
        (lambda y: torch.sigmoid(y) * y, (1, 1)),
        (lambda y: y * torch.sigmoid(y), (1, 1)),
        (lambda y: y + y, (1, 1)),
        (lambda y: F.relu(y) + y, (1, 1)),  # 3/6 + 3/6; 0/-1 + -1/-1
        (lambda y: F.relu(F.relu(y) + y), (1, 1)),
        (lambda y: torch.flatten(y, 1), (1, 1)),
        (lambda y: y.view(y.size(0), -1), (1, 1)),
        (lambda y: y.reshape(y.shape[0], -1), (1, 1)),
        (lambda y: y.mean((2, 3)), (1, 1)),
        (lambda y: torch.cat([y, y], 1), (2, 2)),
        (lambda y: F.dropout(y, 0.5, False), (1, 1)),
        (lambda y: F.avg_pool2d(y, 1), (1, 1)),
        (lambda y: F.max_pool2d(y, 1), (1, 1)),
        (lambda y: F.adaptive_avg_pool2d(y, 1), (1, 1)),
    ],
)
def test_functions_by_hand(function: Callable[..., Tensor], expected: tuple[float, ...]) -> None:
    net = trace(function)
    start = torch.ones_like(net(X))
    found = lrp.relevance(net, X, start=start).maps["conv"].flatten()
    assert found.tolist() == pytest.approx(list(expected), abs=2e-6)


def test_a_chain_by_hand() -> None:
    """x = (1, 2); y = (3, -1); relu (3, 0); f = 2 * 3 + 1 = 7, of which the bias keeps 1."""
    fc = nn.Linear(2, 1).double()
    fc.weight.data, fc.bias.data = torch.tensor([[2.0, 5.0]]).double(), torch.tensor([1.0]).double()

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1, bias=False).double()
            self.conv.weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()[:, :, None, None]
            self.fc = fc

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.relu(self.conv(x)).flatten(1))

    model = Model().eval()
    with pytest.raises(ValueError, match=r"cannot run on noise of 64 x 64 pixels.*example="):
        lrp.canonize(model)
    out = lrp.relevance(lrp.canonize(model, pixel_rule="zplus", example=X), X, pixels=True)
    assert out.logit is not None and out.pixels is not None
    assert out.logit.item() == 7
    assert out.maps["conv"].flatten().tolist() == pytest.approx([6, 0], abs=1e-5)
    assert out.pixels.flatten().tolist() == pytest.approx([2, 4], abs=1e-5)
    # z^B by hand with bounds (0, 4): only y_0 has relevance, its weights are positive, so L = 0 takes nothing
    bounded = lrp.canonize(model, pixel_rule="zb", bounds=(0.0, 4.0), example=X)
    pixels = lrp.relevance(bounded, X, pixels=True).pixels
    assert pixels is not None and pixels.flatten().tolist() == pytest.approx([2, 4], abs=1e-5)


def test_a_sum_by_hand_has_negative_relevance() -> None:
    """Branches 3 and -1 sum to 2: relevance 2 goes back as 3 and -1, the signed shares."""
    rule = lrp.rules.Add()
    a, b = torch.tensor([[[[3.0]]]]).double(), torch.tensor([[[[-1.0]]]]).double()
    y, saved = rule.forward(a, b)
    left, right = rule.relevance(torch.tensor([[[[2.0]]]]).double(), saved)
    assert left is not None and right is not None
    assert (y.item(), left.item(), right.item()) == (
        2,
        pytest.approx(3, abs=1e-5),
        pytest.approx(-1, abs=1e-5),
    )


def test_the_stabiliser_is_1e_6_in_the_precision_at_hand() -> None:
    z = torch.tensor([2.0, -2.0, 0.0, -0.0]).double()
    assert stabilise(z).tolist() == [2 + 1e-6, -2 - 1e-6, 1e-6, 1e-6]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.booleans())
def test_a_sum_with_its_relu_equals_the_two_apart(values: list[float], relevant: bool) -> None:
    """The joint rule may assume that nothing arrives where the ReLU is closed."""
    a, b = (torch.tensor([[[[v]]]]).double() for v in values)
    joint, apart = lrp.rules.Add(rectified=True), lrp.rules.Add()
    y, saved = joint.forward(a, b)
    r = torch.ones_like(y) * (y > 0) * relevant
    for found, expected in zip(
        joint.relevance(r, saved), apart.relevance(r, apart.forward(a, b)[1]), strict=True
    ):
        assert found is not None and torch.allclose(found, expected, rtol=1e-12, atol=0)


def test_the_gate_gets_nothing() -> None:
    gate, value = torch.rand(2, 3, 1, 1), torch.randn(2, 3, 4, 4)
    for position in (0, 1):
        rule = lrp.rules.Gate(position)
        pair = (gate, value) if position == 0 else (value, gate)
        y, saved = rule.forward(*pair)
        assert torch.equal(y, gate * value)
        r = torch.randn_like(y)
        found = rule.relevance(r, saved)
        assert found[position] is None and found[1 - position] is r


def test_a_rule_of_the_users_own_is_used() -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ldexp(x, torch.ones(1, dtype=torch.int32))  # twice x, by an operation of no rule

    class Halved(lrp.Rule):
        def forward(self, *inputs: Tensor) -> tuple[Tensor, None]:
            return 2 * inputs[0], None

        def relevance(self, r: Tensor, saved: None) -> tuple[Tensor]:
            return (r / 2,)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)
            self.twice = Double()

        def forward(self, x: Tensor) -> Tensor:
            return self.twice(self.conv(x))

    with pytest.raises(lrp.NoRule, match="no LRP rule for node 'ldexp'"):
        lrp.canonize(Model().eval())
    net = lrp.canonize(Model().double().eval(), rules=lrp.RULES | {Double: lambda call: Halved()})
    maps = lrp.relevance(net, X, start=torch.ones(1, 2, 1, 1).double()).maps
    assert maps["conv"].flatten().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("padding", [(1, 1), (0, 1)])
def test_a_convolution_of_few_positions_is_the_same_as_one_product(
    stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    """Deep layers of small pictures: many weights, few positions."""
    torch.manual_seed(0)
    x = torch.randn(2, 512, 4, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 512, 3, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    bias = torch.randn(256, dtype=torch.float64)
    geometry = (stride, padding, (1, 1), 1)
    expected = F.conv2d(x, weight, bias, *geometry)
    s = torch.randn_like(expected)
    assert linear._is_tiny(expected[:, 0].numel(), weight, geometry)
    torch.testing.assert_close(linear._conv(x, weight, geometry, bias), expected)
    (adjoint,) = torch.autograd.grad((F.conv2d(x.requires_grad_(), weight, None, *geometry) * s).sum(), x)
    torch.testing.assert_close(linear.transposed(s, x.detach(), weight, geometry), adjoint)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("n", [2, 16])
def test_a_1x1_convolution_is_the_same_for_few_and_for_many_pictures(stride: tuple[int, int], n: int) -> None:
    """Few go through a matrix product, many through a convolution."""
    torch.manual_seed(0)
    x = torch.randn(n, 6, 4, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(5, 6, 1, 1, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    geometry = (stride, (0, 0), (1, 1), 1)
    assert linear._is_product(x, weight, geometry) == (n == 2)
    expected = F.conv2d(x, weight, bias, *geometry)
    s = torch.randn_like(expected)
    torch.testing.assert_close(linear._conv(x, weight, geometry, bias), expected)
    (adjoint,) = torch.autograd.grad((F.conv2d(x.requires_grad_(), weight, None, *geometry) * s).sum(), x)
    torch.testing.assert_close(linear.transposed(s, x.detach(), weight, geometry), adjoint)
