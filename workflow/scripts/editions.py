"""Write the editions of the chapters: for the book, for students, for instructors, and solutions.

All come from the percent scripts. A folder for each edition is made aside and takes the place of the old one
at the end, so that nobody finds half of it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml
from nbformat import NotebookNode

import pairs
import steps
from tff_core.book import course, exercises
from tff_core.store.results import write_text

ROOT = Path(__file__).resolve().parents[2]
# of the book's own tools, an exercise needs none
_NOT_GRADED = ("jupyter-book", "sphinx", "snakemake", "papermill", "jupytext", "jupyterlab")


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


@functools.cache
def readable(root: Path) -> Callable[[str], str]:
    """What turns the MyST of the chapters into the Markdown of notebooks that lie side by side."""
    sources = sorted((root / "notebooks").glob("*.py"))
    pages = {f"notebooks/{path.stem}": f"{path.stem}.ipynb" for path in sources}
    prose = [path for path in (root / "book").glob("**/*.md") if "static" not in path.parts]
    titles = {
        path.relative_to(root).with_suffix("").as_posix(): course.title(path) for path in [*sources, *prose]
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


# --- grading by Otter-Grader: a zip that Gradescope takes as it is, and `otter run` on a machine of one's own

_TEST = '''"""{title}: the check that students see, and the hidden one."""

from otter.test_files import test_case

OK_FORMAT = False
name = {name!r}
CHECK = {check!r}
HIDDEN = {hidden!r}


@test_case(name="check", points={points!r})
def check(env):
    exec(CHECK, dict(env))


@test_case(name="hidden", points={points!r}, hidden=True)
def hidden(env):
    names = dict(env)
    exec(CHECK, names)
    exec(HIDDEN, names)
'''
# a fixed Python and the versions of the book; the grader itself adds to them
_PYTHON = "3.11"


def graded(path: Path) -> list[exercises.Exercise]:
    """The exercises of a notebook that a machine grades: those with code that stand on their own."""
    return [one for one in exercises.parse(read(path)).exercises if one.coding and not one.in_chapter]


def test_file(one: exercises.Exercise) -> str:
    """An exercise as a file of Otter's tests; each of its two checks has half of the points."""
    return _TEST.format(
        title=one.title.replace('"', "'").replace("\\", ""), name=exercises.slug(one.title),
        check=one.test, hidden=one.hidden, points=one.points / 2,
    )  # fmt: skip


def autograder(path: Path, target: Path, root: Path = ROOT) -> list[str]:
    """Write the autograder of a notebook's exercises to ``target``, a zip; returns the names of its tests.

    It holds the checks, the package and the versions that it needs. Raises ValueError where no exercise can
    be graded, and RuntimeError where Otter is not installed.
    """
    found = graded(path)
    if not found:
        raise ValueError(f"{path} has no exercise with code that stands on its own, so nothing can be graded")
    try:
        from otter import generate
    except ImportError as error:
        raise RuntimeError("otter-grader is not installed; run `make env`, which sets it up") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as aside:
        work = Path(aside)
        tests = work / "tests"
        tests.mkdir()
        for one in found:
            (tests / f"{exercises.slug(one.title)}.py").write_text(test_file(one), encoding="utf-8")
        pins = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))["dependencies"][-1][
            "pip"
        ]
        needed = [pin for pin in pins if "--editable" not in pin and not pin.startswith(_NOT_GRADED)]
        (work / "requirements.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")
        # of the package, the code and small tables: an exercise trains nothing and loads no weights
        names = [
            file.relative_to(root).as_posix()
            for file in sorted((root / "tff_core").rglob("*"))
            if file.suffix in (".py", ".csv", ".json") and "__pycache__" not in file.parts
        ]
        with contextlib.chdir(root):  # names in the zip are as they are given
            generate.main(
                tests_dir=str(tests), output_path=str(work / "autograder.zip"), no_config=True,
                requirements=str(work / "requirements.txt"), no_environment=True, python_version=_PYTHON,
                files=names,
            )  # fmt: skip
        shutil.move(work / "autograder.zip", target)
    return [exercises.slug(one.title) for one in found]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="percent scripts (default: all)")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of the editions")
    parser.add_argument("--edition", nargs="*", choices=exercises.EDITIONS, default=list(exercises.EDITIONS))
    parser.add_argument(
        "--autograder", action="store_true",
        help="also write autograder/NOTEBOOK.zip for Gradescope and `otter run`",
    )  # fmt: skip
    options = parser.parse_args()
    sources = options.notebooks or sorted((ROOT / "notebooks").glob("*.py"))
    try:
        write(options.to, sources, options.edition)
        for path in filter(graded, sources if options.autograder else []):
            autograder(path, options.to / "autograder" / f"{path.stem}.zip")
    except (ValueError, OSError, RuntimeError) as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    print(f"{options.to}: {', '.join(options.edition)}, {len(sources)} notebooks each")
    return 0


if __name__ == "__main__":
    steps.run(main)
