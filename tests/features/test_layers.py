"""Where maps lie, on a network small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tff_core.features import layers
from tff_core.features.ffrs import Omega

WIDE = {"stem": 2, "stage.0.a": 4, "stage.1.b": 8}


def omega(*top: tuple[str, int]) -> Omega:
    """Every map has 0.01, but those that are named, the first of them most."""
    values = {layer: np.full(total, 0.01) for layer, total in WIDE.items()}
    for rank, (layer, channel) in enumerate(top):
        values[layer][channel] = 0.5 - 0.01 * rank
    return Omega(values, count=1)


def test_parts_are_stages_or_roles() -> None:
    assert layers.part("layer1.0.conv3", "resnet50") == "layer1"
    assert layers.part("_blocks.3._project_conv", "efb0") == "_project_conv"


def test_a_mix_counts_all_maps_and_names_parts_without_any() -> None:
    found = omega(("stem", 0), ("stage.0.a", 1), ("stage.1.b", 7))
    assert layers.mix(found.top(3), WIDE, "other") == {"stem": 1, "stage": 2}
    assert layers.mix(found.top(1), WIDE, "other") == {"stem": 1, "stage": 0}
    assert sum(layers.mix(found.ranking, WIDE, "other").values()) == sum(WIDE.values())


def test_per_layer_sums_omega_and_counts_the_top() -> None:
    table = layers.per_layer(omega(("stem", 0), ("stem", 1)), omega(("stage.1.b", 0)), k=2)
    assert table["layer"].tolist() == list(WIDE) and table["channels"].tolist() == [2, 4, 8]
    assert table["top"].tolist() == [2, 0, 0]
    assert table["fake"].tolist() == pytest.approx([0.99, 0.04, 0.08])
    assert table["real"].tolist() == pytest.approx([0.02, 0.04, 0.57])
    assert layers.narrowness(table) > 0.8  # the narrowest layer has all


def test_wide_layers_on_top_are_the_opposite_of_narrow_ones() -> None:
    table = layers.per_layer(omega(*(("stage.1.b", c) for c in range(8))), omega(), k=8)
    assert layers.narrowness(table) < -0.8


def test_agreement_counts_names_and_compares_layers() -> None:
    one, other = omega(("stem", 0), ("stage.1.b", 0)), omega(("stem", 1), ("stage.1.b", 0))
    found = layers.agreement(one, other, k=2)
    assert found.shared == 1
    assert found.expected == pytest.approx(1 / 2 + 1 / 8)  # one of two, and one of eight
    assert found.correlation == pytest.approx(1)
    assert layers.agreement(one, one, k=2).shared == 2


def test_what_is_expected_by_chance_is_what_random_draws_share_on_average() -> None:
    rng = np.random.default_rng(0)
    counts = {"stem": 1, "stage.0.a": 2, "stage.1.b": 3}

    def draw() -> list[tuple[str, int]]:
        return [
            (name, int(c)) for name, n in counts.items() for c in rng.choice(WIDE[name], n, replace=False)
        ]

    pairs = [layers.agreement(omega(*draw()), omega(*draw()), k=6) for _ in range(400)]
    assert np.mean([p.shared for p in pairs]) == pytest.approx(pairs[0].expected, abs=0.15)


def test_passages_add_up_branches_and_are_unknown_for_other_networks() -> None:
    sums = {"conv1": 0.9} | {
        f"layer{i}.0.{name}": share
        for i in (1, 2, 3, 4)
        for name, share in (("conv3", 0.4), ("downsample.0", 0.5))
    }
    found = layers.passages("resnet50", sums)
    assert found["conv1"] == 0.9 and found["layer2.0.conv3 + layer2.0.downsample.0"] == pytest.approx(0.9)
    assert len(found) == 5
    assert layers.passages("a.module:net", sums) == {}
