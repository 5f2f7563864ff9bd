"""Rank the feature maps of one trained detector by FF-RS omega, on ProGAN-like validation pictures."""

from __future__ import annotations

import argparse

import steps
import torch
from tqdm import tqdm

from tff_core import data, detectors, ffrs, lrp
from tff_core.results import Store


def main() -> None:
    """Command line: writes the two omega tables, for fakes and for reals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--n", type=int, required=True, help="pictures per label")
    parser.add_argument(
        "--confidence", type=float, required=True, help="of the detector, for a picture to count"
    )
    parser.add_argument(
        "--calibrated", action="store_true", help="count confidence from the calibrated threshold"
    )
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    store, device = Store(), steps.device(options.device)
    detector = detectors.load(options.detector, options.seed, store, device)
    images = data.scan(store.data(options.dataset, "val", "progan"))
    if options.calibrated:
        # a detector trained for a few steps calls everything by one label; from its threshold it calls both
        last = [module for module in detector.model.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.bias -= detector.threshold
    net = lrp.canonize(detector.model)
    for label, code in (("fake", 1), ("real", 0)):
        chosen = images.where(label=code, first=options.n)
        batches = data.batches(chosen, options.batch_size, device=device)
        shown = tqdm(batches, total=-(-len(chosen) // options.batch_size), desc=label, unit="batch")
        omega = ffrs.ff_rs(net, shown, label=label, confidence=options.confidence)
        omega.to_csv(store.omega(options.detector, options.seed, label))
        print(
            f"{label}: {omega.count} of {omega.seen} pictures count, {omega.unsure} are too unsure",
            flush=True,
        )


if __name__ == "__main__":
    steps.run(main)
