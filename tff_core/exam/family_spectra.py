"""The power spectra of reals and of each family's fakes, in luma and in both colour differences.

The spectrum of a set is the mean over its pictures of the log power spectrum of each plane, and its profile
the mean over rings of equal frequency. A family is compared with its own reals, which were found and prepared
as its fakes were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tff_core import spectra
from tff_core.exam import band_stop
from tff_core.pictures import data

Floats = NDArray[np.float64]
CHANNELS = band_stop.CHANNELS


@dataclass(frozen=True)
class Spectra:
    """What was found.

    ``profiles``: rows ``family, label`` ("real", "fake"), ``channel, frequency`` (cycles per pixel), ``value,
    low, high`` (natural logarithm of power, Student's interval over pictures), ``n``.

    ``differences``: fakes less reals of each family, rows ``family, channel, frequency, value, low, high,
    p, q, n, n_base`` (Welch; ``q`` over the rings of all channels of a family).

    ``planes``: the difference of every coefficient (H, W), by family and channel, the mean in the corner.
    """

    profiles: pd.DataFrame
    differences: pd.DataFrame
    planes: dict[tuple[str, str], Floats]


def measure(images: Mapping[str, data.ImageSet]) -> Spectra:
    """The spectra of labelled pictures by family, of the largest middle that all pictures of a family have.

    ValueError where a family has fewer than two pictures of a label.
    """
    profiles, differences, planes = [], [], {}
    for family, some in images.items():
        power = {}
        labels = np.asarray(some.labels)
        for label, name in enumerate(("real", "fake")):
            if (count := int((labels == label).sum())) < 2:
                raise ValueError(
                    f"{family} has {count} pictures that are {name}: expected two at least, for the "
                    "mean of a spectrum"
                )
        pixels = data.load(some, middle=True)
        for label, name in enumerate(("real", "fake")):
            power[name] = spectra.power(band_stop.planes(pixels[labels == label]))
        rings = spectra.fourier_rings(*power["real"].shape[-2:])
        by_label = {name: spectra.azimuthal(values, fourier=True) for name, values in power.items()}
        for name, values in by_label.items():
            mean, low, high = spectra.mean_interval(values)
            for at, channel in enumerate(CHANNELS):
                ends = {"value": mean[at], "low": low[at], "high": high[at], "n": len(values)}
                about = {"family": family, "label": name, "channel": channel, "frequency": rings.frequency}
                profiles.append(pd.DataFrame({**about, **ends}))
        found = spectra.differ(by_label["fake"], by_label["real"])
        for at, channel in enumerate(CHANNELS):
            about = {"family": family, "channel": channel, "frequency": rings.frequency}
            numbers = {name: getattr(found, name)[at] for name in ("value", "low", "high", "p", "q")}
            counts = {"n": found.n, "n_base": found.n_base}
            differences.append(pd.DataFrame({**about, **numbers, **counts}))
            planes[family, channel] = power["fake"][:, at].mean(0) - power["real"][:, at].mean(0)
    return Spectra(pd.concat(profiles, ignore_index=True), pd.concat(differences, ignore_index=True), planes)
