"""Train a detector of a trace that is known, and put explanations and the tests of colour to it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import steps
from tff_core.exam import planted_truth
from tff_core.pictures import data
from tff_core.store.checkpoint import write_arrays
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: writes the tables of one case and seed, and the pictures that a page shows of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="`known` of the configuration")
    parser.add_argument("--case", required=True, help="channel and period of the trace, such as Cb2")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--shown", type=Path, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    store = Store()
    with steps.configured("known"):
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in options.settings.items()}
        settings = planted_truth.Settings(**given)
    pixels = {
        part: data.load(data.scan(store.data(options.dataset, part, "progan")).where(label=0, first=n))
        for part, n in zip(("train", "val", "test"), settings.n, strict=True)
    }
    found = planted_truth.examine(pixels, options.case, options.seed, settings, steps.device(options.device))
    for name, rows in found.tables.items():
        with atomic_write(store.part(name, options.case, f"s{options.seed}")) as part:
            rows.to_csv(part, index=False)
    write_arrays(options.shown, found.shown)


if __name__ == "__main__":
    steps.run(main)
