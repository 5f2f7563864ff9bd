"""Methods that explain a decision by a map of the picture, one registry of them.

A method takes a detector and pictures and returns maps (N, H, W): how much each pixel speaks for what the
detector decides, fake where its logit is positive and real where it is not. The maps of signed methods say
what speaks against the decision, too; the others say where something happens. Scales differ from method to
method and mean nothing.

Two of the methods know no detector and are there for comparison: random numbers and the picture's edges.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tff_core import lrp
from tff_core.exam import flipping
from tff_core.features import pixels
from tff_core.pictures import data

Explain = Callable[[Tensor], Tensor]
"""From normalised pictures (N, 3, H, W) to maps (N, H, W), on the same device and in the same precision."""
CONTROLS = ("random", "edges")
"""Methods that know no detector."""
MEAN, GRAY = "mean", "gray"
"""What a picture without structure is: of its own mean colour, or of the middle gray."""


@dataclass(frozen=True)
class Settings:
    """What methods need besides a detector.

    ``preprocessing`` is the detector's; ``window`` the side of what occlusion covers and its step, in pixels;
    ``masks`` how many random masks RISE draws, of ``cells`` cells a side; ``steps`` those of integrated
    gradients; ``samples`` the noisy copies of SmoothGrad, whose noise has ``noise`` times the range of pixels
    as its deviation; ``blank`` (`MEAN` or `GRAY`) the picture without structure that integrated gradients
    start from and that occlusion and RISE cover with; ``seed`` that of all random numbers; ``batch_size`` how
    many pictures a network is given at once.

    ValueError for another ``blank``.
    """

    preprocessing: data.Preprocessing = data.IMAGENET
    window: int = 8
    masks: int = 64
    cells: int = 8
    steps: int = 8
    samples: int = 8
    noise: float = 0.1
    blank: str = MEAN
    seed: int = 0
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.blank not in (MEAN, GRAY):
            raise ValueError(f"blank is {self.blank!r}: expected {MEAN!r} or {GRAY!r}")

    def blanked(self, x: Tensor) -> Tensor:
        """Pictures without structure in the place of normalised ones, both (N, 3, H, W)."""
        if self.blank == MEAN:
            return flipping.mean_colour(x)
        mean, std = self.preprocessing.mean, self.preprocessing.std
        gray = x.new_tensor([(0.5 - m) / s for m, s in zip(mean, std, strict=True)])
        return gray.view(1, -1, 1, 1).expand_as(x)


@dataclass(frozen=True)
class Method:
    """One method: ``build(detector, settings)`` makes the function that explains; ``source`` names the paper.

    ``signed``: negative values speak against the decision.
    """

    build: Callable[[nn.Module, Settings], Explain]
    signed: bool
    source: str


def build(
    detector: nn.Module,
    names: Iterable[str] | None = None,
    settings: Settings = Settings(),
) -> dict[str, Explain]:
    """The functions that explain a detector's decisions, by name; all of `METHODS` by default.

    The detector has one logit, higher for fakes, and is in evaluation mode. The map of a picture does not
    depend on the other pictures of its batch, and is the same in every call.

    Raises ValueError for an unknown name, a detector in training mode, or one that a method cannot take.
    """
    chosen = list(METHODS) if names is None else list(names)
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise ValueError(f"no method is called {unknown[0]!r}: expected some of {', '.join(METHODS)}")
    if any(m.training for m in detector.modules()):
        raise ValueError(f"{type(detector).__name__} is in training mode: call model.eval() first")
    return {name: METHODS[name].build(detector, settings) for name in chosen}


def sides(logits: Tensor) -> Tensor:
    """+1 where the detector says fake and -1 where it says real: logits (N,), or (N, 1), to (N,)."""
    flat = logits.detach().reshape(len(logits), -1)
    if flat.shape[1] != 1:
        raise ValueError(f"logits of shape {tuple(logits.shape)}: expected one for each picture")
    return torch.where(flat[:, 0] < 0, -1.0, 1.0).to(logits)


def _for_the_decision(detector: nn.Module, x: Tensor, attribution: Tensor) -> Tensor:
    """Channels summed, and turned to what speaks for the decision instead of for fake."""
    with torch.no_grad():
        side = sides(detector(x))
    return (attribution.detach().sum(1) * side.view(-1, 1, 1)).to(x)


def _relevance(rules: str) -> Callable[[nn.Module, Settings], Explain]:
    def built(detector: nn.Module, settings: Settings) -> Explain:
        net = lrp.canonize(detector, rules=lrp.NAMED[rules], bounds=settings.preprocessing.bounds)
        return lambda x: pixels.relevance(net, x, settings.batch_size).sum(1)

    return built


def _gradient(detector: nn.Module, settings: Settings) -> Explain:
    return lambda x: pixels.gradient(detector, x).sum(1)


def _input_x_gradient(detector: nn.Module, settings: Settings) -> Explain:
    def explain(x: Tensor) -> Tensor:
        with torch.enable_grad():
            found = (
                pixels.captum().InputXGradient(detector).attribute(x.detach().clone().requires_grad_(True), 0)
            )
        return _for_the_decision(detector, x, found)

    return explain


def _integrated_gradients(detector: nn.Module, settings: Settings) -> Explain:
    def explain(x: Tensor) -> Tensor:
        with torch.enable_grad():
            found = pixels.captum().IntegratedGradients(detector).attribute(
                x.detach().clone().requires_grad_(True), settings.blanked(x), 0, n_steps=settings.steps,
                internal_batch_size=max(settings.batch_size, len(x)),
            )  # fmt: skip
        return _for_the_decision(detector, x, found)

    return explain


def _smoothgrad(detector: nn.Module, settings: Settings) -> Explain:
    low, high = settings.preprocessing.bounds
    devices = [p.device for p in detector.parameters() if p.device.type == "cuda"][:1]
    captum = pixels.captum()

    def one(x: Tensor) -> Tensor:
        # captum draws from the global generator
        with torch.random.fork_rng(devices), torch.enable_grad():
            torch.manual_seed(settings.seed)
            found = captum.NoiseTunnel(captum.Saliency(detector)).attribute(
                x.detach().clone().requires_grad_(True), nt_samples=settings.samples,
                stdevs=settings.noise * (high - low), target=0, abs=False,
                nt_samples_batch_size=min(settings.samples, settings.batch_size),
            )  # fmt: skip
        mean: Tensor = found.detach().abs().sum(1)
        return mean.to(x)

    return lambda x: torch.cat([one(part) for part in x.split(1)])


def _gradcam(detector: nn.Module, settings: Settings) -> Explain:
    answers = pixels.decisions(detector)
    return lambda x: pixels.gradcam(answers, x)[:, 0].to(x)


def _guided_gradcam(detector: nn.Module, settings: Settings) -> Explain:
    answers = pixels.decisions(detector)
    return lambda x: pixels.guided_gradcam(answers, x)[1].sum(1).to(x)


def _occlusion(detector: nn.Module, settings: Settings) -> Explain:
    def explain(x: Tensor) -> Tensor:
        shape = (x.shape[1], *(min(settings.window, side) for side in x.shape[2:]))
        with torch.no_grad():
            found = pixels.captum().Occlusion(detector).attribute(
                x, shape, strides=shape, baselines=settings.blanked(x), target=0,
                perturbations_per_eval=max(1, settings.batch_size // len(x)),
            )  # fmt: skip
        return _for_the_decision(detector, x, found)

    return explain


def _rise(detector: nn.Module, settings: Settings) -> Explain:
    """Masks are the same for all pictures; of the answers their mean is taken away.

    This changes the expected map by a constant, and spares it most of the noise of few masks.
    """
    if settings.masks < 2 or settings.cells < 1:
        raise ValueError(
            f"RISE with {settings.masks} masks of {settings.cells} cells: expected 2 or more masks"
        )

    def drawn(height: int, width: int) -> Tensor:
        rng = torch.Generator().manual_seed(settings.seed)
        cells = settings.cells
        up, across = -(-height // cells), -(-width // cells)  # a cell's size
        coarse = (torch.rand(settings.masks, 1, cells, cells, generator=rng) < 0.5).float()
        grown = nn.functional.interpolate(
            coarse, ((cells + 1) * up, (cells + 1) * across), mode="bilinear", align_corners=False
        )
        tops = torch.randint(up, (settings.masks,), generator=rng).tolist()
        lefts = torch.randint(across, (settings.masks,), generator=rng).tolist()
        return torch.cat(
            [
                one[None, :, t : t + height, j : j + width]
                for one, t, j in zip(grown, tops, lefts, strict=True)
            ]
        )

    @torch.no_grad()
    def explain(x: Tensor) -> Tensor:
        masks = drawn(x.shape[2], x.shape[3]).to(x)
        maps = []
        for one, blank in zip(x, settings.blanked(x), strict=True):
            parts = masks.split(settings.batch_size)
            answers = torch.cat([detector(blank + part * (one - blank))[:, 0] for part in parts])
            weights = (answers - answers.mean()) / len(masks)
            maps.append((weights.view(-1, 1, 1) * masks[:, 0]).sum(0))
        return torch.stack(maps) * sides(detector(x)).view(-1, 1, 1)

    return explain


def _random(detector: nn.Module, settings: Settings) -> Explain:
    def one(x: Tensor) -> Tensor:
        # of the picture's own, so that it is the same in every batch and another one for every other picture
        own = zlib.crc32(x.detach().cpu().contiguous().numpy().tobytes(), settings.seed)
        rng = torch.Generator().manual_seed(own)
        return torch.rand(x.shape[-2:], generator=rng).to(x)

    return lambda x: torch.stack([one(picture) for picture in x])


def _edges(detector: nn.Module, settings: Settings) -> Explain:
    """Of the luma as the detector sees it, which may be its fine differences alone."""

    def explain(x: Tensor) -> Tensor:
        mean, std = (
            x.new_tensor(value).view(3, 1, 1)
            for value in (settings.preprocessing.mean, settings.preprocessing.std)
        )
        shown = x * std + mean
        if settings.preprocessing.planes in ("luma", "ycbcr"):  # Y comes first
            shown = shown[:, :1].expand_as(shown)
        return torch.from_numpy(pixels.edges((255 * shown).round().clamp(0, 255).to(torch.uint8))).to(x)

    return explain


METHODS: Mapping[str, Method] = {
    "lrp_zplus": Method(_relevance("zplus"), True, "Bach et al. 2015; the paper's rules"),
    "lrp_epsilon_gamma": Method(_relevance("epsilon-gamma"), True, "Montavon et al. 2019"),
    "gradient": Method(_gradient, False, "Simonyan et al. 2014"),
    "input_x_gradient": Method(_input_x_gradient, True, "Shrikumar et al. 2017"),
    "integrated_gradients": Method(_integrated_gradients, True, "Sundararajan et al. 2017"),
    "smoothgrad": Method(_smoothgrad, False, "Smilkov et al. 2017"),
    "guided_gradcam": Method(_guided_gradcam, True, "Selvaraju et al. 2017"),
    "gradcam": Method(_gradcam, False, "Selvaraju et al. 2017"),
    "occlusion": Method(_occlusion, True, "Zeiler and Fergus 2014"),
    "rise": Method(_rise, True, "Petsiuk et al. 2018"),
    "random": Method(_random, False, "independent uniform numbers"),
    "edges": Method(_edges, False, "Adebayo et al. 2018"),
}
"""All methods by name, in the order in which they are shown."""
