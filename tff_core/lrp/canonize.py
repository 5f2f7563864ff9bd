"""A trained network as a list of operations with rules, its batch normalisations folded away exactly."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tff_core.lrp.rules import (
    FLOOR,
    RULES,
    Add,
    Call,
    Conv,
    Gate,
    Passing,
    Rule,
    Table,
    batchnorm_affine,
    compiled_kernels,
)

# z^B bounds of the paper: the extremes over the colour channels of an ImageNet-normalised picture
IMAGENET_BOUNDS = (-0.485 / 0.229, (1 - 0.406) / 0.225)


@dataclass(frozen=True)
class Step:
    """One operation: its name, its rule, and which values it reads (0 is the picture, i + 1 step i's output).

    ``carries`` says that relevance reaches it, ``layer`` that it is one of the network's `Net.layers`.
    """

    name: str
    rule: Rule
    inputs: tuple[int, ...]
    carries: bool = True
    layer: bool = False


class Net:
    """A canonized network: the same function as the model it was made from, in operations with rules.

    ``layers`` maps each convolution that relevance passes to its number of channels, in the order of the
    forward pass, under the names of the published relevance tables. ``target`` is the logit that is
    explained (None where there is one only). ``reference`` marks a network that re-creates the paper's
    code. Called on (N, 3, H, W) it returns the logits (N, K).
    """

    def __init__(
        self, steps: Sequence[Step], *, channels: int, target: int | None = None, reference: bool = False
    ) -> None:
        self.steps = list(steps)
        self.channels = channels
        self.target = target
        self.reference = reference
        self.last_use = [0] * (len(self.steps) + 1)
        for i, step in enumerate(self.steps):
            for value in step.inputs:
                self.last_use[value] = i
        self.index = {step.name: i for i, step in enumerate(self.steps) if step.layer}
        self.layers = {name: int(self.conv(name).weight.shape[0]) for name in self.index}

    def conv(self, layer: str) -> Conv:
        """The folded convolution of that name; ValueError where the network has none."""
        if layer not in self.index:
            near = ", ".join(list(self.index)[:3])
            raise ValueError(
                f"the network has no layer {layer!r}: expected one of its {len(self.index)} convolutions "
                f"({near}, ...); see net.layers"
            )
        rule = self.steps[self.index[layer]].rule
        assert isinstance(rule, Conv)
        return rule

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights; pictures must have the same."""
        return next(s.rule.weight for s in self.steps if isinstance(s.rule, Conv)).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are; pictures must be there too."""
        return next(s.rule.weight for s in self.steps if isinstance(s.rule, Conv)).device

    def fingerprint(self) -> str:
        """A hash of the operations and of all their weights, on any device."""
        digest = hashlib.sha256(repr((self.target, self.reference)).encode())
        for step in self.steps:
            rule = step.rule
            digest.update(repr((step.name, step.inputs, type(rule).__name__)).encode())
            for name, value in sorted(vars(rule).items()):
                if isinstance(value, Tensor):
                    digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
                    # bytes, not numbers: numpy knows no bfloat16
                    whole = value.detach().cpu().contiguous().flatten()
                    digest.update(whole.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Net:
        """A copy on another device or in another precision.

        Raises ValueError for float16, in which the rules' smallest denominator would be zero.
        """
        if dtype is not None:
            _holds_floor(dtype)
        wanted = {k: v for k, v in (("device", device), ("dtype", dtype)) if v is not None}
        return self._with([replace(s, rule=s.rule.to(**wanted)) for s in self.steps])

    def half(self) -> Net:
        """A copy in bfloat16: half the memory, and about two decimal digits."""
        return self.to(dtype=torch.bfloat16)

    def compiled(self) -> Net:
        """A copy whose loops over elements are compiled by torch.compile; the same numbers but for rounding.

        The first pictures of each shape wait for the compiler. Convolutions and matrix products, where most
        of the time goes, stay as they are. Raises RuntimeError where nothing can be compiled.
        """
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if self.device.type == "cpu" and shutil.which(compiler) is None:
            raise RuntimeError(
                f"net.compiled() needs a C++ compiler, and {compiler!r} is not there: expected one on PATH, "
                "or named by the environment variable CXX; install it, or use the network as it is"
            )
        steps = [replace(s, rule=copy.copy(s.rule)) for s in self.steps]
        for step in steps:
            step.rule.kernels = compiled_kernels()
        return self._with(steps)

    def with_convs(self, changed: dict[str, Conv]) -> Net:
        """A copy in which some layers are other convolutions; everything else is shared."""
        for layer in changed:
            self.conv(layer)
        return self._with([replace(s, rule=changed.get(s.name, s.rule)) for s in self.steps])

    def _with(self, steps: list[Step]) -> Net:
        return Net(steps, channels=self.channels, target=self.target, reference=self.reference)

    def check(self, x: Tensor) -> None:
        """ValueError unless ``x`` is a batch of pictures that this network can take."""
        wanted = f"(N, {self.channels}, height, width)"
        if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != self.channels:
            found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"the network takes pictures of shape {wanted}, found {found}")
        if x.dtype != self.dtype:
            raise ValueError(
                f"the network is in {self.dtype}, the pictures are in {x.dtype}: convert one of them "
                f"(x.to({self.dtype}), after normalising; or net.to(dtype={x.dtype}))"
            )
        if x.device != self.device:
            raise ValueError(
                f"the network is on {self.device}, the pictures are on {x.device}: move one of them"
            )

    def forward(
        self,
        x: Tensor,
        tape: list[Any] | None = None,
        stop: int | None = None,
        watch: Callable[[Step, Tensor], None] | None = None,
    ) -> Tensor:
        """Output of step ``stop`` (the last by default); each value is freed after its last use.

        What the rules need for the way back is appended to ``tape``, if one is given. ``watch`` is called
        with every step and its output, which the next step may overwrite.
        """
        # at batches below 16 only channels_last keeps 1x1 convolutions on the fast path of the CPU
        values: dict[int, Tensor] = {0: x.contiguous(memory_format=torch.channels_last)}
        for i, step in enumerate(self.steps):
            y, saved = step.rule.forward(*(values[j] for j in step.inputs))
            if tape is not None:
                tape.append(saved if step.carries else None)
            del saved
            for j in set(step.inputs):
                if self.last_use[j] == i:
                    del values[j]
            values[i + 1] = y
            if watch is not None:
                watch(step, y)
            if i == stop:
                break
        return y

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, K) of pictures (N, 3, H, W)."""
        self.check(x)
        return self.forward(x)


def _holds_floor(dtype: torch.dtype) -> None:
    if torch.finfo(dtype).tiny > FLOOR:
        raise ValueError(
            f"{dtype} cannot hold the rules' smallest denominator, {FLOOR}: expected a precision with the "
            "range of float32; use torch.bfloat16, net.half()"
        )


class _Tracer(fx.Tracer):
    """Stops at the modules that have a rule."""

    def __init__(self, leaves: Collection[Any]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self.leaves or super().is_leaf_module(m, module_qualified_name)


def canonize(
    model: nn.Module,
    *,
    reference: bool = False,
    target: int | None = None,
    rules: Table = RULES,
    pixel_rule: str | None = None,
    bounds: tuple[float, float] = IMAGENET_BOUNDS,
    example: Tensor | None = None,
) -> Net:
    """The network ready for relevance propagation: a copy, its batch normalisations folded exactly.

    Args:
        model: in evaluation mode; any network that torch.fx can trace and whose operations are in ``rules``.
        reference: re-create the paper's code instead: every folded batch normalisation still divides by
            sqrt(1 + eps), and relevance starts at +1 or -1 rather than at the logit.
        target: which of several logits to explain.
        rules: the table from operation to rule.
        pixel_rule: rule of the convolution that sees the picture: "zb" (z^B, pixels have ``bounds``) or
            "zplus". The default is the paper's choice: z^B in networks of ReLUs, z+ elsewhere.
        bounds: least and greatest value of a normalised pixel.
        example: (N, C, H, W) on which model and copy must agree; by default noise of 64 x 64 pixels.

    Raises:
        NoRule: an operation is not in the table; names the node and what to do.
        ValueError: the model is in training mode or in float16, cannot be traced, uses a convolution twice,
            or the copy does not compute what the model computes.
    """
    if any(m.training for m in model.modules()):
        raise ValueError(
            f"{type(model).__name__} is in training mode, where its output depends on the batch: "
            "expected evaluation mode; call model.eval() first"
        )
    if pixel_rule not in (None, "zb", "zplus"):
        raise ValueError(f"pixel_rule is {pixel_rule!r}: expected 'zb', 'zplus' or None")
    first = next(model.parameters(), torch.zeros(()))
    _holds_floor(first.dtype)
    # folding is done, and checked, in float64 on the CPU; the result goes back to where the model was
    model = copy.deepcopy(model).to("cpu", torch.float64)
    graph = _trace(model, rules)
    steps, channels = _steps(graph, dict(model.named_modules()), rules)
    net = Net(steps, channels=channels, target=target, reference=reference)
    _same_function(model, net, example)
    if pixel_rule is None:
        pixel_rule = "zb" if any(_is_relu(s.rule) for s in steps) else "zplus"
    for step in net.steps:
        if 0 in step.inputs and isinstance(step.rule, Conv) and pixel_rule == "zb":
            step.rule.bounds = bounds
    if reference:
        net = net.with_convs({name: _residual(net.conv(name), graph.eps.get(name)) for name in net.layers})
    return net._with(
        [
            replace(
                s, rule=s.rule.to(device=first.device, dtype=first.dtype, memory_format=torch.channels_last)
            )
            for s in net.steps
        ]
    )


def _is_relu(rule: Rule) -> bool:
    return (isinstance(rule, Passing) and rule.function is F.relu) or (
        isinstance(rule, Add) and rule.rectified
    )


def _residual(conv: Conv, eps: float | None) -> Conv:
    """The paper's code resets a folded batch normalisation but leaves it running: y / sqrt(1 + eps)."""
    factor = 1.0 if eps is None else (1 + eps) ** -0.5
    if conv.bias is None or conv.dropped is None:
        return conv
    new = conv.with_weights(conv.weight * factor, conv.bias * factor)
    new.dropped = conv.dropped * factor
    return new


@dataclass
class _Traced:
    nodes: list[fx.Node]
    eps: dict[str, float]  # of the batch normalisation folded into each convolution


def _trace(model: nn.Module, rules: Table) -> _Traced:
    try:
        graph = _Tracer(rules).trace(model)
    except Exception as error:  # user code runs under the tracer and may raise anything
        raise ValueError(
            f"{type(model).__name__} cannot be traced by torch.fx ({error}): expected a forward pass without "
            "branches or loops on tensor values; rewrite it so, or give the module that does it a rule "
            "of its own (canonize(model, rules=lrp.RULES | {ThatModule: ...}))"
        ) from error
    return _Traced(list(graph.nodes), {})


def _tensors(node: fx.Node) -> tuple[fx.Node, ...]:
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return tuple(found)


def _is_size(node: fx.Node) -> bool:
    """Sizes are numbers of the picture at hand: no tensor flows through them."""
    if node.op == "call_method":
        return node.target in ("size", "dim")
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] == "shape"
    return node.op == "call_function" and any(isinstance(arg, fx.Node) and _is_size(arg) for arg in node.args)


def _steps(traced: _Traced, modules: dict[str, nn.Module], rules: Table) -> tuple[list[Step], int]:
    steps: list[Step] = []
    value: dict[fx.Node, int] = {}
    skipped: set[fx.Node] = set()  # taken up by the step before
    seen: set[str] = set()
    output: fx.Node | None = None

    for node in traced.nodes:
        if node.op == "placeholder":
            if value:
                if node.users:
                    raise ValueError(
                        f"the model takes several inputs ({node.name!r} too): expected one, the pictures"
                    )
                continue
            value[node] = 0
            continue
        if node.op == "output":
            (output,) = _tensors(node) if len(_tensors(node)) == 1 else (None,)
            if output is None:
                raise ValueError("the model returns several tensors: expected one, the logits (N, K)")
            continue
        if node in skipped or (_is_size(node) and node.op != "call_module"):
            continue
        target: Any = node.target
        key = type(modules[target]) if node.op == "call_module" else target
        inputs = tuple(n for n in _tensors(node) if not _is_size(n))
        call = Call(node, inputs, modules)
        if node.op == "get_attr" or key not in rules:
            raise call.refuse(
                "expected an operation of the table lrp.RULES; add one: canonize(model, rules=lrp.RULES | "
                f"{{{getattr(key, '__name__', repr(key))}: build}}), where build(call) returns an lrp.Rule "
                "(for an activation that passes relevance unchanged: lrp.passing(function))"
            )
        rule = rules[key](call)
        last = node
        if isinstance(rule, Conv):
            if call.name in seen:
                raise call.refuse(
                    "this convolution is used twice, so its maps have no single relevance; copy it"
                )
            seen.add(call.name)
            last = _fold(rule, node, modules, traced.eps)
        elif isinstance(rule, Add):
            last = _rectify(rule, node, modules, rules)
        if last is not node:
            skipped.add(last)
        if isinstance(rule, Passing):
            source = inputs[0]
            if source in value and value[source] > 0 and len(source.users) == 1:
                rule.overwrite = steps[value[source] - 1].rule.fresh
        steps.append(Step(call.name, rule, tuple(value[n] for n in inputs)))
        value[node] = value[last] = len(steps)

    if output is None or value.get(output, 0) != len(steps):
        raise ValueError(
            "the model's output is not its last operation: expected logits computed from the pictures"
        )
    return _finish(steps)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _fold(conv: Conv, node: fx.Node, modules: dict[str, nn.Module], eps: dict[str, float]) -> fx.Node:
    """Fold the batch normalisation that follows, if one does; returns the last node taken up."""
    user = _only_user(node)
    module = modules[str(user.target)] if user is not None and user.op == "call_module" else None
    if user is None or type(module) is not nn.BatchNorm2d:
        return node
    assert isinstance(module, nn.BatchNorm2d)
    scale, shift = batchnorm_affine(module)
    conv.weight = conv.weight * scale.view(-1, 1, 1, 1)
    conv.bias = shift if conv.bias is None else shift + conv.bias * scale
    conv.dropped = shift
    eps[str(node.target)] = module.eps
    return user


def _rectify(add: Add, node: fx.Node, modules: dict[str, nn.Module], rules: Table) -> fx.Node:
    """Take up the ReLU that follows a sum, unless it is the network's output."""
    user = _only_user(node)
    if user is None or any(n.op == "output" for n in user.users):
        return node
    key: Any = type(modules[str(user.target)]) if user.op == "call_module" else user.target
    if key in (nn.ReLU, F.relu, torch.relu, "relu", "relu_") and rules.get(key) is RULES[key]:
        add.rectified = True
        return user
    return node


def _finish(steps: list[Step]) -> tuple[list[Step], int]:
    """Which steps relevance reaches, which inputs cannot be negative, and how many channels a picture has."""
    reached = [False] * (len(steps) + 1)
    reached[-1] = True
    for i in reversed(range(len(steps))):
        rule = steps[i].rule
        for position, j in enumerate(steps[i].inputs):
            gets = not (isinstance(rule, Gate) and position == rule.gate)
            reached[j] = reached[j] or (reached[i + 1] and gets)
    nonnegative = [False]
    channels = 3
    done: list[Step] = []
    for i, step in enumerate(steps):
        nonnegative.append(step.rule.nonnegative(*(nonnegative[j] for j in step.inputs)))
        is_conv = isinstance(step.rule, Conv)
        if isinstance(step.rule, Conv) and 0 in step.inputs:
            channels = step.rule.weight.shape[1] * step.rule.groups
        done.append(replace(step, carries=reached[i + 1], layer=is_conv and reached[i + 1]))
    if not any(s.layer for s in done):
        raise ValueError(
            "the model has no convolution that relevance reaches: expected a convolutional network"
        )
    return done, channels


@torch.no_grad()
def _same_function(model: nn.Module, net: Net, example: Tensor | None) -> None:
    if example is None:
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(2, net.channels, 64, 64, generator=generator)
    example = example.to("cpu", torch.float64)
    try:
        expected = model(example)
    except RuntimeError as error:
        size = " x ".join(map(str, example.shape[2:]))
        raise ValueError(
            f"{type(model).__name__} cannot run on noise of {size} pixels ({error}): expected pictures of "
            "another size; give an example, canonize(model, example=x)"
        ) from error
    found = net(example)
    if net.target is not None and (expected.ndim != 2 or not 0 <= net.target < expected.shape[1]):
        raise ValueError(
            f"target is {net.target}: expected a logit from 0 to {expected.shape[-1] - 1}, the outputs of "
            f"{type(model).__name__} have shape {tuple(expected.shape)}"
        )
    if expected.shape != found.shape:
        raise ValueError(
            f"the copy returns {tuple(found.shape)}, the model {tuple(expected.shape)}: please report it"
        )
    largest = float((expected - found).abs().max())
    if not largest <= 1e-8 * max(1.0, float(expected.abs().max())):
        raise ValueError(
            f"the copy does not compute what {type(model).__name__} computes (largest difference "
            f"{largest:.3g} in float64): a rule's forward() differs from its operation, or the model is "
            "not deterministic or not finite on noise (then give an example of real pictures: "
            "canonize(model, example=x))"
        )
