"""Names of feature maps: the published form, and nothing else."""

import pytest

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
