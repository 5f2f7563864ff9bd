# %% [markdown]
# # One generator, one detector
#
# What the detector makes of this generator's pictures, and what is left of it when feature maps are held
# constant. The chapters explain the terms; this page only shows.

# %% tags=["parameters", "hide-input"]
detector = "resnet50-miniature"
generator = "progan"
k = None  # how many feature maps are dropped; None: the paper's number for this network
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # not used here: the scores were computed beforehand
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import Markdown, display

from tff_core import data, detectors, figures, verdicts
from tff_core.results import Store

store = Store(build or None)
spec = detectors.get(detector)
k = k or spec.k
name = figures.generator_name(generator)
scores = pd.read_csv(store.scores(detector, generator))
sensitivity, contrast, transfer = (
    pd.read_csv(store.part(table, detector, generator)) for table in ("sensitivity", "contrast", "transfer")
)
paper = verdicts.paper(spec.arch).query("generator == @generator")

# %% tags=["hide-input"]
pooled = transfer[transfer["seed"].astype(str) == "all"].iloc[0]
missing = contrast[(contrast["seed"].astype(str) == "all") & (contrast["contrast"] == verdicts.MATCHED)].iloc[
    0
]
drawn = sensitivity[sensitivity["condition"] == "matched-k"]["k"]
instead = "as many" if drawn.min() == k else f"only {drawn.min()}"  # where a layer has too few others
display(
    Markdown(
        f"**In short.** {spec.title}, trained on ProGAN-like pictures only, reaches AP "
        f"{verdicts.percent(pooled.ap, pooled.ap_low, pooled.ap_high)} on {name}-like pictures "
        f"({int(pooled.n_real)} reals, {int(pooled.n_fake)} fakes, {len(seeds)} detector seeds). Dropping "
        f"the top {k} feature maps instead of {instead} random ones of the same layers changes it by "
        f"{verdicts.points(missing.delta_ap, missing.low, missing.high)}. In square brackets: 95 % intervals."
    )
)

# %% [markdown]
# ## Pictures

# %% tags=["hide-input"]
images = data.scan(store.data(spec.dataset, "test", generator))
shown = {label: images.where(label=code, first=8) for label, code in (("real", 0), ("fake", 1))}
figures.show(
    figures.pictures(
        {label: data.load(some).permute(0, 2, 3, 1).numpy() for label, some in shown.items()},
        text=f"Reals and fakes of {name} from the test part, spread over its classes; not selected.",
        columns=4,
    )
)

# %% [markdown]
# ## Scores under each condition

# %% tags=["hide-input"]
drawn = scores[scores["seed"].isin(seeds)]
cuts = {
    f"threshold, seed {row.seed}": row.threshold for row in transfer.itertuples() if str(row.seed) != "all"
}
figures.show(
    figures.histograms(drawn, "condition", cuts, {c: name for c, (name, _, _) in figures.CONDITIONS.items()})
)

# %% tags=["hide-input"]
summary = verdicts.summarize(sensitivity[sensitivity["seed"].isin(seeds)])
figures.show(figures.finding(summary, paper, k))

# %% tags=["hide-input"]
other = paper.set_index("condition")
lines = ["| condition | AP [interval] | reals right | fakes right | paper: AP |", "|---|---|---|---|---|"]
for condition, (title, _, _) in figures.CONDITIONS.items():
    row = summary.set_index("condition").loc[condition]
    cells = [
        title,
        verdicts.percent(row.ap, row.low, row.high),
        verdicts.percent(row.acc_real),
        verdicts.percent(row.acc_fake),
    ]
    cells.append(verdicts.percent(other.loc[condition, "ap"]) if condition in other.index else "")
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
# ## Most and least fake-looking
#
# By the logit of the whole detector, mean over its seeds. Hover a picture for its logit.

# %% tags=["hide-input"]
whole = drawn[drawn["condition"] == "baseline"].groupby(["image", "label"])["logit"].mean().reset_index()
place = {path.relative_to(images.root).as_posix(): i for i, path in enumerate(images.paths)}
rows, labels = {}, {}
for label, code in (("real", 0), ("fake", 1)):
    ordered = whole[whole["label"] == code].sort_values("logit")
    for words, some in (
        (f"{label}, least fake", ordered.head(8)),
        (f"{label}, most fake", ordered.iloc[::-1].head(8)),
    ):
        rows[words] = (
            data.load(images.take([place[image] for image in some["image"]])).permute(0, 2, 3, 1).numpy()
        )
        labels[words] = [f"{label}: logit {logit:.1f}" for logit in some["logit"]]

# %% tags=["hide-input"]
figures.show(
    figures.pictures(
        rows,
        labels,
        text=f"Extremes among {len(whole)} scored pictures: what convinces the detector, what misleads it.",
        columns=4,
    )
)
