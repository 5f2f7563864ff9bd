"""The registry, and weights that are refused unless they are what they claim."""

import argparse
import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tff_core import detectors
from tff_core.miniature import scenes
from tff_core.store import results


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return detectors.build("resnet50")


def test_registry() -> None:
    universal = ["resnet50-miniature", "efb0-miniature", "resnet18-miniature"]
    robust = [f"{name}-cr" for name in universal]
    parts = {f"resnet18-{planes}": planes for planes in ("rgb", "luma", "chroma")}
    assert sorted(detectors.names()) == sorted([*universal, *robust, *parts])
    for names, share in ((universal, None), (robust, 0.5)):
        assert [detectors.get(name).k for name in names] == [114, 27, 21]
        assert [detectors.get(name).options.get("grayscale") for name in names] == [share] * 3
    for name, planes in parts.items():  # alike but for what they see
        one, other = detectors.get(name), detectors.get("resnet18-rgb")
        seen = replace(other.preprocessing, planes=planes)
        assert one == replace(other, name=name, preprocessing=seen)
    assert detectors.classifiers() == ["resnet50-scenes", "efb0-scenes", "resnet18-scenes"]
    assert all(detectors.get(name).classes == scenes.CLASSES for name in detectors.classifiers())
    with pytest.raises(ValueError, match="no detector is called 'vgg'; expected one of resnet50-miniature"):
        detectors.get("vgg")
    with pytest.raises(ValueError, match="unknown network 'vgg'; expected one of resnet50"):
        detectors.build("vgg")
    with pytest.raises(ValueError, match="different detector is already called"):
        detectors.register(detectors.Spec("efb0-miniature", "resnet50"))


@pytest.mark.parametrize("arch", list(detectors.ARCHITECTURES))
def test_a_classifier_is_the_same_network_with_one_logit_per_class(arch: str) -> None:
    detector, classifier = detectors.build(arch), detectors.build(arch, scenes.CLASSES)
    one, four = ({n: p.shape for n, p in m.named_parameters()} for m in (detector, classifier))
    differing = [name for name in one if one[name] != four[name]]
    assert [name.split(".")[-1] for name in differing] == ["weight", "bias"]
    assert one.keys() == four.keys() and [four[name][0] for name in differing] == [4, 4]


def test_efficientnet_is_one_function_for_any_size_and_has_no_dropout() -> None:
    torch.manual_seed(0)
    model = detectors.build("efb0")
    assert model(torch.zeros(1, 3, 64, 64)).shape == model(torch.zeros(1, 3, 37, 50)).shape == (1, 1)
    for module in model.modules():  # batch statistics out of the way: only dropout could differ
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
            module.eval()
    x = torch.randn(2, 3, 64, 64)
    outside = [m for m in model.modules() if not isinstance(m, nn.BatchNorm2d)]
    before = model(x)
    for module in outside:
        module.training = True
    assert torch.equal(before, model(x))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".published.pth", ".parallel.pth"])
def test_weights_come_back_whatever_the_wrapping(tmp_path: Path, suffix: str) -> None:
    source = tiny()
    state = source.state_dict()
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    elif suffix == ".pth":
        torch.save(state, path)
    elif suffix == ".published.pth":
        optimizer = torch.optim.Adam(source.parameters())
        torch.save({"model": state, "optimizer": optimizer.state_dict(), "total_steps": 7}, path)
    else:
        kept = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")}
        torch.save({"model": kept}, path)
    other = tiny()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    loaded = detectors.load_weights(other, path).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


WRAPPINGS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "best_acc": np.float64(0.9)},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": adam()},
    "net": lambda state: {"net": state, "lr": 0.1, "args": argparse.Namespace(lr=0.1, name="x")},
    "params_ema": lambda state: {"params_ema": state},
    "two keys": lambda state: {"checkpoint": {"network": state}, "iteration": torch.tensor(7)},
    "any key": lambda state: {"my own": {"weights": state}},
    "lightning": lambda state: {
        "state_dict": prefixed(state, "net."), "hyper_parameters": {"lr": 0.1}, "callbacks": {},
        "optimizer_states": [adam()], "pytorch-lightning_version": "2.0.0",
    },
    "counter among weights": lambda state: {**state, "epoch": torch.tensor(3), "lr": 0.1},
    "trained and average": lambda state: {"ema": {k: v * 2 for k, v in state.items()}, "model": state},
    "twice the same": lambda state: {"model": state, "best": {k: v.clone() for k, v in state.items()}},
    "discriminator beside": lambda state: {"g": {"conv.weight": torch.zeros(3)}, "d": state},
    "compiled inside": lambda state: {
        k.replace("0.", "0._orig_mod."): v for k, v in prefixed(state, "m.").items()
    },
    "half": lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
} | {
    prefix: lambda state, prefix=prefix: prefixed(state, prefix)
    for prefix in (
        "module.", "module.module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "backbone.",
        "encoder.", "a.b.c.0.", "0.",
    )
}  # fmt: skip


def adam() -> dict[str, Any]:
    """The state of an optimizer after a step."""
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("name", list(WRAPPINGS))
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_found_in_any_wrapping_under_any_suffix(tmp_path: Path, name: str, suffix: str) -> None:
    state = {key: value.clone() for key, value in tiny().state_dict().items()}
    path = tmp_path / f"w{suffix}"  # the content decides what kind of file it is
    torch.save(WRAPPINGS[name](state), path)
    other = tiny()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    loaded = detectors.load_weights(other, path).state_dict()
    near = 1e-3 if name == "half" else 0
    assert all(torch.allclose(loaded[key], state[key], rtol=near, atol=near) for key in state)


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".ckpt", ""])
def test_safetensors_are_read_under_any_name(tmp_path: Path, suffix: str) -> None:
    state = tiny().state_dict()
    save_file(prefixed(state, "model."), tmp_path / f"w{suffix}")
    loaded = detectors.load_weights(tiny(), tmp_path / f"w{suffix}").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_weights_that_do_not_fit_are_refused_with_the_reason(tmp_path: Path) -> None:
    state, path = tiny().state_dict(), tmp_path / "w.pth"
    other = {key: value + 1 for key, value in state.items()}
    six = {**state, "0.weight": torch.zeros(4, 6, 3, 3)}
    mixed = {"encoder.0.weight": state["0.weight"], **{k: v for k, v in state.items() if k != "0.weight"}}
    for content, reason in (
        ({"a": state, "b": other}, "fit in two places, a and b, and they differ"),
        ({"ema": state, "ema_2": other}, "fit in two places, ema and ema_2"),
        (
            {"net": prefixed(six, "module.")},
            r"\(under 'net'\): 0\.weight has shape \(4, 6, 3, 3\), expected \(4, 3, 3, 3\) "
            r"\(the file's network takes 6 channels of input, this one 3\)",
        ),
        (
            {**state, "4.weight": torch.zeros(2, 4), "4.bias": torch.zeros(2)},
            r"4\.bias has shape|4\.weight has shape \(2, 4\), expected \(1, 4\) .*2 logits, this one 1",
        ),
        (mixed, r"1 missing \(0\.weight\), 1 unexpected \(encoder\.0\.weight\)"),
        ({"epoch": 3, "optimizer": adam()}, "holds no weights: .*found dict with the keys epoch, optimizer"),
        ({**state, "5.weight": torch.zeros(1, 1)}, r"0 missing, 1 unexpected \(5\.weight\)"),
    ):
        torch.save(content, path)
        with pytest.raises(detectors.WeightsError, match=reason):
            detectors.load_weights(tiny(), path)
    content = {"model": state}
    content["self"] = content  # a dict that holds itself is no endless search
    torch.save(content, path)
    assert detectors.read_weights(path).keys() == state.keys()


def test_weights_of_another_network_are_named(tmp_path: Path, resnet: nn.Module) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"features.0.weight": torch.zeros(2), "fc.bias": torch.zeros(1)}, path)
    with pytest.raises(
        detectors.WeightsError, match=r"another network: \d+ missing \(bn1\.bias, .*1 unexpected \(fe"
    ):
        detectors.load_weights(resnet, path)
    state = tiny().state_dict()
    save_file({**state, "4.weight": torch.zeros(1000, 4)}, path)
    with pytest.raises(detectors.WeightsError, match=r"4\.weight has shape \(1000, 4\), expected \(1, 4\)"):
        detectors.load_weights(tiny(), path)
    state["0.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, path)
    with pytest.raises(detectors.WeightsError, match=r"1 of 108 numbers in 0\.weight are not finite"):
        detectors.load_weights(tiny(), path)


class Trap:
    """A pickle that would make a file when opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save({"model": Trap(trap)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Trap(trap)))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(detectors.WeightsError, match="was not opened further"):
            detectors.read_weights(tmp_path / name)
    assert not trap.exists()


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth does not exist"):
        detectors.read_weights(tmp_path / "none.pth")
    whole = tmp_path / "whole.pth"
    torch.save(tiny().state_dict(), whole)
    contents = {
        "empty": b"",
        "text": b"hello world",
        "half": whole.read_bytes()[: whole.stat().st_size // 2],
        "list": None,
    }
    for name, content in contents.items():
        for suffix in (".pth", ".safetensors"):
            path = tmp_path / f"{name}{suffix}"
            if content is None:
                if suffix == ".safetensors":
                    continue
                torch.save([torch.zeros(1)], path)
            else:
                path.write_bytes(content)
            with pytest.raises(detectors.WeightsError, match=rf"{name}\{suffix}"):
                detectors.read_weights(path)


def test_load_says_how_to_train_what_is_missing_and_reads_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = results.Store(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"-m tff_core\.detectors\.training --detector efb0-miniature --seed 4"
    ):
        detectors.load("efb0-miniature", 4, store)
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny))
    monkeypatch.setitem(detectors.REGISTRY, "t", detectors.Spec("t", "tiny"))
    path = store.detector("t", 0)
    path.parent.mkdir()
    save_file(tiny().state_dict(), path)
    results.write_json(path.with_suffix(".json"), {"threshold": 0.25})
    detector = detectors.load("t", 0, store)
    assert detector.threshold == 0.25
    assert not detector.model.training
    assert not any(p.requires_grad for p in detector.model.parameters())
    results.write_json(path.with_suffix(".json"), {})
    with pytest.raises(detectors.WeightsError, match="has no threshold: delete it and run"):
        detectors.load("t", 0, store)


def test_a_classifier_is_loaded_without_a_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny_of(logits: int = 1) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, logits))

    store = results.Store(tmp_path)
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny_of))
    monkeypatch.setitem(detectors.REGISTRY, "c", detectors.Spec("c", "tiny", classes=("a", "b", "c")))
    path = store.detector("c", 0)
    path.parent.mkdir()
    save_file(tiny_of(3).state_dict(), path)
    results.write_json(path.with_suffix(".json"), {"validation": {"accuracy": 0.5}})
    classifier = detectors.load("c", 0, store)
    assert classifier.model(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    assert np.isnan(classifier.threshold) and classifier.spec.classes == ("a", "b", "c")


def test_imagenet_weights_are_those_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny_of(logits: int = 1) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, logits))

    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny_of))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no ImageNet weights tiny-\*\.pth in .*checkpoints"):
        detectors.imagenet("tiny")
    (tmp_path / "checkpoints").mkdir()
    source = tiny_of(1000)
    torch.save(source.state_dict(), tmp_path / "checkpoints" / "tiny-0123.pth")
    found = detectors.imagenet("tiny")
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(found(x), source.eval()(x)) and not any(p.requires_grad for p in found.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "begins", "library"),
    [("resnet50", "resnet50-", "pytorch.org"), ("efb0", "efficientnet-b0-", "EfficientNet-PyTorch")],
)
def test_imagenet_weights_come_from_where_the_library_gets_them(
    arch: str, begins: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = detectors.ARCHITECTURES[arch]
    assert network.imagenet.rsplit("/", 1)[-1].startswith(begins) and library in network.imagenet
    torch.manual_seed(0)
    (tmp_path / "theirs").mkdir()
    made = tmp_path / "theirs" / "weights.pth"
    torch.save(network.make(1000).state_dict(), made)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()[:8]
    there = made.rename(made.with_name(f"{begins}{digest}.pth"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setitem(detectors.ARCHITECTURES, arch, replace(network, imagenet=there.as_uri()))
    with pytest.raises(FileNotFoundError, match=f"no ImageNet weights {begins}"):
        detectors.imagenet(arch)
    found = detectors.imagenet(arch, download=True)
    assert all(
        torch.equal(a, b)
        for a, b in zip(found.state_dict().values(), torch.load(there).values(), strict=True)
    )
    there.unlink()
    detectors.imagenet(arch)  # kept
    wrong = there.with_name(f"{begins}00000000.pth")
    wrong.write_bytes(b"another file")
    monkeypatch.setitem(detectors.ARCHITECTURES, arch, replace(network, imagenet=wrong.as_uri()))
    with pytest.raises(ConnectionError, match=r"could not be fetched from .*hash"):
        detectors.imagenet(arch, download=True)


def two_logits() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def no_network() -> int:
    return 0


def test_a_network_by_import_path() -> None:
    made = detectors.architecture("torchvision.models:resnet18")
    assert made.title == "resnet18" and made.k == 0
    assert detectors.build("torchvision.models:resnet18").fc.out_features == 1  # type: ignore[union-attr]
    assert isinstance(detectors.build(f"{__name__}:two_logits"), nn.Sequential)
    with pytest.raises(ValueError, match=r"no_such_module.*PYTHONPATH"):
        detectors.build("no_such_module:make")
    with pytest.raises(ValueError, match="has no attribute 'resnet19'"):
        detectors.build("torchvision.models:resnet19")
    with pytest.raises(ValueError, match=r"expected a torch.nn.Module, found int"):
        detectors.build(f"{__name__}:no_network")


@pytest.mark.parametrize(
    ("arch", "complaint"),
    [
        ("torchvision.models:resnet", "resnet is a module; expected a function or class"),
        ("torch.nn:Linear", "needs the arguments in_features, out_features"),
        ("torch.nn:Identity", ""),
        ("math:pi", "pi is a float"),
        ("builtins:len", "needs the arguments obj"),
        ("mine:broken_call", r"broken_call\(\) fails \(KeyError: 'x'\)"),
        ("mine:leaves", r"leaves\(\) fails \(SystemExit: 3\)"),
        ("mine:endless", r"endless\(num_classes=1\) fails \(RecursionError"),
        ("mine:made", "made is a network already"),
        ("mine:nothing", "found NoneType, which is what nothing returns"),
        ("mine:picky", r"picky\(num_classes=1\) fails \(TypeError"),
        ("syntax:make", r"module syntax cannot be imported \(SyntaxError: .*line 1"),
        ("raises:make", r"module raises cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("exits:make", r"module exits cannot be imported \(SystemExit: 1\)"),
        (".relative:make", "relative"),
        ("os.path:", "unknown network"),
    ],
)
def test_a_network_by_import_path_that_cannot_be_made_is_refused_with_the_reason(
    arch: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import sys\nfrom torch import nn\nmade = nn.Linear(1, 1)\n"
        "def broken_call(): return {}['x']\n"
        "def leaves(): sys.exit(3)\n"
        "def endless(num_classes): return endless(num_classes)\n"
        "def nothing(): pass\n"
        "def picky(**options): return nn.Linear(1, 1, **options)\n"
    )
    (tmp_path / "syntax.py").write_text("def make(:")
    (tmp_path / "raises.py").write_text("1 / 0")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    if complaint:
        with pytest.raises(ValueError, match=complaint) as caught:
            detectors.build(arch)
        assert "\n" not in str(caught.value) and repr(arch).strip("'") in str(caught.value)
    else:
        assert isinstance(detectors.build(arch), nn.Module)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"arch": "resnet50"}, "weights is None; expected a file"),
        ({"weights": "w.pth"}, "arch is None; expected a network"),
        ({"weights": "w.pth", "arch": "vgg"}, "unknown network 'vgg'"),
        ({"weights": "w.pth", "arch": "torchvision.models:resnet18"}, "k is missing"),
        ({"weights": "w.pth", "arch": "resnet50", "k": 0}, "k is 0; expected a number"),
        ({"weights": "w.pth", "arch": "resnet50", "published": "vgg"}, "published is 'vgg'; expected one of"),
        ({"weights": "w.pth", "arch": "resnet50", "mean": 1}, "unknown setting 'mean'"),
        (
            {"weights": "w.pth", "arch": "resnet50", "preprocessing": {"crop": -1}},
            "preprocessing: crop is -1",
        ),
    ],
)
def test_an_external_detector_that_makes_no_sense_is_refused(
    entry: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=f"external detector 'mine': {complaint}"):
        detectors.external("mine", entry)
