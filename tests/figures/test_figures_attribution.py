"""The figures of attribution from made-up tables: what is drawn is what the table says."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tff_core import figures
from tff_core.attribution import spectra
from tff_core.features import bridge
from tff_core.features.bridge import Head
from tff_core.features.ffrs import Omega

SOURCES = ["progan", "stylegan2"]
OTHERS = ["real", *SOURCES, "none of these"]


def confusion() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for way, answers in (("gated", OTHERS), ("raw", OTHERS[:3])):
        for truth in ("diffusion", *SOURCES, "real"):  # in no order that a reader wants
            counts = rng.integers(1, 90, len(answers))
            rows += [
                {"way": way, "truth": truth, "answer": a, "n": int(n), "share": n / counts.sum()}
                for a, n in zip(answers, counts, strict=True)
            ]
    return pd.DataFrame(rows)


def robustness() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    given = {"untouched": [np.nan], "blur": [3, 5, 9], "jpeg": [90, 30], "sharpen": [2]}
    rows = [
        {"operation": o, "strength": s, "measure": m, "value": v, "low": v / 2, "high": v + 0.1, "n": 50}
        for o, strengths in given.items()
        for s in strengths
        for m in ("accuracy", "false none", "false name")
        for v in [float(rng.uniform(0.1, 0.9))]
    ]
    return pd.DataFrame(rows)


def families() -> dict[str, spectra.Spectrum]:
    rng = np.random.default_rng(2)
    found = {}
    for i, name in enumerate(("real", *SOURCES)):
        planes = rng.normal(size=(20, 16, 12)) + 3
        planes[:, 4, 6] += 4.0 * i
        profiles = spectra.azimuthal(planes)
        found[name] = spectra.Spectrum(
            planes.mean(0), planes.std(0), profiles.mean(0), profiles.std(0), len(planes)
        )
    return found


def heads() -> dict[str, Head]:
    rng = np.random.default_rng(3)
    found = {}
    for name in ("detection", *SOURCES):
        shares = rng.random((30, 12))
        values = dict(zip(("one", "two"), np.split(shares.mean(0), [4]), strict=True))
        found[name] = Head(Omega(values, 30), None if name == "stylegan2" else shares)
    return found


def breakage(seeds: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = [
        {
            "measured": m, "ranked": r, "seed": str(s), "seeds": seeds, "contrast": c, "k": 10,
            "control": 9.5, "delta_ap": v, "low": v - 0.1, "high": v + 0.05, "n_real": 70, "n_fake": 30,
        }
        for m in ("detection", *SOURCES)
        for r in ("detection", *SOURCES)
        for s in (*range(seeds), "all")
        for c in ("top-k - matched-k", "top-k - baseline")
        for v in [float(rng.uniform(-0.4, 0.1))]
    ]  # fmt: skip
    return pd.DataFrame(rows)


FAMILIES, HEADS, BREAKAGE = families(), heads(), breakage()
DIFFERENCES = {k: spectra.difference(v, FAMILIES["real"]) for k, v in FAMILIES.items() if k != "real"}
SPECIFIC = bridge.specific(
    {name: HEADS[name] for name in ("detection", "progan")}, {"progan": [HEADS["stylegan2"]]}, [3], 50
)
OVERLAP, CORRELATION = bridge.overlap(HEADS, [3, 6], 100), bridge.correlation(HEADS, 100, 99)
CURVES = {"largest probability": ([0, 0.5, 0.9], [0, 0.1, 1]), "joint energy": ([0, 0.4, 0.9], [0, 0.3, 1])}
AREAS = {"largest probability": (0.7, 0.6, 0.8)}
FIGURES: dict[str, go.Figure] = {
    "confusion": figures.confusion(confusion(), SOURCES),
    "one confusion": figures.confusion(confusion().query("way == 'gated'").drop(columns="way"), SOURCES),
    "oscr": figures.oscr(CURVES, AREAS),
    "robustness": figures.attribution_robustness(robustness()),
    "one operation": figures.attribution_robustness(robustness().query("operation == 'blur'")),
    "planes": figures.spectrum_planes({k: v.mean for k, v in FAMILIES.items()}),
    "differences": figures.spectrum_differences(
        {k: d.value for k, d in DIFFERENCES.items()}, {k: d.q for k, d in DIFFERENCES.items()}
    ),
    "profiles": figures.spectrum_profiles(spectra.profiles(FAMILIES), "mean of ln |c|"),
    "profile differences": figures.spectrum_profiles(
        spectra.profile_differences(FAMILIES), "difference of ln |c|", "Less the reals.", zero=True
    ),
    "overlap": figures.bridge_overlap(OVERLAP),
    "correlation": figures.bridge_correlation(CORRELATION),
    "specific": figures.bridge_specific(SPECIFIC),
    "breakage": figures.bridge_breakage(BREAKAGE),
}


@pytest.mark.parametrize("name", FIGURES)
def test_has_a_caption_a_text_alternative_and_a_height(name: str) -> None:
    figure = FIGURES[name]
    assert figures.caption(figure).endswith(".") and figures.alt(figure).endswith(".")
    assert "nan" not in (figures.alt(figure) + figures.caption(figure)).lower().split()
    assert figure.layout.height >= 200 and figure.layout.width is None
    assert json.loads(figure.to_json()) and "http" not in figure.to_json()
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"


@pytest.mark.parametrize("name", FIGURES)
def test_every_button_shows_something_else_and_the_first_is_what_stands(name: str) -> None:
    figure = FIGURES[name]
    assert ("menu" in figures.caption(figure)) <= bool(figure.layout.updatemenus)
    for menu in figure.layout.updatemenus:
        choices = [tuple(button.args[0]["visible"]) for button in menu.buttons]
        assert all(len(choice) == len(figure.data) and any(choice) for choice in choices)
        assert len(set(choices)) == len(choices) > 1
        assert choices[0] == tuple(trace.visible in (None, True) for trace in figure.data)


def values(array: Any) -> np.ndarray:
    """Numbers of a trace, which plotly may have packed."""
    if isinstance(array, dict):
        shape = [int(n) for n in array.get("shape", "-1").split(",")]
        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"]).reshape(shape)
    return np.asarray(array, dtype=float)


def test_a_confusion_has_the_tables_counts_and_unknown_sources_below() -> None:
    table = confusion().query("way == 'gated'").set_index(["truth", "answer"])
    trace = FIGURES["confusion"].data[0]
    assert list(trace.x) == ["real", "ProGAN", "StyleGAN2", "none of these"]
    assert list(trace.y) == ["real", "ProGAN", "StyleGAN2", "diffusion"]
    names = ["real", *SOURCES, "diffusion"]
    for row, truth in zip(trace.text, names, strict=True):
        for cell, answer in zip(row, OTHERS, strict=True):
            n, share = table.loc[(truth, answer), ["n", "share"]]
            assert cell == f"{int(n)}<br>{100 * share:.0f} %"
    np.testing.assert_allclose(
        values(trace.z), [[100 * table.loc[(t, a), "share"] for a in OTHERS] for t in names], atol=0.05
    )
    raw = FIGURES["confusion"].data[1]
    assert all(row[3] == "" for row in raw.text)  # without the primary there is no such answer
    right = f"diffusion {100 * table.loc[('diffusion', 'none of these'), 'share']:.0f}"
    assert right in figures.alt(FIGURES["confusion"])
    assert [s.y0 for s in FIGURES["confusion"].layout.shapes] == [2.5]  # above the fourth row


def test_a_known_source_that_is_never_named_is_no_unknown_one() -> None:
    """A table of what occurred has no column of an answer that nobody gave."""
    table = confusion().query("way == 'gated' and answer != 'stylegan2'")
    figure = figures.confusion(table, SOURCES)
    trace = figure.data[0]
    assert list(trace.x) == ["real", "ProGAN", "StyleGAN2", "none of these"]
    assert list(trace.y) == ["real", "ProGAN", "StyleGAN2", "diffusion"]
    assert [row[2] for row in trace.text] == ["0<br>0 %"] * 4 and "StyleGAN2 0" in figures.alt(figure)
    # where all is known and named there is no other answer
    inner = table.query("truth != 'diffusion' and answer != 'none of these'")
    assert list(figures.confusion(inner, SOURCES).data[0].x) == ["real", "ProGAN", "StyleGAN2"]
    with pytest.raises(ValueError, match="answers progan are no known sources: expected stylegan2"):
        figures.confusion(table, ["stylegan2"])


def test_oscr_goes_through_its_points_with_its_area_in_the_legend() -> None:
    one, other = FIGURES["oscr"].data
    assert list(values(one.x)) == [0, 10, 100] and list(values(one.y)) == [0, 50, 90]
    assert one.name == "largest probability: area 0.70 [0.60, 0.80]" and other.name == "joint energy"
    long = figures.oscr({"a": (np.linspace(0, 1, 5000), np.linspace(0, 1, 5000))}).data[0]
    assert len(values(long.x)) == 300 and values(long.x)[-1] == 100


def test_robustness_begins_with_the_untouched_pictures() -> None:
    table, figure = robustness(), FIGURES["robustness"]
    curves = [t for t in figure.data if t.mode == "lines+markers"]
    assert len(curves) == 9
    start = table.query("operation == 'untouched' and measure == 'false none'")["value"].item()
    blur = table.query("operation == 'blur' and measure == 'false none'")["value"]
    assert list(values(curves[1].y)) == pytest.approx([100 * v for v in (start, *blur)])
    assert list(figure.layout.xaxis.ticktext) == ["none", "3", "5", "9"]
    jpeg = figure.layout.updatemenus[0].buttons[1].args[1]
    assert jpeg["xaxis.ticktext"] == ["none", "90", "30"] and jpeg["xaxis.title.text"] == "JPEG quality"
    own = FIGURES["one operation"]
    assert list(own.layout.xaxis.ticktext) == ["3", "5", "9"] and not own.layout.updatemenus
    bands = [t for t in figure.data if t.fill == "toself"]
    rows = pd.concat([table.query("operation == 'untouched'"), table.query("operation == 'blur'")])
    rows = rows[rows["measure"] == "accuracy"]
    ends = [*(100 * rows["high"]), *(100 * rows["low"])[::-1]]
    assert list(values(bands[0].y)) == pytest.approx(ends)
    gap = table.assign(
        value=table["value"].where((table["strength"] != 5) | (table["measure"] != "accuracy"))
    )
    broken = figures.attribution_robustness(gap)
    assert list(broken.data[1].x) == [0, 1, 3] and list(broken.data[1].text) == ["none", "3", "9"]
    assert "nan" not in figures.alt(broken)
    with pytest.raises(ValueError, match=r"measures.*'hope'.*have no colour"):
        figures.attribution_robustness(table.assign(measure="hope"))
    with pytest.raises(ValueError, match="no operation degrades"):
        figures.attribution_robustness(table.query("operation == 'untouched'"))


def test_planes_are_drawn_as_they_are_and_differences_where_they_are_any() -> None:
    for trace, spectrum in zip(FIGURES["planes"].data, FAMILIES.values(), strict=True):
        np.testing.assert_allclose(values(trace.z), spectrum.mean, rtol=1e-6)
        assert (trace.dx, trace.dy) == (1 / 24, 1 / 32)
    for trace, found in zip(FIGURES["differences"].data, DIFFERENCES.values(), strict=True):
        z = values(trace.z)
        assert (np.isfinite(z) == (found.q <= 0.05)).all() and np.isfinite(z[4, 6])
        np.testing.assert_allclose(z[np.isfinite(z)], found.value[np.isfinite(z)], rtol=1e-6)
        assert trace.zmin == -trace.zmax
    called = int((DIFFERENCES["progan"].q <= 0.05).sum())
    assert f"ProGAN {called} of 192" in figures.caption(FIGURES["differences"])
    assert "at 0.12 down and 0.25 across" in figures.alt(FIGURES["differences"])
    nothing = figures.spectrum_differences({"a": np.ones((4, 4))}, {"a": np.ones((4, 4))})
    assert "a: nothing" in figures.alt(nothing)
    with pytest.raises(ValueError, match="planes of nothing"):
        figures.spectrum_planes({})
    with pytest.raises(ValueError, match=r"planes of a: expected one \(H, W\)"):
        figures.spectrum_planes({"a": np.ones(3)})


def test_families_keep_their_colour_between_profiles_and_their_differences() -> None:
    one, other = ({t.name: t for t in FIGURES[k].data if t.name} for k in ("profiles", "profile differences"))
    assert list(one) == ["real", "ProGAN", "StyleGAN2"] and list(other) == ["ProGAN", "StyleGAN2"]
    assert all(one[name].line.color == other[name].line.color for name in other)
    table = spectra.profile_differences(FAMILIES).query("family == 'progan' and frequency > 0")
    np.testing.assert_allclose(values(other["ProGAN"].y), table["value"])
    np.testing.assert_allclose(values(other["ProGAN"].customdata)[:, :2], table[["low", "high"]])


def test_the_bridge_shows_what_is_shared_beside_chance() -> None:
    first = OVERLAP[OVERLAP["k"] == 3]
    grey, twice, dots = FIGURES["overlap"].data[:3]
    np.testing.assert_allclose(values(twice.x), 100 * first["ceiling"])
    assert np.isfinite(values(twice.x)[0]) and np.isnan(values(twice.x)[1:]).all()
    np.testing.assert_allclose(values(dots.x), 100 * first["value"])
    np.testing.assert_allclose(
        values(grey.x).reshape(-1, 3)[:, :2],
        100 * (first[["chance_low", "chance_high"]].sub(first["expected"], axis=0)) / 3,
    )
    # only the first two tasks have pictures, and so an interval
    width = values(dots.error_x.array) + values(dots.error_x.arrayminus)
    assert width[0] > 0 and not width[1:].any()
    row = first.iloc[0]
    assert f"detection and ProGAN {row['shared']} of 3" in figures.alt(FIGURES["overlap"])
    every = CORRELATION[CORRELATION["layer"] == bridge.ALL]
    np.testing.assert_allclose(values(FIGURES["correlation"].data[1].x), every["value"])
    flat = figures.bridge_correlation(
        CORRELATION.assign(value=CORRELATION["value"].where(CORRELATION["layer"] != "one"))
    )
    assert [len(t.y) for t in flat.data if t.name == "two tasks"] == [3, 0, 3]


def test_what_is_specific_is_shown_with_its_control() -> None:
    table = SPECIFIC
    shown = FIGURES["specific"].data
    assert [trace.x[0] for trace in shown] == pytest.approx(table["value"].tolist())
    first = table.iloc[0]
    expected = f"detection and ProGAN {first['together']:.2f}, untrained {first['control']:.2f}"
    assert expected in figures.alt(FIGURES["specific"])


def test_breakage_shows_all_seeds_together_where_there_are_several() -> None:
    figure = FIGURES["breakage"]
    rows = BREAKAGE.query("seed == 'all' and contrast == 'top-k - matched-k' and ranked == 'progan'")
    trace = figure.data[1]
    assert trace.name == "maps of ProGAN" and list(trace.text) == ["detection", "ProGAN", "StyleGAN2"]
    np.testing.assert_allclose(values(trace.x), 100 * rows["delta_ap"])
    np.testing.assert_allclose(values(trace.x) - values(trace.error_x.arrayminus), 100 * rows["low"])
    assert len(figure.data) == 2 * 3 and "training seeds" in figures.caption(figure)
    assert "(9.5 on average)" in figures.caption(figure)
    single = figures.bridge_breakage(breakage(1))
    assert "training seeds" not in figures.caption(single)
