"""Plotly figures from tidy tables: layout, colour, captions and alternative text; nothing is computed here.

Every function takes tables (or plain arrays) made by other modules and returns a ``plotly`` figure whose
hover texts, switches and sliders work without a kernel. The caption and the text alternative are stored in
``layout.meta``; `show` displays a figure with its caption below it. Data hold probabilities and average
precisions in [0, 1]; the axes show percent.

Colours are those of Okabe and Ito (2008), backed up by symbols, so that figures work for colour-blind readers
and in greyscale print. Backgrounds are transparent and the ink is a middle grey, so the same figure can be
read on a light and on a dark page.
"""

from __future__ import annotations

from tff_core.figures.attribution import attribution_robustness, confusion, oscr
from tff_core.figures.base import (
    CONDITIONS,
    FAKE,
    GENERATORS,
    REAL,
    SEED_COLOURS,
    alt,
    caption,
    generator_name,
    linked,
    show,
)
from tff_core.figures.beyond import (
    contrasts,
    dose_curves,
    ranking_areas,
    ranking_stability,
    threshold_drift,
)
from tff_core.figures.bridge import bridge_breakage, bridge_correlation, bridge_overlap, bridge_specific
from tff_core.figures.color import (
    activation_pairs,
    conditional_shares,
    exchanges,
    gray_boxes,
    gray_drops,
    layer_shares,
    share_growth,
    slides,
    sweeps,
)
from tff_core.figures.compared import compared
from tff_core.figures.curves import precision_recall
from tff_core.figures.degraded import (
    band_losses,
    band_responses,
    degraded_answers,
    degraded_explanations,
    reliability,
)
from tff_core.figures.detector import histograms, thresholds, training_curves, transfer
from tff_core.figures.exam_dependence import forgetting, starts
from tff_core.figures.faithful import faithful_curves, faithful_gains, mean_ranks
from tff_core.figures.history import training_statistics
from tff_core.figures.images import collage, patch_chroma, pictures
from tff_core.figures.pixels import object_shares, share_differences
from tff_core.figures.planes import planes
from tff_core.figures.planted import planted_carriers, planted_doses, planted_places
from tff_core.figures.relevance import (
    conservation,
    layer_mix,
    layer_sums,
    omega_ranks,
    overlap,
    relevance_maps,
    shifts,
)
from tff_core.figures.robust import chroma_ratios, robust_ap, robust_differences, robust_shares
from tff_core.figures.sensitivity import accuracies, finding, forest
from tff_core.figures.spectra import spectrum_differences, spectrum_planes, spectrum_profiles
from tff_core.figures.verdicts import verdict_intervals, verdict_tiles
from tff_core.figures.where import field_law, found_pixels, patch_categories

__all__ = [
    "CONDITIONS",
    "FAKE",
    "GENERATORS",
    "REAL",
    "SEED_COLOURS",
    "accuracies",
    "activation_pairs",
    "alt",
    "attribution_robustness",
    "band_losses",
    "band_responses",
    "bridge_breakage",
    "bridge_correlation",
    "bridge_overlap",
    "bridge_specific",
    "caption",
    "chroma_ratios",
    "collage",
    "compared",
    "conditional_shares",
    "confusion",
    "conservation",
    "contrasts",
    "degraded_answers",
    "degraded_explanations",
    "dose_curves",
    "exchanges",
    "faithful_curves",
    "faithful_gains",
    "field_law",
    "finding",
    "forest",
    "forgetting",
    "found_pixels",
    "generator_name",
    "gray_boxes",
    "gray_drops",
    "histograms",
    "layer_mix",
    "layer_shares",
    "layer_sums",
    "linked",
    "mean_ranks",
    "object_shares",
    "omega_ranks",
    "oscr",
    "overlap",
    "patch_categories",
    "patch_chroma",
    "pictures",
    "planes",
    "planted_carriers",
    "planted_doses",
    "planted_places",
    "precision_recall",
    "ranking_areas",
    "ranking_stability",
    "relevance_maps",
    "reliability",
    "robust_ap",
    "robust_differences",
    "robust_shares",
    "share_differences",
    "share_growth",
    "shifts",
    "show",
    "slides",
    "spectrum_differences",
    "spectrum_planes",
    "spectrum_profiles",
    "starts",
    "sweeps",
    "threshold_drift",
    "thresholds",
    "training_curves",
    "training_statistics",
    "transfer",
    "verdict_intervals",
    "verdict_tiles",
]
