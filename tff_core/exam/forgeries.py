"""Ten explanations, some of them false: the material of the lab "Catch the false explanation".

Everything is made from one detector and its pictures: what an honest report of them would show, and what a
dishonest one would, in such a way that it looks the same. A seed decides which of the ten are false and in
what order they stand; `Lab.key` has the answers. Nothing of an `Exhibit` says which it is, and `seals` let
an answer be checked without being read. (A seal keeps an answer from being seen, not from being guessed: who
tries all kinds finds it in seconds, so a course grades proofs, on `Lab.examples` nobody has seen.)
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.stats import rankdata
from torch import Tensor, nn
from torchvision.transforms import v2

from tff_core import lrp, metrics
from tff_core.exam import flipping, methods, randomization
from tff_core.features import dropout, pixels
from tff_core.features.ffrs import Omega
from tff_core.pictures import data

Floats = NDArray[np.float64]
TRUE = "true"
EDGES, NETWORK, PICTURES, SCALE = "edges", "another network", "other pictures", "another scale"
DRAW, STRAW, TUNED, LEAK, BEST = (
    "best draw", "straw man", "tuned on the test", "leak", "best pictures",
)  # fmt: skip
HEATMAPS, CONTROL, CURVES, THRESHOLD, PARTS, MEAN = (
    "heat maps", "random control", "curves", "threshold", "two parts", "a mean",
)  # fmt: skip
KINDS: Mapping[str, tuple[str, ...]] = {
    HEATMAPS: (EDGES, NETWORK, PICTURES, SCALE),
    CONTROL: (DRAW,),
    CURVES: (STRAW,),
    THRESHOLD: (TUNED,),
    PARTS: (LEAK,),
    MEAN: (BEST,),
}
"""How an exhibit about each subject can be false."""
EXPLAINED, PER_LABEL, DRAWS = 4, 16, 8
"""Pictures of each label that are explained; of each part, for the threshold; draws of the random control."""
SHARES, PATCH = (0.0, 0.2, 0.4, 0.7), 8
_HEATMAPS_SHOWN = 5
_ROUNDS = 2_000


class Exhibit(NamedTuple):
    """One explanation: its letter, what it is ``about`` (a key of `KINDS`), and what it shows.

    Heat maps: ``maps`` (N, H, W). Random control: ``top`` and ``control``, by how much the mean logit of the
    fakes falls. Curves: ``relevant first`` and ``control``, mean logits of the decision (S,) at `SHARES`.
    Threshold: ``threshold``, a logit. Two parts: ``calibration`` and ``test``, uint8 (M, 3, H, W). A mean:
    ``value``.
    """

    letter: str
    about: str
    shown: dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Pictures uint8 (M, 3, H, W), their labels (M,), and the detector's logits of them (M,)."""

    pictures: Tensor
    labels: NDArray[np.int64]
    logits: Floats


@dataclass(frozen=True)
class Lab:
    """A detector, its pictures, and all that honest and dishonest exhibits are made from; see `opened`.

    Attributes:
        model: one logit, in evaluation mode; ``net`` the same, canonised; ``forgetful`` a canonised copy that
            has forgotten all it had learnt.
        settings: the preprocessing, and the seed of the random order of pixels.
        omega, k: the ranking, and how many maps count as top.
        pictures: uint8 (N, 3, H, W), of both labels, that are explained; ``x`` as the network takes them.
        labels: theirs, (N,).
        validation, test: what a threshold is chosen on, and what it is for.
    """

    model: nn.Module
    net: lrp.Net
    forgetful: lrp.Net
    settings: methods.Settings
    omega: Omega
    k: int
    pictures: Tensor
    x: Tensor
    labels: NDArray[np.int64]
    validation: Part
    test: Part

    def exhibits(self, seed: int) -> list[Exhibit]:
        """The ten exhibits of a seed, A to J."""
        return [one for one, _ in self._drawn(seed)]

    def key(self, seed: int) -> dict[str, str]:
        """The answers, by letter: `TRUE`, or the kind of what is false. For whoever marks."""
        return {one.letter: kind for one, kind in self._drawn(seed)}

    def seals(self, seed: int) -> dict[str, str]:
        """The answers, sealed: by letter, what `check` needs to tell a right answer from a wrong one."""
        return {letter: _seal(f"{seed} {letter}", kind) for letter, kind in self.key(seed).items()}

    def examples(self, about: str) -> list[tuple[Exhibit, str]]:
        """An honest exhibit about this subject and one of each false kind, with the answers, for tests."""
        return [(self._exhibit("?", about, kind, 0), kind) for kind in (TRUE, *KINDS[about])]

    def _drawn(self, seed: int) -> list[tuple[Exhibit, str]]:
        chosen = drawn(seed)
        letters = [chr(ord("A") + i) for i in range(len(chosen))]
        return [
            (self._exhibit(letter, about, kind, seed), kind)
            for letter, (about, kind) in zip(letters, chosen, strict=True)
        ]

    def _exhibit(self, letter: str, about: str, kind: str, seed: int) -> Exhibit:
        shown = (
            {
                "calibration": self.validation.pictures,
                "test": leaked(self, seed) if kind == LEAK else self.test.pictures,
            }
            if about == PARTS
            else dict(self._made[about, kind])
        )
        return Exhibit(letter, about, shown)

    @cached_property
    def _made(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What is shown about each subject, honestly and falsely; all but the two parts."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        own = pixels.relevance(self.net, self.x).sum(1).double().cpu().numpy()
        edges = pixels.edges(self.pictures)
        for kind, maps in _heatmaps(own, edges, self._forgotten()).items():
            found[HEATMAPS, kind] = {"maps": maps}

        fell = self._falls()
        for kind, control in ((TRUE, fell[1:].mean()), (DRAW, fell[1:].min())):
            found[CONTROL, kind] = {"top": float(fell[0]), "control": float(control)}

        curves = self._curves(torch.from_numpy(own).to(self.x))
        for kind, name in ((TRUE, "random"), (STRAW, "least first")):
            found[CURVES, kind] = {"relevant first": curves["relevant first"], "control": curves[name]}

        for kind, part in ((TRUE, self.validation), (TUNED, self.test)):
            found[THRESHOLD, kind] = {"threshold": _threshold(part)}

        alike = np.sort(np.nan_to_num(pixels.likeness(own, edges)))
        for kind, values in ((TRUE, alike), (BEST, alike[: len(alike) // 2])):
            found[MEAN, kind] = {"value": float(values.mean())}
        _must_differ(found)
        return found

    def _forgotten(self) -> Floats:
        found: Floats = pixels.relevance(self.forgetful, self.x).sum(1).double().cpu().numpy()
        return found

    def _falls(self) -> Floats:
        """How far the mean logit of the fakes falls without the top maps, and without each random set."""
        x = self.x[torch.from_numpy(self.labels == 1)]
        sets = [self.omega.top(self.k), *(self.omega.random(self.k, seed) for seed in range(DRAWS))]
        plans = [dropout.plan(self.net, maps) for maps in ([], *sets)]
        means = np.empty(len(plans))
        for number, logits in dropout.sweep(self.net, x, plans):
            means[number] = float(logits.double().mean())
        return means[0] - means[1:]

    def _curves(self, relevance: Tensor) -> dict[str, Floats]:
        """Mean logits of the decision when regions go, (S,): the orders of relevance, and of chance."""
        chance = methods.build(self.model, ["random"], self.settings)["random"](self.x)
        orders = {
            "relevant first": flipping.order(relevance, PATCH),
            "least first": flipping.order(relevance, PATCH, least_first=True),
            "random": flipping.order(chance, PATCH),
        }
        with torch.no_grad():
            side = methods.sides(self.model(self.x)).double().cpu().numpy()[:, None]
        fill = flipping.mean_colour(self.x)
        found = {n: flipping.curve(self.model, self.x, when, SHARES, fill) for n, when in orders.items()}
        return {name: (side * values).mean(0) for name, values in found.items()}


def opened(
    model: nn.Module,
    net: lrp.Net,
    preprocessing: data.Preprocessing,
    omega: Omega,
    k: int,
    validation: tuple[Tensor, ArrayLike],
    test: tuple[Tensor, ArrayLike],
    seed: int = 0,
) -> Lab:
    """The lab of one detector.

    Args:
        model: one logit, higher for fakes, in evaluation mode; ``net`` the same, from `lrp.canonize`.
        preprocessing: the detector's.
        omega, k: its ranking, and how many maps count as top.
        validation, test: pictures, uint8 (M, 3, H, W), and their labels (M,), of both labels; at most
            `PER_LABEL` of each are used, and `EXPLAINED` of each of the test part are explained.
            Where the two are of different sizes, the largest middle that both have is.
        seed: of the weights of the network that has forgotten.

    Raises ValueError where a part has fewer than `EXPLAINED` pictures of a label.
    """
    size = [min(some.shape[side] for some, _ in (validation, test)) for side in (-2, -1)]
    parts = [
        _part(model, preprocessing, name, v2.functional.center_crop(some, size), labels)
        for name, (some, labels) in (("validation", validation), ("test", test))
    ]
    chosen = _some(parts[1].labels, EXPLAINED)
    pictures = parts[1].pictures[chosen]
    x = data.normalize(pictures, preprocessing).to(next(model.parameters()).device)
    every = randomization.groups(model, x)
    forgetful = randomization.randomised(model, every, seed, pictures=x)
    return Lab(
        model, net, lrp.canonize(forgetful, bounds=preprocessing.bounds),
        methods.Settings(preprocessing=preprocessing, seed=seed), omega, k, pictures, x,
        parts[1].labels[chosen], *parts,
    )  # fmt: skip


def leaked(lab: Lab, seed: int) -> Tensor:
    """The test pictures of the lab, a quarter of them pictures of the validation part, saved again by JPEG.

    None of these stands in the place that it has in the other part.
    """
    shown, others = lab.test.pictures.clone(), lab.validation.pictures
    rng = np.random.default_rng([seed, 5])
    for place in rng.permutation(len(shown))[: max(2, len(shown) // 4)]:
        shown[place] = _saved_again(others[int(rng.choice([i for i in range(len(others)) if i != place]))])
    return shown


def drawn(seed: int) -> list[tuple[str, str]]:
    """Which exhibits a seed stands for: ten pairs of subject and kind, in their order.

    Five are about heat maps, one or two of them true and the others each false in a way of its own; of the
    five other subjects two or three are true.
    """
    rng = np.random.default_rng([seed, 17])
    honest = int(rng.integers(1, 3))
    false = [str(kind) for kind in rng.permutation(KINDS[HEATMAPS])[: _HEATMAPS_SHOWN - honest]]
    found = [(HEATMAPS, kind) for kind in [TRUE] * honest + false]
    others = [about for about in KINDS if about != HEATMAPS]
    fair = {others[i] for i in rng.permutation(len(others))[: int(rng.integers(2, 4))]}
    found += [(about, TRUE if about in fair else KINDS[about][0]) for about in others]
    return [found[i] for i in rng.permutation(len(found))]


def check(answers: Mapping[str, str], seals: Mapping[str, str]) -> dict[str, bool]:
    """Which answers are right, by letter; those that are empty are left out.

    Raises ValueError for a letter without a seal, and for a word that is no kind.
    """
    words = {TRUE, *(kind for kinds in KINDS.values() for kind in kinds)}
    for letter, word in answers.items():
        if letter not in seals:
            raise ValueError(f"no exhibit is called {letter!r}: expected some of {', '.join(seals)}")
        if word and word not in words:
            raise ValueError(f"{word!r} is no kind of exhibit: expected one of {', '.join(sorted(words))}")
    return {
        letter: _seal(seals[letter].partition(":")[0], word) == seals[letter]
        for letter, word in answers.items()
        if word
    }


# ------------------------------------------------------------------------------------------ how it is made


def _seal(salt: str, kind: str) -> str:
    digest = hashlib.pbkdf2_hmac("sha256", kind.encode(), salt.encode(), _ROUNDS)
    return f"{salt}:{digest.hex()}"


def _part(
    model: nn.Module, preprocessing: data.Preprocessing, name: str, pictures: Tensor, labels: ArrayLike
) -> Part:
    y = np.asarray(labels, dtype=np.int64)
    least = min(int((y == label).sum()) for label in (0, 1))
    if least < EXPLAINED or len(y) != len(pictures):
        raise ValueError(
            f"the {name} part has {len(pictures)} pictures and {len(y)} labels, {least} of the rarer one: "
            f"expected at least {EXPLAINED} of each label"
        )
    chosen = _some(y, PER_LABEL)
    x = data.normalize(pictures[chosen], preprocessing).to(next(model.parameters()).device)
    return Part(pictures[chosen], y[chosen], flipping.scores(model, x))


def _some(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most ``count`` places of each label, spread evenly: pictures often stand class by class."""
    found = []
    for label in (0, 1):
        there = np.flatnonzero(labels == label)
        found.append(there[np.arange(min(count, len(there))) * len(there) // min(count, len(there))])
    return np.sort(np.concatenate(found))


def _heatmaps(own: Floats, edges: Floats, forgotten: Floats) -> dict[str, Floats]:
    """Relevance (N, H, W), and what may be shown in its place, of the same strength in all but the last."""
    values = np.sort(own.reshape(len(own), -1), axis=1)
    places = rankdata(edges.reshape(len(own), -1), method="ordinal", axis=1).astype(int) - 1
    strength = np.abs(own).sum((1, 2), keepdims=True)

    def dressed(maps: Floats) -> Floats:
        # by absolute values: a total may be negative, and must not turn the map
        other = np.abs(maps).sum((1, 2), keepdims=True)
        return np.asarray(maps * np.divide(strength, other, out=np.ones_like(other), where=other > 0))

    return {
        TRUE: own,
        # the values of the relevance in the order of the edges
        EDGES: np.take_along_axis(values, places, axis=1).reshape(own.shape),
        NETWORK: dressed(forgotten),
        PICTURES: dressed(np.roll(own, 1, axis=0)),
        SCALE: own / np.abs(own).max((1, 2), keepdims=True).clip(1e-300),
    }


def _threshold(part: Part) -> float:
    best = metrics.best_threshold(part.labels, part.logits)
    # none where no fake scores above any real: then half of the pictures are called fake
    return float(np.median(part.logits)) if best is None else best


def _saved_again(picture: Tensor) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=92, subsampling=0)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)


def _must_differ(made: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    for about, kinds in KINDS.items():
        for kind in kinds if about != PARTS else ():
            pairs = zip(made[about, TRUE].values(), made[about, kind].values(), strict=True)
            if all(_same(one, other) for one, other in pairs):
                raise ValueError(
                    f"what is shown about {about} is the same, be it {TRUE} or false ({kind}): this detector "
                    "gives nothing to tell apart; expected one that has learnt something, and more pictures"
                )


def _same(one: ArrayLike, other: ArrayLike) -> bool:
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return bool(np.abs(a - b).max() <= 1e-4 * max(np.abs(a).max(), np.abs(b).max()))
