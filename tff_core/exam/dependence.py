"""Does an explanation depend on the detector? The whole experiment for one detector.

`run` forgets a trained detector's weights step by step and writes down how much of each explanation is left;
`pool` joins training seeds. What follows from the numbers, `tff_core.exam.noticing` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tff_core import intervals, lrp
from tff_core.exam import convergence, pooling, remedies, similarity
from tff_core.exam.randomization import (
    GRADIENT,
    METHODS,
    ZPLUS,
    By,
    Look,
    cascade,
    groups,
    look,
    relevance,
)
from tff_core.features import pixels
from tff_core.pictures import data

Floats = NDArray[np.float64]
TOP_DOWN, ALONE, AGAIN = "top down", "alone", "trained again"
"""In the column order: forgotten from the logit down; one group alone; nothing, but trained anew."""
OMEGA = "omega"
EDGES, NOISE = "edges", "noise"
"""Explanations that know no network: the picture's edges, and random numbers, drawn anew each time."""
SMOOTH = ", smooth"
"""Ends the name of an explanation that is a mean over noisy copies of the picture."""
TO_EDGES = "to edges"
"""In the column order: how alike heatmaps and the picture's edges are."""


@dataclass(frozen=True)
class Settings:
    """How much is computed.

    ``n``: fakes that are explained; as many reals join them where random layers take their statistics.
    ``by``: how layers are grouped, see `randomization.groups`. ``resamples``: of the pictures behind omega.
    ``starts``: pairs of random starts for each picture. ``smooth_n`` pictures are explained by means over
    ``smooth_draws`` copies with noise of ``noise`` times their range of values.
    """

    n: int = 16
    by: By = "stage"
    resamples: int = 100
    starts: int = 2
    smooth_n: int = 8
    smooth_draws: int = 4
    noise: float = 0.1

    def __post_init__(self) -> None:
        least = {"n": 1, "resamples": 2, "starts": 1, "smooth_n": 0, "smooth_draws": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} is {getattr(self, name)}: expected {value} or more")
        if self.by not in ("layer", "block", "stage"):
            raise ValueError(f"by is {self.by!r}: expected 'layer', 'block' or 'stage'")


def run(
    model: nn.Module,
    fakes: Tensor,
    reals: Tensor,
    k: int,
    preprocessing: data.Preprocessing = data.IMAGENET,
    *,
    make: Callable[[], nn.Module] | None = None,
    again: nn.Module | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Forget the weights of one trained detector, and write down what is left of its explanations.

    Args:
        model: the detector, one logit, in evaluation mode; it is not changed.
        fakes: pictures that are explained, uint8 (N, 3, H, W), on any device.
        reals: pictures that join them where random layers take their statistics, likewise.
        k: how many feature maps count as top.
        make: the untrained network, see `randomization.randomised`.
        again: the detector of another training seed, for what two trained ones have in common.
        seed: of the new weights and of all other random numbers.

    Returns:
        ``heatmaps``: rows ``order, depth, group, explanation, measure, picture, value``; ``omega``: rows
        ``order, depth, group, measure, resample, value`` (resample -1: all pictures); ``starts``: as
        `convergence.convergence`, with the rows of `convergence.one_sided`; ``complexity``: rows
        ``explanation, picture, trained, random, value``, entropies in nats and the relative rise.

        A group alone is asked of relevance and omega only. In ``order`` "trained again" and "to edges"
        nothing is forgotten at depth 0. Omega is compared in the layers that keep their weights, except for
        the measure "layers".

    Raises what the explanations raise.
    """
    how = settings or Settings()
    device = next(model.parameters()).device
    x, other = (data.normalize(part.to(device), preprocessing) for part in (fakes, reals))
    steps = groups(model, x, how.by)
    net = lrp.canonize(model, bounds=preprocessing.bounds)
    exam = _Exam(how, k, preprocessing.bounds, net.layers, x, fakes, seed)
    exam.trained(model, net)
    if again is not None:
        exam.note(AGAIN, 0, "", again, exam.canonized(again), set(net.layers))
    drawn = {"make": make, "pictures": torch.cat([x, other])}
    for step in cascade(model, steps, seed, "top down", **drawn):  # type: ignore[arg-type]
        own = exam.canonized(step.model)
        exam.note(TOP_DOWN, step.depth, step.group, step.model, own, step.kept)
        exam.smooth(step.depth, step.group, step.model, own)
        if step.depth == len(steps):
            exam.end(step.depth, step.group)
    for step in cascade(model, steps[1:], seed, "alone", **drawn):  # type: ignore[arg-type]
        kept = step.kept | set(steps[0].modules)
        own = exam.canonized(step.model)
        exam.note(ALONE, step.depth + 1, step.group, step.model, own, kept, [ZPLUS])
    exam.first_alone()
    starts = [
        convergence.convergence(net, x, how.starts, seed),
        convergence.one_sided(net, x),
    ]
    return {
        "heatmaps": pd.concat(exam.heatmaps, ignore_index=True),
        "omega": pd.concat(exam.omega, ignore_index=True),
        "starts": pd.concat(starts, ignore_index=True),
        "complexity": exam.complexity,
    }


class _Exam:
    """One trained detector, what its explanations look like, and how far others are from them."""

    def __init__(
        self,
        settings: Settings,
        k: int,
        bounds: tuple[float, float],
        layers: Mapping[str, int],
        x: Tensor,
        fakes: Tensor,
        seed: int,
    ) -> None:
        self.settings, self.k, self.bounds, self.layers = settings, k, bounds, layers
        self.x, self.seed = x, seed
        self.edges = pixels.edges(fakes)
        self.noise = np.random.default_rng([seed, 1])
        self.heatmaps: list[pd.DataFrame] = []
        self.omega: list[pd.DataFrame] = []
        self.complexity = pd.DataFrame()
        self.whole = self.last = Look({}, np.zeros((0, 0), dtype=np.float32))
        self.even: dict[str, Floats] = {}

    def trained(self, model: nn.Module, net: lrp.Net) -> None:
        """Remember what the trained detector's explanations look like."""
        self.whole = look(model, self.x, self.bounds, net=net)
        self.whole.heatmaps[EDGES] = self.edges
        self.whole.heatmaps[NOISE] = self.noise.random(self.edges.shape)
        for name in METHODS:
            self._heat(TO_EDGES, 0, "", name, self.edges, self.whole.heatmaps[name])
        self.even = self._smooth(model, net)

    def canonized(self, model: nn.Module) -> lrp.Net:
        """The network, ready for relevance."""
        return lrp.canonize(model, bounds=self.bounds)

    def note(
        self,
        order: str,
        depth: int,
        group: str,
        model: nn.Module,
        net: lrp.Net,
        kept: set[str] | frozenset[str],
        methods: Sequence[str] = METHODS,
    ) -> None:
        """Compare another network's explanations with the trained detector's."""
        found = self.last = look(model, self.x, self.bounds, methods, net)
        found.heatmaps[EDGES] = self.edges
        found.heatmaps[NOISE] = self.noise.random(self.edges.shape)
        for name, maps in found.heatmaps.items():
            self._heat(order, depth, group, name, self.whole.heatmaps[name], maps)
        some = {layer for layer in self.layers if layer in kept}
        alike = similarity.omegas(
            self.whole.shares, found.shares, self.layers, self.k, some, self.settings.resamples, self.seed
        )
        for measure, (value, drawn) in alike.items():
            rows = {"resample": np.arange(-1, len(drawn)), "value": np.concatenate([[value], drawn])}
            head = {"order": order, "depth": depth, "group": group, "measure": measure}
            self.omega.append(pd.DataFrame(head | rows))

    def end(self, depth: int, group: str) -> None:
        """Of the network that was noted last, which has forgotten everything: complexity, and edges."""
        parts = []
        for name in METHODS:
            before, after = self.whole.heatmaps[name], self.last.heatmaps[name]
            numbers = {
                "trained": remedies.complexity(before),
                "random": remedies.complexity(after),
                "value": remedies.rise(before, after),
            }
            parts.append(pd.DataFrame({"explanation": name, "picture": np.arange(len(before))} | numbers))
            self._heat(TO_EDGES, depth, group, name, self.edges, after)
        self.complexity = pd.concat(parts, ignore_index=True)

    def smooth(self, depth: int, group: str, model: nn.Module, net: lrp.Net) -> None:
        """Compare means over noisy copies."""
        if self.even:
            for name, maps in self._smooth(model, net).items():
                self._heat(TOP_DOWN, depth, group, name + SMOOTH, self.even[name], maps)

    def _smooth(self, model: nn.Module, net: lrp.Net) -> dict[str, Floats]:
        how = self.settings
        if not how.smooth_n:
            return {}
        ways: dict[str, Callable[[Tensor], Floats]] = {
            ZPLUS: lambda x: relevance(net, x)[0],
            GRADIENT: lambda x: pixels.strength(pixels.gradient(model, x)),
        }
        averaged = partial(
            remedies.smoothed, x=self.x[: how.smooth_n], draws=how.smooth_draws, noise=how.noise,
            seed=self.seed,
        )  # fmt: skip
        return {name: averaged(way) for name, way in ways.items()}

    def _heat(self, order: str, depth: int, group: str, name: str, one: Floats, other: Floats) -> None:
        for measure, values in similarity.heatmaps(one, other).items():
            head = {"order": order, "depth": depth, "group": group, "explanation": name, "measure": measure}
            self.heatmaps.append(pd.DataFrame(head | {"picture": np.arange(len(values)), "value": values}))

    def first_alone(self) -> None:
        """The last layer alone is the first step from the logit down, of which less is asked."""
        asked = {ZPLUS, EDGES, NOISE}
        for tables in (self.heatmaps, self.omega):
            same = [t for t in tables if (t["order"].iloc[0], t["depth"].iloc[0]) == (TOP_DOWN, 1)]
            tables += [t.assign(order=ALONE) for t in same if {*t.get("explanation", asked)} <= asked]


# ------------------------------------------------------------------------------------------ over the seeds


def pool(
    seeds: Sequence[Mapping[str, pd.DataFrame]], resamples: int = 1000, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """The tables of `run` of all training seeds as means with intervals over pictures and seeds.

    Returns ``similarity`` (rows ``order, depth, group, explanation, measure``; omega is the explanation
    "omega"), ``starts`` (rows ``explanation, starts, layer, place``) and ``complexity`` (rows
    ``explanation``), each with ``value, low, high, seeds, covers, n``; n is the number of pictures with a
    value. The pictures are the same for all seeds, and so are their resamples. Raises ValueError where there
    is no seed.
    """
    if not seeds:
        raise ValueError("no training seed: expected the tables of one or more")
    keys = ["order", "depth", "group", "explanation", "measure"]
    heat = _pictures([one["heatmaps"] for one in seeds], keys, intervals.DIFFERENCE, resamples, seed)
    n = seeds[0]["heatmaps"]["picture"].nunique()
    names = ["order", "depth", "group", "measure"]
    rows = []
    for key, every in _together([one["omega"] for one in seeds], names):
        head = dict(zip(names, key, strict=True)) | {"explanation": OMEGA}
        rows.append(head | pooling.over_seeds(every[:, 0], every[:, 1:].T, n, intervals.DIFFERENCE))
    start = ["explanation", "starts", "layer", "place"]
    return {
        "similarity": pd.concat([heat, pd.DataFrame(rows)], ignore_index=True)[[*keys, *pooling.NUMBERS]],
        "starts": _pictures([one["starts"] for one in seeds], start, intervals.SHARE, resamples, seed),
        "complexity": _pictures([one["complexity"] for one in seeds], ["explanation"], None, resamples, seed),
    }


def _together(tables: Sequence[pd.DataFrame], keys: list[str]) -> Iterator[tuple[Any, Floats]]:
    """The values of every group of rows, (S, rows), a row for each table."""
    grouped = [table.groupby(keys, sort=False)["value"] for table in tables]
    for key, values in grouped[0]:
        yield key, np.stack([values.to_numpy(), *(one.get_group(key).to_numpy() for one in grouped[1:])])


def _pictures(
    tables: Sequence[pd.DataFrame],
    keys: list[str],
    bounds: intervals.Bounds | None,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    rows = [
        dict(zip(keys, key, strict=True)) | pooling.over_pictures(every, bounds, resamples, seed)
        for key, every in _together(tables, keys)
    ]
    return pd.DataFrame(rows)[[*keys, *pooling.NUMBERS]]
