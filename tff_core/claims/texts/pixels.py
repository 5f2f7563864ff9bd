"""What the chapter on explanations in pixels says about its heatmaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.texts.sides import Sides
from tff_core.figures.pixels import METHODS

CONTRAST = "detector - classifier"
_SEED, _BLANK = "another training seed", "untrained network"


def control(name: str, validation: Mapping[str, Any] | None, classes: int, absent: str) -> str:
    """Which classifier the detector is compared with.

    ``validation``: the validation result of a scene classifier, None for ImageNet's; ``classes`` its number
    of classes; ``absent`` why there is none, else empty.
    """
    if absent:
        return (
            "**There is no classifier here**, so the detector stands beside the untrained network alone, and "
            f"the claim of this chapter cannot be tested: {absent}."
        )
    if validation is None:
        return "The control is the network with ImageNet's weights, from this machine."
    accuracy = verdicts.percent(*(validation[f"accuracy{end}"] for end in ("", "_low", "_high")))
    return (
        f"The classifier `{name}` names the class of {accuracy} of {validation['n']} validation pictures "
        f"correctly (95 % interval); guessing would name {verdicts.percent(1 / classes)}."
    )


def _pooled(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["label"] == "all") & (table["seed"] == "all") & table["low"].notna()]


def means(table: pd.DataFrame, seeds: int, absent: bool) -> str:
    """The mean of q by method and network, over which pictures, and what was left out.

    ``table``: generator, label, method, model, seed, value, low, high, n, empty, see `heatmaps.focus`.
    """
    told = []
    generators = list(dict.fromkeys(table["generator"]))
    measured = set(table.loc[table["n"] > 0, "generator"])
    if unknown := [g for g in generators if g not in measured]:
        told.append(
            f"**No number** for {base.names(unknown)}: the segmentation of these pictures is not known."
        )
    pooled = _pooled(table)
    if len(pooled):
        mean = pooled[pooled["model"] != CONTRAST].groupby(["method", "model"])["value"].mean()
        listed = "; ".join(
            f"{METHODS.get(str(method), 'no network')}: "
            + ", ".join(f"{model} {value:.2f}" for model, value in own.droplevel("method").items())
            for method, own in mean.groupby("method", sort=False)
        )
        compared = CONTRAST if CONTRAST in set(pooled["model"]) else "detector"
        fakes = set(table.loc[table["label"] == "fake", "generator"])
        with_fakes = [g for g in generators if g in fakes]
        single = table[(table["label"] == "all") & (table["seed"] != "all")]
        empty = single.groupby("model")["empty"].sum()
        told.append(
            f"Mean of q over the generators: {listed}. "
            f"{base.span(pooled.loc[pooled['model'] == compared, 'n'])} pictures per generator, "
            f"{base.seeds(seeds)}. Fakes are among them for: {base.names(with_fakes)}; for the others only "
            "the reals of the folder. Empty heatmaps (nothing positive), which count nowhere: "
            f"{int(empty['detector'])} of the {'detector' if seeds == 1 else 'detectors'}"
            + ("." if absent else f", {int(empty['classifier'])} of the classifier.")
        )
    return "\n\n".join(told)


def verdict(table: pd.DataFrame, absent: bool) -> str:
    """Whether the detector's explanations follow objects less than a classifier's; ``table`` as for `means`.

    A generator counts where both methods have an interval; it speaks for the claim if both lie below zero,
    against it if one lies above.
    """
    title = "Verdict: the detector's explanations follow objects less than a classifier's"
    pooled = _pooled(table)
    rows = pooled[pooled["model"] == CONTRAST]
    says = rows.assign(says=verdicts.side(rows["low"], rows["high"], wants="below", seeds=rows.get("seeds")))
    says = says.pivot(index="generator", columns="method", values="says")
    order = [g for g in dict.fromkeys(table["generator"]) if g in says.index]
    says = says.reindex(index=order, columns=list(METHODS)).dropna()
    if says.empty:
        why = "there is no classifier to compare with."
        if not absent:
            why = "too few pictures have a segmentation and a heatmap."
        return base.admonition(title, f"The claim is **{verdicts.UNTESTED}**: {why}")
    speak = [g for g in says.index if (says.loc[g] == verdicts.FOR).all()]
    against = [g for g in says.index if (says.loc[g] == verdicts.AGAINST).any()]
    rest = [g for g in says.index if g not in speak + against]
    listed = [f"{len(some)}{verdicts.named(some)}" for some in (speak, against, rest)]
    sides = {
        side: ", ".join(f"{words} on {(says[m] == side).sum()}" for m, words in METHODS.items())
        for side in (verdicts.FOR, verdicts.AGAINST)
    }
    control = pooled[pooled["model"] == "classifier"]
    follows = control[control["low"] > 1].groupby("method").size()
    word = Sides(tuple(speak), tuple(against), tuple(rest)).claim
    text = (
        f"The claim {word} here. Of {base.counted(len(says), 'generator')} {listed[0]} speak for it, "
        f"{listed[1]} against it, {listed[2]} leave it open. The interval lies above zero for "
        f"{sides[verdicts.AGAINST]}; below zero for {sides[verdicts.FOR]}.\n\n"
        "**The premise.** The classifier's own explanations follow objects (whole interval of q above 1) for "
        + ", ".join(f"{words} on {follows.get(m, 0)}" for m, words in METHODS.items())
        + ". Where they do not, the claim is measured against little."
    )
    return base.admonition(title, text)


def scenes(table: pd.DataFrame, models: Sequence[str]) -> str:
    """q by class of scene. ``table``: kind, method, model, value, low, high, area, n; ``models`` in order."""
    if table.empty:
        return "No picture has a segmentation."
    rows = []
    for (kind, method), own in table.groupby(["kind", "method"], sort=False):
        by_model = {row["model"]: row for row in own.to_dict("records")}
        cells = [
            "too few" if pd.isna(r["low"]) else base.interval(r["value"], r["low"], r["high"])
            for r in (by_model[model] for model in models)
        ]
        area, n = own["area"].iloc[0], int(own["n"].iloc[0])
        rows.append([kind, verdicts.percent(area), METHODS[str(method)], *cells, n])
    return base.table(["scenes", "area of objects", "method", *models, "n"], rows)


def likeness(table: pd.DataFrame, seed: int) -> str:
    """How similar heatmaps are, and which method passes the sanity check.

    ``table``: method, other, value, low, high, n over all generators. A method passes if the whole interval
    of the likeness to another training seed lies above that of the likeness to the untrained network; with
    one seed there is no such check.
    """
    found = {(row["method"], row["other"]): row for row in table.to_dict("records") if row["n"]}
    rows = [
        [words, *(base.interval(r["value"], r["low"], r["high"]) if r else "" for r in cells)]
        for words in dict.fromkeys(table["other"])
        for cells in [[found.get((method, words)) for method in METHODS]]
    ]
    passed = []
    for method, called in METHODS.items():
        own, blank = found.get((method, _SEED)), found.get((method, _BLANK))
        if own and blank:
            passed.append(f"{called} {'passes' if own['low'] > blank['high'] else 'does not pass'}")
    check = f" **Sanity check: {'; '.join(passed)}.**" if passed else ""
    compared = base.span([row["n"] for row in found.values()]) if found else "0"
    heads = ["the detector's heatmap, compared with that of", *METHODS.values()]
    return (
        f"{base.table(heads, rows)}\n\nDetector seed {seed}; mean rank correlation with 95 % intervals over "
        f"pictures, {compared} comparisons each; pictures with an empty heatmap are left out.{check}"
    )
