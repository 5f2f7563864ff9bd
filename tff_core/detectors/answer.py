"""Whether a network's output is one logit that may be negative, or something else.

Detectors from elsewhere are checked before use. A probability is refused rather than converted back to its
logit: near 0 and 1, single precision has rounded away what the ranking of pictures needs, and a network
without its last operation has the same weights.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tff_core import lrp
from tff_core.lrp.canonize import SIZES
from tff_core.pictures import data

_PROBABILITY = "so it answers with a probability or its logarithm"
_ONE_SIDED = "so its answers are cut off, and pictures beyond the cut cannot be told apart"
# torch operations (aten) whose result is no logit: their names in words, and the consequence
_NO_LOGIT: dict[str, tuple[str, str]] = {
    "sigmoid": ("a sigmoid", _PROBABILITY),
    "special_expit": ("a sigmoid", _PROBABILITY),
    "hardsigmoid": ("a hard sigmoid", _PROBABILITY),
    "log_sigmoid_forward": ("the logarithm of a sigmoid", _PROBABILITY),
    "_softmax": ("a softmax", _PROBABILITY),
    "_log_softmax": ("a log-softmax", _PROBABILITY),
    "exp": ("an exponential", _PROBABILITY),
    "reciprocal": ("a reciprocal", _PROBABILITY),
    "log": ("a logarithm", _PROBABILITY),
    "log1p": ("a logarithm", _PROBABILITY),
    "tanh": ("a tanh", "so it answers with a number between -1 and 1"),
    "erf": ("an error function", "so it answers with a number between -1 and 1"),
    "atan": ("an arc tangent", "so its answers are bounded"),
}
_CUT = {
    "relu": "a ReLU", "clamp": "a clamp", "clamp_min": "a clamp", "clamp_max": "a clamp",
    "hardtanh": "a clamp",
    "threshold": "a threshold", "softplus": "a softplus", "abs": "an absolute value", "pow": "a power",
    "sqrt": "a square root", "silu": "a SiLU", "gelu": "a GELU", "hardswish": "a hard swish", "elu": "an ELU",
    "mish": "a Mish", "maximum": "a maximum",
    "minimum": "a minimum",
}  # fmt: skip
# behind these a number may still be a logit: shapes, and sums of logits
_SHAPES = {
    "view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "select", "slice",
    "alias", "clone", "permute", "transpose", "t", "expand", "cat", "stack", "split",
    "split_with_sizes", "unbind", "narrow", "detach", "_to_copy", "copy", "as_strided",
    "lift_fresh", "index", "contiguous", "add", "sub", "rsub", "neg", "mul", "div",
}  # fmt: skip
_POOLS = {
    "mean", "sum", "avg_pool2d", "_adaptive_avg_pool2d", "max", "amax", "max_pool2d_with_indices",
    "_adaptive_max_pool2d",
}  # fmt: skip


@dataclass(frozen=True)
class _Made:
    """How a tensor was computed: the operation, and the same for its inputs."""

    name: str
    inputs: tuple[_Made, ...]


class _Origins(TorchDispatchMode):
    """Records how each tensor was computed, however the network spells the operation."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, _Made] = {}
        self._alive: list[Tensor] = []  # or a new tensor could get the id of a freed one

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        before = tuple(
            self.made[id(t)]
            for t in torch.utils._pytree.tree_leaves((args, dict(kwargs)))
            if isinstance(t, Tensor) and id(t) in self.made
        )
        found = func(*args, **kwargs)
        name = str(func._schema.name).removeprefix("aten::").rstrip("_")
        for tensor in torch.utils._pytree.tree_leaves(found):
            if isinstance(tensor, Tensor):
                self.made[id(tensor)] = _Made(name, before)
                self._alive.append(tensor)
        return found


def _complaint(made: _Made | None) -> str:
    """Why the result of an operation is no logit; "" where it may be one."""
    waiting, done = [(made, False)], set()
    while waiting:
        one, pooled = waiting.pop()
        if one is None or (id(one), pooled) in done:
            continue
        done.add((id(one), pooled))
        if one.name in _NO_LOGIT:
            what, so = _NO_LOGIT[one.name]
            return f"ends in {what}, {so}"
        # the mean of a ReLU over positions is SqueezeNet's logit
        if one.name in _CUT and not pooled:
            return f"ends in {_CUT[one.name]}, {_ONE_SIDED}"
        if one.name in _SHAPES or one.name in _POOLS:
            waiting += [(before, pooled or one.name in _POOLS) for before in one.inputs]
    return ""


def declare(
    model: nn.Module, preprocessing: data.Preprocessing, size: tuple[int, int] | None = None
) -> nn.Module:
    """Record the size (height, width) of its pictures on a network, for `tff_core.lrp.canonize`; returns it.

    That is what ``preprocessing`` crops or resizes to, else ``size``; with neither, nothing is recorded.
    """
    side = preprocessing.crop or preprocessing.resize
    if side or size:
        model.input_size = (side, side) if side else size  # type: ignore[assignment]
    return model


def takes_channels_last(model: nn.Module) -> bool:
    """Whether a network can take pictures in channels-last layout: a ``view`` may forbid it.

    Decided from its graph, where it has one: only a ``view`` can forbid it. Otherwise it is tried.
    """
    try:
        graph = lrp.trace(model, views=True).graph
        if not any(node.op == "call_method" and node.target == "view" for node in graph.nodes):
            return True
    except (ValueError, lrp.NoRule):
        pass
    where = next((value for value in model.parameters()), torch.zeros(()))
    size = getattr(model, "input_size", None)
    for height, width in [size] if size else [(side, side) for side in SIZES]:
        x = torch.zeros(1, 3, height, width, device=where.device, dtype=where.dtype)
        for layout in (torch.channels_last, torch.contiguous_format):
            try:
                with torch.no_grad():
                    model(x.to(memory_format=layout))
                return layout == torch.channels_last
            except Exception:  # the network is the user's; whether it runs at all is checked elsewhere
                continue
    return True


@torch.no_grad()
def must_be_a_logit(name: str, model: nn.Module, x: Tensor | None = None) -> None:
    """ValueError unless a network answers each picture with one logit.

    ``model`` in evaluation mode; ``x`` (N, 3, H, W) are normalised pictures, or noise; None: noise of the
    size that it declares (see `declare`), or of the first common one that it can take. Refused are networks
    that cannot take such pictures, answer with several tensors or logits, with what is not finite, or end in
    an operation after which a number is no logit: a sigmoid or its logarithm, a softmax, a tanh, a ReLU, a
    clamp, however they are spelled. The mean of a ReLU over positions passes.
    """

    def wrong(what: str) -> ValueError:
        return ValueError(f"external detector {name!r}: its network {what}")

    where = next((value for value in model.parameters()), torch.zeros(()))
    noise = torch.Generator().manual_seed(0)
    size = getattr(model, "input_size", None)
    sizes = [size] if size else [(side, side) for side in SIZES]
    given = [torch.randn(1, 3, *one, generator=noise) for one in sizes] if x is None else [x[:1]]
    for number, picture in enumerate(given):
        origins = _Origins()
        try:
            with origins:
                y: Any = model(picture.to(where.device, where.dtype))
            break
        except Exception as error:  # the network is the user's
            if number + 1 < len(given):
                continue
            tried = ", ".join(f"{one.shape[-2]} x {one.shape[-1]}" for one in given)
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise wrong(
                f"cannot take pictures of {tried} pixels ({type(error).__name__}: {first}); declare "
                "the size that it is made for, --preprocessing '{resize: 256, crop: 224}'"
            ) from error
    if not isinstance(y, Tensor):
        count = f" of {len(y)}" if isinstance(y, tuple | list | dict) else ""
        raise wrong(
            f"answers with a {type(y).__name__}{count}; expected one tensor (N, 1), the logit: give a "
            "function that returns a network with that output alone"
        )
    complaint = _complaint(origins.made.get(id(y)))
    shape = tuple(y.shape)
    if shape == (1, 2):
        raise wrong(
            (f"{complaint}, and it " if complaint else "")
            + "answers one picture with the shape (1, 2); expected (1, 1), one logit that is positive for "
            "fakes: of two logits before their softmax that is, exactly, the fakes' minus the reals'; give a "
            "function that returns the network with that difference, y[:, 1:] - y[:, :1] where fake is "
            "class 1"
        )
    if shape != (1, 1):
        raise wrong(
            f"answers one picture with the shape {shape}; expected (1, 1), one logit that is positive for "
            "fakes"
        )
    if complaint:
        raise wrong(
            f"{complaint}; expected the logit before it, positive for fakes: give a function that returns "
            "the network without its last operation, the weights are the same"
        )
    if not bool(torch.isfinite(y).all()):
        raise wrong(
            f"answers with {float(y):g}; expected a finite number: its weights are damaged or of another "
            "network, or it wants another normalisation"
        )


def shifted(model: nn.Module, threshold: float) -> nn.Module:
    """A copy of a detector whose logit is 0 where the detector's is ``threshold``; layers keep their names.

    The bias of a final linear layer absorbs the threshold; after anything else it is subtracted.
    Raises as `tff_core.lrp.trace`.
    """
    graph = copy.deepcopy(lrp.trace(model))
    (end,) = (node for node in graph.graph.nodes if node.op == "output")
    (logit,) = end.all_input_nodes
    head = graph.get_submodule(str(logit.target)) if logit.op == "call_module" else None
    if isinstance(head, nn.Linear) and head.bias is not None:
        twin = copy.deepcopy(model)
        twin.get_submodule(str(logit.target)).bias.data.sub_(threshold)  # type: ignore[union-attr,operator]
        return twin
    with graph.graph.inserting_before(end):
        end.args = (graph.graph.call_function(operator.sub, (logit, threshold)),)
    graph.recompile()
    return graph.eval()
