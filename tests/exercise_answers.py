"""Answers to exercises, and what their checks say. Of this repository, nothing is imported at run time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tff_core.book.exercises import Exercise

WORDS = 5  # of a message that helps, at least


def run(cells: Iterable[str], names: dict[str, Any]) -> None:
    """Run cells one after the other in a namespace."""
    for cell in filter(None, cells):
        exec(compile(cell, f"<{cell.strip().splitlines()[0]}>", "exec"), names)


def answer(exercise: Exercise, code: str, names: dict[str, Any], hidden: bool = True) -> str | None:
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


def examine(exercise: Exercise, names: dict[str, Any]) -> None:
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
