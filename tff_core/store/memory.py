"""Batches that become smaller when the memory of the device runs out.

What goes through a network picture by picture gives the same numbers in batches of any size, up to rounding.
Training does not (batch normalisation sees the batch), so it is stopped with a sentence and never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
# the CPU's allocator, Metal, cuBLAS and cuDNN have no error class of their own for it
_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")


class OutOfMemory(MemoryError):
    """Not even a single picture fits into the device's memory."""


def ran_out(error: BaseException) -> bool:
    """Whether an error of torch says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def release() -> None:
    """Release what torch holds in reserve; call it once the failed attempt's error is gone."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def describe(x: Tensor) -> str:
    """Pictures (N, C, H, W), for the sentence where one does not fit."""
    return f"a single picture of {x.shape[-1]}x{x.shape[-2]} pixels"


class Parts:
    """Runs functions on batches, in halves where memory runs out.

    One object serves a whole pass: it remembers for each kind of batch the size that fits, so that only the
    first large batch fails.
    """

    def __init__(self) -> None:
        self._fits: dict[str, int] = {}

    def __call__(self, function: Callable[[slice], T], n: int, what: str) -> Iterator[tuple[slice, T]]:
        """``function(part)`` for the ``n`` rows of a batch: all together, or part by part in their order.

        ``function`` must have no effect where it fails. ``what`` says what one row is (`describe`); batches
        with the same description are of one kind. Raises `OutOfMemory` where a single row does not fit.
        """
        first = 0
        while first < n:
            size = min(self._fits.get(what, n), n - first)
            part = slice(first, first + size)
            try:
                found = function(part)
            except RuntimeError as error:
                if not ran_out(error):
                    raise
                if size == 1:
                    raise OutOfMemory(
                        f"{what} needs more memory than is free on the device: expected at least one to fit; "
                        "leave out pictures of that size, end what else computes there, or use the CPU "
                        "(device cpu)"
                    ) from error
            else:
                yield part, found
                del found
                first += size
                continue
            # only here: the error's traceback held the tensors of the failed attempt
            release()
            self._fits[what] = (size + 1) // 2

    def cat(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``function(x)``, which gives one row for each of the pictures (N, C, H, W), row by row the same."""
        return torch.cat([found for _, found in self(lambda part: function(x[part]), len(x), describe(x))])
