"""Rank the feature maps of one trained detector by FF-RS omega, on ProGAN-like validation pictures."""

from __future__ import annotations

import argparse

import steps
from tff_core.features import sensitivity


def main() -> None:
    """Command line: writes the two omega tables, for fakes and for reals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--n", type=int, required=True, help="pictures per label; 0: all")
    parser.add_argument("--confidence", type=float, required=True, help="for a picture to count")
    parser.add_argument("--calibrated", action="store_true", help="confidence from the calibrated threshold")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    sensitivity.rank(
        options.detector, options.seed, n=options.n or None, confidence=options.confidence,
        calibrated=options.calibrated, device=steps.device(options.device), batch_size=options.batch_size,
    )  # fmt: skip


if __name__ == "__main__":
    steps.run(main)
