# %% [markdown]
# # Atlas of the feature maps
#
# Every map that a chapter names can be looked up here, and every other one of the network. The maps with the
# largest omega have a card: where each is most excited, where it carries most relevance, how it responds to
# colour, and what the detector loses when it alone is dropped.

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
seeds = [0, 1, 2]  # the first one is shown
n = None  # fakes per generator to search, at most 100; None: all
cards = True  # of the top maps; False: the index alone
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd
from IPython.display import HTML, display

from tff_core import figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import atlas as texts
from tff_core.features import (
    atlas,
    color_conditional,
    maxima,
    patches,
    pixels,
    relmax,
)
from tff_core.pictures import data
from tff_core.store.results import read_json

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
k, seed, seen = chapter.k, seeds[0], chapter.spec.preprocessing
n = min(n or 100, 100)
RANKS, CELL = 2, 24  # patches of a map and generator, and their side
FAKES, REALS = 6, 3  # of each generator, behind the effect of one map

# %% [markdown]
# ## Every map has a place
#
# **Idea.** A layer, a channel, its omega and its rank are known of every map. An address names the layer and
# the channel, and stays the same for as long as the network is the same.

# %%
net, omega = chapter.net(), chapter.omega()
top = omega.top(k)
names = [str(m) for m in top]

# %% tags=["remove-input"]
say(texts.index(chapter.spec.title, seed, len(omega), cards))
display(HTML(atlas.index(omega, k)))

# %% [markdown] tags=["only-if:cards=True"]
# ## What a card says
#
# **Idea.** A feature map is characterised by what excites it, by how it reacts to a change in the picture,
# and by what is missing without it. Each is one number here, with the pictures behind it.
#
# **Equation.** Omega is a mean over the pictures that the detector is sure of, so it has an interval over
# these pictures, by resampling them:
#
# $$
# \omega_c = \frac1N \sum_{x} \frac{\sum_{h,w} \max(R_{c,h,w}(x), 0)}{\sum_{c',h,w} |R_{c',h,w}(x)|}
# $$
#
# The **effect** of a map is the mean change of the logit of fakes when it alone is dropped, $\frac1F
# \sum_x f_{-c}(x) - f(x)$, with an interval over the fakes. Below zero: without the map they look less
# fake.
#
# **Code.** The same functions as in the chapters.

# %% tags=["only-if:cards=True"]
path = chapter.store.omega(detector, seed).with_suffix(".json")
counted = read_json(path)
ranked = chapter.batches(chapter.validation(1, counted["seen"]), 25)
shares = atlas.omega_samples(net, ranked, top, counted["count"])
shares = atlas.means(shares)

some = [
    chapter.test(g, label, count)
    for g in generators
    for label, count in ((1, FAKES), (0, REALS))
]
few = [batch for images in some for batch in chapter.batches(images, 25)]
effects = atlas.single_dropout(net, few, top)

# %% [markdown] tags=["only-if:cards=True"]
# **What excites it, and what counts.** Pictures are ranked by the map's largest activation, as in the chapter
# on patches, and by the largest relevance for the answer "fake" that arrives at one of its positions, as a
# share of its layer's (RelMax, {cite:t}`achtibat2023`). Do both choose the same pictures? Two random choices
# of a sixth of the pictures share a sixth of them; they agree if the whole interval lies above that. Tests of
# colour are those of the chapter on colour-conditional maps, of the same fakes.

# %% tags=["only-if:cards=True"]
found = {"activation": {}, "relevance": {}}
shared, samples, p = [], [], {}
for generator in generators:
    fakes = chapter.test(generator, label=1, first=n)
    batches = chapter.batches(fakes, 25)
    first = max(RANKS, len(fakes) // 6)
    by = {
        "activation": maxima.activation_max(net, batches, top, first),
        "relevance": relmax.relevance_max(net, batches, top, first),
    }
    shared.append(relmax.agreement(*by.values(), len(fakes)))
    for name, best in by.items():
        best = best.first(RANKS)
        found[name][generator] = patches.find(net, fakes, top, best=best)
    pair = [chapter.batches(fakes, 50, t) for t in (None, data.grayscale)]
    sample = color_conditional.sample(net, *pair, {"top-k": [top]})
    test = color_conditional.mood(sample.color, sample.gray)
    samples.append(sample)
    p[generator] = pd.Series(test.p, index=names)
p, shared = pd.DataFrame(p), pd.concat(shared)

# %% tags=["remove-input", "only-if:cards=True"]
place = {layer: i for i, layer in enumerate(net.layers)}
hits = (p <= color_conditional.ALPHA).sum(axis=1)
table = pd.DataFrame(
    {
        "map": names,
        "place": [place[m.layer] for m in top],
        "omega": [omega[m] for m in top],
        "omega_low": shares[:, 1],
        "omega_high": shares[:, 2],
        "p": p.median(axis=1).to_numpy(),
        "conditional": hits.to_numpy(),
    }
).join(effects)
share = shared[["shared", "expected"]].div(shared["top"], axis=0)
table = table.join(share.groupby(shared["map"]).mean(), on="map")

# %% tags=["remove-input", "only-if:cards=True"]
cells = {
    (by, row.map, g, row.rank): pixels.thumbnail(row.path, row.box, CELL, seen)
    for by, own in found.items()
    for g, rows in own.items()
    for row in rows.itertuples()
}
ranks = range(
    1 + min(own["rank"].max() for own in found["activation"].values())
)
sheets = {
    m: {
        f"by {by}": atlas.sheet(
            [[cells[by, m, g, rank] for g in generators] for rank in ranks]
        )
        for by in found
    }
    for m in names
}
color = np.concatenate([sample.color for sample in samples])
gray = np.concatenate([sample.gray for sample in samples])

# %% tags=["remove-input", "only-if:cards=True"]
drawings = {
    m: atlas.histograms(color[:, i], gray[:, i]) for i, m in enumerate(names)
}
called = {g: figures.generator_name(g) for g in generators}
details = atlas.details(found["activation"], p, called)
counts = [sum(images.counts[label] for images in some) for label in (0, 1)]
behind = len(ranks), n, len(color), counted["count"], counts
agreed = texts.agreement(relmax.summary(shared), shared["top"])
say(texts.legend(chapter.spec.title, seed, k, *behind), agreed)
page = atlas.page(table, sheets, drawings, details, list(called.values()))
display(HTML(page))

# %% [markdown] tags=["only-if:cards=True"]
# ## What it means, and what it does not
#
# - The cards are sorted by omega at first. Sort by effect to see how differently the two can rank.
# - A map whose removal alone changes little is **not** without influence: others may stand in for it. The
#   chapter on sensitivity drops all of them at once.
# - The effect is measured on few pictures; it separates large from small, not the first from the second.
# - The interval of omega is over pictures. It does not mean that another training would give this map the
#   same omega: another detector seed has other maps.
# - A picture in which a map carries most relevance is one where the detector needs the map, among other
#   things because its other maps say less there. That is not what the map looks for.
# - With many maps some p are small by chance; see the false discovery rate in the chapter on
#   colour-conditional maps.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - say why a large omega and a small effect of dropping a map can go together;
# - measure what maps do alone and together, and see redundancy in the difference;
# - tell agreement of two rankings from what chance gives.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Omega without effect
# *Objective:* keep a share of relevance apart from an effect · *easy* · 5 minutes
#
# A map has a large omega, yet its removal hardly changes the logit. How can both be true?
# ```

# %% [markdown] tags=["solution"]
# Omega is a map's share of the relevance that passes through *its layer*; what a layer's other maps, or the
# skip connection around it, would do without the map is not in it. Dropout sets the map to the constant that
# batch normalisation makes of zero. If the map hardly varies, or its typical value is close to that constant,
# little changes, however much relevance runs through it.

# %% [markdown] tags=["instructor"]
# **Hint** To what value does dropout set the map, and what else can say the same?
#
# **Marking** 1 point: others stand in. 1 point: the constant that replaces it is close to what it usually is.
#
# **Discuss** Where the page has cards, sort them by effect: which kind of map goes to the end?

# %% [markdown] tags=["exercise"]
# ```{exercise} Alone and together
# *Objective:* see redundancy that single dropout cannot · *medium* · 20 minutes
#
# The logit below is what is left of a fixed amount, less what a sum of the maps 0 and 1 covers: either of the
# two twins alone covers it. Write `effect`: the mean change of the logit, over pictures, when *all* the given
# maps are set to zero. Compare the effect of both twins together with the sum of their single effects. What
# would a ranking by single effects do with them?
# ```

# %% tags=["exercise"]
import torch

rng = torch.Generator().manual_seed(0)
twin = 2 + torch.rand(30, 1, 4, 4, generator=rng)
third = torch.rand(30, 1, 4, 4, generator=rng)
maps = torch.cat([twin, twin + 0.1, third], 1)  # (N, C, H, W)


def head(maps):
    """The logit (N,) of maps (N, 3, H, W)."""
    seen = maps.mean((2, 3))
    return 1 - torch.relu(2 - seen[:, 0] - seen[:, 1]) + seen[:, 2]


# %% tags=["solution"]
def effect(head, maps, channels):
    """Mean change of the logit when these channels are dropped together."""
    # BEGIN SOLUTION
    without = maps.clone()
    without[:, channels] = 0
    return float((head(without) - head(maps)).mean())
    # END SOLUTION


# %% tags=["test"]
before = maps.clone()
assert abs(effect(head, maps, [0])) < 1e-6, (
    "one twin covers for the other: alone its removal changes nothing"
)
assert abs(effect(head, maps, [0, 1]) + 2) < 1e-5, (
    "without both, nothing covers the 2: the logit falls by 2. Were both "
    "dropped at once, and is it the new logit minus the old?"
)
assert torch.equal(maps, before), (
    "the maps that were given have changed: the next effect would be measured "
    "in a network that is already broken"
)

# %% tags=["hidden-test"]
alone = [effect(head, maps, [c]) for c in range(3)]
assert abs(alone[2] + float(third.mean())) < 1e-5, (
    "the third map adds its mean: without it the logit falls by that"
)
assert abs(effect(head, maps, [0, 1, 2]) - (alone[2] - 2)) < 1e-5, (
    "what the third does is independent of the twins"
)
assert effect(head, maps, []) == 0, "nothing dropped, nothing changed"


# %% tags=["wrong"]
# adds up the effects of the single maps
def effect(head, maps, channels):
    total = 0.0
    for c in channels:
        without = maps.clone()
        without[:, c] = 0
        total += float((head(without) - head(maps)).mean())
    return total


# %% tags=["wrong"]
# drops the maps in the tensor that was given
def effect(head, maps, channels):
    old = head(maps)
    maps[:, channels] = 0
    return float((head(maps) - old).mean())


# %% tags=["wrong"]
# takes the old logit minus the new one
def effect(head, maps, channels):
    without = maps.clone()
    without[:, channels] = 0
    return float((head(maps) - head(without)).mean())


# %% [markdown] tags=["solution"]
# Alone, each twin has an effect of zero; together, they carry more than any other map. A ranking by single
# effects puts both last. That is why a card's effect is no verdict on a map, and why sensitivity is tested by
# dropping many at once.

# %% [markdown] tags=["instructor"]
# **Hint** `clone` first, then index all channels at once.
#
# **Marking** 2 points: dropped together. 1 point: sign and mean. 1 point: nothing in place. 1 point: the
# ranking.
#
# **Discuss** Find a network in which two maps have large single effects and none together.

# %% [markdown] tags=["exercise"]
# ```{exercise} Do both choose the same pictures?
# *Objective:* compare an agreement with chance, not with zero · *medium* · 15 minutes
#
# Two rankings of the same `n` pictures each name their first `top`. Write `agreement` of two lists of numbers
# of pictures: how many they share, how many two random choices share on average, and the probability that
# random choices share as many *or more*. (Fix the first list: of all $\binom{n}{top}$ second ones, how many
# contain $j$ of it?) Ten of sixty, three shared: is that agreement?
# ```

# %% tags=["exercise"]
from math import comb

activation = [3, 8, 15, 22, 23, 31, 40, 44, 52, 59]
relevance = [22, 1, 8, 11, 44, 27, 30, 41, 50, 58]


# %% tags=["solution"]
def agreement(first, second, n):
    """Shared pictures, how many by chance, and p of as many or more."""
    # BEGIN SOLUTION
    top, shared = len(first), len(set(first) & set(second))
    ways = sum(
        comb(top, j) * comb(n - top, top - j) for j in range(shared, top + 1)
    )
    return shared, top * top / n, ways / comb(n, top)
    # END SOLUTION


# %% tags=["test"]
shared, expected, p = agreement(activation, relevance, 60)
assert shared == 3, (
    "pictures 8, 22 and 44 are in both lists, wherever they stand in them"
)
assert abs(expected - 10 / 6) < 1e-9, (
    "each of the ten is in a random choice with probability one in six"
)
assert 0.1 < p < 0.4, (
    "three or more of ten are not rare: a sum over 3, 4, ... 10"
)
assert agreement([1, 2], [3, 4], 9)[2] == 1, (
    "none or more is certain: does the sum begin with the shared number?"
)

# %% tags=["hidden-test"]
import numpy as np

from tff_core.features import maxima, relmax
from tff_core.features.names import FeatureMap

one = (FeatureMap("conv", 0, 1),)
zero, ones = np.zeros((1, 10), dtype=int), np.ones((1, 10))
both = [
    maxima.Maxima(one, ones, np.array([some]), zero, zero, [])
    for some in (activation, relevance)
]
for n in (60, 200):
    want = relmax.agreement(*both, n).iloc[0]
    found = agreement(activation, relevance, n)
    assert np.allclose(found, [want["shared"], want["expected"], want["p"]]), (
        f"of {n} pictures: {found}, tff_core has p = {want['p']:.4f}: no "
        "picture is drawn twice"
    )
assert abs(agreement([0, 1], [1, 0], 4)[2] - 1 / 6) < 1e-9, (
    "the order within the first ones must not count"
)


# %% tags=["wrong"]
# draws pictures with replacement
def agreement(first, second, n):
    top, shared = len(first), len(set(first) & set(second))
    q = top / n
    ways = [
        comb(top, j) * q**j * (1 - q) ** (top - j)
        for j in range(shared, top + 1)
    ]
    return shared, top * top / n, sum(ways)


# %% tags=["wrong"]
# more than the shared number, not as many or more
def agreement(first, second, n):
    top, shared = len(first), len(set(first) & set(second))
    ways = sum(
        comb(top, j) * comb(n - top, top - j)
        for j in range(shared + 1, top + 1)
    )
    return shared, top * top / n, ways / comb(n, top)


# %% tags=["wrong"]
# compares place by place
def agreement(first, second, n):
    top = len(first)
    shared = sum(a == b for a, b in zip(first, second, strict=True))
    ways = sum(
        comb(top, j) * comb(n - top, top - j) for j in range(shared, top + 1)
    )
    return shared, top * top / n, ways / comb(n, top)


# %% [markdown] tags=["solution"]
# No: random choices share 1.7 on average, and three or more in more than one case of ten. "A third of the
# pictures agree" sounds like agreement; against chance it is not. Over many maps a small surplus adds up,
# which is why the atlas gives an interval over maps.

# %% [markdown] tags=["instructor"]
# **Hint** `comb(top, j) * comb(n - top, top - j)` second lists contain exactly j of the first.
#
# **Marking** 1 point: expected. 2 points: the tail. 1 point: the conclusion.
#
# **Common mistakes** zero as the point of comparison; drawing with replacement.
