"""One run of the design study: train the stand-in on development generators, test it on others, log its AP.

    python benchmarks/design.py --models FOLDER --name base
    python benchmarks/design.py --models FOLDER --name chroma --planes chroma --seeds 0 1 2
    python benchmarks/design.py --table book/design_log.md       puts all runs into the page

A run is one choice of pictures and recipe. Its pictures are sampled once, below ``--build``, from the weights
in ``--models``: ``progan.s*.safetensors`` but the last are trained on (all their ages), the last of them is
unseen, and of every other family the last. Nothing here reads the shipped test generators, and nothing but
average precision comes out: what else a detector does must not be looked at for a choice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from marks import write_page
from torch import nn

from tff_core import detectors, intervals
from tff_core.claims.texts import base
from tff_core.detectors import training
from tff_core.miniature import FAMILIES, camera, scenes
from tff_core.miniature.sample import sample
from tff_core.pictures import data
from tff_core.store.results import Store, fingerprint

FINE = 10.0  # times the usual size are first filters that start with differences alone: those are small
LEAST = 0.01  # of what a network sees (about half a level of 255): below it is rounding, not a trace
RUNS = Path(__file__).with_name("design.jsonl")


def sorted_out(folder: Path, held_out: int | None = None) -> tuple[list[Path], dict[str, Path]]:
    """The models to train on, and the one to test on of every family that has any."""
    found = {family: sorted(folder.glob(f"{family}.s*.safetensors")) for family in FAMILIES}
    seeds = sorted({path.stem.split("-")[0] for path in found["progan"]})
    if len(seeds) < 2:
        raise ValueError(
            f"{folder} has {len(seeds)} seeds of ProGAN: expected two at least, one of them to test on; "
            "train more with `python -m tff_core.miniature train-generator progan`"
        )
    last = seeds[-1] if held_out is None else f"progan.s{held_out}"
    if last not in seeds:
        raise ValueError(f"{folder} has no ProGAN of seed {held_out}: it has {', '.join(seeds)}")
    found["progan"].sort(key=lambda path: path.stem.split("-")[0] == last)  # the others stay in order
    seen = [path for path in found["progan"] if path.stem.split("-")[0] != last]
    return seen, {family: paths[-1] for family, paths in found.items() if paths}


def sampled(store: Store, options: argparse.Namespace, seen: list[Path], unseen: dict[str, Path]) -> str:
    """Sample what a run needs, unless it is there; the name of its data set."""
    chosen = {"seen": [path.name for path in seen], "camera": options.camera, "size": options.size}
    dataset = f"design-{fingerprint(chosen)}"
    shot = camera.CAMERAS[options.camera]
    folders = [("train", "progan", options.n, seen), ("val", "progan", options.n_val, seen)]
    folders += [("test", family, options.n_test, [path]) for family, path in unseen.items()]
    for part, family, n, models in folders:
        out = store.data(dataset, part, family)
        sample(part, family, out, n, size=options.size, camera=shot, models=models)
    return dataset


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train every seed, test it on every family; what the table shows of it."""
    store = Store(options.build)
    seen, families = sorted_out(options.models, options.held_out)
    dataset = sampled(store, options, seen, families)
    recipe = {"n": options.n, "n_val": options.n_val, "epochs": options.epochs, "crop": options.crop}
    spec = detectors.Spec(
        f"{options.name}-{options.arch}".replace(":", "-"), options.arch, dataset, options=recipe,
        preprocessing=_seen(options),
    )  # fmt: skip
    detectors.register(spec)
    start = _classifier(store, dataset, options) if options.start == "scenes" else None
    images = {family: data.scan(store.data(dataset, "test", family)) for family in families}
    scores: dict[str, list[Any]] = {family: [] for family in families}
    held_out = []
    for seed in options.seeds:
        training.train(spec, seed, store, start=start)
        trained = detectors.load(spec.name, seed, store)
        held_out.append(trained.info["validation"]["ap"])
        for family in families:
            batches = data.batches(images[family], preprocessing=spec.preprocessing)
            scores[family].append(detectors.logits(trained.model, batches))
    row = {"name": options.name, "network": options.arch, "planes": options.planes}
    row |= {"highpass": options.highpass, "contrast": options.contrast, "size": options.size}
    row |= {
        **recipe,
        "start": options.start,
        "camera": options.camera,
        "seeds": len(options.seeds),
        "n_test": options.n_test,
    }
    row |= {"models": len(seen), "validation": float(np.mean(held_out))}
    aps = {
        family: intervals.ap_interval_over_seeds(images[family].labels, scores[family]) for family in families
    }
    return row | {"ap": {family: [ap.value, ap.low, ap.high] for family, ap in aps.items()}}


def _seen(options: argparse.Namespace) -> data.Preprocessing:
    return replace(data.IMAGENET, planes=options.planes, highpass=options.highpass, contrast=options.contrast)


def _classifier(store: Store, dataset: str, options: argparse.Namespace) -> Path:
    """Weights of a classifier of the same scenes, which sees the same planes; trained on first use."""
    seen = f"{options.planes}{options.highpass or ''}{options.contrast or ''}"
    name = f"scenes-{seen}-{dataset}-{options.arch}".replace(":", "-")
    recipe = {"n": options.n, "n_val": options.n_val, "epochs": 3, "crop": options.crop}
    spec = detectors.Spec(
        name, options.arch, dataset, recipe, scenes.CLASSES, preprocessing=_seen(options)
    )  # fmt: skip
    return training.train(detectors.register(spec), 0, store)


def resnet18_fine(num_classes: int = 1) -> nn.Module:
    """ResNet-18 whose first filters start as random ones of a picture's differences from its 3x3 mean.

    As ``--arch design:resnet18_fine``, with this folder on PYTHONPATH.
    """
    model = detectors.build("resnet18", range(num_classes) if num_classes > 1 else ())
    with torch.no_grad():
        inner = model.conv1.weight[:, :, 1:-1, 1:-1]
        apart = -torch.ones(1, 1, 3, 3) / 9
        apart[..., 1, 1] += 1
        full = nn.functional.conv2d(inner.reshape(-1, 1, 5, 5), apart, padding=2)
        full = full.reshape(model.conv1.weight.shape)
        # pictures leave little there
        model.conv1.weight.copy_(full * FINE)
    return model


def resnet18_level(num_classes: int = 1) -> nn.Module:
    """ResNet-18 that sees each channel of a picture divided by its own deviation: how strong a trace is
    then says nothing, its shape alone does.
    """
    return _levelled(num_classes, None)


def resnet18_local(num_classes: int = 1) -> nn.Module:
    """As `resnet18_level`, with the deviation of the 9x9 pixels around each."""
    return _levelled(num_classes, 9)


def resnet18_cut(num_classes: int = 1) -> nn.Module:
    """ResNet-18 that sees differences of at most two levels of 255, as rich models of steganalysis do
    (Fridrich and Kodovsky, 2012): a few strong ones, speckles and edges, then weigh no more than others.
    """
    model = detectors.build("resnet18", range(num_classes) if num_classes > 1 else ())
    least, most = (data.normalize(torch.full((1, 3, 1, 1), 0.5 + way * 2 / 255)) for way in (-1, 1))
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].clamp(least, most),))
    return model


def _levelled(num_classes: int, side: int | None) -> nn.Module:
    model = detectors.build("resnet18", range(num_classes) if num_classes > 1 else ())

    def level(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        x = inputs[0] - inputs[0].mean((2, 3), keepdim=True)
        power = x.square()
        if side is None:
            power = power.mean((2, 3), keepdim=True)
        else:
            power = nn.functional.avg_pool2d(power, side, 1, side // 2, count_include_pad=False)
        return (x / (power + LEAST**2).sqrt(),)

    model.register_forward_pre_hook(level)
    return model


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """All runs as a Markdown table: AP in %, mean over seeds, with its 95 % interval."""
    lines = []
    for number, row in enumerate(rows, 1):
        recipe = f"{row['models']} models, n {row['n']}, {row['epochs']:g} epochs, crop {row['crop']:g}"
        recipe += ", from the classifier" if row.get("start") == "scenes" else ""
        line = {"run": f"{number} {row['name']}", "network": row["network"], "sees": row["planes"]}
        line["sees"] += f", high-pass {row['highpass']}" if row.get("highpass") else ""
        line["sees"] += f", contrast {row['contrast']:g}" if row.get("contrast") else ""
        line |= {"camera": row["camera"], "size": row["size"], "recipe": recipe, "seeds": row["seeds"]}
        line["validation"] = f"{100 * row['validation']:.1f}"
        for family, found in row["ap"].items():
            line[family] = "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in found))
        unseen = [found[0] for family, found in row["ap"].items() if family != "progan"]
        lines.append(line | {"mean unseen": f"{100 * np.mean(unseen):.1f}" if unseen else ""})
    frame = pd.DataFrame(lines).fillna("")
    frame["mean unseen"] = frame.pop("mean unseen")  # behind the families that only later runs have
    return base.table(list(frame), frame.to_numpy().tolist())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="where runs are logged, one a line")
    parser.add_argument(
        "--table", type=Path, help="put the table of all runs into this page, and run nothing"
    )
    parser.add_argument("--models", type=Path, help="folder of development generators")
    parser.add_argument("--held-out", type=int, help="seed of ProGAN to test on (default: the last)")
    parser.add_argument("--build", type=Path, default=Path("build/design"))
    parser.add_argument("--name", help="what is tried")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--planes", choices=data.PLANES, default="rgb")
    parser.add_argument("--highpass", type=int, help="what is seen less its mean over so many pixels squared")
    parser.add_argument("--contrast", type=float, help="root mean square that each channel is brought to")
    parser.add_argument("--camera", choices=camera.CAMERAS, default="2")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--n", type=int, default=1600)
    parser.add_argument("--n-val", type=int, default=300)
    parser.add_argument("--n-test", type=int, default=150)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument(
        "--start", choices=("scratch", "scenes"), default="scratch", help="or a classifier's trunk"
    )
    parser.add_argument("--crop", type=float, default=0.875)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    if options.table is None:
        if not (options.models and options.name):
            parser.error("a run needs --models and --name; --table puts those that were made into a page")
        made = run(options)
        with options.runs.open("a", encoding="utf-8") as log:
            log.write(json.dumps(made) + "\n")
    rows = [json.loads(line) for line in options.runs.read_text(encoding="utf-8").splitlines()]
    print(table(rows))
    if options.table is not None:
        write_page(options.table, {"design": table(rows)})


if __name__ == "__main__":
    main()
