# %% [markdown]
# # What do the patches show?
#
# A patch classifier can be asked for the patches that it is most sure of. This chapter cuts them out, sorts
# them by what they show, and compares with chance; then it turns round and asks, with traces that are
# planted, how large a patch has to be.

# %% tags=["parameters", "remove-input"]
networks = ["xception_block2"]
patch_seeds = [0, 1, 2]
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
experiments = []  # what the build has asked besides: "law", "adaptive"
law_networks = ["xception_block1", "xception_block2"]
adapted = ["progan"]  # generators that were trained on
dataset = "miniature"
n = None  # pictures per label and generator; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import detectors, figures, localization
from tff_core.book.chapter import save, say
from tff_core.claims.texts import where as texts
from tff_core.localization import (
    clusters,
    law,
    predictive,
    segmenters,
    weights,
)
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device
network = networks[0]
paths = [store.patches(network, seed) for seed in patch_seeds]
nets = {
    s: localization.load(p).to(device)
    for s, p in zip(patch_seeds, paths, strict=True)
}
seen = weights.preparation(paths[0])
title = texts.spoken(network, localization.field(network).size)


# %% [markdown]
# ## The most predictive patches
#
# **Idea.** Of each picture take the cell that speaks most clearly for the picture's class, and cut out what
# this cell sees. The best of these, over all pictures, show what the classifier has learnt to look for.
#
# **Equation.** Of picture $i$ with label $y$ the cell is $c_i = \arg\max_c \; \ell_{c,y} - \ell_{c,\bar y}$.
# Probabilities would round to one; differences of logits do not.
#
# **Code.** Ties are broken by the seed alone, so the patches do not depend on batches.


# %%
def best(seed, generator, label, count):
    images = data.scan(store.data(dataset, "test", generator)).where(first=n)
    patches = predictive.find(
        nets[seed], images, label, count, seen, device=device
    )
    return images, patches


rows, values = {}, {}
for generator in generators:
    _, patches = best(patch_seeds[0], generator, 1, 8)
    name = figures.generator_name(generator)
    rows[name] = patches.shown()
    values[name] = [f"logit {v:.1f}" for v in patches.logit]
_, patches = best(patch_seeds[0], generators[0], 0, 8)
rows["reals"] = patches.shown()
values["reals"] = [f"logit {v:.1f}" for v in patches.logit]

# %% tags=["remove-input"]
figures.show(
    figures.pictures(
        rows,
        values,
        f"The patches that {title} is most sure of: of fakes of each "
        "generator, and of reals. Where a cell sees beyond the border the "
        "patch is gray.",
    )
)

# %% [markdown]
# ## Sorted, and compared with chance
#
# **Idea.** A program has drawn the scenes of the miniature, so it is known what each pixel shows. A patch
# belongs to the category of which it holds the largest share of all that the picture has, so that small
# things are not lost in large ones. Are the most predictive patches on walls, or sky, or window frames?
#
# **Control.** {cite:t}`chai2020` compare with one random patch of each picture. Here the random cells of the
# same pictures are drawn ten thousand times, which gives every category a p-value, corrected for the number
# of categories (Holm). Fakes that blend two scenes have no segmentation; only families that keep the layout
# of their source can be asked.

# %%
sorted_ones = []
for generator in generators:
    images = data.scan(store.data(dataset, "test", generator)).where(first=n)
    known = segmenters.Scenes(images)
    for seed in patch_seeds:
        _, patches = best(seed, generator, 1, len(images))
        try:
            found = clusters.sort(patches, known, seen)
        except clusters.NoCategory:
            continue
        sorted_ones.append(found.table.assign(generator=generator, seed=seed))
table = pd.concat(sorted_ones, ignore_index=True) if sorted_ones else None

# %% tags=["remove-input"]
if table is None:
    say(texts.NO_SCENES)
else:
    figures.show(
        figures.patch_categories(table[table["seed"] == patch_seeds[0]])
    )
    order = ["generator", "seed", "category"]
    table = table[[*order, *(c for c in table if c not in order)]]
    save(store, "patch_categories", table)
    say(texts.spread(table))

# %% [markdown]
# ## How large must a patch be?
#
# **Idea.** Generators leave traces of unknown size. So plant one of known size: a wave of a given period and
# amplitude in the luma of photographs, and nothing else. Networks of several receptive fields are trained on
# pictures whose waves have all periods, mixed, and tested on each period alone.
#
# **What to expect.** A wave can be told from a patch that is smaller than its period, as a slope; but a slope
# looks like much that a photograph has anyway. So short periods should be found by every field, long ones
# better by wide fields; and the *place* of a trace is blurred by a field that is wider than the region.

# %%
if "law" in experiments:
    waves = pd.concat(
        pd.read_csv(store.part("law", one, "planted")) for one in law_networks
    )
    summary = law.summary(waves) if len(law_networks) > 1 else None

# %% tags=["remove-input"]
if "law" in experiments:
    fields = {one: localization.field(one).size for one in law_networks}
    names = {one: texts.spoken(one, size) for one, size in fields.items()}
    figures.show(figures.field_law(waves, names))
    if summary is not None:
        say(texts.law(summary, fields))
    save(store, "law", waves)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## A generator that fights back
#
# **Idea.** Whoever knows the classifier can train a generator against it. So a trained generator is trained
# on, against its critics as before and against a patch classifier that stays as it is: its fakes are to look
# real to every cell. Then the same classifier judges fakes of the same scenes from before and after, and a
# new one is trained on the fakes from after.
#
# **Control.** Training on changes fakes anyway. A second copy of the generator is trained on as long, without
# the classifier; only what is beyond that is due to the attack.

# %%
if "adaptive" in experiments:
    fought = pd.concat(
        pd.read_csv(store.part("adaptive", one, f"s{seed}"))
        for one in adapted
        for seed in patch_seeds
    )

# %% tags=["remove-input"]
if "adaptive" in experiments:
    say(texts.outlived(fought))
    save(store, "adaptive", fought)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## What it means, and what it does not
#
# - What the most predictive patches show is not what the classifier *needs*. Elsewhere in the picture there may
#   be patches nearly as good; {doc}`the maps </notebooks/12_heatmaps>` show all of them.
# - A category that is found more often than by chance may be where traces are strongest, or where the
#   classifier is best at seeing them: smooth surfaces hide less.
# - The planted wave has one frequency and one amplitude everywhere. Generators' traces are weaker, broader,
#   and vary with the content.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - choose a cell by its logits, and say why probabilities cannot choose;
# - sort a patch into a category by a rule, and draw chance by the same rule;
# - compute a p-value from random draws, and correct several of them;
# - say how much of a wave a field can see before it looks like a slope;
# - tell what an attack has changed from what training on has changed.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Too sure to be ranked
# *Objective:* rank cells that are all certain · *easy* · 5 minutes
#
# The cells of a fake are almost all sure of it: in single precision their probabilities are 1, and `argmax`
# takes the first of them, in the upper left corner. Write `surest`, the cell that speaks most clearly for a
# label, by the difference of its two logits.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def surest(logits, label):
    """Row and column; logits (2, h, w) of single precision, of real, fake."""
    # BEGIN SOLUTION
    margin = logits[label] - logits[1 - label]
    return divmod(int(np.argmax(margin)), logits.shape[2])
    # END SOLUTION


# %% tags=["test"]
logits = np.zeros((2, 3, 4), dtype=np.float32)
logits[1] = 20 + np.arange(12.0).reshape(3, 4)
assert surest(logits, 1) == (2, 3), (
    f"cell {surest(logits, 1)}: the last cell has the largest logit of being "
    "fake; 20 and 31 are both probability 1 after a softmax in float32"
)
assert surest(logits, 0) == (0, 0), "the least fake cell speaks most for real"

# %% tags=["hidden-test"]
both = np.zeros((2, 2, 3), dtype=np.float32)
both[:, 0, 1] = 40, 45
both[:, 1, 2] = -10, 20
assert surest(both, 1) == (1, 2), (
    "a logit of 45 beside one of 40 is a margin of 5, and -10 beside 20 one "
    "of 30: a class's own logit alone says nothing"
)


# %% tags=["wrong"]
# ranks by the softmax, which rounds to 1
def surest(logits, label):
    other = np.exp(logits[1 - label] - logits[label])
    sure = 1 / (1 + other)  # of the label, in float32
    return divmod(int(np.argmax(sure)), logits.shape[2])


# %% tags=["wrong"]
# ranks by the logit of the label alone
def surest(logits, label):
    return divmod(int(logits[label].argmax()), logits.shape[2])


# %% [markdown] tags=["solution"]
# The softmax of two logits depends on their difference alone, and does not change the order; but in single
# precision it is exactly 1 for differences of 17 and more. Rank by the difference, and the order is kept.

# %% [markdown] tags=["instructor"]
# **Hint** What do two logits and their softmax have in common?
#
# **Marking** 2 points: the difference; 1 point: why not the probability.
#
# **Discuss** The same happens to scores of pictures: APs of probabilities that are rounded to 1 are AP of
# ties.

# %% [markdown] tags=["exercise"]
# ```{exercise} Chance is not equal shares
# *Objective:* see that a rule brings its own chance level · *easy* · 10 minutes
#
# Sky covers half of a picture, a bird one percent of it. A patch belongs to the category of which it holds
# the largest share of all that the picture has. To which does a patch that shows the whole bird before the
# sky belong, and what follows for the comparison with chance? Write the rule as `category`.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def category(segments, box, count):
    """Of count categories that of a box; segments (H, W) of whole numbers."""
    top, left, bottom, right = box
    # BEGIN SOLUTION
    inside = np.bincount(
        segments[top:bottom, left:right].ravel(), minlength=count
    )
    whole = np.bincount(segments.ravel(), minlength=count)
    return int(np.argmax(inside / np.maximum(whole, 1)))
    # END SOLUTION


# %% tags=["test"]
picture = np.zeros((40, 40), dtype=int)  # 0: ground
picture[:20] = 1  # sky
picture[4:8, 10:14] = 2  # a bird
assert category(picture, (0, 5, 16, 21), 3) == 2, (
    "the patch holds all of the bird and a third of the sky: divide by what "
    "the whole picture has of each category"
)
assert category(picture, (0, 20, 16, 36), 3) == 1, "nothing but sky"

# %% tags=["hidden-test"]
assert category(picture, (30, 0, 40, 10), 5) == 0, (
    "categories that the picture does not have may not divide by zero"
)
assert category(picture, (7, 13, 17, 39), 3) == 1, (
    "one pixel of the bird's sixteen, and a third of the sky: shares decide, "
    "not which thing is smaller"
)
rng = np.random.default_rng(0)
corners = rng.integers(0, 25, size=(2000, 2))
found = [category(picture, (y, x, y + 16, x + 16), 3) for y, x in corners]
share = np.mean(np.array(found) == 2)
assert 0.05 < share < 0.5, (
    f"{share:.2f} of random patches are birds, which cover 0.01 of the "
    "picture: expected many times as many, but only where one is in sight"
)


# %% tags=["wrong"]
# takes the category that fills most of the patch
def category(segments, box, count):
    top, left, bottom, right = box
    inside = segments[top:bottom, left:right].ravel()
    return int(np.bincount(inside, minlength=count).argmax())


# %% tags=["wrong"]
# takes the smallest thing in sight, however little of it
def category(segments, box, count):
    top, left, bottom, right = box
    inside = segments[top:bottom, left:right].ravel()
    there = np.bincount(inside, minlength=count) > 0
    whole = np.bincount(segments.ravel(), minlength=count)
    return int(np.where(there, whole, segments.size + 1).argmin())


# %% [markdown] tags=["solution"]
# To the bird: it holds all of it, and only a part of the sky. So random patches belong to small things more
# often than their area suggests, which is why chance is drawn from the same pictures by the same rule.

# %% [markdown] tags=["instructor"]
# **Hint** `np.bincount` of the patch, divided by that of the picture.
#
# **Marking** 2 points: the rule; 1 point: chance has to go through the same rule.
#
# **Discuss** What would a table of "most predictive: eyes" be worth without the random patches?

# %% [markdown] tags=["exercise"]
# ```{exercise} Never zero
# *Objective:* compute a p-value from random draws · *easy* · 10 minutes
#
# Ninety patches show window frames. In 999 draws of random cells there were at most 61. "p = 0", says a
# program. Write `p_value`: how likely a number at least as large as the observed one is by chance. The
# observed one is itself a draw if chance is all there is, so it counts among the draws.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def p_value(observed, draws):
    """One-sided p-value of a number among draws by chance, (n,)."""
    # BEGIN SOLUTION
    return (1 + int((np.asarray(draws) >= observed).sum())) / (1 + len(draws))
    # END SOLUTION


# %% tags=["test"]
assert p_value(90, np.arange(999) % 62) == 1 / 1000, (
    "999 draws cannot show that something never happens: the observed number "
    "is one of 1000 that chance may have made"
)
assert p_value(0, np.arange(99)) == 1, "every draw is at least 0"

# %% tags=["hidden-test"]
values = np.array([3, 3, 3, 7, 7, 8, 9, 9, 12, 15])
for n in range(1, len(values) + 1):
    alpha = n / len(values)
    found = [p_value(v, np.delete(values, i)) for i, v in enumerate(values)]
    small = np.mean(np.array(found) <= alpha + 1e-12)
    assert small <= alpha + 1e-12, (
        f"if any of ten equally likely numbers is the observed one, p is "
        f"{alpha} or less in {small:.0%} of cases: equal numbers are at least "
        "as large, and the observed one is among the draws"
    )


# %% tags=["wrong"]
# counts the draws alone, so that p can be 0
def p_value(observed, draws):
    return float((np.asarray(draws) >= observed).mean())


# %% tags=["wrong"]
# counts larger draws only, as if equal ones were no evidence
def p_value(observed, draws):
    return (1 + int((np.asarray(draws) > observed).sum())) / (1 + len(draws))


# %% [markdown] tags=["solution"]
# One more above and one more below the line. Then p is at most $\alpha$ in at most a share $\alpha$ of cases,
# for any number of draws: the rank of the observed number among all $n + 1$ is equally likely to be any. More
# draws allow smaller p-values, down to $1 / (n + 1)$; they do not make the patches more unusual.

# %% [markdown] tags=["instructor"]
# **Hint** With a single draw, what is the smallest p that could be true?
#
# **Marking** 2 points: the one in numerator and denominator; 1 point: equal draws count.
#
# **Discuss** How many draws are needed before a p-value survives a correction for 20 categories?

# %% [markdown] tags=["exercise"]
# ```{exercise} Many categories, one surprise
# *Objective:* correct several p-values by Holm's method · *medium* · 15 minutes
#
# Of twenty categories one has p = 0.04. Bonferroni multiplies every p-value by their number $m$. Holm does
# better at the same guarantee: the smallest p is multiplied by $m$, the next by $m - 1$, and so on; no
# corrected value may be smaller than that of a smaller p, and none above 1. Write `holm`.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def holm(p):
    """Corrected p-values (m,), each at the place of its own."""
    p = np.asarray(p, dtype=float)
    # BEGIN SOLUTION
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected
    # END SOLUTION


# %% tags=["test"]
found = holm([0.04, 0.01, 0.02])
assert np.isclose(found[1], 0.03), "the smallest of three is multiplied by 3"
assert np.isclose(found[2], 0.04), (
    f"the second is multiplied by 2 only, and stays at its place: {found}"
)
assert np.isclose(found[0], 0.04), (
    f"{found[0]}: the largest is multiplied by 1, but may not be smaller "
    "than the corrected value before it"
)

# %% tags=["hidden-test"]
from itertools import combinations

rng = np.random.default_rng(0)
for _ in range(20):
    p = rng.random(5) ** 2
    # a hypothesis falls if every set with it falls by Bonferroni
    sets = [s for k in range(1, 6) for s in combinations(range(5), k)]
    tested = {s: min(1.0, len(s) * p[list(s)].min()) for s in sets}
    closed = [max(v for s, v in tested.items() if i in s) for i in range(5)]
    assert np.allclose(holm(p), closed), (
        f"of {p.round(3)} expected {np.round(closed, 3)}, found "
        f"{holm(p).round(3)}: no value below an earlier one, none above 1"
    )


# %% tags=["wrong"]
# multiplies all by their number: Bonferroni
def holm(p):
    return np.minimum(np.asarray(p, dtype=float) * len(p), 1)


# %% tags=["wrong"]
# lets a later value fall below an earlier one
def holm(p):
    p = np.asarray(p, dtype=float)
    rank = p.argsort().argsort()
    return np.minimum(p * (len(p) - rank), 1)


# %% [markdown] tags=["solution"]
# Sort, multiply by $m, m - 1, \dots, 1$, take the running maximum, cut at 1, and put everything back. With
# twenty categories 0.04 becomes 0.8: that one of twenty is as unusual as that is no surprise. Holm never
# corrects more than Bonferroni, and controls the same error: that of a single false alarm among all
# categories, whatever the dependence between them.

# %% [markdown] tags=["instructor"]
# **Hint** `np.maximum.accumulate` on the sorted values.
#
# **Marking** 1 point each: the factors, the running maximum, the order of the answer.
#
# **Discuss** {doc}`/notebooks/15_attribution` holds the false discovery *rate* instead, over thousands of
# coefficients. What is the difference in what is promised?

# %% [markdown] tags=["exercise"]
# ```{exercise} Wave or slope?
# *Objective:* relate the period of a trace to the size of a field · *hard* · 20 minutes
#
# In a window of $w$ pixels a wave of a long period looks like a straight line, of which photographs are full.
# Write `beyond_line`: the share of a wave's energy in the window that no straight line (a constant and a
# slope) explains, over all phases together. Below which ratio of window and period is hardly anything left?
# ```

# %% tags=["exercise"]
import numpy as np

phases = 2 * np.pi * np.arange(32) / 32


# %% tags=["solution"]
def beyond_line(period, width):
    """Share in [0, 1] of the energy of waves that no line explains."""
    x = np.arange(width)
    waves = np.cos(2 * np.pi * x / period + phases[:, None])  # (32, width)
    # BEGIN SOLUTION
    lines = np.stack([np.ones(width), x], 1)
    fitted, *_ = np.linalg.lstsq(lines, waves.T, rcond=None)
    rest = waves.T - lines @ fitted
    return float((rest**2).sum() / (waves**2).sum())
    # END SOLUTION


# %% tags=["test"]
short, long = beyond_line(4, 32), beyond_line(512, 32)
assert short > 0.9, f"{short:.2f}: a line explains little of 8 periods"
assert long < 1e-3, (
    f"{long:.4f}: a sixteenth of a period is nearly straight; fit a slope, "
    "too, and to each phase its own"
)

# %% tags=["hidden-test"]
from itertools import pairwise

rests = [beyond_line(32 * ratio, 32) for ratio in (0.25, 0.5, 1, 2, 4, 8)]
assert all(a > b for a, b in pairwise(rests)), (
    f"{np.round(rests, 3)}: the longer the period, the less may be left"
)
assert rests[2] < 0.9 and rests[3] > 0.02, (
    "one period in the window is partly a slope; half of one still bends"
)
assert np.isclose(beyond_line(64, 32), beyond_line(128, 64), atol=0.01), (
    "only the ratio of window and period counts: the energy is a share"
)
exact = []
for phase in phases:
    wave = np.cos(2 * np.pi * np.arange(20) / 30 + phase)
    line = np.polyval(np.polyfit(np.arange(20), wave, 1), np.arange(20))
    exact.append([((wave - line) ** 2).sum(), (wave**2).sum()])
ratio = np.divide(*np.sum(exact, 0))
assert np.isclose(beyond_line(30, 20), ratio), (
    "sums over all phases, then their ratio, with each wave's own line"
)


# %% tags=["wrong"]
# takes away the mean only, and calls a slope a wave
def beyond_line(period, width):
    waves = np.cos(2 * np.pi * np.arange(width) / period + phases[:, None])
    rest = waves - waves.mean(1, keepdims=True)
    return float((rest**2).sum() / (waves**2).sum())


# %% tags=["wrong"]
# fits one line to the mean of all phases
def beyond_line(period, width):
    x = np.arange(width)
    waves = np.cos(2 * np.pi * x / period + phases[:, None])
    line = np.polyval(np.polyfit(x, waves.mean(0), 1), x)
    return float(((waves - line) ** 2).sum() / (waves**2).sum())


# %% [markdown] tags=["solution"]
# Least squares with two columns, for all phases at once. With one period in the window more than half of the
# energy is left, with half a period a tenth, with a quarter of one less than a hundredth. So a field need not
# be as wide as a period, but with a fraction of one the trace has to be told from the slopes of every shaded
# surface, at whatever amplitude it has.

# %% [markdown] tags=["instructor"]
# **Hint** `np.linalg.lstsq` takes many right-hand sides at once.
#
# **Marking** 1 point: the line; 1 point: for each phase; 1 point: a share; 1 point: the reading.
#
# **Discuss** Why does a wide field do worse at saying *where* the trace is?

# %% [markdown] tags=["exercise"]
# ```{exercise} What the attack has done
# *Objective:* read an attack beside its control · *medium* · 5 minutes
#
# Suppose that a classifier has an AP of 0.99 on a generator's fakes, of 0.72 after the generator was trained
# on against the classifier, and of 0.75 after it was trained on as long without. How much is due to the
# attack? What else would you ask before saying that the classifier is broken?
# ```

# %% [markdown] tags=["solution"]
# 0.03, and less than that if their intervals overlap: nearly all of the fall comes with training on, attack
# or not. The classifier has learnt one state of the generator. Ask whether a *new* classifier, trained on the
# fakes from after, finds them: then the traces are still there, and have merely moved.

# %% [markdown] tags=["instructor"]
# **Hint** Which two of the three numbers differ by the attack alone?
#
# **Marking** 2 points: the difference to the control; 1 point: a classifier trained anew.
#
# **Common mistakes** 0.27, the difference to *before*.
