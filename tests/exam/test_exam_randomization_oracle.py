"""The randomisation tests beside those of Quantus, on the same networks, pictures and explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from exam_nets import repeatable, shown
from torch import nn

from tff_core.exam import remedies
from tff_core.exam.randomization import Order, cascade, groups
from tff_core.features import pixels

quantus = pytest.importorskip("quantus")
TOLERANCE = 1e-6
"""Both compute in float64 from heatmaps in float32."""


def saliency(model: nn.Module, x: np.ndarray | torch.Tensor) -> np.ndarray:
    """The absolute gradient of the first output, summed over colours, (N, H, W)."""
    picture = torch.as_tensor(x).float().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(model(picture)[:, 0].sum(), picture)
    return gradient.abs().sum(1).double().numpy()


def explain(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    return saliency(model, inputs)[:, None]


def score(metric: Any, x: torch.Tensor) -> Any:
    return metric(
        model=repeatable(), x_batch=x.numpy(), y_batch=np.zeros(len(x), int), explain_func=explain,
        channel_first=True, device="cpu",
    )  # fmt: skip


def forgotten(x: torch.Tensor, order: Order) -> dict[str, nn.Module]:
    model = repeatable()
    return {f.group: f.model for f in cascade(model, groups(model, x, "layer"), 0, order)}


@pytest.mark.parametrize(("order", "named"), [("top down", "top_down"), ("alone", "independent")])
def test_similarity_by_layer(order: Order, named: str) -> None:
    x = shown(5)
    metric = quantus.MPRT(layer_order=named, disable_warnings=True, normalise=False)
    expected = score(metric, x)
    before = saliency(repeatable(), x)
    models = forgotten(x, order)
    assert expected.keys() == {"original", *models}
    for name, model in models.items():
        np.testing.assert_allclose(
            pixels.likeness(before, saliency(model, x)), expected[name], atol=TOLERANCE
        )
    assert min(np.mean(expected[name]) for name in models) < 0.95  # it does see something


def test_rise_of_complexity() -> None:
    x = shown(5)
    metric = quantus.EfficientMPRT(
        layer_order="bottom_up", disable_warnings=True, complexity_func_kwargs={"n_bins": 50}
    )
    expected = score(metric, x)
    everything = list(forgotten(x, "top down").values())[-1]
    found = remedies.rise(saliency(repeatable(), x), saliency(everything, x), bins=50)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert np.abs(found).max() > 0.01


def test_smooth_similarity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantus draws its noise from numpy's global state, which here gives the same numbers."""
    x = shown(3)
    metric = quantus.SmoothMPRT(
        nr_samples=4, noise_magnitude=0.1, layer_order="top_down", disable_warnings=True, normalise=False
    )

    def redrawn() -> Callable[..., np.ndarray]:
        state = {"g": torch.Generator().manual_seed(0), "drawn": 0}

        def randn(*shape: int) -> np.ndarray:
            if state["drawn"] % 3 == 0:  # for every network anew
                state["g"] = torch.Generator().manual_seed(0)
            state["drawn"] += 1  # type: ignore[operator]
            return torch.randn(shape, generator=state["g"]).numpy()  # type: ignore[call-overload]

        return randn

    monkeypatch.setattr(np.random, "randn", redrawn())
    monkeypatch.setattr(quantus, "explain", explain)  # the one given is not used here
    expected = score(metric, x)

    def averaged(model: nn.Module) -> np.ndarray:
        return remedies.smoothed(lambda x: saliency(model, x), x, 4, 0.1, seed=0)

    before = averaged(repeatable())
    for name, model in forgotten(x, "top down").items():
        np.testing.assert_allclose(pixels.likeness(before, averaged(model)), expected[name], atol=1e-4)
