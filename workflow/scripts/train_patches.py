"""Train one patch classifier on the pictures that the detectors are trained on."""

from __future__ import annotations

import argparse
import json

import steps
from tff_core.localization import training
from tff_core.pictures import data
from tff_core.store.results import Store


def main() -> None:
    """Command line: writes its weights and what is recorded with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="changes to the recipe, as JSON")
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    store = Store()
    with steps.configured("patch_training"):
        settings = training.Config(**options.settings)
    steps.one_thread()
    training.train(
        options.network,
        *(data.scan(store.data(options.dataset, part, "progan")) for part in ("train", "val")),
        store.patches(options.network, options.seed), settings,
        seed=options.seed, device=steps.device(options.device),
    )  # fmt: skip


if __name__ == "__main__":
    steps.run(main)
