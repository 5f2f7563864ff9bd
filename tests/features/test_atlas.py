"""The atlas and the table of patches: cards hold what the tables say, the page searches and sorts them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lrp_nets import pictures, toy
from PIL import Image
from playwright.sync_api import Browser, Page

from tff_core import lrp, metrics
from tff_core.book import explorer
from tff_core.features import atlas, color_exchange, dropout, ffrs, maxima, patches
from tff_core.features.names import FeatureMap, anchor
from tff_core.pictures import data

STATIC = Path(__file__).parents[2] / "book" / "static"
MAPS = [
    FeatureMap("layer1.0.conv1", 63, 64),
    FeatureMap("conv1", 7, 64),
    FeatureMap("layer2.1.conv2", 5, 128),
]
EVIL = '<script>alert("x")</script>'


def all_maps(net: lrp.Net) -> list[FeatureMap]:
    return [FeatureMap(layer, c, n) for layer, n in net.layers.items() for c in range(n)]


NET = lrp.canonize(toy(7))
X = pictures(9, 32)


# ----------------------------------------------------------------------------------------------- numbers


def test_omega_is_the_mean_of_its_samples() -> None:
    maps = all_maps(NET)
    model = toy(7)
    # some pictures are called fake; the border lies between two of them, where no rounding moves one across
    lower, upper = model(X).flatten().sort().values[len(X) // 2 - 1 : len(X) // 2 + 1]
    model.fc.bias.data -= (lower + upper) / 2
    net = lrp.canonize(model)
    omega = ffrs.ff_rs(net, [X], confidence=0.5)
    assert 0 < omega.count < len(X)
    found = atlas.omega_samples(net, X, maps, omega.count, batch_size=2)
    assert found.shape == (omega.count, len(maps))
    np.testing.assert_allclose(found.mean(0), [omega[m] for m in maps], rtol=1e-9)
    # pictures of several sizes come in several batches
    parts = atlas.omega_samples(net, [X[:4], X[4:]], maps, omega.count)
    np.testing.assert_allclose(parts, found, rtol=1e-9)


def test_means_have_an_interval_that_shrinks_to_nothing_for_equal_pictures() -> None:
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[:, 2] = 5
    table = atlas.means(values)
    np.testing.assert_allclose(table[:, 0], values.mean(0))
    assert (table[:2, 1] < table[:2, 0]).all() and (table[:2, 0] < table[:2, 2]).all()
    np.testing.assert_allclose(table[2], 5)
    with pytest.raises(ValueError, match="at least one picture"):
        atlas.means(np.zeros((0, 3)))


def test_single_dropout_is_dropout_of_one_map_at_a_time() -> None:
    maps = all_maps(NET)[::4]
    labels = np.array([1, 0, 1, 0, 1, 0, 1, 0, 1])
    found = atlas.single_dropout(NET, [(X, labels)], maps, n=50)
    whole = NET(X)[:, 0].detach().numpy()
    for row, m in zip(found.itertuples(), maps, strict=True):
        without = dropout.fold_dropout(NET, [m])(X)[:, 0].detach().numpy()
        assert row.effect == pytest.approx((without - whole)[labels == 1].mean(), abs=1e-9)
        apart = metrics.average_precision(labels, without) - metrics.average_precision(labels, whole)
        assert row.d_ap == pytest.approx(apart, abs=1e-9)
        assert row.effect_low <= row.effect <= row.effect_high
    parts = atlas.single_dropout(NET, [(X[:4], labels[:4]), (X[4:], torch.tensor(labels[4:]))], maps, n=50)
    pd.testing.assert_frame_equal(parts, found)


# ----------------------------------------------------------------------------------------------- patches


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> data.ImageSet:
    """Fakes of two sizes, so that batches are not in the order of the files."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for label in ("0_real", "1_fake"):
        (root / label).mkdir()
        for i in range(5):
            side = 40 if i % 2 else 32
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(
                root / label / f"{i}.png"
            )
    return data.scan(root).where(label=1)


def test_the_table_of_patches_names_the_picture_that_the_patch_is_from(images: data.ImageSet) -> None:
    net = lrp.canonize(toy(7).float())
    maps = all_maps(net)[::3]
    found = patches.find(net, images, maps, top=2, keep=maps[:1], batch_size=2)
    assert list(found["map"]) == [str(m) for m in maps for _ in range(2)]
    assert list(found["rank"]) == [0, 1] * len(maps)
    assert found["patch"].notna().tolist() == [True, True] + [False] * (len(found) - 2)
    for row in found.itertuples():
        x = data.normalize(data.read(row.path)[None])
        m = FeatureMap.parse(row.map)
        best = maxima.activation_max(net, [x], [m], top=1)
        assert row.activation == pytest.approx(best.value[0, 0], rel=1e-5)
        assert (row.row, row.col) == (best.row[0, 0], best.col[0, 0])
        assert row.box == maxima.lrp_max(net, best)[0].window()
    stored = patches.tidy(found, images.root)
    assert "patch" not in stored and set(stored["path"]) <= {f"1_fake/{i}.png" for i in range(5)}
    assert stored["box"][0] == " ".join(map(str, found["box"][0]))


def test_patches_are_places_in_what_the_network_sees_of_a_picture(images: data.ImageSet) -> None:
    net, square = lrp.canonize(toy(7).float()), data.Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, crop=24)
    found = patches.find(net, images, all_maps(net)[::5], top=1, preprocessing=square)
    for row in found.dropna(subset=["box"]).itertuples():
        assert max(row.box) <= 24
        x = data.normalize(square.cut(data.read(row.path))[None], square)
        best = maxima.activation_max(net, [x], [FeatureMap.parse(row.map)], top=1)
        assert row.activation == pytest.approx(best.value[0, 0], rel=1e-5)
        look = explorer.look(net, data.read(row.path), FeatureMap.parse(row.map), preprocessing=square)
        assert look.box == row.box and look.picture.shape == (24, 24, 3)
        assert look.value == pytest.approx(row.activation, rel=1e-5)
    inside = patches.measure(found, square).dropna(subset=["ratio"]).iloc[0]
    chroma = color_exchange.ycbcr(square.cut(data.read(inside["path"]))[None])[0, 1:].norm(dim=0)
    top, left, bottom, right = inside["box"]
    assert inside["ratio"] == pytest.approx(float(chroma[top:bottom, left:right].mean() / chroma.mean()))


def test_any_place_is_the_mean_over_all_places() -> None:
    chroma = np.random.default_rng(2).random((6, 5))
    expected = np.mean([chroma[y : y + 3, x : x + 2].mean() for y in range(4) for x in range(4)])
    assert patches.anywhere(chroma, (3, 2)) == pytest.approx(expected)
    assert patches.anywhere(chroma, (6, 5)) == pytest.approx(chroma.mean())


def test_chroma_of_patches_is_that_inside_over_that_of_the_whole(images: data.ImageSet) -> None:
    boxes = [(0, 0, 4, 4), (3, 2, 20, 9), None]
    table = pd.DataFrame({"path": [images.paths[0], images.paths[1], images.paths[0]], "box": boxes})
    found = patches.measure(table)
    for row in found[:2].itertuples():
        chroma = color_exchange.ycbcr(data.read(row.path)[None])[0, 1:].norm(dim=0)
        top, left, bottom, right = row.box
        assert row.ratio == pytest.approx(float(chroma[top:bottom, left:right].mean() / chroma.mean()))
    assert np.isnan(found["ratio"][2]) and np.isnan(found["anywhere"][2])


def test_pairs_stay_in_their_layer_and_use_every_map_once() -> None:
    a, b, c = (FeatureMap("one", i, 9) for i in range(3))
    d, e = (FeatureMap("two", i, 9) for i in range(2))
    assert patches.pairs([a, d, b], [e, c]) == [(a, c), (d, e)]


def made_up_chroma(shift: float) -> tuple[pd.DataFrame, dict[int, list[tuple[FeatureMap, FeatureMap]]]]:
    rng = np.random.default_rng(3)
    rows, partners = [], {}
    for seed in (0, 1):
        top, control = ([FeatureMap("one", c, 40) for c in range(i, i + 20)] for i in (0, 20))
        partners[seed] = list(zip(top, control, strict=True))
        for group, maps, mean in (("top-k", top, 1 + shift), ("matched-k", control, 1.0)):
            for m in maps:
                for _ in range(2):
                    own = {"seed": seed, "group": group, "map": str(m)}
                    rows.append(own | {"ratio": rng.normal(mean, 0.05), "anywhere": 1.0})
    return pd.DataFrame(rows), partners


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.3])
def test_the_table_of_chroma_finds_the_difference_that_is_there(shift: float) -> None:
    measured, partners = made_up_chroma(shift)
    table = patches.chroma_table(measured, partners, n=500).set_index(["seed", "group"])
    every = table.loc["all"]
    for group in ("top-k - matched-k", "top-k - any place"):
        row = every.loc[group]
        assert row.value == pytest.approx(shift, abs=0.05) and row.low < row.value < row.high
        assert (row.low <= 0 <= row.high) == (shift == 0)
    assert every.loc["top-k", "n_maps"] == 40 and every.loc["top-k", "n_patches"] == 80
    for group in patches.GROUPS:
        assert every.loc[group, "value"] == pytest.approx(
            table.loc[["0", "1"]].xs(group, level=1)["value"].mean()
        )


def test_maps_without_a_patch_leave_the_numbers_missing() -> None:
    measured, partners = made_up_chroma(0.1)
    measured.loc[measured["group"] == "matched-k", "ratio"] = np.nan
    table = patches.chroma_table(measured, partners, n=50).set_index(["seed", "group"])
    assert np.isnan(table.loc[("all", "top-k - matched-k"), "value"])
    assert table.loc[("all", "top-k - matched-k"), "n_maps"] == 0
    assert np.isfinite(table.loc[("all", "top-k"), "low"])
    nothing = patches.chroma_table(measured.assign(ratio=np.nan), {}, n=50)
    assert nothing["value"].isna().all() and set(nothing["seed"]) == {"all"}


# ----------------------------------------------------------------------------------------------- the page


def cards() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "map": [str(m) for m in MAPS], "place": [1, 0, 2], "omega": [0.3, 0.2, 0.1],
            "omega_low": [0.25, 0.15, 0.05], "omega_high": [0.35, 0.25, 0.15], "p": [0.5, 0.01, np.nan],
            "conditional": [0, 2, 0], "effect": [0.1, -0.2, -1.5], "effect_low": [0.0, -0.3, -2.0],
            "effect_high": [0.2, -0.1, -1.0], "d_ap": [0.001, -0.02, -0.1], "shared": [0.5, 0.25, np.nan],
            "expected": [0.1, 0.1, np.nan],
        }
    )  # fmt: skip


def made_up_page() -> str:
    rng = np.random.default_rng(4)
    cells = rng.integers(1, 256, (2, 2, 8, 8, 3), dtype=np.uint8)
    names = [str(m) for m in MAPS]
    details = pd.DataFrame(
        [
            {
                "map": m,
                "generator": g,
                "activation": 1.25,
                "where": "0-7, 8-15",
                "picture": picture,
                "p": 0.02,
            }
            for m in names
            for g, picture in (("ProGAN", "facade_1.png"), (EVIL, f"{EVIL}.png"))
        ]
    )
    drawings = {m: atlas.histograms(rng.normal(size=30), rng.normal(size=30)) for m in names}
    shown = {"by activation": atlas.sheet(cells), "by relevance": atlas.sheet(cells[::-1])}
    return atlas.page(cards(), dict.fromkeys(names, shown), drawings, details, ["ProGAN", EVIL])


def made_up_omega() -> ffrs.Omega:
    """Of layers as in a ResNet; `MAPS` are the first three."""
    values = {"conv1": np.linspace(0.001, 0.01, 64), "layer1.0.conv1": np.full(64, 0.002)}
    values |= {"layer2.1.conv2": np.zeros(128)}
    for m, value in zip(MAPS, (0.3, 0.2, 0.1), strict=True):
        values[m.layer][m.channel] = value
    return ffrs.Omega(values, count=9)


def test_the_index_has_a_place_for_every_map() -> None:
    text = atlas.index(made_up_omega(), 3)
    numbers = json.loads(re.search(r"<script[^>]*>(.*?)</script>", text)[1])  # type: ignore[index]
    assert numbers["k"] == 3 and [len(layer[1]) for layer in numbers["layers"]] == [64, 64, 128]
    ranks = sorted(rank for layer in numbers["layers"] for rank in layer[2])
    assert ranks == list(range(1, 257))
    name, omegas, places = numbers["layers"][1]
    assert (name, omegas[63], places[63], omegas[0]) == ("layer1.0.conv1", 0.3, 1, 0.002)
    assert '<a href="#layer1.0.conv1.63">#63</a></td><td>1</td><td>0.3</td>' in text
    assert '<th scope="row"><a href="#layer2.1.conv2">' in text and "3 layers and their 256 maps" in text
    odd = atlas.index(ffrs.Omega({f"a{EVIL}": np.ones(1)}, count=1), 1)
    assert "<script>" not in odd and odd.count("<script") == 1


class Balanced(HTMLParser):
    """Fails where tags are not closed in order; collects ids and numbers of cards."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cards: dict[str, dict[str, str | None]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("img", "path"):
            self.open.append(tag)
        if tag == "li":
            found = dict(attrs)
            self.cards[str(found["id"])] = found

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("img", "path"):
            assert self.open.pop() == tag


def test_cards_hold_what_the_table_says() -> None:
    text = made_up_page()
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert list(parser.cards) == [anchor(m) for m in MAPS]
    first, second, third = parser.cards.values()
    assert (first["data-rank"], first["data-layer"], first["data-p"]) == ("1", "1", "0.5")
    assert (second["data-effect"], third["data-effect"], third["data-p"]) == ("-0.2", "-1.5", "")
    for words in (
        "0.3000 [0.2500, 0.3500]",
        "at most 0.05 on 2 of 2",
        "−0.200 [−0.300, −0.100]",
        "−2.00 points",
        "50 % the same by activation and relevance; chance 10 %",
        "not comparable",
        "Patches of conv1.#7(T=64), by relevance",
    ):
        assert words in text
    assert "facade_1.png" in text and "not measured" in text


def test_names_of_files_maps_and_generators_are_escaped() -> None:
    assert "<script" not in made_up_page() and "&lt;script" in made_up_page()


def test_a_table_that_lacks_something_is_told() -> None:
    with pytest.raises(ValueError, match="lacks effect"):
        atlas.page(cards().drop(columns="effect"), {}, {}, pd.DataFrame({"map": []}), [])
    with pytest.raises(ValueError, match="lacks rows"):
        atlas.page(cards()[:0], {}, {}, pd.DataFrame({"map": []}), [])


def test_a_sheet_shows_patches_without_loss_and_leaves_empty_ones_out() -> None:
    cells = np.random.default_rng(5).integers(1, 256, (2, 3, 6, 6, 3), dtype=np.uint8)
    cells[1, 1] = 0
    stored = base64.b64decode(atlas.sheet(cells).split(",")[1])
    picture = np.asarray(Image.open(io.BytesIO(stored)).convert("RGBA"))
    assert picture.shape == (14, 22, 4)
    np.testing.assert_array_equal(picture[8:, 16:, :3], cells[1, 2])
    assert not picture[8:, 8:14, 3].any() and picture[:6, :6, 3].all()


def test_histograms_draw_both_samples_also_where_all_values_are_equal() -> None:
    text = atlas.histograms(np.arange(10.0), np.zeros(10))
    assert text.count("<path") == 2 and "median 4.50 in colour, median 0.00 in gray" in text
    assert "nan" not in atlas.histograms(np.ones(4), np.ones(4))


# ------------------------------------------------------------------------------------------ in a browser


@pytest.fixture
def browser_page(tmp_path: Path, browser: Browser) -> Iterator[Page]:
    style, script = ((STATIC / name).read_text(encoding="utf-8") for name in ("book.css", "book.js"))
    (tmp_path / "atlas.html").write_text(
        f'<meta charset="utf-8"><style>{style}</style><article class="bd-article">'
        f'<h2 id="some-heading">H</h2>{atlas.index(made_up_omega(), 3)}{made_up_page()}</article>'
        f'<div style="height:3000px"></div><script>{script}</script>',
        encoding="utf-8",
    )
    page, asked = browser.new_page(viewport={"width": 390, "height": 800}), []
    page.set_default_timeout(120_000)
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "atlas.html").as_uri())
    yield page
    page.close()
    assert asked == [(tmp_path / "atlas.html").as_uri()]  # the page is all there is


def shown(page: Page) -> list[str]:
    return page.evaluate(
        "[...document.querySelectorAll('.tff-cards > *')].filter(c => !c.hidden).map(c => c.id)"
    )


@pytest.mark.slow
def test_cards_are_searched_and_sorted(browser_page: Page) -> None:
    page = browser_page
    first, second, third = (anchor(m) for m in MAPS)
    assert shown(page) == [first, second, third]
    for choice, expected in (
        ("layer", [second, first, third]),
        ("p of colour", [second, first, third]),  # the missing one comes last
        ("effect, largest loss", [third, second, first]),
        ("effect, largest gain", [first, second, third]),
        ("omega", [first, second, third]),
    ):
        label = page.evaluate(
            "(c) => [...document.querySelectorAll('select option')].find(o => o.text.startsWith(c)).text",
            choice,
        )
        page.locator(".tff-atlas .tff-search select").select_option(label=label)
        assert shown(page) == expected, choice
    page.locator(".tff-atlas .tff-search input").fill("CONV1 #63")
    assert shown(page) == [first]
    assert page.locator(".tff-atlas .tff-search output").inner_text() == "1 of 3 feature maps"
    page.evaluate(f"window.location.hash = '{third}'")  # a link to a card that the search has hidden
    page.wait_for_function("document.querySelectorAll('.tff-cards > :not([hidden])').length === 3")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_every_map_is_found_at_its_address(browser_page: Page) -> None:
    page, place = browser_page, ".tff-lookup"

    def at(address: str) -> str:
        page.evaluate("address => { window.location.hash = address }", address)
        page.wait_for_function(
            "(a) => document.querySelector('.tff-index input').value === decodeURIComponent(a)", arg=address
        )
        return page.locator(place).inner_text()

    assert "256 feature maps in 3 layers have a place here" in page.locator(place).inner_text()
    text = at("layer1.0.conv1.5")
    assert "layer1.0.conv1.#5(T=64)" in text and "convolution 2 of 3" in text
    assert "not among the top 3" in text
    assert page.evaluate("document.activeElement.className") == "tff-card tff-lookup"
    # ties in the order of the network: after 64 + 3 of larger omega
    omega = made_up_omega()
    rank = omega.ranking.index(FeatureMap("layer1.0.conv1", 5, 64)) + 1
    assert f"{rank} of 256, in its layer" in text and "only the top 3 have one" in text
    page.locator(place).get_by_text("channel after").click()
    page.wait_for_function("document.querySelector('.tff-index input').value === 'layer1.0.conv1.6'")
    assert "layer1.0.conv1.#6(T=64)" in page.locator(place).inner_text()
    # with a card: that is where the address leads
    text = at("layer2.1.conv2.5")
    assert "among the top 3" in text and "below" in text
    assert page.evaluate("document.querySelector(':target').tagName") == "LI"
    assert "no feature map or layer “layer1.0.conv1.64”. layer1.0.conv1 has the channels 0 to 63" in at(
        "layer1.0.conv1.64"
    )
    assert "no feature map or layer “<b>nothing</b>”" in at("%3Cb%3Enothing%3C%2Fb%3E")
    text = at("layer2.1.conv2")
    assert "128, 1 of them among the top 3" in text and page.locator(f"{place} .tff-channels a").count() == 48
    page.get_by_role("button", name="All 128").click()
    assert page.locator(f"{place} .tff-channels a").count() == 128
    # by the keyboard alone, with the name as the chapters write it
    field = page.get_by_label("Feature map, or layer")
    field.fill("conv1.#7(T=64)")
    field.press("Enter")
    page.wait_for_function("document.querySelector('.tff-lookup').textContent.includes('conv1.#7(T=64)')")
    before = page.locator(place).inner_text()
    page.evaluate("window.location.hash = 'some-heading'")  # not every address is a map's
    page.wait_for_function("document.querySelector(':target').id === 'some-heading'")
    assert page.locator(place).inner_text() == before
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_details_are_of_the_strongest_picture_of_each_generator(tmp_path):
    name = "conv1.#0(T=4)"
    found = pd.DataFrame(
        {
            "map": [name, name],
            "rank": [0, 1],
            "activation": [2.0, 1.0],
            "box": [(1, 2, 4, 6), None],
            "path": [tmp_path / "a.png", tmp_path / "b.png"],
        }
    )
    silent = found.assign(box=None)
    p = pd.DataFrame({"progan": [0.01], "mine": [0.5]}, index=[name])
    table = atlas.details({"progan": found, "mine": silent}, p, {"progan": "ProGAN", "mine": "mine"})
    assert table["where"].tolist() == ["1-3, 2-5", "not active"]
    assert table["picture"].tolist() == ["a.png", "a.png"] and table["p"].tolist() == [0.01, 0.5]
    assert table["generator"].tolist() == ["ProGAN", "mine"]
