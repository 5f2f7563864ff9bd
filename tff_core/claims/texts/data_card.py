"""What the data card says about the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tff_core.claims.texts import base
from tff_core.figures import generator_name


def folders(rows: pd.DataFrame, sample: int) -> str:
    """Pictures from elsewhere, folder by folder.

    ``rows`` has columns generator, part, reals, fakes, classes, sizes, formats, stray, unreadable; ``sample``
    is how many files per label were looked at.
    """
    heads = ["folder", "reals", "fakes", "classes", "width x height", "formats", "other files", "unreadable"]
    table = base.table(
        heads,
        (
            [
                f"{generator_name(row.generator)}, {row.part}",
                row.reals,
                row.fakes,
                row.classes or "none",
                row.sizes,
                row.formats,
                row.stray,
                row.unreadable,
            ]
            for row in base.tuples(rows)
        ),
    )
    return (
        f"{table}\n\nSizes, formats and unreadable files: of the first {sample} pictures per label, spread "
        "over the classes; smallest to largest width and height."
    )


def separation(table: pd.DataFrame, limit: float) -> str:
    """Which properties of the files tell reals from fakes; ``table`` as from `audit.separation`.

    It has columns ``generator`` and ``part``, too; a property counts from an AUC above ``limit``.
    """
    told = table[table["auc"] > limit]
    if told.empty:
        return f"No property of the files separates reals from fakes with an AUC above {limit:g}."
    rows = (
        [
            f"{generator_name(row.generator)}, {row.part}",
            row.property,
            f"{row.auc:.2f}",
            f"{row.chance:.2f}",
            row.real,
            row.fake,
        ]
        for row in base.tuples(told)
    )
    return base.table(["folder", "property", "AUC", "reach of chance", "reals", "fakes"], rows)


def parts(rows: pd.DataFrame) -> str:
    """The miniature's folders; ``rows`` has part, generator, reals, fakes, models."""
    cells = (
        [row.part, generator_name(row.generator), row.reals, row.fakes, row.models]
        for row in base.tuples(rows)
    )
    return base.table(["part", "generator", "reals", "fakes", "models"], cells)


def models(rows: pd.DataFrame, files: int, kilobytes: float) -> str:
    """The miniature's generators, from `card.models`, of which there are so many files."""
    heads = ["generator", "model", "parts", "upsampling", "seed", "steps", "weights"]
    table = base.table(
        heads,
        (
            [
                generator_name(row.generator),
                row.model,
                row.parts,
                row.upsampling,
                row.seed,
                row.steps,
                f"{row.parameters:,}",
            ]
            for row in base.tuples(rows)
        ),
    )
    return f"{table}\n\n{files} files, {kilobytes / 1000:.1f} MB in all."


def statistics(table: pd.DataFrame, generators: Sequence[str]) -> str:
    """How well single numbers tell the miniature's fakes; ``table`` as from `card.compare`."""
    wide = table.pivot(index="generator", columns="statistic", values="auc").loc[list(generators)]
    rows = [
        [generator_name(str(g)), *(f"{100 * value:.0f} %" for value in row)]
        for g, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    chroma = "; ".join(
        f"{generator_name(row.generator)} {row.fake:.2f} (reals {row.real:.2f})"
        for row in base.tuples(table[table["statistic"] == "chroma to luma"])
    )
    return (
        f"{base.table(['generator', *wide.columns], rows)}\n\nAUC of fakes against reals, n = "
        f"{table['n_fake'].min()} fakes and {table['n_real'].min()} reals per generator. Medians of "
        f"chroma to luma detail: {chroma}."
    )
