"""Several ways of saying where a picture is fake, on the same pictures with exact masks.

A method is any function from pictures to scores, larger where a picture looks faker: a patch classifier
(`classifier`), relevance or a gradient of a detector, or what needs no network at all: the strength of edges
(`edges`) and of the finest structure (`high_pass`). The latter two are what a map must beat to have learnt
anything: they mark borders and texture, which are where they are in every picture.

Each method's threshold is chosen on validation pictures, all its numbers are of test pictures, and methods
are compared picture by picture: all see the same resamples of the same pictures.

A score that is not a number is below all others; how many there are is told (``missing``). A map of equal
scores finds by chance: its AP is the share of pixels that are fake, and at its threshold all are marked.

Source: an addition; Chai et al. show maps and do not measure them. Measures: `tff_core.localization.masks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from tff_core import metrics
from tff_core.localization import inputs, maps, masks
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.pictures.data import LUMA
from tff_core.store import memory
from tff_core.store.checkpoint import read_arrays, write_arrays

Floats = NDArray[np.float64]
Method = Callable[[Tensor], Any]
"""Pictures, uint8 (N, 3, H, W), to scores, an array or tensor (N, H, W)."""
MEASURES = ("pixel_ap", "picture_ap", "iou", "false_area")
PIXELS = 1 << 22
"""So many pixels are kept for the AP of all pixels; of more, as many of each picture are drawn."""
_FAR = 1e300  # stands for infinity; the difference of two of them is still a number


def edges(pictures: Tensor) -> Floats:
    """The strength of edges, (N, H, W): Sobel's magnitude of the luma of uint8 pictures (N, 3, H, W)."""
    from skimage.filters import sobel

    return np.stack([sobel(one) for one in _luma(pictures)])


def high_pass(pictures: Tensor, sigma: float = 2.0) -> Floats:
    """The energy of the finest structure, (N, H, W), of uint8 pictures (N, 3, H, W).

    The squared difference of the luma of a pixel from that of its four neighbours, smoothed by a Gaussian
    with a deviation of ``sigma`` pixels.
    """
    fine = np.stack([ndimage.laplace(one, mode="nearest") for one in _luma(pictures)])
    smooth = ndimage.gaussian_filter(fine**2, (0, sigma, sigma), mode="nearest")
    return np.asarray(smooth, dtype=np.float64)


def classifier(
    net: PatchClassifier,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    device: str | torch.device = "cpu",
) -> Method:
    """The map of a patch classifier, on the device where it is: the logit of being fake at every pixel.

    ``preparation`` says what of the pixels the network sees, and resizes nothing: a mask is known at the
    pictures' own pixels. ValueError where it does, and for a whole network, which has no map.
    """
    if net.whole:
        raise ValueError(f"{net.name} is a whole network and has no map: expected one with a cut")
    if preparation.load is not None:
        raise ValueError(f"pictures are resized to {preparation.load} pixels: expected their own size")
    parts = memory.Parts()

    def of(pictures: Tensor) -> Floats:
        found = maps.margin(net, inputs.normalised(pictures, device, preparation), parts).double().cpu()
        size = (pictures.shape[-2], pictures.shape[-1])
        return maps.to_pixels(net.name, found.numpy(), size).astype(np.float64)

    return of


def _luma(pictures: Tensor) -> Floats:
    return np.tensordot(pictures.double().numpy() / 255, LUMA, ([1], [0]))


@dataclass(frozen=True)
class Measured:
    """What one method finds in S spliced and A authentic test pictures.

    ``threshold`` is that of validation; ``pixel_ap`` the AP of all pixels of spliced pictures, and
    ``resampled`` (B,) the same in every resample of these pictures; ``picture_ap`` (S,) and ``iou`` (S,) are
    each spliced picture's own, ``false_area`` (A,) each authentic one's marked share. ``fake`` (S,) is the
    share of each spliced picture that is fake, and ``missing`` that of all scores that are not numbers.
    """

    threshold: float
    pixel_ap: float
    resampled: Floats
    picture_ap: Floats
    iou: Floats
    false_area: Floats
    fake: Floats
    missing: float

    def write(self, path: str | Path) -> None:
        """Keep it as ``.npz``, whole or not at all: methods may be measured one at a time, and elsewhere."""
        write_arrays(Path(path), {name: np.asarray(value) for name, value in vars(self).items()})

    @classmethod
    def read(cls, path: str | Path) -> Measured:
        """What `write` has kept. FileNotFoundError where it is missing, ValueError where it is damaged."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: expected what was measured of a method")
        found = read_arrays(path, "measure the method again")
        names = [one.name for one in fields(cls)]
        if set(found) != set(names):
            raise ValueError(
                f"{path} holds no numbers of a method: expected {', '.join(names)}; measure it again"
            )
        return cls(**{name: value if value.ndim else float(value) for name, value in found.items()})  # type: ignore[arg-type]


def measure(
    method: Method,
    validation: masks.Masked,
    test: masks.Masked,
    *,
    threshold: float | None = None,
    batch_size: int = 16,
    pixels: int = PIXELS,
    seed: int = 0,
    progress: bool = False,
    name: str = "method",
) -> Measured:
    """Choose a method's threshold on ``validation`` and measure it on ``test``; see `compare` for a table.

    ``threshold``, where it has been chosen on ``validation`` already. Every picture is asked about once. No
    map is kept: for the threshold and for the AP of all pixels at most ``pixels`` of them, in equal numbers
    from each picture, drawn at random where there are more.

    Raises ValueError where scores have the wrong shape, where no validation or no test picture is spliced,
    or where the two share pictures; PictureError where a file is broken.
    """
    shared = sorted(set(validation.images) & set(test.images))
    if shared:
        raise ValueError(
            f"{len(shared)} pictures are in validation and in test, the first {shared[0]}: expected the "
            "threshold to be chosen on other pictures"
        )
    how: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    if threshold is None:
        told = f"{name}, validation"
        threshold = masks.calibrate(*sampled(method, validation, pixels=pixels, seed=seed, name=told, **how))
    kept = _Sample(len(test), pixels, seed)
    own, overlap, outside, share = [], [], [], []
    missing = total = 0
    for lost, scores, fake in _scored(f"{name}, test", method, test, **how):
        missing, total = missing + lost, total + scores.size
        if not fake.any():
            outside.append(float((scores >= threshold).mean()))
            continue
        kept.add(scores, fake)
        own.append(masks.pixel_ap(scores, fake))
        overlap.append(float(masks.iou(scores[None], fake[None], threshold)[0]))
        share.append(float(fake.mean()))
    if not own:
        raise ValueError(
            f"none of {len(test)} masks has anything in it: expected spliced pictures to test on"
        )
    scores, fake = kept.arrays()
    # of what was drawn there may be nothing fake at all
    known = bool(fake.any())
    return Measured(
        threshold,
        masks.pixel_ap(scores, fake) if known else np.nan,
        masks.resampled_pixel_ap(scores, fake, seed) if known else np.full(metrics.RESAMPLES, np.nan),
        np.array(own), np.array(overlap), np.array(outside), np.array(share), missing / total,
    )  # fmt: skip


def compare(
    methods: Mapping[str, Method],
    validation: masks.Masked,
    test: masks.Masked,
    reference: str,
    *,
    thresholds: Mapping[str, float] | None = None,
    batch_size: int = 16,
    pixels: int = PIXELS,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """A table of methods by their names, each measured as by `measure`; the columns are those of `table`.

    ``thresholds`` by method, where they have been chosen on ``validation`` for other tests already.
    """
    _known(methods, reference)
    found = {
        name: measure(
            method, validation, test, threshold=thresholds[name] if thresholds else None,
            batch_size=batch_size, pixels=pixels, seed=seed, progress=progress, name=name,
        )
        for name, method in methods.items()
    }  # fmt: skip
    return table(found, reference, seed)


def table(found: Mapping[str, Measured], reference: str, seed: int = 0) -> pd.DataFrame:
    """Methods measured on the same pictures, a row for each and each of `MEASURES`.

    Columns: ``method, measure, value, low, high`` (95 % bootstrap over pictures), ``n`` pictures, ``chance``
    (what a random map has; missing where that depends on the threshold), ``difference, difference_low,
    difference_high`` (to the method ``reference`` on the same pictures, paired), ``reference, threshold,
    missing``. ``seed`` is that of the resamples, as in `measure`.

    ``pixel_ap``: AP of all pixels of spliced pictures; ``picture_ap``: mean of each such picture's own;
    ``iou``: mean intersection over union at the threshold; ``false_area``: share of the pixels of authentic
    pictures that is marked, missing where there are none. ValueError for an unknown reference, and where
    methods were measured on different pictures.
    """
    _known(found, reference)
    other = found[reference]
    rows: list[dict[str, Any]] = []
    for name, one in found.items():
        if not (np.array_equal(one.fake, other.fake) and len(one.false_area) == len(other.false_area)):
            raise ValueError(
                f"{name} and {reference} were measured on different pictures ({len(one.fake)} and "
                f"{len(other.fake)} spliced): expected the same for all methods"
            )
        for measured in MEASURES:
            if measured == "pixel_ap":
                value = metrics.around(one.pixel_ap, one.resampled)
                difference = metrics.around(one.pixel_ap - other.pixel_ap, one.resampled - other.resampled)
            else:
                own, its = getattr(one, measured), getattr(other, measured)
                value, difference = masks.mean(own, seed), masks.mean(own - its, seed)
            rows.append(
                {
                    "method": name, "measure": measured,
                    **dict(zip(("value", "low", "high"), value, strict=True)),
                    "n": len(one.false_area if measured == "false_area" else one.fake),
                    "chance": float(one.fake.mean()) if measured.endswith("ap") else np.nan,
                    **dict(
                        zip(("difference", "difference_low", "difference_high"), difference, strict=True)
                    ),
                    "reference": reference, "threshold": one.threshold, "missing": one.missing,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def sampled(
    method: Method,
    pictures: masks.Masked,
    *,
    batch_size: int = 16,
    pixels: int = PIXELS,
    seed: int = 0,
    progress: bool = False,
    name: str = "method",
) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores of pixels, and which of them are fake, (N, 1, P) each, for `masks.pixel_ap` and its interval.

    At most ``pixels`` in all and as many of each picture, drawn at random where it has more. ValueError where
    scores have the wrong shape, PictureError where a file is broken.
    """
    kept = _Sample(len(pictures), pixels, seed)
    for _, scores, fake in _scored(name, method, pictures, batch_size, progress):
        kept.add(scores, fake)
    return kept.arrays()


def _known(methods: Mapping[str, object], reference: str) -> None:
    if reference not in methods:
        raise ValueError(f"no method is called {reference!r}: expected one of {', '.join(methods)}")


class _Sample:
    """Scores of as many pixels of each picture, at most ``limit`` in all; the same ones for every method."""

    def __init__(self, pictures: int, limit: int, seed: int) -> None:
        self._each = max(1, limit // max(1, pictures))
        self._seed = seed
        self._scores: list[Floats] = []
        self._fake: list[NDArray[np.bool_]] = []

    def add(self, scores: Floats, fake: NDArray[np.bool_]) -> None:
        rng = np.random.default_rng([self._seed, len(self._scores)])
        # in random order, so that the first ones are a sample, too
        chosen = rng.permutation(scores.size)[: self._each]
        self._scores.append(scores.ravel()[chosen])
        self._fake.append(fake.ravel()[chosen])

    def arrays(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Scores and what is fake, (pictures, 1, pixels): as many of each picture as of the smallest."""
        least = min((len(one) for one in self._scores), default=0)
        scores = np.array([one[:least] for one in self._scores]).reshape(len(self._scores), 1, least)
        fake = np.array([one[:least] for one in self._fake], dtype=bool).reshape(scores.shape)
        return scores, fake


def _scored(
    name: str, method: Method, pictures: masks.Masked, batch_size: int, progress: bool
) -> Iterator[tuple[int, Floats, NDArray[np.bool_]]]:
    """Picture by picture: how many scores are not numbers, the scores (H, W), and what is fake (H, W)."""
    with tqdm(total=len(pictures), desc=name, unit="picture", disable=not progress) as bar:
        for pixels, fake in _batches(pictures, batch_size):
            found = method(pixels)
            if isinstance(found, Tensor):
                found = found.detach().cpu()
            scores = np.asarray(found, dtype=np.float64)
            if scores.shape != fake.shape:
                raise ValueError(
                    f"{name}: scores of shape {scores.shape} for {len(fake)} pictures of "
                    f"{fake.shape[2]}x{fake.shape[1]} pixels: expected {fake.shape}, a score for each pixel"
                )
            for one, mask in zip(scores, fake, strict=True):
                yield int(np.isnan(one).sum()), np.nan_to_num(one, nan=-_FAR).clip(-_FAR, _FAR), mask
            bar.update(len(fake))


def _batches(pictures: masks.Masked, batch_size: int) -> Iterator[tuple[Tensor, NDArray[np.bool_]]]:
    """Pictures uint8 (N, 3, H, W) and masks (N, H, W) in their order, of one size each time."""
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: expected a positive number")
    held: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = []

    def together() -> tuple[Tensor, NDArray[np.bool_]]:
        pixels = torch.from_numpy(np.stack([one for one, _ in held])).permute(0, 3, 1, 2)
        return pixels, np.stack([mask for _, mask in held])

    for pixels, fake in pictures.read():
        if held and (len(held) == batch_size or fake.shape != held[0][1].shape):
            yield together()
            held.clear()
        held.append((pixels, fake))
    if held:
        yield together()
