"""Pictures that are there already, made again by the autoencoder: every one gets a fake that shows the same.

`sample` makes fakes of scenes that are drawn for them, and nobody has photographed those scenes besides. Here
photographs that lie on disk go through encoder and decoder. A classifier that learns from such pairs cannot
go by what they show.

Source: Chai et al., ECCV 2020, train on such inversions, which they find by encoding or optimisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from tff_core.miniature import generators
from tff_core.miniature.autoencoder import Autoencoder
from tff_core.miniature.camera import code
from tff_core.miniature.inputs import to_images, to_pixels
from tff_core.miniature.sample import BATCH, digest, is_made, remove_surplus, write_png
from tff_core.pictures import data
from tff_core.store.results import fingerprint

FAMILY = "autoencoder"


def invert(
    pictures: Sequence[Path], out_dir: str | Path, model: str | Path, progress: bool = True
) -> tuple[Path, ...]:
    """Make ``<out>/<number>.png`` of each picture in its place, from the mean of its latent; their paths.

    ``model`` are weights of an autoencoder. An inversion depends on its picture and the weights alone (up to
    rounding); a folder that was interrupted is completed, and what is there already left alone.

    Raises ValueError where the weights are of another family, pictures have several sizes or sides that are
    no multiples of 4, or the folder holds other pictures; FileNotFoundError where weights or a picture are
    missing, PictureError where one is broken.
    """
    out, model = Path(out_dir), Path(model)
    network, about = generators.load(model)
    if not isinstance(network, Autoencoder):
        raise ValueError(f"{model} has weights of {about['family']}: expected those of {FAMILY}")
    made_by = {
        "dataset": "inversions", "weights": digest(model), "code": code("inputs.py", f"{FAMILY}.py"),
    }  # fmt: skip
    marks = [fingerprint(made_by | {"source": _source(path)}) for path in pictures]
    found = tuple(out / f"{number:05d}.png" for number in range(len(pictures)))
    missing = {i for i, path in enumerate(found) if not is_made(path, marks[i])}
    remove_surplus(out.glob("[0-9]*.png"), set(found))
    # batches have fixed members, whatever is missing: floating-point sums depend on the batch
    batches = [range(len(pictures))[at : at + BATCH] for at in range(0, len(pictures), BATCH)]
    with tqdm(total=len(missing), desc="inversions", unit="picture", disable=not progress) as bar:
        for batch in batches:
            if not missing.intersection(batch):
                continue
            shown = np.stack(_together([pictures[i] for i in batch]))
            with torch.inference_mode():
                made = to_pixels(network.decode(network.encode(to_images(shown)).mean))
            for index, pixels in zip(batch, made, strict=True):
                if index in missing:
                    write_png(found[index], pixels, marks[index])
                    bar.update()
    return found


def _source(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a picture to make again")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _together(paths: Sequence[Path]) -> list[np.ndarray]:
    """Pictures (H, W, 3) of one size that the network can halve twice."""
    read = [data.read(path).permute(1, 2, 0).numpy() for path in paths]
    for path, one in zip(paths, read, strict=True):
        if one.shape != read[0].shape or one.shape[0] % 4 or one.shape[1] % 4:
            raise ValueError(
                f"{path} has {one.shape[1]}x{one.shape[0]} pixels: expected pictures of one size, with sides "
                "of a multiple of 4"
            )
    return read
