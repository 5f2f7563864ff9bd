"""What the page on luma and chroma says about its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.verdicts import percent

TITLES = {"rgb": "all colours", "luma": "luma alone", "chroma": "chroma alone"}
SAME, OFFSET, CAMERA = "as trained", "cut at random", "another camera"
BETTER, OTHER = "chroma", "luma"
TRAINED_ON = "progan"


def spoken(sees: str) -> str:
    """What a detector sees in words: ``luma alone``."""
    return TITLES.get(sees, sees)


def apart(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Chroma alone minus luma alone on unseen generators: columns generator, value, low, high, seeds.

    ``table``: rows of `tff_core.features.planes.compare` with columns ``generator`` and ``condition``. Empty
    where no generator is unseen; ValueError where there is no row of that condition.
    """
    chosen = (table["sees"] == f"{BETTER} - {OTHER}") & (table["condition"] == condition)
    rows = table[chosen & (table["generator"] != TRAINED_ON)]
    if not chosen.any():
        raise ValueError(
            f"no row of {BETTER} - {OTHER}, {condition!r}: found "
            f"{sorted(set(table['sees']))} and {sorted(set(table['condition']))}"
        )
    named = rows.rename(columns={"ap": "value", "ap_low": "low", "ap_high": "high"})
    return named[["generator", "value", "low", "high", "seeds"]].reset_index(drop=True)


def word(table: pd.DataFrame, condition: str = SAME) -> str:
    """The verdict on "chroma carries over, luma less", by the rule of all claims."""
    rows = apart(table, condition)
    if rows.empty:
        return verdicts.UNTESTED
    yes, no, left = verdicts.parted(rows)
    return verdicts.word(len(yes), against=len(no), open_=len(left))


def sentence(table: pd.DataFrame, condition: str = SAME) -> str:
    """On how many unseen generators chroma alone is better than luma alone, and by how much."""
    rows = apart(table, condition)
    if rows.empty:
        return "Every generator here is one that the detectors were trained on"
    what = "the AP of chroma alone minus that of luma alone"
    return verdicts.lies(rows, what, "unseen generators")


def verdict(table: pd.DataFrame, cameras: pd.DataFrame) -> str:
    """The verdict of the page, its two controls, and what telling the cameras apart adds.

    ``table``: rows of `tff_core.features.planes.compare` with columns ``generator`` and ``condition``;
    ``cameras``: rows of the same function, of one camera's reals against the other's.
    """
    claim = verdicts.claim_is(word(table))
    text = f"The claim {claim} here. {sentence(table)}.\n\n"
    for condition, why in (
        (OFFSET, "a grid that begins in the corner of every picture cannot be what carries over"),
        (CAMERA, "what carries over is not the trace of one simulated camera"),
    ):
        answer = word(table, condition)
        same = answer == word(table)
        found = same and answer in (verdicts.HOLDS, verdicts.IN_PART)
        text += (
            f"**{condition.capitalize()}.** {sentence(table, condition)}: the claim "
            f"{verdicts.claim_is(answer)}"
            + (f", so {why}" if found else "" if same else ", another answer than above")
            + ".\n\n"
        )
    told = "; ".join(
        f"{spoken(r.sees)} {percent(r.ap, r.ap_low, r.ap_high)}"
        for r in base.tuples(cameras[cameras["sees"].isin(TITLES)])
    )
    n = cameras["n_fake"].iloc[0]
    text += (
        "**One camera against the other.** No fake is among these pictures; an AP far from 50 % means that a "
        f"detector judges pictures by who took them. AP of the other camera's reals, called fakes: {told} "
        f"(n = {n} of each).\n\n"
        f"n = {base.span(table['n_real'])} reals and {base.span(table['n_fake'])} fakes per generator, "
        f"{base.seeds(int(table['seeds'].max()))} of each kind."
    )
    return base.admonition("Verdict: colour is what carries over", text)


def numbers(table: pd.DataFrame, condition: str = SAME) -> str:
    """AP of each detector on each generator as a table."""
    rows = table[(table["condition"] == condition) & table["sees"].isin(TITLES)]
    sees = list(dict.fromkeys(rows["sees"]))
    cells = {(r.generator, r.sees): percent(r.ap, r.ap_low, r.ap_high) for r in base.tuples(rows)}
    lines = [
        [base.names([generator]), *(cells[generator, one] for one in sees)]
        for generator in dict.fromkeys(rows["generator"])
    ]
    return base.table(["generator", *map(spoken, sees)], lines)


def front(table: pd.DataFrame | None) -> str:
    """What the first page says of it, or that it is not there yet."""
    where = "{doc}`Colour is what carries over </notebooks/what_carries_over>`"
    if table is None:
        return f"**Not asked in this build:** {where}, which `make all` computes."
    return f"**{where}:** the claim {verdicts.claim_is(word(table))} here. {sentence(table)}."


def trained(info: Mapping[str, float]) -> str:
    """AP on validation pictures, by what a detector sees."""
    told = ", ".join(f"{spoken(sees)} {percent(ap)}" for sees, ap in info.items())
    return f"AP on validation pictures of ProGAN, means over seeds: {told}."
