"""What the steps' command lines share."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from tff_core import detectors


def device(name: str) -> torch.device:
    """The device to compute on; "auto" takes the accelerator that is there."""
    return detectors.default_device() if name == "auto" else torch.device(name)


def run(main: Callable[[], None]) -> None:
    """Run a step and exit: 0 done, 1 with one sentence where it failed for a reason that it can name."""
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
