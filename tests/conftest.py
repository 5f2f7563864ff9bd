"""The tiny book: everything once, made by the project's own command in a copy of the project.

It is built with `CONFIG=tiny`, killed twice on the way and continued, so that what the tests look at has been
through what it must survive. One worker builds it and runs every test that needs it (xdist group "book").
"""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
# To look for garbage among millions of objects that stay, at every 700 new ones, took a tenth of the time.
gc.set_threshold(20_000)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Choose the kernels of the book, but not in the process that only hands tests to its workers.

    Training asks for them; libraries read them once in a process, in which another test may compute first.
    """
    if hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None):
        from tff_core.detectors import training

        os.environ.update(training.KERNELS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `long` begin before other single ones; groups of tests that stay together come first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """What has been collected stays until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums split over threads round differently: equal weights need an equal number of them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module, each in a window of its own."""
    from chromium import chromium

    with chromium() as chosen:
        yield chosen


@dataclass(frozen=True)
class TinyBook:
    """A finished tiny book and what was seen while it was made."""

    root: Path  # the copy of the project
    second: subprocess.CompletedProcess[str]  # another build, started while the first was at work
    before_kill: dict[str, int]  # finished files when the build was killed first, with their time
    finish: subprocess.CompletedProcess[str]  # the build that went on to the end
    tables: dict[str, str]  # its result tables, as they were when it had ended

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def site(self) -> Path:
        return self.build / "html"

    def make(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the build again, with further options for Snakemake."""
        return _run(self.root, *more)


def command(root: Path, *more: str) -> list[str]:
    """What `make CONFIG=tiny` runs."""
    extra = ["--", *more] if more else []
    return [
        sys.executable,
        str(root / "workflow" / "scripts" / "build.py"),
        "--config",
        "tiny",
        "--jobs",
        "2",
        *extra,
    ]


def environment() -> dict[str, str]:
    """The environment of a build that belongs to no other: its steps choose their kernels themselves.

    Where Python is to write no bytecode, as in many containers, hundreds of steps would compile anew.
    """
    from tff_core.detectors import training

    dropped = {"TFF_BUILD", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_CURRENT_TEST", *training.KERNELS}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _run(root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, *more), cwd=root, env=environment(), capture_output=True, text=True, check=False
    )


def copy_project(target: Path) -> None:
    """Copy what git tracks, or would, and commit it there; what the workflow has read of it comes along."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    known = ROOT / "workflow" / "scripts" / "__pycache__"
    for path in known.glob("imports.*.json"):
        (target / known.relative_to(ROOT)).mkdir(exist_ok=True)
        shutil.copyfile(path, target / path.relative_to(ROOT))
    settings = {
        "user.name": "test", "user.email": "test@localhost", "commit.gpgsign": "false",
        "core.compression": "0",
    }  # fmt: skip
    identity = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
        subprocess.run(["git", *identity, *arguments], cwd=target, check=True, capture_output=True)


def _finished(build: Path) -> dict[str, int]:
    """Files of steps that are over: the pictures, and the detectors that are being ranked or have been."""
    ranked = {path.name.rsplit("-", 1)[0] for path in (build / "results" / "omega").glob("*.csv")}
    files = [
        *build.glob("data/*/*/*/manifest.json"),
        *(build / "detectors" / f"{n}.safetensors" for n in ranked),
    ]
    return {str(path): path.stat().st_mtime_ns for path in files}


def tables(build: Path) -> dict[str, str]:
    """The result tables of a build, by name."""
    return {path.name: path.read_text() for path in sorted((build / "results" / "tables").glob("*.csv"))}


@pytest.fixture(scope="session")
def tiny_book(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TinyBook:
    """The tiny book, finished; one worker makes it, others that ask for it wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with (shared / "tiny_book.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        facts = shared / "tiny_book.pickle"
        if not facts.is_file():
            facts.write_bytes(pickle.dumps(_make_tiny_book(tmp_path_factory.mktemp("project"))))
        made: TinyBook = pickle.loads(facts.read_bytes())
    return made


def _make_tiny_book(root: Path) -> TinyBook:
    copy_project(root)
    (root / "build" / "html").mkdir(
        parents=True
    )  # where a book stands, no preview is made; test_faults makes one
    first = start(root)
    try:
        _wait_for(first, root / "build" / "data", "*/*/*/manifest.json", 1)
        second = _run(root)
        _wait_for(first, root / "build" / "results" / "omega", "[!.]*.csv", 1)
    finally:
        _kill(first)
    before = _finished(root / "build")
    again = start(root)  # and once more among the pages
    try:
        _wait_for(again, root / "build" / "executed" / "notebooks", "0*.ipynb", 1)
    finally:
        _kill(again)
    finish = _run(root)
    assert finish.returncode == 0, finish.stdout[-3000:] + finish.stderr[-3000:]
    return TinyBook(root, second, before, finish, tables(root / "build"))


def start(root: Path, *options: str) -> subprocess.Popen[bytes]:
    """A build at work, in a group of processes that can be killed together."""
    # without a buffer: what was said and not read yet is seen by select
    return subprocess.Popen(
        [*command(root), *options], cwd=root, env=environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
    )  # fmt: skip


def _kill(build: subprocess.Popen[bytes]) -> None:
    if build.poll() is None:
        os.killpg(build.pid, signal.SIGKILL)
    build.wait()


def _wait_for(process: subprocess.Popen[bytes], folder: Path, pattern: str, count: int) -> None:
    limit = time.monotonic() + 600
    while len(list(folder.glob(pattern))) < count:
        if process.poll() is not None:
            assert process.stdout is not None
            said = process.stdout.read().decode()[-3000:]
            pytest.fail(f"the build ended before {folder}/{pattern} was there:\n{said}")
        if time.monotonic() > limit:
            pytest.fail(f"no {pattern} in {folder} after ten minutes")
        time.sleep(0.2)
