"""Networks without modules, to compare with: published ones, the primary's topology, and plain linear ones.

Each answers for all classes at once, reals and every source, by one softmax. So probabilities of sources
exclude one another, and a picture that is real is nobody's: claims never contradict detection. At the usual
threshold of one half a source is named where it is likelier than all else together.

Sources: Frank et al., Leveraging frequency analysis for deep fake image recognition, ICML 2020 (gandct-conv);
Yu et al., Attributing fake images to GANs, ICCV 2019 (ganfp-postpool, with a quarter of the filters); Khoo,
Lim and Phan, 2022, whose sizes these are (and notl, their primary without transfer).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tff_core.attribution.networks import (
    KINDS,
    Attributor,
    Primary,
    check_input,
    check_kind,
    draw,
    name_sources,
)

TRAINED = ("gandct-conv", "ganfp-postpool", "notl")
"""Baselines that are trained step by step, as networks with modules are."""
PLAIN = ("logistic", "nearest-mean")
"""Linear in the normalised log spectrum, fitted as a whole by `tff_core.attribution.plain`."""
BASELINES = (*TRAINED, *PLAIN)


class Baseline(nn.Module):
    """A network without modules, which classifies by itself; (N, C, S, S) to logits (N, outputs).

    One output is the logit of being fake; more are the logits of classes, of which class 0 is real and the
    others are the sources ``names``. ``name``, ``kind``, ``size`` and ``outputs`` as in `baseline`.
    """

    def __init__(
        self, name: str, kind: str, size: int, outputs: int, body: nn.Module, names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.name, self.kind, self.size, self.outputs, self.body = name, kind, size, outputs, body
        self.names = tuple(names)

    @property
    def sources(self) -> int:
        """The number of sources that it can name."""
        return len(self.names)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch; ValueError where it is not what this network takes."""
        check_input(x, self.kind, self.size)
        out: Tensor = self.body(x)
        return out

    def probabilities(self, x: Tensor) -> Tensor:
        """Of being fake and of each source, (N, 1 + sources) float64 on the CPU; errors as a call.

        The first is one minus the softmax of class 0, the others are the softmax of their classes.
        """
        logits = self(x).cpu().double()  # not every device has double precision
        if self.outputs == 1:
            return torch.sigmoid(logits)
        # not 1 - softmax, which is 0 or 1 long before its logit is without bounds
        fake = torch.sigmoid(torch.logsumexp(logits[:, 1:], 1, keepdim=True) - logits[:, :1])
        return torch.cat([fake, torch.softmax(logits, 1)[:, 1:]], 1)


Network = Attributor | Baseline
"""What answers who made a picture."""


def baseline(
    name: str,
    kind: str = "pixel",
    size: int = 128,
    outputs: int = 1,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Baseline:
    """A network to compare with, with random weights, in evaluation mode.

    Args:
        name: "gandct-conv", "ganfp-postpool", "notl", "logistic" or "nearest-mean"; see the module.
        kind, size, seed: as in `networks.build`; "ganfp-postpool" needs a power of two, 64, 128 or 256, and
            the last two need the kind "dct".
        outputs: 1, or the number of sources and one for the reals.
        names: of the sources, instead of a number of outputs; by default source1 and so on.

    Raises ValueError where an argument is out of range.
    """
    check_kind(kind, size)
    if outputs < 1:
        raise ValueError(f"outputs is {outputs}: expected at least one logit")
    own = name_sources(outputs - 1 if names is None else tuple(names))
    outputs = 1 + len(own)
    if name == "gandct-conv":
        body: nn.Module = _gandct(KINDS[kind], size, outputs)
    elif name == "ganfp-postpool":
        if size & (size - 1):
            raise ValueError(f"size is {size}: {name} halves its maps to 4x4, expected 64, 128 or 256")
        body = _postpool(KINDS[kind], size, outputs)
    elif name == "notl":
        body = Primary(kind, size, outputs)
    elif name in PLAIN:
        if kind != "dct":
            raise ValueError(f"{name} is linear in the spectrum: expected kind 'dct', found {kind!r}")
        body = nn.Sequential(nn.Flatten(), nn.Linear(size**2, outputs))
    else:
        raise ValueError(f"no baseline {name!r}: expected one of {', '.join(BASELINES)}")
    made = Baseline(name, kind, size, outputs, body, own)
    draw(made, f"{seed}/{name}")
    return made.eval()


def _gandct(channels: int, size: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, filters, pool in ((channels, 3, False), (3, 8, True), (8, 16, True), (16, 32, False)):
        layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU()]
        if pool:
            layers.append(nn.AvgPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, outputs))


def _postpool(channels: int, size: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    plan = ((channels, 4, 0), (4, 8, 1), (8, 8, 0), (8, 16, 1), (16, 16, 0), (16, 32, 1))
    for before, filters, pool in plan:
        layers += [nn.Conv2d(before, filters, 3, padding=1), nn.LeakyReLU(0.2)]
        if pool:
            layers.append(nn.AvgPool2d(2))
    side = size // 8
    while side > 4:
        layers.append(nn.AvgPool2d(2))
        side //= 2
    layers += [nn.Conv2d(32, 128, 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten()]
    layers += [nn.Linear(128 * side**2, 128), nn.LeakyReLU(0.2), nn.Linear(128, outputs)]
    return nn.Sequential(*layers)
