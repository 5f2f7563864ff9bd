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

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - follow a trace through JPEG, and say at which quality it is gone;
# - reduce a spectrum to rings of equal frequency;
# - measure how far probabilities are off, and how much of it chance explains;
# - choose a temperature, and say what it cannot change;
# - promise an error, and pay for it in pictures without a call.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} A detector without an opinion
# *Objective:* tell calibration from knowledge · *easy* · 5 minutes
#
# A detector gives every picture the same logit. What are its ECE at best, its AP, and its sets at $\alpha =
# 0.05$?
# ```

# %% [markdown] tags=["solution"]
# With the share of fakes as its probability the ECE is zero: calibration says nothing about knowledge. AP is
# that of a random order. Every logit equals both quantiles, so both labels are left: it never calls anything.

# %% [markdown] tags=["instructor"]
# **Hint** Which probability is right on average?
#
# **Marking** 3 points, one for each number.
#
# **Common mistakes** "AP is zero": it is about the share of fakes.

# %% [markdown] tags=["exercise"]
# ```{exercise} Equal energy
# *Objective:* say what a fair control of a band has to hold equal · *easy* · 5 minutes
#
# Why is the control matched by what the detector sees, and not by the energy of the picture?
# ```

# %% [markdown] tags=["solution"]
# Power falls steeply with frequency, and the high-pass takes off what is coarse. As much raw energy as in the
# finest octave is a tiny part of a coarse wave, which this detector does not even see: any band would win.

# %% [markdown] tags=["instructor"]
# **Hint** How much of a coarse wave is left after the high-pass?
#
# **Marking** 2 points: 1 the slope of spectra, 1 the high-pass.
#
# **Discuss** What would a control matched in the number of coefficients test?

# %% [markdown] tags=["exercise"]
# ```{exercise} How much is chance?
# *Objective:* measure a calibration error, and its bias · *medium* · 15 minutes
#
# Write `ece(labels, p, bins)`: over bins of equal width in [0, 1], the mean distance of the share of fakes from the
# mean probability, weighted by the number of pictures. The probabilities below are *right* by construction. What
# does more bins do to their ECE?
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
p = rng.random(400)
labels = (rng.random(400) < p).astype(int)  # what p promises


# %% tags=["solution"]
def ece(labels, p, bins):
    # BEGIN SOLUTION
    number = np.minimum((p * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = number == b
        if inside.any():
            apart = abs(labels[inside].mean() - p[inside].mean())
            total += inside.sum() * apart
    return total / len(p)
    # END SOLUTION


# %% tags=["test"]
assert np.isclose(ece(np.array([1, 0, 1, 1]), np.full(4, 0.5), 10), 0.25), (
    "three of four are fake where one half was promised: 0.25"
)
assert np.isclose(ece(np.array([0, 1]), np.array([0.2, 0.9]), 2), 0.15), (
    "a share above and one below do not make up for each other"
)
grown = [ece(labels, p, bins) for bins in (2, 10, 100)]
assert grown[0] < grown[1] < grown[2], (
    "the fewer pictures a bin has, the further its share is off by chance"
)

# %% tags=["hidden-test"]
from tff_core import reliability

for bins in (1, 7, 15):
    right = reliability.calibration_error(labels, p, bins)
    assert np.isclose(ece(labels, p, bins), right), (
        f"off with {bins} bins: are they weighted by their pictures?"
    )
sure = np.array([0.0, 1.0, 1.0])
assert np.isclose(ece(np.array([0, 1, 1]), sure, 10), 0), (
    "a probability of 1 belongs to the last bin"
)


# %% tags=["wrong"]
# lets bins above and below the diagonal cancel
def ece(labels, p, bins):
    return abs(labels.mean() - p.mean())


# %% tags=["wrong"]
# gives every bin the same weight
def ece(labels, p, bins):
    number = np.minimum((p * bins).astype(int), bins - 1)
    used = [number == b for b in np.unique(number)]
    return np.mean([abs(labels[u].mean() - p[u].mean()) for u in used])


# %% tags=["wrong"]
# compares shares with the middle of the bin, not with what was promised
def ece(labels, p, bins):
    number = np.minimum((p * bins).astype(int), bins - 1)
    used = [(b, number == b) for b in np.unique(number)]
    apart = [u.sum() * abs(labels[u].mean() - (b + 0.5) / bins)
             for b, u in used]  # fmt: skip
    return sum(apart) / len(p)


# %% [markdown] tags=["solution"]
# The probabilities are right, and yet the ECE is above zero and rises with the number of bins: each bin adds the
# absolute value of its own chance. An ECE without the number of bins and pictures, and without what a perfect
# detector would show, cannot be compared with anything.

# %% [markdown] tags=["instructor"]
# **Hint** A bin's number is the integer part of `p * bins`; what about `p = 1`?
#
# **Marking** 4 points: 1 bins, 1 absolute value inside the sum, 1 weights, 1 the bias.
#
# **Common mistakes** The middle of the bin in the place of the mean probability.

# %% [markdown] tags=["exercise"]
# ```{exercise} One number for all logits
# *Objective:* calibrate by a temperature, and see what stays · *medium* · 15 minutes
#
# Write `temperature(labels, logits, grid)`: the number of the grid by which logits have to be *divided* so that the
# labels are likeliest. Then compare AP before and after.
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
true = rng.normal(0, 2, 2000)  # logits that mean what they say
labels = (rng.random(2000) < 1 / (1 + np.exp(-true))).astype(int)
logits = 3 * true  # a detector that is three times too sure
grid = np.geomspace(0.1, 30, 200)


# %% tags=["solution"]
def temperature(labels, logits, grid):
    # BEGIN SOLUTION
    side = np.where(labels == 1, 1, -1)
    losses = [np.logaddexp(0, -side * logits / t).mean() for t in grid]
    return grid[np.argmin(losses)]
    # END SOLUTION


# %% tags=["test"]
found = temperature(labels, logits, grid)
assert found > 1, (
    "a detector that is too sure needs a temperature above 1: are logits "
    "multiplied, or is accuracy maximised, which no temperature changes?"
)
assert np.isclose(found, 3, rtol=0.15), (
    "the logits are three times too large: about 3 is expected"
)

# %% tags=["hidden-test"]
from tff_core import metrics, reliability

for factor in (0.5, 1, 5):
    right = reliability.scale(labels, factor * true).temperature
    found = temperature(labels, factor * true, grid)
    assert np.isclose(found, right, rtol=0.05), (
        f"{found:.2f} where logits are {factor} times what they should be, "
        f"expected {right:.2f}: is it likelihood that you maximise?"
    )
before = metrics.average_precision(labels, logits)
after = metrics.average_precision(labels, logits / found)
assert np.isclose(before, after), "dividing keeps the order, and so AP"


# %% tags=["wrong"]
# multiplies by the temperature instead of dividing
def temperature(labels, logits, grid):
    side = np.where(labels == 1, 1, -1)
    losses = [np.logaddexp(0, -side * logits * t).mean() for t in grid]
    return grid[np.argmin(losses)]


# %% tags=["wrong"]
# looks for the highest accuracy, which no temperature changes
def temperature(labels, logits, grid):
    right = [((logits / t > 0) == (labels == 1)).mean() for t in grid]
    return grid[np.argmax(right)]


# %% [markdown] tags=["solution"]
# About three, as the logits were made. A temperature is positive, so the order of the pictures stays, and with
# it AP, and every decision at the logit 0. It changes what 0.9 means, not who gets it. Nor does it help with other
# families: it was fitted to pictures like those of validation.

# %% [markdown] tags=["instructor"]
# **Hint** The loss of one picture is $\ln(1 + e^{-s f / T})$ with $s = \pm 1$.
#
# **Marking** 4 points: 2 loss, 1 minimum, 1 what does not change.
#
# **Common mistakes** `np.log(1 + np.exp(...))` overflows for sure logits; `np.logaddexp` does not.

# %% [markdown] tags=["exercise"]
# ```{exercise} Rings of equal frequency
# *Objective:* reduce a spectrum to a profile · *medium* · 15 minutes
#
# Write `profile(power, edges)` for the power spectrum (H, W) of `np.fft.fft2`, not shifted: the mean power of all
# coefficients whose frequency, in cycles per pixel, lies in each interval from one of the `edges` (included) to the
# next. White noise should be flat, and a wave of period 4 stand at a quarter.
# ```

# %% tags=["exercise"]
from itertools import pairwise

import numpy as np

rng = np.random.default_rng(0)
edges = np.arange(0.025, 0.5, 0.05)


def power(plane):
    return np.abs(np.fft.fft2(plane - plane.mean())) ** 2 / plane.size


# %% tags=["solution"]
def profile(power, edges):
    # BEGIN SOLUTION
    down, across = (np.fft.fftfreq(side) for side in power.shape)
    radius = np.hypot(down[:, None], across)
    return np.array(
        [
            power[(radius >= low) & (radius < high)].mean()
            for low, high in pairwise(edges)
        ]
    )
    # END SOLUTION


# %% tags=["test"]
noise = power(rng.normal(size=(64, 64)))
assert np.allclose(profile(noise, edges), 1, atol=0.35), (
    "white noise of variance 1 has a mean power of 1 at every frequency; "
    "a sum grows with the ring"
)
wave = np.cos(2 * np.pi * np.arange(64) / 4) * np.ones((64, 1))
strongest = profile(power(wave), edges).argmax()
assert edges[strongest] <= 0.25 < edges[strongest + 1], (
    "a period of 4 pixels is a frequency of 0.25 cycles per pixel"
)

# %% tags=["hidden-test"]
from tff_core import spectra

rings = spectra.fourier_rings(32, 32)
plane = power(rng.normal(size=(32, 32)))
between = (rings.frequency[1:] + rings.frequency[:-1]) / 2
found = profile(plane, between[:15])
right = spectra.azimuthal(plane, fourier=True)[1:15]
assert np.allclose(found, right), (
    "off: a negative frequency is as far from zero as its positive twin"
)
oblong = power(np.cos(2 * np.pi * np.arange(40) / 4) * np.ones((16, 1)))
place = profile(oblong, edges).argmax()
assert edges[place] <= 0.25 < edges[place + 1], (
    "in an oblong picture each side has its own frequencies"
)


# %% tags=["wrong"]
# takes the row and column of a coefficient for its frequency
def profile(power, edges):
    down, across = (np.arange(side) / side for side in power.shape)
    radius = np.hypot(down[:, None], across)
    return np.array(
        [
            power[(radius >= low) & (radius < high)].mean()
            for low, high in pairwise(edges)
        ]
    )


# %% tags=["wrong"]
# adds a ring up instead of averaging it
def profile(power, edges):
    down, across = (np.fft.fftfreq(side) for side in power.shape)
    radius = np.hypot(down[:, None], across)
    return np.array(
        [
            power[(radius >= low) & (radius < high)].sum()
            for low, high in pairwise(edges)
        ]
    )


# %% [markdown] tags=["solution"]
# `fftfreq` knows that the second half of the coefficients are negative frequencies. A mean over a ring is blind to
# direction: a trace along the columns alone is diluted by a ring that holds all directions, the more so the wider
# the ring. That is why the chapter shows planes as well as profiles.

# %% [markdown] tags=["instructor"]
# **Hint** `np.fft.fftfreq(n)` is the frequency of each coefficient, in cycles per pixel.
#
# **Marking** 4 points: 2 frequency, 1 mean, 1 what a profile hides.
#
# **Common mistakes** Measuring distance from the middle of a spectrum that was not shifted.

# %% [markdown] tags=["exercise"]
# ```{exercise} At which quality is it gone?
# *Objective:* follow a trace of high frequency through JPEG · *medium* · 15 minutes
#
# The fakes below carry a wave of period 2 in luma. Write `left(reals, fakes, quality)`: compress both by JPEG
# of this quality with `degradations.jpeg`, measure the `trace` of each picture, and return the AP of these numbers.
# ```

# %% tags=["exercise"]
import numpy as np
import torch

from tff_core import metrics
from tff_core.miniature.planted import Trace, measure, plant
from tff_core.pictures import degradations

trace = Trace("Y", 2, 6.0)
rng = np.random.default_rng(0)
coarse = torch.from_numpy(rng.uniform(40, 210, (24, 3, 8, 8)))
scenes = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")
grain = torch.from_numpy(rng.normal(0, 3, (24, 3, 64, 64)))
scenes = (scenes + grain).clamp(0, 255).to(torch.uint8)
reals = scenes[:12]
fakes = torch.stack([
    torch.from_numpy(plant(s.permute(1, 2, 0).numpy(), trace).pixels)
    .permute(2, 0, 1) for s in scenes[12:]
])  # fmt: skip


# %% tags=["solution"]
def left(reals, fakes, quality):
    # BEGIN SOLUTION
    labels = [0] * len(reals) + [1] * len(fakes)
    found = []
    for picture in [*reals, *fakes]:
        damaged = degradations.jpeg(picture, quality)
        found.append(measure(damaged.permute(1, 2, 0).numpy(), trace))
    return metrics.average_precision(labels, found)
    # END SOLUTION


# %% tags=["test"]
assert left(reals, fakes, 100) > 0.95, (
    "at quality 100 the trace is there, and fakes have more of it: are "
    "they the ones with label 1?"
)
assert left(reals, fakes, 10) < left(reals, fakes, 100) - 0.05, (
    "at quality 10 the finest waves are rounded to nothing: is the damaged "
    "picture measured, or the one before?"
)

# %% tags=["hidden-test"]
half = left(reals, reals, 100)
assert 0.3 < half < 0.7, (
    "pictures against themselves: AP is that of chance; do reals and fakes "
    "both go through JPEG?"
)
assert left(fakes, reals, 100) < 0.5, (
    "with the two exchanged, AP has to be below chance: the sign of the "
    "trace, and which label is which, matter"
)


# %% tags=["wrong"]
# measures the pictures as they were before JPEG
def left(reals, fakes, quality):
    labels = [0] * len(reals) + [1] * len(fakes)
    found = [measure(p.permute(1, 2, 0).numpy(), trace)
             for p in [*reals, *fakes]]  # fmt: skip
    return metrics.average_precision(labels, found)


# %% tags=["wrong"]
# labels reals 1 and fakes 0, against the book's convention
def left(reals, fakes, quality):
    labels = [1] * len(reals) + [0] * len(fakes)
    shown = [degradations.jpeg(p, quality) for p in [*reals, *fakes]]
    found = [measure(p.permute(1, 2, 0).numpy(), trace) for p in shown]
    return metrics.average_precision(labels, found)


# %% [markdown] tags=["solution"]
# JPEG rounds the finest waves most coarsely. A trace of period 2 lives in the last coefficients of each block, and
# once it is smaller than half of their step it is rounded to zero in every block alike. Reals and fakes have to go
# through the same codec: else the codec is what is detected.

# %% [markdown] tags=["instructor"]
# **Hint** `measure` wants (H, W, 3) as an array of NumPy.
#
# **Marking** 4 points: 1 both labels damaged, 1 measured after, 1 AP, 1 why the finest go first.
#
# **Discuss** Which planted trace would live longest: Y2, Cb2 or Y8?

# %% [markdown] tags=["exercise"]
# ```{exercise} What a promise costs
# *Objective:* keep a promised error by not answering · *hard* · 20 minutes
#
# Write `calls(labels, logits, alpha, new)`: 1 (fake), 0 (real) or -1 (no call) for each new logit. A label is *left*
# for a logit unless at most a share `alpha` of the $n + 1$ pictures (the $n$ of that label in validation, and
# the new one) lie at least as far on the wrong side: for fake, below or equal; for real, above or equal. A call is
# made where exactly one label is left.
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
labels = np.repeat([0, 1], [100, 40])
logits = rng.normal(np.where(labels == 1, 1.0, -1.0))


# %% tags=["solution"]
def calls(labels, logits, alpha, new):
    # BEGIN SOLUTION
    fakes, reals = logits[labels == 1], logits[labels == 0]
    below = (fakes <= new[:, None]).sum(1) + 1
    above = (reals >= new[:, None]).sum(1) + 1
    fake = below > alpha * (len(fakes) + 1) + 1e-9
    real = above > alpha * (len(reals) + 1) + 1e-9
    return np.where(fake & ~real, 1, np.where(real & ~fake, 0, -1))
    # END SOLUTION


# %% tags=["test"]
far = calls(labels, logits, 0.05, np.array([-9.0, 0.0, 9.0]))
assert far.tolist() == [0, -1, 1], (
    "far out there is a call; where both labels are plausible there is none"
)
truth = rng.integers(0, 2, 4000)
new = rng.normal(np.where(truth == 1, 1.0, -1.0))
called = calls(labels, logits, 0.05, new)
wrong = [np.mean(called[truth == y] == 1 - y) for y in (0, 1)]
assert max(wrong) < 0.1, (
    "of each label hardly more than alpha may be called the other one"
)

# %% tags=["hidden-test"]
from tff_core import conformal

for alpha in (0.05, 0.2, 0.4):
    right = conformal.zone(labels, logits, alpha).calls(new)
    agree = np.mean(calls(labels, logits, alpha, new) == right)
    assert agree > 0.999, (
        f"{1 - agree:.1%} of the calls are off at alpha {alpha}: each label "
        "has its own n, and the new picture counts as one more"
    )
few = calls(labels[95:105], logits[95:105], 0.05, np.array([9.0]))
assert few[0] == -1, (
    "five pictures of a label cannot promise one error in twenty: no call"
)


# %% tags=["wrong"]
# takes plain quantiles, without counting the new picture
def calls(labels, logits, alpha, new):
    fake = new >= np.quantile(logits[labels == 1], alpha)
    real = new <= np.quantile(logits[labels == 0], 1 - alpha)
    return np.where(fake & ~real, 1, np.where(real & ~fake, 0, -1))


# %% tags=["wrong"]
# calls every picture by a single threshold
def calls(labels, logits, alpha, new):
    return (new >= np.quantile(logits[labels == 0], 1 - alpha)).astype(int)


# %% [markdown] tags=["solution"]
# The promise holds whatever the detector is like, because the new picture is as likely to be at any rank as the
# $n$ others. It is paid for in pictures without a call: a bad detector keeps the promise by never answering. And it
# ends where pictures are not like those of validation.

# %% [markdown] tags=["instructor"]
# **Hint** Count, do not interpolate: how many fakes of validation are at or below the new logit?
#
# **Marking** 5 points: 2 ranks with the new one, 1 each label by itself, 1 calls, 1 what is paid.
#
# **Common mistakes** `np.quantile` promises slightly too much, and with five pictures far too much.
