"""What the chapter on robustness says about its numbers: curves, what breaks first, bands, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.verdicts import percent
from tff_core.pictures import degradations

UNTOUCHED = "untouched"
_MEASURES = ("AP", "real right", "fake right")


def _level(operation: str, level: float) -> str:
    """A level as people write it; "-" where there is none."""
    if math.isnan(level):
        return "-"
    known = degradations.OPERATIONS.get(operation)
    return known.label(level) if known else f"{level:g}"


def _cells(rows: pd.DataFrame) -> list[str]:
    """The numbers of all measures, in their order."""
    of = {r.measure: r for r in base.tuples(rows)}
    return [
        "none" if name not in of or math.isnan(of[name].value)
        else percent(of[name].value, of[name].low, of[name].high)
        for name in _MEASURES
    ]  # fmt: skip


def answers(table: pd.DataFrame) -> str:
    """What is left at the strongest level of every degradation.

    ``table``: rows of `tff_core.exam.robustness.curves` of the generator "mean".
    """
    start = table[table["operation"] == UNTOUCHED]
    lines = [["none", "", *_cells(start)]]
    for operation, own in table[table["operation"] != UNTOUCHED].groupby("operation", sort=False):
        last = own[own["level"] == own["level"].iloc[-1]]
        level = _level(str(operation), float(own["level"].iloc[-1]))
        lines.append([str(operation), level, *_cells(last)])
    seeds = int(table["seeds"].max())
    heads = ["degradation", "strongest", "AP", "reals right", "fakes right"]
    return (
        f"{base.table(heads, lines)}\n\nMeans over generators, {base.seeds(seeds)}, "
        f"{base.span(start['n_real'])} reals and {base.span(start['n_fake'])} fakes, with 95 % intervals."
    )


def first(table: pd.DataFrame, explained: int) -> str:
    """Which breaks first, the verdict or its explanation. ``table``: `tff_core.exam.robustness.broken`.

    ``explained``: the number of fakes behind it.
    """
    if not explained:
        return (
            "**Not to be asked of this detector:** it calls none of these fakes fake, so there is no verdict "
            "to break."
        )
    lines = [
        [
            r["operation"], *(_level(r["operation"], r[name]) for name in ("verdict", "heatmap", "omega")),
            r["heatmap first"], r["omega first"],
        ]
        for r in table.to_dict("records")
    ]  # fmt: skip
    heads = ["degradation", "verdict", "heatmap", "omega", "heatmap first?", "omega first?"]
    sentences = []
    for name, words in (("heatmap", "heatmaps break"), ("omega", "the top-k of omega breaks")):
        says = table[f"{name} first"]
        sides = (verdicts.FOR, verdicts.AGAINST, verdicts.OPEN)
        counts = {side: list(table.loc[says == side, "operation"]) for side in sides}
        speak, against, left = (len(some) for some in counts.values())
        word = verdicts.word(speak, against=against, open_=left)
        told = ", ".join(
            f"{len(some)} {side}" + (f" ({', '.join(some)})" if some else "") for side, some in counts.items()
        )
        sentences.append(
            f"**That {words} before the verdict** {verdicts.claim_is(word)}: of {len(table)} degradations "
            f"{told}."
        )
    alone = (
        ""
        if table["seeds"].max() > 1
        else f" **{verdicts.CAUTION}** one training seed says nothing about another, so all is open."
    )
    text = (
        "\n\n".join(sentences)
        + f"\n\n{base.table(heads, lines)}\n\nThe weakest level at which each is broken, "
        f"- where it is not; n = {explained} explained fakes, {base.seeds(int(table['seeds'].max()))}.{alone}"
    )
    return base.admonition("Verdict: the explanation breaks before the verdict", text)


MATCHED = 0.95
"""A control that took less than this share of a band's energy is too mild to speak for the band."""


def bands(table: pd.DataFrame, names: Mapping[float, str], matched: pd.DataFrame) -> str:
    """Which octaves a detector and its omega rest on. ``table``: `tff_core.exam.band_stop.contrast`.

    ``names`` of the bands by their lower end; ``matched``: how much of a band's energy its control took.
    Bands whose control took less than `MATCHED` are told apart.
    """
    took = {(r.channel, r.level): r.matched for r in base.tuples(matched)}
    blocks = []
    for measure, words in (("AP", "AP"), ("omega", "the top-k of omega")):
        rows = table[(table["measure"] == measure) & table["low"].notna()]
        if rows.empty:
            blocks.append(f"Nothing can be said of {words}: no picture was explained.")
            continue
        fair = rows[[took[r.channel, r.level] >= MATCHED for r in base.tuples(rows)]]
        mild = rows.drop(fair.index)
        lost = fair[fair["high"] < 0]
        blocks.append(
            f"More of **{words}** is lost without a band than without as much elsewhere in {len(lost)} of "
            f"{base.counted(len(fair), 'band')} with a control as strong{_told(lost, names)}; n = "
            f"{base.span(rows['n_fake'])} fakes, {base.seeds(int(rows['seeds'].max()))}."
        )
        if len(mild):
            more = mild[mild["high"] < 0]
            where = ", ".join(
                f"{r.channel}, {names[r.level]}: {100 * took[r.channel, r.level]:.0f} %"
                for r in base.tuples(mild)
            )
            blocks[-1] += (
                f" **{verdicts.CAUTION}** the other frequencies hold less than the band in {len(mild)} "
                f"({where} of its energy), so the control took all of them and is too mild: there more is "
                f"lost without the band in {len(more)}{_told(more, names)}, which the amount alone may "
                "explain."
            )
    return "\n\n".join(blocks)


def _told(rows: pd.DataFrame, names: Mapping[float, str]) -> str:
    told = "; ".join(
        f"{r.channel}, {names[r.level]}: {verdicts.points(r.value, r.low, r.high)}" for r in base.tuples(rows)
    )
    return f" ({told})" if told else ""


def tuned(table: pd.DataFrame, names: Mapping[float, str], silent: Sequence[int]) -> str:
    """What the top-k respond to, beside other maps.

    ``table``: group, channel, level, value, low, high, n_maps. The groups are "top-k" and "layer-matched";
    ``silent``: how many maps of either respond to nothing.
    """
    known = table[table["value"].notna()]
    sentences = []
    for group, rows in known.groupby("group", sort=False):
        best = rows.sort_values("value").iloc[-1]
        chroma = rows.loc[rows["channel"] != "Y", "value"].sum()
        sentences.append(
            f"The {group} respond most to {best['channel']}, {names[best['level']]} "
            f"({percent(best['value'], best['low'], best['high'])}), and to chroma with {percent(chroma)} in "
            f"all (n = {base.span(rows['n_maps'])} maps)."
        )
    if not sentences:
        return "No map responds to any band."
    quiet = f" {sum(silent)} maps respond to none." if sum(silent) else ""
    return " ".join(sentences) + quiet


def spectra(table: pd.DataFrame) -> str:
    """Where fakes differ from reals. ``table``: differences of `tff_core.exam.family_spectra.measure`."""
    heads = ["family", *(f"{c}: rings that differ" for c in dict.fromkeys(table["channel"])), "largest at"]
    lines = []
    for family, own in table.groupby("family", sort=False):
        rings = own[own["frequency"] > 0]
        cells = [
            f"{int((rows['q'] <= 0.05).sum())} of {len(rows)}"
            for _, rows in rings.groupby("channel", sort=False)
        ]
        best = rings.sort_values("value", key=lambda column: column.abs()).iloc[-1]
        ends = base.interval(best["value"], best["low"], best["high"], sign=True)
        lines.append(
            [base.names([str(family)]), *cells, f"{best['channel']}, {best['frequency']:.2f}: {ends}"]
        )
    return (
        f"{base.table(heads, lines)}\n\nRings of equal frequency in which the mean log power of fakes "
        f"differs from that of their reals at a false discovery rate of 5 %; n = {base.span(table['n'])} "
        f"fakes and {base.span(table['n_base'])} reals of each family. A difference of 0.69 is twice the "
        "power."
    )


_GROUPS = {"seen": "the family trained on", "unseen": "other families"}


def calibrated(table: pd.DataFrame) -> str:
    """Calibration errors. ``table``: rows of `tff_core.exam.calibration.errors`."""
    heads = [
        "pictures",
        "logits",
        "ECE without its bias",
        "as usually told",
        "by chance",
        "p",
        "cross entropy",
        "n",
    ]
    lines = []
    for r in base.tuples(table):
        cells = ["none"] * 5
        if not math.isnan(r.value):
            cells = [
                percent(r.value, r.low, r.high), percent(r.plain), percent(r.chance),
                f"{r.p:.3f}", f"{r.cross_entropy:.2f}",
            ]  # fmt: skip
        lines.append([_GROUPS.get(r.generator, r.generator), r.scaled, *cells, r.n])
    sentences = []
    for group, words in _GROUPS.items():
        own = table[(table["generator"] == group) & table["value"].notna()].set_index("scaled")
        if {"as trained", "temperature"} <= set(own.index):
            before, after = own.loc["as trained"], own.loc["temperature"]
            what = (
                "lowers" if after["high"] < before["low"] else "raises" if after["low"] > before["high"]
                else "does not clearly change"
            )  # fmt: skip
            sentences.append(f"On {words} the temperature {what} the calibration error.")
    return (
        f"{' '.join(sentences)}\n\n{base.table(heads, lines)}\n\n"
        f"{base.seeds(int(table['seeds'].max())).capitalize()}, fitted on validation pictures alone. "
        "*By chance* is what probabilities that are right would show on so many pictures, and p how often "
        "they would show as much, the largest over detectors. Lowers and raises are said where two intervals "
        "do not meet."
    ).strip()


def promised(table: pd.DataFrame) -> str:
    """What becomes of promised errors. ``table``: rows of `tff_core.exam.calibration.promises`."""
    if table.empty:
        return "Validation has too few pictures for any of these promises."
    heads = ["pictures", "allowed", "of", "called wrong", "no call", "own label left", "plausible"]
    lines = []
    for generator in dict.fromkeys(table["generator"]):
        for alpha in dict.fromkeys(table["alpha"]):
            for label in ("real", "fake"):
                same = (table["generator"] == generator) & (table["alpha"] == alpha)
                own = table[same & (table["label"] == label)].set_index("outcome")
                if own.empty:
                    continue
                wrong, none, covered = (own.loc[outcome] for outcome in ("wrong", "no call", "covered"))
                lines.append(
                    [
                        _GROUPS.get(generator, generator), percent(alpha), f"{label}s",
                        percent(wrong["value"], wrong["low"], wrong["high"]), percent(none["value"]),
                        percent(covered["value"], covered["low"], covered["high"]),
                        f"{100 * covered['plausible_low']:.0f} to {100 * covered['plausible_high']:.0f} %",
                    ]
                )  # fmt: skip
    sentences = []
    for group, words in _GROUPS.items():
        rows = table[(table["generator"] == group) & (table["outcome"] == "covered")]
        if len(rows):
            broken = int((rows["high"] < rows["promised"]).sum())
            sentences.append(
                f"On {words} the promise is broken in {broken} of {len(rows)} cases: the whole interval of "
                "the share whose own label is left lies below what was promised."
            )
    who = base.seeds(int(table["seeds"].max())).capitalize()
    return (
        f"{' '.join(sentences)}\n\n{base.table(heads, lines)}\n\n{who}, n = {base.span(table['n'])} pictures "
        "of each label. *Plausible* is where a share lies in 95 of 100 cases, for one detector, where "
        "pictures are like those of validation."
    )
