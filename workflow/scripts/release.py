"""Everything that a reader or an archive needs from a finished book, in dist/.

The site and the result tables as zip files, the chapters as PDF, what `make` computed for whoever builds on
it, citation, deposit metadata, bill of materials, checksums. Built twice from one build folder it is equal
byte for byte: files have one date, that of the commit, and archives one order.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import build
import grid
import print_book
import sbom
import tff_core
from tff_core.store.results import atomic_write, write_json

ROOT = Path(__file__).resolve().parents[2]
_EARLIEST = 315532800  # 1980: the first date that a zip file can hold
_KEPT = (
    "config.json", "attribution", "data", "detectors", "executed", "localized", "patches", "planted",
    "results", ".snakemake/metadata",
)  # fmt: skip
_PARTS = re.compile(r"^\.[^/]*$|^\.ipynb_checkpoints$")  # unfinished files, editors' droppings


def released_at() -> datetime:
    """`SOURCE_DATE_EPOCH`, else the time of the commit, else the first date that archives know.

    Raises ValueError if the variable is not a number of seconds.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    if given and not given.isdecimal():
        raise ValueError(f"SOURCE_DATE_EPOCH={given}: expected seconds since 1970, such as {_EARLIEST}")
    seconds = given or git("log", "-1", "--format=%ct") or _EARLIEST
    return datetime.fromtimestamp(max(int(seconds), _EARLIEST), UTC)


def git(*arguments: str) -> str:
    """What git says about the project; empty if it is not a checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every finished file below a folder, by its name there, in one order on every machine."""
    found = [path for path in folder.rglob("*") if path.is_file() and not _PARTS.match(path.name)]
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found)


def write_zip(out: Path, entries: Iterable[tuple[str, bytes | Path]], when: datetime) -> None:
    """A zip file of ``entries``, names and contents, in their order, all of one date."""
    with (
        atomic_write(out) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for name, content in entries:
            info = zipfile.ZipInfo(name, when.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, content.read_bytes() if isinstance(content, Path) else content)


def write_tar(out: Path, folder: Path, names: Iterable[str], when: datetime) -> None:
    """A compressed tar file of what there is of ``names`` below ``folder``, all of one date.

    One date, so that what a step read does not look newer to the workflow than what it wrote.
    """

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime, info.mode = int(when.timestamp()), 0o644
        return info

    with (
        atomic_write(out) as part,
        part.open("wb") as raw,
        # weights hardly compress, however long one tries
        gzip.GzipFile("", "wb", 1, raw, mtime=int(when.timestamp())) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in names:
            top = folder / name
            found = [("", top)] if top.is_file() else files(top)
            for inside, path in found:
                archive.add(path, f"build/{name}/{inside}".rstrip("/"), recursive=False, filter=plain)


def tables(folder: Path) -> list[tuple[str, Path]]:
    """The result tables and rankings of a build folder, by their name in a release.

    Raises FileNotFoundError where there is no table.
    """
    results = folder / "results"
    found = [(f"{kind}/{name}", path) for kind in ("tables", "omega") for name, path in files(results / kind)]
    found = [(name, path) for name, path in found if name.endswith(".csv")]
    if not any(name.startswith("tables/") for name, _ in found):
        raise FileNotFoundError(f"{results / 'tables'} has no result table; run `make` first")
    return found


def data_package(entries: Iterable[tuple[str, Path]], when: datetime) -> dict[str, Any]:
    """A machine-readable description of tables (a Frictionless Data Package)."""
    words = yaml.safe_load((ROOT / "workflow" / "tables.yaml").read_text(encoding="utf-8"))
    return {
        "profile": "tabular-data-package",
        "name": "transferable-forensic-features",
        "title": "Transferable forensic features: result tables",
        "version": tff_core.__version__,
        "created": when.isoformat(),
        "licenses": [{"name": "MIT", "title": "MIT License"}],
        "resources": [_resource(name, path, words) for name, path in entries],
    }


def _resource(name: str, path: Path, words: dict[str, Any]) -> dict[str, Any]:
    table = pd.read_csv(path)
    folder, stem = Path(name).parent.name, Path(name).stem
    types = {"i": "integer", "f": "number", "b": "boolean"}
    described = words["tables"].get(folder if folder == "omega" else stem)
    return {
        "profile": "tabular-data-resource",
        "name": re.sub(r"[^a-z0-9._-]", "-", f"{folder}-{stem}".lower()),
        "path": name, "format": "csv", "mediatype": "text/csv", "encoding": "utf-8",
        "bytes": path.stat().st_size, "hash": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        **({"description": described} if described else {}),
        "schema": {
            "fields": [
                {
                    "name": column,
                    "type": types.get(table[column].dtype.kind, "string"),
                    **({"description": words["columns"][column]} if column in words["columns"] else {}),
                }
                for column in table.columns
            ],
            "missingValues": [""],
        },
    }  # fmt: skip


def zenodo(citation: dict[str, Any], when: datetime) -> dict[str, Any]:
    """The deposit metadata for the archive Zenodo, from CITATION.cff."""
    paper = citation["preferred-citation"]
    authors = ", ".join(f"{one['given-names']} {one['family-names']}" for one in paper["authors"])
    after = f"After {authors}: {paper['title']} ({paper['conference']['name']})."
    return {
        "title": citation["title"],
        "description": f"{citation['abstract'].strip()} {after}",
        "upload_type": "software",
        "access_right": "open",
        "license": citation["license"],
        "version": citation["version"],
        "publication_date": when.strftime("%Y-%m-%d"),
        "creators": [{"name": _name(author)} for author in citation["authors"]],
        "keywords": ["image forensics", "explainability", "counterfeit detection", "reproduction"],
    }


def _name(author: dict[str, str]) -> str:
    return author.get("name") or f"{author['family-names']}, {author['given-names']}"


def chapters(folder: Path) -> list[str]:
    """Pages with prose, in the order of the contents: not those of single generators, nor the atlas's cards.

    Raises FileNotFoundError where the site lacks one.
    """
    contents = yaml.safe_load((folder / "book" / "_toc.yml").read_text(encoding="utf-8"))
    found = [name for name in grid.entries(contents) if re.match("notebooks/|book/", name)]
    found = [name for name in found if name.split("/")[-1] != grid.ATLAS]
    for name in found:
        page = folder / "html" / f"{name}.html"
        if not page.is_file():
            raise FileNotFoundError(f"{page} does not exist; run `make` to build the site anew")
    return found


def write(folder: Path, out: Path) -> None:
    """Make the release of the finished book in the build folder ``folder`` in ``out``, which exists."""
    when = released_at()
    print_book.browser_path()  # before minutes of work
    prefix = f"tff-{tff_core.__version__}"
    found = tables(folder)
    pages = chapters(folder)
    write_zip(
        out / f"{prefix}-site.zip", ((f"{prefix}-site/{n}", p) for n, p in files(folder / "html")), when
    )
    description = json.dumps(data_package(found, when), indent=1).encode() + b"\n"
    inside: list[tuple[str, bytes | Path]] = [("datapackage.json", description), *found]
    write_zip(out / f"{prefix}-tables.zip", ((f"{prefix}-tables/{name}", one) for name, one in inside), when)
    write_tar(out / f"{prefix}-build.tar.gz", folder, _KEPT, when)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    shutil.copyfile(ROOT / "CITATION.cff", out / "CITATION.cff")
    write_json(out / ".zenodo.json", zenodo(citation, when))
    write_json(out / f"{prefix}.cdx.json", sbom.bill(ROOT, when))
    commit = git("describe", "--always", "--dirty", "--abbrev=10") or "unknown"
    lines = [
        f"Version {citation['version']}, commit {commit}, {when.strftime('%d %B %Y')}. "
        f"{', '.join(map(_name, citation['authors']))}. {citation['license']} licence.",
        "Every chapter ends with what made its numbers. Figures with a slider or a menu are shown in their "
        "first state; the site has all states, the atlas of feature maps and a page for every generator.",
    ]
    with atomic_write(out / f"{prefix}.pdf") as part:
        print_book.write(folder / "html", pages, part, citation["title"], lines, when)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(out.iterdir())
    ]
    (out / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder of the release (default: dist)"
    )
    options = parser.parse_args()
    folder = Path(os.environ.get("TFF_BUILD") or ROOT / "build").resolve()
    out = options.out.resolve()
    try:
        if not (folder / "html" / ".complete").is_file():
            raise FileNotFoundError(f"the book in {folder} is not finished; run `make` first")
        if out.exists() and not (out / "SHA256SUMS").is_file() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(
                f"{out} is there and no release; move it away, or choose another folder with --out"
            )
        handle = build.lock(folder)
        # made aside, so that there is the whole release or the old one
        out.parent.mkdir(parents=True, exist_ok=True)
        with handle, tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as aside:
            new = Path(aside) / "new"
            new.mkdir()
            write(folder, new)
            if out.exists():
                out.rename(Path(aside) / "old")
            new.rename(out)
    except (ValueError, OSError, build.BuildError, print_book.PrintError) as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
