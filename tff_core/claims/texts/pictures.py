"""What the data card says about the pictures of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims.texts import base
from tff_core.figures import generator_name


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
