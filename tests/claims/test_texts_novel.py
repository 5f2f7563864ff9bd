"""What the chapter on unknown sources says, from tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tff_core.claims import verdicts
from tff_core.claims.texts import novel as texts

NAN = float("nan")


def areas(**ends: tuple[float, float, float]) -> pd.DataFrame:
    """AUROC of each unknown source; the other measures are 0.4."""
    rows = []
    for source, (value, low, high) in ends.items():
        for measure in ("auroc", "oscr", "accepted"):
            numbers = (value, low, high) if measure == "auroc" else (0.4, 0.3, 0.5)
            rows.append(
                {"generator": source, "measure": measure, "seeds": 3, "n": 30, "n_known": 120}
                | dict(zip(("value", "low", "high"), numbers, strict=True))
            )
    return pd.DataFrame(rows)


def test_a_source_is_told_apart_where_known_ones_score_above_it() -> None:
    table = areas(a=(0.9, 0.8, 0.95), b=(0.6, 0.45, 0.7))
    said = texts.novel(table)
    assert "for 1 of 2 unknown sources (a), below for 0; open: 1 (b)" in said
    assert "The claim **holds in part** here" in said
    assert "| a | 90.0 % [80.0, 95.0] | 40.0 % [30.0, 50.0] | 40.0 % [30.0, 50.0] |" in said
    assert "The claim **holds**" in texts.novel(areas(a=(0.9, 0.8, 0.95), b=(0.9, 0.8, 0.95)))
    mixed = pd.concat(
        [areas(a=(0.9, 0.8, 0.95), b=(0.1, 0.05, 0.3)), areas(**{texts.EVERY: (0.5, 0.4, 0.6)})]
    )
    assert "The claim is **mixed** here" in texts.novel(mixed)
    assert "of 2 unknown sources" in texts.novel(mixed)  # all together are no source
    assert "for 0 of 2" in texts.novel(table.assign(seeds=1))


def test_the_promise_stands_beside_what_was_kept() -> None:
    share = {"share": 0.9, "low": 0.8, "high": 0.95, "n": 40}
    fact = {
        "coverage": share | {"promised": 0.95, "plausible": [0.88, 0.99]}, "calibration": 40,
        "named": share, "unknown_rejected": share, "reals_accepted": share,
    }  # fmt: skip
    said = texts.promise([fact, fact])
    assert "| 2 | 90.0 % [80.0, 95.0] (n = 40) | 88 to 99 % |" in said
    assert "Promised: 95 %" in said and "calibrations on 40 pictures" in said


def damage(seed: int, **rises: tuple[float, float]) -> pd.DataFrame:
    """Rises of false "none" and of false names at the strongest of two strengths, each give or take 0.1."""
    start = {"operation": "untouched", "strength": NAN, "unit": "", "value": 0.1, "change": NAN}
    rows = [
        start | {"measure": measure, "n": n, "seed": seed}
        for measure, n in (("accuracy", 160), ("false none", 80), ("false name", 160))
    ]
    for operation, (none, name) in rises.items():
        for strength, share in ((1.0, 0.1), (2.0, 1.0)):
            for measure, rise in (("false none", none), ("false name", name)):
                rows.append(
                    {"operation": operation, "strength": strength, "unit": "steps", "measure": measure,
                     "n": 80, "value": 0.1, "change": share * rise, "change_low": share * rise - 0.1,
                     "change_high": share * rise + 0.1, "seed": seed}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_an_operation_speaks_where_every_training_says_the_same_at_its_strongest() -> None:
    first = damage(0, blur=(0.8, 0.0), resize=(0.0, 0.5), crop=(0.5, 0.4), noise=(0.6, 0.1))
    second = damage(1, blur=(0.7, 0.1), resize=(0.1, 0.6), crop=(0.8, 0.0), noise=(0.1, 0.6))
    table = pd.concat([first, second])
    rows = texts.missed(table).set_index("operation")
    assert rows["says"].to_dict() == {
        "blur": verdicts.FOR, "resize": verdicts.AGAINST, "crop": verdicts.OPEN, "noise": verdicts.OPEN
    }  # fmt: skip
    assert rows.loc["blur", ["strength", "none", "name"]].tolist() == pytest.approx([2.0, 0.75, 0.05])
    assert set(texts.missed(first)["says"]) == {verdicts.OPEN}  # one training
    said = texts.misses(table)
    assert "The claim is **mixed** here. Of 4 operations speak for it 1 (blur); against it 1 (resize)" in said
    assert "false *none* of 80 fakes, false names of 160 pictures" in said
    only = pd.concat([damage(s, blur=(0.8, 0.0), noise=(0.9, 0.1)) for s in (0, 1)])
    assert "The claim **holds** here" in texts.misses(only)


def test_groups_are_told_with_their_sources() -> None:
    agreed = pd.DataFrame(
        [{"level": "source", "ari": 0.5, "low": 0.3, "high": 0.7, "n": 4, "sources": 2, "groups": 2}]
    )
    said = texts.groups(np.array([0, 0, 1, 1]), ["biggan", "biggan", "biggan", "gaugan"], agreed, 1)
    assert "| BigGAN | 2 | 1 |" in said and "| GauGAN | 0 | 1 |" in said
    assert "0.50 [0.30, 0.70]; n = 4 pictures of 2 unknown sources in 2 groups" in said
    assert "rejects 1 of them" in said


def test_what_tasks_share_stands_beside_their_untrained_control() -> None:
    row = {"a": "detection", "b": "progan", "measure": "order", "together": 0.4, "control": 0.3, "value": 0.1,
           "low": -0.1, "high": 0.3, "p": 0.25, "draws": 16, "n_a": 11, "n_b": 13}  # fmt: skip
    none = row | {"measure": "first 5", "value": NAN, "low": NAN, "high": NAN}
    said = texts.bridged(pd.DataFrame([row, none, row | {"a": "progan", "b": "gaugan"}]))
    assert "| ProGAN | order | 0.40 | 0.30 | +0.10 [-0.10, +0.30] | 0.25 |" in said
    assert "| ProGAN | first 5 | 0.40 | 0.30 | none | 0.25 |" in said
    assert "GauGAN" not in said and "n = 11 to 13 pictures a task, 16 controls" in said
    assert "Not to be asked of this network:** nothing speaks." in texts.no_bridge("nothing speaks")


def test_what_tasks_lose_without_each_others_maps_is_counted_by_whole_intervals() -> None:
    deltas = {
        ("detection", "detection"): (-0.2, -0.1), ("detection", "a"): (-0.1, 0.1),
        ("detection", "b"): (-0.3, -0.2),
        ("a", "detection"): (-0.2, -0.1), ("a", "a"): (-0.4, -0.3), ("a", "b"): (-0.1, 0.2),
        ("b", "detection"): (-0.1, 0.0), ("b", "a"): (0.1, 0.2), ("b", "b"): (-0.4, -0.3),
    }  # fmt: skip
    rows = [
        {"measured": m, "ranked": r, "seed": seed, "contrast": contrast, "delta_ap": (low + high) / 2,
         "low": low, "high": high, "k": 5, "control": 4.5, "n_fake": 20, "n_real": 60}
        for (m, r), (low, high) in deltas.items()
        for seed in ("0", "all")
        for contrast in ("top-k - matched-k", "top-k - baseline")
    ]  # fmt: skip
    said = texts.crossed(pd.DataFrame(rows))
    lines = said.splitlines()
    assert lines[0] == "| measured | maps of detection | maps of a | maps of b |" and len(lines) == 9
    assert "without the first 5 maps minus AP without 4 others" in said
    assert "Without maps that detect, 1 of 2 sources are named worse" in said
    assert "detection is worse for 1 of 2 sources. " in said
    assert "it is too mild there" in said
    assert "too mild" not in texts.crossed(pd.DataFrame(rows).assign(control=5.0))
