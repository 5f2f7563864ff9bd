"""A build that is killed again and again, at moments nobody chose, ends with the tables of any other."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import copy_project, start, tables

from tff_core import detectors
from tff_core.pictures import data

# how many of its more than 20 steps a build may end before it is killed, some seconds later: from before the
# first step starts to the middle of the second; two more kills are in conftest.py
ENDED = (1, 0, 1)
DETECTOR = "resnet18-miniature"
# the chapters whose tables the page of verdicts reads; the others take long and write in no other way
KEPT = ("00", "01", "03", "08", "10", "generator_page")
PAGE = ("--page", "notebooks/10_verdicts")  # needs all of them; the whole of a book is killed in conftest.py
# its own group: it builds two books beside the one of the other tests
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill")]


def small_project(root: Path) -> Path:
    """A copy of the project whose book is the smallest that has every kind of step."""
    copy_project(root)
    config = yaml.safe_load((root / "workflow" / "config.yaml").read_text(encoding="utf-8"))
    for path in (root / "notebooks").glob("*.py"):
        if not path.name.startswith(KEPT):
            path.write_text(f"# %% [markdown]\n# # {path.stem}\n", encoding="utf-8")
            for kind in ("needs", "tables_of"):
                config[kind].pop(path.stem, None)
    config["by_generator"] = [name for name in config["by_generator"] if name.startswith(KEPT)]
    (root / "workflow" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    tiny = yaml.safe_load((root / "workflow" / "config.tiny.yaml").read_text(encoding="utf-8"))
    tiny |= {"detectors": [DETECTOR], "generators": ["progan"], "n_test": 8, "experiments": []}
    tiny["pictures"] = {"train": 16, "val": 16, "test": 8}
    tiny["training"] |= {"n": 16, "epochs": 2}
    (root / "workflow" / "config.tiny.yaml").write_text(yaml.safe_dump(tiny), encoding="utf-8")
    return root


def _kill(running: subprocess.Popen[bytes], finished: int, seconds: float) -> None:
    """Kill a build some seconds after a number of its steps, or when it has done one more.

    It says a line for each step that is done. A build so gets at most one step further than asked
    between two kills, and that on a machine of any speed.
    """
    assert running.stdout is not None
    for _ in range(finished):
        running.stdout.readline()
    select.select([running.stdout], [], [], seconds)
    assert running.poll() is None, "the build was over before it was killed"
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of a book whose tables were made in one go: the page that reads them all."""
    root = small_project(tmp_path_factory.mktemp("undisturbed"))
    running = start(root, *PAGE, "--", "--verbose")
    said, _ = running.communicate()
    assert running.returncode == 0, said.decode()[-3000:]
    return root / "build"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder that was finished after many kills."""
    root = small_project(tmp_path_factory.mktemp("killed"))
    chance = random.Random(0)
    for steps in ENDED:
        _kill(start(root, *PAGE), steps, chance.uniform(0, 6))
    running = start(root, *PAGE)
    said, _ = running.communicate()
    assert running.returncode == 0, said.decode()[-3000:]
    return root / "build"


def test_a_build_survives_kills_at_any_moment(killed: Path) -> None:
    assert (killed / "executed" / "notebooks" / "10_verdicts.ipynb").is_file()


def test_no_result_differs_from_that_of_a_build_in_one_go(killed: Path, undisturbed: Path) -> None:
    mine, other = tables(killed), tables(undisturbed)
    assert {"sensitivity.csv", "color_robust.csv", "verdicts.csv"} <= set(other)
    assert other.items() <= mine.items()


def test_waiting_steps_are_looked_through_when_another_has_ended_and_no_more(
    undisturbed: Path,
) -> None:
    report = (undisturbed / "logs" / "snakemake.log").read_text(encoding="utf-8")
    ended = report.count("Finished jobid: ")
    assert 1 < report.count("Ready jobs: ") <= ended + 1


def test_every_file_is_whole(killed: Path) -> None:
    for path in [*killed.glob("detectors/*.json"), *killed.glob("executed/**/*.ipynb")]:
        json.loads(path.read_text(encoding="utf-8"))
    for path in killed.glob("data/*/*/**/*.png"):
        data.read(path)
    for path in killed.glob("detectors/*.safetensors"):
        assert detectors.read_weights(path)
