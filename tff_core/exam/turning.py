"""How little turns a decision: for each picture the weakest level of every degradation that changes it.

Levels are tried from weak to strong; the first at which the decision is another one counts, whatever comes
after it. Which operation is the *smallest* is told by how much of the picture it changes, as PSNR: of all
first turns the one with the largest. A crop changes no pixel that it leaves: it has a column and no PSNR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from tff_core import detectors
from tff_core.detectors import judge
from tff_core.pictures import data, degradations
from tff_core.store import memory

OPERATIONS = tuple(name for name in degradations.OPERATIONS if name != "zoom")
"""Those that are tried, in the order of their columns."""
SUMMARY = ("turned_by", "turned_at", "turned_to", "turned_psnr")


def columns(levels: Mapping[str, Sequence[float]] | None = None) -> list[str]:
    """The columns of `turning`: the smallest turn, then the level of each operation."""
    return [*SUMMARY, *(f"turns_{name}" for name in levels or OPERATIONS)]


def psnr(before: Tensor, after: Tensor) -> float:
    """Peak signal-to-noise ratio of two pictures uint8 of one size, in decibels; infinite where equal."""
    error = float((before.double() - after.double()).square().mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def turning(
    forward: judge.Forward,
    paths: Sequence[Path],
    rule: judge.Rule,
    levels: Mapping[str, Sequence[float]] | None = None,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    preprocessing: data.Preprocessing = data.IMAGENET,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """A row for each picture, in the order of ``paths``: what turns its decision.

    Columns ``turned_by`` (the operation that changes the picture least of those that turn it), ``turned_at``
    (its level), ``turned_to`` (the decision then), ``turned_psnr`` (in decibels), and for each operation
    ``turns_<operation>``, the weakest of its levels that turns the decision. A value is missing where nothing
    turns it, and in all columns of a picture that cannot be judged. A level that the network cannot take,
    such as a crop that is too small for it, turns nothing.

    Parameters
    ----------
    rule: that of the decisions, see `judge`; "unsure" is a decision, too.
    levels: of each operation, from weak to strong; by default those of `degradations`.
    seed: of the noise and of the place of a crop.

    ValueError as `degradations.known`.
    """
    chosen = {name: degradations.OPERATIONS[name].levels for name in OPERATIONS} if levels is None else levels
    for name, values in chosen.items():
        degradations.known(name, values)
    device = torch.device(device)
    rows: list[dict[str, Any]] = [{} for _ in paths]
    broken: dict[int, Exception] = {}
    parts = memory.Parts()
    with tqdm(total=len(paths), desc="degradations", unit="picture", disable=not progress) as bar:
        for members, pixels in data.stream(paths, batch_size, broken=broken):
            try:
                first = judge.logits_of(forward, pixels, device, parts, preprocessing)
            except detectors.WeightsError:
                raise
            except (data.PictureError, memory.OutOfMemory, RuntimeError):
                bar.update(len(members))
                continue  # their rows say so already
            decided = [rule.decide(logit) for logit in first]
            for name, values in chosen.items():
                _first_turns(
                    rows, forward, members, pixels, decided, rule, name, values, device, parts,
                    preprocessing, seed,
                )  # fmt: skip
            bar.update(len(members))
        bar.update(len(broken))
    frame = pd.DataFrame([_summed_up(row, chosen) for row in rows], columns=columns(chosen))
    numbers = [name for name in frame if name not in ("turned_by", "turned_to")]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _first_turns(
    rows: list[dict[str, Any]], forward: judge.Forward, members: Sequence[int], pixels: Tensor,
    decided: Sequence[str], rule: judge.Rule, name: str, levels: Sequence[float], device: torch.device,
    parts: memory.Parts, preprocessing: data.Preprocessing, seed: int,
) -> None:  # fmt: skip
    """Record the first level of one operation that turns each picture's decision; stop where all have."""
    left = list(range(len(members)))
    for level in levels:
        if not left:
            return
        numbers = [members[n] for n in left]
        try:
            changed = degradations.degrade(pixels[left], name, level, numbers, seed)
            logits = judge.logits_of(forward, changed, device, parts, preprocessing)
        except detectors.WeightsError:
            raise
        except (data.PictureError, memory.OutOfMemory, RuntimeError):
            continue
        still = []
        for place, n in enumerate(left):
            now = rule.decide(logits[place])
            if now == decided[n]:
                still.append(n)
                continue
            same = changed.shape[-2:] == pixels.shape[-2:]
            apart = psnr(pixels[n], changed[place]) if same else math.nan
            rows[members[n]][name] = (float(level), now, apart)
        left = still


def _summed_up(row: Mapping[str, tuple[float, str, float]], chosen: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = {f"turns_{name}": row[name][0] if name in row else math.nan for name in chosen}
    known = {name: one for name, one in row.items() if not math.isnan(one[2])}
    if known:
        by = max(known, key=lambda name: known[name][2])
        level, to, apart = known[by]
        found |= {"turned_by": by, "turned_at": level, "turned_to": to, "turned_psnr": apart}
    return found


def told(frame: pd.DataFrame) -> str:
    """In words, what turns how many of the pictures: of each operation the number and the weakest level."""
    parts = []
    for column in frame:
        if not str(column).startswith("turns_"):
            continue
        name = str(column).removeprefix("turns_")
        operation, values = degradations.OPERATIONS[name], frame[column].dropna()
        if len(values):
            there = [level for level in operation.levels if level in set(values)] or list(values)
            parts.append(f"{name} {len(values)} (from {operation.label(float(there[0]))} on)")
        else:
            parts.append(f"{name} none")
    return ", ".join(parts)


def smallest(row: Mapping[Any, Any]) -> str:
    """The smallest turn of one picture in words; "nothing that was tried turns it" where there is none."""
    by = row.get("turned_by")
    if not isinstance(by, str):
        crop = row.get("turns_crop", np.nan)
        if crop == crop and crop is not None:
            return f"only a crop by {float(crop):g} of each axis turns it"
        return "nothing that was tried turns it"
    operation = degradations.OPERATIONS[by]
    return (
        f"{by} {operation.label(float(row['turned_at']))} ({operation.unit}, PSNR "
        f"{float(row['turned_psnr']):.1f} dB) turns it to {row['turned_to']}"
    )
