"""Which traces does a field of view suffice for? Networks of several fields, traces of several periods.

Each network is trained once, on pictures whose traces have all periods, mixed, and tested on each period
alone: how well does it tell pictures with the trace from those without, and how well does its map find the
trace in a picture? The trace is all that differs (`tff_core.miniature.planted`), so what a network finds
depends on whether the trace can be seen in a patch of its size among what a photograph has there anyway.

A wave of period p can be told from a patch that is smaller than p, as a slope; how small depends on the
contents of the photographs. There is no wave of a period below 2 pixels: pixels cannot carry one.

Source: Chai et al., ECCV 2020, section 4, ask the same of generators, whose traces have no known size; the
planted traces and what is measured on them are an addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import special, stats

from tff_core import detectors, metrics
from tff_core.localization import comparison, evaluation, masks, receptive, training, weights
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.localization.waves import Planted, Tested

MEASURES = ("pictures", "pixels")
Floats = NDArray[np.float64]


def run(
    names: Sequence[str],
    pictures: Planted,
    folder: str | Path,
    settings: training.Config | None = None,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Train each network, as ``<folder>/<network>.s<seed>.safetensors``, and measure it; see `measure`.

    A finished training is left alone and an interrupted one continued, as by `training.train`. Raises as
    that and as `measure`.
    """
    where = torch.device(device) if device is not None else detectors.default_device()
    settings = training.unresized(settings)
    for name in names:
        receptive.field(name)  # said before anything is trained
    tables = []
    for name in names:
        path = Path(folder) / f"{name}.s{seed}.safetensors"
        training.train(
            name, pictures.train, pictures.val, path, settings, seed=seed, device=where, progress=progress
        )
        net = weights.load(path).to(where)
        seen = weights.preparation(path)
        found = measure(net, pictures.test, seen, device=where, batch_size=batch_size, progress=progress)
        found.insert(1, "seed", seed)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def measure(
    net: PatchClassifier,
    test: Mapping[float, Tested],
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """How well a patch classifier finds the traces of each period, a row for each period and measure.

    Columns: ``network, field`` (pixels), ``period`` (pixels), ``measure, value, low, high`` (95 % bootstrap
    over pictures, of ``seed``), ``n`` pictures, ``chance``. ``pictures``: AP of fakes among reals, by the
    mean logit of their cells. ``pixels``: AP of the pixels with the trace among all of the fakes. ValueError
    for a network without a cut.
    """
    size = receptive.field(net.name).size
    rows: list[dict[str, Any]] = []
    for period, pictures in test.items():
        found = evaluation.evaluate(
            net, pictures.images, preparation, patches=False, device=device, batch_size=batch_size,
            progress=progress, seed=seed,
        ).main()  # fmt: skip
        scores, fake = comparison.sampled(
            comparison.classifier(net, preparation, device), pictures.fakes, batch_size=batch_size, seed=seed,
            progress=progress, name=f"{net.name}, period {period:g}",
        )  # fmt: skip
        pixels = metrics.around(masks.pixel_ap(scores, fake), masks.resampled_pixel_ap(scores, fake, seed))
        both = {
            "pictures": (
                found["ap"], found["low"], found["high"], found["n"],
                metrics.chance(found["n_real"], found["n_fake"]),
            ),
            "pixels": (*pixels, len(scores), float(fake.mean())),
        }  # fmt: skip
        rows += [
            {
                "network": net.name, "field": size, "period": period, "measure": name,
                **dict(zip(("value", "low", "high", "n", "chance"), numbers, strict=True)),
            }
            for name, numbers in both.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame, draws: int = metrics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Does a wider field find more? Spearman's correlation of AP with the field, for each period and measure.

    ``table`` has the rows of `measure` of several networks; those of several training seeds are averaged.
    Columns: ``measure, period, rho, low, high, chance_low, chance_high, p, networks``. ``low`` and ``high``
    are the 95 % interval over test pictures: every AP drawn anew from its own interval, on the logit scale,
    independently of the others, which is too wide rather than too narrow where networks share pictures.
    ``chance_low`` and ``chance_high`` enclose the central 95 % of the correlations that a random assignment
    of the APs to the networks has, and ``p`` is its two-sided p-value (exact up to 6 networks). Of networks
    of one field, or with equal APs, rho is missing.

    ValueError for fewer than two networks.
    """
    if table["network"].nunique() < 2:
        raise ValueError(f"{table['network'].nunique()} networks: expected two at least, to be put in order")
    rng = np.random.default_rng(seed)
    rows = []
    for (measured, period), part in table.groupby(["measure", "period"], sort=False):
        drawn = _drawn(part, draws, rng)
        by_network = part.groupby("network", sort=False).indices.values()
        fields = np.array([part["field"].iloc[rows[0]] for rows in by_network], dtype=np.float64)
        values = np.array([part["value"].iloc[rows].mean() for rows in by_network])
        rho = _correlation(fields, values[None])[0]
        every = _correlation(fields, np.stack([drawn[:, rows].mean(1) for rows in by_network], axis=1))
        every = every[np.isfinite(every)]
        _, low, high = metrics.around(rho, every) if np.isfinite(rho) else [np.nan] * 3
        chance_low, chance_high, p = _permuted(fields, values, rng) if np.isfinite(rho) else [np.nan] * 3
        rows.append(
            {
                "measure": measured, "period": period, "rho": rho, "low": low, "high": high,
                "chance_low": chance_low, "chance_high": chance_high, "p": p, "networks": len(values),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _drawn(rows: pd.DataFrame, draws: int, rng: np.random.Generator) -> Floats:
    """APs like those of the rows, (draws, rows), as their intervals say."""
    value, low, high = (
        special.logit(rows[name].to_numpy(dtype=np.float64).clip(1e-6, 1 - 1e-6))
        for name in ("value", "low", "high")
    )
    spread = (high - low) / (2 * stats.norm.ppf((1 + metrics.LEVEL) / 2))
    return special.expit(value + spread * rng.standard_normal((draws, len(rows))))  # type: ignore[no-any-return]


def _correlation(fields: Floats, values: Floats) -> Floats:
    """Spearman's correlation of each row of values (B, K) with the fields (K,); NaN where either is equal."""
    one, many = (stats.rankdata(x, axis=-1) for x in (fields, values))
    one, many = (x - x.mean(-1, keepdims=True) for x in (one, many))
    norm = np.sqrt((one**2).sum() * (many**2).sum(-1))
    return np.divide(many @ one, norm, out=np.full(len(many), np.nan), where=norm > 0)


def _permuted(fields: Floats, values: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """The central 95 % of the correlations of permuted values, and the p-value of theirs."""

    def statistic(x: Floats, axis: int) -> Floats:
        moved = np.moveaxis(x, axis, -1)
        return _correlation(fields, moved.reshape(-1, len(fields))).reshape(moved.shape[:-1])

    found = stats.permutation_test(
        (values,), statistic, permutation_type="pairings", vectorized=True, n_resamples=999, rng=rng
    )
    low, high = metrics.percentiles(found.null_distribution)
    return low, high, float(found.pvalue)
