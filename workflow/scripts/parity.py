"""Measure what a difference in preparation alone makes detectable, and how wrong scores get by it."""

from __future__ import annotations

import argparse
import json
from typing import Any

import steps
from tff_core.localization import parity, training
from tff_core.localization.treatments import Treatment
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: writes the rows of both experiments, for one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="`parity` of the configuration")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--generators", nargs="+", required=True, help="the first is the one trained on")
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    settings, store = options.settings, Store()
    with steps.configured("parity"):
        recipe = training.Config(**settings["training"])
        misaligned = Treatment(**settings["misaligned"])
    first, *others = options.generators
    known = data.scan(store.data(options.dataset, "train", first))
    reals, fakes = known.where(label=0).paths, {first: known.where(label=1).paths}
    for name in others:
        fakes[name] = data.scan(store.data(options.dataset, "test", name)).where(label=1).paths
    folder = store.root / "treated" / f"s{options.seed}"
    how: dict[str, Any] = {
        "n": tuple(settings["n"]), "settings": recipe, "seed": options.seed,
        "device": steps.device(options.device), "progress": False,
    }  # fmt: skip
    network, size = settings["network"], settings["size"]
    tables = {
        "reals": parity.same_reals(reals, folder / "reals", network, size, **how),
        "fakes": parity.alignment(reals, fakes, folder / "fakes", network, size, misaligned, **how),
    }
    for name, table in tables.items():
        out = store.root / "results" / "parts" / "parity" / f"{name}.s{options.seed}.csv"
        with atomic_write(out) as part:
            table.assign(seed=options.seed).to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
