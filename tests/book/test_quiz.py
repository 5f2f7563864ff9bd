"""Quizzes: their files, their pages with and without a script; and the links to the glossary."""

from __future__ import annotations

import re
import shutil
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from docutils import nodes
from playwright.sync_api import Browser, Page
from sphinx.cmd.build import build_main

from tff_core.book import glossary, quiz

QUIZZES = sorted((ROOT / quiz.FOLDER).glob("*.yaml"))


@cache
def _questions(path: Path) -> list[dict[str, Any]]:
    return list(quiz.load(path)["questions"])


# ------------------------------------------------------------------------------------------------ the files


def test_there_are_ten_quizzes_and_each_has_a_page() -> None:
    named = {
        re.search(r"\{quiz\} (\w+)", page.read_text("utf-8"))[1]  # type: ignore[index]
        for page in (ROOT / "book" / "course").glob("quiz_*.md")
    }
    assert named == {path.stem for path in QUIZZES}
    assert len(QUIZZES) == 10


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_a_quiz_has_ten_questions_that_are_as_they_should_be(path: Path) -> None:
    questions = _questions(path)
    assert len(questions) >= 10
    assert len({question["question"] for question in questions}) == len(questions)
    for question in questions:
        assert any((ROOT / f"{question['read']}{ending}").is_file() for ending in (".py", ".md")), question


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_the_numbers_of_a_quiz_are_what_arithmetic_gives(path: Path) -> None:
    for question in _questions(path):
        if question["kind"] == "number":
            found = quiz.arithmetic(str(question["check"]))
            assert found == pytest.approx(question["answer"], abs=question["tolerance"] + 1e-9)
            assert question["answer"] == pytest.approx(found, rel=2e-3)  # whatever the tolerance: no slip


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_the_right_answer_has_no_fixed_place(path: Path) -> None:
    places = {
        quiz.mixed([answer["text"] for answer in question["answers"]]).index(
            next(n for n, answer in enumerate(question["answers"]) if answer.get("right"))
        )
        for question in _questions(path)
        if question["kind"] == "single"
    }
    assert len(places) > 1


@pytest.mark.parametrize(
    ("expression", "value"), [("(1 + 2/3) / 2", 5 / 6), ("-2**2", -4), ("4.3 * 0.1 / 3 ** 0.5", 0.2482606)]
)
def test_arithmetic(expression: str, value: float) -> None:
    assert quiz.arithmetic(expression) == pytest.approx(value)


@pytest.mark.parametrize("text", ["__import__('os')", "a + 1", "1 +", "abs(1)", "True", "[1][0]"])
def test_arithmetic_takes_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="is not arithmetic"):
        quiz.arithmetic(text)


SINGLE = {
    "question": "What?", "kind": "single", "why": "So.", "read": "page",
    "answers": [{"text": "a", "right": True}, {"text": "b", "feedback": "No."}],
}  # fmt: skip
NUMBER = {
    "question": "How much?", "kind": "number", "why": "So.", "read": "page",
    "answer": 2, "check": "1 + 1", "tolerance": 0.1, "wrong": [{"value": 3, "feedback": "Too much."}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("question", "change", "told"),
    [
        (SINGLE, {"kind": "essay"}, "kind is 'essay': expected one of"),
        (SINGLE, {"why": None}, "why must be text"),
        (SINGLE, {"hint": "x"}, "hint unknown"),
        (SINGLE, {"answers": [{"text": "a", "right": True}]}, "two answers or more"),
        (SINGLE, {"answers": [{"text": "a"}, {"text": "b", "right": True}]}, "answer 1 has no feedback"),
        (SINGLE, {"answers": [{"text": t, "feedback": "No."} for t in "ab"]}, "0 answers are right"),
        (SINGLE, {"answers": [{"text": t, "right": True} for t in "ab"]}, "2 answers are right"),
        (SINGLE, {"answers": [{"text": "a", "right": "yes"}, {"text": "b"}]}, "right is 'yes'"),
        (SINGLE, {"answers": [{"text": "a", "rest": None}, {"text": "b"}]}, "answer 1 needs a text"),
        (NUMBER, {"answer": 5}, "answer is 5, but check gives 2"),
        (NUMBER, {"check": "1 / 0"}, "check: "),
        (NUMBER, {"tolerance": -1}, "tolerance is -1"),
        (NUMBER, {"wrong": [{"value": 2.05, "feedback": "x"}]}, "within the tolerance"),
        (NUMBER, {"wrong": [{"value": 3, "feedback": ""}]}, "has no feedback"),
    ],
)
def test_an_error_names_file_and_question(
    tmp_path: Path, question: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    path = tmp_path / "mine.yaml"
    questions = [deepcopy(SINGLE), deepcopy(question) | change]
    path.write_text(yaml.safe_dump({"title": "T", "questions": questions}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml, question 2: ") as error:
        quiz.load(path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_quiz_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(FileNotFoundError, match=r"mine\.yaml does not exist"):
        quiz.load(path)
    for text, told in (("a: [", "is not YAML"), ("title: T", "must have a title and questions")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=told) as error:
            quiz.load(path)
        assert "\n" not in str(error.value)


# ----------------------------------------------------------------------------------------------- small site

CHAPTER = """# Relevance in the title

A Feature map and more feature
maps; `relevance` in code, [relevance](https://example.org) in a link, then relevance and relevance again.
**LRP** splits it. The spectra of patches, an AP, but no apple, no ap, and no double-relevance.

| relevance | omega |
|---|---|
| top-k | low-k |
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All quizzes, the glossary and one chapter, built by Sphinx with nothing but this book's extension."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for folder in ("quizzes", "course", "static"):
        shutil.copytree(ROOT / "book" / folder, source / "book" / folder)
    for path in (source / "book" / "course").glob("*.md"):
        if not re.match(r"quiz_|glossary", path.name):  # the others are made by the workflow, or list pages
            path.unlink()
    pages = {question["read"] for path in QUIZZES for question in _questions(path)}
    pages |= set(re.findall(r"\{doc\}`/([^`]+)`", (source / "book/course/glossary.md").read_text("utf-8")))
    for page in pages:
        (source / page).parent.mkdir(exist_ok=True, parents=True)
        (source / f"{page}.md").write_text(f"# Page {page}\n", encoding="utf-8")
    (source / "notebooks" / "chapter.md").write_text(CHAPTER, encoding="utf-8")
    (source / "index.md").write_text("# Index\n\n```{toctree}\n:glob:\nbook/**\nnotebooks/**\n```\n")
    (source / "conf.py").write_text(
        'extensions = ["myst_parser", "sphinx.ext.mathjax", "tff_core.book.sphinx_extension"]\n'
        'myst_enable_extensions = ["dollarmath"]\n'
        'html_theme = "basic"\nhtml_static_path = ["book/static"]\nmathjax_path = "mathjax.js"\n'
    )
    assert build_main(["-q", "-W", "-n", "-b", "html", str(source), str(out)]) == 0
    return out


def _html(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text("utf-8")


@pytest.mark.parametrize("number", range(1, 11))
def test_a_page_without_a_script_has_every_question_and_answer(site: Path, number: int) -> None:
    page = _html(site, f"book/course/quiz_{number:02d}")
    name = re.search(r'id="quiz-(\w+)"', page)[1]  # type: ignore[index]
    questions = _questions(ROOT / quiz.FOLDER / f"{name}.yaml")
    form = page[page.index('class="tff-quiz"') : page.index('class="tff-score"')]
    counted = {
        text: form.count(text) for text in ("<fieldset", "<legend", "<summary>Answer</summary>", "tff-read")
    }
    assert set(counted.values()) == {len(questions)}, counted
    links = re.findall(r'tff-read">Read: <a class="reference internal" href="([^"]+)"', form)
    assert len(links) == len(questions)
    assert all((site / "book" / "course" / link).is_file() for link in links)
    assert form.count('data-right="no"') >= sum(question["kind"] != "order" for question in questions)
    assert form.count("<form") == 0  # Enter would send one
    assert re.sub(r'data-plain="[^"]*"', "", form).count("$") == 0  # formulas are formulas
    assert page.count("quiz.js") == page.count("mathjax.js") == 1


def test_other_pages_load_no_script_of_quizzes(site: Path) -> None:
    assert "quiz.js" not in _html(site, "notebooks/chapter")


def test_an_error_of_a_quiz_stops_a_strict_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "book" / "quizzes"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("title: T\nquestions: [{kind: essay}]\n")
    (tmp_path / "index.md").write_text("# T\n\n```{quiz} mine\n```\n")
    (tmp_path / "conf.py").write_text(
        'extensions = ["myst_parser", "tff_core.book.sphinx_extension"]\nhtml_theme = "basic"\n'
    )
    assert build_main(["-q", "-W", "-b", "html", str(tmp_path), str(tmp_path / "out")]) != 0
    assert "book/quizzes/mine.yaml, question 1: kind is 'essay'" in capfd.readouterr().err


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    """A telephone at night."""
    return browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")


@pytest.mark.slow
def test_a_quiz_is_answered_in_a_browser(site: Path, page: Page) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / "book" / "course" / "quiz_04.html").as_uri())
    forms = page.locator(".tff-question")
    questions = _questions(ROOT / quiz.FOLDER / "omega.yaml")
    assert page.locator("details:visible").count() == 0
    # a known mistake is told why, by keyboard alone, and the answer is kept back
    first = forms.nth(0)
    first.locator("input").press_sequentially("1/3")
    first.locator("input").press("Enter")
    assert first.get_attribute("data-result") == "wrong"
    assert first.locator("li:visible").count() == 1
    assert questions[0]["wrong"][0]["feedback"] in first.locator("li:visible").inner_text()
    assert questions[0]["wrong"][0]["feedback"] in first.get_by_role("status").inner_text()
    assert not first.locator(".tff-why").is_visible()
    # right, with a comma; the first try counts
    first.locator("input").fill("0,5")
    first.get_by_role("button", name="Check question 1", exact=True).click()
    assert first.get_by_role("status").inner_text().startswith("Right.")
    assert first.locator(".tff-why").is_visible()
    # one that is right at once
    number = next(n for n, question in enumerate(questions) if question["kind"] == "single")
    texts = [answer["text"] for answer in questions[number]["answers"]]
    right = next(n for n, answer in enumerate(questions[number]["answers"]) if answer.get("right"))
    second = forms.nth(number)
    second.locator("input").nth(quiz.mixed(texts).index(right)).press("Space")
    second.get_by_role("button").click()
    assert second.get_attribute("data-result") == "right"
    score = page.locator(".tff-score")
    assert score.inner_text() == f"1 of 2 answered right at the first try; {len(questions) - 2} to go."
    # nothing chosen is no answer; a second error is told all
    several = forms.nth(next(n for n, question in enumerate(questions) if question["kind"] == "multiple"))
    several.get_by_role("button").click()
    assert several.get_by_role("status").inner_text() == "Choose at least one answer first."
    for _ in range(2):
        for box in several.locator("input").all():
            box.check()
        several.get_by_role("button").click()
    assert several.locator("li:visible").count() == several.locator("input").count()
    assert "1 of 3" in score.inner_text()
    assert page.evaluate("document.querySelector('.tff-quiz').scrollWidth - window.innerWidth") <= 0
    page.get_by_role("button", name="Start again").click()
    assert not score.is_visible()
    assert page.locator("[data-result], input:checked").count() == 0
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_an_order_is_checked_place_by_place(site: Path, page: Page) -> None:
    page.goto((site / "book" / "course" / "quiz_01.html").as_uri())
    form = page.locator('[data-kind="order"]').first
    fields = form.locator("select").all()
    places = [int(field.get_attribute("data-place") or "") for field in fields]
    swapped = {1: 2, 2: 1}
    for given, told in ((lambda n: swapped.get(n, n), 2), (lambda n: n, len(fields))):
        for field, place in zip(fields, places, strict=True):
            field.select_option(str(given(place)))
        form.get_by_role("button").click()
        assert form.locator("li:visible").count() == told
    assert form.get_attribute("data-result") == "right"


# ----------------------------------------------------------------------------------------------- glossary


@pytest.mark.slow
def test_the_glossary_is_long_and_each_entry_has_two_sentences_and_a_chapter() -> None:
    text = (ROOT / "book" / "course" / "glossary.md").read_text("utf-8")
    found = re.findall(r"((?:^\S.*\n)+)((?:^ +\S.*\n)+)", text.split("{glossary}\n")[1], flags=re.MULTILINE)
    assert len(found) >= 60
    for names, body in found:
        plain = " ".join(body.split())
        assert re.search(r"\{doc\}`/(notebooks|book)/\w+`\.$", plain), names
        assert len(re.findall(r"[.:]\s(?=[A-Z])|\.\s\{doc", plain)) >= 2, names
        page = re.search(r"\{doc\}`/([^`]+)`", plain)[1]  # type: ignore[index]
        assert any((ROOT / f"{page}{ending}").is_file() for ending in (".py", ".md")), page


@pytest.mark.slow
def test_first_uses_in_prose_lead_to_their_entries(site: Path) -> None:
    page, target = _html(site, "notebooks/chapter"), _html(site, "book/course/glossary")
    links = re.findall(
        r'<a class="([^"]*)" href="../book/course/glossary.html#([^"]+)" title="[^"]+">([^<]+)<', page
    )
    assert all("tff-term" in kind for kind, _, _ in links)
    assert [" ".join(words.split()) for _, _, words in links] == [
        "Feature map", "relevance", "LRP", "spectra", "AP",
    ]  # fmt: skip
    for _, anchor, _ in links:
        assert f'id="{anchor}"' in target
    assert "then <a" in page  # not the code, not the link, but the next one
    assert "tff-term" not in target


def _linked(text: str, *names: str) -> list[str]:
    document = nodes.document("", None, "")  # type: ignore[arg-type]
    document += nodes.paragraph("", "", nodes.Text(text))
    linker = glossary.Linker([glossary.Entry((name,), f"term-{name}", "") for name in names])
    assert linker.link(document, "g.html") == len(list(document.findall(nodes.reference)))
    assert document.astext() == text
    return [link.astext() for link in document.findall(nodes.reference)]


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("two spectra", "spectrum", ["spectra"]),
        ("Analyses differ", "analysis", ["Analyses"]),
        ("frequencies", "frequency", ["frequencies"]),
        ("surveys", "survey", ["surveys"]),
        ("patches", "patch", ["patches"]),
        ("Holm\u2019s correction", "Holm's correction", ["Holm\u2019s correction"]),
        ("aps and AP", "AP", ["AP"]),
        ("the z+ rule", "z+ rule", ["z+ rule"]),
        ("remasked, mask-like", "mask", []),
        ("a feature\nmap", "feature map", ["feature\nmap"]),
    ],
)
def test_terms_are_found_as_words(text: str, name: str, found: list[str]) -> None:
    assert _linked(text, name) == found


def test_the_longest_term_wins_and_each_is_linked_once() -> None:
    text = "average precision, then precision, then average precision"
    assert _linked(text, "precision", "average precision") == ["average precision", "precision"]


@pytest.mark.slow
def test_a_word_is_held_to_the_terms_that_begin_like_it_alone() -> None:
    """A glossary as long as the book's does not make long pages slow."""
    text = (ROOT / "book" / "course" / "glossary.md").read_text("utf-8")
    names = re.findall(r"^(\w.*)$", text.split("{glossary}\n")[1], flags=re.MULTILINE)
    linker = glossary.Linker([glossary.Entry((name,), name, "") for name in names])
    held: list[str] = []

    class Watched:
        def __init__(self, own: re.Pattern[str]) -> None:
            self.own = own

        def match(self, text: str, start: int) -> re.Match[str] | None:
            held.append(self.own.pattern)
            return self.own.match(text, start)

    linker._names = {  # type: ignore[assignment]
        start: [(Watched(own), entry) for own, entry in found] for start, found in linker._names.items()
    }
    document = nodes.document("", None, "")  # type: ignore[arg-type]
    document += nodes.paragraph("", "", nodes.Text(text))
    assert linker.link(document, "g.html") > 60
    words = len(re.findall(r"\w+", text))
    assert len(held) < 2 * words and len(names) > 100  # a term for each word, not a hundred
