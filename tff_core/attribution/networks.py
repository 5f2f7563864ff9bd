"""The networks that tell who made a picture: a primary module that detects, and one secondary per source.

The primary says whether a picture is fake. After its fourth ReLU (the branch point) each source has a
secondary module of its own, trained while the primary stays as it is, which says whether that source made it.
Inputs are pixels in [-1, 1], or the normalised logarithm of their cosine transform (see `inputs`).

Source: Khoo, Lim and Phan (arXiv 2203.09777). What they compare with is in `baselines`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from tff_core import lrp

Kind = Literal["pixel", "dct"]
KINDS: dict[str, int] = {"pixel": 3, "dct": 1}
"""Channels of the input by its kind."""
SMALLEST, LARGEST = 64, 256  # sides of pictures
ANSWERS = ("real", "fake", "none of these", "unreadable", "detection")
"""What stands beside names of sources in tables of answers and scores, so no source is called so."""
BN_EPS, BN_MOMENTUM = 1e-3, 0.01  # Keras' defaults, which differ from torch's
_LAYERS = ((3, 8, 4, 2), (8, 16, 3, 1), (16, 16, 4, 2), (16, 32, 3, 1), (32, 32, 4, 2))
"""Channels in and out, kernel and stride of the convolutions that a batch normalisation follows."""
_BEFORE_BRANCH = 3


class Output(NamedTuple):
    """What the network answers, as logits: higher means more fake, or more likely of this source.

    ``detection`` is (N,); ``attribution`` is (N, sources), None for a network without sources.
    """

    detection: Tensor
    attribution: Tensor | None


def _block(channels: int, filters: int, kernel: int, stride: int) -> nn.Sequential:
    # on an even side a kernel of 4 with stride 2 is padded by one on each side, as one of 3 is
    conv = nn.Conv2d(channels, filters, kernel, stride, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(filters, BN_EPS, BN_MOMENTUM), nn.ReLU())


def _head(kind: str, size: int, outputs: int = 1) -> nn.Sequential:
    """From 32 maps to logits: their means, or for the cosine transform, whose places differ, every value."""
    if kind == "pixel":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, outputs))
    return nn.Sequential(nn.Flatten(), nn.Linear(32 * (size // 8) ** 2, outputs))


class Primary(nn.Module):
    """The module that detects: ``before`` the branch point, ``after`` it, and the ``head``.

    Called on (N, C, S, S) it returns the logits (N, outputs).
    """

    def __init__(self, kind: str, size: int, outputs: int = 1) -> None:
        super().__init__()
        blocks = [_block(*layer) for layer in _LAYERS]
        first = nn.Sequential(nn.Conv2d(KINDS[kind], 3, 3, padding=1), nn.ReLU())
        self.before = nn.Sequential(first, *blocks[:_BEFORE_BRANCH])
        self.after = nn.Sequential(*blocks[_BEFORE_BRANCH:])
        self.head = _head(kind, size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.after(self.before(x)))
        return out


class Secondary(nn.Module):
    """The module of one source, on the maps (N, 16, S / 4, S / 4) of the branch point; logits (N, 1)."""

    def __init__(self, kind: str, size: int) -> None:
        super().__init__()
        self.after = nn.Sequential(*(_block(*layer) for layer in _LAYERS[_BEFORE_BRANCH:]))
        self.head = _head(kind, size)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.head(self.after(maps))
        return out


class Attributor(nn.Module):
    """A primary module and the secondary modules of ``sources`` sources, which ``names`` names.

    ``kind`` is "pixel" or "dct", ``size`` the side of the pictures in pixels. Called on (N, 3, S, S) in
    [-1, 1], or on normalised log-DCT (N, 1, S, S), it returns `Output`. Made by `build`.
    """

    def __init__(self, kind: str, size: int, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.kind, self.size, self.names = kind, size, tuple(names)
        self.primary = Primary(kind, size)
        self.secondaries = nn.ModuleList(Secondary(kind, size) for _ in self.names)
        self._frozen = False

    @property
    def sources(self) -> int:
        """The number of sources that it can name."""
        return len(self.names)

    def forward(self, x: Tensor) -> Output:
        """Logits of a batch; ValueError where it is not what this network takes."""
        self.check(x)
        maps = self.primary.before(x)
        detection = self.primary.head(self.primary.after(maps))[:, 0]
        if not self.secondaries:
            return Output(detection, None)
        return Output(detection, torch.cat([secondary(maps) for secondary in self.secondaries], 1))

    def probabilities(self, x: Tensor) -> Tensor:
        """Of being fake and of each source, (N, 1 + sources) float64 on the CPU; errors as a call."""
        out = self(x)
        each = [] if out.attribution is None else [out.attribution]
        logits = torch.cat([out.detection[:, None], *each], 1).cpu().double()
        return logits.sigmoid()

    def check(self, x: Tensor) -> None:
        """ValueError unless ``x`` is a batch that this network takes."""
        check_input(x, self.kind, self.size)

    def freeze(self) -> Attributor:
        """Keep the primary as it is from now on: no gradients, same running statistics; self."""
        self._frozen = True
        self.primary.requires_grad_(False)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Attributor:
        """Set training mode; a frozen primary stays in evaluation mode."""
        super().train(mode)
        if self._frozen:
            self.primary.eval()
        return self

    def task(self, source: int | None = None) -> Task:
        """One answer as a plain network with one logit (N, 1), which shares this network's weights.

        ``source`` None: detection; else the number of a source. `tff_core.lrp.canonize` takes it.
        Raises ValueError where there is no such source.
        """
        if source is None:
            return Task(self, self.primary.after, self.primary.head)
        if not 0 <= source < self.sources:
            raise ValueError(f"source {source}: expected one of the {self.sources} sources, counted from 0")
        chosen = self.secondaries[source]
        assert isinstance(chosen, Secondary)
        return Task(self, chosen.after, chosen.head)

    def tasks(self) -> Iterator[tuple[str, nn.Module]]:
        """ "detection", then each source by its name, with its network as `task` makes it."""
        yield "detection", self.task()
        for number, name in enumerate(self.names):
            yield name, self.task(number)


class Task(nn.Module):
    """One path through an `Attributor`. What all tasks share has one name, ``before``, in all of them."""

    before: nn.Sequential
    after: nn.Sequential
    head: nn.Sequential

    def __init__(self, net: Attributor, after: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.input_size = (net.size, net.size)
        self.before, self.after, self.head = net.primary.before, after, head
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.after(self.before(x)))
        return out


def check_input(x: Tensor, kind: str, size: int) -> None:
    """ValueError unless ``x`` is a batch of a kind and a size that fit."""
    what = "pixels in [-1, 1]" if kind == "pixel" else "normalised log-DCT"
    wanted = f"(N, {KINDS[kind]}, {size}, {size})"
    if not isinstance(x, Tensor) or x.ndim != 4 or tuple(x.shape[1:]) != (KINDS[kind], size, size):
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"the network takes {what} of shape {wanted}, found {found}: convert the pictures to "
            f"{'RGB' if kind == 'pixel' else 'their transform'} and to {size}x{size} pixels"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"the network takes {what}, found {x.dtype}: scale uint8 pixels by x / 127.5 - 1 first"
        )


def check_kind(kind: str, size: int) -> None:
    """ValueError unless these are a kind and a size of inputs."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: expected 'pixel' or 'dct'")
    whole = isinstance(size, int) and not isinstance(size, bool)
    if not whole or not SMALLEST <= size <= LARGEST or size % 8:
        raise ValueError(
            f"size is {size!r}: expected the side of the pictures in pixels, a multiple of 8 from {SMALLEST} "
            f"to {LARGEST}"
        )


def name_sources(sources: int | Sequence[str]) -> tuple[str, ...]:
    """Names of sources: those given, or source1 and so on for a number of them.

    Raises ValueError where the number is negative, a name is empty or that of another answer (`ANSWERS`), or
    two names are equal.
    """
    if isinstance(sources, int):
        if sources < 0 or isinstance(sources, bool):
            raise ValueError(f"sources is {sources}: expected a number of sources of at least 0, or names")
        return tuple(f"source{i + 1}" for i in range(sources))
    names = tuple(sources)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{name!r} is no name of a source: expected text")
        if name in ANSWERS:
            raise ValueError(
                f"{name!r} is no name of a source: tables use it for another answer; choose another"
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{names.count(name)} sources are called {name!r}: expected a name of its own for each; "
                "rename one of them"
            )
    return names


def build(
    kind: str = "pixel", size: int = 128, sources: int | Sequence[str] = 0, seed: int = 0
) -> Attributor:
    """A new network, with random weights, in evaluation mode.

    Args:
        kind: of the input, "pixel" or "dct".
        size: side of the pictures in pixels, a multiple of 8 from 64 to 256.
        sources: how many sources it tells apart, or their names; 0 is the primary alone.
        seed: of the weights. Each module has its own stream: the primary is the same for any sources, and the
            secondary of a source depends on its name alone.

    Weights are drawn from N(0, 0.02), biases are 0. Raises ValueError where an argument is out of range.

    >>> out = build("pixel", 64, sources=2)(torch.zeros(5, 3, 64, 64))
    >>> out.detection.shape, out.attribution.shape
    (torch.Size([5]), torch.Size([5, 2]))
    """
    check_kind(kind, size)
    net = Attributor(kind, size, name_sources(sources))
    draw(net.primary, f"{seed}/primary")
    for name, secondary in zip(net.names, net.secondaries, strict=True):
        draw(secondary, f"{seed}/secondary/{name}")
    return net.eval()


def draw(module: nn.Module, stream: str) -> None:
    """Draw weights from N(0, 0.02) by the name of a stream; biases are 0."""
    state = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    generator = torch.Generator().manual_seed(state % 2**63)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            with torch.no_grad():
                layer.weight.normal_(0.0, 0.02, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()


class Parameters(NamedTuple):
    """Numbers of a network: ``trainable`` unless frozen, and ``total``, with the running statistics."""

    trainable: int
    total: int


def parameters(module: nn.Module) -> Parameters:
    """Count the numbers of a network."""
    trainable = sum(p.numel() for p in module.parameters())
    running = sum(b.numel() for b in module.buffers() if b.is_floating_point())
    return Parameters(trainable, trainable + running)


def folded(net: Attributor, source: int | None = None) -> lrp.Net:
    """A task of the network (see `Attributor.task`) as the relevance engine takes it.

    Pixels are in [-1, 1], the bounds of the z^B rule. Normalised log-DCT has no bounds: z+ is used there.
    It is a copy, of the network in evaluation mode; ``net`` itself keeps its mode. Raises ValueError where
    there is no such source.
    """
    task = copy.deepcopy(net.task(source)).eval()
    example = torch.randn(2, KINDS[net.kind], net.size, net.size, generator=torch.Generator().manual_seed(0))
    rule = "zb" if net.kind == "pixel" else "zplus"
    return lrp.canonize(task, pixel_rule=rule, bounds=(-1.0, 1.0), example=example)
