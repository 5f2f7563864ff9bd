"""Pictures with their sources, and what counts as one source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tff_core.attribution import sources
from tff_core.attribution.sources import REAL, Pictures


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
