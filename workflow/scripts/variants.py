"""Train a patch classifier on samples, on inversions of its reals and on both, and score test pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import steps
from tff_core.localization import training, variants
from tff_core.miniature.inversions import FAMILY
from tff_core.miniature.sample import weights
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: writes the scores of the three classifiers, for one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="`variants` of the configuration")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--generators", nargs="+", required=True, help="the first is the one trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    settings, store = options.settings, Store()
    with steps.configured("variants"):
        recipe = training.Config(**settings["training"])
        network, n = settings["network"], tuple(settings["n"])
    first = options.generators[0]
    found = variants.run(
        {part: data.scan(store.data(options.dataset, part, first)) for part in ("train", "val")},
        {name: data.scan(store.data(options.dataset, "test", name)) for name in options.generators},
        weights("test", FAMILY)[0],
        store.root / "variants" / f"s{options.seed}",
        network,
        n=n, settings=recipe, seed=options.seed, device=steps.device(options.device), progress=False,
    )  # fmt: skip
    with atomic_write(options.out) as part:
        found.assign(seed=options.seed).to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
