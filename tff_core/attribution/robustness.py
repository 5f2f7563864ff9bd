"""What names of sources are worth after blur, crop, JPEG, noise and resizing, at several strengths.

The same pictures are asked about at every strength, with the same noise and the same place of the crop, so
that changes are paired: an interval of a change is that of the pictures whose answer changed, not of two
samples.

Sources: the operations and their strengths are those of Khoo, Lim and Phan, 2022, as stated (see
`augmentation`), and resizing; `tff_core.pictures.degradations` does them, a blur over all of its deviation
rather than over a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tff_core import intervals
from tff_core.attribution import answers, augmentation
from tff_core.attribution.baselines import Network
from tff_core.attribution.decisions import decide
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.sources import REAL, Pictures
from tff_core.pictures import data, degradations
from tff_core.store import memory
from tff_core.store.checkpoint import Checkpoint
from tff_core.store.results import atomic_write, write_json

UNITS = {
    "blur": "kernel in pixels",
    "crop": "share of each axis that is cut off",
    "jpeg": "quality",
    "noise": "variance in squared steps of 8 bits",
    "resize": "factor, there and back",
}
"""Operations, and what their strength means."""
STRENGTHS: dict[str, tuple[float, ...]] = {
    "blur": (3, 5, 7, 9),
    "crop": (0.05, 0.1, 0.15, 0.2),
    "jpeg": (90, 70, 50, 30, 10),
    "noise": (5, 10, 20, 40),
    "resize": (0.9, 0.75, 0.5),
}
"""Those of training and a little more, each from weak to strong."""
UNTOUCHED = "untouched"
MEASURES = ("accuracy", "false none", "false name")
_NEITHER = -2  # the answer for a fake that no module claims, and the truth of a source that is not known
# the operation of `degradations`, and its level for a strength as it is published
_DONE: dict[str, tuple[str, Callable[[float], float]]] = {
    "blur": ("blur", lambda kernel: augmentation.deviation(int(kernel)) if kernel > 1 else 0.0),
    "crop": ("zoom", float),
    "jpeg": ("jpeg", float),
    "noise": ("noise", math.sqrt),
    "resize": ("shrink", float),
}


@dataclass(frozen=True)
class Robustness:
    """What was found.

    ``table`` has a row for each operation, strength and measure: ``operation, strength, unit, measure, n,
    value, low, high`` (Wilson) and ``change, change_low, change_high`` from the untouched pictures (paired),
    which come first. Measures: ``accuracy`` (of all pictures), ``false none`` (of the fakes of known sources:
    those that get no name), ``false name`` (of all pictures: those that get the name of a source that did not
    make them). ``facts``: ``n, unreadable, threshold, seed, fit, names``.
    """

    table: pd.DataFrame
    facts: dict[str, Any]

    def write(self, folder: str | Path) -> None:
        """Write ``robustness.csv`` and ``robustness.json`` there."""
        folder = Path(folder)
        with atomic_write(folder / "robustness.csv") as part:
            self.table.to_csv(part, index=False)
        write_json(folder / "robustness.json", self.facts)


def degraded(
    pixels: Tensor, operation: str, strength: float, picture: Sequence[int], seed: int = 0
) -> Tensor:
    """Pictures uint8 (N, 3, H, W) after an operation of `UNITS`.

    What is random (the noise, the place of the crop) follows from ``seed`` and the number of each ``picture``
    (N,), whatever the strength. ValueError for an unknown operation or a strength that it does not have.
    """
    _check({operation: (strength,)})
    done, level = _DONE[operation]
    return degradations.degrade(pixels, done, level(strength), picture, seed)


def _check(strengths: Mapping[str, Sequence[float]]) -> None:
    for operation, values in strengths.items():
        if operation not in UNITS:
            raise ValueError(f"operation {operation!r}: expected one of {', '.join(UNITS)}")
        done, level = _DONE[operation]
        for strength in values:
            whole = operation != "blur" or (strength >= 1 and strength % 2 == 1)
            if not whole or strength < 0 or not degradations.OPERATIONS[done].valid(level(strength)):
                raise ValueError(f"{operation} of strength {strength}: expected a {UNITS[operation]}")


def measure(
    net: Network,
    images: Pictures,
    statistics: Statistics | None = None,
    strengths: Mapping[str, Sequence[float]] = STRENGTHS,
    *,
    threshold: float = 0.5,
    fit: str = "none",
    seed: int = 0,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
) -> Robustness:
    """Ask a network about pictures whose sources are known, untouched and at every strength.

    ``strengths`` of each operation; other settings and errors as `answers.attribute`. Operations act on what
    ``fit`` makes of a picture. Memory depends on the batch alone. Pictures that cannot be judged are counted
    and left out of all numbers; ValueError where there are no others, or the network has no source.
    """
    _check(strengths)
    answers.check(net, statistics, threshold, fit)
    if not net.sources:
        raise ValueError("the network names no source: expected one that knows some")
    settings = [(operation, float(s)) for operation, values in strengths.items() for s in values]
    truth = _expected(net, images)
    # of each setting and measure: how many, how many no longer, how many only now; the first is untouched
    counts = np.zeros((1 + len(settings), len(MEASURES), 3), dtype=np.int64)
    done = np.zeros(len(images), dtype=bool)
    kept = checkpoint.read() if checkpoint else {}
    if kept:
        counts, done = kept["counts"], kept["done"]
    todo = [int(i) for i in np.flatnonzero(~done)]
    broken: dict[int, Exception] = {}
    wrong: list[Exception] = []
    parts = memory.Parts()

    def asked(pixels: Tensor, expected: NDArray[np.int64]) -> NDArray[np.bool_]:
        p = answers.probabilities(net, pixels, statistics, device, parts).numpy()
        found = decide(p[:, 0], p[:, 1:], threshold)
        return _measures(np.where(found.fake & (found.gated < 0), _NEITHER, found.gated), expected)

    with tqdm(
        total=len(images), initial=len(images) - len(todo), unit="picture", disable=not progress
    ) as bar:
        for members, pixels in data.stream([images.paths[i] for i in todo], batch_size, broken=broken):
            places = [todo[i] for i in members]
            try:
                shown = answers.fitted(pixels, net.size, fit)
            except data.PictureError as error:
                wrong.append(data.PictureError(f"{images.paths[places[0]]}: {error}"))
                continue
            before = asked(shown, truth[places])
            counts[0, :, 0] += before.sum(0)
            for i, (operation, strength) in enumerate(settings, start=1):
                now = asked(degraded(shown, operation, strength, places, seed), truth[places])
                counts[i] += np.stack([now.sum(0), (before & ~now).sum(0), (now & ~before).sum(0)], 1)
            done[places] = True
            bar.update(len(members))
            if checkpoint and checkpoint.due:
                checkpoint.write({"counts": counts, "done": done})
    if not done.any():
        first = next(iter([*wrong, *broken.values()]), "there are none")
        raise ValueError(f"none of {len(images)} pictures can be judged; the first: {first}")
    n = {"accuracy": int(done.sum()), "false none": int((done & (truth >= 0)).sum())}
    n["false name"] = n["accuracy"]
    rows = [
        _row(operation, strength, measure, n[measure], counts[0, j], counts[i, j])
        for i, (operation, strength) in enumerate([(UNTOUCHED, math.nan), *settings])
        for j, measure in enumerate(MEASURES)
    ]
    facts = {
        "n": int(done.sum()), "unreadable": int((~done).sum()), "threshold": threshold, "seed": seed,
        "fit": fit, "names": list(net.names),
    }  # fmt: skip
    return Robustness(pd.DataFrame(rows), facts)


def _expected(net: Network, images: Pictures) -> NDArray[np.int64]:
    """The right answer of each picture: `REAL`, the network's number of its source, or `_NEITHER`."""
    known = {name: number for number, name in enumerate(net.names)}
    of = [known.get(name, _NEITHER) for name in images.names]
    return np.array([REAL if source == REAL else of[source] for source in images.sources], dtype=np.int64)


def _measures(answer: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pictures count in each of `MEASURES`, (N, 3)."""
    named = answer >= 0
    return np.stack([answer == truth, (truth >= 0) & ~named, named & (answer != truth)], 1)


def _row(
    operation: str, strength: float, measure: str, n: int, before: NDArray[np.int64], now: NDArray[np.int64]
) -> dict[str, Any]:
    found = intervals.share_of(int(now[0]), n)
    row = {
        "operation": operation, "strength": strength, "unit": UNITS.get(operation, ""), "measure": measure,
        "n": n, "value": found["share"], "low": found["low"], "high": found["high"],
    }  # fmt: skip
    change = (math.nan,) * 3
    if operation != UNTOUCHED and n:
        change = (int(now[0] - before[0]) / n, *intervals.paired(int(now[2]), int(now[1]), n))
    return row | dict(zip(("change", "change_low", "change_high"), change, strict=True))
