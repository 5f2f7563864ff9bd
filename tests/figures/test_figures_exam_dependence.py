"""The figures of the chapter on dependence say what their tables say."""

from __future__ import annotations

import pandas as pd

from tff_core import figures

GROUPS = ["fc", "layer4 to layer3", "conv1"]


def alike() -> pd.DataFrame:
    rows = [
        {"order": order, "depth": depth, "group": group, "explanation": name, "measure": measure}
        | {"value": value / depth, "low": value / depth - 0.1, "high": value / depth + 0.1, "n": 8}
        for order in ("top down", "alone")
        for measure in ("order", "top")
        for name, value in (("z+", 0.9), ("gradient", 0.3))
        for depth, group in enumerate(GROUPS, 1)
    ]
    again = {"order": "trained again", "depth": 0, "group": "", "explanation": "z+", "measure": "order"}
    return pd.DataFrame([*rows, again | {"value": 0.5, "low": 0.4, "high": 0.6, "n": 8}])


def test_forgetting_has_a_curve_for_each_explanation_and_a_menu_for_measures() -> None:
    figure = figures.forgetting(alike(), {"z+": "relevance", "gradient": "gradient"}, GROUPS)
    assert len(figure.data) == 2 * 2 * 2 + 1 and len(figure.layout.updatemenus[0].buttons) == 4
    shown = [trace for trace in figure.data if trace.visible]
    assert [trace.name for trace in shown if trace.showlegend is None] == ["relevance", "gradient"]
    assert list(shown[0].y) == [0.9, 0.45, 0.3] and list(shown[1].y) == [0.5, 0.5]
    assert "8 fakes" in figures.caption(figure) and "gradient 0.30, 0.15, 0.10" in figures.alt(figure)
    alone = figures.forgetting(alike(), {"z+": "relevance"}, GROUPS, again=False)
    assert len(alone.data) == 4


def test_starts_run_from_the_last_layer_to_the_picture() -> None:
    table = pd.DataFrame(
        {"explanation": "z+", "starts": "random starts", "place": [0, 1, 2], "n": 8}
        | {"layer": ["pixels", "conv1", "conv2"], "value": [0.9, 0.5, 0.1]}
        | {"low": [0.8, 0.4, 0.0], "high": [1.0, 0.6, 0.2]}
    )
    figure = figures.starts(table, {("z+", "random starts"): "z+", ("gradient", "random starts"): "gradient"})
    assert len(figure.data) == 1 and figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]
    assert "z+: 0.10 in the last layer, 0.90 in the picture" in figures.alt(figure)
