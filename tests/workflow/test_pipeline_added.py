"""A generator that the project does not contain: from a folder of pictures to a page and rows, and back.

In a file after that of the workflow's other tests, since it changes the tiny book for a while.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from chromium import chromium
from conftest import ROOT, TinyBook, environment, tables
from PIL import Image
from torch.nn import functional
from torchvision.transforms.functional import to_pil_image, to_tensor

pytestmark = [pytest.mark.slow, pytest.mark.book, pytest.mark.xdist_group("book")]

HOSTILE = "<img src=x onerror=alert(1)>"  # a careless page would run this name


def pictures_of_ones_own(folder: Path, n: int) -> None:
    """Reals, and as many fakes by a generator that the project does not have, n of each.

    It halves a scene twice, disturbs the colours, and paints it again by a transposed convolution whose steps
    overlap unevenly. One of its files has a hostile name.
    """
    fresh = folder.with_name("fresh")
    subprocess.run(
        [sys.executable, "-m", "tff_core.miniature", "--quiet", "sample", "--part", "test", "--generator",
         "progan", "--out", str(fresh), "--n", str(2 * n), "--seed", "99"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    scenes = [Image.open(path).convert("RGB") for path in sorted(fresh.glob("**/0_real/*.png"))]
    noise = torch.Generator().manual_seed(7)
    for label in ("0_real", "1_fake"):
        (folder / label).mkdir(parents=True)
    for k, (scene, model) in enumerate(zip(scenes[:n], scenes[n:], strict=True)):
        scene.save(folder / "0_real" / f"photo {k:03}.png")
        code = functional.avg_pool2d(to_tensor(model)[None], 4)
        code = code + 0.05 * torch.randn(code.shape, generator=noise)
        painted = functional.conv_transpose2d(code, torch.ones(3, 1, 6, 6) / 9, stride=4, padding=1, groups=3)
        made = to_pil_image(functional.interpolate(painted, model.size[::-1])[0].clamp(0, 1))
        made.save(folder / "1_fake" / f"{f'made {k:03}' if k else HOSTILE}.png")


@dataclass(frozen=True)
class Added:
    """What was there before a generator was added, and what the check of its pictures said."""

    executed: dict[str, int]  # notebooks, with their time
    tables: dict[str, str]
    networks: dict[str, int]  # that name sources, with their time
    checked: dict[str, Any]


@pytest.fixture(scope="module")
def added(tiny_book: TinyBook, tmp_path_factory: pytest.TempPathFactory) -> Added:
    """The tiny book with one more generator, by two commands and `make`."""
    pictures = tmp_path_factory.mktemp("my & pictures") / "own gan"
    pictures_of_ones_own(pictures, 12)
    before = executed(tiny_book), tables(tiny_book.build), networks(tiny_book)
    checked = tff(tiny_book, "check", str(pictures), "--json")
    tff(tiny_book, "add", "mine", str(pictures), "--title", "Mine & <i>yours</i>")
    done = tiny_book.make()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Added(*before, json.loads(checked))


def configured(book: TinyBook) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((book.build / "config.json").read_text(encoding="utf-8"))
    return found


def executed(book: TinyBook) -> dict[str, int]:
    root = book.build / "executed"
    found = sorted(root.rglob("*.ipynb"))
    return {path.relative_to(root).with_suffix("").as_posix(): path.stat().st_mtime_ns for path in found}


def networks(book: TinyBook) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (book.build / "attribution").iterdir()}


def tff(book: TinyBook, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tff_core.cli", *arguments],
        cwd=book.root, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_checked(added: Added) -> None:
    assert [row["real"] for row in added.checked["folders"]] == [12]
    assert not [one for one in added.checked["findings"] if one["level"] == "error"]


def test_it_has_a_page_for_every_detector_that_shows_what_the_chapters_found(
    tiny_book: TinyBook, added: Added
) -> None:
    for detector in configured(tiny_book)["detectors"]:
        page, other = (
            (tiny_book.site / "generators" / f"{detector}.{name}.html").read_text(encoding="utf-8")
            for name in ("mine", "cyclegan")
        )
        assert "Mine &amp; " in page
        assert "Mine &amp; " in other  # in the contents beside it
        assert "<i>yours</i>" not in page
        # of these pictures nobody knows where the objects are, so one figure is missing
        assert page.count("data-plotly=") >= other.count("data-plotly=") - 1 > 7


def test_it_has_its_rows_in_every_table_that_speaks_of_single_generators(
    tiny_book: TinyBook, added: Added
) -> None:
    config, now = configured(tiny_book), tables(tiny_book.build)
    own = {table for name in config["by_generator"] for table in config["tables_of"][name]}
    assert len(own) == 11
    for table in ("sensitivity", "contrast", "transfer", *own):
        rows = pd.read_csv(tiny_book.build / "results" / "tables" / f"{table}.csv")
        assert set(rows.loc[rows["generator"] == "mine", "detector"]) == set(rows["detector"]), table
        # and nobody else's have changed
        assert set(added.tables[f"{table}.csv"].splitlines()) <= set(now[f"{table}.csv"].splitlines()), table


def test_every_claim_has_been_asked_of_it(tiny_book: TinyBook, added: Added) -> None:
    claims = pd.read_csv(tiny_book.build / "results" / "tables" / "verdicts.csv", keep_default_na=False)
    asked = {
        (row.claim, row.detector)
        for row in claims.itertuples()
        if "mine" in f"{row.generators_for} {row.generators_against} {row.generators_open}".split()
    }
    detectors = configured(tiny_book)["detectors"]
    for detector in detectors:
        # C4 has to know where the objects are; C5 needs several maps of one layer outside the top-k
        assert {(claim, detector) for claim in ("C1", "C2", "C3", "C7", "C8")} <= asked
    # C6 needs fakes that are called fake, which a detector that has learnt next to nothing may not have
    assert {("C6", detector) for detector in detectors} & asked


def test_nothing_that_computes_for_the_others_is_run_again(tiny_book: TinyBook, added: Added) -> None:
    now = executed(tiny_book)
    again = {name.split("/")[-1] for name, time in added.executed.items() if now[name] != time}
    assert again == {"00_overview", "01_universal_detectors", "03_sensitivity", "10_verdicts"}
    new = set(now) - set(added.executed)
    assert {name.split("/")[0] for name in new} == {"added", "generators"}
    assert all("mine" in name for name in new)


def test_it_has_a_row_as_a_source_and_no_other_network_is_trained(tiny_book: TinyBook, added: Added) -> None:
    now = networks(tiny_book)
    new = {name.split(".")[0] for name in set(now) - set(added.networks)}
    assert new == {"modules_dct+mine"}
    assert {name: now[name] for name in added.networks} == added.networks
    about, scores = (
        tiny_book.build / "results" / "parts" / "source_added" / f"modules_dct.mine.{kind}"
        for kind in ("json", "csv")
    )
    counts = json.loads(about.read_text(encoding="utf-8"))["pictures"]
    assert {part: n["fake"] for part, n in counts.items()} == {"train": 6, "val": 1, "test": 5}
    assert list(dict.fromkeys(pd.read_csv(scores)["name"])) == ["detection", "progan", "cyclegan", "mine"]
    for detector in configured(tiny_book)["detectors"]:
        mine, other = (
            (tiny_book.site / "generators" / f"{detector}.{name}.html").read_text(encoding="utf-8")
            for name in ("mine", "cyclegan")
        )
        assert "Can it be named?" in mine and "6 reals and 6 fakes to learn from" in mine
        assert "Can it be named?" not in other
    alone = {name for name in added.tables if name.startswith("source_")}
    assert alone and all(tables(tiny_book.build)[name] == added.tables[name] for name in alone)


def test_a_hostile_name_does_nothing(tiny_book: TinyBook, added: Added) -> None:
    scores = pd.read_csv(tiny_book.build / "results" / "scores" / "resnet18-miniature" / "mine.csv.gz")
    assert scores["image"].str.contains(HOSTILE, regex=False).any()
    pages = list(tiny_book.site.rglob("*.html"))
    assert [path.name for path in pages if HOSTILE in path.read_text(encoding="utf-8")] == []
    said: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(180_000)
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((tiny_book.site / "generators" / "resnet18-miniature.mine.html").as_uri())
        page.wait_for_function("document.documentElement.dataset.figures === 'done'")
        assert page.locator("img[src=x]").count() == 0
    assert said == []


def test_it_can_be_taken_back(tiny_book: TinyBook, added: Added) -> None:
    (tiny_book.root / "workflow" / "config.local.yaml").unlink()
    done = tiny_book.make()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert tables(tiny_book.build) == added.tables
    assert list(tiny_book.site.rglob("*mine*")) == []
    left = [path.name for path in tiny_book.site.rglob("*.html") if "Mine &amp;" in path.read_text("utf-8")]
    assert left == []
    now = executed(tiny_book)
    kept = {name for name, time in added.executed.items() if now[name] == time}
    assert {"notebooks/08_color_robust", "generators/efb0-miniature.progan"} <= kept
