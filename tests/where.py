"""Pictures and small trained networks for the tests of localization."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tff_core import localization
from tff_core.localization import PatchClassifier, masks
from tff_core.miniature import generators
from tff_core.pictures import data


def noise(n: int, height: int = 48, width: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth coloured noise, uint8 (n, height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, height // 4 + 2, width // 4 + 2, 3))
    whole = coarse.repeat(4, 1).repeat(4, 2)[:, 1 : height + 1, 1 : width + 1]
    fine = rng.normal(size=(n, height, width, 3))
    return (128 + 35 * whole + 12 * fine).clip(0, 255).astype(np.uint8)


def traced(pixels: np.ndarray, amplitude: int = 30) -> np.ndarray:
    """The pictures with a trace of period 2 that a patch classifier can see anywhere."""
    height, width = pixels.shape[-3:-1]
    checks = (np.add.outer(np.arange(height), np.arange(width)) % 2 * 2 - 1)[..., None] * amplitude
    return (pixels.astype(int) + checks).clip(0, 255).astype(np.uint8)


def folder(root: Path, n: int = 8, size: tuple[int, int] = (48, 48), seed: int = 0) -> data.ImageSet:
    """Reals and fakes in the layout of ForenSynths; fakes have the trace."""
    for label, name in enumerate(data.LABELS):
        (root / name).mkdir(parents=True)
        for i, pixels in enumerate(noise(n, *size, seed=2 * seed + label)):
            Image.fromarray(traced(pixels) if label else pixels).save(root / name / f"{i:03d}.png")
    return data.scan(root)


def spliced(root: Path, n: int = 6, authentic: int = 3, size: int = 48, seed: int = 0) -> masks.Masked:
    """Pictures with the trace in a random rectangle, then authentic ones, with their masks."""
    rng = np.random.default_rng(seed)
    for name in ("image", "mask"):
        (root / name).mkdir(parents=True)
    for i, pixels in enumerate(noise(n + authentic, size, size, seed)):
        mask = np.zeros((size, size), dtype=bool)
        if i < n:
            (top, left), (height, width) = (
                rng.integers(0, size // 2, 2),
                rng.integers(size // 4, size // 2, 2),
            )
            mask[top : top + height, left : left + width] = True
        Image.fromarray(np.where(mask[..., None], traced(pixels), pixels)).save(root / f"image/{i:03d}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / f"mask/{i:03d}.png")
    return masks.find(root)


def knowing(fake_class: int = 0, name: str = "xception_block1") -> PatchClassifier:
    """A network that knows the trace: batch norms fit, and its head is fitted to patches with and without."""
    net = localization.build(name, init="kaiming", seed=3, fake_class=fake_class)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    real = noise(24, seed=90)
    x = torch.from_numpy(np.concatenate([real, traced(real)])).permute(0, 3, 1, 2)
    x = data.normalize(x, localization.INPUT)
    with torch.no_grad():
        net.train()(x)
        net.eval()
        features = net.trunk(x)
        head = net.convout
        real_mean, fake_mean = (part.mean((0, 2, 3)) for part in features.chunk(2))
        spread = features.var((0, 2, 3)) + 1e-3
        direction = (fake_mean - real_mean) / spread
        bias = -float(direction @ (fake_mean + real_mean)) / 2
        scale = 4.0 / abs(float(direction @ (fake_mean - real_mean)))
        head.weight.zero_()
        head.bias.zero_()
        head.weight[fake_class, :, 0, 0] = scale * direction
        head.bias[fake_class] = scale * bias
    return net.requires_grad_(False)


def untrained_autoencoder(folder: Path) -> Path:
    """Weights of an autoencoder that has learnt nothing: its inversions are nearly gray."""
    torch.manual_seed(0)
    path = folder / "autoencoder.s1.safetensors"
    generators.save(generators.build("autoencoder"), path, {"family": "autoencoder"})
    return path
