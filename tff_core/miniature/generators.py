"""Seven small generators, one for each family of the paper, each with its family's way of upsampling; and the
two of `NEW`, from later families: `diffusion` and `autoencoder`.

=========  ============================================  =====================================================
family     upsampling                                    what else it takes from its family
=========  ============================================  =====================================================
progan     nearest neighbour, then convolution           pixel norm after every convolution
stylegan2  transposed convolution, then a [1 3 3 1] FIR  modulated and demodulated convolutions, skip RGB
stylegan   nearest neighbour, then a [1 2 1] blur        AdaIN from a style, noise scaled per channel
biggan     nearest neighbour in residual blocks          class-conditional batch norm, latent given in parts
cyclegan   transposed convolution, kernel 3              image to image, two nets in a cycle, instance norm
stargan    transposed convolution, kernel 4              image to image with a target label, instance norm
gaugan     nearest neighbour                             SPADE: normalisation modulated by a segmentation map
=========  ============================================  =====================================================

Progressive growing, style mixing and self-attention are left out. The first four and gaugan do not start from
pure noise: minutes of training are not enough for that. They decode latents that a small encoder, trained
with the generator, makes from scenes. The first four blend the latents of two scenes along a random line; all
five jitter them. The result is a new picture that resembles smeared scenes. cyclegan and stargan change the
light of one scene.

Pictures are float tensors (N, 3, S, S) in [-1, 1]; S is a multiple of 4.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tff_core.miniature import scenes
from tff_core.miniature.autoencoder import Autoencoder
from tff_core.miniature.diffusion import Diffusion
from tff_core.miniature.inputs import COARSE, FINE, STYLE, Batch, Noise
from tff_core.pictures.data import GENERATORS
from tff_core.store.results import atomic_write

FAMILIES = GENERATORS
# No detector is trained on these two, nothing is chosen by them, and they are not in the book's grid: they
# stand for what comes after a detector was made. Sample them by name, and add them like a generator of one's
# own. The autoencoder also makes inversions, for an experiment with patch classifiers of its own.
NEW = ("diffusion", "autoencoder")
WEIGHTS = Path(__file__).parent / "weights"


def _seeds(family: str, *seeds: int, ages: tuple[str, ...] = ("",)) -> tuple[str, ...]:
    """Files of a family's weights: of each seed those of every age, "" being the end of the training."""
    return tuple(f"{family}.s{seed}{age}.safetensors" for seed in seeds for age in ages)


# The models of every folder; pictures take them in turn. As Wang et al. trained on twenty ProGAN models, the
# detectors here see eight seeds at two ages each. Validation and test fakes come from two further seeds, the
# other families' from two each, so that a seed can be told from its family.
SHIPPED: dict[str, dict[str, tuple[str, ...]]] = {
    "progan": {
        "train": _seeds("progan", *range(301, 309), ages=("-666", "")),
        "val": _seeds("progan", 309),
        "test": _seeds("progan", 310),
    },
    "stylegan2": {"test": _seeds("stylegan2", 311, 312)},
    "stylegan": {"test": _seeds("stylegan", 313, 314)},
    "biggan": {"test": _seeds("biggan", 315, 316)},
    "cyclegan": {"test": _seeds("cyclegan", 317, 318)},
    "stargan": {"test": _seeds("stargan", 319, 320)},
    "gaugan": {"test": _seeds("gaugan", 321, 322)},
    "diffusion": {"test": ("diffusion.s109.safetensors",)},
    "autoencoder": {"test": ("autoencoder.s109.safetensors",)},
}

WIDE, MIDDLE, NARROW = 64, 48, 24  # channels of the decoders at S/4, S/2 and S
JITTER = 0.2  # standard deviation of the noise added to every latent, in training and in sampling


class Latent(NamedTuple):
    """What the encoder makes of a picture, shapes as in Noise."""

    coarse: Tensor
    fine: Tensor
    style: Tensor


# --- ways of upsampling, and the pieces that the families are made of


class NearestUp(nn.Module):
    """Duplicate every pixel along each axis."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest")


class FirFilter(nn.Module):
    """A separable low-pass filter, the same on every channel."""

    kernel: Tensor

    def __init__(self, taps: tuple[float, ...], gain: float = 1.0) -> None:
        super().__init__()
        row = torch.tensor(taps) / sum(taps)
        self.register_buffer("kernel", torch.outer(row, row)[None, None] * gain, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        size = self.kernel.shape[-1]
        before, after = (size - 1) // 2, size // 2
        padded = F.pad(x, (before, after, before, after), mode="replicate")
        return F.conv2d(padded, self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1), groups=x.shape[1])


class BlurUp(nn.Module):
    """Nearest neighbour, then [1 2 1]: the bilinear upsampling of StyleGAN."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = FirFilter((1.0, 2.0, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.blur(F.interpolate(x, scale_factor=2, mode="nearest"))  # type: ignore[no-any-return]


class FirUp(nn.Module):
    """Zeros between the pixels, then [1 3 3 1]: the upsampling of StyleGAN2's skip pictures."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(row, row)[None, None], persistent=False)

    kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        weight = self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, weight, stride=2, padding=3, groups=x.shape[1])


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _instance_norm(x: Tensor) -> Tensor:
    # one group for each channel: the same numbers, several times faster on a CPU
    return F.group_norm(x, x.shape[1])


class Encoder(nn.Module):
    """Pictures to latents: two strided convolutions, one head for each latent."""

    def __init__(self) -> None:
        super().__init__()
        self.halfway = _conv(3, 32, 4, 2)
        self.fine = _conv(32, FINE)
        self.quarter = _conv(32, 48, 4, 2)
        self.body = _conv(48, 48)
        self.coarse = _conv(48, COARSE)
        self.style = nn.Linear(48, STYLE)

    def forward(self, images: Tensor) -> Latent:
        half = _act(self.halfway(images))
        quarter = _act(self.body(_act(self.quarter(half))))
        style = self.style(quarter.mean((2, 3)))
        # normalised, so that the jitter means the same everywhere
        return Latent(_unit(self.coarse(quarter)), _unit(self.fine(half)), _unit(style))


def _unit(x: Tensor) -> Tensor:
    """Divide by the root mean square over channels and positions of each picture."""
    x = x.float()
    dims = tuple(range(1, x.dim()))
    return x * (x.square().mean(dims, keepdim=True) + 1e-4).rsqrt()


def mix(first: Latent, second: Latent, noise: Noise) -> Latent:
    """Blend the latents of two scenes along a line; the style is the first scene's."""
    blend = noise.blend
    wide = F.interpolate(blend, scale_factor=2, mode="bilinear", align_corners=False)
    return Latent(
        blend * first.coarse + (1 - blend) * second.coarse,
        wide * first.fine + (1 - wide) * second.fine,
        first.style,
    )


def jitter(latent: Latent, noise: Noise) -> Latent:
    """Add the noise of every latent."""
    return Latent(
        latent.coarse + JITTER * noise.coarse,
        latent.fine + JITTER * noise.fine,
        latent.style + JITTER * noise.style,
    )


# --- the families that decode a latent


class Decoding(nn.Module):
    """A generator with an encoder: latents of two scenes, blended and jittered, are decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()

    def decode(self, latent: Latent, batch: Batch) -> Tensor:
        raise NotImplementedError

    def forward(self, batch: Batch, partner: Batch, noise: Noise) -> Tensor:
        """Fakes (N, 3, S, S) in [-1, 1], one for each picture of ``batch``, blended with ``partner``."""
        mixed = mix(self.encoder(batch.images), self.encoder(partner.images), noise)
        return self.decode(jitter(mixed, noise), batch)


class ProGAN(Decoding):
    """Nearest-neighbour upsampling, pixel norm."""

    def __init__(self) -> None:
        super().__init__()
        self.up = NearestUp()
        self.quarter = _conv(COARSE, WIDE)
        self.quarter2 = _conv(WIDE, WIDE)
        self.halfway = _conv(WIDE + FINE, MIDDLE)
        self.halfway2 = _conv(MIDDLE, MIDDLE)
        self.full = _conv(MIDDLE, NARROW)
        self.full2 = _conv(NARROW, NARROW)
        self.rgb = _conv(NARROW, 3, 1)

    def decode(self, latent: Latent, batch: Batch) -> Tensor:
        x = _pixel_norm(_act(self.quarter(latent.coarse)))
        x = self.up(_pixel_norm(_act(self.quarter2(x))))
        x = _pixel_norm(_act(self.halfway(torch.cat([x, latent.fine.to(x.dtype)], 1))))
        x = self.up(_pixel_norm(_act(self.halfway2(x))))
        x = _pixel_norm(_act(self.full(x)))
        x = _pixel_norm(_act(self.full2(x)))
        return torch.tanh(self.rgb(x))


def _pixel_norm(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + 1e-4).rsqrt()


class ModulatedConv(nn.Module):
    """StyleGAN2's convolution: inputs scaled by the style, outputs divided by the resulting norm.

    Written as scale, convolve, scale, which is equivalent to modulating the weights per picture.
    """

    def __init__(self, inputs: int, outputs: int, up: bool = False, demodulate: bool = True,
                 kernel: int = 3) -> None:  # fmt: skip
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = nn.Linear(STYLE, inputs)
        nn.init.ones_(self.style.bias)
        self.demodulate, self.up = demodulate, up
        self.smooth = FirFilter((1.0, 3.0, 3.0, 1.0)) if up else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.style(style).float()
        weight = self.weight
        x = x * scale[:, :, None, None].to(x.dtype)
        if self.smooth is not None:
            # a gain of 4 makes up for the zeros between the pixels
            x = F.conv_transpose2d(x, 4 * weight.transpose(0, 1), stride=2, padding=0)[..., :-1, :-1]
            x = self.smooth(x)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            norm = (scale.square() @ weight.float().square().sum((2, 3)).T + 1e-6).rsqrt()
            x = x * norm[:, :, None, None].to(x.dtype)
        return x + self.bias[None, :, None, None].to(x.dtype)


class StyleGAN2(Decoding):
    """Modulated convolutions, transposed upsampling with an FIR filter, RGB summed over the resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(STYLE, STYLE), nn.LeakyReLU(0.2), nn.Linear(STYLE, STYLE))
        self.start = _conv(COARSE, WIDE)
        self.quarter = ModulatedConv(WIDE, WIDE)
        self.halfway = ModulatedConv(WIDE, MIDDLE, up=True)
        self.detail = _conv(FINE, MIDDLE, 1)
        self.halfway2 = ModulatedConv(MIDDLE, MIDDLE)
        self.full = ModulatedConv(MIDDLE, NARROW, up=True)
        self.full2 = ModulatedConv(NARROW, NARROW)
        self.rgb = nn.ModuleList(
            ModulatedConv(width, 3, demodulate=False, kernel=1) for width in (WIDE, MIDDLE, NARROW)
        )
        self.up = FirUp()

    def decode(self, latent: Latent, batch: Batch) -> Tensor:
        w = self.mapping(latent.style)
        x = _act(self.quarter(_act(self.start(latent.coarse)), w))
        picture = self.rgb[0](x, w)
        x = _act(self.halfway(x, w))
        x = _act(self.halfway2(x + self.detail(latent.fine), w))
        picture = self.up(picture) + self.rgb[1](x, w)
        x = _act(self.full2(_act(self.full(x, w)), w))
        return torch.tanh(self.up(picture) + self.rgb[2](x, w))


class AdaIN(nn.Module):
    """Instance norm, then scale and shift from the style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(STYLE, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].to(x.dtype).chunk(2, 1)
        return _instance_norm(x) * (1 + scale) + shift


class StyleGAN(Decoding):
    """AdaIN after every convolution, blurred upsampling, noise with a learned scale for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(STYLE, STYLE), nn.LeakyReLU(0.2), nn.Linear(STYLE, STYLE))
        self.up = BlurUp()
        widths = ((COARSE, WIDE), (WIDE, WIDE), (WIDE, MIDDLE), (MIDDLE, MIDDLE), (MIDDLE, NARROW),
                  (NARROW, NARROW))  # fmt: skip
        self.convs = nn.ModuleList(_conv(a, b) for a, b in widths)
        self.norms = nn.ModuleList(AdaIN(b) for _, b in widths)
        self.detail = _conv(FINE, MIDDLE, 1)
        self.rgb = _conv(NARROW, 3, 1)

    def decode(self, latent: Latent, batch: Batch) -> Tensor:
        w = self.mapping(latent.style)
        x = latent.coarse
        for layer, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            if layer in (2, 4):
                x = self.up(x)
            x = conv(x)
            if layer == 2:
                x = x + self.detail(latent.fine).to(x.dtype)
            x = norm(_act(x), w)
        return torch.tanh(self.rgb(x))


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift come from the class and from a part of the latent."""

    def __init__(self, channels: int, part: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False, momentum=0.02)
        self.label = nn.Embedding(len(scenes.CLASSES), 2 * channels)
        self.part = nn.Linear(part, 2 * channels)
        nn.init.zeros_(self.label.weight)

    def forward(self, x: Tensor, labels: Tensor, part: Tensor) -> Tensor:
        scale, shift = (self.label(labels) + self.part(part))[:, :, None, None].chunk(2, 1)
        return self.norm(x) * (1 + scale.to(x.dtype)) + shift.to(x.dtype)


class BigBlock(nn.Module):
    """Residual block of BigGAN with nearest-neighbour upsampling on both of its paths."""

    def __init__(self, inputs: int, outputs: int, part: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(inputs, part), ConditionalNorm(outputs, part)
        self.conv1, self.conv2 = _conv(inputs, outputs), _conv(outputs, outputs)
        self.skip = _conv(inputs, outputs, 1)
        self.up = NearestUp()

    def forward(self, x: Tensor, labels: Tensor, part: Tensor) -> Tensor:
        y = self.conv1(self.up(F.relu(self.norm1(x, labels, part))))
        y = self.conv2(F.relu(self.norm2(y, labels, part)))
        return y + self.up(self.skip(x))  # type: ignore[no-any-return]


class BigGAN(Decoding):
    """Class-conditional batch norm in residual blocks; the style goes to the blocks in two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.start = _conv(COARSE, WIDE)
        self.halfway = BigBlock(WIDE, MIDDLE, STYLE // 2)
        self.detail = _conv(FINE, MIDDLE, 1)
        self.full = BigBlock(MIDDLE, NARROW, STYLE // 2)
        self.norm = nn.BatchNorm2d(NARROW, momentum=0.02)
        self.rgb = _conv(NARROW, 3)

    def decode(self, latent: Latent, batch: Batch) -> Tensor:
        first, second = latent.style.chunk(2, 1)
        x = self.halfway(self.start(latent.coarse), batch.labels, first) + self.detail(latent.fine)
        x = self.full(x, batch.labels, second)
        return torch.tanh(self.rgb(F.relu(self.norm(x))))


class Spade(nn.Module):
    """Parameter-free norm, then scale and shift at every position from the segmentation map."""

    def __init__(self, channels: int, hidden: int = 8) -> None:
        super().__init__()
        self.shared = _conv(len(scenes.SEGMENTS), hidden)
        self.affine = _conv(hidden, 2 * channels)

    def forward(self, x: Tensor, segments: Tensor) -> Tensor:
        resized = F.interpolate(segments, size=x.shape[-2:], mode="nearest")
        scale, shift = self.affine(F.relu(self.shared(resized))).chunk(2, 1)
        return _instance_norm(x) * (1 + scale) + shift


class SpadeBlock(nn.Module):
    """Residual block with SPADE before both convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Spade(inputs), Spade(outputs)
        self.conv1, self.conv2 = _conv(inputs, outputs), _conv(outputs, outputs)
        self.skip = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor, segments: Tensor) -> Tensor:
        y = self.conv1(_act(self.norm1(x, segments)))
        y = self.conv2(_act(self.norm2(y, segments)))
        return y + self.skip(x)  # type: ignore[no-any-return]


class GauGAN(Decoding):
    """SPADE: everything finer than a quarter of the resolution comes from the segmentation map."""

    def __init__(self) -> None:
        super().__init__()
        self.start = _conv(COARSE, WIDE)
        self.quarter = SpadeBlock(WIDE, WIDE)
        self.halfway = SpadeBlock(WIDE, MIDDLE)
        self.full = SpadeBlock(MIDDLE, NARROW)
        self.up = NearestUp()
        self.rgb = _conv(NARROW, 3)

    def decode(self, latent: Latent, batch: Batch) -> Tensor:
        segments = F.one_hot(batch.segments, len(scenes.SEGMENTS)).permute(0, 3, 1, 2).float()
        x = self.quarter(self.start(latent.coarse), segments)
        x = self.halfway(self.up(x), segments)
        x = self.full(self.up(x), segments)
        return torch.tanh(self.rgb(_act(x)))

    def forward(self, batch: Batch, partner: Batch, noise: Noise) -> Tensor:
        """Fakes of the maps of ``batch``; a blend would not fit the map, so ``partner`` is unused."""
        return self.decode(jitter(self.encoder(batch.images), noise), batch)


# --- the families that change a picture


class Translator(nn.Module):
    """Image to image: one strided convolution, residual blocks, one transposed convolution."""

    def __init__(self, inputs: int, kernel: int, blocks: int = 2) -> None:
        super().__init__()
        self.first = _conv(inputs, NARROW, 5)
        self.down = _conv(NARROW, MIDDLE, 4, 2)
        self.blocks = nn.ModuleList(
            nn.ModuleList([_conv(MIDDLE, MIDDLE) for _ in range(2)]) for _ in range(blocks)
        )
        # kernel 3 needs one row more to double the size; kernel 4 does so by itself
        self.up = nn.ConvTranspose2d(MIDDLE, NARROW, kernel, 2, 1, output_padding=4 - kernel)
        self.norms = nn.ModuleList(nn.GroupNorm(n, n) for n in (NARROW, MIDDLE, NARROW))
        self.rgb = _conv(NARROW, 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.first(x)))
        x = F.relu(self.norms[1](self.down(x)))
        for block in self.blocks:
            y = F.relu(_instance_norm(block[0](x)))  # type: ignore[index]
            x = x + block[1](y)  # type: ignore[index]
        x = F.relu(self.norms[2](self.up(x)))
        return torch.tanh(self.rgb(x))


class CycleGAN(nn.Module):
    """Two translators: to evening light, and from evening light to day."""

    def __init__(self) -> None:
        super().__init__()
        self.to_evening = Translator(3, kernel=3)
        self.to_day = Translator(3, kernel=3)

    def forward(self, batch: Batch, partner: Batch, noise: Noise) -> Tensor:
        """Every picture in the other light; ``partner`` and ``noise`` are unused."""
        evening = batch.lights == scenes.LIGHTS.index("evening")
        out = torch.empty_like(batch.images)
        if bool(evening.any()):
            out[evening] = self.to_day(batch.images[evening]).float()
        if not bool(evening.all()):
            out[~evening] = self.to_evening(batch.images[~evening]).float()
        return out


class StarGAN(nn.Module):
    """One translator for every light; the target is given as constant planes beside the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Translator(3 + len(scenes.LIGHTS), kernel=4)

    def translate(self, images: Tensor, target: Tensor) -> Tensor:
        planes = F.one_hot(target, len(scenes.LIGHTS)).float()[:, :, None, None]
        planes = planes.expand(-1, -1, *images.shape[-2:])
        return self.net(torch.cat([images, planes.to(images.dtype)], 1))  # type: ignore[no-any-return]

    def forward(self, batch: Batch, partner: Batch, noise: Noise) -> Tensor:
        """Every picture in another light, drawn from ``noise``; ``partner`` is unused."""
        return self.translate(batch.images, (batch.lights + noise.turn) % len(scenes.LIGHTS))


_BUILD: dict[str, Callable[[], nn.Module]] = {
    "progan": ProGAN,
    "stylegan2": StyleGAN2,
    "stylegan": StyleGAN,
    "biggan": BigGAN,
    "cyclegan": CycleGAN,
    "stargan": StarGAN,
    "gaugan": GauGAN,
    "diffusion": Diffusion,
    "autoencoder": Autoencoder,
}


def known(family: str) -> str:
    """``family``, if it is one of ours; ValueError names them where it is not."""
    if family not in _BUILD:
        raise ValueError(f"unknown generator {family!r}: expected one of {', '.join(_BUILD)}")
    return family


def build(family: str) -> nn.Module:
    """A fresh generator of ``family``. ValueError names the families where it is unknown."""
    model = _BUILD[known(family)]()
    if family in ("progan", "stylegan2", "biggan", "diffusion"):
        # faster convolutions; the instance norm of the others is many times slower in this layout
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def save(model: nn.Module, path: str | Path, info: dict[str, object]) -> None:
    """Write weights in half precision, with ``info`` (family, seed, steps, command, ...) in the header."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    with atomic_write(path) as part:
        save_file(tensors, part, {key: json.dumps(value) for key, value in info.items()})


def missing(path: Path) -> str:
    """What to say where the weights at ``path`` are not there."""
    return f"no generator weights at {path}: {_remedy(path)}"


def _remedy(path: Path) -> str:
    family, _, seed = path.name.removesuffix(".safetensors").partition(".s")
    command = "python -m tff_core.miniature train-generator"
    if family in _BUILD and seed.isdecimal():
        command += f" {family} --seed {seed}"
    if family in NEW:
        return f"train them with `{command}`"
    return f"restore them with `git checkout`, or train them with `{command}`"


def load(path: str | Path) -> tuple[nn.Module, dict[str, object]]:
    """The generator in ``path`` (evaluation mode, single precision) and its description.

    Raises FileNotFoundError or ValueError, naming the file and how to make it again.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(missing(path))
    try:
        with safe_open(path, "pt") as file:
            info = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        model = build(str(info.get("family")))
        model.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        )
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no weights of a miniature generator ({error}); {_remedy(path)}"
        ) from error
    return model.eval().requires_grad_(False), info
