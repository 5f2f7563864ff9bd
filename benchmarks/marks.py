"""Tables that scripts write into a page, between marks: ``<!-- table: NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tff_core.store import results

_END = "<!-- end -->"


def write_page(page: Path, tables: Mapping[str, str]) -> None:
    """Put each table between its marks; ValueError where the page has no place for it."""
    text = page.read_text(encoding="utf-8")
    for name, content in tables.items():
        begin = f"<!-- table: {name} -->\n"
        before, found, rest = text.partition(begin)
        if not found or _END not in rest:
            raise ValueError(
                f"{page} has no line {begin.strip()!r} with {_END!r} behind it: expected them where that "
                "table goes"
            )
        text = f"{before}{begin}{content}\n{_END}{rest.split(_END, 1)[1]}"
    results.write_text(page, text)
