"""Pictures per second of every step and chapter of a finished build, and what all of ForenSynths would take.

    python benchmarks/throughput.py --build build                              print the two tables
    python benchmarks/throughput.py --build build --page book/performance.md   and put them into the page

Nothing is run again: times are those that the workflow recorded for each file that it made (a build that ran
through; a step that was ended and continued counts from where it continued), numbers of pictures those of the
manifests, rankings, score tables and notebooks' parameters, devices those that the pages name.

ForenSynths has pictures of mostly 256 pixels, the miniature of 64: what a picture costs is scaled by two
forward passes measured here and now. Chapters that look at no more than so many pictures of a generator keep
to that.
"""

from __future__ import annotations

import argparse
import ast
import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pandas as pd
import torch
from marks import write_page
from PIL import Image

from tff_core import detectors
from tff_core.pictures import data
from tff_core.store import results

ROOT = Path(__file__).resolve().parents[1]
# test pictures of the paper's generators, reals and fakes together (Wang et al. 2020, table 1)
FORENSYNTHS = {
    "progan": 8000,
    "stylegan": 11982,
    "stylegan2": 15976,
    "biggan": 4000,
    "cyclegan": 2642,
    "stargan": 3998,
    "gaugan": 10000,
}
RANKED = 2000  # pictures behind the paper's omega: 1,000 of each label of progan_val
SIDE = 256  # pixels of most of its pictures; some of other sizes are taken for as many


@dataclass(frozen=True)
class Work:
    """One step or chapter of one detector: what it took, and what it would take of all pictures.

    ``seconds`` is the time of all its jobs together, ``pictures`` how many were shown in them (with several
    seeds each as often), ``full`` how many of ForenSynths would be, for one seed where jobs are by seed.
    """

    name: str
    detector: str
    seconds: float
    pictures: int
    full: int
    device: str

    @property
    def rate(self) -> float:
        """Pictures per second; NaN for what shows none."""
        return self.pictures / self.seconds if self.pictures else float("nan")

    def estimate(self, factor: float) -> float:
        """Seconds for all of ForenSynths, if a picture costs ``factor`` times as much."""
        return self.seconds if not self.pictures else self.full / self.rate * factor


class Made(NamedTuple):
    """How a file was made: by which rule, in how many seconds, and by which job (its log)."""

    rule: str
    seconds: float
    job: str


def durations(build: Path) -> dict[str, Made]:
    """How every file was made that Snakemake made."""
    folder = build / ".snakemake" / "metadata"
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if not path.is_file():
            continue
        # long names are split into folders whose names begin with @
        name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        try:
            made = base64.b64decode(name, validate=True).decode()
            record = json.loads(path.read_text(encoding="utf-8"))
            seconds = float(record["endtime"]) - float(record["starttime"])
        except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
            continue  # nothing that tells a time
        if not record.get("incomplete") and seconds > 0:
            found[made] = Made(str(record.get("rule")), seconds, " ".join(record.get("log") or [made]))
    if not found:
        raise ValueError(
            f"{folder} has no records of a build: expected those of a finished one; run make first, or name "
            "its folder with --build"
        )
    return found


def footer(path: Path) -> tuple[dict[str, Any], str]:
    """The parameters that an executed notebook ran with, and its device, from the end of its page."""
    text = nbformat.read(path, 4).cells[-1].source
    device = re.search(r"^- \*\*device:\*\* (.+)$", text, re.MULTILINE)
    values = re.search(r"^- \*\*parameters:\*\* `(.*)`$", text, re.MULTILINE)
    if device is None or values is None:
        raise ValueError(f"{path} does not say how it was made: expected an executed page; build it again")
    call = ast.parse(f"dict({values[1]})" if values[1] != "none" else "dict()", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}, device[1]


def shown(source: str, n: int | None, arch: str) -> tuple[int, int | None]:
    """How many labels a chapter looks at in test pictures, and how many pictures of each (None: all).

    From its own code: the call that takes the pictures, and what it makes of ``n`` before.
    """
    # Chapter.test(generator, label=..., first=n), or data.scan(store.data(...)).where(label=..., first=n)
    call = r'(?:\.test\(\s*\w+,|"test", \w+\)\)\s*\.where\()'
    taken = re.search(call + r"\s*(label=\w+,\s*)?first=n\b", source)
    if taken is None:
        return 0, None
    for node in ast.parse(source).body:
        names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        if names == ["n"] and not isinstance(node.value, ast.Constant):  # type: ignore[attr-defined]
            code = compile(ast.Expression(node.value), "n", "eval")  # type: ignore[attr-defined]
            spec = SimpleNamespace(arch=arch)
            known = {"min": min, "max": max, "n": n, "spec": spec, "chapter": SimpleNamespace(spec=spec)}
            n = eval(code, known)
    return (1 if taken[1] else 2), n


def used(counts: Mapping[str, tuple[int, int]], labels: int, n: int | None) -> int:
    """Pictures of all generators, of each label at most ``n``; ``counts`` of reals and of fakes."""
    return sum(min(own, n) if n else own for pair in counts.values() for own in pair[2 - labels :])


def steps(build: Path, times: Mapping[str, Made], device: str) -> Iterator[Work]:
    """Rankings and scores, which show a detector all its pictures, by detector."""
    ranked: dict[str, list[tuple[int, float]]] = {}
    scored: dict[str, list[tuple[int, float]]] = {}
    for made, (rule, seconds, _) in times.items():
        path = build / made
        if not path.is_file():
            continue  # of a build with other settings
        if rule == "rank" and made.endswith("-fake.csv"):
            detector = path.name.rpartition(".s")[0]
            seen = [
                results.read_json(path.with_name(path.name.replace("-fake.csv", f"-{label}.json")))["seen"]
                for label in ("real", "fake")
            ]
            ranked.setdefault(detector, []).append((sum(seen), seconds))
        if rule == "scores":
            detector = path.name.split(".")[0]
            count = pd.read_csv(path, usecols=["image"])["image"].nunique()
            scored.setdefault(detector, []).append((int(count), seconds))
    for name, jobs, full in (
        ("ranking of feature maps", ranked, RANKED),
        ("scores under feature-map dropout", scored, sum(FORENSYNTHS.values())),
    ):
        for detector, own in sorted(jobs.items()):
            pictures, seconds = (sum(column) for column in zip(*own, strict=True))
            yield Work(name, detector, seconds, int(pictures), full, device)


def chapters(build: Path, times: Mapping[str, Made], arch_of: Callable[[str], str]) -> Iterator[Work]:
    """Executed notebooks, by detector; the pages of generators together."""
    config = results.read_json(build / "config.json")
    whole = {name: (n // 2, n - n // 2) for name, n in FORENSYNTHS.items()}
    pages: dict[str, list[tuple[float, str]]] = {}
    for made, (rule, seconds, _) in sorted(times.items()):
        path = build / made
        if rule not in ("chapter", "page") or not path.is_file():
            continue
        parameters, device = footer(path)
        detector, chapter = str(parameters.get("detector", "")), path.stem
        if "added" in path.parts:  # chapters once more, for one generator alone
            continue
        if path.parent.name == "generators":
            pages.setdefault(detector, []).append((seconds, device))
            continue
        source = ROOT / "notebooks" / f"{chapter}.py"
        if not source.is_file():
            continue
        arch = arch_of(detector) if detector else ""
        counts = {}
        for generator in parameters.get("generators", []):
            manifest = results.read_json(
                results.Store(build).data(config["dataset"], "test", generator) / data.MANIFEST
            )
            own = manifest.get("counts") or manifest["pictures"]  # sampled here, or linked
            counts[generator] = own["real"], own["fake"]
        text = source.read_text(encoding="utf-8")
        labels, n = shown(text, parameters.get("n"), arch)
        _, all_n = shown(text, None, arch)
        yield Work(
            chapter,
            detector,
            seconds,
            used(counts, labels, n) if labels else 0,
            used(whole, labels, all_n) if labels else 0,
            device,
        )
    for detector, own in sorted(pages.items()):
        mean = sum(seconds for seconds, _ in own) / len(own)
        yield Work("pages of the generators", detector, mean * len(FORENSYNTHS), 0, 0, own[0][1])


def side(build: Path) -> float:
    """Root of the mean number of pixels of the build's test pictures, from some of each generator."""
    dataset = results.read_json(build / "config.json")["dataset"]
    sizes = []
    for manifest in sorted(build.glob(f"data/{dataset}/test/*/{data.MANIFEST}")):
        for path in data.scan(manifest.parent).paths[:50]:
            with Image.open(path) as image:
                sizes.append(image.width * image.height)
    if not sizes:
        raise ValueError(f"{build} has no test pictures: expected those that the build was made from")
    return float(np.sqrt(np.mean(sizes)))


@torch.inference_mode()
def scale(arch: str, small: int, large: int, device: torch.device, budget: float = 10.0) -> float:
    """How many times as long a forward pass takes for a picture of ``large`` pixels a side as of ``small``.

    The shortest of several passes each, in turn; seconds of the processor on a CPU, where others may be at
    work too, of the clock elsewhere.
    """
    torch.manual_seed(0)
    model = detectors.ready(detectors.build(arch), device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    least = {small: float("inf"), large: float("inf")}
    batches = {}
    for pixels in least:
        n = max(1, 32 * 64 * 64 // pixels**2)
        x = torch.randn(n, 3, pixels, pixels, device=device)
        batches[pixels] = x.contiguous(memory_format=torch.channels_last)
    begun = time.perf_counter()
    for i in range(100):
        for pixels, x in batches.items():
            begin = clock()
            model(x)[:, 0].cpu()  # a copy waits for the device
            if i:  # the first ones warm up
                least[pixels] = min(least[pixels], (clock() - begin) / len(x))
        if i >= 2 and time.perf_counter() - begun > budget:
            break
    return least[large] / least[small]


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def device_note(devices: Iterable[str]) -> str:
    """What was measured on, and what was not."""
    names = sorted(set(devices))
    note = f"Measured on: {', '.join(names)}."
    if all(name.startswith("CPU") for name in names):
        note += " No GPU was there: on a GPU nothing was measured."
    return note


def rates(found: Iterable[Work], pixels: float) -> str:
    """The first table: pictures per second."""
    rows = [work for work in found if work.pictures]
    lines = [
        f"| step or chapter | detector | pictures of {pixels:.0f} px | time | pictures/s | device |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {w.name} | {w.detector} | {w.pictures} | {duration(w.seconds)} | {w.rate:.3g} | {w.device} |"
        for w in rows
    ]
    return "\n".join(lines) + f"\n\n{device_note(w.device for w in rows)}"


def estimates(found: Iterable[Work], factors: Mapping[str, float], pixels: float) -> str:
    """The second table: the time for all of ForenSynths, by detector, and all together."""
    rows = list(found)
    lines = ["| step or chapter | detector | pictures | estimated time |", "|---|---|---|---|"]
    rest: dict[str, float] = {}
    total: dict[str, float] = {}
    for w in rows:
        seconds = w.estimate(factors.get(w.detector, 1.0))
        name = w.detector or "all"
        total[name] = total.get(name, 0.0) + seconds
        if w.pictures:
            lines.append(f"| {w.name} | {name} | {w.full} | {duration(seconds)} |")
        else:
            rest[name] = rest.get(name, 0.0) + seconds
    lines += [f"| pages that show results alone | {name} | | {duration(t)} |" for name, t in rest.items()]
    lines += [f"| **together** | {name} | | {duration(t)} |" for name, t in total.items()]
    lines.append(f"| **the whole grid** | | | {duration(sum(total.values()))} |")
    scales = ", ".join(f"{name} {value:.1f}" for name, value in factors.items())
    return "\n".join(lines) + (
        "\n\nAn estimate, not a measurement: jobs one after another, rankings and scores for one training "
        "seed, chapters with the seeds of the build and as if all of their time grew with the pictures. A "
        f"picture of {SIDE} x {SIDE} pixels is taken to cost as many times what one of "
        f"{pixels:.0f} x {pixels:.0f} does as a forward pass of the network does, measured: {scales}. "
        f"{device_note(w.device for w in rows)}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, help="build folder (default: $TFF_BUILD, else build/)")
    parser.add_argument("--page", type=Path, help="put the tables into this page, between their marks")
    parser.add_argument("--threads", type=int, default=1, help="of the forward passes (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    store = results.Store(options.build)
    times = durations(store.root)

    def arch_of(detector: str) -> str:
        return detectors.get(detector, store).arch

    own = list(chapters(store.root, times, arch_of))
    devices = {work.device for work in own}
    # all steps of a build run on one kind of device, which the pages name
    found = [*steps(store.root, times, min(devices, default="unknown")), *own]
    pixels = side(store.root)
    on_cpu = all(name.startswith("CPU") for name in devices)
    where = torch.device("cpu") if on_cpu else detectors.default_device()
    archs = {name: arch_of(name) for name in sorted({work.detector for work in found}) if name}
    by_arch = {arch: scale(arch, round(pixels), SIDE, where) for arch in sorted(set(archs.values()))}
    tables = {
        "throughput": rates(found, pixels),
        "forensynths": estimates(found, {name: by_arch[arch] for name, arch in archs.items()}, pixels),
    }
    print("\n\n".join(tables.values()))
    if options.page:
        write_page(options.page, tables)


if __name__ == "__main__":
    main()
