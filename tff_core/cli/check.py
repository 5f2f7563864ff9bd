"""``tff check``: an audit of a folder of reals and fakes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tff_core.cli import common

_EXAMPLES = """  tff check my_generator/                 one generator: 0_real and 1_fake, or class folders
  tff check CNN_synth_testset/            all generators below a folder, and pictures that they share
  tff check my_generator/ --json
  tff check my_generator/ --out files.csv  a row for each picture
Every picture is read. The exit code is 2 where something makes the data set unusable (an "error": pictures
that cannot be read, a folder of one label, the same picture among reals and fakes), else 0, with warnings."""


def add_to(commands: Any) -> None:
    """The command line."""
    made = common.command(
        commands,
        "check",
        run,
        "audit a data set: layout, files, duplicates, and what gives the labels away",
        _EXAMPLES,
    )
    made.add_argument("folder", type=Path, metavar="DIR")
    made.add_argument("--out", type=Path, metavar="FILE", help="also write a table of all pictures (CSV)")


def run(options: argparse.Namespace) -> int:
    """Audit the folder."""
    import json

    from tff_core.pictures import audit
    from tff_core.store.results import write_text

    found = audit.audit(options.folder, progress=common.bar(options))
    if options.out:
        write_text(options.out, common.csv_text(found.pictures))
        common.note(options, f"written: {common.shown(options.out)}")
    if options.json:
        print(json.dumps(common.plain(found.as_dict()), indent=1))
    else:
        print(audit.text(found, common.shown))
    return 0 if found.usable else 2
