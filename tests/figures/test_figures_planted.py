"""Figures of planted traces show what their tables say, and describe it in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tff_core import figures

CASES = {"Y2": "Y, period 2", "Cb2": "Cb, period 2"}


def test_doses_have_a_line_for_each_detector_and_one_legend_entry_a_case() -> None:
    rows = [
        {"case": case, "seed": seed, "amplitude": a, "ap": 0.5 + 0.1 * a, "low": 0.4, "high": 1.0, "n": 60}
        for case in CASES
        for seed in (0, 1)
        for a in (0, 2, 4)
    ]
    figure = figures.planted_doses(pd.DataFrame(rows), CASES, 0.9)
    assert len(figure.data) == 4 and [t.showlegend for t in figure.data] == [True, False, True, False]
    np.testing.assert_allclose(figure.data[0].y, [50, 70, 90])
    assert "Y, period 2, seed 0: 70.0 at 2" in figures.alt(figure) and "60 scenes" in figures.caption(figure)
    assert figure.layout.shapes[0].y0 == 90


def _places(cases: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"case": case, "method": method, "measure": measure, "value": value, "low": value - 0.1, "high": 0.9,
         "chance": 0.2, "n": 30}
        for case in cases
        for method, value in (("lrp", 0.6), ("edges", 0.2))
        for measure in ("mass", "rank")
    )  # fmt: skip


def test_places_have_both_measures_and_a_menu_of_cases() -> None:
    methods = {"lrp": "LRP", "edges": "edges", "missing": "not there"}
    figure = figures.planted_places(_places(["all", "Y2", "Cb2"]), methods, {"all": "all detectors"} | CASES)
    assert len(figure.data) == 6 and len(figure.layout.updatemenus[0].buttons) == 3
    np.testing.assert_allclose(figure.data[0].x, [60, 20])
    assert "LRP, share of relevance inside: 60.0" in figures.alt(figure)
    assert list(figure.layout.yaxis.ticktext) == ["edges", "LRP"]
    single = figures.planted_places(_places(["Y2"]), methods, CASES)
    assert not single.layout.updatemenus and len(single.data) == 2


def test_carriers_show_omega_and_what_is_lost() -> None:
    table = pd.DataFrame(
        {"case": ["Y2", "Y2", "Cb2"], "seed": 0, "map": ["a", "b", "c"], "omega": [0.01, 0.02, 0.03],
         "lost": [0.1, -0.02, 0.3], "low": 0.0, "high": 0.4, "n": 8}
    )  # fmt: skip
    figure = figures.planted_carriers(table, CASES)
    np.testing.assert_allclose(figure.data[0].x, [1, 2])
    np.testing.assert_allclose(figure.data[1].y, [30])
    assert "Cb, period 2: 30.0 lost without the strongest carrier" in figures.alt(figure)
