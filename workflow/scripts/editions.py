"""Write the editions of the chapters: for the book, for students, for instructors, and solutions.

All come from the percent scripts. A folder for each edition is made aside and takes the place of the old one
at the end, so that nobody finds half of it.
"""

from __future__ import annotations

import argparse
import functools
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from nbformat import NotebookNode

import pairs
import steps
from tff_core.book import exercises
from tff_core.store.results import write_text

ROOT = Path(__file__).resolve().parents[2]


def read(path: Path) -> NotebookNode:
    """A percent script whose exercises are as they must be; ValueError names the file and what is wrong."""
    notebook = pairs.read(path)
    try:
        exercises.parse(notebook)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return notebook


def references(root: Path) -> dict[str, str]:
    """Authors and year of each reference of the book, by key."""
    found = {}
    text = (root / "book" / "references.bib").read_text(encoding="utf-8")
    for key, body in re.findall(r"^@\w+\{([^,]+),(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = dict(re.findall(r"^\s*(author|year)\s*=\s*\{(.*)\},?\s*$", body, re.MULTILINE))
        names = [re.sub(r"[{}\\\"'`^~]", "", name.split(",")[0]) for name in fields["author"].split(" and ")]
        who = (
            names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
        )
        found[key] = f"{who}, {fields['year']}"
    return found


def _heading(path: Path) -> str:
    """First heading of a percent script or of a page of prose, or its name where it has none."""
    mark = "# # " if path.suffix == ".py" else "# "
    match = re.search(rf"^{mark}(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1].strip() if match else path.stem


@functools.cache
def readable(root: Path) -> Callable[[str], str]:
    """What turns the MyST of the chapters into the Markdown of notebooks that lie side by side."""
    sources = sorted((root / "notebooks").glob("*.py"))
    pages = {f"notebooks/{path.stem}": f"{path.stem}.ipynb" for path in sources}
    prose = [path for path in (root / "book").glob("**/*.md") if "static" not in path.parts]
    titles = {
        path.relative_to(root).with_suffix("").as_posix(): _heading(path) for path in [*sources, *prose]
    }
    return functools.partial(exercises.plain, pages=pages, titles=titles, cited=references(root))


def edition(name: str, path: Path, root: Path = ROOT) -> NotebookNode:
    """One of `exercises.EDITIONS` of a percent script."""
    notebook = read(path)
    made: NotebookNode = (
        exercises.book(notebook) if name == "book" else getattr(exercises, name)(notebook, readable(root))
    )
    pairs.set_ids(made)
    return made


def write(target: Path, sources: Iterable[Path], names: Iterable[str] = exercises.EDITIONS) -> None:
    """Write editions of notebooks to ``target/EDITION/``, each folder completely or not at all."""
    target.mkdir(parents=True, exist_ok=True)
    sources = list(sources)
    with tempfile.TemporaryDirectory(dir=target, prefix=".") as aside:
        for name in names:
            new, old = Path(aside) / name, Path(aside) / f"{name}.old"
            new.mkdir()
            for path in sources:
                write_text(new / f"{path.stem}.ipynb", pairs.dumps(edition(name, path)))
        for name in names:  # nothing is replaced before all are made
            new, old = Path(aside) / name, Path(aside) / f"{name}.old"
            if (target / name).exists():
                shutil.move(target / name, old)
            shutil.move(new, target / name)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="percent scripts (default: all)")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of the editions")
    parser.add_argument("--edition", nargs="*", choices=exercises.EDITIONS, default=list(exercises.EDITIONS))
    options = parser.parse_args()
    sources = options.notebooks or sorted((ROOT / "notebooks").glob("*.py"))
    try:
        write(options.to, sources, options.edition)
    except (ValueError, OSError) as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    print(f"{options.to}: {', '.join(options.edition)}, {len(sources)} notebooks each")
    return 0


if __name__ == "__main__":
    steps.run(main)
