"""Run the notebooks of an unzipped class pack as a student would, in one process each, forked from one.

Called with ``python -I -S``, so that nothing of this repository is importable: arguments are the folder of
the pack, the folder of installed packages, and a JSON file with ``blocked`` (modules that the class
environment lacks), ``fewer`` (other parameters of some notebooks) and ``coding`` (exercises with code, by
notebook). Prints one line of JSON for each notebook: what went wrong, and what was done.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

PACK, SITE, ORDERS = Path(sys.argv[1]).resolve(), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
YOUR_TURN = "your turn"  # what a stub says
LOADED = (
    "captum.attr", "IPython", "pandas", "plotly.graph_objects", "scipy.stats", "sklearn.metrics", "torch",
    "torchvision", "tff_core.attribution", "tff_core.book.chapter", "tff_core.claims.verdicts",
    "tff_core.exam", "tff_core.figures", "tff_core.localization",
)  # fmt: skip


class Installed(PathFinder):
    """Finds what would be in the class environment, of all that is installed here."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if path is None and fullname in ORDERS["blocked"]:
            return None
        return super().find_spec(fullname, path, target)


def touched(written: set[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that notes files of the pack opened for writing."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(details[0], int) and details[2] & (os.O_WRONLY | os.O_RDWR):
            written.add(os.fsdecode(details[0]))

    return hook


def untrainable() -> None:
    """Let whatever trains raise: the package's functions, and every optimiser."""
    import torch

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("a notebook of the class pack trains")

    torch.optim.Optimizer.__init__ = refuse  # type: ignore[method-assign]
    for name, module in list(sys.modules.items()):
        if name.startswith("tff_core."):
            for function in ("train", "fit"):
                if getattr(getattr(module, function, None), "__module__", "") == name:
                    setattr(module, function, refuse)


def run(stem: str) -> dict[str, Any]:
    """Run the cells of one notebook, then the exercises that need them."""
    import torch
    from IPython import display

    display.display = lambda *_, **__: None
    os.chdir(PACK / "notebooks")
    begin, written = time.process_time(), set[str]()
    sys.addaudithook(touched(written))
    trainable = torch.optim.Optimizer.__init__
    untrainable()
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [
        cell for cell in json.loads(Path(f"{stem}.ipynb").read_text())["cells"] if cell["cell_type"] == "code"
    ]
    own: dict[str, Any] = {}
    undone = False
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if "raises-exception" in tags and not own:
            own = dict(names)
            torch.optim.Optimizer.__init__ = trainable  # type: ignore[method-assign]
        try:
            exec(compile("".join(cell["source"]), f"{stem}: {''.join(cell['source'])[:40]!r}", "exec"), names)
        except Exception as error:
            undone = str(error) == YOUR_TURN if "answer" in tags else undone
            # a stub may end in the error that it announces, when it is run or when the check calls it; where
            # it ended before its last line, the check has no names to look at
            if not (
                (undone and "answer" in tags)
                or (
                    "check" in tags and (str(error) == YOUR_TURN or (undone and isinstance(error, NameError)))
                )
            ):
                raise
        else:
            undone = undone and "answer" not in tags
        if "injected-parameters" in tags:
            names.update(ORDERS["fewer"].get(stem, {}))
    return {
        "cells": len(cells),
        "exercises": examined(stem, own or names),
        "written": sorted(written),
        "found": sys.path[0] == str(PACK),
        "package": str(sys.modules["tff_core"].__file__),
        "seconds": time.process_time() - begin,
    }


def examined(stem: str, names: dict[str, Any]) -> int:
    """Solve, leave undone and solve wrongly what needs the chapter; returns how many exercises there were."""
    from exercise_answers import answer, examine

    from tff_core.book.exercises import Exercise

    found = [Exercise(**{**one, "wrong": tuple(one["wrong"])}) for one in ORDERS["coding"].get(stem, [])]
    if not any(one.in_chapter for one in found):
        return 0
    for one in found:
        if one.in_chapter:
            try:
                examine(one, names)
            except Exception as error:
                raise RuntimeError(f"{stem}: {one.title}") from error
        answer(one, one.solution, names, hidden=False)  # as a student has solved it before the next
    return sum(one.in_chapter for one in found)


def main() -> None:
    sys.path[:0] = [str(PACK), SITE, str(Path(__file__).parents[1])]
    sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
    for name in LOADED:  # once for all notebooks
        importlib.import_module(name)
    gc.freeze()
    gc.set_threshold(20_000)  # as in a build
    import torch

    sys.path.remove(str(PACK))  # from here on, a notebook finds it by itself
    torch.set_num_threads(1)
    for path in sorted((PACK / "notebooks").glob("*.ipynb")):
        back, out = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                said: dict[str, Any] = run(path.stem)
            except BaseException:
                said = {"error": traceback.format_exc()[-3000:]}
            with os.fdopen(out, "w") as stream:
                stream.write(json.dumps({"notebook": path.stem, **said}))
            os._exit(0)
        os.close(out)
        with os.fdopen(back) as stream:
            line = stream.read()
        os.waitpid(child, 0)
        print(line or json.dumps({"notebook": path.stem, "error": "its process died"}), flush=True)


if __name__ == "__main__":
    main()
