"""Colour: pictures altered, medians, and the tests of feature maps, against Pillow, scipy and hand cases."""

import numpy as np
import pytest
import torch
import torchvision
from lrp_nets import toy
from PIL import Image
from scipy import stats
from sklearn.metrics import average_precision_score

from tff_core import lrp
from tff_core.features import color
from tff_core.features.names import FeatureMap
from tff_core.pictures import data


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 9, 7), generator=generator, dtype=torch.uint8)


def muted(pixels):
    """Pictures with so little chroma that nothing needs clipping."""
    return (96 + pixels // 4).to(torch.uint8)


# ---------------------------------------------------------------------------------------------- pictures


def test_luma_and_chroma_are_those_of_jpeg(pixels):
    found = color.ycbcr(pixels)
    for i, picture in enumerate(pixels):
        jpeg = Image.fromarray(picture.permute(1, 2, 0).numpy()).convert("YCbCr")
        expected = np.asarray(jpeg, dtype=float) - [0, 128, 128]
        assert np.abs(found[i].permute(1, 2, 0).numpy() - expected).max() <= 1.0


def test_every_colour_survives_the_way_there_and_back():
    levels = torch.arange(0, 256, 5)
    cube = (
        torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij"))
        .reshape(1, 3, 52, -1)
        .to(torch.uint8)
    )
    back = color.rgb(color.ycbcr(cube))
    assert torch.equal(back.pixels, cube)
    assert float(back.clipped) == 0


def test_an_exchange_takes_luma_from_one_and_chroma_from_the_other(pixels):
    first, second = muted(pixels), muted(pixels.flip(0))
    mixed = color.exchange(first, second)
    assert mixed.clipped.eq(0).all()
    found = color.ycbcr(mixed.pixels)
    assert (found[:, :1] - color.ycbcr(first)[:, :1]).abs().max() <= 0.5 + 1e-9  # rounding of three channels
    assert (found[:, 1:] - color.ycbcr(second)[:, 1:]).abs().max() <= 0.5 + 1e-9
    assert torch.equal(color.exchange(pixels, pixels).pixels, pixels)


def test_exchanging_back_restores_both_sets(pixels):
    first, second = muted(pixels), muted(pixels.flip(0))
    one, other = color.exchange(first, second).pixels, color.exchange(second, first).pixels
    back = color.exchange(one, other).pixels
    assert (back.int() - first.int()).abs().max() <= 2  # each way rounds once


def test_clipped_pixels_are_counted():
    white, blue = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    blue[:, 2, 0, 0] = 255  # one pixel of four asks white for a chroma that it cannot have
    mixed = color.exchange(white, blue)
    assert mixed.clipped.tolist() == [0.25]
    assert mixed.pixels[0, :, 0, 1].tolist() == [255, 255, 255]


def test_saturation_zero_is_the_gray_of_the_ablation(pixels):
    gray = color.saturate(pixels, 0).pixels
    assert (gray.int() - data.grayscale(pixels).int()).abs().max() <= 1
    assert torch.equal(gray[:, 0], gray[:, 1]) and torch.equal(gray[:, 0], gray[:, 2])
    assert torch.equal(color.saturate(pixels, 1).pixels, pixels)
    values = color.ycbcr(muted(pixels))
    half = color.ycbcr(color.saturate(muted(pixels), 0.5).pixels)
    assert (half[:, 1:] - values[:, 1:] / 2).abs().max() <= 0.5 + 1e-9


def test_hue_turns_round_and_keeps_luma_and_saturation(pixels):
    soft = muted(pixels)
    assert torch.equal(color.turn(pixels, 0).pixels, pixels)
    assert torch.equal(color.turn(pixels, 360).pixels, pixels)
    values, turned = color.ycbcr(soft), color.ycbcr(color.turn(soft, 90).pixels)
    assert (turned[:, 0] - values[:, 0]).abs().max() <= 0.5 + 1e-9
    assert (turned[:, 1] + values[:, 2]).abs().max() <= 0.5 + 1e-9  # a quarter turn: Cb becomes -Cr,
    assert (turned[:, 2] - values[:, 1]).abs().max() <= 0.5 + 1e-9  # and Cr becomes Cb


def test_wrong_pictures_are_refused_in_one_sentence(pixels):
    with pytest.raises(ValueError, match="equally many pictures"):
        color.exchange(pixels, pixels[:2])
    with pytest.raises(ValueError, match="saturation factor"):
        color.saturate(pixels, -1)
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        color.ycbcr(pixels[0])


def test_partners_are_others_of_the_same_class_each_used_once():
    groups = ["a", "b", "a", "b", "a"]
    found = color.partners(groups, 0)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert all(found[i] != i and groups[found[i]] == groups[i] for i in range(5))
    assert list(color.partners(groups, 0)) == list(found)
    with pytest.raises(ValueError, match="'c' has 1"):
        color.partners([*groups, "c"], 0)


def test_probabilities_do_not_depend_on_the_batches(pixels):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 9 * 7, 1)).eval()
    whole = color.probabilities(model, pixels)
    assert np.allclose(color.probabilities(model, pixels, batch_size=3), whole, atol=1e-7)
    with torch.no_grad():
        logit = model(data.normalize(pixels))[:, 0]
    assert np.allclose(whole, 1 / (1 + np.exp(-logit.double().numpy())), atol=1e-7)
    other = data.Preprocessing(mean=(0.5, 0.4, 0.3), std=(1.0, 2.0, 0.5))
    with torch.no_grad():
        logit = model(data.normalize(pixels, other))[:, 0]
    own = color.probabilities(model, pixels, preprocessing=other)
    assert np.allclose(own, 1 / (1 + np.exp(-logit.double().numpy())), atol=1e-7)
    assert not np.allclose(own, whole, atol=1e-3)


# ------------------------------------------------------------------------------------- median probability


def test_drop_of_median_of_a_known_case():
    before, after = np.array([0.9, 0.8, 0.7]), np.array([0.1, 0.6, 0.2])
    found = color.drop_of_median(before, after)
    assert found.value == pytest.approx(0.8 - 0.2)
    assert found.low <= found.value <= found.high
    constant = color.drop_of_median(before, before - 0.3)  # the same for every picture: nothing is uncertain
    assert constant == (*[pytest.approx(0.3)] * 3, 1)


def test_the_interval_of_the_drop_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        base = rng.normal(size=60)
        before, after = base + 1.0, base + rng.normal(size=60)  # population medians 1 and 0
        found = color.drop_of_median(before, after, n=300, seed=i)
        covered += found.low <= 1.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.995


def test_the_drop_over_seeds_is_their_mean_and_pictures_may_count_for_one_seed_only():
    before = np.array([[0.9, 0.8, 0.7], [0.6, np.nan, 0.4], [np.nan] * 3])
    after = np.array([[0.1, 0.6, 0.2], [0.5, np.nan, 0.3], [np.nan] * 3])
    found = color.drop_of_median(before, after)
    assert found.value == pytest.approx((0.6 + 0.1) / 2)
    assert found.low <= found.value <= found.high
    with pytest.raises(ValueError, match="no picture counts"):
        color.drop_of_median(before[2], after[2])
    with pytest.raises(ValueError, match="both values of every picture"):
        color.drop_of_median(before[0], after[1])


def test_average_of_a_known_case_and_its_interval():
    called = np.r_[np.ones(30), np.zeros(70)] > 0
    found = color.average(called)
    assert found.value == pytest.approx(0.3)
    expected = stats.binom(100, 0.3).ppf([0.025, 0.975]) / 100  # resampling a share is binomial
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.011)
    again = color.average(np.stack([called, called]))  # two seeds that agree: the pictures alone
    assert (*again[:3], again.seeds) == (*[pytest.approx(x, abs=0.015) for x in found[:3]], 2)
    apart = color.average(np.stack([np.ones(50), np.zeros(50)]) > 0)  # seeds that disagree: anything
    assert (apart.value, apart.covers) == (0.5, "seeds and pictures") and 0 <= apart.low < 0.01
    assert 0.99 < apart.high <= 1
    with pytest.raises(ValueError, match="expected one for every picture"):
        color.average([])


def test_pooling_equal_seeds_changes_no_number_and_hardly_an_interval():
    rng = np.random.default_rng(2)
    p_color, p_gray, labels = rng.uniform(size=30), rng.uniform(size=30), rng.integers(0, 2, size=30)
    one = color.ablation(p_color, p_gray, labels, 0.4)
    two = color.ablation(np.stack([p_color] * 2), np.stack([p_gray] * 2), labels, [0.4, 0.4])
    same = ["label", "filter", "input", "median", "called_fake", "drop"]
    assert one[same].equals(two[same])
    assert (one["high"] - one["low"]).to_numpy() == pytest.approx(two["high"] - two["low"], rel=0.15)
    assert set(one["covers"]) == {"pictures only"} and set(two["covers"]) == {"seeds and pictures"}
    assert (two["n"] == 2 * one["n"]).all()
    with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
        color.ablation(p_color + 1, p_gray, labels)


def test_ablation_of_a_hand_case():
    p_color = [0.9, 0.1, 0.6, 0.3, 0.1, 0.95]
    p_gray = [0.4, 0.1, 0.2, 0.7, 0.2, 0.90]
    labels = [1, 1, 1, 0, 0, 0]
    table = color.ablation(p_color, p_gray, labels, threshold=0.5).set_index(["label", "filter", "input"])
    assert len(table) == 8
    row = table.loc[("fake", "all", "color")]
    assert (row.n, row["median"], row["drop"]) == (3, 0.6, pytest.approx(0.4))
    assert row.called_fake == pytest.approx(2 / 3)
    kept = table.loc[("fake", "p >= 0.2", "gray")]  # the second fake has 0.1: out
    assert (kept.n, kept["median"], kept["drop"]) == (2, pytest.approx(0.3), pytest.approx(0.45))
    reals = table.loc[("real", "p >= 0.2", "color")]  # the last real has probability 0.05 of being real: out
    assert (reals.n, reals["drop"]) == (2, pytest.approx(0.2 - 0.45))
    assert table.loc[("real", "all", "gray")].called_fake == pytest.approx(2 / 3)
    assert (table["low"] <= table["drop"]).all() and (table["drop"] <= table["high"]).all()


def test_box_is_that_of_matplotlib():
    from matplotlib import cbook

    values = np.random.default_rng(1).beta(0.5, 0.2, size=80)
    expected = cbook.boxplot_stats(values)[0]
    table = color.ablation(values, values, np.ones(80, dtype=int)).iloc[0]
    found = [table.q1, table["median"], table.q3, table.fence_low, table.fence_high]
    assert found == pytest.approx([expected[k] for k in ("q1", "med", "q3", "whislo", "whishi")])


def test_a_filter_that_nothing_passes_says_so():
    table = color.ablation([0.1, 0.1], [0.1, 0.1], [1, 0]).set_index(["label", "filter", "input"])
    row = table.loc[("fake", "p >= 0.2", "color")]
    assert row.n == 0 and np.isnan(row["drop"]) and np.isnan(row["median"])


# -------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize(("n", "k"), [(20, 20), (31, 18), (2, 3)])
def test_mood_is_scipys_for_every_map(n, k):
    rng = np.random.default_rng(n)
    a = np.round(rng.normal(size=(n, 40)), 1)  # rounding makes ties
    b = np.round(rng.normal(loc=np.linspace(-1, 1, 40), size=(k, 40)), 1)
    found = color.mood(a, b)
    assert not found.degenerate.any()
    assert found.p == pytest.approx([stats.median_test(a[:, i], b[:, i]).pvalue for i in range(40)])


def test_mood_where_scipy_raises():
    a, b = np.zeros((10, 3)), np.zeros((10, 3))
    a[:, 1], b[:, 1] = 1, 2
    a[0, 2] = 1
    with pytest.raises(ValueError, match="grand median"):
        stats.median_test(a[:, 0], b[:, 0])
    found = color.mood(a, b)
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
    found = color.wilcoxon(a, b)
    assert found.degenerate.tolist() == [False, False, False, True, False]
    assert found.p[3] == 1
    for i in (0, 1, 2, 4):
        assert found.p[i] == pytest.approx(stats.wilcoxon(a[:, i], b[:, i]).pvalue)


@pytest.mark.parametrize("test", [color.mood, color.wilcoxon])
def test_a_test_at_five_percent_errs_about_that_often(test):
    a, b = np.random.default_rng(4).normal(size=(2, 80, 2000))
    rate = np.mean(test(a, b).p <= 0.05)
    assert 0.015 <= rate <= 0.065  # Yates' correction keeps Mood's test below its level


def test_pairs_see_what_the_unpaired_test_does_not():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(60, 200))
    b = a - 0.2 + 0.1 * rng.normal(size=a.shape)  # each falls a little, far less than they differ
    assert np.mean(color.wilcoxon(a, b).p <= 0.05) == 1
    assert np.mean(color.mood(a, b).p <= 0.05) < 0.5


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
    found = color.maximum_activations(net, [x[:2], (x[2:], torch.zeros(3))], some)
    assert found.shape == (5, 3)
    assert np.allclose(found, expected, atol=1e-4)
    with pytest.raises(ValueError, match="no feature map"):
        color.maximum_activations(net, [x], [FeatureMap("conv1", 0, 32)])
    with pytest.raises(ValueError, match="0 batches of pictures"):
        color.maximum_activations(net, [], some)


def maps(n, layer="conv"):
    return [FeatureMap(layer, i, n) for i in range(n)]


def test_conditional_reports_medians_and_an_effect_in_units_of_spread():
    a = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    b = a - [[1.0, 0.0]]
    table = color.conditional(a, b, maps(2))
    assert table["map"].tolist() == ["conv.#0(T=2)", "conv.#1(T=2)"]
    assert table["median_color"].tolist() == [2, 5] and table["median_gray"].tolist() == [1, 5]
    assert table["shift"][0] == pytest.approx(0.5)  # falls by 1, interquartile range 2
    assert np.isnan(table["shift"][1]) and table["degenerate"].tolist() == [False, True]
    assert table["p_mood"][1] == table["p_wilcoxon"][1] == 1
    with pytest.raises(ValueError, match="2 columns of activations for 3 maps"):
        color.conditional(a, b, maps(3))
    with pytest.raises(ValueError, match="not finite"):
        color.conditional(a * np.nan, b, maps(2))


def test_shares_count_maps_and_hold_the_false_discovery_rate():
    table = color.conditional(np.zeros((9, 20)), np.zeros((9, 20)), maps(20))
    p = np.r_[0.001, 0.004, 0.03, 0.04, np.full(16, 0.9)]
    table["p_mood"], table["p_wilcoxon"], table["degenerate"] = p, 1.0, False
    found = color.shares(table, {"top-k": [maps(20)], "matched-k": [maps(20)[:2], maps(20)[4:]]})
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
        color.shares(table, {"top-k": [maps(1, "other")]})


def test_the_share_grows_with_the_number_of_pictures():
    rng = np.random.default_rng(6)
    a = rng.normal(size=(400, 60))
    b = rng.normal(loc=0.3, size=(400, 60))
    found = color.share_by_n(
        a, b, {"top-k": [np.arange(30)], "random-k": [np.arange(30, 60)]}, [20, 100, 400], 5
    )
    assert len(found) == 2 * (5 + 5 + 1)
    mean = found.groupby(["group", "n"])["share"].mean().unstack()
    assert (mean.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    whole = found[(found["n"] == 400) & (found["group"] == "top-k")]["share"].item()
    assert whole == np.mean(color.mood(a, b).p[:30] <= 0.05)
    with pytest.raises(ValueError, match="subset of 401"):
        color.share_by_n(a, b, {"top-k": [np.arange(3)]}, [401])


def sample(rng, n, shift, k=40):
    """2 k maps, of which the first k fall by ``shift`` when the pictures turn gray."""
    a = rng.normal(size=(n, 2 * k))
    b = rng.normal(size=(n, 2 * k))
    b[:, :k] -= shift
    return color.Sample(a, b, {"top-k": [np.arange(k)], "matched-k": [np.arange(k, 2 * k)]})


def test_contrast_is_the_difference_of_shares_of_halves():
    rng = np.random.default_rng(8)
    once = sample(rng, 40, 0.8)
    twice = color.Sample(np.r_[once.color, once.color], np.r_[once.gray, once.gray], once.members)
    found = color.contrast([once], splits=1, seed=3).iloc[0]
    order = np.random.default_rng(3).permutation(40)
    hits = [color.mood(once.color[o], once.gray[o]).p <= 0.05 for o in (order[:20], order[20:])]
    deltas = [hit[:40].mean() - hit[40:].mean() for hit in hits]
    assert found.contrast == "top-k - matched-k" and found.n == 20 and found.seeds == 1
    assert found.delta == pytest.approx(np.mean(deltas))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * abs(deltas[0] - deltas[1]) / 2)
    own = color.contrast([once], splits=1, seed=3).set_index("contrast").loc["top-k"]
    assert own.delta == pytest.approx((color.mood(once.color, once.gray).p <= 0.05)[:40].mean())
    assert own.n == 40 and 0 <= own.low < own.delta < own.high <= 1
    assert color.contrast([twice], splits=5).iloc[0].delta > found.delta  # more pictures, more power
    with pytest.raises(ValueError, match="the same, four or more"):
        color.contrast([once, twice])


def test_the_interval_of_the_contrast_covers_as_often_as_it_says_or_more():
    rng = np.random.default_rng(9)
    many = [color.contrast([sample(rng, 60, 0.5)], splits=40).iloc[0] for _ in range(60)]
    truth = np.mean([row.delta for row in many])
    assert np.mean([row.low <= truth <= row.high for row in many]) >= 0.93
    nothing = [color.contrast([sample(rng, 60, 0.0)], splits=40).iloc[0] for _ in range(40)]
    assert np.mean([row.low <= 0 <= row.high for row in nothing]) >= 0.9


# ----------------------------------------------------------------------------------- colour-robust detectors


def test_a_sample_holds_every_map_of_its_groups_once(pixels):
    torch.manual_seed(0)
    net = lrp.canonize(torchvision.models.resnet18(num_classes=1).eval())
    some = [FeatureMap("conv1", c, 64) for c in (5, 2, 9)]
    x = data.normalize(torch.nn.functional.interpolate(pixels, (40, 40)))
    gray = data.normalize(data.grayscale(torch.nn.functional.interpolate(pixels, (40, 40))))
    groups = {"top-k": [some[:2]], "matched-k": [some[1:], some[:1]]}
    found = color.sample(net, [x], [gray], groups)
    assert found.maps == tuple(some)
    assert [m.tolist() for m in found.members["matched-k"]] == [[1, 2], [0]]
    assert np.array_equal(found.color, color.maximum_activations(net, [x], some))
    assert np.array_equal(found.gray, color.maximum_activations(net, [gray], some))


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
    found = color.sample(net, *both, {"top-k": [some]})
    order = [i for *_, index in both[0] for i in index.tolist()]
    for values, turned in ((found.color, lambda x: x), (found.gray, data.grayscale)):
        for row, i in zip(values, order, strict=True):
            x = data.normalize(turned(data.read(images.paths[i]))[None], own)
            assert np.allclose(row, color.maximum_activations(net, [x], some)[0], atol=1e-5)


def logits(rng, labels, seeds, strength):
    return {s: labels * strength + rng.normal(size=len(labels)) for s in seeds}


def test_robustness_is_average_precision_and_its_paired_differences():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    universal = {"color": logits(rng, y, (0, 1), 2.0), "gray": logits(rng, y, (0, 1), 0.3)}
    robust = {"color": logits(rng, y, (1,), 1.8), "gray": logits(rng, y, (1,), 1.8)}
    table = color.robustness(y, universal, robust, n=400)
    found = table.set_index(["model", "input", "seed"])
    ap = {
        (m, i, str(s)): average_precision_score(y, values)
        for m, own in (("universal", universal), ("color-robust", robust))
        for i, by_seed in own.items()
        for s, values in by_seed.items()
    }
    for key, value in ap.items():
        assert found.loc[key, "ap"] == pytest.approx(value)
    assert found.loc[("universal", "gray", "all"), "ap"] == pytest.approx(
        (ap["universal", "gray", "0"] + ap["universal", "gray", "1"]) / 2
    )
    # only seed 1 has a twin: seed 0 has no part in the difference
    expected = ap["color-robust", "gray", "1"] - ap["universal", "gray", "1"]
    assert found.loc[("difference", "gray", "1"), "ap"] == pytest.approx(expected)
    seeds = table.query("model == 'difference' and input == 'gray'")["seed"]
    assert seeds.tolist() == ["1", "all"]
    same = ["ap", "ap_low", "ap_high"]
    assert found.loc[("difference", "gray", "all"), same].tolist() == pytest.approx(
        found.loc[("difference", "gray", "1"), same].tolist()
    )
    lost = ap["universal", "color", "0"] - ap["universal", "gray", "0"]
    assert found.loc[("universal", "color - gray", "0"), "ap"] == pytest.approx(lost)
    assert found.loc[("difference", "gray", "all"), "ap_low"] > 0
    assert (table["ap_low"] <= table["ap"]).all() and (table["ap"] <= table["ap_high"]).all()
    assert set(table["n_real"]) == set(table["n_fake"]) == {40}


def test_robustness_pairs_the_resamples_and_asks_for_a_common_seed():
    rng = np.random.default_rng(1)
    y = np.arange(60) % 2
    values = logits(rng, y, (0, 1), 1.0)
    both = {"color": values, "gray": values}
    found = color.robustness(y, both, both, n=200).set_index(["model", "input", "seed"])
    for model, kind in (("difference", "gray"), ("universal", "color - gray")):
        row = found.loc[(model, kind, "all"), ["ap", "ap_low", "ap_high"]]
        assert row.tolist() == pytest.approx([0, 0, 0], abs=1e-12)  # unpaired it would have a width
    other = {kind: {2: values[0]} for kind in ("color", "gray")}
    with pytest.raises(ValueError, match=r"universal: \[0, 1\], colour-robust: \[2\]"):
        color.robustness(y, both, other, n=10)


def test_before_and_after_are_shares_of_the_same_halves():
    rng = np.random.default_rng(2)
    before, after = sample(rng, 80, 1.2), sample(rng, 80, 0.0)
    table = color.before_after([before], [after], splits=30, seed=4)
    found = table.set_index(["model", "group"])
    assert found.loc[("universal", "top-k"), "share"] > 0.8
    assert found.loc[("color-robust", "top-k"), "high"] < 0.4
    for group in ("top-k", "matched-k", "top-k - matched-k"):
        share = {m: found.loc[(m, group), "share"] for m in ("universal", "color-robust", "difference")}
        assert share["difference"] == pytest.approx(share["color-robust"] - share["universal"])
    assert found.loc[("difference", "top-k"), "high"] < 0
    assert found.loc[("difference", "matched-k"), "low"] < 0 < found.loc[("difference", "matched-k"), "high"]
    # the same halves and the same interval as the contrast of chapter 7
    contrast = color.contrast([before], splits=30, seed=4).iloc[0]
    row = found.loc[("universal", "top-k - matched-k")]
    assert [row.share, row.low, row.high] == pytest.approx([contrast.delta, contrast.low, contrast.high])
    assert set(table["n"]) == {40} and set(table["k"]) == {40} and set(table["seeds"]) == {1}
    assert table.query("model != 'difference' and group != 'top-k - matched-k'")["low"].min() >= 0
    alike = color.before_after([before], [before], splits=3).set_index(["model", "group"])
    assert alike.loc["difference"][["share", "low", "high"]].eq(0).all(axis=None)


def test_before_and_after_refuse_what_cannot_be_compared():
    rng = np.random.default_rng(3)
    one = sample(rng, 20, 0.5)
    with pytest.raises(ValueError, match="1 samples before and 2 after"):
        color.before_after([one], [one, one])
    with pytest.raises(ValueError, match="same groups"):
        color.before_after([one], [one._replace(members={"top-k": [np.arange(3)]})])
    with pytest.raises(ValueError, match="same pictures"):
        color.before_after([one], [sample(rng, 24, 0.5)])
    with pytest.raises(ValueError, match="four or more"):
        color.before_after([sample(rng, 2, 0.5)], [sample(rng, 2, 0.5)])
