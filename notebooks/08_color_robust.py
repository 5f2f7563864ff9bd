# %% [markdown]
# # Detectors that cannot rely on colour
#
# If a detector relies on colour, a gray picture takes something away from it. {cite:t}`chandrasegaran2022`
# draw a practical conclusion: train the detector so that colour alone does not help it. This chapter trains
# such a **colour-robust** twin (CR) and asks four things. Is it better than the universal detector on gray
# pictures? What does that cost it in colour? Do its top feature maps still respond to colour? And can it be
# broken in the same way, by dropping its top-k?

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
robust = "resnet50-miniature-cr"  # its colour-robust twin
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
seeds = [0, 1, 2]  # of the universal detector
robust_seeds = [0]  # of the twin
n = None  # pictures per label and generator, at most 60; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import detectors, figures, published
from tff_core.book.chapter import Chapter, places, say
from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.claims.texts import robust as texts
from tff_core.features import color_conditional, color_robust, patches, pixels
from tff_core.pictures import data

if not robust:
    raise ValueError(
        f"{detector} has no colour-robust twin to compare with: "
        "name one as the parameter `robust`"
    )
own = {"k": k, "device": device, "build": build}
models = {
    "universal": Chapter(detector, generators, seeds, **own),
    "color-robust": Chapter(robust, generators, robust_seeds, **own),
}
chapter, twin = models.values()
k = chapter.k
n = min(n, 60) if n else None
both = [s for s in seeds if s in robust_seeds]  # compared seed by seed
images = {g: chapter.test(g, first=n) for g in generators}
names = [figures.generator_name(g) for g in generators]

# %% [markdown]
# ## The same training, half of it in gray
#
# **Idea.** Turn every training picture gray with probability one half. Information carried by colour alone is
# then missing half of the time, and the detector has to find something else as well.
#
# **Equation.** With $\ell$ the loss of a picture $x$ with label $y$, training minimises
#
# $$
# \mathbb{E}\Bigl[\tfrac{1}{2}\,\ell\bigl(f(x), y\bigr) +
# \tfrac{1}{2}\,\ell\bigl(f(\operatorname{gray}(x)), y\bigr)\Bigr]
# $$
#
# instead of $\mathbb{E}\,\ell(f(x), y)$. Validation pictures stay in colour. (In the paper's code they too
# are turned gray at random.)
#
# **Controls.** A twin trained here with a given training seed starts from the same weights as the universal
# detector of that seed, and sees the same pictures in the same order with the same blur, JPEG and flips; only
# the gray is new. So the two are compared **seed by seed, where both exist**. For a twin trained elsewhere
# none of this is known.
#
# **Code.** The test pictures in colour were scored for the chapter on sensitivity; here the same pictures go
# through both detectors in gray. The bootstrap then draws the same pictures for all four.

# %%
measured = []
for generator, some in images.items():
    logits = {}
    for model, one in models.items():
        gray = one.batches(some, 60, data.grayscale)
        logits[model] = {
            "color": color_robust.in_color(one.scores(generator), some),
            "gray": {s: detectors.logits(one.net(s), gray) for s in one.seeds},
        }
    table = color_robust.robustness(some.labels, *logits.values())
    who = {"detector": detector, "twin": robust, "generator": generator}
    measured.append(table.assign(**who))
measured = pd.concat(measured, ignore_index=True)

# %% tags=["remove-input"]
chapter.save("color_robust", measured)
paper = texts.paper_ap()
arch = chapter.spec.arch
figures.show(figures.robust_ap(measured, paper[paper["architecture"] == arch]))
figures.show(figures.robust_differences(measured))
say(texts.verdict(measured, seeds, robust_seeds))

# %% [markdown]
# The rule: a generator speaks for the claim if the whole interval of the paired difference on gray pictures
# lies above zero, against it if below; {doc}`the verdicts </notebooks/10_verdicts>` explain how the verdict
# follows. The cost in colour is reported by the same rule but plays no part in the verdict.
#
# **All numbers, beside the paper's.** The paper has one table for each of its networks, for one detector each
# and without intervals. Unfold for all; the measured columns are at the network of this page.

# %% tags=["remove-input"]
titles = {a: detectors.ARCHITECTURES[a].title for a in published.K}
titles |= {arch: chapter.spec.title}
tables = texts.beside_paper(measured, paper, generators, arch, titles)
say(base.folded("All numbers, in colour and in gray", tables))

# %% [markdown]
# ## Do its maps still respond to colour?
#
# **Idea.** The same test as in the last chapter, before and after: the share of **colour-conditional** maps
# among the top-k (Mood's median test of the maximum activation, colour against gray, at 5 %). Each detector
# has its own top-k and its own layer-matched control. The same fakes in both.
#
# **Interval.** As there: shares are measured on random halves of the pictures; how much two halves differ
# shows how much a share varies. The number of pictures is the same everywhere, because a share without its
# $n$ says little.

# %%
DRAWS = 20  # sets of the layer-matched control


def compared(omega):
    """The maps that are tested: the top-k and its control."""
    control = [omega.matched(k, draw) for draw in range(DRAWS)]
    return {"top-k": [omega.top(k)], "matched-k": control}


fakes = {g: some.where(label=1) for g, some in images.items()}
groups = {
    (model, seed): compared(one.omega(seed))
    for model, one in models.items()
    for seed in both
}
shares = []
for generator, some in fakes.items():
    samples = {model: [] for model in models}
    for (model, seed), own in groups.items():
        one = models[model]
        pair = one.batches(some), one.batches(some, transform=data.grayscale)
        samples[model].append(
            color_conditional.sample(one.net(seed), *pair, own)
        )
    table = color_robust.before_after(*samples.values(), splits=40)
    who = {"detector": detector, "twin": robust, "generator": generator}
    shares.append(table.assign(**who))
shares = pd.concat(shares, ignore_index=True)

# %% tags=["remove-input"]
chapter.save("color_robust_share", shares)
old = texts.paper_shares(arch)
figures.show(figures.robust_shares(shares, old))
sizes = [len(own["matched-k"][0]) for own in groups.values()]
say(texts.shares(shares, old, generators, k, both, DRAWS, sizes))

# %% [markdown]
# If the share falls for the controls as much as for the top-k, or more, the *whole network* has turned away
# from colour, and nothing specific has happened to the maps that carry the decision. The switch in the figure
# shows the two changes side by side.

# %% [markdown]
# ## What its maps look for
#
# **Idea.** The LRP-max patches of chapter *What a feature map looks for*, now for the colour-robust
# detector: for each of its first maps by $\omega$, the place in the fakes of every generator where it is
# most excited. The menu also has the universal detector of the same training seed.

# %%
ROWS, RANKS, CELL = 8, 3, 44  # maps shown, their patches, side of a patch
seed, found = both[0], []
for model in reversed(models):
    one = models[model]
    top, other = (sets[0] for sets in groups[model, seed].values())
    # for each map one of its own layer that is not in the top-k
    partner = dict(patches.pairs(top, other))
    group = dict.fromkeys(top[:ROWS], "top-k")
    group |= {partner[m]: "matched-k" for m in top[:ROWS] if m in partner}
    group_of = {str(m): name for m, name in group.items()}
    own = {"device": one.device, "preprocessing": one.spec.preprocessing}
    for generator, some in fakes.items():
        seen = patches.find(one.net(seed), some, list(group), RANKS, **own)
        seen = patches.measure(seen, one.spec.preprocessing)
        who = {"model": model, "generator": generator}
        found.append(seen.assign(group=seen["map"].map(group_of), **who))
found = pd.concat(found, ignore_index=True)

# %% tags=["remove-input"]
frames, hover, labels = {}, {}, {}
top = found[found["group"] == "top-k"]
for model, own in top.groupby("model", sort=False):
    title, seen = texts.spoken(model), models[model].spec.preprocessing
    rows = patches.strongest(own, generators)
    labels[title] = [m.split("(")[0].replace(".#", "<br>#") for m in rows]
    cells = [
        [pixels.thumbnail(row.path, row.box, CELL, seen) for row in line]
        for line in rows.values()
    ]
    frames[title] = np.array(cells)
    hover[title] = [list(map(texts.patch, line)) for line in rows.values()]
most = max(map(len, fakes.values()))
text = texts.patches(len(rows), k, chapter.spec.title, seed, most)
figures.show(figures.collage(frames, hover, labels, names, text))
first = next(iter(groups["universal", seed].values()))[0][:ROWS]
first = first if seed == seeds[0] else []  # of which the atlas speaks
say(places("The universal detector's maps in the atlas", first))

# %% [markdown]
# **Measuring colour.** $\bar C_{\text{patch}} / \bar C_{\text{picture}}$, the mean chroma of a patch over
# that of its picture, for each map the mean over its patches.

# %% tags=["remove-input"]
per_map, means = color_robust.chroma_means(found)
if len(means):
    figures.show(figures.chroma_ratios(per_map, means))
say(texts.chroma(means, found, seed))

# %% [markdown]
# ## Can it be broken in the same way?
#
# **Idea.** Feature-map dropout as in the chapter on sensitivity, in the colour-robust detector, with *its*
# ranking: its top-k held constant, against as many random maps of the same layers.

# %% tags=["remove-input"]
# of these generators alone: another one changes nothing here
parts = verdicts.Parts(chapter.store.root)
contrast = verdicts.read(parts, "contrast", robust, generators)
shown = contrast["seed"].astype(str).isin(["all", *map(str, robust_seeds)])
figures.show(figures.forest(contrast[shown]))
summary = {}
for model, some in (("universal", both), ("color-robust", robust_seeds)):
    name = models[model].detector
    table = verdicts.read(parts, "sensitivity", name, generators)
    summary[model] = verdicts.summarize(table[table["seed"].isin(some)])
say(texts.broken(contrast, summary, generators, k, seeds, both))

# %% tags=["remove-input"]
tops = {key: set(own["top-k"][0]) for key, own in groups.items()}
common = {s: len(tops["universal", s] & tops["color-robust", s]) for s in both}
omega = chapter.omega(both[0])
say(texts.in_common(common, k, len(omega), not twin.spec.external))

# %% [markdown]
# The rule is that of the chapter on sensitivity: a generator speaks for the claim if the whole interval of
# top-k minus layer-matched lies below zero, against it if above.

# %% [markdown]
# ## What it means, and what it does not
#
# - If the twin keeps its AP in gray, what it needs is also in the luma. It does **not** mean that the
#   universal detector *used* colour for its decisions: it may have failed in gray because gray was new to it.
#   The chapter on colour ablation has a test without gray pictures.
# - A lower share of colour-conditional maps means that fewer maps *respond* to the change. It does not mean
#   that the detector is blind to colour. *Robust* means robust to gray; no other change was tested.
# - Random grayscaling is also simply augmentation, and augmentation alone may help on unseen generators. A
#   control with another augmentation of the same strength is missing here, as it is in the paper.
# - On the miniature many reals have little colour to begin with (the {doc}`data card </notebooks/data_card>`
#   says how much), so gray is less unusual here than for photographs.

# %% [markdown]
# ```{exercise} Gray in validation
# The paper's code grays validation pictures at random too, and uses their accuracy for early stopping. What
# can that change, compared with validation in colour? For which detector of this chapter would it matter?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Early stopping then waits until *gray* pictures are well classified too, and a threshold calibrated on such
# pictures lies between what colour and gray would need. Here nothing stops early, and AP needs no
# threshold; the calibrated threshold of the colour-robust detector would be the one to change.
# ```
#
# ```{exercise} Better than the universal detector in colour?
# On coloured pictures of an unseen generator, can a detector trained half in gray beat one that always saw
# colour? Name a reason for it and one against it.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# For: colour traces of ProGAN may be absent, or reversed, in another generator; a detector that does not
# trust them is not misled. Against: it has seen half as many coloured pictures in the same number of steps,
# and where colour does transfer it has given something away. The figure of differences and the row
# *difference, color* of the table show which of the two it was.
# ```
