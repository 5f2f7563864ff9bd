"""The lab of false explanations: seeds decide, seals hold, and every forgery can be told from the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import exam_nets
import exam_pictures
import numpy as np
import pytest
import torch

from tff_core import lrp
from tff_core.claims.texts import exam_forgeries as texts
from tff_core.exam import forgeries
from tff_core.features import ffrs, pixels
from tff_core.pictures import data

WORDS = {forgeries.TRUE, *(kind for kinds in forgeries.KINDS.values() for kind in kinds)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> forgeries.Lab:
    folder: Path = tmp_path_factory.mktemp("pictures")
    model = exam_nets.trained()
    parts = []
    for part, seed in (("val", 1), ("test", 2)):
        images = exam_pictures.draw(folder / part, 6, seed)
        parts.append((data.load(images), images.labels))
    with torch.no_grad():  # half of the pictures are called fake
        model.fc.bias -= model(data.normalize(parts[0][0])).median()  # type: ignore[operator,union-attr]
    net = lrp.canonize(model, bounds=data.IMAGENET.bounds)
    sizes = {layer: len(net.conv(layer).weight) for layer in net.layers}
    rng = np.random.default_rng(0)
    omega = ffrs.Omega({layer: rng.random(n) for layer, n in sizes.items()}, 1)
    return forgeries.opened(model, net, data.IMAGENET, omega, 5, *parts)


def test_a_seed_decides_which_are_false_and_at_least_three_are_true() -> None:
    seen: Counter[str] = Counter()
    for seed in range(60):
        chosen = forgeries.drawn(seed)
        assert chosen == forgeries.drawn(seed) and len(chosen) == 10
        kinds = [kind for _, kind in chosen]
        assert 3 <= kinds.count(forgeries.TRUE) <= 5
        false = [kind for kind in kinds if kind != forgeries.TRUE]
        assert len(set(false)) == len(false)  # none twice
        assert all(kind in (forgeries.TRUE, *forgeries.KINDS[about]) for about, kind in chosen)
        seen.update(kinds)
    assert set(seen) == WORDS
    assert len({tuple(forgeries.drawn(seed)) for seed in range(60)}) > 50


def test_seals_tell_right_from_wrong_and_hold_no_answer(lab: forgeries.Lab) -> None:
    key, seals = lab.key(4), lab.seals(4)
    assert list(key) == list("ABCDEFGHIJ") == [one.letter for one in lab.exhibits(4)]
    assert not any(word in repr(seals) for word in WORDS)
    assert not any(word in repr(one._replace(about="")) for one in lab.exhibits(4) for word in WORDS)
    assert len(set(seals.values())) == 10  # equal answers have unlike seals
    assert all(forgeries.check(key, seals).values())
    wrong = {"A": next(word for word in sorted(WORDS) if word != key["A"]), "B": "", "C": key["C"]}
    assert forgeries.check(wrong, seals) == {"A": False, "C": True}
    with pytest.raises(ValueError, match="no exhibit is called 'K'"):
        forgeries.check({"K": "true"}, seals)
    with pytest.raises(ValueError, match="'wrong' is no kind of exhibit: expected one of another network"):
        forgeries.check({"A": "wrong"}, seals)


def test_each_false_heat_map_is_reproduced_by_what_it_is_made_of(lab: forgeries.Lab) -> None:
    own, forgotten = (
        pixels.relevance(net, lab.x).sum(1).double().numpy() for net in (lab.net, lab.forgetful)
    )
    sources = {
        forgeries.TRUE: own,
        forgeries.EDGES: pixels.edges(lab.pictures),
        forgeries.NETWORK: forgotten,
        forgeries.PICTURES: np.roll(own, 1, axis=0),
    }
    for one, kind in lab.examples(forgeries.HEATMAPS):
        maps = one.shown["maps"]
        alike = {name: pixels.likeness(maps, source).mean() for name, source in sources.items()}
        expected = forgeries.TRUE if kind == forgeries.SCALE else kind
        assert max(alike, key=alike.__getitem__) == expected and alike[expected] > 0.97
        assert sorted(alike.values())[-2] < 0.95
        # only a scale of its own shows in how strong a map is
        same = np.allclose(np.abs(maps).sum((1, 2)), np.abs(own).sum((1, 2)), rtol=1e-4)
        assert same == (kind != forgeries.SCALE)
        if kind == forgeries.EDGES:  # whose values are those of relevance
            assert np.allclose(maps.sum((1, 2)), own.sum((1, 2)))


@pytest.mark.parametrize("about", [about for about in forgeries.KINDS if about != forgeries.HEATMAPS])
def test_what_is_false_differs_from_what_is_true(about: str, lab: forgeries.Lab) -> None:
    (honest, true), (forged, kind) = lab.examples(about)
    assert (true, kind) == (forgeries.TRUE, forgeries.KINDS[about][0])
    assert honest.shown.keys() == forged.shown.keys()  # nothing but the values tells them apart
    different = [
        name
        for name in honest.shown
        if not np.allclose(np.asarray(honest.shown[name]), np.asarray(forged.shown[name]), rtol=1e-3)
    ]
    assert len(different) == 1


def test_a_leak_is_a_quarter_of_the_part_saved_again_in_another_place(lab: forgeries.Lab) -> None:
    shown = forgeries.leaked(lab, 3)
    changed = (shown != lab.test.pictures).flatten(1).any(1)
    assert int(changed.sum()) == max(2, len(shown) // 4)
    apart = (shown[:, None].double() - lab.validation.pictures[None].double()).abs().mean((2, 3, 4))
    nearest = apart.argmin(1)
    for i in torch.nonzero(changed)[:, 0].tolist():
        assert 0 < apart[i].min() < 6  # the bytes differ, the picture does not
        assert int(nearest[i]) != i
    assert not torch.equal(shown, forgeries.leaked(lab, 4))


def test_a_detector_that_has_nothing_to_tell_is_refused(lab: forgeries.Lab) -> None:
    made = {key: dict(shown) for key, shown in lab._made.items()}
    made[forgeries.MEAN, forgeries.BEST] = made[forgeries.MEAN, forgeries.TRUE]
    with pytest.raises(ValueError, match="shown about a mean is the same, be it true or false"):
        forgeries._must_differ(made)


def test_too_few_pictures_are_refused(lab: forgeries.Lab) -> None:
    few = lab.test.pictures[:4], [0, 1, 1, 1]
    with pytest.raises(ValueError, match="validation part has 4 pictures and 4 labels, 1 of the rarer one"):
        forgeries.opened(lab.model, lab.net, data.IMAGENET, lab.omega, 5, few, few)


def test_words_claims_and_hints_fit_what_is_made(lab: forgeries.Lab) -> None:
    assert set(texts.KINDS) == WORDS
    assert set(texts._CLAIMS) == set(forgeries.KINDS)
    assert set(texts._HINTS) == {(about, said) for about in forgeries.KINDS for said in ("true", "")}
    exhibits = lab.exhibits(0)
    shown = texts.claims([tuple(one) for one in exhibits], 5, forgeries.DRAWS, forgeries.SHARES)
    assert shown.count("**") == 20 and "{" not in shown and "0, 20, 40, 70 %" in shown
    assert all(f"`{word}`" in texts.kinds() for word in WORDS)


def test_a_wrong_answer_gets_a_hint_that_does_not_depend_on_the_right_one() -> None:
    about = {"A": "heat maps", "B": "leak"}
    told = texts.checked({"A": False, "B": True}, {"A": "edges", "B": "leak"}, about)
    assert "1 of 2 answers right" in told and "**A** is not 'edges'. Ask of each candidate" in told
    assert "**B**" not in told
    assert "Make the maps again" in texts.checked({"A": False}, {"A": "true"}, about)
    assert "No answer yet" in texts.checked({}, {}, about)
    assert "Now prove it" in texts.checked({"A": True, "B": True}, {"A": "edges", "B": "leak"}, about)
