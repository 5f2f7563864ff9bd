# %% [markdown]
# # Are the explanations faithful?
#
# A heatmap can look right and be wrong. Whether it shows what the decision rests on can be measured: change the
# picture where the map is bright, and see whether the decision notices. This chapter does so with the book's
# relevance and nine other methods, by several measures, beside two maps that know no detector at all.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
seeds = [0, 1, 2]
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import exam_faithful as texts
from tff_core.exam import faithfulness, methods
from tff_core.features import pixels
from tff_core.store.checkpoint import read_arrays

chapter = Chapter(detector, ["progan"], seeds, device=device, build=build)


def parts(table):
    found = [
        pd.read_csv(chapter.store.part(table, detector, f"s{seed}"))
        for seed in seeds
    ]
    return pd.concat(found, ignore_index=True)


values, curves = parts("faithful"), parts("faithful_curves")

# %% [markdown]
# ## Twelve maps of one decision
#
# Every method gets the same trained detector and the same picture, and returns a number for each pixel. LRP runs
# with the paper's z+ rule and with the composite that is used most elsewhere {cite:p}`montavon2019`; most of the
# others come from the library captum. Signed maps say what speaks for the decision and what against it. **Random
# numbers** and **edges** are the controls: whatever they pass, a method has to pass by more.

# %% tags=["remove-input"]
say(
    texts.asked(
        {name: (m.signed, m.source) for name, m in methods.METHODS.items()}
    )
)
path = chapter.store.part("faithful_maps", detector, f"s{seeds[0]}")
kept = read_arrays(path.with_suffix(".npz"), "run `make` again")
seen = kept["pictures"].transpose(0, 2, 3, 1)
rows = {"picture": seen}
for name, title in texts.METHODS.items():
    positive = np.clip(kept[name], 0, None)
    most = positive.max((1, 2), keepdims=True)
    rows[title] = pixels.overlay(seen, positive / np.where(most, most, 1))
names = [figures.generator_name(one) for one in kept["generators"]]
figures.show(
    figures.pictures(
        rows,
        dict.fromkeys(rows, names),
        "Fakes, and what twelve methods say speaks for the decision (negative "
        "values are left out; each map has its own scale).",
    )
)

# %% [markdown]
# ## Flipping
#
# **Idea.** Replace the regions that a map calls most relevant, then the next, and so on, and follow the logit of
# the decision. If the map is right, it falls fast. In the other order, least relevant first, it should hold for
# long {cite:p}`bach2015,samek2017`. **Deletion** and **insertion** {cite:p}`petsiuk2018` do the same with single
# pixels, away from the picture and back into a blurred one. What takes the place of pixels matters: a hole of one
# colour is itself a strange picture. **ROAD** {cite:p}`rong2022` fills it from the neighbours, with a little
# noise, and counts the decisions that stand.
#
# **Equation.** With $f$ the logit, signed so that it is positive for the decision, and $x_{(q)}$ the picture
# whose share $q$ of most relevant regions is replaced, the measure is the mean height of the curve,
#
# $$
# \int_0^1 f\bigl(x_{(q)}\bigr)\, dq ,
# $$
#
# which no map can make lower for a linear $f$ than the one that lists what each region contributes. Random
# numbers give a straight line on average.
#
# **Code.** Where a map is constant, chance decides the order: otherwise the rows of the picture would.
#
# ```python
# from tff_core.exam import flipping
#
# when = flipping.order(relevance, patch=8)
# shares = [0, 0.2, 0.4, 0.6, 0.8, 1]
# grey = flipping.mean_colour(x)
# heights = flipping.curve(model, x, when, shares, grey)
# flipping.area(heights, shares)
# ```

# %%
keys = ["method", "curve", "share"]
mean = curves.groupby(keys, sort=False, as_index=False).agg(
    value=("value", "mean"), n=("n", "sum")
)

# %% tags=["remove-input"]
figures.show(figures.faithful_curves(mean, texts.METHODS, texts.CURVES))

# %% [markdown]
# ## Promises
#
# **Idea.** A map that hands the decision out to pixels promises something: take a set of pixels away, and the
# logit falls by the sum of their relevance. **Sensitivity-n** {cite:p}`ancona2018` is the correlation of promise
# and fall over random sets of equal size, **infidelity** {cite:p}`yeh2019` what is left of the squared fall
# after the promise, here over random squares and for the best scale of the map. Absolute values promise the same
# for what speaks for and against, so unsigned maps are at a disadvantage here, and rightly.
#
# **Stability** is another question: how much does the map change under noise that hardly shows
# (**max-sensitivity**, {cite:p}`yeh2019`)? It is shown, but does not count: a map that is always the same is
# perfectly stable, and worthless.
#
# ## The verdict, and the rule before it

# %% tags=["remove-input"]
say(texts.rule(len(faithfulness.FAITHFUL)))

# %% [markdown]
# Each training of the detector has pictures of its own, fakes of all generators in turn, so that pictures are
# independent of each other; the intervals count trainings as well as pictures.

# %%
summary = faithfulness.summary(values)
ranking = faithfulness.ranking(values)

# %% tags=["remove-input"]
figures.show(figures.faithful_gains(summary, texts.METHODS, texts.MEASURES))
say(texts.verdict(summary))
for table, found in (
    ("faithfulness", summary),
    ("faithfulness_ranks", ranking),
):
    named = found.assign(detector=detector)
    named = named[["detector", *(c for c in found)]]
    chapter.save_part(table, "all", named)

# %% [markdown]
# ## Ranks
#
# Gains by different measures have different units; ranks have none. For every picture the methods are ranked,
# and mean ranks that differ by more than the critical difference are told apart {cite:p}`demsar2006`. With few
# pictures that difference is large: what is not told apart here need not be alike.

# %% tags=["remove-input"]
figures.show(
    figures.mean_ranks(
        ranking,
        texts.METHODS,
        {texts.ALL: "all measures of faithfulness", **texts.MEASURES},
    )
)
say(texts.ranks(ranking), texts.stable(summary))

# %% [markdown]
# The values themselves, with 95 % intervals:

# %% tags=["remove-input"]
measures = list(texts.MEASURES)
say(texts.numbers(summary, measures[:4]), texts.numbers(summary, measures[4:]))

# %% [markdown]
# ## What it means, and what it does not
#
# - Faithful means: the map says where *this detector* looks. It does not mean that the detector looks at the right
#   place; {doc}`chapter 12 </notebooks/12_heatmaps>` asks about places.
# - Occlusion replaces regions by the mean colour and asks how far the logit falls, which is nearly what flipping
#   asks afterwards. Its lead by those measures is partly the question itself. Deletion, ROAD and insertion
#   replace other things, or in other ways.
# - Pictures with holes are unlike anything the detector was trained on. A fall may come from the hole and not from
#   what it hides: then edges and even random numbers do well, and a lead over them is what counts.
# - RISE and SmoothGrad average over far fewer copies here than in their papers, and pictures have 64 pixels a side.
#   With more, both would be smoother.
# - Omega does not use the maps of pixels but the relevance of feature maps; whether dropping *those* breaks the
#   detector is the question of {doc}`chapter 3 </notebooks/03_sensitivity>`.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - draw a deletion curve, take its area, and put a random order beside it;
# - say what takes the place of pixels, and what that does to the answer;
# - check a promise: does the logit fall by the relevance that was taken away?
# - rank methods over pictures, and say how far mean ranks must be apart to count.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} A perfect score for nothing
# *Objective:* see that stability is no merit by itself · *easy* · 5 minutes
#
# Which map has a max-sensitivity of zero, and what are its sensitivity-n and its flipping curve?
# ```

# %% [markdown] tags=["solution"]
# A constant one. It promises the same of all sets of one size, so its correlation with what falls is taken as
# zero; its order is decided by chance, so its curve is that of random numbers.

# %% [markdown] tags=["instructor"]
# **Hint** Which map cannot change?
#
# **Marking** 3 points, one for each part.
#
# **Common mistakes** "The zero map has no curve": ties are broken by chance, so it has one.

# %% [markdown] tags=["exercise"]
# ```{exercise} Black is not nothing
# *Objective:* say what a baseline of zero declares to be irrelevant · *easy* · 8 minutes
#
# Input times gradient gives a pixel of value zero no relevance, whatever the detector does with it. Which pixels
# are that if pictures are given in [0, 1], and which if the mean colour of a data set is taken off first? Name a
# trace that such a map cannot show in either case.
# ```

# %% [markdown] tags=["solution"]
# In [0, 1] black pixels are zero; with the mean taken off, those of the mean colour are. The *picture* is the same
# both times, only the preparation differs, and yet the map changes. A trace whose own pixels happen to have the
# value zero is never shown: a black frame, or a patch that was painted in the mean colour. Zero is not "nothing
# there"; it is one particular colour.

# %% [markdown] tags=["instructor"]
# **Hint** Multiply anything by zero.
#
# **Marking** 3 points: 1 black, 1 the mean colour, 1 an example.
#
# **Discuss** What does the chapter put in the place of pixels instead, and what is wrong with that?

# %% [markdown] tags=["exercise"]
# ```{exercise} The same curve twice
# *Objective:* see when two measures are one · *medium* · 8 minutes
#
# Insertion of the most relevant pixels into a gray picture, and removal of the least relevant ones, replaced by
# gray: why are these two the same measure, and what does this book do about it?
# ```

# %% [markdown] tags=["solution"]
# Once a share $q$ has been put in, exactly the $1 - q$ least relevant pixels are gray: the curves are mirror
# images with the same mean. Insertion here starts from the blurred picture, as in the paper that proposed it.

# %% [markdown] tags=["instructor"]
# **Hint** Draw both pictures at a share of one half.
#
# **Marking** 2 points: 1 mirror images, 1 the blurred picture.
#
# **Discuss** Two measures that agree because they are one count twice in a majority.

# %% [markdown] tags=["exercise"]
# ```{exercise} A curve needs a control
# *Objective:* measure faithfulness by deletion, beside a random order · *medium* · 15 minutes
#
# Write `deletion(score, x, relevance, fill)`: take the pixels of one picture (H, W) away, the most relevant first,
# one after the other, until all are `fill`. Return the mean height of the curve of scores by trapezoids, both ends
# included. The score below is linear: which order has the lowest area, and where do random orders lie?
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
weights, x = rng.normal(size=(2, 5, 5))


def score(picture):
    return (weights * picture).sum()


# %% tags=["solution"]
def deletion(score, x, relevance, fill):
    # BEGIN SOLUTION
    left = x.copy()
    heights = [score(left)]
    for place in np.argsort(-relevance, axis=None):
        left.flat[place] = fill
        heights.append(score(left))
    return np.trapezoid(heights) / (len(heights) - 1)
    # END SOLUTION


# %% tags=["test"]
best = deletion(score, x, weights * x, 0)
random = [deletion(score, x, rng.random(x.shape), 0) for _ in range(300)]
assert best < min(random), (
    "what each pixel contributes, strongest first, makes a linear score "
    "fall fastest: does the order begin with the most relevant?"
)
middle = score(x) / 2
assert np.isclose(np.mean(random), middle, atol=0.5), (
    "random orders give a straight line on average, from the score to "
    "that of an empty picture: half way between"
)

# %% tags=["hidden-test"]
import torch

from tff_core.exam import flipping

for fill in (0.0, 0.7):
    own = weights * (x - fill)
    shares = np.arange(x.size + 1) / x.size
    one = torch.from_numpy(x)[None, None]
    heights = flipping.curve(
        lambda some: (some * torch.from_numpy(weights)).sum((1, 2, 3)),
        one, flipping.order(torch.from_numpy(own)[None]), list(shares),
        torch.full_like(one, fill),
    )  # fmt: skip
    right = flipping.area(heights, list(shares))[0]
    assert np.isclose(deletion(score, x, own, fill), right), (
        f"with {fill} in the place of pixels the area is off: both ends of "
        "the curve belong to it, the ends by half"
    )
kept = x.copy()
deletion(score, x, x, 0)
assert (kept == x).all(), "the picture itself was changed: work on a copy"


# %% tags=["wrong"]
# takes the least relevant pixels away first
def deletion(score, x, relevance, fill):
    left, heights = x.copy(), [score(x)]
    for place in np.argsort(relevance, axis=None):
        left.flat[place] = fill
        heights.append(score(left))
    return np.trapezoid(heights) / (len(heights) - 1)


# %% tags=["wrong"]
# always fills with zero, whatever was asked for
def deletion(score, x, relevance, fill):
    left, heights = x.copy(), [score(x)]
    for place in np.argsort(-relevance, axis=None):
        left.flat[place] = 0
        heights.append(score(left))
    return np.trapezoid(heights) / (len(heights) - 1)


# %% [markdown] tags=["solution"]
# The order of the contributions $w_i (x_i - b)$ is the best there is for a linear score: every prefix of it has the
# largest sum. Random orders lie around the straight line. An area alone, however low, says nothing before that
# of the control is known: a detector whose logit collapses with the first hole gives low areas to every map.

# %% [markdown] tags=["instructor"]
# **Hint** `np.argsort(-relevance, axis=None)`, and `left.flat[place] = fill`.
#
# **Marking** 4 points: 1 order, 1 copy and fill, 1 area with both ends, 1 the control.
#
# **Common mistakes** Leaving the undamaged picture out of the curve.

# %% [markdown] tags=["exercise"]
# ```{exercise} Does it keep its promise?
# *Objective:* compare what relevance promises with what happens · *medium* · 15 minutes
#
# Write `sensitivity(score, x, relevance, sets, fill)` for one picture (H, W) and sets (M, H, W) of equal size: the
# correlation, over the sets, of the relevance of a set with the fall of the score when the set becomes `fill`; 0
# where the map promises the same of all sets.
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
weights, x = rng.normal(size=(2, 6, 6))
sets = np.stack([rng.permutation(36).reshape(6, 6) < 9 for _ in range(200)])


def score(picture):
    return (weights * picture).sum()


# %% tags=["solution"]
def sensitivity(score, x, relevance, sets, fill):
    # BEGIN SOLUTION
    promised = np.array([relevance[one].sum() for one in sets])
    fell = score(x) - np.array([score(np.where(s, fill, x)) for s in sets])
    if np.allclose(promised, promised[0]):
        return 0.0
    return np.corrcoef(promised, fell)[0, 1]
    # END SOLUTION


# %% tags=["test"]
assert np.isclose(sensitivity(score, x, weights * x, sets, 0), 1), (
    "a linear score falls by exactly what its contributions promise; is a "
    "fall counted as a rise?"
)
unsigned = sensitivity(score, x, np.abs(weights * x), sets, 0)
assert abs(unsigned) < 0.9, "absolute values cannot keep the promise"

# %% tags=["hidden-test"]
from tff_core.exam import subsets

shifted = weights * (x - 0.5)
assert np.isclose(sensitivity(score, x, shifted, sets, 0.5), 1), (
    "with 0.5 in the place of pixels their contributions are w (x - 0.5)"
)
noise = rng.random((6, 6)) + 5
fell = [[score(x) - score(np.where(s, 0, x)) for s in sets]]
promised = [[noise[s].sum() for s in sets]]
right = subsets.sensitivity_n(fell, promised)[0]
assert np.isclose(sensitivity(score, x, noise, sets, 0), right), (
    "for a map far from zero the number is off: take the means off first"
)
assert sensitivity(score, x, np.ones((6, 6)), sets, 0) == 0, (
    "a constant map promises the same of all sets of one size: 0"
)


# %% tags=["wrong"]
# leaves the set and takes the rest away
def sensitivity(score, x, relevance, sets, fill):
    promised = [relevance[s].sum() for s in sets]
    fell = [score(x) - score(np.where(s, x, fill)) for s in sets]
    return np.corrcoef(promised, fell)[0, 1]


# %% tags=["wrong"]
# takes the cosine, without taking the means off
def sensitivity(score, x, relevance, sets, fill):
    a = np.array([relevance[s].sum() for s in sets])
    b = np.array([score(x) - score(np.where(s, fill, x)) for s in sets])
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# %% [markdown] tags=["solution"]
# Contributions keep their promise exactly, since the score is linear; their absolute values do not, since they
# promise a fall also where the score rises. The measure is a correlation, so a map may be off by any positive
# factor: it asks for the pattern of the promise, infidelity for its size, too.

# %% [markdown] tags=["instructor"]
# **Hint** `np.where(one, fill, x)` is the picture without a set.
#
# **Marking** 4 points: 1 promise, 1 fall, 1 correlation, 1 the constant map.
#
# **Common mistakes** Sets of unequal size: then even a constant map correlates.

# %% [markdown] tags=["exercise"]
# ```{exercise} Which methods differ?
# *Objective:* tell methods apart by ranks, no further than the data allow · *hard* · 20 minutes
#
# Write `told_apart(areas)` for areas under deletion curves (B pictures, k methods), lower is better: rank the
# methods for each picture (1 is best, equal ones share the mean), average over pictures, and return the mean ranks
# (k,) and which pairs (k, k) are further apart than the critical difference $q_k \sqrt{k (k + 1) / (6 B)}$.
# ```

# %% tags=["exercise"]
import numpy as np
from pandas import DataFrame

Q = {2: 1.960, 3: 2.344, 4: 2.569, 5: 2.728, 6: 2.850}  # at 0.05
rng = np.random.default_rng(0)
areas = rng.random((30, 4)) + np.array([0.0, 0.4, 0.4, 0.5])
areas[0] += [0, 0, 0, -1000]  # one picture on which the last shines


# %% tags=["solution"]
def told_apart(areas):
    # BEGIN SOLUTION
    blocks, k = areas.shape
    means = DataFrame(areas).rank(axis=1).mean().to_numpy()
    critical = Q[k] * np.sqrt(k * (k + 1) / (6 * blocks))
    return means, np.abs(means[:, None] - means) > critical
    # END SOLUTION


# %% tags=["test"]
means, apart = told_apart(areas)
assert np.isclose(means.sum(), 10), (
    "the ranks 1 to 4 add up to 10 in every picture, and so do their means"
)
assert means.argmin() == 0, (
    "the first method is best on nearly all pictures; one outlier must not "
    "decide: rank within each picture, then average"
)
assert apart[0, 3] and not apart[1, 2], (
    "the first and the last differ clearly, the two in the middle do not"
)

# %% tags=["hidden-test"]
from tff_core.exam import ranks

ties = rng.integers(0, 3, (12, 5)).astype(float)
means, apart = told_apart(ties)
right = ranks.ranks(ties, higher_is_better=False).mean(0)
assert np.allclose(means, right), "equal areas share the mean of their ranks"
critical = ranks.critical_difference(5, 12)
assert (apart == (np.abs(right[:, None] - right) > critical)).all(), (
    "the pairs are off: B counts pictures, k methods"
)
few = told_apart(areas[1:4])[1]
assert not few.any(), "three pictures cannot tell four methods apart"


# %% tags=["wrong"]
# ranks the mean areas, so that one picture decides
def told_apart(areas):
    means = DataFrame(areas.mean(0))[0].rank().to_numpy()
    blocks, k = areas.shape
    critical = Q[k] * np.sqrt(k * (k + 1) / (6 * blocks))
    return means, np.abs(means[:, None] - means) > critical


# %% tags=["wrong"]
# forgets that more pictures make the critical difference smaller
def told_apart(areas):
    k = areas.shape[1]
    means = DataFrame(areas).rank(axis=1).mean().to_numpy()
    critical = Q[k] * np.sqrt(k * (k + 1) / 6)
    return means, np.abs(means[:, None] - means) > critical


# %% [markdown] tags=["solution"]
# Ranks within a picture take away its unit: pictures with large logits do not outvote the others. The critical
# difference shrinks with the root of the number of pictures. What is not told apart is not thereby alike: with
# three pictures nothing is told apart at all.

# %% [markdown] tags=["instructor"]
# **Hint** `DataFrame.rank(axis=1)` ranks each row, ties by their mean.
#
# **Marking** 5 points: 2 ranks, 1 critical difference, 1 pairs, 1 "not told apart is not alike".
#
# **Common mistakes** Reading a critical difference as an interval of one method.
