"""Explanations of a whole detector as maps: they are where the decision rests, and have one value a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tff_core import lrp
from tff_core.features import locating
from tff_core.pictures import data


class Corner(nn.Module):
    """Its logit is how bright the upper left quarter is, less a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(8, 1)
        with torch.no_grad():
            self.conv.weight.fill_(0.1)
            self.conv.bias.zero_()
            self.fc.weight.zero_()
            self.fc.weight[0, [0, 4]] = 1.0
            self.fc.bias.fill_(-0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


@pytest.mark.parametrize("name", ["lrp", "guided_gradcam", "gradcam", "gradient"])
def test_they_lie_where_the_decision_rests(name: str) -> None:
    model = Corner().eval()
    plain = data.Preprocessing((0.0,) * 3, (1.0,) * 3)
    methods = locating.methods(model, lrp.canonize(model, bounds=plain.bounds), plain)
    pictures = torch.randint(100, 256, (3, 3, 24, 24), dtype=torch.uint8)
    found = methods[name](pictures)
    assert found.shape == (3, 24, 24) and np.isfinite(found).all()
    if name == "gradcam":  # weights a map by its mean gradient: it has no place of its own in this layer
        return
    assert found[:, :12, :12].sum() > 0.85 * found.sum() > 0


def test_smoothing_moves_nothing() -> None:
    model = Corner().eval()
    plain = data.Preprocessing((0.0,) * 3, (1.0,) * 3)
    net = lrp.canonize(model, bounds=plain.bounds)
    pictures = torch.randint(100, 256, (2, 3, 24, 24), dtype=torch.uint8)
    rough, fine = (locating.methods(model, net, plain, smooth=s)["lrp"](pictures) for s in (0.0, 2.0))
    np.testing.assert_allclose(rough.sum((1, 2)), fine.sum((1, 2)), rtol=1e-6)
    assert fine.max() < rough.max()
