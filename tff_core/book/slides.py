"""Decks of slides, written in Markdown, as pages of the site that need no other host.

A deck is a file of slides with a line ``---`` between two of them. What follows a line ``Note:`` is for the
speaker. A fence takes a figure from an executed chapter, so that a slide shows what the chapter shows, of the
same tables and with the same text alternative::

    ```{figure-of} transfer
    :page: notebooks/01_universal_detectors
    ```

names the first figure that the page draws with ``figures.transfer`` (``:number: 2`` the second). Numbers in a
sentence are read from the result tables: ``{value}`transfer ap generator=stylegan2 seed=all` `` is that cell
of ``results/tables/transfer.csv``, in percent, or a dash where this build has no such row.

The pages are read as slides with reveal.js, which the package sphinx-revealjs brings along, and without
JavaScript as one plain page with the notes below each slide.
"""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from tff_core.book.sphinx_extension import PLOTLY_MIME, figure_html

WIDTH, HEIGHT = 1280, 720  # of a slide, in its own pixels; the screen scales it
_ROOM = 580  # px of a slide's height that a figure may take, below a heading of one line
_FONT = 18  # px of text in a figure on a slide
_NOT_A_FIGURE = {"alt", "caption", "generator_name", "linked", "show"}
_VALUE = re.compile(r"\{value\}`([^`]+)`")
_FIGURE = re.compile(r"\{figure-of\}\s+(\w+)\s*")
_REVEAL = {
    "reveal.js": "dist/reveal.js",
    "reveal.css": "dist/reveal.css",
    "notes.js": "plugin/notes/notes.js",
    "LICENSE": "LICENSE",
}


@dataclass(frozen=True)
class Slide:
    """One slide: what is shown and what the speaker reads, both as Markdown."""

    text: str
    notes: str

    @property
    def title(self) -> str:
        """The text of the first heading; empty where there is none."""
        found = re.search(r"^#{1,3} +(.+)$", self.text, re.MULTILINE)
        return found[1].strip() if found else ""


def parse(source: str) -> list[Slide]:
    """The slides of a deck. A line ``---`` inside a fence is no border."""
    parts: list[list[str]] = [[]]
    fence = ""
    for line in source.splitlines():
        opened = re.match(r"(`{3,}|~{3,})", line)
        if opened and not fence:
            fence = opened[1]
        elif fence and line.strip() == fence:
            fence = ""
        if line.strip() == "---" and not fence:
            parts.append([])
        else:
            parts[-1].append(line)
    slides = []
    for lines in parts:
        text, _, notes = "\n".join(lines).partition("\nNote:")
        slides.append(Slide(text.strip(), notes.strip()))
    return slides


def figures_of(notebook: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The specifications of what an executed notebook drew with ``figures.<name>``, in order.

    A cell that draws fewer figures than it names chose among them, and is passed over.
    """
    found = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        calls = [one for one in re.findall(r"\bfigures\.(\w+)\(", source) if one not in _NOT_A_FIGURE]
        drawn = [
            output["data"][PLOTLY_MIME]
            for output in cell.get("outputs", [])
            if PLOTLY_MIME in output.get("data", {})
        ]
        if len(calls) == 1:
            calls *= len(drawn)  # in a loop
        if len(calls) == len(drawn):
            found += [figure for call, figure in zip(calls, drawn, strict=True) if call == name]
    return found


def on_a_slide(figure: Mapping[str, Any], page: str) -> dict[str, Any]:
    """The figure of a page: with larger type, no higher than a slide has room for, its links from there."""
    made: dict[str, Any] = json.loads(json.dumps(figure))
    layout = made.setdefault("layout", {})
    links = (layout.get("meta") or {}).get("links") or {}
    for text, target in links.items():
        links[text] = f"../{page.rpartition('/')[0]}/{target}"
    layout["font"] = {**layout.get("font", {}), "size": _FONT, "color": "#444444"}
    layout["height"] = min(int(layout.get("height") or _ROOM), _ROOM)
    for axis in (value for key, value in layout.items() if re.fullmatch(r"[xy]axis\d*", key)):
        axis.setdefault("tickfont", {})["size"] = _FONT - 3
    layout.get("legend", {}).setdefault("font", {})["size"] = _FONT - 2
    for menu in layout.get("updatemenus", []):
        menu.setdefault("font", {})["size"] = _FONT - 3
    return made


class Results:
    """What a build has for its slides: executed pages and result tables.

    ``folder`` is the build folder; ``detector`` the one that is meant where a table has several and a value
    names none.
    """

    def __init__(self, folder: Path, detector: str) -> None:
        self.folder, self.detector = folder, detector
        self._notebooks: dict[str, dict[str, Any] | None] = {}
        self._tables: dict[str, pd.DataFrame | None] = {}

    def figure(self, name: str, page: str, number: int = 1) -> dict[str, Any] | None:
        """A figure of an executed page, or None where this build does not have it."""
        if page not in self._notebooks:
            path = self.folder / "executed" / f"{page}.ipynb"
            self._notebooks[page] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        notebook = self._notebooks[page]
        drawn = figures_of(notebook, name) if notebook else []
        return drawn[number - 1] if len(drawn) >= number else None

    def value(self, asked: str) -> str | None:
        """One cell of a result table as text, or None where this build does not have it.

        ``asked`` is ``TABLE COLUMN KEY=VALUE ...``: the keys name one row. Fractions are given in percent;
        ``as=points`` gives differences of them, ``as=number`` leaves them as they are. Raises ValueError
        where the column is missing or several rows match, since then the slide asks for something that no
        build has.
        """
        table_name, column, *pairs = shlex.split(asked)
        keys = dict(pair.split("=", 1) for pair in pairs)
        form = keys.pop("as", "percent")
        table = self._table(table_name)
        if table is None:
            return None
        lacking = {column, *keys} - set(table.columns)
        if lacking:
            raise ValueError(f"{{value}}`{asked}`: {table_name}.csv has no column {sorted(lacking)[0]!r}")
        if "detector" in table.columns:
            keys.setdefault("detector", self.detector)
        for key, wanted in keys.items():
            table = table[table[key].astype(str) == wanted]
        if len(table) > 1:
            raise ValueError(f"{{value}}`{asked}` matches {len(table)} rows of {table_name}.csv, not one")
        if table.empty or pd.isna(table[column].iloc[0]):
            return None
        cell = table[column].iloc[0]
        if isinstance(cell, str):
            return cell
        if form == "percent":
            return f"{100 * float(cell):.1f} %"
        if form == "points":
            return f"{100 * float(cell):+.1f} points"
        return f"{float(cell):.3g}"

    def _table(self, name: str) -> pd.DataFrame | None:
        if name not in self._tables:
            path = self.folder / "results" / "tables" / f"{name}.csv"
            self._tables[name] = pd.read_csv(path) if path.is_file() else None
        return self._tables[name]


def _fence(results: Results) -> Callable[..., str]:
    def render(self: Any, tokens: Any, idx: int, options: Any, env: dict[str, Any]) -> str:
        token = tokens[idx]
        asked = _FIGURE.fullmatch(token.info.strip() + " ")
        if not asked:
            language = html.escape(token.info.split()[0]) if token.info.strip() else "text"
            return f'<pre><code class="language-{language}">{html.escape(token.content)}</code></pre>\n'
        given = dict(re.findall(r"^:(\w+): *(.+?) *$", token.content, re.MULTILINE))
        page = given.get("page", "")
        figure = results.figure(asked[1], page, int(given.get("number", "1")))
        if figure is None:
            return (
                f'<p class="tff-absent">This build does not have the figure. It is part of '
                f'<a href="../{page}.html">its chapter</a>, which was left out or is being computed.</p>\n'
            )
        box = figure_html(on_a_slide(figure, page))
        meta = (figure.get("layout") or {}).get("meta") or {}
        told = html.escape(
            str(meta.get("alt") or "This figure is drawn with JavaScript, which is switched off.")
        )
        box = re.sub(r"<noscript>.*?</noscript>", "", box)
        env.setdefault("captions", []).append(str(meta.get("caption") or ""))
        # shown where nothing is drawn; a screen reader finds it as the figure's label otherwise
        return f'<figure class="tff-drawn">{box}<figcaption class="tff-told">{told}</figcaption></figure>\n'

    return render


def _renderer(results: Results) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").use(dollarmath_plugin)
    markdown.add_render_rule("fence", _fence(results))
    for name, before, after in (("math_inline", r"\(", r"\)"), ("math_block", r"\[", r"\]")):
        tag = "span" if name == "math_inline" else "div"

        def formula(
            self: Any, tokens: Any, idx: int, options: Any, env: Any,
            tag: str = tag, before: str = before, after: str = after,
        ) -> str:  # fmt: skip
            return f'<{tag} class="math">{before}{html.escape(tokens[idx].content.strip())}{after}</{tag}>'

        markdown.add_render_rule(name, formula)
    return markdown


def _values(text: str, results: Results) -> str:
    """The text with its ``{value}`` roles replaced; a dash where the build has no such row."""

    def said(match: re.Match[str]) -> str:
        return results.value(match[1]) or "–"

    return _VALUE.sub(said, text)


def render(source: str, results: Results) -> str:
    """The page of one deck, as HTML, for the folder ``slides/`` of the site.

    Raises ValueError where a slide has no heading or no notes.
    """
    markdown = _renderer(results)
    sections = []
    slides = parse(source)
    for number, slide in enumerate(slides, 1):
        if not slide.title or not slide.notes:
            lacks = "heading" if not slide.title else "notes (a line `Note:`)"
            raise ValueError(f"slide {number} ({slide.title or slide.text[:40]!r}) has no {lacks}")
        env: dict[str, Any] = {}
        body = markdown.render(_values(slide.text, results), env)
        notes = markdown.render(_values(slide.notes, results), {})
        for text in filter(None, env.get("captions", [])):
            notes += f"<p><em>The figure.</em> {markdown.renderInline(text)}</p>\n"
        kind = ' class="tff-first"' if number == 1 else ""
        sections.append(
            f'<section id="slide-{number}"{kind}>\n{body}<aside class="notes" aria-label="Notes for the '
            f'speaker">\n{notes}</aside>\n</section>\n'
        )
    plotly = '<script src="../_static/plotly.min.js" defer></script>\n'
    page = "".join(sections)
    title = html.escape(slides[0].title)
    return _PAGE.format(
        title=title,
        width=WIDTH,
        height=HEIGHT,
        sections=page,
        plotly=plotly if "data-plotly=" in page else "",
    )


_PAGE = """<!DOCTYPE html>
<html lang="en" class="tff-plain">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<link rel="stylesheet" href="../_static/reveal/reveal.css" media="not all" data-deck>
<link rel="stylesheet" href="../_static/deck.css">
<script src="../_static/mathjax.js" defer></script>
{plotly}<script src="../_static/reveal/reveal.js" defer></script>
<script src="../_static/reveal/notes.js" defer></script>
<script src="../_static/keys.js" defer></script>
<script src="../_static/deck.js" defer></script>
</head>
<body data-width="{width}" data-height="{height}">
<nav class="tff-ways" aria-label="Ways to read these slides">
<a href="?">as slides</a> · <a href="?plain">as a page, with notes</a> · <a href="?view=print">for print</a> ·
<a href="../book/course/slides.html">all decks</a> ·
text: <a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>
</nav>
<div class="reveal"><main class="slides">
{sections}</main></div>
</body>
</html>
"""


def scripts() -> dict[str, Path]:
    """File name below ``_static/reveal/`` -> file of the installed package that brings reveal.js along.

    Raises FileNotFoundError that names the missing package or file.
    """
    spec = importlib.util.find_spec("sphinx_revealjs")  # found without being imported: its code is not needed
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "the package sphinx-revealjs is not installed, so the slides have no reveal.js; run `make env`"
        )
    folder = Path(spec.origin).parent / "_static" / "revealjs"
    files = {name: folder / inside for name, inside in _REVEAL.items()}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing (slides of the book); run `make env` to reinstall it")
    return files


def write(site: Path, decks: Path, results: Results) -> list[Path]:
    """Put every deck ``session_*.md`` of the folder ``decks`` into the site, and the scripts they load.

    Returns the pages. Raises ValueError with the deck's name where one cannot be rendered.
    """
    sources = sorted(decks.glob("session_*.md"))
    if not sources:
        return []
    static = site / "_static" / "reveal"
    static.mkdir(parents=True, exist_ok=True)
    for name, path in scripts().items():
        shutil.copyfile(path, static / name)
    pages = []
    for source in sources:
        try:
            text = render(source.read_text(encoding="utf-8"), results)
        except ValueError as error:
            raise ValueError(f"{source.name}: {error}") from error
        page = site / "slides" / f"{source.stem}.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
        pages.append(page)
    return pages
