"""Heatmaps of several networks on the same pictures, and the numbers that compare them.

The objects are known where a program drew a picture's scene: there a heatmap's share on objects is measured,
by generator, label and kind of scene. On all pictures, heatmaps are compared with each other.

Source: paper, section 3 (by eye); the classifier and the untrained network as controls, after Adebayo et al.
2018, and all numbers are additions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tff_core import detectors, lrp, metrics
from tff_core.features import pixels
from tff_core.miniature import scenes
from tff_core.miniature.sample import layouts, things
from tff_core.pictures import data
from tff_core.store.results import Store

Floats = NDArray[np.float64]
CONTRAST = "detector - classifier"
EDGES = "edges"
"""The heatmap that needs no network: the strength of the picture's edges."""
_COLUMNS = [
    "generator", "label", "method", "model", "seed", "share", "area", "ratio", "value", "low", "high",
    "seeds", "covers", "n", "empty",
]  # fmt: skip


class Network(NamedTuple):
    """A network to be explained: the model, its copy for relevance, and its preprocessing."""

    model: nn.Module
    net: lrp.Net
    preprocessing: data.Preprocessing

    @classmethod
    def of(cls, model: nn.Module, preprocessing: data.Preprocessing) -> Network:
        """The network with its copy. Raises what `lrp.canonize` raises."""
        return cls(model, lrp.canonize(model, bounds=preprocessing.bounds), preprocessing)


class Classifier(NamedTuple):
    """The classifier that a detector is compared with; ``model`` is None where ``absent`` says why."""

    model: nn.Module | None
    trained: detectors.Detector | None = None  # a scene classifier with its training record
    absent: str = ""


def classifier(name: str, arch: str, store: Store, device: torch.device | str) -> Classifier:
    """The classifier called ``name``; "" or "imagenet" is ImageNet's, where its weights are on the machine.

    Nothing is downloaded. Missing ImageNet weights are no error: the result says so.
    """
    if name not in ("", "imagenet"):
        trained = detectors.load(name, 0, store, device)
        return Classifier(trained.model, trained)
    try:
        return Classifier(detectors.imagenet(arch).to(device))
    except (FileNotFoundError, ValueError) as error:
        return Classifier(None, absent=str(error))


@dataclass(frozen=True)
class Subject:
    """Pictures of one generator, what is known of their scenes, and which of them are measured or shown.

    ``masks``: the objects of each picture, (H, W) as the network sees it, None where they are not
    known; ``kinds``: the class of its scene, or None. ``measured``: pictures with an object that is not the
    whole picture; ``shown``: four, two fakes and two reals at fixed places of the folder.
    """

    images: data.ImageSet
    masks: tuple[NDArray[np.bool_] | None, ...]
    kinds: tuple[str | None, ...]
    measured: tuple[int, ...]
    shown: tuple[int, ...]

    @property
    def needed(self) -> list[int]:
        """All pictures that are measured or shown."""
        return sorted({*self.measured, *self.shown})

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Where the objects of a measured picture are."""
        found = self.masks[i]
        assert found is not None
        return found


def subject(images: data.ImageSet, preprocessing: data.Preprocessing) -> Subject:
    """Look up what is known of the scenes behind pictures that a network sees with this preprocessing."""
    behind = layouts(images)
    masks = tuple(None if scene is None else _seen(things(scene), preprocessing) for scene in behind)
    measured = [i for i, mask in enumerate(masks) if mask is not None and 0 < mask.mean() < 1]
    shown: list[int] = []
    for label, places in ((1, (0, 0.5)), (0, (0.25, 0.75))):
        every = [i for i in range(len(images)) if images.labels[i] == label]
        known = [i for i in measured if images.labels[i] == label] or every
        shown += [known[int(place * len(known))] for place in places]
    kinds = tuple(None if scene is None else scene.label for scene in behind)
    return Subject(images, masks, kinds, tuple(measured), tuple(shown))


def _seen(mask: NDArray[np.bool_], preprocessing: data.Preprocessing) -> NDArray[np.bool_]:
    whole = torch.from_numpy(255 * mask.astype(np.uint8))[None]
    return preprocessing.cut(whole)[0].numpy() > 127


Explain = Callable[[nn.Module, lrp.Net, Tensor], Mapping[str, Floats]]
"""The heatmaps (N, H, W) of a network on pictures (N, 3, H, W), by method."""


class Heatmaps:
    """Heatmaps by generator, method, network, training seed and picture."""

    def __init__(self, subjects: Mapping[str, Subject]) -> None:
        self.subjects = dict(subjects)
        self._maps: dict[tuple[str, str, str, int], dict[int, Floats]] = {}

    @classmethod
    def collect(
        cls,
        subjects: Mapping[str, Subject],
        networks: Mapping[tuple[str, int], Network],
        explain: Explain,
        device: torch.device | str = "cpu",
    ) -> Heatmaps:
        """Explain every picture that is measured or shown, by every network; and draw its edges.

        ``networks`` by name and training seed. One batch is in memory at a time.
        """
        found = cls(subjects)
        for generator, own in subjects.items():
            needed = own.needed
            some = own.images.take(needed)
            for (name, seed), network in networks.items():
                batches = data.batches(some, device=device, preprocessing=network.preprocessing)
                for x, _, index in batches:
                    for method, maps in explain(network.model, network.net, x).items():
                        places = found._maps.setdefault((generator, method, name, seed), {})
                        places.update(zip([needed[i] for i in index], maps, strict=True))
            wanted = next(iter(networks.values())).preprocessing  # they differ in colours alone
            found._maps[generator, EDGES, EDGES, 0] = {
                i: pixels.edges(data.load(own.images.take([i]), wanted))[0] for i in needed
            }
        return found

    @property
    def methods(self) -> list[str]:
        """The methods of explanation, without the edges."""
        return [method for method in dict.fromkeys(key[1] for key in self._maps) if method != EDGES]

    @property
    def networks(self) -> list[tuple[str, int]]:
        """Networks and their training seeds, without the edges."""
        return [key for key in dict.fromkeys(key[2:] for key in self._maps) if key[0] != EDGES]

    def of(self, generator: str, method: str, name: str, seed: int) -> dict[int, Floats]:
        """Heatmaps of one network on a generator's pictures, by the number of the picture."""
        return self._maps[generator, EDGES if name == EDGES else method, name, seed]

    def on_objects(
        self, pictures: Sequence[tuple[str, int]], method: str, names: Iterable[tuple[str, int]]
    ) -> tuple[dict[str, dict[int, Floats]], Floats]:
        """Share of relevance on the objects of measured pictures, by network and seed, and their area.

        ``pictures``: generator and number of each. As `pixels.share_on`.
        """
        inside = np.stack([self.subjects[g].mask(i) for g, i in pictures])
        shares: dict[str, dict[int, Floats]] = {}
        for name, seed in names:
            maps = np.stack([self.of(g, method, name, seed)[i] for g, i in pictures])
            shares.setdefault(name, {})[seed], area = pixels.share_on(maps, inside)
        return shares, area


def focus(heat: Heatmaps) -> pd.DataFrame:
    """Share of relevance on objects over their area, by generator, method, label and network.

    Columns ``generator, label`` ("all", "real", "fake"), ``method`` and those of `pixels.focus`; the
    difference of detector and classifier is in the rows of all labels. A generator whose pictures have no
    segmentation keeps a row of that difference for each method, with n = 0 and no number.
    """
    tables = []
    for generator, own in heat.subjects.items():
        if not own.measured:
            empty = {"model": [CONTRAST], "seed": ["all"], "n": [0], "label": ["all"]}
            tables += [pd.DataFrame(empty).assign(generator=generator, method=m) for m in heat.methods]
            continue
        fake = np.array([own.images.labels[i] for i in own.measured]) == 1
        pictures = [(generator, i) for i in own.measured]
        for method in (*heat.methods, EDGES):
            names = [(EDGES, 0)] if method == EDGES else heat.networks
            shares, area = heat.on_objects(pictures, method, names)
            for label, kept in (("all", fake | True), ("real", ~fake), ("fake", fake)):
                if kept.any():
                    some = {name: {s: v[kept] for s, v in seeds.items()} for name, seeds in shares.items()}
                    contrast = ("detector", "classifier") if label == "all" else ("", "")
                    found = pixels.focus(some, area[kept], contrast)
                    tables.append(found.assign(generator=generator, method=method, label=label))
    # without any segmentation there would be no column for the numbers
    return pd.concat(tables, ignore_index=True).reindex(columns=_COLUMNS)


def by_scene(heat: Heatmaps) -> pd.DataFrame:
    """The same over all generators, by class of scene: one row per class, method and network.

    Columns ``kind, method, model, value, low, high, area, n``; no row where no picture has a segmentation.
    """
    rows = []
    for kind in scenes.CLASSES:
        pictures = [(g, i) for g, own in heat.subjects.items() for i in own.measured if own.kinds[i] == kind]
        for method in heat.methods if pictures else ():
            shares, area = heat.on_objects(pictures, method, [*heat.networks, (EDGES, 0)])
            found = pixels.focus(shares, area, ("", "")).query("seed == 'all'")
            numbers = found[["model", "value", "low", "high"]]
            rows.append(numbers.assign(kind=kind, method=method, area=area.mean(), n=len(pictures)))
    columns = ["kind", "method", "model", "value", "low", "high", "area", "n"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def likeness(
    heat: Heatmaps, seed: int, others: Mapping[str, Sequence[tuple[str, int]]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How similarly the detector's heatmaps and those of others rank the pixels: by generator, and over all.

    ``others``: what they are compared with, by name: networks and their seeds, or the edges. Rank
    correlations, see `pixels.likeness`; pictures with an empty heatmap are left out.

    Two tables with ``method, other, value, low, high, n``, the first with ``generator``; intervals are over
    pictures, and missing where there is none.
    """
    single, pooled = [], []
    for method in heat.methods:
        for words, networks in others.items():
            every = []
            for generator in heat.subjects:
                one = heat.of(generator, method, "detector", seed)
                found = [
                    pixels.likeness([one[i]], [heat.of(generator, method, *network)[i]])[0]
                    for network in networks
                    for i in one
                ]
                values = np.array([value for value in found if np.isfinite(value)])
                every.append(values)
                row = {"generator": generator, "method": method, "other": words}
                single.append(row | _mean(values))
            pooled.append({"method": method, "other": words} | _mean(np.concatenate(every)))
    return pd.DataFrame(single), pd.DataFrame(pooled)


def _mean(values: Floats) -> dict[str, float]:
    if not len(values):
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    low, high = metrics.percentiles(metrics.resampled_means(values), metrics.LEVEL)
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}
