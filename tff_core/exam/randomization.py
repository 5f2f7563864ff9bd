"""Networks in which some of the weights are drawn anew, and what their explanations look like.

An explanation that stays as it was when the network forgets what it has learnt does not explain what the
network has learnt (Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018). Weights are forgotten in
groups of layers: from the logit down, from the picture up, or one group alone. What is drawn anew are all
parameters of the group, by the network's own initialisation. A batch normalisation in the group no longer
scales or shifts, and its statistics are those of given pictures under the new weights: with the old
ones, or with those that a network starts with, activations would fade or explode from layer to layer, and an
explanation would change for that alone. ``norms="initial"`` leaves it at the start's all the same.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tff_core import lrp
from tff_core.features import pixels
from tff_core.lrp.walk import walk_back

Floats = NDArray[np.float64]
By = Literal["layer", "block", "stage"]
Order = Literal["top down", "bottom up", "alone"]
Norms = Literal["refitted", "initial"]
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


# ------------------------------------------------------------------------------------------- the networks


class Group(NamedTuple):
    """Modules that forget together: the group's name, and theirs."""

    name: str
    modules: tuple[str, ...]


def groups(model: nn.Module, x: Tensor, by: By = "stage") -> list[Group]:
    """The modules with weights, from the logit down to the picture, in groups.

    Args:
        model: in evaluation mode.
        x: pictures (N, C, H, W) as the network takes them; only one is looked at.
        by: "layer" is a convolution, or a fully connected layer, with the normalisation after it; "block"
            what stands together in a list of modules, such as a residual block; "stage" the neighbouring
            blocks whose outputs are of one size.

    Modules that the forward pass does not use are left out. ValueError where none has weights.
    """
    units: list[list[str]] = []
    sizes: dict[str, tuple[int, ...]] = {}
    modules = dict(model.named_modules())
    for name, size in _used(model, x):
        if isinstance(modules[name], _NORMS) and units:
            units[-1].append(name)
        else:
            units.append([name])
        sizes[name] = size
    if not units:
        raise ValueError(
            f"{type(model).__name__} has no layer with weights: expected a network that can forget something"
        )
    if by == "layer":
        found = [Group(unit[0], tuple(unit)) for unit in units]
        return found[::-1]
    blocks: dict[str, list[str]] = {}
    for unit in units:
        blocks.setdefault(_block(unit[0], modules), []).extend(unit)
    if by == "block":
        return [Group(name, tuple(unit)) for name, unit in blocks.items()][::-1]
    stages = []
    for _, some in groupby(blocks, key=lambda name: sizes[blocks[name][-1]]):
        names = list(some)
        stages.append(Group(_spoken(names, list(blocks)), tuple(m for name in names for m in blocks[name])))
    return stages[::-1]


def _used(model: nn.Module, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Modules with weights of their own, in the order of the forward pass, and the sizes of their outputs."""
    found: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def seen(_module: nn.Module, _inputs: tuple[Tensor, ...], y: Tensor) -> None:
            found.setdefault(name, tuple(y.shape[2:]) or (0,))

        return seen

    hooks = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
        or isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    try:
        with torch.no_grad():
            model(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.items())


def _block(name: str, modules: dict[str, nn.Module]) -> str:
    """The outermost element of a list of modules that a module belongs to; itself where there is none."""
    parts = name.split(".")
    for i in range(len(parts)):
        if isinstance(modules[".".join(parts[:i])], _CONTAINERS):
            return ".".join(parts[: i + 1])
    return name


def _spoken(names: Sequence[str], every: Sequence[str]) -> str:
    """A name for neighbouring blocks: that of their list, if they are all of it, else the first and last."""
    parent = names[0].rpartition(".")[0]
    if parent and {name for name in every if name.startswith(f"{parent}.")} == set(names):
        return parent
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def randomised(
    model: nn.Module,
    chosen: Iterable[Group],
    seed: int,
    *,
    make: Callable[[], nn.Module] | None = None,
    norms: Norms = "refitted",
    pictures: Tensor | None = None,
) -> nn.Module:
    """A copy of ``model`` in which the chosen groups have forgotten what they had learnt.

    Args:
        model: in evaluation mode; it is not changed.
        chosen: from `groups`; none gives an equal copy.
        seed: of the new weights. A layer's do not depend on which others are chosen, and are not those that
            ``torch.manual_seed(seed)`` would give: a training may have started from these.
        make: makes the untrained network, by its own initialisation; without it each module is started anew
            by its ``reset_parameters()``.
        norms: what becomes of the normalisations in the groups: "refitted" scales by 1, shifts by 0, and
            takes the statistics of a batch normalisation from ``pictures``; "initial" starts with what
            ``make`` (or ``reset_parameters()``) gives, which may be a scale of zero.
        pictures: (N, C, H, W), two or more, as the network takes them.

    Raises ValueError where ``make`` makes another network, a module cannot be started anew, or pictures are
    missing.
    """
    names = [name for group in chosen for name in group.modules]
    twin = copy.deepcopy(model)
    _forget(twin, names, seed, make)
    fitted = []
    for name in names:
        module = twin.get_submodule(name)
        if norms == "refitted" and isinstance(module, _NORMS):
            for value, start in ((module.weight, 1.0), (module.bias, 0.0)):
                if value is not None:
                    nn.init.constant_(value, start)
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                fitted.append(module)
    if fitted:
        _refit(twin, fitted, pictures)
    return twin


def _forget(twin: nn.Module, names: Sequence[str], seed: int, make: Callable[[], nn.Module] | None) -> None:
    with torch.random.fork_rng(devices=[]):
        # not the seed itself: a network trained from that seed would get its own start back
        torch.manual_seed(zlib.crc32(f"anew {seed}".encode()))
        fresh = None if make is None or not names else make()
        for name in names:
            module = twin.get_submodule(name)
            if fresh is not None:
                _copy(fresh, name, module)
                continue
            start_anew = getattr(module, "reset_parameters", None)
            if start_anew is None:
                raise ValueError(
                    f"{name} is a {type(module).__name__}, which has no reset_parameters(): expected a "
                    "module that can be started anew; give `make`, which makes the untrained network"
                )
            torch.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            start_anew()


@torch.no_grad()
def _copy(fresh: nn.Module, name: str, module: nn.Module) -> None:
    """Give a module the weights and statistics that the module of that name has in another network."""
    try:
        other = fresh.get_submodule(name)
    except AttributeError:
        other = nn.Identity()
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for key, value in own:
        new = getattr(other, key, None)
        if not isinstance(new, Tensor) or new.shape != value.shape:
            raise ValueError(
                f"make() returns a {type(fresh).__name__} without {name}.{key} of shape "
                f"{tuple(value.shape)}: expected the same network, untrained"
            )
        value.copy_(new)


def _refit(
    twin: nn.Module, fitted: Sequence[nn.modules.batchnorm._BatchNorm], pictures: Tensor | None
) -> None:
    if pictures is None or len(pictures) < 2:
        raise ValueError(
            f"{0 if pictures is None else len(pictures)} pictures: expected two or more, from which the "
            'batch normalisations of random layers take their statistics; or choose norms="initial"'
        )
    before = [module.momentum for module in fitted]
    for module in fitted:
        module.momentum = 1.0
        module.train()  # these alone: no other training behaviour is wanted
    try:
        with torch.no_grad():
            twin(pictures)
    finally:
        for module, momentum in zip(fitted, before, strict=True):
            module.momentum = momentum
            module.eval()


class Forgotten(NamedTuple):
    """A network that has forgotten: in which order, how many steps deep, the last group's name, itself."""

    order: Order
    depth: int
    group: str
    model: nn.Module
    kept: frozenset[str]
    """Modules with weights that are still the trained ones."""


def cascade(
    model: nn.Module,
    steps: Sequence[Group],
    seed: int,
    order: Order = "top down",
    *,
    make: Callable[[], nn.Module] | None = None,
    norms: Norms = "refitted",
    pictures: Tensor | None = None,
) -> Iterator[Forgotten]:
    """The network with one group more forgotten in each step, or with each group forgotten alone.

    ``steps`` as from `groups`, from the logit down; other arguments as in `randomised`. In "top down" and
    "bottom up" what a step has drawn stays in the next, and the last one has forgotten everything. ValueError
    for another order.
    """
    if order not in ("top down", "bottom up", "alone"):
        raise ValueError(f"order is {order!r}: expected 'top down', 'bottom up' or 'alone'")
    listed = list(steps) if order != "bottom up" else list(steps)[::-1]
    every = {name for group in steps for name in group.modules}
    for depth, group in enumerate(listed, start=1):
        chosen = [group] if order == "alone" else listed[:depth]
        twin = randomised(model, chosen, seed, make=make, norms=norms, pictures=pictures)
        gone = {name for one in chosen for name in one.modules}
        yield Forgotten(order, depth, group.name, twin, frozenset(every - gone))


# --------------------------------------------------------------------------------------- what they look at


class Look(NamedTuple):
    """What a network looks at: heatmaps (N, H, W) by method, and each map's share of its layer (N, M)."""

    heatmaps: dict[str, Floats]
    shares: NDArray[np.float32]


ZPLUS, GRADIENT, GUIDED, CAM = "z+", "gradient", "guided Grad-CAM", "Grad-CAM"
METHODS = (ZPLUS, GRADIENT, GUIDED, CAM)


def relevance(net: lrp.Net, x: Tensor, batch_size: int = 25) -> tuple[Floats, NDArray[np.float32]]:
    """What a network decides by: relevance of pixels, (N, H, W), and each map's share of its layer, (N, M).

    One walk from abs(f) at the logit f: what speaks for "fake" where the network says so, and for "real"
    where it says that, as a random one may. Shares as in `rankings.shares`: the sum of a map's positive
    relevance by the sum of the layer's absolute relevance, zero where that is.
    """
    net.check(x)
    heat: list[Floats] = []
    rows: list[Tensor] = []
    for part in x.split(batch_size):
        found: dict[str, Tensor] = {}

        def collect(layer: str, r: Tensor, found: dict[str, Tensor] = found) -> None:
            total = r.abs().sum((1, 2, 3))[:, None]
            found[layer] = (r.clamp(min=0).sum((2, 3)) / total).nan_to_num(0.0, 0.0).float().cpu()

        tape: list[Any] = []
        with torch.no_grad():
            start = net.forward(part, tape).abs()
            walked = walk_back(net, start, tape, True, collect)
        assert walked is not None
        heat.append(pixels.strength(walked))
        rows.append(torch.cat([found[layer] for layer in net.layers], 1))
    return np.concatenate(heat), torch.cat(rows).numpy()


def look(
    model: nn.Module,
    x: Tensor,
    bounds: tuple[float, float],
    methods: Sequence[str] = METHODS,
    net: lrp.Net | None = None,
) -> Look:
    """Heatmaps of what the network decides, by each method, and the shares of the maps.

    Args:
        model: one logit, in evaluation mode.
        x: pictures (N, C, H, W), normalised.
        bounds: least and greatest value of a normalised pixel, see `lrp.canonize`.
        methods: some of `METHODS`: relevance by the z+ rule, absolute gradient, guided Grad-CAM, Grad-CAM.
        net: the canonised ``model``, where it is there already.

    Raises ValueError for another method, and what the methods raise.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ValueError(f"no method {unknown[0]!r}: expected some of {', '.join(METHODS)}")
    heat, shares = relevance(net or lrp.canonize(model, bounds=bounds), x)
    found = {ZPLUS: heat} if ZPLUS in methods else {}
    if GRADIENT in methods:
        found[GRADIENT] = pixels.strength(pixels.gradient(model, x))
    if GUIDED in methods or CAM in methods:
        cam, guided = pixels.guided_gradcam(pixels.decisions(model), x)
        both = {GUIDED: pixels.strength(guided), CAM: pixels.strength(cam)}
        found |= {name: both[name] for name in methods if name in both}
    return Look(found, shares)
