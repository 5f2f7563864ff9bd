"""Panels of pictures for a page: what `figures.collage` wants, made from heatmaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tff_core.features import pixels
from tff_core.features.heatmaps import Heatmaps
from tff_core.figures import generator_name
from tff_core.pictures import data

Pictures = NDArray[np.uint8]
_SHADE = 40  # of what is no object


def heatmaps(
    heat: Heatmaps,
    columns: Mapping[str, int],
    methods: Mapping[str, str],
    preprocessing: data.Preprocessing,
    largest: int = 128,
) -> tuple[dict[str, Pictures], dict[str, list[list[str]]], dict[str, list[str]]]:
    """For each generator its shown pictures beside their heatmaps, one row for each method.

    ``columns``: networks and the seed that is drawn; ``methods``: what each method is called. Of pictures of
    more than ``largest`` pixels a side, or larger than others, the middle is shown.

    Returns cells (rows, columns, H, W, 3), words to hover and names of rows, by the generator's name. The
    first two columns are the picture and its objects, in the row of the first method.
    """
    pictures = {
        generator: [_picture(own.images.take([i]), preprocessing) for i in own.shown]
        for generator, own in heat.subjects.items()
    }
    sizes = [picture.shape[:2] for some in pictures.values() for picture in some]
    side = min(largest, *(h for h, _ in sizes)), min(largest, *(w for _, w in sizes))
    cells: dict[str, Pictures] = {}
    hover: dict[str, list[list[str]]] = {}
    rows: dict[str, list[str]] = {}
    for generator, own in heat.subjects.items():
        drawn, words, labels = [], [], []
        for whole, i in zip(pictures[generator], own.shown, strict=True):
            picture, mask = _middle(whole, side), own.masks[i]
            objects = np.zeros_like(picture)
            if mask is not None:
                objects = np.where(_middle(mask, side)[..., None], picture, _SHADE)
            label = data.LABELS[own.images.labels[i]].removeprefix("0_").removeprefix("1_")
            for number, (method, called) in enumerate(methods.items()):
                maps = [_middle(heat.of(generator, method, *key)[i], side) for key in columns.items()]
                first = np.stack([picture, objects]) * (number == 0)  # shown once
                light = pixels.overlay(np.stack([picture] * len(maps)), np.stack(maps))
                drawn.append(np.concatenate([first.astype(np.uint8), light]))
                words.append(
                    [label, f"objects in the {label}", *(f"{label}: {name}, {called}" for name in columns)]
                )
                labels.append(f"{label}<br>{called.removeprefix('Guided ')}")
        name = generator_name(generator)
        cells[name], hover[name], rows[name] = np.stack(drawn), words, labels
    return cells, hover, rows


def _picture(images: data.ImageSet, preprocessing: data.Preprocessing) -> Pictures:
    found: Pictures = data.load(images, preprocessing)[0].permute(1, 2, 0).numpy()
    return found


def _middle(picture: NDArray[Any], side: tuple[int, int]) -> NDArray[Any]:
    """The middle of a picture, mask or heatmap (H, W, ...), of a size that is not larger."""
    top, left = ((have - want) // 2 for have, want in zip(picture.shape, side, strict=False))
    return picture[top : top + side[0], left : left + side[1]]
