"""The paper's own grid, on files of the format that its authors published: found, read, run to the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import paper_assets
import pytest
import yaml
from conftest import ROOT, copy_project, environment

sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import build


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All files of the paper's configuration, empty."""
    monkeypatch.setenv("TFF_ASSETS", str(tmp_path))
    config = yaml.safe_load((ROOT / "workflow" / "config.paper.yaml").read_text(encoding="utf-8"))
    for entry in config["external"].values():
        path = Path(build.on_disk(entry["weights"]))
        path.parent.mkdir(parents=True)
        path.touch()
    for parts in config["sources"].values():
        for folder in parts.values():
            Path(build.on_disk(folder)).mkdir(parents=True)
    return tmp_path


def test_the_papers_files_are_found_below_one_folder(assets: Path) -> None:
    config = build.load_config("paper", everything=True)
    assert config["detectors"] == ["wang-resnet50", "paper-efb0"]
    named = [entry["weights"] for entry in config["external"].values()]
    named += [folder for parts in config["sources"].values() for folder in parts.values()]
    assert len(named) == 12 and all(Path(name).is_relative_to(assets) for name in named)


def test_a_file_that_is_not_there_is_named_with_what_to_do(assets: Path) -> None:
    gone = assets / "weights" / "cr-resnet50" / "blur_jpg_prob0.5.pth"
    gone.unlink()
    with pytest.raises(build.BuildError, match=f"weights of 'paper-cr-resnet50' are not there: {gone}.*null"):
        build.load_config("paper", everything=False)
    gone.touch()
    (assets / "weights" / "efb0" / "blur_jpg_prob0.5.pth").unlink()
    build.load_config("paper", everything=False)  # nothing of it is needed for ResNet-50
    with pytest.raises(build.BuildError, match="weights of 'paper-efb0' are not there"):
        build.load_config("paper", everything=True)
    (assets / "CNN_synth_testset" / "gaugan").rmdir()
    with pytest.raises(build.BuildError, match="test pictures of 'gaugan' are not there"):
        build.load_config("paper", everything=False)


def test_who_lacks_the_colour_robust_weights_runs_the_rest(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project" / "workflow"
    folder.mkdir(parents=True)
    for name in ("config.yaml", "config.paper.yaml"):
        (folder / name).write_bytes((ROOT / "workflow" / name).read_bytes())
    (assets / "weights" / "cr-resnet50" / "blur_jpg_prob0.5.pth").unlink()
    (folder / "config.local.yaml").write_text("external: {paper-cr-resnet50: null}\n")
    monkeypatch.setattr(build, "ROOT", folder.parent)
    assert "wang-resnet50" not in build.load_config("paper", everything=False)["robust"]


def test_an_added_detector_comes_last(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project" / "workflow"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_bytes((ROOT / "workflow" / "config.yaml").read_bytes())
    (folder / "own.pth").touch()
    local = folder / "config.local.yaml"
    local.write_text("external: {mine: {weights: workflow/own.pth, arch: resnet50}}\n")
    monkeypatch.setattr(build, "ROOT", folder.parent)
    config = build.load_config("", everything=False)
    assert config["detectors"] == ["resnet50-miniature", "mine"]
    assert config["external"]["mine"]["weights"] == str(folder / "own.pth")
    local.write_text("external: {mine: nothing}\n")
    with pytest.raises(build.BuildError, match="external detector 'mine' is 'nothing'; expected settings"):
        build.load_config("", everything=False)
    local.write_text("dataset: mine\n")
    with pytest.raises(build.BuildError, match=r"mine has no test pictures of 'progan'.*sources: \{progan:"):
        build.load_config("", everything=False)


@pytest.mark.slow
@pytest.mark.long
def test_the_papers_grid_end_to_end(tmp_path: Path) -> None:
    """`make CONFIG=paper` with assets in the published format: pages, tables, measured and published."""
    root = tmp_path / "project"
    root.mkdir()
    copy_project(root)
    # of the test pictures the one that is learnt from, which has class folders, and one without
    some = ["progan", "gaugan"]
    assets = paper_assets.make(tmp_path / "assets")
    fewer = {"generators": some, "draws_random": 2, "draws_matched": 2, "bootstrap": 50}
    # these ask nothing of the pictures that others do not, and read no published number
    others = ["09_beyond", "17_does_it_depend", "19_faithful", "appendix_lrp_defects", "false_explanations"]
    others += ["lrp_from_nothing", "atlas"]
    fewer |= {"left_to_all": others, "atlas_cards": False}
    # what is left of the exam of explanations, at the size of the tiny book, in which all of it is looked at
    tiny = yaml.safe_load((root / "workflow" / "config.tiny.yaml").read_text(encoding="utf-8"))
    fewer["robustness"] = tiny["robustness"]
    (root / "build" / "html").mkdir(parents=True)  # where a book stands, no preview is made
    (root / "workflow" / "config.local.yaml").write_text(yaml.safe_dump(fewer))
    command = [
        sys.executable,
        str(root / "workflow" / "scripts" / "build.py"),
        "--config",
        "paper",
        "--jobs",
        "2",
    ]
    made = subprocess.run(
        command, cwd=root, env=environment() | {"TFF_ASSETS": str(assets)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    tables = root / "build" / "results" / "tables"
    sensitivity = pd.read_csv(tables / "sensitivity.csv").set_index("detector")
    assert set(sensitivity.index) == {"wang-resnet50", "paper-cr-resnet50"}
    assert set(sensitivity["generator"]) == set(some)
    assert set(sensitivity.loc["wang-resnet50"].query("condition == 'top-k'")["k"]) == {114}
    assert set(sensitivity["seed"]) == {0}
    # every picture of every class, whatever its size
    assert set(zip(sensitivity["n_real"], sensitivity["n_fake"], strict=True)) == {(8, 8)}
    found = pd.read_csv(tables / "color_robust.csv")
    assert set(found["generator"]) == set(some)
    page = (root / "build" / "html" / "notebooks" / "10_verdicts.html").read_text()
    assert "0.5 points" in page, "measured against published"
    assert not list((root / "build" / "data" / "forensynths").glob("train"))
