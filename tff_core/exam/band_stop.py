"""Which frequencies a detector lives on: octaves taken out of one channel, and octaves shown alone.

A band is an octave of the Fourier transform of one of a picture's planes, luma (Y) or one of the two colour
differences (Cb, Cr). Taking it out (`stop`) is compared with taking out as much elsewhere (`control`): random
other frequencies of the same plane, as many as hold the same energy. Energy counts as the detector sees it,
after its high-pass if it has one: where contrast is brought to one value, whatever is left is then amplified
alike in both. Where the rest of the plane holds less than the band, the control takes all of it, and is too
mild; how much of the energy was matched is told.

What a map responds to (`tuning`) is measured on pictures that have nothing but one band of one channel: its
mean activation there, above what it has on a flat picture.

Values beyond black and white are left as they are: cutting them off would put back frequencies that were
taken out. Nothing is rounded to 8 bits.

Source: Yin et al., A Fourier perspective on model robustness in computer vision, NeurIPS 2019 (bands); the
control of equal energy and the question by channel are additions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from tff_core import intervals, lrp, metrics, spectra
from tff_core.exam.robustness import UNTOUCHED, Condition, Watched
from tff_core.features import dropout
from tff_core.features.names import FeatureMap
from tff_core.features.rankings import feature_maps
from tff_core.lrp.canonize import Step
from tff_core.pictures import data
from tff_core.pictures.degradations import random_seed
from tff_core.store import memory

Floats = NDArray[np.float64]
Band = tuple[float, float]
CHANNELS = ("Y", "Cb", "Cr")
STOP, CONTROL = "stop", "control"


def octaves(n: int = 3) -> list[Band]:
    """The ``n`` finest octaves, the finest first: lower and upper end in cycles per pixel.

    The first begins at a quarter, half of the finest frequency along an axis, and has the corners, too.
    """
    if n < 1:
        raise ValueError(f"{n} octaves: expected at least one")
    return [(2.0 ** -(i + 2), 2.0 ** -(i + 1) if i else 1.0) for i in range(n)]


def name(band: Band) -> str:
    """A band in words: ``1/8 to 1/4``."""
    low, high = band
    return f"1/{1 / low:g} and finer" if high >= 1 else f"1/{1 / low:g} to 1/{1 / high:g}"


# ------------------------------------------------------------------------------------------- the pictures


def planes(pictures: Tensor) -> Floats:
    """Y, Cb and Cr (N, 3, H, W) of pictures uint8, or floats in [0, 1], (N, 3, H, W); colours around 0."""
    x = pictures.double().cpu().numpy() / (255 if pictures.dtype == torch.uint8 else 1)
    luma = np.einsum("c,nchw->nhw", np.array(data.LUMA), x)
    blue, red = ((x[:, i] - luma) / (2 - 2 * data.LUMA[i]) for i in (2, 0))
    return np.stack([luma, blue, red], 1)


def colours(values: Floats) -> Tensor:
    """Pictures float32 (N, 3, H, W), about [0, 1], of Y, Cb and Cr."""
    luma, blue, red = np.moveaxis(values, 1, 0)
    r, b = luma + (2 - 2 * data.LUMA[0]) * red, luma + (2 - 2 * data.LUMA[2]) * blue
    g = (luma - data.LUMA[0] * r - data.LUMA[2] * b) / data.LUMA[1]
    return torch.from_numpy(np.stack([r, g, b], 1).astype(np.float32))


def _inside(height: int, width: int, band: Band) -> NDArray[np.bool_]:
    radius = spectra.radius(height, width)
    return (radius >= band[0]) & (radius < band[1])


def _weights(height: int, width: int, highpass: int | None) -> Floats:
    """How much of each frequency's energy a detector sees: that of what differs from a square's mean."""
    if highpass is None:
        return np.ones((height, width))
    kernel = np.zeros((height, width))
    reach = highpass // 2
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            kernel[down % height, across % width] += 1 / highpass**2
    return np.abs(1 - fft.fft2(kernel)) ** 2


def stop(pictures: Tensor, channel: str, band: Band) -> Tensor:
    """Pictures without a band of one channel, float32 (N, 3, H, W). ValueError for another channel."""
    values = planes(pictures)
    at = _place(channel)
    f = fft.fft2(values[:, at])
    f[:, _inside(f.shape[1], f.shape[2], band)] = 0
    values[:, at] = fft.ifft2(f).real
    return colours(values)


def control(
    pictures: Tensor,
    channel: str,
    band: Band,
    numbers: Sequence[int],
    highpass: int | None = None,
    seed: int = 0,
) -> tuple[Tensor, Floats]:
    """Pictures without as much energy of other frequencies of the same channel, and the share matched, (N,).

    ``numbers`` (N,) of the pictures, from which with ``seed`` follows which frequencies these are; the last
    of them is taken in part. ``highpass`` as in `data.Preprocessing`.
    """
    values = planes(pictures)
    at = _place(channel)
    height, width = values.shape[2:]
    inside, seen = _inside(height, width, band), _weights(height, width, highpass)
    free, partner = _pairs(height, width, inside)
    matched = np.ones(len(values))
    for n, number in enumerate(numbers):
        f = fft.fft2(values[n, at])
        energy = np.abs(f) ** 2 * seen
        wanted = float(energy[inside].sum())
        order = np.random.default_rng(random_seed(seed, number)).permutation(free)
        own = energy.ravel()[order] + np.where(partner[order] != order, energy.ravel()[partner[order]], 0.0)
        total = np.cumsum(own)
        before = np.concatenate([[0.0], total[:-1]]) if len(own) else total
        # the share of each amplitude that is taken: all of it, and of the last what is still missing
        part = np.sqrt(np.clip((wanted - before) / np.where(own > 0, own, 1.0), 0, 1))
        flat = f.ravel()
        flat[order] *= 1 - part
        apart = partner[order] != order
        flat[partner[order][apart]] *= 1 - part[apart]
        values[n, at] = fft.ifft2(flat.reshape(height, width)).real
        if wanted > 0:
            matched[n] = min(1.0, float(total[-1]) / wanted) if len(own) else 0.0
    return colours(values), matched


def only(pictures: Tensor, channel: str, band: Band) -> Tensor:
    """Pictures that have one band of one channel and the means of all, float32 (N, 3, H, W)."""
    values = planes(pictures)
    at = _place(channel)
    f = fft.fft2(values[:, at])
    f[:, ~_inside(f.shape[1], f.shape[2], band)] = 0
    means = values.mean((2, 3), keepdims=True)
    values = np.broadcast_to(means, values.shape).copy()
    values[:, at] += fft.ifft2(f).real
    return colours(values)


def _place(channel: str) -> int:
    if channel not in CHANNELS:
        raise ValueError(f"channel {channel!r}: expected one of {', '.join(CHANNELS)}")
    return CHANNELS.index(channel)


def _pairs(height: int, width: int, inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One of each pair of opposite frequencies outside of a band, without the mean; and all partners."""
    down, across = np.divmod(np.arange(height * width), width)
    partner = (-down % height) * width + (-across % width)
    free = ~inside.ravel() & (np.arange(height * width) <= partner)
    free[0] = False
    return np.flatnonzero(free), partner


# ----------------------------------------------------------------------------------------- the conditions


def conditions(bands: Sequence[Band], highpass: int | None = None, seed: int = 0) -> list[Condition]:
    """For `robustness.watch`: every band of every channel taken out, and the control of each.

    ``operation`` is "stop Y" or "control Y", ``level`` the band's lower end.
    """
    found = []
    for band in bands:
        for channel in CHANNELS:

            def taken(x: Tensor, numbers: Sequence[int], channel: str = channel, band: Band = band) -> Tensor:
                return stop(x, channel, band)

            def others(
                x: Tensor, numbers: Sequence[int], channel: str = channel, band: Band = band
            ) -> Tensor:
                return control(x, channel, band, numbers, highpass, seed)[0]

            found.append(Condition(f"{STOP} {channel}", band[0], taken))
            found.append(Condition(f"{CONTROL} {channel}", band[0], others))
    return found


def matched(
    images: Mapping[str, data.ImageSet], bands: Sequence[Band], highpass: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """How much of a band's energy its control could take elsewhere: means, by ``channel`` and ``level``."""
    paths = [path for some in images.values() for path in some.paths]
    rows = []
    for members, x in data.stream(paths):
        for band in bands:
            for channel in CHANNELS:
                found = control(x, channel, band, members, highpass, seed)[1]
                rows += [{"channel": channel, "level": band[0], "matched": value} for value in found]
    return pd.DataFrame(rows).groupby(["channel", "level"], sort=False)["matched"].mean().reset_index()


def contrast(found: Sequence[Watched], resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """What a detector loses without a band, beside what it loses without as much elsewhere.

    ``found``: one for each training seed, in `conditions` among others. Rows ``channel, level, measure, stop,
    control, value, low, high, seeds, covers, n_real, n_fake``: ``value`` is stop minus control on the same
    pictures. Measures: ``AP``, the mean over generators, and ``omega``, the share of the top-k that is still
    there, of explained fakes.

    ValueError where there is no measurement.
    """
    if not found:
        raise ValueError("no measurement: expected one for each training seed")
    first = found[0].pictures
    settings = first.loc[first["operation"].str.startswith(f"{STOP} "), ["operation", "level"]]
    rows = []
    for operation, level in settings.drop_duplicates().itertuples(index=False, name=None):
        channel = operation.removeprefix(f"{STOP} ")
        names = (operation, f"{CONTROL} {channel}")
        about = {"channel": channel, "level": level}
        pairs = [[_aps(one.pictures, name, level, resamples, seed) for name in names] for one in found]
        kinds = first[first["operation"] == UNTOUCHED]["label"]
        counts = {"n_real": int((kinds == 0).sum()), "n_fake": int((kinds == 1).sum())}
        rows.append({**about, "measure": "AP", **_difference(pairs), **counts})
        shared = [[_overlaps(one.omega, name, level) for name in names] for one in found]
        explained = round(float(np.mean([one.explained for one in found])))
        counts = {"n_real": 0, "n_fake": explained}
        rows.append({**about, "measure": "omega", **_difference(shared), **counts})
    return pd.DataFrame(rows)


def _aps(
    pictures: pd.DataFrame, operation: str, level: float, resamples: int, seed: int
) -> tuple[float, Floats]:
    """Mean AP over generators, and in every resample; missing where none has reals and fakes."""
    rows = pictures[(pictures["operation"] == operation) & (pictures["level"] == level)]
    found = []
    for number, (_, own) in enumerate(rows.groupby("generator", sort=False)):
        y, logits = own["label"].to_numpy(), own["logit"].to_numpy()
        if len(np.unique(y)) == 2:
            drawn = metrics.resampled_ap(y, logits, metrics.picture_weights(y, resamples, seed + number))
            found.append((metrics.average_precision(y, logits), drawn))
    if not found:
        return float("nan"), np.full(resamples, np.nan)
    return float(np.mean([ap for ap, _ in found])), np.mean([drawn for _, drawn in found], axis=0)


def _overlaps(omega: pd.DataFrame, operation: str, level: float) -> tuple[float, Floats]:
    rows = omega[(omega["operation"] == operation) & (omega["level"] == level)]
    own = rows.set_index("draw")["overlap"]
    return float(own.get(-1, np.nan)), own[own.index >= 0].to_numpy(dtype=np.float64)


def _difference(pairs: Sequence[Sequence[tuple[float, Floats]]]) -> dict[str, Any]:
    """The difference of two numbers of each seed, with the mean of either."""
    points = np.array([stop[0] - control[0] for stop, control in pairs])
    there = np.isfinite(points)
    if not there.any():
        nothing = intervals.Pooled(float("nan"), float("nan"), float("nan"), 0)
        return {"stop": float("nan"), "control": float("nan"), **nothing.columns("value")}
    drawn = np.stack([stop[1] - control[1] for stop, control in pairs], 1)[:, there]
    means = (
        float(np.mean([pair[i][0] for pair, ok in zip(pairs, there, strict=True) if ok])) for i in (0, 1)
    )
    return {
        **dict(zip(("stop", "control"), means, strict=True)),
        **intervals.over_seeds(points[there], drawn, intervals.DIFFERENCE).columns("value"),
    }


# ----------------------------------------------------------------------------------------------- the maps


@torch.no_grad()
def tuning(
    net: lrp.Net,
    pictures: Tensor,
    bands: Sequence[Band],
    preprocessing: data.Preprocessing = data.IMAGENET,
    batch_size: int = 32,
) -> pd.DataFrame:
    """What every map responds to: its mean activation on single bands, above that on flat pictures.

    ``pictures`` uint8 (N, 3, H, W). Activation is what the next operation reads, its positive part. Rows
    ``key`` (the map's name), ``channel, level`` (the band's lower end), ``response`` (mean over pictures and
    positions, at least 0) and ``share`` of the map's response to all bands, missing where it has none.

    ValueError where there is no picture.
    """
    if not len(pictures):
        raise ValueError("no pictures: expected one at least, to take bands from")
    flat = colours(np.broadcast_to(planes(pictures).mean((2, 3), keepdims=True), pictures.shape).copy())
    base = _activations(net, flat, preprocessing, batch_size)
    keys = [str(m) for m in feature_maps(net)]
    tables = []
    for band in bands:
        for channel in CHANNELS:
            found = _activations(net, only(pictures, channel, band), preprocessing, batch_size)
            response = np.maximum(found - base, 0)
            about = {"key": keys, "channel": channel, "level": band[0], "response": response}
            tables.append(pd.DataFrame(about))
    table = pd.concat(tables, ignore_index=True)
    total = table.groupby("key", sort=False)["response"].transform("sum")
    return table.assign(share=(table["response"] / total).where(total > 0))


def _activations(
    net: lrp.Net, pictures: Tensor, preprocessing: data.Preprocessing, batch_size: int
) -> Floats:
    """Mean positive activation of every map over pictures and positions, (M,)."""
    layer_at = {dropout.site(net, layer): layer for layer in net.layers}
    place = {id(net.steps[i]): layer for i, layer in layer_at.items()}
    sums = {layer: np.zeros(n) for layer, n in net.layers.items()}

    def of(shown: Tensor, part: slice) -> dict[str, Floats]:
        found: dict[str, Floats] = {}

        def watch(step: Step, y: Tensor) -> None:
            layer = place.get(id(step))
            if layer is not None:
                found[layer] = y.clamp(min=0).mean((2, 3)).double().sum(0).cpu().numpy()

        net.forward(shown[part], watch=watch)
        return found

    parts = memory.Parts()
    for some in pictures.split(batch_size):
        shown = data.normalize(preprocessing.cut(some.to(net.device)), preprocessing).to(net.dtype)
        shown = shown.contiguous(memory_format=torch.channels_last)
        for _, found in parts(partial(of, shown), len(shown), memory.describe(shown)):
            for layer, values in found.items():
                sums[layer] += values
    return np.concatenate([sums[layer] for layer in net.layers]) / len(pictures)


def groups(
    table: pd.DataFrame, sets: Mapping[str, Sequence[FeatureMap | str]], resamples: int = 500, seed: int = 0
) -> pd.DataFrame:
    """The mean share of each band in the response of several sets of maps, with intervals over maps.

    ``table``: rows of `tuning`; ``sets`` of maps, or of their keys there. Rows ``group, channel, level,
    value, low, high, n_maps, silent``; ``silent`` maps respond to no band and do not count. Missing where
    none is left.
    """
    distinct = table.drop_duplicates(["key", "channel", "level"])  # a map may be in two groups
    wide = distinct.pivot(index="key", columns=["channel", "level"], values="share")
    rows = []
    for number, (group, maps) in enumerate(sets.items()):
        own = wide.loc[[str(m) for m in maps]].to_numpy()
        sound = own[np.isfinite(own).all(1)]
        counts = {"n_maps": len(sound), "silent": len(own) - len(sound)}
        for column, ends in zip(wide.columns, _ends(sound, resamples, seed + number), strict=True):
            about = dict(zip(("channel", "level"), column, strict=True))
            rows.append({"group": group, **about, **dict(zip(("value", "low", "high"), ends, strict=True))})
            rows[-1] |= counts
    return pd.DataFrame(rows)


def _ends(values: Floats, resamples: int, seed: int) -> Iterator[tuple[float, float, float]]:
    drawn = metrics.resampled_means(values, resamples, seed) if len(values) else None
    for column in range(values.shape[1]):
        if drawn is None:
            yield (float("nan"),) * 3
        else:
            yield float(values[:, column].mean()), *metrics.percentiles(drawn[:, column])
