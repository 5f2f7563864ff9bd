"""Is a data set fit to train or test a detector? Its layout, its files, and what gives the labels away.

A detector can tell reals from fakes without looking at them, when reals are JPEG files and fakes PNG, or all
fakes have one size. For every property of the files the audit measures how well it alone separates the
labels: the area under the ROC curve, 0.5 for no separation and 1 for perfect separation.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, JpegImagePlugin
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder
from tqdm import tqdm

from tff_core.pictures import containers, data, places, reading

LIMIT = 0.6  # a property that separates the labels better than this gets a warning
FEW = 20  # pictures of a label below which numbers mean little
_DEPTH = 5  # depth below the root to which data sets are searched for
# columns of the table of pictures, and what they are called; numbers are compared by size, texts by category
NUMBERS = {
    "width": "width",
    "height": "height",
    "aspect": "width / height",
    "bytes_per_pixel": "file size per pixel",
    "jpeg_quality": "JPEG quality",
}
CATEGORIES = {
    "format": "file format",
    "suffix": "ending of the name",
    "mode": "kind of pixels",
    "size": "size in pixels",
    "jpeg_tables": "JPEG quantisation tables",
    "jpeg_sampling": "JPEG chroma subsampling",
    "exif": "EXIF",
    "header": "fields in the header",
    "frames": "frames",
    "transparent": "transparency",
}
_ENDINGS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm"),
    "GIF": (".gif",),
}


@dataclass(frozen=True)
class Finding:
    """Something to know about a data set. ``level`` is "error" (not usable as it is), "warning" or "note"."""

    level: str
    what: str
    folder: str
    detail: str


@dataclass
class Audit:
    """What was found: folders with their counts, properties with their AUC, findings, and every picture.

    ``folders`` has columns folder, layout, classes, real, fake, stray, broken; ``properties`` folder,
    property, auc, chance, n_real, n_fake, real, fake (``chance``: the AUC that chance alone reaches in 2.5 %
    of such folders; ``real`` and ``fake`` describe the values); ``pictures`` a row for each file.
    """

    root: Path
    folders: pd.DataFrame
    properties: pd.DataFrame
    pictures: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)

    def of(self, level: str) -> list[Finding]:
        """The findings of one level."""
        return [one for one in self.findings if one.level == level]

    @property
    def usable(self) -> bool:
        """Whether the findings contain no error."""
        return not self.of("error")

    def as_dict(self) -> dict[str, Any]:
        """Everything except the individual pictures, for JSON."""
        return {
            "root": str(self.root),
            "usable": self.usable,
            "folders": self.folders.to_dict("records"),
            "properties": self.properties.to_dict("records"),
            "findings": [asdict(one) for one in self.findings],
        }


def sets(root: str | Path) -> list[Path]:
    """The data sets at or below a folder, each with 0_real and 1_fake, or with class folders that have them.

    A folder all of whose data lie one level below counts as one set with classes, unless it is called train,
    val or test, from wherever it is named. Links that lead back up are not followed, and what systems and
    editors leave behind is ignored. Raises FileNotFoundError where there is no folder, ValueError where no
    data set is found.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} is no folder: expected a data set in the layout of ForenSynths, 0_real and 1_fake, or "
            "class folders with them"
        )
    found = _sets(root, _DEPTH)
    if not found:
        data.scan(root)  # says what was expected and what is there
        raise ValueError(f"{root} has no data set: expected 0_real and 1_fake, at most {_DEPTH} folders down")
    return found


def _sets(folder: Path, depth: int) -> list[Path]:
    if _has_labels(folder):
        return [folder]
    if not depth:
        return []
    below = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not places.is_dropping(entry.name) and not places.leads_up(entry, folder):
            found = _sets(entry, depth - 1)
            below += [(entry, found)] if found else []
    classes = all(found == [entry] and _has_labels(entry) for entry, found in below)
    # "." has no name of its own, and a link has two
    names = {folder.absolute().name, Path(places.real(folder)).name}
    if below and classes and not names & set(data.PARTS):
        return [folder]
    return [one for _, found in below for one in found]


def _beside(root: Path, found: Sequence[Path]) -> list[Path]:
    """What lies between a folder and the data sets below it, and belongs to none of them."""
    between = {root, *(parent for one in found for parent in one.parents if parent.is_relative_to(root))}
    ours = between | set(found)
    return [
        entry
        for folder in sorted(between - set(found))
        for entry in sorted(folder.iterdir())
        if entry not in ours and entry.name != data.MANIFEST
    ]


def _has_labels(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in data.LABELS)


def audit(
    root: str | Path, *, whole: bool = False, threads: int | None = None, progress: bool = False
) -> Audit:
    """Read every picture of the data sets at or below ``root`` and report what is wrong with them.

    With ``whole``, ``root`` is one set whatever it is called, as `tff_core.pictures.data.scan` takes it.

    Findings: a folder that does not belong to the layout, pictures that cannot be read, exact duplicates (the
    same pixels) between labels or folders, names that do not fit the format, few pictures, other files, and
    every property that alone separates the labels with an AUC above `LIMIT`.

    Raises FileNotFoundError or ValueError where there is no data set at all, or the only one has a single
    label.
    """
    root = Path(root)
    there = [root] if whole else sets(root)
    found = Audit(root, pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    scanned: list[tuple[str, data.ImageSet]] = []
    for place in there:
        name = place.relative_to(root).as_posix()
        try:
            scanned.append((name, data.scan(place)))
        except ValueError as error:
            if len(there) == 1:
                raise
            found.findings.append(Finding("error", "layout", name, str(error)))
    if beside := _beside(root, there):
        found.findings.append(_left_out(".", root, beside))
    total = sum(len(images) for _, images in scanned)
    frames = []
    with (
        ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool,
        tqdm(total=total, desc=f"reading {root.name}", unit="picture", disable=not progress) as bar,
    ):
        for name, images in scanned:
            rows = []
            for row in pool.map(facts, images.paths):
                rows.append(row)
                bar.update()
            frame = pd.DataFrame(rows)
            frame.insert(0, "folder", name)
            frame.insert(2, "label", images.labels)
            frame.insert(3, "group", images.groups)
            frames.append(frame)
    found.pictures = pd.concat(frames, ignore_index=True)
    found.folders = pd.DataFrame(
        [_folder(name, images, frame) for (name, images), frame in zip(scanned, frames, strict=True)]
    )
    tables = []
    for (name, images), frame in zip(scanned, frames, strict=True):
        table = separation(frame)
        table.insert(0, "folder", name)
        tables.append(table)
        found.findings += _of_folder(name, images, frame, table)
    found.properties = pd.concat(tables, ignore_index=True)
    found.findings += _duplicates(found.pictures)
    order = {"error": 0, "warning": 1, "note": 2}
    found.findings.sort(key=lambda one: order[one.level])
    return found


def facts(path: Path) -> dict[str, Any]:
    """What can be said about one file without a network; a file that cannot be read has only its ``error``.

    Metadata are recorded by name, wherever they are in the file; their content is not read.
    """
    row: dict[str, Any] = {"path": str(path), "suffix": path.suffix.lower()}
    try:
        found = reading.decoded(path)
        held = containers.contents(path)
        bytes_ = path.stat().st_size
    except (data.PictureError, OSError) as error:
        return row | {"error": str(error)}
    height, width = found.pixels.shape[:2]
    colours = hashlib.blake2b(repr(found.pixels.shape).encode() + found.pixels.tobytes(), digest_size=16)
    row["colours"] = colours.hexdigest()
    if found.alpha is not None:  # two drawings may differ in nothing else
        colours.update(found.alpha.tobytes())
    row |= {
        "pixels": colours.hexdigest(),
        "format": found.image.format,
        "mode": found.image.mode,
        "width": width,
        "height": height,
        "size": f"{width}x{height}",
        "aspect": width / height,
        "bytes": bytes_,
        "bytes_per_pixel": bytes_ / (width * height),
        "frames": f"{held.frames}",
        "header": ", ".join(sorted({str(key) for key in found.image.info} | held.fields)) or "none",
        "exif": "yes" if "EXIF" in held.fields else "no",
        "transparent": "no" if found.alpha is None else "yes",
        "jpeg_tables": "no JPEG",
        "jpeg_sampling": "no JPEG",
        "error": "",
    }
    if isinstance(found.image, JpegImagePlugin.JpegImageFile):
        tables = [list(found.image.quantization[key]) for key in sorted(found.image.quantization)]
        quality = _qualities().get(tuple(tables[0])) if tables else None
        digest = hashlib.sha256(repr(tables).encode()).hexdigest()[:8]
        sampling = JpegImagePlugin.get_sampling(found.image)
        row |= {
            "jpeg_quality": quality,
            "jpeg_tables": f"quality {quality} ({digest})" if quality else f"own ({digest})",
            "jpeg_sampling": {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(sampling, "other"),
        }
    return row


@lru_cache(maxsize=1)
def _qualities() -> dict[tuple[int, ...], int]:
    """The quality that belongs to each of libjpeg's luma tables."""
    found = {}
    for quality in range(100, 0, -1):
        stream = io.BytesIO()
        Image.new("L", (8, 8)).save(stream, "JPEG", quality=quality)
        with Image.open(stream) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            found[tuple(image.quantization[0])] = quality
    return found


def separation(pictures: pd.DataFrame) -> pd.DataFrame:
    """How well each property of the files alone separates reals from fakes; see `Audit.properties`.

    Numbers are compared as they are, in the direction that separates better. Categories are scored by the
    share of fakes among *other* pictures of the category (cross-fitted), so that a category that occurs once
    says nothing. A property that is the same everywhere, or with fewer than 4 pictures of a label, is left
    out.
    """
    rows = []
    usable = pictures[pictures["error"] == ""] if "error" in pictures else pictures.iloc[:0]
    for column, name in (NUMBERS | CATEGORIES).items():
        if column not in usable:
            continue
        values = usable[[column, "label"]].dropna()
        labels = values["label"].to_numpy()
        counts = [int((labels == label).sum()) for label in (0, 1)]
        if min(counts) < 4 or values[column].nunique() < 2:
            continue
        if column in NUMBERS:
            auc = roc_auc_score(labels, values[column].to_numpy(dtype=float))
            auc = max(auc, 1 - auc)
        else:
            scores = _share_of_fakes(values[[column]].astype(str).to_numpy(), labels, min(5, *counts))
            auc = max(0.5, roc_auc_score(labels, np.round(scores, 3)))
        spread = np.sqrt((sum(counts) + 1) / (12 * counts[0] * counts[1]))
        rows.append(
            {
                "property": name,
                "auc": float(auc),
                "chance": float(min(1.0, 0.5 + 1.96 * spread)),
                "n_real": counts[0],
                "n_fake": counts[1],
                **{
                    word: _described(values.loc[labels == label, column], column in NUMBERS)
                    for label, word in ((0, "real"), (1, "fake"))
                },
            }
        )
    columns = ["property", "auc", "chance", "n_real", "n_fake", "real", "fake"]
    return pd.DataFrame(rows, columns=columns).sort_values("auc", ascending=False, kind="stable")


def _share_of_fakes(values: np.ndarray, labels: np.ndarray, folds: int) -> np.ndarray:
    """The (shrunk) share of fakes in the category of each picture (N, 1), from the other folds; (N,)."""
    scores = np.empty(len(labels))
    for rest, held in StratifiedKFold(folds, shuffle=True, random_state=0).split(values, labels):
        encoder = TargetEncoder(target_type="binary").fit(values[rest], labels[rest])
        scores[held] = encoder.transform(values[held])[:, 0]
    return scores


def _described(values: pd.Series, number: bool) -> str:
    if number:
        low, middle, high = np.quantile(values.to_numpy(dtype=float), [0.05, 0.5, 0.95])
        return f"{middle:.3g} ({low:.3g} to {high:.3g})"
    shares = values.astype(str).value_counts(normalize=True)
    shown = [f"{name} {share:.0%}" for name, share in shares.head(3).items()]
    return ", ".join(shown) + (f" and {len(shares) - 3} more" if len(shares) > 3 else "")


def _folder(name: str, images: data.ImageSet, frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "folder": name,
        "layout": f"{len(images.classes)} class folders" if images.classes else "no class folders",
        "classes": ", ".join(images.classes),
        "real": images.counts[0],
        "fake": images.counts[1],
        "stray": len(images.stray),
        "broken": int((frame["error"] != "").sum()),
    }


def _left_out(name: str, root: Path, entries: Sequence[Path]) -> Finding:
    some = ", ".join(str(path.relative_to(root)) for path in entries[:3])
    more = ", ..." if len(entries) > 3 else ""
    return Finding("note", "other files", name, f"{len(entries)} are left out: {some}{more}")


def _of_folder(name: str, images: data.ImageSet, frame: pd.DataFrame, table: pd.DataFrame) -> list[Finding]:
    found = []
    broken = frame[frame["error"] != ""]
    if len(broken):
        found.append(
            Finding(
                "error",
                "unreadable",
                name,
                f"{len(broken)} of {len(frame)} pictures cannot be read: {broken['error'].iloc[0]}",
            )
        )
    if min(images.counts) < FEW:
        found.append(
            Finding(
                "note",
                "few pictures",
                name,
                f"{images.counts[0]} reals and {images.counts[1]} fakes: below {FEW} of a label every number "
                "is shaky",
            )
        )
    if images.stray:
        found.append(_left_out(name, images.root, images.stray))
    if "format" in frame:
        whole = frame[frame["error"] == ""]
        fits = [
            suffix in _ENDINGS.get(kind, (suffix,))
            for suffix, kind in zip(whole["suffix"], whole["format"], strict=True)
        ]
        wrong = whole[~np.array(fits, dtype=bool)]
        if len(wrong):
            first = wrong.iloc[0]
            found.append(
                Finding(
                    "note",
                    "endings",
                    name,
                    f"{len(wrong)} files have an ending of another format, such as "
                    f"{Path(first['path']).name}, which is {first['format']}; they are read by content",
                )
            )
        clear = whole[whole["transparent"] == "yes"]
        if len(clear):
            found.append(
                Finding(
                    "note",
                    "transparency",
                    name,
                    f"{len(clear)} pictures are transparent in parts: their colours are taken as they are "
                    "stored, and the transparency is dropped",
                )
            )
        moving = whole[whole["frames"] != "1"]
        if len(moving):
            found.append(
                Finding("note", "animations", name, f"of {len(moving)} animations the first frame is taken")
            )
    telling: Any = table[table["auc"] > LIMIT].itertuples()
    for row in telling:
        few = "" if row.auc > row.chance else f"; with so few pictures chance alone reaches {row.chance:.2f}"
        how = (
            " (of files without loss it tells how busy the pictures are)"
            if row.property == NUMBERS["bytes_per_pixel"] and set(frame["format"].dropna()) <= {"PNG", "BMP"}
            else ""
        )
        found.append(
            Finding(
                "warning",
                "gives the label away",
                name,
                f"{row.property} alone separates reals from fakes, AUC {row.auc:.2f}{how}: reals {row.real}; "
                f"fakes {row.fake}{few}",
            )
        )
    return found


def _duplicates(pictures: pd.DataFrame) -> list[Finding]:
    """Pictures with the same pixels: between labels, between folders, and within one label of one folder."""
    if "pixels" not in pictures:
        return []
    known = pictures.dropna(subset=["pixels"])
    bare = known.drop_duplicates("pixels").groupby("colours", sort=False)
    alike = [g for _, g in bare if g["label"].nunique() > 1]
    twins = known[known.duplicated("pixels", keep=False)]
    found = []
    groups = list(twins.groupby("pixels", sort=False))
    across = [g for _, g in groups if g["label"].nunique() > 1]
    if across:
        found.append(
            Finding(
                "error",
                "duplicates",
                "",
                f"{len(across)} pictures lie among the reals and among the "
                f"fakes: {_pair(across[0], 'label')}",
            )
        )
    if alike:
        found.append(
            Finding(
                "warning",
                "transparency",
                "",
                f"{len(alike)} pictures among the reals differ from fakes in their transparency alone, which "
                f"no detector sees: {_pair(alike[0], 'label')}",
            )
        )
    between = [g for _, g in groups if g["folder"].nunique() > 1 and g["label"].nunique() == 1]
    if between:
        found.append(
            Finding(
                "warning",
                "duplicates",
                "",
                f"{len(between)} pictures lie in more than one folder: "
                f"{_pair(between[0], 'folder')}; train and test must not share pictures",
            )
        )
    within = [g for _, g in groups if g["folder"].nunique() == 1 and g["label"].nunique() == 1]
    if within:
        extra = sum(len(g) - 1 for g in within)
        found.append(
            Finding(
                "note",
                "duplicates",
                "",
                f"{extra} pictures repeat another of their label and folder: "
                f"{within[0]['path'].iloc[0]} and {within[0]['path'].iloc[1]}",
            )
        )
    return found


def _pair(group: pd.DataFrame, by: str) -> str:
    first = group.drop_duplicates(by)
    return f"{first['path'].iloc[0]} and {first['path'].iloc[1]}"


def text(found: Audit, shown: Any = str) -> str:
    """The audit for people, in plain text; ``shown`` escapes what comes from file names."""
    lines = [f"{shown(found.root)}"]
    folders: Any = found.folders.itertuples()
    properties: Any = found.properties.itertuples()
    for row in folders:
        counts = f"{row.real} reals, {row.fake} fakes, {row.layout}"
        rest = "".join(
            f", {n} {what}" for n, what in ((row.stray, "other files"), (row.broken, "unreadable")) if n
        )
        lines.append(f"  {shown(row.folder)}: {counts}{rest}")
    if len(found.folders) == 1 and len(found.properties):
        lines += ["", "how well a property of the files alone separates the labels (AUC, 0.5: not at all)"]
        lines += [
            f"  {row.auc:.2f}  {row.property}: reals {shown(row.real)}; fakes {shown(row.fake)}"
            for row in properties
        ]
    lines.append("")
    for one in found.findings:
        where = f" [{shown(one.folder)}]" if one.folder not in ("", ".") else ""
        lines.append(f"{one.level}: {one.what}{where}: {shown(one.detail)}")
    levels = {level: len(found.of(level)) for level in ("error", "warning", "note")}
    lines.append(
        ", ".join(f"{n} {level}{'s' if n != 1 else ''}" for level, n in levels.items())
        + ("; usable" if found.usable else "; not usable as it is")
    )
    return "\n".join(lines)
