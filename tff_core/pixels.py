"""Explanations in pixels: Guided Grad-CAM and LRP heatmaps, and a number for where they point.

Source: paper, section 3 (input-space attributions of universal detectors are not informative). The number,
the share of positive relevance that falls on the object, is an addition.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from captum.attr import GuidedBackprop, LayerAttribution, LayerGradCam
from efficientnet_pytorch.utils import MemoryEfficientSwish, Swish
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from tff_core import lrp, maxima

Floats = NDArray[np.float64]
CAM_LAYERS = {"ResNet": "layer4", "EfficientNet": "_conv_head"}
"""The layer behind the class-activation map, as in the paper, by the network's class."""
_SWISHES = (nn.SiLU, MemoryEfficientSwish, Swish)
# black through amber: relevance as light
_STOPS = np.array([[0.0, 0.0, 0.0], [1.0, 0.69, 0.0], [1.0, 0.95, 0.7]])


class _GuidedSwish(torch.autograd.Function):
    """x sigmoid(x); on the way back only positive gradients pass, and only where x is positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return nn.functional.silu(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        slope = gate * (1 + x * (1 - gate))
        return torch.where(x > 0, gradients[0].clamp(min=0) * slope, torch.zeros_like(x))


class GuidedSwish(nn.Module):
    """Swish (SiLU) with guided backpropagation: the two masks of Springenberg et al. (2015) for ReLU.

    Where a guided ReLU multiplies what it lets pass by the slope 1, this multiplies by swish's own slope.
    """

    def forward(self, x: Tensor) -> Tensor:
        return _GuidedSwish.apply(x)


def guided(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose swish modules are guided; ReLU modules are left to captum. Same function.

    Raises ValueError where the model has neither as a module (``nn.ReLU``, ``nn.SiLU``, or the swish of
    efficientnet_pytorch): guided backpropagation would then be the plain gradient without saying so.
    """
    twin = copy.deepcopy(model)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _SWISHES):
                setattr(parent, name, GuidedSwish())
            elif hasattr(child, "_swish") and not isinstance(child._swish, nn.Module):
                raise ValueError(f"{name} of {type(parent).__name__} keeps its swish outside of the modules")
    if not any(isinstance(m, (nn.ReLU, GuidedSwish)) for m in twin.modules()):
        raise ValueError(
            f"{type(model).__name__} has no ReLU or SiLU module: expected activations as modules, since "
            "guided backpropagation changes how gradients pass through them; use nn.ReLU rather than F.relu"
        )
    return twin


def guided_gradcam(
    model: nn.Module, x: Tensor, layer: str | None = None, target: int | None = None
) -> tuple[Tensor, Tensor]:
    """Guided Grad-CAM: where a class-activation map and guided backpropagation agree.

    Parameters
    ----------
    model: in evaluation mode; it is not changed.
    x: normalised pictures (N, 3, H, W).
    layer: name of the module behind the class-activation map; by default the paper's (`CAM_LAYERS`).
    target: which of several logits is explained; by default the largest of each picture, or the only one.

    Returns
    -------
    The class-activation map (N, 1, H, W) in [0, 1], scaled to its maximum (0 where it is empty), and its
    product with guided backpropagation (N, 3, H, W).

    Source: Selvaraju et al. 2017; computed by captum. Guided backpropagation goes through swish too, which
    the paper's code leaves plain.
    """
    layer = CAM_LAYERS.get(type(model).__name__) if layer is None else layer
    modules = dict(model.named_modules())
    if layer is None or layer not in modules:
        raise ValueError(
            f"{type(model).__name__} has no module {layer!r} for the class-activation map: expected the name "
            f"of one of its modules, such as its last convolution (known: {CAM_LAYERS})"
        )
    if any(m.training for m in modules.values()):
        raise ValueError(f"{type(model).__name__} is in training mode: call model.eval() first")
    twin = guided(model)
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_(True)
        logits = twin(x)
        chosen = logits.argmax(1) if target is None else torch.full((len(x),), target, device=x.device)
        # the map is weighted by plain gradients, so it belongs to the model itself
        cam = LayerGradCam(model, modules[layer]).attribute(x, chosen, relu_attributions=True)
        backward = GuidedBackprop(twin).attribute(x, chosen)
    cam = LayerAttribution.interpolate(cam, x.shape[2:], "bilinear").detach()
    largest = cam.amax((2, 3), keepdim=True)
    cam = torch.where(largest > 0, cam / largest, torch.zeros_like(cam))
    return cam, (cam * backward).detach()


def relevance(net: lrp.Net, x: Tensor, batch_size: int = 25) -> Tensor:
    """LRP relevance of the pixels, (N, 3, H, W), for what the network decides on each picture.

    With one logit f, f(x) is explained where the network says fake and -f(x) where it says real; with
    several, ``net`` says which (``canonize(model, target=...)``).
    """
    found = []
    for part in x.split(batch_size):
        start = "logit" if net.target is None else net(part)[:, [net.target]].abs()
        pixels = lrp.relevance(net, part, start=start, pixels=True, on_layer=lambda layer, r: None).pixels
        assert pixels is not None
        found.append(pixels)
    return torch.cat(found)


def heat(attribution: Tensor) -> Floats:
    """Heatmaps (N, H, W) in [0, 1] of attributions (N, C, H, W).

    Channels are summed, negative sums count as zero, and each map is divided by its maximum; a map without
    positive values is zero throughout. (The paper's drawing.)
    """
    if attribution.ndim != 4:
        raise ValueError(f"attributions of shape {tuple(attribution.shape)}: expected (N, C, H, W)")
    summed = attribution.sum(1).clamp(min=0).double().cpu().numpy()
    largest = summed.max(axis=(1, 2), keepdims=True)
    return np.divide(summed, largest, out=np.zeros_like(summed), where=largest > 0)


def overlay(pictures: ArrayLike, heatmaps: ArrayLike, weight: float = 0.65) -> NDArray[np.uint8]:
    """Heatmaps over gray copies of the pictures: uint8 (N, H, W, 3) from uint8 (N, H, W, 3) and (N, H, W)."""
    shown, values = np.asarray(pictures, dtype=np.float64) / 255, np.asarray(heatmaps, dtype=np.float64)
    if shown.shape[:3] != values.shape or shown.shape[-1:] != (3,):
        raise ValueError(
            f"pictures of shape {shown.shape}, heatmaps of shape {values.shape}: expected (N, H, W, 3) and "
            "(N, H, W)"
        )
    position = np.linspace(0, 1, len(_STOPS))
    light = np.stack([np.interp(values, position, _STOPS[:, i]) for i in range(3)], axis=-1)
    gray = shown.mean(axis=-1, keepdims=True)
    return np.round(255 * (weight * light + (1 - weight) * gray)).clip(0, 255).astype(np.uint8)


def enlarge(picture: ArrayLike, box: tuple[int, int, int, int], side: int) -> NDArray[np.uint8]:
    """The part of a picture (H, W, 3) inside ``box`` (top, left, bottom, right), ``side`` pixels a side.

    Pixels are repeated or left out, never mixed. Raises ValueError where the box is empty or not in the
    picture.
    """
    whole = np.asarray(picture)
    top, left, bottom, right = box
    if not (0 <= top < bottom <= whole.shape[0] and 0 <= left < right <= whole.shape[1]):
        raise ValueError(f"box {box} (top, left, bottom, right) is not inside a picture of {whole.shape[:2]}")
    steps = (np.arange(side) + 0.5) / side
    rows, columns = (top + steps * (bottom - top)).astype(int), (left + steps * (right - left)).astype(int)
    return whole[np.ix_(rows, columns)]


def in_place(patch: maxima.Patch) -> Tensor:
    """Relevance (3, H, W) of the whole picture that a patch was cut from: zero outside of its box."""
    top, left, bottom, right = patch.box
    out = patch.relevance.new_zeros(len(patch.relevance), *patch.size)
    out[:, top:bottom, left:right] = patch.relevance
    return out


def share_on(heatmaps: ArrayLike, masks: ArrayLike) -> tuple[Floats, Floats]:
    """How much of the positive relevance falls on the object, and how much of the picture the object is.

    ``heatmaps`` (N, H, W), not negative; ``masks`` (N, H, W), true on the object. Returns the share of
    relevance (N,), missing where a heatmap is empty, and the share of area (N,). An explanation that knows
    nothing of the object has equal shares on average.

    Raises ValueError where shapes differ, a value is negative, or an object is empty or the whole picture.
    """
    values, inside = np.asarray(heatmaps, dtype=np.float64), np.asarray(masks, dtype=bool)
    if values.shape != inside.shape or values.ndim != 3:
        raise ValueError(
            f"heatmaps of shape {values.shape}, masks of shape {inside.shape}: expected (N, H, W)"
        )
    if (values < 0).any():
        raise ValueError("some relevance is negative: expected heatmaps from heat(), which drops it")
    area = inside.mean(axis=(1, 2))
    if ((area == 0) | (area == 1)).any():
        bad = int(((area == 0) | (area == 1)).sum())
        raise ValueError(
            f"{bad} of {len(area)} masks are empty or full: leave out pictures without an object"
        )
    total = values.sum(axis=(1, 2))
    on = (values * inside).sum(axis=(1, 2))
    return np.divide(on, total, out=np.full(len(total), np.nan), where=total > 0), area
