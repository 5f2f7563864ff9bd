"""What the chapter on sensitivity says about detectors without their top feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.figures import CONDITIONS

_SAME = 1e-3
"""Logits that differ by less are equal: rounding differs between batches and networks."""


def dropout(
    whole: Sequence[float],
    dropped: Sequence[float],
    folded: Sequence[float],
    gone: Mapping[str, int],
    k: int,
    seed: int,
) -> str:
    """The effect of dropout on a few pictures, and whether both implementations agree.

    ``whole``, ``dropped``, ``folded``: logits of the same pictures by the whole detector, by the one whose
    top ``k`` are dropped, and by its folded copy. ``gone``: layers all of whose maps are dropped, and how
    many maps they have.
    """
    text = (
        f"On {base.counted(len(whole), 'validation picture')} the logits of the two implementations differ "
        f"by at most {_apart(folded, dropped):.1g}; those of the whole and the dropped detector by up to "
        f"{_apart(whole, dropped):.2g}."
    )
    if not gone:
        return text
    before, after = (max(logits) - min(logits) for logits in (whole, dropped))
    layers = ", ".join(f"`{layer}` ({maps})" for layer, maps in gone.items())
    blind = (
        "There is no way round that layer: every picture gets the same logit. Such a detector is blind for a "
        "plain reason, and dropping any layer without a shortcut would do it; it says little about what "
        "these maps see."
    )
    return (
        f"{text}\n\n**A whole layer is gone.** The top {k} of seed {seed} hold *all* maps of {layers}. "
        f"Between these pictures the whole detector's logits differ by {before:.2g}, those of the dropped "
        f"one by {after:.1g}. "
        + (blind if after < _SAME else "Shortcuts lead round it, so later layers still see the picture.")
    )


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def shifts(median: Mapping[str, float], k: int, seed: int) -> str:
    """The median shift of dropped maps and what it means for the control.

    ``median``: in standard deviations, for "top-k" and "matched-k"; empty for a network whose convolutions
    have no batch normalisation.
    """
    if not median:
        return (
            "No convolution of this network is followed by a batch normalisation: a dropped map stays zero, "
            "and nothing can be said about shifts."
        )
    return (
        f"The median shift is {median['top-k']:.2f} standard deviations for the top {k} and "
        f"{median['matched-k']:.2f} for one draw of {k} other maps of the same layers (seed {seed}). A "
        "detector that fails after dropout may fail because it *lost* information or because it was "
        "*pushed* away from what it saw in training; a control is fair only as far as it is pushed alike."
    )


def losses(summary: pd.DataFrame, k: int, seeds: int) -> str:
    """The mean change of AP under each condition. ``summary`` as `verdicts.summarize` makes it."""
    mean = summary.groupby("condition")["ap"].mean()
    change = {condition: verdicts.points(mean[condition] - mean["baseline"]) for condition in mean.index}
    draws = summary.groupby("condition")["draws"].max()
    return (
        f"Averaged over {base.counted(summary['generator'].nunique(), 'generator')}, {base.seeds(seeds)}, AP "
        f"changes by {change['top-k']} without the top {k}, by {change['low-k']} without the low {k}, by "
        f"{change['random-k']} without a random {k} (mean of {base.counted(draws['random-k'], 'draw')}; "
        f"{change['random-k-ensemble']} for their ensemble), and by {change['matched-k']} without {k} random "
        f"maps of the same layers ({base.counted(draws['matched-k'], 'draw')})."
    )


def verdict(contrast: pd.DataFrame, shortfall: Mapping[str, int], k: int, seed: int) -> str:
    """The verdict against both controls, and whether the matched one could be drawn in full.

    ``shortfall``: layers in which it has fewer maps than the top ``k``, and how many are missing.
    """
    strict, usual = verdicts.verdict(contrast), verdicts.verdict(contrast, "top-k - random-k")
    control = f"The matched control of seed {seed} has {k} maps too, as many in every layer."
    if shortfall:
        layers = ", ".join(f"`{layer}` ({missing})" for layer, missing in shortfall.items())
        control = (
            f"**{verdicts.CAUTION.rstrip(':')}.** In {layers} the top {k} of seed {seed} take more than half "
            "of the maps, so the matched control has fewer maps there (in brackets how many are missing; "
            f"{sum(shortfall.values())} of {k} in all). It drops less than the top-k do, which favours the "
            "claim."
        )
    told = [
        f"**Verdict: top-k against layer-matched maps.** {strict.sentence()}",
        f"**Top-k against random maps of any layer (the paper's comparison).** {usual.sentence()}",
        control,
    ]
    return "\n>\n".join(f"> {words}" for words in told)


def drift(summary: pd.DataFrame, paper: pd.DataFrame | None, seeds: int) -> str:
    """The generators on which the detector without its top-k calls everything real, or everything fake."""
    gone = summary[summary["condition"] == "top-k"]
    real = gone[(gone["acc_real"] > 0.9) & (gone["acc_fake"] < 0.3)]
    fake = gone[(gone["acc_real"] < 0.3) & (gone["acc_fake"] > 0.9)]
    theirs = ""
    if paper is not None:
        mean = paper[paper["condition"] == "top-k"][["acc_real", "acc_fake"]].mean()
        theirs = (
            " In the paper's table for this network the dropped detector calls "
            f"{verdicts.percent(mean['acc_real'])} of the reals and "
            f"{verdicts.percent(1 - mean['acc_fake'])} of the fakes real, on average."
        )
    return (
        "Without the top-k, at the threshold calibrated on validation pictures for the whole detector"
        + (" (mean over seeds): " if seeds > 1 else ": ")
        + "; ".join(
            f"everything looks {word} on {base.names(rows['generator'], 'no generator')}"
            for word, rows in (("real", real), ("fake", fake))
        )
        + f". (Rule: one accuracy above 90 %, the other below 30 %.){theirs}"
    )


def everything(summary: pd.DataFrame, paper: pd.DataFrame | None) -> str:
    """AP and accuracies of every generator under every condition, with the paper's where it has them."""
    measured, theirs = _records(summary), {} if paper is None else _records(paper)
    heads = ["generator", "condition", "AP [interval]", "R / F"]
    rows = []
    for generator in dict.fromkeys(summary["generator"]):
        for condition, (name, _, _) in CONDITIONS.items():
            row = measured[condition, generator]
            ap = verdicts.percent(row["ap"], row["low"], row["high"])
            cells = [base.names([generator]), name, ap, _both(row)]
            if theirs:
                other = theirs.get((condition, generator))
                cells += [f"{100 * other['ap']:.1f}", _both(other)] if other else ["", ""]
            rows.append(cells)
    return base.table([*heads, *(["paper: AP", "paper: R / F"] if theirs else [])], rows)


def _records(table: pd.DataFrame) -> dict[tuple[str, str], dict[Any, Any]]:
    return {(row["condition"], row["generator"]): row for row in table.to_dict("records")}


def _both(row: Mapping[str, float]) -> str:
    return f"{100 * row['acc_real']:.0f} / {100 * row['acc_fake']:.0f}"
