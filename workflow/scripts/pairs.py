"""Percent scripts and notebooks: reading, stable cell ids, and the output-free .ipynb beside each .py."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

import grid
from tff_core.store.results import write_text

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def read(path: str | Path) -> NotebookNode:
    """A percent script as a notebook whose cell ids depend on nothing but the cells.

    Raises FileNotFoundError or ValueError that names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"notebook {path} does not exist; expected a percent script (.py)")
    try:
        notebook = jupytext.read(path, fmt="py:percent")
    except (SyntaxError, ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no percent notebook: {error}") from error
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for key in ("cell_metadata_filter", "notebook_metadata_filter", "text_representation"):
        notebook.metadata.get("jupytext", {}).pop(key, None)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    set_ids(notebook)
    return notebook


def set_ids(notebook: NotebookNode) -> None:
    """Cell ids from the cells' content: jupytext's are random, and every re-run would differ."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def title(notebook: NotebookNode) -> str:
    """Text of the first heading; ValueError where the notebook has none."""
    for cell in notebook.cells:
        match = cell.cell_type == "markdown" and re.search(r"^# +(.+)$", cell.source, flags=re.MULTILINE)
        if match:
            return str(match[1]).strip()
    raise ValueError("the notebook has no heading; expected a markdown cell with a line '# Title'")


def declared(notebook: NotebookNode) -> set[str]:
    """Names assigned in the cell tagged ``parameters``."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            return grid.assigned(cell.source)
    return set()


def set_title(notebook: NotebookNode, text: str) -> None:
    """Replace the first heading. It must be source, not output: Sphinx takes page titles from source only."""
    title(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"^# +.+$", cell.source, flags=re.MULTILINE):
            cell.source = re.sub(r"^# +.+$", lambda _: f"# {text}", cell.source, count=1, flags=re.MULTILINE)
            return


def insert_below_title(notebook: NotebookNode, markdown: str) -> None:
    """Add a markdown cell below the first heading."""
    title(notebook)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and re.search(r"^# +.+$", cell.source, flags=re.MULTILINE):
            notebook.cells.insert(index + 1, nbformat.v4.new_markdown_cell(markdown))
            return


def dumps(notebook: NotebookNode) -> str:
    """The notebook as text, the same for the same content."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def main() -> int:
    """Write the .ipynb beside each .py, or with --check report which are out of sync."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path, help="percent scripts (.py)")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 where one is out of step"
    )
    options = parser.parse_args()
    stale = []
    for path in options.notebooks:
        text, twin = dumps(read(path)), path.with_suffix(".ipynb")
        if not twin.is_file() or twin.read_text(encoding="utf-8") != text:
            stale.append(str(twin))
            if not options.check:
                write_text(twin, text)
    if stale:
        print("out of step with the .py beside it:" if options.check else "written:", *stale)
        if options.check:
            print("run `make notebooks` and commit the result")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
