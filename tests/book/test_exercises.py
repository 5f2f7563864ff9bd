"""The exercises: taken apart, put into editions, and solved, left undone and solved wrongly.

Those that need their chapter are run in tests/workflow/test_pack.py.
"""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import nbformat
import pytest
from exercise_runs import ROOT, SOURCES, editions, examine, label, readable_exercises, run
from nbformat import NotebookNode

from tff_core.book import exercises
from tff_core.book.exercises import Exercise

ALL = readable_exercises()
ALONE = [(path, one) for path, one in ALL if one.coding and not one.in_chapter]
COLUMNS, SECONDS = 79, 20

SAMPLE = """\
# %% [markdown]
# # A chapter
#
# See {doc}`/notebooks/02_ff_rs`, {doc}`the card <../notebooks/x>` and {cite:t}`bach2015`.

# %% tags=["parameters"]
n = 2

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - double a number.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Twice
# *Objective:* say what doubling
# is · *easy* · 5 minutes
#
# Double $x$.
# ```

# %% tags=["exercise"]
base = 3

# %% tags=["solution"]
def twice(x):
    # BEGIN SOLUTION
    return 2 * x
    # END SOLUTION

# %% tags=["test"]
assert twice(base) == 6, "twice of 3 is 6: look at what is multiplied"

# %% tags=["hidden-test"]
assert twice(0) == 0, "twice of 0 is 0: nothing is added to it"

# %% tags=["wrong"]
# adds two
def twice(x):
    return x + 2

# %% tags=["wrong"]
# knows one answer by heart
def twice(x):
    return x + 3

# %% [markdown] tags=["solution"]
# Each number is added to itself.

# %% [markdown] tags=["instructor"]
# **Hint** What is $x + x$?
#
# **Marking** 3 points: one for each number.

# %% [markdown] tags=["exercise"]
# ```{exercise} Why two?
# *Objective:* think · *hard* · 1 minute
#
# Explain.
# ```

# %% [markdown] tags=["solution"]
# Because it is the first prime.

# %% [markdown] tags=["instructor"]
# **Marking** 1 point.
"""


@pytest.fixture
def sample() -> NotebookNode:
    return nbformat.from_dict(editions.pairs.jupytext.reads(SAMPLE, fmt="py:percent"))


def text(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells)


def code(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def squeezed(words: str) -> str:
    """Letters and signs alone: what differs in space, or in the mark of a comment, is equal."""
    return re.sub(r"[\s#>]+", "", words)


# --- taken apart


def test_an_exercise_is_what_its_cells_say(sample: NotebookNode) -> None:
    lesson = exercises.parse(sample)
    twice, why = lesson.exercises
    assert len(lesson.own) == 3 and lesson.own[-1].source.startswith("## Exercises")
    assert (twice.title, twice.objective) == ("Twice", "say what doubling is")
    assert (twice.difficulty, twice.minutes, twice.statement) == ("easy", 5, "Double $x$.")
    assert twice.given == "base = 3" and twice.hidden.startswith("assert twice(0)")
    assert twice.stub == 'def twice(x):\n    raise NotImplementedError("your turn")'
    assert twice.solved == "def twice(x):\n    return 2 * x"
    assert twice.mistakes == ("adds two", "knows one answer by heart")
    assert twice.points == 3 and twice.coding and not twice.in_chapter
    assert not why.coding and why.minutes == 1 and why.answer == "Because it is the first prime."
    examine(twice, {})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("```{exercise} Twice", "```{exercise}", "not one directive with a title"),
        ("Double $x$.\n# ```", "Double $x$.\n# ```\n#\n# More.", "not one directive with a title"),
        ("*easy* · 5 minutes", "*simple* · 5 minutes", r"exercise 'Twice': no line '\*Objective:"),
        ("Double $x$.", "", "nothing is asked below the line of the objective"),
        ('tags=["test"]', "", "a cell has 0 of the tags"),
        ('tags=["test"]', 'tags=["test", "wrong"]', "a cell has 2 of the tags"),
        ('%% tags=["test"]', '%% tags=["instructor"]', "notes for instructors are markdown"),
        ('[markdown] tags=["instructor"]', '[markdown] tags=["test"]', "a markdown cell is tagged 'test'"),
        ('[markdown] tags=["instructor"]', '[markdown] tags=["solution"]', "2 markdown cells are tagged"),
        ('%% tags=["test"]', '%% tags=["hidden-test"]', "0 code cells are tagged 'test', expected one"),
        ('%% tags=["solution"]', '%% tags=["exercise"]', "2 code cells are tagged 'exercise'"),
        ("# %% tags=[\"wrong\"]\n# adds two\ndef twice(x):\n    return x + 2\n", "",
         "1 code cells are tagged 'wrong', expected at least 2"),
        ("# adds two\n", "", "does not begin with a comment that names the mistake"),
        ("    # END SOLUTION\n", "", "the marks come in pairs"),
        ("    # BEGIN SOLUTION\n", "", "the marks come in pairs"),
        ("    # BEGIN SOLUTION\n    return 2 * x\n    # END SOLUTION", "    return 2 * x", "marks no lines"),
        ('%% tags=["wrong"]', '%% tags=["wrong", "in-chapter"]', "expected all or none"),
        ("{exercise} Why two?", "{exercise} Twice", "2 exercises are called 'Twice'"),
        ('%% tags=["parameters"]', '%% tags=["solution"]', "tagged 'solution' belongs to no exercise"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_said_in_one_sentence(old: str, new: str, said: str) -> None:
    assert old in SAMPLE
    notebook = editions.pairs.jupytext.reads(SAMPLE.replace(old, new, 1), fmt="py:percent")
    with pytest.raises(ValueError, match=said) as caught:
        exercises.parse(notebook)
    assert "\n" not in str(caught.value)


def test_code_out_of_order_is_refused(sample: NotebookNode) -> None:
    cells = sample.cells
    given = next(i for i, cell in enumerate(cells) if cell.source == "base = 3")
    cells[given : given + 2] = reversed(cells[given : given + 2])
    with pytest.raises(ValueError, match="in the order solution, exercise"):
        exercises.parse(sample)


# --- editions


def test_the_book_shows_an_exercise_and_runs_nothing_of_it(sample: NotebookNode) -> None:
    made = exercises.book(sample)
    assert code(made) == ["n = 2"]
    shown, why = made.cells[-2].source, made.cells[-1].source
    assert shown.startswith("```{exercise} Twice\n*Objective:* say what doubling is · *easy* · 5 minutes\n")
    before, folded = shown.split("````{dropdown} Solution")
    assert "base = 3\n\ndef twice(x):\n    raise NotImplementedError" in before
    assert "return 2 * x" not in before and "return 2 * x" in folded
    assert "````{dropdown} Check" in before and "assert twice(base)" in before
    assert ":class: tip tff-now\n" in made.cells[-3].source
    assert "Why two?" in why and "{dropdown} Solution" in why and "{dropdown} Check" not in why
    for gone in ("twice(0)", "adds two", "Hint", "Marking", "SOLUTION"):
        assert gone not in text(made)


def test_copies_for_other_detectors_link_to_the_exercises(sample: NotebookNode) -> None:
    made = exercises.book(sample, "notebooks/02_ff_rs")
    assert "{exercise}" not in text(made) and "You can now" in text(made)
    assert "{doc}`/notebooks/02_ff_rs`" in made.cells[-1].source
    without = exercises.split(sample.cells)[0]
    assert len(made.cells) == len(without) + 1


def test_a_student_has_what_there_is_to_do_and_nothing_more(sample: NotebookNode) -> None:
    made = exercises.student(sample)
    assert code(made)[1:] == [
        "base = 3",
        'def twice(x):\n    raise NotImplementedError("your turn")',
        '# check\nassert twice(base) == 6, "twice of 3 is 6: look at what is multiplied"',
    ]
    assert "### Exercise 1: Twice" in text(made) and "### Exercise 2: Why two?" in text(made)
    assert made.cells[-1].source == "*Your answer:*"
    assert all("raises-exception" in cell.metadata["tags"] for cell in made.cells[4:7])
    assert made.cells[6].metadata["otter"] == {"tests": ["twice"]}
    assert "otter_ignore" in made.cells[1].metadata["tags"]  # the chapter's own cell


def test_an_instructor_has_everything(sample: NotebookNode) -> None:
    made = text(exercises.instructor(sample))
    for words in ("return 2 * x", "# hidden from students\nassert twice(0)", "**Hint**", "adds two",
                  "5 minutes", "return x + 3", "Each number is added", "first prime"):  # fmt: skip
        assert words in made, words


def test_solutions_are_the_students_notebook_solved(sample: NotebookNode) -> None:
    made = exercises.solutions(sample)
    names: dict[str, object] = {}
    run(code(made), names)
    assert "Each number is added" in text(made)
    for gone in ("twice(0)", "adds two", "Hint", "your turn"):
        assert gone not in text(made)


def test_myst_becomes_markdown_that_any_jupyter_shows() -> None:
    pages, titles = {"notebooks/02_x": "02_x.ipynb"}, {"notebooks/02_x": "Ranking", "book/y": "Why"}

    def shown(markdown: str) -> str:
        return exercises.plain(markdown, pages, titles, {"bach2015": "Bach et al., 2015"})

    assert shown("{doc}`/notebooks/02_x`") == "[Ranking](02_x.ipynb)"
    assert shown("{doc}`the\nranking </notebooks/02_x>`") == "[the\nranking](02_x.ipynb)"
    assert shown("{doc}`/book/y` and {doc}`here </book/y>`") == "Why and here"
    assert (
        shown("{cite:t}`bach2015`, {cite}`bach2015, other`")
        == "Bach et al., 2015, (Bach et al., 2015; other)"
    )
    assert shown("{term}`omega <FF-RS omega>`, {math}`x`") == "omega, $x$"
    assert shown("```{admonition} You can now\n:class: tip\n- see;\n\n- do.\n```\nEnd") == (
        "> **You can now**\n>\n> - see;\n>\n> - do.\nEnd"
    )
    assert shown("````{note}\n```python\nx\n```\n````") == "> **Note**\n>\n> ```python\n> x\n> ```"
    assert shown("```{math}\nx\n```") == "$$\nx\n$$"
    assert shown("```python\n{'a': 1}\n```") == "```python\n{'a': 1}\n```"


def test_editions_are_written_all_or_not_at_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(SAMPLE)
    bad.write_text(SAMPLE.replace("*easy*", "*simple*"))
    target = tmp_path / "made"
    editions.write(target, [good])
    before = {path.relative_to(target): path.read_bytes() for path in target.rglob("*.ipynb")}
    assert set(before) == {Path(name) / "good.ipynb" for name in exercises.EDITIONS}
    with pytest.raises(ValueError, match=r"bad\.py: exercise 'Twice'"):
        editions.write(target, [good, bad])
    assert {path.relative_to(target): path.read_bytes() for path in target.rglob("*.ipynb")} == before
    editions.write(target, [good])
    assert sorted(path.name for path in target.iterdir()) == sorted(exercises.EDITIONS)
    for name in exercises.EDITIONS:
        nbformat.validate(nbformat.read(target / name / "good.ipynb", 4))
    shown = nbformat.read(target / "student" / "good.ipynb", 4).cells[0].source
    assert "](02_ff_rs.ipynb)" in shown and "Bach et al., 2015" in shown


def test_references_have_authors_and_year() -> None:
    found = editions.references(ROOT)
    assert found["chandrasegaran2022"] == "Chandrasegaran et al., 2022"
    assert found["tan2019"] == "Tan and Le, 2019"
    keys = re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(), re.MULTILINE)
    assert set(found) == set(keys)


# --- every notebook


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_no_edition_says_more_than_it_should(path: Path) -> None:
    """Of a notebook that is malformed, this test says what is wrong."""
    lesson = exercises.parse(editions.read(path))
    made = {name: editions.edition(name, path) for name in exercises.EDITIONS}
    for notebook in made.values():
        nbformat.validate(notebook)
    assert len(code(made["book"])) == sum(cell.cell_type == "code" for cell in lesson.own)
    for name in ("student", "solutions", "instructor"):
        assert "{doc}" not in text(made[name]) and "{cite" not in text(made[name])
    seen = public(lesson)
    shown = {name: lines(notebook) for name, notebook in made.items()}
    joined = {name: squeezed(text(notebook)) for name, notebook in made.items()}
    for one in lesson.exercises:
        secret = {"solution": lines_of(one.solved), "grading": lines_of(f"{one.hidden}\n{one.instructor}")}
        secret["grading"] |= {wrong.splitlines()[0] for wrong in one.wrong}
        secret = {kind: {line for line in found - seen if telling(line)} for kind, found in secret.items()}
        assert not secret["solution"] & shown["student"], one.title
        for name in ("student", "solutions", "book"):
            known = lines_of(one.solved) | lines_of(one.answer) if name != "student" else set()
            assert not (secret["grading"] - known) & shown[name], f"{name}: {one.title}"
            whole = [one.hidden, *one.wrong, one.instructor]
            whole += [one.solved, one.answer] if name == "student" else []
            assert not [words for words in whole if words and squeezed(words) in joined[name]]
        (page,) = [c.source for c in made["book"].cells if f"{{exercise}} {one.title}\n" in c.source]
        open_, folded = map(squeezed, page.split("{dropdown} Solution\n"))
        assert squeezed(one.answer) in folded and squeezed(one.answer) not in open_
        assert squeezed(one.solved) in folded and not (one.coding and squeezed(one.solved) in open_)


def lines_of(words: str) -> set[str]:
    return {line.strip() for line in words.splitlines()}


def lines(notebook: NotebookNode) -> set[str]:
    return lines_of(text(notebook))


def public(lesson: exercises.Lesson) -> set[str]:
    """Lines that students see anyway: of the chapter, and of what is asked and given in any exercise."""
    asked = [(one.given, one.stub, one.test, one.statement) for one in lesson.exercises]
    return lines_of("\n".join([cell.source for cell in lesson.own] + ["\n".join(one) for one in asked]))


def telling(line: str) -> bool:
    """Whether a line says more than ``return x`` or an import does."""
    return len(line) >= 16 and not line.startswith(("import ", "from ", "def "))


@pytest.mark.parametrize(("path", "one"), [(p, e) for p, e in ALL if e.coding], ids=label)
def test_code_of_an_exercise_fits_and_its_hidden_check_asks_more(path: Path, one: Exercise) -> None:
    for cell in (one.given, one.solution, one.test, one.hidden, *one.wrong):
        ast.parse(cell)
        assert not [line for line in cell.splitlines() if len(line) > COLUMNS]
    for check in (one.test, one.hidden):
        assert any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(ast.parse(check)))
        bare = [n for n in ast.walk(ast.parse(check)) if isinstance(n, ast.Assert) and n.msg is None]
        assert not bare, "every assert has a message that names the mistake"
    assert ast.dump(ast.parse(one.hidden)) != ast.dump(ast.parse(one.test))
    assert not {*one.hidden.splitlines()} <= {*one.test.splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize(("path", "one"), ALONE, ids=label)
def test_solved_undone_and_solved_wrongly(path: Path, one: Exercise) -> None:
    begin = time.process_time()
    examine(one, {})
    assert time.process_time() - begin < SECONDS


@pytest.mark.parametrize("path", sorted({path for path, _ in ALONE}), ids=label)
def test_solutions_of_a_chapter_agree_in_one_notebook(path: Path) -> None:
    """In the order of the chapter, in one namespace, as a student has them."""
    names: dict[str, object] = {}
    for one in (one for where, one in ALONE if where == path):
        run([one.given, one.solution, one.test, one.hidden], names)
