"""The class pack: all that a class needs besides Python, in one zip for students and one for instructors.

`make pack` builds what the notebooks read, by a small grid of its own, and puts it into dist/ with the
students' notebooks and the package. Made twice from one build folder, the zip files are equal byte for byte.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import safetensors.torch
import yaml
from nbformat import NotebookNode

import build
import editions
import grid
import launch
import pairs
import release
import tff_core

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "class"
NAME = "class-pack"  # of the zip, and of the folder in both, which may be unzipped into one place
ENVIRONMENT = ROOT / "workflow" / "environment-class.yml"
README = ROOT / "workflow" / "class-pack.md"
LIMIT = 200e6  # bytes of the students' zip
CONDA = {"pytorch-cpu": "torch"}  # names there and for pip, where they differ
Entries = Iterable[tuple[str, bytes | Path]]

_HERE = """# the package and the build lie beside this folder
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd().parent))"""


class PackError(ValueError):
    """The build lacks something, or is too large."""


def notebooks(config: dict[str, Any]) -> dict[str, grid.Page]:
    """The pages that students get, by the name of their notebook: those that the build executes."""
    return {name: page for name, page in launch.chapters(config).items() if not page.lacks}


def notebook(edition: str, page: grid.Page) -> NotebookNode:
    """An edition of a chapter, with the parameters of the build that lies beside its folder."""
    made = editions.edition(edition, ROOT / f"{page.source}.py")
    launch.set_parameters(made, page)
    made.cells.insert(0, nbformat.v4.new_code_cell(_HERE, metadata={"tags": ["otter_ignore"]}))
    pairs.set_ids(made)
    return made


# --- what the notebooks read


def reads(config: dict[str, Any], page: grid.Page) -> list[str]:
    """The files of the build folder that a notebook reads, as patterns; see `needs` in the configuration."""
    dataset = f"data/{config['dataset']}"
    own = [page.detector] if page.detector else config["detectors"]
    twins = [config["robust"][name] for name in own if "robust" in page.needs and name in config["robust"]]
    trained = [f"{name}.s{seed}" for name in [*own, *twins] for seed in grid.seeds(config, name)]
    compared = [
        f"{name}.s{seed}" for name in config["compared"].values() for seed in grid.seeds(config, name)
    ]
    classifiers = [config["classifiers"][name] for name in own if name in config["classifiers"]]
    found = {
        "data": [f"{dataset}/val/{grid.TRAINED_ON}/**/*"]
        + [f"{dataset}/test/{name}/**/*" for name in page.generators],
        "shifted": [f"data/{grid.shifted(config)}/test/{name}/**/*" for name in page.generators],
        "detectors": [f"detectors/{one}.*" for one in trained],
        "compared": [f"detectors/{one}.*" for one in compared],
        "classifier": [f"detectors/{name}.s0.*" for name in classifiers],
        "omega": [f"results/omega/{one}-*" for one in trained],
        "scores": [f"results/scores/{name}/*.csv.gz" for name in [*own, *twins]]
        + [f"results/parts/{one}/{name}.*" for one in grid.EVALUATED for name in [*own, *twins]],
        "tables": ["results/tables/*.csv"],
        "patches": [
            f"patches/{name}.s{seed}.*" for name in config["patch_networks"] for seed in config["patch_seeds"]
        ],
        "localized": [f"localized/*/{name}/**/*" for name in config["spliced"]],
        "attributed": [f"attribution/{name}.s{seed}.*" for name, seed in grid.attributors(config)]
        + [f"{dataset}/test/{name}/**/*" for name in grid.sources(config)]
        + [f"data/{where}/train/{name}/manifest.json" for name, where in grid.learnt(config).items()],
        "known": ["results/parts/known_*/*"],
        "shuffled": [f"results/parts/shuffled/{config['shuffled']['detector']}.*"],
        **{
            need: [f"results/parts/{table}/{one}.*" for table in tables for one in trained]
            for need, tables in grid.MEASURED.items()
        },
        **{name: [f"results/parts/{name}/*"] for name in grid.experiments(config)},
    }  # fmt: skip
    return [pattern for need in page.needs for pattern in found.get(need, [])]


def check(folder: Path, config: dict[str, Any]) -> None:
    """PackError where the build in ``folder`` has not executed a notebook."""
    for page in notebooks(config).values():
        if not (folder / "executed" / f"{page.docname}.ipynb").is_file():
            raise PackError(f"the build in {folder} has not executed {page.docname}; run `make pack`")


def built(folder: Path, config: dict[str, Any]) -> Iterator[tuple[str, bytes | Path]]:
    """What the notebooks read of a finished build, by its name there."""
    found: set[str] = set()
    for page in notebooks(config).values():
        for pattern in reads(config, page):
            found |= {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}
    light = {*config["compared"].values(), *config["classifiers"].values(), *config["robust"].values()}
    light -= {*config["detectors"]}
    for name in sorted(found):
        path = folder / name
        if path.name.startswith("."):  # unfinished
            continue
        weights = name.startswith("detectors/") and path.suffix == ".safetensors"
        yield name, halved(path) if weights and path.name.split(".")[0] in light else path


def halved(path: Path) -> bytes:
    """A file of weights with 16 bits for each number of a matrix; biases and what normalises keep theirs."""
    with safetensors.safe_open(path, "pt") as stream:
        metadata = stream.metadata()
    weights = {
        name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in safetensors.torch.load_file(path).items()
    }
    return safetensors.torch.save(weights, metadata)


# --- the zip files

_UNUSED = "miniature/weights/development/"  # generators that nothing but their development samples from


def package() -> Iterator[tuple[str, Path]]:
    """The package, as sources; its pyproject.toml marks the folder that `Store` looks for the build in."""
    for name in ("pyproject.toml", "LICENSE", "LICENSE-TEXT", "CITATION.cff"):
        if (ROOT / name).is_file():
            yield name, ROOT / name
    for name, path in release.files(ROOT / "tff_core"):
        if "__pycache__" not in path.parts and not name.startswith(_UNUSED):
            yield f"tff_core/{name}", path


def pins() -> list[str]:
    """The class environment as requirements for pip."""
    conda = yaml.safe_load(ENVIRONMENT.read_text(encoding="utf-8"))["dependencies"]
    listed = [
        re.split("=+", one) for one in conda if isinstance(one, str) and not re.match("python=|pip$", one)
    ]
    named = [f"{CONDA.get(name, name)}=={version}" for name, version in listed]
    return sorted([*named, *(pin for one in conda if isinstance(one, dict) for pin in one["pip"])])


def for_students(folder: Path, config: dict[str, Any], name: str) -> Iterator[tuple[str, bytes | Path]]:
    """The files of the students' zip; ``name`` is that of the grid."""
    found = notebooks(config)
    commit = release.git("describe", "--always", "--dirty", "--abbrev=10") or "unknown"
    about = {"config": name, "version": tff_core.__version__, "commit": commit}
    readme = README.read_text(encoding="utf-8")
    yield "README.md", readme.format(count=len(found), first=next(iter(found)), **about).encode()
    yield "environment.yml", ENVIRONMENT
    yield "requirements.txt", ("\n".join(pins()) + "\n").encode()
    yield from package()
    for stem, page in found.items():
        yield f"notebooks/{stem}.ipynb", pairs.dumps(notebook("student", page)).encode()
    for path, content in built(folder, config):
        yield f"build/{path}", content


def for_instructors(config: dict[str, Any], when: datetime) -> Iterator[tuple[str, bytes | Path]]:
    """The files of the instructors' zip: two editions of each notebook, and its autograder."""
    found = notebooks(config)
    for edition in ("instructor", "solutions"):
        for stem, page in found.items():
            yield f"{edition}/{stem}.ipynb", pairs.dumps(notebook(edition, page)).encode()
    for stem, page in found.items():
        path = ROOT / f"{page.source}.py"
        if editions.graded(path):
            yield f"autograder/{stem}.zip", autograder(path, when)


def autograder(path: Path, when: datetime) -> bytes:
    """The zip that grades a notebook, with one date for all of its files."""
    with tempfile.TemporaryDirectory() as aside:
        made, dated = Path(aside) / "made.zip", Path(aside) / "dated.zip"
        editions.autograder(path, made)
        with zipfile.ZipFile(made) as archive:
            inside = [(name, archive.read(name)) for name in sorted(archive.namelist()) if name[-1] != "/"]
        release.write_zip(dated, inside, when)
        return dated.read_bytes()


def write(folder: Path, out: Path, config: dict[str, Any], name: str = CONFIG) -> list[Path]:
    """Make both zip files from the build in ``folder``; returns their paths.

    Raises PackError where the build is not finished, or the students' zip would be larger than `LIMIT`.
    """
    check(folder, config)
    when = release.released_at()
    students, instructors = out / f"{NAME}.zip", out / f"{NAME}-instructor.zip"
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as aside:
        first, second = Path(aside) / students.name, Path(aside) / instructors.name
        release.write_zip(first, below(NAME, for_students(folder, config, name)), when)
        size = first.stat().st_size
        if size > LIMIT:
            raise PackError(
                f"the pack of CONFIG={name} has {size / 1e6:.0f} MB, expected at most {LIMIT / 1e6:.0f}: "
                f"name fewer detectors, seeds or pictures in workflow/config.{name}.yaml"
            )
        release.write_zip(second, below(NAME, for_instructors(config, when)), when)
        first.replace(students)
        second.replace(instructors)
    return [students, instructors]


def below(folder: str, entries: Entries) -> Entries:
    """The same files in a folder."""
    return ((f"{folder}/{name}", content) for name, content in entries)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=CONFIG, help="the grid: workflow/config.<name>.yaml")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="jobs at a time")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder of the zip files (default: dist)"
    )
    options = parser.parse_args()
    folder = Path(os.environ.get("TFF_BUILD") or ROOT / "build" / "class").resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        config = build.load_config(options.config, everything=False)
        pages = [page.docname for page in notebooks(config).values()]
        status = build.run(
            SimpleNamespace(
                config=options.config,
                all=False,
                page=pages,
                jobs=options.jobs,
                profile=build.LOCAL,
                snakemake=[],
            ),
            folder,
        )
        if status:
            return status
        options.out.mkdir(parents=True, exist_ok=True)
        with build.lock(folder):
            made = write(folder, options.out.resolve(), config, options.config)
    except (ValueError, OSError, RuntimeError, build.BuildError) as error:
        print(f"make: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, and the next `make pack` continues", file=sys.stderr)
        return 130
    for path in made:
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
