"""The exam's verdict table, from tables made by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from tff_core.claims.texts import exam, exam_faithful
from tff_core.store.results import Store

ROOT = Path(__file__).parents[2]


def dependence() -> pd.DataFrame:
    columns = ["explanation", "question", "value", "low", "high", "seeds", "n", "together"]
    rows = [
        ("z+", "the later half forgotten", 0.9, 0.85, 0.95, 3, 24, "failed"),
        ("z+", "everything forgotten", 0.6, 0.5, 0.7, 3, 24, "failed"),
        ("guided Grad-CAM", "the later half forgotten", 0.2, 0.1, 0.3, 3, 24, "passed"),
        ("noise", "everything forgotten", 0.0, -0.1, 0.1, 3, 24, "passed"),
    ]
    return pd.DataFrame(rows, columns=columns)


def place() -> pd.DataFrame:
    columns = ["case", "method", "measure", "against", "value", "low", "high", "n", "seeds", "verdict"]
    rows = [
        ("Y2", "lrp", "rank", "chance", 0.5, 0.4, 0.6, 60, 2, "in part"),
        ("all", "lrp", "mass", "chance", 0.9, 0.8, 1.0, 60, 2, "in part"),
        ("all", "lrp", "rank", "chance", 0.25, 0.2, 0.3, 60, 2, "in part"),
        ("all", "integrated", "rank", "chance", 0.3, 0.2, 0.4, 60, 2, "passed"),
    ]
    return pd.DataFrame(rows, columns=columns)


def faithful() -> pd.DataFrame:
    rows = []
    for method, gains in (("lrp_zplus", (1.0, 1.0)), ("gradcam", (-1.0, -1.0)), ("random", (0.0, 0.0))):
        for measure, gain in zip(("flip_most", "deletion"), gains, strict=True):
            over = {f"over_{c}{end}": gain + move for c in ("random", "edges")
                    for end, move in (("", 0.0), ("_low", -0.5), ("_high", 0.5))}  # fmt: skip
            rows.append({"method": method, "measure": measure, "seeds": 3, "n": 15, **over})
    return pd.DataFrame(rows)


def broken() -> pd.DataFrame:
    heatmap, omega = ["for"] * 2 + ["open"] * 6, ["against"] * 8
    return pd.DataFrame({"operation": list("abcdefgh"), "heatmap_first": heatmap, "omega_first": omega})


def test_every_chapters_word_stands_under_its_question() -> None:
    told = exam.cells({
        "dependence_verdicts": dependence(), "known_place": place(), "faithfulness": faithful(),
        "broken": broken(),
    })  # fmt: skip
    assert told["lrp", "depends"] == "**failed** 0.90 [0.85, 0.95]"
    assert told["guided_gradcam", "depends"].startswith("**passed** 0.20")
    assert told["random", "depends"] == "**passed**", "a question without the number that is shown"
    assert told["lrp", "finds"] == "**in part** +25.0 points [+20.0, +30.0]", "all detectors, by rank"
    assert told["integrated_gradients", "finds"].startswith("**passed**")
    assert told["lrp", "faithful"] == "**passed** 2 of 2, +1.00 [+0.50, +1.50]"
    assert told["gradcam", "faithful"].startswith("**failed** 0 of 2")
    assert told["lrp", "robust"] == "**failed** 2 before, 0 after, of 8"
    assert told["omega", "robust"] == "**passed** 0 before, 8 after, of 8"
    # whatever chapters call a method, it has a row
    assert {method for method, _ in told} <= set(exam.METHODS)


def test_names_of_all_methods_of_the_faithful_chapter_are_known() -> None:
    assert {exam._ALIASES.get(name, name) for name in exam_faithful.METHODS} <= set(exam.METHODS)


def test_the_table_has_the_questions_that_were_asked_with_their_n(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert "Not asked" in exam.front(exam.load(store, "mine"))
    for name, rows in (("faithfulness", faithful()), ("dependence_verdicts", dependence())):
        store.table(name).parent.mkdir(parents=True, exist_ok=True)
        rows.assign(detector="mine").to_csv(store.table(name), index=False)
    found = exam.load(store, "mine")
    told = exam.front(found)
    assert "17_does_it_depend" in told and "19_faithful" in told and "20_robust" not in told
    assert "n = 24 pictures and 3 detectors (depends on the detector); 15 pictures" in told
    assert "Not asked" in exam.front(exam.load(store, "another")), "rows of another detector"


def test_the_first_page_waits_for_the_tables_of_chapters_that_are_read() -> None:
    read = []

    class Watched(Store):
        def table(self, name: str) -> Path:
            read.append(name)
            return super().table(name)

    exam.load(Watched(Path("nowhere")), "mine")
    config = yaml.safe_load((ROOT / "workflow" / "config.yaml").read_text(encoding="utf-8"))
    shared = {table for tables in config["tables_of"].values() for table in tables}
    assert {name for name in read if name in shared} == set(config["tables_for"]["examined"])
    # the page on planted traces writes the others whole, and "examined" waits for that page
    assert all(name.startswith("known_") for name in read if name not in shared)
    assert "examined" in config["needs"]["00_overview"]


def test_how_often_the_tests_of_colour_are_right_is_told() -> None:
    columns = ["test", "right", "low", "high", "verdict"]
    rows = pd.DataFrame([("C5", 0.5, 0.2, 0.8, "failed"), ("C6", 1.0, 0.7, 1.0, "passed")], columns=columns)
    told = exam.front({"known_confusion": rows, "broken": broken()})
    assert "C5 failed (50.0 % [20.0, 80.0])" in told and "C6 passed" in told
    assert told.count("|") > 0
    missing = rows.assign(right=float("nan"))
    assert "C5" not in exam.front({"known_confusion": missing, "broken": broken()})


@pytest.mark.parametrize("sides", [["open"] * 8, ["for"] * 8, ["for", "against"] * 4])
def test_robust_words_follow_the_rule_of_all_claims(sides: list[str]) -> None:
    told = exam.cells({"broken": broken().assign(heatmap_first=sides)})["lrp", "robust"]
    expected = (
        {"open": "open", "for": "failed"}.get(sides[1], "in part") if sides[0] == sides[1] else "in part"
    )
    assert told.startswith(f"**{expected}**")
