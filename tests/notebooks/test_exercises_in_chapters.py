"""Exercises that need their chapter, solved and left undone after its own cells, in the tiny book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import TinyBook
from exercise_runs import examine, label, readable_exercises, run

from tff_core import figures
from tff_core.book import chapter, exercises

pytestmark = [pytest.mark.slow, pytest.mark.book, pytest.mark.xdist_group("book")]
DEPENDENT = [(path, one) for path, one in readable_exercises() if one.coding and one.in_chapter]


def cells_of(executed: Path) -> list[str]:
    """The code that the page ran, with the parameters of its build, up to its exercises."""
    notebook = nbformat.read(executed, 4)
    return [cell.source for cell in exercises.split(notebook.cells)[0] if cell.cell_type == "code"]


def variables(executed: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a chapter's own cells leave behind; nothing is drawn, said or saved."""
    monkeypatch.setenv("TFF_STATIC", "1")
    monkeypatch.setattr(figures, "show", lambda *_, **__: None)
    monkeypatch.setattr(chapter, "say", lambda *_: None)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    for saves in ("save", "save_part"):
        monkeypatch.setattr(chapter.Chapter, saves, lambda *_, **__: None)
    names: dict[str, Any] = {}
    run(cells_of(executed), names)
    return names


@pytest.mark.parametrize("path", sorted({path for path, _ in DEPENDENT}), ids=label)
def test_solved_undone_and_solved_wrongly_in_the_chapter(
    path: Path, tiny_book: TinyBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the chapter, with the exercises before solved, as in a student's notebook."""
    monkeypatch.chdir(tiny_book.root / "notebooks")
    monkeypatch.setenv("TFF_BUILD", str(tiny_book.build))
    names = variables(tiny_book.build / "executed" / "notebooks" / f"{path.stem}.ipynb", monkeypatch)
    for where, one in readable_exercises():
        if where == path and one.coding:
            if one.in_chapter:
                examine(one, names)
            run([one.given, one.solution], names)
