"""What attribution networks see: pixels in [-1, 1], or the logarithm of the cosine transform of the luma.

The spectrum of a picture is the orthonormal two-dimensional DCT (type II) of its luma, of whole numbers from
0 to 255, as ln(|c| + 1e-12); each coefficient then has the training pictures' mean removed and is divided by
their deviation.

Source: Khoo, Lim and Phan, 2022 (arXiv 2203.09777); Frank et al., Leveraging frequency analysis for deep fake
image recognition, ICML 2020.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct, dctn
from torch import Tensor

from tff_core.pictures import data
from tff_core.store.results import atomic_write

Floats = NDArray[np.float64]
FLOOR = 1e-12
"""What is added to a coefficient before the logarithm."""
_FILES = ("mean.npy", "variance.npy", "std_dev.npy")


def check(x: Tensor) -> None:
    """ValueError unless ``x`` are pictures as they are read, uint8 (N, 3, H, W)."""
    if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"{x.dtype} of shape {tuple(x.shape)}: expected uint8 pictures (N, 3, H, W)")


def pixels(x: Tensor) -> Tensor:
    """Pictures uint8 (N, 3, H, W) as float32 in [-1, 1]: x / 127.5 - 1."""
    check(x)
    return x.to(torch.float32) / 127.5 - 1


@lru_cache(maxsize=16)
def _basis(side: int) -> Tensor:
    return torch.from_numpy(dct(np.eye(side), type=2, norm="ortho", axis=0))


def spectrum(x: Tensor) -> Tensor:
    """The log spectra of pictures uint8 (N, 3, H, W), float64 (N, 1, H, W); not normalised.

    Coefficients that are zero in exact arithmetic are far below all others after the logarithm: hence
    float64.
    """
    check(x)
    return cosine_transform(data.luma(x).double()).abs_().add_(FLOOR).log_()


def cosine_transform(plane: Tensor) -> Tensor:
    """The orthonormal DCT (type II) of planes (..., H, W), float64, on their device."""
    return _fast(plane) if plane.device.type == "cpu" else _products(plane)


def _fast(plane: Tensor) -> Tensor:
    """The cosine transform of planes (..., H, W), by the fast algorithm, on the processor."""
    return torch.from_numpy(dctn(plane.numpy(), type=2, norm="ortho", axes=(-2, -1)))


def _products(plane: Tensor) -> Tensor:
    """The same as two products of matrices, which an accelerator computes where the planes are."""
    down, across = (_basis(side).to(plane.device) for side in plane.shape[-2:])
    return down @ plane @ across.T


class Moments:
    """Mean and population deviation of arrays (N, ...), in the memory of one batch: Welford's method."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = np.zeros(())

    def add(self, values: Floats) -> None:
        """Add a batch; all have one shape but for their numbers."""
        n, own = len(values), values.mean(0)
        apart = own - self.mean if self.count else np.zeros_like(own)
        total = self.count + n
        # two sets joined: Chan, Golub and LeVeque
        within = np.square(values - own).sum(0)
        self._squares = (self._squares if self.count else 0) + within + apart**2 * (self.count * n / total)
        self.mean = self.mean + apart * (n / total) if self.count else own
        self.count = total

    @property
    def std(self) -> Floats:
        """The deviation; NaN of nothing."""
        return np.sqrt(self._squares / (self.count or np.nan))


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation (population) of every coefficient, (H, W) each, over ``count`` pictures.

    ``count`` is 0 where it is not known.
    """

    mean: Floats
    std: Floats
    count: int = 0

    def __post_init__(self) -> None:
        if self.mean.ndim != 2 or self.mean.shape != self.std.shape:
            raise ValueError(
                f"means of shape {self.mean.shape} and deviations of shape {self.std.shape}: expected both "
                "(H, W)"
            )
        for name, values in (("means", self.mean), ("deviations", self.std)):
            if not np.isfinite(values).all():
                raise ValueError(f"{int((~np.isfinite(values)).sum())} {name} are not finite")
        if self.std.min() <= 0:
            raise ValueError(
                f"{int((self.std <= 0).sum())} deviations are not above 0: expected pictures that differ"
            )

    def normalise(self, spectra: Tensor) -> Tensor:
        """Spectra (N, 1, H, W) as a network wants them, float32. ValueError where the size differs."""
        if tuple(spectra.shape[-2:]) != self.mean.shape:
            raise ValueError(
                f"spectra of {spectra.shape[-1]}x{spectra.shape[-2]} and statistics of {self.mean.shape[1]}x"
                f"{self.mean.shape[0]}: expected one size; resize or crop the pictures, or take others"
            )
        mean, std = (torch.from_numpy(values).to(spectra.device) for values in (self.mean, self.std))
        return (spectra - mean).to(torch.float32).div_(std.to(torch.float32))

    def save(self, path: str | Path) -> None:
        """Write an npz with ``mean``, ``std`` and ``count``, completely or not at all."""
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, mean=self.mean, std=self.std, count=np.array(self.count))

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """From such an npz, or a folder with the published files, mean.npy, variance.npy and std_dev.npy.

        Nothing is unpickled. FileNotFoundError where it is missing, ValueError where it is not that.
        """
        path = Path(path)
        try:
            if path.is_dir():
                missing = [name for name in _FILES if not (path / name).is_file()]
                if missing:
                    raise FileNotFoundError(
                        f"{path / missing[0]} is missing: expected {', '.join(_FILES)} in {path}"
                    )
                mean, variance, std = (np.load(path / name, allow_pickle=False) for name in _FILES)
                if not np.allclose(std, np.sqrt(variance), rtol=1e-6, atol=1e-9):
                    raise ValueError("std_dev.npy is not the root of variance.npy; get the files again")
                return cls(mean.astype(np.float64), std.astype(np.float64))
            if not path.is_file():
                raise FileNotFoundError(f"{path} does not exist: expected statistics; check the path")
            with np.load(path, allow_pickle=False) as file:
                absent = {"mean", "std", "count"} - set(file.files)
                if absent:
                    raise ValueError(f"it has no {sorted(absent)[0]}")
                return cls(file["mean"], file["std"], int(file["count"]))
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile, TypeError, AttributeError) as error:
            raise ValueError(f"{path} holds no statistics of spectra: {error}") from error


def seen(x: Tensor, statistics: Statistics | None) -> Tensor:
    """Pictures uint8 (N, 3, H, W) as a network sees them: `pixels`, or with statistics normalised spectra."""
    return pixels(x) if statistics is None else statistics.normalise(spectrum(x))


def measure(batches: Iterable[Tensor]) -> Statistics:
    """`Statistics` of pictures, batch by batch uint8 (N, 3, H, W): Welford's method, memory of one batch.

    ValueError where there are fewer than two pictures, sizes differ, or a coefficient is the same in all.
    """
    found = Moments()
    for values in spectra(batches):
        found.add(values)
    if found.count < 2:
        raise ValueError(f"statistics of {found.count} pictures: expected at least 2")
    return Statistics(found.mean, found.std, found.count)


def spectra(batches: Iterable[Tensor]) -> Iterator[Floats]:
    """Log spectra (N, H, W) of each batch of pictures uint8 (N, 3, H, W); ValueError where sizes differ."""
    first: tuple[int, ...] | None = None
    for batch in batches:
        values = spectrum(batch)[:, 0].cpu().numpy()
        first = first or values.shape[1:]
        if values.shape[1:] != first:
            raise ValueError(
                f"a picture of {values.shape[2]}x{values.shape[1]} pixels after those of {first[1]}x"
                f"{first[0]}: expected one size"
            )
        yield values
