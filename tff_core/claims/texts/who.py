"""What the chapters on networks that name sources say about their numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.texts.where import apart
from tff_core.claims.verdicts import MARGIN, named, percent, points
from tff_core.metrics import chance

_NAMES = {
    "modules": "primary and secondaries",
    "notl": "one network, no transfer",
    "gandct-conv": "GANDCT",
    "ganfp-postpool": "GAN fingerprints",
    "logistic": "logistic regression",
    "nearest-mean": "nearest mean",
}
_SEES = {"pixel": "pixels", "dct": "spectra"}
MODULES, ALONE = "modules", "notl"


def spoken(network: str) -> str:
    """A network's name in words, with what it sees: ``primary and secondaries (pixels)``."""
    name, _, kind = network.rpartition("_")
    return f"{_NAMES.get(name, name)} ({_SEES.get(kind, kind)})"


def having(networks: Sequence[str], name: str) -> list[str]:
    """Those of ``networks`` that are of this name, whatever they see."""
    return [one for one in networks if one.rpartition("_")[0] == name]


def facts(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of networks: ``parts`` (parameters by part) and ``infos``, what was recorded with each seed."""
    lines = []
    for network, row in rows.items():
        told = "; ".join(f"{part} {n:,}" for part, n in row["parts"].items())
        best = [epoch for info in row["infos"] for epoch in info["best"].values()]
        minutes = [info["cpu_seconds"] / 60 for info in row["infos"] if "cpu_seconds" in info]
        lines.append(
            [
                spoken(network), told, base.span(best) if best else "fitted as a whole",
                f"{sum(minutes) / len(minutes):.1f}" if minutes else "none recorded",
            ]
        )  # fmt: skip
    heads = ["network", "parameters", "best epochs", "minutes of one core, mean over seeds"]
    return base.table(heads, lines)


def close(table: pd.DataFrame, network: str, rival: str, margin: float = MARGIN) -> pd.DataFrame:
    """On which sources ``network`` is at most ``margin`` worse than ``rival``: a row for each source.

    ``table``: rows of `tff_core.attribution.comparison.attribution`. Columns generator, value, low, high (of
    the difference of AP), seeds, says ("for", "against", "open"). A source speaks for it if the whole
    interval lies above -margin, against it if below, and leaves it open where intervals cover one training,
    or the rival itself is not better than a random order: not to be worse than that is nothing.
    """
    rows = apart(table, network, rival, unseen=False)
    own = table[table["name"] == rival].set_index("generator").loc[rows["generator"]]
    luck = [chance(int(r), int(f)) for r, f in zip(own["n_real"], own["n_fake"], strict=True)]
    says = verdicts.side(rows["low"], rows["high"], -margin, seeds=rows["seeds"])
    knows = (own["ap_low"].to_numpy() > luck) | (says.to_numpy() == verdicts.AGAINST)
    return rows.assign(says=says.where(knows, verdicts.OPEN))


def _judged(rows: pd.DataFrame) -> tuple[str, dict[str, list[str]]]:
    """The word, and the sources on each side."""
    sides = {
        side: rows.loc[rows["says"] == side, "generator"].tolist()
        for side in (verdicts.FOR, verdicts.AGAINST, verdicts.OPEN)
    }
    speak, against, left = (len(some) for some in sides.values())
    return verdicts.word(speak, against=against, open_=left), sides


def _as_good(table: pd.DataFrame, network: str, rival: str) -> str:
    rows = close(table, network, rival)
    word, sides = _judged(rows)
    told = "; ".join(
        f"{base.names([r.generator])} {points(r.value, r.low, r.high)}" for r in base.tuples(rows)
    )
    return (
        f"**{spoken(network).capitalize()} against {spoken(rival)}.** AP of the first minus that of the "
        f"second: {told}. For the claim: {len(sides[verdicts.FOR])} of {len(rows)} sources"
        f"{named(sides[verdicts.FOR])}; against it: {len(sides[verdicts.AGAINST])}"
        f"{named(sides[verdicts.AGAINST])}; open: {len(sides[verdicts.OPEN])}{named(sides[verdicts.OPEN])}. "
        f"The claim {verdicts.claim_is(word)}."
    )


def _numbers(table: pd.DataFrame) -> str:
    return (
        f"n = {base.span(table['n_fake'])} pictures of each source and {base.span(table['n_real'])} others, "
        f"{base.counted(int(table['seeds'].max()), 'training')} of each network. A source speaks for it if "
        f"the whole interval of the difference lies above {points(-MARGIN)}, against it if below. It leaves "
        "it open otherwise, where there is one training alone, and where the second network is not better "
        "than a random order: not to be worse than that is nothing."
    )


def _pairs(networks: Sequence[str]) -> list[tuple[str, str]]:
    """Networks with modules beside those without transfer that see the same."""
    return [
        (one, rival)
        for one in having(networks, MODULES)
        for rival in having(networks, ALONE)
        if one.endswith(rival.removeprefix(ALONE))
    ]


def front(table: pd.DataFrame | None, networks: Sequence[str]) -> str:
    """What the first page says of networks that name sources, or that it is not there yet."""
    where = "{doc}`Who made it </notebooks/14_primary_secondary>`"
    pairs = _pairs(networks)
    if table is None or not pairs:
        return f"**Not asked in this build:** {where}, with modules that share what a detector has learnt."
    rows = close(table, *pairs[0])
    word, sides = _judged(rows)
    return (
        f"**{where}:** that what a frozen detector computes halfway is enough to name the source "
        f"{verdicts.claim_is(word)} here, on {len(sides[verdicts.FOR])} of {len(rows)} sources"
        f"{named(sides[verdicts.FOR])}; the mean difference to a network trained for it is "
        f"{points(rows['value'].mean())}."
    )


def suffices(table: pd.DataFrame, networks: Sequence[str]) -> str:
    """G-C1: secondary modules on a frozen primary are as good as the same layers trained without transfer."""
    pairs = _pairs(networks)
    if not pairs:
        return "**Not asked in this build:** no network without transfer sees what one with modules sees."
    lines = [_as_good(table, *pair) for pair in pairs]
    return base.admonition(
        "Verdict: a frozen primary suffices for attribution", "\n\n".join([*lines, _numbers(table)])
    )


def values(table: pd.DataFrame, networks: Sequence[str]) -> str:
    """AP of each network by source, with intervals and what a random order has, as a table."""
    rows = table[table["name"].isin(networks)]
    cells = {(r.generator, r.name_): r for r in base.tuples(rows.rename(columns={"name": "name_"}))}
    sources = list(dict.fromkeys(rows["generator"]))
    lines = []
    for source in sources:
        own = [cells[source, network] for network in networks]
        random = percent(chance(int(own[0].n_real), int(own[0].n_fake)))
        lines.append([base.names([source]), *(percent(r.ap, r.ap_low, r.ap_high) for r in own), random])
    return base.table(["source", *map(spoken, networks), "random order"], lines)


def competitive(table: pd.DataFrame, networks: Sequence[str]) -> str:
    """G-C2: networks with modules are as good as other ways of naming sources."""
    pairs = [
        (one, rival)
        for one in having(networks, MODULES)
        for rival in networks
        if rival.rpartition("_")[0] not in (MODULES, ALONE)
    ]
    if not pairs:
        return "**Not asked in this build:** there is no other network beside those with modules."
    lines = [_as_good(table, *pair) for pair in pairs]
    return base.admonition(
        "Verdict: competitive with other ways of naming sources", "\n\n".join([*lines, _numbers(table)])
    )


_MEASURES = {
    "ap": "AP", "auc": "AUC", "precision": "precision", "recall": "recall", "f1": "F1",
    "calibration": "calibration error",
}  # fmt: skip


def scores(table: pd.DataFrame) -> str:
    """Scores of detection and each source: rows of `tff_core.attribution.summary.by_source`."""
    cells = {(r.name_, r.measure): r for r in base.tuples(table.rename(columns={"name": "name_"}))}
    lines = []
    for name in dict.fromkeys(table["name"]):
        row = [cells[name, measure] for measure in _MEASURES]
        told = ["none" if math.isnan(r.value) else percent(r.value, r.low, r.high) for r in row]
        lines.append([base.names([name]), *told])
    first = table[table["name"] != "detection"]
    return (
        f"{base.table(['', *_MEASURES.values()], lines)}\n\nMeans over "
        f"{base.counted(int(table['seeds'].max()), 'training')} with 95 % intervals over "
        f"{table['covers'].iloc[0]}; n = {base.span(first['n'])} pictures of each source among "
        f"{base.span(first['n'] + first['n_others'])}. *None*: a training that never gives the name has no "
        "precision."
    )


def models(table: pd.DataFrame) -> str:
    """Sources by the model behind a fake: rows of `tff_core.attribution.summary.by_model`."""
    if table.empty:
        return (
            "**Not asked of these pictures:** nothing says which training of a generator made them, so they "
            "cannot be told apart."
        )
    cells = {(r.name_, r.model, r.measure): r for r in base.tuples(table.rename(columns={"name": "name_"}))}
    heads, lines = ["", "made by", "pictures"], []
    for name in dict.fromkeys(table["name"]):
        for model, told in (("learnt", "the model that was learnt from"), ("another", "another training")):
            if (name, model, "ap") in cells:
                one, two = (cells[name, model, measure] for measure in ("ap", "recall"))
                shown = [percent(r.value, r.low, r.high) for r in (one, two)]
                lines.append([base.names([name]), told, int(one.n), *shown])
        if (name, "another - learnt", "ap") in cells:
            both = [cells[name, "another - learnt", measure] for measure in ("ap", "recall")]
            lines.append(["", "*difference*", "", *(points(r.value, r.low, r.high) for r in both)])
    apart = table[(table["model"] == "another - learnt") & (table["measure"] == "recall")]
    lower = [r.name_ for r in base.tuples(apart.rename(columns={"name": "name_"})) if r.high < 0]
    said = (
        f"Named less often when another training made them, with the whole interval below zero: "
        f"{base.names(lower)}."
        if lower
        else "For none of the sources that have both the whole interval of the difference in recall lies "
        "below zero."
    )
    return (
        f"{base.table([*heads, 'AP', 'recall'], lines)}\n\n{said if len(apart) else ''} Means over "
        f"{base.counted(int(table['seeds'].max()), 'training')} with 95 % intervals over "
        f"{table['covers'].iloc[0]}; the {base.span(table['n_others'])} pictures that are not the source's "
        "are the same for both."
    )


def looked(rings: pd.DataFrame, unseen: Mapping[str, str]) -> str:
    """At which frequency each task finds most relevance, a table, and why some cannot be asked.

    ``rings``: rows of `tff_core.attribution.spectra.profiles` of relevance, with a column ``left_out``;
    ``unseen``: from tasks to the reason. The mean of the picture is no frequency.
    """
    lines = []
    for task in dict.fromkeys(rings["family"]) if len(rings) else ():
        own = rings[(rings["family"] == task) & (rings["frequency"] > 0)]
        most: Any = own.loc[own["value"].idxmax()]
        told = base.interval(most["value"], most["low"], most["high"])
        lines.append(
            [base.names([task]), int(most["n"]), int(most["left_out"]), f"{most['frequency']:.2f}", told]
        )
    heads = ["task", "pictures", "left out", "most relevance at, cycles per pixel", "there, 1 if all alike"]
    blocks = [base.table(heads, lines)] if lines else []
    if lines:
        blocks.append(
            "One training; intervals are over pictures. The ring was chosen for its value, so that of other "
            "pictures will be somewhat lower there."
        )
    blocks += [f"**Not to be asked of {base.names([task])}:** {why}." for task, why in unseen.items()]
    return "\n\n".join(blocks)


def agreed(facts: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """How often the two kinds of module contradict each other: ``facts`` of each training's evaluation."""

    def told(key: str, none: str) -> str:
        known = [one[key] for one in facts if one[key]["n"]]
        each = "in each training " if len(known) > 1 else ""
        text = ", ".join(f"{percent(f['share'], f['low'], f['high'])} of {int(f['n'])}" for f in known)
        return f"{each}{text}" if known else none

    return (
        "- Pictures that the primary calls real and a secondary claims: "
        f"{told('contradictions', 'it calls none real')}.\n"
        "- Pictures that the primary calls fake and no secondary claims: "
        f"{told('unclaimed', 'it calls none fake')}.\n"
        f"- Answers that are right, *real* for reals included: {told('known', 'none')}."
    )


def added(about: Mapping[str, Any], scores: pd.DataFrame, confusion: pd.DataFrame) -> str:
    """How well a generator that was added can be told from the known sources, or why nobody can say.

    ``about``: what was recorded with it (``generator``, ``lacks``, ``pictures`` by part and label);
    ``scores``: rows of `tff_core.attribution.summary.by_source`; ``confusion``: of
    `tff_core.attribution.evaluation.Evaluation`, of every training, with a column ``seed``.
    """
    name = base.names([about["generator"]])
    if about["lacks"]:
        return f"**Not asked of {name}:** {about['lacks']}."
    n = about["pictures"]
    gated = confusion[confusion["way"] == "gated"]
    own = gated[gated["truth"] == about["generator"]].groupby("answer")["n"].sum()
    told = {answer: int(own.get(answer, 0)) for answer in (about["generator"], "real", "none of these")}
    others = gated[gated["truth"] != about["generator"]]
    taken = int(others.loc[others["answer"] == about["generator"], "n"].sum())
    ap = scores[(scores["name"] == about["generator"]) & (scores["measure"] == "ap")].iloc[0]
    random = percent(chance(int(ap["n_others"]), int(ap["n"])))
    trainings = base.counted(int(ap["seeds"]), "training")
    return (
        f"Its own module ranks its {int(ap['n'])} test pictures above {int(ap['n_others'])} others with AP "
        f"{percent(ap['value'], ap['low'], ap['high'])} ({trainings}; a random order has {random}). Of its "
        f"{own.sum()} answers about them in all trainings, {told[about['generator']]} give its name, "
        f"{told['real']} are *real*, as the primary has it, which has not learnt from this generator, "
        f"{told['none of these']} *none of these*, and {own.sum() - sum(told.values())} another's name. Of "
        f"{others['n'].sum()} answers about pictures of known sources and reals, {taken} give its name: the "
        "addition changes nothing else about them.\n\n"
        f"Its pictures were divided by a hash of their pixels: {_of_each(n['train'])} to learn from, "
        f"{_of_each(n['val'])} to choose the epoch, {_of_each(n['test'])} for this test. The primary and the "
        "modules of the known sources are those of the chapters, to the last bit."
    )


def _of_each(counts: Mapping[str, int]) -> str:
    return f"{counts['real']} reals and {counts['fake']} fakes"
