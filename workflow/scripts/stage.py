"""Stage the book's sources and executed notebooks in one folder and build the site from it.

Works in the current folder, the build folder: reads executed/, writes book/ (the stage) and html/ (the site).
The site is built aside and replaces the old one at the end, so that a reader never sees half of it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import grid
import pairs
import steps
from tff_core.book import course, exercises, slides
from tff_core.store.results import write_text

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_BRANCH = "launch"  # of the notebooks that run elsewhere, see launch.py
_GITHUB = "https://github.com/"
_WAITING = (
    "```{note}\n**This page is being computed.** Below is its source, without results. "
    "Reload the page when the build says that the book is ready.\n```"
)


def stage(config: dict[str, Any], folder: Path, executed: Path, preview: bool) -> None:
    """Fill ``folder`` with exactly the sources of the site.

    Files are written only where their content differs, so that Sphinx rebuilds only what has changed. In a
    preview, pages not yet executed are staged from their source with a note; otherwise their absence raises
    FileNotFoundError.
    """
    wanted: dict[Path, bytes] = {}
    for path in sorted(ROOT.glob("book/**/*")):
        if path.is_file():
            wanted[path.relative_to(ROOT)] = path.read_bytes()
    for path in sorted(ROOT.glob("book/course/*.md")):
        wanted[path.relative_to(ROOT)] = course.filled(path, ROOT).encode()
    for name, page in grid.pages(config, ROOT).items():
        done = executed / f"{name}.ipynb"
        if done.is_file():
            wanted[Path(f"{name}.ipynb")] = done.read_bytes()
        elif preview:
            notebook = exercises.book(pairs.read(ROOT / f"{page.source}.py"), page.exercises_at)
            pairs.set_title(notebook, page.title.replace("{title}", pairs.title(notebook)))
            pairs.insert_below_title(notebook, _WAITING)
            wanted[Path(f"{name}.ipynb")] = pairs.dumps(notebook).encode()
        else:
            raise FileNotFoundError(f"{done} does not exist; `make` executes the notebook first")
    wanted[Path("_toc.yml")] = yaml.safe_dump(grid.resolved_toc(config, ROOT), sort_keys=False).encode()
    wanted[Path("_config.yml")] = yaml.safe_dump(site_config(), sort_keys=False).encode()
    contents = folder / "_toc.yml"
    if contents.is_file() and contents.read_bytes() != wanted[Path("_toc.yml")]:
        # Sphinx would keep the pages of sources that are gone, and the old contents beside all the others
        shutil.rmtree(folder / "_build", ignore_errors=True)
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and inside not in wanted and inside.parts[0] != "_build":
            path.unlink()
    for inside, content in wanted.items():
        target = folder / inside
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def site_config() -> dict[str, Any]:
    """The book's configuration; links to the repository appear where it has an address.

    Links that run a chapter appear if the branch that they lead to is known to exist.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    origin = public_origin(ROOT)
    if origin:
        config["repository"] = {"url": origin, "path_to_book": "", "branch": "main"}
        config["html"] |= {"use_repository_button": True, "use_issues_button": True}
        if launchable(ROOT):
            config["sphinx"]["config"]["tff_launch"] = f"{origin.removeprefix(_GITHUB)}@{LAUNCH_BRANCH}"
    return config


def launchable(root: Path) -> bool:
    """Whether the checkout knows the branch of its origin that has the notebooks of `launch.py`."""
    found = subprocess.run(
        ["git", "rev-parse", "--quiet", "--verify", f"refs/remotes/origin/{LAUNCH_BRANCH}"],
        cwd=root, capture_output=True, check=False,
    )  # fmt: skip
    return found.returncode == 0


def public_origin(root: Path) -> str | None:
    """Web address of the checkout's origin if it is on GitHub, else None."""
    found = subprocess.run(
        ["git", "remote", "get-url", "origin"], cwd=root, capture_output=True, text=True, check=False
    )
    match = re.fullmatch(
        r"(?:https://|git@)github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?", found.stdout.strip()
    )
    return f"{_GITHUB}{match[1]}" if match else None


def build(folder: Path, site: Path, preview: bool, results: slides.Results) -> None:
    """Build the staged book, add the slides made of ``results``, and put the site in place of ``site``.

    Raises RuntimeError with the last lines of the builder where it fails. The finished book must build
    without a warning; a preview may have references to results that do not exist yet.
    """
    strict = [] if preview else ["-W", "-n", "--keep-going"]
    # its own script would not start if the environment is in a folder whose name a shell changes
    # pages are trees of nodes: to look for garbage in them at every 700 new ones took a quarter of the time
    start = "import gc; gc.set_threshold(200_000, 20, 50); from jupyter_book.cli.main import main; main()"
    jupyter_book = [sys.executable, "-c", start]
    command = [*jupyter_book, "build", str(folder), *strict]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n")
    if done.returncode:
        text = f"{done.stdout}\n{done.stderr}".splitlines()
        told = [line for line in text if "WARNING" in line or "ERROR" in line or "rror:" in line][-8:]
        raise RuntimeError("the book was not built:\n" + "\n".join(told or text[-8:]))
    new, old = site.with_name(site.name + ".new"), site.with_name(site.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(folder / "_build" / "html", new)
    slides.write(new, ROOT / "book" / "slides", results)
    write_text(new / (".preview" if preview else ".complete"), "")
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the grid's configuration as JSON")
    parser.add_argument("--preview", action="store_true", help="also stage pages that are not executed yet")
    options = parser.parse_args()
    stage(options.config, Path("book"), Path("executed"), options.preview)
    results = slides.Results(Path(), next(iter(options.config["detectors"]), ""))
    build(Path("book"), Path("html"), options.preview, results)


if __name__ == "__main__":
    steps.run(main)
