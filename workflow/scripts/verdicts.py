"""Judge the paper's claims by the result tables."""

from __future__ import annotations

import argparse

import steps
from tff_core.claims import verdicts
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: reads results/tables/, writes results/tables/verdicts.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", nargs="+", required=True)
    parser.add_argument("--generators", nargs="+", required=True)
    options = parser.parse_args()
    store = Store()
    found = verdicts.judge(verdicts.evidence(store, options.detectors, options.generators))
    with atomic_write(store.table("verdicts")) as part:
        found.to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
