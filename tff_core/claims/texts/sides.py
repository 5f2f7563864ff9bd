"""On which side of zero the intervals of single generators lie, and the verdict that follows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.verdicts import named


@dataclass(frozen=True)
class Sides:
    """Generators (or doses, or rivals) that speak for a claim, against it, and that leave it open."""

    speak_for: tuple[str, ...]
    against: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def total(self) -> int:
        """Their total number."""
        return len(self.speak_for) + len(self.against) + len(self.undecided)

    @property
    def word(self) -> str:
        """The verdict, by the rule of `verdicts.word`; not testable if there are none."""
        if not self.total:
            return verdicts.UNTESTED
        return verdicts.word(len(self.speak_for), against=len(self.against), open_=len(self.undecided))

    @property
    def claim(self) -> str:
        """The word as it follows "the claim" in a sentence, in bold."""
        return verdicts.claim_is(self.word)


def of(rows: pd.DataFrame, wants: str = "above") -> Sides:
    """Read the sides from rows with ``generator``, ``low`` and ``high``; ``wants`` as in `verdicts.side`."""
    return Sides(*map(tuple, verdicts.parted(rows, wants)))


def places(sides: Sides, wants: str = "above") -> str:
    """``lies above zero on 2 of 3 generators (...), contains zero on ... and lies below zero on ...``."""
    other = {"above": "below", "below": "above"}[wants]
    return (
        f"lies {wants} zero on {len(sides.speak_for)} of {sides.total} generators{named(sides.speak_for)}, "
        f"contains zero on {len(sides.undecided)}{named(sides.undecided)}, and lies {other} zero on "
        f"{len(sides.against)}{named(sides.against)}"
    )


def by_name(ends: Mapping[str, Any], wants: str = "above") -> Sides:
    """The sides of named intervals, each with ``low`` and ``high``: of controls, doses or rivals."""
    if not ends:
        return Sides((), (), ())
    rows = [(name, float(end["low"]), float(end["high"])) for name, end in ends.items()]
    return of(pd.DataFrame(rows, columns=["generator", "low", "high"]), wants)
