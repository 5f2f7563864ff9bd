"""A trained network as a list of operations with rules and with batch normalisations folded in exactly."""

from __future__ import annotations

import copy
import hashlib
import operator
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tff_core.lrp.rules import (
    FLOOR,
    RULES,
    WHY_NOT,
    Add,
    Call,
    Concatenate,
    Constant,
    Conv,
    Identity,
    NoRule,
    Part,
    Passing,
    Permute,
    Reach,
    Reshape,
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
    explained (None if there is only one). ``reference`` marks a network that reproduces the paper's
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
        """A copy whose elementwise loops are compiled by torch.compile; equal up to rounding.

        The first pictures of each shape wait for the compiler. Convolutions and matrix products, which take
        most of the time, stay as they are. Raises RuntimeError where nothing can be compiled.
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
        """A copy with some layers replaced by other convolutions; everything else is shared."""
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

    def layers_of(self, x: Tensor, stop: int | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Output of step ``stop`` as by `forward`, and of each layer, none overwritten: for gradients."""
        steps = []
        for step in self.steps:
            if isinstance(step.rule, Passing) and step.rule.overwrite:
                rule = copy.copy(step.rule)
                rule.overwrite = False  # the output that it would write over is asked for
                step = replace(step, rule=rule)
            steps.append(step)
        plain = Net(steps, channels=self.channels, target=self.target, reference=self.reference)
        outputs: dict[str, Tensor] = {}

        def watch(step: Step, y: Tensor) -> None:
            if step.layer:
                outputs[step.name] = y

        return plain.forward(x, stop=stop, watch=watch), outputs

    def forward(
        self,
        x: Tensor,
        tape: list[Any] | None = None,
        stop: int | None = None,
        watch: Callable[[Step, Tensor], None] | None = None,
    ) -> Tensor:
        """Output of step ``stop`` (the last by default); each value is freed after its last use.

        What the rules need for the reverse walk is appended to ``tape``, if given. ``watch`` is called
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


class _Sizes:
    """Knows how many sizes maps (N, C, H, W) have, so that they can be unpacked: ``*x.shape[:2]``."""

    node: fx.Node

    def __len__(self) -> int:
        count = _count_of_sizes(self.node)
        return super().__len__() if count is None else count  # type: ignore[misc,no-any-return]


class _Attribute(_Sizes, fx.proxy.Attribute):
    pass


class _Proxy(_Sizes, fx.Proxy):
    def __getattr__(self, name: str) -> fx.proxy.Attribute:
        return _Attribute(self, name)


class _Tracer(fx.Tracer):
    """Stops at the modules that have a rule."""

    def __init__(self, leaves: Collection[Any]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self.leaves or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if m in (self.submodule_paths or {}):
            return super().call_module(m, forward, args, kwargs)
        # a module that forward() makes, such as nn.ReLU()(x): the functions that it calls have rules, too
        if any(True for _ in m.parameters()):
            raise NoRule(
                f"no LRP rule for {type(m).__name__}: forward() makes it anew, with new weights, in each "
                "call; expected layers with weights to be made once, in __init__()"
            )
        return forward(*args, **kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        count = _count_of_sizes(obj.node)
        sizes: Any = obj
        return super().iter(obj) if count is None else iter([sizes[i] for i in range(count)])


def _count_of_sizes(node: fx.Node) -> int | None:
    """How many sizes a node holds, if it holds some of those of maps (N, C, H, W)."""
    if (node.op, node.target) == ("call_method", "size") and len(node.args) == 1 and not node.kwargs:
        return 4
    if node.op == "call_function" and node.target is getattr and node.args[1] == "shape":
        return 4
    if node.op == "call_function" and node.target is operator.getitem:
        source, part = node.args
        before = _count_of_sizes(source) if isinstance(source, fx.Node) else None
        return len(range(before)[part]) if before and isinstance(part, slice) else None
    return None


class _Seen(fx.Interpreter):
    """Runs a graph and records each node's result: the shape of a tensor, or else the value.

    Tensors that do not depend on the picture, constants of the network, are kept whole.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        self.values[n] = found if _is_constant(n) else fx.node.map_aggregate(found, _shape_alone)
        return found


def _shape_alone(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


def _is_constant(node: fx.Node) -> bool:
    """Whether it does not depend on the picture."""
    return node.op == "get_attr" or (
        node.op in ("call_function", "call_method")
        and bool(node.all_input_nodes)
        and all(map(_is_constant, node.all_input_nodes))
    )


def trace(model: nn.Module, rules: Table = RULES, views: bool = False) -> fx.GraphModule:
    """The model as a graph of the calls that the table has rules for; it computes the same.

    Modules created inside ``forward()`` are replaced by the functions that they call, and nodes after an
    in-place operation read its output instead of the overwritten value. Unless ``views`` are kept, they
    become reshapes, which any memory layout allows.

    Raises ValueError where torch.fx cannot trace the model, and `NoRule` where ``forward()`` makes layers.
    """
    try:
        graph = _Tracer(rules).trace(model)
    except NoRule:
        raise
    except Exception as error:  # user code runs under the tracer and may raise anything
        raise ValueError(
            f"{type(model).__name__} cannot be traced by torch.fx ({_place(error)}"
            f"{str(error) or type(error).__name__}): expected a forward pass without "
            "branches or loops on tensor values; rewrite it so, or give the module that does it a rule "
            "of its own (canonize(model, rules=lrp.RULES | {ThatModule: ...}))"
        ) from error
    traced = fx.GraphModule(model, graph)
    _without_side_effects(traced.graph, dict(model.named_modules()))
    for node in () if views else traced.graph.nodes:
        if node.op == "call_method" and node.target == "view" and not isinstance(node.args[1], torch.dtype):
            node.target = "reshape"
    traced.recompile()
    if hasattr(model, "input_size"):
        traced.input_size = model.input_size
    return traced


def _place(error: BaseException) -> str:
    """File and line of the user's code in which an error was raised."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_TORCH)]
    frame = own[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}: " if len(own) > 1 else ""


_TORCH = (str(Path(torch.__file__).parent), "<eval_with_key>")
_WRITING = (
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    F.relu_,
    torch.relu_,
    torch.sigmoid_,
)
_PLACE_OF_INPLACE: dict[Any, int] = {
    **dict.fromkeys((F.relu, F.relu6, F.silu, F.hardswish, F.hardsigmoid, F.mish), 1),
    **dict.fromkeys((F.leaky_relu, F.elu), 2),
    F.hardtanh: 3,
}


def _without_side_effects(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
    """Make nodes after an in-place operation read its result, and remove nodes that nothing reads."""

    def writes(node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(modules[str(node.target)], "inplace", False))
        if node.op == "call_method":
            return str(node.target).endswith("_") and not str(node.target).endswith("__")
        position = _PLACE_OF_INPLACE.get(node.target, 99)
        given = node.args[position] if len(node.args) > position else node.kwargs.get("inplace", False)
        return node.op == "call_function" and (given is True or node.target in _WRITING)

    place = {node: i for i, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if node.args and isinstance(node.args[0], fx.Node) and writes(node):
            before = node.args[0]
            for user in [user for user in before.users if place[user] > place[node]]:
                user.replace_input_with(before, node)
    graph.eliminate_dead_code()


@torch.no_grad()
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
    """A copy of the network, ready for relevance propagation, with its batch normalisations folded exactly.

    Args:
        model: in evaluation mode; any network that torch.fx can trace and whose operations are in ``rules``.
        reference: reproduce the paper's code instead: every folded batch normalisation still divides by
            sqrt(1 + eps), and relevance starts at +1 or -1 rather than at the logit.
        target: which of several logits to explain.
        rules: the table from operation to rule; the paper's, z+, by default (others: `lrp.NAMED`).
        pixel_rule: rule of the convolution that sees the picture: "zb" (z^B, pixels have ``bounds``) or
            "zplus". The default is the paper's choice: z^B in networks of ReLUs, z+ elsewhere.
        bounds: least and greatest value of a normalised pixel.
        example: (N, C, H, W) on which model and copy must agree; by default noise of the size
            that the model declares, ``model.input_size`` (height, width), else of 64 x 64 pixels, or of the
            first other common size that the model accepts.

    Raises:
        NoRule: an operation is not in the table, or is used in a way that no rule supports; names the node
            and what to do.
        ValueError: the model is in training mode or in float16, cannot be traced, uses a convolution twice,
            or the copy's outputs differ from the model's.
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
    graph = trace(model, rules).graph
    _known(graph, dict(model.named_modules()), rules)
    # folding is done, and checked, in float64 on the CPU; the result goes back to where the model was
    model = copy.deepcopy(model).to("cpu", torch.float64)
    example, expected = _expected(model, graph, example)
    seen = _Seen(fx.GraphModule(model, graph))
    seen.run(example)
    traced = _Traced(graph, dict(model.named_modules()), seen.values, rules)
    steps = _finish(_steps(traced))
    net = Net(steps, channels=example.shape[1], target=target, reference=reference)
    _same_function(model, net, example, expected)
    if pixel_rule is None:
        pixel_rule = "zb" if any(_is_relu(s.rule) for s in steps) else "zplus"
    _first_layers(net, bounds if pixel_rule == "zb" else None, example)
    if reference:
        net = net.with_convs({name: _residual(net.conv(name), traced.eps.get(name)) for name in net.layers})
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
    """A graph, the modules it calls, each node's value for an example, and the table of rules."""

    graph: fx.Graph
    modules: dict[str, nn.Module]
    values: dict[fx.Node, Any]
    rules: Table
    eps: dict[str, float] = field(default_factory=dict)  # eps of the batch norm folded into each convolution

    def flows(self, node: fx.Node) -> bool:
        """Whether its output is a tensor that depends on the picture, not a number or a constant."""
        return isinstance(self.values.get(node), Tensor) and not _is_constant(node)

    def several(self, node: fx.Node) -> bool:
        """Whether its output is several such tensors."""
        value = self.values.get(node)
        return isinstance(value, tuple | list) and any(isinstance(v, Tensor) for v in value)

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that read the values of a node, not only its shape."""
        return [u for u in node.users if u.op == "output" or self.flows(u) or self.several(u)]

    def key(self, node: fx.Node) -> Any:
        """The operation's key in the table of rules."""
        return type(self.modules[str(node.target)]) if node.op == "call_module" else node.target


def _known(graph: fx.Graph, modules: dict[str, nn.Module], rules: Table) -> None:
    """Raises NoRule at the first operation that certainly has none, before anything is computed."""
    for node in graph.nodes:
        key: Any = type(modules[str(node.target)]) if node.op == "call_module" else node.target
        if key in rules or not (node.op == "call_module" or key in WHY_NOT):
            continue
        raise _no_entry(Call(node, (), modules), key)


def _no_entry(call: Call, key: Any) -> NoRule:
    if key in WHY_NOT:
        return call.refuse(
            f"{WHY_NOT[key]}; expected a convolutional network with batch normalisation or none, such as a "
            "ResNet, EfficientNet or MobileNet"
        )
    return call.refuse(
        "expected an operation of the table lrp.RULES; add one: canonize(model, rules=lrp.RULES | "
        f"{{{getattr(key, '__name__', repr(key))}: build}}), where build(call) returns an lrp.Rule "
        "(for an activation that passes relevance unchanged: lrp.passing(function))"
    )


class Sized(Rule):
    """An operation whose settings are sizes of the current pictures, read at each forward pass.

    ``build`` makes the rule from the tensors whose sizes matter, which are inputs after the first
    ``operands`` and get no relevance. ``first`` is the rule made for the example.
    """

    def __init__(self, build: Callable[[Sequence[Tensor]], Rule], operands: int, first: Rule) -> None:
        self.build, self.operands, self.first = build, operands, first

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        rule = self.build(inputs[self.operands :])
        y, saved = rule.forward(*inputs[: self.operands])
        return y, (rule, saved, len(inputs) - self.operands)

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        rule, saved, others = saved
        return (*rule.relevance(r, saved)[: self.operands], *(None,) * others)

    def receives(self, position: int) -> bool:
        return position < self.operands and self.first.receives(position)

    def nonnegative(self, *inputs: bool) -> bool:
        return self.first.nonnegative(*inputs[: self.operands])

    def reach(self) -> tuple[Reach, Reach] | None:
        # the window of a pooling is as large as the picture
        return self.first.reach() if isinstance(self.first, Reshape | Part) else None


def _rule(traced: _Traced, node: fx.Node) -> tuple[Call, Rule, tuple[fx.Node, ...]]:
    """The call, its rule, and the nodes whose outputs the rule's forward wants."""
    part, origin = None, node
    if node.op == "call_function" and node.target in (operator.getitem, getattr):
        source = node.args[0]
        if isinstance(source, fx.Node) and traced.several(source):
            origin = source
            part = node.args[1] if isinstance(node.args[1], int) else 0  # .values of a maximum
            if node.args[1] == "indices":
                part = 1
            value = traced.values[source]
            part %= len(value)
    key = traced.key(origin)
    if key not in traced.rules:
        raise _no_entry(Call(origin, (), traced.modules), key)

    needed: list[fx.Node] = []  # numbers that are computed from shapes, in their order
    leaves: list[fx.Node] = []  # the tensors whose shapes they are

    def need(n: fx.Node) -> None:
        if traced.flows(n):
            if n not in leaves:
                leaves.append(n)
        elif n not in needed:
            for before in n.all_input_nodes:
                need(before)
            needed.append(n)

    inputs: list[fx.Node] = []

    def sort(n: fx.Node) -> fx.Node:
        if traced.flows(n) or traced.several(n):
            inputs.append(n)
        elif not _is_constant(n):
            need(n)
        return n

    fx.map_arg((origin.args, origin.kwargs), sort)
    whole = [n for n in inputs if traced.several(n)]
    if whole:
        raise Call(origin, (), traced.modules).refuse(
            f"it takes all that {whole[0].name!r} returns at once; expected one part each, a, b = "
            "x.chunk(2, 1)"
        )

    def build(values: Mapping[fx.Node, Any]) -> Rule:
        def value(n: fx.Node) -> Any:
            return n if n in inputs else values.get(n, traced.values.get(n))

        args, kwargs = fx.map_arg(origin.args, value), fx.map_arg(origin.kwargs, value)
        call = Call(origin, tuple(inputs), traced.modules, args, kwargs, traced.values, part)
        return traced.rules[key](call)

    call = Call(origin, tuple(inputs), traced.modules, None, None, traced.values, part)
    rule = build({})
    if not leaves:
        return call, rule, tuple(inputs)

    def anew(tensors: Sequence[Tensor]) -> Rule:
        values: dict[fx.Node, Any] = dict(zip(leaves, tensors, strict=True))
        for n in needed:
            args: Any = fx.map_arg(n.args, values.__getitem__)
            kwargs: Any = fx.map_arg(n.kwargs, values.__getitem__)
            function: Any = n.target
            if n.op == "call_method":
                function, args = getattr(args[0], str(n.target)), args[1:]
            values[n] = function(*args, **kwargs)
        return build({n: values[n] for n in needed})

    return call, Sized(anew, len(inputs), rule), (*inputs, *leaves)


def _steps(traced: _Traced) -> list[Step]:
    steps: list[Step] = []
    value: dict[fx.Node, int] = {}
    skipped: set[fx.Node] = set()  # absorbed by an earlier step
    seen: set[str] = set()
    output: fx.Node | None = None

    for node in traced.graph.nodes:
        if node.op == "placeholder":
            if not value:
                value[node] = 0
            continue
        if node.op == "output":
            (output,) = node.all_input_nodes
            continue
        if node in skipped or not traced.flows(node):
            continue
        call, rule, inputs = _rule(traced, node)
        last = node
        if isinstance(rule, Conv):
            if call.name in seen:
                raise call.refuse(
                    "this convolution is used twice, so its maps have no single relevance; copy it"
                )
            seen.add(call.name)
            last = _fold(rule, node, traced)
        elif isinstance(rule, Add):
            last = _rectify(rule, node, traced)
        if last is not node:
            skipped.add(last)
        if isinstance(rule, Passing):
            source = inputs[0]
            if value.get(source, 0) > 0 and len(traced.readers(source)) == 1:
                rule.overwrite = steps[value[source] - 1].rule.fresh
        steps.append(Step(call.name, rule, tuple(value[n] for n in inputs)))
        value[node] = value[last] = len(steps)

    if output is None or value.get(output, 0) != len(steps) or not steps:
        raise ValueError(
            "the model's output is not its last operation: expected logits computed from the pictures"
        )
    return steps


def _fold(conv: Conv, node: fx.Node, traced: _Traced) -> fx.Node:
    """Fold the batch normalisation that follows, if any; returns the last node absorbed."""
    users = traced.readers(node)
    user = users[0] if len(users) == 1 else None
    module = traced.modules[str(user.target)] if user is not None and user.op == "call_module" else None
    if user is None or type(module) is not nn.BatchNorm2d:
        return node
    assert isinstance(module, nn.BatchNorm2d)
    scale, shift = batchnorm_affine(module)
    conv.weight = conv.weight * scale.view(-1, 1, 1, 1)
    conv.bias = shift if conv.bias is None else shift + conv.bias * scale
    conv.dropped = shift
    traced.eps[str(node.target)] = module.eps
    return user


def _rectify(add: Add, node: fx.Node, traced: _Traced) -> fx.Node:
    """Absorb the ReLU that follows a sum, unless it is the network's output."""
    users = traced.readers(node)
    if len(users) != 1 or users[0].op == "output" or any(n.op == "output" for n in users[0].users):
        return node
    key = traced.key(users[0])
    if key in (nn.ReLU, F.relu, torch.relu, "relu", "relu_") and traced.rules.get(key) is RULES[key]:
        add.rectified = True
        return users[0]
    return node


def _finish(steps: list[Step]) -> list[Step]:
    """Which steps relevance reaches, and which inputs cannot be negative."""
    reached = [False] * (len(steps) + 1)
    reached[-1] = True
    for i in reversed(range(len(steps))):
        for position, j in enumerate(steps[i].inputs):
            reached[j] = reached[j] or (reached[i + 1] and steps[i].rule.receives(position))
    nonnegative = [False]
    done: list[Step] = []
    for i, step in enumerate(steps):
        nonnegative.append(step.rule.nonnegative(*(nonnegative[j] for j in step.inputs)))
        is_conv = isinstance(step.rule, Conv)
        done.append(replace(step, carries=reached[i + 1], layer=is_conv and reached[i + 1]))
    if not any(s.layer for s in done):
        raise ValueError(
            "the model has no convolution that relevance reaches: expected a convolutional network"
        )
    return done


def _first_layers(net: Net, bounds: tuple[float, float] | None, example: Tensor) -> None:
    """Give the convolutions that see the picture the bounds of their input, if it is rescaled first."""
    pixels = {0}  # values that are the picture, its channels apart or together, rescaled or not
    for i, step in enumerate(net.steps):
        if not all(j in pixels for j in step.inputs):
            continue
        if isinstance(step.rule, Constant):
            step.rule.rescales = True
        if isinstance(step.rule, Constant | Part | Reshape | Concatenate | Permute | Identity):
            pixels.add(i + 1)
        elif isinstance(step.rule, Conv) and bounds is not None:
            step.rule.bounds = bounds
            if step.inputs != (0,):
                ends = [
                    net.forward(torch.full_like(example[:1], end), stop=step.inputs[0] - 1) for end in bounds
                ]
                step.rule.bounds = (
                    min(float(end.min()) for end in ends), max(float(end.max()) for end in ends)
                )  # fmt: skip


# Sizes that networks are made for; the first is enough for most of them.
SIZES = (64, 224, 299, 32, 128, 256)


def _expected(model: nn.Module, graph: fx.Graph, example: Tensor | None) -> tuple[Tensor, Tensor]:
    """The example (noise, of the first size that the model can take), and what the model makes of it."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if any(node.users for node in inputs[1:]):
        more = next(node for node in inputs[1:] if node.users)
        raise ValueError(f"the model takes several inputs ({more.name!r} too): expected one, the pictures")
    channels = 3
    for node in graph.nodes:
        module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and node.args and node.args[0] in inputs:
            channels = module.in_channels
    if example is not None:
        given = [example.to("cpu", torch.float64)]
    else:
        generator = torch.Generator().manual_seed(0)
        declared = getattr(model, "input_size", None)
        sizes = [declared] if declared else [(side, side) for side in SIZES]
        given = [torch.randn(2, channels, *one, generator=generator).double() for one in sizes]
    failed: list[Exception] = []
    for x in given:
        try:
            found: Any = model(x)
            break
        except Exception as error:  # the model is the user's
            failed.append(error)
    else:
        size = " x ".join(map(str, given[0].shape[2:]))
        others = "" if len(given) == 1 else f", nor of {', '.join(map(str, SIZES[1:]))}"
        first = str(failed[0]).strip().splitlines() or [type(failed[0]).__name__]
        raise ValueError(
            f"{type(model).__name__} cannot run on noise of {size} pixels{others} ({_place(failed[0])}"
            f"{first[0]}): expected pictures of another size; declare it (preprocessing: crop), or give an "
            "example, canonize(model, example=x)"
        ) from failed[0]
    if not isinstance(found, Tensor):
        count = f" of {len(found)}" if isinstance(found, tuple | list | dict) else ""
        raise ValueError(
            f"the model returns a {type(found).__name__}{count}: expected one tensor, the logits (N, K); "
            "make a network that returns it alone"
        )
    return x, found


@torch.no_grad()
def _same_function(model: nn.Module, net: Net, example: Tensor, expected: Tensor) -> None:
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
