"""How often the intervals hold what they promise: simulated seeds and pictures, whose truth is known.

    python benchmarks/coverage.py --page book/coverage.md      all quantities (about ten minutes)
    python benchmarks/coverage.py --runs 100 --only ap drop

Every quantity that a verdict uses is simulated with as many pictures as the default grid has: training seeds
are drawn from a population of a known spread, and pictures from theirs; the interval is made as the chapters
make it, and it is counted how often it contains the mean over both populations. Beside it stands the interval
that resamples the few seeds too and takes percentiles, which is what one would think of first.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from marks import write_page
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binomtest

from tff_core import intervals, metrics
from tff_core.features import color_conditional
from tff_core.features.names import FeatureMap
from tff_core.store import results

Floats = NDArray[np.float64]
N = 60  # pictures of each label
SPREADS = (0.1, 0.4, 0.8)  # standard deviation of d', the distance of fakes from reals, over training seeds
LABELS = np.repeat([0, 1], N)


class Draw(NamedTuple):
    """What was measured on one draw of seeds and pictures: points (S,), resamples (B, S)."""

    points: Floats
    resampled: Floats
    bounds: intervals.Bounds | None


def _aps(scores: Floats, weights: NDArray[np.float32] | None) -> tuple[Floats, Floats]:
    """AP of every row of scores (..., 2 N), and of every resample, (B, ...)."""
    rows = scores.reshape(-1, 2 * N)
    points = np.array([metrics.average_precision(LABELS, row) for row in rows])
    if weights is None:
        return points.reshape(scores.shape[:-1]), np.empty((0, *scores.shape[:-1]))
    drawn = np.stack([metrics.resampled_ap(LABELS, row, weights) for row in rows], 1)
    return points.reshape(scores.shape[:-1]), drawn.reshape(-1, *scores.shape[:-1])


def _weights(rng: np.random.Generator, resamples: int) -> NDArray[np.float32] | None:
    return metrics.picture_weights(LABELS, resamples, int(rng.integers(2**31))) if resamples else None


def ap(rng: np.random.Generator, seeds: int, spread: float, resamples: int) -> Draw:
    """C1: the AP of a detector."""
    d = 1 + spread * rng.normal(size=(seeds, 1))
    points, drawn = _aps(rng.normal(size=(seeds, 2 * N)) + d * LABELS, _weights(rng, resamples))
    return Draw(points, drawn, intervals.SHARE)


def difference(rng: np.random.Generator, seeds: int, spread: float, resamples: int, draws: int = 5) -> Draw:
    """C2, C3: AP without the top-k minus the mean AP of several draws of a control."""
    common = rng.normal(size=2 * N)  # what is hard of a picture is hard for all
    own = 1 + spread * rng.normal(size=(seeds, 1))
    top = 0.5 * own + 0.3 * spread * rng.normal(size=(seeds, 1))
    control = own + 0.2 * rng.normal(size=(seeds, draws))
    d = np.concatenate([top, control], 1)[..., None]
    scores = 0.6 * common + 0.8 * rng.normal(size=(seeds, draws + 1, 2 * N)) + d * LABELS
    points, drawn = _aps(scores, _weights(rng, resamples))
    after = np.empty((resamples, seeds))
    for s in range(seeds):
        shares = metrics.draw_weights(draws, max(resamples, 1), int(rng.integers(2**31)), s)[:resamples]
        after[:, s] = drawn[:, s, 0] - (drawn[:, s, 1:] * shares).sum(1)
    return Draw(points[:, 0] - points[:, 1:].mean(1), after, intervals.DIFFERENCE)


def robust(rng: np.random.Generator, seeds: int, spread: float, resamples: int) -> Draw:
    """C8: AP of a detector minus that of its twin of the same training seed, on the same pictures."""
    common, seed = rng.normal(size=2 * N), rng.normal(size=(2, seeds, 1))
    d = np.array([1.2, 0.4])[:, None, None] + spread * (0.5**0.5) * (seed + seed.mean(0))
    scores = 0.6 * common + 0.8 * rng.normal(size=(2, seeds, 2 * N)) + d * LABELS
    points, drawn = _aps(scores, _weights(rng, resamples))
    return Draw(points[0] - points[1], drawn[:, 0] - drawn[:, 1], intervals.DIFFERENCE)


def drop(rng: np.random.Generator, seeds: int, spread: float, resamples: int) -> Draw:
    """C6: median probability of the fakes in colour minus that in gray."""
    d = 1 + spread * rng.normal(size=(seeds, 2, 1)) * np.array([1, 0.5])[:, None]
    common = rng.normal(size=N)
    logits = 2 * (0.6 * common + 0.8 * rng.normal(size=(seeds, 2, N)) + d * np.array([1, 0.4])[:, None])
    p = expit(logits)
    points = np.median(p[:, 0], 1) - np.median(p[:, 1], 1)
    drawn = rng.integers(N, size=(resamples, N))
    medians = np.median(p[..., drawn], axis=-1)
    return Draw(points, (medians[:, 0] - medians[:, 1]).T, intervals.DIFFERENCE)


def chroma(rng: np.random.Generator, seeds: int, spread: float, resamples: int, maps: int = 36) -> Draw:
    """C5: mean over pairs of feature maps, which every seed has its own of."""
    values = 0.2 + 0.5 * spread * rng.normal(size=(seeds, 1)) + 0.5 * rng.gamma(2, 0.7, size=(seeds, maps))
    drawn = np.empty((resamples, seeds))
    for s in range(seeds):
        drawn[:, s] = metrics.resampled_means(values[s], max(resamples, 1), rng)[:resamples]
    return Draw(values.mean(1), drawn, None)


def objects(rng: np.random.Generator, seeds: int, spread: float, resamples: int, pictures: int = 30) -> Draw:
    """C4: relevance on the objects as a multiple of their area, detector minus classifier."""
    area = rng.beta(2, 5, size=pictures)
    factor = np.exp(0.3 * spread * rng.normal(size=(seeds, 1)) + 0.3 * rng.normal(size=(seeds, pictures)))
    on = area * (factor - 1.3 * np.exp(0.3 * rng.normal(size=pictures)))
    weights = metrics.resamples(pictures, max(resamples, 1), rng)[:resamples]
    return Draw(on.sum(1) / area.sum(), (weights @ on.T) / (weights @ area)[:, None], None)


QUANTITIES: dict[str, tuple[str, Callable[..., Draw]]] = {
    "ap": ("AP, mean over seeds (C1)", ap),
    "difference": ("AP, difference of two conditions, with draws of a control (C2, C3)", difference),
    "objects": ("relevance on objects, detector minus classifier (C4)", objects),
    "chroma": ("chroma ratio, difference over pairs of maps (C5)", chroma),
    "drop": ("median probability, colour minus gray (C6)", drop),
    "robust": ("AP, colour-robust minus universal, seed by seed (C8)", robust),
}


def shares(
    rng: np.random.Generator, seeds: int, spread: float, maps: int = 20
) -> list[color_conditional.Sample]:
    """C7: maximum activations of maps that lose more or less when a picture turns gray."""
    picture, samples = rng.normal(size=(N, 1)), []
    for _ in range(seeds):
        before = picture + rng.normal(size=(N, 2 * maps))
        loss = np.r_[np.full(maps, 0.9), np.full(maps, 0.4)] * (1 + spread * rng.normal())
        lost = loss * rng.gamma(1, 1, size=2 * maps)
        groups = {"top-k": [np.arange(maps)], "matched-k": [np.arange(maps, 2 * maps)]}
        names = tuple(FeatureMap("layer", i, 2 * maps) for i in range(2 * maps))
        after = before - lost + 0.3 * rng.normal(size=before.shape)
        samples.append(color_conditional.Sample(before, after, groups, names))
    return samples


@functools.cache
def truth(name: str, spread: float, draws: int = 4000) -> float:
    """The mean over the population of seeds and pictures, from very many of both."""
    rng = np.random.default_rng([99, int(10 * spread)])
    return float(np.mean([QUANTITIES[name][1](rng, 1, spread, 0).points for _ in range(draws)]))


def nested_percentiles(draw: Draw, rng: np.random.Generator) -> tuple[float, float]:
    """The interval that resamples the seeds as it does the pictures: too narrow for few of them."""
    count, seeds = draw.resampled.shape
    return metrics.percentiles((draw.resampled * metrics.resamples(seeds, count, rng) / seeds).sum(1))


Way = Callable[[Draw, np.random.Generator], tuple[float, float]]


def ours(draw: Draw, rng: np.random.Generator) -> tuple[float, float]:
    """The interval that the chapters print."""
    found = intervals.over_seeds(draw.points, draw.resampled, draw.bounds)
    return found.low, found.high


def coverage(
    name: str,
    seeds: int,
    spread: float,
    runs: int,
    resamples: int = 300,
    ways: tuple[Way, ...] = (ours,),
    draws: int = 4000,
) -> list[tuple[int, float]]:
    """For each way of making an interval how many of ``runs`` contain the truth, and their mean width.

    ``draws`` of seeds and pictures make the truth.
    """
    target, hits, width = truth(name, spread, draws), np.zeros(len(ways), dtype=int), np.zeros(len(ways))
    for run in range(runs):
        rng = np.random.default_rng([run, seeds, int(10 * spread)])
        draw = QUANTITIES[name][1](rng, seeds, spread, resamples)
        for i, way in enumerate(ways):
            low, high = way(draw, rng)
            hits[i] += low <= target <= high
            width[i] += high - low
    return list(zip(map(int, hits), map(float, width / runs), strict=True))


@functools.cache
def truth_of_shares(part: str, spread: float, draws: int = 1500) -> float:
    """As `truth`, for claim C7."""
    rng = np.random.default_rng([7, int(10 * spread)])
    many = [color_conditional.contrast(shares(rng, 1, spread), splits=2) for _ in range(draws)]
    return float(np.mean([t.set_index("contrast").loc[part, "delta"] for t in many]))


def coverage_of_shares(
    seeds: int, spread: float, runs: int, part: str, splits: int = 20, draws: int = 1500
) -> tuple[int, float]:
    """The same for claim C7, whose interval comes from halves; ``part`` as `contrast` names it."""
    target = truth_of_shares(part, spread, draws)
    hits, width = 0, 0.0
    for run in range(runs):
        rng = np.random.default_rng([run, seeds, int(10 * spread), 7])
        row = (
            color_conditional.contrast(shares(rng, seeds, spread), splits=splits)
            .set_index("contrast")
            .loc[part]
        )
        hits += bool(row["low"] <= target <= row["high"])
        width += float(row["high"] - row["low"])
    return hits, width / runs


def rows(names: list[str], seeds: list[int], runs: int) -> list[dict[str, Any]]:
    """One row per quantity, number of seeds and spread."""
    found = []
    for name in names:
        for s in seeds:
            for spread in SPREADS:
                if name in QUANTITIES:
                    (own, width), (old, old_width) = coverage(
                        name, s, spread, runs, ways=(ours, nested_percentiles)
                    )
                else:
                    part = {"share": "top-k", "shares": "top-k - matched-k"}[name]
                    (own, width), old, old_width = coverage_of_shares(s, spread, runs, part), None, None
                title = QUANTITIES[name][0] if name in QUANTITIES else SHARES[name]
                row = {"quantity": title, "seeds": s, "spread": spread, "runs": runs, "hits": own}
                found.append(row | {"width": width, "percentile_hits": old, "percentile_width": old_width})
                print(found[-1], file=sys.stderr, flush=True)
    return found


SHARES = {
    "shares": "share of colour-conditional maps, top-k minus others (C7)",
    "share": "share of colour-conditional maps, the top-k's own (C7)",
}


def table(found: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| quantity | seeds | spread of d' | coverage | Wilson interval | mean width | percentiles | width |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        around = binomtest(row["hits"], row["runs"]).proportion_ci(method="wilson")
        old = ["", ""]
        if row["percentile_hits"] is not None:
            old = [f"{100 * row['percentile_hits'] / row['runs']:.1f} %", f"{row['percentile_width']:.2f}"]
        which = row["quantity"] + (f" ({intervals.PICTURES_ONLY})" if row["seeds"] == 1 else "")
        cells = [which, str(row["seeds"]), f"{row['spread']:g}", f"{100 * row['hits'] / row['runs']:.1f} %"]
        cells += [f"{100 * around.low:.1f} to {100 * around.high:.1f}", f"{row['width']:.2f}", *old]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{found[0]['runs']} runs for each row."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = [*QUANTITIES, *SHARES]
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 3, 5])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--page", type=Path, help="put the table there, between its marks")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    options = parser.parse_args()
    began = time.process_time()
    found = rows(options.only, options.seeds, options.runs)
    print(table(found))
    print(f"{time.process_time() - began:.0f} seconds of the processor", file=sys.stderr)
    if options.page:
        write_page(options.page, {"coverage": table(found)})
    if options.json:
        results.write_json(options.json, {"rows": found, "provenance": results.provenance()})


if __name__ == "__main__":
    main()
