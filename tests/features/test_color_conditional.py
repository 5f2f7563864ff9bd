"""Tests of feature maps, colour against gray, against scipy, a hook and hand cases."""

import numpy as np
import pytest
import torch
import torchvision
from lrp_nets import toy
from PIL import Image
from scipy import stats

from tff_core import lrp
from tff_core.features import color_conditional
from tff_core.features.names import FeatureMap
from tff_core.pictures import data


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 9, 7), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("n", "k"), [(20, 20), (31, 18), (2, 3)])
def test_mood_is_scipys_for_every_map(n, k):
    rng = np.random.default_rng(n)
    a = np.round(rng.normal(size=(n, 40)), 1)  # rounding makes ties
    b = np.round(rng.normal(loc=np.linspace(-1, 1, 40), size=(k, 40)), 1)
    found = color_conditional.mood(a, b)
    assert not found.degenerate.any()
    assert found.p == pytest.approx([stats.median_test(a[:, i], b[:, i]).pvalue for i in range(40)])


def test_mood_where_scipy_raises():
    a, b = np.zeros((10, 3)), np.zeros((10, 3))
    a[:, 1], b[:, 1] = 1, 2
    a[0, 2] = 1
    with pytest.raises(ValueError, match="grand median"):
        stats.median_test(a[:, 0], b[:, 0])
    found = color_conditional.mood(a, b)
    assert found.degenerate.tolist() == [True, False, False]
    assert found.p[0] == 1
    assert found.p[1] == pytest.approx(stats.median_test(a[:, 1], b[:, 1]).pvalue) and found.p[1] < 1e-3
    assert found.p[2] == pytest.approx(stats.median_test(a[:, 2], b[:, 2]).pvalue)


def test_wilcoxon_is_scipys_and_survives_equal_pairs():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(60, 5))
    b = a + rng.normal(loc=[0, 0.2, 0.5, 0, 0], size=(60, 5))
    b[:, 3] = a[:, 3]
    b[:30, 4] = a[:30, 4]
    found = color_conditional.wilcoxon(a, b)
    assert found.degenerate.tolist() == [False, False, False, True, False]
    assert found.p[3] == 1
    for i in (0, 1, 2, 4):
        assert found.p[i] == pytest.approx(stats.wilcoxon(a[:, i], b[:, i]).pvalue)


@pytest.mark.parametrize("test", [color_conditional.mood, color_conditional.wilcoxon])
def test_a_test_at_five_percent_errs_about_that_often(test):
    a, b = np.random.default_rng(4).normal(size=(2, 80, 2000))
    rate = np.mean(test(a, b).p <= 0.05)
    assert 0.015 <= rate <= 0.065  # Yates' correction keeps Mood's test below its level


def test_pairs_see_what_the_unpaired_test_does_not():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(60, 200))
    b = a - 0.2 + 0.1 * rng.normal(size=a.shape)  # each falls a little, far less than they differ
    assert np.mean(color_conditional.wilcoxon(a, b).p <= 0.05) == 1
    assert np.mean(color_conditional.mood(a, b).p <= 0.05) < 0.5


def test_maximum_activations_are_those_that_a_hook_sees_after_batch_normalisation():
    torch.manual_seed(7)
    model = torchvision.models.resnet18(num_classes=1)
    model(torch.randn(4, 3, 48, 40))  # statistics of some batch
    model.eval()
    net = lrp.canonize(model)
    some = [
        FeatureMap("layer2.0.downsample.0", 5, 128),
        FeatureMap("conv1", 63, 64),
        FeatureMap("conv1", 0, 64),
    ]
    x = torch.randn(5, 3, 48, 40)
    seen = {}
    for layer, norm in (("layer2.0.downsample.0", model.layer2[0].downsample[1]), ("conv1", model.bn1)):
        norm.register_forward_hook(lambda m, i, o, k=layer: seen.__setitem__(k, o.clone()))
    with torch.no_grad():
        model(x)
    expected = torch.stack([seen[m.layer][:, m.channel].amax((1, 2)) for m in some], dim=1)
    found = color_conditional.maximum_activations(net, [x[:2], (x[2:], torch.zeros(3))], some)
    assert found.shape == (5, 3)
    assert np.allclose(found, expected, atol=1e-4)
    with pytest.raises(ValueError, match="no feature map"):
        color_conditional.maximum_activations(net, [x], [FeatureMap("conv1", 0, 32)])
    with pytest.raises(ValueError, match="0 batches of pictures"):
        color_conditional.maximum_activations(net, [], some)


def maps(n, layer="conv"):
    return [FeatureMap(layer, i, n) for i in range(n)]


def test_conditional_reports_medians_and_an_effect_in_units_of_spread():
    a = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    b = a - [[1.0, 0.0]]
    table = color_conditional.conditional(a, b, maps(2))
    assert table["map"].tolist() == ["conv.#0(T=2)", "conv.#1(T=2)"]
    assert table["median_color"].tolist() == [2, 5] and table["median_gray"].tolist() == [1, 5]
    assert table["shift"][0] == pytest.approx(0.5)  # falls by 1, interquartile range 2
    assert np.isnan(table["shift"][1]) and table["degenerate"].tolist() == [False, True]
    assert table["p_mood"][1] == table["p_wilcoxon"][1] == 1
    with pytest.raises(ValueError, match="2 columns of activations for 3 maps"):
        color_conditional.conditional(a, b, maps(3))
    with pytest.raises(ValueError, match="not finite"):
        color_conditional.conditional(a * np.nan, b, maps(2))


def test_shares_count_maps_and_hold_the_false_discovery_rate():
    table = color_conditional.conditional(np.zeros((9, 20)), np.zeros((9, 20)), maps(20))
    p = np.r_[0.001, 0.004, 0.03, 0.04, np.full(16, 0.9)]
    table["p_mood"], table["p_wilcoxon"], table["degenerate"] = p, 1.0, False
    found = color_conditional.shares(table, {"top-k": [maps(20)], "matched-k": [maps(20)[:2], maps(20)[4:]]})
    assert found["group"].tolist() == ["top-k", "matched-k", "matched-k"] and found["draw"].tolist() == [
        0,
        0,
        1,
    ]
    top = found.iloc[0]
    assert top.share_mood == pytest.approx(4 / 20) and top.share_wilcoxon == 0
    # Benjamini-Hochberg by hand: p(1) <= 0.05 / 20, p(2) <= 0.1 / 20, p(3) > 0.15 / 20, p(4) > 0.2 / 20
    assert top.share_mood_bh == pytest.approx(2 / 20)
    assert found["share_mood"].tolist() == pytest.approx([0.2, 1.0, 0.0])
    with pytest.raises(ValueError, match="top-k, draw 0: 1 of 1 maps were not tested"):
        color_conditional.shares(table, {"top-k": [maps(1, "other")]})


def test_the_share_grows_with_the_number_of_pictures():
    rng = np.random.default_rng(6)
    a = rng.normal(size=(400, 60))
    b = rng.normal(loc=0.3, size=(400, 60))
    found = color_conditional.share_by_n(
        a, b, {"top-k": [np.arange(30)], "random-k": [np.arange(30, 60)]}, [20, 100, 400], 5
    )
    assert len(found) == 2 * (5 + 5 + 1)
    mean = found.groupby(["group", "n"])["share"].mean().unstack()
    assert (mean.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    whole = found[(found["n"] == 400) & (found["group"] == "top-k")]["share"].item()
    assert whole == np.mean(color_conditional.mood(a, b).p[:30] <= 0.05)
    with pytest.raises(ValueError, match="subset of 401"):
        color_conditional.share_by_n(a, b, {"top-k": [np.arange(3)]}, [401])


def sample(rng, n, shift, k=40):
    """2 k maps, of which the first k fall by ``shift`` when the pictures turn gray."""
    a = rng.normal(size=(n, 2 * k))
    b = rng.normal(size=(n, 2 * k))
    b[:, :k] -= shift
    return color_conditional.Sample(a, b, {"top-k": [np.arange(k)], "matched-k": [np.arange(k, 2 * k)]})


def test_contrast_is_the_difference_of_shares_of_halves():
    rng = np.random.default_rng(8)
    once = sample(rng, 40, 0.8)
    twice = color_conditional.Sample(np.r_[once.color, once.color], np.r_[once.gray, once.gray], once.members)
    found = color_conditional.contrast([once], splits=1, seed=3).iloc[0]
    order = np.random.default_rng(3).permutation(40)
    hits = [color_conditional.mood(once.color[o], once.gray[o]).p <= 0.05 for o in (order[:20], order[20:])]
    deltas = [hit[:40].mean() - hit[40:].mean() for hit in hits]
    assert found.contrast == "top-k - matched-k" and found.n == 20 and found.seeds == 1
    assert found.delta == pytest.approx(np.mean(deltas))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * abs(deltas[0] - deltas[1]) / 2)
    own = color_conditional.contrast([once], splits=1, seed=3).set_index("contrast").loc["top-k"]
    assert own.delta == pytest.approx((color_conditional.mood(once.color, once.gray).p <= 0.05)[:40].mean())
    assert own.n == 40 and 0 <= own.low < own.delta < own.high <= 1
    assert (
        color_conditional.contrast([twice], splits=5).iloc[0].delta > found.delta
    )  # more pictures, more power
    with pytest.raises(ValueError, match="the same, four or more"):
        color_conditional.contrast([once, twice])


@pytest.mark.slow
def test_the_interval_of_the_contrast_covers_as_often_as_it_says_or_more():
    rng = np.random.default_rng(9)
    many = [color_conditional.contrast([sample(rng, 60, 0.5)], splits=40).iloc[0] for _ in range(60)]
    truth = np.mean([row.delta for row in many])
    assert np.mean([row.low <= truth <= row.high for row in many]) >= 0.93
    nothing = [color_conditional.contrast([sample(rng, 60, 0.0)], splits=40).iloc[0] for _ in range(40)]
    assert np.mean([row.low <= 0 <= row.high for row in nothing]) >= 0.9


def test_a_sample_holds_every_map_of_its_groups_once(pixels):
    torch.manual_seed(0)
    net = lrp.canonize(torchvision.models.resnet18(num_classes=1).eval())
    some = [FeatureMap("conv1", c, 64) for c in (5, 2, 9)]
    x = data.normalize(torch.nn.functional.interpolate(pixels, (40, 40)))
    gray = data.normalize(data.grayscale(torch.nn.functional.interpolate(pixels, (40, 40))))
    groups = {"top-k": [some[:2]], "matched-k": [some[1:], some[:1]]}
    found = color_conditional.sample(net, [x], [gray], groups)
    assert found.maps == tuple(some)
    assert [m.tolist() for m in found.members["matched-k"]] == [[1, 2], [0]]
    assert np.array_equal(found.color, color_conditional.maximum_activations(net, [x], some))
    assert np.array_equal(found.gray, color_conditional.maximum_activations(net, [gray], some))


def test_a_sample_pairs_colour_and_gray_of_pictures_of_several_sizes(tmp_path):
    net = lrp.canonize(toy(7).float())
    some = [FeatureMap("conv1", c, 4) for c in (3, 0)]
    rng = np.random.default_rng(1)
    for label in data.LABELS:
        (tmp_path / label).mkdir()
        for i, size in enumerate([(40, 24, 3), (32, 32, 3), (40, 24, 3), (29, 37, 3)]):
            Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    images, own = data.scan(tmp_path), data.Preprocessing(mean=(0.5,) * 3, std=(0.25,) * 3)
    both = [data.batches(images, 3, transform=t, preprocessing=own) for t in (None, data.grayscale)]
    found = color_conditional.sample(net, *both, {"top-k": [some]})
    order = [i for *_, index in both[0] for i in index.tolist()]
    for values, turned in ((found.color, lambda x: x), (found.gray, data.grayscale)):
        for row, i in zip(values, order, strict=True):
            x = data.normalize(turned(data.read(images.paths[i]))[None], own)
            assert np.allclose(row, color_conditional.maximum_activations(net, [x], some)[0], atol=1e-5)


def test_by_layer_gives_each_layer_its_own_share():
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(40, 6))
    b[:, :2] -= 5  # the two maps of the first layer respond
    names = (*maps(2, "first"), *maps(4, "second"))
    found = color_conditional.Sample(a, b, {"layers": [np.arange(6)]}, names)
    table = color_conditional.by_layer({"first": 2, "second": 4}, found, names[1:4])
    hit = color_conditional.mood(a, b).p <= 0.05
    assert table["share"].tolist() == [1.0, hit[2:].mean()]
    assert table["channels"].tolist() == [2, 4] and table["top"].tolist() == [1, 2]
