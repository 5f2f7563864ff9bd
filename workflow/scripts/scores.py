"""The logit of every test picture of one generator under every condition, for one trained detector."""

from __future__ import annotations

import argparse
from pathlib import Path

import steps
from tff_core.features import sensitivity
from tff_core.features.ffrs import Omega
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--n", type=int, required=True, help="pictures per label; 0: all")
    parser.add_argument("--random", type=int, required=True, help="draws of the uniform control")
    parser.add_argument("--matched", type=int, required=True, help="draws of the layer-matched control")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", type=Path, required=True, help="compressed table of scores")
    options = parser.parse_args()
    steps.one_thread()
    store = Store()
    images = data.scan(store.data(options.dataset, "test", options.generator)).where(first=options.n or None)
    omega = Omega.from_csv(store.omega(options.detector, options.seed))
    frame = sensitivity.scores(
        options.detector, [options.seed], images, {options.seed: omega},
        n_random=options.random, n_matched=options.matched,
        store=store, device=steps.device(options.device), batch_size=options.batch_size,
    )  # fmt: skip
    with atomic_write(options.out) as part:
        frame.to_csv(part, index=False, compression=steps.GZIP)


if __name__ == "__main__":
    steps.run(main)
