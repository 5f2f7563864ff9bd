"""A detector's output for any pictures: logit, probability, decision, and whether re-encoding changes it.

The decision is made at the detector's calibrated threshold: fake at or above it. Between the ends of the
threshold's own interval ("abstain" in the detector's description) a call would be a guess, and the answer is
"unsure". Thresholds come from validation pictures; how well they transfer to other pictures is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor
from torchvision.transforms.v2 import functional as tv
from tqdm import tqdm

from tff_core import detectors, metrics
from tff_core.pictures import data, places
from tff_core.store import memory

QUALITIES = (95, 85)  # of JPEG; a round trip through PNG leaves every pixel as it is
_JPEG_SIDE = 65_500  # libjpeg's limit: stability is not tested on larger pictures
FAKE, REAL, UNSURE, UNREADABLE = "fake", "real", "unsure", "unreadable"
COLUMNS = ("path", "decision", "probability", "logit", "stable", "width", "height", "error")

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """The rule for calling a picture fake: ``threshold``, and an undecided zone (``low``, ``high``); logits.

    ``source`` says where the numbers come from.
    """

    threshold: float
    low: float
    high: float
    source: str

    def decide(self, logit: float) -> str:
        """ "fake", "real" or "unsure"."""
        if self.low < logit < self.high:
            return UNSURE
        return FAKE if logit >= self.threshold else REAL


def rule(detector: detectors.Detector) -> Rule:
    """The rule calibrated when the detector was trained; probability 0.5 if none was."""
    threshold = detector.threshold
    if not math.isfinite(threshold):
        return Rule(0.0, 0.0, 0.0, "not calibrated: probability 0.5, and no zone without a call")
    low, high = detector.info.get("abstain") or (threshold, threshold)
    return Rule(threshold, float(low), float(high), "validation pictures of its training")


def calibrate(
    forward: Forward,
    images: data.ImageSet,
    batch_size: int,
    device: torch.device,
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Rule:
    """The rule that separates the reals and fakes of a folder best, with its interval; see `metrics`.

    Its source says so if the folder is separated no better than by chance. Raises ValueError where the
    detector ranks reals above fakes, or gives all pictures the same logit.
    """
    batches = data.batches(images, batch_size, device=device, preprocessing=preprocessing)
    logits = detectors.logits(forward, batches)
    order = metrics.order(images.labels, logits)
    if order.reversed:
        raise ValueError(f"{images.root} gives no threshold: the detector {order.warning()}")
    try:
        found = metrics.threshold_interval(images.labels, logits)
    except ValueError as error:
        raise ValueError(f"{images.root} gives no threshold: {error}") from error
    source = f"calibrated on {images.root}"
    if order.at_chance:
        source += f", but the detector {order.warning()}"
    return Rule(found.value, found.low, found.high, source)


@torch.inference_mode()
def logits_of(
    forward: Forward,
    pixels: Tensor,
    device: torch.device,
    parts: memory.Parts | None = None,
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> np.ndarray:
    """Logits (N,) of uint8 pictures (N, 3, H, W) of one size, as they are before any preprocessing.

    Batches are halved if the device's memory runs out; ``parts`` remembers that between calls. Raises
    memory.OutOfMemory where a single picture does not fit.
    """

    def run(pixels: Tensor) -> Tensor:
        x = data.normalize(preprocessing.cut(pixels.to(device)), preprocessing)
        return forward(x.contiguous(memory_format=torch.channels_last))[:, 0].float().cpu()

    out = (parts or memory.Parts()).cat(run, pixels).numpy()
    if not np.isfinite(out).all():
        raise detectors.WeightsError(
            f"{int((~np.isfinite(out)).sum())} of {len(out)} logits are not finite: the detector's weights "
            "are damaged or its training diverged; get or train it again"
        )
    return out


def reencoded(pixels: Tensor, quality: int) -> Tensor:
    """Uint8 pictures (N, 3, H, W) after a round trip through JPEG of this quality (libjpeg, 4:2:0)."""
    return tv.jpeg(pixels, quality)


def judge(
    forward: Forward,
    paths: Sequence[Path],
    decide: Rule,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    stability: bool = False,
    progress: bool = False,
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> pd.DataFrame:
    """One row for each picture, in the order of ``paths``; pictures are decoded while the network works.

    Returns columns path, decision ("fake", "real", "unsure", "unreadable"), probability (of being fake),
    logit, stable, width, height, error. ``stable``, with ``stability`` only, is false where the decision
    differs after JPEG at one of `QUALITIES`; the logits there are ``logit_jpeg95`` and so on. It takes one
    more pass per quality. For a picture that cannot be read, or that the network cannot take, ``error``
    says what is wrong. ``attrs["transparent"]`` is the number of partly transparent pictures; their
    transparency is ignored.
    """
    device = torch.device(device)
    rows: list[dict[str, Any]] = [{"path": str(path)} for path in paths]
    broken: dict[int, Exception] = {}
    transparent: set[int] = set()
    bar = tqdm(total=len(paths), desc="pictures", unit="picture", disable=not progress)
    parts = memory.Parts()
    with bar:
        for members, pixels in data.stream(paths, batch_size, broken=broken, transparent=transparent):
            again = {}
            try:
                logits = logits_of(forward, pixels, device, parts, preprocessing)
                if stability and max(pixels.shape[-2:]) <= _JPEG_SIDE:
                    for quality in QUALITIES:
                        pressed = reencoded(pixels, quality)
                        again[quality] = logits_of(forward, pressed, device, parts, preprocessing)
            except (data.PictureError, memory.OutOfMemory, RuntimeError) as error:
                # of this size: too small for the network, too long and thin, or too large for the memory
                broken |= {place: _not_taken(paths[place], pixels, error) for place in members}
                continue
            for n, place in enumerate(members):
                rows[place] |= {
                    "decision": decide.decide(logits[n]),
                    "probability": float(expit(float(logits[n]))),
                    "logit": float(logits[n]),
                    "width": pixels.shape[-1],
                    "height": pixels.shape[-2],
                }
                if again:
                    rows[place] |= {f"logit_jpeg{q}": float(values[n]) for q, values in again.items()}
                    calls = {decide.decide(values[n]) for values in again.values()}
                    rows[place]["stable"] = calls == {rows[place]["decision"]}
            bar.update(len(members))
        bar.update(len(broken))
    for place, wrong in broken.items():
        rows[place] |= {"decision": UNREADABLE, "error": str(wrong)}
    extra = [f"logit_jpeg{q}" for q in QUALITIES] if stability else []
    frame = pd.DataFrame(rows, columns=[*COLUMNS[:5], *extra, *COLUMNS[5:]])
    frame = frame.astype({"width": "Int64", "height": "Int64", "stable": "boolean"})
    frame.attrs["transparent"] = len(transparent)
    return frame


def _not_taken(path: Path, pixels: Tensor, error: Exception) -> Exception:
    told = " ".join(str(error).split())
    if isinstance(error, data.PictureError):
        return data.PictureError(f"{path}: {told}")
    return data.PictureError(
        f"{path} has {pixels.shape[-1]}x{pixels.shape[-2]} pixels, which the network cannot take ({told}); "
        "expected a picture of another size"
    )


def find(paths: Sequence[str | Path]) -> tuple[list[Path], list[Path]]:
    """The pictures among the given files and, recursively, in the given folders, and what was left out.

    A file given by name is taken whatever its suffix; from a folder, those with the suffix of a picture.
    Files that systems and editors leave behind are left out (see `tff_core.pictures.places`). Links are
    followed unless they lead back up, and nothing is taken twice: a second name for the same picture
    is left out, too. Raises FileNotFoundError for a place that does not exist,
    ValueError where there is no picture at all.
    """
    pictures: dict[str, Path] = {}
    left_out: dict[Path, None] = {}
    for place in map(Path, paths):
        places.must_be_there(place)
        if place.is_dir():
            for path in places.walk(place):
                first = pictures.get(places.real(path))
                if first is None and places.is_picture(path):
                    pictures[places.real(path)] = path
                elif first is None or first.absolute() != path.absolute():
                    left_out[path] = None
        else:
            pictures.setdefault(places.real(place), place)
    if not pictures:
        names = ", ".join(map(str, paths))
        raise ValueError(
            f"no pictures in {names}: expected files ending in {' '.join(sorted(places.SUFFIXES))}; "
            f"found {len(left_out)} other files"
        )
    return list(pictures.values()), list(left_out)
