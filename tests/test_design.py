"""The design study: which generators a run trains on and which it tests on, and how runs are shown."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from conftest import ROOT

from tff_core import detectors


@pytest.fixture
def design(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import design as module

    return module


def test_the_last_seed_of_progan_and_of_every_family_is_unseen(design, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    names = ("progan.s1", "progan.s1-10", "progan.s2", "progan.s3", "progan.s3-10", "gaugan.s1", "gaugan.s2")
    for name in names:
        (tmp_path / f"{name}.safetensors").touch()
    seen, unseen = design.sorted_out(tmp_path)
    assert [path.stem for path in seen] == ["progan.s1-10", "progan.s1", "progan.s2"]
    assert {family: path.stem for family, path in unseen.items()} == {
        "progan": "progan.s3",
        "gaugan": "gaugan.s2",
    }
    seen, unseen = design.sorted_out(tmp_path, 1)
    assert [path.stem for path in seen] == ["progan.s2", "progan.s3-10", "progan.s3"]
    assert unseen["progan"].stem == "progan.s1" and unseen["gaugan"].stem == "gaugan.s2"
    with pytest.raises(ValueError, match="has no ProGAN of seed 7: it has"):
        design.sorted_out(tmp_path, 7)
    for path in tmp_path.glob("progan.s[23]*"):
        path.unlink()
    with pytest.raises(ValueError, match="has 1 seeds of ProGAN: expected two at least"):
        design.sorted_out(tmp_path)


@pytest.mark.slow
def test_a_run_is_trained_tested_and_shown(design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    weights = ROOT / "tff_core" / "miniature" / "weights" / "development"
    for name in ("progan.s201", "progan.s202", "biggan.s210"):
        (tmp_path / f"{name}.safetensors").write_bytes((weights / f"{name}.safetensors").read_bytes())
    monkeypatch.setattr(detectors, "REGISTRY", dict(detectors.REGISTRY))
    options = argparse.Namespace(
        build=tmp_path / "build", models=tmp_path, camera="2", size=32, n=32, n_val=8, n_test=8, epochs=1.0,
        crop=0.875, planes="chroma", highpass=3, contrast=0.125, arch="resnet18", name="tried", seeds=[0, 1],
        start="scenes", held_out=None,
    )  # fmt: skip
    row = json.loads(json.dumps(design.run(options)))
    assert row["models"] == 1 and set(row["ap"]) == {"progan", "biggan"} and 0 < row["validation"] <= 1
    for value, low, high in row["ap"].values():
        assert 0 <= low <= value <= high <= 1
    lines = design.table([row, row | {"ap": {"progan": [0.5, 0.4, 0.625]}}]).splitlines()
    assert (
        len(lines) == 4
        and "chroma" in lines[2]
        and "from the classifier" in lines[2]
        and lines[3].count("50.0 [40.0, 62.5]") == 1
    )
