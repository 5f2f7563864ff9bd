"""The page of pictures in a real browser, from a file and without a network: filter, views, zoom and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tff_core.localization import lightbox

pytestmark = [pytest.mark.slow, pytest.mark.book]

NAMES = ["001 facade.png", "002 pebbles.png", "003 <img src=x onerror=alert(1)>.png"]


@pytest.fixture
def page(tmp_path: Path, browser: Browser) -> Iterator[Page]:
    pixels = np.zeros((24, 32, 3), dtype=np.uint8)
    entries = [
        lightbox.Entry(name, f"P(fake) = 0.{i}", {"map": pixels + 40 * i, "picture": pixels + 200})
        for i, name in enumerate(NAMES, 1)
    ]
    path = tmp_path / "index.html"
    path.write_text(lightbox.page(entries, "Easiest fakes", "three of them"), encoding="utf-8")
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 390, "height": 700})
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    here = (path.as_uri(), "data:")
    opened.on("request", lambda it: None if it.url.startswith(here) else complaints.append(it.url))
    opened.on("dialog", lambda box: (complaints.append(box.message), box.dismiss()))
    opened.goto(path.as_uri())
    yield opened
    opened.close()
    assert complaints == []


def test_everything_is_there_and_fits_a_telephone(page: Page) -> None:
    assert page.locator("li img").count() == 3 and page.locator("#count").inner_text() == "3 of 3"
    assert NAMES[2] in page.locator("li").nth(2).inner_text()  # shown, not run
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(page.locator("li img").evaluate_all("all => all.map(one => one.naturalWidth === 32)"))


def test_the_filter_takes_regular_expressions_and_survives_broken_ones(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("facade|P.fake. = 0.2")
    assert page.locator("#count").inner_text() == "2 of 3"
    page.locator("#filter").fill("(")  # no expression: as it is written
    assert page.locator("#count").inner_text() == "3 of 3"
    page.locator("#filter").fill("nothing has this name")
    assert page.locator("li").count() == 0


def test_pictures_open_grow_and_are_stepped_through_by_keys(page: Page) -> None:
    page.locator("li button").nth(1).click()
    told, big = page.locator("dialog nav span"), page.locator("dialog img")
    assert told.inner_text().startswith("2/3") and "pebbles" in told.inner_text()
    page.wait_for_function("document.querySelector('dialog img').style.width !== ''")
    before = big.evaluate("one => one.getBoundingClientRect().width")
    assert 100 < before <= 390
    page.keyboard.press("+")
    assert big.evaluate("one => one.getBoundingClientRect().width") > 1.3 * before
    page.keyboard.press("ArrowRight")
    assert told.inner_text().startswith("3/3")
    page.keyboard.press("ArrowRight")
    assert told.inner_text().startswith("1/3")
    first = big.get_attribute("src")
    page.keyboard.press("v")
    assert page.locator("#view").input_value() == "picture" and big.get_attribute("src") != first
    page.keyboard.press("Escape")
    assert not page.locator("dialog").evaluate("box => box.open")


def test_buttons_do_what_keys_do(page: Page) -> None:
    page.locator("#view").select_option("picture")
    page.locator("li button").first.click()
    page.locator("dialog button[aria-label=previous]").click()
    assert page.locator("dialog nav span").inner_text().startswith("3/3")
    page.locator("dialog button[value=Escape]").click()
    assert not page.locator("dialog").evaluate("box => box.open")
