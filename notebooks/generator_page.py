# %% [markdown]
# # One generator, one detector
#
# What the detector makes of this generator's pictures, and what is left of it when feature maps are held
# constant. The chapters explain the terms; this page only shows.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generator = "progan"
k = None  # how many feature maps are dropped; None: the paper's number for this network
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # not used here: the scores were computed beforehand
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import pandas as pd
import torch
from IPython.display import Markdown, display

from tff_core import detectors, figures
from tff_core.claims import verdicts
from tff_core.features import pixels
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
spec = detectors.get(detector, store)
k = k or spec.k
name = figures.generator_name(generator)
miniature = spec.dataset == "miniature" and generator in figures.GENERATORS
like = (
    f"{name}-like" if miniature else name
)  # a small network of this family, not the published one
scores = pd.read_csv(store.scores(detector, generator))
sensitivity, contrast, transfer = (
    pd.read_csv(store.part(table, detector, generator))
    for table in ("sensitivity", "contrast", "transfer")
)
paper = verdicts.paper(spec.arch)
paper = None if paper is None else paper.query("generator == @generator")

# %% tags=["hide-input"]
pooled = transfer[transfer["seed"].astype(str) == "all"].iloc[0]
missing = contrast[
    (contrast["seed"].astype(str) == "all")
    & (contrast["contrast"] == verdicts.MATCHED)
].iloc[0]
drawn = sensitivity[sensitivity["condition"] == "matched-k"]["k"]
instead = (
    "as many" if drawn.min() == k else f"only {drawn.min()}"
)  # where a layer has too few others
trained = f"trained on ProGAN{'-like' if miniature else ''} pictures only"
display(
    Markdown(
        f"**In short.** {spec.title}, {'trained elsewhere' if spec.external else trained}, reaches AP "
        f"{verdicts.percent(pooled.ap, pooled.ap_low, pooled.ap_high)} on {like} pictures "
        f"({int(pooled.n_real)} reals, {int(pooled.n_fake)} fakes, {len(seeds)} detector "
        f"seed{'s' * (len(seeds) > 1)}). Dropping "
        f"the top {k} feature maps instead of {instead} random ones of the same layers changes it by "
        f"{verdicts.points(missing.delta_ap, missing.low, missing.high)}. In square brackets: 95 % intervals."
    )
)

# %% [markdown]
# ## Pictures

# %% tags=["hide-input"]
LARGEST = 256  # pixels of a picture on this page
images = data.scan(store.data(spec.dataset, "test", generator))
place = {path: i for i, path in enumerate(images.paths)}


def shown(rows):
    """Rows of pictures (N, H, W, 3), all of one size: of larger ones the middle."""
    order = [i for places in rows.values() for i in places]
    loaded = data.load(images.take(order), middle=True)
    small = (
        torch.stack([pixels.middle(picture, LARGEST) for picture in loaded])
        .permute(0, 2, 3, 1)
        .numpy()
    )
    ends = pd.Series([len(places) for places in rows.values()]).cumsum()
    return {
        row: small[end - len(rows[row]) : end]
        for row, end in zip(rows, ends, strict=True)
    }


some = {
    label: images.where(label=code, first=8).paths
    for label, code in (("real", 0), ("fake", 1))
}
figures.show(
    figures.pictures(
        shown(
            {
                label: [place[path] for path in paths]
                for label, paths in some.items()
            }
        ),
        text=f"Reals and fakes of {name} from the test part, spread over its classes; not selected.",
        columns=4,
    )
)

# %% [markdown]
# ## Scores under each condition

# %% tags=["hide-input"]
drawn = scores[scores["seed"].isin(seeds)]
cuts = {
    f"threshold, seed {row.seed}": row.threshold
    for row in transfer.itertuples()
    if str(row.seed) != "all"
}
figures.show(
    figures.histograms(
        drawn,
        "condition",
        cuts,
        {c: name for c, (name, _, _) in figures.CONDITIONS.items()},
    )
)

# %% tags=["hide-input"]
summary = verdicts.summarize(sensitivity[sensitivity["seed"].isin(seeds)])
figures.show(figures.finding(summary, paper, k))

# %% tags=["hide-input"]
other = {} if paper is None else paper.set_index("condition")["ap"].to_dict()
heads = [
    "condition",
    "AP [interval]",
    "reals right",
    "fakes right",
    *["paper: AP"] * bool(other),
]
lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
for condition, (title, _, _) in figures.CONDITIONS.items():
    row = summary.set_index("condition").loc[condition]
    cells = [
        title,
        verdicts.percent(row.ap, row.low, row.high),
        verdicts.percent(row.acc_real),
        verdicts.percent(row.acc_fake),
    ]
    if other:
        cells.append(
            verdicts.percent(other[condition]) if condition in other else ""
        )
    lines.append("| " + " | ".join(cells) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Accuracies are at the whole detector's threshold, calibrated on validation pictures; means over detector
# seeds and draws. In brackets the whiskers of the figure: lowest to highest end of the seeds' intervals,
# wider than the pooled interval at the top of the page.

# %% [markdown]
# ## Top-k against its controls

# %% tags=["hide-input"]
figures.show(figures.forest(contrast))

# %% [markdown]
# ## What it says about the claims
#
# Each chapter has measured a number for this generator. Here they stand side by side; the chapter that a
# claim leads to tells how it was measured, and {doc}`the verdicts </notebooks/10_verdicts>` count the
# generators.

# %% tags=["hide-input"]
evidence = verdicts.evidence(
    verdicts.Parts(store.root), [detector], [generator]
)
together = verdicts.by_generator(evidence).set_index("claim")["says"]
WORDS = {
    verdicts.FOR: "for it",
    verdicts.AGAINST: "against it",
    verdicts.OPEN: "open",
    verdicts.MISSING: "",
}
lines = [
    "| | claim | measured here | this generator speaks |",
    "|---|---|---|---|",
]
for claim in verdicts.CLAIMS:
    numbers = []
    for row in evidence[evidence["claim"] == claim.key].itertuples():
        if row.says == verdicts.MISSING:
            why = (
                "the detector was trained on this generator"
                if claim.key == "C1"
                else row.reason
            )
            numbers.append(f"not measured: {why}")
        elif row.says != verdicts.ASIDE:
            numbers.append(
                f"{row.part} {claim.text(row.value, row.low, row.high, row.unit)}"
            )
    link = f"{{doc}}`{claim.title} </notebooks/{claim.chapter}>`"
    cells = [
        claim.key,
        link,
        "; ".join(dict.fromkeys(numbers)),
        WORDS[together[claim.key]],
    ]
    lines.append("| " + " | ".join(cells) + " |")
told = evidence.loc[
    ~evidence["says"].isin([verdicts.MISSING, verdicts.ASIDE]), "reason"
].dropna()
cautions = [
    f"**{verdicts.CAUTION}** {text}." for text in dict.fromkeys(told) if text
]
display(Markdown("\n".join(lines) + "\n\n" + "\n\n".join(cautions)))

# %% [markdown]
# ## Colour, patches, pixels
#
# The chapters' figures, of this generator alone. What is missing was not measured for it.


# %% tags=["hide-input"]
def rows_of(table):
    """What a chapter has written for this detector and generator; empty where it has not."""
    path = store.part(table, detector, generator)
    return (
        pd.read_csv(path)
        if path.is_file()
        else pd.DataFrame(columns=["seed", "label", "model", "low", "value"])
    )


def over_seeds(table):
    rows = rows_of(table)
    return rows[rows["seed"].astype(str) == "all"]


gray, patches = over_seeds("color_ablation"), over_seeds("patch_chroma")
if len(gray):
    figures.show(figures.gray_boxes(gray))

# %% tags=["hide-input"]
shares = rows_of("color_conditional")
if len(shares):
    figures.show(figures.conditional_shares(shares))

# %% tags=["hide-input"]
twins = rows_of("color_robust")
if len(twins):
    figures.show(figures.robust_ap(twins))

# %% tags=["hide-input"]
if patches["value"].notna().any():
    figures.show(figures.patch_chroma(patches))

# %% tags=["hide-input"]
attribution = rows_of("pixel_attribution")
attribution = attribution[attribution["label"] == "all"]
if attribution.loc[attribution["model"] == "detector", "low"].notna().any():
    figures.show(figures.object_shares(attribution))

# %% [markdown]
# ## Most and least fake-looking
#
# By the logit of the whole detector, mean over its seeds. Hover a picture for its logit.

# %% tags=["hide-input"]
whole = (
    drawn[drawn["condition"] == "baseline"]
    .groupby(["image", "label"])["logit"]
    .mean()
    .reset_index()
)
named = {
    path.relative_to(images.root).as_posix(): i
    for i, path in enumerate(images.paths)
}
rows, labels = {}, {}
for label, code in (("real", 0), ("fake", 1)):
    ordered = whole[whole["label"] == code].sort_values("logit")
    for words, ends in (
        (f"{label}, least fake", ordered.head(8)),
        (f"{label}, most fake", ordered.iloc[::-1].head(8)),
    ):
        rows[words] = [named[image] for image in ends["image"]]
        labels[words] = [
            f"{label}: logit {logit:.1f}" for logit in ends["logit"]
        ]

# %% tags=["hide-input"]
figures.show(
    figures.pictures(
        shown(rows),
        labels,
        text=f"Extremes among {len(whole)} scored pictures: what convinces the detector, what misleads it.",
        columns=4,
    )
)
