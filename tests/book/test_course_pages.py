"""The pages of the course: schedules, tables from the chapters, the map of prerequisites, the licence."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import jupytext
import pytest
import yaml

from tff_core import cli
from tff_core.book import course, exercises

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "book" / "course"
SYLLABUS = (PAGES / "syllabus.md").read_text("utf-8")
SESSIONS = re.split(r"^## Session \d", SYLLABUS, flags=re.MULTILINE)[1:]
MAP = course.chapters((PAGES / "prerequisites.yml").read_text("utf-8"))


def _column(text: str, head: str, column: int) -> list[str]:
    """The cells of a column of the Markdown table whose first row begins with ``head``."""
    table = text[text.index(head) :].split("\n\n", 1)[0]
    return [line.strip("|").split("|")[column].strip() for line in table.splitlines()[2:]]


def test_there_are_six_sessions_of_ninety_minutes() -> None:
    assert len(SESSIONS) == 6
    for session in SESSIONS:
        minutes = [int(cell) for cell in _column(session, "| minutes | what |", 0)]
        assert sum(minutes) == 90 and all(5 <= one <= 30 for one in minutes), session[:40]
        for part in ("Objectives", "Before", "Reading", "In class", "Slides", "Exercises", "Homework"):
            assert f"**{part}.**" in session, (part, session[:40])


def test_shares_and_points_are_a_hundred() -> None:
    assert sum(int(cell.split()[0]) for cell in _column(SYLLABUS, "| what | share |", 1)) == 100
    project = (PAGES / "project.md").read_text("utf-8")
    assert sum(map(int, _column(project, "| | full points for |", 3))) == 100


def test_every_chapter_has_its_session_and_its_place_on_the_map() -> None:
    listed = re.findall(r"notebooks/(\w+)", (ROOT / "_toc.yml").read_text("utf-8"))
    chapters = {name for name in listed if name != "00_overview"}
    assert {one.name for one in MAP} == chapters
    taught = [name for names in re.findall(r"\{exercises-of\} (.+)", SYLLABUS) for name in names.split()]
    assert sorted(taught) == sorted(chapters - {"atlas"})  # which is for looking things up
    assert len(taught) == len(set(taught))


def test_sessions_come_after_what_their_chapters_need() -> None:
    session = {
        name: number
        for number, names in enumerate(re.findall(r"\{exercises-of\} (.+)", SYLLABUS))
        for name in names.split()
    }
    for one in MAP:
        for other in one.needs:
            # the rule of verdicts is taught before all claims are known
            if one.name in session and other in session and one.name != "10_verdicts":
                assert session[other] <= session[one.name], (one.name, other)


def test_the_map_has_no_arrow_that_follows_from_others() -> None:
    assert course.redundant(MAP) == []
    chain = (
        "[{name: a, label: a}, {name: b, label: b, needs: {a: x}}, {name: c, label: c, needs: {a: x, b: y}}]"
    )
    assert course.redundant(course.chapters(chain)) == [("c", "a")]


def test_a_circle_and_an_unknown_chapter_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in a circle: (a -> b -> a|b -> a -> b)"):
        course.chapters("[{name: a, label: a, needs: {b: x}}, {name: b, label: b, needs: {a: x}}]")
    with pytest.raises(ValueError, match="a needs 'z', which is not on the map"):
        course.chapters("[{name: a, label: a, needs: {z: x}}]")


@pytest.mark.slow
def test_the_map_is_drawn_from_left_to_right_and_told_in_words() -> None:
    text = course.filled(PAGES / "syllabus.md", ROOT)
    svg = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert svg is not None
    root = ET.fromstring(svg[0])
    boxes = root.findall("a")
    assert len(boxes) == len(MAP) and all(box.findtext("title") for box in boxes)
    left = {Path(box.get("href", "")).stem: float(box.find("rect").get("x")) for box in boxes}  # type: ignore[union-attr, arg-type]
    places = [(rect.get("x"), rect.get("y")) for rect in root.iter("rect")]
    assert len(set(places)) == len(places)
    for one in MAP:
        assert all(left[other] < left[one.name] for other in one.needs)
    assert len(root.find("g").findall("path")) == sum(len(one.needs) for one in MAP)  # type: ignore[union-attr]
    assert text.count("(the logit that is handed back)") == 1
    assert "{exercises-of}" not in text and "{prerequisites}" not in text


SCRIPT = """# %% [markdown]
# # A chapter

# %% [markdown] tags=["exercise"]
# ```{exercise} The sum | over a layer
# *Objective:* say what the normalisation
# of omega does · *hard* · 15 minutes
#
# Show it.
# ```

# %% [markdown] tags=["solution"]
# So.

# %% [markdown] tags=["instructor"]
# **Hint** None.
"""


@pytest.mark.slow
def test_the_syllabus_lists_all_exercises_of_its_chapters(tmp_path: Path) -> None:
    text = course.filled(PAGES / "syllabus.md", ROOT)
    for names in re.findall(r"\{exercises-of\} (.+)", SYLLABUS):
        for name in names.split():
            script = (ROOT / "notebooks" / f"{name}.py").read_text("utf-8")
            for one in exercises.parse(jupytext.reads(script, fmt="py:percent")).exercises:
                assert f"| {one.title.replace('|', chr(92) + '|')} |" in text
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "x.py").write_text(SCRIPT)
    page = tmp_path / "page.md"
    page.write_text("```{exercises-of} x\n```\n")
    objective = "say what the normalisation of omega does"
    said = f"| {{doc}}`A chapter </notebooks/x>` | The sum \\| over a layer | {objective} | 15 | hard |  |"
    assert said in course.filled(page, tmp_path)


def test_commands_of_the_course_exist() -> None:
    """Every `tff` command in the pages is one that the parser takes."""
    told = "\n".join(
        page.read_text("utf-8") for page in [*PAGES.glob("*.md"), *(ROOT / "book/slides").glob("*.md")]
    )
    lines = {line for line in re.findall(r"`(tff [a-z][^`]*)`", told) if len(line.split()) > 2}
    assert len(lines) >= 4
    for line in lines:
        cli.parser().parse_args(shlex.split(line)[1:])


def test_the_text_has_its_licence_everywhere() -> None:
    assert (
        "creativecommons.org/licenses/by/4.0/"
        in yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["extra_footer"]
    )
    legal = (ROOT / "LICENSE-TEXT").read_text("utf-8")
    assert "SPDX: CC-BY-4.0" in legal and "Section 8 -- Interpretation." in legal
    for name in ("README.md", "CITATION.cff", "book/course/syllabus.md"):
        assert "CC BY 4.0" in (ROOT / name).read_text("utf-8"), name
