"""The pages of the book: which notebook is executed for which detector and generator, and what it needs.

The table of contents is the list of chapters. Chapters called ``NN_topic``, and the atlas, are executed once
per detector: the first detector's keep the name of the notebook, the others' go below ``detectors/``.
``generators/*`` stands for one page per detector and generator, made from ``notebooks/generator_page.py``.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from imports import WEIGHTS
from tff_core.pictures import places

TEMPLATE = "notebooks/generator_page"
ATLAS = "atlas"
TRAINED_ON = "progan"  # by all detectors
PLAIN = ("logistic", "nearest-mean")  # that name sources without randomness, see tff_core.attribution.plain
COMPARING = "what_carries_over"
PATCHES = "11_patches"
SOURCES = "14_primary_secondary"
KNOWN = "18_planted_truth"
ALL_NEEDS = ("data", "detectors", "omega", "tables")
EVALUATED = ("sensitivity", "contrast", "transfer")  # tables that are computed from scores
# what the steps measure of one trained detector, by what a notebook needs: the table -> the kind of its files
MEASURED = {
    "degraded": {"degraded": "csv", "degraded_omega": "csv", "tuning": "csv", "validation": "csv"},
    "faithful": {"faithful": "csv", "faithful_curves": "csv", "faithful_maps": "npz"},
    "depend": {f"depend_{what}": "csv.gz" for what in ("heatmaps", "omega", "starts", "complexity")},
}
_NO_TWIN = (
    "This detector has no colour-robust twin: the workflow's settings name none under `robust`. "
    "Below is the chapter's text, without results."
)
_NOT_COMPARED = (
    "This page compares detectors trained on luma and on chroma alone, with pictures of two cameras: only a "
    "build of the miniature has both, with detectors under `compared`. Below is the page's text, without "
    "results."
)
_NO_PATCHES = (
    "This page is about patch classifiers, which are trained on the detectors' pictures: this build names "
    "none under `patch_networks`, or has no such pictures. Below is the page's text, without results."
)
_NO_MASKS = (
    "This page needs pictures that are fake in a known part, which only the miniature has. Below is the "
    "page's text, without results."
)
_NO_PLANTED = (
    "This page plants traces in the photographs that detectors are trained on, which only the miniature has. "
    "Below is the page's text, without results."
)
_NO_SOURCES = (
    "This page is about networks that name the generator of a picture, which are trained on pictures of "
    "several generators: only a build of the miniature has these, with networks under `source_networks`. "
    "Below is the page's text, without results."
)
_LEFT = "`make all` executes this page, `make` does not. Below is its text, without results."


@dataclass(frozen=True)
class Page:
    """One executed notebook: its name in the book, its source, its heading, its parameters, its inputs.

    ``parameters`` are those that the notebook declares, and no others. ``detector`` is empty if it is about
    all detectors, ``generators`` are those that it is about. ``lacks`` says, in a sentence, what the notebook
    needs and this build does not compute: then only its text is shown.
    """

    docname: str
    source: str
    title: str
    parameters: dict[str, Any] = field(hash=False)
    needs: tuple[str, ...]
    detector: str
    generators: tuple[str, ...]
    lacks: str = ""

    @property
    def chapter(self) -> str:
        """Name of the notebook."""
        return self.source.split("/")[-1]

    @property
    def exercises_at(self) -> str | None:
        """The page with the notebook's exercises, of a page that goes without: they are asked once."""
        return None if self.docname == self.source else self.source


def entries(toc: dict[str, Any]) -> list[str]:
    """Every file and glob of a table of contents, from top to bottom."""
    found = [toc["root"]] if "root" in toc else []
    found += [toc[key] for key in ("file", "glob") if key in toc]
    for key in ("parts", "chapters", "sections", "subtrees", "entries"):
        for child in toc.get(key) or []:
            found += entries(child)
    return found


def read_toc(root: Path) -> dict[str, Any]:
    """The table of contents; ValueError names entries that do not exist."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    for name in entries(toc):
        if "*" not in name and not any((root / f"{name}{suffix}").is_file() for suffix in (".py", ".md")):
            raise ValueError(
                f"_toc.yml lists {name!r}, but neither {name}.py nor {name}.md exists; "
                "correct the name or add the file"
            )
    return toc


def pages(config: dict[str, Any], root: Path) -> dict[str, Page]:
    """Every page that is an executed notebook, by its name in the book, in the order of the contents."""
    listed = entries(read_toc(root))
    names = {name: literal(title) for name, title in config["names"].items()}
    main, *others = config["detectors"]

    def found() -> Iterator[Page]:
        for source in listed:
            if (root / f"{source}.py").is_file():
                yield page(
                    config, root, source, source, "{title}", main if per_detector(config, source) else ""
                )
            elif source == "generators/*":
                for detector in config["detectors"]:
                    for generator in (*config["generators"], *config["added"]):
                        title = f"{names.get(generator, generator)}, seen by {names.get(detector, detector)}"
                        name = f"generators/{detector}.{generator}"
                        yield page(config, root, name, TEMPLATE, title, detector, (generator,))
            elif source == "detectors/*/*":
                for detector in others:
                    for chapter in chapters_of(config, detector, listed):
                        name = f"detectors/{detector}/{chapter.split('/')[-1]}"
                        title = f"{names.get(detector, detector)}: {{title}}"
                        yield page(config, root, name, chapter, title, detector)

    return {entry.docname: entry for entry in found()}


def literal(text: str) -> str:
    """A name as Markdown that shows it exactly: a user may have chosen it."""
    return re.sub(r"[\\`*_{}\[\]$|~]", r"\\\g<0>", html.escape(" ".join(str(text).split()), quote=False))


def per_detector(config: dict[str, Any], source: str) -> bool:
    """Whether each detector has a page of its own made from this notebook."""
    chapter = source.split("/")[-1]
    return chapter == ATLAS or (bool(re.match(r"\d\d_", chapter)) and chapter not in config["once"])


def chapters_of(config: dict[str, Any], detector: str, listed: list[str]) -> list[str]:
    """Which of the notebooks ``listed`` are executed for a detector: of the first one, all that can be."""
    some = config["chapters_of"].get(detector)
    whole = some is None or detector == config["detectors"][0]
    return [name for name in listed if per_detector(config, name) and (whole or name.split("/")[-1] in some)]


def page(
    config: dict[str, Any], root: Path, name: str, source: str, title: str, detector: str = "",
    generators: tuple[str, ...] = (),
) -> Page:  # fmt: skip
    """A page about a detector, or all of them, and some generators, or those that its chapter is about."""
    needs = tuple(config["needs"].get(source.split("/")[-1], ALL_NEEDS))
    # hours of work on a large data set are not done again for one more generator: chapters that read the
    # result tables speak of all generators, those that compute for themselves of the grid's own
    everyone = (*config["generators"], *(config["added"] if "tables" in needs else ()))
    chosen = generators or everyone
    values = {
        **of_detector(config, detector or config["detectors"][0]), "detectors_shown": config["detectors"],
        "chapters_of": config["chapters_of"],
        "generator": chosen[0], "generators": list(chosen), "n": config["n_test"] or None,
        "device": config["device"], "dataset": config["dataset"], "shifted": shifted(config),
        "compared": config["compared"], "carried": carries_over(config),
        "networks": config["patch_networks"] if has_patches(config) else [],
        "patch_seeds": config["patch_seeds"], "spliced": config["spliced"],
        "shuffled": config["shuffled"]["detector"], "shuffled_seeds": shuffled_seeds(config),
        "cards": bool(config["atlas_cards"]),
        "experiments": experiments(config), "law_networks": config["law"]["networks"],
        "adapted": config["adaptive"]["generators"],
        "known_cases": config["known_cases"] if has_known(config) else [],
        "known_seeds": config["known_seeds"],
        "source_networks": config["source_networks"] if has_sources(config) else [],
        "source_seeds": config["source_seeds"],
        "named_by": naming(config) if chosen[0] in config["added"] else "none",
        "sources_known": config["sources_known"], "sources_unknown": config["sources_unknown"],
    }  # fmt: skip
    own = {key: value for key, value in values.items() if key in _declared(root / f"{source}.py")}
    lacks = ""
    if source.split("/")[-1] in config["left_to_all"]:
        lacks = _LEFT
    elif "compared" in needs and not carries_over({**config, "left_to_all": []}):
        lacks = _NOT_COMPARED
    elif "attributed" in needs and not has_sources(config):
        lacks = _NO_SOURCES
    elif "known" in needs and not has_known(config):
        lacks = _NO_PLANTED
    elif "localized" in needs and config["dataset"] != "miniature":
        lacks = _NO_MASKS
    elif "patches" in needs and not has_patches(config):
        lacks = _NO_PATCHES
    elif "robust" in needs and detector not in config["robust"]:
        lacks = _NO_TWIN
    return Page(name, source, title, own, needs, detector, chosen, lacks)


def shifted(config: dict[str, Any]) -> str:
    """The name of the data set whose test pictures the miniature's second camera takes."""
    return f"{config['dataset']}-other"


def carries_over(config: dict[str, Any]) -> bool:
    """Whether the build asks what carries over: it compares detectors that see parts of its pictures."""
    left = COMPARING in config["left_to_all"]
    return bool(config["compared"]) and config["dataset"] == "miniature" and not left


def has_patches(config: dict[str, Any]) -> bool:
    """Whether the build trains patch classifiers: it names some, and has pictures to train on."""
    there = config["dataset"] == "miniature" or "train" in config["sources"].get("progan", {})
    return bool(config["patch_networks"]) and there


def experiments(config: dict[str, Any]) -> list[str]:
    """The experiments with patch classifiers that the build makes: all need the miniature's generators."""
    there = has_patches(config) and config["dataset"] == "miniature"
    return list(config["experiments"]) if there else []


def shuffled_seeds(config: dict[str, Any]) -> list[int]:
    """Training seeds of the detectors of shuffled labels; none without pictures to train on."""
    there = config["dataset"] == "miniature" or "train" in config["sources"].get("progan", {})
    return list(config["shuffled_seeds"]) if there else []


def has_known(config: dict[str, Any]) -> bool:
    """Whether the build trains detectors of planted traces: it names some, and has photographs."""
    return bool(config["known_cases"]) and config["dataset"] == "miniature"


def has_sources(config: dict[str, Any]) -> bool:
    """Whether the build trains networks that name sources."""
    return bool(config["source_networks"]) and config["dataset"] == "miniature"


def named(config: dict[str, Any]) -> str:
    """The name of the data set of pictures that networks learn to name, beside what detectors learn from."""
    return f"{config['dataset']}-sources"


def learnt(config: dict[str, Any]) -> dict[str, str]:
    """From each source that networks learn to name to the data set of its pictures."""
    return {one: config["dataset"] if one == TRAINED_ON else named(config) for one in config["sources_known"]}


def sources(config: dict[str, Any]) -> list[str]:
    """All sources whose pictures such networks are tested on."""
    return [*config["sources_known"], *config["sources_unknown"]]


def naming(config: dict[str, Any]) -> str:
    """The network that gets a module for each added generator: the first with modules; "none" without any."""
    networks = config["source_networks"] if has_sources(config) else []
    return next((one for one in networks if one.rpartition("_")[0] == "modules"), "none")


def source_pictures(config: dict[str, Any]) -> dict[str, int]:
    """Of each label and source, by part, the pictures that networks learn names from and are tested on."""
    return {**config["source_pictures"], "test": config["n_test"] or config["pictures"]["test"]}


def attributors(config: dict[str, Any]) -> list[tuple[str, int]]:
    """Networks that name sources, with their training seeds; a plain one is fitted once, as the first."""
    return [
        (network, seed)
        for network in config["source_networks"]
        for seed in config["source_seeds"][: 1 if network.rpartition("_")[0] in PLAIN else None]
    ]


def models(root: Path, generator: str) -> list[str]:
    """The weights, below ``root``, by which a family that ships for tests alone makes what is learnt from.

    One model of the two: pictures of the other one, in the test, are of a training that nobody has seen.
    """
    shipped = sorted((root / WEIGHTS).glob(f"{generator}.s*.safetensors"))
    return [str(path.relative_to(root)) for path in shipped[:1]]


def assigned(cell: str) -> set[str]:
    """Names that the source of a cell assigns at its outermost level."""
    return set(re.findall(r"^(\w+)\s*(?::[^=]+)?=", cell, flags=re.MULTILINE))


@cache
def _declared(notebook: Path) -> frozenset[str]:
    """Names assigned in the cell tagged ``parameters`` of a percent script.

    Read without jupytext, which takes longer to load than all else that a build does before its first step.
    """
    for cell in re.split(r"^# %%", notebook.read_text(encoding="utf-8"), flags=re.MULTILINE):
        head, _, body = cell.partition("\n")
        if re.search(r"tags=.*\"parameters\"", head):
            return frozenset(assigned(body))
    return frozenset()


def apart(config: dict[str, Any], root: Path) -> dict[str, Page]:
    """Chapters executed once more for an added generator alone: no pages, but rows of tables and numbers."""
    listed = [name for name in entries(read_toc(root)) if name.split("/")[-1] in config["by_generator"]]
    found = {}
    for generator in config["added"]:
        for detector in config["detectors"]:
            for source in chapters_of(config, detector, listed):
                name = f"added/{generator}/{detector}/{source.split('/')[-1]}"
                found[name] = page(config, root, name, source, "{title}", detector, (generator,))
    return {name: entry for name, entry in found.items() if not entry.lacks}


def about(config: dict[str, Any], pages: dict[str, Page], page: Page) -> list[str]:
    """The executed chapters whose numbers the page of one detector and generator shows."""
    return [
        name
        for name, other in pages.items()
        if other.chapter in config["by_generator"]
        and other.detector == page.detector
        and set(page.generators) <= set(other.generators)
        and not other.lacks
    ]


def seeds(config: dict[str, Any], detector: str) -> list[int]:
    """Training seeds of a detector, or of a colour-robust twin; one trained elsewhere has the seed 0."""
    if detector in config["external"]:
        return [0]
    return list(config["robust_seeds"] if detector in config["robust"].values() else config["seeds"])


def draws_random(config: dict[str, Any], detector: str) -> int:
    """Random-k sets that a detector is scored under; of a colour-robust twin nothing reads them."""
    twin = detector in config["robust"].values() and detector not in config["detectors"]
    return 0 if twin else int(config["draws_random"])


def of_detector(config: dict[str, Any], detector: str) -> dict[str, Any]:
    """What a notebook is told about a detector: its name, its twins' names, the seeds of each."""
    robust = config["robust"].get(detector, "")
    return {
        "detector": detector,
        "seeds": seeds(config, detector),
        "robust": robust,
        "robust_seeds": seeds(config, robust),
        "classifier": config["classifiers"].get(detector, ""),
    }


def listing(folder: str) -> str:
    """A fingerprint of names, sizes and times of all files below a folder: changes when its content does.

    Links are followed, as by the step that takes the pictures in, and their targets count, too. What systems
    and editors leave behind does not.
    """
    root, found = Path(folder).expanduser(), []
    place = cache(places.real)
    for path in places.walk(root):
        if places.is_dropping(path.name) or not path.is_file():
            continue
        facts = path.stat()
        linked = path.is_symlink() or place(path.parent) != str(path.parent)
        where = places.real(path) if linked else ""
        found.append(f"{path.relative_to(root)} {facts.st_size} {facts.st_mtime_ns} {where}")
    # file names may be bytes that are not text
    return hashlib.sha256("\n".join(found).encode(errors="surrogateescape")).hexdigest()[:16]


def resolved_toc(config: dict[str, Any], root: Path) -> dict[str, Any]:
    """The table of contents with every glob replaced by its pages, in the order of the grid."""
    known = list(pages(config, root))

    def matching(glob: str) -> list[str]:
        pattern = re.escape(glob).replace(r"\*", "[^/]*")
        return [name for name in known if re.fullmatch(pattern, name)]

    def resolve(node: dict[str, Any]) -> dict[str, Any] | None:
        result = dict(node)
        for key in ("parts", "chapters", "sections"):
            if key not in node:
                continue
            children: list[dict[str, Any]] = []
            for child in node[key]:
                if "glob" in child:
                    children += [{"file": name} for name in matching(child["glob"])]
                else:
                    kept = resolve(child)
                    children += [kept] if kept else []
            result[key] = children
            if not children:
                del result[key]
        # a part without chapters, or anything that only held an empty glob, is left out
        return result if {"file", "root", "chapters"} & set(result) else None

    toc = resolve(read_toc(root))
    assert toc is not None  # it has a root
    return toc
