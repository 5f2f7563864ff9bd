"""Links from the chapters to the glossary, made when the site is built: the sources stay as they are read.

The first time that prose of a chapter uses a term of the glossary, in singular or plural, the words become a
link to its entry. Headings, captions, tables, links, code, formulas and what cells have printed stay as they
are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_APART = (
    nodes.title, nodes.rubric, nodes.caption, nodes.reference, nodes.literal, nodes.literal_block, nodes.math,
    nodes.math_block, nodes.raw, nodes.table, nodes.footnote, nodes.citation, nodes.image,
)  # fmt: skip
_STARTS = re.compile(r"(?<![\w-])\w[\w+-]")  # the first two letters of a word
_OUTPUT = "cell_output"  # what myst-nb calls the output of a cell


class Entry(NamedTuple):
    """One entry of the glossary: its names, the anchor of its first name, and how its definition begins."""

    names: tuple[str, ...]
    anchor: str
    begins: str


def entries(document: nodes.document) -> list[Entry]:
    """The entries of a page with glossaries, in the order of the page."""
    found = []
    for item in document.findall(nodes.definition_list_item):
        terms = [term for term in item.findall(nodes.term) if term["ids"]]
        if terms:
            first = next(iter(item.findall(nodes.paragraph)), nodes.Text(""))
            begins = re.split(r"(?<=[.!?])\s", " ".join(first.astext().split()), maxsplit=1)[0]
            names = tuple(" ".join(term.astext().split()) for term in terms)
            found.append(Entry(names, terms[0]["ids"][0], begins))
    return found


def pattern(name: str) -> re.Pattern[str]:
    """Finds a name as whole words, singular or plural.

    A name with a capital letter is found as it is written, others in any case: AP is no ap, but Relevance at
    the beginning of a sentence is relevance.
    """
    words = r"\s+".join(re.escape(word).replace("'", "['\u2019]") for word in name.split())
    # analyses, spectra, frequencies, patches, maps
    for ending, several in (("is", "(?:is|es)"), ("um", "(?:um|a)"), ("y", "(?:y|ies)")):
        if words.endswith(ending) and not words.endswith(("ay", "ey", "oy")):
            words = words.removesuffix(ending) + several
            break
    else:
        words += "(?:es|s)?" if words.endswith(("s", "x", "ch", "sh")) else "s?"
    anyhow = 0 if name != name.lower() else re.IGNORECASE
    return re.compile(rf"(?<![\w-]){words}(?![\w-])", anyhow)


class Linker:
    """Turns first uses into links; made once for all pages of a build."""

    def __init__(self, glossary: Sequence[Entry]) -> None:
        self._anchors = {entry.anchor for entry in glossary}
        # by their first two letters: hardly any word of a chapter begins like a term
        self._names: dict[str, list[tuple[re.Pattern[str], Entry]]] = {}
        names = [(name, entry) for entry in glossary for name in entry.names]
        for name, entry in sorted(names, key=lambda pair: -len(pair[0])):
            self._names.setdefault(name[:2].lower(), []).append((pattern(name), entry))

    def link(self, document: nodes.document, address: str) -> int:
        """Link the first use of each entry on one page to ``address``, and say how many there are."""
        left = set(self._anchors)
        made = 0
        for paragraph in list(document.findall(nodes.paragraph)):
            if not left:
                break
            if not _apart(paragraph.parent):
                made += self._in(paragraph, address, left)
        return made

    def _in(self, parent: nodes.Element, address: str, left: set[str]) -> int:
        made = 0
        for child in list(_joined(parent)):
            if isinstance(child, nodes.Text):
                parts = self._parts(str(child), address, left)
                if len(parts) > 1 or isinstance(parts[0], nodes.reference):
                    parent.replace(child, parts)
                    made += sum(isinstance(part, nodes.reference) for part in parts)
            elif isinstance(child, nodes.Element) and not isinstance(child, _APART):
                made += self._in(child, address, left)
        return made

    def _parts(self, text: str, address: str, left: set[str]) -> list[nodes.Node]:
        parts: list[nodes.Node] = []
        done = 0
        for start in _STARTS.finditer(text):
            if start.start() < done:
                continue  # within a longer term
            candidates = self._names.get(start[0].lower(), ())
            found = ((named.match(text, start.start()), entry) for named, entry in candidates)
            match, entry = next(((m, e) for m, e in found if m), (None, None))
            if match is None or entry is None or entry.anchor not in left:
                continue
            left.discard(entry.anchor)
            if match.start() > done:
                parts.append(nodes.Text(text[done : match.start()]))
            link = nodes.reference("", match[0], internal=True, refuri=f"{address}#{entry.anchor}")
            link["classes"].append("tff-term")
            link["reftitle"] = entry.begins
            parts.append(link)
            done = match.end()
        if done < len(text) or not parts:
            parts.append(nodes.Text(text[done:]))
        return parts


def _apart(node: nodes.Node | None) -> bool:
    """Whether a node, or what it stands in, is no prose of the chapter."""
    while node is not None:
        if isinstance(node, _APART):
            return True
        if isinstance(node, nodes.Element) and _OUTPUT in node.get("classes", ()):
            return True
        node = node.parent
    return False


def _joined(parent: nodes.Element) -> list[nodes.Node]:
    """The children, with texts side by side made one: a term may run over the end of a line."""
    children: list[nodes.Node] = []
    for child in parent.children:
        if isinstance(child, nodes.Text) and children and isinstance(children[-1], nodes.Text):
            children[-1] = nodes.Text(str(children[-1]) + str(child))
        else:
            children.append(child)
    parent.children = []
    parent.extend(children)
    return parent.children


# --------------------------------------------------------------------------------------------- in a build


def note(app: Sphinx, document: nodes.document) -> None:
    """Keep the entries of the glossary with the build's environment."""
    if app.env.docname == app.config.tff_glossary:
        app.env.tff_glossary = entries(document)  # type: ignore[attr-defined]
        app.env.tff_glossary_read = True  # type: ignore[attr-defined]


def forget(app: Sphinx, env: BuildEnvironment, name: str) -> None:
    """Without its page there is no glossary."""
    if name == app.config.tff_glossary:
        env.tff_glossary = []  # type: ignore[attr-defined]


def again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Where the glossary has been read anew, every chapter is written anew: its links may be others."""
    read, env.tff_glossary_read = getattr(env, "tff_glossary_read", False), False  # type: ignore[attr-defined]
    return [name for name in env.found_docs if _is_chapter(app, name)] if read else []


def _is_chapter(app: Sphinx, name: str) -> bool:
    return re.fullmatch(app.config.tff_glossary_chapters, name) is not None


def link(app: Sphinx, document: nodes.document, name: str) -> None:
    """Link the terms of one chapter."""
    found = getattr(app.env, "tff_glossary", None)
    if not found or not _is_chapter(app, name):
        return
    linker = getattr(app, "_tff_linker", None)
    if linker is None or linker[0] is not found:
        linker = (found, Linker(found))
        app._tff_linker = linker  # type: ignore[attr-defined]
    linker[1].link(document, app.builder.get_relative_uri(name, app.config.tff_glossary))


def setup(app: Sphinx) -> None:
    """Register with Sphinx: the page of the glossary, and the pages that are linked to it."""
    app.add_config_value("tff_glossary", "book/course/glossary", "env")
    app.add_config_value("tff_glossary_chapters", r"(notebooks|detectors)/.+", "env")
    app.connect("env-purge-doc", forget)
    app.connect("doctree-read", note)
    app.connect("env-updated", again)
    app.connect("doctree-resolved", link, priority=900)
