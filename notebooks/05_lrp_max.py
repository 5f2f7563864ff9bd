# %% [markdown]
# # What a feature map looks for: LRP-max patches
#
# Omega gives names of feature maps. What do these maps *see*? This chapter looks up, for each of the
# strongest, the places in fakes of every generator where it is most excited, and shows exactly the pixels
# that excited it there.

# %% tags=["parameters"]
detector = "resnet50-miniature"
generators = ["progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan"]
k = None  # how many feature maps count as top; None: the paper's number for this network
seeds = [0, 1, 2]  # the first one is shown
n = None  # fakes per generator to search; at most 100 are used here, so that the page takes minutes
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tff_core import color, data, detectors, ffrs, figures, lrp, maxima, pixels
from tff_core.names import FeatureMap
from tff_core.results import Store, atomic_write

store = Store(build or None)
spec = detectors.get(detector)
device = detectors.default_device() if device == "auto" else torch.device(device)
k = k or spec.k
n = min(n or 100, 100)
SHOWN, RANKS, CELL = 12, 5, 44  # feature maps, patches of each, side of a patch on this page

# %% [markdown]
# ## From the strongest position to a patch
#
# **Idea.** The strongest response of a feature map in a picture sits at one position. Start with relevance
# 1 there, and nowhere else, and hand it back to the pixels. What gets relevance is what excited the map.
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
# **Code.** One pass over the pictures finds the positions for all maps. Pictures are ranked by the
# activation, as a number.

# %%
seed = seeds[0]
net = lrp.canonize(detectors.load(detector, seed, store, device).model)
omega = ffrs.Omega.from_csv(store.omega(detector, seed), net)
top = omega.top(k)[:SHOWN]
control = omega.matched(k, seed=0)[:SHOWN]  # as many maps that are not among the top-k, from their layers
fakes = {g: data.scan(store.data(spec.dataset, "test", g)).where(label=1, first=n) for g in generators}

patches = []
for generator, images in fakes.items():
    batches = data.batches(images, 50, device=device)
    best = maxima.activation_max(net, batches, top + control, top=RANKS)
    for patch, row, col in zip(maxima.lrp_max(net, best), best.row.ravel(), best.col.ravel(), strict=True):
        box = patch.window()
        own = {"generator": generator, "patch": patch, "box": box, "path": images.paths[patch.image]}
        patches.append(own | {"map": str(patch.map), "rank": patch.rank, "row": int(row), "col": int(col)})
patches = pd.DataFrame(patches)

# %% tags=["hide-input"]
table = patches.assign(
    detector=detector,
    seed=seed,
    group=["top-k" if FeatureMap.parse(key) in top else "matched-k" for key in patches["map"]],
    activation=[patch.value for patch in patches["patch"]],
    path=[
        str(path.relative_to(store.data(spec.dataset, "test", g)))
        for path, g in zip(patches["path"], patches["generator"], strict=True)
    ],
    box=["" if box is None else " ".join(map(str, box)) for box in patches["box"]],
).drop(columns="patch")
for generator, own in table.groupby("generator"):
    with atomic_write(store.part("patches", detector, generator)) as part:
        own.to_csv(part, index=False)


def cut(row, overlaid=False):
    """The patch of one row of the table as a square picture of CELL pixels; black where there is none."""
    if row.box is None:
        return np.zeros((CELL, CELL, 3), dtype=np.uint8)
    picture = data.read(row.path).permute(1, 2, 0).numpy()
    if overlaid:
        picture = pixels.overlay(picture[None], pixels.heat(pixels.in_place(row.patch)[None]))[0]
    return pixels.enlarge(picture, row.box, CELL)


def told(row):
    where = (
        "not active"
        if row.box is None
        else f"rows {row.box[0]}-{row.box[2] - 1}, columns {row.box[1]}-{row.box[3] - 1}"
    )
    rank = f"{figures.generator_name(row.generator)}, rank {row.rank + 1}: activation {row.patch.value:.2f}"
    return f"{row.map}<br>{rank}<br>{where}"


# %% [markdown]
# ## The collage
#
# Rows are the first feature maps by $\omega$, columns are generators. Every cell shows the patch of one
# fake, enlarged to one size without smoothing. The slider goes from the strongest picture of each map to
# the fifth strongest.

# %% tags=["hide-input"]
indexed = {(row.map, row.generator, row.rank): row for row in patches.itertuples()}
names = [str(m) for m in top]
ranks = range(int(patches["rank"].max()) + 1)
frames = {
    str(rank + 1): np.array([[cut(indexed[key, g, rank]) for g in generators] for key in names])
    for rank in ranks
}
hover = {str(r + 1): [[told(indexed[key, g, r]) for g in generators] for key in names] for r in ranks}
columns = [figures.generator_name(g) for g in generators]
figures.show(
    figures.collage(
        frames, hover, dict.fromkeys(frames, names), columns,
        f"LRP-max patches of the first {len(names)} of the top {k} ({spec.title}, seed {seed}), strongest "
        f"of {n} fakes or fewer per generator. Hover a patch for its position and activation.",
        prefix="rank ",
    )
)  # fmt: skip

# %% [markdown]
# *How to read it.* If a row shows the same thing in all columns, its map responds to something that these
# generators share. A row of different things means a map that responds to something our eyes do not pick
# out at this size, or to several things.

# %% [markdown]
# ## One map at a time
#
# Choose a map. Each generator's five strongest fakes, each patch above its relevance: what is bright
# excited the map.

# %% tags=["hide-input"]
frames, hover, rows = {}, {}, {}
for key in names:
    grid, words = [], []
    for rank in ranks:
        for overlaid in (False, True):
            grid.append([cut(indexed[key, g, rank], overlaid) for g in generators])
            words.append([told(indexed[key, g, rank]) for g in generators])
    frames[key], hover[key] = np.array(grid), words
    rows[key] = [f"{what} {r + 1}" for r in ranks for what in ("patch", "relevance")]
figures.show(
    figures.collage(
        frames,
        hover,
        rows,
        columns,
        "Patches of one feature map, each above its relevance over a gray copy of the same patch. The menu "
        "chooses the map.",
    )
)

# %% [markdown]
# ## Are the patches colourful?
#
# **Idea.** {cite:t}`chandrasegaran2022` saw colour in such patches. Seeing is not counting: patches of
# *any* map lie where something is going on. So: how strong is the chroma inside a patch, compared with the
# whole picture it comes from, and is that more than for other maps of the same layers?
#
# **Equation.** With $C = \sqrt{C_b^2 + C_r^2}$ the chroma of a pixel, the number is $\bar C_{\text{patch}}
# / \bar C_{\text{picture}}$.


# %%
def chroma(path):
    values = color.ycbcr(data.read(path)[None])[0]
    return values[1:].norm(dim=0).numpy()


measured = []
for row in patches[patches["box"].notna()].itertuples():
    c = chroma(row.path)
    y0, x0, y1, x1 = row.box
    if c.mean() > 0:
        group = "top-k" if FeatureMap.parse(row.map) in top else "layer-matched"
        ratio = float(c[y0:y1, x0:x1].mean() / c.mean())
        measured.append({"group": group, "map": row.map, "generator": row.generator, "ratio": ratio})
measured = pd.DataFrame(measured)
per_map = measured.groupby(["group", "map"])["ratio"].mean()

# %% tags=["hide-input"]
lines = [
    "| maps | patches | chroma of the patch / of its picture: mean over maps | lowest map | highest map |",
    "|---|---|---|---|---|",
]
for group in ("top-k", "layer-matched"):
    own = per_map[group]
    count = int((measured["group"] == group).sum())
    lines.append(f"| {len(own)} {group} | {count} | {own.mean():.2f} | {own.min():.2f} | {own.max():.2f} |")
found = color.average(per_map["top-k"].to_numpy())
other = color.average(per_map["layer-matched"].to_numpy())
apart = found.low > other.high or other.low > found.high
empty = int(patches["box"].isna().sum())
display(
    Markdown(
        "\n".join(lines)
        + f"\n\nMean over maps with a 95 % interval over maps: top-k {found.value:.2f} [{found.low:.2f}, "
        f"{found.high:.2f}], layer-matched {other.value:.2f} [{other.low:.2f}, {other.high:.2f}]. The "
        "intervals "
        + (
            "do not overlap."
            if apart
            else "overlap: by this measure the patches of the top-k are no more colourful than those of "
            "other maps of their layers."
        )
        + f" {empty} of {len(patches)} positions had no patch because the map was not active anywhere in "
        f"the picture."
    )
)

# %% [markdown]
# ## Your own picture
#
# In JupyterLab (`make lab`) give the function any picture and any feature map. Here it looks at a picture
# of the test part.


# %%
def explore(path, key):
    """Show where in a picture a feature map is most excited, and by what."""
    one = data.normalize(data.read(path)[None]).to(device)
    best = maxima.activation_max(net, [one], [FeatureMap.parse(key)], top=1)
    patch = maxima.lrp_max(net, best)[0]
    picture = data.read(path).permute(1, 2, 0).numpy()
    pair = np.stack([picture, pixels.overlay(picture[None], pixels.heat(pixels.in_place(patch)[None]))[0]])
    words = f"{key}: activation {patch.value:.2f}, patch {patch.window()} (top, left, bottom, right)"
    figures.show(figures.pictures({"picture, relevance": pair}, {"picture, relevance": [words] * 2}, words))


explore(fakes[generators[0]].paths[0], names[0])

# %% [markdown]
# ## What it means, and what it does not
#
# - A patch shows what excites *this* map most. That rows look alike across generators is what
#   *transferable* means, as far as eyes can tell.
# - The strongest of many pictures are extremes. What a map does on ordinary pictures is the subject of the
#   chapter on colour-conditional maps.
# - A patch does **not** show that the map recognises fakes: the same map may be as excited by reals.
# - Patches of deep maps are nearly the whole picture, because their receptive field is. There the relevance
#   says more than the box.
# - Our eyes find patterns in any collage. The table of chroma is there because of that.

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
# Suppose a map's scale $\gamma$ is negative. Where is the largest output of the *convolution*, seen from
# the network that goes on with the *normalised* value? Which of the two should choose the position?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# It is where the normalised map is *smallest*: the sign turns round. The network goes on with the
# normalised value (and usually cuts it off below zero), so the position of its maximum is what excites the
# map. Here both the ranking of pictures and the position use the normalised value.
# ```
