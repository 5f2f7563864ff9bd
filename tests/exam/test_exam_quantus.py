"""The measures against Quantus, on the same inputs. It computes in float32: relative tolerances of 1e-4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from exam_toys import pictures
from numpy.typing import NDArray
from torch import Tensor, nn

from tff_core.exam import flipping, imputation, methods, stability, subsets

quantus = pytest.importorskip("quantus")

N, SIZE = 3, 8
QUIET: dict[str, Any] = {"disable_warnings": True, "normalise": False}
CLOSE: dict[str, float] = {"rtol": 1e-4, "atol": 1e-5}


class Answers(nn.Module):
    """A small network with one logit for each answer, real and fake, as Quantus wants them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.Flatten(),
            nn.Linear(4 * SIZE**2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([-self.body(x), self.body(x)], 1)


@pytest.fixture(scope="module")
def case() -> tuple[Answers, Tensor, Tensor]:
    """A network, pictures of a single channel, and some relevance."""
    model = Answers().eval().requires_grad_(False)
    x = pictures(N, SIZE, channels=1).float()
    relevance = torch.randn(N, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    return model, x, relevance


def theirs(metric: Any, case: tuple[Answers, Tensor, Tensor], **more: Any) -> Any:
    """What Quantus says of the logit for fake."""
    model, x, relevance = case
    y = np.ones(N, dtype=int)
    return metric(
        model=model, x_batch=x.numpy(), y_batch=y, a_batch=relevance[:, None].numpy(), softmax=False,
        channel_first=True, device="cpu", **more,
    )  # fmt: skip


@pytest.mark.parametrize(("order", "least_first"), [("morf", False), ("lerf", True)])
@pytest.mark.parametrize("patch", [2, 4])
def test_flipping_of_regions(
    case: tuple[Answers, Tensor, Tensor], order: str, least_first: bool, patch: int
) -> None:
    model, x, relevance = case
    metric = quantus.RegionPerturbation(
        patch_size=patch, order=order, regions_evaluation=100, perturb_baseline=0.25, **QUIET
    )
    regions = (SIZE // patch) ** 2
    when = flipping.order(relevance, patch, least_first=least_first)
    shares = [i / regions for i in range(regions + 1)]
    own = flipping.curve(model.body, x, when, shares, torch.full_like(x, 0.25))
    np.testing.assert_allclose(own[:, :1] - own[:, 1:], theirs(metric, case), **CLOSE)


def test_deletion_of_pixels(case: tuple[Answers, Tensor, Tensor]) -> None:
    model, x, relevance = case
    metric = quantus.PixelFlipping(features_in_step=8, perturb_baseline=-0.5, **QUIET)
    shares = [i / 8 for i in range(1, 9)]
    own = flipping.curve(model.body, x, flipping.order(relevance), shares, torch.full_like(x, -0.5))
    np.testing.assert_allclose(own, theirs(metric, case), **CLOSE)


def test_imputation() -> None:
    from quantus.functions.perturb_func import noisy_linear_imputation

    rng = np.random.default_rng(0)
    x = pictures(2, 9).numpy()
    for picture, share in zip(x, (0.3, 0.8), strict=True):
        gone = rng.random((9, 9)) < share
        expected = noisy_linear_imputation(picture.copy(), np.flatnonzero(gone), noise=0.0)
        found = imputation.noisy_linear(
            torch.from_numpy(picture[None]), torch.from_numpy(gone[None]), noise=0
        )
        np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-10)


def test_road(case: tuple[Answers, Tensor, Tensor]) -> None:
    model, x, relevance = case
    percentages = [10, 30, 50, 70, 90]
    metric = quantus.ROAD(percentages=percentages, noise=0.0, **QUIET)
    when = flipping.order(relevance)
    # it rounds the number of pixels down
    shares = [int(SIZE**2 * p / 100) / SIZE**2 for p in percentages]
    own = imputation.curve(model.body, x, when, shares, noise=0)
    found = theirs(metric, case)
    assert {p: float(v) for p, v in zip(percentages, (own > 0).mean(0), strict=True)} == pytest.approx(found)


def test_sensitivity_n_at_one_size(
    case: tuple[Answers, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what Quantus calls faithfulness correlation, with the sets that it draws."""
    model, x, relevance = case
    runs, drawn = 12, []
    rng = np.random.default_rng(1)

    def choice(n: int, size: int, replace: bool) -> NDArray[np.int64]:
        drawn.append(rng.choice(n, size, replace=replace))
        return drawn[-1]

    metric = quantus.FaithfulnessCorrelation(
        nr_runs=runs, subset_size=20, perturb_baseline=0.0, return_aggregate=False, **QUIET
    )
    monkeypatch.setattr(np.random, "choice", choice)
    expected = theirs(metric, case)
    sets = torch.zeros(N, runs, SIZE**2, dtype=torch.bool)
    for place, one in enumerate(drawn):
        sets[place % N, place // N, one] = True
    sets = sets.view(N, runs, SIZE, SIZE)
    fell = subsets.falls(model.body, x, sets, torch.zeros_like(x))
    np.testing.assert_allclose(subsets.sensitivity_n(fell, subsets.sums(relevance, sets)), expected, **CLOSE)


def test_infidelity(case: tuple[Answers, Tensor, Tensor]) -> None:
    """Quantus takes regions away row by row and leaves them away; it multiplies relevance by what went."""
    model, x, relevance = case
    metric = quantus.Infidelity(perturb_baseline=0.5, perturb_patch_sizes=[4], n_perturb_samples=1, **QUIET)
    fill = torch.full_like(x, 0.5)
    sets = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
    for i in range(4):
        for j in range(i + 1):
            sets[i, 4 * (j // 2) : 4 * (j // 2) + 4, 4 * (j % 2) : 4 * (j % 2) + 4] = True
    fell = subsets.falls(model.body, x, sets, fill)
    promised = subsets.sums(relevance * (x - fill)[:, 0], sets)
    np.testing.assert_allclose(
        subsets.infidelity(fell, promised, scaled=False), theirs(metric, case), **CLOSE
    )


def test_max_sensitivity(case: tuple[Answers, Tensor, Tensor]) -> None:
    model, x, _ = case
    explain = methods.build(model.body, ["input_x_gradient"])["input_x_gradient"]
    relevance = explain(x)
    asked: list[Tensor] = []

    def watched(noisy: Tensor) -> Tensor:
        asked.append(noisy)
        return explain(noisy)

    own = stability.max_sensitivity(watched, x, relevance, 0.2, samples=3, seed=1)
    copies = iter([one.numpy().reshape(N, -1) for one in asked])
    metric = quantus.MaxSensitivity(nr_samples=3, perturb_func=lambda arr, **_: next(copies), **QUIET)
    expected = theirs(
        metric, (model, x, relevance),
        explain_func=lambda model, inputs, targets, **_: explain(torch.as_tensor(inputs))[:, None].numpy(),
    )  # fmt: skip
    np.testing.assert_allclose(own, expected, **CLOSE)
