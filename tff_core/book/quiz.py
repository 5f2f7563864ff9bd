"""Quizzes of the book: a directive that turns ``book/quizzes/NAME.yaml`` into a form that needs no kernel.

The page is complete without a script: every question has its answers, with feedback, in a fold. ``quiz.js``
adds a button that checks one question, and a score. Nothing is sent anywhere.

A quiz is a mapping of ``title`` and ``questions``; `check` says what a question must have::

    title: Detectors and average precision
    questions:
      - question: A detector ranks fake, real, fake. What is its AP?
        kind: number                 # single, multiple, number or order
        answer: 0.8333
        check: (1 + 2/3) / 2         # the same, as arithmetic: what a test recomputes
        tolerance: 0.005
        wrong: [{value: 0.6667, feedback: That is the precision at the last fake alone.}]
        why: Precision is 1 at the first fake and 2/3 at the second.
        read: notebooks/01_universal_detectors

``answers`` of *single* and *multiple* have ``text``, ``right`` and, where wrong, ``feedback``; those of
*order* have ``text`` and ``feedback`` and stand in the right order. Text is Markdown of one paragraph, with
mathematics between dollars.
"""

from __future__ import annotations

import ast
import hashlib
import operator
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "book/quizzes"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick where libyaml is there
KINDS = ("single", "multiple", "number", "order")
_HOW = {
    "single": "One answer is right.",
    "multiple": "Choose all that are right.",
    "number": "Enter a number; 0.25, 0,25 and 1/4 are the same.",
    "order": "Give every line its place.",
}
_COMMON = {"question", "kind", "why", "read"}
_FIELDS = {
    "single": {"answers"},
    "multiple": {"answers"},
    "number": {"answer", "check", "tolerance", "wrong"},
    "order": {"answers"},
}
_OPERATIONS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg,
}  # fmt: skip


def arithmetic(text: str) -> float:
    """The value of an expression of numbers, ``+ - * / **`` and parentheses; ValueError for anything else.

    >>> arithmetic("(1 + 2/3) / 2")
    0.8333333333333333
    """

    def value(node: ast.AST) -> float:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int | float)
            and type(node.value) is not bool
        ):
            return float(node.value)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.operand))
        raise ValueError(f"{text!r} is not arithmetic: expected numbers, + - * / ** and parentheses")

    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(
            f"{text!r} is not arithmetic: expected numbers, + - * / ** and parentheses"
        ) from None
    return value(tree)


def load(path: Path) -> dict[str, Any]:
    """The quiz in ``path``, checked.

    ValueError with one sentence, which names the file and the question, for whatever is not as it should be;
    FileNotFoundError where there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected the questions of the quiz {path.stem!r}")
    try:
        quiz = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise ValueError(f"{path} is not YAML: {told}") from None
    if not isinstance(quiz, dict) or set(quiz) != {"title", "questions"}:
        raise ValueError(f"{path} must have a title and questions, and nothing else")
    if not isinstance(quiz["questions"], list) or not quiz["questions"]:
        raise ValueError(f"{path}: expected a list of questions")
    for number, question in enumerate(quiz["questions"], 1):
        wrong = check(question)
        if wrong:
            raise ValueError(f"{path}, question {number}: {wrong}")
    return quiz


def check(question: Any) -> str:
    """What is wrong with one question, in words; empty where nothing is."""
    if not isinstance(question, dict):
        return "expected fields such as question and kind"
    kind = question.get("kind")
    if kind not in KINDS:
        return f"kind is {kind!r}: expected one of {', '.join(KINDS)}"
    expected = _COMMON | _FIELDS[kind]
    missing = expected - set(question) - {"wrong"}
    if missing:
        return f"{', '.join(sorted(missing))} missing"
    unknown = set(question) - expected
    if unknown:
        return f"{', '.join(sorted(map(str, unknown)))} unknown: expected {', '.join(sorted(expected))}"
    for name in ("question", "why", "read"):
        if not _is_text(question[name]):
            return f"{name} must be text, not empty"
    return _number(question) if kind == "number" else _answers(question, kind)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(question: Mapping[str, Any]) -> str:
    for name in ("answer", "tolerance"):
        if type(question[name]) not in (int, float):
            return f"{name} is {question[name]!r}: expected a number"
    answer, tolerance = question["answer"], question["tolerance"]
    if tolerance < 0:
        return f"tolerance is {tolerance}: expected 0 or more"
    try:
        found = arithmetic(str(question["check"]))
    except (ValueError, ZeroDivisionError) as error:
        return f"check: {error}"
    if abs(found - answer) > tolerance + 1e-9:
        return f"answer is {answer}, but check gives {found:g}"
    for mistake in question.get("wrong") or []:
        if set(mistake) != {"value", "feedback"} or type(mistake["value"]) not in (int, float):
            return "each of wrong needs a value, a number, and feedback"
        if not _is_text(mistake["feedback"]):
            return f"the wrong answer {mistake['value']} has no feedback"
        if abs(mistake["value"] - answer) <= tolerance:
            return f"the wrong answer {mistake['value']} is within the tolerance of the right one"
    return ""


def _answers(question: Mapping[str, Any], kind: str) -> str:
    answers = question["answers"]
    if not isinstance(answers, list) or len(answers) < 2:
        return "expected two answers or more"
    for number, answer in enumerate(answers, 1):
        allowed = {"text", "feedback"} | (set() if kind == "order" else {"right"})
        if not isinstance(answer, dict) or not set(answer) <= allowed or not _is_text(answer.get("text")):
            return f"answer {number} needs a text, and may have {', '.join(sorted(allowed - {'text'}))}"
        if type(answer.get("right", False)) is not bool:
            return f"answer {number}: right is {answer['right']!r}: expected true or false"
        needs = kind != "single" or not answer.get("right")
        if needs and not _is_text(answer.get("feedback")):
            return f"answer {number} has no feedback"
    right = sum(answer.get("right", False) for answer in answers)
    if kind == "single" and right != 1:
        return f"{right} answers are right: expected exactly one"
    if kind == "multiple" and not right:
        return "no answer is right: expected one or more"
    return ""


def mixed(texts: list[str]) -> list[int]:
    """In which order to show answers: by chance, but always the same for the same texts, and not sorted."""
    order = list(range(len(texts)))
    seed = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    random.Random(seed).shuffle(order)
    return order[1:] + order[:1] if order == sorted(order) else order


class quiz_tag(nodes.General, nodes.TextElement):
    """An HTML element around its children; ``marks`` are its attributes. Other writers print them plainly."""


def _tag(name: str, /, *children: nodes.Node, **marks: str) -> quiz_tag:
    """``class_`` and ``data_right`` stand for class and data-right."""
    plain = {key.rstrip("_").replace("_", "-"): value for key, value in marks.items()}
    return quiz_tag("", "", *children, tag=name, marks=plain)


def _visit_html(writer: Any, node: quiz_tag) -> None:
    marks = "".join(
        f' {name}="{writer.attval(value)}"' if value else f" {name}" for name, value in node["marks"].items()
    )
    writer.body.append(f"<{node['tag']}{marks}>")


def _depart_html(writer: Any, node: quiz_tag) -> None:
    if node["tag"] != "input":
        writer.body.append(f"</{node['tag']}>\n")


def _nothing(writer: Any, node: quiz_tag) -> None:
    pass


class Quiz(SphinxDirective):
    """``{quiz} NAME``: the questions of ``book/quizzes/NAME.yaml``."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """The quiz as nodes; an error of the file is an error of the directive."""
        name = self.arguments[0]
        path = Path(self.env.srcdir) / FOLDER / f"{name}.yaml"
        self.env.note_dependency(str(path))
        try:
            quiz = load(path)
        except (ValueError, FileNotFoundError) as error:
            raise self.error(str(error).replace(f"{self.env.srcdir}/", "")) from None
        questions = [self._question(name, n, q) for n, q in enumerate(quiz["questions"], 1)]
        foot = _tag("p", class_="tff-score", role="status", hidden="")
        return [
            _tag(
                "div", *questions, foot, class_="tff-quiz", id=f"quiz-{name}", role="group",
                aria_label=quiz["title"],
            )
        ]  # fmt: skip

    def _text(self, text: str) -> list[nodes.Node]:
        found, messages = self.state.inline_text(" ".join(text.split()), self.lineno)
        return [*found, *messages]

    def _question(self, name: str, number: int, question: Mapping[str, Any]) -> quiz_tag:
        kind, key = question["kind"], f"{name}-{number}"
        head = _tag("legend", _tag("span", nodes.Text(f"Question {number}"), class_="tff-number"))
        head += [nodes.Text(" "), *self._text(question["question"])]
        # the fold is filled while the form is: both show the answers in one order
        choices, fold = getattr(self, f"_{kind}")(key, question)
        how = _tag("p", nodes.Text(_HOW[kind]), class_="tff-how", id=f"{key}-how")
        result = _tag("p", class_="tff-result", role="status")
        why = _tag("p", *self._text(question["why"]), class_="tff-why")
        read = _tag("p", nodes.Text("Read: "), self._link(question["read"]), class_="tff-read")
        summary = _tag("summary", nodes.Text("Answer"))
        # no <form>: without the script, Enter would send one
        return _tag(
            "div",
            _tag("fieldset", head, how, *choices, aria_describedby=f"{key}-how"),
            result,
            _tag("details", summary, *fold, why, read, class_="tff-answer"),
            class_="tff-question", data_kind=kind,
        )  # fmt: skip

    def _link(self, page: str) -> nodes.Node:
        target = addnodes.pending_xref(
            "", nodes.inline("", page), refdomain="std", reftype="doc", reftarget=f"/{page}",
            refexplicit=False, refwarn=True, refdoc=self.env.docname,
        )  # fmt: skip
        target.line = self.lineno
        return target

    def _feedback(self, marks: dict[str, str], *said: str) -> quiz_tag:
        parts: list[nodes.Node] = []
        for text in filter(None, said):
            parts += [nodes.Text(" "), *self._text(text)] if parts else self._text(text)
        return _tag("li", *parts, data_plain=" ".join(said).replace("$", ""), **marks)

    def _chosen(
        self, key: str, question: Mapping[str, Any], box: str
    ) -> tuple[list[nodes.Node], list[nodes.Node]]:
        answers = question["answers"]
        labels: list[nodes.Node] = []
        told = _tag("ul", class_="tff-feedback")
        for place, index in enumerate(mixed([answer["text"] for answer in answers])):
            answer, value = answers[index], str(place)
            entry = _tag("input", type=box, name=key, value=value, autocomplete="off")
            label = _tag("label", entry, _tag("span", *self._text(answer["text"])), class_="tff-choice")
            labels.append(label)
            right = bool(answer.get("right"))
            line = self._feedback(
                {"data_value": value, "data_right": "yes" if right else "no"}, answer.get("feedback", "")
            )
            verdict = "Right: " if right else "Wrong: "
            line.insert(0, [_tag("b", nodes.Text(verdict)), _tag("q", *self._text(answer["text"]))])
            line.insert(2, nodes.Text(" "))
            told += line
        return labels, [told]

    def _single(self, key: str, question: Mapping[str, Any]) -> tuple[list[nodes.Node], list[nodes.Node]]:
        return self._chosen(key, question, "radio")

    def _multiple(self, key: str, question: Mapping[str, Any]) -> tuple[list[nodes.Node], list[nodes.Node]]:
        return self._chosen(key, question, "checkbox")

    def _number(self, key: str, question: Mapping[str, Any]) -> tuple[list[nodes.Node], list[nodes.Node]]:
        entry = _tag("input", type="text", inputmode="decimal", autocomplete="off", name=key, size="10")
        label = _tag("label", _tag("span", nodes.Text("Your answer")), entry, class_="tff-entry")
        told = _tag("ul", class_="tff-feedback")
        answer, tolerance = question["answer"], question["tolerance"]
        line = self._feedback({"data_value": f"{answer:.12g}", "data_right": "yes"}, "")
        line += [_tag("b", nodes.Text("Right: ")), nodes.Text(f"{answer:g}")]
        told += line
        for mistake in question.get("wrong") or []:
            line = self._feedback(
                {"data_value": f"{mistake['value']:.12g}", "data_right": "no"}, mistake["feedback"]
            )
            line.insert(0, [_tag("b", nodes.Text("Wrong: ")), nodes.Text(f"{mistake['value']:g}. ")])
            told += line
        told["marks"]["data-tolerance"] = f"{tolerance:.12g}"
        return [label], [told]

    def _order(self, key: str, question: Mapping[str, Any]) -> tuple[list[nodes.Node], list[nodes.Node]]:
        answers = question["answers"]
        labels: list[nodes.Node] = []
        told = _tag("ol", class_="tff-feedback")
        for index in mixed([answer["text"] for answer in answers]):
            options = [_tag("option", nodes.Text("-"), value="")]
            options += [_tag("option", nodes.Text(str(n + 1)), value=str(n + 1)) for n in range(len(answers))]
            entry = _tag("select", *options, name=key, data_place=str(index + 1))
            text = _tag("span", *self._text(answers[index]["text"]))
            labels.append(_tag("label", entry, text, class_="tff-choice"))
        for index, answer in enumerate(answers):
            line = self._feedback({"data_value": str(index + 1), "data_right": "yes"}, answer["feedback"])
            line.insert(0, [_tag("q", *self._text(answer["text"])), nodes.Text(" ")])
            told += line
        return labels, [told]


def add_script(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Only pages with a quiz load its script and its style."""
    if 'class="tff-quiz"' in (context.get("body") or ""):
        app.add_js_file("quiz.js", loading_method="defer")
        app.add_css_file("quiz.css")


def setup(app: Sphinx) -> None:
    """Register the directive with Sphinx."""
    plain = (_nothing, _nothing)
    app.add_node(
        quiz_tag, html=(_visit_html, _depart_html), latex=plain, text=plain, man=plain, texinfo=plain
    )
    app.add_directive("quiz", Quiz)
    app.connect("html-page-context", add_script)
