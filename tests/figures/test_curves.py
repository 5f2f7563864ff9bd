"""Curves of precision and recall: steps whose area is the AP, marks, and captions."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from tff_core import figures, metrics


def measured(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 3 == 0).astype(int)
    return y, 1 / (1 + np.exp(-(y - 0.5 + rng.normal(0, noise, n))))


def drawn(sizes: dict[str, int], noise: float = 0.7) -> tuple[go.Figure, dict[str, tuple[np.ndarray, ...]]]:
    curves, rows, scores = {}, [], {}
    for i, (name, n) in enumerate(sizes.items()):
        y, p = measured(n, noise, i)
        scores[name] = (y, p)
        curves[name] = precision_recall_curve(y, p)
        ap = metrics.ap_interval(y, p, n=200)
        low, high = (np.nan, np.nan) if name == "patch" else ap[1:]
        rows.append({"ensemble": name, "ap": ap.value, "low": low, "high": high,
                     "n_real": int((y == 0).sum()), "n_fake": int(y.sum())})  # fmt: skip
    return figures.precision_recall(curves, pd.DataFrame(rows)), scores


FIGURE, SCORES = drawn({"before_softmax": 60, "patch": 9000, "mine": 90})


def lines(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.mode == "lines"]


def test_has_a_caption_and_a_text_alternative() -> None:
    text, alt = figures.caption(FIGURE), figures.alt(FIGURE)
    assert "40 reals and 20 fakes; 6000 reals and 3000 fakes; 60 reals and 30 fakes." in text
    assert text.endswith(".") and alt.endswith(".") and "nan" not in alt
    assert FIGURE.layout.height >= 200 and FIGURE.layout.width is None
    assert json.loads(FIGURE.to_json()) and "http" not in FIGURE.to_json()


def test_the_area_below_the_steps_is_the_ap() -> None:
    for trace, (y, p) in zip(lines(FIGURE), SCORES.values(), strict=True):
        assert trace.line.shape == "hv"  # a precision holds down to the next recall
        recall, precision = np.asarray(trace.x) / 100, np.asarray(trace.y) / 100
        assert (np.diff(recall) <= 0).all() and len(recall) <= 403
        area = float((-np.diff(recall) * precision[:-1]).sum())
        assert area == pytest.approx(average_precision_score(y, p), abs=0.003)
        assert f"AP {100 * average_precision_score(y, p):.1f}" in trace.name
    names = [trace.name.partition(":")[0] for trace in lines(FIGURE)]
    assert names == ["mean before the softmax", "single cells", "mine"]
    assert "[" in lines(FIGURE)[0].name and "[" not in lines(FIGURE)[1].name


def test_marks_and_hover_texts_say_what_a_threshold_does() -> None:
    marks = [trace for trace in FIGURE.data if trace.mode == "markers"]
    for trace, mark, (y, p) in zip(lines(FIGURE), marks, SCORES.values(), strict=True):
        called = p >= 0.5
        assert mark.x[0] == pytest.approx(100 * called[y == 1].mean())
        assert mark.y[0] == pytest.approx(100 * y[called].mean())
        for at in (0, len(trace.x) // 2, -2):
            above = p >= trace.customdata[at]
            assert trace.x[at] == pytest.approx(100 * above[y == 1].mean(), abs=1e-3)
            assert trace.y[at] == pytest.approx(100 * y[above].mean(), abs=1e-3)
        assert (trace.x[-1], trace.y[-1]) == (0, 100)
    dotted = [shape.y0 for shape in FIGURE.layout.shapes]
    assert dotted == pytest.approx([100 / 3], abs=1e-3)  # a third is fake in each of them: one line


def test_a_threshold_above_all_scores_has_no_mark() -> None:
    y, p = measured(30, 0.7)
    row = {"ensemble": "vote", "ap": 0.5, "low": 0.4, "high": 0.6, "n_real": 20, "n_fake": 10}
    figure = figures.precision_recall({"vote": precision_recall_curve(y, p)}, pd.DataFrame([row]), 1.1)
    assert len(figure.data) == 1


def test_what_cannot_be_drawn_is_one_sentence() -> None:
    table = pd.DataFrame([{"ensemble": "vote", "ap": 0.5, "low": 0.4, "high": 0.6, "n_real": 2, "n_fake": 2}])
    with pytest.raises(ValueError, match="no curve to draw"):
        figures.precision_recall({}, table)
    with pytest.raises(ValueError, match="no row of the table is of 'patch': there are vote"):
        figures.precision_recall({"patch": ([1.0], [1.0], [])}, table)
    with pytest.raises(ValueError, match=r"expected \(K \+ 1,\), \(K \+ 1,\) and \(K,\)"):
        figures.precision_recall({"vote": ([1.0, 1.0], [1.0, 0.0], [0.1, 0.2])}, table)
