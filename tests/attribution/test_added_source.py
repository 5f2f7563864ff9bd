"""The step that teaches networks one more source: nothing else moves, and too few pictures end well."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT
from who import draw

from tff_core.attribution import sources, training, weights
from tff_core.pictures import data
from tff_core.store.results import Store

sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import add_source

# one worker trains the networks that all of these tests look at
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("added source")]
KNOWN = ("columns", "rows")
COUNTS = {"train": 16, "val": 8, "test": 8}
MOST = {**COUNTS, "train": 40}  # more than there are
SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "max_epochs": 3,
    "detection_rate": 5e-3,
    "attribution_rate": 5e-3,
}


def pictures(store: Store, part: str, source: str, n: int, seed: int, aside: Path) -> None:
    """Reals and fakes of one source, as a build has them."""
    folder = store.data("miniature", part, source)
    folder.mkdir(parents=True)
    for label, kind in zip(data.LABELS, ("reals", source), strict=True):
        draw(aside / f"{source} {seed}", part, kind, n, seed)
        (aside / f"{source} {seed}" / kind / part).rename(folder / label)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A build with networks that name two sources, trained from two seeds, and pictures of a third."""
    store, aside = Store(tmp_path_factory.mktemp("build")), tmp_path_factory.mktemp("aside")
    for seed, source in enumerate(KNOWN):
        for part, n in COUNTS.items():
            pictures(store, part, source, n, seed, aside)
    pictures(store, "test", "both", 40, 5, aside)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    images, held_out = (
        sources.of_sets({one: data.scan(store.data("miniature", part, one)) for one in KNOWN})
        for part in ("train", "val")
    )
    for seed in (0, 1):
        training.train(
            images, held_out, store.attributor("modules_pixel", seed), "pixel", 64,
            training.Config(**SETTINGS), seed=seed, device="cpu", progress=False,
        )  # fmt: skip
    torch.set_num_threads(before)
    return store


def step(store: Store, least: int) -> None:
    """Run it in this process: loading torch takes longer than all that it does."""
    given = {
        "--generator": "both", "--dataset": "miniature", "--named": "miniature-sources",
        "--folders": json.dumps(dict.fromkeys(KNOWN, "miniature")), "--pictures": json.dumps(MOST),
        "--least": least, "--network": "modules_pixel", "--size": 64, "--settings": json.dumps(SETTINGS),
        "--device": "cpu",
    }  # fmt: skip
    words = [str(word) for pair in given.items() for word in pair]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["add_source.py", *words, "--seeds", "0", "1"])
        patch.setenv("TFF_BUILD", str(store.root))
        patch.setenv("OMP_NUM_THREADS", "1")
        add_source.main()


def state(store: Store) -> dict[str, tuple[bytes, int]]:
    """Content and time of everything that was there before."""
    new = ("results", "data/miniature-sources", "attribution/modules_pixel+both")
    found = [path for path in sorted(store.root.rglob("*")) if path.is_file()]
    names = {path.relative_to(store.root).as_posix(): path for path in found}
    return {n: (p.read_bytes(), p.stat().st_mtime_ns) for n, p in names.items() if not n.startswith(new)}


@pytest.fixture
def learnt(store: Store) -> Store:
    """The build after the step."""
    if not store.part("source_added", "modules_pixel", "both").is_file():
        before = state(store)
        step(store, 40)
        assert state(store) == before
    return store


@pytest.mark.slow
def test_a_module_is_added_and_nothing_else_has_moved(learnt: Store) -> None:
    store = learnt
    part = store.part("source_added", "modules_pixel", "both")
    about = json.loads(part.with_suffix(".json").read_text())
    assert about["lacks"] == "" and about["pictures"]["train"] == {"real": 20, "fake": 20}
    for seed, path in enumerate(about["weights"]):
        old, new = (
            weights.modules(weights.load([one]), "it")
            for one in (store.attributor("modules_pixel", seed), store.root / path)
        )
        assert new.names == (*KNOWN, "both")
        kept = zip([old.primary, *old.secondaries], [new.primary, *new.secondaries], strict=False)
        for one, other in kept:
            a, b = one.state_dict(), other.state_dict()
            assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        info = json.loads((store.root / path).with_suffix(".json").read_text())
        assert list(info["best"]) == ["both"]  # no other module was trained
    scores = pd.read_csv(part)
    assert list(dict.fromkeys(scores["name"])) == ["detection", *KNOWN, "both"]
    row = scores[(scores["name"] == "both") & (scores["measure"] == "ap")].iloc[0]
    assert (row["n"], row["n_others"], row["seeds"]) == (8, 8 + 8 + 8 * 3, 2)
    answers = pd.read_csv(part.with_suffix(".confusion.csv"))
    counted = answers.groupby(["seed", "way", "truth"])["n"].sum()
    assert set(counted) == {8, 24} and len(counted) == 2 * 2 * 4


@pytest.mark.slow
def test_what_it_has_learnt_from_is_not_in_its_test(learnt: Store) -> None:
    parts = [data.scan(learnt.data("miniature-sources", part, "both")) for part in COUNTS]
    seen = [{path.read_bytes() for path in images.paths} for images in parts]
    assert not (seen[0] | seen[1]) & seen[2] and len(set.union(*seen)) == sum(map(len, parts))


@pytest.mark.slow
def test_with_too_few_pictures_it_gets_one_sentence_and_no_row(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    step(store, 41)
    told = capsys.readouterr().out.strip().splitlines()
    assert len(told) == 1 and told[0].startswith("both gets no module: both has 40 reals and 40 fakes")
    part = store.part("source_added", "modules_pixel", "both")
    about = json.loads(part.with_suffix(".json").read_text())
    assert told[0].endswith(about["lacks"]) and "weights" not in about
    for path in (part, part.with_suffix(".confusion.csv")):
        assert pd.read_csv(path).empty and len(pd.read_csv(path).columns) > 5
