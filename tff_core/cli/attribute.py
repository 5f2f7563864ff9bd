"""``tff attribute``, ``attribute-train``, ``attribute-test``: which generator made a picture, or none?"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tff_core.cli import common

if TYPE_CHECKING:
    import torch

    from tff_core.attribution import Network
    from tff_core.attribution.inputs import Statistics
    from tff_core.attribution.sources import Pictures

_EXAMPLES = """  tff attribute photo.png --weights attribution_ganfp_progan.h5
  tff attribute pictures/ --weights attribution_*.h5 --names progan sngan --out sources.csv
  tff attribute pictures/ --weights attribution_dct.h5 --statistics dct/ --fit crop
  tff attribute pictures/ --weights net.safetensors --panels panels/ --out sources.csv
Weights are those of `tff attribute-train`, or published Keras files (.h5, .keras), read without Keras and
without running anything in them; several that share a primary module are one network with all their sources.
A published network of spectra needs the statistics of its training pictures: an npz, or the folder with
mean.npy, variance.npy and std_dev.npy.
columns: path, decision (real, a source, none of these, unreadable), probability of being fake and of each
source, the source by the secondary modules alone, whether the two contradict each other, width, height, and
what is wrong with an unreadable file. With --out an interrupted run continues. The exit code is 2 where no
picture can be judged. --panels also draws each picture with what speaks for and against its being fake, and
each source: signed, and as the published code draws it; the columns panel and scale say where and how."""

_TRAIN = """  tff attribute-train --reals photos/ --source a=progan/ --source b=sngan/ --out net.safetensors
  tff attribute-train --reals photos/ --source progan=progan/ --kind dct --size 64 --out net.safetensors
  tff attribute-train --start net.safetensors --reals photos/ --source progan=progan/ \\
                      --source sngan=sngan/ --source mygan=mygan/ --out more.safetensors
  tff attribute-train --network gandct-conv --mode multiclass --kind dct --reals photos/ \
                      --source progan=progan/ --source sngan=sngan/ --out classes.safetensors
Every folder holds train/ and val/ with pictures of one size. First a module learns to detect the fakes of all
sources, then, with that frozen, one module for each source. --start keeps what a network knows and trains the
modules of new sources alone. An interrupted training continues, a finished one is left alone.
--network takes a baseline instead: gandct-conv, ganfp-postpool, notl (the primary's layers), which learn
reals and all sources as classes of one softmax, or with --mode detection reals and fakes; logistic and
nearest-mean are linear in the spectrum."""

_TEST = """  tff attribute-test --reals photos/test --source progan=progan/test --source sngan=sngan/test \\
                     --weights net.safetensors --out results/
Writes the rows of `tff attribute` with the truth, confusion matrices (with the primary's last word, and by
the secondary modules alone), and AP, AUC, precision, recall, F1 and calibration of detection and of each
source. A source that the network does not know counts as such: right is then "none of these"."""


def add_to(commands: Any) -> None:
    """The command lines."""
    made = common.command(
        commands, "attribute", run, "which generator made it? a row for each picture", _EXAMPLES
    )
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder with all below")
    _network(made)
    made.add_argument(
        "--fit",
        default="none",
        choices=("none", "crop", "resize"),
        help="pictures of another size: refuse, take the middle, resize (default: %(default)s)",
    )
    made.add_argument("--panels", type=Path, metavar="DIR", help="draw the evidence of each picture there")
    made.add_argument("--no-labels", action="store_true", help="panels without words and probabilities")
    made.add_argument("--tags", action="store_true", help="panels are named with the picture's folder, too")
    made.add_argument("--out", type=Path, metavar="FILE", help="write the rows there (default: show them)")

    made = common.command(commands, "attribute-train", train, "train a network that names sources", _TRAIN)
    _sources(made)
    # training says what is there: it takes seconds to load
    made.add_argument("--network", default="modules", metavar="NAME", help="modules (default), or a baseline")
    made.add_argument(
        "--mode", choices=("one-vs-rest", "multiclass", "detection"), help="default: what the network is for"
    )
    made.add_argument("--kind", choices=("pixel", "dct"), help="default: pixel, dct of linear networks")
    made.add_argument(
        "--size", type=common.positive, default=64, metavar="PIXELS", help="default: %(default)s"
    )
    made.add_argument("--start", type=Path, metavar="FILE", help="a network that knows some of the sources")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--batch-size", type=common.positive, default=256, metavar="N", help="default: %(default)s"
    )
    made.add_argument(
        "--max-epochs", type=common.positive, default=100, metavar="N", help="default: %(default)s"
    )
    made.add_argument(
        "--detection-rate", type=float, default=1e-3, metavar="RATE",
        help="learning rate of detection (default: %(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--attribution-rate", type=float, default=1e-4, metavar="RATE",
        help="learning rate of sources (default: %(default)s)",
    )  # fmt: skip
    made.add_argument("--patience", type=common.positive, default=5, metavar="N", help="default: %(default)s")
    made.add_argument(
        "--augment", nargs="+", default=[], metavar="HOW", help="blur, crop, jpeg, noise (default: none)"
    )
    made.add_argument("--legacy", action="store_true", help="augment as the published code really does")
    made.add_argument("--device", default="auto")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights, .safetensors")

    made = common.command(
        commands, "attribute-test", test, "how well does such a network name sources?", _TEST
    )
    _sources(made)
    _network(made)
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")


def _sources(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--reals", type=Path, action="append", required=True, metavar="DIR", help="may be repeated"
    )
    to.add_argument(
        "--source",
        type=_named,
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="one for each source",
    )
    to.add_argument(
        "--architecture",
        action="store_true",
        help="sources whose names agree up to the first _ are one: progan of progan_celeba and progan_lsun",
    )


def _network(to: argparse.ArgumentParser) -> None:
    to.add_argument("--weights", type=Path, nargs="+", required=True, metavar="FILE")
    to.add_argument("--names", nargs="+", metavar="NAME", help="of the sources (default: the files' names)")
    to.add_argument(
        "--size",
        type=common.positive,
        metavar="PIXELS",
        help="side of the pictures, where the file is silent",
    )
    to.add_argument("--statistics", type=Path, metavar="PATH", help="of spectra: an npz or a folder")
    to.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="of every module (default: %(default)s)"
    )
    to.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: what is there)")
    to.add_argument(
        "--batch-size", type=common.positive, default=64, metavar="N", help="default: %(default)s"
    )


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=DIR, such as progan=samples/progan")
    return name, Path(folder)


def _by_name(options: argparse.Namespace) -> dict[str, Path]:
    names = [name for name, _ in options.source]
    if len(set(names)) < len(names):
        raise ValueError(f"--source names {', '.join(names)}: expected a name of its own for each")
    return dict(options.source)


def _pictures(options: argparse.Namespace, part: str = "") -> Pictures:
    from tff_core.attribution import sources

    images = sources.collect(options.reals, _by_name(options), part)
    if options.architecture:
        return sources.at_level(images, {name: sources.architecture(name) for name in images.names})
    return images


def _load(options: argparse.Namespace) -> tuple[Network, Statistics | None, torch.device]:
    from tff_core.attribution import inputs, weights

    where = common.device(options.device)
    net, statistics = weights.load(options.weights, options.names, options.size)
    if options.statistics:
        statistics = inputs.Statistics.load(options.statistics)
    return net.to(where), statistics, where


def test(options: argparse.Namespace) -> int:
    """Test a network."""
    from tff_core.attribution import evaluation

    images = _pictures(options)
    common.must_be_writable(options.out, folder=True)
    net, statistics, where = _load(options)
    found = evaluation.evaluate(
        net, images, statistics, threshold=options.threshold, device=where, batch_size=options.batch_size,
        progress=common.bar(options),
    )  # fmt: skip
    found.write(options.out)
    facts = {**found.facts, "out": str(options.out)}
    options.out = None  # the answer is shown
    common.answer(options, facts, found.sources)
    known = found.facts["known"]
    common.note(
        options,
        f"{known['share']:.1%} [{known['low']:.1%}, {known['high']:.1%}] of {known['n']} pictures of known "
        f"sources and reals are named right; {found.facts['unreadable']} cannot be judged",
    )
    return 0


def train(options: argparse.Namespace) -> int:
    """Train a network."""
    from tff_core.attribution import training
    from tff_core.store.results import read_json

    if options.out.suffix != ".safetensors":
        raise ValueError(f"--out {options.out}: expected a name that ends in .safetensors")
    settings = training.Config(
        batch_size=options.batch_size, max_epochs=options.max_epochs, patience=options.patience,
        augment=tuple(options.augment), legacy=options.legacy, detection_rate=options.detection_rate,
        attribution_rate=options.attribution_rate,
    )  # fmt: skip
    images, held_out = (_pictures(options, part) for part in ("train", "val"))
    path = training.train(
        images, held_out, options.out, options.kind, options.size, settings, network=options.network,
        mode=options.mode, seed=options.seed, start=options.start, device=common.device(options.device),
        progress=common.bar(options),
    )  # fmt: skip
    info = read_json(path.with_suffix(".json"))
    facts = {"weights": str(path), "sources": info["sources"], "best": info["best"]}
    facts |= {name: info[name] for name in ("network", "mode", "chosen") if name in info}
    print(json.dumps(common.plain(facts), indent=1) if options.json else common.shown(path))
    told = ", ".join(f"{name} {epoch}" for name, epoch in info["best"].items())
    if told:
        common.note(options, f"best epochs: {told}")
    elif "chosen" in info:
        loss, value = (info["chosen"][name] for name in ("validation", "value"))
        common.note(options, f"cross-entropy of {loss:.3f} on validation pictures, with {value:g}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Name the sources."""
    from tff_core.attribution import answers, panels, weights
    from tff_core.detectors import judge
    from tff_core.store.checkpoint import Checkpoint

    paths, left_out = judge.find(options.paths)
    if options.panels is None and (options.no_labels or options.tags):
        raise ValueError("--no-labels and --tags say how panels look: expected --panels DIR with them")
    if options.panels:
        common.must_be_writable(options.panels, folder=True)
        inside = [path for path in options.paths if options.panels.resolve().is_relative_to(path.resolve())]
        if inside:
            raise ValueError(
                f"--panels {options.panels} lies in {inside[0]}: expected another place, or panels would be "
                "taken for pictures next time"
            )
    net, statistics, where = _load(options)
    checkpoint = None
    if options.out:
        key = [*_files(options, paths), net.names, net.size, options.fit, str(where), options.batch_size]
        if options.panels:
            key += [str(options.panels.resolve()), options.no_labels, options.tags, options.threshold]
        checkpoint = Checkpoint(options.out.with_name(f"{options.out.name}.part.npz"), key)
    how: dict[str, Any] = {
        "threshold": options.threshold, "fit": options.fit, "device": where,
        "batch_size": options.batch_size, "progress": common.bar(options), "checkpoint": checkpoint,
    }  # fmt: skip
    if options.panels:
        drawn = weights.modules(weights.Loaded(net, statistics), "--panels")
        frame = panels.write(
            drawn, paths, options.panels, statistics, labels=not options.no_labels, tags=options.tags, **how
        )
    else:
        frame = answers.attribute(net, paths, statistics, **how)
    counts = {name: int(n) for name, n in frame["decision"].value_counts().items()}
    facts = {
        "weights": [common.shown(path) for path in options.weights], "kind": net.kind, "size": net.size,
        "sources": list(net.names), "threshold": options.threshold, "counts": counts,
        "contradictions": int(frame["contradiction"].sum()) if net.sources else None,
        "panels": common.shown(options.panels) if options.panels else None,
        "left_out": [common.shown(path) for path in left_out],
    }  # fmt: skip
    common.answer(options, facts, frame)
    if checkpoint:
        checkpoint.delete()
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    common.note(
        options,
        f"{len(frame)} pictures: {told}"
        + (f"; {facts['contradictions']} called real are claimed by a source" if net.sources else ""),
    )
    broken = frame[frame["decision"] == answers.UNREADABLE]
    for error in broken["error"].head(5):
        common.note(options, f"unreadable: {common.shown(error)}")
    return 2 if len(broken) == len(frame) else 0


def _files(options: argparse.Namespace, paths: list[Path]) -> list[str]:
    """What an answer depends on: weights and statistics by content, pictures by name, size and time."""
    given = [*options.weights, *([options.statistics] if options.statistics else [])]
    inside = [part for one in given for part in (sorted(one.iterdir()) if one.is_dir() else [one])]
    found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in inside if path.is_file()]
    for path in paths:
        facts = path.stat() if path.exists() else None
        found.append(f"{path} {facts and (facts.st_size, facts.st_mtime_ns)}")
    return found
