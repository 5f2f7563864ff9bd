"""Colour-robust detectors: the gains and costs of training on gray pictures as well.

Source: paper, colour-robust detectors, which has the APs of one detector each, and their shares of
colour-conditional maps. The paired intervals and the layer-matched control are additions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tff_core import intervals, metrics
from tff_core.features import color_ablation, color_conditional
from tff_core.features.color_conditional import ALPHA, Sample
from tff_core.pictures import data

MODELS = ("universal", "color-robust")
"""A detector and its twin that was trained with random grayscaling."""


def robustness(
    labels: ArrayLike,
    universal: Mapping[str, Mapping[int, ArrayLike]],
    robust: Mapping[str, Mapping[int, ArrayLike]],
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """AP of a detector and of its colour-robust twin, in colour and in gray, and their differences.

    Parameters
    ----------
    labels: (N,), 1 fake and 0 real.
    universal, robust: logits (N,) of the same pictures by input ("color", "gray") and by training seed.
    n, level, seed: bootstrap resamples, level of the interval, seed of the resamples.

    Returns
    -------
    Rows ``model, input, seed, ap, ap_low, ap_high, seeds, covers, n_real, n_fake``. Model is "universal",
    "color-robust" or "difference" (robust minus universal, only of seeds that both have); input is "color",
    "gray", or "color - gray", the AP lost without colour. Rows with seed "all" are means over the seeds, with
    the interval of `tff_core.intervals` over pictures and seeds; the others over pictures. All resamples are
    paired: they hold the same pictures for both models and both inputs.

    Raises ValueError where the two have no training seed in common.

    Source: paper, colour-robust detectors, which has the APs of one detector each.
    """
    y = np.asarray(labels)
    weights = metrics.picture_weights(y, n, seed)
    cases: dict[tuple[str, str], dict[int, tuple[float, NDArray[Any]]]] = {}
    for model, own in zip(MODELS, (universal, robust), strict=True):
        for kind in ("color", "gray"):
            cases[model, kind] = {
                s: (metrics.average_precision(y, logits), metrics.resampled_ap(y, logits, weights))
                for s, logits in own[kind].items()
            }
        cases[model, "color - gray"] = _apart(cases[model, "color"], cases[model, "gray"])
    for kind in ("color", "gray", "color - gray"):
        cases["difference", kind] = _apart(cases[MODELS[1], kind], cases[MODELS[0], kind])
    rows = []
    for (model, kind), found in cases.items():
        if not found:
            raise ValueError(
                f"no training seed has both detectors (universal: {sorted(universal['color'])}, "
                f"colour-robust: {sorted(robust['color'])}): expected at least one in common"
            )
        bounds = intervals.SHARE if model in MODELS and kind in ("color", "gray") else intervals.DIFFERENCE
        for name, some in [*((str(s), [case]) for s, case in found.items()), ("all", [*found.values()])]:
            pooled = intervals.over_seeds(
                [value for value, _ in some], np.stack([values for _, values in some], 1), bounds, level
            )
            row = {"model": model, "input": kind, "seed": name, **pooled.columns("ap", "ap_low", "ap_high")}
            rows.append(row | {"n_real": int((y == 0).sum()), "n_fake": int((y == 1).sum())})
    return pd.DataFrame(rows)


def in_color(scores: pd.DataFrame, images: data.ImageSet) -> dict[int, Any]:
    """Logits (N,) of pictures in colour by detector seed, as computed for the sensitivity test.

    ``scores`` is the table of one detector and generator; its pictures are named below the folder of
    ``images``. Raises KeyError where it lacks one of these.
    """
    names = [path.relative_to(images.root).as_posix() for path in images.paths]
    rows = scores[scores["condition"] == "baseline"].set_index(["seed", "image"])["logit"].sort_index()
    return {int(seed): rows[seed].loc[names].to_numpy() for seed in rows.index.unique("seed")}


def chroma_means(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How colourful the patches of each map are, and of each group of maps, with an interval over maps.

    ``found`` has columns model, group, map and ratio (`patches.measure`), missing where there is none.
    Returns ``model, group, map, ratio`` (mean over patches) and ``model, group, value, low, high, maps,
    patches``.
    """
    usable = found.dropna(subset=["ratio"])
    per_map: Any = usable.groupby(["model", "group", "map"], as_index=False)["ratio"].mean()
    counts: Any = usable.groupby(["model", "group"]).size()
    means = pd.DataFrame(
        {"model": model, "group": group}
        | color_ablation.average(own["ratio"])._asdict()
        | {"maps": len(own), "patches": int(counts[model, group])}
        for (model, group), own in per_map.groupby(["model", "group"])
    )
    return per_map, means if len(means) else pd.DataFrame(columns=["model", "group", "value", "low", "high"])


def _apart(
    a: Mapping[int, tuple[float, NDArray[Any]]], b: Mapping[int, tuple[float, NDArray[Any]]]
) -> dict[int, tuple[float, NDArray[Any]]]:
    return {s: (a[s][0] - b[s][0], a[s][1] - b[s][1]) for s in a if s in b}


def before_after(
    universal: Sequence[Sample],
    robust: Sequence[Sample],
    alpha: float = ALPHA,
    splits: int = 100,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of colour-conditional maps (Mood's test) of a detector and of its colour-robust twin.

    Parameters
    ----------
    universal, robust: one `Sample` per training seed, in the same order, all of the same pictures and
        with the same groups, "top-k" and "matched-k" among them.
    splits: random splits of the pictures into halves; the intervals are those of `contrast`.

    Returns
    -------
    Rows ``model, group, share, low, high, seeds, covers, n, k, whole``: model is "universal", "color-robust"
    or "difference" (robust minus universal); group is one of the samples', or "top-k - matched-k". ``n`` is
    the number of pictures of a half, at which these shares are measured, ``k`` the size of the top-k.
    ``whole`` is the share over all pictures, as the paper has it: only of a model's top-k, else missing.
    """
    if len(universal) != len(robust) or not universal:
        raise ValueError(
            f"{len(universal)} samples before and {len(robust)} after: expected one of each for every seed"
        )
    groups = list(universal[0].members)
    if any(list(s.members) != groups for s in (*universal, *robust)) or {"top-k", "matched-k"} - {*groups}:
        raise ValueError("expected the same groups in every sample, with 'top-k' and 'matched-k'")
    if len({len(s.color) for s in (*universal, *robust)}) > 1:
        raise ValueError("samples of different numbers of pictures: expected the same pictures in each")
    found = [color_conditional.shares_of_halves(some, alpha, splits, seed) for some in (universal, robust)]
    found.append(found[1] - found[0])  # the same halves of the same pictures
    rows = []
    for model, values in zip((*MODELS, "difference"), found, strict=True):
        contrast = values[..., groups.index("top-k")] - values[..., groups.index("matched-k")]
        own = intervals.SHARE if model in MODELS else intervals.DIFFERENCE
        cases = [(group, values[..., i], own) for i, group in enumerate(groups)]
        # the difference of two differences may reach from -2 to 2
        cases.append(
            ("top-k - matched-k", contrast, intervals.DIFFERENCE if model in MODELS else (-2.0, 2.0))
        )
        for group, some, bounds in cases:
            pooled = color_conditional.interval_of_halves(some, level, bounds)
            rows.append({"model": model, "group": group, **pooled.columns("share")})
    table = pd.DataFrame(rows).assign(n=len(universal[0].color) // 2, k=len(universal[0].members["top-k"][0]))
    for model, samples in zip(MODELS, (universal, robust), strict=True):
        hits = [color_conditional.mood(s.color, s.gray).p[s.members["top-k"][0]] <= alpha for s in samples]
        table.loc[(table["model"] == model) & (table["group"] == "top-k"), "whole"] = np.mean(hits)
    return table
