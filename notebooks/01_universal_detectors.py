# %% [markdown]
# # Universal detectors
#
# A detector of generated pictures is easy to train if you have pictures from the generator. The surprise of
# {cite:t}`wang2020` was that a plain classifier, trained on the fakes of *one* generator, recognises those of
# many others: it is a **universal detector**. This chapter trains such detectors, asks how far they
# generalise, and looks at the one number hidden in every accuracy: the threshold.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # not used here: no feature map is dropped in this chapter
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # of the validation pictures shown to an added detector
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import detectors, figures, metrics
from tff_core.book.chapter import Chapter, say
from tff_core.claims import verdicts
from tff_core.claims.texts import detectors as texts

chapter = Chapter(detector, generators, seeds, device=device, build=build)
store, spec = chapter.store, chapter.spec
transfer = verdicts.read(store, "transfer", detector, generators)
sensitivity = verdicts.read(store, "sensitivity", detector, generators)
paper = verdicts.paper(spec.arch)

# %% [markdown]
# ## Training
#
# **Idea.** Show the network equal numbers of reals and of fakes from one generator, ProGAN, and let it find
# its own features. Blur and JPEG compression, each on some of the pictures, keep it from relying on traces
# that would not survive re-saving.
#
# **Equation.** With label $y = 1$ for a fake and logit $f(x)$, training minimises the binary cross-entropy
#
# $$
# -\,y \log \sigma(f(x)) - (1 - y) \log \sigma(-f(x)), \qquad \sigma(z) = \frac{1}{1 + e^{-z}} .
# $$
#
# What the network is shown matters. The paper's detectors see red, green and blue as they are, for days. The
# miniature's have minutes, and in that time plain pictures teach them little: traces of generators are small
# beside what a picture shows. So its networks are given luma and chroma as separate planes, each less the
# mean of the pixels around and at one contrast, as detectors of manipulations have long been
# {cite}`fridrich2012`. Nothing is kept from them but what is smooth.
#
# The logit is the network's answer before it becomes a probability: above zero it leans to fake, below to
# real.
#
# **Code.** `python -m tff_core.detectors.training --detector NAME --seed 0`, once for each seed. A detector
# trained elsewhere is checked and calibrated instead. The record saved with the weights:

# %%
info = {seed: chapter.info(seed) for seed in seeds}
curves = []
for seed in [] if spec.external else seeds:
    history = info[seed]["history"]
    loss = pd.Series(history["loss"]).rolling(20, min_periods=1).mean()
    steps = pd.DataFrame({"step": loss.index + 1, "loss": loss})
    curves.append(steps.assign(seed=seed))
    curves.append(pd.DataFrame(history["validation"]).assign(seed=seed))

# %% tags=["remove-input"]
if spec.external:  # its training is not known; its validation logits are
    held_out = chapter.validation(first=200)
    trained = chapter.trained()
    logits = detectors.logits(trained.model, chapter.batches(held_out))
    seen = pd.DataFrame({"label": held_out.labels, "logit": logits})
    low, high = trained.info["abstain"]
    cuts = {
        "threshold": trained.threshold, "safe below": low, "safe above": high,
    }  # fmt: skip
    name = {"progan": "ProGAN, validation"}
    seen["generator"] = "progan"
    figures.show(figures.histograms(seen, "generator", cuts, name))
else:
    measures = {
        "loss": "loss, mean of 20 steps",
        "ap": "AP on held-out pictures of ProGAN",
    }
    figures.show(figures.training_curves(pd.concat(curves), measures))

# %% tags=["remove-input"]
say(texts.training(spec, info))

# %% [markdown]
# ## Transfer
#
# **Idea.** Rank all reals and fakes of a generator by their logit. If every fake ranks above every real, the
# average precision is 100 %.
#
# **Equation.** With precision $P_i$ and recall $C_i$ among the $i$ pictures with the largest logits,
#
# $$
# \mathrm{AP} = \sum_i (C_i - C_{i-1})\, P_i .
# $$
#
# AP needs no threshold. A detector that ranks at random reaches, on average, the share of fakes (one half if
# there are as many fakes as reals), and a little more if there are few pictures: this is the border used
# below.
#
# **Intervals.** Other pictures of the same kind would give another AP. The *bootstrap* shows how different it
# might be: resample the pictures with replacement, as many as there are, compute AP again, and repeat this a
# few thousand times; the middle 95 % of the results are the interval. Three detector seeds are too few to
# resample: the interval of their mean adds how far they differ, by Student's $t$
# ({doc}`does it cover? </book/coverage>`).

# %% tags=["remove-input"]
figures.show(figures.transfer(transfer, paper))
say(texts.transfer(transfer), texts.universal(transfer, spec.dataset))

# %% [markdown]
# **What it means.** Where the interval lies above chance, the detector has learnt, without being asked to,
# something that ProGAN's fakes have in common with that family. **What it does not mean.** It does not mean
# that the detector recognises "fakeness". It recognises whatever separates *these* reals from *these* fakes;
# if our reals shared a trait that no generator copies, it would use that.

# %% [markdown]
# ## The threshold
#
# To call a picture fake, the logit must be cut somewhere. There are three ways to choose the cut, and they
# give three accuracies:
#
# | threshold | how | what it needs |
# |---|---|---|
# | 0.5 | probability one half, logit 0 | nothing |
# | validation | best balance on held-out pictures of ProGAN | labels of the *known* generator |
# | on test | best balance on the test pictures of each generator | labels of the *unknown* generator |
#
# The third is what the paper and its code use (for all but ProGAN). It measures how well the two groups
# *could* be separated, but for an unknown generator nobody has the labels. This book uses the second, and
# shows the third beside it. "Best balance" is the largest $\sqrt{r\, f}$, with $r$ the share of reals and $f$
# the share of fakes that are classified correctly.

# %%
parts = {g: chapter.scores(g) for g in generators}
parts = {g: rows[rows["condition"] == "baseline"] for g, rows in parts.items()}
whole = pd.concat([rows.assign(generator=g) for g, rows in parts.items()])

# %% tags=["remove-input"]
names = {
    s: f"validation, seed {s}" if len(seeds) > 1 else "validation"
    for s in seeds
}
cuts = {"0.5": 0.0} | {names[s]: info[s]["threshold"] for s in seeds}
titles = {g: figures.generator_name(g) for g in generators}
figures.show(figures.histograms(whole, "generator", cuts, titles))

# %%
sides = ["acc_real", "acc_fake"]
at_half = pd.DataFrame(
    [metrics.accuracies(t["label"], t["logit"], 0.0) for t in parts.values()],
    columns=sides,
).assign(source="at 0.5", generator=list(parts))
base = sensitivity[
    (sensitivity["condition"] == "baseline") & sensitivity["seed"].isin(seeds)
]
tuned = base.groupby(["threshold_source", "generator"], sort=False)[sides]
tuned = tuned.mean().reset_index(names=["source", "generator"])
tuned["source"] = tuned["source"].replace("test", "on test")
accuracies = pd.concat([at_half, tuned])

# %% tags=["remove-input"]
figures.show(figures.thresholds(accuracies, len(seeds)))
on_test = base[base["threshold_source"] == "test"]["threshold"]
validation = {seed: info[seed]["threshold"] for seed in seeds}
say(texts.thresholds(accuracies, validation, on_test, paper))

# %% [markdown]
# **What it means.** AP can be high while an accuracy is poor: then the ranking transfers, but the scale does
# not. That is why AP is the primary measure in this book, and why real and fake accuracy are always printed
# together.

# %% [markdown]
# ```{exercise} High AP, useless accuracy
# Construct six logits, three of reals and three of fakes, with an AP of 100 % and a fake accuracy of 0 % at
# probability 0.5. What would the on-test calibration report?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Reals at $-9, -8, -7$ and fakes at $-3, -2, -1$: perfectly ranked, but all called real. Calibration on test
# moves the threshold to $-3$, and both accuracies become 100 %.
# ```
#
# ```{exercise} What tuning on test is worth
# Choose the threshold on half of the pictures of a generator and measure the accuracies on the other half.
# How much of the advantage of on-test calibration is left, and how much of it was over-fitting? Start from
# `whole` and `metrics.gmean_threshold`.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# ~~~python
# t = whole[whole["generator"] == generators[-1]]
# t = t[t["seed"] == seeds[0]]
# t = t.sample(frac=1, random_state=0)
# a, b = t.iloc[::2], t.iloc[1::2]
# cut = metrics.gmean_threshold(a["label"], a["logit"])
# [metrics.accuracies(one["label"], one["logit"], cut) for one in (b, a)]
# ~~~
# The difference between the two pairs is over-fitting to the half that chose the cut. What remains over the
# validation threshold is real: it comes from knowing the generator's scale, an advantage that a detector of
# *unknown* generators does not have.
# ```
