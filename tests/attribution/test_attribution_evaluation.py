"""The numbers of a test of sources, against numbers worked out by hand and by scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from who import network

from tff_core.attribution import answers, evaluation
from tff_core.attribution.training import REAL, Pictures
from tff_core.cli import main

NAMES = ("progan", "sngan")


def asked(monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, float, float, float]], names=NAMES) -> Any:  # type: ignore[no-untyped-def]
    """An evaluation of pictures whose probabilities are known: (truth, fake, progan, sngan) each."""
    net = network(sources=list(NAMES))
    values = np.array([row[1:] for row in rows])
    paths = tuple(Path(f"{i}.png") for i in range(len(rows)))

    def told(*_: object, **__: object) -> pd.DataFrame:
        broken = {i: ValueError("no") for i in range(len(rows)) if np.isnan(values[i, 0])}
        return answers._table(net, paths, values, np.full((len(rows), 2), 64), broken, 0.5)

    monkeypatch.setattr(answers, "attribute", told)
    return evaluation.evaluate(net, Pictures(paths, tuple(row[0] for row in rows), names))


ROWS = [
    (REAL, 0.1, 0.2, 0.1), (REAL, 0.3, 0.8, 0.1), (REAL, 0.9, 0.1, 0.7),  # the second contradicts
    (0, 0.8, 0.9, 0.2), (0, 0.9, 0.4, 0.3), (0, 0.7, 0.6, 0.9),
    (1, 0.2, 0.1, 0.9), (1, 0.6, 0.2, 0.8),
]  # fmt: skip


def test_every_number_is_what_hand_and_scikit_learn_say(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, ROWS)
    gated = found.confusion[found.confusion["way"] == "gated"].set_index(["truth", "answer"])["n"]
    expected = {
        ("real", "real"): 2, ("real", "sngan"): 1, ("progan", "progan"): 1, ("progan", "none of these"): 1,
        ("progan", "sngan"): 1, ("sngan", "real"): 1, ("sngan", "sngan"): 1,
    }  # fmt: skip
    assert gated[gated > 0].to_dict() == expected
    raw = found.confusion[found.confusion["way"] == "raw"].set_index(["truth", "answer"])["n"]
    assert raw["real", "progan"] == 1 and raw["sngan", "sngan"] == 2 and raw["progan", "real"] == 1
    shares = found.confusion.groupby(["way", "truth"])["share"].sum()
    np.testing.assert_allclose(shares, 1)
    rows = found.sources.set_index("name")
    truth = np.array([["real", *NAMES][row[0] + 1] for row in ROWS])
    for name, column in zip(NAMES, (2, 3), strict=True):
        labels, scores = truth == name, np.array([row[column] for row in ROWS])
        p, r, f, _ = precision_recall_fscore_support(
            labels, found.pictures["decision"] == name, average="binary"
        )
        assert rows.loc[name, ["precision", "recall", "f1"]].tolist() == pytest.approx([p, r, f])
        assert rows.loc[name, "ap"] == pytest.approx(average_precision_score(labels, scores))
    assert rows.loc["detection", "n"] == 5 and rows.loc["detection", "recall"] == pytest.approx(4 / 5)
    facts = found.facts
    assert facts["known"]["share"] == pytest.approx(4 / 8) and facts["known"]["n"] == 8
    assert facts["contradictions"]["share"] == pytest.approx(2 / 3)  # of three called real
    assert facts["unclaimed"]["share"] == pytest.approx(1 / 5)
    assert facts["unknown"]["n"] == 0 and np.isnan(facts["unknown"]["share"])


def test_a_source_that_nobody_knows_is_right_as_none_of_these(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(REAL, 0.1, 0.1, 0.1), (0, 0.9, 0.9, 0.1), (1, 0.9, 0.1, 0.2), (1, 0.9, 0.1, 0.8), (1, 0.1, 0, 0)]
    found = asked(monkeypatch, rows, names=("progan", "stylegan"))
    assert found.pictures["right"].tolist() == [True, True, True, False, False]
    assert found.facts["unknown"] == pytest.approx(found.facts["unknown"] | {"share": 1 / 3, "n": 3})
    lonely = found.sources.set_index("name").loc["sngan"]
    assert lonely["n"] == 0 and np.isnan(lonely["ap"]) and lonely["precision"] == 0


def test_what_cannot_be_judged_counts_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (0, np.nan, np.nan, np.nan)
    found = asked(monkeypatch, [*ROWS, broken])
    assert found.facts["unreadable"] == 1 and found.facts["n"] == len(ROWS)
    with pytest.raises(ValueError, match="none of 1 pictures can be judged; the first: no"):
        asked(monkeypatch, [broken])
    with pytest.raises(ValueError, match="names no source"):
        evaluation.evaluate(network(sources=0), Pictures((), (), ()))


def test_calibration_is_zero_for_the_calibrated_and_the_distance_for_others() -> None:
    assert evaluation.calibration_error([0, 1, 1, 1], [0.75] * 4) == 0
    assert evaluation.calibration_error([0, 0, 1, 1], [1.0] * 4) == pytest.approx(0.5)
    assert evaluation.calibration_error([1, 0], [0.95, 0.15]) == pytest.approx((0.05 + 0.15) / 2)


def test_the_command_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for kind in ("reals", "progan", "other"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}.png")
    published = Path(__file__).with_name("golden") / "pixel_64_1_0.keras"
    given = ["--reals", str(tmp_path / "reals")]
    given += [x for k in ("progan", "other") for x in ("--source", f"{k}={tmp_path / k}")]
    given += ["--weights", str(published), "--names", "progan"]
    assert main(["attribute-test", *given, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("name,n,ap,auc,precision,recall,f1,calibration\ndetection,6,")
    assert "of 6 pictures of known sources and reals are named right; 0 cannot be judged" in said.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "pictures.csv", "confusion.csv", "sources.csv", "facts.json",
    }  # fmt: skip
    assert pd.read_csv(tmp_path / "out" / "pictures.csv")["truth"].value_counts().to_dict() == {
        "real": 3, "progan": 3, "other": 3,
    }  # fmt: skip
