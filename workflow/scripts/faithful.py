"""Ask several methods to explain a detector's decisions, and measure how faithful they are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import steps
from tff_core import detectors, lrp
from tff_core.exam import faithfulness, methods
from tff_core.pictures import data
from tff_core.store.checkpoint import write_arrays
from tff_core.store.results import Store, atomic_write

SHOWN = 3  # pictures whose maps are kept


def main() -> None:
    """Command line: writes the measures, the curves and some maps of one trained detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--training", type=int, required=True, help="its place among the seeds")
    parser.add_argument("--generators", nargs="+", required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="`faithful` of the configuration")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", type=Path, nargs=3, required=True, help="measures, curves, maps")
    options = parser.parse_args()
    steps.one_thread()
    store, device = Store(), steps.device(options.device)
    preprocessing = detectors.get(options.detector, store).preprocessing
    with steps.configured("faithful"):
        settings = methods.Settings(
            preprocessing=preprocessing, seed=options.seed, batch_size=options.batch_size,
            **options.settings["methods"],
        )  # fmt: skip
        sizes, n = faithfulness.Sizes(**options.settings["sizes"]), int(options.settings["n"])
    sets = {name: data.scan(store.data(options.dataset, "test", name)) for name in options.generators}
    fakes = {name: images.where(label=1) for name, images in sets.items()}
    generators, pictures = faithfulness.own_pictures(fakes, n, options.training, preprocessing)
    model = detectors.load(options.detector, options.seed, store, device).model
    found = faithfulness.measure(
        lrp.canonize(model), methods.build(model, settings=settings),
        data.normalize(pictures.to(device), preprocessing), sizes,
        seed=options.seed, batch_size=options.batch_size,
    )  # fmt: skip
    values = found.values.assign(generator=[generators[i] for i in found.values["picture"]])
    for table, path in ((values, options.out[0]), (found.curves.assign(n=n), options.out[1])):
        with atomic_write(path) as part:
            table.assign(seed=options.seed).to_csv(part, index=False)
    maps = {name: one[:SHOWN].float().cpu().numpy() for name, one in found.maps.items()}
    shown = {"generators": np.array(generators[:SHOWN]), "pictures": pictures[:SHOWN].numpy()}
    write_arrays(options.out[2], shown | maps)


if __name__ == "__main__":
    steps.run(main)
