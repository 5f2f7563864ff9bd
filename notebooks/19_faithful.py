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
#
# ```{exercise} The same curve twice
# Insertion of the most relevant pixels into a gray picture, and removal of the least relevant ones, replaced by
# gray: why are these two the same measure, and what does this book do about it?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Once a share $q$ has been put in, exactly the $1 - q$ least relevant pixels are gray: the curves are mirror
# images with the same mean. Insertion here starts from the blurred picture, as in the paper that proposed it.
# ```
#
# ```{exercise} A perfect score for nothing
# Which map has a max-sensitivity of zero, and what are its sensitivity-n and its flipping curve?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# A constant one. It promises the same of all sets of one size, so its correlation with what falls is taken as
# zero; its order is decided by chance, so its curve is that of random numbers.
# ```
