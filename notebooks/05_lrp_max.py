# %% [markdown]
# # What a feature map looks for: LRP-max patches
#
# Omega gives the names of feature maps. What do these maps *see*? For each of the strongest, this chapter
# finds the places in fakes of every generator where it is most excited, and shows exactly the pixels that
# excited it.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # feature maps that count as top; None: the paper's number
seeds = [0, 1, 2]  # the first one is shown
n = None  # fakes per generator to search; at most 100 are used here
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd
from IPython.display import display

from tff_core import figures
from tff_core.book import explorer, panels
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import patches as texts
from tff_core.features import concepts, names, patches
from tff_core.pictures import data

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
spec, k, seed = chapter.spec, chapter.k, chapter.seed  # `seed` is drawn
RANKS = 3  # patches of each map
titles = [figures.generator_name(g) for g in generators]

# %% [markdown]
# ## From the strongest position to a patch
#
# **Idea.** The strongest response of a feature map in a picture sits at one position. Start with relevance 1
# there and nowhere else, and hand it back to the pixels. Whatever receives relevance is what excited the map.
#
# **Equation.** For map $c$ of layer $l$ and picture $x$ let $(h^*, w^*) = \arg\max_{h,w} a_c(x)_{h,w}$. The
# walk of the last chapters starts with
#
# $$
# R^{(l)}_{c,h,w} = \begin{cases} 1 & (h, w) = (h^*, w^*) \\ 0 & \text{elsewhere,} \end{cases}
# $$
#
# and ends with $R(x)$, one value per pixel. The **patch** is the smallest box around the quarter of the
# pixels with the most relevance. It cannot be larger than the map's receptive field: a few pixels in the
# first layer, the whole picture in the last.
#
# **Code.** One pass over the pictures finds the positions for all maps; relevance is computed only there.
# Pictures are ranked by the activation, as a number. The top-k are accompanied by as many maps from the same
# layers that are *not* among them.

# %%
n = min(n or 100, 100)
fakes = {g: chapter.test(g, label=1, first=n) for g in generators}
groups = {
    s: {
        "top-k": chapter.omega(s).top(k),
        "matched-k": chapter.omega(s).matched(k, seed=0),
    }
    for s in seeds
}
top = groups[seed]["top-k"][:12]  # drawn below, with their relevance

found = []
for generator, images in fakes.items():
    for s in seeds:
        own = patches.find(
            chapter.net(s),
            images,
            [m for maps in groups[s].values() for m in maps],
            RANKS,
            keep=top if s == seed else (),
            device=chapter.device,
            preprocessing=spec.preprocessing,
        )
        own = patches.measure(own, spec.preprocessing)  # chroma, for later
        group = {str(m): g for g, maps in groups[s].items() for m in maps}
        own["group"] = own["map"].map(group)
        own = own.assign(detector=detector, generator=generator, seed=s)
        found.append(own)
found = pd.concat(found, ignore_index=True)

# %% tags=["remove-input"]
for generator, images in fakes.items():
    own = found[found["generator"] == generator]
    own = patches.tidy(own, images.root)
    chapter.save_part("patches", generator, own)

# %% [markdown]
# ## The collage
#
# Rows are the first feature maps by $\omega$, columns are generators. Every cell shows the patch of one fake,
# resized to a common size without smoothing. The slider goes from the strongest picture of each map to the
# third strongest.

# %% tags=["remove-input"]
drawn = panels.patches(
    found[found["seed"] == seed],
    [str(m) for m in top],
    generators,
    spec.preprocessing,
)
collage = figures.collage(
    *drawn.by_rank(),
    titles,
    f"LRP-max patches of the first {len(top)} of the top {k} "
    f"({spec.title}, seed {seed}), strongest of {n or 100} fakes or fewer "
    "per generator. Hover a patch for its position and activation.",
    prefix="rank ",
)
leads = {str(m): names.address(m) for m in top}
figures.show(figures.linked(collage, leads))
say(texts.cards(k, [names.link(m) for m in top]))

# %% [markdown]
# *How to read it.* If a row shows the same thing in all columns, its map responds to something that these
# generators share. A row of different things means that the map responds to several things, or to something
# our eyes do not pick out at this size.

# %% [markdown]
# ## One map at a time
#
# Choose a map. For each generator you see the three strongest fakes, each patch above its relevance: what is
# bright excited the map.

# %% tags=["remove-input"]
figures.show(
    figures.collage(
        *drawn.by_map(),
        titles,
        "Patches of one feature map, each above its relevance over a gray "
        "copy of the same patch. The menu chooses the map.",
    )
)

# %% [markdown]
# ## Through one map: concept relevance
#
# **Idea.** A patch shows what *excites* a map, not what the detector makes of it: of all that a map responds
# to, only some carries relevance for the answer. Concept relevance {cite:p}`achtibat2023` keeps the part of
# a heatmap that runs through the map alone.
#
# **Equation.** The walk from the logit stops at layer $l$; all maps but $c$ are set to zero, and it goes on:
#
# $$
# R^{(l)}_{c',h,w}(x \mid c) = R^{(l)}_{c',h,w}(x) \text{ if } c' = c, \text{ else } 0.
# $$
#
# From there on everything is linear in relevance: the heatmaps of all maps of a layer sum to what passes the
# layer. How much of a map's part falls into its LRP-max patch, more than the patch's share of the picture?
# It does if the whole interval of the difference, over maps, lies above zero.

# %%
strongest = found[found["seed"] == seed]
own = {"device": chapter.device, "preprocessing": spec.preprocessing}
parts = list(concepts.beside(chapter.net(), strongest, top[:8], **own))
shares = concepts.table(parts).assign(detector=detector, seed=seed)

# %% tags=["remove-input"]
chapter.save("concepts", shares)
figures.show(
    figures.collage(
        *panels.through(parts, generators, spec.preprocessing),
        titles,
        "The strongest fake of one map by generator: the picture, the "
        "relevance of its logit, the part through the map, and the map's "
        "LRP-max patch. Each heatmap has its own scale. The menu chooses "
        "the map.",
    )
)
say(texts.through(concepts.means(shares), k, len(top[:8])))

# %% [markdown]
# ## Are the patches colourful?
#
# **Idea.** {cite:t}`chandrasegaran2022` saw colour in such patches. Seeing is not measuring: patches of *any*
# map lie where something is going on. So: how strong is the chroma inside a patch, compared with the whole
# picture it comes from? Is that more than for **other maps of the same layers**? And is it more than in boxes
# of the same size at **any place** in the same pictures?
#
# **Equation.** With $C = \sqrt{C_b^2 + C_r^2}$ the chroma of a pixel, the number is $\bar C_{\text{patch}}
# / \bar C_{\text{picture}}$: for each map the mean over its patches, then the mean over maps. Each of the
# top-k is compared with a partner from its own layer; an interval is over maps, and over detector seeds.

# %%
partners = {
    s: patches.pairs(own["top-k"], own["matched-k"])
    for s, own in groups.items()
}
chroma = []
for generator in generators:
    own = found[found["generator"] == generator]
    own = patches.chroma_table(own, partners)
    chroma.append(own.assign(detector=detector, generator=generator))
chroma = pd.concat(chroma)

# %% tags=["remove-input"]
chapter.save("patch_chroma", chroma)
pooled = chroma[chroma["seed"] == "all"]
figures.show(figures.patch_chroma(pooled, len(seeds)))
empty = int(found["box"].isna().sum())
say(texts.chroma(pooled, seeds, k, RANKS, len(found), empty))
say(texts.verdict(pooled))

# %% [markdown]
# The rule: a generator speaks for the claim if the whole interval of the difference lies above zero, against
# it if below; {doc}`the verdicts </notebooks/10_verdicts>` say how the word follows.

# %% [markdown]
# ## Your own picture
#
# Any map can be chosen, in any picture. In JupyterLab (`make lab`) the cell below becomes an explorer: it
# takes a picture of the test part, or your own, and a map, and computes relevance and patch at once. On this
# page it shows what was computed for one fake of each generator, and one map of each layer that has any
# among the top-k.

# %%
net, maps = chapter.net(), groups[seed]["top-k"]
first = {g: images.paths[0] for g, images in fakes.items()}
if explorer.live():
    named = dict(zip(titles, first.values(), strict=True))
    look = explorer.widget(
        net, named, maps, chapter.device, spec.preprocessing
    )
    display(look)

# %% tags=["remove-input"]
if not explorer.live():
    layers = {m.layer: m for m in reversed(maps)}  # the first of each
    chosen = [m for m in maps if layers[m.layer] == m][:8]
    looks = {
        str(m): [
            explorer.look(
                net, data.read(p), m, chapter.device, spec.preprocessing
            )
            for p in first.values()
        ]
        for m in chosen
    }
    caption = (
        "One fake of each generator: the picture, the relevance for one "
        "feature map's largest response in it, and the patch. The menu "
        "chooses the map, the first of its layer by omega."
    )
    figures.show(figures.collage(*panels.looks(looks), titles, caption))

# %% [markdown]
# ## What it means, and what it does not
#
# - A patch shows what excites *this* map most. That rows look alike across generators is what *transferable*
#   means, as far as the eye can tell.
# - The strongest responses among many pictures are extremes. What a map does on ordinary pictures is the
#   subject of the chapter on colour-conditional maps.
# - A patch does **not** show that the map recognises fakes: the same map may be just as excited by reals.
# - Patches of deep maps are nearly the whole picture, because their receptive field is. There the relevance
#   says more than the box.
# - Our eyes find patterns in any collage; that is why there is a table of chroma.
# - What runs through a map is a part of *this* detector's reasons for *this* answer. It says nothing about
#   other maps that would carry the same if this one were gone.
# - The control of the same layers says nothing about a layer whose maps *all* are among the top-k: there
#   are no others. The number of maps with a partner is given below the table.
# - Chroma of a patch is **not** the reason for the response: edges are strong in luma and in chroma alike.
#   Whether a map needs the colour is the question of the chapter on colour-conditional maps.

# %% [markdown]
# ```{exercise} Ten before two
# Patches are stored as `1_...jpg` to `20_...jpg` and the "first five" are taken from the list of file names
# sorted as text. Which ranks are shown?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# As text, `10_` to `19_` come before `1_` (the digit 0 sorts before the underscore), so the first five are
# ranks 10 to 14. Ranks are numbers: sort them as numbers, as the table of patches here does.
# ```
#
# ```{exercise} Before or after batch normalisation
# Suppose a map's scale $\gamma$ is negative. The network uses the *normalised* value. What is that value
# where the output of the *convolution* is largest? Which of the two should determine the position?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# There the normalised map is *smallest*: the sign flips. The network uses the normalised value (and usually
# cuts it off below zero), so the position of its maximum is what excites the map. Here both the ranking of
# pictures and the position use the normalised value.
# ```
