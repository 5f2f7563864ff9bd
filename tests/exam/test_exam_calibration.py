"""Calibration and abstention on families with a known truth: kept where pictures are alike, else broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

from tff_core import conformal, reliability
from tff_core.exam import calibration
from tff_core.exam.calibration import Logits
from tff_core.store.results import Store


def family(
    rng: np.random.Generator, n: int, shift: float = 0.0, seeds: int = 3, temperature: float = 3.0
) -> Logits:
    """Pictures whose logits are too sure by a factor, the same for all seeds up to some noise; of another
    family fakes look more real.
    """
    y = np.repeat([0, 1], n)
    truth = rng.normal(2 * y - 1 - shift * y, 1)  # with two normals the log odds are twice the value
    return Logits(y, 2 * temperature * truth + rng.normal(0, 0.3, (seeds, 2 * n)))


@pytest.fixture(scope="module")
def sets() -> dict[str, Logits]:
    rng = np.random.default_rng(0)
    return {
        "val": family(rng, 300),
        "progan": family(rng, 200),
        "new": family(rng, 200, 1.5),
        "more": family(rng, 100, 1.5),
    }


def test_temperature_makes_seen_families_calibrated_and_unseen_ones_not(sets: dict[str, Logits]) -> None:
    tests = calibration.grouped({name: sets[name] for name in ("progan", "new", "more")}, "progan")
    assert list(tests) == ["seen", "unseen"] and tests["unseen"].logits.shape == (3, 600)
    table = calibration.errors(sets["val"], tests, 200).set_index(["generator", "scaled"])
    assert len(table) == 6 and set(table["seeds"]) == {3}
    plain, scaled = (table.loc[("seen", name)] for name in ("as trained", "temperature"))
    assert plain["low"] > 0.03 and plain["p"] < 0.01
    assert scaled["temperature"] == pytest.approx(3, rel=0.15) and scaled["low"] == 0 and scaled["p"] > 0.01
    assert scaled["value"] < plain["value"] and scaled["cross_entropy"] < plain["cross_entropy"]
    away = table.loc[("unseen", "temperature")]
    assert away["low"] > 0.05 and away["p"] < 0.01  # what is learnt on one family does not hold for others
    assert plain["plain"] == pytest.approx(
        np.mean(
            [
                reliability.calibration_error(tests["seen"].labels, special.expit(s))
                for s in tests["seen"].logits
            ]
        )
    )
    assert (
        plain["value"] == pytest.approx(plain["plain"], abs=0.02)
        and plain["low"] < plain["value"] < plain["high"]
    )
    drawn = calibration.diagrams(sets["val"], tests)
    own = drawn[(drawn["generator"] == "seen") & (drawn["scaled"] == "as trained")]
    assert own["n"].sum() == 3 * 400 and len(drawn) == 60


def test_one_seed_has_its_own_interval_and_no_scale_is_no_error(sets: dict[str, Logits]) -> None:
    one = {name: Logits(some.labels, some.logits[:1]) for name, some in sets.items()}
    table = calibration.errors(one["val"], {"progan": one["progan"]}, 200).set_index("scaled")
    found = reliability.error(
        one["progan"].labels, special.expit(one["progan"].logits[0]),
        weights=calibration._weights(one["progan"].labels, 200, 0),
    )  # fmt: skip
    assert table.loc["as trained", ["value", "low", "high"]].tolist() == pytest.approx(found[1:4])
    assert set(table["covers"]) == {"pictures only"}
    reversed_ = Logits(one["val"].labels, -one["val"].logits)
    lost = calibration.errors(reversed_, {"progan": one["progan"]}, 50).set_index("scaled")
    assert np.isnan(lost.loc["temperature", "value"]) and lost.loc["temperature", "seeds"] == 0
    assert calibration.diagrams(reversed_, {"a": one["progan"]}, ("temperature",)).empty
    with pytest.raises(ValueError, match="3 seeds on progan and 1 in validation"):
        calibration.errors(one["val"], {"progan": sets["progan"]})


def test_a_promise_is_kept_on_the_seen_family_and_broken_on_others(sets: dict[str, Logits]) -> None:
    tests = {"progan": sets["progan"], "new": sets["new"]}
    table = calibration.promises(sets["val"], tests, (0.05, 0.1), 200)
    by = table.set_index(["generator", "alpha", "label", "outcome"])
    for label in ("real", "fake"):
        row = by.loc[("progan", 0.1, label, "covered")]
        assert row["plausible_low"] <= row["value"] <= row["plausible_high"] and row["promised"] == 0.9
        assert row["low"] <= row["value"] <= row["high"] and row["n"] == 200
    assert (
        by.loc[("new", 0.1, "fake", "covered"), "value"]
        < by.loc[("new", 0.1, "fake", "covered"), "plausible_low"]
    )
    assert by.loc[("new", 0.1, "fake", "wrong"), "low"] > 0.1  # fakes that look real
    assert by.loc[("new", 0.1, "real", "covered"), "value"] > 0.8
    zones = [conformal.zone(sets["val"].labels, row, 0.1) for row in sets["val"].logits]
    y = sets["new"].labels
    wrong = [
        (zone.calls(row)[y == 1] == 0).mean() for zone, row in zip(zones, sets["new"].logits, strict=True)
    ]
    assert by.loc[("new", 0.1, "fake", "wrong"), "value"] == pytest.approx(np.mean(wrong))
    # nothing is promised that validation is too small for, and an empty table is no error
    few = Logits(sets["val"].labels[290:310], sets["val"].logits[:, 290:310])
    assert set(calibration.promises(few, tests, (0.05, 0.2), 50)["alpha"]) == {0.2}
    assert calibration.promises(few, tests, (0.01,), 50).empty


def test_an_error_that_never_happens_has_an_interval_all_the_same() -> None:
    y = np.repeat([0, 1], 40)
    apart = Logits.of(y, np.where(y, 5.0, -5.0) + np.linspace(0, 1, 80))
    table = calibration.promises(apart, {"same": apart}, (0.05,), 50).set_index(["label", "outcome"])
    row = table.loc[("fake", "wrong")]
    assert row["value"] == row["low"] == 0 and row["high"] == pytest.approx(0.0876, abs=1e-3)  # Wilson


def test_held_out_calls_keep_the_promise_where_calibrating_on_the_same_would_flatter() -> None:
    rng = np.random.default_rng(5)
    wrong, none = [], []
    for run in range(150):
        one = family(rng, 60, seeds=1)
        calls = calibration.held_out(one.labels, one.logits[0], 0.1, seed=run)
        found = calibration.kept(one.labels, calls)
        wrong.append([found[name]["wrong"] for name in ("real", "fake")])
        none.append(found["fake"]["no_call"])
        assert found["real"]["n"] == found["fake"]["n"] == 60
    assert (np.mean(wrong, 0) < 0.1).all() and np.mean(wrong) > 0.05
    assert 0.05 < np.mean(none) < 0.6
    with pytest.raises(ValueError, match="cannot be promised from 48 reals"):
        calibration.held_out(one.labels, one.logits[0], 0.02)
    alone = calibration.kept([1, 1], [1, 0])
    assert alone["fake"]["wrong"] == 0.5 and alone["real"]["n"] == 0 and np.isnan(alone["real"]["wrong"])


def test_scores_of_a_build_are_read_by_generator(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.scores("net", "progan")
    path.parent.mkdir(parents=True)
    rows = [
        {"condition": c, "seed": s, "image": i, "label": i % 2, "logit": 10 * s + i + (c != "baseline") * 99}
        for c in ("baseline", "top-k") for s in (0, 1) for i in range(4)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    found = calibration.tested(store, "net", [1])
    assert found["progan"].labels.tolist() == [0, 1, 0, 1] and found["progan"].logits.tolist() == [
        [10, 11, 12, 13]
    ]
    assert (
        calibration.tested(store, "net", [1, 2]) == {}
        and calibration.tested(store, "other", [0], ["progan"]) == {}
    )
    assert calibration.tested(store, "net", [0, 1])["progan"].logits.shape == (2, 4)
    with pytest.raises(ValueError, match=r"expected \(N,\) and \(S, N\)"):
        Logits.of([0, 1], [1.0, 2.0, 3.0])
