"""Ask one trained detector about changed pictures: degraded ones, and ones without a band of frequencies."""

from __future__ import annotations

import argparse
import json

import pandas as pd
import torch

import steps
from tff_core import detectors, lrp
from tff_core.exam import band_stop, robustness
from tff_core.features.ffrs import Omega
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: writes what was found for one training seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--generators", nargs="+", required=True)
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="`robustness` of the configuration"
    )
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    store, device, settings = Store(), steps.device(options.device), options.settings
    spec = detectors.get(options.detector, store)
    seen = spec.preprocessing
    with steps.configured("robustness"):
        damage = robustness.damage(settings["levels"])
        bands = band_stop.octaves(settings["octaves"])
        n, explained, tuned, n_val = (settings[name] for name in ("n", "explained", "tuned", "n_val"))
    sets = {
        name: data.scan(store.data(options.dataset, "test", name)).where(first=n)
        for name in options.generators
    }
    trained = detectors.load(options.detector, options.seed, store, device)
    net = lrp.canonize(trained.model, bounds=seen.bounds)
    omega = Omega.from_csv(store.omega(options.detector, options.seed), net)
    found = robustness.watch(
        net, sets, [*damage, *band_stop.conditions(bands, seen.highpass)],
        threshold=trained.threshold, k=spec.k, explained=explained, preprocessing=seen,
        batch_size=options.batch_size,
    )  # fmt: skip
    few = [data.load(some.where(first=tuned), middle=True) for some in sets.values()]
    sizes = [one.shape[1:] for one in few]
    alike = torch.cat([one for one in few if one.shape[1:] == max(sizes, key=sizes.count)])
    responses = band_stop.tuning(net, alike, bands, seen, options.batch_size)
    groups = {"top-k": omega.top(spec.k), "layer-matched": omega.matched(spec.k, seed=options.seed)}
    own = [responses[responses["key"].isin(map(str, maps))].assign(group=g) for g, maps in groups.items()]
    validation = data.scan(store.data(options.dataset, "val", "progan")).where(first=n_val)
    logits = detectors.logits(
        trained.model, data.batches(validation, options.batch_size, device=device, preprocessing=seen)
    )
    tables = {
        "degraded": found.pictures,
        "degraded_omega": found.omega,
        "tuning": pd.concat(own, ignore_index=True),
        "validation": pd.DataFrame({"label": validation.labels, "logit": logits}),
    }
    for name, table in tables.items():
        with atomic_write(store.part(name, options.detector, f"s{options.seed}")) as part:
            table.to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
