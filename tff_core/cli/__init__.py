"""The command ``tff``: a thin layer over `tff_core`, with one subcommand per task.

Exit codes: 0 done, 1 failed (the machine: no space, no memory), 2 wrong input (a path, an option, a file).
The answer goes to standard output, everything else to standard error. Nothing heavy is imported before a
subcommand runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
import warnings
from collections.abc import Sequence

from tff_core import __version__
from tff_core.cli import attribute, check, common, detect, doctor, explain, localize, study, workflow
from tff_core.store import failures

_EXAMPLES = """examples:
  tff doctor                               what is here, what is missing and how to get it
  tff detect photo.png pictures/           a row for each picture
  tff explain photo.png --out photo.html   what the detector looked at, as one HTML file
  tff check my_generator/                  audit a folder of reals and fakes
  tff add mygan my_generator/              give it a page in the book: then run make

Every command has --help with examples. Exit codes: 0 done, 1 failed, 2 wrong input."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="tff",
        description="Detect CNN-generated pictures, and see what the detector looks at.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"tff {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for room in (doctor, detect, explain, localize, attribute, check, workflow, study):
        room.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong input, 130 interrupted.

    An error is one sentence. ``--traceback``, or TFF_DEBUG=1, shows where it comes from.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def run() -> int:
        options = parser().parse_args(given)
        # what is wrong with a picture file is reported in the answer, not in a library's warnings
        warnings.filterwarnings("ignore", module=r"PIL\.")
        common.check_output(options)
        common.check_input(options)
        gc.set_threshold(20_000)  # of what torch makes as it is loaded nothing is garbage
        return int(options.run(options))

    told = failures.printable(shlex.join(["tff", *given]))
    return failures.guarded(run, f"running {told[:300]}", debug="--traceback" in given)
