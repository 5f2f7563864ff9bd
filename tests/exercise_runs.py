"""Exercises of the chapters, run as a student's notebook would run them."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from exercise_answers import answer, examine, run

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import editions  # noqa: E402
from tff_core.book import exercises  # noqa: E402

SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
__all__ = ["SOURCES", "answer", "examine", "label", "readable_exercises", "run"]


@functools.cache
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
