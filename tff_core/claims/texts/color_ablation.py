"""What the chapter on colour ablation says about its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tff_core.claims.texts import base, sides
from tff_core.claims.verdicts import named, percent, points
from tff_core.figures import generator_name

PAPER = "p >= 0.2"
"""The paper's filter: fakes to which the detector gives at least this probability in colour."""
GROWS = 0.1
"""A share of reals called fake that grows by more than this is mentioned."""
LITTLE = 0.25
"""If fewer of the unmixed fakes than this are called fake, there is little evidence to move."""


def pairs(ablation: pd.DataFrame) -> pd.DataFrame:
    """One row per generator, label and filter, colour and gray side by side (``median_gray``, ...).

    ``ablation`` is the table of `color_ablation.by_seed` with a column ``generator``; only its rows pooled
    over seeds count.
    """
    pooled = ablation[ablation["seed"] == "all"]
    keys = ["generator", "label", "filter"]
    gray = pooled[pooled["input"] == "gray"][[*keys, "median", "called_fake"]]
    return pooled[pooled["input"] == "color"].merge(gray, on=keys, suffixes=("", "_gray"))


def medians(ablation: pd.DataFrame, generators: Sequence[str], seeds: int) -> str:
    """All numbers of the ablation, a row per generator, label and filter."""
    order = {g: i for i, g in enumerate(generators)}
    rows = []
    table = pairs(ablation).sort_values("generator", key=lambda c: c.map(order), kind="stable")
    for row in base.tuples(table):
        cells = [generator_name(row.generator), f"{row.label}s, {row.filter}", row.n]
        if row.n:
            cells += [f"{100 * row.median:.0f}", f"{100 * row.median_gray:.0f}"]
            cells += [points(row.drop, row.low, row.high)]
            cells += [f"{100 * row.called_fake:.0f}", f"{100 * row.called_fake_gray:.0f}"]
        rows.append(cells + [""] * (8 - len(cells)))
    heads = ["generator", "pictures", "n", "median p, colour", "gray", "drop [interval]"]
    heads += ["called fake, colour", "gray"]
    counts = "n counts pictures; called fake at the threshold"
    if seeds > 1:
        counts = (
            f"n counts pictures times detector seeds ({seeds}); called fake at each seed's own threshold,"
        )
    return (
        f"All numbers in percent; {counts} calibrated on validation pictures in colour.\n\n"
        f"{base.table(heads, rows)}"
    )


def verdict(ablation: pd.DataFrame, seeds: int) -> str:
    """Do gray pictures lower the fake probability of fakes, and what happens to reals?"""
    table = pairs(ablation)
    fakes = table[(table["label"] == "fake") & (table["filter"] == PAPER)]
    every = table[(table["label"] == "fake") & (table["filter"] == "all")]
    reals = table[(table["label"] == "real") & (table["filter"] == "all")]
    found = sides.of(fakes)
    wrong = reals.loc[reals["called_fake_gray"] > reals["called_fake"] + GROWS, "generator"].tolist()
    what = "pairs of a fake and a seed" if seeds > 1 else "fakes"
    text = (
        f"The claim {found.claim} here. The interval of the drop of the fakes' median (p ≥ 0.2, as in the "
        f"paper) {sides.places(found)}. {base.span(fakes['n'])} {what} per generator pass the filter.\n\n"
        f"**Called fake?** Of all fakes {percent(every['called_fake'].mean())} are called fake in colour and "
        f"{percent(every['called_fake_gray'].mean())} in gray, on average over the generators. (A median "
        "near 0 or 1 can hide what a threshold shows.)\n\n"
        f"**And the reals?** The share called fake goes from {percent(reals['called_fake'].mean())} in "
        f"colour to {percent(reals['called_fake_gray'].mean())} in gray, on average over the generators"
    )
    if wrong:
        text += (
            f"; on {len(wrong)} it grows by more than {100 * GROWS:.0f} points{named(wrong)}. There gray by "
            "itself pushes pictures towards fake, so what happens to the fakes is not only evidence removed."
        )
    else:
        text += (
            f"; on none does it grow by more than {100 * GROWS:.0f} points. Gray by itself makes few reals "
            "look fake."
        )
    return base.admonition("Verdict: gray lowers the fake probability", text)


def exchange(exchanged: pd.DataFrame, contrast: pd.DataFrame, seeds: Sequence[int]) -> str:
    """Does the evidence lie in the chroma?

    ``exchanged`` has a row per generator and set of pictures with ``called``, ``clipped`` and ``n``;
    ``contrast`` per generator the share called fake with a fake's chroma minus that with a fake's luma.
    """
    mean = exchanged.groupby("pictures")[["called", "clipped"]].mean()
    called = {name: percent(share) for name, share in mean["called"].items()}
    own = exchanged[exchanged["pictures"] == "fake"].set_index("generator")["called"]
    little = own.index[own < LITTLE].tolist()
    found = sides.of(contrast)
    text = (
        f"The claim {found.claim} here. With the luma of a real and the chroma of a fake, "
        f"{called['real luma, fake chroma']} are called fake (control, chroma of another real: "
        f"""{called["real luma, other real's chroma"]}); with the luma of a fake and the chroma of a real, """
        f"{called['fake luma, real chroma']} (control, chroma of another fake: "
        f"""{called["fake luma, other fake's chroma"]}). Unmixed reals: {called["real"]}, unmixed fakes: """
        f"{called['fake']}. Means over {base.counted(len(own), 'generator')}.\n\n"
        "The first minus the second, generator by generator: the interval lies above zero, **chroma carries "
        f"more**, on {len(found.speak_for)}{named(found.speak_for)}; below zero, **luma carries more**, on "
        f"{len(found.against)}{named(found.against)}; it contains zero on "
        f"{len(found.undecided)}{named(found.undecided)}. "
    )
    if little:
        text += (
            f"On {len(little)} fewer than a quarter of the unmixed fakes are called fake{named(little)}: "
            "there is little evidence there that could move. "
        )
    several = f", detector seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    text += (
        f"{base.span(exchanged['n'])} pairs per generator{several}; of the mixtures' pixels "
        f"{percent(mean['clipped'].drop(['real', 'fake']).mean())} had to be clipped."
    )
    return base.admonition("Verdict: the evidence lies in the chroma", text)


def sweep(quartiles: pd.DataFrame, generator: str, counts: tuple[int, int], seed: int) -> str:
    """How far the medians move with saturation and with hue; ``counts`` are reals and fakes."""
    at = quartiles.set_index(["change", "label", "amount"])["median"].sort_index()

    def span(change: str, label: str) -> tuple[float, float]:
        return float(at[change, label].min()), float(at[change, label].max())

    (low, high), (real_low, real_high) = span("hue", "fake"), span("hue", "real")
    moved = {change: 100 * (b - a) for change in ("saturation", "hue") for a, b in [span(change, "fake")]}
    return (
        f"{generator_name(generator)}, {counts[1]} fakes and {counts[0]} reals, detector seed {seed}: from "
        f"full colour to gray the median of the fakes goes from {percent(at['saturation', 'fake', 1])} to "
        f"{percent(at['saturation', 'fake', 0])}, that of the reals from "
        f"{percent(at['saturation', 'real', 1])} to {percent(at['saturation', 'real', 0])}. Turning the hue "
        f"moves the fakes' median between {percent(low)} and {percent(high)}, the reals' between "
        f"{percent(real_low)} and {percent(real_high)}. The fakes' median moves over "
        f"{moved['saturation']:.0f} points along the whole scale of saturation and over {moved['hue']:.0f} "
        "along that of hue."
    )
