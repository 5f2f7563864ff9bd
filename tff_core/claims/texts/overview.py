"""What the front page says about its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base


def finding(contrast: pd.DataFrame, caution: str = "") -> str:
    """The verdict on the finding against both controls, from the contrast table, and a caution, if any."""
    strict, usual = verdicts.verdict(contrast), verdicts.verdict(contrast, "top-k - random-k")
    told = [
        f"**Against random feature maps of the same layers.** {strict.sentence()}",
        f"**Against random feature maps of any layer, as in the paper.** {usual.sentence()}",
    ]
    if caution:
        told.append(f"**{verdicts.CAUTION}** {caution}.")
    return "\n\n".join(told)


def other_pictures(dataset: str, external: bool) -> str:
    """A note that a book was made with other pictures, and what follows; empty for the miniature."""
    if dataset == "miniature":
        return ""
    trained = ", and with a detector that was trained elsewhere" if external else ""
    return (
        f"**This build is different.** It was made with the data set `{dataset}`, whose pictures lie on disk "
        f"and were not made by the project{trained}. The names of the generators are those of its folders. "
        "{doc}`The data card </notebooks/data_card>` shows what is in them."
    )


def claims(table: pd.DataFrame | None, titles: Mapping[str, str]) -> str:
    """Every claim with the word of every detector, as a table.

    ``table``: the verdicts, None if they have not been made yet. ``titles``: the detectors to show, the one
    that the page is about first, with their titles.
    """
    if table is None:
        return "**Not there yet:** the table of verdicts is made after all chapters; `make` makes it."
    careful = table["why"].str.contains(verdicts.CAUTION).map({True: ", with a caution", False: ""})
    word = table.assign(word=table["verdict"] + careful).set_index(["claim", "detector"])["word"].to_dict()
    rows = []
    for claim in verdicts.CLAIMS:
        words = [word.get((claim.key, name), verdicts.UNTESTED) for name in titles]
        measured = set(words) != {verdicts.UNTESTED}
        # a relative link: to the chapter about this page's detector
        name = f"{{doc}}`{claim.title} <{claim.chapter}>`" if measured else claim.title
        rows.append([claim.key, name, *words])
    return (
        base.table(["", "claim", *titles.values()], rows)
        + "\n\nEach claim links to the chapter that measures it, with its code; {doc}`the page of verdicts "
        "</notebooks/10_verdicts>` has the intervals and the rule behind each word."
    )


def numbers(summary: pd.DataFrame, title: str, k: int, seeds: int) -> str:
    """The figure of the finding as a table: AP of the whole detector, without the top-k, and matched.

    ``summary`` as `verdicts.summarize` makes it, ``title`` the detector's, ``seeds`` how many there are.
    """
    rows = summary.set_index(["condition", "generator"])
    conditions = ("baseline", "top-k", "matched-k")
    cells = [
        [base.names([generator])]
        + [verdicts.percent(r.ap, r.low, r.high) for r in (rows.loc[(c, generator)] for c in conditions)]
        for generator in dict.fromkeys(summary["generator"])
    ]
    brackets = "In brackets: 95 % intervals over pictures."
    if seeds > 1:
        brackets = (
            "In brackets: the whiskers of the figure, from the lowest to the highest end of the seeds' "
            "intervals. They are wider than the pooled intervals of the chapters."
        )
    reals, fakes = base.span(summary["n_real"]), base.span(summary["n_fake"])
    head = (
        f"**The same in numbers.** AP in percent of {title}, k = {k}, {base.seeds(seeds)}; {reals} reals and "
        f"{fakes} fakes per generator. {brackets}"
    )
    heads = ["generator", "whole detector", "top-k dropped", "layer-matched dropped"]
    return f"{head}\n\n{base.table(heads, cells)}"
