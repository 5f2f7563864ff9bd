"""How well a network names sources: confusion, scores of each source, calibration, contradictions.

Two answers are counted: the *gated* one, in which the primary module has the last word, and the *raw* one of
the secondary modules alone. Pictures of sources that the network does not know count as such: right is then
"none of these".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from tff_core import metrics
from tff_core.attribution import answers
from tff_core.attribution.answers import REAL, UNKNOWN, UNREADABLE
from tff_core.attribution.baselines import Network
from tff_core.attribution.inputs import Statistics
from tff_core.attribution.sources import Pictures
from tff_core.intervals import share
from tff_core.reliability import calibration_error
from tff_core.store.results import atomic_write, write_json

WAYS = ("gated", "raw")


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    ``pictures`` are the rows of `answers.attribute` with ``truth`` and ``right``; ``confusion`` has a row for
    each way, truth and answer: ``way, truth, answer, n, share`` (of that truth's pictures); ``sources`` a row
    for detection and each source: ``name, n, ap, auc, precision, recall, f1, calibration``; ``facts`` the
    numbers of all pictures together.
    """

    pictures: pd.DataFrame
    confusion: pd.DataFrame
    sources: pd.DataFrame
    facts: dict[str, Any]

    def write(self, folder: str | Path) -> None:
        """Write ``pictures.csv``, ``confusion.csv``, ``sources.csv`` and ``facts.json`` there."""
        folder = Path(folder)
        for name in ("pictures", "confusion", "sources"):
            with atomic_write(folder / f"{name}.csv") as part:
                getattr(self, name).to_csv(part, index=False)
        write_json(folder / "facts.json", self.facts)


def evaluate(
    net: Network,
    images: Pictures,
    statistics: Statistics | None = None,
    *,
    threshold: float = 0.5,
    device: str | torch.device = "cpu",
    batch_size: int = 64,
    progress: bool = False,
) -> Evaluation:
    """Ask the network about pictures whose sources are known; see `answers.attribute` for the settings.

    Pictures that cannot be judged are counted and left out of all numbers. ValueError where the network has
    no source, or none can be judged.
    """
    if not net.sources:
        raise ValueError("the network names no source: expected one that knows some")
    frame = answers.attribute(
        net, images.paths, statistics, threshold=threshold, device=device, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    names = np.array([*images.names, REAL], dtype=object)  # the source of a real is the last
    frame.insert(1, "truth", names[list(images.sources)])
    expected = frame["truth"].where(frame["truth"].isin([REAL, *net.names]), UNKNOWN)
    frame["right"] = frame["decision"] == expected
    judged = frame[frame["decision"] != UNREADABLE]
    if judged.empty:
        raise ValueError(f"none of {len(frame)} pictures can be judged; the first: {frame['error'].iloc[0]}")
    said = {
        "gated": judged["decision"],
        # without the primary a picture that nobody claims is a real one
        "raw": judged["claimed"].where(judged["claimed"] != "", REAL),
    }
    confusion = pd.concat([_confusion(judged["truth"], said[way]).assign(way=way) for way in WAYS])
    sources = pd.DataFrame(_source(judged, name) for name in ("", *net.names))
    known = judged[judged["truth"].isin([REAL, *net.names])]
    unknown = judged[~judged["truth"].isin([REAL, *net.names])]
    reals, fakes = judged["decision"] == REAL, judged["decision"] != REAL
    facts = {
        "n": len(judged), "unreadable": len(frame) - len(judged), "threshold": threshold,
        "known": share(known["right"]), "unknown": share(unknown["right"]),
        "contradictions": share(judged.loc[reals, "contradiction"]),
        "unclaimed": share(judged.loc[fakes, "claimed"] == ""),
    }  # fmt: skip
    columns = ["way", "truth", "answer", "n", "share"]
    return Evaluation(frame, confusion[columns].reset_index(drop=True), sources, facts)


def _confusion(truth: pd.Series, answer: pd.Series) -> pd.DataFrame:
    table = pd.crosstab(truth, answer).melt(ignore_index=False, value_name="n").reset_index()
    table.columns = pd.Index(["truth", "answer", "n"])
    return table.assign(share=table["n"] / table.groupby("truth")["n"].transform("sum"))


def _source(judged: pd.DataFrame, name: str) -> dict[str, Any]:
    """Scores of a source against everything else, or for "" of the fakes against the reals."""
    column = f"p {name}" if name else "fake"
    labels = (judged["truth"] == name if name else judged["truth"] != REAL).to_numpy(dtype=int)
    called = (judged["decision"] == name if name else judged["decision"] != REAL).to_numpy()
    scores = judged[column].to_numpy(dtype=float)
    both = 0 < labels.sum() < len(labels)
    right = int((called & (labels == 1)).sum())
    precision = right / called.sum() if called.any() else float("nan")
    recall = right / labels.sum() if labels.any() else float("nan")
    f1 = 2 * right / (called.sum() + labels.sum()) if called.any() or labels.any() else float("nan")
    return {
        "name": name or "detection", "n": int(labels.sum()),
        "ap": metrics.average_precision(labels, scores) if both else float("nan"),
        "auc": float(roc_auc_score(labels, scores)) if both else float("nan"),
        "precision": precision, "recall": recall, "f1": f1,
        "calibration": calibration_error(labels, scores),
    }  # fmt: skip
