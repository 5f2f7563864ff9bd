"""A release: whole, described, and the same byte for byte whenever it is made from one finished book."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pytest
import yaml
from conftest import ROOT, TinyBook, command, environment
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from pypdf import PdfReader

SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
import print_book  # noqa: E402
import release  # noqa: E402
import sbom  # noqa: E402

WHEN = datetime(2026, 3, 4, 5, 6, 8, tzinfo=UTC)
EPOCH = {"SOURCE_DATE_EPOCH": str(int(WHEN.timestamp()))}


def page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><title>{title}</title></head><body>'
        f'<h1>{title}<a class="headerlink" href="#top">#</a></h1>{body}</body></html>'
    )


def finished(folder: Path) -> Path:
    """A build folder as a finished build leaves it, small."""
    content = {
        "html/index.html": '<meta http-equiv="refresh" content="0; url=notebooks/00_overview.html">',
        "html/notebooks/00_overview.html": page(
            "Overview &amp; more",
            '<p><a href="../book/assets.html#x">assets</a> <a href="../generators/a.b.html">one page</a> '
            '<a href="#end">end</a> <a href="https://example.org/">out</a></p><p id="end">The end.</p>',
        ),
        "html/notebooks/atlas.html": page("Atlas", "<p>unprinted</p>"),
        "html/book/assets.html": page("Assets", "<details><summary>S</summary>Folded away.</details>"),
        "html/generators/a.b.html": page("A generator", "<p>unprinted</p>"),
        "html/.complete": "",
        "book/_toc.yml": yaml.safe_dump({
            "root": "notebooks/00_overview",
            "chapters": [{"file": name} for name in ("notebooks/atlas", "generators/a.b", "book/assets")],
        }),
        "results/tables/transfer.csv": "detector,generator,seed,ap,n_real\nd,g,all,0.5,8\nd,g,0,0.25,8\n",
        "results/tables/.transfer.csv.x1.csv": "half writ",
        "results/omega/d.s0-fake.csv": "key,mean_relevance\nconv1.#1(T=2),0.5\n",
        "detectors/d.s0.safetensors": "weights",
        "data/miniature/val/progan/manifest.json": "{}",
        "config.json": "{}",
        "logs/book.log": "said",
    }  # fmt: skip
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def make(folder: Path, out: Path, **more: str) -> tuple[int, str]:
    """The exit status of a release, and what it said of its failure."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        for name, value in {**EPOCH, "TFF_BUILD": str(folder), **more}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["release.py", "--out", str(out)])
        status = release.main()
    return status, said.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def browser() -> bool:
    try:
        print_book.browser_path()
    except print_book.PrintError:
        return False
    return True


def printed() -> None:
    if not browser() and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine: install one to have the chapters printed")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished build and its release."""
    printed()
    folder = finished(tmp_path_factory.mktemp("build"))
    out = tmp_path_factory.mktemp("release") / "dist"
    status, said = make(folder, out)
    assert status == 0, said
    return folder, out


def named(out: Path, pattern: str) -> Path:
    (found,) = out.glob(pattern)
    return found


@pytest.mark.slow
def test_a_release_made_twice_is_equal_byte_for_byte(released: tuple[Path, Path], tmp_path: Path) -> None:
    folder, out = released
    again = shutil.copytree(folder, tmp_path / "elsewhere" / "build")
    for path in again.rglob("*"):
        os.utime(path, (1e9, 1e9))
    done = subprocess.run(
        [sys.executable, SCRIPTS / "release.py", "--out", tmp_path / "dist"],
        env={**os.environ, **EPOCH, "TFF_BUILD": str(again), "TZ": "Asia/Tokyo"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = contents(out), contents(tmp_path / "dist")
    assert list(first) and {name for name in first if first[name] != second.get(name)} == set()
    assert set(first) == set(second)


@pytest.mark.slow
def test_every_file_of_a_release_has_its_checksum(released: tuple[Path, Path]) -> None:
    _, out = released
    lines = (out / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(sums) == {path.name for path in out.iterdir()} - {"SHA256SUMS"}
    assert all(
        hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for name, digest in sums.items()
    )
    kinds = {re.sub(r"^tff-\d+\.\d+\.\d+", "", name) for name in sums}
    assert kinds == {
        "-site.zip",
        "-tables.zip",
        "-build.tar.gz",
        ".pdf",
        ".cdx.json",
        "CITATION.cff",
        ".zenodo.json",
    }


@pytest.mark.slow
def test_the_site_is_unpacked_as_it_was_built(released: tuple[Path, Path], tmp_path: Path) -> None:
    folder, out = released
    with zipfile.ZipFile(named(out, "*-site.zip")) as archive:
        archive.extractall(tmp_path)
        assert {one.date_time for one in archive.infolist()} == {WHEN.timetuple()[:6]}
    (top,) = tmp_path.iterdir()
    built = {p.relative_to(folder / "html"): p.read_bytes() for p in (folder / "html").rglob("*.html")}
    assert {p.relative_to(top): p.read_bytes() for p in top.rglob("*") if p.is_file()} == built


@pytest.mark.slow
def test_the_tables_are_described_for_programs(released: tuple[Path, Path]) -> None:
    _, out = released
    with zipfile.ZipFile(named(out, "*-tables.zip")) as archive:
        inside = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    package = json.loads(inside.pop("datapackage.json"))
    assert (
        {one["path"] for one in package["resources"]}
        == set(inside)
        == {"tables/transfer.csv", "omega/d.s0-fake.csv"}
    )
    for one in package["resources"]:
        content = inside[one["path"]]
        assert one["bytes"] == len(content)
        assert one["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        header = next(csv.reader(io.StringIO(content.decode())))
        assert [field["name"] for field in one["schema"]["fields"]] == header
    fields = {
        field["name"]: field["type"] for one in package["resources"] for field in one["schema"]["fields"]
    }
    # a seed may be "all", so it is text
    assert fields["ap"] == "number" and fields["n_real"] == "integer" and fields["seed"] == "string"
    assert package["created"].startswith("2026-03-04")


@pytest.mark.slow
def test_the_chapters_are_one_document_whose_links_stay_inside(released: tuple[Path, Path]) -> None:
    _, out = released
    reader = PdfReader(named(out, "*.pdf"))
    text = [sheet.extract_text() for sheet in reader.pages]
    assert "Overview & more" in text[0] and "Assets" in text[0]  # the contents
    assert not any("unprinted" in sheet for sheet in text)
    assert any("Folded away." in sheet for sheet in text)
    assert [item.title for item in reader.outline if not isinstance(item, list)] == [
        "Contents",
        "Overview & more",
        "Assets",
    ]
    links = [link.get_object() for sheet in reader.pages for link in sheet.get("/Annots") or ()]
    addresses = {str(link["/A"]["/URI"]) for link in links if "/A" in link and "/URI" in link["/A"]}
    assert addresses == {"https://example.org/"}
    targets = [link["/Dest"][0] for link in links if isinstance(link.get("/Dest"), list)]
    numbers = [reader.get_page_number(one.get_object()) for one in targets]
    assets = next(i for i, sheet in enumerate(text) if "Folded away." in sheet)
    assert numbers.count(assets) == 2  # from the contents and from the first chapter
    assert str(ROOT).encode() not in named(out, "*.pdf").read_bytes()
    assert reader.metadata is not None and reader.metadata.creation_date == WHEN


def test_what_was_computed_is_packed_without_what_nobody_needs(released: tuple[Path, Path]) -> None:
    _, out = released
    with tarfile.open(named(out, "*-build.tar.gz")) as archive:
        found = {one.name: one for one in archive.getmembers()}
    assert {
        "build/config.json",
        "build/detectors/d.s0.safetensors",
        "build/results/tables/transfer.csv",
    } < set(found)
    assert not [name for name in found if "/html/" in name or "/logs/" in name or "/." in name]
    assert {(one.mtime, one.uid, one.uname) for one in found.values()} == {(int(WHEN.timestamp()), 0, "")}


def test_the_bill_of_materials_is_valid_and_lists_the_lock() -> None:
    bill = sbom.bill(ROOT, WHEN)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert len(bill["components"]) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    assert sum(len(one["hashes"]) for one in bill["components"]) == lock.count("--hash=sha256:")
    scope = {one["name"]: one["scope"] for one in bill["components"]}
    assert scope["torch"] == scope["sympy"] == "required"  # torch brings sympy
    assert scope["zennit"] == scope["pytest"] == scope["pypdf"] == "optional"
    depends = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    (torch,) = [ref for ref in depends if ref.startswith("pkg:pypi/torch@")]
    assert any(ref.startswith("pkg:pypi/sympy@") for ref in depends[torch])
    assert {ref for refs in depends.values() for ref in refs} <= set(depends)


def test_the_bill_of_materials_changes_with_the_lock_and_with_nothing_else(tmp_path: Path) -> None:
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    assert sbom.bill(tmp_path, WHEN) == sbom.bill(ROOT, WHEN)
    lock = tmp_path / "requirements.lock"
    lock.write_text(lock.read_text().replace("torch==2.11.0", "torch==2.11.1"))
    assert sbom.bill(tmp_path, WHEN)["serialNumber"] != sbom.bill(ROOT, WHEN)["serialNumber"]
    lock.write_text("torch==2.11.0\n    # via x\n")
    with pytest.raises(ValueError, match="pins torch without a hash"):
        sbom.bill(tmp_path, WHEN)


def test_what_zenodo_is_told_is_what_the_citation_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    told = release.zenodo(citation, WHEN)
    assert (told["title"], told["version"], told["license"]) == (
        citation["title"], str(citation["version"]), citation["license"],
    )  # fmt: skip
    assert told["publication_date"] == "2026-03-04"
    assert "Chandrasegaran" in told["description"]


def test_the_versions_that_the_project_tells_are_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    bill = sbom.bill(ROOT, WHEN)
    assert citation["version"] == release.tff_core.__version__ == bill["metadata"]["component"]["version"]


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda folder: (folder / "html/.complete").unlink(), "is not finished; run `make` first"),
        (lambda folder: shutil.rmtree(folder / "results/tables"), "has no result table; run `make` first"),
        (
            lambda folder: (folder / "html/book/assets.html").unlink(),
            "assets.html does not exist; run `make`",
        ),
        (lambda folder: (folder / "html/book/assets.html").write_text("<p>"), "has no heading; run `make`"),
    ],
)
def test_an_unfinished_book_is_not_released(tmp_path: Path, break_it: Any, told: str) -> None:
    if told.startswith("has no heading"):
        printed()
    folder = finished(tmp_path / "build")
    break_it(folder)
    status, said = make(folder, tmp_path / "dist")
    assert status == 1 and told in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_a_machine_without_a_browser_is_told_so(tmp_path: Path) -> None:
    folder = finished(tmp_path / "build")
    status, said = make(folder, tmp_path / "dist", PATH=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH=str(tmp_path))
    assert status == 1
    assert "this machine has none: install it" in said and said.count("\n") == 1
    assert not (tmp_path / "dist").exists()


def test_a_folder_that_is_no_release_is_left_alone(tmp_path: Path) -> None:
    folder = finished(tmp_path / "build")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    status, said = make(folder, tmp_path / "mine")
    assert status == 1 and "is there and no release" in said
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


def test_a_date_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH=yesterday: expected seconds"):
        release.released_at()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert release.released_at().year == 1980  # zip files begin there


@pytest.mark.slow
@pytest.mark.book
@pytest.mark.xdist_group("book")
def test_the_release_of_a_whole_book(tiny_book: TinyBook, tmp_path: Path) -> None:
    """All its tables and columns are described, all its chapters printed, with figures and formulas drawn."""
    printed()
    status, said = make(tiny_book.build, tmp_path / "dist")
    assert status == 0, said
    with zipfile.ZipFile(named(tmp_path / "dist", "*-tables.zip")) as archive:
        package = json.loads(
            archive.read(next(n for n in archive.namelist() if n.endswith("datapackage.json")))
        )
    lacking = [one["path"] for one in package["resources"] if "description" not in one]
    lacking += [
        f"{one['path']}: {field['name']}"
        for one in package["resources"]
        for field in one["schema"]["fields"]
        if "description" not in field
    ]
    assert lacking == [], "describe it in workflow/tables.yaml"
    reader = PdfReader(named(tmp_path / "dist", "*.pdf"))
    titles = [item.title for item in reader.outline if not isinstance(item, list)]
    assert titles == ["Contents", *(print_book.title_of(tiny_book.site / f"{name}.html")
                                    for name in release.chapters(tiny_book.build))]  # fmt: skip
    with contextlib.closing(pdfium.PdfDocument(named(tmp_path / "dist", "*.pdf"))) as document:
        text = "\n".join(sheet.get_textpage().get_text_bounded() for sheet in document)
        assert len(document) == len(reader.pages)
    assert "average precision" in text  # the axis of a figure
    assert "\\frac" not in text  # a formula as it was written

    # unpacked in another place, what was computed is as fresh there as it is here: the site alone is made
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tiny_book.root, elsewhere, ignore=shutil.ignore_patterns("build", "__pycache__"))
    with tarfile.open(named(tmp_path / "dist", "*-build.tar.gz")) as archive:
        archive.extractall(elsewhere, filter="data")
    assert waiting(elsewhere) - {"book", "preview"} == waiting(tiny_book.root) - {"book"}


def waiting(root: Path) -> set[str]:
    """The kinds of steps that the next build of a project would run."""
    done = subprocess.run(
        command(root, "--dry-run"), cwd=root, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = (root / "build" / "logs" / "snakemake.log").read_text()
    return set(re.findall(r"^(\w+) +\d+$", report, re.MULTILINE)) - {"total"}
