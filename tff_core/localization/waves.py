"""Photographs with planted waves of several periods, to ask which of them a field of view suffices for.

The trace is all that differs between fakes and reals (`tff_core.miniature.planted`); `law` trains networks on
these pictures and measures them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tff_core.localization import masks
from tff_core.miniature import planted
from tff_core.miniature.camera import EDITION_2, Camera
from tff_core.miniature.planted import Trace
from tff_core.pictures import data

PERIODS = (2.0, 4.0, 8.0, 16.0, 32.0)
"""In pixels; 2 is the finest wave that pixels can carry."""


@dataclass(frozen=True)
class Tested:
    """Test pictures of one period: reals and fakes, and of the fakes the part that carries the trace."""

    images: data.ImageSet
    fakes: masks.Masked


@dataclass(frozen=True)
class Planted:
    """Pictures to train on, with traces of all periods, and test pictures of each period."""

    train: data.ImageSet
    val: data.ImageSet
    test: Mapping[float, Tested]


def plant(
    folder: str | Path,
    trace: Trace,
    periods: Sequence[float] = PERIODS,
    *,
    n: tuple[int, int, int] = (200, 40, 100),
    size: int = 64,
    seed: int = 0,
    camera: Camera = EDITION_2,
    progress: bool = True,
) -> Planted:
    """Make the pictures below ``folder``, as ``<part>/period<pixels>/{0_real,1_fake,mask}``.

    ``trace`` gives channel, amplitude, phase and direction, ``periods`` replace its period. ``n``: so many
    reals, and as many fakes, of each period for training, validation and test. Where they are trained on,
    fakes carry the trace everywhere, since every patch of a fake has its label; in test fakes it is in a
    random region. Test scenes and regions are the same for all periods. What is there is completed.

    Raises ValueError where a period is below 2 pixels or given twice, and as `planted.sample`.
    """
    if not periods or len(set(periods)) < len(periods):
        raise ValueError(f"periods {tuple(periods)}: expected one at least, each once")
    traces = {float(period): replace(trace, period=float(period)) for period in periods}
    folder = Path(folder)
    found: dict[tuple[str, float], data.ImageSet] = {}
    for part, count in zip(data.PARTS, n, strict=True):
        for number, (period, one) in enumerate(traces.items()):
            tested = part == "test"
            place = folder / part / f"period{period:g}"
            planted.sample(
                part, one, place, count, size=size, camera=camera, progress=progress, whole=not tested,
                # scenes of its own for each period, but where periods are compared
                seed=1000 * seed + (0 if tested else number),
            )  # fmt: skip
            found[part, period] = data.scan(place)
    mixed = {
        part: _together(folder / part, {period: found[part, period] for period in traces})
        for part in ("train", "val")
    }
    test = {}
    for period in traces:
        images = found["test", period]
        fakes = images.where(label=1).paths
        marks = tuple(images.root / "mask" / path.name for path in fakes)
        test[period] = Tested(images, masks.Masked(fakes, marks))
    return Planted(mixed["train"], mixed["val"], test)


def _together(root: Path, parts: Mapping[float, data.ImageSet]) -> data.ImageSet:
    """The pictures of all periods, which are the groups."""
    return data.ImageSet(
        root,
        tuple(path for images in parts.values() for path in images.paths),
        tuple(label for images in parts.values() for label in images.labels),
        tuple(f"{period:g}" for period, images in parts.items() for _ in images.paths),
    )
