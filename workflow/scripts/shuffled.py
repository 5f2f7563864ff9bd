"""Train a detector of shuffled labels beside one of the true labels, and keep what they look at."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import steps
from tff_core import detectors, lrp
from tff_core.detectors import training
from tff_core.exam import shuffled
from tff_core.pictures import data
from tff_core.store.results import Store


def main() -> None:
    """Command line: writes what the networks of one seed look at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="`shuffled` of the configuration")
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    steps.one_thread()
    store, device, settings = Store(), steps.device(options.device), options.settings
    with steps.configured("shuffled"):
        recipe, n = training.Config(**settings["training"]), int(settings["n"])
    spec = detectors.get(options.detector, store)
    images = training.pictures(spec, store, "train", recipe.n)
    networks = shuffled.train(spec, images, options.seed, recipe, device)
    mixed = shuffled.shuffle(images, options.seed)
    held_out = training.pictures(spec, store, "val", n)
    facts = {
        "own labels": shuffled.right(networks[shuffled.SHUFFLED], mixed, spec.preprocessing, device),
        "true labels": shuffled.right(networks[shuffled.TRUE], held_out, spec.preprocessing, device),
        "shuffled labels": shuffled.right(networks[shuffled.SHUFFLED], held_out, spec.preprocessing, device),
        "n": len(held_out),
        "n_train": len(images),
    }
    fakes = data.load(held_out.where(label=1), spec.preprocessing)
    x = data.normalize(fakes.to(device), spec.preprocessing)
    looks = shuffled.looks(networks, x, spec.preprocessing.bounds)
    sizes = lrp.canonize(networks[shuffled.TRUE], bounds=spec.preprocessing.bounds).layers
    shuffled.write(options.out, looks, sizes, facts)


if __name__ == "__main__":
    steps.run(main)
