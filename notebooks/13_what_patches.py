# %% [markdown]
# # What do the patches show?
#
# A patch classifier can be asked for the patches that it is most sure of. This chapter cuts them out, sorts
# them by what they show, and compares with chance; then it turns round and asks, with traces that are
# planted, how large a patch has to be.

# %% tags=["parameters", "remove-input"]
networks = ["xception_block2"]
patch_seeds = [0, 1, 2]
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
experiments = []  # what the build has asked besides: "law", "adaptive"
law_networks = ["xception_block1", "xception_block2"]
adapted = ["progan"]  # generators that were trained on
dataset = "miniature"
n = None  # pictures per label and generator; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import detectors, figures, localization
from tff_core.book.chapter import save, say
from tff_core.claims.texts import where as texts
from tff_core.localization import (
    clusters,
    law,
    predictive,
    segmenters,
    weights,
)
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device
network = networks[0]
paths = [store.patches(network, seed) for seed in patch_seeds]
nets = {
    s: localization.load(p).to(device)
    for s, p in zip(patch_seeds, paths, strict=True)
}
seen = weights.preparation(paths[0])
title = texts.spoken(network, localization.field(network).size)


# %% [markdown]
# ## The most predictive patches
#
# **Idea.** Of each picture take the cell that speaks most clearly for the picture's class, and cut out what
# this cell sees. The best of these, over all pictures, show what the classifier has learnt to look for.
#
# **Equation.** Of picture $i$ with label $y$ the cell is $c_i = \arg\max_c \; \ell_{c,y} - \ell_{c,\bar y}$.
# Probabilities would round to one; differences of logits do not.
#
# **Code.** Ties are broken by the seed alone, so the patches do not depend on batches.


# %%
def best(seed, generator, label, count):
    images = data.scan(store.data(dataset, "test", generator)).where(first=n)
    patches = predictive.find(
        nets[seed], images, label, count, seen, device=device
    )
    return images, patches


rows, values = {}, {}
for generator in generators:
    _, patches = best(patch_seeds[0], generator, 1, 8)
    name = figures.generator_name(generator)
    rows[name] = patches.shown()
    values[name] = [f"logit {v:.1f}" for v in patches.logit]
_, patches = best(patch_seeds[0], generators[0], 0, 8)
rows["reals"] = patches.shown()
values["reals"] = [f"logit {v:.1f}" for v in patches.logit]

# %% tags=["remove-input"]
figures.show(
    figures.pictures(
        rows,
        values,
        f"The patches that {title} is most sure of: of fakes of each "
        "generator, and of reals. Where a cell sees beyond the border the "
        "patch is gray.",
    )
)

# %% [markdown]
# ## Sorted, and compared with chance
#
# **Idea.** A program has drawn the scenes of the miniature, so it is known what each pixel shows. A patch
# belongs to the category of which it holds the largest share of all that the picture has, so that small
# things are not lost in large ones. Are the most predictive patches on walls, or sky, or window frames?
#
# **Control.** {cite:t}`chai2020` compare with one random patch of each picture. Here the random cells of the
# same pictures are drawn ten thousand times, which gives every category a p-value, corrected for the number
# of categories (Holm). Fakes that blend two scenes have no segmentation; only families that keep the layout
# of their source can be asked.

# %%
sorted_ones = []
for generator in generators:
    images = data.scan(store.data(dataset, "test", generator)).where(first=n)
    known = segmenters.Scenes(images)
    for seed in patch_seeds:
        _, patches = best(seed, generator, 1, len(images))
        try:
            found = clusters.sort(patches, known, seen)
        except clusters.NoCategory:
            continue
        sorted_ones.append(found.table.assign(generator=generator, seed=seed))
table = pd.concat(sorted_ones, ignore_index=True) if sorted_ones else None

# %% tags=["remove-input"]
if table is None:
    say(texts.NO_SCENES)
else:
    figures.show(
        figures.patch_categories(table[table["seed"] == patch_seeds[0]])
    )
    order = ["generator", "seed", "category"]
    table = table[[*order, *(c for c in table if c not in order)]]
    save(store, "patch_categories", table)
    say(texts.spread(table))

# %% [markdown]
# ## How large must a patch be?
#
# **Idea.** Generators leave traces of unknown size. So plant one of known size: a wave of a given period and
# amplitude in the luma of photographs, and nothing else. Networks of several receptive fields are trained on
# pictures whose waves have all periods, mixed, and tested on each period alone.
#
# **What to expect.** A wave can be told from a patch that is smaller than its period, as a slope; but a slope
# looks like much that a photograph has anyway. So short periods should be found by every field, long ones
# better by wide fields; and the *place* of a trace is blurred by a field that is wider than the region.

# %%
if "law" in experiments:
    waves = pd.concat(
        pd.read_csv(store.part("law", one, "planted")) for one in law_networks
    )
    summary = law.summary(waves) if len(law_networks) > 1 else None

# %% tags=["remove-input"]
if "law" in experiments:
    fields = {one: localization.field(one).size for one in law_networks}
    names = {one: texts.spoken(one, size) for one, size in fields.items()}
    figures.show(figures.field_law(waves, names))
    if summary is not None:
        say(texts.law(summary, fields))
    save(store, "law", waves)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## A generator that fights back
#
# **Idea.** Whoever knows the classifier can train a generator against it. So a trained generator is trained
# on, against its critics as before and against a patch classifier that stays as it is: its fakes are to look
# real to every cell. Then the same classifier judges fakes of the same scenes from before and after, and a
# new one is trained on the fakes from after.
#
# **Control.** Training on changes fakes anyway. A second copy of the generator is trained on as long, without
# the classifier; only what is beyond that is due to the attack.

# %%
if "adaptive" in experiments:
    fought = pd.concat(
        pd.read_csv(store.part("adaptive", one, f"s{seed}"))
        for one in adapted
        for seed in patch_seeds
    )

# %% tags=["remove-input"]
if "adaptive" in experiments:
    say(texts.outlived(fought))
    save(store, "adaptive", fought)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## What it means, and what it does not
#
# - What the most predictive patches show is not what the classifier *needs*. Elsewhere in the picture there may
#   be patches nearly as good; {doc}`the maps </notebooks/12_heatmaps>` show all of them.
# - A category that is found more often than by chance may be where traces are strongest, or where the
#   classifier is best at seeing them: smooth surfaces hide less.
# - The planted wave has one frequency and one amplitude everywhere. Generators' traces are weaker, broader,
#   and vary with the content.
#
# ```{exercise} Chance is not equal shares
# Sky covers half of a picture, a bird one percent of it. A patch belongs to the category of which it holds the
# largest share of all that the picture has. To which does a patch that shows the whole bird before the sky
# belong, and what follows for the comparison with chance?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# To the bird: it holds all of it, and only a part of the sky. So random patches belong to small things more
# often than their area suggests, which is why chance is drawn from the same pictures by the same rule.
# ```
