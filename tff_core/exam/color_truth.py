"""Are the paper's tests of colour right? Each is put to detectors of which it is known where their trace is.

Claims C5 to C8 of the paper come from four tests: how colourful the patches of the top maps are, what is left
of the fake probability in gray, how many of the top maps respond to colour, what training on gray pictures
restores. Here each test gets a detector whose trace was planted in luma or in chroma, and is to say "colour"
when and only when it is in chroma. The tests are the book's own functions; `confusion` says by which rule
their numbers say it, and how often they are right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tff_core import metrics
from tff_core.exam.known import PREPROCESSING, Known, judged
from tff_core.exam.planting import Planted
from tff_core.features import color_ablation, color_conditional, color_robust, ffrs, patches
from tff_core.pictures import data

Floats = NDArray[np.float64]
_MATCHED = "top-k - matched-k"
RANKS = 3  # pictures of each map that are looked at for C5, as in the book
_GRAY = "p >= 0.2"  # the paper's pictures for C6


def ask(
    known: Known,
    robust: Known,
    pictures: Planted,
    ranking: ffrs.Omega,
    draws: int = 4,
    n: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """What the four tests measure of one detector: rows ``test, part, value, low, high, border, n``.

    ``robust`` is its twin, trained with some pictures in gray, ``ranking`` its omega. A test says "colour"
    where its whole interval lies above the border; C7 has two parts. The 95 % intervals are the book's own,
    for one detector: over maps (C5) or pictures. ``n`` counts these.
    """
    k = known.recipe.k
    maps = {"top-k": [ranking.top(k)], "matched-k": [ranking.matched(k, seed + i) for i in range(draws)]}
    by_patches, in_gray = _patches(known, pictures, maps, n, seed), _gray(known, pictures, n, seed)
    restored = _robust(known, robust, pictures, n, seed)
    rows = [
        {"test": "C5", "part": "top-k minus layer-matched", **by_patches},
        {"test": "C6", "part": "median in colour minus in gray", **in_gray},
        *({"test": "C7", **row} for row in _maps(known, pictures, maps, seed)),
        {"test": "C8", "part": "colour-robust minus universal, in gray", **restored},
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _patches(
    known: Known, pictures: Planted, maps: dict[str, list[Any]], n: int, seed: int
) -> dict[str, Any]:
    group = {m: name for name, sets in maps.items() for m in sets[0]}
    with tempfile.TemporaryDirectory() as folder:
        images = _on_disk(pictures.marked, Path(folder))
        found = patches.find(
            known.net, images, list(group), RANKS, device=known.device, preprocessing=PREPROCESSING
        )
        found = patches.measure(found, PREPROCESSING)
    found = found.assign(seed=0, group=found["map"].map({str(m): name for m, name in group.items()}))
    partners = {0: patches.pairs(maps["top-k"][0], maps["matched-k"][0])}
    rows = patches.chroma_table(found, partners, n, seed=seed)
    row: Any = rows[(rows["group"] == _MATCHED) & (rows["seed"] == "all")].iloc[0]
    return _numbers(row["value"], row["low"], row["high"], row["n_maps"])


def _numbers(value: Any, low: Any, high: Any, n: Any, border: float = 0.0) -> dict[str, Any]:
    return {"value": float(value), "low": float(low), "high": float(high), "border": border, "n": int(n)}


def _on_disk(pixels: Tensor, folder: Path) -> data.ImageSet:
    """The pictures as a folder of fakes, which is what LRP-max patches are searched in."""
    paths = []
    for i, picture in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        paths.append(folder / f"{i:05d}.png")
        Image.fromarray(picture).save(paths[-1])
    return data.ImageSet(folder, tuple(paths), (1,) * len(paths), ("",) * len(paths))


def _probability(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def _gray(known: Known, pictures: Planted, n: int, seed: int) -> dict[str, Any]:
    color, gray = (known.logits(p) for p in (pictures.marked, data.grayscale(pictures.marked)))
    table = color_ablation.ablation(
        _probability(color), _probability(gray), np.ones(len(color)), n=n, seed=seed
    )
    row: Any = table[(table["label"] == "fake") & (table["filter"] == _GRAY)].iloc[0]
    return _numbers(row["drop"], row["low"], row["high"], row["n"])


def _maps(known: Known, pictures: Planted, maps: dict[str, list[Any]], seed: int) -> Iterator[dict[str, Any]]:
    color, gray = (
        [known.seen(part) for part in some.split(50)]
        for some in (pictures.marked, data.grayscale(pictures.marked))
    )
    found = color_conditional.sample(known.net, color, gray, maps)
    table = color_conditional.contrast([found], seed=seed).set_index("contrast")
    for name, part, border in (
        (_MATCHED, "share of the top-k minus layer-matched", 0.0),
        ("top-k", "the top-k's own", 0.5),
    ):
        row: Any = table.loc[name]
        yield {"part": part, **_numbers(row["delta"], row["low"], row["high"], row["n"], border)}


def _robust(known: Known, robust: Known, pictures: Planted, n: int, seed: int) -> dict[str, Any]:
    gray = Planted(
        data.grayscale(pictures.bare), data.grayscale(pictures.marked), pictures.where, pictures.traces, 0.0
    )
    scores = {}
    for name, one in (("universal", known), ("robust", robust)):
        labels, color = judged(one, pictures)
        scores[name] = {"color": {0: color}, "gray": {0: judged(one, gray)[1]}}
    table = color_robust.robustness(labels, scores["universal"], scores["robust"], n, seed=seed)
    table = table[(table["model"] == "difference") & (table["seed"] == "all")]
    row: Any = table[table["input"] == "gray"].iloc[0]
    return _numbers(row["ap"], row["ap_low"], row["ap_high"], len(labels))
