"""Trainings that resume to the same bits after an interruption: random numbers, arithmetic, checkpoints."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tff_core.store.results import atomic_write

_DAMAGED = (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError)


def generator(*key: int) -> torch.Generator:
    """Random numbers that follow from ``key`` alone, such as seed, epoch and step."""
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state % 2**63)


@contextmanager
def whole_float32() -> Iterator[None]:
    """Compute float32 in full precision: no TF32 on a GPU, no bfloat16 inside matrix products on a CPU."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def resume(path: Path, key: str, device: torch.device, restore: Callable[[Mapping[str, Any]], None]) -> None:
    """Give ``restore`` the state at ``path``, if there is one and it was saved under this key.

    ValueError, and the file is deleted, where it is damaged or does not fit.
    """
    if not path.is_file():
        return
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        if saved["key"] == key:  # else made with other settings or pictures: not to be continued
            restore(saved)
    except _DAMAGED as error:
        path.unlink()
        raise ValueError(
            f"{path} is damaged ({str(error).splitlines()[0]}) and was deleted: run again, "
            "and the training starts anew"
        ) from error


def save(path: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write a state for `resume`, whole or not at all. OSError where the disk is full."""
    with atomic_write(path) as part, part.open("wb") as stream:
        torch.save({"key": key, **state}, stream)
