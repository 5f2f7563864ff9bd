"""What the appendix says about the defects of the published code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tff_core.claims.texts import base

KEPT = 0.9
"""A ranking counts as kept if at least this share of its top k remains in the top k."""


def distances(rows: Sequence[tuple[str, float, int, int]]) -> str:
    """The distance between two omegas: network, relative L1 distance, shared maps of the top k, k."""
    heads = ["network", "L1 distance of omega", "top-k shared"]
    return base.table(heads, [[name, f"{far:.2g}", f"{shared} of {k}"] for name, far, shared, k in rows])


def logits(shifts: Mapping[str, float]) -> str:
    """The largest change of a logit, by network."""
    return "Largest change of a logit: " + ", ".join(f"{k}: {v:.2g}" for k, v in shifts.items()) + "."


def sums(rows: Sequence[tuple[str, str, float, float]]) -> str:
    """Sum of omega over the first convolution: network, label, by the code, corrected."""
    heads = ["network", "omega of", "code", "corrected"]
    return (
        "Sum of omega over the first convolution: the share of its relevance that is positive.\n\n"
        + base.table(heads, [[name, label, f"{a:.3f}", f"{b:.3f}"] for name, label, a, b in rows])
    )


def gates(lender: str) -> str:
    """Whose gates are used instead: "seed" another training seed's (no text), "imagenet", "" nobody's.

    "none" where no EfficientNet is part of the build.
    """
    return {
        "seed": "",
        "imagenet": "The detector has one seed: the gates are those of ImageNet's weights.",
        "": "The detector has one seed, and ImageNet's weights are not on this machine: no gates to lend.",
        "none": "No EfficientNet is part of this build; `make all` trains one and fills this section.",
    }[lender]


def exchanged(tensors: int, own: Sequence[float], foreign: Sequence[float], correlation: float) -> str:
    """What foreign gates do to the logits of fakes."""
    apart = sum(abs(a - b) for a, b in zip(own, foreign, strict=True)) / len(own)
    text = (
        f"{base.counted(tensors, 'tensor')} exchanged. Of {base.counted(len(own), 'fake')} the detector "
        f"calls {sum(a > 0 for a in own)} fake, the hybrid {sum(b > 0 for b in foreign)}; their logits "
        f"differ by {apart:.2g} on average, and correlate by {correlation:.2f}."
    )
    if any(b > 0 for b in foreign):
        return text
    return f"{text}\n\nThe hybrid calls no picture fake, so it has no omega at all."


def side_by_side(rows: Sequence[tuple[str, str, float, int, int]]) -> str:
    """All defects: name, network, relative L1 distance, shared maps of the top k, k; is the ranking kept?"""
    heads = ["defect", "network", "L1 distance of omega", "top-k shared", "ranking"]
    cells = [
        [defect, name, f"{far:.2g}", f"{shared} of {k}", "changed" if shared < KEPT * k else "kept"]
        for defect, name, far, shared, k in rows
    ]
    return base.table(heads, cells)
