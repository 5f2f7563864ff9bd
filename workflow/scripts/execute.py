"""Execute one notebook for one detector (and generator), and write the result completely or not at all.

The executed notebook carries the parameters it ran with and ends with its provenance. A notebook that fails
leaves no output, exits 1 and prints one readable message with the failing cell.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

import pairs
import steps
from tff_core.book import exercises
from tff_core.book.notebooks import defaults, relevant
from tff_core.store.results import fingerprint, read_json, write_text

# runs in the notebook's kernel, so that it reports the device actually used
_PROBE = "import json\nfrom tff_core.store.results import provenance\nprint(json.dumps(provenance()))"


def run(notebook: NotebookNode, parameters: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Execute ``notebook`` in place with those of ``parameters`` that it declares.

    Returns its provenance: versions, device, run time in seconds. Raises PapermillExecutionError.
    """
    os.environ["TFF_STATIC"] = "1"  # controls without a kernel: nobody is there to move live ones
    used = {key: value for key, value in parameters.items() if key in pairs.declared(notebook)}
    notebook.cells = relevant(notebook.cells, {**defaults(notebook), **used})
    notebook.cells.append(nbformat.v4.new_code_cell(_PROBE))
    begin = time.monotonic()
    done = papermill.execute_notebook(
        notebook, None, parameters=used, kernel_name=os.environ.get("TFF_KERNEL", "python3"), cwd=folder,
        progress_bar=False, log_output=True, start_timeout=600, request_save_on_cell_execute=False,
    )  # fmt: skip
    seconds = time.monotonic() - begin
    probe = done.cells.pop()
    facts = json.loads("".join(output.text for output in probe.outputs if output.output_type == "stream"))
    notebook.cells = done.cells
    return {**facts, "parameters": used, "seconds": round(seconds, 1)}


def clean(notebook: NotebookNode) -> None:
    """Drop what differs between two equal runs: timings, random ids, papermill's notes."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["kernelspec"] = dict(pairs.KERNEL)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            # the page lists the parameters at its end; the notebook keeps the cell
            cell.metadata["tags"] = [*cell.metadata["tags"], "remove-cell"]
    pairs.set_ids(notebook)


def data_hash(manifests: list[Path]) -> str:
    """One hash of all picture folders used; each manifest carries the hash of its pictures."""
    if not manifests:
        return "no pictures read"
    return fingerprint([read_json(path) for path in manifests])


def footer(facts: dict[str, Any]) -> str:
    """The provenance of a page, as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    values = ", ".join(f"{key} = {value!r}" for key, value in facts["parameters"].items()) or "none"
    rows = {
        "commit": facts["commit"],
        "parameters": f"`{values}`",
        "data hash": facts["data"],
        "versions": f"Python {facts['python']}, {versions}",
        "device": facts["device"],
        "run time": f"{facts['seconds']:.0f} s for this page, without the steps before it",
    }
    lines = "\n".join(f"- **{name}:** {value}" for name, value in rows.items())
    return f"::::{{div}} tff-provenance\n**How this page was made**\n\n{lines}\n::::"


def explain(error: PapermillExecutionError, source: Path) -> str:
    """One readable message about the failing cell."""
    code = "\n".join(f"    {line}" for line in error.source.strip().splitlines()[:12])
    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    return (
        f"{trace}\n\n{source} failed in code cell {error.exec_count}: {error.ename}: {error.evalue}\n"
        f"The cell begins:\n{code}"
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="percent script")
    parser.add_argument("output", type=Path, help="executed notebook")
    parser.add_argument("--title", help="heading of the page; {title} stands for the notebook's own")
    parser.add_argument(
        "--parameters", type=json.loads, default={}, help="JSON object; undeclared ones are left out"
    )
    parser.add_argument(
        "--lacks", default="", help="what it cannot run without, as a sentence: it is shown without results"
    )
    parser.add_argument(
        "--exercises-at", default="", help="page that has the chapter's exercises, for one that goes without"
    )
    parser.add_argument(
        "--data", type=Path, nargs="*", default=[], help="manifests of the pictures that went in"
    )
    options = parser.parse_args()
    try:
        notebook = exercises.book(pairs.read(options.source), options.exercises_at or None)
        if options.title:
            pairs.set_title(notebook, options.title.replace("{title}", pairs.title(notebook)))
        if options.lacks:
            note = f"```{{admonition}} Not executed\n:class: note\n{options.lacks}\n```"
            pairs.insert_below_title(notebook, note)
            notebook.cells = relevant(notebook.cells, {**defaults(notebook), **options.parameters})
            pairs.set_ids(notebook)
            write_text(options.output, pairs.dumps(notebook))
            return 0
        facts = run(notebook, options.parameters, options.source.resolve().parent)
    except PapermillExecutionError as error:
        print(explain(error, options.source), file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError) as error:
        print(f"{options.source}: {error}", file=sys.stderr)
        return 1
    facts["data"] = data_hash(options.data)
    notebook.cells.append(nbformat.v4.new_markdown_cell(footer(facts)))
    clean(notebook)
    write_text(options.output, pairs.dumps(notebook))
    return 0


if __name__ == "__main__":
    steps.run(main)
