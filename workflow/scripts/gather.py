"""Put the rows that a chapter has written for each detector and generator into one result table."""

from __future__ import annotations

import argparse

import steps
from tff_core.store.results import Store

POOLED = "all"  # a chapter about all generators together writes all its rows into one part


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
        pooled = store.part(options.table, detector, POOLED)
        wanted = [store.part(options.table, detector, name) for name in options.generators]
        wanted = [pooled] if pooled.is_file() else wanted
        for path in wanted:
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is not there: expected the rows that the chapter of {detector} writes; "
                    "delete the executed chapter and run `make` again"
                )
        parts += wanted
    steps.collect(parts, store.table(options.table))


if __name__ == "__main__":
    steps.run(main)
