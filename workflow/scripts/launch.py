"""The chapters as notebooks that run without a checkout: in Colab, in Binder, in any Jupyter.

Each begins with a cell that fetches the project and makes the small build that the chapter reads, and has the
parameters of that build. They live on a branch of their own, which holds nothing else; the badges link there.
"""

from __future__ import annotations

import argparse
import os
import pprint
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import build
import editions
import grid
import pairs
import stage
from tff_core.book.notebooks import defaults, relevant
from tff_core.store.results import write_text

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "launch"
_WORDS = """**Before you begin.** The next cell fetches the project and makes the small build that this
chapter reads: pictures are sampled and a detector is trained, a few minutes on two cores. Its settings are
those of `workflow/config.{config}.yaml`, far smaller than the book's, so the numbers differ from the book's.
If the service asks you to restart the session, do so and run all cells again; what has been made stays."""
_CODE = '''import os
import subprocess
import sys


def run(*command):
    """Run a command and show what it says; stop where it fails."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="")
    if process.returncode:
        raise RuntimeError(f"{command} failed; the lines above say why")


if not os.path.isdir("tff"):
    run(
        "git", "clone", "--quiet", "--depth", "1", "--branch", REF,
        ORIGIN, "tff",
    )
run(sys.executable, "-m", "pip", "install", "--quiet", "./tff")
run(
    sys.executable, "tff/workflow/scripts/build.py",
    "--config", CONFIG, "--page", PAGE,
)
os.environ["TFF_BUILD"] = os.path.abspath("tff/build")'''
_README = """# Chapters to run

These notebooks are made from the chapters of {origin} at {ref}. Each fetches the project and makes what it
needs; open one in Colab or Binder, or in a Jupyter of your own. At its end are exercises that check
themselves: cells that are not solved yet end in an error, and the cells below go on. Change the chapters
there, not here: every release writes this branch anew.
"""


def chapters(config: dict[str, Any]) -> dict[str, grid.Page]:
    """The pages of the book that are a notebook of their own, by the name of the notebook."""
    return {
        page.chapter: page for name, page in grid.pages(config, ROOT).items() if name.startswith("notebooks/")
    }


def prepared(page: grid.Page, origin: str, ref: str, config: str) -> NotebookNode:
    """A chapter with the cell that makes what it reads, and the parameters of that build.

    ``origin`` is where git finds the project, ``ref`` a branch or tag there, ``config`` the name of a grid.
    """
    notebook = editions.edition("student", ROOT / f"{page.source}.py")
    code = _CODE
    for name, value in {"REF": ref, "ORIGIN": origin, "CONFIG": config, "PAGE": page.docname}.items():
        code = re.sub(rf"\b{name}\b", lambda _, value=value: repr(value).replace("'", '"'), code)
    place = set_parameters(notebook, page)
    notebook.cells[place:place] = [
        nbformat.v4.new_markdown_cell(_WORDS.format(config=config)),
        nbformat.v4.new_code_cell(code, metadata={"tags": ["otter_ignore"]}),
    ]
    pairs.set_ids(notebook)
    return notebook


def set_parameters(notebook: NotebookNode, page: grid.Page) -> int:
    """Give a notebook the parameters of a page of the small build; returns the place of its own.

    Cells that belong to other values of them are taken out: whoever runs all cells would run these, too.
    """
    notebook.cells = relevant(notebook.cells, {**defaults(notebook), **page.parameters})
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    own = "\n".join(
        f"{name} = {pprint.pformat(value, width=70 - len(name), compact=True)}"
        for name, value in sorted(page.parameters.items())
    )
    tags = ["injected-parameters", "otter_ignore"]  # of the chapter, which no grader runs
    notebook.cells.insert(
        place + 1, nbformat.v4.new_code_cell(f"# of the small build\n{own}", metadata={"tags": tags})
    )
    return place


def write(folder: Path, origin: str, ref: str, config: str = CONFIG) -> list[str]:
    """Write the branch's files to ``folder``; returns the chapters' names."""
    found = chapters(build.load_config(config, everything=False))
    for name, page in found.items():
        write_text(folder / f"{name}.ipynb", pairs.dumps(prepared(page, origin, ref, config)))
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    # the first cell of each notebook installs the project itself
    pins = [line for line in environment.splitlines() if "--editable" not in line]
    write_text(folder / "environment.yml", "\n".join(pins) + "\n")
    write_text(folder / "README.md", _README.format(origin=origin, ref=ref))
    return list(found)


def push(folder: Path, remote: str, branch: str = stage.LAUNCH_BRANCH) -> str:
    """Make ``folder`` the only commit of a branch of ``remote``; returns the commit.

    Neither the index nor the files of the checkout change. Raises RuntimeError with git's message.
    """
    with tempfile.TemporaryDirectory() as index:
        where = {"GIT_INDEX_FILE": str(Path(index) / "index"), "GIT_WORK_TREE": str(folder.resolve())}
        git("add", "--all", "--force", ".", cwd=folder, **where)
        tree = git("write-tree", **where)
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "release"), ("EMAIL", "release@localhost"))}  # fmt: skip
    commit = git("commit-tree", tree, "-m", "The chapters, ready to be run elsewhere", **who)
    git("push", "--quiet", "--force", remote, f"{commit}:refs/heads/{branch}")
    return commit


def git(*arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run git on the checkout; RuntimeError with its message if it fails."""
    found = subprocess.run(
        ["git", "rev-parse", "--absolute-git-dir"], cwd=ROOT, capture_output=True, text=True
    )
    if found.returncode:
        raise RuntimeError(f"{ROOT} is no git checkout: {found.stderr.strip()}")
    done = subprocess.run(
        ["git", "--git-dir", found.stdout.strip(), *arguments],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--origin", help="address of the project for git (default: the checkout's public origin)"
    )
    parser.add_argument("--ref", default="main", help="branch or tag there that the notebooks fetch")
    parser.add_argument("--out", type=Path, help="write the notebooks to this folder and push nothing")
    options = parser.parse_args()
    origin = options.origin or stage.public_origin(ROOT)
    try:
        if origin is None:
            raise ValueError("this checkout's origin is not public, so nobody could fetch it; give --origin")
        if options.out:
            print("written:", *write(options.out, origin, options.ref))
            return 0
        with tempfile.TemporaryDirectory() as folder:
            names = write(Path(folder), origin, options.ref)
            commit = push(Path(folder), "origin")
        print(f"pushed {len(names)} notebooks to the branch {stage.LAUNCH_BRANCH} of {origin}: {commit}")
    except (ValueError, OSError, RuntimeError, build.BuildError) as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
