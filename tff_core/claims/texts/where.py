"""What the chapters on patch classifiers say about their numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.verdicts import named, percent, points

TRAINED_ON = "progan"
ONE = ", one cell"
"""Ends the name of a network whose cells are each scored alone."""
_FAMILIES = {"xception": "Xception", "longxception": "Xception, deeper", "widenet": "wide net"}


def spoken(network: str, size: int | None = None) -> str:
    """A network's name in words, with the pixels a side that a cell sees: ``Xception, block 2 (43 px)``."""
    name, _, cut = network.partition("_")
    family = _FAMILIES.get(name, name.replace("resnet", "ResNet-"))
    stage = "".join(f", {word} {cut[len(word) :]}" for word in ("block", "layer") if cut.startswith(word))
    return f"{family}{stage}" + ("" if size is None else f" ({size} px)")


def networks(table: pd.DataFrame) -> str:
    """A table of networks: rows ``network, field, jump, cells, parameters`` (pixels and counts)."""
    heads = ["network", "a cell sees", "next cell after", "cells of a picture", "parameters"]
    lines = [
        [spoken(r.network), f"{r.field} px", f"{r.jump} px", r.cells, f"{r.parameters:,}"]
        for r in base.tuples(table)
    ]
    return base.table(heads, lines)


def trained(info: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """How many validation cells are right, by network: ``info`` has the best epoch of every seed."""
    told = [
        f"{spoken(network)} {percent(sum(one['cells_right'] for one in some) / len(some))}"
        for network, some in info.items()
    ]
    return f"Share of validation's cells that are right, means over seeds: {'; '.join(told)}."


def apart(table: pd.DataFrame, later: str, earlier: str, unseen: bool) -> pd.DataFrame:
    """The difference of two scores by generator: columns generator, value, low, high, seeds.

    ``table``: rows of `tff_core.intervals.compare_ap` with a column ``generator``; ``unseen`` leaves the
    generator out that all are trained on. Empty where there is no such difference.
    """
    numbers = {"ap": "value", "ap_low": "low", "ap_high": "high"}
    rows = table[table["name"] == f"{later} - {earlier}"].rename(columns=numbers)
    if rows.empty:  # the other way round
        rows = table[table["name"] == f"{earlier} - {later}"].rename(columns=numbers)
        rows = rows.assign(value=-rows["value"], low=-rows["high"], high=-rows["low"])
    if unseen:
        rows = rows[rows["generator"] != TRAINED_ON]
    return rows[["generator", "value", "low", "high", "seeds"]].reset_index(drop=True)


def sentence(rows: pd.DataFrame, what: str) -> str:
    """On how many generators ``what`` lies above zero, and by how much."""
    return verdicts.lies(rows, what, contains="contains zero, or covers pictures only, on")


def _said(rows: pd.DataFrame) -> str:
    if rows.empty:
        return verdicts.UNTESTED
    yes, no, left = verdicts.parted(rows)
    return verdicts.word(len(yes), against=len(no), open_=len(left))


def counts(table: pd.DataFrame) -> str:
    """n and seeds of a table of differences."""
    return (
        f"n = {base.span(table['n_real'])} reals and {base.span(table['n_fake'])} fakes per generator, "
        f"{base.seeds(int(table['seeds'].max()))} of each network."
    )


def averaging(table: pd.DataFrame, networks: Sequence[str]) -> str:
    """P-C2: the mean over a picture's cells is better than a cell alone."""
    lines, words = [], []
    for network in networks:
        rows = apart(table, network, network + ONE, unseen=False)
        words.append(_said(rows))
        lines.append(
            f"**{spoken(network)}.** {sentence(rows, 'the AP of the mean minus that of single cells')}: "
            f"the claim {verdicts.claim_is(words[-1])}."
        )
    return base.admonition(
        "Verdict: cells together see more than one cell", "\n\n".join([*lines, counts(table)])
    )


def transfer(table: pd.DataFrame, networks: Sequence[str], detectors: Mapping[str, str]) -> str:
    """P-C1: patch classifiers carry over to unseen generators better than whole networks.

    ``detectors``: the universal detectors' names in the table, and in words.
    """
    lines = []
    for detector, title in detectors.items():
        for network in networks:
            rows = apart(table, network, detector, unseen=True)
            if rows.empty:
                lines.append(f"**{spoken(network)} against {title}.** No generator here is unseen.")
                continue
            told = sentence(rows, f"the AP of the patch classifier minus that of {title}")
            lines.append(
                f"**{spoken(network)} against {title}.** {told}: the claim {verdicts.claim_is(_said(rows))}."
            )
    return base.admonition(
        "Verdict: limited receptive fields carry over better", "\n\n".join([*lines, counts(table)])
    )


def ranges(told: Mapping[str, Sequence[str]]) -> str:
    """Between which probabilities mean maps lie: ``told`` has for each map one text."""
    return "; ".join(f"{name.capitalize()}: {texts[0]}" for name, texts in told.items()) + "."


METHODS = {
    "lrp": "relevance",
    "guided_gradcam": "Guided Grad-CAM",
    "gradcam": "Grad-CAM",
    "gradient": "gradient",
    "edges": "edges",
    "high_pass": "fine structure",
}
"""Maps that are not those of patch classifiers, in words: the first four are of the whole detector."""


def found(table: pd.DataFrame, titles: Mapping[str, str], reference: str) -> str:
    """How much better one patch classifier's map finds what is fake than each other method's.

    ``table``: rows of `tff_core.localization.comparison.compare` with a column ``generator``.
    """
    rows = table[(table["measure"] == "pixel_ap") & (table["method"] != reference)]
    own = table[(table["measure"] == "pixel_ap") & (table["method"] == reference)]
    generators = list(own["generator"])
    told = ", ".join(
        f"{base.names([r.generator])} {percent(r.value, r.low, r.high)} (chance {percent(r.chance)})"
        for r in base.tuples(own)
    )
    text = f"AP of all pixels by {titles[reference]}: {told}.\n\n"
    for method, some in rows.groupby("method", sort=False):
        better = some.loc[some["difference_high"] < 0, "generator"].tolist()
        worse = some.loc[some["difference_low"] > 0, "generator"].tolist()
        text += (
            f"- **Against {titles[str(method)]}:** better on {len(better)} of {len(generators)} generators"
            f"{named(better)}"
            + (f", worse on {len(worse)}{named(worse)}" if worse else "")
            + f"; mean difference {points(-some['difference'].mean())}.\n"
        )
    outside = table[(table["measure"] == "false_area") & (table["method"] == reference)]
    text += (
        f"\nOf authentic pictures it marks {percent(outside['value'].mean())} of the pixels. "
        f"n = {base.span(own['n'])} spliced pictures per generator and {base.span(outside['n'])} authentic "
        "ones; one training of each network, so the intervals cover pictures only: *better* means that the "
        "whole interval of the paired difference lies on its side."
    )
    return base.admonition("What the masks say", text)


def front(table: pd.DataFrame | None, networks: Sequence[str], detector: str) -> str:
    """What the first page says of it, or that it is not there yet."""
    where = "{doc}`Patch classifiers </notebooks/11_patches>`"
    if table is None or not len(networks):
        return f"**Not asked in this build:** {where}, which judge every part of a picture by itself."
    rows = apart(table, networks[0], detector, unseen=True)
    if rows.empty:
        return f"**{where}:** no generator here is unseen."
    told = sentence(rows, f"the AP of {spoken(networks[0])} minus that of the whole network")
    return f"**{where}:** that they carry over better {verdicts.claim_is(_said(rows))} here. {told}."


def by_seed(table: pd.DataFrame, level: float = 0.05) -> pd.DataFrame:
    """Whether predictive patches are spread otherwise than by chance: a row for each generator.

    ``table``: rows of `tff_core.localization.clusters.sort` with columns ``generator`` and ``seed``. Columns
    generator, seeds, found (seeds in which a category departs, by its corrected p-value), category (the
    one that departs most surely), patches, expected, p_holm (of it, in the first seed), n.
    """
    rows = []
    for generator, own in table.groupby("generator", sort=False):
        least = own.groupby("seed", sort=False)["p_holm"].min()
        first = own[own["seed"] == own["seed"].iloc[0]]
        best = first.loc[first["p_holm"].idxmin()]
        rows.append(
            {
                "generator": generator, "seeds": len(least), "found": int((least < level).sum()),
                "category": best["category"], "patches": int(best["patches"]), "expected": best["expected"],
                "p_holm": best["p_holm"], "n": int(first["patches"].sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def spread(table: pd.DataFrame) -> str:
    """P-C4: the most predictive patches do not show what chance would have them show."""
    rows = by_seed(table)
    speak = rows[(rows["found"] == rows["seeds"]) & (rows["seeds"] > 1)]["generator"].tolist()
    word = verdicts.word(len(speak), against=0, open_=len(rows) - len(speak))
    lines = [
        f"- **{base.names([r.generator])}:** in {r.found} of {base.counted(r.seeds, 'training')} a category "
        f"departs from chance; most surely *{r.category}*, {r.patches} of {r.n} patches, {r.expected:.1f} by "
        f"chance (corrected p = {r.p_holm:.3f}, first training)."
        for r in base.tuples(rows)
    ]
    text = (
        f"The claim {verdicts.claim_is(word)} here: {len(speak)} of {len(rows)} generators speak for it"
        f"{named(speak)}, in every training.\n\n" + "\n".join(lines) + "\n\nA generator speaks for the claim "
        "if in each of several trainings some category has a corrected p-value below 0.05. Nothing can speak "
        "against it: that no category departs does not show that none does."
    )
    return base.admonition("Verdict: predictive patches are not spread as chance would", text)


def law(summary: pd.DataFrame, fields: Mapping[str, int]) -> str:
    """Whether wider fields find more, by period: rows of `tff_core.localization.law.summary`."""
    lines = []
    for r in base.tuples(summary):
        task = "telling pictures apart" if r.measure == "pictures" else "finding the trace"
        if math.isnan(r.rho):
            lines.append([task, f"{r.period:g} px", "none", "none"])
            continue
        lines.append([task, f"{r.period:g} px", base.interval(r.rho, r.low, r.high, sign=True), f"{r.p:.2f}"])
    heads = ["", "period", "rank correlation of AP with the field", "p by chance"]
    told = ", ".join(f"{spoken(name)} {size} px" for name, size in fields.items())
    return f"{base.table(heads, lines)}\n\nNetworks: {told}."


NO_SCENES = (
    "No generator of this build keeps the layout of its scenes: it is not known what patches of its fakes "
    "show."
)
NOT_ASKED = "**Not asked in this build:** `make all` trains the networks of this section."


def _in_each(rows: pd.DataFrame, speaks: pd.Series) -> str:
    """What a generator's trainings say together: for, against, or open where there is one, or they differ."""
    seeds = rows["seed"].nunique()
    if seeds < 2:
        return verdicts.OPEN
    return verdicts.FOR if bool(speaks.all()) else verdicts.OPEN


def prepared(table: pd.DataFrame) -> str:
    """How well reals are told from reals that came another way: rows of `parity.same_reals` with ``seed``."""
    lines = []
    for treatment, own in table.groupby("treatment", sort=False):
        told = int(own["told"].sum())
        ways = sorted({way for some in own["refused"].fillna("") for way in some.split(", ") if way})
        best = f"{own['statistic'].iloc[0]} ({own['statistic_auc'].mean():.2f})"
        cells = [treatment, percent(own["ap"].mean()), f"{told} of {len(own)}", best]
        lines.append([*cells, " and ".join(ways) or "nothing"])
    heads = [
        "one side went through", "AP (chance 50 %)", "trainings that tell", "best statistic (AUC)",
        "refused beforehand by",
    ]  # fmt: skip
    n = base.span(table["n"])
    return f"{base.table(heads, lines)}\n\nn = {n} test pictures, all of them real."


def parity(table: pd.DataFrame) -> str:
    """P-C3: preparation decides scores. ``table``: rows of `parity.alignment` with a column ``seed``."""
    wrong = table[(table["trained"] == "misaligned") & (table["tested"] == "misaligned")]
    right = table[(table["trained"] == "aligned") & (table["tested"] == "aligned")]
    lines, said = [], {}
    for generator, own in wrong.groupby("generator", sort=False):
        said[str(generator)] = _in_each(own, own["difference_low"] > 0)
        fair = right[right["generator"] == generator]["ap"].mean()
        higher = int((own["difference_low"] > 0).sum())
        lines.append(
            f"- **{base.names([str(generator)])}:** AP {percent(fair)} prepared alike, "
            f"{percent(own['ap'].mean())} where the reals went another way; higher, with the whole paired "
            f"interval, in {higher} of {base.counted(len(own), 'training')}."
        )
    speak = [name for name, word in said.items() if word == verdicts.FOR]
    word = verdicts.word(len(speak), against=0, open_=len(said) - len(speak))
    text = (
        f"The claim {verdicts.claim_is(word)} here: {len(speak)} of {len(said)} generators speak for it"
        f"{named(speak)}, in every training.\n\n" + "\n".join(lines) + f"\n\nn = {base.span(wrong['n'])} "
        "pictures per generator, half of them fake; the fakes are the same in both columns."
    )
    return base.admonition("Verdict: preparation decides scores", text)


_INVERTED_BY = "autoencoder"


def variants(table: pd.DataFrame, network: str) -> str:
    """What each kind of fakes teaches ``network``: rows of `tff_core.localization.variants.compare`.

    A table of all tests, and by the rule whether inversions, or half of each, carry over better than samples.
    """
    titles = {
        TRAINED_ON: f"{base.names([TRAINED_ON])}, held-out samples",
        _INVERTED_BY: "inversions of held-out reals",
    }
    known = [name for name in titles if name in set(table["generator"])]
    order = [*known, *(name for name in dict.fromkeys(table["generator"]) if name not in titles)]
    kinds = ("samples", "inversions", "both")
    lines = []
    for generator in order:
        own = table[(table["generator"] == generator) & table["name"].isin(kinds)]
        cells = [percent(r.ap, r.ap_low, r.ap_high) for r in base.tuples(own)]
        lines.append([titles.get(generator) or base.names([generator]), *cells])
    heads = ["AP on", *(f"trained on {kind}" for kind in kinds)]
    said = []
    for later, title in (("inversions", "Inversions"), ("both", "Half of each")):
        rows = apart(table[table["generator"] != _INVERTED_BY], later, "samples", unseen=True)
        if rows.empty:
            said.append(f"**{title} instead of samples.** No generator here is unseen.")
            continue
        told = sentence(rows, f"the AP after training on {later} minus that after samples")
        said.append(f"**{title} instead of samples.** {told}: the claim {verdicts.claim_is(_said(rows))}.")
    for generator, kind in zip(titles, kinds, strict=False):
        rows = apart(table[table["generator"] == generator], "both", kind, unseen=False)
        said += [
            f"On {titles[generator]}, the AP after half of each minus that after {kind} alone is "
            f"{points(r.value, r.low, r.high)}."
            for r in base.tuples(rows)
        ]
    box = base.admonition(
        "Verdict: inversions carry over better than samples", "\n\n".join([*said, counts(table)])
    )
    return f"{base.table(heads, lines)}\n\nNetwork: {spoken(network)}.\n\n{box}"


_WHEN = {
    "before": "before", "control": "after as many steps without the classifier",
    "adapted": "after steps against the classifier",
}  # fmt: skip


def outlived(table: pd.DataFrame) -> str:
    """P-C5: traces outlive adaptive training. ``table``: rows of `adaptive.experiment` with ``seed``."""
    lines = []
    for (which, fakes), own in table.groupby(["classifier", "fakes"], sort=False):
        reach = f"{percent(own['low'].min())} to {percent(own['high'].max())}"
        lines.append([f"{which} classifier", _WHEN[str(fakes)], percent(own["ap"].mean()), reach, len(own)])
    again = table[(table["classifier"] == "retrained") & (table["fakes"] == "adapted")]
    said = {
        str(generator): _in_each(own, own["low"] > own["chance"])
        for generator, own in again.groupby("generator", sort=False)
    }
    speak = [name for name, word in said.items() if word == verdicts.FOR]
    word = verdicts.word(len(speak), against=0, open_=len(said) - len(speak))
    heads = ["", "fakes", "AP, mean", "over all intervals", "trainings"]
    text = (
        f"The claim {verdicts.claim_is(word)} here: a classifier trained anew finds the adapted fakes of "
        f"{len(speak)} of {base.counted(len(said), 'generator')}{named(speak)}, in every training with the "
        f"whole interval above chance.\n\n{base.table(heads, lines)}\n\n"
        f"n = {base.span(table['n'])} pictures, half of them fake."
    )
    return base.admonition("Verdict: traces outlive adaptive training", text)
