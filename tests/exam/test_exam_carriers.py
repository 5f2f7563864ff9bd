"""Maps that carry the trace: the effect without them is that of the book's dropout; one carrier is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from exam_known_detector import detector, pictures

from tff_core.exam import carriers
from tff_core.exam.known import Known
from tff_core.features.dropout import fold_dropout
from tff_core.features.names import FeatureMap


@pytest.mark.slow
def test_the_effect_without_a_set_is_that_of_a_network_without_it() -> None:
    one, some = detector("Cb2"), pictures("Cb2").take(range(6))
    layer = next(iter(one.net.layers))
    maps = [FeatureMap(layer, c, one.net.layers[layer]) for c in (1, 4)]
    whole, without = carriers.effects(one, some, [maps])
    with torch.no_grad():
        dropped = fold_dropout(one.net, maps)
        expected = dropped(one.seen(some.marked)) - dropped(one.seen(some.bare))
    np.testing.assert_allclose(without[0], expected[:, 0].numpy(), atol=1e-4)
    np.testing.assert_allclose(whole, one.logits(some.marked) - one.logits(some.bare), atol=1e-4)


def test_a_map_that_nobody_reads_carries_nothing_and_the_only_one_read_carries_all() -> None:
    """The first layer's map 2 is all that the second layer reads: without it the trace is lost."""
    one, some = detector("Cb2"), pictures("Cb2").take(range(8))
    model = torch.nn.Sequential(*(type(m)(**_arguments(m)) for m in one.model)).eval()
    model.load_state_dict(one.model.state_dict())
    with torch.no_grad():
        keep = torch.zeros(8)
        keep[2] = 1
        model[3].weight *= keep[None, :, None, None]
    cut = Known(model.requires_grad_(False), -1e9, one.recipe, one.device)
    whole = cut.logits(some.marked) - cut.logits(some.bare)
    if whole.mean() <= 0:  # the map may speak against the trace: then its opposite is what counts
        with torch.no_grad():
            model[-1].weight *= -1
            model[-1].bias *= -1
        cut = Known(model, -1e9, one.recipe, one.device)
    with torch.no_grad():
        model[-1].bias += 100  # all are called fake
    table = carriers.carried(cut, some, carriers.omega(cut, some), ["0"])
    assert len(table) == 8 and table["lost"].iloc[2] == pytest.approx(1, abs=1e-4)
    assert np.abs(table["lost"].drop(index=2)).max() < 1e-4
    assert table["omega"].idxmax() == 2 and (table["omega"].drop(index=2) < 1e-9).all()
    found = carriers.agreement(table, first=1).iloc[0]
    assert found["found"] == 1 and found["by_chance"] == pytest.approx(1 / 8) and found["median_rank"] < 0.5


def _arguments(module: torch.nn.Module) -> dict[str, object]:
    if isinstance(module, torch.nn.Conv2d):
        return {
            "in_channels": module.in_channels, "out_channels": module.out_channels, "kernel_size": 3,
            "stride": module.stride, "padding": 1, "bias": False,
        }  # fmt: skip
    if isinstance(module, torch.nn.BatchNorm2d):
        return {"num_features": module.num_features}
    if isinstance(module, torch.nn.Linear):
        return {"in_features": module.in_features, "out_features": 1}
    return {"output_size": 1} if isinstance(module, torch.nn.AdaptiveAvgPool2d) else {}


@pytest.mark.slow
def test_a_table_of_all_layers_and_of_the_top_k() -> None:
    one, some = detector("Cb2"), pictures("Cb2").take(range(10))
    ranking = carriers.omega(one, some)
    table = carriers.carried(one, some, ranking, list(one.net.layers))
    assert len(table) == 32 == len(ranking) and set(table["n"]) == {10}
    assert table["omega_rank"].min() == 0 and table["omega_rank"].max() == 1
    assert ((table["low"] <= table["lost"]) & (table["lost"] <= table["high"])).all()
    per_layer = carriers.agreement(table)
    assert (
        list(per_layer["layer"]) == list(one.net.layers) and (per_layer["found"] <= per_layer["asked"]).all()
    )
    left = carriers.top_dropped(one, some, ranking, draws=2)
    assert list(left["group"]) == ["top-k", "low-k", "matched-k", "matched-k"]
    assert left["k"].iloc[0] == 4 and ((left["low"] <= left["left"]) & (left["left"] <= left["high"])).all()
    one_scene = carriers.carried(one, some.take([0]), ranking, ["0"])
    assert (one_scene["low"] == one_scene["high"]).all()  # nothing to resample


def test_equal_values_have_no_correlation() -> None:
    one, some = detector("Cb2"), pictures("Cb2").take(range(4))
    table = carriers.carried(one, some, carriers.omega(one, some), ["0"])
    assert np.isnan(carriers.agreement(table.assign(omega=0.0))["rho"].iloc[0])


def test_what_cannot_be_asked_is_said() -> None:
    one, some = detector("Cb2"), pictures("Cb2").take(range(4))
    ranking = carriers.omega(one, some)
    with pytest.raises(ValueError, match="no convolution is called nothing: expected some of 0, "):
        carriers.carried(one, some, ranking, ["nothing"])
    with pytest.raises(ValueError, match="expected a detector whose logit it raises"):
        carriers.carried(one, some.at(0), ranking, ["0"])
    with pytest.raises(ValueError, match="none of 4 pictures with a trace is called fake"):
        carriers.omega(replace(one, threshold=1e9), some)
