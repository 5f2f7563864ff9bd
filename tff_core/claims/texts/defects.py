"""What the appendix on the published code says about its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tff_core.claims.texts import base

KEPT = 0.9
"""A defect changes the ranking where fewer than this share of the top k stay among them."""
NO_NETWORK = "No EfficientNet is part of this build; `make all` trains one and fills this section."
IMAGENET = "The detector has one seed: the gates are those of ImageNet's weights."
NO_GATES = "The detector has one seed, and ImageNet's weights are not on this machine: no gates to lend."
BLIND = "The hybrid calls no picture fake, so that it has no omega at all."


def logits(shifts: Mapping[str, float]) -> str:
    """The largest change of a logit, by network."""
    return (
        f"Largest change of a logit: {', '.join(f'{name}: {value:.2g}' for name, value in shifts.items())}."
    )


def gates(exchanged: int, fakes: int, called: tuple[int, int], apart: float, correlation: float) -> str:
    """How the hybrid with foreign gates differs from the detector; ``called`` fake by either."""
    return (
        f"{exchanged} tensors exchanged. Of {fakes} fakes the detector calls {called[0]} fake, the hybrid "
        f"{called[1]}; its logits differ by {apart:.2g} on average, and correlate by {correlation:.2f}."
    )


def table(rows: Iterable[tuple[str, str, float, int, int]]) -> str:
    """Defect, network, relative L1 distance of omega, how many of the top k are shared, and k."""
    heads = ["defect", "network", "L1 distance of omega", "top-k shared", "ranking"]
    return base.table(
        heads,
        (
            [defect, title, f"{far:.2g}", f"{shared} of {k}", "changed" if shared < KEPT * k else "kept"]
            for defect, title, far, shared, k in rows
        ),
    )
