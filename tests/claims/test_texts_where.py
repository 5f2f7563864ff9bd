"""What the chapters on patch classifiers say, from tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tff_core import intervals
from tff_core.claims.texts import where as texts


@pytest.fixture
def table() -> pd.DataFrame:
    """A patch classifier that is better than the whole network on four unseen generators of five."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    parts = []
    for place, generator in enumerate(("progan", "stylegan", "stylegan2", "biggan", "stargan", "gaugan")):
        sees, knows = (0.2, 5.0) if place == 5 else (1.2, 0.0)
        cells = rng.normal(size=(3, 120, 16)) + sees * y[:, None]
        whole = rng.normal(size=(3, 120)) + knows * y
        scores = {"net": whole, "xception_block2": cells.mean(2), "xception_block2" + texts.ONE: cells}
        parts.append(intervals.compare_ap(y, scores, n=300).assign(generator=generator))
    return pd.concat(parts, ignore_index=True)


def test_networks_have_names_that_a_reader_knows() -> None:
    assert texts.spoken("xception_block2", 43) == "Xception, block 2 (43 px)"
    assert texts.spoken("resnet18_layer1") == "ResNet-18, layer 1"
    assert [texts.spoken(name) for name in ("xception", "longxception", "widenet_kw7_d1")] == [
        "Xception", "Xception, deeper", "wide net"
    ]  # fmt: skip


def test_a_difference_can_be_read_both_ways(table: pd.DataFrame) -> None:
    there = texts.apart(table, "xception_block2", "net", unseen=True)
    back = texts.apart(table, "net", "xception_block2", unseen=True)
    assert there["generator"].tolist() == ["stylegan", "stylegan2", "biggan", "stargan", "gaugan"]
    assert back["value"].tolist() == pytest.approx((-there["value"]).tolist())
    assert back["low"].tolist() == pytest.approx((-there["high"]).tolist())
    assert texts.apart(table, "net", "other", unseen=False).empty


def test_the_verdicts_follow_the_rule(table: pd.DataFrame) -> None:
    said = texts.transfer(table, ["xception_block2"], {"net": "ResNet-50, whole"})
    assert "above zero on 4 of 5 generators (StyleGAN, StyleGAN2, BigGAN, StarGAN)" in said
    assert "the claim is **mixed**" in said and "below zero on 1 (GauGAN)" in said
    assert "n = 60 reals and 60 fakes per generator, 3 detector seeds" in said
    said = texts.averaging(table, ["xception_block2"])
    assert "above zero on 6 of 6 generators" in said and "the claim **holds**" in said


def test_what_cannot_be_told_is_said(table: pd.DataFrame) -> None:
    seen = table[table["generator"] == texts.TRAINED_ON]
    assert "No generator here is unseen" in texts.transfer(seen, ["xception_block2"], {"net": "whole"})
    assert "no generator here is unseen" in texts.front(seen, ["xception_block2"], "net")
    assert "Not asked in this build" in texts.front(None, ["xception_block2"], "net")
    assert "is **mixed** here" in texts.front(table, ["xception_block2"], "net")
    single = table.assign(seeds=1)
    assert "covers pictures only, on 5" in texts.transfer(single, ["xception_block2"], {"net": "whole"})
