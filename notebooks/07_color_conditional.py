# %% [markdown]
# # Which feature maps respond to colour
#
# The last chapter asked the whole detector. This one asks its feature maps, one by one: does a map respond
# differently when the same pictures are gray? {cite:t}`chandrasegaran2022` find that *most* of the top-k are
# **colour-conditional**, and conclude that colour is a transferable forensic feature. A share needs something
# to be compared with: here, other maps of the same layers.

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
k = None  # how many maps count as top; None: the paper's number
seeds = [0, 1, 2]
n = None  # fakes per generator, at most 100; None: all there are
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import figures, published
from tff_core.book.chapter import Chapter, places, say
from tff_core.claims.texts import color_conditional as texts
from tff_core.features import color_conditional, rankings
from tff_core.pictures import data

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
k = chapter.k
n = min(n, 100) if n else None
DRAWS = {"matched-k": 20, "random-k": 5}  # sets of each control

# %% [markdown]
# ## The test
#
# **Idea.** Take the strongest response of a map anywhere in a picture. Collect it over many fakes in colour,
# and over the same fakes in gray. If the two samples have different medians, the map's response depends on
# colour.
#
# **Equation.** For map $c$ and picture $x$ let $m_c(x) = \max_{h,w} a_c(x)_{h,w}$. **Mood's median test**
# pools the values of both kinds, counts how many of each lie above the pooled median,
#
# $$
# \begin{array}{c|cc}
# & \text{colour} & \text{gray} \\ \hline
# \text{above} & A & B \\
# \text{not above} & n - A & n - B
# \end{array}
# $$
#
# and asks with a $\chi^2$ test (Yates-corrected) how surprising this table would be if colour made no
# difference. A map is called colour-conditional if $p \le 0.05$.
#
# **Code.** One pass over the pictures in colour and one in gray, for all maps compared.


# %%
def compared(omega):
    """The maps that are tested: the top-k, and sets of its controls."""
    return {
        "top-k": [omega.top(k)],
        "matched-k": [
            omega.matched(k, draw) for draw in range(DRAWS["matched-k"])
        ],
        "random-k": [
            omega.random(k, draw) for draw in range(DRAWS["random-k"])
        ],
    }


def both(images):
    """Batches of the same pictures, in colour and in gray."""
    return chapter.batches(images), chapter.batches(images, 50, data.grayscale)


# %%
shares, maps, samples = [], [], {}
for generator in generators:
    fakes = chapter.test(generator, label=1, first=n)
    for seed in seeds:
        groups = compared(chapter.omega(seed))
        found = color_conditional.sample(
            chapter.net(seed), *both(fakes), groups
        )
        tests = color_conditional.conditional(
            found.color, found.gray, found.maps
        )
        samples[generator, seed] = found
        own = {"detector": detector, "generator": generator, "seed": seed}
        shares.append(color_conditional.shares(tests, groups).assign(**own))
        top = tests["map"].isin(list(map(str, *groups["top-k"])))
        maps.append(tests[top].assign(**own))
shares = pd.concat(shares, ignore_index=True)
maps = pd.concat(maps, ignore_index=True)

# %% tags=["remove-input"]
chapter.save("color_conditional", shares)
chapter.save("color_conditional_maps", maps)
generator, seed = generators[0], seeds[0]
first = maps[(maps["generator"] == generator) & (maps["seed"] == seed)]
p = first.set_index("map")["p_mood"]
found = samples[generator, seed]
shown = chapter.omega().top(min(k, 8))
column = {m: found.maps.index(m) for m in shown}
figures.show(
    figures.activation_pairs(
        {
            str(m): (
                found.color[:, i],
                found.gray[:, i],
                f"p = {p[str(m)]:.2g}",
            )
            for m, i in column.items()
        }
    )
)
links = places("Their places in the atlas", shown)
say(texts.examples(len(shown), k, generator, len(found.color), seed), links)

# %% [markdown]
# ## The share, beside its controls

# %% tags=["remove-input"]
paper = published.color_conditional()
paper = paper[paper["detector"] == chapter.spec.arch]
paper = paper.set_index("generator")["share"].to_dict()
figures.show(figures.conditional_shares(shares, paper))
say(texts.table(shares, generators, k, seeds, paper))

# %% [markdown]
# **Two tests.** Mood's test treats the values in colour and in gray as if they came from *different*
# pictures. They come from the same ones, so a paired test is the right tool: **Wilcoxon's signed-rank test**
# looks at the difference within each picture and detects small, consistent shifts that Mood's test cannot.
# That makes the share larger, for the top-k **and** for any other maps. The menu of the figure switches
# between them.

# %% [markdown]
# ## Beyond the layer: the difference of the shares
#
# In any network that works on RGB, many maps respond to colour in some way. The question is whether the top-k
# do so *more* than their neighbours.

# %%
contrast = pd.concat(
    color_conditional.contrast(
        [samples[generator, seed] for seed in seeds], splits=40
    ).assign(generator=generator, detector=detector)
    for generator in generators
)

# %% tags=["remove-input"]
chapter.save("color_conditional_contrast", contrast)
say(texts.verdict(contrast, generators, seeds))

# %% [markdown]
# The rules: a map counts at $p \le 0.05$, uncorrected, as in the paper; a generator speaks for the claim
# if the whole interval of the difference lies above zero, against it if below; {doc}`the verdicts
# </notebooks/10_verdicts>` explain how the verdict follows.

# %% [markdown]
# ## The share depends on the number of pictures
#
# **Idea.** Any test becomes significant with enough data, as long as the effect is not exactly zero. A
# share of significant maps therefore grows with $n$, for every set of maps. The paper uses about 500 fakes
# per class of scene. So: the same maps, tested on fewer of the same pictures.

# %%
whole = samples[generators[0], seeds[0]]
steps = [s for s in (10, 20, 30, 50, 70, 100) if s < len(whole.color)]
growth = color_conditional.share_by_n(
    whole.color, whole.gray, whole.members, [*steps, len(whole.color)]
)

# %% tags=["remove-input"]
figures.show(figures.share_growth(growth))
say(texts.growth(growth, generators[0], seeds[0]))

# %% [markdown]
# ## Layer by layer
#
# The same test on **every** map of the network shows what the controls are drawn from.

# %%
net, top = chapter.net(), chapter.omega().top(k)
# values of all maps of all fakes may not fit into memory
few = chapter.test(generators[0], label=1, first=min(n or 100, 100))
everything = {"layers": [rankings.feature_maps(net)]}
of_all = color_conditional.sample(net, *both(few), everything)
layers = color_conditional.by_layer(net.layers, of_all, top)

# %% tags=["remove-input"]
figures.show(figures.layer_shares(layers))
tests = color_conditional.mood(of_all.color, of_all.gray)
hits = [tests.p[of_all.maps.index(m)] <= color_conditional.ALPHA for m in top]
say(texts.layers(layers, sum(hits) / k, generators[0], len(few), seeds[0]))

# %% [markdown]
# ## What it means, and what it does not
#
# - If the top-k respond to colour more often than other maps of their layers, then omega, which knows nothing
#   about colour, has picked out maps that do. That is evidence that colour is part of what the detector uses.
# - If they respond *less* often, the maps that count most in the decision are those that gray changes least:
#   the opposite of the claim, for this detector and these pictures.
# - A high share by itself is **not** evidence of this. Look at the random maps.
# - Responding to colour does **not** mean responding to *fake* colour: the test compares a fake with its
#   own gray copy, not a fake with a real.
# - A map whose response does not change may still carry colour at positions other than its maximum.
# - The paper's numbers come from other pictures and a larger n. Compare the *differences* from the controls,
#   which the paper does not have, before the shares.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - compute Mood's median test by hand, and say what it does with ties, with few pictures and with pairs;
# - choose a paired test where the same pictures are measured twice;
# - say how many of hundreds of maps look conditional by chance, and hold the false discovery rate;
# - read a share of significant maps only beside a control and with its number of pictures.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} How many by chance?
# *Objective:* know what a share of significant maps is worth on its own · *easy* · 5 minutes
#
# A detector has no map that responds to colour. How large is the share of colour-conditional maps among its
# top 114 at $p \le 0.05$, and how large with the false discovery rate controlled at 5 %?
# ```

# %% [markdown] tags=["solution"]
# About 5 % of the maps, five or six of them, by the definition of p (Mood's test with Yates' correction is
# stricter, so somewhat fewer). With the false discovery rate controlled, 95 of 100 such detectors yield no
# discovery at all.

# %% [markdown] tags=["instructor"]
# **Hint** What does p ≤ 0.05 mean for a map that does not respond?
#
# **Marking** 1 point: 5 % of 114. 1 point: with no true effect at all, controlling the false discovery rate
# limits the chance of *any* discovery to 5 %.
#
# **Common mistakes** "none, because nothing responds"; "5 % of the discoveries are false".

# %% [markdown] tags=["exercise"]
# ```{exercise} How few pictures?
# *Objective:* know that a test can be too small to find anything · *easy* · 10 minutes
#
# A map separates $n$ fakes from their $n$ gray copies perfectly: every value in colour lies above every value
# in gray. Show that Yates' corrected statistic is $\chi^2 = 2 (n - 1)^2 / n$. It is significant at 5 % from
# 3.84 on. What is the smallest $n$ for which *any* map can be called colour-conditional? What follows for a
# share of zero that was measured on three pictures?
# ```

# %% [markdown] tags=["solution"]
# The table is $A = n$, $B = 0$; every expected count is $n / 2$, every observed one is $n / 2$ away from it,
# and Yates' correction takes off one half. Four cells give $4 \cdot \left(\tfrac n2 - \tfrac12\right)^2 /
# \tfrac n2 = 2 (n - 1)^2 / n$. That is 2.67 for three pictures and 4.5 for four. So it takes four, even for a
# perfect map. A share of zero on three pictures says nothing about the maps: the test could not have given
# anything else.

# %% [markdown] tags=["instructor"]
# **Hint** All four cells of the table have the same expected count.
#
# **Marking** 2 points: the statistic. 1 point: four. 1 point: not significant is not the same as no response.
#
# **Discuss** The figure in which the share grows with the number of pictures: where would it begin?

# %% [markdown] tags=["exercise"]
# ```{exercise} Mood's test by hand
# *Objective:* know what the median test counts, and what it ignores · *medium* · 20 minutes
#
# Write `mood` for two samples of one map: the p-value of the $\chi^2$ test with Yates' correction. A value
# equal to the pooled median counts as *not above*. The correction brings every observed count towards the
# expected one by one half, but not beyond it. Where all values lie on one side, p is 1. With one degree of
# freedom the probability of a larger $\chi^2$ is `erfc(sqrt(chi2 / 2))`.
# ```

# %% tags=["exercise"]
from math import erfc, sqrt

import numpy as np

rng = np.random.default_rng(0)
color = rng.normal(0.6, 1, 60)
gray = rng.normal(0, 1, 60)
rare = np.r_[np.zeros(40), rng.random(20)]  # a map that seldom fires


# %% tags=["solution"]
def mood(a, b):
    """p-value of Mood's median test of two samples."""
    # BEGIN SOLUTION
    middle = np.median(np.r_[a, b])
    above = np.array([np.sum(a > middle), np.sum(b > middle)])
    size = np.array([len(a), len(b)])
    observed = np.stack([above, size - above])
    if (observed.sum(1) == 0).any():
        return 1.0
    expected = observed.sum(1, keepdims=True) * size / size.sum()
    distance = np.abs(observed - expected)
    distance -= np.minimum(0.5, distance)
    return erfc(sqrt((distance**2 / expected).sum() / 2))
    # END SOLUTION


# %% tags=["test"]
assert mood(color, gray) < 0.05, "these two samples do differ"
assert mood(gray, gray) > 0.99, "a sample does not differ from itself"
assert mood(np.zeros(9), np.zeros(9)) == 1, (
    "a map that is always zero has no value above the median: p is 1"
)
assert abs(mood(np.arange(3.0) + 5, np.arange(3.0)) - 0.1025) < 1e-3, (
    "three against three, perfectly separated, give p = 0.1025: is Yates' "
    "correction there?"
)

# %% tags=["hidden-test"]
from tff_core.features import color_conditional

for a, b in ((color, gray), (rare, gray), (color[:9], rare), (rare, rare)):
    want = color_conditional.mood(a[:, None], b[:, None]).p[0]
    assert abs(mood(a, b) - want) < 1e-9, (
        f"p is {mood(a, b):.4f}, tff_core has {want:.4f}: one median of both "
        "samples together, and what equals it counts as not above?"
    )


# %% tags=["wrong"]
# compares each sample with its own median
def mood(a, b):
    above = np.array([np.sum(x > np.median(x)) for x in (a, b)])
    size = np.array([len(a), len(b)])
    observed = np.stack([above, size - above])
    if (observed.sum(1) == 0).any():
        return 1.0
    expected = observed.sum(1, keepdims=True) * size / size.sum()
    distance = np.maximum(np.abs(observed - expected) - 0.5, 0)
    return erfc(sqrt((distance**2 / expected).sum() / 2))


# %% tags=["wrong"]
# leaves Yates' correction out
def mood(a, b):
    middle = np.median(np.r_[a, b])
    above = np.array([np.sum(a > middle), np.sum(b > middle)])
    size = np.array([len(a), len(b)])
    observed = np.stack([above, size - above])
    if (observed.sum(1) == 0).any():
        return 1.0
    expected = observed.sum(1, keepdims=True) * size / size.sum()
    distance = np.abs(observed - expected)
    return erfc(sqrt((distance**2 / expected).sum() / 2))


# %% tags=["wrong"]
# counts ties with the median as above it
def mood(a, b):
    middle = np.median(np.r_[a, b])
    above = np.array([np.sum(a >= middle), np.sum(b >= middle)])
    size = np.array([len(a), len(b)])
    observed = np.stack([above, size - above])
    if (observed.sum(1) == 0).any():
        return 1.0
    expected = observed.sum(1, keepdims=True) * size / size.sum()
    distance = np.abs(observed - expected)
    distance -= np.minimum(0.5, distance)
    return erfc(sqrt((distance**2 / expected).sum() / 2))


# %% [markdown] tags=["solution"]
# The test sees four counts and nothing else: neither how far a value lies above the median, nor which two
# values belong to the same picture. Ties matter for maps that are mostly zero: their median is zero, and
# "above" then means "fires at all".

# %% [markdown] tags=["instructor"]
# **Hint** Pool first, then count; the table has two rows (above, not above) and two columns.
#
# **Marking** 2 points: the table. 1 point: expected counts and statistic. 1 point: correction. 1 point: ties
# and the degenerate case.
#
# **Common mistakes** two medians instead of a pooled one; a correction that overshoots when observed and
# expected differ by less than one half.

# %% [markdown] tags=["exercise"]
# ```{exercise} A paired median test
# *Objective:* use the pairing that Mood's test ignores · *medium* · 15 minutes
#
# Mood's test ignores that both values come from the same picture. Write a test of the median of the
# *differences* $m_c(x) - m_c(\operatorname{gray}(x))$ that needs only counting: its two-sided p-value,
# exactly, from `math.comb`. Equal pairs say nothing and are left out; if nothing is left, p is 1. Which
# assumption of Wilcoxon's test does it not make?
# ```

# %% tags=["exercise"]
from math import comb

import numpy as np

rng = np.random.default_rng(0)
gray = rng.normal(0, 1, 40)
color = gray + 0.1 + rng.normal(0, 0.05, 40)  # small, but consistent


# %% tags=["solution"]
def sign_test(a, b):
    """Two-sided p-value that differences are as often above 0 as below."""
    # BEGIN SOLUTION
    more, less = int(np.sum(a > b)), int(np.sum(a < b))
    n = more + less
    tail = sum(comb(n, i) for i in range(max(more, less), n + 1))
    return min(1.0, 2 * tail / 2**n)
    # END SOLUTION


# %% tags=["test"]
assert abs(sign_test(np.arange(1.0, 6), np.zeros(5)) - 2 / 32) < 1e-12, (
    "five of five above: one outcome of 32, and one more on the other side"
)
assert sign_test(gray, gray) == 1, "equal pairs alone: p is 1"
assert sign_test(color, gray) < 1e-6, (
    "nearly all maxima fell, if only a little: the pairs show it clearly"
)

# %% tags=["hidden-test"]
from tff_core.features import color_conditional as cc

unpaired = cc.mood(color[:, None], gray[:, None]).p[0]
assert unpaired > 0.05, "a test without pairs does not see these differences"
assert sign_test(color, gray) == sign_test(gray, color), (
    "a two-sided test does not know which sample is which"
)
tied = np.r_[np.ones(6), np.zeros(30)]
assert abs(sign_test(tied, np.zeros(36)) - 2 / 64) < 1e-12, (
    "30 equal pairs must be left out, not counted for one of the sides"
)
assert sign_test(np.r_[1.0, 0], np.r_[0.0, 1]) == 1, "p is at most 1"


# %% tags=["wrong"]
# tests one side only
def sign_test(a, b):
    more, less = int(np.sum(a > b)), int(np.sum(a < b))
    n = more + less
    tail = sum(comb(n, i) for i in range(max(more, less), n + 1))
    return min(1.0, tail / 2**n)


# %% tags=["wrong"]
# counts equal pairs as not above
def sign_test(a, b):
    more, less = int(np.sum(a > b)), int(np.sum(a <= b))
    n = more + less
    tail = sum(comb(n, i) for i in range(max(more, less), n + 1))
    return min(1.0, 2 * tail / 2**n)


# %% [markdown] tags=["solution"]
# The sign test: count the pictures in which the map responds more strongly in colour; without an effect this
# count is binomial with probability one half. Here each maximum falls by a tenth of the spread between
# pictures. Mood's test, which compares the two clouds of values, does not notice; the pairs leave no doubt.
# Wilcoxon's test also uses the sizes of the differences, and assumes that their distribution is symmetric.

# %% [markdown] tags=["instructor"]
# **Hint** How probable are this many heads, or more, of n fair coins?
#
# **Marking** 2 points: the tail. 1 point: two-sided, at most 1. 1 point: ties. 1 point: symmetry.
#
# **Discuss** A consistent shift of a tenth of the spread: significant. Does it matter to the detector?

# %% [markdown] tags=["exercise"]
# ```{exercise} False alarms among hundreds
# *Objective:* hold the share of false discoveries · *hard* · 20 minutes
#
# Benjamini and Hochberg: sort the $M$ p-values; find the *largest* rank $i$ with $p_{(i)} \le \alpha\, i /
# M$; call that one and all smaller ones discoveries. Write `discoveries`, which returns true or false for
# every p-value in its own order. In the sample, 20 of 114 maps respond. Compare the number of false alarms
# with that at $p \le 0.05$ uncorrected.
# ```

# %% tags=["exercise"]
import math

import numpy as np

rng = np.random.default_rng(4)
z = np.abs(rng.normal(0, 1, 114) + np.where(np.arange(114) < 20, 3.5, 0))
p = np.array([math.erfc(x / math.sqrt(2)) for x in z])  # 20 respond, 94 not


# %% tags=["solution"]
def discoveries(p, alpha=0.05):
    """Which p-values are discoveries, (M,) bool."""
    # BEGIN SOLUTION
    p = np.asarray(p)
    ordered = np.sort(p)
    below = ordered <= alpha * np.arange(1, len(p) + 1) / len(p)
    if not below.any():
        return np.zeros(len(p), dtype=bool)
    return p <= ordered[np.flatnonzero(below)[-1]]
    # END SOLUTION


# %% tags=["test"]
found = discoveries(p)
assert found.shape == p.shape, "one answer for every p-value, in its order"
assert found[:20].sum() >= 10, "most of the maps that respond are found"
assert found[20:].sum() < (p[20:] <= 0.05).sum(), (
    "as many false alarms as without correction"
)
assert discoveries(np.array([0.04, 0.03, 0.05])).all(), (
    "0.05 is the third of three: at most 0.05 * 3 / 3, so that all three are "
    "discoveries, although 0.03 alone would not pass 0.05 / 3"
)

# %% tags=["hidden-test"]
import pandas as pd

from tff_core.features import color_conditional
from tff_core.features.names import FeatureMap

maps = [FeatureMap("conv", c, 114) for c in range(114)]
for alpha in (0.01, 0.05, 0.2):
    for values in (p, p[::-1], np.linspace(0.001, 1, 114)):
        frame = pd.DataFrame({"map": map(str, maps), "p_mood": values})
        frame = frame.assign(p_wilcoxon=1.0, n=9, shift=0.0, degenerate=0)
        row = color_conditional.shares(frame, {"all": [maps]}, alpha)
        want = round(114 * row["share_mood_bh"].iloc[0])
        assert discoveries(values, alpha).sum() == want, (
            f"{discoveries(values, alpha).sum()} discoveries at {alpha}, "
            f"tff_core has {want}: is it the largest rank below the line?"
        )


# %% tags=["wrong"]
# compares every p-value with its own rank only
def discoveries(p, alpha=0.05):
    rank = np.argsort(np.argsort(p)) + 1
    return np.asarray(p) <= alpha * rank / len(p)


# %% tags=["wrong"]
# divides alpha by the number of maps (Bonferroni)
def discoveries(p, alpha=0.05):
    return np.asarray(p) <= alpha / len(p)


# %% tags=["wrong"]
# stops at the first p-value above the line
def discoveries(p, alpha=0.05):
    p = np.asarray(p)
    ordered = np.sort(p)
    below = ordered <= alpha * np.arange(1, len(p) + 1) / len(p)
    many = np.argmin(below) if not below.all() else len(p)
    return p <= (ordered[many - 1] if many else -1)


# %% [markdown] tags=["solution"]
# Uncorrected, about one in twenty of the maps that do not respond is called conditional. The procedure holds
# the *expected share of false ones among the discoveries* at 5 %, at the price of some true ones. A p-value
# above its own line still counts if a larger one lies below its line: that is what "the largest rank" means.

# %% [markdown] tags=["instructor"]
# **Hint** `np.flatnonzero(below)[-1]` is the largest rank that passes.
#
# **Marking** 2 points: the line. 2 points: the largest rank, and everything below it. 1 point: no discovery.
#
# **Common mistakes** comparing each p-value with its own rank alone; returning the sorted order.
