"""What the atlas says about its cards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from tff_core.claims.texts import base


def index(title: str, seed: int, maps: int, cards: bool) -> str:
    """What the index lists, and whether there are ``cards`` below it."""
    told = (
        "The cards are below."
        if cards
        else "This build has no cards: `make all` makes one for each of the top maps."
    )
    return (
        f"**{title}**, detector seed {seed}: all {maps:,} feature maps, with omega over fakes. The name of a "
        "map in any chapter of this detector leads here, and an address can be written by hand: the page's, "
        f"then `#`, layer and channel, such as `atlas.html#layer1.0.conv1.63` in a ResNet. {told}"
    )


def agreement(found: Mapping[str, float], tops: Iterable[int]) -> str:
    """Whether activation and relevance choose the same pictures. ``found``: as from `relmax.summary`.

    ``tops``: how many pictures at the head of each ranking were compared, by case.
    """
    if not found["cases"]:
        return "No map is active, and carries relevance, in enough pictures to be ranked by both."
    value, low, high, chance = (100 * found[key] for key in ("value", "low", "high", "chance"))
    span = "" if math.isnan(low) else f" [{low:.0f}, {high:.0f}]"
    told = "a single map has no interval"
    if not math.isnan(low):
        told = "no more than chance explains" if low <= chance <= high else "more than chance explains"
        if high < chance:
            told = "fewer than chance gives"
    place = (
        ""
        if math.isnan(found["same_place"])
        else f" In {100 * found['same_place']:.0f} % of the shared pictures both point to the same position."
    )
    return (
        f"Of the first {base.span(tops)} pictures of a map by activation and by relevance {value:.0f} %"
        f"{span} are the same, against {chance:.0f} % by chance: {told} (mean over {found['maps']:.0f} maps, "
        "95 % interval over maps, of the same pictures). One by one, "
        f"{found['beyond']:.0f} of {found['cases']:.0f} cases, a map and a generator each, share more than "
        f"chance explains at 5 %, which would give {0.05 * found['cases']:.0f} or fewer.{place}"
    )


def legend(
    title: str, seed: int, k: int, patches: int, n: int, fakes: int, ranked: int, counts: tuple[int, int]
) -> str:
    """The contents of a card: its pictures and numbers, and how many pictures are behind each.

    ``patches`` for each generator, the strongest of ``n`` fakes; histograms of ``fakes``; ``ranked`` fakes
    behind omega; ``counts`` of reals and fakes behind the effect of one map.
    """
    return (
        f"**{title}**, detector seed {seed}, top {k}. *Patches*: the {patches} strongest of {n} fakes or "
        "fewer of each generator, by activation and by relevance, enlarged without smoothing; an empty place "
        "is a map that is not active. "
        f"*Histogram*: the largest activation in each of {fakes} fakes, filled in colour, the line in gray. "
        f"*ω*: with a 95 % interval over the {ranked} validation fakes that the ranking has seen. *p*: "
        "Mood's test, colour against gray, uncorrected, the median over generators, and on how many it is at "
        "most 0.05. *Dropped*: by how much the mean logit of fakes, and the AP, change when the map alone is "
        f"dropped; {counts[1]} fakes and {counts[0]} reals of the test part, of all generators; 95 % "
        "interval over the fakes."
    )
