"""Panels of pictures for a page: what `figures.collage` wants, made from heatmaps and from patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from tff_core.book import explorer
from tff_core.features import concepts, pixels
from tff_core.features.heatmaps import Heatmaps
from tff_core.figures import generator_name
from tff_core.pictures import data

Pictures = NDArray[np.uint8]
_SHADE = 40  # of what is not an object


def heatmaps(
    heat: Heatmaps,
    columns: Mapping[str, int],
    methods: Mapping[str, str],
    preprocessing: data.Preprocessing,
    largest: int = 128,
) -> tuple[dict[str, Pictures], dict[str, list[list[str]]], dict[str, list[str]]]:
    """For each generator its shown pictures beside their heatmaps, one row for each method.

    ``columns``: networks and the seed that is drawn; ``methods``: the name of each method. Pictures of more
    than ``largest`` pixels a side, or larger than others, are cropped to their middle.

    Returns cells (rows, columns, H, W, 3), hover texts and names of rows, by the generator's name. The first
    two columns are the picture and its objects, in the row of the first method.
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
    """The middle of a picture, mask or heatmap (H, W, ...), of at most a given size."""
    top, left = ((have - want) // 2 for have, want in zip(picture.shape, side, strict=False))
    return picture[top : top + side[0], left : left + side[1]]


# ---------------------------------------------------------------------------------------------- patches


def patches(
    found: pd.DataFrame,
    maps: Sequence[str],
    generators: Sequence[str],
    preprocessing: data.Preprocessing,
    cell: int = 44,
) -> Patches:
    """The patches of some maps by generator and rank, ready to be drawn in several ways.

    ``found``: rows of `tff_core.features.patches.find` with a column ``generator``, of one detector seed,
    whose column ``patch`` holds the relevance of these maps. ``cell``: side of a patch on the page. As many
    ranks are shown as every generator has.
    """
    rows = found[found["map"].isin(list(maps))]
    ranks = range(int(rows.groupby("generator")["rank"].max().min()) + 1)
    places = zip(rows["map"], rows["generator"], rows["rank"], strict=True)
    indexed = dict(zip(places, rows.itertuples(), strict=True))
    return Patches(indexed, list(maps), list(generators), ranks, preprocessing, cell)


@dataclass(frozen=True)
class Patches:
    """Patches by (map, generator, rank); see `patches`."""

    found: Mapping[tuple[str, str, int], Any]
    maps: list[str]
    generators: list[str]
    ranks: range
    preprocessing: data.Preprocessing
    cell: int

    def by_rank(self) -> tuple[dict[str, Pictures], dict[str, list[list[str]]], dict[str, list[str]]]:
        """A frame for each rank: rows are maps, columns generators. Cells, hover texts, names of rows."""
        frames = {
            str(rank + 1): np.array([[self._cut(m, g, rank) for g in self.generators] for m in self.maps])
            for rank in self.ranks
        }
        hover = {
            str(rank + 1): [[self._words(m, g, rank) for g in self.generators] for m in self.maps]
            for rank in self.ranks
        }
        return frames, hover, dict.fromkeys(frames, self.maps)

    def by_map(self) -> tuple[dict[str, Pictures], dict[str, list[list[str]]], dict[str, list[str]]]:
        """A frame for each map: by rank its patches above their relevance, columns are generators."""
        frames: dict[str, Pictures] = {}
        hover: dict[str, list[list[str]]] = {}
        names = [f"{what} {rank + 1}" for rank in self.ranks for what in ("patch", "relevance")]
        for m in self.maps:
            places = [(rank, over) for rank in self.ranks for over in (False, True)]
            frames[m] = np.array(
                [[self._cut(m, g, rank, over) for g in self.generators] for rank, over in places]
            )
            hover[m] = [[self._words(m, g, rank) for g in self.generators] for rank, _ in places]
        return frames, hover, dict.fromkeys(frames, names)

    def _cut(self, m: str, generator: str, rank: int, overlaid: bool = False) -> Pictures:
        """One patch as a square picture; black where the map is not active."""
        row = self.found[m, generator, rank]
        if row.box is None or not overlaid:
            return pixels.thumbnail(row.path, row.box, self.cell, self.preprocessing)
        picture = self.preprocessing.cut(data.read(row.path)).permute(1, 2, 0).numpy()
        picture = pixels.overlay(picture[None], pixels.heat(pixels.in_place(row.patch)[None]))[0]
        return pixels.enlarge(picture, row.box, self.cell)

    def _words(self, m: str, generator: str, rank: int) -> str:
        row = self.found[m, generator, rank]
        where = "not active"
        if row.box is not None:
            top, left, bottom, right = row.box
            where = f"rows {top}-{bottom - 1}, columns {left}-{right - 1}"
        strongest = f"{generator_name(generator)}, rank {rank + 1}: activation {row.activation:.2f}"
        return f"{m}<br>{strongest}<br>{where}"


def looks(
    found: Mapping[str, Sequence[explorer.Look]],
) -> tuple[dict[str, Pictures], dict[str, list[list[str]]], dict[str, list[str]]]:
    """A frame for each map: pictures, the map's relevance in them, and its patches, below one another."""
    rows = ["picture", "relevance", "patch"]
    return (
        {name: explorer.rows(own) for name, own in found.items()},
        {name: [[look.words() for look in own]] * len(rows) for name, own in found.items()},
        dict.fromkeys(found, rows),
    )


def through(
    found: Sequence[concepts.Beside],
    generators: Sequence[str],
    preprocessing: data.Preprocessing,
    cell: int = 64,
) -> tuple[dict[str, Pictures], dict[str, list[list[str]]], dict[str, list[str]]]:
    """A frame for each map: its strongest fake of every generator, and what runs through the map there.

    Rows are the picture, the relevance of the answer over all ways, the part of it through the map, and the
    LRP-max patch; columns are generators. Cells, hover texts, names of rows.
    """
    rows = ["picture", "relevance", "through<br>the map", "patch"]
    place = {(one.map, one.generator): one for one in found}
    frames: dict[str, Pictures] = {}
    hover: dict[str, list[list[str]]] = {}
    for m in dict.fromkeys(one.map for one in found):
        own = [place[m, generator] for generator in generators]
        frames[m] = np.stack([_through(one, preprocessing, cell) for one in own], axis=1)
        hover[m] = [[_passing(one) for one in own]] * len(rows)
    return frames, hover, dict.fromkeys(frames, rows)


def _through(one: concepts.Beside, preprocessing: data.Preprocessing, cell: int) -> Pictures:
    picture = preprocessing.cut(data.read(one.row.path)).permute(1, 2, 0).numpy()
    light = pixels.overlay(np.stack([picture] * 2), pixels.heat(torch.stack([one.whole, one.through])))
    whole = (0, 0, *picture.shape[:2])
    drawn = [pixels.enlarge(each, whole, cell) for each in (picture, *light)]
    return np.stack([*drawn, pixels.thumbnail(one.row.path, one.row.box, cell, preprocessing)])


def _passing(one: concepts.Beside) -> str:
    told = f"{generator_name(one.generator)}: {100 * one.share:.1f} % of the relevance arrives at the map"
    if one.inside is None or one.area is None:
        return f"{one.map}<br>{told}<br>no patch"
    return (
        f"{one.map}<br>{told}<br>{100 * one.inside:.0f} % of what passes it lies in the patch, "
        f"{100 * one.area:.0f} % of the picture"
    )
