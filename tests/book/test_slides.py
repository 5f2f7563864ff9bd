"""The decks of slides: what they are made of, and how they are read in a browser from ``file://``."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Browser, Page

from tff_core import figures
from tff_core.book import slides
from tff_core.book.sphinx_extension import PLOTLY_MIME, offline_scripts

ROOT = Path(__file__).parents[2]
DECKS = sorted((ROOT / "book" / "slides").glob("session_*.md"))
FENCE = re.compile(r"^```\{figure-of\} (\w+)\n((?::.*\n)*)```$", re.MULTILINE)


def _asked(deck: Path) -> list[tuple[str, str, int]]:
    """Name, page and number of each figure of a deck."""
    found = []
    for name, options in FENCE.findall(deck.read_text("utf-8")):
        given = dict(re.findall(r"^:(\w+): (.*)$", options, re.MULTILINE))
        found.append((name, given["page"], int(given.get("number", 1))))
    return found


def test_a_border_is_a_line_of_its_own_outside_of_fences() -> None:
    source = "# A\n\nx\n\nNote:\nsay x\n\n---\n\n## B\n\n```\n---\n```\n\nNote:\ny\n"
    assert slides.parse(source) == [
        slides.Slide("# A\n\nx", "say x"),
        slides.Slide("## B\n\n```\n---\n```", "y"),
    ]


def test_there_are_six_decks() -> None:
    assert [deck.stem for deck in DECKS] == [f"session_{n}" for n in range(1, 7)]


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.stem)
def test_a_deck_has_a_session_of_slides_with_notes(deck: Path) -> None:
    told = slides.parse(deck.read_text("utf-8"))
    assert 15 <= len(told) <= 22
    for slide in told:
        words = FENCE.sub("", slide.text).split()
        assert len(words) <= 90, f"{slide.title}: more than one idea, {len(words)} words"
        assert len(slide.notes.split()) >= 15, f"{slide.title}: too little to say"


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.stem)
def test_figures_are_drawn_by_the_pages_that_are_named(deck: Path) -> None:
    asked = _asked(deck)
    assert len(asked) >= 4
    assert deck.read_text("utf-8").count("{figure-of}") == len(asked)  # every fence is understood
    for name, page, number in asked:
        assert name in figures.__all__
        source = (ROOT / f"{page}.py").read_text("utf-8")
        assert len(re.findall(rf"figures\.{name}\(", source)) >= number, (name, page)


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.stem)
def test_no_measured_number_is_typed(deck: Path) -> None:
    text = slides._VALUE.sub("", deck.read_text("utf-8"))
    typed = set(re.findall(r"\d+(?:\.\d+)? ?(?:%|points)", text))
    assert typed <= {"95 %", "5 %"}, "read measured numbers from a table: {value}`table column key=value`"


def _figure(title: str) -> dict[str, Any]:
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1]))
    figure.update_layout(
        meta={"caption": f"{title} <&>", "alt": f"{title}, rising"}, height=900, font={"size": 13}
    )
    return json.loads(figure.to_json())


def _cell(source: str, *drawn: dict[str, Any]) -> dict[str, Any]:
    outputs = [{"output_type": "display_data", "data": {PLOTLY_MIME: one}} for one in drawn]
    return {"cell_type": "code", "source": source, "outputs": outputs}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> slides.Results:
    """A build that has what the decks ask for."""
    return _build(tmp_path_factory.mktemp("build"))


def _build(folder: Path) -> slides.Results:
    """A build folder whose executed pages have every figure that the decks ask for."""
    pages: dict[str, list[dict[str, Any]]] = {}
    for deck in DECKS:
        for name, page, number in _asked(deck):
            pages.setdefault(page, []).extend(
                _cell(f"figures.show(figures.{name}(table))", _figure(name)) for _ in range(number)
            )
    for page, cells in pages.items():
        path = folder / "executed" / f"{page}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    tables = folder / "results" / "tables"
    tables.mkdir(parents=True)
    rows = [("d", "progan", "all", 0.975), ("d", "progan", "0", 0.9), ("e", "progan", "all", 0.1)]
    table = pd.DataFrame(rows, columns=["detector", "generator", "seed", "ap"]).assign(ap_low=0.9, ap_high=1)
    table.to_csv(tables / "transfer.csv", index=False)
    return slides.Results(folder, "d")


def test_a_cell_that_chose_among_figures_is_passed_over() -> None:
    one, two, three = (_figure(name) for name in "abc")
    notebook = {
        "cells": [
            _cell(
                "figures.show(figures.first(x))\nfigures.show(figures.second(figures.generator_name(g)))",
                one,
                two,
            ),
            _cell(
                "if a:\n    figures.show(figures.first(x))\nelse:\n    figures.show(figures.third(x))", three
            ),
            _cell("for t in tables:\n    figures.show(figures.first(t))", two, three),
        ]
    }
    assert slides.figures_of(notebook, "first") == [one, two, three]
    assert slides.figures_of(notebook, "second") == [two]
    assert slides.figures_of(notebook, "third") == []


def test_a_figure_on_a_slide_has_large_type_and_fits() -> None:
    figure = _figure("x")
    figure["layout"]["meta"] = {"links": {"a map": "atlas.html#conv1.3"}}
    made = slides.on_a_slide(figure, "notebooks/05_lrp_max")["layout"]
    assert made["font"]["size"] > figure["layout"]["font"]["size"]
    assert made["height"] < slides.HEIGHT
    assert made["meta"]["links"] == {"a map": "../notebooks/atlas.html#conv1.3"}
    assert figure["layout"]["height"] == 900  # the chapter's own stays as it is


def test_values_are_read_from_the_tables(results: slides.Results) -> None:
    assert results.value("transfer ap generator=progan seed=all") == "97.5 %"
    assert results.value("transfer ap generator=progan seed=all as=points") == "+97.5 points"
    assert results.value("transfer ap seed=all as=number detector=e") == "0.1"
    assert results.value('transfer ap generator="no such" seed=all') is None
    assert results.value("gone ap") is None
    with pytest.raises(ValueError, match=r"transfer\.csv has no column 'auc'"):
        results.value("transfer auc seed=all")
    with pytest.raises(ValueError, match=r"matches 2 rows of transfer\.csv, not one"):
        results.value("transfer ap generator=progan")


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.stem)
def test_a_deck_is_a_page_that_asks_no_other_host(deck: Path, results: slides.Results) -> None:
    page = slides.render(deck.read_text("utf-8"), results)
    assert (
        page.count("<section")
        == page.count('<aside class="notes"')
        == len(slides.parse(deck.read_text("utf-8")))
    )
    assert page.count("data-plotly=") == len(_asked(deck)) and "tff-absent" not in page
    assert page.count("<h1>") == 1 and "{value}" not in page and "{figure-of}" not in page
    assert not re.search(r"""(?:src|<link[^>]* href)=["']?(?:https?:)?//""", page)
    for name, _, _ in _asked(deck):
        assert (
            f'aria-label="{name}, rising"' in page
            and f'<figcaption class="tff-told">{name}, rising</figcaption>' in page
        )


def test_a_part_of_a_build_says_what_is_missing(tmp_path: Path) -> None:
    page = slides.render(DECKS[0].read_text("utf-8"), slides.Results(tmp_path, "d"))
    assert page.count("This build does not have the figure.") == len(_asked(DECKS[0]))
    assert "plotly.min.js" not in page and "On ProGAN: –" in page


def test_a_slide_without_notes_or_heading_is_named(tmp_path: Path) -> None:
    results = slides.Results(tmp_path, "d")
    with pytest.raises(ValueError, match=r"slide 1 \('A'\) has no notes"):
        slides.render("# A\n\ntext", results)
    with pytest.raises(ValueError, match=r"slide 2 \('text'\) has no heading"):
        slides.render("# A\n\nNote:\nx\n\n---\n\ntext\n\nNote:\nx", results)
    decks = tmp_path / "decks"
    decks.mkdir()
    (decks / "session_9.md").write_text("# A")
    with pytest.raises(ValueError, match=r"session_9\.md: slide 1"):
        slides.write(tmp_path, decks, results)


SMALL = """# A deck

$a^2$ and {value}`transfer ap generator=progan seed=all`

Note:
Say the first thing.

---

## A figure

```{figure-of} transfer
:page: notebooks/01_universal_detectors
```

Note:
Say the second thing.
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, results: slides.Results) -> Path:
    """A site of one small deck."""
    folder = tmp_path_factory.mktemp("slides")
    decks, site = folder / "decks", folder / "html"
    decks.mkdir()
    (decks / "session_1.md").write_text(SMALL)
    static = site / "_static"
    static.mkdir(parents=True)
    for name, path in offline_scripts().items():
        shutil.copyfile(path, static / name)
    for name in ("keys.js", "deck.js", "deck.css"):
        shutil.copyfile(ROOT / "book" / "static" / name, static / name)
    assert slides.write(site, decks, results) == [site / "slides" / "session_1.html"]
    return site


def _open(browser: Browser, site: Path, query: str = "") -> tuple[Page, list[str]]:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(180_000)
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:", "blob:")) else said.append(request.url)
        ),
    )
    page.goto((site / "slides" / "session_1.html").as_uri() + query)
    page.wait_for_function("document.documentElement.dataset.figures === 'done'")
    return page, said


@pytest.mark.slow
def test_slides_in_a_browser(site: Path, browser: Browser) -> None:
    """One at a time with figure and formula; notes on S; as a page; for print; without JavaScript."""
    page, said = _open(browser, site)
    assert page.locator("mjx-container svg").count() == 1
    assert page.locator(".js-plotly-plot .main-svg").count()
    assert page.locator("#slide-1").is_visible() and not page.locator("#slide-2").is_visible()
    assert not page.locator(".notes").first.is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#slide-2 .js-plotly-plot").is_visible() and not page.locator("#slide-1").is_visible()
    drawn = page.locator("#slide-2 .main-svg").first.bounding_box()
    assert drawn and drawn["width"] > 900 and drawn["y"] + drawn["height"] <= 720
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    speaker = opened.value
    speaker.wait_for_function(
        "document.querySelector('.speaker-controls-notes .value').innerText.includes('second thing')"
    )
    speaker.close()
    page.close()
    page, more = _open(browser, site, "?plain")
    assert page.locator("#slide-1").is_visible() and page.locator("#slide-2 .notes").is_visible()
    assert page.locator("#slide-2 .main-svg").first.is_visible()
    page.close()
    page, most = _open(browser, site, "?view=print")
    page.wait_for_function("document.querySelectorAll('.pdf-page').length === 2")
    page.close()
    assert said + more + most == []
    bare = browser.new_context(java_script_enabled=False).new_page()
    bare.goto((site / "slides" / "session_1.html").as_uri())
    for text in ("A deck", "97.5 %", "Say the first thing.", "transfer, rising", "Say the second thing."):
        assert bare.get_by_text(text).first.is_visible(), text
    bare.close()
