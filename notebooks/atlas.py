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

# %% [markdown] tags=["only-if:cards=True"]
# ```{exercise} Omega without effect
# Find a map with a large omega whose removal hardly changes the logit. How can both be true?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Omega is a map's share of the relevance that passes through *its layer*; what a layer's other maps, or the
# skip connection around it, would do without the map is not in it. Dropout sets the map to the constant that
# batch normalisation makes of zero. If the map hardly varies, or its typical value is close to that constant,
# little changes, however much relevance runs through it.
# ```
