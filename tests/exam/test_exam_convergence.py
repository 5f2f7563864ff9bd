"""Whether relevance forgets what started it: networks with a known answer, another way to the gradient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from exam_nets import BOUNDS, shown, trained
from torch import nn

from tff_core import lrp
from tff_core.exam import convergence
from tff_core.exam.convergence import OTHER, PIXELS, RANDOM, one_sided
from tff_core.exam.convergence import convergence as csc


def net_of(*layers: nn.Module) -> lrp.Net:
    model = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(layers[-2].out_channels, 1)
    )
    return lrp.canonize(model.eval(), pixel_rule="zplus", example=torch.rand(1, 3, 8, 8))


def conv(weight: torch.Tensor) -> nn.Conv2d:
    """A convolution of one pixel with these weights (out, in) and no bias."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight[:, :, None, None])
    return layer


def mean(table: pd.DataFrame, explanation: str) -> pd.Series:
    return table[table["explanation"] == explanation].groupby("layer", sort=False)["value"].mean()


class TestConvergence:
    def test_a_layer_of_rank_one_makes_all_relevance_alike(self) -> None:
        """Every output is the same sum: below it nothing is left of what started."""
        net = net_of(nn.Conv2d(3, 8, 1), nn.ReLU(), conv(torch.ones(6, 8)), nn.ReLU())
        table = csc(net, torch.rand(5, 3, 8, 8), 3)
        found = mean(table, "z+")
        assert found["0"] == pytest.approx(1, abs=1e-5) and found["2"] < 0.9
        # in the pixels one factor per place is left, the same for both
        assert found[PIXELS] == pytest.approx(1, abs=1e-5)

    def test_layers_that_pass_everything_on_keep_the_angle(self) -> None:
        net = net_of(nn.Conv2d(3, 9, 1), nn.ReLU(), conv(torch.eye(9)), nn.ReLU())
        table = csc(net, torch.rand(200, 3, 8, 8) + 1, 1)
        for way in ("z+", "gradient"):
            values = mean(table, way)
            assert values["0"] == pytest.approx(values["2"], rel=0.2)
        # two normal directions in d dimensions: the mean absolute cosine is near sqrt(2 / (pi d))
        gradient = net_of(conv(torch.eye(3)), nn.ReLU(), conv(torch.ones(9, 3)), nn.ReLU())
        found = mean(csc(gradient, torch.rand(400, 3, 8, 8) + 1, 1), "gradient")
        assert found["2"] == pytest.approx(np.sqrt(2 / (np.pi * 9)), rel=0.15)

    def test_the_gradient_is_that_of_autograd(self) -> None:
        model, x = trained(), shown()
        net = lrp.canonize(model, bounds=BOUNDS)
        table = csc(net, x, 1, seed=5)
        g = convergence.resuming.generator(5, 0)
        starts = [torch.randn(len(x), 8, generator=g) for _ in range(2)]
        picture = x.clone().requires_grad_()
        body = nn.Sequential(
            model.conv1, model.bn1, model.relu, model.maxpool, model.blocks, model.avgpool, nn.Flatten()
        )  # type: ignore[arg-type]
        features = body(picture)
        both = [
            torch.autograd.grad(features, picture, start, retain_graph=True)[0].flatten(1) for start in starts
        ]
        expected = torch.cosine_similarity(*both).abs()
        rows = table[(table["layer"] == PIXELS) & (table["explanation"] == "gradient")]
        np.testing.assert_allclose(rows["value"], expected.detach(), rtol=1e-3)

    def test_rows_say_where_and_the_seed_says_which(self) -> None:
        net = lrp.canonize(trained(), bounds=BOUNDS)
        table = csc(net, shown(3), 2)
        assert table["layer"].unique().tolist() == [PIXELS, *net.layers] and set(table["starts"]) == {RANDOM}
        assert table["value"].between(0, 1).all() and len(table) == 2 * 3 * (1 + len(net.layers))
        pd.testing.assert_frame_equal(table, csc(net, shown(3), 2))
        assert not np.allclose(table["value"], csc(net, shown(3), 2, seed=1)["value"])
        assert set(csc(net, shown(3), 1, gradient=False)["explanation"]) == {"z+"}

    def test_what_cannot_be_asked_is_said(self) -> None:
        net = lrp.canonize(trained(), bounds=BOUNDS)
        with pytest.raises(ValueError, match="0 draws on 2 pictures"):
            csc(net, shown(2), 0)
        with pytest.raises(ValueError, match="1 draws on 0 pictures"):
            csc(net, shown(1)[:0], 1)
        single = nn.Sequential(nn.Conv2d(3, 1, 32), nn.Flatten()).eval()
        with pytest.raises(ValueError, match="no layer with weights above the first"):
            csc(lrp.canonize(single, example=shown(1)), shown(2))


class TestOtherAnswer:
    def test_relevance_for_the_other_answer_is_the_same_with_the_sign_changed(self) -> None:
        net, x = lrp.canonize(trained(), bounds=BOUNDS), shown()
        one = torch.ones(len(x), 1)
        there, back = (lrp.relevance(net, x, start=start, pixels=True) for start in (one, -one))
        for layer, r in there.maps.items():
            torch.testing.assert_close(back.maps[layer], -r)

    def test_a_toy(self) -> None:
        """Two maps that speak for and against: of relevance 3 and -1 a half is left of one sign."""
        net = net_of(conv(torch.tensor([[1.0, 0, 0], [0, 1, 0]])), nn.ReLU())
        weight = torch.tensor([[3.0, -1.0]])
        model = nn.Sequential(
            conv(torch.tensor([[1.0, 0, 0], [0, 1, 0]])), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(2, 1, bias=False),
        ).eval()  # fmt: skip
        with torch.no_grad():
            model[-1].weight.copy_(weight)
        net = lrp.canonize(model, pixel_rule="zplus", example=torch.rand(1, 3, 4, 4))
        table = one_sided(net, torch.ones(2, 3, 4, 4))
        assert table["value"].tolist() == pytest.approx([0.5] * 4) and set(table["starts"]) == {OTHER}
        with torch.no_grad():
            model[-1].weight.abs_()
        alike = one_sided(
            lrp.canonize(model, pixel_rule="zplus", example=torch.rand(1, 3, 4, 4)), torch.ones(1, 3, 4, 4)
        )
        assert alike["value"].tolist() == pytest.approx([1.0, 1.0])

    def test_where_nothing_arrives_nothing_is_said(self) -> None:
        net = lrp.canonize(trained(), bounds=BOUNDS)
        dead = trained()
        with torch.no_grad():
            dead.fc.weight.zero_()  # type: ignore[union-attr,operator]
        assert one_sided(lrp.canonize(dead, bounds=BOUNDS), shown(2))["value"].isna().all()
        assert one_sided(net, shown(2))["value"].notna().all()
