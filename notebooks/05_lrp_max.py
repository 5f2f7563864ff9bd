# %% [markdown]
# # What a feature map looks for: LRP-max patches
#
# Omega gives names of feature maps. What do these maps *see*? This chapter looks up, for each of the
# strongest, the places in fakes of every generator where it is most excited, and shows exactly the pixels
# that excited it there.

# %% tags=["parameters"]
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

from tff_core import detectors, figures, lrp
from tff_core.book import explorer
from tff_core.claims import verdicts
from tff_core.features import atlas, ffrs, patches, pixels
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write

store = Store(build or None)
spec = detectors.get(detector, store)
device = (
    detectors.default_device() if device == "auto" else torch.device(device)
)
k = k or spec.k
n = min(n or 100, 100)
SHOWN, RANKS, CELL = (
    12,
    3,
    44,
)  # feature maps drawn, patches of each, side of a patch on this page

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
# **Code.** One pass over the pictures finds the positions for all maps; only there relevance is computed.
# Pictures are ranked by the activation, as a number. Beside the top-k stand as many maps that are *not*
# among them, from their layers.

# %%
nets, omega, groups = {}, {}, {}
for seed in seeds:
    model = detectors.load(detector, seed, store, device).model
    nets[seed] = lrp.canonize(model, bounds=spec.preprocessing.bounds)
    omega[seed] = ffrs.Omega.from_csv(store.omega(detector, seed), nets[seed])
    groups[seed] = {
        "top-k": omega[seed].top(k),
        "matched-k": omega[seed].matched(k, seed=0),
    }
fakes = {
    g: data.scan(store.data(spec.dataset, "test", g)).where(label=1, first=n)
    for g in generators
}
seed = seeds[0]  # the detector that is drawn
top = groups[seed]["top-k"][:SHOWN]

found = []
for generator, images in fakes.items():
    for s in seeds:
        group = {m: name for name, maps in groups[s].items() for m in maps}
        own = patches.find(
            nets[s], images, list(group), RANKS, keep=top if s == seed else (), device=device,
            preprocessing=spec.preprocessing,
        )  # fmt: skip
        own = patches.measure(
            own, spec.preprocessing
        )  # the chroma of each patch, for later
        own["group"] = own["map"].map(
            {str(m): name for m, name in group.items()}
        )
        found.append(
            own.assign(detector=detector, generator=generator, seed=s)
        )
found = pd.concat(found, ignore_index=True)

# %% tags=["hide-input"]
for generator, own in found.groupby("generator"):
    with atomic_write(store.part("patches", detector, generator)) as part:
        patches.tidy(own, store.data(spec.dataset, "test", generator)).to_csv(
            part, index=False
        )


def cut(row, overlaid=False):
    """The patch of one row of the table as a square picture of CELL pixels; black where there is none."""
    if row.box is None:
        return np.zeros((CELL, CELL, 3), dtype=np.uint8)
    picture = (
        spec.preprocessing.cut(data.read(row.path)).permute(1, 2, 0).numpy()
    )
    if overlaid:
        picture = pixels.overlay(
            picture[None], pixels.heat(pixels.in_place(row.patch)[None])
        )[0]
    return pixels.enlarge(picture, row.box, CELL)


def told(row):
    where = (
        "not active"
        if row.box is None
        else f"rows {row.box[0]}-{row.box[2] - 1}, columns {row.box[1]}-{row.box[3] - 1}"
    )
    rank = f"{figures.generator_name(row.generator)}, rank {row.rank + 1}: activation {row.activation:.2f}"
    return f"{row.map}<br>{rank}<br>{where}"


# %% [markdown]
# ## The collage
#
# Rows are the first feature maps by $\omega$, columns are generators. Every cell shows the patch of one
# fake, brought to one size without smoothing. The slider goes from the strongest picture of each map to the
# third strongest.

# %% tags=["hide-input"]
names = [str(m) for m in top]
drawn = found[(found["seed"] == seed) & found["map"].isin(names)]
indexed = {
    (row.map, row.generator, row.rank): row for row in drawn.itertuples()
}
ranks = range(
    int(drawn.groupby("generator")["rank"].max().min()) + 1
)  # a generator may have few fakes
frames = {
    str(rank + 1): np.array(
        [[cut(indexed[key, g, rank]) for g in generators] for key in names]
    )
    for rank in ranks
}
hover = {
    str(r + 1): [
        [told(indexed[key, g, r]) for g in generators] for key in names
    ]
    for r in ranks
}
columns = [figures.generator_name(g) for g in generators]
figures.show(
    figures.collage(
        frames, hover, dict.fromkeys(frames, names), columns,
        f"LRP-max patches of the first {len(names)} of the top {k} ({spec.title}, seed {seed}), strongest "
        f"of {n} fakes or fewer per generator. Hover a patch for its position and activation.",
        prefix="rank ",
    )
)  # fmt: skip

# %% tags=["hide-input"]
display(
    Markdown(
        f'Each of the top {k} has a card in the <a href="atlas.html">atlas</a>: its patches, how it responds '
        f"to colour, what is lost without it. Those above: {', '.join(atlas.link(m) for m in top)}."
    )
)

# %% [markdown]
# *How to read it.* If a row shows the same thing in all columns, its map responds to something that these
# generators share. A row of different things means a map that responds to something our eyes do not pick
# out at this size, or to several things.

# %% [markdown]
# ## One map at a time
#
# Choose a map. Each generator's three strongest fakes, each patch above its relevance: what is bright
# excited the map.

# %% tags=["hide-input"]
frames, hover, rows = {}, {}, {}
for key in names:
    grid, words = [], []
    for rank in ranks:
        for overlaid in (False, True):
            grid.append(
                [cut(indexed[key, g, rank], overlaid) for g in generators]
            )
            words.append([told(indexed[key, g, rank]) for g in generators])
    frames[key], hover[key] = np.array(grid), words
    rows[key] = [
        f"{what} {r + 1}" for r in ranks for what in ("patch", "relevance")
    ]
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
# whole picture it comes from? Is that more than for **other maps of the same layers**? And is it more than
# in boxes of the same size at **any place** of the same pictures?
#
# **Equation.** With $C = \sqrt{C_b^2 + C_r^2}$ the chroma of a pixel, the number is $\bar C_{\text{patch}}
# / \bar C_{\text{picture}}$: for each map the mean over its patches, then the mean over maps. Each of the
# top-k is compared with a partner from its own layer; an interval is over maps, and over detector seeds.

# %%
partners = {
    s: patches.pairs(own["top-k"], own["matched-k"])
    for s, own in groups.items()
}
chroma = pd.concat(
    [
        patches.chroma_table(found[found["generator"] == g], partners).assign(
            detector=detector, generator=g
        )
        for g in generators
    ]
)
pooled = chroma[chroma["seed"] == "all"]

# %% tags=["hide-input"]
for generator, own in chroma.groupby("generator"):
    with atomic_write(store.part("patch_chroma", detector, generator)) as part:
        own.to_csv(part, index=False)
figures.show(figures.patch_chroma(pooled))

# %% tags=["hide-input"]
GROUPS = {
    "top-k": "top-k", "matched-k": "layer-matched", patches.ANYWHERE: "any place",
    "top-k - matched-k": "top-k minus layer-matched", f"top-k - {patches.ANYWHERE}": "top-k minus any place",
}  # fmt: skip
table = pooled.set_index(["generator", "group"])
lines = [
    f"| generator | {' | '.join(GROUPS.values())} |",
    "|---" * (1 + len(GROUPS)) + "|",
]
for generator in generators:
    cells = [figures.generator_name(generator)]
    for group in GROUPS:
        row, sign = (
            table.loc[(generator, group)],
            "+" if " - " in group else "",
        )
        interval = f"{row.value:{sign}.2f} [{row.low:{sign}.2f}, {row.high:{sign}.2f}]"
        cells.append("none" if np.isnan(row.value) else interval)
    lines.append("| " + " | ".join(cells) + " |")


def sentence(group):
    rows = pooled[pooled["group"] == group]
    said = verdicts.side(rows["low"], rows["high"], seeds=rows["seeds"])
    known = rows[said != verdicts.MISSING]
    if known.empty:
        return "the claim is **not testable here**: no map has a patch"
    parts = []
    for word, meaning in (
        (verdicts.FOR, "above"),
        (verdicts.AGAINST, "below"),
    ):
        some = [
            figures.generator_name(g)
            for g in rows.loc[said == word, "generator"]
        ]
        parts.append(
            f"{meaning} zero on {len(some)}"
            + (f" ({', '.join(some)})" if some else "")
        )
    sides = (
        int((said == word).sum())
        for word in (verdicts.FOR, verdicts.AGAINST, verdicts.OPEN)
    )
    speak, against, rest = sides
    word = verdicts.claim_is(verdicts.word(speak, against=against, open_=rest))
    return f"the claim {word}: the whole interval lies {' and '.join(parts)} of {len(rows)} generators"


sizes = [
    int(pooled[pooled["group"] == g]["n_maps"].max())
    for g in ("top-k", "top-k - matched-k")
]
patchless = int(found["box"].isna().sum())
display(
    Markdown(
        "\n".join(lines)
        + "\n\n"
        + (
            f"Means over detector seeds {', '.join(map(str, seeds))}"
            if len(seeds) > 1
            else "One detector"
        )
        + f", 95 % intervals. Top-k: up to "
        f"{sizes[0]} maps ({len(seeds)} times {k}), {RANKS} patches each; up to {sizes[1]} of them have a "
        f"partner outside the top-k in their layer. {patchless} of {len(found):,} positions had no patch, "
        "because the map was not active anywhere in the picture.\n\n:::{admonition} Verdict: the patches "
        "of the top-k are colourful\n:class: important\n\n**More than those of other maps of their "
        f"layers**: {sentence('top-k - matched-k')}.\n\n**More than any place of their pictures**: "
        f"{sentence(f'top-k - {patches.ANYWHERE}')}.\n:::"
    )
)

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
net = nets[seed]
first = {g: images.paths[0] for g, images in fakes.items()}
layers = {}
for m in groups[seed]["top-k"]:
    layers.setdefault(m.layer, m)
chosen = list(layers.values())[:8]

if explorer.live():
    some = {
        f"{figures.generator_name(g)}: {path.name}": path
        for g, path in first.items()
    }
    display(
        explorer.widget(
            net, some, groups[seed]["top-k"], device, spec.preprocessing
        )
    )
else:
    looks = {
        m: [
            explorer.look(net, data.read(p), m, device, spec.preprocessing)
            for p in first.values()
        ]
        for m in chosen
    }
    figures.show(
        figures.collage(
            {str(m): explorer.rows(own) for m, own in looks.items()},
            {
                str(m): [[look.words() for look in own]] * 3
                for m, own in looks.items()
            },
            {str(m): ["picture", "relevance", "patch"] for m in looks},
            columns,
            "One fake of each generator: the picture, the relevance for one feature map's largest response "
            "in it, and the patch. The menu chooses the map, the first of its layer by omega.",
        )
    )

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
# - The control of the same layers says nothing about a layer whose maps *all* are among the top-k: there
#   are no others. The number of maps with a partner stands below the table.
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
