"""What a map costs beside its network's forward pass, and a spectrum beside that of the network that sees it.

    python benchmarks/maps.py                              print the table
    python benchmarks/maps.py --page book/performance.md   and put it into the page

Both sides of a ratio are measured in turn, on one thread, in one process; the ratio of the shortest times is
the number to trust.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from marks import write_page

from tff_core import attribution, localization
from tff_core.attribution import inputs as spectra
from tff_core.localization import comparison
from tff_core.pictures import data

NETWORKS = ("xception_block1", "xception_block2", "xception_block3", "resnet18_layer1")
SIZES = (64, 128, 256)
BATCH = 16


def timed(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each run, ``repeats`` times in turn, after one round that counts for nothing."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if i:
                found[name].append(1000 * (time.perf_counter() - begin))
    return found


def contenders() -> Iterator[tuple[str, dict[str, Callable[[], Any]]]]:
    """What is compared, and the two sides of each comparison; the first is the reference."""
    generator = torch.Generator().manual_seed(0)
    for network in NETWORKS:
        net = localization.build(network, "kaiming").eval().to(memory_format=torch.channels_last)
        for size in SIZES:
            if min(localization.map_size(network, (size, size))) < 1:
                continue
            pictures = torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8, generator=generator)
            x = (pictures / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            yield (
                f"map of {network}, {size} px",
                {
                    "forward": torch.inference_mode()(lambda net=net, x=x: net(x)),
                    "map": lambda net=net, pictures=pictures: comparison.classifier(net)(pictures),
                },
            )
    for size in (64, 128):
        pictures = torch.randint(0, 256, (BATCH, 3, size, size), dtype=torch.uint8, generator=generator)
        seen = spectra.measure([pictures])
        for sources in (1, 4):
            net = attribution.build("dct", size, sources).eval()
            x = spectra.seen(pictures, seen)
            yield (
                f"spectrum for {sources} source{'s' if sources > 1 else ''}, {size} px",
                {
                    "forward": torch.inference_mode()(lambda net=net, x=x: net(x)),
                    "spectrum": lambda pictures=pictures, seen=seen: spectra.seen(pictures, seen),
                },
            )
            luma = data.luma(pictures).double()
            yield (
                f"its cosine transform alone, {size} px",
                {
                    "forward": torch.inference_mode()(lambda net=net, x=x: net(x)),
                    "transform": lambda luma=luma: spectra.cosine_transform(luma),
                },
            )


def table(repeats: int) -> str:
    """The table of the page."""
    lines = [
        f"| what, batch of {BATCH} | forward, median ms | the map, or the spectrum alone, median ms "
        "| ratio (of min) |",
        "|---|---|---|---|",
    ]
    for name, runs in contenders():
        found = timed(runs, repeats)
        one, other = found.values()
        lines.append(
            f"| {name} | {statistics.median(one):.1f} | {statistics.median(other):.1f} "
            f"| {min(other) / min(one):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, help="put the table into this page, between its marks")
    parser.add_argument("--repeats", type=int, default=15, help="default: %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = table(options.repeats)
    print(found)
    if options.page:
        write_page(options.page, {"maps": found})


if __name__ == "__main__":
    main()
