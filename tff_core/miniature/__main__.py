"""``python -m tff_core.miniature sample ...``, ``... splice ...`` and ``... train-generator ...``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from tff_core.miniature import generators
from tff_core.miniature.camera import CAMERAS, EDITION_2
from tff_core.miniature.learning import Settings
from tff_core.miniature.sample import sample
from tff_core.miniature.splices import splice
from tff_core.miniature.train import train, usual
from tff_core.pictures.data import PARTS
from tff_core.store import failures


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0, or 2 after one sentence on what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tff_core.miniature", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    commands = parser.add_subparsers(dest="command", required=True)

    drawing = commands.add_parser("sample", help="make the pictures of one part and generator")
    splicing = commands.add_parser("splice", help="make pictures that are fake in a part, with masks")
    for command, what in ((drawing, "pictures per label"), (splicing, "spliced pictures, as many authentic")):
        command.add_argument("--part", choices=PARTS, required=True)
        command.add_argument("--generator", choices=(*generators.FAMILIES, *generators.NEW), required=True)
        command.add_argument("--out", type=Path, required=True, help="folder of this generator's pictures")
        command.add_argument("--n", type=int, default=100, help=f"{what} (default: %(default)s)")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--size", type=int, default=64)
        command.add_argument(
            "--camera", choices=CAMERAS, default=EDITION_2.name,
            help="that of edition 1 or 2, or an other one (default: %(default)s)",
        )  # fmt: skip
        command.add_argument("--models", type=Path, nargs="+", default=[], metavar="FILE",
                             help="weights to take in turn, in place of those that ship")  # fmt: skip

    learning = commands.add_parser("train-generator", help="train one generator")
    learning.add_argument("generator", choices=(*generators.FAMILIES, *generators.NEW))
    learning.add_argument("--seed", type=int, required=True)
    learning.add_argument("--steps", type=int, help="default: the family's own number")
    learning.add_argument(
        "--out", type=Path, help="default: <generator>.s<seed>.safetensors among the package's"
    )
    learning.add_argument(
        "--snapshots", type=int, nargs="*", default=[], help="steps after which to keep a copy"
    )
    learning.add_argument(
        "--every",
        type=int,
        help="steps between the entries of <out>.history.json, which compares fakes with reals "
        "(default: a twelfth of all)",
    )
    learning.add_argument("--camera", choices=CAMERAS, default=Settings.camera,
                          help="takes the scenes to learn from (default: %(default)s)")  # fmt: skip
    learning.add_argument("--average", type=float, default=Settings.average,
                          help="decay of the average of the weights (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # small nets: a second thread costs more than it brings
    return failures.guarded(lambda: _run(options), f"making {options.out}")


def _run(options: argparse.Namespace) -> None:
    if options.command == "sample":
        made = sample(options.part, options.generator, options.out, options.n, options.seed,
                      options.size, not options.quiet, CAMERAS[options.camera], options.models)  # fmt: skip
        print(f"{options.out}: {made['counts']['real']} real, {made['counts']['fake']} fake, "
              f"content {made['content_hash']}")  # fmt: skip
        return
    if options.command == "splice":
        made = splice(options.part, options.generator, options.out, options.n, None, options.seed,
                      options.size, not options.quiet, CAMERAS[options.camera], options.models)  # fmt: skip
        counts = made["counts"]
        print(f"{options.out}: {counts['spliced']} spliced, {counts['authentic']} authentic")
        return
    chosen = {"camera": options.camera, "average": options.average}
    settings = usual(
        options.generator, **chosen, **({"steps": options.steps} if options.steps is not None else {})
    )
    name = f"{options.generator}.s{options.seed}.safetensors"
    path = train(
        options.generator, options.seed, options.out or generators.WEIGHTS / name,
        settings, snapshots=tuple(options.snapshots), every=options.every,
        progress=not options.quiet,
    )  # fmt: skip
    print(path)


if __name__ == "__main__":
    sys.exit(main())
