"""Patch classifiers: the published structure, initialisation and parameter counts, and files of weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from tff_core import detectors, localization
from tff_core.localization import networks, weights

# name, parameters with the head, side of the map by side of the picture: Chai et al.'s networks
TABLE: list[tuple[str, int, dict[int, int]]] = [
    ("xception_block1", 55_010, {299: 74, 333: 82, 128: 31}),
    ("xception_block2", 191_330, {299: 37, 333: 41, 128: 16}),
    ("xception_block3", 1_108_218, {299: 19, 333: 21, 128: 8}),
    ("xception_block4", 2_722_194, {299: 19, 333: 21, 128: 8}),
    ("xception_block5", 4_336_170, {299: 19, 333: 21, 128: 8}),
    ("resnet18_layer1", 157_634, {224: 56, 256: 64, 128: 32}),
    ("resnet18_layer2", 683_330, {224: 28, 256: 32, 128: 16}),
    ("resnet18_layer3", 2_783_298, {224: 14, 256: 16, 128: 8}),
    ("resnet18_layer4", 11_177_538, {224: 7, 256: 8, 128: 4}),
]
ODD = [(48, 48), (45, 70), (7, 31), (64, 19)]


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("name", "parameters", "sides"), TABLE)
def test_parameters_and_maps_are_the_published_ones(
    name: str, parameters: int, sides: dict[int, int]
) -> None:
    net = localization.build(name)
    assert count(net) == parameters and net.fake_class == 0 and not net.training
    for picture, side in sides.items():
        assert localization.map_size(name, (picture, picture)) == (side, side)
    smallest = min(sides)
    with torch.inference_mode():
        y = net(torch.zeros(1, 3, smallest, smallest))
    assert y.shape == (1, 2, sides[smallest], sides[smallest])


def test_the_stem_and_every_block_have_the_published_parameters() -> None:
    net = networks.on_meta("xception_block5")
    sums = np.cumsum([count(module) for module in net])
    stages = {name: int(total) for (name, _), total in zip(net.named_children(), sums, strict=True)}
    assert [stages[n] for n in ("relu2", "block1", "block2", "block3", "block4", "block5")] == [
        19_488, 54_752, 190_816, 1_106_760, 2_720_736, 4_334_712,
    ]  # fmt: skip


@pytest.mark.slow
def test_whole_networks_are_those_of_their_libraries() -> None:
    # Xception of Keras and timm: 22,855,952 with 1000 classes
    assert count(networks.on_meta("xception")) == 22_855_952 - 2049 * 1000 + 2049 * 2
    for depth in (18, 34, 50):
        theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=2).eval()
        ours = localization.build(f"resnet{depth}")
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        x = torch.rand(1, 3, 64, 64)
        with torch.inference_mode():
            assert torch.equal(ours(x), theirs(x))
        assert ours(x).shape == (1, 2) and localization.heatmap(ours, x).shape == (1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet34_layer2", "resnet50_layer1", "resnet50_layer3"])
def test_a_cut_residual_network_computes_what_its_library_does_up_to_the_cut(name: str) -> None:
    depth, _, cut = name.removeprefix("resnet").partition("_")
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    ours = localization.build(name)
    state = theirs.state_dict()
    ours.load_state_dict({key: state.get(key, value) for key, value in ours.state_dict().items()})
    x = torch.rand(2, 3, 40, 56)
    with torch.inference_mode():
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for number in range(1, int(cut.removeprefix("layer")) + 1):
            y = getattr(theirs, f"layer{number}")(y)
        assert torch.equal(ours(x), ours.convout(y))


def test_the_sum_of_a_block_is_not_activated_and_the_shortcut_sees_the_input_as_it_is() -> None:
    net = localization.build("xception_block2", init="kaiming").double()
    x = torch.randn(1, 64, 15, 15, dtype=torch.float64)
    block, kept = net.block1, x.clone()
    with torch.inference_mode():
        y = block(x)
        assert torch.equal(x, kept) and float(y.min()) < 0
        rep = block.rep
        assert isinstance(rep[0], networks.SeparableConv)  # block 1 does not begin with a ReLU
        assert isinstance(net.block2.rep[0], nn.ReLU) and not net.block2.rep[0].inplace
        by_hand = rep[1](rep[0].pointwise(rep[0].conv1(x))).relu()
        by_hand = nn.functional.max_pool2d(rep[4](rep[3](by_hand)), 3, 2, 1)
        assert torch.allclose(y, by_hand + block.skipbn(block.skip(x)), atol=1e-12)


def test_block12_widens_in_its_last_convolution() -> None:
    block = networks.on_meta("xception_block12").block12
    assert [(m.pointwise.in_channels, m.pointwise.out_channels) for m in block.rep.modules()
            if isinstance(m, networks.SeparableConv)] == [(728, 728), (728, 1024)]  # fmt: skip


def test_longxception_is_deep_with_the_field_of_block_2() -> None:
    net = networks.on_meta("longxception")
    assert localization.field("longxception") == localization.field("xception_block2")
    assert count(net) > count(networks.on_meta("xception_block2"))
    kernels = {m.conv1.kernel_size for m in net.block3.modules() if isinstance(m, networks.SeparableConv)}
    assert kernels == {(1, 1)} and len(net.block4.rep) == 9


@pytest.mark.parametrize("name", ["xception_block2", "resnet18_layer2", "widenet_kw7_d1"])
def test_the_original_initialisation(name: str) -> None:
    net = localization.build(name, seed=1)
    scales = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            inputs, outputs = (nn.init._calculate_fan_in_and_fan_out(module.weight)[i] for i in (0, 1))
            expected = 0.02 * (2 / (inputs + outputs)) ** 0.5
            error = 4 / (2 * module.weight.numel()) ** 0.5  # four standard errors of a deviation
            assert float(module.weight.detach().std(correction=0)) == pytest.approx(
                expected, rel=error + 0.01
            )
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            scales.append(module.weight)
            assert not module.bias.any()
    scale = torch.cat(scales)
    assert float(scale.detach().mean()) == pytest.approx(1, abs=5e-3) and float(
        scale.detach().std()
    ) == pytest.approx(0.02, rel=0.2)
    assert net.init == "xavier002"


def test_one_seed_gives_one_network_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (localization.build("resnet18_layer1", seed=seed) for seed in (7, 7, 8))
    assert torch.equal(torch.rand(3), expected)
    states = [net.state_dict() for net in (one, same, other)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])


def test_kaiming_keeps_the_size_of_activations_where_the_original_lets_them_fade() -> None:
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        spread = {init: localization.build("xception_block3", init=init).trunk(x).std()
                  for init in ("xavier002", "kaiming")}  # fmt: skip
    assert float(spread["kaiming"]) > 0.05 > float(spread["xavier002"]) * 1e3


@pytest.mark.slow
def test_imagenets_weights_are_taken_below_the_head_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no ImageNet weights resnet18-\*\.pth"):
        localization.build("resnet18_layer1", init="imagenet")
    (tmp_path / "checkpoints").mkdir()
    theirs = torchvision.models.resnet18()
    torch.save(theirs.state_dict(), tmp_path / "checkpoints" / "resnet18-0123abcd.pth")
    net = localization.build("resnet18_layer1", init="imagenet", seed=2)
    assert torch.equal(net.conv1.weight, theirs.conv1.weight)
    assert torch.equal(net.convout.weight, localization.build("resnet18_layer1", seed=2).convout.weight)
    assert net.init == "imagenet (resnet18-0123abcd.pth)"
    # the file of Xception keeps 1x1 convolutions as matrices
    state = localization.build("xception", init="kaiming").state_dict()
    flat = {k: v[:, :, 0, 0] if k.endswith("pointwise.weight") else v for k, v in state.items()}
    torch.save(flat, tmp_path / "checkpoints" / "xception-0123abcd.pth")
    cut = localization.build("xception_block1", init="imagenet")
    key = "block1.rep.0.pointwise.weight"
    assert torch.equal(cut.state_dict()[key], state[key])
    with pytest.raises(ValueError, match="has no weights of ImageNet"):
        localization.build("widenet_kw7_d1", init="imagenet")


@pytest.mark.parametrize("name", ["xception_block0", "xception_block13", "resnet18_layer5", "vgg11",
                                  "widenet_kw7", "resnet20_layer1", "", None, 3])  # fmt: skip
def test_unknown_names_are_told_with_those_there_are(name: object) -> None:
    with pytest.raises(ValueError, match=r"no patch classifier is called .*xception_block1"):
        localization.build(name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no patch classifier is called"):
        localization.field(name)  # type: ignore[arg-type]


def test_other_wrong_arguments_are_one_sentence() -> None:
    with pytest.raises(ValueError, match="initialisation 'xavier': expected one of xavier002, kaiming"):
        localization.build("xception_block1", init="xavier")
    for value in (2, -1, True, "fake", None):
        with pytest.raises(ValueError, match=r"class of fakes is .*: expected 0 or 1"):
            localization.build("xception_block1", fake_class=value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"widenet_kw6_d1.*odd"):
        localization.build("widenet_kw6_d1")


@pytest.mark.parametrize("name", ["xception_block1", "xception_block5", "longxception", "widenet_kw3_d4",
                                  "resnet18_layer4", "resnet50_layer2"])  # fmt: skip
def test_too_small_a_picture_is_one_sentence_and_the_smallest_is_taken(name: str) -> None:
    net = localization.build(name)
    least = networks.smallest(name)
    for size in ((least, least), (least, 40), (23, least)):
        with torch.inference_mode():
            y = net(torch.zeros(2, 3, *size))
        assert y.shape == (2, 2, *localization.map_size(name, size))
        probability = localization.heatmap(net, torch.zeros(2, 3, *size))
        assert probability.shape == (2, *localization.map_size(name, size)) and bool(
            probability.isfinite().all()
        )
    if least > 1:
        with pytest.raises(ValueError, match=f"too small for {name}: expected at least {least}"):
            localization.heatmap(net, torch.zeros(1, 3, least - 1, 40))
        with pytest.raises(ValueError, match=f"too few for {name}: expected at least {least}"):
            localization.map_size(name, (40, least - 1))
        with pytest.raises(ValueError, match="too few"):
            localization.box(name, (0, 0), (40, least - 1))


@pytest.mark.parametrize("x", [torch.zeros(3, 32, 32), torch.zeros(1, 1, 32, 32), "picture",
                               torch.zeros(1, 3, 32, 32, dtype=torch.uint8)])  # fmt: skip
def test_what_is_no_picture_is_one_sentence(x: object) -> None:
    net = localization.build("xception_block1")
    with pytest.raises(ValueError, match=r"takes pictures \(N, 3, height, width\)"):
        net(x)


# ----------------------------------------------------------------------------------------------- weights


def published(path: Path, net: nn.Module, wrap: Callable[[dict], dict] = lambda state: state) -> Path:
    """A checkpoint as the published code writes it."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    torch.save(
        {"state_dict": wrap(net.state_dict()), "optimizer": optimizer.state_dict(), "scheduler": {},
         "epoch": 12, "best_val_metric": 0.97, "best_val_ep": 9},
        path,
    )  # fmt: skip
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xception_block2", "resnet18_layer1", "longxception", "xception"])
def test_weights_as_the_original_saves_them_are_read_and_recognised(name: str, tmp_path: Path) -> None:
    net = localization.build(name, seed=4)
    path = published(tmp_path / "bestval_net_D.pth", net)
    for given in (name, None):
        found = localization.load(path, given)
        assert found.name == name and found.fake_class == 0 and not found.training
        state = found.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert localization.load(path, name, fake_class=1).fake_class == 1
    prefixed = published(
        tmp_path / "p_net_D.pth", net, lambda state: {f"module.{k}": v for k, v in state.items()}
    )
    assert localization.load(prefixed).name == name


def test_own_weights_carry_name_and_label_order(tmp_path: Path) -> None:
    net = localization.build("xception_block1", fake_class=1, seed=2)
    localization.save(net, tmp_path / "x.safetensors", preparation={"load": 64})
    found = localization.load(tmp_path / "x.safetensors")
    assert found.name == "xception_block1" and found.fake_class == 1
    assert weights.header(tmp_path / "x.safetensors")["preparation"] == '{"load": 64}'
    x = torch.randn(2, 3, 40, 33)
    assert torch.equal(localization.heatmap(found, x), localization.heatmap(net, x))
    with pytest.raises(
        detectors.WeightsError, match="says that logit 1 stands for fakes, and 0 was asked for"
    ):
        localization.load(tmp_path / "x.safetensors", fake_class=0)


@pytest.mark.slow
def test_a_checkpoint_of_another_cut_is_named(tmp_path: Path) -> None:
    path = published(tmp_path / "bestval_net_D.pth", localization.build("xception_block3"))
    with pytest.raises(
        detectors.WeightsError, match="has weights of xception_block3: expected those of xception_block2"
    ):
        localization.load(path, "xception_block2")
    own = tmp_path / "own.safetensors"
    localization.save(localization.build("resnet18_layer1"), own)
    with pytest.raises(
        detectors.WeightsError, match="has weights of resnet18_layer1: expected those of resnet34_layer1"
    ):
        localization.load(own, "resnet34_layer1")
    torch.save({"state_dict": nn.Linear(2, 2).state_dict()}, tmp_path / "other.pth")
    with pytest.raises(detectors.WeightsError, match="of no patch classifier"):
        localization.load(tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match="does not exist: expected the weights of a patch classifier"):
        localization.load(tmp_path / "none.pth")


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save(
        {"state_dict": localization.build("xception_block1").state_dict(), "x": Runs()}, tmp_path / "e.pth"
    )
    with pytest.raises(detectors.WeightsError, match="holds more than weights"):
        localization.load(tmp_path / "e.pth", "xception_block1")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "cut.pth").write_bytes((tmp_path / "e.pth").read_bytes()[:900])
    with pytest.raises(detectors.WeightsError, match=r"cut\.pth"):
        localization.load(tmp_path / "cut.pth")


def test_weights_that_are_not_finite_are_refused_in_file_and_in_use(tmp_path: Path) -> None:
    net = localization.build("xception_block1")
    with torch.no_grad():
        net.convout.bias[0] = float("nan")
    with pytest.raises(detectors.WeightsError, match="logits of xception_block1 are not finite"):
        localization.heatmap(net, torch.zeros(1, 3, 32, 32))
    published(tmp_path / "n_net_D.pth", net)
    with pytest.raises(detectors.WeightsError, match="not finite"):
        localization.load(tmp_path / "n_net_D.pth")


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    """To the byte; the header says what the network is, in one entry or, in older files, in several."""
    net = localization.build("xception_block1", seed=3, fake_class=1)
    written = {weights.save(net, tmp_path / f"{i}.safetensors", preparation={"load": 64}) for i in range(8)}
    assert len(written) == 1
    told = weights.header(tmp_path / "0.safetensors")
    expected = {"network": "xception_block1", "fake_class": "1", "init": net.init}
    expected["preparation"] = '{"load": 64}'
    assert told == expected
    safetensors.torch.save_file(net.state_dict(), tmp_path / "old.safetensors", expected)
    assert weights.header(tmp_path / "old.safetensors") == expected
    assert weights.load(tmp_path / "old.safetensors").fake_class == 1
