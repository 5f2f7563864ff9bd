"""The class pack: small, without what students must not see, and every notebook runs from it alone."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
import safetensors
import torch
import yaml
from conftest import ROOT, TinyBook, environment
from exercise_runs import readable_exercises
from packaging.requirements import Requirement
from safetensors.torch import save_file
from torch import nn

from tff_core import detectors

sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import build
import pack
import release

WHEN = release.datetime.fromtimestamp(1772600768, release.UTC)
# of the notebooks that take longest: here their numbers need not mean anything
FEWER = {
    "04_pixel_attribution": {"n": 4, "generators": ["progan"]},
    "05_lrp_max": {"n": 4, "generators": ["progan"]},
    "09_beyond": {"n": 4, "generators": ["progan"]},
    "appendix_lrp_defects": {"n": 4, "detectors_shown": ["resnet18-miniature"]},
}
SECONDS = 60.0  # of one notebook, on one core; an exercise's are counted elsewhere
RUNNER = Path(__file__).with_name("pack_runner.py")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return build.load_config("tiny", everything=False)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    """A build folder in which every page has been executed and little else is."""
    folder = tmp_path_factory.mktemp("build")
    for page in pack.notebooks(config).values():
        path = folder / "executed" / f"{page.docname}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in (
        "results/tables/transfer.csv", "results/tables/.transfer.csv.x1.csv", "results/parts/unread/a.csv",
        "data/miniature/train/progan/facade/0_real/0.png", "data/miniature/val/progan/facade/0_real/0.png",
        "detectors/resnet18-miniature.s0.json", "detectors/efb0-miniature.s7.json", "html/index.html",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("something")
    return folder


# --- what is in it


def test_it_holds_what_the_notebooks_read_and_nothing_else(empty: Path, config: dict[str, Any]) -> None:
    assert [name for name, _ in pack.built(empty, config)] == [
        "data/miniature/val/progan/facade/0_real/0.png",
        "detectors/resnet18-miniature.s0.json",
        "results/tables/transfer.csv",
    ]


def test_rounded_weights_are_half_as_large_and_answer_nearly_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(2304, 1)
        )

    net, pictures = network().eval(), torch.randn(16, 3, 8, 8)
    net[1].running_mean.normal_()
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_file(net.state_dict(), whole, {"made by": "a test"})
    half.write_bytes(pack.halved(whole))
    again = detectors.load_weights(network().eval(), half)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    with torch.no_grad():
        before, after = net(pictures), again(pictures)
    assert 0 < (before - after).abs().max() < 2e-3 * before.std()
    assert torch.equal(again[1].running_mean, net[1].running_mean)
    with safetensors.safe_open(half, "pt") as stream:
        assert stream.metadata() == {"made by": "a test"}


def test_only_networks_that_no_chapter_is_about_are_rounded(
    empty: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "halved", lambda path: path.stem.encode())
    for name in ("resnet18-miniature.s0", "resnet18-miniature-cr.s0", "resnet18-scenes.s0"):
        (empty / "detectors" / f"{name}.safetensors").touch()
    found = {name: content for name, content in pack.built(empty, config) if "safetensors" in name}
    for path in (empty / "detectors").glob("*.safetensors"):
        path.unlink()
    assert [value for value in found.values() if isinstance(value, bytes)] == [
        b"resnet18-miniature-cr.s0", b"resnet18-scenes.s0",
    ]  # fmt: skip
    assert len(found) == 3


@pytest.mark.slow
def test_made_twice_it_is_equal_byte_for_byte(
    empty: Path, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict(list(pack.notebooks(config).items())[2:3])
    monkeypatch.setattr(pack, "notebooks", lambda _: found)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(WHEN.timestamp())))
    made = []
    for at in (1e9, 2e9):
        for path in empty.rglob("*"):
            os.utime(path, (at, at))
        (tmp_path / str(at)).mkdir()
        made.append([path.read_bytes() for path in pack.write(empty, tmp_path / str(at), config)])
    assert made[0] == made[1] and len(made[0]) == 2
    with zipfile.ZipFile(tmp_path / str(at) / "class-pack-instructor.zip") as archive:
        kinds = {PurePosixPath(name).parts[1] for name in archive.namelist()}
    assert {"instructor", "solutions"} <= kinds <= {"instructor", "solutions", "autograder"}


@pytest.mark.slow
def test_an_unfinished_build_and_a_large_one_are_refused(
    empty: Path, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pack.PackError, match=r"has not executed notebooks/\w+; run `make pack`"):
        pack.write(tmp_path, tmp_path, config)
    found = dict(list(pack.notebooks(config).items())[:1])
    monkeypatch.setattr(pack, "notebooks", lambda _: found)
    monkeypatch.setattr(pack, "LIMIT", 1000.0)
    with pytest.raises(pack.PackError, match="name fewer detectors, seeds or pictures"):
        pack.write(empty, tmp_path, config)
    assert not list(tmp_path.iterdir())


def test_the_grid_of_the_pack_has_every_chapter_and_one_small_detector() -> None:
    grid = build.load_config(pack.CONFIG, everything=False)
    assert set(pack.notebooks(grid)) == set(pack.launch.chapters(grid))  # none is left out
    assert grid["detectors"] == ["resnet18-miniature"] and grid["seeds"] == [0]
    assert grid["generators"] == build.load_config("", everything=False)["generators"]


def test_cells_of_other_pictures_are_not_handed_out(config: dict[str, Any]) -> None:
    """Whoever runs all cells would run those that belong to another value of a parameter, too."""
    page = pack.notebooks(config)["data_card"]
    tags = [tag for cell in pack.notebook("student", page).cells for tag in cell.metadata.get("tags", [])]
    assert "only-if:dataset=miniature" in tags and "only-if:dataset!=miniature" not in tags


# --- its environment


def closure(names: list[str]) -> set[str]:
    """Installed distributions that these need, themselves included."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        one = waiting.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name not in found:
            found.add(name)
            for line in metadata.distribution(one.name).requires or []:
                need = Requirement(line)
                if not need.marker or any(need.marker.evaluate({"extra": e}) for e in (*one.extras, "")):
                    waiting.append(need)
    return found


def test_the_class_environment_has_the_locked_versions_and_none_of_the_tools_of_the_book() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert all(re.search(rf"^{re.escape(pin)}\b", lock, re.MULTILINE) for pin in pack.pins()), pack.pins()
    assert not {"jupyter-book", "sphinx", "snakemake", "papermill", "jupytext", "pytest"} & closure(
        pack.pins()
    )
    conda = yaml.safe_load(pack.ENVIRONMENT.read_text(encoding="utf-8"))
    project = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert conda["channels"] == project["channels"] and conda["dependencies"][0] == project["dependencies"][0]
    assert "pytorch-cpu" in "".join(map(str, conda["dependencies"]))
    assert "://" not in pack.ENVIRONMENT.read_text(encoding="utf-8") + pack.README.read_text(encoding="utf-8")


# --- run from it, in an empty folder


@pytest.fixture(scope="module")
def students(tiny_book: TinyBook, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The students' zip of the tiny book."""
    target = tmp_path_factory.mktemp("pack") / "class-pack.zip"
    entries = pack.for_students(tiny_book.build, config, "tiny")
    release.write_zip(target, pack.below(pack.NAME, entries), WHEN)
    return target


tiny = [pytest.mark.slow, pytest.mark.book, pytest.mark.xdist_group("book")]


def marked(function: Any) -> Any:
    for mark in tiny:
        function = mark(function)
    return function


@marked
def test_it_unpacks_on_any_system_and_shows_students_no_solution(students: Path) -> None:
    assert students.stat().st_size < pack.LIMIT
    with zipfile.ZipFile(students) as archive:
        names = archive.namelist()
        handed = {Path(name).stem: json.loads(archive.read(name)) for name in names if "/notebooks/" in name}
        others = "\n".join(
            archive.read(name).decode() for name in names if name.endswith((".md", ".yml", ".txt"))
        )
    assert len(set(map(str.lower, names))) == len(names) and max(map(len, names)) < 150
    for name in names:
        assert not set(name) & set('<>:"|?*\\') and not PureWindowsPath(name).is_reserved()
        assert PurePosixPath(name).parts[0] == pack.NAME and ".." not in name
        assert "instructor" not in name and "autograder" not in name and "solutions" not in name
    assert not [name for name in names if re.search(r"/(executed|html|logs|train/.*png)", name)]
    assert set(handed) == {path.stem for path in (ROOT / "notebooks").glob("*.py")} - {"generator_page"}
    assert not re.search(r"[A-Za-z]:\\|/tmp/|/home/", others)
    for path, one in readable_exercises():
        if path.stem not in handed:
            continue
        text = "\n".join("".join(cell["source"]) for cell in handed[path.stem]["cells"])
        hidden = [one.answer, one.instructor, *([one.solved, one.hidden, *one.wrong] if one.coding else [])]
        assert one.title in text and not [words for words in hidden if words.strip() in text], one.title


@pytest.fixture(scope="module")
def ran(students: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What happened to each notebook, run from the unzipped pack."""
    folder = tmp_path_factory.mktemp("a folder of any näme")
    with zipfile.ZipFile(students) as archive:
        archive.extractall(folder)
    needed = closure(pack.pins())
    blocked = [
        module for module, owners in metadata.packages_distributions().items()
        if module != "tff_core" and not {re.sub(r"[-_.]+", "-", name).lower() for name in owners} & needed
    ]  # fmt: skip
    coding: dict[str, list[dict[str, Any]]] = {}
    for path, one in readable_exercises():
        if one.coding:
            coding.setdefault(path.stem, []).append(dataclasses.asdict(one))
    orders = folder / "orders.json"
    orders.write_text(json.dumps({"blocked": blocked, "fewer": FEWER, "coding": coding}))
    site = Path(metadata.distribution("torch").locate_file(""))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(RUNNER), str(folder / pack.NAME), str(site), str(orders)],
        cwd=folder, env={**environment(), "OMP_NUM_THREADS": "1", "TFF_STATIC": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"notebook"')]
    return {one.pop("notebook"): {**one, "folder": str(folder)} for one in found}


@marked
def test_every_notebook_runs_from_the_pack_alone(
    ran: dict[str, dict[str, Any]], config: dict[str, Any]
) -> None:
    assert not (failed := {name: one["error"] for name, one in ran.items() if "error" in one}), failed
    assert set(ran) == set(pack.notebooks(config))
    for name, one in ran.items():
        assert one["found"] and one["package"].startswith(one["folder"]), name
        assert one["cells"] > 3 and one["seconds"] < SECONDS, name


@marked
def test_it_trains_nothing_and_writes_no_weights(ran: dict[str, dict[str, Any]]) -> None:
    """What trains raises in the runner; what is written are tables, in the pack's own build folder."""
    written = {Path(path) for one in ran.values() for path in one["written"]}
    assert written, "the chapters write their tables"
    assert {path.suffix for path in written} <= {".csv"}, written
    assert all(path.is_relative_to(Path(one["folder"]) / pack.NAME / "build") for one in ran.values()
               for path in map(Path, one["written"]))  # fmt: skip


@marked
def test_exercises_that_need_their_chapter_are_solved_undone_and_solved_wrongly(
    ran: dict[str, dict[str, Any]],
) -> None:
    dependent = [path.stem for path, one in readable_exercises() if one.coding and one.in_chapter]
    assert {name: one["exercises"] for name, one in ran.items() if one["exercises"]} == {
        name: dependent.count(name) for name in dependent
    }
