"""What is on disk: where things are below the build folder, all-or-nothing writes, and provenance."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tff_core.store import failures

_ABANDONED = 3600.0  # seconds after which an unfinished file counts as abandoned, where locks do not tell
_YOUNG = 1.0  # seconds in which a writer may not have locked its file yet, where folders cannot be locked
_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "efficientnet-pytorch", "plotly")


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on failure it is removed.

    A reader therefore sees either the whole new file or the old one, even after a kill or a full disk. Raises
    OSError with one sentence that names the path where the disk is full or cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(path.parent) as alone:
            _sweep(path, 0.0 if alone else _YOUNG)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
            with contextlib.suppress(OSError):  # not every network file system has locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise _explained(error, path) from error
    part = Path(name)
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        # mkstemp makes private files; results are as readable as any other file of the user
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(path)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def forget(path: str | Path) -> None:
    """Remove a file that is no longer needed, if it is there, with what killed writes of it left behind."""
    path = Path(path)
    path.unlink(missing_ok=True)
    with _one_at_a_time(path.parent):
        _sweep(path, 0.0)


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock while a write begins: no other begins, so a file there is locked or abandoned.

    False where the lock cannot be had (a file system without them, or a writer that was stopped as it began).
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a folder that may be written to but not listed
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open folder, waiting a moment for who holds it."""
    until = time.monotonic() + _YOUNG
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.001)
        except OSError:
            return False


def _sweep(path: Path, young: float) -> None:
    """Remove what killed writes of the same file left behind: a writer holds a lock until it ends."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with contextlib.suppress(FileNotFoundError):
            age = time.time() - part.stat().st_mtime
            if age >= young and (age > _ABANDONED or not _locked(part)):
                part.unlink()


def _locked(part: Path) -> bool:
    """Whether a process that still runs is writing ``part``, or may be."""
    try:
        with part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        raise
    except OSError:
        return True
    return False


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = (
            f"no space left on the disk of {path.parent}: nothing was written to {path.name}; "
            "free some and run again"
        )
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        text = (
            f"{path.parent} cannot be written: expected a folder you may write to; "
            "choose another with TFF_BUILD"
        )
    else:
        return error
    return OSError(error.errno, text)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, all or nothing; what is not text (see `failures.utf8`) is escaped."""
    with atomic_write(path) as part:
        part.write_text(failures.utf8(text), encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, completely or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; ValueError names the file where its content is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); delete it and run again to have it made anew"
        ) from error


def fingerprint(value: Any, length: int = 12) -> str:
    """A short hash of anything that JSON can represent; equal for equal content, whatever the key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Store:
    """The folders below the build root: pictures, detectors, results.

    ``root`` is the argument, else ``$TFF_BUILD``, else ``build`` beside the project file above the
    working directory, else ``build`` in the working directory.
    """

    root: Path

    def __init__(self, root: str | Path | None = None) -> None:
        chosen = root or os.environ.get("TFF_BUILD") or _default_root()
        object.__setattr__(self, "root", Path(chosen).resolve())

    def data(self, dataset: str, part: str, generator: str) -> Path:
        """Folder of the pictures of one generator: ``data/<dataset>/<part>/<generator>``."""
        return self.root / "data" / dataset / part / generator

    def detector(self, name: str, seed: int) -> Path:
        """Weights of one trained detector; its description is beside it as ``.json``."""
        return self.root / "detectors" / f"{name}.s{seed}.safetensors"

    def patches(self, network: str, seed: int) -> Path:
        """Weights of one patch classifier of this build; its description is beside it as ``.json``."""
        return self.root / "patches" / f"{network}.s{seed}.safetensors"

    def attributor(self, network: str, seed: int) -> Path:
        """Weights of one network that names sources; its description is beside it as ``.json``."""
        return self.root / "attribution" / f"{network}.s{seed}.safetensors"

    def localized(self, part: str, generator: str) -> Path:
        """Folder of spliced pictures and their masks: ``localized/<part>/<generator>``."""
        return self.root / "localized" / part / generator

    def omega(self, detector: str, seed: int, label: str = "fake") -> Path:
        """FF-RS omega in the published format, one file per detector, training seed and label."""
        return self.root / "results" / "omega" / f"{detector}.s{seed}-{label}.csv"

    def scores(self, detector: str, generator: str) -> Path:
        """Logit of every picture under every condition."""
        return self.root / "results" / "scores" / detector / f"{generator}.csv.gz"

    def part(self, table: str, detector: str, generator: str) -> Path:
        """One generator's rows of a result table."""
        return self.root / "results" / "parts" / table / f"{detector}.{generator}.csv"

    def table(self, name: str) -> Path:
        """A whole result table."""
        return self.root / "results" / "tables" / f"{name}.csv"


def _default_root() -> Path:
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "tff_core").is_dir():
            return folder / "build"
    return here / "build"


def provenance(**extra: Any) -> dict[str, Any]:
    """What determined a result: commit, versions, machine, and what ``extra`` adds (seed, data hash, ...)."""
    import torch

    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name(0)
        if torch.cuda.is_available()
        else f"CPU ({platform.machine()})",
        **extra,
    }


def _commit() -> str:
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown (not a git checkout)"
    return described.stdout.strip()
