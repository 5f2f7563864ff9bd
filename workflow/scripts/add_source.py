"""Teach networks that name sources one more, a generator that was added, and test them on all of them."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pandas as pd
import torch

import steps
from tff_core.attribution import addition, comparison, sources, summary, training
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write, write_json

PARTS = ("train", "val", "test")
SCORES = ("name", "measure", "value", "low", "high", "seeds", "covers", "n", "n_others")
CONFUSION = ("seed", "way", "truth", "answer", "n", "share")


def main() -> None:
    """Command line: writes what was divided, the scores of every source and the confusion of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--dataset", required=True, help="of the test pictures")
    parser.add_argument("--named", required=True, help="data set that the divided pictures go to")
    parser.add_argument("--folders", type=json.loads, required=True, help="known source: data set, as JSON")
    parser.add_argument("--pictures", type=json.loads, required=True, help="of each label, by part, as JSON")
    parser.add_argument("--least", type=int, required=True, help="pictures of each label, for all parts")
    parser.add_argument("--network", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--size", type=int, required=True, help="pixels a side")
    parser.add_argument("--settings", type=json.loads, required=True, help="changes to the recipe, as JSON")
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    steps.one_thread()
    store = Store()
    own = {part: store.data(options.named, part, options.generator) for part in PARTS}
    about: dict[str, Any] = {
        "generator": options.generator, "network": options.network, "dataset": options.named, "lacks": "",
    }  # fmt: skip
    scores, confusion = pd.DataFrame(columns=SCORES), pd.DataFrame(columns=CONFUSION)
    try:
        images = data.scan(store.data(options.dataset, "test", options.generator))
        about["pictures"] = addition.divide(images, own, options.size, options.pictures, options.least)
    except addition.TooFew as error:
        about["lacks"] = str(error)
        print(f"{options.generator} gets no module: {error}")
    else:
        about["weights"] = learn(
            options, store, *(about["pictures"][part]["fake"] for part in ("train", "val"))
        )
        scores, confusion = test(options, store, [store.root / path for path in about["weights"]])
    part = store.part("source_added", options.network, options.generator)
    for path, table in ((part, scores), (part.with_suffix(".confusion.csv"), confusion)):
        with atomic_write(path) as unfinished:
            table.to_csv(unfinished, index=False)
    write_json(part.with_suffix(".json"), about)


def pictures(options: argparse.Namespace, store: Store, part: str, first: int) -> sources.Pictures:
    """Of the known sources as many as ``first``, of each label, and all of the added one's part."""
    known = {
        source: data.scan(store.data(options.dataset if part == "test" else dataset, part, source))
        for source, dataset in options.folders.items()
    }
    sets = {source: images.where(first=first) for source, images in known.items()}
    return sources.of_sets(
        sets | {options.generator: data.scan(store.data(options.named, part, options.generator))}
    )


def learn(options: argparse.Namespace, store: Store, n: int, n_val: int) -> list[str]:
    """Train the module beside each network that is there; the weights, below the build folder."""
    with steps.configured("source_training"):
        settings = training.Config(**options.settings)
    settings = addition.recipe(settings, options.pictures["train"], n)
    images, held_out = (pictures(options, store, *one) for one in (("train", n), ("val", n_val)))
    name, _, kind = options.network.rpartition("_")
    found = []
    for seed in options.seeds:
        path = training.train(
            images, held_out, store.attributor(f"{options.network}+{options.generator}", seed), kind,
            options.size, settings, network=name, seed=seed, start=store.attributor(options.network, seed),
            device=steps.device(options.device),
        )  # fmt: skip
        found.append(path.relative_to(store.root).as_posix())
    return found


def test(options: argparse.Namespace, store: Store, weights: list) -> tuple[pd.DataFrame, pd.DataFrame]:  # type: ignore[type-arg]
    """Scores of detection and of each source, and the answers of each network."""
    images = pictures(options, store, "test", options.pictures["test"])
    device: torch.device = steps.device(options.device)
    asked = comparison.ask({"": weights}, images, device=device)[""]
    frames = [one.confusion.assign(seed=seed) for seed, one in zip(options.seeds, asked, strict=True)]
    return summary.by_source(asked, images.names), pd.concat(frames)[list(CONFUSION)]


if __name__ == "__main__":
    steps.run(main)
