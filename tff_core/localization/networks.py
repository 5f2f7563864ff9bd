"""Patch classifiers: a classifier cut after an early stage, with two logits at every position.

The cut makes the network fully convolutional: a cell of the output sees one patch of the picture, its
receptive field, and says whether that patch is fake. The names are those of the published code:
``xception_block1`` to ``xception_block12``, ``resnet18_layer1`` to ``resnet152_layer4``, ``longxception``
(as deep as block 4, with the field of block 2), ``widenet_kw<k>_d<dilation>`` (one wide layer), and the
networks without a cut, ``xception`` and ``resnet18`` to ``resnet152``, with two logits for the whole picture.

Modules, too, are called as there, so that its weights fit.

Source: Chai, Bau, Lim and Isola, What makes fake images detectable? Understanding properties that generalize,
ECCV 2020, section 3. Xception: Chollet, CVPR 2017. ResNet: He et al., CVPR 2016.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from tff_core import detectors

INITIALISATIONS = ("xavier002", "kaiming", "imagenet")
FAKE_CLASS = 0
"""The logit of the fakes in the published code; other systems have them at 1."""
_DEPTHS = (18, 34, 50, 101, 152)
_CUTS = {
    "xception": tuple(f"block{number}" for number in range(1, 13)),
    **{f"resnet{depth}": tuple(f"layer{number}" for number in range(1, 5)) for depth in _DEPTHS},
}
NAMES = (
    *(name for trunk, cuts in _CUTS.items() for name in (*(f"{trunk}_{cut}" for cut in cuts), trunk)),
    "longxception",
)
"""Every name but those of `widenet_kw<k>_d<dilation>`, of which there is no end."""
WHOLE = tuple(_CUTS)
"""The networks without a cut."""
_WIDENET = re.compile(r"widenet_kw([1-9]\d?)_d([1-9]\d?)")
_WIDTH = 256  # of widenet's layers


class SeparableConv(nn.Module):
    """A convolution of each channel alone, then one of 1x1 over the channels; nothing between the two."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A block of Xception: ``repeats`` separable convolutions beside a shortcut; the sum is not activated.

    The width changes in the first convolution, or in the last where ``last`` is true.
    """

    def __init__(
        self, channels: int, out: int, repeats: int, stride: int = 1, relu_first: bool = True,
        last: bool = False, kernel: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        if out != channels or stride != 1:
            self.skip: nn.Conv2d | None = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.skipbn = nn.BatchNorm2d(out)
        else:
            self.skip = None
        widths = [channels] * repeats + [out] if last else [channels] + [out] * repeats
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            # not in place: the shortcut reads the same values
            layers += [nn.ReLU(), SeparableConv(before, after, kernel), nn.BatchNorm2d(after)]
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*layers[0 if relu_first else 1 :])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.skip is None else self.skipbn(self.skip(x))
        return self.rep(x) + shortcut  # type: ignore[no-any-return]


class PatchClassifier(nn.Sequential):
    """A network by its name, with the index of the logit that stands for fakes; made by `build`.

    Pictures (N, 3, H, W) in [-1, 1] give logits (N, 2, h, w), or (N, 2) where the network is ``whole``.
    ``init`` says how its weights were made: an initialisation, or the file that they were read from.
    Calling it raises ValueError where the pictures are too small for a single cell, or are no such pictures.
    """

    def __init__(self, name: str, layers: Mapping[str, nn.Module], fake_class: int, init: str) -> None:
        super().__init__(OrderedDict(layers))
        self.name = name
        self.init = init
        self.fake_class = fake_class
        self.register_forward_pre_hook(_check)

    @property
    def whole(self) -> bool:
        """Whether it is a network without a cut, with two logits for the whole picture."""
        return self.name in WHOLE

    @property
    def real_class(self) -> int:
        """The index of the logit that stands for reals."""
        return 1 - self.fake_class

    @property
    def trunk(self) -> nn.Sequential:
        """Everything below the head, with the same weights."""
        return nn.Sequential(OrderedDict(list(self.named_children())[:-1]))


def _check(net: nn.Module, inputs: tuple[Any, ...]) -> None:
    assert isinstance(net, PatchClassifier)
    (x,) = inputs
    if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        found = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"{net.name} takes pictures (N, 3, height, width), floating-point, in [-1, 1]: found {found}"
        )
    least = smallest(net.name)
    if min(x.shape[2:]) < least:
        raise ValueError(
            f"pictures of {x.shape[3]}x{x.shape[2]} pixels are too small for {net.name}: expected at least "
            f"{least} a side, for one cell; take an earlier cut, or larger pictures"
        )


def smallest(name: str) -> int:
    """The least side in pixels that a network has a cell for. ValueError for an unknown name."""
    trunk = known(name).partition("_")[0]
    if trunk == "widenet":
        kernel, dilation = map(int, _WIDENET.fullmatch(name).groups())  # type: ignore[union-attr]
        return (kernel - 1) * (dilation - 1) + 1  # the padding is that of a kernel without gaps
    return 7 if trunk in ("xception", "longxception") else 1


def known(name: str) -> str:
    """The name, if there is such a network; else ValueError, with the names that there are."""
    wide = _WIDENET.fullmatch(name) if isinstance(name, str) else None
    if wide and int(wide[1]) % 2:
        return name
    if wide:
        raise ValueError(
            f"{name!r}: its kernel has {wide[1]} pixels a side; expected an odd number, with a middle"
        )
    if name not in NAMES:
        raise ValueError(
            f"no patch classifier is called {name!r}; expected xception_block1 to xception_block12, "
            f"{', '.join(f'resnet{depth}_layer1' for depth in _DEPTHS)} to ..._layer4, longxception, "
            "widenet_kw7_d1 (kernel, dilation), or the whole networks xception, "
            f"{', '.join(f'resnet{depth}' for depth in _DEPTHS)}"
        )
    return name


def build(name: str, init: str = "xavier002", seed: int = 0, fake_class: int = FAKE_CLASS) -> PatchClassifier:
    """An untrained patch classifier in evaluation mode: pictures in [-1, 1] to logits (N, 2, h, w).

    Args:
        name: see the module.
        init: "xavier002", the original's: all weights Xavier-normal with gain 0.02, biases zero, batch
            normalisations' scales normal around 1 with deviation 0.02, shifts zero. "kaiming": He-normal for
            ReLUs (fan in), batch normalisations 1 and 0. "imagenet": weights of a classifier of ImageNet
            below the head, from torch's download folder (nothing is fetched), the head as in "xavier002".
        seed: of the random numbers; the global generator is left alone.
        fake_class: which of the two logits stands for fakes: ``net.fake_class``.

    Raises ValueError for an unknown name, initialisation or class, FileNotFoundError where ImageNet's weights
    are not on the machine, WeightsError where they do not fit.

    Source: section 3 of the paper; the initialisation is that of the published code.
    """
    known(name)
    if init not in INITIALISATIONS:
        raise ValueError(f"initialisation {init!r}: expected one of {', '.join(INITIALISATIONS)}")
    check_class(fake_class)
    with torch.random.fork_rng(devices=[]):  # the layers' own initialisation draws from it
        net = PatchClassifier(name, _layers(name), fake_class, init)
    initialise(net, "kaiming" if init == "kaiming" else "xavier002", torch.Generator().manual_seed(seed))
    if init == "imagenet":
        _from_imagenet(net)
    return net.eval()


def check_class(fake_class: object) -> int:
    """The index of the fakes' logit, if it is one; else ValueError."""
    if isinstance(fake_class, bool) or fake_class not in (0, 1):
        raise ValueError(f"the class of fakes is {fake_class!r}: expected 0 or 1, the index of their logit")
    return int(fake_class)  # type: ignore[call-overload,no-any-return]


@torch.no_grad()
def initialise(net: nn.Module, init: str, generator: torch.Generator) -> None:
    """Draw all weights anew, "xavier002" or "kaiming"; see `build`."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if init == "kaiming":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.xavier_normal_(module.weight, gain=0.02, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            if init == "kaiming":
                nn.init.ones_(module.weight)
            else:
                nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
            nn.init.zeros_(module.bias)


def on_meta(name: str) -> PatchClassifier:
    """The network without memory for its weights: names, shapes and structure alone."""
    with torch.device("meta"):
        return PatchClassifier(known(name), _layers(name), FAKE_CLASS, "")


# ------------------------------------------------------------------------------------------------- structure


def _layers(name: str) -> dict[str, nn.Module]:
    trunk, _, cut = name.partition("_")
    if trunk == "widenet":
        return _widenet(*map(int, _WIDENET.fullmatch(name).groups()))  # type: ignore[union-attr]
    if trunk == "longxception":
        return _cut(_xception(), "block2") | {
            "block3": Block(256, 728, 2, kernel=1),
            "block4": Block(728, 728, 3, kernel=1),
            "convout": nn.Conv2d(728, 2, 1),
        }
    layers = _xception() if trunk == "xception" else _resnet(int(trunk.removeprefix("resnet")))
    if not cut:
        return layers
    kept = _cut(layers, cut)
    return kept | {"convout": nn.Conv2d(_width(kept[cut]), 2, 1)}


def _cut(layers: Mapping[str, nn.Module], last: str) -> dict[str, nn.Module]:
    names = list(layers)
    return {name: layers[name] for name in names[: names.index(last) + 1]}


def _width(stage: nn.Module) -> int:
    """Channels that a stage ends with: those of its last batch normalisation."""
    norms = [module for module in stage.modules() if isinstance(module, nn.BatchNorm2d)]
    if isinstance(stage, Block):
        norms = [module for module in stage.rep.modules() if isinstance(module, nn.BatchNorm2d)]
    elif isinstance(stage, nn.Sequential):  # of a residual network: a shortcut may come last
        end = stage[-1]
        norms = [end.bn3 if isinstance(end, resnet.Bottleneck) else end.bn2]  # type: ignore[list-item,union-attr]
    return norms[-1].num_features


def _xception() -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 32, 3, stride=2, bias=False), "bn1": nn.BatchNorm2d(32), "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(32, 64, 3, bias=False), "bn2": nn.BatchNorm2d(64), "relu2": nn.ReLU(),
        "block1": Block(64, 128, 2, 2, relu_first=False), "block2": Block(128, 256, 2, 2),
        "block3": Block(256, 728, 2, 2),
    }  # fmt: skip
    for number in range(4, 12):
        layers[f"block{number}"] = Block(728, 728, 3)
    return layers | {
        "block12": Block(728, 1024, 2, 2, last=True),
        "conv3": SeparableConv(1024, 1536), "bn3": nn.BatchNorm2d(1536), "relu3": nn.ReLU(),
        "conv4": SeparableConv(1536, 2048), "bn4": nn.BatchNorm2d(2048), "relu4": nn.ReLU(),
        "avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "last_linear": nn.Linear(2048, 2),
    }  # fmt: skip


def _resnet(depth: int) -> dict[str, nn.Module]:
    make: Callable[..., nn.Module] = getattr(resnet, f"resnet{depth}")
    layers = dict(make(num_classes=2).named_children())
    return {**{n: m for n, m in layers.items() if n != "fc"}, "flatten": nn.Flatten(), "fc": layers["fc"]}


def _widenet(kernel: int, dilation: int) -> dict[str, nn.Module]:
    return {
        "conv1": nn.Conv2d(3, _WIDTH, kernel, 2, kernel // 2, dilation, bias=False),
        "bn1": nn.BatchNorm2d(_WIDTH), "relu1": nn.ReLU(), "maxpool": nn.MaxPool2d(3, 2, 1),
        "conv2": nn.Conv2d(_WIDTH, _WIDTH, 1), "relu2": nn.ReLU(),
        "conv3": nn.Conv2d(_WIDTH, _WIDTH, 1), "relu3": nn.ReLU(), "convout": nn.Conv2d(_WIDTH, 2, 1),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------- ImageNet


def _from_imagenet(net: PatchClassifier) -> None:
    """Fill what is below the head with a classifier's weights."""
    trunk = net.name.partition("_")[0].removeprefix("long")
    if trunk == "widenet":
        raise ValueError(f"{net.name} has no weights of ImageNet: expected init xavier002 or kaiming")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(folder.glob(f"{trunk}-*.pth")) if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(
            f"no ImageNet weights {trunk}-*.pth in {folder}: put the file there, or choose init xavier002 or "
            "kaiming"
        )
    given, own = detectors.read_weights(found[-1]), net.state_dict()
    filled = {}
    for key, value in own.items():
        if key.startswith(("convout.", "last_linear.", "fc.")):
            continue
        if net.name == "longxception" and key.startswith(("block3.", "block4.")):
            continue  # of other shape than Xception's
        theirs = given.get(key)
        if theirs is not None and theirs.ndim == 2 and value.ndim == 4:
            theirs = theirs[:, :, None, None]  # older files keep 1x1 convolutions as matrices
        if theirs is None and key.endswith("num_batches_tracked"):
            continue
        if theirs is None or theirs.shape != value.shape:
            shape = "missing" if theirs is None else f"of shape {tuple(theirs.shape)}"
            raise detectors.WeightsError(
                f"{found[-1]}: {key} is {shape}, expected {tuple(value.shape)}; put weights of {trunk} there"
            )
        filled[key] = theirs
    net.load_state_dict(own | filled)
    net.init = f"imagenet ({found[-1].name})"
