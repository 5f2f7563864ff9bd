"""Put the rows that a chapter has written for each detector and generator into one result table."""

from __future__ import annotations

import argparse

import pandas as pd

import steps
from tff_core.results import Store, atomic_write

POOLED = "all"  # rows over all generators of the grid together


def main() -> None:
    """Command line: reads results/parts/<table>/, writes results/tables/<table>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True)
    parser.add_argument("--detectors", nargs="+", required=True)
    parser.add_argument("--generators", nargs="+", required=True)
    options = parser.parse_args()
    store = Store()
    parts = []
    for detector in options.detectors:
        paths = [store.part(options.table, detector, name) for name in (*options.generators, POOLED)]
        there = [path for path in paths if path.is_file()]
        if not there:
            raise FileNotFoundError(
                f"{paths[0].parent} has no rows of {detector}: expected those that its chapter writes; "
                "delete the executed chapter and run `make` again"
            )
        # as text: numbers come out as they went in
        parts += [pd.read_csv(path, dtype=str, keep_default_na=False) for path in there]
    with atomic_write(store.table(options.table)) as part:
        pd.concat(parts).to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
