"""Explanations in pixels: guided backpropagation by hand, Grad-CAM by hand, and the share on the object."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import GuidedBackprop
from PIL import Image
from scipy.stats import spearmanr
from torch import nn

from tff_core import detectors, figures, lrp
from tff_core.features import maxima, pixels
from tff_core.features.names import FeatureMap
from tff_core.miniature import camera, scenes
from tff_core.miniature.generators import FAMILIES
from tff_core.miniature.sample import KEEP_LAYOUT, layouts, sample, things
from tff_core.pictures import data
from tff_core.store.results import read_json, write_json

pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks")


class Tiny(nn.Module):
    """conv -> activation -> conv -> activation -> mean -> logit, small enough to differentiate by hand."""

    def __init__(self, activation, inplace=False):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.act = activation(inplace=inplace) if inplace else activation()
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        x = self.act(self.second(self.act(self.first(x))))
        return self.head(x.mean((2, 3)))


def by_hand(model, x, target, slope):
    """Guided backpropagation of Tiny: at each activation only positive gradients at positive inputs pass."""
    z1 = model.first(x)
    a1 = model.act(z1.clone())
    z2 = model.second(a1)
    g = model.head.weight[target].view(1, 5, 1, 1).expand_as(z2) / (z2.shape[2] * z2.shape[3])
    g = g.clamp(min=0) * slope(z2) * (z2 > 0)
    g = nn.functional.conv_transpose2d(g, model.second.weight, padding=1)
    g = g.clamp(min=0) * slope(z1) * (z1 > 0)
    return nn.functional.conv_transpose2d(g, model.first.weight, padding=1)


def swish_slope(z):
    s = torch.sigmoid(z)
    return s + z * s * (1 - s)


@pytest.mark.parametrize(
    ("activation", "inplace", "slope"),
    [(nn.ReLU, False, torch.ones_like), (nn.ReLU, True, torch.ones_like), (nn.SiLU, False, swish_slope)],
)
@torch.no_grad()
def test_guided_backpropagation_and_gradcam_by_hand(activation, inplace, slope):
    model = Tiny(activation, inplace).eval()
    x = torch.randn(2, 3, 6, 6)
    cam, product = pixels.guided_gradcam(model, x, layer="second", target=1)

    features = model.second(model.act(model.first(x)))
    weight = torch.autograd.functional.jacobian(
        lambda z: model.head(model.act(z.clone()).mean((2, 3)))[:, 1].sum(), features
    ).mean((2, 3), keepdim=True)
    expected = (weight * features).sum(1, keepdim=True).clamp(min=0)
    largest = expected.amax((2, 3), keepdim=True)
    expected = torch.where(largest > 0, expected / largest, expected)
    assert torch.allclose(cam, expected, atol=1e-5)
    assert torch.equal(pixels.gradcam(model, x, layer="second", target=1), cam)
    assert torch.allclose(product, expected * by_hand(model, x, 1, slope), atol=1e-6)


def test_guided_swish_has_the_value_of_swish_and_the_masks_of_guided_backpropagation():
    x = torch.tensor([-3.0, -0.5, 0.5, 3.0, 0.5, 3.0], requires_grad=True)
    y = pixels.GuidedSwish()(x)
    assert torch.allclose(y, nn.functional.silu(x))
    y.backward(torch.tensor([1.0, 1.0, 1.0, 2.0, -1.0, -2.0]))
    slope = swish_slope(x.detach())
    assert torch.allclose(
        x.grad, torch.stack([0 * slope[0], 0 * slope[0], slope[2], 2 * slope[3], 0 * slope[0], 0 * slope[0]])
    )


def test_the_model_is_left_alone_and_the_copy_computes_the_same():
    model = detectors.build("efb0")
    before = {name: type(m) for name, m in model.named_modules()}
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        logit = model(x)
        twin = pixels.guided(model)
        assert torch.allclose(twin(x), logit, atol=1e-6)
    pixels.guided_gradcam(model, x)
    assert {name: type(m) for name, m in model.named_modules()} == before
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
    swishes = [m for m in twin.modules() if isinstance(m, pixels.GuidedSwish)]
    assert len(swishes) == sum(isinstance(m, pixels._SWISHES) for m in model.modules()) > 0


def test_captum_alone_does_not_guide_through_swish():
    model = Tiny(nn.SiLU).eval()
    x = torch.randn(1, 3, 6, 6, requires_grad=True)
    plain = torch.autograd.grad(model(x)[:, 1].sum(), x)[0]
    assert torch.allclose(GuidedBackprop(model).attribute(x, 1), plain, atol=1e-6)
    assert not torch.allclose(GuidedBackprop(pixels.guided(model)).attribute(x, 1), plain, atol=1e-3)


def test_a_model_that_cannot_be_guided_is_refused():
    with pytest.raises(ValueError, match="has no ReLU, ReLU6, SiLU or hard swish"):
        pixels.guided(nn.Sequential(nn.Conv2d(3, 1, 1), nn.Tanh()))
    model = Tiny(nn.ReLU).eval()
    with pytest.raises(ValueError, match="no module 'third'"):
        pixels.guided_gradcam(model, torch.randn(1, 3, 6, 6), layer="third")
    with pytest.raises(ValueError, match="training mode"):
        pixels.guided_gradcam(model.train(), torch.randn(1, 3, 6, 6), layer="second")


def plain(logits):
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, logits)).double().eval()


def test_relevance_of_the_pixels_explains_each_pictures_own_decision():
    x = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    model = plain(1)
    with torch.no_grad():
        model[-1].bias -= model(x).median()  # some are called fake, some real
    net = lrp.canonize(model)
    assert 0 < int((net(x) > 0).sum()) < 5
    found = pixels.relevance(net, x, batch_size=2)
    assert found.shape == x.shape
    assert torch.allclose(found, lrp.relevance(net, x, pixels=True).pixels)
    third = lrp.canonize(plain(4), target=2)
    start = third(x)[:, [2]].abs()
    assert torch.allclose(
        pixels.relevance(third, x), lrp.relevance(third, x, start=start, pixels=True).pixels
    )


def test_relevance_of_several_logits_explains_the_largest_of_each_picture():
    x = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    model = plain(4)
    with torch.no_grad():
        model[-1].bias -= model(x).median(0).values  # no class wins everywhere
        model[-1].bias -= model(x).amax(1)[0] + 0.1  # and the winner of the first picture is negative
    net = lrp.canonize(model)
    logits = net(x)
    chosen = logits.argmax(1)
    assert len(set(chosen.tolist())) > 1 and logits[0].max() < 0
    found = pixels.relevance(net, x, batch_size=4)
    for i, target in enumerate(chosen.tolist()):
        start = torch.zeros(1, 4, dtype=x.dtype)
        start[0, target] = logits[i, target]
        assert torch.allclose(found[[i]], lrp.relevance(net, x[[i]], start=start, pixels=True).pixels)


def test_decisions_gives_each_answer_of_a_detector_its_logit():
    x = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    model = plain(1)
    f = model(x).detach()
    both = pixels.decisions(model, threshold=0.25)
    assert torch.allclose(both(x), torch.cat([0.25 - f, f - 0.25], 1))
    assert torch.equal(model(x), f) and not any(m.training for m in both.modules())
    # at threshold 0 the larger logit is abs(f), which is what LRP explains of one logit
    with torch.no_grad():
        model[-1].bias -= f.median()
    assert 0 < int((model(x) > 0).sum()) < 5
    one, two = (lrp.canonize(m) for m in (model, pixels.decisions(model)))
    assert torch.allclose(pixels.relevance(two, x), pixels.relevance(one, x))
    with pytest.raises(ValueError, match="has 3 logits: expected one"):
        pixels.decisions(plain(3))


@pytest.mark.slow
@pytest.mark.parametrize("arch", list(detectors.ARCHITECTURES))
def test_both_networks_can_be_explained_untrained_without_a_warning(arch):
    torch.manual_seed(0)
    x = torch.randn(4, 3, 32, 32)
    blank = detectors.build(arch)
    before = {key: value.clone() for key, value in blank.state_dict().items()}
    measured = pixels.with_norms_of(blank, x)
    assert all(torch.equal(value, before[key]) for key, value in blank.state_dict().items())
    assert not any(m.training for m in measured.modules())
    assert not any(p.requires_grad for p in measured.parameters())
    model = pixels.decisions(measured)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        product = pixels.guided_gradcam(model, x)[1]
        heatmaps = pixels.heat(pixels.relevance(lrp.canonize(model), x))
    assert product.shape == x.shape and product.isfinite().all()
    assert np.isfinite(heatmaps).all() and (heatmaps.max(axis=(1, 2)) == 1).all()
    # with its statistics measured, the network neither fades nor explodes
    with torch.no_grad():
        assert 1e-4 < float(measured(x).std()) < 1e2


def test_edges_are_where_luma_changes():
    picture = torch.zeros(2, 3, 4, 6, dtype=torch.uint8)
    picture[0, :, :, 3:] = 200  # black beside gray: one edge, seen from both sides
    found = pixels.edges(picture)
    assert found[0].tolist() == [[0, 0, 1, 1, 0, 0]] * 4
    assert not found[1].any()


def test_likeness_is_spearmans_correlation():
    rng = np.random.default_rng(0)
    one = rng.uniform(size=(4, 5, 6))
    other = one + rng.uniform(size=one.shape)
    other[1] = -one[1]
    one[2] = np.maximum(one[2] - 0.6, 0)  # ties, as in heatmaps
    other[3] = 0.5
    found = pixels.likeness(one, other)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one[:3], other[:3], strict=True)]
    assert found[:3] == pytest.approx(expected) and found[1] == -1
    assert np.isnan(found[3])
    with pytest.raises(ValueError, match=r"expected \(N, H, W\) of both"):
        pixels.likeness(one, other[:2])


def test_heat_of_a_hand_case():
    a = torch.tensor([[[[1.0, -3.0]], [[1.0, 1.0]]], [[[-1.0, -1.0]], [[0.0, 0.0]]]])  # (2, 2, 1, 2)
    assert pixels.heat(a).tolist() == [[[1.0, 0.0]], [[0.0, 0.0]]]  # the empty map stays zero, not NaN
    assert pixels.heat(torch.tensor([[[[2.0, 1.0]]]])).tolist() == [[[1.0, 0.5]]]
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        pixels.heat(a[0])


def test_overlay_goes_from_gray_to_light():
    picture = np.full((1, 1, 3, 3), 200, dtype=np.uint8)
    shown = pixels.overlay(picture, [[[0.0, 0.5, 1.0]]], weight=0.5)
    assert shown[0, 0, 0].tolist() == [100, 100, 100]  # no heat: half of the gray
    assert shown[0, 0, 2].tolist() == pytest.approx([100 + 127.5 * c for c in (1.0, 0.95, 0.7)], abs=1)
    brightness = shown[0, 0].sum(axis=-1)
    assert (np.diff(brightness.astype(int)) > 0).all()
    with pytest.raises(ValueError, match="heatmaps of shape"):
        pixels.overlay(picture, [[0.0, 0.5, 1.0]])


def test_enlarging_repeats_or_leaves_out_pixels():
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    found = pixels.enlarge(picture, (1, 2, 3, 4), 4)
    assert found.tolist() == picture[1:3, 2:4].repeat(2, axis=0).repeat(2, axis=1).tolist()
    assert pixels.enlarge(picture, (0, 0, 4, 4), 2).tolist() == picture[1::2, 1:4:2].tolist()
    assert pixels.enlarge(picture, (3, 4, 4, 5), 3).tolist() == np.tile(picture[3, 4], (3, 3, 1)).tolist()
    for box in ((0, 0, 0, 2), (0, 0, 5, 2), (-1, 0, 2, 2)):
        with pytest.raises(ValueError, match="not inside a picture"):
            pixels.enlarge(picture, box, 4)


def test_a_patch_is_put_back_where_it_came_from():
    relevance = torch.arange(12.0).reshape(3, 2, 2)
    patch = maxima.Patch(FeatureMap("conv", 0, 1), 0, 1.0, 0, (1, 2, 3, 4), (5, 6), relevance, relevance)
    whole = pixels.in_place(patch)
    assert whole.shape == (3, 5, 6)
    assert torch.equal(whole[:, 1:3, 2:4], relevance) and whole.sum() == relevance.sum()


def test_share_on_the_object_of_a_hand_case():
    heat = np.array([[[1.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mask = np.array([[[True, False], [False, True]], [[True, False], [False, False]]])
    share, area = pixels.share_on(heat, mask)
    assert share[0] == 3 / 4 and np.isnan(share[1])
    assert area.tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="1 of 2 masks are empty or full"):
        pixels.share_on(heat, mask & np.array([True, False])[:, None, None])
    with pytest.raises(ValueError, match="negative"):
        pixels.share_on(-heat, mask)


def test_an_explanation_that_ignores_the_object_has_equal_shares_on_average():
    rng = np.random.default_rng(0)
    masks = rng.uniform(size=(400, 8, 8)) < rng.uniform(0.2, 0.8, size=(400, 1, 1))
    share, area = pixels.share_on(rng.exponential(size=(400, 8, 8)), masks)
    assert np.mean(share) == pytest.approx(np.mean(area), abs=0.01)


def test_focus_of_a_hand_case():
    area = np.array([0.2, 0.4, 0.6])
    shares = {
        "detector": {0: np.array([0.2, 0.4, 0.6]), 7: np.array([0.4, np.nan, 0.6])},
        "classifier": {0: np.array([0.4, 0.6, 0.8])},
    }
    table = pixels.focus(shares, area, least=3, n=200).set_index(["model", "seed"])
    assert list(table.index) == [("detector", "0"), ("detector", "7"), ("detector", "all"),
                                 ("classifier", "0"), ("classifier", "all"),
                                 ("detector - classifier", "all")]  # fmt: skip
    assert table.loc[("detector", "0"), "ratio"] == pytest.approx(1)
    assert table.loc[("detector", "0"), "low"] == pytest.approx(1)  # equal shares in every resample
    assert table.loc[("detector", "7"), "ratio"] == pytest.approx(1.0 / 0.8)
    assert table.loc[("detector", "all"), "ratio"] == pytest.approx(2.2 / 2.0)
    assert table.loc[("classifier", "all"), "ratio"] == pytest.approx(1.8 / 1.2)
    both = table.loc[("detector - classifier", "all")]
    assert both["value"] == pytest.approx((-0.2 * 4 + 0.0) / 2.0)
    # two seeds that disagree exclude nothing
    assert (
        both["low"] < both["value"] < 0 < both["high"]
        and both["covers"] == "seeds and pictures"
        and np.isnan(both["ratio"])
    )
    assert table.loc[("detector", "7"), ["n", "empty"]].tolist() == [2, 1]
    assert table.loc[("detector", "all"), ["n", "empty"]].tolist() == [3, 1]
    kept = table[table["ratio"].notna()]
    assert np.allclose(kept["share"] / kept["area"], kept["ratio"])
    assert kept["value"].equals(kept["ratio"])
    few = pixels.focus(shares, area, n=200)
    assert few["low"].isna().all() and few["value"].tolist() == table["value"].tolist()


def test_focus_without_a_heatmap_has_no_number_and_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = pixels.focus({"detector": {0: [np.nan, np.nan]}, "classifier": {0: [0.1, 0.2]}}, [0.1, 0.1])
    row = table[table["model"] == "detector"].iloc[-1]
    assert np.isnan(row["value"]) and np.isnan(row["low"]) and row["n"] == 0 and row["empty"] == 2
    assert np.isnan(table.iloc[-1]["value"]) and table.iloc[-1]["n"] == 0
    assert set(pixels.focus({"detector": {0: [0.1]}}, [0.1])["model"]) == {"detector"}
    with pytest.raises(ValueError, match="one share per picture"):
        pixels.focus({"detector": {0: [0.1]}}, [0.1, 0.2])


def test_the_interval_of_focus_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        area = rng.uniform(0.1, 0.6, 40)
        share = area * rng.normal(1.3, 0.3, 40)
        row = pixels.focus({"detector": {0: share}}, area, n=300).iloc[-1]
        hits += row["low"] <= 1.3 <= row["high"]
    assert 86 <= hits <= 100


# --- segmentations of the miniature

SHIPPED = [generator for generator in KEEP_LAYOUT if generator in FAMILIES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("miniature")
    for generator in ("progan", *SHIPPED):
        sample("test", generator, out / generator, 12, seed=3, progress=False)
    return {path.name: data.scan(path) for path in out.iterdir()}


@pytest.mark.slow
def test_a_real_is_drawn_again_pixel_by_pixel(folders):
    for images in folders.values():
        reals = images.where(label=0)
        for path, scene in zip(reals.paths, layouts(reals), strict=True):
            assert np.array_equal(np.asarray(Image.open(path)), scene.pixels)
            assert scene.segments.shape == scene.pixels.shape[:2]


def explained(picture, segments):
    """How much of the variance of a picture the means of its segments explain."""
    values = picture.reshape(-1, 3).astype(float)
    rest = sum(
        ((values[segments.ravel() == s] - values[segments.ravel() == s].mean(0)) ** 2).sum()
        for s in np.unique(segments)
    )
    return 1 - rest / ((values - values.mean(0)) ** 2).sum()


@pytest.mark.slow
@pytest.mark.parametrize("generator", SHIPPED)
def test_a_fake_that_keeps_the_layout_fits_its_own_segmentation_best(folders, generator):
    fakes = folders[generator].where(label=1)
    behind = layouts(fakes)
    assert all(scene is not None for scene in behind)
    shown = [np.asarray(Image.open(path)) for path in fakes.paths]
    best, margin = 0, []
    for i, picture in enumerate(shown):
        same = [j for j, scene in enumerate(behind) if scene.label == behind[i].label]
        fit = {j: explained(picture, behind[j].segments) for j in same}
        best += max(fit, key=fit.get) == i
        margin.append(fit[i] - np.mean([value for j, value in fit.items() if j != i]))
        # shifted by a few pixels it fits worse: the layout is that of the source, not merely like it
    assert best >= 10 and np.mean(margin) > 0.05
    own = np.mean([explained(p, s.segments) for p, s in zip(shown, behind, strict=True)])
    for shift in ((0, 4), (4, 0), (0, -4), (-4, 0)):
        moved = [
            explained(p, np.roll(s.segments, shift, axis=(0, 1))) for p, s in zip(shown, behind, strict=True)
        ]
        assert np.mean(moved) < own


@pytest.mark.slow
def test_fakes_that_blend_two_scenes_have_no_segmentation(folders):
    images = folders["progan"]
    assert [scene is None for scene in layouts(images)] == [label == 1 for label in images.labels]


@pytest.mark.slow
def test_pictures_of_other_origin_have_no_segmentation(folders, tmp_path):
    for label in data.LABELS:
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / label / "00000.png")
    images = data.scan(tmp_path)
    assert layouts(images) == [None, None]
    write_json(tmp_path / data.MANIFEST, ["another manifest"])
    assert layouts(images) == [None, None]
    # a foreign picture in a folder of ours
    manifest = read_json(folders["stargan"].root / data.MANIFEST)
    write_json(tmp_path / data.MANIFEST, manifest)
    Image.new("RGB", (8, 8)).save(tmp_path / "0_real" / "mine.png")
    assert [scene is None for scene in layouts(data.scan(tmp_path).where(label=0))] == [False, True]
    manifest["config"]["drawing"] = "old"
    write_json(tmp_path / data.MANIFEST, manifest)
    with pytest.raises(ValueError, match=r"drawn by another version of the miniature \(old\): expected"):
        layouts(images)


def test_things_are_objects_with_a_shape_of_their_own():
    seen = {}
    for label in scenes.CLASSES:
        found = [camera.take("test", label, i) for i in range(6)]
        seen[label] = {
            scenes.SEGMENTS[s] for scene in found for s in np.unique(scene.segments[things(scene)])
        }
        assert all(0 <= things(scene).mean() < 1 for scene in found)
    assert seen["pebbles"] == {"pebble"} and seen["stilllife"] == {"object"}
    assert seen["facade"] <= {"window", "door"} and seen["landscape"] <= {"foliage"}


# --- figures


def attribution():
    """Rows as a chapter writes them, of two generators and one without a number."""
    rng = np.random.default_rng(0)
    parts = []
    for generator in ("progan", "gaugan"):
        area = rng.uniform(0.1, 0.6, 20)
        for method in ("guided_gradcam", "lrp", "edges"):
            own = {"detector": {0: area * 1.1, 1: area * 1.2}, "classifier": {0: area * 1.5},
                   "untrained": {0: area}} if method != "edges" else {"edges": {0: area * 1.3}}  # fmt: skip
            own = {m: {s: v + rng.normal(0, 0.05, 20) for s, v in of.items()} for m, of in own.items()}
            parts.append(pixels.focus(own, area, n=50).assign(generator=generator, method=method))
    none = {"model": "detector - classifier", "seed": "all", "generator": "mine", "method": "lrp", "n": 0}
    return pd.concat([*parts, pd.DataFrame([none])], ignore_index=True)


@pytest.mark.parametrize("draw", [figures.object_shares, figures.share_differences])
def test_figures_have_caption_and_alternative_and_leave_out_what_has_no_number(draw):
    for table in (attribution(), attribution().query("generator == 'mine'")):
        figure = draw(table)
        text = figure.to_json()
        assert json.loads(text) and len(text) < 200_000
        assert figures.caption(figure).endswith(".") and len(figures.alt(figure)) > 20
        assert "nan" not in figures.alt(figure).lower() and "mine" not in text
        for menu in figure.layout.updatemenus:
            choices = [button.args[0]["visible"] for button in menu.buttons]
            assert all(len(choice) == len(figure.data) for choice in choices)
            assert list(choices[0]) == [t.visible in (None, True) for t in figure.data]


def test_figures_draw_the_numbers_of_the_table():
    table = attribution()
    figure = figures.object_shares(table)
    large = [t for t in figure.data if t.name == "detector"]
    for trace, method in zip(large, figures.pixels.METHODS, strict=True):
        rows = table[(table["model"] == "detector") & (table["seed"] == "all") & (table["method"] == method)]
        assert list(trace.x) == pytest.approx(rows["value"].tolist())
        assert list(trace.x - trace.error_x.arrayminus) == pytest.approx(rows["low"].tolist())
    names = [t.name for t in figure.data if t.name]
    assert names == 2 * ["detector", "classifier of scenes", "untrained network", "edges, no network"]
    forest = figures.share_differences(table)
    rows = table.query("model == 'detector - classifier' and method == 'lrp' and n > 0")
    assert list(forest.data[1].x) == pytest.approx(rows["value"].tolist())


def test_a_thumbnail_is_the_patch_of_what_the_detector_sees(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = pixels.thumbnail(tmp_path / "a.png", (1, 2, 3, 4), 4, data.IMAGENET)
    assert np.array_equal(found, picture[1:3, 2:4].repeat(2, 0).repeat(2, 1))
    assert not pixels.thumbnail(tmp_path / "a.png", None, 4, data.IMAGENET).any()
