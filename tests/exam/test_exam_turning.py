"""What turns a decision: by hand for a detector of brightness, and nothing where nothing does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from exam_pictures import detector, draw
from PIL import Image

from tff_core.detectors import judge
from tff_core.exam import turning
from tff_core.pictures import data, degradations

LEVELS = {"jpeg": (100, 30), "blur": (0.3, 0.8, 2), "noise": (0.001, 1), "crop": (0.5,)}
RULE = judge.Rule(0.0, 0.0, 0.0, "")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(draw(tmp_path_factory.mktemp("turning") / "set", 2, 0).paths)


def test_each_turn_is_the_first_level_at_which_the_decision_differs(paths: list[Path]) -> None:
    model = detector()
    found = turning.turning(model, paths, RULE, LEVELS, batch_size=4)
    assert list(found.columns) == turning.columns(LEVELS) and len(found) == 4
    for place, path in enumerate(paths):
        # the number of a picture in its batch is its place among all
        shown = data.read(path)[None]
        before = RULE.decide(judge.logits_of(model, shown, torch.device("cpu"))[0])
        turns, apart = {}, {}
        for name, levels in LEVELS.items():
            for level in levels:
                changed = degradations.degrade(shown, name, level, [place])
                if RULE.decide(judge.logits_of(model, changed, torch.device("cpu"))[0]) != before:
                    turns[name] = level
                    if name != "crop":
                        error = (changed.double() - shown.double()).square().mean()
                        apart[name] = 10 * math.log10(255**2 / float(error))
                    break
        row = found.iloc[place]
        for name in LEVELS:
            assert row[f"turns_{name}"] == turns[name] if name in turns else np.isnan(row[f"turns_{name}"])
        if apart:
            assert row["turned_by"] == max(apart, key=lambda name: apart[name])
            assert row["turned_at"] == turns[row["turned_by"]]
            assert row["turned_psnr"] == pytest.approx(max(apart.values()))
            assert row["turned_to"] != before
        else:
            assert (np.isnan(row["turned_at"]) and row["turned_by"] is np.nan) or row["turned_by"] is None
    assert found["turns_blur"].iloc[2:].notna().all()  # fakes lose their trace
    assert found["turns_noise"].isna().any()


def test_unsure_is_a_decision_too(paths: list[Path]) -> None:
    model = detector()
    logits = judge.logits_of(model, torch.stack([data.read(p) for p in paths]), torch.device("cpu"))
    zone = judge.Rule(0.0, float(logits.min()) - 1, float(logits.max()) - 1e-4, "")
    found = turning.turning(model, paths[2:], zone, {"blur": (2,)})
    surest = int(logits[2:].argmax())
    assert found.loc[surest, "turned_to"] == "unsure" and found["turns_blur"].notna().sum() == 1


def test_what_cannot_be_judged_or_cropped_turns_nothing(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    small = tmp_path / "small.png"
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(small)
    wants = data.Preprocessing(crop=20)
    model = detector()
    found = turning.turning(
        model, [tmp_path / "broken.png", small, paths[2]], RULE, LEVELS, preprocessing=wants
    )
    assert found.iloc[:2].isna().all().all()
    assert found.loc[2, "turns_blur"] > 0 and np.isnan(found.loc[2, "turns_crop"])  # 16 pixels are too few
    empty = turning.turning(model, [], RULE)
    assert list(empty.columns) == turning.columns() and empty.empty


def test_words_say_the_smallest_turn_and_how_many_turn(paths: list[Path]) -> None:
    found = turning.turning(detector(), paths[2:], RULE, LEVELS)
    told = turning.told(found)
    assert "blur 2 (from 0." in told and "noise none" in told
    row = found.iloc[0].to_dict()
    assert turning.smallest(row).startswith(
        f"{row['turned_by']} "
    ) and "turns it to real" in turning.smallest(row)
    assert turning.smallest({"turned_by": None}) == "nothing that was tried turns it"
    assert "only a crop by 0.5" in turning.smallest({"turned_by": np.nan, "turns_crop": 0.5})
    chroma = {"turned_by": "chroma", "turned_at": 4.0, "turned_psnr": 30.0, "turned_to": "real"}
    assert "chroma 4:2:0" in turning.smallest(chroma)


def test_levels_are_checked_first() -> None:
    with pytest.raises(ValueError, match="operation 'rain'"):
        turning.turning(detector(), [], RULE, {"rain": (1,)})
    assert turning.psnr(torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)) == math.inf
    assert turning.psnr(torch.zeros(3, 2, 2), torch.full((3, 2, 2), 255.0)) == 0
