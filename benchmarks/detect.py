"""How fast `tff detect` is beside a plain forward pass on pictures in memory: one process, interleaved.

    python benchmarks/detect.py                       1,000 pictures of 64 pixels, both networks
    python benchmarks/detect.py --page book/performance.md
    python benchmarks/detect.py --arch efb0 --n 500 --json out.json
    python benchmarks/detect.py --data pictures/      your own pictures, of one size

Both run the same network in the same batches; `tff detect` also finds, decodes and normalises the pictures,
and decides. Beside the clock stands the processor time of all threads: what the share would be on a single
core, whatever else runs on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from marks import write_page
from PIL import Image, ImageFilter
from tqdm import tqdm

from tff_core import detectors
from tff_core.detectors import judge
from tff_core.pictures import data
from tff_core.store import results

RULE = judge.Rule(0.0, -1.0, 1.0, "a benchmark")


def pictures(folder: Path, n: int, size: int) -> None:
    """Blurred noise as PNG: as many bytes as photographs of that size have."""
    rng = np.random.default_rng(0)
    for i in range(n):
        noise = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
        noise.filter(ImageFilter.GaussianBlur(1)).save(folder / f"{i:05d}.png")


def measure(arch: str, folder: Path, n: int | None, batch: int, repeats: int) -> dict[str, Any]:
    """Pictures a second of the plain forward pass, of detect, and of detect with re-encoding."""
    torch.manual_seed(0)
    model = detectors.build(arch).requires_grad_(False).to(memory_format=torch.channels_last)
    paths = judge.find([folder])[0][:n]
    pixels = torch.cat([part for _, part in data.stream(paths, batch)])
    ready = [
        data.normalize(part).contiguous(memory_format=torch.channels_last) for part in pixels.split(batch)
    ]

    @torch.inference_mode()
    def forward() -> None:
        for x in ready:
            model(x)

    def detect(stability: bool) -> None:
        judge.judge(model, judge.find([folder])[0][:n], RULE, batch_size=batch, stability=stability)

    work: dict[str, Callable[[], None]] = {
        "forward": forward,
        "detect": lambda: detect(False),
        "detect, with re-encoding": lambda: detect(True),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    spent: dict[str, list[float]] = {name: [] for name in work}
    for i in tqdm(range(repeats + 1), desc=arch, unit="round"):
        for name, function in work.items():
            begin, cpu = time.perf_counter(), time.process_time()
            function()
            if i:  # the first round warms up
                times[name].append(time.perf_counter() - begin)
                spent[name].append(time.process_time() - cpu)
    return {
        "arch": arch,
        "n": len(paths),
        "size": list(pixels.shape[2:]),
        "batch": batch,
        "threads": torch.get_num_threads(),
        "rows": [
            {
                "what": name,
                "pictures_per_second": len(paths) / min(values),
                "ratio_of_min": min(times["forward"]) / min(values),
                "ratio_of_median": statistics.median(times["forward"]) / statistics.median(values),
                "ratio_of_cpu": min(spent["forward"]) / min(spent[name]),
                "seconds": values,
            }
            for name, values in times.items()
        ],
    }


def table(found: list[dict[str, Any]]) -> str:
    """The rows of all networks as Markdown."""
    lines = [
        "| what | pictures/s | share of forward (of min) | (of median) | (processor) |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        for row in one["rows"]:
            shares = f"{row['ratio_of_min']:.2f} | {row['ratio_of_median']:.2f} | {row['ratio_of_cpu']:.2f}"
            lines.append(f"| {one['arch']} {row['what']} | {row['pictures_per_second']:.0f} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = list(detectors.ARCHITECTURES)
    parser.add_argument("--arch", choices=every, nargs="+", default=every)
    parser.add_argument("--data", type=Path, help="folder of pictures of one size")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the table into this page, between its marks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if options.data is None:
            pictures(Path(made), options.n, options.size)
        found = [
            measure(arch, options.data or Path(made), options.n, options.batch_size, options.repeats)
            for arch in options.arch
        ]
    print(table(found))
    if options.page:
        write_page(options.page, {"detect": table(found)})
    if options.json:
        results.write_json(options.json, {"networks": found, "provenance": results.provenance()})


if __name__ == "__main__":
    main()
