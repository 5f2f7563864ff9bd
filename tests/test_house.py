"""The rooms of tff_core: imports point down, and what a step does not import cannot make it stale."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import imports


def contract(root: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_imports_point_down_and_run_in_no_circle() -> None:
    done = contract(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("store/memory.py", "from tff_core.pictures import data", "store.memory -> tff_core.pictures.data"),
        ("detectors/judge.py", "from tff_core.features import ffrs", "judge -> tff_core.features.ffrs"),
        ("pictures/data.py", "from tff_core.pictures import audit", ".data -> .audit"),
    ],
    ids=["beside", "above", "in a circle"],
)
def test_the_contract_notices(tmp_path: Path, file: str, line: str, told: str) -> None:
    shutil.copytree(ROOT / "tff_core", tmp_path / "tff_core", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "tff_core" / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    done = contract(tmp_path)
    assert done.returncode == 1, done.stdout[-3000:]
    assert told in done.stdout


@pytest.mark.parametrize(
    "step",
    [
        "tff_core/detectors/training.py",
        *(
            f"workflow/scripts/{name}.py"
            for name in (
                "rank",
                "scores",
                "robustness",
                "faithful",
                "known",
                "depend",
                "shuffled",
                "adopt",
                "train_sources",
            )
        ),
    ],
)
def test_words_figures_and_the_audit_make_no_network_run_again(step: str) -> None:
    found = {path.relative_to(ROOT).as_posix() for path in imports.closure([ROOT / step], ROOT)}
    rooms = ("figures/", "claims/", "book/", "cli/", "pictures/audit.py", "pictures/sheets.py")
    assert not [name for name in found if name.removeprefix("tff_core/").startswith(rooms)]
