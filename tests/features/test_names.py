"""Names of feature maps: the published form, and nothing else, and the place that a name leads to."""

import re

import pytest
from lrp_nets import toy

from tff_core import lrp
from tff_core.features import names
from tff_core.features.names import FeatureMap


def test_round_trip() -> None:
    key = "layer1.0.conv1.#63(T=64)"
    assert FeatureMap.parse(key) == FeatureMap("layer1.0.conv1", 63, 64)
    assert str(FeatureMap.parse(key)) == key


@pytest.mark.parametrize("key", ["", "conv1", "conv1.#3", "conv1.#3(T=)", "conv1.#-1(T=4)", "#3(T=4)"])
def test_other_forms_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no feature-map name"):
        FeatureMap.parse(key)


def test_channel_outside_the_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the layer's 64 channels"):
        FeatureMap.parse("conv1.#64(T=64)")


def test_a_link_leads_to_the_maps_place() -> None:
    m = FeatureMap("layer1.0.conv1", 63, 64)
    assert names.anchor(m) == "layer1.0.conv1.63"
    assert names.address(m) == "atlas.html#layer1.0.conv1.63"
    assert names.link(m) == (
        '<a href="atlas.html#layer1.0.conv1.63"><code>layer1.0.conv1.#63(T=64)</code></a>'
    )
    assert 'href="../notebooks/atlas.html#layer1.0.conv1.63"' in names.link(m, "../notebooks/")


def test_every_map_of_a_network_has_an_address_of_its_own() -> None:
    net = lrp.canonize(toy(7))
    anchors = [names.anchor(FeatureMap(layer, c, n)) for layer, n in net.layers.items() for c in range(n)]
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", anchor) for anchor in anchors)


def test_a_link_escapes_the_name() -> None:
    odd = FeatureMap('a"<script>', 0, 1)
    assert "<script" not in names.link(odd) and '"' not in names.anchor(odd)
