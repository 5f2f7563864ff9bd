"""The forensic feature relevance statistic (FF-RS) omega: how much of the decision each feature map carries.

Source: paper, section 4 (forensic feature relevance statistic, algorithm 1).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tff_core import lrp
from tff_core.features.names import FeatureMap
from tff_core.lrp.walk import walk_back
from tff_core.store import memory
from tff_core.store.checkpoint import Arrays, Checkpoint
from tff_core.store.results import atomic_write

Label = Literal["fake", "real"]
_HEADER = ["key", "mean_relevance"]


@dataclass(frozen=True)
class Omega:
    """Omega of every feature map of one network.

    ``values`` maps each layer to its omega, (C,) float64 in [0, 1], in the order of the network.
    ``count`` is the number of pictures averaged; ``seen`` of those looked at; ``unsure`` of those left out
    because the network did not give them their label with the required confidence; ``poisoned`` maps a
    layer to the number of pictures whose relevance there was NaN or zero throughout: they are left out of
    that layer's mean (only affected layers are listed). ``order`` is the ranking if it was read from a
    file, whose order among equal values is kept.
    """

    values: Mapping[str, np.ndarray]
    count: int
    seen: int = 0
    unsure: int = 0
    poisoned: Mapping[str, int] = field(default_factory=dict)
    order: tuple[FeatureMap, ...] | None = None

    @cached_property
    def ranking(self) -> tuple[FeatureMap, ...]:
        """All feature maps, largest omega first; equal ones in the order of the network."""
        if self.order is not None:
            return self.order
        maps = [FeatureMap(k, c, len(v)) for k, v in self.values.items() for c in range(len(v))]
        flat = np.concatenate(list(self.values.values()))
        return tuple(maps[i] for i in np.argsort(-flat, kind="stable"))

    def __len__(self) -> int:
        return sum(len(v) for v in self.values.values())

    def __getitem__(self, key: FeatureMap | str) -> float:
        """Omega of one map, given as a map or by name; ValueError where the network has no such map."""
        wanted = FeatureMap.parse(key) if isinstance(key, str) else key
        if wanted.layer not in self.values or len(self.values[wanted.layer]) != wanted.channels:
            raise ValueError(
                f"no feature map {str(wanted)!r} here: expected one of {len(self)} in {len(self.values)} "
                f"layers, like {str(self.ranking[0])!r}; is it a map of another network?"
            )
        return float(self.values[wanted.layer][wanted.channel])

    def _sized(self, k: int, available: int, what: str) -> int:
        if not 0 < k <= available:
            raise ValueError(f"k is {k}: expected 1 to {available}, the number of {what}")
        return k

    def top(self, k: int) -> list[FeatureMap]:
        """The ``k`` maps with the largest omega, the largest first."""
        return list(self.ranking[: self._sized(k, len(self), "feature maps")])

    def low(self, k: int) -> list[FeatureMap]:
        """The last ``k`` maps of the ranking, the last first.

        Where more than ``k`` maps have omega 0 this is an arbitrary choice among them.
        """
        return list(self.ranking[: -self._sized(k, len(self), "feature maps") - 1 : -1])

    def random(self, k: int, seed: int) -> list[FeatureMap]:
        """``k`` maps outside the top ``k``, drawn uniformly without replacement."""
        rest = self.ranking[len(self.top(k)) :]
        self._sized(k, len(rest), "feature maps outside the top k")
        chosen = np.random.default_rng(seed).choice(len(rest), size=k, replace=False)
        return [rest[i] for i in chosen]

    def matched(self, k: int, seed: int) -> list[FeatureMap]:
        """A control for the top ``k``: as many maps in every layer, drawn outside the top ``k``.

        Where a layer has too few others, all of them are taken; `shortfall` counts the missing ones.
        """
        top = set(self.top(k))
        rng = np.random.default_rng(seed)
        chosen: list[FeatureMap] = []
        for layer, values in self.values.items():
            others = [m for c in range(len(values)) if (m := FeatureMap(layer, c, len(values))) not in top]
            wanted = min(len(values) - len(others), len(others))
            chosen += [others[i] for i in rng.choice(len(others), size=wanted, replace=False)]
        return chosen

    def shortfall(self, k: int) -> dict[str, int]:
        """Maps that `matched` cannot give, by layer: more than half of the layer is in the top ``k``."""
        taken: dict[str, int] = {}
        for m in self.top(k):
            taken[m.layer] = taken.get(m.layer, 0) + 1
        return {k: n - spare for k, n in taken.items() if (spare := len(self.values[k]) - n) < n}

    def to_csv(self, path: str | Path) -> None:
        """Write the published format: ``key,mean_relevance``, all maps, descending."""
        with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(_HEADER)
            writer.writerows((str(m), repr(self[m])) for m in self.ranking)

    @classmethod
    def from_csv(cls, path: str | Path, net: lrp.Net | None = None) -> Omega:
        """Read the published format; the file's order is the ranking, even among equal values.

        With ``net`` the file must name exactly the maps of that network, and the layers come in its order.
        The number of pictures is not in the format: ``count`` is 0.

        Raises ValueError, naming file and line, where the file is damaged or of another network, and
        FileNotFoundError where there is none.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist: expected an omega table; compute one with ffrs.ff_rs"
            )
        found = _read(path)
        layers = {m.layer: m.channels for m in found}
        for m in found:
            if layers[m.layer] != m.channels:
                raise ValueError(
                    f"{path}: layer {m.layer!r} has {layers[m.layer]} channels in one line, {m} in another"
                )
        if net is not None:
            _same_maps(path, layers, net.layers)
        missing = sum(layers.values()) - len(found)
        if missing:
            raise ValueError(
                f"{path} is incomplete: expected {sum(layers.values())} feature maps in {len(layers)} "
                f"layers, found {len(found)}; get the whole file"
            )
        values = {layer: np.zeros(layers[layer]) for layer in (layers if net is None else net.layers)}
        for m, value in found.items():
            values[m.layer][m.channel] = value
        return cls(values, count=0, order=tuple(found))


from_csv = Omega.from_csv


def _read(path: Path) -> dict[FeatureMap, float]:
    found: dict[FeatureMap, float] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream)
        header = next(rows, [])
        if header != _HEADER:
            raise ValueError(
                f"{path}: expected the header 'key,mean_relevance', found {','.join(header)[:80]!r}"
            )
        last = 1.0 + 1e-6  # rounding of a sum that is 1
        for line, row in enumerate(rows, start=2):
            where = f"{path}, line {line}"
            if len(row) != 2:
                raise ValueError(f"{where}: expected a key and a number, found {','.join(row)[:80]!r}")
            try:
                m, value = FeatureMap.parse(row[0]), float(row[1])
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if m in found:
                raise ValueError(f"{where}: {m} stands here a second time; expected each feature map once")
            if not 0 <= value <= last:
                raise ValueError(
                    f"{where}: omega is {value}; expected a number of at least 0 and, as the table descends, "
                    f"at most the {last} of the line before"
                )
            found[m] = last = value
    return found


def _same_maps(path: Path, layers: Mapping[str, int], expected: Mapping[str, int]) -> None:
    wrong = sorted(k for k in layers.keys() | expected.keys() if layers.get(k) != expected.get(k))
    if wrong:
        raise ValueError(
            f"{path} is the omega of another network: expected {sum(expected.values())} maps in "
            f"{len(expected)} layers, found {sum(layers.values())} in {len(layers)}; the first difference is "
            f"layer {wrong[0]!r} ({expected.get(wrong[0], 'no')} channels in the network, "
            f"{layers.get(wrong[0], 'no')} in the file)"
        )


class Accumulator:
    """Sums the normalised positive relevance of each map, one batch and one layer at a time.

    Its size is that of omega: it does not grow with the number of pictures.
    """

    def __init__(self, layers: Mapping[str, int]) -> None:
        self.sums = {k: torch.zeros(c, dtype=torch.float64) for k, c in layers.items()}
        self.counts = dict.fromkeys(layers, 0)

    def add(self, layer: str, r: Tensor, keep: Tensor) -> None:
        """Add the relevance (N, C, h, w) of one layer for the pictures where ``keep`` (N,) is true."""
        positive = r.clamp(min=0).sum((2, 3), dtype=_wide(r))
        # sum|R| = 2 sum(R+) - sum(R): without another pass over R, and both terms are at most that sum
        total = 2 * positive.sum(1) - r.sum((1, 2, 3), dtype=_wide(r))
        share = positive.double().cpu() / total.double().cpu()[:, None]
        usable = keep.cpu() & torch.isfinite(share).all(1)
        self.sums[layer] += share[usable].sum(0)
        self.counts[layer] += int(usable.sum())

    def merge(self, other: Accumulator) -> None:
        """Add the sums of another accumulator for the same network."""
        for layer, own in self.sums.items():
            own += other.sums[layer]
            self.counts[layer] += other.counts[layer]

    def arrays(self) -> Arrays:
        """Its state, for `restore`."""
        counts = np.array(list(self.counts.values()), dtype=np.int64)
        return {"counts": counts, **{f"sums.{k}": s.numpy() for k, s in self.sums.items()}}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the state that `arrays` returned, bit for bit."""
        self.counts = dict(zip(self.sums, arrays["counts"].tolist(), strict=True))
        self.sums = {k: torch.from_numpy(arrays[f"sums.{k}"]) for k in self.sums}


def _wide(r: Tensor) -> torch.dtype:
    return torch.float64 if r.dtype == torch.float64 else torch.float32


@torch.no_grad()
def ff_rs(
    net: lrp.Net,
    batches: Iterable[Tensor | Sequence[Any]],
    label: Label = "fake",
    confidence: float = 0.9,
    *,
    checkpoint: Checkpoint | None = None,
) -> Omega:
    """Omega of every feature map, averaged over the pictures that the network is confident about.

    For each picture and layer the positive relevance, divided by the layer's sum of absolute relevance, is
    summed over each map; omega is the mean over pictures. Memory does not grow with their number; if the
    device runs out of it, the batch is split in halves.

    Args:
        net: from `lrp.canonize`.
        batches: yields pictures (N, 3, H, W), or tuples that start with pictures and labels (N,), 1 fake and
            0 real; with labels, only the pictures of ``label`` count.
        label: "fake" explains f(x), "real" explains -f(x).
        confidence: a picture counts if the network gives its label at least this probability, in [0.5, 1).
        checkpoint: keeps the sums during the run, and afterwards until the caller deletes them. Batches that
            it already covers are skipped, and omega is bit for bit that of an uninterrupted run; its key
            must identify network, batches, label and confidence.

    Returns:
        `Omega`, which also counts what was left out and why.

    Raises:
        ValueError: label or confidence out of range, wrong pictures, or no picture that counts.
        memory.OutOfMemory: a single picture does not fit into the memory of the device.

    Source: paper, section 4, algorithm 1 (pictures with p >= 0.9).
    """
    if label not in ("fake", "real"):
        raise ValueError(f"label is {label!r}: expected 'fake' or 'real'")
    if not 0.5 <= confidence < 1:
        raise ValueError(
            f"confidence is {confidence}: expected a probability from 0.5 up to, not including, 1"
        )
    accumulator, parts = Accumulator(net.layers), memory.Parts()
    done = seen = count = complete = 0
    if checkpoint is not None and (saved := checkpoint.read()):
        accumulator.restore(saved)
        done, seen, count, complete = saved["place"].tolist()
    number = 0
    for batch in batches if not complete else ():
        number += 1  # not by enumerate(), which would keep the last batch alive
        if number > done:
            here = _add_batch(net, batch, label, confidence, accumulator, parts)
            seen, count = seen + here[0], count + here[1]
            if checkpoint is not None and checkpoint.due:
                checkpoint.write({**accumulator.arrays(), "place": np.array([number, seen, count, 0])})
        del batch  # freed before the next one is made
    if checkpoint is not None and not complete:
        checkpoint.write({**accumulator.arrays(), "place": np.array([number, seen, count, 1])})
    if not count:
        raise ValueError(
            f"none of {seen} {label} pictures has probability {confidence} or more of being {label}: omega "
            "is a mean over such pictures; give others, train the network further, or lower the confidence"
        )
    # sums over pictures have no order; rounding aside, neither has omega
    values = {k: (s / max(accumulator.counts[k], 1)).numpy() for k, s in accumulator.sums.items()}
    poisoned = {k: count - n for k, n in accumulator.counts.items() if n != count}
    return Omega(values, count=count, seen=seen, unsure=seen - count, poisoned=poisoned)


def _add_batch(
    net: lrp.Net,
    batch: Tensor | Sequence[Any],
    label: Label,
    confidence: float,
    accumulator: Accumulator,
    parts: memory.Parts,
) -> tuple[int, int]:
    """Add the relevance of one batch; return how many pictures have the label and how many of these count."""
    x, labels = (batch, None) if isinstance(batch, Tensor) else (batch[0], batch[1])
    net.check(x)
    right = torch.ones(len(x), dtype=torch.bool) if labels is None else _labelled(labels, label)
    seen = int(right.sum())
    if seen < len(x):
        x = x[right.to(x.device)]

    def add(part: slice) -> tuple[Accumulator, int]:
        own = Accumulator(net.layers)  # memory may run out between two layers
        return own, _relevance_of(net, x[part], label, confidence, own)

    count = 0
    for _, (own, sure) in parts(add, seen, memory.describe(x)):
        accumulator.merge(own)
        count += sure
    return seen, count


def _relevance_of(net: lrp.Net, x: Tensor, label: Label, confidence: float, accumulator: Accumulator) -> int:
    """Add the relevance of pictures of one label; return how many the network is confident about."""
    sign = 1.0 if label == "fake" else -1.0
    tape: list[Any] = []
    y = net.forward(x, tape)
    logit = sign * _logit(net, y)
    keep = logit >= math.log(confidence / (1 - confidence))
    if bool(keep.any()):
        # the paper's code starts at the sign of f whatever the label: for reals it explains the fake side
        begin = torch.full_like(logit, sign) if net.reference else logit
        r = torch.zeros_like(y)
        r[:, net.target or 0] = torch.where(keep, begin, torch.zeros_like(begin))
        walk_back(net, r, tape, False, partial(accumulator.add, keep=keep))
    return int(keep.sum())


def _labelled(labels: Any, label: Label) -> Tensor:
    return torch.as_tensor(labels).cpu().reshape(-1) == (1 if label == "fake" else 0)


def _logit(net: lrp.Net, y: Tensor) -> Tensor:
    if y.ndim != 2 or (net.target is None and y.shape[1] != 1):
        raise ValueError(
            f"the network returns {tuple(y.shape)}: expected one logit a picture; say which one means fake, "
            "canonize(model, target=...)"
        )
    return y[:, net.target or 0]
