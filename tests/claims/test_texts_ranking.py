"""What the chapter on relevance and omega says."""

from __future__ import annotations

from tff_core.claims.texts import ranking


def test_conservation_gives_one_share_or_a_range() -> None:
    one = ranking.conservation(1, 3.456, {"the pixels": 0.98})
    assert "Of 1 fake" in one and "(3.46)" in one and "At 1 place that" in one and "is 0.980" in one
    assert "Differences *between* them" not in one
    several = ranking.conservation(32, 3, {"the pixels": 0.98, "conv1": 0.9804, "layer1": 0.85})
    assert "At 3 places" in several and "between 0.850 and 0.980" in several and "*between* them" in several
    equal = ranking.conservation(32, 3, {"the pixels": 0.98, "conv1": 0.9801})
    assert "is 0.980." in equal  # what is printed alike is not called a range


def test_concentration_counts_the_share_and_the_empty_maps() -> None:
    text = ranking.concentration("ResNet-50", 3, [0.5, 0.3, 0.2, 0.0], 1, 2)
    assert "4 feature maps in 3 layers. With seed 2 the top 1 (25.00 % of them) hold 50.0 %" in text
    assert "1 map holds none" in text
    assert "0 maps hold none" in ranking.concentration("ResNet-50", 3, [0.5, 0.5], 1, 2)


def test_narrowness_has_a_sign() -> None:
    assert "Across the 53 layers of seed 0" in ranking.narrowness(53, 0, 114, 0.5)
    assert "is +0.50." in ranking.narrowness(53, 0, 114, 0.5)
    assert "is -0.10." in ranking.narrowness(53, 0, 114, -0.1)


def test_stability_has_a_line_for_each_pair_of_seeds() -> None:
    text = ranking.stability({(0, 1): (1, 0.62, 0.9), (0, 2): (3, 0.5, -0.2)}, 7, 0, 2)
    assert "- seeds 0 and 1: 1 map in common; 0.6 expected by chance" in text
    assert "- seeds 0 and 2: 3 maps in common" in text and "per layer -0.20" in text
    assert "Fakes and reals, seed 0: 2 maps in common." in text


def test_one_seed_has_nothing_to_compare() -> None:
    text = ranking.stability({}, 7, 0, 2)
    assert text.startswith("There is one seed only: nothing to compare.") and "2 maps in common" in text
