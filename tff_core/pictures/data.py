"""Folders of pictures laid out as in ForenSynths, checked, and read as tensors.

The layout is ``<generator>[/<class>]/{0_real,1_fake}/*.png`` (Wang et al., CVPR 2020): some generators have a
folder per class of scene, some have none; this is detected from the folders. Label 1 means fake.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSet, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.transforms import v2

from tff_core.pictures import places, reading
from tff_core.pictures.places import SUFFIXES as SUFFIXES
from tff_core.pictures.reading import MAX_PIXELS as MAX_PIXELS
from tff_core.pictures.reading import PictureError as PictureError
from tff_core.pictures.reading import read as read

GENERATORS = ("progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan")
PARTS = ("train", "val", "test")
LABELS = ("0_real", "1_fake")  # the folder's name by label
MANIFEST = "manifest.json"  # written last, after the pictures: the folder is complete
IMAGENET_MEAN = (0.485, 0.456, 0.406)
LUMA = (0.299, 0.587, 0.114)  # share of red, green and blue in the luma (ITU-R BT.601, as in JPEG)
PLANES = ("rgb", "luma", "chroma", "ycbcr")
IMAGENET_STD = (0.229, 0.224, 0.225)
_FAINT = 0.5 / 255  # contrast below which there is rounding alone
_KEEP_BYTES = 1 << 30  # decoded pictures up to this size are kept between passes
_AHEAD_BYTES = 1 << 27  # decoded pictures that wait for the network while more are being read
_RESIZED_PIXELS = 1 << 24  # of a picture after a resize, unless it had as many before
_BATCH_PIXELS = 1 << 22  # a batch of large pictures holds fewer

Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing that a network needs.

    ``resize`` is the length of the shorter side in pixels (bilinear, antialiased), ``crop`` then the side of
    the middle square; None: neither, as in the paper. ``planes`` is what of the colours is kept: "rgb" all,
    "luma" the luma, in all three channels, "chroma" what is left of them where the luma is set to one half,
    "ycbcr" all, as the luma and two chroma components of JPEG in place of red, green and blue.
    ``highpass`` is the side, odd, of the square of pixels whose mean is then taken from each pixel and
    replaced by one half: what is left are the finest differences; None: none.
    ``contrast`` is what each channel's root mean square difference from its mean is brought to (global
    contrast normalisation), around one half and clipped to [0, 1]: how strong something is says nothing
    any more, only its shape does. What is weaker than half of one of 255 levels is raised no further than
    that would be; None: as it is.
    At last ``mean`` is subtracted and the result divided by ``std``, for red, green and blue in [0, 1].
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: int | None = None
    crop: int | None = None
    planes: str = "rgb"
    highpass: int | None = None
    contrast: float | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """From YAML settings; ValueError names the one that is unknown or invalid."""
        unknown = sorted(set(settings) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(
                f"preprocessing: unknown {unknown[0]!r}; expected mean, std, resize, crop, planes, highpass "
                "or contrast"
            )
        values: dict[str, Any] = {"planes": settings.get("planes", "rgb")}
        if values["planes"] not in PLANES:
            raise ValueError(
                f"preprocessing: planes is {values['planes']!r}; expected one of {', '.join(PLANES)}"
            )
        for key in ("mean", "std"):
            found = settings.get(key, getattr(cls, key))
            if not isinstance(found, list | tuple) or len(found) != 3 or not all(map(_is_number, found)):
                raise ValueError(
                    f"preprocessing: {key} is {found!r}; expected three numbers, of red, green, blue"
                )
            values[key] = tuple(float(value) for value in found)
        if min(values["std"]) <= 0:
            raise ValueError(f"preprocessing: std is {list(values['std'])}; expected numbers above 0")
        for key in ("resize", "crop", "highpass"):
            found = settings.get(key)
            if found is not None and (not isinstance(found, int) or isinstance(found, bool) or found < 1):
                raise ValueError(f"preprocessing: {key} is {found!r}; expected a number of pixels, or none")
            values[key] = found
        if values["highpass"] is not None and (values["highpass"] < 3 or values["highpass"] % 2 == 0):
            raise ValueError(
                f"preprocessing: highpass is {values['highpass']}; expected an odd number of pixels, 3 or "
                "more, or none"
            )
        contrast = settings.get("contrast")
        if contrast is not None and not (_is_number(contrast) and 0 < contrast <= 0.5):
            raise ValueError(
                f"preprocessing: contrast is {contrast!r}; expected a number above 0, at most 0.5, or none"
            )
        values["contrast"] = None if contrast is None else float(contrast)
        return cls(**values)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that a pixel can take."""
        if self.contrast is not None:
            return self._ends([0.0] * 3)
        # without luma a channel differs from one half by at most what the other two weigh
        spare = [0.5 - weight if self.planes == "chroma" else 0.0 for weight in LUMA]
        if self.highpass is not None:
            # a pixel at one end of the range among pixels at the other
            most = 1 - 1 / self.highpass**2
            spare = [most * (1 + 2 * r) - 0.5 for r in spare]
        return self._ends(spare)

    def _ends(self, spare: Sequence[float]) -> tuple[float, float]:
        triples = list(zip(self.mean, self.std, spare, strict=True))
        return min((-r - m) / s for m, s, r in triples), max((1 + r - m) / s for m, s, r in triples)

    def cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pictures (..., 3, H, W) after resize and crop; parts of a crop beyond the border are black.

        Raises PictureError where a resize would make them many times larger, as with a thin strip.
        """
        if self.resize is not None:
            height, width = pixels.shape[-2:]
            long = max(height, width) * self.resize // min(height, width)
            if self.resize * long > max(_RESIZED_PIXELS, height * width):
                raise PictureError(
                    f"{width}x{height} pixels, resized to a shorter side of {self.resize}, would become "
                    f"{self.resize * long} pixels: expected at most {_RESIZED_PIXELS}; cut the picture first"
                )
            pixels = v2.functional.resize(pixels, [self.resize], antialias=True)
        return pixels if self.crop is None else v2.functional.center_crop(pixels, [self.crop])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


IMAGENET = Preprocessing()


@dataclass(frozen=True)
class ImageSet:
    """Paths of labelled pictures, sorted by class, label and file name.

    ``labels`` and ``groups`` have one entry per path: 0 real or 1 fake, and the class of scene ("" without
    class folders). ``classes`` are the distinct classes, empty without class folders. ``stray`` lists what is
    in the folders and is not a picture; ``root`` is the folder that holds everything.
    """

    root: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    stray: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({group for group in self.groups if group}))

    @property
    def counts(self) -> tuple[int, int]:
        """Number of real and of fake pictures."""
        fakes = sum(self.labels)
        return len(self.labels) - fakes, fakes

    def take(self, indices: Sequence[int]) -> ImageSet:
        """The pictures at ``indices``, in that order."""
        return replace(
            self,
            paths=tuple(self.paths[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
            groups=tuple(self.groups[i] for i in indices),
        )

    def where(self, label: int | None = None, group: str | None = None, first: int | None = None) -> ImageSet:
        """The pictures of one label and/or one class; of these at most the ``first`` of each label.

        ``first`` is spread evenly over the classes, as far as each has enough pictures.
        """
        chosen = [
            i
            for i in range(len(self))
            if (label is None or self.labels[i] == label) and (group is None or self.groups[i] == group)
        ]
        return self.take(chosen) if first is None else self.take(self._evenly(chosen, first, None))

    def sample(self, n: int, seed: int) -> ImageSet:
        """At most ``n`` pictures of each label, drawn without replacement, evenly over the classes."""
        return self.take(self._evenly(range(len(self)), n, np.random.default_rng(seed)))

    def _evenly(self, chosen: Sequence[int], n: int, rng: np.random.Generator | None) -> list[int]:
        if n < 1:
            raise ValueError(f"{n} pictures were asked for: expected a positive number")
        kept: list[int] = []
        for label in (0, 1):
            queues = []
            for group in sorted(set(self.groups)):
                members = [i for i in chosen if self.labels[i] == label and self.groups[i] == group]
                queues.append(members if rng is None else [members[j] for j in rng.permutation(len(members))])
            # round by round: the k-th picture of every class before the (k+1)-th of any
            ranked = [(rank, q, i) for q, queue in enumerate(queues) for rank, i in enumerate(queue)]
            kept += [i for _, _, i in sorted(ranked)[:n]]
        return sorted(kept)


def scan(root: str | Path) -> ImageSet:
    """Find the pictures of one generator below ``root``; class folders are detected.

    Only names are looked at; a picture's content is checked when it is read. Files whose names are not those
    of pictures, unexpected folders, and what systems and editors leave behind (hidden entries, ``__MACOSX``,
    see `tff_core.pictures.places`) are left out and listed in ``stray``. Links are followed.

    Raises FileNotFoundError where ``root`` is not a folder, and ValueError where there is no picture in the
    layout, where a folder lacks reals or fakes, or where the two layouts are mixed.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is no folder: expected one generator's pictures, that is {root}/0_real and "
            f"{root}/1_fake, or these two inside class folders"
        )
    plain = any((root / name).is_dir() for name in LABELS)
    classes = sorted(
        entry
        for entry in root.iterdir()
        if not places.is_dropping(entry.name)
        and any((entry / name).is_dir() for name in LABELS)
        and not places.leads_up(entry, root)
    )
    if plain and classes:
        raise ValueError(
            f"{root} has both 0_real or 1_fake and class folders ({classes[0].name}, ...): expected one "
            "of the two layouts; move one of them elsewhere"
        )
    if not plain and not classes:
        raise ValueError(
            f"{root} has no pictures in the ForenSynths layout: expected the folders 0_real and 1_fake in "
            f"it, or class folders that have them; found {_listing(root)}"
        )
    folders = [root] if plain else classes
    expected = set(LABELS) if plain else {entry.name for entry in classes}
    stray = [e for e in root.iterdir() if e.name not in expected and e.name != MANIFEST]
    paths: list[Path] = []
    labels: list[int] = []
    groups: list[str] = []
    for folder in folders:
        if not plain:
            stray += [entry for entry in folder.iterdir() if entry.name not in LABELS]
        for label, name in enumerate(LABELS):
            found, other = _pictures(folder / name)
            stray += other
            if not found:
                raise ValueError(
                    f"{folder} has only one label: found no picture in {folder / name}; expected pictures in "
                    "both 0_real and 1_fake"
                )
            paths += found
            labels += [label] * len(found)
            groups += ["" if plain else folder.name] * len(found)
    return ImageSet(root, tuple(paths), tuple(labels), tuple(groups), tuple(sorted(stray)))


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    if not folder.is_dir():
        return [], []
    pictures: list[Path] = []
    other: list[Path] = []
    for entry in sorted(folder.iterdir()):
        (pictures if places.is_picture(entry) else other).append(entry)
    return pictures, other


def _listing(folder: Path, n: int = 5) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return (
        "nothing"
        if not names
        else ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
    )


def load(images: ImageSet, preprocessing: Preprocessing = IMAGENET, *, middle: bool = False) -> torch.Tensor:
    """All pictures as one uint8 tensor of shape (N, 3, H, W), resized and cropped as a network needs it.

    With ``middle``, pictures of several sizes are cropped to the largest middle that all have, for showing
    them side by side. Raises ValueError that names both pictures where two differ in size without it,
    PictureError as in `read`.
    """
    if not len(images):
        raise ValueError(f"no pictures of {images.root} were chosen: expected at least one")
    pictures = [_cut(path, preprocessing) for path in images.paths]
    if middle:
        height = min(picture.shape[-2] for picture in pictures)
        width = min(picture.shape[-1] for picture in pictures)
        pictures = [v2.functional.center_crop(picture, [height, width]) for picture in pictures]
    for path, picture in zip(images.paths, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise ValueError(
                f"{path} has {_size(picture)} pixels and {images.paths[0]} has {_size(pictures[0])}: "
                "expected one size; use batches(), which handles mixed sizes, or resize the pictures"
            )
    return torch.stack(pictures)


def _cut(path: Path, preprocessing: Preprocessing) -> torch.Tensor:
    pixels = read(path)
    try:
        return preprocessing.cut(pixels)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error


def _size(picture: torch.Tensor) -> str:
    return f"{picture.shape[-1]}x{picture.shape[-2]}"


def stream(
    paths: Sequence[str | Path],
    batch_size: int = 64,
    *,
    broken: MutableMapping[int, Exception] | None = None,
    transparent: MutableSet[int] | None = None,
    threads: int | None = None,
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Pictures of any number and size, decoded in threads while the caller works on earlier ones.

    Yields positions in ``paths``, and these pictures as uint8 (N, 3, H, W), channels last in memory: of one
    size each time, at most ``batch_size``, fewer where they are large. Nothing is kept, so memory does not
    grow with their number. What cannot be read is recorded in ``broken`` by its position and left out;
    without ``broken`` the error is raised as in `read`. ``transparent`` collects the positions of those that
    are not fully opaque; nothing else about transparency is reported.
    """
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: expected a positive number")
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[tuple[np.ndarray, bool]]]] = deque()
    by_size: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
    todo = iter(enumerate(paths))
    ahead, held = threads, 0

    def together(size: tuple[int, ...]) -> tuple[list[int], torch.Tensor]:
        nonlocal held
        members = by_size.pop(size)
        held -= sum(picture.size for _, picture in members)
        # colours stay last: the layout that networks are fastest with
        stacked = torch.from_numpy(np.stack([picture for _, picture in members]))
        return [i for i, _ in members], stacked.permute(0, 3, 1, 2)

    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for i, path in itertools.islice(todo, max(ahead - len(waiting), 0)):
                    waiting.append((i, pool.submit(_pixels, path)))
                if not waiting:
                    break
                i, job = waiting.popleft()
                try:
                    picture, clear = job.result()
                except (PictureError, OSError) as error:
                    if broken is None:
                        raise
                    broken[i] = error
                    continue
                if clear and transparent is not None:
                    transparent.add(i)
                ahead = min(max(threads, _AHEAD_BYTES // picture.size), 2 * batch_size + threads)
                members = by_size.setdefault(picture.shape, [])
                members.append((i, picture))
                held += picture.size
                if len(members) >= _at_once(batch_size, picture.shape[0] * picture.shape[1]):
                    yield together(picture.shape)
                elif held > _AHEAD_BYTES:  # many sizes: the one with the most pictures goes first
                    yield together(max(by_size, key=lambda size: len(by_size[size])))
            while by_size:
                yield together(next(iter(by_size)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pixels(path: str | Path) -> tuple[np.ndarray, bool]:
    found = reading.decoded(path)
    return found.pixels, found.alpha is not None


def _at_once(batch_size: int, pixels: int) -> int:
    """How many pictures of this many pixels form a batch: at most ``batch_size``, fewer if they are large."""
    return min(batch_size, max(1, _BATCH_PIXELS // pixels))


class Batches:
    """Batches of one picture size each, re-iterable; made by `batches`."""

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        device: str | torch.device,
        transform: Transform | None,
        preprocessing: Preprocessing = IMAGENET,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch size {batch_size}: expected a positive number")
        self.images = images
        self.device = torch.device(device)
        self.transform = transform
        self.preprocessing = preprocessing
        self._kept: list[torch.Tensor] | None = []
        by_size: dict[tuple[int, int], list[int]] = {}
        for i, path in enumerate(images.paths):
            by_size.setdefault(reading.size(path), []).append(i)
        self._indices: list[list[int]] = []
        for (width, height), members in sorted(by_size.items()):
            some = _at_once(batch_size, width * height)
            self._indices += [members[start : start + some] for start in range(0, len(members), some)]
        total = sum(3 * w * h * len(members) for (w, h), members in by_size.items())
        if total > _KEEP_BYTES:
            self._kept = None

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def order(self) -> list[int]:
        """Which picture of ``images`` comes when: the indices of all batches, one after the other."""
        return [i for indices in self._indices for i in indices]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        for number, indices in enumerate(self._indices):
            if self._kept is not None and number < len(self._kept):
                pixels = self._kept[number]
            else:
                pixels = torch.stack([_cut(self.images.paths[i], self.preprocessing) for i in indices])
                if self._kept is not None and number == len(self._kept):
                    self._kept.append(pixels)
            x = pixels.to(self.device)
            if self.transform is not None:
                x = self.transform(x)
            x = normalize(x, self.preprocessing).contiguous(memory_format=torch.channels_last)
            y = torch.tensor([self.images.labels[i] for i in indices], device=self.device)
            yield x, y, torch.tensor(indices)


def batches(
    images: ImageSet,
    batch_size: int = 50,
    *,
    device: str | torch.device = "cpu",
    transform: Transform | None = None,
    preprocessing: Preprocessing = IMAGENET,
) -> Batches:
    """Normalised batches ``(x, y, index)``: x float32 (N, 3, H, W), y and index int64 (N,).

    Pictures of one size share a batch, so mixed sizes need no crop (the paper uses none), and a batch of
    large ones has fewer than ``batch_size``: 4 million pixels, or 64 pictures of 256 x 256. ``index`` says
    which pictures of ``images`` a batch holds. ``transform`` maps the uint8 batch before it is normalised,
    for example `grayscale`; ``preprocessing`` is what the network needs, as declared by a detector's
    ``Spec``. Up to 1 GiB of decoded pictures is kept for the next pass over the same object.
    """
    return Batches(images, batch_size, device, transform, preprocessing)


Pictures = torch.Tensor | Iterable[torch.Tensor | Sequence[Any]]
"""Pictures (N, 3, H, W), or batches of them, or tuples that start with such batches, as from `batches`."""


def pictures(batches: Pictures) -> Iterator[torch.Tensor]:
    """The pictures alone, batch by batch; those of one size may also be given as a single tensor."""
    for batch in [batches] if isinstance(batches, torch.Tensor) else batches:
        yield batch if isinstance(batch, torch.Tensor) else batch[0]


def normalize(x: torch.Tensor, preprocessing: Preprocessing = IMAGENET) -> torch.Tensor:
    """Pictures (..., 3, H, W), uint8 or float in [0, 1], as a network wants them: the planes that it sees,
    or their finest differences, at a contrast of their own or at the same, with mean and deviation
    (ImageNet's) removed.
    """
    if x.dtype == torch.uint8:
        x = v2.functional.to_dtype(x, torch.float32, scale=True)
    elif not x.is_floating_point():
        raise ValueError(f"pictures of type {x.dtype}: expected uint8, or float in [0, 1]")
    if preprocessing.planes != "rgb":
        weights = x.new_tensor(LUMA).view(3, 1, 1)
        luma = (weights * x).sum(-3, keepdim=True)
        if preprocessing.planes == "luma":
            x = luma.expand(x.shape)
        elif preprocessing.planes == "chroma":
            x = x - luma + 0.5
        else:
            red, blue = x[..., :1, :, :] - luma, x[..., 2:, :, :] - luma
            x = torch.cat([luma, blue / (2 - 2 * LUMA[2]) + 0.5, red / (2 - 2 * LUMA[0]) + 0.5], -3)
    if preprocessing.highpass is not None:
        side = preprocessing.highpass
        around = torch.nn.functional.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)
        x = x - around + 0.5
    if preprocessing.contrast is not None:
        x = x - x.mean((-2, -1), keepdim=True)
        strength = x.square().mean((-2, -1), keepdim=True).sqrt().clamp_min(_FAINT)
        x = (x * (preprocessing.contrast / strength) + 0.5).clamp(0, 1)
    return v2.functional.normalize(x, list(preprocessing.mean), list(preprocessing.std))


def grayscale(x: torch.Tensor) -> torch.Tensor:
    """The luma of uint8 pictures (..., 3, H, W) in all three channels, rounded as Pillow's mode L does.

    The paper makes its gray pictures with Pillow; torchvision's tensor version truncates and differs by 1.
    """
    if x.dtype != torch.uint8 or x.ndim < 3 or x.shape[-3] != 3:
        raise ValueError(f"{x.dtype} of shape {tuple(x.shape)}: expected uint8 pictures (..., 3, H, W)")
    return luma(x).to(torch.uint8).expand(x.shape).contiguous()


def luma(x: torch.Tensor) -> torch.Tensor:
    """The luma of uint8 pictures (..., 3, H, W) as whole numbers from 0 to 255, float32 (..., 1, H, W).

    Pillow's formula, (19595 R + 38470 G + 7471 B + 32768) >> 16: all sums are below 2^24, so that float32,
    which is faster than whole numbers, has them exactly.
    """
    red, green, blue = x.unbind(-3)
    sums = red.to(torch.float32).mul_(19595.0).add_(green, alpha=38470.0).add_(blue, alpha=7471.0)
    return sums.add_(32768.0).mul_(2.0**-16).floor_().unsqueeze(-3)


def cut_at_random(pixels: torch.Tensor, generator: torch.Generator, share: float) -> torch.Tensor:
    """A crop of each picture (N, 3, H, W), ``share`` of its sides, at a place of its own; (N, 3, h, w)."""
    sides = [max(1, round(share * side)) for side in pixels.shape[-2:]]
    rows, columns = (
        torch.randint(side - small + 1, (len(pixels),), generator=generator).tolist()
        for side, small in zip(pixels.shape[-2:], sides, strict=True)
    )
    cut = v2.functional.crop
    return torch.stack([cut(one, y, x, *sides) for one, y, x in zip(pixels, rows, columns, strict=True)])


def content_hash(images: ImageSet, length: int = 16) -> str:
    """A hash of the pictures' bytes, labels and places below the root; equal on every machine."""
    digest = hashlib.sha256()
    for path, label in zip(images.paths, images.labels, strict=True):
        digest.update(f"{path.relative_to(images.root).as_posix()}\0{label}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:length]
