"""The autograder of a notebook's exercises, and what it says about submissions."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nbformat
import pytest
from exercise_runs import editions, run
from test_exercises import SAMPLE

from tff_core.book import exercises


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graded") / "01_sample.py"
    path.write_text(SAMPLE)
    return path


@pytest.fixture(scope="module")
def autograder(notebook: Path) -> Path:
    target = notebook.parent / "autograder" / "01_sample.zip"
    assert editions.autograder(notebook, target) == ["twice"]
    return target


def test_the_zip_has_what_gradescope_runs(autograder: Path) -> None:
    with zipfile.ZipFile(autograder) as zipped:
        names = set(zipped.namelist())
        environment = zipped.read("environment.yml").decode()
    assert {"setup.sh", "run_autograder", "run_otter.py", "environment.yml", "tests/twice.py"} <= names
    assert "files/tff_core/metrics.py" in names and not [n for n in names if n.endswith(".safetensors")]
    assert "torch==" in environment and "snakemake" not in environment
    assert autograder.stat().st_size < 8e6


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        ("def twice(x):\n    return 2 * x", [True, True]),
        ("def twice(x):\n    return x + 3", [True, False]),  # only the hidden check sees it
        ("def twice(x):\n    return x + 2", [False, False]),
        ('def twice(x):\n    raise NotImplementedError("your turn")', [False, False]),
        ("", [False, False]),
    ],
)
def test_each_check_has_half_of_the_points(notebook: Path, code: str, passed: list[bool]) -> None:
    (one,) = editions.graded(notebook)
    names: dict[str, object] = {}
    run([one.given, code], names)
    before = dict(names)
    from otter.test_files.exception_test import ExceptionTestFile  # takes seconds to load

    file = ExceptionTestFile.from_string(editions.test_file(one))
    file.run(names)
    assert [result.passed for result in file.test_case_results] == passed
    assert [(case.points, case.hidden) for case in file.test_cases] == [(1.5, False), (1.5, True)]
    assert set(names) == set(before)  # a check leaves nothing to the next exercise


def test_a_notebook_without_such_exercises_has_no_autograder(tmp_path: Path) -> None:
    path = tmp_path / "none.py"
    path.write_text(SAMPLE[: SAMPLE.index('# %% [markdown] tags=["exercise"]')])
    with pytest.raises(ValueError, match="nothing can be graded"):
        editions.autograder(path, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "points"), [("solutions", 3), ("student", 0)])
def test_a_submission_is_graded_offline(
    notebook: Path, autograder: Path, tmp_path: Path, name: str, points: float
) -> None:
    """All right, and nothing done yet; the cells of the chapter, which need its build, are not run."""
    made = editions.edition(name, notebook)
    made.cells[1].source = "raise SystemExit('the chapter was run')"
    assert "parameters" in made.cells[1].metadata["tags"]
    submission = tmp_path / "submission.ipynb"
    nbformat.write(made, submission)
    from otter import run as otter_run

    result = otter_run.main(str(submission), autograder=str(autograder), output_dir=None, no_logo=True)
    assert (result.total, result.possible) == (points, 3)
    assert set(result.results) >= {exercises.slug("Twice")}
