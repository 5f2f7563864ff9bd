"""What the lab "Catch the false explanation" says: what each exhibit claims, and what to look at next.

No hint depends on what is true of an exhibit, only on what it is about and on what was said of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tff_core.claims.texts import base

KINDS = {
    "true": "what is shown is what it says it is",
    "edges": "the picture's edges, given the values of relevance",
    "another network": "relevance, but of the same network before it had learnt anything",
    "other pictures": "relevance of this detector, but of other pictures",
    "another scale": "relevance of these pictures, but each map on a scale of its own",
    "best draw": "of several random controls, the one that suits the claim best",
    "straw man": "a control that is worse than chance",
    "tuned on the test": "a threshold chosen on the pictures that it is then tested on",
    "leak": "the test part shows what the calibration part shows",
    "best pictures": "a mean over the half of the pictures that suits the claim best",
}
"""The words of an answer, and what they mean."""
_CLAIMS = {
    "heat maps": "Relevance of this detector's decision by the z+ rule, for the explained pictures in their "
    "order. All maps are in units of the logit, so that they may be compared with each other.",
    "random control": "Without the top {k} maps of omega, the mean logit of the explained fakes falls by "
    "{top:+.3f}; without as many random maps it falls by {control:+.3f}, the mean of {draws} draws.",
    "curves": "Mean logit of the decision while regions give way to the mean colour, {shares} of the "
    "picture. Most relevant first: {first}. In random order: {control}.",
    "threshold": "A picture is called fake from the logit {threshold:+.3f} on, which was chosen on the "
    "validation pictures alone.",
    "two parts": "The {calibration} pictures that the threshold is chosen on and the {test} that it is "
    "tested on show different things throughout.",
    "a mean": "Relevance hardly shows the picture's edges: the rank correlation of the two is {value:+.3f}, "
    "the mean over the explained pictures.",
}
_HINTS = {
    ("heat maps", "true"): "Make the maps again and compare two things: the order of the pixels in each "
    "picture, and what each map adds up to.",
    ("heat maps", ""): "Ask of each candidate (relevance of these pictures, of others, of the network that "
    "has forgotten; edges) whether it *reproduces* the order of the pixels. To resemble it is not enough.",
    ("random control", "true"): "Draw all the random sets again. Where among them does the number lie that "
    "is called their mean?",
    ("random control", ""): "A control may fall by little and yet be what it says it is: compute it.",
    ("curves", "true"): "Which curve does a random order give? And which one do you get by taking the "
    "least relevant first?",
    ("curves", ""): "Two curves may lie far apart for an honest reason: compute the control.",
    ("threshold", "true"): "Choose the threshold again, on either part.",
    ("threshold", ""): "Choose the threshold again, on the validation part alone, by the same rule.",
    ("two parts", "true"): "A picture that was saved again has other bytes: compare what is shown.",
    ("two parts", ""): "Similar scenes are no leak. How alike are the most alike two, and how alike are "
    "those of the next picture?",
    ("a mean", "true"): "Compute the number for every explained picture. How many does the mean need?",
    ("a mean", ""): "A small number may be honest: compute it for every picture, and average all.",
}


def kinds() -> str:
    """The words of an answer with their meaning, as a table."""
    return base.table(["word", "what is wrong"], [[f"`{word}`", what] for word, what in KINDS.items()])


def claims(exhibits: Sequence[tuple[str, str, Mapping[str, Any]]], k: int, draws: int,
           shares: Sequence[float]) -> str:  # fmt: skip
    """What each exhibit claims: (letter, subject, what it shows), as a table."""
    rows = []
    for letter, about, shown in exhibits:
        numbers: dict[str, Any] = {"k": k, "draws": draws, "shares": _listed(100 * s for s in shares) + " %"}
        if about == "curves":
            numbers |= {name: _listed(shown[of], ".2f") for name, of in
                        (("first", "relevant first"), ("control", "control"))}  # fmt: skip
        elif about == "two parts":
            numbers |= {name: len(pictures) for name, pictures in shown.items()}
        else:
            numbers |= shown
        rows.append([f"**{letter}**", about, _CLAIMS[about].format(**numbers)])
    return base.table(["exhibit", "about", "what it claims"], rows)


def _listed(values: Any, digits: str = ".0f") -> str:
    return ", ".join(f"{value:{digits}}" for value in values)


def checked(right: Mapping[str, bool], answers: Mapping[str, str], about: Mapping[str, str]) -> str:
    """How many answers are right, and a hint for each wrong one; ``about`` is each exhibit's subject."""
    if not right:
        return (
            "*No answer yet.* Fill in `answers` and run the cell again: it says how many are right, and what "
            "to look at where one is not."
        )
    lines = [f"{sum(right.values())} of {base.counted(len(right), 'answer')} right."]
    for letter, good in right.items():
        if not good:
            said = "true" if answers[letter] == "true" else ""
            lines.append(f"- **{letter}** is not {answers[letter]!r}. {_HINTS[about[letter], said]}")
    if len(right) == len(about) and all(right.values()):
        lines.append("All are. Now prove it: the exercises put your proofs to exhibits you have not seen.")
    return "\n".join(lines)
