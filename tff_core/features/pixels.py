"""Explanations in pixels: Guided Grad-CAM and LRP heatmaps, and a number for where they point.

Source: paper, section 3 (input-space attributions of universal detectors are not informative). The number,
the share of positive relevance that falls on the object, and the controls are an addition.
"""

from __future__ import annotations

import contextlib
import copy
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from efficientnet_pytorch.utils import MemoryEfficientSwish, Swish
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from tff_core import detectors, intervals, lrp, metrics
from tff_core.features import maxima
from tff_core.lrp.walk import walk_back
from tff_core.pictures import data
from tff_core.store import memory

Floats = NDArray[np.float64]
CAM_LAYERS = {"ResNet": "layer4", "EfficientNet": "_conv_head"}
"""The layer behind the class-activation map, as in the paper, by the network's class."""
_SWISHES = (nn.SiLU, MemoryEfficientSwish, Swish)
# activations that captum does not guide, as modules and as functions
_BENT = (
    nn.ReLU6, nn.Hardswish, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.Mish, nn.Softplus,
    nn.Hardtanh,
)  # fmt: skip
_BENT_FUNCTIONS = tuple(
    getattr(nn.functional, name)
    for name in ("silu", "relu6", "hardswish", "leaky_relu", "elu", "gelu", "mish", "softplus", "hardtanh")
)
_RELUS = (nn.functional.relu, nn.functional.relu_, torch.relu, torch.relu_, "relu", "relu_")
# black through amber: relevance as light
_STOPS = np.array([[0.0, 0.0, 0.0], [1.0, 0.69, 0.0], [1.0, 0.95, 0.7]])


class _Guided(torch.autograd.Function):
    """An activation; on the way back only positive gradients pass, and only where its input is positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.activation = activation
        return activation(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.activation(at).sum(), at)
        return torch.where(x > 0, gradients[0].clamp(min=0) * slope, torch.zeros_like(x)), None


class Guided(nn.Module):
    """An activation with guided backpropagation: the two masks of Springenberg et al. (2015) for ReLU.

    Where a guided ReLU multiplies what it lets pass by the slope 1, this multiplies by the activation's own.
    """

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return _Guided.apply(x, self.activation)


class GuidedSwish(Guided):
    """Swish (SiLU) with guided backpropagation."""

    def __init__(self) -> None:
        super().__init__(nn.functional.silu)


def guided(model: nn.Module) -> nn.Module:
    """A copy of ``model`` with guided activations (ReLU modules are left to captum) and the same outputs.

    Swish, ReLU6, hard swish and their like become `Guided` modules, and so does what ``forward()`` calls as
    a function, where the model can be traced.

    Raises ValueError where the model has none of these activations: guided backpropagation would then be the
    plain gradient without saying so.
    """
    twin = copy.deepcopy(model)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _SWISHES):
                setattr(parent, name, GuidedSwish())
            elif type(child) in _BENT:
                child.inplace = False  # type: ignore[assignment]  # what it gets is remembered
                setattr(parent, name, Guided(child))
            elif hasattr(child, "_swish") and not isinstance(child._swish, nn.Module):
                raise ValueError(f"{name} of {type(parent).__name__} keeps its swish outside of the modules")
    twin = _with_guided_functions(twin)
    if not any(isinstance(m, (nn.ReLU, Guided)) for m in twin.modules()):
        raise ValueError(
            f"{type(model).__name__} has no ReLU, ReLU6, SiLU or hard swish that torch.fx finds: expected "
            "one, since guided backpropagation changes how gradients pass through them"
        )
    return twin


def _applied(function: Any, args: tuple[Any, ...], settings: dict[str, Any], x: Tensor) -> Tensor:
    found: Tensor = function(x, *args, **settings)
    return found


def _with_guided_functions(model: nn.Module) -> nn.Module:
    """The model, or, where its forward() calls activations as functions, a graph with modules for these."""
    try:
        graph = lrp.trace(model, {**lrp.RULES, Guided: None, GuidedSwish: None})  # type: ignore[dict-item]
    except (ValueError, lrp.NoRule):  # its modules are guided all the same
        return model
    number = 0
    for node in graph.graph.nodes:
        if node.op not in ("call_function", "call_method"):
            continue
        if node.target in _RELUS:
            activation: Callable[..., Tensor] = torch.relu
        elif node.target in _BENT_FUNCTIONS:
            settings = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
            places = 0 if node.target in (nn.functional.silu, nn.functional.relu6) else None
            activation = partial(_applied, node.target, node.args[1:places], settings)
        else:
            continue
        graph.add_submodule(f"guided_{number}", Guided(activation))
        node.op, node.target = "call_module", f"guided_{number}"
        node.args, node.kwargs = node.args[:1] or (node.kwargs["input"],), {}
        number += 1
    if not number:
        return model
    graph.recompile()
    return graph.eval()


def decisions(detector: nn.Module, threshold: float = 0.0) -> nn.Module:
    """A copy of a detector with a logit for each answer: ``threshold - f`` (real), ``f - threshold`` (fake).

    The larger of the two is what the detector decides, so a picture that it calls real is explained by what
    speaks for real, as a classifier's answer is by what speaks for its class.

    A linear layer at the end becomes one with two outputs; after anything else, such as the convolutional
    head of other networks, the two answers are computed from the logit.

    Raises ValueError where the network cannot be traced, or has several logits.
    """
    graph = lrp.trace(detector)
    (answer,) = next(node for node in graph.graph.nodes if node.op == "output").all_input_nodes
    head = graph.get_submodule(str(answer.target)) if answer.op == "call_module" else None
    if isinstance(head, nn.Linear):
        if head.out_features != 1:
            raise ValueError(
                f"{type(detector).__name__} has {head.out_features} logits: expected one, the detector's"
            )
        return _two_outputs(detector, str(answer.target), threshold)
    twin = copy.deepcopy(graph)
    (end,) = (node for node in twin.graph.nodes if node.op == "output")
    (logit,) = end.all_input_nodes
    with twin.graph.inserting_before(end):
        real = twin.graph.call_function(operator.sub, (threshold, logit))
        fake = twin.graph.call_function(operator.sub, (logit, threshold))
        both = twin.graph.call_function(torch.cat, ([real, fake], 1))
    end.args = (both,)
    twin.recompile()
    return twin.eval()


def _two_outputs(detector: nn.Module, name: str, threshold: float) -> nn.Module:
    twin = copy.deepcopy(detector)
    head = twin.get_submodule(name)
    assert isinstance(head, nn.Linear)
    both = nn.Linear(head.in_features, 2, device=head.weight.device, dtype=head.weight.dtype)
    with torch.no_grad():
        bias = head.weight.new_zeros(1) if head.bias is None else head.bias
        both.weight.copy_(torch.cat([-head.weight, head.weight]))
        both.bias.copy_(torch.cat([threshold - bias, bias - threshold]))
    parent, _, own = name.rpartition(".")
    setattr(twin.get_submodule(parent), own, both.requires_grad_(False))
    return twin.eval()


def with_norms_of(model: nn.Module, x: Tensor) -> nn.Module:
    """A copy of a network whose batch normalisations standardise the maps of the pictures ``x`` (N, 3, H, W).

    In evaluation mode, on the device of ``x``. For networks that were never trained, the control of Adebayo
    et al. (2018) for explanations: without it their activations would fade from layer to layer, and residual
    branches that start at zero would leave most of the network out.
    """
    twin = copy.deepcopy(model).to(x.device).eval()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            for value, start in ((module.weight, 1.0), (module.bias, 0.0)):
                if value is not None:
                    nn.init.constant_(value, start)
            module.train()  # these alone: no other training behaviour is wanted
    with torch.no_grad():
        twin(x.contiguous())
    twin.input_size = tuple(x.shape[2:])  # type: ignore[assignment]  # of what it was made for
    return detectors.ready(twin, x.device)


@torch.no_grad()
def last_convolution(model: nn.Module, x: Tensor) -> str:
    """Name of the last convolution whose output on pictures ``x`` has more than one position.

    That of a squeeze-excite gate has one only. ValueError where there is none.
    """
    found: list[str] = []
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, y, name=name: found.append(name) if y.shape[2:].numel() > 1 else None
        )
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        model(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no convolution with more than one place on pictures of "
            f"{x.shape[2]} x {x.shape[3]} pixels: expected one for the class-activation map; give larger ones"
        )
    return found[-1]


def gradcam(model: nn.Module, x: Tensor, layer: str | None = None, target: int | None = None) -> Tensor:
    """Grad-CAM: which regions of the picture raise a logit through the maps of one layer.

    Parameters
    ----------
    model: in evaluation mode; it is not changed.
    x: normalised pictures (N, 3, H, W).
    layer: name of the module behind the class-activation map; by default the paper's (`CAM_LAYERS`), in
        other networks `last_convolution`.
    target: which of several logits is explained; by default the largest of each picture, or the only one.

    Returns
    -------
    The class-activation map (N, 1, H, W) in [0, 1], scaled to its maximum (0 where it is empty).

    Source: Selvaraju et al. 2017; computed by captum.
    """
    return _gradcam(model, x, layer, _targets(model, x, target))


def guided_gradcam(
    model: nn.Module, x: Tensor, layer: str | None = None, target: int | None = None
) -> tuple[Tensor, Tensor]:
    """Guided Grad-CAM: where a class-activation map and guided backpropagation agree.

    Takes what `gradcam` takes.

    Returns
    -------
    The class-activation map (N, 1, H, W) in [0, 1], and its product with guided backpropagation (N, 3, H, W).

    Source: Selvaraju et al. 2017; computed by captum. Guided backpropagation goes through swish too, which
    the paper's code leaves plain.
    """
    chosen = _targets(model, x, target)
    # the map is weighted by plain gradients, so it belongs to the model itself
    cam = _gradcam(model, x, layer, chosen)
    with torch.enable_grad(), _captum_announces_nothing():
        backward = (
            captum().GuidedBackprop(guided(model)).attribute(x.detach().clone().requires_grad_(True), chosen)
        )
    return cam, (cam * backward).detach()


def _targets(model: nn.Module, x: Tensor, target: int | None) -> Tensor:
    """The logit to be explained of each picture, (N,)."""
    if any(m.training for m in model.modules()):
        raise ValueError(f"{type(model).__name__} is in training mode: call model.eval() first")
    if target is not None:
        return torch.full((len(x),), target, device=x.device)
    with torch.no_grad():
        return model(x).argmax(1)


def _gradcam(model: nn.Module, x: Tensor, layer: str | None, chosen: Tensor) -> Tensor:
    modules = dict(model.named_modules())
    if layer is None:
        known = CAM_LAYERS.get(type(model).__name__)
        layer = known if known in modules else last_convolution(model, x)
    if layer not in modules:
        raise ValueError(
            f"{type(model).__name__} has no module {layer!r} for the class-activation map: expected the name "
            f"of one of its modules, such as its last convolution (known: {CAM_LAYERS})"
        )
    with torch.enable_grad(), _captum_announces_nothing():
        x = x.detach().clone().requires_grad_(True)
        cam = captum().LayerGradCam(model, modules[layer]).attribute(x, chosen, relu_attributions=True)
    cam = captum().LayerAttribution.interpolate(cam, x.shape[2:], "bilinear").detach()
    largest = cam.amax((2, 3), keepdim=True)
    return torch.where(largest > 0, cam / largest, torch.zeros_like(cam))


def captum() -> Any:
    """captum's methods, loaded when they are asked for: that takes longer than most chapters compute."""
    from captum import attr

    return attr


@contextlib.contextmanager
def _captum_announces_nothing() -> Iterator[None]:
    """captum announces its hooks; they are set on our own copies, or removed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting .*hooks")
        yield


@torch.no_grad()
def relevance(net: lrp.Net, x: Tensor, batch_size: int = 25) -> Tensor:
    """LRP relevance of the pixels, (N, 3, H, W), for what the network decides on each picture.

    With one logit f, f(x) is explained where the network says fake and -f(x) where it says real; with
    several, the largest of each picture, or the one that ``net`` names (``canonize(model, target=...)``).
    """

    def of(part: Tensor) -> Tensor:
        net.check(part)
        tape: list[Any] = []
        y = net.forward(part, tape)
        if net.target is None and y.shape[1] > 1:
            chosen = y.argmax(1, keepdim=True)
            start = torch.zeros_like(y).scatter_(1, chosen, y.gather(1, chosen))
        else:
            start = torch.zeros_like(y)
            start[:, net.target or 0] = y[:, net.target or 0].abs()
        pixels = walk_back(net, start, tape, True, lambda layer, r: None)
        assert pixels is not None
        return pixels

    parts = memory.Parts()
    return torch.cat([parts.cat(of, part) for part in x.split(batch_size)])


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    """The absolute gradient of a network's only logit at each pixel, (N, 3, H, W); computed by captum.

    Source: Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks (2014).
    """
    with torch.enable_grad():
        return captum().Saliency(model).attribute(x.detach().clone().requires_grad_(True), 0).detach()


def strength(attribution: Tensor) -> Floats:
    """Maps (N, H, W) of attributions (N, C, H, W): channels summed, negative sums zero."""
    if attribution.ndim != 4:
        raise ValueError(f"attributions of shape {tuple(attribution.shape)}: expected (N, C, H, W)")
    summed: Floats = attribution.sum(1).clamp(min=0).double().cpu().numpy()
    return summed


def heat(attribution: Tensor) -> Floats:
    """Heatmaps (N, H, W) in [0, 1] of attributions (N, C, H, W): their `strength`.

    Each map is divided by its maximum; a map without positive values is zero throughout. (The paper's
    drawing.) ValueError as there.
    """
    summed = strength(attribution)
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


def thumbnail(
    path: Path, box: tuple[int, int, int, int] | None, side: int, preprocessing: data.Preprocessing
) -> NDArray[np.uint8]:
    """A patch of a picture on disk, (side, side, 3), enlarged without mixing pixels; black without a box.

    ``box`` is a place in what ``preprocessing`` makes of the picture, as in the table of `patches.find`.
    """
    if box is None:
        return np.zeros((side, side, 3), dtype=np.uint8)
    whole = preprocessing.cut(data.read(path)).permute(1, 2, 0).numpy()
    return enlarge(whole, box, side)


def middle(picture: Tensor, largest: int) -> Tensor:
    """The middle of a picture (3, H, W), at most ``largest`` pixels a side; smaller ones are left alone."""
    height, width = picture.shape[1:]
    top, left = max(0, (height - largest) // 2), max(0, (width - largest) // 2)
    return picture[:, top : top + largest, left : left + largest]


def in_place(patch: maxima.Patch) -> Tensor:
    """Relevance (3, H, W) of the whole picture that a patch was cut from: zero outside of its box."""
    top, left, bottom, right = patch.box
    out = patch.relevance.new_zeros(len(patch.relevance), *patch.size)
    out[:, top:bottom, left:right] = patch.relevance
    return out


def share_on(heatmaps: ArrayLike, masks: ArrayLike) -> tuple[Floats, Floats]:
    """The object's share of the positive relevance, and its share of the picture.

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


def edges(pictures: Tensor) -> Floats:
    """The strength of a picture's edges, (N, H, W) in [0, 1]: a heatmap that needs no network.

    ``pictures`` uint8 (N, 3, H, W). The magnitude of the gradient of luma, divided by its maximum.
    """
    luma = data.grayscale(pictures)[:, 0].double().cpu().numpy()
    strength = np.hypot(*np.gradient(luma, axis=(1, 2)))
    return heat(torch.from_numpy(strength)[:, None])


def likeness(one: ArrayLike, other: ArrayLike) -> Floats:
    """Spearman's rank correlation of two heatmaps of each picture, (N,); missing where one is constant.

    ``one`` and ``other`` (N, H, W). 1 means that both rank the pixels alike. Source: Adebayo et al. 2018.
    """
    a, b = (np.asarray(maps, dtype=np.float64) for maps in (one, other))
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"heatmaps of shape {a.shape} and {b.shape}: expected (N, H, W) of both")
    a, b = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (a, b))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), np.nan), where=scale > 0)


def focus(
    shares: Mapping[str, Mapping[int, ArrayLike]],
    area: ArrayLike,
    contrast: tuple[str, str] = ("detector", "classifier"),
    least: int = 5,
    n: int = metrics.RESAMPLES,
    level: float = metrics.LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Relevance on the objects relative to what their area alone would get, network by network.

    Parameters
    ----------
    shares: by network and training seed, the share of relevance on the object of every picture, (N,),
        missing where a heatmap is empty, as from `share_on`.
    area: the objects' share of every picture's area, (N,).
    contrast: the two networks whose difference is asked for; left out where one of them is not there.
    least: with fewer pictures a bootstrap interval is too narrow; only the value is returned then.

    Returns
    -------
    One row per network and seed, and one over all of its seeds (``seed`` "all"): ``share`` and ``area``
    (means over the pictures with a heatmap), ``ratio`` = share / area, which is also the ``value`` between
    ``low`` and ``high``, ``seeds, covers``, ``n`` pictures, ``empty`` heatmaps. And one row ``"detector -
    classifier"`` over all seeds, whose ``value`` is the difference of the two ratios on the same pictures.

    Intervals come from a bootstrap over pictures, the same for all networks; those over training seeds from
    `tff_core.intervals`. Without any heatmap the numbers are missing.

    Raises ValueError where the numbers of pictures differ, or there is none.
    """
    size = np.asarray(area, dtype=np.float64)
    tables = {
        name: np.stack([np.asarray(v, dtype=np.float64) for v in own.values()])
        for name, own in shares.items()
    }
    if not len(size) or any(table.shape[1:] != size.shape for table in tables.values()):
        raise ValueError(
            f"shares of shapes {[table.shape for table in tables.values()]} for {size.shape} areas: expected "
            "one share per picture, and at least one picture"
        )
    rows = []
    for name, table in tables.items():
        chosen = [(str(s), table[[i]]) for i, s in enumerate(shares[name])] + [("all", table)]
        for which, values in chosen:
            found = _over_area(values, size, least, n, level, seed)
            rows.append({"model": name, "seed": which} | found | {"ratio": found["value"]})
    first, second = contrast
    if first in tables and second in tables:
        # one classifier is compared with every seed of the detector
        difference = tables[first] - tables[second].mean(axis=0)
        found = _over_area(difference, size, least, n, level, seed) | {"share": np.nan, "area": np.nan}
        rows.append({"model": f"{first} - {second}", "seed": "all"} | found | {"ratio": np.nan})
    return pd.DataFrame(rows)


def _over_area(on: Floats, area: Floats, least: int, n: int, level: float, seed: int) -> dict[str, Any]:
    """Sum of ``on`` (S, N) over the sum of the area of the same pictures, with its bootstrap interval."""
    there = np.isfinite(on)
    # the first is the sample itself
    weights = np.vstack([np.ones(len(area)), metrics.resamples(len(area), n, seed)])
    top, bottom = (weights @ part.T for part in (np.where(there, on, 0.0), there * area))
    values = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    count, measured = int(there.sum()), int(there.any(axis=0).sum())
    known = np.isfinite(values[0])
    value = float(top[0].sum() / bottom[0].sum()) if known.any() else np.nan
    pooled = intervals.Pooled(value, np.nan, np.nan, int(known.sum()))
    if known.any() and measured >= max(least, 1):
        pooled = intervals.over_seeds(values[0, known], values[1:, known], level=level, value=value)
    means = (float(part[0].sum()) / count if count else np.nan for part in (top, bottom))
    return {
        **dict(zip(("share", "area"), means, strict=True)),
        **pooled.columns("value"),
        "n": measured,
        "empty": int((~there).sum()),
    }
