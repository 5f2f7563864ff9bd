"""``tff localize``, ``tff patches-train``, ``tff patches-test``, ``tff clusters``: patch classifiers."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tff_core.cli import common

if TYPE_CHECKING:
    import torch

    from tff_core.localization import PatchClassifier
    from tff_core.localization.inputs import Preparation
    from tff_core.pictures import data

_LOCALIZE = """  tff localize photo.png --weights block2.safetensors
  tff localize pictures/ --weights block2.safetensors --maps maps/ --out scores.csv
  tff localize photo.png --weights bestval_net_D.pth --network xception_block2 --load 299
Each picture has its map as PNG (over the picture, with a colour bar) and as npz (P(fake) of each cell, and
what the cell sees), and a row: P(fake) by three ways of joining cells, the highest cell and its box, map,
npz. A file that cannot be read, or is too small, has its row; the exit code is 2 where none can be judged."""
_TRAIN = """  tff patches-train mygan/ --network xception_block2 --out block2.safetensors
  tff patches-train --reals photos/ --fakes samples/ --reals photos/ --fakes inversions/ \\
                    --out both.safetensors
The folder holds train/ and val/, each with 0_real and 1_fake; or --reals and --fakes are folders that hold
train/ and val/ with pictures. An interrupted training continues, a finished one is left alone."""
_TEST = """  tff patches-test mygan/test --weights block2.safetensors --out results/
  tff patches-test --reals photos/test --fakes samples/test --weights bestval_net_D.pth --out results/ \\
                   --show 50
  tff patches-test mygan/test --weights block2.safetensors --jpeg 75 --out jpeg75/
Writes metrics and scores of each picture as CSV, JSON and npz; with --show also the easiest and hardest
pictures of each class, their maps and averages, with a page that opens from a file; with --patches the most
predictive patches."""

_CLUSTERS = """  tff clusters build/data/miniature/test/gaugan --weights block2.safetensors --segmenter scenes
  tff clusters faces/ --weights block2.safetensors --segmenter masks --masks labels/ --names skin hair eyes
  tff clusters faces/ --weights block2.safetensors --segmenter parser --parser 79999_iter.pth
Finds the most predictive patch of each picture, sorts the best by what they show, and compares the numbers
with those of random patches of the same pictures. Segmenters: scenes (the miniature's own, exact), grid
(where in the picture), superpixels (dark or bright, smooth or textured), face (a template for aligned
faces), masks (PNGs with a number for each pixel), parser (BiSeNet; its weights are yours to bring)."""
_SEGMENTERS = ("scenes", "grid", "superpixels", "face", "masks", "parser")


def add_to(commands: Any) -> None:
    """The command lines."""
    made = common.command(
        commands, "localize", localize, "where is a picture fake? a map for each picture", _LOCALIZE
    )
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder with all below")
    _network(made)
    made.add_argument(
        "--maps", type=Path, default=Path("maps"), metavar="DIR", help="folder of maps (default: %(default)s)"
    )
    _scale(made)
    made.add_argument("--out", type=Path, metavar="FILE", help="write the rows there (default: show them)")

    made = common.command(commands, "patches-train", train, "train a patch classifier", _TRAIN)
    made.add_argument("folder", nargs="?", type=Path, metavar="DIR")
    _sources(made)
    made.add_argument("--network", default="xception_block2", help="default: %(default)s")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--fake-class", type=int, choices=(0, 1), default=0, help="the logit of the fakes")
    made.add_argument("--init", default="xavier002", help="xavier002, kaiming, imagenet")
    made.add_argument("--load", type=common.positive, metavar="PIXELS", help="resize to it (default: never)")
    made.add_argument(
        "--fine", type=common.positive, metavar="PIXELS", help="side of the crops (default: all)"
    )
    made.add_argument("--crop", default="centre", help="centre, random, resized")
    made.add_argument("--batch-size", type=common.positive, default=32)
    made.add_argument("--learning-rate", type=float, default=1e-3)
    made.add_argument("--planes", default="rgb", help="what it sees of colours: rgb, luma, chroma, ycbcr")
    made.add_argument("--highpass", type=common.positive, metavar="PIXELS", help="less the mean around")
    made.add_argument("--contrast", type=float, help="root mean square to which each channel is brought")
    made.add_argument("--policy", default="constant", help="of the learning rate: constant, plateau")
    made.add_argument("--patience", type=common.positive, help="epochs (default: the published)")
    made.add_argument("--max-epochs", type=common.positive, default=1000)
    made.add_argument("--pairing", default="serial", help="of reals and fakes: serial, random")
    made.add_argument(
        "--augment",
        default="none",
        metavar="NAME",
        help="none, blur-jpeg, colour, all (default: %(default)s)",
    )
    for name in ("blur", "jpeg", "colour", "clahe"):
        made.add_argument(
            f"--{name}", type=float, metavar="P", help="probability per picture (default: of --augment)"
        )
    made.add_argument("--flip", type=float, default=0.5, metavar="P", help="default: %(default)s")
    made.add_argument("--log", type=Path, metavar="DIR", help="also write a log for TensorBoard")
    made.add_argument("--device", default="auto")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights, .safetensors")

    made = common.command(commands, "patches-test", test, "test a patch classifier", _TEST)
    made.add_argument("folder", nargs="?", type=Path, metavar="DIR")
    _sources(made)
    _network(made)
    made.add_argument("--jpeg", type=int, metavar="QUALITY", help="test after JPEG")
    made.add_argument("--blur", type=float, metavar="SIGMA", help="test after Gaussian blur")
    made.add_argument("--gamma", type=float, help="test at another gamma")
    made.add_argument("--flip", action="store_true", help="test left and right exchanged")
    made.add_argument("--show", type=common.positive, metavar="N", help="draw so many easiest and hardest")
    made.add_argument("--patches", type=common.positive, metavar="N", help="find so many predictive patches")
    made.add_argument("--repeat", action="store_true", help="patches: more than one of a picture")
    _scale(made)
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")

    made = common.command(
        commands, "clusters", clusters, "what do the most predictive patches show?", _CLUSTERS
    )
    made.add_argument("folder", nargs="?", type=Path, metavar="DIR")
    _sources(made)
    _network(made)
    made.add_argument("--segmenter", choices=_SEGMENTERS, default="grid", help="default: %(default)s")
    made.add_argument("--masks", type=Path, metavar="DIR", help="of masks: <picture>.png")
    made.add_argument("--names", nargs="+", metavar="NAME", help="of the numbers 0, 1, ... in masks")
    made.add_argument("--parser", type=Path, metavar="FILE", help="weights of the face parser")
    made.add_argument("--sha256", metavar="HASH", help="that its weights must have")
    made.add_argument(
        "--n", type=common.positive, default=100, help="patches of a class (default: %(default)s)"
    )
    made.add_argument("--seed", type=int, default=0, help="of random patches")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")


def _network(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help=".safetensors or <tag>_net_D.pth"
    )
    to.add_argument("--network", help="its name, where the file does not tell: xception_block2, ...")
    to.add_argument(
        "--fake-class", type=int, choices=(0, 1), help="its logit of the fakes, where the file does not tell"
    )
    to.add_argument("--load", type=common.positive, metavar="PIXELS", help="resize (default: as trained)")
    to.add_argument("--fine", type=common.positive, metavar="PIXELS", help="crop of a whole network")
    to.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: what is there)")
    to.add_argument(
        "--batch-size", type=common.positive, default=32, metavar="N", help="default: %(default)s"
    )


def _scale(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--scale",
        default="absolute",
        choices=("absolute", "picture"),
        help="of colours (default: %(default)s)",
    )


def _sources(to: argparse.ArgumentParser) -> None:
    for name in ("reals", "fakes"):
        to.add_argument(
            f"--{name}", type=Path, action="append", metavar="DIR", help="folder; may be repeated"
        )


def _load(options: argparse.Namespace) -> tuple[PatchClassifier, Preparation, torch.device]:
    from tff_core import detectors, localization
    from tff_core.localization import weights

    where = common.device(options.device)
    net = localization.load(options.weights, options.network, options.fake_class)
    own = weights.preparation(options.weights)
    preparation = replace(own, load=options.load or own.load, fine=options.fine or own.fine)
    detectors.ready(net, where)
    return net, preparation, where


def _images(options: argparse.Namespace, part: str = "") -> data.ImageSet:
    from tff_core.localization import inputs
    from tff_core.pictures import data

    reals, fakes = options.reals or [], options.fakes or []
    if bool(options.folder) == bool(reals or fakes):
        raise ValueError("expected a folder with 0_real and 1_fake, or --reals DIR and --fakes DIR")
    if options.folder:
        return data.scan(options.folder / part)
    if len(reals) != len(fakes):
        raise ValueError(f"{len(reals)} --reals and {len(fakes)} --fakes: expected pairs, as many of each")
    return inputs.sources(list(zip(reals, fakes, strict=True)), part)


def localize(options: argparse.Namespace) -> int:
    """Map the pictures."""
    from tff_core.detectors import judge
    from tff_core.localization import locate

    paths, left_out = judge.find(options.paths)
    common.must_be_writable(options.maps, folder=True)
    net, preparation, where = _load(options)
    frame = locate.locate(
        net, paths, options.maps, preparation, scale=options.scale, device=where,
        batch_size=options.batch_size, progress=common.bar(options),
    )  # fmt: skip
    broken = frame[frame["error"].notna()]
    facts = {
        "network": net.name, "weights": str(options.weights), "fake_class": net.fake_class,
        "maps": str(options.maps), "unreadable": len(broken),
        "left_out": [common.shown(path) for path in left_out],
    }  # fmt: skip
    common.answer(options, facts, frame)
    common.note(options, f"{len(frame) - len(broken)} of {len(frame)} pictures have a map in {options.maps}")
    for error in broken["error"].head(5):
        common.note(options, f"no map: {common.shown(error)}")
    return 2 if len(broken) == len(frame) else 0


def train(options: argparse.Namespace) -> int:
    """Train a patch classifier."""
    from tff_core.localization import training
    from tff_core.localization.augmentation import PRESETS
    from tff_core.store.results import read_json

    if options.out.suffix != ".safetensors":
        raise ValueError(f"--out {options.out}: expected a name that ends in .safetensors")
    names = (
        "init", "load", "fine", "crop", "batch_size", "learning_rate", "policy", "patience", "max_epochs",
        "pairing", "flip", "planes", "highpass", "contrast",
    )  # fmt: skip
    if options.augment not in PRESETS:
        raise ValueError(f"--augment {options.augment}: expected one of {', '.join(PRESETS)}")
    chances = {name: getattr(options, name) for name in ("blur", "jpeg", "colour", "clahe")}
    given = {name: value for name, value in chances.items() if value is not None}
    settings = training.Config(
        **{name: getattr(options, name) for name in names}, **PRESETS[options.augment] | given
    )
    path = training.train(
        options.network, _images(options, "train"), _images(options, "val"), options.out, settings,
        seed=options.seed, fake_class=options.fake_class, device=common.device(options.device),
        progress=common.bar(options), log=options.log,
    )  # fmt: skip
    info = read_json(path.with_suffix(".json"))
    facts = {"weights": str(path), "epochs": info["epochs"], "best": info["best"]}
    print(json.dumps(common.plain(facts), indent=1) if options.json else common.shown(path))
    best = info["best"]
    common.note(options, f"best epoch {best['epoch']}: {best['cells_right']:.1%} of validation's cells right")
    return 0


def test(options: argparse.Namespace) -> int:
    """Test a patch classifier."""
    from tff_core.localization import evaluation, heatmaps, inputs, predictive

    images = _images(options)
    common.must_be_writable(options.out, folder=True)
    net, preparation, where = _load(options)
    steps = [
        make(value)
        for make, value in (
            (inputs.jpeg, options.jpeg), (inputs.blur, options.blur), (inputs.gamma, options.gamma),
        )
        if value is not None
    ]  # fmt: skip
    degrade = inputs.in_turn([*steps, *([inputs.flip] if options.flip else [])])
    how: dict[str, Any] = {
        "device": where, "batch_size": options.batch_size, "progress": common.bar(options)
    }  # fmt: skip
    found = evaluation.evaluate(net, images, preparation, degrade=degrade, **how)
    found.write(options.out)
    pages = []
    if options.show:
        pages = heatmaps.visualise(
            net, images, found, options.out / "vis", preparation, n=options.show, scale=options.scale,
            degrade=degrade, **how,
        )  # fmt: skip
    for label in (0, 1) if options.patches else ():
        patches = predictive.find(
            net, images, label, options.patches, preparation, unique=not options.repeat, **how
        )
        patches.write(options.out / "patches")
    facts = {**found.facts, "out": str(options.out), "warning": found.warning, "pages": list(map(str, pages))}
    options.out = None  # the answer is shown
    common.answer(options, facts, found.table)
    if found.warning:
        common.note(options, f"warning: {net.name} {found.warning}")
    broken = found.pictures["error"].dropna()
    if len(broken):
        common.note(
            options, f"{len(broken)} pictures count in nothing; the first: {common.shown(broken.iloc[0])}"
        )
    return 0


def clusters(options: argparse.Namespace) -> int:
    """Sort predictive patches."""
    import pandas as pd

    from tff_core.localization import clusters as sorting
    from tff_core.localization import predictive

    images = _images(options)
    common.must_be_writable(options.out, folder=True)
    net, preparation, where = _load(options)
    segmenter = _segmenter(options, images)
    tables, facts = [], {"network": net.name, "segmenter": options.segmenter, "out": str(options.out)}
    for label, kind in ((1, "fakes"), (0, "reals")):
        patches = predictive.find(
            net, images, label, options.n, preparation, seed=options.seed, device=where,
            batch_size=options.batch_size, progress=common.bar(options),
        )  # fmt: skip
        try:
            found = sorting.sort(
                patches, segmenter, preparation, seed=options.seed, progress=common.bar(options)
            )
        except sorting.NoCategory as error:
            common.note(options, f"{kind}: {error}")
            continue
        found.write(options.out / kind)
        facts[kind] = {"patches": len(patches), "counted": found.counted}
        tables.append(found.table.assign(label=kind))
    if not tables:
        raise ValueError(f"{options.segmenter} knows no picture of {images.root}: choose another segmenter")
    options.out = None  # the answer is shown
    common.answer(options, facts, pd.concat(tables))
    return 0


def _segmenter(options: argparse.Namespace, images: data.ImageSet) -> Any:
    from tff_core.localization import segmenters

    given = {"masks": (options.masks or options.names), "parser": (options.parser or options.sha256)}
    for kind, value in given.items():
        if value and options.segmenter != kind:
            raise ValueError(f"--{kind} belongs to --segmenter {kind}: found --segmenter {options.segmenter}")
    if options.segmenter == "masks":
        if not (options.masks and options.names):
            raise ValueError("--segmenter masks needs --masks DIR and --names NAME...")
        return segmenters.Masks(options.masks, options.names)
    if options.segmenter == "parser":
        if not options.parser:
            raise ValueError("--segmenter parser needs --parser FILE, the weights of the face parser")
        return segmenters.Parser(options.parser, options.sha256, common.device(options.device))
    if options.segmenter == "scenes":
        return segmenters.Scenes(images)
    return {
        "grid": segmenters.Grid, "superpixels": segmenters.Superpixels, "face": segmenters.Face
    }[options.segmenter]()  # fmt: skip
