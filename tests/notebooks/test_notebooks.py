"""What every notebook of the book keeps to. That each one runs is shown where the book is built."""

from __future__ import annotations

import ast
import copy
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import pytest
import yaml
from nbformat import NotebookNode

from tff_core.book import exercises
from tff_core.claims import verdicts

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
CHAPTERS = [path for path in SOURCES if re.match(r"0[1-9]_", path.name)]
REQUIRED = {"detector", "seeds", "n", "device", "build"}
POSSIBLE = {"k", "classifier", "robust", "robust_seeds", "named_by"}
COLUMNS, LINES = 79, 300
EXERCISES = "# ## Exercises\n"  # what is above is read in one sitting
# the numbers of the course, over the chapters of all parts
LEAST, CODING, IN_CHAPTER = 60, 30, 1 / 3
KNOWN = sys.stdlib_module_names | {"IPython", "numpy", "pandas", "torch", "plotly", "tff_core"}


@cache
def _parsed(path: Path) -> NotebookNode:
    return jupytext.read(path, fmt="py:percent")


def read(path: Path) -> NotebookNode:
    """A copy of the notebook, which is parsed once for all tests."""
    return copy.deepcopy(_parsed(path))


def chapter_of(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of code that the page runs."""
    return [cell for cell in exercises.split(notebook.cells)[0] if cell.cell_type == "code"]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def toc_entries(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {value for key, value in node.items() if key in ("file", "root")}
        return own.union(*(toc_entries(value) for value in node.values()))
    return set().union(*(toc_entries(value) for value in node)) if isinstance(node, list) else set()


def test_the_chapters_are_there() -> None:
    names = {path.stem for path in SOURCES}
    assert {"00_overview", "01_universal_detectors", "02_ff_rs", "03_sensitivity", "generator_page"} <= names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_begins_with_its_only_title(path: Path) -> None:
    notebook = read(path)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert len(re.findall(r"^# ", prose(notebook), flags=re.MULTILINE)) == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_has_one_cell_of_parameters_with_plain_defaults(path: Path) -> None:
    tagged = [cell for cell in code(read(path)) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)  # papermill can replace it, and a reader can edit it


@pytest.mark.parametrize("path", [*CHAPTERS, ROOT / "notebooks" / "generator_page.py"], ids=lambda p: p.stem)
def test_chapters_share_their_parameters(path: Path) -> None:
    (cell,) = [cell for cell in code(read(path)) if "parameters" in cell.metadata.get("tags", [])]
    names = {target.id for s in ast.parse(cell.source).body for target in s.targets}  # type: ignore[attr-defined]
    assert REQUIRED <= names - {"generators", "generator"} <= REQUIRED | POSSIBLE
    assert len(names & {"generators", "generator"}) == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_imports_only_what_the_environment_has_and_defines_little(path: Path) -> None:
    tree = ast.parse("\n".join(cell.source for cell in code(read(path))))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= KNOWN
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in KNOWN and node.level == 0
    # what two notebooks need lives in the package; a class is never one notebook's argument
    chapter = ast.parse("\n".join(cell.source for cell in chapter_of(read(path))))
    assert not [node for node in ast.walk(chapter) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_cells_about_some_parameters_name_one_that_there_is(path: Path) -> None:
    cells = read(path).cells
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    names = {target.id for s in ast.parse(parameters.source).body for target in s.targets}  # type: ignore[attr-defined]
    for tag in {tag for cell in cells for tag in cell.metadata.get("tags", []) if tag.startswith("only-if")}:
        match = re.fullmatch(r"only-if:(\w+)!?=\S+", tag)
        assert match and match[1] in names, tag


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_words_of_a_verdict_come_from_the_rule(path: Path) -> None:
    tree = ast.parse("\n".join(cell.source for cell in chapter_of(read(path))))
    words = {*verdicts.WORDS} - {verdicts.UNDECIDED}  # "open" is also what one interval says
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value in words]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_cells_are_short(path: Path) -> None:
    for cell in chapter_of(read(path)):
        hidden = {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", []))
        assert len(cell.source.splitlines()) <= (60 if hidden else 30), cell.source.splitlines()[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_is_read_in_one_sitting_and_its_code_fits_on_a_page(path: Path) -> None:
    chapter = path.read_text(encoding="utf-8").split(EXERCISES)[0]
    assert len(chapter.splitlines()) <= LINES
    wide = [line for cell in code(read(path)) for line in cell.source.splitlines() if len(line) > COLUMNS]
    assert not wide, "a page would cut these lines off; `make lint` breaks all but comments and texts"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_page_opens_with_folded_code(path: Path) -> None:
    cells = read(path).cells
    idea = next(i for i, cell in enumerate(cells) if re.search(r"^## ", cell.source, re.MULTILINE))
    opening = [cell for cell in cells[:idea] if cell.cell_type == "code"]
    # neither its parameters, which its foot lists, nor what it loads
    assert all("remove-input" in cell.metadata.get("tags", []) for cell in opening)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_code_that_only_shows_is_not_on_the_page(path: Path) -> None:
    for cell in chapter_of(read(path)):
        statements = ast.parse(cell.source).body
        called = {ast.unparse(s.value.func) for s in statements if _is_call(s)}  # type: ignore[attr-defined]
        if statements and all(map(_is_call, statements)) and called <= {"say", "figures.show"}:
            assert "remove-input" in cell.metadata.get("tags", []), cell.source


def _is_call(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_figures_are_shown_with_their_caption(path: Path) -> None:
    text = "\n".join(cell.source for cell in code(read(path)))
    assert "figures.show(" in text or not re.search(r"figures\.(?!generator_name)", text)
    assert not re.search(r"\.show\(\)", text)  # would leave out the caption


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_committed_notebook_has_no_outputs(path: Path) -> None:
    notebook = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_citations_and_links_lead_somewhere(path: Path) -> None:
    text = prose(read(path))
    known = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(), re.MULTILINE))
    cited = {
        key.strip() for keys in re.findall(r"\{cite(?::\w)?\}`([^`]+)`", text) for key in keys.split(",")
    }
    assert cited <= known
    pages = toc_entries(yaml.safe_load((ROOT / "_toc.yml").read_text()))
    linked = {
        (a or b).removeprefix("/") for a, b in re.findall(r"\{doc\}`(?:[^`<]*<([^>]+)>|([^`<]+))`", text)
    }
    assert linked <= pages


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_has_no_target_that_a_copy_for_another_detector_would_repeat(path: Path) -> None:
    text = prose(read(path))
    assert not re.search(r"^\(\S+\)=$", text, flags=re.MULTILINE)
    assert ":label:" not in text


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapters_go_from_idea_to_limits_and_end_with_exercises(path: Path) -> None:
    text = prose(read(path))
    places = [text.index(words) for words in ("**Idea.**", "**Equation.**", "**Code.**")]
    assert places == sorted(places)
    assert re.search(r"does (\*\*)?not(\*\*)? (mean|show)", text[places[-1] :])
    assert re.search(r"^```\{exercise\}", text, flags=re.MULTILINE)
    assert "{cite" in text


def parts() -> list[Path]:
    """The notebooks of the parts that teach: up to the pages of generators."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    taught = toc[: next(i for i, part in enumerate(toc) if part["caption"] == "Every generator")]
    names = [name for name in sorted(toc_entries(taught)) if name.startswith("notebooks/")]
    return [ROOT / f"{name}.py" for name in names]


def course() -> list[str]:
    """What the exercises of all parts lack, in sentences."""
    lacks, found = [], []
    for path in parts():
        lesson = exercises.parse(read(path))
        found += lesson.exercises
        if len(lesson.exercises) < 2:
            lacks.append(f"{path.stem} has {len(lesson.exercises)} exercises, expected two or more")
        text = "\n\n".join(cell.source for cell in lesson.own if cell.cell_type == "markdown")
        last = text.split("## Exercises\n")[-1]
        if "## Exercises\n" not in text or "{admonition} You can now\n" not in last:
            lacks.append(f"{path.stem} has no heading 'Exercises' with a box 'You can now' below it")
        if re.search(r"\{exercise\}|\{admonition\} Solution", text):
            lacks.append(f"{path.stem} has an exercise or a solution in a cell without tags")
    coding = [one for one in found if one.coding]
    dependent = sum(one.in_chapter for one in coding)
    if len(found) < LEAST or len(coding) < CODING:
        lacks.append(f"{len(found)} exercises, {len(coding)} with code; expected {LEAST} and {CODING}")
    if dependent > IN_CHAPTER * len(coding):
        lacks.append(f"{dependent} of {len(coding)} exercises with code need their chapter, expected a third")
    return lacks


def test_every_chapter_of_every_part_has_exercises() -> None:
    assert course() == []


def test_the_first_page_shows_the_finding_before_anything_else_and_is_plain_about_the_pictures() -> None:
    notebook = read(ROOT / "notebooks" / "00_overview.py")
    drawn = [cell.source for cell in code(notebook) if "figures.show(" in cell.source]
    assert "figures.finding(" in drawn[0]
    assert "procedural scenes" in prose(notebook) and "miniature" in prose(notebook)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_measured_number_is_typed_into_the_prose(path: Path) -> None:
    # a percentage with a decimal can only have been measured; the paper's stand in packaged tables
    assert not re.search(r"\d\.\d\s?%", prose(read(path)))
