"""What the steps' command lines share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import torch

from tff_core import detectors

GZIP = {"method": "gzip", "mtime": 1}  # without the time of day, so that equal tables are equal files


def device(name: str) -> torch.device:
    """The device to compute on; "auto" takes the accelerator that is there."""
    return detectors.default_device() if name == "auto" else torch.device(name)


def one_thread() -> None:
    """Hold to the threads that the build allows a job: other jobs use the other cores."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def run(main: Callable[[], None]) -> None:
    """Run a step and exit: 0 done, 1 with one sentence where it failed for a reason that it can name."""
    try:
        main()
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
