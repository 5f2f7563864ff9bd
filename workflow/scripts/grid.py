"""The pages of the book: which notebook is executed for which detector and generator, and what it needs.

The table of contents is the list of chapters. Chapters called ``NN_topic`` are executed once per detector:
the first detector's keep the name of the notebook, the others' go below ``detectors/``. ``generators/*``
stands for one page per detector and generator, made from ``notebooks/generator_page.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = "notebooks/generator_page"
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
    common = {
        "generators": config["generators"], "seeds": config["seeds"], "n": config["n_test"],
        "device": config["device"],
        "detectors_shown": config["detectors"],
    }  # fmt: skip

    def page(docname: str, source: str, title: str, **own: Any) -> None:
        chapter = source.split("/")[-1]
        needs = tuple(config["needs"].get(chapter, ALL_NEEDS))
        found.append(Page(docname, source, title, {**common, "detector": main, **own}, needs,
                          own.get("detector", ""), own.get("generator", "")))  # fmt: skip

    def per_detector(source: str) -> bool:
        return bool(re.match(r"\d\d_", source.split("/")[-1]))

    listed = entries(toc)
    notebooks = [name for name in listed if (root / f"{name}.py").is_file()]
    for name in listed:
        if name in notebooks:
            page(name, name, "{title}", **({"detector": main} if per_detector(name) else {}))
        elif name == "generators/*":
            for detector in config["detectors"]:
                for generator in config["generators"]:
                    title = f"{names.get(generator, generator)}, seen by {names.get(detector, detector)}"
                    page(f"generators/{detector}.{generator}", TEMPLATE, title,
                         detector=detector, generator=generator)  # fmt: skip
        elif name == "detectors/*/*":
            for detector in others:
                for source in filter(per_detector, notebooks):
                    page(f"detectors/{detector}/{source.split('/')[-1]}", source,
                         f"{names.get(detector, detector)}: {{title}}", detector=detector)  # fmt: skip
    return {entry.docname: entry for entry in found}


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
