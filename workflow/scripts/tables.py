"""Put the rows of all detectors and generators into the result tables."""

from __future__ import annotations

import argparse
from pathlib import Path

import steps


def main() -> None:
    """Command line: each part goes into the table named like the folder that it lies in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", type=Path, nargs="+", required=True, help=".../<table>/<detector>.<generator>.csv"
    )
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help=".../<table>.csv")
    options = parser.parse_args()
    for table in options.tables:
        steps.collect([path for path in options.parts if path.parent.name == table.stem], table)


if __name__ == "__main__":
    steps.run(main)
