"""Sensitivity assessment: what a detector loses when its top feature maps are dropped, and the controls.

Source: paper, section 5. One control is added to the paper's conditions (top-k, low-k, random-k): matched-k
drops as many maps in every layer as top-k does, drawn outside the top k. Omega is normalised per layer, so
narrow early layers win, while uniformly drawn maps mostly lie in wide late ones; only the matched control
keeps the layers and changes the maps.

Everything works on tidy tables: first the logit of every picture under every condition, then from these the
metrics, the paired differences and the transfer of the unchanged detector.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor
from tqdm import tqdm

from tff_core import detectors, intervals, lrp, metrics
from tff_core.detectors import answer
from tff_core.features import dropout, ffrs
from tff_core.features.names import FeatureMap
from tff_core.pictures import data
from tff_core.store import memory
from tff_core.store.checkpoint import Arrays, Checkpoint, read_arrays, write_arrays
from tff_core.store.results import Store, fingerprint, write_json

CONDITIONS = ("baseline", "top-k", "low-k", "random-k", "random-k-ensemble", "matched-k")
CONTRASTS = (  # what is compared with what
    ("top-k", "matched-k"),
    ("top-k", "random-k"),
    ("top-k", "baseline"),
    ("random-k", "baseline"),
    ("low-k", "baseline"),
)
LABELS: tuple[ffrs.Label, ffrs.Label] = ("real", "fake")  # by their code
FEW = 50  # with fewer confident pictures, omega is reported as unreliable
_SCORES = ["detector", "generator", "seed", "condition", "draw", "k", "image", "label", "logit"]


@dataclass(frozen=True)
class Dropped:
    """One condition: the maps that it drops. ``draw`` numbers the random sets, 0 elsewhere."""

    condition: str
    draw: int
    maps: tuple[FeatureMap, ...]


def conditions(omega: ffrs.Omega, k: int, n_random: int = 5, n_matched: int = 20) -> list[Dropped]:
    """Baseline, top-k, low-k, ``n_random`` random-k and ``n_matched`` matched-k sets of one ranking.

    The draws are seeded by their number. A matched set is smaller than k where a layer has more top maps
    than others (`Omega.shortfall`).
    """
    chosen = [("baseline", 0, []), ("top-k", 0, omega.top(k)), ("low-k", 0, omega.low(k))]
    chosen += [("random-k", draw, omega.random(k, draw)) for draw in range(n_random)]
    chosen += [("matched-k", draw, omega.matched(k, draw)) for draw in range(n_matched)]
    return [Dropped(name, draw, tuple(maps)) for name, draw, maps in chosen]


def scores(
    detector: str,
    seeds: Iterable[int],
    images: data.ImageSet,
    omega_by_seed: Mapping[int, ffrs.Omega],
    k: int | None = None,
    n_random: int = 5,
    n_matched: int = 20,
    *,
    store: Store | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 50,
    progress: bool = True,
) -> pd.DataFrame:
    """The logit of every picture under every condition, for each training seed of one detector.

    Args:
        detector: its name in the registry.
        seeds: training seeds; each must be trained.
        images: the pictures of one generator; its folder's name becomes the table's generator.
        omega_by_seed: the ranking of each seed.
        k: how many maps are dropped; the paper's number for the network by default.
        n_random, n_matched: draws of the two random controls.
        store: where the detectors lie. Logits are kept there batch by batch, under
            ``results/parts/logits``, so that an interrupted or repeated run computes only what is missing.

    Returns:
        Columns detector, generator, seed, condition, draw, k (maps dropped), image (path below the
        generator's folder), label, logit.

    Raises:
        FileNotFoundError: a detector is not trained. ValueError: no omega for a seed, or of another network.
    """
    store = store or Store()
    device = torch.device(device) if device is not None else detectors.default_device()
    spec = detectors.get(detector, store)
    k = k or spec.k
    content = data.content_hash(images)
    batches = data.batches(images, batch_size, device=device, preprocessing=spec.preprocessing)
    names = [path.relative_to(images.root).as_posix() for path in images.paths]
    frames = []
    for seed in seeds:
        if seed not in omega_by_seed:
            raise ValueError(
                f"no omega for {detector} with seed {seed}: expected one ranking for each seed, found "
                f"{sorted(omega_by_seed) or 'none'}; rank its feature maps first"
            )
        todo = conditions(omega_by_seed[seed], k, n_random, n_matched)
        trained = detectors.load(detector, seed, store, device)
        net = lrp.canonize(trained.model)
        kept = _Kept(
            store.root / "results" / "parts" / "logits" / f"{detector}.{images.root.name}.s{seed}.npz"
        )
        shared = [
            hashlib.sha256(store.detector(detector, seed).read_bytes()).hexdigest(),
            content,
            device.type,
            torch.__version__.split("+")[0],
        ]
        if spec.preprocessing != data.IMAGENET:
            shared.append(repr(spec.preprocessing))
        keys = [fingerprint([shared, sorted(map(str, case.maps))]) for case in todo]
        plans = {key: dropout.plan(net, case.maps) for key, case in zip(keys, todo, strict=True)}
        _fill(net, batches, plans, kept, f"{detector} s{seed} on {images.root.name}", progress)
        frames += [
            pd.DataFrame(
                {
                    "detector": detector,
                    "generator": images.root.name,
                    "seed": seed,
                    "condition": case.condition,
                    "draw": case.draw,
                    "k": len(case.maps),
                    "image": names,
                    "label": images.labels,
                    "logit": kept.arrays[key],
                }
            )
            for key, case in zip(keys, todo, strict=True)
        ]
    if not frames:
        raise ValueError(f"no training seeds of {detector} were given: expected at least one")
    return pd.concat(frames, ignore_index=True)


def _fill(
    net: lrp.Net,
    batches: data.Batches,
    plans: Mapping[str, dropout.Plan],
    kept: _Kept,
    title: str,
    progress: bool,
) -> None:
    """Compute the logits that are not kept yet: batch by batch, all conditions of a batch in one sweep."""
    parts = memory.Parts()
    with tqdm(total=len(plans) * len(batches), desc=title, unit="condition", disable=not progress) as bar:
        for x, _, index in batches:
            rows = index.numpy()
            missing = [key for key in plans if np.isnan(kept.get(key, len(batches.images))[rows]).any()]
            bar.update(len(plans) - len(missing))
            chosen = [plans[key] for key in missing]
            for part, found in parts(partial(_logits, net, x, chosen, title), len(x), memory.describe(x)):
                for key, logits in zip(missing, found, strict=True):
                    kept.arrays[key][rows[part]] = logits
            if missing:
                kept.write()
                bar.update(len(missing))


def _logits(
    net: lrp.Net, x: Tensor, plans: Sequence[dropout.Plan], title: str, part: slice
) -> NDArray[np.float32]:
    """Logits (C, N) of the pictures ``x[part]`` under each plan; WeightsError where one is not finite."""
    found = np.empty((len(plans), part.stop - part.start), dtype=np.float32)
    for number, y in dropout.sweep(net, x[part], plans):
        logits = y[:, 0].float().cpu().numpy()
        if not np.isfinite(logits).all():
            raise detectors.WeightsError(
                f"{title}: {int((~np.isfinite(logits)).sum())} of {len(logits)} logits are not "
                "finite: the detector's weights are damaged or its training diverged; train it again"
            )
        found[number] = logits
    return found


class _Kept:
    """Logits that were computed before, in one small file that is rewritten whole; NaN: not yet computed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: Arrays = read_arrays(path, "its logits are computed again")

    def get(self, key: str, n: int) -> NDArray[np.float32]:
        """The logits of one condition on ``n`` pictures; may be filled in."""
        return self.arrays.setdefault(key, np.full(n, np.nan, dtype=np.float32))

    def write(self) -> None:
        write_arrays(self.path, self.arrays)


def ensemble(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's random-k: per picture the mean fake probability of all random-k draws, as a logit.

    One more condition, ``random-k-ensemble``. Five networks together may be better than each alone, which
    flatters this control; the single draws are kept as well.
    """
    drawn = frame[frame["condition"] == "random-k"]
    if drawn.empty:
        return frame.iloc[:0]
    probability = expit(drawn["logit"].to_numpy(dtype=float))
    keys = ["detector", "generator", "seed", "image", "label"]
    mean = drawn.assign(logit=probability).groupby(keys, sort=False, as_index=False)
    out = mean.agg(k=("k", "first"), logit=("logit", "mean"))
    # a mean of 1 (all draws beyond double precision) still is a finite logit, above all others
    clipped = out["logit"].clip(np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
    out["logit"] = np.log(clipped) - np.log1p(-clipped)
    return out.assign(condition="random-k-ensemble", draw=0)[_SCORES]


def table(
    frame: pd.DataFrame,
    thresholds: Mapping[int, float],
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """AP with its interval over pictures, and accuracies, of every condition, seed and draw.

    Args:
        frame: from `scores`, one detector on one generator.
        thresholds: per training seed the logit calibrated on validation pictures.

    Returns:
        Columns detector, generator, condition, seed, draw, k, ap, ap_low, ap_high, acc_real, acc_fake,
        n_real, n_fake, threshold, threshold_source. Each condition appears twice: with threshold_source
        "validation", and with "test" as in the paper, calibrated on the baseline's scores of these very test
        pictures (which flatters the baseline). The paper takes 0.5 for ProGAN; here it is no exception. Where
        no threshold is any good on them it is NaN, and every picture is called real.
    """
    one = _Panel(frame)
    weights = metrics.picture_weights(one.labels, resamples, seed)
    rows = []
    for number, cases in one.seeds.items():
        if number not in thresholds:
            raise ValueError(
                f"no threshold for seed {number}: expected one for each training seed, found "
                f"{sorted(thresholds) or 'none'}"
            )
        own = metrics.best_threshold(one.labels, cases["baseline"][0])
        chosen = {"validation": thresholds[number], "test": np.nan if own is None else own}
        for name in CONDITIONS:
            for draw, logits in enumerate(cases.get(name, ())):
                ap, low, high = metrics.around(
                    metrics.average_precision(one.labels, logits),
                    metrics.resampled_ap(one.labels, logits, weights),
                )
                for source, threshold in chosen.items():
                    real, fake = metrics.accuracies(one.labels, logits, threshold)
                    rows.append(
                        {
                            **one.names,
                            "condition": name,
                            "seed": number,
                            "draw": draw,
                            "k": one.k[number, name, draw],
                            "ap": ap,
                            "ap_low": low,
                            "ap_high": high,
                            "acc_real": real,
                            "acc_fake": fake,
                            **one.counts,
                            "threshold": threshold,
                            "threshold_source": source,
                        }
                    )
    return pd.DataFrame(rows)


def contrast(frame: pd.DataFrame, resamples: int = metrics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """AP of one condition minus that of another, with an interval over pictures and draws.

    The AP of a condition with several draws is their mean. Paired: in one resample all conditions see the
    same pictures. Draws are resampled too. The rows with seed "all" are the mean differences over training
    seeds, with the interval of `tff_core.intervals`, over seeds too. Negative: the first one hurt more.

    Returns columns detector, generator, seed, contrast, delta_ap, low, high, seeds, covers, n_draws, n_real,
    n_fake; contrast is "top-k - matched-k", "top-k - random-k", "top-k - baseline", "random-k - baseline" or
    "low-k - baseline", where both conditions are there, and n_draws the draws of the one that has several.
    """
    one = _Panel(frame)
    weights = metrics.picture_weights(one.labels, resamples, seed)
    resampled = {
        (number, name): np.stack([metrics.resampled_ap(one.labels, row, weights) for row in cases[name]], 1)
        for number, cases in one.seeds.items()
        for name in dict.fromkeys(name for pair in CONTRASTS for name in pair)
        if name in cases
    }
    exact = {
        key: np.mean([metrics.average_precision(one.labels, row) for row in one.seeds[key[0]][key[1]]])
        for key in resampled
    }
    rows = []
    for place, pair in enumerate(CONTRASTS):
        deltas, points = [], []
        for number, cases in one.seeds.items():
            if not set(pair) <= set(cases):
                continue
            draws = max(len(cases[name]) for name in pair)
            shares = metrics.draw_weights(draws, resamples, seed, stream=10 * number + place + 1)
            first, second = (
                (values * shares).sum(1) if values.shape[1] > 1 else values[:, 0]
                for values in (resampled[number, name] for name in pair)
            )
            deltas.append(first - second)
            points.append(float(exact[number, pair[0]] - exact[number, pair[1]]))
            rows.append(_contrast_row(one, str(number), pair, points[-1:], deltas[-1:], draws))
        if deltas:
            rows.append(_contrast_row(one, "all", pair, points, deltas, draws))
    return pd.DataFrame(rows)


def _contrast_row(
    one: _Panel,
    seed: str,
    pair: tuple[str, str],
    points: list[float],
    deltas: list[NDArray[np.float64]],
    draws: int,
) -> dict[str, Any]:
    pooled = intervals.over_seeds(points, np.stack(deltas, 1), intervals.DIFFERENCE)
    return {
        **one.names,
        "seed": seed,
        "contrast": " - ".join(pair),
        **pooled.columns("delta_ap"),
        "n_draws": draws,
        **one.counts,
    }


def transfer(
    frame: pd.DataFrame,
    thresholds: Mapping[int, float],
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """How well the unchanged detector does on this generator: per training seed, and over all seeds.

    Returns columns detector, generator, seed, ap, ap_low, ap_high, seeds, covers, acc_real, acc_fake, n_real,
    n_fake, threshold (calibrated on validation). The row with seed "all" has the means over seeds, the
    interval of `tff_core.intervals` over seeds and pictures, and no threshold.
    """
    baseline = table(frame[frame["condition"] == "baseline"], thresholds, resamples, seed)
    rows = baseline[baseline["threshold_source"] == "validation"].astype({"seed": str})
    rows = rows.assign(seeds=1, covers=intervals.covers(1))
    one = _Panel(frame)
    logits = np.stack([cases["baseline"][0] for cases in one.seeds.values()])
    ap = intervals.ap_interval_over_seeds(one.labels, logits, resamples, seed=seed)
    pooled = {
        **one.names,
        "seed": "all",
        **ap.columns("ap", "ap_low", "ap_high"),
        "acc_real": rows["acc_real"].mean(),
        "acc_fake": rows["acc_fake"].mean(),
        **one.counts,
        "threshold": np.nan,
    }
    return pd.concat([rows[list(pooled)], pd.DataFrame([pooled])], ignore_index=True)


class _Panel:
    """The scores of one detector on one generator as arrays: seeds[seed][condition][draw] -> logits (N,)."""

    def __init__(self, frame: pd.DataFrame) -> None:
        missing = [name for name in _SCORES if name not in frame]
        if missing:
            raise ValueError(f"the scores have no column {missing[0]!r}: expected {', '.join(_SCORES)}")
        self.names = {}
        for column in ("detector", "generator"):
            found = frame[column].unique().tolist()
            if len(found) != 1:
                raise ValueError(f"scores of {len(found)} {column}s ({found}): expected those of exactly one")
            self.names[column] = found[0]
        whole = pd.concat([frame[_SCORES], ensemble(frame)], ignore_index=True)
        pictures = whole[["image", "label"]].drop_duplicates().sort_values(["label", "image"])
        self.labels: NDArray[np.int64] = pictures["label"].to_numpy()
        self.counts = {"n_real": int((self.labels == 0).sum()), "n_fake": int((self.labels == 1).sum())}
        self.seeds: dict[int, dict[str, list[NDArray[np.float64]]]] = {}
        self.k: dict[tuple[int, str, int], int] = {}
        groups: Any = whole.groupby(["seed", "condition", "draw"], sort=True)
        for (number, name, draw), rows in groups:
            rows = rows.sort_values(["label", "image"])
            if rows["image"].tolist() != pictures["image"].tolist():
                raise ValueError(
                    f"{name} draw {draw} of seed {number} has {len(rows)} scores for {len(pictures)} "
                    "pictures: expected every condition on the same pictures; compute the scores again"
                )
            draws = self.seeds.setdefault(int(number), {}).setdefault(str(name), [])
            self.k[int(number), str(name), len(draws)] = int(rows["k"].iloc[0])
            draws.append(rows["logit"].to_numpy(dtype=np.float64))
        for number, cases in self.seeds.items():
            if "baseline" not in cases:
                raise ValueError(
                    f"seed {number} has no baseline: expected the scores of the whole network too"
                )


def rank(
    detector: str,
    seed: int,
    store: Store | None = None,
    n: int | None = None,
    confidence: float = 0.9,
    *,
    calibrated: bool = False,
    device: str | torch.device | None = None,
    batch_size: int = 50,
    progress: bool = True,
) -> dict[str, ffrs.Omega]:
    """Omega of a trained detector on ProGAN validation pictures, on the fakes and on the reals.

    Only pictures to which the detector gives their label with at least ``confidence`` count (paper, section
    4); ``n`` is how many per label it is shown (all by default). ``calibrated`` measures that probability
    from the calibrated threshold: a barely trained detector may give every picture the same label. Each
    ranking is written as by `rank_pictures`. Warns if few pictures count.

    Raises FileNotFoundError where the detector is not trained, ValueError where no picture is confident.
    """
    store = store or Store()
    device = torch.device(device) if device is not None else detectors.default_device()
    trained = detectors.load(detector, seed, store, device)
    images = data.scan(store.data(trained.spec.dataset, "val", "progan"))
    if calibrated:
        trained = replace(trained, model=answer.shifted(trained.model, trained.threshold))
    paths = {label: store.omega(detector, seed, label) for label in LABELS}
    found = rank_pictures(
        trained, images, paths, n, confidence,
        device=device, batch_size=batch_size, progress=progress, title=f"{detector} s{seed}",
    )  # fmt: skip
    for label, omega in found.items():
        if omega.count < FEW:
            print(
                f"{detector} seed {seed}: only {omega.count} of {omega.seen} {label} pictures have "
                f"probability {confidence} or more of being {label}; omega over fewer than {FEW} is shaky: "
                "train further or lower the confidence",
                file=sys.stderr,
            )
    return found


def rank_pictures(
    trained: detectors.Detector,
    images: data.ImageSet,
    paths: Mapping[ffrs.Label, Path],
    n: int | None = None,
    confidence: float = 0.9,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 50,
    progress: bool = True,
    title: str = "",
) -> dict[str, ffrs.Omega]:
    """Omega of a detector on the reals and on the fakes of a set of pictures, of any sizes.

    ``paths`` says for each of `LABELS` where its ranking is written, in the published format, with a
    ``.json`` beside it that says how many pictures counted. ``n`` is how many pictures of a label are shown
    (None: all). The running sums are kept beside it (``.part.npz``), so that an interrupted run continues,
    bit for bit.

    Raises ValueError as `ffrs.ff_rs`.
    """
    net, preprocessing = lrp.canonize(trained.model), trained.spec.preprocessing
    found: dict[str, ffrs.Omega] = {}
    begun: list[Checkpoint] = []
    for code, label in enumerate(LABELS):
        path, chosen = paths[label], images.where(label=code, first=n)
        content = data.content_hash(chosen)
        sums = Checkpoint(
            path.with_suffix(".part.npz"),
            {
                "network": net.fingerprint(),
                "pictures": content,
                "label": label,
                "confidence": confidence,
                "batches": [batch_size, repr(preprocessing)],
                "device": [torch.device(device).type, torch.__version__],
            },
        )
        batches: Any = data.batches(chosen, batch_size, device=device, preprocessing=preprocessing)
        shown = tqdm(batches, desc=f"{title}, {label}", unit="batch", disable=not progress)
        omega = ffrs.ff_rs(net, shown, label, confidence, checkpoint=sums)
        omega.to_csv(path)
        counted = {"count": omega.count, "seen": omega.seen, "unsure": omega.unsure}
        write_json(path.with_suffix(".json"), {**counted, "confidence": confidence, "data": content})
        begun.append(sums)
        found[label] = omega
    for sums in begun:  # only when both are done, so that a second call computes just the rest
        sums.delete()
    return found
