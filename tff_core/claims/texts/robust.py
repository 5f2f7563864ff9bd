"""What the chapter on colour-robust detectors says about its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core import metrics, published
from tff_core.claims import verdicts
from tff_core.claims.texts import base, sides
from tff_core.claims.verdicts import named, percent, points
from tff_core.figures import generator_name

MODELS = ("universal", "color-robust")
CASES = tuple((model, kind) for model in MODELS for kind in ("color", "gray"))


def spoken(name: str) -> str:
    """A model, an input or a group as the text spells it: ``colour-robust``, ``layer-matched``."""
    return name.replace("color", "colour").replace("matched-k", "layer-matched")


def paper_ap() -> pd.DataFrame:
    """The paper's AP of both detectors: columns architecture, generator, model, input, ap, doubtful."""
    called = {"detector": {"baseline": "universal"}, "input": {"rgb": "color", "grayscale": "gray"}}
    return published.color_robust().replace(called).rename(columns={"detector": "model"})


def paper_shares(arch: str) -> dict[str, dict[str, float]]:
    """The published shares of colour-conditional maps among the top-k, by model and generator."""
    table = published.color_conditional()
    found = {}
    for model, name in zip(MODELS, (arch, f"cr-{arch}"), strict=True):
        rows = table[table["detector"] == name]
        if len(rows):
            found[model] = dict(zip(rows["generator"], rows["share"], strict=True))
    return found


def _pooled(measured: pd.DataFrame) -> dict[tuple[str, str], Any]:
    rows = measured[measured["seed"] == "all"]
    return {(str(m), str(i)): own.set_index("generator") for (m, i), own in rows.groupby(["model", "input"])}


def _sides(rows: pd.DataFrame) -> sides.Sides:
    return sides.of(rows.rename(columns={"ap_low": "low", "ap_high": "high"}).reset_index())


# ------------------------------------------------------------------------------------------- what it restores


def verdict(measured: pd.DataFrame, seeds: Sequence[int], robust_seeds: Sequence[int]) -> str:
    """Is the colour-robust detector better on gray pictures, and what does that cost in colour?

    ``measured`` as from `color_robust.robustness`, with a column ``generator``; ``seeds`` are those of the
    universal detector, ``robust_seeds`` those of its twin.
    """
    pooled = _pooled(measured)
    gain, cost = pooled["difference", "gray"], pooled["difference", "color"]
    ap = {case: percent(pooled[case]["ap"].mean()) for case in CASES}
    several = len(seeds) + len(robust_seeds) > 2  # then the means are over other seeds than the differences
    found, paid = _sides(gain), _sides(cost)
    text = (
        f"The claim {found.claim} here. On gray pictures the interval of the colour-robust detector's AP "
        f"minus the universal one's {sides.places(found)}. Mean over generators"
        f"{' and all seeds of each' * several}: {ap['universal', 'gray']} and {ap['color-robust', 'gray']}; "
        f"{'seed by seed ' * several}the difference is {points(gain['ap'].mean())}.\n\n"
        f"**What it costs in colour.** {ap['universal', 'color']} and {ap['color-robust', 'color']}, "
        f"{'seed by seed' if several else 'a difference of'} {points(cost['ap'].mean())}; the interval lies "
        f"below zero on {len(paid.against)} generators{named(paid.against)}, above zero on "
        f"{len(paid.speak_for)}{named(paid.speak_for)}, and contains zero on {len(paid.undecided)}.\n\n"
    )
    if len(seeds) > 1:
        text += _care(measured, found.speak_for, seeds, robust_seeds)
    text += _blind(pooled["universal", "color"])
    text += (
        f"n = {base.span(measured['n_real'])} reals and {base.span(measured['n_fake'])} fakes per generator."
    )
    return base.admonition("Verdict: colour-robust training restores", text)


def _care(
    measured: pd.DataFrame, better: Sequence[str], seeds: Sequence[int], robust_seeds: Sequence[int]
) -> str:
    both = [seed for seed in seeds if seed in robust_seeds]
    gray = measured[(measured["input"] == "gray")]
    single: Any = gray[(gray["model"] == "universal") & (gray["seed"] != "all")].groupby("generator")["ap"]
    twin: Any = gray[(gray["model"] == "color-robust") & (gray["seed"] == "all")].set_index("generator")["ap"]
    above = sum(twin[g] > single.max()[g] for g in better)
    return (
        f"**Read with care.** {len(both)} of the {len(seeds)} training seeds "
        f"{'has' if len(both) == 1 else 'have'} a twin"
        f"{', so the interval is over pictures but not over seeds' * (len(both) == 1)}. The universal "
        f"detectors' own AP in gray differs by {100 * (single.max() - single.min()).mean():.1f} points from "
        f"seed to seed (highest minus lowest, mean over generators); on {above} of the {len(better)} "
        "generators that speak for the claim is the twin above every universal seed. "
    )


def _blind(whole: Any) -> str:
    """The number of generators on which the universal detector is no better than chance, in colour."""
    blind = [
        str(generator)
        for generator, row in whole.iterrows()
        if row["ap_low"] <= metrics.chance(int(row["n_real"]), int(row["n_fake"]))
    ]
    if not blind:
        return ""
    return (
        f"On {len(blind)}{named(blind)} the universal detector itself is not surely better than chance in "
        "colour: there was little to restore. "
    )


def beside_paper(
    measured: pd.DataFrame,
    paper: pd.DataFrame,
    generators: Sequence[str],
    arch: str,
    titles: Mapping[str, str],
) -> str:
    """AP of both detectors in colour and in gray: a table for each of the paper's networks and for this one.

    ``paper`` has columns architecture, generator, model, input, ap, doubtful; ``arch`` is this detector's
    network; ``titles`` maps every network that gets a table to its name, in their order.
    """
    pooled = _pooled(measured)
    return "\n\n".join(
        f"**{title}**, AP in percent.\n\n"
        + _table(paper[paper["architecture"] == name], pooled if name == arch else {}, generators)
        for name, title in titles.items()
    )


def _table(paper: pd.DataFrame, pooled: Mapping[tuple[str, str], Any], generators: Sequence[str]) -> str:
    published: Any = paper.set_index(["generator", "model", "input"])
    theirs = list(dict.fromkeys(paper["generator"]))
    shown = [*generators, *(g for g in theirs if g not in generators)] if pooled else theirs
    kinds = [f"{spoken(model)}, {spoken(kind)}" for model, kind in CASES]
    named_sides = [*["paper"] * bool(theirs), *["here"] * bool(pooled)]
    heads = ["generator", *(f"{side}: {kind}" for kind in kinds for side in named_sides)]
    heads += ["here: robust minus universal, gray", "here: the same, colour"] * bool(pooled)
    rows = []
    for generator in shown:
        own = bool(pooled) and generator in generators
        cells = [generator_name(generator)]
        for case in CASES:
            if theirs:
                there = (generator, *case) in published.index
                row = published.loc[(generator, *case)] if there else None
                cells.append("" if row is None else f"{100 * row['ap']:.1f}{'*' * bool(row['doubtful'])}")
            if pooled:
                cells.append(_ap(pooled[case].loc[generator], percent) if own else "")
        if pooled:
            minus = [pooled["difference", kind] for kind in ("gray", "color")]
            cells += [_ap(table.loc[generator], points) if own else "" for table in minus]
        rows.append(cells)
    remark = (
        "\n\n\\* The StyleGAN2 column of this table repeats the StyleGAN column, number for number, and "
        "contradicts the paper's own sensitivity table: presumably a copying error. Not a target."
    )
    return base.table(heads, rows) + remark * bool(paper["doubtful"].any())


def _ap(row: Any, show: Callable[[float, float, float], str]) -> str:
    return show(row["ap"], row["ap_low"], row["ap_high"])


# ---------------------------------------------------------------------------------- colour-conditional shares


def shares(
    table: pd.DataFrame,
    paper: Mapping[str, Mapping[str, float]],
    generators: Sequence[str],
    k: int,
    seeds: Sequence[int],
    draws: int,
    matched: Sequence[int],
) -> str:
    """Shares of colour-conditional maps before and after; ``table`` as from `color_robust.before_after`.

    ``paper`` maps a model to the published shares by generator; ``matched`` are the sizes of the
    layer-matched sets, of which there are ``draws`` for each detector.
    """
    of: dict[Any, Any] = {
        (str(m), str(g)): own.set_index("generator") for (m, g), own in table.groupby(["model", "group"])
    }
    rows = []
    for generator in generators:
        cells = [generator_name(generator)]
        for model in (*MODELS, "difference"):
            show = points if model == "difference" else percent
            for group in ("top-k", "matched-k"):
                row = of[model, group].loc[generator]
                cells.append(show(row["share"], row["low"], row["high"]))
        old = [own[generator] for own in paper.values() if generator in own]
        rows.append([*cells, ", ".join(f"{100 * share:.1f}" for share in old)])
    heads = ["generator", "universal: top-k", "layer-matched", "colour-robust: top-k", "layer-matched"]
    heads += ["after minus before: top-k", "layer-matched", "paper: before, after"]
    change = sides.of(of["difference", "top-k"].reset_index(), "below")
    beyond = sides.of(of["difference", verdicts.MATCHED].reset_index(), "below")
    still = sides.of(of["color-robust", verdicts.MATCHED].reset_index())
    short = ""
    if min(matched) < k:
        short = f" of {base.span(matched)} maps, because more than half of some layers are among the top-k"
    mean = {group: points(of["difference", group]["share"].mean()) for group in ("top-k", "matched-k")}
    return (
        f"{base.table(heads, rows)}\n\nShares of k = {k} maps in percent (differences in points) with 95 % "
        f"intervals, measured on {base.span(table['n'])} fakes at a time; detector "
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}; "
        f"{base.counted(draws, 'layer-matched set')}{short}.\n\n"
        f"The interval of the change of the share among the top-k lies below zero, it **falls**, on "
        f"{len(change.speak_for)} of {change.total} generators{named(change.speak_for)}, and above zero on "
        f"{len(change.against)}{named(change.against)}; on average the share changes by {mean['top-k']}, "
        f"that of layer-matched maps by {mean['matched-k']}. Compared with their controls the top-k fall "
        f"further on {len(beyond.speak_for)} generators{named(beyond.speak_for)} and less far on "
        f"{len(beyond.against)}{named(beyond.against)}; on the others the interval contains zero. After the "
        "training the top-k respond to colour more often than other maps of their layers on "
        f"{len(still.speak_for)} generators{named(still.speak_for)}."
    )


# -------------------------------------------------------------------------------------------------- patches


def patch(row: Any) -> str:
    """What the figure says about one patch: a row of `patches.measure` with its ``generator``."""
    what = f"chroma of the patch / of its picture {row.ratio:.2f}"
    if row.box is None:
        what = "not active"
    return f"{row.map}<br>{generator_name(row.generator)}: activation {row.activation:.2f}<br>{what}"


def patches(count: int, k: int, title: str, seed: int, fakes: int) -> str:
    """The caption of the figure of patches."""
    return (
        f"LRP-max patches of the first {count} of the top {k} ({title}, seed {seed}): the strongest of "
        f"{fakes} fakes or fewer per generator. The menu chooses the detector; hover a patch for its "
        "activation and chroma."
    )


def chroma(means: pd.DataFrame, found: pd.DataFrame, seed: int) -> str:
    """How colourful the patches are, before and after.

    ``means`` has rows ``model, group, value, low, high, maps, patches``; ``found`` the patches with their
    ``ratio``, missing where a patch gave none.
    """
    lines = []
    for row in base.tuples(means):
        span = f" [{row.low:.2f}, {row.high:.2f}]" if row.maps > 1 else ""  # a single map has no spread
        own = f"{spoken(row.model)}, {spoken(row.group)}: {row.value:.2f}{span}"
        lines.append(f"{own} (maps: {row.maps}, patches: {row.patches})")
    tops: Any = means[means["group"] == "top-k"].set_index("model")
    told = ""
    if len(tops) == len(MODELS):
        before, after = (tops.loc[model] for model in MODELS)
        if before["low"] > after["high"] or after["low"] > before["high"]:
            more = "less" if after["value"] < before["value"] else "more"
            told = f"do not overlap: {more} colour after the training."
        else:
            told = "overlap: by this measure the patches have become neither less colourful nor more."
        told = f" The intervals of the two detectors' top maps {told}"
    return (
        f"Seed {seed}; mean over maps with a 95 % interval over maps. {'; '.join(lines) or 'No patch'}.{told}"
        f" {int(found['ratio'].isna().sum())} of {len(found)} positions gave no ratio, because the map was "
        "not active anywhere in the picture or the picture has no colour."
    )


# --------------------------------------------------------------------------------------------------- dropout


def broken(
    contrast: pd.DataFrame,
    sensitivity: Mapping[str, pd.DataFrame],
    generators: Sequence[str],
    k: int,
    seeds: Sequence[int],
    only: Sequence[int],
) -> str:
    """Does dropping its top-k break the colour-robust detector, too?

    ``contrast`` is the twin's contrast table; ``sensitivity`` maps both models to what
    `verdicts.summarize` makes of their sensitivity tables; the universal detector has ``seeds``, of which
    the table holds ``only`` those that have a twin.
    """
    shown = {"baseline": "whole", "top-k": "without top-k", "matched-k": "without layer-matched"}
    tables: dict[str, Any] = {
        model: own.set_index(["generator", "condition"]) for model, own in sensitivity.items()
    }
    heads = ["generator", *(f"{spoken(model)}: {words}" for model in tables for words in shown.values())]
    rows = []
    for generator in generators:
        cells = [own.loc[(generator, condition)] for own in tables.values() for condition in shown]
        told = [percent(cell["ap"], cell["low"], cell["high"]) for cell in cells]
        rows.append([generator_name(generator), *told])
    several = f" The universal detector at the seeds that have a twin ({', '.join(map(str, only))})."
    return (
        "> **Verdict: the colour-robust detector without its top-k.** "
        f"{verdicts.verdict(contrast).sentence()}\n\nAP in percent, k = {k}; intervals as in the chapter on "
        f"sensitivity.{several * (len(seeds) > 1)}\n\n{base.table(heads, rows)}"
    )


def in_common(common: Mapping[int, int], k: int, maps: int, trained_here: bool) -> str:
    """How many of the top k both detectors share, by seed; ``maps`` is the number of maps of the network."""
    shared = ", ".join(f"{count} (seed {seed})" for seed, count in common.items())
    text = (
        f"Of the top {k} the two detectors share {shared}; two random choices would share {k * k / maps:.1f}."
    )
    if trained_here:
        text += (
            " They start from the same weights, so that a number means the same map at the beginning of "
            "training."
        )
    return text
