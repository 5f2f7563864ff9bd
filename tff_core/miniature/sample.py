"""The benchmark on disk: reals and fakes of one part and one generator, in the folder layout of ForenSynths.

``<out>[/<class>]/{0_real,1_fake}/<number>.png`` and, written last, ``<out>/manifest.json``. Picture ``i``
depends on (part, generator, i, seed, size, camera, weights), not on how many are requested (a fake up to
rounding). Every PNG is written completely or not at all and carries the hash of what made it, so that an
interrupted folder is completed, and a damaged or outdated file is made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from torch import nn
from tqdm.auto import tqdm

from tff_core.miniature import generators, scenes
from tff_core.miniature.camera import EDITION_2, Camera, Picture, code, drawing, take
from tff_core.miniature.inputs import Batch, Noise, to_pixels
from tff_core.pictures.data import LABELS, MANIFEST, PARTS, ImageSet
from tff_core.store.results import atomic_write, fingerprint, read_json, write_json

DATASET = "miniature"
# as in ForenSynths, where the other three come without class folders
WITH_CLASSES = ("progan", "stylegan2", "stylegan", "cyclegan")
# families that turn one scene into a picture of the same layout; the others blend two scenes, or see none
KEEP_LAYOUT = ("cyclegan", "stargan", "gaugan", "autoencoder")
# segments that are things with a shape of their own; the others are the surfaces around and behind them
THINGS = ("foliage", "window", "door", "object", "pebble")
MARK = "tff-miniature"  # the text field of our PNGs that holds the hash of what made them
BATCH = 20


def weights(part: str, generator: str) -> tuple[Path, ...]:
    """The models whose fakes are in a folder, taken in turn. ValueError for an impossible pair."""
    _known(part)
    generators.known(generator)
    if part != "test" and generator != "progan":
        raise ValueError(
            f"part {part!r} holds ProGAN only, as in ForenSynths: found generator {generator!r}; "
            "ask for part 'test'"
        )
    return tuple(generators.WEIGHTS / name for name in generators.SHIPPED[generator][part])


def check(part: str, size: int) -> None:
    """ValueError for a part that the miniature has not, and a size of pictures that it cannot make."""
    _known(part)
    if size < 16 or size % 4:
        raise ValueError(f"pictures have a size of a multiple of 4, at least 16: found {size}")


def _known(part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r} of the miniature: expected one of {', '.join(PARTS)}")


def models_of(generator: str, models: Sequence[Path]) -> tuple[Path, ...]:
    """Somebody's own weights, all of ``generator``; ValueError where one is of another."""
    for path in models:
        digest(path)
        family = generators.load(path)[1]["family"]
        if family != generator:
            raise ValueError(f"{path} has weights of {family}: expected those of {generator}")
    if len({path.name for path in models}) < len(models):
        raise ValueError(f"two of the {len(models)} models have one name: expected a name for each file")
    return tuple(models)


def place(out: Path, generator: str, label: int, index: int) -> Path:
    """Where picture ``index`` of ``label`` is below ``out``; the classes come in turn."""
    folder = out / scenes.CLASSES[index % len(scenes.CLASSES)] if generator in WITH_CLASSES else out
    return folder / LABELS[label] / f"{index:05d}.png"


def sample(part: str, generator: str, out_dir: str | Path, n_per_label: int, seed: int = 0,
           size: int = 64, progress: bool = True, camera: Camera = EDITION_2,
           models: Sequence[Path] = ()) -> dict[str, Any]:  # fmt: skip
    """Make ``n_per_label`` reals and as many fakes below ``out_dir``; the manifest.

    ``camera`` takes the reals, and the scenes that the fakes are made from. ``models`` are weights of this
    generator to be taken in turn, in place of those that ship; the same files in the same order give the
    same fakes.

    A whole folder is checked against its manifest and left alone. Raises ValueError for an unknown part or
    generator, a count below 1, a size that is no multiple of 4, or a folder that holds other
    pictures; FileNotFoundError where a generator's weights are missing.
    """
    check(part, size)
    paths = models_of(generator, models) if models else weights(part, generator)
    if n_per_label < 1:
        raise ValueError(f"a folder needs at least 1 picture per label: found n_per_label={n_per_label}")
    out = Path(out_dir)
    config: dict[str, Any] = {
        "dataset": DATASET, "part": part, "generator": generator, "seed": seed, "size": size,
        "drawing": drawing(), "camera": asdict(camera),
    }  # fmt: skip
    # a new generator leaves the reals as they are
    made_by: dict[str, Any] = {
        "generators": code("inputs.py", module_of(generator)),
        "weights": {path.name: digest(path) for path in paths},
    }
    if models:
        made_by["order"] = [path.name for path in paths]
    marks = (fingerprint(config), fingerprint(config | made_by))
    config |= made_by
    wanted = {
        place(out, generator, label, index): (label, index)
        for label in (0, 1)
        for index in range(n_per_label)
    }
    manifest = _whole(out, marks, wanted)
    if manifest is not None:
        return manifest
    promised = _promised(out)
    (out / MANIFEST).unlink(missing_ok=True)
    missing = [
        where
        for path, where in wanted.items()
        if not is_made(path, marks[where[0]])
        or promised.get(path.relative_to(out).as_posix(), digest(path)) != digest(path)
    ]
    remove_surplus(_ours(out), wanted)
    with tqdm(total=len(missing), desc=f"{part}/{generator}", unit="picture", disable=not progress) as bar:
        for index in (index for label, index in missing if label == 0):
            picture = take(part, *scene_of(index), seed, size, generator, camera)
            write_png(place(out, generator, 0, index), picture.pixels, marks[0])
            bar.update()
        todo = {index for label, index in missing if label == 1}
        for number, path in enumerate(paths):
            mine = [i for i in range(n_per_label) if model_of(i, len(paths)) == number]
            # batches have fixed members, whatever is missing: floating-point sums depend on the batch
            batches = [mine[at : at + BATCH] for at in range(0, len(mine), BATCH)]
            batches = [batch for batch in batches if todo.intersection(batch)]
            if not batches:
                continue
            model, _ = generators.load(path)
            for indices in batches:
                for index, pixels in zip(
                    indices, fakes(model, part, generator, indices, seed, size, camera), strict=True
                ):
                    if index in todo:
                        write_png(place(out, generator, 1, index), pixels, marks[1])
                        bar.update()
    files = {path.relative_to(out).as_posix(): digest(path) for path in sorted(wanted)}
    manifest = {
        "config": config, "config_hash": _both(marks),
        "counts": {"real": n_per_label, "fake": n_per_label}, "content_hash": fingerprint(files),
        "files": files,
    }  # fmt: skip
    write_json(out / MANIFEST, manifest)
    return manifest


def makers(folder: str | Path) -> tuple[str, ...]:
    """Names of the weights that made a folder's fakes, in the order in which they are taken.

    Empty where the miniature did not make the folder, or made it with weights that it no longer ships.
    """
    config = _config(Path(folder))
    names = tuple(config.get("weights", ()))
    if "order" in config:
        return tuple(config["order"])
    if len(names) < 2:
        return names
    shipped = tuple(path.name for path in weights(config["part"], config["generator"]))
    return shipped if set(shipped) == set(names) else ()


def made_by(images: ImageSet) -> list[str]:
    """Name of the weights that made each picture, see `makers`; "" for reals and where it is not known."""
    names = makers(images.root)
    return [
        names[model_of(number, len(names))] if names and label and (number := _number(path)) >= 0 else ""
        for path, label in zip(images.paths, images.labels, strict=True)
    ]


def layouts(images: ImageSet) -> list[Picture | None]:
    """The scene behind each stored picture, drawn again, for its segmentation.

    ``images`` lie below one folder made by `sample`. For a real the scene is the picture itself; for a fake
    of a family that keeps the layout of its source it is that source. None stands for pictures without a
    segmentation: fakes of the other families, and whatever was not made by the miniature.

    Raises ValueError where the folder was drawn by other code, whose scenes would not fit.
    """
    config = _config(images.root)
    if not config:
        return [None] * len(images)
    if config["drawing"] != drawing():
        raise ValueError(
            f"{images.root} was drawn by another version of the miniature ({config['drawing']}): expected "
            f"{drawing()}; sample it again to have segmentations that fit"
        )
    pairs = zip(images.paths, images.labels, strict=True)
    return [_layout(path, label, images.root, config) for path, label in pairs]


def things(scene: Picture) -> NDArray[np.bool_]:
    """Where a scene shows one of `THINGS`, (size, size)."""
    return np.isin(scene.segments, [scenes.SEGMENTS.index(name) for name in THINGS])


def _config(folder: Path) -> dict[str, Any]:
    """How a folder was made; empty where it was not made by the miniature."""
    manifest = folder / MANIFEST
    content = read_json(manifest) if manifest.is_file() else None
    config = content.get("config") if isinstance(content, dict) else None
    return config if isinstance(config, dict) and config.get("dataset") == DATASET else {}


def _number(path: Path) -> int:
    return int(path.stem) if re.fullmatch(r"\d{5}", path.stem) else -1


def _layout(path: Path, label: int, root: Path, config: dict[str, Any]) -> Picture | None:
    part, generator = config["part"], config["generator"]
    number = _number(path)
    if number < 0 or path != place(root, generator, label, number):
        return None
    if label and generator not in KEEP_LAYOUT:
        return None
    stream = f"{part}-source" if label else part
    camera = Camera.of(config["camera"])
    return take(stream, *scene_of(number), config["seed"], config["size"], generator, camera)


def scene_of(index: int) -> tuple[str, int]:
    """Class and index within the class of picture ``index``."""
    return scenes.CLASSES[index % len(scenes.CLASSES)], index // len(scenes.CLASSES)


def model_of(index: int, models: int) -> int:
    """Every model makes all classes: four pictures from one, four from the next."""
    return index // len(scenes.CLASSES) % models


@torch.inference_mode()
def fakes(
    model: nn.Module, part: str, generator: str, indices: list[int], seed: int, size: int, camera: Camera,
    stream: str = "",
) -> NDArray[np.uint8]:  # fmt: skip
    """Fakes of the part's source scenes ``indices``, each blended with the next scene of its class.

    ``stream`` names the folder that the scenes are for, by default that of the generator.
    """
    stream = stream or generator
    step = len(scenes.CLASSES)
    blends = isinstance(model, generators.Decoding) and not isinstance(model, generators.GauGAN)
    needed = sorted({*indices, *(i + step for i in indices)}) if blends else indices
    shot = {i: take(f"{part}-source", *scene_of(i), seed, size, stream, camera) for i in needed}
    batch = Batch.of([shot[i] for i in indices])
    partner = Batch.of([shot[i + step] for i in indices]) if blends else batch
    noise = Noise.stack([Noise.draw(1, size, _generator(part, stream, i, seed)) for i in indices])
    return to_pixels(model(batch, partner, noise))


def _generator(part: str, generator: str, index: int, seed: int) -> torch.Generator:
    words = f"{part}/{generator}/{index}/{seed}".encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(words).digest()[:7], "big"))


def module_of(generator: str) -> str:
    """The file with the network of ``generator``."""
    return f"{generator}.py" if generator in generators.NEW else "generators.py"


def digest(path: Path) -> str:
    """A hash of a file's bytes. FileNotFoundError where it is missing, as weights may be."""
    if not path.is_file():
        raise FileNotFoundError(generators.missing(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def write_png(path: Path, pixels: Any, mark: str) -> None:
    """Write a PNG, completely or not at all, that carries the hash of what made it."""
    text = PngImagePlugin.PngInfo()
    text.add_text(MARK, mark)
    with atomic_write(path) as part:
        Image.fromarray(pixels).save(part, "PNG", pnginfo=text, compress_level=4)


def _whole(out: Path, marks: tuple[str, str], wanted: dict[Path, tuple[int, int]]) -> dict[str, Any] | None:
    """The manifest, if exactly the pictures it names are there, unchanged."""
    files = _promised(out)
    there = {path.relative_to(out).as_posix(): path for path in wanted}
    if set(files) != set(there) or len(list(_ours(out))) != len(there):
        return None
    if any(not path.is_file() or digest(path) != files[name] for name, path in there.items()):
        return None
    manifest: dict[str, Any] = read_json(out / MANIFEST)
    return manifest if manifest["config_hash"] == _both(marks) else None


def _both(marks: tuple[str, str]) -> str:
    return fingerprint(marks)


def _promised(out: Path) -> dict[str, str]:
    """Hash of every file that the manifest names; empty where there is none, or a broken one."""
    try:
        manifest = read_json(out / MANIFEST)
    except (FileNotFoundError, ValueError):
        return {}
    files = manifest.get("files", {}) if isinstance(manifest, dict) else {}
    return files if isinstance(files, dict) else {}


def is_made(path: Path, mark: str) -> bool:
    """Whether ``path`` is a whole picture made from ``mark``. ValueError where it has another origin."""
    if not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            found = image.info.get(MARK)
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return False  # damaged: made again
    if found is None:
        raise ValueError(
            f"{path} was not made by the miniature: expected an empty folder or one of ours, to keep other "
            "pictures safe; choose another folder"
        )
    return bool(found == mark)


def _ours(out: Path) -> Iterable[Path]:
    """Pictures below ``out`` at places where this module writes."""
    name = re.compile(r"\d{5}\.png")
    for label in LABELS:
        for folder in (out / label, *(out / scene / label for scene in scenes.CLASSES)):
            if folder.is_dir():
                yield from (path for path in folder.iterdir() if name.fullmatch(path.name))


def remove_surplus(found: Iterable[Path], wanted: Container[Path]) -> None:
    """Delete pictures of an earlier, larger sampling; only those that carry our mark."""
    for path in list(found):
        if path not in wanted:
            try:
                with Image.open(path) as image:
                    ours = MARK in image.info
            except (UnidentifiedImageError, OSError):
                ours = False
            if ours:
                path.unlink()
