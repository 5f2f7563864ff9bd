"""A build that is killed again and again, at moments nobody chose, ends with the tables of any other."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import TinyBook, command, copy_project, environment, tables

from tff_core import detectors
from tff_core.pictures import data

KILLS = 20
DETECTOR = "resnet50-miniature"  # one of the two of the other book, to be done sooner
# its own group: it builds a book beside the one of the other tests
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill")]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A build folder that was finished after many kills, and their number."""
    root = tmp_path_factory.mktemp("killed")
    copy_project(root)
    tiny = root / "workflow" / "config.tiny.yaml"
    both = f"detectors: [{DETECTOR}, efb0-miniature]"
    assert both in tiny.read_text()
    tiny.write_text(tiny.read_text().replace(both, f"detectors: [{DETECTOR}]"))
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
    mine, other = tables(killed[0]), tiny_book.tables
    assert set(mine) == set(other)
    for name in mine:
        own, rows = (
            pd.read_csv(io.StringIO(some[name]), dtype=str, keep_default_na=False) for some in (mine, other)
        )
        rows = rows[rows["detector"].isin([DETECTOR, f"{DETECTOR}-cr"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, rows, obj=name)


def test_every_file_is_whole(killed: tuple[Path, int]) -> None:
    build, _ = killed
    for path in [*build.glob("detectors/*.json"), *build.glob("executed/**/*.ipynb")]:
        json.loads(path.read_text(encoding="utf-8"))
    for path in build.glob("data/*/*/**/*.png"):
        data.read(path)
    for path in build.glob("detectors/*.safetensors"):
        assert detectors.read_weights(path)
