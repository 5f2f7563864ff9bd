"""The figures on colour-robust detectors, and the paper's tables in their chapter."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tff_core import figures, published
from tff_core.features import color_ablation, color_conditional, color_robust

GENERATORS = ["progan", "gaugan", "mine"]


def measured() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    parts = []
    for generator in GENERATORS:
        universal, robust = (
            {kind: {s: y + rng.normal(size=40) for s in some} for kind in ("color", "gray")}
            for some in ((0, 1), (0,))
        )
        parts.append(color_robust.robustness(y, universal, robust, n=50).assign(generator=generator))
    return pd.concat(parts, ignore_index=True)


def shares() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    members = {"top-k": [np.arange(10)], "matched-k": [np.arange(10, 20), np.arange(5, 15)]}
    parts = []
    for generator in GENERATORS:
        one, two = (color_conditional.Sample(*rng.normal(size=(2, 20, 20)), members) for _ in range(2))
        parts.append(color_robust.before_after([one], [two], splits=4).assign(generator=generator))
    return pd.concat(parts, ignore_index=True)


def ratios() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(2)
    rows = [
        {"model": m, "group": g, "map": f"conv.#{i}(T=9)", "ratio": rng.uniform(0, 2)}
        for m in color_robust.MODELS
        for g in ("top-k", "matched-k")
        for i in range(4)
    ]
    table = pd.DataFrame(rows)
    means = [
        {"model": m, "group": g, **color_ablation.average(own["ratio"], n=50)._asdict()}
        for (m, g), own in table.groupby(["model", "group"])
    ]
    return table, pd.DataFrame(means)


def paper() -> pd.DataFrame:
    table = published.color_robust().rename(columns={"detector": "model"})
    table = table.replace(
        {"model": {"baseline": "universal"}, "input": {"rgb": "color", "grayscale": "gray"}}
    )
    return table[table["architecture"] == "resnet50"]


TABLE, SHARES = measured(), shares()
PUBLISHED = {"universal": {"progan": 0.85, "other": 0.5}, "color-robust": {"progan": 0.55}}
FIGURES: dict[str, go.Figure] = {
    "ap": figures.robust_ap(TABLE, paper()),
    "ap alone": figures.robust_ap(TABLE),
    "differences": figures.robust_differences(TABLE),
    "shares": figures.robust_shares(SHARES, PUBLISHED),
    "shares alone": figures.robust_shares(SHARES),
    "chroma": figures.chroma_ratios(*ratios()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_has_a_caption_a_text_alternative_and_a_height(name: str) -> None:
    figure = FIGURES[name]
    assert figures.caption(figure).endswith(".") and figures.alt(figure).endswith(".")
    assert "nan" not in figures.alt(figure).lower().split()
    assert figure.layout.height >= 200 and figure.layout.width is None
    assert json.loads(figure.to_json()) and "http" not in figure.to_json()


@pytest.mark.parametrize("name", FIGURES)
def test_every_button_shows_something_else_and_the_first_is_what_stands(name: str) -> None:
    figure = FIGURES[name]
    for menu in figure.layout.updatemenus:
        choices = [tuple(button.args[0]["visible"]) for button in menu.buttons]
        assert all(len(choice) == len(figure.data) and any(choice) for choice in choices)
        assert len(set(choices)) == len(choices)
        assert choices[0] == tuple(trace.visible in (None, True) for trace in figure.data)


def trace(figure: go.Figure, name: str, place: int = 0) -> go.Scatter:
    return [t for t in figure.data if t.name == name][place]


def test_aps_and_their_differences_are_those_of_the_table_in_percent() -> None:
    pooled = TABLE[TABLE["seed"] == "all"].set_index(["model", "input", "generator"])
    for (model, kind), name in {
        ("universal", "gray"): "universal, gray",
        ("color-robust", "color"): "colour-robust, colour",
    }.items():
        shown = trace(FIGURES["ap"], name)
        assert list(shown.x) == pytest.approx([100 * pooled.loc[(model, kind, g), "ap"] for g in GENERATORS])
        assert list(shown.x - shown.error_x.arrayminus) == pytest.approx(
            [100 * pooled.loc[(model, kind, g), "ap_low"] for g in GENERATORS]
        )
    shown = trace(FIGURES["differences"], "gray pictures")
    assert list(shown.x) == pytest.approx(
        [100 * pooled.loc[("difference", "gray", g), "ap"] for g in GENERATORS]
    )


def test_the_papers_numbers_stand_where_the_paper_has_any() -> None:
    shown = trace(FIGURES["ap"], "universal, gray", 1)
    known = paper().query("model == 'universal' and input == 'gray'").set_index("generator")["ap"]
    assert dict(zip(shown.text, shown.x, strict=True)) == pytest.approx(
        {figures.generator_name(g): 100 * known[g] for g in ("progan", "gaugan")}
    )
    stars = trace(FIGURES["shares"], "the paper: colour-robust, top-k")
    assert list(stars.x) == pytest.approx([55]) and list(stars.text) == ["ProGAN"]
    assert "paper" in figures.caption(FIGURES["shares"])
    assert "paper" not in figures.caption(FIGURES["shares alone"])


def test_shares_before_and_after_are_those_of_the_table() -> None:
    indexed = SHARES.set_index(["model", "group", "generator"])["share"]
    shown = trace(FIGURES["shares"], "colour-robust, layer-matched")
    assert list(shown.x) == pytest.approx([100 * indexed["color-robust", "matched-k", g] for g in GENERATORS])
    changed = trace(FIGURES["shares"], "top-k")
    assert list(changed.x) == pytest.approx([100 * indexed["difference", "top-k", g] for g in GENERATORS])


def test_a_caption_speaks_of_seeds_only_where_there_are_several() -> None:
    one = figures.robust_shares(SHARES.assign(seeds=1), {})
    many = figures.robust_shares(SHARES.assign(seeds=3), {})
    assert "over pictures." in figures.caption(one)
    assert "over pictures and seeds." in figures.caption(many)
