"""From result tables to the numbers and sentences that a page states, by rules that the page states too.

Prose that quotes a number would go stale with the next run; these functions write the sentence from the
table, so that the text is true whatever the numbers turn out to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tff_core import published
from tff_core.figures import generator_name
from tff_core.results import Store

MATCHED = "top-k - matched-k"


def read(store: Store, table: str, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    """The rows of a result table that belong to one detector and some generators, in the generators' order.

    Raises FileNotFoundError where the table is not there, ValueError where a generator has no row in it.
    """
    path = store.table(table)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: expected the result table {table!r}; run `make` to compute it"
        )
    rows = pd.read_csv(path)
    rows = rows[(rows["detector"] == detector) & rows["generator"].isin(list(generators))]
    missing = [g for g in generators if g not in set(rows["generator"])]
    if missing:
        raise ValueError(
            f"{path} has no row of {detector} on {', '.join(missing)}: expected one for each of "
            f"{', '.join(generators)}; add them to the grid and run `make`"
        )
    rank = {g: i for i, g in enumerate(generators)}
    return rows.sort_values("generator", key=lambda column: column.map(rank), kind="stable")


def paper(arch: str) -> pd.DataFrame:
    """The paper's sensitivity table of one network, its conditions called as they are here.

    Its random-k is one AP of the mean probability of five dropped networks: `random-k-ensemble` in this
    project. Raises ValueError where the paper has no such network.
    """
    return published.sensitivity(arch).replace({"condition": {"random-k": "random-k-ensemble"}})


def summarize(sensitivity: pd.DataFrame, source: str = "validation") -> pd.DataFrame:
    """One row per generator and condition: means over draws and detector seeds, with a conservative interval.

    Within one seed, AP and the bounds of its interval over pictures are averaged over the draws; over seeds
    the AP is the mean and the interval reaches from the lowest lower bound to the highest upper bound. It
    therefore covers what any one of the trained detectors showed.

    Parameters
    ----------
    sensitivity: the sensitivity table (one row per generator, condition, seed, draw and threshold source).
    source: whose threshold the accuracies are read at, "validation" or "test".

    Returns ``generator, condition, ap, low, high, acc_real, acc_fake, seeds, draws, n_real, n_fake, points``;
    ``points`` lists the AP of every seed and draw. Raises ValueError where no row has that threshold source.
    """
    rows = sensitivity[sensitivity["threshold_source"] == source]
    if rows.empty:
        found = sorted(set(sensitivity["threshold_source"].astype(str)))
        raise ValueError(f"no row of the sensitivity table has threshold_source {source!r}: found {found}")
    # one column per number, over draws first: a condition with more draws must not weigh more
    numbers = ["ap", "ap_low", "ap_high", "acc_real", "acc_fake", "n_real", "n_fake"]
    per_seed = rows.groupby(["generator", "condition", "seed"], sort=False)[numbers].mean()
    grouped = per_seed.groupby(["generator", "condition"], sort=False)
    table = grouped[["ap", "acc_real", "acc_fake", "n_real", "n_fake"]].mean()
    table["low"], table["high"] = grouped["ap_low"].min(), grouped["ap_high"].max()
    table["seeds"] = grouped.size()
    both = rows.groupby(["generator", "condition"], sort=False)
    table["draws"] = both["draw"].nunique()
    table["points"] = both["ap"].apply(list)
    table[["n_real", "n_fake"]] = table[["n_real", "n_fake"]].round().astype(int)
    return table.reset_index()


@dataclass(frozen=True)
class Verdict:
    """What the pooled differences of one comparison say, generator by generator.

    ``below``: the whole interval lies below zero (the top-k matter more); ``above``: the whole interval
    lies above zero (they matter less); ``open``: the interval contains zero.
    """

    contrast: str
    below: tuple[str, ...]
    above: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def word(self) -> str:
        """ "holds" on every generator, "holds in part" on some, or "does not hold" on any."""
        if not self.below:
            return "does not hold"
        return "holds in part" if self.above or self.open else "holds"

    def sentence(self) -> str:
        """The verdict in words, with every generator named."""
        total = len(self.below) + len(self.above) + len(self.open)
        parts = [
            f"on {len(self.below)} of {total} generators the interval lies below zero{_named(self.below)}"
        ]
        if self.open:
            parts.append(f"on {len(self.open)} it contains zero{_named(self.open)}")
        if self.above:
            parts.append(f"on {len(self.above)} it lies above zero{_named(self.above)}")
        return f"The claim **{self.word}** here: " + "; ".join(parts) + "."


def verdict(contrast: pd.DataFrame, kind: str = MATCHED) -> Verdict:
    """Read one comparison off the contrast table; only the rows pooled over seeds ("all") count.

    Raises ValueError where the table has no pooled row of that comparison.
    """
    rows = contrast[(contrast["contrast"] == kind) & (contrast["seed"].astype(str) == "all")]
    if rows.empty:
        raise ValueError(
            f"the contrast table has no pooled row of {kind!r}: found {sorted(set(contrast['contrast']))}"
        )
    below = tuple(rows.loc[rows["high"] < 0, "generator"])
    above = tuple(rows.loc[rows["low"] > 0, "generator"])
    rest = tuple(g for g in rows["generator"] if g not in below + above)
    return Verdict(kind, below, above, rest)


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """A share in [0, 1] as percent, with its interval where one is given: ``97.1 % [95.0, 98.6]``."""
    text = f"{100 * value:.1f} %"
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def points(value: float, low: float | None = None, high: float | None = None) -> str:
    """A difference in [-1, 1] as signed points, with its interval where one is given."""
    text = f"{100 * value:+.1f} points"
    return text if low is None or high is None else f"{text} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _named(generators: tuple[str, ...]) -> str:
    return f" ({', '.join(generator_name(g) for g in generators)})" if generators else ""
