"""Train one network that names the sources of pictures."""

from __future__ import annotations

import argparse
import json

import steps
from tff_core.attribution import sources, training
from tff_core.pictures import data
from tff_core.store.results import Store


def main() -> None:
    """Command line: writes its weights and what is recorded with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folders", type=json.loads, required=True, help="source: data set, as JSON")
    parser.add_argument("--pictures", type=json.loads, required=True, help="of each label, by part, as JSON")
    parser.add_argument("--network", required=True, help="its name and the kind of its input, with _ between")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="pixels a side")
    parser.add_argument("--settings", type=json.loads, required=True, help="changes to the recipe, as JSON")
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    store = Store()
    name, _, kind = options.network.rpartition("_")
    with steps.configured("source_training"):
        settings = training.Config(**options.settings)
    steps.one_thread()
    images, held_out = (
        sources.of_sets(
            {
                source: data.scan(store.data(dataset, part, source)).where(first=options.pictures[part])
                for source, dataset in options.folders.items()
            }
        )
        for part in ("train", "val")
    )
    training.train(
        images, held_out, store.attributor(options.network, options.seed), kind, options.size, settings,
        network=name, seed=options.seed, device=steps.device(options.device),
    )  # fmt: skip


if __name__ == "__main__":
    steps.run(main)
