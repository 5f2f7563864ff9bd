"""The page of numbers: rates and estimates come from what a build recorded, and from nothing else."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pandas as pd
import pytest
import torch

from tff_core import detectors
from tff_core.pictures import data
from tff_core.store import results

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def throughput(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("throughput")


def record(build: Path, made: str, rule: str, seconds: float, **more: object) -> None:
    """What Snakemake keeps about a file."""
    name = base64.b64encode(made.encode()).decode()
    folder = build / ".snakemake" / "metadata"
    path = folder / name if len(name) < 254 else folder / f"@{name[:254]}" / name[254:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rule": rule, "starttime": 1000.0, "endtime": 1000.0 + seconds, **more}))


def page(build: Path, docname: str, parameters: dict[str, object], device: str = "CPU (x86_64)") -> None:
    """An executed notebook with the end that execute.py gives it."""
    values = ", ".join(f"{key} = {value!r}" for key, value in parameters.items()) or "none"
    text = f"**How**\n\n- **parameters:** `{values}`\n- **device:** {device}\n- **run time:** 3 s"
    path = build / "executed" / f"{docname}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), path)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build of one detector, two generators and two seeds."""
    store = results.Store(tmp_path / "build")
    results.write_json(store.root / "config.json", {"dataset": "miniature"})
    for generator in ("progan", "biggan"):
        folder = store.data("miniature", "test", generator)
        results.write_json(folder / data.MANIFEST, {"counts": {"real": 60, "fake": 50}})
    for seed in (0, 1):
        for label, seen in (("real", 300), ("fake", 200)):
            path = store.omega("resnet50-miniature", seed, label)
            results.write_json(path.with_suffix(".json"), {"seen": seen})
            path.write_text("key,mean_relevance\n")
            record(store.root, str(path.relative_to(store.root)), "rank", 25.0)
        made = f"results/parts/scores/resnet50-miniature.progan.s{seed}.csv.gz"
        (store.root / made).parent.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame({"image": [f"{i % 120}.png" for i in range(360)], "logit": 0.0})
        frame.to_csv(store.root / made, index=False)
        record(store.root, made, "scores", 30.0)
    own = {"detector": "resnet50-miniature", "generators": ["progan", "biggan"], "n": 60, "seeds": [0, 1]}
    for docname, rule, seconds in (
        ("notebooks/05_lrp_max", "chapter", 40.0),
        ("notebooks/06_color_ablation", "chapter", 55.0),
        ("notebooks/10_verdicts", "page", 4.0),
        ("generators/resnet50-miniature.progan", "page", 3.0),
        ("generators/resnet50-miniature.biggan", "page", 5.0),
    ):
        page(store.root, docname, own)
        record(store.root, f"executed/{docname}.ipynb", rule, seconds)
    record(store.root, "results/tables/gone.csv", "tables", 9.0)
    record(
        store.root, "executed/notebooks/07_color_conditional.ipynb", "chapter", 9.0
    )  # is not there any more
    return store.root


def test_rates_and_estimates_follow_from_the_records(throughput: ModuleType, build: Path) -> None:
    times = throughput.durations(build)
    found = {work.name: work for work in throughput.steps(build, times, "CPU (x)")}
    ranked, scored = found["ranking of feature maps"], found["scores under feature-map dropout"]
    # two seeds were shown 500 pictures each, in 25 s each: both tables of a seed come from one job
    assert (ranked.pictures, ranked.seconds, ranked.rate) == (1000, 50.0, 20.0)
    assert ranked.estimate(8.0) == pytest.approx(2000 / 20 * 8)
    assert (scored.pictures, scored.seconds) == (240, 60.0)  # pictures, not rows
    assert scored.estimate(1.0) == pytest.approx(56598 / 4)
    by_name = {w.name: w for w in throughput.chapters(build, times, lambda name: "resnet50")}
    assert set(by_name) == {
        "05_lrp_max", "06_color_ablation", "10_verdicts", "pages of the generators",
    }  # fmt: skip
    assert by_name["05_lrp_max"].pictures == 2 * 50  # fakes alone
    assert by_name["05_lrp_max"].full == 7 * 100  # it looks at no more of each generator
    assert by_name["06_color_ablation"].pictures == 2 * 110
    assert by_name["06_color_ablation"].full == 56598
    assert by_name["10_verdicts"].estimate(8.0) == 4.0  # shows no pictures: costs what it costs
    assert by_name["pages of the generators"].estimate(8.0) == pytest.approx(7 * 4.0)


def test_a_cap_that_depends_on_the_network_is_followed(throughput: ModuleType) -> None:
    source = (
        'n = None  # all\nn = min(n or 60, {"resnet50": 20}.get(spec.arch, 40))\n'
        'test = {g: data.scan(store.data(spec.dataset, "test", g)).where(first=n) for g in generators}\n'
    )
    assert throughput.shown(source, 60, "resnet50") == (2, 20)
    assert throughput.shown(source, None, "efb0") == (2, 40)
    assert throughput.shown(source.replace("(first=n)", "(label=1, first=n)"), 10, "efb0") == (1, 10)
    assert throughput.shown("n = None\nprint(n)", 10, "efb0") == (0, None)
    opened = "n = min(n or 60, {'resnet50': 20}.get(chapter.spec.arch, 40))\nchapter.test(g, first=n)\n"
    assert throughput.shown(opened, 60, "resnet50") == (2, 20)
    one_label = "chapter.test(\n    generator, label=1, first=n\n)\n"
    assert throughput.shown(one_label, 10, "efb0") == (1, 10)
    assert throughput.used({"a": (5, 7), "b": (3, 2)}, 2, None) == 17
    assert throughput.used({"a": (5, 7), "b": (3, 2)}, 1, 4) == 6


def test_every_chapter_that_reads_test_pictures_is_understood(throughput: ModuleType) -> None:
    """The script reads the notebooks' code: a chapter written otherwise would silently cost nothing."""
    for path in [*sorted((ROOT / "notebooks").glob("0[4-9]_*.py")), ROOT / "notebooks" / "atlas.py"]:
        labels, n = throughput.shown(path.read_text(encoding="utf-8"), 30, "resnet50")
        assert labels in (1, 2) and n is not None and 0 < n <= 30, path.name
    for name in ("00_overview", "01_universal_detectors", "03_sensitivity", "10_verdicts"):
        text = (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
        assert throughput.shown(text, 30, "resnet50")[0] == 0, name


def test_records_of_long_names_and_broken_ones(throughput: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no records of a build: .*--build"):
        throughput.durations(tmp_path)
    long = "executed/" + "x" * 300
    record(tmp_path, long, "page", 2.0)
    record(tmp_path, "half", "page", 2.0, incomplete=True)
    (tmp_path / ".snakemake" / "metadata" / "no base 64!").write_text("{}")
    (tmp_path / ".snakemake" / "metadata" / "YWJj").write_text("{")
    assert throughput.durations(tmp_path) == {long: ("page", 2.0, long)}


def test_the_tables_go_between_their_marks_and_say_what_was_not_measured(
    throughput: ModuleType, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "side", lambda build: 64.0)
    monkeypatch.setattr(throughput, "scale", lambda arch, small, large, device: 10.0)
    written = tmp_path / "page.md"
    first = "<!-- table: throughput -->\nold\n<!-- end -->\n"
    written.write_text(f"# P\n\n{first}\nx\n\n<!-- table: forensynths -->\n<!-- end -->\ny\n")
    monkeypatch.setattr(sys, "argv", ["throughput.py", "--build", str(build), "--page", str(written)])
    throughput.main()
    found = written.read_text()
    assert "old" not in found and found.endswith("<!-- end -->\ny\n") and "\nx\n" in found
    rate = "| ranking of feature maps | resnet50-miniature | 1000 | 50 s | 20 | CPU (x86_64) |"
    assert rate in found and "on a GPU nothing was measured" in found
    assert "| ranking of feature maps | resnet50-miniature | 2000 | 17 min |" in found
    assert "| **the whole grid** |" in found and "An estimate, not a measurement" in found
    throughput.main()
    assert written.read_text() == found
    for docname in ("05_lrp_max", "06_color_ablation", "10_verdicts"):
        own = {"detector": "resnet50-miniature", "generators": ["progan"], "n": 60}
        page(build, f"notebooks/{docname}", own, device="NVIDIA H200")
    throughput.main()
    assert "Measured on: CPU (x86_64), NVIDIA H200." in written.read_text()
    assert "nothing was measured" not in written.read_text()
    written.write_text("# P\n")
    with pytest.raises(ValueError, match="has no line '<!-- table: throughput -->'"):
        throughput.main()


def test_the_books_page_has_a_place_for_every_table() -> None:
    text = (ROOT / "book" / "performance.md").read_text(encoding="utf-8")
    for name in ("omega", "memory", "maxima", "detect", "throughput", "forensynths"):
        assert text.count(f"<!-- table: {name} -->\n") == 1


def test_larger_pictures_cost_more(throughput: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 1)
    )
    monkeypatch.setattr(throughput.detectors, "build", lambda arch: model)
    assert throughput.scale("x", 64, 256, torch.device("cpu"), budget=0.5) > 4


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("benchmarks_build", ROOT / "benchmarks" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_build_costs_its_clock_time_on_all_cores_in_training_steps(
    cost: ModuleType, throughput: ModuleType, build: Path
) -> None:
    for made, begun in (("detectors/x.s0.safetensors", 1000.0), ("detectors/x.s0.json", 1000.00008)):
        record(build, made, "train", 900.0, starttime=begun, endtime=1900.0, log=["logs/train/x.s0.log"])
    kinds = cost.by_kind(throughput.durations(build))
    assert kinds["train"] == (1, pytest.approx(900.0, abs=0.01))  # two files of one job
    assert kinds["scores"] == (2, 60.0)
    assert kinds["chapter 05_lrp_max"] == (1, 40.0)
    results.write_json(build / "logs" / "clock.json", {"seconds": 600.0, "cores": 2, "whole": True})
    text = cost.table({"train": (5, 900.0)}, cost.Clock.of(build), [2.0, 1.0, 3.0], "CPU (x)")
    assert "| train | 5 | 15.0 | 450 |" in text
    assert "| cores waiting, and the workflow's own work |  | 5.0 | 150 |" in text
    assert "**600 training steps**" in text and "median of 3, 1.00 to 3.00" in text


@pytest.mark.parametrize("found", [None, {"seconds": 60.0, "cores": 2, "whole": False}])
def test_a_build_that_did_not_run_through_has_no_cost(
    cost: ModuleType, tmp_path: Path, found: dict[str, object] | None
) -> None:
    if found:
        results.write_json(tmp_path / "logs" / "clock.json", found)
    with pytest.raises(ValueError, match=r"no time of a build from nothing .* build once more"):
        cost.Clock.of(tmp_path)


def test_the_unit_is_a_step_that_trains(cost: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny() -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 1)
        )

    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny))
    steps = cost.Steps("tiny", 4, 8)
    before = [p.detach().clone() for p in steps.model.parameters()]
    assert steps.take() > 0 and steps.x.dtype == torch.float32
    assert all(not torch.equal(a, b) for a, b in zip(before, steps.model.parameters(), strict=True))
