"""Memory of the device that runs out: smaller batches, the same numbers, one sentence where nothing helps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from lrp_nets import pictures, toy
from PIL import Image
from torch import Tensor, nn

from tff_core import detectors, lrp
from tff_core.detectors import judge, training
from tff_core.features import color_conditional, color_exchange, dropout, ffrs, maxima, rankings, sensitivity
from tff_core.features import pixels as pixel_study
from tff_core.features.names import FeatureMap
from tff_core.lrp.rules import Conv
from tff_core.pictures import data
from tff_core.store import memory, results

X = pictures(11, 32)


def narrow(net: lrp.Net, monkeypatch: pytest.MonkeyPatch, n: int, last: bool = False) -> list[int]:
    """Let memory run out where more than ``n`` pictures reach a convolution; the sizes that were tried.

    ``last``: the network's last one, when much is computed and part of it reported already.
    """
    layer = list(net.layers)[-1 if last else 0]
    rule, forward, tried = net.conv(layer), Conv.forward, []

    def limited(self: Conv, *inputs: Tensor) -> object:
        if self is rule:
            tried.append(len(inputs[0]))
            if len(inputs[0]) > n:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, *inputs)

    monkeypatch.setattr(Conv, "forward", limited)
    return tried


def test_parts_come_in_order_and_the_size_that_fits_is_remembered() -> None:
    parts, tried = memory.Parts(), []

    def work(part: slice) -> list[int]:
        tried.append(part.stop - part.start)
        if tried[-1] > 3:
            raise torch.OutOfMemoryError("too much")
        return list(range(10))[part]

    found = list(parts(work, 10, "large"))
    assert [i for _, some in found for i in some] == list(range(10))
    assert all(some == list(range(10))[part] for part, some in found)
    assert tried == [10, 5, 3, 3, 3, 1]
    tried.clear()
    assert len(list(parts(work, 10, "large"))) == 4 and tried == [3, 3, 3, 1]
    assert len(list(parts(work, 3, "small"))) == 1  # of another kind: tried whole
    assert list(parts(work, 0, "large")) == []


def test_a_single_row_that_does_not_fit_is_one_sentence() -> None:
    def work(part: slice) -> None:
        raise torch.OutOfMemoryError("too much")

    x = torch.zeros(4, 3, 20, 30)
    with pytest.raises(memory.OutOfMemory, match=r"^a single picture of 30x20 pixels needs more memory than"):
        list(memory.Parts()(work, len(x), memory.describe(x)))


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (torch.OutOfMemoryError("anything"), True),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_are_not_taken_for_it(error: Exception, out: bool) -> None:
    assert memory.ran_out(error) == out
    if not out:

        def work(part: slice) -> None:
            raise error

        with pytest.raises(type(error), match=str(error)[:10]):
            list(memory.Parts()(work, 4, ""))


@pytest.fixture
def net() -> lrp.Net:
    model = toy(3)
    with torch.no_grad():
        model.fc.weight *= 100  # type: ignore[operator,union-attr]
        model.fc.bias -= model(X).median()  # type: ignore[operator,union-attr]
    return lrp.canonize(model)


def test_omega_is_that_of_smaller_batches(net: lrp.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ffrs.ff_rs(net, [X[:3], X[3:6], X[6:9], X[9:]], confidence=0.5)
    tried = narrow(net, monkeypatch, 3, last=True)
    found = ffrs.ff_rs(net, [X], confidence=0.5)
    assert tried[:4] == [11, 6, 3, 3]
    assert (found.count, found.seen) == (expected.count, expected.seen)
    assert all(np.array_equal(found.values[k], expected.values[k]) for k in net.layers)


def test_nothing_of_a_failed_way_back_is_counted(net: lrp.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out when half of the layers have been summed."""
    expected = ffrs.ff_rs(net, [X[:6], X[6:]], confidence=0.5)
    add, layers = ffrs.Accumulator.add, list(net.layers)

    def limited(self: ffrs.Accumulator, layer: str, r: Tensor, keep: Tensor) -> None:
        if layer == layers[1] and len(r) > 6:
            raise torch.OutOfMemoryError("too much")
        add(self, layer, r, keep)

    monkeypatch.setattr(ffrs.Accumulator, "add", limited)
    found = ffrs.ff_rs(net, [X], confidence=0.5)
    assert all(np.array_equal(found.values[k], expected.values[k]) for k in net.layers)
    assert found.count == expected.count and found.poisoned == expected.poisoned


def test_maxima_are_those_of_smaller_batches(net: lrp.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = [FeatureMap(layer, 0, n) for layer, n in net.layers.items()]
    expected = maxima.activation_max(net, X.split(2), maps, top=5)
    patches = maxima.lrp_max(net, expected)
    tried = narrow(net, monkeypatch, 2)
    found = maxima.activation_max(net, [X[:9], X[9:]], maps, top=5)
    assert tried[0] == 9 and tried.count(9) == 1
    for name in ("value", "image", "row", "col"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    tried.clear()
    again = maxima.lrp_max(net, found)
    assert max(tried) > 2  # crops ran out of memory too
    for a, b in zip(again, patches, strict=True):
        assert a.box == b.box and torch.allclose(a.relevance, b.relevance, rtol=1e-9, atol=1e-12)


def test_logits_are_those_of_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(x: Tensor) -> Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("too much")
        return x.mean((2, 3))[:, :1]

    index = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    batches = [(X[index[:7]], index[:7], index[:7]), (X[index[7:]], index[7:], index[7:])]
    found = detectors.logits(limited, batches)
    assert np.array_equal(found, X.mean((2, 3))[:, 0].float().numpy())
    pixels = torch.randint(0, 256, (7, 3, 4, 4), dtype=torch.uint8)
    parts = memory.Parts()
    out = judge.logits_of(limited, pixels, torch.device("cpu"), parts)
    assert np.array_equal(out, judge.logits_of(limited, pixels, torch.device("cpu"), parts))
    with pytest.raises(memory.OutOfMemory, match="4x4 pixels"):
        judge.logits_of(nothing_fits, pixels, torch.device("cpu"))


def nothing_fits(x: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("too much")


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> results.Store:
    monkeypatch.setitem(detectors.ARCHITECTURES, "tiny", detectors.Architecture("Tiny", 2, tiny))
    monkeypatch.setitem(detectors.REGISTRY, "tiny-test", detectors.Spec("tiny-test", "tiny"))
    made = results.Store(tmp_path / "build")
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in data.LABELS:
            folder = made.data("miniature", part, "progan") / label
            folder.mkdir(parents=True)
            for i in range(8):
                noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{i}.png")
    return made


SETTINGS = training.Config(n=8, n_val=8, epochs=1, batch_size=4, precision="float32")


def test_a_training_keeps_its_batch_and_says_which_setting_to_lower(
    store: results.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = nn.Sequential.forward

    def limited(self: nn.Sequential, x: Tensor) -> Tensor:
        if self.training and len(x) > 2:
            raise torch.OutOfMemoryError("too much")
        return forward(self, x)

    monkeypatch.setattr(nn.Sequential, "forward", limited)
    with pytest.raises(
        memory.OutOfMemory,
        match=r"^tiny-test seed 0: the memory of cpu ran out at step 0, with a batch of 4 pictures of 16x16 "
        r"pixels; lower batch_size \(.*--batch-size 2\)",
    ):
        training.train(detectors.get("tiny-test"), 0, store, progress=False, settings=SETTINGS, device="cpu")
    assert not store.detector("tiny-test", 0).exists()
    monkeypatch.setattr(training, "config", lambda spec, **changes: SETTINGS)
    monkeypatch.setenv("TFF_BUILD", str(store.root))
    assert training.main(["--detector", "tiny-test", "--device", "cpu", "--quiet"]) == 1


def test_scores_are_those_of_smaller_batches(
    store: results.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(detectors.get("tiny-test"), 0, store, progress=False, settings=SETTINGS, device="cpu")
    images = data.scan(store.data("miniature", "val", "progan"))
    net = lrp.canonize(detectors.load("tiny-test", 0, store).model)
    omega = ffrs.Omega({layer: np.arange(n) / 100 for layer, n in net.layers.items()}, count=1)

    def scores(batch_size: int, root: Path) -> np.ndarray:
        own = results.Store(root)
        own.detector("tiny-test", 0).parent.mkdir(parents=True)
        for suffix in (".safetensors", ".json"):
            source = store.detector("tiny-test", 0).with_suffix(suffix)
            own.detector("tiny-test", 0).with_suffix(suffix).write_bytes(source.read_bytes())
        frame = sensitivity.scores(
            "tiny-test", [0], images, {0: omega}, n_random=1, n_matched=1,
            store=own, device="cpu", batch_size=batch_size, progress=False,
        )  # fmt: skip
        return frame["logit"].to_numpy()

    expected = scores(2, tmp_path / "a")
    sweep, tried = dropout.sweep, []

    def limited(net: lrp.Net, x: Tensor, *more: object) -> Iterator[tuple[int, Tensor]]:
        tried.append(len(x))
        for i, found in enumerate(sweep(net, x, *more)):  # type: ignore[arg-type]
            if len(x) > 2 and i == 2:
                raise torch.OutOfMemoryError("too much")
            yield found

    monkeypatch.setattr(dropout, "sweep", limited)
    assert np.array_equal(scores(8, tmp_path / "b"), expected)
    assert tried[:3] == [8, 4, 2] and tried.count(8) == 1


def test_studies_are_those_of_smaller_batches(
    net: lrp.Net, store: results.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = data.scan(store.data("miniature", "val", "progan"))
    model = toy(3).float()
    single = lrp.canonize(model)
    maps = [FeatureMap(layer, 0, n) for layer, n in net.layers.items()]
    pixels = torch.stack([data.read(path) for path in images.paths])
    cases = [rankings.case(single, "a", 1, maps[:1]), rankings.case(single, "b", 1, maps[-1:])]

    def study(size: int) -> list[np.ndarray]:
        level = rankings.levels(net, X.split(size))
        return [
            color_exchange.probabilities(model, pixels, batch_size=size),
            color_conditional.maximum_activations(net, X.split(size), maps),
            pixel_study.relevance(net, X, batch_size=size).numpy(),
            *(rankings.shares(net, X, of, batch_size=size) for of in get_args(rankings.Quantity)),
            *(value.numpy() for value in level.mean.values()),
            *(value.numpy() for value in level.magnitude.values()),
            rankings.measure(single, images, cases, batch_size=size)["logit"].to_numpy(),
        ]

    expected = study(2)
    forward = nn.Conv2d.forward
    for rule_of in (net, single):
        narrow(rule_of, monkeypatch, 2)

    def limited(self: nn.Conv2d, x: Tensor) -> Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("too much")
        return forward(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", limited)
    for found, wanted in zip(study(8), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-9)
