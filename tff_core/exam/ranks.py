"""Several methods on the same pictures: mean ranks, whether they differ at all, and which differ.

Source: Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006): Friedman's
test, and Nemenyi's critical difference of mean ranks, from the studentized range, which SciPy has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tff_core import metrics

Floats = NDArray[np.float64]


class Friedman(NamedTuple):
    """Friedman's test of B blocks and k methods: its statistic, and how probable it is if all are alike."""

    statistic: float
    p: float
    blocks: int
    methods: int


def ranks(values: ArrayLike, higher_is_better: bool = True) -> Floats:
    """Ranks (B, k), 1 for the best of each row, of ``values`` (B, k); equal ones share the mean of theirs.

    What is missing (NaN) comes last. Raises ValueError unless there are two or more columns and a row.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not len(table):
        raise ValueError(f"values of shape {table.shape}: expected (blocks, methods), two or more methods")
    turned = -table if higher_is_better else table
    found: Floats = stats.rankdata(np.where(np.isnan(turned), np.inf, turned), axis=1)
    return found


def friedman(ranked: ArrayLike) -> Friedman:
    """Friedman's test of ranks (B, k), as from `ranks`.

    Where all methods tie in every block there is nothing to tell them apart: statistic 0, p 1.
    Raises ValueError for fewer than three methods or two blocks, of which the test says nothing.
    """
    table = np.asarray(ranked, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 3 or len(table) < 2:
        raise ValueError(
            f"ranks of shape {table.shape}: expected (blocks, methods), two or more blocks and three or more "
            "methods"
        )
    if (table == table[:, :1]).all():
        return Friedman(0.0, 1.0, *table.shape)
    statistic, p = stats.friedmanchisquare(*table.T)
    return Friedman(float(statistic), float(p), *table.shape)


def critical_difference(methods: int, blocks: int, level: float = metrics.LEVEL) -> float:
    """How far mean ranks over ``blocks`` must be apart for two of ``methods`` to differ (Nemenyi).

    With the quantile q of the studentized range of k groups: (q / sqrt 2) sqrt(k (k + 1) / (6 B)).
    """
    if methods < 2 or blocks < 1:
        raise ValueError(f"{methods} methods in {blocks} blocks: expected two or more methods and a block")
    q = float(stats.studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * blocks)))
