"""Does an explanation know what the labels were? Detectors that have learnt labels in random order.

The second test of Adebayo et al. (Sanity checks for saliency maps, NeurIPS 2018): a network is trained on
pictures whose labels were shuffled. It can only learn them by heart, and what it looks at should have little
to do with what a network looks at that has learnt real from fake. Here each pair of the two starts from the
same weights, sees the same pictures in the same order, as often, and differs in nothing but the labels. What
two such networks have in common is compared with what two networks of the true labels have, and with what a
network has in common with its own start.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from tff_core import detectors, intervals
from tff_core.detectors import training
from tff_core.exam import pooling, similarity
from tff_core.exam.dependence import AGAIN, OMEGA
from tff_core.exam.randomization import METHODS, Look, look
from tff_core.features import pixels
from tff_core.pictures import data
from tff_core.store.results import atomic_write

Floats = NDArray[np.float64]
TRUE, SHUFFLED, UNTRAINED = "true labels", "shuffled labels", "untrained"
"""What a network has learnt."""


def shuffle(images: data.ImageSet, seed: int) -> data.ImageSet:
    """The same pictures with their labels in random order; as many of each label as before.

    ValueError where all have one label: no order is another then.
    """
    labels = np.array(images.labels)
    if len(set(images.labels)) < 2:
        raise ValueError(f"{len(labels)} pictures of one label: expected reals and fakes, to shuffle")
    mixed = np.random.default_rng([seed, 2]).permutation(labels)
    return replace(images, labels=tuple(mixed.tolist()))


def train(
    spec: detectors.Spec,
    images: data.ImageSet,
    seed: int,
    settings: training.Config,
    device: str | torch.device = "cpu",
    pictures: torch.Tensor | None = None,
) -> dict[str, nn.Module]:
    """Three networks with one start: trained with the true labels, with shuffled ones, and untrained.

    ``pictures`` (N, 3, H, W), normalised, are those that the batch normalisations of the untrained one take
    their statistics from (by default the training pictures). Raises what `training.fit` raises.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = detectors.build(spec.arch)
    if pictures is None:
        pictures = data.normalize(data.load(images, spec.preprocessing), spec.preprocessing)
    return {
        TRUE: training.fit(spec, images, seed, settings, device),
        SHUFFLED: training.fit(spec, shuffle(images, seed), seed, settings, device),
        UNTRAINED: pixels.with_norms_of(start, pictures.to(device)),
    }


def right(
    model: nn.Module, images: data.ImageSet, preprocessing: data.Preprocessing, device: torch.device | str
) -> float:
    """The share of pictures whose label, as they carry it here, the network gives at a logit of 0."""
    scores = detectors.logits(model, data.batches(images, device=device, preprocessing=preprocessing))
    return float(np.mean((scores > 0) == (np.array(images.labels) == 1)))


def looks(networks: Mapping[str, nn.Module], x: torch.Tensor, bounds: tuple[float, float]) -> dict[str, Look]:
    """What each network looks at, see `randomization.look`."""
    return {name: look(model, x, bounds) for name, model in networks.items()}


def write(
    path: Path, found: Mapping[str, Look], sizes: Mapping[str, int], facts: Mapping[str, float]
) -> None:
    """Keep the looks of a seed's networks, with the channels of their layers and some numbers about them."""
    arrays: dict[str, NDArray[Any]] = {
        "layers": np.array(list(sizes)),
        "channels": np.array([*sizes.values()]),
    }
    for name, one in found.items():
        arrays[f"{name}/shares"] = one.shares
        arrays |= {f"{name}/{method}": maps.astype(np.float32) for method, maps in one.heatmaps.items()}
    arrays |= {f"fact/{name}": np.array(value) for name, value in facts.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    with atomic_write(path) as part:
        part.write_bytes(buffer.getvalue())


def read(path: Path) -> tuple[dict[str, Look], dict[str, int], dict[str, float]]:
    """What `write` kept. FileNotFoundError where there is nothing, ValueError where it is something else."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            sizes = dict(zip(kept["layers"].tolist(), kept["channels"].tolist(), strict=True))
            facts = {key.partition("/")[2]: float(kept[key]) for key in kept if key.startswith("fact/")}
            found = {
                name: Look(
                    {method: kept[f"{name}/{method}"].astype(np.float64) for method in METHODS},
                    kept[f"{name}/shares"],
                )
                for name in (TRUE, SHUFFLED, UNTRAINED)
            }
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path} cannot be read ({error}): expected what networks of {SHUFFLED} look at; delete it, and "
            "it is made again"
        ) from error
    return found, sizes, facts


def compare(
    seeds: Sequence[Mapping[str, Look]], sizes: Mapping[str, int], k: int, resamples: int = 100, seed: int = 0
) -> pd.DataFrame:
    """How alike explanations of networks are that have learnt different things, over pairs of networks.

    Args:
        seeds: of each training seed the looks of its networks, by `TRUE`, `SHUFFLED` and `UNTRAINED`.
        sizes: channels of each layer.
        k: how many maps count as top.
        resamples: of the pictures, behind omega.

    Returns:
        Rows ``pair`` ("true labels, shuffled labels" and the like: of one seed, with one start; "true labels,
        trained again": of two seeds, each with its own), ``explanation`` (a method, or "omega"), ``measure``,
        and the numbers of `pooling`, in which the pairs take the place of the seeds. ValueError without
        a seed.
    """
    if not seeds:
        raise ValueError("no training seed: expected the networks of one or more")
    kinds = {
        f"{TRUE}, {SHUFFLED}": [(one[TRUE], one[SHUFFLED]) for one in seeds],
        f"{TRUE}, {UNTRAINED}": [(one[TRUE], one[UNTRAINED]) for one in seeds],
        f"{SHUFFLED}, {UNTRAINED}": [(one[SHUFFLED], one[UNTRAINED]) for one in seeds],
        f"{TRUE}, {AGAIN}": [(a[TRUE], b[TRUE]) for a, b in combinations(seeds, 2)],
    }
    rows: list[dict[str, Any]] = []
    for pair, some in kinds.items():
        for name in METHODS if some else ():
            each = [similarity.heatmaps(a.heatmaps[name], b.heatmaps[name]) for a, b in some]
            for measure in each[0]:
                numbers = pooling.over_pictures([one[measure] for one in each], intervals.DIFFERENCE)
                rows.append({"pair": pair, "explanation": name, "measure": measure} | numbers)
        found = [similarity.omegas(a.shares, b.shares, sizes, k, None, resamples, seed) for a, b in some]
        for measure in found[0] if found else ():
            points, drawn = zip(*(one[measure] for one in found), strict=True)
            numbers = pooling.over_seeds(
                points, np.stack(drawn, 1), len(some[0][0].shares), intervals.DIFFERENCE
            )
            rows.append({"pair": pair, "explanation": OMEGA, "measure": measure} | numbers)
    return pd.DataFrame(rows)[["pair", "explanation", "measure", *pooling.NUMBERS]]
