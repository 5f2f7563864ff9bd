"""What a difference in preparation does, where nothing else differs, and where fakes are fakes.

Reals come in the format that they were found in, fakes in one that was chosen. Any difference in kernel,
size or codec is a cue, and to a classifier it is as good as a trace. Two experiments show it:

* `same_reals`: reals against reals of the same population, one side treated differently. There is nothing to
  detect, so the AP ought to be that of chance. Beside it stands what can be known without training anything:
  the audit of the files (`tff_core.pictures.audit`), and single statistics of the pixels.
* `alignment`: reals against the fakes of several generators. A classifier is trained on one of them, with
  reals that went the fakes' way and with reals that went another, and tested on all of them, on the same
  fakes. What only misaligned reals make detectable is the preparation, and it seems to transfer.

Source: an addition. Chai et al., ECCV 2020, section 3, pass reals through the generators' own preparation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from tff_core import detectors
from tff_core.localization import evaluation, networks, training, weights
from tff_core.localization.inputs import Preparation
from tff_core.localization.networks import PatchClassifier
from tff_core.localization.treatments import BASE, TREATMENTS, Treatment, split, write
from tff_core.pictures import audit, data, places, statistics

WAYS = ("aligned", "misaligned")


def pictures(folder: str | Path) -> list[Path]:
    """The pictures in and below a folder, in the order of their names.

    FileNotFoundError where it is missing, ValueError where it has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: expected pictures; check the path")
    found = [path for path in places.walk(folder) if places.is_picture(path)]
    if not found:
        raise ValueError(
            f"{folder} has no pictures: expected files ending in {' '.join(sorted(places.SUFFIXES))}"
        )
    return found


def separations(images: data.ImageSet, batch_size: int = 64) -> pd.DataFrame:
    """How well each statistic of the pixels alone separates reals from fakes, the best first.

    Columns ``statistic, auc`` (in the direction that separates better), ``chance``: the AUC that the best of
    as many unrelated statistics reaches in 5 % of such sets, ``n_real, n_fake``. The statistics are those of
    `tff_core.pictures.statistics`: detail, colour, and the spectrum of luma and chroma. ValueError where a
    class is missing or a picture is smaller than 16 pixels, PictureError where one is broken.
    """
    if min(images.counts) == 0:
        raise ValueError(
            f"{images.root} has {images.counts[0]} reals and {images.counts[1]} fakes: expected both"
        )
    values: dict[str, np.ndarray] = {}
    for members, pixels in data.stream(images.paths, batch_size):
        for name, found in statistics.measure(pixels.permute(0, 2, 3, 1).numpy()).items():
            values.setdefault(name, np.empty(len(images)))[members] = found
    real, fake = images.counts
    spread = np.sqrt((real + fake + 1) / (12 * real * fake))
    chance = min(1.0, 0.5 + float(stats.norm.ppf(1 - 0.025 / len(values))) * spread)
    rows = [
        {"statistic": name, "auc": max(auc, 1 - auc), "chance": chance, "n_real": real, "n_fake": fake}
        for name, found in values.items()
        for auc in [float(roc_auc_score(images.labels, found))]
    ]
    return pd.DataFrame(rows).sort_values("auc", ascending=False, kind="stable", ignore_index=True)


def same_reals(
    reals: Sequence[Path],
    folder: str | Path,
    classifier: str | PatchClassifier,
    size: int,
    treatments: Sequence[Treatment] = TREATMENTS,
    *,
    base: Treatment = BASE,
    preparation: Preparation = Preparation(),  # noqa: B008  (frozen)
    n: tuple[int, int, int] = (200, 40, 100),
    settings: training.Config | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Tell reals from reals that were treated otherwise, below ``folder``; a row for each treatment.

    ``reals`` are divided at random into two sides, of which one goes through ``base`` and is called real and
    the other through the treatment and is called fake; the sides are the same for all treatments. ``n``: so
    many of each side for training, validation and test. ``classifier`` is the name of a network, which is
    trained for each treatment (left alone where it is there, continued where it was interrupted), or a
    trained one, which is asked as it is, with its ``preparation``. ``size``: side of the pictures in pixels.

    Columns: ``treatment, ap, low, high`` (95 % bootstrap over pictures), ``n, auc, chance`` (the AP of a
    random order) and ``told``, whether chance does not explain the order (Mann-Whitney, 5 %);
    ``property, property_auc``: what the audit says of the files of all parts, its best property;
    ``statistic, statistic_auc``: the best of `separations` of the same pictures; and ``refused``, what would
    have refused the set before any training: "files" where the audit has an error or a property above its
    limit and above chance, "pixels" where a statistic is, "files, pixels", or "".

    Raises ValueError where there are too few pictures, two treatments have one name, or as `treatments.write`
    and `training.train`.
    """
    names = [one.name for one in treatments]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"treatments {', '.join(names)}: expected one at least, each with its own name")
    settings = training.unresized(settings)
    where = torch.device(device) if device is not None else detectors.default_device()
    if isinstance(classifier, str):
        networks.known(classifier)
    drawn = split(reals, [*n, *n], seed)
    used = range(3) if isinstance(classifier, str) else [2]
    parts = {data.PARTS[i]: (drawn[i], drawn[i + 3]) for i in used}
    folder, rows = Path(folder), []
    for treatment in treatments:
        place = write(folder / treatment.name, parts, (base, treatment), size, progress)
        test = data.scan(place / "test")
        if isinstance(classifier, PatchClassifier):
            net, prepared = classifier, preparation
        else:
            path = folder / f"{treatment.name}.{classifier}.s{seed}.safetensors"
            net, prepared = _trained(classifier, place, path, settings, seed, where, progress)
        found = evaluation.evaluate(
            net, test, prepared, patches=False, device=where, batch_size=batch_size, progress=progress,
            seed=seed,
        )  # fmt: skip
        rows.append({"treatment": treatment.name, **found.numbers(), **_refusal(place)})
    return pd.DataFrame(rows)


def alignment(
    reals: Sequence[Path],
    fakes: Mapping[str, Sequence[Path]],
    folder: str | Path,
    network: str,
    size: int,
    misaligned: Treatment,
    *,
    aligned: Treatment = BASE,
    n: tuple[int, int, int] = (200, 40, 100),
    settings: training.Config | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Train on the first of ``fakes`` with aligned and with misaligned reals, and test on all of them.

    ``fakes``: pictures of each generator, by its name. All fakes go through ``aligned``; the reals through
    it, or through ``misaligned``. ``n``: so many of each class for training, validation and test; of further
    generators only the last. Reals and fakes of a test are the same pictures throughout. Below ``folder``;
    trainings are left alone or continued as in `same_reals`.

    Columns: ``trained`` and ``tested`` ("aligned" or "misaligned"), ``generator``, ``seen`` (whether it was
    trained on), ``ap, low, high, n, auc, chance, told`` as in `same_reals`, and ``difference, difference_low,
    difference_high``: to the classifier that was trained and tested aligned, on the same pictures, paired.

    Raises ValueError where there are too few pictures or no fakes, or as `treatments.write` and
    `training.train`.
    """
    if not fakes:
        raise ValueError("no fakes: expected the pictures of one generator at least")
    networks.known(network)
    settings = training.unresized(settings)
    where = torch.device(device) if device is not None else detectors.default_device()
    first, *others = fakes
    sides = {first: split(fakes[first], n, seed)}
    sides |= {name: [(), (), split(fakes[name], n[2:], seed)[0]] for name in others}
    drawn = split(reals, n, seed)
    folder = Path(folder)
    tests: dict[tuple[str, str], data.ImageSet] = {}
    nets: dict[str, tuple[PatchClassifier, Preparation]] = {}
    for way, treatment in zip(WAYS, (aligned, misaligned), strict=True):
        for name, own in sides.items():
            parts = {part: (drawn[i], own[i]) for i, part in enumerate(data.PARTS) if own[i]}
            place = write(folder / way / name, parts, (treatment, aligned), size, progress)
            tests[way, name] = data.scan(place / "test")
        path = folder / f"{way}.{network}.s{seed}.safetensors"
        nets[way] = _trained(network, folder / way / first, path, settings, seed, where, progress)
    found = {
        (trained, tested, name): evaluation.evaluate(
            nets[trained][0], tests[tested, name], nets[trained][1],
            patches=False, device=where, batch_size=batch_size, progress=progress, seed=seed,
        )
        for trained in WAYS for tested in WAYS for name in fakes
    }  # fmt: skip
    rows = []
    for (trained, tested, name), one in found.items():
        apart = evaluation.difference(one, found[WAYS[0], WAYS[0], name], seed)
        rows.append(
            {
                "trained": trained, "tested": tested, "generator": name, "seen": name == first,
                **one.numbers(),
                **dict(zip(("difference", "difference_low", "difference_high"), apart, strict=True)),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _trained(
    name: str, folder: Path, path: Path, settings: training.Config | None, seed: int, device: torch.device,
    progress: bool,
) -> tuple[PatchClassifier, Preparation]:  # fmt: skip
    images, held_out = (data.scan(folder / part) for part in ("train", "val"))
    training.train(name, images, held_out, path, settings, seed=seed, device=device, progress=progress)
    return weights.load(path).to(device), weights.preparation(path)


def _refusal(place: Path) -> dict[str, Any]:
    """What the audit of the files and the statistics of the pixels say of a set, its parts together."""
    audited = audit.audit(place, whole=True)
    properties, pixels = audited.properties, separations(data.scan(place))
    giving = properties[properties["auc"] > properties["chance"].clip(lower=audit.LIMIT)]
    best = pixels.iloc[0]
    by = {
        "files": bool(audited.of("error")) or len(giving) > 0,
        "pixels": bool(best["auc"] > max(audit.LIMIT, best["chance"])),
    }
    return {
        "property": properties["property"].iloc[0] if len(properties) else "",
        "property_auc": float(properties["auc"].iloc[0]) if len(properties) else 0.5,
        "statistic": best["statistic"], "statistic_auc": float(best["auc"]),
        "refused": ", ".join(name for name, yes in by.items() if yes),
    }  # fmt: skip
