"""Figures of damage, bands and calibration: every number is drawn where it belongs, and told in words."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tff_core import figures
from tff_core.figures import degraded

NAMES = {0.25: "1/4 and finer", 0.125: "1/8 to 1/4"}


def curve(measures: list[str], generator: str) -> pd.DataFrame:
    settings = [("untouched", math.nan), ("jpeg", 90.0), ("jpeg", 30.0), ("blur", 0.5), ("blur", 2.0)]
    rows = [
        {"operation": o, "level": level, "generator": generator, "measure": m, "value": 0.9 - 0.1 * i,
         "low": 0.5, "high": 0.95, "n_real": 28, "n_fake": 28, "chance": 0.2, "seeds": 3}
        for i, (o, level) in enumerate(settings) for m in measures
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_answers_begin_undamaged_and_a_menu_chooses_the_damage() -> None:
    figure = figures.degraded_answers(curve(["AP", "real right", "fake right"], "mean"))
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(lines) == 2 * 3 and [line.visible for line in lines] == [True] * 3 + [False] * 3
    assert list(lines[0].y) == pytest.approx([90, 80, 70]) and list(lines[0].text) == ["none", "90", "30"]
    menu = figure.layout.updatemenus[0].buttons
    assert [button.label for button in menu] == ["jpeg", "blur"]
    assert menu[1].args[1]["xaxis.title.text"].startswith("Gaussian blur")
    assert "over 56 pictures and detector seeds" in figures.caption(figure)
    assert "jpeg, AP: 80, 70" in figures.alt(figure)


def test_explanations_are_drawn_from_unchanged_to_chance() -> None:
    table = curve(["verdict", "heatmap", "heatmap cosine", "omega"], "explained fakes")
    figure = figures.degraded_explanations(table[table["operation"] != "untouched"])
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(lines) == 2 * 3  # the cosine has no place on it
    assert list(lines[0].y) == pytest.approx([100, 75, 62.5])
    assert figure.layout.shapes[0].y0 == 50
    missing = table.assign(value=math.nan, low=math.nan, high=math.nan)
    with pytest.raises(ValueError, match="no operation degrades the pictures"):
        figures.degraded_explanations(missing[missing["operation"] != "untouched"])


def test_bands_stand_beside_their_control() -> None:
    table = pd.DataFrame(
        {
            "channel": ["Y", "Y", "Y"], "level": [0.25, 0.125, 0.25], "measure": ["AP", "AP", "omega"],
            "stop": [0.6, 0.8, math.nan], "control": [0.9, 0.9, math.nan], "value": [-0.3, -0.1, math.nan],
            "low": [-0.4, -0.2, math.nan], "high": [-0.2, 0.1, math.nan], "seeds": 3, "n_fake": 28,
        }
    )  # fmt: skip
    figure = figures.band_losses(table, NAMES)
    stop, control = figure.data[:2]
    assert list(stop.x) == [60, 80] and list(control.x) == [90, 90]
    # the interval of the difference, from the control
    assert np.array(stop.error_x.arrayminus) == pytest.approx([10, 10])
    assert np.array(stop.error_x.array) == pytest.approx([10, 20])
    assert "AP without Y 1/4 and finer 60, control 90" in figures.alt(figure)
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["AP", "omega"]


def test_responses_and_reliability_show_every_group() -> None:
    table = pd.DataFrame(
        {
            "group": ["top-k", "top-k", "layer-matched", "layer-matched"], "channel": "Y",
            "level": [0.25, 0.125] * 2, "value": [0.6, 0.4, 0.5, 0.5], "low": 0.3, "high": 0.7, "n_maps": 9,
        }
    )  # fmt: skip
    figure = figures.band_responses(table, NAMES)
    assert [list(trace.x) for trace in figure.data] == [[60, 40], [50, 50]]
    assert "over 9 maps" in figures.caption(figure)
    bins = pd.DataFrame(
        {
            "generator": ["seen", "seen", "unseen"], "scaled": "as trained", "probability": [0.1, 0.9, 0.5],
            "share": [0.2, 0.8, math.nan], "low": 0.1, "high": 0.9, "n": [5, 6, 0],
        }
    )  # fmt: skip
    figure = figures.reliability(bins)
    assert len(figure.data) == 1 and list(figure.data[0].y) == pytest.approx([20, 80])
    assert figure.data[0].name == "the family trained on" and not figure.layout.updatemenus


def test_spectra_of_several_channels_have_a_menu_and_the_mean_in_the_middle() -> None:
    rows = [
        {"family": f, "channel": c, "frequency": q, "value": v, "low": v - 0.1, "high": v + 0.1, "n": 60}
        for f in ("progan", "gaugan") for c, v in (("Y", 1.0), ("Cr", -2.0)) for q in (0.0, 0.25, 0.5)
    ]  # fmt: skip
    figure = figures.spectrum_profiles(pd.DataFrame(rows), "ln power")
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["Y", "Cr"]
    assert sum(bool(trace.visible) for trace in figure.data) == 4  # two families, each with its band
    assert "ProGAN, Cr, farthest from 0" in figures.alt(figure)
    plane = np.zeros((8, 8))
    plane[0, 4] = 7.0  # the finest columns
    figure = figures.spectrum_planes({"a": plane}, fourier=True)
    drawn = figure.data[0]
    assert (drawn.x0, drawn.dx, drawn.y0) == (-0.5, 0.125, -0.5)
    assert np.argwhere(np.array(drawn.z) == 7).tolist() == [[4, 0]]  # in the middle of the left edge
    assert "at 0.00 down and 0.50 across" in figures.alt(figure) and "in the middle" in figures.caption(
        figure
    )


def test_a_measure_without_a_colour_is_refused() -> None:
    with pytest.raises(ValueError, match=r"measures \['other'\] have no colour"):
        degraded.damage_curves(
            curve(["other"], "mean").assign(strength=1.0, n=1), degraded.ANSWERS, {}, "", "", ""
        )
