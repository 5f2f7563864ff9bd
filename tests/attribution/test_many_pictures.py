"""Many pictures through the command: a kill costs what was not saved, and memory does not grow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from who import network

from tff_core.attribution import answers, weights
from tff_core.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
DIFFERENT = 8
# saves after each batch, and is slow enough to be killed between two of them
_CHILD = """
import json, resource, sys, time
from tff_core.attribution import answers
from tff_core.cli import main
from tff_core.store.checkpoint import Checkpoint
Checkpoint.__init__.__defaults__ = (0.0,)
judged, pause = answers.probabilities, float(sys.argv[1])
answers.probabilities = lambda *given: time.sleep(pause) or judged(*given)
for arguments in json.loads(sys.argv[2]):
    if code := main(arguments):
        sys.exit(code)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def pictures(folder: Path, n: int, side: int = 64) -> Path:
    """A folder of ``n`` files, links to a few pictures."""
    rng = np.random.default_rng(side)
    folder.mkdir(parents=True)
    for i in range(n):
        path = folder / f"{i:05d}.png"
        if i < DIFFERENT:
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((side, side)).save(path)
        else:
            os.link(folder / f"{i % DIFFERENT:05d}.png", path)
    return folder


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    weights.save(network("pixel", 64, ["a", "b"]).eval(), path)
    return path


def child(pause: float, *commands: Sequence[str]) -> subprocess.Popen[str]:
    """Runs one command after the other, and prints after each the most memory so far, in MB."""
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(pause), json.dumps(commands)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def test_a_killed_run_goes_on_with_what_it_had_saved(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 400
    folder = pictures(tmp_path / "pictures", n)

    def arguments(name: str) -> list[str]:
        return ["attribute", str(folder), "--weights", str(net), "--device", "cpu", "--quiet",
                "--out", str(tmp_path / name)]  # fmt: skip

    killed = child(0.1, arguments("rows.csv"))
    part = tmp_path / "rows.csv.part.npz"
    limit = time.monotonic() + 300
    while not part.exists():
        assert killed.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "rows.csv").exists()
    with np.load(part) as saved:
        done = int(np.isfinite(saved["values"][:, 0]).sum())
    assert 0 < done < n

    judged: list[int] = []
    probabilities = answers.probabilities

    def counted(*given: object) -> torch.Tensor:
        found = probabilities(*given)  # type: ignore[arg-type]
        judged.append(len(found))
        return found

    monkeypatch.setattr(answers, "probabilities", counted)
    assert main(arguments("rows.csv")) == 0
    assert sum(judged) == n - done  # nothing twice, nothing left out
    assert main(arguments("whole.csv")) == 0
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "rows.csv", "whole.csv"}


def test_memory_does_not_grow_with_the_number_of_pictures(net: Path, tmp_path: Path) -> None:
    """Of large pictures: 160 more of them would be 126 MB if they were kept."""
    commands = []
    for n in (32, 192):
        folder = pictures(tmp_path / str(n), n, side=512)
        out = str(tmp_path / f"{n}.csv")
        commands.append(["attribute", str(folder), "--weights", str(net), "--device", "cpu", "--quiet",
                         "--fit", "crop", "--out", out])  # fmt: skip
    run = child(0, *commands)
    told, _ = run.communicate(timeout=600)
    assert run.returncode == 0
    few, many = map(int, told.split()[-2:])
    assert many - few < 80, told
