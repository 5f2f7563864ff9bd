# %% [markdown]
# # Patch classifiers
#
# A universal detector looks at a whole picture and gives one answer. Cut the network off early, and it
# becomes a crowd of small judges: every cell of its map sees a patch of a few dozen pixels and says of that
# patch alone whether it is fake. {cite:t}`chai2020` found that such **patch classifiers** carry over to
# generators that they have not seen, and that they show *where* a picture gives itself away. This chapter
# trains them and asks what becomes of their average; {doc}`the next one </notebooks/12_heatmaps>` looks at
# their maps.

# %% tags=["parameters", "remove-input"]
networks = ["xception_block2"]
patch_seeds = [0, 1, 2]
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
detectors_shown = ["resnet50-miniature"]
experiments = []  # what the build has asked besides: "parity", "variants"
dataset = "miniature"
n = None  # pictures per label and generator; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import detectors, figures, intervals, localization
from tff_core.book.chapter import save, say
from tff_core.claims.texts import where as texts
from tff_core.localization import evaluation, receptive, variants, weights
from tff_core.pictures import data
from tff_core.store.results import Store, read_json

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device

# %% [markdown]
# ## A network cut short
#
# **Idea.** The deeper a layer, the more of the picture each of its cells has seen: its **receptive field**.
# A layer with kernel $k$ and stride $s$, after layers whose cells are $j$ pixels apart, widens the field by
# $(k - 1)\,j$ and multiplies the distance by $s$. Whoever cuts the network after an early block and puts a
# linear layer with two outputs on every cell has a classifier that *cannot* use more than a patch.
#
# **Equation.** Each cell $c$ has logits $\ell_c \in \mathbb{R}^2$. In training it answers for its picture
# alone, with the picture's label $y$; tested, the cells are joined:
#
# $$
# L = -\frac{1}{|C|} \sum_{c \in C} \log \operatorname{softmax}(\ell_c)_y, \qquad
# P(\text{fake}) = \frac{1}{|C|} \sum_{c \in C} \operatorname{softmax}(\ell_c)_{\text{fake}} .
# $$
#
# **Code.** `localization.field` has the receptive field in closed form, for every network.

# %%
nets, seen = {}, {}
for network in networks:
    paths = [store.patches(network, seed) for seed in patch_seeds]
    nets[network] = [localization.load(path).to(device) for path in paths]
    seen[network] = weights.preparation(paths[0])

example = data.scan(store.data(dataset, "val", "progan")).paths[0]
size = tuple(data.read(example).shape[-2:])
rows = receptive.summary({name: nets[name][0] for name in networks}, size)

# %% tags=["remove-input"]
say(texts.networks(rows))

# %% [markdown]
# ## Training
#
# The recipe is the published one: Adam, pairs of reals and fakes, cells that all learn their picture's
# label, the epoch chosen by the share of validation's cells that are right. Two things differ. The networks
# see fine differences of luma and chroma, brought to one contrast, which networks learn from much sooner
# than from plain pixels ({doc}`the design log </book/design_log>`), and they are trained for two epochs of
# the miniature, not for hundreds of a large data set.

# %% tags=["remove-input"]
best = {
    network: [
        read_json(store.patches(network, seed).with_suffix(".json"))["best"]
        for seed in patch_seeds
    ]
    for network in networks
}
say(texts.trained(best))

# %% [markdown]
# ## Cells together
#
# **Idea.** A single cell sees little and errs often; the mean over all cells sees the whole picture, without
# any cell having seen it. How much is that worth? Score every cell by itself, with its picture's label, and
# compare. Cells of one picture are not independent, so a resample draws pictures with all of their cells.


# %%
def test(generator):
    """Test pictures of one generator, and their labels."""
    images = data.scan(store.data(dataset, "test", generator)).where(first=n)
    return images, np.array(images.labels)


def scores(images):
    """Of each network the mean of the softmax, (S, N), and its cells."""
    found = {}
    for network, some in nets.items():
        margins = np.stack(
            [
                evaluation.cells(net, images, seen[network], device=device)
                for net in some
            ]
        ).reshape(len(some), len(images), -1)
        found[network + texts.ONE] = margins
        found[network] = localization.probability(margins).mean(2)
    return found


# %%
found, tables = {}, []
for generator in generators:
    images, labels = test(generator)
    found[generator] = scores(images)
    rows = intervals.compare_ap(labels, found[generator])
    tables.append(rows.assign(generator=generator))
table = pd.concat(tables, ignore_index=True)

# %% tags=["remove-input"]
titles = {}
for network in networks:
    name = texts.spoken(network, localization.field(network).size)
    titles[network] = f"{name}, mean"
    titles[network + texts.ONE] = f"{name}, one cell"
first = dict(list(titles.items())[:2])
figures.show(
    figures.compared(
        table,
        first,
        "Average precision of the mean over a picture's cells, and of "
        "single cells.",
    )
)
say(texts.averaging(table, networks))

# %% [markdown]
# ## Beside whole networks
#
# Do limited receptive fields carry over *better*? The universal detectors of this book are trained on the
# same pictures, longer, and from features of a network that knows scenes; they see all of a picture. On the
# generator that all were trained on there is nothing to learn about that; on the others the AP of both is
# compared picture by picture and seed by seed.


# %%
def logits(detector, generator):
    """Of the whole detector on the same pictures, (S, N), as it was scored."""
    rows = pd.read_csv(store.scores(detector, generator))
    rows = rows[rows["condition"] == "baseline"]
    images, _ = test(generator)
    names = [path.relative_to(images.root).as_posix() for path in images.paths]
    wide = rows.pivot(index="image", columns="seed", values="logit")
    return wide.loc[names].to_numpy().T


tables = [table]
for detector in detectors_shown:
    for generator in generators:
        whole = logits(detector, generator)
        pairs = min(len(whole), len(patch_seeds))
        both = {name: found[generator][name][:pairs] for name in networks}
        rows = intervals.compare_ap(
            test(generator)[1],
            {detector: whole[:pairs], **both},
        )
        about = rows["name"].str.contains(detector, regex=False)
        tables.append(rows[about].assign(generator=generator))
table = pd.concat(tables, ignore_index=True)
table = table[["generator", *table.columns.drop("generator")]]

# %% tags=["remove-input"]
shown = {}
for name in detectors_shown:
    arch = detectors.get(name, store).arch
    shown[name] = f"{detectors.architecture(arch).title}, whole"
shown |= {name: titles[name] for name in networks}
figures.show(
    figures.compared(
        table,
        shown,
        "Average precision of whole networks and of patch classifiers on "
        "the same pictures.",
    )
)
save(store, "patch_classifiers", table)
say(texts.transfer(table, networks, {n: shown[n] for n in detectors_shown}))

# %% [markdown]
# ## Prepared alike?
#
# Reals come in the format that they were found in, fakes in one that was chosen. {cite:t}`chai2020` report
# that a mere difference in resizing made their classifiers look better than they were, on generators that
# they had not seen, too. That can be repeated.
#
# **Idea.** First, no fakes at all: *reals* against *reals*, of which one half is resized with another kernel,
# goes through another size and back, or through a JPEG. There is nothing to detect. Then true fakes, twice:
# with reals that went the fakes' way, and with reals that went another.

# %%
if "parity" in experiments:
    reals, fakes = (
        pd.concat(
            pd.read_csv(store.part("parity", what, f"s{seed}"))
            for seed in patch_seeds
        )
        for what in ("reals", "fakes")
    )

# %% tags=["remove-input"]
if "parity" in experiments:
    say(texts.prepared(reals), texts.parity(fakes))
    save(store, "parity_reals", reals)
    save(store, "parity", fakes)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## Which fakes to learn from?
#
# A sample of a generator shows something that no photograph shows, and a classifier might go by that.
# {cite:t}`chai2020` also train on **inversions**: of each real, the picture that a generator can make most like
# it. Real and fake then show the same.
#
# **Idea.** The miniature's autoencoder encodes and decodes every real. One network is trained three times: on
# samples of ProGAN, on inversions, and on half of each, with the same reals and as many pictures and steps. It
# is tested on held-out samples, on inversions of held-out reals, and on families that it has never seen.

# %%
if "variants" in experiments:
    scored = pd.concat(
        pd.read_csv(store.part("variants", "scores", f"s{seed}"))
        for seed in patch_seeds
    )
    learnt = variants.compare(scored)

# %% tags=["remove-input"]
if "variants" in experiments:
    say(texts.variants(learnt, scored["network"].iloc[0]))
    save(store, "variants", learnt)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# A generator speaks for a claim if the whole interval of the difference lies above zero, against it if
# below; {doc}`the verdicts </notebooks/10_verdicts>` explain how the word follows.
#
# ## What it means, and what it does not
#
# - If patches of a few dozen pixels are enough, then what carries over is **local**: it does not need objects
#   or their arrangement.
# - The comparison is not one of receptive fields alone. Whole networks have other layers, other training and
#   another start. What the field itself does is asked where the trace is known:
#   {doc}`What patches see </notebooks/13_what_patches>`.
# - A cell's input is scaled by the contrast of the whole picture: one number comes from beyond its field.
# - Samples come from ProGAN and inversions from an autoencoder, so they differ in their traces, too. And the
#   held-out inversions come from the very weights of the training, the held-out samples from another ProGAN.
#
# ```{exercise} How far a cell sees
# A convolution of 3 x 3 pixels with stride 2, then one of 3 x 3 with stride 1, then a pooling of 3 x 3 with
# stride 2. How many pixels does a cell see, and how far apart are two neighbours?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# The field grows from 1 to $1 + 2 \cdot 1 = 3$, the distance to 2; then to $3 + 2 \cdot 2 = 7$, at distance
# 2; then to $7 + 2 \cdot 2 = 11$, at distance 4: 11 pixels, 4 apart.
# ```
#
# ```{exercise} Averages before and after
# The mean of the logits and the mean of the probabilities need not rank pictures alike. Find the logits of two
# pictures with two cells each whose order differs, and say which of them a single very sure cell decides.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Logits of being fake $(9, -5)$ and $(1, 1)$: the means of the logits are 2 and 1, those of the probabilities
# about 0.50 and 0.73. Before the softmax one very sure cell outweighs the others; after it, it counts as one
# of two.
# ```
#
# ```{exercise} What a pair still gives away
# A real and its inversion show the same. By what can they be told apart without any trace of upsampling, and
# which experiment of this chapter would notice?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# By what a small latent cannot hold. Fine detail is lost, as in a resize, so an inversion is smoother than its
# real. *Prepared alike?* asks single statistics of the pixels before any training, detail among them.
# ```
