"""Measure what one network finds of planted traces of several periods, after training it on all of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import plant

import steps
from tff_core.localization import law, training
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: trains the network and writes its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="`law` of the configuration")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    with steps.configured("law"):
        recipe = training.Config(**options.settings["training"])
    pictures = plant.pictures(options.settings, options.size)
    found = law.run(
        [options.network], pictures, Store().root / "planted" / "networks", recipe,
        device=steps.device(options.device),
    )  # fmt: skip
    with atomic_write(options.out) as part:
        found.to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
