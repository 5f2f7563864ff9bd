"""Explanations say what the network does, and a report survives whatever a file is called."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tff_core import lrp
from tff_core.book import report
from tff_core.detectors import judge
from tff_core.features import ffrs
from tff_core.pictures import data

NASTY = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)>&amp; ü\n.png"


@pytest.fixture(scope="module")
def net() -> lrp.Net:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1),
    ).eval()  # fmt: skip
    return lrp.canonize(model.requires_grad_(False))


RULE = judge.Rule(0.0, -0.1, 0.1, "a test")


def save(path: Path, size: int = 32) -> Path:
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return path


def test_an_explanation_agrees_with_the_network(tmp_path: Path, net: lrp.Net) -> None:
    path = save(tmp_path / "a.png")
    omega = ffrs.Omega({"0": np.linspace(0, 0.5, 6), "3": np.linspace(0.1, 0.4, 4)}, count=1)
    found = report.explain(net, path, RULE, omega, maps=5)
    x = data.normalize(data.read(path)[None])
    assert found.logit == pytest.approx(float(net(x)[0, 0]), abs=1e-6)
    assert found.decision == RULE.decide(found.logit)
    assert found.picture.shape == found.heat.shape == (32, 32, 3)
    sign = 1 if found.logit >= RULE.threshold else -1
    whole = lrp.relevance(net, x, start=sign * net(x))
    for fired in found.maps:
        r = whole.maps[fired.map.layer][0]
        share = float(r[fired.map.channel].clamp(min=0).sum() / r.abs().sum())
        assert fired.share == pytest.approx(share, abs=1e-5)
        assert fired.place == omega.ranking.index(fired.map) + 1
    assert [m.share for m in found.maps] == sorted((m.share for m in found.maps), reverse=True)
    assert found.maps[0].patch is not None and found.maps[0].patch.shape == (96, 96, 3)


def test_the_side_of_the_threshold_is_explained(tmp_path: Path, net: lrp.Net) -> None:
    path = save(tmp_path / "a.png")
    x = data.normalize(data.read(path)[None])
    logit = float(net(x)[0, 0])
    for threshold in (logit - 1, logit + 1):  # called fake, called real: by the threshold, whatever the sign
        rule = judge.Rule(threshold, threshold, threshold, "a test")
        found = report.explain(net, path, rule, maps=10)
        assert found.decision == ("fake" if threshold < logit else "real")
        side = 1 if threshold < logit else -1
        r = lrp.relevance(net, x, start=torch.tensor([[abs(logit) * side * np.sign(logit)]])).maps["3"][0]
        shares = {m.map.channel: m.share for m in found.maps if m.map.layer == "3"}
        expected = (r.clamp(min=0).sum((1, 2)) / r.abs().sum()).tolist()
        assert [shares[c] for c in range(4)] == pytest.approx(expected, abs=1e-5)


def test_large_pictures_are_refused_or_cropped(
    tmp_path: Path, net: lrp.Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_PIXELS", 400)
    path = save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png has 32x32 pixels.*--crop"):
        report.explain(net, path, RULE)
    found = report.explain(net, path, RULE, crop=20)
    assert np.array_equal(found.picture, np.asarray(Image.open(path))[6:26, 6:26])


def test_what_the_network_sees_of_a_picture_is_explained(tmp_path: Path, net: lrp.Net) -> None:
    path = save(tmp_path / "a.png", 40)
    own = data.Preprocessing(mean=(0.5,) * 3, std=(0.25,) * 3, resize=32, crop=24)
    found = report.explain(net, path, RULE, crop=36, preprocessing=own)
    seen = own.cut(data.read(path)[:, 2:38, 2:38])
    assert seen.shape == (3, 24, 24)
    assert np.array_equal(found.picture, seen.permute(1, 2, 0)) and found.heat.shape == (24, 24, 3)
    assert found.logit == pytest.approx(float(net((seen[None] / 255 - 0.5) / 0.25)[0, 0]), abs=1e-5)
    assert found.logit != pytest.approx(report.explain(net, path, RULE, crop=36).logit, abs=1e-3)


class Reader(HTMLParser):
    """Counts tags, and gathers attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def test_names_cannot_break_out_of_the_report(tmp_path: Path, net: lrp.Net) -> None:
    path = save(tmp_path / NASTY.replace("/", "\u2215"))
    no_text = b"\xff\x1b[31m".decode("utf-8", "surrogateescape")
    text = report.page([report.explain(net, path, RULE)], {NASTY: NASTY}, [NASTY, no_text])
    text.encode("utf-8")
    reader = Reader()
    reader.feed(text)
    assert "script" not in reader.tags and "iframe" not in reader.tags
    assert {key for key, _ in reader.attributes if key.startswith("on")} == set()
    sources = [value for key, value in reader.attributes if key in ("src", "href")]
    assert sources and all(str(value).startswith("data:image/png;base64,") for value in sources)
    assert reader.tags.count("img") == len(sources) == text.count("<img ")
    assert "<script>alert(1)</script>" in reader.words  # shown as it is
    assert r"\xff\x1b[31m" in reader.words and "\x1b" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"https?://", text)


def test_a_map_that_is_not_active_is_said_so(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)
    )
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([9.0, -99.0]))
    net = lrp.canonize(model.eval().requires_grad_(False))
    found = report.explain(net, save(tmp_path / "a.png"), RULE)
    assert [m.box is None for m in found.maps] == [False, True]
    assert "not active anywhere" in report.page([found], {})


def test_a_collage_has_a_row_for_each_map() -> None:
    cell = np.zeros((4, 4, 3), dtype=np.uint8)
    text = report.collage({"a.#0(T=2)": [(cell, "one"), (None, "two")], NASTY: []}, {"by": "me"}, "Title")
    reader = Reader()
    reader.feed(text)
    assert reader.tags.count("section") == 2 and reader.tags.count("img") == 1 and "script" not in reader.tags
