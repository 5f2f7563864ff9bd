"""What the chapter on colour-conditional feature maps says about its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base, sides
from tff_core.claims.verdicts import MATCHED, named, percent, points
from tff_core.figures import generator_name

GROUPS = ("top-k", "matched-k", "random-k")
RANDOM = "top-k - random-k"
MOST = 0.5
"""The paper's "most": more than half of the top-k."""


def examples(count: int, k: int, generator: str, n: int, seed: int) -> str:
    """What the figure of single maps shows."""
    return (
        f"The first {count} of the top {k}, by omega; {generator_name(generator)}, n = {n} fakes, detector "
        f"seed {seed}. p of Mood's test. Activations are taken after batch normalisation, where the network "
        "goes on with them."
    )


def means(shares: pd.DataFrame) -> Any:
    """The shares of `color_conditional.shares`, mean over seeds and draws, by generator and group."""
    columns = ["share_mood", "share_mood_bh", "share_wilcoxon", "shift"]
    return shares.groupby(["generator", "group"])[columns].mean()


def table(
    shares: pd.DataFrame, generators: Sequence[str], k: int, seeds: Sequence[int], paper: Mapping[str, float]
) -> str:
    """The shares of every generator with their controls, and the paper's where available.

    ``shares`` as from `color_conditional.shares`, with columns ``generator`` and ``seed``; ``paper`` maps a
    generator to the published share of the top-k.
    """
    mean = means(shares)
    heads = ["generator", "Mood: top-k", "layer-matched", "random", "Mood with FDR: top-k", "layer-matched"]
    heads += ["Wilcoxon: top-k", "layer-matched", *["paper: top-k"] * bool(paper)]
    rows = []
    for generator in generators:
        cells = [mean.loc[(generator, group), "share_mood"] for group in GROUPS]
        for test in ("share_mood_bh", "share_wilcoxon"):
            cells += [mean.loc[(generator, group), test] for group in GROUPS[:2]]
        told = [f"{100 * cell:.0f}" for cell in cells]
        if paper:
            told.append(f"{100 * paper[generator]:.1f}" if generator in paper else "")
        rows.append([generator_name(generator), *told])
    draws = {group: int(own["draw"].nunique()) for group, own in shares.groupby("group")}
    several = f", means over detector seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    return (
        f"Shares in percent{several} ({base.counted(draws['matched-k'], 'layer-matched set')} and "
        f"{base.counted(draws['random-k'], 'random one')}); n = {base.span(shares['n'])} fakes per generator"
        f", k = {k}. FDR: the false discovery rate among the maps of a set is held at 5 % (Benjamini and "
        f"Hochberg 1995). {_impossible(shares, k)}{_short(shares, k)}\n\n{base.table(heads, rows)}"
    )


def _impossible(shares: pd.DataFrame, k: int) -> str:
    top = shares[shares["group"] == "top-k"]
    degenerate = int(top["degenerate"].sum())
    if not degenerate:
        return f"All {len(top)} times {k} tests of top-k maps were possible."
    return (
        f"Of {len(top)} times {k} tests of top-k maps {degenerate} were impossible, because a map always "
        "gave the same value; they count as not colour-conditional."
    )


def _short(shares: pd.DataFrame, k: int) -> str:
    matched = shares[shares["group"] == "matched-k"]["k"]
    if matched.min() >= k:
        return ""
    return (
        f" A layer-matched set has {base.span(matched)} maps instead of {k}: more than half of the maps of "
        "some layers are among the top-k, and few others are left."
    )


def verdict(contrast: pd.DataFrame, generators: Sequence[str], seeds: Sequence[int]) -> str:
    """Are the top-k colour-conditional, and more so than others? Differences as from `contrast`.

    ``contrast`` has a row per ``generator`` and ``contrast`` with ``delta, low, high``, ``seeds`` and ``n``;
    the contrast "top-k" is the share of the top-k themselves.
    """
    by_case: Any = contrast.set_index(["generator", "contrast"])
    rows = []
    for generator in generators:
        cells = [by_case.loc[(generator, kind)] for kind in (MATCHED, RANDOM)]
        told = [points(cell["delta"], cell["low"], cell["high"]) for cell in cells]
        rows.append([generator_name(generator), *told])
    top = contrast[contrast["contrast"] == "top-k"]
    side = verdicts.side(top["low"], top["high"], MOST, seeds=top.get("seeds"))
    most = top.loc[side == verdicts.FOR, "generator"].tolist()
    strict, loose = (sides.of(contrast[contrast["contrast"] == kind]) for kind in (MATCHED, RANDOM))
    reverse = " Where it lies below, *fewer* of the top-k respond to gray than of their neighbours."
    text = (
        f"**More than half of the top-k, as in the paper for ResNet-50**: with the whole interval "
        f"on {len(most)} of {len(generators)} generators{named(most)}.\n\n"
        "**More than other maps of the same layers**: the "
        f"claim {strict.claim}; the interval {sides.places(strict)}.{reverse * bool(strict.against)}\n\n"
        f"**More than random maps of any layer**: the claim {loose.claim}; the interval "
        f"{sides.places(loose)}."
    )
    halves = base.span(contrast.loc[contrast["contrast"] == MATCHED, "n"])
    over_seeds = f"; to this is added how much the {len(seeds)} detector seeds differ" * (len(seeds) > 1)
    return (
        f"{base.table(['generator', 'top-k minus layer-matched', 'top-k minus random'], rows)}\n\n"
        f"Difference of the shares (Mood's test), measured on {halves} fakes at a time, "
        "with 95 % intervals: two halves of the pictures have none in common, so their difference tells how "
        f"much the share varies over pictures{over_seeds}.\n\n"
        f"{base.admonition('Verdict: the top-k are colour-conditional', text)}"
    )


def growth(shares: pd.DataFrame, generator: str, seed: int) -> str:
    """How the share grows with the number of pictures; ``shares`` as from `color_conditional.share_by_n`."""
    few, many = int(shares["n"].min()), int(shares["n"].max())
    mean: Any = shares.groupby(["group", "n"])["share"].mean()
    names = {"top-k": "for the top-k", "matched-k": "for layer-matched maps", "random-k": "for random maps"}
    top, matched, random = (
        f"from {percent(mean[group, few])} to {percent(mean[group, many])} {name}"
        for group, name in names.items()
    )
    if few == many:
        return (
            f"{generator_name(generator)}, detector seed {seed}: with {few} pictures there is one size only, "
            "so nothing is compared. A share without its n says little."
        )
    return (
        f"{generator_name(generator)}, detector seed {seed}. From {few} to {many} pictures the share goes "
        f"{top}, {matched} and {random}. A share without its n says little, and two shares can be compared "
        "at one n only."
    )


def layers(table: pd.DataFrame, top: float, generator: str, n: int, seed: int) -> str:
    """All maps of the network against the top-k; ``table`` as from `color_conditional.by_layer`.

    ``top`` is the share of colour-conditional maps among the top-k.
    """
    every = (table["share"] * table["channels"]).sum() / table["channels"].sum()
    expected = (table["share"] * table["top"]).sum() / table["top"].sum()
    return (
        f"Of all {table['channels'].sum():,} maps of the network {percent(every)} are colour-conditional "
        f"({generator_name(generator)}, n = {n}, seed {seed}). Maps drawn blindly from the layers of the "
        f"top-k, as many from each, would be so in {percent(expected)} of the cases; of the top-k "
        f"{percent(top)} are."
    )
