"""Train a generator on against a patch classifier, and measure what is left of its traces."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import steps
from tff_core.localization import adaptive, training
from tff_core.miniature.camera import EDITION_2
from tff_core.miniature.sample import weights
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line: writes the rows of one generator and one classifier."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--classifier", type=Path, required=True, help="weights")
    parser.add_argument("--settings", type=json.loads, required=True, help="`adaptive` of the configuration")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    settings, store = options.settings, Store()
    with steps.configured("adaptive"):
        again = training.Config(**settings["training"])
        chosen = adaptive.settings(size=options.size, camera=EDITION_2.name, **settings["settings"])
    found = adaptive.experiment(
        weights("test", options.generator)[0],
        options.classifier,
        store.root / "adapted" / f"{options.generator}.s{options.seed}",
        chosen,
        n=tuple(settings["n"]), again=again, seed=options.seed, store=store,
        device=steps.device(options.device), progress=False,
    )  # fmt: skip
    with atomic_write(options.out) as part:
        found.assign(generator=options.generator, seed=options.seed).to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
