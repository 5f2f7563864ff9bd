"""``tff explain``: what the detector looked at, as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tff_core.cli import common

_EXAMPLES = """  tff explain photo.png --out photo.html
  tff explain pictures/ --n 4 --maps 6 --seed 1
  tff explain large.jpg --crop 512
The file opens in any browser and asks no other host for anything."""


def add_to(commands: Any) -> None:
    """The command line."""
    made = common.command(
        commands, "explain", run, "heatmaps and feature maps behind a decision, as an HTML report", _EXAMPLES
    )
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder with all below")
    common.add_detector(made)
    made.add_argument("--n", type=common.positive, default=8, help="pictures at most (default: %(default)s)")
    made.add_argument(
        "--maps", type=common.positive, default=8, help="feature maps of each picture (default: %(default)s)"
    )
    made.add_argument("--crop", type=common.positive, metavar="SIDE", help="explain the middle only")
    made.add_argument(
        "--out", type=Path, default=Path("explained.html"), help="the report (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Explain the pictures."""
    from tqdm import tqdm

    from tff_core import lrp
    from tff_core.book import report
    from tff_core.detectors import judge
    from tff_core.features import ffrs
    from tff_core.pictures import data
    from tff_core.store.results import provenance, write_text

    paths, _ = judge.find(options.paths)
    chosen = paths[: options.n]
    trained, where, store = common.load(options)
    net = lrp.canonize(trained.model, bounds=trained.spec.preprocessing.bounds)
    ranked = store.omega(options.detector, options.seed)
    omega = None
    if not options.weights and ranked.is_file():
        omega = ffrs.Omega.from_csv(ranked, net)
    rule = judge.rule(trained)
    explained, broken = [], []
    for path in tqdm(chosen, desc="pictures", unit="picture", disable=not common.bar(options)):
        try:
            explained.append(
                report.explain(
                    net,
                    path,
                    rule,
                    omega,
                    maps=options.maps,
                    crop=options.crop,
                    device=where,
                    preprocessing=trained.spec.preprocessing,
                )
            )
        except (data.PictureError, FileNotFoundError, RuntimeError) as error:
            # a network's error on a picture that is too small for it does not name the picture
            told = str(error) if str(path) in str(error) else f"{path}: {' '.join(str(error).split())}"
            broken.append(told)
            common.note(options, f"left out: {common.shown(told)}")
    if not explained:
        raise ValueError(f"none of {len(chosen)} pictures could be explained; the first: {broken[0]}")
    facts = {
        "detector": f"{trained.spec.title}, {trained.spec.name}"
        + ("" if options.weights else f", seed {options.seed}"),
        "threshold": f"logit {rule.threshold:.3f}; unsure from {rule.low:.3f} to {rule.high:.3f} "
        f"({rule.source})",
        **report.made_by(provenance(device=str(where))),
    }
    notes = [f"Note: {common.MINIATURE}."] if trained.spec.dataset == "miniature" else []
    if len(paths) > len(chosen):
        notes.append(f"{len(paths) - len(chosen)} further pictures were not explained (--n {options.n}).")
    write_text(options.out, report.page(explained, facts, notes + [f"Left out: {e}" for e in broken]))
    answer = {
        "report": str(options.out),
        "bytes": options.out.stat().st_size,
        "pictures": [report.summary(one) for one in explained],
        "left_out": broken,
        "notes": notes,
    }
    if options.json:
        import json

        print(json.dumps(common.plain(answer), indent=1))
    else:
        print(common.shown(options.out))
        common.note(options, "\n".join(notes))
    return 0
