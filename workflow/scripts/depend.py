"""Forget a trained detector's weights step by step, and measure what is left of its explanations."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import steps
from tff_core import detectors
from tff_core.exam import dependence
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write

TABLES = ("heatmaps", "omega", "starts", "complexity")


def main() -> None:
    """Command line: writes the four tables of one trained detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--seeds", type=int, nargs="+", required=True, help="all training seeds of the detector"
    )
    parser.add_argument("--settings", type=json.loads, required=True, help="`depend` of the configuration")
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", type=Path, nargs=4, required=True, help=", ".join(TABLES))
    options = parser.parse_args()
    steps.one_thread()
    store, device = Store(), steps.device(options.device)
    with steps.configured("depend"):
        settings = dependence.Settings(**options.settings)
    spec = detectors.get(options.detector, store)
    model = detectors.load(spec.name, options.seed, store, device).model
    other = options.seeds[(options.seeds.index(options.seed) + 1) % len(options.seeds)]
    again = None if other == options.seed else detectors.load(spec.name, other, store, device).model
    images = data.scan(store.data(spec.dataset, "val", "progan"))
    fakes, reals = (
        data.load(images.where(label=label, first=settings.n), spec.preprocessing, middle=True)
        for label in (1, 0)
    )
    found = dependence.run(
        model, fakes, reals, spec.k, spec.preprocessing,
        make=lambda: detectors.build(spec.arch), again=again, settings=settings, seed=options.seed,
    )  # fmt: skip
    for table, path in zip(TABLES, options.out, strict=True):
        with atomic_write(path) as part:
            rows = found[table].assign(seed=options.seed)
            rows.to_csv(part, index=False, compression=steps.GZIP, float_format="%.6g")


if __name__ == "__main__":
    steps.run(main)
