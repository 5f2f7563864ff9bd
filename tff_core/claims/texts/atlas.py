"""What the atlas says about its cards."""

from __future__ import annotations


def legend(
    title: str, seed: int, k: int, patches: int, n: int, fakes: int, ranked: int, counts: tuple[int, int]
) -> str:
    """The contents of a card: its pictures and numbers, and how many pictures are behind each.

    ``patches`` for each generator, the strongest of ``n`` fakes; histograms of ``fakes``; ``ranked`` fakes
    behind omega; ``counts`` of reals and fakes behind the effect of one map.
    """
    return (
        f"**{title}**, detector seed {seed}, top {k}. *Patches*: the {patches} strongest of {n} fakes or "
        "fewer of each generator, enlarged without smoothing; an empty place is a map that is not active. "
        f"*Histogram*: the largest activation in each of {fakes} fakes, filled in colour, the line in gray. "
        f"*ω*: with a 95 % interval over the {ranked} validation fakes that the ranking has seen. *p*: "
        "Mood's test, colour against gray, uncorrected, the median over generators, and on how many it is at "
        "most 0.05. *Dropped*: by how much the mean logit of fakes, and the AP, change when the map alone is "
        f"dropped; {counts[1]} fakes and {counts[0]} reals of the test part, of all generators; 95 % "
        "interval over the fakes."
    )
