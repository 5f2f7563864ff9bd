"""Pictures with their sources, and what counts as one source."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tff_core.attribution import sources
from tff_core.attribution.sources import REAL, Pictures
from tff_core.pictures import data


def test_sources_of_one_architecture_are_one() -> None:
    assert [sources.architecture(n) for n in ("progan_celeba", "progan", "a_b_c")] == [
        "progan",
        "progan",
        "a",
    ]
    paths = tuple(Path(f"{i}.png") for i in range(5))
    images = Pictures(paths, (REAL, 0, 1, 2, 1), ("progan_celeba", "sngan_celeba", "progan_lsun"))
    merged = sources.at_level(images, {name: sources.architecture(name) for name in images.names})
    assert merged == Pictures(paths, (REAL, 0, 1, 0, 1), ("progan", "sngan"))
    assert sources.at_level(images, {name: name for name in images.names}) == images
    with pytest.raises(ValueError, match="sngan_celeba, progan_lsun has no level"):
        sources.at_level(images, {"progan_celeba": "progan"})


def test_levels_are_names_by_default_and_reals_are_reals() -> None:
    assert sources.levels(["a", "real"]) == {"a": "a", "real": "real"}
    assert sources.levels(["a", "b", "real"], {"a": "x", "b": "x"}) == {"a": "x", "b": "x", "real": "real"}
    with pytest.raises(ValueError, match="the level of a is 'real': expected another"):
        sources.levels(["a", "real"], {"a": "real"})


def test_sets_of_a_benchmark_become_sources_with_the_reals_of_all(tmp_path: Path) -> None:
    for place in (
        "a/0_real/1",
        "a/1_fake/1",
        "b/barn/0_real/1",
        "b/barn/0_real/2",
        "b/barn/1_fake/1",
        "b/barn/1_fake/2",
    ):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    sets = {name: data.scan(tmp_path / name) for name in ("a", "b")}
    images = sources.of_sets(sets)
    assert images.names == ("a", "b")
    assert images.sources == (REAL, REAL, REAL, 0, 1, 1)
    for path, source in zip(images.paths, images.sources, strict=True):
        assert path.parent.name == ("0_real" if source == REAL else "1_fake")
        assert source == REAL or path.relative_to(tmp_path).parts[0] == images.names[source]
    with pytest.raises(ValueError, match="has no fakes: expected those of a"):
        sources.of_sets({"a": sets["a"].where(label=0)})
    with pytest.raises(ValueError, match="have no reals"):
        sources.of_sets({"a": sets["a"].where(label=1)})
    with pytest.raises(ValueError, match="no source was named"):
        sources.of_sets({})
