"""A build that is killed again and again, at moments nobody chose, ends with the tables of any other."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import TinyBook, command, copy_project, environment, tables

from tff_core import data, detectors

KILLS = 20
# its own group: it builds a book beside the one of the other tests
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill")]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A build folder that was finished after many kills, and their number."""
    root = tmp_path_factory.mktemp("killed")
    copy_project(root)
    chance = random.Random(0)
    kills = 0
    limit = time.monotonic() + 1800
    while True:
        assert time.monotonic() < limit, "the killed build gets nowhere"
        running = subprocess.Popen(
            command(root), cwd=root, env=environment(), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            # from before the first step starts to long after it has ended
            said, _ = running.communicate(timeout=chance.uniform(2, 16) if kills < KILLS else 1200)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
            kills += 1
            continue
        assert running.returncode == 0, said[-3000:]
        return root / "build", kills


def test_a_build_survives_kills_at_any_moment(killed: tuple[Path, int]) -> None:
    build, kills = killed
    assert kills >= KILLS
    assert (build / "html" / ".complete").is_file()


def test_no_result_differs_from_that_of_another_build(killed: tuple[Path, int], tiny_book: TinyBook) -> None:
    assert tables(killed[0]) == tiny_book.tables


def test_every_file_is_whole(killed: tuple[Path, int]) -> None:
    build, _ = killed
    for path in [*build.glob("detectors/*.json"), *build.glob("executed/**/*.ipynb")]:
        json.loads(path.read_text(encoding="utf-8"))
    for path in build.glob("data/*/*/**/*.png"):
        data.read(path)
    for path in build.glob("detectors/*.safetensors"):
        assert detectors.read_weights(path)
