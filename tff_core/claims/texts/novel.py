"""What the chapter on sources that a network does not know says about its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.verdicts import named, percent

EVERY = "all unknown"
UNTOUCHED = "untouched"
DETECTION = "detection"


def _share(fact: Mapping[str, float]) -> str:
    return f"{percent(fact['share'], fact['low'], fact['high'])} (n = {int(fact['n'])})"


def promise(facts: Sequence[Mapping[str, Any]]) -> str:
    """What the threshold promises and keeps, a table: ``facts`` of `openset.OpenSet`, one each training."""
    heads = [
        "training", "known, accepted", "plausible", "known, accepted and named right",
        "unknown, rejected", "reals, accepted",
    ]  # fmt: skip
    lines = []
    for number, one in enumerate(facts, start=1):
        low, high = one["coverage"]["plausible"]
        lines.append(
            [
                number, _share(one["coverage"]), f"{100 * low:.0f} to {100 * high:.0f} %",
                *(_share(one[key]) for key in ("named", "unknown_rejected", "reals_accepted")),
            ]
        )  # fmt: skip
    promised = facts[0]["coverage"]["promised"]
    return (
        f"{base.table(heads, lines)}\n\nPromised: {100 * promised:.0f} % of known sources' pictures are "
        f"accepted, on average over calibrations on {base.span(f['calibration'] for f in facts)} pictures. "
        "*Plausible* is where the measured share lies in 95 of 100 cases if the promise is kept. Reals that "
        "are accepted get a name only where the primary takes them for fakes."
    )


def novel(table: pd.DataFrame) -> str:
    """G-C3: attribution stays valid with novel sources: these score below the known ones.

    ``table``: rows of `tff_core.attribution.summary.unknown_sources`.
    """
    areas = table[table["measure"] == "auroc"].set_index("generator")
    each = areas[areas.index != EVERY]
    says = verdicts.side(each["low"], each["high"], 0.5, seeds=each["seeds"])
    sides = {s: list(says.index[says == s]) for s in (verdicts.FOR, verdicts.AGAINST, verdicts.OPEN)}
    speak, against, left = (len(some) for some in sides.values())
    word = verdicts.word(speak, against=against, open_=left)
    wide = table.set_index(["generator", "measure"])
    lines = []
    for generator in dict.fromkeys(table["generator"]):
        cells = [wide.loc[(generator, measure)] for measure in ("auroc", "oscr", "accepted")]
        lines.append([base.names([generator]), *(percent(c["value"], c["low"], c["high"]) for c in cells)])
    text = (
        f"The claim {verdicts.claim_is(word)} here: the interval of the area (AUROC) lies above one half for "
        f"{speak} of {len(each)} unknown sources{named(sides[verdicts.FOR])}, below for {against}"
        f"{named(sides[verdicts.AGAINST])}; open: {left}{named(sides[verdicts.OPEN])}.\n\n"
        f"{base.table(['unknown source', 'AUROC', 'OSCR', 'accepted as known'], lines)}\n\n"
        "AUROC: the probability that a known source's picture scores above one of this source; OSCR: that it "
        f"does and is named right. n = {base.span(each['n'])} pictures of each unknown source and "
        f"{base.span(each['n_known'])} of known ones, {base.counted(int(each['seeds'].max()), 'training')}. "
        "That known pictures score higher does not say that strangers are rejected: the last column does."
    )
    return base.admonition("Verdict: attribution stays valid with novel sources", text)


def groups(group: Sequence[int], truth: Sequence[str], agreed: pd.DataFrame, rejected: int) -> str:
    """Who is in each group of strangers, how well groups agree with sources, and how many are rejected."""
    counts = pd.crosstab(pd.Series(list(truth), name="truth"), pd.Series(list(group), name="group"))
    heads = ["made by", *(f"group {number}" for number in range(1, 1 + counts.shape[1]))]
    lines = [[base.names([str(source)]), *map(int, row)] for source, row in counts.iterrows()]
    row = base.tuples(agreed)[0]
    told = base.interval(row.ari, row.low, row.high)
    of, parts = base.counted(row.sources, "unknown source"), base.counted(row.groups, "group")
    return (
        f"{base.table(heads, lines)}\n\nAdjusted Rand index: {told}; n = {row.n} pictures of {of} in {parts},"
        " one training; the interval is over pictures, given the groups. The threshold alone rejects "
        f"{rejected} of them as fakes of nobody known; others it accepts, or the primary calls them real."
    )


def missed(table: pd.DataFrame) -> pd.DataFrame:
    """By how much false "none" and false names rise at each operation's strongest, and what follows.

    ``table``: rows of `tff_core.attribution.robustness` with a column ``seed``. Columns operation, none and
    name (means over trainings), says: "for" where in every one of several trainings the interval of what
    false "none" rises by lies above that of false names, "against" where below in every one, else "open".
    """
    rows = []
    for operation, own in table[table["operation"] != UNTOUCHED].groupby("operation", sort=False):
        last = own[own["strength"] == own["strength"].iloc[-1]]
        none, name = (last[last["measure"] == f"false {what}"].set_index("seed") for what in ("none", "name"))
        name = name.loc[none.index]
        above = (none["change_low"] > name["change_high"]).all()
        below = (none["change_high"] < name["change_low"]).all()
        says = verdicts.FOR if above else verdicts.AGAINST if below else verdicts.OPEN
        rows.append(
            {
                "operation": operation, "strength": last["strength"].iloc[0], "unit": last["unit"].iloc[0],
                "none": none["change"].mean(), "name": name["change"].mean(), "seeds": len(none),
                "says": says if len(none) > 1 else verdicts.OPEN,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def misses(table: pd.DataFrame) -> str:
    """G-C4: perturbation makes networks miss sources rather than name wrong ones."""
    rows = missed(table)
    sides = {
        side: rows.loc[rows["says"] == side, "operation"].tolist()
        for side in (verdicts.FOR, verdicts.AGAINST, verdicts.OPEN)
    }
    speak, against, left = (len(some) for some in sides.values())
    word = verdicts.word(speak, against=against, open_=left)
    lines = [
        [r.operation, f"{r.strength:g} ({r.unit})", verdicts.points(r.none), verdicts.points(r.name), r.says]
        for r in base.tuples(rows)
    ]
    counts = table[table["operation"] == UNTOUCHED].set_index("measure")["n"]
    fakes, everything = (base.span(counts.loc[[f"false {what}"]]) for what in ("none", "name"))
    heads = ["operation", "strongest", 'false "none"', "false name", "for the claim?"]
    told = "; ".join(
        f"{words} {len(sides[side])}{_listed(sides[side])}"
        for words, side in (
            ("for it", verdicts.FOR),
            ("against it", verdicts.AGAINST),
            ("open", verdicts.OPEN),
        )
    )
    text = (
        f"The claim {verdicts.claim_is(word)} here. Of {base.counted(len(rows), 'operation')} speak {told}.\n"
        f"\n{base.table(heads, lines)}\n\nRises are means over "
        f"{base.counted(int(rows['seeds'].max()), 'training')}; false *none* of {fakes} fakes, false names "
        f"of {everything} pictures. An operation is open unless all of several trainings say the same with "
        "whole intervals."
    )
    return base.admonition("Verdict: perturbation makes sources missed, not mistaken", text)


def _listed(operations: Sequence[str]) -> str:
    return f" ({', '.join(operations)})" if operations else ""


def bridged(table: pd.DataFrame) -> str:
    """What detection and the sources share beyond an untrained control, one training.

    ``table``: rows of `tff_core.features.bridge.specific`.
    """
    lines = []
    for r in base.tuples(table):
        if r.a != DETECTION:
            continue
        value = "none" if math.isnan(r.value) else base.interval(r.value, r.low, r.high, sign=True)
        lines.append(
            [base.names([r.b]), r.measure, f"{r.together:.2f}", f"{r.control:.2f}", value, f"{r.p:.2f}"]
        )
    heads = ["detection and", "measure", "together", "untrained", "beyond", "p of a single control"]
    return (
        f"{base.table(heads, lines)}\n\nn = {base.span([*table['n_a'], *table['n_b']])} pictures a task, "
        f"{base.span(table['draws'])} controls, one training: intervals are over pictures and controls. "
        "Where p is large, a task that has learnt nothing shares as much."
    )


def crossed(table: pd.DataFrame) -> str:
    """What every task loses without the first maps of another, beyond other maps of the same layers.

    ``table``: rows of `tff_core.features.bridge.breakage`, of one training.
    """
    rows = table[(table["contrast"] == "top-k - matched-k") & (table["seed"].astype(str) == "all")]
    ranked = list(dict.fromkeys(rows["ranked"]))
    cells = {(r.measured, r.ranked): r for r in base.tuples(rows)}
    lines = [
        [
            base.names([measured]),
            *(verdicts.points(r.delta_ap, r.low, r.high) for r in (cells[measured, one] for one in ranked)),
        ]
        for measured in dict.fromkeys(rows["measured"])
    ]
    heads = ["measured", *(f"maps of {base.names([one])}" for one in ranked)]
    apart = rows[rows["measured"] != rows["ranked"]]
    naming = apart[apart["ranked"] == DETECTION]
    detecting = apart[apart["measured"] == DETECTION]
    mild = rows["control"].min() < rows["k"].max()
    caution = (
        f"\n\n**{verdicts.CAUTION}** Where a layer has too few other maps, fewer are dropped in the control "
        "than in the comparison: it is too mild there, and a fall may be due to the number alone."
    )
    return (
        f"{base.table(heads, lines)}\n\nAP without the first {int(rows['k'].max())} maps minus AP without "
        f"{base.span(rows['control'])} others of the same layers; n = {base.span(rows['n_fake'])} pictures "
        f"of a task's own and {base.span(rows['n_real'])} others, one training. Without maps that detect, "
        f"{_fallen(naming, 'source is', 'sources are')} named worse than without others; without a source's "
        f"maps, detection is worse for {_fallen(detecting, 'source', 'sources')}. Intervals are over "
        f"pictures and draws of the control.{caution if mild else ''}"
    )


def _fallen(rows: pd.DataFrame, one: str, many: str) -> str:
    """``2 of 4 sources``: those whose whole interval lies below zero."""
    n = int((rows["high"] < 0).sum())
    return f"{n} of {len(rows)} {one if len(rows) == 1 else many}"


def no_bridge(why: str) -> str:
    """What is said where tasks have learnt too little to be compared."""
    return f"**Not to be asked of this network:** {why}."
