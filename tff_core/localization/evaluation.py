"""How well a patch classifier tells reals from fakes, in each way of putting its cells together.

Of the logits of a picture's cells,

* ``before_softmax``: the softmax of their mean,
* ``after_softmax``: the mean of their softmax (the paper's),
* ``vote``: the share of cells that say fake,
* ``patch``: every cell by itself, with its picture's label.

All are P(fake), and fakes are the positives. The published code counts reals as the positives: its AP is
``ap_real``. A whole network has one answer, ``picture``.

Source: Chai et al., ECCV 2020, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from tqdm import tqdm

from tff_core import intervals, metrics
from tff_core.localization import inputs, maps
from tff_core.localization.inputs import Degrade, Preparation
from tff_core.localization.networks import PatchClassifier, smallest
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import write_arrays
from tff_core.store.results import write_json, write_text

ENSEMBLES = ("before_softmax", "after_softmax", "vote")
WHOLE = "picture"
# names of the published result files
_FILES = {
    "before_softmax": "metrics_avg_before_softmax", "after_softmax": "metrics_avg_after_softmax",
    "vote": "metrics_voted", "patch": "metrics_patch", WHOLE: "metrics",
}  # fmt: skip
Floats = NDArray[np.float64]


def ensembles(margins: NDArray[np.floating[Any]]) -> dict[str, Floats]:
    """P(fake) of pictures, (N,), by each way of joining cells; margins (N, h, w) as `maps.margin`."""
    cells = np.asarray(margins, dtype=np.float64).reshape(len(margins), -1)
    return {
        "before_softmax": expit(cells.mean(1)),
        "after_softmax": expit(cells).mean(1),
        "vote": (cells >= 0).mean(1),  # a cell that cannot tell counts as fake, as at the threshold
    }


@dataclass(frozen=True)
class Curve:
    """Precision and recall, (K + 1,), at and above each of the thresholds, (K,), which are P(fake)."""

    precision: Floats
    recall: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    ``table`` has a row for each ensemble: ``ensemble, ap, low, high`` (bootstrap over pictures; missing for
    single cells, which are not independent), ``auc, ap_real, accuracy, acc_real, acc_fake, n, n_real,
    n_fake``; called fake where P(fake) is at least 0.5. ``pictures`` has a row for each picture: ``path,
    label, group``, P(fake) by each ensemble, ``cells, width, height, error``. ``warning`` says what is wrong
    with the order of the scores, "" where nothing is.
    """

    table: pd.DataFrame
    pictures: pd.DataFrame
    curves: dict[str, Curve]
    warning: str
    facts: dict[str, Any] = field(default_factory=dict)

    def main(self) -> dict[str, Any]:
        """The row of ``before_softmax``, whose order has no rounding; of a whole network its only one."""
        rows = self.table[self.table["ensemble"].isin(("before_softmax", WHOLE))]
        return {str(name): value for name, value in rows.to_dict("records")[0].items()}

    def numbers(self) -> dict[str, Any]:
        """Of `main` the ``ap, low, high, n, auc``, with ``chance``, the AP of a random order, and ``told``.

        ``told``: chance does not explain the order, of reals and fakes or of fakes and reals (Mann-Whitney,
        two-sided level of 5 %). That test is exact; the interval of an AP lies a little high at chance.
        """
        row = self.main()
        scores = self.pictures[row["ensemble"]]
        there = scores.notna()
        order = metrics.order(self.pictures["label"][there], scores[there])
        return {
            **{name: row[name] for name in ("ap", "low", "high", "n", "auc")},
            "chance": metrics.chance(row["n_real"], row["n_fake"]),
            "told": order.reversed or not order.at_chance,
        }

    def write(self, folder: str | Path) -> None:
        """Into a folder: ``metrics.csv`` and ``.json``, ``scores.csv``, and the published code's npz files.

        Each npz has ``ap, precision, recall, thresholds, acc, n`` (fakes are the positives). Every file is
        written whole or not at all.
        """
        folder = Path(folder)
        for row in self.table.to_dict("records"):
            curve = self.curves[row["ensemble"]]
            write_arrays(
                folder / f"{_FILES[row['ensemble']]}.npz",
                {
                    "ap": np.array(row["ap"]), "acc": np.array(row["accuracy"]), "n": np.array(row["n"]),
                    "precision": curve.precision, "recall": curve.recall, "thresholds": curve.thresholds,
                },
            )  # fmt: skip
        write_text(folder / "scores.csv", self.pictures.to_csv(index=False))
        write_text(folder / "metrics.csv", self.table.to_csv(index=False))
        rows = [
            {
                key: None if isinstance(value, float) and np.isnan(value) else value
                for key, value in row.items()
            }
            for row in self.table.to_dict("records")
        ]
        write_json(folder / "metrics.json", {**self.facts, "warning": self.warning, "rows": rows})


def evaluate(
    net: PatchClassifier,
    images: data.ImageSet,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    patches: bool = True,
    degrade: Degrade | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    progress: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Test a patch classifier, on the device where it is, on reals and fakes.

    ``patches``: also measure single cells, whose scores are kept (4 bytes each); all else takes memory that
    does not depend on the number of pictures. ``degrade`` changes the pictures after their preparation.
    ``seed`` is that of the bootstrap.

    Pictures that cannot be read, or are too small, have a row that says so and count in nothing. Raises
    ValueError where there are no reals or no fakes (left).
    """
    if len(set(images.labels)) < 2:
        kind = ("reals", "fakes")[images.labels[0]] if len(images) else "no pictures"
        raise ValueError(
            f"{images.root} has {len(images)} pictures, all of one class ({kind}): expected reals and fakes, "
            "to tell apart"
        )
    names = (WHOLE,) if net.whole else ENSEMBLES
    rows: list[dict[str, Any]] = [
        {"path": str(path), "label": label, "group": group}
        for path, label, group in zip(images.paths, images.labels, images.groups, strict=True)
    ]
    means = np.full(len(images), np.nan)  # of the margins: the order of before_softmax without its rounding
    cells: list[tuple[int, NDArray[np.float32]]] = []
    broken: dict[int, Exception] = {}
    parts = memory.Parts()
    stream = inputs.stream(
        images.paths, preparation, whole=net.whole, batch_size=batch_size, broken=broken, degrade=degrade
    )
    with tqdm(total=len(images), desc="pictures", unit="picture", disable=not progress) as bar:
        for members, pixels in stream:
            try:
                margins = (
                    maps.margin(net, inputs.normalised(pixels, device, preparation), parts)
                    .float()
                    .cpu()
                    .numpy()
                )
            except (ValueError, memory.OutOfMemory) as error:
                if not too_small(net, pixels, error):
                    raise
                broken |= {place: data.PictureError(f"{images.paths[place]}: {error}") for place in members}
                continue
            found = ensembles(margins)
            for n, place in enumerate(members):
                rows[place] |= {
                    name: float(found["before_softmax" if name == WHOLE else name][n]) for name in names
                }
                rows[place] |= {
                    "cells": margins[n].size, "width": pixels.shape[-1], "height": pixels.shape[-2]
                }  # fmt: skip
                means[place] = margins[n].mean(dtype=np.float64)
                if patches and not net.whole:
                    cells.append((place, margins[n].ravel()))
            bar.update(len(members))
    for place, wrong in broken.items():
        rows[place]["error"] = str(wrong)
    columns = ["path", "label", "group", *names, "cells", "width", "height", "error"]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.astype({"cells": "Int64", "width": "Int64", "height": "Int64"})
    there = np.isfinite(means)
    labels = np.array(images.labels)
    if len(set(labels[there])) < 2:
        first = next(iter(broken.values()))
        raise ValueError(f"{images.root}: no {_kind(labels[there])} are left to test on; the first: {first}")
    table, curves = [], {}
    for name in names:
        p = frame[name].to_numpy(dtype=np.float64)[there]
        scores = means[there] if name in ("before_softmax", WHOLE) else p
        row, curves[name] = _measured(name, labels[there], scores, p)
        interval = metrics.ap_interval(labels[there], scores, seed=seed)
        table.append(row | {"low": interval.low, "high": interval.high})
    if cells:
        cells.sort(key=lambda one: one[0])  # the order of the pictures, whatever the batches were
        every = np.concatenate([values for _, values in cells])
        label = np.repeat(labels[[place for place, _ in cells]], [len(values) for _, values in cells])
        row, curves["patch"] = _measured("patch", label, every, expit(every.astype(np.float64)))
        table.append(row | {"low": np.nan, "high": np.nan})
    order = [
        "ensemble", "ap", "low", "high", "auc", "ap_real", "accuracy", "acc_real", "acc_fake", "n", "n_real",
        "n_fake",
    ]  # fmt: skip
    facts = {
        "network": net.name, "fake_class": net.fake_class, "weights": net.init, "positives": "fakes",
        "pictures": str(images.root), "load": preparation.load, "fine": preparation.fine,
        "broken": len(broken),
    }  # fmt: skip
    warning = metrics.order(labels[there], means[there]).warning()
    return Evaluation(pd.DataFrame(table)[order], frame, curves, warning, facts)


def difference(one: Evaluation, other: Evaluation, seed: int = 0) -> metrics.Interval:
    """How much higher the AP of the main ensemble is in ``one`` than in ``other``, paired by picture.

    Both are of the same pictures, or of as many with the same labels in the same order, such as the same
    scenes before and after a change. Pictures that one of them could not read are left out of both. The
    interval is that of resampled pairs. ValueError where the labels differ.
    """
    if not one.pictures["label"].equals(other.pictures["label"]):
        raise ValueError(
            f"evaluations of {len(one.pictures)} and {len(other.pictures)} pictures with other labels: "
            "expected the same pictures, or pairs of them"
        )
    both = [(found.pictures, str(found.main()["ensemble"])) for found in (one, other)]
    scores = np.stack([rows[name].to_numpy(dtype=np.float64) for rows, name in both])
    there = np.isfinite(scores).all(0)
    labels = one.pictures["label"].to_numpy()[there]
    named = {"other": scores[1, there], "one": scores[0, there]}
    apart = intervals.compare_ap(labels, named, seed=seed).set_index("name")
    ends = apart.loc[["one - other"], ["ap", "ap_low", "ap_high"]].to_numpy(dtype=np.float64)[0]
    return metrics.Interval(*ends.tolist())


def cells(
    net: PatchClassifier,
    images: data.ImageSet,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """The margin of every cell of pictures of one size, (N, h, w), as `maps.margin`.

    Raises ValueError where pictures have different sizes; PictureError as `tff_core.pictures.data.read`.
    """
    parts = memory.Parts()
    found: list[tuple[list[int], NDArray[np.float32]]] = []
    for members, pixels in inputs.stream(images.paths, preparation, whole=net.whole, batch_size=batch_size):
        margins = maps.margin(net, inputs.normalised(pixels, device, preparation), parts)
        found.append((members, margins.float().cpu().numpy()))
        if margins.shape[1:] != found[0][1].shape[1:]:
            raise ValueError(
                f"{images.root} has pictures of several sizes, whose maps differ: expected one size"
            )
    out = np.empty((len(images), *found[0][1].shape[1:]), dtype=np.float32)
    for members, values in found:
        out[members] = values
    return out


def too_small(net: PatchClassifier, pixels: torch.Tensor, error: Exception) -> bool:
    """Whether an error is about the pictures, for which others may not be to blame."""
    return isinstance(error, memory.OutOfMemory) or min(pixels.shape[-2:]) < smallest(net.name)


def _kind(labels: NDArray[np.int64]) -> str:
    return "pictures" if not len(labels) else ("fakes", "reals")[int(labels[0])]


def _measured(
    name: str, labels: NDArray[np.int64], scores: NDArray[Any], p: Floats
) -> tuple[dict[str, Any], Curve]:
    from sklearn.metrics import precision_recall_curve  # takes a second to load

    order = metrics.order(labels, scores)
    real, fake = metrics.accuracies(labels, p, 0.5)
    row = {
        "ensemble": name,
        "ap": metrics.average_precision(labels, scores),
        "auc": order.auc,
        "ap_real": metrics.average_precision(1 - labels, -np.asarray(scores, dtype=np.float64)),
        "accuracy": float(np.mean((p >= 0.5) == (labels == 1))),
        "acc_real": real, "acc_fake": fake,
        "n": len(labels), "n_real": order.n_real, "n_fake": order.n_fake,
    }  # fmt: skip
    precision, recall, thresholds = precision_recall_curve(labels, p)
    return row, Curve(precision, recall, thresholds)
