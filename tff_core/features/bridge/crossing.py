"""What a task loses without the feature maps that another task relies on.

The maps lie where the tasks are still one network, so a dropped map is gone for all of them. What it costs is
compared with dropping as many other maps of the same layers. Source: paper, section 5 (sensitivity
assessments, of one task); across tasks it is an addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tff_core import lrp, metrics
from tff_core.features import dropout, sensitivity
from tff_core.features.bridge.heads import Floats, Head, check_k, layer_sizes
from tff_core.pictures import data
from tff_core.store import memory


@torch.no_grad()
def scores(
    nets: Mapping[str, lrp.Net],
    heads: Mapping[str, Head],
    batches: data.Pictures,
    labels: Mapping[str, ArrayLike],
    k: int,
    draws: int = 20,
    *,
    seed: int = 0,
    rows: int = 64,
) -> pd.DataFrame:
    """Every task's logit of every picture, whole and without the first k maps of every task's ranking.

    Args:
        nets: the tasks' networks, by name.
        heads: what they look at, from `look`; a ranking for each name, of the same shared layers. There may
            be more rankings than networks, such as those of `untrained` tasks.
        batches: pictures of all kinds, as the networks take them, (N, C, H, W) or batches of them.
        labels: for each task (N,), 1 for the pictures that it should say yes to and 0 for the others.
        k: how many maps are dropped, at most `depth`.
        draws: controls for each ranking: as many other maps of the same layers (`Omega.matched`). A layer of
            which more than half is in the first k has too few others; `breakage` says how many there were.
        seed: the training seed of these networks, a column of the table.
        rows: pictures in a batch of branches, as in `dropout.sweep`.

    Returns:
        Columns measured (the task whose logit it is), ranked (the task whose maps are dropped), seed,
        condition ("baseline", "top-k", "low-k", "matched-k"), draw, k (maps dropped), image (its number),
        label, logit.

    Raises ValueError where names, layers, labels or pictures do not fit.
    """
    sizes = layer_sizes(heads)
    missing = [name for name in nets if name not in heads or name not in labels]
    if missing or not nets:
        raise ValueError(
            f"networks of {', '.join(nets)}, rankings of {', '.join(heads)}, labels of {', '.join(labels)}: "
            "expected a ranking and labels for every network"
        )
    check_k(heads, k)
    cases = [
        (name, case)
        for name, head in heads.items()
        for case in sensitivity.conditions(head.omega, k, n_random=0, n_matched=draws)
    ]
    for name, net in nets.items():
        wrong = [layer for layer, channels in sizes.items() if net.layers.get(layer) != channels]
        if wrong:
            raise ValueError(f"the network of {name} has no layer {wrong[0]!r} of {sizes[wrong[0]]} maps")
    # many cases drop the same maps: the whole network for every ranking, and controls in narrow layers
    sets = list(dict.fromkeys(frozenset(case.maps) for _, case in cases))
    place = [sets.index(frozenset(case.maps)) for _, case in cases]
    plans = {name: [dropout.plan(net, maps) for maps in sets] for name, net in nets.items()}
    parts = memory.Parts()
    found: dict[str, list[Tensor]] = {name: [] for name in nets}
    for x in data.pictures(batches):
        for name, net in nets.items():

            def run(part: Tensor, net: lrp.Net = net, own: Sequence[dropout.Plan] = plans[name]) -> Tensor:
                logits = torch.empty((len(part), len(own)), dtype=torch.float64)
                for number, y in dropout.sweep(net, part, own, rows):
                    logits[:, number] = y[:, net.target or 0].cpu().double()
                return logits

            found[name].append(parts.cat(run, x))
    tables = []
    for name in nets:
        logits = torch.cat(found[name]).numpy()[:, place] if found[name] else np.empty((0, len(place)))
        tables.append(_frame(name, logits, labels[name], cases, seed))
    return pd.concat(tables, ignore_index=True)


def _frame(
    measured: str,
    logits: Floats,
    labels: ArrayLike,
    cases: Sequence[tuple[str, sensitivity.Dropped]],
    seed: int,
) -> pd.DataFrame:
    y = np.asarray(labels)
    n = len(logits)
    if not n or y.shape != (n,):
        raise ValueError(f"{measured}: labels of shape {y.shape} for {n} pictures: expected one for each")
    return pd.DataFrame(
        {
            "measured": measured,
            "ranked": np.repeat([name for name, _ in cases], n),
            "seed": seed,
            "condition": np.repeat([case.condition for _, case in cases], n),
            "draw": np.repeat([case.draw for _, case in cases], n),
            "k": np.repeat([len(case.maps) for _, case in cases], n),
            "image": np.tile(np.arange(n), len(cases)),
            "label": np.tile(y, len(cases)),
            "logit": logits.T.reshape(-1),
        }
    )


def breakage(frame: pd.DataFrame, resamples: int = metrics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """What a task loses without the first k maps of its own ranking, or of another task's.

    ``frame`` from `scores`, of one training seed or of several.

    Returns:
        A row for each task that is measured, each whose maps are dropped, each comparison and each training
        seed, and "all" of them: measured, ranked, seed, contrast, delta_ap, low, high, seeds, covers,
        n_draws, n_real, n_fake as in `sensitivity.contrast`, whose intervals these are (over pictures, draws
        and seeds; n_fake counts the pictures with label 1), and the AP of the two, ``first`` and ``second``.

        In the contrast "top-k - matched-k" a negative difference says that these maps matter to the task more
        than others of the same layers. ``k`` maps are dropped, and ``control`` in the control (mean over
        draws): with fewer than k it is too mild a control; choose a smaller k.
    """
    tables = []
    pairs: Any = frame.groupby(["measured", "ranked"], sort=False)
    for (measured, ranked), own in pairs:
        renamed = own.rename(columns={"measured": "detector", "ranked": "generator"})
        table = sensitivity.contrast(renamed, resamples, seed)
        maps = own.groupby("condition")["k"].mean()
        aps = _aps(own)
        sides = table["contrast"].str.split(" - ", expand=True)
        names = ["all" if s == "all" else int(s) for s in table["seed"]]
        tables.append(
            table.drop(columns=["detector", "generator"]).assign(
                measured=measured,
                ranked=ranked,
                k=int(maps["top-k"]),
                control=float(maps.get("matched-k", np.nan)),
                first=[aps[s, c] for s, c in zip(names, sides[0], strict=True)],
                second=[aps[s, c] for s, c in zip(names, sides[1], strict=True)],
            )
        )
    found = pd.concat(tables, ignore_index=True)
    front = ["measured", "ranked", "seed", "contrast", "k", "control", "first", "second"]
    return found[front + [c for c in found if c not in front]]


def _aps(frame: pd.DataFrame) -> dict[tuple[Any, str], float]:
    """AP by training seed, and over "all", and condition: means over draws, then over seeds."""
    groups: Any = frame.groupby(["seed", "condition", "draw"])
    aps = [(s, c, metrics.average_precision(rows["label"], rows["logit"])) for (s, c, _), rows in groups]
    each = pd.DataFrame(aps, columns=["seed", "condition", "ap"])
    by_seed = each.groupby(["seed", "condition"], as_index=False)["ap"].mean()
    pooled = by_seed.groupby("condition", as_index=False)["ap"].mean().assign(seed="all")
    return {
        (s, c): float(ap) for t in (by_seed, pooled) for s, c, ap in t[["seed", "condition", "ap"]].values
    }
