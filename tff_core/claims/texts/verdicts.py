"""The texts of the page of verdicts: the claims, their verdicts, measured against published, and chance."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from tff_core import intervals
from tff_core.claims import reproduction, verdicts
from tff_core.claims.texts import base
from tff_core.claims.verdicts import CLAIMS, percent, points
from tff_core.figures import CONDITIONS, generator_name

UNITS = {"share": ("AP, %", 100), "points": ("difference, points", 100), "number": ("difference", 1)}
"""For each unit of a claim, the axis title of its intervals and the factor applied to its numbers."""
NAMES = {claim.key: f"{claim.key} {claim.tag}" for claim in CLAIMS}
"""Claims as figures name them: ``C1 transfer``."""
TEXTS = {
    "threshold": "Accuracies are read at the paper's threshold, which is calibrated on the test pictures "
    "themselves; those of ProGAN are left out, because there the paper takes a probability of one half. Its "
    "random-k is one ensemble of five dropped networks. The shares of colour-conditional maps grow with the "
    "number of pictures: they can only agree at the paper's.",
    "star": "A star marks numbers that the paper itself contradicts: in its table of colour-robust "
    "EfficientNets the column of StyleGAN2 repeats that of StyleGAN.",
    "none": "None of the detectors here claims to be one of the paper's: there is nothing to put side "
    "by side.",
}


def titles(networks: Mapping[str, str]) -> dict[str, str]:
    """The name of each detector in a table: its network, or its own name where two share a network."""
    return dict(networks) if len(set(networks.values())) == len(networks) else {n: n for n in networks}


def rules() -> str:
    """The claims, what is measured of each, and when a generator speaks for it."""
    heads = ["", "claim of the paper", "one number for each generator", "it speaks for the claim if"]
    return base.table(heads, ([claim.key, claim.title, claim.measure, claim.rule] for claim in CLAIMS))


def table(
    judged: pd.DataFrame,
    titles: Mapping[str, str],
    archs: Mapping[str, str],
    main: str,
    chapters_of: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> str:
    """Every verdict, with a link to the chapter that computed its numbers, beside what the paper reports.

    ``judged`` as from `verdicts.judge`; ``titles`` and ``archs`` by detector, ``main`` is the one of the
    main chapters. ``chapters_of`` names the chapters of detectors for which the book does not have all.
    """
    rows = []
    for claim in CLAIMS:
        cells = []
        for name in titles:
            row = _verdict(judged, claim.key, name)
            if row["verdict"] == verdicts.UNTESTED:
                cells.append(row["verdict"])
                continue
            page = f"{'/notebooks' if name == main else f'/detectors/{name}'}/{claim.chapter}"
            there = name == main or claim.chapter in chapters_of.get(name, [claim.chapter])
            word = f"{{doc}}`{row['verdict']} <{page}>`" if there else row["verdict"]
            mark = "; caution, see below" if verdicts.CAUTION in row["why"] else ""
            speak, measured = _counted(row)
            only = f", {row['covers']}" * (row["covers"] == intervals.PICTURES_ONLY)
            cells.append(
                f"{word}<br>{speak} of {measured}{mark}<br>"
                f"{claim.text(row['value'], row['low'], row['high'])}{only}"
            )
        rows.append([claim.key, claim.title, *cells, _reported(claim.key, titles, archs)])
    return base.table(["", "claim", *titles.values(), "the paper"], rows)


def _verdict(judged: pd.DataFrame, claim: str, detector: str) -> Any:
    return judged[(judged["claim"] == claim) & (judged["detector"] == detector)].iloc[0]


def _counted(row: Any) -> tuple[int, int]:
    """How many generators speak for the claim, and how many have an interval."""
    many = [len(row[f"generators_{side}"].split()) for side in ("for", "against", "open")]
    return many[0], sum(many)


def _reported(claim: str, titles: Mapping[str, str], archs: Mapping[str, str]) -> str:
    told = {titles[name]: verdicts.reported(claim, archs[name]) for name in titles}
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "<br>".join(f"{name}: {words}" for name, words in told.items())


def hover(evidence: pd.DataFrame, titles: Mapping[str, str]) -> dict[tuple[str, str, str], str]:
    """The hover texts of the tiles (numbers, or what is missing) by claim (see `NAMES`), title, generator."""
    claims = {claim.key: claim for claim in CLAIMS}
    told: dict[tuple[str, str, str], str] = {}
    for row in base.tuples(evidence):
        numbers = row.reason
        if row.says != verdicts.MISSING:
            numbers = claims[row.claim].text(row.value, row.low, row.high, row.unit)
        where = (NAMES[row.claim], titles[row.detector], row.generator)
        told[where] = "<br>".join(filter(None, [told.get(where, ""), f"{row.part} {numbers}".strip()]))
    return told


def reasons(judged: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The reason for each verdict, claim by claim, and what its intervals rest on."""
    blocks = []
    for claim in CLAIMS:
        lines = []
        for name, title in titles.items():
            row = _verdict(judged, claim.key, name)
            many = f" n = {row['n']:.0f} {claim.counted}." if row["verdict"] != verdicts.UNTESTED else ""
            lines.append(f"- {title}: **{row['verdict']}**. {row['why']}{many}")
        blocks.append(f"**{claim.key}. {claim.title}.**\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def asked(evidence: pd.DataFrame) -> pd.DataFrame:
    """The rows of the evidence whose interval is judged."""
    return evidence[~evidence["says"].isin([verdicts.MISSING, verdicts.ASIDE])]


def luck(judged: pd.DataFrame, evidence: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The probability that at least this many generators would speak for each claim by chance alone."""
    rows = []
    for claim in CLAIMS:
        cells = []
        for name in titles:
            speak, measured = _counted(_verdict(judged, claim.key, name))
            if not measured:
                cells.append("not measured")
                continue
            chance = verdicts.luck(speak, measured)
            cells.append(f"{speak} of {measured}: {'below 0.001' if chance < 0.001 else f'{chance:.3f}'}")
        rows.append([NAMES[claim.key], *cells])
    own = asked(evidence)
    expected, said = 0.025 * len(own), int((own["says"] == verdicts.FOR).sum())
    return (
        f"{base.table(['', *titles.values()], rows)}\n\nIn all there are "
        f"{base.counted(len(own), 'interval')} on this page. If every truth sat exactly on its border, about "
        f"{expected:.0f} of them would speak for their claim by luck; {said} do."
    )


# ---------------------------------------------------------------------------------------- beside the paper


def beside_paper(compared: pd.DataFrame, anyone: bool) -> str:
    """Measured against published; ``compared`` as from `reproduction.compare`.

    ``anyone``: whether any detector claims to be one of the paper's.
    """
    if not anyone:
        return TEXTS["none"]
    rows = []
    for row in base.tuples(reproduction.counts(compared)):
        count = f"{row.within} of {row.of}" + f" ({row.doubtful} doubtful left out)" * bool(row.doubtful)
        far = [f"{100 * row.typical:.1f} points", points(row.largest)] if row.of else ["", ""]
        rows.append([row.detector, row.quantity, count, *far, row.missing])
    heads = ["detector", "quantity", "within half a point", "median difference", "largest", "not measured"]
    farthest = reproduction.largest(compared)
    parts = [reproduction.sentence(compared), base.table(heads, rows), TEXTS["threshold"]]
    if len(farthest):
        parts += ["**The largest differences.**", _numbers(farthest)]
    parts.append(base.folded("Every number, side by side", f"{_numbers(compared)}\n\n{TEXTS['star']}"))
    return "\n\n".join(parts)


def _numbers(compared: pd.DataFrame) -> str:
    rows = []
    for row in base.tuples(compared):
        there = not pd.isna(row.measured)
        condition, *_ = CONDITIONS.get(row.condition, (row.condition,))
        cells = [row.detector, row.quantity, generator_name(row.generator), condition]
        cells.append(percent(row.measured) if there else "")
        cells.append(percent(row.published) + "*" * row.doubtful)
        rows.append([*cells, points(row.difference) if there else ""])
    heads = ["detector", "quantity", "generator", "condition", "measured", "published", "difference"]
    return base.table(heads, rows)
