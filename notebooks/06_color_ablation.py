# %% [markdown]
# # What is left without colour
#
# The patches that excite the top feature maps made {cite:t}`chandrasegaran2022` suspect that the detector
# looks at **colour**. Their test: turn fakes gray and see whether it still calls them fake. This chapter
# repeats the test, on reals as well as on fakes, and adds one in which no picture turns gray.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan",
    "stylegan2",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
]
seeds = [0, 1, 2]
n = None  # pictures per label and generator, at most 60; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd
import torch

from tff_core import detectors, figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import color_ablation as texts
from tff_core.features import color_ablation, color_exchange, pixels
from tff_core.features.color_exchange import Altered, exchange, partners
from tff_core.features.color_robust import in_color
from tff_core.pictures import data

chapter = Chapter(detector, generators, seeds, device=device, build=build)
n = min(n, 60) if n else None
N_FEW = min(n or 24, 24)  # per label that are altered, some many times

# %% [markdown]
# ## Turning pictures gray
#
# **Idea.** If a detector's evidence is in the colours, a gray copy of a fake should look less fake to it.
#
# **Equation.** A gray copy keeps the *luma* of every pixel and drops its two *chroma* components:
#
# $$
# Y = 0.299\,R + 0.587\,G + 0.114\,B, \qquad (R, G, B) \mapsto (Y, Y, Y).
# $$
#
# With $p(x)$ the probability of being fake, the quantity of interest is the **drop of the median**,
# $\operatorname{med}_x\, p(x) - \operatorname{med}_x\, p(\operatorname{gray}(x))$. Its interval comes from a
# bootstrap that draws pictures, each with both of its values, and from how far detector seeds differ, where
# there are several.
#
# **Code.** The pictures in colour were scored for the chapter on sensitivity; for gray, one more transform
# stands before the detector.


# %%
def fake_probability(logits):
    """Of all pictures, (S, N): one row per detector seed."""
    rows = np.stack([logits[seed] for seed in seeds])
    return torch.from_numpy(rows).double().sigmoid().numpy()


logit = {seed: chapter.trained(seed).threshold for seed in seeds}
threshold = {seed: 1 / (1 + np.exp(-at)) for seed, at in logit.items()}
ablation = []
for generator in generators:
    images = chapter.test(generator, first=n)
    gray = chapter.batches(images, transform=data.grayscale)
    table = color_ablation.by_seed(
        fake_probability(in_color(chapter.scores(generator), images)),
        fake_probability(
            {s: detectors.logits(chapter.net(s), gray) for s in seeds}
        ),
        images.labels,
        threshold,
    )
    ablation.append(table.assign(generator=generator, detector=detector))
ablation = pd.concat(ablation, ignore_index=True)

# %% tags=["remove-input"]
chapter.save("color_ablation", ablation)
figures.show(figures.gray_boxes(ablation[ablation["seed"] == "all"]))

# %% [markdown]
# *How to read it.* The paper draws such boxes for fakes to which the detector gives at least 0.2 in colour.
# The menu shows the same for all fakes, and for reals. The filter itself helps the claim a little: among
# pictures selected for a high value, the second value is lower on average even if gray did nothing but add
# noise (regression to the mean). The same filter on reals (a probability of being *real* of at least 0.2)
# shows which way it pulls them.

# %% [markdown]
# ## The drop, with its interval

# %% tags=["remove-input"]
figures.show(figures.gray_drops(ablation))
say(texts.medians(ablation, generators, len(seeds)))
say(texts.verdict(ablation, len(seeds)))

# %% [markdown]
# The rule: a generator speaks for the claim if the interval of the pooled drop lies above zero, against it
# if below; {doc}`the verdicts </notebooks/10_verdicts>` explain how the verdict follows. The paper draws such
# box plots, with the drop of the median, for fakes of its seven generators; it has neither reals nor
# intervals.

# %% [markdown]
# ## Staying in colour: luma and chroma exchanged
#
# **Idea.** Few training pictures are gray, so a gray picture asks the detector about something it has never
# seen. A fairer question keeps every picture in colour: give a real the chroma of a fake, and a fake the
# chroma of a real. The decision goes with whichever part carries the evidence.
#
# **Equation.** With $(Y, C_b, C_r)$ the luma and chroma of JPEG,
#
# $$
# x_{ab} = \operatorname{rgb}\bigl(Y(x_a),\, C_b(x_b),\, C_r(x_b)\bigr).
# $$
#
# $x_{aa} = x_a$ exactly; where the mixture is not a valid colour it is clipped, and clipped pixels are
# counted.
#
# **Controls.** A mixture of two different pictures is odd for a reason that has nothing to do with fakes: its
# colours run across edges that do not belong to them. So reals are also mixed with *other reals*, and fakes
# with *other fakes*. Partners come from the same class of scene where there are classes. Pictures of
# different sizes are cropped to the largest central region that all pictures of a generator have, unmixed
# ones included.


# %%
def mixtures(images):
    """Real and fake pictures, whole and mixed, as many of each."""
    few = color_exchange.balanced(images, N_FEW)
    pictures = chapter.load(few, middle=True)
    fake, scene = np.array(few.labels) == 1, np.array(few.groups)
    r, f = pictures[~fake], pictures[fake]
    other_r, other_f = (
        r[partners(scene[~fake], 0)],
        f[partners(scene[fake], 0)],
    )
    return {
        "real": Altered(r, torch.zeros(len(r))),
        "fake": Altered(f, torch.zeros(len(f))),
        "real luma, other real's chroma": exchange(r, other_r),
        "real luma, fake chroma": exchange(r, f),
        "fake luma, real chroma": exchange(f, r),
        "fake luma, other fake's chroma": exchange(f, other_f),
    }


# %%
def judge(altered, some=seeds):
    """Fake probability of altered pictures, (S, N)."""
    own = {"device": chapter.device}
    own["preprocessing"] = chapter.spec.preprocessing
    nets = map(chapter.net, some)
    return np.stack(
        [color_exchange.probabilities(net, altered, **own) for net in nets]
    )


cuts, exchanged, contrast = list(threshold.values()), [], []
for generator in generators:
    sets = mixtures(chapter.test(generator, first=n))
    p = {name: judge(mixed.pixels) for name, mixed in sets.items()}
    own = {"detector": detector, "generator": generator}
    exchanged.append(color_exchange.called_fake(sets, p, cuts).assign(**own))
    more = color_exchange.carried(
        p["real luma, fake chroma"], p["fake luma, real chroma"], cuts
    )
    contrast.append({"generator": generator, **more._asdict()})
exchanged = pd.concat(exchanged, ignore_index=True)
contrast = pd.DataFrame(contrast)

# %% tags=["remove-input"]
first = ["detector", "generator"]
columns = [*first, *(name for name in exchanged if name not in first)]
chapter.save("color_exchange", exchanged[columns])
figures.show(figures.exchanges(exchanged))
say(texts.exchange(exchanged, contrast, seeds))

# %% [markdown]
# The first minus the second is the right comparison: both sets take one part from a real and one from a fake,
# and both are mixtures of two pictures. If the controls already differ much from the unmixed pictures, mixing
# itself disturbs the detector, and only the difference is meaningful. The rule is the one above, for the
# interval of that difference. The paper has no such test; the claim is what its interpretation implies.

# %% [markdown]
# ## Saturation and hue
#
# **Idea.** There is a continuum between colour and gray. Multiply the chroma of every pixel by a factor, or
# rotate its hue, and leave the luma alone. A detector that looks for a *texture in the chroma* reacts to the
# factor, while hue, which rotates the colours but keeps their texture, should matter less. A detector that
# has learnt *which* colours fakes have reacts to hue. One that is given every plane at the same contrast
# cannot see the factor at all, but for zero, where no colour is left, and small ones, where 8 bits are too
# few for it. Pictures of different sizes are cropped to their middle, as above.

# %%
FACTORS = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
DEGREES = [0, 45, 90, 135, 180, 225, 270, 315]
CHANGES = {
    "saturation": (color_exchange.saturate, FACTORS),
    "hue": (color_exchange.turn, DEGREES),
}
few = chapter.test(generators[0], first=N_FEW)
pictures = chapter.load(few, middle=True)
altered = {
    (change, amount): alter(pictures, amount).pixels
    for change, (alter, amounts) in CHANGES.items()
    for amount in amounts
}
p = {case: judge(some, seeds[:1])[0] for case, some in altered.items()}
sweep = color_exchange.quartiles(p, few.labels)

# %% tags=["remove-input"]
figures.show(figures.sweeps(sweep))

# %% tags=["remove-input"]
typical = color_exchange.typical(p["saturation", 1], few.labels)
frames, told = {}, {}
for factor in FACTORS:
    case = "saturation", factor
    drawn = [pixels.middle(altered[case][i], 128) for i in typical]
    frames[f"{factor:g}"] = torch.stack(drawn).permute(0, 2, 3, 1).numpy()
    words = ["real", "fake"]
    told[f"{factor:g}"] = [
        f"{words[few.labels[i]]}<br>{p[case][i]:.2f}" for i in typical
    ]
figures.show(
    figures.slides(
        frames,
        told,
        "chroma times ",
        "Three fakes and three reals, those nearest to the median of their "
        "kind in full colour, and the probability of being fake that the "
        "detector gives them. Move the slider.",
        start="1",
    )
)

# %% tags=["remove-input"]
say(texts.sweep(sweep, generators[0], few.counts, seeds[0]))

# %% [markdown]
# ## What it means, and what it does not
#
# - If the fakes' median falls in gray **and** reals stay real, the detector uses something that gray
#   removes. If a real with a fake's chroma is called fake, that something is in the chroma, and no gray
#   picture was needed to show it. If the decision follows the luma instead, most of the evidence is there,
#   however colourful the patches of the top maps look.
# - A drop alone does **not** show that colour *transfers*: it must appear on generators that the detector has
#   never seen, and its appearing on ProGAN does not imply that it appears on each of them.
# - It does **not** say which property of colour: saturation, hue, or a fine texture that an upsampling
#   layer leaves in the chroma. The sweeps separate the first two from the third.
# - On the miniature the reals come from a simulated camera, whose demosaicing gives real pictures a chroma
#   texture of their own. The detector may know *reals* by it. The {doc}`data card </notebooks/data_card>`
#   says what was put in by construction.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - say what a gray copy keeps, and what a drop measured with another kind of gray would mix;
# - tell a drop that gray causes from one that a filter causes, by a control in which nothing is done;
# - put an interval around a drop by drawing pictures, each with both of its values;
# - move the chroma of one picture into another, and count the pixels that cannot take it.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Two kinds of gray
# *Objective:* see that a gray copy is a choice, and what the choice changes · *easy* · 10 minutes
#
# A gray copy has the same value in all three channels: a weighted sum of red, green and blue. Write `gray`
# for three given weights, rounded to whole levels, and `moved`: the mean absolute change of the *luma*, in
# levels, that graying with these weights causes. Compare the luma's own weights with the plain mean of the
# channels.
#
# If a detector were tested with the second kind, what would a drop of its probability mix?
# ```

# %% tags=["exercise"]
import numpy as np
import torch

from tff_core.miniature import camera

LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
MEAN = torch.full((3,), 1 / 3, dtype=torch.float64)

taken = [camera.take("test", "stilllife", i, seed=7).pixels for i in range(4)]
photos = torch.from_numpy(np.stack(taken)).permute(0, 3, 1, 2)
blue, yellow = torch.zeros(2, 1, 3, 8, 8, dtype=torch.uint8)
blue[:, 2], yellow[:, :2] = 255, 255


# %% tags=["solution"]
def gray(pixels, weights):
    """Gray copies of pictures (N, 3, H, W), all uint8."""
    # BEGIN SOLUTION
    value = torch.einsum("c,nchw->nhw", weights, pixels.double())
    return value.round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    # END SOLUTION


def moved(pixels, weights):
    """Mean absolute change of the luma in gray copies, in levels."""
    # BEGIN SOLUTION
    change = gray(pixels, weights).double() - pixels.double()
    return float(torch.einsum("c,nchw->nhw", LUMA, change).abs().mean())
    # END SOLUTION


# %% tags=["test"]
once = gray(photos, LUMA)
assert once.shape == photos.shape and once.dtype == torch.uint8, (
    "gray copies are pictures like any other: uint8, of the same shape"
)
assert torch.equal(once[:, 0], once[:, 2]), (
    "red and blue differ: a gray pixel has one value in all three channels"
)
assert moved(photos, LUMA) < 0.35, (
    "the luma moves by more than rounding does: are values rounded, or cut "
    "off towards zero when they become whole numbers?"
)
assert moved(blue, MEAN) > 50, (
    "a pure blue has a luma of 29 and a mean of 85: its light must change"
)

# %% tags=["hidden-test"]
from tff_core.pictures import data

apart = gray(photos, LUMA).int() - data.grayscale(photos).int()
assert apart.abs().max() <= 1, "differs from tff_core's gray by over a level"
both = torch.cat([blue, yellow])
assert abs(moved(both, MEAN) - 56) < 1, (
    "blue gets lighter and yellow darker; a mean of signed changes lets them "
    "cancel: take the absolute change of every pixel"
)
assert torch.equal(gray(once, MEAN), once), "gray again must change nothing"


# %% tags=["wrong"]
# cuts the decimals off where it should round
def gray(pixels, weights):
    value = torch.einsum("c,nchw->nhw", weights, pixels.double())
    return value.to(torch.uint8)[:, None].repeat(1, 3, 1, 1)


def moved(pixels, weights):
    change = gray(pixels, weights).double() - pixels.double()
    return float(torch.einsum("c,nchw->nhw", LUMA, change).abs().mean())


# %% tags=["wrong"]
# averages signed changes, so that lighter and darker pixels cancel
def gray(pixels, weights):
    value = torch.einsum("c,nchw->nhw", weights, pixels.double())
    return value.round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)


def moved(pixels, weights):
    change = gray(pixels, weights).double() - pixels.double()
    return float(torch.einsum("c,nchw->nhw", LUMA, change).mean().abs())


# %% [markdown] tags=["solution"]
# The luma's weights move the luma by no more than rounding does. The mean of the channels makes blue things
# lighter and yellow things darker: it removes the chroma *and* changes the light. A drop measured with it
# would mix the two. Whoever compares results of two papers must know which gray each used.

# %% [markdown] tags=["instructor"]
# **Hint** `torch.einsum("c,nchw->nhw", weights, pixels.double())` is the weighted sum.
#
# **Marking** 2 points: `gray`, 1 of them for rounding. 1 point: `moved`. 1 point: names both causes of the
# drop.
#
# **Common mistakes** arithmetic in uint8, which wraps around; truncation.
#
# **Discuss** Which kind of gray do common image libraries make?

# %% [markdown] tags=["exercise"]
# ```{exercise} Regression to the mean
# *Objective:* separate the effect of gray from that of a filter · *medium* · 15 minutes
#
# The paper's boxes show fakes with a probability of at least 0.2 *in colour*. On paper first: gray pictures
# get the same distribution of probabilities as coloured ones, but independently of them; half of the fakes
# have p = 0.9, half p = 0.1. What is the drop of the median without the filter, and with it?
#
# Then in code, with a placebo: two looks at the same fakes, with different noise and no gray at all. Write
# `drop`, the median of `before` minus the median of `after` over the fakes whose `chosen_by` is at least 0.2.
# Look at `drop(one, two, one)`, and find a `chosen_by` that makes the filter harmless.
# ```

# %% tags=["exercise"]
import numpy as np

LEAST = 0.2
rng = np.random.default_rng(0)
evidence = rng.normal(0, 2, 20_000)  # of each fake, never seen directly


def look():
    """Probability of being fake of every fake, with noise of its own."""
    noisy = evidence + rng.normal(0, 2, len(evidence))
    return 1 / (1 + np.exp(-noisy))


one, two, third = look(), look(), look()


# %% tags=["solution"]
def drop(before, after, chosen_by):
    """Median before minus median after, of the fakes that are chosen."""
    # BEGIN SOLUTION
    chosen = chosen_by >= LEAST
    return np.median(before[chosen]) - np.median(after[chosen])
    # END SOLUTION


# BEGIN SOLUTION
harmless = third
# END SOLUTION

# %% tags=["test"]
assert abs(drop(one, two, np.ones(len(one)))) < 0.03, (
    "all fakes chosen, nothing done: the drop must be close to 0"
)
assert drop(one, two, one) > 0.05, (
    "no drop: were both samples filtered by their own values? The same "
    "pictures must be compared, chosen by `chosen_by` alone"
)
assert abs(drop(one, two, harmless)) < 0.03, (
    "this choice still makes a drop out of nothing: on whose noise does it "
    "depend?"
)

# %% tags=["hidden-test"]
assert np.isclose(drop(two, one, one), -drop(one, two, one)), (
    "exchanging before and after must turn the sign: is the choice made by "
    "`before` whatever `chosen_by` is?"
)
assert np.mean(harmless >= LEAST) < 0.95, "a filter that keeps all is none"
few = drop(np.r_[0.9, 0.4, 0.1], np.r_[0.5, 0.6, 0.9], np.r_[0.2, 1, 0])
assert np.isclose(few, 0.1), "0.2 itself is chosen: at least, not above"


# %% tags=["wrong"]
# filters each sample by its own values
def drop(before, after, chosen_by):
    return np.median(before[before >= LEAST]) - np.median(
        after[after >= LEAST]
    )


harmless = third


# %% tags=["wrong"]
# filters by the value before, whatever it was told
def drop(before, after, chosen_by):
    chosen = before >= LEAST
    return np.median(before[chosen]) - np.median(after[chosen])


harmless = third


# %% tags=["wrong"]
# chooses by the second look: the drop only turns its sign
def drop(before, after, chosen_by):
    chosen = chosen_by >= LEAST
    return np.median(before[chosen]) - np.median(after[chosen])


harmless = two

# %% [markdown] tags=["solution"]
# On paper: without a filter 0. With it, only fakes at 0.9 in colour remain; half of these have 0.1 in gray,
# so the median falls to somewhere between 0.9 and 0.1 although gray has done nothing systematic.
#
# In code: a fake that passes the filter did so partly by its noise, and the second look has other noise. A
# third look, whose noise is in neither of the two values, chooses just as strictly and makes no drop. Where
# no third look can be had, show the drop of a placebo beside that of gray, or use no filter.

# %% [markdown] tags=["instructor"]
# **Hint** Which of the three looks shares its noise with neither `before` nor `after`?
#
# **Marking** 1 point: the drop on paper. 2 points: `drop`. 2 points: a harmless choice, and why it is one.
#
# **Common mistakes** filtering each sample by itself, which compares different pictures.
#
# **Discuss** Where else are pictures selected by the value that is then compared?

# %% [markdown] tags=["exercise"]
# ```{exercise} Draw pictures, not numbers
# *Objective:* know why a paired interval is narrower · *medium* · 15 minutes
#
# Write `interval`: the drop of the median with the ends of its 95 % percentile interval, from `draws`
# bootstrap resamples of the *pictures*. How wide would it be if both samples were resampled on their own, and
# why?
# ```

# %% tags=["exercise"]
import numpy as np

maker = np.random.default_rng(1)
logit = maker.normal(0, 2, 80)
before = 1 / (1 + np.exp(-logit))
after = 1 / (1 + np.exp(-(logit - 1 + maker.normal(0, 0.2, 80))))


# %% tags=["solution"]
def interval(before, after, draws, rng):
    """Drop of the median, and its low and high end."""
    # BEGIN SOLUTION
    drawn = rng.integers(len(before), size=(draws, len(before)))
    drops = np.median(before[drawn], 1) - np.median(after[drawn], 1)
    low, high = np.quantile(drops, [0.025, 0.975])
    return np.median(before) - np.median(after), low, high
    # END SOLUTION


# %% tags=["test"]
value, low, high = interval(before, after, 2000, np.random.default_rng(2))
assert np.isclose(value, np.median(before) - np.median(after)), (
    "the value is the drop of the whole sample, not a mean over resamples"
)
assert low < value < high, "the drop must lie within its own interval"
assert high - low < 0.25, (
    "much too wide: do both values of a picture enter a resample together?"
)

# %% tags=["hidden-test"]
from tff_core.features import color_ablation

want = color_ablation.drop_of_median(before, after, n=4000, seed=5)
found = interval(before, after, 4000, np.random.default_rng(6))
for name, a, b in zip(("drop", "low", "high"), want, found, strict=False):
    assert abs(a - b) < 0.02, (
        f"{name} is {b:.3f}, tff_core has {a:.3f}: is it the difference of "
        "two medians, and are its ends those of the central 95 %?"
    )
same = interval(before, before, 200, np.random.default_rng(3))
assert np.allclose(same, 0), "a sample against itself has no spread at all"


# %% tags=["wrong"]
# resamples the two samples independently of each other
def interval(before, after, draws, rng):
    size = draws, len(before)
    a, b = (rng.integers(len(before), size=size) for _ in range(2))
    drops = np.median(before[a], 1) - np.median(after[b], 1)
    low, high = np.quantile(drops, [0.025, 0.975])
    return np.median(before) - np.median(after), low, high


# %% tags=["wrong"]
# takes the smallest and the largest resample for the ends
def interval(before, after, draws, rng):
    drawn = rng.integers(len(before), size=(draws, len(before)))
    drops = np.median(before[drawn], 1) - np.median(after[drawn], 1)
    return np.median(before) - np.median(after), drops.min(), drops.max()


# %% [markdown] tags=["solution"]
# Some pictures look fake in colour and in gray, some in neither. A resample with many of the first kind has
# two high medians, and their difference hardly changes: what the two values of a picture have in common
# cancels. Resampled on their own, the samples differ in which pictures they hold, and that difference is
# counted as if gray had caused it.

# %% [markdown] tags=["instructor"]
# **Hint** One array of drawn indices, used twice.
#
# **Marking** 2 points: one draw for both samples. 1 point: the ends. 2 points: says what cancels, and why.
#
# **Common mistakes** the median of the differences, which is another number; a bootstrap of one sample only.

# %% [markdown] tags=["exercise"]
# ```{exercise} Exchange back
# *Objective:* know what an exchange of chroma can lose · *hard* · 20 minutes
#
# Write `mix`: pictures with the luma of one set and the chroma of another, and for each the share of its
# pixels that had to be clipped, because some channel was below 0 or above 255 after rounding. `TO_YCBCR`
# takes red, green and blue to luma and the two chroma components. Then give a picture A the chroma of B, and
# B that of A, and exchange the chroma of the two results once more. What do you get? Why not exactly?
# ```

# %% tags=["exercise"]
import numpy as np
import torch

from tff_core.miniature import camera

TO_YCBCR = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ],
    dtype=torch.float64,
)
taken = [camera.take("test", "stilllife", i, seed=3).pixels for i in range(6)]
pictures = torch.from_numpy(np.stack(taken)).permute(0, 3, 1, 2)
a, b = pictures[:3], pictures[3:]


# %% tags=["solution"]
def mix(luma_of, chroma_of):
    """Mixtures, uint8 (N, 3, H, W), and their share of clipped pixels."""
    # BEGIN SOLUTION
    y, c = (
        torch.einsum("ij,njhw->nihw", TO_YCBCR, x.double())
        for x in (luma_of, chroma_of)
    )
    mixed = torch.cat([y[:, :1], c[:, 1:]], 1)
    back = torch.linalg.inv(TO_YCBCR)
    raw = torch.einsum("ij,njhw->nihw", back, mixed).round()
    outside = ((raw < 0) | (raw > 255)).any(1)
    return raw.clamp(0, 255).byte(), outside.double().mean((1, 2))
    # END SOLUTION


# %% tags=["test"]
whole, clipped = mix(a, a)
assert torch.equal(whole, a), "a picture with its own chroma is unchanged"
assert not clipped.any(), "nothing of it needs to be clipped"
ab, lost = mix(a, b)
light = (torch.einsum("c,nchw->nhw", TO_YCBCR[0], ab.double()),)
light += (torch.einsum("c,nchw->nhw", TO_YCBCR[0], a.double()),)
assert (light[0] - light[1]).abs().median() < 1, (
    "the luma is not that of the first set: which part comes from which?"
)

# %% tags=["hidden-test"]
from tff_core.features import color_exchange

want = color_exchange.exchange(a, b)
assert (ab.int() - want.pixels.int()).abs().max() <= 1, (
    "differs from tff_core's exchange: values outside 0 to 255 must be "
    "clipped before they become uint8, or they wrap around"
)
assert torch.allclose(lost, want.clipped, atol=0.01), (
    "another share of clipped pixels: one counts if any channel is outside"
)
again = mix(ab, mix(b, a)[0])[0].int()
assert (again - a.int()).abs().float().median() <= 1, "it does not come back"


# %% tags=["wrong"]
# lets values outside 0 to 255 wrap around
def mix(luma_of, chroma_of):
    y, c = (
        torch.einsum("ij,njhw->nihw", TO_YCBCR, x.double())
        for x in (luma_of, chroma_of)
    )
    mixed = torch.cat([y[:, :1], c[:, 1:]], 1)
    back = torch.linalg.inv(TO_YCBCR)
    raw = torch.einsum("ij,njhw->nihw", back, mixed).round()
    outside = ((raw < 0) | (raw > 255)).any(1)
    return (raw % 256).byte(), outside.double().mean((1, 2))


# %% tags=["wrong"]
# takes the luma of the second set and the chroma of the first
def mix(luma_of, chroma_of):
    y, c = (
        torch.einsum("ij,njhw->nihw", TO_YCBCR, x.double())
        for x in (chroma_of, luma_of)
    )
    mixed = torch.cat([y[:, :1], c[:, 1:]], 1)
    back = torch.linalg.inv(TO_YCBCR)
    raw = torch.einsum("ij,njhw->nihw", back, mixed).round()
    outside = ((raw < 0) | (raw > 255)).any(1)
    return raw.clamp(0, 255).byte(), outside.double().mean((1, 2))


# %% [markdown] tags=["solution"]
# The two originals, up to rounding to 8 bits (a level or two), except where a pixel was clipped: a dark pixel
# cannot take a strong chroma, and what was cut off cannot come back. Clipping also changes the luma, so that
# a mixture with many clipped pixels no longer has the light of the first picture. That is why the chapter
# counts them.

# %% [markdown] tags=["instructor"]
# **Hint** `torch.linalg.inv(TO_YCBCR)` leads back; round before you clip.
#
# **Marking** 2 points: the mixture. 1 point: clipped, not wrapped. 1 point: counts pixels, not channels. 1
# point: says why it does not come back exactly.
#
# **Common mistakes** `.byte()` of values below 0 or above 255; counting each channel as a pixel.
