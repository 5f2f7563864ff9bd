"""``tff detect``: a row of numbers and a decision for each picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tff_core.cli import common

FEW = 100  # up to this many pictures are re-encoded by default

_EXAMPLES = """  tff detect photo.png
  tff detect pictures/ --out scores.csv
  tff detect pictures/ --json --no-stability
  tff detect pictures/ --weights blur_jpg_prob0.5.pth --arch resnet50 --calibrate labelled/
  tff detect photo.png --curve
  tff detect pictures/ --error 0.05
columns: path, decision (fake, real, unsure, unreadable), probability of being fake, logit, stable, the
logits after JPEG, width, height, and what is wrong with an unreadable file. A file that cannot be read, or
whose size the network cannot take, has its row and is counted; the exit code is 2 where none can be judged.
Transparency is dropped, and said. A picture that is named twice, in whatever spelling, has one row.
--curve adds the smallest degradation that turns the decision: turned_by, turned_at, turned_to, turned_psnr
(of all that do the one that changes the picture least), and turns_jpeg and so on, the weakest of each."""


def add_to(commands: Any) -> None:
    """The command line."""
    made = common.command(
        commands, "detect", run, "is a picture fake? a row for each picture or folder", _EXAMPLES
    )
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder with all below")
    common.add_detector(made)
    made.add_argument("--out", type=Path, metavar="FILE", help="write the rows there (default: show them)")
    made.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="take the threshold from these reals and fakes (ForenSynths layout), other ones than PATH",
    )
    made.add_argument(
        "--stability",
        action=argparse.BooleanOptionalAction,
        help="decide again after JPEG of quality 95 and 85, and flag what changes; takes three times as "
        f"long (default: for up to {FEW} pictures)",
    )
    made.add_argument(
        "--curve",
        action="store_true",
        help="the smallest degradation that turns each decision: JPEG, WebP, resizing, blur, noise, "
        "cropping and coarser chroma, from weak to strong; takes up to thirty times as long",
    )
    made.add_argument(
        "--error",
        type=share,
        metavar="SHARE",
        help="call a picture only as far as at most this share of reals, and of fakes, is called wrong, "
        "such as 0.05; between is unsure. Calibrated on validation pictures, or on those of --calibrate",
    )


def share(text: str) -> float:
    """An option that is a share between 0 and 1."""
    value = float(text)
    if not 0 < value < 0.5:
        raise argparse.ArgumentTypeError(f"{text}: expected a share between 0 and 0.5, such as 0.05")
    return value


def run(options: argparse.Namespace) -> int:
    """Judge the pictures."""
    from tff_core.detectors import judge
    from tff_core.pictures import data

    paths, left_out = judge.find(options.paths)
    trained, where, store = common.load(options)
    rule = judge.rule(trained)
    if options.calibrate:
        rule = judge.calibrate(
            trained.model,
            data.scan(options.calibrate),
            options.batch_size,
            where,
            trained.spec.preprocessing,
        )
    promise = None
    if options.error is not None:
        from tff_core.exam import promised

        promise = promised.of(
            trained, store, options.error, options.calibrate and data.scan(options.calibrate),
            seed=None if options.weights else options.seed, device=where, batch_size=options.batch_size,
        )  # fmt: skip
        rule = promise.rule(rule)
    stability = len(paths) <= FEW if options.stability is None else options.stability
    frame = judge.judge(
        trained.model,
        paths,
        rule,
        device=where,
        batch_size=options.batch_size,
        stability=stability,
        progress=common.bar(options),
        preprocessing=trained.spec.preprocessing,
    )
    transparent = frame.attrs["transparent"]
    if options.curve:
        from tff_core.exam import turning

        turns = turning.turning(
            trained.model, paths, rule, device=where, batch_size=options.batch_size,
            preprocessing=trained.spec.preprocessing, progress=common.bar(options),
        )  # fmt: skip
        frame = frame.join(turns)[[*frame.columns[:-3], *turns.columns, *frame.columns[-3:]]]
    counts = {name: int(n) for name, n in frame["decision"].value_counts().items()}
    unstable = int((frame["stable"] == False).sum()) if stability else None  # noqa: E712  (may be missing)
    facts = {
        "detector": trained.spec.name,
        "seed": None if options.weights else options.seed,
        "threshold": {
            "logit": rule.threshold,
            "unsure_from": rule.low,
            "unsure_to": rule.high,
            "source": rule.source,
        },
        "counts": counts,
        "unstable": unstable,
        "transparent": transparent,
        "left_out": [common.shown(path) for path in left_out],
    }
    if promise is not None:
        facts["error"] = promise.facts
    if trained.spec.dataset == "miniature":
        facts["note"] = common.MINIATURE
    common.answer(options, facts, frame)
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    common.note(
        options,
        f"{len(frame)} pictures: {told}"
        + (f"; {unstable} change their decision after JPEG" if stability else "")
        + f". Threshold: logit {rule.threshold:.3f}, unsure from {rule.low:.3f} to {rule.high:.3f} "
        f"({rule.source})."
        + (f" {transparent} are transparent in parts: their transparency was dropped." if transparent else "")
        + (
            f" {len(left_out)} files or folders were left out, no pictures by their name, links that lead "
            f"back up, or second names of the same picture, such as {common.shown(left_out[0])}."
            if left_out
            else ""
        )
        + (f" {promise.told()}" if promise is not None else "")
        + (f" Note: {common.MINIATURE}." if "note" in facts else ""),
    )
    if options.curve:
        common.note(options, f"turned, of {len(frame)}: {turning.told(turns)}")
        if len(frame) == 1 and counts.get(judge.UNREADABLE, 0) == 0:
            common.note(options, f"the smallest: {turning.smallest(turns.to_dict('records')[0])}")
    broken = frame[frame["decision"] == judge.UNREADABLE]
    for error in broken["error"].head(5):
        common.note(options, f"unreadable: {common.shown(error)}")
    if len(broken) > 5:
        common.note(options, f"and {len(broken) - 5} more unreadable files, see their rows")
    return 2 if len(broken) == len(frame) else 0
