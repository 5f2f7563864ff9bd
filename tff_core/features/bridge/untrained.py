"""Would a task that has learnt nothing share as many maps? The control of what two tasks have in common.

Relevance by the z+ rule flows where activations and positive weights are large, and below the branch these
are the same for every task: two tasks may rank the shared maps alike though neither has learnt to use them.
(Sixt, Granz and Landgraf, When explanations lie, ICML 2020, on such rules; Adebayo et al., Sanity checks for
saliency maps, NeurIPS 2018, on weights in random order.) So a task is also compared with itself untaught: its
own layers keep their weights, in random order.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from tff_core import lrp, metrics
from tff_core.features.bridge.comparison import ends_of, pairs, redrawn_omegas, standardised
from tff_core.features.bridge.heads import Floats, Head, check_k, depth, layer_sizes, look
from tff_core.lrp.rules import Conv
from tff_core.pictures import data

ORDER = "order"
"""In the column measure: the rank correlation within layers; the others are "first k"."""


def shuffled(net: lrp.Net, layers: Sequence[str], seed: int | Sequence[int] = 0) -> lrp.Net:
    """A copy that has learnt nothing beyond the shared ``layers``: after them, weights in random order.

    Each operation's weights are permuted among themselves; biases, which say nothing of the maps, stay.
    Raises ValueError where there are no weights after them.
    """
    rng = np.random.default_rng(seed)
    last = max(net.index[layer] for layer in layers)
    steps, done = list(net.steps), 0
    for i, step in enumerate(net.steps):
        weight = getattr(step.rule, "weight", None)
        if i <= last or not isinstance(weight, torch.Tensor):
            continue
        order = torch.from_numpy(rng.permutation(weight.numel())).to(weight.device)
        mixed = weight.flatten()[order].view(weight.shape)
        if isinstance(step.rule, Conv):
            rule: Any = step.rule.with_weights(
                mixed.contiguous(memory_format=torch.channels_last), step.rule.bias
            )
        else:
            rule = copy.copy(step.rule)
            rule.weight = mixed
        steps[i] = replace(step, rule=rule)
        done += 1
    if not done:
        raise ValueError(f"no weights after {layers[-1]}: expected a task with layers of its own")
    return lrp.Net(steps, channels=net.channels, target=net.target, reference=net.reference)


def untrained(
    net: lrp.Net, batches: data.Pictures, layers: Sequence[str], draws: int = 20, seed: int = 0
) -> list[Head]:
    """What ``draws`` such networks look at, on the same pictures as their task; see `look` for arguments.

    All pictures count, whatever these networks say of them, and are kept in memory. In some networks no map
    speaks for anything; then others are drawn. Raises ValueError where that is so in most.
    """
    found: list[Head] = []
    x = list(data.pictures(batches))
    for draw in range(5 * draws):
        if len(found) == draws:
            break
        with_nothing = shuffled(net, layers, [seed, draw])
        try:
            found.append(look(with_nothing, x, layers, 0.5, -math.inf))
        except ValueError:  # no map speaks for it
            continue
    if len(found) < draws:
        raise ValueError(
            f"only {len(found)} of {5 * draws} networks with weights in random order have any relevance: "
            "expected a task whose own layers have weights of both signs"
        )
    return found


def specific(
    heads: Mapping[str, Head],
    controls: Mapping[str, Sequence[Head]],
    ks: Sequence[int],
    resamples: int = metrics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """How much more two tasks have in common than one of them with the other untrained.

    Args:
        heads: from `look`.
        controls: for each task what it looks at `untrained`; controls of one of two tasks are enough.
        ks: lengths of the first maps that are compared.

    Returns:
        A row for each two tasks and each measure: a, b, measure ("first k", the share of the first k maps
        that are in both; or `ORDER`, their rank correlation within layers, mean weighted by channels),
        together, control (the mean over draws), ``value`` (together - control), low, high, p, draws, n_a,
        n_b.

        The interval is that of the difference to the *mean* control, over the pictures of all tasks, drawn
        anew for each, and over draws. p asks whether a *single* control does as well, one-sided: how often
        one has as much in common, of ``draws`` and the tasks themselves, so at least 1 / (draws + 1). Where
        p is large the tasks have not learnt what they share, whatever the interval.

        Controls with fewer than k maps of any relevance are left out, which ``draws`` shows; where none is
        left the row has no numbers. A layer without order counts as one that is not alike.

    Raises ValueError where layers differ, a k is not from 1 to `depth`, or a pair has no controls.
    """
    every = {f"{name}, untrained {i}": c for name, own in controls.items() for i, c in enumerate(own)}
    sizes = layer_sizes({**heads, **every})
    for k in ks:
        check_k(heads, k)
    points = {name: _point(head) for name, head in {**heads, **every}.items()}
    redrawn = redrawn_omegas({**heads, **every}, resamples, seed)
    measures: dict[str, tuple[int, Callable[[Floats], Floats]]] = {
        f"first {k}": (k, lambda omegas, k=k: metrics.largest(omegas, k) / math.sqrt(k))  # type: ignore[misc]
        for k in ks
    }
    measures[ORDER] = 1, lambda omegas: _ordered(omegas, sizes)
    rows = []
    for number, (measure, (k, vectors)) in enumerate(measures.items()):
        exact = {name: vectors(omegas) for name, omegas in points.items()}
        again = {name: vectors(omegas) for name, omegas in redrawn.items()}
        for a, b, n in pairs(heads):
            sides = [
                (one, f"{other}, untrained {i}")
                for one, other in ((a, b), (b, a))
                for i, control in enumerate(controls.get(other, ()))
                if depth({"": control}) >= k
            ]
            if not (controls.get(a) or controls.get(b)):
                raise ValueError(f"neither {a} nor {b} has controls: expected some, see `untrained`")
            together = float((exact[a] * exact[b]).sum())
            alone = np.array([float((exact[one] * exact[other]).sum()) for one, other in sides])
            row = {"a": a, "b": b, "measure": measure, "together": together, "draws": len(sides)}
            if not sides:
                rows.append(row | {"control": np.nan, **ends_of(np.nan, None), "p": np.nan} | n)
                continue
            moved = None
            if all(name in again for name in (a, b, *(control for _, control in sides))):
                both = (again[a] * again[b]).sum(1)
                each = np.stack([(again[one] * again[other]).sum(1) for one, other in sides], 1)
                weights = metrics.draw_weights(len(sides), resamples, seed, stream=number + 1)
                moved = both - (each * weights).sum(1)
            p = (1 + int((alone >= together - 1e-12).sum())) / (1 + len(sides))
            difference = ends_of(together - float(alone.mean()), moved, 2.0 if measure == ORDER else 1.0)
            rows.append(row | {"control": float(alone.mean()), **difference, "p": p} | n)
    table = pd.DataFrame(rows)
    front = ["a", "b", "measure", "together", "control", "value", "low", "high", "p", "draws"]
    return table[front + [c for c in table if c not in front]]


def _point(head: Head) -> Floats:
    return np.concatenate(list(head.omega.values.values()))[None]


def _ordered(omegas: Floats, sizes: Mapping[str, int]) -> Floats:
    """Vectors (B, M) whose products are rank correlations within layers, weighted by channels."""
    ends = np.cumsum(list(sizes.values()))[:-1]
    total = sum(sizes.values())
    parts = np.split(omegas, ends, axis=1)
    return np.concatenate(
        [math.sqrt(part.shape[1] / total) * np.nan_to_num(standardised(part)) for part in parts], 1
    )
