# %% [markdown]
# # Universal detectors
#
# A detector of generated pictures is easy to train if one has pictures of the generator. The surprise of
# {cite:t}`wang2020` was that a plain classifier, trained on the fakes of *one* generator, recognises those
# of many others: a **universal detector**. This chapter trains such detectors, asks how far they reach, and
# looks at the one number that every accuracy hides: the threshold.

# %% tags=["parameters", "hide-input"]
detector = "resnet50-miniature"
generators = ["progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan"]
k = None  # not used here: no feature map is dropped in this chapter
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # of the validation pictures that a detector from elsewhere is shown
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import Markdown, display

from tff_core import detectors, figures, metrics
from tff_core.claims import verdicts
from tff_core.pictures import data
from tff_core.store.results import Store, read_json

store = Store(build or None)
spec = detectors.get(detector, store)
transfer = verdicts.read(store, "transfer", detector, generators)
sensitivity = verdicts.read(store, "sensitivity", detector, generators)
paper = verdicts.paper(spec.arch)

# %% [markdown]
# ## Training
#
# **Idea.** Show the network as many reals as fakes of one generator, ProGAN, and let it find its own
# features. Blur and JPEG compression, each on some of the pictures, keep it from relying on traces that
# would not survive a re-save.
#
# **Equation.** With label $y = 1$ for a fake and logit $f(x)$, training minimises the binary cross-entropy
#
# $$
# -\,y \log \sigma(f(x)) - (1 - y) \log \sigma(-f(x)), \qquad \sigma(z) = \frac{1}{1 + e^{-z}} .
# $$
#
# The logit is the network's answer before it becomes a probability: above zero it leans to fake, below to
# real.
#
# **Code.** `python -m tff_core.detectors.training --detector NAME --seed 0`, once for each seed; a detector
# that was trained elsewhere is checked and calibrated instead. What was written down beside the weights:

# %%
info = {seed: read_json(store.detector(detector, seed).with_suffix(".json")) for seed in seeds}
judged = {seed: info[seed]["validation"] for seed in seeds}
curves = []
for seed in [] if spec.external else seeds:
    loss = pd.Series(info[seed]["history"]["loss"]).rolling(20, min_periods=1).mean()
    curves.append(pd.DataFrame({"seed": seed, "step": loss.index + 1, "loss": loss}))
    curves.append(pd.DataFrame(info[seed]["history"]["validation"]).assign(seed=seed))

# %% tags=["hide-input"]
if spec.external:  # its training is not known, what it says of validation pictures is
    held_out = data.scan(store.data(spec.dataset, "val", "progan")).where(first=200)
    where = detectors.default_device() if device == "auto" else device
    trained = detectors.load(detector, seeds[0], store, where)
    batches = data.batches(held_out, device=where, preprocessing=spec.preprocessing)
    logits = detectors.logits(trained.model, batches)
    seen = pd.DataFrame({"label": held_out.labels, "logit": logits, "generator": "progan"})
    low, high = trained.info["abstain"]
    cuts = {"threshold": trained.threshold, "safe below": low, "safe above": high}
    figures.show(figures.histograms(seen, "generator", cuts, {"progan": "ProGAN, validation"}))
else:
    measures = {"loss": "loss, mean of 20 steps", "ap": "AP on held-out pictures of ProGAN"}
    figures.show(figures.training_curves(pd.concat(curves), measures))

# %% tags=["hide-input"]
first = judged[seeds[0]]
aps = "; ".join(
    verdicts.percent(j["ap"], j["ap_low"], j["ap_high"]) + f" (seed {seed})" * (not spec.external)
    for seed, j in judged.items()
)
if spec.external:
    claim = "They do not claim to be those of one of the paper's detectors."
    if spec.published:
        claim = f"They are said to be those of the paper's `{spec.published}`."
    chosen = spec.preprocessing
    text = (
        f"{spec.title}, **trained elsewhere**: the weights come from "
        f"`{info[seeds[0]]['external']['weights']}`, and how they were trained is not known here. {claim}"
        + (
            f" Pictures are made {chosen.resize} pixels wide at their shorter side"
            if chosen.resize
            else " Pictures are not resized"
        )
        + (f"; of them the middle {chosen.crop} pixels are taken. " if chosen.crop else " or cropped. ")
    )
    words = "The threshold is calibrated on"
else:
    real, fake = info[seeds[0]]["n_train"]
    settings = info[seeds[0]]["identity"]["settings"]
    text = (
        f"{spec.title}, from random weights: {real} reals and {fake} fakes of ProGAN, {settings['epochs']} "
        f"epochs, {len(info[seeds[0]]['history']['loss'])} steps of {settings['batch_size']} pictures. "
    )
    words = "AP on"
text += (
    f"{words} {first['n_real']} + {first['n_fake']} held-out pictures of "
    + ("ProGAN. AP on these" if spec.external else "the same generator")
    + f": {aps}. In brackets: 95 % bootstrap interval over pictures."
)
if not spec.external:
    text += (
        "\n\nThe published detectors start from ImageNet weights and see 720,000 pictures of 20 ProGAN "
        "models. Ours start from random weights and see few: they *should* transfer less, and their seeds "
        "should differ more."
    )
display(Markdown(text))

# %% [markdown]
# ## Transfer
#
# **Idea.** Rank all reals and fakes of a generator by their logit. If every fake stands above every real,
# the average precision is 100 %.
#
# **Equation.** With precision $P_i$ and recall $C_i$ among the $i$ pictures of largest logit,
#
# $$
# \mathrm{AP} = \sum_i (C_i - C_{i-1})\, P_i .
# $$
#
# AP needs no threshold. A detector that ranks at random reaches, on average, the share of fakes (one half if
# there are as many of them as reals), and a little more where the pictures are few: the border used below.
#
# **Intervals.** Other pictures of the same kind would give another AP. How much another one shows the
# *bootstrap*: draw as many pictures from the same ones, with replacement, compute AP again, and repeat some
# thousand times; the middle 95 % of the results are the interval. For the mean over several detector seeds
# the seeds are drawn too.

# %% tags=["hide-input"]
figures.show(figures.transfer(transfer, paper))

# %% tags=["hide-input"]
pooled = transfer[transfer["seed"].astype(str) == "all"].set_index("generator")
unseen = pooled.drop(index="progan", errors="ignore")
chance = pooled.apply(lambda row: verdicts.chance(int(row["n_real"]), int(row["n_fake"])), axis=1)
better = [figures.generator_name(g) for g in unseen.index if unseen.loc[g, "ap_low"] > chance[g]]
sentence = "ProGAN, on which the detector was trained, is the only family here: nothing to transfer to."
if len(unseen):
    sentence = (
        f"Of {len(unseen)} famil{'ies' if len(unseen) > 1 else 'y'} that the detector never saw, "
        f"{len(better)} {'is' if len(better) == 1 else 'are'} recognised better than "
        f"chance ({verdicts.percent(chance.max())}) with the whole interval ({', '.join(better) or 'none'})."
    )
    best, worst = unseen["ap"].idxmax(), unseen["ap"].idxmin()
    for word, g in (("highest", best), ("lowest", worst))[: len(unseen)]:
        row = unseen.loc[g]
        value = verdicts.percent(row.ap, row.ap_low, row.ap_high)
        sentence += f" The {word} AP is {value} on {figures.generator_name(g)}."
display(Markdown(sentence))

# %% [markdown]
# **What it means.** Where the interval lies above chance, something that ProGAN's fakes have in common
# with that family was learnt, without being asked for. **What it does not mean.** Not that the detector
# recognises "fakeness". It recognises whatever separates *these* reals from *these* fakes; if our reals
# shared a trait that no generator copies, it would use that.

# %% [markdown]
# ## The threshold
#
# To say "fake" one must cut the logit somewhere. There are three ways, and they give three accuracies:
#
# | threshold | how | what it needs |
# |---|---|---|
# | 0.5 | probability one half, logit 0 | nothing |
# | validation | best balance on held-out pictures of ProGAN | labels of the *known* generator |
# | on test | best balance on the test pictures of each generator | labels of the *unknown* generator |
#
# The third is the paper's, and its code's (for all but ProGAN). It measures how well the two groups *could*
# be separated, but nobody who meets an unknown generator has its labels. This book uses the second, and
# shows the third beside it. "Best balance" is the largest $\sqrt{r\, f}$, with $r$ the share of reals and
# $f$ the share of fakes that are called right.

# %%
parts = {g: pd.read_csv(store.scores(detector, g)) for g in generators}
whole = pd.concat(
    [t[(t["condition"] == "baseline") & t["seed"].isin(seeds)].assign(generator=g) for g, t in parts.items()]
)

# %% tags=["hide-input"]
names = {seed: f"validation, seed {seed}" if len(seeds) > 1 else "validation" for seed in seeds}
cuts = {"0.5": 0.0} | {names[seed]: info[seed]["threshold"] for seed in seeds}
figures.show(figures.histograms(whole, "generator", cuts, {g: figures.generator_name(g) for g in generators}))

# %%
at_half = [
    {
        "generator": g,
        "source": "at 0.5",
        **dict(zip(("acc_real", "acc_fake"), metrics.accuracies(t["label"], t["logit"], 0.0), strict=True)),
    }
    for g, t in whole.groupby("generator", sort=False)
]
base = sensitivity[(sensitivity["condition"] == "baseline") & sensitivity["seed"].isin(seeds)]
tuned = (
    base.groupby(["threshold_source", "generator"], sort=False)[["acc_real", "acc_fake"]].mean().reset_index()
)
tuned["source"] = tuned["threshold_source"].map({"validation": "validation", "test": "on test"})
accuracies = pd.concat([pd.DataFrame(at_half), tuned[["generator", "source", "acc_real", "acc_fake"]]])

# %% tags=["hide-input"]
figures.show(figures.thresholds(accuracies))

# %% tags=["hide-input"]
both = (
    accuracies.assign(mean=accuracies[["acc_real", "acc_fake"]].mean(axis=1)).groupby("source")["mean"].mean()
)
theirs = ""
if paper is not None:
    mean = paper[paper["condition"] == "baseline"][["acc_real", "acc_fake"]].mean().mean()
    theirs = f" The paper, tuned on test: {verdicts.percent(mean)}."
drift = base[base["threshold_source"] == "test"]["threshold"]
spread = ", ".join(f"{info[seed]['threshold']:.1f}" for seed in seeds)
display(
    Markdown(
        f"Mean of real and fake accuracy over the generators: {verdicts.percent(both['at 0.5'])} at 0.5, "
        f"{verdicts.percent(both['validation'])} with the validation threshold, "
        f"{verdicts.percent(both['on test'])} when tuned on the test pictures: a difference of "
        f"{verdicts.points(both['on test'] - both['validation'])} that a user could not have.{theirs}\n\n"
        f"**Drift.** "
        + (
            f"The validation thresholds are {spread} (logit, one per seed)."
            if len(seeds) > 1
            else f"The validation threshold is {spread} (logit)."
        )
        + f" The thresholds that the "
        f"single test sets would choose run from {drift.min():.1f} to {drift.max():.1f}. The wider that "
        f"range, the less one logit means the same on every family."
    )
)

# %% [markdown]
# **What it means.** AP can be high while an accuracy is poor: then the ranking transfers and the scale does
# not. That is why AP is the primary number of this book, and why real and fake accuracy are always printed
# together.

# %% [markdown]
# ```{exercise} High AP, useless accuracy
# Construct six logits, three of reals and three of fakes, with an AP of 100 % and a fake accuracy of 0 % at
# probability 0.5. What would the on-test calibration report?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Reals at $-9, -8, -7$ and fakes at $-3, -2, -1$: perfectly ranked, all called real. Calibrated on test,
# the threshold moves to $-3$ and both accuracies become 100 %.
# ```
#
# ```{exercise} What tuning on test is worth
# Choose the threshold on half of the pictures of a generator and measure the accuracies on the other half.
# How much of the advantage of on-test calibration is left, and which part of it was over-fitting? Start
# from `whole` and `metrics.gmean_threshold`.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# ~~~python
# t = whole[(whole["generator"] == generators[-1]) & (whole["seed"] == seeds[0])]
# t = t.sample(frac=1, random_state=0)
# a, b = t.iloc[::2], t.iloc[1::2]
# cut = metrics.gmean_threshold(a["label"], a["logit"])
# metrics.accuracies(b["label"], b["logit"], cut), metrics.accuracies(a["label"], a["logit"], cut)
# ~~~
# The difference between the two pairs is over-fitting to the half that chose the cut. What remains against
# the validation threshold is real: knowing the generator's scale. It is an advantage that a detector of
# *unknown* generators does not have.
# ```
