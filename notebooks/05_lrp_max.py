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
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - follow a position of a feature map to the pixels that it depends on, borders included;
# - say how large a patch can be, and why those of deep maps are whole pictures;
# - pick the strongest places without picking the same place three times;
# - put a box around relevance, and say what a single pixel does to it.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Ten before two
# *Objective:* keep ranks numbers · *easy* · 5 minutes
#
# Patches are stored as `1_...jpg` to `20_...jpg` and the "first five" are taken from the list of file names
# sorted as text. Which ranks are shown?
# ```

# %% [markdown] tags=["solution"]
# As text, `10_` to `19_` come before `1_` (the digit 0 sorts before the underscore), so the first five are
# ranks 10 to 14. Ranks are numbers: sort them as numbers, as the table of patches here does.

# %% [markdown] tags=["instructor"]
# **Hint** `sorted(f"{i}_.jpg" for i in range(1, 21))[:5]`
#
# **Marking** 1 point: the ranks; 1 point: how a reader of the figure could have noticed.
#
# **Common mistakes** Trusting the order of a folder; "1, 10, 11, 12, 13" (true only if nothing follows the
# number).
#
# **Discuss** The figure looks fine either way. What in a figure would give such a mistake away?

# %% [markdown] tags=["exercise"]
# ```{exercise} Before or after batch normalisation
# *Objective:* say which number "most excited" refers to · *easy* · 5 minutes
#
# Suppose a map's scale $\gamma$ is negative. The network uses the *normalised* value. What is that value
# where the output of the *convolution* is largest? Which of the two should determine the position?
# ```

# %% [markdown] tags=["solution"]
# There the normalised map is *smallest*: the sign flips. The network uses the normalised value (and usually
# cuts it off below zero), so the position of its maximum is what excites the map. Here both the ranking of
# pictures and the position use the normalised value.

# %% [markdown] tags=["instructor"]
# **Hint** Multiply a list of numbers by $-2$. Where is its maximum now?
#
# **Marking** 1 point: the sign flips; 1 point: the value that the network reads decides.
#
# **Common mistakes** Assuming $\gamma > 0$; taking the largest absolute value.
#
# **Discuss** What would the collage show for such a map if the wrong value were used?

# %% [markdown] tags=["exercise"]
# ```{exercise} One box, one stray pixel
# *Objective:* compute the patch of a heatmap, and know what the box hides · *easy* · 10 minutes
#
# `heat` is `(H, W)`, not negative. Write `box`: the smallest box (top, left, bottom, right) around the pixels
# above the 0.75 quantile of all pixels; bottom and right are the first row and column *outside*. None where
# no pixel is above it.
# ```

# %% tags=["exercise"]
import numpy as np

heat = np.zeros((8, 10))
heat[2:4, 3:6] = [[1, 3, 2], [2, 9, 4]]


# %% tags=["solution"]
def box(heat):
    """(top, left, bottom, right) of the quarter with most relevance."""
    # BEGIN SOLUTION
    rows, cols = np.nonzero(heat > np.quantile(heat, 0.75))
    if not len(rows):
        return None
    return rows.min(), cols.min(), rows.max() + 1, cols.max() + 1
    # END SOLUTION


# %% tags=["test"]
found = box(heat)
assert found is not None and tuple(found) != (0, 0, 8, 10), (
    "the whole picture: most pixels are zero and so is the quantile; only "
    "those above it count"
)
assert tuple(found) == (2, 3, 4, 6), (
    f"relevance lies in rows 2 and 3, columns 3 to 5: (2, 3, 4, 6), found "
    f"{tuple(map(int, found))}; heat[top:bottom, left:right] should hold them"
)

# %% tags=["hidden-test"]
import torch

from tff_core.features.maxima import Patch
from tff_core.features.names import FeatureMap

rng = np.random.default_rng(0)
for keep in (0.05, 0.4, 1.0):
    random = rng.random((12, 9)) * (rng.random((12, 9)) < keep)
    pixels = torch.from_numpy(random)[None]
    shape = (0, 0, 12, 9), (12, 9)
    patch = Patch(FeatureMap("a", 0, 1), 0, 1.0, 0, *shape, pixels, pixels)
    assert tuple(box(random)) == patch.window(), (
        f"tff_core's box is {patch.window()}, found {box(random)}"
    )
assert box(np.zeros((4, 4))) is None, "no relevance, no box: expected None"


# %% tags=["wrong"]
# counts the pixels that equal the quantile: often all of them
def box(heat):
    rows, cols = np.nonzero(heat >= np.quantile(heat, 0.75))
    return rows.min(), cols.min(), rows.max() + 1, cols.max() + 1


# %% tags=["wrong"]
# ends with the last row and column instead of after them
def box(heat):
    rows, cols = np.nonzero(heat > np.quantile(heat, 0.75))
    return rows.min(), cols.min(), rows.max(), cols.max()


# %% tags=["wrong"]
# takes the quantile of the positive pixels alone
def box(heat):
    cut = np.quantile(heat[heat > 0], 0.75) if heat.any() else 0
    rows, cols = np.nonzero(heat > cut)
    if not len(rows):
        return None
    return rows.min(), cols.min(), rows.max() + 1, cols.max() + 1


# %% [markdown] tags=["solution"]
# A box is as large as its two most distant pixels make it. Add a pixel with a tiny relevance in a corner of
# `heat`: it is above the quantile, since most pixels are zero, and the box reaches to the corner. So the size
# of a box says little about where *most* relevance lies, and a box that fills the picture may hold a dot.
# That is why this chapter draws the relevance beside the patch.

# %% [markdown] tags=["instructor"]
# **Hint** A boolean picture first; then the smallest and the largest row and column in which it is true.
#
# **Marking** 1 point: strictly above the quantile; 1 point: ends outside; 1 point: None; 1 point: the stray
# pixel.
#
# **Common mistakes** `>=`; one row and column short; quantile of the positive values.
#
# **Discuss** Suggest a patch that a stray pixel cannot enlarge. What would *it* hide?

# %% [markdown] tags=["exercise"]
# ```{exercise} How far a map can see
# *Objective:* compute a receptive field, and find out what makes it grow · *medium* · 10 minutes
#
# `layers` lists kernel size and stride of the layers up to a map, the first one first. Write `field`: how many
# pixels a side one of the map's positions depends on, away from the borders. How many pixels does a 3 x 3
# layer add behind five strides of 2, and how many behind none?
# ```

# %% tags=["exercise"]
stem = [(7, 2), (3, 2)]  # a convolution and a pooling, as in a ResNet
plain, strided = [(3, 1)] * 5, [(3, 2)] * 5


# %% tags=["solution"]
def field(layers):
    """Side of the receptive field, in pixels."""
    # BEGIN SOLUTION
    side, step = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * step
        step *= stride
    return side
    # END SOLUTION


# %% tags=["test"]
assert field([(3, 1), (3, 1)]) == 5, (
    f"two 3 x 3 layers: the second sees three neighbours, each of which "
    f"sees three, and these overlap: 5 pixels, found {field([(3, 1)] * 2)}"
)
assert field(stem) == 11, (
    f"7 pixels, and two more steps of 2: 11, found {field(stem)}; a step in "
    "a later layer is as many pixels as all strides before it multiply to"
)
print(f"five layers: stride 1 {field(plain)}, stride 2 {field(strided)}")

# %% tags=["hidden-test"]
import torch


def measured(layers):
    """How far gradients reach from the middle of a map of ones."""
    convs = [torch.nn.Conv2d(1, 1, *own, bias=False) for own in layers]
    net = torch.nn.Sequential(*convs).requires_grad_(False)
    for conv in net:
        torch.nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 128, 128, requires_grad=True)
    y = net(x)[0, 0]
    y[len(y) // 2, len(y) // 2].backward()
    rows = x.grad[0, 0].sum(1).nonzero()
    return int(rows.max() - rows.min()) + 1


for layers in ([(5, 1)], [(3, 2), (5, 1), (3, 1)], [(1, 2), (3, 1)], strided):
    assert field(layers) == measured(layers), (
        f"{layers}: gradients reach {measured(layers)} pixels a side, found "
        f"{field(layers)}"
    )


# %% tags=["wrong"]
# adds up kernels as if no layer had a stride
def field(layers):
    return 1 + sum(kernel - 1 for kernel, stride in layers)


# %% tags=["wrong"]
# counts a layer's stride for the layer itself
def field(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        side += (kernel - 1) * step
    return side


# %% tags=["wrong"]
# multiplies kernels, as if the windows did not overlap
def field(layers):
    side = 1
    for kernel, _ in layers:
        side *= kernel
    return side


# %% [markdown] tags=["solution"]
# Every layer adds its kernel size less one, in *steps* of its input, and a step is as many pixels as the
# strides before it multiply to. Behind five strides of 2 a 3 x 3 layer adds 64 pixels, behind none it adds 2.
# So patches grow slowly within a stage and by leaps between stages, and in the last stage of such a network
# the field is larger than a small picture: a "patch" there is the picture. The field is an upper bound:
# most of the relevance usually comes from its middle.

# %% [markdown] tags=["instructor"]
# **Hint** Keep two numbers while you walk through the layers: the side so far, and the pixels in one step.
#
# **Marking** 1 point: without strides; 2 points: with strides; 1 point: the question of the five strides.
#
# **Common mistakes** Strides ignored; a stride counted one layer too early; products instead of sums.
#
# **Discuss** What does a patch of the last stage show that the picture does not?

# %% [markdown] tags=["exercise"]
# ```{exercise} Three places, or one place three times
# *Objective:* find the strongest places of a map, not the strongest pixels · *medium* · 15 minutes
#
# `activation` is one map, `(h, w)`. Write `peaks`: up to `n` positions (row, col), the strongest first. After
# each, every position less than `apart` rows *and* less than `apart` columns away is out of the race. Return
# fewer where no position is left.
# ```

# %% tags=["exercise"]
import torch

torch.manual_seed(0)
noise = torch.rand(1, 1, 24, 30)
smooth = torch.nn.functional.avg_pool2d(noise, 5, stride=1)[0, 0]  # 20 x 26


# %% tags=["solution"]
def peaks(activation, n, apart):
    """Up to n positions (row, col), no two of them closer than apart."""
    # BEGIN SOLUTION
    left, found = activation.clone(), []
    while len(found) < n and left.max() > -torch.inf:
        row, col = divmod(int(left.argmax()), left.shape[1])
        found.append((row, col))
        rows = slice(max(row - apart + 1, 0), row + apart)
        cols = slice(max(col - apart + 1, 0), col + apart)
        left[rows, cols] = -torch.inf
    return found
    # END SOLUTION


# %% tags=["test"]
before = smooth.clone()
found = peaks(smooth, 6, apart=5)
assert torch.equal(smooth, before), "the activation was changed: copy it"
assert smooth[found[0]] == smooth.max(), (
    f"the first is {found[0]}, where the map is not at its largest: it has "
    f"{smooth.shape[1]} columns and {smooth.shape[0]} rows"
)
for i, (row, col) in enumerate(found):
    for r, c in found[:i]:
        assert max(abs(row - r), abs(col - c)) >= 5, (
            f"({r}, {c}) and ({row}, {col}) are the same place: nothing "
            "less than 5 away from an earlier one, on any side, may follow"
        )

# %% tags=["hidden-test"]
corner = torch.zeros(9, 9)
corner[1, 1], corner[0, 0], corner[8, 8] = 3, 2, 1
assert peaks(corner, 2, apart=3) == [(1, 1), (8, 8)], (
    f"near the border: (0, 0) is a neighbour of (1, 1), found "
    f"{peaks(corner, 2, apart=3)}; a slice that begins below 0 is empty"
)
assert peaks(torch.rand(4, 4), 5, apart=9) != [], "one place fits"
assert len(peaks(torch.rand(4, 4), 5, apart=9)) == 1, "only one place fits"
values = [float(smooth[p]) for p in found]
assert values == sorted(values, reverse=True), "the strongest comes first"
assert len(found) == 6, "six places fit into this map"
assert peaks(smooth - 9, 2, apart=5) == found[:2], (
    "all activations negative: the places should be the same"
)


# %% tags=["wrong"]
# takes the n largest positions: neighbours of one peak
def peaks(activation, n, apart):
    width = activation.shape[1]
    return [divmod(int(i), width) for i in activation.flatten().topk(n)[1]]


# %% tags=["wrong"]
# counts rows where a flat index counts columns
def peaks(activation, n, apart):
    left, found = activation.clone(), []
    while len(found) < n and left.max() > -torch.inf:
        row, col = divmod(int(left.argmax()), left.shape[0])
        row, col = min(row, left.shape[0] - 1), min(col, left.shape[1] - 1)
        found.append((row, col))
        left[max(row - apart + 1, 0) : row + apart] = -torch.inf
    return found


# %% tags=["wrong"]
# lets a slice begin below zero, where it is empty
def peaks(activation, n, apart):
    left, found = activation.clone(), []
    for _ in range(n):
        row, col = divmod(int(left.argmax()), left.shape[1])
        found.append((row, col))
        rows = slice(row - apart + 1, row + apart)
        left[rows, col - apart + 1 : col + apart] = -torch.inf
        left[row, col] = -torch.inf
    return found


# %% [markdown] tags=["solution"]
# Neighbouring positions see nearly the same pixels and respond alike, so the largest three positions of a map
# are usually one place. A figure of three patches from them looks like perfect agreement, and shows one
# thing three times. This chapter takes one position from each *picture* for the same reason: its patches are
# different pictures' answers. (Two crops of one video would be the same place again.)

# %% [markdown] tags=["instructor"]
# **Hint** Take the maximum, blot out its surroundings, repeat.
#
# **Marking** 1 point: row and column from a flat index; 2 points: blotting out on all sides; 1 point: at the
# border; 1 point: why three neighbours mislead.
#
# **Common mistakes** `topk`; height for width; negative slices; changing the caller's tensor; zero instead of
# minus infinity, which fails on negative maps.
#
# **Discuss** In which other tables of this book would near copies count as independent evidence?

# %% [markdown] tags=["exercise"]
# ```{exercise} Back to the picture
# *Objective:* find the pixels behind one position of a map, at the borders, too · *hard* · 20 minutes
#
# `layers` now lists kernel, stride and padding (zeros on both sides). Write `pixels`: the half-open range
# (first, last + 1) of picture rows that row `index` of the map depends on, in a picture with `size` rows.
# Walk back from the map to the picture, and cut off what lies outside of it at the end. (Each layer here
# covers its whole input.)
# ```

# %% tags=["exercise"]
padded = [(7, 2, 3), (3, 2, 1), (3, 1, 1)]  # kernel, stride, padding
bare = [(3, 2, 0), (5, 1, 0)]


# %% tags=["solution"]
def pixels(index, layers, size):
    """(first, end) of the rows of a picture behind row index of a map."""
    # BEGIN SOLUTION
    first = last = index
    for kernel, stride, padding in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + kernel - 1
    return max(first, 0), min(last + 1, size)
    # END SOLUTION


# %% tags=["test"]
assert pixels(2, bare, 31) == (4, 15), (
    f"row 2 sees rows 2 to 6 of the layer below, and these see 4 to 14: "
    f"(4, 15), found {pixels(2, bare, 31)}; begin with the last layer"
)
assert pixels(4, padded, 64) == (7, 26), (
    f"padding moves every window: (7, 26), found {pixels(4, padded, 64)}; "
    "position 0 of a padded layer begins before its input does"
)
assert pixels(0, padded, 64)[0] == 0, "no row lies above the picture"

# %% tags=["hidden-test"]
import torch


def measured(index, layers, size):
    """The rows with a gradient from one row of a map of ones."""
    convs = [torch.nn.Conv2d(1, 1, *own, bias=False) for own in layers]
    net = torch.nn.Sequential(*convs).requires_grad_(False)
    for conv in net:
        torch.nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, size, size, requires_grad=True)
    y = net(x)[0, 0]
    y[index].sum().backward()
    rows = x.grad[0, 0].sum(1).nonzero()
    return int(rows.min()), int(rows.max()) + 1, len(y)


for layers, size in ((padded, 64), (bare, 31), ([(3, 2, 1)] * 3, 32)):
    for index in range(measured(0, layers, size)[2]):
        expected = measured(index, layers, size)[:2]
        assert pixels(index, layers, size) == expected, (
            f"{layers}, row {index}, {size} rows: gradients reach {expected}, "
            f"found {pixels(index, layers, size)}"
        )


# %% tags=["wrong"]
# walks through the layers from the first to the last
def pixels(index, layers, size):
    first = last = index
    for kernel, stride, padding in layers:
        first = first * stride - padding
        last = last * stride - padding + kernel - 1
    return max(first, 0), min(last + 1, size)


# %% tags=["wrong"]
# forgets the padding
def pixels(index, layers, size):
    first = last = index
    for kernel, stride, _ in reversed(layers):
        first = first * stride
        last = last * stride + kernel - 1
    return first, min(last + 1, size)


# %% tags=["wrong"]
# lets windows reach beyond the picture
def pixels(index, layers, size):
    first = last = index
    for kernel, stride, padding in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + kernel - 1
    return first, last + 1


# %% [markdown] tags=["solution"]
# From the map backwards, a range $[a, b]$ becomes $[a s - p,\; b s - p + \kappa - 1]$ with kernel $\kappa$,
# stride $s$ and padding $p$. Two things follow. A crop of the picture gives a position the same value as the
# whole picture only if it holds this range *and* begins on the grid of the strides (and the picture's own
# border stays a border): then the search for patches can run on crops, exactly. And a patch at the border is
# cut: it is smaller because it lies there, not because the map looks more closely.

# %% [markdown] tags=["instructor"]
# **Hint** Which inputs does output 0 of one padded layer read? Output 1? Then chain the layers, last first.
#
# **Marking** 2 points: one layer; 1 point: the order; 1 point: borders; 1 point: what a crop must respect.
#
# **Common mistakes** First layer first; padding added instead of subtracted; cut off at every layer's size
# although only the picture's is known.
#
# **Discuss** Zeros beyond the border are an edge that no picture has. What might a map make of it?
