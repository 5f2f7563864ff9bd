"""Which fakes should a patch classifier learn from: samples of a generator, inversions of the reals, or both?

A sample shows something that no real shows, an inversion exactly what one real shows. Three classifiers are
trained, which differ in their fakes alone:

* ``samples``: pictures of one generator;
* ``inversions``: each real, made again by an autoencoder (`tff_core.miniature.inversions`);
* ``both``: inversions of the first half of the reals, and for the other half samples.

Reals, numbers of pictures, steps, first weights and random numbers are the same, and an inversion is always
in one batch with its real. Each classifier is tested on held-out samples, on inversions of held-out reals,
and on generators that none has seen.

Source: Chai et al., ECCV 2020, whose main classifiers learn from both. There the two sets are joined, so that
both is more than either; here it is as many, so that only the kind of fakes differs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tff_core import detectors, intervals
from tff_core.localization import evaluation, networks, training, weights
from tff_core.localization.treatments import split
from tff_core.miniature.inversions import FAMILY, invert
from tff_core.pictures import data

KINDS = ("samples", "inversions", "both")


def fake_sets(
    reals: Sequence[Path], samples: Sequence[Path], inversions: Sequence[Path]
) -> dict[str, data.ImageSet]:
    """The same reals with each kind of fakes, by its name; the i-th inversion is that of the i-th real.

    ValueError where there are different numbers of them, or none.
    """
    if len({len(reals), len(samples), len(inversions)}) != 1 or not reals:
        raise ValueError(
            f"{len(reals)} reals, {len(samples)} samples and {len(inversions)} inversions: expected as many "
            "of each, and one at least"
        )
    half = len(reals) // 2
    fakes = {
        "samples": [*samples],
        "inversions": [*inversions],
        "both": [*inversions[:half], *samples[half:]],
    }
    return {kind: _labelled(reals, fakes[kind]) for kind in KINDS}


def run(
    known: Mapping[str, data.ImageSet],
    tests: Mapping[str, data.ImageSet],
    model: str | Path,
    folder: str | Path,
    network: str,
    *,
    n: tuple[int, int, int] = (200, 40, 60),
    settings: training.Config | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Train ``network`` on each kind of fakes and score all test pictures.

    ``known``: reals and samples under "train" and "val"; the seed draws ``n[0]`` and ``n[1]`` of each label.
    ``tests``: reals and fakes by generator; the first ``n[2]`` of each label are taken, whatever the seed.
    The first generator is the one of the known samples; inversions of its test reals make one more test,
    called as the autoencoder. ``model`` are the autoencoder's weights. Below ``folder`` are inversions and
    networks; what is there is left alone, what was interrupted continued.

    A row for each kind and test picture: ``network, trained`` (one of `KINDS`), ``generator, picture`` (its
    place in the test), ``label, score`` (the mean of P(fake) over cells); see `compare`.

    Raises ValueError where there are too few pictures, no tests, or one called as the autoencoder, and as
    `invert` and `training.train`.
    """
    networks.known(network)
    settings = training.unresized(settings)
    if not tests or FAMILY in tests:
        raise ValueError(
            f"tests of {', '.join(tests) or 'no generator'}: expected one at least, and none of {FAMILY}, "
            "which makes the inversions"
        )
    folder = Path(folder)
    where = torch.device(device) if device is not None else detectors.default_device()
    sets = {}
    for part, count in zip(("train", "val"), n, strict=False):
        reals, samples = (split(known[part].where(label=label).paths, [count], seed)[0] for label in (0, 1))
        sets[part] = fake_sets(reals, samples, invert(reals, folder / "inverted" / part, model, progress))
    shown = {name: images.where(first=n[2]) for name, images in tests.items()}
    held_out = next(iter(shown.values())).where(label=0).paths
    shown[FAMILY] = _labelled(held_out, invert(held_out, folder / "inverted" / "test", model, progress))
    tables = []
    for kind in KINDS:
        path = folder / f"{kind}.{network}.s{seed}.safetensors"
        training.train(
            network, sets["train"][kind], sets["val"][kind], path, settings, seed=seed, device=where,
            progress=progress,
        )  # fmt: skip
        net, seen = weights.load(path).to(where), weights.preparation(path)
        for name, images in shown.items():
            margins = evaluation.cells(net, images, seen, device=where, batch_size=batch_size)
            tables.append(
                pd.DataFrame(
                    {
                        "network": network, "trained": kind, "generator": name,
                        "picture": range(len(images)), "label": images.labels,
                        "score": evaluation.ensembles(margins)["after_softmax"],
                    }
                )
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def compare(scores: pd.DataFrame) -> pd.DataFrame:
    """AP of each kind of training on each generator's test, and their differences on the same pictures.

    ``scores``: rows of `run` with a column ``seed``. Rows of `tff_core.intervals.compare_ap`, whose names are
    those of `KINDS`, with a column ``generator`` before them. ValueError where a seed lacks pictures that
    another has.
    """
    tables = []
    for generator, own in scores.groupby("generator", sort=False):
        wide = own.pivot(index="picture", columns=["trained", "seed"], values="score")
        labels = own.drop_duplicates("picture").set_index("picture")["label"].loc[wide.index]
        by = {kind: wide[kind].to_numpy().T for kind in KINDS}
        if any(np.isnan(one).any() for one in by.values()):
            raise ValueError(f"{generator}: trainings were scored on different pictures: expected the same")
        rows = intervals.compare_ap(labels.to_numpy(), by)
        rows.insert(0, "generator", generator)
        tables.append(rows)
    return pd.concat(tables, ignore_index=True)


def _labelled(reals: Sequence[Path], fakes: Sequence[Path]) -> data.ImageSet:
    """Reals and fakes as one set, in their order: the i-th of both make a pair."""
    paths = tuple(path.absolute() for path in (*reals, *fakes))
    root = Path(os.path.commonpath([path.parent for path in paths]))
    labels = (0,) * len(reals) + (1,) * len(fakes)
    return data.ImageSet(root, paths, labels, ("",) * len(paths))
