"""Plant traces of several periods, and measure what one network finds of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import steps
from tff_core.localization import law, training
from tff_core.miniature.planted import Trace
from tff_core.pictures.data import MANIFEST
from tff_core.store.results import Store, atomic_write, write_json


def main() -> None:
    """Command line: makes the pictures; with a network, trains it and writes its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="`law` of the configuration")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--network")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    settings, folder = options.settings, Store().root / "planted"
    try:
        trace, recipe = Trace(**settings["trace"]), training.Config(**settings["training"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"law in the workflow's configuration: {error}") from error
    pictures = law.plant(
        folder, trace, settings["periods"], n=tuple(settings["n"]), size=options.size, progress=False
    )
    if options.network is None:
        write_json(folder / MANIFEST, settings)
        return
    found = law.run(
        [options.network], pictures, folder / "networks", recipe, device=steps.device(options.device)
    )
    with atomic_write(options.out) as part:
        found.to_csv(part, index=False)


if __name__ == "__main__":
    steps.run(main)
