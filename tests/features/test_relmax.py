"""Relevance maximisation: what a search finds, and what two rankings share against chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from lrp_nets import Toy, pictures, randomise, toy
from scipy.stats import hypergeom

from tff_core import lrp
from tff_core.features import maxima, relmax
from tff_core.features.maxima import Maxima
from tff_core.features.names import FeatureMap


def of_layer(net: lrp.Net, *layers: str) -> list[FeatureMap]:
    return [FeatureMap(layer, c, net.layers[layer]) for layer in layers for c in range(net.layers[layer])]


NET = lrp.canonize(toy(7))
X = pictures(7, 32)


def test_relevance_is_searched_as_activation_is() -> None:
    maps = of_layer(NET, *NET.layers)[::-1]
    best = relmax.relevance_max(NET, X.split(3), maps, top=4)
    whole = lrp.relevance(NET, X, start=torch.ones(len(X), 1).double()).maps
    for i, m in enumerate(maps):
        share = whole[m.layer] / whole[m.layer].abs().sum((1, 2, 3), keepdim=True)
        values = share[:, m.channel].flatten(1).max(1).values.sort(descending=True).values[:4]
        np.testing.assert_allclose(best.value[i], values.numpy(), rtol=1e-9, atol=1e-15)
        places = zip(best.image[i], best.row[i], best.col[i], strict=True)
        found = [float(share[n, m.channel, r, c]) for n, r, c in places]
        np.testing.assert_allclose(found, values.numpy(), rtol=1e-9, atol=1e-15)
    few = best.first(2)
    np.testing.assert_array_equal(few.image, best.image[:, :2])
    assert few.maps == best.maps and few.value.shape == (len(maps), 2)
    assert len(maxima.lrp_max(NET, few)) == 2 * len(maps)


def test_a_layer_without_relevance_has_shares_of_zero() -> None:
    model = randomise(Toy([]), 1, 32)
    model.fc.weight.data.zero_()  # type: ignore[operator, union-attr]
    net = lrp.canonize(model)
    best = relmax.relevance_max(net, [X], of_layer(net, "conv1"), top=2)
    assert (best.value == 0).all()


def ranked(images: list[list[int]], values: float = 1.0) -> Maxima:
    place = np.array(images)
    maps = tuple(FeatureMap("a", c, len(images)) for c in range(len(images)))
    return Maxima(maps, np.full(place.shape, values), place, place % 3, place % 2, [])


def test_agreement_counts_pictures_and_is_held_to_chance() -> None:
    found = relmax.agreement(ranked([[0, 1, 2], [3, 4, 5]]), ranked([[2, 1, 0], [6, 7, 3]]), count=30)
    assert found["shared"].tolist() == [3, 1] and found["same_place"].tolist() == [3, 1]
    assert found["expected"].tolist() == [9 / 30] * 2 and found["n"].tolist() == [30, 30]
    assert found["p"][0] == pytest.approx(1 / 4060) and found["p"][1] == pytest.approx(
        sum(hypergeom.pmf(i, 30, 3, 3) for i in (1, 2, 3))
    )
    silent = relmax.agreement(ranked([[0, 1]], values=0.0), ranked([[0, 1]]), count=5)
    assert silent[["shared", "expected", "p", "same_place"]].isna().all(axis=None)


def test_random_rankings_agree_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    a, b = ([rng.permutation(40)[:10].tolist() for _ in range(400)] for _ in range(2))
    found = relmax.agreement(ranked(a), ranked(b), count=40)
    assert found["shared"].mean() == pytest.approx(2.5, abs=0.2)
    assert (found["p"] <= 0.05).mean() <= 0.08
    same = relmax.agreement(ranked(a), ranked(a), count=40)
    assert (same["shared"] == 10).all() and (same["p"] < 1e-6).all()


def test_rankings_of_other_maps_or_pictures_are_refused() -> None:
    a = ranked([[0, 1]])
    with pytest.raises(ValueError, match="expected the same maps"):
        relmax.agreement(a, ranked([[0, 1], [0, 1]]), 5)
    with pytest.raises(ValueError, match="expected the same maps"):
        relmax.agreement(a, ranked([[0, 1, 2]]), 5)
    with pytest.raises(ValueError, match="rankings are of 1 pictures"):
        relmax.agreement(a, a, 1)
    assert isinstance(relmax.agreement(a, a, 2), pd.DataFrame)


def test_the_summary_is_a_mean_over_maps_and_counts_what_is_behind_it() -> None:
    a, b = ranked([[0, 1, 2], [3, 4, 5]]), ranked([[2, 1, 0], [6, 7, 3]])
    silent = relmax.agreement(ranked([[0, 1, 2]] * 2, values=0.0), a, count=30)
    rows = pd.concat([relmax.agreement(a, b, 30), relmax.agreement(a, a, 30), silent])
    found = relmax.summary(rows, n=200)
    assert found["value"] == pytest.approx((1 + 2 / 3) / 2) and found["chance"] == pytest.approx(0.1)
    assert (found["maps"], found["cases"], found["beyond"]) == (2, 4, 3)
    assert found["low"] <= found["value"] <= found["high"] and found["same_place"] == 1
    none = relmax.summary(silent)
    assert none["cases"] == 0 and np.isnan(none["value"]) and np.isnan(none["same_place"])
    assert np.isnan(relmax.summary(rows[rows["map"] == rows["map"].iloc[0]])["low"])
