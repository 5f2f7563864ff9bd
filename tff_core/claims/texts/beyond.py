"""What the chapter beyond the paper says about its numbers.

All intervals of this chapter except those of the threshold are of one training seed, and so are its verdicts.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tff_core import metrics
from tff_core.claims import verdicts
from tff_core.claims.texts import base, sides
from tff_core.claims.verdicts import percent, points
from tff_core.figures import generator_name

MEAN = "mean"
RIVALS = ("activation", "gradient x activation", "single-map ablation")
"""Rankings that omega is compared with; chance and layer-matched sets are marks to measure by."""
LEAST = 0.9
"""A control with fewer maps than this share of k does not count."""
STEADY, HALF = 0.8, 0.5
"""Overlaps from which the ranking counts as stable, and as stable in part."""


def listed(names: Iterable[object]) -> str:
    """Names in brackets after a blank, ``" (a; b)"``; "" of none."""
    found = list(map(str, names))
    return f" ({'; '.join(found)})" if found else ""


def _said(found: sides.Sides) -> str:
    """The verdict's predicate where all intervals are of one training seed."""
    return f"{found.claim} for this training seed" if found.total else found.claim


def _mean(table: pd.DataFrame, index: str) -> Any:
    return table[table["generator"] == MEAN].set_index(index)


# ----------------------------------------------------------------------------------------------- the rankings


def rivals(
    counts: Mapping[str, int],
    first: Mapping[str, Sequence[Hashable]],
    alone: Mapping[Any, float],
    maps: int,
    k: int,
) -> str:
    """How the rival rankings were made, and their overlap with the top k by omega.

    ``counts``: fakes that were ranked by ("fakes"), of how many ("pool"), how many the detector is sure of
    ("confident"), fakes behind omega itself ("validation") and behind the ablation ("few"). ``first`` has the
    first maps of each ranking, "omega" among them; ``alone`` by how much the logit falls without one map;
    ``maps`` is how many the network has.
    """
    top = set(first["omega"][:k])
    shared = {name: len(top & set(own[:k])) / k for name, own in first.items() if name != "omega"}
    common = ", ".join(f"{name} {percent(value)}" for name, value in shared.items())
    proposed, lower = len(alone), sum(drop > 0 for drop in alone.values())
    return (
        f"The {counts['fakes']} of {counts['pool']} fakes that the detector is surest of; to "
        f"{counts['confident']} it gives a probability of at least 0.9 (omega itself: the table that chapter "
        f"2 reads, of up to {counts['validation']} fakes). To drop each of {maps:,} maps alone would take "
        f"hours, so **single-map ablation ranks only the {proposed} maps** that are among the first 120 of "
        f"one of the four other rankings, by the mean fall of the logit of {counts['few']} of these fakes; "
        f"behind them all others follow in the order of omega. Dropping {lower} of the {proposed} lowers the "
        f"logit. In common with the top {k} by omega: {common}."
    )


# ----------------------------------------------------------------------------------------------- the controls


def controls(
    table: pd.DataFrame,
    sizes: Mapping[str, float],
    louder: Mapping[str, float],
    k: int,
    draws: int,
    whole_layer: tuple[int, str] | None,
    spread: float,
    seed: int,
) -> str:
    """Do the top-k matter more than equally loud maps?

    ``table`` has the differences "top-k - NAME" by generator; ``sizes`` the mean number of maps of each
    control, ``louder`` its median magnitude over that of the top-k; ``whole_layer`` as from
    `rankings.first_whole_layer`; ``spread`` is how far apart the logits of all pictures lie without
    the top-k.
    """
    mean = _mean(table, "contrast")
    fair = [name for name in sizes if sizes[name] >= LEAST * k]
    rows = []
    for name, size in sizes.items():
        row = mean.loc[f"top-k - {name}"]
        single = table[(table["contrast"] == f"top-k - {name}") & (table["generator"] != MEAN)]
        below = f"{int((single['high'] < 0).sum())} of {len(single)}"
        numbers = points(row["delta_ap"], row["low"], row["high"])
        rows.append([name, f"{size:.0f}", f"{louder[name]:.2f}", numbers, below])
    heads = ["control", "maps", "median magnitude, over that of the top-k", "AP difference, mean"]
    n = table[table["generator"] != MEAN].iloc[0]
    found = sides.by_name({name: mean.loc[f"top-k - {name}"] for name in fair}, "below")
    unfair = [name for name in sizes if name not in fair]
    text = (
        f"The claim {_said(found)}{trivially(whole_layer, spread)}: the interval of the mean over generators "
        f"lies below zero against {len(found.speak_for)} of {found.total} controls{listed(found.speak_for)}."
    )
    if unfair:
        text += f" Not testable against {len(unfair)}{listed(unfair)}: too few maps are left."
    parts = [
        base.table([*heads, "below zero on"], rows),
        f"{draws} draws of each control; per generator {n['n_real']} reals and {n['n_fake']} fakes, together "
        f"{_pictures(mean)} pictures; detector seed {seed}.",
        _severed(whole_layer, spread, k),
        base.admonition("Verdict: the top-k matter more than maps as loud as they are", text),
    ]
    return "\n\n".join(filter(None, parts))


def trivially(whole_layer: tuple[int, str] | None, spread: float) -> str:
    """The addition to a verdict where the top-k sever the network; else empty."""
    severed = whole_layer is not None and spread < 1e-3
    return ", but trivially: the network is cut through" if severed else ""


def _severed(whole_layer: tuple[int, str] | None, spread: float, k: int) -> str:
    if whole_layer is None:
        return ""
    count, layer = whole_layer
    text = (
        f"The first {count} maps by omega hold **every** map of `{layer}`. Where no shortcut leads round a "
        "layer, nothing that depends on the picture passes it then, whatever its maps respond to; the logits "
        f"of all test pictures without the top {k} lie within {spread:.2g} of one another. No control of the "
        "same layers can do that."
    )
    return base.admonition("Caution: a whole layer", text, "warning")


def _pictures(mean: Any) -> int:
    row = mean.iloc[0]
    return int(row["n_real"] + row["n_fake"])


# ------------------------------------------------------------------------------------------------ the curves


def doses(table: pd.DataFrame, against: pd.DataFrame, harmed: pd.DataFrame, k: int) -> str:
    """From which dose does dropping hurt, and does omega hurt more than other maps of the same layers?

    ``table`` as from `rankings.Curves.table`; ``against`` (omega minus layer-matched) and ``harmed`` (omega
    minus the whole detector) have a row per ``k`` with ``delta_ap, low, high``, means over generators.
    """
    steps = against["k"].tolist()
    mean = table[table["generator"] == MEAN]
    single = table[(table["generator"] != MEAN) & (table["k"] == 0)]
    whole = float(mean.loc[mean["k"] == 0, "ap"].iloc[0])
    chance = np.mean([metrics.chance(int(row.n_real), int(row.n_fake)) for row in base.tuples(single)])
    ap = mean[mean["ranking"] == "omega"].set_index("k")["ap"]
    dropped = table[table["ranking"] == "layer-matched"].groupby("k")["dropped"].mean()
    high = harmed.set_index("k")["high"]
    onset = [step for step in steps if all(high[later] < 0 for later in steps if later >= step)]
    half = [step for step in steps if ap[step] <= (whole + chance) / 2]
    fair = {
        f"k = {row.k}": pd.Series({"low": row.low, "high": row.high})
        for row in base.tuples(against)
        if dropped[row.k] >= LEAST * row.k
    }
    found = sides.by_name(fair, "below")
    told = (
        f"The whole detector has an AP of {percent(whole)} here (mean over "
        f"{base.counted(len(single), 'generator')}, {_pictures(mean)} pictures). By omega's order it is "
        f"measurably lower {f'from k = {onset[0]} on' if onset else 'at no k'}"
    )
    if half:
        told += f", and from k = {half[0]} on half of the way down to chance is lost."
    else:
        told += f", and half of the way down to chance is not lost by k = {steps[-1]}."
    later = [f"{dropped[step]:.0f} maps for k = {step}" for step in steps if step >= k]
    if later:
        told += f" Layer-matched sets have {', '.join(later)}: narrow layers run out."
    by_dose = "; ".join(
        f"k = {row.k}: {points(row.delta_ap, row.low, row.high)}" for row in base.tuples(against)
    )
    text = (
        f"The claim {_said(found)}: the interval of the difference to the layer-matched curve lies below "
        f"zero at {len(found.speak_for)} of {found.total} doses at which that control has nine tenths of k "
        f"maps{listed(found.speak_for)}. By dose: {by_dose}."
    )
    title = "Verdict: at any dose omega's maps matter more than others of their layers"
    return f"{told}\n\n{base.admonition(title, text)}"


def areas(
    table: pd.DataFrame, names: Sequence[str], gone: Mapping[str, tuple[int, str] | None], seed: int
) -> str:
    """Is LRP needed to find these maps?

    ``table`` as from `rankings.Curves.areas`; ``gone`` says for some rankings from which k on a whole layer
    is gone, and which.
    """
    mean = _mean(table, "ranking")
    rows = []
    for name in names:
        row, layer = mean.loc[name], gone.get(name)
        minus = ""
        if f"{name} - omega" in mean.index:
            other = mean.loc[f"{name} - omega"]
            minus = points(other["area"], other["low"], other["high"])
        cut = f"from k = {layer[0]} on (`{layer[1]}`)" if layer else ""
        rows.append([name, percent(row["area"], row["low"], row["high"]), minus, cut])
    found = sides.by_name({name: mean.loc[f"{name} - omega"] for name in RIVALS if name in names})
    reals = mean.loc["omega of reals - omega"]
    side = "above zero" if reals["low"] > 0 else "below zero" if reals["high"] < 0 else "across zero"
    generators = table.loc[table["generator"] != MEAN, "generator"].nunique()
    text = (
        f"The claim {_said(found)}: omega's area is smaller, with the whole interval, than that of "
        f"{len(found.speak_for)} of {found.total} rivals{listed(found.speak_for)}; larger than that of "
        f"{len(found.against)}{listed(found.against)}; not told apart from "
        f"{len(found.undecided)}{listed(found.undecided)}.\n\n**Does it have to be omega of fakes?** The "
        f"interval of the difference to omega of reals lies {side}."
    )
    heads = ["ranking", "mean AP over log k", "minus omega's", "a whole layer is gone"]
    return (
        f"{base.table(heads, rows)}\n\nMean over {base.counted(generators, 'generator')}, {_pictures(mean)} "
        f"pictures, detector seed {seed}; 95 % intervals, paired.\n\n"
        f"{base.admonition('Verdict: LRP is needed to find these maps', text)}"
    )


# --------------------------------------------------------------------------------------------- the stability


def stability(table: pd.DataFrame, compared: pd.DataFrame, k: int, seeds: int) -> str:
    """Does the ranking belong to the detector, or to the pictures and the training run?

    ``table`` has rows ``kind, k, value, low, high, n``: "halves" and "bootstrap" over pictures, and the kinds
    of `beyond.between_seeds`, summed up; ``compared`` has these pair by pair.
    """
    at: Any = table[table["k"] == k].set_index("kind")
    ends = {kind: (row["value"], row["low"], row["high"]) for kind, row in at.iterrows()}
    least = min(ends["halves"][1], ends["bootstrap"][1])
    word = verdicts.HOLDS if least >= STEADY else verdicts.IN_PART if least >= HALF else verdicts.CONTRADICTED
    value, low, high = ends["fake, real"]
    over = f" (from {percent(low)} to {percent(high)} over {seeds} seeds)" if seeds > 1 else ""
    text = (
        f"**Over pictures.** Of the top {k}, two halves of {at.loc['halves', 'n']} fakes share "
        f"{percent(*ends['halves'])}; {at.loc['bootstrap', 'n']} fakes drawn anew keep "
        f"{percent(*ends['bootstrap'])}. The claim that the top-k are a property of the detector and not of "
        f"the sample {verdicts.claim_is(word)}.\n\n**Fakes and reals.** Omega of fakes and of reals share "
        f"{percent(value)} of the top {k}{over}.\n\n**Over trainings.** "
    )
    own: Any = compared[compared["k"] == k].set_index(["kind", "a", "b"])
    pairs = [(a, b) for kind, a, b in own.index if kind == "seeds"]
    if not pairs:
        return base.admonition(
            "Verdict: the ranking is stable", f"{text}There is one seed only, so nothing is compared."
        )
    more = [
        pair for pair in pairs
        if own.loc[("seeds", *pair), "value"] > own.loc[("seeds, by chance", *pair), "high"]
    ]  # fmt: skip
    back = verdicts.word(len(more), against=0, open_=len(pairs) - len(more))
    text += (
        f"Two seeds share {percent(ends['seeds'][0])} of the top {k} channel by channel, chance within the "
        f"layers {percent(ends['seeds, by chance'][0])}; the claim that the same channels come back "
        f"{verdicts.claim_is(back)} (above the chance interval for {len(more)} of "
        f"{base.counted(len(pairs), 'pair')}). Layer by layer they agree on "
        f"{percent(ends['seeds, layers'][0])}."
    )
    return base.admonition("Verdict: the ranking is stable", text)


# ---------------------------------------------------------------------------------------- other replacements


def replacements(
    table: pd.DataFrame, harm: pd.DataFrame, ways: Collection[str], control: str, draws: int, seed: int,
    trivial: str = "",
) -> str:  # fmt: skip
    """Do the top-k matter more however a map is dropped?

    ``table`` has the differences top-k minus ``control`` by way and generator, ``harm`` those to the whole
    detector; ``trivial`` follows the verdict, see `trivially`.
    """
    mean, alone = (_mean(rows, "contrast") for rows in (table, harm))
    rows = []
    for way in ways:
        cells = [own.loc[way] for own in (mean, alone)]
        rows.append([way, *(points(cell["delta_ap"], cell["low"], cell["high"]) for cell in cells)])
    found = sides.by_name({way: mean.loc[way] for way in ways}, "below")
    generators = table.loc[table["generator"] != MEAN, "generator"].nunique()
    text = (
        f"The claim {_said(found)}{trivial}: the interval lies below zero for {len(found.speak_for)} of "
        f"{found.total} ways{listed(found.speak_for)}."
    )
    heads = ["a dropped map becomes", f"top-k minus {control}", "top-k minus whole detector"]
    return (
        f"{base.table(heads, rows)}\n\nMean over {base.counted(generators, 'generator')}, {_pictures(mean)} "
        f"pictures, detector seed {seed}; {draws} draws of the control.\n\n"
        f"{base.admonition('Verdict: the top-k matter more, however a map is dropped', text)}"
    )


# --------------------------------------------------------------------------------------------- the threshold


def drift(
    table: pd.DataFrame,
    before: Mapping[int, float],
    after: Mapping[int, metrics.Interval],
    pictures: int,
    k: int,
) -> str:
    """Is a lost accuracy only a threshold that no longer fits?

    ``table`` as from `rankings.drift`; ``before`` and ``after`` have the thresholds (logits) by seed, from
    ``pictures`` validation pictures.
    """
    mean = _mean(table, "what")
    gain, lost = mean.loc["gain"], mean.loc["lost"]
    each = table[(table["what"] == "lost") & (table["generator"] != MEAN)]
    gone = [generator_name(g) for g in each.loc[each["low"] > 0, "generator"]]
    word = verdicts.IN_PART if lost["low"] > 0 else verdicts.HOLDS
    if gain["low"] <= 0:
        word = verdicts.CONTRADICTED if gain["high"] < 0 else verdicts.UNDECIDED
    ends = "; ".join(
        f"seed {seed}: {before[seed]:+.2f} before, {new.value:+.2f} [{new.low:+.2f}, {new.high:+.2f}] after"
        for seed, new in after.items()
    )
    rows = []
    for what, name in (
        ("whole", "whole detector"),
        ("dropped", f"without the top {k}, old threshold"),
        ("recalibrated", f"without the top {k}, calibrated anew"),
    ):
        row = mean.loc[what]
        right = [percent(row["acc_real"]), percent(row["acc_fake"])]
        rows.append([name, *right, percent(row["value"], row["low"], row["high"])])
    several = f" and detector seeds {', '.join(map(str, before))}" if len(before) > 1 else ""
    text = (
        f"The claim {verdicts.claim_is(word)}: a new threshold brings back "
        f"{points(gain['value'], gain['low'], gain['high'])} of balanced accuracy, and "
        f"{points(lost['value'], lost['low'], lost['high'])} stay lost, as a mean over generators. On single "
        f"ones the interval of what stays lost lies above zero on {len(gone)} of {len(each)}{listed(gone)}."
    )
    whole = mean.loc["whole"]
    return (
        f"Thresholds (logits), from {pictures} validation pictures: {ends} (inf: none is better than calling "
        f"every picture real).\n\n{base.table(['', 'reals right', 'fakes right', 'balanced'], rows)}\n\n"
        f"Mean over {base.counted(len(each), 'generator')}{several}, n = {int(whole['n_real'])} reals and "
        f"{int(whole['n_fake'])} fakes.\n\n"
        f"{base.admonition('Verdict: the lost accuracy is a threshold that no longer fits', text)}"
    )
