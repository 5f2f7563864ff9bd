"""``tff attribute``: which generator made a picture, or none of those that are known?"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from tff_core.cli import common

_EXAMPLES = """  tff attribute photo.png --weights attribution_ganfp_progan.h5
  tff attribute pictures/ --weights attribution_*.h5 --names progan sngan --out sources.csv
  tff attribute pictures/ --weights attribution_dct.h5 --statistics dct/ --fit crop
Weights are published Keras files (.h5, .keras), read without Keras and without running anything in them;
several that share a primary module are one network with all their sources. A network of spectra needs the
statistics of its training pictures: an npz, or the folder with mean.npy, variance.npy and std_dev.npy.
columns: path, decision (real, a source, none of these, unreadable), probability of being fake and of each
source, the source by the secondary modules alone, whether the two contradict each other, width, height, and
what is wrong with an unreadable file. With --out an interrupted run continues. The exit code is 2 where no
picture can be judged."""


def add_to(commands: Any) -> None:
    """The command line."""
    made = common.command(
        commands, "attribute", run, "which generator made it? a row for each picture", _EXAMPLES
    )
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder with all below")
    made.add_argument("--weights", type=Path, nargs="+", required=True, metavar="FILE")
    made.add_argument("--names", nargs="+", metavar="NAME", help="of the sources (default: the files' names)")
    made.add_argument(
        "--size",
        type=common.positive,
        metavar="PIXELS",
        help="side of the pictures, where the file is silent",
    )
    made.add_argument("--statistics", type=Path, metavar="PATH", help="of spectra: an npz or a folder")
    made.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="of every module (default: %(default)s)"
    )
    made.add_argument(
        "--fit",
        default="none",
        choices=("none", "crop", "resize"),
        help="pictures of another size: refuse, take the middle, resize (default: %(default)s)",
    )
    made.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: what is there)")
    made.add_argument(
        "--batch-size", type=common.positive, default=64, metavar="N", help="default: %(default)s"
    )
    made.add_argument("--out", type=Path, metavar="FILE", help="write the rows there (default: show them)")


def run(options: argparse.Namespace) -> int:
    """Name the sources."""
    from tff_core import attribution
    from tff_core.attribution import answers
    from tff_core.attribution.inputs import Statistics
    from tff_core.detectors import judge
    from tff_core.store.checkpoint import Checkpoint

    paths, left_out = judge.find(options.paths)
    where = common.device(options.device)
    net = attribution.load_keras(options.weights, names=options.names, size=options.size).to(where)
    statistics = Statistics.load(options.statistics) if options.statistics else None
    checkpoint = None
    if options.out:
        key = [*_files(options, paths), net.names, net.size, options.fit, str(where), options.batch_size]
        checkpoint = Checkpoint(options.out.with_name(f"{options.out.name}.part.npz"), key)
    frame = answers.attribute(
        net, paths, statistics, threshold=options.threshold, fit=options.fit, device=where,
        batch_size=options.batch_size, progress=common.bar(options), checkpoint=checkpoint,
    )  # fmt: skip
    counts = {name: int(n) for name, n in frame["decision"].value_counts().items()}
    facts = {
        "weights": [common.shown(path) for path in options.weights], "kind": net.kind, "size": net.size,
        "sources": list(net.names), "threshold": options.threshold, "counts": counts,
        "contradictions": int(frame["contradiction"].sum()) if net.sources else None,
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
