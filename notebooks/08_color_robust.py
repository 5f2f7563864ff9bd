# %% [markdown]
# # Detectors that cannot rely on colour
#
# If a detector relies on colour, a gray picture takes something away from it. {cite:t}`chandrasegaran2022`
# draw a practical conclusion: train the detector so that colour alone does not help it. This chapter trains
# such a **colour-robust** twin (CR) and asks four things. Is it better than the universal detector on gray
# pictures? What does that cost it in colour? Do its top feature maps still respond to colour? And can it be
# broken in the same way, by dropping its top-k?

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
robust = "resnet50-miniature-cr"  # its colour-robust twin
generators = [
    "progan",
    "stylegan2",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
]
k = None  # how many maps count as top; None: the paper's number
seeds = [0, 1, 2]  # of the universal detector
robust_seeds = [0]  # of the twin
n = None  # pictures per label and generator, at most 60; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import detectors, figures, published
from tff_core.book.chapter import Chapter, places, say
from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.texts import robust as texts
from tff_core.features import color_conditional, color_robust, patches, pixels
from tff_core.pictures import data

if not robust:
    raise ValueError(
        f"{detector} has no colour-robust twin to compare with: "
        "name one as the parameter `robust`"
    )
own = {"k": k, "device": device, "build": build}
models = {
    "universal": Chapter(detector, generators, seeds, **own),
    "color-robust": Chapter(robust, generators, robust_seeds, **own),
}
chapter, twin = models.values()
k = chapter.k
n = min(n, 60) if n else None
both = [s for s in seeds if s in robust_seeds]  # compared seed by seed
images = {g: chapter.test(g, first=n) for g in generators}
names = [figures.generator_name(g) for g in generators]

# %% [markdown]
# ## The same training, half of it in gray
#
# **Idea.** Turn every training picture gray with probability one half. Information carried by colour alone is
# then missing half of the time, and the detector has to find something else as well.
#
# **Equation.** With $\ell$ the loss of a picture $x$ with label $y$, training minimises
#
# $$
# \mathbb{E}\Bigl[\tfrac{1}{2}\,\ell\bigl(f(x), y\bigr) +
# \tfrac{1}{2}\,\ell\bigl(f(\operatorname{gray}(x)), y\bigr)\Bigr]
# $$
#
# instead of $\mathbb{E}\,\ell(f(x), y)$. Validation pictures stay in colour. (In the paper's code they too
# are turned gray at random.)
#
# **Controls.** A twin trained here with a given training seed starts from the same weights as the universal
# detector of that seed, and sees the same pictures in the same order with the same blur, JPEG and flips; only
# the gray is new. So the two are compared **seed by seed, where both exist**. For a twin trained elsewhere
# none of this is known.
#
# **Code.** The test pictures in colour were scored for the chapter on sensitivity; here the same pictures go
# through both detectors in gray. The bootstrap then draws the same pictures for all four.

# %%
measured = []
for generator, some in images.items():
    logits = {}
    for model, one in models.items():
        gray = one.batches(some, 60, data.grayscale)
        logits[model] = {
            "color": color_robust.in_color(one.scores(generator), some),
            "gray": {s: detectors.logits(one.net(s), gray) for s in one.seeds},
        }
    table = color_robust.robustness(some.labels, *logits.values())
    who = {"detector": detector, "twin": robust, "generator": generator}
    measured.append(table.assign(**who))
measured = pd.concat(measured, ignore_index=True)

# %% tags=["remove-input"]
chapter.save("color_robust", measured)
paper = texts.paper_ap()
arch = chapter.spec.arch
figures.show(figures.robust_ap(measured, paper[paper["architecture"] == arch]))
figures.show(figures.robust_differences(measured))
say(texts.verdict(measured, seeds, robust_seeds))

# %% [markdown]
# The rule: a generator speaks for the claim if the whole interval of the paired difference on gray pictures
# lies above zero, against it if below; {doc}`the verdicts </notebooks/10_verdicts>` explain how the verdict
# follows. The cost in colour is reported by the same rule but plays no part in the verdict.
#
# **All numbers, beside the paper's.** The paper has one table for each of its networks, for one detector each
# and without intervals. Unfold for all; the measured columns are at the network of this page.

# %% tags=["remove-input"]
titles = {a: detectors.ARCHITECTURES[a].title for a in published.K}
titles |= {arch: chapter.spec.title}
tables = texts.beside_paper(measured, paper, generators, arch, titles)
say(base.folded("All numbers, in colour and in gray", tables))

# %% [markdown]
# ## Do its maps still respond to colour?
#
# **Idea.** The same test as in the last chapter, before and after: the share of **colour-conditional** maps
# among the top-k (Mood's median test of the maximum activation, colour against gray, at 5 %). Each detector
# has its own top-k and its own layer-matched control. The same fakes in both.
#
# **Interval.** As there: shares are measured on random halves of the pictures; how much two halves differ
# shows how much a share varies. The number of pictures is the same everywhere, because a share without its
# $n$ says little.

# %%
DRAWS = 20  # sets of the layer-matched control


def compared(omega):
    """The maps that are tested: the top-k and its control."""
    control = [omega.matched(k, draw) for draw in range(DRAWS)]
    return {"top-k": [omega.top(k)], "matched-k": control}


fakes = {g: some.where(label=1) for g, some in images.items()}
groups = {
    (model, seed): compared(one.omega(seed))
    for model, one in models.items()
    for seed in both
}
shares = []
for generator, some in fakes.items():
    samples = {model: [] for model in models}
    for (model, seed), own in groups.items():
        one = models[model]
        pair = one.batches(some), one.batches(some, transform=data.grayscale)
        samples[model].append(
            color_conditional.sample(one.net(seed), *pair, own)
        )
    table = color_robust.before_after(*samples.values(), splits=40)
    who = {"detector": detector, "twin": robust, "generator": generator}
    shares.append(table.assign(**who))
shares = pd.concat(shares, ignore_index=True)

# %% tags=["remove-input"]
chapter.save("color_robust_share", shares)
old = texts.paper_shares(arch)
figures.show(figures.robust_shares(shares, old))
sizes = [len(own["matched-k"][0]) for own in groups.values()]
say(texts.shares(shares, old, generators, k, both, DRAWS, sizes))

# %% [markdown]
# If the share falls for the controls as much as for the top-k, or more, the *whole network* has turned away
# from colour, and nothing specific has happened to the maps that carry the decision. The switch in the figure
# shows the two changes side by side.

# %% [markdown]
# ## What its maps look for
#
# **Idea.** The LRP-max patches of chapter *What a feature map looks for*, now for the colour-robust
# detector: for each of its first maps by $\omega$, the place in the fakes of every generator where it is
# most excited. The menu also has the universal detector of the same training seed.

# %%
ROWS, RANKS, CELL = 8, 3, 44  # maps shown, their patches, side of a patch
seed, found = both[0], []
for model in reversed(models):
    one = models[model]
    top, other = (sets[0] for sets in groups[model, seed].values())
    # for each map one of its own layer that is not in the top-k
    partner = dict(patches.pairs(top, other))
    group = dict.fromkeys(top[:ROWS], "top-k")
    group |= {partner[m]: "matched-k" for m in top[:ROWS] if m in partner}
    group_of = {str(m): name for m, name in group.items()}
    own = {"device": one.device, "preprocessing": one.spec.preprocessing}
    for generator, some in fakes.items():
        seen = patches.find(one.net(seed), some, list(group), RANKS, **own)
        seen = patches.measure(seen, one.spec.preprocessing)
        who = {"model": model, "generator": generator}
        found.append(seen.assign(group=seen["map"].map(group_of), **who))
found = pd.concat(found, ignore_index=True)

# %% tags=["remove-input"]
frames, hover, labels = {}, {}, {}
top = found[found["group"] == "top-k"]
for model, own in top.groupby("model", sort=False):
    title, seen = texts.spoken(model), models[model].spec.preprocessing
    rows = patches.strongest(own, generators)
    labels[title] = [m.split("(")[0].replace(".#", "<br>#") for m in rows]
    cells = [
        [pixels.thumbnail(row.path, row.box, CELL, seen) for row in line]
        for line in rows.values()
    ]
    frames[title] = np.array(cells)
    hover[title] = [list(map(texts.patch, line)) for line in rows.values()]
most = max(map(len, fakes.values()))
text = texts.patches(len(rows), k, chapter.spec.title, seed, most)
figures.show(figures.collage(frames, hover, labels, names, text))
first = next(iter(groups["universal", seed].values()))[0][:ROWS]
first = first if seed == seeds[0] else []  # of which the atlas speaks
say(places("The universal detector's maps in the atlas", first))

# %% [markdown]
# **Measuring colour.** $\bar C_{\text{patch}} / \bar C_{\text{picture}}$, the mean chroma of a patch over
# that of its picture, for each map the mean over its patches.

# %% tags=["remove-input"]
per_map, means = color_robust.chroma_means(found)
if len(means):
    figures.show(figures.chroma_ratios(per_map, means))
say(texts.chroma(means, found, seed))

# %% [markdown]
# ## Can it be broken in the same way?
#
# **Idea.** Feature-map dropout as in the chapter on sensitivity, in the colour-robust detector, with *its*
# ranking: its top-k held constant, against as many random maps of the same layers.

# %% tags=["remove-input"]
# of these generators alone: another one changes nothing here
parts = verdicts.Parts(chapter.store.root)
contrast = verdicts.read(parts, "contrast", robust, generators)
shown = contrast["seed"].astype(str).isin(["all", *map(str, robust_seeds)])
figures.show(figures.forest(contrast[shown]))
summary = {}
for model, some in (("universal", both), ("color-robust", robust_seeds)):
    name = models[model].detector
    table = verdicts.read(parts, "sensitivity", name, generators)
    summary[model] = verdicts.summarize(table[table["seed"].isin(some)])
say(texts.broken(contrast, summary, generators, k, seeds, both))

# %% tags=["remove-input"]
tops = {key: set(own["top-k"][0]) for key, own in groups.items()}
common = {s: len(tops["universal", s] & tops["color-robust", s]) for s in both}
omega = chapter.omega(both[0])
say(texts.in_common(common, k, len(omega), not twin.spec.external))

# %% [markdown]
# The rule is that of the chapter on sensitivity: a generator speaks for the claim if the whole interval of
# top-k minus layer-matched lies below zero, against it if above.

# %% [markdown]
# ## What it means, and what it does not
#
# - If the twin keeps its AP in gray, what it needs is also in the luma. It does **not** mean that the
#   universal detector *used* colour for its decisions: it may have failed in gray because gray was new to it.
#   The chapter on colour ablation has a test without gray pictures.
# - A lower share of colour-conditional maps means that fewer maps *respond* to the change. It does not mean
#   that the detector is blind to colour. *Robust* means robust to gray; no other change was tested.
# - Random grayscaling is also simply augmentation, and augmentation alone may help on unseen generators. A
#   control with another augmentation of the same strength is missing here, as it is in the paper.
# - On the miniature many reals have little colour to begin with (the {doc}`data card </notebooks/data_card>`
#   says how much), so gray is less unusual here than for photographs.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - write random grayscaling as one coin for every picture;
# - say what training on gray copies changes in what a detector uses, and that it is not blind to colour after
#   it;
# - compare two trainings seed by seed, with an interval that three seeds can support;
# - name what a validation set in gray would change.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} One coin for every picture
# *Objective:* write the augmentation of this chapter correctly · *easy* · 10 minutes
#
# Write `random_gray`: every picture of a batch turns gray with probability `rate`, on its own coin; all
# others stay as they are, and so does the batch that was given.
# ```

# %% tags=["exercise"]
import torch

from tff_core.pictures import data

rng = torch.Generator().manual_seed(0)
batch = torch.randint(256, (400, 3, 4, 4), generator=rng).to(torch.uint8)


# %% tags=["solution"]
def random_gray(pixels, rate, rng):
    """Pictures (N, 3, H, W), some of them gray; a new tensor."""
    # BEGIN SOLUTION
    chosen = torch.rand(len(pixels), generator=rng) < rate
    gray = data.grayscale(pixels)
    return torch.where(chosen[:, None, None, None], gray, pixels)
    # END SOLUTION


# %% tags=["test"]
def is_gray(pixels):
    return (pixels == data.grayscale(pixels)).flatten(1).all(1)


before = batch.clone()
half = random_gray(batch, 0.5, torch.Generator().manual_seed(1))
assert torch.equal(batch, before), "the batch that was given has changed"
share = is_gray(half).float().mean()
assert 0.4 < share < 0.6, (
    f"a share of {share:.2f} is gray instead of about one half: is there one "
    "coin for every picture?"
)
assert torch.equal(half[~is_gray(half)], batch[~is_gray(half)]), (
    "a picture that is not gray must be left alone, to the last bit"
)

# %% tags=["hidden-test"]
for rate, want in ((0, 0.0), (1, 1.0)):
    some = random_gray(batch, rate, torch.Generator().manual_seed(2))
    assert is_gray(some).float().mean() == want, f"rate {rate}: all or none"
again = [
    random_gray(batch, 0.5, torch.Generator().manual_seed(s))
    for s in (1, 1, 2)
]
assert torch.equal(again[0], again[1]), "one seed, two different batches"
assert not torch.equal(again[0], again[2]), "the generator is not used"


# %% tags=["wrong"]
# tosses one coin for the whole batch
def random_gray(pixels, rate, rng):
    if torch.rand(1, generator=rng) < rate:
        return data.grayscale(pixels)
    return pixels.clone()


# %% tags=["wrong"]
# tosses a coin for every pixel
def random_gray(pixels, rate, rng):
    n, _, h, w = pixels.shape
    chosen = torch.rand(n, 1, h, w, generator=rng) < rate
    return torch.where(chosen, data.grayscale(pixels), pixels)


# %% tags=["wrong"]
# grays the given batch in place
def random_gray(pixels, rate, rng):
    chosen = torch.rand(len(pixels), generator=rng) < rate
    pixels[chosen] = data.grayscale(pixels[chosen])
    return pixels


# %% [markdown] tags=["solution"]
# One coin for a whole batch has the same expectation, but makes steps that are all gray or all colour: batch
# normalisation then sees two kinds of batch and fits neither. One coin for every pixel makes pictures that
# occur nowhere, with a colour noise of their own, which is just what a detector of fine chroma looks for.

# %% [markdown] tags=["instructor"]
# **Hint** `torch.where` with a mask of shape (N, 1, 1, 1).
#
# **Marking** 2 points: one coin per picture. 1 point: nothing in place. 1 point: uses the generator.
#
# **Common mistakes** a global random state; a mask that broadcasts over pixels.

# %% [markdown] tags=["exercise"]
# ```{exercise} Half of the pictures, or half of the colour?
# *Objective:* know what the loss of this chapter teaches · *medium* · 20 minutes
#
# A picture is reduced to two numbers: a trace in the luma, weak, and one in the chroma, strong. Gray sets the
# second to 0. Write `loss` of a linear detector with weights `w`: the exact expectation of the binary
# cross-entropy if every picture turns gray with probability `rate`, mean over pictures. (The equation of this
# chapter, for any rate.) `train` minimises it. Compare the weights of the twin with those of the universal
# detector. Is the twin blind to colour?
# ```

# %% tags=["exercise"]
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

rng = torch.Generator().manual_seed(0)
y = torch.arange(600.0) % 2
strength = torch.tensor([0.7, 2.0])  # of the traces in luma and in chroma
x = torch.randn(600, 2, generator=rng) + torch.outer(2 * y - 1, strength)


# %% tags=["solution"]
def loss(w, x, y, rate):
    """Expected cross-entropy of w (2,) on x (N, 2), labels y (N,)."""
    # BEGIN SOLUTION
    gray = x * torch.tensor([1.0, 0.0])
    return (1 - rate) * bce(x @ w, y) + rate * bce(gray @ w, y)
    # END SOLUTION


def train(rate):
    w = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([w], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(w, x, y, rate).backward()
        optimizer.step()
    return w.detach()


# %% tags=["test"]
universal, twin = train(0.0), train(0.5)
gray = torch.stack([x[:, 0], torch.zeros(600)], 1)


def right(w, x):
    return ((x @ w > 0) == (y > 0)).float().mean()


assert twin[1] > 0.3, "the twin is not blind to colour: its weight stays"
assert abs(loss(twin, gray, y, 0.0) - loss(twin, gray, y, 0.7)) < 1e-6, (
    "gray pictures that turn gray are the same pictures"
)
assert loss(twin, gray, y, 0.0) < loss(universal, gray, y, 0.0), (
    "on gray pictures the twin must be the surer one"
)

# %% tags=["hidden-test"]
w = torch.tensor([0.5, -1.5])
want = 0.75 * bce(x @ w, y) + 0.25 * bce(gray @ w, y)
assert torch.isclose(loss(w, x, y, 0.25), want), (
    "not the mean of two losses, in colour and in gray, weighted by the "
    "probability of each"
)
assert torch.isclose(loss(w, x, y, 1.0), bce(gray @ w, y)), "rate 1: gray"
assert right(twin, x) > right(twin, gray) > 0.5, (
    "colour helps the twin where it is there; luma helps it where it is not"
)


# %% tags=["wrong"]
# fades the colour of every picture instead of removing it from some
def loss(w, x, y, rate):
    faded = x * torch.tensor([1.0, 1.0 - rate])
    return bce(faded @ w, y)


def train(rate):
    w = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([w], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(w, x, y, rate).backward()
        optimizer.step()
    return w.detach()


# %% tags=["wrong"]
# averages the logits before the loss
def loss(w, x, y, rate):
    gray = x * torch.tensor([1.0, 0.0])
    return bce((1 - rate) * (x @ w) + rate * (gray @ w), y)


def train(rate):
    w = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([w], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(w, x, y, rate).backward()
        optimizer.step()
    return w.detach()


# %% [markdown] tags=["solution"]
# Fading the colour of every picture, or averaging the two logits, would show the detector a weak colour, and
# a larger weight makes up for that: nothing has to be learnt from the luma. Only where colour is *missing*
# must something else decide. The twin's weight on the luma relative to that on chroma is larger, yet it still
# uses colour where it is there: *robust to gray* is not *blind to colour*.

# %% [markdown] tags=["instructor"]
# **Hint** Two losses, one for each outcome of the coin, weighted by their probabilities.
#
# **Marking** 3 points: the loss. 1 point: what fading would teach. 1 point: the twin still uses colour.
#
# **Discuss** Which claim of the chapter rests on the twin's *not needing* colour, and which on its *not
# using* it?

# %% [markdown] tags=["exercise"]
# ```{exercise} Gray in validation
# *Objective:* see what a validation set decides · *medium* · 10 minutes
#
# The paper's code grays validation pictures at random too, and uses their accuracy for early stopping. What
# can that change, compared with validation in colour? For which detector of this chapter would it matter?
# ```

# %% [markdown] tags=["solution"]
# Early stopping then waits until *gray* pictures are well classified too, and a threshold calibrated on such
# pictures lies between what colour and gray would need. Here nothing stops early, and AP needs no threshold;
# the calibrated threshold of the colour-robust detector would be the one to change.

# %% [markdown] tags=["instructor"]
# **Hint** What is chosen with the help of the validation pictures?
#
# **Marking** 1 point: when training stops. 1 point: the threshold. 1 point: AP is not affected by the
# threshold.
#
# **Common mistakes** "the weights change directly": validation pictures are not trained on.

# %% [markdown] tags=["exercise"]
# ```{exercise} Better than the universal detector in colour?
# *Objective:* argue on both sides before looking · *medium* · 10 minutes
#
# On coloured pictures of an unseen generator, can a detector trained half in gray beat one that always saw
# colour? Name a reason for it and one against it.
# ```

# %% [markdown] tags=["solution"]
# For: colour traces of ProGAN may be absent, or reversed, in another generator; a detector that does not
# trust them is not misled. Against: it has seen half as many coloured pictures in the same number of steps,
# and where colour does transfer it has given something away. The figure of differences and the row
# *difference, color* of the table show which of the two it was.

# %% [markdown] tags=["instructor"]
# **Hint** What if the colour trace of the new generator is the opposite of ProGAN's?
#
# **Marking** 1 point for each reason. 1 point: names the number in the chapter that decides.
#
# **Discuss** Would blur as augmentation be a fair control for gray?

# %% [markdown] tags=["exercise"]
# ```{exercise} Two detectors, three seeds
# *Objective:* compare trainings in pairs, and honestly with few of them · *hard* · 15 minutes
#
# A twin starts from the same weights and sees the same pictures in the same order as the universal detector
# of its seed. Write `interval`: the mean difference of `after - before` over seeds, and the ends of Student's
# 95 % interval, $\bar d \pm t\, s / \sqrt S$, with $s$ the sample's standard deviation (divisor $S - 1$).
# `T975` has the quantiles by degrees of freedom. With one seed the ends are missing (NaN). How much narrower
# would 1.96 make it for three seeds?
# ```

# %% tags=["exercise"]
import numpy as np

T975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262}
before = np.array([0.81, 0.72, 0.88])  # AP of three seeds, in gray
after = np.array([0.86, 0.76, 0.93])


# %% tags=["solution"]
def interval(before, after):
    """Mean difference over seeds, low and high end."""
    # BEGIN SOLUTION
    d = np.asarray(after) - np.asarray(before)
    if len(d) < 2:
        return d.mean(), np.nan, np.nan
    reach = T975[len(d) - 1] * d.std(ddof=1) / np.sqrt(len(d))
    return d.mean(), d.mean() - reach, d.mean() + reach
    # END SOLUTION


# %% tags=["test"]
value, low, high = interval(before, after)
assert abs(value - 0.14 / 3) < 1e-9, "the value is the mean difference"
assert low > 0, (
    "the gain is nearly the same for every seed: paired, the interval lies "
    "above zero. Is the spread that of the differences?"
)
assert high - low > 0.02, "too narrow: three numbers have a t of 4.303"
assert np.isnan(interval(before[:1], after[:1])[1:]).all(), (
    "one seed says nothing about another: its ends are missing"
)

# %% tags=["hidden-test"]
from tff_core import spectra

rng = np.random.default_rng(0)
for seeds in (2, 3, 5, 10):
    a, b = rng.random((2, seeds))
    want = spectra.mean_interval(b - a)
    assert np.allclose(interval(a, b), want, rtol=1e-3), (
        f"{seeds} seeds: {interval(a, b)}, tff_core has {want}: S - 1 in the "
        "deviation and in the degrees of freedom?"
    )


# %% tags=["wrong"]
# takes the two detectors for independent samples
def interval(before, after):
    d = after.mean() - before.mean()
    if len(before) < 2:
        return d, np.nan, np.nan
    spread = np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / len(before))
    return d, d - 4.303 * spread, d + 4.303 * spread


# %% tags=["wrong"]
# uses 1.96, as if there were many seeds
def interval(before, after):
    d = after - before
    if len(d) < 2:
        return d.mean(), np.nan, np.nan
    reach = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    return d.mean(), d.mean() - reach, d.mean() + reach


# %% tags=["wrong"]
# divides by S instead of S - 1
def interval(before, after):
    d = after - before
    if len(d) < 2:
        return d.mean(), np.nan, np.nan
    reach = T975[len(d) - 1] * d.std() / np.sqrt(len(d))
    return d.mean(), d.mean() - reach, d.mean() + reach


# %% [markdown] tags=["solution"]
# The APs of the seeds differ by 16 points, their gains by one: what a seed makes of *both* detectors cancels
# in the difference. With 1.96 the interval would be less than half as wide, and would miss the truth far more
# often than 5 times in 100, because the spread of three numbers is itself a guess. The chapter's intervals
# add how much the pictures matter.

# %% [markdown] tags=["instructor"]
# **Hint** One number per seed first, then forget that there were two detectors.
#
# **Marking** 2 points: paired. 1 point: t. 1 point: S - 1. 1 point: one seed.
#
# **Common mistakes** population deviation (`np.std` divides by S).
