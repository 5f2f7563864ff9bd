"""The figures from made-up tables: what is drawn is what the table says, and every switch switches."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from tff_core import figures
from tff_core.claims import verdicts

GENERATORS = ["progan", "stylegan2", "gaugan"]


def sensitivity(seeds: int = 2, draws: int = 3) -> pd.DataFrame:
    """A made-up sensitivity table in which every number differs from every other."""
    rng = np.random.default_rng(0)
    rows = []
    for generator in GENERATORS:
        for condition in figures.CONDITIONS:
            for seed in range(seeds):
                for draw in range(draws if condition in ("random-k", "matched-k") else 1):
                    ap = rng.uniform(0.6, 0.95)
                    for source in ("validation", "test"):
                        rows.append(
                            {
                                "detector": "made-up",
                                "generator": generator,
                                "condition": condition,
                                "seed": seed,
                                "draw": draw,
                                "k": 114,
                                "ap": ap,
                                "ap_low": ap - 0.05,
                                "ap_high": ap + 0.04,
                                "acc_real": rng.uniform(),
                                "acc_fake": rng.uniform(),
                                "n_real": 40,
                                "n_fake": 60,
                                "threshold": 0.0,
                                "threshold_source": source,
                            }
                        )
    return pd.DataFrame(rows)


def contrast(low: float = -0.2, high: float = -0.1) -> pd.DataFrame:
    """A made-up contrast table with the same interval everywhere."""
    return pd.DataFrame(
        [
            {
                "detector": "made-up",
                "generator": generator,
                "seed": seed,
                "contrast": kind,
                "delta_ap": (low + high) / 2,
                "low": low,
                "high": high,
                "n_draws": 3,
                "n_real": 40,
                "n_fake": 60,
            }
            for generator in GENERATORS
            for kind in ("top-k - matched-k", "top-k - random-k", "top-k - baseline")
            for seed in ("0", "1", "all")
        ]
    )


def transfer() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "generator": g,
                "seed": s,
                "ap": 0.8,
                "ap_low": 0.7,
                "ap_high": 0.85,
                "acc_real": 0.9,
                "acc_fake": 0.6,
                "n_real": 40,
                "n_fake": 60,
                "threshold": -0.3,
            }
            for g in GENERATORS
            for s in ("0", "1", "all")
        ]
    )


def paper() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"generator": g, "condition": c, "ap": 0.7, "acc_real": 0.9, "acc_fake": 0.2}
            for g in GENERATORS
            for c in ("baseline", "top-k", "random-k", "low-k")
        ]
    )


def scores() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {"generator": g, "label": label, "logit": rng.normal(4 * label - 2)}
            for g in GENERATORS
            for label in (0, 1)
            for _ in range(50)
        ]
    )


def chroma() -> pd.DataFrame:
    groups = ("top-k", "matched-k", "any place", "top-k - matched-k", "top-k - any place")
    rows = [
        {"generator": g, "group": group, "value": v, "low": v - 0.1, "high": v + 0.2, "n_maps": 9}
        for i, g in enumerate(GENERATORS)
        for j, group in enumerate(groups)
        for v in [1 + 0.1 * i - 0.3 * j]
    ]
    table = pd.DataFrame(rows)
    missing = (table["group"] == "top-k - matched-k") & (table["generator"] == "gaugan")
    table.loc[missing, ["value", "low", "high"]] = np.nan
    return table


def statistics() -> pd.DataFrame:
    """Made-up histories of two generators, one of them of no family."""
    rows = [
        {"generator": g, "step": step, "statistic": name, "auc": auc, "low": auc - 0.05, "high": auc + 0.1,
         "seeds": 2, "n_real": 64, "n_fake": 64}
        for i, g in enumerate(["mine", "progan"])
        for j, name in enumerate(["chroma detail", "luma detail", "pair down Y"])
        for step in (200, 100)
        for auc in [0.1 * i + 0.2 * j + step / 500]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def compared() -> pd.DataFrame:
    """AP of three detectors on two generators, under two conditions."""
    keys = itertools.product(("progan", "gaugan"), ("as trained", "cut at random"), ("rgb", "luma", "chroma"))
    rows = [
        {"generator": g, "condition": c, "sees": s, "ap": 0.6 + 0.05 * i, "ap_low": 0.5, "ap_high": 0.99}
        for i, (g, c, s) in enumerate(itertools.islice(keys, 12))
    ]
    return pd.DataFrame(rows).assign(ap=lambda t: t["ap"].clip(upper=0.98), seeds=3, n_real=60, n_fake=60)


def found_pixels() -> pd.DataFrame:
    """How well two methods find what is fake on two generators, by two measures."""
    keys = itertools.product(("progan", "gaugan"), ("lrp", "edges"), ("pixel_ap", "false_area"))
    return pd.DataFrame(
        {"generator": g, "method": m, "measure": what, "value": 0.4, "low": 0.3, "high": 0.5, "n": 40,
         "chance": 0.2 if what == "pixel_ap" else np.nan}
        for g, m, what in keys
    )  # fmt: skip


def every_figure() -> dict[str, go.Figure]:
    """One of each kind."""
    rng = np.random.default_rng(2)
    summary = verdicts.summarize(sensitivity())
    picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    history = pd.DataFrame({"seed": [0, 0, 1, 1], "step": [1, 2, 1, 2], "loss": [2.0, 1.0, 3.0, 1.5]})
    layers = ["conv1", "layer1.0.conv1", "layer1.0.conv3"]
    accuracies = summary[summary["condition"] == "baseline"].assign(source="validation")
    return {
        "finding": figures.finding(summary, paper(), 114),
        "finding without the paper": figures.finding(summary),
        "accuracies": figures.accuracies(summary, paper()),
        "forest": figures.forest(contrast()),
        "training curves": figures.training_curves(history, {"loss": "loss"}),
        "training statistics": figures.training_statistics(statistics()),
        "transfer": figures.transfer(transfer(), paper()),
        "thresholds": figures.thresholds(accuracies),
        "histograms": figures.histograms(scores(), "generator", {"0.5": 0.0}, figures.GENERATORS),
        "conservation": figures.conservation(
            pd.DataFrame({"layer": layers, "share": [1.0, 0.4, 0.6]}), {"conv1": 1.0, "the pixels": 1.0}
        ),
        "relevance maps": figures.relevance_maps(
            picture, {"conv1": rng.normal(size=(8, 8)), "b": np.zeros((4, 4))}
        ),
        "omega ranks": figures.omega_ranks(
            {"seed 0": [0.3, 0.2, 0.1, 0.0], "seed 1": [0.4, 0.1, 0.0, 0.0]}, 2, 0.025
        ),
        "layer mix": figures.layer_mix(
            pd.DataFrame({"source": ["a", "a", "b"], "group": ["x", "y", "y"], "count": [3, 1, 2]})
        ),
        "layer sums": figures.layer_sums(
            pd.DataFrame(
                {"layer": layers, "channels": [64, 64, 256], "fake": 0.5, "real": 0.1, "top": [2, 1, 0]}
            )
        ),
        "overlap": figures.overlap(np.array([[5, 2], [2, 5]]), ["a", "b"], 5),
        "shifts": figures.shifts(
            pd.DataFrame(
                {"map": ["a", "b"], "group": ["x", "y"], "set": ["top-k", "matched-k"], "shift": [0.5, 1.0]}
            )
        ),
        "collage": figures.collage(
            {"a": np.stack([picture, picture])[:, None], "b": np.stack([picture, picture])[:, None, ::-1]},
            {"a": [["x"], ["y"]], "b": [["y"], ["x"]]},
            {"a": ["one", "two"], "b": ["one", "two"]},
            ["ProGAN"],
            "Two tables of two patches.",
        ),
        "found pixels": figures.found_pixels(found_pixels(), {"lrp": "relevance", "edges": "edges"}),
        "patch categories": figures.patch_categories(
            pd.DataFrame(
                {
                    "generator": ["progan", "progan", "gaugan"],
                    "category": ["sky", "wall", "sky"],
                    "patches": [5, 3, 2],
                    "expected": [2.5, 5.5, 2.0],
                    "low": [1, 3, 1],
                    "high": [5, 7, 3],
                    "p_holm": [0.04, 0.3, 1.0],
                }
            )
        ),
        "field law": figures.field_law(
            pd.DataFrame(
                [
                    (n, p, m, 0.7, 0.6, 0.8, 0.5, 60)
                    for n in "ab"
                    for p in (2.0, 8.0)
                    for m in ("pictures", "pixels")
                ],
                columns=["network", "period", "measure", "value", "low", "high", "chance", "n"],
            ),
            {"a": "small field", "b": "wide field"},
        ),
        "compared": figures.compared(
            compared().rename(columns={"sees": "name"}), {"luma": "luma alone"}, "AP of one score."
        ),
        "planes": figures.planes(compared()),
        "patch chroma": figures.patch_chroma(chroma()),
        "pictures": figures.pictures({"real": picture[None], "fake": picture[None, ::-1]}),
    }


FIGURES = every_figure()


def shown(figure: go.Figure) -> list[bool]:
    return [trace.visible in (None, True) for trace in figure.data]


@pytest.mark.parametrize("name", FIGURES)
def test_has_a_caption_a_text_alternative_and_a_height(name: str) -> None:
    figure = FIGURES[name]
    assert figures.caption(figure).rstrip().endswith((".", "?"))
    assert len(figures.alt(figure)) > 20
    assert "nan" not in figures.alt(figure).lower().split()
    assert figure.layout.height >= 200 and figure.layout.width is None  # the page gives the width


@pytest.mark.parametrize("name", FIGURES)
def test_reads_on_light_and_dark_pages(name: str) -> None:
    layout = FIGURES[name].layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    ink = [int(layout.font.color[i : i + 2], 16) for i in (1, 3, 5)]

    def luminance(rgb: list[int]) -> float:
        linear = [v / 12.92 if (v := c / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for c in rgb]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    # WCAG contrast of large text, on white and on the theme's dark grey
    for page in ([255] * 3, [18] * 3):
        bright, dark = sorted((luminance(ink), luminance(page)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) > 4


@pytest.mark.parametrize("name", FIGURES)
def test_is_plain_json_and_small(name: str) -> None:
    text = FIGURES[name].to_json()
    json.loads(text)
    assert "http" not in text and len(text) < 200_000


@pytest.mark.parametrize("name", FIGURES)
def test_every_button_shows_something_and_the_first_is_what_stands(name: str) -> None:
    figure = FIGURES[name]
    for menu in figure.layout.updatemenus:
        choices = [button.args[0]["visible"] for button in menu.buttons]
        assert all(len(choice) == len(figure.data) and any(choice) for choice in choices)
        assert list(choices[menu.active]) == shown(figure)
        assert len({tuple(choice) for choice in choices}) == len(choices)


def test_finding_draws_the_numbers_of_the_table_in_percent() -> None:
    summary = verdicts.summarize(sensitivity())
    figure = figures.finding(summary, paper(), 114)
    measured = [t for t, on in zip(figure.data, shown(figure), strict=True) if on and t.name]
    assert [t.name for t in measured] == [name for name, _, _ in figures.CONDITIONS.values()]
    for trace, condition in zip(measured, figures.CONDITIONS, strict=True):
        rows = summary[summary["condition"] == condition].set_index("generator").loc[GENERATORS]
        np.testing.assert_allclose(trace.x, 100 * rows["ap"])
        np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, 100 * rows["low"])
        np.testing.assert_allclose(trace.x + trace.error_x.array, 100 * rows["high"])
        assert list(np.argsort(trace.y)[::-1]) == [0, 1, 2]  # the first generator stands on top


def test_finding_marks_chance_where_the_verdicts_have_it() -> None:
    summary = verdicts.summarize(sensitivity()).assign(n_real=20, n_fake=30)
    figure, chance = figures.finding(summary), 100 * verdicts.chance(20, 30)
    assert chance > 61  # a little above the share of fakes
    assert any(shape.x0 == shape.x1 == pytest.approx(chance) for shape in figure.layout.shapes)


def test_the_switch_to_the_paper_shows_only_published_numbers() -> None:
    figure = figures.finding(verdicts.summarize(sensitivity()), paper(), 114)
    choice = figure.layout.updatemenus[0].buttons[1].args[0]["visible"]
    drawn = [t for t, on in zip(figure.data, choice, strict=True) if on]
    assert len(drawn) == 4 and all(set(np.round(t.x, 9)) == {70.0} for t in drawn)


def test_an_unknown_condition_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="middle-k"):
        figures.finding(verdicts.summarize(sensitivity()).assign(condition="middle-k"))


def test_histograms_count_every_picture_also_the_outermost() -> None:
    table = scores()
    table.loc[0, "logit"] = 1e4
    figure = figures.histograms(table, "generator", names=figures.GENERATORS)
    bars = [t for t in figure.data if t.type == "bar"]
    assert len(bars) == 2 * len(GENERATORS)
    for trace in bars:
        assert sum(trace.y) == pytest.approx(100, abs=0.1)


def test_the_caption_of_histograms_counts_pictures_not_scores() -> None:
    table = scores()
    assert "on 50 reals and 50 fakes, the outermost" in figures.caption(
        figures.histograms(table, "generator")
    )
    drawn = pd.concat(
        [table.assign(image=[f"{i % 100}.png" for i in range(len(table))], draw=d) for d in range(3)]
    )
    text = figures.caption(figures.histograms(drawn, "generator"))
    assert "on 50 reals and 50 fakes" in text and "Every picture has 3 scores" in text


def test_captions_speak_of_seeds_where_there_are_several() -> None:
    table = sensitivity()
    several, one = (
        figures.caption(figures.finding(verdicts.summarize(rows)))
        for rows in (table, table[table["seed"] == 0])
    )
    assert "seeds" in several and "seeds" not in one
    rows = transfer()
    assert "seeds" in figures.caption(figures.transfer(rows))
    alone = figures.transfer(rows[rows["seed"].astype(str).isin(["0", "all"])])
    assert "seeds" not in figures.caption(alone)
    assert not any("seeds" in (trace.name or "") for trace in alone.data)


def test_histograms_without_scores_say_so() -> None:
    with pytest.raises(ValueError, match="generator"):
        figures.histograms(scores(), "generator", names={"dalle": "DALL-E"})


def test_omega_ranks_keep_the_first_and_leave_out_zeros() -> None:
    line = FIGURES["omega ranks"].data[0]
    assert line.x[0] == 1 and line.y[0] == 0.3 and min(line.y) == 0.1


def test_layer_mix_shares_add_up() -> None:
    figure = FIGURES["layer mix"]
    total = np.sum([trace.x for trace in figure.data], axis=0)
    np.testing.assert_allclose(total, 100)


def test_labels_that_lead_somewhere_are_kept_beside_the_caption() -> None:
    figure = figures.conservation(pd.DataFrame({"layer": ["a"], "share": [1.0]}), {"a": 1.0})
    before = figures.caption(figure), figures.alt(figure)
    assert figures.linked(figure, {"a": "atlas.html#a.0"}) is figure
    assert figure.layout.meta["links"] == {"a": "atlas.html#a.0"}
    assert (figures.caption(figure), figures.alt(figure)) == before


def test_patch_chroma_draws_the_table_and_moves_the_line_of_no_difference() -> None:
    figure = FIGURES["patch chroma"]
    for trace, (_, rows) in zip(figure.data, chroma().groupby("group", sort=False), strict=True):
        known = rows.dropna()
        np.testing.assert_allclose(trace.x, known["value"])
        np.testing.assert_allclose(trace.x + trace.error_x.array, known["high"])
        np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, known["low"])
    ratio, difference = figure.layout.updatemenus[0].buttons
    assert list(ratio.args[0]["visible"]) == [True] * 3 + [False] * 2
    line = figure.layout.shapes[0]
    assert (line.type, line.x0) == ("line", ratio.args[1]["shapes[0].x0"]) == ("line", 1)
    assert difference.args[1]["shapes[0].x1"] == 0
    with pytest.raises(ValueError, match="middle-k"):
        figures.patch_chroma(chroma().assign(group="middle-k"))


def test_pictures_are_stored_without_loss() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    source = figures.pictures({"row": picture}).data[0].source
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    np.testing.assert_array_equal(sheet[:8, :8, :3], picture[0])
    np.testing.assert_array_equal(sheet[:8, -8:, :3], picture[1])


def test_pictures_go_on_in_the_next_line() -> None:
    array = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)
    figure = figures.pictures({"real": array, "fake": array[:1]}, columns=2)
    source = figure.data[0].source
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    np.testing.assert_array_equal(sheet[6:10, :4, :3], array[2])
    np.testing.assert_array_equal(sheet[12:16, :4, :3], array[0])
    assert list(figure.layout.yaxis.ticktext) == ["real", "fake"]
    assert list(figure.layout.yaxis.tickvals) == [1.5, 13.5]


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (lambda: figures.pictures({}), "no pictures"),
        (
            lambda: figures.pictures({"a": np.zeros((1, 4, 4, 3), "u1"), "b": np.zeros((1, 8, 8, 3), "u1")}),
            "sizes",
        ),
        (lambda: figures.relevance_maps(np.zeros((4, 4, 3), "u1"), {}), "layer"),
        (lambda: figures.forest(contrast().iloc[:0]), "no row"),
        (lambda: figures.training_curves(pd.DataFrame({"seed": [0], "step": [1]}), {"loss": "loss"}), "loss"),
    ],
)
def test_bad_input_is_told_in_one_sentence(draw: Callable[[], go.Figure], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        draw()


@pytest.mark.parametrize("seeds", [1, 3])
def test_captions_speak_of_seeds_only_where_there_are_several(seeds: int) -> None:
    contrast = pd.DataFrame(
        {
            "generator": "gaugan", "seed": seed, "contrast": "top-k - matched-k", "delta_ap": -0.1,
            "low": -0.2, "high": 0.0, "n_draws": 5, "n_real": 8, "n_fake": 8,
        }
        for seed in (*map(str, range(seeds)), "all")
    )  # fmt: skip
    shares = pd.DataFrame(
        {
            "generator": "gaugan", "seed": seed, "method": "lrp", "model": model, "value": 0.9, "low": 0.8,
            "high": 1.0, "n": 8,
        }
        for seed in (*map(str, range(seeds)), "all")
        for model in ("detector", "detector - classifier")
    )  # fmt: skip
    summary = pd.DataFrame(
        {
            "generator": ["gaugan"],
            "condition": ["top-k"],
            "acc_real": [0.9],
            "acc_fake": [0.5],
            "seeds": [seeds],
        }
    )
    chroma = pd.DataFrame(
        {"generator": ["gaugan"], "group": ["top-k"], "value": [1], "low": [0], "high": [2], "n_maps": [7]}
    )
    history = pd.DataFrame({"seed": range(seeds), "step": 1, "loss": 0.5})
    sources = pd.DataFrame({"generator": ["gaugan"], "source": ["x"], "acc_real": [0.9], "acc_fake": [0.5]})
    drawn = [
        figures.forest(contrast), figures.object_shares(shares), figures.share_differences(shares),
        figures.accuracies(summary), figures.patch_chroma(chroma, seeds),
        figures.training_curves(history, {"loss": "loss"}), figures.thresholds(sources, seeds),
    ]  # fmt: skip
    for figure in drawn:
        assert ("seeds" in figures.caption(figure)) == (seeds > 1), figures.caption(figure)


def test_statistics_of_a_training_stand_at_their_steps_and_in_their_family() -> None:
    table = statistics()
    figure = figures.training_statistics(table)
    menu = figure.layout.updatemenus[0].buttons
    assert [button.label for button in menu] == ["ProGAN", "mine"]
    for button, generator in zip(menu, ["progan", "mine"], strict=True):
        drawn = [t for t, on in zip(figure.data, button.args[0]["visible"], strict=True) if on]
        assert [t.name for t in drawn] == ["luma: detail", "chroma: detail"]
        for trace, statistic in zip(drawn, ["luma detail", "chroma detail"], strict=True):
            rows = table[(table["generator"] == generator) & (table["statistic"] == statistic)]
            rows = rows.sort_values("step")
            assert list(trace.x) == [100, 200]
            np.testing.assert_allclose(trace.y, rows["auc"])
            np.testing.assert_allclose(trace.customdata[:, :2], rows[["low", "high"]])
    assert any(shape.y0 == shape.y1 == 0.5 for shape in figure.layout.shapes)
    assert "ProGAN, luma: detail 0.70" in figures.alt(figure)
    with pytest.raises(ValueError, match="no statistic to draw"):
        figures.training_statistics(table[table["statistic"] == "pair down Y"])


@pytest.mark.parametrize(("ap", "left"), [(0.9, 38.0), (0.1, 6.0)])
def test_no_score_is_left_of_the_axis(ap: float, left: float) -> None:
    table = compared().rename(columns={"sees": "name"}).assign(ap=ap)
    figure = figures.compared(table, {"luma": "luma alone"}, "AP of one score.")
    assert figure.layout.xaxis.range[0] == pytest.approx(left)
