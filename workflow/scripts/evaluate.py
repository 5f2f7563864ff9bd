"""One detector on one generator: put the seeds' scores together and draw the statistics from them."""

from __future__ import annotations

import argparse

import pandas as pd

import steps
from tff_core.features import sensitivity
from tff_core.store.results import Store, atomic_write, read_json


def main() -> None:
    """Command line: writes the scores of all seeds and this pair's rows of the result tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--bootstrap", type=int, required=True, help="resamples behind every interval")
    options = parser.parse_args()
    store, name = Store(), f"{options.detector}.{options.generator}"
    folder = store.root / "results" / "parts" / "scores"
    frame = pd.concat(
        [pd.read_csv(folder / f"{name}.s{seed}.csv.gz") for seed in options.seeds],
        ignore_index=True,
    )
    thresholds = {
        seed: float(read_json(store.detector(options.detector, seed).with_suffix(".json"))["threshold"])
        for seed in options.seeds
    }
    with atomic_write(store.scores(options.detector, options.generator)) as part:
        frame.to_csv(part, index=False, compression=steps.GZIP)
    tables = {
        "sensitivity": sensitivity.table(frame, thresholds, options.bootstrap),
        "contrast": sensitivity.contrast(frame, options.bootstrap),
        "transfer": sensitivity.transfer(frame, thresholds, options.bootstrap),
    }
    for table, rows in tables.items():
        with atomic_write(store.part(table, options.detector, options.generator)) as part:
            rows.to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
