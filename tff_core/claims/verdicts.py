"""From result tables to the numbers and sentences on a page, by rules that the page states too.

Prose that quotes a number would go stale with the next run; these functions write the sentence from the
table, so that the text is true whatever the numbers turn out to be.

The paper's claims are `CLAIMS`. Each has a reader, which takes one number with its interval per generator
from the tables on disk (`evidence`); a single rule turns these into a verdict (`judge`). No rule uses the
paper's numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from tff_core import intervals, published
from tff_core.figures import generator_name
from tff_core.metrics import chance
from tff_core.store.results import Store

MATCHED = "top-k - matched-k"
MARGIN = 0.05
"""A loss of AP smaller than this counts as none (claim C3): 5 points."""
FOR, AGAINST, OPEN, MISSING, ASIDE = "for", "against", "open", "missing", "aside"
"""What one interval says about a claim. Missing: there is none. Aside: it is reported but not judged."""
HOLDS, IN_PART, MIXED, CONTRADICTED = "holds", "holds in part", "mixed", "contradicted"
UNDECIDED, UNTESTED = "open", "not testable here"
WORDS = (HOLDS, IN_PART, MIXED, CONTRADICTED, UNDECIDED, UNTESTED)
"""All words that a verdict may have; `word` says when."""
LUCK = 0.05
"""*Holds in part* requires so many generators that chance alone gives them with at most this probability."""
CAUTION = "Caution:"
"""The beginning of a warning in a verdict's reason."""
_TRAINED_ON = "progan"


class Parts(Store):
    """The same store, read from the rows that steps and chapters write for each generator.

    For work that must not wait for other generators' rows: a page about some generators is then made from
    theirs alone, and is not made again when another one is added.
    """

    def table(self, name: str) -> Path:
        """The folder of a table's parts."""
        return self.part(name, "", "").parent


def _rows(store: Store, table: str, detector: str, generators: Sequence[str]) -> pd.DataFrame | None:
    """A result table, or the part of it that a store of parts has for these generators; None without any."""
    paths = [store.table(table)]
    if isinstance(store, Parts):
        paths = [store.part(table, detector, generator) for generator in generators]
    found = [pd.read_csv(path) for path in paths if path.is_file()]
    return pd.concat(found, ignore_index=True) if found else None


def read(store: Store, table: str, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    """The rows of a result table that belong to one detector and some generators, in the generators' order.

    Raises FileNotFoundError where the table is not there, ValueError where a generator has no row in it.
    """
    path, rows = store.table(table), _rows(store, table, detector, generators)
    if rows is None:
        raise FileNotFoundError(
            f"{path} does not exist: expected the result table {table!r}; run `make` to compute it"
        )
    rows = rows[(rows["detector"] == detector) & rows["generator"].isin(list(generators))]
    missing = [g for g in generators if g not in set(rows["generator"])]
    if missing:
        raise ValueError(
            f"{path} has no row of {detector} on {', '.join(missing)}: expected one for each of "
            f"{', '.join(generators)}; add them to the grid and run `make`"
        )
    rank = {g: i for i, g in enumerate(generators)}
    return rows.sort_values("generator", key=lambda column: column.map(rank), kind="stable")


def paper(arch: str) -> pd.DataFrame | None:
    """The paper's sensitivity table of one network, with this project's names for the conditions.

    Its random-k is one AP of the mean probability of five dropped networks: `random-k-ensemble` in this
    project. None where the paper has no such network.
    """
    if arch not in published.K:
        return None
    return published.sensitivity(arch).replace({"condition": {"random-k": "random-k-ensemble"}})


def summarize(sensitivity: pd.DataFrame, source: str = "validation") -> pd.DataFrame:
    """One row per generator and condition: means over draws and detector seeds, with a conservative interval.

    Within one seed, AP and the bounds of its interval over pictures are averaged over the draws; over seeds
    the AP is the mean and the interval reaches from the lowest lower bound to the highest upper bound. It
    therefore covers the result of every one of the trained detectors.

    Parameters
    ----------
    sensitivity: the sensitivity table (one row per generator, condition, seed, draw and threshold source).
    source: the threshold at which the accuracies are read, "validation" or "test".

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
        """The verdict, by the rule of `word`."""
        return word(len(self.below), against=len(self.above), open_=len(self.open))

    def sentence(self) -> str:
        """The verdict in words, with every generator named."""
        total = len(self.below) + len(self.above) + len(self.open)
        parts = [
            f"on {len(self.below)} of {total} generators the interval lies below zero{named(self.below)}"
        ]
        if self.open:
            parts.append(f"on {len(self.open)} it contains zero{named(self.open)}")
        if self.above:
            parts.append(f"on {len(self.above)} it lies above zero{named(self.above)}")
        return f"The claim {claim_is(self.word)} here: " + "; ".join(parts) + "."


def verdict(contrast: pd.DataFrame, kind: str = MATCHED) -> Verdict:
    """Read one comparison from the contrast table; only the rows pooled over seeds ("all") count.

    Raises ValueError where the table has no pooled row of that comparison.
    """
    rows = contrast[(contrast["contrast"] == kind) & (contrast["seed"].astype(str) == "all")]
    if rows.empty:
        raise ValueError(
            f"the contrast table has no pooled row of {kind!r}: found {sorted(set(contrast['contrast']))}"
        )
    return Verdict(kind, *map(tuple, parted(rows, wants="below")))


# ------------------------------------------------------------------------------------------------ the rule


def side(
    low: pd.Series,
    high: pd.Series,
    border: pd.Series | float = 0.0,
    wants: str = "above",
    seeds: pd.Series | int | None = None,
) -> pd.Series:
    """What each interval says: "for" the claim, "against" it, "open", or "missing" where it has no ends.

    ``wants`` is the side of the border on which the whole interval must lie, "above" or "below". ``seeds``
    are the training seeds behind each interval: one from a single seed covers pictures only and says nothing
    about another training, so it leaves the claim open.
    """
    above, below = low > border, high < border
    yes, no = (above, below) if wants == "above" else (below, above)
    alone = np.asarray(False if seeds is None else np.less(seeds, 2)) | np.zeros(len(low), dtype=bool)
    said = np.select([low.isna() | high.isna(), alone, yes, no], [MISSING, OPEN, FOR, AGAINST], default=OPEN)
    return pd.Series(said, index=low.index, dtype=object)


def parted(rows: pd.DataFrame, wants: str = "above") -> tuple[list[str], list[str], list[str]]:
    """Generators whose interval lies on the wanted side of zero, on the other side, and all others.

    ``rows`` have ``generator``, ``low`` and ``high``, one row for each, and ``seeds`` if the intervals should
    cover other trainings too; the rule is `side`. The last list holds those whose interval contains
    zero, has no ends, or covers pictures only.
    """
    said = side(rows["low"], rows["high"], wants=wants, seeds=rows.get("seeds"))
    yes, no = (rows.loc[said == what, "generator"].tolist() for what in (FOR, AGAINST))
    return yes, no, [g for g in rows["generator"] if g not in yes + no]


def lies(
    rows: pd.DataFrame, what: str, generators: str = "generators", contains: str = "contains zero on"
) -> str:
    """On how many generators the interval of ``what`` lies above zero, in words; ``rows`` as in `parted`."""
    yes, no, left = parted(rows)
    told = [f"above zero on {len(yes)} of {len(rows)} {generators}{named(yes)}"]
    if left:
        told.append(f"{contains} {len(left)}{named(left)}")
    if no:
        told.append(f"lies below zero on {len(no)}{named(no)}")
    mean = points(rows["value"].mean())
    return f"The interval of {what} lies {', '.join(told)}; the mean difference is {mean}"


def word(speak_for: int, *, against: int, open_: int) -> str:
    """The verdict from the numbers of generators that speak for a claim, against it, or leave it open.

    - "holds": all speak for it.
    - "holds in part": at least `needed` do, more than chance alone would give, and none speaks against it.
    - "mixed": some speak for it and some against it.
    - "contradicted": some speak against it and none for it.
    - "open": none speaks against it, and none for it, or no more than chance would give.

    Raises ValueError if there is no generator.
    """
    generators = speak_for + against + open_
    if not generators:
        raise ValueError("no generator was measured: expected one or more; the claim is not testable")
    if speak_for == generators:
        return HOLDS
    if against:
        return MIXED if speak_for else CONTRADICTED
    return IN_PART if speak_for >= needed(generators) else UNDECIDED


def needed(generators: int, level: float = LUCK) -> int:
    """How many generators must agree for chance to give as many with probability at most ``level``."""
    return next((m for m in range(generators + 1) if luck(m, generators) <= level), generators)


def claim_is(word: str) -> str:
    """The word as it follows "the claim" in a sentence, in bold: ``**holds**``, ``is **open**``."""
    return f"**{word}**" if word in (HOLDS, IN_PART) else f"is **{word}**"


def rule(generators: int | None = None) -> str:
    """The rule of `word` in words, for a page; with the number of generators that chance allows."""
    least = "" if generators is None else f": at least {needed(generators)} of {generators}"
    return (
        "*holds* if every generator speaks for the claim; *holds in part* if none speaks against it and more "
        f"speak for it than luck would give on its own, in at most {100 * LUCK:.0f} of 100 cases{least}; "
        "*mixed* if some speak for it and some against it; *contradicted* if some speak against it and none "
        "for it; *open* otherwise"
    )


def luck(speak_for: int, generators: int, level: float = 0.95) -> float:
    """Probability that at least this many generators speak for a claim that is true on none of them.

    The true value is assumed to lie on the rule's border for every generator; an interval of this level then
    lies wholly beyond it on the claim's side with probability (1 - level) / 2. Generators are treated as
    independent, although they share the trained detectors: an indication, not a p-value.
    """
    return float(stats.binom.sf(speak_for - 1, generators, (1 - level) / 2))


# ---------------------------------------------------------------------------------------------- the claims


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and how it is measured here.

    ``tag`` and ``title`` name it; ``measure`` says which number each generator has, ``rule`` when a
    generator speaks for the claim. ``chapter`` computes the number, ``unit`` is "share" (in [0, 1]),
    "points" (a difference of shares) or "number", ``counted`` says what n counts. ``read`` takes the numbers
    of a detector from the tables, see `evidence`.
    """

    key: str
    tag: str
    title: str
    measure: str
    rule: str
    chapter: str
    unit: str
    counted: str
    read: Callable[[Store, str, Sequence[str]], pd.DataFrame]

    def text(self, value: float, low: float, high: float, unit: str = "") -> str:
        """A number of this claim with its interval, in ``unit`` or the claim's own."""
        unit = unit or self.unit
        if unit == "share":
            return percent(value, low, high)
        if unit == "points":
            return points(value, low, high)
        return f"{_signed(value, 2)} [{_signed(low, 2)}, {_signed(high, 2)}]"


class _NotThereError(Exception):
    """A table, column or row that a claim needs is missing; the message says which."""


def _table(
    store: Store, name: str, detector: str, generators: Sequence[str], columns: Sequence[str]
) -> pd.DataFrame:
    rows = _rows(store, name, detector, generators)
    if rows is None:
        raise _NotThereError(f"there is no table {name}.csv")
    lacking = [column for column in ("detector", "generator", *columns) if column not in rows]
    if lacking:
        raise _NotThereError(f"the table {name}.csv has no column {lacking[0]}")
    rows = rows[(rows["detector"] == detector) & rows["generator"].isin(list(generators))]
    if rows.empty:
        raise _NotThereError(f"the table {name}.csv has no row of this detector")
    return rows.assign(seed=rows["seed"].astype(str)) if "seed" in rows else rows


def _some(rows: pd.DataFrame, table: str, **values: str) -> pd.DataFrame:
    found = rows[np.logical_and.reduce([rows[column] == value for column, value in values.items()])]
    if found.empty:
        told = ", ".join(f"{column} {value!r}" for column, value in values.items())
        raise _NotThereError(f"the table {table}.csv has no row with {told} of this detector")
    return found


def _numbers(
    rows: pd.DataFrame,
    part: str,
    columns: tuple[str, str, str],
    n: pd.Series,
    border: pd.Series | float = 0.0,
    wants: str = "above",
    unit: str = "",
) -> pd.DataFrame:
    """Rows of evidence; ``unit`` where it is not the claim's."""
    value, low, high = (rows[column].astype(float) for column in columns)
    seeds = rows["seeds"].fillna(0)
    says, alone = (
        side(low, high, border, wants, s) if wants != ASIDE else pd.Series(ASIDE, index=rows.index)
        for s in (seeds, None)
    )
    numbers = {"value": value, "low": low, "high": high, "border": border, "n": n, "seeds": seeds}
    numbers |= {"covers": seeds.map(intervals.covers), "alone": alone}
    who = {"part": part, "unit": unit, "generator": rows["generator"]}
    return pd.DataFrame({**who, **numbers, "says": says})


def _transfer(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    columns = ["seed", "ap", "ap_low", "ap_high", "seeds", "n_real", "n_fake"]
    rows = _some(_table(store, "transfer", detector, generators, columns), "transfer", seed="all")
    rows = rows[rows["generator"] != _TRAINED_ON]
    if rows.empty:
        raise _NotThereError("the grid has no family but the one that the detector was trained on")
    border = [chance(int(r), int(f)) for r, f in zip(rows["n_real"], rows["n_fake"], strict=True)]
    return _numbers(
        rows,
        "AP of the whole detector",
        ("ap", "ap_low", "ap_high"),
        rows["n_real"] + rows["n_fake"],
        pd.Series(border, index=rows.index),
    )


def _contrasts(
    store: Store, detector: str, generators: Sequence[str], *kinds: tuple[str, str, float, str]
) -> pd.DataFrame:
    """Rows of the contrast table: for each kind its name there, its name here, the border, the side."""
    columns = ["seed", "contrast", "delta_ap", "low", "high", "seeds", "n_real", "n_fake"]
    rows = _table(store, "contrast", detector, generators, columns)
    return pd.concat(
        _numbers(own, part, ("delta_ap", "low", "high"), own["n_real"] + own["n_fake"], border, wants)
        for kind, part, border, wants in kinds
        for own in [_some(rows, "contrast", contrast=kind, seed="all")]
    )


def _top(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    rows = _contrasts(
        store, detector, generators,
        (MATCHED, "top-k minus layer-matched", 0.0, "below"),
        ("top-k - random-k", "minus random-k", 0.0, ASIDE),
        ("top-k - baseline", "minus whole detector", 0.0, ASIDE),
    )  # fmt: skip
    return rows.assign(reason=unfair(store, detector, generators))


def _controls(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    return _contrasts(
        store, detector, generators,
        ("random-k - baseline", "random-k minus whole detector", -MARGIN, "above"),
        ("low-k - baseline", "low-k minus whole detector", -MARGIN, "above"),
    )  # fmt: skip


_METHODS = {"lrp": "LRP", "guided_gradcam": "Guided Grad-CAM"}


def _pixels(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    columns = ["label", "seed", "method", "model", "value", "low", "high", "seeds", "n"]
    table = _table(store, "pixel_attribution", detector, generators, columns)
    rows = _some(table, "pixel_attribution", model="detector - classifier", seed="all", label="all")
    control = table[(table["model"] == "classifier") & (table["seed"] == "all") & (table["label"] == "all")]
    found = []
    for method, own in rows.groupby("method", sort=False):
        name = _METHODS.get(str(method), str(method))
        clear = control[(control["method"] == method) & (control["low"].astype(float) > 1)]
        measured = int(own["value"].notna().sum())
        reason = (
            f"by {name} the classifier's own relevance favours objects, with its whole interval above their "
            f"area, on {len(clear)} of {measured} generators only, so that it hardly shows what an "
            "explanation that follows objects looks like"
        )
        numbers = _numbers(own, name, ("value", "low", "high"), own["n"], wants="below")
        found.append(numbers.assign(reason="" if 2 * len(clear) > measured else reason))
    return pd.concat(found)


def _patches(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    columns = ["seed", "group", "value", "low", "high", "seeds", "n_maps"]
    rows = _table(store, "patch_chroma", detector, generators, columns)
    rows = _some(rows, "patch_chroma", group=MATCHED, seed="all")
    return _numbers(rows, "top-k minus layer-matched", ("value", "low", "high"), rows["n_maps"])


def _gray(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    columns = ["seed", "label", "filter", "input", "drop", "low", "high", "seeds", "n"]
    rows = _table(store, "color_ablation", detector, generators, columns)
    # the paper's pictures: fakes with p >= 0.2; both inputs carry the same drop
    rows = _some(rows, "color_ablation", seed="all", label="fake", filter="p >= 0.2", input="color")
    return _numbers(rows, "median in colour minus median in gray", ("drop", "low", "high"), rows["n"])


def _maps(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    columns, numbers = ["contrast", "delta", "low", "high", "seeds", "n"], ("delta", "low", "high")
    rows = _table(store, "color_conditional_contrast", detector, generators, columns)
    more, own = (_some(rows, "color_conditional_contrast", contrast=name) for name in (MATCHED, "top-k"))
    return pd.concat(
        [
            _numbers(more, "share of the top-k minus layer-matched", numbers, more["n"]),
            _numbers(own, "the top-k's own", numbers, own["n"], 0.5, unit="share"),
        ]
    )


def _robust(store: Store, detector: str, generators: Sequence[str]) -> pd.DataFrame:
    columns = ["seed", "model", "input", "ap", "ap_low", "ap_high", "seeds", "n_real", "n_fake"]
    rows = _table(store, "color_robust", detector, generators, columns)
    parts = (("gray", "colour-robust minus universal", "above"), ("color", "the same in colour", ASIDE))
    return pd.concat(
        _numbers(own, part, ("ap", "ap_low", "ap_high"), own["n_real"] + own["n_fake"], wants=wants)
        for pictures, part, wants in parts
        for own in [_some(rows, "color_robust", model="difference", input=pictures, seed="all")]
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "C1", "transfer", "A detector trained on one generator recognises families that it has never seen",
        "AP of the whole detector on each unseen family",
        "the interval lies above the AP that a random order has on average",
        "01_universal_detectors", "share", "pictures", _transfer,
    ),
    Claim(
        "C2", "top-k", "Dropping the top-k of omega is enough to break it",
        "AP without the top-k minus AP without as many other maps of the same layers",
        "the interval lies below zero",
        "03_sensitivity", "points", "pictures", _top,
    ),
    Claim(
        "C3", "controls", "Dropping k random maps, or the k lowest, does not break it",
        "AP without them minus AP of the whole detector, for random-k and for low-k",
        f"both intervals lie above -{100 * MARGIN:.0f} points: a larger loss is excluded",
        "03_sensitivity", "points", "pictures", _controls,
    ),
    Claim(
        "C4", "pixels", "Explanations in pixels do not show what the detector looks at",
        "positive relevance on the picture's objects, as a multiple of their area: detector minus a "
        "classifier of what the picture shows, for LRP and for Guided Grad-CAM",
        "both intervals lie below zero",
        "04_pixel_attribution", "number", "pictures", _pixels,
    ),
    Claim(
        "C5", "patches", "The patches that excite the top-k most are colourful",
        "chroma of the patch as a multiple of its picture's: top-k minus other maps of the same layers",
        "the interval lies above zero",
        "05_lrp_max", "number", "feature maps", _patches,
    ),
    Claim(
        "C6", "gray", "Without colour the median fake probability of fakes falls",
        "median in colour minus median in gray, fakes with p of at least 0.2",
        "the interval lies above zero",
        "06_color_ablation", "points", "fakes times detector seeds", _gray,
    ),
    Claim(
        "C7", "maps", "Most of the top-k respond to colour, and more of them than of other maps",
        "share of colour-conditional maps: top-k minus other maps of the same layers; and the top-k's own",
        "the interval lies above zero, and that of the top-k's own share above one half",
        "07_color_conditional", "points", "fakes", _maps,
    ),
    Claim(
        "C8", "robust", "Training with random gray pictures restores the AP on gray ones",
        "AP on gray pictures: colour-robust detector minus universal one",
        "the interval lies above zero",
        "08_color_robust", "points", "pictures", _robust,
    ),
)  # fmt: skip


_NUMBERS = ["value", "low", "high", "border", "n", "seeds"]
_EVIDENCE = [
    "claim", "detector", "part", "unit", "generator", *_NUMBERS, "covers", "says", "alone", "reason",
]  # fmt: skip


def evidence(store: Store, detectors: Sequence[str], generators: Sequence[str]) -> pd.DataFrame:
    """The evidence on which every claim is judged: one row per claim, detector, part and generator.

    Columns claim, detector, part, unit (where it is not the claim's), generator, value, low, high, border, n,
    seeds, covers ("seeds and pictures" or "pictures only"), says, alone, reason. A claim of two parts has two
    rows per generator; the first part is the one that a verdict quotes. ``says`` is "for", "against", "open",
    "aside" for numbers reported but not judged, or "missing" where the tables have no interval; the interval
    of a single training seed leaves it "open", and ``alone`` is what it says about these pictures.
    ``reason`` names what is missing, or else the caution with which to read a number. C1 has no row for
    the generator that the detectors were trained on.

    Reads only the tables below ``store``; a missing table, column or row is no error.
    """
    order = {g: i for i, g in enumerate(generators)}
    frames = []
    for claim in CLAIMS:
        for detector in detectors:
            try:
                rows, reason = claim.read(store, detector, generators), "it has no row in the table"
                remark = rows.get("reason", "")
                rows["reason"] = np.where(rows["says"] == MISSING, "its interval has no ends", remark)
            except _NotThereError as error:
                rows, reason = pd.DataFrame({"generator": []}), str(error)
            asked = generators if claim.key != "C1" else [g for g in generators if g != _TRAINED_ON]
            # a claim that no generator can test still gets rows saying why
            parts = rows.loc[rows["says"] != ASIDE, "part"].unique() if len(rows) else [""]
            there = set(zip(rows["part"], rows["generator"], strict=True)) if len(rows) else set()
            absent = [(p, g) for p in parts for g in asked or generators if (p, g) not in there]
            gaps = pd.DataFrame(absent, columns=["part", "generator"])
            gaps = gaps.assign(says=MISSING, reason=reason, unit="")
            rows = pd.concat([some for some in (rows, gaps) if len(some)], ignore_index=True)
            rows = rows.reindex(columns=_EVIDENCE).assign(claim=claim.key, detector=detector)
            frames.append(rows.sort_values("generator", key=lambda c: c.map(order), kind="stable"))
    return pd.concat([frame.astype(dict.fromkeys(_NUMBERS, float)) for frame in frames], ignore_index=True)


def by_generator(evidence: pd.DataFrame) -> pd.DataFrame:
    """One row per claim, detector and generator: what its parts say together.

    "for" if all are; else "against" if any is, else "missing" if any is, else "open". Columns claim,
    detector, generator, says.
    """
    keys = ["claim", "detector", "generator"]
    evidence = evidence[evidence["says"] != ASIDE]
    return evidence.groupby(keys, sort=False)["says"].agg(_together).reset_index()


def _together(said: pd.Series) -> str:
    return next((word for word in (AGAINST, MISSING, OPEN) if word in set(said)), FOR)


def unfair(store: Store, detector: str, generators: Sequence[str]) -> str:
    """Why dropping the top-k is hard to compare with dropping other maps, in words; empty if it is not.

    Two reasons, seen in the sensitivity table: the layer-matched control drops fewer maps, because the top-k
    leave too few of a layer; the top-k hold a whole layer that everything must pass, so that without them the
    detector gives every picture the same logit, and every generator the same AP.
    """
    try:
        columns = ["condition", "seed", "k", "ap"]
        rows = _table(store, "sensitivity", detector, generators, columns)
    except _NotThereError:
        return ""
    top, matched = (rows[rows["condition"] == name] for name in ("top-k", "matched-k"))
    if top.empty or matched.empty:
        return ""
    k, least, most = int(top["k"].max()), int(matched["k"].min()), int(matched["k"].max())
    told = []
    if least < k:
        number = f"{least}" if least == most else f"{least} to {most}"
        told.append(
            f"the layer-matched control drops {number} maps and not {k}, because the top-k take more than "
            "half of some layers, which favours the claim"
        )
    per_seed = top.groupby("seed")["ap"]
    same = int(((per_seed.max() - per_seed.min() < 1e-9) & (per_seed.nunique() == 1)).sum())
    if same and len(set(rows["generator"])) > 1:
        told.append(
            f"in {same} of {len(per_seed)} detector seeds the AP without the top-k is the same on every "
            "generator to the last digit: the network is cut through and no longer sees the picture at all"
        )
    return "; ".join(told)


def judge(evidence: pd.DataFrame) -> pd.DataFrame:
    """The verdicts: one row per claim and detector.

    Columns: claim, detector, verdict (by `word`, or "not testable here" where no generator has an interval);
    generators_for, generators_against, generators_open (names, separated by blanks); value, low, high (of the
    claim's first part: mean over generators of the number and of both ends, as wide as with fully correlated
    errors); n (the smallest behind any interval); covers ("pictures only" where an interval is of one
    training seed); rule; why, in words.
    """
    known = {claim.key: claim for claim in CLAIMS}
    states = by_generator(evidence)
    rows = []
    for (key, detector), own in evidence.groupby(["claim", "detector"], sort=False):
        claim = known[str(key)]
        said = states[(states["claim"] == key) & (states["detector"] == detector)]
        names = {w: said.loc[said["says"] == w, "generator"].tolist() for w in (FOR, AGAINST, OPEN, MISSING)}
        measured = sum(len(names[w]) for w in (FOR, AGAINST, OPEN))
        row: dict[str, object] = {"claim": key, "detector": detector}
        if not measured:
            reasons = "; ".join(dict.fromkeys(own.loc[own["says"] == MISSING, "reason"]))
            row |= {"verdict": UNTESTED, "rule": claim.rule, "why": f"Not measured: {reasons}.", "covers": ""}
        else:
            parts = _parts(own)
            verdict = word(len(names[FOR]), against=len(names[AGAINST]), open_=len(names[OPEN]))
            row |= {"verdict": verdict, "rule": f"{claim.rule}; {rule(measured).replace('*', '')}"}
            row |= {name: parts[0][name] for name in ("value", "low", "high", "n", "covers")}
            told = [_why(claim, names, measured, parts), _maybe_luck(verdict, names, measured)]
            told += [_alone(own, measured), _blind(claim, str(detector), names, states)]
            cautions = dict.fromkeys(own.loc[(own["says"] != MISSING) & (own["reason"] != ""), "reason"])
            row["why"] = "".join([*told, *(f" {CAUTION} {text}." for text in cautions)])
        row |= {f"generators_{w}": " ".join(names[w]) if measured else "" for w in (FOR, AGAINST, OPEN)}
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    "claim", "detector", "verdict", "generators_for", "generators_against", "generators_open", "value", "low",
    "high", "n", "covers", "rule", "why",
]  # fmt: skip


def load(store: Store) -> pd.DataFrame | None:
    """The table of verdicts as it lies on disk, or None where it has not been made."""
    path = store.table("verdicts")
    if not path.is_file():
        return None
    names = [column for column in _COLUMNS if column.startswith("generators_")]
    names.append("covers")
    return pd.read_csv(path, dtype=dict.fromkeys(names, str)).fillna(dict.fromkeys(names, ""))


def carried(store: Store) -> pd.DataFrame | None:
    """The table of what carries over to other generators, luma or chroma; None where it has not been made."""
    path = store.table("planes")
    return pd.read_csv(path) if path.is_file() else None


def patch_classifiers(store: Store) -> pd.DataFrame | None:
    """The table that compares patch classifiers with whole networks; None where it has not been made."""
    path = store.table("patch_classifiers")
    return pd.read_csv(path) if path.is_file() else None


def source_transfer(store: Store) -> pd.DataFrame | None:
    """The table of networks that name sources, with and without transfer; None where it has not been made."""
    path = store.table("source_transfer")
    return pd.read_csv(path) if path.is_file() else None


def _parts(own: pd.DataFrame) -> list[dict[str, float | str]]:
    there = own[own["says"] != MISSING]
    return [
        {"part": str(part), "unit": str(rows["unit"].iloc[0])}
        | {name: float(rows[name].mean()) for name in ("value", "low", "high")}
        | {"n": int(rows["n"].min()), "covers": intervals.covers(int(rows["seeds"].min()))}
        for part, rows in there.groupby("part", sort=False)
    ]


def _why(
    claim: Claim, names: dict[str, list[str]], measured: int, parts: list[dict[str, float | str]]
) -> str:
    told = [f"For the claim: {len(names[FOR])} of {measured} generators{named(names[FOR])}"]
    told += [
        f"{words}: {len(names[w])}{named(names[w])}"
        for w, words in ((OPEN, "open"), (AGAINST, "against it"), (MISSING, "not measured"))
        if names[w]
    ]
    numbers = [
        f"{p['part']} {claim.text(float(p['value']), float(p['low']), float(p['high']), str(p['unit']))}"
        for p in parts
    ]
    return f"{'; '.join(told)}. Mean: {'; '.join(numbers)}."


def _alone(own: pd.DataFrame, measured: int) -> str:
    """A note that intervals of one training seed cover pictures only, and what they say about these."""
    judging = own[~own["says"].isin([ASIDE, MISSING])]
    single = judging[judging["seeds"] < 2]
    if single.empty:
        return ""
    say = judging.groupby("generator")["alone"].agg(_together)
    here = set(single["generator"])
    speak = int((say[say.index.isin(here)] == FOR).sum())
    return (
        f" One training seed: on {len(here)} of {measured} generators the interval covers pictures only, "
        "which leaves open what another training would give. On these pictures "
        f"{speak} of them speak for the claim."
    )


def _maybe_luck(verdict: str, names: dict[str, list[str]], measured: int) -> str:
    """A note that generators speak for a claim, or against it, but no more than chance would give."""
    side = {UNDECIDED: FOR, CONTRADICTED: AGAINST}.get(verdict)
    if side is None or not 0 < len(names[side]) < needed(measured):
        return ""
    which = f"{side} it" if side == AGAINST else "for a claim"
    return (
        f" {len(names[side])} of {measured} may be luck: so many or more speak {which} with probability "
        f"{luck(len(names[side]), measured):.2f} where there is nothing; it takes {needed(measured)} to be "
        f"rarer than {LUCK:g}."
    )


def _blind(claim: Claim, detector: str, names: dict[str, list[str]], states: pd.DataFrame) -> str:
    """The number of generators with nothing to break: those on which C1 does not speak for transfer."""
    if claim.key not in ("C2", "C3"):
        return ""
    first = states[(states["claim"] == "C1") & (states["detector"] == detector)]
    blind = tuple(first.loc[first["says"].isin([OPEN, AGAINST]), "generator"])
    if not blind:
        return ""
    seen = [g for w in (FOR, AGAINST, OPEN) for g in names[w] if g not in blind]
    those = sum(g in names[FOR] for g in seen)
    return (
        f" On {len(blind)} the whole detector is not surely better than chance{named(blind)}, so there was "
        f"little to break. For the claim among the others: {those} of {len(seen)}."
    )


def reported(claim: str, arch: str) -> str:
    """What the paper reports for a claim and a network, from its tables where it has numbers."""
    if arch not in published.K:
        return "the paper has no such network"
    table = published.sensitivity(arch).set_index(["condition", "generator"])["ap"]

    def of(condition: str) -> str:
        return _span(table[condition])

    if claim == "C1":
        return f"AP {_span(table['baseline'].drop(_TRAINED_ON))}"
    if claim == "C2":
        return f"AP {of('baseline')} falls to {of('top-k')}; no layer-matched control"
    if claim == "C3":
        return f"AP {of('random-k')} (random, five networks averaged), {of('low-k')} (low)"
    if claim == "C7":
        shares = published.color_conditional().query("detector == @arch")["share"]
        return f"share {_span(shares)}; no control" if len(shares) else "no table"
    if claim == "C8":
        rows = published.color_robust().query("architecture == @arch and input == 'grayscale'")
        left = " (StyleGAN2 left out: its column repeats StyleGAN's)" if rows["doubtful"].any() else ""
        ap = rows[~rows["doubtful"]].set_index("detector")["ap"]
        return f"AP {_span(ap['baseline'])} becomes {_span(ap['color-robust'])}{left}"
    return {"C4": "by eye, no number", "C5": "by eye, no number", "C6": "box plots, no table"}[claim]


def _span(shares: pd.Series) -> str:
    low, high = (f"{100 * value:.1f}" for value in (shares.min(), shares.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """A share in [0, 1] as a percentage, with its interval where one is given: ``97.1 % [95.0, 98.6]``."""
    text = f"{100 * value:.1f} %"
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def points(value: float, low: float | None = None, high: float | None = None) -> str:
    """A difference in [-1, 1] as signed points, with its interval where one is given."""
    text = f"{_signed(100 * value)} points"
    return text if low is None or high is None else f"{text} [{_signed(100 * low)}, {_signed(100 * high)}]"


def _signed(value: float, digits: int = 1) -> str:
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]  # zero has no sign


def named(generators: Sequence[str]) -> str:
    """Generators as the paper writes them, in brackets after a blank: ``" (ProGAN, GauGAN)"``; "" of none."""
    return f" ({', '.join(map(generator_name, generators))})" if len(generators) else ""
