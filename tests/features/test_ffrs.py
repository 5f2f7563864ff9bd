"""Omega: its definition, what it counts and leaves out, its sets of maps, and its file."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lrp_nets import pictures, toy
from torch import Tensor

from tff_core import lrp
from tff_core.features import ffrs
from tff_core.features.names import FeatureMap

FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def net() -> lrp.Net:
    """A network that calls about half of the pictures below fake."""
    model, x = toy(3), pictures(12, 32)
    with torch.no_grad():
        model.fc.weight *= 100  # type: ignore[operator,union-attr]
        model.fc.bias -= model(x).median()  # type: ignore[operator,union-attr]
    return lrp.canonize(model)


X = pictures(12, 32)


def by_definition(maps: dict[str, Tensor], chosen: Tensor) -> dict[str, np.ndarray]:
    """Mean over pictures of max(R, 0) / sum|R|, summed over positions, one picture at a time."""
    rows: dict[str, list[Tensor]] = {k: [] for k in maps}
    for i in chosen.nonzero()[:, 0].tolist():
        for k, r in maps.items():
            rows[k].append(r[i].clamp(min=0).sum((1, 2)) / r[i].abs().sum())
    return {k: torch.stack(v).mean(0).numpy() for k, v in rows.items()}


@pytest.mark.parametrize("label", ["fake", "real"])
def test_omega_is_its_definition(net: lrp.Net, label: str) -> None:
    out = lrp.relevance(net, X)
    assert out.logit is not None
    p = torch.sigmoid(out.logit[:, 0])
    sure = p >= 0.9 if label == "fake" else p <= 0.1
    assert 0 < int(sure.sum()) < len(X)
    omega = ffrs.ff_rs(net, X.split(5), label=label)  # type: ignore[arg-type]
    for layer, expected in by_definition(out.maps, sure).items():
        np.testing.assert_allclose(omega.values[layer], expected, rtol=1e-10, atol=1e-14)
    assert (omega.count, omega.seen, omega.unsure) == (int(sure.sum()), len(X), len(X) - int(sure.sum()))


@FEW
@given(st.integers(0, 500), st.booleans(), st.booleans())
def test_omega_lies_between_zero_and_one(seed: int, silu: bool, gate: bool) -> None:
    any_net, x = lrp.canonize(toy(seed, silu, gate)), pictures(6, 32, seed)
    label = "fake" if float(any_net(x).mean()) > 0 else "real"
    if not bool(((any_net(x) > 0) == (label == "fake")).any()):
        return
    omega = ffrs.ff_rs(any_net, [x], label=label, confidence=0.5)  # type: ignore[arg-type]
    for values in omega.values.values():
        assert bool((values >= 0).all()) and values.sum() <= 1 + 1e-12


@FEW
@given(st.permutations(range(12)), st.integers(1, 12))
def test_neither_order_nor_batches_matter(net: lrp.Net, order: list[int], size: int) -> None:
    a, b = ffrs.ff_rs(net, [X]), ffrs.ff_rs(net, X[list(order)].split(size))
    for layer in net.layers:
        np.testing.assert_allclose(a.values[layer], b.values[layer], rtol=1e-9, atol=1e-14)


def test_labels_choose_the_pictures(net: lrp.Net) -> None:
    labels = torch.tensor([1, 0] * 6)
    index = torch.arange(12)
    labelled = ffrs.ff_rs(net, [(X, labels, index)], confidence=0.5)
    alone = ffrs.ff_rs(net, [X[labels == 1]], confidence=0.5)
    assert labelled.seen == 6 and labelled.count == alone.count
    np.testing.assert_allclose(labelled.values["conv1"], alone.values["conv1"], rtol=1e-12)


def test_nothing_of_a_batch_outlives_it(net: lrp.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the next batch is made, pictures and relevance of the last one are gone: memory stays flat."""
    alive: list[weakref.ref[Tensor]] = []
    add = ffrs.Accumulator.add

    def watched(self: ffrs.Accumulator, layer: str, r: Tensor, keep: Tensor) -> None:
        alive.append(weakref.ref(r))
        add(self, layer, r, keep)

    def batches() -> Iterator[Tensor]:
        for _ in range(3):
            assert not [r for r in alive if r() is not None]
            one = [X.clone()]
            alive.append(weakref.ref(one[0]))
            yield one.pop()

    monkeypatch.setattr(ffrs.Accumulator, "add", watched)
    assert ffrs.ff_rs(net, batches()).seen == 3 * len(X)
    assert len(alive) == 3 * (1 + len(net.layers))


def test_wrong_networks_and_pictures_are_refused(net: lrp.Net) -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 3, height, width\), found \(12, 1, 32, 32\)"):
        ffrs.ff_rs(net, [X[:, :1]])
    with pytest.raises(ValueError, match=r"network is in torch\.float64, the pictures are in torch\.float32"):
        ffrs.ff_rs(net, [X.float()])
    model = toy(3)
    torch.manual_seed(5)
    model.fc = torch.nn.Linear(5, 2).double().eval()
    with pytest.raises(ValueError, match=r"returns \(12, 2\): expected one logit.*canonize\(model, target="):
        ffrs.ff_rs(lrp.canonize(model), [X])
    assert ffrs.ff_rs(lrp.canonize(model, target=1), [X], label="real", confidence=0.5).seen == len(X)


def test_nothing_to_average_is_an_error(net: lrp.Net) -> None:
    with pytest.raises(ValueError, match=r"none of 5 fake pictures has probability 0\.9"):
        ffrs.ff_rs(net, [X[(net(X) < 0)[:, 0]]])
    with pytest.raises(ValueError, match="none of 0 fake pictures"):
        ffrs.ff_rs(net, [])
    with pytest.raises(ValueError, match="label is 'counterfeit': expected 'fake' or 'real'"):
        ffrs.ff_rs(net, [X], label="counterfeit")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"confidence is 1\.5"):
        ffrs.ff_rs(net, [X], confidence=1.5)


def test_a_picture_without_relevance_is_counted_and_does_not_poison(net: lrp.Net) -> None:
    """NaN and zero relevance in one layer leave out that picture there, and only there."""
    accumulator = ffrs.Accumulator({"a": 2, "b": 1})
    r = torch.rand(4, 2, 3, 3).double() + 0.1
    clean = by_definition({"a": r}, torch.tensor([True, False, False, True]))["a"]
    r[1], r[2, 0, 0, 0] = 0, float("nan")
    keep = torch.ones(4, dtype=torch.bool)
    accumulator.add("a", r, keep)
    accumulator.add("b", torch.ones(4, 1, 3, 3).double(), keep)
    assert accumulator.counts == {"a": 2, "b": 4}
    np.testing.assert_allclose(accumulator.sums["a"].numpy() / 2, clean, rtol=1e-12)
    # and through the public function: a black map of pixels that are NaN
    broken = X.clone()
    sure = (net(X)[:, 0] > 3).nonzero()[0, 0]
    broken[sure] = float("nan")
    omega = ffrs.ff_rs(net, [broken])
    assert omega.unsure == ffrs.ff_rs(net, [X]).unsure + 1
    assert all(np.isfinite(v).all() for v in omega.values.values())


def test_a_layer_without_relevance_is_reported() -> None:
    """A head that reads one map only leaves the shortcut's layer without relevance in some pictures."""
    model = toy(3)
    with torch.no_grad():
        model.blocks[1].shortcut.weight.zero_()  # type: ignore[index,union-attr,operator]
        model.blocks[1].shortcut.bias.zero_()  # type: ignore[index,union-attr,operator]
    net, x = lrp.canonize(model), pictures(6, 32)
    label = "fake" if float(net(x)[0]) > 0 else "real"
    omega = ffrs.ff_rs(net, [x], label=label, confidence=0.5)  # type: ignore[arg-type]
    assert omega.poisoned == {"blocks.1.shortcut": omega.count}
    assert not omega.values["blocks.1.shortcut"].any()


OMEGA = ffrs.Omega(
    {"a": np.array([0.1, 0.5, 0.0, 0.2]), "b": np.array([0.3, 0.0]), "c": np.array([0.4, 0.35, 0.01])},
    count=3,
)


def test_the_ranking_and_its_sets() -> None:
    assert [str(m) for m in OMEGA.top(3)] == ["a.#1(T=4)", "c.#0(T=3)", "c.#1(T=3)"]
    assert [str(m) for m in OMEGA.low(3)] == ["b.#1(T=2)", "a.#2(T=4)", "c.#2(T=3)"]
    assert OMEGA["b.#0(T=2)"] == 0.3 and len(OMEGA) == 9
    assert len(OMEGA.top(9)) == len(set(OMEGA.low(9))) == 9
    for seed in range(20):
        drawn = OMEGA.random(3, seed)
        assert len(set(drawn)) == 3 and not set(drawn) & set(OMEGA.top(3))
        assert drawn == OMEGA.random(3, seed)
    assert len({tuple(OMEGA.random(3, seed)) for seed in range(20)}) > 5
    for wrong in (0, 10):
        with pytest.raises(ValueError, match=f"k is {wrong}: expected 1 to 9"):
            OMEGA.top(wrong)
    with pytest.raises(
        ValueError, match="k is 5: expected 1 to 4, the number of feature maps outside the top k"
    ):
        OMEGA.random(5, 0)
    with pytest.raises(ValueError, match="is it a map of another network"):
        OMEGA["a.#1(T=5)"]


def layers(maps: list[FeatureMap]) -> dict[str, int]:
    return {layer: sum(m.layer == layer for m in maps) for layer in "abc"}


def test_the_matched_control_has_the_layers_of_the_top() -> None:
    """Top 3 has one map of a and two of c; c has only one other, which is said."""
    for seed in range(20):
        drawn = OMEGA.matched(3, seed)
        assert layers(drawn) == {"a": 1, "b": 0, "c": 1}
        assert not set(drawn) & set(OMEGA.top(3)) and len(set(drawn)) == 2
    assert OMEGA.shortfall(3) == {"c": 1} and OMEGA.shortfall(2) == {}
    assert layers(OMEGA.matched(2, 0)) == layers(OMEGA.top(2))
    assert len({tuple(OMEGA.matched(2, seed)) for seed in range(20)}) > 1


def test_the_file_is_the_published_format_and_comes_back(tmp_path: Path, net: lrp.Net) -> None:
    omega = ffrs.ff_rs(net, [X])
    path = tmp_path / "omega.csv"
    omega.to_csv(path)
    lines = path.read_text().splitlines()
    assert lines[0] == "key,mean_relevance" and len(lines) == 1 + len(omega)
    values = [float(line.split(",")[1]) for line in lines[1:]]
    assert values == sorted(values, reverse=True)
    again = ffrs.Omega.from_csv(path, net)
    assert again.ranking == omega.ranking and list(again.values) == list(net.layers)
    assert all(np.array_equal(again.values[k], omega.values[k]) for k in net.layers)
    assert again.matched(5, 1) == omega.matched(5, 1) and again.random(5, 1) == omega.random(5, 1)


HEADER = "key,mean_relevance\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected the header 'key,mean_relevance', found ''"),
        ("name,value\n", "found 'name,value'"),
        (HEADER + "a.#0(T=1)\n", "line 2: expected a key and a number"),
        (HEADER + "a.0,0.5\n", "line 2: 'a.0' is no feature-map name"),
        (HEADER + "a.#0(T=1),half\n", "line 2: could not convert string to float: 'half'"),
        (HEADER + "a.#0(T=1),nan\n", "line 2: omega is nan"),
        (HEADER + "a.#0(T=2),0.1\na.#1(T=2),0.5\n", "line 3: omega is 0.5; expected .*at most the 0.1"),
        (HEADER + "a.#0(T=2),0.1\na.#0(T=2),0.1\n", "line 3: .* a second time"),
        (HEADER + "a.#0(T=2),0.1\n", "incomplete: expected 2 feature maps in 1 layers, found 1"),
        (HEADER + "a.#0(T=2),0.1\na.#1(T=3),0.1\n", "layer 'a' has 3 channels in one line"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "omega.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=error):
        ffrs.Omega.from_csv(path)


def test_the_file_of_another_network_is_refused(tmp_path: Path, net: lrp.Net) -> None:
    path = tmp_path / "omega.csv"
    OMEGA.to_csv(path)
    with pytest.raises(
        ValueError, match=r"omega\.csv is the omega of another network: expected \d+ maps in 4 layers"
    ):
        ffrs.Omega.from_csv(path, net)
    with pytest.raises(FileNotFoundError, match="does not exist: expected an omega table"):
        ffrs.from_csv(tmp_path / "none.csv")
