"""The paper's tests of colour, put to detectors with a known trace; and the confusion table, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from exam_known_detector import detector, pictures

from tff_core.exam import carriers, color_truth
from tff_core.exam.color_truth import ask
from tff_core.exam.confusion import confusion, said, says


@pytest.fixture(scope="module")
def asked() -> dict[str, pd.DataFrame]:
    tables = {}
    for case in ("Cb2", "Y2"):
        one, some = detector(case), pictures(case)
        ranking = carriers.omega(one, some)
        tables[case] = says(ask(one, detector(case, 0.5), some, ranking, draws=2, n=200))
    return tables


@pytest.mark.slow
def test_every_test_answers_with_an_interval(asked: dict[str, pd.DataFrame]) -> None:
    for table in asked.values():
        assert list(table["test"]) == ["C5", "C6", "C7", "C7", "C8"]
        there = table.dropna(subset="low")
        assert len(there) >= 4 and (there["low"] <= there["high"]).all() and (there["n"] > 0).all()
        assert set(table["says"]) <= {"for", "against", "open", "missing"}
        assert list(table["border"]) == [0, 0, 0, 0.5, 0]


@pytest.mark.slow
def test_without_colour_a_trace_in_chroma_is_gone_and_one_in_luma_is_not(
    asked: dict[str, pd.DataFrame],
) -> None:
    drops = {case: float(table.set_index("test").loc["C6", "value"]) for case, table in asked.items()}
    assert drops["Cb2"] > 0.2 and abs(drops["Y2"]) < drops["Cb2"] / 2
    assert asked["Cb2"].set_index("test").loc["C6", "says"] == "for"


@pytest.mark.slow
def test_training_on_gray_pictures_restores_nothing_where_gray_has_no_trace(
    asked: dict[str, pd.DataFrame],
) -> None:
    row = asked["Cb2"].set_index("test").loc["C8"]
    assert row["low"] < 0.1 and abs(row["value"]) < 0.2


@pytest.mark.slow
def test_nothing_is_left_behind_on_disk_and_the_same_seed_says_the_same(
    asked: dict[str, pd.DataFrame],
    tmp_path,
    monkeypatch,  # type: ignore[no-untyped-def]
) -> None:
    monkeypatch.setattr(color_truth.tempfile, "tempdir", str(tmp_path))
    one, some = detector("Cb2"), pictures("Cb2")
    again = ask(one, detector("Cb2", 0.5), some, carriers.omega(one, some), draws=2, n=200)
    pd.testing.assert_frame_equal(again, asked["Cb2"].drop(columns="says"))
    assert not list(tmp_path.iterdir())


def _rows(says: dict[tuple[str, int, bool], dict[str, list[str]]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"case": case, "seed": seed, "color": color, "test": test, "says": word}
        for (case, seed, color), tests in says.items()
        for test, words in tests.items()
        for word in words
    )


def test_the_confusion_table_by_hand() -> None:
    table = _rows(
        {
            ("Cb2", 0, True): {"C6": ["for"], "C7": ["for", "for"]},
            ("Cb2", 1, True): {"C6": ["open"], "C7": ["for", "open"]},
            ("Cr2", 0, True): {"C6": ["for"], "C7": ["for", "for"]},
            ("Y2", 0, False): {"C6": ["for"], "C7": ["against", "for"]},
            ("Y2", 1, False): {"C6": ["missing"], "C7": ["open", "open"]},
        }
    )
    assert not said(table).query("case == 'Cb2' and seed == 1")["said"].any()
    found = confusion(table).set_index("test")
    assert found.loc["C6", ["hits", "n_chroma", "alarms", "n_luma"]].tolist() == [2, 3, 1, 2]
    # right about two of three in chroma and one of two in luma: the mean of both shares
    assert found.loc["C6", "right"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.loc["C7", "right"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["verdict"].to_dict() == {"C6": "in part", "C7": "in part"}
    (l1, h1), (l2, h2) = _wilson(2, 3), _wilson(1, 2)
    right = found.loc["C6", "right"]
    assert found.loc["C6", "low"] == pytest.approx(right - np.hypot(2 / 3 - l1, 1 / 2 - l2) / 2, abs=1e-6)
    assert found.loc["C6", "high"] == pytest.approx(right + np.hypot(h1 - 2 / 3, h2 - 1 / 2) / 2, abs=1e-6)


def _wilson(k: int, n: int) -> tuple[float, float]:
    z, p = 1.959964, k / n
    middle, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)


def test_tests_that_always_or_never_say_colour_are_as_good_as_a_guess() -> None:
    cases = {("Cb2", s, True): s for s in range(6)} | {("Y2", s, False): s for s in range(3)}
    rows = {}
    for case, _, color in cases:
        rows[case, _, color] = {"yes": ["for"], "no": ["open"], "all": ["for" if color else "open"]}
    found = confusion(_rows(rows)).set_index("test")
    assert found["right"].to_dict() == {"yes": 0.5, "no": 0.5, "all": 1.0}
    assert found["verdict"].to_dict() == {"yes": "failed", "no": "failed", "all": "passed"}


def test_with_detectors_of_one_kind_alone_nothing_is_said() -> None:
    found = confusion(_rows({("Cb2", 0, True): {"C6": ["for"]}})).iloc[0]
    assert np.isnan(found["right"]) and found["verdict"] == "" and found["hits"] == 1 and found["n_luma"] == 0


def test_without_any_detector_the_table_is_empty() -> None:
    assert confusion(pd.DataFrame(columns=["case", "seed", "color", "test", "says"])).empty
