"""What the data card says about the pictures of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims.texts import base
from tff_core.figures import generator_name
from tff_core.pictures.statistics import PLANES


def folders(rows: Sequence[Mapping[str, Any]], sample: int) -> str:
    """The contents of each folder; ``rows`` as from `data_card.folders`, with ``sample`` pictures opened."""
    heads = ["folder", "reals", "fakes", "classes", "width x height", "formats", "other files", "unreadable"]
    cells = [
        [
            row["folder"], row["reals"], row["fakes"], row["classes"] or "none", " to ".join(row["sides"]),
            ", ".join(row["formats"]), row["other"], row["unreadable"],
        ]
        for row in rows
    ]  # fmt: skip
    return (
        f"{base.table(heads, cells)}\n\nSizes, formats and unreadable files: of the first {sample} pictures "
        "per label, spread over the classes; smallest to largest width and height."
    )


def separation(table: pd.DataFrame, limit: float) -> str:
    """Which properties of files separate reals from fakes with an AUC above ``limit``."""
    told = table[table["auc"] > limit]
    if told.empty:
        return f"No property of the files separates reals from fakes with an AUC above {limit:g}."
    rows = [
        [r["folder"], r["property"], f"{r['auc']:.2f}", f"{r['chance']:.2f}", r["real"], r["fake"]]
        for r in told.to_dict("records")
    ]
    return base.table(["folder", "property", "AUC", "reach of chance", "reals", "fakes"], rows)


def sampled(rows: Sequence[Mapping[str, Any]]) -> str:
    """The number of pictures sampled for each part and generator, and the number of models."""
    heads = ["part", "generator", "reals", "fakes", "models"]
    return base.table(heads, [[row[name] for name in heads] for row in rows])


def models(table: pd.DataFrame) -> str:
    """The trained generators, one row for each file of weights, and their total size."""
    heads = ["generator", "model", "parts", "upsampling", "seed", "steps", "weights"]
    rows = [
        [generator_name(r["generator"]), *(r[name] for name in heads[1:-1]), f"{r['parameters']:,}"]
        for r in table.to_dict("records")
    ]
    size = table["kilobytes"].sum() / 1000
    return f"{base.table(heads, rows)}\n\n{base.counted(len(table), 'file')}, {size:.1f} MB in all."


CAMERAS = {"photographs": "photographs", "1": "edition 1", "2": "edition 2", "other": "second camera"}
_LABELS = {
    "chroma to luma": "chroma to luma detail",
    "luma detail": "luma detail",
    "chroma detail": "chroma detail",
    "saturation": "saturation",
    **{f"slope {plane}": f"slope of the spectrum, {plane}" for plane in PLANES},
    **{f"high to low {plane}": f"highest over lowest frequencies, {plane}" for plane in PLANES},
    **{f"pair across {plane}": f"even over odd columns, {plane}" for plane in PLANES},
    **{f"pair down {plane}": f"even over odd rows, {plane}" for plane in PLANES},
    "correlation Y Cr": "correlation of Y and Cr",
}


def cameras(table: pd.DataFrame, photographs: Sequence[str]) -> str:
    """Statistics of photographs beside those of the cameras; ``table`` as from `card.cameras`.

    ``photographs``: the names of those that are in it. Below the table stands in which statistics a camera's
    interval does not meet that of the photographs.
    """
    sets = [name for name in CAMERAS if (table["set"] == name).any()]
    cells = {(r.set, r.statistic): r for r in base.tuples(table)}
    rows = [
        [label]
        + [
            base.interval(r.mean, r.low, r.high, 3 if "detail" in name and "to" not in name else 2)
            for r in (cells[one, name] for one in sets)
        ]
        for name, label in _LABELS.items()
    ]
    drawn = table[table["set"] != "photographs"]["n"].min()
    text = f"{base.table(['mean', *(CAMERAS[name] for name in sets)], rows)}\n\n"
    text += f"In brackets: 95 % intervals. Cameras: n = {drawn:,} scenes each. "
    if "photographs" not in sets:
        return (
            f"{text}None of the photographs is installed, so the cameras are compared with each other only."
        )
    crops = table.loc[table["set"] == "photographs", "n"].iloc[0]
    apart = []
    for camera in sets[1:]:
        off = [
            label
            for name, label in _LABELS.items()
            if cells[camera, name].low > cells["photographs", name].high
            or cells[camera, name].high < cells["photographs", name].low
        ]
        apart.append(f"{CAMERAS[camera]}: {'; '.join(off) or 'none'}")
    return (
        f"{text}Photographs: n = {crops:,} crops of {base.counted(len(photographs), 'photograph')} "
        f"({', '.join(photographs)}), resampled by photograph.\n\nStatistics whose interval does not meet "
        "that of the photographs:\n\n" + "\n".join(f"- {line}" for line in apart)
    )


def statistics(table: pd.DataFrame) -> str:
    """AUC of single picture statistics. ``table``: generator, statistic, auc, real, fake, n_real, n_fake."""
    order = list(dict.fromkeys(table["generator"]))
    wide = table.pivot(index="generator", columns="statistic", values="auc").loc[order]
    rows = [[generator_name(g), *(f"{100 * x:.0f} %" for x in wide.loc[g])] for g in order]
    detail = "; ".join(
        f"{generator_name(r['generator'])} {r['fake']:.2f} (reals {r['real']:.2f})"
        for r in table[table["statistic"] == "chroma to luma"].to_dict("records")
    )
    return (
        f"{base.table(['generator', *wide.columns], rows)}\n\nAUC of fakes against reals, n = "
        f"{table['n_fake'].min()} fakes and {table['n_real'].min()} reals per generator. Medians of chroma "
        f"to luma detail: {detail}."
    )
