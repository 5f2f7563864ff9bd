"""What the data card says of sampled pictures and of pictures from elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tff_core.claims.texts import pictures as texts
from tff_core.pictures import statistics


def test_folders_from_elsewhere_have_sizes_and_formats() -> None:
    row = {
        "folder": "CycleGAN, test", "reals": 60, "fakes": 58, "classes": 0, "sides": ["40x40", "48x64"],
        "formats": ["JPEG", "PNG"], "other": 1, "unreadable": 2,
    }  # fmt: skip
    text = texts.folders([row, row | {"classes": 2, "sides": ["40x40"]}], 200)
    assert "| CycleGAN, test | 60 | 58 | none | 40x40 to 48x64 | JPEG, PNG | 1 | 2 |" in text
    assert "| 2 | 40x40 | JPEG, PNG |" in text and "of the first 200 pictures per label" in text


def test_only_properties_that_separate_are_listed() -> None:
    row = {"folder": "f", "property": "width", "chance": 0.6, "real": "64", "fake": "48"}
    table = pd.DataFrame([row | {"auc": 0.9}, row | {"auc": 0.5, "property": "height"}])
    text = texts.separation(table, 0.7)
    assert "| f | width | 0.90 | 0.60 | 64 | 48 |" in text and "height" not in text
    assert texts.separation(table, 0.95) == (
        "No property of the files separates reals from fakes with an AUC above 0.95."
    )


def test_what_was_sampled_is_a_row_for_each_folder() -> None:
    row = {"part": "test", "generator": "ProGAN", "reals": 8, "fakes": 8, "models": 1}
    assert texts.sampled([row]).splitlines()[2] == "| test | ProGAN | 8 | 8 | 1 |"


def test_models_count_their_weights_and_files() -> None:
    row = {
        "generator": "gaugan", "model": "gaugan.s1", "parts": "test", "upsampling": "nearest", "seed": 1,
        "steps": 400, "parameters": 123456, "kilobytes": 500.0,
    }  # fmt: skip
    text = texts.models(pd.DataFrame([row, row]))
    assert "| GauGAN | gaugan.s1 | test | nearest | 1 | 400 | 123,456 |" in text
    assert text.endswith("2 files, 1.0 MB in all.")


def test_statistics_are_percent_in_the_order_of_the_generators() -> None:
    table = pd.DataFrame(
        {
            "generator": g, "statistic": name, "auc": auc, "real": 0.5, "fake": 0.75, "n_real": 8,
            "n_fake": 6,
        }
        for g in ("stylegan2", "biggan")
        for name, auc in (("chroma to luma", 0.9), ("detail", 0.25))
    )  # fmt: skip
    lines = texts.statistics(table).splitlines()
    assert lines[0] == "| generator | chroma to luma | detail |"
    assert lines[2:4] == ["| StyleGAN2 | 90 % | 25 % |", "| BigGAN | 90 % | 25 % |"]
    assert "n = 6 fakes and 8 reals" in lines[-1]
    assert "StyleGAN2 0.75 (reals 0.50); BigGAN 0.75 (reals 0.50)." in lines[-1]


def _likeness(**means: float) -> pd.DataFrame:
    """Every statistic of each set, with the set's mean and an interval of 0.1 to either side."""
    return pd.DataFrame(
        {
            "set": one, "statistic": name, "mean": mean, "low": mean - 0.1, "high": mean + 0.1,
            "spread": 0.2, "groups": 2, "n": 160 if one != "photographs" else 16,
        }
        for one, mean in means.items()
        for name in statistics.measure(np.zeros((1, 16, 16, 3), np.uint8))
    )  # fmt: skip


def test_cameras_stand_beside_photographs_and_what_is_apart_is_listed() -> None:
    table = _likeness(photographs=0.5, **{"1": 0.2, "2": 0.6, "other": 0.5})
    far = (table["set"] == "2") & (table["statistic"] == "slope Cb")
    table.loc[far, ["mean", "low", "high"]] = [-3, -3.1, -2.9]
    text = texts.cameras(table, ["cat", "temple"])
    lines = text.splitlines()
    assert lines[0] == "| mean | photographs | edition 1 | edition 2 | second camera |"
    assert (
        "| saturation | 0.50 [0.40, 0.60] | 0.20 [0.10, 0.30] | 0.60 [0.50, 0.70] | 0.50 [0.40, 0.60] |"
        in lines
    )
    assert "n = 16 crops of 2 photographs (cat, temple)" in text and "n = 160 scenes each" in text
    assert "- edition 2: slope of the spectrum, Cb" in lines and "- second camera: none" in lines
    assert any(line.startswith("- edition 1: chroma to luma detail; luma detail") for line in lines)


def test_cameras_without_photographs_say_so() -> None:
    text = texts.cameras(_likeness(**{"1": 0.2, "2": 0.6, "other": 0.5}), [])
    assert text.startswith("| mean | edition 1 | edition 2 | second camera |")
    assert text.endswith(
        "None of the photographs is installed, so the cameras are compared with each other only."
    )
