"""Put the rows of all detectors and generators into the result tables."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import steps
from tff_core.results import atomic_write


def main() -> None:
    """Command line: each part goes into the table named like the folder that it lies in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", type=Path, nargs="+", required=True, help=".../<table>/<detector>.<generator>.csv"
    )
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help=".../<table>.csv")
    options = parser.parse_args()
    for table in options.tables:
        parts = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in options.parts
                 if path.parent.name == table.stem]  # fmt: skip
        # as text: numbers come out as they went in
        with atomic_write(table) as part:
            pd.concat(parts).to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
