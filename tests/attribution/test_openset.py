"""Known or not: the curve by hand and by scikit-learn, the promise by simulation, the rows by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tff_core.attribution import decisions, openset

# ---------------------------------------------------------------------------------------------- scores


def test_the_primary_gates_what_sources_claim() -> None:
    detection, attribution = [0.5, 1.0, 0.0], [[0.8, 0.2], [0.1, 0.3], [1.0, 1.0]]
    np.testing.assert_allclose(openset.knownness(detection, attribution), [0.5, 0.3, 0.0])
    energy = openset.knownness(detection, attribution, "energy")
    np.testing.assert_allclose(energy, [-math.log(0.5 * 0.8), -math.log(0.9 * 0.7), 0.0], atol=1e-15)
    for p, q, score in zip(detection, attribution, openset.knownness(detection, attribution), strict=True):
        for threshold in (score, np.nextafter(score, 1)):
            named = decisions.decide([p], [q], threshold).gated[0] != decisions.NONE
            assert named == (threshold == score)
    assert np.isfinite(openset.knownness([1.0], [[1.0]], "energy")).all()
    with pytest.raises(ValueError, match="score 'entropy': expected one of probability, energy"):
        openset.knownness(detection, attribution, "entropy")


# ----------------------------------------------------------------------------------------------- curve


def test_the_curve_of_six_pictures_is_that_of_hand() -> None:
    found = openset.oscr([0.9, 0.8, 0.6, 0.3], [True, False, True, True], [0.7, 0.3])
    assert found.threshold.tolist() == [math.inf, 0.9, 0.8, 0.7, 0.6, 0.3]
    assert found.right.tolist() == [0, 0.25, 0.25, 0.25, 0.5, 0.75]
    assert found.wrong.tolist() == [0, 0, 0, 0.5, 0.5, 1]
    # 0.9 beats both, 0.6 one of two, 0.3 ties with one of two; 0.8 is misnamed
    assert found.area.value == pytest.approx((1 + 0 + 1 / 2 + 1 / 4) / 4)
    assert found.area.value == pytest.approx(np.trapezoid(found.right, found.wrong))
    assert (found.area.known, found.area.unknown) == (4, 2)


def test_perfect_reversed_and_constant_scores() -> None:
    known, unknown = np.linspace(0.6, 1, 40), np.linspace(0, 0.5, 30)
    perfect = openset.auroc(known, unknown)
    assert perfect.value == perfect.high == 1 and 0.8 < perfect.low < 0.95  # of 30 independent pairs
    assert openset.auroc(unknown, known).value == 0
    constant = openset.auroc(np.ones(40), np.ones(30))
    assert constant.value == 0.5 and 0.2 < constant.low < 0.5 < constant.high < 0.8
    # half of the names are wrong: no score helps
    half = openset.oscr(known, np.arange(40) % 2 == 0, unknown)
    assert half.area.value == 0.5 and half.right[-1] == 0.5 and half.wrong[-1] == 1
    assert openset.auroc([0.5], [0.1]) == (1.0, 0.0, 1.0, 1, 1)  # one picture of each says nothing


def test_the_area_of_right_names_is_scikit_learns_auc_ties_included() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(2, 9, 300) / 10, rng.integers(0, 7, 200) / 10
    expected = roc_auc_score(np.repeat([1, 0], [300, 200]), np.concatenate([known, unknown]))
    assert openset.auroc(known, unknown).value == pytest.approx(expected)
    curve = openset.oscr(known, rng.random(300) < 0.7, unknown)
    assert curve.area.value == pytest.approx(np.trapezoid(curve.right, curve.wrong))


def test_intervals_of_areas_cover_the_truth() -> None:
    """Known scores N(1, 1), unknown N(0, 1), names right in 3 of 4 cases: 0.75 Phi(1 / sqrt 2)."""
    rng = np.random.default_rng(1)
    truth = 0.75 * 0.5 * (1 + math.erf(0.5))
    covered = 0
    for _ in range(400):
        area = openset.oscr(rng.normal(1, 1, 80), rng.random(80) < 0.75, rng.normal(0, 1, 60)).area
        covered += area.low <= truth <= area.high
    assert 0.92 < covered / 400 < 0.98


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: openset.oscr([0.1], [True], []), "expected some of pictures of unknown sources"),
        (lambda: openset.oscr([0.1], [True, False], [0.2]), "expected one for each picture"),
    ],
)
def test_what_makes_no_curve_is_said(call, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=told):
        call()


# ------------------------------------------------------------------------------------------------ rows

NAMES = ("progan.1", "sngan.1")
FAMILY = {"progan.1": "progan", "progan.2": "progan", "sngan.1": "sngan", "vae": "vae"}


def frame(rows: list[tuple[str, float, float, float]]) -> pd.DataFrame:
    """Rows of an evaluation: truth, probability of being fake, and of each source."""
    made = pd.DataFrame(rows, columns=["truth", "fake", *(f"p {name}" for name in NAMES)])
    made.insert(0, "path", [f"{i}.png" for i in range(len(rows))])
    decision = np.where(made["fake"] >= 0.5, "none of these", "real")
    return made.assign(decision=np.where(made["fake"].isna(), "unreadable", decision))


VALIDATION = frame(
    [("progan.1", 1.0, p, 0.0) for p in np.linspace(0.5, 0.98, 25)]
    + [("sngan.1", 1.0, 0.0, p) for p in np.linspace(0.5, 0.98, 24)]
    + [("real", 0.1, 0.1, 0.1), ("vae", 1.0, 0.0, 0.0), ("progan.1", np.nan, np.nan, np.nan)]
)
TESTED = frame(
    [
        ("progan.1", 1.0, 0.9, 0.1), ("progan.1", 1.0, 0.2, 0.8), ("sngan.1", 1.0, 0.1, 0.3),
        ("sngan.1", 0.4, 0.1, 0.9), ("progan.2", 0.85, 0.95, 0.1), ("vae", 0.8, 0.1, 0.2),
        ("vae", 0.3, 0.1, 0.2), ("real", 0.1, 0.9, 0.1), ("real", 0.9, 0.1, 0.9),
    ]
)  # fmt: skip


def test_an_unseen_training_is_unknown_as_a_seed_and_known_as_a_family() -> None:
    seeds = openset.measure(VALIDATION, TESTED, NAMES, alpha=0.1)
    assert seeds.facts["calibration"] == 49 and seeds.facts["threshold"] == pytest.approx(0.54, abs=0.01)
    assert seeds.pictures["known"].tolist() == [True] * 4 + [False] * 5
    assert seeds.pictures["answer"].tolist() == [
        "progan.1", "sngan.1", "none of these", "real", "progan.1", "none of these", "real", "real",
        "sngan.1",
    ]  # fmt: skip
    facts = seeds.facts
    assert facts["closed"]["share"] == 3 / 4 and facts["coverage"]["share"] == 2 / 4
    assert facts["coverage"]["promised"] == 0.9 and facts["coverage"]["plausible"][0] > 0.4
    assert facts["named"]["share"] == 1 / 4
    assert facts["unknown_rejected"]["share"] == pytest.approx(2 / 3)
    assert facts["unknown_found"]["share"] == pytest.approx(1 / 3)
    assert facts["reals_accepted"]["share"] == 1 / 2
    # right names score 0.9, 0.3 and 0.4, unknown sources 0.85, 0.2 and 0.2
    assert facts["oscr"]["value"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 4)
    assert facts["auroc"]["value"] == pytest.approx((1 + 2 / 3 + 2 / 3 + 2 / 3) / 4)
    assert seeds.rejected == ["2.png", "5.png"]
    families = openset.measure(VALIDATION, TESTED, NAMES, FAMILY, alpha=0.1)
    assert families.pictures["known"].tolist() == [True] * 5 + [False] * 4
    assert families.pictures.loc[4, "right"] and families.facts["closed"]["share"] == 4 / 5
    assert families.pictures["level"].tolist()[-3:] == ["vae", "real", "real"]


def test_what_was_found_is_written(tmp_path: Path) -> None:
    openset.measure(VALIDATION, TESTED, NAMES, alpha=0.001).write(tmp_path / "open")
    facts = json.loads((tmp_path / "open" / "facts.json").read_text())
    assert facts["threshold"] is None and facts["coverage"]["share"] == 1  # too few to promise that
    assert len(pd.read_csv(tmp_path / "open" / "pictures.csv")) == len(TESTED)
    assert list(pd.read_csv(tmp_path / "open" / "curve.csv")) == ["threshold", "right", "wrong"]


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="vae has no level"):
        openset.measure(VALIDATION, TESTED, NAMES, dict.fromkeys((*NAMES, "progan.2"), "gan"))
    with pytest.raises(ValueError, match="no column 'p biggan'"):
        openset.measure(VALIDATION, TESTED, ["biggan"])
    with pytest.raises(ValueError, match="no source was named"):
        openset.measure(VALIDATION, TESTED, [])
    with pytest.raises(ValueError, match="expected some of pictures of unknown sources"):
        openset.measure(VALIDATION, TESTED[:4], NAMES)
