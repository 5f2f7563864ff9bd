"""The book's Sphinx extension, its notebooks and the files that describe the environment."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from tff_core.book import sphinx_extension as book

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
import grid  # noqa: E402
import pairs  # noqa: E402


def _spec(html: str) -> dict[str, Any]:
    script = re.search(r"<script[^>]*>(.*)</script>", html, flags=re.DOTALL)
    assert script is not None
    return json.loads(script[1])


def test_a_figure_keeps_its_content_and_cannot_end_its_script() -> None:
    figure = {"data": [{"y": [1, 2]}], "layout": {"title": {"text": "</script><b>x</b>"}}}
    html = book.figure_html(figure)
    assert html.count("</script>") == 1
    assert _spec(html) == figure


def test_two_equal_figures_have_two_boxes() -> None:
    figure = {"data": [], "layout": {}}
    ids = {re.search(r'id="([^"]+)"', book.figure_html(figure))[1] for _ in range(3)}  # type: ignore[index]
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("layout", "label"),
    [
        ({"meta": {"alt": 'falls "far"'}, "title": {"text": "t"}}, "falls &quot;far&quot;"),
        ({"title": {"text": "<b>t</b>"}}, " t "),
        ({}, "figure"),
    ],
)
def test_a_figure_is_described_for_those_who_do_not_see_it(layout: dict[str, Any], label: str) -> None:
    assert f'aria-label="{label}"' in book.figure_html({"data": [], "layout": layout})


def test_scripts_come_from_installed_packages() -> None:
    scripts = book.offline_scripts()
    assert set(scripts) == {"plotly.min.js", "mathjax.js"}
    # plotly typesets formulas with MathJax's SVG output only
    assert "SVG" in scripts["mathjax.js"].read_text(encoding="utf-8")


TEMPLATES = {"generators/[^/]+": "notebooks/generator_page", "detectors/[^/]+/(.+)": r"notebooks/\1"}


def _page(pagename: str, buttons: list[dict[str, Any]], body: str = "") -> tuple[dict[str, Any], list[str]]:
    added: list[str] = []
    app = SimpleNamespace(
        config=SimpleNamespace(tff_page_templates=TEMPLATES, tff_launch=""),
        add_js_file=lambda name, **_: added.append(name),
    )
    scripts = [
        SimpleNamespace(filename="_static/sphinx-thebe.js", attributes={}),
        SimpleNamespace(filename=None, attributes={"body": "const THEBE_JS_URL = 1"}),
        SimpleNamespace(filename="_static/book.js", attributes={}),
    ]
    context = {"script_files": scripts, "header_buttons": buttons, "body": body}
    book.fix_page(app, pagename, "page.html", context, None)  # type: ignore[arg-type]
    return context, added


@pytest.mark.parametrize(
    ("page", "source"),
    [
        ("generators/resnet50-miniature.progan", "notebooks/generator_page"),
        ("detectors/efb0-miniature/03_sensitivity", "notebooks/03_sensitivity"),
        ("notebooks/03_sensitivity", "notebooks/03_sensitivity"),
    ],
)
def test_links_of_a_page_lead_to_what_it_was_made_from(page: str, source: str) -> None:
    base = "https://github.com/o/r"
    buttons = [
        {"type": "group", "buttons": [{"url": f"{base}/blob/main/{page}.ipynb"}, {"url": base}]},
        {"url": f"{base}/issues/new?title=%2F{page}.html"},
    ]
    context, _ = _page(page, buttons)
    group, issue = context["header_buttons"]
    assert [link["url"] for link in group["buttons"]] == [f"{base}/blob/main/{source}.ipynb", base]
    assert issue["url"] == f"{base}/issues/new?title=%2F{page}.html"


def test_pages_load_plotly_where_a_figure_is_and_never_the_live_code_script() -> None:
    context, added = _page("notebooks/x", [], body=book.figure_html({"data": []}))
    assert [script.filename for script in context["script_files"]] == ["_static/book.js"]
    assert added == ["plotly.min.js"]
    assert _page("notebooks/x", [], body="<p>no figure</p>")[1] == []


def test_the_title_of_a_page_is_text_in_its_print_too() -> None:
    context: dict[str, Any] = {"pagetitle": "A & <b>", "script_files": [], "header_buttons": []}
    app = SimpleNamespace(config=SimpleNamespace(tff_page_templates={}, tff_launch=""))
    book.fix_page(app, "notebooks/x", "page.html", context, None)  # type: ignore[arg-type]
    assert context["pagetitle"] == "A &amp; &lt;b&gt;"


def test_a_name_is_shown_letter_by_letter() -> None:
    title = "Mine & <img src=x onerror=alert(1)> {doc}`x` my_gan $x$ ** [a](b)\n# two"
    config = _config("config.yaml")
    pages = grid.pages(config | {"names": {"progan": title}}, ROOT)
    said = pages["generators/resnet50-miniature.progan"].title
    shown = MarkdownIt().enable("table").render(f"# {said}")
    assert (
        shown == f"<h1>{html.escape(' '.join(title.split()), quote=False)}, seen by resnet50-miniature</h1>\n"
    )


def _notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.py"))


@pytest.mark.slow
def test_every_notebook_is_in_step_with_its_twin() -> None:
    assert _notebooks()
    done = subprocess.run(
        [sys.executable, SCRIPTS / "pairs.py", "--check", *_notebooks()],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", _notebooks(), ids=lambda path: path.stem)
def test_a_notebook_has_a_heading_parameters_and_no_output(path: Path) -> None:
    twin = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    notebook = pairs.read(path)
    assert pairs.title(notebook)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in twin["cells"]) == 1
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in twin["cells"])


def test_cell_ids_follow_from_the_cells(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("# %% [markdown]\n# # T\n\n# %%\nx = 1\n\n# %%\nx = 1\n")
    first, second = pairs.dumps(pairs.read(source)), pairs.dumps(pairs.read(source))
    assert first == second
    ids = [cell["id"] for cell in json.loads(first)["cells"]]
    assert len(set(ids)) == 3
    # a cell added in front leaves the ids of the others alone
    source.write_text("# %% [markdown]\n# # T\n\n# %%\ny = 2\n\n# %%\nx = 1\n\n# %%\nx = 1\n")
    assert set(ids) < {cell["id"] for cell in json.loads(pairs.dumps(pairs.read(source)))["cells"]}


def _config(*names: str) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in names:
        config |= yaml.safe_load((ROOT / "workflow" / name).read_text(encoding="utf-8"))
    return config


def test_one_page_per_chapter_and_detector_and_per_generator() -> None:
    config = _config("config.yaml")
    pages = grid.pages(config | {"detectors": config["all_detectors"]}, ROOT)
    first, second = config["all_detectors"]
    assert pages["notebooks/03_sensitivity"].detector == first
    assert pages[f"detectors/{second}/03_sensitivity"].parameters["detector"] == second
    wanted = {f"generators/{d}.{g}" for d in (first, second) for g in config["generators"]}
    assert wanted == {name for name in pages if name.startswith("generators/")}


def test_the_contents_list_pages_of_the_grid_in_its_order_and_nothing_empty() -> None:
    config = _config("config.yaml")
    toc = grid.resolved_toc(config, ROOT)
    entries = [name for name in grid.entries(toc) if name.startswith("generators/")]
    assert entries == [f"generators/{config['detectors'][0]}.{g}" for g in config["generators"]]
    assert not any("*" in name for name in grid.entries(toc))
    assert all(part.get("chapters") for part in toc["parts"])


def test_a_missing_chapter_is_named(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/gone\n")
    with pytest.raises(ValueError, match=r"_toc\.yml lists 'book/gone', but neither .* exists"):
        grid.read_toc(tmp_path)


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _pins(text: str) -> dict[str, set[str]]:
    """Name -> versions of a lock file; several where the version depends on the Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE):
        found.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return found


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project, pins = _project(), _pins(text)
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=!~ \[;]", line, maxsplit=1)[0].lower() for line in wanted}
    assert names <= set(pins)
    assert "://" not in text
    blocks = re.findall(r"^\S+==(?:.*\n)(?:    .*\n)*", text, flags=re.MULTILINE)
    assert len(blocks) == sum(map(len, pins.values()))
    assert all("--hash=sha256:" in block for block in blocks)


def test_conda_and_binder_get_the_locked_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    pins = _pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    direct = [re.split(r"[<>=!~ \[;]", line, maxsplit=1)[0].lower() for line in _project()["dependencies"]]
    assert pip == [*(f"{name}=={min(pins[name])}" for name in sorted(direct)), "--editable ."]
    assert any(entry.startswith("python=") for entry in conda)
