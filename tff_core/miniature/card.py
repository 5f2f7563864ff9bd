"""Numbers for the data card: the models that ship, and how fakes differ from reals in simple statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tff_core import metrics
from tff_core.miniature import camera, generators, scenes
from tff_core.miniature.learning import HISTORY, over_seeds
from tff_core.miniature.learning import histories as learned
from tff_core.pictures import data, photographs
from tff_core.pictures.statistics import details, measure
from tff_core.store.results import read_json

UPSAMPLING = {
    "progan": "nearest neighbour",
    "stylegan2": "transposed convolution and FIR filter",
    "stylegan": "nearest neighbour and blur",
    "biggan": "nearest neighbour, residual",
    "cyclegan": "transposed convolution, kernel 3",
    "stargan": "transposed convolution, kernel 4",
    "gaugan": "nearest neighbour, SPADE",
}
SOURCE = {
    **dict.fromkeys(("progan", "stylegan2", "stylegan", "biggan"), "two scenes, encoded and blended"),
    **dict.fromkeys(("cyclegan", "stargan"), "one scene, its light changed"),
    "gaugan": "a segmentation map and a coarse code",
}


def models() -> pd.DataFrame:
    """One row per file of weights: its generator, the parts it is used in, how it was made, its size."""
    rows = []
    for family in generators.FAMILIES:
        parts: dict[str, list[str]] = {}
        for part, names in generators.SHIPPED[family].items():
            for name in names:
                parts.setdefault(name, []).append(part)
        for name, used in parts.items():
            path = generators.WEIGHTS / name
            model, info = generators.load(path)
            rows.append(
                {
                    "generator": family,
                    "model": path.stem,
                    "parts": ", ".join(used),
                    "upsampling": UPSAMPLING[family],
                    "made from": SOURCE[family],
                    "seed": info["seed"],
                    "steps": info["steps"],
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "kilobytes": round(path.stat().st_size / 1000),
                    "command": str(info["command"]),
                }
            )
    return pd.DataFrame(rows)


def histories() -> pd.DataFrame:
    """How the fakes of each family came closer to reals: a table for `figures.training_statistics`.

    From the histories beside the weights, all seeds of a family in one row.
    """
    names = {name for parts in generators.SHIPPED.values() for some in parts.values() for name in some}
    paths = sorted(generators.WEIGHTS / (Path(name).stem + HISTORY) for name in names)
    return over_seeds(learned([path for path in paths if path.is_file()]))


def separations(reals: NDArray[np.uint8], fakes: NDArray[np.uint8]) -> pd.DataFrame:
    """How well one number per picture already tells fakes from reals: one row for each of `details`.

    ``auc`` is the share of (fake, real) pairs in which the fake has the larger value: 0.5 means no
    separation.
    """
    real, fake = details(reals), details(fakes)
    labels = np.r_[np.zeros(len(reals)), np.ones(len(fakes))]
    return pd.DataFrame(
        {
            "statistic": name,
            "real": float(np.median(real[name])),
            "fake": float(np.median(fake[name])),
            "auc": float(roc_auc_score(labels, np.r_[real[name], fake[name]])),
            "n_real": len(reals),
            "n_fake": len(fakes),
        }
        for name in real
    )


def compare(pictures: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> pd.DataFrame:
    """``separations`` of every generator's (reals, fakes), with a column ``generator`` in front."""
    tables = [separations(*pair).assign(generator=name) for name, pair in pictures.items()]
    table = pd.concat(tables, ignore_index=True)
    return table[["generator", *(column for column in table if column != "generator")]]


def likeness(sets: Mapping[str, Sequence[NDArray[np.uint8]]]) -> pd.DataFrame:
    """Every statistic of `measure` for sets of pictures: set, statistic, mean, low, high, spread, groups, n.

    A set is a sequence of groups (N, H, W, 3) whose pictures have something in common, such as the crops of
    one photograph. ``mean`` is that of the groups' means, between ``low`` and ``high`` the percentile
    bootstrap's 95 % interval over groups; ``spread`` is the standard deviation over all ``n`` pictures.
    """
    rows = []
    for name, groups in sets.items():
        found = [measure(group) for group in groups]
        for statistic in found[0]:
            means = np.array([values[statistic].mean() for values in found])
            pictures = np.concatenate([values[statistic] for values in found])
            low, high = metrics.percentiles(metrics.resampled_means(means))
            rows.append(
                {
                    "set": name,
                    "statistic": statistic,
                    "mean": float(means.mean()),
                    "low": low,
                    "high": high,
                    "spread": float(pictures.std()),
                    "groups": len(found),
                    "n": len(pictures),
                }
            )
    return pd.DataFrame(rows)


def cameras(count: int = 40, size: int = 64) -> pd.DataFrame:
    """`likeness` of the installed photographs (set "photographs") and of every camera (by its name).

    ``count`` crops of each photograph, and as many scenes of each class for each camera; the scenes are not
    those that the cameras were chosen on, and in no other set of pictures.
    """
    sets: dict[str, list[NDArray[np.uint8]]] = {}
    if found := list(photographs.crops(count, size).values()):
        sets["photographs"] = found
    for by in camera.CAMERAS.values():
        names = [(label, index) for label in scenes.CLASSES for index in range(count)]
        sets[by.name] = [camera.take("val", *name, size=size, camera=by).pixels[None] for name in names]
    return likeness(sets)


def parts(folders: Mapping[tuple[str, str], Path]) -> pd.DataFrame:
    """Pictures of the existing folders, by part and generator: part, generator, reals, fakes, models.

    Read from their manifests; ``models`` is the number of trained generators that made the fakes.
    """
    rows = []
    for (part, generator), folder in folders.items():
        if not (folder / data.MANIFEST).is_file():
            continue
        manifest = read_json(folder / data.MANIFEST)
        row = {"part": part, "generator": generator}
        row |= {"reals": manifest["counts"]["real"], "fakes": manifest["counts"]["fake"]}
        rows.append(row | {"models": len(manifest["config"]["weights"])})
    return pd.DataFrame(rows, columns=["part", "generator", "reals", "fakes", "models"])
