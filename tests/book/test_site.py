"""The finished site, read in headless Chromium from ``file://`` with every other host out of reach."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import TinyBook
from playwright.sync_api import Browser, Page, Request

pytestmark = [pytest.mark.slow, pytest.mark.book, pytest.mark.xdist_group("book")]

WIDTHS = (1280, 390)
IMPACTS = ("serious", "critical")
# colours come from one sheet of styles: most of axe's time is spent on them, so on a page of each kind
OF_COLOURS = ("color-contrast", "link-in-text-block")
COLOURED = {
    "notebooks/02_ff_rs", "notebooks/00_overview", "notebooks/false_explanations", "book/command_line",
    "book/course/glossary", "book/course/quiz_01", "book/course/syllabus", "slides/session_1",
}  # fmt: skip
# axe-core itself, as a package for Playwright brings it
AXE = importlib.util.find_spec("axe_playwright_python")
# controls that no tab comes to, figures that only a mouse can change, and pictures without a text
UNREACHED = """() => [...document.querySelectorAll(
    ".bd-article :is(button, summary, input, select, textarea, a[href]), .bd-article .modebar-btn"
  )].filter((one) => one.tabIndex < 0 && one.getClientRects().length)
    .map((one) => `no tab comes to ${one.outerHTML.slice(0, 120)}`)
  .concat([...document.querySelectorAll(".tff-figure.js-plotly-plot")].filter((box) => {
    const drawn = (box.layout.sliders || []).length + (box.layout.updatemenus || []).length;
    const bar = box.nextElementSibling?.matches(".tff-keys") ? box.nextElementSibling : null;
    return drawn !== (bar ? bar.querySelectorAll("select, input").length : 0);
  }).map((box) => `controls for the mouse alone: ${box.id}`))
  .concat([...document.querySelectorAll(".tff-figure, .bd-article img")].filter(
    (one) => !(one.getAttribute("aria-label") || one.hasAttribute("alt"))
  ).map((one) => `no alternative text: ${one.outerHTML.slice(0, 120)}`))"""


@dataclass
class Visit:
    """One look at a page: what it asked for, what it complained about, and how it came out."""

    name: str
    width: int
    asked: list[str] = field(default_factory=list)  # of other hosts
    complaints: list[str] = field(default_factory=list)
    figures: int = 0
    drawn: int = 0
    too_wide: int = 0  # px that the page is wider than the screen
    boxes: list[tuple[float, float]] = field(default_factory=list)  # left and right of tables and figures
    menus: list[float] = field(default_factory=list)  # px that menus end beyond their figure
    used: int = 0  # controls that were
    idle: list[str] = field(default_factory=list)  # and those of them that change nothing
    provenance: str = ""
    barriers: list[str] = field(default_factory=list)  # for readers without mouse or eyes


class Reader:
    """One window of the browser: a new one for each page would read plotly and MathJax anew each time."""

    def __init__(self, browser: Browser, site: Path) -> None:
        self.site = site
        self.visit = Visit("", 0)
        self.page = browser.new_page(offline=True)
        self.page.set_default_timeout(180_000)  # a busy machine is slow, not wrong

        def ask(request: Request) -> None:
            if not request.url.startswith(("file:", "data:", "blob:")):
                self.visit.asked.append(request.url)

        def complain(text: str) -> None:
            self.visit.complaints.append(text)

        self.page.on("request", ask)
        self.page.on("console", lambda said: complain(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: complain(str(error)))
        self.page.on("requestfailed", lambda request: complain(f"failed: {request.url}"))

    def open(self, name: str, width: int) -> Visit:
        """A page, in a window of this width."""
        self.visit = Visit(name, width)
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.goto((self.site / f"{name}.html").as_uri())
        self._drawn()
        return self.visit

    def turn(self, width: int) -> Visit:
        """The same page, when the window has got another width."""
        self.visit = Visit(self.visit.name, width)
        self.page.set_viewport_size({"width": width, "height": 900})
        # the page hears of it before its next frame
        self.page.evaluate("new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")
        self._drawn()
        return self.visit

    def _drawn(self) -> None:
        if self.page.locator("script[src*='book.js'], script[src*='deck.js']").count():
            self.page.wait_for_function("document.documentElement.dataset.figures === 'done'")


@pytest.fixture(scope="module")
def reader(tiny_book: TinyBook, browser: Browser) -> Reader:
    return Reader(browser, tiny_book.site)


def _barriers(page: Page, colours: bool) -> list[str]:
    """What axe finds serious, controls that the keyboard does not reach, and pictures without a text."""
    if AXE is None or AXE.origin is None:
        return page.evaluate(UNREACHED)
    page.evaluate((Path(AXE.origin).parent / "axe.min.js").read_text("utf-8"))
    # drawings have a text that says what they show, and formulas one that is read
    found = page.evaluate(
        """([slow, on, impacts]) => {
          const dropped = axe._audit.rules.filter((one) => one.impact && !impacts.includes(one.impact));
          const off = dropped.map((one) => [one.id, {enabled: false}]);
          return axe.run({exclude: [".tff-figure svg", "mjx-container svg"]},
            {resultTypes: ["violations"], preload: false,
             rules: Object.fromEntries([...off, ...slow.map((name) => [name, {enabled: on}])])});
        }""",
        [OF_COLOURS, colours, IMPACTS],
    )
    serious = [
        f"{violation['id']}: {node['target']} {node['html'][:120]}"
        for violation in found["violations"]
        if violation["impact"] in IMPACTS
        for node in violation["nodes"]
    ]
    return serious + page.evaluate(UNREACHED)


def _pages(site: Path) -> list[str]:
    names = [path.relative_to(site).with_suffix("").as_posix() for path in sorted(site.rglob("*.html"))]
    return [name for name in names if not name.startswith("_") and name != "index"]


def _use(page: Page, visit: Visit) -> None:
    """The last step of each slider and the last entry of each menu change what is drawn; so do keys."""
    state = """JSON.stringify([
        box.data, box.layout.annotations, box.layout.title, box._fullLayout.sliders?.[0]?.active])"""
    keep, changed = f"(box) => {{ box.before = {state} }}", f"(box) => box.before !== {state}"
    for box in page.locator(".tff-figure").all():
        if box.locator(".slider-rail-touch-rect").count():
            box.evaluate(keep)
            rail = box.locator(".slider-rail-touch-rect").first
            rail.scroll_into_view_if_needed()
            size = rail.bounding_box()
            assert size is not None
            page.mouse.click(size["x"] + size["width"] - 3, size["y"] + size["height"] / 2)
            page.wait_for_timeout(300)
            visit.used += 1
            visit.idle += [] if box.evaluate(changed) else ["slider"]
        if box.locator(".updatemenu-header").count():
            box.evaluate(keep)
            box.locator(".updatemenu-header").first.click(force=True)
            box.locator(".updatemenu-dropdown-button").last.click(force=True)
            page.wait_for_timeout(300)
            visit.used += 1
            visit.idle += [] if box.evaluate(changed) else ["menu"]
        for control in box.locator("xpath=following-sibling::*[1]").locator("input, select").all():
            box.evaluate(keep)
            control.focus()
            page.keyboard.press("End" if control.input_value() == "0" else "Home")
            page.wait_for_timeout(300)
            visit.idle += [] if box.evaluate(changed) else ["keys"]
            control.blur()  # what is seen of it with the focus alone would move the next figure


def _measure(page: Page, visit: Visit) -> None:
    """Where things have come to stand."""
    visit.figures = page.locator("script[data-plotly]").count()
    visit.drawn = page.locator(".tff-figure.js-plotly-plot .main-svg:first-child").count()
    visit.too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    visit.boxes = page.evaluate(
        """[...document.querySelectorAll('.bd-article table, .tff-figure')].map(
             (box) => { const r = box.getBoundingClientRect(); return [r.left, r.right]; })"""
    )
    made = page.locator(".tff-provenance")
    visit.provenance = made.inner_text() if made.count() else ""
    visit.menus = page.evaluate(
        """[...document.querySelectorAll('.tff-figure')].flatMap((box) =>
             [...box.querySelectorAll('.updatemenu-header, .updatemenu-button')].map((one) =>
               one.getBoundingClientRect().right - box.getBoundingClientRect().right))"""
    )


@pytest.fixture(scope="module")
def visits(tiny_book: TinyBook, reader: Reader) -> list[Visit]:
    """Every page: read and used in a wide window that is then made narrow; some opened in a narrow one too.

    What the same notebook makes of another detector or generator is looked at in a narrow one alone.
    """
    seen, pages = [], _pages(tiny_book.site)
    _, *more = [name for name in pages if name.startswith("generators/")]
    for name in pages:
        again = name.startswith("detectors/") or name in more
        if again or name in COLOURED:
            seen.append(reader.open(name, WIDTHS[1]))
            _measure(reader.page, seen[-1])
        if again:
            continue
        seen.append(reader.open(name, WIDTHS[0]))
        _measure(reader.page, seen[-1])
        seen[-1].barriers = _barriers(reader.page, name in COLOURED)
        if not name.startswith("slides/"):
            _use(reader.page, seen[-1])
        seen.append(reader.turn(WIDTHS[1]))
        _measure(reader.page, seen[-1])
        seen[-1].barriers = reader.page.evaluate(UNREACHED)
    return seen


def test_no_page_asks_another_host_for_anything(visits: list[Visit]) -> None:
    assert [visit for visit in visits if visit.asked] == []


def test_no_page_has_an_error(visits: list[Visit]) -> None:
    assert [visit for visit in visits if visit.complaints] == []


def test_no_page_has_a_barrier(visits: list[Visit]) -> None:
    assert {visit.name for visit in visits} >= COLOURED
    assert AXE is not None or not os.environ.get("CI"), "axe-playwright-python is missing: run `make env`"
    assert {visit.name: visit.barriers for visit in visits if visit.barriers} == {}


def test_every_name_of_a_map_leads_to_its_place(tiny_book: TinyBook) -> None:
    """To a card, or to a map or layer of the index, in the atlas of the page's own detector."""
    known: dict[Path, set[str]] = {}
    led = 0
    for path in sorted(tiny_book.site.rglob("*.html")):
        text = path.read_text("utf-8")
        for target, anchor in re.findall(r'"([\w./-]*atlas\.html)#([^"<]+)"', text):
            page = (path.parent / target).resolve()
            if page not in known:
                found = re.search(r'class="tff-index"><script[^>]*>(.*?)</script>', page.read_text("utf-8"))
                assert found, page
                layers = json.loads(found[1])["layers"]
                known[page] = {f"{name}.{c}" for name, omegas, _ in layers for c in range(len(omegas))}
            assert anchor in known[page], (path, anchor)
            led += 1
    assert len(known) == 2 and led > 20  # of both detectors


def test_every_figure_is_drawn(visits: list[Visit]) -> None:
    assert [visit for visit in visits if visit.drawn != visit.figures] == []
    assert sum(visit.drawn for visit in visits) > len(WIDTHS)


def test_no_page_is_wider_than_the_screen(visits: list[Visit]) -> None:
    assert [visit for visit in visits if visit.too_wide > 0] == []


def test_wide_tables_and_figures_scroll_inside_the_page(visits: list[Visit]) -> None:
    boxes = [
        (visit.name, visit.width, left, right)
        for visit in visits
        for left, right in visit.boxes
        if right > left
    ]
    assert boxes
    assert [box for box in boxes if box[2] < -1 or box[3] > box[1] + 1] == []


def test_every_executed_page_ends_with_its_provenance(tiny_book: TinyBook, visits: list[Visit]) -> None:
    folder = tiny_book.build / "executed"
    found = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.ipynb")}
    # what was executed for a generator that was taken back has no page any more
    executed = {name for name in found if (tiny_book.site / f"{name}.html").is_file()}
    assert executed >= {"notebooks/00_overview", "notebooks/10_verdicts"}
    words = ("commit", "parameters", "data hash", "versions", "device", "run time")
    told = {visit.name for visit in visits if all(word in visit.provenance for word in words)}
    assert told == executed


def test_no_page_names_a_content_delivery_network(tiny_book: TinyBook) -> None:
    pattern = re.compile(r"""(?:src|href)=["'](?!data:)[^"']*(?:cdn|unpkg|jsdelivr|googleapis)""")
    named = [path.name for path in tiny_book.site.rglob("*.html") if pattern.search(path.read_text("utf-8"))]
    assert named == []


def test_controls_of_the_figures_work_without_a_kernel(visits: list[Visit]) -> None:
    assert sum(visit.used for visit in visits), "the book has no control"
    assert {visit.name: visit.idle for visit in visits if visit.idle} == {}


def test_menus_end_with_their_figures(visits: list[Visit]) -> None:
    beyond = {(visit.name, visit.width): max(visit.menus) for visit in visits if visit.menus}
    assert beyond
    assert {place: px for place, px in beyond.items() if px > 8} == {}  # the page has a margin of 16


def test_the_keyboard_comes_to_every_control(reader: Reader) -> None:
    """Tab by tab through a chapter with sliders, menus, folds and buttons of figures."""
    reader.open("notebooks/02_ff_rs", WIDTHS[0])
    page = reader.page
    wanted = page.evaluate(
        """() => {
          const article = document.querySelector(".bd-article");
          const all = [...article.querySelectorAll("summary, button, input, select, .modebar-btn")];
          const seen = all.filter((one) => one.checkVisibility({ visibilityProperty: true }));
          seen.forEach((one, i) => { one.dataset.control = i; });
          window.came = new Set();
          document.addEventListener("focusin", (event) => window.came.add(event.target.dataset.control));
          article.tabIndex = -1;
          article.focus();
          return Object.fromEntries(["input", "select", "summary, button", ".modebar-btn"].map(
            (kind) => [kind, seen.filter((one) => one.matches(kind)).length]));
        }"""
    )
    assert all(wanted.values()), wanted
    missed = """[...document.querySelectorAll("[data-control]")].filter(
        (one) => !window.came.has(one.dataset.control)).map((one) => one.outerHTML.slice(0, 120))"""
    for _ in range(40):
        for _ in range(10):
            page.keyboard.press("Tab")
        if not page.evaluate(missed):
            break
    assert page.evaluate(missed) == []


def test_formulas_are_typeset(reader: Reader) -> None:
    reader.open("notebooks/02_ff_rs", WIDTHS[0])
    reader.page.wait_for_function("document.querySelectorAll('mjx-container svg').length > 0")
    assert reader.page.locator("[data-mml-node='merror']").count() == 0


def test_a_search_from_any_page_finds_others(reader: Reader) -> None:
    """Pages do not load the index of all words; the page of results does."""
    reader.open("book/command_line", WIDTHS[0])
    page = reader.page
    assert not page.locator("script[src*='searchindex']").count()
    page.keyboard.press("Control+k")
    page.keyboard.type("conformal")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?*")
    page.locator("#search-results li").first.wait_for()


def test_slides_have_all_figures_and_are_linked(tiny_book: TinyBook) -> None:
    listed = (tiny_book.site / "book" / "course" / "slides.html").read_text("utf-8")
    linked = set(re.findall(r'href="\.\./\.\./slides/([\w.]+)', listed))
    decks = sorted((tiny_book.site / "slides").glob("*.html"))
    assert linked == {deck.name for deck in decks} and len(decks) == 6
    assert [deck.name for deck in decks if "tff-absent" in deck.read_text("utf-8")] == []


def test_the_first_address_leads_to_the_overview(tiny_book: TinyBook, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((tiny_book.site / "index.html").as_uri())
    page.wait_for_url("**/notebooks/00_overview.html")
    page.close()
