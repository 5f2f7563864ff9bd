"""Sphinx extension of the book: figures and mathematics that need no other host, and honest source links.

Everything a page loads comes from the installed packages (plotly's wheel, sphinx-mathjax-offline), so the
finished site opens from ``file://`` and loads nothing from any other host.
"""

from __future__ import annotations

import hashlib
import html
import importlib.util
import json
import re
import shutil
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import plotly
from docutils import nodes
from myst_nb.core.render import MimeData, MimeRenderPlugin, NbElementRenderer
from pybtex import plugin
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from tff_core.book import glossary, quiz

PLOTLY_MIME = "application/vnd.plotly.v1+json"
_MARK = "data-plotly="
_seen: Counter[str] = Counter()  # two identical figures in one build still need two ids


class PlotlyRenderer(MimeRenderPlugin):
    """A plotly figure of a notebook becomes an empty box and its specification; ``book.js`` draws it."""

    mime_priority_overrides: ClassVar = [("html", PLOTLY_MIME, 5)]

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool | int
    ) -> list[nodes.Element] | None:
        if data.mime_type != PLOTLY_MIME or inline:
            return None
        return [nodes.raw(text=figure_html(data.content), format="html", classes=["output"])]


def figure_html(figure: dict[str, Any]) -> str:
    """The HTML of one plotly figure given as its JSON specification; text in it cannot end the script tag."""
    spec = json.dumps({key: figure.get(key) for key in ("data", "layout", "frames") if key in figure})
    spec = spec.replace("<", "\\u003c")
    digest = hashlib.sha256(spec.encode()).hexdigest()[:12]
    _seen[digest] += 1
    uid = f"plotly-{digest}-{_seen[digest]}"
    layout = figure.get("layout") or {}
    title, meta = layout.get("title") or {}, layout.get("meta") or {}
    alt = meta.get("alt") if isinstance(meta, dict) else None
    label = alt or (title.get("text") if isinstance(title, dict) else str(title)) or "figure"
    plain = html.escape(re.sub(r"<[^>]*>", " ", label), quote=True)
    height = int(layout.get("height") or 450)
    return (
        f'<div id="{uid}" class="tff-figure" role="group" aria-label="{plain}" style="min-height:{height}px">'
        "<noscript>This figure is drawn with JavaScript, which is switched off.</noscript></div>"
        f'<script type="application/json" {_MARK}"{uid}">{spec}</script>'
    )


def source_of(pagename: str, templates: dict[str, str]) -> str:
    """The page whose source made ``pagename``: itself, or the template for pages made from one.

    ``templates`` maps a pattern of page names to a page name; groups of the pattern may be used.
    """
    for pattern, source in templates.items():
        match = re.fullmatch(pattern, pagename)
        if match:
            return match.expand(source)
    return pagename


def fix_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Per page: plotly's script where a figure needs it, no live-code script, links to the true source."""
    scripts = context["script_files"]
    # sphinx-thebe is loaded by jupyter-book in any case and would ask a public CDN. In place: later
    # additions to the page go to this very list.
    scripts[:] = [
        script
        for script in scripts
        if "thebe" not in (str(script.filename) + str(script.attributes.get("body", ""))).lower()
    ]
    if _MARK in (context.get("body") or ""):
        app.add_js_file("plotly.min.js", priority=400)
    context["without_scripts"] = without_scripts  # for the book's own layout
    if "pagetitle" in context:  # the theme writes it into its page for print as it is
        context["pagetitle"] = html.escape(context["pagetitle"], quote=False)
    # a list in which nothing says that it is an item is none for a screen reader
    if context.get("body"):
        context["body"] = context["body"].replace('<div role="list" class="citation', '<div class="citation')
    source = source_of(pagename, app.config.tff_page_templates)
    # the page of one generator reads what all chapters found about it: it cannot be run alone
    if app.config.tff_launch and source.startswith("notebooks/") and not pagename.startswith("generators/"):
        badges = launch_html(source, app.config.tff_launch)
        context["body"] = (context.get("body") or "").replace("</h1>", f"</h1>\n{badges}", 1)
    if source != pagename:
        for button in _links(context.get("header_buttons") or []):
            button["url"] = button["url"].replace(f"/{pagename}.", f"/{source}.")


def without_scripts(head: str, *files: str) -> str:
    """The HTML of a page's head without the scripts that are loaded from these files."""
    names = "|".join(map(re.escape, files))
    return re.sub(rf'\s*<script\b[^>]*\bsrc="(?:[^"]*/)?(?:{names})[?"][^>]*></script>', "", head)


def launch_html(pagename: str, launch: str) -> str:
    """Links that run a page's notebook in Colab and Binder, as HTML.

    ``launch`` is where the notebooks are: owner/repository@branch on GitHub. They are plain links: badge
    images would have to be loaded from other hosts.
    """
    repository, branch = launch.rsplit("@", 1)
    name = f"{pagename.split('/')[-1]}.ipynb"
    places = {
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/{branch}/{quote(name)}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{quote(branch, safe='')}"
        f"?urlpath={quote(f'lab/tree/{name}', safe='')}",
    }
    links = " ".join(
        f'<a href="{html.escape(address)}" title="Opens the chapter there, with a small build of its own">'
        f"Run in {place}</a>"
        for place, address in places.items()
    )
    return f'<p class="tff-launch">{links}</p>'


def _links(buttons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every button with an address, including those inside groups."""
    found = []
    for button in buttons:
        found += _links(button.get("buttons") or [])
        # the issue link names the page as read, which is what a reader reports
        if "url" in button and "/issues/new" not in button["url"]:
            found.append(button)
    return found


def offline_scripts() -> dict[str, Path]:
    """File name in the site -> file of an installed package, for the scripts that pages load.

    Raises FileNotFoundError that names the missing package.
    """
    scripts = {"plotly.min.js": Path(plotly.__file__).parent / "package_data" / "plotly.min.js"}
    # the package's folder has hyphens in its name, so it cannot be imported
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "the package sphinx-mathjax-offline is not installed, so the book has no mathematics; "
            "run `make env`"
        )
    scripts["mathjax.js"] = Path(spec.origin).parent / "static" / "mathjax" / "tex-svg-full.js"
    for name, path in scripts.items():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing ({name} of the book); run `make env` to reinstall it")
    return scripts


def copy_scripts(app: Sphinx) -> None:
    """Put the offline scripts into the site before its pages are written."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    try:
        for name, source in offline_scripts().items():
            target = static / name
            if not target.is_file() or target.stat().st_size != source.stat().st_size:
                shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise ExtensionError(str(error)) from error


def all_numbers(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give Sphinx the numbers that it has counted itself, so that it sees which pages have changed."""
    env.toc_fignumbers = getattr(env, "tff_numbers", env.toc_fignumbers)
    return []


def restart_numbers(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Count exercises, and all that has a number, from 1 on each page; references to them follow.

    Sphinx counts through the whole book where its chapters have no numbers of sections.
    """
    env.tff_numbers = env.toc_fignumbers  # type: ignore[attr-defined]
    env.toc_fignumbers = {
        page: {
            kind: {uid: (i,) for i, uid in enumerate(sorted(numbers, key=numbers.__getitem__), 1)}
            for kind, numbers in kinds.items()
        }
        for page, kinds in env.toc_fignumbers.items()
    }
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    _seen.clear()
    # else pybtex looks for them anew for each citation, in what all installed packages say of themselves
    for name in ("docutils", "plaintext"):
        found = plugin.find_plugin("pybtex.backends", name)
        plugin.register_plugin("pybtex.backends", name, found, force=True)
    app.add_config_value("tff_page_templates", {}, "html")
    app.add_config_value("tff_launch", "", "html")
    app.connect("builder-inited", copy_scripts)
    app.connect("env-get-updated", all_numbers, priority=100)  # before Sphinx compares old and new
    app.connect("env-get-updated", restart_numbers, priority=900)
    # after the theme has made its buttons (501)
    app.connect("html-page-context", fix_page, priority=900)
    quiz.setup(app)
    glossary.setup(app)
    return {
        "version": metadata.version("transferable-forensic-features"),
        "parallel_read_safe": False,  # the counter of equal figures is per process
        "parallel_write_safe": True,
    }
