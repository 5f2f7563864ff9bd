"""What a finished build cost, in training steps: the same number on a fast machine and on a slow one.

    python benchmarks/build.py --build build                              print the tables
    python benchmarks/build.py --build build --page book/performance.md   and put them into the page

The unit is one step of training ResNet-50 (32 pictures of 64 pixels, float32, one thread, AdamW, with the
kernels that the book trains with) by the clock, while a second process does the same: two cores are as busy
as in a build. It is measured here and now, so run it on the machine of the build, with nothing else at work.
The build's clock time is what `make` recorded for a build that ran through in one go, times its cores; the
table by kind of step is made from the workflow's records.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
from marks import write_page
from throughput import Made, durations
from torch import nn

from tff_core import detectors
from tff_core.detectors import training
from tff_core.store import results

PICTURES, SIDE = 32, 64


class Steps:
    """Training steps of a network on noise, as the plain loop of a textbook takes them."""

    def __init__(self, arch: str = "resnet50", pictures: int = PICTURES, side: int = SIDE) -> None:
        torch.manual_seed(0)
        model = detectors.build(arch).train()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4)
        x = torch.randn(pictures, 3, side, side)
        self.x = x.contiguous(memory_format=torch.channels_last)
        self.y = torch.arange(pictures) % 2.0

    def take(self) -> float:
        """One step; its seconds by the clock."""
        begin = time.perf_counter()
        loss = nn.functional.binary_cross_entropy_with_logits(self.model(self.x)[:, 0], self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - begin


def _beside(ready: Event, enough: Event) -> None:
    """Take steps until it is enough: the second process."""
    torch.set_num_threads(1)
    steps = Steps()
    while not enough.is_set():
        steps.take()
        ready.set()


def unit(count: int = 15) -> list[float]:
    """Seconds by the clock of ``count`` steps on one thread while a second process takes steps, too."""
    context = multiprocessing.get_context("spawn")
    ready, enough = context.Event(), context.Event()
    other = context.Process(target=_beside, args=(ready, enough), daemon=True)
    other.start()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = Steps()
        steps.take()
        if not ready.wait(300) or not other.is_alive():
            raise RuntimeError("the second process took no step: expected it at work beside this one")
        taken = [steps.take() for _ in range(count)]
    finally:
        enough.set()
        other.join(60)
        torch.set_num_threads(threads)
    return taken


@dataclass(frozen=True)
class Clock:
    """How long a build took by the clock, in seconds, and on how many cores."""

    seconds: float
    cores: int

    @classmethod
    def of(cls, build: Path) -> Clock:
        """That of a finished build. ValueError where it did not run through in one go."""
        path = build / "logs" / "clock.json"
        found = results.read_json(path) if path.is_file() else {}
        if not found.get("whole"):
            raise ValueError(
                f"{path} has no time of a build from nothing to its end: expected that of `make` in an empty "
                "build folder, not stopped on the way; build once more in a new one (TFF_BUILD=/path)"
            )
        return cls(float(found["seconds"]), int(found["cores"]))


def by_kind(times: Mapping[str, Made]) -> dict[str, tuple[int, float]]:
    """Jobs and their seconds together, by kind of step; chapters by their names. ``times`` by file."""
    jobs = {}  # a job may have made several files
    for made, (rule, seconds, job) in times.items():
        jobs[job] = f"chapter {Path(made).stem}" if rule == "chapter" else rule, seconds
    found: dict[str, tuple[int, float]] = {}
    for name, seconds in jobs.values():
        count, total = found.get(name, (0, 0.0))
        found[name] = count + 1, total + seconds
    return dict(sorted(found.items(), key=lambda item: -item[1][1]))


def table(kinds: Mapping[str, tuple[int, float]], clock: Clock, steps: Iterable[float], machine: str) -> str:
    """The page's table, and a sentence with the ratio."""
    taken = list(steps)
    one = statistics.median(taken)
    whole = clock.seconds * clock.cores
    rows = [(name, str(count), seconds) for name, (count, seconds) in kinds.items()]
    rows.append(("cores waiting, and the workflow's own work", "", whole - sum(row[2] for row in rows)))
    rows.append(("**the whole build**", "", whole))
    lines = ["| kind of step | jobs | core-minutes | training steps |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {jobs} | {seconds / 60:.1f} | {seconds / one:.0f} |" for name, jobs, seconds in rows
    ]
    return "\n".join(lines) + (
        f"\n\n`make` took {clock.seconds / 60:.1f} minutes by the clock on {clock.cores} cores, which is "
        f"**{whole / one:.0f} training steps**. One step took {one:.2f} s (median of {len(taken)}, "
        f"{min(taken):.2f} to {max(taken):.2f}). Measured on: {machine}."
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, help="build folder (default: $TFF_BUILD, else build/)")
    parser.add_argument("--page", type=Path, help="put the table into this page, between its marks")
    parser.add_argument("--steps", type=int, default=15, help="to measure (default: %(default)s)")
    options = parser.parse_args()
    os.environ.update(training.KERNELS)  # before anything is computed
    root = results.Store(options.build).root
    clock, kinds = Clock.of(root), by_kind(durations(root))
    machine = f"{results.provenance()['device']}, {torch.backends.cpu.get_cpu_capability()}"
    text = table(kinds, clock, unit(options.steps), machine)
    print(text)
    if options.page:
        write_page(options.page, {"build": text})


if __name__ == "__main__":
    main()
