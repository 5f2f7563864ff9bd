"""Concept relevance: parts sum to the whole, and another implementation agrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from lrp_nets import Toy, pictures, randomise, toy
from lrp_others import zennit_composite
from PIL import Image
from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

from tff_core import lrp
from tff_core.features import concepts, patches, pixels
from tff_core.features.names import FeatureMap
from tff_core.lrp.walk import walk_back
from tff_core.pictures import data


def of_layer(net: lrp.Net, *layers: str) -> list[FeatureMap]:
    return [FeatureMap(layer, c, net.layers[layer]) for layer in layers for c in range(net.layers[layer])]


MODEL = randomise(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=1), 3, 32)
RESNET = lrp.canonize(MODEL)
NET = lrp.canonize(toy(7))
X = pictures(7, 32)


# ------------------------------------------------------------------------------------ conditional heatmaps


@pytest.mark.parametrize("cut", [("conv1",), ("layer2.0.conv2", "layer2.0.downsample.0")], ids=" + ".join)
def test_heatmaps_of_all_maps_of_a_cut_sum_to_the_heatmap(cut: tuple[str, ...]) -> None:
    """Where all relevance passes these layers, their maps' parts are the whole: nothing is made or lost."""
    x, maps = pictures(2, 32, 5), of_layer(RESNET, *cut)
    found = concepts.conditional(RESNET, x, maps)
    whole = lrp.relevance(RESNET, x, pixels=True)
    assert whole.pixels is not None and whole.logit is not None
    torch.testing.assert_close(found.whole, whole.pixels, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(found.start, whole.logit.abs()[:, 0])
    apart = (found.pixels.sum(1) - whole.pixels).abs().sum() / whole.pixels.abs().sum()
    assert apart < 1e-6
    for m in (0, len(maps) - 1):
        own = whole.maps[maps[m].layer][:, maps[m].channel].sum((1, 2))
        torch.testing.assert_close(found.passing[:, m], own, rtol=1e-9, atol=1e-14)


def test_heatmaps_of_the_maps_of_a_branch_sum_to_what_passes_it() -> None:
    x, layer = pictures(1, 32, 6), "layer2.0.conv1"
    tape: list[object] = []
    arrived: dict[str, Tensor] = {}
    y = RESNET.forward(x, tape)
    walk_back(RESNET, y.abs(), list(tape), False, arrived.__setitem__)
    through = walk_back(RESNET, arrived[layer], tape[: RESNET.index[layer] + 1], True, lambda *_: None)
    found = concepts.conditional(RESNET, x, of_layer(RESNET, layer)).pixels.sum(1)
    assert through is not None
    torch.testing.assert_close(found, through, rtol=1e-9, atol=1e-14)
    whole = lrp.relevance(RESNET, x, pixels=True).pixels
    assert whole is not None and (found - whole).abs().sum() > 0.01 * whole.abs().sum()  # there is a shortcut


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv2", "layer2.0.downsample.0"])
def test_zennit_agrees_when_its_relevance_is_masked_there(layer: str) -> None:
    """As zennit-crp does; what goes round the layer is not conditional on it, and is taken off."""
    net = lrp.canonize(MODEL, reference=True)  # whose folding is zennit's
    x, start = pictures(2, 32, 8), torch.ones(2, 1).double()
    every = lrp.relevance(net, x, start=start).maps[layer].sum((0, 2, 3))
    m = FeatureMap(layer, int(every.argmax()), net.layers[layer])

    def masked(channels: list[int]) -> Tensor:
        def mask(module: object, inputs: object, output: Tensor) -> None:
            kept = torch.zeros(1, output.shape[1], 1, 1, dtype=output.dtype)
            kept[0, channels] = 1
            output.register_hook(lambda gradient: gradient * kept)

        leaf = x.clone().requires_grad_()
        with zennit_composite().context(MODEL) as modified:
            handle = modified.get_submodule(layer).register_forward_hook(mask)
            modified(leaf).backward(gradient=start)
            handle.remove()
        assert leaf.grad is not None
        return leaf.grad

    theirs = masked([m.channel]) - masked([])
    ours = concepts.conditional(net, x, [m], start=start).pixels[:, 0]
    assert theirs.abs().sum() > 0 and (ours - theirs).abs().sum() / theirs.abs().sum() < 1e-8


def test_pictures_and_maps_do_not_influence_each_other() -> None:
    maps = of_layer(NET, *NET.layers)[::-2]
    start = torch.linspace(-1, 2, 3).double()[:, None]
    found = concepts.conditional(NET, X[:3], maps, start=start)
    assert found.pixels.shape == (3, len(maps), 3, 32, 32) and found.maps == tuple(maps)
    torch.testing.assert_close(found.start, start[:, 0])
    alone = concepts.conditional(NET, X[1:2], [maps[-2]], start=torch.ones(1, 1).double())
    torch.testing.assert_close(0.5 * alone.pixels[0, 0], found.pixels[1, -2], rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(0.5 * alone.passing[0, 0], found.passing[1, -2], rtol=1e-9, atol=1e-14)


def test_bad_pictures_maps_and_starts_are_refused() -> None:
    m = of_layer(NET, "conv1")[0]
    with pytest.raises(ValueError, match=r"no feature map 'conv1\.#0\(T=64\)'"):
        concepts.conditional(NET, X, [FeatureMap("conv1", 0, 64)])
    with pytest.raises(ValueError, match="at least one picture and one feature map, found 7 and 0"):
        concepts.conditional(NET, X, [])
    with pytest.raises(ValueError, match="found 0 and 1"):
        concepts.conditional(NET, X[:0], [m])
    with pytest.raises(ValueError, match="2 starts for 7 pictures"):
        concepts.conditional(NET, X, [m], start=torch.ones(2, 1).double())
    with pytest.raises(ValueError, match="takes pictures of shape"):
        concepts.conditional(NET, X[:, :2], [m])


# ----------------------------------------------------------------------------------------- beside patches


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> data.ImageSet:
    root = tmp_path_factory.mktemp("concepts")
    rng = np.random.default_rng(1)
    for label in ("0_real", "1_fake"):
        (root / label).mkdir()
        for i in range(4):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return data.scan(root).where(label=1)


def test_what_runs_through_a_map_is_measured_in_the_picture_of_its_patch(images: data.ImageSet) -> None:
    net = lrp.canonize(toy(7).float())
    maps = of_layer(net, *net.layers)[::3]
    found = patches.find(net, images, maps, top=2).assign(generator="progan")
    rows = list(concepts.beside(net, found, maps[1:]))
    assert [row.map for row in rows] == [str(m) for m in maps[1:]]
    for row in rows:
        first = found[(found["map"] == row.map) & (found["rank"] == 0)].iloc[0]
        x = data.normalize(data.read(first["path"])[None])
        m = FeatureMap.parse(row.map)
        whole = lrp.relevance(net, x, start=torch.ones(1, 1))
        assert row.share == pytest.approx(float(whole.maps[m.layer][0, m.channel].sum()), rel=1e-4, abs=1e-7)
        heat = pixels.strength(row.through[None])[0]
        if first["box"] is not None and heat.sum():
            top, left, bottom, right = first["box"]
            assert row.inside == pytest.approx(heat[top:bottom, left:right].sum() / heat.sum())
            assert row.area == (bottom - top) * (right - left) / 1024
    table = concepts.table(rows)
    assert table.columns.tolist() == ["map", "generator", "share", "inside", "area"]
    assert len(table) == len(rows) and table["inside"].between(0, 1 + 1e-9).any()


def test_a_map_without_patch_or_relevance_has_no_share_inside(images: data.ImageSet) -> None:
    """A dead map: its output is never positive, so nothing arrives there."""
    model = randomise(Toy([]), 1, 32).float()
    model.bn1.weight.data[0], model.bn1.bias.data[0] = 0.0, -1.0  # type: ignore[index, union-attr]
    net = lrp.canonize(model.eval())
    dead = of_layer(net, "conv1")[0]
    found = patches.find(net, images, [dead], top=1).assign(generator="mine")
    (row,) = concepts.beside(net, found, [dead])
    assert row.inside is None and row.area is None and row.share == 0
    assert not row.through.any() and row.whole.any()
    table = concepts.table([row])
    assert table["inside"].isna().all() and table["share"].tolist() == [0.0]
    assert concepts.table([]).empty


def test_means_are_over_maps_and_say_how_many() -> None:
    rows = pd.DataFrame(
        [
            ("a", "x", 0.2, 0.9, 0.5),
            ("a", "y", 0.4, 0.7, 0.5),
            ("b", "x", 0.0, 0.4, 0.2),
            ("c", "x", 0.1, None, None),
        ],
        columns=["map", "generator", "share", "inside", "area"],
    )
    found = concepts.means(rows, n=200).set_index("measure")
    assert found["value"].to_dict() == pytest.approx(
        {"share": (0.3 + 0 + 0.1) / 3, "inside": 0.6, "area": 0.35, "inside - area": 0.25}
    )
    assert found["maps"].tolist() == [3, 2, 2, 2] and found["pictures"].tolist() == [4, 3, 3, 3]
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
    one = concepts.means(rows[rows["map"] == "b"]).set_index("measure")
    assert one.loc["inside", "value"] == 0.4 and np.isnan(one.loc["inside", "low"])
    none = concepts.means(concepts.table([])).set_index("measure")
    assert none["value"].isna().all() and (none["maps"] == 0).all()
