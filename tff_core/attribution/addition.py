"""One more source for a network that names sources already: a module of its own, beside what stays as it is.

Somebody's pictures of a further generator lie in one folder, and all of them are meant for tests. To be
named, the generator needs some to learn from, so they are divided: by a hash of their pixels, which neither
names nor their order can change, half to train on, a tenth to choose the epoch on, and the rest to test on. A
picture that is there twice counts once, and so never stands on two sides.

The module learns from as many pictures of every other source as there are of its own, so that its share is
that of any other source, and passes over them as much more often as they are fewer, so that it takes as many
steps.

Source: Khoo, Lim and Phan, 2022 (secondary modules beside a frozen primary); the division is an addition.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from tff_core.attribution import answers
from tff_core.attribution.runs import Config
from tff_core.pictures import data
from tff_core.store.results import write_json

SMALLEST = 4
"""Pictures of a label of which every part gets one."""


class TooFew(ValueError):
    """There are too few pictures to learn from some and to be tested on others."""


def divide(
    images: data.ImageSet,
    folders: Mapping[str, str | Path],
    size: int,
    most: Mapping[str, int],
    least: int = 40,
) -> dict[str, dict[str, int]]:
    """Divide pictures into parts for training, validation and test, and write these at the network's size.

    Of pictures that are larger the middle is taken, smaller ones are left out. Parts are folders of PNG files
    as `data.scan` reads them, with a manifest that is written last; what was there before is removed.

    Args:
        images: reals and fakes of one generator; at most ``2 * most["train"]`` of each label are read, evenly
            over its classes.
        folders: where the parts "train", "val" and "test" go.
        size: side of the pictures in pixels.
        most: the largest number of pictures of each label, by part.
        least: the number of each label below which nothing is divided, at least `SMALLEST`.

    Returns the number of pictures by part, and by label ("real", "fake").

    Raises TooFew, with nothing written, where a label has fewer than ``least`` different pictures of that
    size; ValueError where ``least`` is too small; PictureError where a picture cannot be read.
    """
    if least < SMALLEST:
        raise ValueError(f"least is {least}: expected at least {SMALLEST}, so that every part has a picture")
    kept = [_different(images.where(label=label, first=2 * most["train"]), size) for label in (0, 1)]
    if min(map(len, kept)) < least:
        reals, fakes = (len(one) for one in kept)
        raise TooFew(
            f"{images.root.name} has {reals} reals and {fakes} fakes that differ and have {size}x{size} "
            f"pixels or more: expected {least} of each at least, since half of them are for training"
        )
    counts: dict[str, dict[str, int]] = {}
    for part, folder in folders.items():
        folder = Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        for name, own in zip(data.LABELS, kept, strict=True):
            (folder / name).mkdir(parents=True)
            chosen = _part(sorted(own), part, most[part])
            for key in chosen:
                pixels = np.ascontiguousarray(own[key].permute(1, 2, 0).numpy())
                Image.fromarray(pixels).save(folder / name / f"{key[:24]}.png")
            counts.setdefault(part, {})[name.split("_")[1]] = len(chosen)
        write_json(
            folder / data.MANIFEST,
            {"source": str(images.root), "pictures": counts[part],
             "content": data.content_hash(data.scan(folder))},
        )  # fmt: skip
    return counts


def _different(images: data.ImageSet, size: int) -> dict[str, Tensor]:
    """The middles of pictures that are large enough, uint8 (3, size, size), by a hash of their pixels."""
    found: dict[str, Tensor] = {}
    for path in images.paths:
        pixels = data.read(path)
        if min(pixels.shape[-2:]) >= size:
            middle = answers.fitted(pixels[None], size, "crop")[0]
            found.setdefault(hashlib.sha256(middle.numpy().tobytes()).hexdigest(), middle)
    return found


def _part(order: list[str], part: str, most: int) -> list[str]:
    """Those of pictures in their order that belong to a part: half, a tenth, or the rest."""
    half = len(order) // 2
    tenth = half + max(1, len(order) // 10)
    start, end = {"train": (0, half), "val": (half, tenth), "test": (tenth, len(order))}[part]
    return order[start : min(end, start + most)]


def recipe(settings: Config, usual: int, own: int) -> Config:
    """The settings for a module with ``own`` pictures to learn from, where the others had ``usual``.

    Epochs, and those without a better loss after which it stops, are as many more as pictures are fewer.
    """
    more = max(1.0, usual / own)
    return replace(
        settings,
        max_epochs=math.ceil(more * settings.max_epochs),
        patience=math.ceil(more * settings.patience),
    )
