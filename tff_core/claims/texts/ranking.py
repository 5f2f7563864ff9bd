"""What the chapter on relevance and omega says about one explained picture and about the rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tff_core.claims.texts import base


def conservation(pictures: int, logit: float, shares: Mapping[str, float]) -> str:
    """How much of a logit arrives at the places that all relevance must pass.

    ``pictures``: the number among which the explained one has the largest ``logit``. ``shares``: the
    relevance arriving at each place, divided by the logit.
    """
    low, high = (f"{end:.3f}" for end in (min(shares.values()), max(shares.values())))
    text = (
        f"Of {base.counted(pictures, 'fake')} from validation this is the one with the largest logit "
        f"({logit:.2f}). At {base.counted(len(shares), 'place')} that all relevance must pass, the share of "
        f"the logit that arrives is {low if low == high else f'between {low} and {high}'}. What is missing, "
        "or in excess, at *all* of them alike went to the bias of the last, linear layer: there the rule "
        "counts the bias as a contribution, in the convolutions it does not."
    )
    if len(shares) > 1:
        text += (
            " Differences *between* them come from the small constants that keep a division by almost "
            "nothing from exploding; a network with tiny activations loses more to them."
        )
    return text


def concentration(title: str, layers: int, ranked: Sequence[float], k: int, seed: int) -> str:
    """The share of all omega that the top k hold. ``ranked``: omega of every map of one seed, descending."""
    total = len(ranked)
    share, empty = sum(ranked[:k]) / sum(ranked), sum(value == 0 for value in ranked)
    return (
        f"{title} has {total:,} feature maps in {layers} layers. With seed {seed} the top {k} "
        f"({100 * k / total:.2f} % of them) hold {100 * share:.1f} % of all $\\omega$; "
        f"{base.counted(empty, 'map')} {'holds' if empty == 1 else 'hold'} none at all. (In the published "
        "ranking of ResNet-50 705 are exactly zero, so its *low-k* is an arbitrary choice among equals.)"
    )


def narrowness(layers: int, seed: int, k: int, correlation: float) -> str:
    """Whether narrow layers win the ranking, and what follows for the control."""
    return (
        f"Across the {layers} layers of seed {seed}, the correlation between how narrow a layer is (minus "
        f"the logarithm of its channels) and the share of its maps in the top {k} is {correlation:+.2f}. A "
        "positive value is what the definition of $\\omega$ leads one to expect, for *any* task. A control "
        "that draws feature maps uniformly, as the paper's random-k does, mostly draws from wide late "
        "layers, and so differs from the top-k in *two* respects: in relevance and in place. The "
        "**layer-matched** control of the next chapter draws as many maps from each layer as the top-k have "
        "there, so that only relevance differs."
    )


def stability(
    pairs: Mapping[tuple[int, int], tuple[int, float, float]], k: int, seed: int, shared_with_reals: int
) -> str:
    """How far the rankings of different training seeds agree, and those of fakes and reals.

    ``pairs``: for two seeds the number of shared maps, the number expected by chance, and the correlation of
    layers. ``shared_with_reals``: of the top k of one ``seed``, on fakes and on reals.
    """
    lines = [
        f"- seeds {a} and {b}: {base.counted(shared, 'map')} in common; {expected:.1f} expected by chance, "
        f"given the layers; correlation of the number of top-{k} maps per layer {correlation:+.2f}"
        for (a, b), (shared, expected, correlation) in pairs.items()
    ]
    return (
        ("\n".join(lines) or "There is one seed only: nothing to compare.")
        + f"\n\nFakes and reals, seed {seed}: {base.counted(shared_with_reals, 'map')} in common. (In the "
        "published rankings of ResNet-50: 3 of 114.) Omega on reals explains the opposite logit: what speaks "
        "for *real*."
    )
