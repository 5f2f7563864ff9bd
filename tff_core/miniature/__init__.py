"""The miniature ForenSynths: procedural scenes, a simulated camera, small generators of seven families."""

from tff_core.data import PARTS
from tff_core.miniature.generators import FAMILIES
from tff_core.miniature.sample import DATASET, sample

__all__ = ["DATASET", "FAMILIES", "PARTS", "sample"]
