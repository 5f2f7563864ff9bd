"""Every chapter runs for a detector and pictures from elsewhere, and says so.

A small network by import path, with weights that nobody trained, on folders as ForenSynths has them: pictures
of several sizes, with class folders and without, a stray file, no segmentations, no ImageNet. The cells are
run in this process, one notebook after the other: starting a kernel for each would take most of the time.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from tff_core import detectors
from tff_core.claims import reproduction, verdicts
from tff_core.detectors import adoption
from tff_core.features import ffrs, sensitivity
from tff_core.pictures import data
from tff_core.store.results import Store

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import execute  # noqa: E402
import foreign_nets  # noqa: E402

import pairs  # noqa: E402

# one worker makes the store for all
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("elsewhere")]
SIZES = ((48, 40), (40, 64), (40, 40))
N, MANY = 12, 60  # pictures per label
FOLDERS = {
    ("val", "progan"): (("car", "cat"), N),
    ("test", "progan"): (("car", "cat"), N),
    ("test", "cyclegan"): (("",), MANY),
}
TOGETHER = 50  # pictures that a chapter may hold at a time: to show them, or to alter a few
K = 12
GENERATORS = ["progan", "cyclegan"]


def draw(store: Store) -> None:
    rng = np.random.default_rng(0)
    for (part, generator), (classes, count) in FOLDERS.items():
        for label, name in enumerate(data.LABELS):
            for i in range(count):
                folder = store.data("forensynths", part, generator) / classes[i % len(classes)] / name
                folder.mkdir(parents=True, exist_ok=True)
                width, height = SIZES[i % len(SIZES)]
                # coarse noise, and over that of the fakes a fine one in their colours
                coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
                pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=int)
                pixels = pixels + label * rng.integers(-40, 40, pixels.shape)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                    folder / f"{i:03d}.{'jpg' if i % 4 else 'png'}"
                )
    (store.data("forensynths", "test", "cyclegan") / "Thumbs.db").write_text("not a picture")


def take_in(store: Store, name: str, seed: int, **more: Any) -> None:
    torch.manual_seed(seed)
    path = store.root / f"{name}.pth"
    torch.save({"model": foreign_nets.narrow().state_dict(), "total_steps": 9}, path)
    entry = {"weights": str(path), "arch": "foreign_nets:narrow", "k": K, **more}
    adoption.adopt(name, entry, store, dataset="forensynths", device="cpu")
    sensitivity.rank(name, 0, store, confidence=0.5, calibrated=True, device="cpu", progress=False)
    omega = ffrs.Omega.from_csv(store.omega(name, 0))
    thresholds = {0: detectors.load(name, 0, store).threshold}
    for generator in GENERATORS:
        images = data.scan(store.data("forensynths", "test", generator))
        found = sensitivity.scores(
            name, [0], images, {0: omega}, n_random=5, n_matched=2, store=store, device="cpu", progress=False
        )
        save(store.scores(name, generator), found)
        for table, rows in {
            "sensitivity": sensitivity.table(found, thresholds, 50),
            "contrast": sensitivity.contrast(found, 50),
            "transfer": sensitivity.transfer(found, thresholds, 50),
        }.items():
            save(store.part(table, name, generator), rows)


def save(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def gather(store: Store) -> None:
    """The parts of every table, as the workflow puts them together."""
    for folder in (store.root / "results" / "parts").iterdir():
        if parts := [pd.read_csv(path) for path in sorted(folder.glob("*.csv"))]:
            save(store.table(folder.name), pd.concat(parts))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = Store(tmp_path_factory.mktemp("elsewhere"))
    draw(found)
    take_in(found, "theirs", 0, published="resnet50")
    take_in(found, "theirs-cr", 1, published="cr-resnet50")
    take_in(found, "square", 2, preprocessing={"resize": 48, "crop": 40, "mean": [0.5] * 3, "std": [0.5] * 3})
    gather(found)
    return found


def run(name: str, store: Store, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> str:
    """All that a notebook displays before its exercises, as text, figures by their caption.

    Raises what its cells raise.
    """
    path = next((ROOT / "notebooks").glob(f"{name}*.py"))
    notebook = pairs.read(path)
    notebook.cells, _ = execute.exercises.split(notebook.cells)
    values = {
        "detector": "theirs", "generators": GENERATORS, "generator": "progan", "seeds": [0], "n": None,
        "device": "cpu", "build": str(store.root), "dataset": "forensynths", "classifier": "", "robust": "",
        "robust_seeds": [0], "detectors_shown": ["theirs"], **parameters,
    }  # fmt: skip
    values = {key: value for key, value in values.items() if key in pairs.declared(notebook)}
    said: list[str] = []
    monkeypatch.setenv("TFF_STATIC", "1")

    def keep(shown: Any) -> None:
        if isinstance(text := getattr(shown, "data", None), str):  # a figure's data is none
            said.append(text)

    monkeypatch.setattr("IPython.display.display", keep)
    # ImageNet's weights may be on the machine of whoever runs this
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(store.root))
    load = data.load

    def few(images: data.ImageSet, *args: Any, **options: Any) -> torch.Tensor:
        assert len(images) <= TOGETHER, f"{name} loads {len(images)} pictures together"
        return load(images, *args, **options)

    monkeypatch.setattr(data, "load", few)
    names: dict[str, Any] = {}
    for cell in execute.relevant(notebook.cells, {**execute.defaults(notebook), **values}):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{path.name}: {cell.source[:40]!r}", "exec"), names)
            names.update(values if "parameters" in cell.metadata.get("tags", []) else {})
        else:
            said.append(cell.source)
    return "\n\n".join(said)


# chapters about networks that are trained on the miniature alone, and those of the exam that show what steps
# have measured: the paper's grid runs these for pictures from elsewhere
NOT_HERE = {"patches", "attributed", "known", "depend", "faithful", "degraded"}
NEEDS = yaml.safe_load((ROOT / "workflow" / "config.yaml").read_text(encoding="utf-8"))["needs"]
CHAPTERS = [
    path.stem
    for path in sorted((ROOT / "notebooks").glob("*.py"))
    if not NOT_HERE & set(NEEDS.get(path.stem, []))
]
OWN: dict[str, dict[str, Any]] = {
    "08_color_robust": {"robust": "theirs-cr"},
    "09_beyond": {"n": 12},  # it drops many sets of maps; that all pictures are taken, others test
    "what_carries_over": {
        "compared": {"rgb": "theirs", "luma": "theirs-cr", "chroma": "theirs"},
        "shifted": "forensynths",
        "n": 8,
    },
}


@pytest.mark.parametrize("name", CHAPTERS)
def test_runs_for_a_detector_and_pictures_from_elsewhere(
    name: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run(name, store, monkeypatch, **OWN.get(name, {}))
    assert "nan" not in re.findall(r"\w+", text) and "['" not in text
    assert not re.search(r"seeds \d|\d (detector )?seeds", text)  # there is one
    expected = {
        "01_universal_detectors": [
            "trained elsewhere",
            "theirs.pth",
            "The threshold is calibrated on 12 + 12",
        ],
        "04_pixel_attribution": ["There is no classifier here", "not testable here"],
        "data_card": ["| CycleGAN, test | 60 | 60 | none | 40x40 to 48x64 |", "JPEG"],
        "00_overview": ["`forensynths`", "Not asked in this build"],
        "what_carries_over": ["The claim is **open** here", "One camera against the other"],
    }
    for words in expected.get(name, []):
        assert words in text
    if name == "data_card":
        assert "miniature" not in text


@pytest.mark.parametrize("name", [name for name in CHAPTERS if re.match(r"0[1-79]|atlas|data", name)])
def test_runs_with_another_preprocessing_and_one_generator(
    name: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(name, store, monkeypatch, detector="square", generators=["progan"], n=8)


def test_without_cards_the_atlas_is_the_index_of_all_maps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run("atlas", store, monkeypatch, cards=False)
    assert "all 720 feature maps" in text and "`make all` makes one" in text
    assert 'class="tff-index"' in text and 'class="tff-cards"' not in text and "What a card says" not in text


def test_the_page_of_verdicts_puts_measured_beside_published(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("08", store, monkeypatch, robust="theirs-cr")
    gather(store)
    assert reproduction.twins(store, ["theirs"]) == ["theirs-cr"]
    text = run("10", store, monkeypatch, detectors_shown=["theirs", "square"])
    assert re.search(
        r"Of \d+ numbers that the paper has of these detectors and that were measured here", text
    )
    assert "| theirs-cr | AP in colour and gray |" in text
    assert f"| square | {verdicts.UNTESTED}" not in text
    text = run("10", store, monkeypatch, detector="square", detectors_shown=["square"])
    assert "None of the detectors here claims to be one of the paper's" in text


def test_without_a_twin_the_chapter_says_what_is_missing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="theirs has no colour-robust twin"):
        run("08", store, monkeypatch)
