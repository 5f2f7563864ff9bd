"""Detectors of any family, the way that a user goes: weights, checks, ranking, explanations in pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tff_core import detectors, lrp
from tff_core.detectors import adoption
from tff_core.features import pixels, sensitivity
from tff_core.pictures import data
from tff_core.store import results

# network, crop, pictures a label, the layer behind the class-activation map
FAMILIES = [
    ("torchvision.models:resnet18", 64, 6, "layer4"),
    ("torchvision.models:densenet121", 64, 4, "features.denseblock4.denselayer16.conv2"),
    ("foreign_nets:vgg11", 32, 2, "features.18"),
    ("torchvision.models:mobilenet_v3_small", 64, 6, "features.12.0"),
    ("torchvision.models:mobilenet_v3_large", 64, 4, "features.16.0"),
    ("torchvision.models:efficientnet_b0", 64, 4, "features.8.0"),
    ("torchvision.models:squeezenet1_1", 64, 6, "classifier.1"),
    ("torchvision.models:regnet_y_400mf", 64, 4, "trunk_output.block4.block4-5.f.c.0"),
    ("torchvision.models:shufflenet_v2_x1_0", 64, 6, "conv5.0"),
    ("foreign_nets:inception", 107, 1, "Mixed_7c.branch_pool.conv"),
    ("foreign_nets:xception", 64, 6, "conv3.pointwise"),
    ("foreign_nets:fixed", 40, 6, "conv2"),
    ("foreign_nets:manifold", 48, 6, "merge"),
]


def draw(folder: Path, n: int) -> data.ImageSet:
    """Smooth reals and noisy fakes, so that a ranking has both."""
    rng = np.random.default_rng(0)
    for label, noise in (("0_real", 10), ("1_fake", 80)):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            smooth = np.asarray(
                Image.fromarray(rng.integers(0, 255, (5, 6, 3), np.uint8)).resize((80, 72), 2)
            )
            noisy = smooth + rng.normal(0, noise, smooth.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / label / f"{i}.png")
    return data.scan(folder)


def trained(arch: str, images: data.ImageSet, seen: data.Preprocessing) -> nn.Module:
    """Random weights with a seed, maps that are alive, and a logit around 0: no training, but no dead net."""
    torch.manual_seed(0)
    model = detectors.build(arch)
    x = data.normalize(data.load(images, seen), seen)
    model = pixels.with_norms_of(model, torch.cat([x, x.flip(3)])[:8])
    *_, head = (m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) and len(m.weight) <= 2)
    fakes = torch.tensor(images.labels) == 1
    with torch.no_grad():
        conv = isinstance(head, nn.Conv2d)  # its ReLU must not be closed everywhere
        head.weight.mul_((0.5 if conv else 4) / max(float(model(x).std()), 1e-3))
        if conv and head.bias is not None:
            head.bias.fill_(2)
        if float(model(x)[fakes].max()) <= float(model(x)[~fakes].min()):
            head.weight.neg_()  # a detector calls some fake fake
        if head.bias is not None and len(head.bias) == 1 and isinstance(head, nn.Linear):
            head.bias -= model(x).median()
    return model


@torch.no_grad()
def between_pictures(about: Path, model: nn.Module, x: torch.Tensor) -> None:
    """Lower a calibrated threshold, which is the score of a picture, half of the way to the next score.

    Of so few pictures it may be the only fake, and rounding would then say whether any fake is called fake.
    """
    info = json.loads(about.read_text(encoding="utf-8"))
    below = [score for score in model(x).flatten().tolist() if score < info["threshold"] - 1e-5]
    info["threshold"] = (info["threshold"] + max(below)) / 2 if below else info["threshold"] - 1e-5
    results.write_json(about, info)


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "crop", "n", "layer"), FAMILIES, ids=[f[0].split(":")[1] for f in FAMILIES])
def test_a_detector_of_any_family_is_taken_in_ranked_and_explained(
    arch: str, crop: int, n: int, layer: str, tmp_path: Path
) -> None:
    store = results.Store(tmp_path / "build")
    images = draw(store.data("miniature", "val", "progan"), n)
    settings = {"resize": crop, "crop": crop}
    seen = data.Preprocessing.of(settings)
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": trained(arch, images, seen).state_dict()}, weights)
    entry = {"weights": str(weights), "arch": arch, "k": 5, "preprocessing": settings}
    adoption.adopt("mine", entry, store, device="cpu")
    weights.unlink()

    x = data.normalize(data.load(images, seen), seen)
    taken = detectors.load("mine", 0, store)
    between_pictures(store.detector("mine", 0).with_suffix(".json"), taken.model, x)
    taken = detectors.load("mine", 0, store)
    assert taken.info["size"] == [crop, crop] and np.isfinite(taken.threshold)
    net = lrp.canonize(taken.model)
    omegas = sensitivity.rank("mine", 0, store=store, confidence=0.5, calibrated=True, progress=False)
    for label, omega in omegas.items():
        assert omega.count and omega.values.keys() == net.layers.keys()
        # SqueezeNet's logit is a mean of what cannot be negative: nothing in it speaks for a real picture
        assert any(value.any() for value in omega.values.values()) or (label, layer) == (
            "real",
            "classifier.1",
        )

    # as the chapter on pixels has them
    x = x[:: max(1, n // 2)]
    blank = pixels.with_norms_of(detectors.build(arch), x)
    for model, threshold in ((taken.model, taken.threshold), (blank, 0.0)):
        both = pixels.decisions(model, threshold)
        with torch.no_grad():
            f = model(x)
            assert torch.allclose(both(x), torch.cat([threshold - f, f - threshold], 1), atol=1e-4)
        explained = lrp.canonize(both, bounds=seen.bounds)
        heatmaps = pixels.heat(pixels.relevance(explained, x))
        assert heatmaps.shape == (len(x), crop, crop) and np.isfinite(heatmaps).all()
        assert heatmaps.any() or layer == "classifier.1"
        if pixels.CAM_LAYERS.get(type(both).__name__) != layer:
            assert pixels.last_convolution(both, x) == layer
        cam, product = pixels.guided_gradcam(both, x)
        assert cam.shape == (len(x), 1, crop, crop) and product.shape == x.shape
        assert bool(product.isfinite().all())


def test_activations_called_as_functions_are_guided_like_modules() -> None:
    class Called(nn.Module):
        def __init__(self, modules: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.fc = nn.Linear(4, 2)
            self.acts = [nn.ReLU(), nn.Hardswish(), nn.ReLU6()] if modules else []
            self.own = nn.ModuleList(self.acts)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.acts:
                x = self.own[1](self.second(self.own[0](self.first(x))))
                return self.fc(self.own[2](x).mean((2, 3)))
            x = nn.functional.hardswish(self.second(nn.ReLU()(self.first(x))))
            return self.fc(nn.functional.relu6(x).mean((2, 3)))

    x = torch.randn(2, 3, 9, 9)
    models = [Called(modules).eval() for modules in (True, False)]
    (cam, product), (other_cam, other_product) = (
        pixels.guided_gradcam(model, x, target=1) for model in models
    )
    assert torch.allclose(cam, other_cam) and torch.allclose(product, other_product) and product.any()
    plain = x.clone().requires_grad_()
    models[1](plain)[:, 1].sum().backward()
    assert plain.grad is not None and not torch.allclose(other_product, cam * plain.grad)
