"""Calibration: against scikit-learn and hand cases, and by simulation where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tff_core import reliability


def sample(rng: np.random.Generator, n: int, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that probabilities of these logits say, and the logits as an overconfident network has them."""
    truth = rng.normal(0, 2, n)
    y = (rng.random(n) < special.expit(truth)).astype(int)
    return y, truth * temperature


def test_the_error_by_hand() -> None:
    assert reliability.calibration_error([0, 1, 1, 1], [0.75] * 4) == 0
    assert reliability.calibration_error([0, 0, 1, 1], [1.0] * 4) == pytest.approx(0.5)
    assert reliability.calibration_error([1, 0], [0.95, 0.15]) == pytest.approx((0.05 + 0.15) / 2)
    drawn = reliability.resampled_error([1, 0], [0.95, 0.15], [[2, 1, 0], [0, 1, 2]])
    assert drawn == pytest.approx([0.05, 0.1, 0.15])


def test_the_diagram_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y, logits = sample(rng, 300)
    p = special.expit(logits)
    found = reliability.diagram(y, p)
    share, mean = calibration_curve(y, p, n_bins=10)
    there = found[found["n"] > 0]
    assert there["share"].to_numpy() == pytest.approx(share)
    assert there["probability"].to_numpy() == pytest.approx(mean)
    assert (
        found["n"].sum() == 300
        and ((there["low"] <= there["share"]) & (there["share"] <= there["high"])).all()
    )
    ece = (there["n"] * (there["share"] - there["probability"]).abs()).sum() / 300
    assert reliability.calibration_error(y, p) == pytest.approx(ece)
    few = reliability.diagram([1], [1.0])
    assert few["n"].tolist() == [0] * 9 + [1] and few["share"].isna().sum() == 9


@pytest.mark.parametrize("temperature", [1.0, 1.2, 3.0], ids=["calibrated", "slightly off", "overconfident"])
def test_the_interval_covers_the_truth_and_chance_is_what_chance_gives(temperature: float) -> None:
    rng = np.random.default_rng(1)
    y, logits = sample(rng, 100_000, temperature)
    truth = reliability.calibration_error(y, special.expit(logits))
    inside, plain, free, chance, p = [], [], [], [], []
    for run in range(80):
        y, logits = sample(rng, 200, temperature)
        found = reliability.error(y, special.expit(logits), resamples=100, seed=run)
        inside.append(found.low <= truth <= found.high)
        plain.append(found.value)
        free.append(found.unbiased)
        chance.append(found.chance)
        p.append(found.p)
    assert np.mean(inside) > 0.92
    assert abs(np.mean(free) - truth) < abs(np.mean(plain) - truth)
    if temperature == 1:
        assert np.mean(plain) == pytest.approx(np.mean(chance), abs=0.004)
        assert np.mean(np.array(p) < 0.1) < 0.2
    elif temperature == 3:
        assert np.mean(np.array(p) < 0.05) > 0.9


def test_the_scale_is_that_of_logistic_regression() -> None:
    rng = np.random.default_rng(2)
    y, logits = sample(rng, 200, 2.5)
    # both targets of a picture, as two pictures with weights
    n, m = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (n + 1) / (n + 2), 1 / (m + 2))
    both = np.concatenate([logits, logits])[:, None], np.repeat([1, 0], 200)
    weights = np.concatenate([target, 1 - target])
    for offset in (False, True):
        fit = LogisticRegression(C=np.inf, fit_intercept=offset, tol=1e-10).fit(*both, sample_weight=weights)
        found = reliability.scale(y, logits, offset)
        assert 1 / found.temperature == pytest.approx(fit.coef_.item(), rel=1e-4)
        assert -found.offset / found.temperature == pytest.approx(
            float(np.ravel(fit.intercept_)[0]), abs=1e-4
        )
        assert found.probabilities(logits) == pytest.approx(
            fit.predict_proba(logits[:, None])[:, 1], abs=1e-5
        )
    assert reliability.scale(y, 1e6 * logits).temperature == pytest.approx(
        1e6 * reliability.scale(y, logits).temperature, rel=1e-4
    )


def test_the_temperature_is_found_again_and_order_is_kept() -> None:
    rng = np.random.default_rng(3)
    y, logits = sample(rng, 20_000, 3.0)
    assert reliability.scale(y, logits).temperature == pytest.approx(3, rel=0.05)
    shifted = reliability.scale(y, logits + 4, offset=True)
    assert (shifted.temperature, shifted.offset) == pytest.approx((3, 4), rel=0.05)
    p = reliability.scale(y, logits).probabilities(logits)
    assert (np.argsort(p, kind="stable") == np.argsort(logits, kind="stable")).all()
    assert reliability.cross_entropy(y, p) == pytest.approx(log_loss(y, p))
    assert reliability.cross_entropy(y, p) < reliability.cross_entropy(y, special.expit(logits))
    assert reliability.cross_entropy([1, 0], [0.0, 1.0]) == pytest.approx(-np.log(1e-12))


def test_logits_without_a_mistake_have_a_temperature_above_zero() -> None:
    found = reliability.scale([0, 0, 1, 1], [-4.0, -3, 3, 4])
    assert 0 < found.temperature < 10
    assert found.probabilities([3.5])[0] < 0.9  # two pictures of each label do not say more


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: reliability.calibration_error([], []), r"expected \(N,\)"),
        (lambda: reliability.calibration_error([1], [1.5]), "finite numbers from 0 to 1"),
        (lambda: reliability.calibration_error([1], [np.nan]), "finite numbers from 0 to 1"),
        (lambda: reliability.calibration_error([2], [0.5]), "expected labels of 0 and 1"),
        (lambda: reliability.scale([1, 1], [0.1, 0.2]), "one label only"),
        (lambda: reliability.scale([0, 1], [np.inf, 0.2]), "not finite"),
        (lambda: reliability.scale([0, 0, 1, 1], [2.0, 3, -3, -2]), "do not rise with their labels"),
        (lambda: reliability.scale([0, 1], [0.0, 0.0]), "do not rise"),
    ],
)
def test_what_has_no_calibration_is_said(call, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=told):
        call()


def test_one_picture_and_one_label_have_an_error_with_its_interval() -> None:
    one = reliability.error([1], [0.9], resamples=50)
    assert (one.value, one.n) == (pytest.approx(0.1), 1)
    same = reliability.error([1] * 30, [0.9] * 30, resamples=50)
    assert same.low <= same.value <= same.high + 1e-9
