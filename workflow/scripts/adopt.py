"""Adopt a detector that was trained elsewhere: check its weights, calibrate it on validation pictures."""

from __future__ import annotations

import argparse
import json

import steps
from tff_core.detectors import adoption
from tff_core.store.results import Store, read_json


def main() -> None:
    """Command line: writes the detector's weights and its description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", required=True, help="its name in the book")
    parser.add_argument("--entry", type=json.loads, required=True, help="what the configuration says of it")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    where = steps.device(options.device)
    path = adoption.adopt(options.detector, options.entry, Store(), dataset=options.dataset, device=where)
    warning = read_json(path.with_suffix(".json"))["validation"].get("warning")
    if warning:
        print(f"warning: {options.detector} {warning}")


if __name__ == "__main__":
    steps.run(main)
