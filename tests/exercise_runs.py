"""Exercises of the chapters, run as a student's notebook would run them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import editions  # noqa: E402
from tff_core.book import exercises  # noqa: E402

SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
WORDS = 5  # of a message that helps, at least


def readable_exercises() -> list[tuple[Path, exercises.Exercise]]:
    """Every exercise of every notebook that can be taken apart; of the others, a test tells what is wrong."""
    found = []
    for path in SOURCES:
        try:
            found += [(path, one) for one in exercises.parse(editions.pairs.read(path)).exercises]
        except ValueError:
            continue
    return found


def label(value: Any) -> str:
    return value.stem if isinstance(value, Path) else exercises.slug(value.title)


def run(cells: Iterable[str], names: dict[str, Any]) -> None:
    """Run cells one after the other in a namespace."""
    for cell in filter(None, cells):
        exec(compile(cell, f"<{cell.strip().splitlines()[0]}>", "exec"), names)


def answer(exercise: exercises.Exercise, code: str, names: dict[str, Any], hidden: bool = True) -> str | None:
    """None if ``code`` passes the checks, else the message of the check that it fails.

    Raises what is no AssertionError: neither a check nor an answer may end in a traceback that nobody meant.
    """
    checks = [exercise.test, *([exercise.hidden] if hidden else [])]
    run([exercise.given, code], names)
    try:
        run(checks, names)
    except AssertionError as error:
        return str(error)
    return None


def examine(exercise: exercises.Exercise, names: dict[str, Any]) -> None:
    """Assert that the solution passes, the stub fails, and every wrong answer fails with words that help.

    ``names`` is what runs before; each answer has a copy.
    """
    said = answer(exercise, exercise.solution, dict(names))
    assert said is None, f"its solution fails: {said}"
    try:
        run([exercise.given, exercise.stub, exercise.test], dict(names))
    except (NotImplementedError, AssertionError):
        pass
    else:
        raise AssertionError("its stub passes the visible check")
    for mistake, code in zip(exercise.mistakes, exercise.wrong, strict=True):
        said = answer(exercise, code, dict(names))
        assert said is not None, f"a wrong answer passes all checks: {mistake}"
        assert len(said.split()) >= WORDS, f"the message does not help who {mistake}: {said!r}"
