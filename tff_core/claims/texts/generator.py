"""What the page of one generator and one detector says."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.verdicts import CLAIMS, percent, points
from tff_core.figures import CONDITIONS

WORDS = {verdicts.FOR: "for it", verdicts.AGAINST: "against it", verdicts.OPEN: "open", verdicts.MISSING: ""}


def short(
    transfer: pd.Series, contrast: pd.Series, title: str, pictures: str, trained: str, seeds: int, k: int,
    dropped: int,
) -> str:  # fmt: skip
    """The page in two sentences.

    ``transfer`` and ``contrast`` are the rows pooled over seeds, of the whole detector and of top-k minus
    layer-matched; ``title`` names the detector, ``pictures`` the generator, ``trained`` what the
    detector was trained on; ``dropped`` is the number of maps of the layer-matched control.
    """
    instead = "as many" if dropped == k else f"only {dropped}"  # where a layer has too few others
    return (
        f"**In short.** {title}, {trained}, reaches AP "
        f"{percent(transfer['ap'], transfer['ap_low'], transfer['ap_high'])} on {pictures} pictures "
        f"({int(transfer['n_real'])} reals, {int(transfer['n_fake'])} fakes, "
        f"{base.counted(seeds, 'detector seed')}). Dropping the top {k} feature maps instead of {instead} "
        "random ones of the same layers changes it by "
        f"{points(contrast['delta_ap'], contrast['low'], contrast['high'])}. In square brackets: "
        "95 % intervals."
    )


def conditions(summary: pd.DataFrame, paper: pd.DataFrame | None) -> str:
    """AP and accuracies under each condition; ``summary`` as from `verdicts.summarize`, of one generator.

    ``paper`` has the published AP of the same generator by condition; None or empty if there is none.
    """
    other = {} if paper is None else dict(zip(paper["condition"], paper["ap"], strict=True))
    by_condition: Any = summary.set_index("condition")
    rows = []
    for condition, (title, _, _) in CONDITIONS.items():
        row = by_condition.loc[condition]
        cells = [title, percent(row["ap"], row["low"], row["high"])]
        cells += [percent(row["acc_real"]), percent(row["acc_fake"])]
        if other:
            cells.append(percent(other[condition]) if condition in other else "")
        rows.append(cells)
    heads = ["condition", "AP [interval]", "reals right", "fakes right", *["paper: AP"] * bool(other)]
    return base.table(heads, rows)


def claims(evidence: pd.DataFrame) -> str:
    """What the generator says about each claim; ``evidence`` as from `verdicts.evidence`, of it alone."""
    said = verdicts.by_generator(evidence).set_index("claim")["says"]
    rows = []
    for claim in CLAIMS:
        numbers = []
        for row in base.tuples(evidence[evidence["claim"] == claim.key]):
            if row.says == verdicts.MISSING:
                why = "the detector was trained on this generator" if claim.key == "C1" else row.reason
                numbers.append(f"not measured: {why}")
            elif row.says != verdicts.ASIDE:
                numbers.append(f"{row.part} {claim.text(row.value, row.low, row.high, row.unit)}")
        link = f"{{doc}}`{claim.title} </notebooks/{claim.chapter}>`"
        rows.append([claim.key, link, "; ".join(dict.fromkeys(numbers)), WORDS[str(said[claim.key])]])
    judged = evidence[~evidence["says"].isin([verdicts.MISSING, verdicts.ASIDE])]
    cautions = [
        f"**{verdicts.CAUTION}** {text}." for text in dict.fromkeys(judged["reason"].dropna()) if text
    ]
    heads = ["", "claim", "measured here", "this generator speaks"]
    return "\n\n".join([base.table(heads, rows), *cautions])
