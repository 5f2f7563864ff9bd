"""Pictures with the source of each: what attribution learns from and is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tff_core.attribution import answers, networks
from tff_core.pictures import data, places
from tff_core.pictures.kept import Kept

REAL = -1
"""The source of a real picture."""
BATCH = 64
"""Pictures that are seen at once."""


@dataclass(frozen=True)
class Pictures:
    """Pictures with the source of each: `REAL`, or the number of its name in ``names``."""

    paths: tuple[Path, ...]
    sources: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def hash(self) -> str:
        """A hash of the pictures' content and their sources, in their order."""
        digest = hashlib.sha256(repr(self.names).encode())
        for path, source in zip(self.paths, self.sources, strict=True):
            digest.update(f"{source}".encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]


def collect(reals: Sequence[str | Path], fakes: Mapping[str, str | Path], part: str = "") -> Pictures:
    """The pictures below folders of reals, and below a folder for each source; ``part`` is a folder in each.

    FileNotFoundError where a folder is missing, ValueError where it has no picture, or a name is none.
    """
    names = networks.name_sources(tuple(fakes))
    if not names:
        raise ValueError("no source was named: expected one or more")
    given = [(Path(folder), REAL) for folder in reals]
    given += [(Path(folder), number) for number, folder in enumerate(fakes.values())]
    paths: list[Path] = []
    sources: list[int] = []
    for folder, source in given:
        place = folder / part
        if not place.is_dir():
            raise FileNotFoundError(f"{place} is no folder: expected pictures in it; check the path")
        found = sorted(path for path in places.walk(place) if places.is_picture(path))
        if not found:
            raise ValueError(f"{place} has no pictures: expected some, such as PNG or JPEG files")
        paths += found
        sources += [source] * len(found)
    if REAL not in sources:
        raise ValueError("no folder of reals was named: expected one or more")
    return Pictures(tuple(paths), tuple(sources), names)


def of_sets(sets: Mapping[str, data.ImageSet]) -> Pictures:
    """The fakes of each set as pictures of the source that it is named after, and the reals of all sets.

    ValueError where there is no set, a name is none, a set has no fakes, or there are no reals at all.
    """
    names = networks.name_sources(tuple(sets))
    if not names:
        raise ValueError("no source was named: expected a set of pictures for one or more")
    paths = [p for one in sets.values() for p in one.where(label=0).paths]
    if not paths:
        raise ValueError(f"the sets of {', '.join(names)} have no reals: expected some in one of them")
    sources = [REAL] * len(paths)
    for number, (name, one) in enumerate(sets.items()):
        fakes = one.where(label=1).paths
        if not fakes:
            raise ValueError(f"{one.root} has no fakes: expected those of {name}")
        paths += fakes
        sources += [number] * len(fakes)
    return Pictures(tuple(paths), tuple(sources), names)


def levels(sources: Iterable[str], level: Mapping[str, str] | None = None) -> dict[str, str]:
    """The level of each source, itself by default; that of reals is "real".

    ValueError where a source has none, or is called real.
    """
    names = dict.fromkeys(sources)
    of = {name: name if level is None or name == answers.REAL else level.get(name, "") for name in names}
    for name, found in of.items():
        if not found:
            without = ", ".join(other for other, own in of.items() if not own)
            raise ValueError(f"{without} has no level: expected one for every source, such as its family")
        if found == answers.REAL and name != answers.REAL:
            raise ValueError(
                f"the level of {name} is {found!r}: expected another, that one is of real pictures"
            )
    return of


def architecture(name: str) -> str:
    """The architecture that a source's name begins with, up to the first _: progan of progan_celeba.

    The rule of Khoo et al., whose folders are called by architecture and training pictures.
    """
    return name.split("_", 1)[0]


def at_level(images: Pictures, level: Mapping[str, str]) -> Pictures:
    """The same pictures, with sources of one level as one source, which is called like the level.

    ``level`` is from each source's name to what counts as one source, such as
    ``{name: architecture(name) for name in images.names}``. ValueError where a source has none.
    """
    of = levels(images.names, level)
    names = tuple(dict.fromkeys(of[name] for name in images.names))
    number = [names.index(of[name]) for name in images.names]
    sources = tuple(REAL if source == REAL else number[source] for source in images.sources)
    return Pictures(images.paths, sources, names)


def same_sources(images: Pictures, held_out: Pictures) -> None:
    """ValueError unless pictures for training and for validation have the same sources, in the same order."""
    if images.names != held_out.names:
        raise ValueError(
            f"sources {', '.join(images.names)} for training and {', '.join(held_out.names)} for validation: "
            "expected the same, in the same order"
        )


def sized(kept: Kept, i: int, size: int) -> Tensor:
    """A picture, uint8 (3, size, size); PictureError where it has another size."""
    pixels = kept[i]
    if tuple(pixels.shape[-2:]) != (size, size):
        raise data.PictureError(
            f"{kept.paths[i]}: {pixels.shape[-1]}x{pixels.shape[-2]} pixels: expected {size}x{size}; crop or "
            "resize all pictures alike first"
        )
    return pixels


def batch(kept: Kept, at: int, size: int) -> Tensor:
    """At most `BATCH` pictures from ``at`` on, uint8 (N, 3, size, size); errors as `sized`."""
    return torch.stack([sized(kept, i, size) for i in range(at, min(at + BATCH, len(kept.paths)))])
