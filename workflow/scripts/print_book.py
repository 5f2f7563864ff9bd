"""The prose of the finished site as one PDF: every chapter printed by a browser, then put together.

A browser, since figures and formulas are drawn by scripts; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import html
import io
import os
import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, Fit, NameObject

BROWSERS = (  # the first one draws no window, and no more than it is asked for
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "chrome",
)  # fmt: skip
_INSIDE = "https://book.invalid/"  # stands for the site's own pages until the chapters are put together
_WIDTH = 718  # px of an A4 page between its margins: figures are drawn once, for this width
_MARGIN = {"top": "14mm", "bottom": "16mm", "left": "10mm", "right": "10mm"}
_STYLE = """
  details.hide, .headerlink, .prev-next-footer, .bd-footer, .tff-launch, .bd-header-article, .modebar,
  .copybtn, #jb-print-toc { display: none }
  html { font-size: 13px }
  table { font-size: 85% }
  pre { white-space: pre-wrap }
  .tff-figure, .admonition, .cell_input, tr { break-inside: avoid }
  h1, h2, h3 { break-after: avoid }
"""
# Links inside a page get names that no other chapter uses; links to other pages lose this machine's folders.
_LINKS = """([site, chapter, inside]) => {
  document.querySelectorAll('details:not(.hide)').forEach((one) => { one.open = true });
  document.querySelectorAll('.toggle-hidden').forEach((one) => one.classList.remove('toggle-hidden'));
  const here = location.href.split('#')[0];
  for (const link of document.querySelectorAll('a[href]')) {
    // within a drawing a link's href is an object
    const [page, anchor] = (link.href.baseVal ?? link.href).split('#');
    if (page === here) {
      const target = anchor && document.getElementById(decodeURIComponent(anchor));
      if (!target) { link.removeAttribute('href'); continue }
      const name = chapter.replaceAll('/', '.') + '--' + target.id;
      if (!document.getElementById(name)) {
        const mark = document.createElement('span');
        mark.id = name;
        target.prepend(mark);
      }
      link.setAttribute('href', '#' + name);
    } else if (page.startsWith(site)) {
      link.setAttribute('href', inside + page.slice(site.length));
    } else if (!/^https?:|^mailto:/.test(page)) {
      link.removeAttribute('href');
    }
  }
  // laid out once more as a whole: what scripts changed bit by bit may lie a fraction of a pixel elsewhere
  document.body.style.display = 'none';
  document.body.getBoundingClientRect();
  document.body.style.display = '';
}"""


class PrintError(Exception):
    """Why there is no PDF, and what to do, in one sentence."""


def browser_path() -> str | None:
    """A Chromium of this machine, or None for the one that playwright has installed.

    Raises PrintError where there is neither.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        if not Path(own).is_file():
            raise PrintError(
                "the chapters are printed by Chromium, and this machine has none: install it (apt install "
                "chromium, or where there is no such package .venv/bin/playwright install chromium), then "
                "run again"
            )
    return found


def title_of(page: Path) -> str:
    """The heading of a page of the site, without markup."""
    match = re.search(r"<h1[^>]*>(.*?)(?:<a class=\"headerlink\"|</h1>)", page.read_text("utf-8"), re.DOTALL)
    if match is None:
        raise PrintError(f"{page} has no heading; run `make` to build the site anew")
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", match[1])).split())


def write(
    site: Path, chapters: Sequence[str], out: Path, title: str, lines: Sequence[str], when: datetime
) -> None:
    """Print ``chapters``, pages of ``site`` named without suffix, behind a title page, to ``out``.

    ``lines`` stand below the title, ``when`` becomes the date of the file. Equal input gives equal bytes with
    the same browser. Raises PrintError where there is no browser, or a page cannot be printed.
    """
    titles = {name: title_of(site / f"{name}.html") for name in chapters}
    path = browser_path()
    try:
        with sync_playwright() as playwright:
            # --no-sandbox: root, as in a container, has none
            arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
            page = _page(browser)  # one for all: what a script was compiled to serves the next chapter, too
            parts = {"": _front(page, title, lines, titles)}
            for name in chapters:
                parts[name] = _chapter(page, site, name, titles[name])
            browser.close()
    except Error as error:
        raise PrintError(f"the browser could not print the chapters: {str(error).splitlines()[0]}") from error
    joined = join(parts, {"": "Contents", **titles})
    stamp = when.strftime("D:%Y%m%d%H%M%S+00'00'")
    joined.metadata = {
        "/Title": title,
        "/CreationDate": stamp,
        "/ModDate": stamp,
        "/Producer": "Chromium, pypdf",
    }
    with out.open("wb") as stream:
        joined.write(stream)


def _page(browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": _WIDTH, "height": 1000}, color_scheme="light", offline=True)
    page.set_default_timeout(180_000)
    page.emulate_media(media="print", color_scheme="light")
    return page


def _pdf(page: Page, footer: str) -> bytes:
    line = (
        '<div style="font:8px sans-serif;width:100%;padding:0 10mm;'
        'display:flex;justify-content:space-between">'
        f'<span>{html.escape(footer)}</span><span class="pageNumber"></span></div>'
    )
    return page.pdf(
        format="A4", margin=_MARGIN, print_background=True, display_header_footer=True,  # type: ignore[arg-type]
        header_template="<span></span>", footer_template=line, tagged=True, outline=True,
    )  # fmt: skip


def _front(page: Page, title: str, lines: Sequence[str], titles: dict[str, str]) -> bytes:
    entries = "".join(
        f'<li><a href="{_INSIDE}{name}.html">{html.escape(text)}</a></li>' for name, text in titles.items()
    )
    told = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    page.set_content(
        '<html lang="en"><body style="font-family:sans-serif;line-height:1.6">'
        f"<h1>{html.escape(title)}</h1>{told}<h2>Contents</h2><ol>{entries}</ol></body></html>"
    )
    return _pdf(page, title)


def _chapter(page: Page, site: Path, name: str, title: str) -> bytes:
    page.goto((site / f"{name}.html").as_uri())
    if page.locator("script[src*='book.js']").count():
        page.wait_for_function("document.documentElement.dataset.figures === 'done'")
    page.evaluate("() => document.fonts.ready")
    page.add_style_tag(content=_STYLE)
    page.evaluate(_LINKS, [site.as_uri() + "/", name, _INSIDE])
    return _pdf(page, title)


def join(parts: dict[str, bytes], titles: dict[str, str]) -> PdfWriter:
    """One document of printed chapters; links between them lead to each other's first page.

    Links to pages of the site that are not among the chapters are taken away.
    """
    writer = PdfWriter()
    first: dict[str, int] = {}
    for name, content in parts.items():
        first[name] = len(writer.pages)
        writer.append(PdfReader(io.BytesIO(content)), outline_item=titles[name], import_outline=bool(name))
    for page in writer.pages:
        kept = ArrayObject()
        for reference in page.get("/Annots") or ():
            if _settle(reference.get_object(), writer, first):
                kept.append(reference)
        if "/Annots" in page:
            page[NameObject("/Annots")] = kept
    return writer


def _settle(link: Any, writer: PdfWriter, first: dict[str, int]) -> bool:
    """Lead a link to one of the site's pages to the chapter; False where the document does not have it."""
    address = str((link.get("/A") or {}).get("/URI") or "")
    if not address.startswith(_INSIDE):
        return True
    name = re.sub(r"\.html(#.*)?$", "", address.removeprefix(_INSIDE))
    if name not in first:
        return False
    del link["/A"]
    fit = Fit.fit_horizontally()
    link[NameObject("/Dest")] = ArrayObject(
        [writer.pages[first[name]].indirect_reference, fit.fit_type, *fit.fit_args]
    )
    return True
