"""The paper's rules in zennit and in captum: oracles of the tests, contenders of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from captum.attr import LayerLRP
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from zennit.canonizers import Canonizer
from zennit.composites import LayerMapComposite
from zennit.core import Composite
from zennit.layer import Sum
from zennit.rules import Epsilon, Norm, Pass, ZBox, ZPlus
from zennit.torchvision import ResNetCanonizer

from tff_core.lrp.canonize import IMAGENET_BOUNDS


def zennit_composite(
    pixels: str | None = "conv1",
    canonizer: Canonizer | None = None,
    bounds: tuple[float, float] = IMAGENET_BOUNDS,
) -> Composite:
    """zennit with bias and stabilisers as in the paper's code, by default for ResNets.

    ``pixels`` is the layer that sees the picture, whose pixels have ``bounds``; None for z+ everywhere.
    """
    floor = lambda z: z + 1e-12 * (z == 0)  # noqa: E731
    by_type = LayerMapComposite(
        [
            (nn.Conv2d, ZPlus(stabilizer=floor, zero_params="bias")),
            (nn.Linear, Epsilon(1e-6)),
            ((nn.AdaptiveAvgPool2d, Sum), Norm(1e-6)),
            ((nn.ReLU, nn.BatchNorm2d), Pass()),
        ]
    )
    low, high = (torch.full((1, 3, 1, 1), bound, dtype=torch.float64) for bound in bounds)
    first = ZBox(low=low, high=high, stabilizer=1e-6, zero_params="bias")

    def rule(ctx: dict[Any, Any], name: str, module: nn.Module) -> Any:
        return first if name == pixels else by_type.mapping(ctx, name, module)

    return Composite(module_map=rule, canonizers=[canonizer or ResNetCanonizer()])


def zennit_relevance(
    model: nn.Module, composite: Composite, layers: Iterable[str], x: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """zennit's relevance of modules' outputs by name and of ``pixels``; and its start, the logits' signs."""
    wanted = set(layers)
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            output.retain_grad()
            outputs[name] = output

        return hook

    leaf = x.clone().requires_grad_()
    with composite.context(model) as modified:
        handles = [m.register_forward_hook(keep(n)) for n, m in modified.named_modules() if n in wanted]
        logit = modified(leaf)
        start = logit.detach().sign()
        logit.backward(gradient=start)
        for handle in handles:
            handle.remove()
    assert outputs.keys() == wanted
    found = {name: one.grad for name, one in [*outputs.items(), ("pixels", leaf)] if one.grad is not None}
    return found, start


def captum_graph(model: nn.Module) -> fx.GraphModule:
    """What captum needs: batch norms folded, a ReLU module for each use, sums as modules, flattening not."""
    graph = fuse(model)
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.ReLU):
            graph.add_submodule(f"own_{node.name}", nn.ReLU())
            node.target = f"own_{node.name}"
        elif isinstance(module, nn.Flatten):  # which passes relevance on as it is
            node.op, node.target, node.args = "call_function", torch.flatten, (node.args[0], 1)
        elif node.op == "call_function" and node.target.__name__ in ("add", "iadd"):
            graph.add_submodule(f"own_{node.name}", Addition_Module())
            node.op, node.target = "call_module", f"own_{node.name}"
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def captum_relevance(graph: fx.GraphModule, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """Relevance of the layers' outputs by the paper's rules, on a graph from `captum_graph`."""
    # captum takes a module's rule away after each call, and the next would use its own, epsilon everywhere
    for module in graph.modules():
        if isinstance(module, nn.Conv2d):
            module.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)  # type: ignore[assignment]
        elif isinstance(module, (nn.Linear, nn.AdaptiveAvgPool2d, Addition_Module, nn.MaxPool2d)):
            module.rule = EpsilonRule(epsilon=1e-6)  # type: ignore[assignment]
    method = LayerLRP(graph, [graph.get_submodule(k) for k in layers])
    found = method.attribute(x, attribute_to_layer_input=False)
    return {k: r.detach() for k, r in zip(layers, found, strict=True)}
