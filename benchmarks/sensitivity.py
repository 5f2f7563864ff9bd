"""What the shared pass saves when many sets of feature maps are dropped: one process, interleaved.

    python benchmarks/sensitivity.py                    both networks, 64 pixels (minutes)
    python benchmarks/sensitivity.py --only single --networks resnet50 --json out.json

Each work is done by plain forwards (a folded network for every set, as fast as the network itself) and by
`dropout.sweep` (one pass in which sets branch off at their first layer):

- grid: the conditions of the default grid (baseline, top-k, low-k, 5 random-k and 20 layer-matched sets).
  Nearly all of them begin in the first layers, so there is little before them to share.
- single maps: each dropped alone, as for the ranking by single-map ablation; the top maps by omega, which lie
  early, and maps spread evenly over the network.

Times are seconds of the processor, on one thread by default: other work on the machine disturbs them less
than the clock. The ratio of the shortest times is the number to trust.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tff_core import detectors, lrp
from tff_core.features import dropout, ffrs, sensitivity
from tff_core.features.names import FeatureMap
from tff_core.store import results

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lrp_nets import pictures, randomise

Row = dict[str, Any]


def build(name: str) -> lrp.Net:
    """A network with random weights and fitting batch-norm statistics, in single precision."""
    return lrp.canonize(randomise(detectors.build(name)).float().requires_grad_(False))


def ranking(net: lrp.Net, x: Tensor) -> ffrs.Omega:
    """Omega of all pictures, whatever the network thinks of them: where its top maps lie."""
    accumulator, keep = ffrs.Accumulator(net.layers), torch.ones(len(x), dtype=torch.bool)
    lrp.relevance(net, x, on_layer=lambda layer, r: accumulator.add(layer, r, keep))
    return ffrs.Omega({k: v.numpy() for k, v in accumulator.sums.items()}, count=len(x))


def spread(net: lrp.Net, n: int) -> list[FeatureMap]:
    """``n`` maps, evenly from the first layer to the last."""
    every = [FeatureMap(layer, c, t) for layer, t in net.layers.items() for c in range(t)]
    return [every[i] for i in np.linspace(0, len(every) - 1, n).astype(int)]


def plain(net: lrp.Net, x: Tensor, sets: Sequence[Sequence[FeatureMap]]) -> Tensor:
    """One whole forward for every set."""
    return torch.stack([dropout.fold_dropout(net, maps)(x) for maps in sets])


def shared(net: lrp.Net, x: Tensor, sets: Sequence[Sequence[FeatureMap]]) -> Tensor:
    """All sets in one sweep."""
    found = dict(dropout.sweep(net, x, [dropout.plan(net, maps) for maps in sets]))
    return torch.stack([found[i] for i in range(len(sets))])


def compare(
    task: str, net: lrp.Net, x: Tensor, sets: Sequence[Sequence[FeatureMap]], repeats: int
) -> list[Row]:
    """Both ways in turn; the first round warms up and shows how far they differ."""
    work: dict[str, Callable[[], Tensor]] = {
        "plain forwards": partial(plain, net, x, sets),
        "shared pass": partial(shared, net, x, sets),
    }
    a, b = (function() for function in work.values())
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, function in work.items():
            begin = time.process_time()
            function()
            times[name].append(time.process_time() - begin)
    least = min(times["plain forwards"])
    return [
        {
            "task": task,
            "what": name,
            "sets": len(sets),
            "median_s": statistics.median(t),
            "min_s": min(t),
            "max_s": max(t),
            "ratio_of_min": min(t) / least,
            "largest_difference": float((a - b).abs().max()),
            "n": len(t),
        }
        for name, t in times.items()
    ]


def table(found: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | what | sets | median CPU s | range s | ratio (of min) | largest difference of logits |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['task']} | {r['what']} | {r['sets']} | {r['median_s']:.2f} | {r['min_s']:.2f} to "
        f"{r['max_s']:.2f} | {r['ratio_of_min']:.2f} | {r['largest_difference']:.1e} |"
        for r in found
    ]
    return "\n".join(lines)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["grid", "single"], nargs="+", default=["grid", "single"])
    parser.add_argument("--networks", nargs="+", choices=list(detectors.ARCHITECTURES),
                        default=list(detectors.ARCHITECTURES))  # fmt: skip
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch", type=int, default=60, help="pictures of the grid")
    parser.add_argument("--few", type=int, default=8, help="pictures for single maps")
    parser.add_argument("--maps", type=int, default=200, help="maps dropped one by one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found: list[Row] = []
    for name in args.networks:
        net = build(name)
        if "grid" in args.only:
            x = pictures(args.batch, args.size).float()
            cases = sensitivity.conditions(ranking(net, x[:8]), detectors.ARCHITECTURES[name].k)
            sets = [case.maps for case in cases]
            found += compare(f"{name}, grid, {args.batch} pictures", net, x, sets, args.repeats)
        if "single" in args.only:
            x = pictures(args.few, args.size).float()
            top = ranking(net, x).top(args.maps)
            for where, maps in (("top by omega", top), ("spread", spread(net, args.maps))):
                task = f"{name}, single maps, {where}, {args.few} pictures"
                found += compare(task, net, x, [[m] for m in maps], args.repeats)
    print(table(found))
    if args.json:
        results.write_json(args.json, {"rows": found, "provenance": results.provenance(threads=args.threads)})


if __name__ == "__main__":
    main()
