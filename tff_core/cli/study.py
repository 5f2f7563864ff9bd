"""The steps of the paper's README as commands: train, rank, sensitivity, patches, color, median."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tff_core.cli import common

if TYPE_CHECKING:
    import torch

    from tff_core import detectors, lrp
    from tff_core.features import ffrs
    from tff_core.pictures import data
    from tff_core.store.results import Store

_TRAIN = """  tff train --detector resnet50-miniature --seed 0
  tff train --detector efb0-miniature-cr --epochs 5
An interrupted training continues where it was; one that is done is left alone."""
_RANK = """  tff rank --detector resnet50-miniature --seed 0
  tff rank --weights blur_jpg_prob0.5.pth --arch resnet50 --data progan_val/ --out ranks/"""
_SENSITIVITY = """  tff sensitivity --generator cyclegan
  tff sensitivity --data my_generator/ --k 50 --n 200 --out sensitivity.csv
columns: AP with its interval, and accuracies, of every condition and draw, as in the book's tables."""
_PATCHES = """  tff patches --generator stylegan2 --out patches.html
  tff patches --data my_generator/ --k 40 --ranks 8"""
_COLOR = """  tff color --generator biggan
  tff color --data my_generator/ --weights blur_jpg_prob0.5.pth --arch resnet50 --out color.csv"""
_MEDIAN = """  tff median --generator biggan
  tff median --data my_generator/ --k 50 --n 500 --out median.csv
Do the top maps respond otherwise to gray pictures? Mood's and Wilcoxon's tests for each, and for as many
maps of the same layers outside the top k ("matched-k")."""


def add_to(commands: Any) -> None:
    """The command lines."""
    made = common.command(commands, "train", train, "train a detector, or continue its training", _TRAIN)
    made.add_argument("--detector", default=common.DEFAULT, help="see tff doctor (default: %(default)s)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--n", type=common.positive, help="training pictures of each label")
    made.add_argument("--epochs", type=common.positive)
    made.add_argument("--batch-size", type=common.positive)
    made.add_argument(
        "--start", type=Path, metavar="FILE", help="a classifier's weights to start from, as make does"
    )
    made.add_argument("--device", default="auto")
    common.add_build(made)

    made = common.command(commands, "rank", rank, "rank feature maps by FF-RS omega", _RANK)
    common.add_detector(made)
    made.add_argument(
        "--data", type=Path, metavar="DIR", help="other reals and fakes (default: validation's)"
    )
    made.add_argument("--n", type=common.positive, help="at most so many pictures of each label")
    made.add_argument("--k", type=common.positive, help="maps to show (default: paper's number, or 0.5 %%)")
    made.add_argument(
        "--confidence", type=float, default=0.9, help="for a picture to count (default: %(default)s)"
    )
    made.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the two tables (default: the build's)"
    )

    for name, run, help, examples in (
        ("sensitivity", sensitivity, "drop the top feature maps, and controls", _SENSITIVITY),
        ("patches", patches, "what the top maps look for, as an HTML page", _PATCHES),
        ("color", color, "the fake probability in colour against gray", _COLOR),
        ("median", median, "which top maps are colour-conditional", _MEDIAN),
    ):
        made = common.command(commands, name, run, help, examples)
        common.add_detector(made, weights=name != "sensitivity")
        common.add_pictures(made)
        if name != "color":
            default = "default: 20" if name == "patches" else "default: the paper's number, or 0.5 %%"
            made.add_argument("--k", type=common.positive, help=f"how many maps count as top ({default})")
        if name in ("patches", "median"):
            made.add_argument(
                "--omega", type=Path, metavar="FILE", help="ranking (default: the build's; see tff rank)"
            )
        if name == "patches":
            made.add_argument("--ranks", type=common.positive, default=5, help="patches a map")
            made.add_argument("--out", type=Path, default=Path("patches.html"), metavar="FILE")
        else:
            made.add_argument("--out", type=Path, metavar="FILE", help="write the rows there")


def train(options: argparse.Namespace) -> int:
    """Train one detector."""
    from tff_core import detectors
    from tff_core.detectors import training
    from tff_core.store.results import Store, read_json

    spec = detectors.get(options.detector)
    common.must_be_writable(Store(options.build).detector(spec.name, options.seed))
    changes = {"n": options.n, "epochs": options.epochs, "batch_size": options.batch_size}
    path = training.train(
        spec,
        options.seed,
        Store(options.build),
        progress=common.bar(options),
        settings=training.config(spec, **{name: value for name, value in changes.items() if value}),
        device=common.device(options.device),
        start=options.start,
    )
    info = read_json(path.with_suffix(".json"))
    warning = info.get("validation", {}).get("warning")
    if warning:
        common.note(options, f"warning: {spec.name} {warning}")
    _say(options, {"weights": str(path), "validation": info.get("validation", {})}, common.shown(path))
    return 0


def rank(options: argparse.Namespace) -> int:
    """Omega of every map, for fakes and for reals."""
    import pandas as pd

    from tff_core.features import sensitivity as study
    from tff_core.store.results import read_json

    trained, where, store = common.load(options)
    found = common.images(options, store, trained.spec.dataset, part="val")
    if options.out or options.weights:
        folder = options.out or Path()
        paths = {label: folder / f"{trained.spec.name}-{label}.csv" for label in study.LABELS}
    elif options.data:
        raise ValueError("--data needs --out DIR: the build's own ranking is not replaced by another's")
    else:
        paths = {label: store.omega(trained.spec.name, options.seed, label) for label in study.LABELS}
    for path in paths.values():
        common.must_be_writable(path)
    omegas = study.rank_pictures(
        trained,
        found,
        paths,
        options.n,
        options.confidence,
        device=where,
        batch_size=options.batch_size,
        progress=common.bar(options),
        title=trained.spec.name,
    )
    k = _k(options, trained, len(omegas[study.LABELS[0]]))
    facts: dict[str, Any] = {"detector": trained.spec.name}
    rows = []
    for label, path in paths.items():
        omega = omegas[label]
        facts[label] = {"table": str(path), **read_json(path.with_suffix(".json"))}
        common.note(
            options, f"{common.shown(path)}: mean over {omega.count} of {omega.seen} {label} pictures"
        )
        rows += [
            {"label": label, "place": i + 1, "map": str(m), "omega": omega[m]}
            for i, m in enumerate(omega.top(min(k, len(omega))))
        ]
    options.out = None
    common.answer(options, facts, pd.DataFrame(rows))
    return 0


def sensitivity(options: argparse.Namespace) -> int:
    """AP under feature-map dropout."""
    from tff_core.features import sensitivity as study

    trained, where, store = common.load(options)
    omega = _omega(options, store, trained)
    chosen = common.images(options, store, trained.spec.dataset).where(first=options.n or sys.maxsize)
    frame = study.scores(
        trained.spec.name,
        [options.seed],
        chosen,
        {options.seed: omega},
        k=options.k,
        store=store,
        device=where,
        batch_size=options.batch_size,
        progress=common.bar(options),
    )
    table = study.table(frame, {options.seed: trained.threshold})
    contrast = study.contrast(frame)
    pooled = contrast[contrast["seed"] == "all"]
    common.answer(options, {"contrast": common.records(pooled)}, table)
    rows: Any = pooled.itertuples()
    for row in rows:
        common.note(
            options,
            f"{row.contrast}: {row.delta_ap:+.3f} AP, 95 % interval {row.low:+.3f} to {row.high:+.3f}",
        )
    return 0


def patches(options: argparse.Namespace) -> int:
    """LRP-max patches of the top maps as a page."""
    from tff_core import lrp
    from tff_core.book import report
    from tff_core.features import patches as study
    from tff_core.features import pixels
    from tff_core.pictures import data
    from tff_core.store.results import forget, provenance, write_text

    trained, where, store = common.load(options)
    preprocessing = trained.spec.preprocessing
    net = lrp.canonize(trained.model, bounds=preprocessing.bounds)
    omega = _omega(options, store, trained, net)
    chosen = common.images(options, store, trained.spec.dataset).where(label=1, first=options.n or 100)
    begun = options.out.with_suffix(".part.npz")
    found = study.find(
        net,
        chosen,
        omega.top(min(options.k or 20, len(omega))),
        options.ranks,
        device=where,
        batch_size=options.batch_size,
        preprocessing=preprocessing,
        checkpoint=begun,
    )
    shown: dict[str, list[tuple[Any, str]]] = {}
    told = []
    rows: Any = found.itertuples()
    for row in rows:
        name = row.path.relative_to(chosen.root).as_posix()
        picture = None
        if row.box is not None:
            whole = preprocessing.cut(data.read(row.path)).permute(1, 2, 0).numpy()
            picture = pixels.enlarge(whole, row.box, 96)
        shown.setdefault(row.map, []).append((picture, f"{name}, activation {row.activation:.2f}"))
        told.append(
            {
                "map": row.map,
                "rank": row.rank,
                "picture": name,
                "activation": row.activation,
                "box": list(row.box) if row.box is not None else None,
            }
        )
    facts = {
        "detector": f"{trained.spec.title}, {trained.spec.name}",
        "pictures": f"{len(chosen)} fakes of {chosen.root}",
        **report.made_by(provenance(device=str(where))),
    }
    title = f"What the first {len(shown)} feature maps look for"
    write_text(options.out, report.collage(shown, facts, title))
    forget(begun)
    _say(options, {"report": str(options.out), "patches": told}, common.shown(options.out))
    return 0


def color(options: argparse.Namespace) -> int:
    """Colour ablation."""
    from scipy.special import expit

    from tff_core import detectors
    from tff_core.detectors import judge
    from tff_core.features import color_ablation

    trained, where, store = common.load(options)
    chosen = common.images(options, store, trained.spec.dataset).where(first=options.n or sys.maxsize)
    probability = [
        expit(detectors.logits(trained.model, batches).astype(float))
        for batches in _colour_and_gray(options, trained, chosen, where)
    ]
    threshold = float(expit(judge.rule(trained).threshold))
    table = color_ablation.ablation(probability[0], probability[1], chosen.labels, threshold)
    facts = {"detector": trained.spec.name, "pictures": str(chosen.root), "threshold": threshold}
    common.answer(options, facts, table)
    return 0


def median(options: argparse.Namespace) -> int:
    """Tests of colour-conditional maps."""
    from tff_core import lrp
    from tff_core.features import color_conditional

    trained, where, store = common.load(options)
    net = lrp.canonize(trained.model)
    omega = _omega(options, store, trained, net)
    k = _k(options, trained, len(omega))
    groups = {"top-k": [omega.top(k)], "matched-k": [omega.matched(k, seed=0)]}
    chosen = common.images(options, store, trained.spec.dataset).where(
        label=1, first=options.n or sys.maxsize
    )
    sample = color_conditional.sample(net, *_colour_and_gray(options, trained, chosen, where), groups)
    tests = color_conditional.conditional(sample.color, sample.gray, sample.maps)
    shares = color_conditional.shares(tests, groups)
    top = {str(m) for m in groups["top-k"][0]}
    tests.insert(0, "group", ["top-k" if name in top else "matched-k" for name in tests["map"]])
    common.answer(options, {"detector": trained.spec.name, "shares": common.records(shares)}, tests)
    rows: Any = shares.itertuples()
    for row in rows:
        common.note(
            options,
            f"{row.group}: {row.share_mood:.1%} of {row.k} maps are colour-conditional by Mood's test, "
            f"{row.share_wilcoxon:.1%} by Wilcoxon's, over {row.n} fakes",
        )
    return 0


def _colour_and_gray(
    options: argparse.Namespace, trained: detectors.Detector, chosen: data.ImageSet, device: torch.device
) -> tuple[data.Batches, data.Batches]:
    """The same pictures twice, as they are and without colour."""
    from tff_core.pictures import data

    plain, gray = (
        data.batches(
            chosen,
            options.batch_size,
            device=device,
            transform=transform,
            preprocessing=trained.spec.preprocessing,
        )
        for transform in (None, data.grayscale)
    )
    return plain, gray


def _omega(
    options: argparse.Namespace, store: Store, trained: detectors.Detector, net: lrp.Net | None = None
) -> ffrs.Omega:
    """The ranking that the options name; FileNotFoundError says how to make it."""
    from tff_core.features import ffrs

    own = getattr(options, "omega", None)
    if own is None and getattr(options, "weights", None):
        raise ValueError("--weights needs --omega FILE, its ranking: make it with tff rank --weights")
    path = own or store.omega(trained.spec.name, options.seed)
    if own is None and not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: expected the ranking of {trained.spec.name}; make it with: "
            f"tff rank --detector {trained.spec.name} --seed {options.seed}"
        )
    return ffrs.Omega.from_csv(path, net)


def _k(options: argparse.Namespace, trained: detectors.Detector, maps: int) -> int:
    """How many feature maps count as top: as requested, else the detector's own, else the paper's share."""
    from tff_core import detectors

    own = options.k or trained.spec.top or detectors.architecture(trained.spec.arch).k
    if own:
        return int(own)
    k = max(1, round(common.SHARE * maps))
    common.note(
        options, f"top {k} of {maps} feature maps, {common.SHARE:.1%} as in the paper; --k changes that"
    )
    return k


def _say(options: argparse.Namespace, facts: dict[str, Any], line: str) -> None:
    import json

    print(json.dumps(common.plain(facts), indent=1) if options.json else line)
