"""The figures on colour and patches from made-up tables: what is drawn is what the tables say."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import plotly
import plotly.graph_objects as go
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tff_core import figures
from tff_core.book import sphinx_extension as book
from tff_core.features import color_ablation

STATIC = Path(__file__).parents[2] / "book" / "static"
GENERATORS = ["progan", "gaugan"]


def ablation() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = []
    for generator in GENERATORS:
        for seed in ("0", "all"):
            p = rng.uniform(size=(2, 40))
            part = color_ablation.ablation(p[0], p[1], np.arange(40) % 2, n=50)
            parts.append(part.assign(generator=generator, seed=seed))
    return pd.concat(parts, ignore_index=True)


def exchanged() -> pd.DataFrame:
    rows = [
        {"generator": g, "pictures": name, "called": 0.1 * i, "low": 0.1 * i - 0.05, "high": 0.1 * i + 0.1}
        for g in GENERATORS
        for i, name in enumerate(figures.color._EXCHANGES)
    ]
    return pd.DataFrame(rows)


def shares() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    for g in GENERATORS:
        for group, draws in (("top-k", 1), ("matched-k", 3), ("random-k", 2)):
            for draw in range(draws):
                row = {"generator": g, "seed": 0, "group": group, "draw": draw}
                rows.append(row | {test: rng.uniform() for test in figures.color._TESTS})
    return pd.DataFrame(rows)


def sweep() -> pd.DataFrame:
    rows = [
        {"change": c, "amount": a, "label": label, "q1": 0.2, "median": 0.3 + 0.1 * a, "q3": 0.9}
        for c in ("saturation", "hue")
        for a in (0.0, 0.5, 1.0)
        for label in ("fake", "real")
    ]
    return pd.DataFrame(rows)


def growth() -> pd.DataFrame:
    rows = [
        {"group": g, "draw": 0, "n": n, "repeat": r, "share": 0.01 * n + 0.001 * r}
        for g in ("top-k", "matched-k")
        for n in (10, 20)
        for r in (0, 1)
    ]
    return pd.DataFrame(rows)


def every_figure() -> dict[str, go.Figure]:
    rng = np.random.default_rng(2)
    cells = rng.integers(1, 256, size=(2, 3, 8, 8, 3), dtype=np.uint8)
    words = [["a", "b", "c"]] * 2
    frame = rng.integers(1, 256, size=(3, 8, 8, 3), dtype=np.uint8)
    layers = pd.DataFrame({"layer": ["a", "b"], "channels": [4, 8], "share": [0.5, 0.25], "top": [0, 3]})
    return {
        "boxes": figures.gray_boxes(ablation().query("seed == 'all'")),
        "drops": figures.gray_drops(ablation()),
        "exchanges": figures.exchanges(exchanged()),
        "sweeps": figures.sweeps(sweep()),
        "slides": figures.slides({"0": frame, "1": frame}, {"0": "abc", "1": "def"}, "x ", "Some.", "1"),
        "shares": figures.conditional_shares(shares(), {"progan": 0.85}),
        "growth": figures.share_growth(growth()),
        "activations": figures.activation_pairs({"m": (rng.normal(size=9), rng.normal(size=9), "p = 1")}),
        "layers": figures.layer_shares(layers),
        "collage": figures.collage({"1": cells, "2": cells}, {"1": words, "2": words},
                                   {"1": ["m", "n"], "2": ["m", "n"]}, ["x", "y", "z"], "Some.", "rank "),
        "menu": figures.collage({"1": cells}, {"1": words}, {"1": ["m", "n"]}, ["x", "y", "z"], "Some."),
    }  # fmt: skip


FIGURES = every_figure()


def shown(figure: go.Figure) -> list[bool]:
    return [trace.visible in (None, True) for trace in figure.data]


@pytest.mark.parametrize("name", FIGURES)
def test_has_a_caption_a_text_alternative_and_a_height(name: str) -> None:
    figure = FIGURES[name]
    assert figures.caption(figure).rstrip().endswith(".")
    assert len(figures.alt(figure)) > 20 and "nan" not in figures.alt(figure).lower().split()
    assert figure.layout.height >= 200 and figure.layout.width is None
    text = figure.to_json()
    assert json.loads(text) and "http" not in text and len(text) < 200_000


@pytest.mark.parametrize("name", FIGURES)
def test_every_button_and_step_shows_something_and_the_first_is_what_stands(name: str) -> None:
    figure = FIGURES[name]
    choices = [[b.args[0]["visible"] for b in menu.buttons] for menu in figure.layout.updatemenus]
    choices += [[s.args[0]["visible"] for s in slider.steps] for slider in figure.layout.sliders]
    active = [c.active for c in (*figure.layout.updatemenus, *figure.layout.sliders)]
    for some, first in zip(choices, active, strict=True):
        assert all(len(choice) == len(figure.data) and any(choice) for choice in some)
        assert list(some[first]) == shown(figure)
        assert len({tuple(choice) for choice in some}) == len(some)


def test_boxes_and_drops_are_those_of_the_table_in_percent() -> None:
    table = ablation()
    pooled = table[table["seed"] == "all"]
    box = figures.gray_boxes(pooled).data[0]
    kept = pooled.query("label == 'fake' and filter == 'p >= 0.2' and input == 'color'")
    assert list(box.median) == pytest.approx(list(100 * kept["median"]))
    drops = figures.gray_drops(table).data[0]
    assert set(np.round(drops.x, 6)) == set(np.round(100 * kept["drop"], 6))


def test_shares_are_means_over_draws_and_the_paper_stands_beside_moods_test_only() -> None:
    table = shares()
    figure = figures.conditional_shares(table, {"progan": 0.85})
    large = next(t for t in figure.data if t.name == "layer-matched random")
    mean = table[table["group"] == "matched-k"].groupby("generator")["share_mood"].mean()
    assert list(large.x) == pytest.approx([100 * mean[g] for g in GENERATORS])
    published = [i for i, t in enumerate(figure.data) if t.name == "top-k in the paper"]
    assert len(published) == 1 and list(figure.data[published[0]].x) == [85]
    visible = [button.args[0]["visible"][published[0]] for button in figure.layout.updatemenus[0].buttons]
    assert visible == [True, False, False, False]


def test_the_text_alternative_of_a_collage_names_its_tables_rows_and_columns() -> None:
    assert figures.alt(FIGURES["collage"]) == (
        "2 tables of small pictures (1, 2), each of 2 rows (m, n) and the columns x, y, z."
    )
    assert figures.alt(FIGURES["menu"]).startswith("1 table of small pictures (1)")


def test_a_collage_keeps_every_pixel_and_leaves_empty_cells_clear() -> None:
    cells = np.full((1, 2, 4, 4, 3), 7, dtype=np.uint8)
    cells[0, 1] = 0
    figure = figures.collage({"1": cells}, {"1": [["a", "b"]]}, {"1": ["m"]}, ["x", "y"], "Some.")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))))
    assert (sheet[:, :4] == [7, 7, 7, 255]).all() and not sheet[:, 4:].any()
    with pytest.raises(ValueError, match="expected one shape"):
        figures.collage({"1": cells, "2": cells[:, :1]}, {}, {}, [], "")


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["rank ", ""])
def test_a_collage_leaves_no_height_empty_on_a_telephone(
    tmp_path: Path, prefix: str, browser: Browser
) -> None:
    cells = np.random.default_rng(3).integers(1, 256, size=(5, 7, 8, 8, 3), dtype=np.uint8)
    maps, columns = [f"layer1.0.conv1.#{i}(T=64)" for i in range(5)], [f"Generator{i}" for i in range(7)]
    words = [[""] * 7] * 5
    figure = figures.collage({"1": cells}, {"1": words}, {"1": maps}, columns, "Some.", prefix)
    library = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    style, script = ((STATIC / name).read_text(encoding="utf-8") for name in ("book.css", "book.js"))
    (tmp_path / "page.html").write_text(
        f'<!doctype html><meta charset="utf-8"><style>{style}</style>'
        f'<script src="{library.as_uri()}"></script>'
        f"{book.figure_html(json.loads(figure.to_json()))}<script>{script}</script>",
        encoding="utf-8",
    )
    measure = """() => {
        const box = document.querySelector(".tff-figure"), top = box.getBoundingClientRect().top;
        const at = (mark) => { const r = box.querySelector(mark).getBoundingClientRect();
                               return [r.top - top, r.bottom - top, r.width]; };
        return { height: box.clientHeight, image: at("image"), names: at(".xaxislayer-above"),
                 menu: box.querySelector(".updatemenu-header") ? at(".updatemenu-header") : null }; }"""
    found = {}
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(120_000)
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("document.documentElement.dataset.figures === 'done'")
        found[width] = page.evaluate(measure)
        page.close()
    assert found[1280]["height"] == figure.layout.height
    narrow = found[390]
    top, bottom, across = narrow["image"]
    assert across > 100 and bottom - top == pytest.approx(across * 5 / 7, rel=0.1)
    chrome = figure.layout.height - 5 * 76  # slider or menu, and margins
    names = narrow["names"]
    assert narrow["height"] <= bottom - top + chrome + names[1] - names[0] + 2 < figure.layout.height
    # the names of the columns stand above the pictures, inside the figure, and below the menu
    assert names[0] >= (narrow["menu"][1] if narrow["menu"] else 0) and names[1] <= top + 1


@pytest.mark.slow
def test_gray_boxes_where_no_fake_is_recognised_at_all() -> None:
    """A generator that a detector knows nothing of: no fake passes the paper's filter."""
    table = color_ablation.ablation(np.full(6, 0.1), np.full(6, 0.05), [0, 0, 0, 1, 1, 1])
    figure = figures.gray_boxes(table.assign(generator="progan"))
    assert "no fake has p" in figure.to_json()
