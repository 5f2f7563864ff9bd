"""What a chapter opens with: paths, pictures, networks, and rows of tables that end where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1

from tff_core import detectors
from tff_core.book.chapter import Chapter, places, say
from tff_core.detectors import adoption
from tff_core.features import ffrs
from tff_core.features.names import FeatureMap
from tff_core.pictures import data
from tff_core.store.results import Store

GENERATORS = ["progan", "gaugan"]
SETTINGS = {"resize": 40, "crop": 36, "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(tmp_path_factory.mktemp("chapter"))
    rng = np.random.default_rng(0)
    for part, generator in (("val", "progan"), ("test", "progan"), ("test", "gaugan")):
        for name in data.LABELS:
            folder = store.data("theirs", part, generator) / name
            folder.mkdir(parents=True)
            for i in range(5):
                pixels = rng.integers(0, 256, (44, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    torch.manual_seed(0)
    weights = store.root / "net.pth"
    torch.save(squeezenet1_1(num_classes=1).state_dict(), weights)
    entry: dict[str, Any] = {
        "weights": str(weights),
        "arch": "torchvision.models:squeezenet1_1",
        "k": 7,
        "preprocessing": SETTINGS,
    }
    adoption.adopt("small", entry, store, dataset="theirs", device="cpu")
    return str(store.root)


def test_pictures_are_those_of_the_part_the_label_and_the_number_asked_for(build: str) -> None:
    chapter = Chapter("small", GENERATORS, device="cpu", build=build)
    fakes = chapter.test("gaugan", label=1, first=3)
    assert fakes.labels == (1, 1, 1)
    assert all("test/gaugan" in path.as_posix() for path in fakes.paths)
    held_out = chapter.validation()
    assert held_out.counts == (5, 5) and "val/progan" in held_out.root.as_posix()
    assert chapter.load(fakes).shape == (3, 3, 36, 36)  # cut as this detector wants it
    (x, y, _), *rest = chapter.batches(fakes, size=2)
    assert x.shape == (2, 3, 36, 36) and y.tolist() == [1, 1] and len(rest) == 1


def test_the_network_for_relevance_computes_what_the_trained_one_does(build: str) -> None:
    chapter = Chapter("small", GENERATORS, device="cpu", build=build)
    batches = chapter.batches(chapter.validation())
    trained = detectors.logits(chapter.trained().model, batches)
    np.testing.assert_allclose(detectors.logits(chapter.net(), batches), trained, atol=1e-4)
    assert chapter.net() is chapter.net() and chapter.trained() is chapter.trained()


def test_omega_is_the_file_of_its_seed_and_label(build: str) -> None:
    chapter = Chapter("small", GENERATORS, device="cpu", build=build)
    rng = np.random.default_rng(1)
    for label in ("fake", "real"):
        values = {layer: rng.random(total) for layer, total in chapter.net().layers.items()}
        ffrs.Omega(values, count=1).to_csv(chapter.store.omega("small", 0, label))
        some = next(iter(values))
        assert chapter.omega(label=label).values[some] == pytest.approx(values[some])  # type: ignore[arg-type]
    assert chapter.omega().top(1) != chapter.omega(label="real").top(1)


def test_k_is_the_networks_unless_one_is_given(build: str) -> None:
    assert Chapter("small", GENERATORS, build=build).k == 7
    assert Chapter("small", GENERATORS, k=3, build=build).k == 3


def test_rows_go_to_the_part_of_their_generator(build: str) -> None:
    chapter = Chapter("small", GENERATORS, build=build)
    rows = pd.DataFrame({"generator": ["gaugan", "progan", "gaugan"], "value": [1, 2, 3]})
    chapter.save("made_up", rows)
    assert pd.read_csv(chapter.store.part("made_up", "small", "gaugan"))["value"].tolist() == [1, 3]
    assert pd.read_csv(chapter.store.part("made_up", "small", "progan"))["value"].tolist() == [2]
    with pytest.raises(ValueError, match=r"made_up are of stargan: expected only progan, gaugan"):
        chapter.save("made_up", rows.assign(generator="stargan"))


def test_a_generator_without_rows_still_has_its_part(build: str) -> None:
    chapter = Chapter("small", GENERATORS, build=build)
    chapter.save("sparse", pd.DataFrame({"generator": ["gaugan"], "value": [1]}))
    assert pd.read_csv(chapter.store.part("sparse", "small", "progan")).empty


def test_scores_are_those_of_the_chapters_seeds(build: str) -> None:
    chapter = Chapter("small", GENERATORS, seeds=[0, 2], build=build)
    path = chapter.store.scores("small", "progan")
    path.parent.mkdir(parents=True)
    pd.DataFrame({"seed": [0, 1, 2], "logit": [0.1, 0.2, 0.3]}).to_csv(path, index=False)
    assert chapter.scores("progan")["seed"].tolist() == [0, 2]


def test_what_cannot_be_is_refused_at_once(build: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a training seed"):
        Chapter("small", GENERATORS, seeds=[], build=build)
    with pytest.raises(ValueError, match="no detector is called 'small'"):
        Chapter("small", GENERATORS, build=str(tmp_path))


def test_say_leaves_out_what_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("IPython.display.display", lambda text: shown.append(text.data))
    say("one", "", "two")
    say("", "")
    assert shown == ["one\n\ntwo"]


def test_places_of_maps_are_listed_where_there_are_some() -> None:
    maps = [FeatureMap("conv1", c, 4) for c in (3, 0)]
    text = places("Their places", maps)
    assert text.startswith('Their places: <a href="atlas.html#conv1.3">') and text.endswith("</a>.")
    assert places("Their places", []) == ""
