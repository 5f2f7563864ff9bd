"""The workflow: what is stale is made again and nothing else; kills, failures and second builds end well."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT, TinyBook

SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))
import build  # noqa: E402
import grid  # noqa: E402
import imports  # noqa: E402
import pairs  # noqa: E402
import setup_env  # noqa: E402
import stage  # noqa: E402
from tff_core.attribution import baselines  # noqa: E402
from tff_core.claims import verdicts  # noqa: E402

in_the_book = [pytest.mark.slow, pytest.mark.book, pytest.mark.xdist_group("book")]


# ---- which code a step depends on


def _package(root: Path) -> None:
    (root / "tff_core" / "sub").mkdir(parents=True)
    (root / "tff_core" / "__init__.py").write_text("")
    (root / "tff_core" / "a.py").write_text("def f():\n    from tff_core import b\n    return b\n")
    (root / "tff_core" / "b.py").write_text("from .sub import x\n")
    (root / "tff_core" / "c.py").write_text("")
    (root / "tff_core" / "sub" / "__init__.py").write_text("")
    (root / "tff_core" / "sub" / "x.py").write_text("from ..c import y\n")
    (root / "tff_core" / "sub" / "table.csv").write_text("1\n")
    (root / "tff_core" / "unrelated.py").write_text("")


def test_a_step_depends_on_what_it_imports_and_on_nothing_else(tmp_path: Path) -> None:
    _package(tmp_path)
    found = imports.closure([tmp_path / "tff_core" / "a.py"], tmp_path)
    names = {path.relative_to(tmp_path / "tff_core").as_posix() for path in found}
    assert names == {"__init__.py", "a.py", "b.py", "c.py", "sub/__init__.py", "sub/x.py", "sub/table.csv"}


@pytest.mark.parametrize(
    ("file", "text", "stale"),
    [
        (
            "a.py",
            '"""Words."""\ndef f():\n    """More."""\n    from tff_core import b  # why\n    return (b)\n',
            False,
        ),
        ("a.py", "def f():\n    from tff_core import b\n    return [b]\n", True),
        ("c.py", "y = 1\n", True),
        ("sub/table.csv", "2\n", True),
        ("unrelated.py", "z = 1\n", False),
    ],
)
def test_code_is_stale_when_it_does_something_else(tmp_path: Path, file: str, text: str, stale: bool) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for root in (before, after):
        _package(root)
    (after / "tff_core" / file).write_text(text)
    old, new = (imports.fingerprint([root / "tff_core" / "a.py"], root) for root in (before, after))
    assert (new != old) is stale


def test_what_was_read_of_a_file_is_kept_and_holds_for_its_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "KEPT", tmp_path / "cache" / "facts.json")
    found = []
    for text in ("y = 1\n", "y = 2\n", "y = 1  # as before\n"):
        for kept in ("as it is", "[1, 2", "{"):  # in turn whole, another thing, and cut off
            root = tmp_path / f"{len(found)}"
            _package(root)
            (root / "tff_core" / "c.py").write_text(text)
            if kept != "as it is":
                imports.KEPT.write_text(kept)
            imports._kept.cache_clear()
            found.append(imports.fingerprint([root / "tff_core" / "a.py"], root))
            imports._keep()
    assert found[0] == found[1] == found[2] == found[6] == found[8] != found[3] == found[5]
    imports._kept.cache_clear()
    assert imports._kept() and [path.name for path in imports.KEPT.parent.iterdir()] == ["facts.json"]


def test_what_only_exercises_do_makes_no_page_stale(tmp_path: Path) -> None:
    _package(tmp_path)
    notebook = tmp_path / "01_x.py"
    notebook.write_text("# %% [markdown]\n# # X\n\n# %%\nfrom tff_core import c\n")
    old, files = imports.fingerprint([notebook], tmp_path), imports.closure([notebook], tmp_path)
    exercise = '\n# %% [markdown] tags=["exercise"]\n# ```{exercise} Y\n# ```\n\n# %% tags=["hidden-test"]\n'
    again = tmp_path / "again" / "01_x.py"
    again.parent.mkdir()
    again.write_text(notebook.read_text() + exercise + "from tff_core import unrelated\nassert unrelated.z\n")
    assert imports.fingerprint([again], tmp_path) == old
    assert [path for path in imports.closure([again], tmp_path) if path != again] == files[1:]


def test_weights_of_another_family_make_no_pictures_stale(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tff_core", tmp_path / "tff_core", ignore=shutil.ignore_patterns("__pycache__"))
    weights = tmp_path / imports.WEIGHTS
    shutil.copyfile(next(weights.glob("stargan.s*.safetensors")), weights / "stargan.s0.safetensors")
    start = Path("tff_core") / "miniature" / "__main__.py"
    different = {
        families: len({imports.fingerprint([root / start], root, families) for root in (ROOT, tmp_path)})
        for families in (None, ("progan",), ("stargan",))
    }
    assert different == {None: 2, ("progan",): 1, ("stargan",): 2}


# ---- the pages of the grid


def _config(**changes: Any) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "workflow" / "config.yaml").read_text(encoding="utf-8"))
    return {**config, **changes}


def test_a_page_is_told_what_its_notebook_declares_and_nothing_else() -> None:
    pages = grid.pages(_config(n_test=0), ROOT)
    assert set(pages["notebooks/data_card"].parameters) == {"dataset", "generators", "n"}
    assert pages["notebooks/05_lrp_max"].parameters["n"] is None  # 0: all pictures
    one = pages["generators/resnet50-miniature.gaugan"].parameters
    assert one["generator"] == "gaugan"
    assert "generators" not in one
    assert grid.pages(_config(), ROOT)["notebooks/05_lrp_max"].parameters["n"] == 60


@pytest.mark.slow
def test_parameters_are_read_from_a_script_as_from_its_notebook() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.py")):
        assert grid._declared(path) == pairs.declared(pairs.read(path)), path.name


def test_a_build_starts_without_loading_what_reads_notebooks() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import build, grid, imports, sys; print(*sys.modules)"],
        cwd=SCRIPTS, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"jupytext", "nbformat", "torch", "pandas"} & set(told.stdout.split())


def test_one_more_generator_changes_what_speaks_of_all_and_adds_the_quick_chapters_for_it_alone() -> None:
    before, after = (grid.pages(_config(added=added), ROOT) for added in ([], ["mine"]))
    changed = {name for name in before if before[name].parameters != after[name].parameters}
    assert changed == {
        "notebooks/00_overview", "notebooks/01_universal_detectors", "notebooks/03_sensitivity",
        "notebooks/10_verdicts",
    }  # fmt: skip
    assert set(after) - set(before) == {"generators/resnet50-miniature.mine"}
    config = _config(added=["mine"])
    apart = grid.apart(config, ROOT)
    assert list(apart) == [f"added/mine/resnet50-miniature/{name}" for name in config["by_generator"]]
    assert {page.parameters["generators"][0] for page in apart.values()} == {"mine"}
    everything = {**after, **apart}
    of = {name: grid.about(config, everything, everything[f"generators/resnet50-miniature.{name}"])
          for name in ("mine", "gaugan")}  # fmt: skip
    assert of["mine"] == list(apart)
    assert of["gaugan"] == [f"notebooks/{name}" for name in config["by_generator"]]


def test_a_network_that_names_sources_is_trained_once_a_seed_and_a_plain_one_once() -> None:
    config = _config(source_networks=["modules_dct", "logistic_dct"], source_seeds=[4, 5])
    assert grid.attributors(config) == [("modules_dct", 4), ("modules_dct", 5), ("logistic_dct", 4)]
    assert grid.PLAIN == baselines.PLAIN


def test_an_added_generator_is_named_on_its_own_page_by_the_first_network_with_modules() -> None:
    config = _config(added=["mine"], source_networks=["notl_dct", "modules_pixel", "modules_dct"])
    named = {
        name: page.parameters["named_by"]
        for name, page in grid.pages(config, ROOT).items()
        if "named_by" in page.parameters
    }
    assert named.pop("generators/resnet50-miniature.mine") == "modules_pixel"
    assert len(named) == len(config["generators"]) and set(named.values()) == {"none"}
    assert grid.naming(_config(source_networks=["notl_dct"])) == "none"
    assert grid.naming(_config(dataset="forensynths")) == "none"
    assert grid.source_pictures(_config(n_test=0)) == {"train": 400, "val": 100, "test": 60}


def test_sources_are_learnt_from_what_ships_for_them_alone() -> None:
    config = _config(sources_known=["progan", "stylegan"], sources_unknown=["gaugan"])
    assert grid.learnt(config) == {"progan": "miniature", "stylegan": "miniature-sources"}
    assert [Path(name).name.split(".")[0] for name in grid.models(ROOT, "stylegan")] == ["stylegan"]
    everyone = {*_config()["sources_known"], *_config()["sources_unknown"]}
    assert all((ROOT / name).is_file() for source in everyone for name in grid.models(ROOT, source))
    there = grid.pages(config, ROOT)["notebooks/14_primary_secondary"]
    assert not there.lacks and there.parameters["sources_known"] == ["progan", "stylegan"]
    for without in (_config(source_networks=[]), _config(dataset="forensynths")):
        assert "networks that name" in grid.pages(without, ROOT)["notebooks/14_primary_secondary"].lacks


def test_a_detector_trained_elsewhere_has_one_seed_and_may_have_no_twin() -> None:
    entry = {"weights": "/w.pth", "arch": "resnet50"}
    config = _config(
        detectors=["wang", "own"], external={"wang": entry, "wang-cr": entry}, robust={"wang": "wang-cr"},
        seeds=[3, 4], robust_seeds=[5], classifiers={"wang": "imagenet"}, added=["mine"], left_to_all=[],
    )  # fmt: skip
    pages = grid.pages(config, ROOT)
    first, second = (pages[f"{place}/08_color_robust"].parameters for place in ("notebooks", "detectors/own"))
    assert (first["seeds"], first["robust"], first["robust_seeds"]) == ([0], "wang-cr", [0])
    assert (second["seeds"], second["robust"]) == ([3, 4], "")
    assert [name for name in pages if pages[name].lacks] == ["detectors/own/08_color_robust"]
    assert pages["notebooks/04_pixel_attribution"].parameters["classifier"] == "imagenet"
    apart = grid.apart(config, ROOT)
    assert "added/mine/wang/08_color_robust" in apart
    assert "added/mine/own/08_color_robust" not in apart


def test_a_further_detector_gets_the_chapters_that_are_named() -> None:
    some = {name: ["02_ff_rs", "08_color_robust"] for name in ("resnet50-miniature", "efb0-miniature")}
    config = _config(detectors=[*some], chapters_of=some, added=["mine"])
    pages, apart = grid.pages(config, ROOT), grid.apart(config, ROOT)
    assert [name for name in pages if name.startswith("detectors/")] == [
        f"detectors/efb0-miniature/{name}" for name in some["efb0-miniature"]
    ]
    assert [name for name in apart if "efb0" in name] == ["added/mine/efb0-miniature/08_color_robust"]
    # the first one has the main chapters, whatever is named
    assert {page.chapter for page in apart.values() if page.detector == "resnet50-miniature"} == set(
        config["by_generator"]
    )
    assert "generators/efb0-miniature.mine" in pages


def test_traces_are_planted_where_there_are_photographs_and_cases() -> None:
    page = grid.pages(_config(), ROOT)["notebooks/18_planted_truth"]
    assert not page.lacks and page.parameters["known_cases"] == _config()["known_cases"] and not page.detector
    for without in (_config(known_cases=[]), _config(dataset="forensynths")):
        assert "only the miniature has" in grid.pages(without, ROOT)["notebooks/18_planted_truth"].lacks


def test_what_is_left_to_make_all_is_text_in_make_and_executed_in_make_all() -> None:
    part, whole = (build.load_config("", everything) for everything in (False, True))
    left = [page for page in grid.pages(part, ROOT).values() if page.lacks]
    assert [page.chapter for page in left] == part["left_to_all"] != []
    assert all("make all" in page.lacks for page in left)
    assert not any(page.lacks for page in grid.pages(whole, ROOT).values())


def test_make_all_takes_what_it_is_to_take_and_leaves_out_nothing_that_make_has() -> None:
    part, whole = (build.load_config("", everything) for everything in (False, True))
    longer = [name for name in whole if name.startswith("all_")]
    assert {"all_detectors", "all_experiments", "all_spliced"} <= set(longer)
    for name in longer:
        short = name.removeprefix("all_")
        if isinstance(whole[name], dict):  # what `make all` changes of settings
            assert whole[name].items() <= whole[short].items() and set(part[short]) <= set(whole[short]), name
        elif isinstance(whole[name], bool):
            assert whole[short] == whole[name] and part[short] <= whole[short], name
        else:
            assert whole[short] == whole[name] and set(part[short]) <= set(whole[short]), name


def test_no_chapter_that_a_verdict_or_a_page_of_a_generator_reads_is_left_to_make_all() -> None:
    config = build.load_config("", False)
    read = {claim.chapter for claim in verdicts.CLAIMS} | set(config["by_generator"])
    assert not read & set(config["left_to_all"])


def test_a_twin_is_not_scored_under_sets_that_nothing_reads() -> None:
    config = _config(draws_random=5)
    assert grid.draws_random(config, "resnet50-miniature") == 5
    assert grid.draws_random(config, "resnet50-miniature-cr") == 0
    both = _config(draws_random=5, detectors=["resnet50-miniature", "resnet50-miniature-cr"])
    assert grid.draws_random(both, "resnet50-miniature-cr") == 5


def _dry_run(
    folder: Path, config: dict[str, Any], target: str = "html/.complete"
) -> subprocess.CompletedProcess[str]:
    (folder / "config.json").write_text(json.dumps(config))
    return subprocess.run(
        [sys.executable, "-m", "snakemake", target, "--snakefile", ROOT / "workflow" / "Snakefile",
         "--directory", folder, "--configfile", folder / "config.json", "--dry-run", "--cores", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_detectors_and_pictures_from_elsewhere_are_neither_trained_nor_sampled(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")
    entry = {"arch": "resnet50", "k": 114}
    external = {name: {**entry, "weights": str(tmp_path / file)}
                for name, file in (("wang", "a.pth"), ("wang-cr", "b.pth"))}  # fmt: skip
    folders = {part: str(tmp_path) for part in ("val", "test")}
    config = _config(
        dataset="forensynths", detectors=["wang"], external=external, robust={"wang": "wang-cr"},
        classifiers={"wang": "imagenet"}, generators=["progan", "gaugan"], n_test=0,
        sources={"progan": folders, "gaugan": {"test": str(tmp_path)}},
    )  # fmt: skip
    done = _dry_run(tmp_path, config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE))
    assert (planned["link"], planned["adopt"]) == ("3", "2")
    assert not {"sample", "train"} & set(planned)
    del config["sources"]["gaugan"]  # the miniature's own pictures must not stand in for it
    done = _dry_run(tmp_path, config)
    assert done.returncode != 0
    assert "data/forensynths/test/gaugan/manifest.json" in done.stdout + done.stderr


@pytest.mark.slow
def test_one_more_source_trains_its_own_module_and_no_network_again(tmp_path: Path) -> None:
    config = _config(added=["mine"], sources={"mine": {"test": str(tmp_path)}})
    done = _dry_run(tmp_path, config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE))
    assert planned["add_source"] == "1"
    assert planned["train_sources"] == str(len(grid.attributors(config)))


@pytest.mark.slow
def test_verdicts_wait_for_no_exam_and_the_first_page_does(tmp_path: Path) -> None:
    config = _config()
    exam = {chapter for chapter in config["tables_of"] if chapter[:2] in ("17", "19", "20")}
    assert len(exam) == 3
    planned = {}
    for target in ("results/tables/verdicts.csv", "executed/notebooks/00_overview.ipynb"):
        done = _dry_run(tmp_path, config, target)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        planned[target] = re.findall(
            r"Job \d+: (?:result table|chapter|page) (\S+)", done.stdout + done.stderr
        )
    judged, first = planned.values()
    assert {"color_robust", "notebooks/08_color_robust"} <= set(judged) <= set(first)
    assert not {name.split("/")[-1] for name in judged} & {*exam, *config["tables_for"]["examined"]}
    assert {f"notebooks/{name}" for name in exam} | set(config["tables_for"]["examined"]) <= set(first)


def _parts(root: Path, table: str, rows: dict[str, str]) -> None:
    for name, text in rows.items():
        path = root / "results" / "parts" / table / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"detector,generator,x\n{text}\n")


def _gather(root: Path, table: str, *generators: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPTS / "gather.py", "--table", table, "--detectors", "a", "b",
         "--generators", *generators],
        env={**os.environ, "TFF_BUILD": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_rows_are_put_together_as_they_were_written_and_none_is_missing(tmp_path: Path) -> None:
    _parts(tmp_path, "gray", {"a.progan": "a,progan,0.10", "a.mine": "a,mine,NA", "b.progan": "b,progan,1e-5",
                              "b.mine": "b,mine,", "b.gone": "b,gone,9"})  # fmt: skip
    assert _gather(tmp_path, "gray", "progan", "mine").returncode == 0
    table = tmp_path / "results" / "tables" / "gray.csv"
    assert table.read_text().split() == [
        "detector,generator,x", "a,progan,0.10", "a,mine,NA", "b,progan,1e-5", "b,mine,",
    ]  # fmt: skip
    done = _gather(tmp_path, "gray", "progan", "gone")
    assert done.returncode == 1
    assert re.search(r"error: .*a\.gone\.csv is not there: expected the rows", done.stderr)
    _parts(tmp_path, "ranks", {"a.all": "a,all,1", "b.all": "b,all,2"})  # of all generators together
    assert _gather(tmp_path, "ranks", "progan").returncode == 0
    assert len((tmp_path / "results" / "tables" / "ranks.csv").read_text().split()) == 3


# ---- executing a notebook


def _execute(folder: Path, code: str, *more: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    source, output = folder / "n.py", folder / "out" / "n.ipynb"
    source.write_text(f'# %% [markdown]\n# # Title\n\n# %% tags=["parameters"]\nk = 1\n\n# %%\n{code}\n')
    done = subprocess.run(
        [sys.executable, SCRIPTS / "execute.py", source, output, "--parameters", '{"k": 7, "o": 1}', *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, output


@pytest.mark.slow
def test_an_executed_notebook_has_its_parameters_title_and_provenance(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"content_hash": "abc"}')
    done, output = _execute(
        tmp_path, "print(k * 6)", "--title", "Net: {title}", "--data", str(tmp_path / "manifest.json")
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    assert "".join(cells[0]["source"]) == "# Net: Title"
    assert cells[3]["outputs"][0]["text"] in ("42\n", ["42\n"])
    footer = "".join(cells[-1]["source"])
    for word in ("commit", "k = 7", "data hash", "torch", "device", "run time"):
        assert word in footer
    assert "o = 1" not in footer
    assert not any("papermill" in cell["metadata"] for cell in cells)


@pytest.mark.slow
def test_cells_about_other_parameters_are_left_out(tmp_path: Path) -> None:
    code = "print('always')\n\n"
    for tag in ("k=7", "k!=7", "k=1", "k!=1", "o=1"):
        code += f"# %% tags=[\"only-if:{tag}\"]\nprint('{tag}')\n\n"
    done, output = _execute(tmp_path, code)
    assert done.returncode == 0, done.stderr
    cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    said = ["".join(out["text"]).strip() for cell in cells for out in cell.get("outputs", [])]
    assert said == ["always", "k=7", "k!=1"]  # the notebook has no parameter o


@pytest.mark.slow
def test_a_failing_notebook_is_told_in_one_message_and_leaves_no_output(tmp_path: Path) -> None:
    done, output = _execute(tmp_path, "raise ValueError('the pictures are gone')")
    assert done.returncode == 1
    assert re.search(r"n\.py failed in code cell \d: ValueError: the pictures are gone", done.stderr)
    assert "raise ValueError" in done.stderr
    assert not output.exists()


@pytest.mark.slow
def test_a_notebook_that_cannot_run_here_is_shown_with_the_reason_and_without_results(tmp_path: Path) -> None:
    done, output = _execute(tmp_path, "raise ValueError", "--lacks", "It has no twin.")
    assert done.returncode == 0, done.stderr
    cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    assert "It has no twin." in "".join(cells[1]["source"])
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert not any(cell.get("outputs") for cell in cells)


# ---- steps as forks of a process with the libraries loaded

_STEP = """
import os, subprocess, sys
child = subprocess.run(["true"])
print("torch" in sys.modules, sys.argv[1:], os.getcwd(), os.environ["COLOUR"], child.returncode)
print("problem", file=sys.stderr)
if sys.argv[1:] == ["wait"]:
    import time
    open("started", "w").close()
    time.sleep(60)
    open("ended", "w").close()
sys.exit(3)
"""


@pytest.fixture(scope="module")
def warm_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("warm")
    (folder / "logs").mkdir()
    with build.warm(folder, build.environment(folder, 1)) as variables:
        yield {**variables, "COLOUR": "blue"}


def _step(folder: Path, variables: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    (folder / "step.py").write_text(_STEP)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", SCRIPTS / "warm.py", *arguments], cwd=folder, env=variables,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait_until(true: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come true in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_step_is_the_same_with_its_libraries_loaded(
    tmp_path: Path, warm_environment: dict[str, str]
) -> None:
    _wait_until(lambda: Path(warm_environment["TFF_WARM"]).exists(), 60)
    said = {}
    cold = {name: value for name, value in warm_environment.items() if name != "TFF_WARM"}
    for name, variables in (("warm", warm_environment), ("cold", cold)):
        step = _step(tmp_path, variables, "step.py", "a b", "--c")
        said[name] = (*step.communicate(timeout=300), step.returncode)
    rest = f" ['a b', '--c'] {tmp_path} blue 0\n"
    assert said == {"warm": (f"True{rest}", "problem\n", 3), "cold": (f"False{rest}", "problem\n", 3)}


@pytest.mark.slow
def test_a_module_is_run_as_by_python(tmp_path: Path, warm_environment: dict[str, str]) -> None:
    step = _step(tmp_path, warm_environment, "-m", "platform", "terse")
    out, _ = step.communicate(timeout=300)
    expected = subprocess.run(
        [sys.executable, "-m", "platform", "terse"], capture_output=True, text=True, check=True
    )
    assert (out, step.returncode) == (expected.stdout, 0)


@pytest.mark.slow
def test_a_failing_step_says_why(tmp_path: Path, warm_environment: dict[str, str]) -> None:
    step = _step(tmp_path, warm_environment, "gone.py")
    _, err = step.communicate(timeout=300)
    assert step.returncode in (1, 2)  # 2 is Python's own, where the libraries were not loaded in time
    assert "No such file or directory" in err


@pytest.mark.slow
def test_a_step_ends_with_whoever_waits_for_it(tmp_path: Path, warm_environment: dict[str, str]) -> None:
    step = _step(tmp_path, warm_environment, "step.py", "wait")
    _wait_until((tmp_path / "started").exists, 120)
    step.kill()
    step.communicate()  # its ends of the pipes close when the step itself is gone
    assert not (tmp_path / "ended").exists()


# ---- what a waiting person sees


def test_progress_follows_the_report_of_the_workflow(tmp_path: Path) -> None:
    progress = build.Progress({"train": 10.0, "page": 5.0}, 2, tmp_path)
    for line in ("train 1", "page  2", "total 3", "Job 4: training x, seed 0 [logs/train/x.log]"):
        assert progress.feed(line) is None
    assert progress.total == 20
    (tmp_path / "logs" / "train").mkdir(parents=True)
    (tmp_path / "logs" / "train" / "x.log").write_text("step 1/9\rstep 2/9\r")
    assert "training x, seed 0: step 2/9" in progress.line(200)
    kept = progress.feed("Finished jobid: 4 (Rule: train)")
    assert kept is not None
    assert kept.startswith(" 50%  training x, seed 0 (")
    assert progress.left() is not None
    assert not progress.running


def test_a_failed_step_is_told_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "t.log").write_text("step 1\nerror: the loss is nan at step 3\n")
    text = "Error in rule train:\n    jobid: 3\n    log: logs/t.log (check log file(s) for error details)\n"
    told = build.failure(tmp_path, text)
    assert "error: the loss is nan at step 3" in told
    assert str(tmp_path / "logs" / "t.log") in told


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "no space left on the disk while"),
        (
            "error: Failed to fetch `x`\n Caused by: dns error: failed to lookup",
            "no package index could be reached",
        ),
        ("ERROR: something else", "installing failed: ERROR: something else"),
    ],
)
def test_a_failed_installation_is_one_sentence(output: str, sentence: str) -> None:
    told = setup_env.explain(output, "installing")
    assert told.startswith(sentence)
    assert "\n" not in told


def test_uv_is_installed_from_the_lock() -> None:
    pins = setup_env.locked("uv")
    assert re.match(r"uv==[\d.]+ ", pins)
    assert "--hash=sha256:" in pins
    assert len(re.findall(r"^\S", pins, flags=re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("detectors: [", "is not valid YAML"),
        ("- 1\n", "holds list; expected settings"),
        ("sedes: [0]\n", "unknown setting 'sedes'"),
        ("seeds: []\n", r"seeds is \[\]; expected a list, not empty"),
        ("names: ProGAN\n", "names is 'ProGAN'; expected settings, one `name: value` a line"),
        ("added: [progan]\n", "generator 'progan' is listed twice"),
        ("added: [mine]\n", "the added generator 'mine' has no pictures; expected sources: {mine: {test:"),
        ("added: mine\n", "added is 'mine'; expected a list of names"),
        ("left_to_all: 09_beyond\n", "left_to_all is '09_beyond'; expected a list of chapters"),
        ("left_to_all: [09_unknown]\n", r"left_to_all is \['09_unknown'\]; expected a list of chapters"),
        ("chapters_of: {efb0: [8]}\n", r"chapters_of 'efb0' is \[8\]; expected a list of chapters"),
        ("added: [007]\n", "7 is no name for the book but int: expected text; put the generator in quotes"),
        ("added: ['007']\n", "'007' is no name for the book, since tables .* as a number"),
        ("added: [no]\n", "False is no name for the book but bool"),
        ("added: [all]\n", "'all' is no name for the book, since it stands for all generators together"),
        ("added: [my.gan]\n", "'my.gan' is no name for the book: expected at most 40 letters"),
        ("added: [ProGAN]\n", "generator 'ProGAN' and 'progan' differ in the case of letters alone"),
        ("sources: {1e5: {test: /}}\n", "'1e5' is no name for the book, since tables"),
        ("external: {2024-01-01: {weights: x, arch: efb0}}\n", "is no name for the book but date"),
        ("detectors: [a/b]\n", "'a/b' is no name for the book"),
        ("sources: {mine: {tset: /}}\n", "unknown part 'tset'; expected train, val or test"),
        ("sources: {mine: {test: /no/such}}\n", "the test pictures of 'mine' are not there: /no/such"),
    ],
)
def test_a_broken_configuration_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, sentence: str
) -> None:
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "config.yaml").write_bytes((ROOT / "workflow" / "config.yaml").read_bytes())
    (tmp_path / "workflow" / "config.own.yaml").write_text(content)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    with pytest.raises(build.BuildError, match=sentence):
        build.load_config("own", False)
    with pytest.raises(build.BuildError, match=r"CONFIG=paprika: .* does not exist; choose one of own"):
        build.load_config("paprika", False)


def test_the_users_own_settings_lie_over_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "workflow"
    folder.mkdir()
    base = (ROOT / "workflow" / "config.yaml").read_bytes()
    (folder / "config.yaml").write_bytes(base)
    (folder / "config.own.yaml").write_text("n_test: 7\nn_rank: 8\nnames: {progan: P}\n")
    (folder / "config.local.yaml").write_text(
        f"n_test: 9\nadded: [mine]\nsources: {{mine: {{test: {tmp_path}}}}}\nnames: {{mine: My GAN}}\n"
    )
    monkeypatch.setattr(build, "ROOT", tmp_path)
    config = build.load_config("own", False)
    assert (config["n_test"], config["n_rank"], config["added"]) == (9, 8, ["mine"])
    assert (config["names"]["mine"], config["names"]["progan"], config["names"]["gaugan"]) == (
        "My GAN", "P", "GauGAN",
    )  # fmt: skip
    for nothing in ("", "# n_test: 9\n"):  # all settings taken back
        (folder / "config.local.yaml").write_text(nothing)
        assert build.load_config("own", False)["n_test"] == 7


@pytest.mark.slow
def test_links_to_the_repository_need_a_public_address(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert stage.public_origin(tmp_path) is None
    subprocess.run(["git", "remote", "add", "origin", "git@github.com:o/r.git"], cwd=tmp_path, check=True)
    assert stage.public_origin(tmp_path) == "https://github.com/o/r"
    subprocess.run(["git", "remote", "set-url", "origin", "/srv/git/r"], cwd=tmp_path, check=True)
    assert stage.public_origin(tmp_path) is None


@pytest.mark.slow
def test_what_changes_elsewhere_or_during_a_build_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, pictures = tmp_path / "project", tmp_path / "pictures"
    (root / "workflow").mkdir(parents=True)
    pictures.mkdir()
    base = (ROOT / "workflow" / "config.yaml").read_text(encoding="utf-8")
    (root / "workflow" / "config.yaml").write_text(
        base.replace("sources: {} ", f"sources: {{a: {{test: {pictures}}}}} ")
    )
    # in place of the workflow: it builds a book, and somebody edits a source meanwhile
    edit = tmp_path / "edit"
    workflow = (
        "import pathlib; folder = pathlib.Path('html'); folder.mkdir(exist_ok=True);"
        f"open({str(tmp_path / 'runs')!r}, 'a').write('.'); (folder / '.complete').touch();"
        f"pathlib.Path({str(edit)!r}).exists() and pathlib.Path({str(root / '_toc.yml')!r}).write_text('x')"
    )
    monkeypatch.setattr(build, "ROOT", root)
    monkeypatch.setattr(build, "command", lambda *_: [sys.executable, "-c", workflow])
    monkeypatch.setattr(build, "warm", lambda _, variables, *__: contextlib.nullcontext(variables))
    monkeypatch.setattr(sys, "argv", ["build.py"])
    monkeypatch.setenv("TFF_BUILD", str(tmp_path / "build"))

    def runs() -> int:
        assert build.main() == 0
        return len((tmp_path / "runs").read_text())

    assert [runs(), runs()] == [1, 1]
    (pictures / "one more.png").touch()
    assert [runs(), runs()] == [2, 2]
    (root / "_config.yml").write_text("y")
    edit.touch()
    assert [runs(), runs(), runs()] == [3, 4, 4]  # _toc.yml was edited while the third was at work


# ---- the tiny book


# an edit that changes what a module is, and nothing that it does; and one that changes what a training is
UNUSED = ("\nimport ", "\nx_unused = 1\nimport ")
RECIPE = ("_RECIPE = ", "_RECIPE = 1000 + ")


class TestTinyBook:
    pytestmark = in_the_book

    def test_it_ends_with_its_address(self, tiny_book: TinyBook) -> None:
        address = (tiny_book.site / "index.html").as_uri()
        assert tiny_book.finish.stdout.strip().endswith(address)
        assert (tiny_book.site / "index.html").is_file()

    def test_a_second_build_at_the_same_time_is_refused_in_one_sentence(self, tiny_book: TinyBook) -> None:
        assert tiny_book.second.returncode == 1
        assert tiny_book.second.stdout == ""
        assert re.fullmatch(
            r"make: another build \(process \d+\) is at work in .*\n", tiny_book.second.stderr
        )

    def test_a_killed_build_goes_on_with_what_was_finished(self, tiny_book: TinyBook) -> None:
        assert tiny_book.before_kill
        for name, changed in tiny_book.before_kill.items():
            assert Path(name).stat().st_mtime_ns == changed, f"{name} was made again"

    def test_where_nothing_has_changed_no_workflow_is_started(self, tiny_book: TinyBook) -> None:
        report = tiny_book.build / "logs" / "snakemake.log"
        before = report.stat().st_mtime_ns
        done = tiny_book.make()
        assert report.stat().st_mtime_ns == before
        assert done.returncode == 0
        assert done.stdout.startswith("nothing has changed since the last build\n")

    def test_the_checkout_is_clean_after_a_build(self, tiny_book: TinyBook) -> None:
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=tiny_book.root, capture_output=True, text=True, check=True
        )
        assert status.stdout == ""

    def test_no_half_written_file_is_left(self, tiny_book: TinyBook) -> None:
        folders = ("data", "detectors", "results", "executed", "html")
        left = [path for name in folders for path in (tiny_book.build / name).rglob(".*") if path.is_file()]
        # Sphinx keeps the first, the second says that the site is whole
        assert sorted(path.name for path in left) == [".buildinfo", ".complete"]

    def test_the_tables_have_a_row_for_every_detector_and_generator(self, tiny_book: TinyBook) -> None:
        config = json.loads((tiny_book.build / "config.json").read_text(encoding="utf-8"))
        own, fewer = config["detectors"], config["chapters_of"]
        everyone = [*own, *(config["robust"][name] for name in own)]
        computed = {
            table: {name for name in own if chapter in fewer.get(name, [chapter])}
            for chapter, tables in config["tables_of"].items()
            for table in tables
        }
        assert set(own) in computed.values() and set(own[:1]) in computed.values()
        for table in {"sensitivity", "contrast", "transfer"} | computed.keys():
            rows = pd.read_csv(tiny_book.build / "results" / "tables" / f"{table}.csv")
            assert set(rows["detector"]) == computed.get(table, set(everyone)), table
            if table not in computed:
                found = set(zip(rows["detector"], rows["generator"], strict=True))
                assert found == set(itertools.product(everyone, config["generators"]))
            elif "generator" in rows:  # some speak of all generators together
                assert set(rows["generator"]) <= {*config["generators"], "mean", "all"}, table
        claims = pd.read_csv(tiny_book.build / "results" / "tables" / "verdicts.csv")
        assert set(claims["detector"]) == set(own)
        # few pictures may leave a claim untested, a table that lacks what the claim reads may not
        assert not claims["why"].str.contains("has no column|is not there").any(), claims["why"].tolist()

    def test_detectors_start_from_the_classifier_of_their_network(self, tiny_book: TinyBook) -> None:
        config = json.loads((tiny_book.build / "config.json").read_text(encoding="utf-8"))
        for name in config["detectors"]:
            classifier = config["classifiers"][name]
            start = (tiny_book.build / "detectors" / f"{classifier}.s0.safetensors").read_bytes()
            for trained in (name, config["robust"][name]):
                info = json.loads((tiny_book.build / "detectors" / f"{trained}.s0.json").read_text())
                assert info["identity"]["start"] == hashlib.sha256(start).hexdigest(), trained
            alone = json.loads((tiny_book.build / "detectors" / f"{classifier}.s0.json").read_text())
            assert "start" not in alone["identity"]

    @pytest.mark.parametrize(
        ("file", "edit", "rules"),
        [
            ("tff_core/claims/verdicts.py", UNUSED, {"chapter", "gather", "verdicts", "page", "book"}),
            ("book/generators.md", ("\n", "\nA word. "), {"book"}),
            ("tff_core/figures/base.py", UNUSED, {"chapter", "gather", "verdicts", "page", "book"}),
            (
                "tff_core/book/sphinx_extension.py", ("_seen.clear()", "_seen.clear(); _seen.clear()"),
                {"book"},
            ),
            (
                "workflow/config.tiny.yaml", ("generators: [progan", "generators: [biggan, progan"),
                {"sample", "sample_shifted", "scores", "evaluate", "tables", "chapter", "gather", "verdicts",
                 "parity", "variants", "robustness", "faithful", "page", "book"},
            ),
            (
                "tff_core/detectors/training.py", RECIPE,
                {"train", "rank", "scores", "evaluate", "tables", "chapter", "gather", "verdicts", "page",
                 # these compute with its kernels
                 "book", "train_patches", "law", "parity", "variants", "adaptive", "train_sources",
                 "robustness", "faithful", "depend", "shuffled", "known"},
            ),
            (
                "tff_core/localization/training.py", RECIPE,
                {"train_patches", "law", "parity", "variants", "adaptive", "page", "chapter", "book"},
            ),
            ("tff_core/attribution/training.py", RECIPE, {"train_sources", "page", "chapter", "book"}),
            ("tff_core/localization/clusters.py", UNUSED, {"page", "book"}),
            # of the exam, by which no claim of the paper is judged
            ("tff_core/claims/texts/exam_faithful.py", UNUSED, {"chapter", "gather", "book"}),
        ],
    )  # fmt: skip
    def test_an_edit_makes_again_what_depends_on_it(
        self, tiny_book: TinyBook, file: str, edit: tuple[str, str], rules: set[str]
    ) -> None:
        with _edited(tiny_book.root / file, *edit):
            assert self.planned(tiny_book) == rules

    def test_edits_of_what_no_step_computes_with_make_nothing_again(self, tiny_book: TinyBook) -> None:
        with (
            _edited(tiny_book.root / "README.md", "", "More.\n"),
            _edited(tiny_book.root / "tff_core/detectors/training.py", '"""Training', '"""On training'),
            _edited(tiny_book.root / "tff_core/pictures/audit.py", "from ", "x_unused = 1\nfrom "),
        ):
            assert self.planned(tiny_book) == set()

    def planned(self, tiny_book: TinyBook) -> set[str]:
        """The rules that another build would run."""
        done = tiny_book.make("--dry-run")
        report = (tiny_book.build / "logs" / "snakemake.log").read_text(encoding="utf-8")
        assert done.returncode == 0, report[-2000:]
        return set(re.findall(r"^(\w+) +\d+$", report, flags=re.MULTILINE)) - {"all", "total"}

    def test_a_chapter_edit_runs_that_chapter_alone(self, tiny_book: TinyBook) -> None:
        with _edited(tiny_book.root / "notebooks/02_ff_rs.py", "# # ", "# # On "):
            assert self.planned(tiny_book) == {"chapter", "book"}
        report = (tiny_book.build / "logs" / "snakemake.log").read_text(encoding="utf-8")
        pages = set(re.findall(r"Job \d+: (?:page|chapter) (\S+)", report))
        assert pages == {"notebooks/02_ff_rs", "detectors/efb0-miniature/02_ff_rs"}


@contextlib.contextmanager
def _edited(path: Path, old: str, new: str) -> Iterator[None]:
    """Replace the first ``old`` in a file by ``new``, and undo it."""
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new, 1), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


@pytest.mark.slow
def test_steps_that_outlive_a_killed_build_are_waited_for(tmp_path: Path) -> None:
    hold = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX);"
        "print(flush=True); time.sleep(2)"
    )
    orphan = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / ".lock")], stdout=subprocess.PIPE)
    assert orphan.stdout is not None
    orphan.stdout.readline()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / ".lock").write_text(str(gone.pid))
    handle = build.lock(tmp_path)  # the orphan, which writes nothing, keeps it for two seconds
    assert (tmp_path / ".lock").read_text() == str(os.getpid())
    handle.close()
    orphan.communicate()


@pytest.mark.slow
def test_a_living_build_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = build.lock(tmp_path)
    monkeypatch.setattr(time, "sleep", None)  # what waits would fail
    with pytest.raises(build.BuildError, match=f"process {os.getpid()}"):
        build.lock(tmp_path)
    handle.close()
