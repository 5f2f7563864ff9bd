"""Exercises of a chapter, written once: what a percent script says about them, and the editions made from it.

A chapter ends with exercises. Each begins with a markdown cell tagged ``exercise`` that holds one
``{exercise}`` directive; all cells from there to the next such cell belong to it, and their tags say what
they are: ``exercise`` (given code), ``solution`` (code, and prose), ``test`` (the check that students see),
``hidden-test``, ``wrong`` (answers that a check must catch) and ``instructor``. Notebooks in, notebooks out:
nothing here reads files or runs code.
"""

from __future__ import annotations

import copy
import html
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat import NotebookNode

EDITIONS = ("book", "student", "instructor", "solutions")
ROLES = ("exercise", "solution", "test", "hidden-test", "wrong", "instructor")
IN_CHAPTER = "in-chapter"  # runs after the chapter's own cells; the others stand on their own
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
YOUR_TURN = 'raise NotImplementedError("your turn")'
MISTAKES = 2  # wrong answers of a coding exercise, at least
_DIRECTIVE = re.compile(r"(`{3,})\{exercise\}[ \t]*([^\n]*)\n(.*?)\n?\1", re.DOTALL)
_NOW = re.compile(r"(\{admonition\} You can now\n:class: tip)$", re.MULTILINE)
_ABOUT = re.compile(
    r"\s*\*Objective:\*\s(.+?)\s·\s\*(easy|medium|hard)\*\s·\s(\d+)\sminutes?(?=\s|\Z)", re.DOTALL
)


@dataclass(frozen=True)
class Exercise:
    """One exercise; of one without code, the fields of code are empty."""

    title: str
    objective: str
    difficulty: str  # easy, medium or hard
    minutes: int
    statement: str  # Markdown, without the line of the objective
    answer: str  # the solution in prose, Markdown
    instructor: str  # Markdown: hint, marking, common mistakes
    given: str = ""  # code that runs before the student's
    solution: str = ""  # the student's cell with the lines between the marks
    test: str = ""  # the check that the student sees
    hidden: str = ""  # the check for grading, which runs after the visible one
    wrong: tuple[str, ...] = ()  # whole cells in place of the solution
    in_chapter: bool = False

    @property
    def coding(self) -> bool:
        """Whether code is asked for."""
        return bool(self.solution)

    @property
    def stub(self) -> str:
        """The student's cell before the work: an error where lines are to be written."""
        return stub(self.solution) if self.coding else ""

    @property
    def solved(self) -> str:
        """The student's cell after the work, without marks."""
        return "\n".join(line for line in self.solution.splitlines() if line.strip() not in (BEGIN, END))

    @property
    def about(self) -> str:
        """The line of the objective, as Markdown."""
        return f"*Objective:* {self.objective} · *{self.difficulty}* · {self.minutes} minutes"

    @property
    def mistakes(self) -> tuple[str, ...]:
        """What each wrong answer does wrong, in the words of its first comment."""
        return tuple(code.splitlines()[0].lstrip("# ") for code in self.wrong)

    @property
    def points(self) -> int:
        """The sum of the points that the marking names; without any, one for each check."""
        marking = re.search(r"\*\*Marking\W*\*\*(.*?)(?=\*\*|\Z)", self.instructor, re.DOTALL)
        return sum(map(int, re.findall(r"(\d+)\s+points?\b", marking[1] if marking else ""))) or 2


@dataclass(frozen=True)
class Lesson:
    """A notebook, taken apart."""

    own: list[NotebookNode]  # the cells before the first exercise
    exercises: list[Exercise]


def stub(solution: str) -> str:
    """A solution cell with an error in place of each marked part.

    Raises ValueError where the marks do not pair, or there is none.
    """
    lines: list[str] = []
    inside, parts = False, 0
    for line in solution.splitlines():
        mark = line.strip()
        if mark in (BEGIN, END):
            if inside == (mark == BEGIN):
                raise ValueError(f"'{mark}' without its counterpart; the marks come in pairs")
            inside = mark == BEGIN
            if inside:
                parts += 1
                lines.append(line[: len(line) - len(line.lstrip())] + YOUR_TURN)
        elif not inside:
            lines.append(line)
    if inside or not parts:
        raise ValueError(
            f"'{BEGIN}' without its counterpart; the marks come in pairs" if inside else
            f"its solution marks no lines for the student; expected '{BEGIN}' and '{END}'"
        )  # fmt: skip
    return "\n".join(lines)


def split(cells: list[NotebookNode]) -> tuple[list[NotebookNode], list[list[NotebookNode]]]:
    """The cells before the first exercise, and those of each."""
    starts = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and "exercise" in _tags(cell)]
    ends = [*starts, len(cells)][1:]
    return (
        cells[: starts[0]] if starts else cells,
        [cells[begin:end] for begin, end in zip(starts, ends, strict=True)],
    )


def parse(notebook: NotebookNode) -> Lesson:
    """Take a notebook apart. Raises ValueError, one sentence about the first thing that is wrong with it."""
    own, groups = split(notebook.cells)
    for cell in own:
        if lost := _tags(cell) & {*ROLES, IN_CHAPTER}:
            raise ValueError(
                f"a {cell.cell_type} cell tagged {sorted(lost)[0]!r} belongs to no exercise: {_begin(cell)}; "
                "an exercise begins with a markdown cell tagged 'exercise'"
            )
    found = [_exercise(group) for group in groups]
    for title, count in Counter(exercise.title for exercise in found).items():
        if count > 1:
            raise ValueError(f"{count} exercises are called {title!r}; a title names one")
    return Lesson(own, found)


def _exercise(cells: list[NotebookNode]) -> Exercise:
    """One exercise from its cells."""
    match = _DIRECTIVE.fullmatch(cells[0].source.strip())
    if match is None or not match[2].strip():
        raise ValueError(
            f"a statement is not one directive with a title: {_begin(cells[0])}; "
            "the cell holds ```{exercise} TITLE ... ``` and nothing else"
        )
    title = match[2].strip()

    def bad(what: str) -> ValueError:
        return ValueError(f"exercise {title!r}: {what}")

    about = _ABOUT.match(match[3])
    if about is None:
        raise bad("no line '*Objective:* TEXT · *easy|medium|hard* · N minutes' at its beginning")
    statement = match[3][about.end() :].strip()
    if not statement:
        raise bad("nothing is asked below the line of the objective")
    parts: dict[tuple[str, str], list[str]] = {}
    order: list[str] = []
    for cell in cells[1:]:
        roles = [role for role in ROLES if role in _tags(cell)]
        if len(roles) != 1:
            raise bad(f"a cell has {len(roles)} of the tags {', '.join(ROLES)}, expected one: {_begin(cell)}")
        parts.setdefault((cell.cell_type, roles[0]), []).append(cell.source)
        order += [roles[0]] if cell.cell_type == "code" else []
    for kind, role in parts:
        if kind == "code" and role == "instructor":
            raise bad("a code cell is tagged 'instructor'; notes for instructors are markdown")
        if kind == "markdown" and role not in ("solution", "instructor"):
            raise bad(f"a markdown cell is tagged {role!r}, which is a tag of code")
    texts = {}
    for role in ("solution", "instructor"):
        texts[role] = parts.get(("markdown", role), [])
        if len(texts[role]) != 1:
            raise bad(f"{len(texts[role])} markdown cells are tagged {role!r}, expected one")
    code = {role: parts.get(("code", role), []) for role in ROLES}
    common: dict[str, Any] = {
        "title": title,
        "objective": " ".join(about[1].split()),
        "difficulty": about[2],
        "minutes": int(about[3]),
        "statement": statement,
        "answer": texts["solution"][0].strip(),
        "instructor": texts["instructor"][0].strip(),
    }
    if not order:
        return Exercise(**common)
    for role, least, most in (
        ("exercise", 0, 1), ("solution", 1, 1), ("test", 1, 1), ("hidden-test", 1, 1), ("wrong", MISTAKES, 99)
    ):  # fmt: skip
        if not least <= len(code[role]) <= most:
            wanted = f"at least {least}" if most > 1 else "one" if least else "at most one"
            raise bad(f"{len(code[role])} code cells are tagged {role!r}, expected {wanted}")
    if order != sorted(order, key=ROLES.index):
        raise bad(f"its code cells are in the order {', '.join(order)}, expected {', '.join(ROLES[:-1])}")
    dependent = {IN_CHAPTER in _tags(cell) for cell in cells if cell.cell_type == "code"}
    if len(dependent) > 1:
        raise bad(f"some of its code cells are tagged {IN_CHAPTER!r}, expected all or none")
    for wrong in code["wrong"]:
        if not re.match(r"# *\w", wrong):
            raise bad(f"a wrong answer does not begin with a comment that names the mistake: {wrong[:40]!r}")
    try:
        stub(code["solution"][0])
    except ValueError as error:
        raise bad(str(error)) from error
    return Exercise(
        **common,
        given="".join(code["exercise"]),
        solution=code["solution"][0],
        test=code["test"][0],
        hidden=code["hidden-test"][0],
        wrong=tuple(code["wrong"]),
        in_chapter=dependent == {True},
    )


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _begin(cell: NotebookNode) -> str:
    return repr(cell.source.strip()[:40])


# --- editions


def book(notebook: NotebookNode, elsewhere: str | None = None) -> NotebookNode:
    """The notebook that the book executes and shows: its exercises are text, their solutions folded.

    ``elsewhere`` is the page that has the exercises, for a copy of the chapter that goes without. No code of
    an exercise is run.
    """
    lesson = parse(notebook)
    made = _with(notebook, lesson.own)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = _NOW.sub(r"\1 tff-now", cell.source)
    if lesson.exercises and elsewhere:
        made.cells.append(_markdown(f"The exercises are in {{doc}}`/{elsewhere}`, which has the same text."))
    elif lesson.exercises:
        made.cells += [_markdown(_in_the_book(exercise)) for exercise in lesson.exercises]
    return made


def _in_the_book(exercise: Exercise) -> str:
    parts = [_directive("exercise", exercise.title, f"{exercise.about}\n\n{exercise.statement}")]
    if exercise.coding:
        where = (
            "Run the cells of this chapter, then start from this:"
            if exercise.in_chapter
            else "Start from this; it needs nothing of the chapter:"
        )
        start = "\n\n".join(filter(None, (exercise.given, exercise.stub)))
        parts.append(f"{where}\n\n{_code(start)}")
        parts.append(_fold("Check", "tff-check", _code(exercise.test)))
    solved = f"{_code(exercise.solved)}\n\n{exercise.answer}" if exercise.coding else exercise.answer
    parts.append(_fold("Solution", "tff-solution", solved))
    return "\n\n".join(parts)


def student(notebook: NotebookNode, readable: Callable[[str], str] = str) -> NotebookNode:
    """The notebook to hand out: statements, given code, stubs, visible checks, and nothing that solves them.

    ``readable`` turns MyST into the Markdown of notebooks, see `plain`.
    """

    def cells(exercise: Exercise) -> list[NotebookNode]:
        if not exercise.coding:
            return [_markdown("*Your answer:*", "answer")]
        return [*_given(exercise), _yours(exercise, exercise.stub), _check(exercise)]

    return _handed_out(notebook, readable, cells)


def solutions(notebook: NotebookNode, readable: Callable[[str], str] = str) -> NotebookNode:
    """The student's notebook, solved and explained: to be handed out afterwards."""

    def cells(exercise: Exercise) -> list[NotebookNode]:
        answer = _markdown(f"**Solution.** {readable(exercise.answer)}")
        if not exercise.coding:
            return [answer]
        return [*_given(exercise), _yours(exercise, exercise.solved), _check(exercise), answer]

    return _handed_out(notebook, readable, cells)


def instructor(notebook: NotebookNode, readable: Callable[[str], str] = str) -> NotebookNode:
    """The notebook to teach from: solutions, hidden checks, hints, marking, and mistakes to expect."""

    def cells(exercise: Exercise) -> list[NotebookNode]:
        notes = _markdown(f"**For instructors: {exercise.title}**\n\n{readable(exercise.instructor)}")
        answer = _markdown(f"**Solution.** {readable(exercise.answer)}")
        if not exercise.coding:
            return [notes, answer]
        mistakes = "\n\n".join(
            f"<details><summary>{html.escape(name, quote=False)}</summary>\n\n{_code(code)}\n\n</details>"
            for name, code in zip(exercise.mistakes, exercise.wrong, strict=True)
        )
        return [
            notes,
            *_given(exercise),
            _yours(exercise, exercise.solution),
            _check(exercise),
            _code_cell(f"# hidden from students\n{exercise.hidden}", exercise),
            answer,
            _markdown(f"**Wrong answers that the checks catch**\n\n{mistakes}"),
        ]

    return _handed_out(notebook, readable, cells)


def _handed_out(
    notebook: NotebookNode,
    readable: Callable[[str], str],
    cells: Callable[[Exercise], list[NotebookNode]],
) -> NotebookNode:
    lesson = parse(notebook)
    made = _with(notebook, lesson.own)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = readable(cell.source)
        else:
            # only exercises are graded: the chapter needs the book's build, which a grader does not have
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "otter_ignore"]
    for number, exercise in enumerate(lesson.exercises, 1):
        head = f"### Exercise {number}: {exercise.title}\n\n{readable(exercise.about)}"
        made.cells.append(_markdown(f"{head}\n\n{readable(exercise.statement)}"))
        made.cells += cells(exercise)
    return made


def _given(exercise: Exercise) -> list[NotebookNode]:
    return [_code_cell(exercise.given, exercise)] if exercise.given else []


def _yours(exercise: Exercise, code: str) -> NotebookNode:
    return _code_cell(code, exercise, "answer")


def _check(exercise: Exercise) -> NotebookNode:
    cell = _code_cell(f"# check\n{exercise.test}", exercise, "check")
    if not exercise.in_chapter:
        cell.metadata["otter"] = {"tests": [slug(exercise.title)]}  # the grader checks at this very place
    return cell


def slug(title: str) -> str:
    """A name for files: ``The sum over a layer`` is ``the_sum_over_a_layer``."""
    return re.sub(r"\W+", "_", title.lower()).strip("_")


def _code_cell(code: str, exercise: Exercise, *tags: str) -> NotebookNode:
    # "Run all" goes on below a cell that is not solved yet
    more = ["otter_ignore"] if exercise.in_chapter else []
    return nbformat.v4.new_code_cell(code, metadata={"tags": [*tags, *more, "raises-exception"]})


def _markdown(text: str, *tags: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text, metadata={"tags": list(tags)} if tags else {})


def _with(notebook: NotebookNode, cells: list[NotebookNode]) -> NotebookNode:
    made = nbformat.v4.new_notebook(metadata=copy.deepcopy(notebook.metadata))
    made.nbformat, made.nbformat_minor = notebook.nbformat, notebook.nbformat_minor
    made.cells = copy.deepcopy(cells)
    return made


def _fence(text: str) -> str:
    """A fence that nothing in ``text`` closes."""
    return "`" * max([2, *(len(run) for run in re.findall(r"`{3,}", text))]) + "`"


def _directive(name: str, title: str, body: str) -> str:
    fence = _fence(body)
    return f"{fence}{{{name}}} {title}\n{body}\n{fence}"


def _code(code: str) -> str:
    fence = _fence(code)
    return f"{fence}python\n{code}\n{fence}"


def _fold(title: str, style: str, body: str) -> str:
    """A part that opens on a click, also where no script runs: sphinx-design makes it ``<details>``."""
    fence = _fence(body)
    return f"{fence}{{dropdown}} {title}\n:class-container: tff-fold {style}\n\n{body}\n{fence}"


# --- MyST as the Markdown of notebooks


def plain(
    markdown: str,
    pages: Mapping[str, str],
    titles: Mapping[str, str],
    cited: Mapping[str, str],
) -> str:
    """MyST as Markdown that any Jupyter shows: links between notebooks, citations and boxes in words.

    ``pages`` maps a page to the address of its notebook, ``titles`` a page to its title, ``cited`` the key of
    a reference to its authors and year. A role that is not known leaves its text.
    """

    def role(match: re.Match[str]) -> str:
        name, text = match[1], match[2]
        explicit = re.fullmatch(r"(.*?)\s*<([^<>]+)>", text, re.DOTALL)
        words, target = (explicit[1], explicit[2]) if explicit else (text, text)
        if name == "doc":
            page = target.strip().lstrip("/")
            shown = words if explicit else titles.get(page, page.split("/")[-1])
            return f"[{shown}]({pages[page]})" if page in pages else shown
        if name.startswith("cite"):
            works = "; ".join(cited.get(key.strip(), key.strip()) for key in text.split(","))
            return works if name == "cite:t" else f"({works})"
        return f"${text}$" if name == "math" else words

    def box(match: re.Match[str]) -> str:
        kind, title = match[2], match[3].strip()
        body = re.sub(r"\A(?::[\w-]+:[^\n]*\n)+", "", match[4] + "\n").strip()
        if kind == "math":
            return f"$$\n{body}\n$$"
        head = title or kind.rsplit(":", 1)[-1].capitalize()
        return "\n".join(f"> {line}".rstrip() for line in f"**{head}**\n\n{body}".splitlines())

    fenced = r"^(`{3,}|:{3,}|~{3,})\{([\w:-]+)\}([^\n]*)\n(.*?)^\1[ \t]*$"
    markdown = re.sub(fenced, box, markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\{([\w:-]+)\}`([^`]+)`", role, markdown)
