"""What the data card counts: pictures of a folder, their files, and what a build sampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tff_core.features import pixels
from tff_core.figures import generator_name
from tff_core.pictures import audit, data
from tff_core.store.results import Store, read_json

SAMPLE = 200
"""Pictures per label and folder whose files are looked at."""


def folders(places: Sequence[tuple[str, Path]]) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """What folders of pictures contain, and which properties of their files separate reals from fakes.

    ``places``: name and path of each; one that does not exist is left out. Returns one row per folder
    (folder, reals, fakes, classes, sides, formats, other, unreadable; sides are the smallest and the largest
    width x height), and the table of `audit.separation` with a column ``folder``. The first `SAMPLE` pictures
    of each label are opened.
    """
    rows, tables = [], []
    for name, root in places:
        if not root.is_dir():
            continue
        found = data.scan(root)
        some = found.where(first=SAMPLE)
        facts = pd.DataFrame([audit.facts(path) for path in some.paths]).assign(label=some.labels)
        whole = facts[facts["error"] == ""]
        ends = whole[["width", "height"]].agg(["min", "max"]).to_numpy()
        reals, fakes = found.counts
        rows.append(
            {
                "folder": name,
                "reals": reals,
                "fakes": fakes,
                "classes": len(found.classes),
                "sides": list(dict.fromkeys(f"{width:.0f}x{height:.0f}" for width, height in ends)),
                "formats": list(whole["format"].value_counts().index),
                "other": len(found.stray),
                "unreadable": len(facts) - len(whole),
            }
        )
        tables.append(audit.separation(facts).assign(folder=name))
    return rows, pd.concat(tables, ignore_index=True)


def sampled(store: Store, dataset: str, generators: Sequence[str]) -> list[dict[str, Any]]:
    """Part, generator, reals, fakes and models of each folder that a build sampled, from its manifests."""
    rows = []
    for part in data.PARTS:
        for generator in generators if part == "test" else ["progan"]:
            manifest = store.data(dataset, part, generator) / data.MANIFEST
            if manifest.is_file():
                content = read_json(manifest)
                counts = {"reals": content["counts"]["real"], "fakes": content["counts"]["fake"]}
                models = len(content["config"]["weights"])
                rows.append(
                    {"part": part, "generator": generator_name(generator), **counts, "models": models}
                )
    return rows


def beside(images: data.ImageSet, largest: int = 128) -> dict[str, NDArray[np.uint8]]:
    """Reals and fakes, uint8 (N, H, W, 3), all of one size: large pictures are cropped to their middle."""
    middles = [pixels.middle(picture, largest) for picture in data.load(images, middle=True)]
    shown = [picture.permute(1, 2, 0).numpy() for picture in middles]
    return {
        word: np.stack([picture for picture, own in zip(shown, images.labels, strict=True) if own == label])
        for label, word in enumerate(("real", "fake"))
    }
