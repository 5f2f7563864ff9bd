"""Pictures with exchanged luma and chroma, or scaled or rotated chroma, and a detector's response to them.

Does the evidence lie in the luma or in the chroma? A gray picture tests this with an input that the detector
has rarely seen; these pictures stay in colour.

Source: an addition to the paper's section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tff_core import intervals
from tff_core.features import color_ablation
from tff_core.pictures import data
from tff_core.store import memory

Floats = NDArray[np.float64]

# luma and chroma of JPEG (ITU-R BT.601, full range): rows Y, Cb, Cr in R, G, B
_KR, _KG, _KB = data.LUMA
_TO_YCBCR = torch.tensor(
    [
        [_KR, _KG, _KB],
        [-0.5 * _KR / (1 - _KB), -0.5 * _KG / (1 - _KB), 0.5],
        [0.5, -0.5 * _KG / (1 - _KR), -0.5 * _KB / (1 - _KR)],
    ],
    dtype=torch.float64,
)
# its inverse; written out so that a pixel without chroma is gray to the last bit
_TO_RGB = torch.tensor(
    [
        [1.0, 0.0, 2 * (1 - _KR)],
        [1.0, -2 * (1 - _KB) * _KB / _KG, -2 * (1 - _KR) * _KR / _KG],
        [1.0, 2 * (1 - _KB), 0.0],
    ],
    dtype=torch.float64,
)


class Altered(NamedTuple):
    """Altered pictures, uint8 (N, 3, H, W), and for each the share of pixels that had to be clipped, (N,).

    A clipped pixel would have a colour outside RGB; its luma and chroma are not quite those requested.
    """

    pixels: Tensor
    clipped: Tensor


def ycbcr(pixels: Tensor) -> Tensor:
    """Luma and chroma (Y, Cb, Cr) of pictures (N, 3, H, W), in their own scale, float64; gray has no chroma.

    Full-range BT.601, as in JPEG, without an offset: Y in [0, 255] and Cb, Cr in [-127.5, 127.5] for uint8.
    """
    _check(pixels)
    return torch.einsum("ij,njhw->nihw", _TO_YCBCR.to(pixels.device), pixels.double())


def rgb(values: Tensor) -> Altered:
    """Pictures from luma and chroma (N, 3, H, W) in the scale of uint8: the inverse of `ycbcr`, then rounded.

    Values below 0 or above 255 (by more than half a level) are clipped, and counted.
    """
    raw = torch.einsum("ij,njhw->nihw", _TO_RGB.to(values.device), values)
    rounded = raw.round()
    outside = ((rounded < 0) | (rounded > 255)).any(1)
    return Altered(rounded.clamp(0, 255).to(torch.uint8), outside.double().mean((1, 2)))


def exchange(luma: Tensor, chroma: Tensor) -> Altered:
    """Pictures with the luma of one set and the chroma of another, pair by pair.

    Both uint8 (N, 3, H, W) of one shape. A set exchanged with itself comes back unchanged.
    """
    if luma.shape != chroma.shape:
        raise ValueError(
            f"luma of shape {tuple(luma.shape)}, chroma of shape {tuple(chroma.shape)}: expected two sets "
            "of equally many pictures of one size; take as many of both"
        )
    return rgb(torch.cat([ycbcr(luma)[:, :1], ycbcr(chroma)[:, 1:]], dim=1))


def saturate(pixels: Tensor, factor: float) -> Altered:
    """Chroma times ``factor`` (at least 0) at unchanged luma: 0 gives gray, 1 the picture itself."""
    if factor < 0:
        raise ValueError(f"saturation factor {factor}: expected 0 (gray) or more; 1 leaves the picture alone")
    values = ycbcr(pixels)
    values[:, 1:] *= factor
    return rgb(values)


def turn(pixels: Tensor, degrees: float) -> Altered:
    """The hue of every pixel turned by ``degrees`` in the plane of Cb and Cr, at unchanged luma."""
    values = ycbcr(pixels)
    angle = np.deg2rad(degrees)
    blue, red = values[:, 1].clone(), values[:, 2].clone()
    values[:, 1] = np.cos(angle) * blue - np.sin(angle) * red
    values[:, 2] = np.sin(angle) * blue + np.cos(angle) * red
    return rgb(values)


def partners(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """For each picture the index of another of its group (class of scene), each used once, shape (N,).

    A shuffled cycle through each group. Raises ValueError where a group has a single picture.
    """
    out = np.empty(len(groups), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for group in sorted(set(groups)):
        members = np.flatnonzero(np.asarray(groups) == group)
        if len(members) < 2:
            raise ValueError(f"class {group!r} has {len(members)} picture: expected two or more to pair them")
        members = rng.permutation(members)
        out[members] = np.roll(members, 1)
    return out


@torch.inference_mode()
def probabilities(
    model: Callable[[Tensor], Tensor],
    pixels: Tensor,
    batch_size: int = 50,
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Floats:
    """Probability of being fake, (N,) float64, of uint8 pictures (N, 3, H, W); the network has one logit.

    The pictures are normalised as ``preprocessing`` says, and neither resized nor cropped.
    """
    _check(pixels)

    def run(part: Tensor) -> Tensor:
        x = data.normalize(part.to(device), preprocessing).contiguous(memory_format=torch.channels_last)
        return model(x)[:, 0].cpu().double()

    parts = memory.Parts()
    return torch.cat([parts.cat(run, part) for part in pixels.split(batch_size)]).sigmoid().numpy()


def balanced(images: data.ImageSet, most: int) -> data.ImageSet:
    """Equally many reals and fakes of each scene class, two or more of each, about ``most`` per label in all.

    A class with fewer than two reals or two fakes is left out: its pictures have no `partners`.
    """
    classes = [c for c in sorted(set(images.groups)) if min(images.where(group=c).counts) > 1]
    classes = classes[: max(1, most // 2)]
    kept = set()
    for own in (images.where(group=c) for c in classes):
        kept |= set(own.where(first=min(*own.counts, max(2, most // len(classes)))).paths)
    return images.take([i for i, path in enumerate(images.paths) if path in kept])


def called_fake(
    sets: Mapping[str, Altered], probability: Mapping[str, Floats], thresholds: Sequence[float]
) -> pd.DataFrame:
    """Share of each set of pictures that is called fake, with an interval over pictures and seeds.

    ``probability`` maps a set to (S, N), one row per detector seed, ``thresholds`` has one for each seed.
    Returns rows ``pictures, n, called, low, high, seeds, covers, clipped``; the last is the mean
    share of clipped pixels.
    """
    cuts = np.asarray(thresholds, dtype=np.float64)[:, None]
    rows = []
    for name, p in probability.items():
        share = color_ablation.average(p >= cuts)
        row = {"pictures": name, "n": p.shape[1], **share.columns("called")}
        rows.append(row | {"clipped": float(sets[name].clipped.mean())})
    return pd.DataFrame(rows)


def carried(chroma: ArrayLike, luma: ArrayLike, thresholds: Sequence[float]) -> intervals.Pooled:
    """Share of reals with a fake's chroma that are called fake, minus that of fakes with a real's chroma.

    Both are probabilities (S, N) of the same pairs in the same order; above zero, chroma carries more.
    """
    cuts = np.asarray(thresholds, dtype=np.float64)[:, None]
    hits = [(np.atleast_2d(p) >= cuts).astype(np.float64) for p in (chroma, luma)]
    return color_ablation.average(hits[0] - hits[1])


def quartiles(probability: Mapping[tuple[str, float], Floats], labels: ArrayLike) -> pd.DataFrame:
    """Quartiles of the fake probability (N,) of reals and of fakes, for each change and amount.

    Rows ``change, amount, label, q1, median, q3``.
    """
    y = np.asarray(labels)
    rows = []
    for (change, amount), p in probability.items():
        for label, word in ((0, "real"), (1, "fake")):
            q1, median, q3 = np.quantile(p[y == label], [0.25, 0.5, 0.75])
            row = {"change": change, "amount": amount, "label": word, "q1": q1, "median": median, "q3": q3}
            rows.append(row)
    return pd.DataFrame(rows)


def typical(probability: Floats, labels: ArrayLike, count: int = 3) -> list[int]:
    """Indices of the ``count`` fakes, then reals, whose probability is closest to their label's median."""
    y, chosen = np.asarray(labels), []
    for label in (1, 0):
        own = np.flatnonzero(y == label)
        far = np.abs(probability[own] - np.median(probability[own]))
        chosen += own[np.argsort(far, kind="stable")[:count]].tolist()
    return chosen


def _check(pixels: Tensor) -> None:
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise ValueError(f"pictures of shape {tuple(pixels.shape)}: expected (N, 3, H, W) with N at least 1")
