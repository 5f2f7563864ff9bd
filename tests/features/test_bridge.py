"""Two tasks that share feature maps: exact chance, heads that read the same maps, heads that do not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
import torch
from lrp_nets import randomise
from scipy import stats
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from tff_core import attribution, lrp
from tff_core.detectors import answer
from tff_core.features import bridge, ffrs
from tff_core.features.bridge import ALL, Head
from tff_core.features.dropout import fold_dropout
from tff_core.features.ffrs import Omega
from tff_core.features.names import FeatureMap

WIDE = {"stem": 3, "a": 8, "b": 16}


def maps(layer: str, *channels: int) -> list[FeatureMap]:
    return [FeatureMap(layer, c, WIDE[layer]) for c in channels]


def known(values: Mapping[str, np.ndarray], n: int = 0) -> Head:
    return Head(Omega(values, count=n))


# -------------------------------------------------------------------------------------------------- chance


def test_chance_is_what_counting_all_sets_gives() -> None:
    """Every choice of as many maps in each layer, written out."""
    a, b = [*maps("stem", 0, 1), *maps("a", 0, 1, 2)], [*maps("stem", 2), *maps("a", 1, 2, 5, 6)]
    every = product(combinations(range(3), 1), combinations(range(8), 4))
    shared = [len({0, 1} & set(s)) + len({0, 1, 2} & set(c)) for s, c in every]
    np.testing.assert_allclose(bridge.chance(a, b), np.bincount(shared, minlength=5) / len(shared))
    one = bridge.chance(maps("b", 0, 1, 2), maps("b", 2, 3, 4, 5))
    np.testing.assert_allclose(one, stats.hypergeom(16, 3, 4).pmf(range(4)))
    assert bridge.chance(maps("stem", 0), maps("b", 0)).tolist() == [
        1.0
    ]  # no layer in common, nothing shared


def test_tasks_that_only_prefer_the_same_layers_share_no_more_than_chance() -> None:
    """Narrow layers on top of both rankings, channels at random: p-values and intervals are right."""
    rng = np.random.default_rng(0)
    k, wide = 16, {"stem": 4, "a": 16, "b": 48}
    over, p_more, p_fewer, inside, naive = [], [], [], [], []
    for _ in range(300):
        heads = {
            name: known({layer: rng.random(n) + 12 / n for layer, n in wide.items()})
            for name in ("one", "two")
        }
        row = bridge.overlap(heads, [k]).iloc[0]
        over.append(row["shared"] - row["expected"])
        p_more.append(row["p_more"])
        p_fewer.append(row["p_fewer"])
        inside.append(row["chance_low"] <= row["shared"] <= row["chance_high"])
        naive.append(stats.hypergeom(sum(wide.values()), k, k).sf(row["shared"] - 1))
    assert abs(np.mean(over)) < 4 * np.std(over) / np.sqrt(len(over))
    for p in (p_more, p_fewer):  # of whole numbers: at most as often as promised, not exactly
        assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
        assert np.mean(np.array(p) <= 0.5) > 0.2
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    # what the layers are for: without them, chance would seem to be exceeded nearly always
    assert np.mean(np.array(naive) <= 0.05) > 0.9


@pytest.mark.slow
def test_the_order_within_a_layer_is_spearmans_and_its_p_that_of_all_permutations() -> None:
    rng = np.random.default_rng(3)
    one = {layer: rng.random(n) for layer, n in WIDE.items()}
    other = {layer: one[layer] + rng.random(n) for layer, n in WIDE.items()}
    found = bridge.correlation({"one": known(one, 5), "two": known(other, 7)}).set_index("layer")
    for layer in WIDE:
        expected = stats.spearmanr(one[layer], other[layer])
        assert found.loc[layer, "value"] == pytest.approx(expected.statistic)
        exact = stats.permutation_test(
            (one[layer],), lambda x, layer=layer: stats.spearmanr(x, other[layer]).statistic,
            permutation_type="pairings", n_resamples=999, random_state=0,
        )  # fmt: skip
        assert found.loc[layer, "p"] == pytest.approx(exact.pvalue, abs=0.06)
    assert found.loc["stem", "p"] >= 1 / 3 - 0.02  # 3! orders, of which the reverse is as far
    weights = np.array(list(WIDE.values()))
    assert found.loc[ALL, "value"] == pytest.approx(
        np.average(found.loc[list(WIDE), "value"], weights=weights)
    )
    assert found["channels"].tolist() == [3, 8, 16, 27] and set(found["n_b"]) == {7}
    assert found[["low", "high", "ceiling"]].isna().all(axis=None)  # nothing is known of the pictures


def test_permutations_are_right_where_nothing_is_alike() -> None:
    rng = np.random.default_rng(4)
    values = [
        bridge.correlation(
            {name: known({layer: rng.random(n) + 4 / n for layer, n in WIDE.items()}) for name in "ab"},
            permutations=199, seed=i,
        ).set_index("layer")["p"]
        for i in range(150)
    ]  # fmt: skip
    rate = (pd.DataFrame(values) <= 0.1).mean()
    assert (rate <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 150)).all() and rate[ALL] > 0.02


def test_a_layer_without_order_has_no_correlation() -> None:
    flat = {layer: np.full(n, 0.1) if layer == "a" else np.arange(n) / n for layer, n in WIDE.items()}
    found = bridge.correlation({"one": known(flat), "two": known(flat)}).set_index("layer")
    assert np.isnan(found.loc["a", "value"]) and np.isnan(found.loc["a", "p"])
    assert found.loc["b", "value"] == pytest.approx(1) and found.loc[ALL, "value"] == pytest.approx(1)


# -------------------------------------------------------------------------------- tasks made by construction


class Branch(nn.Module):
    """Shared layers of 8 and 12 maps; the first half of each sees red alone, the second half blue alone."""

    def __init__(self, red: float, blue: float, gain: float = 1.0) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.after = nn.Sequential(nn.Conv2d(12, 2, 1), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
        self.input_size = (8, 8)
        g = torch.Generator().manual_seed(0)
        for layer in (self.before[0], self.before[2], self.after[0]):
            layer.weight.data = gain_of(layer, g)
            layer.bias.data.zero_()
        first, second, third = self.before[0], self.before[2], self.after[0]
        first.weight.data[:4, 1:] = first.weight.data[4:, :2] = 0
        second.weight.data[:6, 4:] = second.weight.data[6:, :4] = 0
        third.weight.data[:, :6] *= red * gain
        third.weight.data[:, 6:] *= blue * gain
        self.head[-1].weight.data.fill_(1.0)
        self.head[-1].bias.data.fill_(-1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(self.before(x)))


def gain_of(layer: nn.Conv2d, g: torch.Generator) -> Tensor:
    """Positive weights, every one different, so that no map is dead and no two are alike."""
    return (0.5 + torch.rand(layer.weight.shape, generator=g)) / layer.weight[0].numel() ** 0.5


def net(red: float, blue: float, gain: float = 1.0) -> lrp.Net:
    return lrp.canonize(Branch(red, blue, gain).double().eval(), pixel_rule="zplus")


def coloured(n: int = 60) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Pictures, and whether each is bright in red, and in blue, independently of each other."""
    g = torch.Generator().manual_seed(1)
    x = torch.rand(n, 3, 8, 8, generator=g, dtype=torch.float64)
    red, blue = np.arange(n) % 2, np.arange(n) // 2 % 2
    x[:, 0] += torch.from_numpy(red)[:, None, None]
    x[:, 2] += torch.from_numpy(blue)[:, None, None]
    return x, red, blue


NETS = {"red": net(8, 0), "also red": net(8, 0, 1.5), "blue": net(0, 8)}
X, RED, BLUE = coloured()
LABELS = {"red": RED, "also red": RED, "blue": BLUE}
LAYERS = ["before.0", "before.2"]
HEADS = {
    name: bridge.look(own, X[torch.from_numpy(LABELS[name] == 1)], LAYERS, 0.5) for name, own in NETS.items()
}


def test_the_shared_layers_end_where_weights_differ() -> None:
    assert bridge.shared_layers(NETS) == LAYERS
    assert bridge.shared_layers({"one": NETS["red"], "same": NETS["red"]}) == [*LAYERS, "after.0"]
    changed = Branch(8, 0)
    changed.before[2].weight.data[3, 1, 0, 0] += 1e-6
    other = lrp.canonize(changed.double().eval(), pixel_rule="zplus")
    assert bridge.shared_layers(NETS | {"other": other}) == ["before.0"]
    changed.before[0].bias.data[0] += 1e-6
    other = lrp.canonize(changed.double().eval(), pixel_rule="zplus")
    with pytest.raises(ValueError, match="red, other have no layer in common"):
        bridge.shared_layers({"red": NETS["red"], "other": other})
    with pytest.raises(ValueError, match="one network alone"):
        bridge.shared_layers({"red": NETS["red"]})


def test_what_a_task_looks_at_is_its_omega_on_the_shared_layers() -> None:
    for name, own in NETS.items():
        chosen = X[torch.from_numpy(LABELS[name] == 1)]
        whole = ffrs.ff_rs(own, [chosen], confidence=0.5)
        assert HEADS[name].omega.count == whole.count and HEADS[name].omega.seen == whole.seen == 30
        assert list(HEADS[name].omega.values) == LAYERS
        for layer in LAYERS:
            np.testing.assert_allclose(HEADS[name].omega.values[layer], whole.values[layer], atol=1e-6)
        cut = Head.of(whole, LAYERS)
        assert list(cut.omega.values) == LAYERS and len(cut.omega) == 20 and cut.shares is None
    in_parts = bridge.look(NETS["red"], [(X[RED == 1][:7],), X[RED == 1][7:]], LAYERS, 0.5, batch_size=4)
    np.testing.assert_allclose(in_parts.shares, HEADS["red"].shares, atol=1e-6)


def test_a_threshold_is_another_bias() -> None:
    """Where a task says yes to nothing by itself, its calibrated threshold says which pictures count."""
    model = Branch(8, 0).double().eval()
    model.head[-1].bias.data -= 1000
    own = lrp.canonize(model, pixel_rule="zplus")
    chosen = X[RED == 1]
    middle = float(own(chosen).median())
    with pytest.raises(ValueError, match="calibrate a threshold"):
        bridge.look(own, chosen, LAYERS, 0.5)
    found = bridge.look(own, chosen, LAYERS, 0.6, middle)
    moved = lrp.canonize(answer.shifted(model, middle), pixel_rule="zplus")
    expected = ffrs.ff_rs(moved, [chosen], confidence=0.6)
    assert 0 < found.omega.count == expected.count < 15
    for layer in LAYERS:
        np.testing.assert_allclose(found.omega.values[layer], expected.values[layer], atol=1e-6)


def test_heads_that_read_the_same_maps_share_all_and_others_none() -> None:
    found = bridge.overlap(HEADS, [2, 10]).set_index(["a", "b", "k"])
    same = found.loc["red", "also red", 10]
    assert same["shared"] == 10 and same["maps"] == 20
    assert same["expected"] == pytest.approx(4 * 4 / 8 + 6 * 6 / 12)
    assert same["p_more"] == pytest.approx(1 / 70 / 924)  # 4 of 8 and 6 of 12, the same both times
    # all that chance leaves, whatever the pictures
    assert same["value"] == pytest.approx(0.5) and same["low"] == same["high"] == same["value"]
    for k in (2, 10):
        apart = found.loc["red", "blue", k]
        assert apart["shared"] == 0 and apart["p_more"] == pytest.approx(1) and apart["value"] <= 0
    # the two best of each do not exclude each other: neither more nor fewer than chance explains
    assert found.loc["red", "blue", 2][["p_more", "p_fewer"]].min() > 0.05
    assert found.loc["red", "blue", 10]["p_fewer"] == pytest.approx(1 / 70 / 924)


def test_the_order_is_the_same_where_the_maps_are() -> None:
    found = bridge.correlation(HEADS).set_index(["a", "b", "layer"])
    same, apart = found.loc["red", "also red", ALL], found.loc["red", "blue", ALL]
    assert same["value"] > 0.9 and same["p"] < 0.001 and same["low"] > 0.8 and same["ceiling"] > 0.9
    assert apart["value"] < -0.5 and apart["low"] <= apart["value"] <= apart["high"]


def noisy(mean: np.ndarray, n: int, rng: np.random.Generator, spread: float = 0.15) -> Head:
    """A task whose shares of 27 maps vary from picture to picture."""
    shares = np.abs(mean + spread * rng.normal(size=(n, 27)))
    return Head(Omega(dict(zip(WIDE, np.split(shares.mean(0), [3, 11]), strict=True)), n), shares)


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_intervals_hold_what_as_many_other_pictures_give_and_the_ceiling_is_that_of_equal_tasks(
    alike: float,
) -> None:
    rng = np.random.default_rng(8)
    one = rng.gamma(1.0, 0.1, 27)
    other = alike * one + (1 - alike) * rng.permutation(one)
    rows = []
    for i in range(40):
        heads = {"one": noisy(one, 60, rng), "two": noisy(other, 60, rng)}
        rows.append(bridge.overlap(heads, [8], 100, i).iloc[0])
        rows.append(bridge.correlation(heads, 100, 2, i).iloc[-1])
    for k in (0, 1):
        table = pd.DataFrame(rows[k::2])
        mean = table["value"].mean()
        assert ((table["low"] <= mean) & (mean <= table["high"])).mean() >= 0.82
        if alike == 1:
            assert table["ceiling"].mean() == pytest.approx(mean, abs=0.1)
        if alike == 0:
            assert table["ceiling"].mean() > mean + 0.3


def test_intervals_over_pictures_cover_and_shrink() -> None:
    """Two tasks whose pictures agree on average, of which few or many are seen."""
    rng = np.random.default_rng(5)
    truth = rng.random(27)
    widths = []
    for n in (20, 500):
        heads = {}
        for name in "ab":
            shares = truth + rng.normal(size=(n, 27))
            parts = np.split(shares.mean(0), [3, 11])
            heads[name] = Head(Omega(dict(zip(WIDE, parts, strict=True)), n), shares)
        rows = [bridge.overlap(heads, [6]).iloc[0], bridge.correlation(heads).iloc[-1]]
        assert all(-1 <= r["low"] <= r["value"] <= r["high"] <= 1 and r["n_a"] == n for r in rows)
        widths.append([r["high"] - r["low"] for r in rows])
        again = bridge.overlap(heads, [6]).iloc[0]
        assert (again["low"], again["high"]) == (rows[0]["low"], rows[0]["high"])
    assert widths[1][0] <= widths[0][0] and widths[1][1] < widths[0][1]


# --------------------------------------------------------------------------------- tasks that learnt nothing


def test_an_untrained_task_has_the_same_weights_in_another_order() -> None:
    before = NETS["red"].fingerprint()
    found = bridge.shuffled(NETS["red"], LAYERS, 1)
    for old, new in zip(NETS["red"].steps, found.steps, strict=True):
        weight = getattr(old.rule, "weight", None)
        if weight is None or old.name in LAYERS:
            assert new is old
            continue
        mixed = new.rule.weight  # type: ignore[attr-defined]
        assert torch.equal(mixed.flatten().sort().values, weight.flatten().sort().values)
        assert (new.rule.bias == old.rule.bias).all()  # type: ignore[attr-defined]
    assert bridge.shared_layers({"one": NETS["red"], "two": found}) == LAYERS
    assert not torch.allclose(found(X), NETS["red"](X)) and NETS["red"].fingerprint() == before
    assert torch.equal(bridge.shuffled(NETS["red"], LAYERS, 1)(X), found(X))
    assert not torch.equal(bridge.shuffled(NETS["red"], LAYERS, 2)(X), found(X))
    # the rule's halves of the weights are made anew, so that relevance is that of the new weights
    start = found(X)
    out = lrp.relevance(found, X, start=start)
    expected = start[:, 0] - found.steps[-1].rule.bias  # type: ignore[attr-defined]
    torch.testing.assert_close(out.maps["before.0"].sum((1, 2, 3)), expected, rtol=1e-4, atol=1e-4)
    only = lrp.canonize(
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), target=0
    )
    with pytest.raises(ValueError, match="no weights after 0: expected a task with layers of its own"):
        bridge.shuffled(only, ["0"])


def test_twins_have_more_in_common_than_with_each_other_untrained() -> None:
    some = {name: HEADS[name] for name in ("red", "also red", "blue")}
    controls = {name: bridge.untrained(NETS[name], [X[LABELS[name] == 1]], LAYERS, draws=12) for name in some}
    found = bridge.specific(some, controls, [10], resamples=200).set_index(["a", "b", "measure"])
    twins, apart = (found.loc["red", other, "first 10"] for other in ("also red", "blue"))
    assert twins["together"] == 1 and twins["draws"] == 24 and 1 / 25 <= twins["p"] < 0.2
    assert twins["low"] > 0 and twins["value"] == pytest.approx(1 - twins["control"])
    assert apart["together"] == 0 and apart["value"] < 0 and apart["p"] == 1
    # the mean over both ways to replace one of the two by controls of it
    by_hand = [
        len(set(HEADS[one].omega.top(10)) & set(control.omega.top(10))) / 10
        for one, other in (("red", "also red"), ("also red", "red"))
        for control in controls[other]
    ]
    assert twins["control"] == pytest.approx(np.mean(by_hand))
    order = bridge.correlation(some).query("layer == @ALL").set_index(["a", "b"])["value"]
    for pair in (("red", "also red"), ("red", "blue")):
        assert found.loc[(*pair, bridge.ORDER), "together"] == pytest.approx(order[pair])
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
    # a ranking without a network can be dropped from the networks of others
    frame = bridge.scores(
        {"red": NETS["red"]}, {"red": HEADS["red"], "untrained": controls["red"][0]}, X, LABELS, k=5, draws=2
    )
    assert set(frame["ranked"]) == {"red", "untrained"} and set(frame["measured"]) == {"red"}


def test_tasks_that_only_share_what_is_loud_are_not_specific() -> None:
    """Half of the maps are ten times as loud: any task ranks them first, and overlap alone is deceived."""
    g = torch.Generator().manual_seed(3)
    model = Branch(1, 1).double().eval()
    loud = torch.randperm(12, generator=g)[:6]
    model.before[2].weight.data[:] = 0.1 + 0.1 * torch.rand(12, 8, 3, 3, generator=g)
    model.before[2].weight.data[loud] *= 10
    nets = {}
    for name in ("one", "two"):
        model.after[0].weight.data[:] = torch.rand(2, 12, 1, 1, generator=g)
        nets[name] = lrp.canonize(model, pixel_rule="zplus")
    layers = bridge.shared_layers(nets)
    heads = {name: bridge.look(own, X, layers, 0.5) for name, own in nets.items()}
    controls = {name: bridge.untrained(own, X, layers) for name, own in nets.items()}
    k = bridge.depth(heads) - 8
    deceived = bridge.overlap(heads, [k], resamples=100).iloc[0]
    assert deceived["value"] > 0 and deceived["p_more"] < 0.05
    found = bridge.specific(heads, controls, [k], resamples=100).iloc[0]
    assert abs(found["value"]) < 0.1 and found["p"] > 0.2


def test_controls_that_fit_nothing_are_counted() -> None:
    some = {name: HEADS[name] for name in ("red", "blue")}
    short = {layer: np.where(np.arange(n) < 2, 0.1, 0.0) for layer, n in (("before.0", 8), ("before.2", 12))}
    controls = {"blue": [HEADS["also red"], known(short)]}
    found = bridge.specific(some, controls, [3, 10], resamples=50).set_index("measure")
    assert found.loc["first 3", "draws"] == 2 and found.loc["first 10", "draws"] == 1
    gone = bridge.specific(some, {"blue": [known(short)]}, [10], resamples=50).set_index("measure")
    assert (
        gone.loc["first 10", "draws"] == 0
        and np.isnan(gone.loc["first 10", ["control", "value", "p"]].astype(float)).all()
    )
    with pytest.raises(ValueError, match="neither red nor blue has controls"):
        bridge.specific(some, {}, [3])
    dead = Branch(8, 0).double().eval()
    dead.head[-1].weight.data *= -1
    with pytest.raises(ValueError, match="only 0 of 10 networks with weights in random order"):
        bridge.untrained(lrp.canonize(dead, pixel_rule="zplus"), X, LAYERS, draws=2)


# --------------------------------------------------------------------------------------------- the dropout


@pytest.fixture(scope="module")
def logits() -> pd.DataFrame:
    return bridge.scores(NETS, HEADS, [X[:25], (X[25:], None)], LABELS, k=10, draws=3)


def test_logits_are_those_of_networks_without_the_maps(logits: pd.DataFrame) -> None:
    assert len(logits) == 3 * 3 * (1 + 1 + 1 + 3) * len(X)
    groups = logits.groupby(["measured", "ranked", "condition", "draw"], sort=False)
    assert len(groups) == 54
    for (measured, ranked, condition, draw), rows in groups:
        omega = HEADS[ranked].omega
        dropped = {
            "baseline": [],
            "top-k": omega.top(10),
            "low-k": omega.low(10),
            "matched-k": omega.matched(10, draw),
        }[condition]
        expected = fold_dropout(NETS[measured], dropped)(X)[:, 0]
        np.testing.assert_allclose(rows["logit"], expected.numpy(), atol=1e-9)
        assert rows["label"].tolist() == LABELS[measured].tolist() and set(rows["k"]) == {len(dropped)}


def test_a_task_breaks_without_its_own_maps_and_without_those_of_its_twin(logits: pd.DataFrame) -> None:
    found = bridge.breakage(logits, resamples=200)
    assert len(found) == 9 * 2 * 3
    whole = found[found["seed"] == "all"].set_index(["measured", "ranked", "contrast"])
    for measured, ranked in product(NETS, NETS):
        to_control = whole.loc[measured, ranked, "top-k - matched-k"]
        to_whole = whole.loc[measured, ranked, "top-k - baseline"]
        twins = {"blue"} in ({measured}, {ranked}) and measured != ranked
        if twins:  # nothing of it is touched, while the control takes what it reads
            assert to_whole["delta_ap"] == 0 and to_whole["low"] == to_whole["high"] == 0
            assert to_control["low"] > 0
        else:  # without the maps a picture looks like any other, and controls are not read
            assert to_whole["high"] < 0 and to_control["high"] < 0
            assert to_control["first"] == pytest.approx(0.5) and to_control["second"] == to_whole["second"]
        assert to_control["k"] == to_control["control"] == 10
        y = LABELS[measured]
        assert to_whole["second"] == pytest.approx(
            average_precision_score(y, NETS[measured](X)[:, 0].numpy())
        )
        assert to_whole["delta_ap"] == pytest.approx(to_whole["first"] - to_whole["second"])
        assert (to_control["n_real"], to_control["n_fake"], to_control["n_draws"]) == (30, 30, 3)


def test_training_seeds_are_pooled(logits: pd.DataFrame) -> None:
    both = pd.concat([logits, logits.assign(seed=1)])
    found = bridge.breakage(both, resamples=50)
    assert set(found["seed"]) == {"0", "1", "all"}
    whole = found[found["seed"] == "all"]
    assert set(whole["seeds"]) == {2} and set(whole["covers"]) == {"seeds and pictures"}
    assert not whole[["first", "second"]].isna().any(axis=None)


def test_a_control_that_runs_out_of_maps_says_so() -> None:
    nets = {"one": net(8, 8), "two": net(8, 8, 1.5)}
    labels = dict.fromkeys(nets, RED | BLUE)
    heads = {name: bridge.look(own, X[RED + BLUE > 0], LAYERS, 0.5) for name, own in nets.items()}
    assert bridge.depth(heads) == 20 and bridge.depth(HEADS) == 10
    found = bridge.breakage(bridge.scores(nets, heads, X, labels, k=14, draws=2), 20)
    assert (found["k"] == 14).all() and (found["control"] == 6).all()


# ------------------------------------------------------------------------------- the networks that attribute


@pytest.mark.parametrize("kind", ["pixel", "dct"])
def test_networks_that_attribute_share_the_maps_before_the_branch(kind: str) -> None:
    model = attribution.build(kind, 64, ["progan", "stylegan"])
    channels = 3 if kind == "pixel" else 1
    g = torch.Generator().manual_seed(2)
    for _, task in model.tasks():
        for m in task.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                m.weight.data.normal_(0, 1.4 / m.weight[0].numel() ** 0.5, generator=g)
    nets = {
        name: attribution.folded(model, None if i == 0 else i - 1)
        for i, (name, _) in enumerate(model.tasks())
    }
    layers = bridge.shared_layers(nets)
    assert layers == [f"before.{i}.0" for i in range(4)]
    assert [nets["progan"].layers[layer] for layer in layers] == [3, 8, 16, 16]
    x = torch.rand(12, channels, 64, 64, generator=g)
    heads = {
        name: Head.of(ffrs.ff_rs(lifted(own, x), [x], confidence=0.5), layers) for name, own in nets.items()
    }
    assert len(bridge.overlap(heads, [5, 10])) == 6 and len(bridge.correlation(heads, permutations=99)) == 15
    labels = {name: np.arange(12) % (2 + i) == 0 for i, name in enumerate(nets)}
    frame = bridge.scores(nets, heads, x, labels, k=5, draws=2)
    found = bridge.breakage(frame, resamples=20)
    assert set(found["measured"]) == set(nets) == set(found["ranked"])
    assert np.isfinite(found["delta_ap"]).all()


def lifted(own: lrp.Net, x: Tensor) -> lrp.Net:
    """The network with another bias, by which it says yes to half of the pictures."""
    steps = list(own.steps)
    last = steps[-1].rule.to()
    last.bias = last.bias - own(x)[:, 0].median()  # type: ignore[attr-defined]
    return lrp.Net(
        [*steps[:-1], type(steps[-1])(steps[-1].name, last, steps[-1].inputs)], channels=own.channels
    )


# ------------------------------------------------------------------------------------------- what is refused


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match=r"none of 60 pictures has probability 0\.9"):
        bridge.look(NETS["red"], 0 * X, LAYERS)
    with pytest.raises(ValueError, match="confidence is 1"):
        bridge.look(NETS["red"], X, LAYERS, 1.0)
    whole = ffrs.ff_rs(NETS["red"], [X[RED == 1]], confidence=0.5)
    with pytest.raises(ValueError, match="no layer 'conv1'"):
        Head.of(whole, ["conv1"])
    with pytest.raises(ValueError, match=r"red has layers before\.0, before\.2, blue has before\.0"):
        bridge.overlap({"red": HEADS["red"], "blue": Head.of(whole, LAYERS[:1])}, [2])
    with pytest.raises(ValueError, match="1 tasks: expected two or more"):
        bridge.correlation({"red": HEADS["red"]})
    for k in (0, -1):
        with pytest.raises(ValueError, match=f"k is {k}: expected 1 to 10"):
            bridge.overlap(HEADS, [k])
    told = "k is 11, and red has 10 maps with any relevance: .* expected at most 10"
    with pytest.raises(ValueError, match=told):
        bridge.overlap(HEADS, [2, 11])
    with pytest.raises(ValueError, match=told):
        bridge.scores(NETS, HEADS, X, LABELS, 11)
    against = Branch(8, 0).double().eval()
    against.head[-1].weight.data *= -1
    with pytest.raises(ValueError, match=r"no map of before\.0, before\.2 speaks for the task in any of 60"):
        bridge.look(lrp.canonize(against, pixel_rule="zplus"), X, LAYERS, 0.5, threshold=-1e6)
    with pytest.raises(ValueError, match="expected a ranking and labels for every network"):
        bridge.scores(NETS, {k: HEADS[k] for k in ("red", "blue")}, X, LABELS, 3)
    with pytest.raises(ValueError, match=r"red: labels of shape \(60,\) for 10 pictures"):
        bridge.scores(NETS, HEADS, X[:10], LABELS, 3)
    other = {name: lrp.canonize(randomise(Branch(1, 1), 0, 8)) for name in NETS}
    wide = {name: known({"conv1": np.ones(4)}) for name in NETS}
    with pytest.raises(ValueError, match="the network of red has no layer 'conv1' of 4 maps"):
        bridge.scores(other, wide, X, LABELS, 3)
