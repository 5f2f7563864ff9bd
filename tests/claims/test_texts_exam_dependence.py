"""What the chapter on dependence says, from tables made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from tff_core.claims.texts import exam_dependence as texts

GROUPS = ["fc", "layer4", "layer3", "conv1"]


def row(value: float, **more: object) -> dict[str, object]:
    numbers = {"value": value, "low": value - 0.1, "high": value + 0.1, "seeds": 3}
    return more | numbers | {"covers": "seeds and pictures", "n": 16}


@pytest.fixture
def alike() -> pd.DataFrame:
    rows = [
        row(value, order="top down", depth=depth, group=group, explanation=name, measure="order")
        for name, left in (("z+", (0.99, 0.9, 0.8, 0.4)), ("omega", (0.9, 0.7, 0.6, float("nan"))))
        for depth, (group, value) in enumerate(zip(GROUPS, left, strict=True), 1)
    ]
    rows.append(row(0.66, order="trained again", depth=0, group="", explanation="z+", measure="order"))
    for depth, value in ((0, 0.31), (4, 0.42)):
        rows.append(row(value, order="to edges", depth=depth, group="", explanation="z+", measure="order"))
    rows.append(row(0.87, order="top down", depth=4, group="conv1", explanation="omega", measure="layers"))
    return pd.DataFrame(rows)


def test_what_is_left_stands_beside_another_training(alike: pd.DataFrame) -> None:
    lines = texts.forgotten(alike, 2, GROUPS).splitlines()
    assert lines[0] == "| explanation | fc, layer4 random | everything random | trained again |"
    assert lines[2] == "| z+ relevance | 0.90 [0.80, 1.00] | 0.40 [0.30, 0.50] | 0.66 [0.56, 0.76] |"
    assert lines[3] == "| omega | 0.70 [0.60, 0.80] | none | none |" and len(lines) == 4
    assert texts.counts(alike) == "n = 16 fakes, 3 detector seeds."


def test_edges_and_the_places_of_top_maps_are_named(alike: pd.DataFrame) -> None:
    assert "z+ relevance 0.31 [0.21, 0.41], of a random network 0.42 [0.32, 0.52]" in texts.beside_edges(
        alike, 4
    )
    assert "correlate with 0.87 [0.77, 0.97]" in texts.known(alike, 4)
    assert texts.known(alike[alike["measure"] == "order"], 4) == ""


def test_starts_and_complexity_are_told_at_both_ends() -> None:
    starts = pd.DataFrame(
        row(value, explanation="z+", starts="random starts", layer=layer, place=place)
        for place, (layer, value) in enumerate((("pixels", 0.98), ("conv1", 0.9), ("layer4", 0.1)))
    )
    assert "z+, random starts: 0.10 [0.00, 0.20] in layer4, 0.98 [0.88, 1.08] in the picture" in (
        texts.random_answers(starts)
    )
    risen = pd.DataFrame([row(0.25, explanation="gradient"), row(-0.5, explanation="z+")])
    said = texts.complexity(risen)
    assert "gradient +0.25 [+0.15, +0.35]; z+ relevance -0.50 [-0.60, -0.40]" in said and "n = 16" in said


def test_verdicts_are_a_table_and_a_sentence() -> None:
    judged = pd.DataFrame(
        [
            row(0.8, explanation="z+", question="the later half forgotten", verdict="failed"),
            row(0.2, explanation="z+", question="everything forgotten", verdict="passed"),
            row(0.7, explanation="omega", question="the later half forgotten", verdict="failed"),
            row(1.0, explanation="edges", question="everything forgotten", verdict="failed"),
        ]
    )
    overall = pd.DataFrame(
        {"explanation": ["z+", "omega", "edges"], "verdict": ["in part", "failed", "failed"]}
    )
    lines = texts.verdicts(judged, overall).splitlines()
    assert lines[2].startswith("| z+ relevance | passed (0.20 [0.10, 0.30]) | failed (0.80 [0.70, 0.90]) |")
    assert lines[2].endswith("| **in part** |") and lines[4].endswith("| control |")
    said = texts.finding(judged, overall)
    assert "z+ relevance: passed some questions and not others. omega: passed none." in said
    assert "rank correlation of 0.80 [0.70, 0.90]" in said and "omega keeps 0.70" in said
    assert "edges" not in said


def test_shuffled_labels_are_told_with_what_their_detectors_know() -> None:
    table = pd.DataFrame(
        [
            row(0.5, pair="true labels, shuffled labels", explanation="z+", measure="order"),
            row(0.6, pair="true labels, trained again", explanation="omega", measure="order"),
        ]
    )
    fact = {"own labels": 1.0, "true labels": 0.75, "shuffled labels": 0.5, "n": 32, "n_train": 64}
    said = texts.labels(table, [fact, fact], "ResNet-18")
    assert "| z+ relevance | 0.50 [0.40, 0.60] | none |" in said and "2 seeds of each" in said
    assert "100 % of their training pictures" in said and "50 % of 32 new ones" in said and "75 %" in said
