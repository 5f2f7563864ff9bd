"""Plant traces of several periods in photographs."""

from __future__ import annotations

import argparse
import json

import steps
from tff_core.localization import waves
from tff_core.miniature.planted import Trace
from tff_core.pictures.data import MANIFEST
from tff_core.store.results import Store, write_json


def main() -> None:
    """Command line: makes the pictures of all periods."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="`law` of the configuration")
    parser.add_argument("--size", type=int, required=True)
    options = parser.parse_args()
    steps.one_thread()
    pictures(options.settings, options.size)
    write_json(Store().root / "planted" / MANIFEST, options.settings)


def pictures(settings: dict, size: int) -> waves.Planted:  # type: ignore[type-arg]
    """The pictures, made where they are not there yet. ValueError where a setting makes no sense."""
    with steps.configured("law"):
        trace, periods, n = Trace(**settings["trace"]), settings["periods"], tuple(settings["n"])
    return waves.plant(Store().root / "planted", trace, periods, n=n, size=size, progress=False)


if __name__ == "__main__":
    steps.run(main)
