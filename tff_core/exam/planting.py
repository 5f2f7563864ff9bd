"""Photographs with a known trace in a known place, the same without it, and the same with it taken out again.

The three differ in nothing else, so what a detector says of one and not of another is due to the trace alone:
how strong it is (`tff_core.exam.dose`), where it is (`place`), which feature maps carry it (`carriers`), and
whether it is one of colour (`color_truth`). The waves are those of `tff_core.miniature.planted`, the places
those of spliced pictures (`tff_core.miniature.splices.region`).

A case names its waves: ``Cb2`` is a wave of period 2 in Cb, ``Y2Cb2`` two waves at once, in luma and chroma.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core import metrics
from tff_core.miniature import planted
from tff_core.miniature.planted import CHANNELS, Trace
from tff_core.miniature.splices import region

CHROMA = ("Cb", "Cr")
AMPLITUDES = {"Y": 20.0, "Cb": 8.0, "Cr": 8.0}
"""Levels of 255 at which a trace is planted by default: photographs have less of their own in chroma."""
_WAVE = re.compile(rf"({'|'.join(CHANNELS)})(\d+(?:\.\d+)?)")


def case(name: str, amplitudes: Mapping[str, float] = AMPLITUDES) -> tuple[Trace, ...]:
    """The traces that a case names, with the amplitude of their channel and phase 0, along columns.

    ValueError where the name is not one or more of channel and period, each channel once, or a channel has no
    amplitude.
    """
    found = _WAVE.findall(name)
    names = [channel for channel, _ in found]
    if not found or "".join(map("".join, found)) != name or len(set(names)) < len(names):
        raise ValueError(
            f"case {name!r}: expected channels with periods, each channel once, such as Cb2 or Y2Cb4"
        )
    missing = [channel for channel in names if channel not in amplitudes]
    if missing:
        raise ValueError(
            f"case {name!r}: expected an amplitude for {missing[0]} in levels of 255, found none"
        )
    return tuple(Trace(channel, float(period), float(amplitudes[channel])) for channel, period in found)


def in_chroma(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """Those of the traces that are in Cb or Cr."""
    return tuple(trace for trace in traces if trace.channel in CHROMA)


@dataclass(frozen=True)
class Planted:
    """Pictures with and without a trace: ``bare`` and ``marked``, uint8 (N, 3, H, W), of the same scenes.

    ``where`` (N, H, W), bool, is the place of the ``traces``; outside of it both are equal. ``clipped`` is
    the share of pixels inside whose colour would have left the range, so that the trace is not all there.
    """

    bare: Tensor
    marked: Tensor
    where: NDArray[np.bool_]
    traces: tuple[Trace, ...]
    clipped: float

    def __len__(self) -> int:
        return len(self.bare)

    def at(self, dose: float) -> Planted:
        """The same pictures and places with all amplitudes times ``dose``; 0 leaves the pictures bare."""
        weaker = tuple(replace(trace, amplitude=dose * trace.amplitude) for trace in self.traces)
        return _planted(self.bare, weaker, self.where)

    def only(self, traces: Sequence[Trace]) -> Planted:
        """The same pictures and places with these traces alone."""
        return _planted(self.bare, tuple(traces), self.where)

    def taken_out(self, traces: Sequence[Trace] | None = None) -> Tensor:
        """The marked pictures without their traces, or without some of them, uint8 (N, 3, H, W).

        What is taken out is the wave of a trace's channel, period and direction in its place, whatever its
        phase and amplitude (`planted.remove`): with it goes what the scene itself has of that wave.
        """
        return take_out(self.marked, self.traces if traces is None else traces, self.where)

    def take(self, chosen: Sequence[int] | NDArray[np.int64]) -> Planted:
        """Some of the pictures, by number."""
        index = torch.as_tensor(np.asarray(chosen, dtype=np.int64))
        return replace(
            self, bare=self.bare[index], marked=self.marked[index], where=self.where[index.numpy()]
        )


def resampled(scenes: int, n: int, seed: int = 0) -> NDArray[np.float32]:
    """Bootstrap weights (2N, n) of bare and marked pictures of N scenes, see `metrics.picture_weights`.

    A resample draws scenes, and of each both pictures.
    """
    drawn = metrics.resamples(scenes, n, seed).T.astype(np.float32)
    return np.concatenate([drawn, drawn])


def put(pixels: Tensor, traces: Sequence[Trace], seed: int = 0) -> Planted:
    """Plant traces in photographs, uint8 (N, 3, H, W), each in a random region of its own.

    Regions follow from ``seed`` and the number of the picture, not from the traces: all cases have the same.
    Raises ValueError where there is no picture, no trace, or pictures are not square.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.dtype != torch.uint8 or not len(pixels):
        raise ValueError(
            f"pictures of shape {tuple(pixels.shape)}, {pixels.dtype}: expected uint8 (N, 3, H, W), N at "
            "least 1"
        )
    if pixels.shape[2] != pixels.shape[3]:
        raise ValueError(
            f"pictures of {pixels.shape[3]} x {pixels.shape[2]} pixels: expected square ones; crop them"
        )
    if not traces:
        raise ValueError("no trace to be planted: expected one at least")
    size = int(pixels.shape[2])
    where = np.stack([region(np.random.default_rng([seed, i, 3]), size) for i in range(len(pixels))])
    return _planted(pixels, tuple(traces), where)


def take_out(pixels: Tensor, traces: Sequence[Trace], where: NDArray[np.bool_] | None = None) -> Tensor:
    """Pictures, uint8 (N, 3, H, W), without the waves of these traces, see `Planted.taken_out`.

    ``where`` (N, H, W) says where they are taken out; everywhere if None. Also for fakes, whose trace is
    known by its channel and period alone.
    """
    out = []
    for i, one in enumerate(_rows(pixels)):
        changed = one
        for trace in traces:
            changed = planted.remove(changed, trace, None if where is None else where[i]).pixels
        out.append(changed)
    return _tensor(out)


def _planted(bare: Tensor, traces: tuple[Trace, ...], where: NDArray[np.bool_]) -> Planted:
    out, beyond = [], 0.0
    for one, place in zip(_rows(bare), where, strict=True):
        changed = one
        for trace in traces:
            changed, clipped = planted.plant(changed, trace, place)
            beyond += clipped * place.size
        out.append(changed)
    return Planted(bare, _tensor(out), where, traces, beyond / max(1, int(where.sum())))


def _rows(pixels: Tensor) -> NDArray[np.uint8]:
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def _tensor(rows: Sequence[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()
