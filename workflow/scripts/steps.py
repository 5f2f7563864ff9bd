"""What the steps' command lines share."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tff_core.store import failures
from tff_core.store.results import atomic_write

if TYPE_CHECKING:  # loaded where it is used: steps that only combine tables start without it
    import torch

GZIP = {"method": "gzip", "mtime": 1}  # without the time of day, so that equal tables are equal files


def device(name: str) -> torch.device:
    """The device to compute on; "auto" takes what is there. ValueError if it is not available."""
    import torch

    from tff_core import detectors

    if name == "auto":
        return detectors.default_device()
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device: {name}: no GPU with a working driver was found; set device: cpu, or auto, in "
            "workflow/config.local.yaml, or install the driver"
        )
    return torch.device(name)


@contextlib.contextmanager
def configured(name: str) -> Iterator[None]:
    """Where settings are read: ValueError that names this part of the configuration if one is wrong."""
    try:
        yield
    except (TypeError, KeyError) as error:
        raise ValueError(f"{name} in the workflow's configuration: {error}") from error


def one_thread() -> None:
    """Keep to the threads that the build allows a job: other jobs use the other cores."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def collect(parts: Iterable[Path], table: Path) -> None:
    """Write the rows of all parts, one after the other, into one result table."""
    # as text: numbers come out as they went in
    rows = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in parts]
    with atomic_write(table) as part:
        pd.concat(rows).to_csv(part, index=False)


def run(main: Callable[[], int | None]) -> None:
    """Run a step and exit: 0 done, 1 with one sentence where it failed, whatever the reason."""
    doing = f"running {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:300]}"
    sys.exit(failures.guarded(main, doing, wrong=failures.FAILED))
