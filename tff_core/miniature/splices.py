"""Pictures that are fake in a part of them only, with the part known to the pixel.

``<out>/{image,mask}/<number>.png``: in a mask 255 is fake and 0 real. The first pictures are spliced: a
region of a photograph comes from a generator. Where the family keeps the layout of its source
(`KEEP_LAYOUT`, the autoencoder among them, which regenerates the region), that source is the photograph,
and nothing but the generator's traces tells the region; from other families it is a region of another
scene. The pictures after them are authentic, and their masks empty.

A region is an ellipse or a rectangle at a random place, turned by a random angle, of 4 to 40 percent of the
picture. Its border is hard: a softer one would belong to both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from tff_core.miniature import generators
from tff_core.miniature.camera import EDITION_2, Camera, code, drawing, take
from tff_core.miniature.sample import (
    BATCH,
    KEEP_LAYOUT,
    check,
    digest,
    fakes,
    is_made,
    model_of,
    models_of,
    module_of,
    remove_surplus,
    scene_of,
    weights,
    write_png,
)
from tff_core.pictures.data import MANIFEST
from tff_core.store.results import fingerprint, read_json, write_json

FOLDERS = ("image", "mask")
AREA = (0.04, 0.4)
"""Between which the area of a region is, as a share of the picture's."""


def region(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """A random region of a picture of ``size`` pixels a side, (size, size); its area is within `AREA`."""
    while True:
        area = rng.uniform(*AREA) * size**2
        stretch = np.exp(rng.uniform(-0.7, 0.7))
        angle = rng.uniform(0, np.pi)
        y, x = rng.uniform(0, size, 2)
        round_one = bool(rng.integers(2))
        across = np.sqrt(area / (np.pi if round_one else 4)) * stretch
        down = across / stretch**2
        rows, columns = np.mgrid[:size, :size] + 0.5
        u = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / across
        v = ((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)) / down
        found = u**2 + v**2 <= 1 if round_one else np.maximum(np.abs(u), np.abs(v)) <= 1
        if AREA[0] <= found.mean() <= AREA[1]:  # else too much of it was beyond the border
            return np.asarray(found)


def splice(part: str, generator: str, out_dir: str | Path, n_spliced: int, n_authentic: int | None = None,
           seed: int = 0, size: int = 64, progress: bool = True, camera: Camera = EDITION_2,
           models: Sequence[Path] = ()) -> dict[str, Any]:  # fmt: skip
    """Make ``n_spliced`` pictures and ``n_authentic`` (default: as many) below ``out_dir``; the manifest.

    ``part`` ("train", "val" or "test") chooses the scenes, none of which is in any other folder; ``models``
    are weights of this generator to be taken in turn, in place of those of its test part. Picture ``i``
    depends on the arguments and on ``i`` alone; a folder that was interrupted is completed, and a whole one
    left alone.

    Raises ValueError for an unknown part or generator, a count below 1 (authentic: 0), a size that is no
    multiple of 4, or a folder with other pictures; FileNotFoundError where weights are missing.
    """
    authentic = n_spliced if n_authentic is None else n_authentic
    if n_spliced < 1 or authentic < 0:
        raise ValueError(f"{n_spliced} spliced and {authentic} authentic pictures: expected 1 and 0 at least")
    check(part, size)
    paths = models_of(generator, models) if models else weights("test", generator)
    out = Path(out_dir)
    made_by = {path.name: digest(path) for path in paths}
    config = {
        "dataset": "splices", "part": part, "generator": generator, "seed": seed, "size": size,
        "spliced": n_spliced, "drawing": drawing(), "camera": asdict(camera), "weights": made_by,
        "order": [path.name for path in paths],
        "code": code("splices.py", "inputs.py", module_of(generator)),
    }  # fmt: skip
    mark = fingerprint(config)
    total = n_spliced + authentic
    wanted = {f"{folder}/{i:05d}.png": i for i in range(total) for folder in FOLDERS}
    names, found = to_make(out, mark, wanted)
    if found is not None:
        return found
    missing = {wanted[name] for name in names}
    kept = generator in KEEP_LAYOUT
    stream = f"{generator}-splices"  # scenes of their own
    with tqdm(total=len(missing), desc=f"splices/{generator}", unit="picture", disable=not progress) as bar:
        for number, path in enumerate(paths):
            mine = [i for i in range(n_spliced) if model_of(i, len(paths)) == number]
            batches = [mine[at : at + BATCH] for at in range(0, len(mine), BATCH)]
            batches = [batch for batch in batches if missing.intersection(batch)]
            if not batches:
                continue
            model, _ = generators.load(path)
            for indices in batches:
                made = fakes(model, part, generator, indices, seed, size, camera, stream)
                for index, fake in zip(indices, made, strict=True):
                    if index not in missing:
                        continue
                    scene = (f"{part}-source" if kept else part, *scene_of(index))
                    mask = region(np.random.default_rng([seed, index, 1]), size)
                    pixels = take(*scene, seed, size, stream, camera).pixels
                    _write(out, index, np.where(mask[..., None], fake, pixels), mask, mark)
                    bar.update()
        for index in sorted(i for i in missing if i >= n_spliced):
            pixels = take(part, *scene_of(index), seed, size, stream, camera).pixels
            _write(out, index, pixels, np.zeros((size, size), dtype=bool), mark)
            bar.update()
    manifest = {
        "config": config, "config_hash": mark, "counts": {"spliced": n_spliced, "authentic": authentic},
        "files": {name: digest(out / name) for name in sorted(wanted)},
    }  # fmt: skip
    write_json(out / MANIFEST, manifest)
    written: dict[str, Any] = read_json(out / MANIFEST)  # as it will be found
    return written


def to_make(out: Path, mark: str, wanted: Collection[str]) -> tuple[list[str], dict[str, Any] | None]:
    """The names of ``wanted`` that are not there yet, and the manifest of a folder that is whole.

    Of a folder that is not, the manifest and what is no longer wanted are removed. Pictures lie in the
    folders of the names, as ``<folder>/<number>.png``, and carry ``mark``.
    """
    missing = [name for name in wanted if not is_made(out / name, mark)]
    if not missing and (out / MANIFEST).is_file():
        found: dict[str, Any] = read_json(out / MANIFEST)
        if found.get("config_hash") == mark and set(found.get("files", {})) == set(wanted):
            return [], found
    (out / MANIFEST).unlink(missing_ok=True)
    folders = dict.fromkeys(Path(name).parent for name in wanted)
    before = (path for folder in folders for path in (out / folder).glob("[0-9]*.png"))
    remove_surplus(before, {out / name for name in wanted})
    return missing, None


def _write(out: Path, index: int, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], mark: str) -> None:
    write_png(out / "image" / f"{index:05d}.png", pixels, mark)
    write_png(out / "mask" / f"{index:05d}.png", mask.astype(np.uint8) * 255, mark)
