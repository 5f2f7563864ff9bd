# %% [markdown]
# # Atlas of the top feature maps
#
# A card for each of the feature maps with the largest omega: where it is most excited, how it responds to
# colour, and what the detector loses without it alone. Search and sort them; every map that a chapter names
# can be looked up here.

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
k = None  # how many feature maps count as top; None: the paper's number for this network
seeds = [0, 1, 2]  # the first one is shown
n = None  # fakes per generator to search; at most 100 are used here, so that the page takes minutes
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display

from tff_core import detectors, figures, lrp
from tff_core.features import atlas, color_conditional, ffrs, patches, pixels
from tff_core.pictures import data
from tff_core.store.results import Store, read_json

store = Store(build or None)
spec = detectors.get(detector, store)
device = (
    detectors.default_device() if device == "auto" else torch.device(device)
)
k = k or spec.k
n = min(n or 100, 100)
seed = seeds[0]
RANKS, CELL = 2, 24  # patches of a map and generator, and their side
FAKES, REALS = 6, 3  # pictures of each generator behind the effect of one map

# %% [markdown]
# ## What a card says
#
# **Idea.** A feature map is known by what excites it, by how it takes a change of the picture, and by what
# is missing without it. Each is one number here, with the pictures behind it.
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

# %%
model = detectors.load(detector, seed, store, device).model
net = lrp.canonize(model, bounds=spec.preprocessing.bounds)
omega = ffrs.Omega.from_csv(store.omega(detector, seed), net)
top = omega.top(k)
names = [str(m) for m in top]

counted = read_json(store.omega(detector, seed).with_suffix(".json"))


def batches(images, size=25, turned=None):
    """Batches of one picture size each, as the detector wants them."""
    return data.batches(
        images,
        size,
        device=device,
        transform=turned,
        preprocessing=spec.preprocessing,
    )


ranked = data.scan(store.data(spec.dataset, "val", "progan")).where(
    label=1, first=counted["seen"]
)
shares = atlas.means(
    atlas.omega_samples(net, batches(ranked), top, counted["count"])
)

some = [
    data.scan(store.data(spec.dataset, "test", g)).where(
        label=label, first=count
    )
    for g in generators
    for label, count in ((1, FAKES), (0, REALS))
]
labels = np.concatenate([images.labels for images in some])
effects = atlas.single_dropout(
    net, [batch for images in some for batch in batches(images)], top
)

# %% [markdown]
# Patches, activations and tests of colour are those of the chapters on patches and on colour-conditional
# maps, of the same fakes.

# %%
fakes = {
    g: data.scan(store.data(spec.dataset, "test", g)).where(label=1, first=n)
    for g in generators
}
found, values, tests = {}, {"color": [], "gray": []}, {}
for generator, images in fakes.items():
    found[generator] = patches.find(
        net,
        images,
        top,
        RANKS,
        device=device,
        preprocessing=spec.preprocessing,
    )
    plain, gray = batches(images, 50), batches(images, 50, data.grayscale)
    sample = color_conditional.sample(net, plain, gray, {"top-k": [top]})
    values["color"].append(sample.color)
    values["gray"].append(sample.gray)
    tests[generator] = color_conditional.conditional(sample.color, sample.gray, top).set_index("map")[
        "p_mood"
    ]
values = {kind: np.concatenate(parts) for kind, parts in values.items()}
p = pd.DataFrame(tests)

# %% tags=["hide-input"]
place = {layer: i for i, layer in enumerate(net.layers)}
table = pd.DataFrame(
    {
        "map": names,
        "place": [place[m.layer] for m in top],
        "omega": [omega[m] for m in top],
        "omega_low": shares[:, 1],
        "omega_high": shares[:, 2],
        "p": p.median(axis=1).to_numpy(),
        "conditional": (p <= color_conditional.ALPHA).sum(axis=1).to_numpy(),
    }
).join(effects)


def cut(row):
    if row.box is None:
        return np.zeros((CELL, CELL, 3), dtype=np.uint8)
    whole = spec.preprocessing.cut(data.read(row.path))
    return pixels.enlarge(whole.permute(1, 2, 0).numpy(), row.box, CELL)


cells = {
    (row.map, g, row.rank): cut(row)
    for g, own in found.items()
    for row in own.itertuples()
}
ranks = range(min(RANKS, *(len(images) for images in fakes.values())))
sheets = {
    m: atlas.sheet([[cells[m, g, r] for g in generators] for r in ranks])
    for m in names
}
drawings = {
    m: atlas.histograms(values["color"][:, i], values["gray"][:, i])
    for i, m in enumerate(names)
}
details = pd.concat(
    pd.DataFrame(
        {
            "map": own["map"],
            "generator": figures.generator_name(g),
            "activation": own["activation"],
            "where": [
                "not active"
                if b is None
                else f"{b[0]}-{b[2] - 1}, {b[1]}-{b[3] - 1}"
                for b in own["box"]
            ],
            "picture": [path.name for path in own["path"]],
            "p": p.loc[own["map"], g].to_numpy(),
        }
    )
    for g, own in ((g, own[own["rank"] == 0]) for g, own in found.items())
)

# %% tags=["hide-input"]
count, fake = len(values["color"]), int(labels.sum())
display(
    Markdown(
        f"**{spec.title}**, detector seed {seed}, top {k}. *Patches*: the {len(ranks)} strongest of {n} "
        "fakes or fewer of each generator, enlarged without smoothing; an empty place is a map that is not "
        f"active. *Histogram*: the largest activation in each of {count} fakes, filled in colour, the line "
        f"in gray. *ω*: with a 95 % interval over the {counted['count']} fakes of the validation part that "
        "the ranking has seen. *p*: Mood's test, colour against gray, uncorrected, the median over "
        "generators, and on how many it is at most 0.05. *Dropped*: by how much the mean logit of fakes, "
        f"and the AP, change when the map alone is dropped; {fake} fakes and {len(labels) - fake} reals of "
        "the test part, of all "
        "generators; 95 % interval over the fakes."
    )
)

# %% tags=["hide-input"]
shown = [figures.generator_name(g) for g in generators]
display(HTML(atlas.page(table, sheets, drawings, details, shown)))

# %% [markdown]
# ## What it means, and what it does not
#
# - The cards are sorted by omega at first. Sort by effect to see how differently the two can rank.
# - A map whose removal alone changes little is **not** one without influence: others may stand in for it.
#   The chapter on sensitivity drops all of them at once.
# - The effect is measured on few pictures; it tells large from small, not the first from the second.
# - The interval of omega is over pictures. It does not mean that another training would give this map this
#   omega: another detector seed has other maps.
# - With many maps some p are small by chance; see the false discovery rate in the chapter on
#   colour-conditional maps.

# %% [markdown]
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
