"""The chapters that run elsewhere: what the badges lead to opens, finds its data and runs to the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import ROOT, copy_project

SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
import build  # noqa: E402
import grid  # noqa: E402
import launch  # noqa: E402
import pairs  # noqa: E402
import stage  # noqa: E402
from tff_core.book import sphinx_extension as book  # noqa: E402

ORIGIN = "https://github.com/owner/some.book"


def git(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def sources(notebook: dict[str, Any], kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    launch.write(folder, ORIGIN, "v1.2")
    return folder


@pytest.mark.slow
def test_every_chapter_can_be_launched_and_nothing_else(written: Path) -> None:
    listed = [name for name in grid.entries(grid.read_toc(ROOT)) if name.startswith("notebooks/")]
    assert {f"notebooks/{path.stem}" for path in written.glob("*.ipynb")} == set(listed)
    assert {path.name for path in written.iterdir()} - {path.name for path in written.glob("*.ipynb")} == {
        "README.md", "environment.yml",
    }  # fmt: skip


@pytest.mark.slow
def test_a_launched_chapter_makes_its_build_first_and_has_its_parameters(written: Path) -> None:
    notebook = json.loads((written / "02_ff_rs.ipynb").read_text(encoding="utf-8"))
    code = sources(notebook, "code")
    for words in (f'"{ORIGIN}"', '"v1.2"', '"launch"', '"notebooks/02_ff_rs"'):
        assert words in code[0]
    page = grid.pages(build.load_config("launch", False), ROOT)["notebooks/02_ff_rs"]
    given: dict[str, Any] = {}
    exec(code[2], given)
    assert {name: given[name] for name in page.parameters} == page.parameters and page.parameters[
        "seeds"
    ] == [0]
    # apart from that it is the chapter
    chapter = sources(launch.editions.edition("student", ROOT / "notebooks/02_ff_rs.py"), "code")
    assert [code[1], *code[3:]] == chapter
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    longest = max(len(line) for cell in (code[0], code[2]) for line in cell.splitlines())
    assert longest <= 79


@pytest.mark.slow
def test_the_environment_of_launched_chapters_is_the_projects_without_the_project(written: Path) -> None:
    own, project = (
        yaml.safe_load((folder / "environment.yml").read_text(encoding="utf-8")) for folder in (written, ROOT)
    )
    assert own["dependencies"][-1]["pip"] == project["dependencies"][-1]["pip"][:-1]
    assert own["dependencies"][:-1] == project["dependencies"][:-1]


def page(name: str, launch: str) -> str:
    config = SimpleNamespace(
        tff_launch=launch,
        tff_page_templates={
            "generators/[^/]+": "notebooks/generator_page",
            "detectors/[^/]+/(.+)": r"notebooks/\1",
        },
    )
    app = SimpleNamespace(config=config, add_js_file=lambda *_, **__: None)
    context = {"script_files": [], "header_buttons": [], "body": "<h1>T</h1><p>text</p><h1>U</h1>"}
    book.fix_page(app, name, "page.html", context, None)  # type: ignore[arg-type]
    return str(context["body"])


@pytest.mark.parametrize(
    ("name", "notebook"),
    [
        ("notebooks/02_ff_rs", "02_ff_rs"),
        ("detectors/efb0-miniature/02_ff_rs", "02_ff_rs"),
        ("generators/a.progan", None),
        ("book/assets", None),
    ],
)
def test_a_badge_stands_below_the_title_of_what_can_be_launched(
    name: str, notebook: str | None, written: Path
) -> None:
    links = re.findall(r'href="([^"]+)"', page(name, "owner/some.book@launch"))
    if notebook is None:
        assert links == []
        return
    assert links == [
        f"https://colab.research.google.com/github/owner/some.book/blob/launch/{notebook}.ipynb",
        f"https://mybinder.org/v2/gh/owner/some.book/launch?urlpath=lab%2Ftree%2F{notebook}.ipynb",
    ]
    assert (written / f"{notebook}.ipynb").is_file()
    assert page(name, "owner/some.book@launch").startswith("<h1>T</h1>\n<p")
    assert "href" not in page(name, "")


@pytest.mark.slow
def test_there_are_no_badges_before_there_is_anything_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "project"
    copy_project(copy)
    monkeypatch.setattr(stage, "ROOT", copy)

    def known() -> str | None:
        found: str | None = stage.site_config()["sphinx"]["config"].get("tff_launch")
        return found

    assert known() is None  # no origin
    git("remote", "add", "origin", f"{ORIGIN}.git", cwd=copy)
    assert known() is None  # nothing pushed
    git("update-ref", f"refs/remotes/origin/{stage.LAUNCH_BRANCH}", "HEAD", cwd=copy)
    assert known() == "owner/some.book@launch"
    git("remote", "set-url", "origin", "https://example.org/private.git", cwd=copy)
    assert known() is None


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A checkout with a bare repository as its origin."""
    copy, bare = tmp_path / "project", tmp_path / "origin.git"
    copy_project(copy)
    git("init", "-q", "--bare", str(bare), cwd=tmp_path)
    git("branch", "-M", "main", cwd=copy)
    git("remote", "add", "origin", str(bare), cwd=copy)
    git("-c", "pack.window=0", "push", "-q", "origin", "main", cwd=copy)  # differences would be searched for
    monkeypatch.setattr(launch, "ROOT", copy)
    return copy, bare


def publish(copy: Path, bare: Path, config: str = launch.CONFIG) -> None:
    folder = copy.parent / "branch"
    launch.write(folder, bare.as_uri(), "main", config)
    launch.push(folder, "origin")


@pytest.mark.slow
def test_the_branch_has_the_notebooks_and_the_checkout_does_not_notice(published: tuple[Path, Path]) -> None:
    copy, bare = published
    before = git("rev-parse", "HEAD", cwd=copy)
    (copy / "README.md").write_text("being edited")
    publish(copy, bare)
    publish(copy, bare)  # again, over the last one
    assert git("status", "--porcelain", cwd=copy) == "M README.md"
    assert git("rev-parse", "HEAD", cwd=copy) == before == git("rev-parse", "main", cwd=bare)
    names = git("ls-tree", "-r", "--name-only", "launch", cwd=bare).splitlines()
    assert sorted(names) == sorted(path.name for path in (copy.parent / "branch").iterdir())
    assert git("rev-list", "--count", "launch", cwd=bare) == "1"
    assert stage.launchable(copy)  # so the next site has badges


def test_a_checkout_without_a_public_origin_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "public_origin", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    assert launch.main() == 1
    assert "nobody could fetch it; give --origin" in capsys.readouterr().err


def test_a_page_that_the_book_has_not_is_refused(tmp_path: Path) -> None:
    options = SimpleNamespace(jobs=1, config="tiny", all=False, page=["notebooks/99"], snakemake=[])
    with pytest.raises(build.BuildError, match="--page notebooks/99: the book has no such page"):
        build.run(options, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def share_bytecode(venv: Path) -> None:
    """Have what is installed in ``venv``, and is installed here as well, compiled as it is here.

    Compiling takes longer than the chapter. Python compiles anew where the files are not equal.
    """
    here = Path(sysconfig.get_path("purelib"))
    there = venv / here.relative_to(sys.prefix)
    for folder in here.rglob("__pycache__"):
        same = there / folder.relative_to(here)
        if same.parent.is_dir() and not same.exists():
            shutil.copytree(folder, same, copy_function=os.symlink)


@pytest.mark.slow
@pytest.mark.long
def test_a_launched_chapter_runs_to_the_end_in_a_clean_environment(
    published: tuple[Path, Path], tmp_path: Path
) -> None:
    """From the branch alone: its environment in a fresh venv, its notebook in an empty folder."""
    copy, bare = published
    publish(copy, bare, "tiny")
    home = tmp_path / "home"
    git("clone", "-q", "--branch", "launch", bare.as_uri(), str(home), cwd=tmp_path)
    pins = yaml.safe_load((home / "environment.yml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    venv = tmp_path / "venv"
    uv = Path(sys.executable).with_name("uv")
    for command in (
        [uv, "venv", "--quiet", "--seed", "--python", sys.executable, venv],
        [uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python", *pins],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    share_bytecode(venv)
    clean = {
        name: os.environ[name] for name in os.environ if not name.startswith(("TFF_", "PYTHON", "VIRTUAL_"))
    }
    done = subprocess.run(
        # unlike papermill, it goes on below exercises that are not solved yet
        [venv / "bin" / "jupyter", "execute", "02_ff_rs.ipynb", "--output=out"],
        cwd=home, env={**clean, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    executed = json.loads((home / "out.ipynb").read_text(encoding="utf-8"))
    said = "".join("".join(output.get("text", "")) for output in executed["cells"][-1].get("outputs", []))
    assert all(cell["execution_count"] for cell in executed["cells"] if cell["cell_type"] == "code"), said
    figures = [
        mime
        for cell in executed["cells"]
        for output in cell.get("outputs", [])
        for mime in output.get("data", {})
        if "plotly" in mime
    ]
    assert len(figures) >= 3
    assert pairs.title(pairs.read(ROOT / "notebooks/02_ff_rs.py")) in "".join(executed["cells"][0]["source"])
