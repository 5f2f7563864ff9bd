"""The pages of the book: which notebook is executed for which detector and generator, and what it needs.

The table of contents is the list of chapters. Chapters called ``NN_topic``, and the atlas, are executed once
per detector: the first detector's keep the name of the notebook, the others' go below ``detectors/``.
``generators/*`` stands for one page per detector and generator, made from ``notebooks/generator_page.py``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = "notebooks/generator_page"
ATLAS = "atlas"
ALL_NEEDS = ("data", "detectors", "omega", "tables")


@dataclass(frozen=True)
class Page:
    """One executed notebook: its name in the book, its source, its heading, its parameters, its inputs."""

    docname: str
    source: str
    title: str
    parameters: dict[str, Any] = field(hash=False)
    needs: tuple[str, ...]
    detector: str = ""
    generator: str = ""


def entries(toc: dict[str, Any]) -> list[str]:
    """Every file and glob of a table of contents, from top to bottom."""
    found = [toc["root"]] if "root" in toc else []
    found += [toc[key] for key in ("file", "glob") if key in toc]
    for key in ("parts", "chapters", "sections", "subtrees", "entries"):
        for child in toc.get(key) or []:
            found += entries(child)
    return found


def read_toc(root: Path) -> dict[str, Any]:
    """The table of contents; ValueError names what in it does not exist."""
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
    toc, names, found = read_toc(root), config["names"], []
    main, *others = config["detectors"]
    everyone = [*config["generators"], *config["added"]]
    common = {
        "generators": everyone, "seeds": config["seeds"], "n": config["n_test"],
        "device": config["device"],
        "detectors_shown": config["detectors"],
        "robust_seeds": config["robust_seeds"],
    }  # fmt: skip

    def page(docname: str, source: str, title: str, **own: Any) -> None:
        chapter = source.split("/")[-1]
        needs = tuple(config["needs"].get(chapter, ALL_NEEDS))
        detector = own.get("detector", main)
        if chapter in config["tables_of"] or "tables" not in needs:
            # hours of work on a large data set are not done again for one more generator, and the data card
            # speaks of the pictures that the book makes
            own = {"generators": config["generators"], **own}
        if "generator" in own:
            own["generators"] = [own["generator"]]
        twins = {
            "robust": config["robust"].get(detector, ""),
            "classifier": config["classifiers"].get(detector, ""),
        }
        found.append(Page(docname, source, title, {**common, **twins, "detector": main, **own}, needs,
                          own.get("detector", ""), own.get("generator", "")))  # fmt: skip

    def per_detector(source: str) -> bool:
        chapter = source.split("/")[-1]
        return chapter == ATLAS or (bool(re.match(r"\d\d_", chapter)) and chapter not in config["once"])

    listed = entries(toc)
    notebooks = [name for name in listed if (root / f"{name}.py").is_file()]
    for name in listed:
        if name in notebooks:
            page(name, name, "{title}", **({"detector": main} if per_detector(name) else {}))
        elif name == "generators/*":
            for detector in config["detectors"]:
                for generator in everyone:
                    title = f"{names.get(generator, generator)}, seen by {names.get(detector, detector)}"
                    page(f"generators/{detector}.{generator}", TEMPLATE, title,
                         detector=detector, generator=generator)  # fmt: skip
        elif name == "detectors/*/*":
            for detector in others:
                for source in filter(per_detector, notebooks):
                    page(f"detectors/{detector}/{source.split('/')[-1]}", source,
                         f"{names.get(detector, detector)}: {{title}}", detector=detector)  # fmt: skip
    return {entry.docname: entry for entry in found}


def listing(folder: str) -> str:
    """A fingerprint of names, sizes and times of all files below a folder: changes when its content does."""
    root = Path(folder).expanduser()
    found = [
        f"{path.relative_to(root)} {path.stat().st_size} {path.stat().st_mtime_ns}"
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def docname(chapter: str, detector: str, config: dict[str, Any], root: Path) -> str:
    """The page that a chapter becomes for a detector; ValueError where the book has no such page."""
    for name, page in pages(config, root).items():
        if page.source.split("/")[-1] == chapter and page.detector in ("", detector):
            return name
    raise ValueError(
        f"the book has no page of {chapter!r} for {detector}: expected a chapter that _toc.yml lists; "
        "correct `needs` or `tables_of` in the workflow's configuration"
    )


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
