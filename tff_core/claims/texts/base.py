"""Helpers shared by the texts of all chapters: tables, admonitions, lists, counted nouns, numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from tff_core.figures import generator_name


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; cells are written with `str`. Raises ValueError where a row has another length."""
    lines = [_row(heads), "|" + "---|" * len(heads)]
    for row in rows:
        if len(row) != len(heads):
            raise ValueError(f"a row has {len(row)} cells, expected {len(heads)}: {', '.join(heads)}")
        lines.append(_row(row))
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def tuples(frame: pd.DataFrame) -> list[Any]:
    """The rows of a table as named tuples, whose fields have the types that the columns have."""
    return list(frame.itertuples())


def admonition(title: str, text: str, kind: str = "important") -> str:
    """A box with a title, as MyST writes it; ``kind`` is its class (important, note, warning)."""
    return f":::{{admonition}} {title}\n:class: {kind}\n\n{text}\n:::"


def folded(title: str, text: str) -> str:
    """A box that the reader unfolds; it may contain other boxes."""
    return f"::::{{admonition}} {title}\n:class: dropdown\n\n{text}\n::::"


def names(generators: Iterable[str], none: str = "none") -> str:
    """Generators as the paper writes them, separated by commas; ``none`` where there is none."""
    return ", ".join(map(generator_name, generators)) or none


def counted(n: float, noun: str, plural: str = "") -> str:
    """``1 seed``, ``3 seeds``, ``2.4 epochs``; ``plural`` where it is not the noun and an s."""
    n = int(n) if n == int(n) else n
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def seeds(count: int) -> str:
    """How many trained detectors are behind a number: ``one detector``, ``3 detector seeds``."""
    return "one detector" if count == 1 else f"{count} detector seeds"


def span(values: Iterable[float]) -> str:
    """Whole numbers from the smallest to the largest: ``24`` or ``20 to 24``; "no" where there is none."""
    found = list(values)
    if not found:
        return "no"
    low, high = int(min(found)), int(max(found))
    return str(low) if low == high else f"{low} to {high}"


def interval(value: float, low: float, high: float, digits: int = 2, sign: bool = False) -> str:
    """``0.31 [0.25, 0.40]``, with signs on request; "none" for a missing number."""
    if math.isnan(value):
        return "none"
    form = f"{'+' if sign else ''}z.{digits}f"  # z: no minus before nothing
    text = f"{value:{form}}"
    return text if math.isnan(low) or math.isnan(high) else f"{text} [{low:{form}}, {high:{form}}]"
