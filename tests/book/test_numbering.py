"""Numbers of exercises in a site of two pages, built as the book is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from exercise_runs import ROOT

CONF = """
extensions = ["myst_nb", "sphinx_exercise", "sphinx_design", "tff_core.book.sphinx_extension"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"
master_doc = "one"
"""
PAGE = """# Page {name}

```{{exercise}} First of {name}
:label: {name}-first
Think.
```

```{{exercise}} Second of {name}
:label: {name}-second
Think again.
```

````{{dropdown}} Solution
:class-container: tff-fold tff-solution

Thought of {name}.
````

See {{ref}}`one-second`, {{ref}}`two-first`.
"""
TOC = "\n```{toctree}\ntwo\n```\n"


def build(folder: Path) -> str:
    command = [sys.executable, "-m", "sphinx", "-W", "-b", "html", "-d", "doctrees", ".", "html"]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(folder: Path, name: str) -> list[str]:
    page = (folder / "html" / f"{name}.html").read_text(encoding="utf-8")
    captions = re.findall(r'caption-number">Exercise (\d+)', page)
    return captions + re.findall(r'std-numref">Exercise (\d+)', page)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbered")
    (folder / "conf.py").write_text(CONF)
    (folder / "one.md").write_text(PAGE.format(name="one") + TOC)
    (folder / "two.md").write_text(PAGE.format(name="two"))
    build(folder)
    return folder


@pytest.mark.slow
def test_each_page_counts_from_one_and_references_follow(site: Path) -> None:
    for name in ("one", "two"):
        assert numbers(site, name) == ["1", "2", "2", "1"], name  # captions, then references


@pytest.mark.slow
def test_folds_need_no_script(site: Path) -> None:
    page = (site / "html" / "two.html").read_text(encoding="utf-8")
    fold = re.search(r"<details[^>]*tff-solution[^>]*>(.*?)</details>", page, re.DOTALL)
    assert fold and "<summary" in fold[1] and "Thought of two." in fold[1]
    assert " open" not in fold[0].split(">")[0]


@pytest.mark.slow
def test_pages_that_have_not_changed_are_not_written_again(site: Path) -> None:
    assert "no targets are out of date" in build(site)
    (site / "two.md").write_text(PAGE.format(name="two") + "\nMore.\n")
    before = (site / "html" / "one.html").stat().st_mtime_ns
    build(site)
    assert "More." in (site / "html" / "two.html").read_text(encoding="utf-8")
    # the page of the contents is written with its children
    assert numbers(site, "one") == numbers(site, "two") == ["1", "2", "2", "1"]
    assert (site / "html" / "one.html").stat().st_mtime_ns >= before
