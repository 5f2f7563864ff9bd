"""The miniature ForenSynths: procedural scenes, a simulated camera, small generators of seven families."""

from tff_core.miniature.generators import FAMILIES
from tff_core.miniature.sample import DATASET, sample
from tff_core.pictures.data import PARTS

__all__ = ["DATASET", "FAMILIES", "PARTS", "sample"]
