"""Networks that name sources, side by side: the same pictures, every training seed, paired intervals.

Each source is a question of its own, its fakes against all other pictures, and each network has a score for
it, so that AP compares networks of any kind without a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from tff_core import intervals, metrics
from tff_core.attribution import evaluation, weights
from tff_core.attribution.answers import REAL, UNREADABLE
from tff_core.attribution.baselines import PLAIN, Baseline
from tff_core.attribution.evaluation import Evaluation
from tff_core.attribution.sources import Pictures
from tff_core.store.results import Store

Asked = dict[str, list[Evaluation]]
"""By the name of a network what it answers, trained from each seed."""


def files(store: Store, networks: Sequence[str], seeds: Sequence[int]) -> dict[str, list[Path]]:
    """The weights of networks of a build, such as "modules_dct", trained from each seed; see `ask`."""
    return {
        name: [
            store.attributor(name, seed) for seed in seeds[: 1 if name.rpartition("_")[0] in PLAIN else None]
        ]
        for name in networks
    }


def ask(
    networks: Mapping[str, Sequence[str | Path]],
    images: Pictures,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
) -> Asked:
    """What networks answer to the same pictures.

    ``networks``: by name the weights of every training seed, as many of each; a plain network has no
    randomness (see `plain`), and one file of it stands for all seeds. ValueError where there are different
    numbers of files.
    """
    found: Asked = {}
    plain = []
    for name, paths in networks.items():
        loaded = [weights.load([path]) for path in paths]
        if any(isinstance(net, Baseline) and net.name in PLAIN for net, _ in loaded):
            plain.append(name)
            loaded = loaded[:1]
        found[name] = [
            evaluation.evaluate(net.to(device), images, statistics, device=device, batch_size=batch_size)
            for net, statistics in loaded
        ]
    seeds = {len(some) for name, some in found.items() if name not in plain} or {1}
    if len(seeds) > 1:
        told = ", ".join(f"{len(some)} of {name}" for name, some in found.items())
        raise ValueError(f"networks of different numbers of seeds ({told}): expected as many of each")
    return {name: some * max(seeds) if name in plain else some for name, some in found.items()}


def attribution(asked: Asked, resamples: int = metrics.RESAMPLES) -> pd.DataFrame:
    """AP of naming each source, its fakes against all other pictures, and how far networks are apart.

    Rows of `intervals.compare_ap` with a column ``generator``, the source that all networks know; ``n_fake``
    counts its pictures, ``n_real`` all others. ValueError where no source is known to all.
    """
    return _each(asked, lambda truth, source: np.ones(len(truth), dtype=bool), "p {}", resamples)


def detection(asked: Asked, resamples: int = metrics.RESAMPLES) -> pd.DataFrame:
    """AP of detecting the fakes of each source, known to the networks or not, among the reals.

    Rows as in `attribution`; ``n_real`` counts the reals.
    """
    return _each(asked, lambda truth, source: (truth == source) | (truth == REAL), "fake", resamples)


def _each(
    asked: Asked,
    among: Callable[[NDArray[np.object_], str], NDArray[np.bool_]],
    column: str,
    resamples: int,
) -> pd.DataFrame:
    frames = {name: [one.pictures for one in some] for name, some in asked.items()}
    first = next(iter(frames.values()))[0]
    truth = first["truth"].to_numpy(dtype=object)
    judged = np.logical_and.reduce(
        [(frame["decision"] != UNREADABLE).to_numpy() for some in frames.values() for frame in some]
    )
    sources = [name for name in dict.fromkeys(truth[judged]) if name != REAL]
    known = [
        s for s in sources if all(column.format(s) in frame for some in frames.values() for frame in some)
    ]
    if not known:
        raise ValueError(f"no source is known to all of {', '.join(asked)}: expected pictures of one that is")
    tables = []
    for source in known:
        members = judged & among(truth, source)
        scores = {
            name: np.stack([frame[column.format(source)].to_numpy(dtype=float)[members] for frame in some])
            for name, some in frames.items()
        }
        rows = intervals.compare_ap((truth[members] == source).astype(int), scores, resamples)
        tables.append(rows.assign(generator=source))
    table = pd.concat(tables, ignore_index=True)
    return table[["generator", *table.columns.drop("generator")]]
