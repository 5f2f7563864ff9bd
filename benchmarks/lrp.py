"""How fast relevance is, beside a plain forward pass, zennit and captum: one process, interleaved.

    python benchmarks/lrp.py                 the tables of the book's performance page (about five minutes)
    python benchmarks/lrp.py --only omega --sizes 64 --repeats 5
    python benchmarks/lrp.py --page book/performance.md --json out.json

Times are for one thread by default and depend on the machine and on what else runs on it; the ratio to the
forward pass of the same process depends little, and the ratio of the shortest times least.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from marks import write_page
from torch import Tensor, nn

from tff_core import lrp
from tff_core.features import ffrs, maxima
from tff_core.features.names import FeatureMap
from tff_core.store import results

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lrp_nets import pictures, randomise
from lrp_others import captum_graph, captum_relevance, zennit_composite

# where the published top 114 of ResNet-50 lie
PUBLISHED_MIX = {
    "conv1": 9, "layer1.0.conv1": 9, "layer1.0.conv2": 11, "layer1.1.conv1": 8, "layer1.1.conv2": 11,
    "layer1.1.conv3": 1, "layer1.2.conv1": 15, "layer1.2.conv2": 2, "layer2.0.conv1": 1, "layer2.0.conv2": 1,
    "layer2.1.conv1": 10, "layer2.1.conv2": 5, "layer2.2.conv1": 3, "layer2.3.conv2": 2, "layer3.1.conv2": 2,
    "layer3.3.conv2": 1, "layer3.3.conv3": 1, "layer3.5.conv3": 1, "layer4.0.conv2": 6, "layer4.1.conv2": 4,
    "layer4.2.conv1": 6, "layer4.2.conv2": 5,
}  # fmt: skip


def build(name: str) -> nn.Module:
    """A detector with random weights and fitting batch-norm statistics, in single precision."""
    model: nn.Module
    if name == "resnet50":
        model = torchvision.models.resnet50(num_classes=1)
    else:
        model = EfficientNet.from_name("efficientnet-b0", num_classes=1)
    randomise(model)
    head = model.fc if name == "resnet50" else model._fc
    assert isinstance(head, nn.Linear)
    head.bias.data += 20  # all pictures fake: captum starts at f, which may have either sign, we at abs(f)
    return model.float().requires_grad_(False)


def fused(model: nn.Module, net: lrp.Net) -> nn.Module:
    """The plain forward pass to compare with: batch norms folded, in PyTorch's default memory layout."""
    model = copy.deepcopy(model)
    for name in net.layers:
        module, conv = model.get_submodule(name), net.conv(name)
        module.weight = nn.Parameter(conv.weight.contiguous(), requires_grad=False)
        if conv.bias is not None:
            module.bias = nn.Parameter(conv.bias, requires_grad=False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    return model


def omega_of(net: lrp.Net, x: Tensor) -> ffrs.Accumulator:
    """Omega of all pictures, whatever the network thinks of them."""
    accumulator, keep = ffrs.Accumulator(net.layers), torch.ones(len(x), dtype=torch.bool)
    lrp.relevance(net, x, on_layer=lambda layer, r: accumulator.add(layer, r, keep))
    return accumulator


def zennit_omega(model: nn.Module, net: lrp.Net) -> Callable[[Tensor], ffrs.Accumulator]:
    """zennit at its best: parameters frozen, registered once, layers summed as they come."""
    model = copy.deepcopy(model)
    zennit_composite().register(model)
    state: dict[str, Any] = {}

    def watch(layer: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            output.register_hook(lambda r: state["sums"].add(layer, r, state["keep"]))

        return hook

    for layer in net.layers:
        model.get_submodule(layer).register_forward_hook(watch(layer))

    def run(x: Tensor) -> ffrs.Accumulator:
        state["sums"], state["keep"] = ffrs.Accumulator(net.layers), torch.ones(len(x), dtype=torch.bool)
        with torch.enable_grad():
            logit = model(x.clone().requires_grad_())
            logit.backward(gradient=logit.detach().abs())
        return state["sums"]

    return run


def captum_omega(model: nn.Module, net: lrp.Net) -> Callable[[Tensor], ffrs.Accumulator]:
    """captum on an unrolled graph (on the model as it is, it returns numbers that mean nothing)."""
    graph = captum_graph(copy.deepcopy(model))

    def run(x: Tensor) -> ffrs.Accumulator:
        sums, keep = ffrs.Accumulator(net.layers), torch.ones(len(x), dtype=torch.bool)
        with torch.enable_grad():
            found = captum_relevance(graph, list(net.layers), x)
        for layer, r in found.items():
            sums.add(layer, r, keep)
        return sums

    return run


Row = dict[str, Any]


def interleaved(
    work: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each contender, round after round in turn, the first warms up; and what each returned."""
    times: dict[str, list[float]] = {name: [] for name in work}
    results: dict[str, Any] = {}
    for i in range(repeats + 1):
        for name, function in work.items():
            begin = time.perf_counter()
            results[name] = function()
            if i:
                times[name].append(time.perf_counter() - begin)
    return times, results


def rows(task: str, times: dict[str, list[float]], base: str) -> list[Row]:
    return [
        {
            "task": task,
            "what": name,
            "median_ms": 1e3 * statistics.median(t),
            "min_ms": 1e3 * min(t),
            "max_ms": 1e3 * max(t),
            "ratio_of_min": min(t) / min(times[base]),
            "ratio_of_median": statistics.median(t) / statistics.median(times[base]),
            "n": len(t),
        }
        for name, t in times.items()
    ]


def l1(a: ffrs.Accumulator, b: ffrs.Accumulator) -> float:
    """Distance between two omegas, relative."""
    x, y = (torch.cat(list(v.sums.values())) for v in (a, b))
    return float((x - y).abs().sum() / y.abs().sum())


def bench_omega(args: argparse.Namespace) -> list[Row]:
    """All layers' omega of one batch over the forward pass."""
    found: list[Row] = []
    for name in args.networks:
        model = build(name)
        net = lrp.canonize(model)
        plain = fused(model, net)
        ways: dict[str, Callable[[Tensor], ffrs.Accumulator]] = {"omega": partial(omega_of, net)}
        if "half" in args.beside:
            half = net.half()
            ways["omega, bfloat16"] = lambda x, half=half: omega_of(half, x.bfloat16())  # type: ignore[misc]
        if "compiled" in args.beside:
            ways["omega, compiled"] = partial(omega_of, net.compiled())
        if name == "resnet50" and "others" in args.beside:
            ways["zennit, tuned"] = zennit_omega(model, net)
            ways["captum, unrolled"] = captum_omega(model, net)
        for size in args.sizes:
            x = pictures(args.batch, size).float()
            exact = omega_of(net.to(dtype=torch.float64), x.double())
            work: dict[str, Callable[[], Any]] = {
                "forward, batch norm folded": partial(plain, x),
                "forward, canonized": partial(net, x),
            }
            work |= {way: partial(function, x) for way, function in ways.items()}
            times, sums = interleaved(work, args.repeats)
            own = rows(f"{name} {size} px, batch {args.batch}", times, "forward, batch norm folded")
            found += own
            for row in own[2:]:
                row["omega_l1"] = l1(sums[row["what"]], exact)
    return found


def peak_megabytes(args: argparse.Namespace, n: int, pooled: bool) -> float:
    """Peak memory of a process of its own that computes omega of ``n`` pictures.

    With ``pooled`` as it comes. Without, no tensor comes from the pool of freed memory that the C library
    keeps (each has a mapping of its own), and the peak is counted after a first batch.
    """
    command = [sys.executable, __file__, "--peak", str(n), "--batch", str(args.batch)]
    own = {} if pooled else {"MALLOC_MMAP_THRESHOLD_": "131072"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | own
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def peak(n: int, batch: int, warm: bool) -> None:
    """What the child process does: omega of ``n`` pictures of 224 pixels in batches, and the peak meanwhile.

    A first batch makes what every later one uses too: the positive part of the weights. After it the
    kernel's high-water mark is set back (Linux).
    """
    net = lrp.canonize(build("resnet50"))
    label = "fake" if float(net(pictures(1, 224).float())) > 0 else "real"
    omega = partial(ffrs.ff_rs, net, label=label, confidence=0.5)  # type: ignore[arg-type]
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if warm:
        omega([pictures(batch, 224, n).float()])
        if reset.exists():
            reset.write_text("5")
    omega(pictures(batch, 224, seed).float() for seed in range(n // batch))
    if status.exists():
        print(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)  # bytes, on macOS


def bench_memory(args: argparse.Namespace) -> list[Row]:
    """Peak memory does not depend on the number of pictures."""
    found: list[Row] = []
    for pooled, how in ((False, "what tensors hold"), (True, "with the C library's pool")):
        own: list[Row] = [
            {
                "task": f"memory, resnet50 224 px, {how}",
                "what": f"{n} pictures",
                "peak_mb": peak_megabytes(args, n, pooled),
            }
            for n in (args.batch, 4 * args.batch)
        ]
        found += [row | {"ratio_of_min": row["peak_mb"] / own[0]["peak_mb"]} for row in own]
    return found


def bench_maxima(args: argparse.Namespace) -> list[Row]:
    """What 114 maps see in one picture; and where they are most active over many."""
    net = lrp.canonize(build("resnet50"))
    maps = [FeatureMap(k, c, net.layers[k]) for k, n in PUBLISHED_MIX.items() for c in range(n)]
    x = pictures(1, 224).float()
    best = maxima.activation_max(net, [x], maps, top=1)
    few = [i for i in range(len(maps)) if i % 8 == 0]

    def one_walk_each() -> None:
        for i in few:
            m = maps[i]
            neuron = lrp.Neuron(m.layer, m.channel, int(best.row[i, 0]), int(best.col[i, 0]))
            lrp.relevance(net, x, neuron, pixels=True, on_layer=lambda layer, r: None)

    times, _ = interleaved(
        {"crops": lambda: maxima.lrp_max(net, best), "one walk each": one_walk_each}, args.repeats
    )
    times["one walk each"] = [t * len(maps) / len(few) for t in times["one walk each"]]
    found = rows("LRP-max, resnet50 224 px, 114 maps, 1 picture", times, "crops")
    found[1]["what"] = f"one walk each (from {len(few)} of {len(maps)})"
    many = pictures(4 * args.batch, 224).float().split(args.batch)
    times, _ = interleaved(
        {
            "one pass for 114 maps": lambda: maxima.activation_max(net, many, maps),
            "one pass for 1 map": lambda: maxima.activation_max(net, many, maps[-1:]),
        },
        args.repeats,
    )
    return found + rows(f"ranking, resnet50 224 px, {4 * args.batch} pictures", times, "one pass for 1 map")


def table(found: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | what | median ms | range ms | ratio (of min) | omega L1 to float64 |",
        "|---|---|---|---|---|---|",
    ]
    for row in found:
        if "peak_mb" in row:
            lines.append(
                f"| {row['task']} | {row['what']} | {row['peak_mb']:.0f} MB | | {row['ratio_of_min']:.3f} | |"
            )
            continue
        error = f"{row['omega_l1']:.1e}" if "omega_l1" in row else ""
        lines.append(
            f"| {row['task']} | {row['what']} | {row['median_ms']:.0f} "
            f"| {row['min_ms']:.0f} to {row['max_ms']:.0f} | {row['ratio_of_min']:.2f} | {error} |"
        )
    return "\n".join(lines)


BESIDE = ("half", "compiled", "others")
PARTS = {"omega": bench_omega, "memory": bench_memory, "maxima": bench_maxima}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--networks", nargs="+", choices=["resnet50", "efficientnet_b0"],
                        default=["resnet50", "efficientnet_b0"])  # fmt: skip
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 64], help="pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--beside", nargs="*", choices=BESIDE, default=list(BESIDE),
                        help="what to measure beside omega in single precision: bfloat16, compiled, "
                        "zennit and captum")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--page", type=Path, help="put the tables into this page, between their marks")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        peak(args.peak, args.batch, warm="MALLOC_MMAP_THRESHOLD_" in os.environ)
        return
    parts = {part: PARTS[part](args) for part in args.only}
    found = [row for part in parts.values() for row in part]
    print(table(found))
    if args.page:
        write_page(args.page, {name: table(part) for name, part in parts.items()})
    if args.json:
        results.write_json(args.json, {"rows": found, "provenance": results.provenance(threads=args.threads)})


if __name__ == "__main__":
    main()
