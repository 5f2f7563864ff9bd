"""Which cells of a notebook belong to which values of its parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode


def relevant(cells: list[NotebookNode], values: Mapping[str, Any]) -> list[NotebookNode]:
    """The cells that belong to these values of the parameters.

    A cell with the tag ``only-if:NAME=VALUE``, or ``only-if:NAME!=VALUE``, is left out where that does not
    hold.
    """

    def fits(tag: str) -> bool:
        match = re.fullmatch(r"only-if:(\w+)(!?=)(.*)", tag)
        return match is None or (str(values.get(match[1])) == match[3]) == (match[2] == "=")

    return [cell for cell in cells if all(map(fits, cell.metadata.get("tags", [])))]


def defaults(notebook: NotebookNode) -> dict[str, Any]:
    """The values in the cell tagged ``parameters``."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            found = [s for s in ast.parse(cell.source).body if isinstance(s, ast.Assign)]
            return {ast.unparse(s.targets[0]): ast.literal_eval(s.value) for s in found}
    return {}
