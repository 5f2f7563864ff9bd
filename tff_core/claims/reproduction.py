"""Measured against published: how close a build comes to the paper's own numbers.

Only a detector that claims to be one of the paper's is compared, and only on what both have: AP and
accuracies under feature-map dropout, AP of the universal and of the colour-robust detector in colour and in
gray, share of colour-conditional maps among the top-k. Nothing is tuned towards these numbers; they are
looked at last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tff_core import published
from tff_core.claims import verdicts
from tff_core.figures import CONDITIONS, generator_name
from tff_core.store.results import Store

MARGIN = 0.005
"""Numbers that differ by no more than this count as equal: half a point."""
AP, REAL, FAKE = "AP under dropout", "real accuracy", "fake accuracy"
ROBUST, SHARE = "AP in colour and gray", "share of colour-conditional maps"
QUANTITIES = (AP, REAL, FAKE, ROBUST, SHARE)
COLUMNS = (
    "quantity", "detector", "generator", "condition", "measured", "published", "difference", "within",
    "doubtful",
)  # fmt: skip
_FIXED = "progan"  # here the paper's threshold is one half, elsewhere it is calibrated on the test set
_ROUNDING = 1e-9


def compare(store: Store, claimed: Mapping[str, str], generators: Sequence[str]) -> pd.DataFrame:
    """Every number that the paper reports for these detectors, with the measured one.

    Parameters
    ----------
    store: where the result tables are; a missing one counts as not measured.
    claimed: for each detector by name, which of the paper's it claims to be (`detectors.Spec.published`):
        "resnet50", "efb0", "cr-resnet50" or "cr-efb0"; "" for none, which is left out. Colour-robust twins
        are compared if they are listed here too.
    generators: those of the build; the paper's others are left out.

    Returns
    -------
    Columns quantity (one of `QUANTITIES`), detector, generator, condition, measured and published (shares in
    [0, 1]), difference (measured minus published), within (it is at most `MARGIN`), doubtful (a number that
    the paper itself contradicts, see `published.color_robust`). What was not measured is NaN and not within.

    Accuracies are read at the paper's own threshold, calibrated on the test pictures; those of ProGAN are
    left out, because there the paper takes a probability of one half. The paper's random-k is one ensemble
    of five networks, `random-k-ensemble` here. Means over detector seeds. A number at a k other than the
    paper's counts as not measured.

    Raises ValueError where a claim is none of the paper's detectors.
    """
    known = {*published.K, *(f"cr-{arch}" for arch in published.K)}
    frames = [pd.DataFrame(columns=list(COLUMNS))]
    for name, which in claimed.items():
        if which and which not in known:
            raise ValueError(
                f"{name} claims to be the paper's {which!r}: expected one of {', '.join(sorted(known))}, or "
                "nothing; correct `published` in the workflow's configuration"
            )
        if which in published.K:
            frames += [
                _sensitivity(store, name, which),
                _robust(store, name, which, "universal", "baseline"),
                _shares(store, name, which, "color_conditional", {"group": "top-k"}, "share_mood"),
            ]
        elif which:
            frames += [_twin(store, name, which, claimed)]
    table = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    table = table[table["generator"].isin(list(generators))]
    difference = table["measured"].astype(float) - table["published"].astype(float)
    table = table.assign(
        difference=difference,
        within=(difference.abs() <= MARGIN + _ROUNDING).astype(bool),
        doubtful=table["doubtful"].fillna(False).astype(bool),
    )
    return table.reindex(columns=list(COLUMNS)).reset_index(drop=True)


def _rows(store: Store, table: str, **values: str) -> pd.DataFrame:
    """The rows of a result table in which columns have these values; none if there is no table."""
    path = store.table(table)
    rows = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(values))
    for column, value in values.items():
        rows = rows[rows[column].astype(str) == value] if column in rows else rows.iloc[:0]
    return rows


def _beside(paper: pd.DataFrame, measured: pd.DataFrame, quantity: str, detector: str) -> pd.DataFrame:
    """The paper's numbers (generator, condition, published) beside those measured (the same keys)."""
    keys = ["generator", "condition"]
    own = measured.reindex(columns=[*keys, "measured"])
    means = own.groupby(keys)["measured"].mean().reset_index() if len(own) else own
    table = paper.merge(means, on=keys, how="left")
    return table.assign(quantity=quantity, detector=detector)


def _sensitivity(store: Store, name: str, arch: str) -> pd.DataFrame:
    paper = verdicts.paper(arch)
    assert paper is not None  # whether the paper has this network was checked before
    rows = _rows(store, "sensitivity", detector=name, threshold_source="test")
    if len(rows):
        rows = rows[(rows["condition"] == "baseline") | (rows["k"] == published.K[arch])]
        keys = ["generator", "condition", "seed"]
        rows = rows.groupby(keys, as_index=False)[["ap", "acc_real", "acc_fake"]].mean()
    frames = []
    for quantity, column in ((AP, "ap"), (REAL, "acc_real"), (FAKE, "acc_fake")):
        own = paper.rename(columns={column: "published"})[["generator", "condition", "published"]]
        if quantity != AP:
            own = own[own["generator"] != _FIXED]
        frames.append(_beside(own, rows.rename(columns={column: "measured"}), quantity, name))
    return pd.concat(frames, ignore_index=True)


def _robust(store: Store, name: str, arch: str, model: str, theirs: str, twin: str = "") -> pd.DataFrame:
    """AP in colour and in gray; a ``twin`` has its rows with those of its universal detector ``name``."""
    paper = published.color_robust()
    paper = paper[(paper["architecture"] == arch) & (paper["detector"] == theirs)]
    paper = paper.assign(condition=paper["input"].map({"rgb": "in colour", "grayscale": "in gray"}))
    paper = paper.rename(columns={"ap": "published"})[["generator", "condition", "published", "doubtful"]]
    rows = _rows(
        store, "color_robust", detector=name, model=model, seed="all", **({"twin": twin} if twin else {})
    )
    rows = rows.assign(
        condition=rows["input"].map({"color": "in colour", "gray": "in gray"}) if len(rows) else ""
    )
    return _beside(paper, rows.rename(columns={"ap": "measured"}), ROBUST, twin or name)


def _shares(
    store: Store, name: str, which: str, table: str, values: Mapping[str, str], column: str, twin: str = ""
) -> pd.DataFrame:
    paper = published.color_conditional()
    paper = paper[paper["detector"] == which].rename(columns={"share": "published"})
    if paper.empty:
        return paper
    rows = _rows(store, table, detector=name, **values)
    if len(rows):
        rows = rows[rows["k"] == published.K[which.removeprefix("cr-")]]
    paper = paper.assign(condition="top-k")[["generator", "condition", "published"]]
    rows = rows.assign(condition="top-k").rename(columns={column: "measured"})
    return _beside(paper, rows, SHARE, twin or name)


def _twin(store: Store, name: str, which: str, claimed: Mapping[str, str]) -> pd.DataFrame:
    """Numbers of a colour-robust detector, from the rows of the detector that it is the twin of."""
    arch = which.removeprefix("cr-")
    of = next((other for other, claim in claimed.items() if claim == arch), "")
    group = {"model": "color-robust", "group": "top-k", "twin": name}
    return pd.concat(
        [
            _robust(store, of, arch, "color-robust", "color-robust", twin=name),
            _shares(store, of, which, "color_robust_share", group, "whole", twin=name),
        ],
        ignore_index=True,
    )


def twins(store: Store, detectors: Sequence[str]) -> list[str]:
    """Names of the colour-robust twins with which the result tables compare these detectors."""
    rows = _rows(store, "color_robust")
    rows = rows[rows["detector"].isin(list(detectors))] if "detector" in rows else rows
    return list(dict.fromkeys(rows["twin"].dropna())) if "twin" in rows else []


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """How many numbers agree, by detector and quantity, of `compare`.

    Columns detector, quantity, within, of (measured and not doubtful), doubtful, missing (in the paper, not
    measured), typical (median absolute difference) and largest (the difference farthest from zero); the last
    two NaN where nothing was measured.
    """
    rows = []
    for (detector, quantity), own in table.groupby(["detector", "quantity"], sort=False):
        judged = own[own["measured"].notna() & ~own["doubtful"]]
        far = judged["difference"].abs()
        rows.append(
            {
                "detector": detector,
                "quantity": quantity,
                "within": int(judged["within"].sum()),
                "of": len(judged),
                "doubtful": int(own["doubtful"].sum()),
                "missing": int((own["measured"].isna() & ~own["doubtful"]).sum()),
                "typical": float(far.median()) if len(far) else np.nan,
                "largest": float(judged["difference"].iloc[far.argmax()]) if len(far) else np.nan,
            }
        )
    names = ["detector", "quantity", "within", "of", "doubtful", "missing", "typical", "largest"]
    return pd.DataFrame(rows, columns=names)


def largest(table: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The ``n`` numbers outside the margin that differ most, the largest difference first."""
    judged = table[table["measured"].notna() & ~table["doubtful"] & ~table["within"]]
    order = judged["difference"].abs().sort_values(ascending=False, kind="stable").index
    return judged.loc[order].head(n)


def sentence(table: pd.DataFrame) -> str:
    """What the comparison says, in words: how many numbers agree, and by how much the others do not."""
    judged = table[table["measured"].notna() & ~table["doubtful"]]
    if judged.empty:
        return "No number that the paper has of these detectors was measured in this build."
    same = int(judged["within"].sum())
    text = (
        f"Of {len(judged)} numbers that the paper has of these detectors and that were measured here, "
        f"{same} lie within {100 * MARGIN:g} points of the published one."
    )
    first = largest(table, 1)
    if len(first):
        row = first.iloc[0]
        condition, *_ = CONDITIONS.get(row["condition"], [row["condition"]])
        others = judged.loc[~judged["within"], "difference"].abs()
        text += (
            f" The other {len(judged) - same} differ by {100 * others.median():.1f} points as a median; the "
            f"largest difference is {verdicts.points(row['difference'])} ({row['quantity']}, "
            f"{condition}, {generator_name(row['generator'])}, {row['detector']})."
        )
    missing = int((table["measured"].isna() & ~table["doubtful"]).sum())
    if missing:
        text += f" {missing} more were not measured."
    return text
