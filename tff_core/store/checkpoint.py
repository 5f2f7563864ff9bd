"""Sums of a long computation on disk, so that an interrupted one resumes and gives the same bits."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tff_core.store.results import atomic_write, fingerprint, forget

Arrays = dict[str, NDArray[Any]]
_KEY = "key"


def read_arrays(path: Path, then: str) -> Arrays:
    """The arrays of an ``.npz`` file; none, and a sentence that ends with ``then``, where it is damaged."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # a damaged archive makes its readers fail in undocumented ways
        print(f"{path} is damaged ({error}): {then}", file=sys.stderr)
        return {}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` file, whole or not at all."""
    with atomic_write(path) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


class Checkpoint:
    """The state of a computation over many batches, in one file that is replaced as a whole.

    ``key`` is everything the sums depend on, down to how the pictures form batches: other sums are left
    alone. It is written at most every ``every`` seconds. The caller deletes it once the result is safe
    (`delete`); until then a repeated call has nothing left to compute.
    """

    def __init__(self, path: str | Path, key: Any, every: float = 20.0) -> None:
        self.path = Path(path)
        self.every = every
        self._key = fingerprint(key, 32)
        self._written = time.monotonic()

    def read(self) -> Arrays:
        """The sums so far; none if there are none yet, or the file is damaged or another's."""
        found = read_arrays(self.path, "the computation starts anew")
        if found and str(found.pop(_KEY, "")) != self._key:
            print(
                f"{self.path} belongs to other weights, pictures or settings: the computation starts anew",
                file=sys.stderr,
            )
            return {}
        return found

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written >= self.every

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace what is there. Raises OSError where the disk is full or cannot be written."""
        write_arrays(self.path, {**arrays, _KEY: np.array(self._key)})
        self._written = time.monotonic()

    def delete(self) -> None:
        """The result is written; the sums are no longer needed."""
        forget(self.path)
