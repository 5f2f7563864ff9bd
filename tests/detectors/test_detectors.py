"""The registry, and weights that are refused unless they are what they claim."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

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
    assert detectors.names() == [*universal, *(f"{name}-cr" for name in universal)]
    assert [detectors.get(name).k for name in detectors.names()] == [114, 27, 21] * 2
    assert [detectors.get(name).options.get("grayscale") for name in detectors.names()] == [None] * 3 + [
        0.5
    ] * 3
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
