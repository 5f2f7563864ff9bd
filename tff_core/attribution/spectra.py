"""Spectra of families of pictures: their means, how they differ from reals, and what networks see in them.

A family's spectrum is the mean over its pictures of the log spectrum (see `inputs.spectrum`). Upsampling
leaves peaks and slopes in it that differ from family to family. A network that sees spectra can be asked
where in the plane of frequencies it finds its evidence: the relevance of its input, averaged over a family in
the same way. Planes (H, W) are also averaged over rings of equal frequency, into a profile.

Source: Frank et al., Leveraging frequency analysis for deep fake image recognition, ICML 2020 (mean spectra);
Durall, Keuper and Keuper, Watch your up-convolution, CVPR 2020 (profiles); Khoo, Lim and Phan, 2022 (networks
that see spectra). Relevance in the plane of frequencies, intervals and tests are additions.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from tff_core import lrp, metrics
from tff_core.attribution import inputs, networks
from tff_core.attribution.inputs import Floats, Moments, Statistics
from tff_core.attribution.networks import Attributor
from tff_core.spectra import Difference, Rings, azimuthal, welch
from tff_core.spectra import cosine_rings as rings
from tff_core.store import memory
from tff_core.store.checkpoint import write_arrays

REAL = "real"
"""The family that others are compared with."""


@dataclass(frozen=True)
class Spectrum:
    """Planes of ``count`` pictures: the mean of every coefficient, and its deviation (population), (H, W).

    ``profile`` and ``profile_std`` (R,) are the same of the pictures' profiles (see `rings`): coefficients of
    one picture depend on each other, so that a profile's deviation does not follow from those of the plane.
    ``left_out`` counts pictures that were not averaged.
    """

    mean: Floats
    std: Floats
    profile: Floats
    profile_std: Floats
    count: int
    left_out: int = 0

    @property
    def rings(self) -> Rings:
        """The rings that its profile is made of."""
        return rings(*self.mean.shape)

    def save(self, path: str | Path) -> None:
        """Write an npz, completely or not at all."""
        write_arrays(Path(path), {field.name: np.array(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> Spectrum:
        """From such a file; nothing is unpickled. FileNotFoundError, ValueError where it is not that."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: expected a spectrum; check the path")
        try:
            with np.load(path, allow_pickle=False) as file:
                kept: dict[str, Any] = {field.name: file[field.name] for field in fields(cls)}
            kept |= {name: int(kept[name]) for name in ("count", "left_out")}
            plane, profile = kept["mean"].shape, (len(rings(*kept["mean"].shape).number),)
            wanted = {"mean": plane, "std": plane, "profile": profile, "profile_std": profile}
            for name, shape in wanted.items():
                if kept[name].shape != shape or kept[name].dtype != np.float64:
                    raise ValueError(f"its {name} has shape {kept[name].shape}: expected {shape}")
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile, TypeError, AttributeError) as error:
            raise ValueError(f"{path} holds no spectrum ({error}): compute it again") from error
        return cls(**kept)


class _Sums:
    """Planes and their profiles, summed up."""

    def __init__(self) -> None:
        self.planes, self.profiles = Moments(), Moments()

    def add(self, planes: Floats) -> None:
        self.planes.add(planes)
        self.profiles.add(azimuthal(planes))

    def spectrum(self, left_out: int = 0) -> Spectrum:
        planes, profiles = self.planes, self.profiles
        return Spectrum(planes.mean, planes.std, profiles.mean, profiles.std, planes.count, left_out)


def measure(batches: Iterable[Tensor]) -> Spectrum:
    """The mean log spectrum of a family's pictures, batch by batch uint8 (N, 3, H, W), in the memory of one.

    ValueError where sizes differ, or there are fewer than two pictures.
    """
    sums = _Sums()
    for planes in inputs.spectra(batches):
        sums.add(planes)
    if sums.planes.count < 2:
        raise ValueError(f"the spectrum of {sums.planes.count} pictures: expected at least 2")
    return sums.spectrum()


# ------------------------------------------------------------------------------------------- the differences


def difference(one: Spectrum, base: Spectrum, level: float = metrics.LEVEL) -> Difference:
    """How far a family's spectrum is from ``base``, coefficient by coefficient, (H, W).

    Source: B. L. Welch, The generalization of Student's problem, Biometrika 34 (1947). ValueError where the
    sizes differ.
    """
    _one_size({"one": one, "the other": base})
    return welch(one.mean, one.std, one.count, base.mean, base.std, base.count, level)


def profile_difference(one: Spectrum, base: Spectrum, level: float = metrics.LEVEL) -> Difference:
    """The same of profiles, ring by ring, (R,)."""
    _one_size({"one": one, "the other": base})
    return welch(one.profile, one.profile_std, one.count, base.profile, base.profile_std, base.count, level)


def _one_size(families: Mapping[str, Spectrum]) -> None:
    sizes = {name: one.mean.shape for name, one in families.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{w}x{h} of {name}" for name, (h, w) in sizes.items())
        raise ValueError(f"spectra of {told}: expected one size; crop all pictures alike first")


def profiles(families: Mapping[str, Spectrum], level: float = metrics.LEVEL) -> pd.DataFrame:
    """The profile of every family: family, frequency (cycles per pixel), coefficients, value, low, high, n.

    A row for each family and ring; ``value`` is the mean over the ring's coefficients and n pictures, with
    its interval over pictures (Student's t). ValueError where sizes differ.
    """
    _one_size(families)
    tables = []
    for name, one in families.items():
        reach = stats.t.ppf((1 + level) / 2, max(one.count - 1, 1)) * one.profile_std
        reach = reach / np.sqrt(one.count - 1) if one.count > 1 else np.full_like(reach, np.nan)
        own = {"value": one.profile, "low": one.profile - reach, "high": one.profile + reach, "n": one.count}
        tables.append(_table(name, one, own))
    return pd.concat(tables, ignore_index=True)


def profile_differences(
    families: Mapping[str, Spectrum], base: str = REAL, level: float = metrics.LEVEL
) -> pd.DataFrame:
    """The profile of every family less that of ``base``, with intervals.

    A row for each other family and ring: family, frequency (cycles per pixel), coefficients, value, low,
    high, p, q, n, n_base, as in `Difference`. ValueError where sizes differ, or there is no such family.
    """
    if base not in families:
        raise ValueError(f"no family {base!r} to compare with: expected one of {', '.join(families)}")
    _one_size(families)
    tables = []
    for name, one in families.items():
        if name != base:
            found = profile_difference(one, families[base], level)
            names = ("value", "low", "high", "p", "q", "n", "n_base")
            tables.append(_table(name, one, {column: getattr(found, column) for column in names}))
    if not tables:
        raise ValueError(f"{base} alone: expected another family to compare with it")
    return pd.concat(tables, ignore_index=True)


def _table(family: str, one: Spectrum, columns: Mapping[str, Any]) -> pd.DataFrame:
    where = {"family": family, "frequency": one.rings.frequency, "coefficients": one.rings.number}
    return pd.DataFrame({**where, **columns})


# --------------------------------------------------------------------------------------------- the relevance


@torch.no_grad()
def relevance(
    net: Attributor,
    batches: Iterable[Tensor],
    statistics: Statistics,
    source: int | None = None,
    confidence: float = 0.5,
    threshold: float = 0.0,
    *,
    batch_size: int = 32,
) -> Spectrum:
    """Where in the plane of frequencies a network finds its evidence for a family's pictures.

    The relevance of every coefficient for the logit, by the rules of `tff_core.lrp`, as a share of the
    absolute relevance of its picture, times the number of coefficients: 1 everywhere if all counted alike. It
    is positive where the coefficient speaks for the class.

    Args:
        net: a network that sees spectra, on any device.
        batches: pictures of one family, uint8 (N, 3, H, W).
        statistics: those of the network's training pictures.
        source: None for detection, else the number of a source.
        confidence: a picture counts if its probability is at least this, as for omega (paper, section 4); the
            others are counted as left out.
        threshold: the logit at which that is one half, where the network is calibrated.
        batch_size: pictures at a time, at most.

    Raises ValueError where the network sees pixels, pictures do not fit, or fewer than two count.
    """
    if net.kind != "dct":
        raise ValueError("this network sees pixels: expected one that sees spectra (kind 'dct')")
    if not 0 <= confidence < 1:
        raise ValueError(f"confidence is {confidence}: expected a probability from 0 up to, not including, 1")
    least = threshold + (math.log(confidence / (1 - confidence)) if confidence else -math.inf)
    folded = networks.folded(net, source)
    sums, parts, seen = _Sums(), memory.Parts(), 0

    def of(x: Tensor) -> Tensor:
        """Planes (N, H, W) of shares, NaN where a picture does not count or has no relevance to share."""
        logit = folded(x)
        planes = torch.full_like(x[:, 0], torch.nan, dtype=torch.float64)
        counts = (logit[:, 0] >= least).nonzero()[:, 0]
        if len(counts):
            found = lrp.relevance(folded, x[counts], start=logit[counts], pixels=True).pixels
            assert found is not None
            total = found.abs().sum((1, 2, 3), dtype=torch.float64)
            planes[counts] = found[:, 0] / total[:, None, None] * found[0].numel()
        return planes.cpu()

    for batch in batches:
        for some in batch.split(batch_size):
            x = statistics.normalise(inputs.spectrum(some)).to(folded.device, folded.dtype)
            networks.check_input(x, net.kind, net.size)
            planes = parts.cat(of, x).numpy()
            planes = planes[np.isfinite(planes).all((1, 2))]
            seen += len(some)
            if len(planes):
                sums.add(planes)
    if sums.planes.count < 2:
        raise ValueError(
            f"{sums.planes.count} of {seen} pictures have probability {confidence} or more: expected two "
            "at least to average over; give others, lower the confidence, or calibrate a threshold"
        )
    return sums.spectrum(seen - sums.planes.count)
