"""How often are the tests of colour right? What they say of detectors, against what is known of these.

The rule by which a number says "colour" is that of the paper's claims (`tff_core.claims.verdicts`), read on
the pictures of one detector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from tff_core.claims import verdicts
from tff_core.exam.place import FAILED, IN_PART, PASSED


def says(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `color_truth.ask` with what each says of colour, in a column ``says``.

    "for" where the whole interval lies above its border, "against" below, else "open", or "missing".
    """
    return table.assign(says=verdicts.side(table["low"], table["high"], table["border"]))


def said(table: pd.DataFrame) -> pd.DataFrame:
    """Whether each test says "colour" of each detector: rows ``case, seed, color, test, said``.

    ``table``: rows of `says` with ``case``, ``seed`` and ``color`` (whether the detector's trace is in
    chroma). A test of two parts says it where both do, as for the claim.
    """
    keys = ["case", "seed", "color", "test"]
    together = table.groupby(keys, sort=False)["says"].agg(lambda parts: bool((parts == verdicts.FOR).all()))
    return together.rename("said").reset_index()


def confusion(table: pd.DataFrame) -> pd.DataFrame:
    """How often each test is right: a row for each test.

    ``table`` as for `said`. Columns ``test, hits, n_chroma, alarms, n_luma, right, low, high, verdict``: of
    ``n_chroma`` detectors with a trace in chroma it says "colour" of ``hits``, of ``n_luma`` others of
    ``alarms``. ``right`` is the mean of the two shares about which it is right, so that a test that always
    says the same has one half, with its 95 % interval; missing where detectors of one kind are missing.
    ``verdict`` as in `verdict`.

    Source of the interval: Wilson's for each share, joined as in Zou and Donner, Statistics in Medicine 27
    (2008) 1693-1702.
    """
    rows = []
    for test, own in said(table).groupby("test", sort=False):
        chroma, luma = own[own["color"]], own[~own["color"]]
        hits, alarms = int(chroma["said"].sum()), int(luma["said"].sum())
        row: dict[str, Any] = {"test": test, "hits": hits, "n_chroma": len(chroma), "alarms": alarms}
        row |= {"n_luma": len(luma)} | _balanced((hits, len(chroma)), (len(luma) - alarms, len(luma)))
        rows.append(row | {"verdict": verdict(row["right"], row["low"])})
    names = ["test", "hits", "n_chroma", "alarms", "n_luma", "right", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=names)


def _balanced(*counts: tuple[int, int]) -> dict[str, float]:
    if not all(n for _, n in counts):
        return dict.fromkeys(("right", "low", "high"), float("nan"))
    ends = [binomtest(k, n).proportion_ci(method="wilson") for k, n in counts]
    shares = [k / n for k, n in counts]
    down, up = (
        np.sqrt(sum((p - end) ** 2 for p, end in zip(shares, some, strict=True))) / len(counts)
        for some in ([e.low for e in ends], [e.high for e in ends])
    )
    right = sum(shares) / len(counts)
    return {"right": right, "low": float(right - down), "high": float(right + up)}


def verdict(right: float, low: float) -> str:
    """What a test has shown: "passed", "in part" or "failed"; "" where it could not be examined.

    Passed: the whole interval of how often it is right lies above one half, which a test has that always says
    the same. In part: more than one half, but the interval contains it. Failed: one half or less.
    """
    if np.isnan(right):
        return ""
    return PASSED if low > 0.5 else IN_PART if right > 0.5 else FAILED
