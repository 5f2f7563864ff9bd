"""What the chapter on LRP-max patches says about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base, sides

MATCHED, ANYWHERE = "top-k - matched-k", "top-k - any place"
_GROUPS = {
    "top-k": "top-k",
    "matched-k": "layer-matched",
    "any place": "any place",
    MATCHED: "top-k minus layer-matched",
    ANYWHERE: "top-k minus any place",
}


def cards(k: int, links: Sequence[str]) -> str:
    """Where to look up the maps that are shown. ``links``: HTML, one for each of them."""
    return (
        'Every map of the network has a place in the <a href="atlas.html">atlas</a>, where its name leads. '
        f"For each of the top {k} `make all` adds a card there: its patches, how it responds to colour, what "
        f"is lost without it. Those above: {', '.join(links)}."
    )


def through(means: pd.DataFrame, k: int, n: int) -> str:
    """What runs through single maps, in the pictures of their patches. ``means``: as from `concepts.means`.

    The maps are the first of the top ``k``; ``n``: how many of them were looked at.
    """
    found = {row["measure"]: row for row in means.to_dict("records")}
    share, inside, area, apart = (found[name] for name in ("share", "inside", "area", "inside - area"))
    text = (
        f"Over the first {base.counted(n, 'map')} of the top {k}, each in its strongest fake of every "
        f"generator ({base.counted(share['pictures'], 'picture')}), {_percent(share, 2)} of the logit's "
        "relevance arrives at the map on average."
    )
    if not inside["maps"]:
        return f"{text} None of them has both a patch and relevance."
    told = "chance does not explain the difference"
    if not apart["low"] > 0:
        told = (
            "which is less than an even spread would give"
            if apart["high"] < 0
            else "which an even spread would give, too"
        )
    if math.isnan(apart["low"]):
        told = "of a single map, so that there is no interval"
    return (
        f"{text} Of what reaches the pixels through the map {_percent(inside)} falls into its LRP-max patch, "
        f"which covers {_percent(area)} of the picture: {_percent(apart, sign=True)[:-2]} points, {told} "
        f"(95 % intervals over {base.counted(inside['maps'], 'map')})."
    )


def _percent(row: Mapping[Any, Any], digits: int = 1, sign: bool = False) -> str:
    value, low, high = (100 * row[end] for end in ("value", "low", "high"))
    return f"{base.interval(value, low, high, digits, sign)} %"


def chroma(
    pooled: pd.DataFrame, seeds: Sequence[int], k: int, ranks: int, positions: int, patchless: int
) -> str:
    """How colourful patches are compared with their controls, as a table, and what its numbers rest on.

    ``pooled``: generator, group, value, low, high, n_maps over all seeds, see `patches.chroma_table`.
    ``ranks``: patches of each map; ``positions``: how many were examined, ``patchless`` of them had none.
    """
    found = {(row["generator"], row["group"]): row for row in pooled.to_dict("records")}
    rows = []
    for generator in dict.fromkeys(pooled["generator"]):
        numbers = [found[generator, group] for group in _GROUPS]
        cells = [
            base.interval(row["value"], row["low"], row["high"], sign=" - " in group)
            for group, row in zip(_GROUPS, numbers, strict=True)
        ]
        rows.append([base.names([generator]), *cells])
    maps, partners = (int(pooled.loc[pooled["group"] == g, "n_maps"].max()) for g in ("top-k", MATCHED))
    who = f"Means over detector seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else "One detector"
    times = f" ({len(seeds)} times {k})" if len(seeds) > 1 else f" (of {k})"
    return (
        f"{base.table(['generator', *_GROUPS.values()], rows)}\n\n{who}, 95 % intervals. Top-k: up to {maps} "
        f"maps{times}, {base.counted(ranks, 'patch', 'patches')} each; up to {partners} of them have a "
        f"partner outside the top-k in their layer. {patchless:,} of {positions:,} positions had no patch, "
        "because the map was not active anywhere in the picture."
    )


def verdict(pooled: pd.DataFrame) -> str:
    """Whether the patches of the top-k are more colourful than both controls; ``pooled`` as for `chroma`."""
    text = (
        f"**More than those of other maps of their layers**: {_sentence(pooled, MATCHED)}.\n\n"
        f"**More than any place of their pictures**: {_sentence(pooled, ANYWHERE)}."
    )
    return base.admonition("Verdict: the patches of the top-k are colourful", text)


def _sentence(pooled: pd.DataFrame, group: str) -> str:
    rows = pooled[pooled["group"] == group]
    rows = rows[rows["low"].notna() & rows["high"].notna()]
    if rows.empty:
        return f"the claim is **{verdicts.UNTESTED}**: no map has a patch"
    found = sides.of(rows)
    above, below = (f"{len(some)}{verdicts.named(some)}" for some in (found.speak_for, found.against))
    return (
        f"the claim {found.claim}: the whole interval lies above zero on {above} and "
        f"below zero on {below} of {base.counted(found.total, 'generator')}"
    )
