"""Pages of the course that are filled from the chapters: tables of exercises, and the map of prerequisites.

Two fences of a page below ``book/course/`` are replaced before the site is built::

    ```{exercises-of} 01_universal_detectors data_card
    ```

becomes a table of the exercises of these chapters, with what their percent scripts say of them, and::

    ```{prerequisites} prerequisites.yml
    ```

a drawing of which chapter needs which, with the same in words below it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import jupytext
import yaml

from tff_core.book import exercises

_FENCE = re.compile(r"^```\{(exercises-of|prerequisites)\} (.+)\n```$", re.MULTILINE)
_BOX, _GAP = (148, 46), (34, 14)  # px: width and height of a box, room between two
_LETTERS = 19  # of one line in a box


def title(path: Path) -> str:
    """First heading of a percent script or of a page of prose, or its name where it has none."""
    mark = "# # " if path.suffix == ".py" else "# "
    found = re.search(rf"^{mark}(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else path.stem


def _table(names: str, root: Path) -> str:
    rows = ["| chapter | exercise | objective | minutes | difficulty | |", "|---|---|---|---:|---|---|"]
    for name in names.split():
        path = root / "notebooks" / f"{name}.py"
        link = f"{{doc}}`{title(path)} </notebooks/{name}>`"
        for one in exercises.parse(jupytext.read(path, fmt="py:percent")).exercises:
            cells = [
                link,
                one.title,
                one.objective,
                str(one.minutes),
                one.difficulty,
                "code" if one.coding else "",
            ]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


@dataclass(frozen=True)
class Chapter:
    """A chapter on the map: its notebook, its label there, and what it needs, with what for."""

    name: str
    label: str
    needs: Mapping[str, str]


def chapters(source: str) -> list[Chapter]:
    """The map of prerequisites from YAML: a list of ``name``, ``label`` and ``needs``.

    Raises ValueError where a chapter needs one that is not listed, or chapters need each other in a circle.
    """
    listed: list[dict[str, Any]] = yaml.safe_load(source)
    found = [Chapter(one["name"], one["label"], one.get("needs") or {}) for one in listed]
    known = {one.name for one in found}
    for one in found:
        for name in one.needs:
            if name not in known:
                raise ValueError(
                    f"{one.name} needs {name!r}, which is not on the map: list it, or correct it"
                )
    try:
        tuple(TopologicalSorter({one.name: set(one.needs) for one in found}).static_order())
    except CycleError as error:
        raise ValueError(f"chapters need each other in a circle: {' -> '.join(error.args[1])}") from error
    return found


def depths(found: list[Chapter]) -> dict[str, int]:
    """How many chapters, at most, come one after another before each."""
    needs = {one.name: set(one.needs) for one in found}
    depth: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        depth[name] = max((depth[other] + 1 for other in needs[name]), default=0)
    return depth


def redundant(found: list[Chapter]) -> list[tuple[str, str]]:
    """Needs that follow from others, as (chapter, needed): arrows that a drawing can do without."""
    needs = {one.name: set(one.needs) for one in found}

    def all_before(name: str) -> set[str]:
        return needs[name].union(*(all_before(other) for other in needs[name]))

    return [
        (name, one)
        for name, own in needs.items()
        for one in own
        if any(one in all_before(b) for b in own - {one})
    ]


def drawing(found: list[Chapter], titles: Mapping[str, str]) -> str:
    """The map as inline SVG: what is needed stands to the left. ``titles`` are those of the chapters."""
    depth = depths(found)
    columns: list[list[Chapter]] = [[] for _ in range(max(depth.values()) + 1)]
    for one in found:
        columns[depth[one.name]].append(one)
    rows = max(map(len, columns))
    (wide, high), (across, down) = _BOX, _GAP
    place: dict[str, tuple[float, float]] = {}
    for i, column in enumerate(columns):
        # a column is ordered by where what it needs stands, so that few arrows cross
        column.sort(key=lambda one: sum(place[n][1] for n in one.needs) / max(1, len(one.needs)))
        top = (rows - len(column)) * (high + down) / 2
        for j, one in enumerate(column):
            place[one.name] = (i * (wide + across) + 1, top + j * (high + down) + 1)
    width, height = len(columns) * (wide + across) - across + 2, rows * (high + down) - down + 2
    lines, boxes = [], []
    for one in found:
        x, y = place[one.name]
        for other in one.needs:
            start, middle = place[other][0] + wide, place[other][1] + high / 2
            bend = (start + x) / 2
            lines.append(
                f'<path d="M{start:g} {middle:g} C{bend:g} {middle:g} {bend:g} {y + high / 2:g} '
                f'{x - 3:g} {y + high / 2:g}" marker-end="url(#tff-needs)"/>'
            )
        text = _wrapped(one.label)
        spans = "".join(
            f'<tspan x="{x + wide / 2:g}" y="{y + high / 2 + 5 + 17 * (k - (len(text) - 1) / 2):g}">'
            f"{html.escape(line)}</tspan>"
            for k, line in enumerate(text)
        )
        boxes.append(
            f'<a href="../../notebooks/{one.name}.html"><title>{html.escape(titles[one.name])}</title>'
            f'<rect x="{x:g}" y="{y:g}" width="{wide}" height="{high}" rx="6"/><text>{spans}</text></a>'
        )
    told = "The same in words stands below: each chapter with the chapters that it needs."
    return (
        f'<svg class="tff-prerequisites" viewBox="0 0 {width:g} {height:g}" role="group" '
        'aria-labelledby="tff-map tff-map-told"><title id="tff-map">Which chapter needs which</title>'
        f'<desc id="tff-map-told">A drawing of {len(found)} chapters and {len(lines)} arrows; what is needed '
        f'stands to the left. {told}</desc><defs><marker id="tff-needs" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<g class="tff-arrows">{"".join(lines)}</g>{"".join(boxes)}</svg>'
    )


def _wrapped(label: str) -> list[str]:
    """A label in lines that fit into a box."""
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > _LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _map(source: Path, root: Path) -> str:
    found = chapters(source.read_text(encoding="utf-8"))
    titles = {one.name: title(root / "notebooks" / f"{one.name}.py") for one in found}
    told = []
    for one in found:
        needs = "; ".join(f"{{doc}}`{titles[n]} </notebooks/{n}>` ({why})" for n, why in one.needs.items())
        told.append(f"- {{doc}}`{titles[one.name]} </notebooks/{one.name}>`: {needs or 'nothing'}")
    # on a narrow screen it scrolls by itself, with the keyboard too
    box = f'<div class="tff-map" tabindex="0" role="region" aria-label="Map">{drawing(found, titles)}</div>'
    words = "\n".join(["````{dropdown} The same in words", *told, "````"])
    return f"```{{raw}} html\n{box}\n```\n\n{words}"


def filled(page: Path, root: Path) -> str:
    """The text of a page of the course with its fences replaced; ``root`` is the project's folder."""

    def made(match: re.Match[str]) -> str:
        kind, given = match.groups()
        return _table(given, root) if kind == "exercises-of" else _map(page.parent / given.strip(), root)

    return _FENCE.sub(made, page.read_text(encoding="utf-8"))
