"""One detector of a known trace through the whole exam: what it uses, from which dose on, and who finds it.

Reals of the book's own pictures carry the trace; the answers are tables, one for each question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tff_core.exam import carriers, color_truth, dose, place, planting
from tff_core.exam.known import Recipe, learnt, looks_at_color, train, use
from tff_core.store.results import Store

TABLES = (
    "known_use",
    "known_dose",
    "known_scores",
    "known_place",
    "known_maps",
    "known_dropped",
    "known_color",
)
"""The tables of one detector, each with columns ``case`` and ``seed``."""
SHOWN = 3  # pictures that a page shows


@dataclass(frozen=True)
class Settings:
    """What is planted and how much is asked.

    ``n``: scenes to learn from, to choose the threshold on, and to test. ``amplitudes`` by channel, in levels
    of 255. ``explained`` pictures are explained, ``dropped`` scenes measured without each feature map of
    ``layers``. ``robust_steps`` are those of the colour-robust twin of a detector with traces in luma and in
    chroma, which has to learn both.
    """

    n: tuple[int, int, int] = (240, 60, 60)
    amplitudes: Mapping[str, float] = field(default_factory=lambda: dict(planting.AMPLITUDES))
    explained: int = 32
    dropped: int = 8
    layers: tuple[str, ...] = ("conv1",)
    steps: int = Recipe.steps
    robust_steps: int = 100
    scenes: int = Recipe.scenes
    network: str = Recipe.network
    k: int = Recipe.k
    integrated: int = 16

    def __post_init__(self) -> None:
        if len(self.n) != 3 or min(*self.n, self.explained, self.dropped, self.integrated) < 1:
            raise ValueError(
                f"n is {self.n}, explained {self.explained}, dropped {self.dropped}, integrated "
                f"{self.integrated}: expected three numbers of scenes, and 1 at least of all"
            )


class Examined(NamedTuple):
    """The answers: tables by name (`TABLES`), and what a page shows of the first pictures, by name."""

    tables: dict[str, pd.DataFrame]
    shown: dict[str, NDArray[Any]]


def examine(
    pixels: Mapping[str, Tensor],
    case: str,
    seed: int = 0,
    settings: Settings | None = None,
    device: str | torch.device = "cpu",
) -> Examined:
    """Train a detector of a case and its colour-robust twin, and ask everything of them.

    ``pixels``: photographs, uint8 (N, 3, H, W), by part ("train", "val", "test"), at least as many as ``n``
    of the settings. A detector that has not learnt the trace (`known.learnt`), or calls no picture with it
    fake, is asked no more than what it uses and from which dose on: its other tables have no rows.

    Test scenes and places are the same for all cases and seeds. Raises ValueError for too few pictures and an
    unknown case.
    """
    settings = settings or Settings()
    traces = planting.case(case, settings.amplitudes)
    sets = []
    for number, (part, n) in enumerate(zip(("train", "val", "test"), settings.n, strict=True)):
        if len(pixels[part]) < n:
            raise ValueError(
                f"{len(pixels[part])} {part} pictures to plant traces in: expected {n}; sample more, or "
                "ask for less"
            )
        sets.append(planting.put(pixels[part][:n], traces, number))
    recipe = Recipe(settings.network, settings.steps, settings.scenes, k=settings.k)
    known = train(sets[0], sets[1], recipe, seed, device)
    test = sets[2]
    used = use(known, test).assign(case=case)
    bare, marked = dose.scores(known, test)
    amplitudes = [d * traces[0].amplitude for d in dose.DOSES]
    curve = dose.curve(bare, marked, amplitudes, known.threshold)
    full = marked[dose.DOSES.index(1.0)]
    called = np.flatnonzero(full >= max(known.threshold, 0.0))  # relevance explains a logit above zero
    counts = learnt(used) and bool(len(called))
    tables = {
        "known_use": used.assign(learnt=counts, color=looks_at_color(used), clipped=test.clipped),
        "known_dose": curve,
        "known_scores": _scores(bare, marked, amplitudes),
    }
    heat: dict[str, NDArray[Any]] = {}
    if counts:
        called = called[: settings.explained]
        some = test.take(called)
        heat = place.explain(known, some.marked, place.methods(known, settings.integrated), seed)
        ranking = carriers.omega(known, test)
        few = test.take(range(min(settings.dropped, len(test))))
        gray = replace(recipe, grayscale=0.5)
        if len(traces) > 1:
            gray = replace(gray, steps=settings.robust_steps)
        robust = train(sets[0], sets[1], gray, seed, device)
        said = color_truth.ask(known, robust, test, ranking)
        tables |= {
            "known_place": place.measure(heat, some.where, called.tolist()),
            "known_maps": carriers.carried(known, few, ranking, settings.layers),
            "known_dropped": carriers.top_dropped(known, test, ranking),
            "known_color": said.assign(color=looks_at_color(used)),
        }
        shown = {"bare": some.bare, "marked": some.marked, "where": torch.from_numpy(some.where)}
    else:
        shown = {"bare": test.bare, "marked": test.marked, "where": torch.from_numpy(test.where)}
        tables |= {name: pd.DataFrame() for name in TABLES if name not in tables}
    head = {"case": case, "seed": seed}
    pictures = {name: values[:SHOWN].numpy() for name, values in shown.items()}
    pictures |= {f"heat_{name}": values[:SHOWN].astype(np.float32) for name, values in heat.items()}
    return Examined({name: _headed(rows, head) for name, rows in tables.items()}, pictures)


def _scores(bare: NDArray[Any], marked: NDArray[Any], amplitudes: list[float]) -> pd.DataFrame:
    """The logits behind a curve, for the limit over several seeds: a row for each scene and amplitude."""
    rows = [
        pd.DataFrame({"amplitude": a, "scene": range(len(bare)), "bare": bare, "marked": values})
        for a, values in zip(amplitudes, marked, strict=True)
    ]
    return pd.concat(rows, ignore_index=True)


def _headed(rows: pd.DataFrame, head: Mapping[str, Any]) -> pd.DataFrame:
    kept = rows.drop(columns=[name for name in head if name in rows])
    return pd.concat([pd.DataFrame([head] * len(kept), index=kept.index, columns=list(head)), kept], axis=1)


def read(store: Store, cases: Sequence[str], seeds: Sequence[int]) -> dict[str, pd.DataFrame]:
    """The tables of several detectors, by name, as they lie on disk; FileNotFoundError without one."""
    found = {}
    for name in TABLES:
        parts = [pd.read_csv(store.part(name, case, f"s{seed}")) for case in cases for seed in seeds]
        found[name] = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return found


def limits(scores: pd.DataFrame, level: float = dose.LEVEL) -> pd.DataFrame:
    """The detection limit of each case over its training seeds: rows ``case`` and those of `dose.limit`.

    ``scores``: the tables "known_scores" of several detectors.
    """
    rows = []
    for case, own in scores.groupby("case", sort=False):
        by_seed, amplitudes = {}, sorted(set(own["amplitude"]))
        for seed, some in own.groupby("seed"):
            wide = some.pivot(index="amplitude", columns="scene", values="marked").loc[amplitudes]
            bare = some[some["amplitude"] == amplitudes[0]].sort_values("scene")["bare"]
            by_seed[int(str(seed))] = bare.to_numpy(), wide.to_numpy()
        rows.append({"case": case, **dose.limit(by_seed, amplitudes, level)})
    return pd.DataFrame(rows)
