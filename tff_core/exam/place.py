"""Does an explanation point at the trace? How much of a heatmap lies where the trace is known to be.

Two numbers for each picture, after Arras, Osman and Samek, CLEVR-XAI (Information Fusion 81, 2022):
*relevance mass accuracy* is the share of the positive relevance inside the place, *relevance rank accuracy*
the share of the K strongest pixels inside it, where K is the number of its pixels. A map that knows nothing
has the place's share of the picture's area in both, on average; edges, which need no detector, show what a
picture's own structure gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tff_core import intervals, metrics
from tff_core.exam import methods as registry
from tff_core.exam.known import PREPROCESSING, Known
from tff_core.features import pixels

Floats = NDArray[np.float64]
Explain = Callable[[Tensor], ArrayLike]
"""From normalised pictures (N, 3, H, W), called fake, to heatmaps (N, H, W): what speaks for a fake."""
MEASURES = ("mass", "rank")
ASKED = {
    "lrp": "lrp_zplus",
    "gradient": "gradient",
    "input_gradient": "input_x_gradient",
    "integrated": "integrated_gradients",
    "gradcam": "gradcam",
    "guided_gradcam": "guided_gradcam",
}
"""The methods that are asked: their names in tables, and in `tff_core.exam.methods`."""
CONTROLS = ("edges", "random")
"""Maps that need no detector."""
PASSED, IN_PART, FAILED = "passed", "in part", "failed"


# ------------------------------------------------------------------------------------------- two measures


def mass_accuracy(heatmaps: ArrayLike, where: ArrayLike) -> Floats:
    """Share of the positive relevance inside the place, (N,); missing where a map has none.

    ``heatmaps`` (N, H, W), whose negative values count as zero; ``where`` (N, H, W), true inside. ValueError
    where shapes differ, a value is not a number or infinite, or a place is empty.
    """
    values, inside = _checked(heatmaps, where)
    positive = values.clip(min=0)
    total = positive.sum((1, 2))
    on = (positive * inside).sum((1, 2))
    return np.divide(on, total, out=np.full(len(total), np.nan), where=total > 0)


def rank_accuracy(heatmaps: ArrayLike, where: ArrayLike) -> Floats:
    """Share of the K strongest pixels inside the place, (N,), where K is the number of its pixels.

    Of pixels that tie for the last of the K ranks each has the same chance: the expected share is returned. A
    constant map therefore has the place's share of the area. Arguments and errors as for `mass_accuracy`.
    """
    values, inside = _checked(heatmaps, where)
    out = np.empty(len(values))
    for i, (flat, own) in enumerate(
        zip(values.reshape(len(values), -1), inside.reshape(len(values), -1), strict=True)
    ):
        k = int(own.sum())
        last = np.partition(flat, len(flat) - k)[len(flat) - k]
        above, tied = flat > last, flat == last
        hits = (above & own).sum() + (k - above.sum()) * (tied & own).sum() / tied.sum()
        out[i] = hits / k
    return out


def _checked(heatmaps: ArrayLike, where: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, inside = np.asarray(heatmaps, dtype=np.float64), np.asarray(where, dtype=bool)
    if values.ndim != 3 or values.shape != inside.shape or not values.size:
        raise ValueError(
            f"heatmaps {values.shape} for places {inside.shape}: expected (N, H, W) of both, N at least 1"
        )
    bad = (~np.isfinite(values)).any((1, 2))
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(values)} heatmaps have values that are no finite number (the first is "
            f"number {int(bad.argmax())}): leave these pictures out, or mend the method"
        )
    empty = ~inside.any((1, 2))
    if empty.any():
        raise ValueError(
            f"{int(empty.sum())} of {len(inside)} places are empty (the first is number "
            f"{int(empty.argmax())}): expected pictures that carry a trace"
        )
    return values, inside


# ---------------------------------------------------------------------------------------------- explaining


def methods(known: Known, steps: int = 16) -> dict[str, Explain]:
    """Those of `tff_core.exam.methods` that are asked where the trace is, by their names in tables (`ASKED`).

    Of pictures that the detector calls fake they say why. ``steps`` are those of integrated gradients, which
    start from the middle gray. Negative values are zero, as in all of the book's heatmaps.
    """
    settings = registry.Settings(PREPROCESSING, steps=steps, blank=registry.GRAY)
    built = registry.build(known.model, ASKED.values(), settings)
    return {name: _positive(built[own]) for name, own in ASKED.items()}


def _positive(method: registry.Explain) -> Explain:
    return lambda x: method(x).clamp(min=0).double().cpu().numpy()


def explain(
    known: Known, pictures: Tensor, chosen: Mapping[str, Explain], seed: int = 0, batch_size: int = 16
) -> dict[str, Floats]:
    """Heatmaps (N, H, W) of pictures, uint8 (N, 3, H, W), by each method, and the two controls."""
    found: dict[str, list[Floats]] = {name: [] for name in chosen}
    for part in pictures.split(batch_size):
        x = known.seen(part)
        for name, method in chosen.items():
            found[name].append(np.asarray(method(x), dtype=np.float64))
    rng = np.random.default_rng([seed, 4])
    controls = {
        "edges": pixels.edges(pictures),
        "random": rng.random((len(pictures), *pictures.shape[2:])),
    }
    return {name: np.concatenate(some) for name, some in found.items()} | controls


def measure(
    maps: Mapping[str, ArrayLike], where: ArrayLike, numbers: Sequence[int] | None = None
) -> pd.DataFrame:
    """Both measures of each map: a row for each method and picture, ``method, picture, area, mass, rank``.

    ``maps``: heatmaps (N, H, W) by method, ``where`` (N, H, W), ``numbers`` those of the pictures. ValueError
    names the method whose maps are not usable, as `mass_accuracy`.
    """
    inside = np.asarray(where, dtype=bool)
    rows = []
    for method, values in maps.items():
        try:
            mass, rank = mass_accuracy(values, inside), rank_accuracy(values, inside)
        except ValueError as error:
            raise ValueError(f"{method}: {error}") from error
        own = {"method": method, "picture": range(len(inside)) if numbers is None else numbers}
        rows.append(pd.DataFrame(own | {"area": inside.mean((1, 2)), "mass": mass, "rank": rank}))
    return pd.concat(rows, ignore_index=True)


# -------------------------------------------------------------------------------------------- over pictures


def summary(
    table: pd.DataFrame, n: int = metrics.RESAMPLES, level: float = metrics.LEVEL, seed: int = 0
) -> pd.DataFrame:
    """How well each method finds the place, beside chance and beside edges, over pictures and detectors.

    ``table``: rows of `measure` with columns ``case`` and ``seed`` of the detector. Pictures of one number
    show one scene with one place, whatever the case.

    Returns rows ``case, method, measure, against, value, low, high, seeds, covers, n, blank``: ``case`` is
    one of the table's, or "all"; ``against`` is "" for the measure itself, "chance" and "edges" for what it
    has more than the area and than edges in the same pictures. A resample draws scenes; detectors are taken
    as `tff_core.intervals` takes training seeds, ``seeds`` is their number. ``n`` counts pictures of all
    detectors with a heatmap, ``blank`` those without.
    """
    scenes = np.unique(table["picture"])
    weights = np.vstack([np.ones(len(scenes)), metrics.resamples(len(scenes), n, seed)])
    place = {number: i for i, number in enumerate(scenes)}
    edges = table[table["method"] == "edges"].set_index(["case", "seed", "picture"])
    rows = []
    groups = [(case, own) for case, own in table.groupby("case", sort=False)]
    for case, own in [*groups, ("all", table)] if len(groups) > 1 else groups:
        for method, some in own.groupby("method", sort=False):
            for name in MEASURES:
                other = edges.reindex(pd.MultiIndex.from_frame(some[["case", "seed", "picture"]]))[
                    name
                ].to_numpy()
                value = some[name].to_numpy(dtype=np.float64)
                for against, less in (("", 0.0), ("chance", some["area"].to_numpy()), ("edges", other)):
                    if against == "edges" and (method == "edges" or edges.empty):
                        continue
                    drawn = _by_detector(some, value - less, weights, place)
                    known = np.isfinite(drawn[0])
                    pooled = intervals.Pooled(np.nan, np.nan, np.nan, 0)
                    if known.any():
                        bounds = intervals.DIFFERENCE if against else intervals.SHARE
                        pooled = intervals.over_seeds(drawn[0, known], drawn[1:, known], bounds, level)
                    head: dict[str, Any] = {
                        "case": case,
                        "method": method,
                        "measure": name,
                        "against": against,
                    }
                    missing = int(np.isnan(value).sum())
                    rows.append(head | pooled.columns("value") | {"n": len(some) - missing, "blank": missing})
    return pd.DataFrame(rows)


def _by_detector(rows: pd.DataFrame, values: Floats, weights: Floats, place: Mapping[int, int]) -> Floats:
    """The mean of each detector's values in every resample of scenes, (B, S); NaN where none was drawn."""
    found = []
    for index in rows.reset_index(drop=True).groupby(["case", "seed"], sort=False).indices.values():
        own, numbers = values[index], rows["picture"].to_numpy()[index]
        there = np.isfinite(own)
        drawn = weights[:, [place[number] for number in numbers[there]]]
        total = drawn.sum(1)
        found.append(np.divide(drawn @ own[there], total, out=np.full(len(total), np.nan), where=total > 0))
    return np.stack(found, axis=1)


def verdict(rows: pd.DataFrame) -> str:
    """What one method has shown: "passed", "in part" or "failed"; ``rows`` of `summary`, one case and method.

    Passed: by both measures it has surely more inside than chance, and surely more than edges. In part:
    surely more than chance by one measure at least. Failed: neither. Surely means that the interval lies
    above zero.
    """
    sure = rows[rows["low"] > 0]
    above = dict.fromkeys(zip(sure["measure"], sure["against"], strict=True), True)
    if all(above.get((name, against), False) for name in MEASURES for against in ("chance", "edges")):
        return PASSED
    return IN_PART if any(above.get((name, "chance"), False) for name in MEASURES) else FAILED
