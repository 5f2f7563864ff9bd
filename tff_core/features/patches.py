"""LRP-max patches as a table, and how colourful they are compared with those of other maps and places.

Source: paper, section 4 and supplementary (LRP-max response patches), where colour is judged by eye. The
number, its two controls and the intervals are additions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from tff_core import intervals, lrp, metrics
from tff_core.features import color_exchange, maxima
from tff_core.features.names import FeatureMap
from tff_core.pictures import data
from tff_core.store.checkpoint import Checkpoint

ANYWHERE = "any place"
"""The control for the place: boxes of the same size, everywhere in the same pictures."""
GROUPS = ("top-k", "matched-k", ANYWHERE)
Box = tuple[int, int, int, int]


def find(
    net: lrp.Net,
    images: data.ImageSet,
    maps: Sequence[FeatureMap],
    top: int = 3,
    *,
    keep: Collection[FeatureMap] = (),
    device: str | torch.device = "cpu",
    batch_size: int = 50,
    preprocessing: data.Preprocessing = data.IMAGENET,
    checkpoint: Path | None = None,
    best: maxima.Maxima | None = None,
) -> pd.DataFrame:
    """Where each map is most active, and the patch that it sees there; one row per map and rank.

    One pass over the pictures finds the positions of all maps; relevance is computed at these alone.

    Parameters
    ----------
    net: from `lrp.canonize`.
    images: the pictures to search.
    maps: feature maps of ``net``.
    top: how many pictures of each map; fewer where there are fewer.
    keep: maps whose `maxima.Patch`, with its relevance, stays in the column ``patch``.
    preprocessing: the network's preprocessing; boxes are positions in the preprocessed picture.
    checkpoint: file for the positions found so far, from which an interrupted search continues, bit for bit;
        the caller deletes it once the table is saved.
    best: positions that were found already, in `data.batches` of these pictures; by relevance, for example,
        from `relmax.relevance_max`. Nothing is searched then, and ``maps`` and ``top`` are theirs.

    Returns
    -------
    Columns ``map`` (name), ``rank`` (0 is the strongest), ``activation`` (after batch normalisation, or the
    value of ``best``),
    ``row``, ``col`` (in the map), ``box`` (top, left, bottom, right in the picture; None where the map has no
    relevance), ``path`` and ``patch``.

    Raises ValueError as `maxima.activation_max`.
    """
    if best is not None:
        assert isinstance(best.batches, data.Batches)
        return _patches(net, images, best, best.batches, keep)
    batches = data.batches(images, batch_size, device=device, preprocessing=preprocessing)
    begun = None
    if checkpoint is not None:
        shown = [data.content_hash(images), batch_size, repr(preprocessing)]
        wanted = [[str(m) for m in maps], top]
        begun = Checkpoint(checkpoint, [net.fingerprint(), shown, wanted, str(device), torch.__version__])
    best = maxima.activation_max(net, batches, maps, top=top, checkpoint=begun)
    return _patches(net, images, best, batches, keep)


def _patches(
    net: lrp.Net,
    images: data.ImageSet,
    best: maxima.Maxima,
    batches: data.Batches,
    keep: Collection[FeatureMap],
) -> pd.DataFrame:
    order = batches.order  # a batch holds pictures of one size
    kept = set(keep)
    rows = []
    for patch, row, col in zip(maxima.lrp_max(net, best), best.row.ravel(), best.col.ravel(), strict=True):
        own: dict[str, Any] = {"map": str(patch.map), "rank": patch.rank, "activation": patch.value}
        own |= {"row": int(row), "col": int(col), "box": patch.window()}
        own |= {"path": images.paths[order[patch.image]], "patch": patch if patch.map in kept else None}
        rows.append(own)
    return pd.DataFrame(rows)


def tidy(found: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The table as it is stored: boxes as text of four numbers, paths relative to ``root``, no relevance."""
    boxes = ["" if box is None else " ".join(map(str, box)) for box in found["box"]]
    paths = [path.relative_to(root).as_posix() for path in found["path"]]
    return found.assign(box=boxes, path=paths).drop(columns="patch")


def strongest(found: pd.DataFrame, generators: Sequence[str]) -> dict[str, list[Any]]:
    """Each map's strongest patch in the pictures of each generator, as rows of `find`, in the given order."""
    first = found[found["rank"] == 0]
    place = {(row.map, row.generator): row for row in first.itertuples()}
    return {name: [place[name, g] for g in generators] for name in dict.fromkeys(first["map"])}


# ------------------------------------------------------------------------------------------------- chroma


def anywhere(chroma: NDArray[np.float64], size: tuple[int, int]) -> float:
    """Mean of ``chroma`` (H, W) in a box of ``size`` (height, width), over all positions of the box.

    Not the mean of the picture: boxes at all positions cover the middle more often than the rim.
    """
    height, width = size
    sums = np.pad(chroma, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return float(inside.mean() / (height * width))


def measure(found: pd.DataFrame, preprocessing: data.Preprocessing = data.IMAGENET) -> pd.DataFrame:
    """Each patch's chroma as a multiple of its picture's, and that of a box of its size at any place.

    ``preprocessing`` as for `find`. Adds the columns ``ratio`` and ``anywhere``, NaN where there is no patch
    or the picture has no colour. Chroma is the length of (Cb, Cr), see `color_exchange.ycbcr`.
    """
    known: dict[Path, NDArray[np.float64]] = {}
    ratios, places = [], []
    for path, box in zip(found["path"], found["box"], strict=True):
        if path not in known:
            known[path] = (
                color_exchange.ycbcr(preprocessing.cut(data.read(path))[None])[0, 1:].norm(dim=0).numpy()
            )
        chroma = known[path]
        whole = float(chroma.mean())
        if box is None or whole <= 1e-6:  # below rounding error
            ratios.append(np.nan)
            places.append(np.nan)
            continue
        top, left, bottom, right = box
        ratios.append(float(chroma[top:bottom, left:right].mean()) / whole)
        places.append(anywhere(chroma, (bottom - top, right - left)) / whole)
    return found.assign(ratio=ratios, anywhere=places)


def pairs(top: Iterable[FeatureMap], control: Iterable[FeatureMap]) -> list[tuple[FeatureMap, FeatureMap]]:
    """Each map of ``top`` paired with one of ``control`` from the same layer, each used once.

    In their order; where a layer has fewer in ``control`` the last ones of ``top`` have no partner.
    """
    waiting: dict[str, list[FeatureMap]] = {}
    for m in control:
        waiting.setdefault(m.layer, []).append(m)
    return [(m, waiting[m.layer].pop(0)) for m in top if waiting.get(m.layer)]


def chroma_table(
    measured: pd.DataFrame,
    partners: dict[int, list[tuple[FeatureMap, FeatureMap]]],
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """How colourful the patches of one generator's pictures are, group by group, with intervals over maps.

    Parameters
    ----------
    measured: rows of `measure`, with columns ``seed`` (of the detector) and ``group`` ("top-k", "matched-k").
    partners: for each detector seed the pairs of `pairs`.
    n, level, seed: bootstrap resamples, level of the interval, seed of the resamples.

    Returns
    -------
    Rows ``seed, group, value, low, high, seeds, covers, n_maps, n_patches``. A map's number is the mean over
    its patches, ``value`` the mean over maps. Groups: "top-k", "matched-k", "any place" (boxes of the top-k's
    sizes at all places of their pictures), "top-k - matched-k" (mean over pairs of maps of one layer), "top-k
    - any place" (mean over maps). Resamples draw maps, or pairs; rows with seed "all" are means over the
    detector seeds, with the interval of `tff_core.intervals`. Where no map has a patch, the numbers are
    missing.
    """
    found: dict[str, dict[int, tuple[NDArray[np.float64], int]]] = {}
    usable = measured.dropna(subset=["ratio"])
    for s in sorted({int(value) for value in usable["seed"]}):
        own = usable[usable["seed"] == s]
        means = own.groupby(["group", "map"])[["ratio", "anywhere"]].mean()
        counts = own["group"].value_counts()

        def of(group: str, column: str = "ratio", means: pd.DataFrame = means) -> dict[str, float]:
            here = means.index.get_level_values("group") == group
            return dict(zip(means.index[here].get_level_values("map"), means.loc[here, column], strict=True))

        top, control, place = of("top-k"), of("matched-k"), of("top-k", "anywhere")
        both = [(str(a), str(b)) for a, b in partners.get(s, []) if str(a) in top and str(b) in control]
        apart = [top[a] - control[b] for a, b in both]
        in_pairs = int(own["map"].isin([a for a, _ in both]).sum())
        many = int(counts.get("top-k", 0))
        for group, values, patches in (
            ("top-k", list(top.values()), many),
            ("matched-k", list(control.values()), int(counts.get("matched-k", 0))),
            (ANYWHERE, list(place.values()), many),
            ("top-k - matched-k", apart, in_pairs),
            (f"top-k - {ANYWHERE}", [top[m] - place[m] for m in top], many),
        ):
            found.setdefault(group, {})[s] = np.array(values), patches
    names = [*GROUPS, *(f"top-k - {other}" for other in GROUPS[1:])]
    rows = []
    for group in names:
        cases = {s: case for s, case in found.get(group, {}).items() if len(case[0])}
        drawn = [metrics.resampled_means(case[0], n, [seed, s]) for s, case in cases.items()]
        for (s, case), some in zip(cases.items(), drawn, strict=True):
            rows.append(_row(str(s), group, [case], [some], level))
        rows.append(_row("all", group, [*cases.values()], drawn, level))
    return pd.DataFrame(rows)


def _row(
    seed: str,
    group: str,
    cases: list[tuple[NDArray[np.float64], int]],
    drawn: list[NDArray[np.float64]],
    level: float,
) -> dict[str, Any]:
    pooled = intervals.Pooled(np.nan, np.nan, np.nan, 0)
    if cases:
        means = [values.mean() for values, _ in cases]
        pooled = intervals.over_seeds(means, np.stack(drawn, axis=1), level=level)
    counts = {"n_maps": sum(len(values) for values, _ in cases), "n_patches": sum(n for _, n in cases)}
    return {"seed": seed, "group": group, **pooled.columns("value"), **counts}
