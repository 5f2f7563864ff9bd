# %% [markdown]
# # Do they hold?
#
# A picture on its way through the world is compressed, resized, cropped. Users of detectors ask first what is
# left of an answer then. Here the explanation is asked the same: which gives way first, **the verdict or the
# reason given for it**? Then the chapter asks which frequencies both rest on, and what a probability of this
# detector is worth, on families that it knows and on others.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # how many maps count as top; None: the paper's number
seeds = [0, 1, 2]
n = None  # pictures per label and generator, for spectra; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import exam_robust as texts
from tff_core.exam import band_stop, calibration, family_spectra, robustness

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
store = chapter.store


def part(table, seed):
    return store.part(table, detector, f"s{seed}")


def save(table, rows, **names):
    rows = rows.rename(columns={"generator": "pictures", **names})
    chapter.save_part(table, "all", rows.assign(detector=detector))


# %% [markdown]
# ## Answers under damage
#
# **Idea.** The same test pictures go through JPEG, WebP, a resize and back, blur, noise, a crop and coarser
# chroma, each from weak to strong. What is random, the noise and the place of a crop, stays the same for a
# picture at every level. Coarser chroma is the subsampling of a codec without the codec.
#
# **Measure.** AP, and the shares of reals and of fakes that are called right at the threshold that was
# calibrated on undamaged validation pictures, averaged over generators.

# %%
watched = [
    robustness.Watched.read(part("degraded", s), part("degraded_omega", s))
    for s in seeds
]
thresholds = [chapter.info(s)["threshold"] for s in seeds]
table = robustness.curves(watched, thresholds)
bands_out = table["operation"].str.startswith(("stop ", "control "))
damage = table[~bands_out]

# %% tags=["remove-input"]
mean = damage[damage["generator"] == robustness.MEAN]
figures.show(figures.degraded_answers(mean))
say(texts.answers(mean))
save("robustness", damage)

# %% [markdown]
# ## Which breaks first?
#
# **Idea.** Of fakes that the undamaged detector calls fake, three things are followed along each curve:
# whether it still calls them fake; whether their heatmaps still rank the pixels alike (Spearman); whether
# omega of these pictures still has the same top-k. Relevance always starts at what speaks for *fake*, also
# where the damaged picture is no longer called so.
#
# **Equation.** Each is brought to one scale. With $v$ its value and $c$ what chance gives,
#
# $$
# s = \frac{v - c}{1 - c} ,
# $$
#
# so that 1 is unchanged and 0 is chance. Chance is one half for a verdict; for heatmaps the likeness of those
# of two *different* pictures; for omega the overlap where both draw their maps at random within each layer.
#
# **Rule**, stated before any result. A measure is *broken* from the weakest level on at which its whole 95 %
# interval lies below $s = \tfrac12$. An operation speaks *for* the claim that the explanation breaks first if
# it breaks at a weaker level than the verdict, or if the verdict does not break; *against* it the other way
# round; at the same level, or with neither broken, it is *open*. Operations are then counted as generators
# are everywhere else in this book. One training alone leaves all open.

# %%
explained = damage[damage["generator"] == robustness.EXPLAINED]
broken = robustness.broken(damage)

# %% tags=["remove-input"]
count = sum(one.explained for one in watched)
if count:
    figures.show(figures.degraded_explanations(explained))
say(texts.first(broken, count))
levels = {name: f"{name}_at" for name in ("verdict", "heatmap", "omega")}
first = {f"{name} first": f"{name}_first" for name in ("heatmap", "omega")}
save("broken", broken, **levels, **first)

# %% [markdown]
# ## Spectra of families
#
# **Idea.** Upsampling leaves peaks and slopes in a picture's spectrum {cite}`durall2020`. For luma and both
# colour differences: the mean log power spectrum of each family's fakes less that of its own reals, by
# coefficient, and as a profile over rings of equal frequency. A Hann window keeps the borders out.

# %%
spectra = family_spectra.measure(
    {name: chapter.test(name, first=n) for name in generators}
)

# %% tags=["remove-input"]
planes = {
    f"{figures.generator_name(family)}, {channel}": plane
    for (family, channel), plane in spectra.planes.items()
    if channel in ("Y", "Cr")
}
figures.show(
    figures.spectrum_planes(
        planes,
        "difference of ln power",
        "Mean log power of fakes less that of their reals: red where fakes "
        "have more.",
        diverging=True,
        fourier=True,
    )
)
figures.show(
    figures.spectrum_profiles(
        spectra.differences,
        "fakes less reals, ln power",
        "Mean log power of fakes less that of their reals.",
        zero=True,
    )
)
say(texts.spectra(spectra.differences))
save("family_spectra", spectra.differences)

# %% [markdown]
# ## Which octaves carry the decision?
#
# **Idea.** A difference is not a reason. So one octave of one channel is taken out of every picture, reals
# and fakes alike, and the detector is asked again.
#
# **Control.** As much energy is taken out elsewhere: random other frequencies of the same channel, until they
# hold as much of what the detector sees after its high-pass. Contrast is brought to one value afterwards, so
# whatever is left is amplified alike in both. A band matters if AP falls *below the control's*, and it
# carries omega if more of the top-k is lost than with the control.

# %%
lost = band_stop.contrast(watched)
octaves = band_stop.octaves(lost["level"].nunique())
named = {band[0]: band_stop.name(band) for band in octaves}
asked = watched[0].pictures[["generator", "picture"]].drop_duplicates()
few = asked.groupby("generator").size().max() // 2
matched = band_stop.matched(
    {name: chapter.test(name, first=few) for name in generators},
    octaves,
    chapter.spec.preprocessing.highpass,
)

# %% tags=["remove-input"]
figures.show(figures.band_losses(lost, named))
say(texts.bands(lost, named, matched))
save("band_stop", lost, stop="without", control="elsewhere")

# %% [markdown]
# ## What do the top-k respond to?
#
# **Measure.** Pictures that have *nothing but* one octave of one channel are shown to the network, and flat
# ones. The response of a map to a band is its mean activation above that on flat pictures; its shares over
# all bands add up to one. Where contrast is brought to one value, all bands arrive equally strong. The top-k
# of omega are compared with as many other maps of the same layers, all training seeds together.

# %%
responses = [pd.read_csv(part("tuning", s)) for s in seeds]
everyone = pd.concat(
    one.assign(key=one["key"] + f" seed {s}")
    for s, one in zip(seeds, responses, strict=True)
)
own = {
    group: list(rows["key"].unique())
    for group, rows in everyone.groupby("group", sort=False)
}
groups = band_stop.groups(everyone, own)

# %% tags=["remove-input"]
figures.show(figures.band_responses(groups, named))
silent = groups.groupby("group")["silent"].first().tolist()
say(texts.tuned(groups, named, silent))
save("band_responses", groups)

# %% [markdown]
# ## Is a probability a probability?
#
# **Idea.** Of the pictures that get a probability of 0.9, nine in ten should be fake. The **reliability
# diagram** shows whether they are, the **expected calibration error** (ECE) sums up how far they are off. A
# **temperature** {cite}`guo2017` divides all logits by one number that makes validation pictures likeliest;
# an offset moves them, too. Neither changes the order of pictures, so AP stays as it is.
#
# **Bias.** The ECE is an absolute value: chance alone makes it positive. Its bias is taken off here, and
# beside it stands what a detector whose probabilities are *right* would show.

# %%
validation = [pd.read_csv(part("validation", s)) for s in seeds]
known = calibration.Logits.of(
    validation[0]["label"], [rows["logit"] for rows in validation]
)
tests = calibration.tested(store, detector, seeds, generators)
tests = calibration.grouped(tests)
errors = calibration.errors(known, tests)

# %% tags=["remove-input"]
figures.show(figures.reliability(calibration.diagrams(known, tests)))
say(texts.calibrated(errors))
save("calibration", errors)

# %% [markdown]
# ## What is a promise worth?
#
# **Idea.** Instead of a threshold, a *set*: which labels are left for a picture if an error of $\alpha$ is
# allowed? By **split conformal prediction** {cite}`vovk2013` a label is left unless the picture's logit is
# beyond the quantile of its validation pictures. For each label by itself,
#
# $$
# P(\text{own label is not left}) \le \alpha
# $$
#
# for pictures like those of validation, whatever the detector is like. Where both labels are left, or none,
# there is *no call*. `tff detect --error 0.05` takes its zone from here. For families that the detector has
# not been trained on nothing is promised; below it is measured.

# %%
promises = calibration.promises(known, tests)

# %% tags=["remove-input"]
say(texts.promised(promises))
save("promises", promises)

# %% [markdown]
# ## What it means, and what it does not
#
# - The levels are those of everyday life, but pictures are 64 pixels a side: a blur or a crop of so many
#   pixels takes more of them than of a photograph.
# - Heatmaps and omega are those of $z^+$ relevance. Whether they say the truth about the undamaged picture is
#   another question; here they are only asked to say the same.
# - An explanation may change because the detector now decides for another reason. That is no fault of the
#   explanation, and no comfort to whoever has read the first one.
# - A band that matters need not be where fakes differ most: the detector was trained on one family.
# - The promise holds on average over validation sets. A measured share below it, within what is plausible,
#   breaks no promise.
#
# ```{exercise} A detector without an opinion
# A detector gives every picture the same logit. What are its ECE at best, its AP, and its sets at $\alpha =
# 0.05$?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# With the share of fakes as its probability the ECE is zero: calibration says nothing about knowledge. AP is
# that of a random order. Every logit equals both quantiles, so both labels are left: it never calls anything.
# ```
#
# ```{exercise} Equal energy
# Why is the control matched by what the detector sees, and not by the energy of the picture?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Power falls steeply with frequency, and the high-pass takes off what is coarse. As much raw energy as in the
# finest octave is a tiny part of a coarse wave, which this detector does not even see: any band would win.
# ```
