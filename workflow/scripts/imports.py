"""Which files of tff_core a step depends on, and a fingerprint of what they do.

A step is stale when the code that it runs has changed, not when a comment, a docstring or an unrelated module
has. Both facts are read from the sources, so no list has to be kept by hand. To parse them all takes seconds:
what was read of a file is kept beside Python's own compiled files, under the hash of its content.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

PACKAGE = "tff_core"
WEIGHTS = Path(PACKAGE) / "miniature" / "weights"  # of the generators: <family>.s<seed>*
# exercises end a notebook, and no step runs them
_EXERCISES = re.compile(rb"^# %% \[markdown\] tags=\[[^\]\n]*\"exercise\"", re.MULTILINE)
_DATA = {".csv", ".json", ".safetensors"}
KEPT = Path(__file__).parent / "__pycache__" / f"imports.{sys.implementation.cache_tag}.json"
_MOST = 2000  # files of which facts are kept


def closure(starts: Iterable[Path], root: Path) -> list[Path]:
    """``starts`` and every file of the package below ``root`` that they import, directly or not.

    A sub-package brings its data files along (weights, tables). Raises FileNotFoundError for a missing start.
    """
    found: set[Path] = set()
    waiting = [Path(start) for start in starts]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist, but a step of the workflow runs it")
        found.add(path)
        if path.suffix == ".py":
            waiting += _needed(path, root)
    return sorted(found)


@cache
def _needed(path: Path, root: Path) -> tuple[Path, ...]:
    """Files of the package that ``path`` imports itself."""
    return tuple(file for name in _facts(path, root)[0] for file in _files(name, root))


@cache
def _facts(path: Path, root: Path) -> tuple[list[str], str]:
    """Dotted names below the package that a source imports, and a hash of what it does."""
    place = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    content = path.read_bytes()
    key = hashlib.sha256(f"{_reader()} {place.as_posix()}\n".encode() + content).hexdigest()
    kept = _kept()
    if key not in kept:
        if not _fresh:
            atexit.register(_keep)
        tree = _tree(path, content)
        kept[key] = (_imported(tree, place.with_suffix("").parts), _meaning(tree))
        _fresh.append(key)
    names, digest = kept[key]
    return names, digest


_fresh: list[str] = []


@cache
def _reader() -> str:
    """What reads the sources: this file. Another one may see other facts in them."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


@cache
def _kept() -> dict[str, tuple[list[str], str]]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(KEPT.read_text(encoding="utf-8"))
        if isinstance(found, dict) and len(found) < _MOST:
            return found
    return {}


def _keep() -> None:
    """Keep what this process has read; other processes may do so at the same time, the last one wins."""
    part = KEPT.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # who may not write here reads the sources each time
        KEPT.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps(_kept()), encoding="utf-8")
        part.replace(KEPT)


def _imported(tree: ast.Module, here: tuple[str, ...]) -> list[str]:
    """Dotted names below the package that a module at ``here`` imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # level 1 is the folder of the module, which for __init__.py is the package itself
            prefix = list(here[: len(here) - node.level]) if node.level else []
            base = ".".join([*prefix, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return sorted(name for name in names if name.split(".")[0] == PACKAGE)


@cache
def _files(name: str, root: Path) -> list[Path]:
    """Files behind a dotted name: the module, the packages above it, and a sub-package's data."""
    parts = name.split(".")
    files = []
    for length in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:length])
        if base.with_suffix(".py").is_file():
            files.append(base.with_suffix(".py"))
        elif (base / "__init__.py").is_file():
            files.append(base / "__init__.py")
            # ``python -m package`` runs __main__, which may import more than the package does
            files += [base / "__main__.py"] if (base / "__main__.py").is_file() else []
            if length > 1:
                files += _data(base)
    return files


@cache  # many modules are imported from one sub-package
def _data(package: Path) -> list[Path]:
    return [file for file in package.rglob("*") if file.suffix in _DATA]


def _tree(path: Path, content: bytes) -> ast.Module:
    try:
        # a notebook's text is comments
        return ast.parse(_EXERCISES.split(content, maxsplit=1)[0], filename=str(path))
    except SyntaxError as error:
        raise ValueError(f"{path} line {error.lineno} is not valid Python: {error.msg}") from error


def _meaning(tree: ast.Module) -> str:
    """A hash of what a source does; takes the docstrings out of the tree."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def _digest(path: Path, root: Path) -> str:
    return _facts(path, root)[1] if path.suffix == ".py" else hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(starts: Iterable[Path], root: Path, families: Collection[str] | None = None) -> str:
    """A short hash of what the closure of ``starts`` does: blind to comments, docstrings and layout.

    ``families``: of the weights of generators, those of these families count, for a step that makes pictures
    of no other; None: all of them.
    """
    return _fingerprint(tuple(starts), root, None if families is None else tuple(families))


@cache  # a workflow asks for it again whenever a step becomes ready
def _fingerprint(starts: tuple[Path, ...], root: Path, families: tuple[str, ...] | None) -> str:
    total = hashlib.sha256()
    for path in closure(starts, root):
        family = path.name.split(".")[0]
        if families is not None and path.is_relative_to(root / WEIGHTS) and family not in families:
            continue
        total.update(f"{path.name}:{_digest(path, root)}\n".encode())
    return total.hexdigest()[:16]
