"""Where pictures are: which names are pictures', which are leftovers, and walking folders through links.

Only names are looked at, and nothing heavy is imported: the workflow loads this while it plans.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
# what operating systems, editors, servers and unfinished downloads leave behind, in lower case; everything
# hidden (.DS_Store, ._x.png, .git, .Trash-1000, .ipynb_checkpoints) is treated the same
_DROPPINGS = (
    "__macosx", "icon\r", "network trash folder", "temporary items",
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "recycled",
    "system volume information", "found.[0-9][0-9][0-9]", "zbthumbnail.info", "picasa.ini",
    "lost+found", "lost.dir", "aquota.user", "aquota.group", "nohup.out",
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "~snapshot",
    "__pycache__", "cvs", "node_modules",
    "~$*", "*~", "#*#", "*.part", "*.partial", "*.crdownload", "*.download", "*.opdownload", "*.filepart",
    "*.tmp", "*.temp", "*.swp", "*.swo", "*.bak", "*.orig", "*.lnk", "*.url", "*.aria2", "*.!ut", "*.icloud",
)  # fmt: skip


def must_be_there(path: Path) -> None:
    """FileNotFoundError where there is neither a picture nor a folder nor a link."""
    if not (path.exists() or path.is_symlink()):
        raise FileNotFoundError(f"{path} does not exist: expected a picture or a folder; check the path")


def is_dropping(name: str) -> bool:
    """Whether a file or folder of this name is a leftover: not a picture, and holding none."""
    lower = name.lower()
    return lower.startswith(".") or any(fnmatch.fnmatchcase(lower, pattern) for pattern in _DROPPINGS)


def is_picture(path: Path) -> bool:
    """Whether a path is named like a picture and is not a folder."""
    return path.suffix.lower() in SUFFIXES and not is_dropping(path.name) and not path.is_dir()


def real(path: str | Path) -> str:
    """The canonical name of a file or folder, by whatever path it is reached; circular links do no harm."""
    return os.path.realpath(path)


def leads_up(entry: Path, folder: Path) -> bool:
    """Whether an entry is a link to a folder that contains it, at any level: following it would never end."""
    return entry.is_symlink() and Path(real(folder)).is_relative_to(real(entry))


def walk(folder: Path) -> Iterator[Path]:
    """Every entry below a folder that is not a folder to descend into, in name order.

    Links to folders are followed, but none twice, and none that leads back up; these, and leftovers, are
    returned as they are and not entered.
    """
    yield from _walk(folder, {real(folder)})


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir() or is_dropping(entry.name):
            yield entry
            continue
        place = real(entry)
        if place in seen or leads_up(entry, folder):
            yield entry
            continue
        seen.add(place)
        yield from _walk(entry, seen)
