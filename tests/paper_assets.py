"""Stand-ins for the paper's assets: the same folders, formats and keys, made of noise in a few seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn

from tff_core import detectors
from tff_core.pictures import data

CLASSES = {"progan": ("airplane", "cat"), "stylegan": ("bedroom", "car"), "stylegan2": ("church", "horse"),
           "cyclegan": ("apple", "zebra"), "biggan": (), "stargan": (), "gaugan": ()}  # fmt: skip
SIZES = ((48, 48), (56, 48), (48, 64))  # width, height


def picture(rng: np.random.Generator, fake: bool, size: tuple[int, int]) -> Image.Image:
    """Smooth colours with noise; a fake's noise is doubled in both directions, as upsampling leaves it."""
    width, height = size
    coarse = Image.fromarray(rng.integers(30, 220, (4, 4, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    if fake:
        noise = (
            rng.normal(0, 25, (height // 2 + 1, width // 2 + 1, 3)).repeat(2, 0).repeat(2, 1)[:height, :width]
        )
    else:
        noise = rng.normal(0, 25, (height, width, 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))


def folder(root: Path, classes: tuple[str, ...], n: int, seed: int) -> None:
    """One generator's pictures as ForenSynths has them: PNG and JPEG of several sizes, and a stray file."""
    rng = np.random.default_rng(seed)
    for place in [root / name for name in classes] or [root]:
        for label, name in enumerate(data.LABELS):
            (place / name).mkdir(parents=True)
            for i in range(n):
                # sizes and formats say nothing about the label
                suffix = "jpg" if i % 4 == 3 else "png"
                picture(rng, bool(label), SIZES[i % len(SIZES)]).save(
                    place / name / f"{i:05d}.{suffix}", quality=95
                )
    (root / "README.txt").write_text("not a picture")


def weights(path: Path, pictures: Path, seed: int) -> None:
    """A checkpoint with the keys of a published one: random features, and a last layer that fits pictures."""
    images = data.scan(pictures)
    torch.manual_seed(seed)
    model = detectors.build("resnet50")
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5
            if module.weight.abs().sum() == 0:  # a residual branch that starts at zero
                nn.init.constant_(module.weight, 0.5)
    batches = data.batches(images, 16)
    features: list[torch.Tensor] = []
    head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        model.train()
        for x, _, _ in batches:
            model(x)
        model.eval()
        features.clear()
        labels = []
        for x, y, _ in batches:
            model(x)
            labels += y.tolist()
    seen = torch.cat(features).double().numpy()
    center, spread = seen.mean(0), seen.std(0) + 1e-6
    fitted = LogisticRegression(C=10.0, max_iter=500).fit((seen - center) / spread, labels)
    line = fitted.coef_[0] / spread
    head.weight.data[0] = torch.from_numpy(line)
    head.bias.data[0] = float(fitted.intercept_[0] - line @ center)
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(head.parameters()).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state, "optimizer": optimizer, "total_steps": 12345}, path)


def make(root: Path, n: int = 4) -> Path:
    """What `make CONFIG=paper` wants, below ``root``; ``n`` pictures of each class and label."""
    folder(root / "progan_val", CLASSES["progan"], 2 * n, seed=1)
    for number, (name, classes) in enumerate(CLASSES.items()):
        folder(root / "CNN_synth_testset" / name, classes, n if classes else 2 * n, seed=10 + number)
    for number, name in {0: "resnet50", 2: "cr-resnet50"}.items():
        weights(root / "weights" / name / "blur_jpg_prob0.5.pth", root / "progan_val", seed=number)
    return root
