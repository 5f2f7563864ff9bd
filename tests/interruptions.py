"""Trainings of generators that end before they are done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tff_core.miniature.learning import Training


@contextlib.contextmanager
def interrupted(number: int) -> Iterator[None]:
    """End whatever generator is trained within before its step ``number``, as Ctrl-C does."""
    step, count = Training.step, 0

    def breaks(self: Training) -> dict[str, float]:
        nonlocal count
        count += 1
        if count == number:
            raise KeyboardInterrupt
        return step(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "step", breaks)
        yield
